//! One connection at work: statements that travel together, transactions, and what is left behind when a future is
//! dropped.
//!
//! * Steps that do not need each other's answers are sent at once, in order: one round trip.
//! * Nothing is left open. A session that is dropped inside a transaction, or while an answer is outstanding, is cleaned
//!   up in the background before the pool gives its connection to anybody else; a statement that goes on for longer, for
//!   instance because it waits for a lock, is cancelled.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use deadpool_postgres::{Object, Pool};
use futures_util::future::poll_fn;
use mosaic_ports::Figure;
use tokio::runtime::Handle;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, timeout};
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Error, Row, Statement};
use uuid::Uuid;

use crate::connect::{Connector, begin};
use crate::error::{Failure, is_full, is_read_only, is_rolled_back, is_stale_statement};
use crate::figures::SessionFigures;
use crate::retry::{retrying, retrying_unless};
use crate::settings::PostgresSettings;
use crate::write_permits::WritePermits;

/// How long an abandoned statement may go on by itself before it is cancelled.
const GRACE: Duration = Duration::from_millis(50);
/// How long after its own limit the database may take to say that a limit was reached.
const LATENCY: Duration = Duration::from_secs(2);

/// How long a disk that was found to be full is taken to be, unless something is committed.
const STAYS_FULL: Duration = Duration::from_secs(5);

/// A value of a statement, with its type.
pub(crate) type Value<'a> = (&'a (dyn ToSql + Sync), Type);

/// Something to send to the database.
pub(crate) enum Step<'a> {
    /// A command without values, such as `COMMIT`.
    Command(&'a str),
    /// A statement that is always the same: prepared once per connection, where connections are kept.
    ///
    /// Arrays stand in sub-selects, `unnest((SELECT $2::text[]))`: the planner does not see how long they are then, finds that
    /// a plan for these values is no better than one for any, and plans once. Seeing that they are short, as they are for one
    /// edit, it plans with every call, which takes longer than most of these statements.
    ///
    /// So do limits, `LIMIT (SELECT $3)`: one that the planner sees it holds against its estimate of the rows. Where that is too
    /// low, since the table was analysed before most of them came, it reads and sorts them all for the first few. Not seeing
    /// it, it reads an index in its order.
    Fixed(&'a str, Vec<Value<'a>>),
    /// A statement that is put together for this call.
    Composed(&'a str, Vec<Value<'a>>),
}

/// The answers to steps that were sent together, as far as they were sent.
type Answers = Vec<Result<Vec<Row>, Error>>;

/// The database: where sessions come from.
#[derive(Clone)]
pub(crate) struct Database(Arc<Inner>);

struct Inner {
    pool: Pool,
    connector: Connector,
    runtime: Handle,
    prepares: bool,
    is_distributed: bool,
    begin: String,
    turns: WritePermits,
    figures: SessionFigures,
    read_timeout: Duration,
    answer_timeout: Duration,
    /// When the disk of the database was found to be full, if nothing was committed since.
    full_at: Mutex<Option<Instant>>,
}

impl Database {
    pub(crate) fn new(
        settings: &PostgresSettings,
        pool: Pool,
        connector: Connector,
        is_distributed: bool,
    ) -> Self {
        Self(Arc::new(Inner {
            pool,
            connector,
            runtime: Handle::current(),
            prepares: settings.prepared_statements,
            is_distributed,
            begin: begin(settings, is_distributed),
            turns: WritePermits::new(settings.lock_timeout),
            figures: SessionFigures::new(),
            read_timeout: settings.read_timeout,
            answer_timeout: settings.statement_timeout + LATENCY,
            full_at: Mutex::new(None),
        }))
    }

    /// A session on a connection of its own, for what will take the lock of a user's clock: in that user's turn.
    pub(crate) async fn session_of(&self, user: Uuid) -> Result<Session, Failure> {
        let asked = Instant::now();
        let turn = self.0.turns.take(user).await;
        self.0.figures.had_turn(asked.elapsed());
        let turn = turn?;
        let mut session = self.session().await?;
        session.turn = Some(turn);
        Ok(session)
    }

    /// A session on a connection of its own.
    pub(crate) async fn session(&self) -> Result<Session, Failure> {
        let asked = Instant::now();
        let conn = self.0.pool.get().await;
        self.0.figures.connected(asked.elapsed(), conn.is_ok());
        Ok(Session {
            conn: Some(conn.map_err(Failure::NoConnection)?),
            turn: None,
            database: self.clone(),
            began: Instant::now(),
            in_flight: false,
            in_transaction: false,
            is_useless: false,
        })
    }

    /// Whether the database can be written to: it is no standby, not read only, and has room. Only where the disk was full
    /// is a write tried, in a table of its own that nobody keeps.
    pub(crate) async fn check(&self) -> Result<(), Failure> {
        let sql = "SELECT current_setting('transaction_read_only') FROM meta WHERE only_row = 1";
        let rows = self.read(sql, &[]).await?;
        if rows.first().is_none_or(|row| row.get::<_, &str>(0) != "off") {
            self.forget_connections();
            return Err(Failure::ReadOnly);
        }
        let full_at = *self.full_at();
        if let Some(at) = full_at {
            if at.elapsed() < STAYS_FULL {
                return Err(Failure::Full);
            }
            let room = "CREATE TEMP TABLE mosaic_room ON COMMIT DROP AS SELECT random() FROM generate_series(1, 50000)";
            self.session().await?.begin(vec![Step::Command(room)]).await?;
            *self.full_at() = None;
        }
        Ok(())
    }

    fn full_at(&self) -> MutexGuard<'_, Option<Instant>> {
        self.0.full_at.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the connections that nobody uses now: new ones lead to wherever the address leads by now.
    fn forget_connections(&self) {
        self.0.pool.retain(|_, _| false);
    }

    /// Runs a fixed statement that only reads, in a snapshot of its own.
    pub(crate) async fn read(&self, sql: &str, values: &[Value<'_>]) -> Result<Vec<Row>, Failure> {
        retrying(|| async { self.look_up(Step::Fixed(sql, values.to_vec())).await }).await
    }

    /// Runs a composed statement that only reads, in a snapshot of its own.
    pub(crate) async fn read_composed(&self, sql: &str, values: &[Value<'_>]) -> Result<Vec<Row>, Failure> {
        retrying(|| async { self.look_up(Step::Composed(sql, values.to_vec())).await }).await
    }

    /// Runs fixed statements that only read, in their order and in one round trip, each in a snapshot of its own. What is asked
    /// for many users is not asked again where a node is away that some of them need: the others would wait for it again.
    pub(crate) async fn read_all(
        &self,
        statements: &[(&str, &[Value<'_>])],
        is_of_many: bool,
    ) -> Result<Vec<Vec<Row>>, Failure> {
        let steps = || {
            let statements = statements.iter();
            statements
                .map(|(sql, values)| Step::Fixed(sql, values.to_vec()))
                .collect()
        };
        let is_final = |failure: &Failure| is_of_many && self.0.is_distributed && failure.is_of_a_node();
        retrying_unless(is_final, || async { self.look_up_all(steps()).await }).await
    }

    async fn look_up(&self, step: Step<'_>) -> Result<Vec<Row>, Failure> {
        Ok(self.look_up_all(vec![step]).await?.pop().unwrap_or_default())
    }

    /// What takes too long is stopped: the session goes, which cancels it.
    ///
    /// Behind a pooler several steps are a transaction: else it may take the first answer for the end, and give the connection
    /// to somebody else between two messages of the next step, half of which ends up with what they sent.
    async fn look_up_all(&self, steps: Vec<Step<'_>>) -> Result<Vec<Vec<Row>>, Failure> {
        let mut session = self.session().await?;
        if self.0.prepares || steps.len() < 2 {
            return self.in_time(session.run(steps)).await;
        }
        let steps = steps.into_iter().chain([Step::Command("COMMIT")]).collect();
        let mut answers = self.in_time(session.begin(steps)).await?;
        (session.in_transaction, _) = (false, answers.pop());
        Ok(answers)
    }

    /// What takes no longer than a look-up may.
    pub(crate) async fn in_time<T>(
        &self,
        work: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        timeout(self.0.read_timeout, work)
            .await
            .map_err(|_| Failure::TooSlow)?
    }

    /// Runs one statement as a transaction of its own.
    pub(crate) async fn run(&self, step: Step<'_>) -> Result<Vec<Row>, Failure> {
        let mut session = self.session().await?;
        let mut answers = session.send(vec![step]).await?;
        Ok(answers.pop().unwrap_or_else(|| Ok(Vec::new()))?)
    }

    /// What is counted.
    pub(crate) fn figures(&self) -> Vec<Figure> {
        self.0.figures.figures(self.0.pool.status())
    }

    /// Ends all connections that are not in use, and gives out no more.
    pub(crate) fn close(&self) {
        self.0.pool.close();
    }
}

/// What became of a commit that did not succeed.
pub(crate) enum NotCommitted {
    /// Nothing was written.
    Failed(Failure),
    /// The connection was lost on the way, or the answer says nothing of what became of it.
    Unknown(Failure),
}

/// For transactions whose outcome nobody looks up: what is not known is not available.
impl From<NotCommitted> for Failure {
    fn from(not: NotCommitted) -> Self {
        match not {
            NotCommitted::Failed(failure) => failure,
            NotCommitted::Unknown(failure) => Self::Undecided(Box::new(failure)),
        }
    }
}

/// One connection, for as long as one call needs it.
pub(crate) struct Session {
    conn: Option<Object>,
    turn: Option<OwnedSemaphorePermit>,
    database: Database,
    /// When its transaction began.
    began: Instant,
    in_flight: bool,
    in_transaction: bool,
    /// Whether the connection leads to a database that takes no writes.
    is_useless: bool,
}

impl Session {
    /// Begins a transaction and runs its first steps. Gives their answers.
    pub(crate) async fn begin(&mut self, steps: Vec<Step<'_>>) -> Result<Vec<Vec<Row>>, Failure> {
        let database = self.database.clone();
        let mut all = vec![Step::Command(&database.0.begin)];
        all.extend(steps);
        self.in_transaction = true;
        self.began = Instant::now();
        Ok(self.run(all).await?.split_off(1))
    }

    /// Runs more steps of the transaction. Gives their answers.
    pub(crate) async fn run(&mut self, steps: Vec<Step<'_>>) -> Result<Vec<Vec<Row>>, Failure> {
        let answers = self.send(steps).await?;
        Ok(answers.into_iter().collect::<Result<Vec<_>, _>>()?)
    }

    /// Runs the last steps of the transaction and commits it.
    ///
    /// The steps and the `COMMIT` travel together. If a step fails, the database turns the `COMMIT` into a `ROLLBACK`
    /// without saying so; the answer to the step tells.
    pub(crate) async fn commit(mut self, steps: Vec<Step<'_>>) -> Result<(), NotCommitted> {
        let committed = self.send_commit(steps).await;
        let figures = &self.database.0.figures;
        figures.ended(self.began.elapsed(), committed.is_ok());
        committed
    }

    async fn send_commit(&mut self, mut steps: Vec<Step<'_>>) -> Result<(), NotCommitted> {
        if self.is_closed() {
            return Err(NotCommitted::Failed(Failure::Lost));
        }
        steps.push(Step::Command("COMMIT"));
        let wanted = steps.len();
        let answers = match self.send(steps).await {
            Ok(answers) => answers,
            Err(Failure::Silent) => return Err(NotCommitted::Unknown(Failure::Silent)),
            Err(failure) => return Err(NotCommitted::Failed(failure)),
        };
        let was_sent = answers.len() == wanted;
        for (at, answer) in answers.into_iter().enumerate() {
            let Err(error) = answer else { continue };
            // A step that the server answered with an error, whatever it says, was not followed by a commit. The commit
            // itself may have happened, unless the error proves that it has not.
            let refused = if at + 1 < wanted {
                error.as_db_error().is_some()
            } else {
                is_rolled_back(&error)
            };
            return Err(if refused || !was_sent {
                NotCommitted::Failed(error.into())
            } else {
                NotCommitted::Unknown(error.into())
            });
        }
        self.in_transaction = false;
        *self.database.full_at() = None;
        Ok(())
    }

    fn is_closed(&self) -> bool {
        self.conn.as_ref().is_none_or(|conn| conn.is_closed())
    }

    /// Sends steps at once, in order, and waits for all answers. After a step that could not be sent nothing more is.
    pub(crate) async fn send(&mut self, steps: Vec<Step<'_>>) -> Result<Answers, Failure> {
        let Some(conn) = &self.conn else {
            return Err(Failure::Lost);
        };
        let Inner {
            prepares,
            answer_timeout,
            ..
        } = *self.database.0;
        self.in_flight = true;
        let flight = async {
            let mut prepared = Vec::with_capacity(steps.len());
            for step in &steps {
                prepared.push(prepare(conn, step, prepares).await?);
            }
            let answers = steps.iter().zip(prepared);
            Ok(pipelined(
                answers
                    .map(|(step, statement)| answer(conn, step, statement))
                    .collect(),
            )
            .await)
        };
        let answers = timeout(answer_timeout, flight).await;
        let answers: Result<Answers, Error> = answers.map_err(|_| Failure::Silent)?;
        self.in_flight = false;
        let answers = answers?;
        self.learn_from(&answers);
        let stale = |answer: &Result<_, _>| answer.as_ref().is_err_and(is_stale_statement);
        if answers.iter().any(stale) {
            // After a migration by another instance no connection's statements may fit any more.
            self.database.0.pool.manager().statement_caches.clear();
        }
        Ok(answers)
    }
}

impl Session {
    /// Notes what refusals tell about the database as a whole.
    fn learn_from(&mut self, answers: &Answers) {
        for error in answers.iter().filter_map(|answer| answer.as_ref().err()) {
            if is_read_only(error) {
                self.is_useless = true;
                self.database.forget_connections();
            } else if is_full(error) {
                *self.database.full_at() = Some(Instant::now());
            }
        }
    }
}

async fn prepare(conn: &Object, step: &Step<'_>, prepares: bool) -> Result<Option<Statement>, Error> {
    match step {
        Step::Fixed(sql, values) if prepares => {
            debug_assert!(
                !["unnest($", "LIMIT $", "OFFSET $"]
                    .iter()
                    .any(|seen| sql.contains(seen)),
                "the planner sees a value that misleads it: {sql}"
            );
            let types: Vec<Type> = values.iter().map(|(_, of)| of.clone()).collect();
            Ok(Some(conn.prepare_typed_cached(sql, &types).await?))
        }
        _ => Ok(None),
    }
}

async fn answer(conn: &Object, step: &Step<'_>, prepared: Option<Statement>) -> Result<Vec<Row>, Error> {
    match (step, prepared) {
        (Step::Command(sql), _) => conn.batch_execute(sql).await.map(|()| Vec::new()),
        (Step::Fixed(_, values), Some(statement)) => {
            let values: Vec<_> = values.iter().map(|(value, _)| *value).collect();
            conn.query(&statement, &values).await
        }
        (Step::Fixed(sql, values) | Step::Composed(sql, values), _) => conn.query_typed(sql, values).await,
    }
}

/// Polls futures of the driver together. Each one sends its message when it is polled first, so the first round decides
/// the order; it ends with the first one that fails at once, which has sent nothing.
async fn pipelined<F>(futures: Vec<F>) -> Answers
where
    F: Future<Output = Result<Vec<Row>, Error>>,
{
    let mut slots: Vec<Slot<F>> = futures.into_iter().map(|f| Slot::Waiting(Box::pin(f))).collect();
    let mut is_first_round = true;
    poll_fn(move |cx| {
        let mut at = 0;
        let mut waiting = false;
        while at < slots.len() {
            if let Slot::Waiting(future) = &mut slots[at] {
                match future.as_mut().poll(cx) {
                    Poll::Pending => waiting = true,
                    Poll::Ready(answer) => {
                        if is_first_round && answer.is_err() {
                            slots.truncate(at + 1);
                        }
                        slots[at] = Slot::Answered(answer);
                    }
                }
            }
            at += 1;
        }
        is_first_round = false;
        if waiting {
            return Poll::Pending;
        }
        Poll::Ready(slots.drain(..).filter_map(Slot::into_answer).collect())
    })
    .await
}

enum Slot<F> {
    Waiting(Pin<Box<F>>),
    Answered(Result<Vec<Row>, Error>),
}

impl<F> Slot<F> {
    fn into_answer(self) -> Option<Result<Vec<Row>, Error>> {
        match self {
            Self::Waiting(_) => None,
            Self::Answered(answer) => Some(answer),
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let Some(conn) = self.conn.take() else { return };
        if self.is_useless {
            drop(Object::take(conn));
            return;
        }
        if self.in_flight || self.in_transaction {
            let sweep = sweep(conn, self.database.clone(), self.in_transaction);
            let turn = self.turn.take();
            self.database.0.runtime.spawn(async move {
                sweep.await;
                drop(turn);
            });
        }
    }
}

/// Brings a connection back to rest, then gives it back to the pool. One that does not come to rest by itself is cancelled and
/// closed: a cancellation may arrive late, and would hit whoever had the connection next.
async fn sweep(conn: Object, database: Database, in_transaction: bool) {
    if conn.is_closed() {
        return;
    }
    let rested = {
        let mut end = Box::pin(conn.batch_execute(if in_transaction { "ROLLBACK" } else { "" }));
        if let Ok(ended) = timeout(GRACE, &mut end).await {
            ended.is_ok()
        } else {
            if let Ok(Ok(())) = timeout(LATENCY, database.0.connector.cancel(conn.cancel_token())).await {
                // Locks are let go of when the transaction ends, which closing alone does not hurry.
                drop(timeout(LATENCY, end).await);
            }
            false
        }
    };
    if !rested {
        drop(Object::take(conn));
    }
}

#[cfg(test)]
mod tests;
