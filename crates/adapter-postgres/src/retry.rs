//! Doing it again: after conflicts, and after connections that were lost before anything was committed.

use std::collections::hash_map::RandomState;
use std::future::Future;
use std::hash::BuildHasher as _;
use std::time::Duration;

use tokio::time::Instant;

use crate::error::Failure;

/// How often something is done again.
const RETRIES: u32 = 3;
/// How long all attempts together may take before there is no further one.
const BUDGET: Duration = Duration::from_secs(5);
/// How long to wait, on average, before the first retry; twice as long before each one after it.
const PAUSE: Duration = Duration::from_millis(20);

/// A duration between half and one and a half of the given one, so that those who collided do not meet again.
pub(crate) fn jittered(mean: Duration) -> Duration {
    // A fresh RandomState is random: good enough to be apart from others.
    let random = RandomState::new().hash_one(()) % 1_000;
    let thousandth = mean / 1_000;
    mean / 2 + thousandth * u32::try_from(random).unwrap_or_default()
}

/// What is left of the budget of one call.
#[derive(Debug)]
pub(crate) struct RetryBudget {
    retries: u32,
    until: Instant,
}

impl RetryBudget {
    pub(crate) fn new() -> Self {
        Self {
            retries: 0,
            until: Instant::now() + BUDGET,
        }
    }

    /// Waits for a moment if it makes sense to do the same again; else gives the failure back.
    pub(crate) async fn after(&mut self, failure: Failure) -> Result<(), Failure> {
        if !failure.is_transient() {
            return Err(failure);
        }
        self.pause(failure).await
    }

    /// Waits for a moment, whatever the failure, as long as the budget lasts.
    pub(crate) async fn pause(&mut self, failure: Failure) -> Result<(), Failure> {
        let pause = jittered(PAUSE * 2_u32.pow(self.retries));
        if self.retries >= RETRIES || Instant::now() + pause >= self.until {
            return Err(failure);
        }
        self.retries += 1;
        tracing::debug!(error = &failure as &dyn std::error::Error, "trying again");
        tokio::time::sleep(pause).await;
        Ok(())
    }
}

/// Does something that may be done again until it succeeds, fails for good, or the budget is spent.
pub(crate) async fn retrying<T, F>(attempt: impl Fn() -> F + Send) -> Result<T, Failure>
where
    F: Future<Output = Result<T, Failure>> + Send,
{
    retrying_unless(|_| false, attempt).await
}

/// As [`retrying`], but for failures that are not worth it.
pub(crate) async fn retrying_unless<T, F>(
    is_final: impl Fn(&Failure) -> bool + Send,
    attempt: impl Fn() -> F + Send,
) -> Result<T, Failure>
where
    F: Future<Output = Result<T, Failure>> + Send,
{
    let mut budget = RetryBudget::new();
    loop {
        match attempt().await {
            Ok(done) => return Ok(done),
            Err(failure) if is_final(&failure) => return Err(failure),
            Err(failure) => budget.after(failure).await?,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[test]
    fn jitter_stays_around_its_mean() {
        let mean = Duration::from_millis(100);
        for _ in 0..1_000 {
            let some = jittered(mean);
            assert!((mean / 2..mean * 3 / 2).contains(&some), "{some:?}");
        }
    }

    #[tokio::test]
    async fn what_is_lost_is_tried_four_times_and_what_is_refused_once() {
        let attempts = AtomicU32::new(0);
        let failing = |failure: fn() -> Failure| {
            let attempts = &attempts;
            retrying(move || async move {
                attempts.fetch_add(1, Ordering::SeqCst);
                Err::<(), _>(failure())
            })
        };
        assert!(failing(|| Failure::Lost).await.is_err());
        assert_eq!(attempts.swap(0, Ordering::SeqCst), 4);
        let lost_at_once = retrying_unless(
            |failure| matches!(failure, Failure::Lost),
            || async {
                attempts.fetch_add(1, Ordering::SeqCst);
                Err::<(), _>(Failure::Lost)
            },
        );
        assert!(lost_at_once.await.is_err());
        assert_eq!(attempts.swap(0, Ordering::SeqCst), 1);
        assert!(failing(|| Failure::Silent).await.is_err());
        assert_eq!(attempts.load(Ordering::SeqCst), 1);
    }
}
