//! `mosaic export`: everything of one user as a file of lines of JSON.

use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::pin::pin;

use futures_util::TryStreamExt;
use mosaic_application::AppError;
use mosaic_application::export::skipped;
use mosaic_domain::UserId;
use mosaic_domain::account::Username;
use mosaic_ports::StoreError;

use crate::atomic_file::AtomicFile;
use crate::config::Config;
use crate::done::Done;
use crate::progress::Meter;
use crate::signals::StopSignals;
use crate::wiring::{self, OpenStore, WiringError};
use crate::words::counted;

/// What to do where a server has the embedded store.
const IN_USE: &str = "Stop the server, or let the user fetch `GET /account/export` from it while it runs";

/// Why there is no export.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ExportError {
    /// The store can't be opened.
    #[error(transparent)]
    Wiring(#[from] WiringError),
    /// There is no such account.
    #[error("there is no user {0}")]
    NoSuchUser(Username),
    /// The file is there already.
    #[error("{}: exists already, and is not overwritten", .0.display())]
    Exists(PathBuf),
    /// The file can't be written.
    #[error("{}: can not be written: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Standard output can't be written.
    #[error("can not write to standard output: {0}")]
    Output(io::Error),
    /// Signals can't be heard.
    #[error("signals can not be heard: {0}")]
    Signals(io::Error),
    /// Somebody wanted the command to end.
    #[error("{0}: stopped before the export was complete")]
    Stopped(&'static str),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The export failed.
    #[error(transparent)]
    Export(AppError),
}

/// Where an export goes.
enum Target {
    File(PathBuf, AtomicFile),
    Output,
}

impl Target {
    /// What is there already is not touched.
    fn open(output: Option<&Path>) -> Result<Self, ExportError> {
        let Some(path) = output else {
            return Ok(Self::Output);
        };
        if path.symlink_metadata().is_ok() {
            return Err(ExportError::Exists(path.to_owned()));
        }
        let draft = AtomicFile::of(path).map_err(of_file(path))?;
        Ok(Self::File(path.to_owned(), draft))
    }

    fn write(&mut self, text: &str) -> Result<(), ExportError> {
        match self {
            Self::File(path, draft) => draft.write_all(text.as_bytes()).map_err(of_file(path)),
            Self::Output => io::stdout()
                .lock()
                .write_all(text.as_bytes())
                .map_err(ExportError::Output),
        }
    }

    fn finish(self) -> Result<(), ExportError> {
        match self {
            Self::File(path, draft) => draft.put().map_err(of_file(&path)),
            Self::Output => io::stdout().lock().flush().map_err(ExportError::Output),
        }
    }

    /// Whether a bar on stderr would get between the lines.
    fn is_terminal(&self) -> bool {
        matches!(self, Self::Output) && io::stdout().is_terminal()
    }
}

fn of_file(path: &Path) -> impl FnOnce(io::Error) -> ExportError {
    let path = path.to_owned();
    move |source| match source.kind() {
        io::ErrorKind::AlreadyExists => ExportError::Exists(path),
        _ => ExportError::File { path, source },
    }
}

/// Writes an export; returns what to print after it, which is nothing where standard output has the export itself.
pub(crate) async fn run(
    config: &Config,
    username: &Username,
    output: Option<&Path>,
) -> Result<Done, ExportError> {
    let mut signals = StopSignals::listen().map_err(ExportError::Signals)?;
    let target = Target::open(output)?;
    let store = OpenStore::existing(config, IN_USE).await?;
    let done = tokio::select! {
        // An export that is given up leaves no file.
        name = signals.received() => Err(ExportError::Stopped(name)),
        done = export(&store, username, target) => done,
    };
    store.close().await;
    let (lines, unreadable) = done?;
    let said = output.map_or_else(String::new, |path| {
        format!(
            "Exported {username} to {}: {}.\n",
            path.display(),
            counted(lines, "line")
        )
    });
    Ok(Done { said, unreadable })
}

/// Says how many lines were written, and how much can't be read.
async fn export(
    store: &OpenStore,
    username: &Username,
    mut target: Target,
) -> Result<(u64, u64), ExportError> {
    let account = store.ports.accounts.by_name(username).await?;
    let Some(account) = account else {
        return Err(ExportError::NoSuchUser(username.clone()));
    };
    let user: UserId = account.user.id;
    let loaded = store.ports.dump_reader.loaded(user).await?;
    let mut meter =
        (!target.is_terminal()).then(|| Meter::of("exporting", loaded.records + loaded.revisions + 2));
    let mut chunks = pin!(wiring::export(&store.ports).run(user));
    let (mut lines, mut unreadable) = (0, 0);
    while let Some(chunk) = chunks.try_next().await.map_err(ExportError::Export)? {
        target.write(&chunk)?;
        unreadable += skipped(&chunk);
        lines += chunk.bytes().filter(|byte| *byte == b'\n').count() as u64;
        if let Some(meter) = &mut meter {
            meter.at(lines, counted(lines, "line"));
        }
    }
    target.finish()?;
    Ok((lines, unreadable))
}
