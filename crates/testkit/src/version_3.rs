//! What a database of version 3 holds, the last one with an index of texts and a row for each refresh token, and what has to be true
//! once a store has brought it up to date. How the rows are written is a matter of each store's tests.

use mosaic_domain::entity::Content;
use mosaic_domain::login::{NewRefreshToken, PresentedToken, Rotation, TokenHash, TokenSeed};
use mosaic_domain::query::{Order, PageNumber, RecordQuery};
use mosaic_domain::search::{SearchTerms, normalise_before};
use mosaic_domain::{EntityType, UserId};
use mosaic_ports::Stores;
use uuid::Uuid;

use crate::{ManualClock, at, memo, memo_key};

/// The user who wrote, `ΣΑΣ`.
pub const USER: UserId = UserId::new(Uuid::from_u128(7));
/// Their one login, on the device `phone`: the token of ones was spent, that of twos is the current one.
pub const LOGIN: Uuid = Uuid::from_u128(8);
/// Another user, who never wrote anything: the clock stands at 0.
pub const IDLE: UserId = UserId::new(Uuid::from_u128(9));
/// When that account was made.
pub const IDLE_SINCE: i64 = 50;
/// The clock of the user who wrote.
pub const CLOCK: i64 = 100;
/// When the tokens expire.
pub const EXPIRES_AT: i64 = ManualClock::START_MS * 2;

/// A memo as it is stored, or a version of one.
#[derive(Debug, Clone)]
pub struct StoredMemo {
    /// Its key.
    pub key: String,
    /// Its stamp, and its creation time.
    pub stamp: i64,
    /// What is searched.
    pub body: String,
    /// Its content.
    pub document: String,
}

impl StoredMemo {
    fn new(number: u64, text: &str) -> Self {
        Self {
            key: memo_key(number).to_string(),
            stamp: i64::try_from(number).unwrap(),
            body: normalise_before(text),
            document: Content::Memo(memo(text)).to_document(),
        }
    }
}

/// The memos.
pub fn memos() -> [StoredMemo; 2] {
    [StoredMemo::new(1, "κόσμος of figs"), StoredMemo::new(2, "Straße")]
}

/// What the first memo was before it was overwritten: its first revision.
pub fn overwritten() -> StoredMemo {
    StoredMemo::new(1, "before")
}

/// Everything is there, counted to the byte, and found whatever its letter case.
///
/// # Panics
/// If it is not.
pub async fn assert_goes_on(stores: &Stores) {
    let dump = stores.dump_reader.dump_user(USER).await.unwrap().unwrap();
    let kept = memos().into_iter().chain([overwritten()]);
    let bytes: usize = kept.map(|memo| 200 + memo.document.len()).sum();
    assert_eq!((dump.clock.get(), dump.record_bytes), (CLOCK, bytes as u64));
    let idle = stores.dump_reader.dump_user(IDLE).await.unwrap().unwrap();
    assert_eq!(
        idle.clock.get(),
        IDLE_SINCE,
        "it stands where the account was made (S1)"
    );
    for (term, number) in [("ΚΌΣΜΟΣ", 1), ("FIGS", 1), ("strasse", 2), ("STRAẞE", 2)] {
        let query = RecordQuery {
            search: SearchTerms::parse(term).unwrap(),
            ..RecordQuery::all(EntityType::Memo, Order::NewestFirst, PageNumber::EVERYTHING)
        };
        let found = stores.reader.list(USER, &query).await.unwrap();
        let keys: Vec<_> = found.items.iter().map(|item| item.key).collect();
        assert_eq!(keys, [memo_key(number)], "{term}");
    }
}

/// The login is renewed with its current token, and ended by the spent one.
///
/// # Panics
/// If it is not.
pub async fn assert_login_goes_on(stores: &Stores) {
    let rotate = async |spent: u8, next: u8| {
        let [spent, hash] = [spent, next].map(|n| TokenHash([n; 32]));
        let presented = PresentedToken {
            key: spent,
            hash: spent,
        };
        let next = NewRefreshToken {
            key: TokenHash([50; 32]),
            hash,
            seed: TokenSeed([60; 32]),
            issued_at: at(ManualClock::START_MS),
            expires_at: at(EXPIRES_AT),
        };
        stores.tokens.rotate(presented, next, 60_000).await.unwrap()
    };
    let Rotation::Rotated(renewed) = rotate(2, 3).await else {
        panic!("the app would be logged out")
    };
    assert_eq!(renewed.family.uuid(), LOGIN);
    assert_eq!(renewed.client.unwrap().as_str(), "phone");
    assert!(matches!(rotate(1, 4).await, Rotation::Reused { .. }));
    assert_eq!(rotate(2, 4).await, Rotation::Refused, "it has ended");
}
