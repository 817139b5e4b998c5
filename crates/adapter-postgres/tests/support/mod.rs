//! What the tests of this crate share: databases with the schema in them, and stores over them.
#![expect(clippy::unwrap_used, reason = "a test that can't go on has to say so at once")]

use std::sync::Arc;

use mosaic_adapter_postgres::{OpenError, PostgresSettings, PostgresStore};
use mosaic_ports::Clock;
use mosaic_testkit::postgres::{Template, TestDatabase};
use mosaic_testkit::{SequentialIds, Stores};

/// The text of all migrations: a template that was made from others is not used.
const MIGRATIONS: &str = include_str!("../../../../migrations/postgres/V1__initial.sql");

/// The schema, made by the store itself. Without the epoch: every database begins a history of its own.
pub(crate) fn schema() -> Template {
    Template::new("store", MIGRATIONS, |url| async move {
        let store = try_open(settings(&url)).await?;
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

pub(crate) async fn try_open(settings: PostgresSettings) -> Result<PostgresStore, OpenError> {
    try_open_at(settings, Arc::new(mosaic_testkit::ManualClock::default())).await
}

pub(crate) async fn try_open_at(
    settings: PostgresSettings,
    clock: Arc<dyn Clock>,
) -> Result<PostgresStore, OpenError> {
    PostgresStore::open(settings, clock, Arc::new(SequentialIds::default())).await
}

pub(crate) fn stores(store: &Arc<PostgresStore>) -> Stores {
    Stores {
        write: store.clone(),
        feed: store.clone(),
        reader: store.clone(),
        cursors: store.clone(),
        accounts: store.clone(),
        tokens: store.clone(),
        health: store.clone(),
    }
}

/// A store over a database of its own.
pub(crate) struct Fixture {
    pub(crate) database: TestDatabase,
    pub(crate) store: Arc<PostgresStore>,
}

impl Fixture {
    pub(crate) async fn start(clock: Arc<dyn Clock>, change: impl FnOnce(&mut PostgresSettings)) -> Self {
        let database = TestDatabase::create(&schema()).await;
        let mut settings = settings(&database.url());
        change(&mut settings);
        let store = Arc::new(try_open_at(settings, clock).await.unwrap());
        Self { database, store }
    }

    pub(crate) async fn stop(self) {
        self.store.close().await;
        self.database.remove().await;
    }
}
