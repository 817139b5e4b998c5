//! The records on the wire: one file per entity type, and what all of them share.
//!
//! A type declares its fields here, once ([`fields!`]): from that come the body that a client sends, how it becomes domain
//! types, and the schemas of the document. How a record is shown follows from the fields as the domain writes them
//! ([`Shown`]). Its place in pulls, its revisions and its form in conflicts come from generic code. A new type adds one file
//! with a declaration and a [`Wire`] implementation, and one line in the registry below.

mod bot;
mod declare;
mod diary;
mod document;
mod memo;
mod pushed;
mod resource;
mod shown;

use mosaic_application::records::Draft;
use mosaic_domain::entity::{Bot, Diary, Memo, Missing, Resource};
use mosaic_domain::pull::TypePage;
use mosaic_domain::{
    EditTime, Entity, EntityType, Live, PerEntity, Record, RecordKey, ResourceId, UnixMillis, Violations,
};
use serde::Serialize;
use serde_json::Value as Json;
use utoipa::ToSchema;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::Schema;

use crate::field::{Check, Field};
use crate::schema;
use crate::value::Value;

use declare::{Around, Declared, fields};
use document::Member;

pub(crate) use diary::{DiaryWithMemos, MoodBody, SummaryBody};
pub(crate) use document::{Edit, New};
pub(crate) use memo::{ArchiveBody, MemoWithResources};
pub(crate) use pushed::Entry;
pub(crate) use shown::Shown;

/// How one entity type looks on the wire.
pub(crate) trait Wire: Declared {
    /// The first segment of its routes: `memos`.
    const PATH: &'static str;
    /// What its key is called: `id`, or `date`.
    const KEY: &'static str;
    /// What its key is called where the record is not the subject, as in its revisions.
    const FOREIGN_KEY: &'static str;
    /// The most bytes of a body with all of its fields, every character of them written as an escape.
    const BODY_BYTES: usize;
    /// What the server says of a record besides its fields.
    type Derived: std::fmt::Debug + Serialize + ToSchema + 'static;

    /// Says that of a record.
    fn derived(live: &Live<Self>) -> Self::Derived;

    /// Reads a create that may bring a key of the client's.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    fn parse_new(mut body: Self::Body) -> Result<CreateRequest<Self>, Violations> {
        let mut around = Self::take_around(&mut body);
        let key = std::mem::take(&mut around.key);
        let mut check = check_new::<Self>(&key);
        let key = Self::Key::read_field(Self::KEY, key, &mut check);
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
const RESOURCE_IDS: &str = "resourceIds";

/// Whether other records belong to those of this type.
fn takes_attachments<E: Entity>() -> bool {
    E::TYPE.child_types().next().is_some()
}

fn read<E: Wire>(body: E::Body, around: Around, check: &mut Check) -> PatchRequest<E> {
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
fn needed<E: Entity>() -> Vec<&'static str> {
    match E::from_patch(&E::Changes::default()) {
        Ok(_) => Vec::new(),
        Err(Missing(fields)) => fields,
    }
}

/// Checks what may make a new record. An edit that names a record is a partial one where that is stored, which is found out
/// under the lock (W7); one that names none makes a new record for certain.
fn check_new<E: Entity>(key: &Field<String>) -> Check {
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
    pub(crate) fn into_draft(self, creates: bool) -> (Times, Draft<E>) {
        let Self {
            times,
            patch,
            attachments,
        } = self;
        let draft = Draft {
            patch,
            attachments,
            creates,
        };
        (times, draft)
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

/// What changed of one entity type.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TypeChanges<T> {
    /// Live records, in the order of their changes.
    updated: Vec<T>,
    /// The keys of deleted records.
    #[schema(value_type = Vec<schema::Key>)]
    deleted_ids: Vec<String>,
}

impl<E: Wire> TypeChanges<Shown<E>> {
    fn of(page: TypePage) -> Self {
        let (mut updated, mut deleted_ids) = (Vec::new(), Vec::new());
        for record in page.records {
            if record.is_unreadable() {
                continue;
            }
            let key = record.key;
            match record.into_live::<E>() {
                Some(live) => updated.push(live.into()),
                None => deleted_ids.push(key.to_string()),
            }
        }
        Self { updated, deleted_ids }
    }
}

/// Generates what goes over all entity types. One line per type, parents first.
macro_rules! registry {
    ($($name:ident: $entity:ident => $shown:ident;)*) => {
        $(
            #[doc = concat!("A [`", stringify!($entity), "`], as it is shown.")]
            pub(crate) type $shown = Shown<$entity>;
        )*

        /// What changed, for each type that was asked for.
        #[derive(Debug, Default, Serialize, ToSchema)]
        pub(crate) struct Changes {
            $(
                #[serde(skip_serializing_if = "Option::is_none")]
                #[schema(required = false)]
                $name: Option<TypeChanges<$shown>>,
            )*
        }

        impl Changes {
            /// The changes of one response.
            pub(crate) fn of(pages: PerEntity<Option<TypePage>>) -> Self {
                let mut changes = Self::default();
                for (entity, page) in pages.into_pairs() {
                    match entity {
                        $(EntityType::$entity => changes.$name = page.map(TypeChanges::of),)*
                    }
                }
                changes
            }
        }

        /// A record as a conflict shows it (W4): a tombstone keeps its key and its times.
        pub(crate) fn wire_form(record: Record) -> Json {
            match record.key {
                $(RecordKey::$entity(_) => shown::wire_form::<$entity>(record),)*
            }
        }

        /// Reads a record of a bulk push; `path` is its place in the body.
        pub(crate) fn read_updated(entity: EntityType, text: &str, path: &str) -> Entry {
            match entity {
                $(EntityType::$entity => pushed::updated::<$entity>(text, path),)*
            }
        }

        /// Reads a delete of a bulk push; `path` is its place in the body.
        pub(crate) fn read_deleted(entity: EntityType, text: &str, path: &str) -> Entry {
            match entity {
                $(EntityType::$entity => pushed::deleted::<$entity>(text, path),)*
            }
        }

        /// Edits, for each entity type that has any; there are no others.
        #[derive(Debug)]
        pub(crate) struct PushChanges;

        impl utoipa::PartialSchema for PushChanges {
            fn schema() -> RefOr<Schema> {
                document::closed([$((EntityType::$entity, document::edits::<$entity>()),)*])
            }
        }

        impl ToSchema for PushChanges {
            fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
                $(document::register_edits::<$entity>(schemas);)*
            }
        }

        /// One value per entity type that is on the wire.
        #[derive(Debug, ToSchema)]
        #[serde(deny_unknown_fields)]
        #[expect(dead_code, reason = "describes a map for the OpenAPI document")]
        pub(crate) struct PerType<T> {
            $(#[schema(required = false, nullable = false)] $name: Option<T>,)*
        }
    };
}

registry! {
    memo: Memo => MemoDto;
    diary: Diary => DiaryDto;
    resource: Resource => ResourceDto;
    bot: Bot => BotDto;
}

#[cfg(test)]
mod tests;
