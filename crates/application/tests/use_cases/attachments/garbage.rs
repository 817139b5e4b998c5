//! Bytes that nobody needs any more, and no others.

use mosaic_application::AppError;
use mosaic_application::garbage::GRACE_MS;
use mosaic_application::uploads::DirectUpload;
use mosaic_domain::account::RemoveOutcome;
use mosaic_domain::attachment::ContentRef;
use mosaic_domain::entity::Variant;
use mosaic_ports::{BlobName, BlobStore as _};
use mosaic_testkit::{
    BlobCall, BlobFailure, EditExt as _, at, blobs, delete, put, resource, resource_id, resource_key,
};
use uuid::Uuid;

use super::world::{DAY_MS, LIFETIME_MS, World, file, file_as, png, sha256};

impl World {
    /// Forgets the content of what is deleted, and all revisions.
    async fn purge(&self) {
        let now = at(self.h.clock.ms() + 1_000);
        while self
            .h
            .stores
            .retention
            .purge(self.user, now, 100)
            .await
            .unwrap()
            .more
        {}
    }

    /// The account goes, but not its blobs.
    async fn remove_account(&self) {
        let accounts = &self.h.stores.accounts;
        while accounts.remove(self.user, 5, None).await.unwrap() == RemoveOutcome::Removing {}
    }

    /// A blob that nobody knows.
    fn litter(&self, n: u128) {
        let name = BlobName {
            user: self.user,
            id: Uuid::from_u128(n),
        };
        self.blobs.put(name, png("waste"));
    }

    async fn begin_direct_of(&self, n: u64, length: u64) -> DirectUpload {
        let minute = std::time::Duration::from_mins(1);
        let begun = self
            .uploads
            .begin_direct(&self.by(), length, file_as(n), minute)
            .await;
        begun.unwrap()
    }
}

#[tokio::test]
async fn a6_what_nothing_names_is_kept_for_a_day() {
    assert_eq!(GRACE_MS, DAY_MS);
    let w = World::new().await;
    // The bytes came, and the server was killed before it wrote the record.
    let received = w.receive(&png("x")).await.unwrap();
    let content = ContentRef {
        sha256: received.sha256(),
        blob: w.blobs.names()[0].id,
        size: received.size(),
        touched_at: at(w.h.clock.ms()),
    };
    w.h.stores
        .contents
        .reference(w.user, content, u64::MAX)
        .await
        .unwrap();
    w.h.clock.advance(GRACE_MS);
    assert_eq!(w.collect_garbage().await, 0);

    // Sent again, they are kept for another day, whether they become a record or not.
    let received = w.receive(&png("x")).await.unwrap();
    let again = ContentRef {
        touched_at: at(w.h.clock.ms()),
        ..content
    };
    w.h.stores
        .contents
        .reference(w.user, again, u64::MAX)
        .await
        .unwrap();
    drop(received);
    w.h.clock.advance(GRACE_MS);
    assert_eq!(w.collect_garbage().await, 0);
    w.h.clock.advance(1);
    assert_eq!(w.collect_garbage().await, 2, "the second blob was never needed");
    w.assert_clean_with(0).await;
}

#[tokio::test]
async fn a1_what_anything_names_is_kept() {
    let w = World::new().await;
    w.add(file_as(1), &png("live")).await.unwrap();
    w.add(file_as(2), &png("deleted")).await.unwrap();
    w.add(file_as(3), &png("overwritten")).await.unwrap();
    w.h.clock.advance(1_000);
    w.h.write(w.user, [delete(resource_key(2))]).await;
    w.h.write(
        w.user,
        [put(resource_key(3), resource("a.png")).at(w.h.clock.ms())],
    )
    .await;
    w.h.clock.advance(400 * DAY_MS);
    assert_eq!(w.collect_garbage().await, 0);
    w.assert_clean_with(3).await;

    // What was restored can be read.
    for (n, bytes) in [(2, png("deleted")), (3, png("overwritten"))] {
        let key = resource_id(n);
        let kept = w
            .records
            .revisions::<mosaic_domain::entity::Resource>(w.user, key, None, 10)
            .await
            .unwrap();
        let revision = kept
            .items
            .iter()
            .find(|kept| kept.content.sha256.is_some())
            .unwrap();
        w.records
            .restore::<mosaic_domain::entity::Resource>(&w.by(), key, revision.revision.id)
            .await
            .unwrap();
        assert_eq!(w.read(key, None).await.unwrap(), bytes);
    }

    w.h.clock.advance(1_000);
    w.h.write(w.user, [delete(resource_key(2))]).await;
    w.purge().await;
    assert_eq!(w.collect_garbage().await, 1);
    assert!(matches!(
        w.read(resource_id(2), None).await,
        Err(AppError::Gone(_))
    ));
    for n in [1, 3] {
        w.read(resource_id(n), None).await.unwrap();
    }
    w.assert_clean_with(2).await;
}

#[tokio::test]
async fn expired_uploads_go_with_all_their_parts() {
    let w = World::new().await;
    let (slow, fast) = (w.begin(1_000, file_as(1)).await, w.begin(1_000, file_as(2)).await);
    for offset in 0..450 {
        w.send(slow, offset, &[1], None).await.unwrap();
    }
    w.send(fast, 0, &[2; 400], None).await.unwrap();
    let direct = w.begin_direct_of(3, 5).await;
    assert!(w.blobs.send(&direct.address, png("x")));
    w.h.clock.advance(LIFETIME_MS - 1);
    w.send(fast, 400, &[2; 400], None).await.unwrap();
    assert_eq!(w.collect_garbage().await, 0);
    w.h.clock.advance(1);
    let (removed, more) = w.garbage.step(w.user).await.unwrap();
    assert!(removed <= 201 && more, "in small steps: {removed}");
    assert_eq!(removed + w.collect_garbage().await, 451);
    w.assert_clean_with(2).await;
    w.send(fast, 800, &[2; 200], None)
        .await
        .unwrap()
        .resource
        .unwrap();
    w.assert_clean_with(1).await;
}

#[tokio::test]
async fn what_a_long_upload_lacks_only_the_record_of_is_kept() {
    let w = World::new().await.with_lifetime(7 * DAY_MS);
    let id = w.begin(5, file_as(1)).await;
    // All of it came in one request and is a content already, when the store of the records can't be reached.
    w.writes.fail_next(false);
    let failed = w.send(id, 0, &png("x"), None).await;
    assert!(matches!(failed, Err(AppError::Store(_))), "{failed:?}");
    w.h.clock.advance(2 * DAY_MS);
    assert_eq!(w.collect_garbage().await, 0);
    assert!(w.state(id).await.unwrap().finished);
    assert_eq!(w.read(resource_id(1), None).await.unwrap(), png("x"));
    w.assert_clean_with(1).await;
}

#[tokio::test]
async fn a_blob_that_is_a_part_and_a_content_stays_when_its_upload_is_over() {
    for over in ["ended", "finished", "expired", "made room for"] {
        let w = World::new().await;
        let id = w.begin(5, file_as(1)).await;
        // All of it came in one request and is a content, when the store of the records can't be reached: it is kept as a part.
        w.writes.fail_next(false);
        let failed = w.send(id, 0, &png("x"), None).await;
        assert!(matches!(failed, Err(AppError::Store(_))), "{failed:?}");
        // Another record names that content.
        w.add(file_as(2), &png("x")).await.unwrap();
        match over {
            "ended" => w.uploads.end(w.user, id).await.unwrap(),
            "finished" => assert!(w.state(id).await.unwrap().finished),
            "expired" => {
                w.h.clock.advance(LIFETIME_MS);
                assert_eq!(w.collect_garbage().await, 0);
            }
            _ => {
                w.h.clock.advance(LIFETIME_MS);
                for n in 0..200 {
                    w.begin(1, file_as(n + 10)).await;
                }
            }
        }
        assert!(w.blobs.count() == 1, "{over}");
        assert_eq!(w.read(resource_id(2), None).await.unwrap(), png("x"), "{over}");
    }
}

#[tokio::test]
async fn waste_goes_after_a_day() {
    let w = World::new().await;
    let other = w.another_user().await;
    for w in [&w, &other] {
        w.litter(1);
        w.litter(u128::MAX);
        w.add(file_as(1), &png("x")).await.unwrap();
        w.read(resource_id(1), Some(Variant::Thumb)).await.unwrap();
    }
    let part = w.begin(10, file_as(2)).await;
    w.send(part, 0, &[1; 5], None).await.unwrap();
    let direct = w.begin_direct_of(3, 5).await;
    assert!(w.blobs.send(&direct.address, png("x")));
    w.h.clock.advance(GRACE_MS);
    assert_eq!(w.waste().await.unwrap(), 0, "it is not a day old");
    w.h.clock.advance(1);
    w.litter(7);
    assert_eq!(w.waste().await.unwrap(), 2);
    // Of the user, what is known and what is young stays; of the other one everything.
    assert_eq!(w.blobs.count(), 5 + 4);
    assert_eq!(other.waste().await.unwrap(), 2);
    assert_eq!(
        other
            .read(resource_id(1), Some(Variant::Thumb))
            .await
            .unwrap()
            .len(),
        w.read(resource_id(1), Some(Variant::Thumb)).await.unwrap().len()
    );
}

#[tokio::test]
async fn waste_is_looked_for_in_pages() {
    let w = World::new().await;
    let before = w.h.user().await;
    assert!(before > w.user);
    w.add(file_as(1), &png("x")).await.unwrap();
    for n in 0..2_500 {
        w.litter(1 + n);
        w.blobs.put(
            BlobName {
                user: before,
                id: Uuid::from_u128(n + 1),
            },
            png("of the next user"),
        );
    }
    w.h.clock.advance(GRACE_MS + 1);
    assert_eq!(w.waste().await.unwrap(), 2_500);
    assert_eq!(w.blobs.count(), 2_501);
}

#[tokio::test]
async fn blobs_of_removed_accounts_go() {
    let w = World::new().await;
    let other = w.another_user().await;
    for w in [&w, &other] {
        w.add(file_as(1), &png("x")).await.unwrap();
        w.read(resource_id(1), Some(Variant::Thumb)).await.unwrap();
        let part = w.begin(10, file_as(2)).await;
        w.send(part, 0, &[1; 5], None).await.unwrap();
        w.litter(1);
    }
    w.h.stores.accounts.remove(w.user, 1, None).await.unwrap();
    assert_eq!(w.removed_users().await.unwrap(), 0, "it is not removed yet");
    w.remove_account().await;
    assert_eq!(w.blobs.count(), 8);

    // A storage that fails is gone on with.
    w.blobs.fail_after(BlobCall::Remove, 2, BlobFailure::Unavailable);
    assert!(w.removed_users().await.is_err());
    assert_eq!(w.blobs.count(), 6);
    assert_eq!(w.removed_users().await.unwrap(), 2);
    assert_eq!(w.removed_users().await.unwrap(), 0);
    // It is remembered: an address that was given out before may still bring a blob.
    w.litter(9);
    assert_eq!(w.removed_users().await.unwrap(), 1);
    assert!(w.blobs.names().iter().all(|name| name.user == other.user));
    assert_eq!(w.blobs.count(), 4);
}

#[tokio::test]
async fn many_blobs_of_many_removed_accounts_go() {
    let w = World::new().await;
    for _ in 0..3 {
        let one = w.another_user().await;
        for n in 0..1_100 {
            one.litter(n + 1);
        }
        one.remove_account().await;
    }
    assert_eq!(w.removed_users().await.unwrap(), 3_300);
    w.assert_clean_with(0).await;
}

#[tokio::test]
async fn a_storage_that_fails_in_the_middle_is_gone_on_with_later() {
    let w = World::new().await;
    for n in 1..=5 {
        w.add(file_as(n), &png(&n.to_string())).await.unwrap();
        w.h.write(w.user, [delete(resource_key(n))]).await;
    }
    w.h.clock.advance(2 * DAY_MS);
    w.purge().await;
    w.blobs.fail_after(BlobCall::Remove, 2, BlobFailure::Unavailable);
    assert!(w.garbage.step(w.user).await.is_err());
    assert_eq!(w.blobs.count(), 3);
    // Nothing knows them any more, so they are found as waste.
    w.blobs.fail_next(BlobCall::List, BlobFailure::Unavailable);
    assert!(w.waste().await.is_err());
    assert_eq!(w.collect_garbage().await, 3);
    w.assert_clean_with(0).await;
}

#[tokio::test]
async fn what_killed_processes_left_is_swept_after_a_day() {
    let w = World::new().await;
    let mut ingest = w.attachments.receive(w.user).await.unwrap();
    ingest.write(png("x")).await.unwrap();
    w.blobs.kill();
    drop(ingest);
    let alive = w.attachments.receive(w.user).await.unwrap();
    w.h.clock.advance(GRACE_MS);
    assert_eq!(w.garbage.sweep().await.unwrap(), 0);
    w.h.clock.advance(1);
    assert_eq!(w.garbage.sweep().await.unwrap(), 1);
    assert_eq!(w.blobs.writers(), 1);
    alive.finish().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_that_come_again_while_they_are_removed_are_kept() {
    let w = World::new().await;
    w.add(file_as(1), &png("x")).await.unwrap();
    w.h.write(w.user, [delete(resource_key(1))]).await;
    w.h.clock.advance(2 * DAY_MS);
    w.purge().await;
    let gate = w.blobs.hold(BlobCall::Remove);
    let collecting = {
        let w = w.clone();
        tokio::spawn(async move { w.collect_garbage().await })
    };
    gate.reached().await;
    w.add(file_as(2), &png("x")).await.unwrap();
    gate.open();
    assert_eq!(collecting.await.unwrap(), 1);
    assert_eq!(w.read(resource_id(2), None).await.unwrap(), png("x"));
    w.assert_clean_with(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_that_is_collected_before_the_record_is_written_spares_its_bytes() {
    let w = World::new().await;
    w.add(file_as(1), &png("x")).await.unwrap();
    w.h.write(w.user, [delete(resource_key(1))]).await;
    w.h.clock.advance(2 * DAY_MS);
    w.purge().await;
    // The content was found, and touched; its record is not written yet.
    let gate = w.blobs.hold(BlobCall::Info);
    let upload = {
        let w = w.clone();
        tokio::spawn(async move { w.add(file_as(2), &png("x")).await.unwrap() })
    };
    gate.reached().await;
    assert_eq!(w.collect_garbage().await, 0);
    gate.open();
    upload.await.unwrap();
    assert_eq!(w.read(resource_id(2), None).await.unwrap(), png("x"));
    w.assert_clean_with(1).await;
}

#[tokio::test]
async fn a_file_that_is_being_read_while_it_goes_is_read_to_its_end_or_fails() {
    let w = World::new().await;
    let bytes = blobs::bytes(1, 300_000);
    w.add(file_as(1), &bytes).await.unwrap();
    let named = w.attachments.file(w.user, resource_id(1), None).await.unwrap();
    let reading = w.attachments.read(&named, None).await.unwrap();
    w.blobs.remove(w.blobs.names()[0]).await.unwrap();
    let read: Result<Vec<bytes::Bytes>, _> = futures_util::TryStreamExt::try_collect(reading).await;
    if let Ok(read) = read {
        assert_eq!(sha256(&read.concat()), sha256(&bytes));
    }
    let late = w.attachments.read(&named, None).await;
    assert!(matches!(late, Err(AppError::ContentMissing)));
    let gone = w.add(file("other"), &bytes).await.unwrap();
    assert_eq!(w.read(gone.key, None).await.unwrap(), bytes);
}
