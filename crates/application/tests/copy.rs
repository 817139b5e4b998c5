//! Copying a store: what is interrupted goes on, and what must not be touched is not.
#![expect(clippy::unwrap_used, reason = "a test that can't go on has to say so at once")]

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use async_trait::async_trait;
use mosaic_application::copy::{Copied, Copy, CopyError, Phase};
use mosaic_domain::account::Role;
use mosaic_domain::entity::Sha256;
use mosaic_domain::pull::PageLimits;
use mosaic_domain::write::RecordEdit;
use mosaic_domain::{Epoch, Stamp, UserId};
use mosaic_ports::{
    DumpedRecord, HeldContent, KeptRevision, Loaded, RevisionPlace, StoreError, Transfer, UserDump,
};
use mosaic_testkit::{
    EditExt as _, Harness, ManualClock, MemoryFixture, MemoryStore, StoreFixture as _, memo, memo_key,
    patch_memo, put,
};
use uuid::Uuid;

/// Two batches of records, and as many revisions.
const MEMOS: u64 = 1_100;

/// A store with one user who has many memos, each written twice.
async fn source() -> (Harness, UserId) {
    let clock = Arc::new(ManualClock::default());
    let fixture = MemoryFixture::start(clock.clone()).await;
    let h = Harness::new(&fixture, clock);
    let account = h.account("anna", Role::Admin);
    let user = account.user.id;
    h.stores.accounts.create(account, false).await.unwrap();
    h.stores
        .transfer
        .set_epoch(Epoch::new(Uuid::from_u128(77)))
        .await
        .unwrap();
    let all = |edit: fn(u64) -> RecordEdit| (0..MEMOS).map(edit).collect::<Vec<_>>();
    h.write(user, all(|n| put(memo_key(n), memo("first")).at(1)))
        .await;
    h.write(user, all(|n| patch_memo(n, "second").at(2))).await;
    (h, user)
}

fn empty() -> Arc<dyn Transfer> {
    Arc::new(MemoryStore::new(Arc::new(ManualClock::default())))
}

/// A store that takes only so many batches, and counts the records that it was given.
struct Fused {
    store: Arc<dyn Transfer>,
    batches: AtomicI64,
    records: AtomicU64,
}

impl Fused {
    fn new(store: &Arc<dyn Transfer>, batches: i64) -> Arc<Self> {
        Arc::new(Self {
            store: Arc::clone(store),
            batches: AtomicI64::new(batches),
            records: AtomicU64::new(0),
        })
    }

    fn burn(&self) -> Result<(), StoreError> {
        match self.batches.fetch_sub(1, Ordering::SeqCst) {
            1.. => Ok(()),
            _ => Err(StoreError::Unavailable("the fuse has blown".into())),
        }
    }
}

#[async_trait]
impl Transfer for Fused {
    async fn storage(&self) -> Result<Option<Uuid>, StoreError> {
        self.store.storage().await
    }

    async fn name_storage(&self, name: Uuid) -> Result<Uuid, StoreError> {
        self.store.name_storage(name).await
    }

    async fn epoch(&self) -> Result<Epoch, StoreError> {
        self.store.epoch().await
    }
    async fn set_epoch(&self, epoch: Epoch) -> Result<(), StoreError> {
        self.store.set_epoch(epoch).await
    }
    async fn user_ids(&self, after: Option<UserId>, limit: u32) -> Result<Vec<UserId>, StoreError> {
        self.store.user_ids(after, limit).await
    }
    async fn dump_user(&self, user: UserId) -> Result<Option<UserDump>, StoreError> {
        self.store.dump_user(user).await
    }
    async fn load_user(&self, dump: UserDump) -> Result<(), StoreError> {
        self.store.load_user(dump).await
    }
    async fn dump_records(
        &self,
        user: UserId,
        after: Stamp,
        limits: PageLimits,
    ) -> Result<Vec<DumpedRecord>, StoreError> {
        self.store.dump_records(user, after, limits).await
    }
    async fn load_records(&self, user: UserId, records: Vec<DumpedRecord>) -> Result<(), StoreError> {
        self.burn()?;
        self.records.fetch_add(records.len() as u64, Ordering::SeqCst);
        self.store.load_records(user, records).await
    }
    async fn dump_revisions(
        &self,
        user: UserId,
        after: Option<RevisionPlace>,
        limits: PageLimits,
    ) -> Result<Vec<KeptRevision>, StoreError> {
        self.store.dump_revisions(user, after, limits).await
    }
    async fn load_revisions(&self, user: UserId, revisions: Vec<KeptRevision>) -> Result<(), StoreError> {
        self.burn()?;
        self.store.load_revisions(user, revisions).await
    }
    async fn dump_contents(
        &self,
        user: UserId,
        after: Option<Sha256>,
        limit: u32,
    ) -> Result<Vec<HeldContent>, StoreError> {
        self.store.dump_contents(user, after, limit).await
    }
    async fn load_contents(&self, user: UserId, contents: Vec<HeldContent>) -> Result<(), StoreError> {
        self.burn()?;
        self.store.load_contents(user, contents).await
    }
    async fn loaded(&self, user: UserId) -> Result<Loaded, StoreError> {
        self.store.loaded(user).await
    }
    async fn refresh_statistics(&self) -> Result<(), StoreError> {
        self.store.refresh_statistics().await
    }
}

async fn copy(from: &Arc<dyn Transfer>, to: Arc<dyn Transfer>) -> Result<Copied, CopyError> {
    Copy::new(Arc::clone(from), to).run(|_| ()).await
}

#[tokio::test]
async fn a_copy_that_is_interrupted_anywhere_goes_on_from_there() {
    let (h, user) = source().await;
    let from = &h.stores.transfer;
    let whole = copy(from, empty()).await.unwrap();
    assert_eq!((whole.users, whole.records, whole.revisions), (1, MEMOS, MEMOS));
    for batches in 0..4 {
        let target = empty();
        let first = Fused::new(&target, batches);
        let interrupted = copy(from, first.clone()).await;
        assert!(
            matches!(interrupted, Err(CopyError::Store(StoreError::Unavailable(_)))),
            "{interrupted:?}"
        );
        let second = Fused::new(&target, i64::MAX);
        assert_eq!(
            copy(from, second.clone()).await.unwrap(),
            whole,
            "after {batches} batches"
        );
        let given = first.records.load(Ordering::SeqCst) + second.records.load(Ordering::SeqCst);
        assert_eq!(given, MEMOS, "no record is copied twice");
        assert_eq!(
            target.loaded(user).await.unwrap(),
            from.loaded(user).await.unwrap()
        );
    }
}

#[tokio::test]
async fn progress_is_told_and_ends_with_everything() {
    let (h, _) = source().await;
    let mut told = Vec::new();
    Copy::new(h.stores.transfer.clone(), empty())
        .run(|progress| told.push(progress))
        .await
        .unwrap();
    for phase in [Phase::Copying, Phase::Comparing] {
        let of_phase: Vec<_> = told.iter().filter(|progress| progress.phase == phase).collect();
        assert!(of_phase.windows(2).all(|pair| pair[0].records <= pair[1].records));
        let last = of_phase.last().unwrap();
        assert_eq!(
            (last.users, last.users_total, last.records, last.revisions),
            (1, 1, MEMOS, MEMOS)
        );
    }
}

#[tokio::test]
async fn a_target_with_another_history_or_other_users_is_left_alone() {
    let (h, _) = source().await;
    let (other, stranger) = source().await;
    other
        .stores
        .transfer
        .set_epoch(Epoch::new(Uuid::from_u128(78)))
        .await
        .unwrap();
    let refused = copy(&h.stores.transfer, other.stores.transfer.clone()).await;
    assert!(matches!(refused, Err(CopyError::ForeignTarget)), "{refused:?}");

    let with_one_more = empty();
    copy(&h.stores.transfer, Arc::clone(&with_one_more))
        .await
        .unwrap();
    let mut dump = other.stores.transfer.dump_user(stranger).await.unwrap().unwrap();
    dump.account.user.id = UserId::new(Uuid::from_u128(5));
    dump.account.user.username = "ben".parse().unwrap();
    dump.logins.clear();
    with_one_more.load_user(dump).await.unwrap();
    let refused = copy(&h.stores.transfer, with_one_more).await;
    assert!(
        matches!(refused, Err(CopyError::ForeignUser(id)) if id.uuid() == Uuid::from_u128(5)),
        "{refused:?}"
    );
}

#[tokio::test]
async fn a_target_that_has_gone_on_is_left_alone() {
    let (h, user) = source().await;
    let target = empty();
    copy(&h.stores.transfer, Arc::clone(&target)).await.unwrap();
    let mut later = target.dump_user(user).await.unwrap().unwrap();
    later.clock = Stamp::clamped(later.clock.get() + 1);
    target.load_user(later.clone()).await.unwrap();
    let refused = copy(&h.stores.transfer, Arc::clone(&target)).await;
    assert!(
        matches!(refused, Err(CopyError::NewerTarget(id)) if id == user),
        "{refused:?}"
    );
    assert_eq!(target.dump_user(user).await.unwrap(), Some(later));
}

#[tokio::test]
async fn a_target_that_differs_is_noticed() {
    let (h, user) = source().await;
    let target = empty();
    copy(&h.stores.transfer, Arc::clone(&target)).await.unwrap();
    let limits = PageLimits { records: 1, bytes: 1 };
    let mut record = target
        .dump_records(user, Stamp::ZERO, limits)
        .await
        .unwrap()
        .remove(0);
    record.record.revision_count += 1;
    target.load_records(user, vec![record]).await.unwrap();
    let differs = copy(&h.stores.transfer, target).await;
    assert!(
        matches!(differs, Err(CopyError::Differs { what: "records", .. })),
        "{differs:?}"
    );
}
