//! The purge: one instance at a time, in steps, over mocked ports.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use mosaic_application::garbage::{GRACE_MS, GarbageCollector, GarbageError};
use mosaic_application::retention::{Progress, Purge, PurgeOutcome, When};
use mosaic_domain::activity::SERVER;
use mosaic_domain::attachment::Collected;
use mosaic_domain::lease::{ClaimOutcome, JobClaim};
use mosaic_domain::{UnixMillis, UserId};
use mosaic_ports::{
    BlobError, BlobInfo, BlobName, Clock, MockActivityLog, MockBlobStore, MockClock, MockIdGenerator,
    MockInviteStore, MockJobs, MockOrphanIndex, MockRetention, MockUploadStore, MockUserIds, Purged,
    StoreError,
};
use uuid::Uuid;

use crate::support::harness;

const NOW: i64 = 1_715_000_000_000;
const DAY: i64 = 86_400_000;
const HOLDER: Uuid = Uuid::from_u128(7);

fn user(n: u128) -> UserId {
    UserId::new(Uuid::from_u128(n))
}

/// What the ports saw.
#[derive(Default)]
struct Seen {
    claims: Mutex<Vec<JobClaim>>,
    steps: Mutex<Vec<(UserId, UnixMillis)>>,
    released: Mutex<Vec<Option<UnixMillis>>>,
    now: AtomicI64,
}

/// Nothing to remove.
fn no_garbage() -> GarbageCollector {
    let mut blobs = MockBlobStore::new();
    blobs.expect_list().returning(|_, _| Ok(Vec::new()));
    blobs.expect_sweep().returning(|_| Ok(0));
    garbage(Collected::default(), blobs)
}

/// Every user has these blobs that nothing names any more.
fn garbage(unnamed: Collected, blobs: MockBlobStore) -> GarbageCollector {
    garbage_with(unnamed, blobs, None)
}

/// The same, where an account was removed.
fn garbage_with(unnamed: Collected, blobs: MockBlobStore, removed: Option<UserId>) -> GarbageCollector {
    let (mut contents, mut uploads, mut clock) =
        (MockOrphanIndex::new(), MockUploadStore::new(), MockClock::new());
    clock.expect_now().returning(|| UnixMillis::clamped(NOW));
    uploads
        .expect_drop_expired()
        .returning(|_, _, _| Ok(Collected::default()));
    contents
        .expect_collect_unreferenced()
        .returning(move |_, _, _| Ok(unnamed.clone()));
    contents.expect_referenced().returning(|_, _| Ok(Vec::new()));
    contents
        .expect_removed_users()
        .returning(move |after, _| Ok(removed.filter(|_| after.is_none()).into_iter().collect()));
    GarbageCollector::new(
        Arc::new(contents),
        Arc::new(uploads),
        Arc::new(blobs),
        Arc::new(clock),
    )
}

/// A purge over two users, the first of whom takes three steps. Each step takes `step_ms`.
fn purge(outcomes: Vec<ClaimOutcome>, step_ms: i64) -> (Purge, Arc<Seen>) {
    purge_with(outcomes, step_ms, no_garbage())
}

fn purge_with(outcomes: Vec<ClaimOutcome>, step_ms: i64, garbage: GarbageCollector) -> (Purge, Arc<Seen>) {
    let seen = Arc::new(Seen::default());
    seen.now.store(NOW, Ordering::SeqCst);
    let (mut jobs, mut retention, mut users) = (MockJobs::new(), MockRetention::new(), MockUserIds::new());
    let (mut clock, mut ids) = (MockClock::new(), MockIdGenerator::new());
    ids.expect_next().returning(|| HOLDER);
    let log = Arc::clone(&seen);
    clock
        .expect_now()
        .returning(move || UnixMillis::clamped(log.now.load(Ordering::SeqCst)));
    let log = Arc::clone(&seen);
    let mut outcomes = outcomes.into_iter();
    jobs.expect_claim().returning(move |claim| {
        log.claims.lock().unwrap().push(claim);
        Ok(outcomes.next().unwrap_or(ClaimOutcome::Claimed))
    });
    let log = Arc::clone(&seen);
    jobs.expect_release().returning(move |_, holder, done| {
        assert_eq!(holder, HOLDER);
        log.released.lock().unwrap().push(done);
        Ok(())
    });
    users.expect_user_ids().returning(|after, _| {
        Ok(match after {
            None => vec![user(1), user(2)],
            Some(_) => Vec::new(),
        })
    });
    let log = Arc::clone(&seen);
    let steps = AtomicU64::new(0);
    retention.expect_purge().returning(move |id, before, _| {
        log.steps.lock().unwrap().push((id, before));
        log.now.fetch_add(step_ms, Ordering::SeqCst);
        Ok(Purged {
            revisions: 10,
            contents: 1,
            more: steps.fetch_add(1, Ordering::SeqCst) < 2,
        })
    });
    let purge = Purge::new(
        Arc::new(retention),
        garbage,
        Arc::new(users),
        Arc::new(jobs),
        Arc::new(clock),
        Arc::new(ids),
    );
    (purge, seen)
}

async fn run(purge: &Purge, when: When) -> PurgeOutcome {
    purge
        .run(Some(90 * DAY), when, |_| ControlFlow::Continue(()))
        .await
        .unwrap()
}

/// What one trail forgets hinders no other, nor the records.
#[tokio::test]
async fn old_events_of_every_account_and_of_the_server_are_forgotten() {
    let (purge, seen) = purge(Vec::new(), 1);
    let (mut log, forgotten) = (MockActivityLog::new(), Arc::new(Mutex::new(Vec::new())));
    let noted = Arc::clone(&forgotten);
    log.expect_forget_before().returning(move |user, before| {
        noted.lock().unwrap().push((user, before.get()));
        Err(StoreError::Unavailable("away".into()))
    });
    let purge = purge.with_activity(Arc::new(log), DAY);
    let outcome = purge.run(None, When::Now, |_| ControlFlow::Continue(())).await;
    assert!(matches!(outcome, Err(GarbageError::Store(_))), "{outcome:?}");
    let of = |user| (user, NOW - DAY);
    assert_eq!(*forgotten.lock().unwrap(), [user(1), user(2), SERVER].map(of));
    assert!(seen.steps.lock().unwrap().is_empty());
}

/// An invite is known for a while after it has expired.
#[tokio::test]
async fn invites_that_expired_long_ago_are_forgotten() {
    let (purge, _) = purge(Vec::new(), 1);
    let mut invites = MockInviteStore::new();
    let before = UnixMillis::clamped(NOW - 30 * DAY);
    invites
        .expect_forget_expired()
        .once()
        .withf(move |moment| *moment == before)
        .returning(|_| Ok(3));
    let purge = purge.with_invites(Arc::new(invites));
    assert!(matches!(run(&purge, When::Now).await, PurgeOutcome::Done(_)));
}

#[tokio::test]
async fn h2_every_user_is_purged_step_by_step_of_what_is_older_than_the_retention() {
    let (purge, seen) = purge(Vec::new(), 1);
    let done = run(&purge, When::Now).await;
    let all = Progress {
        users: 2,
        revisions: 40,
        contents: 4,
        blobs: 0,
    };
    assert_eq!(done, PurgeOutcome::Done(all));
    let before = UnixMillis::clamped(NOW - 90 * DAY);
    assert_eq!(
        *seen.steps.lock().unwrap(),
        [1, 1, 1, 2].map(|n| (user(n), before))
    );
    assert_eq!(*seen.released.lock().unwrap(), [Some(UnixMillis::clamped(NOW))]);
}

#[tokio::test]
async fn one_instance_at_a_time_does_it() {
    for (outcome, expected) in [
        (ClaimOutcome::Busy, PurgeOutcome::Busy),
        (ClaimOutcome::Done, PurgeOutcome::NotDue),
    ] {
        let (purge, seen) = purge(vec![outcome], 1);
        assert_eq!(run(&purge, When::UnlessDoneWithin(DAY)).await, expected);
        assert!(seen.steps.lock().unwrap().is_empty());
        assert!(seen.released.lock().unwrap().is_empty(), "it is somebody else's");
        let since = seen.claims.lock().unwrap()[0].unless_done_since;
        assert_eq!(since, Some(UnixMillis::clamped(NOW - DAY)));
    }
}

#[tokio::test]
async fn a_long_purge_holds_on_to_the_job_and_ends_when_it_lost_it() {
    let (long, seen) = purge(Vec::new(), 61_000);
    assert!(matches!(run(&long, When::Now).await, PurgeOutcome::Done(_)));
    {
        let claims = seen.claims.lock().unwrap();
        assert_eq!(
            claims.len(),
            5,
            "claimed once, and renewed before whatever follows a step"
        );
        assert!(claims.iter().all(|claim| claim.until.since(claim.now) > 61_000));
    }

    let (lost, seen) = purge(vec![ClaimOutcome::Claimed, ClaimOutcome::Busy], 61_000);
    assert_eq!(run(&lost, When::Now).await, PurgeOutcome::Busy);
    assert_eq!(seen.steps.lock().unwrap().len(), 1);
    assert_eq!(*seen.released.lock().unwrap(), [None], "it is not done");
}

#[tokio::test]
async fn a_purge_that_is_told_to_stop_finishes_its_step() {
    let (purge, seen) = purge(Vec::new(), 1);
    let stopped = purge
        .run(Some(90 * DAY), When::Now, |_| ControlFlow::Break(()))
        .await
        .unwrap();
    assert!(matches!(
        stopped,
        PurgeOutcome::Stopped(Progress { revisions: 10, .. })
    ));
    assert_eq!(seen.steps.lock().unwrap().len(), 1);
    assert_eq!(*seen.released.lock().unwrap(), [None], "it is not done");
}

#[tokio::test]
async fn one_user_whose_step_fails_keeps_nobody_else_from_being_purged() {
    let (mut jobs, mut users, mut retention) = (MockJobs::new(), MockUserIds::new(), MockRetention::new());
    let (mut clock, mut ids) = (MockClock::new(), MockIdGenerator::new());
    ids.expect_next().returning(|| HOLDER);
    clock.expect_now().returning(|| UnixMillis::clamped(NOW));
    jobs.expect_claim().returning(|_| Ok(ClaimOutcome::Claimed));
    jobs.expect_release()
        .times(1)
        .withf(|_, _, done| done.is_none())
        .returning(|_, _, _| Ok(()));
    users.expect_user_ids().returning(|after, _| {
        Ok(match after {
            None => vec![user(1), user(2)],
            Some(_) => Vec::new(),
        })
    });
    retention.expect_purge().times(2).returning(|id, _, _| {
        if id == user(1) {
            return Err(StoreError::Failed("a bad row".into()));
        }
        Ok(Purged::default())
    });
    let purge = Purge::new(
        Arc::new(retention),
        no_garbage(),
        Arc::new(users),
        Arc::new(jobs),
        Arc::new(clock),
        Arc::new(ids),
    );
    let failed = purge
        .run(Some(DAY), When::Now, |_| ControlFlow::Continue(()))
        .await;
    assert!(
        matches!(failed, Err(GarbageError::Store(StoreError::Failed(_)))),
        "it is not done"
    );
}

#[tokio::test]
async fn a_purge_that_fails_lets_go_of_the_job() {
    let (mut jobs, mut users) = (MockJobs::new(), MockUserIds::new());
    let (mut clock, mut ids) = (MockClock::new(), MockIdGenerator::new());
    ids.expect_next().returning(|| HOLDER);
    clock.expect_now().returning(|| UnixMillis::clamped(NOW));
    jobs.expect_claim().returning(|_| Ok(ClaimOutcome::Claimed));
    jobs.expect_release()
        .times(1)
        .withf(|_, _, done| done.is_none())
        .returning(|_, _, _| Ok(()));
    users
        .expect_user_ids()
        .returning(|_, _| Err(StoreError::Unavailable("gone".into())));
    let purge = Purge::new(
        Arc::new(MockRetention::new()),
        no_garbage(),
        Arc::new(users),
        Arc::new(jobs),
        Arc::new(clock),
        Arc::new(ids),
    );
    let failed = purge
        .run(Some(DAY), When::Now, |_| ControlFlow::Continue(()))
        .await;
    assert!(matches!(
        failed,
        Err(GarbageError::Store(StoreError::Unavailable(_)))
    ));
}

/// The blobs of all users: one that came a day ago and one that came just now, both of the first user.
fn two_blobs() -> MockBlobStore {
    let mut blobs = MockBlobStore::new();
    blobs.expect_list().returning(|after, _| {
        let named = |id| BlobName {
            user: user(1),
            id: Uuid::from_u128(id),
        };
        let blob = |id, stored_at| BlobInfo {
            name: named(id),
            size: 1,
            stored_at: UnixMillis::clamped(stored_at),
        };
        let both = vec![blob(1, NOW - GRACE_MS - 1), blob(2, NOW - GRACE_MS)];
        Ok(match after {
            Some(after) if after >= named(2) => Vec::new(),
            _ => both,
        })
    });
    blobs.expect_sweep().returning(|_| Ok(1));
    blobs
}

#[tokio::test]
async fn bytes_that_nobody_needs_go_also_where_records_are_kept_for_ever() {
    let removed = Arc::new(Mutex::new(Vec::new()));
    let mut blobs = two_blobs();
    let log = Arc::clone(&removed);
    blobs.expect_remove().returning(move |name| {
        log.lock().unwrap().push((name.user, name.id.as_u128()));
        Ok(())
    });
    let unnamed = Collected {
        blobs: vec![Uuid::from_u128(7)],
        more: false,
    };
    let (purge, seen) = purge_with(Vec::new(), 1, garbage(unnamed, blobs));
    let done = purge
        .run(None, When::Now, |_| ControlFlow::Continue(()))
        .await
        .unwrap();
    let all = Progress {
        users: 2,
        blobs: 3,
        ..Progress::default()
    };
    assert_eq!(done, PurgeOutcome::Done(all));
    assert!(seen.steps.lock().unwrap().is_empty());
    // What came just now may be on its way to being named.
    let expected = [(user(1), 7), (user(1), 1), (user(2), 7)];
    assert_eq!(*removed.lock().unwrap(), expected);
    assert_eq!(*seen.released.lock().unwrap(), [Some(UnixMillis::clamped(NOW))]);
}

#[tokio::test]
async fn a6_all_bytes_of_a_removed_account_go_with_the_next_purge() {
    let left = Arc::new(Mutex::new(vec![1, 2]));
    let (mut blobs, listed, kept) = (MockBlobStore::new(), Arc::clone(&left), Arc::clone(&left));
    // Page by page, which came just now.
    blobs.expect_list().returning(move |after, _| {
        let first = listed.lock().unwrap().first().copied();
        let blob = |id| BlobInfo {
            name: BlobName {
                user: user(9),
                id: Uuid::from_u128(id),
            },
            size: 1,
            stored_at: UnixMillis::clamped(NOW),
        };
        let of_removed = first.filter(|_| after.is_some_and(|after| after.user == user(9)));
        Ok(of_removed.map(blob).into_iter().collect())
    });
    blobs.expect_remove().returning(move |name| {
        kept.lock().unwrap().retain(|id| Uuid::from_u128(*id) != name.id);
        Ok(())
    });
    blobs.expect_sweep().returning(|_| Ok(0));
    let garbage = garbage_with(Collected::default(), blobs, Some(user(9)));
    let (purge, _) = purge_with(Vec::new(), 1, garbage);
    let done = run(&purge, When::Now).await;
    assert!(
        matches!(done, PurgeOutcome::Done(Progress { blobs: 2, .. })),
        "{done:?}"
    );
    assert!(left.lock().unwrap().is_empty());
}

#[tokio::test]
async fn h2_storage_that_fails_keeps_no_record_from_being_purged() {
    let mut blobs = MockBlobStore::new();
    let away = || BlobError::Unavailable("connection refused".into());
    blobs.expect_list().returning(move |_, _| Err(away()));
    blobs.expect_sweep().returning(move |_| Err(away()));
    let (purge, seen) = purge_with(Vec::new(), 1, garbage(Collected::default(), blobs));
    let failed = purge
        .run(Some(90 * DAY), When::Now, |_| ControlFlow::Continue(()))
        .await;
    assert!(matches!(
        failed,
        Err(GarbageError::Blobs(BlobError::Unavailable(_)))
    ));
    assert_eq!(seen.steps.lock().unwrap().len(), 4);
    assert_eq!(*seen.released.lock().unwrap(), [None], "it is not done");
}

#[tokio::test]
async fn a_purge_that_is_held_back_is_not_due_but_can_be_asked_for() {
    let h = harness().await;
    let (stores, clock) = (&h.stores, &h.clock);
    let started = clock.now();
    // The older state may hold a lease of its own.
    let lease = JobClaim {
        job: "purge",
        holder: Uuid::from_u128(1),
        now: started,
        until: started.plus(600_000),
        unless_done_since: None,
    };
    assert_eq!(stores.jobs.claim(lease).await.unwrap(), ClaimOutcome::Claimed);
    Purge::hold_back(stores.jobs.as_ref(), HOLDER, started, 7 * DAY)
        .await
        .unwrap();
    let mut ids = MockIdGenerator::new();
    ids.expect_next().returning(|| HOLDER);
    let purge = Purge::new(
        Arc::clone(&stores.retention),
        no_garbage(),
        Arc::clone(&stores.user_ids),
        Arc::clone(&stores.jobs),
        Arc::clone(clock) as _,
        Arc::new(ids),
    );
    for (days, is_due) in [(0, false), (7, false), (8, true)] {
        clock.set(started.plus(days * DAY).get());
        let outcome = run(&purge, When::UnlessDoneWithin(DAY)).await;
        assert_eq!(
            matches!(outcome, PurgeOutcome::Done(_)),
            is_due,
            "{days}: {outcome:?}"
        );
    }
    Purge::hold_back(stores.jobs.as_ref(), HOLDER, clock.now(), 7 * DAY)
        .await
        .unwrap();
    let asked = run(&purge, When::Now).await;
    assert!(matches!(asked, PurgeOutcome::Done(_)), "{asked:?}");
}
