//! The server as its users meet it: apps over HTTP, operators with its commands, several instances over one database. The
//! real binary, real stores, real sockets. One program for all of it: they run beside each other, and link once.

#![expect(
    clippy::unwrap_used,
    reason = "a test fails where something is not there, in its helpers too"
)]
#![expect(
    unreachable_pub,
    reason = "a test binary exports nothing: `pub` and `pub(crate)` are the same here"
)]

mod account_export;
mod accounts;
mod attachments;
mod bad_input;
mod bodies;
mod check_client;
mod command_line;
mod commands;
mod copy;
mod crash;
mod dev;
mod dev_restored;
mod devices;
mod digest;
mod document;
mod events;
mod examples;
mod fail2ban;
mod fields;
mod files;
mod files_crash;
mod files_download;
mod files_faults;
mod files_many;
mod files_memory;
mod files_pictures;
mod files_refused;
mod files_s3;
mod files_upload;
mod generated_clients;
mod harness;
mod healthcheck;
mod history;
mod instances;
mod isolation;
mod kinds;
mod late;
mod limits;
mod listen;
mod lists;
mod memory;
mod metrics;
mod package;
mod partial;
mod phone;
mod plumbing;
mod pulls;
mod push;
mod push_mixed;
mod removal;
mod roads;
mod rust_client;
mod scenario_drawer;
mod scenario_events;
mod scenario_nudges;
mod scenario_resync;
mod scenario_stage;
mod scenario_week_offline;
mod scene;
mod stop;
#[path = "../../../adapter-blobs/tests/blobs/storage.rs"]
#[expect(
    dead_code,
    reason = "written for the tests of the adapter, which use the rest of it"
)]
mod storage;
mod strangers;
mod sync;
mod systemd;
mod tickets;
mod tls;
mod tokens;
mod tour;
mod tus;
mod typescript_client;
mod upkeep;
mod writes;
