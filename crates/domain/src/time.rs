//! Integers that mean a time. All are Unix milliseconds and stay within what JSON numbers carry exactly (rule S5).

use jiff::civil::DateTime;
use jiff::{Timestamp, tz};

use crate::violation::Violation;

/// The greatest integer that every JSON reader keeps exactly: 2^53 - 1.
pub const MAX_SAFE_INTEGER: i64 = (1 << 53) - 1;

/// Defines a newtype over `i64` that holds `0..=MAX_SAFE_INTEGER`.
macro_rules! safe_integer {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, serde::Serialize, serde::Deserialize,
        )]
        #[serde(try_from = "i64", into = "i64")]
        pub struct $name(i64);

        impl $name {
            /// The least value.
            pub const ZERO: Self = Self(0);

            /// Reads an integer that came from outside.
            ///
            /// # Errors
            /// `out_of_range` when it is negative or beyond 2^53 - 1 (rule S5).
            pub fn new(value: i64) -> Result<Self, $crate::violation::Violation> {
                if (0..=$crate::time::MAX_SAFE_INTEGER).contains(&value) {
                    Ok(Self(value))
                } else {
                    Err($crate::time::out_of_range())
                }
            }

            /// The nearest value that is in range.
            pub fn clamped(value: i64) -> Self {
                Self(value.clamp(0, $crate::time::MAX_SAFE_INTEGER))
            }

            /// The plain integer.
            pub const fn get(self) -> i64 {
                self.0
            }
        }

        impl TryFrom<i64> for $name {
            type Error = $crate::violation::Violation;
            fn try_from(value: i64) -> Result<Self, Self::Error> {
                Self::new(value)
            }
        }

        impl From<$name> for i64 {
            fn from(value: $name) -> i64 {
                value.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}
pub(crate) use safe_integer;

pub(crate) fn out_of_range() -> Violation {
    Violation::new(
        "out_of_range",
        "must be a whole number from 0 to 9007199254740991",
    )
}

safe_integer! {
    /// A moment, in Unix milliseconds: a reading of the server's clock, a `createdAt`.
    UnixMillis
}

safe_integer! {
    /// When a person made an edit (`updatedAt`), in Unix milliseconds. It decides who wins (W2), and nothing else:
    /// what was already delivered is decided by [`Stamp`](crate::Stamp).
    EditTime
}

/// As `strftime` has it.
const LABEL: &str = "%Y-%m-%dT%H%M%SZ";

impl UnixMillis {
    /// The moment `ms` milliseconds later, or the last one there is.
    pub fn plus(self, ms: i64) -> Self {
        Self::clamped(self.0.saturating_add(ms))
    }

    /// The moment as a part of a name, to the second: `2026-11-27T033000Z`. Such names sort as time goes.
    pub fn label(self) -> String {
        let moment = Timestamp::from_millisecond(self.0).unwrap_or(Timestamp::MAX);
        moment.strftime(LABEL).to_string()
    }

    /// The moment that a [`label`](Self::label) names; `None`: it is none.
    pub fn of_label(text: &str) -> Option<Self> {
        let moment = DateTime::strptime(LABEL, text).ok()?;
        let moment = moment.to_zoned(tz::TimeZone::UTC).ok()?.timestamp();
        let moment = Self::new(moment.as_millisecond()).ok()?;
        (moment.label() == text).then_some(moment)
    }

    /// Milliseconds from `earlier` to this moment; negative when `earlier` is later.
    pub fn since(self, earlier: Self) -> i64 {
        self.0 - earlier.0
    }
}

impl EditTime {
    /// The edit time of an edit that is made now.
    pub fn at(now: UnixMillis) -> Self {
        Self(now.get())
    }

    /// The edit time one millisecond later: what an edit needs to be newer than this one (W1).
    pub fn next(self) -> Self {
        Self::clamped(self.0 + 1)
    }

    /// The same number, read as a moment.
    pub fn as_moment(self) -> UnixMillis {
        UnixMillis::clamped(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_name_moments_and_sort_as_time_goes() {
        let moment = UnixMillis::clamped(1_795_750_200_999);
        assert_eq!(moment.label(), "2026-11-27T033000Z");
        assert_eq!(
            UnixMillis::of_label("2026-11-27T033000Z"),
            Some(UnixMillis::clamped(1_795_750_200_000))
        );
        assert!(UnixMillis::clamped(0).label() < moment.label());
        for other in [
            "",
            "2026-11-27",
            "2026-11-27T033000Z.old",
            "2026-13-27T033000Z",
            "26-11-27T033000Z",
        ] {
            assert_eq!(UnixMillis::of_label(other), None, "{other}");
        }
        assert!(!UnixMillis::clamped(i64::MAX).label().is_empty());
    }

    #[test]
    fn s5_times_stay_below_two_to_the_fifty_third() {
        assert!(EditTime::new(MAX_SAFE_INTEGER).is_ok());
        assert_eq!(
            EditTime::new(MAX_SAFE_INTEGER + 1).unwrap_err().code,
            "out_of_range"
        );
        assert_eq!(EditTime::new(-1).unwrap_err().code, "out_of_range");
        assert_eq!(EditTime::clamped(i64::MAX).next().get(), MAX_SAFE_INTEGER);
    }

    #[test]
    fn times_are_plain_integers_in_json() {
        assert_eq!(serde_json::to_string(&UnixMillis::clamped(12)).unwrap(), "12");
        assert!(serde_json::from_str::<UnixMillis>("1.5").is_err());
        assert!(serde_json::from_str::<UnixMillis>("9007199254740992").is_err());
    }
}
