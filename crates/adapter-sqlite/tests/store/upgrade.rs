//! A database of version 3 goes on where it stood.

use std::path::PathBuf;
use std::sync::Arc;

use mosaic_adapter_sqlite::{Location, SqliteSettings, SqliteStore};
use mosaic_testkit::version_3::{CLOCK, EXPIRES_AT, IDLE, IDLE_SINCE, LOGIN, USER};
use mosaic_testkit::{ManualClock, SequentialIds, Stores, version_3};
use rusqlite::Connection;
use tempfile::TempDir;

use crate::released;
use uuid::Uuid;

fn path(folder: &TempDir) -> PathBuf {
    folder.path().join("mosaic.db")
}

/// What version 3 wrote.
fn database() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let mut conn = Connection::open(path(&folder)).unwrap();
    released::migrations::runner()
        .set_target(refinery::Target::Version(3))
        .run(&mut conn)
        .unwrap();
    let user = USER.uuid();
    conn.execute("INSERT INTO meta (only_row, epoch) VALUES (1, ?1)", [LOGIN])
        .unwrap();
    conn.execute(
        "INSERT INTO users VALUES (?1, 'ΣΑΣ', 'σας', 'hash', NULL, 'user', 0, 0, 0, 0)",
        [user],
    )
    .unwrap();
    conn.execute("INSERT INTO sync_clocks VALUES (?1, ?2)", (user, CLOCK))
        .unwrap();
    conn.execute(
        "INSERT INTO users VALUES (?1, 'idle', 'idle', 'hash', NULL, 'user', 0, 0, ?2, 0)",
        (IDLE.uuid(), IDLE_SINCE),
    )
    .unwrap();
    conn.execute("INSERT INTO sync_clocks VALUES (?1, 0)", [IDLE.uuid()])
        .unwrap();
    for memo in version_3::memos() {
        conn.execute("INSERT INTO record_search (body) VALUES (?1)", [memo.body])
            .unwrap();
        let search_id = conn.last_insert_rowid();
        conn.execute(
            "INSERT INTO records (user_id, entity_type, record_key, stamp, edit_time, author, created_at,
                                  revision_count, is_deleted, is_archived, search_id, document)
             VALUES (?1, 'memo', ?2, ?3, 1, 'phone', ?3, 0, 0, 0, ?4, ?5)",
            (user, memo.key, memo.stamp, search_id, memo.document),
        )
        .unwrap();
    }
    let before = version_3::overwritten();
    conn.execute(
        "INSERT INTO revisions (user_id, revision_id, entity_type, record_key, revision_number, edit_time, author,
                                created_at, reason, recorded_at, document)
         VALUES (?1, ?2, 'memo', ?3, 1, 1, 'phone', 1, 'overwritten', 1, ?4)",
        (user, Uuid::from_u128(10), before.key, before.document),
    )
    .unwrap();
    for (hash, is_spent) in [([1_u8; 32], true), ([2; 32], false)] {
        let issued_at = i64::from(hash[0]);
        conn.execute(
            "INSERT INTO refresh_tokens VALUES (?1, ?2, ?3, 'phone', 'a phone', ?4, ?5, ?6)",
            (user, hash, LOGIN, issued_at, EXPIRES_AT, is_spent),
        )
        .unwrap();
    }
    folder
}

async fn open(folder: &TempDir) -> Arc<SqliteStore> {
    let settings = SqliteSettings::new(Location::File(path(folder)));
    let (clock, ids) = (Arc::<ManualClock>::default(), Arc::<SequentialIds>::default());
    Arc::new(SqliteStore::open(settings, clock, ids).await.unwrap())
}

#[tokio::test]
async fn a_database_of_version_3_goes_on_where_it_stood() {
    let folder = database();
    for _ in 0..2 {
        let store = open(&folder).await;
        version_3::assert_goes_on(&Stores::of(&store)).await;
        store.close().await;
    }
}

#[tokio::test]
async fn a_login_of_version_3_is_renewed_and_its_spent_token_ends_it() {
    let folder = database();
    let store = open(&folder).await;
    version_3::assert_login_goes_on(&Stores::of(&store)).await;
    store.close().await;
}
