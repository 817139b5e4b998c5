//! Resources and their memos: W9.

use super::*;

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
fn b3_what_changes_with_a_memo_and_is_not_named_is_not_told() {
    let mut world = World::default();
    let child = put(resource_key(1), resource_of(memo_id(1), "a.png")).at(100);
    let made = world.write(&[put(memo_key(1), memo("x")).at(100), child]);
    assert!(made.tells_everything());
    let gone = delete(memo_key(1)).at(200);
    let unnamed = world.clone().write(std::slice::from_ref(&gone));
    assert!(!unnamed.tells_everything());
    let named = world
        .clone()
        .write(&[gone.clone(), delete(resource_key(1)).at(200)]);
    assert!(named.tells_everything());
    // Of what is refused nothing is told, whatever it would have been.
    let refused = put(resource_key(1), resource_of(memo_id(9), "b.png"));
    assert!(!world.write(&[gone, refused]).tells_everything());
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

/// What loses gives the memo nothing, so it is told the winner, and kept, though the memo is full (W4).
#[test]
fn w4_w9_an_edit_that_loses_is_kept_though_its_memo_is_full() {
    let mut world = full_memo();
    world.apply(delete(resource_key(1)).at(300));
    world.apply(put(resource_key(1_001), resource_of(memo_id(1), "b.png")).at(300));
    assert_eq!(world.outcome(moved_to(1, 1).at(200)), Outcome::Superseded);
    assert_eq!(world.outcome(moved_to(1, 1).at(200)), Outcome::Superseded);
    assert_eq!(
        world.kept(resource_key(1)),
        [(RevisionReason::Deleted, 100), (RevisionReason::Superseded, 200)]
    );
    assert_eq!(
        world.outcome(moved_to(1, 1).at(400)),
        refused(Refusal::MemoFull(memo_id(1)))
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
