//! Which blob holds which content. What changes something is done under the user's lock, in two round trips at most; where
//! a commit's answer is lost, the store says that it is not available, and does not look.

use async_trait::async_trait;
use mosaic_domain::entity::{MimeType, Sha256, Variant};
use mosaic_domain::{AvatarId, EntityType, RecordKey, UnixMillis, UserId};
use mosaic_ports::{
    AttachmentUsage, Avatar, ContentIndex, Dropped, HeldContent, HeldVariant, HoldOutcome, StoreError,
    WriteError,
};
use tokio_postgres::Row;
use tokio_postgres::types::Type;
use uuid::Uuid;

use crate::PostgresStore;
use crate::error::Failure;
use crate::retry::retrying;
use crate::rows::{self, bigint, bytes, checked, column, parsed, size};
use crate::scope::lock_and_run;
use crate::session::{Database, Step, Value};

#[async_trait]
impl ContentIndex for PostgresStore {
    async fn hold(&self, user: UserId, content: HeldContent, quota: u64) -> Result<HoldOutcome, WriteError> {
        Ok(retrying(|| self.hold_once(user, content, quota)).await?)
    }

    async fn replace(&self, user: UserId, gone: HeldContent, by: HeldContent) -> Result<bool, WriteError> {
        let (by, gone) = (ContentValues::new(user, by), gone.blob);
        let mut values = by.values();
        values.push((&gone, Type::UUID));
        Ok(retrying(|| self.did(&by.user, REPLACE, &values)).await?)
    }

    async fn content(&self, user: UserId, sha256: Sha256) -> Result<Option<HeldContent>, StoreError> {
        let values: [Value<'_>; 2] = [(&user.uuid(), Type::UUID), (&bytes(sha256), Type::BYTEA)];
        let rows = self.database.read(CONTENT, &values).await?;
        Ok(rows.first().map(content).transpose()?)
    }

    async fn usage(&self, user: UserId) -> Result<AttachmentUsage, StoreError> {
        let rows = self.database.read(USAGE, &[(&user.uuid(), Type::UUID)]).await?;
        Ok(usage(&rows)?)
    }

    async fn hold_variant(
        &self,
        user: UserId,
        sha256: Sha256,
        variant: HeldVariant,
    ) -> Result<bool, WriteError> {
        let (user, sha256) = (user.uuid(), bytes(sha256));
        let (name, size) = (variant.variant.name(), bigint(variant.size));
        let mime_type = variant.mime_type.as_str();
        let values: [Value<'_>; 6] = [
            (&user, Type::UUID),
            (&sha256, Type::BYTEA),
            (&name, Type::TEXT),
            (&variant.blob, Type::UUID),
            (&size, Type::INT8),
            (&mime_type, Type::TEXT),
        ];
        Ok(retrying(|| self.did(&user, HOLD_VARIANT, &values)).await?)
    }

    async fn drop_variant(&self, user: UserId, sha256: Sha256, gone: HeldVariant) -> Result<(), StoreError> {
        let (user, sha256) = (user.uuid(), bytes(sha256));
        let name = gone.variant.name();
        let values: Vec<Value<'_>> = vec![
            (&user, Type::UUID),
            (&sha256, Type::BYTEA),
            (&name, Type::TEXT),
            (&gone.blob, Type::UUID),
        ];
        let drop = || Step::Fixed(DROP_VARIANT, values.clone());
        retrying(|| async { self.database.run(drop()).await }).await?;
        Ok(())
    }

    async fn variant(
        &self,
        user: UserId,
        sha256: Sha256,
        variant: Variant,
    ) -> Result<Option<HeldVariant>, StoreError> {
        let values: [Value<'_>; 3] = [
            (&user.uuid(), Type::UUID),
            (&bytes(sha256), Type::BYTEA),
            (&variant.name(), Type::TEXT),
        ];
        let rows = self.database.read(VARIANT, &values).await?;
        Ok(rows.first().map(held_variant).transpose()?)
    }

    async fn add_avatar(&self, user: UserId, avatar: Avatar) -> Result<(), WriteError> {
        let (user, columns) = (user.uuid(), AvatarColumns::of(&[avatar]));
        let values = columns.values(&user);
        retrying(|| self.did(&user, ADD_AVATARS, &values)).await?;
        Ok(())
    }

    async fn avatar(&self, user: UserId, id: AvatarId) -> Result<Option<Avatar>, StoreError> {
        let sql = format!("SELECT {AVATAR_COLUMNS} FROM avatars WHERE user_id = $1 AND avatar_id = $2");
        let values: [Value<'_>; 2] = [(&user.uuid(), Type::UUID), (&id.uuid(), Type::UUID)];
        let rows = self.database.read(&sql, &values).await?;
        Ok(rows.first().map(avatar).transpose()?)
    }

    async fn avatars(&self, user: UserId) -> Result<Vec<Avatar>, StoreError> {
        Ok(avatars_of(&self.database, user).await?)
    }

    async fn drop_unnamed(
        &self,
        user: UserId,
        before: UnixMillis,
        limit: u32,
    ) -> Result<Dropped, StoreError> {
        // A look that waits for nobody, however many contents there are. What it finds is judged again under the lock.
        let unnamed = self.look_for_unnamed(user, before, limit).await?;
        if unnamed.is_empty() {
            return Ok(Dropped::default());
        }
        match retrying(|| self.drop_once(user, before, &unnamed)).await {
            // The account is gone or being removed, and what is known of its blobs goes with it.
            Err(Failure::UnknownUser) => Ok(Dropped::default()),
            blobs => Ok(Dropped {
                blobs: blobs?,
                more: unnamed.reaches(limit),
            }),
        }
    }

    async fn unnamed(&self, user: UserId, contents: Vec<Sha256>) -> Result<Vec<Sha256>, StoreError> {
        let contents: Vec<_> = contents.into_iter().map(bytes).collect();
        let values: [Value<'_>; 2] = [(&user.uuid(), Type::UUID), (&contents, Type::BYTEA_ARRAY)];
        let rows = self.database.read(&unnamed_sql(), &values).await?;
        let hashes: Result<Vec<_>, Failure> = rows
            .iter()
            .map(|row| rows::sha256(row, 0, "contents.sha256"))
            .collect();
        Ok(hashes?)
    }

    async fn known(&self, user: UserId, blobs: Vec<Uuid>) -> Result<Vec<Uuid>, StoreError> {
        let values: [Value<'_>; 2] = [(&user.uuid(), Type::UUID), (&blobs, Type::UUID_ARRAY)];
        Ok(blobs_in(&self.database.read(KNOWN, &values).await?)?)
    }

    async fn without_content(
        &self,
        user: UserId,
        after: Option<RecordKey>,
        limit: u32,
    ) -> Result<Vec<(RecordKey, Sha256)>, StoreError> {
        let (key, entity_type) = after.map_or_else(Default::default, |after| {
            (after.to_string(), after.entity_type().name())
        });
        let values: [Value<'_>; 4] = [
            (&user.uuid(), Type::UUID),
            (&key, Type::TEXT),
            (&entity_type, Type::TEXT),
            (&i64::from(limit), Type::INT8),
        ];
        let rows = self.database.read(WITHOUT_CONTENT, &values).await?;
        let records: Result<Vec<_>, Failure> = rows
            .iter()
            .map(|row| {
                let entity_type: EntityType = parsed(row, 0, "records.entity_type")?;
                Ok((
                    rows::key(row, 1, entity_type)?,
                    rows::sha256(row, 2, "records.attachment")?,
                ))
            })
            .collect();
        Ok(records?)
    }

    async fn removed_users(&self, after: Option<UserId>, limit: u32) -> Result<Vec<UserId>, StoreError> {
        let sql = "
            SELECT user_id FROM removed_users WHERE $1::uuid IS NULL OR user_id > $1 ORDER BY user_id LIMIT $2";
        let (after, limit) = (after.map(UserId::uuid), i64::from(limit));
        let rows = self
            .database
            .read(sql, &[(&after, Type::UUID), (&limit, Type::INT8)])
            .await?;
        let users: Result<Vec<_>, Failure> = rows
            .iter()
            .map(|row| Ok(UserId::new(column(row, 0, "removed_users.user_id")?)))
            .collect();
        Ok(users?)
    }
}

const CONTENT: &str = "
    SELECT sha256, blob_id, size, touched_at FROM contents WHERE user_id = $1 AND sha256 = $2";

/// The contents of the user $1 after the hash $2, at most $3.
pub(crate) const PAGE: &str = "
    SELECT sha256, blob_id, size, touched_at FROM contents
    WHERE user_id = $1 AND sha256 > $2 ORDER BY sha256 LIMIT $3";

/// Reads a content, as [`CONTENT`] and [`PAGE`] give it.
pub(crate) fn content(row: &Row) -> Result<HeldContent, Failure> {
    Ok(HeldContent {
        sha256: rows::sha256(row, 0, "contents.sha256")?,
        blob: column(row, 1, "contents.blob_id")?,
        size: size(row, 2, "contents.size")?,
        touched_at: checked(row, 3, "contents.touched_at", UnixMillis::new)?,
    })
}

/// What the attachments of the user $1 come to.
pub(crate) const USAGE: &str = "
    SELECT (SELECT coalesce(sum(size), 0) FROM contents WHERE user_id = $1)::bigint,
           (SELECT coalesce(sum(length), 0) FROM uploads WHERE user_id = $1 AND NOT is_finished)::bigint";

/// What [`USAGE`] says.
pub(crate) fn usage(rows: &[Row]) -> Result<AttachmentUsage, Failure> {
    rows.first().map_or(Ok(AttachmentUsage::default()), |row| {
        Ok(AttachmentUsage {
            held: size(row, 0, "contents.size")?,
            announced: size(row, 1, "uploads.length")?,
        })
    })
}

const HOLD: &str = "
    INSERT INTO contents (user_id, sha256, blob_id, size, touched_at) VALUES ($1, $2, $3, $4, $5)";

const TOUCH: &str = "UPDATE contents SET touched_at = $3 WHERE user_id = $1 AND sha256 = $2";

const REPLACE: &str = "
    UPDATE contents SET blob_id = $3, size = $4, touched_at = greatest(touched_at, $5)
    WHERE user_id = $1 AND sha256 = $2 AND blob_id = $6 RETURNING 1";

/// The columns of a content that is to be stored.
struct ContentValues {
    user: Uuid,
    sha256: Vec<u8>,
    blob: Uuid,
    size: i64,
    touched_at: i64,
}

impl ContentValues {
    fn new(user: UserId, content: HeldContent) -> Self {
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

/// One that is there already stays, and counts if its blob is this one.
const HOLD_VARIANT: &str = "
    INSERT INTO content_variants AS v (user_id, sha256, variant, blob_id, size, mime_type)
    SELECT c.user_id, c.sha256, $3, $4, $5, $6 FROM contents AS c WHERE c.user_id = $1 AND c.sha256 = $2
    ON CONFLICT (user_id, sha256, variant) DO UPDATE SET blob_id = v.blob_id WHERE v.blob_id = excluded.blob_id
    RETURNING 1";

const DROP_VARIANT: &str = "
    DELETE FROM content_variants WHERE user_id = $1 AND sha256 = $2 AND variant = $3 AND blob_id = $4";

const VARIANT: &str = "
    SELECT variant, blob_id, size, mime_type FROM content_variants
    WHERE user_id = $1 AND sha256 = $2 AND variant = $3";

fn held_variant(row: &Row) -> Result<HeldVariant, Failure> {
    Ok(HeldVariant {
        variant: parsed(row, 0, "content_variants.variant")?,
        blob: column(row, 1, "content_variants.blob_id")?,
        size: size(row, 2, "content_variants.size")?,
        mime_type: mime_type(row, 3, "content_variants.mime_type")?,
    })
}

fn mime_type(row: &Row, at: usize, what: &'static str) -> Result<MimeType, Failure> {
    MimeType::new(column(row, at, what)?).map_err(|violation| Failure::corrupt(what, violation))
}

/// The columns that [`avatar`] reads, in its order.
const AVATAR_COLUMNS: &str = "avatar_id, sha256, mime_type, created_at";

fn avatar(row: &Row) -> Result<Avatar, Failure> {
    Ok(Avatar {
        id: AvatarId::new(column(row, 0, "avatars.avatar_id")?),
        sha256: rows::sha256(row, 1, "avatars.sha256")?,
        mime_type: mime_type(row, 2, "avatars.mime_type")?,
        created_at: checked(row, 3, "avatars.created_at", UnixMillis::new)?,
    })
}

/// The avatars of a user, by id.
pub(crate) async fn avatars_of(database: &Database, user: UserId) -> Result<Vec<Avatar>, Failure> {
    let sql = format!("SELECT {AVATAR_COLUMNS} FROM avatars WHERE user_id = $1 ORDER BY avatar_id");
    let rows = database.read(&sql, &[(&user.uuid(), Type::UUID)]).await?;
    rows.iter().map(avatar).collect()
}

pub(crate) const ADD_AVATARS: &str = "
    INSERT INTO avatars (user_id, avatar_id, sha256, mime_type, created_at)
    SELECT $1, n.avatar_id, n.sha256, n.mime_type, n.created_at
    FROM unnest($2::uuid[], $3::bytea[], $4::text[], $5::bigint[]) AS n (avatar_id, sha256, mime_type, created_at)";

/// Avatars that are to be stored, as columns.
#[derive(Default)]
pub(crate) struct AvatarColumns {
    avatar_id: Vec<Uuid>,
    sha256: Vec<Vec<u8>>,
    mime_type: Vec<String>,
    created_at: Vec<i64>,
}

impl AvatarColumns {
    pub(crate) fn of(avatars: &[Avatar]) -> Self {
        let mut columns = Self::default();
        for avatar in avatars {
            columns.avatar_id.push(avatar.id.uuid());
            columns.sha256.push(bytes(avatar.sha256));
            columns.mime_type.push(avatar.mime_type.as_str().to_owned());
            columns.created_at.push(avatar.created_at.get());
        }
        columns
    }

    pub(crate) fn values<'a>(&'a self, user: &'a Uuid) -> Vec<Value<'a>> {
        vec![
            (user, Type::UUID),
            (&self.avatar_id, Type::UUID_ARRAY),
            (&self.sha256, Type::BYTEA_ARRAY),
            (&self.mime_type, Type::TEXT_ARRAY),
            (&self.created_at, Type::INT8_ARRAY),
        ]
    }
}

/// No record and no revision of the user $1 names the content `c`: two look-ups by the hash.
const IN_NO_RECORD: &str = "
    NOT EXISTS (SELECT 1 FROM records AS r WHERE r.user_id = $1 AND r.attachment = c.sha256)
    AND NOT EXISTS (SELECT 1 FROM revisions AS k WHERE k.user_id = $1 AND k.attachment = c.sha256)";

/// No avatar of the user $1 has the content `c`.
const IN_NO_AVATAR: &str = "
    NOT EXISTS (SELECT 1 FROM avatars AS a WHERE a.user_id = $1 AND a.sha256 = c.sha256)";

/// The avatar `a` is one of the user $1, from before $2, whose id stands nowhere.
const UNNAMED_AVATAR: &str = "
    a.user_id = $1 AND a.created_at < $2
    AND NOT EXISTS (SELECT 1 FROM users AS u
                    WHERE u.user_id = $1 AND position(a.avatar_id::text IN u.avatar_url) > 0)
    AND NOT EXISTS (SELECT 1 FROM records AS r
                    WHERE r.user_id = $1 AND r.entity_type = 'bot' AND position(a.avatar_id::text IN r.document) > 0)
    AND NOT EXISTS (SELECT 1 FROM revisions AS k
                    WHERE k.user_id = $1 AND k.entity_type = 'bot' AND position(a.avatar_id::text IN k.document) > 0)";

/// At most $3 avatars and $3 contents of the user $1 that nothing from $2 on brought and nothing names, as if these avatars
/// were gone.
pub(crate) fn look_for_unnamed_sql() -> String {
    format!(
        "WITH stale AS MATERIALIZED (
             SELECT a.avatar_id FROM avatars AS a WHERE {UNNAMED_AVATAR} ORDER BY a.avatar_id LIMIT $3
         )
         SELECT ARRAY(SELECT avatar_id FROM stale), ARRAY(
             SELECT c.sha256 FROM contents AS c
             WHERE c.user_id = $1 AND c.touched_at < $2 AND {IN_NO_RECORD}
               AND NOT EXISTS (SELECT 1 FROM avatars AS a
                               WHERE a.user_id = $1 AND a.sha256 = c.sha256
                                 AND a.avatar_id NOT IN (SELECT avatar_id FROM stale))
             LIMIT $3
         )"
    )
}

fn drop_avatars_sql() -> String {
    format!("DELETE FROM avatars AS a WHERE a.avatar_id = ANY ($3) AND {UNNAMED_AVATAR}")
}

pub(crate) fn drop_contents_sql() -> String {
    format!(
        "WITH gone AS (
             DELETE FROM contents AS c
             WHERE c.user_id = $1 AND c.touched_at < $2 AND c.sha256 = ANY ($3) AND {IN_NO_RECORD} AND {IN_NO_AVATAR}
             RETURNING c.sha256, c.blob_id
         ), smaller AS (
             DELETE FROM content_variants AS v USING gone AS g WHERE v.user_id = $1 AND v.sha256 = g.sha256
             RETURNING v.blob_id
         )
         SELECT blob_id FROM gone UNION ALL SELECT blob_id FROM smaller"
    )
}

pub(crate) fn unnamed_sql() -> String {
    format!(
        "SELECT c.sha256 FROM unnest($2::bytea[]) WITH ORDINALITY AS n (sha256, place)
         JOIN contents AS c ON c.user_id = $1 AND c.sha256 = n.sha256
         WHERE {IN_NO_RECORD} AND {IN_NO_AVATAR} ORDER BY n.place"
    )
}

pub(crate) const KNOWN: &str = "
    SELECT b.blob_id FROM unnest($2::uuid[]) WITH ORDINALITY AS b (blob_id, place)
    WHERE EXISTS (SELECT 1 FROM contents AS c WHERE c.user_id = $1 AND c.blob_id = b.blob_id)
       OR EXISTS (SELECT 1 FROM content_variants AS v WHERE v.user_id = $1 AND v.blob_id = b.blob_id)
       OR EXISTS (SELECT 1 FROM upload_parts AS p WHERE p.user_id = $1 AND p.blob_id = b.blob_id)
       OR EXISTS (SELECT 1 FROM uploads AS u
                  WHERE u.user_id = $1 AND u.direct_blob_id = b.blob_id AND NOT u.is_finished)
    ORDER BY b.place";

pub(crate) const WITHOUT_CONTENT: &str = "
    SELECT r.entity_type, r.record_key, r.attachment FROM records AS r
    WHERE r.user_id = $1 AND r.attachment IS NOT NULL AND NOT r.is_deleted
      AND (r.record_key, r.entity_type) > ($2, $3)
      AND NOT EXISTS (SELECT 1 FROM contents AS c WHERE c.user_id = $1 AND c.sha256 = r.attachment)
    ORDER BY r.record_key, r.entity_type LIMIT $4";

pub(crate) const NOTE_REMOVED: &str =
    "INSERT INTO removed_users (user_id) VALUES ($1) ON CONFLICT (user_id) DO NOTHING";

pub(crate) const FORGET_REMOVED: &str = "DELETE FROM removed_users WHERE user_id = $1";

/// Reads rows that are blobs.
pub(crate) fn blobs_in(rows: &[Row]) -> Result<Vec<Uuid>, Failure> {
    rows.iter().map(|row| column(row, 0, "blob_id")).collect()
}

/// What nothing named when it was looked for.
struct Unnamed {
    avatars: Vec<Uuid>,
    contents: Vec<Vec<u8>>,
}

impl Unnamed {
    fn is_empty(&self) -> bool {
        self.avatars.is_empty() && self.contents.is_empty()
    }

    /// Whether there may be more than was asked for.
    fn reaches(&self, limit: u32) -> bool {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        self.avatars.len().max(self.contents.len()) >= limit
    }
}

impl PostgresStore {
    /// Runs a statement under the user's lock, and commits it. Says whether it gave a row.
    async fn did(&self, user: &Uuid, sql: &str, values: &[Value<'_>]) -> Result<bool, Failure> {
        let steps = vec![Step::Fixed(sql, values.to_vec())];
        let (session, answers) = lock_and_run(&self.database, user, steps).await?;
        session.commit(Vec::new()).await?;
        Ok(answers.first().is_some_and(|rows| !rows.is_empty()))
    }

    async fn hold_once(&self, user: UserId, new: HeldContent, quota: u64) -> Result<HoldOutcome, Failure> {
        let values = ContentValues::new(user, new);
        let steps = vec![
            Step::Fixed(CONTENT, values.key()),
            Step::Fixed(USAGE, vec![(&values.user, Type::UUID)]),
        ];
        let (session, answers) = lock_and_run(&self.database, &values.user, steps).await?;
        let [found, sums] = answers.as_slice() else {
            return Err(Failure::Lost);
        };
        if let Some(mut held) = found.first().map(content).transpose()? {
            held.touched_at = held.touched_at.max(new.touched_at);
            let touched_at = held.touched_at.get();
            let mut touch = values.key();
            touch.push((&touched_at, Type::INT8));
            session.commit(vec![Step::Fixed(TOUCH, touch)]).await?;
            return Ok(HoldOutcome::HeldBy(held));
        }
        let so_far = usage(sums)?.held;
        if so_far.saturating_add(new.size) > quota {
            return Ok(HoldOutcome::OverQuota { used: so_far });
        }
        session.commit(vec![Step::Fixed(HOLD, values.values())]).await?;
        Ok(HoldOutcome::Held)
    }

    async fn look_for_unnamed(
        &self,
        user: UserId,
        before: UnixMillis,
        limit: u32,
    ) -> Result<Unnamed, Failure> {
        let values: [Value<'_>; 3] = [
            (&user.uuid(), Type::UUID),
            (&before.get(), Type::INT8),
            (&i64::from(limit), Type::INT8),
        ];
        let rows = self.database.read(&look_for_unnamed_sql(), &values).await?;
        let row = rows
            .first()
            .ok_or_else(|| Failure::corrupt("contents", "a question has no answer"))?;
        Ok(Unnamed {
            avatars: column(row, 0, "avatars.avatar_id")?,
            contents: column(row, 1, "contents.sha256")?,
        })
    }

    /// Drops what still nothing names: avatars first, because they name contents.
    async fn drop_once(
        &self,
        user: UserId,
        before: UnixMillis,
        unnamed: &Unnamed,
    ) -> Result<Vec<Uuid>, Failure> {
        let (user, before) = (user.uuid(), before.get());
        let (avatars_sql, contents_sql) = (drop_avatars_sql(), drop_contents_sql());
        let bounds = || -> Vec<Value<'_>> { vec![(&user, Type::UUID), (&before, Type::INT8)] };
        let (mut avatars, mut contents) = (bounds(), bounds());
        avatars.push((&unnamed.avatars, Type::UUID_ARRAY));
        contents.push((&unnamed.contents, Type::BYTEA_ARRAY));
        let steps = vec![
            Step::Fixed(&avatars_sql, avatars),
            Step::Fixed(&contents_sql, contents),
        ];
        let (session, answers) = lock_and_run(&self.database, &user, steps).await?;
        let blobs = blobs_in(answers.last().map_or(&[], Vec::as_slice))?;
        session.commit(Vec::new()).await?;
        Ok(blobs)
    }
}
