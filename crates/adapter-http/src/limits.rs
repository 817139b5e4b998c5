//! How often somebody may try to log in: counted by account and by address, so that neither one account can be guessed
//! from many places, nor many accounts from one place.
//!
//! What is remembered is bounded: keys are hashes, and those whose budget has filled up again are forgotten.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use governor::clock::{Clock, DefaultClock};
use governor::middleware::NoOpMiddleware;
use governor::state::keyed::DashMapStateStore;
use governor::{Quota, RateLimiter};
use mosaic_domain::search::normalise;

use crate::problem::{Problem, ProblemCode};

/// How many attempts at once, and how many more per minute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// Attempts that may come at once.
    pub burst: NonZeroU32,
    /// Attempts per minute beyond that.
    pub per_minute: NonZeroU32,
}

impl Budget {
    const fn new(burst: u32, per_minute: u32) -> Self {
        match (NonZeroU32::new(burst), NonZeroU32::new(per_minute)) {
            (Some(burst), Some(per_minute)) => Self { burst, per_minute },
            _ => panic!("a budget is never zero"),
        }
    }

    fn quota(self) -> Quota {
        Quota::per_minute(self.per_minute).allow_burst(self.burst)
    }
}

/// The budgets for logging in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoginBudgets {
    /// For one account, from wherever.
    pub account: Budget,
    /// For one address (an IPv6 network of 64 bits counts as one), for whatever account.
    pub address: Budget,
}

impl Default for LoginBudgets {
    fn default() -> Self {
        Self {
            account: Budget::new(10, 10),
            address: Budget::new(30, 30),
        }
    }
}

/// The counters: one for the whole process, shared by its workers.
pub struct LoginLimiter<C: Clock = DefaultClock> {
    accounts: Counters<C>,
    addresses: Counters<C>,
    hasher: RandomState,
}

impl LoginLimiter {
    /// Counters with these budgets, on the machine's monotonic clock.
    pub fn new(budgets: LoginBudgets) -> Self {
        Self::with_clock(budgets, &DefaultClock::default())
    }
}

impl<C: Clock + Clone> LoginLimiter<C> {
    /// Counters with these budgets, on this clock.
    pub fn with_clock(budgets: LoginBudgets, clock: &C) -> Self {
        Self {
            accounts: Counters::new(budgets.account, clock.clone()),
            addresses: Counters::new(budgets.address, clock.clone()),
            hasher: RandomState::new(),
        }
    }

    /// Counts one attempt.
    ///
    /// # Errors
    /// 429 `rate_limited` with `Retry-After` when the account or the address has used up its budget.
    pub fn attempt(&self, account: &str, address: IpAddr) -> Result<(), Problem> {
        self.attempt_from(address)?;
        self.accounts
            .attempt(self.hasher.hash_one(normalise(account.trim())))
    }

    /// Counts one attempt that concerns no account yet, such as a registration.
    ///
    /// # Errors
    /// 429 `rate_limited` with `Retry-After` when the address has used up its budget.
    pub fn attempt_from(&self, address: IpAddr) -> Result<(), Problem> {
        self.addresses.attempt(self.hasher.hash_one(network(address)))
    }
}

impl<C: Clock> fmt::Debug for LoginLimiter<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoginLimiter")
            .field("accounts", &self.accounts.limiter.len())
            .field("addresses", &self.addresses.limiter.len())
            .finish_non_exhaustive()
    }
}

/// One household has a whole IPv6 network of 64 bits: its addresses count as one.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6((v6.to_bits() & !u128::from(u64::MAX)).into()),
        v4 @ IpAddr::V4(_) => v4,
    }
}

struct Counters<C: Clock> {
    limiter: RateLimiter<u64, DashMapStateStore<u64>, C, NoOpMiddleware<C::Instant>>,
    clock: C,
    /// How many keys there may be before the next clean-up.
    sweep_at: AtomicUsize,
}

impl<C: Clock + Clone> Counters<C> {
    /// Below this many keys nothing is cleaned up.
    const SWEEP_MIN: usize = 4096;

    fn new(budget: Budget, clock: C) -> Self {
        let limiter = RateLimiter::new(budget.quota(), DashMapStateStore::default(), clock.clone());
        Self {
            limiter,
            clock,
            sweep_at: AtomicUsize::new(Self::SWEEP_MIN),
        }
    }

    fn attempt(&self, key: u64) -> Result<(), Problem> {
        self.sweep();
        self.limiter.check_key(&key).map_err(|refusal| {
            Problem::new(
                ProblemCode::RateLimited,
                "too many attempts to log in, try again later",
            )
            .retry_after(
                refusal
                    .wait_time_from(self.clock.now())
                    .max(Duration::from_secs(1)),
            )
        })
    }

    /// Forgets the keys whose budget is full again. The next sweep comes when the number has doubled: so the work is
    /// spread, and the memory stays within twice what the last minutes' attempts need.
    fn sweep(&self) {
        let due = self.sweep_at.load(Ordering::Relaxed);
        if self.limiter.len() < due {
            return;
        }
        // One thread sweeps; for the others the sweep is not due any more.
        if self
            .sweep_at
            .compare_exchange(due, usize::MAX, Ordering::Relaxed, Ordering::Relaxed)
            .is_ok()
        {
            self.limiter.retain_recent();
            self.limiter.shrink_to_fit();
            let next = (self.limiter.len() * 2).max(Self::SWEEP_MIN);
            self.sweep_at.store(next, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use actix_web::ResponseError;
    use actix_web::http::header::RETRY_AFTER;
    use governor::clock::FakeRelativeClock;

    use super::*;

    fn limiter() -> (LoginLimiter<FakeRelativeClock>, FakeRelativeClock) {
        let clock = FakeRelativeClock::default();
        let budgets = LoginBudgets {
            account: Budget::new(3, 6),
            address: Budget::new(5, 60),
        };
        (LoginLimiter::with_clock(budgets, &clock), clock)
    }

    fn address(last: u8) -> IpAddr {
        Ipv4Addr::new(192, 0, 2, last).into()
    }

    #[test]
    fn one_account_is_limited_wherever_the_attempts_come_from() {
        let (limiter, clock) = limiter();
        for last in 0..3 {
            limiter.attempt("anna", address(last)).unwrap();
        }
        let refusal = limiter.attempt(" ANNA ", address(9)).unwrap_err();
        assert_eq!(refusal.code(), ProblemCode::RateLimited);
        assert_eq!(refusal.error_response().headers().get(RETRY_AFTER).unwrap(), "10");
        limiter.attempt("bert", address(9)).unwrap();
        clock.advance(Duration::from_secs(10));
        limiter.attempt("anna", address(9)).unwrap();
    }

    #[test]
    fn one_address_is_limited_whatever_the_accounts() {
        let (limiter, clock) = limiter();
        for name in ["a", "b", "c", "d", "e"] {
            limiter.attempt(name, address(1)).unwrap();
        }
        assert!(limiter.attempt("f", address(1)).is_err());
        limiter.attempt("f", address(2)).unwrap();
        clock.advance(Duration::from_secs(1));
        limiter.attempt("g", address(1)).unwrap();
    }

    #[test]
    fn an_ipv6_network_counts_as_one_address() {
        let parse = |text: &str| network(text.parse().unwrap());
        assert_eq!(parse("2001:db8::1"), parse("2001:db8::ffff:1"));
        assert_ne!(parse("2001:db8::1"), parse("2001:db8:0:1::1"));
        assert_eq!(parse("::ffff:192.0.2.1"), parse("192.0.2.1"));
    }

    #[test]
    fn keys_are_forgotten_when_their_budget_is_full_again() {
        let (limiter, clock) = limiter();
        let keys = Counters::<FakeRelativeClock>::SWEEP_MIN as u64;
        for key in 0..keys {
            limiter.accounts.attempt(key).unwrap();
        }
        assert_eq!(limiter.accounts.limiter.len() as u64, keys);
        clock.advance(Duration::from_hours(1));
        limiter.accounts.attempt(keys).unwrap();
        assert_eq!(limiter.accounts.limiter.len(), 1);
    }

    #[test]
    fn other_spellings_of_a_name_share_its_budget() {
        let (limiter, _) = limiter();
        for spelling in ["Admin", "\u{ff41}dmin", "\u{1d41a}dmin"] {
            limiter.attempt(spelling, address(1)).unwrap();
        }
        assert!(limiter.attempt("admin", address(2)).is_err());
    }
}
