//! The records of a bulk push (B1, B2): each is read by itself, so that one that can't be read spoils no other.

use std::borrow::Cow;
use std::marker::PhantomData;

use mosaic_application::push::PushEdit;
use mosaic_domain::write::Action;
use mosaic_domain::{ClientId, Entity, EntityType, Violation, Violations};
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa::openapi::schema::{AnyOfBuilder, ObjectBuilder, Schema, Type};
use utoipa::openapi::{Ref, RefOr};

use super::{CreateRequest, Wire};
use crate::body::{Unreadable, parse_object};
use crate::field::{Check, Field, Int, from_text};
use crate::problem::{FieldError, Problem, ProblemCode};
use crate::schema::{self, UnixMs};

/// One record of a bulk push, as far as it could be read.
#[derive(Debug)]
pub(crate) struct Entry {
    /// What the answer calls it: its key, or what stands in the key's place if that is as short as a key.
    pub(crate) id: Option<String>,
    /// The edit, or what is wrong with it, seen from the body.
    pub(crate) edit: Result<PushEdit, Problem>,
}

/// The edits of one entity type: at most 200, updated and deleted ones counted together.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "describes a list for the OpenAPI document")]
pub(crate) struct TypeEdits<T, D> {
    /// Records, as a pull sends them. What the server makes itself (`isDeleted`, `revisionCount`, `url` and the like) is
    /// ignored. What is left out stays as it is stored, or gets its default in a new record, which must have what a create
    /// must have.
    #[schema(required = false, max_items = 200)]
    updated: Vec<T>,
    /// Deleted records.
    #[schema(required = false, max_items = 200)]
    deleted: Vec<D>,
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
    fn key<E: Wire>(&self, deletes: bool) -> Field<String> {
        match (E::TYPE, &self.date) {
            (EntityType::Diary, Field::Absent) if deletes => self.id.clone(),
            (EntityType::Diary, date) => date.clone(),
            _ => self.id.clone(),
        }
    }
}

/// A record of a bulk push, as the document describes it: a partial edit with its key.
#[derive(Debug)]
pub(crate) struct Pushed<E>(PhantomData<E>);

impl<E: Wire> utoipa::PartialSchema for Pushed<E> {
    fn schema() -> RefOr<Schema> {
        let edit = <E::Edit as utoipa::PartialSchema>::schema();
        let RefOr::T(Schema::Object(mut pushed)) = edit else {
            return edit;
        };
        // The resources of a push tell their memos themselves.
        pushed.properties.remove("resourceIds");
        pushed.properties.insert(E::KEY.to_owned(), key::<E>().into());
        pushed.required = vec![E::KEY.to_owned()];
        RefOr::T(Schema::Object(pushed))
    }
}

impl<E: Wire> ToSchema for Pushed<E> {
    fn name() -> Cow<'static, str> {
        Cow::Owned(E::Edit::name().replace("Edit", "Pushed"))
    }

    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        E::Edit::schemas(schemas);
    }
}

fn key<E: Wire>() -> Ref {
    Ref::from_schema_name(match E::TYPE {
        EntityType::Diary => schema::Day::name(),
        _ => schema::Id::name(),
    })
}

/// A deleted record, as the document describes it.
#[derive(Debug)]
pub(crate) struct Deleted<E>(PhantomData<E>);

impl<E: Wire> utoipa::PartialSchema for Deleted<E> {
    fn schema() -> RefOr<Schema> {
        let named = |name: &str| {
            let time = Ref::builder()
                .ref_location_from_schema_name(UnixMs::name())
                .description(Some(
                    "When the record was deleted, by the device's clock. Now, where it is not given",
                ));
            ObjectBuilder::new()
                .schema_type(Type::Object)
                .property(name, key::<E>())
                .property("updatedAt", time)
                .required(name)
        };
        match E::TYPE {
            // Where there is a `date`, nobody looks at `id`.
            EntityType::Diary => AnyOfBuilder::new()
                .item(named(E::KEY))
                .item(named("id").property(E::KEY, key::<E>()))
                .into(),
            _ => named(E::KEY).into(),
        }
    }
}

impl<E: Wire> ToSchema for Deleted<E> {
    fn name() -> Cow<'static, str> {
        Cow::Owned(E::Edit::name().replace("Edit", "Deleted"))
    }
}

/// Reads a record to write.
pub(super) fn updated<E: Wire>(text: &str, path: &str) -> Entry {
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
pub(super) fn deleted<E: Wire>(text: &str, path: &str) -> Entry {
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

fn put<E: Wire>(key: Field<String>, body: E::Body) -> Result<PushEdit, Violations> {
    let mut check = Check::default();
    let key = check.required(E::KEY, key, from_text::<E::Key>);
    let submitted = match E::parse_new(E::pushed(body)) {
        Ok(submitted) => Some(submitted),
        Err(violations) => {
            // The key has been checked already.
            let others = violations.iter().filter(|violation| violation.path != E::KEY);
            others.cloned().for_each(|violation| check.push(violation));
            None
        }
    };
    let (key, CreateRequest { fields, .. }) = check.finish(key.zip(submitted))?;
    let (times, draft) = fields.into_draft(true);
    Ok(PushEdit {
        key: E::record_key(key),
        edit_time: times.updated_at,
        action: draft.into_action(times.created_at),
    })
}

fn delete<E: Wire>(key: Field<String>, updated_at: Field<Int>) -> Result<PushEdit, Violations> {
    let mut check = Check::default();
    let key = check.required(E::KEY, key, from_text::<E::Key>);
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
