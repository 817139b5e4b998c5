//! How uploads end: finished, refused at the last moment, given up, expired.

use super::*;

#[tokio::test]
async fn a_resource_that_was_deleted_meanwhile_leaves_the_upload_as_it_was() {
    let w = World::new().await;
    for (n, cut) in [(1, 2), (2, 0)] {
        let id = w.begin(5, file_as(n)).await;
        if cut > 0 {
            w.send(id, 0, &png("x")[..cut], None).await.unwrap();
        }
        w.h.write(w.user, [bury(resource_key(n))]).await;
        let refused = w.send(id, cut, &png("x")[cut..], None).await;
        assert_refused(refused, "the record is deleted");
        let all_there = cut > 0;
        assert_eq!(w.received(id).await, if all_there { 5 } else { 0 });
        if all_there {
            let reads = w.blobs.calls(BlobCall::Read);
            assert_refused(w.state(id).await, "the record is deleted");
            assert_eq!(
                w.blobs.calls(BlobCall::Read),
                reads,
                "it is not put together for that"
            );
        }
        assert!(w.stored(n).await.unwrap().is_deleted());
        w.assert_clean().await;
        w.uploads.end(w.user, id).await.unwrap();
        w.assert_clean_with(0).await;
    }
}

#[tokio::test]
async fn first_bytes_that_break_off_leave_no_upload_and_whole_ones_a_resource() {
    let w = World::new().await;
    let breaks = || stream::iter([Err(AppError::Internal("the connection broke".into()))]);
    let wrong = Some(Checksum::Sha1([0; 20]));
    let whole = png("x");
    for (n, length, bytes, checksum, breaks_off) in [
        (1, 5, &whole[..2], None, true),
        (2, 5, &whole, wrong, false),
        (3, 0, &whole, None, false),
        (4, 0, b"", wrong, false),
        (5, 0, b"", None, false),
        (6, 5, &whole, None, false),
    ] {
        let sent = if breaks_off {
            pieces(bytes).chain(breaks()).left_stream()
        } else {
            pieces(bytes).right_stream()
        };
        let request = AppendRequest {
            checksum,
            ..AppendRequest::default()
        };
        let by = w.by();
        let begun = w
            .uploads
            .begin_with(&by, Some(length), file_as(n), None, request, sent);
        let begun = begun.await;
        if n > 4 {
            assert_eq!(begun.unwrap().received, length);
            assert_eq!(w.read(resource_id(n), None).await.unwrap(), bytes);
            continue;
        }
        begun.unwrap_err();
        assert_eq!(w.stored(n).await, None, "{n}");
        assert_eq!(w.h.stores.contents.usage(w.user).await.unwrap().total(), 0, "{n}");
        w.assert_clean_with(0).await;
    }
}

#[tokio::test]
async fn a_resource_that_got_other_bytes_meanwhile_leaves_the_upload_as_it_was() {
    let w = World::new().await;
    let id = w.begin(5, file_as(1)).await;
    w.send(id, 0, &png("x")[..2], None).await.unwrap();
    w.add(file_as(1), &png("y")).await.unwrap();
    let refused = w.send(id, 2, &png("x")[2..], None).await;
    assert_refused(refused, "the resource has other bytes already");
    assert_eq!(w.received(id).await, 5);
    assert_eq!(w.read(resource_id(1), None).await.unwrap(), png("y"));
    w.assert_clean_with(3).await;
}

#[tokio::test]
async fn what_no_longer_fits_leaves_the_upload_as_it_was_until_it_does() {
    let w = World::with(AttachmentLimits {
        user_bytes: 100,
        ..LIMITS
    })
    .await;
    let (bytes, other) = (blobs::bytes(1, 60), blobs::bytes(2, 50));
    let id = w.begin(60, file_as(1)).await;
    w.send(id, 0, &bytes[..59], None).await.unwrap();
    w.add(file_as(2), &other).await.unwrap();
    let refused = w.send(id, 59, &bytes[59..], None).await;
    assert!(
        matches!(refused, Err(AppError::QuotaExceeded { used: 50, quota: 100 })),
        "{refused:?}"
    );
    assert_eq!(w.received(id).await, 60);
    w.assert_clean_with(3).await;

    w.h.write(w.user, [delete(resource_key(2))]).await;
    w.h.clock.advance(2 * DAY_MS);
    w.h.stores
        .retention
        .purge(w.user, mosaic_testkit::at(w.h.clock.ms()), 9)
        .await
        .unwrap();
    // The upload would be dropped as well by now, had somebody not come back in time.
    let dropped =
        w.h.stores
            .orphans
            .collect_unreferenced(w.user, mosaic_testkit::at(w.h.clock.ms()), 9)
            .await
            .unwrap();
    assert_eq!(dropped.blobs.len(), 1);
    w.h.clock.step_back(2 * DAY_MS);
    assert!(w.state(id).await.unwrap().finished);
    assert_eq!(w.read(resource_id(1), None).await.unwrap(), bytes);
}

#[tokio::test]
async fn an_upload_expires_some_time_after_its_last_bytes() {
    let w = World::new().await;
    let id = w.begin(10, file_as(1)).await;
    w.h.clock.advance(LIFETIME_MS - 1);
    let appended = w.send(id, 0, &[1; 4], None).await.unwrap();
    assert_eq!(
        appended.upload.expires_at,
        mosaic_testkit::at(w.h.clock.ms() + LIFETIME_MS)
    );
    w.h.clock.advance(LIFETIME_MS - 1);
    assert_eq!(w.state(id).await.unwrap().received, 4);
    assert_eq!(w.collect_garbage().await, 0);
    w.h.clock.advance(1);
    assert!(matches!(w.state(id).await, Err(AppError::UploadExpired)));
    assert!(matches!(
        w.send(id, 4, &[1; 6], None).await,
        Err(AppError::UploadExpired)
    ));
    assert_eq!(w.collect_garbage().await, 1);
    assert!(matches!(w.state(id).await, Err(AppError::NotFound)));
    assert!(matches!(
        w.send(id, 4, &[1; 6], None).await,
        Err(AppError::NotFound)
    ));
    assert_eq!(w.h.stores.contents.usage(w.user).await.unwrap().announced, 0);
    w.assert_clean_with(0).await;
}

#[tokio::test]
async fn an_upload_is_that_of_its_user() {
    let w = World::new().await;
    let id = w.begin(10, file_as(1)).await;
    let other = w.another_user().await;
    assert!(matches!(other.state(id).await, Err(AppError::NotFound)));
    assert!(matches!(
        other.send(id, 0, &[1], None).await,
        Err(AppError::NotFound)
    ));
    assert!(matches!(
        other.uploads.end(other.user, id).await,
        Err(AppError::NotFound)
    ));
    assert!(
        matches!(w.uploads.confirm(w.user, id).await, Err(AppError::NotFound)),
        "it is not a direct one"
    );
    w.uploads.end(w.user, id).await.unwrap();
    assert!(matches!(w.uploads.end(w.user, id).await, Err(AppError::NotFound)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_that_is_given_up_while_bytes_come_becomes_nothing() {
    let w = World::new().await;
    for (n, length) in [(1, 10), (2, 5)] {
        let id = w.begin(length, file_as(n)).await;
        let gate = w.blobs.hold(BlobCall::Finish);
        let request = {
            let w = w.clone();
            tokio::spawn(async move { w.send(id, 0, &png("x"), None).await })
        };
        gate.reached().await;
        w.uploads.end(w.user, id).await.unwrap();
        gate.open();
        let outcome = request.await.unwrap();
        assert!(
            matches!(outcome, Err(AppError::NotFound)),
            "{length}: {outcome:?}"
        );
        assert_eq!(w.stored(n).await, None);
        w.assert_clean_with(0).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_that_is_given_up_while_it_is_put_together_becomes_nothing() {
    let w = World::new().await;
    for call in [BlobCall::Read, BlobCall::Finish] {
        let id = w.begin(5, file_as(1)).await;
        w.send(id, 0, &png("x")[..2], None).await.unwrap();
        w.blobs.fail_next(BlobCall::Read, BlobFailure::Unavailable);
        assert!(w.send(id, 2, &png("x")[2..], None).await.is_err());
        let gate = w.blobs.hold(call);
        let completing = {
            let w = w.clone();
            tokio::spawn(async move { w.state(id).await })
        };
        gate.reached().await;
        w.uploads.end(w.user, id).await.unwrap();
        gate.open();
        let outcome = completing.await.unwrap();
        assert!(
            matches!(outcome, Err(AppError::NotFound)),
            "{call:?}: {outcome:?}"
        );
        assert_eq!(w.stored(1).await, None);
        w.assert_clean_with(0).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_that_two_put_together_answers_both() {
    let w = World::new().await;
    let bytes = blobs::bytes(1, 300);
    let id = w.begin(300, file_as(1)).await;
    w.send(id, 0, &bytes[..100], None).await.unwrap();
    w.send(id, 100, &bytes[100..200], None).await.unwrap();
    w.blobs.fail_next(BlobCall::Read, BlobFailure::Unavailable);
    assert!(w.send(id, 200, &bytes[200..], None).await.is_err());

    // One is about to read the parts when the other one has finished, and removed them.
    let gate = w.blobs.hold(BlobCall::Read);
    let slow = {
        let w = w.clone();
        tokio::spawn(async move { w.state(id).await.unwrap() })
    };
    gate.reached().await;
    drop(w.blobs.hold(BlobCall::Read));
    let there = w.another_instance();
    assert!(there.state(id).await.unwrap().finished);
    gate.open();
    assert!(slow.await.unwrap().finished);
    assert_eq!(w.read(resource_id(1), None).await.unwrap(), bytes);
    w.assert_clean_with(1).await;

    // Neither of them is ahead.
    let id = w.begin(300, file_as(2)).await;
    w.send(id, 0, &bytes[..150], None).await.unwrap();
    w.blobs.fail_next(BlobCall::Read, BlobFailure::Unavailable);
    assert!(w.send(id, 150, &bytes[150..], None).await.is_err());
    let (one, other) = tokio::join!(w.state(id), w.state(id));
    assert!(one.unwrap().finished && other.unwrap().finished);
    w.assert_clean_with(1).await;
}

#[tokio::test]
async fn w3_uploading_again_makes_no_twin() {
    let w = World::new().await;
    w.add(file_as(1), &png("x")).await.unwrap();
    let before = w.get(1).await;
    for _ in 0..2 {
        let id = w.begin(5, file_as(1)).await;
        w.send(id, 0, &png("x")[..3], None).await.unwrap();
        let last = w.send(id, 3, &png("x")[3..], None).await.unwrap();
        assert_eq!(last.resource, Some(before.clone()));
    }
    w.assert_clean_with(1).await;
}

#[tokio::test]
async fn what_was_said_of_an_upload_is_kept_until_its_end() {
    let w = World::new().await;
    w.h.clock.advance(LIFETIME_MS);
    let by = mosaic_application::records::EditBy {
        created_at: Some(mosaic_testkit::at(77)),
        ..w.by_at(1_234)
    };
    let metadata = Some("filename d29ybGQ=".to_owned());
    let begun = w.uploads.begin(&by, Some(5), file_as(1), metadata.clone()).await;
    let upload = begun.unwrap();
    assert!(
        upload.fields.contains(r#""said":"filename"#),
        "databases have it so: {}",
        upload.fields
    );
    assert_eq!(Uploads::client_metadata(&upload), metadata);
    let stored = w.state(upload.id).await.unwrap().upload;
    assert_eq!(Uploads::client_metadata(&stored), metadata);
    let written = w
        .send(upload.id, 0, &png("x"), None)
        .await
        .unwrap()
        .resource
        .unwrap();
    assert_eq!(
        (written.created_at.get(), written.version.time.get()),
        (77, 1_234)
    );
    assert_eq!(written.version.author, by.client);
}

/// A store that gets no answer at first, and asks twice.
struct AsksTwice(Arc<dyn UploadStore>);

#[async_trait]
impl UploadStore for AsksTwice {
    async fn begin(
        &self,
        user: UserId,
        upload: Upload,
        quota: u64,
        most: u32,
    ) -> Result<BeginOutcome, WriteError> {
        self.0.begin(user, upload, quota, most).await
    }

    async fn upload(&self, user: UserId, id: UploadId) -> Result<Option<UploadState>, StoreError> {
        self.0.upload(user, id).await
    }

    async fn append(
        &self,
        user: UserId,
        id: UploadId,
        part: UploadPart,
        expires_at: UnixMillis,
    ) -> Result<AppendOutcome, StoreError> {
        self.0.append(user, id, part, expires_at).await?;
        self.0.append(user, id, part, expires_at).await
    }

    async fn settle_length(
        &self,
        user: UserId,
        id: UploadId,
        length: u64,
    ) -> Result<LengthOutcome, StoreError> {
        self.0.settle_length(user, id, length).await
    }

    async fn parts(&self, user: UserId, id: UploadId) -> Result<Vec<UploadPart>, StoreError> {
        self.0.parts(user, id).await
    }

    async fn finish(&self, user: UserId, id: UploadId) -> Result<Vec<Uuid>, StoreError> {
        self.0.finish(user, id).await?;
        self.0.finish(user, id).await
    }

    async fn end(&self, user: UserId, id: UploadId) -> Result<Option<Vec<Uuid>>, StoreError> {
        self.0.end(user, id).await
    }

    async fn drop_expired(&self, user: UserId, now: UnixMillis, limit: u32) -> Result<Collected, StoreError> {
        self.0.drop_expired(user, now, limit).await
    }
}

#[tokio::test]
async fn a_part_that_a_store_was_asked_twice_to_take_is_kept() {
    let mut w = World::new().await;
    let store = Arc::new(AsksTwice(Arc::clone(&w.h.stores.uploads)));
    w.uploads = Uploads::new(w.attachments.clone(), w.records.clone(), store, LIFETIME_MS);
    let bytes = blobs::bytes(1, 100);
    let id = w.begin(100, file_as(1)).await;
    assert_eq!(w.send(id, 0, &bytes[..60], None).await.unwrap().received, 60);
    w.send(id, 60, &bytes[60..], None).await.unwrap();
    assert_eq!(w.read(resource_id(1), None).await.unwrap(), bytes);
    // What nobody was told to remove is found later.
    w.h.clock.advance(2 * DAY_MS);
    w.collect_garbage().await;
    w.assert_clean_with(1).await;
}

#[tokio::test]
async fn an_upload_whose_parts_are_lost_says_so() {
    let w = World::new().await;
    let id = w.begin(5, file_as(1)).await;
    w.send(id, 0, &png("x")[..2], None).await.unwrap();
    let lost = BlobName {
        user: w.user,
        id: w.blobs.names()[0].id,
    };
    w.blobs.lose(lost);
    let failed = w.send(id, 2, &png("x")[2..], None).await;
    assert!(matches!(failed, Err(AppError::ContentMissing)), "{failed:?}");
    assert_eq!(w.stored(1).await, None);
}
