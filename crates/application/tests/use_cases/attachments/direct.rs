//! Direct uploads: the bytes go past the server.

use std::time::Duration;

use mosaic_application::AppError;
use mosaic_application::attachments::{AttachmentLimits, NewFile};
use mosaic_application::uploads::DirectUpload;
use mosaic_testkit::{BlobCall, BlobFailure, at, blobs, bury, memo_id, resource_id, resource_key};

use super::world::{DAY_MS, LIFETIME_MS, LIMITS, World, file, file_as, plain, png, sha256};

const ADDRESS_FOR: Duration = Duration::from_mins(15);

impl World {
    async fn begin_direct(&self, length: usize, file: NewFile) -> Result<DirectUpload, AppError> {
        let (by, length) = (self.by(), length as u64);
        self.uploads.begin_direct(&by, length, file, ADDRESS_FOR).await
    }
}

#[tokio::test]
async fn a_direct_upload_becomes_a_resource_when_it_is_confirmed() {
    let w = World::new().await;
    let bytes = blobs::bytes(1, 300_000);
    let direct = w.begin_direct(300_000, file_as(1)).await.unwrap();
    assert_eq!(direct.expires_at, at(w.h.clock.ms() + 15 * 60_000));
    assert_eq!(
        w.h.stores.contents.usage(w.user).await.unwrap().announced,
        300_000
    );
    assert!(w.blobs.send(&direct.address, bytes.clone()));
    assert_eq!(w.stored(1).await, None);
    w.assert_clean_with(1).await;
    let written = w.uploads.confirm(w.user, direct.upload.id).await.unwrap();
    assert_eq!(
        (written.key, written.content.sha256),
        (resource_id(1), Some(sha256(&bytes)))
    );
    assert_eq!(w.read(written.key, None).await.unwrap(), bytes);
    // Sent again, it answers the same.
    assert_eq!(
        w.uploads.confirm(w.user, direct.upload.id).await.unwrap(),
        written
    );
    assert!(w.uploads.state(w.user, direct.upload.id).await.unwrap().finished);
    assert_eq!(w.h.stores.contents.usage(w.user).await.unwrap().announced, 0);
    w.assert_clean_with(1).await;
}

#[tokio::test]
async fn nothing_is_confirmed_before_all_bytes_are_there() {
    let w = World::new().await;
    let direct = w.begin_direct(5, file_as(1)).await.unwrap();
    let confirm = async || w.uploads.confirm(w.user, direct.upload.id).await;
    assert!(matches!(confirm().await, Err(AppError::UploadIncomplete(_))));
    for wrong in [png(""), png("xy")] {
        assert!(w.blobs.send(&direct.address, wrong));
        assert!(matches!(confirm().await, Err(AppError::UploadIncomplete(_))));
        assert_eq!(w.stored(1).await, None);
    }
    assert!(w.blobs.send(&direct.address, png("x")));
    confirm().await.unwrap();
    w.assert_clean_with(1).await;
}

#[tokio::test]
async fn what_is_sent_after_the_confirmation_changes_nothing() {
    let w = World::new().await;
    let direct = w.begin_direct(5, file_as(1)).await.unwrap();
    assert!(w.blobs.send(&direct.address, png("x")));
    let written = w.uploads.confirm(w.user, direct.upload.id).await.unwrap();
    assert!(w.blobs.send(&direct.address, png("y")), "the address works still");
    assert_eq!(
        w.uploads.confirm(w.user, direct.upload.id).await.unwrap(),
        written
    );
    assert_eq!(w.read(written.key, None).await.unwrap(), png("x"));
    assert_eq!(w.blobs.count(), 2);
    // It is nobody's, and goes.
    w.h.clock.advance(DAY_MS + 1);
    assert_eq!(w.collect_garbage().await, 1);
    w.assert_clean_with(1).await;
}

#[tokio::test]
async fn a_confirmation_that_fails_is_sent_again() {
    let w = World::new().await;
    let direct = w.begin_direct(5, file_as(1)).await.unwrap();
    assert!(w.blobs.send(&direct.address, png("x")));
    let calls = [
        BlobCall::Info,
        BlobCall::Create,
        BlobCall::Read,
        BlobCall::Piece,
        BlobCall::Write,
        BlobCall::Finish,
    ];
    for call in calls {
        w.blobs.fail_next(call, BlobFailure::Unavailable);
        let failed = w.uploads.confirm(w.user, direct.upload.id).await;
        assert!(matches!(failed, Err(AppError::Blobs(_))), "{call:?}: {failed:?}");
        assert_eq!(w.stored(1).await, None);
        w.assert_clean_with(1).await;
    }
    w.uploads.confirm(w.user, direct.upload.id).await.unwrap();
    w.assert_clean_with(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_that_confirm_at_once_both_are_answered() {
    let w = World::new().await;
    let direct = w.begin_direct(5, file_as(1)).await.unwrap();
    assert!(w.blobs.send(&direct.address, png("x")));
    let confirm = || w.uploads.confirm(w.user, direct.upload.id);
    let (one, other) = tokio::join!(confirm(), confirm());
    assert_eq!(one.unwrap(), other.unwrap());
    w.assert_clean_with(1).await;

    // One is about to read when the other one, on another instance, is done.
    let direct = w.begin_direct(5, file_as(2)).await.unwrap();
    assert!(w.blobs.send(&direct.address, png("y")));
    let gate = w.blobs.hold(BlobCall::Read);
    let slow = {
        let (w, id) = (w.clone(), direct.upload.id);
        tokio::spawn(async move { w.uploads.confirm(w.user, id).await.unwrap() })
    };
    gate.reached().await;
    drop(w.blobs.hold(BlobCall::Read));
    let there = w.another_instance();
    let written = there.uploads.confirm(w.user, direct.upload.id).await.unwrap();
    gate.open();
    assert_eq!(slow.await.unwrap(), written);
    w.assert_clean_with(2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_whose_bytes_are_replaced_while_it_is_confirmed_has_what_was_read() {
    let w = World::new().await;
    let direct = w.begin_direct(5, file_as(1)).await.unwrap();
    for (replaced_by, is_whole) in [(png("much longer"), false), (png("y"), true)] {
        assert!(w.blobs.send(&direct.address, png("x")));
        let gate = w.blobs.hold(BlobCall::Read);
        let confirming = {
            let (w, id) = (w.clone(), direct.upload.id);
            tokio::spawn(async move { w.uploads.confirm(w.user, id).await })
        };
        gate.reached().await;
        assert!(w.blobs.send(&direct.address, replaced_by));
        gate.open();
        let outcome = confirming.await.unwrap();
        assert_eq!(outcome.is_ok(), is_whole, "{outcome:?}");
    }
    assert_eq!(w.read(resource_id(1), None).await.unwrap(), png("y"));
    w.assert_clean_with(1).await;
}

#[tokio::test]
async fn a_resource_that_was_deleted_meanwhile_is_not_confirmed() {
    let w = World::new().await;
    let direct = w.begin_direct(5, file_as(1)).await.unwrap();
    assert!(w.blobs.send(&direct.address, png("x")));
    w.h.write(w.user, [bury(resource_key(1))]).await;
    let refused = w.uploads.confirm(w.user, direct.upload.id).await;
    assert!(matches!(refused, Err(AppError::Deleted(_))), "{refused:?}");
    w.assert_clean_with(1).await;
    // Its address can't be called back, so it counts until then.
    let ended = w.uploads.end(w.user, direct.upload.id).await;
    assert!(matches!(ended, Err(AppError::NotFound)), "{ended:?}");
    w.h.clock.advance(LIFETIME_MS);
    w.collect_garbage().await;
    w.assert_clean_with(0).await;
}

#[tokio::test]
async fn a_direct_upload_expires() {
    let w = World::new().await;
    let direct = w.begin_direct(5, file_as(1)).await.unwrap();
    assert!(w.blobs.send(&direct.address, png("x")));
    w.h.clock.advance(LIFETIME_MS);
    let late = w.uploads.confirm(w.user, direct.upload.id).await;
    assert!(matches!(late, Err(AppError::UploadExpired)));
    assert_eq!(w.collect_garbage().await, 1);
    let late = w.uploads.confirm(w.user, direct.upload.id).await;
    assert!(matches!(late, Err(AppError::NotFound)));
    w.assert_clean_with(0).await;
}

#[tokio::test]
async fn a_direct_upload_is_refused_when_it_begins() {
    let limits = AttachmentLimits {
        user_bytes: 1_000,
        file_bytes: 600,
        ..LIMITS
    };
    let w = World::with(limits).await;
    let unknown = NewFile {
        memo_id: Some(memo_id(1)),
        ..file("a")
    };
    assert!(matches!(
        w.begin_direct(1, unknown).await,
        Err(AppError::UnknownMemo(_))
    ));
    assert!(matches!(
        w.begin_direct(601, file("a")).await,
        Err(AppError::FileTooLarge { limit: 600 })
    ));
    w.begin_direct(600, file("a")).await.unwrap();
    let refused = w.begin_direct(600, file("a")).await;
    assert!(matches!(
        refused,
        Err(AppError::QuotaExceeded {
            used: 600,
            quota: 1_000
        })
    ));
    w.blobs.fail_next(BlobCall::Presign, BlobFailure::Unavailable);
    assert!(matches!(
        w.begin_direct(1, file("a")).await,
        Err(AppError::Blobs(_))
    ));
    w.assert_clean_with(0).await;
}

#[tokio::test]
async fn a_storage_without_addresses_takes_no_direct_uploads() {
    let w = World::unsigned().await;
    let refused = w.begin_direct(5, file("a")).await;
    assert!(matches!(refused, Err(AppError::NoDirectUploads)));
    assert_eq!(w.h.stores.contents.usage(w.user).await.unwrap().announced, 0);
    let written = w.add(file("a"), &plain("x")).await.unwrap();
    let named = w.attachments.file(w.user, written.key, None).await.unwrap();
    let address = w
        .attachments
        .address(&named, "inline".to_owned(), ADDRESS_FOR)
        .await;
    assert_eq!(address.unwrap(), None);
}

#[tokio::test]
async fn a_direct_upload_takes_no_parts_and_is_that_of_its_user() {
    let w = World::new().await;
    let direct = w.begin_direct(5, file_as(1)).await.unwrap();
    let refused = w.send(direct.upload.id, 0, &png("x"), None).await;
    assert!(matches!(refused, Err(AppError::NotFound)));
    let other = w.another_user().await;
    let refused = other.uploads.confirm(other.user, direct.upload.id).await;
    assert!(matches!(refused, Err(AppError::NotFound)));
}
