//! The records of a bulk push (B1, B2): each is read by itself, so that one that can't be read spoils no other.

use mosaic_application::push::PushEdit;
use mosaic_domain::write::Action;
use mosaic_domain::{ClientId, Entity, EntityType, Violation, Violations};
use serde::Deserialize;

use super::declare::Around;
use super::entity::{ApiEntity, check_new, read};
use crate::field::{Check, Field, Int};
use crate::json::{Unreadable, parse_object};
use crate::problem::{FieldError, Problem, ProblemCode};
use crate::value::Value as _;

/// One record of a bulk push, as far as it could be read.
#[derive(Debug)]
pub(crate) struct Entry {
    /// What the answer calls it: its key, or what stands in the key's place if that is as short as a key.
    pub(crate) id: Option<String>,
    /// The edit, or what is wrong with it, seen from the body.
    pub(crate) edit: Result<PushEdit, Problem>,
}

/// A deleted record.
// Other records are read as one of these, too, so that one whose other fields can't be read still has its key.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct DeletedRecord {
    id: Field<String>,
    date: Field<String>,
    updated_at: Field<Int>,
}

impl DeletedRecord {
    /// What stands in the key's place: in a delete, a diary's date may stand in `id`.
    fn key<E: ApiEntity>(&self, deletes: bool) -> Field<String> {
        match (E::TYPE, &self.date) {
            (EntityType::Diary, Field::Absent) if deletes => self.id.clone(),
            (EntityType::Diary, date) => date.clone(),
            _ => self.id.clone(),
        }
    }
}

/// Reads a record to write.
pub(super) fn updated<E: ApiEntity>(text: &str, path: &str) -> Entry {
    let named = parse_object::<DeletedRecord>(text);
    let key = named.map(|named| named.key::<E>(false));
    let id = key.as_ref().ok().and_then(shown_id::<E>);
    let edit = key.and_then(|key| Ok((key, parse_object::<E::Body>(text)?)));
    Entry {
        id,
        edit: edit
            .map_err(|unreadable| unreadable_at(unreadable, path))
            .and_then(|(key, body)| put::<E>(key, body).map_err(|violations| invalid_at(&violations, path))),
    }
}

/// Reads a delete.
pub(super) fn deleted<E: ApiEntity>(text: &str, path: &str) -> Entry {
    let named = parse_object::<DeletedRecord>(text).map(|named| (named.key::<E>(true), named.updated_at));
    Entry {
        id: named.as_ref().ok().and_then(|(key, _)| shown_id::<E>(key)),
        edit: named
            .map_err(|unreadable| unreadable_at(unreadable, path))
            .and_then(|(key, time)| {
                delete::<E>(key, time).map_err(|violations| invalid_at(&violations, path))
            }),
    }
}

fn put<E: ApiEntity>(key: Field<String>, mut body: E::Body) -> Result<PushEdit, Violations> {
    let mut check = check_new::<E>(&key);
    let key = check.required(E::TYPE.key_name(), key, E::Key::read);
    // The resources of a push tell their memos themselves.
    let around = Around {
        resource_ids: Field::Absent,
        ..E::take_around(&mut body)
    };
    let fields = read::<E>(body, around, &mut check);
    let key = check.finish(key)?;
    let (times, upsert) = fields.into_upsert(true);
    Ok(PushEdit {
        key: E::record_key(key),
        edit_time: times.updated_at,
        action: upsert.into_action(times.created_at),
    })
}

fn delete<E: ApiEntity>(key: Field<String>, updated_at: Field<Int>) -> Result<PushEdit, Violations> {
    let mut check = Check::default();
    let key = check.required(E::TYPE.key_name(), key, E::Key::read);
    let edit_time = check.updated_at(updated_at);
    Ok(PushEdit {
        key: E::record_key(check.finish(key)?),
        edit_time,
        action: Action::Delete {
            tombstone_if_missing: true,
        },
    })
}

fn shown_id<E: Entity>(key: &Field<String>) -> Option<String> {
    let Field::Given(text) = key else {
        return None;
    };
    match text.parse::<E::Key>() {
        Ok(key) => Some(key.to_string()),
        Err(_) => Some(text.clone()).filter(|text| text.chars().count() <= ClientId::MAX_CHARS),
    }
}

fn unreadable_at(unreadable: Unreadable, path: &str) -> Problem {
    match unreadable {
        Unreadable::Malformed { path: inner, message } => {
            let code = ProblemCode::MalformedJson;
            // Lines and columns would be those of the record, not of the body.
            let message = message.split(" at line ").next().unwrap_or_default().to_owned();
            let at = Violation::new(code.code(), message).at(&inner).at(path);
            Problem::new(code, at.to_string()).at(at.into())
        }
        Unreadable::SchemaError(error) => Problem::validation(vec![error.below(path)]),
    }
}

fn invalid_at(violations: &Violations, path: &str) -> Problem {
    let errors = violations
        .iter()
        .map(|violation| FieldError::from(violation).below(path));
    Problem::validation(errors.collect())
}
