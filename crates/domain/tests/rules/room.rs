//! What a user may store (W10), decided.

use mosaic_domain::write::{Locked, Outcome, ROW_BYTES, RecordEdit, Refusal, WriteScope, decide_within};
use mosaic_domain::{Record, UnixMillis, UserId};
use mosaic_testkit::{
    EditExt, Model, bury, delete, memo, memo_id, memo_key, patch_memo, put, resource, resource_key,
    resource_of,
};
use uuid::Uuid;

const NOW: i64 = 1_000_000;

/// One user who may store so much.
struct User {
    model: Model,
    quota: u64,
}

impl User {
    fn with(quota: u64) -> Self {
        Self {
            model: Model::default(),
            quota,
        }
    }

    fn write(&mut self, edit: RecordEdit) -> Outcome {
        self.write_all(&[edit]).remove(0)
    }

    /// Edits that come in one write.
    fn write_all(&mut self, edits: &[RecordEdit]) -> Vec<Outcome> {
        let scope = WriteScope::of(UserId::new(Uuid::nil()), edits);
        let locked: Locked = self.model.locked(&scope, UnixMillis::clamped(NOW));
        let plan = decide_within(self.quota, &locked, edits).unwrap();
        let before = self.records();
        self.model.commit(&plan);
        assert_eq!(before + plan.record_bytes, self.records(), "what the store adds");
        plan.results.into_iter().map(|result| result.outcome).collect()
    }

    /// What the records come to.
    fn records(&self) -> i64 {
        let bytes: u64 = self.model.records().map(Record::bytes).sum();
        bytes.cast_signed()
    }

    #[track_caller]
    fn applies(&mut self, edit: RecordEdit) {
        assert_eq!(self.write(edit), Outcome::Applied);
    }

    #[track_caller]
    fn has_no_room(&mut self, edit: RecordEdit) {
        let (before, used) = (self.model.clone(), self.model.bytes());
        let quota = self.quota;
        let refused = Outcome::Refused(Refusal::NoRoom { used, quota });
        assert_eq!(self.write(edit), refused);
        assert_eq!(self.model, before, "nothing of it was done");
    }
}

fn text(bytes: usize) -> mosaic_domain::entity::Memo {
    memo(&"x".repeat(bytes))
}

/// What a memo with so much text counts.
fn size(bytes: usize) -> u64 {
    let mut user = User::with(u64::MAX);
    user.applies(put(memo_key(1), text(bytes)));
    user.model.bytes()
}

#[test]
fn w10_what_fits_to_the_byte_is_taken_and_one_byte_more_is_not() {
    let mut user = User::with(size(1_000));
    user.has_no_room(put(memo_key(1), text(1_001)));
    user.applies(put(memo_key(1), text(1_000)));
    user.has_no_room(put(memo_key(2), text(0)));
}

#[test]
fn w10_every_record_counts_however_little_is_in_it() {
    let mut user = User::with(10 * ROW_BYTES);
    for n in 0..10 {
        user.applies(bury(memo_key(n)).at(NOW));
    }
    user.has_no_room(bury(memo_key(10)).at(NOW));
}

#[test]
fn w10_history_counts_too() {
    let mut user = User::with(3 * size(1_000));
    user.applies(put(memo_key(1), text(1_000)).at(10));
    user.applies(put(memo_key(1), text(1_000)).at(20));
    // A losing edit would be kept.
    assert_eq!(user.write(put(memo_key(1), text(900)).at(5)), Outcome::Superseded);
    user.has_no_room(put(memo_key(1), text(950)).at(6));
    // What is kept already needs no room.
    assert_eq!(user.write(put(memo_key(1), text(900)).at(5)), Outcome::Superseded);
    user.has_no_room(put(memo_key(1), text(1_001)).at(30));
}

#[test]
fn w10_the_edits_of_one_write_count_together_and_so_does_what_they_replace() {
    let both = 2 * size(1_000);
    let quota = both + ROW_BYTES;
    let mut user = User::with(quota);
    let outcomes = user.write_all(&[
        put(memo_key(1), text(1_000)).at(10),
        put(memo_key(1), text(1_000)).at(20),
        put(memo_key(2), text(1_000)).at(10),
    ]);
    let refused = Outcome::Refused(Refusal::NoRoom { used: both, quota });
    assert_eq!(outcomes, [Outcome::Applied, Outcome::Applied, refused]);
    assert_eq!(user.model.bytes(), both);
}

#[test]
fn w10_edits_of_one_write_that_lose_count_together() {
    let mut user = User::with(3 * size(1_000));
    user.applies(put(memo_key(1), text(1_000)).at(10));
    let losing = [5, 6, 7].map(|time| put(memo_key(1), text(1_000)).at(time));
    let quota = user.quota;
    let refused = Outcome::Refused(Refusal::NoRoom { used: quota, quota });
    assert_eq!(
        user.write_all(&losing),
        [Outcome::Superseded, Outcome::Superseded, refused]
    );
    assert_eq!(user.model.bytes(), quota);
}

#[test]
fn w10_resources_are_moved_until_twice_as_much_is_used() {
    let mut user = User::with(u64::MAX);
    user.applies(put(memo_key(1), text(1_001)));
    user.applies(put(resource_key(1), resource("a.png")));
    let moves = patch_memo(1, &"x".repeat(1_001)).attaching(&[1]);
    user.quota = user.model.bytes() / 2 - 1;
    user.has_no_room(moves.clone());
    user.quota += 1;
    assert_eq!(user.model.bytes(), 2 * user.quota, "to the byte");
    assert_eq!(user.write(moves), Outcome::Unchanged);
    assert_eq!(
        user.model.record(resource_key(1)).unwrap().parent(),
        Some(memo_id(1))
    );
}

#[test]
fn w10_deletes_and_edits_that_make_nothing_larger_work_at_the_end() {
    let mut user = User::with(2 * size(1_000));
    user.applies(put(memo_key(1), text(1_000)));
    user.applies(put(resource_key(1), resource_of(memo_id(1), "a.png")));
    user.applies(put(memo_key(2), text(100)));
    user.has_no_room(put(memo_key(3), text(1_000)));
    user.applies(patch_memo(1, "short"));
    user.applies(patch_memo(1, "shor"));
    user.has_no_room(patch_memo(1, &"longer".repeat(200)));
    user.applies(delete(memo_key(1)));
    user.applies(delete(memo_key(2)));
    user.has_no_room(put(memo_key(1), text(1_000)).at(NOW * 2));
}

#[test]
fn w10_edits_that_make_nothing_larger_come_to_an_end_too() {
    let mut user = User::with(2 * size(1_000));
    user.applies(put(memo_key(1), text(1_000)));
    let mut length = 1_000;
    while user.write(patch_memo(1, &"x".repeat(length - 1))) == Outcome::Applied {
        length -= 1;
        assert!(
            length > 900,
            "whoever goes on making it a little smaller fills the disk"
        );
    }
    assert!(user.model.bytes() <= 2 * user.quota);
    user.applies(delete(memo_key(1)));
}
