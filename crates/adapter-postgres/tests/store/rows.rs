//! What stands in the tables: what somebody else wrote there, and what is left alone.

use futures_util::future::join_all;
use mosaic_domain::account::Role;
use mosaic_domain::query::{Order, PageNumber, RecordQuery};
use mosaic_domain::search::SearchTerms;
use mosaic_domain::{Cursor, EntityType, FamilyId};
use mosaic_ports::{AccountStore as _, RecordReader, ServedCursors, StoreError};
use mosaic_testkit::cases::stamps;
use mosaic_testkit::postgres::TestDatabase;
use mosaic_testkit::{at, by, memo, memo_key, patch_memo, put};

use crate::fixture::schema;
use crate::support::{open, settings};
use crate::{Test, chain, yes};

#[tokio::test]
async fn a_value_that_nobody_should_have_written_is_named_without_its_content() {
    let test = Test::new().await;
    let (h, sql) = (&test.h, test.sql().await);
    let user = h.user().await;
    for (change, column) in [
        ("author = ''", "author"),
        ("revision_count = -1", "records.revision_count"),
        ("created_at = -1", "records.created_at"),
    ] {
        h.write(user, [put(memo_key(1), memo("x"))]).await;
        sql.batch_execute(&format!("UPDATE records SET {change}"))
            .await
            .unwrap();
        let corrupt = h.stores.reader.record(user, memo_key(1)).await.unwrap_err();
        assert!(
            matches!(corrupt, StoreError::Corrupt { what, .. } if what == column),
            "{corrupt:?}"
        );
        assert!(!chain(&corrupt).contains("secret"), "{}", chain(&corrupt));
        sql.batch_execute("DELETE FROM records").await.unwrap();
    }
    test.stop().await;
}

#[tokio::test]
async fn a_constraint_that_breaks_is_named_without_the_row() {
    let test = Test::new().await;
    let (h, sql) = (&test.h, test.sql().await);
    let user = h.user().await;
    let narrow = "ALTER TABLE records ADD CONSTRAINT no_secrets CHECK (document NOT LIKE '%secret%')";
    sql.batch_execute(narrow).await.unwrap();
    let refused = h
        .try_write(user, [put(memo_key(1), memo("secret"))])
        .await
        .unwrap_err();
    let shown = format!("{} {refused:?}", chain(&refused));
    assert!(shown.contains("23514") && shown.contains("no_secrets"), "{shown}");
    assert!(!shown.replace("no_secrets", "").contains("secret"), "{shown}");
    test.stop().await;
}

/// D1: the columns and the key are the protocol's; when a cursor was served stands behind them (D2).
#[tokio::test]
async fn d1_the_table_of_cursors_is_the_one_that_the_protocol_describes() {
    let test = Test::new().await;
    let sql = test.sql().await;
    let columns = "array_agg(column_name || ' ' || udt_name || coalesce(character_maximum_length::text, '')
                             ORDER BY ordinal_position)
                   = '{client_id varchar64,user_id uuid,entity_type varchar32,last_sync_at int8,served_at int8}'::text[]
                   FROM information_schema.columns WHERE table_name = 'sync_cursors'";
    assert!(yes(&sql, columns).await);
    let key = "pg_get_constraintdef(oid) = 'PRIMARY KEY (client_id, user_id, entity_type)'
               FROM pg_constraint WHERE conrelid = 'sync_cursors'::regclass AND contype = 'p'";
    assert!(yes(&sql, key).await);
    test.stop().await;
}

/// D1: written only when it changed.
#[tokio::test]
async fn d1_a_cursor_that_did_not_change_is_not_written() {
    let test = Test::new().await;
    let (h, sql) = (&test.h, test.sql().await);
    let user = h.user().await;
    let serve = async |cursor| {
        h.stores.cursors.remember(ServedCursors {
            user,
            client: by("phone"),
            login: FamilyId::new(h.new_id()),
            cursors: vec![(EntityType::Memo, Cursor::clamped(cursor))],
            served_at: at(1_000),
        });
        h.stores.cursors.cursors(user).await.unwrap();
        let row = sql.query_one(
            "SELECT ctid::text || xmin::text || xmax::text FROM sync_cursors",
            &[],
        );
        row.await.unwrap().get::<_, String>(0)
    };
    let first = serve(5).await;
    assert_eq!(serve(5).await, first);
    assert_ne!(serve(6).await, first);
    test.stop().await;
}

/// What the database can't take now it may take later, however often it said so.
#[tokio::test]
async fn d1_what_was_served_is_not_forgotten_while_it_can_not_be_written() {
    let test = Test::on_one_machine().await;
    let (h, sql) = (&test.h, test.sql().await);
    let user = h.user().await;
    let refuse = "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
                      'BEGIN RAISE EXCEPTION USING ERRCODE = ''40001''; END';
                  CREATE TRIGGER refuse BEFORE INSERT ON sync_cursors FOR EACH STATEMENT EXECUTE FUNCTION refuse();";
    sql.batch_execute(refuse).await.unwrap();
    h.stores.cursors.remember(ServedCursors {
        user,
        client: by("phone"),
        login: FamilyId::new(h.new_id()),
        cursors: vec![(EntityType::Memo, Cursor::clamped(5))],
        served_at: at(1_000),
    });
    let refused = h.stores.cursors.cursors(user).await.unwrap_err();
    assert!(matches!(refused, StoreError::Unavailable(_)), "{refused:?}");
    sql.batch_execute("DROP TRIGGER refuse ON sync_cursors")
        .await
        .unwrap();
    let rows = h.stores.cursors.cursors(user).await.unwrap();
    assert_eq!((rows.len(), rows[0].served_at), (1, at(1_000)));
    test.stop().await;
}

/// Such as a user's whose rows are on a node that is down.
#[tokio::test]
async fn d1_what_can_not_be_written_of_one_user_keeps_nobody_else_s_from_being_written() {
    let test = Test::on_one_machine().await;
    let (h, sql) = (&test.h, test.sql().await);
    let users = [h.user().await, h.user().await, h.user().await];
    let refuse = format!(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
             'BEGIN RAISE EXCEPTION USING ERRCODE = ''08006''; END';
         CREATE TRIGGER refuse BEFORE INSERT ON sync_cursors FOR EACH ROW
             WHEN (NEW.user_id = '{}') EXECUTE FUNCTION refuse();",
        users[1]
    );
    sql.batch_execute(&refuse).await.unwrap();
    // All of it before anything is written, which this task does not wait for.
    for user in users {
        h.stores.cursors.remember(ServedCursors {
            user,
            client: by("phone"),
            login: FamilyId::new(h.new_id()),
            cursors: vec![(EntityType::Memo, Cursor::clamped(5))],
            served_at: at(1_000),
        });
    }
    let cursors = async |user| h.stores.cursors.cursors(user).await;
    let refused = cursors(users[1]).await.unwrap_err();
    assert!(matches!(refused, StoreError::Unavailable(_)), "{refused:?}");
    for user in [users[0], users[2]] {
        assert_eq!(cursors(user).await.unwrap().len(), 1);
    }
    sql.batch_execute("DROP TRIGGER refuse ON sync_cursors")
        .await
        .unwrap();
    assert_eq!(cursors(users[1]).await.unwrap().len(), 1);
    test.stop().await;
}

/// Archiving a memo, or moving it to another day, leaves its text as it is: the index has nothing to do.
#[tokio::test]
async fn a_text_that_did_not_change_is_not_indexed_again() {
    let test = Test::new().await;
    let (h, sql) = (&test.h, test.sql().await);
    let user = h.user().await;
    h.write(user, [put(memo_key(1), memo("Same"))]).await;
    let place = async || {
        let row = sql.query_one("SELECT ctid::text || body FROM record_search", &[]);
        row.await.unwrap().get::<_, String>(0)
    };
    let first = place().await;
    assert!(first.ends_with("same"), "{first}");
    h.write(user, [patch_memo(1, "same")]).await;
    assert_eq!(place().await, first);
    h.write(user, [patch_memo(1, "other")]).await;
    assert_ne!(place().await, first);
    test.stop().await;
}

/// What an earlier version stored is found with letter case folded in full, and nobody is kept from logging in: of two names
/// that are alike by now one is found by every spelling, the other by its own.
#[tokio::test]
async fn names_and_texts_of_before_are_folded_when_the_store_is_opened() {
    let test = Test::new().await;
    let (h, sql) = (&test.h, test.sql().await);
    let user = h.user().await;
    h.write(user, [put(memo_key(1), memo("ΚΟΣΜΟΣ in der STRASSE"))])
        .await;
    for name in ["first", "ΣΑΣ", "third"] {
        let account = h.account(name, Role::User);
        h.stores.accounts.create(account, false, None).await.unwrap();
    }
    sql.batch_execute(
        "UPDATE record_search SET body = 'κοσμος in der straße', grams = '{}';
         UPDATE meta SET texts_folded = false;
         UPDATE users SET username = 'Straße', username_folded = 'straße' WHERE username = 'first';
         UPDATE users SET username = 'σας', username_folded = 'σας' WHERE username = 'third';",
    )
    .await
    .unwrap();
    for _ in 0..2 {
        let store = open(settings(&test.fixture.database.url())).await.unwrap();
        let by_name = async |name: &str| {
            let found = store.by_name(&name.parse().unwrap()).await.unwrap();
            found.unwrap().user.username.to_string()
        };
        for (typed, found) in [
            ("STRASSE", "Straße"),
            ("straße", "Straße"),
            ("σας", "σας"),
            ("Σας", "σας"),
            ("σασ", "ΣΑΣ"),
            ("ΣΑΣ", "ΣΑΣ"),
        ] {
            assert_eq!(by_name(typed).await, found, "{typed}");
        }
        for term in ["κοσμος", "ΚΟΣΜΟΣ", "straße", "STRASSE"] {
            let mut query = RecordQuery::all(EntityType::Memo, Order::NewestFirst, PageNumber::EVERYTHING);
            query.search = SearchTerms::parse(term).unwrap();
            assert_eq!(
                RecordReader::list(&store, user, &query).await.unwrap().total,
                1,
                "{term}"
            );
        }
        store.close().await;
    }
    test.stop().await;
}

/// Whatever the default of the database: a lock would protect nothing if the reads after it saw what was before it.
#[tokio::test(flavor = "multi_thread")]
async fn s1_the_default_isolation_of_a_database_does_not_matter() {
    for isolation in ["repeatable read", "serializable"] {
        let database = TestDatabase::create(&schema()).await;
        let name = database.name();
        let default = format!("ALTER DATABASE {name} SET default_transaction_isolation = '{isolation}'");
        database.connect().await.batch_execute(&default).await.unwrap();
        let test = Test::over(database, |_| {}).await;
        stamps::s1_writes_of_one_user_never_interleave(&test.h).await;
        let user = test.h.user().await;
        // In such an isolation each of them would collide with all others, and most would give up.
        join_all((0..24).map(|n| test.h.write(user, [put(memo_key(n), memo("x"))]))).await;
        test.stop().await;
    }
}
