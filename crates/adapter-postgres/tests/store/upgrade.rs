//! A database of version 3, the last one with a row for each refresh token, goes on where it stood.

use mosaic_domain::entity::Content;
use mosaic_domain::query::{Order, PageNumber, RecordQuery};
use mosaic_domain::search::{SearchTerms, normalise_before};
use mosaic_domain::{EntityType, RecordKey};
use mosaic_ports::{
    NewRefreshToken, PresentedToken, RecordReader as _, RefreshTokens as _, Rotation, TokenHash, TokenSeed,
    Transfer as _,
};
use mosaic_testkit::postgres::Template;
use mosaic_testkit::{at, memo, memo_key};
use refinery::Target;
use uuid::Uuid;

use super::*;

mod released {
    refinery::embed_migrations!("../../migrations/postgres");
}

const USER: UserId = UserId::new(Uuid::from_u128(7));
const FAMILY: Uuid = Uuid::from_u128(8);

/// What version 3 wrote: two memos, one of them overwritten, and a login that was renewed once. And what they come to.
async fn version_3() -> (TestDatabase, u64) {
    let database = TestDatabase::create(&Template::empty()).await;
    let mut sql = database.connect().await;
    let migrations = released::migrations::runner().set_target(Target::Version(3));
    migrations.run_async(&mut sql).await.unwrap();
    let (user, far) = (USER.uuid(), ManualClock::START_MS * 2);
    sql.batch_execute(&format!(
        "INSERT INTO meta VALUES (1, '{FAMILY}');
         INSERT INTO users VALUES ('{user}', 'ΣΑΣ', 'σας', 'hash', NULL, 'user', false, false, 0, 0);
         INSERT INTO sync_clocks VALUES ('{user}', 100);
         INSERT INTO refresh_tokens
         SELECT '{user}', decode(repeat(n, 32), 'hex'), '{FAMILY}', 'phone', 'a phone', n::bigint, {far}, n = '01'
         FROM unnest(ARRAY['01', '02']) AS n"
    ))
    .await
    .unwrap();
    let mut bytes = 0;
    for (n, text) in [(1, "κόσμος of figs"), (2, "Straße")] {
        let document = Content::Memo(memo(text)).to_document();
        bytes += 200 + document.len() as u64;
        let (key, body) = (memo_key(n).to_string(), normalise_before(text));
        let stamp = i64::try_from(n).unwrap();
        sql.execute(
            "INSERT INTO records (user_id, entity_type, record_key, stamp, edit_time, author, created_at,
                                  revision_count, is_deleted, is_archived, tags, document)
             VALUES ($1, 'memo', $2, $3, 1, 'phone', $3, 0, false, false, '{}', $4)",
            &[&user, &key, &stamp, &document],
        )
        .await
        .unwrap();
        sql.execute(
            "INSERT INTO record_search VALUES ($1, 'memo', $2, '{}', $3)",
            &[&user, &key, &body],
        )
        .await
        .unwrap();
    }
    let before = Content::Memo(memo("before")).to_document();
    bytes += 200 + before.len() as u64;
    sql.execute(
        "INSERT INTO revisions (user_id, revision_id, entity_type, record_key, revision_number, edit_time, author,
                                created_at, reason, recorded_at, document)
         VALUES ($1, $2, 'memo', $3, 1, 1, 'phone', 1, 'overwritten', 1, $4)",
        &[&user, &FAMILY, &memo_key(1).to_string(), &before],
    )
    .await
    .unwrap();
    (database, bytes)
}

async fn found(store: &PostgresStore, term: &str) -> Vec<RecordKey> {
    let query = RecordQuery {
        search: SearchTerms::parse(term).unwrap(),
        ..RecordQuery::all(EntityType::Memo, Order::NewestFirst, PageNumber::EVERYTHING)
    };
    let listing = store.list(USER, &query).await.unwrap();
    listing.items.iter().map(|item| item.key).collect()
}

#[tokio::test]
async fn a_database_of_version_3_goes_on_where_it_stood() {
    let (database, bytes) = version_3().await;
    for _ in 0..2 {
        let store = support::open(support::settings(&database.url())).await.unwrap();
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
    let (database, _) = version_3().await;
    let store = support::open(support::settings(&database.url())).await.unwrap();
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
    assert_eq!(renewed.family.uuid(), FAMILY);
    assert_eq!(renewed.client.unwrap().as_str(), "phone");
    assert!(matches!(rotate(1, 4).await, Rotation::Reused { .. }));
    assert_eq!(rotate(2, 4).await, Rotation::Refused, "it has ended");
    store.close().await;
}
