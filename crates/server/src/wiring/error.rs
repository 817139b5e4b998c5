//! Why the parts do not fit together.

use mosaic_adapter_sqlite::OpenError;
use mosaic_ports::{BoxError, in_words};

use crate::lost::LostError;
use crate::secrets::SecretError;
use crate::storage::StorageError;

/// Why the parts could not be put together.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WiringError {
    /// The data folder or a secret in it can't be used.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// There is no store, and none was to be made.
    #[error(
        "{0}: there is no store. Is it the right place (data_dir, --data-dir, MOSAIC_DATA_DIR; database_url, --database-url, \
         MOSAIC_DATABASE_URL)? `mosaic serve` and `mosaic migrate` make a new one"
    )]
    Absent(String),
    /// The store can't be opened.
    #[error(transparent)]
    Store(OpenError),
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
    Postgres(mosaic_adapter_postgres::OpenError),
    /// The database URL is not one of PostgreSQL.
    #[error("database_url (--database-url, MOSAIC_DATABASE_URL) can not be used: {0}")]
    DatabaseUrl(mosaic_adapter_postgres::UrlError),
    /// The URL where commits are announced is not one of PostgreSQL.
    #[error("postgres.listen_url (--postgres-listen-url, MOSAIC_POSTGRES_LISTEN_URL) can not be used: {0}")]
    ListenUrl(mosaic_adapter_postgres::UrlError),
    /// Attachments can't be kept.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The store is not up to date, and must not be changed.
    #[error("migrations are pending: {0}. Run `mosaic migrate`, or start the server without --no-migrate")]
    Pending(String),
    /// The store is a file, which no engine spreads.
    #[error(
        "the embedded store is one file on one machine: --distribute is for PostgreSQL (`mosaic copy` moves a store there)"
    )]
    NotDistributable,
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

impl From<OpenError> for WiringError {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Absent(location) => Self::Absent(location),
            OpenError::Pending { missing, .. } => Self::Pending(in_words(missing)),
            other => Self::Store(other),
        }
    }
}

impl From<mosaic_adapter_postgres::OpenError> for WiringError {
    fn from(error: mosaic_adapter_postgres::OpenError) -> Self {
        use mosaic_adapter_postgres::OpenError::{Absent, Pending};
        match error {
            Absent(database) => Self::Absent(database),
            Pending { missing, .. } => Self::Pending(in_words(missing)),
            other => Self::Postgres(other),
        }
    }
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
