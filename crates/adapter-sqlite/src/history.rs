//! The revisions of a record (H1).

use mosaic_domain::pull::PageLimits;
use mosaic_domain::{RecordKey, RevisionId, UserId};
use mosaic_ports::{KeptRevision, RevisionPage};
use rusqlite::Connection;

use crate::error::Failure;
use crate::rows::{self, REVISION_COLUMNS, REVISION_WIDTH};

/// The revisions with lower numbers, the latest first, as many as the limits allow.
pub(crate) fn page(
    conn: &Connection,
    user: UserId,
    key: RecordKey,
    before: Option<u32>,
    limits: PageLimits,
) -> Result<RevisionPage, Failure> {
    let entity = key.entity_type();
    let mut statement = conn.prepare_cached(&format!(
        "SELECT {REVISION_COLUMNS} FROM revisions
         WHERE user_id = ?1 AND entity_type = ?2 AND record_key = ?3 AND revision_number < ?4
         ORDER BY revision_number DESC"
    ))?;
    let before = before.map_or(i64::MAX, i64::from);
    let mut rows = statement.query((user.uuid(), entity.name(), key.to_string(), before))?;
    let mut items: Vec<KeptRevision> = Vec::new();
    let mut bytes = 0;
    while items.is_empty() || (items.len() < limits.records && bytes < limits.bytes) {
        let Some(row) = rows.next()? else {
            return Ok(RevisionPage { items, more: false });
        };
        bytes += rows::document_bytes(row, REVISION_WIDTH - 1)?;
        items.push(rows::revision(row, entity)?);
    }
    let more = rows.next()?.is_some();
    Ok(RevisionPage { items, more })
}

/// One revision of a record.
pub(crate) fn one(
    conn: &Connection,
    user: UserId,
    key: RecordKey,
    id: RevisionId,
) -> Result<Option<KeptRevision>, Failure> {
    let entity = key.entity_type();
    let mut statement = conn.prepare_cached(&format!(
        "SELECT {REVISION_COLUMNS} FROM revisions
         WHERE user_id = ?1 AND revision_id = ?2 AND entity_type = ?3 AND record_key = ?4"
    ))?;
    let mut rows = statement.query((user.uuid(), id.uuid(), entity.name(), key.to_string()))?;
    rows.next()?.map(|row| rows::revision(row, entity)).transpose()
}
