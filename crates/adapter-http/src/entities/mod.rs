//! The records on the wire: one file per entity type, and what all of them share.
//!
//! A type declares its fields here, once (`fields!`): from that come the body that a client sends, how it becomes domain
//! types, and the schemas of the document. How a record is shown follows from the fields as the domain writes them
//! ([`RecordDto`]). Its place in pulls, its revisions and its form in conflicts come from generic code. A new type adds one file
//! with a declaration and an [`ApiEntity`] implementation, and one line in the registry below.

mod bot;
mod declare;
mod diary;
mod document;
mod entity;
mod memo;
mod per_type;
mod pushed;
mod record;
mod resource;

use std::collections::BTreeMap;

use mosaic_domain::entity::{Bot, Diary, Memo, Resource};
use mosaic_domain::pull::{PulledState, TypePage};
use mosaic_domain::{EntityType, PerEntity, Record, RecordKey};
use serde::Serialize;
use serde_json::Value as Json;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::Schema;

use crate::schema::Named;

pub(crate) use bot::BotDto;
pub(crate) use diary::{DiaryDto, DiaryWithMemos, MoodBody, SummaryBody};
pub(crate) use document::{Edit, New, Stored, StoredRecord, described, of_type, register, with_content};
pub(crate) use entity::{ApiEntity, PatchRequest, Times};
pub(crate) use memo::{ArchiveBody, MemoWithResources};
pub(crate) use per_type::{Cursors, OfEachType, PullChanges, PushChanges, object_of_types, per_type};
pub(crate) use pushed::Entry;
use record::AsStored;
pub(crate) use record::RecordDto;
pub(crate) use resource::ResourceDto;

/// What changed of one entity type.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TypeChanges<T> {
    /// Live records, in the order of their changes.
    updated: Vec<T>,
    /// The keys of deleted records.
    deleted_ids: Vec<String>,
}

impl<E: ApiEntity> TypeChanges<RecordDto<E, AsStored<E>>> {
    /// The changes of a page, and the keys of what can't be read.
    fn of(page: TypePage) -> (Self, Vec<String>) {
        let (mut updated, mut deleted_ids, mut skipped) = (Vec::new(), Vec::new(), Vec::new());
        for record in page.records {
            let key = record.key;
            if record.state == PulledState::Deleted {
                deleted_ids.push(key.to_string());
            } else if let Some(shown) = RecordDto::pulled(record) {
                updated.push(shown);
            } else {
                skipped.push(key.to_string());
            }
        }
        (Self { updated, deleted_ids }, skipped)
    }
}

/// The keys of records that are left out, for each type that has any.
pub(crate) type Skipped = BTreeMap<&'static str, Vec<String>>;

/// Generates what goes over all entity types. One line per type, parents first.
macro_rules! registry {
    ($($name:ident: $entity:ident;)*) => {
        /// What changed, for each type that was asked for.
        #[derive(Debug, Default, Serialize)]
        pub(crate) struct Changes {
            $(
                #[serde(skip_serializing_if = "Option::is_none")]
                $name: Option<TypeChanges<RecordDto<$entity, AsStored<$entity>>>>,
            )*
        }

        impl Changes {
            /// The changes of one response, and what is left out of it.
            pub(crate) fn of(pages: PerEntity<Option<TypePage>>) -> (Self, Skipped) {
                let (mut changes, mut skipped) = (Self::default(), Skipped::new());
                let pages = pages.into_pairs().filter_map(|(entity, page)| Some((entity, page?)));
                for (entity, page) in pages {
                    let keys = match entity {
                        $(EntityType::$entity => {
                            let (of_type, keys) = TypeChanges::of(page);
                            changes.$name = Some(of_type);
                            keys
                        })*
                    };
                    if !keys.is_empty() {
                        skipped.insert(entity.name(), keys);
                    }
                }
                (changes, skipped)
            }
        }

        /// A record as a conflict shows it (W4): a tombstone keeps its key and its times.
        pub(crate) fn record_json(record: Record) -> Json {
            match record.key {
                $(RecordKey::$entity(_) => record::record_json::<$entity>(record),)*
            }
        }

        /// What the fields of a type are called.
        pub(crate) fn field_names(entity: EntityType) -> &'static [&'static str] {
            match entity {
                $(EntityType::$entity => <$entity as declare::Declared>::NAMES,)*
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

        /// What an object of the document says of each entity type.
        pub(crate) fn of_each_type<T: OfEachType>(schemas: &mut Named) -> Vec<(EntityType, RefOr<Schema>)> {
            vec![$((EntityType::$entity, T::member::<$entity>(schemas)),)*]
        }
    };
}

registry! {
    memo: Memo;
    diary: Diary;
    resource: Resource;
    bot: Bot;
}

#[cfg(test)]
mod tests;
