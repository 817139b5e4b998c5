//! Resumable uploads: in any pieces, however the requests end.

mod ends;
mod limits;

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use mosaic_application::AppError;
use mosaic_application::attachments::{AttachmentLimits, NewFile};
use mosaic_application::uploads::{AppendRequest, Checksum, UploadProgress, Uploads};
use mosaic_domain::attachment::{
    AppendOutcome, BeginOutcome, Collected, LengthOutcome, Upload, UploadPart, UploadState,
};
use mosaic_domain::entity::Resource;
use mosaic_domain::{Live, UnixMillis, UploadId, UserId};
use mosaic_ports::{BlobName, MockUploadStore, StoreError, UploadStore, WriteError};
use mosaic_testkit::{
    BlobCall, BlobFailure, blobs, bury, delete, memo, memo_id, memo_key, put, resource_id, resource_key,
};
use sha1::Digest as _;
use tokio::sync::oneshot;
use uuid::Uuid;

use super::world::{
    DAY_MS, LIFETIME_MS, LIMITS, World, file, file_as, kept, mime, plain, png, sha256, until,
};

impl World {
    pub(crate) async fn begin(&self, length: usize, file: NewFile) -> UploadId {
        let begun = self
            .uploads
            .begin(&self.by(), Some(length as u64), file, None)
            .await;
        begun.unwrap().id
    }

    /// One request, whole.
    pub(crate) async fn send(
        &self,
        id: UploadId,
        offset: usize,
        bytes: &[u8],
        checksum: Option<Checksum>,
    ) -> Result<UploadProgress, AppError> {
        self.append(id, offset, checksum, pieces(bytes)).await
    }

    /// One request that is cut off after these bytes.
    async fn send_cut(&self, id: UploadId, offset: usize, bytes: &[u8], checksum: Option<Checksum>) {
        let breaks = stream::iter([Err(AppError::Internal("the connection broke".into()))]);
        let cut = self.append(id, offset, checksum, pieces(bytes).chain(breaks));
        let failed = cut.await;
        assert!(matches!(failed, Err(AppError::Internal(_))), "{failed:?}");
    }

    async fn append(
        &self,
        id: UploadId,
        offset: usize,
        checksum: Option<Checksum>,
        bytes: impl Stream<Item = Result<Bytes, AppError>>,
    ) -> Result<UploadProgress, AppError> {
        let request = AppendRequest {
            offset: offset as u64,
            checksum,
            ..AppendRequest::default()
        };
        self.uploads.append(self.user, id, request, bytes).await
    }

    pub(crate) async fn state(&self, id: UploadId) -> Result<UploadState, AppError> {
        self.uploads.state(self.user, id).await
    }

    /// How far it has come, as it is stored.
    async fn received(&self, id: UploadId) -> u64 {
        let state = self.h.stores.uploads.upload(self.user, id).await.unwrap();
        state.unwrap().received
    }

    async fn get(&self, n: u64) -> Live<Resource> {
        self.records.get(self.user, resource_id(n)).await.unwrap()
    }
}

/// Bytes as they come, in pieces of at most that size.
fn pieces(bytes: &[u8]) -> impl Stream<Item = Result<Bytes, AppError>> + use<> {
    let pieces: Vec<_> = bytes.chunks(1_000).map(Bytes::copy_from_slice).collect();
    stream::iter(pieces).map(Ok)
}

/// Numbers at random, the same in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % limit as u64).unwrap()
    }
}

#[tokio::test]
async fn an_upload_becomes_a_resource_with_its_last_byte() {
    let w = World::new().await;
    w.h.write(w.user, [put(memo_key(1), memo("a walk"))]).await;
    let new = NewFile {
        memo_id: Some(memo_id(1)),
        declared: Some(mime("image/png")),
        metadata: Some(kept(r#"{"width":1}"#)),
        ..file_as(1)
    };
    let bytes = plain(&"x".repeat(100));
    let id = w.begin(104, new).await;
    assert_eq!(w.state(id).await.unwrap().received, 0);
    let first = w.send(id, 0, &bytes[..50], None).await.unwrap();
    assert_eq!((first.received, first.resource), (50, None));
    assert_eq!(w.stored(1).await, None);
    w.assert_clean_with(1).await;
    let last = w.send(id, 50, &bytes[50..], None).await.unwrap();
    let written = last.resource.unwrap();
    assert_eq!((last.received, &written), (104, &w.get(1).await));
    let expected = Resource {
        memo_id: Some(memo_id(1)),
        filename: file("a.png").filename,
        mime_type: mime("text/plain"),
        file_size: mosaic_domain::entity::FileSize::new(104).unwrap(),
        sha256: Some(sha256(&bytes)),
        storage_type: LIMITS.storage,
        sort_order: 0,
        metadata: kept(r#"{"width":1,"declaredMimeType":"image/png"}"#),
    };
    assert_eq!(written.content, expected);
    assert_eq!(w.read(written.key, None).await.unwrap(), bytes);
    w.h.write(w.user, [delete(resource_key(1))]).await;
    let state = w.state(id).await.unwrap();
    assert_eq!(
        (state.received, state.finished),
        (104, true),
        "whatever became of it"
    );
    w.assert_clean_with(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parts_in_any_cuts_come_to_the_same_bytes() {
    let w = World::new().await;
    let mut dice = Dice(0x0DDB_A115);
    for n in 1..=40 {
        let bytes = blobs::bytes(n, dice.below(60_000) + 1);
        let id = w.begin(bytes.len(), file_as(n)).await;
        let mut offset = 0;
        while offset < bytes.len() {
            let part = dice.below(bytes.len() - offset + 1);
            let part = &bytes[offset..offset + part];
            offset += part.len();
            if dice.below(3) == 0 {
                w.send_cut(id, offset - part.len(), part, None).await;
                assert_eq!(w.received(id).await, offset as u64);
            } else {
                let checksum = Checksum::Sha256(*sha256(part).as_bytes());
                let appended = w
                    .send(id, offset - part.len(), part, Some(checksum))
                    .await
                    .unwrap();
                assert_eq!(appended.received, offset as u64);
            }
        }
        assert!(w.state(id).await.unwrap().finished);
        assert_eq!(w.get(n).await.content.sha256, Some(sha256(&bytes)));
        assert_eq!(w.read(resource_id(n), None).await.unwrap(), bytes);
    }
    w.assert_clean_with(40).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_came_before_the_connection_broke_is_kept() {
    let w = World::new().await;
    let id = w.begin(100, file_as(1)).await;
    w.send_cut(id, 0, &[7; 60], None).await;
    assert_eq!(w.received(id).await, 60);
    w.assert_clean_with(1).await;
    // Nothing came: nothing is kept.
    w.send_cut(id, 60, &[], None).await;
    // The last bytes came, and nobody waits for the answer.
    w.send_cut(id, 60, &[7; 40], None).await;
    assert!(w.state(id).await.unwrap().finished);
    assert_eq!(w.read(resource_id(1), None).await.unwrap(), vec![7; 100]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_has_a_checksum_is_kept_whole_or_not_at_all() {
    let w = World::new().await;
    let bytes = blobs::bytes(1, 100);
    let id = w.begin(100, file_as(1)).await;
    let checksum = Checksum::Sha1(sha1::Sha1::digest(&bytes[..60]).into());
    w.send_cut(id, 0, &bytes[..60], Some(checksum)).await;
    assert_eq!((w.blobs.calls(BlobCall::Write), w.blobs.writers()), (1, 0));
    assert_eq!((w.received(id).await, w.blobs.calls(BlobCall::Finish)), (0, 0));

    for wrong in [Checksum::Sha1([0; 20]), Checksum::Sha256([0; 32])] {
        let refused = w.send(id, 0, &bytes[..60], Some(wrong)).await;
        assert!(matches!(refused, Err(AppError::ChecksumMismatch)), "{refused:?}");
        assert_eq!(w.received(id).await, 0);
    }
    w.assert_clean_with(0).await;

    assert_eq!(
        w.send(id, 0, &bytes[..60], Some(checksum))
            .await
            .unwrap()
            .received,
        60
    );
    let nothing = Checksum::Sha256(*sha256(b"").as_bytes());
    assert_eq!(w.send(id, 60, b"", Some(nothing)).await.unwrap().received, 60);
    let checksum = Checksum::Sha256(*sha256(&bytes[60..]).as_bytes());
    let last = w.send(id, 60, &bytes[60..], Some(checksum)).await.unwrap();
    assert_eq!(last.resource.unwrap().content.sha256, Some(sha256(&bytes)));
    w.assert_clean_with(1).await;
}

#[tokio::test]
async fn bytes_that_fail_are_told_whatever_becomes_of_those_before() {
    let w = World::new().await;
    let id = w.begin(100, file_as(1)).await;
    w.blobs.fail_next(BlobCall::Finish, BlobFailure::Full);
    w.send_cut(id, 0, &[7; 60], None).await;
    assert_eq!(w.received(id).await, 0);
    w.assert_clean_with(0).await;
}

#[tokio::test]
async fn a_wrong_checksum_of_all_of_it_leaves_nothing() {
    let w = World::new().await;
    let id = w.begin(5, file_as(1)).await;
    let refused = w.send(id, 0, &png("x"), Some(Checksum::Sha256([0; 32]))).await;
    assert!(matches!(refused, Err(AppError::ChecksumMismatch)));
    assert_eq!(w.stored(1).await, None);
    w.assert_clean_with(0).await;
}

#[tokio::test]
async fn a_request_goes_on_where_the_upload_stands() {
    let w = World::new().await;
    let id = w.begin(100, file_as(1)).await;
    w.send(id, 0, &[1; 40], None).await.unwrap();
    for offset in [0, 39, 41, 100] {
        let refused = w.append(id, offset, None, stream::pending()).await;
        assert!(
            matches!(refused, Err(AppError::OffsetConflict { received: 40 })),
            "{refused:?}"
        );
    }
    assert_eq!(w.send(id, 40, &[1; 10], None).await.unwrap().received, 50);
    w.assert_clean_with(2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_that_go_on_at_once_one_does() {
    let w = World::new().await;
    let there = w.another_instance();
    for whole in [false, true] {
        let (n, length) = if whole { (1, 5) } else { (2, 6) };
        let id = w.begin(length, file_as(n)).await;
        let (starts, started) = oneshot::channel();
        let (ends, ended) = oneshot::channel();
        let one = async {
            let bytes = async {
                started.await.unwrap();
                Ok(png("a"))
            };
            let done = w.append(id, 0, None, stream::once(bytes)).await;
            ends.send(()).unwrap();
            done
        };
        let bytes = async {
            starts.send(()).unwrap();
            ended.await.unwrap();
            Ok(png("b"))
        };
        let other = there.append(id, 0, None, stream::once(bytes));
        let (done, refused) = tokio::join!(one, other);
        done.unwrap();
        match refused {
            Err(AppError::OffsetConflict { received: 5 }) if !whole => {}
            Err(AppError::UploadRefused(why)) if whole => assert!(matches!(*why, AppError::OtherContent)),
            refused => panic!("{refused:?}"),
        }
        if whole {
            assert_eq!(w.read(resource_id(1), None).await.unwrap(), png("a"));
        }
    }
    w.assert_clean_with(2).await;
}

/// A connection that died without a word is not waited for: what it brought is kept, and the next one goes on from there.
#[tokio::test]
async fn who_asks_how_far_an_upload_came_ends_the_request_before() {
    let w = World::new().await;
    let id = w.begin(10, file_as(1)).await;
    let dead = |offset, bytes: &[u8]| {
        let (w, bytes) = (w.clone(), pieces(bytes).chain(stream::pending()));
        tokio::spawn(async move { w.append(id, offset, None, bytes).await.unwrap().received })
    };
    let first = dead(0, &[1; 4]);
    until("it has been taken in", async || {
        w.blobs.calls(BlobCall::Write) == 1
    })
    .await;
    assert_eq!(w.state(id).await.unwrap().received, 4);
    assert_eq!(first.await.unwrap(), 4);

    let second = dead(4, &[2; 3]);
    until("it has been taken in", async || {
        w.blobs.calls(BlobCall::Write) == 2
    })
    .await;
    let late = w.send(id, 4, b"x", None).await;
    assert!(matches!(late, Err(AppError::OffsetConflict { received: 7 })));
    assert_eq!(second.await.unwrap(), 7);
    w.send(id, 7, &[3; 3], None).await.unwrap();
    assert_eq!(
        w.read(resource_id(1), None).await.unwrap(),
        vec![1, 1, 1, 1, 2, 2, 2, 3, 3, 3]
    );
    w.assert_clean_with(1).await;
}

#[tokio::test]
async fn no_byte_goes_beyond_the_length() {
    let w = World::new().await;
    let id = w.begin(10, file_as(1)).await;
    let refused = w.send(id, 0, &[1; 11], None).await;
    assert!(
        matches!(refused, Err(AppError::BeyondLength { length: 10 })),
        "{refused:?}"
    );
    w.send(id, 0, &[1; 9], None).await.unwrap();
    let refused = w.send(id, 9, &[1; 2], None).await;
    assert!(
        matches!(refused, Err(AppError::BeyondLength { length: 10 })),
        "{refused:?}"
    );
    let announced = |bytes| {
        let request = AppendRequest {
            offset: 9,
            announced: Some(bytes),
            ..AppendRequest::default()
        };
        w.uploads.append(w.user, id, request, pieces(b""))
    };
    announced(1).await.unwrap();
    let refused = announced(2).await;
    assert!(
        matches!(refused, Err(AppError::BeyondLength { length: 10 })),
        "{refused:?}"
    );
    assert_eq!(w.received(id).await, 9);
    w.assert_clean_with(1).await;
    w.send(id, 9, &[1; 1], None).await.unwrap().resource.unwrap();
    w.assert_clean_with(1).await;
}

#[tokio::test]
async fn an_upload_of_nothing_is_finished_when_it_begins() {
    let w = World::new().await;
    let id = w.begin(0, file_as(1)).await;
    assert_eq!(w.get(1).await.content.sha256, Some(sha256(b"")));
    assert!(w.state(id).await.unwrap().finished);
    let again = w.send(id, 0, b"", None).await.unwrap();
    assert_eq!(again.resource, Some(w.get(1).await));
    w.assert_clean_with(1).await;
}

#[tokio::test]
async fn an_upload_in_one_request_is_not_read_again() {
    let w = World::new().await;
    let bytes = blobs::bytes(1, 50_000);
    let id = w.begin(bytes.len(), file_as(1)).await;
    let appended = w.send(id, 0, &bytes, None).await.unwrap();
    assert_eq!(appended.resource.unwrap().content.sha256, Some(sha256(&bytes)));
    assert_eq!(
        (w.blobs.calls(BlobCall::Create), w.blobs.calls(BlobCall::Read)),
        (1, 0)
    );
    assert!(w.state(id).await.unwrap().finished);
    w.assert_clean_with(1).await;
}

#[tokio::test]
async fn a_finished_upload_answers_what_it_became() {
    let w = World::new().await;
    for (n, cut) in [(1, 2), (2, 5)] {
        let id = w.begin(5, file_as(n)).await;
        w.send(id, 0, &png("x")[..cut], None).await.unwrap();
        if cut < 5 {
            w.send(id, cut, &png("x")[cut..], None).await.unwrap();
        }
        // The answer was lost, and the phone goes on with nothing.
        let again = w.send(id, 5, b"", None).await.unwrap();
        assert_eq!((again.received, again.resource), (5, Some(w.get(n).await)));
        let refused = w.send(id, 0, &png("x"), None).await;
        assert!(
            matches!(refused, Err(AppError::OffsetConflict { received: 5 })),
            "{refused:?}"
        );
        let refused = w.send(id, 5, b"x", None).await;
        assert!(
            matches!(refused, Err(AppError::BeyondLength { length: 5 })),
            "{refused:?}"
        );
    }
    w.assert_clean_with(1).await;
}

#[tokio::test]
async fn an_upload_that_was_interrupted_before_its_resource_is_completed_later() {
    let w = World::new().await;
    let calls = [
        BlobCall::Read,
        BlobCall::Piece,
        BlobCall::Create,
        BlobCall::Write,
        BlobCall::Finish,
    ];
    for (n, call) in (1..).zip(calls) {
        let bytes = blobs::bytes(n, 100);
        let id = w.begin(100, file_as(n)).await;
        w.send(id, 0, &bytes[..60], None).await.unwrap();
        // The last part itself is stored by one such call.
        let own = u64::from(!matches!(call, BlobCall::Read | BlobCall::Piece));
        w.blobs.fail_after(call, own, BlobFailure::Unavailable);
        let failed = w.send(id, 60, &bytes[60..], None).await;
        assert!(matches!(failed, Err(AppError::Blobs(_))), "{call:?}: {failed:?}");
        assert_eq!((w.stored(n).await, w.received(id).await), (None, 100));
        w.assert_clean().await;
        let state = w.state(id).await.unwrap();
        assert!(state.finished && state.received == 100);
        assert_eq!(w.read(resource_id(n), None).await.unwrap(), bytes);
    }
    w.assert_clean_with(5).await;
}

#[tokio::test]
async fn a_request_that_the_storage_fails_leaves_the_upload_as_it_was() {
    let w = World::new().await;
    let id = w.begin(100, file_as(1)).await;
    for length in [50, 100] {
        for call in [BlobCall::Create, BlobCall::Write, BlobCall::Finish] {
            w.blobs.fail_next(call, BlobFailure::Full);
            let failed = w.send(id, 0, &vec![1; length], None).await;
            assert!(matches!(failed, Err(AppError::Blobs(_))), "{failed:?}");
            assert_eq!(w.received(id).await, 0);
            w.assert_clean_with(0).await;
        }
    }
    w.send(id, 0, &[1; 100], None).await.unwrap();
    w.assert_clean_with(1).await;
}

/// It is refused for good, and the reason is said.
#[track_caller]
fn assert_refused<T: std::fmt::Debug>(outcome: Result<T, AppError>, why: &str) {
    match outcome {
        Err(error @ AppError::UploadRefused(_)) => assert!(error.to_string().contains(why), "{error}"),
        outcome => panic!("{outcome:?}"),
    }
}
