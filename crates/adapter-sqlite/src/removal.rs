//! Removing an account, in steps: an installation with years of notes in it must not wait for one that goes.
//!
//! What has no clock any more is being removed: it can't be written, pulled or opened again.

use mosaic_domain::UserId;
use mosaic_domain::account::{ActingLogin, RemovalStep, RemoveAccount, RemoveOutcome};
use rusqlite::Connection;

use crate::commits::CommitEvent;
use crate::error::Failure;
use crate::{contents, invites, standing};

/// Takes the next step, and says whose logins it ended. Every step closes the account, which finds nothing to do but
/// the first time.
pub(crate) fn step(
    conn: &Connection,
    id: UserId,
    limit: u32,
    by: Option<ActingLogin>,
) -> Result<(RemoveOutcome, Option<CommitEvent>), Failure> {
    let plan = standing::facts(conn, id, None, by)?.remove();
    let Some(step) = plan.write else {
        return Ok((plan.outcome, None));
    };
    let event = CommitEvent::Account {
        user: id,
        ended: step == RemovalStep::Close,
    };
    let limit = limit.max(1);
    let plan = RemoveOutcome::of_rows(rows(conn, id, limit as usize)? as u64, limit);
    if let Some(RemoveAccount) = plan.write {
        conn.prepare_cached("DELETE FROM users WHERE user_id = ?1")?
            .execute([id.uuid()])?;
        contents::note_removed(conn, id)?;
    }
    Ok((plan.outcome, Some(event)))
}

/// Removes a batch of rows. Says how many.
fn rows(conn: &Connection, id: UserId, limit: usize) -> Result<usize, Failure> {
    let mut removed = close(conn, id)?;
    for sql in BATCHES {
        removed += batch(conn, sql, id, limit.saturating_sub(removed))?;
    }
    removed += records(conn, id, limit.saturating_sub(removed))?;
    Ok(removed)
}

/// Closes the account. What goes here is little: a few rows for each device. Says how much.
fn close(conn: &Connection, id: UserId) -> Result<usize, Failure> {
    conn.prepare_cached("UPDATE users SET is_disabled = 1 WHERE user_id = ?1")?
        .execute([id.uuid()])?;
    let mut removed = standing::end_all(conn, id)? + invites::forget_of(conn, id)?;
    for sql in [
        "DELETE FROM sync_cursors WHERE user_id = ?1",
        "DELETE FROM sync_clocks WHERE user_id = ?1",
    ] {
        removed += conn.prepare_cached(sql)?.execute([id.uuid()])?;
    }
    Ok(removed)
}

/// What there may be much of.
const BATCHES: [&str; 8] = [
    "DELETE FROM upload_parts WHERE user_id = ?1 AND (upload_id, part_offset) IN (
         SELECT upload_id, part_offset FROM upload_parts WHERE user_id = ?1 LIMIT ?2)",
    "DELETE FROM uploads WHERE user_id = ?1 AND upload_id IN (
         SELECT upload_id FROM uploads WHERE user_id = ?1 LIMIT ?2)",
    "DELETE FROM avatars WHERE user_id = ?1 AND avatar_id IN (
         SELECT avatar_id FROM avatars WHERE user_id = ?1 LIMIT ?2)",
    "DELETE FROM content_variants WHERE user_id = ?1 AND (sha256, variant) IN (
         SELECT sha256, variant FROM content_variants WHERE user_id = ?1 LIMIT ?2)",
    "DELETE FROM contents WHERE user_id = ?1 AND sha256 IN (
         SELECT sha256 FROM contents WHERE user_id = ?1 LIMIT ?2)",
    "DELETE FROM revisions WHERE user_id = ?1 AND rowid IN (
         SELECT rowid FROM revisions WHERE user_id = ?1 LIMIT ?2)",
    "DELETE FROM purged_revisions WHERE user_id = ?1 AND (entity_type, record_key) IN (
         SELECT entity_type, record_key FROM purged_revisions WHERE user_id = ?1 LIMIT ?2)",
    "DELETE FROM activity WHERE user_id = ?1 AND (kind, event_id) IN (
         SELECT kind, event_id FROM activity WHERE user_id = ?1 LIMIT ?2)",
];

/// Removes records with their texts, which are as many rows again.
fn records(conn: &Connection, id: UserId, limit: usize) -> Result<usize, Failure> {
    const FIRST: &str = "SELECT rowid FROM records WHERE user_id = ?1 ORDER BY stamp LIMIT ?2";
    let limit = limit.div_ceil(2);
    let texts = format!(
        "DELETE FROM record_search WHERE search_id IN (
             SELECT search_id FROM records WHERE user_id = ?1 AND search_id IS NOT NULL AND rowid IN ({FIRST}))"
    );
    let records = format!("DELETE FROM records WHERE user_id = ?1 AND rowid IN ({FIRST})");
    let removed = batch(conn, &texts, id, limit)?;
    let records = batch(conn, &records, id, limit)?;
    // Fewer than asked for: these were the last ones. As many: there may be more, whatever the texts were.
    Ok(if records < limit {
        removed + records
    } else {
        2 * limit
    })
}

fn batch(conn: &Connection, sql: &str, id: UserId, limit: usize) -> Result<usize, Failure> {
    if limit == 0 {
        return Ok(0);
    }
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    Ok(conn.prepare_cached(sql)?.execute((id.uuid(), limit))?)
}
