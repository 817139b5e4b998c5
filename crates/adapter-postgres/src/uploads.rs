//! Uploads that are under way. What changes something is done under the user's lock, so that nothing changes any more once
//! an account has no clock. What is decided is in the domain.

use async_trait::async_trait;
use mosaic_domain::attachment::{
    self, AppendOutcome, BeginOutcome, Collected, ExpiredUpload, LengthOutcome, Upload, UploadFacts,
    UploadKind, UploadPart, UploadState,
};
use mosaic_domain::{UnixMillis, UploadId, UserId};
use mosaic_ports::rows::{self, PART_COLUMNS, UPLOAD_COLUMNS};
use mosaic_ports::{StoreError, UploadStore, WriteError};
use tokio_postgres::Row;
use tokio_postgres::types::Type;
use uuid::Uuid;

use crate::PostgresStore;
use crate::contents::{USAGE, usage};
use crate::error::Failure;
use crate::retry::retrying;
use crate::rows::{PostgresRow, bigint, column};
use crate::scope::lock_and_run;
use crate::session::{Step, Value};
use crate::standing::QUOTA;

#[async_trait]
impl UploadStore for PostgresStore {
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
        let rows = self.database.read(&upload_sql(), &values).await?;
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
        match retrying(|| self.settle_length_once(user, id, length)).await {
            Err(Failure::UnknownUser) => Ok(LengthOutcome::Gone),
            outcome => Ok(outcome?),
        }
    }

    async fn parts(&self, user: UserId, id: UploadId) -> Result<Vec<UploadPart>, StoreError> {
        let values: [Value<'_>; 2] = [(&user.uuid(), Type::UUID), (&id.uuid(), Type::UUID)];
        let rows = self.database.read(&parts_sql(), &values).await?;
        let parts: Result<Vec<_>, Failure> = rows.iter().map(part).collect();
        Ok(parts?)
    }

    async fn finish(&self, user: UserId, id: UploadId) -> Result<Vec<Uuid>, StoreError> {
        Ok(self.finish_or_end(user, id, FINISH).await?.unwrap_or_default())
    }

    async fn end(&self, user: UserId, id: UploadId) -> Result<Option<Vec<Uuid>>, StoreError> {
        Ok(self.finish_or_end(user, id, END).await?)
    }

    async fn drop_expired(&self, user: UserId, now: UnixMillis, limit: u32) -> Result<Collected, StoreError> {
        // A look that waits for nobody: most users have no upload.
        let values: [Value<'_>; 2] = [(&user.uuid(), Type::UUID), (&now.get(), Type::INT8)];
        let rows = self.database.read(HAS_EXPIRED, &values).await?;
        if rows.is_empty() {
            return Ok(Collected::default());
        }
        match retrying(|| self.drop_expired_once(user, now, limit)).await {
            Err(Failure::UnknownUser) => Ok(Collected::default()),
            dropped => Ok(dropped?),
        }
    }
}

/// The upload $2 of the user $1, and how far it has come.
fn upload_sql() -> String {
    format!(
        "SELECT {UPLOAD_COLUMNS}, p.received, p.parts
         FROM uploads AS u, LATERAL (
             SELECT coalesce(sum(size), 0)::bigint AS received, count(*) AS parts
             FROM upload_parts WHERE user_id = $1 AND upload_id = $2
         ) AS p
         WHERE u.user_id = $1 AND u.upload_id = $2"
    )
}

fn state(row: &Row) -> Result<UploadState, Failure> {
    rows::upload(&PostgresRow(row))
}

fn parts_sql() -> String {
    format!(
        "SELECT {PART_COLUMNS} FROM upload_parts WHERE user_id = $1 AND upload_id = $2 ORDER BY part_offset"
    )
}

fn part(row: &Row) -> Result<UploadPart, Failure> {
    rows::part(&PostgresRow(row))
}

/// How many uploads of the user $1 are not finished.
const UNFINISHED: &str = "SELECT count(*) FROM uploads WHERE user_id = $1 AND NOT is_finished";

const BEGIN: &str = "
    INSERT INTO uploads (user_id, upload_id, resource_id, client_id, length, is_deferred, direct_blob_id, fields,
                         created_at, expires_at, is_finished)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, false)";

const APPEND: &str = "
    INSERT INTO upload_parts (user_id, upload_id, part_offset, size, blob_id) VALUES ($1, $2, $3, $4, $5)";

const PROLONG: &str = "UPDATE uploads SET expires_at = $3 WHERE user_id = $1 AND upload_id = $2";

const SETTLE_LENGTH: &str =
    "UPDATE uploads SET length = $3, is_deferred = false WHERE user_id = $1 AND upload_id = $2";

const FINISH: &str = "UPDATE uploads SET is_finished = true WHERE user_id = $1 AND upload_id = $2";

const END: &str = "DELETE FROM uploads WHERE user_id = $1 AND upload_id = $2";

const FORGET_PARTS: &str = "DELETE FROM upload_parts WHERE user_id = $1 AND upload_id = $2";

const HAS_EXPIRED: &str = "SELECT 1 FROM uploads WHERE user_id = $1 AND expires_at <= $2 LIMIT 1";

/// At most $3 uploads of the user $1 that had expired at $2.
pub(crate) const EXPIRED: &str = "
    SELECT upload_id, direct_blob_id, is_finished FROM uploads
    WHERE user_id = $1 AND expires_at <= $2 ORDER BY upload_id LIMIT (SELECT $3)";

/// At most $3 of their parts, the last ones of each upload first.
pub(crate) const EXPIRED_PARTS: &str = "
    SELECT p.part_offset, p.size, p.blob_id, p.upload_id FROM uploads AS u
    JOIN upload_parts AS p ON p.user_id = $1 AND p.upload_id = u.upload_id
    WHERE u.user_id = $1 AND u.expires_at <= $2
    ORDER BY p.upload_id, p.part_offset DESC LIMIT (SELECT $3)";

const DROP_PARTS: &str = "
    DELETE FROM upload_parts AS p USING unnest((SELECT $2::uuid[]), (SELECT $3::bigint[])) AS d (upload_id, part_offset)
    WHERE p.user_id = $1 AND p.upload_id = d.upload_id AND p.part_offset = d.part_offset";

const DROP_UPLOADS: &str = "DELETE FROM uploads WHERE user_id = $1 AND upload_id = ANY ($2)";

/// The uploads with their parts; both are ordered by the uploads' ids.
fn expired(uploads: &[Row], parts: &[Row]) -> Result<Vec<ExpiredUpload>, Failure> {
    let mut parts = parts.iter().peekable();
    let mut found = Vec::with_capacity(uploads.len());
    for row in uploads {
        let id: Uuid = column(row, 0, "uploads.upload_id")?;
        let is_of_it = |row: &&Row| column::<Uuid>(row, 3, "upload_parts.upload_id").is_ok_and(|of| of == id);
        let mut its_parts = Vec::new();
        while let Some(row) = parts.next_if(is_of_it) {
            its_parts.push(part(row)?);
        }
        found.push(ExpiredUpload {
            id: UploadId::new(id),
            kind: UploadKind::of(column(row, 1, "uploads.direct_blob_id")?),
            finished: column(row, 2, "uploads.is_finished")?,
            parts: its_parts,
        });
    }
    Ok(found)
}

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
            Step::Fixed(QUOTA, vec![owner()]),
        ];
        let (session, answers) = lock_and_run(&self.database, &user, steps).await?;
        let [unfinished, sums, quotas] = answers.as_slice() else {
            return Err(Failure::Lost);
        };
        let unfinished = unfinished.first();
        let facts = UploadFacts {
            unfinished: unfinished.map_or(Ok(0), |row| rows::count(&PostgresRow(row), 0, "count"))?,
            usage: usage(sums, quotas)?,
        };
        let plan = attachment::begin(facts, upload.length, quota, most);
        let (id, resource, author) = (
            upload.id.uuid(),
            upload.resource.uuid(),
            upload.author.to_string(),
        );
        let (created_at, expires_at) = (upload.created_at.get(), upload.expires_at.get());
        let length = bigint(upload.length);
        let direct = upload.kind.direct();
        let values = vec![
            owner(),
            (&id, Type::UUID),
            (&resource, Type::UUID),
            (&author, Type::TEXT),
            (&length, Type::INT8),
            (&upload.is_deferred, Type::BOOL),
            (&direct, Type::UUID),
            (&upload.fields, Type::TEXT),
            (&created_at, Type::INT8),
            (&expires_at, Type::INT8),
        ];
        let steps = plan.write.map(|()| Step::Fixed(BEGIN, values));
        session.commit(Vec::from_iter(steps)).await?;
        Ok(plan.outcome)
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
        let upload_sql = upload_sql();
        let steps = vec![Step::Fixed(&upload_sql, key())];
        let (session, answers) = lock_and_run(&self.database, &user, steps).await?;
        let found = answers.first().and_then(|rows| rows.first());
        let plan = attachment::append(found.map(state).transpose()?.as_ref(), &part);
        let (offset, size) = (bigint(part.offset), bigint(part.size));
        let (mut append, mut prolong) = (key(), key());
        append.extend::<[Value<'_>; 3]>([
            (&offset, Type::INT8),
            (&size, Type::INT8),
            (&part.blob, Type::UUID),
        ]);
        prolong.push((&expires_at, Type::INT8));
        let steps = plan
            .write
            .map(|()| vec![Step::Fixed(APPEND, append), Step::Fixed(PROLONG, prolong)]);
        session.commit(steps.unwrap_or_default()).await?;
        Ok(plan.outcome)
    }

    async fn settle_length_once(
        &self,
        user: UserId,
        id: UploadId,
        length: u64,
    ) -> Result<LengthOutcome, Failure> {
        let (user, id, told) = (user.uuid(), id.uuid(), bigint(length));
        let key = || -> Vec<Value<'_>> { vec![(&user, Type::UUID), (&id, Type::UUID)] };
        let upload_sql = upload_sql();
        let steps = vec![Step::Fixed(&upload_sql, key())];
        let (session, answers) = lock_and_run(&self.database, &user, steps).await?;
        let found = answers.first().and_then(|rows| rows.first());
        let plan = attachment::settle_length(found.map(state).transpose()?.as_ref(), length);
        let mut settle = key();
        settle.push((&told, Type::INT8));
        let steps = plan.write.map(|()| Step::Fixed(SETTLE_LENGTH, settle));
        session.commit(Vec::from_iter(steps)).await?;
        Ok(plan.outcome)
    }

    /// Finishes or ends an upload. Gives its blobs, if there was one.
    async fn finish_or_end(
        &self,
        user: UserId,
        id: UploadId,
        how: &'static str,
    ) -> Result<Option<Vec<Uuid>>, Failure> {
        match retrying(|| self.finish_or_end_once(user, id, how)).await {
            Err(Failure::UnknownUser) => Ok(None),
            blobs => blobs,
        }
    }

    async fn finish_or_end_once(
        &self,
        user: UserId,
        id: UploadId,
        how: &'static str,
    ) -> Result<Option<Vec<Uuid>>, Failure> {
        let (user, id) = (user.uuid(), id.uuid());
        let key = || -> Vec<Value<'_>> { vec![(&user, Type::UUID), (&id, Type::UUID)] };
        let (upload_sql, parts_sql) = (upload_sql(), parts_sql());
        let steps = vec![Step::Fixed(&upload_sql, key()), Step::Fixed(&parts_sql, key())];
        let (session, answers) = lock_and_run(&self.database, &user, steps).await?;
        let [upload, parts] = answers.as_slice() else {
            return Err(Failure::Lost);
        };
        let state = upload.first().map(state).transpose()?;
        let parts: Vec<_> = parts.iter().map(part).collect::<Result<_, _>>()?;
        let steps = vec![Step::Fixed(FORGET_PARTS, key()), Step::Fixed(how, key())];
        session.commit(steps).await?;
        Ok(state.map(|state| state.blobs(&parts)))
    }

    async fn drop_expired_once(
        &self,
        user: UserId,
        now: UnixMillis,
        limit: u32,
    ) -> Result<Collected, Failure> {
        let (user, now, rows) = (user.uuid(), now.get(), i64::from(limit.max(1)));
        let values: Vec<Value<'_>> = vec![(&user, Type::UUID), (&now, Type::INT8), (&rows, Type::INT8)];
        let steps = vec![
            Step::Fixed(EXPIRED, values.clone()),
            Step::Fixed(EXPIRED_PARTS, values),
        ];
        let (session, answers) = lock_and_run(&self.database, &user, steps).await?;
        let [uploads, parts] = answers.as_slice() else {
            return Err(Failure::Lost);
        };
        let plan = attachment::expire(&expired(uploads, parts)?, limit);
        let (of, offsets): (Vec<Uuid>, Vec<i64>) = plan
            .parts
            .iter()
            .map(|(id, offset)| (id.uuid(), bigint(*offset)))
            .unzip();
        let uploads: Vec<Uuid> = plan.uploads.iter().map(|id| id.uuid()).collect();
        let parts: Vec<Value<'_>> = vec![
            (&user, Type::UUID),
            (&of, Type::UUID_ARRAY),
            (&offsets, Type::INT8_ARRAY),
        ];
        let uploads: Vec<Value<'_>> = vec![(&user, Type::UUID), (&uploads, Type::UUID_ARRAY)];
        let steps = vec![Step::Fixed(DROP_PARTS, parts), Step::Fixed(DROP_UPLOADS, uploads)];
        session.commit(steps).await?;
        Ok(plan.dropped)
    }
}
