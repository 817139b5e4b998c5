//! Accounts and logins.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use mosaic_domain::account::{
    Account, AccountChange, AccountFacts, AccountWrite, ActingLogin, CreateOutcome, PasswordHash,
    RemoveOutcome, UpdateOutcome, User, Username,
};
use mosaic_domain::login::{
    FoundLogin, IssueOutcome, KeptLogin, LoginAccount, LoginAge, LoginRefusal, LoginWrite, NewRefreshToken,
    PresentedToken, Rotation, StoredRefreshToken,
};
use mosaic_domain::plan::Plan;
use mosaic_domain::query::{Listing, PageNumber};
use mosaic_domain::{ClientId, FamilyId, UnixMillis, UserId};
use mosaic_ports::{AccountStore, DeviceLogin, EarlierToken, RefreshTokens, StoreError};
use uuid::Uuid;

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
        self.put_account(account);
        self.end(user, |_| true);
        self.logins.extend(logins);
        self.earlier
            .extend(earlier.into_iter().map(|token| (user, token)));
    }

    /// What decides about an account, and about a name for it.
    fn facts(
        &self,
        id: UserId,
        name: Option<&Username>,
        has_clock: bool,
        by: Option<ActingLogin>,
    ) -> AccountFacts {
        let mut others = self.accounts.values().filter(|other| other.user.id != id);
        let namesake = name.and_then(|name| self.accounts.get(&name.folded()));
        AccountFacts {
            account: self.by_id(id).cloned(),
            has_clock,
            any: !self.accounts.is_empty(),
            name_taken: namesake.is_some_and(|other| other.user.id != id),
            other_admin: others.any(|other| other.user.administers()),
            standing: self.standing(by.map_or(id, |by| by.user), by.map(|by| by.login)),
        }
    }

    fn put_account(&mut self, account: Account) {
        let id = account.user.id;
        self.accounts.retain(|_, other| other.user.id != id);
        self.accounts.insert(account.user.username.folded(), account);
    }

    /// Closes an account and ends its logins.
    fn close(&mut self, id: UserId) {
        for account in self.accounts.values_mut().filter(|account| account.user.id == id) {
            account.user.disabled = true;
        }
        self.end(id, |_| true);
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

    /// The logins of a device, by id.
    fn families(&self, user: UserId, client: &ClientId) -> Vec<FamilyId> {
        let logins = self.logins.iter().map(|kept| &kept.stored);
        let theirs = logins.filter(|stored| stored.user == user && stored.client.as_ref() == Some(client));
        let mut families: Vec<_> = theirs.map(|stored| stored.family).collect();
        families.sort_unstable();
        families
    }

    fn find(&self, token: PresentedToken) -> Option<FoundLogin> {
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
        let kept = self.logins.iter().find(is_meant)?.clone();
        let account = self.by_id(kept.stored.user)?;
        let disabled = account.user.disabled;
        Some(FoundLogin { kept, disabled })
    }

    /// Writes what was decided. Says also whose logins it ended.
    fn carry_out<O>(&mut self, plan: Plan<LoginWrite, O>) -> (O, Option<UserId>) {
        let Plan { write, outcome } = plan;
        let ended = write.as_ref().and_then(LoginWrite::ends_logins_of);
        if let Some(LoginWrite { user, end, keep }) = write {
            self.end(user, |stored| end.contains(&stored.family));
            if let Some(kept) = keep {
                self.end(user, |stored| {
                    stored.token.expires_at <= kept.stored.token.issued_at
                });
                self.put(kept);
            }
        }
        (outcome, ended)
    }

    fn put(&mut self, kept: KeptLogin) {
        let of = |kept: &KeptLogin| (kept.stored.user, kept.stored.family);
        self.logins.retain(|other| of(other) != of(&kept));
        self.logins.push(kept);
    }

    /// Ends the logins of a user that are meant.
    fn end(&mut self, user: UserId, is_meant: impl Fn(&StoredRefreshToken) -> bool) {
        self.logins
            .retain(|kept| kept.stored.user != user || !is_meant(&kept.stored));
        let logins = &self.logins;
        self.earlier
            .retain(|(_, token)| logins.iter().any(|kept| kept.stored.family == token.family));
    }

    /// Whether a login may go on; `None`: the server itself asks.
    pub(super) fn standing(&self, user: UserId, login: Option<FamilyId>) -> Result<(), LoginRefusal> {
        let mut logins = self.logins.iter().map(|kept| &kept.stored);
        let is_there = logins.any(|stored| stored.user == user && Some(stored.family) == login);
        let account = self.by_id(user).filter(|_| is_there);
        let found = account.map(|account| LoginAccount {
            disabled: account.user.disabled,
            must_change_password: account.user.must_change_password,
        });
        LoginRefusal::check(login, found)
    }

    /// How old each login of a user is.
    fn ages(&self, user: UserId) -> Vec<LoginAge> {
        let logins = self.logins.iter().map(|kept| &kept.stored);
        let age = |stored: &StoredRefreshToken| LoginAge {
            family: stored.family,
            issued_at: stored.token.issued_at,
            expires_at: stored.token.expires_at,
        };
        logins.filter(|stored| stored.user == user).map(age).collect()
    }
}

#[async_trait]
impl AccountStore for MemoryStore {
    async fn create(
        &self,
        account: Account,
        only_first: bool,
        by: Option<ActingLogin>,
    ) -> Result<CreateOutcome, StoreError> {
        let mut table = lock(&self.accounts);
        let facts = table.facts(account.user.id, Some(&account.user.username), false, by);
        let plan = account.create(&facts, only_first);
        if let Some(account) = plan.write {
            self.add_user(account.user.id);
            table.put_account(account);
        }
        Ok(plan.outcome)
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
        by: Option<ActingLogin>,
    ) -> Result<UpdateOutcome, StoreError> {
        let ends_logins = change.end_logins;
        let work = move |table: &mut AccountTable, has_clock| {
            let facts = table.facts(id, change.username.as_ref(), has_clock, by);
            let plan = change.decide(&facts, now);
            let mut ended = None;
            if let Some(AccountWrite { account, end_logins }) = plan.write {
                table.put_account(account);
                if end_logins {
                    table.end(id, |_| true);
                    ended = Some(id);
                }
            }
            (plan.outcome, ended)
        };
        self.with_accounts(id, ends_logins, work).await
    }

    async fn remove(
        &self,
        id: UserId,
        limit: u32,
        by: Option<ActingLogin>,
    ) -> Result<RemoveOutcome, StoreError> {
        {
            let mut table = lock(&self.accounts);
            let plan = table.facts(id, None, self.has_clock(id), by).remove();
            let Some(_) = plan.write else {
                return Ok(plan.outcome);
            };
            table.close(id);
        }
        self.remove_clock(id).await?;
        self.tell_ended(id);
        let limit = limit.max(1);
        let plan = RemoveOutcome::of_rows(self.remove_rows(id, limit as usize) as u64, limit);
        let mut table = lock(&self.accounts);
        if plan.write.is_some() && table.by_id(id).is_some() {
            table.accounts.retain(|_, account| account.user.id != id);
            lock(&self.removed).insert(id);
        }
        Ok(plan.outcome)
    }
}

#[async_trait]
impl RefreshTokens for MemoryStore {
    async fn issue(
        &self,
        login: StoredRefreshToken,
        expected: PasswordHash,
    ) -> Result<IssueOutcome, StoreError> {
        let user = login.user;
        let work = move |table: &mut AccountTable, _| {
            let (account, logins) = (table.by_id(user).cloned(), table.ages(user));
            table.carry_out(login.issue(&expected, account, logins))
        };
        self.with_accounts(user, true, work).await
    }

    async fn rotate(
        &self,
        spent: PresentedToken,
        next: NewRefreshToken,
        grace_ms: i64,
    ) -> Result<Rotation, StoreError> {
        let owner = self.owner(spent);
        let work = move |table: &mut AccountTable, _| {
            let found = table.find(spent);
            table.carry_out(spent.rotate(found, &next, grace_ms))
        };
        self.with_accounts(owner, true, work).await
    }

    async fn standing(&self, user: UserId, login: FamilyId) -> Result<Result<(), LoginRefusal>, StoreError> {
        Ok(lock(&self.accounts).standing(user, Some(login)))
    }

    async fn end_family(&self, token: PresentedToken) -> Result<Option<(UserId, FamilyId)>, StoreError> {
        let work = move |table: &mut AccountTable, _| {
            let found = table.find(token);
            table.carry_out(FoundLogin::end(found))
        };
        self.with_accounts(self.owner(token), true, work).await
    }

    async fn logins(&self, user: UserId, now: UnixMillis) -> Result<Vec<DeviceLogin>, StoreError> {
        Ok(lock(&self.accounts).logins(user, now))
    }

    async fn end_client(&self, user: UserId, client: &ClientId) -> Result<Vec<FamilyId>, StoreError> {
        let client = client.clone();
        let work = move |table: &mut AccountTable, _| {
            let families = table.families(user, &client);
            table.carry_out(LoginWrite::end(user, families))
        };
        self.with_accounts(user, true, work).await
    }
}

impl MemoryStore {
    /// Whose token it is; nobody's has an id of its own.
    fn owner(&self, token: PresentedToken) -> UserId {
        let found = lock(&self.accounts).find(token);
        found.map_or(UserId::new(Uuid::nil()), |found| found.kept.stored.user)
    }
}
