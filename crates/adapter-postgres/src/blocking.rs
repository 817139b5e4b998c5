//! Work that takes the processor's time, kept off the workers that other requests wait for.

use tokio_postgres::Row;

use crate::error::Failure;

/// As many rows are read on the spot: going to another thread takes longer.
const FEW: usize = 4;

/// Runs some work on a blocking thread.
pub(crate) async fn on_blocking_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    // The panic hook has reported a panic, with its place.
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|_| Failure::Panicked)?
}

/// Reads rows whose documents may be long.
pub(crate) async fn read_rows<T: Send + 'static>(
    rows: Vec<Row>,
    read: impl FnOnce(&[Row]) -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    if rows.len() <= FEW {
        read(&rows)
    } else {
        on_blocking_thread(move || read(&rows)).await
    }
}
