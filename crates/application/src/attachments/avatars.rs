//! Pictures of accounts and of bots: small files with an address of their own, and no record.

use mosaic_domain::attachment::Avatar;
use mosaic_domain::entity::{Filename, MimeType};
use mosaic_domain::{AvatarId, UserId};

use super::{Attachments, BlobIngest, StoredBlob, StoredFile};
use crate::error::AppError;

/// A user may have so many avatars. Those that nothing names go with a purge.
const MOST_AVATARS: usize = 100;

impl Attachments {
    /// Begins to take in an avatar.
    ///
    /// # Errors
    /// [`AppError::TooManyAvatars`], or the storage's error.
    pub async fn receive_avatar(&self, user: UserId) -> Result<BlobIngest, AppError> {
        if self.ports.avatars.avatars(user).await?.len() >= MOST_AVATARS {
            return Err(AppError::TooManyAvatars);
        }
        self.receive_up_to(user, self.limits.avatar_bytes).await
    }

    /// Ends a file and keeps it as an avatar, as [`Attachments::add_avatar`] does, on a task of its own.
    ///
    /// # Errors
    /// As [`Attachments::add_avatar`], or the storage's error.
    pub async fn complete_avatar(
        &self,
        declared: Option<MimeType>,
        filename: Filename,
        ingest: BlobIngest,
    ) -> Result<AvatarId, AppError> {
        let this = self.clone();
        let work = async move {
            let received = ingest.finish().await?;
            this.add_avatar(declared, &filename, received).await
        };
        crate::joined(tokio::spawn(work).await)
    }

    /// Keeps what was received as an avatar. It stays for as long as the account or a bot names its address; the caller sees
    /// to that.
    ///
    /// # Errors
    /// [`AppError::NotAPicture`], [`AppError::QuotaExceeded`], or a store's error.
    pub async fn add_avatar(
        &self,
        declared: Option<MimeType>,
        filename: &Filename,
        received: StoredBlob,
    ) -> Result<AvatarId, AppError> {
        let mime_type = self
            .ports
            .types
            .recognise(&received.head, declared.as_ref(), filename);
        if !mime_type.has_variants() {
            self.discard(received.blob).await;
            return Err(AppError::NotAPicture);
        }
        self.keep(&received).await?;
        let avatar = Avatar {
            id: AvatarId::new(self.ports.ids.next()),
            sha256: received.sha256,
            mime_type,
            created_at: self.ports.clock.now(),
        };
        let id = avatar.id;
        self.ports.avatars.add_avatar(received.blob.user, avatar).await?;
        Ok(id)
    }

    /// The file of an avatar.
    ///
    /// # Errors
    /// [`AppError::NotFound`].
    pub async fn avatar(&self, user: UserId, id: AvatarId) -> Result<StoredFile, AppError> {
        let avatar = self.ports.avatars.avatar(user, id).await?;
        let Avatar {
            sha256, mime_type, ..
        } = avatar.ok_or(AppError::NotFound)?;
        self.whole(user, sha256, mime_type).await
    }
}
