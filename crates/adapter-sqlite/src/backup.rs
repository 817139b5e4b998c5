//! Taking a backup, also while a server has the file open.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use rusqlite::Connection;

use crate::error::FileError;
use crate::files::{self, Partial};
use crate::inspect::BackupProgress;
use crate::inspect::{self, Contents};
use crate::settings::Location;

/// A backup that was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupSummary {
    /// Where it is.
    pub path: PathBuf,
    /// How long the file is.
    pub bytes: u64,
    /// How many users are in it.
    pub users: u64,
    /// How many records, tombstones included.
    pub records: u64,
    /// How many records and revisions can't be read. They are in it as they are.
    pub unreadable: u64,
}

/// Why no backup was taken. Nothing is left of it.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The database is in memory.
    #[error("a database in memory can't be backed up")]
    Memory,
    /// There is no such database.
    #[error("{}: there is no such database", .0.display())]
    Missing(PathBuf),
    /// There is a file of that name already.
    #[error("{}: exists already, and is not overwritten", .0.display())]
    Exists(PathBuf),
    /// A file can't be used.
    #[error(transparent)]
    File(#[from] FileError),
    /// The work was broken off.
    #[error("the backup was broken off")]
    BrokenOff(#[source] tokio::task::JoinError),
}

/// Takes a backup of a database: one plain file, which holds one snapshot and was checked before it got its name. Works
/// while a server has the database open, and lets it write; what it writes meanwhile is not in the backup, and stays in
/// its write-ahead log until the backup is done.
///
/// # Errors
/// [`BackupError`].
pub async fn backup(
    location: Location,
    target: PathBuf,
    mut tell: impl FnMut(BackupProgress) + Send + 'static,
) -> Result<BackupSummary, BackupError> {
    let work = move || take(&location, target, &mut tell);
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(BackupError::BrokenOff)?
}

fn take(
    location: &Location,
    target: PathBuf,
    tell: &mut dyn FnMut(BackupProgress),
) -> Result<BackupSummary, BackupError> {
    let Location::File(database) = location else {
        return Err(BackupError::Memory);
    };
    if !database.exists() {
        return Err(BackupError::Missing(database.clone()));
    }
    if files::is_there(&target) {
        return Err(BackupError::Exists(target));
    }
    let from = inspect::open_existing(database)?;
    let (partial, contents) = copy_of(&from, database, &target, tell)?;
    let Contents {
        users,
        records,
        unreadable,
    } = contents;
    drop(from);
    let bytes = partial.sync().map_err(FileError::io(&target))?;
    match partial.publish(&target) {
        Ok(()) => Ok(BackupSummary {
            path: target,
            bytes,
            users,
            records,
            unreadable,
        }),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Err(BackupError::Exists(target)),
        Err(error) => Err(FileError::io(&target)(error).into()),
    }
}

/// A copy of what a connection reads from `database`, for what is to be `target`: a plain file, checked, not synced yet.
pub(crate) fn copy_of(
    from: &Connection,
    database: &Path,
    target: &Path,
    tell: &mut dyn FnMut(BackupProgress),
) -> Result<(Partial, Contents), FileError> {
    let partial = Partial::beside(target).map_err(FileError::io(target))?;
    inspect::copy(from, partial.path(), tell).map_err(FileError::sqlite(database))?;
    tell(BackupProgress::Checking);
    let contents = inspect::settle(partial.path(), database)?;
    Ok((partial, contents))
}
