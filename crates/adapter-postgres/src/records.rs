//! Writing records (W8): two round trips per write. The first begins the transaction, takes the user's lock and loads the
//! scope; the second writes everything the decision asks for and commits.
//!
//! Everything between the two that takes the processor's time runs on a blocking thread: reading documents, deciding,
//! indexing texts.

use std::sync::Arc;

use async_trait::async_trait;
use mosaic_domain::Stamp;
use mosaic_domain::write::{WritePlan, WriteScope};
use mosaic_ports::{Decide, WriteError, WriteStore};

use crate::PostgresStore;
use crate::batch::Batch;
use crate::blocking::on_blocking_thread;
use crate::commit_state::{self, CommitState};
use crate::commits::Underway;
use crate::error::Failure;
use crate::retry::RetryBudget;
use crate::scope::{ScopeRows, lock_and_load};
use crate::session::NotCommitted;

#[async_trait]
impl WriteStore for PostgresStore {
    async fn write(&self, scope: WriteScope, decide: Decide) -> Result<WritePlan, WriteError> {
        let scope = Arc::new(scope);
        let mut budget = RetryBudget::new();
        loop {
            let failure = match self.attempt(&scope, &decide).await {
                Ok(plan) => return Ok(plan),
                Err(NotWritten::Failed(failure)) => failure,
                Err(NotWritten::Unknown(attempt)) => match self.resolve_commit(*attempt).await? {
                    Ok(plan) => return Ok(plan),
                    Err(not_committed) => not_committed,
                },
            };
            budget.after(failure).await?;
        }
    }
}

/// What one attempt came to when it did not succeed.
enum NotWritten {
    /// Nothing was written.
    Failed(Failure),
    /// It may have been written.
    Unknown(Box<Attempted>),
}

impl From<Failure> for NotWritten {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// A plan that was sent to be committed.
struct Attempted {
    scope: Arc<WriteScope>,
    /// The last stamp that was drawn before it.
    before: Stamp,
    plan: WritePlan,
    failure: Failure,
    underway: Underway,
}

/// What was decided under the lock.
struct Decided {
    before: Stamp,
    plan: WritePlan,
    batch: Batch,
}

impl PostgresStore {
    async fn attempt(&self, scope: &Arc<WriteScope>, decide: &Decide) -> Result<WritePlan, NotWritten> {
        let mut session = self.database.session_of(scope.user.uuid()).await?;
        let found = lock_and_load(&mut session, scope).await?;
        let Decided { before, plan, batch } = self.decide(found, scope, decide).await?;
        if plan.is_empty() {
            // The session goes, and the transaction with it (S4).
            return Ok(plan);
        }
        let after = if plan.records.is_empty() {
            before
        } else {
            plan.clock
        };
        let underway = self.commits.underway(scope.user, before, after);
        match session.commit(batch.steps()).await {
            Ok(()) => {
                underway.committed();
                Ok(plan)
            }
            Err(NotCommitted::Failed(failure)) => {
                underway.failed();
                Err(failure.into())
            }
            Err(NotCommitted::Unknown(failure)) => Err(NotWritten::Unknown(Box::new(Attempted {
                scope: Arc::clone(scope),
                before,
                plan,
                failure,
                underway,
            }))),
        }
    }

    async fn decide(
        &self,
        found: ScopeRows,
        scope: &Arc<WriteScope>,
        decide: &Decide,
    ) -> Result<Decided, Failure> {
        let (scope, decide, clock) = (Arc::clone(scope), Arc::clone(decide), Arc::clone(&self.clock));
        let work = move || {
            let locked = found.read(&scope, clock.as_ref())?;
            let before = locked.clock.last();
            let plan = decide(&locked)?;
            let batch = Batch::of(scope.user, &plan);
            Ok(Decided { before, plan, batch })
        };
        on_blocking_thread(work).await
    }

    /// Finds out what became of a plan whose commit was not answered. Says either that it was committed, or why it was
    /// not.
    async fn resolve_commit(&self, attempted: Attempted) -> Result<Result<WritePlan, Failure>, Failure> {
        let Attempted {
            scope,
            before,
            plan,
            failure,
            underway,
        } = attempted;
        let question = Arc::new(commit_state::scope(scope.user, &plan));
        let mut budget = RetryBudget::new();
        let locked = loop {
            match self.look(&question).await {
                Ok(locked) => break locked,
                // Whatever it is that fails now, what is to be found out is worth another try.
                Err(other) => budget
                    .pause(other)
                    .await
                    .map_err(|other| Failure::Undecided(Box::new(other)))?,
            }
        };
        match commit_state::commit_state(&plan, before, &locked) {
            CommitState::Committed => {
                underway.committed();
                Ok(Ok(plan))
            }
            CommitState::NotCommitted => {
                underway.failed();
                Ok(Err(Failure::Lost))
            }
            CommitState::Undecidable => Err(Failure::Undecided(Box::new(failure))),
        }
    }

    /// What a scope holds now, read under the user's lock: nobody is half-way through a write then.
    async fn look(&self, scope: &Arc<WriteScope>) -> Result<mosaic_domain::write::Locked, Failure> {
        let mut session = self.database.session_of(scope.user.uuid()).await?;
        let found = lock_and_load(&mut session, scope).await?;
        let (scope, clock) = (Arc::clone(scope), Arc::clone(&self.clock));
        on_blocking_thread(move || found.read(&scope, clock.as_ref())).await
    }
}
