//! Jobs that one instance at a time does: one row each, claimed by one statement.

use async_trait::async_trait;
use mosaic_domain::UnixMillis;
use mosaic_ports::{ClaimOutcome, JobClaim, Jobs, StoreError};
use tokio_postgres::types::Type;
use uuid::Uuid;

use crate::PostgresStore;
use crate::error::Failure;
use crate::retry::retrying;
use crate::rows::column;
use crate::session::{Step, Value};

/// Of two that claim a job at once, the second waits for the first one's row and sees what it wrote: the row is judged as
/// it is then. Whether it was claimed is certain; why it was not is what the row said when the statement began.
const CLAIM: &str = "
    WITH claimed AS (
        INSERT INTO jobs AS j (job, holder, held_until) VALUES ($1, $2, $3)
        ON CONFLICT (job) DO UPDATE SET holder = excluded.holder, held_until = excluded.held_until
        WHERE CASE WHEN j.holder IS NOT NULL AND j.held_until > $4 THEN j.holder = excluded.holder
                   ELSE $5::bigint IS NULL OR j.done_at IS NULL OR j.done_at <= $5 END
        RETURNING 1
    )
    SELECT EXISTS (SELECT 1 FROM claimed),
           EXISTS (SELECT 1 FROM jobs AS j
                   WHERE j.job = $1 AND j.done_at > $5 AND (j.holder IS NULL OR j.held_until <= $4))";

const RELEASE: &str = "
    UPDATE jobs SET holder = NULL, held_until = NULL, done_at = coalesce($3, done_at) WHERE job = $1 AND holder = $2";

#[async_trait]
impl Jobs for PostgresStore {
    async fn claim(&self, claim: JobClaim) -> Result<ClaimOutcome, StoreError> {
        // Whoever holds a job may claim it again, so a claim whose answer was lost can be sent again.
        Ok(retrying(|| self.claim_once(&claim)).await?)
    }

    async fn release(
        &self,
        job: &'static str,
        holder: Uuid,
        done: Option<UnixMillis>,
    ) -> Result<(), StoreError> {
        let done = done.map(UnixMillis::get);
        let values =
            || -> Vec<Value<'_>> { vec![(&job, Type::TEXT), (&holder, Type::UUID), (&done, Type::INT8)] };
        retrying(|| async { self.database.run(Step::Fixed(RELEASE, values())).await }).await?;
        Ok(())
    }
}

impl PostgresStore {
    async fn claim_once(&self, claim: &JobClaim) -> Result<ClaimOutcome, Failure> {
        let (now, until) = (claim.now.get(), claim.until.get());
        let since = claim.unless_done_since.map(UnixMillis::get);
        let values: Vec<Value<'_>> = vec![
            (&claim.job, Type::TEXT),
            (&claim.holder, Type::UUID),
            (&until, Type::INT8),
            (&now, Type::INT8),
            (&since, Type::INT8),
        ];
        let rows = self.database.run(Step::Fixed(CLAIM, values)).await?;
        let row = rows
            .first()
            .ok_or_else(|| Failure::corrupt("jobs", "a question has no answer"))?;
        Ok(if column(row, 0, "jobs")? {
            ClaimOutcome::Claimed
        } else if column(row, 1, "jobs")? {
            ClaimOutcome::Done
        } else {
            ClaimOutcome::Busy
        })
    }
}
