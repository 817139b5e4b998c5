//! What a database file is: whose, how new, and whether it is whole.

use std::path::Path;
use std::time::Duration;

use mosaic_domain::EntityType;
use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags, OptionalExtension as _, ffi};

use crate::error::{FileError, Flaw};
use crate::migrations;

/// How far a backup or its restoration has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BackupProgress {
    /// Pages are being copied.
    Copying {
        /// How many are.
        pages: u64,
        /// How many there are.
        of: u64,
    },
    /// The copy is being checked, which reads all of it again.
    Checking,
}

/// "MSIC" in ASCII: the `application_id` of this server's files, set by migration 2.
const APPLICATION_ID: i64 = 0x4D53_4943;
/// How many pages are copied at a time.
const PAGES_PER_STEP: i32 = 256;
/// How long to wait for a lock that somebody else has on a file.
const BUSY: Duration = Duration::from_secs(5);

/// Whose a database is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owner {
    /// This server's.
    Us,
    /// Nobody's yet: it is empty.
    Nobody,
    /// Another program's.
    Another,
}

/// Whose a database is. Files from before migration 2 have no mark, and are known by their tables.
pub(crate) fn owner(conn: &Connection) -> rusqlite::Result<Owner> {
    let id: i64 = conn.pragma_query_value(None, "application_id", |row| row.get(0))?;
    // The notes about migrations are made before the first one runs.
    let others = "SELECT count(*) FROM sqlite_schema WHERE tbl_name <> 'refinery_schema_history'";
    let tables: i64 = conn.query_row(others, [], |row| row.get(0))?;
    Ok(match id {
        APPLICATION_ID => Owner::Us,
        0 if tables == 0 => Owner::Nobody,
        0 if migrations::last_applied(conn)?.is_some() && has_meta(conn)? => Owner::Us,
        _ => Owner::Another,
    })
}

fn has_meta(conn: &Connection) -> rusqlite::Result<bool> {
    let sql = "SELECT 1 FROM pragma_table_info('meta') WHERE name = 'epoch'";
    Ok(conn.query_row(sql, [], |_| Ok(())).optional()?.is_some())
}

/// Opens a database of this server to read it, whoever else has it open.
pub(crate) fn open_existing(path: &Path) -> Result<Connection, FileError> {
    let sqlite = FileError::sqlite(path);
    // Not read-only: a reader of a write-ahead log has to be able to make its index.
    let conn = open(path).map_err(&sqlite)?;
    conn.pragma_update(None, "query_only", true).map_err(&sqlite)?;
    match owner(&conn).map_err(&sqlite)? {
        Owner::Us => Ok(conn),
        Owner::Nobody => Err(FileError::unusable(path, Flaw::NotADatabase)),
        Owner::Another => Err(FileError::unusable(path, Flaw::Foreign)),
    }
}

/// Opens a file that is there.
pub(crate) fn open(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(path, flags)?;
    conn.busy_timeout(BUSY)?;
    conn.pragma_update(None, "trusted_schema", false)?;
    Ok(conn)
}

/// Refuses a schema that a newer version of the server made.
pub(crate) fn check_version(conn: &Connection, path: &Path) -> Result<(), FileError> {
    let found = migrations::last_applied(conn).map_err(FileError::sqlite(path))?;
    let (found, known) = (found.unwrap_or_default(), migrations::latest());
    if found > known {
        return Err(FileError::unusable(path, Flaw::Newer { found, known }));
    }
    Ok(())
}

/// Copies a database into an empty file. The copy is one snapshot, whatever is written meanwhile: as long as the source is
/// being read in a transaction, SQLite has no reason to begin again.
pub(crate) fn copy(
    from: &Connection,
    to: &Path,
    tell: &mut dyn FnMut(BackupProgress),
) -> rusqlite::Result<()> {
    let snapshot = from.unchecked_transaction()?;
    snapshot.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
    let mut to = open(to)?;
    // Nobody knows the file yet, and it is synced when it is whole.
    to.pragma_update_and_check(None, "journal_mode", "off", |_| Ok(()))?;
    to.pragma_update(None, "synchronous", "off")?;
    let backup = Backup::new(&snapshot, &mut to)?;
    loop {
        let step = backup.step(PAGES_PER_STEP)?;
        let progress = backup.progress();
        let of = u64::from(progress.pagecount.unsigned_abs());
        tell(BackupProgress::Copying {
            pages: of - u64::from(progress.remaining.unsigned_abs()),
            of,
        });
        match step {
            StepResult::Done => break,
            StepResult::More => {}
            _ => {
                return Err(rusqlite::Error::SqliteFailure(
                    ffi::Error::new(ffi::SQLITE_BUSY),
                    None,
                ));
            }
        }
    }
    drop(backup);
    to.close().map_err(|(_, error)| error)
}

/// What a copy holds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Contents {
    pub(crate) users: u64,
    pub(crate) records: u64,
    /// How many documents can't be read.
    pub(crate) unreadable: u64,
}

/// Makes a copy a plain single file without a log beside it, checks that it is whole, and leaves out the space in which what
/// was deleted or purged can still be read. An error names the file that it was copied from.
pub(crate) fn settle(copy: &Path, of: &Path) -> Result<Contents, FileError> {
    let sqlite = FileError::sqlite(of);
    let conn = open(copy).map_err(&sqlite)?;
    conn.pragma_update_and_check(None, "journal_mode", "delete", |_| Ok(()))
        .map_err(&sqlite)?;
    if let Some(wrong) = first_fault(&conn).map_err(&sqlite)? {
        return Err(FileError::unusable(of, Flaw::Corrupt(wrong)));
    }
    conn.execute_batch("VACUUM").map_err(&sqlite)?;
    let count = |sql: &str| {
        let count = conn.query_row(sql, [], |row| row.get::<_, i64>(0));
        count.map(i64::unsigned_abs).map_err(&sqlite)
    };
    let contents = Contents {
        users: count("SELECT count(*) FROM users")?,
        records: count("SELECT count(*) FROM records")?,
        unreadable: unreadable(&conn).map_err(&sqlite)?,
    };
    conn.close().map_err(|(_, error)| sqlite(error))?;
    Ok(contents)
}

/// How many documents this version can't read.
fn unreadable(conn: &Connection) -> rusqlite::Result<u64> {
    let sql = "SELECT entity_type, document FROM records WHERE document IS NOT NULL
               UNION ALL SELECT entity_type, document FROM revisions";
    let mut statement = conn.prepare(sql)?;
    let mut rows = statement.query([])?;
    let mut unreadable = 0;
    while let Some(row) = rows.next()? {
        let entity = row
            .get_ref(0)?
            .as_str()
            .ok()
            .and_then(|name| name.parse::<EntityType>().ok());
        let document = row.get_ref(1)?.as_str().ok();
        let content = entity
            .zip(document)
            .map(|(entity, document)| entity.parse_document(document));
        unreadable += u64::from(!matches!(content, Some(Ok(_))));
    }
    Ok(unreadable)
}

/// What is wrong with a database, in SQLite's words; they name pages, tables and indexes, never what these hold.
fn first_fault(conn: &Connection) -> rusqlite::Result<Option<String>> {
    let found: String = conn.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
    if found != "ok" {
        return Ok(Some(found));
    }
    let orphan = conn.query_row("PRAGMA foreign_key_check", [], |row| row.get::<_, String>(0));
    let table = orphan.optional()?;
    Ok(table.map(|table| format!("a row of {table} refers to one that is missing")))
}
