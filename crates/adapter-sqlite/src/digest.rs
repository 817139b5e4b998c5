//! What a user's live records come to.

use mosaic_domain::digest::Digest;
use mosaic_domain::{EditTime, EntityType, PerEntity, UserId};
use mosaic_ports::SyncDigest;
use rusqlite::Connection;

use crate::error::Failure;
use crate::pull::clock_and_epoch;
use crate::rows::{self, checked};

/// Reads no document: it is the last column, and a row is read only as far as it is asked for.
const LIVE: &str =
    "SELECT record_key, edit_time FROM records WHERE user_id = ?1 AND entity_type = ?2 AND is_deleted = 0";

/// The digest of each type, with the clock and the epoch of the same snapshot; `None` where there is no such user.
pub(crate) fn of(conn: &Connection, user: UserId) -> Result<Option<SyncDigest>, Failure> {
    let Some((clock, epoch)) = clock_and_epoch(conn, user)? else {
        return Ok(None);
    };
    let mut statement = conn.prepare_cached(LIVE)?;
    let mut types = PerEntity::<Digest>::default();
    for entity in EntityType::ALL {
        let mut rows = statement.query((user.uuid(), entity.name()))?;
        while let Some(row) = rows.next()? {
            let key = rows::key(row, 0, entity)?;
            types[entity].add(key, checked(row, 1, "records.edit_time", EditTime::new)?);
        }
    }
    Ok(Some(SyncDigest { clock, epoch, types }))
}
