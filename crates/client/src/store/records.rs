//! What a person does with records, and sees of them. Nothing here needs a network.

use std::collections::HashSet;

use mosaic_domain::entity::Entity;
use mosaic_domain::{EditTime, EntityType, RecordKey, UnixMillis};
use rusqlite::{Transaction, params};
use serde_json::Value;

use super::{Row, Store, json, name, object, row, set_row, state, text};
use crate::error::{Error, Result};
use crate::record::{Record, SyncState};
use crate::wire::{Object, number};

impl Store {
    /// Makes the record be so. What is so already is no edit.
    pub(crate) fn put<E: Entity>(&self, key: E::Key, content: &E, now: UnixMillis) -> Result<()> {
        self.write(|tx| put(tx, E::record_key(key), fields(content)?, now))
    }

    /// Changes what a person sees of a record.
    pub(crate) fn edit<E: Entity>(
        &self,
        key: E::Key,
        change: impl FnOnce(&mut E),
        now: UnixMillis,
    ) -> Result<()> {
        self.write(|tx| {
            let found = visible::<E>(tx, Some(key))?;
            let Some(Record { mut content, .. }) = found.into_iter().next() else {
                return Err(Error::NotFound);
            };
            change(&mut content);
            put(tx, E::record_key(key), fields(&content)?, now)
        })
    }

    /// Deletes a record.
    pub(crate) fn delete(&self, key: RecordKey, now: UnixMillis) -> Result<()> {
        self.write(|tx| {
            let known = row(tx, key)?;
            if known.record.is_none() {
                return Err(Error::NotFound);
            }
            let edited_at = edit_time(tx, &known, now)?;
            set_row(tx, key, None, known.base.as_ref())?;
            enqueue(tx, key, edited_at, None)
        })
    }

    /// What a person sees of a type, the newest first; of one record, where a key is given.
    pub(crate) fn visible<E: Entity>(&self, key: Option<E::Key>) -> Result<Vec<Record<E>>> {
        self.read(|tx| visible(tx, key))
    }
}

fn fields<E: Entity>(content: &E) -> Result<Object> {
    match serde_json::to_value(content) {
        Ok(Value::Object(fields)) => Ok(fields),
        Ok(_) => Err(Error::local("content that is no object")),
        Err(error) => Err(Error::local(error)),
    }
}

fn put(tx: &Transaction<'_>, key: RecordKey, fields: Object, now: UnixMillis) -> Result<()> {
    let known = row(tx, key)?;
    let edited_at = edit_time(tx, &known, now)?;
    let Row {
        record: seen,
        base,
        edit,
    } = known;
    let differs =
        |(name, value): &(String, Value)| seen.as_ref().is_none_or(|seen| seen.get(name) != Some(value));
    let mut changes: Object = fields.into_iter().filter(differs).collect();
    if changes.is_empty() {
        return Ok(());
    }
    let mut record = seen.unwrap_or_else(|| {
        let name = key.entity_type().key_name().to_owned();
        [
            (name, key.to_string().into()),
            ("createdAt".to_owned(), now.get().into()),
        ]
        .into_iter()
        .collect()
    });
    record.extend(changes.clone());
    record.insert("updatedAt".to_owned(), edited_at.get().into());
    if let Some(mut before) = edit.and_then(|edit| edit.changes) {
        before.append(&mut changes);
        changes = before;
    }
    set_row(tx, key, Some(&record), base.as_ref())?;
    enqueue(tx, key, edited_at, Some(&changes))
}

/// An edit is later than what it edits (W1, W2): the edit before it, and what the server said, once it has been shifted (W6).
pub(super) fn edit_time(tx: &Transaction<'_>, known: &Row, now: UnixMillis) -> Result<EditTime> {
    let shift: i64 = state(tx, "shift")?.unwrap_or_default();
    let after_edit = known.edit.as_ref().map(|edit| edit.edited_at.next());
    let base = known.base.as_ref();
    let after_base = base.map(|base| EditTime::clamped(number(base, "updatedAt") - shift).next());
    Ok(EditTime::at(now).max(after_edit.max(after_base).unwrap_or(EditTime::ZERO)))
}

fn enqueue(
    tx: &Transaction<'_>,
    key: RecordKey,
    edited_at: EditTime,
    changes: Option<&Object>,
) -> Result<()> {
    let [entity, key] = name(key);
    let changes = changes.map(text).transpose()?;
    tx.prepare_cached(
        "INSERT OR REPLACE INTO outbox (type, key, edited_at, changes) VALUES (?1, ?2, ?3, ?4)",
    )?
    .execute(params![entity, key, edited_at.get(), changes])?;
    Ok(())
}

const VISIBLE: &str = "
    SELECT r.record, o.counter, o.problem
    FROM records r LEFT JOIN outbox o ON o.type = r.type AND o.key = r.key
    WHERE r.type = ?1 AND r.record IS NOT NULL AND (?2 IS NULL OR r.key = ?2)
    ORDER BY r.record ->> 'createdAt' DESC, r.key";

fn visible<E: Entity>(tx: &Transaction<'_>, key: Option<E::Key>) -> Result<Vec<Record<E>>> {
    let hidden = deleted_here(tx, E::TYPE.parent_type())?;
    let mut statement = tx.prepare_cached(VISIBLE)?;
    let mut rows = statement.query(params![E::TYPE.name(), key.map(|key| key.to_string())])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let (counter, problem): (Option<i64>, Option<String>) = (row.get(1)?, row.get(2)?);
        let sync = match (counter, problem) {
            (None, _) => SyncState::Settled,
            (Some(_), None) => SyncState::Pending,
            (Some(_), Some(problem)) => SyncState::Rejected(json(&problem)?),
        };
        let Some(record) = object(row.get(0)?)? else {
            continue;
        };
        // What another version wrote and this one can't read is left out, as the server does (P8).
        let Some(record) = Record::<E>::read(record, sync) else {
            continue;
        };
        let parent = record.content.facets().parent;
        if !parent.is_some_and(|parent| hidden.contains(&parent.to_string())) {
            found.push(record);
        }
    }
    Ok(found)
}

/// The records that were deleted here, which the server does not know yet. They hide what belongs to them: if the delete loses, that
/// lives on.
fn deleted_here(tx: &Transaction<'_>, entity: Option<EntityType>) -> Result<HashSet<String>> {
    let mut statement = tx.prepare_cached("SELECT key FROM records WHERE type = ?1 AND record IS NULL")?;
    let keys = statement.query_map([entity.map(EntityType::name)], |row| row.get(0))?;
    Ok(keys.collect::<rusqlite::Result<_>>()?)
}
