//! What a store gets when it is made: its administrator. `serve` and `migrate` make stores, and both do it here.

use mosaic_application::AppError;
use mosaic_application::accounts::FirstStart;
use mosaic_ports::StoreError;

use crate::config::Config;
use crate::wiring::{Services, WiringError};

/// Why a store has no administrator.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FirstError {
    /// The store was lost, and is not begun anew.
    #[error(transparent)]
    Wiring(#[from] WiringError),
    /// The store can't be read or written.
    #[error(transparent)]
    Store(StoreError),
    /// The account can't be made.
    #[error("the account admin can not be created: {0}")]
    Admin(AppError),
}

impl From<AppError> for FirstError {
    fn from(error: AppError) -> Self {
        match error {
            // Whether there are accounts is the first thing that is asked of a store: what is wrong with it shows here.
            AppError::Store(error) => Self::Store(error),
            other => Self::Admin(other),
        }
    }
}

/// Makes the account `admin` where there is none at all, unless the store was one with attachments before. `tell` shows a
/// person, and nobody else, what is said only once.
///
/// # Errors
/// [`FirstError`].
pub(crate) async fn administrator(
    config: &Config,
    services: &Services,
    tell: &impl Fn(&str),
) -> Result<(), FirstError> {
    services.refuse_lost_store().await?;
    let password = config.server.admin_password.clone();
    match services.state.accounts.ensure_admin(password).await? {
        FirstStart::NotFirst => {}
        FirstStart::Admin => {
            tracing::info!("the account admin was created with the password that was configured");
        }
        FirstStart::AdminWithPassword(password) => tell(&format!(
            "\n  The store is new. Log in as `admin` with the password\n\n      {password}\n\n  \
             It is shown only now. Change it after the first login.\n\n"
        )),
    }
    Ok(())
}
