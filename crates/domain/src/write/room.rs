//! How much a user may store: the bytes of records and revisions (W10).

use crate::entity::Content;
use crate::record::{Record, Revision};

/// What a record or a revision counts beside its document: keys, versions, what is indexed. So records without content and
/// tombstones are bounded too. The migrations that counted first know the number as well.
pub const ROW_BYTES: u64 = 200;

impl Content {
    /// What the content counts.
    fn document_bytes(&self) -> u64 {
        self.to_document().len() as u64
    }
}

impl Record {
    /// What the record counts against what its user may store, in bytes.
    pub fn bytes(&self) -> u64 {
        ROW_BYTES + self.state.content().map_or(0, Content::document_bytes)
    }
}

impl Revision {
    /// What the revision counts against what its user may store, in bytes.
    pub fn bytes(&self) -> u64 {
        ROW_BYTES + self.content.document_bytes()
    }
}

/// What a user's records and revisions come to, as edits change it, and what they may come to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Room {
    /// All of it, in bytes.
    pub(super) used: u64,
    /// What it may be, in bytes.
    pub(super) quota: u64,
    /// By how much the records alone have grown, in bytes.
    pub(super) records: i64,
}

impl Room {
    pub(super) const fn new(used: u64, quota: u64) -> Self {
        Self {
            used,
            quota,
            records: 0,
        }
    }

    /// Whether a record that takes the place of another, which is kept as a revision if it lives, fits in. One that is no
    /// larger than what it replaces has as much again: else nobody could make anything smaller who has come to the end, since
    /// what was there stays in the history for a while.
    pub(super) fn takes(&self, new: &Content, old: Option<&Record>) -> bool {
        let new = ROW_BYTES + new.document_bytes();
        let used = self.used.saturating_add(new);
        used <= self.quota
            || old.is_some_and(|old| {
                let old_bytes = old.bytes();
                if old.is_deleted() {
                    used.saturating_sub(old_bytes) <= self.quota
                } else {
                    new <= old_bytes && used <= self.reserve()
                }
            })
    }

    /// Whether so many bytes more fit in.
    pub(super) fn takes_more(&self, bytes: u64) -> bool {
        self.used.saturating_add(bytes) <= self.quota
    }

    /// Whether small edits that follow from others fit in.
    pub(super) fn is_exhausted(&self) -> bool {
        self.used > self.reserve()
    }

    const fn reserve(&self) -> u64 {
        self.quota.saturating_mul(2)
    }

    /// Counts a record in the place of another, which is kept as a revision if it lives.
    pub(super) fn replaced(&mut self, old: Option<&Record>, new: &Record) {
        let lives = old.is_some_and(|old| !old.is_deleted());
        let old = old.map_or(0, Record::bytes);
        // A tombstone keeps the content that was there.
        let new = if lives && new.is_deleted() {
            old
        } else {
            new.bytes()
        };
        self.used = self.used.saturating_add(new);
        if !lives {
            self.used = self.used.saturating_sub(old);
        }
        self.records = self
            .records
            .saturating_add_unsigned(new)
            .saturating_sub_unsigned(old);
    }

    /// Counts a revision of what never was current.
    pub(super) fn kept(&mut self, bytes: u64) {
        self.used = self.used.saturating_add(bytes);
    }
}
