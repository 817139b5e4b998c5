//! The values that have a form of their own. Their parsers return none, or what they expect, for anything else.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use tracing_subscriber::filter::{LevelFilter, Targets};

/// Which store, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DatabaseUrl {
    /// The embedded store in this file: `sqlite://PATH`. The path is taken as it is, nothing in it is escaped.
    SqliteFile(PathBuf),
    /// The embedded store in memory: `sqlite::memory:`.
    SqliteMemory,
    /// PostgreSQL: `postgres://...`.
    Postgres(PostgresUrl),
}

/// The URL of a PostgreSQL database. Shown without its password.
#[derive(Clone, PartialEq, Eq)]
pub struct PostgresUrl(String);

impl PostgresUrl {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let ours = text.starts_with("postgres://") || text.starts_with("postgresql://");
        ours.then(|| Self(text.to_owned()))
    }

    /// The URL with its password.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&without_password(&self.0))
    }
}

/// A URL whose password, if it has one, is replaced by `***`: before the last `@`, or in a parameter.
pub(super) fn without_password(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return url.to_owned();
    };
    let (authority, query) = rest
        .split_once('?')
        .map_or((rest, None), |(rest, query)| (rest, Some(query)));
    let shown = match authority.rsplit_once('@') {
        Some((login, host)) => match login.split_once(':') {
            Some((user, _)) => format!("{user}:***@{host}"),
            None => authority.to_owned(),
        },
        None => authority.to_owned(),
    };
    let hide = |parameter: &str| match parameter.split_once('=') {
        Some((name, _)) if name.eq_ignore_ascii_case("password") => format!("{name}=***"),
        _ => parameter.to_owned(),
    };
    let query = query.map(|query| query.split('&').map(hide).collect::<Vec<_>>().join("&"));
    query.map_or(format!("{scheme}://{shown}"), |query| {
        format!("{scheme}://{shown}?{query}")
    })
}

impl DatabaseUrl {
    /// The error says what is expected where the table's general description would mislead.
    pub(super) fn parse(text: &str) -> Result<Self, Option<String>> {
        if text == "sqlite::memory:" {
            return Ok(Self::SqliteMemory);
        }
        if let Some(url) = PostgresUrl::parse(text) {
            return Ok(Self::Postgres(url));
        }
        let path = text.strip_prefix("sqlite://").ok_or(None)?;
        if path.contains('?') {
            return Err(Some("sqlite://PATH without options (?...)".to_owned()));
        }
        self::path(path).map(Self::SqliteFile).ok_or(None)
    }
}

impl FromStr for DatabaseUrl {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        Self::parse(text).map_err(|expected| {
            let expected =
                expected.unwrap_or_else(|| "sqlite://PATH or postgres://USER:PASSWORD@HOST/DATABASE".into());
            format!("must be {expected}")
        })
    }
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SqliteFile(path) => write!(f, "sqlite://{}", path.display()),
            Self::SqliteMemory => f.write_str("sqlite::memory:"),
            Self::Postgres(url) => write!(f, "{url:?}"),
        }
    }
}

/// A path that names something.
pub(super) fn path(text: &str) -> Option<PathBuf> {
    (!text.is_empty() && !text.contains('\0')).then(|| PathBuf::from(text))
}

/// A word: something without white space and control characters.
pub(super) fn word(text: &str) -> Option<String> {
    let is_plain = |c: char| !c.is_whitespace() && !c.is_control();
    (!text.is_empty() && text.chars().all(is_plain)).then(|| text.to_owned())
}

/// The address of storage, without login, parameters and fragment.
pub(super) fn endpoint(text: &str) -> Option<String> {
    let host = text
        .strip_prefix("https://")
        .or_else(|| text.strip_prefix("http://"))?;
    let is_address = !host.trim_end_matches('/').is_empty() && !host.contains(['@', '?', '#']);
    is_address.then(|| word(text)).flatten()
}

/// What keys begin with: nothing, or names with slashes between them and perhaps one after them.
pub(super) fn key_prefix(text: &str) -> Option<String> {
    if text.is_empty() {
        return Some(String::new());
    }
    let is_name = |name: &str| word(name).is_some() && !matches!(name, "." | "..");
    let names = text.strip_suffix('/').unwrap_or(text);
    names.split('/').all(is_name).then(|| text.to_owned())
}

/// Who may make accounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Registration {
    /// Only administrators, for others.
    Closed,
    /// Anybody, for themselves.
    Open,
}

impl Registration {
    pub(super) fn parse(text: &str) -> Option<Self> {
        match text {
            "closed" => Some(Self::Closed),
            "open" => Some(Self::Open),
            _ => None,
        }
    }
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Pretty,
    /// One JSON object per line.
    Json,
}

impl LogFormat {
    pub(super) fn parse(text: &str) -> Option<Self> {
        match text {
            "pretty" => Some(Self::Pretty),
            "json" => Some(Self::Json),
            _ => None,
        }
    }
}

/// How much is logged: a level, or levels per module, as `tracing-subscriber` writes them.
#[derive(Debug, Clone, PartialEq)]
pub struct LogFilter(Targets);

impl LogFilter {
    pub(super) fn parse(text: &str) -> Option<Self> {
        // The filter's own parser takes a bare word that is no level for the name of a module, so that `log.level =
        // "verbose"` would silence everything else. Here a module needs its level.
        // And it takes a span in brackets for one, too, and filters by fields, of which nothing is said here.
        let complete = |directive: &str| {
            !directive.contains('[') && (directive.contains('=') || directive.parse::<LevelFilter>().is_ok())
        };
        let directives: Vec<_> = text.split(',').map(str::trim).collect();
        let has_level = directives
            .iter()
            .all(|directive| !directive.is_empty() && complete(directive));
        has_level
            .then(|| directives.join(",").parse().ok().map(Self))
            .flatten()
    }

    /// The filter to install.
    pub fn targets(&self) -> Targets {
        self.0.clone()
    }
}

/// Web pages of which origins may call this server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AllowedOrigins {
    /// Of every origin.
    Any,
    /// Of these, written as browsers send them: `https://app.example.org`. Empty: of none.
    Listed(Vec<String>),
}

impl AllowedOrigins {
    pub(super) fn parse(text: &str) -> Option<Self> {
        if text.trim() == "*" {
            return Some(Self::Any);
        }
        let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
        items
            .map(|item| is_origin(item).then(|| item.to_owned()))
            .collect::<Option<_>>()
            .map(Self::Listed)
    }
}

/// `scheme://host` or `scheme://host:port`, in lower case and without a path, as browsers send it. Any scheme: apps in
/// a web view have schemes of their own.
fn is_origin(text: &str) -> bool {
    let Some((scheme, authority)) = text.split_once("://") else {
        return false;
    };
    let plain = |text: &str, also: &str| {
        !text.is_empty()
            && text
                .chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || also.contains(c))
    };
    let host_and_port = match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => plain(host, "-._[]:") && port.parse::<u16>().is_ok(),
        _ => plain(authority, "-._[]:"),
    };
    plain(scheme, "+-.") && host_and_port
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn database_urls() {
        let file = |path: &str| Ok(DatabaseUrl::SqliteFile(PathBuf::from(path)));
        assert_eq!(
            DatabaseUrl::parse("sqlite:///var/lib/mosaic.db"),
            file("/var/lib/mosaic.db")
        );
        assert_eq!(
            DatabaseUrl::parse("sqlite://data/mosaic.db"),
            file("data/mosaic.db")
        );
        assert_eq!(
            DatabaseUrl::parse("sqlite::memory:"),
            Ok(DatabaseUrl::SqliteMemory)
        );
        for wrong in [
            "",
            "mosaic.db",
            "sqlite://",
            "sqlite:mosaic.db",
            "mysql://host/db",
        ] {
            assert_eq!(DatabaseUrl::parse(wrong), Err(None), "{wrong}");
        }
        let said = DatabaseUrl::parse("sqlite://mosaic.db?mode=ro")
            .unwrap_err()
            .unwrap();
        assert!(said.contains("without options"), "{said}");
    }

    #[test]
    fn a_database_url_reads_back_what_it_writes() {
        for text in ["sqlite:///var/lib/mosaic.db", "sqlite::memory:"] {
            assert_eq!(DatabaseUrl::parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn endpoints() {
        for right in [
            "https://minio.example.org",
            "http://127.0.0.1:9000/",
            "https://host/under/a/path",
        ] {
            assert_eq!(endpoint(right).as_deref(), Some(right));
        }
        for wrong in [
            "",
            "minio:9000",
            "ftp://minio",
            "https://",
            "https://a@b",
            "https://a b",
            "https://a?b",
        ] {
            assert_eq!(endpoint(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn prefixes_of_keys() {
        for right in ["", "mosaic", "mosaic/", "a/b"] {
            assert_eq!(key_prefix(right).as_deref(), Some(right));
        }
        for wrong in ["/", "/a", "a//b", "a//", "../a", "a b", "a\u{1}"] {
            assert_eq!(key_prefix(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn log_filters() {
        for right in [
            "off",
            "info",
            "WARN",
            "info,mosaic_server=debug",
            "mosaic_adapter_http=trace, warn",
        ] {
            assert!(LogFilter::parse(right).is_some(), "{right}");
        }
        for wrong in [
            "",
            "verbose",
            "info,",
            "mosaic_server",
            "info,mosaic_server=loud",
            "info,[request]=debug",
            "mosaic_server[{user}]=debug",
        ] {
            assert!(LogFilter::parse(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn origins() {
        let listed = |items: &[&str]| {
            Some(AllowedOrigins::Listed(
                items.iter().map(|item| (*item).to_owned()).collect(),
            ))
        };
        assert_eq!(AllowedOrigins::parse(""), listed(&[]));
        assert_eq!(AllowedOrigins::parse("*"), Some(AllowedOrigins::Any));
        assert_eq!(
            AllowedOrigins::parse(
                "https://app.example.org, http://localhost:3000,tauri://localhost,http://[::1]:80"
            ),
            listed(&[
                "https://app.example.org",
                "http://localhost:3000",
                "tauri://localhost",
                "http://[::1]:80"
            ])
        );
        for wrong in [
            "app.example.org",
            "https://app.example.org/",
            "https://app.example.org/path",
            "https://App.example.org",
            "https://app.example.org:port",
            "https://app.example.org:99999",
            "https://*.example.org",
            "*,https://app.example.org",
            "https://",
            "://host",
        ] {
            assert_eq!(AllowedOrigins::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_url_is_shown_without_its_password() {
        for (url, shown) in [
            (
                "postgres://anna:secret@db/mosaic",
                "postgres://anna:***@db/mosaic",
            ),
            (
                "postgres://anna:se@cret@db/mosaic",
                "postgres://anna:***@db/mosaic",
            ),
            ("postgres://anna@db/mosaic", "postgres://anna@db/mosaic"),
            (
                "postgres://db/mosaic?password=secret&sslmode=require",
                "postgres://db/mosaic?password=***&sslmode=require",
            ),
            ("sqlite://a:b@c", "sqlite://a:***@c"),
            ("nothing", "nothing"),
        ] {
            assert_eq!(without_password(url), shown);
        }
    }
}
