//! The bytes of one request of a resumable upload. They are taken in by a task of its own, so that what arrived is kept however
//! the request ends.

use std::time::Duration;

use bytes::Bytes;
use mosaic_domain::Live;
use mosaic_domain::attachment::{AppendOutcome, Upload, UploadPart};
use mosaic_domain::entity::Resource;
use mosaic_ports::{BlobError, StoreError};
use sha2::Digest;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

use super::Uploads;
use super::locks::UploadLock;
use crate::attachments::{BlobIngest, StoredBlob};
use crate::error::AppError;
use crate::sessions::Asking;

/// So many chunks of a request may wait for the storage.
const CHUNKS_AHEAD: usize = 4;

/// A request that has to give way to another one still takes what has arrived: it ends when nothing came for so long,
const SILENCE: Duration = Duration::from_millis(50);
/// and after so long at the latest.
const LONGEST_STAY: Duration = Duration::from_secs(2);

/// What the bytes of one request must come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Checksum {
    /// A SHA-1.
    Sha1([u8; 20]),
    /// A SHA-256.
    Sha256([u8; 32]),
}

/// The bytes of one request, on their way into the storage.
#[derive(Debug)]
pub struct UploadWriter {
    length: u64,
    left: u64,
    chunks: mpsc::Sender<Chunk>,
    task: JoinHandle<Result<UploadProgress, AppError>>,
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

#[derive(Debug)]
enum Chunk {
    Bytes(Bytes),
    End,
}

impl UploadWriter {
    /// Begins to take bytes in.
    pub(super) fn start(
        uploads: Uploads,
        asking: Asking,
        upload: Upload,
        offset: u64,
        checksum: Option<Checksum>,
        lock: UploadLock,
    ) -> Self {
        let (chunks, waiting) = mpsc::channel(CHUNKS_AHEAD);
        let length = upload.length;
        let left = length.saturating_sub(offset);
        let task = PartTask {
            uploads,
            asking,
            upload,
            offset,
            checksum: checksum.map(Summing::new),
            lock,
        };
        let task = tokio::spawn(task.receive(waiting));
        Self {
            length,
            left,
            chunks,
            task,
        }
    }

    /// Refuses a request that announces more bytes than the upload lacks.
    ///
    /// # Errors
    /// [`AppError::BeyondLength`].
    pub fn admit(&self, announced: u64) -> Result<(), AppError> {
        if announced > self.left {
            return Err(AppError::BeyondLength { length: self.length });
        }
        Ok(())
    }

    /// Gives the next bytes. Waits while the storage is slow. Says whether more are wanted: where not,
    /// [`UploadWriter::complete`] tells why.
    pub async fn write(&self, bytes: Bytes) -> bool {
        self.chunks.send(Chunk::Bytes(bytes)).await.is_ok()
    }

    /// Waits until no more bytes are wanted: another request goes on with the upload, or something failed.
    pub async fn wants_no_more(&self) {
        self.chunks.closed().await;
    }

    /// All bytes of the request were given.
    ///
    /// # Errors
    /// [`AppError::ChecksumMismatch`], [`AppError::BeyondLength`], [`AppError::OffsetConflict`] where another request was first,
    /// the storage's error, and where these were the last bytes, those of
    /// [`Attachments::add`](crate::attachments::Attachments::add).
    pub async fn complete(self) -> Result<UploadProgress, AppError> {
        // Where nobody listens any more, the task has ended with an error.
        self.chunks.send(Chunk::End).await.ok();
        drop(self.chunks);
        crate::joined(self.task.await)
    }
}

/// A checksum that is being made.
enum Summing {
    Sha1(sha1::Sha1, [u8; 20]),
    Sha256(sha2::Sha256, [u8; 32]),
}

impl Summing {
    fn new(wanted: Checksum) -> Self {
        match wanted {
            Checksum::Sha1(wanted) => Self::Sha1(sha1::Sha1::new(), wanted),
            Checksum::Sha256(wanted) => Self::Sha256(sha2::Sha256::new(), wanted),
        }
    }

    fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha1(sum, _) => sum.update(bytes),
            Self::Sha256(sum, _) => sum.update(bytes),
        }
    }

    fn matches(self) -> bool {
        match self {
            Self::Sha1(sum, wanted) => sum.finalize()[..] == wanted,
            Self::Sha256(sum, wanted) => sum.finalize()[..] == wanted,
        }
    }
}

/// One request of a resumable upload.
struct PartTask {
    uploads: Uploads,
    asking: Asking,
    upload: Upload,
    offset: u64,
    checksum: Option<Summing>,
    lock: UploadLock,
}

impl PartTask {
    async fn receive(mut self, mut chunks: mpsc::Receiver<Chunk>) -> Result<UploadProgress, AppError> {
        let length = self.upload.length;
        let mut ingest: Option<BlobIngest> = None;
        let mut is_whole = false;
        let mut wanted_at = None;
        loop {
            let gives_way = async {
                self.lock.is_wanted().await;
                let now = Instant::now();
                let wanted_at = *wanted_at.get_or_insert(now);
                sleep_until((now + SILENCE).min(wanted_at + LONGEST_STAY)).await;
            };
            let chunk = tokio::select! {
                chunk = chunks.recv() => chunk,
                () = gives_way => None,
            };
            let Some(chunk) = chunk else { break };
            let bytes = match chunk {
                Chunk::End => {
                    is_whole = true;
                    break;
                }
                Chunk::Bytes(bytes) if bytes.is_empty() => continue,
                Chunk::Bytes(bytes) => bytes,
            };
            let ingest = match &mut ingest {
                Some(ingest) => ingest,
                none => none.insert(self.uploads.attachments.receive(self.asking.user).await?),
            };
            if self.offset + ingest.size() + bytes.len() as u64 > length {
                return Err(AppError::BeyondLength { length });
            }
            if let Some(checksum) = &mut self.checksum {
                checksum.update(&bytes);
            }
            ingest.write(bytes).await?;
        }
        if let Some(checksum) = self.checksum.take()
            && !(is_whole && checksum.matches())
        {
            return Err(AppError::ChecksumMismatch);
        }
        self.keep(ingest).await
    }

    async fn keep(mut self, ingest: Option<BlobIngest>) -> Result<UploadProgress, AppError> {
        let uploads = &self.uploads;
        let mut received = self.offset;
        if let Some(ingest) = ingest {
            let part = ingest.finish().await?;
            received += part.size;
            if part.size == self.upload.length {
                // All of it in one request: its hash is known, nothing has to be put together.
                let resource = self.write_or_keep(part).await?;
                return Ok(UploadProgress {
                    received,
                    upload: self.upload,
                    resource: Some(resource),
                });
            }
            self.upload.expires_at = uploads.clock.now().plus(uploads.lifetime_ms);
            self.append(&part).await?;
        }
        let resource = if received == self.upload.length {
            Some(self.uploads.complete(self.asking, self.upload.clone()).await?)
        } else {
            None
        };
        Ok(UploadProgress {
            received,
            upload: self.upload,
            resource,
        })
    }

    /// Writes the resource of an upload that came in one request. Where that is not possible just now, what came is kept as a part.
    async fn write_or_keep(&mut self, part: StoredBlob) -> Result<Live<Resource>, AppError> {
        let kept = part.clone();
        let uploads = &self.uploads;
        let error = match uploads.write(self.asking, &self.upload, part).await {
            Ok(resource) => return Ok(resource),
            Err(error) => error,
        };
        let for_the_moment = matches!(
            error,
            AppError::Store(StoreError::Unavailable(_)) | AppError::Blobs(BlobError::Unavailable(_))
        );
        if for_the_moment && uploads.blobs.info(kept.blob).await?.is_some() {
            self.upload.expires_at = uploads.clock.now().plus(uploads.lifetime_ms);
            self.append(&kept).await?;
        }
        Err(error)
    }

    async fn append(&self, received: &StoredBlob) -> Result<(), AppError> {
        let part = UploadPart {
            offset: self.offset,
            size: received.size,
            blob: received.blob.id,
        };
        let (id, expires_at) = (self.upload.id, self.upload.expires_at);
        let outcome = self
            .uploads
            .store
            .append(self.asking.user, id, part, expires_at)
            .await;
        // After an error it may be a part all the same: then the blob stays, and is removed with the upload.
        let error = match outcome? {
            AppendOutcome::Appended => return Ok(()),
            // A store that asked twice, because it got no answer at first, finds what it noted itself.
            AppendOutcome::Conflict { .. }
                if self.uploads.attachments.is_referenced(received.blob).await? =>
            {
                return Ok(());
            }
            AppendOutcome::Conflict { received } => AppError::OffsetConflict { received },
            AppendOutcome::TooLong => AppError::BeyondLength {
                length: self.upload.length,
            },
            AppendOutcome::Gone => AppError::NotFound,
        };
        self.uploads.attachments.discard(received.blob).await;
        Err(error)
    }
}
