//! Time zones: which moments a person's day has.

use std::str::FromStr;

use jiff::{Timestamp, ToSpan as _, Zoned, tz};

use crate::id::DiaryDate;
use crate::time::UnixMillis;
use crate::violation::Violation;

const HOUR: i64 = 3_600;

/// A time zone of the IANA database, of which the program brings its own copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimeZone(tz::TimeZone);

/// A day of a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Day {
    /// Its date.
    pub date: DiaryDate,
    /// The first moment at which clocks there show the date: at midnight, at the first where there are two, later where
    /// there is none.
    pub begin: UnixMillis,
    /// The moment at which the next day begins. The same as `begin` where a zone left the date out.
    pub end: UnixMillis,
}

/// A time of day, to the minute, as clocks show it: `03:30`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeOfDay {
    hour: i8,
    minute: i8,
}

impl FromStr for TimeOfDay {
    type Err = Violation;
    fn from_str(text: &str) -> Result<Self, Violation> {
        let number = |text: &str, most: i8| {
            let is_written_so = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
            text.parse()
                .ok()
                .filter(|number| is_written_so && *number <= most)
        };
        text.split_once(':')
            .and_then(|(hour, minute)| {
                Some(Self {
                    hour: number(hour, 23)?,
                    minute: number(minute, 59)?,
                })
            })
            .ok_or_else(|| Violation::new("invalid_format", "must be a time of day from 00:00 to 23:59"))
    }
}

impl TimeZone {
    /// The last moment until `now` at which clocks there showed this time. Where they skipped it, the moment counts to which they
    /// skipped.
    pub fn latest(&self, time: TimeOfDay, now: UnixMillis) -> UnixMillis {
        let there = instant(now).to_zoned(self.0.clone());
        let on = |day: Zoned| {
            let at = day.date().at(time.hour, time.minute, 0, 0);
            at.to_zoned(self.0.clone()).ok().map(|moment| moment.timestamp())
        };
        let yesterday = there.checked_sub(1.day()).ok().and_then(on);
        let today = on(there).filter(|today| *today <= instant(now));
        let latest = today.or(yesterday).map_or(0, Timestamp::as_millisecond);
        UnixMillis::clamped(latest)
    }

    /// A moment as clocks there show it, with what they are ahead of UTC: `2026-11-27T11:30:00+08:00`.
    pub fn show(&self, at: UnixMillis) -> String {
        let there = instant(at).to_zoned(self.0.clone());
        there.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string()
    }

    /// The zone of those who name none.
    pub const UTC: Self = Self(tz::TimeZone::UTC);
    /// The most characters that a name may have: more than any has.
    pub const MAX_CHARS: usize = 64;

    /// Its name, as the database writes it.
    pub fn name(&self) -> &str {
        self.0.iana_name().unwrap_or("UTC")
    }

    /// The day of that date there.
    pub fn day(&self, date: DiaryDate) -> Day {
        let midnight = date.utc_midnight();
        Day {
            date,
            begin: self.begin(midnight),
            end: self.begin(midnight + 24 * HOUR),
        }
    }

    /// The first moment at which clocks there show this midnight, which is in seconds as if in UTC, or a later time.
    fn begin(&self, midnight: i64) -> UnixMillis {
        // No zone is as far from UTC, so that clocks there show less at this moment.
        let before = moment(midnight - 26 * HOUR);
        let mut begin = midnight - i64::from(self.0.to_offset(before).seconds());
        for change in self.0.following(before) {
            let changed = change.timestamp().as_second();
            if begin < changed {
                break;
            }
            begin = changed.max(midnight - i64::from(change.offset().seconds()));
        }
        UnixMillis::clamped(begin * 1_000)
    }
}

fn instant(moment: UnixMillis) -> Timestamp {
    Timestamp::from_millisecond(moment.get()).unwrap_or(Timestamp::MAX)
}

/// The moment, or the last one that the database knows: the offset of the year 9999 is as good.
fn moment(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).unwrap_or(Timestamp::MAX)
}

impl FromStr for TimeZone {
    type Err = Violation;
    fn from_str(name: &str) -> Result<Self, Violation> {
        tz::TimeZone::get(name)
            .ok()
            .filter(|zone| zone.iana_name().is_some())
            .map(Self)
            .ok_or_else(|| Violation::new("unknown_value", "must be an IANA time zone, like Asia/Shanghai"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR_MS: i64 = HOUR * 1_000;

    fn day(zone: &str, date: &str) -> (i64, i64) {
        let day = zone.parse::<TimeZone>().unwrap().day(date.parse().unwrap());
        (day.begin.get(), day.end.get())
    }

    #[test]
    fn moments_are_shown_as_clocks_show_them() {
        for (zone, shown) in [
            ("UTC", "2026-11-27T03:30:00+00:00"),
            ("Asia/Shanghai", "2026-11-27T11:30:00+08:00"),
        ] {
            let zone: TimeZone = zone.parse().unwrap();
            assert_eq!(zone.show(UnixMillis::clamped(1_795_750_200_999)), shown);
        }
        assert!(!TimeZone::UTC.show(UnixMillis::clamped(i64::MAX)).is_empty());
    }

    fn at(moment: &str) -> i64 {
        moment.parse::<Timestamp>().unwrap().as_millisecond()
    }

    #[test]
    fn a_day_begins_and_ends_where_clocks_of_its_zone_say_so() {
        for (zone, date, begin, hours) in [
            ("UTC", "2026-05-16", "2026-05-16T00:00:00Z", 24),
            ("Asia/Shanghai", "2026-05-16", "2026-05-15T16:00:00Z", 24),
            ("America/New_York", "2026-05-16", "2026-05-16T04:00:00Z", 24),
            ("Pacific/Kiritimati", "2026-05-16", "2026-05-15T10:00:00Z", 24),
            ("Pacific/Pago_Pago", "2026-05-16", "2026-05-16T11:00:00Z", 24),
            ("Asia/Kathmandu", "2026-05-16", "2026-05-15T18:15:00Z", 24),
            // The clocks go forward, and back, in the night.
            ("Europe/Berlin", "2026-03-28", "2026-03-27T23:00:00Z", 24),
            ("Europe/Berlin", "2026-03-29", "2026-03-28T23:00:00Z", 23),
            ("Europe/Berlin", "2026-10-25", "2026-10-24T22:00:00Z", 25),
            ("Europe/Berlin", "2026-10-26", "2026-10-25T23:00:00Z", 24),
            // By the rules that go on after the years that the database lists.
            ("Europe/Berlin", "2199-03-31", "2199-03-30T23:00:00Z", 23),
            // No midnight: the day begins at 01:00.
            ("Africa/Cairo", "2026-04-24", "2026-04-23T22:00:00Z", 23),
            ("America/Sao_Paulo", "2018-11-04", "2018-11-04T03:00:00Z", 23),
            // Two midnights, the second at the end of the hour that comes again.
            ("America/Havana", "2024-11-03", "2024-11-03T04:00:00Z", 25),
            // 24:00 is 23:00 again, of the same day.
            ("America/Sao_Paulo", "2018-02-17", "2018-02-17T02:00:00Z", 25),
            ("America/Sao_Paulo", "2018-02-18", "2018-02-18T03:00:00Z", 24),
            // The other side of the date line: a day that never was, and its neighbours.
            ("Pacific/Apia", "2011-12-29", "2011-12-29T10:00:00Z", 24),
            ("Pacific/Apia", "2011-12-30", "2011-12-30T10:00:00Z", 0),
            ("Pacific/Apia", "2011-12-31", "2011-12-30T10:00:00Z", 24),
        ] {
            let begin = at(begin);
            assert_eq!(
                day(zone, date),
                (begin, begin + hours * HOUR_MS),
                "{date} in {zone}"
            );
        }
    }

    #[test]
    fn the_first_midnight_counts_where_clocks_go_back_behind_it() {
        // At 00:01 it was 23:01 again.
        let begin = at("1999-10-31T02:30:00Z");
        assert_eq!(day("America/St_Johns", "1999-10-31").0, begin);
        assert_eq!(day("America/St_Johns", "1999-10-30").1, begin);
    }

    #[test]
    fn every_moment_is_on_one_day() {
        let names = [
            "UTC",
            "Africa/Cairo",
            "America/Havana",
            "Australia/Lord_Howe",
            "Pacific/Apia",
        ];
        for zone in names.map(|name| name.parse::<TimeZone>().unwrap()) {
            for year in [1999, 2011, 2026, 2100] {
                let mut end = None;
                for (month, last) in (1..=12).zip([28, 28, 30, 30, 30, 30, 30, 30, 30, 30, 30, 31]) {
                    for number in 1..=last {
                        let date = format!("{year}-{month:02}-{number:02}").parse().unwrap();
                        let day = zone.day(date);
                        assert!(day.begin <= day.end, "{day:?}");
                        if number > 1 {
                            assert_eq!(end, Some(day.begin), "{day:?}");
                        }
                        end = Some(day.end);
                    }
                }
            }
        }
    }

    #[test]
    fn the_first_and_the_last_dates_there_are_have_days_too() {
        assert_eq!(day("UTC", "1970-01-01"), (0, 24 * HOUR_MS));
        assert_eq!(day("America/New_York", "1969-12-31"), (0, 5 * HOUR_MS));
        // No moment is before 1970.
        assert_eq!(day("Asia/Shanghai", "0001-01-01"), (0, 0));
        let end = at("9999-12-30T00:00:00Z") + 48 * HOUR_MS;
        for (zone, offset) in [("UTC", 0), ("Asia/Shanghai", 8), ("America/New_York", -5)] {
            let end = end - offset * HOUR_MS;
            assert_eq!(day(zone, "9999-12-31"), (end - 24 * HOUR_MS, end), "{zone}");
        }
    }

    #[test]
    fn zones_are_those_of_the_iana_database_in_any_letter_case() {
        for (given, name) in [
            ("UTC", "UTC"),
            ("utc", "UTC"),
            ("asia/shanghai", "Asia/Shanghai"),
            ("America/Argentina/Buenos_Aires", "America/Argentina/Buenos_Aires"),
            ("Asia/Calcutta", "Asia/Calcutta"),
            ("Etc/GMT+5", "Etc/GMT+5"),
        ] {
            assert_eq!(given.parse::<TimeZone>().unwrap().name(), name);
        }
        for wrong in [
            "",
            "Mars/Olympus",
            "+08:00",
            "CST-8",
            "Etc/Unknown",
            "../etc/passwd",
            "Asia/Shanghai ",
            "UTC\0",
            &"x".repeat(70_000),
        ] {
            assert_eq!(
                wrong.parse::<TimeZone>().unwrap_err().code,
                "unknown_value",
                "{wrong}"
            );
        }
        let longest = tz::db().available().map(|name| name.as_str().len()).max();
        assert!(longest.unwrap() <= TimeZone::MAX_CHARS);
    }

    #[test]
    fn a_time_of_day_has_two_digits_each() {
        let right: TimeOfDay = "23:05".parse().unwrap();
        assert_eq!((right.hour, right.minute), (23, 5));
        for wrong in [
            "",
            "3:30",
            "24:00",
            "12:60",
            "12:5",
            "+1:30",
            "12:30:00",
            "noon",
            "１２:30",
        ] {
            assert!(wrong.parse::<TimeOfDay>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_latest_half_past_two_is_of_today_or_of_yesterday() {
        for (zone, now, latest) in [
            ("UTC", "2026-11-27T02:29:59Z", "2026-11-26T02:30:00Z"),
            ("UTC", "2026-11-27T02:30:00Z", "2026-11-27T02:30:00Z"),
            ("UTC", "2026-11-27T23:59:59Z", "2026-11-27T02:30:00Z"),
            ("Asia/Shanghai", "2026-11-27T18:29:00Z", "2026-11-26T18:30:00Z"),
            ("Asia/Shanghai", "2026-11-27T18:30:00Z", "2026-11-27T18:30:00Z"),
            // The clocks go from 2 to 3, and from 3 to 2.
            ("Europe/Berlin", "2026-03-29T12:00:00Z", "2026-03-29T01:30:00Z"),
            ("Europe/Berlin", "2026-10-25T12:00:00Z", "2026-10-25T00:30:00Z"),
        ] {
            let found = zone
                .parse::<TimeZone>()
                .unwrap()
                .latest("02:30".parse().unwrap(), UnixMillis::clamped(at(now)));
            assert_eq!(found.get(), at(latest), "{now} in {zone}");
        }
    }
}
