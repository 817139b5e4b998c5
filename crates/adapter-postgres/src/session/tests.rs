use std::sync::Arc;

use mosaic_testkit::postgres::{Template, TestDatabase};
use mosaic_testkit::{ManualClock, SequentialIds};

use super::*;
use crate::PostgresStore;

async fn store(prepared_statements: bool) -> (TestDatabase, PostgresStore) {
    let database = TestDatabase::create(&Template::empty()).await;
    let settings = PostgresSettings {
        prepared_statements,
        ..PostgresSettings::new(database.url().parse().unwrap())
    };
    let (clock, ids) = (
        Arc::new(ManualClock::default()),
        Arc::new(SequentialIds::default()),
    );
    let store = PostgresStore::open(settings, clock, ids).await.unwrap();
    let table = "CREATE TABLE numbers (n bigint PRIMARY KEY)";
    store
        .database
        .run(Step::Composed(table, Vec::new()))
        .await
        .unwrap();
    (database, store)
}

async fn numbers(store: &PostgresStore) -> Vec<i64> {
    let rows = store.database.read("SELECT n FROM numbers ORDER BY n", &[]).await;
    rows.unwrap().iter().map(|row| row.get(0)).collect()
}

const INSERT: &str = "INSERT INTO numbers VALUES ($1)";

/// Else what is read after the lock was given would be what was there before it.
#[tokio::test(flavor = "multi_thread")]
async fn s1_the_default_isolation_of_a_connection_does_not_matter() {
    let (database, store) = store(true).await;
    let mut session = store.database.session().await.unwrap();
    let default = "SET default_transaction_isolation = serializable";
    session.send(vec![Step::Command(default)]).await.unwrap();
    let sql = "SELECT current_setting('transaction_isolation')";
    let found = session
        .begin(vec![Step::Composed(sql, Vec::new())])
        .await
        .unwrap();
    assert_eq!(found[0][0].get::<_, &str>(0), "read committed");
    drop(session);
    store.close().await;
    database.remove().await;
}

/// A `COMMIT` that follows a step which the driver could not send would commit the others.
#[tokio::test(flavor = "multi_thread")]
async fn w8_after_a_step_that_could_not_be_sent_nothing_is_committed() {
    for prepared_statements in [true, false] {
        let (database, store) = store(prepared_statements).await;
        let mut session = store.database.session().await.unwrap();
        session.begin(Vec::new()).await.unwrap();
        let steps = vec![
            Step::Fixed(INSERT, vec![(&1_i64, Type::INT8)]),
            Step::Fixed(INSERT, vec![(&"no number", Type::INT8)]),
        ];
        let refused = session.commit(steps).await;
        assert!(matches!(refused, Err(NotCommitted::Failed(_))));
        assert!(numbers(&store).await.is_empty());
        store.close().await;
        database.remove().await;
    }
}

/// The database turns a `COMMIT` after an error into a `ROLLBACK`, and calls that a success.
#[tokio::test(flavor = "multi_thread")]
async fn w8_a_commit_after_a_refused_step_is_no_success() {
    let (database, store) = store(true).await;
    let mut session = store.database.session().await.unwrap();
    session.begin(Vec::new()).await.unwrap();
    let insert = || Step::Fixed(INSERT, vec![(&1_i64, Type::INT8)]);
    let refused = session.commit(vec![insert(), insert()]).await;
    let Err(NotCommitted::Failed(Failure::Postgres(error))) = refused else {
        panic!("it was refused");
    };
    let broken = error.as_db_error().and_then(|refused| refused.constraint());
    assert_eq!(broken, Some("numbers_pkey"));
    assert!(numbers(&store).await.is_empty());
    store.close().await;
    database.remove().await;
}

/// Until the database does nothing for us any more.
async fn until_at_rest(database: &TestDatabase) {
    let sql = database.connect().await;
    let busy = "SELECT count(*) FROM pg_stat_activity
                WHERE datname = current_database() AND query LIKE '%pg_sleep%' AND state = 'active'
                  AND pid <> pg_backend_pid()";
    let at_rest = async {
        while sql.query_one(busy, &[]).await.unwrap().get::<_, i64>(0) > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(Duration::from_secs(30), at_rest)
        .await
        .expect("it was cancelled");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_look_up_is_stopped_when_it_takes_too_long_and_when_its_caller_goes() {
    for prepared_statements in [true, false] {
        let database = TestDatabase::create(&Template::empty()).await;
        let settings = PostgresSettings {
            prepared_statements,
            pool_size: 1,
            read_timeout: Duration::from_millis(300),
            ..PostgresSettings::new(database.url().parse().unwrap())
        };
        let (clock, ids) = (
            Arc::new(ManualClock::default()),
            Arc::new(SequentialIds::default()),
        );
        let store = PostgresStore::open(settings, clock, ids).await.unwrap();
        let endless = "SELECT pg_sleep(3600)::text";
        let slow = store.database.read(endless, &[]).await;
        assert!(matches!(slow, Err(Failure::TooSlow)), "{slow:?}");
        until_at_rest(&database).await;
        let gone = timeout(Duration::from_millis(100), store.database.read(endless, &[])).await;
        assert!(gone.is_err());
        until_at_rest(&database).await;
        store.database.read("SELECT 1", &[]).await.unwrap();
        store.close().await;
        database.remove().await;
    }
}

/// Another instance that is newer has changed a table under prepared statements.
#[tokio::test(flavor = "multi_thread")]
async fn statements_that_no_longer_fit_are_prepared_anew() {
    let (database, store) = store(true).await;
    let all = "SELECT * FROM numbers";
    store.database.read(all, &[]).await.unwrap();
    let changes = "ALTER TABLE numbers ADD COLUMN name text";
    store
        .database
        .run(Step::Composed(changes, Vec::new()))
        .await
        .unwrap();
    store.database.read(all, &[]).await.unwrap();
    store.close().await;
    database.remove().await;
}
