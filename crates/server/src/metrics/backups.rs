//! How old the newest backup is, of those that a server makes by itself.

use std::path::PathBuf;
use std::time::Duration;

use mosaic_ports::{Figure, Figures, Reading};

use crate::bundle;

/// The folder of the backups, which is asked each time: somebody may make some by hand, or remove them.
#[derive(Debug)]
pub(crate) struct BackupFigures(pub(crate) PathBuf);

impl Figures for BackupFigures {
    fn figures(&self) -> Vec<Figure> {
        // A folder that can't be read holds none that is of use.
        let newest = bundle::newest(&self.0).ok().flatten();
        let newest = newest.and_then(|moment| u64::try_from(moment.get() / 1_000).ok());
        vec![Figure::of(
            "mosaic_backup_newest_timestamp_seconds",
            "When the newest backup in the folder of backups was begun, in seconds since 1970; 0: there is none",
            Reading::SecondsGauge(Duration::from_secs(newest.unwrap_or(0))),
        )]
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_newest_backup_is_told_and_what_is_none_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let figures = BackupFigures(folder.path().join("backups"));
        let newest = || figures.figures()[0].series[0].reading.clone();
        let seconds = |seconds| Reading::SecondsGauge(Duration::from_secs(seconds));
        assert_eq!(newest(), seconds(0), "there is no folder");
        for (name, is_whole, expected) in [
            ("mosaic-2026-11-26T033000Z", true, 1_795_663_800),
            ("mosaic-2026-11-28T033000Z", false, 1_795_663_800),
            (".unfinished-mosaic-2026-11-29T033000Z", true, 1_795_663_800),
            ("mosaic-2026-11-27T033000Z", true, 1_795_750_200),
        ] {
            let backup = figures.0.join(name);
            fs::create_dir_all(&backup).unwrap();
            if is_whole {
                fs::write(backup.join(bundle::DATABASE), "").unwrap();
            }
            assert_eq!(newest(), seconds(expected), "{name}");
        }
    }
}
