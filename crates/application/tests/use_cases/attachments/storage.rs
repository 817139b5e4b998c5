//! Storage that is not the one that the store belongs to.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use mosaic_application::storage::VerifiedStorage;
use mosaic_domain::high_water::HighWaterMark;
use mosaic_domain::{Epoch, UserId};
use mosaic_ports::{BlobError, BlobName, BlobStore, PresignedRead};
use mosaic_testkit::{BlobCall, BlobFailure, Harness, MemoryBlobs};
use uuid::Uuid;

use super::world::{World, png};

fn named(h: &Harness, storage: &MemoryBlobs) -> VerifiedStorage {
    VerifiedStorage::new(storage.port(), Arc::clone(&h.stores.identity), h.ids.clone())
}

fn name(w: &World) -> BlobName {
    BlobName {
        user: w.user,
        id: Uuid::from_u128(1),
    }
}

async fn put(storage: &VerifiedStorage, name: BlobName) -> Result<u64, BlobError> {
    let mut writer = storage.create(name).await?;
    writer.write(png("x")).await?;
    writer.finish().await
}

#[tokio::test]
async fn a_store_keeps_to_the_storage_that_it_began_with() {
    let w = World::new().await;
    let ours = named(&w.h, &w.blobs);
    put(&ours, name(&w)).await.unwrap();
    // After a restart, and on another instance.
    for _ in 0..2 {
        assert!(named(&w.h, &w.blobs).info(name(&w)).await.unwrap().is_some());
    }
    assert_eq!(w.blobs.count(), 2, "the blob, and one proof");

    // A drive that is not mounted, another bucket.
    let empty = MemoryBlobs::new(w.h.clock.clone());
    let wrong = named(&w.h, &empty);
    assert!(matches!(
        put(&wrong, name(&w)).await,
        Err(BlobError::Unavailable(_))
    ));
    for failed in [
        wrong.info(name(&w)).await.map(drop),
        wrong.read(name(&w), None).await.map(drop),
        wrong.remove(name(&w)).await,
        wrong.list(None, 10).await.map(drop),
        wrong.sweep(mosaic_testkit::at(1)).await.map(drop),
        wrong.check().await,
    ] {
        assert!(matches!(failed, Err(BlobError::Unavailable(_))), "{failed:?}");
    }
    assert_eq!(empty.count(), 0);

    // Somebody says that it is meant to be this one.
    wrong.accept().await.unwrap();
    wrong.accept().await.unwrap();
    put(&wrong, name(&w)).await.unwrap();
    assert_eq!(empty.count(), 2);
}

#[tokio::test]
async fn instances_that_start_at_once_agree_on_a_name() {
    let w = World::new().await;
    let instances: Vec<VerifiedStorage> = (0..8).map(|_| named(&w.h, &w.blobs)).collect();
    let mut checks: futures_util::stream::FuturesUnordered<_> =
        instances.iter().map(BlobStore::check).collect();
    while let Some(check) = checks.next().await {
        check.unwrap();
    }
    assert_eq!(w.blobs.count(), 1, "one proof is left");
}

#[tokio::test]
async fn a_check_of_storage_that_is_away_waits_for_no_proof() {
    let w = World::new().await;
    let storage = named(&w.h, &w.blobs);
    w.blobs.fail(BlobCall::Check, BlobFailure::Unavailable);
    let held = w.blobs.hold(BlobCall::Create);
    let check = tokio::time::timeout(Duration::from_secs(20), storage.check());
    assert!(check.await.expect("an answer").is_err());
    drop(held);
    w.blobs.heal();
    storage.check().await.unwrap();
}

#[tokio::test]
async fn a_new_store_takes_no_storage_that_holds_the_files_of_another() {
    let w = World::new().await;
    let ours = named(&w.h, &w.blobs);
    assert!(!ours.holds_files_of_another_store().await.unwrap());
    put(&ours, name(&w)).await.unwrap();
    assert!(!ours.holds_files_of_another_store().await.unwrap());
    let new = named(&World::new().await.h, &w.blobs);
    assert!(new.holds_files_of_another_store().await.unwrap());
    let refused = put(&new, name(&w)).await;
    assert!(matches!(refused, Err(BlobError::Unavailable(_))), "{refused:?}");
}

#[tokio::test]
async fn r2_marks_are_found_among_many_markers_and_long_ones_are_not_read() {
    let w = World::new().await;
    let storage = named(&w.h, &w.blobs);
    put(&storage, name(&w)).await.unwrap();
    let mark = |store| HighWaterMark::new(Uuid::from_u128(store), Epoch::new(Uuid::from_u128(9)));
    let of_length = |store, bytes| {
        let mut text = serde_json::to_vec(&mark(store)).unwrap();
        text.resize(bytes, b' ');
        text.into()
    };
    let marker = |n| BlobName {
        user: UserId::new(Uuid::nil()),
        id: Uuid::from_u128(n),
    };
    for n in 1..=40 {
        w.blobs.put(marker(n), png("a proof"));
    }
    w.blobs.put(marker(41), of_length(1, 4_096));
    w.blobs.put(marker(42), of_length(2, 4_097));
    assert_eq!(storage.marks().await.unwrap(), [mark(1)]);
}

#[tokio::test]
async fn addresses_are_those_of_the_storage() {
    let w = World::new().await;
    w.blobs.sign(true);
    let storage = named(&w.h, &w.blobs);
    let minute = Duration::from_mins(1);
    let address = storage.presign_write(name(&w), minute).await.unwrap();
    assert!(w.blobs.send(&address.unwrap(), png("x")));
    let read = PresignedRead {
        content_type: "image/png".into(),
        content_disposition: "inline".into(),
        expires_in: minute,
    };
    let address = storage.presign_read(name(&w), read).await.unwrap();
    assert_eq!(w.blobs.fetch(&address.unwrap()), Some(png("x")));
}
