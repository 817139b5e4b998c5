//! What is known of the bytes of attachments: which blob holds which content, and what references it. Kept by the store of
//! the records, because whether bytes are still needed is said by records; the bytes themselves are in a
//! [`BlobStore`](crate::BlobStore). What is decided about them is in [`mosaic_domain::attachment`].
//!
//! A blob is *referenced* where it holds a content, a variant, or bytes of an upload that is under way. One that is not, and
//! was not stored just now, is an *orphan*.

use async_trait::async_trait;
use mosaic_domain::attachment::{
    AttachmentUsage, Avatar, Collected, ContentRef, ReferenceOutcome, VariantRef,
};
use mosaic_domain::entity::{Sha256, Variant};
use mosaic_domain::{AvatarId, RecordKey, UnixMillis, UserId};
use uuid::Uuid;

use crate::error::{StoreError, WriteError};

/// Which blob holds which content. Every method is one transaction, for one user; what changes something takes turns with
/// the writes of that user.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait AttachmentIndex: Send + Sync {
    /// Notes that a blob holds a content, unless another one does, which is touched instead. With new content the user's
    /// contents come to `quota` bytes at most, together; content that is there already is never over it
    /// ([`reference`](mosaic_domain::attachment::reference)).
    ///
    /// Whoever gets an answer may write a record that names the content: it is not dropped by
    /// [`OrphanIndex::collect_unreferenced`] with an earlier `before` than its `touched_at`.
    ///
    /// # Errors
    /// [`WriteError`]; unknown where the account is gone or being removed.
    async fn reference(
        &self,
        user: UserId,
        content: ContentRef,
        quota: u64,
    ) -> Result<ReferenceOutcome, WriteError>;

    /// Puts a blob in the place of one that turned out to be gone or damaged, and that holds the same content. Says whether it
    /// was still that one.
    ///
    /// # Errors
    /// [`WriteError`].
    async fn replace(&self, user: UserId, gone: ContentRef, by: ContentRef) -> Result<bool, WriteError>;

    /// The blob that holds a content.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn content(&self, user: UserId, sha256: Sha256) -> Result<Option<ContentRef>, StoreError>;

    /// What a user's attachments come to. Zero for users that are not there.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn usage(&self, user: UserId) -> Result<AttachmentUsage, StoreError>;
}

/// The smaller pictures that were made of contents. Every method is one transaction, for one user; what adds one takes
/// turns with the writes of that user.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait VariantIndex: Send + Sync {
    /// Notes that a blob holds a smaller picture of a content. `false` where another one does, or where the content is gone:
    /// the blob is not needed.
    ///
    /// # Errors
    /// [`WriteError`].
    async fn add_variant(
        &self,
        user: UserId,
        sha256: Sha256,
        variant: VariantRef,
    ) -> Result<bool, WriteError>;

    /// Forgets a smaller picture whose blob turned out to be gone. Nothing happens where another blob holds it by now.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn remove_variant(&self, user: UserId, sha256: Sha256, gone: VariantRef) -> Result<(), StoreError>;

    /// A smaller picture of a content, if it was made.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn variant(
        &self,
        user: UserId,
        sha256: Sha256,
        variant: Variant,
    ) -> Result<Option<VariantRef>, StoreError>;
}

/// The pictures of accounts and of bots. Every method is one transaction, for one user.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait AvatarIndex: Send + Sync {
    /// Notes an avatar, whose content is referenced. Takes turns with the writes of the user.
    ///
    /// # Errors
    /// [`WriteError`]; unknown where the account is gone or being removed.
    async fn add_avatar(&self, user: UserId, avatar: Avatar) -> Result<(), WriteError>;

    /// An avatar.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn avatar(&self, user: UserId, id: AvatarId) -> Result<Option<Avatar>, StoreError>;

    /// The avatars of a user, by id.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn avatars(&self, user: UserId) -> Result<Vec<Avatar>, StoreError>;
}

/// What nobody needs any more.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait OrphanIndex: Send + Sync {
    /// Takes one step of forgetting, at most `limit` rows of each kind, in turn with the writes of the user; avatars first,
    /// then contents with their variants. What goes is decided by [`collect`](mosaic_domain::attachment::collect).
    ///
    /// # Errors
    /// [`StoreError`].
    async fn collect_unreferenced(
        &self,
        user: UserId,
        before: UnixMillis,
        limit: u32,
    ) -> Result<Collected, StoreError>;

    /// Which of these blobs hold something: a content, a variant, a part of an upload that is under way, or what an upload past
    /// the server brings. As every transaction left it that was over before.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn referenced(&self, user: UserId, blobs: Vec<Uuid>) -> Result<Vec<Uuid>, StoreError>;

    /// Accounts that were removed, after one and in ascending order, at most `limit`. An account is among them once
    /// [`AccountStore::remove`](crate::AccountStore::remove) has removed the last of it, for good: an address that
    /// was given out before may still bring a blob. One that is loaded again is not.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn removed_users(&self, after: Option<UserId>, limit: u32) -> Result<Vec<UserId>, StoreError>;
}

/// Where records and contents do not agree.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait AttachmentAudit: Send + Sync {
    /// Which of these contents are there and not named by any avatar, record or revision.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn unreferenced(&self, user: UserId, contents: Vec<Sha256>) -> Result<Vec<Sha256>, StoreError>;

    /// The live records after a key that name a content which is not there, in ascending order of the keys as text, at most
    /// `limit`.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn without_content(
        &self,
        user: UserId,
        after: Option<RecordKey>,
        limit: u32,
    ) -> Result<Vec<(RecordKey, Sha256)>, StoreError>;
}
