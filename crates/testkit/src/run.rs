//! How a case of the suite runs.

use std::panic::{AssertUnwindSafe, resume_unwind};
use std::sync::Arc;

use futures_util::FutureExt;

use crate::fixture::StoreFixture;
use crate::harness::Harness;
use crate::stand_ins::ManualClock;

/// Runs one case against an empty store.
pub async fn run<F: StoreFixture>(case: impl AsyncFnOnce(&Harness)) {
    let clock = Arc::new(ManualClock::default());
    let fixture = F::start(clock.clone()).await;
    let harness = Harness::new::<F>(&fixture, clock);
    let outcome = AssertUnwindSafe(case(&harness)).catch_unwind().await;
    harness.stop_other_stores().await;
    drop(harness);
    fixture.stop().await;
    if let Err(panic) = outcome {
        resume_unwind(panic);
    }
}
