//! Logins: what is kept of them, and the refresh tokens that renew them.
//!
//! A login is a row for as long as it lasts, and its access tokens count for as long as the row is there. What is kept of
//! its refresh tokens does not grow with their number: all of them carry the login's key, so that one which is neither the
//! current one nor the one before is known to be an old copy.

use std::fmt;

use async_trait::async_trait;
use mosaic_domain::account::User;
use mosaic_domain::text::Label;
use mosaic_domain::{ClientId, FamilyId, UnixMillis, UserId};

use crate::accounts::{Account, PasswordHash};
use crate::error::StoreError;

/// The most logins of one user. With one more, the one that was renewed longest ago ends.
pub const LOGINS_MAX: u32 = 100;

/// Why a login may not do what it asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LoginRefusal {
    /// It has ended, or its account is closed or gone.
    #[error("the login has ended")]
    Ended,
    /// The password was set by somebody else, and must be changed first.
    #[error("the password must be changed first")]
    PasswordChangeRequired,
}

impl LoginRefusal {
    /// What becomes of a request, from whether the password must be changed; `None` where there is no such login, or its
    /// account is closed.
    ///
    /// # Errors
    /// The refusal.
    pub fn check(must_change_password: Option<bool>) -> Result<(), Self> {
        match must_change_password {
            Some(false) => Ok(()),
            Some(true) => Err(Self::PasswordChangeRequired),
            None => Err(Self::Ended),
        }
    }
}

/// The SHA-256 of a refresh token, or of its key: what a store keeps of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TokenHash(pub [u8; 32]);

/// What a refresh token is derived from, together with the text of the one before. Worth nothing without that text.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TokenSeed(pub [u8; 32]);

impl fmt::Debug for TokenSeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenSeed(hidden)")
    }
}

/// A refresh token as somebody presents it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PresentedToken {
    /// The hash of its key, which finds its login. A token of a version before has none: its own hash stands here.
    pub key: TokenHash,
    /// Its hash.
    pub hash: TokenHash,
}

/// A refresh token to keep.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRefreshToken {
    /// The hash of the login's key.
    pub key: TokenHash,
    /// Its hash.
    pub hash: TokenHash,
    /// What it was derived from.
    pub seed: TokenSeed,
    /// When it was given out.
    pub issued_at: UnixMillis,
    /// When it stops working, and its login ends.
    pub expires_at: UnixMillis,
}

/// A login with its current refresh token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredRefreshToken {
    /// The token.
    pub token: NewRefreshToken,
    /// Whose it is.
    pub user: UserId,
    /// The login.
    pub family: FamilyId,
    /// The device that logged in, if it said so.
    pub client: Option<ClientId>,
    /// What its user calls the device.
    pub device_name: Option<Label<100>>,
}

/// A login as a store keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptLogin {
    /// The login, and its current token.
    pub stored: StoredRefreshToken,
    /// The token that was spent for the current one.
    pub spent: Option<TokenHash>,
}

/// What a store does with a token of a login.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(
    clippy::large_enum_variant,
    reason = "one of them at a time, and the large one is the common one"
)]
pub enum Spending {
    /// Keep the login like this.
    Rotate(KeptLogin),
    /// Nothing: it was done a moment ago.
    Again,
    /// End the login.
    Reuse,
    /// Nothing: the login is over.
    Refuse,
}

impl KeptLogin {
    /// What becomes of spending a token of this login for `next`, now. A spent one is good again for `grace_ms` after it was
    /// spent, unless what it was spent for was used since. A clock that stepped back ends no grace.
    pub fn spend(&self, presented: PresentedToken, next: &NewRefreshToken, grace_ms: i64) -> Spending {
        let (now, current) = (next.issued_at, &self.stored.token);
        if now >= current.expires_at {
            Spending::Refuse
        } else if presented.hash == current.hash {
            Spending::Rotate(Self {
                stored: StoredRefreshToken {
                    token: next.clone(),
                    ..self.stored.clone()
                },
                spent: Some(current.hash),
            })
        } else if self.spent == Some(presented.hash) && now.since(current.issued_at) <= grace_ms {
            Spending::Again
        } else {
            Spending::Reuse
        }
    }
}

/// What became of giving out the first token of a login.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IssueOutcome {
    /// It is stored. The user is as they were then.
    Issued(User),
    /// The password is another one by now, or the account is gone. Nothing is stored.
    Outdated,
    /// The account is closed. Nothing is stored.
    Closed,
}

impl IssueOutcome {
    /// What becomes of a login to `account`, as it is now, that was proved by a password with the hash `proved_by`.
    pub fn of(account: Option<Account>, proved_by: &PasswordHash) -> Self {
        match account {
            Some(Account { user, password }) if password == *proved_by => {
                if user.disabled {
                    Self::Closed
                } else {
                    Self::Issued(user)
                }
            }
            _ => Self::Outdated,
        }
    }
}

/// What became of spending a refresh token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rotation {
    /// It was good: it is spent now, and the next one of its login is stored.
    Rotated(StoredRefreshToken),
    /// It was spent a moment ago, and what it was spent for is unused: this, again.
    Again(StoredRefreshToken),
    /// It had been spent before: somebody else has a copy. The login is ended.
    Reused {
        /// Whose it was.
        user: UserId,
        /// The login that is ended.
        family: FamilyId,
    },
    /// It is unknown, has ended or expired, or its account is closed.
    Refused,
}

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
    /// Keeps a login with its first token, and forgets what has expired of that user: only if the account is open and its
    /// password still has the hash `proved_by` ([`IssueOutcome::of`]). A change that ends logins comes before, and the
    /// login is not kept where it changed the password or closed the account; or it comes after, and ends this login too.
    /// Where the user has [`LOGINS_MAX`] already, the one that was renewed longest ago ends.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn issue(
        &self,
        login: StoredRefreshToken,
        proved_by: PasswordHash,
    ) -> Result<IssueOutcome, StoreError>;

    /// Spends a token for the next one of its login ([`KeptLogin::spend`]). Of two that try at once, one is
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
