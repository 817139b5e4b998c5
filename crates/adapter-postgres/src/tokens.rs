//! Refresh tokens. A spent token is kept until it expires, to recognise that somebody else has a copy of it.
//!
//! What is done with the tokens of one user takes turns by a lock on the user's row: a family that is being ended has no
//! token that is given out meanwhile. A change of the account updates that row before it ends the logins, so a login either
//! sees the change or is ended by it.

use std::cmp::Reverse;

use async_trait::async_trait;
use mosaic_domain::text::Label;
use mosaic_domain::{ClientId, FamilyId, UnixMillis, UserId};
use mosaic_ports::{
    DeviceLogin, DumpedRefreshToken, IssueOutcome, NewRefreshToken, PasswordHash, RefreshTokens, Rotation,
    StoreError, StoredRefreshToken, TokenHash,
};
use tokio_postgres::Row;
use tokio_postgres::types::Type;
use uuid::Uuid;

use crate::PostgresStore;
use crate::accounts::{account, by_id_sql};
use crate::error::Failure;
use crate::retry::retrying;
use crate::rows::{checked, column, optional, parsed};
use crate::session::{Database, Session, Step, Value};

#[async_trait]
impl RefreshTokens for PostgresStore {
    async fn issue(
        &self,
        token: StoredRefreshToken,
        proved_by: PasswordHash,
    ) -> Result<IssueOutcome, StoreError> {
        Ok(retrying(|| self.issue_once(&token, &proved_by)).await?)
    }

    async fn rotate(&self, spent: TokenHash, next: NewRefreshToken) -> Result<Rotation, StoreError> {
        Ok(retrying(|| self.rotate_once(spent, &next)).await?)
    }

    async fn end_family(&self, token: TokenHash) -> Result<Option<(UserId, FamilyId)>, StoreError> {
        Ok(retrying(|| self.end_family_once(token)).await?)
    }

    async fn logins(&self, user: UserId, now: UnixMillis) -> Result<Vec<DeviceLogin>, StoreError> {
        // What a login pulled as decides whose it is.
        self.cursors.flush().await?;
        let (user, now) = (user.uuid(), now.get());
        let values: [Value<'_>; 2] = [(&user, Type::UUID), (&now, Type::INT8)];
        let rows = self.database.read(LOGINS, &values).await?;
        let mut logins = rows.iter().map(login).collect::<Result<Vec<_>, _>>()?;
        logins.sort_by(|a, b| (&a.client, Reverse(a.issued_at)).cmp(&(&b.client, Reverse(b.issued_at))));
        Ok(logins)
    }

    async fn end_client(&self, user: UserId, client: &ClientId) -> Result<Vec<FamilyId>, StoreError> {
        self.cursors.flush().await?;
        Ok(retrying(|| self.end_client_once(user, client)).await?)
    }
}

const LOCK_OWNER: &str = "
    SELECT 1 FROM users
    WHERE user_id IN (SELECT user_id FROM refresh_tokens WHERE token_hash = $1) FOR NO KEY UPDATE";

/// The hash is all that a device sends, so this is the one look-up that finds a user instead of beginning with one.
const FIND: &str = "
    SELECT t.user_id, t.family_id, t.client_id, t.device_name, t.issued_at, t.expires_at, t.is_spent, u.is_disabled
    FROM refresh_tokens AS t JOIN users AS u ON u.user_id = t.user_id WHERE t.token_hash = $1";

const ALL_OF: &str = "
    SELECT t.user_id, t.family_id, t.client_id, t.device_name, t.issued_at, t.expires_at, t.is_spent, u.is_disabled,
           t.token_hash
    FROM refresh_tokens AS t JOIN users AS u ON u.user_id = t.user_id WHERE t.user_id = $1 ORDER BY t.token_hash";

/// All tokens of a user, by their hashes.
pub(crate) async fn all_of(database: &Database, user: UserId) -> Result<Vec<DumpedRefreshToken>, Failure> {
    let rows = database.read(ALL_OF, &[(&user.uuid(), Type::UUID)]).await?;
    let token = |row: &Row| {
        let hash = <[u8; 32]>::try_from(column::<&[u8]>(row, 8, "refresh_tokens.token_hash")?)
            .map_err(|error| Failure::corrupt("refresh_tokens.token_hash", error))?;
        let found = found(row, TokenHash(hash))?;
        Ok(DumpedRefreshToken {
            stored: found.kept,
            spent: found.is_spent,
        })
    };
    rows.iter().map(token).collect()
}

/// The tokens of the user $1 that work at $2 and name a device.
const LOGINS: &str = "
    SELECT client_id, device_name, issued_at FROM refresh_tokens
    WHERE user_id = $1 AND client_id IS NOT NULL AND NOT is_spent AND expires_at > $2";

fn login(row: &Row) -> Result<DeviceLogin, Failure> {
    Ok(DeviceLogin {
        client: parsed(row, 0, "refresh_tokens.client_id")?,
        device_name: optional(row, 1, "refresh_tokens.device_name", Label::new)?,
        issued_at: checked(row, 2, "refresh_tokens.issued_at", UnixMillis::new)?,
    })
}

const LOCK_USER: &str = "SELECT 1 FROM users WHERE user_id = $1 FOR NO KEY UPDATE";

/// The logins of the user $1 that belong to the device $2.
const FAMILIES: &str = "
    SELECT DISTINCT family_id FROM refresh_tokens WHERE user_id = $1 AND client_id = $2 ORDER BY family_id";

const END_ALL: &str = "DELETE FROM refresh_tokens WHERE user_id = $1 AND family_id = ANY ($2)";

const SPEND: &str = "UPDATE refresh_tokens SET is_spent = true WHERE user_id = $1 AND token_hash = $2";

const FORGET_EXPIRED: &str = "DELETE FROM refresh_tokens WHERE user_id = $1 AND expires_at <= $2";

const END: &str = "DELETE FROM refresh_tokens WHERE user_id = $1 AND family_id = $2";

const INSERT: &str = "
    INSERT INTO refresh_tokens (user_id, token_hash, family_id, client_id, device_name, issued_at, expires_at, is_spent)
    VALUES ($1, $2, $3, $4, $5, $6, $7, false)";

struct Found {
    kept: StoredRefreshToken,
    is_spent: bool,
    is_disabled: bool,
}

fn found(row: &Row, hash: TokenHash) -> Result<Found, Failure> {
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

/// The columns of a token that is to be stored.
struct TokenValues {
    user: Uuid,
    hash: Vec<u8>,
    family: Uuid,
    client: Option<String>,
    device_name: Option<String>,
    issued_at: i64,
    expires_at: i64,
}

impl TokenValues {
    fn new(kept: &StoredRefreshToken) -> Self {
        Self {
            user: kept.user.uuid(),
            hash: kept.token.hash.0.to_vec(),
            family: kept.family.uuid(),
            client: kept.client.as_ref().map(ToString::to_string),
            device_name: kept.device_name.as_ref().map(|name| name.as_str().to_owned()),
            issued_at: kept.token.issued_at.get(),
            expires_at: kept.token.expires_at.get(),
        }
    }

    fn user(&self) -> Value<'_> {
        (&self.user, Type::UUID)
    }

    /// What is done with every token that is given out: what has expired by then goes.
    fn insert(&self) -> [Step<'_>; 2] {
        let values = vec![
            self.user(),
            (&self.hash, Type::BYTEA),
            (&self.family, Type::UUID),
            (&self.client, Type::TEXT),
            (&self.device_name, Type::TEXT),
            (&self.issued_at, Type::INT8),
            (&self.expires_at, Type::INT8),
        ];
        let expired = vec![self.user(), (&self.issued_at, Type::INT8)];
        [Step::Fixed(FORGET_EXPIRED, expired), Step::Fixed(INSERT, values)]
    }
}

impl PostgresStore {
    async fn issue_once(
        &self,
        token: &StoredRefreshToken,
        proved_by: &PasswordHash,
    ) -> Result<IssueOutcome, Failure> {
        let new = TokenValues::new(token);
        let lock = format!("{} FOR NO KEY UPDATE", by_id_sql());
        let mut session = self.database.session().await?;
        let answers = session.begin(vec![Step::Fixed(&lock, vec![new.user()])]).await?;
        // A lock that was waited for gives the row as it was committed meanwhile.
        let row = answers.last().and_then(|rows| rows.first());
        let outcome = IssueOutcome::of(row.map(account).transpose()?, proved_by);
        if let IssueOutcome::Issued(_) = outcome {
            session.commit(new.insert().into()).await?;
        }
        Ok(outcome)
    }

    async fn rotate_once(&self, spent: TokenHash, next: &NewRefreshToken) -> Result<Rotation, Failure> {
        let now = next.issued_at;
        let (session, found) = self.lock_and_find(spent).await?;
        let Some(found) = found.filter(|found| now < found.kept.token.expires_at) else {
            return Ok(Rotation::Refused);
        };
        let kept = found.kept;
        if found.is_spent {
            end(session, &kept).await?;
            return Ok(Rotation::Reused {
                user: kept.user,
                family: kept.family,
            });
        }
        if found.is_disabled {
            return Ok(Rotation::Refused);
        }
        let next = StoredRefreshToken {
            token: next.clone(),
            ..kept
        };
        let new = TokenValues::new(&next);
        let spent = spent.0.to_vec();
        let mut steps = vec![Step::Fixed(SPEND, vec![new.user(), (&spent, Type::BYTEA)])];
        steps.extend(new.insert());
        session.commit(steps).await?;
        Ok(Rotation::Rotated(next))
    }

    async fn end_family_once(&self, token: TokenHash) -> Result<Option<(UserId, FamilyId)>, Failure> {
        let (session, found) = self.lock_and_find(token).await?;
        let Some(Found { kept, .. }) = found else {
            return Ok(None);
        };
        end(session, &kept).await?;
        Ok(Some((kept.user, kept.family)))
    }

    async fn end_client_once(&self, user: UserId, client: &ClientId) -> Result<Vec<FamilyId>, Failure> {
        let (user, client) = (user.uuid(), client.to_string());
        let owner = || -> Value<'_> { (&user, Type::UUID) };
        let steps = vec![
            Step::Fixed(LOCK_USER, vec![owner()]),
            Step::Fixed(FAMILIES, vec![owner(), (&client, Type::TEXT)]),
        ];
        let mut session = self.database.session().await?;
        let answers = session.begin(steps).await?;
        let mut families = Vec::<Uuid>::new();
        for row in answers.last().into_iter().flatten() {
            families.push(column(row, 0, "refresh_tokens.family_id")?);
        }
        if !families.is_empty() {
            let values: Vec<Value<'_>> = vec![owner(), (&families, Type::UUID_ARRAY)];
            session.commit(vec![Step::Fixed(END_ALL, values)]).await?;
        }
        Ok(families.into_iter().map(FamilyId::new).collect())
    }

    /// Begins a transaction, locks the row of the token's user, and reads the token.
    async fn lock_and_find(&self, hash: TokenHash) -> Result<(Session, Option<Found>), Failure> {
        let bytes = hash.0.to_vec();
        let value = || vec![(&bytes as &(dyn tokio_postgres::types::ToSql + Sync), Type::BYTEA)];
        let steps = vec![Step::Fixed(LOCK_OWNER, value()), Step::Fixed(FIND, value())];
        let mut session = self.database.session().await?;
        let answers = session.begin(steps).await?;
        let row = answers.last().and_then(|rows| rows.first());
        let found = row.map(|row| found(row, hash)).transpose()?;
        Ok((session, found))
    }
}

async fn end(session: Session, kept: &StoredRefreshToken) -> Result<(), Failure> {
    let (user, family) = (kept.user.uuid(), kept.family.uuid());
    let values: Vec<Value<'_>> = vec![(&user, Type::UUID), (&family, Type::UUID)];
    Ok(session.commit(vec![Step::Fixed(END, values)]).await?)
}
