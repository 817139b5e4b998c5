//! Where a command shows what it does. The command itself may run in another process, the server's: what it shows travels as
//! values, and whoever sits before it draws them.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

/// How many things may be shown and not yet drawn. A command waits then.
const WAITING: usize = 8;
/// How often it is said how far a command has come.
const PROGRESS_EVERY: Duration = Duration::from_millis(100);

/// What is shown.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Shown {
    /// Text for standard output.
    Text(String),
    /// A piece of the file that the command writes.
    Piece(String),
    /// How far the command has come.
    Progress(Progress),
}

/// How far a command has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Progress {
    /// What it is doing.
    pub(crate) doing: String,
    /// How much there is to do, in whatever unit; 0 where nobody knows.
    pub(crate) total: u64,
    /// How much of that is done.
    pub(crate) position: u64,
    /// The same as a person would put it.
    pub(crate) said: String,
}

/// Nobody looks any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("nobody is there any more to be shown what the command does")]
pub(crate) struct Unseen;

/// Where a command shows what it does.
#[derive(Debug, Clone)]
pub(crate) struct Screen(mpsc::Sender<Shown>);

impl Screen {
    /// A screen, and what appears on it. Whoever draws drops the latter when nobody looks any more.
    pub(crate) fn new() -> (Self, mpsc::Receiver<Shown>) {
        let (shown, drawn) = mpsc::channel(WAITING);
        (Self(shown), drawn)
    }

    /// Shows something, as soon as what was shown before is drawn.
    ///
    /// # Errors
    /// [`Unseen`].
    pub(crate) async fn show(&self, shown: Shown) -> Result<(), Unseen> {
        self.0.send(shown).await.map_err(|_| Unseen)
    }

    /// Says from now on how far the command has come with `total` of something; 0: nobody knows of how much.
    pub(crate) fn gauge(&self, doing: &str, total: u64) -> Gauge {
        Gauge {
            screen: self.0.clone(),
            progress: Progress {
                doing: doing.to_owned(),
                total,
                position: 0,
                said: String::new(),
            },
            said_at: None,
        }
    }
}

/// Says how far a command has come, and holds it up for nothing.
#[derive(Debug)]
pub(crate) struct Gauge {
    screen: mpsc::Sender<Shown>,
    progress: Progress,
    said_at: Option<Instant>,
}

impl Gauge {
    /// How much there is to do, where that became known.
    pub(crate) fn total(&mut self, total: u64) {
        self.progress.total = total;
    }

    /// So much is done; `said` is how a person would put it.
    pub(crate) fn at(&mut self, position: u64, said: impl Into<String>) {
        if self.said_at.is_some_and(|at| at.elapsed() < PROGRESS_EVERY) {
            return;
        }
        self.said_at = Some(Instant::now());
        self.progress.position = position;
        self.progress.said = said.into();
        // What is not drawn soon would be out of date.
        let _ = self.screen.try_send(Shown::Progress(self.progress.clone()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn progress_holds_nobody_up_and_text_waits_until_it_is_drawn() {
        let (screen, mut drawn) = Screen::new();
        for n in 0..100 {
            screen.gauge("counting", 100).at(n, "");
        }
        assert_eq!(drawn.len(), WAITING);
        let waiting = screen.show(Shown::Text("done".into()));
        let drawing = async {
            let mut last = None;
            while let Some(shown) = drawn.recv().await {
                last = Some(shown);
                if drawn.is_empty() && last == Some(Shown::Text("done".into())) {
                    break;
                }
            }
            last
        };
        let (shown, last) = tokio::join!(waiting, drawing);
        assert_eq!((shown, last), (Ok(()), Some(Shown::Text("done".into()))));
        drop(drawn);
        assert_eq!(screen.show(Shown::Text("unseen".into())).await, Err(Unseen));
    }

    #[test]
    fn a_gauge_tells_no_more_than_can_be_seen() {
        let (screen, mut drawn) = Screen::new();
        let mut gauge = screen.gauge("counting", 3);
        gauge.at(1, "one");
        gauge.at(2, "two");
        let Some(Shown::Progress(Progress { total, position, .. })) = drawn.try_recv().ok() else {
            panic!("nothing was said");
        };
        assert_eq!((total, position), (3, 1));
        assert!(drawn.try_recv().is_err());
    }
}
