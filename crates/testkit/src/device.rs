//! A device that syncs: it follows its cursors, keeps foreign keys, and refuses what the protocol forbids.

use std::collections::{BTreeMap, BTreeSet};

use mosaic_domain::pull::{PageLimits, PullPage, PullRequest, PulledRecord, PulledState, TypePage};
use mosaic_domain::{
    ClientId, Content, Cursor, EntitySet, EntityType, Epoch, PerEntity, Record, RecordKey, Stamp, State,
};

/// What a device holds of these records.
pub fn pulled<'a>(records: impl IntoIterator<Item = &'a Record>) -> Vec<PulledRecord> {
    records.into_iter().map(as_pulled).collect()
}

/// What a pull says of a record.
pub fn as_pulled(record: &Record) -> PulledRecord {
    PulledRecord {
        key: record.key,
        stamp: record.stamp,
        edit_time: record.version.time,
        created_at: record.created_at,
        revision_count: record.revision_count,
        state: match &record.state {
            State::Live(content) => PulledState::live(content),
            State::Deleted(_) => PulledState::Deleted,
        },
    }
}

fn content_of(record: &PulledRecord) -> Option<Content> {
    match &record.state {
        PulledState::Live(document) => record.key.entity_type().parse_document(document.as_str()).ok(),
        PulledState::Unreadable | PulledState::Deleted => None,
    }
}

/// A client's database, as far as the server fills it. Panics, and so fails the test, when a page breaks P1, P2, P3, P4
/// or P5.
#[derive(Debug, Clone)]
pub struct Device {
    /// Its name.
    pub client: ClientId,
    /// What it sends next time.
    pub cursors: PerEntity<Cursor>,
    /// The history that its cursors come from, if it says so.
    pub epoch: Option<Epoch>,
    limits: PageLimits,
    records: BTreeMap<RecordKey, PulledRecord>,
    delivered: BTreeSet<(RecordKey, Stamp)>,
    pages: usize,
}

impl Device {
    /// A device that knows nothing yet.
    pub fn new(client: &str) -> Self {
        Self {
            client: client.parse().unwrap(),
            cursors: PerEntity::default(),
            epoch: None,
            limits: PageLimits::PROTOCOL,
            records: BTreeMap::new(),
            delivered: BTreeSet::new(),
            pages: 0,
        }
    }

    /// A device that is served pages of at most this many records.
    pub fn with_page_of(client: &str, records: usize) -> Self {
        let limits = PageLimits {
            records,
            ..PageLimits::PROTOCOL
        };
        Self {
            limits,
            ..Self::new(client)
        }
    }

    /// What it may be served in one page.
    pub fn limits(&self) -> PageLimits {
        self.limits
    }

    /// What it asks for next.
    pub fn request(&self) -> PullRequest {
        PullRequest {
            client: self.client.clone(),
            login: None,
            cursors: self.cursors.clone(),
            entities: EntitySet::all(),
            epoch: self.epoch,
        }
    }

    /// Takes a page, checks it, and says whether there is more to come.
    pub fn take(&mut self, page: &PullPage) -> bool {
        assert!(page.reset.is_empty(), "nothing was to be reset: {:?}", page.reset);
        self.pages += 1;
        let mut in_this_response = BTreeSet::new();
        for (entity, page) in page.types.iter() {
            let page = page.as_ref().expect("a page for each type that was asked for");
            self.check_page(entity, page);
            for record in &page.records {
                assert!(
                    in_this_response.insert(record.key),
                    "P4: {} came twice",
                    record.key
                );
                self.take_record(record);
            }
            self.cursors[entity] = page.cursor;
        }
        check_rest(page);
        page.has_more()
    }

    fn check_page(&self, entity: EntityType, page: &TypePage) {
        let count = page.records.len();
        assert!(
            count <= self.limits.records,
            "P1: {count} records in a page of {entity}"
        );
        let mut last = self.cursors[entity];
        for record in &page.records {
            assert_eq!(record.key.entity_type(), entity);
            assert!(
                !last.covers(record.stamp),
                "P1: not in stamp order, or served before"
            );
            last = record.stamp.into();
        }
        if page.more {
            assert_eq!(page.cursor, last, "P2: the cursor is the last record's stamp");
        } else {
            assert!(page.cursor >= last, "P2: the cursor covers the page");
        }
    }

    fn take_record(&mut self, record: &PulledRecord) {
        let new = self.delivered.insert((record.key, record.stamp));
        assert!(new, "P3: {} was delivered twice with one stamp", record.key);
        if record.state == PulledState::Deleted {
            self.records.remove(&record.key);
            self.records.retain(|_, child| {
                let parent = content_of(child).and_then(|content| content.parent());
                parent.map(RecordKey::Memo) != Some(record.key)
            });
            return;
        }
        if let Some(parent) = content_of(record).and_then(|content| content.parent()) {
            let known = self.records.contains_key(&RecordKey::Memo(parent));
            assert!(known, "P5: {} came before its memo {parent}", record.key);
        }
        self.records.insert(record.key, record.clone());
    }

    /// The live records that it holds, by key.
    pub fn records(&self) -> Vec<PulledRecord> {
        self.records.values().cloned().collect()
    }

    /// A record that it holds.
    pub fn record(&self, key: RecordKey) -> Option<&PulledRecord> {
        self.records.get(&key)
    }

    /// The content of a record that it holds and that can be read.
    pub fn content(&self, key: RecordKey) -> Option<Content> {
        self.record(key).and_then(content_of)
    }

    /// Every delivery so far: the record and the stamp that it had.
    pub fn delivered(&self) -> &BTreeSet<(RecordKey, Stamp)> {
        &self.delivered
    }

    /// How many responses it has taken.
    pub fn pages(&self) -> usize {
        self.pages
    }
}

/// P2: types that are caught up get the same cursor, the user's clock.
fn check_rest(page: &PullPage) {
    let at_rest: BTreeSet<Cursor> = page
        .types
        .iter()
        .filter_map(|(_, page)| page.as_ref().filter(|page| !page.more))
        .map(|page| page.cursor)
        .collect();
    assert!(
        at_rest.len() <= 1,
        "P2: types at rest with different cursors: {at_rest:?}"
    );
}
