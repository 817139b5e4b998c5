//! How one snapshot of a user's changes becomes the pages of one response (rules P1, P2, P5, R1, R2).

use crate::entity::{Content, Document, EntitySet, EntityType, PerEntity, RecordKey};
use crate::id::{ClientId, Epoch, FamilyId};
use crate::stamp::{Cursor, Stamp};
use crate::time::{EditTime, UnixMillis};

/// What one device asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PullRequest {
    /// The device.
    pub client: ClientId,
    /// The login that asks: in the snapshot it must not have ended. `None`: the server itself.
    pub login: Option<FamilyId>,
    /// Up to where it was served, per type. This is the truth; what the server remembers is never used (P6).
    pub cursors: PerEntity<Cursor>,
    /// The types that it wants.
    pub entities: EntitySet,
    /// The history that its cursors come from, if it says so (R2).
    pub epoch: Option<Epoch>,
}

/// How much one page may hold, per type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageLimits {
    /// The most records, updated and deleted counted together (P1).
    pub records: usize,
    /// A page ends after the record with which its documents reach this many bytes, so that 200 memos of a megabyte each
    /// do not make one response. A page always holds at least one record.
    pub bytes: usize,
}

impl PageLimits {
    /// The protocol's limits: 200 records (P1), and pages that end at 4 MiB.
    pub const PROTOCOL: Self = Self {
        records: 200,
        bytes: 4 * 1024 * 1024,
    };
}

/// Where a pull starts, once the user's clock is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PullStart {
    /// From where each type is served: everything with a greater stamp.
    pub cursors: PerEntity<Cursor>,
    /// The types that are served from the beginning, because the device's cursor comes from another history.
    pub reset: EntitySet,
}

impl PullRequest {
    /// Where this pull starts. Stores call it inside the snapshot, after reading clock and epoch.
    ///
    /// A cursor ahead of the user's clock can only come from another history (R1), and a request that names another
    /// epoch says so itself (R2): such types are served from the beginning.
    pub fn start(&self, clock: Stamp, epoch: Epoch) -> PullStart {
        let other_history = self.epoch.is_some_and(|theirs| theirs != epoch);
        let foreign = |entity: &EntityType| other_history || self.cursors[*entity].get() > clock.get();
        let reset: EntitySet = self.entities.iter().filter(foreign).collect();
        let cursors = self.cursors.clone().map(|entity, cursor| {
            if reset.contains(entity) {
                Cursor::ZERO
            } else {
                cursor
            }
        });
        PullStart { cursors, reset }
    }

    /// Whether it is worth looking whether the device has nothing to fetch: at rest it holds equal cursors (P2).
    pub fn may_be_at_rest(&self) -> bool {
        let mut cursors = self.entities.iter().map(|entity| self.cursors[entity]);
        let first = cursors.next().unwrap_or(Cursor::ZERO);
        first != Cursor::ZERO && cursors.all(|cursor| cursor == first)
    }

    /// Whether there is nothing for the device, where the user's clock stands there: it is caught up with every type that it
    /// asks for, in this history.
    pub fn is_at_rest(&self, clock: Stamp, epoch: Epoch) -> bool {
        let start = self.start(clock, epoch);
        start.reset.is_empty() && start.behind(self.entities, clock).is_empty()
    }
}

impl PullStart {
    /// The types that a store must read: those that were asked for and are not caught up. None for a device at rest.
    pub fn behind(&self, entities: EntitySet, clock: Stamp) -> EntitySet {
        entities
            .iter()
            .filter(|entity| !self.cursors[*entity].covers(clock))
            .collect()
    }
}

/// What a pull says of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PulledRecord {
    /// Its name within its user.
    pub key: RecordKey,
    /// Its place in the user's history.
    pub stamp: Stamp,
    /// When the edit was made that it is the outcome of.
    pub edit_time: EditTime,
    /// When it was made.
    pub created_at: UnixMillis,
    /// How many versions it has had.
    pub revision_count: u32,
    /// Whether it lives.
    pub state: PulledState,
}

/// Whether a record lives, and with which fields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PulledState {
    /// It does.
    Live(Document),
    /// It does, and its content can't be read: it is left out and named (P8).
    Unreadable,
    /// It is a tombstone.
    Deleted,
}

impl PulledState {
    /// That of a live record.
    pub fn live(content: &Content) -> Self {
        Document::of(content).map_or(Self::Unreadable, Self::Live)
    }
}

/// One record that changed, as a store read it.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// The record, in the state that the snapshot shows.
    pub record: PulledRecord,
    /// The stamp of the memo that the record belongs to, in the same snapshot (P5).
    pub parent_stamp: Option<Stamp>,
}

/// What changed of one type after its cursor, in stamp order.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct TypeChanges {
    /// The first changes, as many as the limits allow.
    pub changes: Vec<Change>,
    /// Whether there are more after them.
    pub more: bool,
}

/// One consistent view of a user's changes across all types (P4).
#[derive(Debug, Clone, PartialEq)]
pub struct Snapshot {
    /// The user's clock.
    pub clock: Stamp,
    /// The database's history.
    pub epoch: Epoch,
    /// The changes of each type that was asked for; empty for the others.
    pub changes: PerEntity<TypeChanges>,
}

impl Snapshot {
    /// That of a device that has nothing to fetch.
    pub fn at_rest(clock: Stamp, epoch: Epoch) -> Self {
        Self {
            clock,
            epoch,
            changes: PerEntity::default(),
        }
    }
}

/// The page of one type.
#[derive(Debug, Clone, PartialEq)]
pub struct TypePage {
    /// Live records and tombstones, in stamp order.
    pub records: Vec<PulledRecord>,
    /// What the device sends next time.
    pub cursor: Cursor,
    /// Whether there is more to come.
    pub more: bool,
}

/// One response.
#[derive(Debug, Clone, PartialEq)]
pub struct PullPage {
    /// A page for each type that was asked for.
    pub types: PerEntity<Option<TypePage>>,
    /// The types that were served from the beginning (R1, R2).
    pub reset: EntitySet,
    /// The database's history.
    pub epoch: Epoch,
}

impl PullPage {
    /// Whether this response moves the device: only then is there something to remember (D1).
    pub fn moves(&self, request: &PullRequest) -> bool {
        self.types
            .iter()
            .any(|(entity, page)| page.as_ref().is_some_and(|p| p.cursor != request.cursors[entity]))
    }

    /// All its records.
    pub fn records(&self) -> impl Iterator<Item = &PulledRecord> {
        let pages = self.types.iter().filter_map(|(_, page)| page.as_ref());
        pages.flat_map(|page| &page.records)
    }

    /// Whether any type has more to come.
    pub fn has_more(&self) -> bool {
        self.types
            .iter()
            .any(|(_, page)| page.as_ref().is_some_and(|page| page.more))
    }
}

/// Cuts the pages of one response from one snapshot.
///
/// A type that is caught up gets the user's clock as its cursor, so that a device at rest holds equal cursors; one with
/// more to come gets the stamp of its last record (P2). While memos have more to come, a type whose records belong to
/// memos stops before the first record whose memo lies past the memo page (P5). A device that asks for resources
/// without asking for memos gets them as they are: it says itself that it does not want the parents first.
pub fn cut(request: &PullRequest, snapshot: Snapshot) -> PullPage {
    let start = request.start(snapshot.clock, snapshot.epoch);
    let clock = snapshot.clock;
    let mut parents_end: Option<Cursor> = None;
    let types = snapshot.changes.map(|entity, changes| {
        if !request.entities.contains(entity) {
            return None;
        }
        let page = cut_type(changes, start.cursors[entity], clock, parents_end);
        if entity == EntityType::Memo && page.more {
            parents_end = Some(page.cursor);
        }
        Some(page)
    });
    PullPage {
        types,
        reset: start.reset,
        epoch: snapshot.epoch,
    }
}

fn cut_type(found: TypeChanges, start: Cursor, clock: Stamp, parents_end: Option<Cursor>) -> TypePage {
    let orphan = |change: &Change| {
        let past = |(end, parent): (Cursor, Stamp)| !end.covers(parent);
        change.record.state != PulledState::Deleted && parents_end.zip(change.parent_stamp).is_some_and(past)
    };
    let keep = found
        .changes
        .iter()
        .position(orphan)
        .unwrap_or(found.changes.len());
    let more = found.more || keep < found.changes.len();
    let records: Vec<PulledRecord> = found
        .changes
        .into_iter()
        .take(keep)
        .map(|change| change.record)
        .collect();
    let cursor = match (more, records.last()) {
        (false, _) => clock.into(),
        (true, Some(last)) => last.stamp.into(),
        (true, None) => start,
    };
    TypePage {
        records,
        cursor,
        more,
    }
}
