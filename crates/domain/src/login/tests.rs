use uuid::Uuid;

use super::*;
use crate::account::Role;

const USER: UserId = UserId::new(Uuid::from_u128(1));

fn at(ms: i64) -> UnixMillis {
    UnixMillis::clamped(ms)
}

fn family(n: u128) -> FamilyId {
    FamilyId::new(Uuid::from_u128(n))
}

fn token(n: u8, issued_at: i64) -> NewRefreshToken {
    NewRefreshToken {
        key: TokenHash([0; 32]),
        hash: TokenHash([n; 32]),
        seed: TokenSeed([n; 32]),
        issued_at: at(issued_at),
        expires_at: at(issued_at + 100),
    }
}

fn login(token: NewRefreshToken) -> StoredRefreshToken {
    StoredRefreshToken {
        token,
        user: USER,
        family: family(7),
        client: None,
        device_name: None,
    }
}

fn account(disabled: bool) -> Account {
    Account {
        user: User {
            id: USER,
            username: "anna".parse().unwrap(),
            avatar_url: None,
            role: Role::User,
            must_change_password: false,
            disabled,
            quota: crate::Quota::Default,
            time_zone: None,
            created_at: at(1),
            updated_at: at(1),
        },
        password: PasswordHash::new("right".into()),
    }
}

#[test]
fn l1_l3_a_login_goes_on_while_it_is_there_and_its_account_is_open() {
    let found = |disabled, must_change_password| {
        Some(LoginAccount {
            disabled,
            must_change_password,
        })
    };
    let (ended, change) = (
        Err(LoginRefusal::Ended),
        Err(LoginRefusal::PasswordChangeRequired),
    );
    for (login, found, outcome) in [
        (Some(family(1)), None, ended),
        (Some(family(1)), found(true, false), ended),
        (Some(family(1)), found(true, true), ended),
        (Some(family(1)), found(false, true), change),
        (Some(family(1)), found(false, false), Ok(())),
        (None, None, Ok(())),
    ] {
        assert_eq!(LoginRefusal::check(login, found), outcome, "{found:?}");
    }
}

#[test]
fn l1_a_login_is_given_out_for_the_password_as_it_is_now() {
    let user = account(false).user;
    for (account, expected, outcome) in [
        (Some(account(false)), "right", IssueOutcome::Issued(user)),
        (Some(account(false)), "another", IssueOutcome::StaleCredential),
        (Some(account(true)), "right", IssueOutcome::Closed),
        // That it is closed is said only of the right password.
        (Some(account(true)), "another", IssueOutcome::StaleCredential),
        (None, "right", IssueOutcome::StaleCredential),
    ] {
        let new = login(token(1, 1_000));
        let plan = new
            .clone()
            .issue(&PasswordHash::new(expected.into()), account, Vec::new());
        let written = matches!(outcome, IssueOutcome::Issued(_)).then(|| LoginWrite {
            user: USER,
            end: Vec::new(),
            keep: Some(KeptLogin {
                stored: new,
                spent: None,
            }),
        });
        assert_eq!((plan.write, plan.outcome), (written, outcome), "{expected}");
    }
}

#[test]
fn l4_the_logins_that_were_renewed_longest_ago_make_room() {
    let age = |n: u128, issued_at, expires_at| LoginAge {
        family: family(n),
        issued_at: at(issued_at),
        expires_at: at(expires_at),
    };
    let ends = |logins: Vec<LoginAge>| {
        let plan =
            login(token(1, 1_000)).issue(&PasswordHash::new("right".into()), Some(account(false)), logins);
        plan.write.map(|write| write.end)
    };
    let many: Vec<_> = (1..100).map(|n| age(n, 500, 2_000)).collect();
    assert_eq!(many.len(), LOGINS_MAX - 1);
    assert_eq!(ends(many.clone()), Some(vec![]));
    let with = |more: &[LoginAge]| ends([&many, more].concat());
    assert_eq!(with(&[age(200, 400, 2_000)]), Some(vec![family(200)]));
    // Of equal ones the greater id goes.
    assert_eq!(with(&[age(200, 600, 2_000)]), Some(vec![family(99)]));
    // One that has expired is forgotten anyhow, and takes no room.
    assert_eq!(with(&[age(200, 600, 1_000)]), Some(vec![]));
    let two = with(&[age(200, 400, 2_000), age(201, 300, 2_000)]);
    assert_eq!(two, Some(vec![family(200), family(201)]));
}

#[test]
fn l2_a_token_is_good_once_and_again_for_a_while() {
    // The current token is 2, given out at 1,000, when 1 was spent for it; it expires at 1,100.
    let kept = |disabled| {
        Some(FoundLogin {
            kept: KeptLogin {
                stored: login(token(2, 1_000)),
                spent: Some(TokenHash([1; 32])),
            },
            disabled,
        })
    };
    let (again, reused) = (
        Rotation::Again(login(token(2, 1_000))),
        Rotation::Reused {
            user: USER,
            family: family(7),
        },
    );
    let rotated = |now| Rotation::Rotated(login(token(3, now)));
    for (found, presented, now, outcome) in [
        (kept(false), 2, 1_050, rotated(1_050)),
        (kept(false), 2, 1_099, rotated(1_099)),
        (kept(false), 2, 1_100, Rotation::Refused),
        (kept(false), 1, 1_005, again.clone()),
        (kept(false), 1, 900, again),
        (kept(false), 1, 1_006, reused.clone()),
        (kept(false), 9, 1_001, reused),
        // Spent and expired: refused, whatever else it is.
        (kept(false), 1, 1_100, Rotation::Refused),
        (kept(false), 9, 1_100, Rotation::Refused),
        (kept(true), 2, 1_050, Rotation::Refused),
        (kept(true), 9, 1_050, Rotation::Refused),
        (None, 2, 1_050, Rotation::Refused),
    ] {
        let presented = PresentedToken {
            key: TokenHash([0; 32]),
            hash: TokenHash([presented; 32]),
        };
        let plan = presented.rotate(found, &token(3, now), 5);
        assert_eq!(plan.outcome, outcome, "{presented:?} at {now}");
        let write = match outcome {
            Rotation::Rotated(stored) => Some(LoginWrite {
                user: USER,
                end: Vec::new(),
                keep: Some(KeptLogin {
                    stored,
                    spent: Some(TokenHash([2; 32])),
                }),
            }),
            Rotation::Reused { .. } => LoginWrite::end(USER, vec![family(7)]).write,
            Rotation::Again(_) | Rotation::Refused => None,
        };
        assert_eq!(plan.write, write, "{presented:?} at {now}");
    }
}

#[test]
fn what_ends_no_login_writes_nothing() {
    let found = FoundLogin {
        kept: KeptLogin {
            stored: login(token(2, 1_000)),
            spent: None,
        },
        disabled: true,
    };
    let ends = LoginWrite {
        user: USER,
        end: vec![family(7)],
        keep: None,
    };
    assert_eq!(ends.ends_logins_of(), Some(USER));
    let ended = Plan::write(ends, Some((USER, family(7))));
    assert_eq!(FoundLogin::end(Some(found)), ended);
    assert_eq!(FoundLogin::end(None), Plan::nothing(None));
    assert_eq!(LoginWrite::end(USER, Vec::new()), Plan::nothing(Vec::new()));
}

#[test]
fn what_a_token_is_made_from_is_not_shown() {
    assert_eq!(format!("{:?}", TokenSeed([7; 32])), "TokenSeed(hidden)");
}
