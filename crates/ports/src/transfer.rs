//! What a store is, and moving a whole installation from one to another.

use async_trait::async_trait;
use mosaic_domain::activity::Activity;
use mosaic_domain::attachment::{Avatar, ContentRef};
use mosaic_domain::entity::Sha256;
use mosaic_domain::pull::PageLimits;
use mosaic_domain::{Epoch, FamilyId, Record, Stamp, UnixMillis, UserId};

use crate::error::StoreError;
use crate::store::{DeviceCursor, KeptRevision};
use mosaic_domain::account::Account;
use mosaic_domain::invite::Invite;
use mosaic_domain::login::{KeptLogin, TokenHash};
use uuid::Uuid;

/// Everything of one user but records, revisions and contents. Uploads that are under way are not carried over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserDump {
    /// The account and its password's hash.
    pub account: Account,
    /// The user's clock (S1).
    pub clock: Stamp,
    /// What the user's records and revisions come to, in bytes (W10).
    pub record_bytes: u64,
    /// What the devices were served (D1), by device and type.
    pub cursors: Vec<DeviceCursor>,
    /// The logins, by id.
    pub logins: Vec<KeptLogin>,
    /// The refresh tokens of versions before, by hash.
    pub earlier_tokens: Vec<EarlierToken>,
    /// The avatars, by id.
    pub avatars: Vec<Avatar>,
}

/// A refresh token of a version before, which carries no key: this says which login it is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EarlierToken {
    /// Its hash.
    pub hash: TokenHash,
    /// Its login.
    pub family: FamilyId,
    /// When it stops working.
    pub expires_at: UnixMillis,
}

/// How far a user has been loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Loaded {
    /// How many records, tombstones included.
    pub records: u64,
    /// The greatest stamp among them; zero where there are none.
    pub last_stamp: Stamp,
    /// How many revisions.
    pub revisions: u64,
    /// How many contents.
    pub contents: u64,
}

/// A place in the sequence of a user's revisions, which are ordered by entity type (by name), key and number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RevisionPlace {
    /// The name of the entity type.
    pub entity_type: String,
    /// The record's key, as text.
    pub key: String,
    /// The revision's number.
    pub number: u32,
}

/// A record as a store keeps it.
#[derive(Debug, Clone, PartialEq)]
pub struct DumpedRecord {
    /// The record.
    pub record: Record,
    /// The greatest number of a revision of it that was purged; zero where none was. Numbers go on from there (H2).
    pub purged_revisions: u32,
}

/// Which history a store holds, and which storage it belongs to.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait StoreIdentity: Send + Sync {
    /// The name of the history that the store holds (R2).
    ///
    /// # Errors
    /// [`StoreError`].
    async fn epoch(&self) -> Result<Epoch, StoreError>;

    /// Renames the history, unless it has another name than `old` by now: of several instances that do it at once, one does. Answers
    /// whether it did.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn replace_epoch(&self, old: Epoch, new: Epoch) -> Result<bool, StoreError>;

    /// The name of the storage in which the blobs of this store are; `None` until it was given.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn storage(&self) -> Result<Option<Uuid>, StoreError>;

    /// Names the storage in which the blobs are, unless it has a name already. Returns the name that it has now: of several
    /// instances that start at once, all get the same.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn name_storage(&self, name: Uuid) -> Result<Uuid, StoreError>;
}

/// Who there is.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait UserIds: Send + Sync {
    /// The users after one, in ascending order, at most `limit`.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn user_ids(&self, after: Option<UserId>, limit: u32) -> Result<Vec<UserId>, StoreError>;
}

/// Reads a store out whole, with stamps, edit times, cursors and revision numbers as they are. Each call is a transaction of its
/// own.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait DumpReader: Send + Sync {
    /// Everything of a user but records, revisions and contents. `None`: there is no such user, or the account is being removed.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn dump_user(&self, user: UserId) -> Result<Option<UserDump>, StoreError>;

    /// The records with greater stamps, of all types and tombstones included, in stamp order, as many as the limits allow
    /// (at least one, if there is one).
    ///
    /// # Errors
    /// [`StoreError`].
    async fn dump_records(
        &self,
        user: UserId,
        after: Stamp,
        limits: PageLimits,
    ) -> Result<Vec<DumpedRecord>, StoreError>;

    /// The revisions after a place, as many as the limits allow (at least one, if there is one).
    ///
    /// # Errors
    /// [`StoreError`].
    async fn dump_revisions(
        &self,
        user: UserId,
        after: Option<RevisionPlace>,
        limits: PageLimits,
    ) -> Result<Vec<KeptRevision>, StoreError>;

    /// Which blob holds which content: those after one, in ascending order of the hashes, at most `limit`. Variants are not
    /// among them: they can be made again.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn dump_contents(
        &self,
        user: UserId,
        after: Option<Sha256>,
        limit: u32,
    ) -> Result<Vec<ContentRef>, StoreError>;

    /// How much there is of a user: of the target of a copy, how far it has come.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn loaded(&self, user: UserId) -> Result<Loaded, StoreError>;
}

/// Writes what a [`DumpReader`] read into another store, so that devices just go on pulling there. Each call is a transaction of its
/// own: a copy is for a store that nobody else uses meanwhile.
///
/// Loading is idempotent: what is there already is replaced by the same.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait DumpWriter: Send + Sync {
    /// Writes a user; cursors, logins and avatars that are not in the dump go, and so do all contents.
    ///
    /// # Errors
    /// [`StoreError`], also where the name belongs to another user.
    async fn load_user(&self, dump: UserDump) -> Result<(), StoreError>;

    /// Writes records as they are, and indexes them.
    ///
    /// # Errors
    /// [`StoreError`], also where another record has one of the stamps.
    async fn load_records(&self, user: UserId, records: Vec<DumpedRecord>) -> Result<(), StoreError>;

    /// Writes revisions with their numbers. One that is there stays.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn load_revisions(&self, user: UserId, revisions: Vec<KeptRevision>) -> Result<(), StoreError>;

    /// Writes which blob holds which content. What is there already is replaced.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn load_contents(&self, user: UserId, contents: Vec<ContentRef>) -> Result<(), StoreError>;

    /// Writes events into a user's trail. One that is there stays.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn load_activity(&self, user: UserId, events: Vec<Activity>) -> Result<(), StoreError>;

    /// Writes invites. What is there already is replaced by the same.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn load_invites(&self, invites: Vec<Invite>) -> Result<(), StoreError>;

    /// Has the database know how much there is of what, after much was written: it chooses its ways by that.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn refresh_statistics(&self) -> Result<(), StoreError>;
}

impl RevisionPlace {
    /// The place of a revision.
    pub fn of(kept: &KeptRevision) -> Self {
        Self {
            entity_type: kept.revision.key.entity_type().name().to_owned(),
            key: kept.revision.key.to_string(),
            number: kept.number,
        }
    }
}
