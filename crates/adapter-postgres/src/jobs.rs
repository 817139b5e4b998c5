//! Jobs that one instance at a time does: one row each, which is locked while its lease is decided about.

use async_trait::async_trait;
use mosaic_domain::UnixMillis;
use mosaic_domain::lease::{ClaimOutcome, JobClaim, Lease};
use mosaic_domain::plan::Plan;
use mosaic_ports::{Jobs, StoreError, rows};
use tokio_postgres::types::Type;
use uuid::Uuid;

use crate::PostgresStore;
use crate::error::Failure;
use crate::retry::retrying;
use crate::rows::PostgresRow;
use crate::session::{NotCommitted, Session, Step, Value};

/// There is a row to lock, whoever is the first to ask.
const ADD: &str = "INSERT INTO jobs (job) VALUES ($1) ON CONFLICT (job) DO NOTHING";

const LOCK: &str = "SELECT holder, held_until, done_at FROM jobs WHERE job = $1 FOR UPDATE";

const PUT: &str = "UPDATE jobs SET holder = $2, held_until = $3, done_at = $4 WHERE job = $1";

#[async_trait]
impl Jobs for PostgresStore {
    async fn claim(&self, claim: JobClaim) -> Result<ClaimOutcome, StoreError> {
        Ok(retrying(|| self.decide_lease(claim.job, |lease| lease.claim(&claim))).await?)
    }

    async fn release(
        &self,
        job: &'static str,
        holder: Uuid,
        done: Option<UnixMillis>,
    ) -> Result<(), StoreError> {
        Ok(retrying(|| self.decide_lease(job, |lease| lease.release(holder, done))).await?)
    }
}

impl PostgresStore {
    async fn decide_lease<O>(
        &self,
        job: &str,
        decide: impl FnOnce(Lease) -> Plan<Lease, O>,
    ) -> Result<O, Failure> {
        let name = || -> Value<'_> { (&job, Type::TEXT) };
        let mut session = self.database.session().await?;
        let steps = vec![Step::Fixed(ADD, vec![name()]), Step::Fixed(LOCK, vec![name()])];
        let answers = session.begin(steps).await?;
        let row = answers
            .last()
            .and_then(|rows| rows.first())
            .ok_or(Failure::Lost)?;
        let plan = decide(rows::lease(&PostgresRow(row))?);
        if let Some(Lease { held, done_at }) = plan.write {
            put(session, name(), held.unzip(), done_at).await?;
        }
        Ok(plan.outcome)
    }
}

async fn put(
    session: Session,
    job: Value<'_>,
    (holder, until): (Option<Uuid>, Option<UnixMillis>),
    done_at: Option<UnixMillis>,
) -> Result<(), Failure> {
    let (until, done_at) = (until.map(UnixMillis::get), done_at.map(UnixMillis::get));
    let values = vec![
        job,
        (&holder, Type::UUID),
        (&until, Type::INT8),
        (&done_at, Type::INT8),
    ];
    let committed = session.commit(vec![Step::Fixed(PUT, values)]).await;
    committed.map_err(|not| match not {
        // Whoever holds a job may claim it again, and releasing it again changes nothing: what was lost on the way is
        // decided anew.
        NotCommitted::Failed(failure) | NotCommitted::Unknown(failure) => failure,
    })
}
