//! What users do to their own accounts.

use mosaic_application::accounts::ProfilePatch;

use super::*;

fn caller() -> Caller {
    Caller {
        user: USER,
        role: Role::User,
        family: FamilyId::new(Uuid::from_u128(5)),
        client: None,
    }
}

#[tokio::test]
async fn an_account_is_shown_to_its_user_while_it_is_open() {
    for (disabled, is_shown) in [(Some(false), true), (Some(true), false), (None, false)] {
        let mut ports = Ports::new();
        let found = disabled.map(|disabled| account(User { disabled, ..user() }));
        ports
            .accounts
            .expect_by_id()
            .returning(move |_| Ok(found.clone()));
        match ports.build().0.me(&caller()).await {
            Ok(me) => assert!(is_shown && me == user()),
            Err(AppError::Unauthenticated(Unauthenticated::LoginEnded)) => assert!(!is_shown),
            Err(other) => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn l3_a_password_that_somebody_else_chose_is_changed_into_another_one() {
    for (must_change_password, new, is_refused) in [
        (true, "secret", true),
        (true, "another one", false),
        (false, "secret", false),
    ] {
        let mut ports = Ports::new();
        let found = account(User {
            must_change_password,
            ..user()
        });
        ports
            .accounts
            .expect_by_id()
            .returning(move |_| Ok(Some(found.clone())));
        ports
            .accounts
            .expect_update()
            .times(usize::from(!is_refused))
            .returning(|_, _, _, _| Ok(updated(user())));
        ports
            .refresh
            .expect_issue()
            .returning(|_, _| Ok(IssueOutcome::Issued(user())));
        let [old, new] = ["secret", new].map(|text| Password::given(text.into()).unwrap());
        match ports.build().0.change_password(&caller(), old, new).await {
            Ok(_) => assert!(!is_refused),
            Err(AppError::Invalid(why)) => {
                let told: Vec<_> = why.iter().map(|why| (&*why.path, why.code)).collect();
                assert_eq!((is_refused, told), (true, vec![("newPassword", "unchanged")]));
            }
            Err(other) => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn of_a_profile_is_changed_what_is_asked_for() {
    let patch = ProfilePatch {
        username: Some("ben".parse().unwrap()),
        avatar_url: Some(None),
        time_zone: Some(Some("Asia/Shanghai".parse().unwrap())),
    };
    let expected = AccountChange {
        username: patch.username.clone(),
        avatar_url: patch.avatar_url.clone(),
        time_zone: patch.time_zone.clone(),
        ..AccountChange::default()
    };
    let mut ports = Ports::new();
    ports
        .accounts
        .expect_update()
        .withf(move |id, change, _, by| (*id, change, *by) == (USER, &expected, Some(caller().acting())))
        .returning(|_, _, _, _| Ok(updated(user())));
    ports.build().0.update_me(&caller(), patch).await.unwrap();
}
