//! What each command does, and how the process ends: exit code 0 done, 1 failed, 2 wrong arguments or configuration.

use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;

use crate::cli::{self, Command, Invocation};
use crate::config::{self, ConfigError, Loaded, Sources};

/// Why a command did not do what it was asked to.
#[derive(Debug, thiserror::Error)]
enum CommandError {
    /// The configuration can't be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// What was to be printed could not be.
    #[error("can not write to standard output: {0}")]
    Output(io::Error),
    /// The command is parsed, and has no body yet.
    #[error("this command is not in this build yet")]
    NotYet,
}

impl CommandError {
    fn exit_code(&self) -> ExitCode {
        match self {
            Self::Config(_) => ExitCode::from(2),
            Self::Output(_) | Self::NotYet => ExitCode::FAILURE,
        }
    }
}

/// Runs the process with these arguments, the first of which is its name, to its end.
pub fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let invocation = match cli::parse(args) {
        Ok(invocation) => invocation,
        // Help and the version go to stdout with 0, wrong arguments to stderr with 2.
        Err(error) => error.exit(),
    };
    match execute(invocation) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Not through the log: its format and its level may be what is wrong. A closed stderr changes nothing.
            let _ = writeln!(io::stderr(), "error: {error}");
            error.exit_code()
        }
    }
}

fn execute(invocation: Invocation) -> Result<(), CommandError> {
    let Invocation {
        command,
        config_file,
        flags,
    } = invocation;
    let sources = Sources::of_process(flags, config_file.as_deref())?;
    let loaded = config::load(&sources)?;
    match command {
        Command::Config => show_config(&loaded),
        Command::Serve | Command::User(_) | Command::Migrate { .. } | Command::Openapi => {
            Err(CommandError::NotYet)
        }
    }
}

/// The configuration on stdout, what is doubtful about it on stderr, so that the output stays a usable file.
fn show_config(loaded: &Loaded) -> Result<(), CommandError> {
    for warning in &loaded.warnings {
        let _ = writeln!(io::stderr(), "warning: {warning}");
    }
    print(&loaded.to_string())
}

/// Prints text on stdout. A reader that has seen enough (`mosaic config | head`) is no failure.
fn print(text: &str) -> Result<(), CommandError> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(CommandError::Output(error)),
        _ => Ok(()),
    }
}
