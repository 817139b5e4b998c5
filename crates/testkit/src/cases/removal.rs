//! Removing an account and everything of it.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use futures_util::poll;
use mosaic_domain::account::{AccountChange, RemoveOutcome, Role};
use mosaic_domain::entity::Variant;
use mosaic_domain::login::Rotation;
use mosaic_domain::{FamilyId, UploadId, UserId};
use mosaic_ports::{StoreError, WriteError};
use uuid::Uuid;

use super::full_account::{
    ENOUGH, assert_nothing_left, assert_shut, attach, full, is_noted, login, remove, remove_all, rotate,
    rows, served,
};
use crate::{EditExt, Gate, Harness, at, hash, memo, memo_key, patch_memo, put};

/// The first step shuts the account; steps remove no more than the limit; after the last one nothing is left, and the name
/// is free.
pub async fn an_account_is_removed_in_steps(h: &Harness) {
    let account = full(h, "anna", Role::User, 1).await;
    let user = account.user.id;
    h.clock.advance(1_000);
    h.stores
        .retention
        .purge(user, at(h.clock.ms() - 999), 3)
        .await
        .unwrap();
    let mut before = rows(h, user).await;
    assert!(before > 15, "{before}");
    assert_eq!(remove(h, user, 3).await, RemoveOutcome::Removing);
    assert_shut(h, &account, 1).await;
    let closed = h.stores.accounts.by_id(user).await.unwrap().unwrap();
    assert!(closed.user.disabled);
    for step in 0.. {
        assert!(step < ENOUGH, "no end");
        let left = rows(h, user).await;
        assert!(
            left <= before && before - left <= 3,
            "a step from {before} to {left}"
        );
        before = left;
        assert!(!is_noted(h, user).await, "there is more to come");
        match remove(h, user, 3).await {
            RemoveOutcome::Removing => assert_shut(h, &account, 1).await,
            outcome => {
                assert_eq!(outcome, RemoveOutcome::Removed);
                assert!(before <= 3, "{before} in the last step");
                break;
            }
        }
    }
    assert_shut(h, &account, 1).await;
    assert_nothing_left(h, &account).await;
}

/// With a limit that holds all of it, and with the smallest.
pub async fn an_account_is_removed_whatever_the_limit(h: &Harness) {
    for (n, limit) in [(1, 1), (11, 10_000)] {
        let account = full(h, "anna", Role::User, n).await;
        assert_eq!(
            remove_all(h, account.user.id, limit).await,
            RemoveOutcome::Removed
        );
        assert_nothing_left(h, &account).await;
        remove_all(h, account.user.id, limit).await;
    }
    let empty = h.user().await;
    assert_eq!(remove_all(h, empty, 1).await, RemoveOutcome::Removed);
    assert_eq!(remove(h, empty, 1).await, RemoveOutcome::NotFound);
    assert_eq!(
        remove(h, UserId::new(h.new_id()), 1).await,
        RemoveOutcome::NotFound
    );
}

/// Nobody else loses anything: not a record with the same key, not a device of the same name.
pub async fn a_removal_touches_nobody_else(h: &Harness) {
    let (anna, ben) = (
        full(h, "anna", Role::User, 1).await,
        full(h, "ben", Role::User, 11).await,
    );
    let user = ben.user.id;
    let state = async || {
        let dumped = h.stores.dump_reader.dump_user(user).await.unwrap().unwrap();
        (
            dumped,
            h.live(user).await,
            h.stores.dump_reader.loaded(user).await.unwrap(),
            rows(h, user).await,
            h.stores.contents.usage(user).await.unwrap(),
            h.stores
                .variants
                .variant(user, hash(1), Variant::Opt)
                .await
                .unwrap(),
        )
    };
    let before = state().await;
    assert_eq!(remove_all(h, anna.user.id, 4).await, RemoveOutcome::Removed);
    assert_eq!(state().await, before);
    assert!(!is_noted(h, user).await);
    assert!(matches!(rotate(h, 11).await, Rotation::Rotated(_)));
    h.write(user, [patch_memo(1, "goes on")]).await;
    let device = h.fresh_device(user).await;
    h.assert_converged(user, &device).await;
}

/// A removal that is dropped half-way goes on with the next call.
pub async fn an_interrupted_removal_goes_on(h: &Harness) {
    let account = full(h, "anna", Role::User, 1).await;
    let user = account.user.id;
    for polls in [0, 1, 2, 3, 5, 8] {
        let mut step: Pin<Box<dyn Future<Output = Result<RemoveOutcome, StoreError>> + Send>> =
            Box::pin(h.stores.accounts.remove(user, 2, None));
        for _ in 0..polls {
            if poll!(&mut step).is_ready() {
                step = Box::pin(std::future::pending());
                break;
            }
            tokio::task::yield_now().await;
        }
        drop(step);
    }
    assert_eq!(remove_all(h, user, 2).await, RemoveOutcome::Removed);
    assert_nothing_left(h, &account).await;
}

/// Two that remove the same account at the same time come to its end together.
pub async fn two_may_remove_one_account(h: &Harness) {
    let account = full(h, "anna", Role::User, 1).await;
    let user = account.user.id;
    let both = [1, 2].map(|limit| {
        let h = h.clone();
        tokio::spawn(async move { remove_all(&h, user, limit).await })
    });
    let mut removed = 0;
    for one in both {
        match one.await.unwrap() {
            RemoveOutcome::Removed => removed += 1,
            outcome => assert_eq!(outcome, RemoveOutcome::NotFound),
        }
    }
    assert!(removed > 0);
    assert_nothing_left(h, &account).await;
}

/// A removal waits for the write that holds the lock, and takes what it wrote with it.
pub async fn a_removal_takes_turns_with_writes(h: &Harness) {
    let account = full(h, "anna", Role::User, 1).await;
    let user = account.user.id;
    let gate = Gate::default();
    let (held, door) = (h.clone(), gate.door());
    let edits = [put(memo_key(500), memo("x")), patch_memo(1, "third words")];
    let write = tokio::spawn(async move { held.write_through(door, user, edits).await });
    gate.reached().await;
    let removing = h.clone();
    let mut removal = tokio::spawn(async move { remove_all(&removing, user, 5).await });
    // There is no event to wait for when nothing may happen: a removal that does not wait gets some time to show itself.
    let early = tokio::time::timeout(Duration::from_millis(100), &mut removal).await;
    assert!(
        early.is_err(),
        "an account was removed while a write held its lock"
    );
    gate.open();
    write.await.unwrap().unwrap();
    assert_eq!(removal.await.unwrap(), RemoveOutcome::Removed);
    assert_nothing_left(h, &account).await;
}

/// Writes, pulls and logins that go on while an account is removed leave nothing behind.
pub async fn what_goes_on_during_a_removal_leaves_nothing(h: &Harness) {
    let account = full(h, "anna", Role::User, 1).await;
    let user = account.user.id;
    let writers: Vec<_> = (0..3)
        .map(|writer| {
            let (h, account) = (h.clone(), account.clone());
            tokio::spawn(async move {
                for n in 0_u16.. {
                    let key = memo_key(1_000 + writer * 100 + u64::from(n) % 7);
                    let edit = put(key, memo("words")).at(1_000 + i64::from(n));
                    match h.try_write(user, [edit]).await {
                        Ok(_) => {}
                        Err(WriteError::UnknownUser) => return n,
                        Err(error) => panic!("{error:?}"),
                    }
                    // These may come too late: the next write says so.
                    let upload = UploadId::new(h.new_id());
                    let _late = attach(&h, user, u64::from(n) % 3 + 1, upload).await;
                    h.stores.cursors.remember(served(user, "busy"));
                    let mut login = login(&h, &account, 200, Some("busy"));
                    login.family = FamilyId::new(h.new_id());
                    login.token.key.0[..16].copy_from_slice(h.new_id().as_bytes());
                    h.stores
                        .tokens
                        .issue(login, account.password.clone())
                        .await
                        .unwrap();
                }
                panic!("nobody stopped the writer");
            })
        })
        .collect();
    while rows(h, user).await < 60 {
        tokio::task::yield_now().await;
    }
    assert_eq!(remove_all(h, user, 5).await, RemoveOutcome::Removed);
    // One of them may have come too late for a single write.
    let mut written = 0;
    for writer in writers {
        written += writer.await.unwrap();
    }
    assert!(written > 0);
    assert_nothing_left(h, &account).await;
}

/// Accounts that were removed are noted, and only those, in ascending order; one that is loaded again is there again.
pub async fn removed_accounts_are_noted_until_they_are_loaded_again(h: &Harness) {
    let page = async |after, limit| h.stores.orphans.removed_users(after, limit).await.unwrap();
    assert_eq!(page(None, 10).await, []);
    let (mut users, mut dumps) = (Vec::new(), Vec::new());
    for _ in 0..4 {
        let user = h.user().await;
        dumps.push(h.stores.dump_reader.dump_user(user).await.unwrap().unwrap());
        users.push(user);
    }
    let stays = h.user().await;
    for user in users.iter().rev() {
        assert_eq!(remove_all(h, *user, 100).await, RemoveOutcome::Removed);
        assert_eq!(remove(h, *user, 100).await, RemoveOutcome::NotFound);
    }
    let nobody = UserId::new(h.new_id());
    assert_eq!(remove(h, nobody, 100).await, RemoveOutcome::NotFound);
    assert_eq!(page(None, 10).await, users);
    assert_eq!(page(None, 2).await, users[..2]);
    assert_eq!(page(Some(users[1]), 2).await, users[2..]);
    assert_eq!(page(Some(users[3]), 2).await, []);
    assert_eq!(page(Some(UserId::new(Uuid::nil())), 10).await, users);
    h.stores.dump_writer.load_user(dumps.remove(1)).await.unwrap();
    assert_eq!(page(None, 10).await, [users[0], users[2], users[3]]);
    for user in [stays, users[1]] {
        h.write(user, [put(memo_key(1), memo("goes on"))]).await;
    }
    assert_eq!(remove_all(h, users[1], 100).await, RemoveOutcome::Removed);
    assert_eq!(page(None, 10).await, users);
}

/// The last administrator whose account is open can't be removed, and loses nothing by the attempt.
pub async fn the_last_administrator_is_not_removed(h: &Harness) {
    let account = full(h, "admin", Role::Admin, 1).await;
    let (user, other) = (account.user.id, full(h, "closed", Role::Admin, 11).await.user.id);
    full(h, "somebody", Role::User, 21).await;
    let close = AccountChange {
        disabled: Some(true),
        ..AccountChange::default()
    };
    h.stores
        .accounts
        .update(other, close, at(9_000), None)
        .await
        .unwrap();
    let before = h.stores.dump_reader.dump_user(user).await.unwrap();
    assert_eq!(remove(h, user, 100).await, RemoveOutcome::LastAdmin);
    assert!(!is_noted(h, user).await);
    assert_eq!(h.stores.dump_reader.dump_user(user).await.unwrap(), before);
    assert_eq!(h.live(user).await.len(), 10);
    assert!(matches!(rotate(h, 1).await, Rotation::Rotated(_)));
    h.write(user, [patch_memo(1, "goes on")]).await;
    // The closed one may go.
    assert_eq!(remove_all(h, other, 100).await, RemoveOutcome::Removed);
    assert_eq!(remove(h, user, 100).await, RemoveOutcome::LastAdmin);
    full(h, "second", Role::Admin, 31).await;
    assert_eq!(remove_all(h, user, 100).await, RemoveOutcome::Removed);
}

/// Of two administrators who are removed at the same time, one stays.
pub async fn two_administrators_can_not_both_be_removed(h: &Harness) {
    let guard = new_admin(h, "guard").await;
    let close = async |disabled| {
        let change = AccountChange {
            disabled: Some(disabled),
            ..AccountChange::default()
        };
        h.stores
            .accounts
            .update(guard, change, at(9_000), None)
            .await
            .unwrap();
    };
    for round in 0..5 {
        let first = new_admin(h, &format!("first-{round}")).await;
        let second = new_admin(h, &format!("second-{round}")).await;
        close(true).await;
        let removals = [first, second].map(|id| {
            let h = h.clone();
            tokio::spawn(async move { (id, remove_all(&h, id, 2).await) })
        });
        let mut stayed = Vec::new();
        for removal in removals {
            match removal.await.unwrap() {
                (id, RemoveOutcome::LastAdmin) => stayed.push(id),
                (_, outcome) => assert_eq!(outcome, RemoveOutcome::Removed),
            }
        }
        assert_eq!(stayed.len(), 1, "both of them went, or none");
        close(false).await;
        assert_eq!(remove_all(h, stayed[0], 2).await, RemoveOutcome::Removed);
    }
}

async fn new_admin(h: &Harness, name: &str) -> UserId {
    let account = h.account(name, Role::Admin);
    let id = account.user.id;
    h.stores.accounts.create(account, false, None).await.unwrap();
    id
}
