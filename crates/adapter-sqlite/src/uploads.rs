//! Uploads that are under way. Each method is a job of the writer, so of two parts that follow the same bytes one is
//! later, and is told so. What is decided is in the domain.

use async_trait::async_trait;
use mosaic_domain::attachment::{
    self, AppendOutcome, BeginOutcome, Collected, ExpiredUpload, LengthOutcome, Upload, UploadFacts,
    UploadKind, UploadPart, UploadState,
};
use mosaic_domain::{UnixMillis, UploadId, UserId};
use mosaic_ports::rows::{self, PART_COLUMNS, UPLOAD_COLUMNS};
use mosaic_ports::{StoreError, UploadStore, WriteError};
use rusqlite::{Connection, named_params};
use uuid::Uuid;

use crate::SqliteStore;
use crate::contents::{ensure_open, usage};
use crate::error::Failure;
use crate::rows::{SqliteRow, column, read_all, stored_size};

#[async_trait]
impl UploadStore for SqliteStore {
    async fn begin(
        &self,
        user: UserId,
        upload: Upload,
        quota: u64,
        most: u32,
    ) -> Result<BeginOutcome, WriteError> {
        let job = move |conn: &Connection| begin(conn, user, &upload, quota, most);
        Ok(self.writer.run_for(user, job).await?)
    }

    async fn upload(&self, user: UserId, id: UploadId) -> Result<Option<UploadState>, StoreError> {
        Ok(self.readers.read(move |conn| state(conn, user, id)).await?)
    }

    async fn append(
        &self,
        user: UserId,
        id: UploadId,
        part: UploadPart,
        expires_at: UnixMillis,
    ) -> Result<AppendOutcome, StoreError> {
        let job = move |conn: &Connection| append(conn, user, id, &part, expires_at);
        match self.writer.run_for(user, job).await {
            Err(Failure::UnknownUser) => Ok(attachment::append(None, &part).outcome),
            outcome => Ok(outcome?),
        }
    }

    async fn settle_length(
        &self,
        user: UserId,
        id: UploadId,
        length: u64,
    ) -> Result<LengthOutcome, StoreError> {
        let job = move |conn: &Connection| settle_length(conn, user, id, length);
        match self.writer.run_for(user, job).await {
            Err(Failure::UnknownUser) => Ok(LengthOutcome::Gone),
            outcome => Ok(outcome?),
        }
    }

    async fn parts(&self, user: UserId, id: UploadId) -> Result<Vec<UploadPart>, StoreError> {
        Ok(self.readers.read(move |conn| parts(conn, user, id)).await?)
    }

    async fn finish(&self, user: UserId, id: UploadId) -> Result<Vec<Uuid>, StoreError> {
        let job = move |conn: &Connection| finish(conn, user, id);
        Ok(nothing_without_account(self.writer.run_for(user, job).await)?)
    }

    async fn end(&self, user: UserId, id: UploadId) -> Result<Option<Vec<Uuid>>, StoreError> {
        let job = move |conn: &Connection| end(conn, user, id);
        Ok(nothing_without_account(self.writer.run_for(user, job).await)?)
    }

    async fn drop_expired(&self, user: UserId, now: UnixMillis, limit: u32) -> Result<Collected, StoreError> {
        let job = move |conn: &Connection| drop_expired(conn, user, now, limit);
        Ok(nothing_without_account(self.writer.run_for(user, job).await)?)
    }
}

/// What is known of the blobs of an account that is gone or being removed goes with it.
fn nothing_without_account<T: Default>(outcome: Result<T, Failure>) -> Result<T, Failure> {
    match outcome {
        Err(Failure::UnknownUser) => Ok(T::default()),
        outcome => outcome,
    }
}

const INSERT: &str = "
    INSERT INTO uploads (user_id, upload_id, resource_id, client_id, length, is_deferred, direct_blob_id, fields,
                         created_at, expires_at, is_finished)
    VALUES (:user_id, :upload_id, :resource_id, :client_id, :length, :is_deferred, :direct_blob_id, :fields,
            :created_at, :expires_at, 0)";

fn begin(
    conn: &Connection,
    user: UserId,
    upload: &Upload,
    quota: u64,
    most: u32,
) -> Result<BeginOutcome, Failure> {
    ensure_open(conn, user)?;
    let facts = UploadFacts {
        unfinished: conn
            .prepare_cached("SELECT count(*) FROM uploads WHERE user_id = ?1 AND is_finished = 0")?
            .query_row([user.uuid()], |row| row.get(0))?,
        usage: usage(conn, user)?,
    };
    let plan = attachment::begin(facts, upload.length, quota, most);
    if plan.write.is_some() {
        insert(conn, user, upload)?;
    }
    Ok(plan.outcome)
}

fn insert(conn: &Connection, user: UserId, upload: &Upload) -> Result<(), Failure> {
    conn.prepare_cached(INSERT)?.execute(named_params! {
        ":user_id": user.uuid(),
        ":upload_id": upload.id.uuid(),
        ":resource_id": upload.resource.uuid(),
        ":client_id": upload.author.as_str(),
        ":length": stored_size(upload.length),
        ":is_deferred": upload.is_deferred,
        ":direct_blob_id": upload.kind.direct(),
        ":fields": upload.fields,
        ":created_at": upload.created_at.get(),
        ":expires_at": upload.expires_at.get(),
    })?;
    Ok(())
}

/// An upload with the end of its last part and the number of them.
fn state(conn: &Connection, user: UserId, id: UploadId) -> Result<Option<UploadState>, Failure> {
    let mut statement = conn.prepare_cached(&format!(
        "SELECT {UPLOAD_COLUMNS},
                coalesce((SELECT part_offset + size FROM upload_parts WHERE user_id = ?1 AND upload_id = ?2
                          ORDER BY part_offset DESC LIMIT 1), 0),
                (SELECT count(*) FROM upload_parts WHERE user_id = ?1 AND upload_id = ?2)
         FROM uploads AS u WHERE u.user_id = ?1 AND u.upload_id = ?2"
    ))?;
    let mut rows = statement.query((user.uuid(), id.uuid()))?;
    rows.next()?.map(|row| rows::upload(&SqliteRow(row))).transpose()
}

fn append(
    conn: &Connection,
    user: UserId,
    id: UploadId,
    part: &UploadPart,
    expires_at: UnixMillis,
) -> Result<AppendOutcome, Failure> {
    ensure_open(conn, user)?;
    let plan = attachment::append(state(conn, user, id)?.as_ref(), part);
    if plan.write.is_some() {
        conn.prepare_cached(
            "INSERT INTO upload_parts (user_id, upload_id, part_offset, size, blob_id)
             VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute((
            user.uuid(),
            id.uuid(),
            stored_size(part.offset),
            stored_size(part.size),
            part.blob,
        ))?;
        conn.prepare_cached("UPDATE uploads SET expires_at = ?3 WHERE user_id = ?1 AND upload_id = ?2")?
            .execute((user.uuid(), id.uuid(), expires_at.get()))?;
    }
    Ok(plan.outcome)
}

fn settle_length(
    conn: &Connection,
    user: UserId,
    id: UploadId,
    length: u64,
) -> Result<LengthOutcome, Failure> {
    ensure_open(conn, user)?;
    let plan = attachment::settle_length(state(conn, user, id)?.as_ref(), length);
    if plan.write.is_some() {
        conn.prepare_cached(
            "UPDATE uploads SET length = ?3, is_deferred = 0 WHERE user_id = ?1 AND upload_id = ?2",
        )?
        .execute((user.uuid(), id.uuid(), stored_size(length)))?;
    }
    Ok(plan.outcome)
}

fn parts(conn: &Connection, user: UserId, id: UploadId) -> Result<Vec<UploadPart>, Failure> {
    let sql = format!(
        "SELECT {PART_COLUMNS} FROM upload_parts WHERE user_id = ?1 AND upload_id = ?2 ORDER BY part_offset"
    );
    read_all(conn, &sql, (user.uuid(), id.uuid()), |row| rows::part(row))
}

fn finish(conn: &Connection, user: UserId, id: UploadId) -> Result<Vec<Uuid>, Failure> {
    let blobs = forget_parts(conn, user, id)?.unwrap_or_default();
    conn.prepare_cached("UPDATE uploads SET is_finished = 1 WHERE user_id = ?1 AND upload_id = ?2")?
        .execute((user.uuid(), id.uuid()))?;
    Ok(blobs)
}

fn end(conn: &Connection, user: UserId, id: UploadId) -> Result<Option<Vec<Uuid>>, Failure> {
    let blobs = forget_parts(conn, user, id)?;
    forget(conn, user, id)?;
    Ok(blobs)
}

/// Forgets the parts of an upload, and returns its blobs. `None`: there is no such upload.
fn forget_parts(conn: &Connection, user: UserId, id: UploadId) -> Result<Option<Vec<Uuid>>, Failure> {
    ensure_open(conn, user)?;
    let parts = parts(conn, user, id)?;
    let state = state(conn, user, id)?;
    conn.prepare_cached("DELETE FROM upload_parts WHERE user_id = ?1 AND upload_id = ?2")?
        .execute((user.uuid(), id.uuid()))?;
    Ok(state.map(|state| state.blobs(&parts)))
}

fn forget(conn: &Connection, user: UserId, id: UploadId) -> Result<(), Failure> {
    conn.prepare_cached("DELETE FROM uploads WHERE user_id = ?1 AND upload_id = ?2")?
        .execute((user.uuid(), id.uuid()))?;
    Ok(())
}

const EXPIRED: &str = "
    SELECT upload_id, direct_blob_id, is_finished FROM uploads
    WHERE user_id = ?1 AND expires_at <= ?2 ORDER BY expires_at LIMIT ?3";

fn drop_expired(conn: &Connection, user: UserId, now: UnixMillis, limit: u32) -> Result<Collected, Failure> {
    ensure_open(conn, user)?;
    let plan = attachment::expire(&expired(conn, user, now, limit.max(1))?, limit);
    for (id, offset) in &plan.parts {
        conn.prepare_cached(
            "DELETE FROM upload_parts WHERE user_id = ?1 AND upload_id = ?2 AND part_offset = ?3",
        )?
        .execute((user.uuid(), id.uuid(), stored_size(*offset)))?;
    }
    for id in &plan.uploads {
        forget(conn, user, *id)?;
    }
    Ok(plan.dropped)
}

/// Uploads that had expired at a moment, and of the parts of all of them together as many as `limit`.
fn expired(
    conn: &Connection,
    user: UserId,
    now: UnixMillis,
    limit: u32,
) -> Result<Vec<ExpiredUpload>, Failure> {
    let mut statement = conn.prepare_cached(EXPIRED)?;
    let mut rows = statement.query((user.uuid(), now.get(), limit))?;
    let (mut left, mut found) = (limit as usize, Vec::new());
    while let Some(row) = rows.next()? {
        let id = UploadId::new(column(row, 0, "uploads.upload_id")?);
        let parts = last_parts(conn, user, id, left)?;
        left -= parts.len();
        found.push(ExpiredUpload {
            id,
            kind: UploadKind::of(column(row, 1, "uploads.direct_blob_id")?),
            finished: column(row, 2, "uploads.is_finished")?,
            parts,
        });
    }
    Ok(found)
}

fn last_parts(
    conn: &Connection,
    user: UserId,
    id: UploadId,
    limit: usize,
) -> Result<Vec<UploadPart>, Failure> {
    let sql = format!(
        "SELECT {PART_COLUMNS} FROM upload_parts
         WHERE user_id = ?1 AND upload_id = ?2 ORDER BY part_offset DESC LIMIT ?3"
    );
    let values = (user.uuid(), id.uuid(), stored_size(limit as u64));
    read_all(conn, &sql, values, |row| rows::part(row))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connect::open_writer;
    use crate::settings::{Location, SqliteSettings};

    #[test]
    fn what_has_expired_is_found_by_an_index() {
        let ids = mosaic_testkit::SequentialIds::default();
        let (conn, ..) = open_writer(&SqliteSettings::new(Location::Memory), &ids).unwrap();
        let mut statement = conn.prepare(&format!("EXPLAIN QUERY PLAN {EXPIRED}")).unwrap();
        let steps = statement
            .query_map(([0_u8; 16], 0, 10), |row| row.get::<_, String>("detail"))
            .unwrap();
        let steps: Vec<_> = steps.collect::<rusqlite::Result<_>>().unwrap();
        assert_eq!(
            steps,
            ["SEARCH uploads USING INDEX uploads_by_expiry (user_id=? AND expires_at<?)"]
        );
    }
}
