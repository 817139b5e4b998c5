//! Access tokens: PASETO v4.public, that is, a JSON payload signed with Ed25519.
//!
//! The version of the token names its one algorithm, so there is none to choose and none to downgrade to. The payload is
//! signed, not secret: it holds ids and times only. Signatures are those of ring, which rustls uses, too. Its claims:
//!
//! | claim | value |
//! |---|---|
//! | `user` | the user's id |
//! | `role` | `admin` or `user` |
//! | `family` | the login's id |
//! | `client` | the device's client id; absent where the login named none |
//! | `issued_at`, `expires_at` | Unix milliseconds |
//!
//! Tickets (L5) are signed with the same key for another purpose: that is part of what is signed, so neither is ever taken for
//! the other.
//!
//! PASETO's own `iat` and `exp` are not used: they are text, and libraries hold them against the system's clock. Here
//! time is an argument.

use std::fmt;
use std::sync::{Mutex, PoisonError};

use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};
use mosaic_domain::account::Role;
use mosaic_domain::{ClientId, FamilyId, UnixMillis, UserId};
use mosaic_ports::{AccessClaims, AccessTokenError, AccessTokens, BoxError, TicketClaims};
use ring::digest::{SHA256, digest};
use ring::signature::{ED25519, ED25519_PUBLIC_KEY_LEN, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use serde::{Deserialize, Serialize};

use ticket::TicketPayload;

mod ticket;

/// The longest token that is looked at, in bytes. Ours have less than 1 KiB; more would only keep the server busy.
const MAX_BYTES: usize = 4 * 1024;

/// The version and the purpose of PASETO.
const HEADER: &str = "v4.public.";

/// The bytes of an Ed25519 signature, with which the decoded body of a token ends.
const SIGNATURE_BYTES: usize = 64;

/// So many tokens are known to be ours, at most: one in each slot, about 1 MiB in all. A device sends the same one for as long
/// as it is valid, and looking at a signature takes longer than most requests.
const SLOTS: usize = 8 * 1024;

/// A token whose signature was found to be ours, by its SHA-256.
type Verified = ([u8; 32], AccessClaims);

/// Signed with every token and part of none: whatever else is ever signed with this key is not an access token.
const PURPOSE: &[u8] = b"mosaic-sync access token";

/// The same, of tickets.
const TICKET_PURPOSE: &[u8] = b"mosaic-sync ticket";

/// A seed that no signing key can be made of: all zeros, as a file that was never written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the seed of the signing key is not usable")]
pub struct UnusableSeed;

/// Signs and verifies access tokens with one key.
///
/// Every instance of a server needs the same seed; with a new seed all access tokens end, and clients get new ones with
/// their refresh tokens.
pub struct PasetoTokens {
    key: Ed25519KeyPair,
    public: UnparsedPublicKey<[u8; ED25519_PUBLIC_KEY_LEN]>,
    verified: Box<[Mutex<Option<Verified>>]>,
}

impl PasetoTokens {
    /// Derives the signing key from a secret of 32 random bytes.
    ///
    /// # Errors
    /// [`UnusableSeed`].
    pub fn from_seed(seed: [u8; 32]) -> Result<Self, UnusableSeed> {
        if seed == [0; 32] {
            return Err(UnusableSeed);
        }
        let key = Ed25519KeyPair::from_seed_unchecked(&seed).map_err(|_| UnusableSeed)?;
        let public = key.public_key().as_ref().try_into().map_err(|_| UnusableSeed)?;
        Ok(Self {
            key,
            public: UnparsedPublicKey::new(&ED25519, public),
            verified: (0..SLOTS).map(|_| Mutex::default()).collect(),
        })
    }

    /// A token without a footer: the payload and its signature, which also covers `purpose`.
    fn sign_for(&self, purpose: &[u8], payload: &[u8]) -> String {
        let signature = self.key.sign(&signed_message(payload, purpose));
        let body = BASE64_URL_SAFE_NO_PAD.encode([payload, signature.as_ref()].concat());
        format!("{HEADER}{body}")
    }

    /// The payload of a token without a footer that this key has signed for this purpose.
    fn verify_for(&self, purpose: &[u8], token: &str) -> Option<Vec<u8>> {
        let body = token.strip_prefix(HEADER)?;
        let mut payload = BASE64_URL_SAFE_NO_PAD.decode(body).ok()?;
        let signature = payload.split_off(payload.len().checked_sub(SIGNATURE_BYTES)?);
        self.public
            .verify(&signed_message(&payload, purpose), &signature)
            .ok()?;
        Some(payload)
    }

    /// The claims of a token that this key has signed as an access token, whether it has expired or not.
    fn claims(&self, token: &str) -> Option<AccessClaims> {
        if token.len() > MAX_BYTES {
            return None;
        }
        let hash: [u8; 32] = digest(&SHA256, token.as_bytes()).as_ref().try_into().ok()?;
        let slot = usize::from(u16::from_le_bytes([hash[0], hash[1]])) % self.verified.len();
        let slot = || self.verified[slot].lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, claims)) = &*slot()
            && *known == hash
        {
            return Some(claims.clone());
        }
        let payload: Payload = serde_json::from_slice(&self.verify_for(PURPOSE, token)?).ok()?;
        let claims = payload.into_claims()?;
        *slot() = Some((hash, claims.clone()));
        Some(claims)
    }
}

/// What is signed of a token without a footer.
fn signed_message(payload: &[u8], purpose: &[u8]) -> Vec<u8> {
    pre_authentication_encoding([HEADER.as_bytes(), payload, b"", purpose])
}

/// PASETO's encoding of header, payload, footer and implicit assertion: each with its length before it, so that no two
/// lists of pieces are the same bytes.
fn pre_authentication_encoding(pieces: [&[u8]; 4]) -> Vec<u8> {
    let length = |length: usize| (length as u64).to_le_bytes();
    let mut encoded = length(pieces.len()).to_vec();
    for piece in pieces {
        encoded.extend_from_slice(&length(piece.len()));
        encoded.extend_from_slice(piece);
    }
    encoded
}

impl AccessTokens for PasetoTokens {
    fn sign(&self, claims: &AccessClaims) -> Result<String, BoxError> {
        let payload = serde_json::to_vec(&Payload::from(claims))?;
        Ok(self.sign_for(PURPOSE, &payload))
    }

    fn verify(&self, token: &str, now: UnixMillis) -> Result<AccessClaims, AccessTokenError> {
        let claims = self.claims(token).ok_or(AccessTokenError::Invalid)?;
        if now < claims.expires_at {
            Ok(claims)
        } else {
            Err(AccessTokenError::Expired)
        }
    }

    fn sign_ticket(&self, claims: &TicketClaims) -> Result<String, BoxError> {
        let payload = serde_json::to_vec(&TicketPayload::from(*claims))?;
        Ok(self.sign_for(TICKET_PURPOSE, &payload))
    }

    fn verify_ticket(&self, ticket: &str, now: UnixMillis) -> Result<TicketClaims, AccessTokenError> {
        let payload = (ticket.len() <= MAX_BYTES).then(|| self.verify_for(TICKET_PURPOSE, ticket));
        let payload = payload.flatten().ok_or(AccessTokenError::Invalid)?;
        let claims: TicketPayload =
            serde_json::from_slice(&payload).map_err(|_| AccessTokenError::Invalid)?;
        if now < claims.expires_at {
            Ok(claims.into())
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
