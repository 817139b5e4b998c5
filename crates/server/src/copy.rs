//! `mosaic copy --from URL --to URL`: moves a whole installation from one store to another.

use indicatif::{ProgressBar, ProgressStyle};
use mosaic_application::copy::{Copied, Copy, CopyError, Phase, Progress};

use crate::config::{Config, DatabaseUrl};
use crate::wiring::{Migrations, OpenStore, WiringError};

/// Why an installation was not copied.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CopyCommandError {
    /// Both URLs name one store.
    #[error("--from and --to name the same store")]
    SameStore,
    /// A store can't be opened.
    #[error(transparent)]
    Wiring(#[from] WiringError),
    /// The copy stopped.
    #[error("{source}{}", hint(.source))]
    Copy {
        /// Why.
        #[from]
        source: CopyError,
    },
}

/// What can be done about it.
fn hint(error: &CopyError) -> &'static str {
    match error {
        CopyError::ForeignTarget | CopyError::ForeignUser(_) => ". Copy into an empty store",
        CopyError::NewerTarget(_) => ". Are --from and --to the right way round?",
        CopyError::Differs { .. } => ". Stop it, and run the same command again",
        CopyError::Store(_) => ". The same command goes on from here",
    }
}

/// Copies everything and compares both; returns what to print.
pub(crate) async fn run(
    config: &Config,
    from: &DatabaseUrl,
    to: &DatabaseUrl,
) -> Result<String, CopyCommandError> {
    if from == to {
        return Err(CopyCommandError::SameStore);
    }
    // The source is not changed, and must be there.
    let source = OpenStore::open(config, from, Migrations::Refuse).await?;
    let target = match OpenStore::open(config, to, Migrations::Apply).await {
        Ok(target) => target,
        Err(error) => {
            source.close().await;
            return Err(error.into());
        }
    };
    let bar = progress_bar();
    let copy = Copy::new(source.ports.transfer.clone(), target.ports.transfer.clone());
    let copied = copy.run(|progress| show(&bar, progress)).await;
    bar.finish_and_clear();
    source.close().await;
    target.close().await;
    Ok(said(&copied?))
}

/// On stderr, and only where that is a terminal.
fn progress_bar() -> ProgressBar {
    let style = ProgressStyle::with_template("{prefix:>9} [{bar:30}] {pos}/{len} users, {msg} ({elapsed})");
    ProgressBar::new(0).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

fn show(bar: &ProgressBar, progress: Progress) {
    bar.set_prefix(match progress.phase {
        Phase::Copying => "copying",
        Phase::Comparing => "comparing",
    });
    bar.set_length(progress.users_total);
    bar.set_position(progress.users);
    bar.set_message(format!(
        "{} records, {} revisions",
        progress.records, progress.revisions
    ));
}

fn said(copied: &Copied) -> String {
    format!(
        "Copied and compared: {} users, {} records, {} revisions.\nContent hash of both: {}\n",
        copied.users, copied.records, copied.revisions, copied.content_hash
    )
}
