//! Commands beside a running server. It has the embedded store to itself, so whoever gives the command sends it there, through
//! `mosaic.sock` in the data folder, and the server carries it out on the store that it has open.
//!
//! One command for each connection. The request is one line of JSON; what the command shows comes back as lines of JSON, and how
//! it ended is the last one. Whoever sent it and wants it to stop closes the half that they write.

mod caller;
mod listener;

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use crate::config::DatabaseUrl;
use crate::screen::Shown;

pub(crate) use self::caller::{Answer, CallError, Connection};
pub(crate) use self::listener::ControlSocket;

/// The longest request, in bytes: the arguments of a command, and a password.
const LONGEST_REQUEST: u64 = 64 * 1024;
/// The longest reply, in bytes: a piece of an export is the largest thing that is sent.
const LONGEST_REPLY: u64 = 64 * 1024 * 1024;
/// How long the other side may take to take a line.
const WRITE_TIMEOUT: Duration = Duration::from_mins(1);

/// Where a server with this data folder hears commands.
fn socket_in(data_dir: &Path) -> PathBuf {
    data_dir.join("mosaic.sock")
}

/// A command for the server. Has no `Debug`: there may be a password in it.
#[derive(Serialize, Deserialize)]
struct Request {
    /// The version of whoever asks.
    version: String,
    /// The database that it is for; `None`: whichever the server has.
    database: Option<String>,
    /// The arguments of the command line.
    args: Vec<String>,
    /// What is to be done about them.
    step: Step,
    /// The password that was typed.
    password: Option<String>,
}

/// What is to be done about a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Step {
    /// Say whether it could be done, before a person is asked anything.
    Check,
    /// Do it.
    Perform,
}

/// What the server answers.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Reply {
    /// What the command shows.
    Shown(Shown),
    /// The command has ended, well or with an error and an exit code.
    Ended(Result<(), Failure>),
    /// The server has another database.
    Elsewhere,
}

/// How a command failed.
#[derive(Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("{said}")]
pub(crate) struct Failure {
    /// Why, in full.
    pub(crate) said: String,
    /// The exit code.
    pub(crate) code: u8,
}

/// The name of a database that two processes compare, wherever each was started.
fn name_of(database: &DatabaseUrl) -> String {
    match database {
        DatabaseUrl::SqliteFile(path) => {
            let path = path.canonicalize().unwrap_or_else(|_| path.clone());
            DatabaseUrl::SqliteFile(path).to_string()
        }
        other => other.to_string(),
    }
}

/// The next line, of so many bytes at most; `None` where the other side has no more to say.
async fn receive<T: DeserializeOwned>(
    from: &mut (impl AsyncBufRead + Unpin),
    longest: u64,
) -> io::Result<Option<T>> {
    let mut line = Vec::new();
    let read = from.take(longest).read_until(b'\n', &mut line).await?;
    match line.pop() {
        None => Ok(None),
        Some(b'\n') => Ok(Some(serde_json::from_slice(&line)?)),
        Some(_) if read as u64 == longest => Err(io::Error::other("the line is too long")),
        Some(_) => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

async fn send(to: &mut (impl AsyncWrite + Unpin), value: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    tokio::time::timeout(WRITE_TIMEOUT, to.write_all(&line)).await?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lines_arrive_whole_or_not_at_all() {
        let mut wire = Vec::new();
        let piece = Shown::Piece("{\"record\":1}\n".into());
        send(&mut wire, &piece).await.unwrap();
        let text = std::str::from_utf8(&wire).unwrap();
        assert_eq!(text.lines().count(), 1, "a line in a line is escaped");
        let half = &wire[..wire.len() - 1];
        assert!(receive::<Shown>(&mut &half[..], 100).await.is_err());
        assert!(
            receive::<Shown>(&mut &wire[..], wire.len() as u64 - 1)
                .await
                .is_err()
        );
        let mut all = &wire[..];
        let exact = wire.len() as u64;
        assert_eq!(receive::<Shown>(&mut all, exact).await.unwrap(), Some(piece));
        assert_eq!(receive::<Shown>(&mut all, exact).await.unwrap(), None);
    }
}
