//! Draws what a command shows: text on standard output, how far it has come on standard error, an export where it was wanted.

use std::io::{self, ErrorKind, IsTerminal as _, Write as _};

use tokio::sync::mpsc;

use crate::cli::Command;
use crate::export::Sheet;
use crate::progress::Meter;
use crate::screen::{Progress, Shown};
use crate::tasks::TaskError;

/// Draws how far a command has come.
#[derive(Debug, Default)]
pub(crate) struct ProgressDrawing(Option<Meter>);

impl ProgressDrawing {
    /// Moves the meter, which is made with the first.
    pub(crate) fn draw(&mut self, progress: Progress) {
        let Progress {
            doing,
            total,
            position,
            said,
        } = progress;
        let meter = self.0.get_or_insert_with(|| Meter::of(&doing, total));
        meter.begin(&doing);
        meter.total(total);
        meter.at(position, said);
    }

    fn clear(&mut self) {
        self.0 = None;
    }
}

/// What a command has shown so far.
pub(crate) struct Drawing {
    progress: ProgressDrawing,
    /// Where the export goes.
    sheet: Option<Sheet>,
}

impl Drawing {
    /// Nothing yet. A file that is to be written is begun.
    ///
    /// # Errors
    /// It can't be.
    pub(crate) fn of(command: &Command) -> Result<Self, TaskError> {
        let sheet = match command {
            Command::Export { user, output } => Some(Sheet::open(user, output.as_deref())?),
            _ => None,
        };
        Ok(Self {
            progress: ProgressDrawing::default(),
            sheet,
        })
    }

    /// Draws everything, until there is no more or nobody looks.
    pub(crate) async fn draw_all(&mut self, mut shown: mpsc::Receiver<Shown>) -> Result<(), TaskError> {
        while let Some(shown) = shown.recv().await {
            if !self.draw(shown)? {
                break;
            }
        }
        self.progress.clear();
        Ok(())
    }

    /// Says whether somebody looks.
    fn draw(&mut self, shown: Shown) -> Result<bool, TaskError> {
        match shown {
            Shown::Text(text) => {
                self.progress.clear();
                print(&text).map_err(TaskError::Output)
            }
            Shown::Piece(piece) => match &mut self.sheet {
                Some(sheet) => Ok(sheet.write(&piece)?),
                None => Ok(true),
            },
            Shown::Progress(progress) => {
                // A bar would get between the lines.
                let is_between =
                    self.sheet.as_ref().is_some_and(Sheet::is_output) && io::stdout().is_terminal();
                if !is_between {
                    self.progress.draw(progress);
                }
                Ok(true)
            }
        }
    }

    /// The command has ended well.
    ///
    /// # Errors
    /// A file can't be finished, or not everything that belongs into it could be read.
    pub(crate) fn finish(self) -> Result<(), TaskError> {
        let Some(sheet) = self.sheet else { return Ok(()) };
        let unreadable = sheet.unreadable;
        print(&sheet.finish()?).map_err(TaskError::Output)?;
        match unreadable {
            0 => Ok(()),
            unreadable => Err(TaskError::Unreadable(unreadable)),
        }
    }
}

/// Prints text on standard output. Says whether somebody reads it: one that has seen enough (`mosaic config | head`) is no failure.
///
/// # Errors
/// It can't be written.
pub(crate) fn print(text: &str) -> io::Result<bool> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(error),
    }
}
