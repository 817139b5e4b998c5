//! `mosaic epoch ...`: the name of the history that a store holds (rule R2).

use mosaic_application::history::Renewed;
use mosaic_ports::StoreError;

use crate::cli::EpochCommand;
use crate::wiring::OpenStore;

/// Does what was asked; returns what to print.
pub(crate) async fn execute(store: &OpenStore, command: EpochCommand) -> Result<String, StoreError> {
    let history = store.history();
    match command {
        EpochCommand::Show => Ok(format!("{}\n", history.epoch().await?)),
        EpochCommand::Renew => {
            let Renewed { old, new } = history.renew().await?;
            Ok(format!(
                "Old epoch: {old}\nNew epoch: {new}\n{WHAT_DEVICES_DO}{WHAT_PURGES_DO}"
            ))
        }
    }
}

/// What follows from a new epoch.
pub(crate) const WHAT_DEVICES_DO: &str = "With their next pull, devices fetch everything again and drop what is not here. \
     Edits that they have not sent yet stay, and are sent.\n";

/// What is done for attachments that only the newer store named.
pub(crate) const WHAT_PURGES_DO: &str = "For 7 days servers purge nothing by themselves: files of attachments that this store \
     does not know are still there. `mosaic doctor` lists them.\n";
