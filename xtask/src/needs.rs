//! Programs that the tests run besides cargo: found, or installed where that is possible, or asked for in one line.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::failure::{Failure, Result};
use crate::runner::{run, say};

/// What the tests run: the program, and the Debian package that it comes in.
const PROGRAMS: [(&str, &str); 13] = [
    // The tour of the README is run as it stands there.
    ("bash", "bash"),
    ("curl", "curl"),
    // Tests start clusters of their own.
    ("postgres", "postgresql"),
    // The production store works behind the real one.
    ("pgbouncer", "pgbouncer"),
    // A client of resumable uploads that others wrote.
    ("tuspy", "python3-tuspy"),
    // What puts pip into the environments of the tools that come from PyPI.
    (ENSUREPIP, "python3-venv"),
    // A client in TypeScript is made of the document, and run.
    ("node", "nodejs"),
    ("npm", "npm"),
    // Pages of it use that client: tabs that share a login, apps over IndexedDB.
    ("chromium", "chromium"),
    // The filter in docs/fail2ban is tried on the log.
    ("fail2ban-regex", "fail2ban"),
    // The units in packaging/ are judged by the real one, which hands over its sockets, too.
    ("systemd-analyze", "systemd"),
    // The package is built, and installed into a folder by somebody who is root there.
    ("dpkg", "dpkg"),
    ("unshare", "util-linux"),
];

/// The programs that are modules of Python's, and what these are called there.
const MODULES: [(&str, &str); 2] = [("tuspy", "tusclient"), (ENSUREPIP, ENSUREPIP)];

const ENSUREPIP: &str = "ensurepip";

/// The Pythons that the tests try: one that somebody chose, or the one that Debian's modules are for.
const PYTHONS: [&str; 2] = ["python3", "/usr/bin/python3"];

/// Where Debian puts the programs of PostgreSQL, in a folder for each version: not on the `PATH`.
const POSTGRESQL: &str = "/usr/lib/postgresql";

/// Sees to it that every program that the tests run is there.
pub(crate) fn programs() -> Result<()> {
    for (program, package) in PROGRAMS {
        if !is_there(program) {
            install(program, package)?;
        }
    }
    Ok(())
}

/// Whether the program can be started, from the `PATH` or from where Debian puts services.
fn is_there(program: &str) -> bool {
    if let Some((_, module)) = MODULES.iter().find(|(name, _)| *name == program) {
        return python_with(module).is_some();
    }
    let versions = Path::new(POSTGRESQL).read_dir().into_iter().flatten().flatten();
    let elsewhere = versions
        .map(|version| version.path().join("bin"))
        .chain([PathBuf::from("/usr/sbin"), PathBuf::from("/usr/local/sbin")]);
    answers(Path::new(program)) || elsewhere.into_iter().any(|folder| answers(&folder.join(program)))
}

/// A Python that environments can be made with.
pub(crate) fn python() -> Result<&'static str> {
    python_with(ENSUREPIP).ok_or_else(|| Failure(format!("no Python has {ENSUREPIP}")))
}

/// A Python that has this module.
fn python_with(module: &str) -> Option<&'static str> {
    let has_it = |python: &&str| succeeds(Command::new(python).args(["-c", &format!("import {module}")]));
    PYTHONS.into_iter().find(has_it)
}

/// Whether the program can be started at all.
fn answers(program: &Path) -> bool {
    succeeds(Command::new(program).arg("--version"))
}

fn succeeds(command: &mut Command) -> bool {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Installs a package with apt where the user may, or says what to install.
fn install(program: &str, package: &str) -> Result<()> {
    say(&format!(
        "    {program} is missing: trying apt-get install {package}"
    ));
    let apt = |args: &[&str]| {
        run(Command::new("apt-get")
            .args(args)
            .env("DEBIAN_FRONTEND", "noninteractive"))
    };
    make_no_main_cluster(package);
    let installed = apt(&["update", "-q"])
        .and_then(|()| apt(&["install", "-q", "-y", "--no-install-recommends", package]));
    stop_service(package);
    match installed {
        Ok(()) if is_there(program) => Ok(()),
        _ => Err(Failure(format!(
            "{program} is missing. Install it with: sudo apt-get install {package}"
        ))),
    }
}

/// Debian makes and starts a cluster with the first server that it installs. The tests don't need it.
fn make_no_main_cluster(package: &str) {
    let settings = Path::new("/etc/postgresql-common/createcluster.conf");
    // Somebody's own settings are left alone.
    if package == "postgresql" && !settings.exists() {
        let written = std::fs::create_dir_all(settings.with_file_name(""))
            .and_then(|()| std::fs::write(settings, "create_main_cluster = false\n"));
        // Where it can't be written, nothing can be installed either.
        drop(written);
    }
}

/// The tests run the program, and not the service that Debian starts with it.
fn stop_service(package: &str) {
    if ["pgbouncer", "fail2ban"].contains(&package) && Path::new("/run/systemd/system").exists() {
        let mut command = Command::new("systemctl");
        // A service that goes on does no harm: PgBouncer's has a port of its own, that of fail2ban looks at no log of ours.
        drop(run(command.args([
            "--no-ask-password",
            "disable",
            "--now",
            package,
        ])));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_is_not_there_does_not_answer() {
        assert!(is_there("cargo"));
        assert!(!is_there("no-such-program"));
    }
}
