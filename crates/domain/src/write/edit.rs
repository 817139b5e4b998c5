//! One edit of one record, before it is judged.

use super::{CHILD_TYPE, WriteScope};
use crate::entity::{Content, Patch, RecordKey, SortGroup};
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
    /// Writes the whole record (`POST`).
    Put {
        /// All fields.
        content: Content,
        /// When the record was made; what is stored stays where the edit does not say.
        created_at: Option<UnixMillis>,
        /// Whether the edit names no place among the siblings: a new record comes last, an old one keeps its place.
        unplaced: bool,
        /// Whether the edit may overwrite even without an edit time: a diary's (W3, W7), and one that restores a revision.
        overwrites: bool,
        /// The resources that the memo has from now on, in order.
        attachments: Option<Vec<ResourceId>>,
    },
    /// Writes some fields (`PUT`), completed from the stored record (W7).
    Patch {
        /// The fields.
        patch: Patch,
        /// When the record was made, where the edit says so.
        created_at: Option<UnixMillis>,
        /// The resources that the memo has from now on, in order.
        attachments: Option<Vec<ResourceId>>,
    },
    /// Brings the bytes of an attachment: writes the whole record where there is none, and gives its bytes to one that has
    /// none yet. Bytes that a record has are never replaced.
    Fill {
        /// All fields of a new record. Its bytes are stored already.
        content: Content,
        /// When the record was made, where the edit says so.
        created_at: Option<UnixMillis>,
        /// What a record that is there gets.
        patch: Patch,
    },
    /// Deletes the record (`DELETE`).
    Delete {
        /// Whether a record that is not there gets a tombstone even without an edit time: in a bulk push, so that a create
        /// that arrives late stays deleted (W5).
        buries_unknown: bool,
    },
}

impl RecordEdit {
    /// Whether the edit deletes its record.
    pub fn deletes(&self) -> bool {
        matches!(self.action, Action::Delete { .. })
    }

    /// About how many bytes it brings to the store.
    pub fn bytes(&self) -> usize {
        match &self.action {
            Action::Put { content, .. } | Action::Fill { content, .. } => content.bytes(),
            Action::Patch { patch, .. } => patch.bytes(),
            Action::Delete { .. } => 0,
        }
    }

    /// The resources that the memo has from now on.
    pub(super) fn attachments(&self) -> Option<&[ResourceId]> {
        match &self.action {
            Action::Put { attachments, .. } | Action::Patch { attachments, .. } => attachments.as_deref(),
            Action::Fill { .. } | Action::Delete { .. } => None,
        }
    }

    /// The version of an edit that carries its time.
    pub(super) fn timed_version(&self) -> Option<Version> {
        self.time.map(|time| Version::new(time, self.author.clone()))
    }

    /// The record's fields and creation time as this edit has them, completed from a base where it leaves something
    /// out. `None` where it can't be: a partial edit without a base, or a delete.
    pub(super) fn completed_from(
        &self,
        base: Option<(&Content, UnixMillis)>,
    ) -> Option<(Content, Option<UnixMillis>)> {
        let base_created = base.map(|(_, created)| created);
        match &self.action {
            Action::Put {
                content,
                created_at,
                unplaced,
                ..
            } => {
                let place = base
                    .filter(|_| *unplaced)
                    .and_then(|(content, _)| content.facets().sort_order);
                let content = match place {
                    Some(place) => content.clone().with_sort_order(place),
                    None => content.clone(),
                };
                Some((content, created_at.or(base_created)))
            }
            Action::Patch {
                patch, created_at, ..
            } => {
                let content = match base {
                    Some((content, _)) => content.patched(patch)?,
                    None => patch.into_new_content()?,
                };
                Some((content, created_at.or(base_created)))
            }
            // Settled into one of the others before anything is completed.
            Action::Fill { .. } | Action::Delete { .. } => None,
        }
    }

    /// Adds what this edit concerns to a scope.
    pub(super) fn widen(&self, scope: &mut WriteScope) {
        scope.keys.insert(self.key);
        scope.bytes += self.bytes();
        if let Some(version) = self.timed_version() {
            scope.history.insert((self.key, version));
        }
        if let RecordKey::Memo(memo) = self.key
            && (self.deletes() || self.attachments().is_some())
        {
            scope.children_of.insert(memo);
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
        let (named, unplaced) = match &self.action {
            Action::Put {
                content, unplaced, ..
            } => (content.facets().parent, *unplaced),
            Action::Fill { content, .. } => (content.facets().parent, true),
            Action::Patch {
                patch: Patch::Resource(patch),
                ..
            } => (patch.memo_id.flatten(), false),
            Action::Patch { .. } | Action::Delete { .. } => (None, false),
        };
        scope.keys.extend(named.map(RecordKey::Memo));
        if unplaced {
            // The memo may turn out to be deleted, and the resource detached (W9): both groups may be needed.
            let entity_type = self.key.entity_type();
            scope.sort_groups.insert(SortGroup {
                entity_type,
                parent: None,
            });
            if entity_type == CHILD_TYPE {
                scope.sort_groups.insert(SortGroup {
                    entity_type,
                    parent: named,
                });
            }
        }
    }
}
