//! The lines of an export, as they are written and read.

use mosaic_domain::json::{JsonObject, MAX_JSON_DEPTH};
use mosaic_domain::pull::PageLimits;
use mosaic_domain::{Content, Record};
use mosaic_ports::KeptRevision;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::error::AppError;

/// What the header calls the format.
pub(super) const FORMAT: &str = "mosaic-export";
/// The version of the format that is written, and the newest one that is read.
pub(super) const FORMAT_VERSION: u32 = 1;
/// How much one batch holds.
pub(super) const BATCH: PageLimits = PageLimits {
    records: 500,
    bytes: 4 * 1024 * 1024,
};

/// The content of a record: with all that may surround a kept object, and more than any record may have.
pub(super) type Document = JsonObject<{ 64 * 1024 * 1024 }, { MAX_JSON_DEPTH + 4 }>;

/// One line of an export.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Line {
    Header(Header),
    Record(RecordLine),
    Revision(RevisionLine),
    End(End),
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Header {
    pub(super) format: String,
    pub(super) version: u32,
    pub(super) username: String,
    pub(super) avatar_url: Option<String>,
    pub(super) epoch: String,
    pub(super) exported_at: i64,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RecordLine {
    pub(super) entity: String,
    pub(super) key: String,
    pub(super) stamp: i64,
    pub(super) updated_at: i64,
    pub(super) client_id: String,
    pub(super) created_at: i64,
    pub(super) revision_count: u32,
    pub(super) deleted: bool,
    /// `null` for a tombstone whose content is unknown or erased.
    pub(super) content: Option<Document>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RevisionLine {
    pub(super) entity: String,
    pub(super) key: String,
    pub(super) number: u32,
    pub(super) id: String,
    pub(super) updated_at: i64,
    pub(super) client_id: String,
    pub(super) created_at: i64,
    pub(super) reason: String,
    pub(super) recorded_at: i64,
    pub(super) content: Document,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct End {
    pub(super) records: u64,
    pub(super) revisions: u64,
    /// Records and revisions that can't be read, and are not in the export.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(super) skipped: u64,
    pub(super) sha256: String,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes it so")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

pub(super) fn record_line(record: &Record) -> Result<RecordLine, AppError> {
    Ok(RecordLine {
        entity: record.key.entity_type().name().to_owned(),
        key: record.key.to_string(),
        stamp: record.stamp.get(),
        updated_at: record.version.time.get(),
        client_id: record.version.author.as_str().to_owned(),
        created_at: record.created_at.get(),
        revision_count: record.revision_count,
        deleted: record.is_deleted(),
        // What a tombstone holds is of no use to an import.
        content: record
            .state
            .content()
            .filter(|content| !content.is_unreadable())
            .map(document)
            .transpose()?,
    })
}

pub(super) fn revision_line(kept: &KeptRevision) -> Result<RevisionLine, AppError> {
    let revision = &kept.revision;
    Ok(RevisionLine {
        entity: revision.key.entity_type().name().to_owned(),
        key: revision.key.to_string(),
        number: kept.number,
        id: revision.id.to_string(),
        updated_at: revision.version.time.get(),
        client_id: revision.version.author.as_str().to_owned(),
        created_at: revision.created_at.get(),
        reason: revision.reason.name().to_owned(),
        recorded_at: revision.recorded_at.get(),
        content: document(&revision.content)?,
    })
}

fn document(content: &Content) -> Result<Document, AppError> {
    serde_json::from_str(&content.to_document()).map_err(|error| AppError::Internal(error.into()))
}

pub(super) fn hex(hash: Sha256) -> String {
    use std::fmt::Write;
    hash.finalize().iter().fold(String::new(), |mut text, byte| {
        // Writing to a string can't fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
