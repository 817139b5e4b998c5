//! What the machine provides: time, ids, randomness, password hashing, token signing.

use async_trait::async_trait;
use mosaic_domain::account::{Password, Role};
use mosaic_domain::{AvatarId, ClientId, FamilyId, ResourceId, UnixMillis, UserId};
use uuid::Uuid;

use crate::error::BoxError;
use mosaic_domain::account::PasswordHash;

/// The server's clock.
#[cfg_attr(feature = "mock", mockall::automock)]
pub trait Clock: Send + Sync {
    /// Now. May step back; nothing may depend on it that must not (S2).
    fn now(&self) -> UnixMillis;
}

/// New ids.
#[cfg_attr(feature = "mock", mockall::automock)]
pub trait IdGenerator: Send + Sync {
    /// A UUID that nobody has had before, version 7.
    fn next(&self) -> Uuid;
}

/// Secrets.
#[cfg_attr(feature = "mock", mockall::automock)]
pub trait Randomness: Send + Sync {
    /// 32 bytes that nobody can guess.
    fn secret(&self) -> [u8; 32];
}

/// Password hashing. Takes about 100 ms of a core on purpose, and never on an async worker.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait PasswordHasher: Send + Sync {
    /// Hashes a password with a fresh salt.
    ///
    /// # Errors
    /// When the machine can't: out of memory, no randomness.
    async fn hash(&self, password: Password) -> Result<PasswordHash, BoxError>;

    /// Whether the password is the one that was hashed. Takes as long either way. Without a hash (there is no such
    /// account) it takes as long too, and says no.
    ///
    /// # Errors
    /// When the machine can't, or the hash is not one that this hasher made.
    async fn verify(&self, password: Password, hash: Option<PasswordHash>) -> Result<bool, BoxError>;
}

/// What an access token says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessClaims {
    /// Who.
    pub user: UserId,
    /// What they may do.
    pub role: Role,
    /// The login that it comes from.
    pub family: FamilyId,
    /// The device that logged in, if it said so.
    pub client: Option<ClientId>,
    /// When it was signed.
    pub issued_at: UnixMillis,
    /// When it stops working.
    pub expires_at: UnixMillis,
}

/// What a ticket lets a request in to (L5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opens {
    /// The stream of nudges, once.
    Events,
    /// The bytes of this resource, and the smaller pictures of it.
    Resource(ResourceId),
    /// This picture of an account or of a bot.
    Avatar(AvatarId),
}

/// What a ticket says (L5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TicketClaims {
    /// Which ticket it is, so that it can be known again.
    pub id: Uuid,
    /// Who.
    pub user: UserId,
    /// The login that it comes from.
    pub family: FamilyId,
    /// What it is for.
    pub opens: Opens,
    /// When the access token stops working that it was asked for with, and so what it has opened ends.
    pub until: UnixMillis,
    /// When it stops working.
    pub expires_at: UnixMillis,
}

/// Why an access token or a ticket is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AccessTokenError {
    /// It was good once.
    #[error("the token has expired")]
    Expired,
    /// It is not one of ours.
    #[error("the token is not valid")]
    Invalid,
}

/// Signs access tokens and tickets. Neither is ever taken for the other.
#[cfg_attr(feature = "mock", mockall::automock)]
pub trait AccessTokens: Send + Sync {
    /// Signs what a token says.
    ///
    /// # Errors
    /// When the key can't sign.
    fn sign(&self, claims: &AccessClaims) -> Result<String, BoxError>;

    /// Reads a token that was signed with this server's key and has not expired.
    ///
    /// # Errors
    /// [`AccessTokenError`].
    fn verify(&self, token: &str, now: UnixMillis) -> Result<AccessClaims, AccessTokenError>;

    /// Signs what a ticket says.
    ///
    /// # Errors
    /// When the key can't sign.
    fn sign_ticket(&self, claims: &TicketClaims) -> Result<String, BoxError>;

    /// Reads a ticket that was signed with this server's key and has not expired.
    ///
    /// # Errors
    /// [`AccessTokenError`].
    fn verify_ticket(&self, ticket: &str, now: UnixMillis) -> Result<TicketClaims, AccessTokenError>;
}
