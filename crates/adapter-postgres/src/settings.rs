//! Where the database is, and how much the store may use of it.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use mosaic_ports::BoxError;
use tokio_postgres::Config;
use tokio_postgres::config::Host;

/// How the connection is encrypted, in the words of `sslmode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SslMode {
    /// Not at all.
    Disable,
    /// If the server can; nobody is asked who it is.
    Prefer,
    /// Always; nobody is asked who the server is, unless there is a root certificate: then as with [`Self::VerifyCa`].
    Require,
    /// Always, with a server whose certificate was signed by the root.
    VerifyCa,
    /// Always, with a server whose certificate was signed by the root, for the name that the URL gives.
    VerifyFull,
}

impl FromStr for SslMode {
    type Err = UrlError;
    fn from_str(mode: &str) -> Result<Self, UrlError> {
        match mode {
            "disable" => Ok(Self::Disable),
            "prefer" => Ok(Self::Prefer),
            "require" => Ok(Self::Require),
            "verify-ca" => Ok(Self::VerifyCa),
            "verify-full" => Ok(Self::VerifyFull),
            _ => Err(UrlError::SslMode),
        }
    }
}

/// A database URL that is not one of this store's.
#[derive(Debug, thiserror::Error)]
pub enum UrlError {
    /// Another kind of store, or none.
    #[error("must be postgres://user:password@host:port/database")]
    OtherScheme,
    /// No host.
    #[error("must name a host, like postgres://user:password@host:port/database")]
    NoHost,
    /// An `sslmode` that is not known.
    #[error("sslmode must be disable, prefer, require, verify-ca or verify-full")]
    SslMode,
    /// Something else that can't be read; never quotes the URL, which may hold a password.
    #[error("can not be read: {0}")]
    Unreadable(#[source] BoxError),
}

/// A database URL: `postgres://user:password@host:port/database?sslmode=verify-full&sslrootcert=/path/to/root.crt`.
///
/// Shown without its password.
///
/// ```
/// use mosaic_adapter_postgres::PostgresUrl;
/// let url: PostgresUrl = "postgres://mosaic:secret@db.example.org/mosaic?sslmode=require".parse().unwrap();
/// assert_eq!(url.to_string(), "postgres://mosaic@db.example.org:5432/mosaic");
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct PostgresUrl {
    pub(crate) config: Config,
    pub(crate) ssl_mode: SslMode,
    pub(crate) root_certificate: Option<PathBuf>,
}

impl PostgresUrl {
    /// What the URLs of this store begin with.
    pub const SCHEMES: [&'static str; 2] = ["postgres://", "postgresql://"];
}

impl FromStr for PostgresUrl {
    type Err = UrlError;
    fn from_str(url: &str) -> Result<Self, UrlError> {
        if !Self::SCHEMES.iter().any(|scheme| url.starts_with(scheme)) {
            return Err(UrlError::OtherScheme);
        }
        let (base, options) = split_options(url);
        let mut ssl_mode = SslMode::Prefer;
        let mut root_certificate = None;
        let mut others = Vec::new();
        for option in options.split('&').filter(|option| !option.is_empty()) {
            match option.split_once('=') {
                Some(("sslmode", mode)) => ssl_mode = mode.parse()?,
                Some(("sslrootcert", path)) => root_certificate = Some(decoded(path)?.into()),
                _ => others.push(option),
            }
        }
        let config: Config = format!("{base}?{}", others.join("&"))
            .parse()
            .map_err(|error: tokio_postgres::Error| unreadable(&error))?;
        if config.get_hosts().is_empty() {
            return Err(UrlError::NoHost);
        }
        Ok(Self {
            config,
            ssl_mode,
            root_certificate,
        })
    }
}

/// The URL and what follows its question mark. A password may hold a question mark too.
fn split_options(url: &str) -> (&str, &str) {
    let credentials = url.find('@').unwrap_or(0);
    match url[credentials..].find('?') {
        Some(at) => (&url[..credentials + at], &url[credentials + at + 1..]),
        None => (url, ""),
    }
}

/// The driver says what is wrong in the source of its error, and names options, never values.
fn unreadable(error: &tokio_postgres::Error) -> UrlError {
    let why = std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string);
    UrlError::Unreadable(why.into())
}

/// Undoes percent-encoding.
fn decoded(text: &str) -> Result<String, UrlError> {
    let bad = || UrlError::Unreadable("a percent sign must be followed by two hexadecimal digits".into());
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digit = |byte: Option<u8>| {
            byte.and_then(|byte| char::from(byte).to_digit(16))
                .ok_or_else(bad)
        };
        let value = digit(rest.next())? * 16 + digit(rest.next())?;
        bytes.push(u8::try_from(value).map_err(|_| bad())?);
    }
    String::from_utf8(bytes).map_err(|_| UrlError::Unreadable("sslrootcert is not UTF-8".into()))
}

/// Without the password.
impl fmt::Display for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("postgres://")?;
        if let Some(user) = self.config.get_user() {
            write!(f, "{user}@")?;
        }
        for (i, host) in self.config.get_hosts().iter().enumerate() {
            let separator = if i == 0 { "" } else { "," };
            let ports = self.config.get_ports();
            let port = ports.get(i).or(ports.first()).unwrap_or(&5432);
            match host {
                Host::Tcp(name) => write!(f, "{separator}{name}:{port}")?,
                #[cfg(unix)]
                Host::Unix(folder) => write!(f, "{separator}{}:{port}", folder.display())?,
            }
        }
        match self.config.get_dbname() {
            Some(name) => write!(f, "/{name}"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresUrl")
            .field("database", &self.to_string())
            .field("ssl_mode", &self.ssl_mode)
            .field("root_certificate", &self.root_certificate)
            .finish_non_exhaustive()
    }
}

/// How a store is opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostgresSettings {
    /// Where the database is.
    pub url: PostgresUrl,
    /// Where to listen for the commits of other instances, if not there: behind a pooler that gives every transaction
    /// another connection, like PgBouncer in transaction mode, nothing is heard. Then a URL that goes past it.
    pub listen_url: Option<PostgresUrl>,
    /// The certificate that signs the server's, in PEM, where the URL has no `sslrootcert`. Without either, the machine's
    /// own roots are trusted.
    pub root_certificate: Option<PathBuf>,
    /// The most connections of this instance. All instances together must stay below the server's `max_connections`.
    pub pool_size: usize,
    /// How long a request waits for a free connection before it is told to come back later.
    pub acquire_timeout: Duration,
    /// How long making a connection may take.
    pub connect_timeout: Duration,
    /// How long one look-up may take before it is stopped.
    pub read_timeout: Duration,
    /// How long the database works on one statement.
    pub statement_timeout: Duration,
    /// How long a write waits for the user's lock, behind other writes of the same user; and before that for its turn
    /// among those of this instance.
    pub lock_timeout: Duration,
    /// How long the database keeps a transaction whose server has gone silent, and with it the user's lock.
    pub idle_in_transaction_timeout: Duration,
    /// After how long a silent connection is probed, so that firewalls keep it open and a lost one is noticed. The one that
    /// listens for commits is also asked that often whether it hears anything.
    pub keepalive: Duration,
    /// Whether statements are prepared once per connection. Not behind a pooler that gives every transaction another
    /// connection, like PgBouncer in transaction mode: then `false`.
    pub prepared_statements: bool,
    /// Whether a connection that comes from the pool is asked first whether it still works: a round trip more for each
    /// request. Otherwise one that was lost unseen is noticed by the first statement, which is then done again.
    pub verify_connections: bool,
    /// Whether the schema is brought up to date. If not, a database that misses migrations is refused.
    pub migrate: bool,
    /// How long to wait for another instance that is bringing the schema up to date.
    pub migration_timeout: Duration,
}

impl PostgresSettings {
    /// Settings that suit a server with a few instances.
    pub fn new(url: PostgresUrl) -> Self {
        Self {
            url,
            listen_url: None,
            root_certificate: None,
            pool_size: 16,
            acquire_timeout: Duration::from_secs(3),
            connect_timeout: Duration::from_secs(3),
            read_timeout: Duration::from_secs(10),
            statement_timeout: Duration::from_secs(15),
            lock_timeout: Duration::from_secs(5),
            idle_in_transaction_timeout: Duration::from_secs(10),
            keepalive: Duration::from_secs(30),
            prepared_statements: true,
            verify_connections: false,
            migrate: true,
            migration_timeout: Duration::from_mins(5),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> Result<PostgresUrl, UrlError> {
        url.parse()
    }

    #[test]
    fn other_urls_are_refused() {
        assert!(matches!(parse("sqlite://x.db"), Err(UrlError::OtherScheme)));
        assert!(matches!(parse("host=localhost"), Err(UrlError::OtherScheme)));
        assert!(matches!(parse("postgres://"), Err(UrlError::NoHost)));
        let refused = parse("postgres://h/d?sslmode=maybe").unwrap_err();
        assert!(matches!(refused, UrlError::SslMode), "{refused}");
        let refused = parse("postgres://me:secret@h/d?colour=red")
            .unwrap_err()
            .to_string();
        assert!(refused.contains("colour"), "{refused}");
        assert!(!refused.contains("secret"), "{refused}");
        let refused = parse("postgres://h/d?sslrootcert=%zz").unwrap_err();
        assert!(matches!(refused, UrlError::Unreadable(_)), "{refused}");
    }

    #[test]
    fn tls_options_are_read_and_the_rest_is_the_driver_s() {
        let url = parse(
            "postgresql://me@h:6432/d?connect_timeout=7&sslmode=verify-full&sslrootcert=%2Froot%20ca.pem",
        );
        let url = url.unwrap();
        assert_eq!(url.ssl_mode, SslMode::VerifyFull);
        assert_eq!(url.root_certificate, Some("/root ca.pem".into()));
        assert_eq!(url.config.get_connect_timeout(), Some(&Duration::from_secs(7)));
        assert_eq!(parse("postgres://h/d").unwrap().ssl_mode, SslMode::Prefer);
    }

    #[test]
    fn passwords_are_never_shown() {
        let url = parse("postgres://me:se?cret@h/d?sslmode=disable").unwrap();
        assert_eq!(url.config.get_password(), Some(b"se?cret".as_slice()));
        let shown = format!("{url} {url:?} {:?}", PostgresSettings::new(url.clone()));
        assert!(!shown.contains("cret"), "{shown}");
        assert_eq!(url.to_string(), "postgres://me@h:5432/d");
    }
}
