//! Schemathesis, which holds the OpenAPI document against the server: an environment of Python's below the target folder, with exactly
//! the versions that are checked in. Only installing it needs a network.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::failure::{Failure, Result};
use crate::needs;
use crate::runner::{Workspace, run, say};

/// What is installed.
const REQUIREMENTS: &str = "crates/server/tests/clients/schemathesis/requirements.txt";

/// Sees to it that the environment is there, with these versions.
pub(crate) fn install(workspace: &Workspace) -> Result<()> {
    let requirements = workspace.root().join(REQUIREMENTS);
    let wanted = std::fs::read(&requirements)
        .map_err(|error| Failure(format!("cannot read {}: {error}", requirements.display())))?;
    let folder = target(workspace).join("schemathesis");
    if is_there(&folder, &wanted) {
        return Ok(());
    }
    say("    Schemathesis is missing, or another version: installing it with pip");
    install_into(&folder, &requirements).map_err(|failure| {
        Failure(format!(
            "{failure}\nSchemathesis is missing. It comes from PyPI: install it where there is a network, or set pip to a mirror"
        ))
    })?;
    let mark = folder.join(MARK);
    std::fs::write(&mark, &wanted)
        .map_err(|error| Failure(format!("cannot write {}: {error}", mark.display())))
}

/// Says what is installed. Written last, so that an installation that broke off is made anew; the test looks for it, too.
const MARK: &str = "installed.txt";

/// Whether these versions are installed, with a Python that is still there.
fn is_there(folder: &Path, wanted: &[u8]) -> bool {
    std::fs::read(folder.join(MARK)).is_ok_and(|there| there == wanted) && folder.join("bin/python").exists()
}

fn install_into(folder: &Path, requirements: &Path) -> Result<()> {
    // What is there already goes, its mark first of all.
    run(Command::new(needs::python()?)
        .args(["-m", "venv", "--clear"])
        .arg(folder))?;
    // The list names everything that is needed, and nothing is built: that could need a compiler.
    run(Command::new(folder.join("bin/python"))
        .args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--no-deps",
            "--only-binary",
            ":all:",
        ])
        .arg("--requirement")
        .arg(requirements))
}

/// Where cargo builds: the tests look beside their binaries.
fn target(workspace: &Workspace) -> PathBuf {
    let chosen = std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
    workspace.root().join(chosen)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_installation_that_broke_off_or_has_other_versions_does_not_count() {
        let folder = tempfile::tempdir().expect("a folder");
        let folder = folder.path();
        std::fs::create_dir(folder.join("bin")).expect("a folder");
        std::fs::write(folder.join("bin/python"), "").expect("a file");
        assert!(!is_there(folder, b"a==1"));
        std::fs::write(folder.join(MARK), "a==1").expect("a file");
        assert!(is_there(folder, b"a==1"));
        assert!(!is_there(folder, b"a==2"));
        // The Python that it was made with is gone.
        std::fs::remove_file(folder.join("bin/python")).expect("a file to remove");
        assert!(!is_there(folder, b"a==1"));
    }
}
