//! Commands on a store that may be in use: carried out here, or by the server that has it. Both do the same with the same
//! parts, and show it in the same way.

use std::ffi::OsString;
use std::sync::Arc;

use mosaic_domain::Violation;
use mosaic_domain::account::Password;
use mosaic_ports::StoreError;
use tokio::sync::watch;

use crate::audit::{self, AuditError, Wanted};
use crate::cli::Command;
use crate::config::Config;
use crate::control::{Answer, CallError, Connection, Step};
use crate::doctor::{self, DoctorError};
use crate::drawing::Drawing;
use crate::epoch;
use crate::export::{self, ExportError};
use crate::purge::{self, PurgeError};
use crate::screen::{Screen, Shown, Unseen};
use crate::shards;
use crate::signals::StopSignals;
use crate::storage::{Storage, StorageError};
use crate::telemetry;
use crate::users::{self, UserError};
use crate::wiring::{OpenStore, Opening, WiringError};
use crate::words::grouped;

/// What to do where another process has the embedded store.
const IN_USE: &str = "Where that is a server, it hears commands at mosaic.sock in its data folder, and none answers in this \
     one: name its folder (data_dir, --data-dir, MOSAIC_DATA_DIR), or stop it";

/// Why a command on a store did not do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TaskError {
    /// The store can't be opened.
    #[error(transparent)]
    Wiring(#[from] WiringError),
    /// The running server did not do it.
    #[error(transparent)]
    Call(#[from] CallError),
    /// There is no running server, and only that could do it.
    #[error(
        "no server answers in this data folder (data_dir, --data-dir, MOSAIC_DATA_DIR): there is none, or it runs as \
         another user"
    )]
    NoServer,
    /// The server has another version, which knows no such command.
    #[error(
        "the running server does not know this command: it is of version {ours}, and the command of {0}. Start the server \
         anew",
        ours = env!("CARGO_PKG_VERSION")
    )]
    OtherVersion(String),
    /// A setting was given that is the server's.
    #[error("{0} is a setting of the running server: it can not be given to a command beside it")]
    Setting(String),
    /// The command works on its own, and never beside a server.
    #[error("a running server does not carry out this command")]
    NoTask,
    /// The password can't be used.
    #[error("the password {}", .0.message)]
    Password(Violation),
    /// Nobody looks any more.
    #[error(transparent)]
    Unseen(#[from] Unseen),
    /// What is shown can't be written.
    #[error("can not write to standard output: {0}")]
    Output(std::io::Error),
    /// Signals can't be heard.
    #[error("signals can not be heard: {0}")]
    Signals(std::io::Error),
    /// A command on accounts did nothing.
    #[error(transparent)]
    User(#[from] UserError),
    /// Nothing, or not everything, was exported.
    #[error(transparent)]
    Export(#[from] ExportError),
    /// What happened is not known.
    #[error(transparent)]
    Audit(#[from] AuditError),
    /// The purge was not done.
    #[error(transparent)]
    Purge(#[from] PurgeError),
    /// Nothing was examined, or not everything.
    #[error(transparent)]
    Doctor(#[from] DoctorError),
    /// The doctor found what is lost, damaged or can't be read; it printed which.
    #[error("lost, damaged or unreadable: {}", grouped(*.0))]
    Losses(u64),
    /// The doctor found what is not as it should be on the machines of a distributed database; it printed what.
    #[error("not as it should be on the machines: {}", grouped(*.0))]
    Misplaced(u64),
    /// Somebody wanted the doctor to end.
    #[error("stopped before everything was examined")]
    Unfinished,
    /// Records or revisions can't be read; the rest was done, and printed.
    #[error("records and revisions that can not be read: {}; `mosaic doctor` says which", grouped(*.0))]
    Unreadable(u64),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl TaskError {
    /// The exit code of the process: 1 failed, 2 wrong arguments.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Call(CallError::Failed(failure)) => failure.code,
            Self::Setting(_) => 2,
            _ => 1,
        }
    }
}

/// What commands work on: a store that this process has open.
#[derive(Debug)]
pub(crate) struct Workbench {
    /// The settings in force.
    pub(crate) config: Arc<Config>,
    /// The store.
    pub(crate) store: OpenStore,
    storage: Option<Storage>,
    /// The settings as `mosaic config` shows them, where this process is a server.
    shown_config: Option<String>,
}

impl Workbench {
    /// The parts of a server, and its settings as they are shown.
    pub(crate) fn of_server(
        config: &Config,
        store: OpenStore,
        storage: Storage,
        shown_config: String,
    ) -> Self {
        Self {
            config: Arc::new(config.clone()),
            store,
            storage: Some(storage),
            shown_config: Some(shown_config),
        }
    }

    /// Opens the store of this configuration, as it is. Close it when done.
    async fn open(config: &Config) -> Result<Self, WiringError> {
        Ok(Self {
            store: OpenStore::existing(config, IN_USE).await?,
            config: Arc::new(config.clone()),
            storage: None,
            shown_config: None,
        })
    }

    /// The storage of attachments; `opening` says whether its folder may be made.
    ///
    /// # Errors
    /// It can't be opened.
    pub(crate) async fn storage(&self, opening: Opening) -> Result<Storage, StorageError> {
        match &self.storage {
            Some(storage) => Ok(storage.clone()),
            None => Storage::open(&self.config, &self.store.ports, opening).await,
        }
    }
}

/// Carries out a command, here or in the server that has the store, and draws what it shows. `args` are those of the command line.
///
/// # Errors
/// [`TaskError`].
pub(crate) async fn run(config: &Config, command: Command, args: &[OsString]) -> Result<(), TaskError> {
    let mut drawing = Drawing::of(&command)?;
    let mut password = None;
    if let Command::User(asking) = &command
        && asking.asks()
    {
        // What can't be done is said before anybody is asked. Meanwhile nobody has the store: it should not wait for a person at
        // a keyboard.
        let (screen, _) = Screen::new();
        let (_never, stopping) = watch::channel(false);
        carry_out(config, &command, args, Step::Check, None, screen, stopping).await?;
        password = users::ask(asking)?;
    }
    let (_never, mut stopping) = watch::channel(false);
    if command.can_stop() {
        stopping = StopSignals::listen().map_err(TaskError::Signals)?.watched();
    }
    let (screen, shown) = Screen::new();
    let (done, drawn) = tokio::join!(
        carry_out(config, &command, args, Step::Perform, password, screen, stopping),
        drawing.draw_all(shown),
    );
    drawn?;
    match done {
        // A reader that has seen enough (`mosaic user list | head`) is no failure.
        Ok(()) | Err(TaskError::Unseen(_) | TaskError::Call(CallError::Unseen(_))) => drawing.finish(),
        Err(error) => Err(error),
    }
}

async fn carry_out(
    config: &Config,
    command: &Command,
    args: &[OsString],
    step: Step,
    password: Option<Password>,
    screen: Screen,
    stopping: watch::Receiver<bool>,
) -> Result<(), TaskError> {
    let connection = if command.is_of_server() {
        Some(Connection::to_server(config).await?.ok_or(TaskError::NoServer)?)
    } else {
        Connection::to_store(config).await?
    };
    if let Some(connection) = connection {
        let answer = connection.call(args, step, password.as_ref(), &screen, stopping.clone());
        if answer.await? == Answer::Done {
            return Ok(());
        }
    }
    let work = Workbench::open(config).await?;
    let done = match step {
        Step::Check => check(command, &work).await,
        Step::Perform => perform(command, &work, password, &screen, stopping).await,
    };
    work.store.close().await;
    done
}

/// Whether a command could be carried out now.
///
/// # Errors
/// [`TaskError`].
pub(crate) async fn check(command: &Command, work: &Workbench) -> Result<(), TaskError> {
    match command {
        Command::User(command) => Ok(users::check(work, command).await?),
        _ => Ok(()),
    }
}

/// Carries out a command on a store that is open.
///
/// # Errors
/// [`TaskError`].
pub(crate) async fn perform(
    command: &Command,
    work: &Workbench,
    password: Option<Password>,
    screen: &Screen,
    stopping: watch::Receiver<bool>,
) -> Result<(), TaskError> {
    let said = match command {
        Command::User(command) => users::execute(work, command, password, screen).await?,
        Command::Audit {
            username,
            kind,
            since,
            limit,
        } => {
            let wanted = Wanted {
                kind: *kind,
                since: *since,
                limit: *limit,
            };
            return Ok(audit::run(work, username.as_ref(), wanted, screen).await?);
        }
        Command::Purge => purge::run(work, screen, &stopping).await?,
        Command::Epoch(command) => epoch::execute(&work.store, *command).await?,
        Command::Doctor {
            quick,
            accept_storage,
        } => {
            let report = doctor::run(work, *quick, *accept_storage, screen, &stopping).await?;
            screen.show(Shown::Text(report.said)).await?;
            let mut misplaced = 0;
            if let Some((said, findings)) = shards::examine(&work.config).await? {
                screen.show(Shown::Text(said)).await?;
                misplaced = findings;
            }
            return match (report.losses, misplaced, report.is_whole) {
                (0, 0, true) => Ok(()),
                (0, 0, false) => Err(TaskError::Unfinished),
                (0, misplaced, _) => Err(TaskError::Misplaced(misplaced)),
                (losses, ..) => Err(TaskError::Losses(losses)),
            };
        }
        Command::Export { user, .. } => return Ok(export::run(&work.store, user, screen, stopping).await?),
        Command::LogLevel { level } => telemetry::level(level.as_ref()),
        Command::Config { running: true, .. } => work.shown_config.clone().unwrap_or_default(),
        _ => return Err(TaskError::NoTask),
    };
    Ok(screen.show(Shown::Text(said)).await?)
}
