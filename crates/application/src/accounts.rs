//! Accounts: one's own, registration, and what administrators do.

mod changes;
mod invites;
mod logins;

use std::sync::Arc;

use mosaic_domain::account::{
    Account, AccountChange, ActingLogin, Password, RemoveOutcome, Role, User, Username,
};
use mosaic_domain::activity::{ActivityKind, Doer, Origin};
use mosaic_domain::query::{Listing, PageNumber};
use mosaic_domain::text::Label;
use mosaic_domain::{Quota, TimeZone, UserId, Violation, Violations};
use mosaic_ports::{
    AccountStore, ActivityLog, Clock, IdGenerator, InviteStore, PasswordHasher, Randomness, RefreshTokens,
};

use crate::activity::Trail;
use crate::error::{AppError, Unauthenticated};
use crate::refresh_tokens::hex;
use crate::sessions::{Caller, Sessions};

pub use self::invites::{InviteRequest, NewInvite, Newcomer};
pub use self::logins::{Login, LoginRequest, LoginTokens, refresh_key};

/// How many rows one step of removing an account takes.
const ROWS_AT_ONCE: u32 = 1_000;

/// Whether people may make accounts themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Registration {
    /// Anybody may.
    Open,
    /// Only administrators may.
    Closed,
}

/// The ports and settings of the accounts.
#[derive(Clone)]
#[expect(missing_docs, reason = "each field is the port that it is named after")]
pub struct AccountPorts {
    pub accounts: Arc<dyn AccountStore>,
    pub refresh_tokens: Arc<dyn RefreshTokens>,
    pub invites: Arc<dyn InviteStore>,
    pub activity: Arc<dyn ActivityLog>,
    pub passwords: Arc<dyn PasswordHasher>,
    pub clock: Arc<dyn Clock>,
    pub ids: Arc<dyn IdGenerator>,
    pub randomness: Arc<dyn Randomness>,
}

impl std::fmt::Debug for AccountPorts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AccountPorts")
    }
}

/// Logins and accounts.
#[derive(Clone)]
pub struct Accounts {
    ports: AccountPorts,
    trail: Trail,
    sessions: Sessions,
    registration: Registration,
    refresh_ttl_ms: i64,
}

/// An account that an administrator makes.
#[derive(Debug, Clone)]
pub struct AccountRequest {
    /// The name.
    pub username: Username,
    /// The password.
    pub password: Password,
    /// What the user may do.
    pub role: Role,
    /// Whether the user should change the password.
    pub must_change_password: bool,
}

/// What users change of their own accounts.
#[derive(Debug, Clone, Default)]
#[expect(missing_docs, reason = "the fields are those of User")]
pub struct ProfilePatch {
    pub username: Option<Username>,
    pub avatar_url: Option<Option<Label<2048>>>,
    pub time_zone: Option<Option<TimeZone>>,
}

/// What an administrator changes of an account.
#[derive(Debug, Clone, Default)]
#[expect(missing_docs, reason = "the fields are those of User")]
pub struct AccountPatch {
    pub username: Option<Username>,
    pub role: Option<Role>,
    pub disabled: Option<bool>,
    pub password: Option<Password>,
    pub must_change_password: Option<bool>,
    pub quota: Option<Quota>,
    pub time_zone: Option<Option<TimeZone>>,
}

impl Accounts {
    /// Accounts over these ports. Refresh tokens live for `refresh_ttl_ms` milliseconds.
    pub fn new(
        ports: AccountPorts,
        sessions: Sessions,
        registration: Registration,
        refresh_ttl_ms: i64,
    ) -> Self {
        let AccountPorts {
            activity, clock, ids, ..
        } = &ports;
        Self {
            trail: Trail::new(Arc::clone(activity), Arc::clone(clock), Arc::clone(ids)),
            ports,
            sessions,
            registration,
            refresh_ttl_ms,
        }
    }

    /// The same accounts, for what is asked for from there. What happens to them is noted in their trails.
    #[must_use]
    pub fn asked_from(&self, origin: Origin) -> Self {
        Self {
            trail: self.trail.asked_from(origin),
            ..self.clone()
        }
    }

    /// The account of a caller.
    ///
    /// # Errors
    /// [`Unauthenticated::LoginEnded`] where it is gone or closed.
    pub async fn me(&self, caller: &Caller) -> Result<User, AppError> {
        let account = self.ports.accounts.by_id(caller.user).await?;
        account
            .map(|account| account.user)
            .filter(|user| !user.disabled)
            .ok_or_else(|| Unauthenticated::LoginEnded.into())
    }

    /// Sets a new password. Every login ends; the caller gets a new one. An old password that is changed while it is
    /// compared is wrong.
    ///
    /// # Errors
    /// [`AppError::WrongPassword`]; [`AppError::Invalid`] where the password must be changed and would be the one that somebody else
    /// chose.
    pub async fn change_password(
        &self,
        caller: &Caller,
        old: Password,
        new: Password,
    ) -> Result<Login, AppError> {
        let account = self
            .ports
            .accounts
            .by_id(caller.user)
            .await?
            .ok_or(Unauthenticated::LoginEnded)?;
        let hash = account.password;
        let stays = old.expose() == new.expose();
        if !self
            .ports
            .passwords
            .verify(old, Some(hash.clone()))
            .await
            .map_err(AppError::Internal)?
        {
            let by = Doer::User(caller.user);
            let detail = Some("the old password, at a change of it");
            self.trail
                .note(caller.user, ActivityKind::LoginFailed, by, detail)
                .await;
            return Err(AppError::WrongPassword);
        }
        if stays && account.user.must_change_password {
            let known = Violation::new(
                "unchanged",
                "must be another password: somebody else knows this one",
            );
            return Err(AppError::Invalid(known.at("newPassword").into()));
        }
        let password = self.ports.passwords.hash(new).await.map_err(AppError::Internal)?;
        let change = AccountChange {
            password: Some(password.clone()),
            expected_password_hash: Some(hash),
            must_change_password: Some(false),
            end_logins: true,
            ..AccountChange::default()
        };
        // The old password proves it, whatever became of the login.
        self.change(caller.user, change, None, Doer::User(caller.user))
            .await
            .map_err(gone_is_logged_out)?;
        self.begin(caller.user, password, caller.client.clone(), None)
            .await
            .map_err(gone_is_logged_out)
    }

    /// Changes the caller's own name, picture or time zone.
    ///
    /// # Errors
    /// [`AppError::NameTaken`].
    pub async fn update_me(&self, caller: &Caller, patch: ProfilePatch) -> Result<User, AppError> {
        let change = AccountChange {
            username: patch.username,
            avatar_url: patch.avatar_url,
            time_zone: patch.time_zone,
            ..AccountChange::default()
        };
        let (by, doer) = (Some(caller.acting()), Doer::User(caller.user));
        let change = self.change(caller.user, change, by, doer);
        change.await.map_err(gone_is_logged_out)
    }

    /// Makes an account for whoever asks, where the server takes registrations, and logs it in.
    ///
    /// # Errors
    /// [`AppError::RegistrationClosed`], [`AppError::NameTaken`].
    pub async fn register(&self, newcomer: Newcomer) -> Result<Login, AppError> {
        if self.registration == Registration::Closed {
            return Err(AppError::RegistrationClosed);
        }
        let request = AccountRequest {
            username: newcomer.username,
            password: newcomer.password,
            role: Role::User,
            must_change_password: false,
        };
        let Account { user, password } = self.store_any(request, None, Doer::Stranger).await?;
        self.log_in(user.id, password, newcomer.client, newcomer.device_name)
            .await
    }

    /// Makes an account, for a login or, with `None`, for the server itself.
    ///
    /// # Errors
    /// [`AppError::NameTaken`]; those of a login that has ended by then (L1).
    pub async fn create(&self, request: AccountRequest, by: Option<ActingLogin>) -> Result<User, AppError> {
        Ok(self.store_any(request, by, doer(by)).await?.user)
    }

    /// Makes the account `admin` where there is no account at all. Without a password a random one is made and returned:
    /// it is shown once and kept nowhere.
    ///
    /// # Errors
    /// A store's error.
    pub async fn ensure_admin(&self, password: Option<Password>) -> Result<FirstStart, AppError> {
        if self.ports.accounts.list(PageNumber::new(1, 1)?).await?.total > 0 {
            return Ok(FirstStart::NotFirst);
        }
        let (password, generated) = match password {
            Some(password) => (password, None),
            None => self
                .generate_password()
                .map(|(password, text)| (password, Some(text)))?,
        };
        let username = "admin".parse::<Username>()?;
        let request = AccountRequest {
            username,
            password,
            role: Role::Admin,
            // Whoever starts the server reads it off the log: nobody else has chosen it for them.
            must_change_password: false,
        };
        Ok(match self.store(request, true, None, Doer::Server).await {
            Ok(Some(_)) => generated.map_or(FirstStart::Admin, FirstStart::AdminWithPassword),
            Ok(None) | Err(AppError::NameTaken) => FirstStart::NotFirst,
            Err(error) => return Err(error),
        })
    }

    /// A random password (96 bits), and its text, to be shown once.
    ///
    /// # Errors
    /// None that happens: the password is long enough.
    pub fn generate_password(&self) -> Result<(Password, String), AppError> {
        let text = hex(&self.ports.randomness.secret()[..12]);
        Ok((Password::chosen(text.clone())?, text))
    }

    /// The accounts, by name.
    ///
    /// # Errors
    /// A store's error.
    pub async fn list(&self, page: PageNumber) -> Result<Listing<User>, AppError> {
        Ok(self.ports.accounts.list(page).await?)
    }

    /// The account with that name.
    ///
    /// # Errors
    /// [`AppError::NotFound`].
    pub async fn by_name(&self, name: &Username) -> Result<User, AppError> {
        self.ports
            .accounts
            .by_name(name)
            .await?
            .map(|account| account.user)
            .ok_or(AppError::NotFound)
    }

    /// Changes any account, for a login or, with `None`, for the server itself. A new password, another role and a closed account
    /// end its logins.
    ///
    /// # Errors
    /// [`AppError::NotFound`], [`AppError::NameTaken`], [`AppError::LastAdmin`]; those of a login that has ended by then (L1).
    pub async fn update(
        &self,
        id: UserId,
        patch: AccountPatch,
        by: Option<ActingLogin>,
    ) -> Result<User, AppError> {
        let end_logins = patch.password.is_some() || patch.disabled == Some(true);
        let password = match patch.password {
            Some(password) => Some(
                self.ports
                    .passwords
                    .hash(password)
                    .await
                    .map_err(AppError::Internal)?,
            ),
            None => None,
        };
        let change = AccountChange {
            username: patch.username,
            role: patch.role,
            disabled: patch.disabled,
            must_change_password: patch.must_change_password.or(password.as_ref().map(|_| true)),
            quota: patch.quota,
            time_zone: patch.time_zone,
            password,
            end_logins,
            ..AccountChange::default()
        };
        self.change(id, change, by, doer(by)).await
    }

    /// Removes an account and everything of it, in small steps. `tell` is told of each. What was interrupted goes on with the
    /// same call.
    ///
    /// # Errors
    /// [`AppError::NotFound`], [`AppError::LastAdmin`]; those of a login that has ended before the first step (L1).
    pub async fn remove(
        &self,
        id: UserId,
        by: Option<ActingLogin>,
        mut tell: impl FnMut() + Send,
    ) -> Result<(), AppError> {
        let account = self.ports.accounts.by_id(id).await?;
        let name = account.map(|account| account.user.username.to_string());
        loop {
            let outcome = self.remove_step(id, name.clone(), by).await?;
            match outcome {
                RemoveOutcome::Removed => return Ok(()),
                RemoveOutcome::Removing => tell(),
                RemoveOutcome::NotFound => return Err(AppError::NotFound),
                RemoveOutcome::LastAdmin => return Err(AppError::LastAdmin),
                RemoveOutcome::Refused(refusal) => return Err(refusal.into()),
            }
        }
    }
}

impl std::fmt::Debug for Accounts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Accounts")
            .field("registration", &self.registration)
            .finish_non_exhaustive()
    }
}

/// What starting with this store meant.
#[derive(Clone, PartialEq, Eq)]
pub enum FirstStart {
    /// There were accounts already.
    NotFirst,
    /// The account `admin` was made with the password that was given.
    Admin,
    /// The account `admin` was made with this random password.
    AdminWithPassword(String),
}

impl std::fmt::Debug for FirstStart {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::NotFirst => "NotFirst",
            Self::Admin => "Admin",
            Self::AdminWithPassword(_) => "AdminWithPassword(hidden)",
        })
    }
}

/// Who asks: a login, or whoever may use the command line.
fn doer(by: Option<ActingLogin>) -> Doer {
    by.map_or(Doer::CommandLine, |by| Doer::User(by.user))
}

fn gone_is_logged_out(error: AppError) -> AppError {
    match error {
        AppError::NotFound
        | AppError::Unauthenticated(Unauthenticated::BadCredentials | Unauthenticated::AccountDisabled) => {
            Unauthenticated::LoginEnded.into()
        }
        other => other,
    }
}

/// Checks a user name and a password that are being set, and says everything that is wrong with them.
///
/// # Errors
/// The violations, at `username` and `password`.
pub fn parse_new_account(username: &str, password: String) -> Result<(Username, Password), Violations> {
    let mut violations = Violations::none();
    let username = violations.check("username", Username::chosen(username));
    let password = violations.check("password", Password::chosen(password));
    match username.zip(password) {
        Some(parsed) => Ok(parsed),
        None => Err(violations),
    }
}

/// The violation of a field that must be there.
pub fn required(path: &str) -> Violation {
    Violation::new("required", "must be given").at(path)
}
