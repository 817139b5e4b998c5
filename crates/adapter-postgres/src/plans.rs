//! How the database goes about the statements of this store, on 2,000 users with 10 memos each, and one with 40,000: from
//! an index each time, and no more of it than is asked for.

use std::sync::Arc;

use mosaic_domain::pull::PageLimits;
use mosaic_domain::query::{Order, PageNumber, RecordQuery};
use mosaic_domain::search::SearchTerms;
use mosaic_domain::write::{RecordEdit, WriteScope};
use mosaic_domain::{Cursor, EntitySet, EntityType, FamilyId, PerEntity, UserId};
use mosaic_testkit::postgres::{Template, TestDatabase};
use mosaic_testkit::{
    EditExt as _, ManualClock, Model, SequentialIds, at, bot, bot_key, delete, memo, memo_id, memo_key,
    patch_memo, put, resource_key, resource_of,
};
use tokio_postgres::Client;
use tokio_postgres::types::Type;
use uuid::Uuid;

use crate::at_rest::standings_sql;
use crate::batch::Batch;
use crate::pull::{Question, snapshot_sql};
use crate::query::{ListStatement, sizes_sql};
use crate::scope::{self, ScopeParams};
use crate::session::{Step, Value};
use crate::{PostgresSettings, PostgresStore, contents, digest, grams, history, removal, retention, uploads};

/// The user with many memos.
const BIG: UserId = UserId::new(Uuid::from_u128(7));

/// Memos have stamps from 1 on; every tenth is a tombstone; one in a hundred speaks of the weather. The big user has 2,000
/// bots and, with two memos, 2,000 resources too, and a revision of each memo.
const FILL: &str = "
    CREATE TEMP TABLE owners AS {OWNERS};
    INSERT INTO users SELECT id, id, id, '', NULL, 'user', false, false, 0, 0 FROM owners;
    INSERT INTO sync_clocks SELECT id, memos + 4000 FROM owners;
    INSERT INTO records (user_id, entity_type, record_key, stamp, edit_time, author, created_at, revision_count,
                         is_deleted, is_archived, tags, document)
    SELECT id, 'memo', gen_random_uuid(), n, n, 'phone', n, 1, n % 10 = 0, n % 7 = 0, '{}', repeat('{}', 50)
    FROM owners, generate_series(1, memos) AS n;
    INSERT INTO record_search
    SELECT user_id, entity_type, record_key, CASE WHEN stamp % 100 = 1 THEN '{WEATHER}' ELSE '{OTHER}' END::integer[],
           CASE WHEN stamp % 100 = 1 THEN 'weather' ELSE 'something else' END
    FROM records JOIN owners ON id = user_id WHERE NOT is_deleted;
    INSERT INTO records (user_id, entity_type, record_key, stamp, edit_time, author, created_at, revision_count,
                         is_deleted, is_archived, parent_key, sort_order, tags, document)
    SELECT id, CASE WHEN n % 2 = 0 THEN 'bot' ELSE 'resource' END, gen_random_uuid(), 40000 + n, n, 'phone', n, 1,
           false, false, CASE WHEN n % 2 = 1 THEN 'memo ' || n % 4 END, n, '{}', '{}'
    FROM owners, generate_series(1, 4000) AS n WHERE memos = 40000;
    UPDATE records SET attachment = sha256(record_key::bytea) WHERE entity_type = 'resource';
    INSERT INTO contents
    SELECT user_id, attachment, gen_random_uuid(), 1, 1 FROM records JOIN owners ON id = user_id
    WHERE attachment IS NOT NULL UNION ALL
    SELECT id, sha256(n::text::bytea), gen_random_uuid(), 1, 1 FROM owners, generate_series(1, 40) AS n;
    INSERT INTO content_variants
    SELECT user_id, sha256, 'thumb', gen_random_uuid(), 1, 'image/webp' FROM contents JOIN owners ON id = user_id;
    INSERT INTO logins (user_id, login_id, key_hash, token_hash, seed, issued_at, expires_at)
    SELECT id, ('00000000-0000-0000-0000-00000000000' || n)::uuid, sha256((id || n::text)::bytea),
           sha256('t'::bytea), sha256('s'::bytea), n, n
    FROM owners, generate_series(1, 3) AS n;
    INSERT INTO avatars
    SELECT id, gen_random_uuid(), sha256(n::text::bytea), 'image/png', n FROM owners, generate_series(1, 3) AS n;
    INSERT INTO uploads
    SELECT id, gen_random_uuid(), gen_random_uuid(), 'phone', 9, NULL, '{}', n, n, false
    FROM owners, generate_series(1, 3) AS n;
    INSERT INTO upload_parts
    SELECT user_id, upload_id, n, 1, gen_random_uuid()
    FROM uploads JOIN owners ON id = user_id, generate_series(0, 8) AS n;
    INSERT INTO revisions
    SELECT user_id, gen_random_uuid(), entity_type, record_key, 1, edit_time, author, created_at, 'deleted', 0, '{}'
    FROM records JOIN owners ON id = user_id WHERE stamp BETWEEN 11 AND 40000;
    DROP TABLE owners;";

/// Those with few memos, and the one with many.
const SMALL: &str = "SELECT gen_random_uuid() AS id, 10 AS memos FROM generate_series(1, 2000)";
const LARGE: &str = "SELECT '{BIG}'::uuid AS id, 40000 AS memos";

/// What the database knows of its tables.
#[derive(Debug, Clone, Copy)]
enum Analysed {
    /// Nothing: all users have just synced for the first time, and nothing analyses by itself.
    Never,
    /// How they were before the big user came.
    Before,
    /// How they are.
    Now,
}

struct Filled {
    database: TestDatabase,
    sql: Client,
}

impl Filled {
    async fn new(analysed: Analysed) -> Self {
        let database = TestDatabase::create(&Template::empty()).await;
        let settings = PostgresSettings::new(database.url().parse().unwrap());
        let (clock, ids) = (
            Arc::new(ManualClock::default()),
            Arc::new(SequentialIds::default()),
        );
        PostgresStore::open(settings, clock, ids)
            .await
            .unwrap()
            .close()
            .await;
        let hashes = |text| {
            format!("{:?}", grams::of(BIG, text))
                .replace('[', "{")
                .replace(']', "}")
        };
        let fill = |owners| {
            FILL.replace("{OWNERS}", owners)
                .replace("{BIG}", &BIG.to_string())
                .replace("{WEATHER}", &hashes("weather"))
                .replace("{OTHER}", &hashes("something else"))
        };
        let sql = database.connect().await;
        sql.batch_execute(&fill(SMALL)).await.unwrap();
        if matches!(analysed, Analysed::Before) {
            sql.batch_execute("ANALYZE").await.unwrap();
        }
        sql.batch_execute(&fill(LARGE)).await.unwrap();
        if matches!(analysed, Analysed::Now) {
            sql.batch_execute("ANALYZE").await.unwrap();
        }
        Self { database, sql }
    }

    /// What the database did for these values, with a plan made for them, or, where `generic`, for any.
    async fn plan(&self, sql: &str, values: &[Value<'_>], generic: bool) -> String {
        self.explain("ANALYZE", sql, values, generic).await
    }

    /// The same, with the pages that it looked at.
    async fn buffers(&self, sql: &str, values: &[Value<'_>], generic: bool) -> String {
        self.explain("ANALYZE, BUFFERS", sql, values, generic).await
    }

    async fn explain(&self, what: &str, sql: &str, values: &[Value<'_>], generic: bool) -> String {
        let mode = if generic {
            "force_generic_plan"
        } else {
            "force_custom_plan"
        };
        let set = format!("SET plan_cache_mode = {mode}");
        self.sql.batch_execute(&set).await.unwrap();
        let explain = format!("EXPLAIN ({what}, COSTS OFF, TIMING OFF, SUMMARY OFF) {sql}");
        let types: Vec<_> = values.iter().map(|(_, of)| of.clone()).collect();
        let statement = self.sql.prepare_typed(&explain, &types).await.unwrap();
        let values: Vec<_> = values.iter().map(|(value, _)| *value).collect();
        let rows = self.sql.query(&statement, &values).await.unwrap();
        let steps: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
        steps.join("\n")
    }
}

/// Plans that rest on statistics go wrong where these are missing, or of another time.
#[tokio::test(flavor = "multi_thread")]
async fn every_statement_is_answered_from_an_index() {
    for analysed in [Analysed::Never, Analysed::Before, Analysed::Now] {
        println!("analysed: {analysed:?}");
        let filled = Filled::new(analysed).await;
        for generic in [false, true] {
            p2_a_device_at_rest(&filled, generic).await;
            p1_a_page(&filled, generic).await;
            a_write(&filled, generic).await;
        }
        lists(&filled).await;
        searches(&filled, analysed).await;
        h1_revisions(&filled).await;
        h2_a_purge(&filled).await;
        for generic in [false, true] {
            attachments(&filled, generic).await;
        }
        a_digest(&filled).await;
        a_removal(&filled).await;
        filled.database.remove().await;
    }
}

/// How many pages of the database a statement looks at, most of them more than once.
fn pages(plan: &str) -> u64 {
    let first = plan
        .lines()
        .find_map(|line| line.trim().strip_prefix("Buffers: shared "));
    let counts = first.into_iter().flat_map(|counts| counts.split(' '));
    let looked_at = counts.filter(|count| count.starts_with("hit=") || count.starts_with("read="));
    looked_at
        .filter_map(|count| count.split_once('=')?.1.parse::<u64>().ok())
        .sum()
}

/// Plans that rest on statistics go wrong before there are any: a record is looked for among all of its user's.
#[tokio::test(flavor = "multi_thread")]
async fn statements_cost_as_little_before_the_tables_are_analysed() {
    let filled = Filled::new(Analysed::Never).await;
    for generic in [false, true] {
        // 200 memos, 200 bots and 200 resources with a memo each; a few pages for each of them.
        let page = filled
            .buffers(&snapshot_sql(), &question(0).values(), generic)
            .await;
        assert!(pages(&page) < 5_000, "{page}");
        let keys: Vec<_> = (1..=200).map(|n| delete(memo_key(n))).collect();
        let wanted = ScopeParams::of(&WriteScope::of(BIG, &keys));
        let scope = filled
            .buffers(&scope::records_sql(), &wanted.records(), generic)
            .await;
        assert!(pages(&scope) < 10_000, "{scope}");
        let sizes = filled.buffers(&sizes_sql(), &wanted.records(), generic).await;
        assert!(pages(&sizes) < 5_000, "{sizes}");
        let resources = (1..=200).map(|n| put(resource_key(n), resource_of(memo_id(n), "a.png")));
        let wanted = ScopeParams::of(&WriteScope::of(BIG, &resources.collect::<Vec<_>>()));
        let children = filled
            .buffers(&scope::children_sql(), &wanted.children(), generic)
            .await;
        assert!(pages(&children) < 5_000, "{children}");
        kept(&filled, generic).await;
    }
    // Each of 36,000 texts is looked at, and each of the records that are found.
    for (terms, most) in [("e", 400_000), ("weather", 150_000)] {
        let mut query = RecordQuery::all(
            EntityType::Memo,
            Order::NewestFirst,
            PageNumber::new(1, 20).unwrap(),
        );
        query.search = SearchTerms::parse(terms).unwrap();
        let list = ListStatement::new(BIG, &query);
        let plan = filled.buffers(&list.sql, &list.values(), false).await;
        assert!(pages(&plan) < most, "{plan}");
    }
    filled.database.remove().await;
}

/// Whether 200 revisions are among 39,990 is asked twice: a few pages for each time.
async fn kept(filled: &Filled, generic: bool) {
    let mut model = Model::default();
    let mut write = |edits: Vec<RecordEdit>| model.write(at(50_000), &edits).unwrap();
    write((0..200).map(|n| put(memo_key(n), memo("x"))).collect());
    let plan = write((0..200).map(|n| patch_memo(n, "y")).collect());
    let batch = Batch::of(BIG, &plan);
    for step in batch.steps().into_iter().take(2) {
        let Step::Fixed(sql, values) = step else { continue };
        filled.sql.batch_execute("BEGIN").await.unwrap();
        let plan = filled.buffers(sql, &values, generic).await;
        filled.sql.batch_execute("ROLLBACK").await.unwrap();
        assert!(pages(&plan) < 10_000, "{plan}");
    }
}

fn question(cursor: i64) -> Question {
    let cursors = PerEntity::from_fn(|_| Cursor::clamped(cursor));
    let login = Some(FamilyId::new(Uuid::from_u128(1)));
    Question::new(BIG, login, EntitySet::all(), &cursors, PageLimits::PROTOCOL)
}

/// The one row of `meta` needs no index.
fn assert_indexed(plan: &str) {
    let scans = plan.lines().filter(|step| step.contains("Seq Scan"));
    assert_eq!(
        scans.filter(|step| !step.contains("on meta")).count(),
        0,
        "{plan}"
    );
}

/// One look-up by key: no index of the records is touched.
async fn p2_a_device_at_rest(filled: &Filled, generic: bool) {
    let plan = filled
        .plan(&snapshot_sql(), &question(44_000).values(), generic)
        .await;
    assert_indexed(&plan);
    assert!(plan.contains("Index Scan using sync_clocks_pkey"), "{plan}");
    let records = plan.lines().filter(|step| step.contains(" on records"));
    let touched = records.filter(|step| !step.contains("never executed"));
    assert_eq!(touched.count(), 0, "{plan}");
    let (users, logins) = (vec![BIG.uuid(); 16], vec![Uuid::from_u128(1); 16]);
    let values: [Value<'_>; 2] = [(&users, Type::UUID_ARRAY), (&logins, Type::UUID_ARRAY)];
    let plan = filled.plan(&standings_sql(), &values, generic).await;
    assert_indexed(&plan);
    assert!(plan.contains("using logins_pkey"), "{plan}");
}

/// From the index in stamp order, and not a row more than the page and the one after it.
async fn p1_a_page(filled: &Filled, generic: bool) {
    let plan = filled
        .plan(&snapshot_sql(), &question(20_000).values(), generic)
        .await;
    assert_indexed(&plan);
    // Of four types: 201 memos, 201 resources, 201 bots, and no diary.
    let scan = "Index Scan using records_by_stamp on records next (actual rows=151 loops=4)";
    assert!(plan.contains(scan), "{plan}");
    assert!(!plan.contains("Sort"), "{plan}");
}

async fn a_write(filled: &Filled, generic: bool) {
    let edits = [
        patch_memo(1, "x").at(5),
        delete(memo_key(2)),
        put(bot_key(4), bot("b")).append_to_end(),
        put(resource_key(5), resource_of(memo_id(2), "c.png")).append_to_end(),
    ];
    let wanted = ScopeParams::of(&WriteScope::of(BIG, &edits));
    let records = filled
        .plan(&scope::records_sql(), &wanted.records(), generic)
        .await;
    let children = filled
        .plan(&scope::children_sql(), &wanted.children(), generic)
        .await;
    let places = filled.plan(scope::LAST_PLACES, &wanted.places(), generic).await;
    let history = filled
        .plan(&scope::history_sql(), &wanted.history(), generic)
        .await;
    for plan in [&records, &children, &places, &history] {
        assert_indexed(plan);
    }
    for plan in [&records, &children, &places] {
        let mut conditions = plan.lines().filter(|step| step.contains("Index Cond"));
        assert!(
            conditions.any(|condition| condition.contains("parent_key =")),
            "{plan}"
        );
    }
    assert!(
        places.contains("Scan Backward using records_by_parent on records r ("),
        "{places}"
    );
    assert!(history.contains("revisions_by_version"), "{history}");
}

async fn lists(filled: &Filled) {
    for (order, index) in [
        (Order::NewestFirst, "records_by_creation"),
        (Order::KeyDescending, "records_pkey"),
        (Order::Siblings, "records_by_parent"),
    ] {
        let page = PageNumber::new(2, 20).unwrap();
        let list = ListStatement::new(BIG, &RecordQuery::all(EntityType::Memo, order, page));
        let plan = filled.plan(&list.sql, &list.values(), false).await;
        let mut read = plan.lines().filter(|step| step.contains(index));
        // Both pages up to here, or a few more that are deleted.
        assert!(read.any(|read| read.contains("actual rows=40")), "{plan}");
    }
}

async fn h1_revisions(filled: &Filled) {
    let (entity, key, before, records, bytes) = ("memo", "x", i64::MAX, 200_i64, 1_000_i64);
    let user = BIG.uuid();
    let values: [Value<'_>; 6] = [
        (&user, Type::UUID),
        (&entity, Type::TEXT),
        (&key, Type::TEXT),
        (&before, Type::INT8),
        (&records, Type::INT8),
        (&bytes, Type::INT8),
    ];
    let plan = filled.plan(&history::page_sql(), &values, true).await;
    assert!(
        plan.contains("Scan Backward using revisions_number_is_unique"),
        "{plan}"
    );
    assert!(!plan.contains("Sort"), "{plan}");
}

/// Both looks end at once; the purge reads what is due and no more of it than it may change.
async fn h2_a_purge(filled: &Filled) {
    let (user, before, limit) = (BIG.uuid(), 30_000_i64, 100_i64);
    let values: [Value<'_>; 3] = [(&user, Type::UUID), (&before, Type::INT8), (&limit, Type::INT8)];
    for generic in [false, true] {
        let look = filled.plan(retention::IS_DUE, &values[..2], generic).await;
        assert_indexed(&look);
        filled.sql.batch_execute("BEGIN").await.unwrap();
        let plan = filled.plan(retention::PURGE, &values, generic).await;
        filled.sql.batch_execute("ROLLBACK").await.unwrap();
        assert_indexed(&plan);
        let due = "using revisions_by_age on revisions (actual rows=100 loops=1)";
        assert!(plan.contains(due), "{plan}");
        assert!(plan.contains("Tid Scan on revisions"), "{plan}");
    }
    // With nothing but tombstones to erase.
    filled
        .sql
        .batch_execute("BEGIN; DELETE FROM revisions")
        .await
        .unwrap();
    let plan = filled.plan(retention::PURGE, &values, true).await;
    filled.sql.batch_execute("ROLLBACK").await.unwrap();
    assert!(
        plan.contains("using records_to_erase on records (actual rows=100 loops=1)"),
        "{plan}"
    );
    assert_indexed(&plan);
}

/// Whether contents are named is looked up by their hashes: no record is read but those that name one.
async fn attachments(filled: &Filled, generic: bool) {
    let user = BIG.uuid();
    let (before, limit) = (2_i64, 100_i64);
    let bounds = || -> Vec<Value<'_>> { vec![(&user, Type::UUID), (&before, Type::INT8)] };
    let address = String::new();
    let mut values = bounds();
    values.extend::<[Value<'_>; 2]>([(&limit, Type::INT8), (&address, Type::TEXT)]);
    let look = filled.plan(&contents::candidates_sql(), &values, generic).await;
    assert_indexed(&look);

    let hashes = filled
        .sql
        .query(
            "SELECT sha256 FROM contents WHERE user_id = $1 LIMIT 100",
            &[&user],
        )
        .await;
    let hashes: Vec<Vec<u8>> = hashes.unwrap().iter().map(|row| row.get(0)).collect();
    let values: [Value<'_>; 2] = [(&user, Type::UUID), (&hashes, Type::BYTEA_ARRAY)];
    let facts = filled
        .plan(&contents::content_facts_sql(), &values, generic)
        .await;
    assert_indexed(&facts);
    let unreferenced = filled.plan(&contents::unreferenced_sql(), &values, generic).await;
    assert_indexed(&unreferenced);
    for plan in [&look, &facts, &unreferenced] {
        let index = |name: &str| plan.contains(&format!("using {name}"));
        assert!(index("records_by_attachment"), "{plan}");
        assert!(index("revisions_by_attachment"), "{plan}");
    }

    let (key, entity_type) = ("", "");
    let values: [Value<'_>; 4] = [
        (&user, Type::UUID),
        (&key, Type::TEXT),
        (&entity_type, Type::TEXT),
        (&limit, Type::INT8),
    ];
    let missing = filled.plan(contents::WITHOUT_CONTENT, &values, generic).await;
    assert_indexed(&missing);
    let blobs = vec![Uuid::nil(); 100];
    let values: [Value<'_>; 2] = [(&user, Type::UUID), (&blobs, Type::UUID_ARRAY)];
    assert_indexed(&filled.plan(contents::REFERENCED, &values, generic).await);
    let sql = "SELECT avatar_id FROM avatars WHERE user_id = $1";
    let avatars = filled.sql.query(sql, &[&user]).await.unwrap();
    let avatars: Vec<Uuid> = avatars.iter().map(|row| row.get(0)).collect();
    let values: [Value<'_>; 3] = [
        (&user, Type::UUID),
        (&avatars, Type::UUID_ARRAY),
        (&address, Type::TEXT),
    ];
    let avatars = filled.plan(&contents::avatar_facts_sql(), &values, generic).await;
    assert_indexed(&avatars);
    let mut values = bounds();
    values.push((&limit, Type::INT8));
    for sql in [uploads::EXPIRED, uploads::EXPIRED_PARTS] {
        assert_indexed(&filled.plan(sql, &values, generic).await);
    }
}

/// Of one of many users.
async fn a_digest(filled: &Filled) {
    let sql = "SELECT user_id FROM users WHERE user_id <> $1 LIMIT 1";
    let row = filled.sql.query_one(sql, &[&BIG.uuid()]).await.unwrap();
    let user: Uuid = row.get(0);
    let plan = filled.plan(digest::LIVE, &[(&user, Type::UUID)], false).await;
    assert_indexed(&plan);
}

async fn a_removal(filled: &Filled) {
    let (user, limit) = (BIG.uuid(), 100_i64);
    let values: [Value<'_>; 2] = [(&user, Type::UUID), (&limit, Type::INT8)];
    filled.sql.batch_execute("BEGIN").await.unwrap();
    let plan = filled.plan(&removal::remove_rows_sql(), &values, true).await;
    filled.sql.batch_execute("ROLLBACK").await.unwrap();
    assert!(plan.contains("Tid Scan on revisions"), "{plan}");
    for index in ["revisions_pkey", "records_pkey", "record_search_pkey"] {
        assert!(plan.contains(&format!("using {index}")), "{plan}");
    }
}

async fn searches(filled: &Filled, analysed: Analysed) {
    let mut query = RecordQuery::all(
        EntityType::Memo,
        Order::NewestFirst,
        PageNumber::new(1, 20).unwrap(),
    );
    query.search = SearchTerms::parse("weather").unwrap();
    let list = ListStatement::new(BIG, &query);
    let plan = filled.plan(&list.sql, &list.values(), false).await;
    assert_indexed(&plan);
    // Who does not know how rare a word is looks through the user's own texts.
    if matches!(analysed, Analysed::Now) {
        assert_eq!(plan.matches("record_search_by_grams").count(), 1, "{plan}");
    }
}
