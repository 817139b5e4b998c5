//! Clients that tools of others make of the OpenAPI document: that they are well typed, and that a program of a device works with them
//! against the server. Nothing that they make is checked in.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tokio::process::Command;
use tokio::time::timeout;

use crate::document::installed;
use crate::harness::{ADMIN_PASSWORD, Server};

/// The programs, and what the tools are set to.
const CLIENTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients");
/// Far more than any of the tools takes.
const AT_MOST: Duration = Duration::from_mins(5);

/// A server, and a folder with the program of a client and the document.
struct Bench {
    server: Server,
    folder: TempDir,
    tools: PathBuf,
}

impl Bench {
    async fn of(client: &str) -> Self {
        let (tools, server) = (installed(client), Server::start());
        let folder = tempfile::tempdir().unwrap();
        for file in Path::new(CLIENTS).join(client).read_dir().unwrap() {
            let file = file.unwrap();
            std::fs::copy(file.path(), folder.path().join(file.file_name())).unwrap();
        }
        let document = server.anonymous().get("/openapi.json").await.ok();
        std::fs::write(folder.path().join("openapi.json"), document.to_string()).unwrap();
        Self {
            server,
            folder,
            tools,
        }
    }

    /// Runs a program in the folder, which has to succeed.
    async fn run(&self, program: impl AsRef<Path>, args: &[&str]) {
        let mut command = Command::new(program.as_ref());
        command
            .args(args)
            .current_dir(self.folder.path())
            .env("MOSAIC_URL", &self.server.url)
            .env("MOSAIC_ADMIN_PASSWORD", ADMIN_PASSWORD);
        succeed(&mut command).await;
    }

    /// As [`Bench::run`], a program of npm's.
    async fn node(&self, program: &str, args: &[&str]) {
        self.run("node", &[&[program], args].concat()).await;
    }
}

/// Runs a program, which has to succeed.
pub async fn succeed(command: &mut Command) {
    command
        .env("NO_PROXY", "*")
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let done = timeout(AT_MOST, command.output()).await.expect("an end");
    let done = done.unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(
        done.status.success(),
        "{command:?}\n{}\n{}",
        String::from_utf8_lossy(&done.stdout),
        String::from_utf8_lossy(&done.stderr)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_in_typescript_is_well_typed_and_syncs() {
    let bench = Bench::of("typescript").await;
    let modules = bench.folder.path().join("node_modules");
    symlink(bench.tools.join("node_modules"), modules).unwrap();
    bench.node("lint.mjs", &["openapi.json"]).await;
    let generate = "node_modules/openapi-typescript/bin/cli.js";
    bench
        .node(generate, &["openapi.json", "--output", "api.d.ts"])
        .await;
    bench.node("node_modules/typescript/bin/tsc", &[]).await;
    bench.node("sync.mjs", &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_in_python_is_well_typed_and_syncs() {
    let bench = Bench::of("python").await;
    let programs = bench.tools.join("bin");
    // What can't be made of the document is a warning, and left out.
    let generate = "generate --path openapi.json --config config.yaml --meta none --output-path mosaic_client \
        --fail-on-warning";
    let generate: Vec<_> = generate.split(' ').collect();
    bench.run(programs.join("openapi-python-client"), &generate).await;
    // The generator knows no streams: it makes an object of one.
    let check = "--strict --cache-dir /dev/null --exclude api/sync/events.py sync.py mosaic_client";
    let check: Vec<_> = check.split(' ').collect();
    bench.run(programs.join("mypy"), &check).await;
    bench.run(programs.join("python"), &["sync.py"]).await;
}

/// Whoever tries a route in the page of the document sends them as they stand.
#[tokio::test]
async fn examples_of_bodies_are_taken_as_they_stand() {
    let server = Server::start();
    let device = server.device("docs").await;
    let document = device.get("/openapi.json").await.ok();
    let mut tried = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let body = &operation["requestBody"]["content"]["application/json"]["schema"]["$ref"];
            let name = body.as_str().unwrap_or_default().rsplit('/').next().unwrap();
            let example: &Value = &document["components"]["schemas"][name]["example"];
            if !example.is_null() {
                let request = device.request(method.to_uppercase().parse().unwrap(), path);
                device.send(request.json(example)).await.ok();
                tried.push(path.as_str());
            }
        }
    }
    assert_eq!(tried, ["/sync/pull", "/sync/push"]);
    let pushed = device
        .get("/memos/0198f3a2-7b1c-7def-8000-1234567890ab")
        .await
        .ok();
    assert_eq!(pushed["content"], "Hello");
}
