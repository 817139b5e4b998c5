//! Attachments from the first byte to the last: the use cases, over a store and a storage in memory.

mod avatars;
mod direct;
mod doctor;
mod failing;
mod files;
mod garbage;
mod storage;
mod uploads;
mod variants;
mod walk;
mod world;
