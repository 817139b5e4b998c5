//! Connections that are lost, servers that go down, networks that go silent.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use mosaic_adapter_postgres::PostgresSettings;
use mosaic_domain::UserId;
use mosaic_domain::login::{PresentedToken, TokenHash};
use mosaic_domain::write::{Locked, RecordEdit, WritePlan, decide};
use mosaic_ports::{StoreError, WriteError};
use mosaic_testkit::postgres::{Cluster, ClusterOptions, Proxy, Server, Stop, TestDatabase, When};
use mosaic_testkit::{EditExt as _, Harness, delete, memo, memo_key, patch_memo, put};

use crate::fixture::schema;
use crate::nudges::Listener;
use crate::support::plain;
use crate::{SOON, Test};

/// As it stands on the wire: "READ COMMITTED" is something else.
const COMMIT: &str = "COMMIT\0";

/// A store that reaches its database through a proxy.
async fn behind_proxy() -> (Test, Proxy) {
    behind_proxy_with(|settings| settings.statement_timeout = Duration::from_millis(500)).await
}

/// The same, with other settings.
async fn behind_proxy_with(change: impl FnOnce(&mut PostgresSettings)) -> (Test, Proxy) {
    let database = TestDatabase::create(&schema()).await;
    let proxy = Proxy::start(&database.url()).await;
    let url = proxy.url().parse().unwrap();
    let test = Test::over(database, |settings| {
        settings.url = url;
        change(settings);
    });
    (test.await, proxy)
}

fn assert_unavailable<T: std::fmt::Debug>(outcome: &Result<T, WriteError>) {
    let unavailable = matches!(outcome, Err(WriteError::Store(StoreError::Unavailable(_))));
    assert!(unavailable, "{outcome:?}");
}

/// Writes, and says how often it was decided.
async fn counted(
    h: &Harness,
    user: UserId,
    edits: impl Into<Vec<RecordEdit>>,
) -> (Result<WritePlan, WriteError>, u32) {
    let count = Arc::new(AtomicU32::new(0));
    let counter = count.clone();
    let decide = move |locked: &Locked, edits: &[RecordEdit]| {
        counter.fetch_add(1, Ordering::SeqCst);
        decide(locked, edits)
    };
    let outcome = h.write_with(user, edits, decide).await;
    (outcome, count.load(Ordering::SeqCst))
}

/// An edit without a time (W1) would win again if it were simply sent again.
#[tokio::test(flavor = "multi_thread")]
async fn a_commit_whose_answer_is_lost_is_found_out_about() {
    let (test, proxy) = behind_proxy().await;
    let h = &test.h;
    let user = h.user().await;
    h.write(user, [put(memo_key(1), memo("0"))]).await;
    for n in 1..=8 {
        let (when, decisions) = if n % 2 == 0 {
            (When::Lost, 2)
        } else {
            (When::Carried, 1)
        };
        proxy.cut_at(COMMIT, when);
        let (outcome, decided) = counted(h, user, [patch_memo(1, &n.to_string())]).await;
        let plan = outcome.unwrap();
        assert_eq!(proxy.trapped(), n);
        let stored = h.record(user, memo_key(1)).await.unwrap();
        assert_eq!(stored, plan.records[0]);
        assert_eq!(usize::try_from(stored.revision_count).unwrap(), n + 1);
        assert_eq!(h.revisions(user, memo_key(1)).await.len(), n);
        assert_eq!(decided, decisions, "{when:?}");
    }
    test.stop().await;
}

/// A server that passes the commit on to another one may lose that one with its answer. What it says then is an error like
/// any other, over a connection that goes on.
#[tokio::test(flavor = "multi_thread")]
async fn w8_an_error_in_answer_to_a_commit_does_not_mean_that_nothing_was_written() {
    let (test, proxy) = behind_proxy().await;
    let h = &test.h;
    let heard = Listener::to(&test.fixture.store).await;
    let user = h.user().await;
    h.write(user, [put(memo_key(1), memo("0"))]).await;
    for (n, code) in (1..).zip(["08006", "08007", "40003", "53200", "57P01", "58030", "XX000"]) {
        proxy.cut_at(COMMIT, When::Denied(code));
        let (outcome, decided) = counted(h, user, [patch_memo(1, code)]).await;
        let plan = outcome.unwrap();
        assert_eq!((proxy.trapped(), decided), (n, 1), "{code}");
        assert_eq!(h.record(user, memo_key(1)).await.unwrap(), plan.records[0]);
        assert_eq!(h.revisions(user, memo_key(1)).await.len(), n, "{code}");
        heard.hears(user, plan.clock).await;
    }
    // This one says for certain that it was rolled back: the write is done again, unseen.
    proxy.cut_at(COMMIT, When::Denied("40001"));
    let (_, decided) = counted(h, user, [patch_memo(1, "40001")]).await;
    assert_eq!(decided, 2);
    test.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_can_not_be_found_out_about_is_never_called_a_success() {
    let (test, proxy) = behind_proxy().await;
    let h = &test.h;
    let user = h.user().await;
    proxy.cut_at(COMMIT, When::Carried);
    proxy.refuse().await;
    assert_unavailable(&h.try_write(user, [put(memo_key(1), memo("x")).at(100)]).await);
    proxy.admit().await;
    // The device sends it again, which is free (W3).
    let again = h.write(user, [put(memo_key(1), memo("x")).at(100)]).await;
    assert!(again.is_empty());
    test.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_is_lost_before_the_commit_is_replaced() {
    let (test, proxy) = behind_proxy().await;
    let h = &test.h;
    let user = h.user().await;
    for n in 0..8 {
        // In the midst of the transaction, as part of what is written.
        proxy.cut_at("cut here", When::Lost);
        let (outcome, decided) = counted(h, user, [put(memo_key(n), memo("cut here"))]).await;
        assert_eq!(outcome.unwrap().records.len(), 1);
        assert_eq!(decided, 2);
        // While it lies idle.
        proxy.cut();
        h.write(user, [delete(memo_key(n))]).await;
        proxy.cut();
        assert!(h.record(user, memo_key(n)).await.unwrap().is_deleted());
    }
    let device = h.fresh_device(user).await;
    h.assert_converged(user, &device).await;
    test.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_is_ended_from_outside_is_done_again() {
    let test = Test::new().await;
    let (h, sql) = (&test.h, test.sql().await);
    let user = h.user().await;
    let runtime = tokio::runtime::Handle::current();
    let killed = Arc::new(AtomicU32::new(0));
    let (sql, count) = (Arc::new(sql), killed.clone());
    let kill = move |locked: &Locked, edits: &[RecordEdit]| {
        if count.fetch_add(1, Ordering::SeqCst) == 0 {
            let end = "SELECT pg_terminate_backend(pid, 2000) FROM pg_stat_activity \
                       WHERE datname = current_database() AND state = 'idle in transaction'";
            runtime.block_on(sql.batch_execute(end)).unwrap();
        }
        decide(locked, edits)
    };
    let plan = h
        .write_with(user, [put(memo_key(1), memo("x"))], kill)
        .await
        .unwrap();
    assert_eq!(killed.load(Ordering::SeqCst), 2);
    assert_eq!(h.record(user, memo_key(1)).await.as_ref(), plan.records.first());
    test.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_comes_back_is_found_again() {
    let cluster = Cluster::start(ClusterOptions::durable()).await;
    let test = Test::over(TestDatabase::create_on(cluster.server(), &plain()).await, |_| {}).await;
    let h = &test.h;
    let user = h.user().await;
    h.write(user, [put(memo_key(1), memo("x"))]).await;
    cluster.restart_immediate().await;
    h.write(user, [put(memo_key(2), memo("y"))]).await;

    cluster.stop(Stop::Fast).await;
    let asked = Instant::now();
    assert_unavailable(&h.try_write(user, [put(memo_key(3), memo("z"))]).await);
    let refused = h.stores.health.check().await.unwrap_err();
    assert!(matches!(refused, StoreError::Unavailable(_)), "{refused:?}");
    assert!(asked.elapsed() < SOON, "{:?}", asked.elapsed());

    cluster.start_again().await;
    h.stores.health.check().await.unwrap();
    h.write(user, [put(memo_key(3), memo("z"))]).await;
    let device = h.fresh_device(user).await;
    h.assert_converged(user, &device).await;
    assert_eq!(device.records().len(), 3);
    test.stop().await;
}

/// After a failover the connections that were made before lead to a standby, and those that are made from then on do not.
#[tokio::test(flavor = "multi_thread")]
async fn connections_to_a_database_that_takes_no_writes_are_not_kept() {
    const CONNECTIONS: &str = "coalesce(array_agg(pid), '{}') FROM pg_stat_activity \
        WHERE datname = current_database() AND application_name = 'mosaic'";
    let cluster = Cluster::start(ClusterOptions::durable()).await;
    let test = Test::over(TestDatabase::create_on(cluster.server(), &plain()).await, |_| {}).await;
    let (h, sql) = (&test.h, test.sql().await);
    let connections = async || -> Vec<i32> {
        let found = sql.query_one(&format!("SELECT {CONNECTIONS}"), &[]).await;
        found.unwrap().get(0)
    };
    let user = h.user().await;
    h.write(user, [put(memo_key(1), memo("x"))]).await;
    let before = connections().await;
    assert!(!before.is_empty());
    // What is said of one database counts when a connection to it is made, and more than what is said of all.
    let of_new = "DO $$ BEGIN EXECUTE format(
        'ALTER DATABASE %I SET default_transaction_read_only = off', current_database()); END $$";
    sql.batch_execute(of_new).await.unwrap();
    let superuser = Server::at(&cluster.superuser_url("postgres")).await;
    let operator = superuser.connect().await;
    for command in [
        "ALTER SYSTEM SET default_transaction_read_only = on",
        "SELECT pg_reload_conf()",
    ] {
        operator.batch_execute(command).await.unwrap();
    }
    let recovers = async {
        for n in 1.. {
            // Refused, or by a connection that has not heard of it yet.
            let written = h.try_write(user, [patch_memo(1, &n.to_string())]).await;
            let now = connections().await;
            if written.is_ok() && !now.iter().any(|connection| before.contains(connection)) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let recovered = tokio::time::timeout(SOON, recovers).await;
    assert!(recovered.is_ok(), "the old connections are kept");
    test.fixture.store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_does_not_wait_for_a_slow_database_as_long_as_a_large_write_may() {
    let patient = |settings: &mut PostgresSettings| {
        settings.connect_timeout = Duration::from_mins(1);
        settings.read_timeout = Duration::from_millis(300);
        settings.statement_timeout = Duration::from_hours(1);
    };
    let (test, proxy) = behind_proxy_with(patient).await;
    let token = TokenHash([7; 32]);
    let presented = PresentedToken {
        key: token,
        hash: token,
    };
    let tokens = &test.h.stores.tokens;
    assert_eq!(tokens.end_family(presented).await.unwrap(), None);
    proxy.delay(Duration::from_millis(400));
    let refused = tokens.end_family(presented).await.unwrap_err();
    assert!(matches!(refused, StoreError::TooSlow(_)), "{refused:?}");
    proxy.delay(Duration::ZERO);
    assert_eq!(tokens.end_family(presented).await.unwrap(), None);
    test.stop().await;
}

/// Whoever is asked for together with somebody whose rows are on a node that is down.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_down_keeps_nobody_from_pulling_whose_rows_are_on_another() {
    let test = Test::on_one_machine().await;
    let (h, sql) = (&test.h, test.sql().await);
    let (user, other) = (h.user().await, h.user().await);
    let (here, there) = (h.log_in(user, 1).await.family, h.log_in(other, 2).await.family);
    let down = format!(
        "CREATE FUNCTION is_down() RETURNS boolean LANGUAGE plpgsql AS
             'BEGIN RAISE EXCEPTION USING ERRCODE = ''08006''; END';
         ALTER TABLE sync_clocks RENAME TO clocks;
         CREATE VIEW sync_clocks AS SELECT * FROM clocks WHERE user_id <> '{other}' OR is_down();"
    );
    sql.batch_execute(&down).await.unwrap();
    let told = (0..16).flat_map(|_| [(user, here), (other, there)]);
    let told = join_all(told.map(|(user, login)| h.stores.feed.clock(user, Some(login))));
    for pair in told.await.chunks(2) {
        assert!(matches!(pair[0], Ok(Ok(_))), "{:?}", pair[0]);
        assert!(
            matches!(pair[1], Err(StoreError::Unavailable(_))),
            "{:?}",
            pair[1]
        );
    }
    // What stands elsewhere is asked for without those rows.
    assert_eq!(h.stores.tokens.standing(other, there).await.unwrap(), Ok(()));
    test.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_that_goes_silent_is_not_waited_for_for_ever() {
    let (test, proxy) = behind_proxy().await;
    let h = &test.h;
    let user = h.user().await;
    h.write(user, [put(memo_key(1), memo("x"))]).await;
    proxy.freeze();
    let refused =
        tokio::time::timeout(Duration::from_secs(10), h.stores.reader.record(user, memo_key(1))).await;
    let refused = refused.expect("it gives up").unwrap_err();
    assert!(matches!(refused, StoreError::Unavailable(_)), "{refused:?}");
    proxy.thaw();
    assert!(h.record(user, memo_key(1)).await.is_some());
    test.stop().await;
}
