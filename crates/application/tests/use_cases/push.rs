//! Bulk pushes, over a mocked write store that runs the real rule.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use mosaic_application::AppError;
use mosaic_application::push::{Push, PushBy, PushEdit, PushOutcome, Pushed};

use mosaic_domain::entity::SortGroup;
use mosaic_domain::query::Listing;
use mosaic_domain::write::{Action, CHILDREN_MAX, Outcome, RecordEdit};
use mosaic_domain::{EditTime, Entity, EntityType, FamilyId, RecordKey, Stamp, UnixMillis, UserId};
use mosaic_ports::{MockChangeFeed, MockRecordReader, MockWriteStore};
use mosaic_testkit::{
    EditExt as _, Model, by, every_field, memo, memo_id, memo_key, resource_key, resource_of,
};
use uuid::Uuid;

const USER: UserId = UserId::new(Uuid::from_u128(1));
const NOW: i64 = 1_715_000_000_000;

/// A store over a model of one user, and how often it was asked to write.
fn store(model: Model) -> (MockWriteStore, Arc<Mutex<(Model, usize)>>) {
    store_with_another_device(model, usize::MAX, Vec::new())
}

/// As [`store`], where another device comes in between: it has made these edits when the store is asked for the nth time.
fn store_with_another_device(
    model: Model,
    nth: usize,
    theirs: Vec<RecordEdit>,
) -> (MockWriteStore, Arc<Mutex<(Model, usize)>>) {
    let state = Arc::new(Mutex::new((model, 0)));
    let shared = Arc::clone(&state);
    let mut store = MockWriteStore::new();
    store.expect_write().returning(move |scope, decide| {
        let (model, writes) = &mut *shared.lock().unwrap();
        *writes += 1;
        if *writes == nth {
            model.write(UnixMillis::clamped(NOW), &theirs)?;
        }
        let plan = decide(&model.locked(&scope, UnixMillis::clamped(NOW)))?;
        model.commit(&plan);
        Ok(plan)
    });
    (store, state)
}

fn feed() -> MockChangeFeed {
    let mut feed = MockChangeFeed::new();
    feed.expect_clock().returning(|_, _| Ok(Ok(Stamp::clamped(77))));
    feed
}

fn push_by(client_time: Option<i64>) -> PushBy {
    PushBy {
        user: USER,
        login: None,
        client: by("phone"),
        client_time: client_time.map(UnixMillis::clamped),
        arrived_at: UnixMillis::clamped(NOW),
    }
}

fn put(key: RecordKey, content: impl Entity, time: Option<i64>) -> PushEdit {
    PushEdit {
        key,
        edit_time: time.map(EditTime::clamped),
        action: mosaic_testkit::put(key, content).action,
    }
}

fn bury(key: RecordKey, time: Option<i64>) -> PushEdit {
    PushEdit {
        key,
        edit_time: time.map(EditTime::clamped),
        action: Action::Delete {
            tombstone_if_missing: true,
        },
    }
}

/// What a push answers, with what is told after all of its slices.
#[derive(Debug)]
struct Answer {
    clock: Stamp,
    clock_before: Option<Stamp>,
    /// In the order of the edits.
    results: Vec<PushOutcome>,
    /// How many were told at a time.
    told: Vec<usize>,
}

async fn answer(push: &Push, by: &PushBy, edits: Vec<PushEdit>) -> Answer {
    let (mut results, mut told) = (BTreeMap::new(), Vec::new());
    let count = edits.len();
    let tell = async |outcomes: Vec<_>| {
        told.push(outcomes.len());
        results.extend(outcomes);
        Ok::<_, AppError>(())
    };
    let Pushed { clock, clock_before } = push.run(by, edits, tell).await.unwrap();
    assert!(results.keys().copied().eq(0..count), "{results:?}");
    Answer {
        clock,
        clock_before,
        results: results.into_values().collect(),
        told,
    }
}

/// A reader of a store in which nothing is as large as to matter.
fn reader() -> MockRecordReader {
    let mut reader = MockRecordReader::new();
    reader.expect_sizes().returning(|_, keys| Ok(vec![0; keys.len()]));
    reader
}

async fn run(edits: Vec<PushEdit>) -> (Answer, Model, usize) {
    run_with(push_by(None), edits).await
}

async fn run_with(by: PushBy, edits: Vec<PushEdit>) -> (Answer, Model, usize) {
    let (store, state) = store(Model::default());
    let push = Push::new(Arc::new(store), Arc::new(feed()), Arc::new(reader()));
    let pushed = answer(&push, &by, edits).await;
    drop(push);
    let (model, writes) = Arc::into_inner(state).unwrap().into_inner().unwrap();
    (pushed, model, writes)
}

fn applied(outcome: &PushOutcome) -> Option<Stamp> {
    match outcome {
        PushOutcome::Applied { stored } => Some(stored.stamp),
        _ => None,
    }
}

#[tokio::test]
async fn b1_parents_come_first_whatever_the_order_and_results_keep_it() {
    let resource = put(resource_key(1), resource_of(memo_id(1), "a.jpg"), Some(NOW));
    let memo = put(memo_key(1), memo("x"), Some(NOW));
    let (pushed, model, writes) = run(vec![resource, memo]).await;
    let stamps: Vec<_> = pushed.results.iter().filter_map(applied).collect();
    assert_eq!(stamps.len(), 2, "{:?}", pushed.results);
    assert!(stamps[0] > stamps[1], "the memo came first: {stamps:?}");
    assert_eq!(writes, 1, "one write for all of it");
    assert_eq!(pushed.clock, stamps[0]);
    assert_eq!(model.record(resource_key(1)).unwrap().parent(), Some(memo_id(1)));
}

#[tokio::test]
async fn b2_what_can_not_be_done_is_rejected_alone() {
    let (pushed, model, _) = run(vec![
        put(resource_key(1), resource_of(memo_id(9), "a.jpg"), Some(NOW)),
        put(memo_key(1), memo("good"), Some(NOW)),
        put(memo_key(2), memo("from the future"), Some(NOW + 300_001)),
    ])
    .await;
    assert!(
        matches!(
            &pushed.results[..],
            [
                PushOutcome::Rejected {
                    error: AppError::UnknownMemo(_),
                    retryable: true
                },
                PushOutcome::Applied { .. },
                PushOutcome::Rejected {
                    error: AppError::EditTimeAhead { .. },
                    retryable: true
                },
            ]
        ),
        "{:?}",
        pushed.results
    );
    assert!(model.record(memo_key(2)).is_none());
}

#[tokio::test]
async fn b2_results_keep_their_places_whatever_is_rejected_before_them() {
    let (pushed, _, _) = run(vec![
        put(memo_key(1), memo("from the future"), Some(NOW + 300_001)),
        put(memo_key(2), memo("good"), Some(NOW)),
    ])
    .await;
    assert!(
        matches!(
            &pushed.results[..],
            [PushOutcome::Rejected { .. }, PushOutcome::Applied { .. }]
        ),
        "{:?}",
        pushed.results
    );
}

#[tokio::test]
async fn b2_a_record_that_is_named_twice_is_written_once() {
    let (pushed, model, _) = run(vec![
        put(memo_key(1), memo("first"), Some(NOW)),
        bury(memo_key(1), Some(NOW + 1)),
    ])
    .await;
    assert!(applied(&pushed.results[0]).is_some());
    assert!(matches!(
        pushed.results[1],
        PushOutcome::Rejected {
            error: AppError::NamedTwice,
            retryable: true
        }
    ));
    assert!(!model.record(memo_key(1)).unwrap().is_deleted());
}

#[tokio::test]
async fn b2_a_push_of_which_nothing_is_left_writes_nothing_and_answers_the_clock() {
    let (pushed, _, writes) = run(vec![put(memo_key(1), memo("x"), Some(NOW + 400_000))]).await;
    assert_eq!((writes, pushed.clock), (0, Stamp::clamped(77)));
    let (pushed, _, writes) = run(Vec::new()).await;
    assert_eq!((writes, pushed.results.len()), (0, 0));
}

#[tokio::test]
async fn w6_the_edits_of_a_clock_that_is_off_are_shifted() {
    let three_hours = 3 * 3_600_000;
    let edits = vec![put(memo_key(1), memo("x"), Some(NOW + three_hours - 5))];
    let (pushed, model, _) = run_with(push_by(Some(NOW + three_hours)), edits).await;
    assert!(applied(&pushed.results[0]).is_some(), "{:?}", pushed.results);
    assert_eq!(model.record(memo_key(1)).unwrap().version.time.get(), NOW - 5);
}

#[tokio::test]
async fn w3_w4_replays_change_nothing_and_what_loses_is_kept() {
    let mut model = Model::default();
    let stored = mosaic_testkit::put(memo_key(1), memo("newer"));
    let stored = mosaic_testkit::EditExt::at(stored, NOW);
    let plan = model.write(UnixMillis::clamped(NOW), &[stored]).unwrap();
    assert_eq!(plan.results[0].outcome, Outcome::Applied);
    let (store, state) = store(model);
    let push = Push::new(Arc::new(store), Arc::new(feed()), Arc::new(reader()));
    let edits = || vec![put(memo_key(1), memo("older"), Some(NOW - 10))];
    for _ in 0..2 {
        let pushed = answer(&push, &push_by(None), edits()).await;
        let PushOutcome::Superseded { current } = &pushed.results[0] else {
            panic!("{:?}", pushed.results);
        };
        assert_eq!(current.live_content(), Some(&memo("newer").into_content()));
    }
    let same = vec![put(memo_key(1), memo("newer"), Some(NOW))];
    let pushed = answer(&push, &push_by(None), same).await;
    assert!(matches!(pushed.results[0], PushOutcome::Unchanged { .. }));
    assert_eq!(state.lock().unwrap().0.revisions().len(), 1);
}

/// B3: of what happened between the two clocks the results tell everything, or the first clock is not told.
#[tokio::test]
async fn b3_the_clock_before_is_told_only_where_nobody_wrote_in_between() {
    let large = "x".repeat(300 * 1024);
    let memos = |of: [u64; 4]| -> Vec<_> {
        let put = |n| put(memo_key(n), memo(&large), Some(NOW));
        of.into_iter().map(put).collect()
    };
    let theirs = |time| vec![mosaic_testkit::put(memo_key(9), memo("theirs")).at(time)];
    for (nth, edits, expected) in [
        // Nobody else; before all slices; between two of them; a loser, which moves no clock.
        (usize::MAX, theirs(NOW), Some(0)),
        (1, theirs(NOW), Some(1)),
        (2, theirs(NOW), None),
        (4, theirs(NOW), None),
        (2, theirs(NOW - 2), Some(0)),
    ] {
        let mut model = Model::default();
        let seed = [mosaic_testkit::put(memo_key(9), memo("there")).at(NOW - 1)];
        model.write(UnixMillis::clamped(NOW - 10), &seed).unwrap();
        let stood = model.clock();
        let (store, state) = store_with_another_device(model, nth, edits);
        let push = Push::new(Arc::new(store), Arc::new(feed()), Arc::new(reader()));
        let pushed = answer(&push, &push_by(None), memos([1, 2, 3, 4])).await;
        let (model, writes) = &*state.lock().unwrap();
        assert_eq!(*writes, 4);
        assert_eq!(pushed.clock, model.clock());
        // One that wrote before the first slice stands before the first clock, which no longer is that of the device.
        let before = pushed.clock_before.map(|before| usize::from(before > stood));
        assert_eq!(before, expected, "{nth}");
    }
}

/// B3: what changes with a record that is named, and is not named itself, is told by nobody but a pull.
#[tokio::test]
async fn b3_what_changes_with_another_record_is_not_told_by_a_push() {
    let named = |all: bool| {
        let mut edits = vec![bury(memo_key(1), Some(NOW))];
        edits.extend(all.then(|| bury(resource_key(1), Some(NOW))));
        edits
    };
    for (edits, is_told) in [(named(false), false), (named(true), true)] {
        let mut model = Model::default();
        let seed = [
            mosaic_testkit::put(memo_key(1), memo("x")),
            mosaic_testkit::put(resource_key(1), resource_of(memo_id(1), "a.png")),
        ];
        model
            .write(UnixMillis::clamped(NOW - 10), &seed.map(|edit| edit.at(NOW - 10)))
            .unwrap();
        let stood = model.clock();
        let (store, _) = store(model);
        let push = Push::new(Arc::new(store), Arc::new(feed()), Arc::new(reader()));
        let pushed = answer(&push, &push_by(None), edits).await;
        assert_eq!(pushed.clock_before, is_told.then_some(stood));
    }
    // Where nothing can be written, nothing has happened.
    let (nothing, ..) = run(vec![put(memo_key(1), memo("x"), Some(NOW + 300_001))]).await;
    assert_eq!(nothing.clock_before, Some(nothing.clock));
}

/// B1: a push that brings much is written in slices, parents first, and answered as one.
#[tokio::test]
async fn b1_a_large_push_is_written_in_slices_and_answered_in_its_order() {
    let (store, state) = store(Model::default());
    let large = "x".repeat(300 * 1024);
    let mut edits = vec![put(resource_key(1), resource_of(memo_id(4), "a.png"), Some(NOW))];
    edits.extend((1..=4).map(|n| put(memo_key(n), memo(&large), Some(NOW))));
    let keys: Vec<RecordKey> = edits.iter().map(|edit| edit.key).collect();
    let push = Push::new(Arc::new(store), Arc::new(feed()), Arc::new(reader()));
    let pushed = answer(&push, &push_by(None), edits).await;
    assert_eq!(pushed.told, [1, 1, 1, 2]);
    let (model, writes) = &*state.lock().unwrap();
    assert_eq!(*writes, 4, "the resource is written with the last memo");
    let stamps: Vec<Stamp> = pushed
        .results
        .iter()
        .map(|result| match result {
            PushOutcome::Applied { stored } => stored.stamp,
            other => panic!("{other:?}"),
        })
        .collect();
    let stored = |key: &RecordKey| model.records().find(|record| record.key == *key).unwrap().stamp;
    assert_eq!(stamps, keys.iter().map(stored).collect::<Vec<_>>());
    assert_eq!(pushed.clock, stamps[0], "the last that was written");
}

/// B1: edits that bring little are written in slices where much is stored of their records, which is read and kept for them; how
/// much, is not asked for a few.
#[tokio::test]
async fn b1_little_edits_of_large_records_are_written_in_slices() {
    const MIB: u64 = 1024 * 1024;
    for (count, size, expected) in [(4, 6 * MIB, 1), (5, 6 * MIB, 5), (20, MIB / 8, 3), (20, 100, 1)] {
        let (store, state) = store(Model::default());
        let mut reader = MockRecordReader::new();
        reader
            .expect_sizes()
            .returning(move |_, keys| Ok(vec![size; keys.len()]));
        let push = Push::new(Arc::new(store), Arc::new(feed()), Arc::new(reader));
        let edits = (1..=count).map(|n| put(memo_key(n), memo("x"), Some(NOW)));
        let pushed = answer(&push, &push_by(None), edits.collect()).await;
        assert!(pushed.results.iter().all(|result| applied(result).is_some()));
        assert_eq!(state.lock().unwrap().1, expected, "{count} of {size} bytes");
    }
}

/// B1: what is told after a slice can fail, and what comes after that slice is not written.
#[tokio::test]
async fn b1_a_push_ends_where_nobody_can_be_told() {
    let (store, state) = store(Model::default());
    let large = "x".repeat(300 * 1024);
    let edits = (1..=3)
        .map(|n| put(memo_key(n), memo(&large), Some(NOW)))
        .collect();
    let push = Push::new(Arc::new(store), Arc::new(feed()), Arc::new(reader()));
    let fails = async |_| Err(AppError::NotFound);
    let failed = push.run(&push_by(None), edits, fails).await;
    assert!(matches!(failed, Err(AppError::NotFound)), "{failed:?}");
    assert_eq!(state.lock().unwrap().1, 1);
}

/// B1, W9: memos that take many resources with them are deleted in a write each; others wait for one of them at most.
#[tokio::test]
async fn b1_memos_that_take_many_resources_with_them_are_deleted_one_by_one() {
    for (children, expected) in [(1_000, 1), (1_001, 2)] {
        let (store, state) = store(Model::default());
        let mut reader = MockRecordReader::new();
        reader.expect_list().once().returning(move |_, query| {
            assert_eq!(query.parents, Some([1, 2].map(memo_id).to_vec()));
            Ok(Listing {
                items: Vec::new(),
                total: children,
            })
        });
        let push = Push::new(Arc::new(store), Arc::new(feed()), Arc::new(reader));
        let deletes = (1..=2).map(|n| bury(memo_key(n), Some(NOW))).collect();
        let pushed = answer(&push, &push_by(None), deletes).await;
        assert!(
            pushed.results.iter().all(|result| applied(result).is_some()),
            "{:?}",
            pushed.results
        );
        assert_eq!(state.lock().unwrap().1, expected, "{children} resources");
    }
}

/// W9: a resource of a memo that is full may come again, when the memo has room.
#[tokio::test]
async fn b2_a_resource_of_a_full_memo_is_rejected_alone_and_may_come_again() {
    let mut store = MockWriteStore::new();
    store.expect_write().once().returning(move |scope, decide| {
        let mut model = Model::default();
        model.write(
            UnixMillis::clamped(NOW),
            &[mosaic_testkit::put(memo_key(1), memo("x"))],
        )?;
        let mut locked = model.locked(&scope, UnixMillis::clamped(NOW));
        let resources = SortGroup {
            entity_type: EntityType::Resource,
            parent: Some(memo_id(1)),
        };
        locked.children.insert(resources, CHILDREN_MAX);
        Ok(decide(&locked)?)
    });
    let push = Push::new(Arc::new(store), Arc::new(feed()), Arc::new(reader()));
    let fields = every_field(resource_of(memo_id(1), "a.png").into_content());
    let edits = vec![
        PushEdit {
            key: resource_key(1),
            edit_time: Some(EditTime::clamped(NOW)),
            action: mosaic_testkit::create(resource_key(1), fields).action,
        },
        put(memo_key(2), memo("y"), Some(NOW)),
    ];
    let pushed = answer(&push, &push_by(None), edits).await;
    let [
        PushOutcome::Rejected {
            error: AppError::MemoFull(_),
            retryable: true,
        },
        rest,
    ] = &pushed.results[..]
    else {
        panic!("{:?}", pushed.results);
    };
    assert!(applied(rest).is_some(), "{rest:?}");
}

#[tokio::test]
async fn w10_what_finds_no_room_is_rejected_alone_and_may_come_again() {
    let (store, state) = store(Model::default());
    let push = Push::new(Arc::new(store), Arc::new(feed()), Arc::new(reader())).with_quota(1_000);
    let edits = vec![
        put(memo_key(1), memo(&"x".repeat(1_000)), Some(NOW)),
        put(memo_key(2), memo("short"), Some(NOW)),
    ];
    let pushed = answer(&push, &push_by(None), edits).await;
    assert!(
        matches!(
            &pushed.results[..],
            [
                PushOutcome::Rejected {
                    error: AppError::NoRoom {
                        used: 0,
                        quota: 1_000
                    },
                    retryable: true
                },
                PushOutcome::Applied { .. },
            ]
        ),
        "{:?}",
        pushed.results
    );
    assert!(state.lock().unwrap().0.record(memo_key(1)).is_none());
}

#[tokio::test]
async fn l1_a_push_is_written_by_its_login() {
    let login = Some(FamilyId::new(Uuid::from_u128(5)));
    let mut store = MockWriteStore::new();
    store.expect_write().once().returning(move |scope, decide| {
        assert_eq!(scope.login, login);
        Ok(decide(
            &Model::default().locked(&scope, UnixMillis::clamped(NOW)),
        )?)
    });
    let by = PushBy {
        login,
        ..push_by(None)
    };
    let edits = vec![put(memo_key(1), memo("x"), Some(NOW))];
    let push = Push::new(Arc::new(store), Arc::new(feed()), Arc::new(reader()));
    let pushed = answer(&push, &by, edits).await;
    assert!(applied(&pushed.results[0]).is_some(), "{:?}", pushed.results);
}
