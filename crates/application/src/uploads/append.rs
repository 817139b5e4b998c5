//! One request that brings bytes of a resumable upload.

use std::pin::pin;

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use mosaic_domain::attachment::{AppendOutcome, LengthOutcome, Upload, UploadKind, UploadPart};
use mosaic_domain::entity::Resource;
use mosaic_domain::{Live, UnixMillis, UploadId, UserId};
use mosaic_ports::{BlobError, StoreError};
use sha2::digest::DynDigest;

use super::Uploads;
use super::locks::UploadLock;
use crate::attachments::{BlobIngest, NewFile, StoredBlob};
use crate::error::AppError;
use crate::records::EditBy;
use crate::sessions::Actor;

/// An upload may come in so many pieces.
const MOST_PARTS: u32 = 10_000;

/// What the bytes of one request must come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Checksum {
    /// A SHA-1.
    Sha1([u8; 20]),
    /// A SHA-256.
    Sha256([u8; 32]),
}

impl Checksum {
    /// What computes it of the bytes, and what has to come out.
    fn hasher(&self) -> (Box<dyn DynDigest + Send>, &[u8]) {
        match self {
            Self::Sha1(expected) => (Box::new(sha1::Sha1::default()), expected),
            Self::Sha256(expected) => (Box::new(sha2::Sha256::default()), expected),
        }
    }
}

/// What a request says of the bytes that it brings.
#[derive(Debug, Clone, Default)]
pub struct AppendRequest {
    /// Where they begin.
    pub offset: u64,
    /// How long the upload is, where it began without that. It is settled with these bytes: not by a request that is refused.
    pub length: Option<u64>,
    /// What they come to.
    pub checksum: Option<Checksum>,
    /// How many they are.
    pub announced: Option<u64>,
}

/// What became of the bytes of one request.
#[derive(Debug)]
pub struct UploadProgress {
    /// How many bytes the upload has now.
    pub received: u64,
    /// The upload, with the moment when it is given up.
    pub upload: Upload,
    /// The resource, where these were the last bytes.
    pub resource: Option<Live<Resource>>,
}

impl Uploads {
    /// Goes on with a resumable upload from an offset, with the bytes of one request.
    ///
    /// They are stored when the stream ends, when it fails, and when another request wants to go on with the upload; with a
    /// checksum only where all of them came, and it matches. Dropped before it returns, this may store nothing: what shall outlive
    /// a connection that breaks runs it on a task of its own.
    ///
    /// # Errors
    /// The stream's. [`AppError::NotFound`], [`AppError::UploadExpired`], [`AppError::OffsetConflict`] (also where another request
    /// was first), [`AppError::TooManyParts`], [`AppError::BeyondLength`] ([`AppError::FileTooLarge`] where the length is not told
    /// yet), [`AppError::OtherLength`], [`AppError::ChecksumMismatch`], the storage's error, and where these were the last bytes, those of
    /// [`Attachments::add`](crate::attachments::Attachments::add).
    pub async fn append<E: From<AppError>>(
        &self,
        actor: impl Into<Actor>,
        id: UploadId,
        request: AppendRequest,
        bytes: impl Stream<Item = Result<Bytes, E>>,
    ) -> Result<UploadProgress, E> {
        let actor = actor.into();
        let (offset, checksum) = (request.offset, &request.checksum);
        let (mut lock, mut upload) = self.lock_at(actor, id, offset).await?;
        if let Some(length) = request.length {
            upload = self.settle_length(actor.user, upload, length, &request).await?;
        }
        let left = upload.length.saturating_sub(offset);
        if request.announced.is_some_and(|announced| announced > left) {
            return Err(beyond(&upload).into());
        }
        let mut bytes = pin!(bytes);
        let mut hasher = checksum.as_ref().map(Checksum::hasher);
        let mut ingest: Option<BlobIngest> = None;
        let mut failure = None;
        let is_whole = loop {
            let next = tokio::select! {
                next = bytes.next() => next,
                () = lock.gives_way() => break false,
            };
            let bytes = match next {
                None => break true,
                Some(Ok(bytes)) if bytes.is_empty() => continue,
                Some(Ok(bytes)) => bytes,
                Some(Err(error)) => {
                    failure = Some(error);
                    break false;
                }
            };
            let ingest = match &mut ingest {
                Some(ingest) => ingest,
                none => none.insert(self.attachments.receive(actor.user).await?),
            };
            if ingest.size() + bytes.len() as u64 > left {
                return Err(beyond(&upload).into());
            }
            if let Some((hasher, _)) = &mut hasher {
                hasher.update(&bytes);
            }
            ingest.write(bytes).await?;
        };
        let counts = hasher.is_none_or(|(hasher, expected)| is_whole && *hasher.finalize() == *expected);
        let stored = if counts {
            self.store(actor, upload, offset, ingest).await
        } else {
            Err(AppError::ChecksumMismatch)
        };
        match failure {
            // Whatever became of what came before it.
            Some(failure) => Err(failure),
            None => Ok(stored?),
        }
    }

    /// Begins a resumable upload with its first bytes, or all of them. Where they are refused or break off it has not begun: nobody
    /// was told of it, and it would only take up room.
    ///
    /// # Errors
    /// As [`Uploads::begin`] and [`Uploads::append`].
    pub async fn begin_with<E: From<AppError>>(
        &self,
        by: &EditBy,
        length: Option<u64>,
        file: NewFile,
        client_metadata: Option<String>,
        request: AppendRequest,
        bytes: impl Stream<Item = Result<Bytes, E>>,
    ) -> Result<UploadProgress, E> {
        let kind = UploadKind::Parts;
        let upload = self.create(by, length, file, kind, client_metadata).await?;
        let appended = self.append(by, upload.id, request, bytes).await;
        if appended.is_err() {
            // One that can't be given up expires.
            let _ = self.end(by.user, upload.id).await;
        }
        appended
    }

    /// Notes the length of an upload that began without one; told again, it is the same one. Only who may go on with the upload
    /// does so, so that bytes that are on their way are not held against another length than they were sent with.
    async fn settle_length(
        &self,
        user: UserId,
        upload: Upload,
        length: u64,
        request: &AppendRequest,
    ) -> Result<Upload, AppError> {
        if request
            .announced
            .is_some_and(|announced| announced > length.saturating_sub(request.offset))
        {
            return Err(AppError::BeyondLength { length });
        }
        match self.store.settle_length(user, upload.id, length).await? {
            LengthOutcome::Settled => Ok(Upload {
                length,
                is_deferred: false,
                ..upload
            }),
            LengthOutcome::Conflict => Err(AppError::OtherLength),
            LengthOutcome::TooLong { most } => Err(AppError::FileTooLarge { limit: most }),
            LengthOutcome::Gone => Err(AppError::NotFound),
        }
    }

    /// The right to go on with a resumable upload from an offset.
    async fn lock_at(
        &self,
        actor: Actor,
        id: UploadId,
        offset: u64,
    ) -> Result<(UploadLock, Upload), AppError> {
        let (lock, state) = self.lock(actor.user, id).await?;
        let received = state.received;
        if state.upload.kind != UploadKind::Parts {
            Err(AppError::NotFound)
        } else if received != offset {
            Err(AppError::OffsetConflict { received })
        } else if state.parts >= MOST_PARTS {
            Err(AppError::TooManyParts)
        } else {
            Ok((lock, state.upload))
        }
    }

    /// Makes a part of what came, and with the last bytes the resource.
    async fn store(
        &self,
        actor: Actor,
        mut upload: Upload,
        offset: u64,
        ingest: Option<BlobIngest>,
    ) -> Result<UploadProgress, AppError> {
        let mut received = offset;
        let mut resource = None;
        if let Some(ingest) = ingest {
            let part = ingest.finish().await?;
            received += part.size;
            if upload.is_whole_with(part.size) {
                // All of it in one request: its hash is known, nothing has to be put together.
                resource = Some(self.add_whole(actor, &upload, part).await?);
            } else {
                upload.expires_at = self.add_part(&upload, offset, &part).await?;
            }
        }
        if upload.is_whole_with(received) && resource.is_none() {
            resource = Some(self.complete(actor, upload.clone()).await?);
        }
        Ok(UploadProgress {
            received,
            upload,
            resource,
        })
    }

    /// Writes the resource of an upload that came in one request. Where that is not possible just now, what came is kept as a part.
    async fn add_whole(
        &self,
        actor: Actor,
        upload: &Upload,
        whole: StoredBlob,
    ) -> Result<Live<Resource>, AppError> {
        let added = self.add(actor, upload, whole.clone()).await;
        let for_the_moment = matches!(
            added,
            Err(AppError::Store(StoreError::Unavailable(_)) | AppError::Blobs(BlobError::Unavailable(_)))
        );
        if for_the_moment && self.blobs.info(whole.blob).await?.is_some() {
            self.add_part(upload, 0, &whole).await?;
        }
        added
    }

    /// Adds a part. Returns when the upload is given up now.
    async fn add_part(
        &self,
        upload: &Upload,
        offset: u64,
        received: &StoredBlob,
    ) -> Result<UnixMillis, AppError> {
        let blob = received.blob;
        let part = UploadPart {
            offset,
            size: received.size,
            blob: blob.id,
        };
        let expires_at = self.clock.now().plus(self.lifetime_ms);
        let outcome = self.store.append(blob.user, upload.id, part, expires_at).await;
        // After an error it may be a part all the same: then the blob stays, and is removed with the upload.
        let error = match outcome? {
            AppendOutcome::Appended => return Ok(expires_at),
            // A store that asked twice, because it got no answer at first, finds what it noted itself.
            AppendOutcome::Conflict { .. } if self.attachments.is_referenced(blob).await? => {
                return Ok(expires_at);
            }
            AppendOutcome::Conflict { received } => AppError::OffsetConflict { received },
            AppendOutcome::TooLong => beyond(upload),
            AppendOutcome::Gone => AppError::NotFound,
        };
        self.attachments.discard(blob).await;
        Err(error)
    }
}

/// Bytes that go beyond what an upload may have.
fn beyond(upload: &Upload) -> AppError {
    let length = upload.length;
    if upload.is_deferred {
        AppError::FileTooLarge { limit: length }
    } else {
        AppError::BeyondLength { length }
    }
}
