//! Blob stores: the suite, and what happens when their storage does not work.
#![expect(clippy::unwrap_used, reason = "a test that can't go on has to say so at once")]

mod conformance;
mod failures;
mod killed;
mod sink;
mod storage;
mod unruly;
