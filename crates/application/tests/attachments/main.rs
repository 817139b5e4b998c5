//! Attachments from the first byte to the last: the use cases, over a store of records and one of blobs in memory.
#![expect(clippy::unwrap_used, reason = "a test that can't go on has to say so at once")]

mod avatars;
mod direct;
mod doctor;
mod files;
mod garbage;
mod storage;
mod uploads;
mod variants;
mod walk;
mod world;
