//! The four entity types and the one road they share.
//!
//! What all types have in common (key, version, stamp, tombstone, revisions, paging) is written once, over
//! [`Content`] and [`RecordKey`]. A type adds one file here with its fields, their limits, and an [`Entity`]
//! implementation, and one line in the registry below.

mod bot;
mod declare;
mod diary;
mod document;
mod memo;
mod per_entity;
mod resource;

use std::fmt;
use std::str::FromStr;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::id::{BotId, DiaryDate, MemoId, ResourceId};
use crate::text::Tags;
use crate::violation::Violation;

pub use bot::{Bot, BotPatch};
pub(crate) use declare::{fields, names};
pub use diary::{Diary, DiaryPatch, GenerationSource, MoodKey, MoodScore};
pub use document::{Document, FORM, seal};
pub use memo::{Memo, MemoPatch};
pub use per_entity::{EntitySet, PerEntity};
pub use resource::{
    FileSize, Filename, MimeType, Resource, ResourceKind, ResourcePatch, Sha256, StorageType, Variant,
};

/// Generates the closed enums over the entity types. One line per type; parents come before their children, which is
/// the order in which pushes are applied and pages are cut.
macro_rules! registry {
    ($($variant:ident $name:literal in $path:literal, keyed by $key_name:literal: $key:ident;)*) => {
        /// What kind of record it is. Ordered parents first.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum EntityType {
            $(#[doc = concat!("`", $name, "`")] $variant,)*
        }

        impl EntityType {
            /// All entity types, parents first.
            pub const ALL: [Self; [$($name),*].len()] = [$(Self::$variant),*];

            /// The name on the wire and in the database.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// The first segment of its routes.
            pub const fn path(self) -> &'static str {
                match self { $(Self::$variant => $path,)* }
            }

            /// What the key is called in a record on the wire.
            pub const fn key_name(self) -> &'static str {
                match self { $(Self::$variant => $key_name,)* }
            }

            /// The type of the records that records of this type belong to, if they belong to any.
            pub const fn parent_type(self) -> Option<Self> {
                match self { $(Self::$variant => <$variant as Fields>::PARENT,)* }
            }

            /// Whether the addresses of avatars may stand in documents of this type: avatars stay for as long as they do.
            pub const fn names_avatars(self) -> bool {
                match self { $(Self::$variant => <$variant as Fields>::NAMES_AVATARS,)* }
            }

            /// Reads a key of this type.
            ///
            /// # Errors
            /// `invalid_uuid` or `invalid_date`.
            pub fn parse_key(self, text: &str) -> Result<RecordKey, Violation> {
                match self { $(Self::$variant => text.parse().map(RecordKey::$variant),)* }
            }

            /// Reads a document of this type.
            ///
            /// # Errors
            /// When the document is not one that [`Content::to_document`] wrote.
            pub fn parse_document(self, document: &str) -> Result<Content, serde_json::Error> {
                match self { $(Self::$variant => serde_json::from_str(document).map(Content::$variant),)* }
            }
        }

        /// The key of a record, which is unique within its user and entity type.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum RecordKey {
            $(#[doc = concat!("The key of a `", $name, "`.")] $variant($key),)*
        }

        impl RecordKey {
            /// The type of the record that this key names.
            pub const fn entity_type(&self) -> EntityType {
                match self { $(Self::$variant(_) => EntityType::$variant,)* }
            }
        }

        $(impl From<$key> for RecordKey {
            fn from(key: $key) -> Self {
                Self::$variant(key)
            }
        })*

        impl fmt::Display for RecordKey {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self { $(Self::$variant(key) => key.fmt(f),)* }
            }
        }

        /// All fields of a record that a person or an app can set, whatever its type.
        #[derive(Debug, Clone, PartialEq)]
        pub enum Content {
            $(#[doc = concat!("The fields of a `", $name, "`.")] $variant($variant),)*
            /// A stored document that can't be read.
            Unreadable(Unreadable),
        }

        impl Content {
            /// The type that has these fields.
            pub const fn entity_type(&self) -> EntityType {
                match self {
                    $(Self::$variant(_) => EntityType::$variant,)*
                    Self::Unreadable(unreadable) => unreadable.entity_type,
                }
            }

            /// The document that the stores keep: compact JSON, names in a fixed order, so that equal content has equal
            /// bytes.
            pub fn to_document(&self) -> String {
                match self {
                    $(Self::$variant(content) => document(content),)*
                    Self::Unreadable(unreadable) => unreadable.document.clone(),
                }
            }

            /// What the stores index.
            pub fn facets(&self) -> Facets {
                match self {
                    $(Self::$variant(content) => content.facets(),)*
                    Self::Unreadable(unreadable) => unreadable.facets(),
                }
            }

            /// About how many bytes the stores keep of it, without making its document.
            pub(crate) fn bytes(&self) -> usize {
                match self {
                    $(Self::$variant(content) => content.bytes(),)*
                    Self::Unreadable(unreadable) => unreadable.document.len(),
                }
            }

            /// The content after a partial edit; `None` when the patch is for another type.
            pub fn patched(&self, patch: &Patch) -> Option<Self> {
                match (self, patch) {
                    $((Self::$variant(content), Patch::$variant(patch)) => {
                        Some(Self::$variant(content.patched(patch)))
                    })*
                    _ => None,
                }
            }

            /// The content placed among its siblings. Nothing changes for types that have no order.
            pub fn with_sort_order(self, sort_order: i64) -> Self {
                match self {
                    $(Self::$variant(content) => Self::$variant(content.with_sort_order(sort_order)),)*
                    Self::Unreadable(_) => self,
                }
            }

            /// The content without the memo it belonged to. Nothing changes for types that belong to none.
            pub fn detached(self) -> Self {
                match self {
                    $(Self::$variant(content) => Self::$variant(content.detached()),)*
                    Self::Unreadable(unreadable) => Self::Unreadable(Unreadable { parent: None, ..unreadable }),
                }
            }
        }

        /// A partial edit (W7): the fields that it names, whatever the type.
        #[derive(Debug, Clone, PartialEq)]
        pub enum Patch {
            $(#[doc = concat!("Some fields of a `", $name, "`.")] $variant(<$variant as Patched>::Changes),)*
        }

        impl Patch {
            /// About how many bytes it brings.
            pub(crate) fn bytes(&self) -> usize {
                match self { $(Self::$variant(patch) => $variant::bytes_of(patch),)* }
            }

            /// The whole content that this patch makes where there is no record yet: with defaults for what it leaves out (W7).
            ///
            /// # Errors
            /// The fields that a new record must have and this one lacks.
            pub fn to_new_content(&self) -> Result<Content, Missing> {
                match self { $(Self::$variant(patch) => $variant::from_patch(patch).map(Content::$variant),)* }
            }

            /// Whether it names a place among the siblings. Types that have no order name none and need none.
            pub fn names_place(&self) -> bool {
                match self { $(Self::$variant(patch) => $variant::names_place(patch),)* }
            }
        }

        $(impl Entity for $variant {
            const TYPE: EntityType = EntityType::$variant;
            type Key = $key;

            fn into_content(self) -> Content {
                Content::$variant(self)
            }

            fn from_content(content: Content) -> Option<Self> {
                match content {
                    Content::$variant(content) => Some(content),
                    _ => None,
                }
            }

            fn record_key(key: $key) -> RecordKey {
                RecordKey::$variant(key)
            }

            fn key_of(key: RecordKey) -> Option<$key> {
                match key {
                    RecordKey::$variant(key) => Some(key),
                    _ => None,
                }
            }

            fn patch(patch: Self::Changes) -> Patch {
                Patch::$variant(patch)
            }
        })*
    };
}

registry! {
    Memo "memo" in "memos", keyed by "id": MemoId;
    Diary "diary" in "diaries", keyed by "date": DiaryDate;
    Resource "resource" in "resources", keyed by "id": ResourceId;
    Bot "bot" in "bots", keyed by "id": BotId;
}

/// A stored document that this version can't read: it was changed by hand, damaged, or written by another version. It is kept as
/// it is, with what the store knows of it beside the document, until an edit takes its place or it is deleted; then it is a
/// revision like any other content (H1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable {
    /// What it should be.
    pub entity_type: EntityType,
    /// The text.
    pub document: String,
    /// The memo that the record belongs to.
    pub parent: Option<MemoId>,
    /// The content of the attachment that it is the record of.
    pub attachment: Option<Sha256>,
}

impl Unreadable {
    fn facets(&self) -> Facets {
        Facets {
            parent: self.parent,
            attachment: self.attachment,
            ..Facets::default()
        }
    }
}

impl Content {
    /// Whether it is a document that can't be read.
    pub const fn is_unreadable(&self) -> bool {
        matches!(self, Self::Unreadable(_))
    }

    /// The memo that it belongs to. Looks only at types whose records belong to others: the [facets](Content::facets) of a memo
    /// are a copy of its text.
    pub fn parent(&self) -> Option<MemoId> {
        self.entity_type().parent_type()?;
        self.facets().parent
    }
}

impl EntityType {
    /// Reads a stored document, as bytes, with the parent and the attachment that the store has beside it.
    pub fn stored_content(
        self,
        document: &[u8],
        beside: impl FnOnce() -> (Option<MemoId>, Option<Sha256>),
    ) -> Content {
        let readable = std::str::from_utf8(document).ok();
        let content = readable.and_then(|document| self.parse_document(document).ok());
        content.unwrap_or_else(|| {
            let (parent, attachment) = beside();
            Content::Unreadable(Unreadable {
                entity_type: self,
                // No store holds U+0000 but one that was written by hand.
                document: String::from_utf8_lossy(document).replace('\0', "\u{fffd}"),
                parent,
                attachment,
            })
        })
    }
}

/// How one type takes part in what all types share. Implemented by the registry; [`Fields`] is what a type writes.
pub trait Entity: Fields {
    /// The type's tag.
    const TYPE: EntityType;
    /// The type's key.
    type Key: Copy + fmt::Debug + fmt::Display + Ord + FromStr<Err = Violation> + Send + Sync + 'static;

    /// The content, its type erased.
    fn into_content(self) -> Content;
    /// The content of this type, if it is.
    fn from_content(content: Content) -> Option<Self>;
    /// The key, its type erased.
    fn record_key(key: Self::Key) -> RecordKey;
    /// The key of this type, if it is.
    fn key_of(key: RecordKey) -> Option<Self::Key>;
    /// The patch, its type erased.
    fn patch(patch: Self::Changes) -> Patch;
}

/// What a record without long texts comes to, more or less.
pub(crate) const FEW_BYTES: usize = 1_024;

/// What follows from the fields of a type. Implemented by the macro that declares them.
pub trait Patched {
    /// The type's partial edit.
    type Changes: Clone + Default + fmt::Debug + Send + Sync + 'static;

    /// The content after a partial edit: absent fields stay (W7).
    #[must_use]
    fn patched(&self, changes: &Self::Changes) -> Self;
}

/// What a type says about its own fields.
pub trait Fields:
    Patched + Clone + fmt::Debug + PartialEq + Serialize + DeserializeOwned + Send + Sync + 'static
{
    /// The type of the records that those of this type belong to ([`Facets::parent`]). None, unless the type says so.
    const PARENT: Option<EntityType> = None;

    /// Whether the addresses of avatars may stand in a document. Not, unless the type says so.
    const NAMES_AVATARS: bool = false;

    /// What the stores index. Nothing, unless the type says so.
    fn facets(&self) -> Facets {
        Facets::default()
    }

    /// About how many bytes the stores keep of it. Types with long texts count these.
    fn bytes(&self) -> usize {
        FEW_BYTES
    }

    /// About how many bytes a partial edit brings.
    fn bytes_of(_changes: &Self::Changes) -> usize {
        FEW_BYTES
    }

    /// The content that a partial edit makes where there is no record yet.
    ///
    /// # Errors
    /// The fields that a new record must have and this one lacks.
    fn from_patch(changes: &Self::Changes) -> Result<Self, Missing>;

    /// Whether a partial edit names a place among the siblings. Types that have no order name none and need none.
    fn names_place(_changes: &Self::Changes) -> bool {
        true
    }

    /// The content placed among its siblings.
    fn with_sort_order(self, _sort_order: i64) -> Self {
        self
    }

    /// The content without the memo it belonged to.
    fn detached(self) -> Self {
        self
    }
}

/// The fields that a new record must have and an edit does not name, as they are called on the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing(pub Vec<&'static str>);

impl Missing {
    /// Those of these fields that are not named.
    fn of(fields: &[(&'static str, bool)]) -> Self {
        let missing = fields.iter().filter(|(_, named)| !named);
        Self(missing.map(|(name, _)| *name).collect())
    }
}

/// What the stores index of a record, whatever its type. Derived from the content, never stored beside it in the
/// domain.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Facets {
    /// The memo that the record belongs to (P5, W9).
    pub parent: Option<MemoId>,
    /// The day that the record is filed under.
    pub day: Option<DiaryDate>,
    /// Whether it is archived.
    pub archived: bool,
    /// Its place among its siblings: those of one type with the same parent.
    pub sort_order: Option<i64>,
    /// The content of the attachment that it is the record of: those bytes are kept for as long as a record or a revision
    /// names them.
    pub attachment: Option<Sha256>,
    /// Its tags.
    pub tags: Tags,
    /// The text that search looks into, not normalised yet ([`crate::search::normalise`]). `None`: never found.
    pub search_text: Option<String>,
}

/// Records of one type with the same parent, which are ordered among each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SortGroup {
    /// The type of the siblings.
    pub entity_type: EntityType,
    /// The parent that they share; `None` for those that have none.
    pub parent: Option<MemoId>,
}

impl EntityType {
    const fn index(self) -> usize {
        self as usize
    }

    /// The types whose records may belong to one of this type.
    pub fn child_types(self) -> impl Iterator<Item = Self> {
        let all = Self::ALL.into_iter();
        all.filter(move |entity| entity.parent_type() == Some(self))
    }
}

impl fmt::Display for EntityType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for EntityType {
    type Err = Violation;
    fn from_str(name: &str) -> Result<Self, Violation> {
        Self::ALL
            .into_iter()
            .find(|entity| entity.name() == name)
            .ok_or_else(|| {
                let known: Vec<_> = Self::ALL.iter().map(|entity| entity.name()).collect();
                Violation::new("unknown_entity", format!("must be one of {}", known.join(", ")))
            })
    }
}

fn document<T: Fields>(content: &T) -> String {
    // Strings, integers, lists and maps with string keys: nothing that serde_json could refuse.
    serde_json::to_string(content).unwrap_or_default()
}

/// An object that apps keep with a record and the server does not look into: up to 16 KiB.
pub type KeptObject = crate::json::JsonObject<{ 16 * 1024 }>;
