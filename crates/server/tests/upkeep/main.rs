//! The commands that look after a store, over the built binary: purge, removal of accounts, epochs, backups, exports. What
//! both stores can do is tested on both. Besides, that a server that stops keeps nobody listening.

#![expect(
    clippy::unwrap_used,
    reason = "a test fails where something is not there, in its helpers too"
)]
#![expect(
    unreachable_pub,
    reason = "a test binary exports nothing: `pub` and `pub(crate)` are the same here"
)]

mod accounts;
mod attachments;
mod backups;
mod epochs;
mod exports;
#[path = "../http/files.rs"]
#[expect(dead_code, reason = "the other tests use the rest of it")]
mod files;
#[path = "../http/harness.rs"]
#[expect(dead_code, reason = "the other tests use the rest of it")]
mod harness;
mod lost;
mod purges;
mod streams;
mod support;
