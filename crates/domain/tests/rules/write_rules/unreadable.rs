//! Edits of records that can't be read: P8.

use mosaic_domain::EntityType;
use mosaic_testkit::{create, every_field};

use super::*;

/// A memo of which nothing can be read.
fn damaged() -> World {
    let content = EntityType::Memo.stored_content(b"{", || (None, None));
    let mut world = World::default();
    world.apply(overwrite(memo_key(1), content, UnixMillis::ZERO).at(200));
    world
}

#[test]
fn p8_who_makes_records_makes_it_anew_whatever_the_edit_time() {
    let whole = put(memo_key(1), memo("x"));
    let created = create(memo_key(1), every_field(memo("x").into_content()));
    for edit in [whole, created] {
        for edit in [
            edit.clone(),
            edit.clone().at(100),
            edit.clone().at(200),
            edit.at(300),
        ] {
            let mut world = damaged();
            world.apply(edit);
            assert_eq!(world.text(memo_key(1)), Some("x"));
            assert_eq!(world.kept(memo_key(1)), [(RevisionReason::Overwritten, 200)]);
        }
    }
}

#[test]
fn p8_any_other_edit_has_nothing_to_be_completed_from_and_a_delete_needs_nothing() {
    let mut world = damaged();
    let edit = patch_memo(1, "x");
    for edit in [edit.clone(), edit.clone().at(100), edit.at(300)] {
        assert_eq!(world.outcome(edit), refused(Refusal::Unreadable));
    }
    world.apply(delete(memo_key(1)));
    assert!(world.record(memo_key(1)).is_deleted());
    assert_eq!(world.kept(memo_key(1)), [(RevisionReason::Deleted, 200)]);
}
