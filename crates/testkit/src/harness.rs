//! What every case works with: a store, a clock, and short ways to write and pull.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use mosaic_domain::account::{Account, CreateOutcome, PasswordHash, Role, User};
use mosaic_domain::pull::{self, PageLimits, PullPage, PullRequest};
use mosaic_domain::query::{Listed, Listing, Order, PageNumber, RecordQuery};
use mosaic_domain::stamp::ClockExhausted;
use mosaic_domain::write::{Locked, Outcome, RecordEdit, WritePlan, WriteScope, decide};
use mosaic_domain::{EntityType, Quota, Record, RecordKey, UnixMillis, UserId};
use mosaic_ports::{IdGenerator, KeptRevision, RevisionPage, Stores, WriteError};

use uuid::Uuid;

use crate::device::{Device, pulled};
use crate::fixture::{MoreStores, StoreFixture};
use crate::gate::Door;
use crate::stand_ins::{ManualClock, SequentialIds};

/// A moment, in milliseconds.
pub fn at(ms: i64) -> UnixMillis {
    UnixMillis::new(ms).unwrap()
}

/// One store under test.
#[derive(Clone)]
#[expect(missing_debug_implementations, reason = "ports have none")]
pub struct Harness {
    /// The store's ports.
    pub stores: Stores,
    /// The ports of another instance over the same database, where there can be one.
    pub other_stores: Option<Stores>,
    /// The clock that the store reads.
    pub clock: Arc<ManualClock>,
    /// New ids.
    pub ids: Arc<SequentialIds>,
    /// Whether writes of different users run at the same time.
    pub parallel_writers: bool,
    /// Whether reads go on while a write holds its lock.
    pub reads_beside_writes: bool,
    more: Arc<dyn MoreStores>,
    users: Arc<AtomicU64>,
    /// Of which login a token is: the number of its first token.
    pub(crate) keys: Arc<Mutex<BTreeMap<u8, u8>>>,
}

impl Harness {
    /// A harness around a store.
    pub fn new<F: StoreFixture>(fixture: &F, clock: Arc<ManualClock>) -> Self {
        Self {
            stores: fixture.stores(),
            other_stores: fixture.other_stores(),
            clock,
            ids: Arc::default(),
            parallel_writers: F::PARALLEL_WRITERS,
            reads_beside_writes: F::READS_BESIDE_WRITES,
            more: Arc::new(tokio::sync::Mutex::new(Vec::<F>::new())),
            users: Arc::default(),
            keys: Arc::default(),
        }
    }

    /// The same through another instance over the same database, where there can be one.
    #[must_use]
    pub fn elsewhere(&self) -> Self {
        let stores = self.other_stores.as_ref().unwrap_or(&self.stores);
        Self {
            stores: stores.clone(),
            ..self.clone()
        }
    }

    /// The same over another empty store of the same kind.
    pub async fn another_store(&self) -> Self {
        let (stores, other_stores) = self.more.start(self.clock.clone()).await;
        Self {
            stores,
            other_stores,
            ..self.clone()
        }
    }

    /// Stops the other stores and removes everything that they left behind.
    pub(crate) async fn stop_other_stores(&self) {
        self.more.stop().await;
    }

    /// An id that nobody has had before.
    pub fn new_id(&self) -> Uuid {
        self.ids.next()
    }

    /// An account that is not stored yet.
    pub fn account(&self, name: &str, role: Role) -> Account {
        let now = at(self.clock.ms());
        Account {
            user: User {
                id: UserId::new(self.new_id()),
                username: name.parse().unwrap(),
                avatar_url: None,
                role,
                must_change_password: false,
                disabled: false,
                quota: Quota::Default,
                time_zone: None,
                created_at: now,
                updated_at: now,
            },
            password: PasswordHash::new(format!("$argon2id$of-{name}")),
        }
    }

    /// A new user.
    pub async fn user(&self) -> UserId {
        let n = self.users.fetch_add(1, Ordering::SeqCst);
        let mut account = self.account(&format!("user-{n}"), Role::User);
        // So that the first stamp is the time that the clock has.
        account.user.created_at = at(self.clock.ms() - 1);
        let id = account.user.id;
        let outcome = self.stores.accounts.create(account, false, None).await.unwrap();
        assert_eq!(outcome, CreateOutcome::Created);
        id
    }

    /// Writes edits as one write.
    pub async fn write(&self, user: UserId, edits: impl Into<Vec<RecordEdit>>) -> WritePlan {
        self.try_write(user, edits).await.unwrap()
    }

    /// Writes edits as one write, which may fail.
    ///
    /// # Errors
    /// What the store answered.
    pub async fn try_write(
        &self,
        user: UserId,
        edits: impl Into<Vec<RecordEdit>>,
    ) -> Result<WritePlan, WriteError> {
        self.write_with(user, edits, decide).await
    }

    /// Writes one edit, which must have the outcome.
    pub async fn write_as(&self, user: UserId, edit: RecordEdit, outcome: Outcome) -> WritePlan {
        let plan = self.write(user, [edit]).await;
        assert_eq!(plan.results[0].outcome, outcome);
        plan
    }

    /// Writes edits with a decision that waits at a door, under the lock.
    ///
    /// # Errors
    /// What the store answered.
    pub async fn write_through(
        &self,
        door: Door,
        user: UserId,
        edits: impl Into<Vec<RecordEdit>>,
    ) -> Result<WritePlan, WriteError> {
        let through = move |locked: &Locked, edits: &[RecordEdit]| {
            door.pass();
            decide(locked, edits)
        };
        self.write_with(user, edits, through).await
    }

    /// Writes edits with a decision of the test's own.
    ///
    /// # Errors
    /// What the store answered.
    pub async fn write_with(
        &self,
        user: UserId,
        edits: impl Into<Vec<RecordEdit>>,
        decide: impl Fn(&Locked, &[RecordEdit]) -> Result<WritePlan, ClockExhausted> + Send + Sync + 'static,
    ) -> Result<WritePlan, WriteError> {
        let edits = edits.into();
        let scope = WriteScope::of(user, &edits);
        let decision = Arc::new(move |locked: &Locked| decide(locked, &edits));
        self.stores.write.write(scope, decision).await
    }

    /// One response, cut from one snapshot.
    pub async fn pull(&self, user: UserId, request: &PullRequest, limits: PageLimits) -> PullPage {
        let snapshot = self.stores.feed.snapshot(user, request, limits).await.unwrap();
        pull::cut(request, snapshot.expect("the user exists"))
    }

    /// The device takes one page. Says whether there is more to come.
    pub async fn pull_page(&self, user: UserId, device: &mut Device) -> bool {
        let page = self.pull(user, &device.request(), device.limits()).await;
        device.take(&page)
    }

    /// The device takes pages until there is no more to come.
    pub async fn pull_all(&self, user: UserId, device: &mut Device) {
        while self.pull_page(user, device).await {}
    }

    /// What a fresh device gets, from the beginning to the end.
    pub async fn fresh_device(&self, user: UserId) -> Device {
        let mut device = Device::new("fresh");
        self.pull_all(user, &mut device).await;
        device
    }

    /// A record, tombstones included.
    pub async fn record(&self, user: UserId, key: RecordKey) -> Option<Record> {
        self.stores.reader.record(user, key).await.unwrap()
    }

    /// The revisions of a record, the latest first.
    pub async fn revisions(&self, user: UserId, key: RecordKey) -> Vec<KeptRevision> {
        let mut kept: Vec<KeptRevision> = Vec::new();
        loop {
            let before = kept.last().map(|kept| kept.number);
            let page = self.revision_page(user, key, before, PageLimits::PROTOCOL).await;
            kept.extend(page.items);
            if !page.more {
                return kept;
            }
        }
    }

    /// One page of the revisions of a record.
    pub async fn revision_page(
        &self,
        user: UserId,
        key: RecordKey,
        before: Option<u32>,
        limits: PageLimits,
    ) -> RevisionPage {
        let reader = &self.stores.reader;
        reader.revisions(user, key, before, limits).await.unwrap()
    }

    /// A list, with its records.
    pub async fn list(&self, user: UserId, query: &RecordQuery) -> Listing<Record> {
        let Listing { items, total } = self.listed(user, query).await;
        let keys: Vec<RecordKey> = items.iter().map(|listed| listed.key).collect();
        let items = self.stores.reader.records(user, &keys).await.unwrap();
        assert!(
            items.iter().map(|record| record.key).eq(keys),
            "a list and its records"
        );
        Listing { items, total }
    }

    /// A list as the store gives it.
    pub async fn listed(&self, user: UserId, query: &RecordQuery) -> Listing<Listed> {
        self.stores.reader.list(user, query).await.unwrap()
    }

    /// Every live record of a user, by key.
    pub async fn live(&self, user: UserId) -> Vec<Record> {
        let mut live = Vec::new();
        for entity in EntityType::ALL {
            let query = RecordQuery::all(entity, Order::KeyDescending, PageNumber::EVERYTHING);
            live.extend(self.list(user, &query).await.items);
        }
        live.sort_by_key(|record| record.key);
        live
    }

    /// Asserts that the device holds exactly what is stored.
    pub async fn assert_converged(&self, user: UserId, device: &Device) {
        assert_eq!(device.records(), pulled(&self.live(user).await));
    }
}
