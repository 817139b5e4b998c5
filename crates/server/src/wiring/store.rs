//! The store that the configuration names.

use std::sync::Arc;

use mosaic_adapter_postgres::{PostgresSettings, PostgresStore, PostgresUrl};
use mosaic_adapter_sqlite::{Location, SqliteSettings, SqliteStore};
use mosaic_adapter_system::{MarkFile, SystemClock, UuidV7Ids};
use mosaic_application::history::{HighWater, History};
use mosaic_application::retention::Purge;
use mosaic_ports::{Clock, Figures, Migration, Stores};

use super::error::WiringError;
use super::{TOKEN_KEY_FILE, millis};
use crate::config::{Config, DatabaseUrl};
use crate::lost;
use crate::storage::Storage;

/// The file in the data folder that remembers how far the database has come.
const MARK_FILE: &str = "high-water.json";

/// A store that is open, whichever it is. A clone is the same one.
#[derive(Debug, Clone)]
pub(crate) struct OpenStore {
    backend: Backend,
    /// Its ports.
    pub(crate) ports: Stores,
}

#[derive(Debug, Clone)]
enum Backend {
    Sqlite(Arc<SqliteStore>),
    Postgres(Arc<PostgresStore>),
}

/// What may be made when a store is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Opening {
    /// The store, where there is none; one of an older version is brought up to date.
    Create,
    /// Nothing: it must be there, and up to date.
    Existing,
}

impl OpenStore {
    /// Opens the store that a URL names.
    ///
    /// # Errors
    /// [`WiringError`].
    pub(crate) async fn open(
        config: &Config,
        database: &DatabaseUrl,
        opening: Opening,
    ) -> Result<Self, WiringError> {
        Self::open_by(Arc::new(SystemClock), config, database, opening).await
    }

    /// As [`OpenStore::open`], with the clock that stamps go by.
    ///
    /// # Errors
    /// [`WiringError`].
    pub(super) async fn open_by(
        clock: Arc<dyn Clock>,
        config: &Config,
        database: &DatabaseUrl,
        opening: Opening,
    ) -> Result<Self, WiringError> {
        if *database == config.database {
            lost::refuse_emptied(config, TOKEN_KEY_FILE, opening)?;
        }
        let ids = Arc::new(UuidV7Ids);
        let migrate = opening == Opening::Create;
        let (ports, backend) = match opener(config, database)? {
            Opener::Sqlite(settings) => {
                let settings = SqliteSettings { migrate, ..settings };
                let store = Arc::new(SqliteStore::open(settings, clock, ids).await?);
                (Stores::of(&store), Backend::Sqlite(store))
            }
            Opener::Postgres(settings) => {
                let settings = PostgresSettings { migrate, ..*settings };
                let store = Arc::new(PostgresStore::open(settings, clock, ids).await?);
                (Stores::of(&store), Backend::Postgres(store))
            }
        };
        Ok(Self { backend, ports })
    }

    /// Opens the store of this configuration as it is, for a command; `hint` says what to do where a server has it.
    ///
    /// # Errors
    /// [`WiringError`], also where there is no store yet, or one that is not up to date.
    pub(crate) async fn existing(config: &Config, hint: &'static str) -> Result<Self, WiringError> {
        Self::open(config, &config.database, Opening::Existing)
            .await
            .map_err(|error| error.hinted(hint))
    }

    /// The use case that forgets what is old, with the bytes that go with it.
    pub(crate) fn purge(&self, config: &Config, storage: &Storage) -> Purge {
        let purge = Purge::new(
            Arc::clone(&self.ports.retention),
            storage.garbage(&self.ports),
            Arc::clone(&self.ports.user_ids),
            Arc::clone(&self.ports.jobs),
            Arc::new(SystemClock),
            Arc::new(UuidV7Ids),
        )
        .with_invites(Arc::clone(&self.ports.invites));
        match config.activity_retention {
            Some(kept) => purge.with_activity(Arc::clone(&self.ports.activity), millis(kept)),
            None => purge,
        }
    }

    /// The history that it holds.
    pub(crate) fn history(&self) -> History {
        History::of(&self.ports, Arc::new(SystemClock), Arc::new(UuidV7Ids))
    }

    /// What remembers how far it has come.
    pub(crate) fn high_water(&self, config: &Config, storage: &Storage) -> HighWater {
        let mark = MarkFile::at(config.server.data_dir.join(MARK_FILE));
        HighWater::new(self.history(), Arc::new(mark), Arc::clone(&storage.verified))
    }

    /// What it counts.
    pub(crate) fn figures(&self) -> Arc<dyn Figures> {
        match &self.backend {
            Backend::Sqlite(store) => Arc::clone(store) as _,
            Backend::Postgres(store) => Arc::clone(store) as _,
        }
    }

    /// Finishes the writes that are queued and releases the store.
    pub(crate) async fn close(&self) {
        match &self.backend {
            Backend::Sqlite(store) => store.close().await,
            Backend::Postgres(store) => store.close().await,
        }
    }
}

/// How a store is opened.
enum Opener {
    Sqlite(SqliteSettings),
    Postgres(Box<PostgresSettings>),
}

fn opener(config: &Config, database: &DatabaseUrl) -> Result<Opener, WiringError> {
    Ok(match database {
        DatabaseUrl::SqliteFile(path) => {
            Opener::Sqlite(sqlite_settings(config, Location::File(path.clone())))
        }
        DatabaseUrl::SqliteMemory => Opener::Sqlite(sqlite_settings(config, Location::Memory)),
        DatabaseUrl::Postgres(url) => {
            let url = url.expose().parse().map_err(WiringError::DatabaseUrl)?;
            Opener::Postgres(Box::new(postgres_settings(config, url)?))
        }
    })
}

/// What the store of this configuration has still to be brought up to date with. Changes nothing.
///
/// # Errors
/// [`WiringError`]; [`WiringError::Absent`] where there is no store yet.
pub(crate) async fn pending_migrations(config: &Config) -> Result<&'static [Migration], WiringError> {
    lost::refuse_emptied(config, TOKEN_KEY_FILE, Opening::Existing)?;
    Ok(match opener(config, &config.database)? {
        Opener::Sqlite(settings) => mosaic_adapter_sqlite::pending_migrations(settings.location).await?,
        Opener::Postgres(settings) => mosaic_adapter_postgres::pending_migrations(&settings).await?,
    })
}

/// How the PostgreSQL of this configuration is connected to; `None` where the store is embedded.
///
/// # Errors
/// [`WiringError`].
pub(crate) fn postgres(config: &Config) -> Result<Option<PostgresSettings>, WiringError> {
    Ok(match opener(config, &config.database)? {
        Opener::Sqlite(_) => None,
        Opener::Postgres(settings) => Some(*settings),
    })
}

fn postgres_settings(config: &Config, url: PostgresUrl) -> Result<PostgresSettings, WiringError> {
    let postgres = &config.postgres;
    let listen_url = postgres.listen_url.as_ref().map(|url| url.expose().parse());
    Ok(PostgresSettings {
        listen_url: listen_url.transpose().map_err(WiringError::ListenUrl)?,
        root_certificate: postgres.root_certificate.clone(),
        pool_size: postgres.pool_size.get(),
        acquire_timeout: postgres.acquire_timeout,
        connect_timeout: postgres.connect_timeout,
        read_timeout: postgres.read_timeout,
        statement_timeout: postgres.statement_timeout,
        lock_timeout: postgres.lock_timeout,
        idle_in_transaction_timeout: postgres.idle_transaction_timeout,
        keepalive: postgres.keepalive,
        prepared_statements: postgres.prepared_statements,
        verify_connections: postgres.verify_connections,
        ..PostgresSettings::new(url)
    })
}

fn sqlite_settings(config: &Config, location: Location) -> SqliteSettings {
    SqliteSettings {
        readers: config.sqlite.readers.get(),
        read_timeout: config.sqlite.read_timeout,
        group_commit_max: config.sqlite.group_commit_max.get(),
        ..SqliteSettings::new(location)
    }
}
