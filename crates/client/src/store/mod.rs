//! The local database: one SQLite file, one user's.
//!
//! An edit and its place in the outbox are one transaction; so is what came of a push or a page of a pull, with the cursors. Several
//! processes may use one file.

mod account;
mod outbox;
mod pages;
mod records;
#[cfg(test)]
mod tests;
mod uploads;

use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use mosaic_domain::{EditTime, RecordKey};
use rusqlite::{Connection, OptionalExtension as _, Transaction, TransactionBehavior, params};
use serde::Serialize;
use serde::de::DeserializeOwned;

pub(crate) use self::account::Account;
use self::outbox::Pending;
pub(crate) use self::outbox::{Edit, Settled, Verdict};
pub use self::uploads::Upload;
use crate::error::{Error, Result};
use crate::wire::Object;

/// How long a process waits for another one's transaction.
const BUSY: Duration = Duration::from_secs(20);

/// `records.record` is what a person sees: null where it was deleted here and the server does not know yet. `records.base` is what the
/// server last said, beside an edit that is not settled; null where it has none. `given` says whether the server has given the record
/// since the rebuilding of its type began (R3).
///
/// `outbox.changes` are the fields that the edit names; null where it deletes. A new edit of a record takes the place of the one
/// before, with another counter, which is never given twice.
const SCHEMA: &str = "
    CREATE TABLE records (
        type TEXT NOT NULL,
        key TEXT NOT NULL,
        record TEXT,
        base TEXT,
        given INTEGER NOT NULL DEFAULT 1,
        PRIMARY KEY (type, key)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE outbox (
        counter INTEGER PRIMARY KEY AUTOINCREMENT,
        type TEXT NOT NULL,
        key TEXT NOT NULL,
        edited_at INTEGER NOT NULL,
        changes TEXT,
        problem TEXT,
        retryable INTEGER NOT NULL DEFAULT 1,
        UNIQUE (type, key)
    ) STRICT;
    CREATE TABLE uploads (
        resource TEXT PRIMARY KEY,
        upload TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE state (
        name TEXT PRIMARY KEY,
        value TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;
    PRAGMA user_version = 1;
";

/// The database.
#[derive(Debug)]
pub(crate) struct Store {
    connection: Mutex<Connection>,
}

impl Store {
    /// Opens the file, and makes it where it is not there.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        Self::over(Connection::open(path)?)
    }

    fn over(connection: Connection) -> Result<Self> {
        connection.busy_timeout(BUSY)?;
        connection.pragma_update(None, "journal_mode", "wal")?;
        connection.pragma_update(None, "synchronous", "full")?;
        let store = Self {
            connection: Mutex::new(connection),
        };
        store.write(|tx| {
            match tx.query_row("PRAGMA user_version", [], |row| row.get(0))? {
                0 => tx.execute_batch(SCHEMA)?,
                1 => {}
                other => return Err(Error::local(format!("the database has the unknown form {other}"))),
            }
            Ok(())
        })?;
        Ok(store)
    }

    /// One transaction that may write. Others wait.
    pub(crate) fn write<T>(&self, work: impl FnOnce(&Transaction<'_>) -> Result<T>) -> Result<T> {
        self.run(TransactionBehavior::Immediate, work)
    }

    /// One snapshot.
    pub(crate) fn read<T>(&self, work: impl FnOnce(&Transaction<'_>) -> Result<T>) -> Result<T> {
        self.run(TransactionBehavior::Deferred, work)
    }

    fn run<T>(
        &self,
        behavior: TransactionBehavior,
        work: impl FnOnce(&Transaction<'_>) -> Result<T>,
    ) -> Result<T> {
        let mut connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        let tx = connection.transaction_with_behavior(behavior)?;
        let done = work(&tx)?;
        tx.commit()?;
        Ok(done)
    }
}

/// A value of the table `state`.
fn state<T: DeserializeOwned>(tx: &Transaction<'_>, name: &str) -> Result<Option<T>> {
    let value: Option<String> = tx
        .prepare_cached("SELECT value FROM state WHERE name = ?1")?
        .query_row([name], |row| row.get(0))
        .optional()?;
    value.map(|value| json(&value)).transpose()
}

fn set_state(tx: &Transaction<'_>, name: &str, value: &impl Serialize) -> Result<()> {
    tx.prepare_cached("INSERT OR REPLACE INTO state (name, value) VALUES (?1, ?2)")?
        .execute([name, &text(value)?])?;
    Ok(())
}

fn json<T: DeserializeOwned>(text: &str) -> Result<T> {
    serde_json::from_str(text).map_err(Error::local)
}

fn text(value: &impl Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(Error::local)
}

fn object(text: Option<String>) -> Result<Option<Object>> {
    text.map(|text| json(&text)).transpose()
}

/// What is known here of a record.
#[derive(Default)]
struct Row {
    /// What a person sees.
    record: Option<Object>,
    /// What the server last said.
    base: Option<Object>,
    /// The edit that waits for the server.
    edit: Option<Pending>,
}

/// The first two columns of `records` and of `outbox`.
fn name(key: RecordKey) -> [String; 2] {
    [key.entity_type().name().to_owned(), key.to_string()]
}

fn row(tx: &Transaction<'_>, key: RecordKey) -> Result<Row> {
    let sql =
        "SELECT r.record, r.base, o.edited_at, o.changes FROM records r LEFT JOIN outbox o USING (type, key)
         WHERE type = ?1 AND key = ?2";
    let found = tx
        .prepare_cached(sql)?
        .query_row(name(key), |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
        })
        .optional()?;
    let Some((record, base, edited_at, changes)) = found else {
        return Ok(Row::default());
    };
    let record = object(record)?;
    let Some(edited_at) = edited_at else {
        let base = record.clone();
        return Ok(Row {
            record,
            base,
            edit: None,
        });
    };
    let edit = Pending {
        edited_at: EditTime::clamped(edited_at),
        changes: object(changes)?,
    };
    Ok(Row {
        record,
        base: object(base)?,
        edit: Some(edit),
    })
}

/// Writes what is seen, and what the server said beside an edit. Whether the server has given it stays.
fn set_row(
    tx: &Transaction<'_>,
    key: RecordKey,
    record: Option<&Object>,
    base: Option<&Object>,
) -> Result<()> {
    let [entity, key] = name(key);
    tx.prepare_cached(
        "INSERT INTO records (type, key, record, base) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT DO UPDATE SET record = excluded.record, base = excluded.base",
    )?
    .execute(params![
        entity,
        key,
        record.map(text).transpose()?,
        base.map(text).transpose()?
    ])?;
    Ok(())
}
