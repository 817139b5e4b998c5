//! Invites: links by which people make accounts of their own.

use async_trait::async_trait;
use mosaic_domain::account::{Account, ActingLogin};
use mosaic_domain::invite::{AcceptOutcome, FoundInvite, Invite, InviteOutcome, RevokeOutcome};
use mosaic_domain::login::TokenHash;
use mosaic_domain::query::{Listing, PageNumber};
use mosaic_domain::{InviteId, UnixMillis};

use crate::error::StoreError;

/// Keeps invites. Every method is one transaction. What becomes of one is decided in `domain`, under the lock that changes of
/// accounts take, on any instance. What an account made, and the invite that it was made by, go with it
/// ([`AccountStore::remove`](crate::AccountStore::remove)). A change says which login asks for it; `None`: the server itself.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait InviteStore: Send + Sync {
    /// Makes an invite, and forgets what there is too much of ([`Invite::make`]).
    ///
    /// # Errors
    /// [`StoreError`].
    async fn make(&self, invite: Invite, by: Option<ActingLogin>) -> Result<InviteOutcome, StoreError>;

    /// The invite with that secret.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn by_secret(&self, secret: TokenHash) -> Result<Option<FoundInvite>, StoreError>;

    /// Makes an account by the invite with that secret, and its clock (S1), as [`Invite::accept`] says: both and the use of
    /// the invite, or nothing. Of many that try at once with one secret, one makes an account (I1).
    ///
    /// # Errors
    /// [`StoreError`].
    async fn accept(
        &self,
        secret: TokenHash,
        account: Account,
        now: UnixMillis,
    ) -> Result<AcceptOutcome, StoreError>;

    /// Takes an invite back ([`Invite::revoke`]).
    ///
    /// # Errors
    /// [`StoreError`].
    async fn revoke(
        &self,
        id: InviteId,
        now: UnixMillis,
        by: Option<ActingLogin>,
    ) -> Result<RevokeOutcome, StoreError>;

    /// The invites, the newest first.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn list(&self, page: PageNumber) -> Result<Listing<FoundInvite>, StoreError>;

    /// Forgets the invites that expired before a moment. Says how many. They are few, so this is one short transaction.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn forget_expired(&self, before: UnixMillis) -> Result<u64, StoreError>;
}
