//! The OpenAPI document and the server, held against each other by a tool that others wrote: Schemathesis makes requests that the
//! document allows and requests that it does not, logged in for real, and reports where the server does not do as the document says.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::process::Command;
use tokio::time::timeout;

use crate::harness::{ADMIN_PASSWORD, Server};

/// What it is set to, its hooks, and the list of what is right although it is reported.
const SETTINGS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/schemathesis");
/// Far more than it takes: a run without an end is to be told from a slow machine.
const AT_MOST: Duration = Duration::from_mins(10);
/// The operations that can't succeed here. Where others don't, they were not tried for real: a login had ended, or a limit was reached.
const NEVER_SUCCEED: [&str; 2] = [
    // They need storage that clients can send files to: `files_s3.rs` has it.
    "beginDirectUpload",
    "confirmDirectUpload",
];

/// What `cargo xtask test` installs below the target folder, in the folder of that name.
pub fn installed(name: &str) -> PathBuf {
    let target = Path::new(env!("CARGO_BIN_EXE_mosaic")).ancestors().nth(2);
    let installed = target.expect("a target folder").join(name);
    // Written when the installation is complete.
    assert!(
        installed.join("installed.txt").exists(),
        "{} is missing. `cargo xtask test` installs it",
        installed.display()
    );
    installed
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_takes_what_the_document_allows_and_nothing_else() {
    let program = installed("schemathesis").join("bin/schemathesis");
    let server = Server::start_with(&[
        "--registration",
        "open",
        "--auth-address-attempts-per-minute",
        "1000000",
        "--auth-account-attempts-per-minute",
        "1000000",
    ]);
    let document = server.anonymous().get("/openapi.json").await.ok();
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("openapi.json");
    std::fs::write(&path, document.to_string()).expect("a document");
    let succeeded = folder.path().join("succeeded.txt");

    let mut command = Command::new(program);
    command
        .args(["--config-file", &format!("{SETTINGS}/schemathesis.toml"), "run"])
        .arg(&path)
        .args(["--url", &server.url, "--checks", "all", "--no-color"])
        .current_dir(folder.path())
        .env("PYTHONPATH", SETTINGS)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("NO_PROXY", "*")
        .env("MOSAIC_URL", &server.url)
        .env("MOSAIC_ADMIN_PASSWORD", ADMIN_PASSWORD)
        .env("MOSAIC_SUCCEEDED", &succeeded)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let done = timeout(AT_MOST, command.output()).await;
    let done = done.expect("an end").expect("it starts");
    let report = String::from_utf8_lossy(&done.stdout);
    assert!(
        done.status.success(),
        "{report}\n{}",
        String::from_utf8_lossy(&done.stderr)
    );

    let succeeded = std::fs::read_to_string(succeeded).expect("operations that succeeded");
    let mut others = operations(&document);
    assert!(report.contains(&format!("Tested: {}", others.len())), "{report}");
    others.retain(|operation| succeeded.lines().all(|line| line != *operation));
    assert_eq!(others, BTreeSet::from(NEVER_SUCCEED), "{report}");
}

fn operations(document: &Value) -> BTreeSet<&str> {
    let paths = document["paths"].as_object().expect("paths").values();
    paths
        .flat_map(|path| path.as_object().expect("operations").values())
        .map(|operation| operation["operationId"].as_str().expect("an operationId"))
        .collect()
}
