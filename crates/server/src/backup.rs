//! `mosaic backup` and `mosaic restore`: the embedded store as one file.

use std::path::PathBuf;
use std::sync::Arc;

use mosaic_adapter_sqlite::{
    BackupError, BackupProgress, BackupSummary, Location, OpenError, RestoreSummary,
};
use mosaic_adapter_system::{SystemClock, UuidV7Ids};
use mosaic_ports::{Clock, StoreError};

use crate::config::{Config, DatabaseUrl};
use crate::confirm::{ConfirmError, confirm};
use crate::done::Done;
use crate::epoch::{WHAT_DEVICES_DO, WHAT_PURGES_DO};
use crate::progress::Meter;
use crate::secrets::{self, SecretError};
use crate::wiring::{self, OpenStore, WiringError};
use crate::words::{counted, grouped};

/// Why no backup was taken or restored.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BackupCommandError {
    /// The store is PostgreSQL.
    #[error(
        "this is for the embedded store. Back up PostgreSQL with pg_dump and restore it with pg_restore, the servers \
         stopped; then run `mosaic epoch renew`"
    )]
    Postgres,
    /// The store is in memory.
    #[error("a store in memory can not be backed up or restored")]
    Memory,
    /// Nobody said that it should be done.
    #[error(transparent)]
    Unconfirmed(#[from] ConfirmError),
    /// The data folder can't be made.
    #[error(transparent)]
    DataDir(#[from] SecretError),
    /// There is nothing to be backed up.
    #[error(transparent)]
    Wiring(#[from] WiringError),
    /// No backup was taken.
    #[error(transparent)]
    Backup(#[from] BackupError),
    /// No backup was restored.
    #[error("{source}{}", hint(.source))]
    Restore {
        /// Why.
        #[from]
        source: mosaic_adapter_sqlite::RestoreError,
    },
    /// The restored store can't be opened.
    #[error("{RESTORED}{0}")]
    Restored(WiringError),
    /// The restored store can't be written.
    #[error("{RESTORED}{0}")]
    HoldBack(StoreError),
}

/// What is so where the last step of a restoration fails.
const RESTORED: &str = "the backup is restored, but servers will purge as ever (files of attachments that it does not name go); \
     `mosaic epoch renew` keeps them from it for 7 days: ";

/// What can be done about it.
fn hint(error: &mosaic_adapter_sqlite::RestoreError) -> &'static str {
    match error {
        mosaic_adapter_sqlite::RestoreError::InUse(_) => ". Stop the server first",
        _ => "",
    }
}

/// Takes a backup; returns what to print. Works while a server runs.
pub(crate) async fn backup(config: &Config, file: PathBuf) -> Result<Done, BackupCommandError> {
    let location = location(config)?;
    match wiring::pending_migrations(config).await {
        // A backup is taken of what another version of the server made, too.
        Ok(_) | Err(WiringError::Store(OpenError::Migration { .. })) => {}
        Err(error) => return Err(error.into()),
    }
    let mut meter = Meter::of("copying", 0);
    let tell = move |progress| show(&mut meter, progress);
    let done = mosaic_adapter_sqlite::backup(location, file, tell).await?;
    let BackupSummary {
        path,
        bytes,
        users,
        records,
        unreadable,
    } = done;
    let said = format!(
        "Backed up and checked: {}, {}, {} in {}.\n",
        counted(users, "user"),
        counted(records, "record"),
        counted(bytes, "byte"),
        path.display()
    );
    Ok(Done { said, unreadable })
}

/// Puts a backup in the place of the database; returns what to print.
pub(crate) async fn restore(config: &Config, file: PathBuf, yes: bool) -> Result<String, BackupCommandError> {
    let location = location(config)?;
    // What can't be done is said before anybody is asked, and leaves nothing behind.
    mosaic_adapter_sqlite::check_backup(file.clone()).await?;
    let question = format!(
        "The backup {} takes the place of {}, which is kept under another name.",
        file.display(),
        config.database
    );
    confirm(&question, "restore", yes)?;
    secrets::create_data_dir(&config.server.data_dir)?;
    let mut meter = Meter::of("copying", 0);
    let tell = move |progress| show(&mut meter, progress);
    let done =
        mosaic_adapter_sqlite::restore(location, file, Arc::new(UuidV7Ids), SystemClock.now(), tell).await?;
    let store = OpenStore::existing(config, "").await;
    let store = store.map_err(BackupCommandError::Restored)?;
    let held = store.history().hold_purges_back().await;
    store.close().await;
    held.map_err(BackupCommandError::HoldBack)?;
    Ok(restored(&done))
}

fn restored(done: &RestoreSummary) -> String {
    let RestoreSummary {
        path,
        previous,
        epoch,
        users,
        records,
    } = done;
    let previous = previous.as_ref().map_or_else(String::new, |previous| {
        format!("What was there before: {}\n", previous.display())
    });
    format!(
        "Restored and checked: {}, {} in {}.\n{previous}New epoch: {epoch}\n{WHAT_DEVICES_DO}{WHAT_PURGES_DO}",
        counted(*users, "user"),
        counted(*records, "record"),
        path.display()
    )
}

fn location(config: &Config) -> Result<Location, BackupCommandError> {
    match &config.database {
        DatabaseUrl::SqliteFile(path) => Ok(Location::File(path.clone())),
        DatabaseUrl::SqliteMemory => Err(BackupCommandError::Memory),
        DatabaseUrl::Postgres(_) => Err(BackupCommandError::Postgres),
    }
}

fn show(meter: &mut Meter, progress: BackupProgress) {
    match progress {
        BackupProgress::Copying { pages, of } => {
            meter.total(of);
            meter.at(pages, format!("{} of {}", grouped(pages), counted(of, "page")));
        }
        BackupProgress::Checking => {
            meter.begin("checking");
            meter.at(0, "reading all of it again");
        }
    }
}
