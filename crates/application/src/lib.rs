//! The use cases of Mosaic sync, one file each, over the ports. No HTTP, no SQL, no clock of its own.
//!
//! * [`pull`]: what changed since a device's cursors.
//! * [`records`]: the road that all four entity types share: create, edit, delete, read, list, revisions.
//! * [`memos`], [`diaries`], [`bots`]: what these types have besides.
//! * [`copy`]: a whole installation, from one store to another.
//! * [`accounts`]: logins, accounts, registration; [`sessions`]: who a request comes from.

pub mod accounts;
pub mod bots;
pub mod copy;
pub mod diaries;
pub mod error;
pub mod memos;
pub mod pull;
pub mod records;
pub mod sessions;

pub use error::AppError;
