//! The one writer: a thread that owns the write connection and takes jobs from a bounded queue.
//!
//! * SQLite has one writer at a time; giving it one thread makes that a queue instead of a fight for locks. So writes of
//!   one user never interleave (S1), and an async worker never waits for a disk.
//! * Group commit: whatever queues up while the disk is busy shares the next transaction, and its one sync. Each job runs
//!   in a savepoint of its own, so that one that fails, or panics, takes nobody with it.
//! * Nobody is answered before the commit has succeeded (W8). A job whose caller has gone before it starts is skipped;
//!   one that has started is carried out whole.
//! * Whoever listens hears of the clocks that a group moved and of the logins that it ended, once each, after its commit (N1).

use std::any::Any;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use mosaic_domain::UserId;
use mosaic_domain::write::WritePlan;
use mosaic_ports::CommitListener;
use rusqlite::Connection;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};

use crate::commits::{Listeners, News};
use crate::condition::Condition;
use crate::connect::FileLock;
use crate::cursors::Remembered;
use crate::error::Failure;

/// What the thread finds in its queue.
enum Message {
    Job(Box<dyn Job>),
    /// There are served cursors to write (D1).
    Served,
    /// Finish what is queued, then stop and say so.
    Close(oneshot::Sender<()>),
}

/// A job, whatever it answers.
trait Job: Send {
    /// Whether nobody waits for the answer any more.
    fn is_abandoned(&self) -> bool;
    /// Does the work, inside the savepoint. Says whether its changes are to be kept.
    fn run(&mut self, conn: &Connection) -> bool;
    /// What others hear of its changes, if they are to be kept.
    fn news(&self) -> Option<News>;
    /// Answers, once it is known what became of the transaction.
    fn finish(self: Box<Self>, committed: Result<(), Failure>);
}

struct Task<T, W, N> {
    work: Option<W>,
    tells: N,
    outcome: Option<Result<T, Failure>>,
    reply: oneshot::Sender<Result<T, Failure>>,
}

impl<T, W, N> Job for Task<T, W, N>
where
    T: Send,
    W: FnOnce(&Connection) -> Result<T, Failure> + Send,
    N: Fn(&T) -> Option<News> + Send,
{
    fn is_abandoned(&self) -> bool {
        self.reply.is_closed()
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

    fn news(&self) -> Option<News> {
        let done = self.outcome.as_ref()?.as_ref().ok()?;
        (self.tells)(done)
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
    queue: mpsc::Sender<Message>,
    remembered: Arc<Remembered>,
    listeners: Arc<Listeners>,
    condition: Arc<Condition>,
}

/// How the thread works.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WriterSettings {
    /// The most jobs that share one commit.
    pub(crate) group_commit_max: usize,
    /// The most messages that wait.
    pub(crate) queue_max: usize,
}

impl Writer {
    /// Starts the thread. It keeps the file's lock until it has closed the connection.
    pub(crate) fn start(
        conn: Connection,
        lock: Option<FileLock>,
        settings: WriterSettings,
        condition: Arc<Condition>,
    ) -> std::io::Result<Self> {
        let (queue, inbox) = mpsc::channel(settings.queue_max.max(1));
        let remembered = Arc::<Remembered>::default();
        let listeners = Arc::<Listeners>::default();
        let thread = WriterThread {
            conn,
            inbox,
            remembered: remembered.clone(),
            listeners: listeners.clone(),
            condition: Arc::clone(&condition),
            group_max: settings.group_commit_max.max(1),
            closing: Vec::new(),
        };
        std::thread::Builder::new()
            .name("sqlite-writer".into())
            .spawn(move || thread.run(lock))?;
        Ok(Self {
            queue,
            remembered,
            listeners,
            condition,
        })
    }

    /// Does some work in a transaction, alone on the write connection, and answers once it is committed. Work that fails
    /// leaves nothing behind.
    pub(crate) async fn run<T, W>(&self, work: W) -> Result<T, Failure>
    where
        T: Send + 'static,
        W: FnOnce(&Connection) -> Result<T, Failure> + Send + 'static,
    {
        self.submit(work, |_| None).await
    }

    /// Does work that carries out a plan for a user, and tells whoever listens of the clock that it leaves.
    pub(crate) async fn write<W>(&self, user: UserId, work: W) -> Result<WritePlan, Failure>
    where
        W: FnOnce(&Connection) -> Result<WritePlan, Failure> + Send + 'static,
    {
        let moves =
            move |plan: &WritePlan| (!plan.records.is_empty()).then_some(News::Moved(user, plan.clock));
        self.submit(work, moves).await
    }

    /// Does work that may end logins, and tells whoever listens whose; `ends` says it.
    pub(crate) async fn end_logins<T, W, E>(&self, work: W, ends: E) -> Result<T, Failure>
    where
        T: Send + 'static,
        W: FnOnce(&Connection) -> Result<T, Failure> + Send + 'static,
        E: Fn(&T) -> Option<UserId> + Send + 'static,
    {
        self.submit(work, move |done| ends(done).map(News::LoginsEnded))
            .await
    }

    async fn submit<T, W, N>(&self, work: W, tells: N) -> Result<T, Failure>
    where
        T: Send + 'static,
        W: FnOnce(&Connection) -> Result<T, Failure> + Send + 'static,
        N: Fn(&T) -> Option<News> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let task = Task {
            work: Some(work),
            tells,
            outcome: None,
            reply,
        };
        self.queue
            .try_send(Message::Job(Box::new(task)))
            .map_err(|refused| match refused {
                TrySendError::Full(_) => Failure::unavailable("too many writes are waiting"),
                TrySendError::Closed(_) => closed(),
            })?;
        let answer = answer.await.map_err(|_| closed())?;
        answer.inspect_err(|failure| self.condition.learn_from(failure))
    }

    /// Has cursors written soon. Never waits.
    pub(crate) fn remember(&self, served: mosaic_ports::ServedCursors) {
        if self.remembered.put(served) {
            // A full queue needs no reminder: the thread looks for cursors with every group that it takes.
            let _ = self.queue.try_send(Message::Served);
        }
    }

    /// Has somebody told of commits, from now on.
    pub(crate) fn listen(&self, listener: Arc<dyn CommitListener>) {
        self.listeners.add(listener);
    }

    /// Whether the thread takes jobs.
    pub(crate) fn is_open(&self) -> bool {
        !self.queue.is_closed()
    }

    /// Has everything that is queued carried out, the log written back into the file, and the file let go.
    pub(crate) async fn close(&self) {
        let (reply, done) = oneshot::channel();
        if self.queue.send(Message::Close(reply)).await.is_ok() {
            // No answer means that the thread is gone, which is what was asked for.
            let _ = done.await;
        }
    }
}

fn closed() -> Failure {
    Failure::unavailable("the store is closed")
}

struct WriterThread {
    conn: Connection,
    inbox: mpsc::Receiver<Message>,
    remembered: Arc<Remembered>,
    listeners: Arc<Listeners>,
    condition: Arc<Condition>,
    group_max: usize,
    closing: Vec<oneshot::Sender<()>>,
}

/// Why a transaction came to nothing, shared by all of its jobs.
type Uncommitted = Arc<rusqlite::Error>;

impl WriterThread {
    fn run(mut self, lock: Option<FileLock>) {
        while let Some(mut group) = self.next_group() {
            // Once, even if no job came: there may be cursors to write.
            self.carry_out(&mut group);
            while !group.is_empty() {
                self.carry_out(&mut group);
            }
        }
        // Fails on a database in memory, which has no log, and while somebody reads: the next start does it then.
        let _ = self.conn.pragma_update(None, "wal_checkpoint", "TRUNCATE");
        drop(self.conn);
        drop(lock);
        for closing in self.closing {
            let _ = closing.send(());
        }
    }

    /// Waits for a message, then takes whatever else is queued. `None` when there will be no more.
    fn next_group(&mut self) -> Option<VecDeque<Box<dyn Job>>> {
        let mut group = VecDeque::new();
        let first = self.inbox.blocking_recv()?;
        self.take(first, &mut group);
        while group.len() < self.group_max
            && let Ok(message) = self.inbox.try_recv()
        {
            self.take(message, &mut group);
        }
        Some(group)
    }

    fn take(&mut self, message: Message, group: &mut VecDeque<Box<dyn Job>>) {
        match message {
            Message::Job(job) => group.push_back(job),
            Message::Served => {}
            Message::Close(reply) => {
                self.closing.push(reply);
                self.inbox.close();
            }
        }
    }

    /// Carries out as many jobs as one transaction takes, and answers them.
    fn carry_out(&self, group: &mut VecDeque<Box<dyn Job>>) {
        let mut done = Vec::with_capacity(group.len());
        let committed = self.transaction(group, &mut done);
        if let (Err(error), true) = (&committed, done.is_empty()) {
            // Nobody is told by an answer: these were served cursors alone.
            tracing::warn!(%error, "served cursors were not written");
        }
        if committed.is_ok() {
            if !done.is_empty() {
                self.condition.committed();
            }
            self.listeners.tell(done.iter().filter_map(|job| job.news()));
        }
        for job in done {
            job.finish(committed.clone().map_err(Failure::Uncommitted));
        }
    }

    /// One transaction. Jobs that have been tried are moved to `done`, whatever became of them.
    fn transaction(
        &self,
        group: &mut VecDeque<Box<dyn Job>>,
        done: &mut Vec<Box<dyn Job>>,
    ) -> Result<(), Uncommitted> {
        let served = self.remembered.take();
        if group.is_empty() && served.is_empty() {
            return Ok(());
        }
        let begun = self.condition.check_file();
        if let Err(error) = begun.and_then(|()| self.execute("BEGIN IMMEDIATE")) {
            done.extend(group.drain(..));
            return Err(error.into());
        }
        let worked = self.work(group, done, served);
        let committed = worked.and_then(|()| self.execute("COMMIT"));
        if committed.is_err() && !self.conn.is_autocommit() {
            // What is left of the transaction goes; when even that fails, the next BEGIN will say so.
            let _ = self.execute("ROLLBACK");
        }
        committed.map_err(Uncommitted::from)
    }

    fn work(
        &self,
        group: &mut VecDeque<Box<dyn Job>>,
        done: &mut Vec<Box<dyn Job>>,
        served: crate::cursors::Batch,
    ) -> rusqlite::Result<()> {
        if !served.is_empty() {
            self.in_savepoint(|conn| {
                let written = crate::cursors::write(conn, served);
                written
                    .inspect_err(|error| tracing::warn!(%error, "served cursors were not written"))
                    .is_ok()
            })?;
        }
        while let Some(mut job) = group.pop_front() {
            if job.is_abandoned() {
                continue;
            }
            let kept = self.in_savepoint(|conn| job.run(conn));
            done.push(job);
            kept?;
        }
        Ok(())
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
