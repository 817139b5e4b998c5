//! Identifiers: one newtype per kind, so that no id can stand where another belongs.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use time::{Date, OffsetDateTime};
use uuid::Uuid;

use crate::text;
use crate::violation::Violation;

/// Defines a newtype over [`Uuid`] that reads and prints the lower-case hyphenated form.
macro_rules! uuid_id {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// Names a UUID for what it identifies.
            pub const fn new(id: Uuid) -> Self {
                Self(id)
            }

            /// The plain UUID.
            pub const fn uuid(self) -> Uuid {
                self.0
            }
        }

        impl FromStr for $name {
            type Err = Violation;
            fn from_str(text: &str) -> Result<Self, Violation> {
                parse_uuid(text).map(Self)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.hyphenated().fmt(f)
            }
        }
    )*};
}

/// Only the hyphenated form is taken, in either case: the other spellings of a UUID would make one record answer to
/// several names.
fn parse_uuid(text: &str) -> Result<Uuid, Violation> {
    let hyphenated = text.len() == 36;
    Uuid::parse_str(text).ok().filter(|_| hyphenated).ok_or_else(|| {
        Violation::new(
            "invalid_uuid",
            "must be a UUID, like 0198f3a2-7b1c-7def-8000-1234567890ab",
        )
    })
}

uuid_id! {
    /// A user, who owns records.
    UserId;
    /// A memo.
    MemoId;
    /// A resource: an attachment's record.
    ResourceId;
    /// A bot.
    BotId;
    /// A kept version of a record. Derived from what it holds, so that recording it twice keeps it once (W3).
    RevisionId;
    /// The history that a database holds (R2): changes when a backup is restored.
    Epoch;
    /// An upload that may take several requests.
    UploadId;
    /// A picture of an account or of a bot.
    AvatarId;
    /// One login and all refresh tokens that descend from it.
    FamilyId;
    /// Something that happened to an account.
    ActivityId;
    /// A link by which somebody makes an account.
    InviteId;
}

/// One installation of the app, named by itself: 1 to 64 characters, none of them a control character.
///
/// ```
/// use mosaic_domain::ClientId;
/// assert!("anna-phone".parse::<ClientId>().is_ok());
/// assert!("".parse::<ClientId>().is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ClientId(String);

impl ClientId {
    /// The most characters a client id may have.
    pub const MAX_CHARS: usize = 64;
    /// The author of edits whose request names no device: the server itself speaks for it.
    pub const UNNAMED: &'static str = "server";

    /// The id that stands for requests that name no device.
    pub fn unnamed() -> Self {
        Self(Self::UNNAMED.to_owned())
    }

    /// The id as the device wrote it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ClientId {
    type Err = Violation;
    fn from_str(value: &str) -> Result<Self, Violation> {
        text::check_label(value, Self::MAX_CHARS)?;
        Ok(Self(value.to_owned()))
    }
}

impl TryFrom<String> for ClientId {
    type Error = Violation;
    fn try_from(value: String) -> Result<Self, Violation> {
        value.parse()
    }
}

impl From<ClientId> for String {
    fn from(id: ClientId) -> String {
        id.0
    }
}

impl fmt::Display for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A calendar day, `YYYY-MM-DD`, years 0001 to 9999: the key of a diary, and the day that a memo is filed under.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DiaryDate(Date);

impl DiaryDate {
    /// The day, in UTC, of a moment; `None` after the year 9999.
    pub fn utc_day_of(moment: crate::UnixMillis) -> Option<Self> {
        let moment = OffsetDateTime::from_unix_timestamp(moment.get().div_euclid(1000)).ok()?;
        Some(Self(moment.date()))
    }

    /// When this day begins in UTC, in Unix seconds.
    pub(crate) fn utc_midnight(self) -> i64 {
        self.0.midnight().assume_utc().unix_timestamp()
    }
}

impl FromStr for DiaryDate {
    type Err = Violation;
    fn from_str(text: &str) -> Result<Self, Violation> {
        parse_date(text)
            .map(Self)
            .ok_or_else(|| Violation::new("invalid_date", "must be a calendar date, like 2026-05-16"))
    }
}

/// `YYYY-MM-DD` and nothing else.
fn parse_date(text: &str) -> Option<Date> {
    let shaped = text.len() == 10
        && text.bytes().enumerate().all(|(i, b)| {
            if i == 4 || i == 7 {
                b == b'-'
            } else {
                b.is_ascii_digit()
            }
        });
    if !shaped {
        return None;
    }
    let year = text[..4].parse().ok().filter(|year| *year >= 1)?;
    let month = text[5..7].parse::<u8>().ok()?.try_into().ok()?;
    Date::from_calendar_date(year, month, text[8..].parse().ok()?).ok()
}

impl TryFrom<String> for DiaryDate {
    type Error = Violation;
    fn try_from(text: String) -> Result<Self, Violation> {
        text.parse()
    }
}

impl From<DiaryDate> for String {
    fn from(date: DiaryDate) -> String {
        date.to_string()
    }
}

impl fmt::Display for DiaryDate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for DiaryDate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn client_ids_are_one_to_sixty_four_characters_without_controls() {
        assert!("ü".repeat(64).parse::<ClientId>().is_ok());
        assert_eq!("ü".repeat(65).parse::<ClientId>().unwrap_err().code, "too_long");
        assert_eq!("".parse::<ClientId>().unwrap_err().code, "empty");
        assert_eq!("a\0b".parse::<ClientId>().unwrap_err().code, "nul");
        assert_eq!("a\nb".parse::<ClientId>().unwrap_err().code, "control_character");
    }

    #[test]
    fn ids_are_kept_and_shown_as_the_text_that_they_were_read_from() {
        let client: ClientId = "anna-phone".parse().unwrap();
        assert_eq!(String::from(client), "anna-phone");
        let date: DiaryDate = "2026-02-28".parse().unwrap();
        assert_eq!(format!("{date:?}"), "2026-02-28");
        assert_eq!(String::from(date), "2026-02-28");
    }

    #[test]
    fn impossible_dates_and_other_spellings_are_refused() {
        for bad in [
            "2026-02-30",
            "2026-13-01",
            "2026-1-01",
            "20260101",
            "0000-01-01",
            "2026-01-01T00:00",
            "",
            "-001-01-01",
        ] {
            assert_eq!(
                bad.parse::<DiaryDate>().unwrap_err().code,
                "invalid_date",
                "{bad}"
            );
        }
        assert_eq!(
            "2024-02-29".parse::<DiaryDate>().unwrap().to_string(),
            "2024-02-29"
        );
    }

    #[test]
    fn a_moment_is_on_its_day_in_utc() {
        for day in ["1970-01-01", "2024-02-29", "9999-12-31"] {
            let day: DiaryDate = day.parse().unwrap();
            let crate::Day { begin, end, .. } = crate::TimeZone::UTC.day(day);
            assert_eq!(DiaryDate::utc_day_of(begin), Some(day));
            assert_eq!(DiaryDate::utc_day_of(end.plus(-1)), Some(day));
        }
        let never = crate::UnixMillis::clamped(i64::MAX);
        assert_eq!(DiaryDate::utc_day_of(never), None);
    }

    #[test]
    fn uuids_are_read_in_either_case_and_printed_in_lower_case() {
        let id: MemoId = "0198F3A2-7B1C-7DEF-8000-1234567890AB".parse().unwrap();
        assert_eq!(id.to_string(), "0198f3a2-7b1c-7def-8000-1234567890ab");
        for bad in [
            "",
            "x",
            "0198f3a27b1c7def80001234567890ab",
            "{0198f3a2-7b1c-7def-8000-1234567890ab}",
        ] {
            assert_eq!(bad.parse::<MemoId>().unwrap_err().code, "invalid_uuid", "{bad}");
        }
    }
}
