//! Writing records: load the scope, ask the decision, carry out the plan (W8). All in one job of the writer, which is
//! the lock that rule S1 asks for.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use async_trait::async_trait;
use mosaic_domain::entity::{Facets, SortGroup};
use mosaic_domain::pull::PageLimits;
use mosaic_domain::search::normalise;
use mosaic_domain::write::{CHILDREN_MAX, Locked, WritePlan, WriteScope};
use mosaic_domain::{EntityType, Record, RecordKey, Revision, Stamp, State, SyncClock, UserId, Version};
use mosaic_ports::rows::stored;
use mosaic_ports::{Clock, Decide, WriteError, WriteStore};
use rusqlite::{Connection, OptionalExtension as _, named_params};

use crate::SqliteStore;
use crate::error::Failure;
use crate::rows::{self, RECORD_COLUMNS, RECORD_WIDTH, REVISION_COLUMNS};
use crate::runs;
use crate::standing;

#[async_trait]
impl WriteStore for SqliteStore {
    async fn write(&self, scope: WriteScope, decide: Decide) -> Result<WritePlan, WriteError> {
        let (clock, user, bytes) = (Arc::clone(&self.clock), scope.user, scope.bytes);
        let job = move |conn: &Connection| write(conn, clock.as_ref(), &scope, &decide);
        Ok(self.writer.write(user, bytes, job).await?)
    }
}

fn write(
    conn: &Connection,
    clock: &dyn Clock,
    scope: &WriteScope,
    decide: &Decide,
) -> Result<WritePlan, Failure> {
    let locked = load(conn, clock, scope)?;
    let plan = decide(&locked)?;
    carry_out(conn, scope.user, &plan)?;
    Ok(plan)
}

/// Loads what a scope asks for.
fn load(conn: &Connection, clock: &dyn Clock, scope: &WriteScope) -> Result<Locked, Failure> {
    let user = scope.user;
    let last = last_stamp(conn, user)?.ok_or(Failure::UnknownUser)?;
    standing::standing(conn, user, scope.login)??;
    let bytes = record_bytes(conn, user)?;
    let records = load_records(conn, scope)?;
    Ok(Locked {
        // The time is read here, where nobody else writes (S2).
        clock: SyncClock::new(last, clock.now()),
        children: count_children(conn, scope, &records)?,
        records,
        last_places: load_last_places(conn, user, &scope.sort_groups)?,
        revisions: load_history(conn, user, &scope.history)?,
        bytes,
        quota: standing::quota(conn, user)?,
    })
}

/// What the user's records and revisions come to (W10).
pub(crate) fn record_bytes(conn: &Connection, user: UserId) -> Result<u64, Failure> {
    let sql = "SELECT record_bytes FROM sync_clocks WHERE user_id = ?1";
    let bytes: i64 = conn
        .prepare_cached(sql)?
        .query_row([user.uuid()], |row| row.get(0))?;
    Ok(bytes.max(0).unsigned_abs())
}

/// Notes that the user's records and revisions grew, or shrank.
pub(crate) fn add_bytes(conn: &Connection, user: UserId, grown: i64) -> Result<(), Failure> {
    if grown != 0 {
        let sql = "UPDATE sync_clocks SET record_bytes = max(0, record_bytes + ?2) WHERE user_id = ?1";
        conn.prepare_cached(sql)?.execute((user.uuid(), grown))?;
    }
    Ok(())
}

/// The user's clock; `None` where there is no such user.
pub(crate) fn last_stamp(conn: &Connection, user: UserId) -> Result<Option<Stamp>, Failure> {
    let mut statement = conn.prepare_cached("SELECT last_stamp FROM sync_clocks WHERE user_id = ?1")?;
    let mut rows = statement.query([user.uuid()])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    rows::checked(row, 0, "sync_clocks.last_stamp", Stamp::new).map(Some)
}

/// The records of the scope, the children that it asks for, and the parent of each of them.
fn load_records(conn: &Connection, scope: &WriteScope) -> Result<BTreeMap<RecordKey, Record>, Failure> {
    let mut records = BTreeMap::new();
    for key in &scope.keys {
        records.extend(one(conn, scope.user, *key)?.map(|record| (*key, record)));
    }
    for parent in &scope.children_of {
        for child_type in parent.entity_type().child_types() {
            records.extend(children(conn, scope.user, *parent, child_type)?);
        }
    }
    let parents: BTreeSet<RecordKey> = records.values().filter_map(Record::parent_key).collect();
    for key in parents {
        if !records.contains_key(&key) {
            records.extend(one(conn, scope.user, key)?.map(|record| (key, record)));
        }
    }
    Ok(records)
}

/// One record, tombstones included.
pub(crate) fn one(conn: &Connection, user: UserId, key: RecordKey) -> Result<Option<Record>, Failure> {
    let entity = key.entity_type();
    let mut statement = conn.prepare_cached(&format!(
        "SELECT {RECORD_COLUMNS} FROM records AS r WHERE user_id = ?1 AND entity_type = ?2 AND record_key = ?3"
    ))?;
    let mut rows = statement.query((user.uuid(), entity.name(), key.to_string()))?;
    rows.next()?.map(|row| rows::record(row, entity)).transpose()
}

/// The live children of a record that are of one type.
fn children(
    conn: &Connection,
    user: UserId,
    parent: RecordKey,
    child_type: EntityType,
) -> Result<Vec<(RecordKey, Record)>, Failure> {
    let mut statement = conn.prepare_cached(&format!(
        "SELECT {RECORD_COLUMNS} FROM records AS r
         WHERE user_id = ?1 AND entity_type = ?2 AND is_deleted = 0 AND parent_key = ?3"
    ))?;
    let mut rows = statement.query((user.uuid(), child_type.name(), parent.to_string()))?;
    let mut children = Vec::new();
    while let Some(row) = rows.next()? {
        let child = rows::record(row, child_type)?;
        children.push((child.key, child));
    }
    Ok(children)
}

/// How many live records there are in the groups that are asked for, and in those of the children that are named.
fn count_children(
    conn: &Connection,
    scope: &WriteScope,
    records: &BTreeMap<RecordKey, Record>,
) -> Result<BTreeMap<SortGroup, u32>, Failure> {
    let named = scope.child_keys().filter_map(|key| records.get(&key)?.siblings());
    let groups: BTreeSet<SortGroup> = scope.counted.iter().copied().chain(named).collect();
    let mut statement = conn.prepare_cached(
        "SELECT count(*) FROM (SELECT 1 FROM records
                               WHERE user_id = ?1 AND entity_type = ?2 AND is_deleted = 0 AND parent_key = ?3 LIMIT ?4)",
    )?;
    let mut count = |group: SortGroup| {
        let values = (
            scope.user.uuid(),
            group.entity_type.name(),
            group.parent.map(|parent| parent.to_string()),
            CHILDREN_MAX,
        );
        Ok((group, statement.query_row(values, |row| row.get(0))?))
    };
    groups.into_iter().map(&mut count).collect()
}

/// The live children of a record that are of one type, in their order, as many as the limits allow.
pub(crate) fn children_within(
    conn: &Connection,
    user: UserId,
    parent: RecordKey,
    child_type: EntityType,
    limits: PageLimits,
    children: &mut Vec<Record>,
) -> Result<(), Failure> {
    let mut statement = conn.prepare_cached(&format!(
        "SELECT {RECORD_COLUMNS} FROM records AS r
         WHERE user_id = ?1 AND entity_type = ?2 AND is_deleted = 0 AND parent_key = ?3
         ORDER BY r.sort_order, r.record_key LIMIT ?4"
    ))?;
    let most = i64::try_from(limits.records.max(1)).unwrap_or(i64::MAX);
    let mut rows = statement.query((user.uuid(), child_type.name(), parent.to_string(), most))?;
    let mut bytes = 0;
    while let Some(row) = rows.next()? {
        bytes += rows::document_bytes(row, RECORD_WIDTH - 1)?;
        children.push(rows::record(row, child_type)?);
        if bytes >= limits.bytes {
            break;
        }
    }
    Ok(())
}

fn load_last_places(
    conn: &Connection,
    user: UserId,
    groups: &BTreeSet<SortGroup>,
) -> Result<BTreeMap<SortGroup, i64>, Failure> {
    let mut statement = conn.prepare_cached(
        "SELECT max(sort_order) FROM records
         WHERE user_id = ?1 AND entity_type = ?2 AND is_deleted = 0 AND parent_key IS ?3",
    )?;
    let mut places = BTreeMap::new();
    for group in groups {
        let parent = group.parent.map(|memo| memo.to_string());
        let last: Option<i64> =
            statement.query_row((user.uuid(), group.entity_type.name(), parent), |row| row.get(0))?;
        places.extend(last.map(|last| (*group, last)));
    }
    Ok(places)
}

/// The revisions that hold one of the versions.
fn load_history(
    conn: &Connection,
    user: UserId,
    history: &BTreeSet<(RecordKey, Version)>,
) -> Result<Vec<Revision>, Failure> {
    let mut statement = conn.prepare_cached(&format!(
        "SELECT {REVISION_COLUMNS} FROM revisions
         WHERE user_id = ?1 AND entity_type = ?2 AND record_key = ?3 AND edit_time = ?4 AND author = ?5
         ORDER BY revision_number"
    ))?;
    let mut revisions = Vec::new();
    for (key, version) in history {
        let entity = key.entity_type();
        let mut rows = statement.query((
            user.uuid(),
            entity.name(),
            key.to_string(),
            version.time.get(),
            version.author.as_str(),
        ))?;
        while let Some(row) = rows.next()? {
            revisions.push(rows::revision(row, entity)?.revision);
        }
    }
    Ok(revisions)
}

/// Carries out a plan. An empty one touches nothing (S4).
fn carry_out(conn: &Connection, user: UserId, plan: &WritePlan) -> Result<(), Failure> {
    let mut grown = plan.record_bytes;
    for revision in &plan.revisions {
        if keep(conn, user, revision)? {
            grown = grown.saturating_add_unsigned(revision.bytes());
        }
    }
    for record in &plan.records {
        upsert(conn, user, record)?;
    }
    if !plan.records.is_empty() {
        conn.prepare_cached("UPDATE sync_clocks SET last_stamp = ?2 WHERE user_id = ?1")?
            .execute((user.uuid(), plan.clock.get()))?;
    }
    add_bytes(conn, user, grown)
}

const KEEP_REVISION: &str = "
    INSERT INTO revisions (user_id, revision_id, entity_type, record_key, revision_number, edit_time, author,
                           created_at, reason, recorded_at, document, attachment)
    VALUES (:user_id, :revision_id, :entity_type, :record_key,
            coalesce(:number, 1 + max(
                (SELECT coalesce(max(revision_number), 0) FROM revisions
                 WHERE user_id = :user_id AND entity_type = :entity_type AND record_key = :record_key),
                (SELECT coalesce(max(last_number), 0) FROM purged_revisions
                 WHERE user_id = :user_id AND entity_type = :entity_type AND record_key = :record_key))),
            :edit_time, :author, :created_at, :reason, :recorded_at, :document, :attachment)
    ON CONFLICT (user_id, revision_id) DO NOTHING";

/// Keeps a version (H1) under the next number, counting those that are purged (H2). One that is kept already stays as it
/// is (W3). Says whether it was not.
fn keep(conn: &Connection, user: UserId, revision: &Revision) -> Result<bool, Failure> {
    keep_as(conn, user, revision, None)
}

/// Keeps a version under a number that it has already.
pub(crate) fn keep_numbered(
    conn: &Connection,
    user: UserId,
    revision: &Revision,
    number: u32,
) -> Result<(), Failure> {
    keep_as(conn, user, revision, Some(number)).map(drop)
}

fn keep_as(
    conn: &Connection,
    user: UserId,
    revision: &Revision,
    number: Option<u32>,
) -> Result<bool, Failure> {
    let kept = conn.prepare_cached(KEEP_REVISION)?.execute(named_params! {
        ":user_id": user.uuid(),
        ":revision_id": revision.id.uuid(),
        ":number": number,
        ":entity_type": revision.key.entity_type().name(),
        ":record_key": revision.key.to_string(),
        ":edit_time": revision.version.time.get(),
        ":author": revision.version.author.as_str(),
        ":created_at": revision.created_at.get(),
        ":reason": revision.reason.name(),
        ":recorded_at": revision.recorded_at.get(),
        ":document": revision.content.to_document(),
        ":attachment": attachment(&revision.content.facets()),
    })?;
    Ok(kept > 0)
}

const UPSERT_RECORD: &str = "
    INSERT INTO records (user_id, entity_type, record_key, stamp, edit_time, author, created_at, revision_count,
                         is_deleted, is_archived, parent_key, day, sort_order, document, attachment, search_id, seal)
    VALUES (:user_id, :entity_type, :record_key, :stamp, :edit_time, :author, :created_at, :revision_count,
            :is_deleted, :is_archived, :parent_key, :day, :sort_order, :document, :attachment, :search_id, :seal)
    ON CONFLICT (user_id, entity_type, record_key) DO UPDATE SET
        stamp = excluded.stamp, edit_time = excluded.edit_time, author = excluded.author,
        created_at = excluded.created_at, revision_count = excluded.revision_count,
        is_deleted = excluded.is_deleted, is_archived = excluded.is_archived, parent_key = excluded.parent_key,
        day = excluded.day, sort_order = excluded.sort_order, document = excluded.document,
        attachment = excluded.attachment, search_id = excluded.search_id,
        seal = excluded.seal";

/// Stores a record with what is indexed of it.
pub(crate) fn upsert(conn: &Connection, user: UserId, record: &Record) -> Result<(), Failure> {
    let facets = record.state.content().map(mosaic_domain::Content::facets);
    let facets = facets.unwrap_or_default();
    let (document, seal) = stored(&record.state);
    let searched = match &record.state {
        State::Live(_) => facets.search_text.as_deref().map(normalise),
        State::Deleted(_) => None,
    };
    let search_id = index_text(conn, search_id(conn, user, record.key)?, searched)?;
    conn.prepare_cached(UPSERT_RECORD)?.execute(named_params! {
        ":user_id": user.uuid(),
        ":entity_type": record.key.entity_type().name(),
        ":record_key": record.key.to_string(),
        ":stamp": record.stamp.get(),
        ":edit_time": record.version.time.get(),
        ":author": record.version.author.as_str(),
        ":created_at": record.created_at.get(),
        ":revision_count": record.revision_count,
        ":is_deleted": record.is_deleted(),
        ":is_archived": facets.archived,
        ":parent_key": facets.parent.map(|memo| memo.to_string()),
        ":day": facets.day.map(|day| day.to_string()),
        ":sort_order": facets.sort_order,
        ":document": document,
        ":attachment": attachment(&facets),
        ":search_id": search_id,
        ":seal": seal,
    })?;
    Ok(())
}

/// The content that is named, as the database keeps it.
fn attachment(facets: &Facets) -> Option<[u8; 32]> {
    facets.attachment.map(|sha256| *sha256.as_bytes())
}

/// The text that a stored record is found by.
fn search_id(conn: &Connection, user: UserId, key: RecordKey) -> Result<Option<i64>, Failure> {
    let sql = "SELECT search_id FROM records WHERE user_id = ?1 AND entity_type = ?2 AND record_key = ?3";
    let values = (user.uuid(), key.entity_type().name(), key.to_string());
    let stored = conn
        .prepare_cached(sql)?
        .query_row(values, |row| row.get(0))
        .optional()?;
    Ok(stored.flatten())
}

/// Has a text take the place of the one that is indexed under a number, and says under which one it is from now on. Nothing
/// for a record that has no text or is a tombstone.
fn index_text(conn: &Connection, indexed: Option<i64>, text: Option<String>) -> Result<Option<i64>, Failure> {
    match (indexed, text) {
        (None, None) => Ok(None),
        (Some(id), Some(body)) => {
            // Most edits leave the text as it is: archiving, moving to another day.
            conn.prepare_cached(
                "UPDATE record_search SET runs = ?3, body = ?2 WHERE search_id = ?1 AND body <> ?2",
            )?
            .execute((id, &body, runs::of(&body)))?;
            Ok(Some(id))
        }
        (None, Some(body)) => {
            conn.prepare_cached("INSERT INTO record_search (runs, body) VALUES (?2, ?1)")?
                .execute((&body, runs::of(&body)))?;
            Ok(Some(conn.last_insert_rowid()))
        }
        (Some(id), None) => {
            conn.prepare_cached("DELETE FROM record_search WHERE search_id = ?1")?
                .execute([id])?;
            Ok(None)
        }
    }
}
