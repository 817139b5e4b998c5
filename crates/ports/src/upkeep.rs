//! What has to be done from time to time, whoever uses the server: retention, and that one instance at a time sees to it.

use async_trait::async_trait;
use mosaic_domain::lease::{ClaimOutcome, JobClaim};
use mosaic_domain::{UnixMillis, UserId};
use uuid::Uuid;

use crate::error::StoreError;

/// What one step of a purge did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Purged {
    /// Revisions that are gone.
    pub revisions: u64,
    /// Tombstones whose content is gone.
    pub contents: u64,
    /// Whether there may be more to do for this user.
    pub more: bool,
}

/// Forgets what is older than the retention time (H2).
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait Retention: Send + Sync {
    /// Takes one step for one user, as one short transaction that changes at most `limit` rows: revisions that were kept
    /// before that moment go, and the content of records that were deleted before it (by their stamp, which is when the
    /// server was told of it) is erased.
    ///
    /// Obligations:
    /// * Neither names the content of an attachment any more.
    /// * Key, version, stamp and creation time of a tombstone stay, so no device ever misses a delete. No stamp is drawn.
    /// * It takes turns with the writes of this user, and no write loses anything by it.
    /// * The numbers of purged revisions are not given again ([`WriteStore::write`](crate::WriteStore::write)).
    ///
    /// # Errors
    /// [`StoreError`].
    async fn purge(&self, user: UserId, before: UnixMillis, limit: u32) -> Result<Purged, StoreError>;
}

/// Jobs that one instance at a time does.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait Jobs: Send + Sync {
    /// Claims a job, or holds on to it for longer ([`Lease::claim`](mosaic_domain::lease::Lease::claim)). Of two that
    /// claim it at once one gets it.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn claim(&self, claim: JobClaim) -> Result<ClaimOutcome, StoreError>;

    /// Lets go of a job; with `done`, it counts as finished at that moment. Nothing happens where somebody else holds it.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn release(
        &self,
        job: &'static str,
        holder: Uuid,
        done: Option<UnixMillis>,
    ) -> Result<(), StoreError>;
}
