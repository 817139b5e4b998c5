//! `mosaic copy --from URL --to URL`: moves a whole installation from one store to another.

use mosaic_application::copy::{Copied, Copy, CopyError, Phase, Progress};
use mosaic_ports::{StoreError, Stores};

use crate::config::{Config, DatabaseUrl};
use crate::done::Done;
use crate::progress::Meter;
use crate::wiring::{OpenStore, Opening, WiringError};
use crate::words::{counted, grouped};

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

/// How many users are asked for at once.
const USERS_AT_ONCE: u32 = 500;

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
) -> Result<Done, CopyCommandError> {
    if from == to {
        return Err(CopyCommandError::SameStore);
    }
    // The source is not changed, and must be there.
    let source = OpenStore::open(config, from, Opening::Existing).await?;
    let target = match OpenStore::open(config, to, Opening::Create).await {
        Ok(target) => target,
        Err(error) => {
            source.close().await;
            return Err(error.into());
        }
    };
    let copied = copy(&source, &target).await;
    source.close().await;
    target.close().await;
    let copied = copied?;
    Ok(Done {
        said: said(&copied),
        unreadable: copied.unreadable,
    })
}

async fn copy(source: &OpenStore, target: &OpenStore) -> Result<Copied, CopyError> {
    // Users come before what says which files are theirs: a server that is started on half a copy must not clear up.
    target.history().hold_purges_back().await?;
    let mut meter = Meter::of("copying", amount(&source.ports).await?);
    let copy = Copy::new(source.ports.clone(), target.ports.clone());
    copy.run(|progress| show(&mut meter, progress)).await
}

/// How many records and revisions a store holds.
async fn amount(stores: &Stores) -> Result<u64, StoreError> {
    let (mut amount, mut after) = (0, None);
    loop {
        let users = stores.user_ids.user_ids(after, USERS_AT_ONCE).await?;
        if users.is_empty() {
            return Ok(amount);
        }
        for user in users {
            let loaded = stores.dump_reader.loaded(user).await?;
            amount += loaded.records + loaded.revisions;
            after = Some(user);
        }
    }
}

fn show(meter: &mut Meter, progress: Progress) {
    meter.begin(match progress.phase {
        Phase::Copying => "copying",
        Phase::Comparing => "comparing",
    });
    let Progress {
        users,
        users_total,
        records,
        revisions,
        ..
    } = progress;
    let said = format!(
        "{} of {}, {}, {}",
        grouped(users),
        counted(users_total, "user"),
        counted(records, "record"),
        counted(revisions, "revision")
    );
    meter.at(records + revisions, said);
}

fn said(copied: &Copied) -> String {
    format!(
        "Copied and compared: {}, {}, {}.\nContent hash of both: {}\n{WHERE_FILES_ARE}",
        counted(copied.users, "user"),
        counted(copied.records, "record"),
        counted(copied.revisions, "revision"),
        copied.content_hash
    )
}

/// What is not copied.
const WHERE_FILES_ARE: &str = "The files of attachments stay where they are, for the new server. Never start one on the old store \
     with them again: it would purge what only the new one knows.\n";
