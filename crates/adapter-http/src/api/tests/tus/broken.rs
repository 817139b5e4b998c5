//! What becomes of bytes whose request does not end as it should.

use actix_web::error::PayloadError;
use futures_util::stream;
use tokio::sync::oneshot;

use super::super::site::goes_on;
use super::*;
use crate::body::BodyLimits;

impl Site {
    /// Sends these bytes of a request, and hangs up: its handler is gone at once, and its body breaks off.
    async fn hang_up(&self, request: TestRequest, bytes: &[u8]) {
        let (connection, ended) = oneshot::channel::<()>();
        let ends = stream::once(async {
            ended.await.ok();
            Err(PayloadError::Incomplete(None))
        });
        let before = self.blobs.calls(BlobCall::Write);
        let mut request = Box::pin(self.start(goes_on(request, bytes, ends)));
        tokio::select! {
            _ = &mut request => panic!("its last bytes do not come"),
            () = eventually(async || self.blobs.calls(BlobCall::Write) > before) => {}
        }
        drop((request, connection));
    }
}

#[actix_web::test]
async fn storage_that_fails_takes_nothing_and_says_so() {
    let site = Site::new().await;
    let (address, _) = site.begin(3, FILENAME).await;
    for (failure, status, code) in [
        (BlobFailure::Unavailable, 503, "storage_unavailable"),
        (BlobFailure::Full, 507, "storage_full"),
        (BlobFailure::Failed, 500, "internal"),
    ] {
        for call in [BlobCall::Create, BlobCall::Write, BlobCall::Finish] {
            site.blobs.fail_next(call, failure);
            site.refuses(append(&address, 0, b"abc"), status, code).await;
            assert_eq!(site.offset(&address).await, 0);
        }
    }
    site.takes(append(&address, 0, b"abc")).await;
}

#[actix_web::test]
async fn what_came_before_a_connection_broke_is_kept() {
    let mut site = Site::new().await;
    // Those of other bodies do not hold here.
    site.settings_mut().body = BodyLimits {
        packed_bytes: 10,
        unpacked_bytes: 10,
        timeout: Duration::ZERO,
    };
    let bytes = bytes(300_000);
    let (address, id) = site.begin(bytes.len(), FILENAME).await;
    for (from, to) in [(0, 100_000), (100_000, 150_000)] {
        let request = announce(&address, from, bytes.len() - from);
        site.hang_up(request, &bytes[from..to]).await;
        eventually(async || site.offset(&address).await == to as u64).await;
    }
    site.takes(append(&address, 150_000, &bytes[150_000..])).await;
    assert_eq!(site.resource(id).await.content.file_size.get(), 300_000);
}

#[actix_web::test]
async fn bytes_with_a_checksum_that_break_off_are_not_kept() {
    let site = Site::new().await;
    let (address, _) = site.begin(6, FILENAME).await;
    // The checksum of what came matches, but it was made of more.
    let checksum = ("upload-checksum", "sha1 qZk+NkcGgWq6PiVxeFDCbJzQ2J0=");
    let request = announce(&address, 0, 6).insert_header(checksum);
    site.hang_up(request, b"abc").await;
    eventually(async || site.blobs.writers() == 0).await;
    assert_eq!(site.blobs.calls(BlobCall::Write), 1);
    assert_eq!((site.offset(&address).await, site.blobs.count()), (0, 0));
}

#[actix_web::test]
async fn bytes_that_stall_are_kept_and_the_request_given_up() {
    let mut site = Site::new().await;
    site.state_mut().downloads.upload_idle = Duration::from_millis(100);
    let (address, _) = site.begin(6, FILENAME).await;
    let stalled = unfinished(announce(&address, 0, 6), b"abc");
    let answer = site.send_raw(stalled).await.assert_is(408, "request_timeout");
    assert_eq!(answer.header("tus-resumable"), Some("1.0.0"));
    assert_eq!(site.offset(&address).await, 3);
}

#[actix_web::test]
async fn an_early_refusal_awaits_no_bytes() {
    let site = Site::new().await;
    let (address, _) = site.begin(6, FILENAME).await;
    for (request, status, code) in [
        (announce(&address, 4, 2), 409, "upload_offset_conflict"),
        (announce(&address, 0, 7), 413, "beyond_upload_length"),
    ] {
        let answer = site.send_raw(unfinished(request, b"")).await;
        answer.assert_is(status, code);
    }
    // Nobody said how many they are.
    let unannounced = announce(&address, 0, 0);
    let answer = site.send_raw(unfinished(unannounced, b"abcdefg")).await;
    answer.assert_is(413, "beyond_upload_length");
    assert_eq!((site.offset(&address).await, site.blobs.count()), (0, 0));
}

#[actix_web::test]
async fn a_request_gives_way_to_the_next_one_and_what_it_brought_counts() {
    let site = Site::new().await;
    let (address, _) = site.begin(6, FILENAME).await;
    let first = site.send_raw(unfinished(announce(&address, 0, 3), b"ab"));
    let second = async {
        eventually(async || site.blobs.calls(BlobCall::Write) == 1).await;
        site.send_raw(unfinished(announce(&address, 0, 3), b"xyz")).await
    };
    let (first, second) = tokio::join!(first, second);
    let second = second.assert_is(409, "upload_offset_conflict");
    for answer in [first.assert_is(204, ""), second] {
        assert_eq!(answer.header("upload-offset"), Some("2"));
    }
    let third = site.send_raw(unfinished(announce(&address, 2, 3), b"c"));
    let look = async {
        eventually(async || site.blobs.calls(BlobCall::Write) == 2).await;
        site.offset(&address).await
    };
    let (third, offset) = tokio::join!(third, look);
    assert_eq!((third.header("upload-offset"), offset), (Some("3"), 3));
    assert_eq!(site.blobs.count(), 2);
}
