//! Devices whose clocks are wrong (rule W6).

use crate::time::{EditTime, UnixMillis};

/// A device's clock may be off by this much before its edit times are shifted: 10 s.
pub const TOLERATED_SKEW_MS: i64 = 10_000;
/// An edit time may lie this far ahead of the server: 5 minutes.
pub const TOLERATED_AHEAD_MS: i64 = 5 * 60_000;

/// What is added to the edit times of one request, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Shift(i64);

/// The edit time lies more than [`TOLERATED_AHEAD_MS`] ahead of the server: 422, code `edit_time_ahead`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the edit time is more than 5 minutes ahead of the server's clock")]
pub struct EditTimeAhead {
    /// The server's clock when the request arrived.
    pub server_time: UnixMillis,
}

impl Shift {
    /// Compares the device's clock, if the request carries it, with the server's when the request arrived.
    ///
    /// The difference is rounded to whole seconds, so that a retry gets the same edit times.
    ///
    /// ```
    /// use mosaic_domain::{UnixMillis, skew::Shift};
    /// let at = UnixMillis::clamped;
    /// assert_eq!(Shift::between(Some(at(100_000)), at(107_000)).ms(), 0);
    /// assert_eq!(Shift::between(Some(at(100_000)), at(120_400)).ms(), 20_000);
    /// assert_eq!(Shift::between(Some(at(100_000)), at(60_000)).ms(), -40_000);
    /// ```
    pub fn between(client_time: Option<UnixMillis>, arrived_at: UnixMillis) -> Self {
        let off = client_time.map_or(0, |client_time| arrived_at.since(client_time));
        if off.abs() <= TOLERATED_SKEW_MS {
            return Self(0);
        }
        Self((off + 500).div_euclid(1_000) * 1_000)
    }

    /// The shift in milliseconds.
    pub const fn ms(self) -> i64 {
        self.0
    }

    /// The edit time by the server's clock.
    ///
    /// # Errors
    /// [`EditTimeAhead`] when even so it is too far ahead: a bad clock can not win for years.
    pub fn apply(self, edit_time: EditTime, arrived_at: UnixMillis) -> Result<EditTime, EditTimeAhead> {
        let shifted = EditTime::clamped(edit_time.get() + self.0);
        if shifted.get() - arrived_at.get() > TOLERATED_AHEAD_MS {
            return Err(EditTimeAhead {
                server_time: arrived_at,
            });
        }
        Ok(shifted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_715_000_000_000;

    fn at(ms: i64) -> UnixMillis {
        UnixMillis::clamped(ms)
    }

    #[test]
    fn w6_an_edit_may_lie_five_minutes_ahead_and_no_more() {
        let shift = Shift::between(None, at(NOW));
        assert!(shift.apply(EditTime::clamped(NOW + 300_000), at(NOW)).is_ok());
        assert!(shift.apply(EditTime::clamped(NOW + 300_001), at(NOW)).is_err());
    }

    #[test]
    fn w6_a_clock_that_is_off_by_more_than_ten_seconds_shifts_the_edit_times() {
        let three_hours = 3 * 3_600_000;
        let shift = Shift::between(Some(at(NOW - three_hours)), at(NOW));
        assert_eq!(
            shift
                .apply(EditTime::clamped(NOW - three_hours - 7), at(NOW))
                .unwrap()
                .get(),
            NOW - 7
        );
        assert_eq!(Shift::between(Some(at(NOW - 10_000)), at(NOW)).ms(), 0);
        assert_eq!(Shift::between(Some(at(NOW + 10_000)), at(NOW)).ms(), 0);
        assert_eq!(Shift::between(Some(at(NOW + 10_001)), at(NOW)).ms(), -10_000);
    }

    #[test]
    fn w6_a_retry_gets_the_same_shift() {
        let first = Shift::between(Some(at(NOW - 60_000)), at(NOW + 30));
        let retry = Shift::between(Some(at(NOW - 60_000 + 5_000)), at(NOW + 5_000 + 320));
        assert_eq!(first, retry);
    }

    #[test]
    fn w6_an_edit_time_far_ahead_is_refused() {
        let ahead = EditTime::clamped(NOW + TOLERATED_AHEAD_MS);
        assert!(Shift::default().apply(ahead, at(NOW)).is_ok());
        let refused = Shift::default().apply(ahead.next(), at(NOW)).unwrap_err();
        assert_eq!(refused.server_time, at(NOW));
    }

    #[test]
    fn w6_a_device_clock_does_not_excuse_an_edit_in_that_device_s_own_future() {
        let shift = Shift::between(Some(at(NOW - 60_000)), at(NOW));
        assert!(
            shift
                .apply(EditTime::clamped(NOW + TOLERATED_AHEAD_MS), at(NOW))
                .is_err()
        );
    }
}
