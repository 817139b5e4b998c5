//! A running server makes a bundle once a day, at the time that the configuration says.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use mosaic_adapter_system::SystemClock;
use mosaic_ports::Clock as _;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::{Bundle, BundleError, newest, on_disk, take};
use crate::config::Config;
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
                Ok(Some(bundle)) => {
                    log(&bundle);
                    LOOK_EVERY
                }
                Ok(None) | Err(BundleError::Busy(_)) => LOOK_EVERY,
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
        let folder = self.folder.clone();
        let newest = on_disk(move || newest(&folder)).await?;
        let (zone, time) = (&self.config.server.time_zone, self.config.backup.schedule);
        if newest.is_some_and(|newest| newest >= zone.latest(time, SystemClock.now())) {
            return Ok(None);
        }
        // Nobody sits before a server.
        let (screen, _) = Screen::new();
        take(&self.config, &self.folder, self.keep, &screen, stopping)
            .await
            .map(Some)
    }
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
