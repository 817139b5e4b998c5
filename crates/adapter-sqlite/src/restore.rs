//! Putting a backup in the place of a database. Whatever fails, the database that was there is as it was.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use mosaic_domain::{Epoch, UnixMillis};
use mosaic_ports::IdGenerator;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode};

use crate::backup::copy_of;
use crate::connect::FileLock;
use crate::error::{FileError, OpenError};
use crate::files::{self, COMPANIONS, with_suffix};
use crate::inspect::BackupProgress;
use crate::inspect::{self, Contents};
use crate::migrations;
use crate::settings::Location;

/// A backup that was restored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestoreSummary {
    /// The database.
    pub path: PathBuf,
    /// Where the one is that was there before, if there was one.
    pub previous: Option<PathBuf>,
    /// The name of the history that begins here (R2).
    pub epoch: Epoch,
    /// How many users are in it.
    pub users: u64,
    /// How many records, tombstones included.
    pub records: u64,
}

/// Why a backup was not restored. The database that was there is as it was.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The database is in memory.
    #[error("a database in memory can't be restored")]
    Memory,
    /// There is no such backup.
    #[error("{}: there is no such backup", .0.display())]
    Missing(PathBuf),
    /// The backup is the database.
    #[error("{}: is the database itself", .0.display())]
    SameFile(PathBuf),
    /// A server, or another program, has the database open.
    #[error("{}: the database is in use by another process", .0.display())]
    InUse(PathBuf),
    /// A file can't be used.
    #[error(transparent)]
    File(#[from] FileError),
    /// The backup's schema can't be brought up to date.
    #[error(transparent)]
    Migration(OpenError),
    /// The work was broken off.
    #[error("the restoration was broken off")]
    BrokenOff(#[source] tokio::task::JoinError),
}

/// Puts a backup in the place of a database that no server has open. The backup is copied, checked and migrated before
/// anything of the database is touched; it begins a history of its own, so that devices start again (R2). The database
/// that was there gets another name, and is never removed.
///
/// # Errors
/// [`RestoreError`].
pub async fn restore(
    location: Location,
    backup: PathBuf,
    ids: Arc<dyn IdGenerator>,
    now: UnixMillis,
    mut tell: impl FnMut(BackupProgress) + Send + 'static,
) -> Result<RestoreSummary, RestoreError> {
    let work = move || put_back(&location, &backup, ids.as_ref(), now, &mut tell);
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(RestoreError::BrokenOff)?
}

/// Refuses at once what is no backup that this version can restore. What a whole look at it finds, [`restore`] says.
///
/// # Errors
/// [`RestoreError`].
pub async fn check_backup(backup: PathBuf) -> Result<(), RestoreError> {
    let work = move || open_backup(&backup).map(drop);
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(RestoreError::BrokenOff)?
}

fn put_back(
    location: &Location,
    backup: &Path,
    ids: &dyn IdGenerator,
    now: UnixMillis,
    tell: &mut dyn FnMut(BackupProgress),
) -> Result<RestoreSummary, RestoreError> {
    let Location::File(named) = location else {
        return Err(RestoreError::Memory);
    };
    let from = open_backup(backup)?;
    let path = resolved(named).map_err(FileError::io(named))?;
    if fs::canonicalize(backup).is_ok_and(|backup| backup == path) {
        return Err(RestoreError::SameFile(path));
    }
    let _lock = FileLock::take(&path).map_err(|error| match error {
        OpenError::Io { path, source } => FileError::Io { path, source }.into(),
        _ => RestoreError::InUse(path.clone()),
    })?;
    let (partial, Contents { users, records, .. }) = copy_of(&from, backup, &path, tell)?;
    drop(from);
    let epoch = begin_history(partial.path(), backup, ids)?;
    partial.sync().map_err(FileError::io(&path))?;

    finish_log(&path)?;
    files::succeed(partial.path(), &path).map_err(FileError::io(&path))?;
    let aside = Aside::put(&path, now).map_err(FileError::io(&path))?;
    if let Err(error) = partial.replace(&path) {
        aside.bring_back();
        return Err(FileError::io(&path)(error).into());
    }
    Ok(RestoreSummary {
        path,
        previous: aside.database,
        epoch,
        users,
        records,
    })
}

fn open_backup(backup: &Path) -> Result<Connection, RestoreError> {
    if !backup.exists() {
        return Err(RestoreError::Missing(backup.to_owned()));
    }
    let from = inspect::open_existing(backup)?;
    inspect::check_version(&from, backup)?;
    Ok(from)
}

/// Two names of one file must not have two locks. There need not be a file yet.
fn resolved(path: &Path) -> io::Result<PathBuf> {
    match fs::canonicalize(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let name = path.file_name().ok_or(error)?;
            fs::create_dir_all(files::folder(path))?;
            Ok(fs::canonicalize(files::folder(path))?.join(name))
        }
        found => found,
    }
}

/// Brings the copy of a backup up to date, and names its history anew: what devices were served after the backup was
/// taken is not in it.
fn begin_history(copy: &Path, backup: &Path, ids: &dyn IdGenerator) -> Result<Epoch, RestoreError> {
    let sqlite = FileError::sqlite(backup);
    let mut conn = inspect::open(copy).map_err(&sqlite)?;
    migrations::migrate(&mut conn, &Location::File(backup.to_owned())).map_err(RestoreError::Migration)?;
    let epoch = Epoch::new(ids.next());
    conn.execute(
        "INSERT INTO meta (only_row, epoch) VALUES (1, ?1)
         ON CONFLICT (only_row) DO UPDATE SET epoch = excluded.epoch",
        [epoch.uuid()],
    )
    .map_err(&sqlite)?;
    conn.close().map_err(|(_, error)| sqlite(error))?;
    Ok(epoch)
}

/// Has everything of the old database in its own file. One that is damaged keeps what lies beside it: a backup is
/// restored because of it, perhaps.
fn finish_log(database: &Path) -> Result<(), RestoreError> {
    if !database.exists() {
        return Ok(());
    }
    let checkpoint = |conn: Connection| -> rusqlite::Result<bool> {
        // Whoever else is there is no server of ours, and nobody to wait for.
        conn.busy_timeout(Duration::ZERO)?;
        // Where this fails, the log stays too.
        conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        conn.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
        let is_busy = conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
        conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, is_busy)?;
        Ok(is_busy)
    };
    let in_use = || Err(RestoreError::InUse(database.to_owned()));
    match inspect::open(database).and_then(checkpoint) {
        Ok(false) => Ok(()),
        Ok(true) => in_use(),
        Err(error) if is_lock(&error) => in_use(),
        Err(error) => {
            tracing::warn!(%error, path = %database.display(), "the old database is kept as it is");
            Ok(())
        }
    }
}

fn is_lock(error: &rusqlite::Error) -> bool {
    let locks = [ErrorCode::DatabaseBusy, ErrorCode::DatabaseLocked];
    error
        .sqlite_error_code()
        .is_some_and(|code| locks.contains(&code))
}

/// The old database under another name.
struct Aside {
    /// What was moved, and where to.
    companions: Vec<(PathBuf, PathBuf)>,
    original: PathBuf,
    /// Where it is now, if there was one.
    database: Option<PathBuf>,
}

impl Aside {
    /// Gives the old database a second name, where the file system can, so that there is no moment without a database.
    /// What lies beside it gets that name for good: a log that stayed would be taken for the new database's.
    fn put(original: &Path, now: UnixMillis) -> io::Result<Self> {
        let name = files::unused_name(&with_suffix(original, &format!(".before-restore-{now}")));
        let mut aside = Self {
            companions: Vec::new(),
            original: original.to_owned(),
            database: None,
        };
        aside.fill(&name).inspect_err(|_| aside.bring_back())?;
        Ok(aside)
    }

    fn fill(&mut self, name: &Path) -> io::Result<()> {
        if self.original.exists() {
            fs::hard_link(&self.original, name).or_else(|_| fs::rename(&self.original, name))?;
            self.database = Some(name.to_owned());
        }
        for companion in COMPANIONS {
            let (from, to) = (
                with_suffix(&self.original, companion),
                with_suffix(name, companion),
            );
            if files::is_there(&from) {
                fs::rename(&from, &to)?;
                self.companions.push((from, to));
            }
        }
        Ok(())
    }

    /// Gives everything its old name again.
    fn bring_back(&self) {
        let database = self.database.iter().map(|name| {
            if self.original.exists() {
                fs::remove_file(name)
            } else {
                fs::rename(name, &self.original)
            }
        });
        let companions = self.companions.iter().map(|(from, to)| fs::rename(to, from));
        for error in database.chain(companions).filter_map(Result::err) {
            tracing::error!(%error, path = %self.original.display(), "the old database keeps its new name");
        }
    }
}
