//! Puts the parts together: the store that the configuration names, the machine's services, the use cases over both.

use std::sync::Arc;
use std::time::Duration;

use mosaic_adapter_http::{
    AppState, BodyLimits, Budget, DownloadSettings, HttpSettings, LoginBudgets, RequestLimits,
};
use mosaic_adapter_media::{PictureScaler, PictureSettings, Signatures};
use mosaic_adapter_postgres::{PostgresSettings, PostgresStore, PostgresUrl};
use mosaic_adapter_sqlite::{Location, OpenError, SqliteSettings, SqliteStore};
use mosaic_adapter_system::{Argon2Hasher, OsRandomness, PasetoTokens, SystemClock, UuidV7Ids};
use mosaic_application::accounts::{AccountPorts, Accounts, Registration};
use mosaic_application::attachments::{AttachmentLimits, AttachmentPorts, Attachments};
use mosaic_application::bots::Bots;
use mosaic_application::devices::Devices;
use mosaic_application::diaries::Diaries;
use mosaic_application::export::Export;
use mosaic_application::garbage::Garbage;
use mosaic_application::memos::Memos;
use mosaic_application::nudges::{Hub, Nudges};
use mosaic_application::pull::Pull;
use mosaic_application::push::Push;
use mosaic_application::records::Records;
use mosaic_application::retention::Purge;
use mosaic_application::sessions::Sessions;
use mosaic_application::uploads::Uploads;
use mosaic_ports::{BoxError, Clock, IdGenerator, Migration, Randomness, Stores};

use crate::config::{self, AllowedOrigins, Config, DatabaseUrl, HttpConfig};
use crate::lost::{self, LostError};
use crate::secrets::{self, SecretError, SecretKey};
use crate::storage::{Storage, StorageError};

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
    /// Another process has the embedded store, probably a server. Says what to do then.
    #[error("{source}. {hint}")]
    InUse {
        /// Which store.
        source: OpenError,
        /// What to do about it.
        hint: &'static str,
    },
    /// PostgreSQL can't be opened.
    #[error(transparent)]
    Postgres(#[from] mosaic_adapter_postgres::OpenError),
    /// The database URL is not one of PostgreSQL.
    #[error("database_url (--database-url, MOSAIC_DATABASE_URL) can not be used: {0}")]
    DatabaseUrl(mosaic_adapter_postgres::UrlError),
    /// The URL where commits are heard of is not one of PostgreSQL.
    #[error("postgres.listen_url (--postgres-listen-url, MOSAIC_POSTGRES_LISTEN_URL) can not be used: {0}")]
    ListenUrl(mosaic_adapter_postgres::UrlError),
    /// Attachments can't be kept.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The store is not up to date, and must not be changed.
    #[error("migrations are pending: {0}. Run `mosaic migrate`, or start the server without --no-migrate")]
    Pending(String),
    /// The store was lost.
    #[error(transparent)]
    Lost(#[from] LostError),
    /// The machine can't hash passwords.
    #[error("passwords can not be hashed on this machine: {0}")]
    Passwords(BoxError),
    /// The key can't sign.
    #[error("token_secret can not be used: {0}")]
    TokenKey(BoxError),
}

impl WiringError {
    /// The same, with what to do about it where another process has the embedded store.
    pub(crate) fn hinted(self, hint: &'static str) -> Self {
        match self {
            Self::Store(source @ OpenError::InUse(_)) => Self::InUse { source, hint },
            other => other,
        }
    }
}

/// The server's parts, put together. Close them when done.
#[derive(Debug)]
pub(crate) struct Services {
    store: OpenStore,
    storage: Storage,
    /// The use cases.
    pub(crate) state: AppState,
    hub: Arc<Hub>,
}

impl Services {
    /// Opens the store and the storage of attachments, and builds the use cases over both.
    ///
    /// # Errors
    /// [`WiringError`].
    pub(crate) async fn open(config: &Config, migrations: Migrations) -> Result<Self, WiringError> {
        secrets::create_data_dir(&config.data_dir)?;
        lost::refuse_emptied(config, TOKEN_KEY_FILE)?;
        // Before the store: what fails here need not close it again.
        let storage = Storage::open(config).await?;
        let store = OpenStore::open(config, &config.database, migrations).await?;
        let storage = storage.of(&store.ports);
        let hub = Arc::new(Hub::default());
        let state = match state(config, &store.ports, &storage, &hub) {
            Ok(state) => state,
            Err(error) => {
                store.close().await;
                return Err(error);
            }
        };
        Ok(Self {
            store,
            storage,
            state,
            hub,
        })
    }

    /// Refuses to begin with a new store what was one with attachments before.
    ///
    /// # Errors
    /// [`LostError`].
    pub(crate) async fn refuse_lost_store(&self) -> Result<(), WiringError> {
        Ok(lost::refuse_lost_store(self.store.ports.accounts.as_ref(), &self.storage).await?)
    }

    /// From now on those who listen hear of commits, on whatever instance. For servers: commands have no listeners.
    ///
    /// Closing the hub that is returned ends all listeners.
    pub(crate) fn hear_of_commits(&self) -> Arc<Hub> {
        self.store.ports.commits.listen(Arc::clone(&self.hub) as _);
        Arc::clone(&self.hub)
    }

    /// The use case that forgets what is old.
    pub(crate) fn purge(&self) -> Purge {
        self.store.purge(&self.storage)
    }

    /// Looks in the background whether attachments can be kept and found, and says in the log where they can't.
    pub(crate) fn look_at_attachments(&self) {
        let blobs = Arc::clone(&self.storage.blobs);
        tokio::spawn(async move {
            if let Err(error) = blobs.check().await {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "attachments can not be used now"
                );
            }
        });
    }

    /// The use case that removes bytes which nobody needs.
    pub(crate) fn garbage(&self) -> Garbage {
        self.storage.garbage(&self.store.ports)
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
        let (clock, ids) = (Arc::new(SystemClock), Arc::new(UuidV7Ids));
        let (ports, backend) = match opener(config, database)? {
            Opener::Sqlite(settings) => {
                if migrations == Migrations::Refuse {
                    refuse_pending(config, database).await?;
                }
                let store = Arc::new(SqliteStore::open(settings, clock, ids).await?);
                (Stores::of(&store), Backend::Sqlite(store))
            }
            Opener::Postgres(settings) => {
                let migrate = migrations == Migrations::Apply;
                let settings = PostgresSettings { migrate, ..*settings };
                let store = match PostgresStore::open(settings, clock, ids).await {
                    Err(error @ mosaic_adapter_postgres::OpenError::Pending { .. }) => {
                        // It counts them; a person wants their names.
                        refuse_pending(config, database).await?;
                        return Err(error.into());
                    }
                    opened => Arc::new(opened?),
                };
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
        Self::open(config, &config.database, Migrations::Refuse)
            .await
            .map_err(|error| error.hinted(hint))
    }

    /// The use case that forgets what is old, with the bytes that go with it.
    pub(crate) fn purge(&self, storage: &Storage) -> Purge {
        Purge::new(
            Arc::clone(&self.ports.retention),
            storage.garbage(&self.ports),
            Arc::clone(&self.ports.user_ids),
            Arc::clone(&self.ports.jobs),
            Arc::new(SystemClock),
            Arc::new(UuidV7Ids),
        )
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
            Opener::Postgres(Box::new(postgres_settings(config, url)?))
        }
    })
}

/// Says what a store that must not be changed has still to be brought up to date with.
async fn refuse_pending(config: &Config, database: &DatabaseUrl) -> Result<(), WiringError> {
    let pending = pending_migrations(config, database).await?;
    if pending.is_empty() {
        Ok(())
    } else {
        Err(WiringError::Pending(pending.join(", ")))
    }
}

/// What a store has still to be brought up to date with: `V1 initial`.
///
/// # Errors
/// [`WiringError`].
pub(crate) async fn pending_migrations(
    config: &Config,
    database: &DatabaseUrl,
) -> Result<Vec<String>, WiringError> {
    let pending = match opener(config, database)? {
        Opener::Sqlite(settings) => mosaic_adapter_sqlite::pending_migrations(settings.location).await?,
        Opener::Postgres(settings) => mosaic_adapter_postgres::pending_migrations(&settings).await?,
    };
    let named = |step: &Migration| format!("V{} {}", step.version, step.name);
    Ok(pending.iter().map(named).collect())
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

/// The use cases over the ports of a store and the storage of attachments.
fn state(
    config: &Config,
    store: &Stores,
    storage: &Storage,
    hub: &Arc<Hub>,
) -> Result<AppState, WiringError> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let ids: Arc<dyn IdGenerator> = Arc::new(UuidV7Ids);
    let key = token_key(config)?;
    let tokens =
        PasetoTokens::from_seed(*key.expose()).map_err(|error| WiringError::TokenKey(error.into()))?;
    let sessions = Sessions::new(
        Arc::new(tokens),
        Arc::clone(&store.tokens),
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
    )
    .with_quota(config.limits.user_records_bytes);
    let memos = Memos::new(records.clone());
    let attachments = attachments(config, store, storage, &records);
    let upload_lifetime = millis(config.attachments.upload_lifetime);
    let uploads = Uploads::new(
        attachments.clone(),
        records.clone(),
        Arc::clone(&store.uploads),
        upload_lifetime,
    );
    Ok(AppState {
        pull: Pull::new(
            Arc::clone(&store.feed),
            Arc::clone(&store.cursors),
            Arc::clone(&clock),
        ),
        push: Push::new(
            Arc::clone(&store.write),
            Arc::clone(&store.feed),
            Arc::clone(&store.reader),
        )
        .with_quota(config.limits.user_records_bytes),
        devices: Devices::new(
            Arc::clone(&store.cursors),
            Arc::clone(&store.tokens),
            Arc::clone(&store.feed),
            Arc::clone(&store.reader),
            Arc::clone(&clock),
        ),
        nudges: Nudges::new(
            Arc::clone(hub),
            Arc::clone(&store.feed),
            config.events.max_per_user.get(),
        ),
        export: export(store),
        diaries: Diaries::new(records.clone(), memos.clone()),
        bots: Bots::new(records.clone()),
        attachments,
        uploads,
        downloads: download_settings(config),
        memos,
        records,
        accounts: Accounts::new(account_ports, sessions.clone(), registration, refresh_ttl),
        sessions,
        health: storage.health(store),
        clock,
        ids,
        login_budgets: login_budgets(config),
        heartbeat: config.events.heartbeat,
    })
}

fn attachments(config: &Config, store: &Stores, storage: &Storage, records: &Records) -> Attachments {
    let ports = AttachmentPorts {
        blobs: Arc::clone(&storage.blobs),
        contents: Arc::clone(&store.contents),
        variants: Arc::clone(&store.variants),
        avatars: Arc::clone(&store.avatars),
        orphans: Arc::clone(&store.orphans),
        types: Arc::new(Signatures),
        pictures: Arc::new(PictureScaler::new(PictureSettings::default())),
        clock: Arc::new(SystemClock),
        ids: Arc::new(UuidV7Ids),
    };
    let limits = AttachmentLimits {
        storage: storage.kind,
        file_bytes: config.attachments.max_file_bytes,
        avatar_bytes: config.attachments.max_avatar_bytes,
        user_bytes: config.attachments.user_quota_bytes,
    };
    Attachments::new(ports, records.clone(), limits)
}

fn download_settings(config: &Config) -> DownloadSettings {
    let attachments = &config.attachments;
    DownloadSettings {
        redirect_for: attachments
            .redirect_downloads
            .then_some(attachments.address_lifetime),
        upload_idle: attachments.idle_timeout,
        direct_for: attachments.address_lifetime,
    }
}

/// The use case that writes exports.
pub(crate) fn export(store: &Stores) -> Export {
    Export::new(
        Arc::clone(&store.accounts),
        Arc::clone(&store.dump_reader),
        Arc::clone(&store.identity),
        Arc::new(SystemClock),
    )
}

fn sqlite_settings(config: &Config, location: Location) -> SqliteSettings {
    SqliteSettings {
        readers: config.sqlite.readers.get(),
        read_timeout: config.sqlite.read_timeout,
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
        memory_budget_bytes,
        header_timeout,
        body_timeout,
        keep_alive,
        shutdown_timeout,
        trust_proxy,
        ..
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
        memory_budget: memory_budget_bytes,
        requests: request_limits(config),
        cors_origins: match &config.cors.allowed_origins {
            AllowedOrigins::Any => vec!["*".to_owned()],
            AllowedOrigins::Listed(origins) => origins.clone(),
        },
        trust_proxy,
        shutdown_timeout,
    }
}

/// How many requests run at the same time. No user takes more than half of what reads or writes the store, and neither do those
/// that look at much, all users' together.
fn request_limits(config: &Config) -> RequestLimits {
    let (all, heavy) = match &config.database {
        DatabaseUrl::Postgres(_) => {
            let half = (config.postgres.pool_size.get() / 2).max(1);
            (half, half)
        }
        // Short look-ups wait for a reader only as long as others take, and writes for none.
        _ => (usize::MAX, (config.sqlite.readers.get() / 2).max(1)),
    };
    RequestLimits {
        per_user: config.http.requests_per_user.get().min(all),
        heavy_per_user: config.http.heavy_requests_per_user.get(),
        heavy,
    }
}

/// A duration in milliseconds, as the use cases count.
pub(crate) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
