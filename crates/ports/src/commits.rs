//! Who is told of commits: nudges (N1).

use std::sync::Arc;

use mosaic_domain::{Stamp, UserId};

/// Hears of commits. Called from wherever a store learns of one: must return at once.
#[cfg_attr(feature = "mock", mockall::automock)]
pub trait CommitListener: Send + Sync {
    /// A write of this user is committed, here or on another instance, and this is the clock that it left. May come more
    /// than once, late, or out of order.
    fn committed(&self, user: UserId, clock: Stamp);

    /// Logins of this user have ended, here or on another instance. May come more than once, or late.
    fn logins_ended(&self, user: UserId);

    /// Commits of any user, and ends of logins, may have been missed: the connection to the other instances was lost, and is back now.
    fn missed(&self);
}

/// Tells of commits.
#[cfg_attr(feature = "mock", mockall::automock)]
pub trait CommitFeed: Send + Sync {
    /// From now on the listener is told of every commit that moves a clock, soon after it, on whatever instance. Commits are
    /// coalesced: the latest clock of a user stands for those before it. Never called before the commit has succeeded.
    ///
    /// The store keeps the listener for as long as it lives.
    fn listen(&self, listener: Arc<dyn CommitListener>);
}
