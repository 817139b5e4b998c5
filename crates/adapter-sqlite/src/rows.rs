//! How this database gives the columns of a row. What they mean is said for every store by [`mosaic_ports::rows`].

use std::str::FromStr;

use mosaic_domain::entity::Sha256;
use mosaic_domain::pull::PulledRecord;
use mosaic_domain::{EntityType, Record, RecordKey, Violation};
use mosaic_ports::rows::{self, Columns};
pub(crate) use mosaic_ports::rows::{PULLED_WIDTH, RECORD_WIDTH, REVISION_WIDTH, stored_size};
use mosaic_ports::{BoxError, KeptRevision};
use rusqlite::types::{FromSql, FromSqlResult, ValueRef};
use rusqlite::{Connection, Params, Row};
use uuid::Uuid;

use crate::error::Failure;

/// The columns that [`record`] reads, in its order, of a table called `r`.
pub(crate) const RECORD_COLUMNS: &str = "r.record_key, r.stamp, r.edit_time, r.author, r.created_at, \
     r.revision_count, r.is_deleted, r.parent_key, r.attachment, r.document";

/// The columns that [`pulled`] reads, in its order, of a table called `r`.
pub(crate) const PULLED_COLUMNS: &str = "r.record_key, r.stamp, r.edit_time, r.created_at, r.revision_count, \
     r.is_deleted, r.seal, r.document";

/// The columns that [`revision`] reads, in its order.
pub(crate) const REVISION_COLUMNS: &str = "record_key, revision_id, edit_time, author, created_at, reason, \
     recorded_at, revision_number, attachment, document";

/// A row of SQLite.
pub(crate) struct SqliteRow<'a, 'stmt>(pub(crate) &'a Row<'stmt>);

impl SqliteRow<'_, '_> {
    fn borrowed<'v, T>(
        &'v self,
        at: usize,
        what: &'static str,
        read: impl FnOnce(ValueRef<'v>) -> FromSqlResult<T>,
    ) -> Result<T, Failure> {
        read(self.0.get_ref(at)?).map_err(|error| Failure::corrupt(what, error))
    }
}

impl Columns for SqliteRow<'_, '_> {
    type Error = Failure;

    fn integer(&self, at: usize, what: &'static str) -> Result<Option<i64>, Failure> {
        column(self.0, at, what)
    }

    fn boolean(&self, at: usize, what: &'static str) -> Result<Option<bool>, Failure> {
        column(self.0, at, what)
    }

    fn text(&self, at: usize, what: &'static str) -> Result<Option<&str>, Failure> {
        self.borrowed(at, what, |value| value.as_str_or_null())
    }

    fn bytes(&self, at: usize, what: &'static str) -> Result<Option<&[u8]>, Failure> {
        self.borrowed(at, what, |value| value.as_blob_or_null())
    }

    fn uuid(&self, at: usize, what: &'static str) -> Result<Option<Uuid>, Failure> {
        column(self.0, at, what)
    }

    /// A text, or bytes that are none: somebody else wrote them.
    fn document(&self, at: usize, what: &'static str) -> Result<Option<&[u8]>, Failure> {
        self.borrowed(at, what, |value| value.as_bytes_or_null())
    }
}

/// Reads a column as the database keeps it.
pub(crate) fn column<T: FromSql>(row: &Row<'_>, at: usize, what: &'static str) -> Result<T, Failure> {
    row.get(at).map_err(|error| match error {
        error @ rusqlite::Error::SqliteFailure(..) => Failure::Sqlite(error),
        error => Failure::corrupt(what, error),
    })
}

/// Reads all rows of a statement.
pub(crate) fn read_all<T>(
    conn: &Connection,
    sql: &str,
    values: impl Params,
    read: impl Fn(&SqliteRow<'_, '_>) -> Result<T, Failure>,
) -> Result<Vec<T>, Failure> {
    let mut statement = conn.prepare_cached(sql)?;
    let mut rows = statement.query(values)?;
    let mut all = Vec::new();
    while let Some(row) = rows.next()? {
        all.push(read(&SqliteRow(row))?);
    }
    Ok(all)
}

/// Reads a record of a known type.
pub(crate) fn record(row: &Row<'_>, entity_type: EntityType) -> Result<Record, Failure> {
    rows::record(&SqliteRow(row), 0, entity_type)
}

/// Reads what a pull says of a record of a known type.
pub(crate) fn pulled(row: &Row<'_>, entity_type: EntityType) -> Result<PulledRecord, Failure> {
    rows::pulled(&SqliteRow(row), 0, entity_type)
}

/// Reads a revision of a record of a known type.
pub(crate) fn revision(row: &Row<'_>, entity_type: EntityType) -> Result<KeptRevision, Failure> {
    rows::revision(&SqliteRow(row), 0, entity_type)
}

/// Reads the key of a record of a known type.
pub(crate) fn key(row: &Row<'_>, at: usize, entity_type: EntityType) -> Result<RecordKey, Failure> {
    rows::key(&SqliteRow(row), at, entity_type)
}

/// Reads an integer that must be in some range.
pub(crate) fn checked<T>(
    row: &Row<'_>,
    at: usize,
    what: &'static str,
    check: impl Fn(i64) -> Result<T, Violation>,
) -> Result<T, Failure> {
    rows::checked(&SqliteRow(row), at, what, check)
}

/// Reads a text that means something.
pub(crate) fn parsed<T>(row: &Row<'_>, at: usize, what: &'static str) -> Result<T, Failure>
where
    T: FromStr<Err: Into<BoxError>>,
{
    rows::parsed(&SqliteRow(row), at, what)
}

/// Reads a hash.
pub(crate) fn sha256(row: &Row<'_>, at: usize, what: &'static str) -> Result<Sha256, Failure> {
    rows::sha256(&SqliteRow(row), at, what)
}

/// Reads a number of bytes.
pub(crate) fn size(row: &Row<'_>, at: usize, what: &'static str) -> Result<u64, Failure> {
    rows::size(&SqliteRow(row), at, what)
}

/// How many bytes a document has, without reading it.
pub(crate) fn document_bytes(row: &Row<'_>, at: usize) -> Result<usize, Failure> {
    let document = row.get_ref(at)?;
    Ok(document.as_bytes_or_null().ok().flatten().map_or(0, <[u8]>::len))
}
