//! Logins and their refresh tokens: one row for each login, however often it is renewed.

use async_trait::async_trait;
use mosaic_domain::account::PasswordHash;
use mosaic_domain::login::{
    FoundLogin, IssueOutcome, KeptLogin, LoginAge, LoginRefusal, LoginWrite, NewRefreshToken, PresentedToken,
    Rotation, StoredRefreshToken,
};
use mosaic_domain::plan::Plan;
use mosaic_domain::text::Label;
use mosaic_domain::{ClientId, FamilyId, UnixMillis, UserId};
use mosaic_ports::rows::{self, LOGIN_COLUMNS};
use mosaic_ports::{DeviceLogin, EarlierToken, RefreshTokens, StoreError};
use rusqlite::{Connection, named_params};

use crate::SqliteStore;
use crate::commits::CommitEvent;
use crate::error::Failure;
use crate::rows::read_all;
use crate::standing::{by_id, end_all};

#[async_trait]
impl RefreshTokens for SqliteStore {
    async fn issue(
        &self,
        login: StoredRefreshToken,
        expected: PasswordHash,
    ) -> Result<IssueOutcome, StoreError> {
        let job = move |conn: &Connection| {
            let account = by_id(conn, login.user)?;
            let logins = ages(conn, login.user)?;
            carry_out(conn, login.issue(&expected, account, logins))
        };
        Ok(self.writer.change_account(job).await?)
    }

    async fn rotate(
        &self,
        spent: PresentedToken,
        next: NewRefreshToken,
        grace_ms: i64,
    ) -> Result<Rotation, StoreError> {
        let job = move |conn: &Connection| carry_out(conn, spent.rotate(find(conn, spent)?, &next, grace_ms));
        Ok(self.writer.change_account(job).await?)
    }

    async fn standing(&self, user: UserId, login: FamilyId) -> Result<Result<(), LoginRefusal>, StoreError> {
        Ok(self.clock_and_epoch(user, login).await?.map(drop))
    }

    async fn end_family(&self, token: PresentedToken) -> Result<Option<(UserId, FamilyId)>, StoreError> {
        let job = move |conn: &Connection| carry_out(conn, FoundLogin::end(find(conn, token)?));
        Ok(self.writer.change_account(job).await?)
    }

    async fn logins(&self, user: UserId, now: UnixMillis) -> Result<Vec<DeviceLogin>, StoreError> {
        // Through the writer, which writes first what devices logins turned out to be of.
        let look_up = move |conn: &Connection| logins(conn, user, now);
        Ok(self.writer.read(look_up).await?)
    }

    async fn end_client(&self, user: UserId, client: &ClientId) -> Result<Vec<FamilyId>, StoreError> {
        let client = client.clone();
        let job = move |conn: &Connection| {
            let families = families(conn, user, &client)?;
            carry_out(conn, LoginWrite::end(user, families))
        };
        Ok(self.writer.change_account(job).await?)
    }
}

/// All logins of a user, by id.
pub(crate) fn all_of(conn: &Connection, user: UserId) -> Result<Vec<KeptLogin>, Failure> {
    let sql = format!("SELECT {LOGIN_COLUMNS} FROM logins AS l WHERE l.user_id = ?1 ORDER BY l.login_id");
    read_all(conn, &sql, [user.uuid()], |row| rows::login(row))
}

/// The tokens of a user that carry no key, by hash.
pub(crate) fn earlier_of(conn: &Connection, user: UserId) -> Result<Vec<EarlierToken>, Failure> {
    let sql =
        "SELECT token_hash, login_id, expires_at FROM earlier_tokens WHERE user_id = ?1 ORDER BY token_hash";
    read_all(conn, sql, [user.uuid()], |row| rows::earlier_token(row))
}

/// Replaces the logins and the earlier tokens of a user.
pub(crate) fn load(
    conn: &Connection,
    user: UserId,
    logins: &[KeptLogin],
    earlier: &[EarlierToken],
) -> Result<(), Failure> {
    end_all(conn, user)?;
    logins.iter().try_for_each(|kept| put(conn, kept))?;
    let mut statement = conn.prepare_cached(
        "INSERT INTO earlier_tokens (user_id, token_hash, login_id, expires_at) VALUES (?1, ?2, ?3, ?4)",
    )?;
    for token in earlier {
        statement.execute((
            user.uuid(),
            token.hash.0,
            token.family.uuid(),
            token.expires_at.get(),
        ))?;
    }
    Ok(())
}

/// The token's key is all that a device sends, so this is the one look-up that finds a user instead of beginning with one.
fn find(conn: &Connection, token: PresentedToken) -> Result<Option<FoundLogin>, Failure> {
    let sql = format!(
        "SELECT {LOGIN_COLUMNS}, u.is_disabled FROM logins AS l JOIN users AS u ON u.user_id = l.user_id
         WHERE (l.user_id, l.login_id) IN (
             SELECT user_id, login_id FROM logins WHERE key_hash = ?1
             UNION SELECT user_id, login_id FROM earlier_tokens WHERE token_hash = ?2)"
    );
    let found = read_all(conn, &sql, (token.key.0, token.hash.0), |row| {
        rows::found_login(row)
    })?;
    Ok(found.into_iter().next())
}

/// How old each login of a user is.
fn ages(conn: &Connection, user: UserId) -> Result<Vec<LoginAge>, Failure> {
    let sql = "SELECT login_id, issued_at, expires_at FROM logins WHERE user_id = ?1";
    read_all(conn, sql, [user.uuid()], |row| rows::login_age(row))
}

/// Writes what was decided. Says also whose logins it changed.
fn carry_out<O>(conn: &Connection, plan: Plan<LoginWrite, O>) -> Result<(O, Option<CommitEvent>), Failure> {
    let Plan { write, outcome } = plan;
    if let Some(LoginWrite {
        user,
        end: families,
        keep,
    }) = &write
    {
        families.iter().try_for_each(|family| end(conn, *user, *family))?;
        if let Some(kept) = keep {
            forget_expired(conn, *user, kept.stored.token.issued_at)?;
            put(conn, kept)?;
        }
    }
    let event = write.map(|write| CommitEvent::Account {
        user: write.user,
        ended: write.ends_logins_of().is_some(),
    });
    Ok((outcome, event))
}

/// Keeps a login, whether it is there or not.
fn put(conn: &Connection, kept: &KeptLogin) -> Result<(), Failure> {
    let KeptLogin { stored, spent } = kept;
    conn.prepare_cached(
        "INSERT INTO logins (user_id, login_id, client_id, device_name, key_hash, token_hash, spent_hash, seed,
                             issued_at, expires_at)
         VALUES (:user_id, :login_id, :client_id, :device_name, :key_hash, :token_hash, :spent_hash, :seed,
                 :issued_at, :expires_at)
         ON CONFLICT (user_id, login_id) DO UPDATE SET
             key_hash = excluded.key_hash, token_hash = excluded.token_hash, spent_hash = excluded.spent_hash,
             seed = excluded.seed, issued_at = excluded.issued_at, expires_at = excluded.expires_at",
    )?
    .execute(named_params! {
        ":user_id": stored.user.uuid(),
        ":login_id": stored.family.uuid(),
        ":client_id": stored.client.as_ref().map(ClientId::as_str),
        ":device_name": stored.device_name.as_ref().map(Label::as_str),
        ":key_hash": stored.token.key.0,
        ":token_hash": stored.token.hash.0,
        ":spent_hash": spent.map(|hash| hash.0),
        ":seed": stored.token.seed.0,
        ":issued_at": stored.token.issued_at.get(),
        ":expires_at": stored.token.expires_at.get(),
    })?;
    Ok(())
}

fn end(conn: &Connection, user: UserId, family: FamilyId) -> Result<(), Failure> {
    for sql in [
        "DELETE FROM earlier_tokens WHERE user_id = ?1 AND login_id = ?2",
        "DELETE FROM logins WHERE user_id = ?1 AND login_id = ?2",
    ] {
        conn.prepare_cached(sql)?.execute((user.uuid(), family.uuid()))?;
    }
    Ok(())
}

fn forget_expired(conn: &Connection, user: UserId, now: UnixMillis) -> Result<(), Failure> {
    for sql in [
        "DELETE FROM earlier_tokens WHERE user_id = ?1 AND expires_at <= ?2",
        "DELETE FROM logins WHERE user_id = ?1 AND expires_at <= ?2",
    ] {
        conn.prepare_cached(sql)?.execute((user.uuid(), now.get()))?;
    }
    Ok(())
}

fn logins(conn: &Connection, user: UserId, now: UnixMillis) -> Result<Vec<DeviceLogin>, Failure> {
    let sql = "SELECT client_id, device_name, issued_at FROM logins
               WHERE user_id = ?1 AND client_id IS NOT NULL AND expires_at > ?2
               ORDER BY client_id, issued_at DESC, login_id";
    read_all(conn, sql, (user.uuid(), now.get()), |row| rows::device_login(row))
}

/// The logins of a device, by id.
fn families(conn: &Connection, user: UserId, client: &ClientId) -> Result<Vec<FamilyId>, Failure> {
    let mut statement = conn.prepare_cached(
        "SELECT login_id FROM logins WHERE user_id = ?1 AND client_id = ?2 ORDER BY login_id",
    )?;
    let ids = statement.query_map((user.uuid(), client.as_str()), |row| row.get(0))?;
    Ok(ids.map(|id| id.map(FamilyId::new)).collect::<Result<_, _>>()?)
}

/// Has a login that named no device belong to this one from now on (D2).
pub(crate) fn name_login(
    conn: &Connection,
    user: UserId,
    family: FamilyId,
    client: &ClientId,
) -> Result<(), Failure> {
    conn.prepare_cached(
        "UPDATE logins SET client_id = ?3 WHERE user_id = ?1 AND login_id = ?2 AND client_id IS NULL",
    )?
    .execute((user.uuid(), family.uuid(), client.as_str()))?;
    Ok(())
}
