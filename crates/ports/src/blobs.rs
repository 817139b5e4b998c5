//! Where the bytes of attachments are.
//!
//! A blob is a sequence of bytes under a name that was made for it and is never given again. Nothing about it ever changes
//! but that it comes and goes, so whoever knows its name may read it at any time, in pieces, from any instance. Which blob
//! holds which content, whose it is and whether anybody still needs it is known to the store of the records, not here.

use std::ops::Range;
use std::pin::Pin;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::Stream;
use mosaic_domain::{UnixMillis, UserId};
use uuid::Uuid;

use crate::error::BoxError;

/// The name of a blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlobName {
    /// Whose it is: all blobs of a user lie together.
    pub user: UserId,
    /// Which one.
    pub id: Uuid,
}

/// What a blob store could not do. Nothing half-done is visible to anybody.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    /// The storage can't be reached, or does not answer in time; trying again later may help.
    #[error("the storage of attachments is not available now")]
    Unavailable(#[source] BoxError),
    /// There is no room left.
    #[error("the storage of attachments is full")]
    Full(#[source] BoxError),
    /// Anything else: wrong credentials, a bug, a disk that fails.
    #[error("the storage of attachments failed")]
    Failed(#[source] BoxError),
}

/// The bytes of a blob, or of a part of it, in pieces.
pub type BlobBytes = Pin<Box<dyn Stream<Item = Result<Bytes, BlobError>> + Send>>;

/// A blob that is being read.
pub struct BlobReader {
    /// How many bytes the whole blob has.
    pub size: u64,
    /// The bytes that were asked for.
    pub bytes: BlobBytes,
}

impl std::fmt::Debug for BlobReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BlobReader")
            .field("size", &self.size)
            .finish_non_exhaustive()
    }
}

/// What is known of a blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlobInfo {
    /// Its name.
    pub name: BlobName,
    /// How many bytes it has.
    pub size: u64,
    /// When it was finished, by the storage's own clock.
    pub stored_at: UnixMillis,
}

/// A blob that is being written. It is there for others only once it is finished; dropped before that, it never was, and its
/// bytes are gone, now or with the next [`BlobStore::sweep`].
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait BlobWriter: Send {
    /// Adds bytes. Waits while the storage is slow: no more than a few MiB of one writer are ever in memory.
    ///
    /// # Errors
    /// [`BlobError`]; the blob can't be finished any more.
    async fn write(&mut self, bytes: Bytes) -> Result<(), BlobError>;

    /// Makes it a blob, and returns how many bytes it has. Durable when this returns.
    ///
    /// # Errors
    /// [`BlobError`]; there is no such blob then, as far as anybody can tell.
    async fn finish(self: Box<Self>) -> Result<u64, BlobError>;
}

/// For how long, and as what, a blob may be read by whoever has the address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PresignedRead {
    /// For how long.
    pub expires_in: Duration,
    /// The `Content-Type` that the storage shall answer with.
    pub content_type: String,
    /// The `Content-Disposition` that the storage shall answer with.
    pub content_disposition: String,
}

/// Keeps the bytes of attachments.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait BlobStore: Send + Sync {
    /// Begins a blob under a name that nobody has used before.
    ///
    /// # Errors
    /// [`BlobError`].
    async fn create(&self, name: BlobName) -> Result<Box<dyn BlobWriter>, BlobError>;

    /// Reads a blob, or the bytes of it that lie in `range` (which ends after its beginning; what lies beyond the end of the
    /// blob is left out). `None`: there is no such blob. Reading goes on to the end even where the blob is removed meanwhile, or
    /// fails; it never ends early as if that were all.
    ///
    /// # Errors
    /// [`BlobError`].
    async fn read(&self, name: BlobName, range: Option<Range<u64>>) -> Result<Option<BlobReader>, BlobError>;

    /// What is known of a blob. `None`: there is no such blob.
    ///
    /// # Errors
    /// [`BlobError`].
    async fn info(&self, name: BlobName) -> Result<Option<BlobInfo>, BlobError>;

    /// Removes a blob. One that is not there is removed already.
    ///
    /// # Errors
    /// [`BlobError`].
    async fn remove(&self, name: BlobName) -> Result<(), BlobError>;

    /// The blobs after one, of all users, in ascending order of their names, at most `limit`. Those that are being written are not
    /// among them.
    ///
    /// # Errors
    /// [`BlobError`].
    async fn list(&self, after: Option<BlobName>, limit: u32) -> Result<Vec<BlobInfo>, BlobError>;

    /// Removes what writers left behind that were dropped, or killed, before this moment. Returns how much it was.
    ///
    /// # Errors
    /// [`BlobError`].
    async fn sweep(&self, before: UnixMillis) -> Result<u64, BlobError>;

    /// An address at which anybody may read the blob for a while, without the server. `None`: this storage has none.
    ///
    /// # Errors
    /// [`BlobError`].
    async fn presign_read(&self, name: BlobName, read: PresignedRead) -> Result<Option<String>, BlobError>;

    /// An address at which anybody may store the blob for a while, with one `PUT` of all its bytes. `None`: this storage has
    /// none.
    ///
    /// # Errors
    /// [`BlobError`].
    async fn presign_write(&self, name: BlobName, expires_in: Duration) -> Result<Option<String>, BlobError>;

    /// Whether the storage can be used: for health checks, in a second or less.
    ///
    /// # Errors
    /// [`BlobError`] when it can't.
    async fn check(&self) -> Result<(), BlobError>;
}
