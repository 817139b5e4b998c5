//! Documents that go out as they are stored, and those that do not.

use mosaic_domain::EntityType;
use mosaic_domain::entity::seal;
use mosaic_testkit::{delete, memo, memo_key, patch_memo, put, seals};
use rusqlite::Connection;

use crate::{Database, pull, write};

/// The document of the one record, and its seal.
fn row(database: &Database) -> (String, Option<i64>) {
    let conn = Connection::open(database.path()).unwrap();
    let sql = "SELECT document, seal FROM records";
    conn.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?)))
        .unwrap()
}

#[tokio::test]
async fn p8_a_document_goes_out_as_it_is_stored_only_under_its_own_seal() {
    let database = Database::new();
    let store = database.open().await;
    let user = database.user(&store).await;
    write(&store, user, vec![put(memo_key(1), memo("before"))])
        .await
        .unwrap();
    for case in seals::memos() {
        let conn = Connection::open(database.path()).unwrap();
        let sql = "UPDATE records SET document = ?1, seal = ?2";
        conn.execute(sql, (&case.document, case.seal)).unwrap();
        let found = pull(&store, user).await.unwrap();
        let shown = &found.changes[EntityType::Memo].changes[0].record.state;
        assert_eq!(shown, &case.shown, "{}", case.about);
    }
    store.close().await;
}

#[tokio::test]
async fn what_lives_is_sealed_each_time_that_it_is_written() {
    let database = Database::new();
    let store = database.open().await;
    let user = database.user(&store).await;
    for edit in [
        put(memo_key(1), memo("one")),
        patch_memo(1, "two"),
        patch_memo(1, "three"),
    ] {
        write(&store, user, vec![edit]).await.unwrap();
        let (document, beside) = row(&database);
        assert_eq!(
            beside,
            Some(seal(EntityType::Memo, document.as_bytes())),
            "{document}"
        );
    }
    write(&store, user, vec![delete(memo_key(1))]).await.unwrap();
    assert_eq!(row(&database).1, None);
    store.close().await;
}
