//! The ports around the models of all users.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use mosaic_domain::pull::{PageLimits, PullRequest, Snapshot};
use mosaic_domain::query::{Listed, Listing, RecordQuery, TagCount};
use mosaic_domain::write::{WritePlan, WriteScope};
use mosaic_domain::{
    ClientId, EntityType, Epoch, FamilyId, MemoId, Record, RecordKey, RevisionId, Stamp, UnixMillis, UserId,
};
use mosaic_ports::{
    ChangeFeed, Clock, CommitListener, DEVICES_MAX, Decide, DeviceCursor, DeviceCursors, Health,
    KeptRevision, LoginRefusal, Purged, RecordReader, RevisionPage, ServedCursors, StoreError, Stores,
    SyncDigest, WriteError, WriteStore,
};

use uuid::Uuid;

use super::accounts::AccountTable;
use super::contents::Attachments;
use super::model::Model;
use super::upkeep::JobTable;
use crate::fixture::StoreFixture;

/// All users, in memory. Writes of one user wait for each other, those of others don't.
pub struct MemoryStore {
    clock: Arc<dyn Clock>,
    users: Mutex<BTreeMap<UserId, Arc<UserSlot>>>,
    cursors: Mutex<BTreeMap<UserId, CursorRows>>,
    pub(super) accounts: Arc<Mutex<AccountTable>>,
    pub(super) epoch: Mutex<Epoch>,
    pub(super) jobs: Mutex<JobTable>,
    pub(super) listeners: Mutex<Vec<Arc<dyn CommitListener>>>,
    /// Removed accounts whose blobs are still there.
    pub(super) removed: Mutex<BTreeSet<UserId>>,
    pub(super) storage: Mutex<Option<Uuid>>,
}

/// The rows of one user, by device and type.
type CursorRows = BTreeMap<(String, EntityType), DeviceCursor>;

#[derive(Default)]
struct UserSlot {
    /// The lock of the user's clock (S1).
    turn: Mutex<()>,
    /// What is committed.
    model: Mutex<Model>,
    attachments: Mutex<Attachments>,
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl UserSlot {
    fn write(
        &self,
        clock: &dyn Clock,
        accounts: &Mutex<AccountTable>,
        scope: &WriteScope,
        decide: &Decide,
    ) -> Result<WritePlan, WriteError> {
        let _turn = lock(&self.turn);
        lock(accounts).standing(scope.user, scope.login)?;
        let locked = {
            let model = lock(&self.model);
            if model.is_closed() {
                return Err(WriteError::UnknownUser);
            }
            model.locked(scope, clock.now())
        };
        let plan = decide(&locked)?;
        check(&plan)?;
        lock(&self.model).commit(&plan);
        Ok(plan)
    }

    fn in_turn<T>(&self, work: impl FnOnce(&Model, &mut Attachments) -> T) -> Option<T> {
        let _turn = lock(&self.turn);
        let model = lock(&self.model);
        (!model.is_closed()).then(|| work(&model, &mut lock(&self.attachments)))
    }

    fn purge(&self, before: UnixMillis, limit: u32) -> Purged {
        let _turn = lock(&self.turn);
        lock(&self.model).purge(before, limit)
    }

    fn close(&self) {
        let _turn = lock(&self.turn);
        lock(&self.model).close();
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
            accounts: Arc::default(),
            epoch: Mutex::new(Model::default().epoch()),
            jobs: Mutex::default(),
            listeners: Mutex::default(),
            removed: Mutex::default(),
            storage: Mutex::default(),
        }
    }

    /// The store's ports.
    pub fn stores(self: &Arc<Self>) -> Stores {
        Stores::of(self)
    }

    pub(super) fn add_user(&self, user: UserId) {
        let mut model = Model::default();
        model.set_epoch(*lock(&self.epoch));
        let slot = UserSlot {
            model: Mutex::new(model),
            ..UserSlot::default()
        };
        lock(&self.users).insert(user, Arc::new(slot));
    }

    /// Names the history.
    pub(super) fn rename(&self, epoch: Epoch) {
        *lock(&self.epoch) = epoch;
        for slot in lock(&self.users).values() {
            lock(&slot.model).set_epoch(epoch);
        }
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

    /// Changes what is known of a user's blobs behind the ports' backs.
    pub(super) fn change_attachments(&self, user: UserId, change: impl FnOnce(&mut Attachments)) {
        if let Some(slot) = self.user(user) {
            change(&mut lock(&slot.attachments));
        }
    }

    /// Looks at what is known of a user's blobs.
    pub(super) fn look<T>(&self, user: UserId, look: impl FnOnce(&Model, &Attachments) -> T) -> Option<T> {
        let slot = self.user(user)?;
        let model = lock(&slot.model);
        Some(look(&model, &lock(&slot.attachments)))
    }

    /// Changes what is known of a user's blobs, when no write of that user runs. `None`: the user has no clock.
    pub(super) async fn in_turn<T: Send + 'static>(
        &self,
        user: UserId,
        work: impl FnOnce(&Model, &mut Attachments) -> T + Send + 'static,
    ) -> Result<Option<T>, StoreError> {
        let Some(slot) = self.user(user) else {
            return Ok(None);
        };
        in_its_turn(move || slot.in_turn(work)).await
    }

    /// Replaces the rows of a user.
    pub(super) fn set_cursors(&self, user: UserId, rows: Vec<DeviceCursor>) {
        let rows = rows.into_iter();
        let rows = rows.map(|row| ((row.client.to_string(), row.entity_type), row));
        lock(&self.cursors).insert(user, rows.collect());
    }

    /// Removes the clock of a user, when no write of theirs runs: nobody can write or pull any more.
    pub(super) async fn remove_clock(&self, user: UserId) -> Result<(), StoreError> {
        let Some(slot) = self.user(user) else {
            return Ok(());
        };
        in_its_turn(move || slot.close()).await
    }

    /// Whether a user has a clock.
    pub(super) fn has_clock(&self, user: UserId) -> bool {
        self.user(user).is_some_and(|slot| !lock(&slot.model).is_closed())
    }

    /// Changes accounts and logins; where that may end logins, when no write of that user runs. The work hears whether the
    /// user has a clock, and says whose logins it ended; whoever listens is told.
    pub(super) async fn with_accounts<T: Send + 'static>(
        &self,
        user: UserId,
        in_turn: bool,
        work: impl FnOnce(&mut AccountTable, bool) -> (T, Option<UserId>) + Send + 'static,
    ) -> Result<T, StoreError> {
        let (slot, accounts) = (self.user(user), self.accounts.clone());
        let (done, ended) = in_its_turn(move || {
            let _turn = slot.as_ref().filter(|_| in_turn).map(|slot| lock(&slot.turn));
            let has_clock = slot.as_ref().is_some_and(|slot| !lock(&slot.model).is_closed());
            work(&mut lock(&accounts), has_clock)
        })
        .await?;
        if let Some(user) = ended {
            self.tell_ended(user);
        }
        Ok(done)
    }

    /// Tells that logins of a user have ended.
    pub(super) fn tell_ended(&self, user: UserId) {
        for listener in lock(&self.listeners).clone() {
            listener.logins_ended(user);
        }
    }

    /// Removes at most so many rows of a user whose clock is gone. Says how many.
    pub(super) fn remove_rows(&self, user: UserId, limit: usize) -> usize {
        let mut left = limit;
        if let Some(rows) = lock(&self.cursors).get_mut(&user) {
            while left > 0 && rows.pop_first().is_some() {
                left -= 1;
            }
        }
        self.change(user, |model| left -= model.remove(left));
        self.change_attachments(user, |held| left -= held.remove(left));
        if left > 0 {
            lock(&self.cursors).remove(&user);
            lock(&self.users).remove(&user);
        }
        limit - left
    }

    /// Takes one step of a purge, when no write of that user runs.
    pub(super) async fn purge_user(
        &self,
        user: UserId,
        before: UnixMillis,
        limit: u32,
    ) -> Result<Purged, StoreError> {
        let Some(slot) = self.user(user) else {
            return Ok(Purged::default());
        };
        in_its_turn(move || slot.purge(before, limit)).await
    }

    /// Reads what only a user with a clock has.
    fn read_open<T>(&self, user: UserId, read: impl FnOnce(&Model) -> T) -> Option<T> {
        let slot = self.user(user)?;
        let model = lock(&slot.model);
        (!model.is_closed()).then(|| read(&model))
    }

    pub(super) fn read<T>(&self, user: UserId, read: impl FnOnce(&Model) -> T) -> Option<T> {
        self.user(user).map(|slot| read(&lock(&slot.model)))
    }
}

/// Does what waits for a lock on a thread that may wait, to its end even when nobody waits for it any more.
async fn in_its_turn<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, StoreError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|panicked| StoreError::Failed(Box::new(panicked)))
}

#[async_trait]
impl WriteStore for MemoryStore {
    async fn write(&self, scope: WriteScope, decide: Decide) -> Result<WritePlan, WriteError> {
        let user = scope.user;
        let slot = self.user(user).ok_or(WriteError::UnknownUser)?;
        let (clock, accounts) = (self.clock.clone(), self.accounts.clone());
        let listeners = lock(&self.listeners).clone();
        in_its_turn(move || {
            let plan = slot.write(clock.as_ref(), &accounts, &scope, &decide)?;
            if !plan.records.is_empty() {
                for listener in listeners {
                    listener.committed(user, plan.clock);
                }
            }
            Ok(plan)
        })
        .await?
    }
}

#[async_trait]
impl ChangeFeed for MemoryStore {
    async fn snapshot(
        &self,
        user: UserId,
        request: &PullRequest,
        limits: PageLimits,
    ) -> Result<Result<Snapshot, LoginRefusal>, StoreError> {
        // What has ended by now is not read, and what is read is of before or of now.
        if let Err(refusal) = lock(&self.accounts).standing(user, request.login) {
            return Ok(Err(refusal));
        }
        let snapshot = self.read_open(user, |model| model.snapshot(request, limits));
        Ok(snapshot.ok_or(LoginRefusal::of_unknown_user()))
    }

    async fn clock(
        &self,
        user: UserId,
        login: Option<FamilyId>,
    ) -> Result<Result<Stamp, LoginRefusal>, StoreError> {
        if let Err(refusal) = lock(&self.accounts).standing(user, login) {
            return Ok(Err(refusal));
        }
        let clock = self.read_open(user, Model::clock);
        Ok(clock.ok_or(LoginRefusal::of_unknown_user()))
    }
}

#[async_trait]
impl RecordReader for MemoryStore {
    async fn record(&self, user: UserId, key: RecordKey) -> Result<Option<Record>, StoreError> {
        Ok(self.read(user, |model| model.record(key).cloned()).flatten())
    }

    async fn records(&self, user: UserId, keys: &[RecordKey]) -> Result<Vec<Record>, StoreError> {
        let found = self.read(user, |model| {
            let records = keys.iter().filter_map(|key| model.record(*key).cloned());
            records.collect()
        });
        Ok(found.unwrap_or_default())
    }

    async fn children(
        &self,
        user: UserId,
        parents: &[MemoId],
        limits: PageLimits,
    ) -> Result<Vec<Record>, StoreError> {
        Ok(self
            .read(user, |model| model.children(parents, limits))
            .unwrap_or_default())
    }

    async fn list(&self, user: UserId, query: &RecordQuery) -> Result<Listing<Listed>, StoreError> {
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

    async fn revisions(
        &self,
        user: UserId,
        key: RecordKey,
        before: Option<u32>,
        limits: PageLimits,
    ) -> Result<RevisionPage, StoreError> {
        Ok(self
            .read(user, |model| model.revision_page(key, before, limits))
            .unwrap_or_default())
    }

    async fn revision(
        &self,
        user: UserId,
        key: RecordKey,
        id: RevisionId,
    ) -> Result<Option<KeptRevision>, StoreError> {
        let kept = self
            .read(user, |model| model.revisions_of(key))
            .unwrap_or_default();
        Ok(kept.into_iter().find(|kept| kept.revision.id == id))
    }

    async fn digest(&self, user: UserId) -> Result<Option<SyncDigest>, StoreError> {
        Ok(self.read_open(user, |model| SyncDigest {
            clock: model.clock(),
            epoch: model.epoch(),
            types: model.digest(),
        }))
    }
}

/// Forgets the devices that a user has too many of.
fn trim(rows: &mut CursorRows, logins: &BTreeSet<ClientId>) {
    let mut devices: BTreeMap<ClientId, UnixMillis> = BTreeMap::new();
    for row in rows.values() {
        let seen = devices.entry(row.client.clone()).or_insert(row.served_at);
        *seen = row.served_at.max(*seen);
    }
    let mut devices: Vec<_> = devices.into_iter().collect();
    devices.sort_by_key(|(client, seen)| (Reverse(logins.contains(client)), Reverse(*seen), client.clone()));
    for (client, _) in devices.iter().skip(DEVICES_MAX) {
        rows.retain(|_, row| row.client != *client);
    }
}

#[async_trait]
impl DeviceCursors for MemoryStore {
    fn remember(&self, served: ServedCursors) {
        if self.read_open(served.user, |_| ()).is_none() {
            return;
        }
        lock(&self.accounts).bind(served.user, served.login, &served.client);
        let mut cursors = lock(&self.cursors);
        let rows = cursors.entry(served.user).or_default();
        for (entity_type, last_sync_at) in served.cursors {
            let place = (served.client.to_string(), entity_type);
            if rows
                .get(&place)
                .is_some_and(|row| row.last_sync_at == last_sync_at)
            {
                continue;
            }
            let row = DeviceCursor {
                client: served.client.clone(),
                entity_type,
                last_sync_at,
                served_at: served.served_at,
            };
            rows.insert(place, row);
        }
        let logins = lock(&self.accounts).clients(served.user);
        trim(rows, &logins);
    }

    async fn cursors(&self, user: UserId) -> Result<Vec<DeviceCursor>, StoreError> {
        let rows = lock(&self.cursors).get(&user).cloned().unwrap_or_default();
        Ok(rows.into_values().collect())
    }

    async fn forget(&self, user: UserId, client: &ClientId) -> Result<bool, StoreError> {
        let mut cursors = lock(&self.cursors);
        let Some(rows) = cursors.get_mut(&user) else {
            return Ok(false);
        };
        let before = rows.len();
        rows.retain(|_, row| row.client != *client);
        Ok(rows.len() < before)
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

    fn other_stores(&self) -> Option<Stores> {
        Some(self.stores())
    }

    async fn stop(self) {}
}
