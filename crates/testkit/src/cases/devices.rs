//! What each device was served up to: D1.

use mosaic_domain::{Cursor, EntityType, FamilyId, UserId};
use mosaic_ports::ServedCursors;
use uuid::Uuid;

use crate::{Harness, at, by};

fn served(user: UserId, client: &str, cursors: &[(EntityType, i64)]) -> ServedCursors {
    ServedCursors {
        user,
        client: by(client),
        login: FamilyId::new(Uuid::nil()),
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
