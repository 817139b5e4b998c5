//! Smaller pictures, made when somebody first asks for them.

use std::time::Duration;

use bytes::BytesMut;
use futures_util::TryStreamExt;
use mosaic_domain::UserId;
use mosaic_domain::attachment::{ContentRef, VariantRef};
use mosaic_domain::entity::{Sha256, Variant};
use mosaic_ports::{BlobName, PictureError, SmallerPicture, StoreError, WriteError};
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::{Attachments, StoredFile};
use crate::concurrency::{ConcurrencyLimiter, ConcurrencyLimits, Permit};
use crate::error::AppError;

/// A picture file of more bytes is not read into memory.
const MAX_PICTURE_BYTES: u64 = 64 * 1024 * 1024;

/// How long an upload waits to hear whether smaller pictures can be made of it.
const LOOK: Duration = Duration::from_secs(10);

/// So many pictures are read into memory at once.
const STRIPES: usize = 2;

/// One picture of a user at a time, in the order of arrival: who asks for many waits behind themselves.
const TURNS: ConcurrencyLimits = ConcurrencyLimits {
    running: 1,
    waiting: 128,
    patience: Duration::from_mins(1),
};

/// Who makes a picture has the turn of its user, and holds the stripe of its content: others that want the same one wait, and find it
/// made.
#[derive(Debug)]
pub(super) struct ThumbnailLocks {
    turns: ConcurrencyLimiter<UserId>,
    stripes: [Mutex<()>; STRIPES],
}

impl Default for ThumbnailLocks {
    fn default() -> Self {
        Self {
            turns: ConcurrencyLimiter::new(TURNS),
            stripes: Default::default(),
        }
    }
}

impl ThumbnailLocks {
    fn stripe(&self, sha256: &Sha256) -> &Mutex<()> {
        &self.stripes[usize::from(sha256.as_bytes()[0]) % STRIPES]
    }

    async fn turn(&self, user: UserId) -> Result<Permit<UserId>, AppError> {
        let turn = self.turns.enter(user).await;
        Ok(turn.map_err(|full| StoreError::Unavailable(full.into()))?)
    }
}

impl Attachments {
    /// A smaller picture of a content. Once it is its turn it is made on a task of its own: a client that goes away meanwhile finds
    /// it next time.
    pub(super) async fn smaller(
        &self,
        user: UserId,
        sha256: Sha256,
        variant: Variant,
    ) -> Result<StoredFile, AppError> {
        if let Some(held) = self.ports.variants.variant(user, sha256, variant).await? {
            return Ok(shown(user, sha256, held));
        }
        let content = self.held(user, sha256).await?;
        let turn = self.thumbnails.turn(user).await?;
        let this = self.clone();
        let work = async move {
            let _turn = turn;
            let _stripe = this.thumbnails.stripe(&sha256).lock().await;
            match this.ports.variants.variant(user, sha256, variant).await? {
                Some(held) => Ok(shown(user, sha256, held)),
                None => this.make(user, content, variant).await,
            }
        };
        crate::joined(tokio::spawn(work).await)
    }

    /// Whether a smaller picture of a content can be made: one is, and thrown away. What can't be found out now (the storage fails,
    /// the server is busy) is found out by who asks for one.
    pub(super) async fn has_thumbnail(&self, user: UserId, sha256: Sha256) -> bool {
        let look = async {
            let _turn = self.thumbnails.turn(user).await?;
            let _stripe = self.thumbnails.stripe(&sha256).lock().await;
            if self
                .ports
                .variants
                .variant(user, sha256, Variant::Thumb)
                .await?
                .is_none()
            {
                let content = self.held(user, sha256).await?;
                self.paint(user, &content, Variant::Thumb).await?;
            }
            Ok(())
        };
        !matches!(
            timeout(LOOK, look).await,
            Ok(Err(AppError::NotAPicture | AppError::PictureTooLarge(_)))
        )
    }

    async fn make(
        &self,
        user: UserId,
        content: ContentRef,
        variant: Variant,
    ) -> Result<StoredFile, AppError> {
        let sha256 = content.sha256;
        let held = self.render(user, &content, variant).await?;
        let blob = BlobName { user, id: held.blob };
        let noted = self.ports.variants.add_variant(user, sha256, held.clone()).await;
        match noted {
            Ok(true) => return Ok(shown(user, sha256, held)),
            Ok(false) => {}
            Err(error) => {
                if matches!(error, WriteError::UnknownUser) {
                    self.discard(blob).await;
                }
                return Err(error.into());
            }
        }
        // Another instance was first, or the content went meanwhile; or the store got no answer at first, and asked twice.
        let now = self.ports.variants.variant(user, sha256, variant).await?;
        if now.as_ref().is_none_or(|now| now.blob != held.blob) {
            self.discard(blob).await;
        }
        now.map(|now| shown(user, sha256, now))
            .ok_or(AppError::NotUploaded)
    }

    /// Forgets a smaller picture whose blob is gone: the next one who asks has it made again.
    pub(super) async fn forget_variant(
        &self,
        user: UserId,
        sha256: Sha256,
        gone: VariantRef,
    ) -> Result<(), AppError> {
        Ok(self.ports.variants.remove_variant(user, sha256, gone).await?)
    }

    async fn paint(
        &self,
        user: UserId,
        content: &ContentRef,
        variant: Variant,
    ) -> Result<SmallerPicture, AppError> {
        if content.size > MAX_PICTURE_BYTES {
            return Err(AppError::PictureTooLarge(format!(
                "the file has {} bytes; of files with more than {MAX_PICTURE_BYTES} no smaller pictures are made",
                content.size
            )));
        }
        let blob = BlobName {
            user,
            id: content.blob,
        };
        let file = StoredFile::new(
            blob,
            String::new(),
            content.size,
            mosaic_domain::entity::MimeType::unknown(),
        );
        let bytes = self.read(&file, None).await?;
        let whole: BytesMut = bytes
            .try_fold(BytesMut::new(), |mut whole, bytes| async move {
                whole.extend_from_slice(&bytes);
                Ok(whole)
            })
            .await?;
        let pictures = &self.ports.pictures;
        Ok(pictures.smaller(whole.freeze(), variant.longest_side()).await?)
    }

    async fn render(
        &self,
        user: UserId,
        content: &ContentRef,
        variant: Variant,
    ) -> Result<VariantRef, AppError> {
        let picture = self.paint(user, content, variant).await?;
        let size = picture.bytes.len() as u64;
        let name = BlobName {
            user,
            id: self.ports.ids.next(),
        };
        let mut writer = self.ports.blobs.create(name).await?;
        writer.write(picture.bytes).await?;
        writer.finish().await?;
        Ok(VariantRef {
            variant,
            blob: name.id,
            size,
            mime_type: picture.mime_type,
        })
    }
}

fn shown(user: UserId, sha256: Sha256, held: VariantRef) -> StoredFile {
    let blob = BlobName { user, id: held.blob };
    let tag = format!("{sha256}-{}", held.variant.name());
    StoredFile {
        variant: Some((sha256, held.clone())),
        ..StoredFile::new(blob, tag, held.size, held.mime_type)
    }
}

impl From<PictureError> for AppError {
    fn from(error: PictureError) -> Self {
        match error {
            PictureError::Unreadable(_) => Self::NotAPicture,
            too_large @ PictureError::TooLarge { .. } => Self::PictureTooLarge(too_large.to_string()),
            PictureError::Failed(source) => Self::Internal(source),
        }
    }
}
