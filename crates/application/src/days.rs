//! When the days of a user begin and end.

use std::fmt;
use std::sync::Arc;

use mosaic_domain::{TimeZone, UserId};
use mosaic_ports::AccountStore;

use crate::error::AppError;

/// The time zones that days go by.
#[derive(Clone)]
pub struct Days {
    accounts: Arc<dyn AccountStore>,
    default: TimeZone,
}

impl Days {
    /// Those of the accounts; where one has none, the default.
    pub fn new(accounts: Arc<dyn AccountStore>, default: TimeZone) -> Self {
        Self { accounts, default }
    }

    /// The time zone of a user.
    ///
    /// # Errors
    /// A store's error.
    pub async fn zone(&self, user: UserId) -> Result<TimeZone, AppError> {
        let account = self.accounts.by_id(user).await?;
        let own = account.and_then(|account| account.user.time_zone);
        Ok(own.unwrap_or_else(|| self.default.clone()))
    }
}

impl fmt::Debug for Days {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Days")
            .field("default", &self.default)
            .finish_non_exhaustive()
    }
}
