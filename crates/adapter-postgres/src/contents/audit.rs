//! Where records and contents do not agree.

use async_trait::async_trait;
use mosaic_domain::entity::Sha256;
use mosaic_domain::{EntityType, RecordKey, UserId};
use mosaic_ports::{AttachmentAudit, StoreError};
use tokio_postgres::types::Type;

use super::garbage::{IN_NO_AVATAR, IN_NO_RECORD};
use crate::PostgresStore;
use crate::error::Failure;
use crate::rows::{self, bytes, parsed};
use crate::session::Value;

#[async_trait]
impl AttachmentAudit for PostgresStore {
    async fn unreferenced(&self, user: UserId, contents: Vec<Sha256>) -> Result<Vec<Sha256>, StoreError> {
        let contents: Vec<_> = contents.into_iter().map(bytes).collect();
        let values: [Value<'_>; 2] = [(&user.uuid(), Type::UUID), (&contents, Type::BYTEA_ARRAY)];
        let rows = self.database.read(&unreferenced_sql(), &values).await?;
        let hashes: Result<Vec<_>, Failure> = rows
            .iter()
            .map(|row| rows::sha256(row, 0, "contents.sha256"))
            .collect();
        Ok(hashes?)
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
}

pub(crate) fn unreferenced_sql() -> String {
    format!(
        "SELECT c.sha256 FROM unnest((SELECT $2::bytea[])) WITH ORDINALITY AS n (sha256, place)
         JOIN contents AS c ON c.user_id = $1 AND c.sha256 = n.sha256
         WHERE {IN_NO_RECORD} AND {IN_NO_AVATAR} ORDER BY n.place"
    )
}

pub(crate) const WITHOUT_CONTENT: &str = "
    SELECT r.entity_type, r.record_key, r.attachment FROM records AS r
    WHERE r.user_id = $1 AND r.attachment IS NOT NULL AND NOT r.is_deleted
      AND (r.record_key, r.entity_type) > ($2, $3)
      AND NOT EXISTS (SELECT 1 FROM contents AS c WHERE c.user_id = $1 AND c.sha256 = r.attachment)
    ORDER BY r.record_key, r.entity_type LIMIT (SELECT $4)";
