//! Configuration: flags over `MOSAIC_*` variables over `mosaic.toml` over defaults.
//!
//! Every key stands once, in `keys`; docs/configuration.md is held against that table by a test. Loading is pure: flags,
//! environment and file come in as values ([`Sources`]), so tests need neither. A wrong value is refused with its key,
//! where it comes from and what is expected, and all wrong values are reported at once.

mod database_url;
mod effective;
mod error;
mod keys;
mod origin;
mod reader;
mod reference;
mod source;
mod spec;
mod storage;
mod types;
mod value;

use std::path::PathBuf;
use std::time::Duration;

pub use self::database_url::{DatabaseUrl, PostgresUrl};
pub use self::effective::Values;
pub use self::error::{ConfigError, Problem};
pub(crate) use self::keys::RetentionConfig;
pub use self::keys::{
    AttachmentsConfig, AuthConfig, BackupConfig, CorsConfig, EventsConfig, HttpConfig, KEYS, LimitsConfig,
    LogConfig, MetricsConfig, PostgresConfig, S3Config, ServerConfig, SqliteConfig, TlsConfig,
};
pub use self::origin::Origin;
use self::reader::Reader;
pub use self::reference::{commented_file, markdown_reference, plain_reference};
use self::source::Layers;
pub use self::source::{ConfigFile, Sources};
pub use self::spec::{CONFIG_ENV, DEFAULT_FILE, DefaultValue, INSTALLED_FILE, KeySpec};
pub use self::storage::{BucketConfig, StorageConfig};
pub use self::types::{AllowedOrigins, Endpoint, KeyPrefix, LogFilter, LogFormat, Registration, Word};
pub use self::value::Kind;

/// One day.
const DAY: Duration = Duration::from_hours(24);

/// The configuration of a server, checked: its sections, and what follows from several keys. `Debug` hides its secrets.
#[derive(Debug, Clone)]
pub struct Config {
    /// The keys that are in no section.
    pub server: ServerConfig,
    /// The store: the one that is named, else a file in the data folder.
    pub database: DatabaseUrl,
    /// What is logged, and how.
    pub log: LogConfig,
    /// The web server.
    pub http: HttpConfig,
    /// The certificate of HTTPS; none: plain HTTP.
    pub tls: Option<TlsFiles>,
    /// Web pages of which origins may call.
    pub cors: CorsConfig,
    /// Tokens and login attempts. No login is shorter than its access tokens.
    pub auth: AuthConfig,
    /// What one user may take.
    pub limits: LimitsConfig,
    /// How long revisions and the content of deleted records are kept; none: for ever.
    pub retention: Option<Duration>,
    /// How long what happened to accounts is kept; `None`: for ever.
    pub activity_retention: Option<Duration>,
    /// Backups that the server makes by itself.
    pub backup: BackupConfig,
    /// How much is taken of the bytes behind resources. Downloads are redirected only to a bucket.
    pub attachments: AttachmentsConfig,
    /// Where these bytes are.
    pub storage: StorageConfig,
    /// Connections that listen for changes.
    pub events: EventsConfig,
    /// Figures for Prometheus.
    pub metrics: MetricsConfig,
    /// The production store, where the database URL names one.
    pub postgres: PostgresConfig,
    /// The embedded store.
    pub sqlite: SqliteConfig,
}

/// The files that HTTPS takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate and those that lead to an authority.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// A configuration, and how it came about.
#[derive(Debug)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// What should be logged once there is a log: variables that look like ours and are not.
    pub warnings: Vec<String>,
    /// Every key with its value and its origin, for showing.
    pub values: Values,
}

/// Checks and joins what the sources say.
///
/// # Errors
/// A file that is no TOML, or every wrong value and every unknown key of the file.
pub fn load(sources: &Sources) -> Result<Loaded, ConfigError> {
    let layers = Layers::read(sources)?;
    let mut reader = Reader::new(&layers, layers.unknown_in_file(KEYS));
    let config = Config::read(&mut reader);
    Ok(Loaded {
        values: reader.finish()?,
        config,
        warnings: layers.unknown_in_env(KEYS),
    })
}

impl Config {
    /// Section by section, as they are shown. What is wrong with the result was reported to the reader.
    fn read(reader: &mut Reader<'_>) -> Self {
        let server = ServerConfig::read(reader);
        let database = database(reader, &server);
        let log = LogConfig::read(reader);
        let http = HttpConfig::read(reader);
        let tls = tls_files(reader);
        let cors = CorsConfig::read(reader);
        let auth = AuthConfig::read(reader);
        refuse_short_logins(reader, &auth);
        let limits = LimitsConfig::read(reader);
        let RetentionConfig { days, activity_days } = RetentionConfig::read(reader);
        let backup = BackupConfig::read(reader);
        let attachments = AttachmentsConfig::read(reader);
        let s3 = S3Config::read(reader);
        let storage = StorageConfig::choose(reader, &attachments, s3, &server.data_dir, &database);
        Self {
            server,
            database,
            log,
            http,
            tls,
            cors,
            auth,
            limits,
            retention: (days > 0).then(|| DAY * days),
            activity_retention: (activity_days > 0).then(|| DAY * activity_days),
            backup,
            attachments,
            storage,
            events: EventsConfig::read(reader),
            metrics: MetricsConfig::read(reader),
            postgres: PostgresConfig::read(reader),
            sqlite: SqliteConfig::read(reader),
        }
    }
}

fn database(reader: &mut Reader<'_>, server: &ServerConfig) -> DatabaseUrl {
    server.database_url.clone().unwrap_or_else(|| {
        let default = DatabaseUrl::SqliteFile(server.data_dir.join("mosaic.db"));
        reader.show_instead(&ServerConfig::database_url, default.to_string());
        default
    })
}

/// The files of HTTPS, both of them or none.
fn tls_files(reader: &mut Reader<'_>) -> Option<TlsFiles> {
    let tls = TlsConfig::read(reader);
    match (&tls.certificate, &tls.key) {
        (Some(_), None) => reader.missing(&TlsConfig::key, &TlsConfig::certificate),
        (None, Some(_)) => reader.missing(&TlsConfig::certificate, &TlsConfig::key),
        _ => {}
    }
    Some(TlsFiles {
        certificate: tls.certificate?,
        key: tls.key?,
    })
}

/// A login that ends before its access token would let that go on without it.
fn refuse_short_logins(reader: &mut Reader<'_>, auth: &AuthConfig) {
    if auth.refresh_token_ttl < auth.access_token_ttl {
        let least = auth.access_token_ttl.as_millis();
        let expected = format!("at least auth.access_token_ttl_ms, which is {least}");
        reader.refuse(
            &AuthConfig::refresh_token_ttl,
            &AuthConfig::access_token_ttl,
            expected,
        );
    }
}

#[cfg(test)]
mod tests;
