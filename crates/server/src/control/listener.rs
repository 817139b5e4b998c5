//! The server's side: hears commands and carries them out.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use mosaic_domain::account::Password;
use tokio::io::{AsyncReadExt as _, BufReader};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use super::{Failure, LONGEST_REQUEST, Reply, Request, Step, name_of, receive, send, socket_in};
use crate::cli::{self, Invocation};
use crate::config::{LogConfig, ServerConfig};
use crate::listen::SocketFile;
use crate::screen::Screen;
use crate::tasks::{self, TaskError, Workbench};

/// The most commands at the same time.
const MOST_COMMANDS: usize = 8;
/// How long a command may take to arrive.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// After an error of the machine, such as too many open files, nobody is heard for so long.
const PAUSE: Duration = Duration::from_millis(100);

/// Where a server hears commands. Close it before the store.
#[derive(Debug)]
pub(crate) struct ControlSocket {
    file: SocketFile,
    stop: watch::Sender<bool>,
    serving: JoinHandle<()>,
}

impl ControlSocket {
    /// Hears commands from now on. A server that can't says so in its log, and goes on.
    pub(crate) fn open(work: Workbench) -> Option<Self> {
        let path = socket_in(&work.config.server.data_dir);
        let (listener, file) = match bind(&path) {
            Ok(bound) => bound,
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(path = %path.display(), error, "commands can not be heard while the server runs");
                return None;
            }
        };
        let (stop, stopping) = watch::channel(false);
        let serving = tokio::spawn(serve(listener, Arc::new(work), stopping));
        Some(Self { file, stop, serving })
    }

    /// Hears no more. Commands that can stop do so; the others are carried out, unless that takes longer than `limit`.
    pub(crate) async fn close(mut self, limit: Duration) {
        // First, so that nobody finds a socket at which nobody answers.
        drop(self.file);
        self.stop.send_replace(true);
        if tokio::time::timeout(limit, &mut self.serving).await.is_err() {
            tracing::warn!("a command did not end in time, and is broken off");
            self.serving.abort();
        }
    }
}

fn bind(path: &Path) -> io::Result<(UnixListener, SocketFile)> {
    let (listener, file) = SocketFile::bind(path, 0o600)?;
    listener.set_nonblocking(true)?;
    mosaic_adapter_sqlite::belong_to_folder(path);
    Ok((UnixListener::from_std(listener)?, file))
}

async fn serve(listener: UnixListener, work: Arc<Workbench>, mut stopping: watch::Receiver<bool>) {
    let mut commands = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            _ = stopping.wait_for(|stopping| *stopping) => break,
            accepted = listener.accept(), if commands.len() < MOST_COMMANDS => accepted,
            Some(_) = commands.join_next() => continue,
        };
        match accepted {
            Ok((stream, _)) => {
                let work = Arc::clone(&work);
                commands.spawn(attend(work, stream, stopping.clone()));
            }
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
    drop(listener);
    while commands.join_next().await.is_some() {}
}

/// Whether the other side runs as the user of the server, or as root. The mode of the file says so too, where the machine keeps it.
fn is_ours(stream: &UnixStream) -> bool {
    let ours = rustix::process::geteuid().as_raw();
    stream.peer_cred().is_ok_and(|peer| may_command(peer.uid(), ours))
}

/// What somebody else is told.
fn stranger() -> Failure {
    tracing::warn!("a command of another user of this machine was refused");
    Failure {
        said: "the server hears commands of the user that it runs as, and of root".to_owned(),
        code: 1,
    }
}

fn may_command(user: u32, ours: u32) -> bool {
    user == ours || user == 0
}

/// Carries out the one command of a connection. Whoever is not there any more is not told how it ended.
async fn attend(work: Arc<Workbench>, stream: UnixStream, server_stops: watch::Receiver<bool>) {
    let is_ours = is_ours(&stream);
    let (reader, mut writer) = stream.into_split();
    if !is_ours {
        let _ = send(&mut writer, &Reply::Ended(Err(stranger()))).await;
        return;
    }
    let mut reader = BufReader::new(reader);
    let Some(request) = heard(&mut reader, server_stops.clone()).await else {
        return;
    };
    let other = request.database.as_ref();
    let reply = if other.is_some_and(|other| *other != name_of(&work.config.database)) {
        Reply::Elsewhere
    } else {
        let (stop, stopping) = watch::channel(false);
        let carried_out = carry_out(&work, request, &mut writer, stopping);
        tokio::select! {
            ended = carried_out => Reply::Ended(ended),
            () = stop_when_due(&mut reader, server_stops, &stop) => return,
        }
    };
    let _ = send(&mut writer, &reply).await;
}

/// What somebody asks for, unless that takes too long, or the server stops.
async fn heard(
    reader: &mut BufReader<OwnedReadHalf>,
    mut server_stops: watch::Receiver<bool>,
) -> Option<Request> {
    tokio::select! {
        heard = tokio::time::timeout(REQUEST_TIMEOUT, receive(reader, LONGEST_REQUEST)) => heard.ok()?.ok()?,
        _ = server_stops.wait_for(|stops| *stops) => None,
    }
}

/// Has the command stop when whoever sent it, or the server, wants that. Goes on for ever: the command ends it.
async fn stop_when_due(
    reader: &mut BufReader<OwnedReadHalf>,
    mut server_stops: watch::Receiver<bool>,
    stop: &watch::Sender<bool>,
) {
    tokio::select! {
        _ = reader.read_u8() => {}
        _ = server_stops.wait_for(|stops| *stops) => {}
    }
    stop.send_replace(true);
    std::future::pending::<()>().await;
}

async fn carry_out(
    work: &Workbench,
    request: Request,
    writer: &mut OwnedWriteHalf,
    stopping: watch::Receiver<bool>,
) -> Result<(), Failure> {
    let (screen, mut shown) = Screen::new();
    let performing = perform(work, request, screen, stopping);
    let writing = async {
        while let Some(shown) = shown.recv().await {
            if send(writer, &Reply::Shown(shown)).await.is_err() {
                break;
            }
        }
        // So that the command learns that nobody looks.
        drop(shown);
    };
    let (ended, ()) = tokio::join!(performing, writing);
    ended.map_err(|error| Failure {
        code: error.exit_code(),
        said: crate::commands::in_full(&error),
    })
}

async fn perform(
    work: &Workbench,
    request: Request,
    screen: Screen,
    stopping: watch::Receiver<bool>,
) -> Result<(), TaskError> {
    let Request {
        version,
        args,
        step,
        password,
        ..
    } = request;
    let args = std::iter::once("mosaic".to_owned()).chain(args);
    let Ok(Invocation { command, flags, .. }) = cli::parse(args) else {
        return Err(TaskError::OtherVersion(version));
    };
    refuse_settings(flags.keys().copied())?;
    let password = password.map(Password::chosen).transpose();
    let password = password.map_err(TaskError::Password)?;
    tracing::info!(?command, ?step, "a command beside the server");
    match step {
        Step::Check => tasks::check(&command, work).await,
        Step::Perform => tasks::perform(&command, work, password, &screen, stopping).await,
    }
}

/// The server has its own settings. What only finds it, and what is said of whoever asks, may be given.
fn refuse_settings<'a>(mut given: impl Iterator<Item = &'a str>) -> Result<(), TaskError> {
    let allowed = [
        ServerConfig::data_dir.key,
        ServerConfig::database_url.key,
        LogConfig::level.key,
        LogConfig::format.key,
    ];
    match given.find(|key| !allowed.contains(key)) {
        Some(key) => Err(TaskError::Setting(key.to_owned())),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_user_of_the_server_and_root_give_commands() {
        for (user, ours, may) in [(7, 7, true), (0, 7, true), (7, 0, false), (8, 7, false)] {
            assert_eq!(may_command(user, ours), may, "{user} {ours}");
        }
    }
}
