//! A program that makes each test's database, for servers on which a database can not be copied: one whose tables are
//! spread over machines.

use std::ffi::{OsStr, OsString};
use std::process::Command;

use super::cluster::blocking;

/// Names a program that makes and drops the databases of tests on the server of [`DATABASE_URL`](super::DATABASE_URL). It
/// is called with `create NAME URL` and `drop NAME URL`, where the URL is the server's, and exits with 0 when that is done.
/// The schema is built in each database then, and distributed (`mosaic migrate --distribute citus`).
pub const DATABASE_HOOK: &str = "MOSAIC_TEST_DATABASE_HOOK";

/// Whether the databases of this process' tests are made by a program, and to be distributed.
pub fn has_hook() -> bool {
    of_environment().is_some()
}

pub(crate) fn of_environment() -> Option<OsString> {
    std::env::var_os(DATABASE_HOOK).filter(|program| !program.is_empty())
}

pub(crate) fn command(program: &OsStr, what: &str, database: &str, url: &str) -> Command {
    let mut command = Command::new(program);
    command.args([what, database, url]);
    command
}

/// Has the program do something with a database.
///
/// # Panics
/// If it does not do it, with what it said.
pub(crate) async fn call(program: &OsStr, what: &'static str, database: &str, url: &str) {
    let mut command = command(program, what, database, url);
    let done = blocking(move || command.output()).await;
    let done = done.unwrap_or_else(|error| panic!("{DATABASE_HOOK}: {}: {error}", program.display()));
    assert!(
        done.status.success(),
        "{DATABASE_HOOK}: {} {what} {database}: {}",
        program.display(),
        String::from_utf8_lossy(&done.stderr)
    );
}
