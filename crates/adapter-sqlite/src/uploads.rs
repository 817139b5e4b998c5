//! Uploads that are under way. Each method is a job of the writer, so of two parts that follow the same bytes one is
//! later, and is told so.

use async_trait::async_trait;
use mosaic_domain::{ResourceId, UnixMillis, UploadId, UserId};
use mosaic_ports::{
    AppendOutcome, BeginOutcome, Dropped, StoreError, Upload, UploadKind, UploadPart, UploadState, Uploads,
    WriteError,
};
use rusqlite::{Connection, Row, named_params};
use uuid::Uuid;

use crate::SqliteStore;
use crate::contents::{ensure_open, usage};
use crate::error::Failure;
use crate::records::last_stamp;
use crate::rows::{checked, column, parsed, size, stored_size};

#[async_trait]
impl Uploads for SqliteStore {
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
        let job = move |conn: &Connection| append(conn, user, id, part, expires_at);
        Ok(self.writer.run_for(user, job).await?)
    }

    async fn parts(&self, user: UserId, id: UploadId) -> Result<Vec<UploadPart>, StoreError> {
        Ok(self.readers.read(move |conn| parts(conn, user, id)).await?)
    }

    async fn finish(&self, user: UserId, id: UploadId) -> Result<Vec<Uuid>, StoreError> {
        Ok(self
            .writer
            .run_for(user, move |conn| finish(conn, user, id))
            .await?)
    }

    async fn end(&self, user: UserId, id: UploadId) -> Result<Option<Vec<Uuid>>, StoreError> {
        Ok(self.writer.run_for(user, move |conn| end(conn, user, id)).await?)
    }

    async fn drop_expired(&self, user: UserId, now: UnixMillis, limit: u32) -> Result<Dropped, StoreError> {
        let job = move |conn: &Connection| drop_expired(conn, user, now, limit);
        Ok(self.writer.run_for(user, job).await?)
    }
}

const INSERT: &str = "
    INSERT INTO uploads (user_id, upload_id, resource_id, client_id, length, direct_blob_id, fields, created_at,
                         expires_at, is_finished)
    VALUES (:user_id, :upload_id, :resource_id, :client_id, :length, :direct_blob_id, :fields, :created_at,
            :expires_at, 0)";

fn begin(
    conn: &Connection,
    user: UserId,
    upload: &Upload,
    quota: u64,
    most: u32,
) -> Result<BeginOutcome, Failure> {
    ensure_open(conn, user)?;
    let unfinished: u32 = conn
        .prepare_cached("SELECT count(*) FROM uploads WHERE user_id = ?1 AND is_finished = 0")?
        .query_row([user.uuid()], |row| row.get(0))?;
    if unfinished >= most {
        return Ok(BeginOutcome::TooMany);
    }
    let usage = usage(conn, user)?;
    let all = usage
        .held
        .saturating_add(usage.announced)
        .saturating_add(upload.length);
    if all > quota {
        return Ok(BeginOutcome::OverQuota(usage));
    }
    let direct = match upload.kind {
        UploadKind::Parts => None,
        UploadKind::Direct { blob } => Some(blob),
    };
    conn.prepare_cached(INSERT)?.execute(named_params! {
        ":user_id": user.uuid(),
        ":upload_id": upload.id.uuid(),
        ":resource_id": upload.resource.uuid(),
        ":client_id": upload.author.as_str(),
        ":length": stored_size(upload.length),
        ":direct_blob_id": direct,
        ":fields": upload.fields,
        ":created_at": upload.created_at.get(),
        ":expires_at": upload.expires_at.get(),
    })?;
    Ok(BeginOutcome::Begun)
}

/// An upload with the end of its last part and the number of them.
const STATE: &str = "
    SELECT resource_id, client_id, length, direct_blob_id, fields, created_at, expires_at, is_finished,
           coalesce((SELECT part_offset + size FROM upload_parts WHERE user_id = ?1 AND upload_id = ?2
                     ORDER BY part_offset DESC LIMIT 1), 0),
           (SELECT count(*) FROM upload_parts WHERE user_id = ?1 AND upload_id = ?2)
    FROM uploads WHERE user_id = ?1 AND upload_id = ?2";

fn state(conn: &Connection, user: UserId, id: UploadId) -> Result<Option<UploadState>, Failure> {
    let mut statement = conn.prepare_cached(STATE)?;
    let mut rows = statement.query((user.uuid(), id.uuid()))?;
    let Some(row) = rows.next()? else { return Ok(None) };
    let upload = upload(row, id)?;
    let finished = column(row, 7, "uploads.is_finished")?;
    Ok(Some(UploadState {
        received: if finished {
            upload.length
        } else {
            size(row, 8, "upload_parts.size")?
        },
        parts: column(row, 9, "count")?,
        finished,
        upload,
    }))
}

fn upload(row: &Row<'_>, id: UploadId) -> Result<Upload, Failure> {
    let direct: Option<Uuid> = column(row, 3, "uploads.direct_blob_id")?;
    Ok(Upload {
        id,
        resource: ResourceId::new(column(row, 0, "uploads.resource_id")?),
        author: parsed(row, 1, "uploads.client_id")?,
        length: size(row, 2, "uploads.length")?,
        kind: direct.map_or(UploadKind::Parts, |blob| UploadKind::Direct { blob }),
        fields: column(row, 4, "uploads.fields")?,
        created_at: checked(row, 5, "uploads.created_at", UnixMillis::new)?,
        expires_at: checked(row, 6, "uploads.expires_at", UnixMillis::new)?,
    })
}

fn append(
    conn: &Connection,
    user: UserId,
    id: UploadId,
    part: UploadPart,
    expires_at: UnixMillis,
) -> Result<AppendOutcome, Failure> {
    let is_open = last_stamp(conn, user)?.is_some();
    let found = if is_open { state(conn, user, id)? } else { None };
    let Some(state) = found else {
        return Ok(AppendOutcome::Gone);
    };
    let (upload, received) = (state.upload, state.received);
    if state.finished || upload.kind != UploadKind::Parts || part.offset != received {
        return Ok(AppendOutcome::Conflict { received });
    }
    if received.saturating_add(part.size) > upload.length {
        return Ok(AppendOutcome::TooLong);
    }
    conn.prepare_cached(
        "INSERT INTO upload_parts (user_id, upload_id, part_offset, size, blob_id) VALUES (?1, ?2, ?3, ?4, ?5)",
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
    Ok(AppendOutcome::Appended)
}

fn parts(conn: &Connection, user: UserId, id: UploadId) -> Result<Vec<UploadPart>, Failure> {
    let mut statement = conn.prepare_cached(
        "SELECT part_offset, size, blob_id FROM upload_parts
         WHERE user_id = ?1 AND upload_id = ?2 ORDER BY part_offset",
    )?;
    let mut rows = statement.query((user.uuid(), id.uuid()))?;
    let mut parts = Vec::new();
    while let Some(row) = rows.next()? {
        parts.push(UploadPart {
            offset: size(row, 0, "upload_parts.part_offset")?,
            size: size(row, 1, "upload_parts.size")?,
            blob: column(row, 2, "upload_parts.blob_id")?,
        });
    }
    Ok(parts)
}

fn finish(conn: &Connection, user: UserId, id: UploadId) -> Result<Vec<Uuid>, Failure> {
    let blobs = give_up_blobs(conn, user, id)?.unwrap_or_default();
    conn.prepare_cached("UPDATE uploads SET is_finished = 1 WHERE user_id = ?1 AND upload_id = ?2")?
        .execute((user.uuid(), id.uuid()))?;
    Ok(blobs)
}

fn end(conn: &Connection, user: UserId, id: UploadId) -> Result<Option<Vec<Uuid>>, Failure> {
    let blobs = give_up_blobs(conn, user, id)?;
    forget(conn, user, id)?;
    Ok(blobs)
}

/// Forgets the parts of an upload, and returns all of its blobs: none, if it is finished. `None`: there is no such upload.
fn give_up_blobs(conn: &Connection, user: UserId, id: UploadId) -> Result<Option<Vec<Uuid>>, Failure> {
    let Some(state) = state(conn, user, id)? else {
        return Ok(None);
    };
    let mut blobs = parts(conn, user, id)?
        .into_iter()
        .map(|part| part.blob)
        .collect::<Vec<_>>();
    conn.prepare_cached("DELETE FROM upload_parts WHERE user_id = ?1 AND upload_id = ?2")?
        .execute((user.uuid(), id.uuid()))?;
    if let (UploadKind::Direct { blob }, false) = (state.upload.kind, state.finished) {
        blobs.push(blob);
    }
    Ok(Some(blobs))
}

fn forget(conn: &Connection, user: UserId, id: UploadId) -> Result<(), Failure> {
    conn.prepare_cached("DELETE FROM uploads WHERE user_id = ?1 AND upload_id = ?2")?
        .execute((user.uuid(), id.uuid()))?;
    Ok(())
}

const EXPIRED: &str =
    "SELECT upload_id FROM uploads WHERE user_id = ?1 AND expires_at <= ?2 ORDER BY expires_at LIMIT ?3";

fn drop_expired(conn: &Connection, user: UserId, now: UnixMillis, limit: u32) -> Result<Dropped, Failure> {
    let mut left = limit.max(1) as usize;
    let expired: Vec<Uuid> = conn
        .prepare_cached(EXPIRED)?
        .query_map((user.uuid(), now.get(), stored_size(left as u64)), |row| {
            row.get(0)
        })?
        .collect::<Result<_, _>>()?;
    let mut blobs = Vec::new();
    for id in expired.into_iter().map(UploadId::new) {
        left -= drop_last_parts(conn, user, id, left, &mut blobs)?;
        if left == 0 {
            break;
        }
        // These were the last of its parts, if it had any; a direct upload that is not finished has a blob.
        blobs.extend(give_up_blobs(conn, user, id)?.unwrap_or_default());
        forget(conn, user, id)?;
        left -= 1;
        if left == 0 {
            break;
        }
    }
    Ok(Dropped {
        blobs,
        more: left == 0,
    })
}

/// Forgets parts of an upload, the last ones first: what is left of it has no gap, if somebody goes on with it after all.
/// Says how many.
fn drop_last_parts(
    conn: &Connection,
    user: UserId,
    id: UploadId,
    limit: usize,
    blobs: &mut Vec<Uuid>,
) -> Result<usize, Failure> {
    let before = blobs.len();
    let mut statement = conn.prepare_cached(
        "DELETE FROM upload_parts WHERE user_id = ?1 AND upload_id = ?2 AND part_offset IN (
             SELECT part_offset FROM upload_parts WHERE user_id = ?1 AND upload_id = ?2
             ORDER BY part_offset DESC LIMIT ?3)
         RETURNING blob_id",
    )?;
    let step = (user.uuid(), id.uuid(), stored_size(limit as u64));
    for blob in statement.query_map(step, |row| row.get(0))? {
        blobs.push(blob?);
    }
    Ok(blobs.len() - before)
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
            ["SEARCH uploads USING COVERING INDEX uploads_by_expiry (user_id=? AND expires_at<?)"]
        );
    }
}
