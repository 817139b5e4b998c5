//! Logins and the refresh tokens that renew them.

use async_trait::async_trait;
use mosaic_domain::account::PasswordHash;
use mosaic_domain::login::{
    IssueOutcome, LoginRefusal, NewRefreshToken, PresentedToken, Rotation, StoredRefreshToken,
};
use mosaic_domain::text::Label;
use mosaic_domain::{ClientId, FamilyId, UnixMillis, UserId};

use crate::error::StoreError;

/// A login of a device, as its latest token tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceLogin {
    /// The device.
    pub client: ClientId,
    /// What its user calls it.
    pub device_name: Option<Label<100>>,
    /// When its latest token was given out: it was there then.
    pub issued_at: UnixMillis,
}

/// Logins and their refresh tokens. Every method is one transaction. What ends a login takes the lock of the user's clock
/// first, as writes do: once it has returned, nothing that the login asked for is committed any more. Whoever listens is told
/// ([`CommitListener::logins_ended`](crate::CommitListener::logins_ended)).
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait RefreshTokens: Send + Sync {
    /// Keeps a login with its first token, and forgets what has expired of that user: only if the account is open and
    /// its password still has the hash `expected` ([`StoredRefreshToken::issue`]). A change that ends logins comes
    /// before, and the login is not kept where it changed the password or closed the account; or it comes after, and
    /// ends this login too. Where the user has [`LOGINS_MAX`](mosaic_domain::login::LOGINS_MAX) already, the one that
    /// was renewed longest ago ends.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn issue(
        &self,
        login: StoredRefreshToken,
        expected: PasswordHash,
    ) -> Result<IssueOutcome, StoreError>;

    /// Spends a token for the next one of its login ([`PresentedToken::rotate`]). Of two that try at once, one is
    /// [`Rotation::Again`].
    ///
    /// # Errors
    /// [`StoreError`].
    async fn rotate(
        &self,
        spent: PresentedToken,
        next: NewRefreshToken,
        grace_ms: i64,
    ) -> Result<Rotation, StoreError>;

    /// Whether a login may go on. One look-up by key.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn standing(&self, user: UserId, login: FamilyId) -> Result<Result<(), LoginRefusal>, StoreError>;

    /// Ends the login of a token, whichever of its tokens it is. Returns whose it was; `None` where there is none.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn end_family(&self, token: PresentedToken) -> Result<Option<(UserId, FamilyId)>, StoreError>;

    /// The logins of a user that name a device and have a token that still works at `now`, by device, the latest token
    /// first.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn logins(&self, user: UserId, now: UnixMillis) -> Result<Vec<DeviceLogin>, StoreError>;

    /// Ends every login of a device (D2). Returns those that are ended.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn end_client(&self, user: UserId, client: &ClientId) -> Result<Vec<FamilyId>, StoreError>;
}
