//! A store over a database of its own, for the tests that need no more.

use std::sync::Arc;

use async_trait::async_trait;
use mosaic_adapter_postgres::{OpenError, PostgresSettings, PostgresStore, distribute};
use mosaic_ports::Clock;
use mosaic_testkit::postgres::{Template, TestDatabase, has_hook};
use mosaic_testkit::{StoreFixture, Stores};

use crate::support::{MIGRATIONS, open, open_at, settings};

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

/// The schema, made by the store itself; spread over machines where a program makes the databases of tests.
pub(crate) fn schema() -> Template {
    Template::new("store", MIGRATIONS, |url| async move {
        open(settings(&url)).await?.close().await;
        if has_hook() {
            distribute(&settings(&url)).await?;
        }
        Ok::<_, OpenError>(())
    })
}
