//! Accounts.

use futures_util::future::join_all;
use mosaic_domain::account::{
    AccountChange, ActingLogin, CreateOutcome, PasswordHash, RemoveOutcome, Role, UpdateOutcome, User,
};
use mosaic_domain::login::{LoginRefusal, Rotation};
use mosaic_domain::query::PageNumber;
use mosaic_domain::text::Label;
use mosaic_domain::{Quota, UserId};

use crate::{Harness, at, memo, memo_key, put};

pub(super) async fn create(h: &Harness, name: &str, role: Role) -> User {
    let account = h.account(name, role);
    let user = account.user.clone();
    assert_eq!(
        h.stores.accounts.create(account, false, None).await.unwrap(),
        CreateOutcome::Created
    );
    user
}

pub(super) async fn update(h: &Harness, id: UserId, change: AccountChange) -> UpdateOutcome {
    h.stores
        .accounts
        .update(id, change, at(9_000), None)
        .await
        .unwrap()
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

pub(super) fn closed(disabled: bool) -> AccountChange {
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
    account.user.quota = Quota::Bytes(50 << 30);
    account.user.time_zone = Some("Asia/Shanghai".parse().unwrap());
    account.user.updated_at = at(account.user.created_at.get() + 5);
    let id = account.user.id;
    h.stores
        .accounts
        .create(account.clone(), true, None)
        .await
        .unwrap();
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
        .create(h.account("äNNA", Role::User), false, None)
        .await
        .unwrap();
    assert_eq!(again, CreateOutcome::NameTaken);
    assert_eq!(user(h, anna.id).await, anna);
    let names = ["σας", "ΣΑΣ", "σασ", "Σας", "ｂｅｎ", "beN"];
    let outcomes =
        join_all(names.map(|name| h.stores.accounts.create(h.account(name, Role::User), false, None))).await;
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
        tokio::spawn(async move { h.stores.accounts.create(account, true, None).await.unwrap() })
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
        UpdateOutcome::Updated {
            user: User {
                updated_at: at(9_000),
                ..before.clone()
            },
            before: Box::new(before.clone()),
        }
    );
    let change = AccountChange {
        username: Some("Berta".parse().unwrap()),
        avatar_url: Some(Some(Label::new("u".into()).unwrap())),
        role: Some(Role::Admin),
        disabled: Some(true),
        password: Some(PasswordHash::new("new".into())),
        expected_password_hash: Some(password(h, before.id).await),
        must_change_password: Some(true),
        quota: Some(Quota::Bytes(7)),
        time_zone: Some(Some("Asia/Shanghai".parse().unwrap())),
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
        quota: Quota::Bytes(7),
        time_zone: Some("Asia/Shanghai".parse().unwrap()),
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
    let neither = AccountChange {
        avatar_url: Some(None),
        time_zone: Some(None),
        ..AccountChange::default()
    };
    update(h, before.id, neither).await;
    let after = user(h, before.id).await;
    assert_eq!((after.avatar_url, after.time_zone), (None, None));
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
        UpdateOutcome::Updated { .. }
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
        UpdateOutcome::Updated { .. }
    ));
    assert_eq!(
        update(h, first.id, role(Role::User)).await,
        UpdateOutcome::LastAdmin
    );
    assert_eq!(update(h, first.id, closed(true)).await, UpdateOutcome::LastAdmin);
    assert_eq!(user(h, first.id).await, first);
    assert!(matches!(
        update(h, second.id, closed(false)).await,
        UpdateOutcome::Updated { .. }
    ));
    assert!(matches!(
        update(h, first.id, role(Role::User)).await,
        UpdateOutcome::Updated { .. }
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
        expected_password_hash: Some(PasswordHash::new(by.into())),
        ..change
    };
    let named = AccountChange {
        username: Some("berta".parse().unwrap()),
        ..new_password()
    };
    h.log_in(user.id, 1).await;
    assert_eq!(
        update(h, user.id, proved(named.clone(), "another")).await,
        UpdateOutcome::StaleCredential
    );
    let account = h.stores.accounts.by_id(user.id).await.unwrap().unwrap();
    assert_eq!((&account.user, &account.password), (&user, &old));
    assert!(matches!(h.rotate(1, 2, 1_010).await, Rotation::Rotated(_)));
    let updated = update(h, user.id, proved(named.clone(), old.expose())).await;
    assert!(matches!(updated, UpdateOutcome::Updated { .. }));
    assert_eq!(h.rotate(2, 3, 1_020).await, Rotation::Refused);
    assert_eq!(
        update(h, user.id, proved(named.clone(), old.expose())).await,
        UpdateOutcome::StaleCredential
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
            let (h, expected_password_hash) = (h.clone(), Some(old.clone()));
            let change = AccountChange {
                password: Some(PasswordHash::new(format!("new {n}"))),
                expected_password_hash,
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
            .filter(|outcome| **outcome == UpdateOutcome::StaleCredential);
        assert_eq!(outdated.count(), 3, "{outcomes:?}");
        let made = outcomes
            .iter()
            .position(|outcome| matches!(outcome, UpdateOutcome::Updated { .. }));
        let expected = format!("new {}", made.unwrap());
        assert_eq!(password(h, user).await.expose(), expected);
    }
}

pub(super) async fn password(h: &Harness, id: UserId) -> PasswordHash {
    h.stores.accounts.by_id(id).await.unwrap().unwrap().password
}

pub(super) fn new_password() -> AccountChange {
    AccountChange {
        password: Some(PasswordHash::new("new".into())),
        end_logins: true,
        ..AccountChange::default()
    }
}

/// Accounts are made, changed and removed for a login that goes on, and for no other: it is looked at where the change is decided.
pub async fn l1_a_login_that_ended_changes_no_account(h: &Harness) {
    let root = create(h, "root", Role::Admin).await.id;
    create(h, "spare", Role::Admin).await;
    let anna = create(h, "anna", Role::User).await.id;
    let login = h.log_in(root, 1).await.family;
    let acting = |user| Some(ActingLogin { user, login });
    let accounts = &h.stores.accounts;
    let made = accounts.create(h.account("ben", Role::User), false, acting(root));
    assert_eq!(made.await.unwrap(), CreateOutcome::Created);
    let changed = accounts
        .update(anna, closed(false), at(9_000), acting(root))
        .await;
    assert!(matches!(changed.unwrap(), UpdateOutcome::Updated { .. }));
    let refuses = async |by| {
        let ended = LoginRefusal::Ended;
        let made = accounts.create(h.account("carl", Role::User), false, by).await;
        assert_eq!(made.unwrap(), CreateOutcome::Refused(ended));
        let changed = accounts.update(anna, closed(true), at(9_000), by).await;
        assert_eq!(changed.unwrap(), UpdateOutcome::Refused(ended));
        let removed = accounts.remove(anna, 100, by).await;
        assert_eq!(removed.unwrap(), RemoveOutcome::Refused(ended));
        assert!(!user(h, anna).await.disabled);
        let carl = "carl".parse().unwrap();
        assert_eq!(accounts.by_name(&carl).await.unwrap(), None);
    };
    // A login is its user's alone.
    refuses(acting(anna)).await;
    h.stores.tokens.end_family(h.presented(1)).await.unwrap();
    refuses(acting(root)).await;
    // Whoever removes their own account has no login from the first step on.
    let login = h.log_in(root, 2).await.family;
    let own = Some(ActingLogin { user: root, login });
    h.write(root, [1, 2, 3].map(|n| put(memo_key(n), memo("x"))))
        .await;
    while accounts.remove(root, 1, own).await.unwrap() == RemoveOutcome::Removing {}
    assert_eq!(accounts.by_id(root).await.unwrap(), None);
}
