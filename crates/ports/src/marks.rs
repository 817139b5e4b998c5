//! What remembers, outside of the database, how far that had come (R2).

use mosaic_domain::high_water::HighWaterMark;

use crate::error::BoxError;

/// Keeps one mark, where a restored database does not take it back.
#[cfg_attr(feature = "mock", mockall::automock)]
pub trait MarkStore: Send + Sync {
    /// The mark that was kept last; `None` where there is none.
    ///
    /// # Errors
    /// It can't be read, or is not one.
    fn load(&self) -> Result<Option<HighWaterMark>, BoxError>;

    /// Keeps this one in the place of the one before. Called after every commit, before it is acknowledged: must return at once. It
    /// survives the end of the process; a power cut may take the last few.
    ///
    /// # Errors
    /// It can't be written.
    fn save(&self, mark: &HighWaterMark) -> Result<(), BoxError>;
}
