//! What each device was served up to (D1): `sync_cursors`.
//!
//! A pull must not wait for a write, so what it served is put into a map that a task of the store's own empties. The
//! latest cursor of a device and type wins, which is all that the table holds anyway; while the database is slow, a map's
//! worth of pulls costs one statement.
//!
//! With them goes which device a login pulled as: one that named none belongs to it from then on (D2).

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use mosaic_domain::{ClientId, Cursor, EntityType, FamilyId, UnixMillis, UserId};
use mosaic_ports::{DEVICES_MAX, DeviceCursor, DeviceCursors, ServedCursors, StoreError};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_postgres::types::Type;
use uuid::Uuid;

use crate::PostgresStore;
use crate::error::Failure;
use crate::retry::{jittered, retrying};
use crate::rows::{checked, parsed};
use crate::session::{Database, Step, Value};

/// What is remembered of one device.
type Device = (ClientId, UserId);
/// What is to be written, in the order of the table's key: two instances that write the same rows take their locks in one
/// order.
type Devices = BTreeMap<Device, Served>;

/// What is to be written, and how many devices of each user are in it.
#[derive(Debug, Default)]
struct Batch {
    devices: Devices,
    users: BTreeMap<UserId, usize>,
}

impl Batch {
    /// The place of a device, if there is room for it.
    fn of_device(&mut self, device: Device) -> Option<&mut Served> {
        let is_full = self.devices.len() >= REMEMBERED_MAX;
        match self.devices.entry(device) {
            Entry::Occupied(known) => Some(known.into_mut()),
            Entry::Vacant(new) => {
                let of_user = self.users.entry(new.key().1).or_default();
                if is_full || *of_user >= DEVICES_MAX {
                    return None;
                }
                *of_user += 1;
                Some(new.insert(Served::default()))
            }
        }
    }
}

/// What one device was served, and when, and the logins that it pulled with.
#[derive(Debug, Default)]
struct Served {
    cursors: BTreeMap<EntityType, (Cursor, UnixMillis)>,
    logins: BTreeSet<FamilyId>,
}

/// The most devices that are remembered while the database is slow, of one user no more than are kept. Past it nothing is
/// added: like a crash, it loses what harms nobody, and the memory stays bounded.
const REMEMBERED_MAX: usize = 10_000;
/// How long to wait after a failure before the next attempt.
const PAUSE: Duration = Duration::from_secs(1);

/// Writes served cursors behind the pulls' backs.
pub(crate) struct CursorWriter {
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

struct Shared {
    database: Database,
    remembered: Mutex<Batch>,
    wake: Notify,
    /// Held from taking the map's content until it is written: whoever has held it after that sees it in the table.
    writing: tokio::sync::Mutex<()>,
}

impl CursorWriter {
    pub(crate) fn start(database: Database) -> Self {
        let shared = Arc::new(Shared {
            database,
            remembered: Mutex::default(),
            wake: Notify::new(),
            writing: tokio::sync::Mutex::default(),
        });
        let task = tokio::spawn(keep_writing(Arc::clone(&shared)));
        Self { shared, task }
    }

    fn remember(&self, served: ServedCursors) {
        if self.shared.put(served) {
            self.shared.wake.notify_one();
        }
    }

    /// Writes everything that was remembered before.
    pub(crate) async fn flush(&self) -> Result<(), Failure> {
        self.shared.flush().await
    }
}

impl Drop for CursorWriter {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn keep_writing(shared: Arc<Shared>) {
    loop {
        shared.wake.notified().await;
        if let Err(error) = shared.flush().await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "served cursors were not written"
            );
            tokio::time::sleep(jittered(PAUSE)).await;
        }
    }
}

impl Shared {
    /// Adds what a pull served. Says whether there was nothing before, so that the task needs a reminder.
    fn put(&self, served: ServedCursors) -> bool {
        let mut batch = self.batch();
        let was_empty = batch.devices.is_empty();
        let Some(of_device) = batch.of_device((served.client, served.user)) else {
            return false;
        };
        let at = served.served_at;
        let cursors = served.cursors.into_iter();
        of_device
            .cursors
            .extend(cursors.map(|(entity, cursor)| (entity, (cursor, at))));
        of_device.logins.insert(served.login);
        was_empty
    }

    async fn flush(&self) -> Result<(), Failure> {
        let _writing = self.writing.lock().await;
        let batch = std::mem::take(&mut *self.batch());
        if batch.devices.is_empty() {
            return Ok(());
        }
        let users: Vec<Uuid> = batch.users.keys().map(|user| user.uuid()).collect();
        let mut taken = Taken {
            shared: self,
            devices: batch.devices,
        };
        let (cursors, logins) = (
            CursorColumns::of(&taken.devices),
            LoginColumns::of(&taken.devices),
        );
        let mut values = cursors.values();
        values.extend(logins.values());
        let written =
            retrying(|| async { self.database.run(Step::Fixed(WRITE, values.clone())).await }).await;
        // What the database refuses for good would be refused for ever. A user who went meanwhile is left out next time.
        let again = |failure: &Failure| failure.may_pass() || failure.broke(OWNER_EXISTS);
        if !written.as_ref().is_err_and(again) {
            taken.devices.clear();
        }
        written?;
        let most = i64::try_from(DEVICES_MAX).unwrap_or(i64::MAX);
        let values: [Value<'_>; 2] = [(&users, Type::UUID_ARRAY), (&most, Type::INT8)];
        retrying(|| async { self.database.run(Step::Fixed(TRIM, values.to_vec())).await })
            .await
            .map(drop)
    }

    /// Puts back what was not written, behind what has been served since.
    fn put_back(&self, unwritten: Devices) {
        let mut batch = self.batch();
        for (device, served) in unwritten {
            let Some(newer) = batch.of_device(device) else {
                continue;
            };
            for (entity, cursor) in served.cursors {
                newer.cursors.entry(entity).or_insert(cursor);
            }
            newer.logins.extend(served.logins);
        }
    }

    fn batch(&self) -> MutexGuard<'_, Batch> {
        self.remembered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A batch that was taken to be written. What is left in it goes back, also when whoever was writing is dropped.
struct Taken<'a> {
    shared: &'a Shared,
    devices: Devices,
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        if !self.devices.is_empty() {
            self.shared.put_back(std::mem::take(&mut self.devices));
            self.shared.wake.notify_one();
        }
    }
}

/// What a cursor of a user who went meanwhile breaks.
const OWNER_EXISTS: &str = "sync_cursors_user_id_fkey";

/// Writes what differs from what is stored: a row that is as it should be is not even locked. What a user was served who is
/// gone, or going and has no clock any more, is dropped. A login that named no device belongs to the one that it pulled as.
const WRITE: &str = "
    WITH bound AS (
        UPDATE logins AS t SET client_id = n.client_id
        FROM unnest((SELECT $6::text[]), (SELECT $7::uuid[]), (SELECT $8::uuid[])) AS n (client_id, user_id, login_id)
        WHERE t.user_id = n.user_id AND t.login_id = n.login_id AND t.client_id IS NULL
    )
    INSERT INTO sync_cursors AS c (client_id, user_id, entity_type, last_sync_at, served_at)
    SELECT n.client_id, n.user_id, n.entity_type, n.last_sync_at, n.served_at
    FROM unnest((SELECT $1::text[]), (SELECT $2::uuid[]), (SELECT $3::text[]), (SELECT $4::bigint[]),
                (SELECT $5::bigint[]))
         AS n (client_id, user_id, entity_type, last_sync_at, served_at)
    JOIN sync_clocks AS owner ON owner.user_id = n.user_id
    WHERE NOT EXISTS (
        SELECT 1 FROM sync_cursors AS same
        WHERE same.client_id = n.client_id AND same.user_id = n.user_id AND same.entity_type = n.entity_type
          AND same.last_sync_at = n.last_sync_at
    )
    ORDER BY n.client_id, n.user_id, n.entity_type
    ON CONFLICT (client_id, user_id, entity_type)
        DO UPDATE SET last_sync_at = excluded.last_sync_at, served_at = excluded.served_at
    WHERE c.last_sync_at IS DISTINCT FROM excluded.last_sync_at";

/// Forgets what users have too many of: the devices that have no login first, and of these those that were not served for the
/// longest time.
const TRIM: &str = "
    DELETE FROM sync_cursors AS c USING (
        SELECT d.client_id, d.user_id, row_number() OVER (
                   PARTITION BY d.user_id
                   ORDER BY EXISTS (SELECT 1 FROM logins AS l
                                    WHERE l.user_id = d.user_id AND l.client_id = d.client_id) DESC,
                            d.served_at DESC, d.client_id
               ) AS place
        FROM (
            SELECT client_id, user_id, max(served_at) AS served_at FROM sync_cursors
            WHERE user_id IN (
                SELECT user_id FROM sync_cursors WHERE user_id = ANY ($1)
                GROUP BY user_id HAVING count(DISTINCT client_id) > $2
            ) GROUP BY client_id, user_id
        ) AS d
    ) AS surplus
    WHERE surplus.place > $2 AND c.client_id = surplus.client_id AND c.user_id = surplus.user_id";

#[derive(Default)]
struct LoginColumns {
    clients: Vec<String>,
    users: Vec<Uuid>,
    families: Vec<Uuid>,
}

impl LoginColumns {
    fn of(batch: &Devices) -> Self {
        let mut columns = Self::default();
        for ((client, user), served) in batch {
            for login in &served.logins {
                columns.clients.push(client.to_string());
                columns.users.push(user.uuid());
                columns.families.push(login.uuid());
            }
        }
        columns
    }

    fn values(&self) -> Vec<Value<'_>> {
        vec![
            (&self.clients, Type::TEXT_ARRAY),
            (&self.users, Type::UUID_ARRAY),
            (&self.families, Type::UUID_ARRAY),
        ]
    }
}

#[derive(Default)]
struct CursorColumns {
    client_id: Vec<String>,
    user_id: Vec<Uuid>,
    entity_type: Vec<&'static str>,
    last_sync_at: Vec<i64>,
    served_at: Vec<i64>,
}

impl CursorColumns {
    fn of(batch: &Devices) -> Self {
        let mut columns = Self::default();
        for ((client, user), served) in batch {
            for (entity, (cursor, served_at)) in &served.cursors {
                columns.client_id.push(client.to_string());
                columns.user_id.push(user.uuid());
                columns.entity_type.push(entity.name());
                columns.last_sync_at.push(cursor.get());
                columns.served_at.push(served_at.get());
            }
        }
        columns
    }

    fn values(&self) -> Vec<Value<'_>> {
        vec![
            (&self.client_id, Type::TEXT_ARRAY),
            (&self.user_id, Type::UUID_ARRAY),
            (&self.entity_type, Type::TEXT_ARRAY),
            (&self.last_sync_at, Type::INT8_ARRAY),
            (&self.served_at, Type::INT8_ARRAY),
        ]
    }
}

#[async_trait]
impl DeviceCursors for PostgresStore {
    fn remember(&self, served: ServedCursors) {
        self.cursors.remember(served);
    }

    async fn cursors(&self, user: UserId) -> Result<Vec<DeviceCursor>, StoreError> {
        self.cursors.flush().await?;
        Ok(read(&self.database, user).await?)
    }

    async fn forget(&self, user: UserId, client: &ClientId) -> Result<bool, StoreError> {
        self.cursors.flush().await?;
        let (user, client) = (user.uuid(), client.to_string());
        let values = || -> Vec<Value<'_>> { vec![(&user, Type::UUID), (&client, Type::TEXT)] };
        let forgotten = retrying(|| async { self.database.run(Step::Fixed(FORGET, values())).await }).await?;
        Ok(!forgotten.is_empty())
    }
}

const FORGET: &str = "DELETE FROM sync_cursors WHERE user_id = $1 AND client_id = $2 RETURNING 1";

async fn read(database: &Database, user: UserId) -> Result<Vec<DeviceCursor>, Failure> {
    let sql = "SELECT client_id, entity_type, last_sync_at, served_at FROM sync_cursors WHERE user_id = $1";
    let rows = database.read(sql, &[(&user.uuid(), Type::UUID)]).await?;
    let mut cursors = Vec::with_capacity(rows.len());
    for row in &rows {
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
