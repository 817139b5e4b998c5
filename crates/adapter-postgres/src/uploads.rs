//! Uploads that are under way. What changes something is done under the user's lock, so that nothing changes any more once
//! an account has no clock.

use async_trait::async_trait;
use mosaic_domain::{ResourceId, UnixMillis, UploadId, UserId};
use mosaic_ports::{
    AppendOutcome, BeginOutcome, Dropped, StoreError, Upload, UploadKind, UploadPart, UploadState, Uploads,
    WriteError,
};
use tokio_postgres::Row;
use tokio_postgres::types::Type;
use uuid::Uuid;

use crate::PostgresStore;
use crate::contents::{USAGE, blobs_in, usage};
use crate::error::Failure;
use crate::retry::retrying;
use crate::rows::{self, bigint, checked, column, parsed, size};
use crate::scope::lock_and_run;
use crate::session::{Step, Value};

#[async_trait]
impl Uploads for PostgresStore {
    async fn begin(
        &self,
        user: UserId,
        upload: Upload,
        quota: u64,
        most: u32,
    ) -> Result<BeginOutcome, WriteError> {
        Ok(retrying(|| self.begin_once(user, &upload, quota, most)).await?)
    }

    async fn upload(&self, user: UserId, id: UploadId) -> Result<Option<UploadState>, StoreError> {
        let values: [Value<'_>; 2] = [(&user.uuid(), Type::UUID), (&id.uuid(), Type::UUID)];
        let rows = self.database.read(UPLOAD, &values).await?;
        Ok(rows.first().map(state).transpose()?)
    }

    async fn append(
        &self,
        user: UserId,
        id: UploadId,
        part: UploadPart,
        expires_at: UnixMillis,
    ) -> Result<AppendOutcome, StoreError> {
        match retrying(|| self.append_once(user, id, part, expires_at)).await {
            Err(Failure::UnknownUser) => Ok(AppendOutcome::Gone),
            outcome => Ok(outcome?),
        }
    }

    async fn parts(&self, user: UserId, id: UploadId) -> Result<Vec<UploadPart>, StoreError> {
        let values: [Value<'_>; 2] = [(&user.uuid(), Type::UUID), (&id.uuid(), Type::UUID)];
        let rows = self.database.read(PARTS, &values).await?;
        let parts: Result<Vec<_>, Failure> = rows.iter().map(part).collect();
        Ok(parts?)
    }

    async fn finish(&self, user: UserId, id: UploadId) -> Result<Vec<Uuid>, StoreError> {
        Ok(self.let_go(user, id, FINISH).await?.unwrap_or_default())
    }

    async fn end(&self, user: UserId, id: UploadId) -> Result<Option<Vec<Uuid>>, StoreError> {
        Ok(self.let_go(user, id, END).await?)
    }

    async fn drop_expired(&self, user: UserId, now: UnixMillis, limit: u32) -> Result<Dropped, StoreError> {
        // A look that waits for nobody: most users have no upload.
        let values: [Value<'_>; 2] = [(&user.uuid(), Type::UUID), (&now.get(), Type::INT8)];
        let rows = self.database.read(HAS_EXPIRED, &values).await?;
        if rows.is_empty() {
            return Ok(Dropped::default());
        }
        match retrying(|| self.drop_expired_once(user, now, limit)).await {
            Err(Failure::UnknownUser) => Ok(Dropped::default()),
            dropped => Ok(dropped?),
        }
    }
}

/// The upload $2 of the user $1, and how far it has come.
const UPLOAD: &str = "
    SELECT u.upload_id, u.resource_id, u.client_id, u.length, u.direct_blob_id, u.fields, u.created_at, u.expires_at,
           u.is_finished, p.received, p.parts
    FROM uploads AS u, LATERAL (
        SELECT coalesce(sum(size), 0)::bigint AS received, count(*) AS parts
        FROM upload_parts WHERE user_id = $1 AND upload_id = $2
    ) AS p
    WHERE u.user_id = $1 AND u.upload_id = $2";

fn state(row: &Row) -> Result<UploadState, Failure> {
    let length = size(row, 3, "uploads.length")?;
    let finished = column(row, 8, "uploads.is_finished")?;
    Ok(UploadState {
        upload: Upload {
            id: UploadId::new(column(row, 0, "uploads.upload_id")?),
            resource: ResourceId::new(column(row, 1, "uploads.resource_id")?),
            author: parsed(row, 2, "uploads.client_id")?,
            length,
            kind: column::<Option<Uuid>>(row, 4, "uploads.direct_blob_id")?
                .map_or(UploadKind::Parts, |blob| UploadKind::Direct { blob }),
            fields: column(row, 5, "uploads.fields")?,
            created_at: checked(row, 6, "uploads.created_at", UnixMillis::new)?,
            expires_at: checked(row, 7, "uploads.expires_at", UnixMillis::new)?,
        },
        received: if finished {
            length
        } else {
            size(row, 9, "upload_parts.size")?
        },
        parts: rows::count(row, 10, "count")?,
        finished,
    })
}

const PARTS: &str = "
    SELECT part_offset, size, blob_id FROM upload_parts WHERE user_id = $1 AND upload_id = $2 ORDER BY part_offset";

fn part(row: &Row) -> Result<UploadPart, Failure> {
    Ok(UploadPart {
        offset: size(row, 0, "upload_parts.part_offset")?,
        size: size(row, 1, "upload_parts.size")?,
        blob: column(row, 2, "upload_parts.blob_id")?,
    })
}

/// How many uploads of the user $1 are not finished.
const UNFINISHED: &str = "SELECT count(*) FROM uploads WHERE user_id = $1 AND NOT is_finished";

const BEGIN: &str = "
    INSERT INTO uploads (user_id, upload_id, resource_id, client_id, length, direct_blob_id, fields, created_at,
                         expires_at, is_finished)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, false)";

const APPEND: &str = "
    INSERT INTO upload_parts (user_id, upload_id, part_offset, size, blob_id) VALUES ($1, $2, $3, $4, $5)";

const PROLONG: &str = "UPDATE uploads SET expires_at = $3 WHERE user_id = $1 AND upload_id = $2";

/// What becomes of an upload that is let go of. Each gives a row if there was such an upload, with the blob of one that was
/// direct and not finished. A blob that holds a content by now goes on doing so.
const FINISH: &str = "
    UPDATE uploads AS u SET is_finished = true WHERE user_id = $1 AND upload_id = $2 AND NOT is_finished
    RETURNING (SELECT u.direct_blob_id
               WHERE NOT EXISTS (SELECT 1 FROM contents AS c WHERE c.user_id = $1 AND c.blob_id = u.direct_blob_id))";

const END: &str = "
    DELETE FROM uploads AS u WHERE user_id = $1 AND upload_id = $2
    RETURNING (SELECT u.direct_blob_id
               WHERE NOT u.is_finished
                 AND NOT EXISTS (SELECT 1 FROM contents AS c WHERE c.user_id = $1 AND c.blob_id = u.direct_blob_id))";

const FORGET_PARTS: &str = "
    WITH gone AS (
        DELETE FROM upload_parts WHERE user_id = $1 AND upload_id = $2 RETURNING part_offset, blob_id
    )
    SELECT g.blob_id FROM gone AS g
    WHERE NOT EXISTS (SELECT 1 FROM contents AS c WHERE c.user_id = $1 AND c.blob_id = g.blob_id)
    ORDER BY g.part_offset";

const HAS_EXPIRED: &str = "SELECT 1 FROM uploads WHERE user_id = $1 AND expires_at <= $2 LIMIT 1";

/// At most $3 parts and uploads of the user $1 that had expired at $2: a row for each, with the blob that holds nothing any
/// more. Where there is room for an upload, the parts of all of them are gone. Of one that is not forgotten whole the
/// first parts stay: it may go on from there.
pub(crate) const DROP_EXPIRED: &str = "
    WITH parts AS (
        DELETE FROM upload_parts WHERE user_id = $1 AND ctid = ANY (ARRAY(
            SELECT p.ctid FROM uploads AS u
            JOIN upload_parts AS p ON p.user_id = $1 AND p.upload_id = u.upload_id
            WHERE u.user_id = $1 AND u.expires_at <= $2
            ORDER BY p.upload_id, p.part_offset DESC LIMIT $3
        )) RETURNING blob_id
    ), gone AS (
        DELETE FROM uploads WHERE user_id = $1 AND ctid = ANY (ARRAY(
            SELECT ctid FROM uploads WHERE user_id = $1 AND expires_at <= $2
            ORDER BY upload_id LIMIT $3 - (SELECT count(*) FROM parts)
        )) RETURNING CASE WHEN NOT is_finished THEN direct_blob_id END AS blob_id
    )
    SELECT CASE WHEN NOT EXISTS (SELECT 1 FROM contents AS c WHERE c.user_id = $1 AND c.blob_id = b.blob_id)
                THEN b.blob_id END
    FROM (SELECT blob_id FROM parts UNION ALL SELECT blob_id FROM gone) AS b";

impl PostgresStore {
    async fn begin_once(
        &self,
        user: UserId,
        upload: &Upload,
        quota: u64,
        most: u32,
    ) -> Result<BeginOutcome, Failure> {
        let user = user.uuid();
        let owner = || -> Value<'_> { (&user, Type::UUID) };
        let steps = vec![
            Step::Fixed(UNFINISHED, vec![owner()]),
            Step::Fixed(USAGE, vec![owner()]),
        ];
        let (session, answers) = lock_and_run(&self.database, &user, steps).await?;
        let [unfinished, sums] = answers.as_slice() else {
            return Err(Failure::Lost);
        };
        let unfinished = unfinished
            .first()
            .map_or(Ok(0), |row| rows::count(row, 0, "count"))?;
        if unfinished >= most {
            return Ok(BeginOutcome::TooMany);
        }
        let so_far = usage(sums)?;
        if so_far
            .held
            .saturating_add(so_far.announced)
            .saturating_add(upload.length)
            > quota
        {
            return Ok(BeginOutcome::OverQuota(so_far));
        }
        let (id, resource, author) = (
            upload.id.uuid(),
            upload.resource.uuid(),
            upload.author.to_string(),
        );
        let (created_at, expires_at) = (upload.created_at.get(), upload.expires_at.get());
        let length = bigint(upload.length);
        let direct = match upload.kind {
            UploadKind::Parts => None,
            UploadKind::Direct { blob } => Some(blob),
        };
        let values = vec![
            owner(),
            (&id, Type::UUID),
            (&resource, Type::UUID),
            (&author, Type::TEXT),
            (&length, Type::INT8),
            (&direct, Type::UUID),
            (&upload.fields, Type::TEXT),
            (&created_at, Type::INT8),
            (&expires_at, Type::INT8),
        ];
        session.commit(vec![Step::Fixed(BEGIN, values)]).await?;
        Ok(BeginOutcome::Begun)
    }

    async fn append_once(
        &self,
        user: UserId,
        id: UploadId,
        part: UploadPart,
        expires_at: UnixMillis,
    ) -> Result<AppendOutcome, Failure> {
        let (user, id, expires_at) = (user.uuid(), id.uuid(), expires_at.get());
        let key = || -> Vec<Value<'_>> { vec![(&user, Type::UUID), (&id, Type::UUID)] };
        let steps = vec![Step::Fixed(UPLOAD, key())];
        let (session, answers) = lock_and_run(&self.database, &user, steps).await?;
        let found = answers.first().and_then(|rows| rows.first());
        let Some(state) = found.map(state).transpose()? else {
            return Ok(AppendOutcome::Gone);
        };
        let received = state.received;
        let takes_parts = !state.finished && state.upload.kind == UploadKind::Parts;
        if !takes_parts || part.offset != received {
            return Ok(AppendOutcome::Conflict { received });
        }
        if received.saturating_add(part.size) > state.upload.length {
            return Ok(AppendOutcome::TooLong);
        }
        let (offset, size) = (bigint(part.offset), bigint(part.size));
        let (mut append, mut prolong) = (key(), key());
        append.extend::<[Value<'_>; 3]>([
            (&offset, Type::INT8),
            (&size, Type::INT8),
            (&part.blob, Type::UUID),
        ]);
        prolong.push((&expires_at, Type::INT8));
        let steps = vec![Step::Fixed(APPEND, append), Step::Fixed(PROLONG, prolong)];
        session.commit(steps).await?;
        Ok(AppendOutcome::Appended)
    }

    /// Finishes or ends an upload. Gives the blobs that hold nothing any more, if there was one.
    async fn let_go(
        &self,
        user: UserId,
        id: UploadId,
        how: &'static str,
    ) -> Result<Option<Vec<Uuid>>, Failure> {
        match retrying(|| self.let_go_once(user, id, how)).await {
            Err(Failure::UnknownUser) => Ok(None),
            blobs => blobs,
        }
    }

    async fn let_go_once(
        &self,
        user: UserId,
        id: UploadId,
        how: &'static str,
    ) -> Result<Option<Vec<Uuid>>, Failure> {
        let (user, id) = (user.uuid(), id.uuid());
        let key = || -> Vec<Value<'_>> { vec![(&user, Type::UUID), (&id, Type::UUID)] };
        let steps = vec![Step::Fixed(how, key()), Step::Fixed(FORGET_PARTS, key())];
        let (session, answers) = lock_and_run(&self.database, &user, steps).await?;
        let [upload, parts] = answers.as_slice() else {
            return Err(Failure::Lost);
        };
        let Some(upload) = upload.first() else {
            return Ok(None);
        };
        let mut blobs = blobs_in(parts)?;
        blobs.extend(column::<Option<Uuid>>(upload, 0, "uploads.direct_blob_id")?);
        session.commit(Vec::new()).await?;
        Ok(Some(blobs))
    }

    async fn drop_expired_once(&self, user: UserId, now: UnixMillis, limit: u32) -> Result<Dropped, Failure> {
        let (user, now, limit) = (user.uuid(), now.get(), i64::from(limit));
        let values: Vec<Value<'_>> = vec![(&user, Type::UUID), (&now, Type::INT8), (&limit, Type::INT8)];
        let steps = vec![Step::Fixed(DROP_EXPIRED, values)];
        let (session, answers) = lock_and_run(&self.database, &user, steps).await?;
        let rows = answers.first().map_or(&[][..], Vec::as_slice);
        let mut blobs = Vec::with_capacity(rows.len());
        for row in rows {
            blobs.extend(column::<Option<Uuid>>(row, 0, "blob_id")?);
        }
        session.commit(Vec::new()).await?;
        Ok(Dropped {
            blobs,
            more: i64::try_from(rows.len()).is_ok_and(|rows| rows >= limit),
        })
    }
}
