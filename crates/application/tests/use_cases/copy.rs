//! Copying a store: what is interrupted goes on, and what must not be touched is not.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use async_trait::async_trait;
use mosaic_application::activity::Trail;
use mosaic_application::copy::{Copied, Copy, CopyError, Phase};
use mosaic_domain::account::{AccountChange, Role, UpdateOutcome};
use mosaic_domain::activity::{Activity, ActivityKind, ActivityQuery, Doer, SERVER};
use mosaic_domain::attachment::ContentRef;
use mosaic_domain::invite::{Invite, InviteEnd};
use mosaic_domain::login::TokenHash;
use mosaic_domain::pull::PageLimits;
use mosaic_domain::query::PageNumber;
use mosaic_domain::write::RecordEdit;
use mosaic_domain::{EntityType, Epoch, InviteId, Quota, Stamp, UserId};
use mosaic_ports::{DumpWriter, DumpedRecord, KeptRevision, StoreError, Stores, UserDump};
use mosaic_testkit::{EditExt as _, Harness, at, hash, memo, memo_key, overwrite, patch_memo, put};
use uuid::Uuid;

use crate::support::{damaged, harness};

/// Two batches of records, and as many revisions.
const MEMOS: u64 = 1_100;

/// A store with one user who has many memos, each written twice.
async fn source() -> (Harness, UserId) {
    let h = harness().await;
    let account = h.account("anna", Role::Admin);
    let user = account.user.id;
    h.stores.accounts.create(account, false, None).await.unwrap();
    rename(&h, 77).await;
    let trail = Trail::new(h.stores.activity.clone(), h.clock.clone(), h.ids.clone());
    for user in [user, SERVER] {
        let kind = ActivityKind::LoginFailed;
        trail.note(user, kind, Doer::Stranger, None).await;
    }
    let all = |edit: fn(u64) -> RecordEdit| (0..MEMOS).map(edit).collect::<Vec<_>>();
    h.write(user, all(|n| put(memo_key(n), memo("first")).at(1)))
        .await;
    h.write(user, all(|n| patch_memo(n, "second").at(2))).await;
    (h, user)
}

/// Gives the history of a store another name.
async fn rename(h: &Harness, epoch: u128) {
    let identity = &h.stores.identity;
    let old = identity.epoch().await.unwrap();
    let new = Epoch::new(Uuid::from_u128(epoch));
    assert!(identity.replace_epoch(old, new).await.unwrap());
}

async fn empty() -> Stores {
    harness().await.stores
}

/// What writes a store that takes only so many batches, and counts the records that it was given.
struct Fused {
    store: Arc<dyn DumpWriter>,
    batches: AtomicI64,
    records: AtomicU64,
    loses_contents: bool,
}

impl Fused {
    fn new(stores: &Stores, batches: i64) -> Self {
        Self {
            store: Arc::clone(&stores.dump_writer),
            batches: AtomicI64::new(batches),
            records: AtomicU64::new(0),
            loses_contents: false,
        }
    }

    fn burn(&self) -> Result<(), StoreError> {
        match self.batches.fetch_sub(1, Ordering::SeqCst) {
            1.. => Ok(()),
            _ => Err(StoreError::Unavailable("the fuse has blown".into())),
        }
    }
}

#[async_trait]
impl DumpWriter for Fused {
    async fn load_user(&self, dump: UserDump) -> Result<(), StoreError> {
        self.store.load_user(dump).await
    }

    async fn load_records(&self, user: UserId, records: Vec<DumpedRecord>) -> Result<(), StoreError> {
        self.burn()?;
        self.records.fetch_add(records.len() as u64, Ordering::SeqCst);
        self.store.load_records(user, records).await
    }

    async fn load_revisions(&self, user: UserId, revisions: Vec<KeptRevision>) -> Result<(), StoreError> {
        self.burn()?;
        self.store.load_revisions(user, revisions).await
    }

    async fn load_contents(&self, user: UserId, contents: Vec<ContentRef>) -> Result<(), StoreError> {
        self.burn()?;
        if self.loses_contents {
            return Ok(());
        }
        self.store.load_contents(user, contents).await
    }

    async fn load_activity(&self, user: UserId, events: Vec<Activity>) -> Result<(), StoreError> {
        self.store.load_activity(user, events).await
    }

    async fn load_invites(&self, invites: Vec<Invite>) -> Result<(), StoreError> {
        self.store.load_invites(invites).await
    }

    async fn refresh_statistics(&self) -> Result<(), StoreError> {
        self.store.refresh_statistics().await
    }
}

async fn copy(from: &Stores, to: &Stores) -> Result<Copied, CopyError> {
    Copy::new(from.clone(), to.clone()).run(|_| ()).await
}

#[tokio::test]
async fn a_copy_that_is_interrupted_anywhere_goes_on_from_there() {
    let (h, user) = source().await;
    let from = &h.stores;
    let whole = copy(from, &empty().await).await.unwrap();
    assert_eq!((whole.users, whole.records, whole.revisions), (1, MEMOS, MEMOS));
    for batches in 0..4 {
        let target = empty().await;
        let first = Arc::new(Fused::new(&target, batches));
        let through = |writer: &Arc<Fused>| Stores {
            dump_writer: writer.clone(),
            ..target.clone()
        };
        let interrupted = copy(from, &through(&first)).await;
        assert!(
            matches!(interrupted, Err(CopyError::Store(StoreError::Unavailable(_)))),
            "{interrupted:?}"
        );
        let second = Arc::new(Fused::new(&target, i64::MAX));
        for run in ["the rest", "nothing"] {
            let mut told = Vec::new();
            let going_on = Copy::new(from.clone(), through(&second));
            let copied = going_on.run(|progress| told.push(progress)).await;
            assert_eq!(copied.unwrap(), whole, "{run} after {batches} batches");
            let last = told.iter().rfind(|progress| progress.phase == Phase::Copying);
            let last = last.map(|progress| (progress.records, progress.revisions));
            assert_eq!(last, Some((MEMOS, MEMOS)), "{run} after {batches} batches");
        }
        let given = first.records.load(Ordering::SeqCst) + second.records.load(Ordering::SeqCst);
        assert_eq!(given, MEMOS, "no record is copied twice");
        assert_eq!(
            target.dump_reader.loaded(user).await.unwrap(),
            from.dump_reader.loaded(user).await.unwrap()
        );
        for user in [user, SERVER] {
            let all = ActivityQuery::newest(10);
            let events = target.activity.trail(user, all).await.unwrap();
            assert_eq!(events, from.activity.trail(user, all).await.unwrap());
            assert_eq!(events.len(), 1);
        }
    }
}

async fn rename_user(stores: &Stores, user: UserId, name: &str) {
    let change = AccountChange {
        username: Some(name.parse().unwrap()),
        ..AccountChange::default()
    };
    let outcome = stores.accounts.update(user, change, at(9), None).await.unwrap();
    assert!(matches!(outcome, UpdateOutcome::Updated { .. }), "{outcome:?}");
}

/// A store with one account: what it is called, what of its memo is current, and what was.
async fn small(name: &str, current: &str, before: &str) -> (Harness, UserId) {
    let h = harness().await;
    let account = h.account(name, Role::User);
    let user = account.user.id;
    h.stores.accounts.create(account, false, None).await.unwrap();
    for (text, time) in [(before, 1), (current, 2)] {
        h.write(user, [put(memo_key(1), memo(text)).at(time)]).await;
    }
    (h, user)
}

/// A target to which a copy has brought the account and nothing else.
async fn begun(from: &Stores) -> Stores {
    let target = empty().await;
    let through = Stores {
        dump_writer: Arc::new(Fused::new(&target, 0)),
        ..target.clone()
    };
    copy(from, &through).await.unwrap_err();
    target
}

#[tokio::test]
async fn an_account_is_copied_anew_until_its_copy_is_complete_and_then_left_alone() {
    let (h, user) = small("anna", "second", "first").await;
    let target = begun(&h.stores).await;
    rename_user(&h.stores, user, "ben").await;
    copy(&h.stores, &target).await.unwrap();
    rename_user(&target, user, "cleo").await;
    let theirs = target.dump_reader.dump_user(user).await.unwrap();
    let differs = copy(&h.stores, &target).await;
    assert!(matches!(differs, Err(CopyError::Differs { .. })), "{differs:?}");
    assert_eq!(target.dump_reader.dump_user(user).await.unwrap(), theirs);
}

#[tokio::test]
async fn the_hash_is_of_accounts_records_and_revisions() {
    let mut hashes = BTreeSet::new();
    for (name, current, before) in [
        ("anna", "second", "first"),
        ("ben", "second", "first"),
        ("anna", "another", "first"),
        ("anna", "second", "another"),
    ] {
        let (h, _) = small(name, current, before).await;
        hashes.insert(copy(&h.stores, &empty().await).await.unwrap().content_hash);
    }
    assert_eq!(hashes.len(), 4);
}

#[tokio::test]
async fn p8_what_can_not_be_read_is_copied_as_it_is_and_counted() {
    let (h, user) = small("anna", "second", "first").await;
    let spoil = |n| overwrite(memo_key(n), damaged(EntityType::Memo), at(0));
    h.write(user, [spoil(8).at(10), spoil(9).at(10)]).await;
    h.write(user, [put(memo_key(9), memo("again")).at(20)]).await;
    let copied = copy(&h.stores, &empty().await).await.unwrap();
    assert_eq!((copied.records, copied.revisions, copied.unreadable), (3, 2, 2));
}

#[tokio::test]
async fn contents_and_the_name_of_their_storage_are_copied_and_compared() {
    let (h, user) = small("anna", "second", "first").await;
    let held = |n| ContentRef {
        sha256: hash(n),
        blob: Uuid::from_u128(n.into()),
        size: 7,
        touched_at: at(1),
    };
    let loaded = h.stores.dump_writer.load_contents(user, vec![held(1)]).await;
    loaded.unwrap();
    let name = Uuid::from_u128(5);
    h.stores.identity.name_storage(name).await.unwrap();
    let target = empty().await;
    for _ in ["at first", "again"] {
        copy(&h.stores, &target).await.unwrap();
        let contents = target.dump_reader.dump_contents(user, None, 10).await;
        assert_eq!(contents.unwrap(), [held(1)]);
        assert_eq!(target.identity.storage().await.unwrap(), Some(name));
    }
    let target = empty().await;
    let lossy = Stores {
        dump_writer: Arc::new(Fused {
            loses_contents: true,
            ..Fused::new(&target, i64::MAX)
        }),
        ..target
    };
    let differs = copy(&h.stores, &lossy).await;
    assert!(
        matches!(
            differs,
            Err(CopyError::Differs {
                what: "attachments",
                ..
            })
        ),
        "{differs:?}"
    );
    let elsewhere = empty().await;
    elsewhere.identity.name_storage(Uuid::from_u128(6)).await.unwrap();
    let refused = copy(&h.stores, &elsewhere).await;
    assert!(matches!(refused, Err(CopyError::ForeignTarget)), "{refused:?}");
}

#[tokio::test]
async fn a_trail_that_tells_something_else_is_noticed() {
    let (h, user) = small("anna", "second", "first").await;
    let trail = Trail::new(h.stores.activity.clone(), h.clock.clone(), h.ids.clone());
    trail
        .note(user, ActivityKind::LoggedIn, Doer::User(user), None)
        .await;
    let target = begun(&h.stores).await;
    let mut events = h
        .stores
        .activity
        .trail(user, ActivityQuery::newest(1))
        .await
        .unwrap();
    events[0].by = Doer::CommandLine;
    target.dump_writer.load_activity(user, events).await.unwrap();
    let differs = copy(&h.stores, &target).await;
    assert!(
        matches!(
            differs,
            Err(CopyError::Differs {
                what: "the trails",
                ..
            })
        ),
        "{differs:?}"
    );
}

#[tokio::test]
async fn progress_is_told_and_ends_with_everything() {
    let (h, _) = source().await;
    let mut told = Vec::new();
    Copy::new(h.stores.clone(), empty().await)
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
    rename(&other, 78).await;
    let refused = copy(&h.stores, &other.stores).await;
    assert!(matches!(refused, Err(CopyError::ForeignTarget)), "{refused:?}");

    let with_one_more = empty().await;
    copy(&h.stores, &with_one_more).await.unwrap();
    let mut dump = other
        .stores
        .dump_reader
        .dump_user(stranger)
        .await
        .unwrap()
        .unwrap();
    dump.account.user.id = UserId::new(Uuid::from_u128(5));
    dump.account.user.username = "ben".parse().unwrap();
    dump.logins.clear();
    with_one_more.dump_writer.load_user(dump).await.unwrap();
    let refused = copy(&h.stores, &with_one_more).await;
    assert!(
        matches!(refused, Err(CopyError::ForeignUser(id)) if id.uuid() == Uuid::from_u128(5)),
        "{refused:?}"
    );
}

#[tokio::test]
async fn a_target_that_has_gone_on_is_left_alone() {
    let (h, user) = source().await;
    let target = empty().await;
    copy(&h.stores, &target).await.unwrap();
    let mut later = target.dump_reader.dump_user(user).await.unwrap().unwrap();
    later.clock = Stamp::clamped(later.clock.get() + 1);
    target.dump_writer.load_user(later.clone()).await.unwrap();
    let refused = copy(&h.stores, &target).await;
    assert!(
        matches!(refused, Err(CopyError::NewerTarget(id)) if id == user),
        "{refused:?}"
    );
    assert_eq!(target.dump_reader.dump_user(user).await.unwrap(), Some(later));
}

#[tokio::test]
async fn a_target_that_differs_is_noticed() {
    let (h, user) = source().await;
    let target = empty().await;
    copy(&h.stores, &target).await.unwrap();
    let limits = PageLimits { records: 1, bytes: 1 };
    let mut record = target
        .dump_reader
        .dump_records(user, Stamp::ZERO, limits)
        .await
        .unwrap()
        .remove(0);
    record.record.revision_count += 1;
    target.dump_writer.load_records(user, vec![record]).await.unwrap();
    let differs = copy(&h.stores, &target).await;
    assert!(
        matches!(differs, Err(CopyError::Differs { what: "records", .. })),
        "{differs:?}"
    );
}

/// Invites go on in the target. One that was used or taken back there since is not good again.
#[tokio::test]
async fn invites_are_copied_and_those_that_are_over_stay_so() {
    let (h, _) = source().await;
    let invite = |n: u8, end| Invite {
        id: InviteId::new(Uuid::from_u128(n.into())),
        secret: TokenHash([n; 32]),
        made_by: None,
        role: Role::User,
        quota: Quota::Unlimited,
        made_at: at(1),
        expires_at: at(1_000),
        end,
    };
    let revoked = Some(InviteEnd::Revoked { at: at(5) });
    let (from, to) = (&h.stores, empty().await);
    let all = vec![invite(1, None), invite(2, revoked)];
    from.dump_writer.load_invites(all.clone()).await.unwrap();
    copy(from, &to).await.unwrap();
    let there = async || {
        let listed = to.invites.list(PageNumber::EVERYTHING).await.unwrap();
        let mut invites: Vec<_> = listed.items.into_iter().map(|found| found.invite).collect();
        invites.sort_by_key(|invite| invite.id);
        invites
    };
    assert_eq!(there().await, all);
    to.invites.revoke(all[0].id, at(9), None).await.unwrap();
    let since = there().await;
    assert_ne!(since, all);
    copy(from, &to).await.unwrap();
    assert_eq!(there().await, since);
    // One that the source has no more is over, too: nobody knows there what it was.
    let gone = invite(3, None);
    to.dump_writer.load_invites(vec![gone.clone()]).await.unwrap();
    copy(from, &to).await.unwrap();
    let end = Some(InviteEnd::Revoked { at: gone.made_at });
    assert_eq!(there().await[2], Invite { end, ..gone });
}
