//! The suite of blob stores, run against the one in memory; and what that one has besides, for tests.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use mosaic_ports::{BlobError, BlobStore, BlobWriter};
use mosaic_testkit::blobs::{BlobFixture, blob, bytes, collect, put};
use mosaic_testkit::{BlobCall, BlobFailure, ManualClock, MemoryBlobs};

struct Memory(MemoryBlobs);

#[async_trait]
impl BlobFixture for Memory {
    const PART: usize = 64 * 1024;
    const PRESIGNS: bool = false;

    async fn start() -> Self {
        Self(MemoryBlobs::new(Arc::new(ManualClock::default())))
    }

    fn store(&self) -> Arc<dyn BlobStore> {
        self.0.port()
    }

    async fn leftovers(&self) -> Vec<String> {
        vec!["a blob that is being written".to_owned(); self.0.writers()]
    }

    async fn restart(&self, killed: Vec<Box<dyn BlobWriter>>) -> Arc<dyn BlobStore> {
        self.0.kill();
        drop(killed);
        self.0.port()
    }

    async fn stop(self) {}
}

mod suite {
    mosaic_testkit::blob_conformance!(super::Memory);
}

fn store() -> (MemoryBlobs, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::default());
    (MemoryBlobs::new(clock.clone()), clock)
}

#[tokio::test]
async fn it_fails_when_the_test_wants_it_to() {
    let (blobs, _) = store();
    blobs.fail_next(BlobCall::Create, BlobFailure::Full);
    let refused = put(&blobs, blob(1, 1), &bytes(1, 10), 10).await;
    assert!(matches!(refused, Err(BlobError::Full(_))));

    blobs.fail_after(BlobCall::Write, 1, BlobFailure::Unavailable);
    let mut writer = blobs.create(blob(1, 1)).await.unwrap();
    writer.write(bytes(1, 10)).await.unwrap();
    let refused = writer.write(bytes(1, 10)).await;
    assert!(matches!(refused, Err(BlobError::Unavailable(_))));
    assert!(writer.finish().await.is_err(), "bytes are missing");

    blobs.fail(BlobCall::Finish, BlobFailure::Failed);
    for _ in 0..2 {
        let refused = put(&blobs, blob(1, 1), &bytes(1, 10), 10).await;
        assert!(matches!(refused, Err(BlobError::Failed(_))));
    }
    assert_eq!((blobs.count(), blobs.writers()), (0, 0));

    blobs.heal();
    let content = bytes(1, 200_000);
    put(&blobs, blob(1, 1), &content, 1_000).await.unwrap();
    blobs.fail_after(BlobCall::Piece, 2, BlobFailure::Failed);
    let reader = blobs.read(blob(1, 1), None).await.unwrap().unwrap();
    assert!(collect(reader).await.is_err(), "it fails half-way");
    let reader = blobs.read(blob(1, 1), None).await.unwrap().unwrap();
    assert_eq!(collect(reader).await.unwrap(), content);
    assert_eq!(blobs.calls(BlobCall::Read), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_waits_when_the_test_wants_it_to() {
    let (blobs, _) = store();
    let gate = blobs.hold(BlobCall::Finish);
    let put = {
        let blobs = blobs.clone();
        tokio::spawn(async move { put(&blobs, blob(1, 1), &bytes(1, 10), 10).await })
    };
    gate.reached().await;
    assert_eq!((blobs.count(), blobs.writers()), (0, 1));
    gate.open();
    put.await.unwrap().unwrap();
    assert_eq!((blobs.count(), blobs.writers()), (1, 0));
}

#[tokio::test]
async fn its_addresses_work_for_a_while() {
    let (blobs, clock) = store();
    blobs.sign(true);
    let minute = Duration::from_mins(1);
    let address = blobs.presign_write(blob(1, 1), minute).await.unwrap().unwrap();
    assert!(blobs.send(&address, Bytes::from_static(b"first")));
    assert!(blobs.send(&address, Bytes::from_static(b"again")));
    assert_eq!(blobs.bytes(blob(1, 1)).unwrap(), "again");
    assert_eq!(blobs.fetch(&address), None, "it is for writing only");
    clock.advance(60_000);
    assert!(!blobs.send(&address, Bytes::from_static(b"late")));
}
