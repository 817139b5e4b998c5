//! What each device was served up to (D1): `sync_cursors`.
//!
//! A pull must not wait for a write, so what it served is put into a map that the writer empties with its next
//! transaction. The latest cursor of a device and type wins, which is all that the table holds anyway.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use mosaic_domain::{ClientId, Cursor, EntityType, UserId};
use mosaic_ports::{DeviceCursor, DeviceCursors, ServedCursors, StoreError};
use rusqlite::Connection;

use crate::SqliteStore;
use crate::error::Failure;
use crate::rows::{checked, parsed};

/// What is remembered of one device.
type Device = (UserId, ClientId);
/// What is to be written.
pub(crate) type Batch = BTreeMap<Device, BTreeMap<EntityType, Cursor>>;

/// The most devices that are remembered while the writer is busy. Past it nothing is added: like a crash, it loses what
/// harms nobody, and the memory stays bounded.
const DEVICES_MAX: usize = 10_000;

/// What was served and is not written yet.
#[derive(Debug, Default)]
pub(crate) struct Remembered(Mutex<Batch>);

impl Remembered {
    /// Adds what a pull served. Says whether there was nothing before, so that the writer needs a reminder.
    pub(crate) fn put(&self, served: ServedCursors) -> bool {
        let mut batch = self.batch();
        let was_empty = batch.is_empty();
        let device = (served.user, served.client);
        if batch.len() >= DEVICES_MAX && !batch.contains_key(&device) {
            return false;
        }
        batch.entry(device).or_default().extend(served.cursors);
        was_empty
    }

    /// Takes everything.
    pub(crate) fn take(&self) -> Batch {
        std::mem::take(&mut *self.batch())
    }

    fn batch(&self) -> MutexGuard<'_, Batch> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes what differs from what is stored. What a user who is gone was served is dropped.
const UPSERT: &str = "
    INSERT INTO sync_cursors (client_id, user_id, entity_type, last_sync_at)
    SELECT ?1, user_id, ?3, ?4 FROM users WHERE user_id = ?2
    ON CONFLICT (client_id, user_id, entity_type) DO UPDATE SET last_sync_at = excluded.last_sync_at
    WHERE last_sync_at <> excluded.last_sync_at";

/// Writes a batch.
pub(crate) fn write(conn: &Connection, batch: &Batch) -> Result<(), Failure> {
    let mut upsert = conn.prepare_cached(UPSERT)?;
    for ((user, client), cursors) in batch {
        for (entity, cursor) in cursors {
            upsert.execute((client.as_str(), user.uuid(), entity.name(), cursor.get()))?;
        }
    }
    Ok(())
}

#[async_trait]
impl DeviceCursors for SqliteStore {
    fn remember(&self, served: ServedCursors) {
        self.writer.remember(served);
    }

    async fn cursors(&self, user: UserId) -> Result<Vec<DeviceCursor>, StoreError> {
        // The writer writes what it remembers before it does any job of the same group.
        Ok(self.writer.run(move |conn| read(conn, user)).await?)
    }
}

pub(crate) fn read(conn: &Connection, user: UserId) -> Result<Vec<DeviceCursor>, Failure> {
    let mut statement = conn
        .prepare_cached("SELECT client_id, entity_type, last_sync_at FROM sync_cursors WHERE user_id = ?1")?;
    let mut rows = statement.query([user.uuid()])?;
    let mut cursors = Vec::new();
    while let Some(row) = rows.next()? {
        cursors.push(DeviceCursor {
            client: parsed(row, 0, "sync_cursors.client_id")?,
            entity_type: parsed(row, 1, "sync_cursors.entity_type")?,
            last_sync_at: checked(row, 2, "sync_cursors.last_sync_at", Cursor::new)?,
        });
    }
    cursors.sort_by(|a, b| (&a.client, a.entity_type).cmp(&(&b.client, b.entity_type)));
    Ok(cursors)
}
