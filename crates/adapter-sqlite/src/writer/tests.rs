//! What the writer promises, with interleavings that are forced: a job waits until the test has queued the next ones.

mod figures;
mod turns;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc as blocking;

use futures_util::future::join_all;
use mosaic_domain::write::{Locked, decide};
use mosaic_domain::{Epoch, FamilyId, Stamp, SyncClock, UnixMillis};
use mosaic_testkit::{memo, memo_key, put};
use uuid::Uuid;

use super::*;

const SETTINGS: WriterSettings = WriterSettings {
    group_commit_max: 64,
    queue_max: 64,
    queue_max_per_user: 64,
    queue_timeout: Duration::from_mins(1),
};

/// A writer over a database in memory with one table of numbers.
fn start(settings: WriterSettings) -> Writer {
    let conn = Connection::open_in_memory().unwrap();
    conn.execute_batch("CREATE TABLE numbers (n INTEGER PRIMARY KEY, bytes BLOB)")
        .unwrap();
    conn.execute_batch(
        "CREATE TABLE sync_clocks (user_id BLOB);
         CREATE TABLE logins (user_id, login_id, client_id);
         CREATE TABLE sync_cursors (client_id, user_id, entity_type, last_sync_at, served_at,
                                    PRIMARY KEY (client_id, user_id, entity_type))",
    )
    .unwrap();
    Writer::start(conn, None, settings, Arc::new(Condition::new(None))).unwrap()
}

fn insert(n: i64) -> impl FnOnce(&Connection) -> Result<(), Failure> + Send + 'static {
    move |conn| {
        conn.execute("INSERT INTO numbers (n) VALUES (?1)", [n])?;
        Ok(())
    }
}

async fn numbers(writer: &Writer) -> Vec<i64> {
    let read = |conn: &Connection| {
        let mut statement = conn.prepare("SELECT n FROM numbers ORDER BY n")?;
        let numbers = statement.query_map([], |row| row.get(0))?;
        Ok(numbers.collect::<Result<_, _>>()?)
    };
    writer.run(read).await.unwrap()
}

/// Counts the commits, from now on.
async fn count_commits(writer: &Writer) -> Arc<AtomicUsize> {
    let commits = Arc::new(AtomicUsize::new(0));
    let counted = commits.clone();
    let hook = move |conn: &Connection| {
        let count = move || {
            counted.fetch_add(1, Ordering::SeqCst);
            false
        };
        Ok(conn.commit_hook(Some(count))?)
    };
    writer.run(hook).await.unwrap();
    commits.store(0, Ordering::SeqCst);
    commits
}

/// The commit of the job that keeps the writer busy.
const HELD: usize = 1;

/// Keeps the writer busy until the sender is dropped or used, so that everything sent meanwhile queues up.
async fn hold(writer: &Writer) -> (blocking::Sender<()>, tokio::task::JoinHandle<()>) {
    let (release, held) = blocking::channel();
    let (started, has_started) = oneshot::channel();
    let writer = writer.clone();
    let busy = tokio::spawn(async move {
        let work = move |_: &Connection| {
            let _ = started.send(());
            let _ = held.recv();
            Ok(())
        };
        writer.run(work).await.unwrap();
    });
    has_started.await.unwrap();
    (release, busy)
}

#[tokio::test]
async fn writes_that_queue_up_share_one_commit() {
    let writer = start(SETTINGS);
    let commits = count_commits(&writer).await;
    let (release, busy) = hold(&writer).await;
    // `join_all` polls each once, which queues them all, before any is answered.
    let queued = join_all((0..50).map(|n| writer.run(insert(n))));
    let (answers, ()) = tokio::join!(queued, async move { release.send(()).unwrap() });
    busy.await.unwrap();
    assert!(answers.iter().all(Result::is_ok));
    assert_eq!(commits.load(Ordering::SeqCst), HELD + 1);
    assert_eq!(numbers(&writer).await.len(), 50);
}

#[tokio::test]
async fn a_group_has_a_greatest_size() {
    let writer = start(WriterSettings {
        group_commit_max: 10,
        ..SETTINGS
    });
    let commits = count_commits(&writer).await;
    let (release, busy) = hold(&writer).await;
    let queued = join_all((0..50).map(|n| writer.run(insert(n))));
    let (answers, ()) = tokio::join!(queued, async move { release.send(()).unwrap() });
    busy.await.unwrap();
    assert!(answers.iter().all(Result::is_ok));
    assert_eq!(commits.load(Ordering::SeqCst), HELD + 5);
}

#[tokio::test]
async fn a_job_that_fails_or_panics_takes_no_other_with_it() {
    let writer = start(SETTINGS);
    let (release, busy) = hold(&writer).await;
    let fails = |conn: &Connection| {
        insert(10)(conn)?;
        insert(10)(conn)
    };
    let panics = |conn: &Connection| -> Result<(), Failure> {
        insert(20)(conn)?;
        panic!("this panic is part of a test")
    };
    let (first, failed, second, panicked, third, ()) = tokio::join!(
        writer.run(insert(1)),
        writer.run(fails),
        writer.run(insert(2)),
        writer.run(panics),
        writer.run(insert(3)),
        async move { release.send(()).unwrap() },
    );
    busy.await.unwrap();
    assert!(first.is_ok() && second.is_ok() && third.is_ok());
    assert!(matches!(failed, Err(Failure::Sqlite(_))), "{failed:?}");
    assert!(matches!(panicked, Err(Failure::Panicked)), "{panicked:?}");
    assert_eq!(numbers(&writer).await, [1, 2, 3]);
}

#[tokio::test]
async fn a_job_whose_caller_is_gone_before_it_starts_is_skipped() {
    let writer = start(SETTINGS);
    let (release, busy) = hold(&writer).await;
    let mut abandoned = Box::pin(writer.run(insert(1)));
    assert!(futures_util::poll!(&mut abandoned).is_pending());
    drop(abandoned);
    release.send(()).unwrap();
    busy.await.unwrap();
    assert_eq!(numbers(&writer).await, [0_i64; 0]);
}

#[tokio::test]
async fn a_job_that_has_started_is_carried_out_though_its_caller_is_gone() {
    let writer = start(SETTINGS);
    let (started, has_started) = oneshot::channel();
    let (release, held) = blocking::channel::<()>();
    let work = move |conn: &Connection| {
        let _ = started.send(());
        let _ = held.recv();
        insert(1)(conn)
    };
    let mut abandoned = Box::pin(writer.run(work));
    assert!(futures_util::poll!(&mut abandoned).is_pending());
    has_started.await.unwrap();
    drop(abandoned);
    release.send(()).unwrap();
    assert_eq!(numbers(&writer).await, [1]);
}

#[tokio::test]
async fn a_full_queue_says_so_at_once() {
    let writer = start(WriterSettings {
        queue_max: 1,
        ..SETTINGS
    });
    let (release, busy) = hold(&writer).await;
    let (waits, refused, ()) = tokio::join!(writer.run(insert(1)), writer.run(insert(2)), async move {
        release.send(()).unwrap();
    });
    busy.await.unwrap();
    assert!(waits.is_ok());
    assert!(matches!(refused, Err(Failure::Unavailable(_))), "{refused:?}");
    assert_eq!(numbers(&writer).await, [1]);
}

#[tokio::test]
async fn a_commit_that_fails_fails_every_job_of_the_group_and_none_after() {
    let writer = start(SETTINGS);
    let (release, busy) = hold(&writer).await;
    let refuse = |conn: &Connection| {
        conn.commit_hook(Some(|| true))?;
        insert(1)(conn)
    };
    let (first, second, ()) = tokio::join!(writer.run(refuse), writer.run(insert(2)), async move {
        release.send(()).unwrap();
    });
    busy.await.unwrap();
    assert!(matches!(first, Err(Failure::Uncommitted(_))), "{first:?}");
    assert!(matches!(second, Err(Failure::Uncommitted(_))), "{second:?}");
    let allow = |conn: &Connection| Ok(conn.commit_hook(None::<fn() -> bool>)?);
    writer.run(allow).await.unwrap();
    writer.run(insert(3)).await.unwrap();
    assert_eq!(numbers(&writer).await, [3]);
}

#[tokio::test]
async fn a_disk_that_is_full_loses_no_acknowledged_write_and_the_writer_goes_on() {
    let writer = start(SETTINGS);
    let limit = |conn: &Connection| {
        conn.pragma_update_and_check(None, "max_page_count", 20, |_| Ok(()))?;
        Ok(())
    };
    writer.run(limit).await.unwrap();
    let (release, busy) = hold(&writer).await;
    let fill = |conn: &Connection| {
        conn.execute("INSERT INTO numbers (n, bytes) VALUES (9, zeroblob(1000000))", [])?;
        Ok(())
    };
    let (first, refused, second, ()) = tokio::join!(
        writer.run(insert(1)),
        writer.run(fill),
        writer.run(insert(2)),
        async move { release.send(()).unwrap() },
    );
    busy.await.unwrap();
    assert!(refused.is_err());
    let acknowledged: Vec<i64> = [(1, first), (2, second)]
        .into_iter()
        .filter_map(|(n, answer)| answer.ok().map(|()| n))
        .collect();
    assert_eq!(numbers(&writer).await, acknowledged);
    writer.run(insert(3)).await.unwrap();
}

#[tokio::test]
async fn a_transaction_that_sqlite_gives_up_fails_its_jobs_and_the_rest_get_one_of_their_own() {
    let writer = start(SETTINGS);
    let (release, busy) = hold(&writer).await;
    let gives_up = |conn: &Connection| {
        conn.execute_batch("INSERT INTO numbers (n) VALUES (5); ROLLBACK")?;
        Err::<(), _>(Failure::UnknownUser)
    };
    let (first, lost, second, ()) = tokio::join!(
        writer.run(insert(1)),
        writer.run(gives_up),
        writer.run(insert(2)),
        async move { release.send(()).unwrap() },
    );
    // The job that kept the writer busy was of an earlier group.
    busy.await.unwrap();
    assert!(matches!(first, Err(Failure::Uncommitted(_))), "{first:?}");
    assert!(lost.is_err());
    assert!(second.is_ok(), "{second:?}");
    assert_eq!(numbers(&writer).await, [2]);
}

#[tokio::test]
async fn closing_carries_out_what_is_queued_and_refuses_what_comes_later() {
    let writer = start(SETTINGS);
    let (release, busy) = hold(&writer).await;
    let (queued, (), ()) = tokio::join!(writer.run(insert(1)), writer.close(), async move {
        release.send(()).unwrap();
    });
    busy.await.unwrap();
    assert!(queued.is_ok());
    assert!(!writer.is_open());
    let late = writer.run(insert(2)).await;
    assert!(matches!(late, Err(Failure::Unavailable(_))), "{late:?}");
    writer.close().await;
}

/// Writes down what it hears, and how many commits there had been by then.
struct Heard {
    commits: Arc<AtomicUsize>,
    calls: std::sync::Mutex<Vec<(UserId, Stamp, usize)>>,
}

impl CommitListener for Heard {
    fn logins_ended(&self, _: UserId) {}

    fn committed(&self, user: UserId, clock: Stamp) {
        let commits = self.commits.load(Ordering::SeqCst);
        self.calls.lock().unwrap().push((user, clock, commits));
    }

    fn missed(&self) {
        panic!("there is one instance");
    }
}

async fn listen(writer: &Writer) -> Arc<Heard> {
    let heard = Arc::new(Heard {
        commits: count_commits(writer).await,
        calls: std::sync::Mutex::default(),
    });
    writer.listen(heard.clone());
    heard
}

fn user(n: u128) -> UserId {
    UserId::new(Uuid::from_u128(n))
}

/// A plan that stores something and leaves the clock so.
fn plan(clock: i64) -> WritePlan {
    let edits = [put(memo_key(1), memo("x"))];
    let locked = Locked {
        clock: SyncClock::new(Stamp::clamped(clock - 1), UnixMillis::ZERO),
        records: BTreeMap::new(),
        children: BTreeMap::new(),
        last_places: BTreeMap::new(),
        revisions: Vec::new(),
        bytes: 0,
        quota: mosaic_domain::Quota::Default,
    };
    decide(&locked, &edits).unwrap()
}

#[tokio::test]
async fn n1_the_latest_clock_of_each_user_of_a_group_is_told_once_and_after_the_commit() {
    let writer = start(SETTINGS);
    let heard = listen(&writer).await;
    let (release, busy) = hold(&writer).await;
    let moves = |of, clock| writer.write(user(of), 0, move |_| Ok(plan(clock)));
    let fails = writer.write(user(3), 0, |_| Err(Failure::UnknownUser));
    let changes_nothing = writer.write(user(4), 0, |_| {
        Ok(WritePlan {
            records: Vec::new(),
            ..plan(9)
        })
    });
    let (.., ()) = tokio::join!(
        moves(1, 5),
        moves(2, 7),
        moves(1, 6),
        fails,
        changes_nothing,
        async move {
            release.send(()).unwrap();
        }
    );
    busy.await.unwrap();
    let told = heard.calls.lock().unwrap().clone();
    let after = HELD + 1;
    assert_eq!(
        told,
        [
            (user(1), Stamp::clamped(6), after),
            (user(2), Stamp::clamped(7), after)
        ]
    );
}

#[tokio::test]
async fn n1_nobody_is_told_of_what_was_not_committed() {
    let writer = start(SETTINGS);
    let heard = listen(&writer).await;
    let refuse = |conn: &Connection| {
        conn.commit_hook(Some(|| true))?;
        insert(1)(conn)?;
        Ok(plan(5))
    };
    let lost = writer.write(user(1), 0, refuse).await;
    assert!(matches!(lost, Err(Failure::Uncommitted(_))), "{lost:?}");
    assert_eq!(*heard.calls.lock().unwrap(), []);
}

/// Remembers what was remembered when it was told of a commit.
struct Looks(Arc<AtRest>, std::sync::Mutex<Vec<Option<i64>>>);

impl Looks {
    const LOGIN: FamilyId = FamilyId::new(Uuid::nil());

    fn clock(&self) -> Option<i64> {
        self.0.look(user(1), Self::LOGIN).map(|(clock, _)| clock.get())
    }
}

impl CommitListener for Looks {
    fn logins_ended(&self, _: UserId) {}

    fn committed(&self, _: UserId, _: Stamp) {
        self.1.lock().unwrap().push(self.clock());
    }

    fn missed(&self) {}
}

/// Whoever is told of a commit and pulls at once sees it. What a commit that failed would have moved is not remembered.
#[tokio::test]
async fn p2_what_was_committed_is_remembered_before_anybody_is_told() {
    let writer = start(SETTINGS);
    let looks = Arc::new(Looks(Arc::clone(&writer.at_rest), std::sync::Mutex::default()));
    let rest = writer.at_rest();
    let epoch = Epoch::new(Uuid::nil());
    rest.learn(rest.since(), user(1), Looks::LOGIN, Stamp::clamped(3), epoch);
    writer.listen(looks.clone());
    writer.write(user(1), 0, |_| Ok(plan(5))).await.unwrap();
    assert_eq!(*looks.1.lock().unwrap(), [Some(5)]);
    let refuse = |conn: &Connection| {
        conn.commit_hook(Some(|| true))?;
        insert(1)(conn)?;
        Ok(plan(6))
    };
    let lost = writer.write(user(1), 0, refuse).await;
    assert!(matches!(lost, Err(Failure::Uncommitted(_))), "{lost:?}");
    assert_eq!(looks.clock(), None);
}

#[tokio::test]
async fn a_listener_that_panics_stops_neither_the_writer_nor_the_others() {
    struct Panics;
    impl CommitListener for Panics {
        fn logins_ended(&self, _: UserId) {}

        fn committed(&self, _: UserId, _: Stamp) {
            panic!("this panic is part of a test");
        }
        fn missed(&self) {}
    }
    let writer = start(SETTINGS);
    writer.listen(Arc::new(Panics));
    let heard = listen(&writer).await;
    writer.write(user(1), 0, |_| Ok(plan(5))).await.unwrap();
    writer.write(user(1), 0, |_| Ok(plan(6))).await.unwrap();
    assert_eq!(heard.calls.lock().unwrap().len(), 2);
}
