//! Who a request comes from: access tokens, and whether their logins may go on.
//!
//! An access token proves whose it is and which login it is of. Whether that login has ended is asked of the store, for each
//! request: writes ask under the lock that they take anyway, pulls in the snapshot that they read anyway, everything else
//! by [`Sessions::check`]. So the end of a login counts at once, on every instance, whatever clocks say.

use std::sync::Arc;

use mosaic_domain::account::{ActingLogin, Role};
use mosaic_domain::login::LoginRefusal;
use mosaic_domain::{ClientId, FamilyId, UnixMillis, UserId};
use mosaic_ports::{AccessClaims, AccessTokens, Clock, RefreshTokens};

use crate::error::{AppError, Unauthenticated};
use crate::records::EditBy;

mod tickets;

pub use tickets::{TICKET_TTL_MS, Ticket};

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
    /// The login, as a change of accounts says it.
    pub const fn acting(&self) -> ActingLogin {
        ActingLogin {
            user: self.user,
            login: self.family,
        }
    }

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

/// What the access token or the ticket of a request shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// Who the request comes from.
    pub caller: Caller,
    /// When what goes on for a while ends: when the access token expires, or that which the ticket was asked for with.
    pub until: UnixMillis,
    /// Whether a ticket shows it.
    pub by_ticket: bool,
}

/// Whose behalf something is done on, by which login; without one: by the server itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Actor {
    /// The user.
    pub user: UserId,
    /// The login, which must not have ended when something is written.
    pub login: Option<FamilyId>,
}

impl From<UserId> for Actor {
    fn from(user: UserId) -> Self {
        Self { user, login: None }
    }
}

impl From<&Caller> for Actor {
    fn from(caller: &Caller) -> Self {
        Self {
            user: caller.user,
            login: Some(caller.family),
        }
    }
}

impl From<&EditBy> for Actor {
    fn from(by: &EditBy) -> Self {
        Self {
            user: by.user,
            login: by.login,
        }
    }
}

/// Reads access tokens and tickets, and knows which of them count. A clone is the same one.
#[derive(Clone)]
pub struct Sessions {
    tokens: Arc<dyn AccessTokens>,
    logins: Arc<dyn RefreshTokens>,
    clock: Arc<dyn Clock>,
    ttl_ms: i64,
    used: Arc<tickets::Used>,
}

impl Sessions {
    /// Sessions whose access tokens live for `ttl_ms` milliseconds.
    pub fn new(
        tokens: Arc<dyn AccessTokens>,
        logins: Arc<dyn RefreshTokens>,
        clock: Arc<dyn Clock>,
        ttl_ms: i64,
    ) -> Self {
        Self {
            tokens,
            logins,
            clock,
            ttl_ms,
            used: Arc::default(),
        }
    }

    /// Reads an access token. Whether its login goes on is another question: [`Self::check`], or the store's to answer
    /// for a write or a pull that names the login.
    ///
    /// # Errors
    /// [`Unauthenticated`]: not ours, or expired.
    pub fn read(&self, token: &str) -> Result<Shown, AppError> {
        let AccessClaims {
            user,
            role,
            family,
            client,
            expires_at,
            ..
        } = self.tokens.verify(token, self.clock.now())?;
        let caller = Caller {
            user,
            role,
            family,
            client,
        };
        Ok(Shown {
            caller,
            until: expires_at,
            by_ticket: false,
        })
    }

    /// Whether what was shown still counts, were its login to go on.
    pub fn is_fresh(&self, shown: &Shown) -> bool {
        self.clock.now() < shown.until
    }

    /// Whether the login of a caller may go on.
    ///
    /// # Errors
    /// [`Unauthenticated::LoginEnded`], [`AppError::PasswordChangeRequired`], or a store's error.
    pub async fn check(&self, caller: &Caller) -> Result<(), AppError> {
        Ok(self.logins.standing(caller.user, caller.family).await??)
    }

    /// The same, where a password that must be changed is no hindrance.
    ///
    /// # Errors
    /// [`Unauthenticated::LoginEnded`], or a store's error.
    pub async fn check_but_password(&self, caller: &Caller) -> Result<(), AppError> {
        match self.logins.standing(caller.user, caller.family).await? {
            Ok(()) | Err(LoginRefusal::PasswordChangeRequired) => Ok(()),
            Err(LoginRefusal::Ended) => Err(Unauthenticated::LoginEnded.into()),
        }
    }

    /// Signs an access token, which counts for as long as its login goes on, and until it expires.
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
}

impl std::fmt::Debug for Sessions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sessions")
            .field("ttl_ms", &self.ttl_ms)
            .finish_non_exhaustive()
    }
}
