//! The records of a write as they change from edit to edit.

mod children;

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use super::room::Room;
use super::{Action, CHILDREN_MAX, EditResult, Locked, Outcome, ROW_BYTES, RecordEdit, Refusal, WritePlan};
use crate::entity::{Content, Patch, RecordKey, ResourcePatch, SortGroup};
use crate::id::{ClientId, MemoId};
use crate::record::{Record, Revision, RevisionReason, State};
use crate::stamp::{ClockExhausted, Stamp, SyncClock};
use crate::time::{EditTime, UnixMillis};
use crate::version::{MergeState, Version, compare};

/// The greatest place among siblings: every store and every app can hold 32 bits.
const MAX_PLACE: i64 = i32::MAX as i64;

/// What was loaded, with the edits so far applied.
pub(super) struct PlanBuilder<'a> {
    clock_before: Stamp,
    clock: SyncClock,
    records: BTreeMap<RecordKey, Record>,
    children: BTreeMap<SortGroup, u32>,
    last_places: BTreeMap<SortGroup, i64>,
    known: &'a [Revision],
    touched: BTreeSet<RecordKey>,
    revisions: Vec<Revision>,
    room: Room,
}

/// What an edit wants a record to be.
struct Candidate {
    version: Version,
    created_at: UnixMillis,
    /// `None` deletes it.
    content: Option<Content>,
}

/// An edit that is settled before last-writer-wins is asked.
enum ShortCircuit {
    Unchanged,
    Refused(Refusal),
}

impl From<Refusal> for ShortCircuit {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl<'a> PlanBuilder<'a> {
    pub(super) fn new(locked: &'a Locked, quota: u64) -> Self {
        Self {
            clock_before: locked.clock.last(),
            clock: locked.clock.clone(),
            records: locked.records.clone(),
            children: locked.children.clone(),
            last_places: locked.last_places.clone(),
            known: &locked.revisions,
            touched: BTreeSet::new(),
            revisions: Vec::new(),
            room: Room::new(locked.bytes, quota),
        }
    }

    pub(super) fn into_plan(self, results: Vec<EditResult>) -> WritePlan {
        let Self {
            clock_before,
            clock,
            records,
            touched,
            revisions,
            room,
            ..
        } = self;
        let mut records: Vec<Record> = records
            .into_values()
            .filter(|r| touched.contains(&r.key))
            .collect();
        records.sort_by_key(|record| record.stamp);
        WritePlan {
            clock_before,
            clock: clock.last(),
            records,
            revisions,
            record_bytes: room.records,
            results,
        }
    }

    /// Judges one edit and, where it wins, carries it out on the builder.
    pub(super) fn apply(&mut self, edit: &RecordEdit) -> Result<EditResult, ClockExhausted> {
        let outcome = match self.settle_fill(edit) {
            Ok(edit) => self.carry_out(&edit)?,
            Err(ShortCircuit::Unchanged) => Outcome::Unchanged,
            Err(ShortCircuit::Refused(refusal)) => Outcome::Refused(refusal),
        };
        Ok(EditResult {
            key: edit.key,
            outcome,
            current: self.records.get(&edit.key).cloned(),
        })
    }

    fn carry_out(&mut self, edit: &RecordEdit) -> Result<Outcome, ClockExhausted> {
        Ok(match self.propose(edit) {
            Ok(candidate) => self.judge(edit, candidate)?,
            Err(ShortCircuit::Unchanged) => self.leave_unchanged(edit)?,
            Err(ShortCircuit::Refused(refusal)) => Outcome::Refused(refusal),
        })
    }

    /// Turns an edit that brings bytes into the partial edit that it comes to: one that makes the record where none lives, or one
    /// of a record that has no bytes yet. That one is later than what is stored, whenever the bytes were chosen: they are no
    /// contest.
    fn settle_fill<'e>(&self, edit: &'e RecordEdit) -> Result<Cow<'e, RecordEdit>, ShortCircuit> {
        let Action::AttachContent { patch, created_at } = &edit.action else {
            return Ok(Cow::Borrowed(edit));
        };
        let stored = self.records.get(&edit.key);
        let live = stored.and_then(|stored| Some((stored, stored.live_content()?)));
        let live = live.filter(|(stored, _)| !stored.is_unreadable());
        let (time, patch, created_at) = match live {
            None => (edit.time, patch.clone(), *created_at),
            Some((stored, has)) => match has.facets().attachment {
                None => {
                    let time = edit.time.map(|time| time.max(stored.version.time.next()));
                    let patch = ResourcePatch {
                        filename: None,
                        ..patch.clone()
                    };
                    (time, patch, None)
                }
                same if same == patch.sha256.flatten() => return Err(ShortCircuit::Unchanged),
                Some(_) => return Err(Refusal::OtherContent.into()),
            },
        };
        Ok(Cow::Owned(RecordEdit {
            key: edit.key,
            author: edit.author.clone(),
            time,
            action: Action::Patch {
                patch: Patch::Resource(patch),
                created_at,
                attachments: None,
                creates: live.is_none(),
            },
        }))
    }

    /// Turns an edit into the state that it wants, or settles it where last-writer-wins has nothing to say.
    fn propose(&self, edit: &RecordEdit) -> Result<Candidate, ShortCircuit> {
        let stored = self.records.get(&edit.key);
        let version = edit
            .timed_version()
            .unwrap_or_else(|| self.latest_version(stored, &edit.author));
        if let Action::Delete { tombstone_if_missing } = edit.action {
            return propose_delete(edit, stored, version, tombstone_if_missing);
        }
        let base = base_of(edit, stored)?;
        if base.is_none() && !edit.creates() {
            return Err(Refusal::NotFound.into());
        }
        let (content, created_at) = edit.completed_from(base).map_err(Refusal::Incomplete)?;
        let created_at = created_at.unwrap_or(version.time.as_moment());
        let mut content = self.with_live_memo(edit, stored, content)?;
        if base.is_none() && edit.is_unplaced() {
            let last = self.last_places.get(&group_of(edit.key, &content));
            content = content.with_sort_order(last.map_or(0, |last| last.saturating_add(1).min(MAX_PLACE)));
        }
        let same = stored.is_some_and(|s| s.live_content() == Some(&content) && s.created_at == created_at);
        if edit.time.is_none() && same {
            return Err(ShortCircuit::Unchanged);
        }
        Ok(Candidate {
            version,
            created_at,
            content: Some(content),
        })
    }

    /// The version of an edit without a time: later than whatever is stored (W1).
    fn latest_version(&self, stored: Option<&Record>, author: &ClientId) -> Version {
        let now = EditTime::at(self.clock.now());
        let time = stored.map_or(now, |stored| now.max(stored.version.time.next()));
        Version::new(time, author.clone())
    }

    /// The content with a memo that it may name: a deleted one is let go, an unknown one refused (W9). What is put whole,
    /// restored or imported, is stored without a memo that is full.
    fn with_live_memo(
        &self,
        edit: &RecordEdit,
        stored: Option<&Record>,
        content: Content,
    ) -> Result<Content, ShortCircuit> {
        let Some(memo) = content.parent() else {
            return Ok(content);
        };
        match self.records.get(&RecordKey::Memo(memo)) {
            None => Err(Refusal::UnknownMemo(memo).into()),
            Some(record) if record.is_deleted() => Ok(content.detached()),
            Some(_) => match edit.action {
                Action::Put { .. } if self.full_memo(edit.key, stored, &content).is_some() => {
                    Ok(content.detached())
                }
                _ => Ok(content),
            },
        }
    }

    /// The memo that a record with this content would be one resource too many of (W9).
    fn full_memo(&self, key: RecordKey, stored: Option<&Record>, content: &Content) -> Option<MemoId> {
        let memo = content.parent()?;
        let is_there = stored.is_some_and(|stored| is_child(stored, memo));
        let count = self
            .children
            .get(&group_of(key, content))
            .copied()
            .unwrap_or_default();
        (!is_there && count >= CHILDREN_MAX).then_some(memo)
    }

    /// A partial edit without a time that changes no field of a memo may still move resources. A create that is sent
    /// again may not: others may have moved them since (W3).
    fn leave_unchanged(&mut self, edit: &RecordEdit) -> Result<Outcome, ClockExhausted> {
        if !edit.yields() {
            if let Some(refusal) = self.missing_attachment(edit) {
                return Ok(Outcome::Refused(refusal));
            }
            if edit.attachments().is_some() && self.room.is_exhausted() {
                return Ok(self.no_room());
            }
            self.attach(edit)?;
        }
        Ok(Outcome::Unchanged)
    }

    fn judge(&mut self, edit: &RecordEdit, candidate: Candidate) -> Result<Outcome, ClockExhausted> {
        let claim = match &candidate.content {
            Some(content) => MergeState::Live(content, candidate.created_at),
            None => MergeState::Deleted,
        };
        let stored = self.records.get(&edit.key);
        let verdict = match stored {
            Some(stored) if !stored.is_unreadable() => compare((&candidate.version, claim), stored.claim()),
            _ => Ordering::Greater,
        };
        match verdict {
            Ordering::Equal => Ok(Outcome::Unchanged),
            // Deleted is deleted: an older delete has nothing to lose (W5).
            Ordering::Less if candidate.content.is_none() && stored.is_some_and(Record::is_deleted) => {
                Ok(Outcome::Unchanged)
            }
            // Of equal versions the greater wins. But a partial edit is completed from what is stored, so one that lost may look
            // greater when it comes again.
            Ordering::Greater
                if stored.is_some_and(|stored| !stored.is_unreadable())
                    && self.is_kept(edit, &candidate.version) =>
            {
                Ok(Outcome::Superseded)
            }
            Ordering::Less => Ok(self.keep_superseded(edit, candidate)),
            Ordering::Greater => {
                if let Some(refusal) = self.missing_attachment(edit) {
                    return Ok(Outcome::Refused(refusal));
                }
                let content = candidate.content.as_ref();
                if let Some(memo) = content.and_then(|content| self.full_memo(edit.key, stored, content)) {
                    return Ok(Outcome::Refused(Refusal::MemoFull(memo)));
                }
                // A delete of what is there always fits in: it is how room is made.
                let fits = match &candidate.content {
                    Some(content) => self.room.takes(content, stored),
                    None => stored.is_some() || self.room.takes_more(ROW_BYTES),
                };
                if !fits {
                    return Ok(self.no_room());
                }
                self.replace(edit.key, candidate)?;
                self.cascade(edit)?;
                self.attach(edit)?;
                Ok(Outcome::Applied)
            }
        }
    }

    fn no_room(&self) -> Outcome {
        Outcome::Refused(Refusal::NoRoom {
            used: self.room.used,
            quota: self.room.quota,
        })
    }

    /// Keeps the content of a losing edit (W4), unless the edit is a replay of one that is kept already (W3).
    fn keep_superseded(&mut self, edit: &RecordEdit, candidate: Candidate) -> Outcome {
        let Candidate {
            version,
            created_at,
            content: Some(content),
        } = candidate
        else {
            return Outcome::Superseded;
        };
        if self.is_kept(edit, &version) {
            return Outcome::Superseded;
        }
        let now = self.clock.now();
        let why = RevisionReason::Superseded;
        let revision = Revision::new(edit.key, version, created_at, content, why, now);
        let bytes = revision.bytes();
        if !self.room.takes_more(bytes) {
            return self.no_room();
        }
        self.room.kept(bytes);
        self.revisions.push(revision);
        Outcome::Superseded
    }

    /// Whether the edit is a replay of one that is kept: of one with its version, to which it has nothing to add (W3). What a
    /// partial edit leaves out was completed from what was stored then, and is another now.
    fn is_kept(&self, edit: &RecordEdit, version: &Version) -> bool {
        let has_all = |kept: &Revision| {
            let again = edit.completed_from(Some((&kept.content, kept.created_at)));
            again.is_ok_and(|(content, created)| {
                // A memo that it names may have been deleted before or after it was kept (W9).
                created == Some(kept.created_at)
                    && (content == kept.content || content.detached() == kept.content)
            })
        };
        self.known
            .iter()
            .chain(&self.revisions)
            .any(|kept| kept.key == edit.key && kept.version == *version && has_all(kept))
    }

    /// Puts a record in the place of the stored one, which is kept as a revision (H1), and draws its stamp.
    fn replace(&mut self, key: RecordKey, candidate: Candidate) -> Result<(), ClockExhausted> {
        let stamp = self.clock.draw()?;
        let Candidate {
            version,
            created_at,
            content,
        } = candidate;
        let old = self.records.remove(&key);
        let revision_count = old.as_ref().map_or(1, |old| old.revision_count.saturating_add(1));
        if let Some(Record {
            state: State::Live(lost),
            version,
            created_at,
            ..
        }) = &old
        {
            let why = if content.is_none() {
                RevisionReason::Deleted
            } else {
                RevisionReason::Overwritten
            };
            let now = self.clock.now();
            let lost = Revision::new(key, version.clone(), *created_at, lost.clone(), why, now);
            self.revisions.push(lost);
        }
        let state = match content {
            Some(content) => State::Live(content),
            None => State::Deleted(old.as_ref().and_then(|old| old.state.content().cloned())),
        };
        if let State::Live(content) = &state
            && let Some(place) = content.facets().sort_order
        {
            let last = self.last_places.entry(group_of(key, content)).or_insert(place);
            *last = place.max(*last);
        }
        let new = Record {
            key,
            version,
            stamp,
            created_at,
            revision_count,
            state,
        };
        self.room.replaced(old.as_ref(), &new);
        self.count_child(old.as_ref(), |count| count.saturating_sub(1));
        self.count_child(Some(&new), |count| count.saturating_add(1));
        self.touched.insert(key);
        self.records.insert(key, new);
        Ok(())
    }

    /// Counts one child more, or one less, of what the record belongs to, if it lives.
    fn count_child(&mut self, record: Option<&Record>, change: fn(u32) -> u32) {
        let live = record.filter(|record| !record.is_deleted());
        if let Some(siblings) = live.and_then(Record::siblings) {
            let count = self.children.entry(siblings).or_default();
            *count = change(*count);
        }
    }
}

/// What an edit is completed from (W5, W7), or what settles it before.
fn base_of<'a>(
    edit: &RecordEdit,
    stored: Option<&'a Record>,
) -> Result<Option<(&'a Content, UnixMillis)>, ShortCircuit> {
    let Some(stored) = stored else { return Ok(None) };
    if stored.is_unreadable() {
        // Nothing can be completed from it: who makes records makes a new one, and it is kept as a revision.
        return match edit.action {
            Action::Patch { creates: false, .. } => Err(Refusal::Unreadable.into()),
            _ => Ok(None),
        };
    }
    if edit.yields() {
        return Err(if stored.is_deleted() {
            Refusal::Deleted(stored.version.time).into()
        } else {
            ShortCircuit::Unchanged
        });
    }
    let content = stored.state.content().filter(|content| !content.is_unreadable());
    if stored.is_deleted() && matches!(edit.action, Action::Patch { .. }) {
        match (edit.creates(), edit.time, content) {
            // A diary begins anew.
            (true, None, _) => return Ok(None),
            (false, None, _) => return Err(Refusal::Gone(stored.version.time).into()),
            (false, Some(_), None) => return Err(Refusal::ContentGone(stored.version.time).into()),
            (_, Some(_), _) => {}
        }
    }
    Ok(content.map(|content| (content, stored.created_at)))
}

/// A delete of what is there, of what is deleted, and of what nobody knows (W5).
fn propose_delete(
    edit: &RecordEdit,
    stored: Option<&Record>,
    version: Version,
    tombstone_if_missing: bool,
) -> Result<Candidate, ShortCircuit> {
    match stored {
        None if edit.time.is_none() && !tombstone_if_missing => Err(Refusal::NotFound.into()),
        Some(stored) if edit.time.is_none() && stored.is_deleted() => Err(ShortCircuit::Unchanged),
        stored => {
            let created_at = stored.map_or(version.time.as_moment(), |stored| stored.created_at);
            Ok(Candidate {
                version,
                created_at,
                content: None,
            })
        }
    }
}

/// Whether a record is a live resource of a memo.
fn is_child(record: &Record, memo: MemoId) -> bool {
    !record.is_deleted() && record.parent() == Some(memo)
}

/// The siblings that a record is ordered among.
fn group_of(key: RecordKey, content: &Content) -> SortGroup {
    SortGroup {
        entity_type: key.entity_type(),
        parent: content.parent(),
    }
}
