//! The smallest thing that carries a [`WritePlan`] out: one user's data in maps, read back as a pull reads it.
//!
//! It is here because the property tests of the domain replay thousands of histories of pure functions, and a test of
//! the domain knows no store. The suite holds stores to it where a plan is too large to be written down.

use std::collections::{BTreeMap, BTreeSet};

use mosaic_domain::entity::SortGroup;
use mosaic_domain::pull::{self, Change, PageLimits, PullPage, PullRequest, Snapshot, TypeChanges};
use mosaic_domain::stamp::ClockExhausted;
use mosaic_domain::write::{self, Locked, RecordEdit, WritePlan, WriteScope};
use mosaic_domain::{
    Content, EntityType, Epoch, PerEntity, Record, RecordKey, Revision, Stamp, State, SyncClock, UnixMillis,
    UserId,
};
use uuid::Uuid;

use crate::as_pulled;

/// One user's records, revisions and clock.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Model {
    clock: Stamp,
    records: BTreeMap<RecordKey, Record>,
    revisions: Vec<Revision>,
}

impl Model {
    /// Decides edits and carries the plan out.
    ///
    /// # Errors
    /// [`ClockExhausted`]; nothing is written then.
    pub fn write(&mut self, now: UnixMillis, edits: &[RecordEdit]) -> Result<WritePlan, ClockExhausted> {
        let scope = WriteScope::of(UserId::new(Uuid::nil()), edits);
        let plan = write::decide(&self.locked(&scope, now), edits)?;
        self.commit(&plan);
        Ok(plan)
    }

    /// What a write finds under the lock.
    pub fn locked(&self, scope: &WriteScope, now: UnixMillis) -> Locked {
        let is_child = |record: &Record| {
            let parent = record.parent_key();
            !record.is_deleted() && parent.is_some_and(|parent| scope.children_of.contains(&parent))
        };
        let mut records: BTreeMap<RecordKey, Record> = self
            .records()
            .filter(|record| scope.keys.contains(&record.key) || is_child(record))
            .map(|record| (record.key, record.clone()))
            .collect();
        let parents: BTreeSet<RecordKey> = records.values().filter_map(Record::parent_key).collect();
        let parents = parents.iter().filter_map(|key| self.record(*key));
        records.extend(parents.map(|parent| (parent.key, parent.clone())));
        let named = scope.child_keys().filter_map(|key| records.get(&key)?.siblings());
        let counted = scope.counted.iter().copied().chain(named);
        let count = |group: SortGroup| {
            let live = self.records().filter(|record| !record.is_deleted());
            let siblings = live.filter(|record| record.siblings() == Some(group));
            (group, u32::try_from(siblings.count()).unwrap_or(u32::MAX))
        };
        let children = counted.map(count).collect();
        let known = |kept: &&Revision| scope.history.contains(&(kept.key, kept.version.clone()));
        Locked {
            clock: SyncClock::new(self.clock, now),
            records,
            children,
            last_places: self.last_places(scope),
            revisions: self.revisions.iter().filter(known).cloned().collect(),
            bytes: self.bytes(),
            quota: mosaic_domain::Quota::Default,
        }
    }

    fn last_places(&self, scope: &WriteScope) -> BTreeMap<SortGroup, i64> {
        let mut last = BTreeMap::new();
        for record in self.records() {
            let Some(facets) = record.live_content().map(Content::facets) else {
                continue;
            };
            let group = SortGroup {
                entity_type: record.key.entity_type(),
                parent: facets.parent,
            };
            if let Some(place) = facets.sort_order.filter(|_| scope.sort_groups.contains(&group)) {
                let greatest = last.entry(group).or_insert(place);
                *greatest = place.max(*greatest);
            }
        }
        last
    }

    /// Carries a plan out.
    pub fn commit(&mut self, plan: &WritePlan) {
        if !plan.records.is_empty() {
            self.clock = plan.clock;
        }
        let written = plan.records.iter().map(|record| (record.key, record.clone()));
        self.records.extend(written);
        for revision in &plan.revisions {
            if self.revisions.iter().all(|kept| kept.id != revision.id) {
                self.revisions.push(revision.clone());
            }
        }
    }

    /// Forgets the revisions, and what deleted records held (H2).
    pub fn purge(&mut self) {
        self.revisions.clear();
        for record in self.records.values_mut() {
            if record.is_deleted() {
                record.state = State::Deleted(None);
            }
        }
    }

    /// One response.
    pub fn pull(&self, request: &PullRequest, limits: PageLimits) -> PullPage {
        let epoch = Epoch::new(Uuid::from_u128(1));
        let start = request.start(self.clock, epoch);
        let behind = start.behind(request.entities, self.clock);
        let changes = PerEntity::from_fn(|entity| {
            if behind.contains(entity) {
                self.changes(entity, start.cursors[entity].get(), limits)
            } else {
                TypeChanges::default()
            }
        });
        let snapshot = Snapshot {
            clock: self.clock,
            epoch,
            changes,
        };
        pull::cut(request, snapshot)
    }

    fn changes(&self, entity: EntityType, after: i64, limits: PageLimits) -> TypeChanges {
        let of_type = self.records().filter(|record| record.key.entity_type() == entity);
        let mut found: Vec<&Record> = of_type.filter(|record| record.stamp.get() > after).collect();
        found.sort_by_key(|record| record.stamp);
        let mut page = TypeChanges::default();
        let mut bytes = 0;
        for record in found {
            if page.changes.len() == limits.records || (bytes >= limits.bytes && !page.changes.is_empty()) {
                page.more = true;
                break;
            }
            bytes += record
                .live_content()
                .map_or(0, |content| content.to_document().len());
            let parent = record.parent_key().and_then(|parent| self.record(parent));
            page.changes.push(Change {
                record: as_pulled(record),
                parent_stamp: parent.map(|parent| parent.stamp),
            });
        }
        page
    }

    /// The user's clock.
    pub fn clock(&self) -> Stamp {
        self.clock
    }

    /// A record, tombstones included.
    pub fn record(&self, key: RecordKey) -> Option<&Record> {
        self.records.get(&key)
    }

    /// All records, tombstones included, by key.
    pub fn records(&self) -> impl Iterator<Item = &Record> {
        self.records.values()
    }

    /// The live records, by key.
    pub fn live(&self) -> Vec<Record> {
        let live = self.records().filter(|record| !record.is_deleted());
        live.cloned().collect()
    }

    /// All revisions, in the order in which they were kept.
    pub fn revisions(&self) -> &[Revision] {
        &self.revisions
    }

    /// What the records and revisions come to, in bytes (W10).
    pub fn bytes(&self) -> u64 {
        let records: u64 = self.records().map(Record::bytes).sum();
        records + self.revisions.iter().map(Revision::bytes).sum::<u64>()
    }
}
