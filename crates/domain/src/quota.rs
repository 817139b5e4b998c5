//! What an account may store, where its operator says so (A4, W10).

use std::fmt;
use std::str::FromStr;

use crate::time::MAX_SAFE_INTEGER;
use crate::violation::Violation;

/// What an account may store. Attachments are what takes room, so it is theirs; records have a bound of the server's
/// besides, by which their searches stay quick, and never more room than attachments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Quota {
    /// What the server's settings say.
    #[default]
    Default,
    /// So many bytes of attachments, and no more of records.
    Bytes(u64),
    /// Any number of bytes of attachments.
    Unlimited,
}

/// What stands for no limit in the database.
const UNLIMITED: i64 = -1;

/// The units of sizes, each 1024 times the one before.
const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];

impl Quota {
    /// What the attachments of the account may come to, in bytes, where `server` is what those of others may.
    pub const fn of_attachments(self, server: u64) -> u64 {
        match self {
            Self::Default => server,
            Self::Bytes(bytes) => bytes,
            Self::Unlimited => u64::MAX,
        }
    }

    /// What the records of the account and their history may come to, in bytes, where `server` is what those of others may.
    pub fn of_records(self, server: u64) -> u64 {
        match self {
            Self::Default | Self::Unlimited => server,
            Self::Bytes(bytes) => server.min(bytes),
        }
    }

    /// How databases keep it.
    pub fn stored(self) -> Option<i64> {
        match self {
            Self::Default => None,
            Self::Bytes(bytes) => Some(i64::try_from(bytes).unwrap_or(i64::MAX)),
            Self::Unlimited => Some(UNLIMITED),
        }
    }

    /// Reads what [`Quota::stored`] said.
    pub const fn of_stored(stored: Option<i64>) -> Self {
        match stored {
            None => Self::Default,
            Some(bytes) if bytes < 0 => Self::Unlimited,
            Some(bytes) => Self::Bytes(bytes.unsigned_abs()),
        }
    }
}

impl FromStr for Quota {
    type Err = Violation;
    fn from_str(text: &str) -> Result<Self, Violation> {
        match text {
            "default" => return Ok(Self::Default),
            "none" => return Ok(Self::Unlimited),
            _ => {}
        }
        let digits = text.trim_end_matches(|letter: char| !letter.is_ascii_digit());
        let unit = match text[digits.len()..].trim_start() {
            "" | "B" => Some(1),
            unit => UNITS
                .iter()
                .position(|known| known.eq_ignore_ascii_case(unit))
                .map(|place| 1 << (10 * (place + 1))),
        };
        let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        let number = plain.then(|| digits.parse::<u64>().ok()).flatten();
        let bytes = number
            .zip(unit)
            .and_then(|(number, unit)| number.checked_mul(unit));
        let bytes = bytes.filter(|bytes| *bytes <= MAX_SAFE_INTEGER.unsigned_abs());
        bytes.map(Self::Bytes).ok_or_else(|| {
            Violation::new(
                "invalid_size",
                "must be a number of bytes like 50GiB (KiB, MiB, GiB, TiB), default or none",
            )
        })
    }
}

/// As it is read, in the greatest unit that needs no fraction.
impl fmt::Display for Quota {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = match self {
            Self::Default => return f.write_str("default"),
            Self::Unlimited => return f.write_str("none"),
            Self::Bytes(bytes) => *bytes,
        };
        let mut unit = "";
        for greater in UNITS {
            if bytes == 0 || bytes % 1024 != 0 {
                break;
            }
            (bytes, unit) = (bytes / 1024, greater);
        }
        write!(f, "{bytes}{unit}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a4_w10_an_account_may_store_what_its_quota_says_and_the_server_s_records_bound_besides() {
        const SERVER: u64 = 100;
        for (quota, attachments, records) in [
            (Quota::Default, 100, 100),
            (Quota::Bytes(7), 7, 7),
            (Quota::Bytes(0), 0, 0),
            (Quota::Bytes(1_000), 1_000, 100),
            (Quota::Unlimited, u64::MAX, 100),
        ] {
            assert_eq!(quota.of_attachments(SERVER), attachments, "{quota}");
            assert_eq!(quota.of_records(SERVER), records, "{quota}");
            assert_eq!(Quota::of_stored(quota.stored()), quota);
        }
    }

    #[test]
    fn quotas_are_read_as_people_write_sizes_and_shown_so() {
        for (text, quota, shown) in [
            ("default", Quota::Default, "default"),
            ("none", Quota::Unlimited, "none"),
            ("0", Quota::Bytes(0), "0"),
            ("1500", Quota::Bytes(1_500), "1500"),
            ("1500 B", Quota::Bytes(1_500), "1500"),
            ("50GiB", Quota::Bytes(50 << 30), "50GiB"),
            ("50 gib", Quota::Bytes(50 << 30), "50GiB"),
            ("2048KiB", Quota::Bytes(2 << 20), "2MiB"),
        ] {
            assert_eq!(text.parse(), Ok(quota), "{text}");
            assert_eq!(quota.to_string(), shown);
            assert_eq!(shown.parse(), Ok(quota));
        }
        for bad in [
            "",
            "GiB",
            "-1",
            "+1",
            "1.5GiB",
            "50GB",
            "Default",
            "1 2",
            "9007199254740992",
            "99999PiB",
        ] {
            assert_eq!(bad.parse::<Quota>().unwrap_err().code, "invalid_size", "{bad}");
        }
    }
}
