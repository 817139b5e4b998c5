//! Bytes that come for a resource.

use super::*;

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
        let deleted_at = world.record(resource_key(n)).version.time;
        assert_eq!(world.outcome(late), refused(Refusal::Deleted(deleted_at)));
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
    world.0.purge();
    assert_eq!(world.record(resource_key(1)).state, State::Deleted(None));
    assert_eq!(
        world.outcome(fill(resource_key(1), filled("b.png", 2)).at(150)),
        Outcome::Superseded
    );
    world.apply(fill(resource_key(1), filled("b.png", 2)).at(300).created(250));
    assert_eq!(world.resource(1), &filled("b.png", 2));
    assert_eq!(world.record(resource_key(1)).created_at.get(), 250);
}
