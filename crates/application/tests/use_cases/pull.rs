//! Pulls over mocked ports.

use std::sync::Arc;

use mosaic_application::AppError;
use mosaic_application::error::Unauthenticated;
use mosaic_application::pull::Pull;
use mosaic_domain::entity::Memo;
use mosaic_domain::login::LoginRefusal;
use mosaic_domain::pull::{Change, PageLimits, PullRequest, Snapshot, TypeChanges};
use mosaic_domain::{
    Content, Cursor, EditTime, EntitySet, EntityType, Epoch, FamilyId, MemoId, PerEntity, Record, RecordKey,
    Stamp, State, UnixMillis, UserId, Version,
};
use mosaic_ports::{MockChangeFeed, MockClock, MockDeviceCursors};
use mosaic_testkit::as_pulled;
use uuid::Uuid;

const USER: UserId = UserId::new(Uuid::from_u128(1));
const EPOCH: Epoch = Epoch::new(Uuid::from_u128(9));
const LOGIN: FamilyId = FamilyId::new(Uuid::from_u128(3));
const CLOCK: i64 = 1_000;

fn request(cursor: i64) -> PullRequest {
    PullRequest {
        client: "phone".parse().unwrap(),
        login: None,
        cursors: PerEntity::from_fn(|_| Cursor::clamped(cursor)),
        entities: EntitySet::all(),
        epoch: None,
    }
}

fn memo(stamp: i64) -> Change {
    let record = &Record {
        key: RecordKey::Memo(MemoId::new(Uuid::from_u128(u128::try_from(stamp).unwrap()))),
        version: Version::new(EditTime::clamped(1), "phone".parse().unwrap()),
        stamp: Stamp::clamped(stamp),
        created_at: UnixMillis::clamped(1),
        revision_count: 1,
        state: State::Live(Content::Memo(Memo::default())),
    };
    Change {
        record: as_pulled(record),
        parent_stamp: None,
    }
}

fn feed(memos: Vec<Change>, more: bool) -> MockChangeFeed {
    let mut feed = MockChangeFeed::new();
    feed.expect_snapshot()
        .withf(|_, request, limits| request.login == Some(LOGIN) && *limits == PageLimits::PROTOCOL)
        .returning(move |_, _, _| {
            let mut changes = PerEntity::from_fn(|_| TypeChanges::default());
            changes[EntityType::Memo] = TypeChanges {
                changes: memos.clone(),
                more,
            };
            Ok(Ok(Snapshot {
                clock: Stamp::clamped(CLOCK),
                epoch: EPOCH,
                changes,
            }))
        });
    feed
}

fn pull(feed: MockChangeFeed, cursors: MockDeviceCursors) -> Pull {
    let mut clock = MockClock::new();
    clock.expect_now().returning(|| UnixMillis::clamped(7));
    Pull::new(Arc::new(feed), Arc::new(cursors), Arc::new(clock))
}

#[tokio::test]
async fn p1_a_page_is_asked_for_with_the_protocol_s_limits_of_200_records_and_4_mib() {
    assert_eq!(PageLimits::PROTOCOL.records, 200);
    assert_eq!(PageLimits::PROTOCOL.bytes, 4 * 1024 * 1024);
    let mut cursors = MockDeviceCursors::new();
    cursors.expect_remember().returning(|_| ());
    pull(feed(vec![memo(5)], false), cursors)
        .run(USER, LOGIN, request(0))
        .await
        .unwrap();
}

#[tokio::test]
async fn d1_what_a_device_was_served_is_remembered_per_type() {
    let mut cursors = MockDeviceCursors::new();
    cursors
        .expect_remember()
        .once()
        .withf(|served| {
            let expected =
                EntityType::ALL.map(|entity| (entity, if entity == EntityType::Memo { 5 } else { CLOCK }));
            let got: Vec<_> = served
                .cursors
                .iter()
                .map(|(entity, cursor)| (*entity, cursor.get()))
                .collect();
            served.user == USER && served.client.as_str() == "phone" && got == expected
        })
        .returning(|_| ());
    let pulled = pull(feed(vec![memo(5)], true), cursors)
        .run(USER, LOGIN, request(0))
        .await
        .unwrap();
    assert!(pulled.page.has_more());
    assert_eq!(pulled.server_time.get(), 7);
}

#[tokio::test]
async fn p2_a_device_at_rest_writes_nothing() {
    let mut cursors = MockDeviceCursors::new();
    cursors.expect_remember().never();
    let pulled = pull(feed(Vec::new(), false), cursors)
        .run(USER, LOGIN, request(CLOCK))
        .await
        .unwrap();
    let types: Vec<_> = pulled
        .page
        .types
        .iter()
        .map(|(_, page)| page.clone().unwrap().cursor.get())
        .collect();
    assert_eq!(types, [CLOCK; 4]);
}

#[tokio::test]
async fn a_user_that_is_gone_is_logged_out() {
    let mut feed = MockChangeFeed::new();
    feed.expect_snapshot()
        .returning(|_, _, _| Ok(Err(LoginRefusal::Ended)));
    let gone = pull(feed, MockDeviceCursors::new())
        .run(USER, LOGIN, request(0))
        .await;
    assert!(
        matches!(gone, Err(AppError::Unauthenticated(Unauthenticated::LoginEnded))),
        "{gone:?}"
    );
}
