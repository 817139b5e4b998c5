//! The readers: a pool of connections that can only read, each look-up in one transaction, which is one snapshot (P4).
//!
//! In the write-ahead log a reader sees everything that was committed before it began, and neither waits for the writer
//! nor makes it wait. A database in memory has one connection for everything, so there the writer reads too.
//!
//! A look-up ends when its time is over, and when nobody waits for its answer any more (`watch`).

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use deadpool_sqlite::{Config, Hook, HookError, InteractError, Pool, PoolError, Runtime};
use rusqlite::{Connection, TransactionBehavior};
use tokio::runtime::Handle;

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

/// The pool, and the runtime whose blocking threads its connections are used and closed on.
#[derive(Debug)]
pub(crate) struct ReaderPool {
    pool: Pool,
    runtime: Handle,
    condition: Arc<Condition>,
}

impl ReaderPool {
    /// A pool of connections to that file, made as they are needed.
    pub(crate) fn new(
        path: &Path,
        settings: &SqliteSettings,
        runtime: Handle,
        condition: Arc<Condition>,
    ) -> Result<Self, deadpool_sqlite::BuildError> {
        let busy = settings.busy_timeout;
        let set_up = Hook::async_fn(move |conn, _| {
            Box::pin(async move {
                let done = conn.interact(move |conn| set_up_reader(conn, busy)).await;
                done.map_err(|error| HookError::message(error.to_string()))?
                    .map_err(HookError::Backend)
            })
        });
        let config = Config::new(path);
        let Ok(builder) = config.builder(Runtime::Tokio1);
        let pool = builder
            .max_size(settings.readers.max(1))
            .wait_timeout(Some(busy))
            .post_create(set_up)
            .build()?;
        Ok(Self {
            pool,
            runtime,
            condition,
        })
    }
}

impl ReaderPool {
    async fn read<T, L>(&self, watch: Watch, look_up: L) -> Result<T, Failure>
    where
        T: Send + 'static,
        L: FnOnce(&Connection) -> Result<T, Failure> + Send + 'static,
    {
        let conn = self.pool.get().await.map_err(no_reader)?;
        conn.interact(move |conn| in_snapshot(conn, &watch, look_up))
            .await
            .map_err(|error| interrupted(&error))?
    }
}

impl Drop for ReaderPool {
    fn drop(&mut self) {
        // The pool closes its connections on the runtime, wherever the store happens to be dropped.
        let _runtime = self.runtime.enter();
        self.pool.close();
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
            Source::Writer(writer) => writer.run(move |conn| watch.over(conn, look_up)).await,
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

fn no_reader(error: PoolError) -> Failure {
    match error {
        PoolError::Backend(error) => Failure::Sqlite(error),
        other => Failure::unavailable(other),
    }
}

fn interrupted(error: &InteractError) -> Failure {
    match error {
        InteractError::Panic(_) => Failure::Panicked,
        InteractError::Cancelled => Failure::unavailable("the reader was cancelled"),
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;
    use crate::settings::Location;

    /// The one reader there is counts without end for somebody who goes away. Then it serves the next one.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_look_up_ends_when_its_caller_goes() {
        let folder = tempfile::tempdir().unwrap();
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
        let pool = ReaderPool::new(&path, &settings, Handle::current(), condition).unwrap();
        let readers = Readers::new(Source::Pool(pool), Duration::from_hours(1));
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
        let rows = readers
            .read(|conn| Ok(conn.query_row("SELECT count(*) FROM t", [], |row| row.get::<_, i64>(0))?));
        let rows = tokio::time::timeout(Duration::from_secs(30), rows).await;
        assert_eq!(rows.expect("the reader is free").unwrap(), 0);
    }
}
