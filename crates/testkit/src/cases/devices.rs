//! What each device was served up to (D1), and the logins of devices (D2).

use mosaic_domain::login::Rotation;
use mosaic_domain::text::Label;
use mosaic_domain::{Cursor, EntityType, FamilyId, UserId};
use mosaic_ports::{DeviceLogin, ServedCursors};
use uuid::Uuid;

use crate::{Harness, at, by};

fn served(user: UserId, client: &str, cursors: &[(EntityType, i64)]) -> ServedCursors {
    served_to(user, FamilyId::new(Uuid::nil()), client, cursors)
}

fn served_to(user: UserId, login: FamilyId, client: &str, cursors: &[(EntityType, i64)]) -> ServedCursors {
    ServedCursors {
        user,
        client: by(client),
        login,
        cursors: cursors
            .iter()
            .map(|(entity, cursor)| (*entity, Cursor::clamped(*cursor)))
            .collect(),
        served_at: at(1_000),
    }
}

async fn rows(h: &Harness, user: UserId) -> Vec<(String, EntityType, i64)> {
    let rows = h.stores.cursors.cursors(user).await.unwrap();
    let mut rows: Vec<_> = rows
        .into_iter()
        .map(|row| (row.client.to_string(), row.entity_type, row.last_sync_at.get()))
        .collect();
    rows.sort();
    rows
}

/// The latest cursors of a device are there as soon as anybody looks, each type for itself.
pub async fn d1_what_was_served_is_remembered(h: &Harness) {
    let user = h.user().await;
    h.stores
        .cursors
        .remember(served(user, "b", &[(EntityType::Memo, 5), (EntityType::Bot, 7)]));
    h.stores
        .cursors
        .remember(served(user, "a", &[(EntityType::Memo, 6)]));
    h.stores
        .cursors
        .remember(served(user, "b", &[(EntityType::Memo, 8)]));
    let expected = [
        ("a", EntityType::Memo, 6),
        ("b", EntityType::Memo, 8),
        ("b", EntityType::Bot, 7),
    ];
    assert_eq!(
        rows(h, user).await,
        expected.map(|(client, entity, cursor)| (client.to_owned(), entity, cursor))
    );
    assert_eq!(rows(h, user).await.len(), 3);
}

/// The latest wins, not the greatest: a device that was reset starts again.
pub async fn d1_the_latest_cursor_wins_not_the_greatest(h: &Harness) {
    let user = h.user().await;
    for cursor in [9, 0, 3] {
        h.stores
            .cursors
            .remember(served(user, "phone", &[(EntityType::Diary, cursor)]));
        assert_eq!(
            rows(h, user).await,
            [("phone".to_owned(), EntityType::Diary, cursor)]
        );
    }
    for cursor in (0..500).rev() {
        h.stores
            .cursors
            .remember(served(user, "phone", &[(EntityType::Diary, cursor)]));
    }
    assert_eq!(rows(h, user).await, [("phone".to_owned(), EntityType::Diary, 0)]);
}

/// A device's name says nothing about its user: the same name under two users is two devices.
pub async fn d1_devices_of_two_users_are_apart(h: &Harness) {
    let (anna, ben) = (h.user().await, h.user().await);
    h.stores
        .cursors
        .remember(served(anna, "phone", &[(EntityType::Memo, 5)]));
    h.stores
        .cursors
        .remember(served(ben, "phone", &[(EntityType::Memo, 6)]));
    assert_eq!(rows(h, anna).await[0].2, 5);
    assert_eq!(rows(h, ben).await[0].2, 6);
}

/// What a user who does not exist was served harms nobody else.
pub async fn d1_an_unknown_user_harms_nobody(h: &Harness) {
    let (user, nobody) = (h.user().await, UserId::new(h.new_id()));
    h.stores
        .cursors
        .remember(served(nobody, "phone", &[(EntityType::Memo, 1)]));
    h.stores
        .cursors
        .remember(served(user, "phone", &[(EntityType::Memo, 5)]));
    assert_eq!(rows(h, user).await.len(), 1);
}

/// A client names as many devices as it likes; the table stays one to look at. A device with a login goes last.
pub async fn d1_of_too_many_devices_those_go_that_were_not_seen_for_the_longest_time(h: &Harness) {
    let (user, other) = (h.user().await, h.user().await);
    let remember = |of: UserId, client: &str, ms: i64| {
        h.stores.cursors.remember(ServedCursors {
            served_at: at(ms),
            ..served(of, client, &[(EntityType::Memo, 5), (EntityType::Bot, 5)])
        });
    };
    remember(other, "device-000", 1);
    remember(user, "phone", 1);
    log_in(h, user, 1, Some("phone"), 1).await;
    for n in 0..250_u16 {
        remember(user, &format!("device-{n:03}"), 2 + i64::from(n));
        if n % 50 == 0 {
            rows(h, user).await;
        }
    }
    let mut left: Vec<String> = rows(h, user).await.into_iter().map(|row| row.0).collect();
    left.dedup();
    let mut expected: Vec<String> = (51..250).map(|n| format!("device-{n:03}")).collect();
    expected.push("phone".into());
    assert_eq!(left, expected);
    assert_eq!(rows(h, other).await.len(), 2);
}

/// Cursors and names at their limits.
pub async fn d1_the_longest_name_and_the_greatest_cursor_are_kept(h: &Harness) {
    let user = h.user().await;
    let name = "\u{1f600}".repeat(64);
    let all = EntityType::ALL.map(|entity| (entity, mosaic_domain::MAX_SAFE_INTEGER));
    h.stores.cursors.remember(served(user, &name, &all));
    let expected = all.map(|(entity, cursor)| (name.clone(), entity, cursor));
    assert_eq!(rows(h, user).await, expected);
}

/// The store says that it can work.
pub async fn a_store_that_works_is_healthy(h: &Harness) {
    h.stores.health.check().await.unwrap();
}

/// When each row was served, by device and type.
async fn times(h: &Harness, user: UserId) -> Vec<(String, EntityType, i64)> {
    let rows = h.stores.cursors.cursors(user).await.unwrap();
    let mut times: Vec<_> = rows
        .into_iter()
        .map(|row| (row.client.to_string(), row.entity_type, row.served_at.get()))
        .collect();
    times.sort();
    times
}

/// A row says when it was served what it says: a pull that brought nothing new is not noted, each type for itself.
pub async fn d1_a_row_says_when_it_was_served(h: &Harness) {
    let user = h.user().await;
    let remember = |served_at, memo, bot| {
        h.stores.cursors.remember(ServedCursors {
            served_at: at(served_at),
            ..served(user, "phone", &[(EntityType::Memo, memo), (EntityType::Bot, bot)])
        });
    };
    let expect = |memo, bot| {
        [
            ("phone".to_owned(), EntityType::Memo, memo),
            ("phone".to_owned(), EntityType::Bot, bot),
        ]
    };
    remember(1_000, 5, 5);
    assert_eq!(times(h, user).await, expect(1_000, 1_000));
    remember(2_000, 5, 5);
    assert_eq!(times(h, user).await, expect(1_000, 1_000));
    remember(3_000, 6, 5);
    assert_eq!(times(h, user).await, expect(3_000, 1_000));
    remember(4_000, 6, 0);
    assert_eq!(times(h, user).await, expect(3_000, 4_000));
    assert_eq!(
        rows(h, user).await.iter().map(|row| row.2).collect::<Vec<_>>(),
        [6, 0]
    );
}

/// Forgetting a device removes its rows, also what was remembered just before, and nobody else's.
pub async fn d2_a_device_is_forgotten(h: &Harness) {
    let (anna, ben) = (h.user().await, h.user().await);
    let all = EntityType::ALL.map(|entity| (entity, 5));
    for user in [anna, ben] {
        for client in ["phone", "phone 2", "tablet"] {
            h.stores.cursors.remember(served(user, client, &all));
        }
    }
    assert!(h.stores.cursors.forget(anna, &by("phone")).await.unwrap());
    let left: Vec<_> = rows(h, anna).await.into_iter().map(|row| row.0).collect();
    assert_eq!(
        left,
        [
            "phone 2", "phone 2", "phone 2", "phone 2", "tablet", "tablet", "tablet", "tablet"
        ]
    );
    assert_eq!(rows(h, ben).await.len(), 12);
    assert!(!h.stores.cursors.forget(anna, &by("phone")).await.unwrap());
    assert!(!h.stores.cursors.forget(anna, &by("nobody's")).await.unwrap());
    let nobody = UserId::new(h.new_id());
    assert!(!h.stores.cursors.forget(nobody, &by("phone")).await.unwrap());
}

/// What was remembered before a device was forgotten does not bring it back, however much there was; a device that goes on
/// pulling is remembered anew, also where it was served the same.
pub async fn d2_a_forgotten_device_that_goes_on_is_remembered_anew(h: &Harness) {
    let user = h.user().await;
    for round in 0..20 {
        for cursor in 0..50 {
            h.stores
                .cursors
                .remember(served(user, "phone", &[(EntityType::Memo, round * 100 + cursor)]));
        }
        assert!(h.stores.cursors.forget(user, &by("phone")).await.unwrap());
        assert_eq!(rows(h, user).await, []);
        h.stores
            .cursors
            .remember(served(user, "phone", &[(EntityType::Memo, round * 100 + 49)]));
        let expected = ("phone".to_owned(), EntityType::Memo, round * 100 + 49);
        assert_eq!(rows(h, user).await, [expected]);
    }
}

/// Logs in with token `n`, at that moment, and says which login it is.
async fn log_in(h: &Harness, user: UserId, n: u8, client: Option<&str>, issued_at: i64) -> FamilyId {
    h.log_in_as(user, n, client, issued_at).await.family
}

async fn logins(h: &Harness, user: UserId, now: i64) -> Vec<(String, i64)> {
    let logins = h.stores.tokens.logins(user, at(now)).await.unwrap();
    logins
        .into_iter()
        .map(|login| (login.client.to_string(), login.issued_at.get()))
        .collect()
}

fn listed<const N: usize>(logins: [(&str, i64); N]) -> Vec<(String, i64)> {
    logins
        .map(|(client, issued_at)| (client.to_owned(), issued_at))
        .to_vec()
}

async fn end_client(h: &Harness, user: UserId, client: &str) -> Vec<FamilyId> {
    let mut ended = h.stores.tokens.end_client(user, &by(client)).await.unwrap();
    ended.sort_unstable();
    ended
}

/// The logins that name a device and have a token that works are listed, by device, the latest token first.
pub async fn d2_logins_are_listed_by_device(h: &Harness) {
    let (anna, ben) = (h.user().await, h.user().await);
    log_in(h, anna, 1, Some("tablet"), 1_000).await;
    log_in(h, anna, 2, Some("phone"), 1_010).await;
    log_in(h, anna, 3, Some("phone"), 1_030).await;
    log_in(h, anna, 4, Some("phone"), 1_020).await;
    log_in(h, anna, 5, None, 1_040).await;
    log_in(h, ben, 6, Some("ben's"), 1_050).await;
    let all = listed([
        ("phone", 1_030),
        ("phone", 1_020),
        ("phone", 1_010),
        ("tablet", 1_000),
    ]);
    assert_eq!(logins(h, anna, 1_060).await, all);
    let first = &h.stores.tokens.logins(anna, at(1_060)).await.unwrap()[0];
    let expected = DeviceLogin {
        client: by("phone"),
        device_name: Some(Label::new("the phone".into()).unwrap()),
        issued_at: at(1_030),
    };
    assert_eq!(*first, expected);
    // A token that is spent tells of its login by the next one.
    assert!(matches!(h.rotate(2, 12, 1_070).await, Rotation::Rotated(_)));
    let rotated = listed([
        ("phone", 1_070),
        ("phone", 1_030),
        ("phone", 1_020),
        ("tablet", 1_000),
    ]);
    assert_eq!(logins(h, anna, 1_080).await, rotated);
    // A token works until the moment it expires.
    assert_eq!(logins(h, anna, 1_099).await.len(), 4);
    assert_eq!(logins(h, anna, 1_100).await.len(), 3);
    assert_eq!(logins(h, anna, 1_130).await, listed([("phone", 1_070)]));
    assert_eq!(logins(h, anna, 2_000).await, []);
    assert_eq!(logins(h, UserId::new(h.new_id()), 1_060).await, []);
}

/// Ending the logins of a device ends all of its families, and no other's.
pub async fn d2_the_logins_of_a_device_end(h: &Harness) {
    let (anna, ben) = (h.user().await, h.user().await);
    let mut phones = vec![
        log_in(h, anna, 1, Some("phone"), 1_000).await,
        log_in(h, anna, 2, Some("phone"), 1_000).await,
    ];
    phones.sort_unstable();
    log_in(h, anna, 3, Some("tablet"), 1_000).await;
    log_in(h, anna, 4, None, 1_000).await;
    log_in(h, ben, 5, Some("phone"), 1_000).await;
    h.rotate(1, 11, 1_010).await;
    assert_eq!(end_client(h, anna, "phone").await, phones);
    for spent in [1, 2, 11] {
        assert_eq!(h.rotate(spent, 90 + spent, 1_020).await, Rotation::Refused);
    }
    for spent in [3, 4, 5] {
        assert!(matches!(
            h.rotate(spent, 20 + spent, 1_020).await,
            Rotation::Rotated(_)
        ));
    }
    assert_eq!(logins(h, anna, 1_030).await, listed([("tablet", 1_020)]));
    assert_eq!(end_client(h, anna, "phone").await, []);
    assert_eq!(end_client(h, UserId::new(h.new_id()), "phone").await, []);
}

/// A login that names no device belongs to the first one that pulls with it, also where the rows of that device say already
/// what it was served; so it ends with that device.
pub async fn d2_a_login_belongs_to_the_device_that_pulls_with_it(h: &Harness) {
    let user = h.user().await;
    let memo = [(EntityType::Memo, 5)];
    let first = log_in(h, user, 1, None, 1_000).await;
    let remember = |login, client| {
        h.stores.cursors.remember(served_to(user, login, client, &memo));
    };
    remember(first, "phone");
    rows(h, user).await;
    assert_eq!(logins(h, user, 1_010).await, listed([("phone", 1_000)]));
    remember(first, "another");
    rows(h, user).await;
    assert_eq!(logins(h, user, 1_010).await, listed([("phone", 1_000)]));
    let second = log_in(h, user, 2, None, 1_020).await;
    remember(second, "phone");
    assert_eq!(rows(h, user).await.len(), 2);
    assert_eq!(
        logins(h, user, 1_030).await,
        listed([("phone", 1_020), ("phone", 1_000)])
    );
    let Rotation::Rotated(next) = h.rotate(2, 12, 1_030).await else {
        panic!("it was good")
    };
    assert_eq!(next.client, Some(by("phone")));
    let mut both = vec![first, second];
    both.sort_unstable();
    assert_eq!(end_client(h, user, "phone").await, both);
    assert_eq!(h.rotate(1, 11, 1_040).await, Rotation::Refused);
    assert_eq!(h.rotate(12, 22, 1_040).await, Rotation::Refused);
}

/// A login that was renewed meanwhile is bound too, its spent tokens with it: used again, one of them still ends it.
pub async fn d2_a_renewed_login_is_bound_as_a_whole(h: &Harness) {
    let user = h.user().await;
    let family = log_in(h, user, 1, None, 1_000).await;
    assert!(matches!(h.rotate(1, 2, 1_010).await, Rotation::Rotated(_)));
    h.stores
        .cursors
        .remember(served_to(user, family, "phone", &[(EntityType::Memo, 5)]));
    rows(h, user).await;
    assert_eq!(logins(h, user, 1_020).await, listed([("phone", 1_010)]));
    assert_eq!(h.rotate(1, 3, 1_020).await, Rotation::Reused { user, family });
    assert_eq!(logins(h, user, 1_030).await, []);
    assert_eq!(end_client(h, user, "phone").await, []);
}

/// A login that names a device stays with it, whatever device pulls with it; and nobody binds another user's.
pub async fn d2_a_login_that_names_a_device_is_not_rebound(h: &Harness) {
    let (anna, ben) = (h.user().await, h.user().await);
    let memo = [(EntityType::Memo, 5)];
    let named = log_in(h, anna, 1, Some("phone"), 1_000).await;
    let unnamed = log_in(h, anna, 2, None, 1_000).await;
    let other = log_in(h, anna, 3, None, 1_000).await;
    h.stores.cursors.remember(served_to(anna, named, "tablet", &memo));
    h.stores.cursors.remember(served_to(ben, unnamed, "ben's", &memo));
    h.stores.cursors.remember(served_to(anna, other, "laptop", &memo));
    rows(h, anna).await;
    rows(h, ben).await;
    assert_eq!(
        logins(h, anna, 1_010).await,
        listed([("laptop", 1_000), ("phone", 1_000)])
    );
    assert_eq!(logins(h, ben, 1_010).await, []);
    assert_eq!(end_client(h, anna, "tablet").await, []);
    assert_eq!(end_client(h, ben, "ben's").await, []);
    assert!(matches!(h.rotate(2, 12, 1_020).await, Rotation::Rotated(_)));
}
