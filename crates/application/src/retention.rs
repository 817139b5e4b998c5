//! Retention (H2): `mosaic purge`, and the daily job that does the same.

use std::ops::ControlFlow;
use std::sync::Arc;

use mosaic_domain::UnixMillis;
use mosaic_ports::{ClaimOutcome, Clock, IdGenerator, JobClaim, Jobs, Retention, StoreError, Transfer};

/// The job's name in the store.
const JOB: &str = "purge";
/// One instance holds the job for so long; whoever works goes on claiming it. In milliseconds.
const LEASE_MS: i64 = 10 * 60_000;
/// A claim is renewed when it is this old. In milliseconds.
const RENEW_MS: i64 = 60_000;
/// How many rows one step takes, and so for how long it holds a user's lock.
const ROWS_AT_ONCE: u32 = 500;
/// How many users are asked for at once.
const USERS_AT_ONCE: u32 = 500;

/// When a purge is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// Now: somebody asks for it.
    Now,
    /// Unless one was finished less than this many milliseconds ago, on whatever instance.
    UnlessDoneWithin(i64),
}

/// How far a purge has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    /// Users that are done.
    pub users: u64,
    /// Revisions that are gone.
    pub revisions: u64,
    /// Tombstones whose content is gone.
    pub contents: u64,
}

/// What became of a purge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PurgeOutcome {
    /// Everything that is older than the retention time is gone.
    Done(Progress),
    /// It was told to stop; the next one goes on.
    Stopped(Progress),
    /// Another instance is at it, or took over.
    Busy,
    /// It was done lately.
    NotDue,
}

/// Forgets what is older than the retention time.
#[derive(Clone)]
pub struct Purge {
    retention: Arc<dyn Retention>,
    users: Arc<dyn Transfer>,
    jobs: Arc<dyn Jobs>,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn IdGenerator>,
}

impl Purge {
    /// A purge over these ports.
    pub fn new(
        retention: Arc<dyn Retention>,
        users: Arc<dyn Transfer>,
        jobs: Arc<dyn Jobs>,
        clock: Arc<dyn Clock>,
        ids: Arc<dyn IdGenerator>,
    ) -> Self {
        Self {
            retention,
            users,
            jobs,
            clock,
            ids,
        }
    }

    /// Forgets what is older than `retention_ms` milliseconds, user by user, in short steps. One instance at a time does it.
    /// `tell` hears after each step how far it has come, and may stop it.
    ///
    /// # Errors
    /// [`StoreError`]. What is gone is gone; the next purge goes on. Where a step of one user fails, the others are purged
    /// all the same, and the first failure is returned at the end.
    pub async fn run(
        &self,
        retention_ms: i64,
        when: When,
        mut tell: impl FnMut(Progress) -> ControlFlow<()> + Send,
    ) -> Result<PurgeOutcome, StoreError> {
        let holder = self.ids.next();
        let started = self.clock.now();
        let unless_done_since = match when {
            When::Now => None,
            When::UnlessDoneWithin(ms) => Some(started.plus(-ms)),
        };
        match self.claim(holder, started, unless_done_since).await? {
            ClaimOutcome::Claimed => {}
            ClaimOutcome::Busy => return Ok(PurgeOutcome::Busy),
            ClaimOutcome::Done => return Ok(PurgeOutcome::NotDue),
        }
        let outcome = self
            .purge(holder, started, started.plus(-retention_ms), &mut tell)
            .await;
        let done = matches!(outcome, Ok(PurgeOutcome::Done(_))).then_some(started);
        let released = self.jobs.release(JOB, holder, done).await;
        let outcome = outcome?;
        released.map(|()| outcome)
    }

    async fn purge(
        &self,
        holder: uuid::Uuid,
        mut claimed_at: UnixMillis,
        before: UnixMillis,
        tell: &mut (impl FnMut(Progress) -> ControlFlow<()> + Send),
    ) -> Result<PurgeOutcome, StoreError> {
        let mut progress = Progress::default();
        let mut after = None;
        let mut failed = None;
        loop {
            let users = self.users.user_ids(after, USERS_AT_ONCE).await?;
            let Some(last) = users.last() else {
                return failed.map_or(Ok(PurgeOutcome::Done(progress)), Err);
            };
            after = Some(*last);
            for user in users {
                loop {
                    let now = self.clock.now();
                    if now.since(claimed_at) >= RENEW_MS {
                        if self.claim(holder, now, None).await? != ClaimOutcome::Claimed {
                            return Ok(PurgeOutcome::Busy);
                        }
                        claimed_at = now;
                    }
                    let step = match self.retention.purge(user, before, ROWS_AT_ONCE).await {
                        Ok(step) => step,
                        Err(error) => {
                            tracing::warn!(%user, error = &error as &dyn std::error::Error, "not purged");
                            failed.get_or_insert(error);
                            break;
                        }
                    };
                    progress.revisions += step.revisions;
                    progress.contents += step.contents;
                    progress.users += u64::from(!step.more);
                    if tell(progress).is_break() {
                        return Ok(PurgeOutcome::Stopped(progress));
                    }
                    if !step.more {
                        break;
                    }
                }
            }
        }
    }

    async fn claim(
        &self,
        holder: uuid::Uuid,
        now: UnixMillis,
        unless_done_since: Option<UnixMillis>,
    ) -> Result<ClaimOutcome, StoreError> {
        let claim = JobClaim {
            job: JOB,
            holder,
            now,
            until: now.plus(LEASE_MS),
            unless_done_since,
        };
        self.jobs.claim(claim).await
    }
}

impl std::fmt::Debug for Purge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Purge")
    }
}
