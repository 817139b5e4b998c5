//! What an edit leaves out is as it is stored (W7), however it comes: over what lives, over tombstones, and again (W3).

use mosaic_domain::entity::{Diary, DiaryPatch, MemoPatch, Missing, MoodScore, Resource, ResourcePatch};
use mosaic_domain::write::{Outcome, RecordEdit, Refusal};
use mosaic_domain::{Content, Patch};
use mosaic_testkit::{
    EditExt, create, delete, diary, diary_key, fill, filled, hash, memo, memo_id, memo_key, patch,
    patch_memo, put, resource, resource_key, resource_of, tagged,
};

use crate::support::world::{NOW, World, refused};

/// A create that leaves the text of a memo out.
fn only_tags(n: u64, tag: &str) -> RecordEdit {
    let tags = Some(tagged("", &[tag]).tags);
    let changes = MemoPatch {
        tags,
        ..MemoPatch::default()
    };
    create(memo_key(n), Patch::Memo(changes))
}

#[test]
fn w7_a_create_over_what_is_stored_is_a_partial_edit() {
    let mut world = World::default();
    let missing = || refused(Refusal::Incomplete(Missing(vec!["content"])));
    assert_eq!(world.outcome(only_tags(1, "a").at(100)), missing());
    assert_eq!(world.outcome(only_tags(1, "a")), missing());
    world.apply(put(memo_key(1), memo("x")).at(100).created(50));
    world.apply(only_tags(1, "a").at(200));
    let stored = Some(Content::Memo(tagged("x", &["a"])));
    assert_eq!(world.record(memo_key(1)).live_content().cloned(), stored);
    assert_eq!(world.record(memo_key(1)).created_at.get(), 50);
    assert_eq!(world.outcome(only_tags(1, "b")), Outcome::Unchanged, "W3");
    // Newer than a delete it brings the record back, with what is still there of it.
    world.apply(delete(memo_key(1)).at(300));
    let deleted_at = world.record(memo_key(1)).version.time;
    assert_eq!(
        world.outcome(only_tags(1, "a")),
        refused(Refusal::Deleted(deleted_at))
    );
    world.apply(only_tags(1, "b").at(400));
    let back = Some(Content::Memo(tagged("x", &["b"])));
    assert_eq!(world.record(memo_key(1)).live_content().cloned(), back);
    // Of what is erased nothing is left: the record is a new one.
    world.apply(delete(memo_key(1)).at(500));
    world.0.purge();
    assert_eq!(world.outcome(only_tags(1, "c").at(600)), missing());
    world.apply(put(memo_key(1), memo("anew")).at(600));
}

#[test]
fn w3_w7_a_partial_edit_that_lost_is_kept_once_whatever_is_stored_by_then() {
    let mut world = World::default();
    world.apply(put(memo_key(1), memo("one")).at(300));
    let late = only_tags(1, "late").at(200);
    assert_eq!(world.outcome(late.clone()), Outcome::Superseded);
    world.apply(patch_memo(1, "two").at(400));
    world.apply(only_tags(1, "b").at(500));
    let before = world.0.clone();
    assert_eq!(world.outcome(late), Outcome::Superseded);
    assert_eq!(world.0, before);
    let kept = before
        .revisions()
        .iter()
        .find(|kept| kept.version.time.get() == 200);
    assert_eq!(
        kept.map(|kept| &kept.content),
        Some(&Content::Memo(tagged("one", &["late"])))
    );
}

/// Completed anew it would be greater than what won against it.
#[test]
fn w3_w7_a_partial_edit_that_lost_to_its_own_version_does_not_win_when_it_comes_again() {
    let mut world = World::default();
    world.apply(put(memo_key(1), memo("a")).at(50));
    let archived = MemoPatch {
        is_archived: Some(true),
        ..MemoPatch::default()
    };
    let first = create(memo_key(1), Patch::Memo(archived)).at(100);
    world.apply(first.clone());
    world.apply(put(memo_key(1), memo("b")).at(100));
    let before = world.0.clone();
    assert_eq!(world.outcome(first), Outcome::Superseded);
    assert_eq!(world.0, before);
}

/// The memo that it named was deleted meanwhile: it would be completed to a detached one.
#[test]
fn w3_w9_a_resource_that_lost_is_kept_once_though_its_memo_is_gone() {
    let mut world = World::default();
    world.apply(put(memo_key(1), memo("x")).at(10));
    world.apply(put(resource_key(1), resource("new.png")).at(300));
    let late = put(resource_key(1), resource_of(memo_id(1), "old.png")).at(200);
    assert_eq!(world.outcome(late.clone()), Outcome::Superseded);
    world.apply(delete(memo_key(1)).at(400));
    let before = world.0.clone();
    assert_eq!(world.outcome(late), Outcome::Superseded);
    assert_eq!(world.0, before);
}

/// The memo that it names was deleted before: it is kept detached, and names the memo still when it comes again.
#[test]
fn w3_w9_a_partial_edit_that_was_detached_when_it_lost_is_kept_once() {
    let mut world = World::default();
    world.apply(put(memo_key(1), memo("x")).at(10));
    world.apply(delete(memo_key(1)).at(20));
    world.apply(put(resource_key(1), resource("new.png")).at(300));
    let moves = ResourcePatch {
        memo_id: Some(Some(memo_id(1))),
        ..ResourcePatch::default()
    };
    let late = create(resource_key(1), Patch::Resource(moves)).at(200);
    assert_eq!(world.outcome(late.clone()), Outcome::Superseded);
    world.apply(put(resource_key(1), resource("newer.png")).at(400));
    let before = world.0.clone();
    assert_eq!(world.outcome(late), Outcome::Superseded);
    assert_eq!(world.0, before);
}

#[test]
fn w5_a_deleted_day_that_is_written_without_a_time_begins_anew() {
    let mut world = World::default();
    let key = diary_key("2026-05-16");
    let before = Diary {
        mood_score: MoodScore::new(9).unwrap(),
        ..diary("before")
    };
    world.apply(put(key, before).at(100).created(50));
    world.apply(delete(key).at(200));
    let changes = DiaryPatch {
        summary: Some(diary("anew").summary),
        ..DiaryPatch::default()
    };
    world.apply(patch(key, Patch::Diary(changes)));
    let anew = Diary {
        summary: diary("anew").summary,
        ..Diary::default()
    };
    assert_eq!(world.record(key).live_content(), Some(&Content::Diary(anew)));
    assert_eq!(world.record(key).created_at.get(), NOW);
}

#[test]
fn w5_bytes_bring_a_deleted_record_back_with_what_they_do_not_name() {
    let mut world = World::default();
    world.apply(put(memo_key(1), memo("x")));
    let kept = Resource {
        metadata: serde_json::from_str(r#"{"width":7}"#).unwrap(),
        sort_order: 4,
        ..resource_of(memo_id(1), "a.png")
    };
    world.apply(put(resource_key(1), kept.clone()).at(100));
    world.apply(delete(resource_key(1)).at(200));
    world.apply(fill(resource_key(1), filled("b.png", 2)).at(300));
    let back = Resource {
        filename: resource("b.png").filename,
        sha256: Some(hash(2)),
        ..kept
    };
    assert_eq!(world.resource(1), &back);
}
