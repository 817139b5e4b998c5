//! The records of all users: writing, pulling, reading.

use std::sync::Arc;

use async_trait::async_trait;
use mosaic_domain::digest::Digest;
use mosaic_domain::login::LoginRefusal;
use mosaic_domain::pull::{PageLimits, PullRequest, Snapshot};
use mosaic_domain::query::{Listed, Listing, RecordQuery, TagCount};
use mosaic_domain::stamp::ClockExhausted;
use mosaic_domain::write::{Locked, WritePlan, WriteScope};
use mosaic_domain::{
    ClientId, Cursor, EntityType, Epoch, FamilyId, MemoId, PerEntity, Record, RecordKey, Revision,
    RevisionId, Stamp, UnixMillis, UserId,
};

use crate::error::{StoreError, WriteError};

/// The decision of a write: pure, so that a store may run it again after a retry.
pub type Decide = Arc<dyn Fn(&Locked) -> Result<WritePlan, ClockExhausted> + Send + Sync>;

/// Writes, each as one transaction.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait WriteStore: Send + Sync {
    /// Locks the user's clock row, loads the scope, asks `decide`, carries out the plan, commits, and returns the plan.
    ///
    /// Obligations:
    /// * From the lock to the commit no other write of this user runs, on any instance; writes of other users do not
    ///   wait (S1). The clock is read after the lock is held (S2).
    /// * [`Locked::records`] holds every existing record of the scope's keys, tombstones included; the live resources of
    ///   [`WriteScope::children_of`]; and the memo that each of those records belongs to.
    /// * Where [`WriteScope::login`] names a login, it is looked at under the lock: one that may not go on is refused.
    /// * [`Locked::bytes`] is what all records and revisions of the user come to. A write, a purge and a copy keep it so
    ///   (W10).
    /// * All or nothing, and returned only once it is durable (W8). A plan that is empty writes nothing (S4).
    /// * When the future is dropped, the write either happens whole or not at all, and holds no lock.
    /// * A revision whose id is stored already is left as it is. Others get the next number of their record; a number is
    ///   never given twice, whatever has been purged meanwhile.
    ///
    /// # Errors
    /// [`WriteError`]; nothing was written then, as far as anybody can tell: a store that can't know says
    /// [`StoreError::Unavailable`], and the client sends the same edit again, which is free (W3).
    async fn write(&self, scope: WriteScope, decide: Decide) -> Result<WritePlan, WriteError>;
}

/// What changed, for pulls.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait ChangeFeed: Send + Sync {
    /// Reads the user's clock, the epoch, and the changes that each type of the request has after its cursor, in one
    /// snapshot (P4), in stamp order, as many as the limits allow. Refused where the login of the request has ended in that
    /// snapshot or may not go on, or there is no such user.
    ///
    /// Obligations:
    /// * Where a type starts is decided by [`PullRequest::start`], called with the snapshot's own clock and epoch.
    /// * A snapshot that shows stamp *s* shows every change with a smaller stamp (S1).
    /// * A type ends after [`PageLimits::records`] records, or after the record with which its documents reach
    ///   [`PageLimits::bytes`], and then says whether there is more.
    /// * Each change of a record that belongs to a memo carries the memo's stamp in the same snapshot (P5).
    /// * Reading writes nothing. At rest (no type behind) it is one look-up at most.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn snapshot(
        &self,
        user: UserId,
        request: &PullRequest,
        limits: PageLimits,
    ) -> Result<Result<Snapshot, LoginRefusal>, StoreError>;

    /// The user's clock, which is where a device at rest stands; one look-up at most. Refused as [`Self::snapshot`] is.
    /// `login` is who asks; `None`: the server itself.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn clock(
        &self,
        user: UserId,
        login: Option<FamilyId>,
    ) -> Result<Result<Stamp, LoginRefusal>, StoreError>;
}

/// A revision with its number.
#[derive(Debug, Clone, PartialEq)]
pub struct KeptRevision {
    /// Counts the revisions of one record, from 1, in the order in which they were kept.
    pub number: u32,
    /// The revision.
    pub revision: Revision,
}

/// One page of the revisions of a record.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RevisionPage {
    /// The revisions, the latest kept first.
    pub items: Vec<KeptRevision>,
    /// Whether there are older ones.
    pub more: bool,
}

/// What a user's live records come to, in one snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyncDigest {
    /// The user's clock.
    pub clock: Stamp,
    /// The database's history.
    pub epoch: Epoch,
    /// The digest of each type.
    pub types: PerEntity<Digest>,
}

/// Reads of single records and lists. Each call sees every write that was acknowledged before it began.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait RecordReader: Send + Sync {
    /// A record, tombstones included.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn record(&self, user: UserId, key: RecordKey) -> Result<Option<Record>, StoreError>;

    /// Some records, tombstones included, in the order of their keys in `keys`. One that does not exist is left out.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn records(&self, user: UserId, keys: &[RecordKey]) -> Result<Vec<Record>, StoreError>;

    /// How many bytes the documents of some records have, tombstones included, in the order of `keys`: 0 of one that does not exist.
    /// Reads no document.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn sizes(&self, user: UserId, keys: &[RecordKey]) -> Result<Vec<u64>, StoreError>;

    /// The live children of some memos, each memo's in their order, memo after memo as in `parents`; of each memo as many as the
    /// limits allow (at least one, if there is one).
    ///
    /// # Errors
    /// [`StoreError`].
    async fn children(
        &self,
        user: UserId,
        parents: &[MemoId],
        limits: PageLimits,
    ) -> Result<Vec<Record>, StoreError>;

    /// The live records that a query matches: one page, and how many there are. Reads no documents but those that the query
    /// has to look at.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn list(&self, user: UserId, query: &RecordQuery) -> Result<Listing<Listed>, StoreError>;

    /// The tags of the live records of a type, the most frequent first, equal ones in code point order: at most
    /// [`TAGS_COUNTED`](mosaic_domain::query::TAGS_COUNTED).
    ///
    /// # Errors
    /// [`StoreError`].
    async fn tags(&self, user: UserId, entity_type: EntityType) -> Result<Vec<TagCount>, StoreError>;

    /// The revisions of a record, the latest kept first (H1), those numbered below `before`, as many as the limits allow
    /// (at least one, if there is one).
    ///
    /// # Errors
    /// [`StoreError`].
    async fn revisions(
        &self,
        user: UserId,
        key: RecordKey,
        before: Option<u32>,
        limits: PageLimits,
    ) -> Result<RevisionPage, StoreError>;

    /// One revision of a record.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn revision(
        &self,
        user: UserId,
        key: RecordKey,
        id: RevisionId,
    ) -> Result<Option<KeptRevision>, StoreError>;

    /// What the user's live records come to, with the clock and the epoch of the same snapshot. Reads no documents.
    /// `None`: there is no such user.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn digest(&self, user: UserId) -> Result<Option<SyncDigest>, StoreError>;
}

/// What one pull served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServedCursors {
    /// The user.
    pub user: UserId,
    /// The device.
    pub client: ClientId,
    /// The login that it pulled with. One that named no device belongs to this one from now on, so that it ends when the
    /// device is forgotten (D2).
    pub login: FamilyId,
    /// The cursors that it was given, for the types that it asked for.
    pub cursors: Vec<(EntityType, Cursor)>,
    /// When.
    pub served_at: UnixMillis,
}

/// A row of `sync_cursors` (D1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceCursor {
    /// The device.
    pub client: ClientId,
    /// The type.
    pub entity_type: EntityType,
    /// Up to where it was served.
    pub last_sync_at: Cursor,
    /// When it was served that: its last pull that brought something.
    pub served_at: UnixMillis,
}

/// The most devices of one user that are kept (D1): people look at them, and a client names as many as it likes.
pub const DEVICES_MAX: usize = 200;

/// What each device was served up to (D1): for people to look at. Never used to decide what to send (P6).
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait DeviceCursors: Send + Sync {
    /// Remembers what a pull served. Returns at once and never fails: the row is written soon after, in the order of the
    /// calls, and only if it differs from what is stored. A crash may lose the latest ones, which harms nobody.
    ///
    /// Of more than [`DEVICES_MAX`] devices of one user those go that were not served for the longest time; those that have
    /// a login go last.
    fn remember(&self, served: ServedCursors);

    /// The rows of a user, by device and type. Sees everything that was remembered before.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn cursors(&self, user: UserId) -> Result<Vec<DeviceCursor>, StoreError>;

    /// Removes the rows of a device, also what was remembered before and is not written yet (D2). Says whether there were
    /// any. A device that goes on pulling is remembered anew.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn forget(&self, user: UserId, client: &ClientId) -> Result<bool, StoreError>;
}

/// A part that can not work now, while everything else does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MissingPart {
    /// The storage of attachments.
    Attachments,
    /// Some of the machines that users are spread over: their users are not served.
    Machines,
}

/// Whether the store can work.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait Health: Send + Sync {
    /// Asks the database, in a few milliseconds. Gives what does not work while the rest does.
    ///
    /// # Errors
    /// [`StoreError`] when it can't.
    async fn check(&self) -> Result<Vec<MissingPart>, StoreError>;
}
