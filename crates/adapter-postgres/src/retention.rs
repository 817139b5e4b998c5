//! Forgetting what is older than the retention time (H2).

use async_trait::async_trait;
use mosaic_domain::{UnixMillis, UserId};
use mosaic_ports::{DumpedRecord, Purged, Retention, StoreError};
use tokio_postgres::types::Type;
use uuid::Uuid;

use crate::PostgresStore;
use crate::error::Failure;
use crate::retry::retrying;
use crate::rows::column;
use crate::session::{Step, Value};
use crate::standing;

/// Whether anything of the user $1 is older than $2: the first entries of two indexes.
pub(crate) const IS_DUE: &str = "
    SELECT coalesce((SELECT min(recorded_at) FROM revisions WHERE user_id = $1) < $2, false)
        OR coalesce((SELECT min(stamp) FROM records WHERE user_id = $1 AND is_deleted AND document IS NOT NULL) < $2,
                    false)";

/// The oldest of it, at most $3 revisions and contents. Gives how many, and the greatest purged number of each record, which
/// is noted ([`PUT_PURGED`]) so that it is not given again; of a tombstone stay its key, version, stamp, creation time and count. Nobody changes the rows meanwhile,
/// because the user's lock is held, so their places in the tables name them.
pub(crate) const PURGE: &str = "
    WITH gone AS (
        DELETE FROM revisions WHERE user_id = $1 AND ctid = ANY (ARRAY(
            SELECT ctid FROM revisions WHERE user_id = $1 AND recorded_at < $2 ORDER BY recorded_at LIMIT (SELECT $3)
        )) RETURNING entity_type, record_key, revision_number, octet_length(document) AS bytes
    ), old AS MATERIALIZED (
        SELECT ctid AS place, document_bytes AS bytes FROM records
        WHERE user_id = $1 AND stamp < $2 AND is_deleted AND document IS NOT NULL
        ORDER BY stamp LIMIT (SELECT $3 - count(*) FROM gone)
    ), erased AS (
        UPDATE records
        SET document = NULL, is_archived = false, parent_key = NULL, day = NULL, sort_order = NULL, tags = '{}',
            attachment = NULL
        WHERE user_id = $1 AND ctid = ANY (ARRAY(SELECT place FROM old)) RETURNING entity_type, record_key
    ), texts AS (
        DELETE FROM record_search AS s USING erased AS e
        WHERE s.user_id = $1 AND s.entity_type = e.entity_type AND s.record_key = e.record_key
    ), counted AS (
        UPDATE sync_clocks SET record_bytes = greatest(0, record_bytes
            - (SELECT coalesce(sum(200 + bytes), 0) FROM gone)::bigint
            - (SELECT coalesce(sum(bytes), 0) FROM old)::bigint)
        WHERE user_id = $1
    )
    SELECT (SELECT count(*) FROM gone), (SELECT count(*) FROM erased), coalesce(array_agg(p.entity_type), '{}'),
           coalesce(array_agg(p.record_key), '{}'), coalesce(array_agg(p.last_number), '{}')
    FROM (SELECT entity_type, record_key, max(revision_number) AS last_number
          FROM gone GROUP BY entity_type, record_key) AS p";

/// A record of which nothing was purged has no row.
pub(crate) const PUT_PURGED: &str = "
    INSERT INTO purged_revisions AS p (user_id, entity_type, record_key, last_number)
    SELECT c.user_id, n.entity_type, n.record_key, n.last_number
    FROM sync_clocks AS c,
         unnest((SELECT $2::text[]), (SELECT $3::text[]), (SELECT $4::bigint[])) AS n (entity_type, record_key, last_number)
    WHERE c.user_id = $1 AND n.last_number > 0
    ON CONFLICT (user_id, entity_type, record_key) DO UPDATE SET last_number = excluded.last_number
    WHERE p.last_number < excluded.last_number";

/// The greatest purged number of some records, as columns.
#[derive(Default)]
pub(crate) struct PurgedNumbers {
    entity_type: Vec<String>,
    record_key: Vec<String>,
    last_number: Vec<i64>,
}

impl PurgedNumbers {
    pub(crate) fn of(records: &[DumpedRecord]) -> Self {
        let mut columns = Self::default();
        for dumped in records {
            let key = dumped.record.key;
            columns.entity_type.push(key.entity_type().name().to_owned());
            columns.record_key.push(key.to_string());
            columns.last_number.push(dumped.purged_revisions.into());
        }
        columns
    }

    pub(crate) fn step<'a>(&'a self, user: &'a Uuid) -> Step<'a> {
        let values: Vec<Value<'_>> = vec![
            (user, Type::UUID),
            (&self.entity_type, Type::TEXT_ARRAY),
            (&self.record_key, Type::TEXT_ARRAY),
            (&self.last_number, Type::INT8_ARRAY),
        ];
        Step::Fixed(PUT_PURGED, values)
    }
}

#[async_trait]
impl Retention for PostgresStore {
    async fn purge(&self, user: UserId, before: UnixMillis, limit: u32) -> Result<Purged, StoreError> {
        if !self.is_due(user, before).await? {
            return Ok(Purged::default());
        }
        Ok(retrying(|| self.purge_once(user, before, limit)).await?)
    }
}

impl PostgresStore {
    /// A look that waits for nobody: most users have nothing to purge, and their writes shall not notice.
    async fn is_due(&self, user: UserId, before: UnixMillis) -> Result<bool, Failure> {
        let (user, before) = (user.uuid(), before.get());
        let values: [Value<'_>; 2] = [(&user, Type::UUID), (&before, Type::INT8)];
        let rows = self.database.read(IS_DUE, &values).await?;
        rows.first().map_or(Ok(false), |row| column(row, 0, "revisions"))
    }

    async fn purge_once(&self, user: UserId, before: UnixMillis, limit: u32) -> Result<Purged, Failure> {
        let (user, before, limit) = (user.uuid(), before.get(), i64::from(limit));
        let values: Vec<Value<'_>> = vec![(&user, Type::UUID), (&before, Type::INT8), (&limit, Type::INT8)];
        let steps = vec![
            Step::Fixed(standing::LOCK, vec![(&user, Type::UUID)]),
            Step::Fixed(PURGE, values),
        ];
        let mut session = self.database.session().await?;
        let answers = session.begin(steps).await?;
        let [clock, purged] = answers.as_slice() else {
            return Err(Failure::Lost);
        };
        let (Some(_), Some(row)) = (clock.first(), purged.first()) else {
            // Without a clock there is no lock, and nothing to purge that is not being removed. The session goes, and the
            // transaction with it.
            return Ok(Purged::default());
        };
        let (revisions, contents): (i64, i64) = (column(row, 0, "count")?, column(row, 1, "count")?);
        let purged = PurgedNumbers {
            entity_type: column(row, 2, "revisions.entity_type")?,
            record_key: column(row, 3, "revisions.record_key")?,
            last_number: column(row, 4, "revisions.revision_number")?,
        };
        let noted = (!purged.record_key.is_empty()).then(|| purged.step(&user));
        session.commit(Vec::from_iter(noted)).await?;
        Ok(Purged {
            revisions: revisions.unsigned_abs(),
            contents: contents.unsigned_abs(),
            more: revisions + contents >= limit,
        })
    }
}
