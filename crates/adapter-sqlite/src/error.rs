//! What goes wrong inside this store, and what the ports say of it.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use mosaic_domain::login::LoginRefusal;
use mosaic_domain::stamp::ClockExhausted;
use mosaic_ports::rows::CorruptColumn;
use mosaic_ports::{BoxError, Migration, StoreError, WriteError, in_words};
use rusqlite::ErrorCode;

/// Why a look-up or a job of the writer did not happen. Becomes a [`StoreError`] or a [`WriteError`] at the port.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// SQLite said no.
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
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
    /// Nobody could take the job or the look-up now.
    #[error(transparent)]
    Unavailable(BoxError),
    /// There is no room on the disk.
    #[error("there is no room on the disk")]
    Full(#[source] BoxError),
    /// The look-up took longer than it may, or nobody waits for its answer any more.
    #[error("the look-up took too long")]
    TooSlow,
    /// The transaction that the job shared with others was not committed.
    #[error("the transaction was not committed")]
    Uncommitted(#[source] Arc<rusqlite::Error>),
    /// The job panicked.
    #[error("a job panicked")]
    Panicked,
}

impl Failure {
    /// A stored value that can't be read. `what` names the column.
    pub(crate) fn corrupt(what: &'static str, source: impl Into<BoxError>) -> Self {
        CorruptColumn::new(what, source).into()
    }

    /// The store has no capacity now, or is closed.
    pub(crate) fn unavailable(why: impl Into<BoxError>) -> Self {
        Self::Unavailable(why.into())
    }
}

impl From<Failure> for StoreError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Sqlite(error) => of_sqlite(error),
            Failure::Corrupt(column) => column.into(),
            Failure::Unavailable(source) => Self::Unavailable(source),
            Failure::TooSlow => Self::TooSlow(failure.into()),
            Failure::Full(source) => Self::Full(source),
            Failure::Uncommitted(ref error) if is_out_of_space(error) => Self::Full(failure.into()),
            // Whether a commit that failed half-way survives a crash can't be known: the client sends it again (W3).
            Failure::Uncommitted(_) => Self::Unavailable(failure.into()),
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

fn of_sqlite(error: rusqlite::Error) -> StoreError {
    use rusqlite::Error as E;
    match (&error, error.sqlite_error_code()) {
        (_, Some(ErrorCode::DiskFull)) => StoreError::Full(error.into()),
        // Others have the file; or the disk, the rights to it or the memory are not there now.
        (
            _,
            Some(
                ErrorCode::DatabaseBusy
                | ErrorCode::DatabaseLocked
                | ErrorCode::SystemIoFailure
                | ErrorCode::ReadOnly
                | ErrorCode::CannotOpen
                | ErrorCode::PermissionDenied
                | ErrorCode::FileLockingProtocolFailed
                | ErrorCode::OutOfMemory,
            ),
        ) => StoreError::Unavailable(error.into()),
        (_, Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)) => StoreError::Corrupt {
            what: "database file",
            source: Damaged(error).into(),
        },
        (
            E::FromSqlConversionFailure(..)
            | E::InvalidColumnType(..)
            | E::IntegralValueOutOfRange(..)
            | E::Utf8Error(..),
            _,
        ) => StoreError::Corrupt {
            what: "value",
            source: error.into(),
        },
        _ => StoreError::Failed(error.into()),
    }
}

fn is_out_of_space(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(ErrorCode::DiskFull)
}

/// Why the store could not be opened. Each names the file.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process, or another store in this one, has the database open.
    #[error("{}: the database is in use by another process", .0.display())]
    InUse(PathBuf),
    /// There is none, or nothing was ever written to it. Nothing was made.
    #[error("{0}: there is no store")]
    Absent(String),
    /// An older version of the server made it, and it was not to be brought up to date.
    #[error("{location}: {} are missing", in_words(.missing))]
    Pending {
        /// The database.
        location: String,
        /// What it has not seen yet.
        missing: &'static [Migration],
    },
    /// The file is not a database of this server. It is left as it is.
    #[error("{}: is not a database of this server", .0.display())]
    Foreign(PathBuf),
    /// There was a database, and it is not there any more, or not whole. What is left is not touched.
    #[error(
        "{}: {what}. Put the file back, or restore a backup (mosaic restore FILE). To begin anew all the same, move it and what \
         lies beside it (-wal, -shm, -journal) elsewhere",
        path.display()
    )]
    Lost {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: &'static str,
    },
    /// The database is damaged.
    #[error("{location}: the database is damaged. {RESTORE}")]
    Damaged {
        /// The database.
        location: String,
        /// What SQLite says of it.
        #[source]
        source: BoxError,
    },
    /// The file or its folder can't be made or opened.
    #[error("{}: can't be opened", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// SQLite refused to open the database or to set it up.
    #[error("{location}: SQLite can't open the database")]
    Sqlite {
        /// The database.
        location: String,
        /// Why.
        #[source]
        source: rusqlite::Error,
    },
    /// SQLite does not do what this store relies on: a write-ahead log, say, which network drives can't keep.
    #[error("{location}: SQLite does not set {pragma} to {wanted}")]
    Unsupported {
        /// The database.
        location: String,
        /// What was asked of it.
        pragma: &'static str,
        /// The value that it did not take.
        wanted: &'static str,
    },
    /// The schema can't be brought up to date, perhaps because a newer version of the server made it.
    #[error("{location}: the schema can't be brought up to date")]
    Migration {
        /// The database.
        location: String,
        /// Why.
        #[source]
        source: BoxError,
    },
    /// The machine gave no thread for the writer, or the readers could not be set up.
    #[error("{location}: the store can't start")]
    Start {
        /// The database.
        location: String,
        /// Why.
        #[source]
        source: BoxError,
    },
}

/// What can be done about a database that is damaged.
const RESTORE: &str = "Restore a backup (mosaic restore FILE)";

/// A file that SQLite can't make sense of.
#[derive(Debug, thiserror::Error)]
#[error("it is damaged. {RESTORE}")]
struct Damaged(#[source] rusqlite::Error);

fn is_damage(error: &rusqlite::Error) -> bool {
    let code = error.sqlite_error_code();
    matches!(code, Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
}

impl OpenError {
    /// For `map_err`: an error of SQLite while opening that database.
    pub(crate) fn sqlite(location: &impl fmt::Display) -> impl Fn(rusqlite::Error) -> Self {
        let location = location.to_string();
        move |source| {
            let location = location.clone();
            if is_damage(&source) {
                let source = source.into();
                Self::Damaged { location, source }
            } else {
                Self::Sqlite { location, source }
            }
        }
    }

    /// For `map_err`: an error while the schema of that database is looked at or brought up to date.
    pub(crate) fn migration(location: &impl fmt::Display) -> impl Fn(BoxError) -> Self {
        let location = location.to_string();
        move |source| {
            let location = location.clone();
            match source.downcast_ref::<rusqlite::Error>() {
                Some(error) if is_damage(error) => Self::Damaged { location, source },
                _ => Self::Migration { location, source },
            }
        }
    }

    pub(crate) fn start(location: &impl fmt::Display, source: impl Into<BoxError>) -> Self {
        Self::Start {
            location: location.to_string(),
            source: source.into(),
        }
    }
}

/// What keeps a file from being a database of this server, or a backup of one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    /// It holds no database at all.
    #[error("it is no SQLite database")]
    NotADatabase,
    /// It is another program's database.
    #[error("it is another program's database")]
    Foreign,
    /// A newer version of the server made it.
    #[error("its schema has version {found}, and this server knows {known}")]
    Newer {
        /// The version of its schema.
        found: i32,
        /// The greatest version that this server knows.
        known: i32,
    },
    /// It is damaged.
    #[error("it is damaged: {0}")]
    Corrupt(String),
}

/// Why a file can't be backed up, written or restored.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It is not what it should be.
    #[error("{}: {flaw}", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        flaw: Flaw,
    },
    /// It can't be made, read or written.
    #[error("{}: can't be read or written", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// SQLite said no.
    #[error("{}: SQLite can't work with it", path.display())]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: rusqlite::Error,
    },
}

impl FileError {
    pub(crate) fn unusable(path: &Path, flaw: Flaw) -> Self {
        Self::Unusable {
            path: path.to_owned(),
            flaw,
        }
    }

    /// For `map_err`: an error of the file system.
    pub(crate) fn io(path: &Path) -> impl Fn(io::Error) -> Self {
        move |source| Self::Io {
            path: path.to_owned(),
            source,
        }
    }

    /// For `map_err`: an error of SQLite, which is the one to find out that a file is damaged.
    pub(crate) fn sqlite(path: &Path) -> impl Fn(rusqlite::Error) -> Self {
        move |source| match source.sqlite_error_code() {
            Some(ErrorCode::NotADatabase) => Self::unusable(path, Flaw::NotADatabase),
            Some(ErrorCode::DatabaseCorrupt) => Self::unusable(path, Flaw::Corrupt(source.to_string())),
            _ => Self::Sqlite {
                path: path.to_owned(),
                source,
            },
        }
    }
}
