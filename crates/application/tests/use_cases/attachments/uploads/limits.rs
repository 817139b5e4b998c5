//! What an upload is refused for before it begins, and how many there may be.

use mosaic_domain::entity::FileSize;

use super::*;

#[tokio::test]
async fn what_would_make_an_upload_useless_is_found_when_it_begins() {
    let w = World::with(AttachmentLimits {
        user_bytes: 1_000,
        file_bytes: 600,
        ..LIMITS
    })
    .await;
    let begin = async |length, new| w.uploads.begin(&w.by(), Some(length), new, None).await;
    let refused = begin(601, file("a")).await;
    assert!(matches!(refused, Err(AppError::FileTooLarge { limit: 600 })));
    let unknown = NewFile {
        memo_id: Some(memo_id(1)),
        ..file("a")
    };
    assert!(matches!(begin(1, unknown).await, Err(AppError::UnknownMemo(_))));
    w.h.write(w.user, [bury(resource_key(1))]).await;
    assert!(matches!(begin(1, file_as(1)).await, Err(AppError::Deleted(_))));
    let ahead = w.by_at(w.h.clock.ms() + 3_600_000);
    let refused = w.uploads.begin(&ahead, Some(1), file("a"), None).await;
    assert!(matches!(refused, Err(AppError::EditTimeAhead { .. })));

    w.add(file("a"), &blobs::bytes(1, 300)).await.unwrap();
    begin(600, file("a")).await.unwrap();
    let refused = begin(101, file("a")).await;
    assert!(
        matches!(
            refused,
            Err(AppError::QuotaExceeded {
                used: 900,
                quota: 1_000
            })
        ),
        "{refused:?}"
    );
    let refused = w.announce(file("a"), 101).await;
    assert!(matches!(refused, Err(AppError::QuotaExceeded { used: 900, .. })));
    begin(100, file("a")).await.unwrap();
}

#[tokio::test]
async fn a_user_has_only_so_many_uploads() {
    let w = World::new().await;
    for _ in 0..200 {
        w.begin(1, file("a")).await;
    }
    let refused = w.uploads.begin(&w.by(), Some(1), file("a"), None).await;
    assert!(matches!(refused, Err(AppError::TooManyUploads)));
    w.another_user().await.begin(1, file("a")).await;
}

#[tokio::test]
async fn an_upload_has_only_so_many_parts() {
    let w = World::new().await;
    let id = w.begin(20_000, file("a")).await;
    let begun = w.h.stores.uploads.upload(w.user, id).await.unwrap().unwrap();
    let with_parts = |parts: u32| {
        let state = UploadState::new(begun.upload.clone(), parts.into(), parts, false);
        let mut store = MockUploadStore::new();
        store
            .expect_upload()
            .returning(move |_, _| Ok(Some(state.clone())));
        let (attachments, records) = (w.attachments.clone(), w.records.clone());
        Uploads::new(attachments, records, Arc::new(store), LIFETIME_MS)
    };
    let append = async |parts| {
        let bytes = pieces(b"");
        let uploads = with_parts(parts);
        let request = AppendRequest {
            offset: parts.into(),
            ..AppendRequest::default()
        };
        uploads.append(w.user, id, request, bytes).await
    };
    append(9_999).await.unwrap();
    let refused = append(10_000).await;
    assert!(matches!(refused, Err(AppError::TooManyParts)));
}

#[tokio::test]
async fn a_length_that_is_told_later_bounds_what_comes() {
    let w = World::new().await;
    let begun = w.uploads.begin(&w.by(), None, file_as(1), None).await.unwrap();
    w.send(begun.id, 0, &[1; 4], None).await.unwrap();
    let send = |length, announced, bytes: &[u8]| {
        let request = AppendRequest {
            offset: 4,
            length: Some(length),
            announced,
            ..AppendRequest::default()
        };
        w.uploads.append(w.user, begun.id, request, pieces(bytes))
    };
    // What announces too much settles no length.
    for (length, announced, bytes) in [
        (11, Some(8), &[1; 6][..]),
        (10, Some(6), &[1; 7]),
        (10, None, &[1; 7]),
    ] {
        let refused = send(length, announced, bytes).await;
        assert!(
            matches!(refused, Err(AppError::BeyondLength { length: of }) if of == length),
            "{refused:?}"
        );
    }
    assert_eq!(w.received(begun.id).await, 4);
    let whole = send(10, Some(6), &[1; 6]).await.unwrap();
    assert_eq!(
        whole.resource.unwrap().content.file_size,
        FileSize::new(10).unwrap()
    );
}

#[tokio::test]
async fn pieces_without_bytes_make_no_blob() {
    let w = World::new().await;
    let id = w.begin(10, file_as(1)).await;
    let nothing = w.append(id, 0, None, stream::iter([Ok(Bytes::new())])).await;
    assert_eq!(nothing.unwrap().received, 0);
    assert_eq!(w.blobs.calls(BlobCall::Create), 0);
}
