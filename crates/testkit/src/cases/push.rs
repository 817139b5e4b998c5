//! Bulk pushes: B1, B2, and what W5 says of them.

use std::collections::{BTreeMap, BTreeSet};

use mosaic_domain::pull::PageLimits;
use mosaic_domain::write::{Locked, Outcome, RecordEdit, Refusal, WritePlan, decide};
use mosaic_domain::{RecordKey, Stamp, State, UserId};
use mosaic_ports::{DumpedRecord, KeptRevision, RevisionPlace, WriteError};

use crate::{
    EditExt, Harness, Ledger, Model, at, bot, bot_key, bury, delete, diary, memo, memo_id, memo_key,
    patch_memo, pulled, put, resource, resource_key, resource_of, tagged,
};

/// How many edits of one type a push may have.
const PER_TYPE: u64 = 200;

fn day(n: u64) -> RecordKey {
    crate::diary_key(&format!(
        "{:04}-{:02}-{:02}",
        2000 + n / 336,
        n / 28 % 12 + 1,
        n % 28 + 1
    ))
}

/// What is there before the push: the first 120 of each type, and every tenth of them deleted.
fn seed() -> Vec<RecordEdit> {
    let live = (0..120).flat_map(|n| {
        [
            put(memo_key(n), tagged("old", &["kept"])).at(100),
            put(day(n), diary("old")).at(100),
            put(bot_key(n), bot("old")).at(100),
        ]
    });
    let children = (0..120).map(|n| put(resource_key(n), resource_of(memo_id(n), "old.png")).at(100));
    let deleted = (0..12).flat_map(|n| [memo_key(n * 10), day(n * 10), bot_key(n * 10)]);
    let deleted = deleted.map(|key| delete(key).at(200));
    live.chain(children).chain(deleted).collect()
}

/// A push of 200 edits of each type: edits of what is there, newer and older, deletes, and creates; memos first.
fn push() -> Vec<RecordEdit> {
    let of_type = |key: fn(u64) -> RecordKey, written: fn(u64) -> RecordEdit| {
        (0..PER_TYPE).map(move |n| match n % 4 {
            0 => bury(key(n)),
            1 => delete(key(n)).at(150),
            2 => written(n).at(50),
            _ => written(n).at(300),
        })
    };
    let memos = of_type(memo_key, |n| {
        if n < 120 {
            patch_memo(n, "new")
        } else {
            put(memo_key(n), memo("new"))
        }
    });
    let diaries = of_type(day, |n| put(day(n), diary("new")));
    let bots = of_type(bot_key, |n| put(bot_key(n), bot("new")).append_to_end());
    let resources = of_type(resource_key, |n| {
        // Half of them belong to a memo that the same push makes.
        put(resource_key(n), resource_of(memo_id(123 + n % 2 * 4), "new.png")).append_to_end()
    });
    memos.chain(diaries).chain(resources).chain(bots).collect()
}

/// Everything that is stored of a user.
async fn everything(h: &Harness, user: UserId) -> (Vec<DumpedRecord>, Vec<KeptRevision>) {
    let (mut records, mut revisions): (Vec<DumpedRecord>, Vec<KeptRevision>) = Default::default();
    let reader = &h.stores.dump_reader;
    loop {
        let after = records.last().map_or(Stamp::ZERO, |dumped| dumped.record.stamp);
        let more = reader
            .dump_records(user, after, PageLimits::PROTOCOL)
            .await
            .unwrap();
        if more.is_empty() {
            break;
        }
        records.extend(more);
    }
    loop {
        let after = revisions.last().map(RevisionPlace::of);
        let more = reader
            .dump_revisions(user, after, PageLimits::PROTOCOL)
            .await
            .unwrap();
        if more.is_empty() {
            return (records, revisions);
        }
        revisions.extend(more);
    }
}

/// Asserts that the store holds what the model holds, tombstones and revisions included.
async fn assert_like(h: &Harness, user: UserId, model: &Model) {
    let (records, revisions) = everything(h, user).await;
    let mut expected: Vec<_> = model.records().cloned().collect();
    expected.sort_by_key(|record| record.stamp);
    let records: Vec<_> = records.into_iter().map(|dumped| dumped.record).collect();
    assert_eq!(records, expected);
    let mut numbers: BTreeMap<RecordKey, u32> = BTreeMap::new();
    let numbered = model.revisions().iter().map(|revision| {
        let number = numbers.entry(revision.key).or_default();
        *number += 1;
        KeptRevision {
            number: *number,
            revision: revision.clone(),
        }
    });
    let mut expected: Vec<_> = numbered.collect();
    expected.sort_by_key(|kept| (kept.revision.key, kept.number));
    let mut revisions = revisions;
    revisions.sort_by_key(|kept| (kept.revision.key, kept.number));
    assert_eq!(revisions, expected);
}

/// The largest push, applied in one write, leaves what the rules say, and its stamps stand together.
pub async fn b1_eight_hundred_edits_in_one_write_do_what_the_rules_say(h: &Harness) {
    let (user, mut model) = (h.user().await, Model::default());
    let now = at(h.clock.ms());
    let seeded = h.write(user, seed()).await;
    // The model's clock starts at 0.
    let expected = WritePlan {
        clock_before: seeded.clock_before,
        ..model.write(now, &seed()).unwrap()
    };
    assert_eq!(seeded, expected);
    let edits = push();
    assert_eq!(edits.len(), 800);
    h.clock.advance(5_000);
    let plan = h.write(user, edits.clone()).await;
    let expected = model.write(at(h.clock.ms()), &edits).unwrap();
    assert_eq!(plan, expected);
    let count = |wanted: fn(&Outcome) -> bool| plan.results.iter().filter(|r| wanted(&r.outcome)).count();
    assert!(count(|outcome| *outcome == Outcome::Applied) > 400);
    assert!(count(|outcome| *outcome == Outcome::Superseded) > 50);
    assert!(count(|outcome| *outcome == Outcome::Unchanged) > 5);
    assert_contiguous(&plan, h.clock.ms());
    assert_like(h, user, &model).await;
    let device = h.fresh_device(user).await;
    h.assert_converged(user, &device).await;
    assert_eq!(device.records(), pulled(&model.live()));
}

fn assert_contiguous(plan: &WritePlan, start: i64) {
    let stamps: Vec<i64> = plan.records.iter().map(|record| record.stamp.get()).collect();
    let count = i64::try_from(stamps.len()).unwrap();
    assert_eq!(stamps, (start..start + count).collect::<Vec<_>>());
}

/// A push whose edits have times changes nothing the second time: W3 holds for each of them.
pub async fn b1_a_push_with_edit_times_is_free_the_second_time(h: &Harness) {
    let user = h.user().await;
    h.write(user, seed()).await;
    let timed: Vec<_> = push().into_iter().filter(|edit| edit.time.is_some()).collect();
    h.write(user, timed.clone()).await;
    let before = everything(h, user).await;
    h.clock.advance(1_000);
    let again = h.write(user, timed).await;
    assert!(
        again.is_empty(),
        "{:?} {:?}",
        again.records.len(),
        again.revisions.len()
    );
    assert_eq!(everything(h, user).await, before);
}

/// A push that can't be carried out to its end is not carried out at all.
pub async fn b1_a_push_happens_whole_or_not_at_all(h: &Harness) {
    let (user, mut model) = (h.user().await, Model::default());
    let now = at(h.clock.ms());
    h.write(user, seed()).await;
    model.write(now, &seed()).unwrap();
    let twice = |locked: &Locked, edits: &[RecordEdit]| {
        let mut plan = decide(locked, edits)?;
        let last = plan.records.len() - 1;
        plan.records[last].stamp = plan.records[0].stamp;
        Ok(plan)
    };
    let failed = h.write_with(user, push(), twice).await;
    assert!(matches!(failed, Err(WriteError::Store(_))), "{failed:?}");
    assert_like(h, user, &model).await;
    h.write(user, push()).await;
    model.write(now, &push()).unwrap();
    assert_like(h, user, &model).await;
}

/// The stamps of one push stand together in the user's history, whoever writes meanwhile, and a pull sees all of it or
/// nothing.
pub async fn b1_the_stamps_of_a_push_stand_together_while_others_write(h: &Harness) {
    let user = h.user().await;
    let others: Vec<_> = (0..3)
        .map(|writer| {
            let h = h.clone();
            tokio::spawn(async move {
                let mut ledger = Ledger::default();
                for n in 0..20 {
                    let key = memo_key(10_000 + writer * 100 + n);
                    ledger.note(&h.write(user, [put(key, memo("beside"))]).await);
                }
                ledger
            })
        })
        .collect();
    let mut pushes = Vec::new();
    let mut ledger = Ledger::default();
    for round in 0..5 {
        let edits: Vec<_> = (0..50)
            .map(|n| put(memo_key(n), memo(&format!("round {round}"))))
            .map(|edit| edit.at(1_000 + round))
            .collect();
        let plan = h.write(user, edits).await;
        ledger.note(&plan);
        assert_eq!(plan.records.len(), 50);
        assert_contiguous(&plan, plan.records[0].stamp.get());
        let device = h.fresh_device(user).await;
        let seen: BTreeSet<_> = (0..50)
            .map(|n| device.record(memo_key(n)).unwrap().edit_time)
            .collect();
        assert_eq!(seen.len(), 1, "half a push");
        pushes.push(plan);
    }
    for other in others {
        ledger.merge(other.await.unwrap());
    }
    let device = h.fresh_device(user).await;
    ledger.assert_delivered_to(&device);
    h.assert_converged(user, &device).await;
}

/// A resource of a push belongs to the memo that the same push makes, whichever type's page comes first.
pub async fn b1_parents_come_first(h: &Harness) {
    let user = h.user().await;
    let plan = h
        .write(
            user,
            [
                put(memo_key(1), memo("x")).at(100),
                put(resource_key(1), resource_of(memo_id(1), "a.png")).at(100),
                put(resource_key(2), resource_of(memo_id(1), "b.png"))
                    .at(100)
                    .append_to_end(),
                put(resource_key(3), resource_of(memo_id(1), "c.png"))
                    .at(100)
                    .append_to_end(),
            ],
        )
        .await;
    assert!(
        plan.results
            .iter()
            .all(|result| result.outcome == Outcome::Applied)
    );
    let places: Vec<_> = h.live(user).await[1..]
        .iter()
        .map(|record| {
            (
                record.parent(),
                record.live_content().unwrap().facets().sort_order,
            )
        })
        .collect();
    let memo = Some(memo_id(1));
    assert_eq!(places, [(memo, Some(0)), (memo, Some(1)), (memo, Some(2))]);
    let mut device = crate::Device::with_page_of("small", 1);
    h.pull_all(user, &mut device).await;
    h.assert_converged(user, &device).await;
}

/// An edit that can't be done is refused alone: the others are done as if it were not there.
pub async fn b2_a_refused_edit_changes_nothing_else(h: &Harness) {
    let (user, alone) = (h.user().await, h.user().await);
    let good = [
        put(memo_key(1), memo("x")).at(100),
        put(resource_key(1), resource_of(memo_id(1), "a.png")).at(100),
        put(bot_key(1), bot("b")).at(100),
    ];
    let bad = [
        put(resource_key(9), resource_of(memo_id(99), "lost.png")).at(100),
        patch_memo(98, "unknown"),
        delete(memo_key(97)),
    ];
    for edits in [good.to_vec(), vec![patch_memo(1, "y").at(200)]] {
        h.write(alone, edits).await;
    }
    let [first, second, third] = good;
    let [lost, unknown, deleted] = bad;
    let mixed = [lost, first, unknown, second, deleted, third];
    let plan = h.write(user, mixed.clone()).await;
    let outcomes: Vec<_> = plan.results.into_iter().map(|result| result.outcome).collect();
    let applied = Outcome::Applied;
    let refused = Outcome::Refused;
    assert_eq!(
        outcomes,
        [
            refused(Refusal::UnknownMemo(memo_id(99))),
            applied.clone(),
            refused(Refusal::NotFound),
            applied.clone(),
            refused(Refusal::NotFound),
            applied,
        ]
    );
    h.write(user, [mixed[2].clone(), patch_memo(1, "y").at(200)])
        .await;
    assert_eq!(everything(h, user).await, everything(h, alone).await);
    for key in [resource_key(9), memo_key(98), memo_key(97)] {
        assert!(h.record(user, key).await.is_none());
        assert!(h.revisions(user, key).await.is_empty());
    }
}

/// A push of nothing but refused edits draws no stamp.
pub async fn b2_a_push_that_is_refused_whole_writes_nothing(h: &Harness) {
    let user = h.user().await;
    let before = h.write(user, [put(memo_key(1), memo("x"))]).await.clock;
    let orphans: Vec<_> = (0..PER_TYPE)
        .map(|n| put(resource_key(n), resource_of(memo_id(99), "a.png")).at(100))
        .collect();
    let plan = h.write(user, orphans).await;
    assert!(plan.is_empty());
    assert_eq!(plan.clock, before);
    assert_eq!(h.live(user).await.len(), 1);
}

/// A delete of a push buries what is unknown, with or without an edit time, so that a late create stays deleted; every
/// device is told.
pub async fn w5_a_delete_of_a_push_buries_what_is_unknown(h: &Harness) {
    let user = h.user().await;
    let keys = [memo_key(1), day(1), resource_key(1), bot_key(1)];
    h.write(user, keys.map(bury)).await;
    for key in keys {
        let stone = h.record(user, key).await.unwrap();
        assert_eq!((&stone.state, stone.revision_count), (&State::Deleted(None), 1));
        assert_eq!(stone.version.time.get(), h.clock.ms());
        assert!(h.revisions(user, key).await.is_empty());
    }
    assert_eq!(h.fresh_device(user).await.delivered().len(), 4);
    let again = h.write(user, keys.map(bury)).await;
    assert!(again.is_empty());
    let late = h.clock.ms() - 1;
    let creates = [
        put(keys[0], memo("late")).at(late),
        put(keys[1], diary("late")).at(late),
        put(keys[2], resource("late.png")).at(late),
        put(keys[3], bot("late")).at(late),
    ];
    let plan = h.write(user, creates).await;
    assert!(
        plan.results
            .iter()
            .all(|result| result.outcome == Outcome::Superseded)
    );
    assert!(h.live(user).await.is_empty());
}
