//! The cases of the conformance suite, by what they are about.

pub mod accounts;
mod attached;
pub mod contents;
pub mod devices;
pub mod digests;
pub mod garbage;
pub mod history;
pub mod jobs;
pub mod listing;
pub mod logins;
pub mod nudges;
pub mod pull;
pub mod push;
pub mod reading;
pub mod removal;
pub mod retention;
pub mod room;
pub mod searching;
pub mod stamps;
pub mod transfer;
pub mod unreadable;
pub mod upload_ends;
pub mod uploads;
pub mod variants;
pub mod writes;
