//! A diary at the command line: notes, days and files in a folder, synced by Mosaic. It is also an example of an app on
//! [`mosaic_client`].

mod arguments;
mod days;
mod files;
mod notes;
mod syncing;

use std::ffi::OsString;
use std::fs::DirBuilder;
use std::io::{self, Read as _, Write};
use std::path::{Path, PathBuf};

use clap::Parser as _;
use mosaic_client::domain::Violation;
use mosaic_client::{Client, Settings};

use crate::arguments::{Arguments, Command};

/// Text for a terminal: what others wrote may not move its cursor or change its colours, so letters that control it are shown as
/// U+FFFD, but for tabs and line ends.
#[derive(Debug)]
pub struct Plain<W>(pub W);

impl<W: Write> Write for Plain<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let letter = |letter: char| match letter {
            '\n' | '\t' => letter,
            _ if letter.is_control() => char::REPLACEMENT_CHARACTER,
            _ => letter,
        };
        // `writeln!` hands over whole letters.
        let text: String = String::from_utf8_lossy(bytes).chars().map(letter).collect();
        self.0.write_all(text.as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Why a command was not done.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The arguments mean nothing, or ask for help.
    #[error("{0}")]
    Arguments(#[from] clap::Error),
    /// As the client says.
    #[error("{0}")]
    Client(#[from] mosaic_client::Error),
    /// What was typed can't be.
    #[error("{0}")]
    Invalid(#[from] Violation),
    /// The terminal or a file can't be read or written.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// No record, or more than one, has an id that ends like this.
    #[error("{count} of what is here has an id that ends in {id}")]
    NotOne {
        /// What was typed.
        id: String,
        /// How many have.
        count: usize,
    },
    /// A file would be written over.
    #[error("{} is there already: say where else to", .0.display())]
    Exists(PathBuf),
    /// More was typed than anything here may have.
    #[error("standard input has more than {MOST_TYPED} bytes")]
    TooLong,
    /// There is no folder for it.
    #[error("say where the data is: --home, or the variable MOSAIC_HOME")]
    NoHome,
}

/// So much is read from standard input, in bytes: the longest text, and white space behind it.
const MOST_TYPED: u64 = 2 * 1024 * 1024;

/// The variables of the process, by name.
type Variables<'a> = &'a (dyn Fn(&str) -> Option<OsString> + Sync);

/// Does what the arguments say, the first of which is the program's name, and writes what there is to say.
///
/// # Errors
/// [`Failure`].
pub async fn run<W: Write + Send>(
    arguments: impl IntoIterator<Item = impl Into<OsString> + Clone>,
    variables: Variables<'_>,
    out: &mut W,
) -> Result<(), Failure> {
    let Arguments { home, command } = Arguments::try_parse_from(arguments)?;
    let home = home.or_else(|| default_home(variables)).ok_or(Failure::NoHome)?;
    make_private(&home)?;
    let client = Client::open(&home.join("diary.db"), Settings::default())?;
    let zone = days::zone(variables);
    let out = &mut Plain(out);
    match command {
        Command::Login {
            server,
            username,
            device,
        } => syncing::log_in(&client, &server, &username, device.as_deref(), variables, out).await,
        Command::Logout => Ok(client.logout().await?),
        Command::Password => syncing::change_password(&client, variables, out).await,
        Command::Note { text, tags, day } => notes::note(&client, &typed(&text)?, tags, day, out),
        Command::Edit { id, text } => notes::edit(&client, &id, &typed(&text)?),
        Command::Rm { id } => notes::remove(&client, &id),
        Command::Show { id } => notes::show(&client, &id, out),
        Command::Ls { what } => notes::list(&client, what, &zone, out),
        Command::Search { query } => notes::search(&client, &query.join(" "), &zone, out),
        Command::Diary {
            day,
            mood,
            score,
            text,
        } => days::diary(&client, day, mood, score, &text.join(" "), &zone, out),
        Command::Attach { file, to } => files::attach(&client, &file, to.as_deref(), out),
        Command::Get { id, to } => files::get(&client, &id, to, out).await,
        Command::Sync => syncing::sync(&client, out).await,
        Command::Watch => syncing::watch(&client, out).await,
        Command::Status => syncing::status(&client, out),
    }
}

/// Where a user's data is kept, by the conventions of the desktop.
fn default_home(variables: Variables<'_>) -> Option<PathBuf> {
    let path = |name| {
        variables(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    let data = || path("XDG_DATA_HOME").or_else(|| Some(path("HOME")?.join(".local/share")));
    path("MOSAIC_HOME").or_else(|| Some(data()?.join("mosaic")))
}

/// The tokens of the login are in there: a folder that is made here is its user's alone.
fn make_private(home: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.recursive(true).create(home)
}

/// The words of a text; where there are none, standard input.
fn typed(words: &[String]) -> Result<String, Failure> {
    if !words.is_empty() {
        return Ok(words.join(" "));
    }
    Ok(standard_input(|bytes, input| input.read_to_end(bytes))?
        .trim_end()
        .to_owned())
}

/// What comes from standard input, as far as it is read.
fn standard_input(
    read: impl FnOnce(&mut Vec<u8>, &mut io::Take<io::StdinLock<'_>>) -> io::Result<usize>,
) -> Result<String, Failure> {
    let mut bytes = Vec::new();
    read(&mut bytes, &mut io::stdin().lock().take(MOST_TYPED + 1))?;
    if bytes.len() as u64 > MOST_TYPED {
        return Err(Failure::TooLong);
    }
    String::from_utf8(bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error).into())
}
