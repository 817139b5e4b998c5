//! The high-water mark: what is remembered of commits, and what is done about a store that lacks them.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use mosaic_application::history::{HELD_BACK_MS, HighWater, History};
use mosaic_application::storage::VerifiedStorage;
use mosaic_domain::account::RemoveOutcome;
use mosaic_domain::high_water::HighWaterMark;
use mosaic_domain::lease::{ClaimOutcome, JobClaim};
use mosaic_domain::{Stamp, UserId};
use mosaic_ports::{BlobError, BoxError, Clock as _, CommitListener as _, MarkStore, MockBlobStore};
use mosaic_testkit::Harness;
use tokio::sync::Notify;
use uuid::Uuid;

use crate::support::harness;

/// A place that tells of each mark.
#[derive(Default)]
struct Place {
    mark: Mutex<Option<HighWaterMark>>,
    kept: Notify,
    is_full: bool,
}

impl MarkStore for Place {
    fn load(&self) -> Result<Option<HighWaterMark>, BoxError> {
        Ok(self.mark.lock().unwrap().clone())
    }

    fn save(&self, mark: &HighWaterMark) -> Result<(), BoxError> {
        if self.is_full {
            return Err("the disk is full".into());
        }
        *self.mark.lock().unwrap() = Some(mark.clone());
        self.kept.notify_one();
        Ok(())
    }
}

/// What keeps marks of this store there. The storage of attachments is away.
fn high_water(h: &Harness, place: &Arc<Place>) -> Arc<HighWater> {
    let mut blobs = MockBlobStore::new();
    blobs
        .expect_info()
        .returning(|_| Err(BlobError::Unavailable("the storage is away".into())));
    let ids = Arc::clone(&h.ids);
    let storage = VerifiedStorage::new(Arc::new(blobs), Arc::clone(&h.stores.identity), ids.clone());
    let history = History::of(&h.stores, h.clock.clone(), ids);
    Arc::new(HighWater::new(history, place.clone(), Arc::new(storage)))
}

/// A store that has a name, and a user in it.
async fn named() -> (Harness, UserId) {
    let h = harness().await;
    h.stores.identity.name_storage(Uuid::from_u128(7)).await.unwrap();
    let user = h.user().await;
    (h, user)
}

/// Watches until a mark is kept, which must not take until it looks again anyway.
async fn at_once(high_water: &HighWater, place: &Place) {
    let kept = async {
        tokio::select! {
            () = high_water.watch() => unreachable!("it never ends"),
            () = place.kept.notified() => {}
        }
    };
    tokio::time::timeout(Duration::from_mins(1), kept).await.unwrap();
}

#[tokio::test]
async fn a_store_without_a_name_is_looked_at_again() {
    let h = harness().await;
    let place = Arc::new(Place::default());
    let high_water = high_water(&h, &place);
    assert_eq!(high_water.check().await.unwrap(), None);
    assert_eq!(place.load().unwrap(), None);
    h.stores.identity.name_storage(Uuid::from_u128(7)).await.unwrap();
    assert_eq!(high_water.check().await.unwrap(), None);
    assert!(place.load().unwrap().is_some());
}

#[tokio::test]
async fn r2_a_store_that_lacks_what_was_committed_gets_a_new_epoch_and_is_not_purged() {
    let (h, anna) = named().await;
    let place = Arc::new(Place::default());
    let before = high_water(&h, &place);
    before.check().await.unwrap();
    let clock = h.stores.feed.clock(anna, None).await.unwrap().unwrap();
    before.committed(anna, clock);
    // Another process: the store has all that was committed.
    assert_eq!(high_water(&h, &place).check().await.unwrap(), None);

    before.committed(anna, Stamp::clamped(clock.get() + 1));
    let epoch = h.stores.identity.epoch().await.unwrap();
    let renewed = high_water(&h, &place).check().await.unwrap().unwrap();
    assert_eq!(renewed.old, epoch);
    assert_eq!(h.stores.identity.epoch().await.unwrap(), renewed.new);
    let claim = |now| JobClaim {
        job: "purge",
        holder: Uuid::from_u128(1),
        now,
        until: now,
        unless_done_since: Some(now),
    };
    let now = h.clock.now();
    let claimed = h
        .stores
        .jobs
        .claim(claim(now.plus(HELD_BACK_MS - 1)))
        .await
        .unwrap();
    assert_eq!(claimed, ClaimOutcome::Done);
    // Once, and not with each start.
    assert_eq!(high_water(&h, &place).check().await.unwrap(), None);
}

#[tokio::test]
async fn r2_a_database_that_is_set_back_under_a_running_server_is_noticed_when_it_is_back() {
    let (h, anna) = named().await;
    let place = Arc::new(Place::default());
    let high_water = high_water(&h, &place);
    high_water.check().await.unwrap();
    let epoch = h.stores.identity.epoch().await.unwrap();
    high_water.committed(anna, Stamp::clamped(i64::MAX));
    place.kept.notified().await;
    high_water.missed();
    // The mark of the new epoch is kept.
    at_once(&high_water, &place).await;
    assert_ne!(h.stores.identity.epoch().await.unwrap(), epoch);
}

#[tokio::test]
async fn r2_a_user_who_was_removed_is_not_missed_and_one_who_never_was_is() {
    let (h, anna) = named().await;
    let place = Arc::new(Place::default());
    let before = high_water(&h, &place);
    before.check().await.unwrap();
    before.committed(anna, h.stores.feed.clock(anna, None).await.unwrap().unwrap());
    while h.stores.accounts.remove(anna, 100, None).await.unwrap() != RemoveOutcome::Removed {}
    assert_eq!(high_water(&h, &place).check().await.unwrap(), None);
    before.committed(UserId::new(Uuid::from_u128(99)), Stamp::clamped(1));
    assert!(high_water(&h, &place).check().await.unwrap().is_some());
}

#[tokio::test]
async fn a_mark_that_can_not_be_kept_stops_nobody() {
    let (h, anna) = named().await;
    let place = Arc::new(Place {
        is_full: true,
        ..Place::default()
    });
    let high_water = high_water(&h, &place);
    high_water.check().await.unwrap();
    high_water.committed(anna, Stamp::clamped(1));
    assert_eq!(place.load().unwrap(), None);
}
