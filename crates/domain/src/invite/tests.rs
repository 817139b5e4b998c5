use super::*;
use crate::account::PasswordHash;

fn now() -> UnixMillis {
    UnixMillis::clamped(1_000_000)
}

fn user(n: u128) -> UserId {
    UserId::new(uuid::Uuid::from_u128(n))
}

fn invite(n: u8) -> Invite {
    Invite {
        id: InviteId::new(uuid::Uuid::from_u128(n.into())),
        secret: TokenHash([n; 32]),
        made_by: Some(user(1)),
        role: Role::Admin,
        quota: Quota::Bytes(7),
        made_at: now(),
        expires_at: now().plus(10),
        end: None,
    }
}

fn found(invite: Invite) -> FoundInvite {
    FoundInvite {
        invite,
        maker_administers: true,
    }
}

fn revoked() -> Invite {
    Invite {
        end: Some(InviteEnd::Revoked { at: now() }),
        ..invite(1)
    }
}

fn used() -> Invite {
    Invite {
        end: Some(InviteEnd::Used {
            by: user(2),
            at: now(),
        }),
        ..invite(1)
    }
}

fn facts() -> AccountFacts {
    AccountFacts {
        account: None,
        has_clock: false,
        any: true,
        name_taken: false,
        other_admin: true,
        standing: Ok(()),
    }
}

fn account() -> Account {
    Account {
        user: User {
            id: user(2),
            username: "anna".parse().unwrap(),
            avatar_url: None,
            role: Role::User,
            must_change_password: false,
            disabled: false,
            quota: Quota::Default,
            time_zone: None,
            created_at: now(),
            updated_at: now(),
        },
        password: PasswordHash::new("hash".into()),
    }
}

#[test]
fn i1_an_invite_makes_an_account_as_whoever_invites_has_chosen_and_is_used_then() {
    let plan = Invite::accept(Some(found(invite(1))), account(), &facts(), now());
    let write = plan.write.unwrap();
    let made = &write.account.user;
    assert_eq!((made.role, made.quota), (Role::Admin, Quota::Bytes(7)));
    assert_eq!(write.account.password, account().password);
    assert_eq!(write.invite, used());
    assert_eq!(plan.outcome, AcceptOutcome::Accepted(Box::new(write)));
}

#[test]
fn i1_a_name_that_is_taken_uses_no_invite() {
    let facts = AccountFacts {
        name_taken: true,
        ..facts()
    };
    let taken = Invite::accept(Some(found(invite(1))), account(), &facts, now());
    assert_eq!(taken, Plan::nothing(AcceptOutcome::NameTaken));
    // Who has no invite is not told of names.
    let unknown = Invite::accept(None, account(), &facts, now());
    assert_eq!(
        unknown,
        Plan::nothing(AcceptOutcome::Refused(InviteRefusal::Unknown))
    );
}

#[test]
fn i2_an_invite_is_good_until_it_is_used_revoked_or_expired_or_its_maker_administers_no_more() {
    let of_nobody = FoundInvite {
        maker_administers: false,
        ..found(invite(1))
    };
    for (found, now, refusal) in [
        (found(invite(1)), now().plus(9), None),
        (found(invite(1)), now().plus(10), Some(InviteRefusal::Expired)),
        (found(used()), now().plus(10), Some(InviteRefusal::Used)),
        (found(revoked()), now().plus(10), Some(InviteRefusal::Revoked)),
        (of_nobody.clone(), now(), Some(InviteRefusal::Revoked)),
        (of_nobody, now().plus(10), Some(InviteRefusal::Expired)),
    ] {
        let plan = Invite::accept(Some(found.clone()), account(), &facts(), now);
        let refused = match plan.outcome {
            AcceptOutcome::Refused(refusal) => Some(refusal),
            _ => None,
        };
        assert_eq!((refused, plan.write.is_none()), (refusal, refusal.is_some()));
        let state = match refusal {
            None => "open",
            Some(InviteRefusal::Used) => "used",
            Some(InviteRefusal::Expired) => "expired",
            _ => "revoked",
        };
        assert_eq!(found.state(now), state);
    }
}

#[test]
fn i3_who_invites_has_only_so_many_open_invites() {
    let mut of_maker: Vec<_> = (0..100).map(|n| found(invite(n))).collect();
    let make = |of_maker: &[FoundInvite]| invite(200).make(&facts(), of_maker);
    assert_eq!(make(&of_maker), Plan::nothing(InviteOutcome::TooMany));
    of_maker[3].invite.expires_at = now();
    let write = InviteWrite {
        keep: invite(200),
        forget: Vec::new(),
    };
    assert_eq!(make(&of_maker), Plan::write(write, InviteOutcome::Made));
}

#[test]
fn i3_of_invites_that_are_over_the_oldest_are_forgotten() {
    let mut of_maker: Vec<_> = (0..101)
        .map(|n| {
            found(Invite {
                made_at: now().plus(n.into()),
                ..revoked()
            })
        })
        .collect();
    for (n, found) in of_maker.iter_mut().enumerate() {
        found.invite.id = InviteId::new(uuid::Uuid::from_u128(n as u128));
    }
    let plan = invite(200).make(&facts(), &of_maker);
    assert_eq!(plan.write.unwrap().forget, [of_maker[0].invite.id]);
}

#[test]
fn an_invite_is_taken_back_once_and_not_after_it_was_used() {
    let revoke = |found| Invite::revoke(found, &facts(), now());
    let plan = revoke(Some(found(invite(1))));
    assert_eq!(plan.write.unwrap().keep, revoked());
    assert_eq!(plan.outcome, RevokeOutcome::Revoked(Box::new(revoked())));
    for (found, outcome) in [
        (None, RevokeOutcome::NotFound),
        (Some(found(revoked())), RevokeOutcome::Before),
        (Some(found(used())), RevokeOutcome::Used),
    ] {
        assert_eq!(revoke(found), Plan::nothing(outcome));
    }
}

#[test]
fn l1_no_invite_is_made_or_taken_back_for_a_login_that_may_not_go_on() {
    let refusal = LoginRefusal::Ended;
    let facts = AccountFacts {
        standing: Err(refusal),
        ..facts()
    };
    assert_eq!(
        invite(1).make(&facts, &[]),
        Plan::nothing(InviteOutcome::Refused(refusal))
    );
    assert_eq!(
        Invite::revoke(Some(found(invite(1))), &facts, now()),
        Plan::nothing(RevokeOutcome::Refused(refusal))
    );
}

#[test]
fn lifetimes_are_read_and_have_limits() {
    let ms = |text: &str| text.parse::<InviteLifetime>().map(InviteLifetime::ms);
    for (text, expected) in [
        ("7d", InviteLifetime::DEFAULT.ms()),
        ("90d", InviteLifetime::MAX_MS),
        ("12h", 12 * HOUR_MS),
        ("1m", InviteLifetime::MIN_MS),
    ] {
        assert_eq!(ms(text), Ok(expected), "{text}");
    }
    for (text, code) in [
        ("0m", "out_of_range"),
        ("91d", "out_of_range"),
        ("9223372036854775807d", "out_of_range"),
        ("99999999999999999999d", "invalid_duration"),
        ("7", "invalid_duration"),
        ("d", "invalid_duration"),
        ("-7d", "invalid_duration"),
        ("7 d", "invalid_duration"),
        ("7w", "invalid_duration"),
        ("", "invalid_duration"),
    ] {
        assert_eq!(ms(text).unwrap_err().code, code, "{text}");
    }
}

#[test]
fn how_it_came_to_an_end_is_kept_as_a_moment_and_a_user() {
    let at = UnixMillis::clamped(7);
    for (end, kept) in [
        (None, (None, None)),
        (Some(InviteEnd::Revoked { at }), (Some(7), None)),
        (
            Some(InviteEnd::Used { by: user(3), at }),
            (Some(7), Some(user(3).uuid())),
        ),
    ] {
        assert_eq!(InviteEnd::stored(end), kept);
        let (at, by) = (kept.0.map(UnixMillis::clamped), kept.1.map(UserId::new));
        assert_eq!(InviteEnd::of_stored(at, by), end);
    }
}

#[test]
fn i3_times_are_what_they_are_called() {
    for (text, ms) in [
        ("1m", 60_000),
        ("1h", 3_600_000),
        ("1d", 86_400_000),
        ("90d", 7_776_000_000),
    ] {
        assert_eq!(text.parse::<InviteLifetime>().unwrap().ms(), ms, "{text}");
    }
    assert_eq!(InviteLifetime::DEFAULT.ms(), 604_800_000);
    assert_eq!(KEPT_AFTER_MS, 2_592_000_000);
}
