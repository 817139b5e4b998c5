//! A database of version 3, the last one with an index of texts and a row for each refresh token, goes on where it stood.
#![expect(clippy::unwrap_used, reason = "a test that can't go on has to say so at once")]

use std::sync::Arc;

use mosaic_adapter_sqlite::{Location, SqliteSettings, SqliteStore};
use mosaic_domain::entity::Content;
use mosaic_domain::query::{Order, PageNumber, RecordQuery};
use mosaic_domain::search::{SearchTerms, normalise_before};
use mosaic_domain::{EntityType, RecordKey, UserId};
use mosaic_ports::{
    NewRefreshToken, PresentedToken, RecordReader as _, RefreshTokens as _, Rotation, TokenHash, TokenSeed,
    Transfer as _,
};
use mosaic_testkit::{ManualClock, SequentialIds, at, memo, memo_key};
use rusqlite::Connection;
use uuid::Uuid;

mod released {
    refinery::embed_migrations!("../../migrations/sqlite");
}

const USER: UserId = UserId::new(Uuid::from_u128(7));
const FAMILY: u128 = 8;
const TEXTS: [&str; 3] = ["κόσμος of figs", "Straße", "a memo"];

/// What version 3 wrote: three memos, one of them overwritten, and a login that was renewed once.
fn database(conn: &mut Connection) -> u64 {
    released::migrations::runner()
        .set_target(refinery::Target::Version(3))
        .run(conn)
        .unwrap();
    let user = USER.uuid();
    conn.execute(
        "INSERT INTO meta (only_row, epoch) VALUES (1, ?1)",
        [Uuid::from_u128(9)],
    )
    .unwrap();
    conn.execute(
        "INSERT INTO users VALUES (?1, 'ΣΑΣ', 'σας', 'hash', NULL, 'user', 0, 0, 0, 0)",
        [user],
    )
    .unwrap();
    conn.execute("INSERT INTO sync_clocks VALUES (?1, 100)", [user])
        .unwrap();
    let mut bytes = 0;
    for (n, text) in (1_u64..).zip(TEXTS) {
        let document = Content::Memo(memo(text)).to_document();
        bytes += 200 + document.len() as u64;
        let folded = normalise_before(text);
        conn.execute("INSERT INTO record_search (body) VALUES (?1)", [folded])
            .unwrap();
        conn.execute(
            "INSERT INTO records (user_id, entity_type, record_key, stamp, edit_time, author, created_at,
                                  revision_count, is_deleted, is_archived, search_id, document)
             VALUES (?1, 'memo', ?2, ?3, 1, 'phone', ?3, 0, 0, 0, ?4, ?5)",
            (
                user,
                memo_key(n).to_string(),
                i64::try_from(n).unwrap(),
                conn.last_insert_rowid(),
                document,
            ),
        )
        .unwrap();
    }
    let before = Content::Memo(memo("before")).to_document();
    bytes += 200 + before.len() as u64;
    conn.execute(
        "INSERT INTO revisions (user_id, revision_id, entity_type, record_key, revision_number, edit_time, author,
                                created_at, reason, recorded_at, document)
         VALUES (?1, ?2, 'memo', ?3, 1, 1, 'phone', 1, 'overwritten', 1, ?4)",
        (user, Uuid::from_u128(10), memo_key(1).to_string(), before),
    )
    .unwrap();
    for (hash, is_spent) in [([1_u8; 32], true), ([2; 32], false)] {
        conn.execute(
            "INSERT INTO refresh_tokens VALUES (?1, ?2, ?3, 'phone', 'a phone', ?4, ?5, ?6)",
            (
                user,
                hash,
                Uuid::from_u128(FAMILY),
                i64::from(hash[0]),
                ManualClock::START_MS * 2,
                is_spent,
            ),
        )
        .unwrap();
    }
    bytes
}

async fn found(store: &SqliteStore, term: &str) -> Vec<RecordKey> {
    let query = RecordQuery {
        search: SearchTerms::parse(term).unwrap(),
        ..RecordQuery::all(EntityType::Memo, Order::NewestFirst, PageNumber::EVERYTHING)
    };
    let listing = store.list(USER, &query).await.unwrap();
    listing.items.iter().map(|item| item.key).collect()
}

#[tokio::test]
async fn a_database_of_version_3_goes_on_where_it_stood() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mosaic.db");
    let bytes = database(&mut Connection::open(&path).unwrap());
    for _ in 0..2 {
        let settings = SqliteSettings::new(Location::File(path.clone()));
        let (clock, ids) = (Arc::<ManualClock>::default(), Arc::<SequentialIds>::default());
        let store = SqliteStore::open(settings, clock, ids).await.unwrap();
        let dump = store.dump_user(USER).await.unwrap().unwrap();
        assert_eq!((dump.clock.get(), dump.record_bytes), (100, bytes));
        for (term, n) in [("ΚΌΣΜΟΣ", 1), ("FIGS", 1), ("strasse", 2), ("STRAẞE", 2)] {
            assert_eq!(found(&store, term).await, [memo_key(n)], "{term}");
        }
        store.close().await;
    }
}

#[tokio::test]
async fn a_login_of_version_3_is_renewed_and_its_spent_token_ends_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mosaic.db");
    database(&mut Connection::open(&path).unwrap());
    let settings = SqliteSettings::new(Location::File(path));
    let (clock, ids) = (Arc::<ManualClock>::default(), Arc::<SequentialIds>::default());
    let store = SqliteStore::open(settings, clock, ids).await.unwrap();
    let rotate = async |spent: u8, next: u8| {
        let [spent, next] = [spent, next].map(|n| TokenHash([n; 32]));
        let presented = PresentedToken {
            key: spent,
            hash: spent,
        };
        let next = NewRefreshToken {
            key: TokenHash([50; 32]),
            hash: next,
            seed: TokenSeed([60; 32]),
            issued_at: at(ManualClock::START_MS),
            expires_at: at(ManualClock::START_MS * 2),
        };
        store.rotate(presented, next, 60_000).await.unwrap()
    };
    let Rotation::Rotated(renewed) = rotate(2, 3).await else {
        panic!("the app would be logged out")
    };
    assert_eq!(renewed.family.uuid(), Uuid::from_u128(FAMILY));
    assert_eq!(renewed.client.unwrap().as_str(), "phone");
    assert!(matches!(rotate(1, 4).await, Rotation::Reused { .. }));
    assert_eq!(rotate(2, 4).await, Rotation::Refused, "it has ended");
    store.close().await;
}
