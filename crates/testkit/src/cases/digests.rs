//! Digests: whether two sides hold the same records.

use mosaic_domain::digest::Digest;
use mosaic_domain::{EntityType, PerEntity, UserId};
use mosaic_ports::SyncDigest;

use crate::{
    EditExt, Harness, at, bot, bot_key, bury, delete, diary, diary_key, memo, memo_id, memo_key, patch_memo,
    put, resource_key, resource_of,
};

async fn digest(h: &Harness, user: UserId) -> SyncDigest {
    h.stores.reader.digest(user).await.unwrap().unwrap()
}

/// What the live records come to, as an app computes it from its own.
async fn computed(h: &Harness, user: UserId) -> PerEntity<Digest> {
    let mut types = PerEntity::<Digest>::default();
    for record in h.live(user).await {
        types[record.key.entity_type()].add(record.key, record.version.time);
    }
    types
}

async fn assert_right(h: &Harness, user: UserId) -> SyncDigest {
    let digest = digest(h, user).await;
    assert_eq!(digest.types, computed(h, user).await);
    let device = h.fresh_device(user).await;
    assert!(
        device
            .cursors
            .iter()
            .all(|(_, cursor)| cursor.get() == digest.clock.get())
    );
    assert_eq!(digest.epoch, h.stores.identity.epoch().await.unwrap());
    digest
}

/// A digest counts and hashes the live records of each type by key and edit time, and says the clock and the epoch.
pub async fn a_digest_is_that_of_the_live_records(h: &Harness) {
    let user = h.user().await;
    let empty = assert_right(h, user).await;
    assert!(
        EntityType::ALL
            .iter()
            .all(|entity| empty.types[*entity] == Digest::default())
    );
    for n in 0..10 {
        h.write(
            user,
            [put(memo_key(n), memo("x")).at(1_000 + i64::try_from(n).unwrap())],
        )
        .await;
    }
    let edits = [
        put(diary_key("2026-05-16"), diary("a day")).at(20),
        put(diary_key("0001-01-01"), diary("a day")).at(0),
        put(resource_key(1), resource_of(memo_id(1), "a.png")).at(mosaic_domain::MAX_SAFE_INTEGER),
        put(bot_key(1), bot("b")),
    ];
    h.write(user, edits).await;
    let full = assert_right(h, user).await;
    let counts: Vec<u64> = full.types.iter().map(|(_, digest)| digest.count()).collect();
    assert_eq!(counts, [10, 2, 1, 1]);
}

/// Edits and deletes change it, and what is lost, erased or unknown does not; back in its old state, it is the same again.
pub async fn a_digest_follows_edits_and_deletes(h: &Harness) {
    let user = h.user().await;
    h.write(user, [1, 2, 3].map(|n| put(memo_key(n), memo("x")).at(100)))
        .await;
    let first = assert_right(h, user).await;
    h.write(user, [put(memo_key(1), memo("loser")).at(50), bury(memo_key(77))])
        .await;
    let same = assert_right(h, user).await;
    assert_eq!(same.types, first.types);
    assert!(same.clock > first.clock);
    h.write(user, [patch_memo(1, "edited").at(200)]).await;
    let edited = assert_right(h, user).await;
    assert_ne!(edited.types, first.types);
    h.write(user, [delete(memo_key(2)).at(200)]).await;
    let deleted = assert_right(h, user).await;
    assert_eq!(deleted.types[EntityType::Memo].count(), 2);
    h.clock.advance(1_000);
    h.stores
        .retention
        .purge(user, at(h.clock.ms()), 100)
        .await
        .unwrap();
    assert_eq!(assert_right(h, user).await, deleted);
    h.write(
        user,
        [
            put(memo_key(2), memo("back")).at(300),
            put(memo_key(4), memo("new")).at(300),
        ],
    )
    .await;
    assert_right(h, user).await;
    h.write(user, [delete(memo_key(4)).at(400), delete(memo_key(2)).at(400)])
        .await;
    assert_eq!(assert_right(h, user).await.types, deleted.types);
}

/// Two users who hold the same have the same digest, and neither counts the other's; nobody's is none.
pub async fn a_digest_is_that_of_one_user(h: &Harness) {
    let (anna, ben) = (h.user().await, h.user().await);
    h.write(anna, [put(memo_key(1), memo("anna's")).at(100)]).await;
    assert_eq!(digest(h, ben).await.types, PerEntity::default());
    h.write(ben, [put(memo_key(1), memo("ben's")).at(100)]).await;
    assert_eq!(
        assert_right(h, anna).await.types,
        assert_right(h, ben).await.types
    );
    h.write(ben, [put(memo_key(2), memo("ben's")).at(100)]).await;
    assert_ne!(
        assert_right(h, anna).await.types,
        assert_right(h, ben).await.types
    );
    let nobody = UserId::new(h.new_id());
    assert_eq!(h.stores.reader.digest(nobody).await.unwrap(), None);
}
