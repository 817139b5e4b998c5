//! How often somebody may fail to log in: counted by account and by address, so that neither one account can be guessed
//! from many places, nor many accounts from one place.
//!
//! Only failures count, so nobody is kept out by what he knows. And nobody is kept out by strangers: a device or an address
//! that has logged in to the account before has a budget of its own beside the one that everybody else shares
//! ([ADR 23](../../../docs/adr/0023-failures-count-and-known-devices-have-their-own-budget.md)). Right passwords cost a core
//! too: they are bounded by how many run at once.
//!
//! What is remembered is bounded, and keys are hashes. An account that does not exist is counted like one that does.

mod meter;
mod shares;

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasher, Hash, RandomState};
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use mosaic_domain::search::normalise;
use mosaic_domain::{ClientId, UserId};

use self::meter::Meter;
use self::shares::{Share, Shares};
use crate::problem::{Problem, ProblemCode};

pub use self::meter::Budget;

/// For renewing one login. An app does it once an hour, and a few times more when its network is bad.
const REFRESHES: Budget = Budget::new(30, 30);

/// The budgets for logging in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoginBudgets {
    /// Failures for one account, of all strangers together, and of each device and address that is known to it.
    pub account: Budget,
    /// Failures from one address (an IPv6 network of 64 bits counts as one), for whatever account; and registrations.
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

/// How many passwords wait or are compared at once.
const AT_ONCE: usize = 256;
/// How many of them may be those of strangers: known devices get through whatever the others do.
const STRANGERS_AT_ONCE: usize = 192;
/// How many of them may be about one account.
const ACCOUNT_AT_ONCE: usize = 32;
/// How many of them may come from one address, at least.
const ADDRESS_AT_ONCE: usize = 32;
/// How long somebody waits who is over a share: one round of hashing.
const AGAIN_AFTER: Duration = Duration::from_secs(1);
/// How many devices and addresses are remembered as known. The store knows the devices that are logged in besides.
const KNOWN_MAX: usize = 65_536;

/// Who tries to log in.
#[derive(Debug, Clone, Copy)]
pub struct Candidate<'a> {
    /// The name, as it was typed.
    pub account: &'a str,
    /// Where the request comes from.
    pub address: IpAddr,
    /// The device that it names.
    pub client: Option<&'a ClientId>,
}

/// The counters: one for the whole process, shared by its workers.
pub struct LoginLimiter {
    accounts: Meter,
    addresses: Meter,
    refreshes: Meter,
    known: Mutex<HashMap<u64, Instant>>,
    shares: Shares,
    address_at_once: usize,
    hasher: RandomState,
    now: Box<dyn Fn() -> Instant + Send + Sync>,
}

/// One attempt that runs. Dropped without a word it counts as nothing: nobody heard the answer.
#[derive(Debug)]
#[must_use = "what comes of it must be counted"]
pub struct Attempt<'a> {
    limiter: &'a LoginLimiter,
    /// The budget that a failure is taken from.
    budget: u64,
    address: u64,
    /// What is known to the account from now on if it succeeds.
    proves: Vec<u64>,
    _share: Share<'a>,
}

/// What a key is about: two that are about different things are never alike.
#[derive(Hash)]
enum Key<'a> {
    Account(&'a str),
    Device(&'a str, &'a ClientId),
    AddressOf(&'a str, IpAddr),
    Password(UserId),
    Address(IpAddr),
    Registration(IpAddr),
    Invite(IpAddr),
    Login(&'a str),
    Everybody,
    Strangers,
}

impl LoginLimiter {
    /// Counters with these budgets, on the machine's monotonic clock.
    pub fn new(budgets: LoginBudgets) -> Self {
        Self::with_clock(budgets, Instant::now)
    }

    fn with_clock(budgets: LoginBudgets, now: impl Fn() -> Instant + Send + Sync + 'static) -> Self {
        let burst = usize::try_from(budgets.address.burst.get()).unwrap_or(usize::MAX);
        Self {
            accounts: Meter::new(budgets.account),
            addresses: Meter::new(budgets.address),
            refreshes: Meter::new(REFRESHES),
            known: Mutex::default(),
            shares: Shares::default(),
            address_at_once: burst.clamp(ADDRESS_AT_ONCE, STRANGERS_AT_ONCE),
            hasher: RandomState::new(),
            now: Box::new(now),
        }
    }

    /// Begins an attempt to log in.
    ///
    /// # Errors
    /// 429 `rate_limited` with `Retry-After` when the failures so far have used up the budget: of the device or the address
    /// where that is known to the account, else of the account or of the address; and when too many attempts run at once for
    /// the account or from the address. 503 `unavailable` when too many run at all.
    pub fn begin(&self, who: &Candidate<'_>) -> Result<Attempt<'_>, Problem> {
        let account = folded(who.account);
        let address = self.key(&Key::Address(network(who.address)));
        let address_of = self.key(&Key::AddressOf(&account, network(who.address)));
        let device = who.client.map(|client| self.key(&Key::Device(&account, client)));
        let is_known = |key: &u64| self.lock().contains_key(key);
        // A device that is known by itself does not depend on what others do from its address.
        let known_device = device.filter(is_known);
        let is_known_device = known_device.is_some();
        let known = known_device.or_else(|| Some(address_of).filter(is_known));
        let budget = known.unwrap_or_else(|| self.key(&Key::Account(&account)));
        let proves = device.into_iter().chain([address_of]).collect();
        self.allow(&self.accounts, budget)?;
        if !is_known_device {
            self.allow(&self.addresses, address)?;
        }
        let mut wanted = vec![(self.key(&Key::Everybody), AT_ONCE), (budget, ACCOUNT_AT_ONCE)];
        if !is_known_device {
            wanted.push((address, self.address_at_once));
        }
        if known.is_none() {
            wanted.push((self.key(&Key::Strangers), STRANGERS_AT_ONCE));
        }
        self.attempt(budget, address, proves, &wanted)
    }

    /// Counts one renewal of the login whose refresh tokens have that key.
    ///
    /// # Errors
    /// 429 `rate_limited` with `Retry-After` when the login is renewed again and again.
    pub fn refresh(&self, login: &str) -> Result<(), Problem> {
        let key = self.key(&Key::Login(login));
        self.allow(&self.refreshes, key)?;
        self.refreshes.count(key, (self.now)());
        Ok(())
    }

    /// Begins a change of password: the failures of one user are counted by themselves, so that a stolen access token is no
    /// way to guess, nor to keep the owner out.
    ///
    /// # Errors
    /// As [`LoginLimiter::begin`].
    pub fn begin_change(&self, user: UserId, address: IpAddr) -> Result<Attempt<'_>, Problem> {
        let budget = self.key(&Key::Password(user));
        self.allow(&self.accounts, budget)?;
        let wanted = [(self.key(&Key::Everybody), AT_ONCE), (budget, ACCOUNT_AT_ONCE)];
        let address = self.key(&Key::Address(network(address)));
        self.attempt(budget, address, Vec::new(), &wanted)
    }

    /// Begins a registration. Each counts, whatever comes of it: what is limited is how many accounts one address makes.
    ///
    /// # Errors
    /// As [`LoginLimiter::begin`].
    pub fn begin_registration(&self, address: IpAddr) -> Result<Attempt<'_>, Problem> {
        let failures = self.key(&Key::Address(network(address)));
        self.allow(&self.addresses, failures)?;
        let budget = self.key(&Key::Registration(network(address)));
        self.allow(&self.addresses, budget)?;
        self.addresses.count(budget, (self.now)());
        let wanted = [
            (self.key(&Key::Everybody), AT_ONCE),
            (budget, self.address_at_once),
            (self.key(&Key::Strangers), STRANGERS_AT_ONCE),
        ];
        self.attempt(budget, failures, Vec::new(), &wanted)
    }

    /// Begins an account by an invite. As many secrets are wrong from one address as passwords of one account.
    ///
    /// # Errors
    /// As [`LoginLimiter::begin`].
    pub fn begin_invite(&self, address: IpAddr) -> Result<Attempt<'_>, Problem> {
        let failures = self.key(&Key::Address(network(address)));
        self.allow(&self.addresses, failures)?;
        let budget = self.key(&Key::Invite(network(address)));
        self.allow(&self.accounts, budget)?;
        let wanted = [
            (self.key(&Key::Everybody), AT_ONCE),
            (budget, self.address_at_once),
            (self.key(&Key::Strangers), STRANGERS_AT_ONCE),
        ];
        self.attempt(budget, failures, Vec::new(), &wanted)
    }

    /// Notes that a device is known to an account: it has a login there.
    pub fn vouch(&self, account: &str, client: &ClientId) {
        self.remember(&[self.key(&Key::Device(&folded(account), client))]);
    }

    fn attempt(
        &self,
        budget: u64,
        address: u64,
        proves: Vec<u64>,
        wanted: &[(u64, usize)],
    ) -> Result<Attempt<'_>, Problem> {
        let share = self.shares.take(wanted).map_err(|place| {
            let own = wanted[place].0 == budget || wanted[place].0 == address;
            let code = if own {
                ProblemCode::RateLimited
            } else {
                ProblemCode::Unavailable
            };
            Problem::new(code, "too many log-ins at once, try again in a moment").retry_after(AGAIN_AFTER)
        })?;
        Ok(Attempt {
            limiter: self,
            budget,
            address,
            proves,
            _share: share,
        })
    }

    fn allow(&self, meter: &Meter, key: u64) -> Result<(), Problem> {
        meter.check(key, (self.now)()).map_err(|wait| {
            Problem::new(
                ProblemCode::RateLimited,
                "too many attempts to log in, try again later",
            )
            .retry_after(wait.max(Duration::from_secs(1)))
        })
    }

    fn remember(&self, keys: &[u64]) {
        let now = (self.now)();
        let mut known = self.lock();
        known.extend(keys.iter().map(|key| (*key, now)));
        if known.len() > KNOWN_MAX {
            let mut times: Vec<Instant> = known.values().copied().collect();
            let (_, median, _) = times.select_nth_unstable(KNOWN_MAX / 2);
            let median = *median;
            known.retain(|_, at| *at > median);
        }
    }

    fn key(&self, key: &Key<'_>) -> u64 {
        self.hasher.hash_one(key)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Instant>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Attempt<'_> {
    /// The password was wrong.
    pub fn failed(self) {
        let now = (self.limiter.now)();
        self.limiter.accounts.count(self.budget, now);
        self.limiter.addresses.count(self.address, now);
    }

    /// The password was right: whoever sent it is known to the account from now on.
    pub fn succeeded(self) {
        self.limiter.remember(&self.proves);
    }
}

impl fmt::Debug for LoginLimiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoginLimiter")
            .field("accounts", &self.accounts.len())
            .field("addresses", &self.addresses.len())
            .finish_non_exhaustive()
    }
}

/// Other spellings of a name are the same account.
fn folded(account: &str) -> String {
    normalise(account.trim())
}

/// One household has a whole IPv6 network of 64 bits: its addresses count as one.
pub(crate) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6((v6.to_bits() & !u128::from(u64::MAX)).into()),
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests;
