//! `mosaic export`: everything of one user as a file of lines of JSON.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::pin::pin;

use futures_util::TryStreamExt;
use mosaic_application::AppError;
use mosaic_application::export::skipped;
use mosaic_domain::UserId;
use mosaic_domain::account::Username;
use mosaic_domain::activity::Doer;
use mosaic_ports::StoreError;
use tokio::sync::watch;

use crate::atomic_file::AtomicFile;
use crate::drawing;
use crate::screen::{Screen, Shown, Unseen};
use crate::wiring::{self, OpenStore};
use crate::words::counted;

/// Why there is no export.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ExportError {
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
    /// Somebody wanted the command to end.
    #[error("stopped before the export was complete")]
    Stopped,
    /// Nobody looks any more.
    #[error(transparent)]
    Unseen(#[from] Unseen),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The export failed.
    #[error(transparent)]
    Export(AppError),
}

/// Where an export goes, and what has gone there.
pub(crate) struct Sheet {
    username: Username,
    target: Target,
    lines: u64,
    /// How many records and revisions can't be read.
    pub(crate) unreadable: u64,
}

enum Target {
    File(PathBuf, AtomicFile),
    Output,
}

impl Sheet {
    /// Begins a file, which must not be there yet; `None`: it goes to standard output.
    ///
    /// # Errors
    /// [`ExportError::Exists`], [`ExportError::File`].
    pub(crate) fn open(username: &Username, output: Option<&Path>) -> Result<Self, ExportError> {
        let target = match output {
            None => Target::Output,
            Some(path) if path.symlink_metadata().is_ok() => {
                return Err(ExportError::Exists(path.to_owned()));
            }
            Some(path) => Target::File(path.to_owned(), AtomicFile::of(path).map_err(of_file(path))?),
        };
        Ok(Self {
            username: username.clone(),
            target,
            lines: 0,
            unreadable: 0,
        })
    }

    /// Writes some lines. Says whether somebody reads them.
    ///
    /// # Errors
    /// [`ExportError::File`], [`ExportError::Output`].
    pub(crate) fn write(&mut self, lines: &str) -> Result<bool, ExportError> {
        self.unreadable += skipped(lines);
        self.lines += lines_in(lines);
        match &mut self.target {
            Target::File(path, draft) => {
                draft.write_all(lines.as_bytes()).map_err(of_file(path))?;
                Ok(true)
            }
            Target::Output => drawing::print(lines).map_err(ExportError::Output),
        }
    }

    /// Whether it goes to standard output.
    pub(crate) fn is_output(&self) -> bool {
        matches!(self.target, Target::Output)
    }

    /// Nothing is missing: a file gets its name. Returns what to print, which is nothing where standard output has the
    /// export itself. One that is not finished leaves no file.
    ///
    /// # Errors
    /// [`ExportError::File`].
    pub(crate) fn finish(self) -> Result<String, ExportError> {
        let Target::File(path, draft) = self.target else {
            return Ok(String::new());
        };
        draft.put().map_err(of_file(&path))?;
        let (name, path, lines) = (self.username, path.display(), counted(self.lines, "line"));
        Ok(format!("Exported {name} to {path}: {lines}.\n"))
    }
}

fn of_file(path: &Path) -> impl FnOnce(io::Error) -> ExportError {
    let path = path.to_owned();
    move |source| match source.kind() {
        io::ErrorKind::AlreadyExists => ExportError::Exists(path),
        _ => ExportError::File { path, source },
    }
}

fn lines_in(text: &str) -> u64 {
    text.bytes().filter(|byte| *byte == b'\n').count() as u64
}

/// Shows an export, piece by piece.
///
/// # Errors
/// [`ExportError`].
pub(crate) async fn run(
    store: &OpenStore,
    username: &Username,
    screen: &Screen,
    mut stopping: watch::Receiver<bool>,
) -> Result<(), ExportError> {
    let stopped = async {
        // Where nobody could say so, nobody does.
        if stopping.wait_for(|stopping| *stopping).await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        () = stopped => Err(ExportError::Stopped),
        done = export(store, username, screen) => done,
    }
}

async fn export(store: &OpenStore, username: &Username, screen: &Screen) -> Result<(), ExportError> {
    let account = store.ports.accounts.by_name(username).await?;
    let Some(account) = account else {
        return Err(ExportError::NoSuchUser(username.clone()));
    };
    let user: UserId = account.user.id;
    let loaded = store.ports.dump_reader.loaded(user).await?;
    let mut gauge = screen.gauge("exporting", loaded.records + loaded.revisions + 2);
    let mut pieces = pin!(wiring::export(&store.ports).run(user, Doer::CommandLine));
    let mut lines = 0;
    while let Some(piece) = pieces.try_next().await.map_err(ExportError::Export)? {
        lines += lines_in(&piece);
        screen.show(Shown::Piece(piece)).await?;
        gauge.at(lines, counted(lines, "line"));
    }
    Ok(())
}
