//! One signed-in user attacks at full speed; another one goes on working beside, and must not notice.
//!
//! A test binary of its own, because cargo runs those one after the other: nothing else runs beside it, so that latencies
//! mean something. `cargo test --release --test attack --test attack_postgres -- --nocapture` prints the figures of the
//! build that people run.

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
mod hostile;
mod neighbour;
mod scenario;
