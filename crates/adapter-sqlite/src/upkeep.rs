//! Retention (H2) and jobs. One job of the writer is one transaction, and takes turns with the writes of everybody.

use async_trait::async_trait;
use mosaic_domain::lease::{ClaimOutcome, JobClaim, Lease};
use mosaic_domain::plan::Plan;
use mosaic_domain::write::ROW_BYTES;
use mosaic_domain::{UnixMillis, UserId};
use mosaic_ports::{Jobs, Purged, Retention, StoreError, rows};
use rusqlite::Connection;
use uuid::Uuid;

use crate::SqliteStore;
use crate::error::Failure;
use crate::records;
use crate::rows::read_all;

#[async_trait]
impl Retention for SqliteStore {
    async fn purge(&self, user: UserId, before: UnixMillis, limit: u32) -> Result<Purged, StoreError> {
        let job = move |conn: &Connection| purge(conn, user, before, limit);
        Ok(self.writer.run_for(user, job).await?)
    }
}

/// The oldest revisions from before a moment.
const OLD_REVISIONS: &str = "
    SELECT rowid FROM revisions WHERE user_id = ?1 AND recorded_at < ?2 ORDER BY recorded_at, rowid LIMIT ?3";

/// The tombstones from before a moment that still have their content. A stamp is shaped like a moment: the one when the
/// server was told of the delete.
const OLD_CONTENTS: &str = "
    SELECT rowid FROM records WHERE user_id = ?1 AND is_deleted = 1 AND document IS NOT NULL AND stamp < ?2
    ORDER BY stamp LIMIT ?3";

fn purge(conn: &Connection, user: UserId, before: UnixMillis, limit: u32) -> Result<Purged, Failure> {
    let revisions = purge_revisions(conn, user, before, limit)?;
    let left = limit.saturating_sub(u32::try_from(revisions.rows).unwrap_or(u32::MAX));
    let contents = erase_contents(conn, user, before, left)?;
    // What the user may store is counted by the same rule as when it was written (W10).
    let gone = revisions.bytes + contents.bytes + revisions.rows as u64 * ROW_BYTES;
    records::add_bytes(conn, user, 0_i64.saturating_sub_unsigned(gone))?;
    let (revisions, contents) = (revisions.rows, contents.rows);
    Ok(Purged {
        revisions: revisions as u64,
        contents: contents as u64,
        more: revisions + contents >= limit as usize,
    })
}

/// What a step took away.
struct Gone {
    rows: usize,
    /// The bytes of the documents.
    bytes: u64,
}

impl Gone {
    /// Measures what a step is about to take away.
    fn measure(conn: &Connection, table: &str, rows: &str, step: (Uuid, i64, u32)) -> Result<Self, Failure> {
        let sql = format!(
            "SELECT count(*), coalesce(sum(octet_length(document)), 0) FROM {table}
             WHERE user_id = ?1 AND rowid IN ({rows})"
        );
        let counted = conn.prepare_cached(&sql)?.query_row(step, |row| {
            let (rows, bytes): (i64, i64) = (row.get(0)?, row.get(1)?);
            Ok((rows.unsigned_abs(), bytes.unsigned_abs()))
        })?;
        Ok(Self {
            rows: usize::try_from(counted.0).unwrap_or(usize::MAX),
            bytes: counted.1,
        })
    }
}

/// Removes revisions, and notes the greatest number that each of their records had among them.
fn purge_revisions(conn: &Connection, user: UserId, before: UnixMillis, limit: u32) -> Result<Gone, Failure> {
    let step = (user.uuid(), before.get(), limit);
    let gone = Gone::measure(conn, "revisions", OLD_REVISIONS, step)?;
    conn.prepare_cached(&format!(
        "INSERT INTO purged_revisions (user_id, entity_type, record_key, last_number)
         SELECT user_id, entity_type, record_key, max(revision_number) FROM revisions
         WHERE user_id = ?1 AND rowid IN ({OLD_REVISIONS}) GROUP BY entity_type, record_key
         ON CONFLICT (user_id, entity_type, record_key) DO UPDATE SET
             last_number = max(last_number, excluded.last_number)"
    ))?
    .execute(step)?;
    conn.prepare_cached(&format!(
        "DELETE FROM revisions WHERE user_id = ?1 AND rowid IN ({OLD_REVISIONS})"
    ))?
    .execute(step)?;
    Ok(gone)
}

/// Erases what tombstones were about: the document, and what stands beside it. A tombstone is found by no text already.
fn erase_contents(conn: &Connection, user: UserId, before: UnixMillis, limit: u32) -> Result<Gone, Failure> {
    let step = (user.uuid(), before.get(), limit);
    let gone = Gone::measure(conn, "records", OLD_CONTENTS, step)?;
    conn.prepare_cached(&format!(
        "DELETE FROM record_search WHERE search_id IN (
             SELECT search_id FROM records
             WHERE user_id = ?1 AND search_id IS NOT NULL AND rowid IN ({OLD_CONTENTS}))"
    ))?
    .execute(step)?;
    conn.prepare_cached(&format!(
            "UPDATE records SET document = NULL, search_id = NULL, is_archived = 0, parent_key = NULL, day = NULL,
                                sort_order = NULL, attachment = NULL
             WHERE user_id = ?1 AND rowid IN ({OLD_CONTENTS})"
        ))?
        .execute(step)?;
    Ok(gone)
}

#[async_trait]
impl Jobs for SqliteStore {
    async fn claim(&self, claim: JobClaim) -> Result<ClaimOutcome, StoreError> {
        let job = move |conn: &Connection| {
            let plan = lease(conn, claim.job)?.claim(&claim);
            put_lease(conn, claim.job, plan)
        };
        Ok(self.writer.run(job).await?)
    }

    async fn release(
        &self,
        job: &'static str,
        holder: Uuid,
        done: Option<UnixMillis>,
    ) -> Result<(), StoreError> {
        let work = move |conn: &Connection| put_lease(conn, job, lease(conn, job)?.release(holder, done));
        Ok(self.writer.run(work).await?)
    }
}

fn lease(conn: &Connection, job: &str) -> Result<Lease, Failure> {
    let sql = "SELECT holder, held_until, done_at FROM jobs WHERE job = ?1";
    let known = read_all(conn, sql, [job], |row| rows::lease(row))?;
    Ok(known.into_iter().next().unwrap_or_default())
}

/// Writes what was decided about a job.
fn put_lease<O>(conn: &Connection, job: &str, plan: Plan<Lease, O>) -> Result<O, Failure> {
    if let Some(Lease { held, done_at }) = plan.write {
        let (holder, until) = held.unzip();
        conn.prepare_cached(
            "INSERT INTO jobs (job, holder, held_until, done_at) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (job) DO UPDATE SET
                 holder = excluded.holder, held_until = excluded.held_until, done_at = excluded.done_at",
        )?
        .execute((
            job,
            holder,
            until.map(UnixMillis::get),
            done_at.map(UnixMillis::get),
        ))?;
    }
    Ok(plan.outcome)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connect::open_writer;
    use crate::settings::{Location, SqliteSettings};

    #[test]
    fn h2_a_purge_finds_what_is_old_by_an_index() {
        let ids = mosaic_testkit::SequentialIds::default();
        let (conn, ..) = open_writer(&SqliteSettings::new(Location::Memory), &ids).unwrap();
        let plan = |sql: &str| -> Vec<String> {
            let mut statement = conn.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
            let steps = statement
                .query_map(([0_u8; 16], 0, 10), |row| row.get("detail"))
                .unwrap();
            steps.collect::<rusqlite::Result<_>>().unwrap()
        };
        assert_eq!(
            plan(OLD_REVISIONS),
            ["SEARCH revisions USING COVERING INDEX revisions_by_age (user_id=? AND recorded_at<?)"]
        );
        assert_eq!(
            plan(OLD_CONTENTS),
            ["SEARCH records USING INDEX records_to_erase (user_id=? AND stamp<?)"]
        );
    }
}
