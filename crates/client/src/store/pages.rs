//! What the server has: pages of a pull, and how a record is taken.

use std::collections::BTreeSet;

use mosaic_domain::digest::Digest;
use mosaic_domain::skew::Shift;
use mosaic_domain::{EditTime, EntityType, Epoch, PerEntity, RecordKey, UnixMillis};
use rusqlite::Transaction;
use serde_json::Value;

use super::{Store, name, row, set_row, set_state, state};
use crate::error::{Error, Result};
use crate::wire::{Changes, Cursors, Object, Page};

/// A device's place in the user's history.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) cursors: Cursors,
    pub(crate) epoch: Option<Epoch>,
}

impl Store {
    /// Up to where the server has served this device.
    pub(crate) fn place(&self) -> Result<Place> {
        self.read(place)
    }

    /// Takes a page, and its cursors with it; answers how many records and tombstones it had. `None`: another process has moved the
    /// cursors since it was asked for, and the page may be older than what that one took.
    pub(crate) fn take_page(&self, asked_at: &Place, page: &Page, now: UnixMillis) -> Result<Option<usize>> {
        self.write(|tx| {
            if place(tx)? != *asked_at {
                return Ok(None);
            }
            let mut rebuilding: BTreeSet<String> = state(tx, "rebuilding")?.unwrap_or_default();
            for name in &page.reset {
                tx.execute("UPDATE records SET given = 0 WHERE type = ?1", [name])?;
                rebuilding.insert(name.clone());
            }
            let mut count = 0;
            for entity in EntityType::ALL {
                if let Some(changes) = page.changes.get(entity.name()) {
                    count += take_changes(tx, entity, changes)?;
                }
                for key in page.skipped.get(entity.name()).into_iter().flatten() {
                    let kept = "UPDATE records SET given = 1 WHERE type = ?1 AND key = ?2";
                    tx.execute(kept, [entity.name(), key])?;
                }
                let is_complete = page.has_more.get(entity.name()) == Some(&false);
                if is_complete && rebuilding.remove(entity.name()) {
                    forget(tx, entity)?;
                }
            }
            set_state(tx, "rebuilding", &rebuilding)?;
            set_state(tx, "cursors", &page.cursors)?;
            set_state(tx, "epoch", &page.epoch)?;
            note_time(tx, page.server_time, now)?;
            Ok(Some(count))
        })
    }

    /// Begins anew: what the server does not give again is dropped at the end, and edits that are not settled stay.
    pub(crate) fn rebuild(&self) -> Result<()> {
        self.write(|tx| {
            tx.execute("UPDATE records SET given = 0", [])?;
            set_state(tx, "rebuilding", &EntityType::ALL.map(EntityType::name))?;
            set_state(tx, "cursors", &Cursors::new())
        })
    }

    /// What the live records of each type come to. What is seen here is what the server has only where the outbox is empty.
    pub(crate) fn digest(&self) -> Result<PerEntity<Digest>> {
        self.read(|tx| {
            let mut digests = PerEntity::from_fn(|_| Digest::default());
            let sql =
                "SELECT key, record ->> 'updatedAt' FROM records WHERE type = ?1 AND record IS NOT NULL";
            let mut statement = tx.prepare_cached(sql)?;
            for entity in EntityType::ALL {
                let mut rows = statement.query([entity.name()])?;
                while let Some(row) = rows.next()? {
                    let key = entity
                        .parse_key(&row.get::<_, String>(0)?)
                        .map_err(Error::local)?;
                    digests[entity].add(key, EditTime::clamped(row.get(1)?));
                }
            }
            Ok(digests)
        })
    }
}

fn place(tx: &Transaction<'_>) -> Result<Place> {
    Ok(Place {
        cursors: cursors(tx)?,
        epoch: state(tx, "epoch")?,
    })
}

pub(super) fn cursors(tx: &Transaction<'_>) -> Result<Cursors> {
    Ok(state(tx, "cursors")?.unwrap_or_default())
}

/// Remembers how far this device's clock is off: by so much the server shifts the times of edits (W6).
pub(super) fn note_time(tx: &Transaction<'_>, server_time: UnixMillis, now: UnixMillis) -> Result<()> {
    set_state(tx, "shift", &Shift::between(Some(now), server_time).ms())
}

fn take_changes(tx: &Transaction<'_>, entity: EntityType, changes: &Changes) -> Result<usize> {
    for record in &changes.updated {
        let key = record.get(entity.key_name()).and_then(Value::as_str);
        take(tx, read_key(entity, key.unwrap_or_default())?, Some(record))?;
    }
    for key in &changes.deleted_ids {
        take(tx, read_key(entity, key)?, None)?;
    }
    Ok(changes.updated.len() + changes.deleted_ids.len())
}

fn read_key(entity: EntityType, key: &str) -> Result<RecordKey> {
    entity
        .parse_key(key)
        .map_err(|error| Error::NotTheServer(error.to_string()))
}

/// Takes what the server has of a record; `None`: it has none. An edit that is not settled stays on top: the server judges it.
pub(super) fn take(tx: &Transaction<'_>, key: RecordKey, said: Option<&Object>) -> Result<()> {
    let known = row(tx, key)?;
    match (known.edit, said) {
        (None, None) => {
            tx.prepare_cached("DELETE FROM records WHERE type = ?1 AND key = ?2")?
                .execute(name(key))?;
            return Ok(());
        }
        (None, said) => set_row(tx, key, said, None)?,
        (Some(edit), said) => {
            let below = said.cloned().or(known.record);
            let record = edit.changes.zip(below).map(|(changes, mut record)| {
                record.extend(changes);
                record.insert("updatedAt".to_owned(), edit.edited_at.get().into());
                record
            });
            set_row(tx, key, record.as_ref(), said)?;
        }
    }
    tx.prepare_cached("UPDATE records SET given = 1 WHERE type = ?1 AND key = ?2")?
        .execute(name(key))?;
    Ok(())
}

/// Drops what was not given while its type was rebuilt (R3).
fn forget(tx: &Transaction<'_>, entity: EntityType) -> Result<()> {
    let mut statement = tx.prepare_cached("SELECT key FROM records WHERE type = ?1 AND given = 0")?;
    let keys = statement.query_map([entity.name()], |row| row.get(0))?;
    for key in keys.collect::<rusqlite::Result<Vec<String>>>()? {
        take(tx, read_key(entity, &key)?, None)?;
    }
    Ok(())
}
