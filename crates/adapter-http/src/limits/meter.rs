//! How many failures each key has made lately: a budget that fills up again.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How many attempts at once, and how many more per minute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// Attempts that may come at once.
    pub burst: NonZeroU32,
    /// Attempts per minute beyond that.
    pub per_minute: NonZeroU32,
}

impl Budget {
    pub(super) const fn new(burst: u32, per_minute: u32) -> Self {
        match (NonZeroU32::new(burst), NonZeroU32::new(per_minute)) {
            (Some(burst), Some(per_minute)) => Self { burst, per_minute },
            _ => panic!("a budget is never zero"),
        }
    }

    /// How long it takes until one more attempt is there.
    fn interval(self) -> Duration {
        Duration::from_mins(1) / self.per_minute.get()
    }
}

/// A budget for each key. What is counted while nothing is left is owed: so attempts that run side by side gain nothing.
///
/// Keys are forgotten when their budget is full again. The clean-up comes when their number has doubled: so the work is
/// spread, and the memory stays within twice what the last minutes' failures need.
pub(super) struct Meter {
    budget: Budget,
    keys: Mutex<Keys>,
}

struct Keys {
    /// When the budget of each key is full again.
    full_at: HashMap<u64, Instant>,
    sweep_at: usize,
}

impl Meter {
    /// Below this many keys nothing is cleaned up.
    const SWEEP_MIN: usize = 4096;

    pub(super) fn new(budget: Budget) -> Self {
        let keys = Keys {
            full_at: HashMap::new(),
            sweep_at: Self::SWEEP_MIN,
        };
        Self {
            budget,
            keys: Mutex::new(keys),
        }
    }

    /// Whether there is something left for a key; else how long until there is.
    pub(super) fn check(&self, key: u64, now: Instant) -> Result<(), Duration> {
        let owed = self
            .lock()
            .full_at
            .get(&key)
            .map_or(Duration::ZERO, |full_at| full_at.saturating_duration_since(now));
        let spare = self.budget.interval() * (self.budget.burst.get() - 1);
        match owed.saturating_sub(spare) {
            Duration::ZERO => Ok(()),
            wait => Err(wait),
        }
    }

    /// Takes one from a key's budget.
    pub(super) fn count(&self, key: u64, now: Instant) {
        let mut keys = self.lock();
        let full_at = keys.full_at.entry(key).or_insert(now);
        *full_at = now.max(*full_at) + self.budget.interval();
        if keys.full_at.len() >= keys.sweep_at {
            keys.full_at.retain(|_, full_at| *full_at > now);
            keys.full_at.shrink_to_fit();
            keys.sweep_at = (keys.full_at.len() * 2).max(Self::SWEEP_MIN);
        }
    }

    /// How many keys are remembered.
    pub(super) fn len(&self) -> usize {
        self.lock().full_at.len()
    }

    fn lock(&self) -> MutexGuard<'_, Keys> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_used_up_owed_and_fills_up_again() {
        let meter = Meter::new(Budget::new(3, 6));
        let mut now = Instant::now();
        for _ in 0..3 {
            assert_eq!(meter.check(1, now), Ok(()));
            meter.count(1, now);
        }
        assert_eq!(meter.check(1, now), Err(Duration::from_secs(10)));
        assert_eq!(meter.check(2, now), Ok(()), "another key has its own");
        meter.count(1, now);
        assert_eq!(
            meter.check(1, now),
            Err(Duration::from_secs(20)),
            "what ran beside is owed"
        );
        now += Duration::from_secs(20);
        assert_eq!(meter.check(1, now), Ok(()));
        meter.count(1, now);
        assert_eq!(meter.check(1, now), Err(Duration::from_secs(10)));
    }

    #[test]
    fn keys_are_forgotten_when_their_budget_is_full_again() {
        let meter = Meter::new(Budget::new(3, 6));
        let now = Instant::now();
        let keys = Meter::SWEEP_MIN as u64;
        for key in 1..keys {
            meter.count(key, now);
        }
        assert_eq!(meter.len() as u64, keys - 1);
        meter.count(keys, now + Duration::from_hours(1));
        assert_eq!(meter.len(), 1);
    }
}
