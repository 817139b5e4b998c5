//! Logins and their refresh tokens: one row for each login, however often it is renewed.
//!
//! What is done with the logins of one user takes turns by a lock on the user's row: a login that is being ended gets no
//! token meanwhile. A change of the account updates that row before it ends the logins, so a login either sees the change or
//! is ended by it. Whoever ends a login takes the lock of the user's clock next: a write that has it already is waited for,
//! and one that gets it later finds no login.

use std::cmp::Reverse;

use async_trait::async_trait;
use mosaic_domain::account::PasswordHash;
use mosaic_domain::login::{
    FoundLogin, IssueOutcome, KeptLogin, LoginRefusal, LoginWrite, NewRefreshToken, PresentedToken, Rotation,
    StoredRefreshToken, TokenHash,
};
use mosaic_domain::plan::Plan;
use mosaic_domain::{ClientId, FamilyId, UnixMillis, UserId};
use mosaic_ports::rows::{self, LOGIN_COLUMNS};
use mosaic_ports::{DeviceLogin, EarlierToken, RefreshTokens, StoreError};
use tokio_postgres::Row;
use tokio_postgres::types::Type;
use uuid::Uuid;

use crate::PostgresStore;
use crate::accounts::{account, by_id_sql};
use crate::error::Failure;
use crate::retry::retrying;
use crate::rows::{PostgresRow, column};
use crate::session::{Database, Session, Step, Value};
use crate::standing::{LOCK, LOCK_USER};

#[async_trait]
impl RefreshTokens for PostgresStore {
    async fn issue(
        &self,
        login: StoredRefreshToken,
        expected: PasswordHash,
    ) -> Result<IssueOutcome, StoreError> {
        Ok(retrying(|| self.issue_once(&login, &expected)).await?)
    }

    async fn rotate(
        &self,
        spent: PresentedToken,
        next: NewRefreshToken,
        grace_ms: i64,
    ) -> Result<Rotation, StoreError> {
        Ok(retrying(|| self.rotate_once(spent, &next, grace_ms)).await?)
    }

    async fn standing(&self, user: UserId, login: FamilyId) -> Result<Result<(), LoginRefusal>, StoreError> {
        Ok(self.logins.look(user, login).await?)
    }

    async fn end_family(&self, token: PresentedToken) -> Result<Option<(UserId, FamilyId)>, StoreError> {
        Ok(retrying(|| self.end_family_once(token)).await?)
    }

    async fn logins(&self, user: UserId, now: UnixMillis) -> Result<Vec<DeviceLogin>, StoreError> {
        // What a login pulled as decides whose it is.
        self.cursors.flush_of(user).await?;
        let (user, now) = (user.uuid(), now.get());
        let values: [Value<'_>; 2] = [(&user, Type::UUID), (&now, Type::INT8)];
        let found = self.database.read(LOGINS, &values).await?;
        let mut logins = all(&found, rows::device_login)?;
        logins.sort_by(|a, b| (&a.client, Reverse(a.issued_at)).cmp(&(&b.client, Reverse(b.issued_at))));
        Ok(logins)
    }

    async fn end_client(&self, user: UserId, client: &ClientId) -> Result<Vec<FamilyId>, StoreError> {
        self.cursors.flush_of(user).await?;
        Ok(retrying(|| self.end_client_once(user, client)).await?)
    }
}

/// Reads rows.
fn all<'a, T>(
    rows: &'a [Row],
    read: impl Fn(&PostgresRow<'a>) -> Result<T, Failure>,
) -> Result<Vec<T>, Failure> {
    rows.iter().map(|row| read(&PostgresRow(row))).collect()
}

/// All logins of a user, by id.
pub(crate) async fn all_of(database: &Database, user: UserId) -> Result<Vec<KeptLogin>, Failure> {
    let sql = format!("SELECT {LOGIN_COLUMNS} FROM logins AS l WHERE l.user_id = $1 ORDER BY l.login_id");
    let found = database.read(&sql, &[(&user.uuid(), Type::UUID)]).await?;
    all(&found, rows::login)
}

/// The tokens of a user that carry no key, by hash.
pub(crate) async fn earlier_of(database: &Database, user: UserId) -> Result<Vec<EarlierToken>, Failure> {
    let sql =
        "SELECT token_hash, login_id, expires_at FROM earlier_tokens WHERE user_id = $1 ORDER BY token_hash";
    let found = database.read(sql, &[(&user.uuid(), Type::UUID)]).await?;
    all(&found, rows::earlier_token)
}

/// The token's key is all that a device sends, so this is the one look-up that finds a user instead of beginning with one.
const LOCK_OWNER: &str = "
    SELECT 1 FROM users
    WHERE user_id IN (SELECT user_id FROM logins WHERE key_hash = $1
                      UNION SELECT user_id FROM earlier_tokens WHERE token_hash = $2) FOR NO KEY UPDATE";

fn find_sql() -> String {
    format!(
        "SELECT {LOGIN_COLUMNS}, u.is_disabled FROM logins AS l JOIN users AS u ON u.user_id = l.user_id
         WHERE (l.user_id, l.login_id) IN (
             SELECT user_id, login_id FROM logins WHERE key_hash = $1
             UNION SELECT user_id, login_id FROM earlier_tokens WHERE token_hash = $2)"
    )
}

/// The logins of the user $1 that work at $2 and name a device.
const LOGINS: &str = "
    SELECT client_id, device_name, issued_at FROM logins
    WHERE user_id = $1 AND client_id IS NOT NULL AND expires_at > $2";

/// The logins of the user $1 that belong to the device $2.
const FAMILIES: &str = "SELECT login_id FROM logins WHERE user_id = $1 AND client_id = $2 ORDER BY login_id";

const END: &str = "
    WITH earlier AS (DELETE FROM earlier_tokens WHERE user_id = $1 AND login_id = ANY ($2))
    DELETE FROM logins WHERE user_id = $1 AND login_id = ANY ($2)";

const FORGET_EXPIRED: &str = "
    WITH earlier AS (DELETE FROM earlier_tokens WHERE user_id = $1 AND expires_at <= $2)
    DELETE FROM logins WHERE user_id = $1 AND expires_at <= $2";

/// How old each login of the user $1 is.
const AGES: &str = "SELECT login_id, issued_at, expires_at FROM logins WHERE user_id = $1";

/// Keeps a login, whether it is there or not.
const PUT: &str = "
    INSERT INTO logins (user_id, login_id, client_id, device_name, key_hash, token_hash, spent_hash, seed, issued_at,
                        expires_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
    ON CONFLICT (user_id, login_id) DO UPDATE SET
        key_hash = excluded.key_hash, token_hash = excluded.token_hash, spent_hash = excluded.spent_hash,
        seed = excluded.seed, issued_at = excluded.issued_at, expires_at = excluded.expires_at";

/// The columns of a login that is to be stored.
pub(crate) struct LoginValues {
    user: Uuid,
    login: Uuid,
    client: Option<String>,
    device_name: Option<String>,
    key: Vec<u8>,
    hash: Vec<u8>,
    spent: Option<Vec<u8>>,
    seed: Vec<u8>,
    issued_at: i64,
    expires_at: i64,
}

impl LoginValues {
    pub(crate) fn new(stored: &StoredRefreshToken, spent: Option<TokenHash>) -> Self {
        let token = &stored.token;
        Self {
            user: stored.user.uuid(),
            login: stored.family.uuid(),
            client: stored.client.as_ref().map(ToString::to_string),
            device_name: stored.device_name.as_ref().map(|name| name.as_str().to_owned()),
            key: token.key.0.to_vec(),
            hash: token.hash.0.to_vec(),
            spent: spent.map(|hash| hash.0.to_vec()),
            seed: token.seed.0.to_vec(),
            issued_at: token.issued_at.get(),
            expires_at: token.expires_at.get(),
        }
    }

    fn user(&self) -> Value<'_> {
        (&self.user, Type::UUID)
    }

    pub(crate) fn put(&self) -> Step<'_> {
        let values = vec![
            self.user(),
            (&self.login, Type::UUID),
            (&self.client, Type::TEXT),
            (&self.device_name, Type::TEXT),
            (&self.key, Type::BYTEA),
            (&self.hash, Type::BYTEA),
            (&self.spent, Type::BYTEA),
            (&self.seed, Type::BYTEA),
            (&self.issued_at, Type::INT8),
            (&self.expires_at, Type::INT8),
        ];
        Step::Fixed(PUT, values)
    }

    /// What is done with every token that is given out: what has expired by then goes.
    fn forget_expired(&self) -> Step<'_> {
        Step::Fixed(FORGET_EXPIRED, vec![self.user(), (&self.issued_at, Type::INT8)])
    }
}

const PUT_EARLIER: &str = "
    INSERT INTO earlier_tokens (user_id, token_hash, login_id, expires_at)
    SELECT $1, n.token_hash, n.login_id, n.expires_at
    FROM unnest((SELECT $2::bytea[]), (SELECT $3::uuid[]), (SELECT $4::bigint[])) AS n (token_hash, login_id, expires_at)";

/// Earlier tokens of a dump, as columns.
pub(crate) struct EarlierColumns {
    hashes: Vec<Vec<u8>>,
    logins: Vec<Uuid>,
    expire_at: Vec<i64>,
}

impl EarlierColumns {
    pub(crate) fn of(tokens: &[EarlierToken]) -> Self {
        Self {
            hashes: tokens.iter().map(|token| token.hash.0.to_vec()).collect(),
            logins: tokens.iter().map(|token| token.family.uuid()).collect(),
            expire_at: tokens.iter().map(|token| token.expires_at.get()).collect(),
        }
    }

    pub(crate) fn put<'a>(&'a self, user: &'a Uuid) -> Step<'a> {
        let values = vec![
            (user as _, Type::UUID),
            (&self.hashes as _, Type::BYTEA_ARRAY),
            (&self.logins as _, Type::UUID_ARRAY),
            (&self.expire_at as _, Type::INT8_ARRAY),
        ];
        Step::Fixed(PUT_EARLIER, values)
    }
}

impl PostgresStore {
    async fn issue_once(
        &self,
        login: &StoredRefreshToken,
        expected: &PasswordHash,
    ) -> Result<IssueOutcome, Failure> {
        let (uuid, lock) = (login.user.uuid(), format!("{} FOR NO KEY UPDATE", by_id_sql()));
        let steps = vec![
            Step::Fixed(&lock, vec![(&uuid, Type::UUID)]),
            Step::Fixed(AGES, vec![(&uuid, Type::UUID)]),
        ];
        let mut session = self.database.session().await?;
        let answers = session.begin(steps).await?;
        let [found, logins] = answers.as_slice() else {
            return Err(Failure::Lost);
        };
        // A lock that was waited for gives the row as it was committed meanwhile.
        let account = found.first().map(account).transpose()?;
        let logins = all(logins, rows::login_age)?;
        self.carry_out(session, login.clone().issue(expected, account, logins))
            .await
    }

    async fn rotate_once(
        &self,
        spent: PresentedToken,
        next: &NewRefreshToken,
        grace_ms: i64,
    ) -> Result<Rotation, Failure> {
        let (session, found) = self.lock_and_find(spent).await?;
        self.carry_out(session, spent.rotate(found, next, grace_ms)).await
    }

    async fn end_family_once(&self, token: PresentedToken) -> Result<Option<(UserId, FamilyId)>, Failure> {
        let (session, found) = self.lock_and_find(token).await?;
        self.carry_out(session, FoundLogin::end(found)).await
    }

    async fn end_client_once(&self, user: UserId, client: &ClientId) -> Result<Vec<FamilyId>, Failure> {
        let (uuid, client) = (user.uuid(), client.to_string());
        let steps = vec![
            Step::Fixed(LOCK_USER, vec![(&uuid, Type::UUID)]),
            Step::Fixed(FAMILIES, vec![(&uuid, Type::UUID), (&client, Type::TEXT)]),
        ];
        let mut session = self.database.session().await?;
        let answers = session.begin(steps).await?;
        let mut families = Vec::new();
        for row in answers.last().into_iter().flatten() {
            families.push(FamilyId::new(column(row, 0, "logins.login_id")?));
        }
        self.carry_out(session, LoginWrite::end(user, families)).await
    }

    /// Begins a transaction, locks the row of the token's user, and reads the login.
    async fn lock_and_find(&self, token: PresentedToken) -> Result<(Session, Option<FoundLogin>), Failure> {
        let (key, hash, find) = (token.key.0.to_vec(), token.hash.0.to_vec(), find_sql());
        let values = || -> Vec<Value<'_>> { vec![(&key, Type::BYTEA), (&hash, Type::BYTEA)] };
        let steps = vec![Step::Fixed(LOCK_OWNER, values()), Step::Fixed(&find, values())];
        let mut session = self.database.session().await?;
        // Two look-ups by key: a database that does not answer is not waited for as long as for a large write.
        let answers = self.database.in_time(session.begin(steps)).await?;
        let row = answers.last().and_then(|rows| rows.first());
        let found = row.map(|row| rows::found_login(&PostgresRow(row))).transpose()?;
        Ok((session, found))
    }

    /// Writes what was decided about the logins of a user whose row is locked, and tells whoever listens.
    async fn carry_out<O>(&self, session: Session, plan: Plan<LoginWrite, O>) -> Result<O, Failure> {
        let Some(write) = plan.write else {
            // The session goes, and the transaction with it.
            return Ok(plan.outcome);
        };
        let uuid = write.user.uuid();
        let families: Vec<Uuid> = write.end.iter().map(|family| family.uuid()).collect();
        let kept = write
            .keep
            .as_ref()
            .map(|kept| LoginValues::new(&kept.stored, kept.spent));
        let mut steps = Vec::new();
        if !families.is_empty() {
            steps.push(Step::Fixed(LOCK, vec![(&uuid, Type::UUID)]));
            steps.push(Step::Fixed(
                END,
                vec![(&uuid, Type::UUID), (&families, Type::UUID_ARRAY)],
            ));
        }
        if let Some(kept) = &kept {
            steps.extend([kept.forget_expired(), kept.put()]);
        }
        session.commit(steps).await?;
        self.commits.logins_ended(write.ends_logins_of());
        Ok(plan.outcome)
    }
}
