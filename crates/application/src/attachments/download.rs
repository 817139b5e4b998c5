//! The bytes of a resource, to read.

use std::ops::Range;
use std::time::Duration;

use mosaic_domain::attachment::VariantRef;
use mosaic_domain::entity::{Filename, MimeType, Resource, Sha256, Variant};
use mosaic_domain::{ResourceId, UserId};
use mosaic_ports::{BlobBytes, BlobName, PresignedRead};

use super::Attachments;
use crate::error::AppError;

/// A file that can be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredFile {
    /// Names its bytes: the same for the same bytes, and never again for others. In hexadecimal, with an ending for variants.
    pub tag: String,
    /// How many bytes.
    pub size: u64,
    /// What it is.
    pub mime_type: MimeType,
    /// What it is called, where it has a name.
    pub filename: Option<Filename>,
    pub(super) blob: BlobName,
    /// Which smaller picture it is of what.
    pub(super) variant: Option<(Sha256, VariantRef)>,
}

impl StoredFile {
    pub(super) fn new(blob: BlobName, tag: String, size: u64, mime_type: MimeType) -> Self {
        Self {
            tag,
            size,
            mime_type,
            filename: None,
            blob,
            variant: None,
        }
    }
}

impl Attachments {
    /// The file of a resource, or a smaller picture of it, which is made now if it was not before.
    ///
    /// # Errors
    /// [`AppError::NotFound`], [`AppError::NotUploaded`] where there are no bytes yet, and for smaller pictures
    /// [`AppError::NotAPicture`] and [`AppError::PictureTooLarge`].
    pub async fn file(
        &self,
        user: UserId,
        id: ResourceId,
        variant: Option<Variant>,
    ) -> Result<StoredFile, AppError> {
        let resource = self.records.get::<Resource>(user, id).await?.content;
        let sha256 = resource.sha256.ok_or(AppError::NotUploaded)?;
        let file = match variant {
            None => self.whole(user, sha256, resource.mime_type).await?,
            Some(_) if !resource.mime_type.has_variants() => return Err(AppError::NotAPicture),
            Some(variant) => self.smaller(user, sha256, variant).await?,
        };
        Ok(StoredFile {
            filename: Some(resource.filename),
            ..file
        })
    }

    pub(super) async fn whole(
        &self,
        user: UserId,
        sha256: Sha256,
        mime_type: MimeType,
    ) -> Result<StoredFile, AppError> {
        let held = self.held(user, sha256).await?;
        let blob = BlobName { user, id: held.blob };
        Ok(StoredFile::new(blob, sha256.to_string(), held.size, mime_type))
    }

    /// The bytes of a file, or some of them. What lies beyond its end is left out.
    ///
    /// # Errors
    /// [`AppError::ContentMissing`] where the storage does not have them, or the storage's error. A smaller picture is made again then
    /// when somebody asks for it the next time.
    pub async fn read(&self, file: &StoredFile, range: Option<Range<u64>>) -> Result<BlobBytes, AppError> {
        let BlobName { user, id } = file.blob;
        match self.ports.blobs.read(file.blob, range).await? {
            Some(reader) if reader.size == file.size => return Ok(reader.bytes),
            Some(reader) => {
                tracing::error!(%user, blob = %id, found = reader.size, "a blob has another size than was stored");
            }
            None => {
                tracing::error!(%user, blob = %id, "a blob is missing in the storage of attachments");
            }
        }
        if let Some((sha256, gone)) = file.variant.clone() {
            self.forget_variant(user, sha256, gone).await?;
        }
        Err(AppError::ContentMissing)
    }

    /// An address at which a file can be read for a while without this server. `None` where the storage has none.
    ///
    /// # Errors
    /// The storage's error.
    pub async fn address(
        &self,
        file: &StoredFile,
        content_disposition: String,
        expires_in: Duration,
    ) -> Result<Option<String>, AppError> {
        let read = PresignedRead {
            expires_in,
            content_type: file.mime_type.as_str().to_owned(),
            content_disposition,
        };
        Ok(self.ports.blobs.presign_read(file.blob, read).await?)
    }
}
