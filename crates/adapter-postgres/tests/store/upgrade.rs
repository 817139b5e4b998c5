//! A database of version 3 goes on where it stood.

use mosaic_testkit::postgres::Template;
use mosaic_testkit::version_3::{CLOCK, EXPIRES_AT, IDLE, IDLE_SINCE, LOGIN, USER};
use mosaic_testkit::{Stores, version_3};
use refinery::Target;
use uuid::Uuid;

use super::*;

mod released {
    refinery::embed_migrations!("../../migrations/postgres");
}

/// What version 3 wrote. The hashes of the texts are left out: they are made anew with their letter case.
async fn database() -> TestDatabase {
    let database = TestDatabase::create(&Template::empty()).await;
    let mut sql = database.connect().await;
    let migrations = released::migrations::runner().set_target(Target::Version(3));
    migrations.run_async(&mut sql).await.unwrap();
    let (user, idle) = (USER.uuid(), IDLE.uuid());
    sql.batch_execute(&format!(
        "INSERT INTO meta VALUES (1, '{LOGIN}');
         INSERT INTO users VALUES ('{user}', 'ΣΑΣ', 'σας', 'hash', NULL, 'user', false, false, 0, 0);
         INSERT INTO sync_clocks VALUES ('{user}', {CLOCK});
         INSERT INTO users VALUES ('{idle}', 'idle', 'idle', 'hash', NULL, 'user', false, false, {IDLE_SINCE}, 0);
         INSERT INTO sync_clocks VALUES ('{idle}', 0);
         INSERT INTO refresh_tokens
         SELECT '{user}', decode(repeat(n, 32), 'hex'), '{LOGIN}', 'phone', 'a phone', n::bigint, {EXPIRES_AT}, n = '01'
         FROM unnest(ARRAY['01', '02']) AS n"
    ))
    .await
    .unwrap();
    for memo in version_3::memos() {
        sql.execute(
            "INSERT INTO records (user_id, entity_type, record_key, stamp, edit_time, author, created_at,
                                  revision_count, is_deleted, is_archived, tags, document)
             VALUES ($1, 'memo', $2, $3, 1, 'phone', $3, 0, false, false, '{}', $4)",
            &[&user, &memo.key, &memo.stamp, &memo.document],
        )
        .await
        .unwrap();
        sql.execute(
            "INSERT INTO record_search VALUES ($1, 'memo', $2, '{}', $3)",
            &[&user, &memo.key, &memo.body],
        )
        .await
        .unwrap();
    }
    let before = version_3::overwritten();
    sql.execute(
        "INSERT INTO revisions (user_id, revision_id, entity_type, record_key, revision_number, edit_time, author,
                                created_at, reason, recorded_at, document)
         VALUES ($1, $2, 'memo', $3, 1, 1, 'phone', 1, 'overwritten', 1, $4)",
        &[&user, &Uuid::from_u128(10), &before.key, &before.document],
    )
    .await
    .unwrap();
    database
}

async fn open(database: &TestDatabase) -> Arc<PostgresStore> {
    Arc::new(support::open(support::settings(&database.url())).await.unwrap())
}

#[tokio::test]
async fn a_database_of_version_3_goes_on_where_it_stood() {
    let database = database().await;
    for _ in 0..2 {
        let store = open(&database).await;
        version_3::assert_goes_on(&Stores::of(&store)).await;
        store.close().await;
    }
}

#[tokio::test]
async fn a_login_of_version_3_is_renewed_and_its_spent_token_ends_it() {
    let database = database().await;
    let store = open(&database).await;
    version_3::assert_login_goes_on(&Stores::of(&store)).await;
    store.close().await;
}
