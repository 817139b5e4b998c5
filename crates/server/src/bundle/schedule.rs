//! A running server makes a bundle once a day, at the time that the configuration says.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::{Timestamp, ToSpan as _, Zoned, tz};
use mosaic_adapter_system::SystemClock;
use mosaic_domain::TimeZone;
use mosaic_ports::Clock as _;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::{Bundle, BundleError, bundles, moment_of, take};
use crate::config::{Config, TimeOfDay};
use crate::screen::Screen;
use crate::words::{counted, size};

/// How often it is looked whether a bundle is due.
const LOOK_EVERY: Duration = Duration::from_mins(1);
/// After a failure there is no other try for so long.
const RETRY_AFTER: Duration = Duration::from_hours(1);

/// Makes bundles by itself. Several servers that share the folder make one.
#[derive(Debug)]
pub(crate) struct ScheduledBackup {
    config: Arc<Config>,
    folder: PathBuf,
    keep: NonZeroU32,
}

impl ScheduledBackup {
    /// `None` where the configuration names no folder.
    pub(crate) fn of(config: &Config) -> Option<Self> {
        Some(Self {
            folder: config.backup.folder.clone()?,
            keep: config.backup.keep,
            config: Arc::new(config.clone()),
        })
    }

    /// Looks in the background whether a bundle is due, until `stopping` is true. It never fails.
    pub(crate) fn start(self, stopping: watch::Receiver<bool>) -> JoinHandle<()> {
        tokio::spawn(self.run(stopping))
    }

    async fn run(self, mut stopping: watch::Receiver<bool>) {
        // One that was missed is made at once.
        let mut pause = Duration::ZERO;
        loop {
            tokio::select! {
                biased;
                _ = stopping.wait_for(|stopping| *stopping) => return,
                () = tokio::time::sleep(pause) => {}
            }
            pause = match self.look(&stopping).await {
                Ok(None) => LOOK_EVERY,
                Ok(Some(bundle)) => {
                    log(&bundle);
                    LOOK_EVERY
                }
                Err(BundleError::Busy(_)) => LOOK_EVERY,
                Err(BundleError::Stopped) => return,
                Err(error) => {
                    tracing::error!(
                        error = &error as &dyn std::error::Error,
                        "there is no backup of today"
                    );
                    RETRY_AFTER
                }
            };
        }
    }

    async fn look(&self, stopping: &watch::Receiver<bool>) -> Result<Option<Bundle>, BundleError> {
        let now = Timestamp::from_millisecond(SystemClock.now().get()).unwrap_or_default();
        let newest = match self.folder.try_exists() {
            Ok(true) => bundles(&self.folder)?.last().and_then(|path| moment_of(path)),
            _ => None,
        };
        if !is_due(
            now,
            newest,
            self.config.backup.schedule,
            &self.config.server.time_zone,
        ) {
            return Ok(None);
        }
        // Nobody sits before a server.
        let (screen, _) = Screen::new();
        take(&self.config, &self.folder, self.keep, &screen, stopping)
            .await
            .map(Some)
    }
}

/// Whether the newest bundle is of before the last time at which there should have been one.
fn is_due(now: Timestamp, newest: Option<Timestamp>, at: TimeOfDay, zone: &TimeZone) -> bool {
    let Some(newest) = newest else { return true };
    let zone = tz::TimeZone::get(zone.name()).unwrap_or(tz::TimeZone::UTC);
    let there = now.to_zoned(zone);
    let on = |day: &Zoned| {
        day.with()
            .hour(at.hour())
            .minute(at.minute())
            .second(0)
            .subsec_nanosecond(0)
            .build()
            .ok()
    };
    let today = on(&there).map(|moment| moment.timestamp());
    let yesterday = there
        .checked_sub(1.day())
        .ok()
        .and_then(|day| on(&day))
        .map(|moment| moment.timestamp());
    let last = [today, yesterday]
        .into_iter()
        .flatten()
        .find(|moment| *moment <= now);
    last.is_some_and(|last| newest < last)
}

fn log(bundle: &Bundle) {
    let Bundle {
        path,
        database,
        copied,
        report,
        removed,
    } = bundle;
    tracing::info!(
        path = %path.display(),
        records = database.records,
        files = copied.files,
        removed,
        "backed up: {} copied, {}",
        counted(copied.new_files, "new file"),
        size(copied.new_bytes)
    );
    if report.losses > 0 {
        tracing::error!(losses = report.losses, findings = %report.said.trim_end(), "the backup lacks what the server lacks");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Sources, load};

    #[test]
    fn a_bundle_is_due_once_a_day_at_its_time_and_when_one_was_missed() {
        let at = load(&Sources::default()).unwrap().config.backup.schedule;
        for (now, newest, zone, due) in [
            ("2026-11-27T03:29:59Z", Some("2026-11-26T03:30:10Z"), "UTC", false),
            ("2026-11-27T03:30:00Z", Some("2026-11-26T03:30:10Z"), "UTC", true),
            ("2026-11-27T03:31:00Z", Some("2026-11-27T03:30:00Z"), "UTC", false),
            ("2026-11-27T23:00:00Z", Some("2026-11-27T03:30:00Z"), "UTC", false),
            // The server was off.
            ("2026-11-27T01:00:00Z", Some("2026-11-26T01:00:00Z"), "UTC", true),
            ("2026-11-27T01:00:00Z", None, "UTC", true),
            // By the clocks of those who sleep then.
            (
                "2026-11-26T19:29:00Z",
                Some("2026-11-25T20:00:00Z"),
                "Asia/Shanghai",
                false,
            ),
            (
                "2026-11-26T19:30:00Z",
                Some("2026-11-25T20:00:00Z"),
                "Asia/Shanghai",
                true,
            ),
        ] {
            let moment = |text: &str| text.parse::<Timestamp>().unwrap();
            let found = is_due(moment(now), newest.map(moment), at, &zone.parse().unwrap());
            assert_eq!(found, due, "{now} {newest:?} {zone}");
        }
    }

    #[test]
    fn names_say_when_and_sort_as_time_goes() {
        let path = std::path::Path::new("backups/mosaic-2026-11-27T033000Z");
        assert_eq!(moment_of(path), "2026-11-27T03:30:00Z".parse().ok());
        for other in [
            "mosaic-2026-11-27",
            "mosaic-data",
            "mosaic-2026-11-27T033000Z.old",
            ".unfinished-mosaic-2026-11-27T033000Z",
        ] {
            assert_eq!(moment_of(std::path::Path::new(other)), None, "{other}");
        }
    }
}
