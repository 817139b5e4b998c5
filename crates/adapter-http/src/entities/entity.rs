//! What the records of every entity type have in common: how they are read, and what the code that goes over all types asks.

use std::borrow::Cow;

use mosaic_application::records::Upsert;
use mosaic_domain::entity::Missing;
use mosaic_domain::{EditTime, Entity, ResourceId, UnixMillis, Violations};
use serde::Serialize;
use utoipa::ToSchema;

use super::declare::{Around, Declared};
use crate::field::{Check, Field};
use crate::value::Value;

/// How one entity type looks on the wire.
pub(crate) trait ApiEntity: Declared {
    /// What its key is called where the record is not the subject, as in its revisions.
    const FOREIGN_KEY: &'static str;
    /// The most bytes of a body with all of its fields, every character of them written as an escape.
    const BODY_BYTES: usize;
    /// What the server says of a record besides its fields.
    type Derived: std::fmt::Debug + Serialize + ToSchema + 'static;

    /// Says that of a record. Its fields are read where it takes them.
    ///
    /// # Errors
    /// They can't be read.
    fn derived<'a, X>(
        key: Self::Key,
        revision_count: u32,
        fields: impl FnOnce() -> Result<Cow<'a, Self>, X>,
    ) -> Result<Self::Derived, X>;

    /// Reads a create that may bring a key of the client's.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    fn parse_new(mut body: Self::Body) -> Result<CreateRequest<Self>, Violations> {
        let mut around = Self::take_around(&mut body);
        let key = std::mem::take(&mut around.key);
        let mut check = check_new::<Self>(&key);
        let key = Self::Key::read_field(Self::TYPE.key_name(), key, &mut check);
        let fields = read(body, around, &mut check);
        check.finish(Some(CreateRequest { key, fields }))
    }

    /// Reads a partial edit.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    fn parse_edit(mut body: Self::Body, mut check: Check) -> Result<PatchRequest<Self>, Violations> {
        let around = Self::take_around(&mut body);
        let edit = read(body, around, &mut check);
        check.finish(Some(edit))
    }
}

/// What a memo's body calls its resources.
pub(super) const RESOURCE_IDS: &str = "resourceIds";

/// Whether other records belong to those of this type.
pub(super) fn takes_attachments<E: Entity>() -> bool {
    E::TYPE.child_types().next().is_some()
}

pub(super) fn read<E: ApiEntity>(body: E::Body, around: Around, check: &mut Check) -> PatchRequest<E> {
    let patch = E::read_fields(body, check);
    let resource_ids = if takes_attachments::<E>() {
        around.resource_ids
    } else {
        Field::Absent
    };
    PatchRequest {
        attachments: Value::read_field(RESOURCE_IDS, resource_ids, check),
        times: Times {
            created_at: check.created_at(around.created_at),
            updated_at: check.updated_at(around.updated_at),
        },
        patch,
    }
}

/// The fields that a new record must have.
pub(super) fn needed<E: Entity>() -> Vec<&'static str> {
    match E::from_patch(&E::Changes::default()) {
        Ok(_) => Vec::new(),
        Err(Missing(fields)) => fields,
    }
}

/// Checks what may make a new record. An edit that names a record is a partial one where that is stored, which is found out
/// under the lock (W7); one that names none makes a new record for certain.
pub(super) fn check_new<E: Entity>(key: &Field<String>) -> Check {
    match key {
        Field::Absent => Check::needing(needed::<E>()),
        _ => Check::default(),
    }
}

/// A record that a client wants to be stored.
#[derive(Debug, Clone)]
pub(crate) struct CreateRequest<E: Entity> {
    /// The key that the client made; diaries have theirs in the path.
    pub(crate) key: Option<E::Key>,
    /// What it says of the record.
    pub(crate) fields: PatchRequest<E>,
}

/// Some fields of a record that a client wants to be changed.
#[derive(Debug, Clone)]
pub(crate) struct PatchRequest<E: Entity> {
    /// When the record and the edit were made.
    pub(crate) times: Times,
    /// The fields.
    pub(crate) patch: E::Changes,
    /// The memo's resources, in order.
    pub(crate) attachments: Option<Vec<ResourceId>>,
}

impl<E: Entity> PatchRequest<E> {
    /// What is to be written, and when it was made. `creates`: also where nothing is stored.
    pub(crate) fn into_upsert(self, creates: bool) -> (Times, Upsert<E>) {
        let Self {
            times,
            patch,
            attachments,
        } = self;
        let upsert = Upsert {
            patch,
            attachments,
            creates,
        };
        (times, upsert)
    }
}

/// The times that a client may send with an edit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Times {
    /// When the record was made.
    pub(crate) created_at: Option<UnixMillis>,
    /// When the edit was made, by the device's clock.
    pub(crate) updated_at: Option<EditTime>,
}
