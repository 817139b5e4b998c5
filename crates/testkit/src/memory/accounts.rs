//! Accounts and refresh tokens.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use mosaic_domain::account::{User, Username};
use mosaic_domain::query::{Listing, PageNumber};
use mosaic_domain::{ClientId, FamilyId, UnixMillis, UserId};
use mosaic_ports::{
    Account, AccountChange, Accounts, CreateOutcome, DeviceLogin, DumpedRefreshToken, IssueOutcome,
    NewAccount, NewRefreshToken, PasswordHash, RefreshTokens, RemoveOutcome, Rotation, StoreError,
    StoredRefreshToken, TokenHash, UpdateOutcome,
};

use super::model::Model;
use super::store::{MemoryStore, lock};

/// Accounts by folded name, and every refresh token that is still remembered.
#[derive(Default)]
pub(super) struct AccountTable {
    accounts: BTreeMap<String, Account>,
    tokens: BTreeMap<[u8; 32], TokenRow>,
}

struct TokenRow {
    stored: StoredRefreshToken,
    spent: bool,
}

impl AccountTable {
    fn by_id(&self, id: UserId) -> Option<&Account> {
        self.accounts.values().find(|account| account.user.id == id)
    }

    /// The tokens of a user, by their hashes.
    pub(super) fn dump_tokens(&self, user: UserId) -> Vec<DumpedRefreshToken> {
        let rows = self.tokens.values().filter(|row| row.stored.user == user);
        rows.map(|row| DumpedRefreshToken {
            stored: row.stored.clone(),
            spent: row.spent,
        })
        .collect()
    }

    /// Writes an account and its tokens.
    pub(super) fn load(&mut self, account: Account, tokens: Vec<DumpedRefreshToken>) {
        let user = account.user.id;
        self.accounts.retain(|_, other| other.user.id != user);
        self.accounts.insert(account.user.username.folded(), account);
        self.tokens.retain(|_, row| row.stored.user != user);
        for DumpedRefreshToken { stored, spent } in tokens {
            self.tokens
                .insert(stored.token.hash.0, TokenRow { stored, spent });
        }
    }

    fn end_family(&mut self, family: FamilyId) {
        self.tokens.retain(|_, row| row.stored.family != family);
    }

    fn update(&mut self, id: UserId, change: &AccountChange, now: UnixMillis) -> UpdateOutcome {
        let Some(old) = self.by_id(id).cloned() else {
            return UpdateOutcome::NotFound;
        };
        if change
            .proved_by
            .as_ref()
            .is_some_and(|proof| *proof != old.password)
        {
            return UpdateOutcome::Outdated;
        }
        let new = change.apply(&old, now);
        let name = new.user.username.folded();
        if self.accounts.get(&name).is_some_and(|other| other.user.id != id) {
            return UpdateOutcome::NameTaken;
        }
        if old.user.steps_down_as(&new.user) && !self.others_administer(id) {
            return UpdateOutcome::LastAdmin;
        }
        self.accounts.remove(&old.user.username.folded());
        self.accounts.insert(name, new.clone());
        if change.end_logins {
            self.tokens.retain(|_, row| row.stored.user != id);
        }
        UpdateOutcome::Updated(new.user)
    }

    fn others_administer(&self, id: UserId) -> bool {
        let mut others = self.accounts.values().filter(|other| other.user.id != id);
        others.any(|other| other.user.administers())
    }

    /// Closes an account and ends its logins, unless it may not go.
    fn close(&mut self, id: UserId) -> Option<RemoveOutcome> {
        let Some(account) = self.by_id(id) else {
            return Some(RemoveOutcome::NotFound);
        };
        if account.user.administers() && !self.others_administer(id) {
            return Some(RemoveOutcome::LastAdmin);
        }
        let name = account.user.username.folded();
        if let Some(account) = self.accounts.get_mut(&name) {
            account.user.disabled = true;
        }
        self.tokens.retain(|_, row| row.stored.user != id);
        None
    }

    /// A login that named no device belongs to this one from now on (D2).
    pub(super) fn bind(&mut self, user: UserId, family: FamilyId, client: &ClientId) {
        let rows = self.tokens.values_mut().map(|row| &mut row.stored);
        for stored in rows.filter(|stored| stored.user == user && stored.family == family) {
            stored.client.get_or_insert_with(|| client.clone());
        }
    }

    /// The devices that have a login.
    pub(super) fn clients(&self, user: UserId) -> BTreeSet<ClientId> {
        let live = self
            .tokens
            .values()
            .filter(|row| row.stored.user == user && !row.spent);
        live.filter_map(|row| row.stored.client.clone()).collect()
    }

    fn logins(&self, user: UserId, now: UnixMillis) -> Vec<DeviceLogin> {
        let working = self
            .tokens
            .values()
            .filter(|row| row.stored.user == user && !row.spent && row.stored.token.expires_at > now);
        let mut logins: Vec<_> = working
            .filter_map(|row| {
                Some(DeviceLogin {
                    client: row.stored.client.clone()?,
                    device_name: row.stored.device_name.clone(),
                    issued_at: row.stored.token.issued_at,
                })
            })
            .collect();
        logins.sort_by_key(|login| (login.client.to_string(), Reverse(login.issued_at)));
        logins
    }

    fn end_client(&mut self, user: UserId, client: &ClientId) -> Vec<FamilyId> {
        let is_theirs =
            |row: &TokenRow| row.stored.user == user && row.stored.client.as_ref() == Some(client);
        let mut families: Vec<_> = self
            .tokens
            .values()
            .filter(|row| is_theirs(row))
            .map(|row| row.stored.family)
            .collect();
        families.sort_unstable();
        families.dedup();
        self.tokens.retain(|_, row| !is_theirs(row));
        families
    }

    fn rotate(&mut self, spent: TokenHash, next: NewRefreshToken) -> Rotation {
        let Some(row) = self.tokens.get(&spent.0) else {
            return Rotation::Refused;
        };
        let stored = row.stored.clone();
        let (user, family) = (stored.user, stored.family);
        if row.spent {
            self.end_family(family);
            return Rotation::Reused { user, family };
        }
        if stored.token.expires_at <= next.issued_at {
            return Rotation::Refused;
        }
        if self.by_id(user).is_none_or(|account| account.user.disabled) {
            return Rotation::Refused;
        }
        if let Some(row) = self.tokens.get_mut(&spent.0) {
            row.spent = true;
        }
        let stored = StoredRefreshToken {
            token: next,
            ..stored
        };
        self.keep(&stored);
        Rotation::Rotated(stored)
    }

    fn keep(&mut self, stored: &StoredRefreshToken) {
        let row = TokenRow {
            stored: stored.clone(),
            spent: false,
        };
        self.tokens.insert(stored.token.hash.0, row);
    }
}

#[async_trait]
impl Accounts for MemoryStore {
    async fn create(&self, account: NewAccount, only_first: bool) -> Result<CreateOutcome, StoreError> {
        let NewAccount { user, password } = account;
        let mut table = lock(&self.accounts);
        if only_first && !table.accounts.is_empty() {
            return Ok(CreateOutcome::NotFirst);
        }
        let name = user.username.folded();
        if table.accounts.contains_key(&name) {
            return Ok(CreateOutcome::NameTaken);
        }
        self.add_user(user.id);
        table.accounts.insert(name, Account { user, password });
        Ok(CreateOutcome::Created)
    }

    async fn by_name(&self, name: &Username) -> Result<Option<Account>, StoreError> {
        Ok(lock(&self.accounts).accounts.get(&name.folded()).cloned())
    }

    async fn by_id(&self, id: UserId) -> Result<Option<Account>, StoreError> {
        Ok(lock(&self.accounts).by_id(id).cloned())
    }

    async fn list(&self, page: PageNumber) -> Result<Listing<User>, StoreError> {
        let table = lock(&self.accounts);
        let users = table.accounts.values().map(|account| account.user.clone());
        let offset = usize::try_from(page.offset()).unwrap_or(usize::MAX);
        Ok(Listing {
            items: users.skip(offset).take(page.size() as usize).collect(),
            total: table.accounts.len() as u64,
        })
    }

    async fn update(
        &self,
        id: UserId,
        change: AccountChange,
        now: UnixMillis,
    ) -> Result<UpdateOutcome, StoreError> {
        let mut table = lock(&self.accounts);
        if self.read(id, Model::is_closed) == Some(true) {
            return Ok(UpdateOutcome::NotFound);
        }
        Ok(table.update(id, &change, now))
    }

    async fn remove(&self, id: UserId, limit: u32) -> Result<RemoveOutcome, StoreError> {
        if let Some(outcome) = lock(&self.accounts).close(id) {
            return Ok(outcome);
        }
        self.remove_clock(id).await?;
        if !self.remove_rows(id, limit as usize) {
            return Ok(RemoveOutcome::Removing);
        }
        let mut table = lock(&self.accounts);
        if table.by_id(id).is_some() {
            table.accounts.retain(|_, account| account.user.id != id);
            lock(&self.removed).insert(id);
        }
        Ok(RemoveOutcome::Removed)
    }
}

#[async_trait]
impl RefreshTokens for MemoryStore {
    async fn issue(
        &self,
        token: StoredRefreshToken,
        proved_by: PasswordHash,
    ) -> Result<IssueOutcome, StoreError> {
        let mut table = lock(&self.accounts);
        let (user, now) = (token.user, token.token.issued_at);
        let outcome = IssueOutcome::of(table.by_id(user).cloned(), &proved_by);
        if let IssueOutcome::Issued(_) = outcome {
            table
                .tokens
                .retain(|_, row| row.stored.user != user || row.stored.token.expires_at > now);
            table.keep(&token);
        }
        Ok(outcome)
    }

    async fn rotate(&self, spent: TokenHash, next: NewRefreshToken) -> Result<Rotation, StoreError> {
        Ok(lock(&self.accounts).rotate(spent, next))
    }

    async fn end_family(&self, token: TokenHash) -> Result<Option<(UserId, FamilyId)>, StoreError> {
        let mut table = lock(&self.accounts);
        let Some(row) = table.tokens.get(&token.0) else {
            return Ok(None);
        };
        let (user, family) = (row.stored.user, row.stored.family);
        table.end_family(family);
        Ok(Some((user, family)))
    }

    async fn logins(&self, user: UserId, now: UnixMillis) -> Result<Vec<DeviceLogin>, StoreError> {
        Ok(lock(&self.accounts).logins(user, now))
    }

    async fn end_client(&self, user: UserId, client: &ClientId) -> Result<Vec<FamilyId>, StoreError> {
        Ok(lock(&self.accounts).end_client(user, client))
    }
}
