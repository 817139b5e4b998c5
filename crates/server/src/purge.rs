//! `mosaic purge`: forgets what is older than the retention time, now. A running server does the same once a day.

use std::time::Duration;

use mosaic_application::retention::{Progress, PurgeOutcome, When};
use mosaic_domain::query::PageNumber;
use mosaic_ports::StoreError;

use crate::config::Config;
use crate::daily::go_on_unless;
use crate::progress::Meter;
use crate::signals::StopSignals;
use crate::wiring::{OpenStore, WiringError, millis};

/// What to do where a server has the embedded store.
const IN_USE: &str = "The server purges once a day while it runs; to do it now, stop the server";

/// Why a purge was not done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PurgeError {
    /// The store can't be opened.
    #[error(transparent)]
    Wiring(#[from] WiringError),
    /// Signals can't be heard.
    #[error("signals can not be heard: {0}")]
    Signals(std::io::Error),
    /// Another instance does it, or has taken over.
    #[error("another instance is purging this store")]
    Busy,
    /// Somebody wanted the command to end.
    #[error("stopped before it was done: {}. The next purge goes on", totals(.0))]
    Stopped(Progress),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Forgets what is older than the configured time; returns what to print.
pub(crate) async fn run(config: &Config) -> Result<String, PurgeError> {
    let Some(retention) = config.retention else {
        return Ok("Nothing is ever purged: retention.days is 0.\n".to_owned());
    };
    // From here on a signal is heard, and ends the command after the step that it is in.
    let signals = StopSignals::listen().map_err(PurgeError::Signals)?;
    let store = OpenStore::existing(config, IN_USE).await?;
    let outcome = purge(&store, retention, signals).await;
    store.close().await;
    said(outcome?)
}

async fn purge(
    store: &OpenStore,
    retention: Duration,
    signals: StopSignals,
) -> Result<PurgeOutcome, StoreError> {
    let stopping = signals.watched();
    let users = store.ports.accounts.list(PageNumber::EVERYTHING).await?.total;
    let mut meter = Meter::of("purging", users);
    let tell = |progress: Progress| {
        meter.at(progress.users, totals(&progress));
        go_on_unless(&stopping)
    };
    store.purge().run(millis(retention), When::Now, tell).await
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
    } = progress;
    format!("{revisions} revisions and the content of {contents} deleted records, of {users} users")
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOME: Progress = Progress {
        users: 2,
        revisions: 30,
        contents: 4,
    };

    #[test]
    fn what_was_purged_is_said() {
        assert_eq!(
            said(PurgeOutcome::Done(SOME)).unwrap(),
            "Purged: 30 revisions and the content of 4 deleted records, of 2 users.\n"
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
