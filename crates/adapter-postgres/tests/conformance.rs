//! This store keeps every promise of the ports: the suite of `mosaic-testkit`, with prepared statements, without, and
//! behind a pooler that gives each transaction another connection.

#[path = "support/fixture.rs"]
mod fixture;
mod support;

use std::sync::Arc;

use async_trait::async_trait;
use mosaic_ports::Clock;
use mosaic_testkit::postgres::{PgBouncer, TestDatabase};
use mosaic_testkit::{StoreFixture, Stores, conformance};

use crate::fixture::Fixture;
use crate::support::schema;

/// What a pooler asks for, without one; and connections that are asked whether they still work.
struct Unnamed(Fixture);

#[async_trait]
impl StoreFixture for Unnamed {
    const PARALLEL_WRITERS: bool = true;

    async fn start(clock: Arc<dyn Clock>) -> Self {
        let change = |settings: &mut mosaic_adapter_postgres::PostgresSettings| {
            settings.prepared_statements = false;
            settings.verify_connections = true;
        };
        Self(Fixture::with(clock, change).await)
    }

    fn stores(&self) -> Stores {
        self.0.stores()
    }

    async fn stop(self) {
        self.0.stop().await;
    }
}

/// PgBouncer in transaction mode.
struct Pooled {
    fixture: Fixture,
    bouncer: PgBouncer,
}

#[async_trait]
impl StoreFixture for Pooled {
    const PARALLEL_WRITERS: bool = true;

    async fn start(clock: Arc<dyn Clock>) -> Self {
        let database = TestDatabase::create(&schema()).await;
        let bouncer = PgBouncer::start(&database.url()).await;
        let fixture = Fixture::over(database, clock, |settings| {
            settings.url = bouncer.url().parse().expect("it is a URL");
            settings.prepared_statements = false;
        });
        Self {
            fixture: fixture.await,
            bouncer,
        }
    }

    fn stores(&self) -> Stores {
        self.fixture.stores()
    }

    async fn stop(self) {
        self.fixture.store.close().await;
        drop(self.bouncer);
        self.fixture.database.remove().await;
    }
}

mod prepared {
    super::conformance!(super::Fixture);
}

mod unnamed {
    super::conformance!(super::Unnamed);
}

mod pooled {
    super::conformance!(super::Pooled);
}
