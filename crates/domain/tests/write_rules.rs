//! What a write does, rule by rule: W1 to W5, W7, W9, H1, S4, and the bytes of attachments. (W6 stands in `src/skew.rs`.)
#![expect(clippy::unwrap_used, reason = "a test that can't go on has to say so at once")]

#[path = "support/world.rs"]
mod world;

use mosaic_domain::entity::{DiaryPatch, FileSize, MemoPatch, Resource, ResourcePatch};
use mosaic_domain::write::{Action, CHILDREN_MAX, Outcome, RecordEdit, Refusal};
use mosaic_domain::{Content, Entity as _, Patch, RevisionReason, Stamp, State, UnixMillis};
use mosaic_testkit::{
    EditExt, Model, bot, bot_key, delete, diary, diary_key, fill, filled, hash, memo, memo_id, memo_key,
    overwrite, patch, patch_memo, put, resource, resource_id, resource_key, resource_of, tagged,
};
use world::{NOW, World, refused};

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
    assert_eq!(
        world.outcome(put(memo_key(1), memo("mine"))),
        refused(Refusal::Deleted)
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
        action: Action::Delete { buries_unknown: true },
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
    assert_eq!(
        world.outcome(patch_memo(1, "x").at(300)),
        refused(Refusal::ContentGone)
    );
    assert_eq!(world.outcome(patch_memo(1, "x")), refused(Refusal::NotFound));
}

#[test]
fn w5_a_partial_edit_without_a_time_does_not_see_a_tombstone() {
    let mut world = World::default();
    world.apply(put(memo_key(1), memo("x")));
    world.apply(delete(memo_key(1)));
    assert_eq!(world.outcome(patch_memo(1, "y")), refused(Refusal::NotFound));
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
fn w9_deleting_a_memo_deletes_its_resources_with_the_same_version_each_with_its_own_stamp() {
    let mut world = World::default();
    world.apply(put(memo_key(1), memo("x")).at(100));
    world.apply(put(resource_key(1), resource_of(memo_id(1), "a.png")).at(150));
    world.apply(
        put(resource_key(2), resource_of(memo_id(1), "b.png"))
            .at(200)
            .by("phone"),
    );
    world.apply(put(resource_key(3), resource("free.png")).at(150));
    let plan = world.write(&[delete(memo_key(1)).at(200)]);
    let keys: Vec<_> = plan.records.iter().map(|record| record.key).collect();
    assert_eq!(keys, [memo_key(1), resource_key(1), resource_key(2)]);
    assert!(
        plan.records
            .iter()
            .all(|record| record.is_deleted() && record.version == plan.records[0].version)
    );
    assert!(plan.records.is_sorted_by(|a, b| a.stamp < b.stamp));
    assert_eq!(world.text(resource_key(3)), Some("free.png"));
    assert_eq!(world.kept(resource_key(1)), [(RevisionReason::Deleted, 150)]);
}

#[test]
fn w9_a_resource_edited_later_than_the_delete_stays_detached() {
    let mut world = World::default();
    world.apply(put(memo_key(1), memo("x")).at(100));
    world.apply(put(resource_key(1), resource_of(memo_id(1), "a.png")).at(300));
    world.apply(delete(memo_key(1)).at(200));
    let stays = world.record(resource_key(1));
    assert_eq!(
        (stays.is_deleted(), stays.parent(), stays.version.time.get()),
        (false, None, 300)
    );
    assert!(stays.stamp > world.record(memo_key(1)).stamp);
    assert_eq!(world.kept(resource_key(1)), [(RevisionReason::Overwritten, 300)]);
}

#[test]
fn w9_a_resource_of_a_deleted_memo_is_stored_detached_and_of_an_unknown_one_refused() {
    let mut world = World::default();
    world.apply(delete(memo_key(1)).at(200));
    world.apply(put(resource_key(1), resource_of(memo_id(1), "a.png")).at(300));
    assert_eq!(world.record(resource_key(1)).parent(), None);
    let unknown = put(resource_key(2), resource_of(memo_id(9), "b.png"));
    assert_eq!(world.outcome(unknown), refused(Refusal::UnknownMemo(memo_id(9))));
    assert!(world.0.record(resource_key(2)).is_none());
}

/// A memo whose resources are all that it may have.
fn full_memo() -> World {
    let mut world = World::default();
    let child = |n| put(resource_key(n), resource_of(memo_id(1), "a.png")).at(100);
    let edits: Vec<_> = (1..=u64::from(CHILDREN_MAX)).map(child).collect();
    world.apply(put(memo_key(1), memo("full")).at(100));
    assert_eq!(world.write(&edits).results.len(), edits.len());
    world
}

/// An edit that gives a resource to a memo.
fn moved_to(n: u64, memo: u64) -> RecordEdit {
    let fields = ResourcePatch {
        filename: Some(resource("moved.png").filename),
        memo_id: Some(Some(memo_id(memo))),
        ..ResourcePatch::default()
    };
    patch(resource_key(n), Patch::Resource(fields))
}

#[test]
fn w9_a_memo_has_a_thousand_resources_at_most() {
    let mut world = full_memo();
    let one_more = || moved_to(1_001, 1);
    let full = || refused(Refusal::MemoFull(memo_id(1)));
    world.apply(put(resource_key(1_001), resource("b.png")).at(100));
    assert_eq!(world.outcome(one_more().at(200)), full());
    // One that it has already is edited as ever.
    world.apply(moved_to(1, 1).at(200));
    // One that leaves it makes room, in the same write too.
    let plan = world.write(&[
        delete(resource_key(2)).at(200),
        one_more().at(200),
        moved_to(2, 1).at(300),
    ]);
    let outcomes: Vec<_> = plan.results.into_iter().map(|result| result.outcome).collect();
    assert_eq!(
        outcomes,
        [Outcome::Applied, Outcome::Applied, full()],
        "nor does one come back from the dead"
    );
}

#[test]
fn w9_what_is_restored_or_imported_for_a_memo_that_is_full_is_stored_detached() {
    let mut world = full_memo();
    let whole = |n| {
        let content = resource_of(memo_id(1), "b.png").into_content();
        overwrite(resource_key(n), content, UnixMillis::clamped(1)).at(200)
    };
    world.apply(whole(1_001));
    assert_eq!(world.record(resource_key(1_001)).parent(), None);
    world.apply(whole(1));
    assert_eq!(world.record(resource_key(1)).parent(), Some(memo_id(1)));
}

#[test]
fn w9_a_memo_and_its_resources_can_come_in_one_write() {
    let mut world = World::default();
    let plan = world.write(&[
        put(memo_key(1), memo("x")).at(100),
        put(resource_key(1), resource_of(memo_id(1), "a.png")).at(100),
    ]);
    assert!(
        plan.results
            .iter()
            .all(|result| result.outcome == Outcome::Applied)
    );
    assert_eq!(world.record(resource_key(1)).parent(), Some(memo_id(1)));
}

#[test]
fn w9_a_resource_brought_back_lets_its_deleted_memo_go() {
    let mut world = World::default();
    world.apply(put(memo_key(1), memo("x")).at(100));
    world.apply(put(resource_key(1), resource_of(memo_id(1), "a.png")).at(100));
    world.apply(delete(memo_key(1)).at(200));
    let rename = ResourcePatch {
        filename: Some(resource("b.png").filename),
        ..ResourcePatch::default()
    };
    world.apply(patch(resource_key(1), Patch::Resource(rename)).at(300));
    assert_eq!(
        (
            world.text(resource_key(1)),
            world.record(resource_key(1)).parent()
        ),
        (Some("b.png"), None)
    );
}

#[test]
fn w9_a_memo_takes_the_resources_it_names_in_order_and_lets_the_others_go() {
    let mut world = World::default();
    world.apply(put(memo_key(1), memo("x")));
    for n in 1..=3 {
        world.apply(put(resource_key(n), resource("a.png")));
    }
    world.apply(patch_memo(1, "y").attaching(&[3, 1]));
    assert_eq!(
        (world.place(resource_key(3)), world.place(resource_key(1))),
        (0, 1)
    );
    assert_eq!(world.record(resource_key(2)).parent(), None);
    world.write(&[patch_memo(1, "y").attaching(&[1])]);
    assert_eq!(world.record(resource_key(1)).parent(), Some(memo_id(1)));
    assert_eq!(world.record(resource_key(3)).parent(), None);
    let missing = Refusal::UnknownResource {
        index: 1,
        id: resource_id(9),
    };
    assert_eq!(
        world.outcome(patch_memo(1, "z").attaching(&[1, 9])),
        refused(missing)
    );
    assert_eq!(world.text(memo_key(1)), Some("y"));
}

#[test]
fn w9_each_resource_that_moves_is_an_edit_of_its_own_later_than_what_is_stored() {
    let mut world = World::default();
    world.apply(put(memo_key(1), memo("x")).at(100));
    world.apply(put(resource_key(1), resource("a.png")).at(500));
    world.apply(put(resource_key(2), resource("b.png")).at(150));
    world.apply(patch_memo(1, "y").attaching(&[1, 2]).at(200).by("tablet"));
    let times = [1, 2].map(|n| world.time(resource_key(n)));
    assert_eq!(times, [501, 200]);
    for n in 1..=2 {
        let moved = world.record(resource_key(n));
        assert_eq!(moved.version.author.as_str(), "tablet");
        assert_eq!(moved.parent(), Some(memo_id(1)));
    }
}

#[test]
fn w9_an_edit_of_a_memo_that_is_a_replay_or_loses_moves_nothing() {
    let mut world = World::default();
    for n in 1..=3 {
        world.apply(put(resource_key(n), resource("a.png")).at(10));
    }
    let create = put(memo_key(1), memo("x")).attaching(&[1]);
    world.apply(create.clone());
    let latest = patch_memo(1, "y").attaching(&[2]).at(2 * NOW);
    world.apply(latest.clone());
    // Somebody moved one since.
    world.apply(put(resource_key(3), resource_of(memo_id(1), "a.png")).at(3 * NOW));
    let parents = |world: &World| [1, 2, 3].map(|n| world.record(resource_key(n)).parent());
    let before = [None, Some(memo_id(1)), Some(memo_id(1))];
    let late = patch_memo(1, "late").attaching(&[1]).at(NOW + 1);
    for (edit, outcome) in [
        (create, Outcome::Unchanged),
        (latest, Outcome::Unchanged),
        (late.clone(), Outcome::Superseded),
        (late, Outcome::Superseded),
    ] {
        assert_eq!(world.outcome(edit), outcome);
        assert_eq!(parents(&world), before);
    }
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
    world.apply(put(bot_key(1), bot("a")).unplaced());
    world.apply(put(bot_key(2), bot("b")).unplaced());
    let far = mosaic_domain::entity::Bot {
        sort_order: 7,
        ..bot("c")
    };
    world.write(&[put(bot_key(3), far), put(bot_key(4), bot("d")).unplaced()]);
    assert_eq!([1, 2, 4].map(|n| world.place(bot_key(n))), [0, 1, 8]);
    world.apply(put(bot_key(2), bot("renamed")).unplaced().at(NOW + 1));
    assert_eq!(world.place(bot_key(2)), 1);
}

#[test]
fn places_are_counted_per_memo() {
    let mut world = World::default();
    world.apply(put(memo_key(1), memo("x")));
    world.apply(put(resource_key(1), resource_of(memo_id(1), "a")).unplaced());
    world.apply(put(resource_key(2), resource_of(memo_id(1), "b")).unplaced());
    world.apply(put(resource_key(3), resource("free")).unplaced());
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

/// A picture with bytes that belongs to a memo.
fn filled_of(memo: u64, n: u64) -> Resource {
    Resource {
        memo_id: Some(memo_id(memo)),
        ..filled("a.png", n)
    }
}

#[test]
fn bytes_of_a_new_resource_come_with_its_record_which_is_placed_last() {
    let mut world = World::default();
    world.apply(put(memo_key(1), memo("x")));
    world.apply(fill(resource_key(1), filled_of(1, 1)).at(100).created(50));
    world.apply(fill(resource_key(2), filled_of(1, 2)));
    world.apply(fill(resource_key(3), filled("free.png", 3)));
    assert_eq!([1, 2, 3].map(|n| world.place(resource_key(n))), [0, 1, 0]);
    assert_eq!([1, 2, 3].map(|n| world.time(resource_key(n))), [100, NOW, NOW]);
    assert_eq!(
        [1, 2, 3].map(|n| world.resource(n).sha256),
        [1, 2, 3].map(|n| Some(hash(n)))
    );
    assert_eq!(world.resource(1), &filled_of(1, 1));
    assert_eq!(world.record(resource_key(1)).created_at.get(), 50);
    assert!(world.0.revisions().is_empty());
}

#[test]
fn w9_bytes_for_a_deleted_memo_are_stored_detached_and_for_an_unknown_one_refused() {
    let mut world = World::default();
    world.apply(put(memo_key(1), memo("x")));
    world.apply(delete(memo_key(1)));
    world.apply(put(resource_key(1), resource("free.png")));
    world.apply(fill(resource_key(2), filled_of(1, 2)));
    assert_eq!(world.resource(2).memo_id, None);
    assert_eq!(world.place(resource_key(2)), 1);
    let unknown = || refused(Refusal::UnknownMemo(memo_id(9)));
    assert_eq!(world.outcome(fill(resource_key(3), filled_of(9, 3))), unknown());
    assert!(world.0.record(resource_key(3)).is_none());
    // Nor does a record that is there get bytes together with a memo that is not.
    let moving = |to| fill(resource_key(1), filled_of(to, 1));
    let before = world.0.clone();
    assert_eq!(world.outcome(moving(9)), unknown());
    assert_eq!(world.0, before);
    world.apply(moving(1));
    assert_eq!(
        (world.resource(1).memo_id, world.resource(1).sha256),
        (None, Some(hash(1)))
    );
}

#[test]
fn w3_the_same_bytes_again_are_unchanged_and_draw_nothing() {
    let mut world = World::default();
    let edit = fill(resource_key(1), filled("a.png", 1)).at(100);
    world.apply(edit.clone());
    let rename = ResourcePatch {
        filename: Some(resource("b.png").filename),
        ..ResourcePatch::default()
    };
    world.apply(patch(resource_key(1), Patch::Resource(rename)));
    let before = world.0.clone();
    for again in [
        edit.clone(),
        edit.clone().at(NOW + 500),
        edit.by("tablet"),
        fill(resource_key(1), filled("c.png", 1)),
    ] {
        let plan = world.write(&[again]);
        assert_eq!(plan.results[0].outcome, Outcome::Unchanged);
        assert_eq!(plan.results[0].current.as_ref(), before.record(resource_key(1)));
        assert!(plan.is_empty());
    }
    assert_eq!(world.0, before);
}

#[test]
fn bytes_that_a_record_has_are_never_replaced() {
    let mut world = World::default();
    world.apply(fill(resource_key(1), filled("a.png", 1)).at(100));
    let before = world.0.clone();
    for other in [
        fill(resource_key(1), filled("a.png", 2)),
        fill(resource_key(1), filled("a.png", 2)).at(50),
        fill(resource_key(1), filled("a.png", 2)).at(NOW + 500),
    ] {
        let plan = world.write(&[other]);
        assert_eq!(plan.results[0].outcome, refused(Refusal::OtherContent));
        assert!(plan.is_empty());
    }
    assert_eq!(world.0, before);
}

#[test]
fn w1_a_record_without_bytes_gets_them_later_than_whatever_is_stored() {
    let times = [
        // Without a time, now or right after what is stored.
        (NOW - 5, None, NOW),
        (NOW + 500, None, NOW + 501),
        // With one, that one if it is later, and right after what is stored if not: bytes are no contest.
        (100, Some(200), 200),
        (100, Some(101), 101),
        (100, Some(100), 101),
        (100, Some(50), 101),
    ];
    for (stored, filled_at, expected) in times {
        let mut world = World::default();
        world.apply(put(memo_key(1), memo("x")));
        let metadata = serde_json::from_str(r#"{"width":7}"#).unwrap();
        let without = Resource {
            metadata,
            sort_order: 4,
            ..resource_of(memo_id(1), "typed.png")
        };
        world.apply(put(resource_key(1), without.clone()).at(stored).created(50));
        let bytes = Resource {
            file_size: FileSize::clamped(7),
            ..filled("sent.png", 1)
        };
        let mut edit = fill(resource_key(1), bytes).by("a").created(70);
        if let Some(time) = filled_at {
            edit = edit.at(time);
        }
        world.apply(edit.clone());
        assert_eq!(world.time(resource_key(1)), expected, "{stored}, {filled_at:?}");
        let with = Resource {
            sha256: Some(hash(1)),
            file_size: FileSize::clamped(7),
            ..without.clone()
        };
        assert_eq!(world.resource(1), &with, "what it does not name stays");
        assert_eq!(world.record(resource_key(1)).created_at.get(), 50);
        assert_eq!(world.record(resource_key(1)).version.author.as_str(), "a");
        assert_eq!(
            world.kept(resource_key(1)),
            [(RevisionReason::Overwritten, stored)]
        );
        assert_eq!(world.0.revisions()[0].content, Content::Resource(without));
        let before = world.0.clone();
        assert_eq!(world.outcome(edit), Outcome::Unchanged);
        assert_eq!(world.0, before);
    }
}

#[test]
fn bytes_without_a_time_do_not_bring_back_what_is_deleted() {
    let mut world = World::default();
    world.apply(put(resource_key(1), resource("a.png")).at(100));
    world.apply(delete(resource_key(1)).at(200));
    world.apply(fill(resource_key(2), filled("b.png", 2)).at(100));
    world.apply(delete(resource_key(2)).at(200));
    world.apply(delete(resource_key(3)).at(200));
    let before = world.0.clone();
    for n in 1..=3 {
        let late = fill(resource_key(n), filled("b.png", 2));
        assert_eq!(world.outcome(late), refused(Refusal::Deleted));
    }
    assert_eq!(world.0, before);
}

#[test]
fn w2_bytes_with_a_time_win_or_lose_against_a_delete() {
    let mut world = World::default();
    world.apply(put(resource_key(1), resource("a.png")).at(100));
    world.apply(delete(resource_key(1)).at(200));
    let late = fill(resource_key(1), filled("late.png", 1)).at(150);
    for _ in 0..2 {
        assert_eq!(world.outcome(late.clone()), Outcome::Superseded);
        assert!(world.record(resource_key(1)).is_deleted());
        // Kept once: what was uploaded is not lost (H1), and its bytes are named.
        assert_eq!(
            world.kept(resource_key(1)),
            [(RevisionReason::Deleted, 100), (RevisionReason::Superseded, 150)]
        );
    }
    assert_eq!(world.0.revisions()[1].content.facets().attachment, Some(hash(1)));
    world.apply(fill(resource_key(1), filled("new.png", 2)).at(300));
    assert_eq!(world.resource(1), &filled("new.png", 2));
    assert_eq!(world.time(resource_key(1)), 300);
}

#[test]
fn w5_bytes_bring_back_a_record_that_is_erased() {
    let mut world = World::default();
    world.apply(fill(resource_key(1), filled("a.png", 1)).at(100));
    world.apply(delete(resource_key(1)).at(200));
    world.0.purge(UnixMillis::clamped(NOW + 100), 100);
    assert_eq!(world.record(resource_key(1)).state, State::Deleted(None));
    assert_eq!(
        world.outcome(fill(resource_key(1), filled("b.png", 2)).at(150)),
        Outcome::Superseded
    );
    world.apply(fill(resource_key(1), filled("b.png", 2)).at(300).created(250));
    assert_eq!(world.resource(1), &filled("b.png", 2));
    assert_eq!(world.record(resource_key(1)).created_at.get(), 250);
}
