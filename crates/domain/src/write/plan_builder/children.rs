//! What an edit of a memo does to its resources (W9).

use super::{Candidate, PlanBuilder, is_child};
use crate::entity::{Content, Patch, RecordKey, ResourcePatch};
use crate::id::{MemoId, ResourceId};
use crate::record::Record;
use crate::stamp::ClockExhausted;
use crate::time::EditTime;
use crate::version::Version;
use crate::write::{Action, RecordEdit, Refusal};

impl PlanBuilder<'_> {
    /// Deletes the resources of a deleted memo with the same version; those that were edited later stay, detached (W9).
    pub(super) fn cascade(&mut self, edit: &RecordEdit) -> Result<(), ClockExhausted> {
        let (RecordKey::Memo(memo), Action::Delete { .. }) = (edit.key, &edit.action) else {
            return Ok(());
        };
        let Some(version) = self.records.get(&edit.key).map(|memo| memo.version.clone()) else {
            return Ok(());
        };
        for child in self.children(memo) {
            let candidate = if child.version <= version {
                Candidate {
                    version: version.clone(),
                    created_at: child.created_at,
                    content: None,
                }
            } else {
                let content = child.live_content().cloned().map(Content::detached);
                Candidate {
                    version: child.version,
                    created_at: child.created_at,
                    content,
                }
            };
            self.replace(child.key, candidate)?;
        }
        Ok(())
    }

    /// The live resources of a memo.
    pub(super) fn children(&self, memo: MemoId) -> Vec<Record> {
        let children = self.records.values().filter(|record| is_child(record, memo));
        children.cloned().collect()
    }

    pub(super) fn missing_attachment(&self, edit: &RecordEdit) -> Option<Refusal> {
        let live = |id: &ResourceId| {
            self.records
                .get(&RecordKey::Resource(*id))
                .is_some_and(|r| !r.is_deleted())
        };
        let (index, id) = edit.attachments()?.iter().enumerate().find(|(_, id)| !live(id))?;
        Some(Refusal::UnknownResource { index, id: *id })
    }

    /// Gives a memo the resources that the edit names, in that order; its others are detached. Each one that moves is an
    /// edit of its own, later than what is stored, so that it moves for certain and syncs.
    pub(super) fn attach(&mut self, edit: &RecordEdit) -> Result<(), ClockExhausted> {
        let (RecordKey::Memo(memo), Some(wanted)) = (edit.key, edit.attachments()) else {
            return Ok(());
        };
        let dropped = self.children(memo).into_iter().filter(|child| match child.key {
            RecordKey::Resource(id) => !wanted.contains(&id),
            _ => false,
        });
        let mut moves: Vec<(RecordKey, ResourcePatch)> = dropped
            .map(|child| {
                (
                    child.key,
                    ResourcePatch {
                        memo_id: Some(None),
                        ..ResourcePatch::default()
                    },
                )
            })
            .collect();
        moves.extend(wanted.iter().zip(0_i64..).map(|(id, place)| {
            let patch = ResourcePatch {
                memo_id: Some(Some(memo)),
                sort_order: Some(place),
                ..ResourcePatch::default()
            };
            (RecordKey::Resource(*id), patch)
        }));
        for (key, patch) in moves {
            self.move_resource(edit, key, patch)?;
        }
        Ok(())
    }

    fn move_resource(
        &mut self,
        edit: &RecordEdit,
        key: RecordKey,
        patch: ResourcePatch,
    ) -> Result<(), ClockExhausted> {
        let Some(stored) = self.records.get(&key) else {
            return Ok(());
        };
        let Some(content) = stored.live_content() else {
            return Ok(());
        };
        // One that can't be read stays where it is.
        let Some(moved) = content.patched(&Patch::Resource(patch)) else {
            return Ok(());
        };
        if moved == *content {
            return Ok(());
        }
        let edited = edit.time.unwrap_or_else(|| EditTime::at(self.clock.now()));
        let version = Version::new(edited.max(stored.version.time.next()), edit.author.clone());
        let created_at = stored.created_at;
        self.replace(
            key,
            Candidate {
                version,
                created_at,
                content: Some(moved),
            },
        )
    }
}
