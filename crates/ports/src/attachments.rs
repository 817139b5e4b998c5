//! What is known of the bytes of attachments: which blob holds which content, and the uploads that are under way. Kept by
//! the store of the records, because whether bytes are still needed is said by records; the bytes themselves are in a
//! [`BlobStore`](crate::BlobStore).
//!
//! A *content* is what one hash stands for, within one user: the same bytes are kept once. A blob that holds something
//! is *known*; one that is not, and was not stored just now, is waste.

use async_trait::async_trait;
use mosaic_domain::entity::{MimeType, Sha256, Variant};
use mosaic_domain::{AvatarId, ClientId, RecordKey, ResourceId, UnixMillis, UploadId, UserId};
use uuid::Uuid;

use crate::error::{StoreError, WriteError};

/// A content and the blob that holds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeldContent {
    /// The hash of the bytes.
    pub sha256: Sha256,
    /// The blob, among those of the user.
    pub blob: Uuid,
    /// How many bytes.
    pub size: u64,
    /// When somebody last brought these bytes. For a while after that they are kept though no record names them yet.
    pub touched_at: UnixMillis,
}

/// What became of bytes that somebody brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HoldOutcome {
    /// The blob holds the content from now on.
    Held,
    /// Another blob holds the same content, and goes on doing so.
    HeldBy(HeldContent),
    /// The user would have more than allowed; nothing changed.
    OverQuota {
        /// How many bytes the user's contents have.
        used: u64,
    },
}

/// What a user's attachments come to, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AttachmentUsage {
    /// The contents that are held.
    pub held: u64,
    /// The announced sizes of the uploads that are under way.
    pub announced: u64,
}

/// A smaller picture that was made of a content, and the blob that holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldVariant {
    /// Which one.
    pub variant: Variant,
    /// The blob, among those of the user.
    pub blob: Uuid,
    /// How many bytes.
    pub size: u64,
    /// What kind of picture it is.
    pub mime_type: MimeType,
}

/// A picture of an account or of a bot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Avatar {
    /// Its id, which its address has.
    pub id: AvatarId,
    /// Its content.
    pub sha256: Sha256,
    /// What kind of picture it is.
    pub mime_type: MimeType,
    /// When it was uploaded. For a while after that it is kept though nothing names it yet.
    pub created_at: UnixMillis,
}

/// Blobs that hold nothing any more.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Dropped {
    /// Which, among those of the user.
    pub blobs: Vec<Uuid>,
    /// Whether there may be more to do for this user.
    pub more: bool,
}

/// Which blob holds which content. Every method is one transaction, for one user; what changes something takes turns with
/// the writes of that user.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait ContentIndex: Send + Sync {
    /// Notes that a blob holds a content, unless another one does, which is touched instead. With new content the user's
    /// contents come to `quota` bytes at most, together; content that is there already is never over it.
    ///
    /// Whoever gets an answer may write a record that names the content: it is not dropped by [`ContentIndex::drop_unnamed`] with
    /// an earlier `before` than `now`.
    ///
    /// # Errors
    /// [`WriteError`]; unknown where the account is gone or being removed.
    async fn hold(&self, user: UserId, content: HeldContent, quota: u64) -> Result<HoldOutcome, WriteError>;

    /// Puts a blob in the place of one that turned out to be gone or damaged. Says whether it was still that one.
    ///
    /// # Errors
    /// [`WriteError`].
    async fn replace(&self, user: UserId, gone: HeldContent, by: HeldContent) -> Result<bool, WriteError>;

    /// The blob that holds a content.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn content(&self, user: UserId, sha256: Sha256) -> Result<Option<HeldContent>, StoreError>;

    /// What a user's attachments come to. Zero for users that are not there.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn usage(&self, user: UserId) -> Result<AttachmentUsage, StoreError>;

    /// Notes that a blob holds a smaller picture of a content. `false` where another one does, or where the content is gone:
    /// the blob is not needed.
    ///
    /// # Errors
    /// [`WriteError`].
    async fn hold_variant(
        &self,
        user: UserId,
        sha256: Sha256,
        variant: HeldVariant,
    ) -> Result<bool, WriteError>;

    /// Forgets a smaller picture whose blob turned out to be gone. Nothing happens where another blob holds it by now.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn drop_variant(&self, user: UserId, sha256: Sha256, gone: HeldVariant) -> Result<(), StoreError>;

    /// A smaller picture of a content, if it was made.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn variant(
        &self,
        user: UserId,
        sha256: Sha256,
        variant: Variant,
    ) -> Result<Option<HeldVariant>, StoreError>;

    /// Notes an avatar, whose content is held.
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

    /// Takes one step of forgetting, at most `limit` rows of each kind, and returns the blobs that hold nothing any more. What is
    /// forgotten:
    ///
    /// * avatars from before that moment whose id stands neither in the account's `avatarUrl` nor in any record or
    ///   revision of a bot;
    /// * contents that were touched before it and that no avatar, no record (nor tombstone with its content) and no revision
    ///   names, with their variants.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn drop_unnamed(&self, user: UserId, before: UnixMillis, limit: u32)
    -> Result<Dropped, StoreError>;

    /// Which of these contents, all of them held, no avatar, record or revision names.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn unnamed(&self, user: UserId, contents: Vec<Sha256>) -> Result<Vec<Sha256>, StoreError>;

    /// Which of these blobs hold something: a content, a variant, a part of an upload that is under way.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn known(&self, user: UserId, blobs: Vec<Uuid>) -> Result<Vec<Uuid>, StoreError>;

    /// The live records after a key that name a content which nobody holds, in ascending order of the keys as text, at most
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

    /// Accounts that were removed, after one and in ascending order, at most `limit`. An account is among them once
    /// [`AccountStore::remove`](crate::AccountStore::remove) has removed the last of it, for good: an address that
    /// was given out before may still bring a blob. One that is loaded again is not.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn removed_users(&self, after: Option<UserId>, limit: u32) -> Result<Vec<UserId>, StoreError>;
}

/// How the bytes of an upload come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UploadKind {
    /// Through the server, in parts.
    Parts,
    /// Past it: one request to the storage, which stores them as this blob.
    Direct {
        /// The blob, among those of the user.
        blob: Uuid,
    },
}

/// An upload that may take several requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upload {
    /// Its id, which its address has.
    pub id: UploadId,
    /// The resource that it becomes.
    pub resource: ResourceId,
    /// The device that began it.
    pub author: ClientId,
    /// How many bytes it has when it is complete.
    pub length: u64,
    /// How its bytes come.
    pub kind: UploadKind,
    /// What its beginner said of the resource: JSON that the store does not look into.
    pub fields: String,
    /// When it began.
    pub created_at: UnixMillis,
    /// When it is given up.
    pub expires_at: UnixMillis,
}

/// How far an upload has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UploadState {
    /// The upload.
    pub upload: Upload,
    /// How many bytes were received through the server; all of them, once it is finished.
    pub received: u64,
    /// In how many parts.
    pub parts: u32,
    /// Whether its resource was written.
    pub finished: bool,
}

/// Bytes of an upload that came in one request, and the blob that holds them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UploadPart {
    /// How many bytes come before it.
    pub offset: u64,
    /// How many bytes it has; at least one.
    pub size: u64,
    /// The blob, among those of the user.
    pub blob: Uuid,
}

/// What became of beginning an upload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BeginOutcome {
    /// It has begun.
    Begun,
    /// With it, the user's contents and uploads could come to more than allowed.
    OverQuota(AttachmentUsage),
    /// The user has too many that are not finished.
    TooMany,
}

/// What became of a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AppendOutcome {
    /// It is a part of the upload now.
    Appended,
    /// The upload has this many bytes, or is finished: the part does not follow. Its blob is not needed.
    Conflict {
        /// How many bytes were received.
        received: u64,
    },
    /// The part would go beyond the announced length. Its blob is not needed.
    TooLong,
    /// There is no such upload, or no longer. Its blob is not needed.
    Gone,
}

/// Uploads that are under way. Every method is one transaction, for one user.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait Uploads: Send + Sync {
    /// Notes a new upload, unless the user has `most` that are not finished, or its length, those of all uploads that are not finished,
    /// and the contents would come to more than `quota` bytes together. Takes turns with other beginnings of the user.
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

    /// Adds a part, if it follows what was received: of two that try at once, one does. The upload is given up at
    /// `expires_at` from now on.
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

    /// Forgets uploads that had expired at a moment, at most `limit` rows, and returns the blobs that held their parts.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn drop_expired(&self, user: UserId, now: UnixMillis, limit: u32) -> Result<Dropped, StoreError>;
}
