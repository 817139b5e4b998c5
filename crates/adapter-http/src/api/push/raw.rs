//! The edits of a push as they stand in the body: counted and set apart from each other before any of them is read, so that
//! one that can't be read spoils no other (B2).

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use mosaic_domain::write::EDITS_PER_TYPE;
use mosaic_domain::{EntityType, PerEntity, Violation};
use serde::de::IgnoredAny;
use serde_json::Value;

use crate::entities::{self, Entry};
use crate::json::{Unreadable, unreadable};
use crate::problem::FieldError;

/// How many unknown entity types are told at most, and how much of the name of each.
const UNKNOWN_TOLD: usize = 16;
const UNKNOWN_CHARS: usize = 64;
/// What is said where a push names its deletes as a pull does.
const AS_PULLED: &str =
    "a push names what it deletes in `deleted`, each with `id` (a diary with `date`) and `updatedAt`";

/// The edits of a push, none of them read yet, but counted.
#[derive(Debug, Default)]
pub(super) struct RawChanges<'t> {
    pub(super) types: PerEntity<Option<RawEdits<'t>>>,
    /// What nobody knows and would be lost without a word, the first few of it: types, and deletes as a pull tells them.
    pub(super) unknown: Vec<Violation>,
}

/// The edits of one type.
#[derive(Debug, Default)]
pub(super) struct RawEdits<'t> {
    updated: Option<RawList<'t>>,
    deleted: Option<RawList<'t>>,
    /// A pull tells deletes by that name, a push does not.
    names_deleted_ids: bool,
}

/// The records of one list. Those past the greatest number that a push may have are only counted, so that a body of many
/// small ones costs no more memory than its bytes.
#[derive(Debug, Default)]
struct RawList<'t> {
    records: Vec<&'t str>,
    count: usize,
}

impl<'t> RawChanges<'t> {
    /// Finds the edits in a body that is JSON.
    ///
    /// # Errors
    /// [`Unreadable`].
    pub(super) fn find(body: &'t str) -> Result<Self, Unreadable> {
        let mut changes = Self::default();
        for member in Members::of(body, "")? {
            let (name, value) = member?;
            if name == "changes" {
                changes.read(value)?;
            }
        }
        Ok(changes)
    }

    fn read(&mut self, text: &'t str) -> Result<(), Unreadable> {
        for member in Members::of(text, "changes")? {
            let (name, value) = member?;
            match name.parse::<EntityType>() {
                Ok(entity) => {
                    let path = format!("changes.{entity}");
                    let edits = RawEdits::read(value, &path)?;
                    if edits.names_deleted_ids {
                        let violation = Violation::new("unknown_field", AS_PULLED);
                        self.unknown.push(violation.at("deletedIds").at(entity.name()));
                    }
                    if self.types[entity].replace(edits).is_some() {
                        return Err(twice(&path));
                    }
                }
                Err(violation) if self.unknown.len() < UNKNOWN_TOLD => {
                    let name: String = name.chars().take(UNKNOWN_CHARS).collect();
                    self.unknown.push(violation.at(&name));
                }
                Err(_) => {}
            }
        }
        Ok(())
    }
}

impl<'t> RawEdits<'t> {
    fn read(text: &'t str, path: &str) -> Result<Self, Unreadable> {
        let mut edits = Self::default();
        for member in Members::of(text, path)? {
            let (name, value) = member?;
            let list = match name.as_str() {
                "updated" => &mut edits.updated,
                "deleted" => &mut edits.deleted,
                "deletedIds" => {
                    edits.names_deleted_ids = !matches!(value.trim(), "[]" | "null");
                    continue;
                }
                _ => continue,
            };
            let path = format!("{path}.{name}");
            if list.replace(RawList::read(value, &path)?).is_some() {
                return Err(twice(&path));
            }
        }
        Ok(edits)
    }

    /// Whether there are more than a push may have of one type.
    pub(super) fn too_many(&self) -> bool {
        let lists = [&self.updated, &self.deleted].into_iter().flatten();
        lists.map(|list| list.count).sum::<usize>() > EDITS_PER_TYPE
    }

    /// Reads the records: first the updated, then the deleted ones. Each comes with its place in the body.
    pub(super) fn into_entries(self, entity: EntityType) -> impl Iterator<Item = (String, Entry, Sent)> {
        type Read = fn(EntityType, &str, &str) -> Entry;
        let lists: [(&str, Option<RawList<'t>>, Read); 2] = [
            ("updated", self.updated, entities::read_updated),
            ("deleted", self.deleted, entities::read_deleted),
        ];
        lists.into_iter().flat_map(move |(name, list, read)| {
            let records = list.unwrap_or_default().records.into_iter().enumerate();
            records.map(move |(i, text)| {
                let path = format!("changes.{entity}.{name}[{i}]");
                let entry = read(entity, text, &path);
                let sent = match entry.edit {
                    Ok(_) => Sent::of(entity, text),
                    Err(_) => Sent::default(),
                };
                (path, entry, sent)
            })
        })
    }
}

/// What a record said, kept as hashes until it is known what is stored.
#[derive(Debug, Default)]
pub(super) struct Sent(Vec<(&'static str, u64)>);

/// What records show besides their fields.
const AROUND: [&str; 7] = [
    "createdAt",
    "updatedAt",
    "isDeleted",
    "revisionCount",
    "resourceType",
    "url",
    "thumbnailUrl",
];
/// Nobody has looked at the values of those: longer ones are none that the server has made.
const AROUND_BYTES: usize = 4 * 1024;

impl Sent {
    /// Of a record that could be read: its fields are no longer than fields may be.
    fn of(entity: EntityType, text: &str) -> Self {
        let fields = entities::field_names(entity);
        let members = Members::of(text, "").into_iter().flatten().flatten();
        let known = members.filter_map(|(name, value)| {
            let field = fields.iter().find(|field| **field == name);
            let around = AROUND.iter().filter(|_| value.len() <= AROUND_BYTES);
            let name = field.or_else(|| around.into_iter().find(|around| **around == name))?;
            Some((*name, hash_of(&serde_json::from_str(value).ok()?)))
        });
        Self(known.collect())
    }

    /// Whether the record said that.
    pub(super) fn says(&self, name: &str, value: &Value) -> bool {
        let said = self.0.iter().find(|(said, _)| *said == name);
        said.is_some_and(|(_, hash)| *hash == hash_of(value))
    }
}

fn hash_of(value: &Value) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.to_string().hash(&mut hasher);
    hasher.finish()
}

impl<'t> RawList<'t> {
    fn read(text: &'t str, path: &str) -> Result<Self, Unreadable> {
        let mut list = Self::default();
        let mut rest = Rest::opened(text, '[').ok_or_else(|| schema_error(path, "must be a list"))?;
        while rest.has_more(']') {
            let record = rest.value()?;
            if list.count < EDITS_PER_TYPE {
                list.records.push(record);
            }
            list.count += 1;
        }
        Ok(list)
    }
}

fn schema_error(path: &str, message: &'static str) -> Unreadable {
    Unreadable::SchemaError(FieldError::new(path, "invalid_type", message))
}

fn twice(path: &str) -> Unreadable {
    Unreadable::SchemaError(FieldError::new(path, "duplicate_field", "stands there twice"))
}

/// The members of an object, none of the values read.
struct Members<'t>(Rest<'t>);

impl<'t> Members<'t> {
    fn of(text: &'t str, path: &str) -> Result<Self, Unreadable> {
        let rest = Rest::opened(text, '{').ok_or_else(|| schema_error(path, "must be an object"))?;
        Ok(Self(rest))
    }

    fn member(&mut self) -> Result<(String, &'t str), Unreadable> {
        let name = serde_json::from_str(self.0.value()?).map_err(|error| unreadable("", &error))?;
        self.0.skip(':');
        Ok((name, self.0.value()?))
    }
}

impl<'t> Iterator for Members<'t> {
    type Item = Result<(String, &'t str), Unreadable>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.has_more('}').then(|| self.member())
    }
}

/// What is left of a list or an object that is JSON.
struct Rest<'t>(&'t str);

impl<'t> Rest<'t> {
    fn opened(text: &'t str, bracket: char) -> Option<Self> {
        text.trim_ascii_start().strip_prefix(bracket).map(Self)
    }

    fn skip(&mut self, mark: char) {
        let rest = self.0.trim_ascii_start();
        self.0 = rest.strip_prefix(mark).unwrap_or(rest);
    }

    fn has_more(&mut self, bracket: char) -> bool {
        self.skip(',');
        let rest = self.0.trim_ascii_start();
        !rest.is_empty() && !rest.starts_with(bracket)
    }

    /// The text of the next value, however deep it is.
    fn value(&mut self) -> Result<&'t str, Unreadable> {
        let mut values = serde_json::Deserializer::from_str(self.0).into_iter::<IgnoredAny>();
        values
            .next()
            .transpose()
            .map_err(|error| unreadable("", &error))?;
        let (value, rest) = self.0.split_at(values.byte_offset());
        self.0 = rest;
        Ok(value.trim_ascii_start())
    }
}
