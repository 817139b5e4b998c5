//! What a client asks of the machine that it runs on.

use std::fmt;
use std::time::{Duration, SystemTime};

use futures_util::future::BoxFuture;
use mosaic_domain::UnixMillis;
use uuid::Uuid;

/// The clock, randomness and waiting. [`System`] is the machine's own; tests bring theirs.
pub trait Platform: fmt::Debug + Send + Sync + 'static {
    /// The device's clock. It may be wrong (W6).
    fn now(&self) -> UnixMillis;

    /// Random bits, none like the others.
    fn random(&self) -> u128;

    /// Waits.
    fn pause(&self, how_long: Duration) -> BoxFuture<'static, ()>;

    /// A new id: a UUID of version 7.
    fn new_id(&self) -> Uuid {
        let [_, _, _, _, _, _, random @ ..] = self.random().to_be_bytes();
        uuid::Builder::from_unix_timestamp_millis(self.now().get().cast_unsigned(), &random).into_uuid()
    }
}

/// The machine's clock, randomness and timers.
#[derive(Debug, Clone, Copy, Default)]
pub struct System;

impl Platform for System {
    #[expect(
        clippy::disallowed_methods,
        reason = "time enters here, and nowhere else in this crate"
    )]
    fn now(&self) -> UnixMillis {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let ms = since.map_or(0, |since| since.as_millis());
        UnixMillis::clamped(i64::try_from(ms).unwrap_or(i64::MAX))
    }

    fn random(&self) -> u128 {
        let mut bytes = [0; 16];
        // A machine without randomness still has ids that differ by their times.
        let _ = getrandom::fill(&mut bytes);
        u128::from_be_bytes(bytes)
    }

    fn pause(&self, how_long: Duration) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep(how_long))
    }
}
