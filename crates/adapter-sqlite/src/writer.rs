//! The one writer: a thread that owns the write connection and takes jobs from a bounded queue.
//!
//! * SQLite has one writer at a time; giving it one thread makes that a queue instead of a fight for locks. So writes of
//!   one user never interleave (S1), and an async worker never waits for a disk.
//! * Users take turns, one job each (`queue`): who sends much waits for their own.
//! * Group commit: whatever queues up while the disk is busy shares the next transaction, and its one sync, as far as that
//!   does not make it long. A large job has a transaction of its own. Each job runs in a savepoint of its own, so that one
//!   that fails, or panics, takes nobody with it.
//! * Nobody is answered before the commit has succeeded (W8). A job whose caller has gone before it starts is skipped;
//!   one that has started is carried out whole.
//! * Whoever listens is told of the clocks that a group moved and of the logins that it ended, once each, after its commit (N1).

mod figures;
mod queue;

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use mosaic_domain::UserId;
use mosaic_domain::write::WritePlan;
use mosaic_ports::{CommitListener, Figure};
use rusqlite::Connection;
use tokio::sync::oneshot;

use crate::at_rest::{AtRest, Touches};
use crate::commits::{CommitEvent, Listeners};
use crate::condition::Condition;
use crate::connect::FileLock;
use crate::cursors::Remembered;
use crate::error::Failure;

use figures::WriterFigures;
use queue::{Bounds, Lane, Next, Queue};

/// From so many bytes on a write is a large one.
const LARGE: usize = 64 * 1024;
/// A transaction that has taken so long is committed, whoever waits for the next one.
const LONG: Duration = Duration::from_millis(20);

/// A job, whatever it answers.
trait Job: Send {
    /// Whether nobody waits for the answer any more.
    fn is_abandoned(&self) -> bool;
    /// Whether it writes much, and so has a transaction of its own.
    fn is_large(&self) -> bool;
    /// Does the work, inside the savepoint. Says whether its changes are to be kept.
    fn run(&mut self, conn: &Connection) -> bool;
    /// What others are told of its changes, if they are to be kept.
    fn event(&self) -> Option<CommitEvent>;
    /// Whose clock or logins it may have changed.
    fn touches(&self) -> Touches;
    /// Answers, once it is known what became of the transaction.
    fn finish(self: Box<Self>, committed: Result<(), Failure>);
}

struct Task<T, W, N> {
    work: Option<W>,
    is_large: bool,
    touches: Touches,
    tells: N,
    outcome: Option<Result<T, Failure>>,
    reply: oneshot::Sender<Result<T, Failure>>,
}

impl<T, W, N> Job for Task<T, W, N>
where
    T: Send,
    W: FnOnce(&Connection) -> Result<T, Failure> + Send,
    N: Fn(&T) -> Option<CommitEvent> + Send,
{
    fn is_abandoned(&self) -> bool {
        self.reply.is_closed()
    }

    fn is_large(&self) -> bool {
        self.is_large
    }

    fn run(&mut self, conn: &Connection) -> bool {
        let Some(work) = self.work.take() else {
            return false;
        };
        let outcome = catch_unwind(AssertUnwindSafe(|| work(conn))).unwrap_or_else(panicked);
        let keep = outcome.is_ok();
        self.outcome = Some(outcome);
        keep
    }

    fn event(&self) -> Option<CommitEvent> {
        let done = self.outcome.as_ref()?.as_ref().ok()?;
        (self.tells)(done)
    }

    fn touches(&self) -> Touches {
        self.touches
    }

    fn finish(self: Box<Self>, committed: Result<(), Failure>) {
        let answer = match (self.outcome, committed) {
            (Some(Err(failure)), _) | (_, Err(failure)) => Err(failure),
            (Some(Ok(value)), Ok(())) => Ok(value),
            (None, Ok(())) => Err(Failure::unavailable("the job was not run")),
        };
        // A caller that has gone meanwhile wants no answer.
        let _ = self.reply.send(answer);
    }
}

fn panicked<T>(_: Box<dyn Any + Send>) -> Result<T, Failure> {
    // The panic hook has reported it, with its place.
    Err(Failure::Panicked)
}

/// The callers' side. Cheap to clone; the thread ends after the last one is gone, or when it is closed.
#[derive(Debug, Clone)]
pub(crate) struct Writer {
    queue: Arc<Open>,
    remembered: Arc<Remembered>,
    listeners: Arc<Listeners>,
    at_rest: Arc<AtRest>,
    condition: Arc<Condition>,
    figures: Arc<WriterFigures>,
}

/// A queue that is closed when nobody can put anything into it any more.
#[derive(Debug)]
struct Open(Arc<Queue>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.close(None);
    }
}

/// A queue that nobody waits in any more once the thread is gone, whatever ended it.
struct Served(Arc<Queue>);

impl Drop for Served {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// How the thread works.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WriterSettings {
    /// The most jobs that share one commit.
    pub(crate) group_commit_max: usize,
    /// The most jobs that wait.
    pub(crate) queue_max: usize,
    /// The most of them that are one user's.
    pub(crate) queue_max_per_user: usize,
    /// How long a job waits for its turn.
    pub(crate) queue_timeout: Duration,
}

impl Writer {
    /// Starts the thread. It keeps the file's lock until it has closed the connection.
    pub(crate) fn start(
        conn: Connection,
        lock: Option<FileLock>,
        settings: WriterSettings,
        condition: Arc<Condition>,
    ) -> std::io::Result<Self> {
        let figures = Arc::new(WriterFigures::new());
        let bounds = Bounds {
            all: settings.queue_max.max(1),
            per_user: settings.queue_max_per_user.max(1),
            wait: settings.queue_timeout,
        };
        let queue = Arc::new(Queue::new(bounds, Arc::clone(&figures)));
        let remembered = Arc::<Remembered>::default();
        let listeners = Arc::<Listeners>::default();
        let at_rest = Arc::<AtRest>::default();
        let thread = WriterThread {
            conn,
            queue: Arc::clone(&queue),
            remembered: remembered.clone(),
            listeners: listeners.clone(),
            at_rest: at_rest.clone(),
            condition: Arc::clone(&condition),
            figures: Arc::clone(&figures),
            group_max: settings.group_commit_max.max(1),
        };
        std::thread::Builder::new()
            .name("sqlite-writer".into())
            .spawn(move || thread.run(lock))?;
        Ok(Self {
            queue: Arc::new(Open(queue)),
            remembered,
            listeners,
            at_rest,
            condition,
            figures,
        })
    }

    /// Does some work in a transaction, alone on the write connection, and answers once it is committed. Work that fails
    /// leaves nothing behind.
    pub(crate) async fn run<T, W>(&self, work: W) -> Result<T, Failure>
    where
        T: Send + 'static,
        W: FnOnce(&Connection) -> Result<T, Failure> + Send + 'static,
    {
        self.submit(None, Touches::Everybody, 0, work, |_| None).await
    }

    /// Looks something up that was written before, on the write connection.
    pub(crate) async fn read<T, W>(&self, look_up: W) -> Result<T, Failure>
    where
        T: Send + 'static,
        W: FnOnce(&Connection) -> Result<T, Failure> + Send + 'static,
    {
        self.submit(None, Touches::Nobody, 0, look_up, |_| None).await
    }

    /// Does some work for a user, in the user's turn.
    pub(crate) async fn run_for<T, W>(&self, user: UserId, work: W) -> Result<T, Failure>
    where
        T: Send + 'static,
        W: FnOnce(&Connection) -> Result<T, Failure> + Send + 'static,
    {
        self.submit(Some(user), Touches::User(user), 0, work, |_| None)
            .await
    }

    /// Does work that carries out a plan for a user, in the user's turn, and tells whoever listens of the clock that it
    /// leaves. It brings about so many bytes.
    pub(crate) async fn write<W>(&self, user: UserId, bytes: usize, work: W) -> Result<WritePlan, Failure>
    where
        W: FnOnce(&Connection) -> Result<WritePlan, Failure> + Send + 'static,
    {
        let moves = move |plan: &WritePlan| {
            (!plan.records.is_empty()).then_some(CommitEvent::Moved(user, plan.clock))
        };
        self.submit(Some(user), Touches::User(user), bytes, work, moves)
            .await
    }

    /// Does work that changes neither records nor accounts nor logins: nobody is told of it.
    pub(crate) async fn aside<T, W>(&self, work: W) -> Result<T, Failure>
    where
        T: Send + 'static,
        W: FnOnce(&Connection) -> Result<T, Failure> + Send + 'static,
    {
        self.submit(None, Touches::Nobody, 0, work, |_| None).await
    }

    /// Does work that may change one account or its logins, and says so.
    pub(crate) async fn change_account<T, W>(&self, work: W) -> Result<T, Failure>
    where
        T: Send + 'static,
        W: FnOnce(&Connection) -> Result<(T, Option<CommitEvent>), Failure> + Send + 'static,
    {
        let tells = |(_, event): &(T, Option<CommitEvent>)| *event;
        let (done, _) = self.submit(None, Touches::Nobody, 0, work, tells).await?;
        Ok(done)
    }

    async fn submit<T, W, N>(
        &self,
        lane: Lane,
        touches: Touches,
        bytes: usize,
        work: W,
        tells: N,
    ) -> Result<T, Failure>
    where
        T: Send + 'static,
        W: FnOnce(&Connection) -> Result<T, Failure> + Send + 'static,
        N: Fn(&T) -> Option<CommitEvent> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let task = Task {
            work: Some(work),
            is_large: bytes >= LARGE,
            touches,
            tells,
            outcome: None,
            reply,
        };
        self.queue.0.push(lane, Box::new(task))?;
        let answer = answer.await.map_err(|_| closed())?;
        answer.inspect_err(|failure| self.condition.learn_from(failure))
    }

    /// Has cursors written soon. Never waits.
    pub(crate) fn remember(&self, served: mosaic_ports::ServedCursors) {
        if self.remembered.put(served) {
            self.queue.0.remind();
        }
    }

    /// Has somebody told of commits, from now on.
    pub(crate) fn listen(&self, listener: Arc<dyn CommitListener>) {
        self.listeners.add(listener);
    }

    /// What is remembered of who has nothing to fetch.
    pub(crate) fn at_rest(&self) -> &AtRest {
        &self.at_rest
    }

    /// Whether the thread takes jobs.
    pub(crate) fn is_open(&self) -> bool {
        self.queue.0.is_open()
    }

    /// What it counts.
    pub(crate) fn figures(&self) -> Vec<Figure> {
        self.figures.figures(self.queue.0.waiting())
    }

    /// Has everything that is queued carried out, the log written back into the file, and the file let go.
    pub(crate) async fn close(&self) {
        let (reply, done) = oneshot::channel();
        self.queue.0.close(Some(reply));
        // No answer means that the thread is gone, which is what was asked for.
        let _ = done.await;
    }
}

fn closed() -> Failure {
    Failure::unavailable("the store is closed")
}

struct WriterThread {
    conn: Connection,
    queue: Arc<Queue>,
    remembered: Arc<Remembered>,
    listeners: Arc<Listeners>,
    at_rest: Arc<AtRest>,
    condition: Arc<Condition>,
    figures: Arc<WriterFigures>,
    group_max: usize,
}

/// Why a transaction came to nothing, shared by all of its jobs.
type Uncommitted = Arc<rusqlite::Error>;

impl WriterThread {
    fn run(self, lock: Option<FileLock>) {
        let _served = Served(Arc::clone(&self.queue));
        while self.queue.wait() {
            self.carry_out();
        }
        // Fails on a database in memory, which has no log, and while somebody reads: the next start does it then.
        let _ = self.conn.pragma_update(None, "wal_checkpoint", "TRUNCATE");
        drop(self.conn);
        drop(lock);
    }

    /// Carries out as many jobs as one transaction takes, and answers them.
    fn carry_out(&self) {
        let (mut done, began) = (Vec::new(), Instant::now());
        let committed = self.transaction(&mut done);
        match &committed {
            _ if done.is_empty() => {}
            Ok(()) => self.figures.committed(done.len(), began.elapsed()),
            Err(_) => self.figures.failed(),
        }
        if let (Err(error), true) = (&committed, done.is_empty()) {
            // Nobody is told by an answer: these were served cursors alone.
            tracing::warn!(%error, "served cursors were not written");
        }
        if committed.is_err() {
            self.at_rest.forget();
        } else {
            if !done.is_empty() {
                self.condition.committed();
            }
            self.at_rest
                .committed(done.iter().map(|job| (job.touches(), job.event())));
            self.listeners.tell(done.iter().filter_map(|job| job.event()));
        }
        for job in done {
            job.finish(committed.clone().map_err(Failure::Uncommitted));
        }
    }

    /// The next job, as far as it may share a transaction that has begun.
    fn next(&self, began: Option<Instant>) -> Option<Box<dyn Job>> {
        loop {
            match self.queue.next(began) {
                Next::Job(job) => return Some(job),
                Next::Late(job) => {
                    self.figures.late();
                    job.finish(Err(Failure::unavailable("the write waited for too long")));
                }
                Next::Large | Next::Nothing => return None,
            }
        }
    }

    /// One transaction. Jobs that have been tried are in `done`, whatever became of them.
    fn transaction(&self, done: &mut Vec<Box<dyn Job>>) -> Result<(), Uncommitted> {
        let first = self.next(None);
        if first.is_none() && self.remembered.is_empty() {
            return Ok(());
        }
        let begun = self.condition.check_file();
        if let Err(error) = begun.and_then(|()| self.execute("BEGIN IMMEDIATE")) {
            // Whoever waits meanwhile would be told the same, later.
            done.extend(first);
            while done.len() < self.group_max
                && let Some(job) = self.next(None)
            {
                done.push(job);
            }
            return Err(error.into());
        }
        let worked = self.work(first, done);
        let committed = worked.and_then(|()| self.execute("COMMIT"));
        if committed.is_err() && !self.conn.is_autocommit() {
            // What is left of the transaction goes; when even that fails, the next BEGIN will say so.
            let _ = self.execute("ROLLBACK");
        }
        committed.map_err(Uncommitted::from)
    }

    fn work(&self, first: Option<Box<dyn Job>>, done: &mut Vec<Box<dyn Job>>) -> rusqlite::Result<()> {
        let began = Instant::now();
        let mut next = first;
        loop {
            // Before each job: one that reads cursors sees what was remembered before it.
            let served = self.remembered.take();
            if !served.is_empty() {
                self.in_savepoint(|conn| {
                    let written = crate::cursors::write(conn, served);
                    written
                        .inspect_err(|error| tracing::warn!(%error, "served cursors were not written"))
                        .is_ok()
                })?;
            }
            let Some(mut job) = next else { return Ok(()) };
            let kept = self.in_savepoint(|conn| job.run(conn));
            let is_large = job.is_large();
            done.push(job);
            kept?;
            if is_large || done.len() >= self.group_max || began.elapsed() >= LONG {
                return Ok(());
            }
            next = self.next(Some(began));
        }
    }

    /// Runs some work that says whether its changes are to be kept. Fails when the whole transaction is lost: SQLite
    /// gives it up by itself when the disk is full, for example.
    fn in_savepoint(&self, work: impl FnOnce(&Connection) -> bool) -> rusqlite::Result<()> {
        self.execute("SAVEPOINT job")?;
        if !work(&self.conn) {
            self.execute("ROLLBACK TO job")?;
        }
        self.execute("RELEASE job")
    }

    fn execute(&self, sql: &str) -> rusqlite::Result<()> {
        self.conn.prepare_cached(sql)?.execute([]).map(drop)
    }
}

#[cfg(test)]
mod tests;
