//! Servers over PostgreSQL: several at once, databases that go away, clients that hang up, a pooler in between. Real
//! processes, real sockets, a database for each test.

#![expect(
    clippy::unwrap_used,
    reason = "a test fails where something is not there, in its helpers too"
)]
#![expect(
    unreachable_pub,
    reason = "a test binary exports nothing: `pub` and `pub(crate)` are the same here"
)]

mod commands;
mod convergence;
#[path = "../http/scenario_events.rs"]
mod events;
#[expect(
    dead_code,
    reason = "the tests of the HTTP interface need more of it than these"
)]
#[path = "../http/harness.rs"]
mod harness;
mod ledger;
mod locks;
mod nudges;
mod outages;
mod pooler;
mod puller;
mod starting;
mod support;
mod writer;
