//! One signed-in user attacks at full speed; another one goes on working beside, and must not notice.
//!
//! A test binary of its own, because cargo runs those one after the other: nothing else runs beside it, so that latencies
//! mean something. `MOSAIC_TEST_BINARY=$PWD/target/release/mosaic cargo test --workspace --test attack --test attack_postgres --
//! --nocapture`, after `cargo build --release`, holds the build that people run to what it has to keep, and prints the figures.

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
