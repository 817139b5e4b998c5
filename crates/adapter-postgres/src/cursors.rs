//! What each device was served up to (D1): `sync_cursors`.
//!
//! A pull must not wait for a write, so what it served is put into a map that a task of the store's own empties. The
//! latest cursor of a device and type wins, which is all that the table holds anyway; while the database is slow, a map's
//! worth of pulls costs a statement for each user, and a commit for a hundred of them.
//!
//! With them goes which device a login pulled as: one that named none belongs to it from then on (D2).

mod write;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use mosaic_domain::{ClientId, Cursor, EntityType, FamilyId, UnixMillis, UserId};
use mosaic_ports::{DEVICES_MAX, DeviceCursor, DeviceCursors, ServedCursors, StoreError};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_postgres::types::Type;

use crate::PostgresStore;
use crate::cursors::write::CursorColumns;
use crate::error::Failure;
use crate::retry::{jittered, retrying};
use crate::rows::{checked, parsed};
use crate::session::{Database, Step, Value};

/// What the devices of one user were served.
type Devices = BTreeMap<ClientId, Served>;

/// What is to be written, in the order in which locks are taken, and how many devices are in it.
#[derive(Debug, Default)]
struct Batch {
    users: BTreeMap<UserId, Devices>,
    devices: usize,
}

impl Batch {
    /// The place of a device, if there is room for it.
    fn of_device(&mut self, user: UserId, client: ClientId) -> Option<&mut Served> {
        let of_user = self.users.get(&user);
        if !of_user.is_some_and(|devices| devices.contains_key(&client)) {
            if self.devices >= REMEMBERED_MAX || of_user.is_some_and(|devices| devices.len() >= DEVICES_MAX) {
                return None;
            }
            self.devices += 1;
        }
        Some(self.users.entry(user).or_default().entry(client).or_default())
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
/// What so many users were served is written in one transaction.
const TOGETHER_MAX: usize = 100;
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
        self.shared.flush().await.of_all()
    }

    /// The same for somebody who needs what one user was served: what became of others' does not matter.
    pub(crate) async fn flush_of(&self, user: UserId) -> Result<(), Failure> {
        self.shared.flush().await.of(user)
    }
}

/// Whose cursors were not written, and why.
#[derive(Default)]
struct Unwritten(BTreeMap<UserId, Arc<Failure>>);

impl Unwritten {
    fn add(&mut self, users: &[UserId], failure: Failure) {
        let failure = Arc::new(failure);
        self.0
            .extend(users.iter().map(|user| (*user, Arc::clone(&failure))));
    }

    fn of(mut self, user: UserId) -> Result<(), Failure> {
        self.0
            .remove(&user)
            .map_or(Ok(()), |failure| Err(Failure::Shared(failure)))
    }

    fn of_all(mut self) -> Result<(), Failure> {
        let first = self.0.pop_first();
        first.map_or(Ok(()), |(_, failure)| Err(Failure::Shared(failure)))
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
        if let Err(error) = shared.flush().await.of_all() {
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
        let was_empty = batch.users.is_empty();
        let Some(of_device) = batch.of_device(served.user, served.client) else {
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

    async fn flush(&self) -> Unwritten {
        let _writing = self.writing.lock().await;
        let mut taken = Taken {
            shared: self,
            users: std::mem::take(&mut *self.batch()).users,
            unwritten: Unwritten::default(),
        };
        if !taken.users.is_empty() {
            taken.write().await;
        }
        std::mem::take(&mut taken.unwritten)
    }

    /// Puts back what was not written, behind what has been served since.
    fn put_back(&self, unwritten: BTreeMap<UserId, Devices>) {
        let mut batch = self.batch();
        for (user, devices) in unwritten {
            for (client, served) in devices {
                let Some(newer) = batch.of_device(user, client) else {
                    continue;
                };
                for (entity, cursor) in served.cursors {
                    newer.cursors.entry(entity).or_insert(cursor);
                }
                newer.logins.extend(served.logins);
            }
        }
    }

    fn batch(&self) -> MutexGuard<'_, Batch> {
        self.remembered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A batch that was taken to be written. What is left in it goes back, also when whoever was writing is dropped.
struct Taken<'a> {
    shared: &'a Shared,
    users: BTreeMap<UserId, Devices>,
    unwritten: Unwritten,
}

impl Taken<'_> {
    async fn write(&mut self) {
        let database = &self.shared.database;
        if let Err(failure) = write::bind_logins(database, &self.users).await {
            let users: Vec<UserId> = self.users.keys().copied().collect();
            return self.failed(&users, failure);
        }
        let columns = self.users.iter();
        let columns: Vec<_> = columns
            .map(|(user, devices)| CursorColumns::of(*user, devices))
            .collect();
        for together in columns.chunks(TOGETHER_MAX) {
            let written = retrying(|| write::write(database, together)).await;
            if together.len() > 1 && written.as_ref().is_err_and(Failure::is_answer) {
                // What is refused of one user, or can't be written now, keeps nobody else's from being written.
                for alone in together.chunks(1) {
                    self.settle(alone, write::write(database, alone).await).await;
                }
            } else {
                self.settle(together, written).await;
            }
        }
    }

    async fn settle(&mut self, of: &[CursorColumns], written: Result<Vec<UserId>, Failure>) {
        let users: Vec<UserId> = of.iter().map(|columns| columns.user).collect();
        match written {
            Ok(crowded) => {
                self.users.retain(|user, _| !users.contains(user));
                for user in crowded {
                    if let Err(failure) = write::trim(&self.shared.database, user).await {
                        self.unwritten.add(&[user], failure);
                    }
                }
            }
            Err(failure) => self.failed(&users, failure),
        }
    }

    fn failed(&mut self, users: &[UserId], failure: Failure) {
        // What the database refuses for good would be refused for ever.
        if !failure.may_pass() {
            self.users.retain(|user, _| !users.contains(user));
        }
        self.unwritten.add(users, failure);
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        if !self.users.is_empty() {
            self.shared.put_back(std::mem::take(&mut self.users));
            self.shared.wake.notify_one();
        }
    }
}

#[async_trait]
impl DeviceCursors for PostgresStore {
    fn remember(&self, served: ServedCursors) {
        self.cursors.remember(served);
    }

    async fn cursors(&self, user: UserId) -> Result<Vec<DeviceCursor>, StoreError> {
        self.cursors.flush_of(user).await?;
        Ok(read(&self.database, user).await?)
    }

    async fn forget(&self, user: UserId, client: &ClientId) -> Result<bool, StoreError> {
        self.cursors.flush_of(user).await?;
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
