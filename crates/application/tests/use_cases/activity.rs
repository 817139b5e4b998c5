//! What is noted of what happens to accounts, over the embedded store.

use std::sync::Arc;

use futures_util::{TryStreamExt as _, poll};
use mosaic_application::AppError;
use mosaic_application::accounts::{
    AccountPatch, AccountPorts, AccountRequest, Accounts, Login, LoginRequest, Registration,
};
use mosaic_application::activity::Trail;
use mosaic_application::devices::Devices;
use mosaic_application::export::Export;
use mosaic_application::history::History;
use mosaic_application::sessions::{Caller, Sessions};
use mosaic_domain::account::{ActingLogin, Password, PasswordHash, Role, User};
use mosaic_domain::activity::{ActivityKind, ActivityQuery, Doer, Note, Origin, SERVER};
use mosaic_domain::{FamilyId, UserId};
use mosaic_ports::{
    ActivityLog, MockAccessTokens, MockActivityLog, MockPasswordHasher, MockRandomness, StoreError,
};
use mosaic_testkit::{Harness, by};
use uuid::Uuid;

use crate::support::harness;

fn accounts_over(h: &Harness, activity: Arc<dyn ActivityLog>) -> Accounts {
    let mut passwords = MockPasswordHasher::new();
    let hash_of = |given: Password| PasswordHash::new(format!("hash of {}", given.expose()));
    passwords.expect_hash().returning(move |given| Ok(hash_of(given)));
    passwords
        .expect_verify()
        .returning(move |given, hash| Ok(hash == Some(hash_of(given))));
    let (mut tokens, mut randomness) = (MockAccessTokens::new(), MockRandomness::new());
    tokens.expect_sign().returning(|_| Ok("signed".into()));
    let mut secrets = 0;
    randomness.expect_secret().returning(move || {
        secrets += 1;
        [secrets; 32]
    });
    let logins = h.stores.tokens.clone();
    let sessions = Sessions::new(Arc::new(tokens), logins.clone(), h.clock.clone(), 1_000);
    let ports = AccountPorts {
        accounts: h.stores.accounts.clone(),
        refresh_tokens: logins,
        invites: h.stores.invites.clone(),
        activity,
        passwords: Arc::new(passwords),
        clock: h.clock.clone(),
        ids: h.ids.clone(),
        randomness: Arc::new(randomness),
    };
    Accounts::new(ports, sessions, Registration::Open, 1_000)
}

fn accounts(h: &Harness) -> Accounts {
    accounts_over(h, h.stores.activity.clone())
}

fn trail(h: &Harness) -> Trail {
    Trail::new(h.stores.activity.clone(), h.clock.clone(), h.ids.clone())
}

fn phone() -> Origin {
    Origin {
        address: Some("198.51.100.7".parse().unwrap()),
        client: Some(by("phone")),
        agent: Note::of("Mosaic/1.0"),
    }
}

fn password(text: &str) -> Password {
    Password::given(text.to_owned()).unwrap()
}

async fn made(accounts: &Accounts, name: &str, role: Role) -> User {
    let request = AccountRequest {
        username: name.parse().unwrap(),
        password: password("secret"),
        role,
        must_change_password: false,
    };
    accounts.create(request, None).await.unwrap()
}

async fn log_in(accounts: &Accounts, name: &str, given: &str) -> Result<Login, AppError> {
    let request = LoginRequest {
        username: name.to_owned(),
        password: password(given),
        client: Some(by("phone")),
        device_name: None,
    };
    accounts.login(request).await
}

/// What is in a trail, the oldest first: kind, who did it, what else.
async fn noted(h: &Harness, user: UserId) -> Vec<(ActivityKind, Doer, Option<String>)> {
    let all = ActivityQuery::newest(100);
    let mut events = h.stores.activity.trail(user, all).await.unwrap();
    events.reverse();
    let said = |note: Note| note.as_str().to_owned();
    let shown = events
        .into_iter()
        .map(|event| (event.kind, event.by, event.detail.map(said)));
    shown.collect()
}

fn caller(user: UserId) -> Caller {
    Caller {
        user,
        role: Role::User,
        family: FamilyId::new(Uuid::nil()),
        client: None,
    }
}

#[tokio::test]
async fn logins_and_passwords_are_noted_with_where_they_come_from() {
    use ActivityKind::{AccountCreated, LoggedIn, LoggedOut, LoginFailed, PasswordChanged};
    let h = harness().await;
    let accounts = accounts(&h);
    let anna = made(&accounts, "anna", Role::User).await.id;
    let from_phone = accounts.asked_from(phone());
    let login = log_in(&from_phone, "Anna", "secret").await.unwrap();
    log_in(&from_phone, "anna", "wrong").await.unwrap_err();
    let (wrong, new) = (password("wrong"), password("another one"));
    let changed = from_phone
        .change_password(&caller(anna), wrong, new.clone())
        .await;
    assert!(matches!(changed, Err(AppError::WrongPassword)), "{changed:?}");
    accounts.logout(&login.tokens.refresh).await.unwrap();
    let changed = from_phone
        .change_password(&caller(anna), password("secret"), new)
        .await;
    changed.unwrap();
    let own = Doer::User(anna);
    let detail = |text: &str| Some(text.to_owned());
    assert_eq!(
        noted(&h, anna).await,
        [
            (AccountCreated, Doer::CommandLine, detail("user")),
            (LoggedIn, own, None),
            (LoginFailed, Doer::Stranger, None),
            (LoginFailed, own, detail("the old password, at a change of it")),
            (LoggedOut, own, None),
            (PasswordChanged, own, None),
        ]
    );
    let failed = ActivityQuery {
        kind: Some(LoginFailed),
        ..ActivityQuery::newest(1)
    };
    let page = trail(&h).page(anna, failed).await.unwrap();
    assert_eq!(page.items[0].origin, phone());
    assert_eq!(page.next_before, Some(page.items[0].id), "there is an older one");
    let both = ActivityQuery { limit: 2, ..failed };
    let page = trail(&h).page(anna, both).await.unwrap();
    assert_eq!((page.items.len(), page.next_before), (2, None));
}

/// Else the time that it takes would say whether there is such an account.
#[tokio::test]
async fn a_login_of_nobody_is_noted_as_well() {
    let h = harness().await;
    for name in ["nobody", "no name"] {
        log_in(&accounts(&h), name, "secret").await.unwrap_err();
    }
    let failed = (ActivityKind::LoginFailed, Doer::Stranger, None);
    assert_eq!(noted(&h, SERVER).await, [failed.clone(), failed]);
}

#[tokio::test]
async fn what_an_administrator_does_is_noted_as_theirs_and_what_stays_is_not() {
    use ActivityKind::{AccountDisabled, AccountEnabled, AccountRenamed, RoleChanged};
    let h = harness().await;
    let accounts = accounts(&h);
    let boss = made(&accounts, "boss", Role::Admin).await.id;
    let anna = made(&accounts, "anna", Role::User).await.id;
    log_in(&accounts, "boss", "secret").await.unwrap();
    let login = h
        .stores
        .dump_reader
        .dump_user(boss)
        .await
        .unwrap()
        .unwrap()
        .logins[0]
        .clone();
    let acting = Some(ActingLogin {
        user: boss,
        login: login.stored.family,
    });
    let update = async |patch| accounts.update(anna, patch, acting).await.map(drop);
    let same = AccountPatch {
        username: Some("anna".parse().unwrap()),
        role: Some(Role::User),
        disabled: Some(false),
        ..AccountPatch::default()
    };
    update(same).await.unwrap();
    for (disabled, role, name) in [(true, Role::Admin, "anne"), (false, Role::Admin, "anne")] {
        let patch = AccountPatch {
            username: Some(name.parse().unwrap()),
            role: Some(role),
            disabled: Some(disabled),
            ..AccountPatch::default()
        };
        update(patch).await.unwrap();
    }
    let taken = AccountPatch {
        username: Some("boss".parse().unwrap()),
        ..AccountPatch::default()
    };
    update(taken).await.unwrap_err();
    let boss = Doer::User(boss);
    assert_eq!(
        noted(&h, anna).await[1..],
        [
            (AccountRenamed, boss, Some("from anna".into())),
            (RoleChanged, boss, Some("admin".into())),
            (AccountDisabled, boss, None),
            (AccountEnabled, boss, None),
        ]
    );
    accounts.remove(anna, acting, || ()).await.unwrap();
    accounts.remove(anna, acting, || ()).await.unwrap_err();
    let removed = (ActivityKind::AccountRemoved, boss, Some("anne".into()));
    assert_eq!(
        (noted(&h, anna).await, noted(&h, SERVER).await),
        (vec![], vec![removed])
    );
}

#[tokio::test]
async fn devices_exports_and_a_renewed_history_are_noted() {
    let h = harness().await;
    let accounts = accounts(&h);
    let anna = made(&accounts, "anna", Role::User).await.id;
    log_in(&accounts, "anna", "secret").await.unwrap();
    let s = h.stores.clone();
    let devices = Devices::new(s.cursors, s.tokens, s.feed, s.reader, h.clock.clone(), trail(&h));
    let devices = devices.asked_from(phone());
    devices.forget(anna, &by("phone")).await.unwrap();
    devices.forget(anna, &by("phone")).await.unwrap_err();
    let export = Export::new(s.accounts, s.dump_reader, s.identity, h.clock.clone(), trail(&h));
    let export = export.asked_from(phone());
    let lines: Vec<String> = export.run(anna, Doer::User(anna)).try_collect().await.unwrap();
    assert!(!lines.is_empty());
    let own = Doer::User(anna);
    assert_eq!(
        noted(&h, anna).await[2..],
        [
            (ActivityKind::DeviceForgotten, own, Some("phone".into())),
            (ActivityKind::Exported, own, None),
        ]
    );
    let page = trail(&h).page(anna, ActivityQuery::newest(2)).await.unwrap();
    assert!(page.items.iter().all(|event| event.origin == phone()));
    let history = History::of(&h.stores, h.clock.clone(), h.ids.clone());
    history.renew().await.unwrap();
    history.restored().await.unwrap();
    let by_hand = |kind| (kind, Doer::CommandLine, None);
    assert_eq!(
        noted(&h, SERVER).await,
        [ActivityKind::EpochRenewed, ActivityKind::Restored].map(by_hand)
    );
}

#[tokio::test]
async fn an_event_that_can_not_be_kept_fails_nothing() {
    let h = harness().await;
    let mut log = MockActivityLog::new();
    log.expect_keep()
        .times(2)
        .returning(|_| Err(StoreError::Unavailable("the disk is full".into())));
    let accounts = accounts_over(&h, Arc::new(log));
    made(&accounts, "anna", Role::User).await;
    log_in(&accounts, "anna", "secret").await.unwrap();
}

/// Else nobody would know who closed an account and hung up before the answer.
#[tokio::test]
async fn what_is_begun_is_done_and_noted_whoever_hangs_up() {
    let h = harness().await;
    let accounts = accounts(&h);
    let anna = made(&accounts, "anna", Role::User).await.id;
    let patch = AccountPatch {
        disabled: Some(true),
        ..AccountPatch::default()
    };
    let mut change = Box::pin(accounts.update(anna, patch, None));
    assert!(poll!(&mut change).is_pending());
    drop(change);
    let closed = (ActivityKind::AccountDisabled, Doer::CommandLine, None);
    for _ in 0..10_000 {
        if noted(&h, anna).await.last() == Some(&closed) {
            return;
        }
        tokio::task::yield_now().await;
    }
    panic!("what was begun came to no end");
}

#[tokio::test]
async fn the_newest_of_many_trails_are_found() {
    let h = harness().await;
    let accounts = accounts(&h);
    let mut users = vec![SERVER];
    for name in ["anna", "ben", "cleo"] {
        users.push(made(&accounts, name, Role::User).await.id);
    }
    log_in(&accounts, "anna", "wrong").await.unwrap_err();
    log_in(&accounts, "nobody", "wrong").await.unwrap_err();
    let mut told = 0;
    let trail = trail(&h);
    let newest = trail.newest_of(&users, ActivityQuery::newest(3), || told += 1);
    let newest = newest.await.unwrap();
    let of = newest.iter().map(|event| event.user).collect::<Vec<_>>();
    assert_eq!((of, told), (vec![SERVER, users[1], users[3]], 4));
}
