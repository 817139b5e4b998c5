//! The records on the wire: one file per entity type, and what all of them share.
//!
//! A type says here how it is shown, what a create and a partial edit may hold, and how these become domain types. Its
//! routes, its place in pulls, its revisions and its form in conflicts come from the generic handlers. A new type adds one
//! file with a [`Wire`] implementation and one line in the registry below.

mod bot;
mod diary;
mod memo;
mod pushed;
mod resource;

use mosaic_application::AppError;
use mosaic_application::records::{Draft, EditBy};
use mosaic_domain::entity::{Bot, Diary, Memo, Resource};
use mosaic_domain::pull::TypePage;
use mosaic_domain::{
    EditTime, Entity, EntityType, Live, PerEntity, Record, RecordKey, ResourceId, RevisionId, UnixMillis,
    UserId, Violations,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use utoipa::ToSchema;
use utoipa::openapi::schema::{AdditionalProperties, ObjectBuilder, Schema, Type};
use utoipa::openapi::{Ref, RefOr};

use crate::field::{Check, Field, Int, from_text};
use crate::schema;
use crate::state::AppState;

pub(crate) use bot::BotDto;
pub(crate) use diary::{DiaryDto, DiaryWithMemos, MoodBody, SummaryBody};
pub(crate) use memo::{ArchiveBody, MemoDto, MemoWithResources};
pub(crate) use pushed::Entry;
pub(crate) use resource::ResourceDto;

/// How one entity type looks on the wire.
pub(crate) trait Wire: Entity {
    /// The first segment of its routes: `memos`.
    const PATH: &'static str;
    /// What its key is called: `id`, or `date`.
    const KEY: &'static str;
    /// What its key is called where the record is not the subject, as in its revisions.
    const FOREIGN_KEY: &'static str;
    /// The most bytes of a body with all of its fields, every character of them written as an escape.
    const BODY_BYTES: usize;
    /// A live record, as pulls and conflicts show it.
    type Shown: From<Live<Self>> + Serialize + ToSchema + 'static;
    /// A live record, as its own routes answer it.
    type Answer: Serialize + ToSchema + 'static;
    /// What a client sends: some fields of a record, or all of them.
    type Body: DeserializeOwned + Send + 'static;
    /// Describes a create: a partial edit with what a new record must have.
    type New: ToSchema + 'static;
    /// Describes a partial edit: absent fields stay, `null` clears a nullable one (W7).
    type Edit: ToSchema + 'static;

    /// The key that the client made. None, where the key is in the path.
    fn own_key(_body: &Self::Body) -> Field<String> {
        Field::Absent
    }

    /// A record of a bulk push, without what a push does not carry. Everything, unless the type says otherwise.
    fn pushed(body: Self::Body) -> Self::Body {
        body
    }

    /// Reads the fields, and notes everything that is wrong with them.
    fn read_fields(body: Self::Body, check: &mut Check) -> PatchRequest<Self>;

    /// Reads a create. One that names a record is a partial edit where that is stored, which is found out under the lock (W7);
    /// one that names none makes a new record for certain, and must have what such a one needs.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    fn parse_new(body: Self::Body) -> Result<CreateRequest<Self>, Violations> {
        let named = Self::own_key(&body);
        let mut check = match named {
            Field::Absent => Check::of_new(),
            _ => Check::default(),
        };
        let key = check.optional(Self::KEY, named, from_text);
        let fields = Self::read_fields(body, &mut check);
        check.finish(Some(CreateRequest { key, fields }))
    }

    /// Reads a partial edit.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    fn parse_edit(body: Self::Body) -> Result<PatchRequest<Self>, Violations> {
        let mut check = Check::default();
        let amendment = Self::read_fields(body, &mut check);
        check.finish(Some(amendment))
    }

    /// Writes some fields of a record.
    ///
    /// # Errors
    /// As [`Records::write`](mosaic_application::records::Records::write).
    async fn write(
        state: &AppState,
        by: &EditBy,
        key: Self::Key,
        draft: Draft<Self>,
    ) -> Result<Self::Answer, AppError>;

    /// Brings a version of a record back.
    ///
    /// # Errors
    /// As [`Records::restore`](mosaic_application::records::Records::restore).
    async fn restore(
        state: &AppState,
        by: &EditBy,
        key: Self::Key,
        revision: RevisionId,
    ) -> Result<Self::Answer, AppError>;

    /// Reads a record.
    ///
    /// # Errors
    /// [`AppError::NotFound`].
    async fn read(state: &AppState, user: UserId, key: Self::Key) -> Result<Self::Answer, AppError>;
}

/// The methods of [`Wire`] for a type whose answers are the record alone.
macro_rules! answers_the_record {
    () => {
        type Answer = Self::Shown;

        async fn write(
            state: &AppState,
            by: &EditBy,
            key: Self::Key,
            draft: Draft<Self>,
        ) -> Result<Self::Answer, AppError> {
            state.records.write(by, key, draft).await.map(Into::into)
        }

        async fn restore(
            state: &AppState,
            by: &EditBy,
            key: Self::Key,
            revision: RevisionId,
        ) -> Result<Self::Answer, AppError> {
            state
                .records
                .restore::<Self>(by, key, revision)
                .await
                .map(Into::into)
        }

        async fn read(state: &AppState, user: UserId, key: Self::Key) -> Result<Self::Answer, AppError> {
            state.records.get::<Self>(user, key).await.map(Into::into)
        }
    };
}
use answers_the_record;

/// Defines how the document describes a create: as a partial edit, with an id that the client may make, and with fields that a new
/// record must have.
macro_rules! describes_new {
    ($name:ident: $edit:ident with $($essential:literal),+) => {
        #[doc = concat!("Describes a create by [`", stringify!($edit), "`].")]
        #[derive(Debug)]
        pub(crate) struct $name;

        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
                $crate::entities::new_schema($edit::schema(), &[$($essential),+])
            }
        }

        impl utoipa::ToSchema for $name {
            fn schemas(schemas: &mut Vec<(String, utoipa::openapi::RefOr<utoipa::openapi::schema::Schema>)>) {
                $edit::schemas(schemas);
            }
        }
    };
}
use describes_new;

fn new_schema(edit: RefOr<Schema>, essential: &[&str]) -> RefOr<Schema> {
    let RefOr::T(Schema::Object(mut new)) = edit else {
        return edit;
    };
    let id = Ref::from_schema_name(schema::Id::name()).into();
    new.properties.insert("id".to_owned(), id);
    new.required = essential.iter().map(ToString::to_string).collect();
    new.description = Some(
        "A record to store. Over one that is stored already, and with `updatedAt`, it is a partial edit: what it leaves out \
         stays, and nothing is required."
            .to_owned(),
    );
    RefOr::T(Schema::Object(new))
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

impl Times {
    /// Reads `createdAt` and `updatedAt`.
    fn read(created_at: Field<Int>, updated_at: Field<Int>, check: &mut Check) -> Self {
        Self {
            created_at: check.created_at(created_at),
            updated_at: check.updated_at(updated_at),
        }
    }
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

impl<T> TypeChanges<T> {
    fn of<E: Wire<Shown = T>>(page: TypePage) -> Self
    where
        T: From<Live<E>>,
    {
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

fn show<E: Wire>(record: Record) -> Value {
    let (key, created_at, updated_at) = (record.key, record.created_at.get(), record.version.time.get());
    match record.into_live::<E>() {
        Some(live) => serde_json::to_value(E::Shown::from(live)).unwrap_or(Value::Null),
        None => json!({
            E::KEY: key.to_string(), "isDeleted": true, "createdAt": created_at, "updatedAt": updated_at,
        }),
    }
}

/// Generates what goes over all entity types. One line per type, parents first.
macro_rules! registry {
    ($($name:ident: $entity:ident => $shown:ident, $pushed:ident;)*) => {
        $(type $pushed = pushed::Pushed<$entity>;)*

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
                        $(EntityType::$entity => changes.$name = page.map(TypeChanges::of::<$entity>),)*
                    }
                }
                changes
            }
        }

        /// A record as a conflict shows it (W4): a tombstone keeps its key and its times.
        pub(crate) fn wire_form(record: Record) -> Value {
            match record.key {
                $(RecordKey::$entity(_) => show::<$entity>(record),)*
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
                closed([$((EntityType::$entity, pushed::TypeEdits::<$pushed, pushed::Deleted<$entity>>::schema()),)*])
            }
        }

        impl ToSchema for PushChanges {
            fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
                $(
                    schemas.push(($pushed::name().into_owned(), <$pushed as utoipa::PartialSchema>::schema()));
                    schemas.push((
                        pushed::Deleted::<$entity>::name().into_owned(),
                        <pushed::Deleted<$entity> as utoipa::PartialSchema>::schema(),
                    ));
                    pushed::TypeEdits::<$pushed, pushed::Deleted<$entity>>::schemas(schemas);
                )*
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

/// An object with members for entity types, and no others.
fn closed(of_types: impl IntoIterator<Item = (EntityType, RefOr<Schema>)>) -> RefOr<Schema> {
    let members = of_types.into_iter();
    members
        .fold(ObjectBuilder::new(), |object, (entity, schema)| {
            object.property(entity.name(), schema)
        })
        .schema_type(Type::Object)
        .additional_properties(Some(AdditionalProperties::FreeForm(false)))
        .into()
}

registry! {
    memo: Memo => MemoDto, PushedMemo;
    diary: Diary => DiaryDto, PushedDiary;
    resource: Resource => ResourceDto, PushedResource;
    bot: Bot => BotDto, PushedBot;
}

#[cfg(test)]
mod tests;
