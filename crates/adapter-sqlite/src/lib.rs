//! The embedded store: SQLite in one file, no server.
//!
//! * One writer thread owns the write connection; writes that queue up share a commit (`writer`).
//! * A pool of read-only connections reads, each look-up in one snapshot (`readers`).
//! * An acknowledged write survives a power cut: write-ahead log, `synchronous=FULL` (`connect`).
//! * One process at a time: a second one that opens the file is told so at once ([`OpenError::InUse`]).
//! * All entity types live in one table; a new type costs nothing here (`records`).
//! * A backup is taken while a server works, and is checked before it is one ([`backup()`], [`restore()`]).
//!
//! ```no_run
//! # use std::sync::Arc;
//! # use mosaic_ports::{Clock, IdGenerator};
//! # use mosaic_adapter_sqlite::{OpenError, SqliteSettings, SqliteStore, UrlError};
//! # async fn open(clock: Arc<dyn Clock>, ids: Arc<dyn IdGenerator>) -> Result<(), Box<dyn std::error::Error>> {
//! let settings = SqliteSettings::new("sqlite://data/mosaic.db".parse()?);
//! let store = SqliteStore::open(settings, clock, ids).await?;
//! // ... hand it to the use cases as `Arc<dyn WriteStore>` and so on ...
//! store.close().await;
//! # Ok(())
//! # }
//! ```

mod accounts;
mod activity;
mod at_rest;
mod backup;
mod commits;
mod condition;
mod connect;
mod contents;
mod cursors;
mod digest;
mod error;
mod figures;
mod files;
mod filter;
mod history;
mod inspect;
mod invites;
mod migrations;
mod pull;
mod query;
mod readers;
mod records;
mod refold;
mod removal;
mod restore;
mod rows;
mod runs;
mod settings;
mod standing;
mod tokens;
mod transfer;
mod upkeep;
mod uploads;
mod watch;
mod writer;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use mosaic_ports::{Clock, Health, IdGenerator, Migration, MissingPart, StoreError};

use crate::condition::{Condition, DatabaseFile, MustTry};
use crate::error::Failure;
use crate::readers::{ReaderPool, Readers, Source};
use crate::writer::{Writer, WriterSettings};

pub use backup::{BackupError, BackupSummary, backup};
pub use error::{FileError, Flaw, OpenError};
pub use files::belong_to_folder;
pub use inspect::BackupProgress;

pub use restore::{RestoreError, RestoreSummary, check_backup, restore};
pub use settings::{Location, SqliteSettings, UrlError};

/// The embedded store. Implements every port of a store over one database.
///
/// Close it with [`SqliteStore::close`]. One that is only dropped finishes its writes too, but nobody knows when.
pub struct SqliteStore {
    writer: Writer,
    readers: Readers,
    clock: Arc<dyn Clock>,
    condition: Arc<Condition>,
    location: Location,
    /// One check at a time: a disk that does not answer keeps the thread that asked it.
    checking: Arc<tokio::sync::Mutex<()>>,
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStore")
            .field("writer", &self.writer)
            .field("readers", &self.readers)
            .finish_non_exhaustive()
    }
}

impl SqliteStore {
    /// Opens a database: takes its lock, makes it where there is none and brings its schema up to date, or refuses it where
    /// that was not asked for, and starts the writer. Needs a tokio runtime, for the store's life.
    ///
    /// # Errors
    /// [`OpenError`]; [`OpenError::InUse`], at once, when somebody else has the file open.
    pub async fn open(
        settings: SqliteSettings,
        clock: Arc<dyn Clock>,
        ids: Arc<dyn IdGenerator>,
    ) -> Result<Self, OpenError> {
        let location = settings.location.clone();
        let open = move || Self::open_blocking(&settings, clock, ids.as_ref());
        on_blocking_thread(location, open).await
    }

    fn open_blocking(
        settings: &SqliteSettings,
        clock: Arc<dyn Clock>,
        ids: &dyn IdGenerator,
    ) -> Result<Self, OpenError> {
        let (conn, lock, location) = connect::open_writer(settings, ids)?;
        let settled = WriterSettings {
            group_commit_max: settings.group_commit_max,
            queue_max: settings.queue_max,
            queue_max_per_user: settings.queue_max_per_user,
            queue_timeout: settings.queue_timeout,
        };
        let condition = Arc::new(Condition::new(match &location {
            Location::Memory => None,
            Location::File(path) => Some(DatabaseFile::of(path)),
        }));
        let writer = Writer::start(conn, lock, settled, Arc::clone(&condition))
            .map_err(|error| OpenError::start(&location, error))?;
        let source = match &location {
            Location::Memory => Source::Writer(writer.clone()),
            Location::File(path) => Source::Pool(
                ReaderPool::new(path.clone(), settings, Arc::clone(&condition))
                    .map_err(|error| OpenError::start(&location, error))?,
            ),
        };
        Ok(Self {
            writer,
            readers: Readers::new(source, settings.read_timeout),
            clock,
            condition,
            location,
            checking: Arc::default(),
        })
    }

    /// Carries out what is queued, writes the log back into the file, and releases it. Whoever asks for anything later
    /// is told that the store is not available.
    pub async fn close(&self) {
        self.readers.close();
        self.writer.at_rest().forget();
        self.writer.close().await;
    }
}

/// The migrations that a database has not seen yet. Changes nothing, and works while a server has the file open.
///
/// # Errors
/// [`OpenError`]; [`OpenError::Absent`] where there is no database, or nothing in it.
pub async fn pending_migrations(location: Location) -> Result<&'static [Migration], OpenError> {
    let named = location.clone();
    on_blocking_thread(named, move || connect::pending_migrations(&location)).await
}

async fn on_blocking_thread<T: Send + 'static>(
    location: Location,
    work: impl FnOnce() -> Result<T, OpenError> + Send + 'static,
) -> Result<T, OpenError> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|error| Err(OpenError::start(&location, error)))
}

#[async_trait]
impl Health for SqliteStore {
    async fn check(&self) -> Result<Vec<MissingPart>, StoreError> {
        if !self.writer.is_open() {
            return Err(Failure::unavailable("the writer has stopped").into());
        }
        let turn = Arc::clone(&self.checking).lock_owned().await;
        let condition = Arc::clone(&self.condition);
        let look = move || {
            let _turn = turn;
            condition.look()
        };
        let looked = tokio::task::spawn_blocking(look).await;
        let MustTry(must_try) = looked.unwrap_or(Err(Failure::Panicked))?;
        self.readers.read(condition::has_everything).await?;
        if must_try {
            let sql = "UPDATE meta SET epoch = epoch WHERE only_row = 1";
            self.writer.run(|conn| Ok(conn.execute(sql, [])?)).await?;
        }
        Ok(Vec::new())
    }
}
