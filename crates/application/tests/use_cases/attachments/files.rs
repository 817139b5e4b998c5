//! A file becomes a resource.

use bytes::Bytes;
use mosaic_application::AppError;
use mosaic_application::attachments::{AttachmentLimits, NewFile};
use mosaic_domain::Content;
use mosaic_domain::entity::{FileSize, Resource, ResourceKind, StorageType};
use mosaic_testkit::{
    BlobCall, EditExt as _, blobs, by, delete, memo, memo_id, memo_key, put, resource, resource_id,
    resource_key, resource_of,
};
use tokio::task::JoinSet;

use super::world::{DAY_MS, LIMITS, World, file, file_as, kept, mime, plain, png, sha256};

fn declared(name: &str, file: NewFile) -> NewFile {
    NewFile {
        declared: Some(mime(name)),
        ..file
    }
}

#[tokio::test]
async fn an_upload_becomes_a_record_that_is_pulled() {
    let w = World::new().await;
    w.h.write(w.user, [put(memo_key(1), memo("a walk"))]).await;
    let bytes = blobs::bytes(1, 300_000);
    let new = NewFile {
        memo_id: Some(memo_id(1)),
        metadata: Some(kept(r#"{"width": 4000}"#)),
        ..declared("video/mp4", file("walk.mp4"))
    };
    let written = w.add(new, &bytes).await.unwrap();
    let expected = Resource {
        memo_id: Some(memo_id(1)),
        filename: file("walk.mp4").filename,
        mime_type: mime("video/mp4"),
        file_size: FileSize::new(300_000).unwrap(),
        sha256: Some(sha256(&bytes)),
        storage_type: LIMITS.storage,
        sort_order: 0,
        metadata: kept(r#"{"width": 4000}"#),
    };
    assert_eq!(written.content, expected);
    assert_eq!(written.content.mime_type.kind(), ResourceKind::Video);
    assert_eq!(written.version.author, by("phone"));

    let device = w.h.fresh_device(w.user).await;
    let pulled = device.record(written.key.into()).unwrap();
    assert_eq!(device.content(pulled.key), Some(Content::Resource(expected)));
    assert_eq!(pulled.stamp, written.stamp);
    assert!(pulled.stamp > w.h.record(w.user, memo_key(1)).await.unwrap().stamp);

    assert_eq!(w.read(written.key, None).await.unwrap(), bytes);
    let named = w.attachments.file(w.user, written.key, None).await.unwrap();
    assert_eq!((named.size, named.tag), (300_000, sha256(&bytes).to_string()));
    assert_eq!(named.filename.unwrap().as_str(), "walk.mp4");
    w.assert_clean_with(1).await;
}

#[tokio::test]
async fn some_bytes_of_a_file_are_read() {
    let w = World::new().await;
    let bytes = blobs::bytes(1, 200_000);
    let written = w.add(file("a.bin"), &bytes).await.unwrap();
    let named = w.attachments.file(w.user, written.key, None).await.unwrap();
    for (range, expected) in [
        (0..1, 0..1),
        (65_535..65_537, 65_535..65_537),
        (199_999..300_000, 199_999..200_000),
    ] {
        let read = w.attachments.read(&named, Some(range)).await.unwrap();
        let read: Vec<Bytes> = futures_util::TryStreamExt::try_collect(read).await.unwrap();
        assert_eq!(read.concat(), bytes.slice(expected));
    }
}

#[tokio::test]
async fn an_empty_file_is_a_file() {
    let w = World::new().await;
    let written = w.add(file("empty"), &Bytes::new()).await.unwrap();
    assert_eq!(written.content.file_size.get(), 0);
    assert_eq!(w.read(written.key, None).await.unwrap(), Bytes::new());
    w.assert_clean_with(1).await;
}

#[tokio::test]
async fn a_wrong_type_is_corrected_and_noted() {
    let w = World::new().await;
    let metadata = Some(kept(r#"{"width":4000}"#));
    let new = NewFile {
        metadata,
        ..declared("image/png", file("a.png"))
    };
    let written = w.add(new, &plain("no picture")).await.unwrap().content;
    assert_eq!(written.mime_type, mime("text/plain"));
    let expected = kept(r#"{"width":4000,"declaredMimeType":"image/png"}"#);
    assert_eq!(written.metadata, expected);

    // Neither what is right nor what says nothing is noted.
    for (name, bytes) in [("image/png", png("1")), ("application/octet-stream", png("2"))] {
        let written = w
            .add(declared(name, file("a.png")), &bytes)
            .await
            .unwrap()
            .content;
        assert_eq!(
            (written.mime_type, written.metadata),
            (mime("image/png"), kept("{}"))
        );
    }
    w.assert_clean().await;
}

#[tokio::test]
async fn a_wrong_type_is_not_noted_where_there_is_no_room() {
    let w = World::new().await;
    let full = kept(&format!(r#"{{"x":"{}"}}"#, "y".repeat(16 * 1024 - 8)));
    let new = NewFile {
        metadata: Some(full.clone()),
        ..declared("image/png", file("a.png"))
    };
    let written = w.add(new, &plain("no picture")).await.unwrap().content;
    assert_eq!((written.mime_type, written.metadata), (mime("text/plain"), full));
}

#[tokio::test]
async fn w3_an_upload_that_is_sent_again_changes_nothing() {
    let w = World::new().await;
    let first = w.add(file_as(1), &png("x")).await.unwrap();
    let clock = w.h.stores.reader.digest(w.user).await.unwrap().unwrap().clock;
    // What it would take is not looked at, as that of others is.
    for (new, is_refused) in [(file_as(1), false), (file_as(2), true), (file("a"), true)] {
        assert_eq!(w.announce(new, u64::MAX).await.is_err(), is_refused);
    }
    w.h.clock.advance(60_000);
    for again in [w.by(), w.by_at(w.h.clock.ms())] {
        let new = NewFile {
            metadata: Some(kept(r#"{"other":1}"#)),
            ..file_as(1)
        };
        assert_eq!(w.add_by(&again, new, &png("x")).await.unwrap(), first);
    }
    assert_eq!(
        w.h.stores.reader.digest(w.user).await.unwrap().unwrap().clock,
        clock
    );
    assert_eq!(w.h.revisions(w.user, resource_key(1)).await, []);
    w.assert_clean_with(1).await;
}

#[tokio::test]
async fn a2_bytes_are_never_replaced() {
    let w = World::new().await;
    let first = w.add(file_as(1), &png("x")).await.unwrap();
    for by in [w.by(), w.by_at(w.h.clock.ms())] {
        let refused = w.add_by(&by, file_as(1), &png("y")).await;
        assert!(matches!(refused, Err(AppError::OtherContent)), "{refused:?}");
    }
    assert_eq!(w.read(first.key, None).await.unwrap(), png("x"));
    w.assert_clean_with(1).await;
}

#[tokio::test]
async fn a2_a_record_without_bytes_gets_them() {
    let w = World::new().await;
    let edits = [
        put(memo_key(1), memo("a walk")),
        put(resource_key(1), resource_of(memo_id(1), "walk.png")).created(5),
    ];
    w.h.write(w.user, edits).await;
    let missing = w.attachments.file(w.user, resource_id(1), None).await;
    assert!(matches!(missing, Err(AppError::NotUploaded)));
    let before = w.stored(1).await.unwrap();

    // However long ago it says that it was made: bytes are no contest.
    let written = w.add_by(&w.by_at(10), file_as(1), &png("x")).await.unwrap();
    assert_eq!(
        written.content,
        Resource {
            sha256: Some(sha256(&png("x"))),
            file_size: FileSize::new(5).unwrap(),
            ..resource_of(memo_id(1), "walk.png")
        }
    );
    assert!(written.stamp > before.stamp && written.version > before.version);
    assert_eq!(
        (written.revision_count, written.created_at),
        (before.revision_count + 1, before.created_at)
    );
    assert_eq!(w.read(written.key, None).await.unwrap(), png("x"));
    w.assert_clean_with(1).await;
}

#[tokio::test]
async fn a_resource_says_where_its_bytes_are() {
    for storage in [StorageType::Local, StorageType::S3] {
        let w = World::with(AttachmentLimits { storage, ..LIMITS }).await;
        let written = w.add(file_as(1), &png("x")).await.unwrap();
        assert_eq!(written.content.storage_type, storage);
    }
}

#[tokio::test]
async fn a3_what_a_record_said_before_its_bytes_came_is_noted() {
    let w = World::new().await;
    w.h.write(w.user, [put(resource_key(1), resource("a.png"))]).await;
    let written = w.add(file_as(1), &plain("no picture")).await.unwrap().content;
    assert_eq!(written.mime_type, mime("text/plain"));
    assert_eq!(written.metadata, kept(r#"{"declaredMimeType":"image/png"}"#));
}

#[tokio::test]
async fn a2_a_deleted_resource_gets_no_bytes() {
    let w = World::new().await;
    w.add(file_as(1), &png("x")).await.unwrap();
    w.h.write(w.user, [delete(resource_key(1))]).await;
    for bytes in [png("x"), png("y")] {
        let early = w.attachments.check(&w.by(), &file_as(1), None).await;
        assert!(matches!(early, Err(AppError::Deleted(_))));
        let received = w.receive(&bytes).await.unwrap();
        let late = w.attachments.add(&w.by(), file_as(1), received).await;
        assert!(matches!(late, Err(AppError::Deleted(_))));
    }
    w.assert_clean_with(1).await;

    // A newer edit brings it back (W5).
    w.h.clock.advance(1_000);
    let back = w
        .add_by(&w.by_at(w.h.clock.ms()), file_as(1), &png("y"))
        .await
        .unwrap();
    assert_eq!(back.content.sha256, Some(sha256(&png("y"))));
    w.assert_clean_with(2).await;
}

#[tokio::test]
async fn an_older_upload_for_a_deleted_resource_loses() {
    let w = World::new().await;
    w.h.write(w.user, [delete(resource_key(1)).at(1_000)]).await;
    let lost = w.add_by(&w.by_at(500), file_as(1), &png("x")).await;
    assert!(matches!(lost, Err(AppError::Superseded { .. })), "{lost:?}");
    // What lost is kept (W4), and its bytes with it.
    assert_eq!(w.h.revisions(w.user, resource_key(1)).await.len(), 1);
    w.assert_clean_with(1).await;
}

#[tokio::test]
async fn an_unknown_memo_is_found_before_the_bytes_are_read_and_after() {
    let w = World::new().await;
    let new = NewFile {
        memo_id: Some(memo_id(1)),
        ..file("a.png")
    };
    let early = w.attachments.check(&w.by(), &new, None).await;
    assert!(matches!(early, Err(AppError::UnknownMemo(id)) if id == memo_id(1)));
    let received = w.receive(&png("x")).await.unwrap();
    let late = w.attachments.add(&w.by(), new.clone(), received).await;
    assert!(matches!(late, Err(AppError::UnknownMemo(_))));
    w.assert_clean_with(0).await;

    // A deleted one lets the resource go (W9).
    w.h.write(w.user, [put(memo_key(1), memo("gone"))]).await;
    w.h.write(w.user, [delete(memo_key(1))]).await;
    assert_eq!(w.add(new, &png("x")).await.unwrap().content.memo_id, None);
    w.assert_clean_with(1).await;
}

#[tokio::test]
async fn an_edit_time_ahead_is_refused_before_the_bytes_are_read() {
    let w = World::new().await;
    let ahead = w.by_at(w.h.clock.ms() + 3_600_000);
    let refused = w.attachments.check(&ahead, &file_as(1), None).await;
    assert!(matches!(refused, Err(AppError::EditTimeAhead { .. })));
    let received = w.receive(&png("x")).await.unwrap();
    let refused = w.attachments.add(&ahead, file_as(1), received).await;
    assert!(matches!(refused, Err(AppError::EditTimeAhead { .. })));
    w.assert_clean_with(0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_resource_that_is_deleted_at_the_last_moment_gets_no_bytes() {
    let w = World::new().await;
    w.add(file_as(1), &png("x")).await.unwrap();
    // Having found that its content is there already, the upload looks whether the blob is.
    let gate = w.blobs.hold(BlobCall::Info);
    let upload = {
        let w = w.clone();
        tokio::spawn(async move { w.add(file_as(2), &png("x")).await })
    };
    gate.reached().await;
    w.h.write(w.user, [put(resource_key(2), resource("b.png")).at(5)])
        .await;
    w.h.write(w.user, [delete(resource_key(2))]).await;
    gate.open();
    assert!(matches!(upload.await.unwrap(), Err(AppError::Deleted(_))));
    assert!(w.stored(2).await.unwrap().is_deleted());
    w.assert_clean_with(1).await;
}

#[tokio::test]
async fn the_same_bytes_of_a_user_are_one_blob() {
    let w = World::new().await;
    let first = w.add(file("a.png"), &png("x")).await.unwrap();
    let second = w.add(file("b.png"), &png("x")).await.unwrap();
    assert_ne!(first.key, second.key);
    w.assert_clean_with(1).await;
    let other = w.another_user().await;
    let third = other.add(file("a.png"), &png("x")).await.unwrap();
    w.assert_clean_with(2).await;
    assert!(matches!(w.read(third.key, None).await, Err(AppError::NotFound)));
    assert_eq!(other.read(third.key, None).await.unwrap(), png("x"));
    let usage = w.h.stores.contents.usage(w.user).await.unwrap();
    assert_eq!((usage.held, usage.announced), (5, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_that_send_one_file_at_once_none_makes_a_twin() {
    let w = World::new().await;
    let mut uploads = JoinSet::new();
    for n in 0..12 {
        let w = w.clone();
        let new = if n % 2 == 0 { file_as(1) } else { file("b.png") };
        uploads.spawn(async move { w.add(new, &png("x")).await.unwrap().key });
    }
    let written = uploads.join_all().await;
    assert_eq!(written.iter().filter(|id| **id == resource_id(1)).count(), 6);
    assert_eq!(w.h.live(w.user).await.len(), 7);
    w.assert_clean_with(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_that_send_different_bytes_for_one_resource_one_is_taken() {
    let w = World::new().await;
    let mut uploads = JoinSet::new();
    for n in 0..8 {
        let w = w.clone();
        uploads.spawn(async move { w.add(file_as(1), &png(&n.to_string())).await });
    }
    let outcomes = uploads.join_all().await;
    let taken = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    let refused = outcomes
        .iter()
        .filter(|outcome| matches!(outcome, Err(AppError::OtherContent)));
    assert_eq!((taken, refused.count()), (1, 7));
    w.h.clock.advance(2 * DAY_MS);
    w.collect_garbage().await;
    w.assert_clean_with(1).await;
    assert!(w.read(resource_id(1), None).await.is_ok());
}

#[tokio::test]
async fn a4_files_come_to_the_quota_at_most() {
    let w = World::with(AttachmentLimits {
        user_bytes: 100,
        ..LIMITS
    })
    .await;
    let (large, small) = (blobs::bytes(1, 60), blobs::bytes(2, 40));
    w.announce(file_as(2), 100).await.unwrap();
    w.add(file_as(1), &large).await.unwrap();
    w.announce(file_as(2), 40).await.unwrap();
    let refused = w.announce(file_as(2), 41).await;
    assert!(matches!(
        refused,
        Err(AppError::QuotaExceeded { used: 60, quota: 100 })
    ));
    let refused = w.add(file_as(2), &blobs::bytes(3, 41)).await;
    assert!(matches!(
        refused,
        Err(AppError::QuotaExceeded { used: 60, quota: 100 })
    ));
    assert_eq!(w.stored(2).await, None);
    w.assert_clean_with(1).await;
    w.add(file_as(2), &small).await.unwrap();

    // At the edge, what is there already takes no room.
    w.add(file_as(2), &small).await.unwrap();
    w.add(file_as(3), &large).await.unwrap();
    w.add(file_as(4), &Bytes::new()).await.unwrap();
    let refused = w.add(file_as(5), &blobs::bytes(4, 1)).await;
    assert!(matches!(
        refused,
        Err(AppError::QuotaExceeded {
            used: 100,
            quota: 100
        })
    ));
    w.assert_clean_with(3).await;
}

#[tokio::test]
async fn a4_a_file_has_only_so_many_bytes() {
    let w = World::with(AttachmentLimits {
        file_bytes: 1_500,
        ..LIMITS
    })
    .await;
    w.announce(file("a"), 1_500).await.unwrap();
    let refused = w.announce(file("a"), 1_501).await;
    assert!(matches!(refused, Err(AppError::FileTooLarge { limit: 1_500 })));
    w.add(file("a"), &blobs::bytes(1, 1_500)).await.unwrap();
    let refused = w.add(file("a"), &blobs::bytes(1, 1_501)).await;
    assert!(matches!(refused, Err(AppError::FileTooLarge { limit: 1_500 })));
    w.assert_clean_with(1).await;
}

#[tokio::test]
async fn a_file_is_given_out_by_address_where_the_storage_has_one() {
    let w = World::new().await;
    let written = w.add(file("a.png"), &png("x")).await.unwrap();
    let file = w.attachments.file(w.user, written.key, None).await.unwrap();
    let minute = std::time::Duration::from_mins(1);
    let address = w
        .attachments
        .address(&file, "inline".to_owned(), minute)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(w.blobs.fetch(&address).unwrap(), png("x"));
}
