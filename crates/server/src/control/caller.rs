//! The side of the command line: sends a command to the server, and hears what it shows.

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;

use mosaic_domain::account::Password;
use tokio::io::{AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::OwnedReadHalf;
use tokio::sync::watch;

use super::{Failure, LONGEST_REPLY, Reply, Request, Step, name_of, receive, send, socket_in};
use crate::config::{Config, DatabaseUrl};
use crate::screen::{Screen, Unseen};

/// Why a running server did not carry out a command.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    /// Only the user of the server, and root, may give commands.
    #[error("{}: permission denied. Run the command as the user that the server runs as", .0.display())]
    Denied(PathBuf),
    /// The arguments can't be sent.
    #[error("the arguments are not UTF-8")]
    Arguments,
    /// The connection failed.
    #[error("the running server does not answer: {0}")]
    Connection(#[from] io::Error),
    /// The server went away.
    #[error("the server ended before the command did; its log may say why")]
    CutOff,
    /// Nobody looks at what it shows.
    #[error(transparent)]
    Unseen(#[from] Unseen),
    /// The command failed there.
    #[error(transparent)]
    Failed(#[from] Failure),
}

/// A running server that hears commands.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: UnixStream,
    database: Option<String>,
}

/// How a command ended that was sent.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// It is carried out.
    Done,
    /// The server has another database: it was not for this one.
    Elsewhere,
}

impl Connection {
    /// The server that has the embedded store of this configuration. `None` where none answers in its data folder, and where
    /// the store is PostgreSQL, which takes any number of processes.
    ///
    /// # Errors
    /// [`CallError::Denied`].
    pub(crate) async fn to_store(config: &Config) -> Result<Option<Self>, CallError> {
        match &config.database {
            DatabaseUrl::Postgres(_) => Ok(None),
            database => {
                let database = Some(name_of(database));
                let stream = connect(config).await?;
                Ok(stream.map(|stream| Self { stream, database }))
            }
        }
    }

    /// The server that has the data folder of this configuration, whichever its store.
    ///
    /// # Errors
    /// [`CallError::Denied`].
    pub(crate) async fn to_server(config: &Config) -> Result<Option<Self>, CallError> {
        let stream = connect(config).await?;
        Ok(stream.map(|stream| Self {
            stream,
            database: None,
        }))
    }

    /// Has the server carry out a command, or look whether it could. What it shows appears on the screen.
    ///
    /// # Errors
    /// [`CallError`].
    pub(crate) async fn call(
        self,
        args: &[OsString],
        step: Step,
        password: Option<&Password>,
        screen: &Screen,
        mut stopping: watch::Receiver<bool>,
    ) -> Result<Answer, CallError> {
        let args = args.iter().map(|arg| arg.to_str().map(str::to_owned));
        let request = Request {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            database: self.database,
            args: args.collect::<Option<_>>().ok_or(CallError::Arguments)?,
            step,
            password: password.map(|password| password.expose().to_owned()),
        };
        let (reader, mut writer) = self.stream.into_split();
        let reader = BufReader::new(reader);
        if let Err(error) = send(&mut writer, &request).await {
            // Whoever is refused is told at once, perhaps before everything is sent.
            return match answered(reader, screen).await {
                Err(CallError::CutOff | CallError::Connection(_)) => Err(error.into()),
                answer => answer,
            };
        }
        let stopped = async {
            // A command that can't be stopped has nobody who would say so.
            if stopping.wait_for(|stopping| *stopping).await.is_ok() {
                // Where the server is gone, so is the command.
                let _ = writer.shutdown().await;
            }
            std::future::pending().await
        };
        tokio::select! {
            answer = answered(reader, screen) => answer,
            never = stopped => never,
        }
    }
}

async fn answered(mut reader: BufReader<OwnedReadHalf>, screen: &Screen) -> Result<Answer, CallError> {
    loop {
        match receive(&mut reader, LONGEST_REPLY).await? {
            Some(Reply::Shown(shown)) => screen.show(shown).await?,
            Some(Reply::Ended(ended)) => return Ok(ended.map(|()| Answer::Done)?),
            Some(Reply::Elsewhere) => return Ok(Answer::Elsewhere),
            None => return Err(CallError::CutOff),
        }
    }
}

async fn connect(config: &Config) -> Result<Option<UnixStream>, CallError> {
    let path = socket_in(&config.server.data_dir);
    match UnixStream::connect(&path).await {
        Ok(stream) => Ok(Some(stream)),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Err(CallError::Denied(path)),
        // There is no server, or one that was killed.
        Err(_) => Ok(None),
    }
}
