//! Smaller pictures, made when they are asked for.

use mosaic_application::AppError;
use mosaic_domain::attachment::{ContentRef, ReferenceOutcome};
use mosaic_domain::entity::{Resource, Variant};
use mosaic_ports::BlobName;
use mosaic_testkit::{
    BlobCall, BlobFailure, at, delete, filled, hash, put, resource, resource_id, resource_key,
};
use tokio::task::JoinSet;
use uuid::Uuid;

use super::world::{DAY_MS, World, file, file_as, mime, plain, png, sha256, smaller, until};

const MIB: u64 = 1024 * 1024;

#[tokio::test]
async fn a_smaller_picture_is_made_when_somebody_asks_and_kept() {
    let w = World::new().await;
    let written = w.add(file_as(1), &png("x")).await.unwrap();
    assert_eq!(w.painter.painted(), 1, "whether one can be made was found out");
    w.assert_clean_with(1).await;
    for (variant, longest_side) in [(Variant::Thumb, 320), (Variant::Opt, 1600)] {
        let before = w.painter.painted();
        for _ in 0..3 {
            let bytes = w.read(written.key, Some(variant)).await.unwrap();
            assert_eq!(bytes, smaller(&png("x"), longest_side));
        }
        assert_eq!(w.painter.painted(), before + 1);
        let named = w
            .attachments
            .file(w.user, written.key, Some(variant))
            .await
            .unwrap();
        assert_eq!(named.mime_type, mime("image/jpeg"));
        assert_eq!(named.tag, format!("{}-{}", sha256(&png("x")), variant.name()));
        assert_eq!(named.filename.unwrap().as_str(), "a.png");
    }
    w.assert_clean_with(3).await;

    // They belong to the content, whatever resource has it.
    w.add(file_as(2), &png("x")).await.unwrap();
    w.read(resource_id(2), Some(Variant::Thumb)).await.unwrap();
    assert_eq!(w.painter.painted(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_smaller_picture_that_many_ask_for_is_made_once() {
    let w = World::new().await;
    let written = w.add(file_as(1), &png("x")).await.unwrap();
    let gate = w.blobs.hold(BlobCall::Read);
    let mut askers = JoinSet::new();
    for _ in 0..20 {
        let w = w.clone();
        askers.spawn(async move {
            w.attachments
                .file(w.user, written.key, Some(Variant::Thumb))
                .await
                .unwrap()
        });
    }
    gate.reached().await;
    gate.open();
    let files = askers.join_all().await;
    assert!(files.iter().all(|file| *file == files[0]));
    assert_eq!((w.painter.painted(), w.blobs.calls(BlobCall::Read)), (2, 2));
    w.assert_clean_with(2).await;
}

#[tokio::test]
async fn there_are_none_of_what_is_no_picture() {
    let w = World::new().await;
    let text = w.add(file("a.txt"), &plain("x")).await.unwrap();
    let broken = w.add(file("a.png"), &png("broken")).await.unwrap();
    for id in [text.key, broken.key] {
        let refused = w.attachments.file(w.user, id, Some(Variant::Thumb)).await;
        assert!(matches!(refused, Err(AppError::NotAPicture)), "{refused:?}");
    }
    let huge = w.add(file("a.png"), &png("huge")).await.unwrap();
    assert!(
        !text.content.has_thumbnail() && !broken.content.has_thumbnail() && !huge.content.has_thumbnail()
    );
    let refused = w.attachments.file(w.user, huge.key, Some(Variant::Opt)).await;
    assert!(
        matches!(refused, Err(AppError::PictureTooLarge(_))),
        "{refused:?}"
    );

    w.h.write(w.user, [put(resource_key(9), resource("a.png"))]).await;
    let refused = w
        .attachments
        .file(w.user, resource_id(9), Some(Variant::Opt))
        .await;
    assert!(matches!(refused, Err(AppError::NotUploaded)), "{refused:?}");
    let refused = w
        .attachments
        .file(w.user, resource_id(10), Some(Variant::Opt))
        .await;
    assert!(matches!(refused, Err(AppError::NotFound)), "{refused:?}");
    assert_eq!(w.painter.painted(), 0);
    w.assert_clean_with(3).await;
}

/// What can't be found out at once is no reason to refuse an upload, nor to say that there is none.
#[tokio::test]
async fn an_upload_whose_bytes_can_not_be_looked_at_now_is_taken_for_a_picture() {
    let w = World::new().await;
    w.blobs.fail_next(BlobCall::Read, BlobFailure::Failed);
    let written = w.add(file_as(1), &png("x")).await.unwrap();
    assert!(written.content.has_thumbnail());
    w.read(written.key, Some(Variant::Thumb)).await.unwrap();
}

#[tokio::test]
async fn a_file_that_is_too_large_is_not_read_into_memory() {
    let w = World::new().await;
    for (n, size, reads) in [(1, 64 * MIB + 1, 0), (2, 64 * MIB, 1)] {
        let content = ContentRef {
            sha256: hash(n),
            blob: Uuid::from_u128(n.into()),
            size,
            touched_at: at(w.h.clock.ms()),
        };
        let held = w.h.stores.contents.reference(w.user, content, u64::MAX).await;
        assert_eq!(held.unwrap(), ReferenceOutcome::Added);
        w.h.write(w.user, [put(resource_key(n), filled("a.png", n))])
            .await;
        let asked = w.attachments.file(w.user, resource_id(n), Some(Variant::Opt));
        let refused = asked.await;
        let is_too_large = matches!(refused, Err(AppError::PictureTooLarge(_)));
        assert_eq!(is_too_large, reads == 0, "{refused:?}");
        assert_eq!(w.blobs.calls(BlobCall::Read), reads);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_picture_whose_content_goes_meanwhile_leaves_no_smaller_one() {
    let w = World::new().await;
    let written = w.add(file_as(1), &png("x")).await.unwrap();
    // The smaller picture is made, and about to be stored.
    let gate = w.blobs.hold(BlobCall::Finish);
    let asker = {
        let w = w.clone();
        tokio::spawn(async move {
            w.attachments
                .file(w.user, written.key, Some(Variant::Thumb))
                .await
        })
    };
    gate.reached().await;
    w.h.write(w.user, [delete(resource_key(1))]).await;
    w.h.clock.advance(2 * DAY_MS);
    let now = at(w.h.clock.ms());
    w.h.stores.retention.purge(w.user, now, 100).await.unwrap();
    w.collect_garbage().await;
    assert_eq!(w.blobs.count(), 0);
    gate.open();
    let outcome = asker.await.unwrap();
    assert!(matches!(outcome, Err(AppError::NotUploaded)), "{outcome:?}");
    w.assert_clean_with(0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_smaller_picture_of_an_account_that_goes_meanwhile_leaves_nothing() {
    let w = World::new().await;
    let written = w.add(file_as(1), &png("x")).await.unwrap();
    let gate = w.blobs.hold(BlobCall::Finish);
    let asker = {
        let w = w.clone();
        tokio::spawn(async move {
            w.attachments
                .file(w.user, written.key, Some(Variant::Thumb))
                .await
        })
    };
    gate.reached().await;
    let accounts = &w.h.stores.accounts;
    while accounts.remove(w.user, 100, None).await.unwrap() == mosaic_domain::account::RemoveOutcome::Removing
    {
    }
    w.removed_users().await.unwrap();
    gate.open();
    assert!(asker.await.unwrap().is_err());
    w.assert_clean_with(0).await;
}

#[tokio::test]
async fn a_storage_that_fails_makes_no_smaller_picture_and_the_next_one_is_made() {
    let w = World::new().await;
    let written = w.add(file_as(1), &png("x")).await.unwrap();
    let calls = [
        BlobCall::Read,
        BlobCall::Piece,
        BlobCall::Create,
        BlobCall::Write,
        BlobCall::Finish,
    ];
    for call in calls {
        w.blobs.fail_next(call, BlobFailure::Full);
        let failed = w
            .attachments
            .file(w.user, written.key, Some(Variant::Thumb))
            .await;
        assert!(matches!(failed, Err(AppError::Blobs(_))), "{call:?}: {failed:?}");
        w.assert_clean_with(1).await;
    }
    assert_eq!(
        w.read(written.key, Some(Variant::Thumb)).await.unwrap(),
        smaller(&png("x"), 320)
    );
    w.assert_clean_with(2).await;
}

#[tokio::test]
async fn a_picture_whose_blob_is_lost_makes_no_smaller_one() {
    let w = World::new().await;
    let written = w.add(file_as(1), &png("x")).await.unwrap();
    w.blobs.lose(w.blobs.names()[0]);
    let failed = w
        .attachments
        .file(w.user, written.key, Some(Variant::Thumb))
        .await;
    assert!(matches!(failed, Err(AppError::ContentMissing)), "{failed:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_instances_that_make_one_smaller_picture_one_is_kept() {
    let w = World::new().await;
    let written = w.add(file_as(1), &png("x")).await.unwrap();
    let gate = w.blobs.hold(BlobCall::Finish);
    let ask = |w: World| async move { w.read(written.key, Some(Variant::Thumb)).await.unwrap() };
    let mut askers = JoinSet::new();
    askers.spawn(ask(w.clone()));
    askers.spawn(ask(w.another_instance()));
    until("both have made it", async || {
        w.painter.painted() == 3 && w.blobs.calls(BlobCall::Finish) == 3
    })
    .await;
    gate.open();
    assert_eq!(askers.join_all().await, vec![smaller(&png("x"), 320); 2]);
    w.assert_clean_with(2).await;
}

#[tokio::test]
async fn smaller_pictures_go_with_their_picture() {
    let w = World::new().await;
    let written = w.add(file_as(1), &png("x")).await.unwrap();
    w.read(written.key, Some(Variant::Thumb)).await.unwrap();
    w.read(written.key, Some(Variant::Opt)).await.unwrap();
    let name = |id| BlobName { user: w.user, id };
    let held =
        w.h.stores
            .contents
            .content(w.user, sha256(&png("x")))
            .await
            .unwrap()
            .unwrap();
    assert!(w.blobs.bytes(name(held.blob)).is_some());
    w.h.write(w.user, [delete(resource_key(1))]).await;
    w.h.clock.advance(2 * DAY_MS);
    w.h.stores
        .retention
        .purge(w.user, at(w.h.clock.ms()), 100)
        .await
        .unwrap();
    assert_eq!(w.collect_garbage().await, 3);
    w.assert_clean_with(0).await;
}

#[tokio::test]
async fn what_a_record_says_decides_whether_there_are_smaller_pictures() {
    // Another device may have said something else of it since: nothing is decoded that is not said to be a picture.
    let w = World::new().await;
    w.add(file_as(1), &png("x")).await.unwrap();
    let mut content = Resource::clone(
        &w.records
            .get::<Resource>(w.user, resource_id(1))
            .await
            .unwrap()
            .content,
    );
    content.mime_type = mime("text/html");
    w.h.clock.advance(1);
    let edit = mosaic_testkit::EditExt::at(put(resource_key(1), content), w.h.clock.ms());
    w.h.write(w.user, [edit]).await;
    let refused = w
        .attachments
        .file(w.user, resource_id(1), Some(Variant::Thumb))
        .await;
    assert!(matches!(refused, Err(AppError::NotAPicture)), "{refused:?}");
}

#[tokio::test]
async fn a_smaller_picture_that_was_lost_is_made_again() {
    let w = World::new().await;
    let written = w.add(file_as(1), &png("x")).await.unwrap();
    let content = w.blobs.names()[0];
    w.read(written.key, Some(Variant::Thumb)).await.unwrap();
    let lost = w.blobs.names().into_iter().find(|name| *name != content);
    w.blobs.lose(lost.unwrap());
    let failed = w.read(written.key, Some(Variant::Thumb)).await;
    assert!(matches!(failed, Err(AppError::ContentMissing)), "{failed:?}");
    for _ in 0..2 {
        let again = w.read(written.key, Some(Variant::Thumb)).await.unwrap();
        assert_eq!(again, smaller(&png("x"), 320));
    }
    assert_eq!(w.painter.painted(), 3);
    w.assert_clean_with(2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_smaller_picture_is_made_though_nobody_waits_for_it() {
    let w = World::new().await;
    let written = w.add(file_as(1), &png("x")).await.unwrap();
    let gate = w.blobs.hold(BlobCall::Finish);
    let asker = {
        let w = w.clone();
        tokio::spawn(async move { w.read(written.key, Some(Variant::Thumb)).await.map(drop) })
    };
    gate.reached().await;
    asker.abort();
    gate.open();
    until("it is there", async || w.blobs.count() == 2).await;
    w.read(written.key, Some(Variant::Thumb)).await.unwrap();
    assert_eq!(w.painter.painted(), 2);
    w.assert_clean_with(2).await;
}

/// Whoever asks for many waits behind themselves, and leaves a lane for others.
/// Each is read into memory.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_pictures_of_many_users_only_so_many_are_made_at_once() {
    let w = World::new().await;
    let other = w.another_user().await;
    for w in [&w, &other] {
        w.add(file_as(1), &png("x")).await.unwrap();
    }
    let ask = |w: &World| {
        let w = w.clone();
        tokio::spawn(async move { w.read(resource_id(1), Some(Variant::Thumb)).await })
    };
    let first_reads = w.blobs.hold(BlobCall::Read);
    let first = ask(&w);
    first_reads.reached().await;
    let second_reads = w.blobs.hold(BlobCall::Read);
    let second = ask(&other);
    second_reads.assert_not_reached().await;
    first_reads.open();
    second_reads.reached().await;
    second_reads.open();
    for made in [first, second] {
        made.await.unwrap().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_user_s_pictures_are_made_one_at_a_time() {
    let w = World::new().await;
    // Two that do not share a lane by their contents.
    let lane = |n: u64| sha256(&png(&n.to_string())).as_bytes()[0] % 2;
    let other = (1..100).find(|n| lane(*n) != lane(0)).unwrap();
    let mut keys = Vec::new();
    for (resource, n) in [(1, 0), (2, other)] {
        let written = w.add(file_as(resource), &png(&n.to_string())).await;
        keys.push(written.unwrap().key);
    }
    let ask = |key| {
        let w = w.clone();
        let asks = async move { w.attachments.file(w.user, key, Some(Variant::Thumb)).await };
        tokio::spawn(asks)
    };
    let first_reads = w.blobs.hold(BlobCall::Read);
    let first = ask(keys[0]);
    first_reads.reached().await;
    let second_reads = w.blobs.hold(BlobCall::Read);
    let second = ask(keys[1]);
    second_reads.assert_not_reached().await;
    first_reads.open();
    first.await.unwrap().unwrap();
    second_reads.reached().await;
    second_reads.open();
    second.await.unwrap().unwrap();
}
