//! Tools of other languages that the tests run, each in a folder of its own below the target folder, in exactly the versions that
//! are checked in: of Python in an environment, of npm beside their list. Only installing them needs a network.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::failure::{Failure, Result};
use crate::needs;
use crate::runner::{Workspace, run, say};

/// Where what only the tests need is listed.
const LISTS: &str = "crates/server/tests/clients";

/// Tools that are installed together.
struct Tools {
    /// Their folder, below `lists` and below the target folder.
    folder: &'static str,
    lists: &'static str,
    /// The file that names their versions.
    list: &'static str,
    /// What has to be there besides the mark: it may have gone by itself.
    program: &'static str,
    /// Where they come from.
    registry: &'static str,
    install: fn(list: &Path, folder: &Path) -> Result<()>,
}

const TOOLS: [Tools; 3] = [
    // Holds the document against the server.
    Tools::of_python("schemathesis"),
    // Make clients of the document, and look at them.
    Tools::of_python("python"),
    // What the client in TypeScript is made of, and what makes types of the document.
    Tools {
        folder: "typescript",
        lists: "clients",
        list: "package-lock.json",
        program: "node_modules",
        registry: "npm",
        install: with_npm,
    },
];

impl Tools {
    const fn of_python(folder: &'static str) -> Self {
        Self {
            folder,
            lists: LISTS,
            list: "requirements.txt",
            // A link to the Python that the environment was made with.
            program: "bin/python",
            registry: "PyPI",
            install: with_pip,
        }
    }

    /// The file that names their versions.
    fn list(&self, workspace: &Workspace) -> PathBuf {
        workspace
            .root()
            .join(self.lists)
            .join(self.folder)
            .join(self.list)
    }

    /// Whether these versions are installed.
    fn are_there(&self, folder: &Path, wanted: &[u8]) -> bool {
        std::fs::read(folder.join(MARK)).is_ok_and(|there| there == wanted)
            && folder.join(self.program).exists()
    }

    fn see_to(&self, workspace: &Workspace) -> Result<()> {
        let list = self.list(workspace);
        let wanted = std::fs::read(&list)
            .map_err(|error| Failure(format!("cannot read {}: {error}", list.display())))?;
        let folder = workspace.target().join(self.folder);
        if self.are_there(&folder, &wanted) {
            return Ok(());
        }
        say(&format!(
            "    target/{} is missing, or of other versions: installing it from {}",
            self.folder, self.registry
        ));
        (self.install)(&list, &folder).map_err(|failure| {
            Failure(format!(
                "{failure}\ntarget/{} is missing. It comes from {}: install it where there is a network, or name a mirror",
                self.folder, self.registry
            ))
        })?;
        let mark = folder.join(MARK);
        std::fs::write(&mark, &wanted).map_err(|error| cannot_write(&mark, &error))
    }
}

/// Sees to it that all of them are there.
pub(crate) fn tools(workspace: &Workspace) -> Result<()> {
    TOOLS.iter().try_for_each(|tools| tools.see_to(workspace))
}

/// Says what is installed. Written last, so that an installation that broke off is made anew; the tests look for it, too.
const MARK: &str = "installed.txt";

fn with_pip(requirements: &Path, folder: &Path) -> Result<()> {
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

fn with_npm(lock: &Path, folder: &Path) -> Result<()> {
    // `npm ci` removes what is there, but not the mark.
    drop(std::fs::remove_file(folder.join(MARK)));
    std::fs::create_dir_all(folder).map_err(|error| cannot_write(folder, &error))?;
    for name in ["package.json", "package-lock.json"] {
        let copy = folder.join(name);
        std::fs::copy(lock.with_file_name(name), &copy).map_err(|error| cannot_write(&copy, &error))?;
    }
    // Nothing of it is run: none of these packages needs that to be installed.
    run(Command::new("npm").current_dir(folder).args([
        "ci",
        "--ignore-scripts",
        "--no-audit",
        "--no-fund",
        "--loglevel=error",
    ]))
}

fn cannot_write(path: &Path, error: &std::io::Error) -> Failure {
    Failure(format!("cannot write {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_installation_that_broke_off_or_has_other_versions_does_not_count() {
        let tools = Tools::of_python("schemathesis");
        let folder = tempfile::tempdir().expect("a folder");
        let folder = folder.path();
        std::fs::create_dir(folder.join("bin")).expect("a folder");
        std::fs::write(folder.join("bin/python"), "").expect("a file");
        assert!(!tools.are_there(folder, b"a==1"));
        std::fs::write(folder.join(MARK), "a==1").expect("a file");
        assert!(tools.are_there(folder, b"a==1"));
        assert!(!tools.are_there(folder, b"a==2"));
        // The Python that it was made with is gone.
        std::fs::remove_file(folder.join("bin/python")).expect("a file to remove");
        assert!(!tools.are_there(folder, b"a==1"));
    }

    /// Packages come from where npm and pip are told that they are: a list that was written behind a mirror would name that one.
    #[test]
    fn no_list_says_where_its_packages_lie() {
        for tools in &TOOLS {
            let list = tools.list(&Workspace::new(true));
            let text = std::fs::read_to_string(list).expect("a list");
            for word in ["\"resolved\"", "-url", " @ "] {
                assert!(!text.contains(word), "{}: {word}", tools.folder);
            }
        }
    }
}
