//! How this database gives the columns of a row. What they mean is said for every store by [`mosaic_ports::rows`].

use std::str::FromStr;

use mosaic_domain::entity::Sha256;
use mosaic_domain::pull::PulledRecord;
use mosaic_domain::{EntityType, Quota, Record, RecordKey, Violation};
pub(crate) use mosaic_ports::rows::stored_size as bigint;
use mosaic_ports::rows::{self, Columns};
use mosaic_ports::{BoxError, KeptRevision};
use tokio_postgres::Row;
use tokio_postgres::types::FromSql;
use uuid::Uuid;

use crate::error::Failure;

/// The columns that [`record`] reads, in its order, of a table called `r`.
pub(crate) const RECORD_COLUMNS: &str = "r.entity_type, r.record_key, r.stamp, r.edit_time, r.author, r.created_at, \
     r.revision_count, r.is_deleted, r.parent_key, r.attachment, r.document";
/// How many they are: the next column of a statement has this place.
pub(crate) const RECORD_WIDTH: usize = 1 + rows::RECORD_WIDTH;

/// The columns that [`pulled`] reads, in its order, of a table called `r`. What a tombstone held stays in the database.
pub(crate) const PULLED_COLUMNS: &str = "r.entity_type, r.record_key, r.stamp, r.edit_time, r.created_at, \
     r.revision_count, r.is_deleted, r.seal, CASE WHEN NOT r.is_deleted THEN r.document END";
/// How many they are: the next column of a statement has this place.
pub(crate) const PULLED_WIDTH: usize = 1 + rows::PULLED_WIDTH;

/// The columns that [`revision`] reads, in its order, of a table called `k`.
pub(crate) const REVISION_COLUMNS: &str = "k.entity_type, k.record_key, k.revision_id, k.edit_time, k.author, \
     k.created_at, k.reason, k.recorded_at, k.revision_number, k.attachment, k.document";
/// How many they are: the next column of a statement has this place.
pub(crate) const REVISION_WIDTH: usize = 1 + rows::REVISION_WIDTH;

/// One record of the user `$1`, by its type and its key: the next one of the user from there on, in the order of the primary
/// key, if it is the one.
///
/// Asked for by three equal signs, a record is found by whichever index begins with user and type, as long as the table
/// was never analysed: all look as good as the primary key, and all others read every record of the type to find one. For
/// this form the primary key is the only way that is not far worse, whatever is known of the table.
pub(crate) fn by_key(columns: &str, entity_type: &str, key: &str) -> String {
    format!(
        "SELECT {columns} FROM (
             SELECT * FROM records AS next
             WHERE next.user_id = $1 AND (next.entity_type, next.record_key) >= ({entity_type}, {key})
             ORDER BY next.entity_type, next.record_key LIMIT 1
         ) AS by_key
         WHERE by_key.entity_type = {entity_type} AND by_key.record_key = {key}"
    )
}

/// A row of PostgreSQL.
pub(crate) struct PostgresRow<'a>(pub(crate) &'a Row);

impl Columns for PostgresRow<'_> {
    type Error = Failure;

    fn integer(&self, at: usize, what: &'static str) -> Result<Option<i64>, Failure> {
        column(self.0, at, what)
    }

    fn boolean(&self, at: usize, what: &'static str) -> Result<Option<bool>, Failure> {
        column(self.0, at, what)
    }

    fn text(&self, at: usize, what: &'static str) -> Result<Option<&str>, Failure> {
        column(self.0, at, what)
    }

    fn bytes(&self, at: usize, what: &'static str) -> Result<Option<&[u8]>, Failure> {
        column(self.0, at, what)
    }

    fn uuid(&self, at: usize, what: &'static str) -> Result<Option<Uuid>, Failure> {
        column(self.0, at, what)
    }

    fn document(&self, at: usize, what: &'static str) -> Result<Option<&[u8]>, Failure> {
        Ok(self.text(at, what)?.map(str::as_bytes))
    }
}

/// Reads a column as the database keeps it.
pub(crate) fn column<'a, T: FromSql<'a>>(row: &'a Row, at: usize, what: &'static str) -> Result<T, Failure> {
    row.try_get(at).map_err(|error| Failure::corrupt(what, error))
}

/// Reads a record from the first columns of a row.
pub(crate) fn record(row: &Row) -> Result<Record, Failure> {
    let entity_type = parsed(row, 0, "records.entity_type")?;
    rows::record(&PostgresRow(row), 1, entity_type)
}

/// Reads what a pull says of a record from the columns that begin at a place.
pub(crate) fn pulled(row: &Row, start: usize) -> Result<PulledRecord, Failure> {
    let entity_type = parsed(row, start, "records.entity_type")?;
    rows::pulled(&PostgresRow(row), start + 1, entity_type)
}

/// Reads a revision.
pub(crate) fn revision(row: &Row) -> Result<KeptRevision, Failure> {
    let entity_type = parsed(row, 0, "revisions.entity_type")?;
    rows::revision(&PostgresRow(row), 1, entity_type)
}

/// Reads a record's key, as it stands beside the type.
pub(crate) fn key(row: &Row, at: usize, entity_type: EntityType) -> Result<RecordKey, Failure> {
    rows::key(&PostgresRow(row), at, entity_type)
}

/// Reads an integer that must be in some range.
pub(crate) fn checked<T>(
    row: &Row,
    at: usize,
    what: &'static str,
    check: impl Fn(i64) -> Result<T, Violation>,
) -> Result<T, Failure> {
    rows::checked(&PostgresRow(row), at, what, check)
}

/// Reads a text that means something.
pub(crate) fn parsed<T>(row: &Row, at: usize, what: &'static str) -> Result<T, Failure>
where
    T: FromStr<Err: Into<BoxError>>,
{
    rows::parsed(&PostgresRow(row), at, what)
}

/// Reads a column that counts something.
pub(crate) fn count(row: &Row, at: usize, what: &'static str) -> Result<u32, Failure> {
    rows::count(&PostgresRow(row), at, what)
}

/// Reads what a user may store.
pub(crate) fn quota(row: Option<&Row>, at: usize) -> Result<Quota, Failure> {
    row.map_or(Ok(Quota::Default), |row| rows::quota(&PostgresRow(row), at))
}

/// Reads a number of bytes.
pub(crate) fn size(row: &Row, at: usize, what: &'static str) -> Result<u64, Failure> {
    rows::size(&PostgresRow(row), at, what)
}

/// Reads a hash.
pub(crate) fn sha256(row: &Row, at: usize, what: &'static str) -> Result<Sha256, Failure> {
    rows::sha256(&PostgresRow(row), at, what)
}

/// A hash as the database keeps it.
pub(crate) fn bytes(hash: Sha256) -> Vec<u8> {
    hash.as_bytes().to_vec()
}
