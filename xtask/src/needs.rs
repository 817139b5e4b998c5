//! Programs that the tests run besides cargo: found, or installed where that is possible, or asked for in one line.

use std::process::{Command, Stdio};

use crate::failure::{Failure, Result};
use crate::runner::{run, say};

/// What the tests run: the program, and the Debian package that it comes in.
const PROGRAMS: [(&str, &str); 2] = [
    // The tour of the README is run as it stands there.
    ("bash", "bash"),
    ("curl", "curl"),
];

/// Sees to it that every program that the tests run is there.
pub(crate) fn programs() -> Result<()> {
    for (program, package) in PROGRAMS {
        if !answers(program) {
            install(program, package)?;
        }
    }
    Ok(())
}

/// Whether the program can be started at all.
fn answers(program: &str) -> bool {
    let mut command = Command::new(program);
    command
        .arg("--version")
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
    let installed = apt(&["update", "-q"])
        .and_then(|()| apt(&["install", "-q", "-y", "--no-install-recommends", package]));
    match installed {
        Ok(()) if answers(program) => Ok(()),
        _ => Err(Failure(format!(
            "{program} is missing. Install it with: sudo apt-get install {package}"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_is_not_there_does_not_answer() {
        assert!(answers("cargo"));
        assert!(!answers("no-such-program"));
    }
}
