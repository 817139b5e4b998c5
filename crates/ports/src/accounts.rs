//! Accounts.

use async_trait::async_trait;
use mosaic_domain::account::{
    Account, AccountChange, ActingLogin, CreateOutcome, RemoveOutcome, UpdateOutcome, User, Username,
};
use mosaic_domain::query::{Listing, PageNumber};
use mosaic_domain::{UnixMillis, UserId};

use crate::error::StoreError;

/// Keeps accounts. Every method is one transaction. What becomes of one is decided in `domain`: the store looks up
/// the [`AccountFacts`](mosaic_domain::account::AccountFacts) under a lock that all changes of accounts take, on any
/// instance, and carries out the plan. A change says which login asks for it; `None`: the server itself. One that has ended
/// by then changes nothing (L1).
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait AccountStore: Send + Sync {
    /// Makes an account, and its clock (S1), as [`Account::create`] says. With `only_first`, only where there is none
    /// yet: of several instances that start at once, one makes it.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn create(
        &self,
        account: Account,
        only_first: bool,
        by: Option<ActingLogin>,
    ) -> Result<CreateOutcome, StoreError>;

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

    /// Changes an account ([`AccountChange::decide`]).
    ///
    /// # Errors
    /// [`StoreError`].
    async fn update(
        &self,
        id: UserId,
        change: AccountChange,
        now: UnixMillis,
        by: Option<ActingLogin>,
    ) -> Result<UpdateOutcome, StoreError>;

    /// Takes the next step of removing an account and everything of it
    /// ([`AccountFacts::remove`](mosaic_domain::account::AccountFacts::remove), [`RemoveOutcome::of_rows`]): records,
    /// revisions, texts, cursors, logins, clock. The first step closes the account, ends its logins and removes its
    /// clock, so that nothing can be written any more; the last one removes the account. No step removes more than
    /// `limit` rows, or holds a lock for long. What was interrupted goes on with the same call. What is known of the
    /// account's blobs goes with it, and the last step notes that the blobs are to be removed
    /// ([`OrphanIndex::removed_users`](crate::OrphanIndex::removed_users)).
    ///
    /// # Errors
    /// [`StoreError`].
    async fn remove(
        &self,
        id: UserId,
        limit: u32,
        by: Option<ActingLogin>,
    ) -> Result<RemoveOutcome, StoreError>;
}
