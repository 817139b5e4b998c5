//! Whether records and bytes agree, and what is found where they do not.

use std::ops::ControlFlow;
use std::sync::Arc;

use bytes::Bytes;
use mosaic_application::doctor::{Doctor, Finding, Progress};
use mosaic_application::garbage::{GRACE_MS, GarbageError};
use mosaic_domain::account::RemoveOutcome;
use mosaic_domain::attachment::ContentRef;
use mosaic_domain::entity::Variant;
use mosaic_domain::{EntityType, UserId};
use mosaic_ports::BlobName;
use mosaic_testkit::{
    BlobCall, BlobFailure, EditExt as _, at, delete, filled, hash, memo, memo_key, overwrite, put, resource,
    resource_id, resource_key,
};
use uuid::Uuid;

use crate::support::damaged;

use super::world::{World, file, file_as, png, sha256};

impl World {
    fn doctor(&self) -> Doctor {
        Doctor::new(
            Arc::clone(&self.h.stores.user_ids),
            Arc::clone(&self.h.stores.dump_reader),
            Arc::clone(&self.h.stores.audit),
            Arc::clone(&self.h.stores.orphans),
            self.blobs.port(),
            self.h.clock.clone(),
        )
    }

    async fn content(&self, bytes: &Bytes) -> ContentRef {
        let held = self
            .h
            .stores
            .contents
            .content(self.user, sha256(bytes))
            .await
            .unwrap();
        held.unwrap()
    }

    async fn blob_of(&self, bytes: &Bytes) -> BlobName {
        BlobName {
            user: self.user,
            id: self.content(bytes).await.blob,
        }
    }

    /// What is found without reading every byte.
    async fn glance(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        let go_on = |_| ControlFlow::Continue(());
        let ended = self
            .doctor()
            .run(false, |found| findings.push(found), go_on)
            .await;
        assert!(ended.unwrap().is_continue());
        findings
    }
}

#[tokio::test]
async fn a_healthy_server_has_no_findings() {
    let w = World::new().await;
    w.assert_clean_with(0).await;
    let other = w.another_user().await;
    for w in [&w, &other] {
        w.add(file_as(1), &png("x")).await.unwrap();
        w.add(file_as(2), &png("y")).await.unwrap();
        w.read(resource_id(1), Some(Variant::Opt)).await.unwrap();
        w.h.clock.advance(1_000);
        w.h.write(
            w.user,
            [
                delete(resource_key(1)),
                put(resource_key(2), resource("b.png")).at(w.h.clock.ms()),
            ],
        )
        .await;
        let part = w.begin(10, file_as(3)).await;
        w.send(part, 0, &[1; 5], None).await.unwrap();
    }
    w.assert_clean_with(8).await;
    w.h.clock.advance(2 * GRACE_MS);
    w.assert_clean_with(8).await;
    assert_eq!(w.glance().await, []);
}

#[tokio::test]
async fn a_record_without_bytes_is_found() {
    let w = World::new().await;
    w.h.write(
        w.user,
        [
            put(resource_key(1), filled("a.png", 7)),
            put(resource_key(2), resource("b.png")),
        ],
    )
    .await;
    w.h.write(
        w.user,
        [put(resource_key(3), filled("c.png", 8)), delete(resource_key(3))],
    )
    .await;
    let found = w.findings().await;
    let expected = Finding::WithoutBytes {
        user: w.user,
        key: resource_key(1),
        sha256: hash(7),
    };
    assert_eq!(found, [expected]);
    assert!(!found[0].is_loss(), "it was pushed before its bytes");
}

#[tokio::test]
async fn p8_what_can_not_be_read_is_found_and_tombstones_are_not_looked_at() {
    let w = World::new().await;
    let spoil = |n| overwrite(memo_key(n), damaged(EntityType::Memo), at(0)).at(10);
    w.h.write(w.user, [1, 2, 3].map(spoil)).await;
    let edits = [put(memo_key(2), memo("again")).at(20), delete(memo_key(3)).at(20)];
    w.h.write(w.user, edits).await;
    let unreadable = |n, revision| Finding::Unreadable {
        user: w.user,
        key: memo_key(n),
        revision,
    };
    let expected = [
        unreadable(1, None),
        unreadable(2, Some(1)),
        unreadable(3, Some(1)),
    ];
    assert_eq!(w.findings().await, expected);
}

#[tokio::test]
async fn a_missing_blob_is_found() {
    let w = World::new().await;
    w.add(file_as(1), &png("x")).await.unwrap();
    w.add(file_as(2), &png("y")).await.unwrap();
    w.blobs.lose(w.blob_of(&png("x")).await);
    let expected = Finding::BlobMissing {
        user: w.user,
        content: w.content(&png("x")).await,
    };
    for found in [w.findings().await, w.glance().await] {
        assert_eq!(found, std::slice::from_ref(&expected));
        assert!(found[0].is_loss());
    }
}

#[tokio::test]
async fn a_damaged_blob_is_found() {
    let w = World::new().await;
    w.add(file_as(1), &png("x")).await.unwrap();
    let (blob, content) = (w.blob_of(&png("x")).await, w.content(&png("x")).await);
    let expected = [Finding::BlobDamaged {
        user: w.user,
        content,
    }];
    assert!(expected[0].is_loss());
    w.blobs.put(blob, png("xx"));
    assert_eq!(
        (w.findings().await, w.glance().await),
        (expected.to_vec(), expected.to_vec())
    );
    // Of as many other bytes, only whoever reads them knows.
    w.blobs.put(blob, png("y"));
    assert_eq!(
        (w.findings().await, w.glance().await),
        (expected.to_vec(), Vec::new())
    );
}

#[tokio::test]
async fn what_nothing_names_is_found() {
    let w = World::new().await;
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
    for (wait, is_new) in [(0, true), (GRACE_MS, true), (1, false)] {
        w.h.clock.advance(wait);
        let found = w.findings().await;
        let user = w.user;
        assert_eq!(
            found,
            [Finding::Unnamed {
                user,
                content,
                is_new
            }]
        );
        assert!(!found[0].is_loss());
    }
    w.collect_garbage().await;
    w.assert_clean_with(0).await;
}

#[tokio::test]
async fn a_blob_that_nobody_knows_is_found() {
    let w = World::new().await;
    drop(w.receive(&png("x")).await.unwrap());
    for (wait, new) in [(0, true), (GRACE_MS, true), (1, false)] {
        w.h.clock.advance(wait);
        let found = w.findings().await;
        let [Finding::UnknownBlob { blob, is_new }] = found[..] else {
            panic!("{found:?}");
        };
        assert_eq!((blob.name, blob.size, is_new), (w.blobs.names()[0], 5, new));
        assert!(!found[0].is_loss());
    }
}

#[tokio::test]
async fn blobs_of_unknown_accounts_are_found_and_of_removed_ones() {
    let w = World::new().await;
    let gone = w.another_user().await;
    gone.add(file("a"), &png("x")).await.unwrap();
    let accounts = &w.h.stores.accounts;
    while accounts.remove(gone.user, 10, None).await.unwrap() == RemoveOutcome::Removing {}
    // Before, between and after those that are known, and of more than one page.
    let strangers = [
        UserId::new(Uuid::from_u128(1)),
        UserId::new(Uuid::from_u128(2)),
        UserId::new(Uuid::max()),
    ];
    for user in strangers {
        for n in 0..1_100 {
            w.blobs.put(
                BlobName {
                    user,
                    id: Uuid::from_u128(n),
                },
                png("x"),
            );
        }
    }
    w.add(file("a"), &png("x")).await.unwrap();
    let unknown = |user| Finding::UnknownUser { user, blobs: 1_100 };
    let expected = [
        unknown(strangers[0]),
        unknown(strangers[1]),
        Finding::RemovedUser {
            user: gone.user,
            blobs: 1,
        },
        unknown(strangers[2]),
    ];
    let found = w.findings().await;
    assert_eq!(found, expected);
    assert!(!found.iter().any(Finding::is_loss));
    w.removed_users().await.unwrap();
    assert_eq!(w.findings().await.len(), 3, "those of strangers stay");
}

#[tokio::test]
async fn many_contents_are_examined_in_pages_and_counted() {
    let w = World::new().await;
    for n in 0..1_100_u64 {
        w.add(file("a"), &png(&format!("{n:04}"))).await.unwrap();
    }
    w.blobs.lose(w.blob_of(&png("0777")).await);
    let mut last = Progress::default();
    let mut findings = 0;
    let ended = w
        .doctor()
        .run(
            true,
            |_| findings += 1,
            |progress| {
                last = progress;
                ControlFlow::Continue(())
            },
        )
        .await
        .unwrap();
    assert_eq!(ended, ControlFlow::Continue(last));
    assert_eq!((last.users, last.contents, findings), (1, 1_100, 1));
    assert_eq!(last.bytes, 1_100 * 8);
}

#[tokio::test]
async fn an_examination_is_stopped() {
    let w = World::new().await;
    for n in 0..3 {
        w.add(file("a"), &png(&n.to_string())).await.unwrap();
    }
    let stop = |progress: Progress| {
        if progress.contents == 2 {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    };
    // Each upload looked whether it is a picture.
    let looked_at = w.blobs.calls(BlobCall::Read);
    let ended = w.doctor().run(true, |_| {}, stop).await.unwrap();
    assert_eq!(ended, ControlFlow::Break(()));
    assert_eq!(w.blobs.calls(BlobCall::Read) - looked_at, 2);
}

#[tokio::test]
async fn a_storage_that_fails_ends_an_examination() {
    let w = World::new().await;
    w.add(file("a"), &png("x")).await.unwrap();
    for call in [BlobCall::Info, BlobCall::Read, BlobCall::Piece, BlobCall::List] {
        w.blobs.fail_next(call, BlobFailure::Unavailable);
        let failed = w.doctor().run(true, |_| {}, |_| ControlFlow::Continue(())).await;
        assert!(
            matches!(failed, Err(GarbageError::Blobs(_))),
            "{call:?}: {failed:?}"
        );
    }
    w.assert_clean_with(1).await;
}
