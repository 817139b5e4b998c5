//! Reading revisions (H1): a page of a record's, and one alone.

use mosaic_domain::pull::PageLimits;
use mosaic_domain::{RecordKey, RevisionId, UserId};
use mosaic_ports::{KeptRevision, RevisionPage};
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use crate::PostgresStore;
use crate::blocking::read_rows;
use crate::error::Failure;
use crate::query::RecordValues;
use crate::rows::{self, REVISION_COLUMNS, REVISION_WIDTH};
use crate::session::Value;

/// The page is cut by the lengths of the documents before the documents themselves are fetched. Each row knows whether
/// there is another one after it.
pub(crate) fn page_sql() -> String {
    format!(
        "SELECT {REVISION_COLUMNS}, k.has_next FROM (
             SELECT page.*, row_number() OVER latest_first AS place, lead(true) OVER latest_first AS has_next,
                    sum(octet_length(page.document))
                        OVER (latest_first ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS bytes_before
             FROM (SELECT * FROM revisions
                   WHERE user_id = $1 AND entity_type = $2 AND record_key = $3 AND revision_number < $4
                   ORDER BY revision_number DESC LIMIT (SELECT $5 + 1)) AS page
             WINDOW latest_first AS (ORDER BY page.revision_number DESC)
         ) AS k
         WHERE k.place <= $5 AND (k.place = 1 OR k.bytes_before < $6)
         ORDER BY k.revision_number DESC"
    )
}

fn page(rows: &[Row]) -> Result<RevisionPage, Failure> {
    let mut page = RevisionPage::default();
    for row in rows {
        page.items.push(rows::revision(row)?);
        page.more = rows::column::<Option<bool>>(row, REVISION_WIDTH, "has_next")?.unwrap_or(false);
    }
    Ok(page)
}

impl PostgresStore {
    pub(crate) async fn revision_page(
        &self,
        user: UserId,
        key: RecordKey,
        before: Option<u32>,
        limits: PageLimits,
    ) -> Result<RevisionPage, Failure> {
        let before = before.map_or(i64::MAX, i64::from);
        let records = i64::from(u32::try_from(limits.records.max(1)).unwrap_or(u32::MAX));
        let bytes = i64::try_from(limits.bytes).unwrap_or(i64::MAX);
        let record = RecordValues::new(user, key);
        let mut values: Vec<Value<'_>> = record.values().into();
        values.extend::<[Value<'_>; 3]>([
            (&before, Type::INT8),
            (&records, Type::INT8),
            (&bytes, Type::INT8),
        ]);
        let rows = self.database.read(&page_sql(), &values).await?;
        read_rows(rows, page).await
    }

    pub(crate) async fn one_revision(
        &self,
        user: UserId,
        key: RecordKey,
        id: RevisionId,
    ) -> Result<Option<KeptRevision>, Failure> {
        let sql = format!(
            "SELECT {REVISION_COLUMNS} FROM revisions AS k
             WHERE user_id = $1 AND entity_type = $2 AND record_key = $3 AND revision_id = $4"
        );
        let (record, id) = (RecordValues::new(user, key), id.uuid());
        let mut values: Vec<Value<'_>> = record.values().into();
        values.push((&id, Type::UUID));
        let rows = self.database.read(&sql, &values).await?;
        rows.first().map(rows::revision).transpose()
    }
}
