//! Retention, jobs, and who hears of commits.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use mosaic_domain::{UnixMillis, UserId};
use mosaic_ports::{ClaimOutcome, CommitFeed, CommitListener, JobClaim, Jobs, Purged, Retention, StoreError};
use uuid::Uuid;

use super::store::{MemoryStore, lock};

/// Jobs by name.
#[derive(Default)]
pub(super) struct JobTable(BTreeMap<&'static str, JobRow>);

#[derive(Default)]
struct JobRow {
    held: Option<(Uuid, UnixMillis)>,
    done: Option<UnixMillis>,
}

impl JobTable {
    fn claim(&mut self, claim: &JobClaim) -> ClaimOutcome {
        let row = self.0.entry(claim.job).or_default();
        let held = row.held.filter(|(_, until)| *until > claim.now);
        match held {
            Some((holder, _)) if holder != claim.holder => return ClaimOutcome::Busy,
            None if claim
                .unless_done_since
                .is_some_and(|since| row.done > Some(since)) =>
            {
                return ClaimOutcome::Done;
            }
            _ => {}
        }
        row.held = Some((claim.holder, claim.until));
        ClaimOutcome::Claimed
    }

    fn release(&mut self, job: &'static str, holder: Uuid, done: Option<UnixMillis>) {
        if let Some(row) = self.0.get_mut(job)
            && row.held.is_some_and(|(held, _)| held == holder)
        {
            row.held = None;
            row.done = done.or(row.done);
        }
    }
}

#[async_trait]
impl Jobs for MemoryStore {
    async fn claim(&self, claim: JobClaim) -> Result<ClaimOutcome, StoreError> {
        Ok(lock(&self.jobs).claim(&claim))
    }

    async fn release(
        &self,
        job: &'static str,
        holder: Uuid,
        done: Option<UnixMillis>,
    ) -> Result<(), StoreError> {
        lock(&self.jobs).release(job, holder, done);
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
