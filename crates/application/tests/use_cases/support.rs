//! The store that the use cases run over: the embedded one, in memory.

use std::sync::Arc;

use async_trait::async_trait;
use mosaic_adapter_sqlite::{Location, SqliteSettings, SqliteStore};
use mosaic_application::activity::Trail;
use mosaic_domain::{Content, EntityType};
use mosaic_ports::{Clock, MockActivityLog};
use mosaic_testkit::{Harness, ManualClock, SequentialIds, StoreFixture, Stores};

struct InMemory(Arc<SqliteStore>);

#[async_trait]
impl StoreFixture for InMemory {
    const PARALLEL_WRITERS: bool = false;
    const READS_BESIDE_WRITES: bool = false;

    async fn start(clock: Arc<dyn Clock>) -> Self {
        let settings = SqliteSettings::new(Location::Memory);
        let store = SqliteStore::open(settings, clock, Arc::new(SequentialIds::default())).await;
        Self(Arc::new(store.unwrap()))
    }

    fn stores(&self) -> Stores {
        Stores::of(&self.0)
    }

    async fn stop(self) {
        self.0.close().await;
    }
}

/// An empty store, and what tests do with it.
pub(crate) async fn harness() -> Harness {
    let clock = Arc::new(ManualClock::default());
    let fixture = InMemory::start(clock.clone()).await;
    Harness::new(&fixture, clock)
}

/// A document of this type of which nothing can be read.
pub(crate) fn damaged(entity: EntityType) -> Content {
    entity.stored_content(b"{", || (None, None))
}

/// A trail that keeps nothing.
pub(crate) fn no_trail() -> Trail {
    let mut log = MockActivityLog::new();
    log.expect_keep().returning(|_| Ok(()));
    let (clock, ids) = (ManualClock::default(), SequentialIds::default());
    Trail::new(Arc::new(log), Arc::new(clock), Arc::new(ids))
}
