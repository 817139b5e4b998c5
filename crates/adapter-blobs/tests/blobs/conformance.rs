//! Both stores keep what the port promises.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use mosaic_adapter_blobs::{LocalBlobs, LocalSettings, S3Blobs};
use mosaic_ports::{BlobStore, BlobWriter};
use mosaic_testkit::blobs::BlobFixture;
use tempfile::TempDir;

use crate::storage::Storage;

/// Waits for something that happens in the background.
pub(crate) async fn until(condition: impl Fn() -> bool) {
    let wait = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), wait).await.unwrap();
}

/// A folder.
struct Local {
    temp: TempDir,
    store: Arc<LocalBlobs>,
}

impl Local {
    fn parts(&self) -> Vec<std::path::PathBuf> {
        let entries = std::fs::read_dir(self.temp.path().join(".incoming")).unwrap();
        entries.map(|entry| entry.unwrap().path()).collect()
    }

    async fn open(&self) -> LocalBlobs {
        let settings = LocalSettings::new(self.temp.path());
        LocalBlobs::open(settings).await.unwrap()
    }
}

#[async_trait]
impl BlobFixture for Local {
    const PART: usize = 256 * 1024;
    const PRESIGNS: bool = false;

    async fn start() -> Self {
        let temp = tempfile::tempdir().unwrap();
        let store = LocalBlobs::open(LocalSettings::new(temp.path())).await.unwrap();
        Self {
            temp,
            store: Arc::new(store),
        }
    }

    fn store(&self) -> Arc<dyn BlobStore> {
        Arc::<LocalBlobs>::clone(&self.store)
    }

    async fn leftovers(&self) -> Vec<String> {
        let parts = self.parts().into_iter();
        parts.map(|part| part.display().to_string()).collect()
    }

    async fn restart(&self, killed: Vec<Box<dyn BlobWriter>>) -> Arc<dyn BlobStore> {
        // Their files stay, without the locks: copies of them.
        let parts: Vec<_> = self.parts();
        let contents: Vec<_> = parts.iter().map(|part| std::fs::read(part).unwrap()).collect();
        drop(killed);
        until(|| self.parts().is_empty()).await;
        for (part, content) in parts.iter().zip(contents) {
            std::fs::write(part, content).unwrap();
        }
        Arc::new(self.open().await)
    }

    async fn stop(self) {
        drop(self.store);
        self.temp.close().unwrap();
    }
}

/// A server.
struct S3 {
    storage: Storage,
    store: Arc<S3Blobs>,
}

#[async_trait]
impl BlobFixture for S3 {
    const PART: usize = 5 * 1024 * 1024;
    const PRESIGNS: bool = true;

    async fn start() -> Self {
        let storage = Storage::start().await;
        for key in [
            "README",
            "mosaic/x",
            "mosaic/~",
            "mosaic/00000000-0000-0000-0000-000000000001/x",
        ] {
            storage.put_foreign(key);
        }
        let store = Arc::new(storage.store());
        Self { storage, store }
    }

    fn store(&self) -> Arc<dyn BlobStore> {
        Arc::<S3Blobs>::clone(&self.store)
    }

    async fn leftovers(&self) -> Vec<String> {
        self.storage.leftovers()
    }

    async fn restart(&self, killed: Vec<Box<dyn BlobWriter>>) -> Arc<dyn BlobStore> {
        until(|| self.storage.uploads().iter().all(|upload| upload.parts == 2)).await;
        std::mem::forget(killed);
        Arc::new(self.storage.store())
    }

    async fn stop(self) {
        drop(self);
    }
}

mod local {
    mosaic_testkit::blob_conformance!(super::Local);
}

mod s3 {
    mosaic_testkit::blob_conformance!(super::S3);
}
