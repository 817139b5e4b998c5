//! What a running server does once a day: forgetting what is older than the retention time, and removing bytes of
//! attachments that nobody needs.
//!
//! Every instance looks every hour whether it is due. The store sees to it that one at a time does it, and once a day.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use mosaic_application::garbage::GarbageError;
use mosaic_application::retention::{Purge, PurgeOutcome, When};
use mosaic_ports::Randomness;
use tokio::sync::watch;
use tokio::task::{JoinError, JoinHandle};

use crate::metrics::PurgeFigures;

/// How often an instance looks whether the job is due.
const LOOK_EVERY: Duration = Duration::from_hours(1);
/// The job is due when it was not finished for so long, in milliseconds: a little less than a day, so that it does not
/// move by an hour each day.
const DUE_AFTER_MS: i64 = 23 * 3_600_000;
/// How long a server runs at least before it looks for the first time.
const FIRST_AFTER: Duration = Duration::from_secs(30);
/// Instances that start together look at different moments within so many milliseconds.
const SPREAD_MS: u16 = 60_000;

/// The daily job.
#[derive(Debug, Clone)]
pub(crate) struct DailyJob {
    purge: Purge,
    retention_ms: Option<i64>,
    figures: Arc<PurgeFigures>,
}

/// What became of one look.
#[derive(Debug)]
enum Look {
    /// The purge came to this end.
    Ended(PurgeOutcome),
    /// The store or the storage of attachments failed.
    Failed(GarbageError),
    /// There is a mistake in the program.
    Panicked(JoinError),
}

impl DailyJob {
    /// A job that forgets what is older than that many milliseconds; with `None` nothing is too old.
    pub(crate) fn new(purge: Purge, retention_ms: Option<i64>, figures: Arc<PurgeFigures>) -> Self {
        Self {
            purge,
            retention_ms,
            figures,
        }
    }

    /// Does the job in the background, until `stopping` is true; then it ends after the step that it is in. It never fails.
    pub(crate) fn start(
        self,
        stopping: watch::Receiver<bool>,
        randomness: &dyn Randomness,
    ) -> JoinHandle<()> {
        let first = first_pause(randomness.secret());
        tokio::spawn(self.run(stopping, first, LOOK_EVERY))
    }

    async fn run(self, mut stopping: watch::Receiver<bool>, first: Duration, then: Duration) {
        let mut pause = first;
        while paused(&mut stopping, pause).await {
            let look = self.look(stopping.clone()).await;
            self.count(&look);
            log(&look);
            pause = then;
        }
    }

    /// Does the job if it is due, on a task of its own: a panic ends nothing else.
    async fn look(&self, stopping: watch::Receiver<bool>) -> Look {
        let (purge, retention_ms) = (self.purge.clone(), self.retention_ms);
        let work = async move {
            let due = When::UnlessDoneWithin(DUE_AFTER_MS);
            let tell = |_| go_on_unless(&stopping);
            purge.run(retention_ms, due, tell).await
        };
        match tokio::spawn(work).await {
            Ok(Ok(outcome)) => Look::Ended(outcome),
            Ok(Err(error)) => Look::Failed(error),
            Err(error) => Look::Panicked(error),
        }
    }

    fn count(&self, look: &Look) {
        match look {
            Look::Ended(PurgeOutcome::Done(done)) => self.figures.done(*done),
            Look::Ended(PurgeOutcome::Stopped(done)) => self.figures.stopped(*done),
            Look::Ended(PurgeOutcome::Busy | PurgeOutcome::NotDue) => {}
            Look::Failed(_) | Look::Panicked(_) => self.figures.failed(),
        }
    }
}

/// What a purge is told after each step.
pub(crate) fn go_on_unless(stopping: &watch::Receiver<bool>) -> ControlFlow<()> {
    if *stopping.borrow() {
        ControlFlow::Break(())
    } else {
        ControlFlow::Continue(())
    }
}

/// Waits; says whether to go on, which is not so when the server stops.
async fn paused(stopping: &mut watch::Receiver<bool>, pause: Duration) -> bool {
    tokio::select! {
        biased;
        _ = stopping.wait_for(|stopping| *stopping) => false,
        () = tokio::time::sleep(pause) => true,
    }
}

/// About a minute, and another one on each instance.
fn first_pause(random: [u8; 32]) -> Duration {
    let random = u16::from_be_bytes([random[0], random[1]]);
    FIRST_AFTER + Duration::from_millis(u64::from(random % SPREAD_MS))
}

fn log(look: &Look) {
    match look {
        Look::Ended(PurgeOutcome::Done(done)) => tracing::info!(
            users = done.users,
            revisions = done.revisions,
            contents = done.contents,
            blobs = done.blobs,
            "purged what nobody needs any more"
        ),
        Look::Ended(PurgeOutcome::Stopped(done)) => tracing::info!(
            users = done.users,
            revisions = done.revisions,
            contents = done.contents,
            blobs = done.blobs,
            "the purge was interrupted, and goes on another time"
        ),
        Look::Ended(PurgeOutcome::Busy) => tracing::debug!("another instance is purging"),
        Look::Ended(PurgeOutcome::NotDue) => tracing::debug!("the purge is not due"),
        Look::Failed(error) => tracing::warn!(
            error = error as &dyn std::error::Error,
            "the purge failed, and is tried again in an hour"
        ),
        Look::Panicked(error) => tracing::warn!(%error, "the purge panicked, and is tried again in an hour"),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use mosaic_application::garbage::GarbageCollector;
    use mosaic_application::retention::Progress;
    use mosaic_domain::attachment::Collected;
    use mosaic_domain::lease::{ClaimOutcome, JobClaim};
    use mosaic_domain::{UnixMillis, UserId};
    use mosaic_ports::{
        BlobError, Clock, Figures as _, MockBlobStore, MockJobs, MockOrphanIndex, MockRetention,
        MockUploadStore, MockUserIds, Purged, Reading, StoreError,
    };
    use mosaic_testkit::{ManualClock, SequentialIds};
    use uuid::Uuid;

    use super::*;

    const DAY_MS: i64 = 24 * 3_600_000;

    /// What happens in a step, which is told how many there were before.
    type Step = Box<dyn Fn(usize) -> Result<Purged, StoreError> + Send + Sync>;

    /// A job over one user, and what it claimed and did.
    struct Scene {
        daily: DailyJob,
        purge: Purge,
        clock: Arc<ManualClock>,
        claims: Arc<Mutex<Vec<JobClaim>>>,
        steps: Arc<Mutex<Vec<UnixMillis>>>,
    }

    fn scene(claim: ClaimOutcome, step: Step) -> Scene {
        let mut blobs = MockBlobStore::new();
        blobs.expect_remove().returning(|_| Ok(()));
        blobs.expect_list().returning(|_, _| Ok(Vec::new()));
        blobs.expect_sweep().returning(|_| Ok(0));
        scene_with(claim, step, blobs)
    }

    /// The user has one blob that nothing names.
    fn garbage(blobs: MockBlobStore, clock: &Arc<ManualClock>) -> GarbageCollector {
        let (mut contents, mut uploads) = (MockOrphanIndex::new(), MockUploadStore::new());
        uploads
            .expect_drop_expired()
            .returning(|_, _, _| Ok(Collected::default()));
        contents.expect_collect_unreferenced().returning(|_, _, _| {
            Ok(Collected {
                blobs: vec![Uuid::from_u128(2)],
                more: false,
            })
        });
        contents.expect_removed_users().returning(|_, _| Ok(Vec::new()));
        contents.expect_referenced().returning(|_, _| Ok(Vec::new()));
        GarbageCollector::new(
            Arc::new(contents),
            Arc::new(uploads),
            Arc::new(blobs),
            Arc::clone(clock) as _,
        )
    }

    fn scene_with(claim: ClaimOutcome, step: Step, blobs: MockBlobStore) -> Scene {
        let clock = Arc::new(ManualClock::default());
        let (claims, steps) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(Vec::new())));
        let (mut jobs, mut retention, mut users) =
            (MockJobs::new(), MockRetention::new(), MockUserIds::new());
        let seen = Arc::clone(&claims);
        jobs.expect_claim().returning(move |asked| {
            seen.lock().unwrap().push(asked);
            Ok(claim)
        });
        jobs.expect_release().returning(|_, _, _| Ok(()));
        users.expect_user_ids().returning(|after, _| {
            Ok(match after {
                None => vec![UserId::new(Uuid::from_u128(1))],
                Some(_) => Vec::new(),
            })
        });
        let seen = Arc::clone(&steps);
        retention.expect_purge().returning(move |_, before, _| {
            let done = {
                let mut seen = seen.lock().unwrap();
                seen.push(before);
                seen.len() - 1
            };
            step(done)
        });
        let purge = Purge::new(
            Arc::new(retention),
            garbage(blobs, &clock),
            Arc::new(users),
            Arc::new(jobs),
            Arc::clone(&clock) as _,
            Arc::new(SequentialIds::default()),
        );
        Scene {
            daily: DailyJob::new(purge.clone(), Some(90 * DAY_MS), Arc::default()),
            purge,
            clock,
            claims,
            steps,
        }
    }

    fn three_steps() -> Step {
        Box::new(|before| {
            Ok(Purged {
                revisions: 5,
                contents: 1,
                more: before % 3 < 2,
            })
        })
    }

    fn running() -> (watch::Sender<bool>, watch::Receiver<bool>) {
        watch::channel(false)
    }

    #[tokio::test]
    async fn a_look_does_what_is_due() {
        let scene = scene(ClaimOutcome::Claimed, three_steps());
        let (_server, stopping) = running();
        let Look::Ended(outcome) = scene.daily.look(stopping).await else {
            panic!("it went wrong")
        };
        let all = Progress {
            users: 1,
            revisions: 15,
            contents: 3,
            blobs: 1,
        };
        assert_eq!(outcome, PurgeOutcome::Done(all));
        let now = scene.clock.now();
        assert_eq!(*scene.steps.lock().unwrap(), [now.plus(-90 * DAY_MS); 3]);
        let since = scene.claims.lock().unwrap()[0].unless_done_since;
        assert_eq!(since, Some(now.plus(-23 * 3_600_000)));
    }

    #[tokio::test]
    async fn what_is_not_due_or_somebody_else_s_is_left_alone() {
        for (claim, expected) in [
            (ClaimOutcome::Busy, PurgeOutcome::Busy),
            (ClaimOutcome::Done, PurgeOutcome::NotDue),
        ] {
            let scene = scene(claim, three_steps());
            let (_server, stopping) = running();
            let look = scene.daily.look(stopping).await;
            assert!(
                matches!(look, Look::Ended(outcome) if outcome == expected),
                "{look:?}"
            );
            assert!(scene.steps.lock().unwrap().is_empty());
        }
    }

    #[tokio::test]
    async fn errors_and_panics_end_nothing() {
        let failing: Step = Box::new(|before| match before {
            0 => Err(StoreError::Unavailable("gone".into())),
            1 => Ok(Purged::default()),
            _ => panic!("a mistake"),
        });
        let scene = scene(ClaimOutcome::Claimed, failing);
        let (_server, stopping) = running();
        let first = scene.daily.look(stopping.clone()).await;
        assert!(matches!(first, Look::Failed(_)), "{first:?}");
        let second = scene.daily.look(stopping.clone()).await;
        assert!(matches!(second, Look::Ended(PurgeOutcome::Done(_))), "{second:?}");
        let third = scene.daily.look(stopping).await;
        assert!(matches!(third, Look::Panicked(_)), "{third:?}");
        for look in [first, second, third] {
            log(&look);
            scene.daily.count(&look);
        }
        assert_eq!(
            purges(&scene.daily.figures),
            [("done", 1), ("stopped", 0), ("failed", 2)]
        );
    }

    /// How many purges ended in which way.
    fn purges(figures: &PurgeFigures) -> [(&'static str, u64); 3] {
        let figures = figures.figures();
        let purges = figures.iter().find(|figure| figure.name == "mosaic_purges_total");
        let series = &purges.unwrap().series;
        ["done", "stopped", "failed"].map(|outcome| {
            let of_it = series.iter().find(|series| series.labels[0].1 == outcome);
            match of_it.unwrap().reading {
                Reading::Counter(count) => (outcome, count),
                _ => panic!("a counter"),
            }
        })
    }

    #[tokio::test]
    async fn where_nothing_is_ever_too_old_bytes_go_all_the_same() {
        let scene = scene(ClaimOutcome::Claimed, three_steps());
        let (_server, stopping) = running();
        let look = DailyJob::new(scene.purge, None, Arc::default())
            .look(stopping)
            .await;
        let Look::Ended(PurgeOutcome::Done(done)) = look else {
            panic!("{look:?}")
        };
        assert_eq!((done.blobs, done.revisions, done.contents), (1, 0, 0));
        assert!(scene.steps.lock().unwrap().is_empty());
    }

    #[tokio::test]
    async fn storage_that_fails_keeps_no_record_from_being_purged() {
        let mut blobs = MockBlobStore::new();
        let away = || BlobError::Unavailable("connection refused".into());
        blobs.expect_remove().returning(move |_| Err(away()));
        blobs.expect_list().returning(move |_, _| Err(away()));
        blobs.expect_sweep().returning(move |_| Err(away()));
        let scene = scene_with(ClaimOutcome::Claimed, three_steps(), blobs);
        let (_server, stopping) = running();
        let look = scene.daily.look(stopping).await;
        assert!(
            matches!(look, Look::Failed(GarbageError::Blobs(BlobError::Unavailable(_)))),
            "{look:?}"
        );
        assert_eq!(scene.steps.lock().unwrap().len(), 3);
    }

    #[tokio::test]
    async fn it_looks_again_and_again_until_the_server_stops_and_then_ends_between_two_steps() {
        let (server, stopping) = running();
        let stop_in_the_third_look: Step = Box::new(move |before| {
            if before == 7 {
                server.send_replace(true);
            }
            Ok(Purged {
                more: before % 3 < 2,
                ..Purged::default()
            })
        });
        let scene = scene(ClaimOutcome::Claimed, stop_in_the_third_look);
        let figures = Arc::clone(&scene.daily.figures);
        scene.daily.run(stopping, Duration::ZERO, Duration::ZERO).await;
        assert_eq!(purges(&figures), [("done", 2), ("stopped", 1), ("failed", 0)]);
        assert_eq!(scene.claims.lock().unwrap().len(), 3);
        assert_eq!(
            scene.steps.lock().unwrap().len(),
            8,
            "the ninth step was not taken"
        );
    }

    #[tokio::test]
    async fn a_server_that_stops_does_not_wait_for_the_next_look() {
        let scene = scene(ClaimOutcome::Claimed, three_steps());
        let (server, stopping) = running();
        server.send_replace(true);
        scene.daily.run(stopping, Duration::MAX, Duration::MAX).await;
        assert!(scene.claims.lock().unwrap().is_empty());
    }

    #[test]
    fn instances_that_start_together_look_at_different_moments() {
        assert_eq!(first_pause([0; 32]), FIRST_AFTER);
        let mut late = [0; 32];
        late[..2].copy_from_slice(&(SPREAD_MS - 1).to_be_bytes());
        assert_eq!(first_pause(late), FIRST_AFTER + Duration::from_millis(59_999));
        assert!(first_pause([0xff; 32]) < FIRST_AFTER + Duration::from_mins(1));
    }
}
