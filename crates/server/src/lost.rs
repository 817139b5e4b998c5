//! Stores that were lost are not begun anew: what is left of them would be overwritten, or taken for waste.

use std::io::ErrorKind;
use std::path::PathBuf;

use mosaic_application::storage::LostStore;
use mosaic_domain::query::PageNumber;
use mosaic_ports::AccountStore;

use crate::config::{Config, DatabaseUrl};
use crate::storage::Storage;
use crate::wiring::Opening;

/// Why a server does not begin with the store that it found.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LostError {
    /// The store was lost, and its attachments were not.
    #[error(transparent)]
    Attachments(#[from] LostStore),
    /// The database file is empty where there was a server before.
    #[error(
        "{}: is empty, and the data folder has the key of a server that ran before. Put the file back, or restore a backup (mosaic \
         restore FILE). To begin anew all the same, remove the empty file", .0.display()
    )]
    Emptied(PathBuf),
}

/// Refuses a database file without a single byte, where there was a server before: the key, which is a file of that name in the
/// data folder, comes after the first page.
pub(crate) fn refuse_emptied(config: &Config, key_file: &str, opening: Opening) -> Result<(), LostError> {
    let DatabaseUrl::SqliteFile(path) = &config.database else {
        return Ok(());
    };
    let had_server = config.server.data_dir.join(key_file).exists();
    match std::fs::metadata(path) {
        Ok(found) if had_server && found.len() == 0 => Err(LostError::Emptied(path.clone())),
        Err(error) if had_server && error.kind() == ErrorKind::NotFound && opening == Opening::Create => {
            tracing::warn!(path = %path.display(), "there is no database, where there was a server before: a new one begins");
            Ok(())
        }
        Ok(_) | Err(_) => Ok(()),
    }
}

/// Refuses a store without accounts beside a storage with files.
pub(crate) async fn refuse_lost_store(
    accounts: &dyn AccountStore,
    storage: &Storage,
) -> Result<(), LostError> {
    match accounts.list(PageNumber::EVERYTHING).await {
        Ok(listed) if listed.total == 0 => Ok(storage.refuse_lost_store().await?),
        // What fails here fails where it is needed, and is said there.
        Ok(_) | Err(_) => Ok(()),
    }
}
