//! Whatever the order, the batching and the number of replays in which edits arrive, the outcome is the same (W2, W3), and
//! nothing that a person typed is ever gone (H1).

use std::collections::BTreeSet;

use mosaic_domain::write::{Outcome, RecordEdit};
use mosaic_domain::{Record, State, UnixMillis, Version};
use mosaic_testkit::{EditExt, Model, new_content, overwrite};
use proptest::prelude::*;

use crate::support::{any_edits, config, partial_edits, whole_edits};

type Agreed = (String, Version, Option<(String, UnixMillis)>);

/// What two servers must agree on: not the stamp, not the number of versions, and of a tombstone neither what it held
/// nor when that was made, which a server that got the delete first has never heard of.
fn agreed(record: &Record) -> Agreed {
    let content = match &record.state {
        State::Live(content) => Some((content.to_document(), record.created_at)),
        State::Deleted(_) => None,
    };
    (format!("{:?}", record.key), record.version.clone(), content)
}

fn outcome(model: &Model) -> Vec<Agreed> {
    model.records().map(agreed).collect()
}

/// Writes the edits in batches of the given sizes, each batch as one write.
fn deliver(edits: &[RecordEdit], batch: usize) -> Model {
    let mut model = Model::default();
    for (now, edits) in (0..).zip(edits.chunks(batch)) {
        model
            .write(UnixMillis::clamped(now), edits)
            .expect("stamps are left");
    }
    model
}

/// Every content with its version that is somewhere: current or kept.
fn kept(model: &Model) -> BTreeSet<(String, Version, String)> {
    let current = model.live().into_iter().filter_map(|r| {
        Some((
            format!("{:?}", r.key),
            r.version.clone(),
            r.live_content()?.to_document(),
        ))
    });
    let revisions = model.revisions().iter().map(|kept| {
        (
            format!("{:?}", kept.key),
            kept.version.clone(),
            kept.content.to_document(),
        )
    });
    current.chain(revisions).collect()
}

fn typed(edit: &RecordEdit) -> Option<(String, Version, String)> {
    let content = new_content(edit)?;
    let version = Version::new(edit.time?, edit.author.clone());
    Some((format!("{:?}", edit.key), version, content.to_document()))
}

/// A set of edits, and another order of it in which some come more than once.
fn two_deliveries(
    edits: impl Strategy<Value = RecordEdit>,
) -> impl Strategy<Value = (Vec<RecordEdit>, Vec<RecordEdit>)> {
    proptest::collection::vec(edits, 1..24).prop_flat_map(|edits| {
        let again = proptest::sample::subsequence(edits.clone(), 0..=edits.len());
        let other = again.prop_map({
            let edits = edits.clone();
            move |again| [edits.clone(), again].concat()
        });
        (Just(edits), other.prop_shuffle())
    })
}

proptest! {
    #![proptest_config(config(384))]

    #[test]
    fn w2_the_outcome_depends_only_on_the_set_of_edits(
        (edits, other) in two_deliveries(whole_edits()), batch in 1..6_usize, other_batch in 1..6_usize,
    ) {
        prop_assert_eq!(outcome(&deliver(&edits, batch)), outcome(&deliver(&other, other_batch)));
    }

    #[test]
    fn h1_nothing_that_was_typed_is_ever_gone((_, edits) in two_deliveries(whole_edits()), batch in 1..6_usize) {
        let model = deliver(&edits, batch);
        let everything = kept(&model);
        for typed in edits.iter().filter_map(typed) {
            prop_assert!(everything.contains(&typed), "{typed:?} is gone");
        }
        let ids: BTreeSet<_> = model.revisions().iter().map(|kept| kept.id).collect();
        prop_assert_eq!(ids.len(), model.revisions().len(), "a version is kept twice");
    }

    /// A partial edit is completed from what was stored when it was judged (W7), so contents depend on the order. Who wins does
    /// not: after the same edits each record has the same version, and lives or not.
    #[test]
    fn w2_w7_of_partial_edits_the_winner_depends_only_on_the_set(
        (edits, other) in two_deliveries(partial_edits()), batch in 1..6_usize, other_batch in 1..6_usize,
    ) {
        let winners = |model: &Model| -> Vec<_> {
            model.records().map(|record| (record.key, record.version.clone(), record.is_deleted())).collect()
        };
        prop_assert_eq!(winners(&deliver(&edits, batch)), winners(&deliver(&other, other_batch)));
    }

    /// Sent again, whatever has come meanwhile, a partial edit changes nothing, and is not kept a second time although it would be
    /// completed otherwise now.
    #[test]
    fn w3_w7_a_replay_of_partial_edits_changes_nothing(
        (edits, again) in two_deliveries(partial_edits()), batch in 1..6_usize,
    ) {
        let before = deliver(&edits, batch);
        let mut model = before.clone();
        for (now, edit) in (100..).zip(&again) {
            let plan = model.write(UnixMillis::clamped(now), std::slice::from_ref(edit)).unwrap();
            prop_assert!(plan.records.is_empty(), "a replay changed a record");
            prop_assert!(plan.revisions.is_empty(), "a replay was kept");
            prop_assert!(matches!(plan.results[0].outcome, Outcome::Unchanged | Outcome::Superseded));
        }
        prop_assert_eq!(model, before);
    }

    #[test]
    fn h1_a_content_that_was_current_is_current_or_kept(edits in proptest::collection::vec(any_edits(), 1..40)) {
        let mut model = Model::default();
        let mut once_current = BTreeSet::new();
        for (now, edit) in (0..).zip(&edits) {
            let plan = model.write(UnixMillis::clamped(now), std::slice::from_ref(edit)).unwrap();
            once_current.extend(plan.records.iter().filter_map(|record| {
                Some((format!("{:?}", record.key), record.version.clone(), record.live_content()?.to_document()))
            }));
        }
        let everything = kept(&model);
        for current in once_current {
            prop_assert!(everything.contains(&current), "{current:?} is gone");
        }
    }

    #[test]
    fn s4_w3_a_replay_changes_nothing((edits, _) in two_deliveries(whole_edits()), batch in 1..6_usize) {
        let before = deliver(&edits, batch);
        let mut model = before.clone();
        for (now, edit) in (100..).zip(&edits) {
            let plan = model.write(UnixMillis::clamped(now), std::slice::from_ref(edit)).unwrap();
            prop_assert!(plan.records.is_empty(), "a replay changed a record");
            prop_assert_eq!(plan.clock, before.clock());
            prop_assert!(matches!(plan.results[0].outcome, Outcome::Unchanged | Outcome::Superseded));
        }
        prop_assert_eq!(model, before);
    }

    #[test]
    fn w1_an_edit_without_a_time_always_applies(
        edits in proptest::collection::vec(whole_edits(), 0..12), now in 0..8_i64, last in whole_edits(),
    ) {
        let mut model = deliver(&edits, 1);
        let stored = model.record(last.key).cloned();
        let edit = RecordEdit { time: None, ..overwriting(last) };
        let deletes = edit.deletes();
        let plan = model.write(UnixMillis::clamped(now), &[edit]).unwrap();
        match (&plan.results[0].outcome, stored) {
            (Outcome::Applied, Some(stored)) => {
                let current = model.record(stored.key).unwrap();
                prop_assert!(current.version.time > stored.version.time);
                prop_assert!(current.version.time.get() >= now);
            }
            (Outcome::Applied, None) => prop_assert!(!deletes),
            (Outcome::Unchanged, Some(stored)) => prop_assert_eq!(model.record(stored.key), Some(&stored)),
            (Outcome::Refused(_), None) => prop_assert!(deletes),
            (other, stored) => prop_assert!(false, "{other:?} of {stored:?}"),
        }
    }
}

fn overwriting(edit: RecordEdit) -> RecordEdit {
    match new_content(&edit) {
        Some(content) => overwrite(edit.key, content, UnixMillis::clamped(0)).by(edit.author.as_str()),
        None => edit,
    }
}
