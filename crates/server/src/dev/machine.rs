//! The parts of the machine that a developer may bend: the clock, and who is believed.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use async_trait::async_trait;
use mosaic_adapter_system::SystemClock;
use mosaic_domain::UnixMillis;
use mosaic_domain::account::{Password, PasswordHash};
use mosaic_ports::{BoxError, Clock, PasswordHasher};

use crate::wiring::Machine;

/// The clock of the machine, so many milliseconds ahead.
#[derive(Debug, Default)]
pub(crate) struct MovedClock(AtomicI64);

impl MovedClock {
    /// How much it is ahead, in milliseconds.
    pub(crate) fn ahead(&self) -> i64 {
        self.0.load(Ordering::SeqCst)
    }

    /// Moves it so many milliseconds; back where that is negative.
    pub(crate) fn advance(&self, ms: i64) {
        // With another one at the same time both count.
        let further = |ahead: i64| Some(ahead.saturating_add(ms));
        let _ = self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, further);
    }

    /// Has it show this moment now.
    pub(crate) fn set(&self, now: UnixMillis) {
        self.0.store(now.since(SystemClock.now()), Ordering::SeqCst);
    }
}

impl Clock for MovedClock {
    fn now(&self) -> UnixMillis {
        SystemClock.now().plus(self.ahead())
    }
}

/// Takes any password for that of any account there is.
#[derive(Debug)]
struct AnyPassword;

#[async_trait]
impl PasswordHasher for AnyPassword {
    async fn hash(&self, _password: Password) -> Result<PasswordHash, BoxError> {
        Ok(PasswordHash::new("any".to_owned()))
    }

    async fn verify(&self, _password: Password, hash: Option<PasswordHash>) -> Result<bool, BoxError> {
        Ok(hash.is_some())
    }
}

/// A machine with this clock, on which any password is right.
pub(super) fn machine(clock: &Arc<MovedClock>) -> Machine {
    Machine {
        clock: Arc::clone(clock) as _,
        passwords: Arc::new(AnyPassword),
    }
}
