//! Refresh tokens. A spent token is kept until it expires, to recognise that somebody else has a copy of it.

use std::collections::BTreeSet;

use async_trait::async_trait;
use mosaic_domain::text::Label;
use mosaic_domain::{ClientId, FamilyId, UnixMillis, UserId};
use mosaic_ports::{
    DeviceLogin, DumpedRefreshToken, IssueOutcome, NewRefreshToken, PasswordHash, RefreshTokens, Rotation,
    StoreError, StoredRefreshToken, TokenHash,
};
use rusqlite::{Connection, Row, named_params};

use crate::SqliteStore;
use crate::accounts;
use crate::error::Failure;
use crate::rows::{checked, column, optional, parsed};

#[async_trait]
impl RefreshTokens for SqliteStore {
    async fn issue(
        &self,
        token: StoredRefreshToken,
        proved_by: PasswordHash,
    ) -> Result<IssueOutcome, StoreError> {
        let job = move |conn: &Connection| issue(conn, &token, &proved_by);
        Ok(self.writer.run(job).await?)
    }

    async fn rotate(&self, spent: TokenHash, next: NewRefreshToken) -> Result<Rotation, StoreError> {
        let job = move |conn: &Connection| rotate(conn, spent, next);
        Ok(self.writer.run(job).await?)
    }

    async fn end_family(&self, token: TokenHash) -> Result<Option<(UserId, FamilyId)>, StoreError> {
        let job = move |conn: &Connection| {
            let Some(found) = find(conn, token)? else {
                return Ok(None);
            };
            end(conn, &found.kept)?;
            Ok(Some((found.kept.user, found.kept.family)))
        };
        Ok(self.writer.run(job).await?)
    }

    async fn logins(&self, user: UserId, now: UnixMillis) -> Result<Vec<DeviceLogin>, StoreError> {
        // Through the writer, which writes first what devices logins turned out to be of.
        let look_up = move |conn: &Connection| logins(conn, user, now);
        Ok(self.writer.run(look_up).await?)
    }

    async fn end_client(&self, user: UserId, client: &ClientId) -> Result<Vec<FamilyId>, StoreError> {
        let client = client.clone();
        let job = move |conn: &Connection| end_client(conn, user, &client);
        Ok(self.writer.run(job).await?)
    }
}

struct Found {
    kept: StoredRefreshToken,
    is_spent: bool,
    is_disabled: bool,
}

const FIND_COLUMNS: &str = "
    SELECT t.user_id, t.family_id, t.client_id, t.device_name, t.issued_at, t.expires_at, t.is_spent, u.is_disabled,
           t.token_hash
    FROM refresh_tokens AS t JOIN users AS u ON u.user_id = t.user_id";

/// All tokens of a user, by their hashes.
pub(crate) fn all_of(conn: &Connection, user: UserId) -> Result<Vec<DumpedRefreshToken>, Failure> {
    let mut statement = conn.prepare_cached(&format!(
        "{FIND_COLUMNS} WHERE t.user_id = ?1 ORDER BY t.token_hash"
    ))?;
    let mut rows = statement.query([user.uuid()])?;
    let mut tokens = Vec::new();
    while let Some(row) = rows.next()? {
        let hash = TokenHash(column(row, 8, "refresh_tokens.token_hash")?);
        let found = found(row, hash)?;
        tokens.push(DumpedRefreshToken {
            stored: found.kept,
            spent: found.is_spent,
        });
    }
    Ok(tokens)
}

fn find(conn: &Connection, hash: TokenHash) -> Result<Option<Found>, Failure> {
    // The hash is all that a device sends, so this is the one look-up that finds a user instead of beginning with one.
    let mut statement = conn.prepare_cached(&format!("{FIND_COLUMNS} WHERE t.token_hash = ?1"))?;
    let mut rows = statement.query([hash.0])?;
    rows.next()?.map(|row| found(row, hash)).transpose()
}

fn found(row: &Row<'_>, hash: TokenHash) -> Result<Found, Failure> {
    Ok(Found {
        kept: StoredRefreshToken {
            token: NewRefreshToken {
                hash,
                issued_at: checked(row, 4, "refresh_tokens.issued_at", UnixMillis::new)?,
                expires_at: checked(row, 5, "refresh_tokens.expires_at", UnixMillis::new)?,
            },
            user: UserId::new(column(row, 0, "refresh_tokens.user_id")?),
            family: FamilyId::new(column(row, 1, "refresh_tokens.family_id")?),
            client: optional(row, 2, "refresh_tokens.client_id", ClientId::try_from)?,
            device_name: optional(row, 3, "refresh_tokens.device_name", Label::new)?,
        },
        is_spent: column(row, 6, "refresh_tokens.is_spent")?,
        is_disabled: column(row, 7, "users.is_disabled")?,
    })
}

fn issue(
    conn: &Connection,
    token: &StoredRefreshToken,
    proved_by: &PasswordHash,
) -> Result<IssueOutcome, Failure> {
    let outcome = IssueOutcome::of(accounts::by_id(conn, token.user)?, proved_by);
    if let IssueOutcome::Issued(_) = outcome {
        forget_expired(conn, token.user, token.token.issued_at)?;
        insert(conn, token, false)?;
    }
    Ok(outcome)
}

fn rotate(conn: &Connection, spent: TokenHash, next: NewRefreshToken) -> Result<Rotation, Failure> {
    let now = next.issued_at;
    let Some(found) = find(conn, spent)?.filter(|found| now < found.kept.token.expires_at) else {
        return Ok(Rotation::Refused);
    };
    let kept = found.kept;
    if found.is_spent {
        end(conn, &kept)?;
        return Ok(Rotation::Reused {
            user: kept.user,
            family: kept.family,
        });
    }
    if found.is_disabled {
        return Ok(Rotation::Refused);
    }
    conn.prepare_cached("UPDATE refresh_tokens SET is_spent = 1 WHERE user_id = ?1 AND token_hash = ?2")?
        .execute((kept.user.uuid(), spent.0))?;
    forget_expired(conn, kept.user, now)?;
    let next = StoredRefreshToken { token: next, ..kept };
    insert(conn, &next, false)?;
    Ok(Rotation::Rotated(next))
}

/// Keeps a token.
pub(crate) fn insert(conn: &Connection, kept: &StoredRefreshToken, is_spent: bool) -> Result<(), Failure> {
    conn.prepare_cached(
        "INSERT INTO refresh_tokens (user_id, token_hash, family_id, client_id, device_name, issued_at, expires_at,
                                     is_spent)
         VALUES (:user_id, :token_hash, :family_id, :client_id, :device_name, :issued_at, :expires_at, :is_spent)",
    )?
    .execute(named_params! {
        ":user_id": kept.user.uuid(),
        ":token_hash": kept.token.hash.0,
        ":family_id": kept.family.uuid(),
        ":client_id": kept.client.as_ref().map(ClientId::as_str),
        ":device_name": kept.device_name.as_ref().map(Label::as_str),
        ":issued_at": kept.token.issued_at.get(),
        ":expires_at": kept.token.expires_at.get(),
        ":is_spent": is_spent,
    })?;
    Ok(())
}

fn end(conn: &Connection, kept: &StoredRefreshToken) -> Result<(), Failure> {
    conn.prepare_cached("DELETE FROM refresh_tokens WHERE user_id = ?1 AND family_id = ?2")?
        .execute((kept.user.uuid(), kept.family.uuid()))?;
    Ok(())
}

fn forget_expired(conn: &Connection, user: UserId, now: UnixMillis) -> Result<(), Failure> {
    conn.prepare_cached("DELETE FROM refresh_tokens WHERE user_id = ?1 AND expires_at <= ?2")?
        .execute((user.uuid(), now.get()))?;
    Ok(())
}

fn logins(conn: &Connection, user: UserId, now: UnixMillis) -> Result<Vec<DeviceLogin>, Failure> {
    let mut statement = conn.prepare_cached(
        "SELECT client_id, device_name, issued_at FROM refresh_tokens
         WHERE user_id = ?1 AND client_id IS NOT NULL AND is_spent = 0 AND expires_at > ?2
         ORDER BY client_id, issued_at DESC, family_id",
    )?;
    let mut rows = statement.query((user.uuid(), now.get()))?;
    let mut logins = Vec::new();
    while let Some(row) = rows.next()? {
        logins.push(DeviceLogin {
            client: parsed(row, 0, "refresh_tokens.client_id")?,
            device_name: optional(row, 1, "refresh_tokens.device_name", Label::new)?,
            issued_at: checked(row, 2, "refresh_tokens.issued_at", UnixMillis::new)?,
        });
    }
    Ok(logins)
}

fn end_client(conn: &Connection, user: UserId, client: &ClientId) -> Result<Vec<FamilyId>, Failure> {
    let mut statement = conn.prepare_cached(
        "DELETE FROM refresh_tokens WHERE user_id = ?1 AND client_id = ?2 RETURNING family_id",
    )?;
    let mut rows = statement.query((user.uuid(), client.as_str()))?;
    // Spent tokens are of the same families.
    let mut families = BTreeSet::new();
    while let Some(row) = rows.next()? {
        families.insert(FamilyId::new(column(row, 0, "refresh_tokens.family_id")?));
    }
    Ok(families.into_iter().collect())
}

/// Has a login that named no device belong to this one from now on (D2).
pub(crate) fn name_login(
    conn: &Connection,
    user: UserId,
    family: FamilyId,
    client: &ClientId,
) -> Result<(), Failure> {
    conn.prepare_cached(
        "UPDATE refresh_tokens SET client_id = ?3 WHERE user_id = ?1 AND family_id = ?2 AND client_id IS NULL",
    )?
    .execute((user.uuid(), family.uuid(), client.as_str()))?;
    Ok(())
}
