//! What waits for the writer. Each user has a lane, and the lanes take turns: whoever sends a thousand writes waits for
//! their own, and others for one of them. What belongs to no user has a lane too.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use mosaic_domain::UserId;
use tokio::sync::oneshot;

use super::Job;
use super::figures::WriterFigures;
use crate::error::Failure;

/// Whose jobs; `None`: nobody's in particular.
pub(crate) type Lane = Option<UserId>;

/// How much may wait, and for how long.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub(super) all: usize,
    pub(super) per_user: usize,
    pub(super) wait: Duration,
}

/// A job in its lane.
struct Waiting {
    job: Box<dyn Job>,
    since: Instant,
}

#[derive(Default)]
struct Lanes {
    /// Those that have jobs, in the order of their turns.
    turns: VecDeque<Lane>,
    jobs: HashMap<Lane, VecDeque<Waiting>>,
    waiting: usize,
    /// Whether there may be served cursors to write (D1).
    has_served: bool,
    is_closed: bool,
    has_ended: bool,
    /// Whoever waits for the end.
    closing: Vec<oneshot::Sender<()>>,
}

impl Lanes {
    /// Takes the first job of a lane, which has had its turn then.
    fn take(&mut self, at: usize, lane: Lane) -> Option<Waiting> {
        let jobs = self.jobs.get_mut(&lane)?;
        let first = jobs.pop_front();
        let is_empty = jobs.is_empty();
        self.turns.remove(at);
        if is_empty {
            self.jobs.remove(&lane);
        } else {
            self.turns.push_back(lane);
        }
        self.waiting -= usize::from(first.is_some());
        first
    }
}

/// The queue, shared by the writer and its callers.
pub(super) struct Queue {
    lanes: Mutex<Lanes>,
    changed: Condvar,
    bounds: Bounds,
    figures: Arc<WriterFigures>,
}

/// What the writer gets when it asks for the next job.
pub(super) enum Next {
    Job(Box<dyn Job>),
    /// Who has the turn brings a large job, which wants a transaction of its own.
    Large,
    /// One whose caller is to be told that it waited for too long.
    Late(Box<dyn Job>),
    Nothing,
}

impl Queue {
    pub(super) fn new(bounds: Bounds, figures: Arc<WriterFigures>) -> Self {
        Self {
            lanes: Mutex::default(),
            changed: Condvar::new(),
            bounds,
            figures,
        }
    }

    fn lanes(&self) -> MutexGuard<'_, Lanes> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has a job wait for its lane's turn.
    pub(super) fn push(&self, lane: Lane, job: Box<dyn Job>) -> Result<(), Failure> {
        let mut lanes = self.lanes();
        if lanes.is_closed {
            return Err(super::closed());
        }
        let ahead = lanes.jobs.get(&lane).map_or(0, VecDeque::len);
        if lanes.waiting >= self.bounds.all || (lane.is_some() && ahead >= self.bounds.per_user) {
            self.figures.refused();
            return Err(Failure::unavailable("too many writes are waiting"));
        }
        if ahead == 0 {
            lanes.turns.push_back(lane);
        }
        lanes.waiting += 1;
        lanes.jobs.entry(lane).or_default().push_back(Waiting {
            job,
            since: Instant::now(),
        });
        drop(lanes);
        self.changed.notify_one();
        Ok(())
    }

    /// Says that there are served cursors.
    pub(super) fn remind(&self) {
        self.lanes().has_served = true;
        self.changed.notify_one();
    }

    /// Waits until there is something to do. `false`: there will be no more.
    pub(super) fn wait(&self) -> bool {
        let is_idle = |lanes: &mut Lanes| lanes.waiting == 0 && !lanes.has_served && !lanes.is_closed;
        let woken = self.changed.wait_while(self.lanes(), is_idle);
        let mut lanes = woken.unwrap_or_else(PoisonError::into_inner);
        let is_over = lanes.waiting == 0 && !lanes.has_served;
        lanes.has_served = false;
        !is_over
    }

    /// The job whose turn it is. With those of a transaction that has begun, only one that has waited since before, and no
    /// large one. Those that nobody waits for any more are left out.
    pub(super) fn next(&self, began: Option<Instant>) -> Next {
        let mut lanes = self.lanes();
        let mut at = 0;
        while let Some(lane) = lanes.turns.get(at).copied() {
            let Some(first) = lanes.jobs.get(&lane).and_then(VecDeque::front) else {
                lanes.turns.remove(at);
                continue;
            };
            if !first.job.is_abandoned() {
                if began.is_some_and(|began| first.since > began) {
                    at += 1;
                    continue;
                }
                if began.is_some() && first.job.is_large() {
                    return Next::Large;
                }
            }
            let Some(Waiting { job, since }) = lanes.take(at, lane) else {
                continue;
            };
            if job.is_abandoned() {
                continue;
            }
            return if since.elapsed() > self.bounds.wait {
                Next::Late(job)
            } else {
                self.figures.waited(since.elapsed());
                Next::Job(job)
            };
        }
        Next::Nothing
    }

    /// How many jobs wait.
    pub(super) fn waiting(&self) -> usize {
        self.lanes().waiting
    }

    pub(super) fn is_open(&self) -> bool {
        !self.lanes().is_closed
    }

    /// Takes no more jobs. Whoever waits is told when those that are there have been carried out.
    pub(super) fn close(&self, closing: Option<oneshot::Sender<()>>) {
        let mut lanes = self.lanes();
        lanes.is_closed = true;
        if !lanes.has_ended {
            lanes.closing.extend(closing);
        }
        drop(lanes);
        self.changed.notify_one();
    }

    /// There is nobody any more who would carry anything out: whoever waits is told.
    pub(super) fn end(&self) {
        let mut lanes = self.lanes();
        let ended = Lanes {
            is_closed: true,
            has_ended: true,
            ..Lanes::default()
        };
        let closing = std::mem::replace(&mut *lanes, ended).closing;
        drop(lanes);
        for closing in closing {
            let _ = closing.send(());
        }
    }
}

impl std::fmt::Debug for Queue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Queue({})", self.lanes().waiting)
    }
}
