//! The use cases of Mosaic sync, one file each, over the ports. No HTTP, no SQL, no clock of its own.
//!
//! * [`pull`]: what changed since a device's cursors.
//! * [`push`]: many edits in one request.
//! * [`records`]: the road that all four entity types share: create, edit, delete, read, list, revisions.
//! * [`memos`], [`diaries`], [`bots`]: what these types have besides.
//! * [`devices`]: what the devices of a user hold, and forgetting one.
//! * [`nudges`]: who is told that there is something to pull.
//! * [`retention`]: forgetting what is old.
//! * [`export`]: everything of one user, as lines of JSON, there and back.
//! * [`copy`]: a whole installation, from one store to another.
//! * [`accounts`]: logins, accounts, registration; [`sessions`]: who a request comes from.

pub mod accounts;
pub mod bots;
pub mod copy;
pub mod devices;
pub mod diaries;
pub mod error;
pub mod export;
pub mod memos;
pub mod nudges;
pub mod pull;
pub mod push;
pub mod records;
pub mod retention;
pub mod sessions;

pub use error::AppError;
