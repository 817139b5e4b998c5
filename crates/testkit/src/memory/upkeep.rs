//! Retention, jobs, and who hears of commits.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use mosaic_domain::lease::{ClaimOutcome, JobClaim, Lease};
use mosaic_domain::{UnixMillis, UserId};
use mosaic_ports::{CommitFeed, CommitListener, Jobs, Purged, Retention, StoreError};
use uuid::Uuid;

use super::store::{MemoryStore, lock};

/// The leases of jobs, by name.
pub(super) type JobTable = BTreeMap<&'static str, Lease>;

#[async_trait]
impl Jobs for MemoryStore {
    async fn claim(&self, claim: JobClaim) -> Result<ClaimOutcome, StoreError> {
        let mut jobs = lock(&self.jobs);
        let lease = jobs.entry(claim.job).or_default();
        let plan = lease.claim(&claim);
        *lease = plan.write.unwrap_or(*lease);
        Ok(plan.outcome)
    }

    async fn release(
        &self,
        job: &'static str,
        holder: Uuid,
        done: Option<UnixMillis>,
    ) -> Result<(), StoreError> {
        let mut jobs = lock(&self.jobs);
        let lease = jobs.entry(job).or_default();
        *lease = lease.release(holder, done).write.unwrap_or(*lease);
        Ok(())
    }
}

#[async_trait]
impl Retention for MemoryStore {
    async fn purge(&self, user: UserId, before: UnixMillis, limit: u32) -> Result<Purged, StoreError> {
        self.purge_user(user, before, limit).await
    }
}

impl CommitFeed for MemoryStore {
    fn listen(&self, listener: Arc<dyn CommitListener>) {
        lock(&self.listeners).push(listener);
    }
}
