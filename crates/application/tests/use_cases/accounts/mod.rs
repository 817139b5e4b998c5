//! Logins and accounts over mocked ports.

mod administration;
mod profile;

use std::sync::{Arc, Mutex};

use mosaic_application::AppError;
use mosaic_application::accounts::{
    AccountPatch, AccountPorts, Accounts, FirstStart, LoginRequest, Registration, refresh_key,
};
use mosaic_application::error::Unauthenticated;
use mosaic_application::sessions::{Caller, Sessions};
use mosaic_domain::account::{
    Account, AccountChange, ActingLogin, CreateOutcome, Password, PasswordHash, RemoveOutcome, Role,
    UpdateOutcome, User,
};
use mosaic_domain::login::{IssueOutcome, LoginRefusal, NewRefreshToken, Rotation, StoredRefreshToken};
use mosaic_domain::query::Listing;
use mosaic_domain::{FamilyId, UnixMillis, UserId};
use mosaic_ports::{
    AccessClaims, AccessTokenError, AccessTokens, BoxError, DeviceLogin, MockAccountStore, MockActivityLog,
    MockClock, MockIdGenerator, MockInviteStore, MockPasswordHasher, MockRandomness, MockRefreshTokens,
    TicketClaims,
};
use uuid::Uuid;

const NOW: i64 = 1_715_000_000_000;
const USER: UserId = UserId::new(Uuid::from_u128(1));

/// A change that leaves everything as it was, but for what is said.
fn updated(after: User) -> UpdateOutcome {
    UpdateOutcome::Updated {
        user: after,
        before: Box::new(user()),
    }
}

fn user() -> User {
    User {
        id: USER,
        username: "anna".parse().unwrap(),
        avatar_url: None,
        role: Role::User,
        must_change_password: false,
        disabled: false,
        quota: mosaic_domain::Quota::Default,
        time_zone: None,
        created_at: UnixMillis::clamped(1),
        updated_at: UnixMillis::clamped(1),
    }
}

fn account(user: User) -> Account {
    Account {
        user,
        password: PasswordHash::new("hash of secret".into()),
    }
}

/// Tokens whose text is the login's family and the time of issue: enough to see who is who.
struct PlainTokens;

impl AccessTokens for PlainTokens {
    fn sign(&self, claims: &AccessClaims) -> Result<String, BoxError> {
        Ok(format!("{} {} {}", claims.user, claims.family, claims.issued_at))
    }

    fn verify(&self, token: &str, _: UnixMillis) -> Result<AccessClaims, AccessTokenError> {
        let mut parts = token.split(' ');
        let mut next = || parts.next().ok_or(AccessTokenError::Invalid);
        let user = next()?.parse().map_err(|_| AccessTokenError::Invalid)?;
        let family: FamilyId = next()?.parse().map_err(|_| AccessTokenError::Invalid)?;
        let issued_at = UnixMillis::clamped(next()?.parse().map_err(|_| AccessTokenError::Invalid)?);
        Ok(AccessClaims {
            user,
            role: Role::User,
            family,
            client: None,
            issued_at,
            expires_at: issued_at.plus(1),
        })
    }

    fn sign_ticket(&self, _: &TicketClaims) -> Result<String, BoxError> {
        Err("no tickets here".into())
    }

    fn verify_ticket(&self, _: &str, _: UnixMillis) -> Result<TicketClaims, AccessTokenError> {
        Err(AccessTokenError::Invalid)
    }
}

struct Ports {
    accounts: MockAccountStore,
    refresh: MockRefreshTokens,
    registration: Registration,
}

impl Ports {
    fn new() -> Self {
        Self {
            accounts: MockAccountStore::new(),
            refresh: MockRefreshTokens::new(),
            registration: Registration::Closed,
        }
    }

    fn build(mut self) -> (Accounts, Sessions) {
        // What an account was before it is changed or removed, unless a test says otherwise.
        self.accounts.expect_by_id().returning(|_| Ok(None));
        let mut clock = MockClock::new();
        clock.expect_now().returning(|| UnixMillis::clamped(NOW));
        let clock = Arc::new(clock);
        let mut ids = MockIdGenerator::new();
        let mut next_id = 100;
        ids.expect_next().returning(move || {
            next_id += 1;
            Uuid::from_u128(next_id)
        });
        let mut randomness = MockRandomness::new();
        let mut next_secret = 0;
        randomness.expect_secret().returning(move || {
            next_secret += 1;
            [next_secret; 32]
        });
        let mut passwords = MockPasswordHasher::new();
        passwords.expect_verify().returning(|given, hash| {
            Ok(hash.is_some_and(|hash| hash.expose() == format!("hash of {}", given.expose())))
        });
        passwords
            .expect_hash()
            .returning(|given| Ok(PasswordHash::new(format!("hash of {}", given.expose()))));
        let mut activity = MockActivityLog::new();
        activity.expect_keep().returning(|_| Ok(()));
        let refresh = Arc::new(self.refresh);
        let sessions = Sessions::new(Arc::new(PlainTokens), refresh.clone(), clock.clone(), 3_600_000);
        let ports = AccountPorts {
            accounts: Arc::new(self.accounts),
            refresh_tokens: refresh,
            invites: Arc::new(MockInviteStore::new()),
            activity: Arc::new(activity),
            passwords: Arc::new(passwords),
            clock,
            ids: Arc::new(ids),
            randomness: Arc::new(randomness),
        };
        (
            Accounts::new(ports, sessions.clone(), self.registration, 1_000),
            sessions,
        )
    }
}

fn login(password: &str) -> LoginRequest {
    let password = Password::given(password.into()).unwrap();
    LoginRequest {
        username: "Anna".into(),
        password,
        client: None,
        device_name: None,
    }
}

#[tokio::test]
async fn a_login_keeps_only_the_hash_of_its_refresh_token() {
    let mut ports = Ports::new();
    ports
        .accounts
        .expect_by_name()
        .returning(|_| Ok(Some(account(user()))));
    ports
        .refresh
        .expect_issue()
        .once()
        .withf(|stored, expected| {
            stored.user == USER
                && expected.expose() == "hash of secret"
                && stored.token.hash.0 != [1; 32]
                && stored.token.expires_at.get() == NOW + 1_000
        })
        .returning(|_, _| Ok(IssueOutcome::Issued(user())));
    let login = ports.build().0.login(login("secret")).await.unwrap();
    assert_eq!(login.user, user());
    assert_eq!(login.tokens.refresh, "01".repeat(32) + &"02".repeat(32));
    let key = "01".repeat(32);
    assert_eq!(refresh_key(&login.tokens.refresh), Some(key.as_str()));
    assert_eq!(refresh_key(&key), None, "one of a version before");
}

/// As much is asked for a name that does not exist: else it would take less time.
#[tokio::test]
async fn whether_a_device_has_a_login_is_asked_of_everybody() {
    for (name, found, device, expected) in [
        ("anna", true, "phone", true),
        ("anna", true, "tablet", false),
        ("ben", false, "phone", false),
        ("no name", false, "phone", false),
    ] {
        let mut ports = Ports::new();
        ports
            .accounts
            .expect_by_name()
            .returning(move |_| Ok(found.then(|| account(user()))));
        ports.refresh.expect_logins().once().returning(move |id, now| {
            assert_eq!((id == USER, now.get()), (found, NOW));
            let client = "phone".parse().unwrap();
            let login = DeviceLogin {
                client,
                device_name: None,
                issued_at: now,
            };
            Ok(Vec::from_iter(found.then_some(login)))
        });
        let accounts = ports.build().0;
        let has = accounts.has_login(name, &device.parse().unwrap()).await.unwrap();
        assert_eq!(has, expected, "{name} {device}");
    }
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_name_answer_alike() {
    for found in [Some(account(user())), None] {
        let mut ports = Ports::new();
        ports
            .accounts
            .expect_by_name()
            .returning(move |_| Ok(found.clone()));
        let refused = ports.build().0.login(login("wrong")).await;
        assert!(
            matches!(
                refused,
                Err(AppError::Unauthenticated(Unauthenticated::BadCredentials))
            ),
            "{refused:?}"
        );
    }
}

#[tokio::test]
async fn a_closed_account_is_said_to_be_closed_only_to_who_knows_its_password() {
    let closed = || {
        account(User {
            disabled: true,
            ..user()
        })
    };
    for (password, expected) in [
        ("secret", Unauthenticated::AccountDisabled),
        ("wrong", Unauthenticated::BadCredentials),
    ] {
        let mut ports = Ports::new();
        ports
            .accounts
            .expect_by_name()
            .returning(move |_| Ok(Some(closed())));
        let refused = ports.build().0.login(login(password)).await;
        assert!(
            matches!(refused, Err(AppError::Unauthenticated(why)) if why == expected),
            "{refused:?}"
        );
    }
}

#[tokio::test]
async fn a_password_that_changes_while_it_is_proved_begins_no_login() {
    for (outcome, expected) in [
        (IssueOutcome::StaleCredential, Unauthenticated::BadCredentials),
        (IssueOutcome::Closed, Unauthenticated::AccountDisabled),
    ] {
        let mut ports = Ports::new();
        ports
            .accounts
            .expect_by_name()
            .returning(|_| Ok(Some(account(user()))));
        ports
            .refresh
            .expect_issue()
            .returning(move |_, _| Ok(outcome.clone()));
        let refused = ports.build().0.login(login("secret")).await;
        assert!(
            matches!(refused, Err(AppError::Unauthenticated(why)) if why == expected),
            "{refused:?}"
        );
    }
}

#[tokio::test]
async fn a_token_that_is_spent_again_answers_the_same_as_the_first_time() {
    let kept = Arc::new(Mutex::new(None::<NewRefreshToken>));
    let mut ports = Ports::new();
    ports
        .accounts
        .expect_by_id()
        .returning(|_| Ok(Some(account(user()))));
    let stored = Arc::clone(&kept);
    ports.refresh.expect_rotate().returning(move |_, next, grace_ms| {
        assert_eq!(grace_ms, 60_000);
        let mut kept = stored.lock().unwrap();
        let is_first = kept.is_none();
        let login = StoredRefreshToken {
            token: kept.get_or_insert(next).clone(),
            user: USER,
            family: FamilyId::new(Uuid::from_u128(5)),
            client: None,
            device_name: None,
        };
        Ok(if is_first {
            Rotation::Rotated(login)
        } else {
            Rotation::Again(login)
        })
    });
    let (accounts, _) = ports.build();
    for earlier in ["ab".repeat(32), "ab".repeat(64)] {
        kept.lock().unwrap().take();
        let first = accounts.refresh(&earlier).await.unwrap();
        let again = accounts.refresh(&earlier).await.unwrap();
        assert_eq!(first.refresh, again.refresh);
        assert_ne!(first.refresh, earlier);
    }
}

#[tokio::test]
async fn an_access_token_counts_while_its_login_does() {
    for (standing, is_granted, may_change_password) in [
        (Ok(()), true, true),
        (Err(LoginRefusal::PasswordChangeRequired), false, true),
        (Err(LoginRefusal::Ended), false, false),
    ] {
        let mut ports = Ports::new();
        ports
            .refresh
            .expect_standing()
            .withf(|user, login| (*user, login.uuid()) == (USER, Uuid::from_u128(5)))
            .returning(move |_, _| Ok(standing));
        let (_, sessions) = ports.build();
        let caller = sessions
            .read(&format!("{USER} {} {NOW}", Uuid::from_u128(5)))
            .unwrap()
            .caller;
        assert_eq!(sessions.check(&caller).await.is_ok(), is_granted);
        let checked = sessions.check_but_password(&caller).await;
        assert_eq!(checked.is_ok(), may_change_password);
    }
}

#[tokio::test]
async fn a_new_password_ends_other_logins_and_begins_one() {
    let mut ports = Ports::new();
    ports
        .accounts
        .expect_by_id()
        .returning(|_| Ok(Some(account(user()))));
    ports
        .accounts
        .expect_update()
        .once()
        .withf(|_, change, _, _| {
            let new = PasswordHash::new("hash of new secret".into());
            change.end_logins && change.must_change_password == Some(false) && change.password == Some(new)
        })
        .returning(|_, _, _, _| Ok(updated(user())));
    ports
        .refresh
        .expect_issue()
        .withf(|_, expected| expected.expose() == "hash of new secret")
        .returning(|_, _| Ok(IssueOutcome::Issued(user())));
    let (accounts, sessions) = ports.build();
    let old = format!("{USER} {} {NOW}", Uuid::from_u128(5));
    let caller = sessions.read(&old).unwrap().caller;
    let given = |text: &str| Password::given(text.into()).unwrap();
    let wrong = accounts
        .change_password(&caller, given("wrong"), given("new secret"))
        .await;
    assert!(matches!(wrong, Err(AppError::WrongPassword)), "{wrong:?}");
    let login = accounts
        .change_password(&caller, given("secret"), given("new secret"))
        .await
        .unwrap();
    let new = sessions.read(&login.tokens.access).unwrap().caller;
    assert_ne!(new.family, caller.family);
}

#[tokio::test]
async fn closing_an_account_ends_its_logins() {
    let mut ports = Ports::new();
    ports
        .accounts
        .expect_update()
        .withf(|_, change, _, _| change.end_logins)
        .returning(|_, _, _, _| {
            Ok(updated(User {
                disabled: true,
                ..user()
            }))
        });
    let (accounts, _) = ports.build();
    let patch = AccountPatch {
        disabled: Some(true),
        ..AccountPatch::default()
    };
    assert!(accounts.update(USER, patch, None).await.unwrap().disabled);
}

#[tokio::test]
async fn a_new_password_is_set_only_over_the_one_that_proved_it() {
    let mut ports = Ports::new();
    ports
        .accounts
        .expect_by_id()
        .returning(|_| Ok(Some(account(user()))));
    ports
        .accounts
        .expect_update()
        .once()
        .withf(|_, change, _, _| {
            change
                .expected_password_hash
                .as_ref()
                .is_some_and(|hash| hash.expose() == "hash of secret")
        })
        .returning(|_, _, _, _| Ok(UpdateOutcome::StaleCredential));
    let caller = Caller {
        user: USER,
        role: Role::User,
        family: FamilyId::new(Uuid::from_u128(5)),
        client: None,
    };
    let old = Password::given("secret".into()).unwrap();
    let new = Password::chosen("another secret".into()).unwrap();
    let outdated = ports.build().0.change_password(&caller, old, new).await;
    assert!(matches!(outdated, Err(AppError::WrongPassword)), "{outdated:?}");
}

#[tokio::test]
async fn a_closed_account_gets_no_new_access_token() {
    let mut ports = Ports::new();
    ports.accounts.expect_by_id().returning(|_| {
        let disabled = true;
        Ok(Some(account(User { disabled, ..user() })))
    });
    ports.refresh.expect_rotate().returning(|_, next, _| {
        Ok(Rotation::Rotated(StoredRefreshToken {
            token: next,
            user: USER,
            family: FamilyId::new(Uuid::from_u128(5)),
            client: None,
            device_name: None,
        }))
    });
    let refused = ports.build().0.refresh("token").await;
    assert!(matches!(
        refused,
        Err(AppError::Unauthenticated(Unauthenticated::InvalidRefreshToken))
    ));
}
