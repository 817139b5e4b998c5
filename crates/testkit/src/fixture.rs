//! How a store joins the suite.

use std::sync::Arc;

use async_trait::async_trait;
use mosaic_ports::{Clock, Stores};
use tokio::sync::Mutex;

/// An empty store of its own for each case.
#[async_trait]
pub trait StoreFixture: Send + Sync + Sized + 'static {
    /// Whether writes of different users run at the same time (S1). Only where the whole database has one writer may it
    /// be `false`.
    const PARALLEL_WRITERS: bool;

    /// Whether reads go on while a write holds its lock. Only where everything shares one connection may it be `false`.
    const READS_BESIDE_WRITES: bool = true;

    /// Starts an empty store that reads the time from this clock.
    async fn start(clock: Arc<dyn Clock>) -> Self;

    /// The store's ports.
    fn stores(&self) -> Stores;

    /// The ports of another instance over the same database, where there can be one. Stopped with the first.
    fn other_stores(&self) -> Option<Stores> {
        None
    }

    /// Stops the store and removes everything that it left behind. Also called when a case fails.
    async fn stop(self);
}

/// The stores that a case starts beside its own, all of one kind.
#[async_trait]
pub(crate) trait MoreStores: Send + Sync {
    /// Starts an empty one: its ports, and those of another instance over the same database.
    async fn start(&self, clock: Arc<dyn Clock>) -> (Stores, Option<Stores>);

    /// Stops them all.
    async fn stop(&self);
}

#[async_trait]
impl<F: StoreFixture> MoreStores for Mutex<Vec<F>> {
    async fn start(&self, clock: Arc<dyn Clock>) -> (Stores, Option<Stores>) {
        let fixture = F::start(clock).await;
        let stores = (fixture.stores(), fixture.other_stores());
        self.lock().await.push(fixture);
        stores
    }

    async fn stop(&self) {
        for fixture in self.lock().await.drain(..) {
            fixture.stop().await;
        }
    }
}

#[cfg(test)]
mod tests {
    /// A case that is missing in the list of `conformance!` would never run.
    #[test]
    fn every_case_is_in_the_list() {
        let list = include_str!("lib.rs");
        let listed = |case: &str| list.lines().any(|line| line.trim() == case);
        let cases = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/cases");
        for file in std::fs::read_dir(cases).unwrap() {
            let source = std::fs::read_to_string(file.unwrap().path()).unwrap();
            for line in source
                .lines()
                .filter_map(|line| line.strip_prefix("pub async fn "))
            {
                let (case, _) = line.split_once('(').unwrap();
                assert!(listed(case), "{case} is in no list");
            }
        }
    }
}
