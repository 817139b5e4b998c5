//! The edits of a push as they stand in the body: counted and set apart from each other before any of them is read, so that
//! one that can't be read spoils no other (B2).

use std::collections::HashSet;
use std::fmt;

use mosaic_application::push::EDITS_PER_TYPE;
use mosaic_domain::{EntityType, PerEntity, Violation};
use serde::Deserialize;
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::entities::{self, Entry};

/// How many unknown entity types are told at most.
const UNKNOWN_TOLD: usize = 16;

/// The edits of a push, none of them read yet, but counted.
#[derive(Debug, Default)]
pub(super) struct RawChanges {
    pub(super) types: PerEntity<Option<RawEdits>>,
    /// The types that nobody knows, the first few of them.
    pub(super) unknown: Vec<Violation>,
}

/// The edits of one type.
#[derive(Debug, Default)]
pub(super) struct RawEdits {
    updated: RawList,
    deleted: RawList,
}

/// The records of one list. Those past the greatest number that a push may have are only counted, so that a body of many
/// small ones costs no more memory than its bytes.
#[derive(Debug, Default)]
struct RawList {
    records: Vec<Box<RawValue>>,
    count: usize,
}

impl<'de> Deserialize<'de> for RawChanges {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ChangesVisitor;
        impl<'de> Visitor<'de> for ChangesVisitor {
            type Value = RawChanges;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<RawChanges, A::Error> {
                let mut changes = RawChanges::default();
                while let Some(name) = map.next_key::<String>()? {
                    match name.parse::<EntityType>() {
                        Ok(entity) if changes.types[entity].is_some() => {
                            return Err(Error::duplicate_field(entity.name()));
                        }
                        Ok(entity) => changes.types[entity] = Some(map.next_value()?),
                        Err(violation) => {
                            map.next_value::<IgnoredAny>()?;
                            if changes.unknown.len() < UNKNOWN_TOLD {
                                changes.unknown.push(violation.at(&name));
                            }
                        }
                    }
                }
                Ok(changes)
            }
        }
        deserializer.deserialize_map(ChangesVisitor)
    }
}

impl<'de> Deserialize<'de> for RawEdits {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct EditsVisitor;
        impl<'de> Visitor<'de> for EditsVisitor {
            type Value = RawEdits;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<RawEdits, A::Error> {
                let (mut edits, mut seen) = (RawEdits::default(), HashSet::new());
                while let Some(name) = map.next_key::<String>()? {
                    let (list, known) = match name.as_str() {
                        "updated" => (&mut edits.updated, "updated"),
                        "deleted" => (&mut edits.deleted, "deleted"),
                        _ => {
                            map.next_value::<IgnoredAny>()?;
                            continue;
                        }
                    };
                    if !seen.insert(known) {
                        return Err(Error::duplicate_field(known));
                    }
                    *list = map.next_value()?;
                }
                Ok(edits)
            }
        }
        deserializer.deserialize_map(EditsVisitor)
    }
}

impl<'de> Deserialize<'de> for RawList {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ListVisitor;
        impl<'de> Visitor<'de> for ListVisitor {
            type Value = RawList;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<RawList, A::Error> {
                let mut list = RawList::default();
                while list.count < EDITS_PER_TYPE {
                    let Some(record) = seq.next_element()? else {
                        return Ok(list);
                    };
                    list.records.push(record);
                    list.count += 1;
                }
                while seq.next_element::<IgnoredAny>()?.is_some() {
                    list.count += 1;
                }
                Ok(list)
            }
        }
        deserializer.deserialize_seq(ListVisitor)
    }
}

impl RawEdits {
    /// Whether there are more than a push may have of one type.
    pub(super) fn too_many(&self) -> bool {
        self.updated.count + self.deleted.count > EDITS_PER_TYPE
    }

    /// Reads the records: first the updated, then the deleted ones. Each comes with its place in the body.
    pub(super) fn read(self, entity: EntityType) -> impl Iterator<Item = (String, Entry)> {
        type Read = fn(EntityType, &str, &str) -> Entry;
        let lists: [(&str, RawList, Read); 2] = [
            ("updated", self.updated, entities::read_whole),
            ("deleted", self.deleted, entities::read_deleted),
        ];
        lists.into_iter().flat_map(move |(name, list, read)| {
            let records = list.records.into_iter().enumerate();
            records.map(move |(i, text)| {
                let path = format!("changes.{entity}.{name}[{i}]");
                let entry = read(entity, text.get(), &path);
                (path, entry)
            })
        })
    }
}
