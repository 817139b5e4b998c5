//! The production store: PostgreSQL, for any number of server instances.
//!
//! * A write is one transaction and two round trips. It holds the lock of the user's clock row (S1), so writes of one user
//!   take turns, on whatever instance, and writes of different users never wait for each other (`scope`, `records`).
//! * A pull is one statement, which is one snapshot (P4) and one round trip (`pull`).
//! * What failed before anything was committed is done again; a commit whose answer was lost is looked up (`retry`,
//!   `settle`).
//! * A dropped future leaves no transaction open and no lock held (`session`).
//! * Commits are told of after they happened, to other instances by `NOTIFY` (`commits`, `listen`).
//! * All entity types live in one table; a new type costs nothing here (`batch`).
//!
//! ```no_run
//! # use std::sync::Arc;
//! # use mosaic_ports::{Clock, IdGenerator};
//! # use mosaic_adapter_postgres::{PostgresSettings, PostgresStore};
//! # async fn open(clock: Arc<dyn Clock>, ids: Arc<dyn IdGenerator>) -> Result<(), Box<dyn std::error::Error>> {
//! let settings = PostgresSettings::new("postgres://mosaic:secret@localhost/mosaic".parse()?);
//! let store = PostgresStore::open(settings, clock, ids).await?;
//! // ... hand it to the use cases as `Arc<dyn WriteStore>` and so on ...
//! store.close().await;
//! # Ok(())
//! # }
//! ```

mod accounts;
mod activity;
mod at_rest;
mod batch;
mod blocking;
mod commit_state;
mod commits;
mod connect;
mod contents;
mod cursors;
mod digest;
mod error;
mod figures;
mod grams;
mod history;
mod invites;
mod jobs;
mod listen;
mod migrations;
mod notifier;
mod payload;
#[cfg(test)]
mod plans;
mod pull;
mod query;
mod records;
mod refold;
mod removal;
mod retention;
mod retry;
mod rows;
mod scope;
mod script;
mod session;
mod settings;
mod shards;
mod standing;
mod statements;
mod tls;
mod tokens;
mod transfer;
mod uploads;
mod write_permits;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use mosaic_domain::{Epoch, Stamp};
use mosaic_ports::{Clock, Health, IdGenerator, Migration, MissingPart, StoreError};
use tokio_postgres::types::Type;

use crate::at_rest::Together;
use crate::cursors::CursorWriter;
use crate::error::Failure;
use crate::notifier::CommitNotifier;
use crate::session::{Database, Step};
use crate::shards::Machines;

pub use error::{OpenError, Refused};
pub use settings::{PostgresSettings, PostgresUrl, SslMode, UrlError};
pub use shards::{REFERENCE_TABLE, ShardFinding, ShardReport, ShardsError, USERS_TABLES};
pub use statements::OF_ONE_USER;

/// The production store. Implements every port of a store over one database.
///
/// Close it with [`PostgresStore::close`]. One that is only dropped may lose the latest served cursors, and other
/// instances may not be told of its latest commits, which harms nobody.
pub struct PostgresStore {
    database: Database,
    at_rest: Together<(Stamp, Epoch)>,
    logins: Together<()>,
    cursors: CursorWriter,
    commits: CommitNotifier,
    clock: Arc<dyn Clock>,
    /// Those that users are spread over, if they are.
    machines: Option<Machines>,
    shown: String,
}

impl fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresStore")
            .field("database", &self.shown)
            .finish_non_exhaustive()
    }
}

impl PostgresStore {
    /// Opens a database: brings its schema up to date, or refuses it where that was not asked for, and connects. Any
    /// number of instances may do so at once. Needs a tokio runtime, for the store's life: all connections belong to it.
    ///
    /// # Errors
    /// [`OpenError`].
    pub async fn open(
        settings: PostgresSettings,
        clock: Arc<dyn Clock>,
        ids: Arc<dyn IdGenerator>,
    ) -> Result<Self, OpenError> {
        let shown = settings.url.to_string();
        let (connector, config) = connect::prepare(&settings)?;
        let listen = connect::prepare_listening(&settings)?;
        let is_distributed = migrations::ensure_schema(&settings, &connector, &config).await?;
        let start = |source: mosaic_ports::BoxError| OpenError::Start {
            database: shown.clone(),
            source,
        };
        let pool =
            connect::pool(&settings, connector.clone(), config).map_err(|error| start(error.into()))?;
        let database = Database::new(&settings, pool, connector, is_distributed);
        ensure_epoch(&database, ids.as_ref())
            .await
            .map_err(|failure| start(StoreError::from(failure).into()))?;
        Ok(Self {
            at_rest: Together::at_rest(database.clone(), settings.read_timeout),
            logins: Together::of_logins(database.clone(), settings.read_timeout),
            cursors: CursorWriter::start(database.clone()),
            commits: CommitNotifier::start(database.clone(), listen),
            database,
            clock,
            machines: is_distributed.then(Machines::default),
            shown,
        })
    }

    /// Writes the cursors that were served, tells of the commits that are not told yet, and releases the database. Whoever asks for anything later is told that the
    /// store is not available.
    pub async fn close(&self) {
        if let Err(error) = self.cursors.flush().await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "served cursors were not written"
            );
        }
        self.commits.close().await;
        self.database.close();
    }
}

/// A new database begins a history of its own (R2). One that has an epoch is not written to: where each of several nodes has a
/// copy of it, all would have to be there.
async fn ensure_epoch(database: &Database, ids: &dyn IdGenerator) -> Result<(), Failure> {
    let there = database
        .read("SELECT 1 FROM meta WHERE only_row = 1", &[])
        .await?;
    if !there.is_empty() {
        return Ok(());
    }
    let sql = "INSERT INTO meta (only_row, epoch, texts_folded) VALUES (1, $1, true) ON CONFLICT (only_row) DO NOTHING";
    let epoch = ids.next();
    database.run(Step::Fixed(sql, vec![(&epoch, Type::UUID)])).await?;
    Ok(())
}

/// The migrations that a database has not seen yet. Changes nothing, and works while servers use the database.
///
/// # Errors
/// [`OpenError`]; [`OpenError::Absent`] where none ever ran in it.
pub async fn pending_migrations(settings: &PostgresSettings) -> Result<&'static [Migration], OpenError> {
    let (connector, config) = connect::prepare(settings)?;
    migrations::pending(settings, &connector, &config).await
}

/// Spreads the users of a database that is up to date over the machines of Citus: tables that are spread already stay as
/// they are. Gives the names of the others. No server may use the database meanwhile.
///
/// # Errors
/// [`OpenError`]; [`OpenError::Shards`] where the extension is missing, or no machine holds shards.
pub async fn distribute(settings: &PostgresSettings) -> Result<Vec<&'static str>, OpenError> {
    let (connector, config) = connect::prepare(settings)?;
    migrations::distribute(settings, &connector, &config).await
}

/// How a database lies whose users are spread over machines; `None` where they are not. Changes nothing, and works while
/// servers use the database.
///
/// # Errors
/// [`OpenError`].
pub async fn examine_shards(settings: &PostgresSettings) -> Result<Option<ShardReport>, OpenError> {
    let (connector, config) = connect::prepare(settings)?;
    let connected = deadpool_postgres::Connect::connect(&connector, &config).await;
    let (client, _) = connected.map_err(OpenError::connect(&settings.url))?;
    shards::examine(&client)
        .await
        .map_err(OpenError::start(&settings.url))
}

#[async_trait]
impl Health for PostgresStore {
    async fn check(&self) -> Result<Vec<MissingPart>, StoreError> {
        self.database.check().await?;
        let all_answer = match &self.machines {
            Some(machines) => machines.all_answer(&self.database).await,
            None => true,
        };
        Ok(if all_answer {
            Vec::new()
        } else {
            vec![MissingPart::Machines]
        })
    }
}
