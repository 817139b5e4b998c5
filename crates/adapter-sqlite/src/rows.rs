//! Rows and what they mean. A value that this version would not write is reported with its column, never with its
//! content.

use std::str::FromStr;

use mosaic_domain::entity::Sha256;
use mosaic_domain::{
    ClientId, Content, EditTime, EntityType, MemoId, Record, RecordKey, Revision, RevisionId, Stamp, State,
    UnixMillis, Version, Violation,
};
use mosaic_ports::{BoxError, KeptRevision};
use rusqlite::Row;
use rusqlite::types::FromSql;

use crate::error::Failure;

/// The columns that [`record`] reads, in its order, of a table called `r`.
pub(crate) const RECORD_COLUMNS: &str = "r.record_key, r.stamp, r.edit_time, r.author, r.created_at, \
     r.revision_count, r.is_deleted, r.parent_key, r.attachment, r.document";
/// How many they are: the next column of a statement has this place.
pub(crate) const RECORD_WIDTH: usize = 10;

/// Reads a record of a known type.
pub(crate) fn record(row: &Row<'_>, entity_type: EntityType) -> Result<Record, Failure> {
    let content = content(row, 9, entity_type, || (parent(row, 7), attachment(row, 8)))?;
    let state = match (column::<bool>(row, 6, "records.is_deleted")?, content) {
        (true, kept) => State::Deleted(kept),
        (false, Some(content)) => State::Live(content),
        (false, None) => {
            State::Live(entity_type.stored_content(&[], || (parent(row, 7), attachment(row, 8))))
        }
    };
    Ok(Record {
        key: key(row, 0, entity_type)?,
        stamp: checked(row, 1, "records.stamp", Stamp::new)?,
        version: version(row, 2, 3)?,
        created_at: checked(row, 4, "records.created_at", UnixMillis::new)?,
        revision_count: column(row, 5, "records.revision_count")?,
        state,
    })
}

/// The columns that [`revision`] reads, in its order.
pub(crate) const REVISION_COLUMNS: &str = "record_key, revision_id, edit_time, author, created_at, reason, \
     recorded_at, revision_number, attachment, document";

/// How many they are.
pub(crate) const REVISION_WIDTH: usize = 10;

/// Reads a revision of a record of a known type.
pub(crate) fn revision(row: &Row<'_>, entity_type: EntityType) -> Result<KeptRevision, Failure> {
    let content = content(row, 9, entity_type, || (None, attachment(row, 8)))?
        .ok_or_else(|| Failure::corrupt("revisions.document", "a revision has none"))?;
    let revision = Revision {
        id: RevisionId::new(column(row, 1, "revisions.revision_id")?),
        key: key(row, 0, entity_type)?,
        version: version(row, 2, 3)?,
        created_at: checked(row, 4, "revisions.created_at", UnixMillis::new)?,
        content,
        reason: parsed(row, 5, "revisions.reason")?,
        recorded_at: checked(row, 6, "revisions.recorded_at", UnixMillis::new)?,
    };
    Ok(KeptRevision {
        number: column(row, 7, "revisions.revision_number")?,
        revision,
    })
}

/// Reads a column as the database keeps it.
pub(crate) fn column<T: FromSql>(row: &Row<'_>, at: usize, what: &'static str) -> Result<T, Failure> {
    row.get(at).map_err(|error| match error {
        error @ rusqlite::Error::SqliteFailure(..) => Failure::Sqlite(error),
        error => Failure::corrupt(what, error),
    })
}

/// Reads an integer column that must be in some range.
pub(crate) fn checked<T>(
    row: &Row<'_>,
    at: usize,
    what: &'static str,
    check: impl Fn(i64) -> Result<T, Violation>,
) -> Result<T, Failure> {
    check(column(row, at, what)?).map_err(|violation| Failure::corrupt(what, violation))
}

/// Reads a text column that means something.
pub(crate) fn parsed<T>(row: &Row<'_>, at: usize, what: &'static str) -> Result<T, Failure>
where
    T: FromStr<Err: Into<BoxError>>,
{
    text(row, at, what)?
        .parse()
        .map_err(|error| Failure::corrupt(what, error))
}

/// Reads a text column that may be NULL.
pub(crate) fn optional<T>(
    row: &Row<'_>,
    at: usize,
    what: &'static str,
    parse: impl Fn(String) -> Result<T, Violation>,
) -> Result<Option<T>, Failure> {
    column::<Option<String>>(row, at, what)?
        .map(parse)
        .transpose()
        .map_err(|violation| Failure::corrupt(what, violation))
}

fn text<'a>(row: &'a Row<'_>, at: usize, what: &'static str) -> Result<&'a str, Failure> {
    row.get_ref(at)?
        .as_str()
        .map_err(|error| Failure::corrupt(what, error))
}

/// Reads a hash.
pub(crate) fn sha256(row: &Row<'_>, at: usize, what: &'static str) -> Result<Sha256, Failure> {
    column(row, at, what).map(Sha256::from_bytes)
}

/// Reads a number of bytes.
pub(crate) fn size(row: &Row<'_>, at: usize, what: &'static str) -> Result<u64, Failure> {
    u64::try_from(column::<i64>(row, at, what)?).map_err(|error| Failure::corrupt(what, error))
}

/// A number of bytes as the database keeps it. There is nothing as long as the greatest one.
pub(crate) fn stored_size(size: u64) -> i64 {
    i64::try_from(size).unwrap_or(i64::MAX)
}

/// Reads the key of a record of a known type.
pub(crate) fn key(row: &Row<'_>, at: usize, entity_type: EntityType) -> Result<RecordKey, Failure> {
    entity_type
        .parse_key(text(row, at, "record_key")?)
        .map_err(|violation| Failure::corrupt("record_key", violation))
}

fn version(row: &Row<'_>, time: usize, author: usize) -> Result<Version, Failure> {
    Ok(Version::new(
        checked(row, time, "edit_time", EditTime::new)?,
        parsed::<ClientId>(row, author, "author")?,
    ))
}

/// Reads a document. One that this version did not write is no error: it concerns its record alone.
fn content(
    row: &Row<'_>,
    at: usize,
    entity_type: EntityType,
    beside: impl FnOnce() -> (Option<MemoId>, Option<Sha256>),
) -> Result<Option<Content>, Failure> {
    let stored = row
        .get_ref(at)?
        .as_bytes_or_null()
        .map_err(|error| Failure::corrupt("document", error))?;
    Ok(stored.map(|document| entity_type.stored_content(document, beside)))
}

/// The memo that a record belongs to, as far as that can be read.
fn parent(row: &Row<'_>, at: usize) -> Option<MemoId> {
    row.get_ref(at).ok()?.as_str().ok()?.parse().ok()
}

/// The content of the attachment that a record names, as far as that can be read.
fn attachment(row: &Row<'_>, at: usize) -> Option<Sha256> {
    row.get(at).ok().map(Sha256::from_bytes)
}

/// How many bytes a document has, without reading it.
pub(crate) fn document_bytes(row: &Row<'_>, at: usize) -> Result<usize, Failure> {
    let document = row.get_ref(at)?;
    Ok(document.as_bytes_or_null().ok().flatten().map_or(0, <[u8]>::len))
}
