//! Accounts and logins.

use std::fmt;

use async_trait::async_trait;
use mosaic_domain::account::{Role, User, Username};
use mosaic_domain::query::{Listing, PageNumber};
use mosaic_domain::text::Label;
use mosaic_domain::{UnixMillis, UserId};

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
