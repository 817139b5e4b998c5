//! What goes wrong inside this store, and what the ports say of it.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use deadpool_postgres::PoolError;
use mosaic_domain::login::LoginRefusal;
use mosaic_domain::stamp::ClockExhausted;
use mosaic_ports::rows::CorruptColumn;
use mosaic_ports::{BoxError, Migration, StoreError, WriteError, in_words};
use tokio_postgres::error::{DbError, Severity, SqlState};

use crate::shards::ShardsError;

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
    /// A look-up took longer than it may.
    #[error("the look-up took too long")]
    TooSlow,
    /// Too many writes of the same user are waiting.
    #[error("the write waited too long for others of the same user")]
    Crowded,
    /// The connection was lost before the transaction was to be committed.
    #[error("the connection to the database was lost")]
    Lost,
    /// The database answers, and takes no writes.
    #[error("the database takes no writes: a standby, or set to be read only")]
    ReadOnly,
    /// The disk was full when something was to be written, a moment ago.
    #[error("the disk of the database is full")]
    Full,
    /// A stored value is not one that this version writes.
    #[error(transparent)]
    Corrupt(#[from] CorruptColumn),
    /// There is no such user.
    #[error("there is no such user")]
    UnknownUser,
    /// The login that writes may not, or no longer.
    #[error(transparent)]
    Login(#[from] LoginRefusal),
    /// The user's clock is at its end (S5).
    #[error(transparent)]
    Clock(#[from] ClockExhausted),
    /// The connection was lost while the transaction was committed, and what is stored does not tell whether it was.
    #[error("it can't be known whether the transaction was committed")]
    Undecided(#[source] Box<Failure>),
    /// The decision panicked.
    #[error("a decision panicked")]
    Panicked,
    /// The database was away when it was asked for many at once.
    #[error(transparent)]
    Shared(Arc<Failure>),
}

/// The constraint that keeps two accounts from having one name.
const NAME_IS_UNIQUE: &str = "users_username_is_unique";

impl Failure {
    /// A stored value that can't be read. `what` names the column.
    pub(crate) fn corrupt(what: &'static str, source: impl Into<BoxError>) -> Self {
        CorruptColumn::new(what, source).into()
    }

    /// Whether doing the same again may succeed right away: nothing of it was done.
    pub(crate) fn is_transient(&self) -> bool {
        match self {
            Self::Postgres(error) => match error.as_db_error() {
                // Who took the name did so without the lock, while old names are folded: the facts will say so.
                Some(refused) if refused.constraint() == Some(NAME_IS_UNIQUE) => true,
                Some(refused) => kind_of(refused) == Kind::Passing || is_stale_statement(error),
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
            Self::NoConnection(_)
            | Self::Silent
            | Self::TooSlow
            | Self::Crowded
            | Self::Lost
            | Self::ReadOnly
            | Self::Undecided(_) => true,
            Self::Shared(failure) => failure.may_pass(),
            Self::Full
            | Self::Corrupt(_)
            | Self::UnknownUser
            | Self::Login(_)
            | Self::Clock(_)
            | Self::Panicked => false,
        }
    }

    /// Whether the database answered that a connection of its own was lost: there is a node that it needs for this, and not for
    /// everything.
    pub(crate) fn is_of_a_node(&self) -> bool {
        let Self::Postgres(error) = self else { return false };
        let refused = error.as_db_error();
        refused.is_some_and(|refused| {
            let (code, message) = (refused.code(), refused.message());
            code.code().starts_with("08") || is_without_node(code, message)
        })
    }

    /// Whether the database answered, and refused: it may take something else all the same.
    pub(crate) fn is_answer(&self) -> bool {
        match self {
            Self::Postgres(error) => error.as_db_error().is_some(),
            Self::Undecided(failure) => failure.is_answer(),
            _ => false,
        }
    }
}

/// What a refusal by the database is, by its SQLSTATE.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// The same may succeed right away, on another connection: a conflict with others, a server that is going down, one that
    /// takes no writes because the address led to a standby.
    Passing,
    /// The database can't now, and may later.
    Away,
    /// The disk is full.
    Full,
    /// What is stored is damaged.
    Corrupt,
    /// Our fault.
    Bug,
}

fn kind_of(refused: &DbError) -> Kind {
    kind(refused.code(), refused.message())
}

/// Whether the database needs a node that is away, and says so under a code that means our fault elsewhere: by what Citus
/// says, which it says in English.
fn is_without_node(code: &SqlState, message: &str) -> bool {
    const SAYS: [&str; 3] = [
        "failure on connection marked as essential",
        "could not connect to any active placements",
        "found no worker with all shard placements",
    ];
    matches!(code.code(), "XX000" | "0A000") && SAYS.iter().any(|says| message.contains(says))
}

fn kind(code: &SqlState, message: &str) -> Kind {
    // Classes: connections, who may connect, resources, the state of objects, intervention, the system around it.
    const AWAY_CLASSES: [&str; 6] = ["28", "40", "53", "55", "57", "58"];
    // Too long in a transaction. And what is so while an operator restores a database: it, its schema, its tables or the
    // rights to them are not there.
    const AWAY: [&str; 5] = ["25P03", "3D000", "3F000", "42P01", "42501"];
    match code.code() {
        _ if is_without_node(code, message) => Kind::Away,
        "40001" | "40P01" | "57P01" | "57P02" | READ_ONLY => Kind::Passing,
        "53100" => Kind::Full,
        "XX001" | "XX002" => Kind::Corrupt,
        code if code.starts_with("08") => Kind::Passing,
        code if AWAY.contains(&code) || AWAY_CLASSES.iter().any(|class| code.starts_with(class)) => {
            Kind::Away
        }
        _ => Kind::Bug,
    }
}

/// `read_only_sql_transaction`: a standby, or a database whose operator set `default_transaction_read_only`.
const READ_ONLY: &str = "25006";

/// Whether the database takes no writes over this connection. It never will: where the address leads to another server by
/// now, only a new connection gets there.
pub(crate) fn is_read_only(error: &tokio_postgres::Error) -> bool {
    error.code().is_some_and(|code| code.code() == READ_ONLY)
}

/// Whether there is no room left on the disk of the database.
pub(crate) fn is_full(error: &tokio_postgres::Error) -> bool {
    error
        .as_db_error()
        .is_some_and(|refused| kind_of(refused) == Kind::Full)
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

/// Whether an error in answer to a `COMMIT` proves that nothing was committed: the database went on, and says that a check
/// at the end failed, or that it rolled back. Whatever else it says, such as that a connection or a node was lost, or that it
/// was stopped, may come from one that passed the `COMMIT` on, and does not know what became of it.
pub(crate) fn is_rolled_back(error: &tokio_postgres::Error) -> bool {
    error.as_db_error().is_some_and(|refused| {
        refused.parsed_severity() == Some(Severity::Error) && tells_of_rollback(refused.code())
    })
}

/// The classes of broken constraints and of rollbacks, without the one code of them that says that the outcome is not known.
fn tells_of_rollback(code: &SqlState) -> bool {
    let code = code.code();
    (code.starts_with("23") || code.starts_with("40")) && code != "40003"
}

impl From<Failure> for StoreError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Postgres(error) => of_postgres(error),
            Failure::Corrupt(column) => column.into(),
            Failure::NoConnection(PoolError::Backend(error)) => Self::Unavailable(described(error)),
            Failure::TooSlow => Self::TooSlow(failure.into()),
            Failure::Shared(shared) => of_shared(shared),
            Failure::NoConnection(_)
            | Failure::Silent
            | Failure::Crowded
            | Failure::Lost
            | Failure::ReadOnly
            | Failure::Undecided(_) => Self::Unavailable(failure.into()),
            Failure::Full => Self::Full(failure.into()),
            Failure::UnknownUser | Failure::Login(_) | Failure::Clock(_) | Failure::Panicked => {
                Self::Failed(failure.into())
            }
        }
    }
}

impl From<Failure> for WriteError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::UnknownUser => Self::UnknownUser,
            Failure::Login(refusal) => Self::Login(refusal),
            Failure::Clock(exhausted) => Self::Clock(exhausted),
            other => Self::Store(other.into()),
        }
    }
}

/// Whether the database can't now, and may later.
fn is_unavailable(error: &tokio_postgres::Error) -> bool {
    match error.as_db_error() {
        Some(refused) => matches!(kind_of(refused), Kind::Passing | Kind::Away),
        None => is_lost(error),
    }
}

fn of_shared(shared: Arc<Failure>) -> StoreError {
    let (is_slow, may_pass) = (matches!(*shared, Failure::TooSlow), shared.may_pass());
    let source = match &*shared {
        Failure::Postgres(error) => error.as_db_error().map(Refused::from).map(BoxError::from),
        _ => None,
    };
    let source = source.unwrap_or_else(|| Failure::Shared(shared).into());
    match (is_slow, may_pass) {
        (true, _) => StoreError::TooSlow(source),
        (false, true) => StoreError::Unavailable(source),
        (false, false) => StoreError::Failed(source),
    }
}

fn of_postgres(error: tokio_postgres::Error) -> StoreError {
    if error.code() == Some(&SqlState::QUERY_CANCELED) {
        return StoreError::TooSlow(described(error));
    }
    let unavailable = is_unavailable(&error);
    let kind = error.as_db_error().map(kind_of);
    let source = described(error);
    match kind {
        Some(Kind::Full) => StoreError::Full(source),
        Some(Kind::Corrupt) => StoreError::Corrupt {
            what: "page of the database",
            source,
        },
        _ if unavailable => StoreError::Unavailable(source),
        _ => StoreError::Failed(source),
    }
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
    /// There is no store in it: no migration ever ran. Nothing was made.
    #[error("{0}: there is no store")]
    Absent(String),
    /// Migrations are missing, and were not to be run.
    #[error("{database}: {} are missing", in_words(.missing))]
    Pending {
        /// The database.
        database: String,
        /// Which.
        missing: &'static [Migration],
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
    /// Its users can't be spread over machines.
    #[error("{database}: can not be distributed")]
    Shards {
        /// The database.
        database: String,
        /// Why.
        #[source]
        source: ShardsError,
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

#[cfg(test)]
mod tests;
