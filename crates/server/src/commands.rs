//! What each command does, and how the process ends: exit code 0 done, 1 failed, 2 wrong arguments or configuration.

use std::error::Error;
use std::ffi::OsString;
use std::io::{self, Write};
use std::num::NonZeroU32;
use std::path::Path;
use std::process::ExitCode;

use mosaic_domain::account::Username;
use mosaic_ports::{StoreError, in_words};

use crate::backup::{self, BackupCommandError};
use crate::check_client::{self, Choice, Score};
use crate::cli::{self, Command, Engine, Invocation};
use crate::config::{self, Config, ConfigError, Loaded, Sources};
use crate::copy::{self, CopyCommandError};
use crate::dev::{self, DevError};
use crate::done::Done;
use crate::drawing;
use crate::first::{self, FirstError};
use crate::healthcheck::{self, HealthError};
use crate::import::{self, ImportCommandError};
use crate::secrets;
use crate::serve::{self, ServeError};
use crate::shards;
use crate::tasks::{self, TaskError};
use crate::telemetry;
use crate::wiring::{self, OpenStore, Opening, Services, WiringError};
use crate::words::{counted, grouped};

/// Why a command did not do what it was asked to.
#[derive(Debug, thiserror::Error)]
enum CommandError {
    /// The configuration can't be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// What was to be printed could not be.
    #[error("can not write to standard output: {0}")]
    Output(io::Error),
    /// The threads that everything runs on can't be started.
    #[error("can not start: {0}")]
    Runtime(io::Error),
    /// The log can't be set up.
    #[error("can not log: {0}")]
    Log(String),
    /// The server did not start, or ended by itself.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// The server for developers did not start.
    #[error(transparent)]
    Dev(#[from] DevError),
    /// A client did not pass; what was printed says why.
    #[error("the client does not pass {0} of the scenarios")]
    ClientFailed(usize),
    /// A client that can do nothing breaks no rule either.
    #[error("the client can do nothing of what the scenarios are about")]
    ClientDidNothing,
    /// The store has no administrator, and gets none.
    #[error(transparent)]
    First(#[from] FirstError),
    /// A command did nothing, or not everything.
    #[error(transparent)]
    Task(#[from] TaskError),
    /// The store can't be opened.
    #[error(transparent)]
    Store(#[from] WiringError),
    /// The copy stopped.
    #[error(transparent)]
    Copy(#[from] CopyCommandError),
    /// No backup was taken or restored.
    #[error(transparent)]
    Backup(#[from] BackupCommandError),
    /// Nothing, or not everything, was imported.
    #[error(transparent)]
    Import(#[from] ImportCommandError),
    /// Edits of an import were refused; the log names them.
    #[error("refused: {}; the log above says which, and why", counted(*.0, "edit"))]
    Refused(u64),
    /// Records or revisions can't be read; the rest was done, and printed.
    #[error("records and revisions that can not be read: {}; `mosaic doctor` says which", grouped(*.0))]
    Unreadable(u64),
    /// `migrate --check` found something to do.
    #[error("migrations are pending: {0}")]
    Pending(String),
    /// The server is not ready, or not there.
    #[error(transparent)]
    Health(#[from] HealthError),
    /// The document can't be rendered.
    #[error("the OpenAPI document can not be rendered: {0}")]
    Document(io::Error),
}

impl CommandError {
    fn exit_code(&self) -> ExitCode {
        match self {
            Self::Config(_) => ExitCode::from(2),
            Self::Task(error) => ExitCode::from(error.exit_code()),
            _ => ExitCode::FAILURE,
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
            let _ = writeln!(io::stderr(), "error: {}", in_full(&error));
            error.exit_code()
        }
    }
}

/// An error with what is behind it, as far as it does not say that itself.
pub(crate) fn in_full(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let said = cause.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        source = cause.source();
    }
    text
}

fn execute(invocation: Invocation) -> Result<(), CommandError> {
    let Invocation {
        command,
        config_file,
        flags,
        args,
    } = invocation;
    if let Command::Config { list: true, .. } = command {
        return print(&config::plain_reference());
    }
    let sources = match command {
        Command::Dev | Command::CheckClient { .. } => dev::sources(flags),
        _ => Sources::of_process(flags, config_file.as_deref())?,
    };
    let loaded = config::load(&sources)?;
    let config = &loaded.config;
    match command {
        Command::Config { running: false, .. } => show_config(&loaded),
        Command::Openapi => print(&mosaic_adapter_http::openapi().map_err(CommandError::Document)?),
        Command::Serve { no_migrate } => {
            log(&loaded)?;
            let opening = if no_migrate {
                Opening::Existing
            } else {
                Opening::Create
            };
            block_on(serve::serve(&loaded, opening, tell))?.map_err(Into::into)
        }
        Command::Healthcheck => print(&block_on(healthcheck::run(config))??),
        Command::Dev => {
            log(&loaded)?;
            block_on(dev::serve(config, tell))?.map_err(Into::into)
        }
        Command::CheckClient { list: true, .. } => print(&check_client::list()),
        Command::CheckClient {
            only, json, command, ..
        } => {
            let choice = Choice { only, json, command };
            match block_on(check_client::run(config, &choice, tell))?? {
                Score { passed: 0, failed: 0 } => Err(CommandError::ClientDidNothing),
                Score { failed: 0, .. } => Ok(()),
                Score { failed, .. } => Err(CommandError::ClientFailed(failed)),
            }
        }
        Command::Copy { from, to } => {
            on_store(&loaded, whatever_was_unreadable(copy::run(config, &from, &to)))
        }
        Command::Migrate { check, distribute } => on_store(&loaded, async {
            let done = migrate(config, check).await?;
            Ok::<_, CommandError>(match distribute {
                Some(Engine::Citus) => done + &shards::distribute(config).await?,
                None => done,
            })
        }),
        Command::Backup { file: Some(file), .. } => {
            on_store(&loaded, whatever_was_unreadable(backup::backup(config, file)))
        }
        Command::Backup {
            to: Some(folder),
            keep,
            ..
        } => on_store(&loaded, bundle(config, &folder, keep)),
        Command::Restore { file, yes } => on_store(&loaded, backup::restore(config, file, yes)),
        Command::Import { user, file } => on_store(&loaded, import(config, &user, &file)),
        task => {
            log(&loaded)?;
            Ok(block_on(tasks::run(config, task, &args))??)
        }
    }
}

/// Runs a command on a store, with a log, and prints what it has to say.
fn on_store<E>(loaded: &Loaded, command: impl Future<Output = Result<String, E>>) -> Result<(), CommandError>
where
    CommandError: From<E>,
{
    log(loaded)?;
    print(&block_on(command)??)
}

/// What was done is printed, whatever could not be read.
async fn whatever_was_unreadable<E>(
    command: impl Future<Output = Result<Done, E>>,
) -> Result<String, CommandError>
where
    CommandError: From<E>,
{
    let Done { said, unreadable } = command.await?;
    if unreadable > 0 {
        print(&said)?;
        return Err(CommandError::Unreadable(unreadable));
    }
    Ok(said)
}

/// What was saved is printed, whatever is missing in it.
async fn bundle(config: &Config, folder: &Path, keep: Option<NonZeroU32>) -> Result<String, CommandError> {
    let Done { said, unreadable } = backup::bundle(config, folder, keep).await?;
    if unreadable > 0 {
        print(&said)?;
        return Err(TaskError::Losses(unreadable).into());
    }
    Ok(said)
}

/// What an import came to is printed whatever it was.
async fn import(config: &Config, user: &Username, file: &Path) -> Result<String, CommandError> {
    let report = import::run(config, user, file).await?;
    if report.refused > 0 {
        print(&report.said)?;
        return Err(CommandError::Refused(report.refused));
    }
    Ok(report.said)
}

/// Starts the log, and says in it what is doubtful about the configuration.
fn log(loaded: &Loaded) -> Result<(), CommandError> {
    telemetry::init(&loaded.config.log).map_err(|error| CommandError::Log(error.to_string()))?;
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    Ok(())
}

/// Runs a command to its end. Requests are handled by the HTTP server's own threads.
fn block_on<T>(command: impl Future<Output = T>) -> Result<T, CommandError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build();
    Ok(runtime.map_err(CommandError::Runtime)?.block_on(command))
}

/// Makes the store or brings it up to date, which opening it does; or only says what there is to do.
async fn migrate(config: &Config, check: bool) -> Result<String, CommandError> {
    let done = match wiring::pending_migrations(config).await {
        Ok([]) => return Ok("The store is up to date.\n".to_owned()),
        Ok(missing) if check => return Err(CommandError::Pending(in_words(missing))),
        Ok(missing) => format!("Done: {}\n", in_words(missing)),
        Err(WiringError::Absent(location)) if !check => format!("Made a new store: {location}\n"),
        Err(error) => return Err(error.into()),
    };
    secrets::create_private_dir(&config.server.data_dir).map_err(WiringError::from)?;
    let store = OpenStore::open(config, &config.database, Opening::Create).await?;
    if has_accounts(&store).await.map_err(FirstError::Store)? {
        // The store alone: what else a server needs may not be there yet.
        store.close().await;
        return Ok(done);
    }
    let services = Services::over(config, store).await?;
    let made = first::administrator(config, &services, &tell).await;
    services.close().await;
    made?;
    Ok(done)
}

async fn has_accounts(store: &OpenStore) -> Result<bool, StoreError> {
    let users = store.ports.user_ids.user_ids(None, 1).await;
    if users.is_err() {
        store.close().await;
    }
    Ok(!users?.is_empty())
}

/// The configuration on stdout, what is doubtful about it on stderr, so that the output stays a usable file.
fn show_config(loaded: &Loaded) -> Result<(), CommandError> {
    for warning in &loaded.warnings {
        let _ = writeln!(io::stderr(), "warning: {warning}");
    }
    print(&loaded.values.to_string())
}

/// Shows a person what is said only once: on stdout, not in a log that is kept.
fn tell(text: &str) {
    // Where nobody can be told, there is nobody to tell that either.
    let _ = print(text);
}

/// Prints text on stdout.
fn print(text: &str) -> Result<(), CommandError> {
    drawing::print(text).map(drop).map_err(CommandError::Output)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{text}")]
    struct Layer {
        text: &'static str,
        source: Option<Box<Layer>>,
    }

    fn layers(texts: &[&'static str]) -> Layer {
        let (text, rest) = texts.split_first().unwrap();
        let source = (!rest.is_empty()).then(|| Box::new(layers(rest)));
        Layer { text, source }
    }

    #[test]
    fn an_error_is_said_with_what_is_behind_it_and_nothing_twice() {
        let error = layers(&["the store failed", "the disk is full", "disk"]);
        assert_eq!(in_full(&error), "the store failed: the disk is full");
        assert_eq!(in_full(&layers(&["x: not found", "not found"])), "x: not found");
    }
}
