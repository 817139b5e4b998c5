//! Opening the database: the file's lock, the connection's settings, the epoch.

use std::fs::{self, File, TryLockError};
use std::io::Read as _;
use std::path::Path;
use std::time::Duration;

use mosaic_ports::{IdGenerator, Migration};
use rusqlite::Connection;
use rusqlite::config::DbConfig;

use crate::error::OpenError;
use crate::files;
use crate::inspect::{self, Owner};
use crate::migrations;
use crate::refold;
use crate::settings::{Location, SqliteSettings};

/// The write-ahead log is cut back to this size after a checkpoint, in bytes.
const LOG_SIZE_LIMIT: i64 = 64 * 1024 * 1024;
/// How much of the file the writer remembers, in KiB: the pages of indexes, in which keys that phones make lie anywhere.
const WRITER_CACHE_KIB: i64 = 16 * 1024;
/// How many prepared statements a connection keeps: all fixed ones, and the most frequent lists.
const STATEMENTS_KEPT: usize = 144;

/// The lock that keeps a second process off the file. It belongs to the process, not to the file: whatever way the
/// process ends, the system releases it.
#[derive(Debug)]
pub(crate) struct FileLock(#[expect(dead_code, reason = "held, not read")] File);

impl FileLock {
    /// Takes the lock of a database file, `mosaic.db.lock` beside `mosaic.db`, or fails at once.
    pub(crate) fn take(database: &Path) -> Result<Self, OpenError> {
        let path = files::with_suffix(database, ".lock");
        let io = |source| OpenError::Io {
            path: path.clone(),
            source,
        };
        let file = private_file(&path).map_err(io)?;
        match file.try_lock() {
            Ok(()) => Ok(Self(file)),
            Err(TryLockError::WouldBlock) => Err(OpenError::InUse(database.to_owned())),
            Err(TryLockError::Error(source)) => Err(io(source)),
        }
    }
}

/// Opens a file for writing, made if it is not there.
fn private_file(path: &Path) -> std::io::Result<File> {
    let file = files::private().create(true).truncate(false).open(path)?;
    files::belong_to_folder(path);
    Ok(file)
}

/// The write connection, ready for work, and the lock that goes with it.
pub(crate) fn open_writer(
    settings: &SqliteSettings,
    ids: &dyn IdGenerator,
) -> Result<(Connection, Option<FileLock>, Location), OpenError> {
    let (mut conn, lock, location) = match &settings.location {
        Location::Memory => {
            let conn = Connection::open_in_memory().map_err(OpenError::sqlite(&settings.location))?;
            (conn, None, Location::Memory)
        }
        Location::File(path) => open_file(path, settings.migrate)?,
    };
    if !settings.migrate {
        refuse_unready(&conn, &location)?;
    }
    set_up_writer(&conn, &location, settings.busy_timeout)?;
    for migration in migrations::migrate(&mut conn, &location)? {
        tracing::info!(
            version = migration.version,
            name = migration.name,
            "schema migrated"
        );
    }
    ensure_epoch(&conn, ids).map_err(OpenError::sqlite(&location))?;
    refold::names(&conn).map_err(OpenError::sqlite(&location))?;
    refold::texts(&conn).map_err(OpenError::sqlite(&location))?;
    set_up_jobs(&conn).map_err(OpenError::sqlite(&location))?;
    Ok((conn, lock, location))
}

/// Two names of one file must not have two locks: the path is resolved first.
fn open_file(path: &Path, may_make: bool) -> Result<(Connection, Option<FileLock>, Location), OpenError> {
    let io = |source| OpenError::Io {
        path: path.to_owned(),
        source,
    };
    if may_make {
        fs::create_dir_all(files::folder(path)).map_err(io)?;
        refuse_lost(path)?;
        private_file(path).map_err(io)?;
    } else {
        refuse_absent(path)?;
    }
    let path = fs::canonicalize(path).map_err(io)?;
    let lock = FileLock::take(&path)?;
    let conn = open_whole(&path)?;
    Ok((conn, Some(lock), Location::File(path)))
}

/// Opens a file that is there: a whole database of this server, or one in which nothing is yet.
fn open_whole(path: &Path) -> Result<Connection, OpenError> {
    let io = |source| OpenError::Io {
        path: path.to_owned(),
        source,
    };
    let path_of = || path.to_owned();
    if !may_be_database(path).map_err(io)? {
        return Err(OpenError::Foreign(path_of()));
    }
    if is_cut_short(path).map_err(io)? {
        return Err(OpenError::Lost {
            path: path_of(),
            what: "is shorter than it says itself: a part of the database is missing",
        });
    }
    let location = Location::File(path.to_owned());
    let sqlite = OpenError::sqlite(&location);
    let conn = inspect::open(path).map_err(&sqlite)?;
    match inspect::owner(&conn).map_err(&sqlite)? {
        Owner::Us | Owner::Nobody => Ok(conn),
        Owner::Another => Err(OpenError::Foreign(path_of())),
    }
}

fn holds(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|found| found.len() > 0)
}

/// Refuses a database that is not there, without a trace.
fn refuse_absent(path: &Path) -> Result<(), OpenError> {
    refuse_lost(path)?;
    if holds(path) {
        return Ok(());
    }
    Err(OpenError::Absent(path.display().to_string()))
}

/// Refuses a database that was never written to, or misses migrations.
fn refuse_unready(conn: &Connection, location: &Location) -> Result<(), OpenError> {
    let missing = migrations::pending_of_existing(conn, location)?;
    if missing.is_empty() {
        return Ok(());
    }
    Err(OpenError::Pending {
        location: location.to_string(),
        missing,
    })
}

/// Refuses what was a database and is none any more, beside the log of one, which SQLite would remove.
fn refuse_lost(path: &Path) -> Result<(), OpenError> {
    let path = &fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let logs = ["-wal", "-journal"].map(|suffix| files::with_suffix(path, suffix));
    if !holds(path) && logs.iter().any(|log| holds(log)) {
        return Err(OpenError::Lost {
            path: path.to_owned(),
            what: "is gone or empty, and the log of a database lies beside it, with changes",
        });
    }
    Ok(())
}

/// Whether a database has fewer pages than its first one says, and no log that has the others.
fn is_cut_short(path: &Path) -> std::io::Result<bool> {
    let mut header = Vec::new();
    File::open(path)?.take(100).read_to_end(&mut header)?;
    let number = |at: usize| {
        let bytes = header.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
        bytes.map_or(0, u32::from_be_bytes)
    };
    // The number of pages counts where it was written with the latest change. A page size of 1 means 65,536.
    let (page_size, pages, is_valid) = (number(16) >> 16, number(28), number(24) == number(92));
    let page_size = if page_size == 1 {
        65_536
    } else {
        u64::from(page_size)
    };
    let has_log = fs::metadata(files::with_suffix(path, "-wal")).is_ok_and(|log| log.len() > 0);
    Ok(is_valid && !has_log && fs::metadata(path)?.len() < u64::from(pages) * page_size)
}

/// Whether a file is empty or begins as a database does. SQLite takes a short text for an empty database, and overwrites
/// it.
fn may_be_database(path: &Path) -> std::io::Result<bool> {
    const MAGIC: &[u8; 16] = b"SQLite format 3\0";
    let mut start = Vec::new();
    let magic = MAGIC.len() as u64;
    File::open(path)?.take(magic).read_to_end(&mut start)?;
    Ok(start.is_empty() || start == MAGIC)
}

/// An acknowledged write survives a power cut: `synchronous=FULL` syncs the log at every commit, and `fullfsync` makes
/// macOS mean it.
fn set_up_writer(conn: &Connection, location: &Location, busy: Duration) -> Result<(), OpenError> {
    let sqlite = OpenError::sqlite(location);
    if matches!(location, Location::File(_)) {
        let mode: String = conn
            .pragma_update_and_check(None, "journal_mode", "wal", |row| row.get(0))
            .map_err(&sqlite)?;
        if mode != "wal" {
            return Err(OpenError::Unsupported {
                location: location.to_string(),
                pragma: "journal_mode",
                wanted: "wal",
            });
        }
        // Answers with the limit, so that it needs the call that expects a row.
        conn.pragma_update_and_check(None, "journal_size_limit", LOG_SIZE_LIMIT, |_| Ok(()))
            .map_err(&sqlite)?;
    }
    conn.pragma_update(None, "synchronous", "FULL").map_err(&sqlite)?;
    conn.pragma_update(None, "fullfsync", true).map_err(&sqlite)?;
    conn.pragma_update(None, "checkpoint_fullfsync", true)
        .map_err(&sqlite)?;
    set_up(conn, busy).map_err(&sqlite)
}

/// A job runs in a savepoint, for which SQLite keeps each page as it was: in a temporary file beyond 64 KiB, which took half
/// of the time of a push. In memory it is some megabytes at most: jobs are bounded, pushes by what is stored of their records
/// too (B1). Migrations, which are not, come before.
fn set_up_jobs(conn: &Connection) -> rusqlite::Result<()> {
    conn.pragma_update(None, "temp_store", "MEMORY")?;
    conn.pragma_update(None, "cache_size", -WRITER_CACHE_KIB)
}

/// What all connections share.
fn set_up(conn: &Connection, busy: Duration) -> rusqlite::Result<()> {
    conn.busy_timeout(busy)?;
    conn.pragma_update(None, "foreign_keys", true)?;
    conn.pragma_update(None, "trusted_schema", false)?;
    // A statement is planned once, not anew for each value: nothing is known of values (`ANALYZE` never runs).
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    conn.set_prepared_statement_cache_capacity(STATEMENTS_KEPT);
    Ok(())
}

/// Makes a connection one that can only read.
pub(crate) fn set_up_reader(conn: &Connection, busy: Duration) -> rusqlite::Result<()> {
    set_up(conn, busy)?;
    conn.pragma_update(None, "query_only", true)
}

/// A new database begins a history of its own (R2).
fn ensure_epoch(conn: &Connection, ids: &dyn IdGenerator) -> rusqlite::Result<()> {
    let sql = "INSERT INTO meta (only_row, epoch, texts_folded) VALUES (1, ?1, 1) ON CONFLICT (only_row) DO NOTHING";
    conn.execute(sql, [ids.next()]).map(drop)
}

/// The migrations that a database has not seen yet.
pub(crate) fn pending_migrations(location: &Location) -> Result<&'static [Migration], OpenError> {
    let Location::File(path) = location else {
        return Err(OpenError::Absent(location.to_string()));
    };
    refuse_absent(path)?;
    let conn = open_whole(path)?;
    let read_only = conn.pragma_update(None, "query_only", true);
    read_only.map_err(OpenError::sqlite(location))?;
    migrations::pending_of_existing(&conn, location)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use mosaic_testkit::SequentialIds;

    use super::*;

    fn pragma(conn: &Connection, name: &str) -> String {
        let value: rusqlite::types::Value = conn.pragma_query_value(None, name, |row| row.get(0)).unwrap();
        match value {
            rusqlite::types::Value::Integer(n) => n.to_string(),
            rusqlite::types::Value::Text(text) => text,
            other => panic!("{name}: {other:?}"),
        }
    }

    #[test]
    fn w8_what_is_committed_is_synced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new").join("mosaic.db");
        let settings = SqliteSettings::new(Location::File(path.clone()));
        let ids = Arc::new(SequentialIds::default());
        let (writer, _lock, _) = open_writer(&settings, ids.as_ref()).unwrap();
        assert_eq!(pragma(&writer, "journal_mode"), "wal");
        assert_eq!(pragma(&writer, "synchronous"), "2", "2 is FULL");
        assert_eq!(pragma(&writer, "fullfsync"), "1");
        assert_eq!(pragma(&writer, "foreign_keys"), "1");
        assert_eq!(pragma(&writer, "trusted_schema"), "0");
        assert_eq!(pragma(&writer, "busy_timeout"), "5000");

        let reader = Connection::open(&path).unwrap();
        set_up_reader(&reader, settings.busy_timeout).unwrap();
        assert_eq!(pragma(&reader, "journal_mode"), "wal");
        assert_eq!(pragma(&reader, "query_only"), "1");
        let refused = reader.execute("DELETE FROM users", []).unwrap_err();
        assert_eq!(
            refused.sqlite_error_code(),
            Some(rusqlite::ErrorCode::ReadOnly),
            "{refused}"
        );
    }
}
