//! What the tests of this crate share: databases with the schema in them, and stores over them.
#![expect(clippy::unwrap_used, reason = "a test that can't go on has to say so at once")]

use std::sync::Arc;

use async_trait::async_trait;
use mosaic_adapter_postgres::{OpenError, PostgresSettings, PostgresStore};
use mosaic_ports::Clock;
use mosaic_testkit::postgres::{Template, TestDatabase};
use mosaic_testkit::{ManualClock, SequentialIds, StoreFixture, Stores};

/// The text of all migrations: a template that was made from others is not used.
const MIGRATIONS: &str = include_str!("../../../../migrations/postgres/V1__initial.sql");

/// The schema, made by the store itself.
pub(crate) fn schema() -> Template {
    Template::new("store", MIGRATIONS, |url| async move {
        let store = open(settings(&url)).await?;
        store.close().await;
        Ok::<_, OpenError>(())
    })
}

/// Settings with a pool that is small, because many tests share a server.
pub(crate) fn settings(url: &str) -> PostgresSettings {
    PostgresSettings {
        pool_size: 8,
        ..PostgresSettings::new(url.parse().unwrap())
    }
}

/// Opens a store whose clock stands still.
pub(crate) async fn open(settings: PostgresSettings) -> Result<PostgresStore, OpenError> {
    open_at(settings, Arc::new(ManualClock::default())).await
}

async fn open_at(settings: PostgresSettings, clock: Arc<dyn Clock>) -> Result<PostgresStore, OpenError> {
    PostgresStore::open(settings, clock, Arc::new(SequentialIds::default())).await
}

/// A store over a database of its own.
pub(crate) struct Fixture {
    pub(crate) database: TestDatabase,
    pub(crate) store: Arc<PostgresStore>,
}

impl Fixture {
    pub(crate) async fn with(clock: Arc<dyn Clock>, change: impl FnOnce(&mut PostgresSettings)) -> Self {
        Self::over(TestDatabase::create(&schema()).await, clock, change).await
    }

    pub(crate) async fn over(
        database: TestDatabase,
        clock: Arc<dyn Clock>,
        change: impl FnOnce(&mut PostgresSettings),
    ) -> Self {
        let mut settings = settings(&database.url());
        change(&mut settings);
        let store = Arc::new(open_at(settings, clock).await.unwrap());
        Self { database, store }
    }
}

#[async_trait]
impl StoreFixture for Fixture {
    const PARALLEL_WRITERS: bool = true;

    async fn start(clock: Arc<dyn Clock>) -> Self {
        Self::with(clock, |_| {}).await
    }

    fn stores(&self) -> Stores {
        Stores::of(&self.store)
    }

    async fn stop(self) {
        self.store.close().await;
        self.database.remove().await;
    }
}
