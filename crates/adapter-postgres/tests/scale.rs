//! Pulls in a large installation: 100,000 users, and one of them with a million memos. What is looked at are the plans
//! that PostgreSQL logs of the statements that it really ran. A test binary of its own: it keeps the machine busy.

#![expect(clippy::unwrap_used, reason = "a test that can't go on has to say so at once")]

#[path = "store/support.rs"]
mod support;

use futures_util::future::join_all;
use mosaic_domain::pull::{PageLimits, PullRequest, Snapshot};
use mosaic_domain::{Cursor, EntitySet, EntityType, FamilyId, PerEntity, UserId};
use mosaic_ports::ChangeFeed as _;
use mosaic_testkit::postgres::{Cluster, ClusterOptions, TestDatabase};
use uuid::Uuid;

/// The user with a million memos.
const BIG: UserId = UserId::new(Uuid::from_u128(7));

const FILL: &str = "
    INSERT INTO users
    SELECT id, id, id, '', NULL, 'user', false, false, 0, 0
    FROM (SELECT gen_random_uuid() AS id FROM generate_series(1, 99999) UNION ALL SELECT '{BIG}'::uuid) AS new;
    INSERT INTO sync_clocks SELECT user_id, CASE WHEN user_id = '{BIG}' THEN 1000000 ELSE 10 END FROM users;
    INSERT INTO logins (user_id, login_id, key_hash, token_hash, seed, issued_at, expires_at)
    SELECT user_id, user_id, sha256(user_id::text::bytea), sha256('t'::bytea), sha256('s'::bytea), 0, 0 FROM users;
    INSERT INTO records (user_id, entity_type, record_key, stamp, edit_time, author, created_at, revision_count,
                         is_deleted, is_archived, tags, document)
    SELECT '{BIG}', 'memo', gen_random_uuid(), n, n, 'phone', n, 1, n % 10 = 0, false, '{}',
           '{\"content\":\"memo\",\"tags\":[],\"isArchived\":false,\"diaryDate\":null,\"aiSummary\":null}'
    FROM generate_series(1, 1000000) AS n;
    INSERT INTO records (user_id, entity_type, record_key, stamp, edit_time, author, created_at, revision_count,
                         is_deleted, is_archived, tags, document)
    SELECT user_id, 'memo', gen_random_uuid(), 10, 10, 'phone', 10, 1, true, false, '{}', NULL
    FROM users WHERE user_id <> '{BIG}';
    ANALYZE;";

/// A cluster that logs the plan of each statement with what it really did.
async fn explaining_cluster() -> Cluster {
    let options = ClusterOptions::durable()
        .with("fsync", "off")
        .with("max_wal_size", "4GB")
        .with("session_preload_libraries", "auto_explain")
        .with("auto_explain.log_min_duration", "0")
        .with("auto_explain.log_analyze", "on")
        .with("auto_explain.log_timing", "off");
    Cluster::start(options).await
}

fn request(cursor: i64) -> PullRequest {
    PullRequest {
        client: "phone".parse().unwrap(),
        login: None,
        cursors: PerEntity::from_fn(|_| Cursor::clamped(cursor)),
        entities: EntitySet::all(),
        epoch: None,
    }
}

/// The plans that were logged after a point, each from its first node on.
fn plans_since(cluster: &Cluster, start: usize) -> Vec<String> {
    let log = cluster.log();
    let logged = log.get(start..).unwrap_or_default();
    let plans = logged
        .split("Query Text:")
        .skip(1)
        .filter(|plan| plan.contains("sync_clocks"));
    plans.map(str::to_owned).collect()
}

/// Nodes that read a table from its beginning to its end. The one row of `meta` has no need of its index.
fn sequential_scans(plan: &str) -> Vec<&str> {
    let nodes = plan.lines().map(str::trim);
    nodes
        .filter(|node| node.contains("Seq Scan") && !node.contains("Seq Scan on meta"))
        .collect()
}

fn memos(snapshot: &Snapshot) -> (usize, bool) {
    let page = &snapshot.changes[EntityType::Memo];
    (page.changes.len(), page.more)
}

#[tokio::test(flavor = "multi_thread")]
async fn p2_pulls_of_a_million_memos_among_a_hundred_thousand_users_read_only_index_ranges() {
    let cluster = explaining_cluster().await;
    let database = TestDatabase::create_on(cluster.server(), &support::plain()).await;
    database
        .connect()
        .await
        .batch_execute(&FILL.replace("{BIG}", &BIG.to_string()))
        .await
        .unwrap();
    let store = support::open(support::settings(&database.url())).await.unwrap();

    for (cursor, expected) in [
        (0, (200, true)),
        (500_000, (200, true)),
        (999_950, (50, false)),
        (1_000_000, (0, false)),
    ] {
        let start = cluster.log().len();
        // More than five times, so that the plan for every value is seen too, and not only those for these values.
        for _ in 0..8 {
            let snapshot = store
                .snapshot(BIG, &request(cursor), PageLimits::PROTOCOL)
                .await
                .unwrap()
                .unwrap();
            assert_eq!(memos(&snapshot), expected, "after {cursor}");
        }
        let plans = plans_since(&cluster, start);
        assert!(plans.len() >= 8, "{} plans", plans.len());
        for plan in &plans {
            assert_eq!(sequential_scans(plan), [""; 0], "after {cursor}: {plan}");
            assert!(
                plan.contains("Index Scan using sync_clocks_pkey on sync_clocks"),
                "{plan}"
            );
            let reads = plan
                .lines()
                .filter(|line| line.contains("on records") && !line.contains("never executed"));
            if cursor == 1_000_000 {
                assert_eq!(reads.count(), 0, "at rest no record is looked for: {plan}");
            } else {
                assert!(plan.contains("records_by_stamp"), "{plan}");
            }
        }
    }
    let sql = database.connect().await;
    let some = sql
        .query("SELECT user_id FROM users ORDER BY user_id LIMIT 256", &[])
        .await;
    let some: Vec<Uuid> = some.unwrap().iter().map(|row| row.get(0)).collect();
    let start = cluster.log().len();
    let stand = join_all(some.iter().map(async |user| {
        let (user, login) = (UserId::new(*user), FamilyId::new(*user));
        store.clock(user, Some(login)).await.unwrap()
    }));
    assert!(stand.await.iter().all(Result::is_ok));
    let plans = plans_since(&cluster, start);
    let together = plans.iter().filter(|plan| plan.contains("ANY ($1)"));
    assert!(together.clone().count() > 0, "nobody is asked for together");
    for plan in together {
        assert_eq!(sequential_scans(plan), [""; 0], "{plan}");
    }
    store.close().await;
    database.remove().await;
}
