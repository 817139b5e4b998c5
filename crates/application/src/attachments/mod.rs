//! Attachments: the bytes behind a resource. Upload, download, smaller pictures, avatars.
//!
//! Bytes come first, the record after: what arrives is streamed into a blob of its own ([`BlobIngest`]), which becomes the one that
//! holds its content unless another one does already, and only then is the record written. Whatever is interrupted on the
//! way leaves a blob that nobody names, which [`crate::garbage`] removes, and never a record without bytes.

mod avatars;
mod download;
mod ingest;
mod upload;
mod variants;

use std::sync::Arc;
use std::time::Duration;

use mosaic_domain::UserId;
use mosaic_domain::attachment::{ContentRef, ReferenceOutcome};
use mosaic_domain::entity::{Sha256, StorageType};
use mosaic_ports::{
    AttachmentIndex, AvatarIndex, BlobName, BlobStore, Clock, IdGenerator, MediaTypes, OrphanIndex, Pictures,
    VariantIndex, WriteError,
};
use uuid::Uuid;

use crate::concurrency::{AtCapacity, ConcurrencyLimiter, ConcurrencyLimits};
use crate::error::AppError;
use crate::garbage::orphans;
use crate::records::Records;

pub use download::StoredFile;
pub use ingest::{BlobIngest, StoredBlob};
pub use upload::NewFile;

/// So many files of one user may come in at the same time, on this instance: each takes a place on the disk that no quota counts
/// yet.
const ARRIVALS: ConcurrencyLimits = ConcurrencyLimits {
    running: 100,
    waiting: 0,
    patience: Duration::ZERO,
};

/// What attachments are kept with.
#[derive(Clone)]
#[expect(missing_docs, reason = "each is the port that it is named after")]
pub struct AttachmentPorts {
    pub blobs: Arc<dyn BlobStore>,
    pub contents: Arc<dyn AttachmentIndex>,
    pub variants: Arc<dyn VariantIndex>,
    pub avatars: Arc<dyn AvatarIndex>,
    pub orphans: Arc<dyn OrphanIndex>,
    pub types: Arc<dyn MediaTypes>,
    pub pictures: Arc<dyn Pictures>,
    pub clock: Arc<dyn Clock>,
    pub ids: Arc<dyn IdGenerator>,
}

impl std::fmt::Debug for AttachmentPorts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AttachmentPorts")
    }
}

/// How much is taken, and how it is given out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttachmentLimits {
    /// Where the blobs are, as records say it.
    pub storage: StorageType,
    /// How many bytes one file may have.
    pub file_bytes: u64,
    /// How many bytes an avatar may have.
    pub avatar_bytes: u64,
    /// How many bytes the contents of one user may have together.
    pub user_bytes: u64,
}

/// Takes bytes in and gives them out.
#[derive(Clone)]
pub struct Attachments {
    ports: AttachmentPorts,
    records: Records,
    limits: AttachmentLimits,
    thumbnails: Arc<variants::ThumbnailLocks>,
    arrivals: ConcurrencyLimiter<UserId>,
}

impl Attachments {
    /// Attachments over these ports; records travel on the common road.
    pub fn new(ports: AttachmentPorts, records: Records, limits: AttachmentLimits) -> Self {
        Self {
            ports,
            records,
            limits,
            thumbnails: Arc::default(),
            arrivals: ConcurrencyLimiter::new(ARRIVALS),
        }
    }

    /// How much is taken.
    pub fn limits(&self) -> &AttachmentLimits {
        &self.limits
    }

    pub(crate) fn ports(&self) -> &AttachmentPorts {
        &self.ports
    }

    pub(crate) fn fits_file(&self, bytes: u64) -> Result<(), AppError> {
        let limit = self.limits.file_bytes;
        if bytes > limit {
            return Err(AppError::FileTooLarge { limit });
        }
        Ok(())
    }

    /// Begins to take in a file.
    ///
    /// # Errors
    /// The storage's error.
    pub async fn receive(&self, user: UserId) -> Result<BlobIngest, AppError> {
        self.receive_up_to(user, self.limits.file_bytes).await
    }

    async fn receive_up_to(&self, user: UserId, limit: u64) -> Result<BlobIngest, AppError> {
        let place = self
            .arrivals
            .try_enter(user)
            .map_err(|AtCapacity| AppError::TooManyUploads)?;
        let id = self.ports.ids.next();
        let name = BlobName { user, id };
        let writer = self.ports.blobs.create(name).await?;
        Ok(BlobIngest::new(name, writer, limit, place))
    }

    /// Makes what was received the user's content, or finds that it is already.
    async fn keep(&self, received: &StoredBlob) -> Result<(), AppError> {
        let user = received.blob.user;
        let content = ContentRef {
            sha256: received.sha256,
            blob: received.blob.id,
            size: received.size,
            touched_at: self.ports.clock.now(),
        };
        let quota = self.limits.user_bytes;
        let referenced = self.ports.contents.reference(user, content, quota);
        match referenced.await {
            Ok(ReferenceOutcome::Added) => Ok(()),
            Ok(ReferenceOutcome::Existing(there)) => self.settle(user, there, content).await,
            Ok(ReferenceOutcome::OverQuota { used, quota }) => {
                self.discard(received.blob).await;
                Err(AppError::QuotaExceeded { used, quota })
            }
            Err(WriteError::UnknownUser) => {
                self.discard(received.blob).await;
                Err(WriteError::UnknownUser.into())
            }
            // It may have been noted all the same: the blob stays, and is removed later if nothing came of it.
            Err(error) => Err(error.into()),
        }
    }

    /// Of two blobs with the same bytes, keeps the one that was there, unless it is gone or damaged.
    async fn settle(&self, user: UserId, there: ContentRef, content: ContentRef) -> Result<(), AppError> {
        let named = |id| BlobName { user, id };
        // A store that asked twice, because it got no answer at first, finds what it noted itself.
        if there.blob == content.blob {
            return Ok(());
        }
        let found = self.ports.blobs.info(named(there.blob)).await?;
        let is_whole = found.is_some_and(|found| found.size == there.size);
        if !is_whole && self.take_the_place(user, there, content).await? {
            tracing::warn!(%user, sha256 = %content.sha256, "the bytes of a content were gone, and came again");
            self.discard(named(there.blob)).await;
        } else {
            self.discard(named(content.blob)).await;
        }
        Ok(())
    }

    async fn take_the_place(&self, user: UserId, gone: ContentRef, by: ContentRef) -> Result<bool, AppError> {
        let contents = &self.ports.contents;
        if contents.replace(user, gone, by).await? {
            return Ok(true);
        }
        let now = contents.content(user, by.sha256).await?;
        Ok(now.is_some_and(|now| now.blob == by.blob))
    }

    /// Removes a blob that is not needed, best effort: what can't be removed now, a purge removes.
    pub(crate) async fn discard(&self, blob: BlobName) {
        if let Err(error) = self.ports.blobs.remove(blob).await {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(user = %blob.user, blob = %blob.id, error, "a blob that is not needed stays until the next purge");
        }
    }

    /// Removes those of these blobs that hold nothing any more, as [`Self::discard`] does.
    pub(crate) async fn discard_orphans(&self, user: UserId, blobs: Vec<Uuid>) -> Result<(), AppError> {
        for id in orphans(self.ports.orphans.as_ref(), user, blobs).await? {
            self.discard(BlobName { user, id }).await;
        }
        Ok(())
    }

    /// Whether a blob holds something.
    pub(crate) async fn is_referenced(&self, blob: BlobName) -> Result<bool, AppError> {
        let referenced = self.ports.orphans.referenced(blob.user, vec![blob.id]).await?;
        Ok(!referenced.is_empty())
    }

    /// The blob of a content, which must be there.
    async fn held(&self, user: UserId, sha256: Sha256) -> Result<ContentRef, AppError> {
        let held = self.ports.contents.content(user, sha256).await?;
        held.ok_or(AppError::NotUploaded)
    }
}

impl std::fmt::Debug for Attachments {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Attachments")
    }
}
