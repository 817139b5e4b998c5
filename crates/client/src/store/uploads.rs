//! The files that are on their way to the server.

use mosaic_domain::{MemoId, ResourceId};
use rusqlite::OptionalExtension as _;
use serde::{Deserialize, Serialize};

use super::{Store, json, text};
use crate::error::{Problem, Result};

/// A file to be uploaded. Its bytes are kept beside the database until the server has them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upload {
    /// The resource that it becomes.
    pub resource: ResourceId,
    /// What it is called, without a path.
    pub filename: String,
    /// The memo that it belongs to.
    pub memo: Option<MemoId>,
    /// Its length, in bytes.
    pub bytes: u64,
    /// When it was attached, in Unix milliseconds.
    pub attached_at: i64,
    /// What the server calls the upload, once it has begun.
    pub(crate) address: Option<String>,
    /// Why the server did not take it, the last time; `file_unreadable`, where the copy that was to be sent is not there, or not whole.
    /// It is tried again with every sync.
    pub problem: Option<Problem>,
}

impl Store {
    /// The files that wait, the oldest first.
    pub(crate) fn uploads(&self) -> Result<Vec<Upload>> {
        self.read(|tx| {
            let mut statement =
                tx.prepare_cached("SELECT upload FROM uploads ORDER BY upload ->> 'attached_at'")?;
            let uploads = statement.query_map([], |row| row.get::<_, String>(0))?;
            uploads.map(|upload| json(&upload?)).collect()
        })
    }

    /// One more file waits.
    pub(crate) fn add_upload(&self, upload: &Upload) -> Result<()> {
        self.write_upload("INSERT INTO uploads (resource, upload) VALUES (?1, ?2)", upload)
    }

    /// Notes how an upload stands. One that has ended meanwhile stays so.
    pub(crate) fn note_upload(&self, upload: &Upload) -> Result<()> {
        self.write_upload("UPDATE uploads SET upload = ?2 WHERE resource = ?1", upload)
    }

    fn write_upload(&self, sql: &str, upload: &Upload) -> Result<()> {
        self.write(|tx| {
            tx.execute(sql, [upload.resource.to_string(), text(upload)?])?;
            Ok(())
        })
    }

    /// Forgets an upload; answers whether there was one.
    pub(crate) fn end_upload(&self, resource: ResourceId) -> Result<bool> {
        self.write(|tx| {
            let sql = "DELETE FROM uploads WHERE resource = ?1 RETURNING 1";
            let ended = tx.query_row(sql, [resource.to_string()], |_| Ok(())).optional()?;
            Ok(ended.is_some())
        })
    }
}
