//! Bytes that are coming in.

use bytes::Bytes;
use mosaic_domain::UserId;
use mosaic_domain::entity::Sha256;
use mosaic_ports::{BlobName, BlobWriter, HEAD_BYTES};
use sha2::Digest;

use crate::concurrency::Permit;
use crate::error::AppError;

/// A file that is being received. Dropped before it is finished, it leaves nothing behind.
pub struct BlobIngest {
    blob: BlobName,
    writer: Box<dyn BlobWriter>,
    hash: sha2::Sha256,
    head: Vec<u8>,
    size: u64,
    limit: u64,
    /// Held until the file is whole, or given up.
    _place: Permit<UserId>,
}

/// A file that was received whole. Nobody names it yet: it has to be given to a use case, or it is waste.
#[derive(Debug, Clone)]
pub struct StoredBlob {
    pub(crate) blob: BlobName,
    pub(crate) sha256: Sha256,
    pub(crate) size: u64,
    /// Its first [`HEAD_BYTES`].
    pub(crate) head: Vec<u8>,
}

impl StoredBlob {
    /// The hash of its bytes.
    pub fn sha256(&self) -> Sha256 {
        self.sha256
    }

    /// How many bytes it has.
    pub fn size(&self) -> u64 {
        self.size
    }
}

impl BlobIngest {
    pub(super) fn new(
        blob: BlobName,
        writer: Box<dyn BlobWriter>,
        limit: u64,
        place: Permit<UserId>,
    ) -> Self {
        Self {
            blob,
            writer,
            hash: sha2::Sha256::new(),
            head: Vec::new(),
            size: 0,
            limit,
            _place: place,
        }
    }

    /// Takes the next bytes; waits while the storage is slow.
    ///
    /// # Errors
    /// [`AppError::FileTooLarge`], or the storage's error.
    pub async fn write(&mut self, bytes: Bytes) -> Result<(), AppError> {
        let size = self.size + bytes.len() as u64;
        if size > self.limit {
            return Err(AppError::FileTooLarge { limit: self.limit });
        }
        let missing = HEAD_BYTES - self.head.len();
        self.head.extend_from_slice(&bytes[..bytes.len().min(missing)]);
        self.hash.update(&bytes);
        self.writer.write(bytes).await?;
        self.size = size;
        Ok(())
    }

    /// How many bytes came so far.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Ends the file. Durable when this returns.
    ///
    /// # Errors
    /// The storage's error.
    pub async fn finish(self) -> Result<StoredBlob, AppError> {
        self.writer.finish().await?;
        Ok(StoredBlob {
            blob: self.blob,
            sha256: Sha256::from_bytes(self.hash.finalize().into()),
            size: self.size,
            head: self.head,
        })
    }
}

impl std::fmt::Debug for BlobIngest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BlobIngest")
            .field("blob", &self.blob)
            .field("size", &self.size)
            .finish_non_exhaustive()
    }
}
