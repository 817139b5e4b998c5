//! The readers: a pool of connections that can only read, each look-up in one transaction, which is one snapshot (P4).
//!
//! In the write-ahead log a reader sees everything that was committed before it began, and neither waits for the writer
//! nor makes it wait. A database in memory has one connection for everything, so there the writer reads too.
//!
//! A look-up ends when its time is over, and when nobody waits for its answer any more (`watch`).

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use deadpool::Runtime;
use deadpool::managed::{BuildError, Manager, Metrics, Object, Pool, PoolError, RecycleResult};
use mosaic_ports::{Figure, Histogram};
use rusqlite::{Connection, OpenFlags, TransactionBehavior};
use tokio::task;

use crate::condition::Condition;
use crate::connect::set_up_reader;
use crate::error::Failure;
use crate::settings::SqliteSettings;
use crate::watch::Watch;
use crate::writer::Writer;

/// Whoever reads, and how long one look-up may take.
#[derive(Debug)]
pub(crate) struct Readers {
    from: Source,
    at_most: Duration,
}

/// What is read from.
#[derive(Debug)]
pub(crate) enum Source {
    /// Connections of their own.
    Pool(ReaderPool),
    /// The write connection.
    Writer(Writer),
}

/// The pool. Its connections are used on blocking threads.
#[derive(Debug)]
pub(crate) struct ReaderPool {
    pool: Pool<Opener>,
    condition: Arc<Condition>,
    /// How long look-ups waited for a reader, those too that got none.
    waits: Histogram,
}

/// Opens a reader where the pool has none to spare.
#[derive(Debug)]
struct Opener {
    path: PathBuf,
    busy_timeout: Duration,
}

impl Manager for Opener {
    type Type = Connection;
    type Error = Failure;

    async fn create(&self) -> Result<Connection, Failure> {
        let (path, busy_timeout) = (self.path.clone(), self.busy_timeout);
        let opening = task::spawn_blocking(move || {
            let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
            let conn = Connection::open_with_flags(path, flags)?;
            set_up_reader(&conn, busy_timeout)?;
            Ok(conn)
        });
        opening.await.map_err(Failure::unavailable)?
    }

    /// A file needs no asking whether it is still there: whoever reads is told.
    async fn recycle(&self, _: &mut Connection, _: &Metrics) -> RecycleResult<Failure> {
        Ok(())
    }
}

impl ReaderPool {
    /// A pool of connections to that file, made as they are needed.
    pub(crate) fn new(
        path: PathBuf,
        settings: &SqliteSettings,
        condition: Arc<Condition>,
    ) -> Result<Self, BuildError> {
        let opener = Opener {
            path,
            busy_timeout: settings.busy_timeout,
        };
        let pool = Pool::builder(opener)
            .max_size(settings.readers.max(1))
            .wait_timeout(Some(settings.busy_timeout))
            .runtime(Runtime::Tokio1)
            .build()?;
        Ok(Self {
            pool,
            condition,
            waits: Histogram::of_times(),
        })
    }

    fn figures(&self) -> [Figure; 3] {
        let status = self.pool.status();
        [
            Figure::histogram(
                "mosaic_sqlite_reader_wait_seconds",
                "How long look-ups waited for a reader",
                &self.waits,
            ),
            Figure::gauge(
                "mosaic_sqlite_readers_busy",
                "Readers that look something up",
                status.size.saturating_sub(status.available) as u64,
            ),
            Figure::gauge(
                "mosaic_sqlite_readers_max",
                "Readers that there may be",
                status.max_size as u64,
            ),
        ]
    }

    /// The reader goes back to the pool from the thread that reads, when the look-up ends: not when the task that waits for
    /// it gets its turn on a busy worker, nor when that task is dropped, while the look-up still goes on.
    async fn read<T, L>(&self, watch: Watch, look_up: L) -> Result<T, Failure>
    where
        T: Send + 'static,
        L: FnOnce(&Connection) -> Result<T, Failure> + Send + 'static,
    {
        let asked = Instant::now();
        let reader = self.pool.get().await;
        self.waits.took(asked.elapsed());
        let mut reader = reader.map_err(no_reader)?;
        let reading = task::spawn_blocking(move || {
            let found = catch_unwind(AssertUnwindSafe(|| in_snapshot(&mut reader, &watch, look_up)));
            found.unwrap_or_else(|_| {
                // Nobody knows what state it is in.
                drop(Object::take(reader));
                Err(Failure::Panicked)
            })
        });
        reading.await.map_err(Failure::unavailable)?
    }
}

impl Readers {
    /// Readers whose look-ups may take so long.
    pub(crate) fn new(from: Source, at_most: Duration) -> Self {
        Self { from, at_most }
    }

    /// Looks something up in one snapshot.
    pub(crate) async fn read<T, L>(&self, look_up: L) -> Result<T, Failure>
    where
        T: Send + 'static,
        L: FnOnce(&Connection) -> Result<T, Failure> + Send + 'static,
    {
        let (watch, _caller) = Watch::new(self.at_most);
        match &self.from {
            Source::Pool(readers) => readers
                .read(watch, look_up)
                .await
                .inspect_err(|failure| readers.condition.learn_from(failure)),
            Source::Writer(writer) => writer.read(move |conn| watch.over(conn, look_up)).await,
        }
    }

    /// What is counted of them; nothing where the writer reads.
    pub(crate) fn figures(&self) -> Vec<Figure> {
        match &self.from {
            Source::Pool(readers) => readers.figures().into(),
            Source::Writer(_) => Vec::new(),
        }
    }

    /// Lets go of the file. Whoever is reading reads to the end.
    pub(crate) fn close(&self) {
        if let Source::Pool(readers) = &self.from {
            readers.pool.close();
        }
    }
}

fn in_snapshot<T>(
    conn: &mut Connection,
    watch: &Watch,
    look_up: impl FnOnce(&Connection) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let snapshot = conn.transaction_with_behavior(TransactionBehavior::Deferred)?;
    let found = watch.over(&snapshot, look_up)?;
    snapshot.commit()?;
    Ok(found)
}

fn no_reader(error: PoolError<Failure>) -> Failure {
    match error {
        PoolError::Backend(failure) => failure,
        other => Failure::unavailable(other),
    }
}

#[cfg(test)]
mod tests {
    use std::future::{Future as _, poll_fn};
    use std::sync::mpsc;
    use std::task::Poll;

    use tempfile::TempDir;
    use tokio::sync::oneshot;
    use tokio::time::timeout;

    use super::*;
    use crate::settings::Location;

    /// One reader, of a database with an empty table.
    fn one_reader(folder: &TempDir) -> Readers {
        let path = folder.path().join("mosaic.db");
        Connection::open(&path)
            .unwrap()
            .execute_batch("CREATE TABLE t (n)")
            .unwrap();
        let settings = SqliteSettings {
            readers: 1,
            busy_timeout: Duration::from_mins(1),
            ..SqliteSettings::new(Location::Memory)
        };
        let condition = Arc::new(Condition::new(None));
        let pool = ReaderPool::new(path, &settings, condition).unwrap();
        Readers::new(Source::Pool(pool), Duration::from_hours(1))
    }

    /// A look-up that needs the reader, and gets it soon.
    async fn assert_free(readers: &Readers) {
        let rows = readers
            .read(|conn| Ok(conn.query_row("SELECT count(*) FROM t", [], |row| row.get::<_, i64>(0))?));
        let rows = timeout(Duration::from_secs(30), rows).await;
        assert_eq!(rows.expect("the reader is free").unwrap(), 0);
    }

    /// The one reader there is counts without end for somebody who goes away. Then it serves the next one.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_look_up_ends_when_its_caller_goes() {
        let folder = tempfile::tempdir().unwrap();
        let readers = one_reader(&folder);
        let (started, has_started) = oneshot::channel();
        let endless = move |conn: &Connection| {
            let _ = started.send(());
            let sql =
                "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n";
            Ok(conn.query_row(sql, [], |row| row.get::<_, i64>(0))?)
        };
        tokio::select! {
            counted = readers.read(endless) => panic!("{counted:?}"),
            begun = has_started => begun.unwrap(),
        }
        assert_free(&readers).await;
    }

    /// A worker may be busy with something else when a look-up ends. Others need not wait for it.
    #[tokio::test]
    async fn a_reader_is_free_once_its_look_up_ends_whoever_waits_for_it() {
        let folder = tempfile::tempdir().unwrap();
        let readers = one_reader(&folder);
        // One that is there by now.
        assert_free(&readers).await;
        let (started, has_started) = mpsc::channel();
        let (done, is_done) = mpsc::channel();
        let mut waiting = Box::pin(readers.read(move |_| {
            let _ = started.send(());
            let _ = is_done.recv();
            Ok(())
        }));
        // Once, and then not again.
        let is_pending = poll_fn(|cx| Poll::Ready(waiting.as_mut().poll(cx).is_pending()));
        assert!(is_pending.await);
        has_started.recv_timeout(Duration::from_secs(30)).unwrap();
        done.send(()).unwrap();
        assert_free(&readers).await;
        drop(waiting);
    }

    #[tokio::test]
    async fn a_look_up_that_panics_is_an_error_and_takes_its_reader_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let readers = one_reader(&folder);
        let panics = readers.read(|conn| -> Result<(), Failure> {
            conn.execute_batch("CREATE TEMP TABLE left_behind (n)")
                .unwrap_or(());
            panic!("as a bug would")
        });
        assert!(matches!(panics.await, Err(Failure::Panicked)));
        assert_free(&readers).await;
    }
}
