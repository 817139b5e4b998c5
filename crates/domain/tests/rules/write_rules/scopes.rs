//! What stores are asked to load and to carry out.

use std::collections::BTreeMap;

use mosaic_domain::entity::BotPatch;
use mosaic_domain::write::{Locked, WritePlan, WriteScope, decide};
use mosaic_domain::{FamilyId, RecordKey, SyncClock, UserId};
use mosaic_testkit::every_field;
use uuid::Uuid;

use super::*;

const USER: UserId = UserId::new(Uuid::nil());

#[test]
fn only_the_delete_of_a_memo_takes_others_with_it() {
    let edits = [
        (delete(memo_key(1)), true),
        (delete(diary_key("2026-01-01")), false),
        (delete(resource_key(1)), false),
        (put(memo_key(1), memo("x")), false),
    ];
    for (edit, expected) in edits {
        assert_eq!(edit.cascades(), expected, "{edit:?}");
    }
}

#[test]
fn a_scope_names_its_login_and_the_records_that_may_belong_to_others() {
    let keys = [memo_key(1), resource_key(1), bot_key(1)];
    let scope = WriteScope::of(USER, &keys.map(delete));
    assert_eq!(scope.login, None);
    assert_eq!(scope.child_keys().collect::<Vec<_>>(), [resource_key(1)]);
    assert!(scope.children_of.iter().eq(&[memo_key(1)]));
    let patched = WriteScope::of(USER, &[patch_memo(1, "x")]);
    assert!(patched.children_of.is_empty());
    let login = Some(FamilyId::new(Uuid::from_u128(7)));
    let by = scope.clone().by(login);
    assert_eq!(by, WriteScope { login, ..scope });
}

/// Memos and diaries stand in no order of their own.
#[test]
fn only_types_with_an_order_are_asked_for_the_last_place() {
    for (key, content, ordered) in [
        (memo_key(1), memo("x").into_content(), false),
        (diary_key("2026-01-01"), diary("x").into_content(), false),
        (resource_key(1), resource("a.png").into_content(), true),
        (bot_key(1), bot("x").into_content(), true),
    ] {
        let patch = match every_field(content) {
            Patch::Resource(patch) => Patch::Resource(ResourcePatch {
                sort_order: None,
                ..patch
            }),
            Patch::Bot(patch) => Patch::Bot(BotPatch {
                sort_order: None,
                ..patch
            }),
            patch => patch,
        };
        let edit = RecordEdit {
            action: Action::Patch {
                patch,
                created_at: None,
                attachments: None,
                creates: true,
            },
            ..delete(key)
        };
        let scope = WriteScope::of(USER, &[edit]);
        assert_eq!(!scope.sort_groups.is_empty(), ordered, "{key}");
    }
}

/// A plan that only keeps a version that lost has no record, and has to be carried out all the same (H1).
#[test]
fn h1_a_plan_is_empty_where_neither_a_record_nor_a_revision_is_kept() {
    let mut stored: BTreeMap<RecordKey, _> = BTreeMap::new();
    let mut plan = |edit: RecordEdit| {
        let locked = Locked {
            clock: SyncClock::new(Stamp::clamped(1), UnixMillis::clamped(NOW)),
            records: stored.clone(),
            children: BTreeMap::new(),
            last_places: BTreeMap::new(),
            revisions: Vec::new(),
            bytes: 0,
            quota: mosaic_domain::Quota::Default,
        };
        let plan = decide(&locked, &[edit]).unwrap();
        stored.extend(plan.records.iter().map(|record| (record.key, record.clone())));
        plan
    };
    let written = plan(put(memo_key(1), memo("later")).at(200));
    assert_eq!((written.records.len(), written.revisions.len()), (1, 0));
    let lost = plan(put(memo_key(1), memo("earlier")).at(100));
    assert_eq!((lost.records.len(), lost.revisions.len()), (0, 1));
    let again = plan(put(memo_key(1), memo("later")).at(200));
    assert_eq!((again.records.len(), again.revisions.len()), (0, 0));
    assert_eq!(
        [&written, &lost, &again].map(WritePlan::is_empty),
        [false, false, true]
    );
}
