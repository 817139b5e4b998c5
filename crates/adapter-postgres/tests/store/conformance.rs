//! This store keeps every promise of the ports: the suite of `mosaic-testkit`, with prepared statements, and without:
//! behind a pooler that gives each transaction another connection.

use std::sync::Arc;

use async_trait::async_trait;
use mosaic_ports::Clock;
use mosaic_testkit::postgres::{PgBouncer, TestDatabase};
use mosaic_testkit::{StoreFixture, Stores};

use crate::fixture::Fixture;
use crate::support::schema;

/// PgBouncer in transaction mode, with what it asks for: no prepared statements, and connections that are asked whether they
/// still work.
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
            settings.verify_connections = true;
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
    mosaic_testkit::conformance!(super::Fixture);
}

mod pooled {
    mosaic_testkit::conformance!(super::Pooled);
}
