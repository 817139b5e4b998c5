//! Whether the store can work: what became of the latest writes and look-ups, whether the file is still there, and whether
//! there is room on its disk. A write that fails is not the only way to notice a full disk, and often not even one: a small
//! write may find a place where a large one found none.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode, ffi};

use crate::error::Failure;
use crate::inspect;

/// How long trouble stays what is known of the store, unless something is committed.
const STAYS: Duration = Duration::from_secs(5);
/// The same for damage, which no commit disproves.
const DAMAGE_STAYS: Duration = Duration::from_mins(1);
/// How old the latest commit may be before a write has to be tried.
const FRESH: Duration = Duration::from_mins(1);
/// How much room there has to be for the store to be called able to write, in bytes: that of a large record.
#[cfg(unix)]
const ROOM: u64 = 1024 * 1024;

/// What is wrong with the store as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trouble {
    Full,
    /// The file can't be read or written: a broken disk, missing rights.
    Refused,
    Damaged,
}

/// What is known of the store. Shared by whoever reads and writes.
#[derive(Debug)]
pub(crate) struct Condition {
    file: Option<DatabaseFile>,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    committed_at: Option<Instant>,
    trouble: Option<(Trouble, Instant)>,
}

impl Condition {
    /// Of a database in that file; none: in memory.
    pub(crate) fn new(file: Option<DatabaseFile>) -> Self {
        Self {
            file,
            known: Mutex::default(),
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something was committed.
    pub(crate) fn committed(&self) {
        let mut known = self.known();
        known.committed_at = Some(Instant::now());
        known.trouble.take_if(|(trouble, _)| *trouble != Trouble::Damaged);
    }

    /// Notes what a failure tells about the store as a whole.
    pub(crate) fn learn_from(&self, failure: &Failure) {
        if let Some(trouble) = trouble_of(failure) {
            self.known().trouble = Some((trouble, Instant::now()));
        }
    }

    /// Fails where the database's name leads to another file by now, or to none. What is written to the one that is open
    /// would be gone with the next start.
    pub(crate) fn check_file(&self) -> rusqlite::Result<()> {
        match &self.file {
            Some(file) if !file.is_there() => Err(rusqlite::Error::SqliteFailure(
                ffi::Error::new(ffi::SQLITE_READONLY_DBMOVED),
                Some("the database file was removed or replaced while it was open".to_owned()),
            )),
            _ => Ok(()),
        }
    }

    /// Looks at everything that can be seen without writing. Says whether a write has to be tried to be certain. Blocks.
    pub(crate) fn look(&self) -> Result<MustTry, Failure> {
        let (trouble, committed_at) = {
            let known = self.known();
            (known.trouble, known.committed_at)
        };
        let stays = |trouble| match trouble {
            Trouble::Damaged => DAMAGE_STAYS,
            Trouble::Full | Trouble::Refused => STAYS,
        };
        match trouble {
            Some((trouble, at)) if at.elapsed() < stays(trouble) => return Err(failure_of(trouble)),
            _ => {}
        }
        self.check_file()?;
        if let Some(file) = &self.file {
            file.check_room()?;
            file.read_anew()?;
        }
        let is_fresh = committed_at.is_some_and(|at| at.elapsed() < FRESH);
        Ok(MustTry(trouble.is_some() || !is_fresh))
    }
}

/// Whether only a write can tell.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MustTry(pub(crate) bool);

fn trouble_of(failure: &Failure) -> Option<Trouble> {
    let error = match failure {
        Failure::Sqlite(error) => error,
        Failure::Uncommitted(error) => error,
        Failure::Full(_) => return Some(Trouble::Full),
        _ => return None,
    };
    match error.sqlite_error_code()? {
        ErrorCode::DiskFull => Some(Trouble::Full),
        ErrorCode::SystemIoFailure | ErrorCode::ReadOnly | ErrorCode::CannotOpen => Some(Trouble::Refused),
        ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => Some(Trouble::Damaged),
        _ => None,
    }
}

fn failure_of(trouble: Trouble) -> Failure {
    match trouble {
        Trouble::Full => Failure::Full("the disk was full a moment ago".into()),
        Trouble::Refused => {
            Failure::unavailable("the database file could not be read or written a moment ago")
        }
        Trouble::Damaged => Failure::corrupt("database file", "it was found to be damaged"),
    }
}

/// The file that is open, as opposed to the one that has its name.
#[derive(Debug)]
pub(crate) struct DatabaseFile {
    path: PathBuf,
    identity: Option<(u64, u64)>,
}

impl DatabaseFile {
    /// The file of that name.
    pub(crate) fn of(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            identity: identity(path),
        }
    }

    fn is_there(&self) -> bool {
        identity(&self.path) == self.identity
    }

    /// Fails where the disk has no room for a large record, or is mounted so that nothing can be written.
    fn check_room(&self) -> Result<(), Failure> {
        #[cfg(unix)]
        if let Ok(disk) = rustix::fs::statvfs(&self.path) {
            if disk.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY) {
                return Err(Failure::unavailable("the disk is mounted read-only"));
            }
            if disk.f_bavail.saturating_mul(disk.f_frsize) < ROOM {
                return Err(Failure::Full("there is hardly any room left on the disk".into()));
            }
        }
        Ok(())
    }

    /// Reads from the file itself: the connections of the pool may have in memory what is no longer on the disk.
    fn read_anew(&self) -> Result<(), Failure> {
        let conn = inspect::open(&self.path)?;
        conn.pragma_update(None, "query_only", true)?;
        has_everything(&conn)
    }
}

/// Reads from each table that every request needs.
pub(crate) fn has_everything(conn: &Connection) -> Result<(), Failure> {
    let sql = "SELECT (SELECT 1 FROM meta WHERE only_row = 1),
                      EXISTS (SELECT 1 FROM users), EXISTS (SELECT 1 FROM sync_clocks), EXISTS (SELECT 1 FROM records)";
    match conn.query_row(sql, [], |row| row.get::<_, Option<i64>>(0))? {
        Some(_) => Ok(()),
        None => Err(Failure::unavailable("the database has lost its history's name")),
    }
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    let metadata = std::fs::metadata(path).ok()?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt as _;
        Some((metadata.dev(), metadata.ino()))
    }
    #[cfg(not(unix))]
    {
        drop(metadata);
        Some((0, 0))
    }
}

#[cfg(test)]
mod tests;
