//! Bytes that nobody needs any more: of resources whose content was erased, of uploads that were never finished, of accounts
//! that were removed.
//!
//! Blobs are named anew every time and never again. Whoever stored one has it noted at once, in one transaction after the
//! other, and nobody else knows its name until then. So a blob that was something's and is nothing's any more, or that is old and
//! nothing's, can't come to be needed while it is removed: asking once, when the transaction that forgot it is over, is enough.

use std::collections::HashSet;
use std::sync::Arc;

use mosaic_domain::{UnixMillis, UserId};
use mosaic_ports::{BlobError, BlobInfo, BlobName, BlobStore, Clock, OrphanIndex, StoreError, UploadStore};
use uuid::Uuid;

/// What was brought is kept for so long though nothing names it, in milliseconds: its record may still be on the way.
pub const GRACE_MS: i64 = 24 * 3_600_000;
/// How many rows one step takes, and so for how long it holds a user's lock.
const ROWS_AT_ONCE: u32 = 200;
/// How many blobs are asked for at once.
const BLOBS_AT_ONCE: u32 = 1_000;

/// Why bytes were not removed.
#[derive(Debug, thiserror::Error)]
pub enum GarbageError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The storage of attachments failed.
    #[error(transparent)]
    Blobs(#[from] BlobError),
}

/// Removes bytes that nobody needs any more.
#[derive(Clone)]
pub struct GarbageCollector {
    orphans: Arc<dyn OrphanIndex>,
    uploads: Arc<dyn UploadStore>,
    blobs: Arc<dyn BlobStore>,
    clock: Arc<dyn Clock>,
}

impl GarbageCollector {
    /// Over these ports.
    pub fn new(
        orphans: Arc<dyn OrphanIndex>,
        uploads: Arc<dyn UploadStore>,
        blobs: Arc<dyn BlobStore>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            orphans,
            uploads,
            blobs,
            clock,
        }
    }

    /// Takes one step for one user: uploads that have expired, then contents that nothing names. Says how many blobs are
    /// gone, and whether there may be more to do.
    ///
    /// # Errors
    /// [`GarbageError`]. A blob that could not be removed is found by [`GarbageCollector::remove_orphans`] later.
    pub async fn step(&self, user: UserId) -> Result<(u64, bool), GarbageError> {
        let now = self.clock.now();
        let expired = self.uploads.drop_expired(user, now, ROWS_AT_ONCE).await?;
        let before = now.plus(-GRACE_MS);
        let unreferenced = self
            .orphans
            .collect_unreferenced(user, before, ROWS_AT_ONCE)
            .await?;
        let more = expired.more || unreferenced.more;
        let mut removed = 0;
        // What held a part may hold a content by now, and what held a content may be a part still.
        let dropped = [expired.blobs, unreferenced.blobs].concat();
        for id in orphans(self.orphans.as_ref(), user, dropped).await? {
            self.blobs.remove(BlobName { user, id }).await?;
            removed += 1;
        }
        Ok((removed, more))
    }

    /// Takes one step through a user's blobs, after one: removes those that hold nothing, and did not come just now, which a process
    /// that was killed left. Says how many, and after which to go on; `None`: there are no more.
    ///
    /// # Errors
    /// [`GarbageError`].
    pub async fn remove_orphans(
        &self,
        user: UserId,
        after: Option<BlobName>,
    ) -> Result<(u64, Option<BlobName>), GarbageError> {
        let before = self.clock.now().plus(-GRACE_MS);
        let page = self.page(user, after).await?;
        let mut removed = 0;
        for name in self.orphans_in(user, &page, before).await? {
            self.blobs.remove(name).await?;
            removed += 1;
        }
        Ok((removed, page.last().map(|last| last.name)))
    }

    /// The blobs of a page that hold nothing and are older than a moment.
    async fn orphans_in(
        &self,
        user: UserId,
        page: &[BlobInfo],
        before: UnixMillis,
    ) -> Result<Vec<BlobName>, StoreError> {
        let old = page.iter().filter(|blob| blob.stored_at < before);
        let old: Vec<Uuid> = old.map(|blob| blob.name.id).collect();
        let found = orphans(self.orphans.as_ref(), user, old).await?.into_iter();
        Ok(found.map(|id| BlobName { user, id }).collect())
    }

    /// The blobs of a user after one.
    async fn page(&self, user: UserId, after: Option<BlobName>) -> Result<Vec<BlobInfo>, BlobError> {
        // No blob has the nil UUID: ids are made by time or at random.
        let after = after.unwrap_or(BlobName {
            user,
            id: Uuid::nil(),
        });
        let mut page = self.blobs.list(Some(after), BLOBS_AT_ONCE).await?;
        page.retain(|blob| blob.name.user == user);
        Ok(page)
    }

    /// Accounts that were removed, after one: their blobs are to be removed ([`GarbageCollector::remove_all`]), now and whenever an address
    /// that was given out before brought another one.
    ///
    /// # Errors
    /// [`GarbageError`].
    pub async fn removed_users(&self, after: Option<UserId>) -> Result<Vec<UserId>, GarbageError> {
        Ok(self.orphans.removed_users(after, ROWS_AT_ONCE).await?)
    }

    /// Takes one step of removing all blobs of an account that was removed. Says how many are gone, and whether there may be
    /// more.
    ///
    /// # Errors
    /// [`GarbageError`]; the next call goes on.
    pub async fn remove_all(&self, user: UserId) -> Result<(u64, bool), GarbageError> {
        let page = self.page(user, None).await?;
        for blob in &page {
            self.blobs.remove(blob.name).await?;
        }
        Ok((page.len() as u64, !page.is_empty()))
    }

    /// Removes all blobs of an account that was removed. Says how many.
    ///
    /// # Errors
    /// [`GarbageError`]; a purge goes on.
    pub async fn remove_account(&self, user: UserId) -> Result<u64, GarbageError> {
        let mut removed = 0;
        loop {
            let (step, more) = self.remove_all(user).await?;
            removed += step;
            if !more {
                return Ok(removed);
            }
        }
    }

    /// Removes what was left of blobs that were never finished.
    ///
    /// # Errors
    /// [`GarbageError`].
    pub async fn sweep(&self) -> Result<u64, GarbageError> {
        let before = self.clock.now().plus(-GRACE_MS);
        Ok(self.blobs.sweep(before).await?)
    }
}

/// Those of these blobs that hold nothing. Everybody who removes blobs that held something asks here first: bytes that came in
/// one request may be a content and a part, and what forgot the one says nothing of the other.
pub(crate) async fn orphans(
    index: &dyn OrphanIndex,
    user: UserId,
    mut blobs: Vec<Uuid>,
) -> Result<Vec<Uuid>, StoreError> {
    if !blobs.is_empty() {
        let referenced = index.referenced(user, blobs.clone()).await?;
        let referenced: HashSet<Uuid> = referenced.into_iter().collect();
        blobs.retain(|id| !referenced.contains(id));
    }
    Ok(blobs)
}

impl std::fmt::Debug for GarbageCollector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("GarbageCollector")
    }
}
