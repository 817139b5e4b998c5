//! The use cases, with the real decisions of the domain: over mocked ports where one use case is in question or a port
//! has to fail, over the embedded store in memory where what was written is read again.
#![expect(clippy::unwrap_used, reason = "a test that can't go on has to say so at once")]

mod accounts;
mod activity;
mod attachments;
mod copy;
mod devices;
mod export;
mod history;
mod memos;
mod nudges;
mod pull;
mod push;
mod records;
mod retention;
mod support;
mod tickets;
