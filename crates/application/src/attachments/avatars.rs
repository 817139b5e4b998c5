//! Pictures of accounts and of bots: small files with an address of their own, and no record.

use mosaic_domain::attachment::Avatar;
use mosaic_domain::entity::{Filename, MimeType};
use mosaic_domain::{AvatarId, UserId};

use super::{Attachments, BlobIngest, StoredFile};
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

    /// Ends a file and keeps it as an avatar, on a task of its own: a client that goes away after its last byte does not interrupt
    /// it. It stays for as long as the account or a bot names its address; the caller sees to that.
    ///
    /// # Errors
    /// [`AppError::NotAPicture`], [`AppError::QuotaExceeded`], or an error of the storage or of a store.
    pub async fn add_avatar(
        &self,
        declared: Option<MimeType>,
        filename: Filename,
        ingest: BlobIngest,
    ) -> Result<AvatarId, AppError> {
        let this = self.clone();
        let work = async move {
            let received = ingest.finish().await?;
            let (ports, declared) = (&this.ports, declared.as_ref());
            let mime_type = ports.types.recognise(&received.head, declared, &filename);
            if !mime_type.has_variants() {
                this.discard(received.blob).await;
                return Err(AppError::NotAPicture);
            }
            this.keep(&received).await?;
            let avatar = Avatar {
                id: AvatarId::new(ports.ids.next()),
                sha256: received.sha256,
                mime_type,
                created_at: ports.clock.now(),
            };
            let id = avatar.id;
            ports.avatars.add_avatar(received.blob.user, avatar).await?;
            Ok(id)
        };
        crate::joined(tokio::spawn(work).await)
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
