//! Accounts and logins.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use mosaic_domain::account::{User, Username};
use mosaic_domain::query::{Listing, PageNumber};
use mosaic_domain::{ClientId, FamilyId, UnixMillis, UserId};
use mosaic_ports::{
    Account, AccountChange, Accounts, CreateOutcome, DeviceLogin, EarlierToken, IssueOutcome, KeptLogin,
    LOGINS_MAX, LoginRefusal, NewAccount, NewRefreshToken, PasswordHash, PresentedToken, RefreshTokens,
    RemoveOutcome, Rotation, Spending, StoreError, StoredRefreshToken, UpdateOutcome,
};

use super::store::{MemoryStore, lock};

/// Accounts by folded name, and the logins.
#[derive(Default)]
pub(super) struct AccountTable {
    accounts: BTreeMap<String, Account>,
    logins: Vec<KeptLogin>,
    /// Tokens of a version before, and whose they are.
    earlier: Vec<(UserId, EarlierToken)>,
}

impl AccountTable {
    fn by_id(&self, id: UserId) -> Option<&Account> {
        self.accounts.values().find(|account| account.user.id == id)
    }

    /// The logins of a user, by id, and the tokens of a version before, by hash.
    pub(super) fn dump_logins(&self, user: UserId) -> (Vec<KeptLogin>, Vec<EarlierToken>) {
        let logins = self.logins.iter().filter(|kept| kept.stored.user == user);
        let mut logins: Vec<_> = logins.cloned().collect();
        logins.sort_by_key(|kept| kept.stored.family);
        let earlier = self.earlier.iter().filter(|(owner, _)| *owner == user);
        let mut earlier: Vec<_> = earlier.map(|(_, token)| *token).collect();
        earlier.sort_by_key(|token| token.hash);
        (logins, earlier)
    }

    /// Writes an account and its logins.
    pub(super) fn load(&mut self, account: Account, logins: Vec<KeptLogin>, earlier: Vec<EarlierToken>) {
        let user = account.user.id;
        self.accounts.retain(|_, other| other.user.id != user);
        self.accounts.insert(account.user.username.folded(), account);
        self.end(user, |_| true);
        self.logins.extend(logins);
        self.earlier
            .extend(earlier.into_iter().map(|token| (user, token)));
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
            self.end(id, |_| true);
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
        self.end(id, |_| true);
        None
    }

    /// A login that named no device belongs to this one from now on (D2).
    pub(super) fn bind(&mut self, user: UserId, family: FamilyId, client: &ClientId) {
        let rows = self.logins.iter_mut().map(|kept| &mut kept.stored);
        for stored in rows.filter(|stored| stored.user == user && stored.family == family) {
            stored.client.get_or_insert_with(|| client.clone());
        }
    }

    /// The devices that have a login.
    pub(super) fn clients(&self, user: UserId) -> BTreeSet<ClientId> {
        let of_user = self.logins.iter().filter(|kept| kept.stored.user == user);
        of_user.filter_map(|kept| kept.stored.client.clone()).collect()
    }

    fn logins(&self, user: UserId, now: UnixMillis) -> Vec<DeviceLogin> {
        let working = self
            .logins
            .iter()
            .map(|kept| &kept.stored)
            .filter(|stored| stored.user == user && stored.token.expires_at > now);
        let mut logins: Vec<_> = working
            .filter_map(|stored| {
                Some(DeviceLogin {
                    client: stored.client.clone()?,
                    device_name: stored.device_name.clone(),
                    issued_at: stored.token.issued_at,
                })
            })
            .collect();
        logins.sort_by_key(|login| (login.client.to_string(), Reverse(login.issued_at)));
        logins
    }

    fn end_client(&mut self, user: UserId, client: &ClientId) -> Vec<FamilyId> {
        let is_theirs = |stored: &StoredRefreshToken| stored.client.as_ref() == Some(client);
        let mut families: Vec<_> = self
            .logins
            .iter()
            .map(|kept| &kept.stored)
            .filter(|stored| stored.user == user && is_theirs(stored))
            .map(|stored| stored.family)
            .collect();
        families.sort_unstable();
        self.end(user, is_theirs);
        families
    }

    fn find(&self, token: PresentedToken) -> Option<&KeptLogin> {
        let earlier = self
            .earlier
            .iter()
            .find(|(_, earlier)| earlier.hash == token.hash);
        let is_meant = |kept: &&KeptLogin| {
            kept.stored.token.key == token.key
                || earlier.is_some_and(|(user, earlier)| {
                    (kept.stored.user, kept.stored.family) == (*user, earlier.family)
                })
        };
        self.logins.iter().find(is_meant)
    }

    fn rotate(&mut self, spent: PresentedToken, next: &NewRefreshToken, grace_ms: i64) -> Rotation {
        let Some(kept) = self.find(spent).cloned() else {
            return Rotation::Refused;
        };
        let (user, family) = (kept.stored.user, kept.stored.family);
        if self.by_id(user).is_none_or(|account| account.user.disabled) {
            return Rotation::Refused;
        }
        match kept.spend(spent, next, grace_ms) {
            Spending::Rotate(next) => {
                let stored = next.stored.clone();
                self.put(next);
                Rotation::Rotated(stored)
            }
            Spending::Again => Rotation::Again(kept.stored),
            Spending::Reuse => {
                self.end(user, |stored| stored.family == family);
                Rotation::Reused { user, family }
            }
            Spending::Refuse => Rotation::Refused,
        }
    }

    fn put(&mut self, kept: KeptLogin) {
        let of = |kept: &KeptLogin| (kept.stored.user, kept.stored.family);
        self.logins.retain(|other| of(other) != of(&kept));
        self.logins.push(kept);
    }

    /// Ends the logins of a user that are meant. Says whether there were any.
    fn end(&mut self, user: UserId, is_meant: impl Fn(&StoredRefreshToken) -> bool) -> bool {
        let before = self.logins.len();
        self.logins
            .retain(|kept| kept.stored.user != user || !is_meant(&kept.stored));
        let logins = &self.logins;
        self.earlier
            .retain(|(_, token)| logins.iter().any(|kept| kept.stored.family == token.family));
        self.logins.len() < before
    }

    /// Whether a login may go on; the server itself (`None`) may.
    pub(super) fn standing(&self, user: UserId, login: Option<FamilyId>) -> Result<(), LoginRefusal> {
        let Some(login) = login else {
            return Ok(());
        };
        let mut logins = self.logins.iter().map(|kept| &kept.stored);
        let account = logins
            .any(|stored| stored.user == user && stored.family == login)
            .then(|| self.by_id(user))
            .flatten()
            .filter(|account| !account.user.disabled);
        LoginRefusal::check(account.map(|account| account.user.must_change_password))
    }

    /// Makes room for one more login, and forgets what has expired. Says whether a login ended.
    fn make_room(&mut self, user: UserId, now: UnixMillis) -> bool {
        self.end(user, |stored| stored.token.expires_at <= now);
        let mut times: Vec<_> = self
            .logins
            .iter()
            .map(|kept| &kept.stored)
            .filter(|stored| stored.user == user)
            .map(|stored| (Reverse(stored.token.issued_at), stored.family))
            .collect();
        times.sort_unstable();
        let unused: Vec<_> = times.into_iter().skip(LOGINS_MAX as usize - 1).collect();
        self.end(user, |stored| {
            unused.iter().any(|(_, family)| *family == stored.family)
        })
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
        let ends_logins = change.end_logins;
        let change = move |table: &mut AccountTable, is_closed| {
            if is_closed {
                UpdateOutcome::NotFound
            } else {
                table.update(id, &change, now)
            }
        };
        let outcome = self.with_accounts(id, ends_logins, change).await?;
        if ends_logins && matches!(outcome, UpdateOutcome::Updated(_)) {
            self.tell_ended(id);
        }
        Ok(outcome)
    }

    async fn remove(&self, id: UserId, limit: u32) -> Result<RemoveOutcome, StoreError> {
        if let Some(outcome) = lock(&self.accounts).close(id) {
            return Ok(outcome);
        }
        self.remove_clock(id).await?;
        self.tell_ended(id);
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
        login: StoredRefreshToken,
        proved_by: PasswordHash,
    ) -> Result<IssueOutcome, StoreError> {
        let user = login.user;
        let mut table = lock(&self.accounts);
        let outcome = IssueOutcome::of(table.by_id(user).cloned(), &proved_by);
        let mut ended = false;
        if let IssueOutcome::Issued(_) = outcome {
            ended = table.make_room(user, login.token.issued_at);
            table.put(KeptLogin {
                stored: login,
                spent: None,
            });
        }
        drop(table);
        if ended {
            self.tell_ended(user);
        }
        Ok(outcome)
    }

    async fn rotate(
        &self,
        spent: PresentedToken,
        next: NewRefreshToken,
        grace_ms: i64,
    ) -> Result<Rotation, StoreError> {
        let owner = lock(&self.accounts).find(spent).map(|kept| kept.stored.user);
        let Some(owner) = owner else {
            return Ok(Rotation::Refused);
        };
        let work = move |table: &mut AccountTable, _| table.rotate(spent, &next, grace_ms);
        let rotation = self.with_accounts(owner, true, work).await?;
        if let Rotation::Reused { user, .. } = rotation {
            self.tell_ended(user);
        }
        Ok(rotation)
    }

    async fn standing(&self, user: UserId, login: FamilyId) -> Result<Result<(), LoginRefusal>, StoreError> {
        Ok(lock(&self.accounts).standing(user, Some(login)))
    }

    async fn end_family(&self, token: PresentedToken) -> Result<Option<(UserId, FamilyId)>, StoreError> {
        let found = lock(&self.accounts)
            .find(token)
            .map(|kept| (kept.stored.user, kept.stored.family));
        let Some((user, family)) = found else {
            return Ok(None);
        };
        let end = move |table: &mut AccountTable, _| table.end(user, |stored| stored.family == family);
        let ended = self.with_accounts(user, true, end).await?;
        self.tell_ended(user);
        Ok(ended.then_some((user, family)))
    }

    async fn logins(&self, user: UserId, now: UnixMillis) -> Result<Vec<DeviceLogin>, StoreError> {
        Ok(lock(&self.accounts).logins(user, now))
    }

    async fn end_client(&self, user: UserId, client: &ClientId) -> Result<Vec<FamilyId>, StoreError> {
        let client = client.clone();
        let end = move |table: &mut AccountTable, _| table.end_client(user, &client);
        let ended = self.with_accounts(user, true, end).await?;
        if !ended.is_empty() {
            self.tell_ended(user);
        }
        Ok(ended)
    }
}
