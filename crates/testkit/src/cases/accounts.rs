//! Accounts and refresh tokens.

use futures_util::future::join_all;
use mosaic_domain::account::{Role, User};
use mosaic_domain::query::PageNumber;
use mosaic_domain::text::Label;
use mosaic_domain::{FamilyId, UserId};
use mosaic_ports::{
    AccountChange, CreateOutcome, IssueOutcome, NewRefreshToken, PasswordHash, Rotation, StoredRefreshToken,
    TokenHash, UpdateOutcome,
};

use crate::{Harness, at, by, memo, memo_key, put};

async fn create(h: &Harness, name: &str, role: Role) -> User {
    let account = h.account(name, role);
    let user = account.user.clone();
    assert_eq!(
        h.stores.accounts.create(account, false).await.unwrap(),
        CreateOutcome::Created
    );
    user
}

async fn update(h: &Harness, id: UserId, change: AccountChange) -> UpdateOutcome {
    h.stores.accounts.update(id, change, at(9_000)).await.unwrap()
}

async fn user(h: &Harness, id: UserId) -> User {
    h.stores.accounts.by_id(id).await.unwrap().unwrap().user
}

fn role(role: Role) -> AccountChange {
    AccountChange {
        role: Some(role),
        ..AccountChange::default()
    }
}

fn closed(disabled: bool) -> AccountChange {
    AccountChange {
        disabled: Some(disabled),
        ..AccountChange::default()
    }
}

/// An account comes back as it was made, by id and by name, and can write at once.
pub async fn an_account_comes_back_as_it_was_made(h: &Harness) {
    let mut account = h.account("Änna", Role::Admin);
    account.user.avatar_url = Some(Label::new("https://example.org/a.png".into()).unwrap());
    account.user.must_change_password = true;
    account.user.updated_at = at(account.user.created_at.get() + 5);
    let id = account.user.id;
    h.stores.accounts.create(account.clone(), true).await.unwrap();
    let by_id = h.stores.accounts.by_id(id).await.unwrap().unwrap();
    assert_eq!((&by_id.user, &by_id.password), (&account.user, &account.password));
    let by_name = h
        .stores
        .accounts
        .by_name(&"äNNA".parse().unwrap())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(by_name, by_id);
    h.write(id, [put(memo_key(1), memo("x"))]).await;
}

/// There is nothing to find where there is no account.
pub async fn an_unknown_account_is_not_found(h: &Harness) {
    assert!(
        h.stores
            .accounts
            .by_id(UserId::new(h.new_id()))
            .await
            .unwrap()
            .is_none()
    );
    assert!(
        h.stores
            .accounts
            .by_name(&"nobody".parse().unwrap())
            .await
            .unwrap()
            .is_none()
    );
    assert_eq!(
        update(h, UserId::new(h.new_id()), closed(true)).await,
        UpdateOutcome::NotFound
    );
}

/// Two accounts can't differ in letter case alone, not even when they are made at the same time.
pub async fn a_name_is_taken_whatever_its_letter_case(h: &Harness) {
    let anna = create(h, "Änna", Role::User).await;
    let again = h
        .stores
        .accounts
        .create(h.account("äNNA", Role::User), false)
        .await
        .unwrap();
    assert_eq!(again, CreateOutcome::NameTaken);
    assert_eq!(user(h, anna.id).await, anna);
    let names = ["σας", "ΣΑΣ", "σασ", "Σας", "ｂｅｎ", "beN"];
    let outcomes =
        join_all(names.map(|name| h.stores.accounts.create(h.account(name, Role::User), false))).await;
    let created = outcomes
        .iter()
        .filter(|outcome| *outcome.as_ref().unwrap() == CreateOutcome::Created);
    assert_eq!(created.count(), 2);
    let typed = "σΑσ".parse().unwrap();
    let found = h.stores.accounts.by_name(&typed).await.unwrap();
    assert!(found.is_some());
    assert_eq!(
        h.stores
            .accounts
            .list(PageNumber::EVERYTHING)
            .await
            .unwrap()
            .total,
        3
    );
}

/// Of several that make the first account at the same time, one does.
pub async fn only_one_account_is_the_first(h: &Harness) {
    let attempts = (0..8).map(|n| {
        let (h, account) = (h.clone(), h.account(&format!("admin-{n}"), Role::Admin));
        tokio::spawn(async move { h.stores.accounts.create(account, true).await.unwrap() })
    });
    let outcomes: Vec<_> = join_all(attempts.collect::<Vec<_>>())
        .await
        .into_iter()
        .map(Result::unwrap)
        .collect();
    let count = |wanted| outcomes.iter().filter(|outcome| **outcome == wanted).count();
    assert_eq!(
        (count(CreateOutcome::Created), count(CreateOutcome::NotFirst)),
        (1, 7)
    );
    create(h, "another", Role::User).await;
}

/// Accounts are listed by name, letter case aside, in pages.
pub async fn accounts_are_listed_by_name(h: &Harness) {
    for name in ["b", "C", "a", "D"] {
        create(h, name, Role::User).await;
    }
    let page = |number| async move {
        let listing = h
            .stores
            .accounts
            .list(PageNumber::new(number, 3).unwrap())
            .await
            .unwrap();
        let names: Vec<_> = listing
            .items
            .iter()
            .map(|user| user.username.to_string())
            .collect();
        (names.join(" "), listing.total)
    };
    assert_eq!(page(1).await, ("a b C".to_owned(), 4));
    assert_eq!(page(2).await, ("D".to_owned(), 4));
    assert_eq!(page(3).await, (String::new(), 4));
}

/// A change changes what it names and nothing else.
pub async fn a_change_changes_what_it_names(h: &Harness) {
    let before = create(h, "anna", Role::User).await;
    assert_eq!(
        update(h, before.id, AccountChange::default()).await,
        UpdateOutcome::Updated(User {
            updated_at: at(9_000),
            ..before.clone()
        })
    );
    let change = AccountChange {
        username: Some("Berta".parse().unwrap()),
        avatar_url: Some(Some(Label::new("u".into()).unwrap())),
        role: Some(Role::Admin),
        disabled: Some(true),
        password: Some(PasswordHash::new("new".into())),
        proved_by: Some(password(h, before.id).await),
        must_change_password: Some(true),
        end_logins: false,
    };
    update(h, before.id, change).await;
    let account = h.stores.accounts.by_id(before.id).await.unwrap().unwrap();
    let expected = User {
        id: before.id,
        username: "Berta".parse().unwrap(),
        avatar_url: Some(Label::new("u".into()).unwrap()),
        role: Role::Admin,
        must_change_password: true,
        disabled: true,
        created_at: before.created_at,
        updated_at: at(9_000),
    };
    assert_eq!((account.user, account.password.expose()), (expected, "new"));
    assert!(
        h.stores
            .accounts
            .by_name(&"anna".parse().unwrap())
            .await
            .unwrap()
            .is_none()
    );
    let no_picture = AccountChange {
        avatar_url: Some(None),
        ..AccountChange::default()
    };
    update(h, before.id, no_picture).await;
    assert_eq!(user(h, before.id).await.avatar_url, None);
}

/// A name that somebody else has can't be taken over; one's own may change its letter case.
pub async fn a_new_name_must_be_free(h: &Harness) {
    let (anna, ben) = (
        create(h, "anna", Role::User).await,
        create(h, "ben", Role::User).await,
    );
    let named = |name: &str| AccountChange {
        username: Some(name.parse().unwrap()),
        ..AccountChange::default()
    };
    assert_eq!(update(h, ben.id, named("ANNA")).await, UpdateOutcome::NameTaken);
    assert_eq!(user(h, ben.id).await, ben);
    assert!(matches!(
        update(h, anna.id, named("ANNA")).await,
        UpdateOutcome::Updated(_)
    ));
    assert_eq!(user(h, anna.id).await.username.as_str(), "ANNA");
}

/// The last administrator whose account is open stays one.
pub async fn the_last_administrator_stays(h: &Harness) {
    let (first, second) = (
        create(h, "first", Role::Admin).await,
        create(h, "second", Role::Admin).await,
    );
    create(h, "somebody", Role::User).await;
    assert!(matches!(
        update(h, second.id, closed(true)).await,
        UpdateOutcome::Updated(_)
    ));
    assert_eq!(
        update(h, first.id, role(Role::User)).await,
        UpdateOutcome::LastAdmin
    );
    assert_eq!(update(h, first.id, closed(true)).await, UpdateOutcome::LastAdmin);
    assert_eq!(user(h, first.id).await, first);
    assert!(matches!(
        update(h, second.id, closed(false)).await,
        UpdateOutcome::Updated(_)
    ));
    assert!(matches!(
        update(h, first.id, role(Role::User)).await,
        UpdateOutcome::Updated(_)
    ));
}

/// Of two administrators who step down at the same time, one stays.
pub async fn two_administrators_can_not_both_step_down(h: &Harness) {
    let admins = [
        create(h, "first", Role::Admin).await.id,
        create(h, "second", Role::Admin).await.id,
    ];
    let both = admins.map(|id| {
        let h = h.clone();
        tokio::spawn(async move { update(&h, id, role(Role::User)).await })
    });
    let outcomes: Vec<_> = join_all(both).await.into_iter().map(Result::unwrap).collect();
    let refused = outcomes
        .iter()
        .filter(|outcome| **outcome == UpdateOutcome::LastAdmin);
    assert_eq!(refused.count(), 1, "{outcomes:?}");
    let roles = [user(h, admins[0]).await.role, user(h, admins[1]).await.role];
    assert!(roles.contains(&Role::Admin));
}

/// A change that was proved by a password which is another one by now changes nothing, and ends no login.
pub async fn a_change_proved_by_an_outdated_password_changes_nothing(h: &Harness) {
    let user = create(h, "anna", Role::User).await;
    let old = password(h, user.id).await;
    let proved = |change: AccountChange, by: &str| AccountChange {
        proved_by: Some(PasswordHash::new(by.into())),
        ..change
    };
    let named = AccountChange {
        username: Some("berta".parse().unwrap()),
        ..new_password()
    };
    log_in(h, user.id, 1).await;
    assert_eq!(
        update(h, user.id, proved(named.clone(), "another")).await,
        UpdateOutcome::Outdated
    );
    let account = h.stores.accounts.by_id(user.id).await.unwrap().unwrap();
    assert_eq!((&account.user, &account.password), (&user, &old));
    assert!(matches!(rotate(h, 1, 2, 1_010).await, Rotation::Rotated(_)));
    let updated = update(h, user.id, proved(named.clone(), old.expose())).await;
    assert!(matches!(updated, UpdateOutcome::Updated(_)));
    assert_eq!(rotate(h, 2, 3, 1_020).await, Rotation::Refused);
    assert_eq!(
        update(h, user.id, proved(named.clone(), old.expose())).await,
        UpdateOutcome::Outdated
    );
    assert_eq!(password(h, user.id).await.expose(), "new");
    let nobody = UserId::new(h.new_id());
    assert_eq!(
        update(h, nobody, proved(named, "x")).await,
        UpdateOutcome::NotFound
    );
}

/// Of several changes at once that were proved by the same password one is made.
pub async fn of_changes_proved_by_one_password_one_is_made(h: &Harness) {
    for _ in 0..10 {
        let user = h.user().await;
        let old = password(h, user).await;
        let changes = (0..4).map(|n| {
            let (h, proved_by) = (h.clone(), Some(old.clone()));
            let change = AccountChange {
                password: Some(PasswordHash::new(format!("new {n}"))),
                proved_by,
                ..AccountChange::default()
            };
            tokio::spawn(async move { update(&h, user, change).await })
        });
        let outcomes: Vec<_> = join_all(changes.collect::<Vec<_>>())
            .await
            .into_iter()
            .map(Result::unwrap)
            .collect();
        let outdated = outcomes
            .iter()
            .filter(|outcome| **outcome == UpdateOutcome::Outdated);
        assert_eq!(outdated.count(), 3, "{outcomes:?}");
        let made = outcomes
            .iter()
            .position(|outcome| matches!(outcome, UpdateOutcome::Updated(_)));
        let expected = format!("new {}", made.unwrap());
        assert_eq!(password(h, user).await.expose(), expected);
    }
}

fn hash(n: u8) -> TokenHash {
    TokenHash([n; 32])
}

fn token(n: u8, issued_at: i64) -> NewRefreshToken {
    NewRefreshToken {
        hash: hash(n),
        issued_at: at(issued_at),
        expires_at: at(issued_at + 100),
    }
}

/// Token `n` as the first one of a family, at 1,000.
fn first_token(h: &Harness, user: UserId, n: u8) -> StoredRefreshToken {
    StoredRefreshToken {
        token: token(n, 1_000),
        user,
        family: FamilyId::new(h.new_id()),
        client: Some(by("phone")),
        device_name: Some(Label::new("Anna's phone".into()).unwrap()),
    }
}

async fn password(h: &Harness, id: UserId) -> PasswordHash {
    h.stores.accounts.by_id(id).await.unwrap().unwrap().password
}

async fn issue(h: &Harness, stored: StoredRefreshToken, proved_by: PasswordHash) -> IssueOutcome {
    h.stores.tokens.issue(stored, proved_by).await.unwrap()
}

async fn assert_issued(h: &Harness, stored: StoredRefreshToken) {
    let account = h.stores.accounts.by_id(stored.user).await.unwrap().unwrap();
    let outcome = issue(h, stored, account.password).await;
    assert_eq!(outcome, IssueOutcome::Issued(account.user));
}

fn new_password() -> AccountChange {
    AccountChange {
        password: Some(PasswordHash::new("new".into())),
        end_logins: true,
        ..AccountChange::default()
    }
}

async fn log_in(h: &Harness, user: UserId, n: u8) -> StoredRefreshToken {
    let stored = first_token(h, user, n);
    assert_issued(h, stored.clone()).await;
    stored
}

async fn rotate(h: &Harness, spent: u8, next: u8, now: i64) -> Rotation {
    h.stores
        .tokens
        .rotate(hash(spent), token(next, now))
        .await
        .unwrap()
}

fn reused(first: &StoredRefreshToken) -> Rotation {
    Rotation::Reused {
        user: first.user,
        family: first.family,
    }
}

/// A token is spent for the next one, which has the same user, family and device.
pub async fn a_token_is_spent_for_the_next_one(h: &Harness) {
    let first = log_in(h, h.user().await, 1).await;
    let next = |n, now| {
        Rotation::Rotated(StoredRefreshToken {
            token: token(n, now),
            ..first.clone()
        })
    };
    assert_eq!(rotate(h, 1, 2, 1_010).await, next(2, 1_010));
    assert_eq!(rotate(h, 2, 3, 1_020).await, next(3, 1_020));
    assert_eq!(rotate(h, 99, 4, 1_030).await, Rotation::Refused);
}

/// A login may name no device.
pub async fn a_token_may_belong_to_no_device(h: &Harness) {
    let stored = StoredRefreshToken {
        token: token(1, 1_000),
        user: h.user().await,
        family: FamilyId::new(h.new_id()),
        client: None,
        device_name: None,
    };
    assert_issued(h, stored.clone()).await;
    let Rotation::Rotated(next) = rotate(h, 1, 2, 1_010).await else {
        panic!("it was good")
    };
    assert_eq!((next.client, next.device_name), (None, None));
}

/// A token that is spent twice ends its family, and no other.
pub async fn a_token_that_is_used_again_ends_its_family(h: &Harness) {
    let user = h.user().await;
    let (stolen, other) = (log_in(h, user, 1).await, log_in(h, user, 11).await);
    assert!(matches!(rotate(h, 1, 2, 1_010).await, Rotation::Rotated(_)));
    assert_eq!(rotate(h, 1, 3, 1_020).await, reused(&stolen));
    assert_eq!(rotate(h, 2, 4, 1_030).await, Rotation::Refused);
    assert_eq!(rotate(h, 3, 5, 1_030).await, Rotation::Refused);
    let Rotation::Rotated(next) = rotate(h, 11, 12, 1_030).await else {
        panic!("the other login goes on")
    };
    assert_eq!(next.family, other.family);
}

/// Of two that spend one token at the same time, one has a copy: the family ends.
pub async fn two_that_spend_one_token_at_once_end_its_family(h: &Harness) {
    let user = h.user().await;
    for round in 0..10 {
        let (spent, next) = (round * 10 + 1, [round * 10 + 2, round * 10 + 3]);
        let first = log_in(h, user, spent).await;
        let both = next.map(|next| {
            let h = h.clone();
            tokio::spawn(async move { rotate(&h, spent, next, 1_010).await })
        });
        let outcomes: Vec<_> = join_all(both).await.into_iter().map(Result::unwrap).collect();
        let rotated = outcomes
            .iter()
            .filter(|outcome| matches!(outcome, Rotation::Rotated(_)));
        assert_eq!(rotated.count(), 1, "{outcomes:?}");
        assert!(outcomes.contains(&reused(&first)));
        for next in next {
            assert_eq!(rotate(h, next, round * 10 + 4, 1_020).await, Rotation::Refused);
        }
    }
}

/// A token works until the moment it expires.
pub async fn a_token_expires(h: &Harness) {
    let user = h.user().await;
    log_in(h, user, 1).await;
    log_in(h, user, 11).await;
    assert_eq!(rotate(h, 1, 2, 1_100).await, Rotation::Refused);
    assert!(matches!(rotate(h, 11, 12, 1_099).await, Rotation::Rotated(_)));
}

/// A closed account's tokens don't work.
pub async fn a_closed_account_s_tokens_are_refused(h: &Harness) {
    let user = h.user().await;
    log_in(h, user, 1).await;
    update(h, user, closed(true)).await;
    assert_eq!(rotate(h, 1, 2, 1_010).await, Rotation::Refused);
    assert_eq!(rotate(h, 2, 3, 1_010).await, Rotation::Refused);
}

/// Logging out ends the family of the token, whichever of its tokens is named.
pub async fn logging_out_ends_a_family(h: &Harness) {
    let user = h.user().await;
    let (first, _other) = (log_in(h, user, 1).await, log_in(h, user, 11).await);
    rotate(h, 1, 2, 1_010).await;
    let ended = h.stores.tokens.end_family(hash(2)).await.unwrap();
    assert_eq!(ended, Some((user, first.family)));
    assert_eq!(rotate(h, 2, 3, 1_020).await, Rotation::Refused);
    assert!(matches!(rotate(h, 11, 12, 1_020).await, Rotation::Rotated(_)));
    assert_eq!(h.stores.tokens.end_family(hash(99)).await.unwrap(), None);
}

/// A change that ends logins ends all of that account's, and nobody else's.
pub async fn a_change_can_end_every_login(h: &Harness) {
    let (anna, ben) = (h.user().await, h.user().await);
    for n in [1, 2] {
        log_in(h, anna, n).await;
    }
    log_in(h, ben, 3).await;
    update(h, anna, new_password()).await;
    assert_eq!(rotate(h, 1, 11, 1_010).await, Rotation::Refused);
    assert_eq!(rotate(h, 2, 12, 1_010).await, Rotation::Refused);
    assert!(matches!(rotate(h, 3, 13, 1_010).await, Rotation::Rotated(_)));
}

/// A login that was proved by a password which has been changed since is none.
pub async fn a_token_is_not_issued_for_an_outdated_password(h: &Harness) {
    let user = h.user().await;
    let old = password(h, user).await;
    update(h, user, new_password()).await;
    let outcome = issue(h, first_token(h, user, 1), old).await;
    assert_eq!(outcome, IssueOutcome::Outdated);
    assert_eq!(rotate(h, 1, 2, 1_010).await, Rotation::Refused);
    log_in(h, user, 3).await;
    assert!(matches!(rotate(h, 3, 4, 1_010).await, Rotation::Rotated(_)));
    let nobody = first_token(h, UserId::new(h.new_id()), 5);
    let outcome = issue(h, nobody, password(h, user).await).await;
    assert_eq!(outcome, IssueOutcome::Outdated);
}

/// A closed account gets no token, also none for when it is opened again; that it is closed is said only of the right
/// password.
pub async fn a_token_is_not_issued_for_a_closed_account(h: &Harness) {
    let user = h.user().await;
    let known = password(h, user).await;
    update(h, user, closed(true)).await;
    let outcome = issue(h, first_token(h, user, 1), known).await;
    assert_eq!(outcome, IssueOutcome::Closed);
    let outcome = issue(h, first_token(h, user, 2), PasswordHash::new("other".into())).await;
    assert_eq!(outcome, IssueOutcome::Outdated);
    update(h, user, closed(false)).await;
    for n in [1, 2] {
        assert_eq!(rotate(h, n, 3, 1_010).await, Rotation::Refused);
    }
}

/// Of a login and a new password at the same time, the login comes first and ends, or comes too late.
pub async fn a_login_does_not_outlive_a_new_password(h: &Harness) {
    for n in 0..20 {
        let user = h.user().await;
        let old = password(h, user).await;
        let first = first_token(h, user, n);
        let login = tokio::spawn({
            let h = h.clone();
            async move { issue(&h, first, old).await }
        });
        let change = tokio::spawn({
            let h = h.clone();
            async move { update(&h, user, new_password()).await }
        });
        login.await.unwrap();
        assert!(matches!(change.await.unwrap(), UpdateOutcome::Updated(_)));
        assert_eq!(rotate(h, n, 100 + n, 1_010).await, Rotation::Refused);
    }
}
