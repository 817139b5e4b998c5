//! What can go wrong in a store. Expected outcomes are not errors: they are in the types that the methods return.

use mosaic_domain::login::LoginRefusal;
use mosaic_domain::stamp::ClockExhausted;

/// Any error, as the source of one of ours.
pub type BoxError = Box<dyn std::error::Error + Send + Sync + 'static>;

/// A store could not do what it was asked. Nothing was written, unless a method says otherwise.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database can't be reached or has no capacity now; trying again later may help.
    #[error("the store is not available now")]
    Unavailable(#[source] BoxError),
    /// The database has no room left for what was to be written: the disk is full. Reads go on, and so do writes once there
    /// is room again.
    #[error("the store has no room left")]
    Full(#[source] BoxError),
    /// The database worked on it for as long as it may, and was stopped; a smaller question may be answered.
    #[error("the store took too long")]
    TooSlow(#[source] BoxError),
    /// The database holds something that this version did not write.
    #[error("the store holds a corrupt {what}")]
    Corrupt {
        /// What could not be read, with the column where it is known; never its content.
        what: &'static str,
        /// Why.
        #[source]
        source: BoxError,
    },
    /// Anything else: a bug.
    #[error("the store failed")]
    Failed(#[source] BoxError),
}

/// A write was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// There is no such user, or no longer.
    #[error("there is no such user")]
    UnknownUser,
    /// The login that writes may not, or no longer.
    #[error(transparent)]
    Login(#[from] LoginRefusal),
    /// The user's clock can draw no more stamps (S5).
    #[error(transparent)]
    Clock(#[from] ClockExhausted),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}
