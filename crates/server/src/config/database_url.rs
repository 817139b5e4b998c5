//! The URL of a store.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use super::value::{Kind, Value};

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

impl Value for PostgresUrl {
    const KIND: Kind = Kind::Text("postgres://USER:PASSWORD@HOST/DATABASE");
    const EMPTY_IS_UNSET: bool = true;

    fn parse(text: &str) -> Option<Self> {
        let ours = text.starts_with("postgres://") || text.starts_with("postgresql://");
        ours.then(|| Self(text.to_owned()))
    }

    fn shown(&self, _: String) -> String {
        format!("{self:?}")
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

impl Value for DatabaseUrl {
    const KIND: Kind = Kind::Text("sqlite://PATH, sqlite::memory: or postgres://USER:PASSWORD@HOST/DATABASE");

    fn parse(text: &str) -> Option<Self> {
        if text == "sqlite::memory:" {
            return Some(Self::SqliteMemory);
        }
        if let Some(url) = PostgresUrl::parse(text) {
            return Some(Self::Postgres(url));
        }
        let path = text
            .strip_prefix("sqlite://")
            .filter(|path| !path.contains('?'))?;
        PathBuf::parse(path).map(Self::SqliteFile)
    }

    fn expected_instead_of(wrong: &str) -> Option<&'static str> {
        let has_options = wrong.starts_with("sqlite://") && wrong.contains('?');
        has_options.then_some("sqlite://PATH without options (?...)")
    }

    fn shown(&self, _: String) -> String {
        self.to_string()
    }
}

/// As an argument of a command.
impl FromStr for DatabaseUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || {
            Self::expected_instead_of(text)
                .unwrap_or("sqlite://PATH or postgres://USER:PASSWORD@HOST/DATABASE")
        };
        Self::parse(text).ok_or_else(|| format!("must be {}", expected()))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn database_urls() {
        let file = |path: &str| Some(DatabaseUrl::SqliteFile(PathBuf::from(path)));
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
            Some(DatabaseUrl::SqliteMemory)
        );
        for wrong in [
            "",
            "mosaic.db",
            "sqlite://",
            "sqlite:mosaic.db",
            "mysql://host/db",
        ] {
            assert_eq!(DatabaseUrl::parse(wrong), None, "{wrong}");
        }
        let with_options = "sqlite://mosaic.db?mode=ro";
        assert_eq!(DatabaseUrl::parse(with_options), None);
        let said = DatabaseUrl::expected_instead_of(with_options).unwrap();
        assert!(said.contains("without options"), "{said}");
    }

    #[test]
    fn a_database_url_reads_back_what_it_writes() {
        for text in ["sqlite:///var/lib/mosaic.db", "sqlite::memory:"] {
            assert_eq!(DatabaseUrl::parse(text).unwrap().to_string(), text);
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
