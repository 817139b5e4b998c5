//! Rows and what they mean. A value that this version would not write is reported with its column, never with its
//! content.

use std::str::FromStr;

use mosaic_domain::entity::Sha256;
use mosaic_domain::{
    ClientId, Content, EditTime, EntityType, MemoId, Record, RecordKey, Revision, RevisionId, Stamp, State,
    UnixMillis, Version, Violation,
};
use mosaic_ports::{BoxError, KeptRevision};
use tokio_postgres::Row;
use tokio_postgres::types::FromSql;

use crate::error::Failure;

/// The columns that [`record`] reads, in its order, of a table called `r`.
pub(crate) const RECORD_COLUMNS: &str = "r.entity_type, r.record_key, r.stamp, r.edit_time, r.author, r.created_at, \
     r.revision_count, r.is_deleted, r.parent_key, r.attachment, r.document";
/// How many they are: the next column of a statement has this place.
pub(crate) const RECORD_WIDTH: usize = 11;

/// One record of the user `$1`, by its type and its key: the next one from there on in the order of the primary key, if it
/// is the one.
///
/// Asked for by three equal signs, a record is found by whichever index begins with user and type, as long as the table
/// was never analysed: all look as good as the primary key, and all others read every record of the type to find one. For
/// this form the primary key is the only way that is not far worse, whatever is known of the table.
pub(crate) fn by_key(columns: &str, entity_type: &str, key: &str) -> String {
    format!(
        "SELECT {columns} FROM (
             SELECT * FROM records AS next
             WHERE (next.user_id, next.entity_type, next.record_key) >= ($1, {entity_type}, {key})
             ORDER BY next.user_id, next.entity_type, next.record_key LIMIT 1
         ) AS by_key
         WHERE by_key.user_id = $1 AND by_key.entity_type = {entity_type} AND by_key.record_key = {key}"
    )
}

/// Reads a record from the first columns of a row.
pub(crate) fn record(row: &Row) -> Result<Record, Failure> {
    record_from(row, 0)
}

/// Reads a record from the columns that begin at a place.
pub(crate) fn record_from(row: &Row, start: usize) -> Result<Record, Failure> {
    let entity_type = parsed(row, start, "records.entity_type")?;
    let beside = || (parent(row, start + 8), attachment(row, start + 9));
    let content = content(row, start + 10, entity_type, beside)?;
    let state = match (column::<bool>(row, start + 7, "records.is_deleted")?, content) {
        (true, kept) => State::Deleted(kept),
        (false, Some(content)) => State::Live(content),
        (false, None) => State::Live(entity_type.stored_content(&[], beside)),
    };
    Ok(Record {
        key: key(row, start + 1, entity_type)?,
        stamp: checked(row, start + 2, "records.stamp", Stamp::new)?,
        version: version(row, start + 3, start + 4)?,
        created_at: checked(row, start + 5, "records.created_at", UnixMillis::new)?,
        revision_count: count(row, start + 6, "records.revision_count")?,
        state,
    })
}

/// The columns that [`revision`] reads, in its order, of a table called `k`.
pub(crate) const REVISION_COLUMNS: &str = "k.entity_type, k.record_key, k.revision_id, k.edit_time, k.author, \
     k.created_at, k.reason, k.recorded_at, k.revision_number, k.attachment, k.document";

/// How many they are: the next column of a statement has this place.
pub(crate) const REVISION_WIDTH: usize = 11;

/// Reads a revision.
pub(crate) fn revision(row: &Row) -> Result<KeptRevision, Failure> {
    let entity_type = parsed(row, 0, "revisions.entity_type")?;
    let content = content(row, 10, entity_type, || (None, attachment(row, 9)))?
        .ok_or_else(|| Failure::corrupt("revisions.document", "a revision has none"))?;
    let revision = Revision {
        id: RevisionId::new(column(row, 2, "revisions.revision_id")?),
        key: key(row, 1, entity_type)?,
        version: version(row, 3, 4)?,
        created_at: checked(row, 5, "revisions.created_at", UnixMillis::new)?,
        content,
        reason: parsed(row, 6, "revisions.reason")?,
        recorded_at: checked(row, 7, "revisions.recorded_at", UnixMillis::new)?,
    };
    Ok(KeptRevision {
        number: count(row, 8, "revisions.revision_number")?,
        revision,
    })
}

/// Reads a column as the database keeps it.
pub(crate) fn column<'a, T: FromSql<'a>>(row: &'a Row, at: usize, what: &'static str) -> Result<T, Failure> {
    row.try_get(at).map_err(|error| Failure::corrupt(what, error))
}

/// Reads an integer column that must be in some range.
pub(crate) fn checked<T>(
    row: &Row,
    at: usize,
    what: &'static str,
    check: impl Fn(i64) -> Result<T, Violation>,
) -> Result<T, Failure> {
    check(column(row, at, what)?).map_err(|violation| Failure::corrupt(what, violation))
}

/// Reads a text column that means something.
pub(crate) fn parsed<T>(row: &Row, at: usize, what: &'static str) -> Result<T, Failure>
where
    T: FromStr<Err: Into<BoxError>>,
{
    column::<&str>(row, at, what)?
        .parse()
        .map_err(|error| Failure::corrupt(what, error))
}

/// Reads a text column that may be NULL.
pub(crate) fn optional<T>(
    row: &Row,
    at: usize,
    what: &'static str,
    parse: impl Fn(String) -> Result<T, Violation>,
) -> Result<Option<T>, Failure> {
    column::<Option<String>>(row, at, what)?
        .map(parse)
        .transpose()
        .map_err(|violation| Failure::corrupt(what, violation))
}

/// Reads a column that counts something.
pub(crate) fn count(row: &Row, at: usize, what: &'static str) -> Result<u32, Failure> {
    u32::try_from(column::<i64>(row, at, what)?).map_err(|error| Failure::corrupt(what, error))
}

/// Reads a column that says how many bytes something has.
pub(crate) fn size(row: &Row, at: usize, what: &'static str) -> Result<u64, Failure> {
    u64::try_from(column::<i64>(row, at, what)?).map_err(|error| Failure::corrupt(what, error))
}

/// A number of bytes as the database keeps it.
pub(crate) fn bigint(size: u64) -> i64 {
    i64::try_from(size).unwrap_or(i64::MAX)
}

/// Reads a hash.
pub(crate) fn sha256(row: &Row, at: usize, what: &'static str) -> Result<Sha256, Failure> {
    hash(column(row, at, what)?, what)
}

/// What a stored hash means.
pub(crate) fn hash(bytes: &[u8], what: &'static str) -> Result<Sha256, Failure> {
    <[u8; 32]>::try_from(bytes)
        .map(Sha256::from_bytes)
        .map_err(|error| Failure::corrupt(what, error))
}

/// A hash as the database keeps it.
pub(crate) fn bytes(hash: Sha256) -> Vec<u8> {
    hash.as_bytes().to_vec()
}

/// Reads a record's key, as it stands beside the type.
pub(crate) fn key(row: &Row, at: usize, entity_type: EntityType) -> Result<RecordKey, Failure> {
    entity_type
        .parse_key(column(row, at, "record_key")?)
        .map_err(|violation| Failure::corrupt("record_key", violation))
}

fn version(row: &Row, time: usize, author: usize) -> Result<Version, Failure> {
    Ok(Version::new(
        checked(row, time, "edit_time", EditTime::new)?,
        parsed::<ClientId>(row, author, "author")?,
    ))
}

/// Reads a document. One that this version did not write is no error: it concerns its record alone.
fn content(
    row: &Row,
    at: usize,
    entity_type: EntityType,
    beside: impl FnOnce() -> (Option<MemoId>, Option<Sha256>),
) -> Result<Option<Content>, Failure> {
    let stored = column::<Option<&str>>(row, at, "document")?;
    Ok(stored.map(|document| entity_type.stored_content(document.as_bytes(), beside)))
}

/// The memo that a record belongs to, as far as that can be read.
fn parent(row: &Row, at: usize) -> Option<MemoId> {
    row.try_get::<_, Option<&str>>(at).ok()??.parse().ok()
}

/// The content of the attachment that a record names, as far as that can be read.
fn attachment(row: &Row, at: usize) -> Option<Sha256> {
    let bytes = row.try_get::<_, Option<&[u8]>>(at).ok()??;
    hash(bytes, "records.attachment").ok()
}
