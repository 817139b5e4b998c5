//! Files whose upload fails: storage, stores and clients that go away; and bytes that were lost.

use std::sync::Arc;

use bytes::Bytes;
use mosaic_application::AppError;
use mosaic_application::attachments::NewFile;
use mosaic_domain::account::RemoveOutcome;
use mosaic_ports::{BlobName, MockAttachmentIndex, StoreError, WriteError};
use mosaic_testkit::{BlobCall, BlobFailure, resource_id, resource_key};
use tokio::task::JoinSet;

use super::world::{DAY_MS, LIMITS, World, file, file_as, png, until};

#[tokio::test]
async fn a1_a_storage_that_fails_leaves_no_record() {
    let w = World::new().await;
    for call in [BlobCall::Create, BlobCall::Write, BlobCall::Finish] {
        for failure in [BlobFailure::Unavailable, BlobFailure::Full, BlobFailure::Failed] {
            w.blobs.fail_next(call, failure);
            let failed = w.add(file_as(1), &png("x")).await;
            assert!(matches!(failed, Err(AppError::Blobs(_))), "{call:?} {failure:?}");
            assert_eq!(w.stored(1).await, None);
            w.assert_clean_with(0).await;
        }
    }
    w.add(file_as(1), &png("x")).await.unwrap();
    w.assert_clean_with(1).await;
}

#[tokio::test]
async fn a1_a_dropped_upload_leaves_nothing() {
    let w = World::new().await;
    let mut ingest = w.attachments.receive(w.user).await.unwrap();
    ingest.write(png("x")).await.unwrap();
    assert_eq!((ingest.size(), w.blobs.writers()), (5, 1));
    drop(ingest);
    w.assert_clean_with(0).await;
}

#[tokio::test]
async fn an_account_that_is_gone_takes_no_bytes() {
    let w = World::new().await;
    let received = w.receive(&png("x")).await.unwrap();
    let accounts = &w.h.stores.accounts;
    while accounts.remove(w.user, 100, None).await.unwrap() == RemoveOutcome::Removing {}
    let refused = w.attachments.add(&w.by(), file("a.png"), received).await;
    assert!(
        matches!(refused, Err(AppError::Unauthenticated(_))),
        "{refused:?}"
    );
    assert_eq!(w.blobs.count(), 0);
}

#[tokio::test]
async fn a1_a_store_that_fails_leaves_no_record() {
    let failing = |_| {
        let mut contents = MockAttachmentIndex::new();
        let failure = || WriteError::Store(StoreError::Unavailable("the test wants it so".into()));
        contents
            .expect_reference()
            .returning(move |_, _, _| Err(failure()));
        Arc::new(contents) as _
    };
    let w = World::over(LIMITS, failing).await;
    let failed = w.add(file_as(1), &png("x")).await;
    assert!(matches!(failed, Err(AppError::Store(_))), "{failed:?}");
    assert_eq!(w.stored(1).await, None);
    // Nobody knows whether it was noted: the blob stays until it is certain that it was not.
    assert_eq!((w.blobs.count(), w.collect_garbage().await), (1, 0));
    w.h.clock.advance(DAY_MS + 1);
    assert_eq!(w.collect_garbage().await, 1);
    w.assert_clean_with(0).await;
}

#[tokio::test]
async fn a_blob_that_can_not_be_removed_fails_no_upload() {
    let w = World::new().await;
    w.blobs.fail(BlobCall::Remove, BlobFailure::Unavailable);
    w.add(file("a.png"), &png("x")).await.unwrap();
    w.add(file("b.png"), &png("x")).await.unwrap();
    assert_eq!(w.blobs.count(), 2, "one is not needed");
    w.blobs.heal();
    w.h.clock.advance(2 * DAY_MS);
    assert_eq!(w.collect_garbage().await, 1);
    w.assert_clean_with(1).await;
}

#[tokio::test]
async fn a_lost_blob_is_healed_by_uploading_it_again() {
    let w = World::new().await;
    let lose = |name: BlobName| w.blobs.lose(name);
    let cut = |name: BlobName| w.blobs.put(name, Bytes::from_static(b"PN"));
    let damages: [(&dyn Fn(BlobName), NewFile); 3] = [
        (&lose, file_as(1)),
        (&cut, file_as(1)),
        (&lose, file("of another name.png")),
    ];
    w.add(file_as(1), &png("x")).await.unwrap();
    for (damage, again) in damages {
        damage(w.blobs.names()[0]);
        let missing = w.read(resource_id(1), None).await;
        assert!(matches!(missing, Err(AppError::ContentMissing)), "{missing:?}");
        assert_eq!(w.findings().await.len(), 1);
        w.add(again, &png("x")).await.unwrap();
        assert_eq!(w.read(resource_id(1), None).await.unwrap(), png("x"));
        w.assert_clean_with(1).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_that_heal_one_content_one_blob_stays() {
    let w = World::new().await;
    w.add(file_as(1), &png("x")).await.unwrap();
    w.blobs.lose(w.blobs.names()[0]);
    let gate = w.blobs.hold(BlobCall::Info);
    let mut uploads = JoinSet::new();
    for _ in 0..2 {
        let w = w.clone();
        uploads.spawn(async move { w.add(file_as(1), &png("x")).await.unwrap() });
    }
    until("both look for the blob", async || {
        w.blobs.calls(BlobCall::Info) == 2
    })
    .await;
    gate.open();
    uploads.join_all().await;
    assert_eq!(w.read(resource_id(1), None).await.unwrap(), png("x"));
    w.assert_clean_with(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_goes_away_after_the_last_byte_interrupts_nothing() {
    let w = World::new().await;
    let mut ingest = w.attachments.receive(w.user).await.unwrap();
    ingest.write(png("x")).await.unwrap();
    let gate = w.blobs.hold(BlobCall::Finish);
    let request = {
        let w = w.clone();
        tokio::spawn(async move { w.attachments.complete(w.by(), file_as(1), ingest).await.map(drop) })
    };
    gate.reached().await;
    request.abort();
    gate.open();
    until("it is there", async || w.stored(1).await.is_some()).await;
    assert_eq!(w.read(resource_id(1), None).await.unwrap(), png("x"));
    w.assert_clean_with(1).await;
}

#[tokio::test]
async fn w3_an_upload_whose_answer_was_lost_is_sent_again() {
    let w = World::new().await;
    for (n, written) in [(1, false), (2, true)] {
        w.writes.fail_next(written);
        let failed = w.add(file_as(n), &png("x")).await;
        assert!(matches!(failed, Err(AppError::Store(_))), "{failed:?}");
        assert_eq!(w.stored(n).await.is_some(), written);
        let stamp = w.stored(n).await.map(|record| record.stamp);
        let again = w.add(file_as(n), &png("x")).await.unwrap();
        assert!(stamp.is_none_or(|stamp| again.stamp == stamp));
        assert_eq!(w.h.revisions(w.user, resource_key(n)).await, []);
    }
    w.assert_clean_with(1).await;
}
