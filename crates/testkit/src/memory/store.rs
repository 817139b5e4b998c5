//! The ports around the models of all users.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use mosaic_domain::pull::{PageLimits, PullRequest, Snapshot};
use mosaic_domain::query::{Listing, RecordQuery, TagCount};
use mosaic_domain::write::{WritePlan, WriteScope};
use mosaic_domain::{Cursor, EntityType, Epoch, Record, RecordKey, Stamp, UserId};
use mosaic_ports::{
    ChangeFeed, Clock, Decide, DeviceCursor, DeviceCursors, Health, KeptRevision, RecordReader,
    ServedCursors, StoreError, Stores, WriteError, WriteStore,
};

use super::accounts::AccountTable;
use super::model::Model;
use crate::fixture::StoreFixture;

/// All users, in memory. Writes of one user wait for each other, those of others don't.
pub struct MemoryStore {
    clock: Arc<dyn Clock>,
    users: Mutex<BTreeMap<UserId, Arc<UserSlot>>>,
    cursors: Mutex<BTreeMap<UserId, CursorRows>>,
    pub(super) accounts: Mutex<AccountTable>,
    pub(super) epoch: Mutex<Epoch>,
}

/// The rows of one user, by device and type.
type CursorRows = BTreeMap<(String, EntityType), DeviceCursor>;

#[derive(Default)]
struct UserSlot {
    /// The lock of the user's clock (S1).
    turn: Mutex<()>,
    /// What is committed.
    model: Mutex<Model>,
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl UserSlot {
    fn write(&self, clock: &dyn Clock, scope: &WriteScope, decide: &Decide) -> Result<WritePlan, WriteError> {
        let _turn = lock(&self.turn);
        let locked = lock(&self.model).locked(scope, clock.now());
        let plan = decide(&locked)?;
        check(&plan)?;
        lock(&self.model).commit(&plan);
        Ok(plan)
    }
}

/// A database has a unique index over the stamps.
fn check(plan: &WritePlan) -> Result<(), StoreError> {
    let mut stamps: Vec<Stamp> = plan.records.iter().map(|record| record.stamp).collect();
    stamps.sort_unstable();
    stamps.dedup();
    if stamps.len() < plan.records.len() {
        return Err(StoreError::Failed("two records with one stamp".into()));
    }
    Ok(())
}

impl std::fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MemoryStore").finish_non_exhaustive()
    }
}

impl MemoryStore {
    /// An empty store.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            users: Mutex::default(),
            cursors: Mutex::default(),
            accounts: Mutex::default(),
            epoch: Mutex::new(Model::default().epoch()),
        }
    }

    /// The store's ports.
    pub fn stores(self: &Arc<Self>) -> Stores {
        Stores::of(self)
    }

    pub(super) fn add_user(&self, user: UserId) {
        lock(&self.users).insert(user, Arc::default());
    }

    fn user(&self, user: UserId) -> Option<Arc<UserSlot>> {
        lock(&self.users).get(&user).cloned()
    }

    /// The users, in ascending order.
    pub(super) fn users(&self) -> Vec<UserId> {
        lock(&self.users).keys().copied().collect()
    }

    /// Changes a user's data behind the ports' backs.
    pub(super) fn change(&self, user: UserId, change: impl FnOnce(&mut Model)) {
        if let Some(slot) = self.user(user) {
            change(&mut lock(&slot.model));
        }
    }

    pub(super) fn forget_cursors(&self, user: UserId) {
        lock(&self.cursors).remove(&user);
    }

    pub(super) fn read<T>(&self, user: UserId, read: impl FnOnce(&Model) -> T) -> Option<T> {
        self.user(user).map(|slot| read(&lock(&slot.model)))
    }
}

#[async_trait]
impl WriteStore for MemoryStore {
    async fn write(&self, scope: WriteScope, decide: Decide) -> Result<WritePlan, WriteError> {
        let slot = self.user(scope.user).ok_or(WriteError::UnknownUser)?;
        let clock = self.clock.clone();
        tokio::task::spawn_blocking(move || slot.write(clock.as_ref(), &scope, &decide))
            .await
            .map_err(|panicked| StoreError::Failed(Box::new(panicked)))?
    }
}

#[async_trait]
impl ChangeFeed for MemoryStore {
    async fn snapshot(
        &self,
        user: UserId,
        request: &PullRequest,
        limits: PageLimits,
    ) -> Result<Option<Snapshot>, StoreError> {
        Ok(self.read(user, |model| model.snapshot(request, limits)))
    }
}

#[async_trait]
impl RecordReader for MemoryStore {
    async fn record(&self, user: UserId, key: RecordKey) -> Result<Option<Record>, StoreError> {
        Ok(self.read(user, |model| model.record(key).cloned()).flatten())
    }

    async fn list(&self, user: UserId, query: &RecordQuery) -> Result<Listing<Record>, StoreError> {
        let nothing = Listing {
            items: Vec::new(),
            total: 0,
        };
        Ok(self.read(user, |model| model.list(query)).unwrap_or(nothing))
    }

    async fn tags(&self, user: UserId, entity_type: EntityType) -> Result<Vec<TagCount>, StoreError> {
        Ok(self
            .read(user, |model| model.tags(entity_type))
            .unwrap_or_default())
    }

    async fn revisions(&self, user: UserId, key: RecordKey) -> Result<Vec<KeptRevision>, StoreError> {
        Ok(self
            .read(user, |model| model.revisions_of(key))
            .unwrap_or_default())
    }
}

#[async_trait]
impl DeviceCursors for MemoryStore {
    fn remember(&self, served: ServedCursors) {
        let mut cursors = lock(&self.cursors);
        let rows = cursors.entry(served.user).or_default();
        for (entity_type, last_sync_at) in served.cursors {
            let row = device_cursor(&served.client, entity_type, last_sync_at);
            rows.insert((served.client.to_string(), entity_type), row);
        }
    }

    async fn cursors(&self, user: UserId) -> Result<Vec<DeviceCursor>, StoreError> {
        let rows = lock(&self.cursors).get(&user).cloned().unwrap_or_default();
        Ok(rows.into_values().collect())
    }
}

fn device_cursor(
    client: &mosaic_domain::ClientId,
    entity_type: EntityType,
    last_sync_at: Cursor,
) -> DeviceCursor {
    DeviceCursor {
        client: client.clone(),
        entity_type,
        last_sync_at,
    }
}

#[async_trait]
impl Health for MemoryStore {
    async fn check(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

/// The suite's fixture for [`MemoryStore`].
#[derive(Debug)]
pub struct MemoryFixture(Arc<MemoryStore>);

#[async_trait]
impl StoreFixture for MemoryFixture {
    const PARALLEL_WRITERS: bool = true;

    async fn start(clock: Arc<dyn Clock>) -> Self {
        Self(Arc::new(MemoryStore::new(clock)))
    }

    fn stores(&self) -> Stores {
        self.0.stores()
    }

    async fn stop(self) {}
}
