//! Configuration: flags over `MOSAIC_*` variables over `mosaic.toml` over defaults.
//!
//! Every key stands once, in [`keys`]; docs/configuration.md is held against that table by a test. Loading is pure:
//! flags, environment and file come in as values ([`Sources`]), so tests need neither. A wrong value is refused with
//! its key, where it comes from and what is expected, and all wrong values are reported at once.

mod attachments;
mod error;
pub mod keys;
mod origin;
mod reader;
mod show;
mod source;
mod types;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;
use std::time::Duration;

use mosaic_domain::account::Password;

pub use self::attachments::{AttachmentsConfig, S3Config, StorageConfig};
pub use self::error::{ConfigError, Problem};
pub use self::origin::Origin;
use self::reader::{Effective, Reader, Reported, Shown};
pub use self::show::markdown_reference;
use self::source::Layers;
pub use self::source::{ConfigFile, Sources};
pub use self::types::{AllowedOrigins, DatabaseUrl, LogFilter, LogFormat, PostgresUrl, Registration};
use crate::secrets::SecretKey;

/// One day.
const DAY: Duration = Duration::from_hours(24);

/// The configuration of a server, checked. `Debug` hides its secrets.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where to listen.
    pub listen: SocketAddr,
    /// The folder of the database and the generated secrets.
    pub data_dir: PathBuf,
    /// The store.
    pub database: DatabaseUrl,
    /// Who may make accounts.
    pub registration: Registration,
    /// The password of the first administrator; none: a random one.
    pub admin_password: Option<Password>,
    /// The key that signs access tokens; none: the one in the data folder, which is made when missing.
    pub token_secret: Option<SecretKey>,
    /// What is logged, and how.
    pub log: LogConfig,
    /// The web server.
    pub http: HttpConfig,
    /// Web pages of which origins may call.
    pub cors: CorsConfig,
    /// Tokens and login attempts.
    pub auth: AuthConfig,
    /// What one user may take.
    pub limits: LimitsConfig,
    /// How long revisions and the content of deleted records are kept; none: for ever.
    pub retention: Option<Duration>,
    /// The bytes behind resources.
    pub attachments: AttachmentsConfig,
    /// Connections that listen for changes.
    pub events: EventsConfig,
    /// The production store, where the database URL names one.
    pub postgres: PostgresConfig,
    /// The embedded store.
    pub sqlite: SqliteConfig,
}

/// What is logged, and how.
#[derive(Debug, Clone)]
pub struct LogConfig {
    /// How log lines look.
    pub format: LogFormat,
    /// How much is logged.
    pub level: LogFilter,
}

/// The web server.
#[derive(Debug, Clone)]
pub struct HttpConfig {
    /// Threads that serve requests; none: as many as the machine has cores.
    pub workers: Option<NonZeroUsize>,
    /// The largest request body, in bytes, after unpacking.
    pub max_body_bytes: usize,
    /// How much memory request bodies and answers may take together, in bytes.
    pub memory_budget_bytes: usize,
    /// Requests of one user that run at the same time.
    pub requests_per_user: NonZeroUsize,
    /// Of these, those that look at much of what the user has.
    pub heavy_requests_per_user: NonZeroUsize,
    /// How long a client may take to send the head of a request.
    pub header_timeout: Duration,
    /// How long a client may take to send the body of a request.
    pub body_timeout: Duration,
    /// How long an idle connection stays open.
    pub keep_alive: Duration,
    /// How long requests in flight may take to finish when the server is stopped.
    pub shutdown_timeout: Duration,
    /// Whether client addresses are taken from `Forwarded` and `X-Forwarded-For`.
    pub trust_proxy: bool,
}

/// Cross-origin requests of web pages.
#[derive(Debug, Clone)]
pub struct CorsConfig {
    /// Whose pages may call.
    pub allowed_origins: AllowedOrigins,
}

/// Tokens and login attempts.
#[derive(Debug, Clone)]
pub struct AuthConfig {
    /// How long an access token is valid.
    pub access_token_ttl: Duration,
    /// How long a login lasts that is not used. Not less than `access_token_ttl`.
    pub refresh_token_ttl: Duration,
    /// Wrong passwords per minute for one account.
    pub account_attempts_per_minute: NonZeroU32,
    /// Wrong passwords per minute from one address.
    pub address_attempts_per_minute: NonZeroU32,
}

/// What one user may take.
#[derive(Debug, Clone)]
pub struct LimitsConfig {
    /// What the records and revisions may come to, in bytes (W10).
    pub user_records_bytes: u64,
}

/// Connections that listen for changes.
#[derive(Debug, Clone)]
pub struct EventsConfig {
    /// How often each hears that it still listens.
    pub heartbeat: Duration,
    /// The most of one user, on this instance.
    pub max_per_user: NonZeroUsize,
}

/// The production store.
#[derive(Debug, Clone)]
pub struct PostgresConfig {
    /// Where to listen for the commits of other instances; none: where the database is.
    pub listen_url: Option<PostgresUrl>,
    /// The most connections of this instance.
    pub pool_size: NonZeroUsize,
    /// Whether statements are prepared once per connection.
    pub prepared_statements: bool,
    /// Whether a connection of the pool is asked whether it still works before it is used again.
    pub verify_connections: bool,
    /// The authority that the database's certificate must come from.
    pub root_certificate: Option<PathBuf>,
    /// How long a request may wait for a connection.
    pub acquire_timeout: Duration,
    /// How long connecting may take.
    pub connect_timeout: Duration,
    /// How long the database may look something up for one request.
    pub read_timeout: Duration,
    /// How long the database may work on one statement.
    pub statement_timeout: Duration,
    /// How long a write may wait for a lock.
    pub lock_timeout: Duration,
    /// After how long the database ends a transaction of an instance that has fallen silent.
    pub idle_transaction_timeout: Duration,
    /// How long a connection may be silent before it is checked.
    pub keepalive: Duration,
}

/// The embedded store.
#[derive(Debug, Clone)]
pub struct SqliteConfig {
    /// Connections that read at the same time.
    pub readers: NonZeroUsize,
    /// How long something may be looked up for one request.
    pub read_timeout: Duration,
    /// At most so many queued writes share one commit.
    pub group_commit_max: NonZeroUsize,
}

/// A configuration, and how it came about.
#[derive(Debug)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// What should be logged once there is a log: variables that look like ours and are not.
    pub warnings: Vec<String>,
    values: Vec<Effective>,
}

/// Checks and joins what the sources say.
///
/// # Errors
/// A file that is no TOML, or every wrong value and every unknown key of the file.
pub fn load(sources: &Sources) -> Result<Loaded, ConfigError> {
    let mut reader = Reader {
        layers: Layers::read(sources)?,
        values: BTreeMap::new(),
        problems: Vec::new(),
    };
    reader.problems = reader.layers.unknown_in_file();
    let config = reader.config();
    match config {
        Ok(config) if reader.problems.is_empty() => {
            let warnings = reader.layers.unknown_in_env();
            let values = keys::KEYS
                .iter()
                .filter_map(|spec| reader.values.remove(spec.key))
                .collect();
            Ok(Loaded {
                config,
                warnings,
                values,
            })
        }
        _ => Err(ConfigError::Problems(reader.problems)),
    }
}

impl Reader<'_> {
    /// Reads every key before giving up on any, so that all problems are reported.
    fn config(&mut self) -> Result<Config, Reported> {
        let listen = self.text(&keys::LISTEN, |text| text.parse().ok());
        let data_dir = self.text(&keys::DATA_DIR, types::path);
        let database = self.database(data_dir.as_ref().ok());
        let registration = self.text(&keys::REGISTRATION, Registration::parse);
        let admin_password = self.optional(&keys::ADMIN_PASSWORD, |text| {
            Password::chosen(text.to_owned()).ok()
        });
        let token_secret = self.optional(&keys::TOKEN_SECRET, SecretKey::from_hex);
        let log = self.log();
        let http = self.http();
        let cors = self.text(&keys::CORS_ALLOWED_ORIGINS, AllowedOrigins::parse);
        let auth = self.auth();
        let user_records_bytes = self.integer(&keys::LIMITS_USER_RECORDS_BYTES);
        let retention = self.integer(&keys::RETENTION_DAYS);
        let attachments = self.attachments(data_dir.as_ref().ok(), database.as_ref().ok());
        let events = self.events();
        let postgres = self.postgres();
        let sqlite = self.sqlite();
        Ok(Config {
            listen: listen?,
            data_dir: data_dir?,
            database: database?,
            registration: registration?,
            admin_password: admin_password?,
            token_secret: token_secret?,
            log: log?,
            http: http?,
            cors: CorsConfig {
                allowed_origins: cors?,
            },
            auth: auth?,
            limits: LimitsConfig {
                user_records_bytes: user_records_bytes?,
            },
            retention: retention.map(|days: u32| (days > 0).then(|| DAY * days))?,
            attachments: attachments?,
            events: events?,
            postgres: postgres?,
            sqlite: sqlite?,
        })
    }

    fn database(&mut self, data_dir: Option<&PathBuf>) -> Result<DatabaseUrl, Reported> {
        let given = self.read(&keys::DATABASE_URL, DatabaseUrl::parse)?;
        if let Some(given) = given {
            // Shown without the password that it may hold.
            let origin = self.origin_of(&keys::DATABASE_URL);
            self.remember(&keys::DATABASE_URL, Shown::Value(given.to_string()), origin);
            return Ok(given);
        }
        let default = DatabaseUrl::SqliteFile(data_dir.ok_or(Reported)?.join("mosaic.db"));
        self.remember(
            &keys::DATABASE_URL,
            Shown::Value(default.to_string()),
            Origin::Default,
        );
        Ok(default)
    }

    fn log(&mut self) -> Result<LogConfig, Reported> {
        let format = self.text(&keys::LOG_FORMAT, LogFormat::parse);
        let level = self.text(&keys::LOG_LEVEL, LogFilter::parse);
        Ok(LogConfig {
            format: format?,
            level: level?,
        })
    }

    fn http(&mut self) -> Result<HttpConfig, Reported> {
        let workers = self.integer::<usize>(&keys::HTTP_WORKERS);
        let max_body_bytes = self.integer(&keys::HTTP_MAX_BODY_BYTES);
        let memory_budget_bytes = self.integer(&keys::HTTP_MEMORY_BUDGET_BYTES);
        let requests_per_user = self.positive(&keys::HTTP_REQUESTS_PER_USER);
        let heavy_requests_per_user = self.positive(&keys::HTTP_HEAVY_REQUESTS_PER_USER);
        let header_timeout = self.milliseconds(&keys::HTTP_HEADER_TIMEOUT_MS);
        let body_timeout = self.milliseconds(&keys::HTTP_BODY_TIMEOUT_MS);
        let keep_alive = self.milliseconds(&keys::HTTP_KEEP_ALIVE_MS);
        let shutdown_timeout = self.milliseconds(&keys::HTTP_SHUTDOWN_TIMEOUT_MS);
        let trust_proxy = self.text(&keys::HTTP_TRUST_PROXY, |text| text.parse().ok());
        Ok(HttpConfig {
            workers: NonZeroUsize::new(workers?),
            max_body_bytes: max_body_bytes?,
            memory_budget_bytes: memory_budget_bytes?,
            requests_per_user: requests_per_user?,
            heavy_requests_per_user: heavy_requests_per_user?,
            header_timeout: header_timeout?,
            body_timeout: body_timeout?,
            keep_alive: keep_alive?,
            shutdown_timeout: shutdown_timeout?,
            trust_proxy: trust_proxy?,
        })
    }

    fn auth(&mut self) -> Result<AuthConfig, Reported> {
        let access_token_ttl = self.milliseconds(&keys::AUTH_ACCESS_TOKEN_TTL_MS);
        let refresh_token_ttl = self.milliseconds(&keys::AUTH_REFRESH_TOKEN_TTL_MS);
        let account_attempts_per_minute = self.positive(&keys::AUTH_ACCOUNT_ATTEMPTS_PER_MINUTE);
        let address_attempts_per_minute = self.positive(&keys::AUTH_ADDRESS_ATTEMPTS_PER_MINUTE);
        let auth = AuthConfig {
            access_token_ttl: access_token_ttl?,
            refresh_token_ttl: refresh_token_ttl?,
            account_attempts_per_minute: account_attempts_per_minute?,
            address_attempts_per_minute: address_attempts_per_minute?,
        };
        if auth.refresh_token_ttl < auth.access_token_ttl {
            let spec = &keys::AUTH_REFRESH_TOKEN_TTL_MS;
            let origin = self.origin_of(spec);
            let least = auth.access_token_ttl.as_millis();
            let expected = format!("at least auth.access_token_ttl_ms, which is {least}");
            let value = auth.refresh_token_ttl.as_millis();
            self.problems
                .push(Problem::wrong(spec, value, origin, Some(expected)));
            return Err(Reported);
        }
        Ok(auth)
    }

    fn events(&mut self) -> Result<EventsConfig, Reported> {
        let heartbeat = self.milliseconds(&keys::EVENTS_HEARTBEAT_MS);
        let max_per_user = self.positive(&keys::EVENTS_MAX_PER_USER);
        Ok(EventsConfig {
            heartbeat: heartbeat?,
            max_per_user: max_per_user?,
        })
    }

    /// Shown without the password that it may hold. An empty text counts as not set, in the file too.
    fn listen_url(&mut self) -> Result<Option<PostgresUrl>, Reported> {
        let spec = &keys::POSTGRES_LISTEN_URL;
        let given = self.optional(spec, |text| match text {
            "" => Some(None),
            text => PostgresUrl::parse(text).map(Some),
        })?;
        let url = given.flatten();
        let shown = url.as_ref().map(|url| Shown::Value(format!("{url:?}")));
        let origin = self.origin_of(spec);
        self.remember(spec, shown.unwrap_or(Shown::Unset), origin);
        Ok(url)
    }

    fn postgres(&mut self) -> Result<PostgresConfig, Reported> {
        let listen_url = self.listen_url();
        let pool_size = self.positive(&keys::POSTGRES_POOL_SIZE);
        let prepared_statements = self.text(&keys::POSTGRES_PREPARED_STATEMENTS, |text| text.parse().ok());
        let verify_connections = self.text(&keys::POSTGRES_VERIFY_CONNECTIONS, |text| text.parse().ok());
        let root_certificate = self.optional(&keys::POSTGRES_ROOT_CERTIFICATE, types::path);
        let acquire_timeout = self.milliseconds(&keys::POSTGRES_ACQUIRE_TIMEOUT_MS);
        let connect_timeout = self.milliseconds(&keys::POSTGRES_CONNECT_TIMEOUT_MS);
        let read_timeout = self.milliseconds(&keys::POSTGRES_READ_TIMEOUT_MS);
        let statement_timeout = self.milliseconds(&keys::POSTGRES_STATEMENT_TIMEOUT_MS);
        let lock_timeout = self.milliseconds(&keys::POSTGRES_LOCK_TIMEOUT_MS);
        let idle_transaction_timeout = self.milliseconds(&keys::POSTGRES_IDLE_TRANSACTION_TIMEOUT_MS);
        let keepalive = self.milliseconds(&keys::POSTGRES_KEEPALIVE_MS);
        Ok(PostgresConfig {
            listen_url: listen_url?,
            pool_size: pool_size?,
            prepared_statements: prepared_statements?,
            verify_connections: verify_connections?,
            root_certificate: root_certificate?,
            acquire_timeout: acquire_timeout?,
            connect_timeout: connect_timeout?,
            read_timeout: read_timeout?,
            statement_timeout: statement_timeout?,
            lock_timeout: lock_timeout?,
            idle_transaction_timeout: idle_transaction_timeout?,
            keepalive: keepalive?,
        })
    }

    fn sqlite(&mut self) -> Result<SqliteConfig, Reported> {
        let readers = self.positive(&keys::SQLITE_READERS);
        let read_timeout = self.milliseconds(&keys::SQLITE_READ_TIMEOUT_MS);
        let group_commit_max = self.positive(&keys::SQLITE_GROUP_COMMIT_MAX);
        Ok(SqliteConfig {
            readers: readers?,
            read_timeout: read_timeout?,
            group_commit_max: group_commit_max?,
        })
    }
}

#[cfg(test)]
mod tests;
