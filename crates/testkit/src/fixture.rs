//! How a store joins the suite.

use std::panic::{AssertUnwindSafe, resume_unwind};
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::FutureExt;
use mosaic_ports::{Clock, Stores};

use crate::harness::Harness;
use crate::stand_ins::ManualClock;

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

/// Runs one case against an empty store.
pub async fn run<F: StoreFixture>(case: impl AsyncFnOnce(&Harness)) {
    let clock = Arc::new(ManualClock::default());
    let fixture = F::start(clock.clone()).await;
    let harness = Harness::new::<F>(&fixture, clock);
    let outcome = AssertUnwindSafe(case(&harness)).catch_unwind().await;
    drop(harness);
    fixture.stop().await;
    if let Err(panic) = outcome {
        resume_unwind(panic);
    }
}
