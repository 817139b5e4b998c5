//! The devices of a user, over mocked ports (D1, D2).

use std::sync::Arc;

use mosaic_application::AppError;
use mosaic_application::devices::Devices;
use mosaic_application::error::Unauthenticated;
use mosaic_domain::text::Label;
use mosaic_domain::{Cursor, EntityType, FamilyId, Stamp, UnixMillis, UserId};
use mosaic_ports::{
    DeviceCursor, DeviceLogin, MockChangeFeed, MockClock, MockDeviceCursors, MockRecordReader,
    MockRefreshTokens,
};
use mosaic_testkit::{at, by};
use uuid::Uuid;

use crate::support::no_trail;

const USER: UserId = UserId::new(Uuid::from_u128(1));
const LOGIN: FamilyId = FamilyId::new(Uuid::from_u128(2));
const CLOCK: i64 = 1_000;

fn clock() -> Arc<MockClock> {
    let mut clock = MockClock::new();
    clock.expect_now().returning(|| at(5_000));
    Arc::new(clock)
}

fn devices(cursors: MockDeviceCursors, tokens: MockRefreshTokens) -> Devices {
    let mut feed = MockChangeFeed::new();
    feed.expect_clock()
        .returning(|_, _| Ok(Ok(Stamp::clamped(CLOCK))));
    let mut reader = MockRecordReader::new();
    reader.expect_digest().returning(|_| Ok(None));
    Devices::new(
        Arc::new(cursors),
        Arc::new(tokens),
        Arc::new(feed),
        Arc::new(reader),
        clock(),
        no_trail(),
    )
}

fn rows(client: &str, cursors: [i64; 4], served_at: i64) -> Vec<DeviceCursor> {
    let row = |(entity_type, cursor)| DeviceCursor {
        client: by(client),
        entity_type,
        last_sync_at: Cursor::clamped(cursor),
        served_at: at(served_at),
    };
    EntityType::ALL.into_iter().zip(cursors).map(row).collect()
}

fn login(client: &str, name: Option<&str>, issued_at: i64) -> DeviceLogin {
    DeviceLogin {
        client: by(client),
        device_name: name.map(|name| Label::new(name.to_owned()).unwrap()),
        issued_at: at(issued_at),
    }
}

#[tokio::test]
async fn d2_devices_are_those_that_pulled_and_those_that_are_logged_in() {
    let (mut cursors, mut tokens) = (MockDeviceCursors::new(), MockRefreshTokens::new());
    cursors.expect_cursors().returning(|_| {
        let mut rows = [
            rows("phone", [CLOCK, CLOCK, 940, CLOCK], 3_000),
            rows("tablet", [CLOCK; 4], 2_000),
        ]
        .concat();
        rows.extend(rows_of_one_type());
        Ok(rows)
    });
    tokens.expect_logins().returning(|_, now| {
        assert_eq!(now, at(5_000));
        Ok(vec![
            login("tablet", Some("Anna's tablet"), 4_500),
            login("new", None, 4_600),
            login("tablet", Some("its old name"), 4_000),
        ])
    });
    let listed = devices(cursors, tokens).list(USER).await.unwrap();
    let seen: Vec<_> = listed
        .iter()
        .map(|device| {
            (
                device.client.as_str(),
                device.name.as_ref().map(Label::as_str),
                device.last_pulled_at.map(UnixMillis::get),
                device.last_seen_at.map(UnixMillis::get),
                device.signed_in,
                device.behind_ms,
            )
        })
        .collect();
    assert_eq!(
        seen,
        [
            ("new", None, None, Some(4_600), true, None),
            (
                "tablet",
                Some("Anna's tablet"),
                Some(2_000),
                Some(4_500),
                true,
                Some(0)
            ),
            ("phone", None, Some(3_000), Some(3_000), false, Some(60)),
            ("bots only", None, Some(1_000), Some(1_000), false, None),
        ]
    );
}

fn rows_of_one_type() -> Vec<DeviceCursor> {
    rows("bots only", [CLOCK; 4], 1_000).split_off(3)
}

#[tokio::test]
async fn d2_forgetting_a_device_ends_its_logins() {
    let (mut cursors, mut tokens) = (MockDeviceCursors::new(), MockRefreshTokens::new());
    cursors.expect_forget().times(1).returning(|_, _| Ok(false));
    tokens
        .expect_end_client()
        .times(1)
        .withf(|user, client| *user == USER && client.as_str() == "phone")
        .returning(|_, _| Ok(vec![LOGIN]));
    devices(cursors, tokens).forget(USER, &by("phone")).await.unwrap();
}

#[tokio::test]
async fn d2_an_unknown_device_is_not_found() {
    let (mut cursors, mut tokens) = (MockDeviceCursors::new(), MockRefreshTokens::new());
    cursors.expect_forget().returning(|_, _| Ok(false));
    tokens.expect_end_client().returning(|_, _| Ok(Vec::new()));
    let missing = devices(cursors, tokens).forget(USER, &by("x")).await;
    assert!(matches!(missing, Err(AppError::NotFound)));
}

#[tokio::test]
async fn the_digest_of_an_account_that_is_gone_is_a_login_that_ended() {
    let gone = devices(MockDeviceCursors::new(), MockRefreshTokens::new())
        .digest(USER)
        .await;
    assert!(matches!(
        gone,
        Err(AppError::Unauthenticated(Unauthenticated::LoginEnded))
    ));
}
