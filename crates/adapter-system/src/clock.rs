//! The system's clock, in the unit that the rules are written in.

use std::time::{SystemTime, UNIX_EPOCH};

use mosaic_domain::UnixMillis;
use mosaic_ports::Clock;

/// The clock of the machine. It may step back when somebody sets it; the rules are made for that (S2).
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the Clock port's implementation: time enters here and nowhere else"
    )]
    fn now(&self) -> UnixMillis {
        unix_millis(SystemTime::now())
    }
}

/// Whole milliseconds since 1970. A machine that believes it is earlier, or later than milliseconds can say (S5), reads
/// as the nearest moment there is: a wrong clock must not stop the server.
fn unix_millis(time: SystemTime) -> UnixMillis {
    let since_epoch = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixMillis::clamped(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use mosaic_domain::MAX_SAFE_INTEGER;

    use super::*;

    #[test]
    fn now_is_in_milliseconds() {
        let (start_of_2026, start_of_2200) = (1_767_225_600_000, 7_258_118_400_000);
        assert!((start_of_2026..start_of_2200).contains(&SystemClock.now().get()));
    }

    #[test]
    fn fractions_of_a_millisecond_are_cut_off() {
        let time = UNIX_EPOCH + Duration::from_micros(1_999);
        assert_eq!(unix_millis(time).get(), 1);
    }

    #[test]
    fn a_clock_before_1970_reads_as_1970() {
        assert_eq!(unix_millis(UNIX_EPOCH - Duration::from_secs(1)), UnixMillis::ZERO);
    }

    #[test]
    fn s5_a_clock_in_the_far_future_stays_below_two_to_the_fifty_third() {
        let time = UNIX_EPOCH + Duration::from_secs(1 << 53);
        assert_eq!(unix_millis(time).get(), MAX_SAFE_INTEGER);
    }
}
