//! The readers: a pool of connections that can only read, each look-up in one transaction, which is one snapshot (P4).
//!
//! In the write-ahead log a reader sees everything that was committed before it began, and neither waits for the writer
//! nor makes it wait. A database in memory has one connection for everything, so there the writer reads too.

use std::path::Path;
use std::sync::Arc;

use deadpool_sqlite::{Config, Hook, HookError, InteractError, Pool, PoolError, Runtime};
use rusqlite::{Connection, TransactionBehavior};
use tokio::runtime::Handle;

use crate::condition::Condition;
use crate::connect::set_up_reader;
use crate::error::Failure;
use crate::settings::SqliteSettings;
use crate::writer::Writer;

/// Whoever reads.
#[derive(Debug)]
pub(crate) enum Readers {
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
    async fn read<T, L>(&self, look_up: L) -> Result<T, Failure>
    where
        T: Send + 'static,
        L: FnOnce(&Connection) -> Result<T, Failure> + Send + 'static,
    {
        let conn = self.pool.get().await.map_err(no_reader)?;
        conn.interact(move |conn| in_snapshot(conn, look_up))
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
    /// Looks something up in one snapshot.
    pub(crate) async fn read<T, L>(&self, look_up: L) -> Result<T, Failure>
    where
        T: Send + 'static,
        L: FnOnce(&Connection) -> Result<T, Failure> + Send + 'static,
    {
        match self {
            Self::Pool(readers) => readers
                .read(look_up)
                .await
                .inspect_err(|failure| readers.condition.learn_from(failure)),
            Self::Writer(writer) => writer.run(look_up).await,
        }
    }

    /// Lets go of the file. Whoever is reading reads to the end.
    pub(crate) fn close(&self) {
        if let Self::Pool(readers) = self {
            readers.pool.close();
        }
    }
}

fn in_snapshot<T>(
    conn: &mut Connection,
    look_up: impl FnOnce(&Connection) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let snapshot = conn.transaction_with_behavior(TransactionBehavior::Deferred)?;
    let found = look_up(&snapshot)?;
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
