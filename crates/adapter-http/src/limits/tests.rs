use std::net::Ipv4Addr;
use std::ops::Deref;
use std::sync::Arc;

use super::*;
use actix_web::ResponseError;
use actix_web::http::header::RETRY_AFTER;

/// A limiter on a clock that stands still.
struct Limiter {
    limiter: LoginLimiter,
    clock: Arc<Mutex<Instant>>,
}

impl Limiter {
    fn advance(&self, by: Duration) {
        *self.clock.lock().unwrap() += by;
    }
}

impl Deref for Limiter {
    type Target = LoginLimiter;
    fn deref(&self) -> &LoginLimiter {
        &self.limiter
    }
}

fn limiter() -> Limiter {
    let clock = Arc::new(Mutex::new(Instant::now()));
    let reads = Arc::clone(&clock);
    let budgets = LoginBudgets {
        account: Budget::new(3, 6),
        address: Budget::new(5, 60),
    };
    let limiter = LoginLimiter::with_clock(budgets, move || *reads.lock().unwrap());
    Limiter { limiter, clock }
}

fn address(last: u8) -> IpAddr {
    Ipv4Addr::new(192, 0, 2, last).into()
}

fn client(name: &str) -> ClientId {
    name.parse().unwrap()
}

fn from(account: &str, last: u8) -> Candidate<'_> {
    Candidate {
        account,
        address: address(last),
        client: None,
    }
}

fn fail(limiter: &LoginLimiter, who: &Candidate<'_>) {
    limiter.begin(who).unwrap().failed();
}

fn succeed(limiter: &LoginLimiter, who: &Candidate<'_>) {
    limiter.begin(who).unwrap().succeeded();
}

#[track_caller]
fn refused(limiter: &LoginLimiter, who: &Candidate<'_>) -> Problem {
    let refusal = limiter.begin(who).unwrap_err();
    assert_eq!(refusal.code(), ProblemCode::RateLimited);
    refusal
}

#[test]
fn one_account_is_limited_wherever_the_failures_come_from() {
    let limiter = limiter();
    for last in 0..3 {
        fail(&limiter, &from("anna", last));
    }
    let refusal = refused(&limiter, &from(" ANNA ", 9));
    assert_eq!(refusal.error_response().headers().get(RETRY_AFTER).unwrap(), "10");
    fail(&limiter, &from("bert", 9));
    limiter.advance(Duration::from_secs(10));
    fail(&limiter, &from("anna", 9));
}

#[test]
fn one_address_is_limited_whatever_the_accounts() {
    let limiter = limiter();
    for name in ["a", "b", "c", "d", "e"] {
        fail(&limiter, &from(name, 1));
    }
    refused(&limiter, &from("f", 1));
    assert!(limiter.begin_registration(address(1)).is_err());
    fail(&limiter, &from("f", 2));
    limiter.advance(Duration::from_secs(1));
    fail(&limiter, &from("g", 1));
}

#[test]
fn what_succeeds_never_counts() {
    let limiter = limiter();
    for last in 0..100 {
        succeed(&limiter, &from("anna", last % 2));
    }
    let at_once: Vec<_> = (0..20)
        .map(|_| limiter.begin(&from("anna", 1)).unwrap())
        .collect();
    at_once.into_iter().for_each(Attempt::succeeded);
}

#[test]
fn attempts_side_by_side_gain_nothing() {
    let limiter = limiter();
    let at_once: Vec<_> = (0..20)
        .map(|_| limiter.begin(&from("anna", 1)).unwrap())
        .collect();
    at_once.into_iter().for_each(Attempt::failed);
    limiter.advance(Duration::from_secs(100));
    refused(&limiter, &from("anna", 2));
}

#[test]
fn known_devices_and_addresses_are_not_kept_out_by_strangers() {
    let limiter = limiter();
    let phone = client("phone");
    let phone_from = |last| Candidate {
        client: Some(&phone),
        ..from("anna", last)
    };
    succeed(&limiter, &phone_from(1));
    for last in 10..13 {
        fail(&limiter, &from("anna", last));
    }
    refused(&limiter, &from("anna", 20));
    refused(
        &limiter,
        &Candidate {
            client: Some(&client("tablet")),
            ..from("anna", 20)
        },
    );
    succeed(&limiter, &from("anna", 1));
    succeed(&limiter, &phone_from(20));
    // And what they get wrong themselves is theirs.
    for _ in 0..3 {
        fail(&limiter, &phone_from(1));
    }
    refused(&limiter, &phone_from(1));
    fail(&limiter, &from("anna", 1));
}

#[test]
fn a_known_device_is_not_kept_out_by_others_at_its_address() {
    let limiter = limiter();
    let phone = client("phone");
    let own = Candidate {
        client: Some(&phone),
        ..from("anna", 1)
    };
    limiter.vouch(" Anna", &phone);
    for name in ["a", "b", "c", "d", "e"] {
        fail(&limiter, &from(name, 1));
    }
    refused(&limiter, &from("anna", 1));
    succeed(&limiter, &own);
}

#[test]
fn guesses_at_the_old_password_have_a_budget_of_their_own() {
    let limiter = limiter();
    let anna = UserId::new(uuid::Uuid::from_u128(1));
    for last in 0..3 {
        limiter.begin_change(anna, address(last)).unwrap().failed();
    }
    assert!(limiter.begin_change(anna, address(9)).is_err());
    let bert = UserId::new(uuid::Uuid::from_u128(2));
    limiter.begin_change(bert, address(1)).unwrap().succeeded();
    succeed(&limiter, &from("anna", 9));
}

#[test]
fn registrations_of_one_address_are_counted_whatever_comes_of_them() {
    let limiter = limiter();
    for _ in 0..5 {
        limiter.begin_registration(address(1)).unwrap().succeeded();
    }
    assert!(limiter.begin_registration(address(1)).is_err());
    succeed(&limiter, &from("anna", 1));
    limiter.begin_registration(address(2)).unwrap().succeeded();
}

#[test]
fn secrets_of_invites_that_one_address_guesses_are_counted() {
    let limiter = limiter();
    for _ in 0..9 {
        // One that is right is no guess.
        limiter.begin_invite(address(1)).unwrap().succeeded();
    }
    for _ in 0..3 {
        limiter.begin_invite(address(1)).unwrap().failed();
    }
    let refusal = limiter.begin_invite(address(1)).unwrap_err();
    assert_eq!(refusal.code(), ProblemCode::RateLimited);
    limiter.begin_invite(address(2)).unwrap().succeeded();
    succeed(&limiter, &from("anna", 1));
}

#[test]
fn who_floods_with_passwords_waits_behind_a_share_of_his_own() {
    let limiter = limiter();
    let running: Vec<_> = (0..ACCOUNT_AT_ONCE)
        .map(|n| limiter.begin(&from("anna", u8::try_from(n).unwrap())).unwrap())
        .collect();
    refused(&limiter, &from("anna", 99));
    succeed(&limiter, &from("bert", 99));
    drop(running);
    succeed(&limiter, &from("anna", 99));
}

#[test]
fn strangers_leave_room_for_who_is_known() {
    let limiter = limiter();
    let phone = client("phone");
    limiter.vouch("anna", &phone);
    let names: Vec<String> = (0..STRANGERS_AT_ONCE).map(|n| n.to_string()).collect();
    let running: Vec<_> = names
        .iter()
        .zip((0..=255).cycle())
        .map(|(name, last)| limiter.begin(&from(name, last)).unwrap())
        .collect();
    let refusal = limiter.begin(&from("bert", 250)).unwrap_err();
    assert_eq!(refusal.code(), ProblemCode::Unavailable);
    succeed(
        &limiter,
        &Candidate {
            client: Some(&phone),
            ..from("anna", 250)
        },
    );
    drop(running);
}

#[test]
fn what_is_known_is_bounded_and_the_oldest_is_forgotten() {
    let limiter = limiter();
    limiter.remember(&[0]);
    limiter.advance(Duration::from_secs(1));
    limiter.remember(&(1..KNOWN_MAX as u64).collect::<Vec<_>>());
    limiter.advance(Duration::from_secs(1));
    limiter.remember(&[u64::MAX]);
    let known = limiter.lock();
    assert!(known.len() <= KNOWN_MAX && !known.contains_key(&0) && known.contains_key(&u64::MAX));
}

#[test]
fn an_ipv6_network_counts_as_one_address() {
    let parse = |text: &str| network(text.parse().unwrap());
    assert_eq!(parse("2001:db8::1"), parse("2001:db8::ffff:1"));
    assert_ne!(parse("2001:db8::1"), parse("2001:db8:0:1::1"));
    assert_eq!(parse("::ffff:192.0.2.1"), parse("192.0.2.1"));
}

#[test]
fn other_spellings_of_a_name_share_its_budget() {
    let limiter = limiter();
    for spelling in ["Admin", "\u{ff41}dmin", "\u{1d41a}dmin"] {
        fail(&limiter, &from(spelling, 1));
    }
    refused(&limiter, &from("admin", 2));
}
