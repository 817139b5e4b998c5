//! The smaller pictures that were made of contents.

use async_trait::async_trait;
use mosaic_domain::UserId;
use mosaic_domain::attachment::{self, VariantRef};
use mosaic_domain::entity::{Sha256, Variant};
use mosaic_ports::rows::{self, VARIANT_COLUMNS};
use mosaic_ports::{StoreError, VariantIndex, WriteError};
use rusqlite::Connection;

use super::{content, ensure_open};
use crate::SqliteStore;
use crate::error::Failure;
use crate::rows::{SqliteRow, stored_size};

#[async_trait]
impl VariantIndex for SqliteStore {
    async fn add_variant(
        &self,
        user: UserId,
        sha256: Sha256,
        variant: VariantRef,
    ) -> Result<bool, WriteError> {
        let job = move |conn: &Connection| add(conn, user, sha256, &variant);
        Ok(self.writer.run_for(user, job).await?)
    }

    async fn remove_variant(&self, user: UserId, sha256: Sha256, gone: VariantRef) -> Result<(), StoreError> {
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
    ) -> Result<Option<VariantRef>, StoreError> {
        let look_up = move |conn: &Connection| self::variant(conn, user, sha256, variant);
        Ok(self.readers.read(look_up).await?)
    }
}

fn add(conn: &Connection, user: UserId, sha256: Sha256, new: &VariantRef) -> Result<bool, Failure> {
    ensure_open(conn, user)?;
    let there = variant(conn, user, sha256, new.variant)?;
    let plan = attachment::add_variant(content(conn, user, sha256)?, there.as_ref(), new);
    if plan.write.is_some() {
        put(conn, user, sha256, new)?;
    }
    Ok(plan.outcome)
}

fn put(conn: &Connection, user: UserId, sha256: Sha256, variant: &VariantRef) -> Result<(), Failure> {
    conn.prepare_cached(
        "INSERT INTO content_variants (user_id, sha256, variant, blob_id, size, mime_type)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?
    .execute((
        user.uuid(),
        sha256.as_bytes(),
        variant.variant.name(),
        variant.blob,
        stored_size(variant.size),
        variant.mime_type.as_str(),
    ))?;
    Ok(())
}

fn variant(
    conn: &Connection,
    user: UserId,
    sha256: Sha256,
    variant: Variant,
) -> Result<Option<VariantRef>, Failure> {
    let mut statement = conn.prepare_cached(&format!(
        "SELECT {VARIANT_COLUMNS} FROM content_variants WHERE user_id = ?1 AND sha256 = ?2 AND variant = ?3"
    ))?;
    let mut rows = statement.query((user.uuid(), sha256.as_bytes(), variant.name()))?;
    rows.next()?.map(|row| rows::variant(&SqliteRow(row))).transpose()
}
