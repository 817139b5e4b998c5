//! One user's data, as the tests of single edits handle it.

use mosaic_domain::entity::Resource;
use mosaic_domain::write::{EditResult, Outcome, RecordEdit, Refusal, WritePlan};
use mosaic_domain::{Content, Record, RecordKey, RevisionReason, UnixMillis};
use mosaic_testkit::{Model, resource_key};

pub(crate) const NOW: i64 = 10_000;

/// One user's data and short ways to look at it.
#[derive(Clone, Default)]
pub(crate) struct World(pub(crate) Model);

impl World {
    pub(crate) fn write(&mut self, edits: &[RecordEdit]) -> WritePlan {
        self.0.write(UnixMillis::clamped(NOW), edits).unwrap()
    }

    pub(crate) fn edit(&mut self, edit: RecordEdit) -> EditResult {
        self.write(&[edit]).results.remove(0)
    }

    pub(crate) fn outcome(&mut self, edit: RecordEdit) -> Outcome {
        self.edit(edit).outcome
    }

    pub(crate) fn apply(&mut self, edit: RecordEdit) {
        assert_eq!(self.outcome(edit), Outcome::Applied);
    }

    pub(crate) fn record(&self, key: RecordKey) -> &Record {
        self.0.record(key).unwrap()
    }

    pub(crate) fn time(&self, key: RecordKey) -> i64 {
        self.record(key).version.time.get()
    }

    pub(crate) fn text(&self, key: RecordKey) -> Option<&str> {
        match self.record(key).live_content()? {
            Content::Memo(memo) => Some(memo.content.as_str()),
            Content::Diary(diary) => Some(diary.summary.as_str()),
            Content::Resource(resource) => Some(resource.filename.as_str()),
            Content::Bot(bot) => Some(bot.name.as_str()),
            Content::Unreadable(unreadable) => Some(&unreadable.document),
        }
    }

    pub(crate) fn place(&self, key: RecordKey) -> i64 {
        self.record(key)
            .live_content()
            .unwrap()
            .facets()
            .sort_order
            .unwrap()
    }

    pub(crate) fn resource(&self, n: u64) -> &Resource {
        match self.record(resource_key(n)).live_content() {
            Some(Content::Resource(resource)) => resource,
            other => panic!("{other:?}"),
        }
    }

    /// The reasons and edit times of the revisions of a record, the first kept first.
    pub(crate) fn kept(&self, key: RecordKey) -> Vec<(RevisionReason, i64)> {
        let of_record = self.0.revisions().iter().filter(|kept| kept.key == key);
        of_record
            .map(|kept| (kept.reason, kept.version.time.get()))
            .collect()
    }
}

pub(crate) fn refused(refusal: Refusal) -> Outcome {
    Outcome::Refused(refusal)
}
