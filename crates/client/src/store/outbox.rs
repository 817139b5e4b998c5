//! The edits that the server has not judged yet: what is sent of them, and what becomes of them.

use mosaic_domain::write::EDITS_PER_TYPE;
use mosaic_domain::{EditTime, EntityType, PerEntity, RecordKey, UnixMillis};
use rusqlite::{Transaction, params};

use super::pages::{cursors, note_time, take};
use super::records::edit_time;
use super::{Row, Store, json, name, object, row, set_state, text};
use crate::error::{Error, Problem, Result};
use crate::sync::Rejection;
use crate::wire::{Object, PushAnswer, number};

/// About how many bytes are sent at a time: what a server writes as one (B1). A longer record goes alone.
const BATCH_BYTES: usize = 512 * 1024;

/// An edit, as it is in the outbox.
pub(super) struct Pending {
    pub(super) edited_at: EditTime,
    /// The fields that it names; `None` where it deletes.
    pub(super) changes: Option<Object>,
}

/// An edit, as it is sent.
#[derive(Debug, Clone)]
pub(crate) struct Edit {
    counter: i64,
    pub(crate) key: RecordKey,
    /// Key, edit time and fields: those that it names where the server has the record, else all. What an edit leaves out is completed
    /// by the server (W7), which it can't where it does not have the record any more: it was deleted, or a backup was restored.
    pub(crate) body: Object,
    pub(crate) deletes: bool,
}

/// What the server made of an edit.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// The record is so now, whether the edit won or lost; `None`: deleted.
    Record(Option<Object>),
    /// Nothing was done with it.
    Rejected { problem: Problem, retryable: bool },
}

/// How far a run through the outbox has come. What is edited meanwhile is left to the next one.
#[derive(Debug)]
pub(crate) struct Batches {
    sent: PerEntity<i64>,
    until: i64,
}

/// What became of a batch.
#[derive(Debug, Default)]
pub(crate) struct Settled {
    /// Edits that were rejected, and had not been before.
    pub(crate) rejections: Vec<Rejection>,
    /// Whether edits got another time, and are sent again at once.
    pub(crate) again: bool,
    /// Whether the cursors now stand behind what was pushed, so that no pull brings it again (B3).
    pub(crate) caught_up: bool,
}

impl Store {
    /// Everything that is in the outbox now.
    pub(crate) fn batches(&self) -> Result<Batches> {
        let until = self.read(|tx| {
            let last = "SELECT coalesce(max(counter), 0) FROM outbox";
            Ok(tx.query_row(last, [], |row| row.get(0))?)
        })?;
        let sent = PerEntity::from_fn(|_| 0);
        Ok(Batches { sent, until })
    }

    /// How many edits wait for the server; those that it does not take are not counted.
    pub(crate) fn waiting(&self) -> Result<u64> {
        let sql = "SELECT count(*) FROM outbox WHERE problem IS NULL OR retryable";
        self.read(|tx| Ok(tx.query_row(sql, [], |row| row.get::<_, i64>(0))?.cast_unsigned()))
    }

    /// The edits that the server did not take.
    pub(crate) fn rejections(&self) -> Result<Vec<Rejection>> {
        self.read(|tx| {
            let mut found = Vec::new();
            let sql =
                "SELECT type, key, problem, retryable FROM outbox WHERE problem IS NOT NULL ORDER BY counter";
            let mut statement = tx.prepare_cached(sql)?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                found.push(Rejection {
                    key: key_of(row)?,
                    problem: json(&row.get::<_, String>(2)?)?,
                    retryable: row.get(3)?,
                });
            }
            Ok(found)
        })
    }

    /// Settles a batch, and takes the server's clock for the cursors where that is safe (B3).
    pub(crate) fn settle(
        &self,
        judged: Vec<(Edit, Verdict)>,
        answer: &PushAnswer,
        now: UnixMillis,
    ) -> Result<Settled> {
        self.write(|tx| {
            let mut settled = Settled::default();
            let mut cursors = cursors(tx)?;
            for (edit, verdict) in judged {
                let cursor = cursors.get(edit.key.entity_type().name());
                let is_older = cursor.is_some_and(|cursor| *cursor > answer.clock);
                settle(tx, &edit, verdict, is_older, now, &mut settled)?;
            }
            let stands = |entity: &EntityType| cursors.get(entity.name()).copied() == answer.clock_before;
            settled.caught_up = answer.clock_before.is_some() && EntityType::ALL.iter().all(stands);
            if settled.caught_up {
                for cursor in cursors.values_mut() {
                    *cursor = answer.clock;
                }
                set_state(tx, "cursors", &cursors)?;
            }
            note_time(tx, answer.server_time, now)?;
            Ok(settled)
        })
    }
}

impl Batches {
    /// The next edits to send, parents first; none at the end.
    pub(crate) fn next(&mut self, store: &Store) -> Result<Vec<Edit>> {
        store.read(|tx| {
            let (mut batch, mut bytes) = (Vec::new(), 0);
            for entity in EntityType::ALL {
                let mut statement = tx.prepare_cached(UNSENT)?;
                let mut rows = statement.query(params![entity.name(), self.sent[entity], self.until])?;
                for _ in 0..EDITS_PER_TYPE {
                    let Some(row) = rows.next()? else { break };
                    let edit = edit(row)?;
                    bytes += text(&edit.body)?.len();
                    if !batch.is_empty() && bytes > BATCH_BYTES {
                        return Ok(batch);
                    }
                    self.sent[entity] = edit.counter;
                    batch.push(edit);
                }
            }
            Ok(batch)
        })
    }
}

const UNSENT: &str = "
    SELECT o.type, o.key, o.counter, o.edited_at, o.changes, r.record, r.base
    FROM outbox o JOIN records r ON r.type = o.type AND r.key = o.key
    WHERE o.type = ?1 AND o.counter > ?2 AND o.counter <= ?3 AND (o.problem IS NULL OR o.retryable)
    ORDER BY o.counter";

fn edit(row: &rusqlite::Row<'_>) -> Result<Edit> {
    let key = key_of(row)?;
    let (changes, record, base): (Option<String>, Option<String>, Option<String>) =
        (row.get(4)?, row.get(5)?, row.get(6)?);
    let deletes = changes.is_none();
    let is_whole = base.is_none() && !deletes;
    let named = if is_whole { record } else { changes };
    let mut body = object(named)?.unwrap_or_default();
    body.insert(key.entity_type().key_name().to_owned(), key.to_string().into());
    body.insert("updatedAt".to_owned(), row.get::<_, i64>(3)?.into());
    Ok(Edit {
        counter: row.get(2)?,
        key,
        body,
        deletes,
    })
}

/// The key in the first two columns.
fn key_of(row: &rusqlite::Row<'_>) -> Result<RecordKey> {
    let (entity, key): (String, String) = (row.get(0)?, row.get(1)?);
    let key = entity
        .parse::<EntityType>()
        .and_then(|entity| entity.parse_key(&key));
    key.map_err(Error::local)
}

/// `is_older`: a pull of another process brought what is newer than this answer.
fn settle(
    tx: &Transaction<'_>,
    edit: &Edit,
    verdict: Verdict,
    is_older: bool,
    now: UnixMillis,
    settled: &mut Settled,
) -> Result<()> {
    match verdict {
        Verdict::Record(said) => {
            let Row {
                base, edit: waits, ..
            } = row(tx, edit.key)?;
            // Else another process has settled it, which knows more.
            if let Some(waits) = waits {
                let was_last = tx
                    .prepare_cached("DELETE FROM outbox WHERE counter = ?1")?
                    .execute([edit.counter])?
                    > 0;
                if !was_last {
                    keep_what_came_later(tx, edit, waits)?;
                }
                take(tx, edit.key, if is_older { base } else { said }.as_ref())?;
            }
            Ok(())
        }
        Verdict::Rejected { problem, retryable } => {
            if problem.code == "edit_time_ahead" && date_anew(tx, edit, now)? {
                settled.again = true;
                return Ok(());
            }
            let noted = "UPDATE outbox SET problem = ?2, retryable = ?3
                 WHERE counter = ?1 AND problem ->> 'code' IS NOT ?2 ->> 'code'";
            let changed =
                tx.prepare_cached(noted)?
                    .execute(params![edit.counter, text(&problem)?, retryable])?;
            if changed > 0 {
                settled.rejections.push(Rejection {
                    key: edit.key,
                    problem,
                    retryable,
                });
            }
            Ok(())
        }
    }
}

/// What was sent is judged, and joins no later edit any more: with the time of that one it would win over what it lost against (W4).
fn keep_what_came_later(tx: &Transaction<'_>, sent: &Edit, waits: Pending) -> Result<()> {
    let Some(mut changes) = waits.changes else {
        return Ok(());
    };
    changes.retain(|field, value| sent.body.get(field) != Some(value));
    let [entity, key] = name(sent.key);
    if changes.is_empty() {
        let ended = "DELETE FROM outbox WHERE type = ?1 AND key = ?2";
        tx.prepare_cached(ended)?.execute([entity, key])?;
    } else {
        let kept = "UPDATE outbox SET changes = ?3 WHERE type = ?1 AND key = ?2";
        tx.prepare_cached(kept)?.execute([entity, key, text(&changes)?])?;
    }
    Ok(())
}

/// Gives the time of now to an edit that was made by a clock that has been put right since; answers whether that is an earlier one.
fn date_anew(tx: &Transaction<'_>, sent: &Edit, now: UnixMillis) -> Result<bool> {
    let known = Row {
        edit: None,
        ..row(tx, sent.key)?
    };
    let edited_at = edit_time(tx, &known, now)?;
    if edited_at.get() >= number(&sent.body, "updatedAt") {
        return Ok(false);
    }
    let dated = "UPDATE outbox SET edited_at = ?2 WHERE counter = ?1";
    tx.prepare_cached(dated)?
        .execute(params![sent.counter, edited_at.get()])?;
    Ok(true)
}
