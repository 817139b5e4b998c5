//! Work that blocks, away from the async workers.

use mosaic_ports::BlobError;

/// Runs blocking work on tokio's pool for it.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, BlobError> + Send + 'static,
) -> Result<T, BlobError> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|error| Err(BlobError::Failed(error.into())))
}
