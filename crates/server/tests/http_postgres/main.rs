//! What depends on the store of the tests in `tests/http`, with servers on PostgreSQL: the same files, compiled once more. What
//! stores promise is tested without HTTP (`conformance.rs`), and what HTTP says of it on the embedded store alone.

#![expect(
    clippy::unwrap_used,
    reason = "a test fails where something is not there, in its helpers too"
)]
#![expect(
    unreachable_pub,
    reason = "a test binary exports nothing: `pub` and `pub(crate)` are the same here"
)]
#![expect(
    dead_code,
    reason = "the helpers are written for all tests of the HTTP interface"
)]

#[path = "../http/account_export.rs"]
mod account_export;
#[path = "../http/accounts/mod.rs"]
mod accounts;
#[path = "../http/crash.rs"]
mod crash;
#[path = "../http/document.rs"]
mod document;
#[path = "../http/files.rs"]
mod files;
#[path = "../http/files_crash.rs"]
mod files_crash;
#[path = "../http/files_pictures.rs"]
mod files_pictures;
#[path = "../http/harness.rs"]
mod harness;
#[path = "../http/isolation.rs"]
mod isolation;
#[path = "../http/kinds.rs"]
mod kinds;
#[path = "../http/lists.rs"]
mod lists;
#[path = "../http/memory.rs"]
mod memory;
#[path = "../http/metrics/mod.rs"]
mod metrics;
#[path = "../http/phone/mod.rs"]
mod phone;
#[path = "../http/pulls.rs"]
mod pulls;
#[path = "../http/push_mixed.rs"]
mod push_mixed;
#[path = "../http/removal.rs"]
mod removal;
#[path = "../http/scenario_drawer.rs"]
mod scenario_drawer;
#[path = "../http/scenario_events.rs"]
mod scenario_events;
#[path = "../http/scenario_nudges.rs"]
mod scenario_nudges;
#[path = "../http/scenario_resync.rs"]
mod scenario_resync;
#[path = "../http/scenario_stage.rs"]
mod scenario_stage;
#[path = "../http/scenario_week_offline.rs"]
mod scenario_week_offline;
#[path = "../http/scene.rs"]
mod scene;
#[path = "../http/stop.rs"]
mod stop;
#[path = "../http/sync.rs"]
mod sync;
