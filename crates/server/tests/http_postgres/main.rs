//! The tests of `tests/http`, with servers on PostgreSQL: the same files, compiled once more. Only those of the commands on
//! the embedded store's file stay there.

#![expect(
    clippy::unwrap_used,
    reason = "a test fails where something is not there, in its helpers too"
)]
#![expect(
    unreachable_pub,
    reason = "a test binary exports nothing: `pub` and `pub(crate)` are the same here"
)]

#[path = "../http/account_export.rs"]
mod account_export;
#[path = "../http/accounts/mod.rs"]
mod accounts;
#[path = "../http/attachments.rs"]
mod attachments;
#[path = "../http/bad_input/mod.rs"]
mod bad_input;
#[path = "../http/bodies.rs"]
mod bodies;
#[path = "../http/crash.rs"]
mod crash;
#[path = "../http/devices.rs"]
mod devices;
#[path = "../http/digest.rs"]
mod digest;
#[path = "../http/events.rs"]
mod events;
#[path = "../http/examples.rs"]
mod examples;
#[path = "../http/fields.rs"]
mod fields;
#[path = "../http/files.rs"]
mod files;
#[path = "../http/files_crash.rs"]
mod files_crash;
#[path = "../http/files_download.rs"]
mod files_download;
#[path = "../http/files_pictures.rs"]
mod files_pictures;
#[path = "../http/files_refused/mod.rs"]
mod files_refused;
#[path = "../http/files_s3.rs"]
mod files_s3;
#[path = "../http/files_upload.rs"]
mod files_upload;
#[path = "../http/harness.rs"]
mod harness;
#[path = "../http/history.rs"]
mod history;
#[path = "../http/isolation.rs"]
mod isolation;
#[path = "../http/kinds.rs"]
mod kinds;
#[path = "../http/limits.rs"]
mod limits;
#[path = "../http/lists.rs"]
mod lists;
#[path = "../http/memory.rs"]
mod memory;
#[path = "../http/phone/mod.rs"]
mod phone;
#[path = "../http/plumbing.rs"]
mod plumbing;
#[path = "../http/pulls.rs"]
mod pulls;
#[path = "../http/push/mod.rs"]
mod push;
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
#[path = "../http/schemathesis.rs"]
mod schemathesis;
#[path = "../http/stop.rs"]
mod stop;
#[path = "../../../adapter-blobs/tests/blobs/storage.rs"]
#[expect(
    dead_code,
    reason = "written for the tests of the adapter, which use the rest of it"
)]
mod storage;
#[path = "../http/sync.rs"]
mod sync;
#[path = "../http/tokens.rs"]
mod tokens;
#[path = "../http/tour.rs"]
mod tour;
#[path = "../http/tus.rs"]
mod tus;
#[path = "../http/writes/mod.rs"]
mod writes;
