//! Accounts. Changes are rare, and take turns by a lock on the one row of `account_lock`, on any number of instances:
//! the facts that a decision is made from are still true when it is carried out. The constraints of the schema stand
//! behind it.

use async_trait::async_trait;
use mosaic_domain::account::{
    Account, AccountChange, AccountFacts, AccountWrite, ActingLogin, CreateOutcome, PasswordHash,
    RemoveOutcome, UpdateOutcome, User, Username,
};
use mosaic_domain::query::{Listing, PageNumber};
use mosaic_domain::{FamilyId, UnixMillis, UserId};
use mosaic_ports::rows::{self, ACCOUNT_COLUMNS, ACCOUNT_WIDTH};
use mosaic_ports::{AccountStore, StoreError};
use tokio_postgres::Row;
use tokio_postgres::types::Type;
use uuid::Uuid;

use crate::PostgresStore;
use crate::error::Failure;
use crate::query::bounds;
use crate::retry::retrying;
use crate::rows::{PostgresRow, column};
use crate::session::{Session, Step, Value};
use crate::standing;

#[async_trait]
impl AccountStore for PostgresStore {
    async fn create(
        &self,
        account: Account,
        only_first: bool,
        by: Option<ActingLogin>,
    ) -> Result<CreateOutcome, StoreError> {
        Ok(retrying(|| self.create_once(&account, only_first, by)).await?)
    }

    async fn by_name(&self, name: &Username) -> Result<Option<Account>, StoreError> {
        // By the form of before first: accounts that differ in letter case alone are from then.
        let sql = format!(
            "SELECT {ACCOUNT_COLUMNS} FROM users WHERE username_folded IN ($1, $2)
             ORDER BY username_folded = $1 DESC LIMIT 1"
        );
        let forms: [Value<'_>; 2] = [(&name.folded_before(), Type::TEXT), (&name.folded(), Type::TEXT)];
        let rows = self.database.read(&sql, &forms).await?;
        Ok(rows.first().map(account).transpose()?)
    }

    async fn by_id(&self, id: UserId) -> Result<Option<Account>, StoreError> {
        let rows = self
            .database
            .read(&by_id_sql(), &[(&id.uuid(), Type::UUID)])
            .await?;
        Ok(rows.first().map(account).transpose()?)
    }

    async fn list(&self, page: PageNumber) -> Result<Listing<User>, StoreError> {
        Ok(self.list_accounts(page).await?)
    }

    async fn update(
        &self,
        id: UserId,
        change: AccountChange,
        now: UnixMillis,
        by: Option<ActingLogin>,
    ) -> Result<UpdateOutcome, StoreError> {
        Ok(retrying(|| self.update_once(id, &change, now, by)).await?)
    }

    async fn remove(
        &self,
        id: UserId,
        limit: u32,
        by: Option<ActingLogin>,
    ) -> Result<RemoveOutcome, StoreError> {
        Ok(retrying(|| self.remove_once(id, limit, by)).await?)
    }
}

/// The account $1.
pub(crate) fn by_id_sql() -> String {
    format!("SELECT {ACCOUNT_COLUMNS} FROM users WHERE user_id = $1")
}

/// Reads an account as [`by_id_sql`] gives it.
pub(crate) fn account(row: &Row) -> Result<Account, Failure> {
    rows::account(&PostgresRow(row))
}

/// The columns of a user who is to be stored.
pub(crate) struct UserValues {
    id: Uuid,
    username: String,
    folded: String,
    password: String,
    avatar_url: Option<String>,
    role: &'static str,
    must_change_password: bool,
    disabled: bool,
    created_at: i64,
    updated_at: i64,
    time_zone: Option<String>,
    quota: Option<i64>,
}

impl UserValues {
    pub(crate) fn new(user: &User, password: &PasswordHash) -> Self {
        Self::folded_as(user, password, user.username.folded())
    }

    /// With the form of before of the name, in which no two are alike, until the store is opened again
    /// ([`refold`](crate::refold)).
    pub(crate) fn to_load(user: &User, password: &PasswordHash) -> Self {
        Self::folded_as(user, password, user.username.folded_before())
    }

    fn folded_as(user: &User, password: &PasswordHash, folded: String) -> Self {
        Self {
            id: user.id.uuid(),
            username: user.username.as_str().to_owned(),
            folded,
            password: password.expose().to_owned(),
            avatar_url: user.avatar_url.as_ref().map(|url| url.as_str().to_owned()),
            role: user.role.name(),
            must_change_password: user.must_change_password,
            disabled: user.disabled,
            created_at: user.created_at.get(),
            updated_at: user.updated_at.get(),
            time_zone: user.time_zone.as_ref().map(|zone| zone.name().to_owned()),
            quota: user.quota.stored(),
        }
    }

    pub(crate) fn values(&self) -> Vec<Value<'_>> {
        vec![
            (&self.id, Type::UUID),
            (&self.username, Type::TEXT),
            (&self.folded, Type::TEXT),
            (&self.password, Type::TEXT),
            (&self.avatar_url, Type::TEXT),
            (&self.role, Type::TEXT),
            (&self.must_change_password, Type::BOOL),
            (&self.disabled, Type::BOOL),
            (&self.created_at, Type::INT8),
            (&self.updated_at, Type::INT8),
            (&self.time_zone, Type::TEXT),
            (&self.quota, Type::INT8),
        ]
    }
}

/// The lock that changes of accounts take first.
pub(crate) const LOCK: Step<'static> =
    Step::Command("SELECT 1 FROM account_lock WHERE only_row = 1 FOR UPDATE");

/// Whether anybody has an account, whether somebody other than $1 has the name $2, and whether somebody other than $1
/// administers the server.
const FACTS: &str = "
    SELECT EXISTS (SELECT 1 FROM users),
           EXISTS (SELECT 1 FROM users WHERE username_folded = $2 AND user_id <> $1),
           EXISTS (SELECT 1 FROM users WHERE role = 'admin' AND NOT is_disabled AND user_id <> $1)";

const HAS_CLOCK: &str = "SELECT 1 FROM sync_clocks WHERE user_id = $1";

const INSERT: &str = "
    INSERT INTO users (user_id, username, username_folded, password_hash, avatar_url, role, must_change_password,
                       is_disabled, created_at, updated_at, time_zone, quota_bytes)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)";

/// Writes a user, whether it is there or not.
pub(crate) const PUT: &str = "
    INSERT INTO users (user_id, username, username_folded, password_hash, avatar_url, role, must_change_password,
                       is_disabled, created_at, updated_at, time_zone, quota_bytes)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
    ON CONFLICT (user_id) DO UPDATE SET
        username = excluded.username, username_folded = excluded.username_folded,
        password_hash = excluded.password_hash, avatar_url = excluded.avatar_url, role = excluded.role,
        must_change_password = excluded.must_change_password, is_disabled = excluded.is_disabled,
        created_at = excluded.created_at, updated_at = excluded.updated_at, time_zone = excluded.time_zone,
        quota_bytes = excluded.quota_bytes";

const INSERT_CLOCK: &str = "INSERT INTO sync_clocks (user_id, last_stamp) VALUES ($1, $2)";

/// Writes an account that is new, and its clock.
pub(crate) fn insert<'a>(new: &'a UserValues, first_stamp: &'a i64) -> Vec<Step<'a>> {
    let clock: Vec<Value<'_>> = vec![(&new.id, Type::UUID), (first_stamp, Type::INT8)];
    vec![
        Step::Fixed(INSERT, new.values()),
        Step::Fixed(INSERT_CLOCK, clock),
    ]
}

/// A name that stays as it is keeps its form: it may be one of before.
const UPDATE: &str = "
    UPDATE users SET username_folded = CASE WHEN username = $2 THEN username_folded ELSE $3 END,
                     username = $2, password_hash = $4, avatar_url = $5, role = $6,
                     must_change_password = $7, is_disabled = $8, created_at = $9, updated_at = $10,
                     time_zone = $11, quota_bytes = $12
    WHERE user_id = $1";

impl PostgresStore {
    /// Begins a transaction, takes the lock of all changes of accounts, and looks up what decides about one, and
    /// about a name for it.
    pub(crate) async fn lock_account(
        &self,
        id: UserId,
        name: Option<&Username>,
        by: Option<ActingLogin>,
    ) -> Result<(Session, AccountFacts), Failure> {
        let (uuid, name, by_id) = (id.uuid(), name.map(Username::folded), by_id_sql());
        let standing_sql = standing::standing_sql("$1", "$2");
        let (acting, login) = (by.map(|by| by.user.uuid()), by.map(|by| by.login));
        let login_id = login.map(FamilyId::uuid);
        let mut steps = vec![
            LOCK,
            Step::Fixed(&by_id, vec![(&uuid, Type::UUID)]),
            Step::Fixed(FACTS, vec![(&uuid, Type::UUID), (&name, Type::TEXT)]),
            Step::Fixed(HAS_CLOCK, vec![(&uuid, Type::UUID)]),
        ];
        if by.is_some() {
            // Whatever ends a login has this lock first: it is waited for, and what it leaves is read.
            steps.push(Step::Fixed(standing::LOCK_USER, vec![(&acting, Type::UUID)]));
            let values: Vec<Value<'_>> = vec![(&acting, Type::UUID), (&login_id, Type::UUID)];
            steps.push(Step::Fixed(&standing_sql, values));
        }
        let mut session = self.database.session().await?;
        let answers = session.begin(steps).await?;
        let [_, found, facts, clock, rest @ ..] = answers.as_slice() else {
            return Err(Failure::Lost);
        };
        let standing = rest.last().and_then(|rows| rows.first());
        let facts = facts.first().ok_or(Failure::Lost)?;
        let facts = AccountFacts {
            account: found.first().map(account).transpose()?,
            any: column(facts, 0, "users")?,
            name_taken: column(facts, 1, "users")?,
            other_admin: column(facts, 2, "users")?,
            has_clock: !clock.is_empty(),
            standing: standing::standing(login, standing, 0)?,
        };
        Ok((session, facts))
    }

    async fn create_once(
        &self,
        account: &Account,
        only_first: bool,
        by: Option<ActingLogin>,
    ) -> Result<CreateOutcome, Failure> {
        let name = &account.user.username;
        let (session, facts) = self.lock_account(account.user.id, Some(name), by).await?;
        let plan = account.create(&facts, only_first);
        if let Some(Account { user, password }) = plan.write {
            let new = UserValues::new(&user, &password);
            let first_stamp = user.first_stamp().get();
            session.commit(insert(&new, &first_stamp)).await?;
        }
        Ok(plan.outcome)
    }

    async fn update_once(
        &self,
        id: UserId,
        change: &AccountChange,
        now: UnixMillis,
        by: Option<ActingLogin>,
    ) -> Result<UpdateOutcome, Failure> {
        let (session, facts) = self.lock_account(id, change.username.as_ref(), by).await?;
        let plan = change.decide(&facts, now);
        if let Some(AccountWrite { account, end_logins }) = plan.write {
            let (uuid, values) = (id.uuid(), UserValues::new(&account.user, &account.password));
            let mut steps = vec![Step::Fixed(UPDATE, values.values())];
            if end_logins {
                // A write that has the clock is waited for; one that gets it later finds no login.
                steps.push(Step::Fixed(standing::LOCK, vec![(&uuid, Type::UUID)]));
                steps.push(Step::Fixed(standing::END_ALL, vec![(&uuid, Type::UUID)]));
            }
            session.commit(steps).await?;
            self.commits.logins_ended(end_logins.then_some(id));
        }
        Ok(plan.outcome)
    }

    async fn list_accounts(&self, page: PageNumber) -> Result<Listing<User>, Failure> {
        let sql = format!(
            "SELECT {ACCOUNT_COLUMNS}, total.users
             FROM (SELECT count(*) AS users FROM users) AS total
             LEFT JOIN LATERAL (SELECT * FROM users ORDER BY username_folded LIMIT (SELECT $1) OFFSET (SELECT $2)) AS u ON true
             ORDER BY username_folded"
        );
        let (limit, offset) = bounds(page);
        let found = self
            .database
            .read(&sql, &[(&limit, Type::INT8), (&offset, Type::INT8)])
            .await?;
        let mut items = Vec::with_capacity(found.len());
        let mut total: i64 = 0;
        for row in &found {
            total = column(row, ACCOUNT_WIDTH, "count")?;
            if column::<Option<Uuid>>(row, 0, "users.user_id")?.is_some() {
                items.push(rows::user(&PostgresRow(row))?);
            }
        }
        Ok(Listing {
            items,
            total: total.unsigned_abs(),
        })
    }
}
