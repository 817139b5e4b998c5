//! One edit of one record, before it is judged.

use super::WriteScope;
use crate::entity::{Content, EntityType, FEW_BYTES, Missing, Patch, RecordKey, ResourcePatch, SortGroup};
use crate::id::{ClientId, ResourceId};
use crate::time::{EditTime, UnixMillis};
use crate::version::Version;

/// One edit of one record, by any route.
#[derive(Debug, Clone, PartialEq)]
pub struct RecordEdit {
    /// The record.
    pub key: RecordKey,
    /// The device that made the edit.
    pub author: ClientId,
    /// When it was made, by the server's clock (W6). Without it the edit is the latest there is (W1).
    pub time: Option<EditTime>,
    /// What it does.
    pub action: Action,
}

/// What an edit does.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Writes the whole record, with or without an edit time: a version that is restored, or imported. Nothing else knows all
    /// fields, those that will come with a later version included.
    Put {
        /// All fields.
        content: Content,
        /// When the record was made.
        created_at: UnixMillis,
    },
    /// Writes some fields, or all of them, completed from the stored record (W7).
    Patch {
        /// The fields.
        patch: Patch,
        /// When the record was made, where the edit says so; what is stored stays where it does not.
        created_at: Option<UnixMillis>,
        /// The resources that the memo has from now on, in order.
        attachments: Option<Vec<ResourceId>>,
        /// Whether a record that is not there is made, and one that is there left alone by an edit without a time (`POST`,
        /// bulk push). Edits of diaries make and overwrite whatever this says: their key is their day (W7).
        creates: bool,
    },
    /// Brings the bytes of an attachment, which are stored already: makes the record where there is none, and gives its bytes to
    /// one that has none yet. Bytes that a record has are never replaced.
    AttachContent {
        /// The fields. A record that lives keeps its name.
        patch: ResourcePatch,
        /// When the record was made, where the edit says so.
        created_at: Option<UnixMillis>,
    },
    /// Deletes the record (`DELETE`).
    Delete {
        /// Whether a record that is not there gets a tombstone even without an edit time: in a bulk push, so that a create
        /// that arrives late stays deleted (W5).
        tombstone_if_missing: bool,
    },
}

impl RecordEdit {
    /// Whether the edit deletes its record.
    pub fn deletes(&self) -> bool {
        matches!(self.action, Action::Delete { .. })
    }

    /// Whether the edit deletes the resources of its memo with it (W9).
    pub fn cascades(&self) -> bool {
        self.deletes() && self.key.entity_type().child_types().next().is_some()
    }

    /// About how many bytes it brings to the store.
    pub fn bytes(&self) -> usize {
        match &self.action {
            Action::Put { content, .. } => content.bytes(),
            Action::AttachContent { .. } => FEW_BYTES,
            Action::Patch { patch, .. } => patch.bytes(),
            Action::Delete { .. } => 0,
        }
    }

    /// The resources that the memo has from now on.
    pub(super) fn attachments(&self) -> Option<&[ResourceId]> {
        match &self.action {
            Action::Patch { attachments, .. } => attachments.as_deref(),
            Action::Put { .. } | Action::AttachContent { .. } | Action::Delete { .. } => None,
        }
    }

    /// The version of an edit that carries its time.
    pub(super) fn timed_version(&self) -> Option<Version> {
        self.time.map(|time| Version::new(time, self.author.clone()))
    }

    fn is_of_a_diary(&self) -> bool {
        self.key.entity_type() == EntityType::Diary
    }

    /// Whether the edit makes a record that is not there.
    pub(super) fn creates(&self) -> bool {
        match self.action {
            Action::Put { .. } | Action::AttachContent { .. } => true,
            Action::Patch { creates, .. } => creates || self.is_of_a_diary(),
            Action::Delete { .. } => false,
        }
    }

    /// Whether the edit leaves alone what is stored, tombstones too: a create without a time (W3).
    pub(super) fn yields(&self) -> bool {
        self.time.is_none()
            && !self.is_of_a_diary()
            && matches!(self.action, Action::Patch { creates: true, .. })
    }

    /// Whether the edit names no place among the siblings: a new record comes last, an old one keeps its place.
    pub(super) fn is_unplaced(&self) -> bool {
        match &self.action {
            Action::Patch { patch, .. } => self.creates() && !patch.names_place(),
            Action::AttachContent { .. } => true,
            Action::Put { .. } | Action::Delete { .. } => false,
        }
    }

    /// The record's fields and creation time as this edit has them, completed from a base, or with defaults, where it leaves
    /// something out.
    ///
    /// # Errors
    /// What a new record must have and the edit does not name.
    pub(super) fn completed_from(
        &self,
        base: Option<(&Content, UnixMillis)>,
    ) -> Result<(Content, Option<UnixMillis>), Missing> {
        let base_created = base.map(|(_, created)| created);
        match &self.action {
            Action::Put { content, created_at } => Ok((content.clone(), Some(*created_at))),
            Action::Patch {
                patch, created_at, ..
            } => {
                let content = match base.and_then(|(content, _)| content.patched(patch)) {
                    Some(content) => content,
                    None => patch.to_new_content()?,
                };
                Ok((content, created_at.or(base_created)))
            }
            // Settled, or turned into a partial edit, before anything is completed.
            Action::AttachContent { .. } | Action::Delete { .. } => Err(Missing(Vec::new())),
        }
    }

    /// Adds what this edit concerns to a scope.
    pub(super) fn widen(&self, scope: &mut WriteScope) {
        scope.keys.insert(self.key);
        scope.bytes += self.bytes();
        if let Some(version) = self.timed_version() {
            scope.history.insert((self.key, version));
        }
        let has_children = self.key.entity_type().child_types().next().is_some();
        if has_children && (self.deletes() || self.attachments().is_some()) {
            scope.children_of.insert(self.key);
        }
        scope.keys.extend(
            self.attachments()
                .unwrap_or_default()
                .iter()
                .map(|id| RecordKey::Resource(*id)),
        );
        self.widen_to_named_memo(scope);
    }

    fn widen_to_named_memo(&self, scope: &mut WriteScope) {
        let named = match &self.action {
            Action::Put { content, .. } => content.parent(),
            Action::AttachContent { patch, .. }
            | Action::Patch {
                patch: Patch::Resource(patch),
                ..
            } => patch.memo_id.flatten(),
            Action::Patch { .. } | Action::Delete { .. } => None,
        };
        scope.keys.extend(named.map(RecordKey::Memo));
        scope.counted.extend(named.map(|parent| SortGroup {
            entity_type: self.key.entity_type(),
            parent: Some(parent),
        }));
        if self.is_unplaced() {
            // The memo may turn out to be deleted, and the resource detached (W9): both groups may be needed.
            let entity_type = self.key.entity_type();
            scope.sort_groups.insert(SortGroup {
                entity_type,
                parent: None,
            });
            if entity_type.parent_type().is_some() {
                scope.sort_groups.insert(SortGroup {
                    entity_type,
                    parent: named,
                });
            }
        }
    }
}
