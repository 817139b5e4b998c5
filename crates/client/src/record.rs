//! Records, as an app sees them.

use mosaic_domain::entity::Entity;
use mosaic_domain::{EditTime, UnixMillis};
use serde::Deserialize;
use serde_json::Value;

use crate::error::Problem;
use crate::wire::Object;

/// One live record.
#[derive(Debug, Clone, PartialEq)]
pub struct Record<E: Entity> {
    /// Its name among the records of its type.
    pub key: E::Key,
    /// Its fields.
    pub content: E,
    /// When it was made.
    pub created_at: UnixMillis,
    /// When it was last edited, wherever that was.
    pub updated_at: EditTime,
    /// Whether the server has what is shown here.
    pub sync: SyncState,
}

/// Whether the server has what is shown of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SyncState {
    /// It does, as of the last sync.
    Settled,
    /// There is an edit that the server has not judged yet.
    Pending,
    /// The server did not take the edit (B2). It stays here, until a person edits the record again.
    Rejected(Problem),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Times {
    created_at: UnixMillis,
    updated_at: EditTime,
}

impl<E: Entity> Record<E> {
    /// A record as it is on the wire; `None` where this version can't read it.
    pub(crate) fn read(record: Object, sync: SyncState) -> Option<Self> {
        let key = record.get(E::TYPE.key_name())?.as_str()?.parse().ok()?;
        let record = Value::Object(record);
        let times = Times::deserialize(&record).ok()?;
        Some(Self {
            key,
            content: serde_json::from_value(record).ok()?,
            created_at: times.created_at,
            updated_at: times.updated_at,
            sync,
        })
    }
}
