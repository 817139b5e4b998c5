//! Where records and contents do not agree.

use async_trait::async_trait;
use mosaic_domain::entity::Sha256;
use mosaic_domain::{EntityType, RecordKey, UserId};
use mosaic_ports::{AttachmentAudit, StoreError};
use rusqlite::Connection;

use super::garbage::is_named;
use crate::SqliteStore;
use crate::error::Failure;
use crate::rows::{self, parsed, sha256};

#[async_trait]
impl AttachmentAudit for SqliteStore {
    async fn unreferenced(&self, user: UserId, contents: Vec<Sha256>) -> Result<Vec<Sha256>, StoreError> {
        let look_up = move |conn: &Connection| unreferenced(conn, user, contents);
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
}

const IS_UNREFERENCED: &str = concat!(
    "SELECT EXISTS (SELECT 1 FROM contents AS c WHERE c.user_id = ?1 AND c.sha256 = ?2) AND NOT (",
    is_named!("?2"),
    ")"
);

fn unreferenced(conn: &Connection, user: UserId, contents: Vec<Sha256>) -> Result<Vec<Sha256>, Failure> {
    let mut statement = conn.prepare_cached(IS_UNREFERENCED)?;
    let mut unreferenced = Vec::new();
    for sha256 in contents {
        if statement.query_row((user.uuid(), sha256.as_bytes()), |row| row.get(0))? {
            unreferenced.push(sha256);
        }
    }
    Ok(unreferenced)
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

#[cfg(test)]
mod tests {
    use super::super::garbage::tests::{NAMED, USER, searches};
    use super::*;

    #[test]
    fn whether_a_content_is_referenced_is_looked_up_in_indexes() {
        let steps = searches(IS_UNREFERENCED, (USER, [0_u8; 32]));
        assert_eq!(steps[0], "SEARCH c USING PRIMARY KEY (user_id=? AND sha256=?)");
        assert_eq!(steps[1..], NAMED);
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
}
