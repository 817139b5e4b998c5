//! What a write does, rule by rule: W1 to W5, W7, W9, H1, S4, and the bytes of attachments. (W6 stands in `src/skew.rs`.)

mod bytes;
mod resources;
mod scopes;
mod unreadable;

use mosaic_domain::entity::{DiaryPatch, FileSize, MemoPatch, Resource, ResourcePatch};
use mosaic_domain::write::{Action, CHILDREN_MAX, Outcome, RecordEdit, Refusal};
use mosaic_domain::{Content, Entity as _, Patch, RevisionReason, Stamp, State, UnixMillis};
use mosaic_testkit::{
    EditExt, Model, bot, bot_key, delete, diary, diary_key, fill, filled, hash, memo, memo_id, memo_key,
    overwrite, patch, patch_memo, put, resource, resource_id, resource_key, resource_of, tagged,
};

use crate::support::world::{NOW, World, refused};

#[test]
fn w1_without_an_edit_time_an_edit_is_later_than_whatever_is_stored() {
    let mut world = World::default();
    world.apply(put(memo_key(1), memo("ahead")).at(NOW + 500));
    world.apply(patch_memo(1, "now"));
    assert_eq!(world.time(memo_key(1)), NOW + 501);
    assert_eq!(world.text(memo_key(1)), Some("now"));
    world.apply(put(memo_key(2), memo("behind")).at(5));
    world.apply(patch_memo(2, "now"));
    assert_eq!(world.time(memo_key(2)), NOW);
    world.apply(put(memo_key(3), memo("gone")).at(NOW + 500));
    world.apply(delete(memo_key(3)));
    assert_eq!(world.time(memo_key(3)), NOW + 501);
}

#[test]
fn w2_the_newer_edit_wins_whenever_it_arrives() {
    let mut world = World::default();
    world.apply(put(memo_key(1), memo("monday")).at(100));
    world.apply(put(memo_key(1), memo("wednesday")).at(300));
    assert_eq!(
        world.outcome(put(memo_key(1), memo("tuesday")).at(200)),
        Outcome::Superseded
    );
    assert_eq!(world.text(memo_key(1)), Some("wednesday"));
}

#[test]
fn w2_of_equal_times_the_greater_client_id_wins() {
    let mut world = World::default();
    world.apply(put(memo_key(1), memo("m, by b")).at(100).by("b"));
    assert_eq!(
        world.outcome(put(memo_key(1), memo("z, by a")).at(100).by("a")),
        Outcome::Superseded
    );
    world.apply(put(memo_key(1), memo("a, by c")).at(100).by("c"));
}

#[test]
fn w2_of_equal_versions_a_delete_wins_over_an_update() {
    let mut world = World::default();
    world.apply(put(memo_key(1), memo("x")).at(100));
    world.apply(delete(memo_key(1)).at(100));
    assert_eq!(
        world.outcome(put(memo_key(1), memo("y")).at(100)),
        Outcome::Superseded
    );
    assert!(world.record(memo_key(1)).is_deleted());
}

#[test]
fn w3_a_replay_is_unchanged_and_draws_nothing() {
    let mut world = World::default();
    let edit = put(memo_key(1), memo("x")).at(100).created(50);
    world.apply(edit.clone());
    let before = world.0.clone();
    let plan = world.write(&[edit]);
    assert_eq!(plan.results[0].outcome, Outcome::Unchanged);
    assert!(plan.is_empty());
    assert_eq!(world.0, before);
}

#[test]
fn w3_a_replay_of_what_has_been_overwritten_since_is_not_kept_again() {
    let mut world = World::default();
    let first = put(memo_key(1), memo("first")).at(100);
    let partial = patch_memo(1, "second").at(200);
    world.apply(first.clone());
    world.apply(partial.clone());
    world.apply(put(memo_key(1), tagged("third", &["new"])).at(300));
    let kept = world.kept(memo_key(1));
    assert_eq!(world.outcome(first), Outcome::Superseded);
    assert_eq!(world.outcome(partial), Outcome::Superseded);
    assert_eq!(world.kept(memo_key(1)), kept);
}

#[test]
fn w3_a_create_without_an_edit_time_never_overwrites() {
    let mut world = World::default();
    world.apply(put(memo_key(1), memo("mine")));
    world.apply(patch_memo(1, "edited"));
    let again = world.edit(put(memo_key(1), memo("mine")));
    assert_eq!(again.outcome, Outcome::Unchanged);
    assert_eq!(again.current.as_ref(), Some(world.record(memo_key(1))));
    assert_eq!(world.text(memo_key(1)), Some("edited"));
    world.apply(delete(memo_key(1)));
    let deleted_at = world.record(memo_key(1)).version.time;
    assert_eq!(
        world.outcome(put(memo_key(1), memo("mine"))),
        refused(Refusal::Deleted(deleted_at))
    );
}

#[test]
fn w3_a_create_with_an_edit_time_is_judged_like_any_edit() {
    let mut world = World::default();
    world.apply(put(memo_key(1), memo("old")).at(100));
    world.apply(put(memo_key(1), memo("new")).at(200));
    assert_eq!(
        world.outcome(put(memo_key(1), memo("late")).at(150)),
        Outcome::Superseded
    );
}

#[test]
fn w3_a_partial_edit_that_leaves_every_field_changes_nothing_unless_it_is_newer() {
    let mut world = World::default();
    world.apply(put(memo_key(1), memo("x")).at(100));
    assert_eq!(world.outcome(patch_memo(1, "x")), Outcome::Unchanged);
    assert_eq!(world.time(memo_key(1)), 100);
    world.apply(patch_memo(1, "x").at(200));
    assert_eq!(world.time(memo_key(1)), 200);
}

#[test]
fn w4_a_losing_edit_is_kept_and_answered_with_the_winner() {
    let mut world = World::default();
    world.apply(put(memo_key(1), memo("winner")).at(200));
    let lost = world.edit(put(memo_key(1), memo("loser")).at(100).by("tablet"));
    assert_eq!(lost.outcome, Outcome::Superseded);
    assert_eq!(lost.current.as_ref(), Some(world.record(memo_key(1))));
    let kept = &world.0.revisions()[0];
    assert_eq!(
        (kept.reason, kept.version.author.as_str()),
        (RevisionReason::Superseded, "tablet")
    );
    assert_eq!(kept.content, Content::Memo(memo("loser")));
    assert_eq!(kept.recorded_at.get(), NOW);
}

#[test]
fn w4_a_losing_partial_edit_is_kept_whole() {
    let mut world = World::default();
    world.apply(put(memo_key(1), tagged("winner", &["t"])).at(200));
    world.edit(patch_memo(1, "loser").at(100));
    assert_eq!(
        world.0.revisions()[0].content,
        Content::Memo(tagged("loser", &["t"]))
    );
}

#[test]
fn w5_deleting_a_deleted_record_is_fine_and_a_newer_time_becomes_its_version() {
    let mut world = World::default();
    world.apply(put(memo_key(1), memo("x")).at(100));
    world.apply(delete(memo_key(1)).at(200));
    assert_eq!(world.outcome(delete(memo_key(1))), Outcome::Unchanged);
    assert_eq!(world.outcome(delete(memo_key(1)).at(200)), Outcome::Unchanged);
    assert_eq!(world.time(memo_key(1)), 200);
    world.apply(delete(memo_key(1)).at(300));
    assert_eq!(world.time(memo_key(1)), 300);
    assert_eq!(world.outcome(delete(memo_key(1)).at(200)), Outcome::Unchanged);
    assert_eq!(world.time(memo_key(1)), 300);
}

#[test]
fn w5_a_delete_that_is_older_than_what_lives_loses() {
    let mut world = World::default();
    world.apply(put(memo_key(1), memo("x")).at(200));
    assert_eq!(world.outcome(delete(memo_key(1)).at(100)), Outcome::Superseded);
    assert_eq!(world.text(memo_key(1)), Some("x"));
}

#[test]
fn w5_deleting_an_unknown_record_leaves_a_tombstone_only_with_a_time() {
    let mut world = World::default();
    assert_eq!(world.outcome(delete(memo_key(1))), refused(Refusal::NotFound));
    assert!(world.0.record(memo_key(1)).is_none());
    world.apply(delete(memo_key(1)).at(200));
    assert_eq!(
        world.outcome(put(memo_key(1), memo("late")).at(100)),
        Outcome::Superseded
    );
    assert!(world.record(memo_key(1)).is_deleted());
}

#[test]
fn w5_in_a_bulk_push_deleting_an_unknown_record_leaves_a_tombstone_without_a_time_too() {
    let mut world = World::default();
    let bury = RecordEdit {
        action: Action::Delete {
            tombstone_if_missing: true,
        },
        ..delete(memo_key(1))
    };
    assert_eq!(world.outcome(bury.clone()), Outcome::Applied);
    assert_eq!(world.outcome(bury), Outcome::Unchanged);
    assert_eq!(
        world.outcome(put(memo_key(1), memo("late")).at(NOW - 1)),
        Outcome::Superseded
    );
    assert!(world.record(memo_key(1)).is_deleted());
}

#[test]
fn w5_an_edit_newer_than_a_delete_brings_the_record_back() {
    let mut world = World::default();
    world.apply(put(memo_key(1), tagged("x", &["t"])).at(100));
    world.apply(delete(memo_key(1)).at(200));
    assert_eq!(
        world.outcome(patch_memo(1, "too old").at(150)),
        Outcome::Superseded
    );
    world.apply(patch_memo(1, "back").at(300));
    assert_eq!(
        world.record(memo_key(1)).live_content(),
        Some(&Content::Memo(tagged("back", &["t"])))
    );
    world.apply(delete(memo_key(1)).at(400));
    world.apply(put(memo_key(1), memo("whole")).at(500));
    assert_eq!(world.text(memo_key(1)), Some("whole"));
}

#[test]
fn w5_a_partial_edit_can_not_bring_back_what_is_erased() {
    let mut world = World::default();
    world.apply(delete(memo_key(1)).at(200));
    let deleted_at = world.record(memo_key(1)).version.time;
    assert_eq!(
        world.outcome(patch_memo(1, "x").at(300)),
        refused(Refusal::ContentGone(deleted_at))
    );
    assert_eq!(
        world.outcome(patch_memo(1, "x")),
        refused(Refusal::Gone(deleted_at))
    );
}

#[test]
fn w5_a_partial_edit_without_a_time_is_told_of_the_tombstone() {
    let mut world = World::default();
    world.apply(put(memo_key(1), memo("x")));
    world.apply(delete(memo_key(1)));
    let deleted_at = world.record(memo_key(1)).version.time;
    assert_eq!(
        world.outcome(patch_memo(1, "y")),
        refused(Refusal::Gone(deleted_at))
    );
}

#[test]
fn w7_absent_fields_stay_and_null_clears() {
    let mut world = World::default();
    let day = "2026-05-16".parse().unwrap();
    let filed = mosaic_domain::entity::Memo {
        diary_date: Some(day),
        ..tagged("x", &["t"])
    };
    world.apply(put(memo_key(1), filed));
    world.apply(patch_memo(1, "y"));
    let cleared = MemoPatch {
        diary_date: Some(None),
        ..MemoPatch::default()
    };
    let content = |world: &World| world.record(memo_key(1)).live_content().unwrap().facets();
    assert_eq!(content(&world).day, Some(day));
    world.apply(patch(memo_key(1), Patch::Memo(cleared)));
    assert_eq!(content(&world).day, None);
    assert_eq!(world.text(memo_key(1)), Some("y"));
    assert_eq!(content(&world).tags.iter().collect::<Vec<_>>(), ["t"]);
}

#[test]
fn w7_a_partial_edit_wins_or_loses_as_one_record() {
    let mut world = World::default();
    world.apply(put(memo_key(1), memo("x")).at(100));
    let tags = tagged("", &["b"]).tags;
    let only_tags = MemoPatch {
        tags: Some(tags),
        ..MemoPatch::default()
    };
    world.apply(patch_memo(1, "newer").at(300));
    let late = patch(memo_key(1), Patch::Memo(only_tags)).at(200);
    assert_eq!(world.outcome(late), Outcome::Superseded);
    assert_eq!(
        world.record(memo_key(1)).live_content(),
        Some(&Content::Memo(memo("newer")))
    );
}

#[test]
fn w7_a_partial_edit_never_creates_except_a_diary() {
    let mut world = World::default();
    assert_eq!(world.outcome(patch_memo(1, "x")), refused(Refusal::NotFound));
    assert_eq!(
        world.outcome(patch_memo(1, "x").at(5)),
        refused(Refusal::NotFound)
    );
    let day = diary_key("2026-05-16");
    let summary = DiaryPatch {
        summary: Some(diary("x").summary),
        ..DiaryPatch::default()
    };
    world.apply(patch(day, Patch::Diary(summary.clone())));
    assert_eq!(
        world.record(day).live_content(),
        Some(&Content::Diary(diary("x")))
    );
    world.apply(delete(day));
    world.apply(patch(day, Patch::Diary(summary)));
    assert_eq!(world.text(day), Some("x"));
}

#[test]
fn w7_a_put_of_a_diary_overwrites_even_without_a_time() {
    let mut world = World::default();
    let day = diary_key("2026-05-16");
    world.apply(put(day, diary("first")));
    world.apply(put(day, diary("second")));
    assert_eq!(world.text(day), Some("second"));
    assert_eq!(world.outcome(put(day, diary("second"))), Outcome::Unchanged);
    world.apply(delete(day));
    world.apply(put(day, diary("third")));
}

#[test]
fn h1_what_is_overwritten_lost_or_deleted_is_kept_with_who_when_and_why() {
    let mut world = World::default();
    world.apply(put(memo_key(1), memo("one")).at(100).created(50));
    world.apply(put(memo_key(1), memo("two")).at(300).created(50));
    world.outcome(put(memo_key(1), memo("late")).at(200).created(50));
    world.apply(delete(memo_key(1)).at(400));
    assert_eq!(
        world.kept(memo_key(1)),
        [
            (RevisionReason::Overwritten, 100),
            (RevisionReason::Superseded, 200),
            (RevisionReason::Deleted, 300),
        ]
    );
    assert!(world.0.revisions().iter().all(|kept| kept.created_at.get() == 50));
    assert_eq!(
        world.record(memo_key(1)).state,
        State::Deleted(Some(Content::Memo(memo("two"))))
    );
}

#[test]
fn h1_a_record_counts_its_versions_and_not_the_losing_edits() {
    let mut world = World::default();
    world.apply(put(memo_key(1), memo("one")).at(100));
    world.apply(put(memo_key(1), memo("two")).at(300));
    world.outcome(put(memo_key(1), memo("late")).at(200));
    assert_eq!(world.record(memo_key(1)).revision_count, 2);
    world.apply(delete(memo_key(1)).at(400));
    assert_eq!(world.record(memo_key(1)).revision_count, 3);
}

#[test]
fn s4_an_edit_that_loses_draws_no_stamp() {
    let mut world = World::default();
    world.apply(put(memo_key(1), memo("x")).at(200));
    let clock = world.0.clock();
    let plan = world.write(&[put(memo_key(1), memo("y")).at(100)]);
    assert_eq!((plan.records.len(), plan.clock), (0, clock));
    assert_eq!(plan.revisions.len(), 1);
}

#[test]
fn s1_every_record_of_a_write_has_a_stamp_of_its_own_in_the_order_of_the_edits() {
    let mut world = World::default();
    let plan = world.write(&[
        put(bot_key(1), bot("b")),
        put(memo_key(1), memo("a")),
        put(bot_key(2), bot("c")),
    ]);
    let stamps: Vec<_> = plan
        .records
        .iter()
        .map(|record| (record.key, record.stamp.get()))
        .collect();
    assert_eq!(
        stamps,
        [(bot_key(1), NOW), (memo_key(1), NOW + 1), (bot_key(2), NOW + 2)]
    );
    assert_eq!(plan.clock, Stamp::clamped(NOW + 2));
}

#[test]
fn s5_a_write_that_finds_no_stamp_left_fails_whole() {
    let mut model = Model::default();
    let last = UnixMillis::clamped(mosaic_domain::MAX_SAFE_INTEGER - 1);
    model.write(last, &[put(memo_key(1), memo("x")).at(1)]).unwrap();
    let before = model.clone();
    let two = [
        put(memo_key(2), memo("y")).at(1),
        put(memo_key(3), memo("z")).at(1),
    ];
    assert!(model.write(last, &two).is_err());
    assert_eq!(model, before);
    assert!(model.write(last, &two[..1]).is_ok());
}

#[test]
fn a_new_record_without_a_place_comes_last_and_an_old_one_keeps_its_place() {
    let mut world = World::default();
    world.apply(put(bot_key(1), bot("a")).append_to_end());
    world.apply(put(bot_key(2), bot("b")).append_to_end());
    let far = mosaic_domain::entity::Bot {
        sort_order: 7,
        ..bot("c")
    };
    world.write(&[put(bot_key(3), far), put(bot_key(4), bot("d")).append_to_end()]);
    assert_eq!([1, 2, 4].map(|n| world.place(bot_key(n))), [0, 1, 8]);
    world.apply(put(bot_key(2), bot("renamed")).append_to_end().at(NOW + 1));
    assert_eq!(world.place(bot_key(2)), 1);
}

#[test]
fn places_are_counted_per_memo() {
    let mut world = World::default();
    world.apply(put(memo_key(1), memo("x")));
    world.apply(put(resource_key(1), resource_of(memo_id(1), "a")).append_to_end());
    world.apply(put(resource_key(2), resource_of(memo_id(1), "b")).append_to_end());
    world.apply(put(resource_key(3), resource("free")).append_to_end());
    assert_eq!([1, 2, 3].map(|n| world.place(resource_key(n))), [0, 1, 0]);
}

#[test]
fn a_create_time_is_the_edit_time_unless_it_is_said() {
    let mut world = World::default();
    world.apply(put(memo_key(1), memo("x")).at(100));
    world.apply(put(memo_key(2), memo("x")).at(100).created(50));
    world.apply(patch_memo(2, "y").at(200));
    assert_eq!(world.record(memo_key(1)).created_at.get(), 100);
    assert_eq!(world.record(memo_key(2)).created_at.get(), 50);
    let moved = patch_memo(2, "y").at(300).created(60);
    assert!(matches!(
        moved.action,
        Action::Patch {
            created_at: Some(_),
            ..
        }
    ));
    world.apply(moved);
    assert_eq!(world.record(memo_key(2)).created_at.get(), 60);
}
