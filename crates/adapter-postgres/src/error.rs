//! What goes wrong inside this store, and what the ports say of it.

use std::fmt;
use std::path::{Path, PathBuf};

use deadpool_postgres::PoolError;
use mosaic_domain::stamp::ClockExhausted;
use mosaic_ports::{BoxError, StoreError, WriteError};
use tokio_postgres::error::{DbError, Severity, SqlState};

/// Why something did not happen. Becomes a [`StoreError`] or a [`WriteError`] at the port.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The database, or the way to it, said no.
    #[error(transparent)]
    Postgres(#[from] tokio_postgres::Error),
    /// There was no connection to be had.
    #[error("no connection to the database")]
    NoConnection(#[source] PoolError),
    /// The database did not answer in time.
    #[error("the database did not answer in time")]
    Silent,
    /// The connection was lost before the transaction was to be committed.
    #[error("the connection to the database was lost")]
    Lost,
    /// A stored value is not one that this version writes.
    #[error("the store holds a corrupt {what}")]
    Corrupt {
        what: &'static str,
        #[source]
        source: BoxError,
    },
    /// There is no such user.
    #[error("there is no such user")]
    UnknownUser,
    /// The user's clock is at its end (S5).
    #[error(transparent)]
    Clock(#[from] ClockExhausted),
    /// The connection was lost while the transaction was committed, and what is stored does not tell whether it was.
    #[error("it can't be known whether the transaction was committed")]
    Undecided(#[source] Box<Failure>),
    /// The decision panicked.
    #[error("a decision panicked")]
    Panicked,
}

impl Failure {
    /// A stored value that can't be read. `what` names the column.
    pub(crate) fn corrupt(what: &'static str, source: impl Into<BoxError>) -> Self {
        Self::Corrupt {
            what,
            source: source.into(),
        }
    }

    /// Whether doing the same again may succeed right away: nothing of it was done.
    pub(crate) fn is_transient(&self) -> bool {
        match self {
            Self::Postgres(error) => match error.as_db_error() {
                Some(refused) => is_passing(refused.code()) || is_stale_statement(error),
                None => is_lost(error),
            },
            Self::Lost => true,
            _ => false,
        }
    }

    /// Whether doing the same again may succeed later, if not right away.
    pub(crate) fn may_pass(&self) -> bool {
        match self {
            Self::Postgres(error) => self.is_transient() || is_unavailable(error),
            Self::NoConnection(_) | Self::Silent | Self::Lost | Self::Undecided(_) => true,
            Self::Corrupt { .. } | Self::UnknownUser | Self::Clock(_) | Self::Panicked => false,
        }
    }

    /// Whether a row broke the constraint of that name.
    pub(crate) fn broke(&self, constraint: &str) -> bool {
        let Self::Postgres(error) = self else { return false };
        error.as_db_error().and_then(DbError::constraint) == Some(constraint)
    }
}

/// A conflict with others, or a server that is going down and comes back.
fn is_passing(code: &SqlState) -> bool {
    [
        SqlState::T_R_SERIALIZATION_FAILURE,
        SqlState::T_R_DEADLOCK_DETECTED,
        SqlState::ADMIN_SHUTDOWN,
        SqlState::CRASH_SHUTDOWN,
    ]
    .contains(code)
        || code.code().starts_with("08")
}

/// Whether a statement that a connection had prepared no longer fits the schema, because another instance migrated it, or
/// is gone, because a pooler gave the connection to somebody else.
pub(crate) fn is_stale_statement(error: &tokio_postgres::Error) -> bool {
    let Some(refused) = error.as_db_error() else {
        return false;
    };
    let misfit =
        *refused.code() == SqlState::FEATURE_NOT_SUPPORTED && refused.message().contains("cached plan");
    misfit || *refused.code() == SqlState::INVALID_SQL_STATEMENT_NAME
}

/// Whether the connection broke, as opposed to an answer that can't be read.
fn is_lost(error: &tokio_postgres::Error) -> bool {
    error.is_closed()
        || std::error::Error::source(error).is_some_and(<dyn std::error::Error>::is::<std::io::Error>)
}

/// Whether the database itself refused a statement and went on: nothing of its transaction is left then.
pub(crate) fn is_refusal(error: &tokio_postgres::Error) -> bool {
    error
        .as_db_error()
        .is_some_and(|refused| refused.parsed_severity() == Some(Severity::Error))
}

impl From<Failure> for StoreError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Postgres(error) => of_postgres(error),
            Failure::Corrupt { what, source } => Self::Corrupt { what, source },
            Failure::NoConnection(PoolError::Backend(error)) => Self::Unavailable(described(error)),
            Failure::NoConnection(_) | Failure::Silent | Failure::Lost | Failure::Undecided(_) => {
                Self::Unavailable(failure.into())
            }
            Failure::UnknownUser | Failure::Clock(_) | Failure::Panicked => Self::Failed(failure.into()),
        }
    }
}

impl From<Failure> for WriteError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::UnknownUser => Self::UnknownUser,
            Failure::Clock(exhausted) => Self::Clock(exhausted),
            other => Self::Store(other.into()),
        }
    }
}

/// Whether the database can't now, and may later.
fn is_unavailable(error: &tokio_postgres::Error) -> bool {
    match error.as_db_error() {
        Some(refused) => is_capacity(refused.code()),
        None => is_lost(error),
    }
}

fn of_postgres(error: tokio_postgres::Error) -> StoreError {
    let unavailable = is_unavailable(&error);
    let source = described(error);
    if unavailable {
        StoreError::Unavailable(source)
    } else {
        StoreError::Failed(source)
    }
}

/// SQLSTATEs of a database that can't now, and may later: connections (08), conflicts (40), resources (53), shutdown
/// (57P), a limit of time (55P03, 57014, 25P03), a read-only replica after a failover (25006).
fn is_capacity(code: &SqlState) -> bool {
    // A full disk does not empty itself.
    let full = *code == SqlState::DISK_FULL;
    let classes = ["08", "40", "53", "57"];
    let codes = ["55P03", "25P03", "25006"];
    !full && (classes.contains(&&code.code()[..2]) || codes.contains(&code.code()))
}

/// What the database said, as far as it may be logged: details and contexts quote rows, and with them what people wrote.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{severity} {code}: {message}{}", named("constraint", constraint.as_deref()))]
pub struct Refused {
    /// `ERROR`, `FATAL` or `PANIC`, in the language of the server.
    pub severity: String,
    /// The SQLSTATE.
    pub code: String,
    /// The message, without detail, hint and context.
    pub message: String,
    /// The constraint that a row broke.
    pub constraint: Option<String>,
}

fn named(what: &str, name: Option<&str>) -> String {
    name.map(|name| format!(" ({what} {name})")).unwrap_or_default()
}

impl From<&DbError> for Refused {
    fn from(error: &DbError) -> Self {
        Self {
            severity: error.severity().to_owned(),
            code: error.code().code().to_owned(),
            message: error.message().to_owned(),
            constraint: error.constraint().map(str::to_owned),
        }
    }
}

/// The error of the driver with its cause: of what the database says, the driver's own text has only "db error".
pub(crate) fn described(error: tokio_postgres::Error) -> BoxError {
    match error.as_db_error() {
        Some(refused) => Refused::from(refused).into(),
        None => error.into(),
    }
}

/// Why the store could not be opened. Each names the database, never its password.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The database can't be reached, or refuses this user.
    #[error("{database}: can not be connected to")]
    Connect {
        /// The database.
        database: String,
        /// Why.
        #[source]
        source: BoxError,
    },
    /// The certificates that are to be trusted can't be used.
    #[error("{}: can not be used to verify the database's certificate", shown(path.as_deref()))]
    Tls {
        /// The file; none: the machine's own certificates.
        path: Option<PathBuf>,
        /// Why.
        #[source]
        source: BoxError,
    },
    /// The database is not what this store needs.
    #[error("{database}: {what} is {found}, and must be {wanted}")]
    Unsupported {
        /// The database.
        database: String,
        /// What about it.
        what: &'static str,
        /// What it is.
        found: String,
        /// What it must be.
        wanted: &'static str,
    },
    /// Migrations are missing, and were not to be run.
    #[error("{database}: {missing} migrations are missing; run `mosaic migrate`")]
    Pending {
        /// The database.
        database: String,
        /// How many.
        missing: usize,
    },
    /// Another instance is bringing the schema up to date, and does not finish.
    #[error("{database}: another instance has been migrating for too long")]
    Migrating {
        /// The database.
        database: String,
    },
    /// The schema can't be brought up to date, perhaps because a newer version of the server made it.
    #[error("{database}: the schema can't be brought up to date")]
    Migration {
        /// The database.
        database: String,
        /// Why.
        #[source]
        source: BoxError,
    },
    /// The store could not be set up.
    #[error("{database}: the store can't start")]
    Start {
        /// The database.
        database: String,
        /// Why.
        #[source]
        source: BoxError,
    },
}

fn shown(path: Option<&Path>) -> String {
    path.map_or_else(
        || "the machine's root certificates".to_owned(),
        |path| path.display().to_string(),
    )
}

impl OpenError {
    pub(crate) fn tls(path: Option<&Path>, source: impl Into<BoxError>) -> Self {
        Self::Tls {
            path: path.map(Path::to_owned),
            source: source.into(),
        }
    }

    /// For `map_err`: the database could not be connected to.
    pub(crate) fn connect(database: &impl fmt::Display) -> impl Fn(tokio_postgres::Error) -> Self {
        let database = database.to_string();
        move |source| Self::Connect {
            database: database.clone(),
            source: described(source),
        }
    }

    /// For `map_err`: the database refused something while the store was being opened.
    pub(crate) fn start(database: &impl fmt::Display) -> impl Fn(tokio_postgres::Error) -> Self {
        let database = database.to_string();
        move |source| Self::Start {
            database: database.clone(),
            source: described(source),
        }
    }
}
