//! `mosaic backup` and `mosaic restore`: the embedded store as one file.

use std::fmt::Write as _;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use mosaic_adapter_sqlite::{
    BackupError, BackupProgress, BackupSummary, Location, OpenError, RestoreSummary,
};
use mosaic_adapter_system::{SystemClock, UuidV7Ids};
use mosaic_ports::{Clock, StoreError};
use tokio::sync::mpsc;

use crate::bundle::{self, Bundle, BundleError, Copied};
use crate::config::{Config, DatabaseUrl};
use crate::confirm::{ConfirmError, confirm};
use crate::done::Done;
use crate::drawing::ProgressDrawing;
use crate::epoch::{WHAT_DEVICES_DO, WHAT_PURGES_DO};
use crate::progress::Meter;
use crate::screen::{Screen, Shown};
use crate::secrets::{self, SecretError};
use crate::signals::StopSignals;
use crate::storage::Storage;
use crate::wiring::{self, OpenStore, WiringError};
use crate::words::{counted, grouped, size};

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
    /// There is no bundle.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// Attachments were not put back.
    #[error("{RESTORED_DATABASE}{0}")]
    Attachments(BundleError),
    /// Signals can't be heard.
    #[error("signals can not be heard: {0}")]
    Signals(std::io::Error),
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

/// What is so where attachments can't be put back.
const RESTORED_DATABASE: &str = "the database is restored, and not all of its attachments are: repeat the command, or put the folder \
     attachments of the backup over that of the server: ";

/// What can be done about it.
fn hint(error: &mosaic_adapter_sqlite::RestoreError) -> &'static str {
    match error {
        mosaic_adapter_sqlite::RestoreError::InUse(_) => ". Stop the server first",
        _ => "",
    }
}

/// Where a database is that can be backed up.
async fn found(config: &Config) -> Result<Location, BackupCommandError> {
    let location = location(config)?;
    match wiring::pending_migrations(config).await {
        // A backup is taken of what another version of the server made, too.
        Ok(_) | Err(WiringError::Store(OpenError::Migration { .. })) => Ok(location),
        Err(error) => Err(error.into()),
    }
}

/// Saves the store and its attachments in a new folder in `folder`; returns what to print. Works while a server runs.
pub(crate) async fn bundle(
    config: &Config,
    folder: &Path,
    keep: Option<NonZeroU32>,
) -> Result<Done, BackupCommandError> {
    found(config).await?;
    let stopping = StopSignals::listen()
        .map_err(BackupCommandError::Signals)?
        .watched();
    let (screen, shown) = Screen::new();
    let taking = async {
        let keep = keep.unwrap_or(config.backup.keep);
        let taken = bundle::take(config, folder, keep, &screen, &stopping).await;
        drop(screen);
        taken
    };
    let (taken, ()) = tokio::join!(taking, draw_progress(shown));
    let Bundle {
        path,
        database,
        copied,
        report,
        removed,
    } = taken?;
    let mut said = format!(
        "Backed up and compared: {}, {}, {} of attachments in {}. Copied: {}, {}.\n",
        counted(database.users, "user"),
        counted(database.records, "record"),
        counted(copied.files, "file"),
        path.display(),
        counted(copied.new_files, "new file"),
        size(copied.new_bytes)
    );
    if removed > 0 {
        // Writing to a string can't fail.
        let _ = writeln!(said, "Removed: the oldest {}.", counted(removed as u64, "backup"));
    }
    if report.losses > 0 {
        said += &report.said;
    }
    Ok(Done {
        said,
        unreadable: report.losses,
    })
}

/// Takes a backup of the database alone; returns what to print. Works while a server runs.
pub(crate) async fn backup(config: &Config, file: PathBuf) -> Result<Done, BackupCommandError> {
    let location = found(config).await?;
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
    let bundle = file.is_dir().then(|| file.clone());
    let file = bundle
        .as_ref()
        .map_or(file, |folder| folder.join(bundle::DATABASE));
    // What can't be done is said before anybody is asked, and leaves nothing behind.
    mosaic_adapter_sqlite::check_backup(file.clone()).await?;
    let question = format!(
        "The backup {} takes the place of {}, which is kept under another name.",
        file.display(),
        config.database
    );
    confirm(&question, "restore", yes)?;
    secrets::create_private_dir(&config.server.data_dir)?;
    let mut meter = Meter::of("copying", 0);
    let tell = move |progress| show(&mut meter, progress);
    let done =
        mosaic_adapter_sqlite::restore(location, file, Arc::new(UuidV7Ids), SystemClock.now(), tell).await?;
    let store = OpenStore::existing(config, "").await;
    let store = store.map_err(BackupCommandError::Restored)?;
    let held = store.history().restored().await;
    store.close().await;
    held.map_err(BackupCommandError::HoldBack)?;
    let mut said = restored(&done);
    if let Some(folder) = &bundle {
        let copied = put_back(config, folder).await?;
        let (new, bytes) = (counted(copied.new_files, "file"), size(copied.new_bytes));
        // Writing to a string can't fail.
        let _ = writeln!(said, "Attachments that were missing: {new}, {bytes}.");
    }
    Ok(said)
}

/// Brings the attachments of a bundle to where they are kept.
async fn put_back(config: &Config, bundle: &Path) -> Result<Copied, BackupCommandError> {
    let storage = Storage::unverified(config).await.map_err(WiringError::from)?;
    let (screen, shown) = Screen::new();
    let putting = async {
        let put = bundle::put_back(bundle, storage.as_ref(), &screen).await;
        drop(screen);
        put
    };
    let (put, ()) = tokio::join!(putting, draw_progress(shown));
    put.map_err(BackupCommandError::Attachments)
}

/// Draws how far a command has come.
async fn draw_progress(mut shown: mpsc::Receiver<Shown>) {
    let mut drawing = ProgressDrawing::default();
    while let Some(shown) = shown.recv().await {
        if let Shown::Progress(progress) = shown {
            drawing.draw(progress);
        }
    }
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
