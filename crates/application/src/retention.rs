//! Retention (H2): `mosaic purge`, and the daily job that does the same. Bytes of attachments that nobody needs any more go with it.

use std::ops::ControlFlow;
use std::sync::Arc;

use mosaic_domain::UnixMillis;
use mosaic_domain::UserId;
use mosaic_domain::activity::SERVER;
use mosaic_domain::invite::KEPT_AFTER_MS;
use mosaic_domain::lease::{ClaimOutcome, JobClaim};
use mosaic_ports::{ActivityLog, Clock, IdGenerator, InviteStore, Jobs, Retention, StoreError, UserIds};

use crate::garbage::{GarbageCollector, GarbageError};

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
    /// Files of attachments that are gone: parts of uploads and smaller pictures are files of their own.
    pub blobs: u64,
}

/// What became of a purge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PurgeOutcome {
    /// Everything that is older than the retention time is gone.
    Done(Progress),
    /// It was told to stop; the next one goes on.
    Stopped(Progress),
    /// Another instance is doing it, or took over.
    Busy,
    /// It was done lately.
    NotDue,
}

/// Forgets what is older than the retention time.
#[derive(Clone)]
pub struct Purge {
    retention: Arc<dyn Retention>,
    garbage: GarbageCollector,
    users: Arc<dyn UserIds>,
    jobs: Arc<dyn Jobs>,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn IdGenerator>,
    activity: Option<(Arc<dyn ActivityLog>, i64)>,
    invites: Option<Arc<dyn InviteStore>>,
}

impl Purge {
    /// A purge over these ports.
    pub fn new(
        retention: Arc<dyn Retention>,
        garbage: GarbageCollector,
        users: Arc<dyn UserIds>,
        jobs: Arc<dyn Jobs>,
        clock: Arc<dyn Clock>,
        ids: Arc<dyn IdGenerator>,
    ) -> Self {
        Self {
            retention,
            garbage,
            users,
            jobs,
            clock,
            ids,
            activity: None,
            invites: None,
        }
    }

    /// The same purge, which also forgets what happened to accounts more than `ms` milliseconds ago.
    #[must_use]
    pub fn with_activity(mut self, log: Arc<dyn ActivityLog>, ms: i64) -> Self {
        self.activity = Some((log, ms));
        self
    }

    /// The same purge, which also forgets the invites that expired [long ago](KEPT_AFTER_MS).
    #[must_use]
    pub fn with_invites(mut self, invites: Arc<dyn InviteStore>) -> Self {
        self.invites = Some(invites);
        self
    }

    /// Forgets what is older than `retention_ms` milliseconds (`None`: nothing is too old), and removes the bytes of attachments
    /// that nothing names any more, user by user, in short steps. One instance at a time does it. `tell` hears after each step how
    /// far it has come, and may stop it.
    ///
    /// # Errors
    /// [`GarbageError`]. What is gone is gone; the next purge goes on. Where a step of one user fails, the others are purged
    /// all the same, and the first failure is returned at the end.
    pub async fn run(
        &self,
        retention_ms: Option<i64>,
        when: When,
        mut tell: impl FnMut(Progress) -> ControlFlow<()> + Send,
    ) -> Result<PurgeOutcome, GarbageError> {
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
        let mut round = Round {
            purge: self,
            holder,
            started,
            claimed_at: started,
            before: retention_ms.map(|ms| started.plus(-ms)),
            progress: Progress::default(),
            failed: None,
            tell: &mut tell,
        };
        let outcome = match round.run().await {
            Ok(()) => match round.failed {
                None => Ok(PurgeOutcome::Done(round.progress)),
                Some(error) => Err(error),
            },
            Err(End::Stopped) => Ok(PurgeOutcome::Stopped(round.progress)),
            Err(End::TakenOver) => Ok(PurgeOutcome::Busy),
            Err(End::Failed(error)) => Err(error),
        };
        let done = matches!(outcome, Ok(PurgeOutcome::Done(_))).then_some(started);
        let released = self.jobs.release(JOB, holder, done).await;
        let outcome = outcome?;
        released?;
        Ok(outcome)
    }

    /// Sees to it that none is due for so many milliseconds, whatever was done before: after a store was set back to an older
    /// state, which does not know what came since. One that is asked for [`When::Now`] is done all the same.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn hold_back(
        jobs: &dyn Jobs,
        holder: uuid::Uuid,
        now: UnixMillis,
        ms: i64,
    ) -> Result<(), StoreError> {
        // At that moment nobody's lease is good any more: also not one that the older state had.
        let then = now.plus(ms);
        let claim = JobClaim {
            job: JOB,
            holder,
            now: then,
            until: then,
            unless_done_since: None,
        };
        jobs.claim(claim).await?;
        jobs.release(JOB, holder, Some(then)).await
    }

    async fn claim(
        &self,
        holder: uuid::Uuid,
        now: UnixMillis,
        unless_done_since: Option<UnixMillis>,
    ) -> Result<ClaimOutcome, GarbageError> {
        let claim = JobClaim {
            job: JOB,
            holder,
            now,
            until: now.plus(LEASE_MS),
            unless_done_since,
        };
        Ok(self.jobs.claim(claim).await?)
    }
}

/// One purge, under way.
struct Round<'a, T> {
    purge: &'a Purge,
    holder: uuid::Uuid,
    started: UnixMillis,
    claimed_at: UnixMillis,
    before: Option<UnixMillis>,
    progress: Progress,
    failed: Option<GarbageError>,
    tell: &'a mut T,
}

/// Why a purge ends before it is done.
enum End {
    Stopped,
    TakenOver,
    Failed(GarbageError),
}

impl<E: Into<GarbageError>> From<E> for End {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

impl<T: FnMut(Progress) -> ControlFlow<()> + Send> Round<'_, T> {
    async fn run(&mut self) -> Result<(), End> {
        let mut after = None;
        loop {
            let users = self.purge.users.user_ids(after, USERS_AT_ONCE).await?;
            let Some(last) = users.last() else { break };
            after = Some(*last);
            for user in users {
                self.records(user).await?;
                self.activity(user).await?;
                self.bytes(user).await?;
                self.progress.users += 1;
                self.tell()?;
            }
        }
        self.activity(SERVER).await?;
        self.invites().await?;
        self.removed_users().await?;
        let swept = self.purge.garbage.sweep().await;
        self.noted(None, swept);
        Ok(())
    }

    /// Forgets old revisions and contents of one user.
    async fn records(&mut self, user: UserId) -> Result<(), End> {
        let Some(before) = self.before else { return Ok(()) };
        loop {
            self.hold_on().await?;
            let step = self.purge.retention.purge(user, before, ROWS_AT_ONCE).await;
            let Some(step) = self.noted(Some(user), step) else {
                return Ok(());
            };
            self.progress.revisions += step.revisions;
            self.progress.contents += step.contents;
            if !step.more {
                return Ok(());
            }
            self.tell()?;
        }
    }

    /// Forgets old events in one trail.
    async fn activity(&mut self, user: UserId) -> Result<(), End> {
        if let Some((log, ms)) = &self.purge.activity {
            self.hold_on().await?;
            let step = log.forget_before(user, self.started.plus(-ms)).await;
            self.noted(Some(user), step);
        }
        Ok(())
    }

    /// Forgets invites that nobody asks for any more.
    async fn invites(&mut self) -> Result<(), End> {
        if let Some(invites) = &self.purge.invites {
            self.hold_on().await?;
            let step = invites.forget_expired(self.started.plus(-KEPT_AFTER_MS)).await;
            self.noted(None, step);
        }
        Ok(())
    }

    /// Removes the bytes that nothing of one user names any more.
    async fn bytes(&mut self, user: UserId) -> Result<(), End> {
        loop {
            self.hold_on().await?;
            let step = self.purge.garbage.step(user).await;
            let Some((removed, more)) = self.noted(Some(user), step) else {
                return Ok(());
            };
            self.progress.blobs += removed;
            if !more {
                break;
            }
            self.tell()?;
        }
        let mut after = None;
        loop {
            self.hold_on().await?;
            let step = self.purge.garbage.remove_orphans(user, after).await;
            let Some((removed, next)) = self.noted(Some(user), step) else {
                return Ok(());
            };
            self.progress.blobs += removed;
            if next.is_none() {
                return Ok(());
            }
            after = next;
            self.tell()?;
        }
    }

    /// Removes the bytes of accounts that were removed.
    async fn removed_users(&mut self) -> Result<(), End> {
        let mut after = None;
        loop {
            let users = self.purge.garbage.removed_users(after).await;
            let users = self.noted(None, users).unwrap_or_default();
            let Some(last) = users.last() else { return Ok(()) };
            after = Some(*last);
            for user in users {
                loop {
                    self.hold_on().await?;
                    let step = self.purge.garbage.remove_all(user).await;
                    let (removed, more) = self.noted(Some(user), step).unwrap_or_default();
                    self.progress.blobs += removed;
                    if !more {
                        break;
                    }
                    self.tell()?;
                }
            }
        }
    }

    /// The outcome of a step. Where it failed, that is remembered, and the rest goes on.
    fn noted<S, E: Into<GarbageError>>(&mut self, user: Option<UserId>, step: Result<S, E>) -> Option<S> {
        step.map_err(|error| {
            let error = error.into();
            tracing::warn!(?user, error = &error as &dyn std::error::Error, "not purged");
            self.failed.get_or_insert(error);
        })
        .ok()
    }

    /// Claims the job again where that is due.
    async fn hold_on(&mut self) -> Result<(), End> {
        let now = self.purge.clock.now();
        if now.since(self.claimed_at) >= RENEW_MS {
            if self.purge.claim(self.holder, now, None).await? != ClaimOutcome::Claimed {
                return Err(End::TakenOver);
            }
            self.claimed_at = now;
        }
        Ok(())
    }

    fn tell(&mut self) -> Result<(), End> {
        match (self.tell)(self.progress) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(End::Stopped),
        }
    }
}

impl std::fmt::Debug for Purge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Purge")
    }
}
