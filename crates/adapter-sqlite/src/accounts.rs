//! Accounts. The writer does one thing at a time, so the facts that a decision is made from are still true when it is
//! carried out. The constraints of the schema stand behind it.

use async_trait::async_trait;
use mosaic_domain::account::{
    Account, AccountChange, AccountWrite, ActingLogin, CreateOutcome, PasswordHash, RemoveOutcome,
    UpdateOutcome, User, Username,
};
use mosaic_domain::query::{Listing, PageNumber};
use mosaic_domain::text::Label;
use mosaic_domain::{TimeZone, UnixMillis, UserId};
use mosaic_ports::rows::{self, ACCOUNT_COLUMNS};
use mosaic_ports::{AccountStore, StoreError};
use rusqlite::{Connection, named_params};

use crate::SqliteStore;
use crate::commits::CommitEvent;
use crate::error::Failure;
use crate::query::bounds;
use crate::removal;
use crate::rows::read_all;
use crate::standing::{self, by_id, facts, find};

#[async_trait]
impl AccountStore for SqliteStore {
    async fn create(
        &self,
        account: Account,
        only_first: bool,
        by: Option<ActingLogin>,
    ) -> Result<CreateOutcome, StoreError> {
        let job = move |conn: &Connection| create(conn, &account, only_first, by);
        Ok(self.writer.run(job).await?)
    }

    async fn by_name(&self, name: &Username) -> Result<Option<Account>, StoreError> {
        let name = name.clone();
        let look_up = move |conn: &Connection| by_name(conn, &name);
        Ok(self.readers.read(look_up).await?)
    }

    async fn by_id(&self, id: UserId) -> Result<Option<Account>, StoreError> {
        let look_up = move |conn: &Connection| by_id(conn, id);
        Ok(self.readers.read(look_up).await?)
    }

    async fn list(&self, page: PageNumber) -> Result<Listing<User>, StoreError> {
        let look_up = move |conn: &Connection| list(conn, page);
        Ok(self.readers.read(look_up).await?)
    }

    async fn update(
        &self,
        id: UserId,
        change: AccountChange,
        now: UnixMillis,
        by: Option<ActingLogin>,
    ) -> Result<UpdateOutcome, StoreError> {
        let job = move |conn: &Connection| update(conn, id, &change, now, by);
        Ok(self.writer.change_account(job).await?)
    }

    async fn remove(
        &self,
        id: UserId,
        limit: u32,
        by: Option<ActingLogin>,
    ) -> Result<RemoveOutcome, StoreError> {
        let job = move |conn: &Connection| removal::step(conn, id, limit, by);
        Ok(self.writer.change_account(job).await?)
    }
}

/// The account with that name: by the form of before first, since accounts that differ in letter case alone are from then.
pub(crate) fn by_name(conn: &Connection, name: &Username) -> Result<Option<Account>, Failure> {
    let condition = "username_folded IN (?1, ?2) ORDER BY username_folded = ?1 DESC LIMIT 1";
    find(conn, condition, [name.folded_before(), name.folded()])
}

fn list(conn: &Connection, page: PageNumber) -> Result<Listing<User>, Failure> {
    let total: i64 = conn.query_row("SELECT count(*) FROM users", [], |row| row.get(0))?;
    let sql = format!("SELECT {ACCOUNT_COLUMNS} FROM users ORDER BY username_folded LIMIT ?1 OFFSET ?2");
    Ok(Listing {
        items: read_all(conn, &sql, bounds(page), |row| rows::user(row))?,
        total: total.unsigned_abs(),
    })
}

const INSERT: &str = "
    INSERT INTO users (user_id, username, username_folded, password_hash, avatar_url, role, must_change_password,
                       is_disabled, time_zone, quota_bytes, created_at, updated_at)
    VALUES (:user_id, :username, :username_folded, :password_hash, :avatar_url, :role, :must_change_password,
            :is_disabled, :time_zone, :quota_bytes, :created_at, :updated_at)";

/// Writes an account, whether it is there or not. Its name gets the form of before, in which no two are alike, until the
/// store is opened again ([`refold`](crate::refold)).
pub(crate) fn put(conn: &Connection, account: &Account) -> Result<(), Failure> {
    let is_there = by_id(conn, account.user.id)?.is_some();
    let folded = account.user.username.folded_before();
    store(
        conn,
        if is_there { UPDATE } else { INSERT },
        &account.user,
        &account.password,
        &folded,
    )
}

/// A name that stays as it is keeps its form: it may be one of before.
const UPDATE: &str = "
    UPDATE users SET username_folded = iif(username = :username, username_folded, :username_folded),
                     username = :username, password_hash = :password_hash,
                     avatar_url = :avatar_url, role = :role, must_change_password = :must_change_password,
                     is_disabled = :is_disabled, time_zone = :time_zone, quota_bytes = :quota_bytes, created_at = :created_at,
                     updated_at = :updated_at
    WHERE user_id = :user_id";

fn store(
    conn: &Connection,
    sql: &str,
    user: &User,
    password: &PasswordHash,
    folded: &str,
) -> Result<(), Failure> {
    conn.prepare_cached(sql)?.execute(named_params! {
        ":user_id": user.id.uuid(),
        ":username": user.username.as_str(),
        ":username_folded": folded,
        ":password_hash": password.expose(),
        ":avatar_url": user.avatar_url.as_ref().map(Label::as_str),
        ":role": user.role.name(),
        ":must_change_password": user.must_change_password,
        ":is_disabled": user.disabled,
        ":time_zone": user.time_zone.as_ref().map(TimeZone::name),
        ":quota_bytes": user.quota.stored(),
        ":created_at": user.created_at.get(),
        ":updated_at": user.updated_at.get(),
    })?;
    Ok(())
}

fn create(
    conn: &Connection,
    account: &Account,
    only_first: bool,
    by: Option<ActingLogin>,
) -> Result<CreateOutcome, Failure> {
    let facts = facts(conn, account.user.id, Some(&account.user.username), by)?;
    let plan = account.create(&facts, only_first);
    if let Some(account) = plan.write {
        insert(conn, &account)?;
    }
    Ok(plan.outcome)
}

/// Writes an account that is new, and its clock.
pub(crate) fn insert(conn: &Connection, Account { user, password }: &Account) -> Result<(), Failure> {
    store(conn, INSERT, user, password, &user.username.folded())?;
    conn.prepare_cached("INSERT INTO sync_clocks (user_id, last_stamp) VALUES (?1, ?2)")?
        .execute((user.id.uuid(), user.first_stamp().get()))?;
    Ok(())
}

/// Says also that it did.
fn update(
    conn: &Connection,
    id: UserId,
    change: &AccountChange,
    now: UnixMillis,
    by: Option<ActingLogin>,
) -> Result<(UpdateOutcome, Option<CommitEvent>), Failure> {
    let plan = change.decide(&facts(conn, id, change.username.as_ref(), by)?, now);
    let mut event = None;
    if let Some(AccountWrite { account, end_logins }) = plan.write {
        let Account { user, password } = account;
        store(conn, UPDATE, &user, &password, &user.username.folded())?;
        if end_logins {
            standing::end_all(conn, id)?;
        }
        event = Some(CommitEvent::Account {
            user: id,
            ended: end_logins,
        });
    }
    Ok((plan.outcome, event))
}
