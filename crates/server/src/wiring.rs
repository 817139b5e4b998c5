//! Puts the parts together: the store that the configuration names, the machine's services, the use cases over both.

use std::sync::Arc;
use std::time::Duration;

use mosaic_adapter_http::{AppState, BodyLimits, Budget, HttpSettings, LoginBudgets};
use mosaic_adapter_postgres::{PostgresSettings, PostgresStore, PostgresUrl};
use mosaic_adapter_sqlite::{Location, OpenError, SqliteSettings, SqliteStore};
use mosaic_adapter_system::{Argon2Hasher, OsRandomness, PasetoTokens, SystemClock, UuidV7Ids};
use mosaic_application::accounts::{AccountPorts, Accounts, Registration};
use mosaic_application::bots::Bots;
use mosaic_application::diaries::Diaries;
use mosaic_application::memos::Memos;
use mosaic_application::pull::Pull;
use mosaic_application::records::Records;
use mosaic_application::sessions::Sessions;
use mosaic_ports::{BoxError, Clock, IdGenerator, Randomness, Stores};

use crate::config::{self, AllowedOrigins, Config, DatabaseUrl, HttpConfig};
use crate::secrets::{self, SecretError, SecretKey};

/// The file in the data folder with the key that signs access tokens, where the configuration names none.
const TOKEN_KEY_FILE: &str = "token.key";

/// Why the parts could not be put together.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WiringError {
    /// The data folder or a secret in it can't be used.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The store can't be opened.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// PostgreSQL can't be opened.
    #[error(transparent)]
    Postgres(#[from] mosaic_adapter_postgres::OpenError),
    /// The database URL is not one of PostgreSQL.
    #[error("database_url (--database-url, MOSAIC_DATABASE_URL) can not be used: {0}")]
    DatabaseUrl(mosaic_adapter_postgres::UrlError),
    /// The store is not up to date, and must not be changed.
    #[error("migrations are pending: {0}. Run `mosaic migrate`, or start without --no-migrate")]
    Pending(String),
    /// The machine can't hash passwords.
    #[error("passwords can not be hashed on this machine: {0}")]
    Passwords(BoxError),
    /// The key can't sign.
    #[error("token_secret can not be used: {0}")]
    TokenKey(BoxError),
}

/// The server's parts, put together. Close them when done.
#[derive(Debug)]
pub(crate) struct Services {
    store: OpenStore,
    /// The use cases.
    pub(crate) state: AppState,
}

impl Services {
    /// Opens the store and builds the use cases over it.
    ///
    /// # Errors
    /// [`WiringError`].
    pub(crate) async fn open(config: &Config, migrations: Migrations) -> Result<Self, WiringError> {
        secrets::create_data_dir(&config.data_dir)?;
        let store = OpenStore::open(config, &config.database, migrations).await?;
        let state = state(config, &store.ports)?;
        Ok(Self { store, state })
    }

    /// Finishes the writes that are queued and lets go of the store.
    pub(crate) async fn close(&self) {
        self.store.close().await;
    }
}

/// A store that is open, whichever it is.
#[derive(Debug)]
pub(crate) struct OpenStore {
    backend: Backend,
    /// Its ports.
    pub(crate) ports: Stores,
}

#[derive(Debug)]
enum Backend {
    Sqlite(Arc<SqliteStore>),
    Postgres(Arc<PostgresStore>),
}

/// Whether a store is brought up to date when it is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Migrations {
    /// It is.
    Apply,
    /// It must be up to date already.
    Refuse,
}

impl OpenStore {
    /// Opens the store that a URL names.
    ///
    /// # Errors
    /// [`WiringError`].
    pub(crate) async fn open(
        config: &Config,
        database: &DatabaseUrl,
        migrations: Migrations,
    ) -> Result<Self, WiringError> {
        if migrations == Migrations::Refuse {
            let pending = pending_migrations(config, database).await?;
            if !pending.is_empty() {
                return Err(WiringError::Pending(pending.join(", ")));
            }
        }
        let (clock, ids) = (Arc::new(SystemClock), Arc::new(UuidV7Ids));
        let (ports, backend) = match opener(config, database)? {
            Opener::Sqlite(settings) => {
                let store = Arc::new(SqliteStore::open(settings, clock, ids).await?);
                (Stores::of(&store), Backend::Sqlite(store))
            }
            Opener::Postgres(settings) => {
                let migrate = migrations == Migrations::Apply;
                let store =
                    PostgresStore::open(PostgresSettings { migrate, ..*settings }, clock, ids).await?;
                let store = Arc::new(store);
                (Stores::of(&store), Backend::Postgres(store))
            }
        };
        Ok(Self { backend, ports })
    }

    /// Finishes the writes that are queued and lets go of the store.
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
            Opener::Postgres(Box::new(postgres_settings(config, url)))
        }
    })
}

/// What a store has still to be brought up to date with: `V1 initial`.
///
/// # Errors
/// [`WiringError`].
pub(crate) async fn pending_migrations(
    config: &Config,
    database: &DatabaseUrl,
) -> Result<Vec<String>, WiringError> {
    let named = |version: u32, name: &str| format!("V{version} {name}");
    Ok(match opener(config, database)? {
        Opener::Sqlite(settings) => {
            let pending = mosaic_adapter_sqlite::pending_migrations(settings.location).await?;
            pending
                .iter()
                .map(|found| named(found.version, &found.name))
                .collect()
        }
        Opener::Postgres(settings) => {
            let pending = mosaic_adapter_postgres::pending_migrations(&settings).await?;
            pending
                .iter()
                .map(|found| named(found.version, &found.name))
                .collect()
        }
    })
}

fn postgres_settings(config: &Config, url: PostgresUrl) -> PostgresSettings {
    let postgres = &config.postgres;
    PostgresSettings {
        root_certificate: postgres.root_certificate.clone(),
        pool_size: postgres.pool_size.get(),
        acquire_timeout: postgres.acquire_timeout,
        connect_timeout: postgres.connect_timeout,
        statement_timeout: postgres.statement_timeout,
        lock_timeout: postgres.lock_timeout,
        idle_in_transaction_timeout: postgres.idle_transaction_timeout,
        keepalive: postgres.keepalive,
        prepared_statements: postgres.prepared_statements,
        verify_connections: postgres.verify_connections,
        ..PostgresSettings::new(url)
    }
}

/// The use cases over the ports of a store.
fn state(config: &Config, store: &Stores) -> Result<AppState, WiringError> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let ids: Arc<dyn IdGenerator> = Arc::new(UuidV7Ids);
    let key = token_key(config)?;
    let tokens =
        PasetoTokens::from_seed(*key.expose()).map_err(|error| WiringError::TokenKey(error.into()))?;
    let sessions = Sessions::new(
        Arc::new(tokens),
        Arc::clone(&clock),
        millis(config.auth.access_token_ttl),
    );
    let account_ports = AccountPorts {
        accounts: Arc::clone(&store.accounts),
        refresh_tokens: Arc::clone(&store.tokens),
        passwords: Arc::new(Argon2Hasher::new().map_err(WiringError::Passwords)?),
        clock: Arc::clone(&clock),
        ids: Arc::clone(&ids),
        randomness: Arc::new(OsRandomness),
    };
    let registration = match config.registration {
        config::Registration::Open => Registration::Open,
        config::Registration::Closed => Registration::Closed,
    };
    let refresh_ttl = millis(config.auth.refresh_token_ttl);
    let records = Records::new(
        Arc::clone(&store.write),
        Arc::clone(&store.reader),
        Arc::clone(&ids),
    );
    let memos = Memos::new(records.clone());
    Ok(AppState {
        pull: Pull::new(
            Arc::clone(&store.feed),
            Arc::clone(&store.cursors),
            Arc::clone(&clock),
        ),
        diaries: Diaries::new(records.clone(), memos.clone()),
        bots: Bots::new(records.clone()),
        memos,
        records,
        accounts: Accounts::new(account_ports, sessions.clone(), registration, refresh_ttl),
        sessions,
        health: Arc::clone(&store.health),
        clock,
        ids,
        login_budgets: login_budgets(config),
    })
}

fn sqlite_settings(config: &Config, location: Location) -> SqliteSettings {
    SqliteSettings {
        readers: config.sqlite.readers.get(),
        group_commit_max: config.sqlite.group_commit_max.get(),
        ..SqliteSettings::new(location)
    }
}

/// The key that signs access tokens: the configured one, or one that was generated at the first start.
fn token_key(config: &Config) -> Result<SecretKey, SecretError> {
    match &config.token_secret {
        Some(key) => Ok(key.clone()),
        None => secrets::load_or_create(
            &config.data_dir.join(TOKEN_KEY_FILE),
            || Ok(OsRandomness.secret()),
        ),
    }
}

fn login_budgets(config: &Config) -> LoginBudgets {
    let budget = |attempts| Budget {
        burst: attempts,
        per_minute: attempts,
    };
    LoginBudgets {
        account: budget(config.auth.account_attempts_per_minute),
        address: budget(config.auth.address_attempts_per_minute),
    }
}

/// How the HTTP server behaves on the wire.
pub(crate) fn http_settings(config: &Config) -> HttpSettings {
    let HttpConfig {
        workers,
        max_body_bytes,
        header_timeout,
        body_timeout,
        keep_alive,
        shutdown_timeout,
        trust_proxy,
    } = config.http;
    let defaults = HttpSettings::default();
    HttpSettings {
        workers: workers.map_or(defaults.workers, usize::from),
        keep_alive,
        head_timeout: header_timeout,
        body: BodyLimits {
            packed_bytes: max_body_bytes,
            unpacked_bytes: max_body_bytes,
            timeout: body_timeout,
        },
        cors_origins: match &config.cors.allowed_origins {
            AllowedOrigins::Any => vec!["*".to_owned()],
            AllowedOrigins::Listed(origins) => origins.clone(),
        },
        trust_proxy,
        shutdown_timeout,
    }
}

/// A duration in milliseconds, as the use cases count.
fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
