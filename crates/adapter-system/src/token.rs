//! Access tokens: PASETO v4.public, that is, a JSON payload signed with Ed25519.
//!
//! The version of the token names its one algorithm, so there is none to choose and none to downgrade to. The payload is
//! signed, not secret: it holds ids and times only. Its claims:
//!
//! | claim | value |
//! |---|---|
//! | `user` | the user's id |
//! | `role` | `admin` or `user` |
//! | `family` | the login's id |
//! | `client` | the device's client id; absent where the login named none |
//! | `issued_at`, `expires_at` | Unix milliseconds |
//!
//! PASETO's own `iat` and `exp` are not used: they are text, and libraries hold them against the system's clock. Here
//! time is an argument.

use std::fmt;

use ed25519_compact::{KeyPair, Seed};
use mosaic_domain::account::Role;
use mosaic_domain::{ClientId, FamilyId, UnixMillis, UserId};
use mosaic_ports::{AccessClaims, AccessTokenError, AccessTokens, BoxError};
use pasetors::keys::{AsymmetricPublicKey, AsymmetricSecretKey};
use pasetors::token::UntrustedToken;
use pasetors::version4::{PublicToken, V4};
use pasetors::{Public, errors};
use serde::{Deserialize, Serialize};

/// The longest token that is looked at, in bytes. Ours have less than 1 KiB; more would only keep the server busy.
const MAX_BYTES: usize = 4 * 1024;

/// Signed with every token and part of none: whatever else is ever signed with this key is not an access token.
const PURPOSE: &[u8] = b"mosaic-sync access token";

/// A seed that no signing key can be made of: all zeros, as a file that was never written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the seed of the signing key is not usable")]
pub struct UnusableSeed;

/// The library's error, as one that can be boxed: without its feature `std` it is none. It names a step, never a value.
#[derive(Debug, thiserror::Error)]
#[error("the access token could not be signed: {0:?}")]
struct SigningFailed(errors::Error);

/// Signs and verifies access tokens with one key.
///
/// Every instance of a server needs the same seed; with a new seed all access tokens end, and clients get new ones with
/// their refresh tokens.
pub struct PasetoTokens {
    secret: AsymmetricSecretKey<V4>,
    public: AsymmetricPublicKey<V4>,
}

impl PasetoTokens {
    /// Derives the signing key from a secret of 32 random bytes.
    ///
    /// # Errors
    /// [`UnusableSeed`].
    pub fn from_seed(seed: [u8; 32]) -> Result<Self, UnusableSeed> {
        let pair = KeyPair::try_from_seed(Seed::new(seed)).map_err(|_| UnusableSeed)?;
        let keys = |pair: &KeyPair| -> Result<Self, errors::Error> {
            Ok(Self {
                secret: AsymmetricSecretKey::from(&pair.sk[..])?,
                public: AsymmetricPublicKey::from(&pair.pk[..])?,
            })
        };
        keys(&pair).map_err(|_| UnusableSeed)
    }

    /// The payload of a token that this key has signed as an access token.
    fn verified_payload(&self, token: &str) -> Option<Payload> {
        // Three parts: with a footer, even an empty one, it is none of ours.
        if token.len() > MAX_BYTES || token.split('.').count() != 3 {
            return None;
        }
        let untrusted = UntrustedToken::<Public, V4>::try_from(token).ok()?;
        let trusted = PublicToken::verify(&self.public, &untrusted, None, Some(PURPOSE)).ok()?;
        serde_json::from_str(trusted.payload()).ok()
    }
}

impl AccessTokens for PasetoTokens {
    fn sign(&self, claims: &AccessClaims) -> Result<String, BoxError> {
        let payload = serde_json::to_vec(&Payload::from(claims))?;
        PublicToken::sign(&self.secret, &payload, None, Some(PURPOSE))
            .map_err(|error| SigningFailed(error).into())
    }

    fn verify(&self, token: &str, now: UnixMillis) -> Result<AccessClaims, AccessTokenError> {
        let claims = self
            .verified_payload(token)
            .and_then(Payload::into_claims)
            .ok_or(AccessTokenError::Invalid)?;
        if now < claims.expires_at {
            Ok(claims)
        } else {
            Err(AccessTokenError::Expired)
        }
    }
}

impl fmt::Debug for PasetoTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasetoTokens(hidden)")
    }
}

/// The claims in JSON. Unknown ones are refused: a later version may restrict a token with a claim that this version
/// can't honour.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Payload {
    user: UserId,
    role: String,
    family: FamilyId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    client: Option<ClientId>,
    issued_at: UnixMillis,
    expires_at: UnixMillis,
}

impl Payload {
    /// `None` where the role is none that we know.
    fn into_claims(self) -> Option<AccessClaims> {
        let role: Role = self.role.parse().ok()?;
        Some(AccessClaims {
            user: self.user,
            role,
            family: self.family,
            client: self.client,
            issued_at: self.issued_at,
            expires_at: self.expires_at,
        })
    }
}

impl From<&AccessClaims> for Payload {
    fn from(claims: &AccessClaims) -> Self {
        Self {
            user: claims.user,
            role: claims.role.name().to_owned(),
            family: claims.family,
            client: claims.client.clone(),
            issued_at: claims.issued_at,
            expires_at: claims.expires_at,
        }
    }
}

#[cfg(test)]
mod tests;
