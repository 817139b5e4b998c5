//! What a test decides itself: the time, and the ids.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use mosaic_domain::UnixMillis;
use mosaic_ports::{Clock, IdGenerator};
use uuid::Uuid;

/// A clock that stands still until a test moves it.
#[derive(Debug)]
pub struct ManualClock(AtomicI64);

impl ManualClock {
    /// Where every test starts: some day in May 2024.
    pub const START_MS: i64 = 1_715_000_000_000;

    /// A clock that shows that many milliseconds.
    pub fn new(ms: i64) -> Self {
        Self(AtomicI64::new(ms))
    }

    /// Sets the clock, forward or back.
    pub fn set(&self, ms: i64) {
        self.0.store(ms, Ordering::SeqCst);
    }

    /// Moves the clock forward.
    pub fn advance(&self, ms: i64) {
        self.0.fetch_add(ms, Ordering::SeqCst);
    }

    /// Moves the clock back.
    pub fn step_back(&self, ms: i64) {
        self.0.fetch_sub(ms, Ordering::SeqCst);
    }

    /// What the clock shows, in milliseconds.
    pub fn ms(&self) -> i64 {
        self.0.load(Ordering::SeqCst)
    }
}

impl Default for ManualClock {
    fn default() -> Self {
        Self::new(Self::START_MS)
    }
}

impl Clock for ManualClock {
    fn now(&self) -> UnixMillis {
        UnixMillis::clamped(self.ms())
    }
}

/// Ids in sequence: 1, 2, 3 ... in the shape of version 7.
#[derive(Debug, Default)]
pub struct SequentialIds(AtomicU64);

impl IdGenerator for SequentialIds {
    fn next(&self) -> Uuid {
        let n = self.0.fetch_add(1, Ordering::SeqCst) + 1;
        Uuid::from_u128(0x018f_0000_0000_7000_8000_0000_0000_0000 | u128::from(n))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_goes_where_the_test_wants_it() {
        let clock = ManualClock::new(5);
        clock.advance(10);
        clock.step_back(3);
        assert_eq!(clock.now().get(), 12);
    }

    #[test]
    fn ids_come_in_sequence_and_have_version_7() {
        let ids = SequentialIds::default();
        let (first, second) = (ids.next(), ids.next());
        assert!(first < second);
        assert_eq!(first.get_version_num(), 7);
    }
}
