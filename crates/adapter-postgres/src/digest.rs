//! What a user's live records come to: one statement, which is one snapshot, and no documents.

use mosaic_domain::digest::Digest;
use mosaic_domain::{EditTime, EntityType, Epoch, PerEntity, Stamp, UserId};
use mosaic_ports::SyncDigest;
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use crate::PostgresStore;
use crate::blocking::on_blocking_thread;
use crate::error::Failure;
use crate::rows::{checked, column, parsed};

/// One row per type that has live records, with their keys and edit times side by side: a row for each record would take
/// several times the memory. One row without a type where there are none.
pub(crate) const LIVE: &str = "
    SELECT c.last_stamp, (SELECT epoch FROM meta WHERE only_row = 1), live.*
    FROM sync_clocks AS c
    LEFT JOIN LATERAL (
        SELECT r.entity_type, array_agg(r.record_key) AS keys, array_agg(r.edit_time) AS edit_times
        FROM records AS r WHERE r.user_id = $1 AND NOT r.is_deleted GROUP BY r.entity_type
    ) AS live ON true
    WHERE c.user_id = $1";

fn digest(rows: &[Row]) -> Result<Option<SyncDigest>, Failure> {
    let Some(first) = rows.first() else {
        return Ok(None);
    };
    let mut types = PerEntity::<Digest>::default();
    for row in rows {
        if column::<Option<&str>>(row, 2, "records.entity_type")?.is_none() {
            continue;
        }
        let entity_type: EntityType = parsed(row, 2, "records.entity_type")?;
        let keys: Vec<&str> = column(row, 3, "records.record_key")?;
        let edit_times: Vec<i64> = column(row, 4, "records.edit_time")?;
        for (key, edit_time) in keys.into_iter().zip(edit_times) {
            let key = entity_type
                .parse_key(key)
                .map_err(|violation| Failure::corrupt("records.record_key", violation))?;
            let edit_time = EditTime::new(edit_time)
                .map_err(|violation| Failure::corrupt("records.edit_time", violation))?;
            types[entity_type].add(key, edit_time);
        }
    }
    Ok(Some(SyncDigest {
        clock: checked(first, 0, "sync_clocks.last_stamp", Stamp::new)?,
        epoch: Epoch::new(column(first, 1, "meta.epoch")?),
        types,
    }))
}

impl PostgresStore {
    pub(crate) async fn digest_of(&self, user: UserId) -> Result<Option<SyncDigest>, Failure> {
        let rows = self.database.read(LIVE, &[(&user.uuid(), Type::UUID)]).await?;
        on_blocking_thread(move || digest(&rows)).await
    }
}
