//! Uploads that are under way.

use async_trait::async_trait;
use mosaic_domain::attachment::{
    AppendOutcome, BeginOutcome, Collected, LengthOutcome, Upload, UploadPart, UploadState,
};
use mosaic_domain::{UnixMillis, UploadId, UserId};
use uuid::Uuid;

use crate::error::{StoreError, WriteError};

/// Uploads that are under way. Every method is one transaction, for one user.
///
/// Where an upload is over, all of its blobs are answered, whatever else is in them by now: bytes that came in one request may be a
/// content and a part. Whoever removes them asks first ([`OrphanIndex::referenced`](crate::OrphanIndex::referenced)).
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait UploadStore: Send + Sync {
    /// Notes a new upload, unless the user has `most` that are not finished, or its length, those of all uploads that are not finished,
    /// and the contents would come to more than `quota` bytes together ([`begin`](mosaic_domain::attachment::begin)). Takes turns
    /// with other beginnings of the user.
    ///
    /// # Errors
    /// [`WriteError`]; unknown where the account is gone or being removed.
    async fn begin(
        &self,
        user: UserId,
        upload: Upload,
        quota: u64,
        most: u32,
    ) -> Result<BeginOutcome, WriteError>;

    /// How far an upload has come. Also one that has expired, until it is dropped.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn upload(&self, user: UserId, id: UploadId) -> Result<Option<UploadState>, StoreError>;

    /// Adds a part, if it follows what was received ([`append`](mosaic_domain::attachment::append)): of two that try at once, one
    /// does. The upload is given up at `expires_at` from now on.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn append(
        &self,
        user: UserId,
        id: UploadId,
        part: UploadPart,
        expires_at: UnixMillis,
    ) -> Result<AppendOutcome, StoreError>;

    /// Notes how many bytes an upload has when it is complete, where that was to be told later
    /// ([`settle_length`](mosaic_domain::attachment::settle_length)): of two that tell different ones at once, one does.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn settle_length(
        &self,
        user: UserId,
        id: UploadId,
        length: u64,
    ) -> Result<LengthOutcome, StoreError>;

    /// The parts of an upload, in order. None once it is finished.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn parts(&self, user: UserId, id: UploadId) -> Result<Vec<UploadPart>, StoreError>;

    /// Notes that the resource of an upload was written, and forgets its parts; returns the blobs that held them, the one of a
    /// direct upload among them. Nothing happens where there is no such upload.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn finish(&self, user: UserId, id: UploadId) -> Result<Vec<Uuid>, StoreError>;

    /// Forgets an upload, finished or not, and returns the blobs that held its parts. `None`: there is no such upload.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn end(&self, user: UserId, id: UploadId) -> Result<Option<Vec<Uuid>>, StoreError>;

    /// Forgets uploads that had expired at a moment, at most `limit` rows, and returns the blobs that held their parts
    /// ([`expire`](mosaic_domain::attachment::expire)).
    ///
    /// # Errors
    /// [`StoreError`].
    async fn drop_expired(&self, user: UserId, now: UnixMillis, limit: u32) -> Result<Collected, StoreError>;
}
