use super::*;

fn account(role: Role, disabled: bool) -> Account {
    Account {
        user: User {
            id: UserId::new(uuid::Uuid::nil()),
            username: "anna".parse().unwrap(),
            avatar_url: None,
            role,
            must_change_password: true,
            disabled,
            quota: Quota::Default,
            time_zone: None,
            created_at: UnixMillis::clamped(1),
            updated_at: UnixMillis::clamped(1),
        },
        password: PasswordHash::new("old".into()),
    }
}

/// An open account among others, with nothing in its way.
fn facts(role: Role) -> AccountFacts {
    AccountFacts {
        account: Some(account(role, false)),
        has_clock: true,
        any: true,
        name_taken: false,
        other_admin: true,
        standing: Ok(()),
    }
}

#[test]
fn l1_nothing_is_made_changed_or_removed_for_a_login_that_may_not_go_on() {
    for refusal in [LoginRefusal::Ended, LoginRefusal::PasswordChangeRequired] {
        let facts = AccountFacts {
            standing: Err(refusal),
            ..facts(Role::User)
        };
        let new = account(Role::User, false);
        assert_eq!(
            new.create(&facts, false),
            Plan::nothing(CreateOutcome::Refused(refusal))
        );
        let change = AccountChange::default().decide(&facts, UnixMillis::ZERO);
        assert_eq!(change, Plan::nothing(UpdateOutcome::Refused(refusal)));
        assert_eq!(facts.remove(), Plan::nothing(RemoveOutcome::Refused(refusal)));
        // What has begun goes on: whoever removes their own account has no login from the first step on.
        let begun = AccountFacts {
            account: Some(account(Role::User, true)),
            has_clock: false,
            ..facts
        };
        assert_eq!(
            begun.remove(),
            Plan::write(RemovalStep::RemoveRows, RemoveOutcome::Removing)
        );
    }
}

#[test]
fn an_account_is_made_where_its_name_is_free_and_it_may_be_the_first() {
    use CreateOutcome::{Created, NameTaken, NotFirst};
    for (any, name_taken, only_first, outcome) in [
        (false, false, true, Created),
        (false, false, false, Created),
        (true, false, false, Created),
        (true, true, false, NameTaken),
        (true, false, true, NotFirst),
        (true, true, true, NotFirst),
    ] {
        let facts = AccountFacts {
            account: None,
            has_clock: false,
            any,
            name_taken,
            other_admin: false,
            standing: Ok(()),
        };
        let new = account(Role::User, false);
        let plan = new.create(&facts, only_first);
        let written = (outcome == Created).then_some(new);
        assert_eq!((plan.write, plan.outcome), (written, outcome), "{facts:?}");
    }
}

#[test]
fn a_change_writes_what_it_names_and_leaves_the_rest() {
    let change = AccountChange {
        username: Some("Anna".parse().unwrap()),
        password: Some(PasswordHash::new("new".into())),
        expected_password_hash: Some(PasswordHash::new("old".into())),
        end_logins: true,
        ..AccountChange::default()
    };
    let plan = change.decide(&facts(Role::Admin), UnixMillis::clamped(9));
    let mut new = account(Role::Admin, false);
    new.user.username = "Anna".parse().unwrap();
    new.user.updated_at = UnixMillis::clamped(9);
    new.password = PasswordHash::new("new".into());
    let outcome = UpdateOutcome::Updated {
        user: new.user.clone(),
        before: Box::new(account(Role::Admin, false).user),
    };
    assert_eq!(plan.outcome, outcome);
    let write = AccountWrite {
        account: new,
        end_logins: true,
    };
    assert_eq!(write.account.password.expose(), "new");
    assert_eq!(plan.write, Some(write));
}

#[test]
fn l1_another_role_ends_the_logins_and_the_same_one_does_not() {
    for (role, ends) in [
        (None, false),
        (Some(Role::User), false),
        (Some(Role::Admin), true),
    ] {
        let change = AccountChange {
            role,
            ..AccountChange::default()
        };
        let plan = change.decide(&facts(Role::User), UnixMillis::clamped(9));
        assert_eq!(plan.write.unwrap().end_logins, ends, "{role:?}");
    }
}

#[test]
fn a_change_is_refused_for_the_first_of_these_reasons() {
    use UpdateOutcome::{LastAdmin, NameTaken, NotFound, StaleCredential};
    let everything = AccountChange {
        username: Some("Anna".parse().unwrap()),
        role: Some(Role::User),
        expected_password_hash: Some(PasswordHash::new("another".into())),
        ..AccountChange::default()
    };
    let proved = AccountChange {
        expected_password_hash: None,
        ..everything.clone()
    };
    let same_name = AccountChange {
        username: Some("anna".parse().unwrap()),
        ..proved.clone()
    };
    let alone = AccountFacts {
        name_taken: true,
        other_admin: false,
        ..facts(Role::Admin)
    };
    let without_clock = AccountFacts {
        has_clock: false,
        ..alone.clone()
    };
    let gone = AccountFacts {
        account: None,
        ..alone.clone()
    };
    for (change, facts, outcome) in [
        (&everything, &gone, NotFound),
        (&everything, &without_clock, NotFound),
        (&everything, &alone, StaleCredential),
        (&proved, &alone, NameTaken),
        (&same_name, &alone, LastAdmin),
    ] {
        let plan = change.decide(facts, UnixMillis::clamped(9));
        assert_eq!((plan.write, plan.outcome), (None, outcome), "{change:?}");
    }
}

#[test]
fn the_last_administrator_neither_steps_down_nor_is_closed_or_removed() {
    let alone = AccountFacts {
        other_admin: false,
        ..facts(Role::Admin)
    };
    let (demote, close) = (
        AccountChange {
            role: Some(Role::User),
            ..AccountChange::default()
        },
        AccountChange {
            disabled: Some(true),
            ..AccountChange::default()
        },
    );
    for change in [demote, close] {
        let outcome = |facts: &AccountFacts| change.decide(facts, UnixMillis::clamped(9)).outcome;
        assert_eq!(outcome(&alone), UpdateOutcome::LastAdmin, "{change:?}");
        for facts in [facts(Role::Admin), facts(Role::User)] {
            assert!(
                matches!(outcome(&facts), UpdateOutcome::Updated { .. }),
                "{change:?}"
            );
        }
    }
    assert_eq!(alone.remove(), Plan::nothing(RemoveOutcome::LastAdmin));
}

#[test]
fn a_removal_closes_the_account_once() {
    use RemovalStep::{Close, RemoveRows};
    let closed = |role| AccountFacts {
        account: Some(account(role, true)),
        has_clock: false,
        other_admin: false,
        ..facts(role)
    };
    let half_closed = AccountFacts {
        has_clock: true,
        ..closed(Role::Admin)
    };
    let gone = AccountFacts {
        account: None,
        ..closed(Role::User)
    };
    for (facts, step) in [
        (facts(Role::User), Close),
        (facts(Role::Admin), Close),
        (half_closed, Close),
        (closed(Role::User), RemoveRows),
        (closed(Role::Admin), RemoveRows),
    ] {
        assert_eq!(
            facts.remove(),
            Plan::write(step, RemoveOutcome::Removing),
            "{facts:?}"
        );
    }
    assert_eq!(gone.remove(), Plan::nothing(RemoveOutcome::NotFound));
}

#[test]
fn an_account_goes_with_the_step_that_finds_fewer_rows_than_it_may_take() {
    let removing = Plan::nothing(RemoveOutcome::Removing);
    assert_eq!(RemoveOutcome::of_rows(10, 10), removing);
    assert_eq!(RemoveOutcome::of_rows(11, 10), removing);
    let removed = Plan::write(RemoveAccount, RemoveOutcome::Removed);
    assert_eq!(RemoveOutcome::of_rows(9, 10), removed);
    assert_eq!(RemoveOutcome::of_rows(0, 1), removed);
}

#[test]
fn a_hash_is_never_shown() {
    assert_eq!(
        format!("{:?}", PasswordHash::new("old".into())),
        "PasswordHash(hidden)"
    );
}
