//! Accounts and refresh tokens.

use std::collections::BTreeMap;

use async_trait::async_trait;
use mosaic_domain::account::{User, Username};
use mosaic_domain::query::{Listing, PageNumber};
use mosaic_domain::{FamilyId, UnixMillis, UserId};
use mosaic_ports::{
    Account, AccountChange, Accounts, CreateOutcome, DumpedRefreshToken, IssueOutcome, NewAccount,
    NewRefreshToken, PasswordHash, RefreshTokens, Rotation, StoreError, StoredRefreshToken, TokenHash,
    UpdateOutcome,
};

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
        let new = change.apply(&old, now);
        let name = new.user.username.folded();
        if self.accounts.get(&name).is_some_and(|other| other.user.id != id) {
            return UpdateOutcome::NameTaken;
        }
        let others = self
            .accounts
            .values()
            .any(|other| other.user.id != id && other.user.administers());
        if old.user.steps_down_as(&new.user) && !others {
            return UpdateOutcome::LastAdmin;
        }
        self.accounts.remove(&old.user.username.folded());
        self.accounts.insert(name, new.clone());
        if change.end_logins {
            self.tokens.retain(|_, row| row.stored.user != id);
        }
        UpdateOutcome::Updated(new.user)
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
        Ok(lock(&self.accounts).update(id, &change, now))
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
}
