//! One user's data.

use std::cmp::Reverse;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use mosaic_domain::digest::Digest;
use mosaic_domain::entity::SortGroup;
use mosaic_domain::pull::{self, Change, PageLimits, PullPage, PullRequest, Snapshot, TypeChanges};
use mosaic_domain::query::{CHILDREN_SHOWN, Listed, Listing, Order, RecordQuery, TAGS_COUNTED, TagCount};
use mosaic_domain::stamp::ClockExhausted;
use mosaic_domain::write::{self, Locked, ROW_BYTES, RecordEdit, WritePlan, WriteScope};
use mosaic_domain::{
    EntityType, Epoch, MemoId, PerEntity, Record, RecordKey, Revision, RevisionId, Stamp, State, SyncClock,
    UnixMillis, UserId,
};
use mosaic_ports::{KeptRevision, Purged, RevisionPage};
use uuid::Uuid;

/// One user's records, revisions and clock.
#[derive(Debug, Clone, PartialEq)]
pub struct Model {
    clock: Stamp,
    epoch: Epoch,
    records: BTreeMap<RecordKey, Record>,
    revisions: Vec<Revision>,
    numbers: BTreeMap<RevisionId, u32>,
    /// The greatest number of a purged revision, by record.
    purged: BTreeMap<RecordKey, u32>,
    /// Whether the user is being removed, and has no clock any more.
    closed: bool,
    /// What the records and revisions come to (W10).
    bytes: u64,
}

impl Default for Model {
    fn default() -> Self {
        Self {
            clock: Stamp::ZERO,
            epoch: Epoch::new(Uuid::from_u128(1)),
            records: BTreeMap::new(),
            revisions: Vec::new(),
            numbers: BTreeMap::new(),
            purged: BTreeMap::new(),
            closed: false,
            bytes: 0,
        }
    }
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
            .records
            .values()
            .filter(|record| scope.keys.contains(&record.key) || is_child(record))
            .map(|record| (record.key, record.clone()))
            .collect();
        let parents: BTreeSet<RecordKey> = records.values().filter_map(Record::parent_key).collect();
        let parents = parents.iter().filter_map(|key| self.records.get(key));
        records.extend(parents.map(|parent| (parent.key, parent.clone())));
        let named = scope.child_keys().filter_map(|key| records.get(&key)?.siblings());
        let counted = scope.counted.iter().copied().chain(named);
        let count = |group: SortGroup| {
            let all = self.records.values();
            let live = all.filter(|record| !record.is_deleted() && record.siblings() == Some(group));
            (group, u32::try_from(live.count()).unwrap_or(u32::MAX))
        };
        let children = counted.map(count).collect();
        let known = |kept: &&Revision| scope.history.contains(&(kept.key, kept.version.clone()));
        Locked {
            clock: SyncClock::new(self.clock, now),
            records,
            children,
            last_places: self.last_places(scope),
            revisions: self.revisions.iter().filter(known).cloned().collect(),
            bytes: self.bytes,
        }
    }

    fn last_places(&self, scope: &WriteScope) -> BTreeMap<SortGroup, i64> {
        let mut last = BTreeMap::new();
        for record in self.records.values() {
            let Some(facets) = record.live_content().map(mosaic_domain::Content::facets) else {
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
        for record in &plan.records {
            self.put(record.clone());
        }
        for revision in &plan.revisions {
            self.keep(revision.clone());
        }
    }

    /// What a pull reads.
    pub fn snapshot(&self, request: &PullRequest, limits: PageLimits) -> Snapshot {
        let start = request.start(self.clock, self.epoch);
        let behind = start.behind(request.entities, self.clock);
        let changes = PerEntity::from_fn(|entity| {
            if behind.contains(entity) {
                self.changes(entity, start.cursors[entity].get(), limits)
            } else {
                TypeChanges::default()
            }
        });
        Snapshot {
            clock: self.clock,
            epoch: self.epoch,
            changes,
        }
    }

    fn changes(&self, entity: EntityType, after: i64, limits: PageLimits) -> TypeChanges {
        let mut found: Vec<&Record> = self.of_type(entity).filter(|r| r.stamp.get() > after).collect();
        found.sort_by_key(|record| record.stamp);
        let mut page = TypeChanges::default();
        let mut bytes = 0;
        for record in found {
            if page.changes.len() == limits.records || (bytes >= limits.bytes && !page.changes.is_empty()) {
                page.more = true;
                break;
            }
            bytes += document_bytes(record);
            page.changes.push(Change {
                record: record.clone(),
                parent_stamp: self.parent_stamp(record),
            });
        }
        page
    }

    fn parent_stamp(&self, record: &Record) -> Option<Stamp> {
        Some(self.records.get(&record.parent_key()?)?.stamp)
    }

    /// One response.
    pub fn pull(&self, request: &PullRequest, limits: PageLimits) -> PullPage {
        pull::cut(request, self.snapshot(request, limits))
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
        self.records()
            .filter(|record| !record.is_deleted())
            .cloned()
            .collect()
    }

    /// The name of the history.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Sets the user's clock.
    pub fn set_clock(&mut self, clock: Stamp) {
        self.clock = clock;
    }

    /// Puts a record in, as it is.
    pub fn put(&mut self, record: Record) {
        self.bytes += record.bytes();
        if let Some(old) = self.records.insert(record.key, record) {
            self.bytes -= old.bytes();
        }
    }

    /// What the records and revisions come to, in bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Keeps a revision with the next number of its record, unless it is there.
    pub fn keep(&mut self, revision: Revision) {
        let number = self
            .numbers_of(revision.key)
            .max()
            .max(self.purged.get(&revision.key).copied())
            .unwrap_or_default()
            + 1;
        self.keep_as(KeptRevision { number, revision });
    }

    /// Keeps a revision with its number, unless it is there.
    pub fn keep_as(&mut self, kept: KeptRevision) {
        if let Entry::Vacant(number) = self.numbers.entry(kept.revision.id) {
            number.insert(kept.number);
            self.bytes += kept.revision.bytes();
            self.revisions.push(kept.revision);
        }
    }

    fn numbers_of(&self, key: RecordKey) -> impl Iterator<Item = u32> {
        let of_record = self.revisions.iter().filter(move |kept| kept.key == key);
        of_record.filter_map(|kept| self.numbers.get(&kept.id).copied())
    }

    /// The greatest number of a revision of the record that was purged; zero where none was.
    pub fn purged_revisions(&self, key: RecordKey) -> u32 {
        self.purged.get(&key).copied().unwrap_or_default()
    }

    /// Says which numbers of a record's revisions were given and are purged.
    pub fn set_purged_revisions(&mut self, key: RecordKey, number: u32) {
        self.purged.insert(key, number);
    }

    /// Purges what was kept or deleted before a moment, at most so many revisions and contents (H2).
    pub fn purge(&mut self, before: UnixMillis, limit: u32) -> Purged {
        let mut left = limit;
        let mut purged = Purged::default();
        let mut forgotten = Vec::new();
        self.revisions.retain(|kept| {
            let goes = kept.recorded_at < before && left > 0;
            if goes {
                left -= 1;
                self.bytes -= kept.bytes();
                forgotten.push((kept.id, kept.key));
            }
            !goes
        });
        for (id, key) in forgotten {
            let number = self.numbers.remove(&id).unwrap_or_default();
            let greatest = self.purged.entry(key).or_default();
            *greatest = number.max(*greatest);
            purged.revisions += 1;
        }
        for record in self.records.values_mut() {
            if left > 0
                && record.stamp.get() < before.get()
                && matches!(record.state, State::Deleted(Some(_)))
            {
                left -= 1;
                self.bytes -= record.bytes() - ROW_BYTES;
                record.state = State::Deleted(None);
                purged.contents += 1;
            }
        }
        purged.more = left == 0;
        purged
    }

    /// Removes the clock: the user is being removed.
    pub fn close(&mut self) {
        self.closed = true;
    }

    /// Whether the user is being removed.
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// Removes at most so many revisions and records. Says how many.
    pub fn remove(&mut self, limit: usize) -> usize {
        let revisions = limit.min(self.revisions.len());
        for kept in self.revisions.drain(..revisions) {
            self.numbers.remove(&kept.id);
        }
        let mut removed = revisions;
        while removed < limit && self.records.pop_first().is_some() {
            removed += 1;
        }
        removed
    }

    /// What the live records of each type come to.
    pub fn digest(&self) -> PerEntity<Digest> {
        PerEntity::from_fn(|entity| {
            let mut digest = Digest::default();
            for record in self.of_type(entity).filter(|record| !record.is_deleted()) {
                digest.add(record.key, record.version.time);
            }
            digest
        })
    }

    /// The user's clock.
    pub fn clock(&self) -> Stamp {
        self.clock
    }

    /// All revisions, in the order in which they were kept.
    pub fn revisions(&self) -> &[Revision] {
        &self.revisions
    }

    /// The revisions of a record, the latest first.
    pub fn revisions_of(&self, key: RecordKey) -> Vec<KeptRevision> {
        let of_record = self.revisions.iter().filter(|kept| kept.key == key);
        let mut kept: Vec<_> = of_record
            .map(|revision| KeptRevision {
                number: self.numbers.get(&revision.id).copied().unwrap_or_default(),
                revision: revision.clone(),
            })
            .collect();
        kept.sort_by_key(|kept| Reverse(kept.number));
        kept
    }

    /// One page of the revisions of a record.
    pub fn revision_page(&self, key: RecordKey, before: Option<u32>, limits: PageLimits) -> RevisionPage {
        let mut found = self.revisions_of(key);
        found.retain(|kept| before.is_none_or(|before| kept.number < before));
        let all = found.len();
        let items = take(found, limits, |kept| kept.revision.content.to_document().len());
        RevisionPage {
            more: items.len() < all,
            items,
        }
    }

    /// Names the history.
    pub fn set_epoch(&mut self, epoch: Epoch) {
        self.epoch = epoch;
    }

    fn of_type(&self, entity: EntityType) -> impl Iterator<Item = &Record> {
        self.records()
            .filter(move |record| record.key.entity_type() == entity)
    }

    /// One page of a list.
    pub fn list(&self, query: &RecordQuery) -> Listing<Listed> {
        let mut found: Vec<&Record> = self
            .of_type(query.entity_type)
            .filter(|record| matches(record, query))
            .collect();
        match query.order {
            Order::NewestFirst => found.sort_by_key(|r| (Reverse(r.created_at), r.key.to_string())),
            Order::KeyDescending => found.sort_by_key(|r| Reverse(r.key.to_string())),
            Order::Siblings => found.sort_by_key(|r| {
                let facets = r
                    .state
                    .content()
                    .map(mosaic_domain::Content::facets)
                    .unwrap_or_default();
                (facets.parent, facets.sort_order, r.key.to_string())
            }),
        }
        let total = found.len() as u64;
        let offset = usize::try_from(query.page.offset()).unwrap_or(usize::MAX);
        let items = found
            .into_iter()
            .skip(offset)
            .take(query.page.limit() as usize)
            .map(|record| Listed {
                key: record.key,
                bytes: self.shown_bytes(record),
            })
            .collect();
        Listing { items, total }
    }

    /// The children of some memos, each memo's in their order, as many as the limits allow.
    pub fn children(&self, memos: &[MemoId], limits: PageLimits) -> Vec<Record> {
        let of = |memo: &MemoId| {
            take(self.children_of((*memo).into()), limits, |record| {
                document_bytes(record)
            })
        };
        memos.iter().flat_map(of).cloned().collect()
    }

    fn children_of(&self, parent: RecordKey) -> Vec<&Record> {
        let live = self.records.values().filter(|record| !record.is_deleted());
        let mut found: Vec<&Record> = live
            .filter(|record| record.parent_key() == Some(parent))
            .collect();
        found.sort_by_key(|record| {
            let facets = record.live_content().map(mosaic_domain::Content::facets);
            (
                facets.and_then(|facets| facets.sort_order),
                record.key.to_string(),
            )
        });
        found
    }

    fn shown_bytes(&self, record: &Record) -> u64 {
        let children = self.children_of(record.key);
        let shown = children.into_iter().take(CHILDREN_SHOWN).chain([record]);
        shown.map(|record| document_bytes(record) as u64).sum()
    }

    /// The tags of a type, the most frequent first.
    pub fn tags(&self, entity: EntityType) -> Vec<TagCount> {
        let mut counts: BTreeMap<String, u64> = BTreeMap::new();
        for content in self.of_type(entity).filter_map(Record::live_content) {
            for tag in content.facets().tags.iter() {
                *counts.entry(tag.to_owned()).or_default() += 1;
            }
        }
        let mut tags: Vec<_> = counts
            .into_iter()
            .map(|(tag, count)| TagCount { tag, count })
            .collect();
        tags.sort_by_key(|tag| Reverse(tag.count));
        tags.truncate(TAGS_COUNTED);
        tags
    }
}

fn document_bytes(record: &Record) -> usize {
    record
        .live_content()
        .map_or(0, |content| content.to_document().len())
}

/// Whether a record is live and every condition holds.
fn matches(record: &Record, query: &RecordQuery) -> bool {
    let Some(content) = record.live_content() else {
        return false;
    };
    let facets = content.facets();
    let created = record.created_at;
    let made_on = |day: mosaic_domain::DiaryDate| {
        let (first, last) = day.utc_range();
        (first..=last).contains(&created)
    };
    let date: Option<mosaic_domain::DiaryDate> = record.key.to_string().parse().ok();
    let searched = || {
        facets
            .search_text
            .as_deref()
            .is_some_and(|text| query.search.find_in(text))
    };
    query.archived.is_none_or(|archived| facets.archived == archived)
        && query.day.is_none_or(|day| facets.day == Some(day))
        && query
            .on_day
            .is_none_or(|day| facets.day == Some(day) || made_on(day))
        && query.created_from.is_none_or(|from| created >= from)
        && query.created_to.is_none_or(|to| created <= to)
        && query.date_from.is_none_or(|from| date >= Some(from))
        && query.date_to.is_none_or(|to| date.is_some_and(|date| date <= to))
        && query
            .parents
            .as_ref()
            .is_none_or(|memos| facets.parent.is_some_and(|memo| memos.contains(&memo)))
        && query
            .tags
            .iter()
            .all(|wanted| facets.tags.iter().any(|tag| tag == wanted.as_str()))
        && (query.search.is_empty() || searched())
}

/// As much of what was found as the limits allow, and at least one, if there is one.
pub(super) fn take<T>(found: Vec<T>, limits: PageLimits, bytes_of: impl Fn(&T) -> usize) -> Vec<T> {
    let mut bytes = 0;
    let fits = |item: &T| {
        let fits = bytes == 0 || bytes < limits.bytes;
        bytes += bytes_of(item).max(1);
        fits
    };
    found
        .into_iter()
        .take(limits.records.max(1))
        .take_while(fits)
        .collect()
}
