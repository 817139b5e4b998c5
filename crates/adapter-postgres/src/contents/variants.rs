//! The smaller pictures that were made of contents.

use async_trait::async_trait;
use mosaic_domain::UserId;
use mosaic_domain::attachment::{self, VariantRef};
use mosaic_domain::entity::{Sha256, Variant};
use mosaic_ports::rows::{self, VARIANT_COLUMNS};
use mosaic_ports::{StoreError, VariantIndex, WriteError};
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::{content, content_sql};
use crate::PostgresStore;
use crate::error::Failure;
use crate::retry::retrying;
use crate::rows::{PostgresRow, bigint, bytes};
use crate::scope::lock_and_run;
use crate::session::{Step, Value};

#[async_trait]
impl VariantIndex for PostgresStore {
    async fn add_variant(
        &self,
        user: UserId,
        sha256: Sha256,
        variant: VariantRef,
    ) -> Result<bool, WriteError> {
        Ok(retrying(|| self.add_variant_once(user, sha256, &variant)).await?)
    }

    async fn remove_variant(&self, user: UserId, sha256: Sha256, gone: VariantRef) -> Result<(), StoreError> {
        let (user, sha256) = (user.uuid(), bytes(sha256));
        let name = gone.variant.name();
        let values: Vec<Value<'_>> = vec![
            (&user, Type::UUID),
            (&sha256, Type::BYTEA),
            (&name, Type::TEXT),
            (&gone.blob, Type::UUID),
        ];
        let drop = || Step::Fixed(REMOVE, values.clone());
        retrying(|| async { self.database.run(drop()).await }).await?;
        Ok(())
    }

    async fn variant(
        &self,
        user: UserId,
        sha256: Sha256,
        variant: Variant,
    ) -> Result<Option<VariantRef>, StoreError> {
        let values: [Value<'_>; 3] = [
            (&user.uuid(), Type::UUID),
            (&bytes(sha256), Type::BYTEA),
            (&variant.name(), Type::TEXT),
        ];
        let rows = self.database.read(&variant_sql(), &values).await?;
        Ok(rows.first().map(variant_ref).transpose()?)
    }
}

const ADD: &str = "
    INSERT INTO content_variants (user_id, sha256, variant, blob_id, size, mime_type)
    VALUES ($1, $2, $3, $4, $5, $6)";

const REMOVE: &str = "
    DELETE FROM content_variants WHERE user_id = $1 AND sha256 = $2 AND variant = $3 AND blob_id = $4";

/// The smaller picture $3 of the content $2.
fn variant_sql() -> String {
    format!(
        "SELECT {VARIANT_COLUMNS} FROM content_variants WHERE user_id = $1 AND sha256 = $2 AND variant = $3"
    )
}

fn variant_ref(row: &Row) -> Result<VariantRef, Failure> {
    rows::variant(&PostgresRow(row))
}

impl PostgresStore {
    async fn add_variant_once(
        &self,
        user: UserId,
        sha256: Sha256,
        new: &VariantRef,
    ) -> Result<bool, Failure> {
        let (user, sha256) = (user.uuid(), bytes(sha256));
        let (name, size) = (new.variant.name(), bigint(new.size));
        let mime_type = new.mime_type.as_str();
        let of: Vec<Value<'_>> = vec![(&user, Type::UUID), (&sha256, Type::BYTEA)];
        let mut place = of.clone();
        place.push((&name, Type::TEXT));
        let (content_sql, variant_sql) = (content_sql(), variant_sql());
        let steps = vec![
            Step::Fixed(&content_sql, of),
            Step::Fixed(&variant_sql, place.clone()),
        ];
        let (session, answers) = lock_and_run(&self.database, &user, steps).await?;
        let [contents, variants] = answers.as_slice() else {
            return Err(Failure::Lost);
        };
        let of = contents.first().map(content).transpose()?;
        let there = variants.first().map(variant_ref).transpose()?;
        let plan = attachment::add_variant(of, there.as_ref(), new);
        place.extend::<[Value<'_>; 3]>([
            (&new.blob, Type::UUID),
            (&size, Type::INT8),
            (&mime_type, Type::TEXT),
        ]);
        let steps = plan.write.map(|()| Step::Fixed(ADD, place));
        session.commit(Vec::from_iter(steps)).await?;
        Ok(plan.outcome)
    }
}
