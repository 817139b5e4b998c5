//! `mosaic import`: an export goes into an account.
//!
//! The file is read from its first to its last line before anything of it is imported, and then once for each pass. Only a
//! batch of it is ever in memory.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek};
use std::path::{Path, PathBuf};

use mosaic_adapter_system::SystemClock;
use mosaic_application::export::{Check, Import, ImportError, Imported, Manifest, Pass};
use mosaic_domain::UserId;
use mosaic_domain::account::Username;
use mosaic_domain::activity::{ActivityKind, Doer};
use mosaic_ports::{Clock as _, StoreError};

use crate::config::Config;
use crate::progress::Meter;
use crate::wiring::{self, OpenStore, WiringError};
use crate::words::counted;

/// What to do where a server has the embedded store.
const IN_USE: &str = "Stop the server first";
/// The longest line that is read, in bytes: more than any that an export has.
const LONGEST_LINE: u64 = 64 * 1024 * 1024;
/// After how many lines the meter moves.
const SHOW_EVERY: u64 = 128;

/// Why a file was not imported, or not all of it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ImportCommandError {
    /// The store can't be opened.
    #[error(transparent)]
    Wiring(#[from] WiringError),
    /// There is no such account.
    #[error("there is no user {0}. Make the account with `mosaic user add {0}`")]
    NoSuchUser(Username),
    /// The file can't be read.
    #[error("{}: can not be read: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is a pipe or a folder.
    #[error("{}: is no file, and can't be read several times", .0.display())]
    NoFile(PathBuf),
    /// The file is not what it should be. Nothing was imported.
    #[error("{}: {source}. Nothing was imported", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: ImportError,
    },
    /// It was broken off.
    #[error("{0}. What was imported until then stays; the same command goes on")]
    BrokenOff(ImportError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What an import came to.
#[derive(Debug)]
pub(crate) struct Report {
    /// What to print.
    pub(crate) said: String,
    /// How many edits were refused.
    pub(crate) refused: u64,
}

/// A file that is read line by line, several times.
struct Lines {
    path: PathBuf,
    file: BufReader<File>,
    bytes: u64,
    /// How much has been read, since it was opened.
    read: u64,
    buffer: Vec<u8>,
    line: u64,
}

/// A line of a file.
struct FileLine<'a> {
    text: &'a str,
    /// Whether it ends with a line feed; only the last one of a file may not.
    ended: bool,
}

impl Lines {
    fn open(path: &Path) -> Result<Self, ImportCommandError> {
        let failed = |source| ImportCommandError::File {
            path: path.to_owned(),
            source,
        };
        let file = File::open(path).map_err(failed)?;
        let found = file.metadata().map_err(failed)?;
        if !found.is_file() {
            return Err(ImportCommandError::NoFile(path.to_owned()));
        }
        Ok(Self {
            path: path.to_owned(),
            file: BufReader::with_capacity(256 * 1024, file),
            bytes: found.len(),
            read: 0,
            buffer: Vec::new(),
            line: 0,
        })
    }

    fn rewind(&mut self) -> Result<(), ImportCommandError> {
        self.line = 0;
        self.file.rewind().map_err(|source| self.failed(source))
    }

    /// The next line, without its line feed.
    fn next(&mut self) -> Result<Option<FileLine<'_>>, ImportCommandError> {
        self.buffer.clear();
        self.line += 1;
        let mut limited = (&mut self.file).take(LONGEST_LINE);
        let read = match limited.read_until(b'\n', &mut self.buffer) {
            Ok(0) => return Ok(None),
            Ok(read) => read as u64,
            Err(source) => return Err(self.failed(source)),
        };
        self.read += read;
        let ended = self.buffer.pop_if(|last| *last == b'\n').is_some();
        if !ended && read == LONGEST_LINE {
            return Err(self.unreadable("it is longer than any line of an export"));
        }
        match std::str::from_utf8(&self.buffer) {
            Ok(text) => Ok(Some(FileLine { text, ended })),
            Err(_) => Err(self.unreadable("it is not UTF-8")),
        }
    }

    fn failed(&self, source: io::Error) -> ImportCommandError {
        ImportCommandError::File {
            path: self.path.clone(),
            source,
        }
    }

    fn unreadable(&self, why: &str) -> ImportCommandError {
        // What is no text at its very beginning is some other file.
        let source = match self.line {
            1 => ImportError::Foreign(format!("line 1 can not be read: {why}")),
            line => ImportError::Line {
                line,
                why: why.to_owned(),
            },
        };
        self.unusable(source)
    }

    fn unusable(&self, source: ImportError) -> ImportCommandError {
        ImportCommandError::Unusable {
            path: self.path.clone(),
            source,
        }
    }
}

/// Imports a file; returns what to print.
pub(crate) async fn run(
    config: &Config,
    username: &Username,
    file: &Path,
) -> Result<Report, ImportCommandError> {
    // Before the store is opened, which keeps others out of it.
    let mut lines = Lines::open(file)?;
    let manifest = check(&mut lines)?;
    let store = OpenStore::existing(config, IN_USE).await?;
    let done = import_into(&store, username, &mut lines).await;
    store.close().await;
    Ok(report(username, &manifest, done?))
}

/// Reads the whole file.
fn check(lines: &mut Lines) -> Result<Manifest, ImportCommandError> {
    let mut meter = Meter::of("checking", lines.bytes);
    let mut check = Check::at(SystemClock.now());
    let checked = loop {
        let Some(FileLine { text, ended }) = lines.next()? else {
            break check.finish();
        };
        match check.line(text) {
            // The half of a line, where the file ends.
            Err(ImportError::Line { .. }) if !ended => break Err(ImportError::CutShort),
            Err(error) => break Err(error),
            Ok(()) => {}
        }
        if lines.line.is_multiple_of(SHOW_EVERY) {
            meter.at(lines.read, format!("line {}", lines.line));
        }
    };
    checked.map_err(|source| lines.unusable(source))
}

async fn import_into(
    store: &OpenStore,
    username: &Username,
    lines: &mut Lines,
) -> Result<Imported, ImportCommandError> {
    let account = store.ports.accounts.by_name(username).await?;
    let Some(account) = account else {
        return Err(ImportCommandError::NoSuchUser(username.clone()));
    };
    let user: UserId = account.user.id;
    let (kind, by) = (ActivityKind::Imported, Doer::CommandLine);
    wiring::trail(&store.ports).note(user, kind, by, None).await;
    let mut import = Import::new(store.ports.write.clone(), user);
    let passes: Vec<Pass> = Pass::all().collect();
    let mut meter = Meter::of("importing", lines.bytes * passes.len() as u64);
    lines.read = 0;
    for (pass, number) in passes.iter().zip(1..) {
        lines.rewind()?;
        import.begin(*pass).await.map_err(ImportCommandError::BrokenOff)?;
        while let Some(FileLine { text, .. }) = lines.next()? {
            import.line(text).await.map_err(ImportCommandError::BrokenOff)?;
            if lines.line.is_multiple_of(SHOW_EVERY) {
                meter.at(lines.read, format!("pass {number} of {}", passes.len()));
            }
        }
    }
    let imported = import.finish().await.map_err(ImportCommandError::BrokenOff)?;
    store.ports.dump_writer.refresh_statistics().await?;
    Ok(imported)
}

fn report(username: &Username, manifest: &Manifest, done: Imported) -> Report {
    let Imported {
        applied,
        unchanged,
        superseded,
        refused,
    } = done;
    Report {
        said: format!(
            "Read the export of {}: {}, {}.\n\
             Into {username}: {applied} applied, {unchanged} unchanged, {superseded} superseded, {refused} refused.\n",
            manifest.username,
            counted(manifest.records, "record"),
            counted(manifest.revisions, "revision")
        ),
        refused,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines_of(bytes: &[u8]) -> (tempfile::TempDir, Lines) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("export.jsonl");
        std::fs::write(&path, bytes).unwrap();
        let lines = Lines::open(&path).unwrap();
        (folder, lines)
    }

    fn read(lines: &mut Lines) -> Vec<(String, bool)> {
        let mut all = Vec::new();
        while let Some(line) = lines.next().unwrap() {
            all.push((line.text.to_owned(), line.ended));
        }
        all
    }

    #[test]
    fn lines_are_read_again_and_again() {
        let (_folder, mut lines) = lines_of("one\n\n日本\r\nlast".as_bytes());
        let expected = [("one", true), ("", true), ("日本\r", true), ("last", false)];
        let expected = expected.map(|(text, ended)| (text.to_owned(), ended));
        assert_eq!(read(&mut lines), expected);
        lines.rewind().unwrap();
        assert_eq!(read(&mut lines), expected);
        assert_eq!(lines.read, 2 * lines.bytes);
    }

    #[test]
    fn bytes_that_are_no_text_are_refused_with_their_line() {
        let (_folder, mut lines) = lines_of(b"one\n\xff\n");
        lines.next().unwrap();
        let error = lines.next().err().unwrap().to_string();
        assert!(error.contains("line 2") && error.contains("UTF-8"), "{error}");
        let (_folder, mut lines) = lines_of(b"\x1f\x8b\x08");
        let error = lines.next().err().unwrap().to_string();
        assert!(error.contains("no export") && error.contains("UTF-8"), "{error}");
    }

    #[test]
    fn a_folder_is_no_file() {
        let folder = tempfile::tempdir().unwrap();
        let error = Lines::open(folder.path()).err().unwrap().to_string();
        assert!(error.contains("is no file"), "{error}");
    }

    #[test]
    fn a_file_that_ends_within_a_line_was_cut_short() {
        let header = r#"{"header":{"format":"mosaic-export","version":1,"username":"anna","avatarUrl":null,"epoch":"e","exportedAt":1}}"#;
        for rest in ["", "\n", "\n{\"record\":{\"enti"] {
            let (_folder, mut lines) = lines_of(format!("{header}{rest}").as_bytes());
            let error = check(&mut lines).unwrap_err().to_string();
            assert!(error.contains("cut short"), "{rest:?}: {error}");
        }
        let newer = header.replace("\"version\":1", "\"version\":2");
        let (_folder, mut lines) = lines_of(newer.as_bytes());
        let error = check(&mut lines).unwrap_err().to_string();
        assert!(error.contains("version 2"), "{error}");
    }
}
