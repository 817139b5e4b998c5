//! This store keeps every promise of the ports: the suite of `mosaic-testkit`, with prepared statements and without.

mod support;

use std::sync::Arc;

use async_trait::async_trait;
use mosaic_ports::Clock;
use mosaic_testkit::{StoreFixture, Stores, conformance};

use crate::support::{Fixture, stores};

struct Prepared(Fixture);

#[async_trait]
impl StoreFixture for Prepared {
    const PARALLEL_WRITERS: bool = true;

    async fn start(clock: Arc<dyn Clock>) -> Self {
        Self(Fixture::start(clock, |_| {}).await)
    }

    fn stores(&self) -> Stores {
        stores(&self.0.store)
    }

    async fn stop(self) {
        self.0.stop().await;
    }
}

/// As behind a pooler that gives each transaction another connection.
struct Unnamed(Fixture);

#[async_trait]
impl StoreFixture for Unnamed {
    const PARALLEL_WRITERS: bool = true;

    async fn start(clock: Arc<dyn Clock>) -> Self {
        let unnamed = Fixture::start(clock, |settings| settings.prepared_statements = false);
        Self(unnamed.await)
    }

    fn stores(&self) -> Stores {
        stores(&self.0.store)
    }

    async fn stop(self) {
        self.0.stop().await;
    }
}

mod prepared {
    super::conformance!(super::Prepared);
}

mod unnamed {
    super::conformance!(super::Unnamed);
}
