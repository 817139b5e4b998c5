//! This store keeps every promise of the ports: the suite of `mosaic-testkit`, on a file and in memory.

use std::sync::Arc;

use async_trait::async_trait;
use mosaic_adapter_sqlite::{Location, SqliteSettings, SqliteStore};
use mosaic_ports::Clock;
use mosaic_testkit::{SequentialIds, StoreFixture, Stores};
use tempfile::TempDir;

async fn open(location: Location, clock: Arc<dyn Clock>) -> Arc<SqliteStore> {
    let ids = Arc::new(SequentialIds::default());
    let store = SqliteStore::open(SqliteSettings::new(location), clock, ids).await;
    Arc::new(store.unwrap())
}

struct InFile {
    store: Arc<SqliteStore>,
    folder: TempDir,
}

#[async_trait]
impl StoreFixture for InFile {
    const PARALLEL_WRITERS: bool = false;

    async fn start(clock: Arc<dyn Clock>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let location = Location::File(folder.path().join("mosaic.db"));
        let store = open(location, clock).await;
        Self { store, folder }
    }

    fn stores(&self) -> Stores {
        Stores::of(&self.store)
    }

    async fn stop(self) {
        self.store.close().await;
        self.folder.close().unwrap();
    }
}

struct InMemory(Arc<SqliteStore>);

#[async_trait]
impl StoreFixture for InMemory {
    const PARALLEL_WRITERS: bool = false;
    const READS_BESIDE_WRITES: bool = false;

    async fn start(clock: Arc<dyn Clock>) -> Self {
        Self(open(Location::Memory, clock).await)
    }

    fn stores(&self) -> Stores {
        Stores::of(&self.0)
    }

    async fn stop(self) {
        self.0.close().await;
    }
}

mod in_file {
    mosaic_testkit::conformance!(super::InFile);
}

mod in_memory {
    mosaic_testkit::conformance!(super::InMemory);
}
