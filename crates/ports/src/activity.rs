//! What happened to accounts.

use async_trait::async_trait;
use mosaic_domain::activity::{Activity, ActivityQuery};
use mosaic_domain::{UnixMillis, UserId};

use crate::error::StoreError;

/// Keeps what happened to accounts, and to the server itself (whose trail is that of
/// [`SERVER`](mosaic_domain::activity::SERVER)). Writes take no lock that edits, pulls or logins wait for. An account's
/// trail goes with it ([`AccountStore::remove`](crate::AccountStore::remove)).
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait ActivityLog: Send + Sync {
    /// Keeps an event, in one transaction. Of its user and kind the newest
    /// [`KEPT_OF_A_KIND`](mosaic_domain::activity::KEPT_OF_A_KIND) stay. Nothing is kept of a user who has no account.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn keep(&self, event: Activity) -> Result<(), StoreError>;

    /// The events of a user's trail, the newest first. None of a kind that this version does not know.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn trail(&self, user: UserId, query: ActivityQuery) -> Result<Vec<Activity>, StoreError>;

    /// Forgets the events of a user from before a moment. Says how many. They are few
    /// ([`KEPT_OF_A_KIND`](mosaic_domain::activity::KEPT_OF_A_KIND)), so this is one short transaction.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn forget_before(&self, user: UserId, before: UnixMillis) -> Result<u64, StoreError>;
}
