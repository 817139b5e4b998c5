//! `mosaic purge`: forgets what is older than the retention time, and removes bytes that nobody needs, now. A running server
//! does the same once a day.

use mosaic_application::garbage::GarbageError;
use mosaic_application::retention::{Progress, PurgeOutcome, When};
use mosaic_domain::query::PageNumber;
use tokio::sync::watch;

use crate::daily::go_on_unless;
use crate::screen::Screen;
use crate::tasks::Workbench;
use crate::wiring::{Opening, WiringError, millis};
use crate::words::counted;

/// Why a purge was not done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PurgeError {
    /// The storage of attachments can't be opened.
    #[error(transparent)]
    Wiring(#[from] WiringError),
    /// Another instance does it, or has taken over.
    #[error("another instance is purging this store")]
    Busy,
    /// Somebody wanted the command to end.
    #[error("stopped before it was done: {}. The next purge goes on", totals(.0))]
    Stopped(Progress),
    /// The store or the storage of attachments failed.
    #[error(transparent)]
    Failed(#[from] GarbageError),
}

/// Forgets what is older than the configured time, and removes bytes that nobody needs; returns what to print.
pub(crate) async fn run(
    work: &Workbench,
    screen: &Screen,
    stopping: &watch::Receiver<bool>,
) -> Result<String, PurgeError> {
    let storage = work.storage(Opening::Existing).await;
    let storage = storage.map_err(WiringError::from)?;
    let users = work.store.ports.accounts.list(PageNumber::EVERYTHING).await;
    let mut gauge = screen.gauge("purging", users.map_err(GarbageError::from)?.total);
    let tell = |progress: Progress| {
        gauge.at(progress.users, totals(&progress));
        go_on_unless(stopping)
    };
    let retention = work.config.retention.map(millis);
    let purge = work.store.purge(&work.config, &storage);
    said(purge.run(retention, When::Now, tell).await?)
}

fn said(outcome: PurgeOutcome) -> Result<String, PurgeError> {
    match outcome {
        PurgeOutcome::Done(progress) => Ok(format!("Purged: {}.\n", totals(&progress))),
        PurgeOutcome::Stopped(progress) => Err(PurgeError::Stopped(progress)),
        // A purge that is asked for now is always due.
        PurgeOutcome::Busy | PurgeOutcome::NotDue => Err(PurgeError::Busy),
    }
}

fn totals(progress: &Progress) -> String {
    let Progress {
        users,
        revisions,
        contents,
        blobs,
    } = *progress;
    format!(
        "{}, the content of {} and {} of attachments, of {}",
        counted(revisions, "revision"),
        counted(contents, "deleted record"),
        counted(blobs, "file"),
        counted(users, "user")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOME: Progress = Progress {
        users: 2,
        revisions: 30,
        contents: 4,
        blobs: 5,
    };

    #[test]
    fn what_was_purged_is_said() {
        assert_eq!(
            said(PurgeOutcome::Done(SOME)).unwrap(),
            "Purged: 30 revisions, the content of 4 deleted records and 5 files of attachments, of 2 users.\n"
        );
    }

    #[test]
    fn what_was_not_done_is_an_error_that_says_how_far_it_came() {
        let stopped = said(PurgeOutcome::Stopped(SOME)).unwrap_err().to_string();
        assert!(
            stopped.contains("30 revisions") && stopped.contains("goes on"),
            "{stopped}"
        );
        let busy = said(PurgeOutcome::Busy).unwrap_err().to_string();
        assert!(busy.contains("another instance"), "{busy}");
    }
}
