//! What each device was served up to (D1): `sync_cursors`.
//!
//! A pull must not wait for a write, so what it served is put into a map that the writer empties with its next
//! transaction. The latest cursor of a device and type wins, which is all that the table holds anyway.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use mosaic_domain::{ClientId, Cursor, EntityType, FamilyId, UnixMillis, UserId};
use mosaic_ports::{DEVICES_MAX, DeviceCursor, DeviceCursors, ServedCursors, StoreError};
use rusqlite::Connection;

use crate::SqliteStore;
use crate::error::Failure;
use crate::rows::{checked, parsed};
use crate::tokens;

/// What is remembered of one device.
type Device = (UserId, ClientId);

/// What is to be written.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    devices: BTreeMap<Device, BTreeMap<EntityType, (Cursor, UnixMillis)>>,
    /// The first device that pulled with each login.
    logins: BTreeMap<(UserId, FamilyId), ClientId>,
    /// How many devices of each user there are.
    users: BTreeMap<UserId, usize>,
}

impl Batch {
    /// Whether there is nothing to write.
    pub(crate) fn is_empty(&self) -> bool {
        self.devices.is_empty()
    }

    fn add(&mut self, served: ServedCursors) {
        let login = self.logins.entry((served.user, served.login));
        login.or_insert_with(|| served.client.clone());
        let cursors = match self.devices.entry((served.user, served.client)) {
            Entry::Vacant(new) => {
                *self.users.entry(served.user).or_default() += 1;
                new.insert(BTreeMap::new())
            }
            Entry::Occupied(known) => known.into_mut(),
        };
        for (entity, cursor) in served.cursors {
            // One that stays as it is was served when it came to be so.
            if cursors.get(&entity).is_none_or(|(known, _)| *known != cursor) {
                cursors.insert(entity, (cursor, served.served_at));
            }
        }
    }
}

/// The most devices that are remembered while the writer is busy, of one user no more than are kept. Past it nothing is
/// added: like a crash, it loses what harms nobody, and the memory stays bounded.
const REMEMBERED_MAX: usize = 10_000;

/// What was served and is not written yet.
#[derive(Debug, Default)]
pub(crate) struct Remembered(Mutex<Batch>);

impl Remembered {
    /// Adds what a pull served. Says whether there was nothing before, so that the writer needs a reminder.
    pub(crate) fn put(&self, served: ServedCursors) -> bool {
        let mut batch = self.batch();
        let was_empty = batch.is_empty();
        let of_user = batch.users.get(&served.user).copied().unwrap_or_default();
        let is_full = batch.devices.len() >= REMEMBERED_MAX || of_user >= DEVICES_MAX;
        if is_full && !batch.devices.contains_key(&(served.user, served.client.clone())) {
            return false;
        }
        batch.add(served);
        was_empty
    }

    /// Whether there is nothing to write.
    pub(crate) fn is_empty(&self) -> bool {
        self.batch().is_empty()
    }

    /// Takes everything.
    pub(crate) fn take(&self) -> Batch {
        std::mem::take(&mut *self.batch())
    }

    fn batch(&self) -> MutexGuard<'_, Batch> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes what differs from what is stored. What a user without a clock was served is dropped: they are gone, or going.
const UPSERT: &str = "
    INSERT INTO sync_cursors (client_id, user_id, entity_type, last_sync_at, served_at)
    SELECT ?1, user_id, ?3, ?4, ?5 FROM sync_clocks WHERE user_id = ?2
    ON CONFLICT (client_id, user_id, entity_type) DO UPDATE SET
        last_sync_at = excluded.last_sync_at, served_at = excluded.served_at
    WHERE last_sync_at <> excluded.last_sync_at";

/// Writes one row, if it differs.
pub(crate) fn put(conn: &Connection, user: UserId, row: &DeviceCursor) -> Result<(), Failure> {
    conn.prepare_cached(UPSERT)?.execute((
        row.client.as_str(),
        user.uuid(),
        row.entity_type.name(),
        row.last_sync_at.get(),
        row.served_at.get(),
    ))?;
    Ok(())
}

/// Writes a batch.
pub(crate) fn write(conn: &Connection, batch: Batch) -> Result<(), Failure> {
    for ((user, client), cursors) in batch.devices {
        for (entity_type, (last_sync_at, served_at)) in cursors {
            let row = DeviceCursor {
                client: client.clone(),
                entity_type,
                last_sync_at,
                served_at,
            };
            put(conn, user, &row)?;
        }
    }
    for ((user, login), client) in batch.logins {
        tokens::name_login(conn, user, login, &client)?;
    }
    batch.users.keys().try_for_each(|user| trim(conn, *user))
}

/// What a user has too many of: those that have no login first, and of these those that were not served for the longest time.
const SURPLUS: &str = "
    DELETE FROM sync_cursors WHERE user_id = ?1 AND client_id IN (
        SELECT client_id FROM sync_cursors AS c WHERE user_id = ?1 GROUP BY client_id
        ORDER BY client_id IN (SELECT client_id FROM logins WHERE user_id = ?1 AND client_id IS NOT NULL) DESC,
                 max(served_at) DESC, client_id
        LIMIT -1 OFFSET ?2)";

/// Forgets the devices that a user has too many of.
fn trim(conn: &Connection, user: UserId) -> Result<(), Failure> {
    let sql = "SELECT count(DISTINCT client_id) FROM sync_cursors WHERE user_id = ?1";
    let devices: i64 = conn
        .prepare_cached(sql)?
        .query_row([user.uuid()], |row| row.get(0))?;
    let most = i64::try_from(DEVICES_MAX).unwrap_or(i64::MAX);
    if devices > most {
        conn.prepare_cached(SURPLUS)?.execute((user.uuid(), most))?;
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
        Ok(self.writer.run_for(user, move |conn| read(conn, user)).await?)
    }

    async fn forget(&self, user: UserId, client: &ClientId) -> Result<bool, StoreError> {
        // For the same reason nothing that was remembered before comes back afterwards.
        let client = client.clone();
        let job = move |conn: &Connection| forget(conn, user, &client);
        Ok(self.writer.run_for(user, job).await?)
    }
}

fn forget(conn: &Connection, user: UserId, client: &ClientId) -> Result<bool, Failure> {
    let removed = conn
        .prepare_cached("DELETE FROM sync_cursors WHERE user_id = ?1 AND client_id = ?2")?
        .execute((user.uuid(), client.as_str()))?;
    Ok(removed > 0)
}

/// The rows of a user, by device and type.
pub(crate) fn read(conn: &Connection, user: UserId) -> Result<Vec<DeviceCursor>, Failure> {
    let mut statement = conn.prepare_cached(
        "SELECT client_id, entity_type, last_sync_at, served_at FROM sync_cursors WHERE user_id = ?1",
    )?;
    let mut rows = statement.query([user.uuid()])?;
    let mut cursors = Vec::new();
    while let Some(row) = rows.next()? {
        cursors.push(DeviceCursor {
            client: parsed(row, 0, "sync_cursors.client_id")?,
            entity_type: parsed(row, 1, "sync_cursors.entity_type")?,
            last_sync_at: checked(row, 2, "sync_cursors.last_sync_at", Cursor::new)?,
            served_at: checked(row, 3, "sync_cursors.served_at", UnixMillis::new)?,
        });
    }
    cursors.sort_by(|a, b| (&a.client, a.entity_type).cmp(&(&b.client, b.entity_type)));
    Ok(cursors)
}
