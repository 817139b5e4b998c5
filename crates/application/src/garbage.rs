//! Bytes that nobody needs any more: of resources whose content was erased, of uploads that were never finished, of accounts
//! that were removed.
//!
//! Blobs are named anew every time and never again, and whether one holds something is asked under the user's lock. So what is
//! found to be waste can't come to be needed while it is removed.

use std::collections::HashSet;
use std::sync::Arc;

use mosaic_domain::{UnixMillis, UserId};
use mosaic_ports::{
    BlobError, BlobInfo, BlobName, BlobStore, Clock, ContentIndex, Dropped, StoreError, Uploads,
};
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
pub struct Garbage {
    contents: Arc<dyn ContentIndex>,
    uploads: Arc<dyn Uploads>,
    blobs: Arc<dyn BlobStore>,
    clock: Arc<dyn Clock>,
}

impl Garbage {
    /// Over these ports.
    pub fn new(
        contents: Arc<dyn ContentIndex>,
        uploads: Arc<dyn Uploads>,
        blobs: Arc<dyn BlobStore>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            contents,
            uploads,
            blobs,
            clock,
        }
    }

    /// Takes one step for one user: uploads that have expired, then contents that nothing names. Says how many blobs are
    /// gone, and whether there may be more to do.
    ///
    /// # Errors
    /// [`GarbageError`]. A blob that could not be removed is found by [`Garbage::waste`] later.
    pub async fn step(&self, user: UserId) -> Result<(u64, bool), GarbageError> {
        let now = self.clock.now();
        let expired = self.uploads.drop_expired(user, now, ROWS_AT_ONCE).await?;
        let before = now.plus(-GRACE_MS);
        let unnamed = self.contents.drop_unnamed(user, before, ROWS_AT_ONCE).await?;
        let more = expired.more || unnamed.more;
        let mut removed = 0;
        for Dropped { blobs, .. } in [expired, unnamed] {
            for id in blobs {
                self.blobs.remove(BlobName { user, id }).await?;
                removed += 1;
            }
        }
        Ok((removed, more))
    }

    /// Removes a user's blobs that hold nothing, and did not come just now: what a process that was killed left. Says how many.
    ///
    /// # Errors
    /// [`GarbageError`].
    pub async fn waste(&self, user: UserId) -> Result<u64, GarbageError> {
        let before = self.clock.now().plus(-GRACE_MS);
        let mut removed = 0;
        let mut after = None;
        loop {
            let page = self.page(user, after).await?;
            let Some(last) = page.last() else {
                return Ok(removed);
            };
            after = Some(last.name);
            for name in self.unknown(user, &page, before).await? {
                self.blobs.remove(name).await?;
                removed += 1;
            }
        }
    }

    /// The blobs of a page that hold nothing and are older than a moment.
    async fn unknown(
        &self,
        user: UserId,
        page: &[BlobInfo],
        before: UnixMillis,
    ) -> Result<Vec<BlobName>, StoreError> {
        let old = page.iter().filter(|blob| blob.stored_at < before);
        let old: Vec<Uuid> = old.map(|blob| blob.name.id).collect();
        if old.is_empty() {
            return Ok(Vec::new());
        }
        let known: HashSet<Uuid> = self
            .contents
            .known(user, old.clone())
            .await?
            .into_iter()
            .collect();
        let unknown = old.into_iter().filter(|id| !known.contains(id));
        Ok(unknown.map(|id| BlobName { user, id }).collect())
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

    /// Removes all blobs of accounts that were removed. Says how many.
    ///
    /// # Errors
    /// [`GarbageError`]; the next call goes on.
    pub async fn removed_users(&self) -> Result<u64, GarbageError> {
        let mut removed = 0;
        loop {
            let users = self.contents.removed_users(ROWS_AT_ONCE).await?;
            if users.is_empty() {
                return Ok(removed);
            }
            for user in users {
                loop {
                    let page = self.page(user, None).await?;
                    if page.is_empty() {
                        break;
                    }
                    for blob in page {
                        self.blobs.remove(blob.name).await?;
                        removed += 1;
                    }
                }
                self.contents.forget_removed(user).await?;
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

impl std::fmt::Debug for Garbage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Garbage")
    }
}
