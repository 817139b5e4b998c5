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
    /// A live record, as pulls and conflicts show it.
    type Shown: From<Live<Self>> + Serialize + ToSchema + 'static;
    /// A live record, as its own routes answer it.
    type Answer: Serialize + ToSchema + 'static;
    /// What a create may hold.
    type New: DeserializeOwned + ToSchema + 'static;
    /// What a partial edit may hold: absent fields stay, `null` clears a nullable one (W7).
    type Edit: DeserializeOwned + ToSchema + 'static;

    /// A whole record of a bulk push, without what a push does not carry. Everything, unless the type says otherwise.
    fn pushed(body: Self::New) -> Self::New {
        body
    }

    /// Reads a create.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    fn parse_new(body: Self::New) -> Result<Submitted<Self>, Violations>;

    /// Reads a partial edit.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    fn parse_edit(body: Self::Edit) -> Result<Amendment<Self>, Violations>;

    /// Writes a whole record.
    ///
    /// # Errors
    /// As [`Records::create`](mosaic_application::records::Records::create).
    async fn write(
        state: &AppState,
        by: &EditBy,
        key: Self::Key,
        draft: Draft<Self>,
    ) -> Result<Self::Answer, AppError>;

    /// Writes some fields of a record.
    ///
    /// # Errors
    /// As [`Records::patch`](mosaic_application::records::Records::patch).
    async fn amend(
        state: &AppState,
        by: &EditBy,
        key: Self::Key,
        patch: <Self as Entity>::Patch,
        attachments: Option<Vec<ResourceId>>,
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
            state.records.create(by, key, draft).await.map(Into::into)
        }

        async fn amend(
            state: &AppState,
            by: &EditBy,
            key: Self::Key,
            patch: <Self as Entity>::Patch,
            attachments: Option<Vec<ResourceId>>,
        ) -> Result<Self::Answer, AppError> {
            state
                .records
                .patch::<Self>(by, key, patch, attachments)
                .await
                .map(Into::into)
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

/// A whole record that a client wants to be stored.
#[derive(Debug, Clone)]
pub(crate) struct Submitted<E: Entity> {
    /// The key that the client made; diaries have theirs in the path.
    pub(crate) key: Option<E::Key>,
    /// When the record and the edit were made.
    pub(crate) times: Times,
    /// The record.
    pub(crate) draft: Draft<E>,
}

/// Some fields of a record that a client wants to be changed.
#[derive(Debug, Clone)]
pub(crate) struct Amendment<E: Entity> {
    /// When the record and the edit were made.
    pub(crate) times: Times,
    /// The fields.
    pub(crate) patch: <E as Entity>::Patch,
    /// The memo's resources, in order.
    pub(crate) attachments: Option<Vec<ResourceId>>,
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
    deleted_ids: Vec<String>,
}

impl<T> TypeChanges<T> {
    fn of<E: Wire<Shown = T>>(page: TypePage) -> Self
    where
        T: From<Live<E>>,
    {
        let (mut updated, mut deleted_ids) = (Vec::new(), Vec::new());
        for record in page.records {
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
    ($($name:ident: $entity:ident => $shown:ident;)*) => {
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

        /// Reads a whole record of a bulk push; `path` is its place in the body.
        pub(crate) fn read_whole(entity: EntityType, text: &str, path: &str) -> Entry {
            match entity {
                $(EntityType::$entity => pushed::whole::<$entity>(text, path),)*
            }
        }

        /// Reads a delete of a bulk push; `path` is its place in the body.
        pub(crate) fn read_deleted(entity: EntityType, text: &str, path: &str) -> Entry {
            match entity {
                $(EntityType::$entity => pushed::deleted::<$entity>(text, path),)*
            }
        }

        /// The edits of a bulk push, as the document describes them.
        #[derive(Debug, ToSchema)]
        #[expect(dead_code, reason = "describes a map for the OpenAPI document")]
        pub(crate) struct PushChanges {
            $(#[schema(required = false)] $name: Option<pushed::TypeEdits<$shown>>,)*
        }

        /// One value per entity type that is on the wire.
        #[derive(Debug, ToSchema)]
        #[expect(dead_code, reason = "describes a map for the OpenAPI document")]
        pub(crate) struct PerType<T> {
            $($name: Option<T>,)*
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
