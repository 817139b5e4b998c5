//! Which blob holds which content, and which contents are still named. Whatever changes something is a job of the writer,
//! and so takes turns with the writes of everybody.

use async_trait::async_trait;
use mosaic_domain::entity::{MimeType, Sha256, Variant};
use mosaic_domain::{AvatarId, EntityType, RecordKey, UnixMillis, UserId};
use mosaic_ports::{
    AttachmentUsage, Avatar, ContentIndex, Dropped, HeldContent, HeldVariant, HoldOutcome, StoreError,
    WriteError,
};
use rusqlite::{Connection, Row};
use uuid::Uuid;

use crate::SqliteStore;
use crate::error::Failure;
use crate::records;
use crate::rows::{self, checked, column, parsed, sha256, size, stored_size};

#[async_trait]
impl ContentIndex for SqliteStore {
    async fn hold(&self, user: UserId, content: HeldContent, quota: u64) -> Result<HoldOutcome, WriteError> {
        let job = move |conn: &Connection| hold(conn, user, &content, quota);
        Ok(self.writer.run_for(user, job).await?)
    }

    async fn replace(&self, user: UserId, gone: HeldContent, by: HeldContent) -> Result<bool, WriteError> {
        let job = move |conn: &Connection| replace(conn, user, &gone, &by);
        Ok(self.writer.run_for(user, job).await?)
    }

    async fn content(&self, user: UserId, sha256: Sha256) -> Result<Option<HeldContent>, StoreError> {
        let look_up = move |conn: &Connection| content(conn, user, sha256);
        Ok(self.readers.read(look_up).await?)
    }

    async fn usage(&self, user: UserId) -> Result<AttachmentUsage, StoreError> {
        Ok(self.readers.read(move |conn| usage(conn, user)).await?)
    }

    async fn hold_variant(
        &self,
        user: UserId,
        sha256: Sha256,
        variant: HeldVariant,
    ) -> Result<bool, WriteError> {
        let job = move |conn: &Connection| hold_variant(conn, user, sha256, &variant);
        Ok(self.writer.run_for(user, job).await?)
    }

    async fn drop_variant(&self, user: UserId, sha256: Sha256, gone: HeldVariant) -> Result<(), StoreError> {
        let job = move |conn: &Connection| {
            conn.prepare_cached(
                "DELETE FROM content_variants
                 WHERE user_id = ?1 AND sha256 = ?2 AND variant = ?3 AND blob_id = ?4",
            )?
            .execute((user.uuid(), sha256.as_bytes(), gone.variant.name(), gone.blob))?;
            Ok(())
        };
        Ok(self.writer.run_for(user, job).await?)
    }

    async fn variant(
        &self,
        user: UserId,
        sha256: Sha256,
        variant: Variant,
    ) -> Result<Option<HeldVariant>, StoreError> {
        let look_up = move |conn: &Connection| self::variant(conn, user, sha256, variant);
        Ok(self.readers.read(look_up).await?)
    }

    async fn add_avatar(&self, user: UserId, avatar: Avatar) -> Result<(), WriteError> {
        let job = move |conn: &Connection| {
            ensure_open(conn, user)?;
            put_avatar(conn, user, &avatar)
        };
        Ok(self.writer.run_for(user, job).await?)
    }

    async fn avatar(&self, user: UserId, id: AvatarId) -> Result<Option<Avatar>, StoreError> {
        let look_up = move |conn: &Connection| {
            let mut statement = conn.prepare_cached(&format!(
                "SELECT {AVATAR_COLUMNS} FROM avatars WHERE user_id = ?1 AND avatar_id = ?2"
            ))?;
            let mut rows = statement.query((user.uuid(), id.uuid()))?;
            rows.next()?.map(avatar).transpose()
        };
        Ok(self.readers.read(look_up).await?)
    }

    async fn avatars(&self, user: UserId) -> Result<Vec<Avatar>, StoreError> {
        Ok(self.readers.read(move |conn| avatars(conn, user)).await?)
    }

    async fn drop_unnamed(
        &self,
        user: UserId,
        before: UnixMillis,
        limit: u32,
    ) -> Result<Dropped, StoreError> {
        let job = move |conn: &Connection| drop_unnamed(conn, user, before, limit);
        Ok(self.writer.run_for(user, job).await?)
    }

    async fn unnamed(&self, user: UserId, contents: Vec<Sha256>) -> Result<Vec<Sha256>, StoreError> {
        let look_up = move |conn: &Connection| unnamed(conn, user, contents);
        Ok(self.readers.read(look_up).await?)
    }

    async fn known(&self, user: UserId, blobs: Vec<Uuid>) -> Result<Vec<Uuid>, StoreError> {
        let look_up = move |conn: &Connection| known(conn, user, blobs);
        Ok(self.readers.read(look_up).await?)
    }

    async fn without_content(
        &self,
        user: UserId,
        after: Option<RecordKey>,
        limit: u32,
    ) -> Result<Vec<(RecordKey, Sha256)>, StoreError> {
        let look_up = move |conn: &Connection| without_content(conn, user, after, limit);
        Ok(self.readers.read(look_up).await?)
    }

    async fn removed_users(&self, after: Option<UserId>, limit: u32) -> Result<Vec<UserId>, StoreError> {
        let look_up = move |conn: &Connection| {
            let sql = "SELECT user_id FROM removed_users WHERE ?1 IS NULL OR user_id > ?1 ORDER BY user_id LIMIT ?2";
            let mut statement = conn.prepare_cached(sql)?;
            let ids = statement.query_map((after.map(UserId::uuid), limit), |row| row.get(0))?;
            Ok(ids.map(|id| id.map(UserId::new)).collect::<Result<_, _>>()?)
        };
        Ok(self.readers.read(look_up).await?)
    }
}

/// Refuses what is for an account that is gone or being removed.
pub(crate) fn ensure_open(conn: &Connection, user: UserId) -> Result<(), Failure> {
    records::last_stamp(conn, user)?
        .map(drop)
        .ok_or(Failure::UnknownUser)
}

/// The columns that [`held`] reads, in its order.
const CONTENT_COLUMNS: &str = "sha256, blob_id, size, touched_at";

fn held(row: &Row<'_>) -> Result<HeldContent, Failure> {
    Ok(HeldContent {
        sha256: sha256(row, 0, "contents.sha256")?,
        blob: column(row, 1, "contents.blob_id")?,
        size: size(row, 2, "contents.size")?,
        touched_at: checked(row, 3, "contents.touched_at", UnixMillis::new)?,
    })
}

fn content(conn: &Connection, user: UserId, sha256: Sha256) -> Result<Option<HeldContent>, Failure> {
    let mut statement = conn.prepare_cached(&format!(
        "SELECT {CONTENT_COLUMNS} FROM contents WHERE user_id = ?1 AND sha256 = ?2"
    ))?;
    let mut rows = statement.query((user.uuid(), sha256.as_bytes()))?;
    rows.next()?.map(held).transpose()
}

fn hold(conn: &Connection, user: UserId, new: &HeldContent, quota: u64) -> Result<HoldOutcome, Failure> {
    ensure_open(conn, user)?;
    if let Some(there) = content(conn, user, new.sha256)? {
        let touched_at = there.touched_at.max(new.touched_at);
        conn.prepare_cached("UPDATE contents SET touched_at = ?3 WHERE user_id = ?1 AND sha256 = ?2")?
            .execute((user.uuid(), new.sha256.as_bytes(), touched_at.get()))?;
        return Ok(HoldOutcome::HeldBy(HeldContent { touched_at, ..there }));
    }
    let bytes = held_bytes(conn, user)?;
    if bytes.saturating_add(new.size) > quota {
        return Ok(HoldOutcome::OverQuota { used: bytes });
    }
    put_content(conn, user, new)?;
    Ok(HoldOutcome::Held)
}

/// Writes which blob holds a content, whatever did before.
pub(crate) fn put_content(conn: &Connection, user: UserId, content: &HeldContent) -> Result<(), Failure> {
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
) -> Result<Vec<HeldContent>, Failure> {
    let mut statement = conn.prepare_cached(&format!(
        "SELECT {CONTENT_COLUMNS} FROM contents WHERE user_id = ?1 AND sha256 > ?2 ORDER BY sha256 LIMIT ?3"
    ))?;
    let after = after.as_ref().map_or(&[][..], |sha256| sha256.as_bytes());
    let mut rows = statement.query((user.uuid(), after, limit))?;
    let mut contents = Vec::new();
    while let Some(row) = rows.next()? {
        contents.push(held(row)?);
    }
    Ok(contents)
}

fn replace(conn: &Connection, user: UserId, gone: &HeldContent, by: &HeldContent) -> Result<bool, Failure> {
    ensure_open(conn, user)?;
    let replaced = conn
        .prepare_cached(
            "UPDATE contents SET blob_id = ?4, size = ?5, touched_at = max(touched_at, ?6)
             WHERE user_id = ?1 AND sha256 = ?2 AND blob_id = ?3",
        )?
        .execute((
            user.uuid(),
            by.sha256.as_bytes(),
            gone.blob,
            by.blob,
            stored_size(by.size),
            by.touched_at.get(),
        ))?;
    Ok(replaced > 0)
}

fn held_bytes(conn: &Connection, user: UserId) -> Result<u64, Failure> {
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
        held: held_bytes(conn, user)?,
        announced,
    })
}

fn hold_variant(
    conn: &Connection,
    user: UserId,
    sha256: Sha256,
    variant: &HeldVariant,
) -> Result<bool, Failure> {
    ensure_open(conn, user)?;
    let held = conn
        .prepare_cached(
            "INSERT INTO content_variants (user_id, sha256, variant, blob_id, size, mime_type)
             SELECT user_id, sha256, ?3, ?4, ?5, ?6 FROM contents WHERE user_id = ?1 AND sha256 = ?2
             ON CONFLICT (user_id, sha256, variant) DO NOTHING",
        )?
        .execute((
            user.uuid(),
            sha256.as_bytes(),
            variant.variant.name(),
            variant.blob,
            stored_size(variant.size),
            variant.mime_type.as_str(),
        ))?;
    Ok(held > 0)
}

fn variant(
    conn: &Connection,
    user: UserId,
    sha256: Sha256,
    variant: Variant,
) -> Result<Option<HeldVariant>, Failure> {
    let mut statement = conn.prepare_cached(
        "SELECT blob_id, size, mime_type FROM content_variants
         WHERE user_id = ?1 AND sha256 = ?2 AND variant = ?3",
    )?;
    let mut rows = statement.query((user.uuid(), sha256.as_bytes(), variant.name()))?;
    let Some(row) = rows.next()? else { return Ok(None) };
    Ok(Some(HeldVariant {
        variant,
        blob: column(row, 0, "content_variants.blob_id")?,
        size: size(row, 1, "content_variants.size")?,
        mime_type: mime_type(row, 2, "content_variants.mime_type")?,
    }))
}

fn mime_type(row: &Row<'_>, at: usize, what: &'static str) -> Result<MimeType, Failure> {
    let stored: String = column(row, at, what)?;
    MimeType::new(&stored).map_err(|violation| Failure::corrupt(what, violation))
}

/// The columns that [`avatar`] reads, in its order.
const AVATAR_COLUMNS: &str = "avatar_id, sha256, mime_type, created_at";

fn avatar(row: &Row<'_>) -> Result<Avatar, Failure> {
    Ok(Avatar {
        id: AvatarId::new(column(row, 0, "avatars.avatar_id")?),
        sha256: sha256(row, 1, "avatars.sha256")?,
        mime_type: mime_type(row, 2, "avatars.mime_type")?,
        created_at: checked(row, 3, "avatars.created_at", UnixMillis::new)?,
    })
}

/// The avatars of a user, by id.
pub(crate) fn avatars(conn: &Connection, user: UserId) -> Result<Vec<Avatar>, Failure> {
    let mut statement = conn.prepare_cached(&format!(
        "SELECT {AVATAR_COLUMNS} FROM avatars WHERE user_id = ?1 ORDER BY avatar_id"
    ))?;
    let mut rows = statement.query([user.uuid()])?;
    let mut avatars = Vec::new();
    while let Some(row) = rows.next()? {
        avatars.push(avatar(row)?);
    }
    Ok(avatars)
}

/// Writes an avatar.
pub(crate) fn put_avatar(conn: &Connection, user: UserId, avatar: &Avatar) -> Result<(), Failure> {
    conn.prepare_cached(
        "INSERT INTO avatars (user_id, avatar_id, sha256, mime_type, created_at) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?
    .execute((
        user.uuid(),
        avatar.id.uuid(),
        avatar.sha256.as_bytes(),
        avatar.mime_type.as_str(),
        avatar.created_at.get(),
    ))?;
    Ok(())
}

/// Avatars first: a content that only they named goes in the same step.
fn drop_unnamed(conn: &Connection, user: UserId, before: UnixMillis, limit: u32) -> Result<Dropped, Failure> {
    if records::last_stamp(conn, user)?.is_none() {
        // What is known of its blobs goes with the account.
        return Ok(Dropped::default());
    }
    let limit = limit.max(1);
    let avatars = drop_avatars(conn, user, before, limit)?;
    let contents = old_unnamed(conn, user, before, limit)?;
    let mut blobs = Vec::with_capacity(contents.len());
    for content in &contents {
        drop_content(conn, user, content, &mut blobs)?;
    }
    Ok(Dropped {
        blobs,
        more: avatars.max(contents.len()) >= limit as usize,
    })
}

const OLD_AVATARS: &str =
    "SELECT avatar_id FROM avatars WHERE user_id = ?1 AND created_at < ?2 ORDER BY avatar_id";

/// Whether an id stands in the account or in any version of a bot. The addresses of avatars end with it.
const AVATAR_IS_NAMED: &str = "
    SELECT EXISTS (SELECT 1 FROM users WHERE user_id = ?1 AND instr(avatar_url, ?2) > 0)
        OR EXISTS (SELECT 1 FROM records WHERE user_id = ?1 AND entity_type = ?3 AND instr(document, ?2) > 0)
        OR EXISTS (SELECT 1 FROM revisions WHERE user_id = ?1 AND entity_type = ?3 AND instr(document, ?2) > 0)";

fn avatar_is_named(conn: &Connection, user: UserId, id: AvatarId) -> Result<bool, Failure> {
    let values = (user.uuid(), id.to_string(), EntityType::Bot.name());
    let mut statement = conn.prepare_cached(AVATAR_IS_NAMED)?;
    Ok(statement.query_row(values, |row| row.get(0))?)
}

/// Forgets avatars that nothing names. Says how many.
fn drop_avatars(conn: &Connection, user: UserId, before: UnixMillis, limit: u32) -> Result<usize, Failure> {
    let old: Vec<Uuid> = conn
        .prepare_cached(OLD_AVATARS)?
        .query_map((user.uuid(), before.get()), |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    let mut dropped = 0;
    for id in old.into_iter().map(AvatarId::new) {
        if dropped == limit as usize {
            break;
        }
        if !avatar_is_named(conn, user, id)? {
            dropped += conn
                .prepare_cached("DELETE FROM avatars WHERE user_id = ?1 AND avatar_id = ?2")?
                .execute((user.uuid(), id.uuid()))?;
        }
    }
    Ok(dropped)
}

/// The condition that a record, a revision or an avatar names a content: one look-up in an index for each.
macro_rules! named {
    ($sha256:literal) => {
        concat!(
            "EXISTS (SELECT 1 FROM records WHERE user_id = ?1 AND attachment = ",
            $sha256,
            ") OR EXISTS (SELECT 1 FROM revisions WHERE user_id = ?1 AND attachment = ",
            $sha256,
            ") OR EXISTS (SELECT 1 FROM avatars AS a WHERE a.user_id = ?1 AND a.sha256 = ",
            $sha256,
            ")"
        )
    };
}

const IS_UNNAMED: &str = concat!(
    "SELECT EXISTS (SELECT 1 FROM contents AS c WHERE c.user_id = ?1 AND c.sha256 = ?2) AND NOT (",
    named!("?2"),
    ")"
);

const OLD_UNNAMED: &str = concat!(
    "SELECT c.sha256, c.blob_id, c.size, c.touched_at FROM contents AS c
     WHERE c.user_id = ?1 AND c.touched_at < ?2 AND NOT (",
    named!("c.sha256"),
    ") ORDER BY c.sha256 LIMIT ?3"
);

/// Contents that were touched before a moment and that nothing names.
fn old_unnamed(
    conn: &Connection,
    user: UserId,
    before: UnixMillis,
    limit: u32,
) -> Result<Vec<HeldContent>, Failure> {
    let mut statement = conn.prepare_cached(OLD_UNNAMED)?;
    let mut rows = statement.query((user.uuid(), before.get(), limit))?;
    let mut contents = Vec::new();
    while let Some(row) = rows.next()? {
        contents.push(held(row)?);
    }
    Ok(contents)
}

/// Forgets a content with its variants.
fn drop_content(
    conn: &Connection,
    user: UserId,
    content: &HeldContent,
    blobs: &mut Vec<Uuid>,
) -> Result<(), Failure> {
    let key = (user.uuid(), content.sha256.as_bytes());
    conn.prepare_cached("DELETE FROM contents WHERE user_id = ?1 AND sha256 = ?2")?
        .execute(key)?;
    blobs.push(content.blob);
    let mut variants = conn.prepare_cached(
        "DELETE FROM content_variants WHERE user_id = ?1 AND sha256 = ?2 RETURNING blob_id",
    )?;
    for blob in variants.query_map(key, |row| row.get(0))? {
        blobs.push(blob?);
    }
    Ok(())
}

fn unnamed(conn: &Connection, user: UserId, contents: Vec<Sha256>) -> Result<Vec<Sha256>, Failure> {
    let mut statement = conn.prepare_cached(IS_UNNAMED)?;
    let mut unnamed = Vec::new();
    for sha256 in contents {
        if statement.query_row((user.uuid(), sha256.as_bytes()), |row| row.get(0))? {
            unnamed.push(sha256);
        }
    }
    Ok(unnamed)
}

/// A direct upload that is finished has given its blob away.
const IS_KNOWN: &str = "
    SELECT EXISTS (SELECT 1 FROM contents WHERE user_id = ?1 AND blob_id = ?2)
        OR EXISTS (SELECT 1 FROM content_variants WHERE user_id = ?1 AND blob_id = ?2)
        OR EXISTS (SELECT 1 FROM upload_parts WHERE user_id = ?1 AND blob_id = ?2)
        OR EXISTS (SELECT 1 FROM uploads WHERE user_id = ?1 AND direct_blob_id = ?2 AND is_finished = 0)";

fn known(conn: &Connection, user: UserId, blobs: Vec<Uuid>) -> Result<Vec<Uuid>, Failure> {
    let mut statement = conn.prepare_cached(IS_KNOWN)?;
    let mut known = Vec::new();
    for blob in blobs {
        if statement.query_row((user.uuid(), blob), |row| row.get(0))? {
            known.push(blob);
        }
    }
    Ok(known)
}

const WITHOUT_CONTENT: &str = "
    SELECT r.record_key, r.entity_type, r.attachment FROM records AS r
    WHERE r.user_id = ?1 AND (r.record_key, r.entity_type) > (?2, ?3)
      AND r.is_deleted = 0 AND r.attachment IS NOT NULL
      AND NOT EXISTS (SELECT 1 FROM contents WHERE user_id = ?1 AND sha256 = r.attachment)
    ORDER BY r.record_key, r.entity_type LIMIT ?4";

fn without_content(
    conn: &Connection,
    user: UserId,
    after: Option<RecordKey>,
    limit: u32,
) -> Result<Vec<(RecordKey, Sha256)>, Failure> {
    let (key, entity) = after.map_or_else(Default::default, |key| {
        (key.to_string(), key.entity_type().name())
    });
    let mut statement = conn.prepare_cached(WITHOUT_CONTENT)?;
    let mut rows = statement.query((user.uuid(), key, entity, limit))?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let entity: EntityType = parsed(row, 1, "records.entity_type")?;
        found.push((rows::key(row, 0, entity)?, sha256(row, 2, "records.attachment")?));
    }
    Ok(found)
}

/// Notes that the blobs of an account are to be removed.
pub(crate) fn note_removed(conn: &Connection, user: UserId) -> Result<(), Failure> {
    conn.prepare_cached("INSERT INTO removed_users (user_id) VALUES (?1) ON CONFLICT (user_id) DO NOTHING")?
        .execute([user.uuid()])?;
    Ok(())
}

/// Notes that they are gone, or that the account is there again.
pub(crate) fn forget_removed(conn: &Connection, user: UserId) -> Result<(), Failure> {
    conn.prepare_cached("DELETE FROM removed_users WHERE user_id = ?1")?
        .execute([user.uuid()])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use rusqlite::Params;

    use super::*;
    use crate::connect::open_writer;
    use crate::settings::{Location, SqliteSettings};

    /// How SQLite goes about a statement.
    fn plan(sql: &str, values: impl Params) -> Vec<String> {
        let ids = mosaic_testkit::SequentialIds::default();
        let (conn, ..) = open_writer(&SqliteSettings::new(Location::Memory), &ids).unwrap();
        let mut statement = conn.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        let steps = statement.query_map(values, |row| row.get("detail")).unwrap();
        steps.collect::<rusqlite::Result<_>>().unwrap()
    }

    /// Beside the subqueries, which say no more than that they are some.
    fn searches(sql: &str, values: impl Params) -> Vec<String> {
        let mut steps = plan(sql, values);
        steps.retain(|step| !step.contains("SUBQUERY") && step != "SCAN CONSTANT ROW");
        steps
    }

    const USER: [u8; 16] = [0; 16];
    const NAMED: [&str; 3] = [
        "SEARCH records USING COVERING INDEX records_by_attachment (user_id=? AND attachment=?)",
        "SEARCH revisions USING COVERING INDEX revisions_by_attachment (user_id=? AND attachment=?)",
        "SEARCH a USING COVERING INDEX avatars_by_content (user_id=? AND sha256=?)",
    ];

    #[test]
    fn whether_a_content_is_named_is_looked_up_in_indexes() {
        let unnamed = searches(IS_UNNAMED, (USER, [0_u8; 32]));
        assert_eq!(unnamed[0], "SEARCH c USING PRIMARY KEY (user_id=? AND sha256=?)");
        assert_eq!(unnamed[1..], NAMED);
        let dropped = searches(OLD_UNNAMED, (USER, 0, 10));
        assert_eq!(dropped[0], "SEARCH c USING PRIMARY KEY (user_id=?)");
        assert_eq!(dropped[1..], NAMED);
    }

    #[test]
    fn an_avatar_is_looked_for_in_bots_alone() {
        let steps = searches(AVATAR_IS_NAMED, (USER, "", "bot"));
        assert_eq!(steps.len(), 3, "{steps:#?}");
        assert_eq!(steps[0], "SEARCH users USING PRIMARY KEY (user_id=?)");
        for step in &steps[1..] {
            assert!(step.contains("(user_id=? AND entity_type=?"), "{steps:#?}");
        }
    }

    #[test]
    fn records_without_content_are_read_from_an_index_in_its_order() {
        let steps = searches(WITHOUT_CONTENT, (USER, "", "", 10));
        assert_eq!(
            steps,
            [
                "SEARCH r USING COVERING INDEX records_with_attachment (user_id=? AND (record_key,entity_type)>(?,?))",
                "SEARCH contents USING PRIMARY KEY (user_id=? AND sha256=?)",
            ]
        );
    }

    #[test]
    fn a_blob_is_looked_up_in_indexes() {
        let steps = plan(IS_KNOWN, (USER, USER));
        assert!(
            steps
                .iter()
                .all(|step| !step.starts_with("SCAN") || step == "SCAN CONSTANT ROW"),
            "{steps:#?}"
        );
    }
}
