//! What a set of edits does to a user's records (rules W1 to W5, W7, W9, H1), decided without a database.
//!
//! A write travels like this: the use case turns a request into [`RecordEdit`]s and asks the store to load and lock what
//! they concern ([`WriteScope`]); the store calls [`decide`] with what it found ([`Locked`]) and carries out the
//! [`WritePlan`] that comes back, all or nothing. The decision is pure: it may be run again when the database asks for
//! a retry.

mod edit;
mod plan_builder;
mod room;

use std::collections::{BTreeMap, BTreeSet};

use crate::entity::{Missing, RecordKey, SortGroup};
use crate::id::{FamilyId, MemoId, ResourceId, UserId};
use crate::quota::Quota;
use crate::record::{Record, Revision};
use crate::stamp::{ClockExhausted, Stamp, SyncClock};
use crate::time::EditTime;
use crate::version::Version;

pub use edit::{Action, RecordEdit};
pub use room::ROW_BYTES;

/// What a store has to load, under the user's lock, before anything can be decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WriteScope {
    /// The user whose clock is locked.
    pub user: UserId,
    /// The login that writes: under the lock it must not have ended. `None`: the server itself.
    pub login: Option<FamilyId>,
    /// The records that the edits name. The store also loads the record that each of them belongs to.
    pub keys: BTreeSet<RecordKey>,
    /// The records whose live children are loaded too
    /// ([`EntityType::child_types`](crate::EntityType::child_types)): only the database knows their keys.
    pub children_of: BTreeSet<RecordKey>,
    /// The groups that the edits add records to: how many they have is counted.
    pub counted: BTreeSet<SortGroup>,
    /// The groups whose greatest place is loaded.
    pub sort_groups: BTreeSet<SortGroup>,
    /// The versions whose revisions are loaded, to recognise a replay of what has been overwritten since (W3).
    pub history: BTreeSet<(RecordKey, Version)>,
    /// About how many bytes the edits bring: a store may have large writes wait for small ones, never the other way round.
    pub bytes: usize,
}

impl WriteScope {
    /// What these edits concern.
    pub fn of(user: UserId, edits: &[RecordEdit]) -> Self {
        let mut scope = Self {
            user,
            login: None,
            keys: BTreeSet::new(),
            children_of: BTreeSet::new(),
            counted: BTreeSet::new(),
            sort_groups: BTreeSet::new(),
            history: BTreeSet::new(),
            bytes: 0,
        };
        for edit in edits {
            edit.widen(&mut scope);
        }
        scope
    }

    /// The records that may belong to others: how many siblings each has is counted.
    pub fn child_keys(&self) -> impl Iterator<Item = RecordKey> {
        let keys = self.keys.iter().copied();
        keys.filter(|key| key.entity_type().parent_type().is_some())
    }

    /// The same for a write of this login; `None`: of the server itself.
    #[must_use]
    pub fn by(self, login: Option<FamilyId>) -> Self {
        Self { login, ..self }
    }
}

/// What a store has loaded under the user's lock.
#[derive(Debug, Clone)]
pub struct Locked {
    /// The user's clock; its time was read after the lock was taken (S2).
    pub clock: SyncClock,
    /// Every record of the scope that exists, tombstones included, with their memos and the memos' resources.
    pub records: BTreeMap<RecordKey, Record>,
    /// How many live records there are in each group of [`WriteScope::counted`], and in that of each of
    /// [`WriteScope::child_keys`], or that which it was in when it was deleted: counted up to [`CHILDREN_MAX`].
    pub children: BTreeMap<SortGroup, u32>,
    /// The greatest place of each group of the scope that has live records.
    pub last_places: BTreeMap<SortGroup, i64>,
    /// The revisions of the scope's history.
    pub revisions: Vec<Revision>,
    /// What all records and revisions of the user come to: the sum of their `bytes` (W10).
    pub bytes: u64,
    /// What the user may store.
    pub quota: Quota,
}

/// What a store has to carry out, all or nothing (W8).
#[derive(Debug, Clone, PartialEq)]
pub struct WritePlan {
    /// The user's clock before.
    pub clock_before: Stamp,
    /// The user's clock afterwards. Written only when `records` is not empty (S4).
    pub clock: Stamp,
    /// The records as they are afterwards, each with a stamp of its own.
    pub records: Vec<Record>,
    /// The versions to keep, in this order (H1). One that is kept already stays as it is.
    pub revisions: Vec<Revision>,
    /// By how much the records grow, all together, in bytes. The store adds the revisions that it keeps, which are not those
    /// that are kept already (W10).
    pub record_bytes: i64,
    /// What became of each edit, in the order of the edits.
    pub results: Vec<EditResult>,
}

impl WritePlan {
    /// Whether the results tell of every record that changes. Those that are deleted, moved or detached with another one have
    /// none (W9), unless they were named, too.
    pub fn tells_everything(&self) -> bool {
        let told = self.results.iter();
        let told = told.filter(|result| !matches!(result.outcome, Outcome::Refused(_)));
        let told = told.filter_map(|result| result.current.as_ref());
        let told: BTreeSet<_> = told.map(|record| (record.key, record.stamp)).collect();
        let mut changed = self.records.iter();
        changed.all(|record| told.contains(&(record.key, record.stamp)))
    }

    /// Whether there is nothing to carry out.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty() && self.revisions.is_empty()
    }
}

/// What became of one edit.
#[derive(Debug, Clone, PartialEq)]
pub struct EditResult {
    /// The record.
    pub key: RecordKey,
    /// What became of it.
    pub outcome: Outcome,
    /// The record after the write; `None` where there is none.
    pub current: Option<Record>,
}

/// What can become of an edit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The record is now as the edit says.
    Applied,
    /// The record was so already: a replay (W3).
    Unchanged,
    /// A newer version is stored; the edit's content is kept as a revision (W4).
    Superseded,
    /// The edit can't be done. Nothing of it was.
    Refused(Refusal),
}

/// Why an edit can't be done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// There is no such record (W7).
    #[error("there is no such record")]
    NotFound,
    /// The record was deleted then, and a partial edit without an edit time does not bring it back (W5).
    #[error("the record is deleted")]
    Gone(EditTime),
    /// The record was deleted then, and a create without an edit time never brings it back (W3).
    #[error("the record is deleted")]
    Deleted(EditTime),
    /// The record was deleted then and its content is gone, so a partial edit can't bring it back (W5).
    #[error("the record is deleted and its content is gone: send the whole record")]
    ContentGone(EditTime),
    /// The record can't be read, so a partial edit has nothing to be completed from (W7).
    #[error("the stored record can not be read: send the whole record")]
    Unreadable,
    /// There is no such record, or nothing left of it, and the edit lacks fields that a new one must have (W7).
    #[error("a new record needs more fields")]
    Incomplete(Missing),
    /// The memo that a resource names does not exist (W9).
    #[error("there is no such memo")]
    UnknownMemo(MemoId),
    /// The memo has as many resources as it may have (W9).
    #[error("the memo has {CHILDREN_MAX} resources already")]
    MemoFull(MemoId),
    /// The records and revisions of the user would come to more than they may (W10).
    #[error("the records and their history would come to more than {quota} bytes")]
    NoRoom {
        /// What they come to, in bytes.
        used: u64,
        /// What they may come to, in bytes.
        quota: u64,
    },
    /// The record has other bytes already, and bytes are never replaced.
    #[error("the record has another content already")]
    OtherContent,
    /// A resource that a memo names does not exist or is deleted.
    #[error("there is no such resource")]
    UnknownResource {
        /// Its place in the list.
        index: usize,
        /// The id that was named.
        id: ResourceId,
    },
}

/// Decides what a set of edits does to what was loaded, in the order given. Parents come before their children. Whatever the
/// user may store: an operator imports.
///
/// # Errors
/// [`ClockExhausted`] when no stamp is left (S5).
pub fn decide(locked: &Locked, edits: &[RecordEdit]) -> Result<WritePlan, ClockExhausted> {
    decide_up_to(u64::MAX, locked, edits)
}

/// As [`decide`], where the records and revisions of the user may come to `quota` bytes, or to the account's own quota: what would go beyond is refused
/// ([`Refusal::NoRoom`]), but for deletes and for edits that make nothing larger (W10).
///
/// # Errors
/// [`ClockExhausted`] when no stamp is left (S5).
pub fn decide_within(quota: u64, locked: &Locked, edits: &[RecordEdit]) -> Result<WritePlan, ClockExhausted> {
    decide_up_to(locked.quota.of_records(quota), locked, edits)
}

fn decide_up_to(bytes: u64, locked: &Locked, edits: &[RecordEdit]) -> Result<WritePlan, ClockExhausted> {
    let mut builder = plan_builder::PlanBuilder::new(locked, bytes);
    let results = edits
        .iter()
        .map(|edit| builder.apply(edit))
        .collect::<Result<Vec<_>, _>>()?;
    Ok(builder.into_plan(results))
}

/// The most live records of one type that belong to one record. They are deleted with it, in one write, and while one is written
/// others wait (W9).
pub const CHILDREN_MAX: u32 = 1_000;

/// The most edits of one type in one push (B1).
pub const EDITS_PER_TYPE: usize = 200;
