//! Where the database is, and how much the store may use of the machine.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

/// Where the database is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// In this file, with its write-ahead log beside it.
    File(PathBuf),
    /// In memory: gone when the store is closed.
    Memory,
}

/// A database URL that is not one of this store's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// Another kind of store, or none.
    #[error("must be sqlite://path or sqlite::memory:")]
    OtherScheme,
    /// `sqlite://` alone.
    #[error("must name a file after sqlite://")]
    NoPath,
    /// `sqlite://path?mode=...`, as other programs have it.
    #[error("must not have options after a question mark")]
    Options,
}

impl Location {
    /// What the URLs of this store begin with.
    pub const SCHEME: &'static str = "sqlite:";
}

/// Reads a database URL.
///
/// ```
/// use mosaic_adapter_sqlite::Location;
/// assert_eq!("sqlite://data/mosaic.db".parse(), Ok(Location::File("data/mosaic.db".into())));
/// assert_eq!("sqlite:///var/lib/mosaic.db".parse(), Ok(Location::File("/var/lib/mosaic.db".into())));
/// assert_eq!("sqlite::memory:".parse(), Ok(Location::Memory));
/// ```
impl FromStr for Location {
    type Err = UrlError;
    fn from_str(url: &str) -> Result<Self, UrlError> {
        if url == "sqlite::memory:" {
            return Ok(Self::Memory);
        }
        let path = url.strip_prefix("sqlite://").ok_or(UrlError::OtherScheme)?;
        if path.is_empty() {
            return Err(UrlError::NoPath);
        }
        if path.contains('?') {
            return Err(UrlError::Options);
        }
        Ok(Self::File(path.into()))
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Memory => f.write_str(":memory:"),
        }
    }
}

/// How a store is opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqliteSettings {
    /// Where the database is.
    pub location: Location,
    /// Whether a database is made where there is none, and one of an older version brought up to date. Without it, it must
    /// be there and up to date, and nothing is made.
    pub migrate: bool,
    /// How many connections read at the same time. In memory there is one connection for everything.
    pub readers: usize,
    /// How long one look-up may take before it is stopped.
    pub read_timeout: Duration,
    /// The most writes that share one commit.
    pub group_commit_max: usize,
    /// The most writes that wait for the writer; one more is told to come back later.
    pub queue_max: usize,
    /// The most of them that are one user's.
    pub queue_max_per_user: usize,
    /// How long a write waits for the writer before it is told to come back later.
    pub queue_timeout: Duration,
    /// How long a connection waits for a lock that another program holds on the file, and a read for a connection.
    pub busy_timeout: Duration,
}

impl SqliteSettings {
    /// Settings that suit a small server.
    pub fn new(location: Location) -> Self {
        Self {
            location,
            migrate: true,
            readers: 4,
            read_timeout: Duration::from_secs(10),
            group_commit_max: 64,
            queue_max: 4_096,
            queue_max_per_user: 512,
            queue_timeout: Duration::from_secs(20),
            busy_timeout: Duration::from_secs(5),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_urls_are_refused() {
        let parse = |url: &str| url.parse::<Location>();
        assert_eq!(parse("postgres://localhost/x"), Err(UrlError::OtherScheme));
        assert_eq!(parse("mosaic.db"), Err(UrlError::OtherScheme));
        assert_eq!(parse("sqlite:mosaic.db"), Err(UrlError::OtherScheme));
        assert_eq!(parse("sqlite://"), Err(UrlError::NoPath));
        assert_eq!(parse("sqlite://x.db?mode=rwc"), Err(UrlError::Options));
    }
}
