//! What nobody needs any more.

use async_trait::async_trait;
use mosaic_domain::attachment::{self, AvatarFacts, Collected, ContentFacts};
use mosaic_domain::{AvatarId, EntityType, UnixMillis, UserId};
use mosaic_ports::{OrphanIndex, StoreError, rows};
use rusqlite::Connection;
use uuid::Uuid;

use super::ensure_open;
use crate::SqliteStore;
use crate::error::Failure;
use crate::rows::{SqliteRow, checked, column};
use mosaic_ports::rows::type_names;

#[async_trait]
impl OrphanIndex for SqliteStore {
    async fn collect_unreferenced(
        &self,
        user: UserId,
        before: UnixMillis,
        limit: u32,
    ) -> Result<Collected, StoreError> {
        let job = move |conn: &Connection| collect(conn, user, before, limit.max(1));
        match self.writer.run_for(user, job).await {
            // What is known of its blobs goes with the account.
            Err(Failure::UnknownUser) => Ok(Collected::default()),
            collected => Ok(collected?),
        }
    }

    async fn referenced(&self, user: UserId, blobs: Vec<Uuid>) -> Result<Vec<Uuid>, StoreError> {
        let look_up = move |conn: &Connection| referenced(conn, user, blobs);
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

/// Avatars first: a content that only they had goes in the same step.
fn collect(conn: &Connection, user: UserId, before: UnixMillis, limit: u32) -> Result<Collected, Failure> {
    ensure_open(conn, user)?;
    let avatars = attachment::collect(&old_avatars(conn, user, before, limit)?, &[], before, limit);
    for id in avatars.avatars {
        conn.prepare_cached("DELETE FROM avatars WHERE user_id = ?1 AND avatar_id = ?2")?
            .execute((user.uuid(), id.uuid()))?;
    }
    let contents = attachment::collect(&[], &old_contents(conn, user, before, limit)?, before, limit);
    for sha256 in contents.contents {
        let key = (user.uuid(), sha256.as_bytes());
        conn.prepare_cached("DELETE FROM contents WHERE user_id = ?1 AND sha256 = ?2")?
            .execute(key)?;
        conn.prepare_cached("DELETE FROM content_variants WHERE user_id = ?1 AND sha256 = ?2")?
            .execute(key)?;
    }
    Ok(Collected {
        more: avatars.collected.more || contents.collected.more,
        ..contents.collected
    })
}

const OLD_AVATARS: &str =
    "SELECT avatar_id, created_at FROM avatars WHERE user_id = ?1 AND created_at < ?2 ORDER BY avatar_id";

/// Whether an id stands in the account or in any version of a record whose type names avatars. The addresses of avatars end
/// with it.
fn avatar_is_referenced_sql() -> String {
    let types = type_names(
        EntityType::ALL
            .into_iter()
            .filter(|entity| entity.names_avatars()),
    );
    format!(
        "SELECT EXISTS (SELECT 1 FROM users WHERE user_id = ?1 AND instr(avatar_url, ?2) > 0)
             OR EXISTS (SELECT 1 FROM records
                        WHERE user_id = ?1 AND entity_type IN ({types}) AND instr(document, ?2) > 0)
             OR EXISTS (SELECT 1 FROM revisions
                        WHERE user_id = ?1 AND entity_type IN ({types}) AND instr(document, ?2) > 0)"
    )
}

/// Avatars from before a moment that nothing references.
fn old_avatars(
    conn: &Connection,
    user: UserId,
    before: UnixMillis,
    limit: u32,
) -> Result<Vec<AvatarFacts>, Failure> {
    let mut old = conn.prepare_cached(OLD_AVATARS)?;
    let mut is_referenced = conn.prepare_cached(&avatar_is_referenced_sql())?;
    let mut rows = old.query((user.uuid(), before.get()))?;
    let mut found = Vec::new();
    while found.len() < limit as usize
        && let Some(row) = rows.next()?
    {
        let id = AvatarId::new(column(row, 0, "avatars.avatar_id")?);
        let facts = AvatarFacts {
            id,
            created_at: checked(row, 1, "avatars.created_at", UnixMillis::new)?,
            is_referenced: is_referenced.query_row((user.uuid(), id.to_string()), |row| row.get(0))?,
        };
        found.extend(Some(facts).filter(|facts| facts.is_stale(before)));
    }
    Ok(found)
}

/// The condition that a record, a revision or an avatar names a content: one look-up in an index for each.
macro_rules! is_named {
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
pub(super) use is_named;

const OLD_CONTENTS: &str = concat!(
    "SELECT c.sha256, c.blob_id, c.size, c.touched_at FROM contents AS c
     WHERE c.user_id = ?1 AND c.touched_at < ?2 AND NOT (",
    is_named!("c.sha256"),
    ") ORDER BY c.sha256 LIMIT ?3"
);

/// Contents that were touched before a moment and that nothing references, no avatar either.
fn old_contents(
    conn: &Connection,
    user: UserId,
    before: UnixMillis,
    limit: u32,
) -> Result<Vec<ContentFacts>, Failure> {
    let mut old = conn.prepare_cached(OLD_CONTENTS)?;
    let mut variants =
        conn.prepare_cached("SELECT blob_id FROM content_variants WHERE user_id = ?1 AND sha256 = ?2")?;
    let mut rows = old.query((user.uuid(), before.get(), limit))?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let content = rows::content(&SqliteRow(row))?;
        let blobs = variants.query_map((user.uuid(), content.sha256.as_bytes()), |row| row.get(0))?;
        found.push(ContentFacts {
            content,
            is_referenced: false,
            avatars: Vec::new(),
            variants: blobs.collect::<Result<_, _>>()?,
        });
    }
    Ok(found)
}

/// A direct upload that is finished has given its blob away.
const IS_REFERENCED: &str = "
    SELECT EXISTS (SELECT 1 FROM contents WHERE user_id = ?1 AND blob_id = ?2)
        OR EXISTS (SELECT 1 FROM content_variants WHERE user_id = ?1 AND blob_id = ?2)
        OR EXISTS (SELECT 1 FROM upload_parts WHERE user_id = ?1 AND blob_id = ?2)
        OR EXISTS (SELECT 1 FROM uploads WHERE user_id = ?1 AND direct_blob_id = ?2 AND is_finished = 0)";

fn referenced(conn: &Connection, user: UserId, blobs: Vec<Uuid>) -> Result<Vec<Uuid>, Failure> {
    let mut statement = conn.prepare_cached(IS_REFERENCED)?;
    let mut found = Vec::new();
    for blob in blobs {
        if statement.query_row((user.uuid(), blob), |row| row.get(0))? {
            found.push(blob);
        }
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
pub(super) mod tests {
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
    pub(in crate::contents) fn searches(sql: &str, values: impl Params) -> Vec<String> {
        let mut steps = plan(sql, values);
        steps.retain(|step| !step.contains("SUBQUERY") && step != "SCAN CONSTANT ROW");
        steps
    }

    pub(in crate::contents) const USER: [u8; 16] = [0; 16];
    pub(in crate::contents) const NAMED: [&str; 3] = [
        "SEARCH records USING COVERING INDEX records_by_attachment (user_id=? AND attachment=?)",
        "SEARCH revisions USING COVERING INDEX revisions_by_attachment (user_id=? AND attachment=?)",
        "SEARCH a USING COVERING INDEX avatars_by_content (user_id=? AND sha256=?)",
    ];

    #[test]
    fn whether_a_content_is_referenced_is_looked_up_in_indexes() {
        let steps = searches(OLD_CONTENTS, (USER, 0, 10));
        assert_eq!(steps[0], "SEARCH c USING PRIMARY KEY (user_id=?)");
        assert_eq!(steps[1..], NAMED);
    }

    #[test]
    fn an_avatar_is_looked_for_only_in_types_that_name_avatars() {
        let steps = searches(&avatar_is_referenced_sql(), (USER, ""));
        assert_eq!(steps.len(), 3, "{steps:#?}");
        assert_eq!(steps[0], "SEARCH users USING PRIMARY KEY (user_id=?)");
        for step in &steps[1..] {
            assert!(step.contains("(user_id=? AND entity_type=?"), "{steps:#?}");
        }
    }

    #[test]
    fn a_blob_is_looked_up_in_indexes() {
        let steps = plan(IS_REFERENCED, (USER, USER));
        assert!(
            steps
                .iter()
                .all(|step| !step.starts_with("SCAN") || step == "SCAN CONSTANT ROW"),
            "{steps:#?}"
        );
    }
}
