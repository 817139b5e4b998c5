//! Which blob holds which content. What changes something is done under the user's lock, in two round trips at most; where
//! a commit's answer is lost, the store says that it is not available, and does not look. What is decided is in the domain.

mod audit;
mod avatars;
mod garbage;
mod variants;

use async_trait::async_trait;
use mosaic_domain::UserId;
use mosaic_domain::attachment::{self, AttachmentUsage, ContentRef, ReferenceOutcome};
use mosaic_domain::entity::Sha256;
use mosaic_ports::rows::{self, CONTENT_COLUMNS};
use mosaic_ports::{AttachmentIndex, StoreError, WriteError};
use tokio_postgres::Row;
use tokio_postgres::types::Type;
use uuid::Uuid;

use crate::PostgresStore;
use crate::error::Failure;
use crate::retry::retrying;
use crate::rows::{PostgresRow, bigint, bytes, quota, size};
use crate::scope::lock_and_run;
use crate::session::{Step, Value};
use crate::standing::QUOTA;

#[cfg(test)]
pub(crate) use audit::{WITHOUT_CONTENT, unreferenced_sql};
pub(crate) use avatars::{ADD_AVATARS, AvatarColumns, avatars_of};
pub(crate) use garbage::{FORGET_REMOVED, NOTE_REMOVED};
#[cfg(test)]
pub(crate) use garbage::{REFERENCED, avatar_facts_sql, candidates_sql, content_facts_sql};

#[async_trait]
impl AttachmentIndex for PostgresStore {
    async fn reference(
        &self,
        user: UserId,
        content: ContentRef,
        quota: u64,
    ) -> Result<ReferenceOutcome, WriteError> {
        Ok(retrying(|| self.reference_once(user, content, quota)).await?)
    }

    async fn replace(&self, user: UserId, gone: ContentRef, by: ContentRef) -> Result<bool, WriteError> {
        Ok(retrying(|| self.replace_once(user, &gone, by)).await?)
    }

    async fn content(&self, user: UserId, sha256: Sha256) -> Result<Option<ContentRef>, StoreError> {
        let values: [Value<'_>; 2] = [(&user.uuid(), Type::UUID), (&bytes(sha256), Type::BYTEA)];
        let rows = self.database.read(&content_sql(), &values).await?;
        Ok(rows.first().map(content).transpose()?)
    }

    async fn usage(&self, user: UserId) -> Result<AttachmentUsage, StoreError> {
        let uuid = user.uuid();
        let values: [Value<'_>; 1] = [(&uuid, Type::UUID)];
        let sums = self.database.read(USAGE, &values).await?;
        Ok(usage(&sums, &self.database.read(QUOTA, &values).await?)?)
    }
}

/// The content $2 of the user $1.
pub(crate) fn content_sql() -> String {
    format!("SELECT {CONTENT_COLUMNS} FROM contents WHERE user_id = $1 AND sha256 = $2")
}

/// The contents of the user $1 after the hash $2, at most $3.
pub(crate) fn page_sql() -> String {
    format!(
        "SELECT {CONTENT_COLUMNS} FROM contents WHERE user_id = $1 AND sha256 > $2 ORDER BY sha256 LIMIT (SELECT $3)"
    )
}

/// Reads a content, as [`content_sql`] and [`page_sql`] give it.
pub(crate) fn content(row: &Row) -> Result<ContentRef, Failure> {
    rows::content(&PostgresRow(row))
}

/// What the attachments of the user $1 come to.
pub(crate) const USAGE: &str = "
    SELECT (SELECT coalesce(sum(size), 0) FROM contents WHERE user_id = $1)::bigint,
           (SELECT coalesce(sum(length), 0) FROM uploads WHERE user_id = $1 AND NOT is_finished)::bigint";

/// What [`USAGE`] and [`QUOTA`] say.
pub(crate) fn usage(sums: &[Row], quotas: &[Row]) -> Result<AttachmentUsage, Failure> {
    let quota = quota(quotas.first(), 0)?;
    let Some(row) = sums.first() else {
        return Ok(AttachmentUsage::default());
    };
    Ok(AttachmentUsage {
        held: size(row, 0, "contents.size")?,
        announced: size(row, 1, "uploads.length")?,
        quota,
    })
}

/// Writes which blob holds a content, whatever did before.
const PUT: &str = "
    INSERT INTO contents (user_id, sha256, blob_id, size, touched_at) VALUES ($1, $2, $3, $4, $5)
    ON CONFLICT (user_id, sha256) DO UPDATE SET
        blob_id = excluded.blob_id, size = excluded.size, touched_at = excluded.touched_at";

/// The columns of a content that is to be stored.
struct ContentValues {
    user: Uuid,
    sha256: Vec<u8>,
    blob: Uuid,
    size: i64,
    touched_at: i64,
}

impl ContentValues {
    fn new(user: UserId, content: ContentRef) -> Self {
        Self {
            user: user.uuid(),
            sha256: bytes(content.sha256),
            blob: content.blob,
            size: bigint(content.size),
            touched_at: content.touched_at.get(),
        }
    }

    fn key(&self) -> Vec<Value<'_>> {
        vec![(&self.user, Type::UUID), (&self.sha256, Type::BYTEA)]
    }

    fn values(&self) -> Vec<Value<'_>> {
        let mut values = self.key();
        values.extend::<[Value<'_>; 3]>([
            (&self.blob, Type::UUID),
            (&self.size, Type::INT8),
            (&self.touched_at, Type::INT8),
        ]);
        values
    }
}

impl PostgresStore {
    async fn reference_once(
        &self,
        user: UserId,
        new: ContentRef,
        quota: u64,
    ) -> Result<ReferenceOutcome, Failure> {
        let values = ContentValues::new(user, new);
        let content_sql = content_sql();
        let steps = vec![
            Step::Fixed(&content_sql, values.key()),
            Step::Fixed(USAGE, vec![(&values.user, Type::UUID)]),
            Step::Fixed(QUOTA, vec![(&values.user, Type::UUID)]),
        ];
        let (session, answers) = lock_and_run(&self.database, &values.user, steps).await?;
        let [found, sums, quotas] = answers.as_slice() else {
            return Err(Failure::Lost);
        };
        let there = found.first().map(content).transpose()?;
        let plan = attachment::reference(there, new, usage(sums, quotas)?, quota);
        let written = plan.write.map(|content| ContentValues::new(user, content));
        session.commit(puts(written.as_ref())).await?;
        Ok(plan.outcome)
    }

    async fn replace_once(&self, user: UserId, gone: &ContentRef, by: ContentRef) -> Result<bool, Failure> {
        let values = ContentValues::new(user, by);
        let content_sql = content_sql();
        let steps = vec![Step::Fixed(&content_sql, values.key())];
        let (session, answers) = lock_and_run(&self.database, &values.user, steps).await?;
        let found = answers.first().and_then(|rows| rows.first());
        let plan = attachment::replace(found.map(content).transpose()?, gone, by);
        let written = plan.map(|content| ContentValues::new(user, content));
        session.commit(puts(written.as_ref())).await?;
        Ok(plan.is_some())
    }
}

fn puts(written: Option<&ContentValues>) -> Vec<Step<'_>> {
    written
        .into_iter()
        .map(|written| Step::Fixed(PUT, written.values()))
        .collect()
}
