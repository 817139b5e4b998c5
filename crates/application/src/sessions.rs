//! Who a request comes from: access tokens, and the logins that ended before their tokens expired.
//!
//! An access token proves itself, so that no request needs a look-up. What would make it wait for its expiry (a log-out,
//! a new password, a closed account) is remembered in memory and takes effect at once on the instance where it happened;
//! on others, and after a restart, when the token expires (1 h by default).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use mosaic_domain::account::Role;
use mosaic_domain::{ClientId, FamilyId, UnixMillis, UserId};
use mosaic_ports::{AccessClaims, AccessTokens, Clock};

use crate::error::{AppError, Unauthenticated};

/// Who a request comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The user.
    pub user: UserId,
    /// What they may do.
    pub role: Role,
    /// The login.
    pub family: FamilyId,
    /// The device that logged in, if it said so.
    pub client: Option<ClientId>,
}

impl Caller {
    /// Lets only administrators pass.
    ///
    /// # Errors
    /// [`AppError::Forbidden`].
    pub fn require_admin(&self) -> Result<(), AppError> {
        if self.role == Role::Admin {
            Ok(())
        } else {
            Err(AppError::Forbidden)
        }
    }
}

/// Reads access tokens and knows which of them no longer count.
#[derive(Clone)]
pub struct Sessions {
    tokens: Arc<dyn AccessTokens>,
    clock: Arc<dyn Clock>,
    ended: Arc<Mutex<Ended>>,
    ttl_ms: i64,
}

/// The logins that ended less than one token's life ago.
#[derive(Debug, Default)]
struct Ended {
    families: HashMap<FamilyId, UnixMillis>,
    users: HashMap<UserId, (UnixMillis, Option<FamilyId>)>,
}

impl Sessions {
    /// Sessions whose access tokens live for `ttl_ms` milliseconds.
    pub fn new(tokens: Arc<dyn AccessTokens>, clock: Arc<dyn Clock>, ttl_ms: i64) -> Self {
        Self {
            tokens,
            clock,
            ended: Arc::default(),
            ttl_ms,
        }
    }

    /// Reads the access token of a request.
    ///
    /// # Errors
    /// [`Unauthenticated`]: not ours, expired, or of a login that ended.
    pub fn authenticate(&self, token: &str) -> Result<Caller, AppError> {
        let claims = self.tokens.verify(token, self.clock.now())?;
        if self.ended().covers(&claims) {
            return Err(Unauthenticated::LoginEnded.into());
        }
        let AccessClaims {
            user,
            role,
            family,
            client,
            ..
        } = claims;
        Ok(Caller {
            user,
            role,
            family,
            client,
        })
    }

    /// Signs an access token. It has ended with every login that ends from `issued_at` on, so that moment must be before
    /// what the token rests on was last looked up.
    ///
    /// # Errors
    /// [`AppError::Internal`] when the key can't sign.
    pub fn sign(&self, caller: &Caller, issued_at: UnixMillis) -> Result<String, AppError> {
        let claims = AccessClaims {
            user: caller.user,
            role: caller.role,
            family: caller.family,
            client: caller.client.clone(),
            issued_at,
            expires_at: issued_at.plus(self.ttl_ms),
        };
        self.tokens.sign(&claims).map_err(AppError::Internal)
    }

    /// Ends one login.
    pub fn end_family(&self, family: FamilyId) {
        let now = self.clock.now();
        let mut ended = self.ended();
        ended.forget(now, self.ttl_ms);
        ended.families.insert(family, now);
    }

    /// Ends all logins of a user so far, but for one.
    pub fn end_user(&self, user: UserId, except: Option<FamilyId>) {
        let now = self.clock.now();
        let mut ended = self.ended();
        ended.forget(now, self.ttl_ms);
        ended.users.insert(user, (now, except));
    }

    fn ended(&self) -> std::sync::MutexGuard<'_, Ended> {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ended {
    fn covers(&self, claims: &AccessClaims) -> bool {
        let of_user = self.users.get(&claims.user);
        self.families.contains_key(&claims.family)
            || of_user.is_some_and(|(at, except)| claims.issued_at <= *at && *except != Some(claims.family))
    }

    /// Forgets what every token has outlived by now.
    fn forget(&mut self, now: UnixMillis, ttl_ms: i64) {
        self.families.retain(|_, at| now.since(*at) <= ttl_ms);
        self.users.retain(|_, (at, _)| now.since(*at) <= ttl_ms);
    }
}

impl std::fmt::Debug for Sessions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sessions")
            .field("ttl_ms", &self.ttl_ms)
            .finish_non_exhaustive()
    }
}
