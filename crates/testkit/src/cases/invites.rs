//! Invites (I1 to I3).

use std::future::Future;
use std::pin::Pin;

use futures_util::future::join_all;
use futures_util::poll;
use mosaic_domain::account::{Account, AccountChange, ActingLogin, RemoveOutcome, Role};
use mosaic_domain::invite::{
    AcceptOutcome, FoundInvite, Invite, InviteEnd, InviteOutcome, InviteRefusal, OPEN_MAX, RevokeOutcome,
};
use mosaic_domain::login::{LoginRefusal, TokenHash};
use mosaic_domain::query::PageNumber;
use mosaic_domain::{InviteId, Quota, UserId};

use super::accounts::{closed, create, update};
use super::full_account::remove_all;
use crate::{Harness, at, memo, memo_key, put};

/// When all of this happens.
const NOW: i64 = 5_000;

/// An invite with the secret `n`, that is not stored yet, for 1,000 milliseconds.
fn invite(h: &Harness, n: u8, made_by: Option<UserId>) -> Invite {
    Invite {
        id: InviteId::new(h.new_id()),
        secret: TokenHash([n; 32]),
        made_by,
        role: Role::User,
        quota: Quota::Default,
        made_at: at(NOW),
        expires_at: at(NOW + 1_000),
        end: None,
    }
}

async fn make(h: &Harness, invite: &Invite) {
    let made = h.stores.invites.make(invite.clone(), None).await.unwrap();
    assert_eq!(made, InviteOutcome::Made);
}

async fn accept(h: &Harness, n: u8, account: Account) -> AcceptOutcome {
    let secret = TokenHash([n; 32]);
    h.stores.invites.accept(secret, account, at(NOW)).await.unwrap()
}

/// Tries to make an account, which is refused.
async fn refused(h: &Harness, n: u8) -> InviteRefusal {
    match accept(h, n, h.account("stranger", Role::User)).await {
        AcceptOutcome::Refused(refusal) => refusal,
        outcome => panic!("{outcome:?}"),
    }
}

async fn revoke(h: &Harness, id: InviteId) -> RevokeOutcome {
    h.stores.invites.revoke(id, at(NOW + 1), None).await.unwrap()
}

async fn found(h: &Harness, n: u8) -> Option<FoundInvite> {
    h.stores.invites.by_secret(TokenHash([n; 32])).await.unwrap()
}

async fn users(h: &Harness) -> u64 {
    let all = h.stores.accounts.list(PageNumber::EVERYTHING);
    all.await.unwrap().total
}

/// An invite comes back as it was made, by its secret and in the list, the newest first, page by page.
pub async fn invites_come_back_as_they_were_made(h: &Harness) {
    assert_eq!(
        h.stores.invites.list(PageNumber::first(2)).await.unwrap().total,
        0
    );
    let anna = create(h, "anna", Role::Admin).await;
    let all = [
        invite(h, 1, None),
        Invite {
            role: Role::Admin,
            quota: Quota::Bytes(5 << 30),
            made_at: at(NOW + 1),
            ..invite(h, 2, Some(anna.id))
        },
        Invite {
            quota: Quota::Unlimited,
            made_at: at(NOW + 2),
            ..invite(h, 3, Some(anna.id))
        },
    ];
    for (invite, n) in all.iter().zip(1..) {
        make(h, invite).await;
        let found = found(h, n).await.unwrap();
        assert_eq!((&found.invite, found.maker_administers), (invite, true));
    }
    assert_eq!(found(h, 4).await, None);
    let mut listed = Vec::new();
    for number in [1, 2] {
        let page = PageNumber::new(number, 2).unwrap();
        let page = h.stores.invites.list(page).await.unwrap();
        assert_eq!(page.total, 3);
        listed.extend(page.items.into_iter().map(|found| found.invite));
    }
    listed.reverse();
    assert_eq!(listed, all);
}

/// An invite makes one account, which is as the invite says, and can write at once.
pub async fn i1_an_invite_makes_one_account(h: &Harness) {
    let invite = Invite {
        role: Role::Admin,
        quota: Quota::Bytes(7 << 20),
        ..invite(h, 1, None)
    };
    make(h, &invite).await;
    create(h, "Änna", Role::User).await;
    let taken = accept(h, 1, h.account("äNNA", Role::User)).await;
    assert_eq!(taken, AcceptOutcome::NameTaken);
    assert_eq!(found(h, 1).await.unwrap().invite, invite);
    let account = h.account("ben", Role::User);
    let AcceptOutcome::Accepted(made) = accept(h, 1, account.clone()).await else {
        panic!("it is not accepted");
    };
    let id = account.user.id;
    let stored = h.stores.accounts.by_id(id).await.unwrap().unwrap();
    assert_eq!((&stored, &stored.password), (&made.account, &account.password));
    assert_eq!((stored.user.role, stored.user.quota), (Role::Admin, invite.quota));
    let end = Some(InviteEnd::Used { by: id, at: at(NOW) });
    assert_eq!(found(h, 1).await.unwrap().invite, Invite { end, ..invite });
    h.write(id, [put(memo_key(1), memo("x"))]).await;
    assert_eq!(refused(h, 1).await, InviteRefusal::Used);
    assert_eq!(refused(h, 9).await, InviteRefusal::Unknown);
    assert_eq!(revoke(h, made.invite.id).await, RevokeOutcome::Used);
}

/// Of many who use one invite at the same time, on several instances, one has an account, and the others have nothing.
pub async fn i1_of_many_who_use_one_invite_at_once_one_has_an_account(h: &Harness) {
    for round in 1..=3 {
        make(h, &invite(h, round, None)).await;
        let attempts = (0..8).map(|n| {
            let h = if n % 2 == 0 { h.clone() } else { h.elsewhere() };
            let account = h.account(&format!("guest-{round}-{n}"), Role::User);
            tokio::spawn(async move { accept(&h, round, account).await })
        });
        let outcomes: Vec<_> = join_all(attempts.collect::<Vec<_>>())
            .await
            .into_iter()
            .map(Result::unwrap)
            .collect();
        let (made, others): (Vec<_>, Vec<_>) = outcomes
            .into_iter()
            .partition(|outcome| matches!(outcome, AcceptOutcome::Accepted(_)));
        assert_eq!(made.len(), 1);
        let used = AcceptOutcome::Refused(InviteRefusal::Used);
        assert!(others.iter().all(|outcome| *outcome == used), "{others:?}");
        assert_eq!(users(h).await, u64::from(round));
    }
}

/// An invite that is taken back while somebody uses it is either used, or taken back: never both.
pub async fn i1_an_invite_is_used_or_taken_back(h: &Harness) {
    let mut accounts = 0;
    for n in 1..=6 {
        let invite = invite(h, n, None);
        make(h, &invite).await;
        let (here, there) = (h.clone(), h.elsewhere());
        let account = h.account(&format!("guest-{n}"), Role::User);
        let (accepted, revoked) = tokio::join!(
            tokio::spawn(async move { accept(&here, n, account).await }),
            tokio::spawn(async move { revoke(&there, invite.id).await }),
        );
        match (accepted.unwrap(), revoked.unwrap()) {
            (AcceptOutcome::Accepted(_), RevokeOutcome::Used) => accounts += 1,
            (AcceptOutcome::Refused(InviteRefusal::Revoked), RevokeOutcome::Revoked(_)) => {}
            both => panic!("{both:?}"),
        }
    }
    assert_eq!(users(h).await, accounts);
}

/// A use that nobody waits for any more, wherever it stands, leaves an account with an invite that is used, or neither.
pub async fn i1_a_use_that_is_dropped_happens_whole_or_not_at_all(h: &Harness) {
    for (n, polls) in (1..).zip([0, 1, 2, 3, 5, 8, 13]) {
        let invite = invite(h, n, None);
        make(h, &invite).await;
        let account = h.account(&format!("guest-{n}"), Role::User);
        let mut using: Pin<Box<dyn Future<Output = _>>> = Box::pin(accept(h, n, account.clone()));
        for _ in 0..polls {
            if poll!(&mut using).is_ready() {
                using = Box::pin(std::future::pending());
                break;
            }
            tokio::task::yield_now().await;
        }
        drop(using);
        // Whoever asks next waits until that is over.
        let used = match revoke(h, invite.id).await {
            RevokeOutcome::Used => true,
            RevokeOutcome::Revoked(_) => false,
            outcome => panic!("{outcome:?}"),
        };
        let id = account.user.id;
        let made = h.stores.accounts.by_id(id).await.unwrap();
        assert_eq!(made.is_some(), used);
        if used {
            h.write(id, [put(memo_key(1), memo("x"))]).await;
        }
    }
}

/// What was taken back or has expired makes no account; who takes it back again is told so.
pub async fn i2_an_invite_ends(h: &Harness) {
    let invite = invite(h, 1, None);
    make(h, &invite).await;
    let end = Some(InviteEnd::Revoked { at: at(NOW + 1) });
    let ended = Invite {
        end,
        ..invite.clone()
    };
    let revoked = revoke(h, invite.id).await;
    assert_eq!(revoked, RevokeOutcome::Revoked(Box::new(ended.clone())));
    assert_eq!(found(h, 1).await.unwrap().invite, ended);
    assert_eq!(refused(h, 1).await, InviteRefusal::Revoked);
    assert_eq!(revoke(h, invite.id).await, RevokeOutcome::Before);
    assert_eq!(
        revoke(h, InviteId::new(h.new_id())).await,
        RevokeOutcome::NotFound
    );
    let expired = Invite {
        expires_at: at(NOW),
        ..self::invite(h, 2, None)
    };
    make(h, &expired).await;
    assert_eq!(refused(h, 2).await, InviteRefusal::Expired);
    assert_eq!(users(h).await, 0);
}

/// An invite is worth what who made it is: nothing while they are closed, or administer no more.
pub async fn i2_an_invite_of_who_administers_no_more_makes_no_account(h: &Harness) {
    create(h, "admin", Role::Admin).await;
    let anna = create(h, "anna", Role::Admin).await;
    make(h, &invite(h, 1, Some(anna.id))).await;
    let role = |role| AccountChange {
        role: Some(role),
        ..AccountChange::default()
    };
    for (lost, back) in [
        (closed(true), closed(false)),
        (role(Role::User), role(Role::Admin)),
    ] {
        update(h, anna.id, lost).await;
        assert_eq!(refused(h, 1).await, InviteRefusal::Revoked);
        assert!(!found(h, 1).await.unwrap().maker_administers);
        update(h, anna.id, back).await;
    }
    let made = accept(h, 1, h.account("ben", Role::User)).await;
    assert!(matches!(made, AcceptOutcome::Accepted(_)));
}

/// An account that goes takes with it the invites that it made, and the one that it was made by, and no others.
pub async fn invites_go_with_the_accounts_that_they_name(h: &Harness) {
    create(h, "admin", Role::Admin).await;
    let anna = create(h, "anna", Role::Admin).await;
    for (n, made_by) in [(1, Some(anna.id)), (2, None), (3, None)] {
        make(h, &invite(h, n, made_by)).await;
    }
    let guest = h.account("guest", Role::User);
    let made = accept(h, 2, guest.clone()).await;
    assert!(matches!(made, AcceptOutcome::Accepted(_)));
    for user in [anna.id, guest.user.id] {
        assert_eq!(remove_all(h, user, 1).await, RemoveOutcome::Removed);
    }
    assert_eq!(refused(h, 1).await, InviteRefusal::Unknown);
    assert_eq!(refused(h, 2).await, InviteRefusal::Unknown);
    let left = h.stores.invites.list(PageNumber::EVERYTHING).await.unwrap();
    assert_eq!(left.items.len(), 1);
}

/// Who makes invites has at most so many open ones, also where they come at the same time. Others are not in their way.
pub async fn i3_who_invites_has_only_so_many_open_invites(h: &Harness) {
    let anna = create(h, "anna", Role::Admin).await;
    let open = u8::try_from(OPEN_MAX).unwrap();
    for n in 0..open - 5 {
        make(h, &invite(h, n, Some(anna.id))).await;
    }
    let attempts = (0..10).map(|n| {
        let h = if n % 2 == 0 { h.clone() } else { h.elsewhere() };
        let invite = invite(&h, 200 + n, Some(anna.id));
        tokio::spawn(async move { h.stores.invites.make(invite, None).await.unwrap() })
    });
    let outcomes = join_all(attempts.collect::<Vec<_>>()).await;
    let made = outcomes
        .iter()
        .filter(|outcome| *outcome.as_ref().unwrap() == InviteOutcome::Made);
    assert_eq!(made.count(), 5);
    make(h, &invite(h, 220, None)).await;
    let first = found(h, 0).await.unwrap();
    revoke(h, first.invite.id).await;
    make(h, &invite(h, 221, Some(anna.id))).await;
    let one_more = h.stores.invites.make(invite(h, 222, Some(anna.id)), None).await;
    assert_eq!(one_more.unwrap(), InviteOutcome::TooMany);
}

/// A login that has ended makes no invite, and takes none back.
pub async fn l1_a_login_that_ended_invites_nobody(h: &Harness) {
    let anna = create(h, "anna", Role::Admin).await;
    let login = h.log_in(anna.id, 1).await;
    let by = Some(ActingLogin {
        user: anna.id,
        login: login.family,
    });
    let new = |n| invite(h, n, Some(anna.id));
    let (first, second) = (new(1), new(2));
    let made = h.stores.invites.make(first.clone(), by).await.unwrap();
    assert_eq!(made, InviteOutcome::Made);
    let change = AccountChange {
        end_logins: true,
        ..AccountChange::default()
    };
    update(h, anna.id, change).await;
    let refusal = LoginRefusal::Ended;
    let made = h.stores.invites.make(second, by).await.unwrap();
    assert_eq!(made, InviteOutcome::Refused(refusal));
    let revoked = h.stores.invites.revoke(first.id, at(NOW), by).await.unwrap();
    assert_eq!(revoked, RevokeOutcome::Refused(refusal));
    assert_eq!(found(h, 1).await.unwrap().invite, first);
    assert_eq!(found(h, 2).await, None);
}

/// What expired before a moment is forgotten, whatever became of it.
pub async fn expired_invites_are_forgotten(h: &Harness) {
    for n in 1..=3 {
        let invite = Invite {
            expires_at: at(NOW + i64::from(n)),
            ..invite(h, n, None)
        };
        make(h, &invite).await;
    }
    revoke(h, found(h, 1).await.unwrap().invite.id).await;
    let forget = async || h.stores.invites.forget_expired(at(NOW + 3)).await.unwrap();
    assert_eq!((forget().await, forget().await), (2, 0));
    assert!(found(h, 2).await.is_none() && found(h, 3).await.is_some());
}

/// Invites are loaded as they are, and again.
pub async fn invites_move_with_everything_else(h: &Harness) {
    let anna = create(h, "anna", Role::Admin).await;
    let all = vec![
        invite(h, 1, Some(anna.id)),
        Invite {
            end: Some(InviteEnd::Used {
                by: anna.id,
                at: at(NOW),
            }),
            ..invite(h, 2, None)
        },
    ];
    let there = h.another_store().await;
    for _ in 0..2 {
        there.stores.dump_writer.load_invites(all.clone()).await.unwrap();
        for (invite, n) in all.iter().zip(1..) {
            assert_eq!(found(&there, n).await.unwrap().invite, *invite);
        }
    }
    // Nobody there has the account of who made it.
    assert_eq!(refused(&there, 1).await, InviteRefusal::Revoked);
}
