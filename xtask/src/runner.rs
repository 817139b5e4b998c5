//! Starting programs in the workspace, and talking to the person who waits for them.

use std::ffi::OsString;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::failure::{Failure, Result};
use crate::tally::Tally;

/// Prints one line for the person at the terminal, on stderr as cargo does, so that stdout stays what the tests print.
pub(crate) fn say(line: &str) {
    // A closed stderr is no reason to stop checking.
    drop(writeln!(std::io::stderr(), "{line}"));
}

/// This repository, and how cargo is called in it.
#[derive(Debug)]
pub(crate) struct Workspace {
    root: PathBuf,
    locked: bool,
}

impl Workspace {
    /// The workspace that this xtask was built in. `locked`: Cargo.lock must not be changed.
    pub(crate) fn new(locked: bool) -> Self {
        let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
        Self {
            root: xtask.parent().unwrap_or(xtask).to_owned(),
            locked,
        }
    }

    /// The folder of the workspace's Cargo.toml.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Where cargo builds.
    pub(crate) fn target(&self) -> PathBuf {
        let chosen = std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
        self.root.join(chosen)
    }

    /// `cargo SUBCOMMAND`, with `--locked` where that is wanted, to be run at the root.
    pub(crate) fn cargo(&self, subcommand: &str) -> Command {
        let mut command = self.bare_cargo(subcommand);
        if self.locked {
            command.arg("--locked");
        }
        command
    }

    /// `cargo SUBCOMMAND` for the subcommands that do not know `--locked` (fmt).
    pub(crate) fn bare_cargo(&self, subcommand: &str) -> Command {
        let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo")));
        command
            .current_dir(&self.root)
            .stdin(Stdio::null())
            .arg(subcommand);
        command
    }

    /// Fails, saying what to install, unless the rustup component behind `cargo SUBCOMMAND` is there.
    pub(crate) fn need_component(&self, subcommand: &str, component: &str) -> Result<()> {
        let found = self
            .bare_cargo(subcommand)
            .arg("--version")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success());
        if found {
            Ok(())
        } else {
            Err(Failure(format!(
                "{component} is missing. Install it with: rustup component add {component}"
            )))
        }
    }
}

/// Runs a program to its end; anything but exit status 0 is a failure.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let line = announce(command);
    let status = command
        .status()
        .map_err(|error| Failure(format!("cannot start {line}: {error}")))?;
    if status.success() {
        Ok(())
    } else {
        Err(Failure(format!("{line} failed ({status})")))
    }
}

/// Runs a program to its end and returns what it printed on stdout.
pub(crate) fn output(command: &mut Command) -> Result<Vec<u8>> {
    let line = announce(command);
    let output = command
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| Failure(format!("cannot start {line}: {error}")))?;
    if output.status.success() {
        Ok(output.stdout)
    } else {
        Err(Failure(format!("{line} failed ({})", output.status)))
    }
}

/// Runs `cargo test`, showing its output as it comes, and adds up the results of all test binaries. Says after each of them
/// how far it is.
pub(crate) fn run_tests(command: &mut Command) -> Result<Tally> {
    let line = announce(command);
    let broken = |error| Failure(format!("{line}: {error}"));
    let mut child = command.stdout(Stdio::piped()).spawn().map_err(broken)?;
    let (started, mut tally) = (Instant::now(), Tally::default());
    if let Some(stdout) = child.stdout.take() {
        let mut reader = BufReader::new(stdout);
        let mut bytes = Vec::new();
        while reader.read_until(b'\n', &mut bytes).map_err(broken)? > 0 {
            std::io::stdout().write_all(&bytes).map_err(broken)?;
            if tally.read_line(&String::from_utf8_lossy(&bytes)) {
                say(&format!(
                    "    {tally} in {} s so far",
                    started.elapsed().as_secs()
                ));
            }
            bytes.clear();
        }
    }
    let status = child.wait().map_err(broken)?;
    if status.success() {
        Ok(tally)
    } else {
        Err(Failure(format!("{line} failed ({status}): {tally}")))
    }
}

fn announce(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let mut line = program
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    for arg in command.get_args() {
        line.push(' ');
        line.push_str(&arg.to_string_lossy());
    }
    say(&format!("    $ {line}"));
    line
}
