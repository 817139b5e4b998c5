//! The use cases of Mosaic sync, one file each, over the ports. No HTTP, no SQL, no clock of its own.
//!
//! * [`pull`]: what changed since a device's cursors.
//! * [`push`]: many edits in one request.
//! * [`records`]: the road that all four entity types share: create, edit, delete, read, list, revisions.
//! * [`page`]: pages of lists, cut so that they make one answer.
//! * [`days`]: when the days of a user begin and end.
//! * [`memos`], [`diaries`], [`bots`]: what these types have besides.
//! * [`attachments`]: the bytes behind resources; [`uploads`]: those that take several requests; [`garbage`]: bytes that
//!   nobody needs any more; [`storage`]: that they are in the right place; [`doctor`]: whether records and bytes agree.
//! * [`devices`]: what the devices of a user hold, and forgetting one.
//! * [`nudges`]: who is told that there is something to pull.
//! * [`retention`]: forgetting what is old.
//! * [`history`]: renewing the epoch, also of a database that was set back behind the server's back.
//! * [`export`]: everything of one user, as lines of JSON, there and back.
//! * [`copy`]: a whole installation, from one store to another.
//! * [`concurrency`]: how much goes on at the same time, for each user.
//! * [`activity`]: what happened to accounts, for whoever looks back.
//! * [`accounts`]: logins, accounts, registration; [`sessions`]: who a request comes from.

pub mod accounts;
pub mod activity;
pub mod attachments;
pub mod bots;
pub mod concurrency;
pub mod copy;
pub mod days;
pub mod devices;
pub mod diaries;
pub mod doctor;
pub mod error;
pub mod export;
pub mod garbage;
pub mod history;
pub mod memos;
pub mod nudges;
pub mod page;
pub mod pull;
pub mod push;
pub mod records;
mod refresh_tokens;
pub mod retention;
pub mod sessions;
pub mod storage;
pub mod uploads;

pub use error::AppError;

/// What became of work on a task of its own.
fn joined<T>(outcome: Result<Result<T, AppError>, tokio::task::JoinError>) -> Result<T, AppError> {
    outcome.unwrap_or_else(|error| Err(AppError::Internal(error.into())))
}
