//! The user's clock: the place of every change in the user's history (rules S1 to S5).

use crate::time::{MAX_SAFE_INTEGER, UnixMillis, safe_integer};

safe_integer! {
    /// The place of a change in the user's history: unique per user and strictly increasing, shaped like Unix
    /// milliseconds, given by the server (S1).
    Stamp
}

safe_integer! {
    /// The stamp up to which a device has been served, for one entity type. Opaque to clients: they send back what
    /// they got. [`Cursor::ZERO`] means from the beginning.
    Cursor
}

impl From<Stamp> for Cursor {
    fn from(stamp: Stamp) -> Self {
        Self(stamp.get())
    }
}

impl Cursor {
    /// Whether a device with this cursor has been served the change with that stamp.
    pub fn covers(self, stamp: Stamp) -> bool {
        stamp.get() <= self.0
    }
}

/// One user's clock, as loaded under its lock: it draws the stamps of one write (S1).
///
/// ```
/// use mosaic_domain::{Stamp, SyncClock, UnixMillis};
/// let mut clock = SyncClock::new(Stamp::clamped(1_000), UnixMillis::clamped(5_000));
/// assert_eq!(clock.draw().unwrap().get(), 5_000);
/// assert_eq!(clock.draw().unwrap().get(), 5_001);
/// ```
#[derive(Debug, Clone)]
pub struct SyncClock {
    last: Stamp,
    now: UnixMillis,
}

/// The user's clock has reached 2^53 - 1 and can draw no more stamps. With a sane server clock that is in the year
/// 287396.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the user's clock is exhausted: no stamp below 2^53 is left")]
pub struct ClockExhausted;

impl SyncClock {
    /// The clock as it stands: the last stamp that was drawn, and the server's time, read after the lock was taken (S2).
    pub fn new(last: Stamp, now: UnixMillis) -> Self {
        Self { last, now }
    }

    /// Draws the next stamp: `max(last + 1, now)`. A clock that stepped back changes nothing but the digits (S2).
    ///
    /// # Errors
    /// [`ClockExhausted`] when no stamp below 2^53 is left (S5).
    pub fn draw(&mut self) -> Result<Stamp, ClockExhausted> {
        let next = (self.last.get() + 1).max(self.now.get());
        if next > MAX_SAFE_INTEGER {
            return Err(ClockExhausted);
        }
        self.last = Stamp(next);
        Ok(self.last)
    }

    /// The last stamp that was drawn, by this write or one before it.
    pub fn last(&self) -> Stamp {
        self.last
    }

    /// The server's time, read after the lock was taken.
    pub fn now(&self) -> UnixMillis {
        self.now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clock(last: i64, now: i64) -> SyncClock {
        SyncClock::new(Stamp::clamped(last), UnixMillis::clamped(now))
    }

    #[test]
    fn s1_stamps_are_unique_and_strictly_increasing() {
        let mut clock = clock(10, 10);
        let drawn: Vec<_> = (0..5).map(|_| clock.draw().unwrap().get()).collect();
        assert_eq!(drawn, [11, 12, 13, 14, 15]);
    }

    #[test]
    fn s2_a_clock_that_steps_back_still_moves_the_stamps_forward() {
        assert_eq!(clock(5_000, 4_000).draw().unwrap().get(), 5_001);
        assert_eq!(clock(5_000, 9_000).draw().unwrap().get(), 9_000);
    }

    #[test]
    fn s5_a_stamp_beyond_the_safe_integers_is_never_drawn() {
        assert_eq!(
            clock(MAX_SAFE_INTEGER - 1, 0).draw().unwrap().get(),
            MAX_SAFE_INTEGER
        );
        assert_eq!(clock(MAX_SAFE_INTEGER, 0).draw(), Err(ClockExhausted));
    }
}
