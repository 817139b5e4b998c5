//! What administrators do, registration, and the first start.

use mosaic_application::accounts::Newcomer;
use mosaic_domain::Quota;

use super::*;

const ACTING: ActingLogin = ActingLogin {
    user: UserId::new(Uuid::from_u128(9)),
    login: FamilyId::new(Uuid::from_u128(10)),
};

#[test]
fn administration_is_for_administrators() {
    for (role, may) in [(Role::Admin, true), (Role::User, false)] {
        let caller = Caller {
            user: USER,
            role,
            family: ACTING.login,
            client: None,
        };
        match caller.require_admin() {
            Ok(()) => assert!(may),
            Err(AppError::Forbidden) => assert!(!may),
            Err(other) => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn l1_what_is_refused_to_a_login_that_has_ended_says_so() {
    let mut ports = Ports::new();
    let ended = LoginRefusal::Ended;
    ports
        .accounts
        .expect_update()
        .returning(move |_, _, _, _| Ok(UpdateOutcome::Refused(ended)));
    ports
        .accounts
        .expect_remove()
        .returning(move |_, _, _| Ok(RemoveOutcome::Refused(ended)));
    let accounts = ports.build().0;
    let changed = accounts.update(USER, AccountPatch::default(), Some(ACTING)).await;
    let removed = accounts.remove(USER, Some(ACTING), || ()).await;
    for refused in [changed.map(drop), removed] {
        assert!(
            matches!(
                refused,
                Err(AppError::Unauthenticated(Unauthenticated::LoginEnded))
            ),
            "{refused:?}"
        );
    }
}

/// What the store is told to change of an account.
async fn changed(patch: AccountPatch) -> AccountChange {
    let seen = Arc::new(Mutex::new(None));
    let log = Arc::clone(&seen);
    let mut ports = Ports::new();
    ports.accounts.expect_update().returning(move |_, change, _, by| {
        assert_eq!(by, Some(ACTING));
        log.lock().unwrap().replace(change);
        Ok(updated(user()))
    });
    ports.build().0.update(USER, patch, Some(ACTING)).await.unwrap();
    seen.lock().unwrap().take().unwrap()
}

#[tokio::test]
async fn l1_a_closed_account_ends_the_logins_and_another_name_does_not() {
    let close = AccountPatch {
        disabled: Some(true),
        ..AccountPatch::default()
    };
    assert!(changed(close).await.end_logins);
    let name = AccountPatch {
        username: Some("ben".parse().unwrap()),
        disabled: Some(false),
        role: Some(Role::Admin),
        ..AccountPatch::default()
    };
    // Whether it is another role is known where the account is looked up.
    assert!(!changed(name).await.end_logins);
}

#[tokio::test]
async fn l3_a_password_that_somebody_else_chose_must_be_changed_unless_they_say_otherwise() {
    for (said, must_change) in [(None, true), (Some(true), true), (Some(false), false)] {
        let patch = AccountPatch {
            password: Some(Password::chosen("long enough".into()).unwrap()),
            must_change_password: said,
            ..AccountPatch::default()
        };
        let change = changed(patch).await;
        assert_eq!(change.must_change_password, Some(must_change));
        assert!(change.end_logins);
    }
    assert_eq!(changed(AccountPatch::default()).await.must_change_password, None);
}

#[tokio::test]
async fn of_an_account_is_changed_what_is_asked_for() {
    let patch = AccountPatch {
        username: Some("ben".parse().unwrap()),
        role: Some(Role::Admin),
        disabled: Some(true),
        password: Some(Password::chosen("long enough".into()).unwrap()),
        must_change_password: Some(false),
        quota: Some(Quota::Bytes(7)),
        time_zone: Some(None),
    };
    let expected = AccountChange {
        username: patch.username.clone(),
        role: patch.role,
        disabled: patch.disabled,
        password: Some(PasswordHash::new("hash of long enough".into())),
        must_change_password: patch.must_change_password,
        quota: patch.quota,
        time_zone: patch.time_zone.clone(),
        end_logins: true,
        ..AccountChange::default()
    };
    assert_eq!(changed(patch).await, expected);
}

#[tokio::test]
async fn registration_is_closed_unless_the_operator_opens_it() {
    let ben = || Newcomer {
        username: "ben".parse().unwrap(),
        password: Password::chosen("long enough".into()).unwrap(),
        client: None,
        device_name: None,
    };
    let refused = Ports::new().build().0.register(ben()).await;
    assert!(
        matches!(refused, Err(AppError::RegistrationClosed)),
        "{refused:?}"
    );

    let mut ports = Ports {
        registration: Registration::Open,
        ..Ports::new()
    };
    ports
        .accounts
        .expect_create()
        .returning(|_, _, _| Ok(CreateOutcome::NameTaken));
    let taken = ports.build().0.register(ben()).await;
    assert!(matches!(taken, Err(AppError::NameTaken)), "{taken:?}");
}

#[tokio::test]
async fn the_first_start_makes_an_administrator_with_a_password_that_is_shown_once() {
    let mut ports = Ports::new();
    ports.accounts.expect_list().returning(|_| {
        Ok(Listing {
            items: Vec::new(),
            total: 0,
        })
    });
    ports
        .accounts
        .expect_create()
        .once()
        .withf(|new, only_first, _| {
            *only_first && new.user.role == Role::Admin && !new.user.must_change_password
        })
        .returning(|_, _, _| Ok(CreateOutcome::Created));
    let started = ports.build().0.ensure_admin(None).await.unwrap();
    assert_eq!(started, FirstStart::AdminWithPassword("01".repeat(12)));
    assert!(!format!("{started:?}").contains("01"));
}

#[tokio::test]
async fn a_later_start_makes_nobody() {
    let mut ports = Ports::new();
    ports.accounts.expect_list().returning(|_| {
        Ok(Listing {
            items: vec![user()],
            total: 1,
        })
    });
    ports.accounts.expect_create().never();
    assert_eq!(
        ports.build().0.ensure_admin(None).await.unwrap(),
        FirstStart::NotFirst
    );
}

#[tokio::test]
async fn removing_an_account_goes_on_until_nothing_is_left() {
    for (outcomes, steps) in [
        (
            vec![
                RemoveOutcome::Removing,
                RemoveOutcome::Removing,
                RemoveOutcome::Removed,
            ],
            Some(2),
        ),
        (vec![RemoveOutcome::NotFound], None),
        (vec![RemoveOutcome::LastAdmin], None),
    ] {
        let mut ports = Ports::new();
        let mut outcomes = outcomes.into_iter();
        ports
            .accounts
            .expect_remove()
            .returning(move |_, _, _| Ok(outcomes.next().unwrap()));
        let mut told = 0;
        let removed = ports.build().0.remove(USER, None, || told += 1).await;
        match steps {
            Some(steps) => assert_eq!((removed.is_ok(), told), (true, steps)),
            None => assert!(removed.is_err()),
        }
    }
}
