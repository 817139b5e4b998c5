//! Accounts and logins.

use std::fmt;

use async_trait::async_trait;
use mosaic_domain::account::{Role, User, Username};
use mosaic_domain::query::{Listing, PageNumber};
use mosaic_domain::text::Label;
use mosaic_domain::{ClientId, FamilyId, UnixMillis, UserId};

use crate::error::StoreError;

/// A password's hash, in PHC form. Never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash(String);

impl PasswordHash {
    /// A hash that a [`PasswordHasher`](crate::PasswordHasher) made.
    pub fn new(phc: String) -> Self {
        Self(phc)
    }

    /// The PHC string.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(hidden)")
    }
}

/// An account with what it is proved by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// The account.
    pub user: User,
    /// Its password.
    pub password: PasswordHash,
}

/// An account to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewAccount {
    /// The account.
    pub user: User,
    /// Its password.
    pub password: PasswordHash,
}

/// What became of making an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CreateOutcome {
    /// It was made, and its clock with it (S1).
    Created,
    /// The name is taken, letter case aside.
    NameTaken,
    /// It was to be the first account, and there is one already.
    NotFirst,
}

/// A change of an account; what is `None` stays.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AccountChange {
    /// A new name.
    pub username: Option<Username>,
    /// A new picture, or none.
    pub avatar_url: Option<Option<Label<2048>>>,
    /// A new role.
    pub role: Option<Role>,
    /// Closes the account or opens it again.
    pub disabled: Option<bool>,
    /// A new password.
    pub password: Option<PasswordHash>,
    /// The hash that the change was proved by: nothing changes where the stored one is another by now.
    pub proved_by: Option<PasswordHash>,
    /// Whether the password should be changed.
    pub must_change_password: Option<bool>,
    /// Whether every login of the account ends.
    pub end_logins: bool,
}

impl AccountChange {
    /// The account after the change.
    pub fn apply(&self, old: &Account, now: UnixMillis) -> Account {
        let Account { user, password } = old.clone();
        let change = self.clone();
        Account {
            user: User {
                id: user.id,
                username: change.username.unwrap_or(user.username),
                avatar_url: change.avatar_url.unwrap_or(user.avatar_url),
                role: change.role.unwrap_or(user.role),
                must_change_password: change.must_change_password.unwrap_or(user.must_change_password),
                disabled: change.disabled.unwrap_or(user.disabled),
                created_at: user.created_at,
                updated_at: now,
            },
            password: change.password.unwrap_or(password),
        }
    }
}

/// What became of changing an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UpdateOutcome {
    /// It is now so.
    Updated(User),
    /// There is no such account.
    NotFound,
    /// The new name is taken, letter case aside.
    NameTaken,
    /// The change would leave no administrator whose account is open.
    LastAdmin,
    /// The password is not the one that the change was proved by any more.
    Outdated,
}

/// How far the removal of an account has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RemoveOutcome {
    /// Everything of it is gone.
    Removed,
    /// A part of it is gone; the same call goes on. Nobody can log in, pull or write any more.
    Removing,
    /// There is no such account.
    NotFound,
    /// It is the last administrator whose account is open.
    LastAdmin,
}

/// Accounts. Every method is one transaction.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait Accounts: Send + Sync {
    /// Makes an account, and its clock (S1). With `only_first`, only where there is none yet: of several instances that
    /// start at once, one makes it.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn create(&self, account: NewAccount, only_first: bool) -> Result<CreateOutcome, StoreError>;

    /// The account with that name, letter case aside.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn by_name(&self, name: &Username) -> Result<Option<Account>, StoreError>;

    /// The account with that id.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn by_id(&self, id: UserId) -> Result<Option<Account>, StoreError>;

    /// The accounts, by name.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn list(&self, page: PageNumber) -> Result<Listing<User>, StoreError>;

    /// Changes an account. One that is being removed is not found.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn update(
        &self,
        id: UserId,
        change: AccountChange,
        now: UnixMillis,
    ) -> Result<UpdateOutcome, StoreError>;

    /// Takes the next step of removing an account and everything of it: records, revisions, texts, cursors, logins, clock.
    /// The first step closes the account, ends its logins and removes its clock, so that nothing can be written any more;
    /// the last one removes the account. No step removes more than `limit` rows, or holds a lock for long. What was
    /// interrupted goes on with the same call. What is known of the account's blobs goes with it, and the last step notes that the
    /// blobs are to be removed ([`ContentIndex::removed_users`](crate::ContentIndex::removed_users)).
    ///
    /// # Errors
    /// [`StoreError`].
    async fn remove(&self, id: UserId, limit: u32) -> Result<RemoveOutcome, StoreError>;
}

/// The SHA-256 of a refresh token: what a store keeps of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TokenHash(pub [u8; 32]);

/// A refresh token to keep.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRefreshToken {
    /// Its hash.
    pub hash: TokenHash,
    /// When it was given out.
    pub issued_at: UnixMillis,
    /// When it stops working.
    pub expires_at: UnixMillis,
}

/// A refresh token as a store keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredRefreshToken {
    /// The token.
    pub token: NewRefreshToken,
    /// Whose it is.
    pub user: UserId,
    /// The login that it descends from.
    pub family: FamilyId,
    /// The device that logged in, if it said so.
    pub client: Option<ClientId>,
    /// What its user calls the device.
    pub device_name: Option<Label<100>>,
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
    /// It was good: it is spent now, and the next one of its family is stored.
    Rotated(StoredRefreshToken),
    /// It had been spent before: somebody else has a copy. The whole family is ended.
    Reused {
        /// Whose it was.
        user: UserId,
        /// The family that is ended.
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

/// Refresh tokens. Every method is one transaction.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait RefreshTokens: Send + Sync {
    /// Keeps the first token of a login, and forgets what has expired of that user: only if the account is open and its
    /// password still has the hash `proved_by` ([`IssueOutcome::of`]). A change that ends logins comes before, and the
    /// token is not kept where it changed the password or closed the account; or it comes after, and ends this login too.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn issue(
        &self,
        token: StoredRefreshToken,
        proved_by: PasswordHash,
    ) -> Result<IssueOutcome, StoreError>;

    /// Spends a token for the next one of its family. Of two that try at once, one is [`Rotation::Reused`].
    ///
    /// # Errors
    /// [`StoreError`].
    async fn rotate(&self, spent: TokenHash, next: NewRefreshToken) -> Result<Rotation, StoreError>;

    /// Ends the family of a token. Returns whose it was; `None` where the token is unknown.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn end_family(&self, token: TokenHash) -> Result<Option<(UserId, FamilyId)>, StoreError>;

    /// The logins of a user that name a device and have a token that still works at `now`, by device, the latest token
    /// first.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn logins(&self, user: UserId, now: UnixMillis) -> Result<Vec<DeviceLogin>, StoreError>;

    /// Ends every login of a device (D2). Returns the families that are ended.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn end_client(&self, user: UserId, client: &ClientId) -> Result<Vec<FamilyId>, StoreError>;
}
