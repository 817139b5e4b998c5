//! The client in TypeScript, `clients/typescript`: that it is well typed by what the document says today, and that its own tests pass,
//! which start servers of their own, and that it passes what `mosaic check-client` does to clients.

use std::os::unix::fs::symlink;
use std::path::Path;

use tokio::process::Command;

use crate::check_client::{check_client, outcomes, says_what_it_can_not_do};
use crate::document::installed;
use crate::generated_clients::succeed;

const PACKAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../clients/typescript");
/// What the package is made of; the rest of its folder is built.
const SOURCES: [&str; 5] = ["README.md", "package.json", "tsconfig.json", "src", "tests"];

#[tokio::test(flavor = "multi_thread")]
async fn the_client_in_typescript_is_well_typed_and_loses_nothing() {
    let modules = installed("typescript").join("node_modules");
    let folder = tempfile::tempdir().unwrap();
    for name in SOURCES {
        copy(&Path::new(PACKAGE).join(name), &folder.path().join(name));
    }
    symlink(modules, folder.path().join("node_modules")).unwrap();
    for script in ["build", "test"] {
        let mut npm = Command::new("npm");
        npm.args(["run", "--offline", script])
            .current_dir(folder.path())
            .env("MOSAIC_BINARY", env!("CARGO_BIN_EXE_mosaic"));
        succeed(&mut npm).await;
    }
    // The other way round: what the checker does to it, over each of its stores.
    let driver = folder.path().join("dist/tests/driver.js");
    let driver = driver.to_str().unwrap();
    says_what_it_can_not_do(&[driver, "memory"]).await;
    for store in ["memory", "watermelondb", "rxdb"] {
        let output = check_client(&["--json", "--", "node", driver, store]).await;
        let not_passed: Vec<_> = outcomes(&output)
            .into_iter()
            .filter(|(_, outcome)| outcome != "pass")
            .collect();
        assert!(
            output.status.success() && not_passed.is_empty(),
            "{store}: {output:?}"
        );
    }
}

/// A file, or a folder with all that is in it.
fn copy(from: &Path, to: &Path) {
    if !from.is_dir() {
        std::fs::copy(from, to).unwrap();
        return;
    }
    std::fs::create_dir(to).unwrap();
    for entry in from.read_dir().unwrap() {
        let entry = entry.unwrap();
        copy(&entry.path(), &to.join(entry.file_name()));
    }
}
