//! Which blob holds which content. Whatever changes something is a job of the writer, and so takes turns with the writes of
//! everybody. What is decided is in the domain.

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
use rusqlite::Connection;

use crate::SqliteStore;
use crate::error::Failure;
use crate::records;
use crate::rows::{SqliteRow, read_all, size, stored_size};
use crate::standing;

pub(crate) use avatars::{avatars, put_avatar};
pub(crate) use garbage::{forget_removed, note_removed};

#[async_trait]
impl AttachmentIndex for SqliteStore {
    async fn reference(
        &self,
        user: UserId,
        content: ContentRef,
        quota: u64,
    ) -> Result<ReferenceOutcome, WriteError> {
        let job = move |conn: &Connection| reference(conn, user, content, quota);
        Ok(self.writer.run_for(user, job).await?)
    }

    async fn replace(&self, user: UserId, gone: ContentRef, by: ContentRef) -> Result<bool, WriteError> {
        let job = move |conn: &Connection| replace(conn, user, &gone, by);
        Ok(self.writer.run_for(user, job).await?)
    }

    async fn content(&self, user: UserId, sha256: Sha256) -> Result<Option<ContentRef>, StoreError> {
        let look_up = move |conn: &Connection| content(conn, user, sha256);
        Ok(self.readers.read(look_up).await?)
    }

    async fn usage(&self, user: UserId) -> Result<AttachmentUsage, StoreError> {
        Ok(self.readers.read(move |conn| usage(conn, user)).await?)
    }
}

/// Refuses what is for an account that is gone or being removed.
pub(crate) fn ensure_open(conn: &Connection, user: UserId) -> Result<(), Failure> {
    records::last_stamp(conn, user)?
        .map(drop)
        .ok_or(Failure::UnknownUser)
}

fn content(conn: &Connection, user: UserId, sha256: Sha256) -> Result<Option<ContentRef>, Failure> {
    let mut statement = conn.prepare_cached(&format!(
        "SELECT {CONTENT_COLUMNS} FROM contents WHERE user_id = ?1 AND sha256 = ?2"
    ))?;
    let mut rows = statement.query((user.uuid(), sha256.as_bytes()))?;
    rows.next()?.map(|row| rows::content(&SqliteRow(row))).transpose()
}

fn reference(
    conn: &Connection,
    user: UserId,
    new: ContentRef,
    quota: u64,
) -> Result<ReferenceOutcome, Failure> {
    ensure_open(conn, user)?;
    let there = content(conn, user, new.sha256)?;
    let plan = attachment::reference(there, new, usage(conn, user)?, quota);
    write(conn, user, plan.write)?;
    Ok(plan.outcome)
}

fn replace(conn: &Connection, user: UserId, gone: &ContentRef, by: ContentRef) -> Result<bool, Failure> {
    ensure_open(conn, user)?;
    let there = content(conn, user, by.sha256)?;
    let plan = attachment::replace(there, gone, by);
    write(conn, user, plan)?;
    Ok(plan.is_some())
}

fn write(conn: &Connection, user: UserId, content: Option<ContentRef>) -> Result<(), Failure> {
    content
        .iter()
        .try_for_each(|content| put_content(conn, user, content))
}

/// Writes which blob holds a content, whatever did before.
pub(crate) fn put_content(conn: &Connection, user: UserId, content: &ContentRef) -> Result<(), Failure> {
    conn.prepare_cached(
        "INSERT INTO contents (user_id, sha256, blob_id, size, touched_at) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT (user_id, sha256) DO UPDATE SET
             blob_id = excluded.blob_id, size = excluded.size, touched_at = excluded.touched_at",
    )?
    .execute((
        user.uuid(),
        content.sha256.as_bytes(),
        content.blob,
        stored_size(content.size),
        content.touched_at.get(),
    ))?;
    Ok(())
}

/// The contents after one, by their hashes.
pub(crate) fn after(
    conn: &Connection,
    user: UserId,
    after: Option<Sha256>,
    limit: u32,
) -> Result<Vec<ContentRef>, Failure> {
    let sql = format!(
        "SELECT {CONTENT_COLUMNS} FROM contents WHERE user_id = ?1 AND sha256 > ?2 ORDER BY sha256 LIMIT ?3"
    );
    let after = after.as_ref().map_or(&[][..], |sha256| sha256.as_bytes());
    read_all(conn, &sql, (user.uuid(), after, limit), |row| rows::content(row))
}

fn content_bytes(conn: &Connection, user: UserId) -> Result<u64, Failure> {
    let mut statement =
        conn.prepare_cached("SELECT coalesce(sum(size), 0) FROM contents WHERE user_id = ?1")?;
    statement.query_row([user.uuid()], |row| Ok(size(row, 0, "contents.size")))?
}

/// What a user's attachments come to.
pub(crate) fn usage(conn: &Connection, user: UserId) -> Result<AttachmentUsage, Failure> {
    let announced = conn
        .prepare_cached(
            "SELECT coalesce(sum(length), 0) FROM uploads WHERE user_id = ?1 AND is_finished = 0",
        )?
        .query_row([user.uuid()], |row| Ok(size(row, 0, "uploads.length")))??;
    Ok(AttachmentUsage {
        held: content_bytes(conn, user)?,
        announced,
        quota: standing::quota(conn, user)?,
    })
}
