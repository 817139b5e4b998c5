//! Tickets: each is for one thing, and one for nudges for one use (L5).

use std::sync::{Arc, Mutex};

use mosaic_application::AppError;
use mosaic_application::error::Unauthenticated;
use mosaic_application::sessions::{Caller, Sessions, Shown, TICKET_TTL_MS};
use mosaic_domain::account::Role;
use mosaic_domain::{AvatarId, FamilyId, ResourceId, UserId};
use mosaic_ports::{AccessTokenError, Clock as _, MockAccessTokens, MockRefreshTokens, Opens, TicketClaims};
use mosaic_testkit::ManualClock;
use uuid::Uuid;

const HOUR: i64 = 3_600_000;
/// So many of one user are remembered.
const USED_MAX: u128 = 100;

struct World {
    sessions: Sessions,
    clock: Arc<ManualClock>,
}

impl World {
    fn new() -> Self {
        let clock = Arc::new(ManualClock::default());
        let tokens = Arc::new(tokens());
        let logins = Arc::new(MockRefreshTokens::new());
        let sessions = Sessions::new(tokens, logins, clock.clone(), HOUR);
        Self { sessions, clock }
    }

    fn shown(&self, user: u128) -> Shown {
        Shown {
            caller: Caller {
                user: UserId::new(Uuid::from_u128(user)),
                role: Role::Admin,
                family: FamilyId::new(Uuid::from_u128(7)),
                client: Some("phone".parse().unwrap()),
            },
            until: self.clock.now().plus(HOUR),
            by_ticket: false,
        }
    }

    fn ticket(&self, user: u128, id: u128, opens: Opens) -> String {
        let made = self
            .sessions
            .ticket(&self.shown(user), Uuid::from_u128(id), opens);
        made.unwrap().text
    }

    #[track_caller]
    fn assert_opens_nothing(&self, ticket: &str, opens: Opens) {
        let refused = self.sessions.redeem(ticket, opens);
        let why = matches!(
            refused,
            Err(AppError::Unauthenticated(Unauthenticated::InvalidTicket))
        );
        assert!(why, "{refused:?}");
    }
}

/// Tickets that are numbers.
fn tokens() -> MockAccessTokens {
    let signed = Arc::new(Mutex::new(Vec::<TicketClaims>::new()));
    let known = signed.clone();
    let mut tokens = MockAccessTokens::new();
    tokens.expect_sign_ticket().returning(move |claims| {
        let mut signed = signed.lock().unwrap();
        signed.push(*claims);
        Ok((signed.len() - 1).to_string())
    });
    tokens.expect_verify_ticket().returning(move |ticket, now| {
        let place: usize = ticket.parse().map_err(|_| AccessTokenError::Invalid)?;
        let claims = known.lock().unwrap()[place];
        if now < claims.expires_at {
            Ok(claims)
        } else {
            Err(AccessTokenError::Expired)
        }
    });
    tokens
}

fn resource(number: u128) -> Opens {
    Opens::Resource(ResourceId::new(Uuid::from_u128(number)))
}

#[test]
fn l5_a_ticket_opens_only_what_it_is_for() {
    let world = World::new();
    let avatar = Opens::Avatar(AvatarId::new(Uuid::from_u128(1)));
    let things = [Opens::Events, resource(1), resource(2), avatar];
    for opens in things {
        let ticket = world.ticket(1, 1, opens);
        for other in things.into_iter().filter(|other| *other != opens) {
            world.assert_opens_nothing(&ticket, other);
        }
        // What refuses it does not use it.
        let shown = world.sessions.redeem(&ticket, opens).unwrap();
        assert!(shown.by_ticket);
        let asked = world.shown(1);
        assert_eq!(shown.until, asked.until);
        // As the same user by the same login, and not as the administrator that they are.
        let caller = Caller {
            role: Role::User,
            client: None,
            ..asked.caller
        };
        assert_eq!(shown.caller, caller);
    }
    world.assert_opens_nothing("forged", Opens::Events);
}

#[test]
fn l5_a_ticket_for_nudges_is_used_once_and_one_for_a_file_until_it_expires() {
    let world = World::new();
    let (events, another) = (
        world.ticket(1, 1, Opens::Events),
        world.ticket(1, 2, Opens::Events),
    );
    let download = world.ticket(1, 3, resource(1));
    world.sessions.redeem(&events, Opens::Events).unwrap();
    // A clone is the same one: each worker has its own.
    assert!(world.sessions.clone().redeem(&events, Opens::Events).is_err());
    world.clock.advance(TICKET_TTL_MS - 1);
    world.assert_opens_nothing(&events, Opens::Events);
    world.sessions.redeem(&another, Opens::Events).unwrap();
    for _ in 0..3 {
        world.sessions.redeem(&download, resource(1)).unwrap();
    }
    world.clock.advance(1);
    world.assert_opens_nothing(&download, resource(1));
    world.assert_opens_nothing(&events, Opens::Events);
}

#[test]
fn l5_a_ticket_ends_with_the_access_token_that_it_was_asked_for_with() {
    let world = World::new();
    for (left, lives) in [
        (HOUR, TICKET_TTL_MS),
        (TICKET_TTL_MS - 1, TICKET_TTL_MS - 1),
        (5, 5),
    ] {
        let now = world.clock.now();
        let shown = Shown {
            until: now.plus(left),
            ..world.shown(1)
        };
        let ticket = world
            .sessions
            .ticket(&shown, Uuid::from_u128(1), resource(1))
            .unwrap();
        assert_eq!(ticket.expires_at, now.plus(lives));
        world.clock.advance(lives);
        world.assert_opens_nothing(&ticket.text, resource(1));
    }
}

#[test]
fn l5_what_a_token_shows_counts_until_its_last_millisecond() {
    let world = World::new();
    let shown = world.shown(1);
    world.clock.advance(HOUR - 1);
    assert!(world.sessions.is_fresh(&shown));
    world.clock.advance(1);
    assert!(!world.sessions.is_fresh(&shown));
}

/// Whoever uses one ticket after the other takes no more memory than their share, and nobody else's.
#[test]
fn l5_only_so_many_used_tickets_of_a_user_are_remembered() {
    let world = World::new();
    let open = |user, id| {
        world
            .sessions
            .redeem(&world.ticket(user, id, Opens::Events), Opens::Events)
    };
    for id in 0..USED_MAX {
        open(1, id).unwrap();
    }
    let refused = open(1, USED_MAX);
    assert!(matches!(refused, Err(AppError::TooManyListeners)), "{refused:?}");
    open(2, USED_MAX).unwrap();
    world.clock.advance(TICKET_TTL_MS);
    open(1, USED_MAX + 1).unwrap();
}

#[test]
fn l5_a_ticket_is_not_shown_in_logs() {
    let world = World::new();
    let ticket = world.sessions.ticket(&world.shown(1), Uuid::nil(), Opens::Events);
    assert_eq!(format!("{:?}", ticket.unwrap()), "Ticket(hidden)");
}
