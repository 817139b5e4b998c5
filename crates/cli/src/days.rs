//! Days: a person's, where the machine is.

use std::io::Write;
use std::path::Path;

use mosaic_client::domain::entity::{Diary, MoodKey, MoodScore};
use mosaic_client::domain::{DiaryDate, TimeZone, UnixMillis};
use mosaic_client::{Client, Platform as _, System};

use crate::{Failure, Variables};

const DAY_MS: i64 = 24 * 3_600_000;
/// What names the machine's zone, where the variable `TZ` does not.
const LOCALTIME: &str = "/etc/localtime";

/// The zone of the machine; UTC where nobody says.
pub(crate) fn zone(variables: Variables<'_>) -> TimeZone {
    let named = variables("TZ").and_then(|name| name.into_string().ok());
    let linked = || {
        let path = std::fs::read_link(Path::new(LOCALTIME)).ok()?;
        Some(path.to_str()?.split_once("zoneinfo/")?.1.to_owned())
    };
    let name = named.or_else(linked);
    name.and_then(|name| name.parse().ok()).unwrap_or(TimeZone::UTC)
}

/// The day of a moment there.
pub(crate) fn day_of(moment: UnixMillis, zone: &TimeZone) -> Option<DiaryDate> {
    let around = [0, -DAY_MS, DAY_MS].map(|ms| DiaryDate::utc_day_of(moment.plus(ms)));
    around.into_iter().flatten().find(|date| {
        let day = zone.day(*date);
        (day.begin..day.end).contains(&moment)
    })
}

pub(crate) fn diary(
    client: &Client,
    day: Option<DiaryDate>,
    mood: Option<MoodKey>,
    score: Option<i64>,
    text: &str,
    zone: &TimeZone,
    out: &mut impl Write,
) -> Result<(), Failure> {
    let today = || day_of(System.now(), zone);
    let day = day.or_else(today).ok_or(mosaic_client::Error::NotFound)?;
    let known = client.get::<Diary>(day)?.map(|diary| diary.content);
    if text.is_empty() && mood.is_none() && score.is_none() {
        let Diary {
            summary,
            mood_key,
            mood_score,
            ..
        } = known.ok_or(mosaic_client::Error::NotFound)?;
        return Ok(writeln!(
            out,
            "{day}  {} {}\n{}",
            mood_key.name(),
            mood_score.get(),
            summary.as_str()
        )?);
    }
    let mut diary = known.unwrap_or_default();
    if !text.is_empty() {
        diary.summary = text.to_owned().try_into()?;
    }
    diary.mood_key = mood.unwrap_or(diary.mood_key);
    diary.mood_score = score.map_or(Ok(diary.mood_score), MoodScore::new)?;
    client.put(day, &diary)?;
    Ok(writeln!(out, "{day}")?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_on_the_day_that_clocks_show_there() {
        // 2026-05-16, half past eleven at night in UTC.
        let moment = UnixMillis::clamped(1_778_974_200_000);
        let day = |zone: &str| day_of(moment, &zone.parse().unwrap()).unwrap().to_string();
        assert_eq!(day("UTC"), "2026-05-16");
        assert_eq!(day("Asia/Shanghai"), "2026-05-17");
        assert_eq!(day("America/Los_Angeles"), "2026-05-16");
    }

    #[test]
    fn the_zone_is_the_one_that_the_environment_names() {
        let zone = zone(&|name| (name == "TZ").then(|| "Asia/Shanghai".into()));
        assert_eq!(zone.name(), "Asia/Shanghai");
        let nonsense = super::zone(&|_| Some("nowhere".into()));
        assert_eq!(nonsense, TimeZone::UTC);
    }
}
