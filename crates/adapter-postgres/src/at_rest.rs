//! What devices with nothing to fetch ask for, the clock of a user and whether a login goes on; and what every other request
//! of somebody who is signed in asks for: the login alone, which stands elsewhere than the clock where users are spread over
//! machines. Who asks while the database answers others is asked for together with everybody else who waits: in one round
//! trip for all of them, which begins after they asked, so each sees every write that was acknowledged before.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use mosaic_domain::login::LoginRefusal;
use mosaic_domain::{Epoch, FamilyId, Stamp, UserId};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::time::timeout;
use tokio_postgres::Row;
use tokio_postgres::types::Type;
use uuid::Uuid;

use crate::error::Failure;
use crate::rows::{checked, column};
use crate::session::{Database, Value};
use crate::standing;

/// So many statements are under way at the same time: one that is slow keeps nobody else from the next one.
const STATEMENTS_MAX: usize = 3;
/// So many ask in one statement, at most.
const TOGETHER_MAX: usize = 128;

/// What is asked for, where the login may go on.
pub(crate) type Standing<T> = Result<T, LoginRefusal>;

/// A user and a login.
type Of = (Uuid, Uuid);
/// What is found of each user and login; `None` where there is no such user.
type Found<T> = Result<Vec<Option<Standing<T>>>, Failure>;
/// Nobody who was asked for fares better alone where the database is away.
type Answer<T> = Result<Standing<T>, Arc<Failure>>;
/// Runs one statement.
type Statement<T> = Box<dyn Fn(Vec<Of>) -> BoxFuture<'static, Found<T>> + Send + Sync>;

/// Asks for many at once.
pub(crate) struct Together<T>(Arc<Shared<T>>);

struct Shared<T> {
    statement: Statement<T>,
    /// How long anybody waits, whatever for.
    wait: Duration,
    runtime: Handle,
    waiting: Mutex<Waiting<T>>,
}

struct Waiting<T> {
    asked: Vec<Asked<T>>,
    statements: usize,
}

struct Asked<T> {
    of: Of,
    answer: oneshot::Sender<Answer<T>>,
}

impl Together<()> {
    /// Asks for logins. Whoever asks waits for so long. Must be called on the runtime that the database's connections belong
    /// to.
    pub(crate) fn of_logins(database: Database, wait: Duration) -> Self {
        let statement = move |of: Vec<Of>| {
            let database = database.clone();
            async move { logins(&database, &of).await }.boxed()
        };
        Self::over(Box::new(statement), wait)
    }
}

impl Together<(Stamp, Epoch)> {
    /// Asks for logins with the clocks of their users and the epoch, as [`Together::of_logins`] does.
    pub(crate) fn at_rest(database: Database, wait: Duration) -> Self {
        let statement = move |of: Vec<Of>| {
            let database = database.clone();
            async move { clocks(&database, &of).await }.boxed()
        };
        Self::over(Box::new(statement), wait)
    }
}

impl<T: Send + 'static> Together<T> {
    fn over(statement: Statement<T>, wait: Duration) -> Self {
        let nobody = Waiting {
            asked: Vec::new(),
            statements: 0,
        };
        Self(Arc::new(Shared {
            statement,
            wait,
            runtime: Handle::current(),
            waiting: Mutex::new(nobody),
        }))
    }

    /// What is asked for of a user, where the login goes on.
    pub(crate) async fn look(&self, user: UserId, login: FamilyId) -> Result<Standing<T>, Failure> {
        let found = self.ask((user.uuid(), login.uuid()));
        timeout(self.0.wait, found).await.map_err(|_| Failure::TooSlow)?
    }

    async fn ask(&self, of: Of) -> Result<Standing<T>, Failure> {
        let (answer, answered) = oneshot::channel();
        if let Some(runner) = self.0.wait(Asked { of, answer }) {
            self.0.runtime.spawn(runner.run());
        }
        if let Ok(answer) = answered.await {
            return answer.map_err(Failure::Shared);
        }
        // Something is wrong with the statement: each finds out alone whether that is its own.
        let mut found = (self.0.statement)(vec![of]).await?;
        Ok(found.pop().flatten().unwrap_or_else(unknown))
    }
}

fn unknown<T>() -> Standing<T> {
    Err(LoginRefusal::of_unknown_user())
}

impl<T> Shared<T> {
    fn waiting(&self) -> MutexGuard<'_, Waiting<T>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has somebody wait. Gives a turn to take where there may be one more.
    fn wait(self: &Arc<Self>, asked: Asked<T>) -> Option<Runner<T>> {
        let mut waiting = self.waiting();
        waiting.asked.push(asked);
        if waiting.statements >= STATEMENTS_MAX {
            return None;
        }
        waiting.statements += 1;
        Some(Runner {
            shared: Arc::clone(self),
            is_over: false,
        })
    }
}

/// The right to have a statement under way, one after the other, for as long as anybody waits.
struct Runner<T> {
    shared: Arc<Shared<T>>,
    is_over: bool,
}

impl<T> Runner<T> {
    async fn run(mut self) {
        while let Some(asked) = self.next() {
            let statement = (self.shared.statement)(asked.iter().map(|asked| asked.of).collect());
            let found = match statement.await {
                Ok(found) => found,
                // Where a node is away that some of them need, each finds out alone whether it is its own.
                Err(away) if away.may_pass() && (asked.len() == 1 || !away.is_of_a_node()) => {
                    let away = Arc::new(away);
                    for asked in asked {
                        let _ = asked.answer.send(Err(Arc::clone(&away)));
                    }
                    continue;
                }
                // Without an answer each asks alone.
                Err(_) => continue,
            };
            for (asked, standing) in asked.into_iter().zip(found) {
                // Who has gone meanwhile wants no answer.
                let _ = asked.answer.send(Ok(standing.unwrap_or_else(unknown)));
            }
        }
    }

    /// Who is asked for next. With nobody it is over, in the same moment: who asks after that has a runner of their own.
    fn next(&mut self) -> Option<Vec<Asked<T>>> {
        let mut waiting = self.shared.waiting();
        waiting.asked.retain(|asked| !asked.answer.is_closed());
        if waiting.asked.is_empty() {
            waiting.statements -= 1;
            self.is_over = true;
            return None;
        }
        let together = waiting.asked.len().min(TOGETHER_MAX);
        Some(waiting.asked.drain(..together).collect())
    }
}

/// One that was ended from outside leaves nobody waiting who has nobody to wait for: they ask alone.
impl<T> Drop for Runner<T> {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        let mut waiting = self.shared.waiting();
        waiting.statements -= 1;
        if waiting.statements == 0 {
            waiting.asked.clear();
        }
    }
}

/// The clock of the user $1, and the epoch.
const CLOCK: &str = "
    SELECT user_id, last_stamp, (SELECT epoch FROM meta WHERE only_row = 1) FROM sync_clocks WHERE user_id = $1";

/// The clocks of the users $1, and the epoch. Of few users in all the planner reads every clock, which takes as long.
const CLOCKS: &str = "
    SELECT user_id, last_stamp, (SELECT epoch FROM meta WHERE only_row = 1) FROM sync_clocks WHERE user_id = ANY ($1)";

/// The standing of each login of $2, each of a user of $1, by their places.
pub(crate) fn standings_sql() -> String {
    let standing = standing::standing_sql("asked.user_id", "asked.login_id");
    format!(
        "SELECT asked.place, standing.*
         FROM unnest((SELECT $1::uuid[]), (SELECT $2::uuid[])) WITH ORDINALITY AS asked (user_id, login_id, place)
         CROSS JOIN LATERAL ({standing} LIMIT 1) AS standing"
    )
}

async fn logins(database: &Database, of: &[Of]) -> Found<()> {
    let (users, logins): (Vec<Uuid>, Vec<Uuid>) = of.iter().copied().unzip();
    let values: [Value<'_>; 2] = [(&users, Type::UUID_ARRAY), (&logins, Type::UUID_ARRAY)];
    standings(&database.read(&standings_sql(), &values).await?, of)
}

/// The logins are looked at last: one that is found has not ended before the clock was read.
async fn clocks(database: &Database, of: &[Of]) -> Found<(Stamp, Epoch)> {
    let (users, logins): (Vec<Uuid>, Vec<Uuid>) = of.iter().copied().unzip();
    let standings_sql = standings_sql();
    let (one, many): ([Value<'_>; 1], [Value<'_>; 1]) =
        ([(&users[0], Type::UUID)], [(&users, Type::UUID_ARRAY)]);
    let all: [Value<'_>; 2] = [(&users, Type::UUID_ARRAY), (&logins, Type::UUID_ARRAY)];
    let clocks: (&str, &[Value<'_>]) = if users.len() == 1 {
        (CLOCK, &one)
    } else {
        (CLOCKS, &many)
    };
    let answers = database
        .read_all(&[clocks, (&standings_sql, &all)], users.len() > 1)
        .await?;
    let [clocks, logins] = answers.as_slice() else {
        return Err(Failure::Lost);
    };
    let mut clock_of = BTreeMap::new();
    for row in clocks {
        let clock = checked(row, 1, "sync_clocks.last_stamp", Stamp::new)?;
        let user: Uuid = column(row, 0, "sync_clocks.user_id")?;
        clock_of.insert(user, (clock, Epoch::new(column(row, 2, "meta.epoch")?)));
    }
    let standings = standings(logins, of)?.into_iter().zip(of);
    let with_clock = |(standing, (user, _)): (Option<Standing<()>>, &Of)| {
        let at = clock_of.get(user)?;
        standing.map(|standing| standing.map(|()| *at))
    };
    Ok(standings.map(with_clock).collect())
}

/// Whether each login goes on, from the rows of those that are there.
fn standings(rows: &[Row], of: &[Of]) -> Found<()> {
    let mut row_of = BTreeMap::new();
    for row in rows {
        row_of.insert(column::<i64>(row, 0, "place")?, row);
    }
    let standing = |(place, (_, login)): (i64, &Of)| {
        let row = row_of.get(&place).copied();
        standing::standing(Some(FamilyId::new(*login)), row, 1).map(Some)
    };
    (1..).zip(of).map(standing).collect()
}

#[cfg(test)]
mod tests {
    use mosaic_ports::StoreError;
    use tokio::sync::mpsc;

    use super::*;

    type At = (Stamp, Epoch);

    /// A statement that has begun, and what it is answered with.
    type Begun = (Vec<Of>, oneshot::Sender<Found<At>>);

    type Statements = mpsc::UnboundedReceiver<Begun>;

    /// The next statement that begins.
    async fn next(begun: &mut Statements) -> Begun {
        let next = timeout(Duration::from_secs(30), begun.recv()).await;
        next.expect("a statement begins").unwrap()
    }

    /// Statements that go on until the test answers them.
    fn held() -> (Arc<Together<At>>, Statements) {
        held_for(Duration::from_mins(10))
    }

    fn held_for(wait: Duration) -> (Arc<Together<At>>, Statements) {
        let (statements, begun) = mpsc::unbounded_channel();
        let statement = move |of: Vec<Of>| {
            let (answer, answered) = oneshot::channel();
            statements.send((of, answer)).unwrap();
            async move { answered.await.unwrap() }.boxed()
        };
        (Arc::new(Together::over(Box::new(statement), wait)), begun)
    }

    fn ask(rest: &Arc<Together<At>>, user: u128) -> tokio::task::JoinHandle<Result<Standing<At>, Failure>> {
        let rest = Arc::clone(rest);
        let (user, login) = (UserId::new(Uuid::from_u128(user)), FamilyId::new(Uuid::nil()));
        tokio::spawn(async move { rest.look(user, login).await })
    }

    fn at(clock: i64) -> At {
        (Stamp::clamped(clock), Epoch::new(Uuid::nil()))
    }

    fn users(of: &[Of]) -> Vec<u128> {
        of.iter().map(|(user, _)| user.as_u128()).collect()
    }

    /// As many statements as there may be, each of one user, from 1 on.
    async fn busy(rest: &Arc<Together<At>>, begun: &mut Statements) -> Vec<Begun> {
        let mut all = Vec::new();
        for n in 1..=STATEMENTS_MAX {
            drop(ask(rest, n as u128));
            all.push(next(begun).await);
        }
        all
    }

    /// The tasks that were started so far have asked.
    async fn have_asked(rest: &Together<At>, so_many: usize) {
        while rest.0.waiting().asked.len() < so_many {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn who_asks_alone_is_asked_for_at_once() {
        let (rest, mut begun) = held();
        let asked = ask(&rest, 7);
        let (of, answer) = next(&mut begun).await;
        assert_eq!(users(&of), [7]);
        answer.send(Ok(vec![Some(Ok(at(3)))])).unwrap();
        assert_eq!(asked.await.unwrap().unwrap(), Ok(at(3)));
    }

    /// An answer that was under way when somebody asked may be from before a write that was acknowledged meanwhile.
    #[tokio::test]
    async fn p2_who_asks_while_a_statement_is_under_way_is_answered_by_a_later_one() {
        let (rest, mut begun) = held();
        let mut under_way = busy(&rest, &mut begun).await;
        let late = [1, 9, 1].map(|user| ask(&rest, user));
        have_asked(&rest, 3).await;
        let (_, first) = under_way.remove(0);
        first.send(Ok(vec![Some(Ok(at(3)))])).unwrap();
        let (of, answer) = next(&mut begun).await;
        assert_eq!(users(&of), [1, 9, 1]);
        answer
            .send(Ok(vec![Some(Ok(at(4))), None, Some(Ok(at(4)))]))
            .unwrap();
        let mut found = Vec::new();
        for asked in late {
            found.push(asked.await.unwrap().unwrap());
        }
        assert_eq!(found, [Ok(at(4)), unknown(), Ok(at(4))]);
    }

    #[tokio::test]
    async fn who_was_asked_for_by_a_statement_that_failed_asks_alone() {
        let (rest, mut begun) = held();
        let mut under_way = busy(&rest, &mut begun).await;
        let both = [8, 9].map(|user| ask(&rest, user));
        have_asked(&rest, 2).await;
        under_way.remove(0).1.send(Ok(vec![Some(Ok(at(3)))])).unwrap();
        let (_, together) = next(&mut begun).await;
        together.send(Err(Failure::Panicked)).unwrap();
        for _ in 0..2 {
            let (of, alone) = next(&mut begun).await;
            assert_eq!(of.len(), 1);
            let found = if users(&of) == [8] {
                Ok(vec![Some(Ok(at(5)))])
            } else {
                Err(Failure::Panicked)
            };
            alone.send(found).unwrap();
        }
        let [first, second] = both;
        assert_eq!(first.await.unwrap().unwrap(), Ok(at(5)));
        assert!(second.await.unwrap().is_err());
    }

    /// Each would wait as long again to be told the same.
    #[tokio::test]
    async fn who_was_asked_for_while_the_database_is_away_is_told_so() {
        let (rest, mut begun) = held();
        let mut under_way = busy(&rest, &mut begun).await;
        let both = [8, 9].map(|user| ask(&rest, user));
        have_asked(&rest, 2).await;
        under_way.remove(0).1.send(Ok(vec![Some(Ok(at(3)))])).unwrap();
        next(&mut begun).await.1.send(Err(Failure::TooSlow)).unwrap();
        for asked in both {
            let told = timeout(Duration::from_secs(30), asked).await;
            let failure = StoreError::from(told.expect("nobody asks again").unwrap().unwrap_err());
            assert!(matches!(failure, StoreError::TooSlow(_)), "{failure:?}");
        }
        assert!(begun.try_recv().is_err());
    }

    /// A frozen database answers nothing; who waits for a place among the statements waits no longer than who has one.
    #[tokio::test]
    async fn nobody_waits_longer_than_a_look_up_may_take_and_who_has_gone_is_not_asked_for() {
        let (rest, mut begun) = held_for(Duration::from_secs(1));
        let under_way = busy(&rest, &mut begun).await;
        let late = timeout(Duration::from_secs(30), ask(&rest, 9)).await;
        assert!(matches!(late.expect("it ends").unwrap(), Err(Failure::TooSlow)));
        for (_, answer) in under_way {
            answer.send(Ok(vec![None])).unwrap();
        }
        while rest.0.waiting().statements > 0 {
            tokio::task::yield_now().await;
        }
        assert!(begun.try_recv().is_err());
    }

    #[tokio::test]
    async fn so_many_are_asked_for_together_and_no_more() {
        let (rest, mut begun) = held();
        let mut under_way = busy(&rest, &mut begun).await;
        let many: Vec<_> = (0..=TOGETHER_MAX as u128).map(|user| ask(&rest, user)).collect();
        have_asked(&rest, many.len()).await;
        drop(
            under_way
                .drain(..1)
                .map(|(_, answer)| answer.send(Ok(vec![None])))
                .collect::<Vec<_>>(),
        );
        let (of, answer) = next(&mut begun).await;
        assert_eq!(of.len(), TOGETHER_MAX);
        answer.send(Ok(vec![None; TOGETHER_MAX])).unwrap();
        let (of, answer) = next(&mut begun).await;
        assert_eq!(of.len(), 1);
        answer.send(Ok(vec![None])).unwrap();
        for asked in many {
            assert_eq!(asked.await.unwrap().unwrap(), unknown());
        }
    }
}
