//! The high-water mark: what is remembered of commits, and what is done about a store that lacks them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use mosaic_application::history::{HighWater, History};
use mosaic_application::storage::VerifiedStorage;
use mosaic_domain::account::RemoveOutcome;
use mosaic_domain::high_water::HighWaterMark;
use mosaic_domain::lease::{ClaimOutcome, JobClaim};
use mosaic_domain::{Stamp, UnixMillis, UserId};
use mosaic_ports::{
    BlobError, BlobInfo, BlobName, BlobReader, BlobStore, BoxError, Clock as _, CommitListener as _,
    MarkStore, MockBlobStore, MockBlobWriter,
};
use mosaic_testkit::{Harness, memo, memo_key, put};
use tokio::sync::Notify;
use tokio::time::timeout;
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

/// The storage of attachments.
#[derive(Clone, Default)]
struct Storage(Arc<Mutex<Kept>>);

#[derive(Default)]
struct Kept {
    blobs: BTreeMap<BlobName, Bytes>,
    is_there: bool,
}

impl Storage {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap()
    }

    /// As a port. It proves its name as long as it is there.
    fn port(&self) -> Arc<dyn BlobStore> {
        let mut port = MockBlobStore::new();
        let [proved, listed, read, created, removed] = std::array::from_fn(|_| self.clone());
        let info = |(name, bytes): (&BlobName, &Bytes)| BlobInfo {
            name: *name,
            size: bytes.len() as u64,
            stored_at: UnixMillis::clamped(0),
        };
        let away = || BlobError::Unavailable("the storage is away".into());
        port.expect_info().returning(move |name| {
            proved
                .kept()
                .is_there
                .then(|| Some(info((&name, &Bytes::new()))))
                .ok_or_else(away)
        });
        port.expect_list().returning(move |after, limit| {
            let kept = listed.kept();
            if !kept.is_there {
                return Err(away());
            }
            let rest = kept
                .blobs
                .iter()
                .filter(|(name, _)| after.is_none_or(|after| **name > after));
            Ok(rest.take(limit as usize).map(info).collect())
        });
        port.expect_read().returning(move |name, _| {
            let bytes = read.kept().blobs.get(&name).cloned();
            Ok(bytes.map(|bytes| BlobReader {
                size: bytes.len() as u64,
                bytes: Box::pin(stream::iter([Ok(bytes)])),
            }))
        });
        port.expect_create().returning(move |name| {
            let (storage, mut writer) = (created.clone(), MockBlobWriter::new());
            writer.expect_write().returning(move |bytes| {
                storage.kept().blobs.insert(name, bytes);
                Ok(())
            });
            writer.expect_finish().returning(|| Ok(0));
            Ok(Box::new(writer))
        });
        port.expect_remove().returning(move |name| {
            removed.kept().blobs.remove(&name);
            Ok(())
        });
        Arc::new(port)
    }
}

/// What keeps marks of this store in these places, as a process of its own.
fn process(h: &Harness, place: &Arc<Place>, storage: &Storage) -> Arc<HighWater> {
    let ids = Arc::clone(&h.ids);
    let storage = VerifiedStorage::new(storage.port(), Arc::clone(&h.stores.identity), ids.clone());
    let history = History::of(&h.stores, h.clock.clone(), ids);
    Arc::new(HighWater::new(history, place.clone(), Arc::new(storage)))
}

/// The same, where the storage of attachments is away.
fn high_water(h: &Harness, place: &Arc<Place>) -> Arc<HighWater> {
    process(h, place, &Storage::default())
}

/// A store that has a name, a user in it, and that user's clock.
async fn named() -> (Harness, UserId, Stamp) {
    let h = harness().await;
    h.stores.identity.name_storage(Uuid::from_u128(7)).await.unwrap();
    let user = h.user().await;
    let clock = h.stores.feed.clock(user, None).await.unwrap().unwrap();
    (h, user, clock)
}

fn later(clock: Stamp) -> Stamp {
    Stamp::clamped(clock.get() + 1)
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
    let (h, anna, clock) = named().await;
    let place = Arc::new(Place::default());
    let before = high_water(&h, &place);
    before.check().await.unwrap();
    before.committed(anna, clock);
    // Another process: the store has all that was committed.
    assert_eq!(high_water(&h, &place).check().await.unwrap(), None);

    before.committed(anna, later(clock));
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
    let seven_days = 7 * 24 * 3_600_000;
    let held_back = h.clock.now().plus(seven_days - 1);
    let claimed = h.stores.jobs.claim(claim(held_back)).await.unwrap();
    assert_eq!(claimed, ClaimOutcome::Done);
    // Once, and not with each start.
    assert_eq!(high_water(&h, &place).check().await.unwrap(), None);
}

#[tokio::test]
async fn r2_a_database_that_is_set_back_under_a_running_server_is_noticed_when_it_is_back() {
    let (h, anna, _) = named().await;
    let place = Arc::new(Place::default());
    let high_water = high_water(&h, &place);
    let watching = tokio::spawn({
        let high_water = Arc::clone(&high_water);
        async move { high_water.watch().await }
    });
    // It begins with a look.
    place.kept.notified().await;
    let epoch = h.stores.identity.epoch().await.unwrap();
    high_water.committed(anna, Stamp::clamped(i64::MAX));
    place.kept.notified().await;
    high_water.missed();
    // Long before it looks again anyway.
    let noticed = timeout(Duration::from_mins(1), place.kept.notified()).await;
    noticed.expect("the mark of the new epoch is kept");
    assert_ne!(h.stores.identity.epoch().await.unwrap(), epoch);
    watching.abort();
}

#[tokio::test]
async fn r2_what_is_remembered_is_of_this_store_and_stays_while_its_history_does() {
    let (h, anna, clock) = named().await;
    let epoch = h.stores.identity.epoch().await.unwrap();
    let mut elsewhere = HighWaterMark::new(Uuid::from_u128(8), epoch);
    elsewhere.raise(anna, later(clock));
    let place = Arc::new(Place::default());
    place.save(&elsewhere).unwrap();
    let high_water = high_water(&h, &place);
    assert_eq!(high_water.check().await.unwrap(), None);
    let mut expected = HighWaterMark::new(Uuid::from_u128(7), epoch);
    assert_eq!(place.load().unwrap(), Some(expected.clone()));
    high_water.committed(anna, clock);
    // Of this one nobody tells.
    h.write(anna, [put(memo_key(1), memo("x"))]).await;
    let now = h.stores.feed.clock(anna, None).await.unwrap().unwrap();
    assert_eq!(high_water.check().await.unwrap(), None);
    expected.raise(anna, now);
    assert!(now > clock);
    assert_eq!(place.load().unwrap(), Some(expected));
}

#[tokio::test]
async fn r2_the_storage_is_told_once_and_again_where_it_was_away() {
    let (h, anna, clock) = named().await;
    let storage = Storage::default();
    storage.kept().is_there = true;
    let process = process(&h, &Arc::default(), &storage);
    process.check().await.unwrap();
    process.committed(anna, clock);
    storage.kept().is_there = false;
    process.store().await;
    storage.kept().is_there = true;
    process.store().await;
    let told = storage.kept().blobs.clone();
    assert_eq!(told.len(), 1);
    process.store().await;
    assert_eq!(storage.kept().blobs, told);
}

#[tokio::test]
async fn r2_a_user_who_was_removed_is_not_missed_and_one_who_never_was_is() {
    let (h, anna, clock) = named().await;
    let place = Arc::new(Place::default());
    let before = high_water(&h, &place);
    before.check().await.unwrap();
    before.committed(anna, clock);
    while h.stores.accounts.remove(anna, 100, None).await.unwrap() != RemoveOutcome::Removed {}
    assert_eq!(high_water(&h, &place).check().await.unwrap(), None);
    before.committed(UserId::new(Uuid::from_u128(99)), Stamp::clamped(1));
    assert!(high_water(&h, &place).check().await.unwrap().is_some());
}

#[tokio::test]
async fn r2_what_the_storage_remembers_is_compared_before_anything_takes_its_place() {
    let (h, anna, clock) = named().await;
    let storage = Storage::default();
    storage.kept().is_there = true;
    let before = process(&h, &Arc::default(), &storage);
    before.check().await.unwrap();
    before.committed(anna, later(clock));
    before.store().await;
    let remembered = storage.kept().blobs.clone();
    assert_eq!(remembered.len(), 1);

    // The data folder is lost, and the storage is away when the next process starts.
    storage.kept().is_there = false;
    let next = process(&h, &Arc::default(), &storage);
    assert_eq!(next.check().await.unwrap(), None);
    next.committed(anna, clock);
    storage.kept().is_there = true;
    next.store().await;
    assert_eq!(storage.kept().blobs, remembered);
    assert!(next.check().await.unwrap().is_some());
    // From then on it remembers the new epoch, and nothing else.
    assert_eq!(next.check().await.unwrap(), None);
    next.store().await;
    let now = storage.kept().blobs.clone();
    assert!(now.len() == 1 && now != remembered, "{now:?}");
    assert_eq!(
        process(&h, &Arc::default(), &storage).check().await.unwrap(),
        None
    );
}

#[tokio::test]
async fn a_mark_that_can_not_be_kept_stops_nobody() {
    let (h, anna, _) = named().await;
    let place = Arc::new(Place {
        is_full: true,
        ..Place::default()
    });
    let high_water = high_water(&h, &place);
    high_water.check().await.unwrap();
    high_water.committed(anna, Stamp::clamped(1));
    assert_eq!(place.load().unwrap(), None);
}
