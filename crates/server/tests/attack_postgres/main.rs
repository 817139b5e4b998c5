//! The test of `tests/attack`, with the server on PostgreSQL: the same files, compiled once more.

#![expect(
    clippy::unwrap_used,
    reason = "a test fails where something is not there, in its helpers too"
)]
#![expect(
    unreachable_pub,
    reason = "a test binary exports nothing: `pub` and `pub(crate)` are the same here"
)]

#[path = "../http/files.rs"]
#[expect(
    dead_code,
    reason = "written for the tests over HTTP, which use the rest of it"
)]
mod files;
#[path = "../http/harness.rs"]
#[expect(
    dead_code,
    reason = "written for the tests over HTTP, which use the rest of it"
)]
mod harness;
#[path = "../attack/hostile.rs"]
mod hostile;
#[path = "../attack/neighbour.rs"]
mod neighbour;
#[path = "../attack/scenario.rs"]
mod scenario;
