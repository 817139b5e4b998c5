//! Logins: proved by a password, renewed by refresh tokens, ended.

use mosaic_domain::account::{Password, PasswordHash, User, Username};
use mosaic_domain::activity::{ActivityKind, Doer, SERVER};
use mosaic_domain::login::{IssueOutcome, NewRefreshToken, Rotation, StoredRefreshToken, TokenSeed};
use mosaic_domain::text::Label;
use mosaic_domain::{ClientId, FamilyId, UserId};
use uuid::Uuid;

use super::Accounts;
use crate::error::{AppError, Unauthenticated};
use crate::refresh_tokens::{self, RefreshToken};
use crate::sessions::Caller;

/// How long a refresh token that was spent answers again what it was spent for, while that is unused, in milliseconds.
const REFRESH_GRACE_MS: i64 = 60_000;

/// What somebody logs in with.
#[derive(Debug, Clone)]
pub struct LoginRequest {
    /// The name.
    pub username: String,
    /// The password.
    pub password: Password,
    /// The device.
    pub client: Option<ClientId>,
    /// What its user calls the device.
    pub device_name: Option<Label<100>>,
}

/// The tokens of a login.
#[derive(Clone, PartialEq, Eq)]
pub struct LoginTokens {
    /// For every request.
    pub access: String,
    /// For the next pair of tokens, once.
    pub refresh: String,
}

impl std::fmt::Debug for LoginTokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LoginTokens(hidden)")
    }
}

/// A login.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// The tokens.
    pub tokens: LoginTokens,
    /// The account.
    pub user: User,
}

impl Accounts {
    /// Proves a user by name and password. Takes as long for a name that does not exist. A password that is changed while
    /// it is compared is wrong.
    ///
    /// # Errors
    /// [`Unauthenticated::BadCredentials`], [`Unauthenticated::AccountDisabled`].
    pub async fn login(&self, request: LoginRequest) -> Result<Login, AppError> {
        let account = match request.username.parse::<Username>() {
            Ok(name) => self.ports.accounts.by_name(&name).await?,
            Err(_) => None,
        };
        let hash = account.as_ref().map(|account| account.password.clone());
        // A name that nobody has costs as much: what is noted of it goes into the trail of the server.
        let known = account.as_ref().map_or(SERVER, |account| account.user.id);
        let proved = self
            .ports
            .passwords
            .verify(request.password, hash)
            .await
            .map_err(AppError::Internal)?;
        let Some(account) = account.filter(|_| proved) else {
            self.note_failure(known, None).await;
            return Err(Unauthenticated::BadCredentials.into());
        };
        if account.user.disabled {
            self.note_failure(known, Some("the account is closed")).await;
            return Err(Unauthenticated::AccountDisabled.into());
        }
        self.log_in(
            account.user.id,
            account.password,
            request.client,
            request.device_name,
        )
        .await
    }

    async fn note_failure(&self, user: UserId, detail: Option<&str>) {
        let kind = ActivityKind::LoginFailed;
        self.trail.note(user, kind, Doer::Stranger, detail).await;
    }

    /// Begins the login of somebody who has proved who they are, and notes it, also where they are gone by then.
    pub(super) async fn log_in(
        &self,
        user: UserId,
        password: PasswordHash,
        client: Option<ClientId>,
        device_name: Option<Label<100>>,
    ) -> Result<Login, AppError> {
        let this = self.clone();
        let work = async move {
            let login = this.begin(user, password, client, device_name).await;
            match &login {
                Ok(_) => {
                    let (kind, by) = (ActivityKind::LoggedIn, Doer::User(user));
                    this.trail.note(user, kind, by, None).await;
                }
                Err(AppError::Unauthenticated(_)) => this.note_failure(user, Some("too late")).await,
                Err(_) => {}
            }
            login
        };
        crate::joined(tokio::spawn(work).await)
    }

    /// Whether a device has a login of the account with that name. Asks as much for a name that does not exist.
    ///
    /// # Errors
    /// A store's error.
    pub async fn has_login(&self, username: &str, client: &ClientId) -> Result<bool, AppError> {
        let account = match username.parse::<Username>() {
            Ok(name) => self.ports.accounts.by_name(&name).await?,
            Err(_) => None,
        };
        let user = account.map_or(UserId::new(Uuid::nil()), |account| account.user.id);
        let logins = self.ports.refresh_tokens.logins(user, self.ports.clock.now());
        Ok(logins.await?.iter().any(|login| login.client == *client))
    }

    /// Spends a refresh token for a new pair. One that was spent a moment ago answers the same refresh token again, for as
    /// long as that is unused: an answer was lost, or two parts of an app asked at once. One that is used later than that
    /// ends its login: somebody has a copy.
    ///
    /// # Errors
    /// [`Unauthenticated::InvalidRefreshToken`].
    pub async fn refresh(&self, refresh_token: &str) -> Result<LoginTokens, AppError> {
        let (this, token) = (self.clone(), refresh_token.to_owned());
        // Who uses a copy does not hang up before that is noted.
        crate::joined(tokio::spawn(async move { this.spend(&token).await }).await)
    }

    async fn spend(&self, refresh_token: &str) -> Result<LoginTokens, AppError> {
        let spent = RefreshToken::given(refresh_token);
        let seed = TokenSeed(self.ports.randomness.secret());
        let next = self.to_keep(&spent.next(seed), seed);
        let issued_at = next.issued_at;
        let rotation = self
            .ports
            .refresh_tokens
            .rotate(spent.presented(), next, REFRESH_GRACE_MS);
        match rotation.await? {
            Rotation::Rotated(stored) | Rotation::Again(stored) => {
                let account = self.ports.accounts.by_id(stored.user).await?;
                let user = account
                    .map(|account| account.user)
                    .filter(|user| !user.disabled)
                    .ok_or(Unauthenticated::InvalidRefreshToken)?;
                let access = self.sessions.sign(&caller(&user, &stored), issued_at)?;
                Ok(LoginTokens {
                    access,
                    refresh: spent.next(stored.token.seed).into_text(),
                })
            }
            Rotation::Reused { user, family } => {
                tracing::warn!(%user, %family, "a refresh token was used twice: the login was ended");
                let kind = ActivityKind::TokenReused;
                self.trail.note(user, kind, Doer::Stranger, None).await;
                Err(Unauthenticated::InvalidRefreshToken.into())
            }
            Rotation::Refused => Err(Unauthenticated::InvalidRefreshToken.into()),
        }
    }

    /// Ends the login that a refresh token belongs to. A token that is unknown has ended already.
    ///
    /// # Errors
    /// A store's error.
    pub async fn logout(&self, refresh_token: &str) -> Result<(), AppError> {
        let token = RefreshToken::given(refresh_token).presented();
        let this = self.clone();
        let work = async move {
            if let Some((user, _)) = this.ports.refresh_tokens.end_family(token).await? {
                let (kind, by) = (ActivityKind::LoggedOut, Doer::User(user));
                this.trail.note(user, kind, by, None).await;
            }
            Ok(())
        };
        crate::joined(tokio::spawn(work).await)
    }

    /// The store has the last word: a password that was changed, or an account that was closed, since the proof begins no
    /// login. The access token says what the user was then; it ends with the login.
    pub(super) async fn begin(
        &self,
        user: UserId,
        password: PasswordHash,
        client: Option<ClientId>,
        device_name: Option<Label<100>>,
    ) -> Result<Login, AppError> {
        let secret = || self.ports.randomness.secret();
        let (first, seed) = (RefreshToken::first(secret(), secret()), TokenSeed(secret()));
        let token = self.to_keep(&first, seed);
        let issued_at = token.issued_at;
        let stored = StoredRefreshToken {
            token,
            user,
            family: FamilyId::new(self.ports.ids.next()),
            client,
            device_name,
        };
        let issued = self.ports.refresh_tokens.issue(stored.clone(), password);
        let user = match issued.await? {
            IssueOutcome::Issued(user) => user,
            IssueOutcome::StaleCredential => return Err(Unauthenticated::BadCredentials.into()),
            IssueOutcome::Closed => return Err(Unauthenticated::AccountDisabled.into()),
        };
        let access = self.sessions.sign(&caller(&user, &stored), issued_at)?;
        Ok(Login {
            tokens: LoginTokens {
                access,
                refresh: first.into_text(),
            },
            user,
        })
    }

    fn to_keep(&self, token: &RefreshToken, seed: TokenSeed) -> NewRefreshToken {
        let now = self.ports.clock.now();
        token.to_keep(seed, now, now.plus(self.refresh_ttl_ms))
    }
}

fn caller(user: &User, stored: &StoredRefreshToken) -> Caller {
    Caller {
        user: user.id,
        role: user.role,
        family: stored.family,
        client: stored.client.clone(),
    }
}

/// What all refresh tokens of a login share: to count how often one is renewed. `None` in a token of a version before.
pub fn refresh_key(token: &str) -> Option<&str> {
    refresh_tokens::key_of(token)
}
