//! What happened to accounts: noted by the use cases that do it, and read by whoever looks back.

use std::cmp::Reverse;
use std::sync::Arc;
use std::time::Duration;

use mosaic_domain::activity::{Activity, ActivityKind, ActivityQuery, Doer, Note, Origin};
use mosaic_domain::{ActivityId, UserId};
use mosaic_ports::{ActivityLog, Clock, IdGenerator};
use tokio::time::timeout;

use crate::error::AppError;

/// How long something waits for its event to be kept.
const PATIENCE: Duration = Duration::from_secs(2);

/// Notes and reads events. One that [`Trail::asked_from`] made notes where requests come from.
#[derive(Clone)]
pub struct Trail {
    log: Arc<dyn ActivityLog>,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn IdGenerator>,
    origin: Origin,
}

/// A page of a trail, the newest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActivityPage {
    /// The events.
    pub items: Vec<Activity>,
    /// Where there are older ones: those before this one.
    pub next_before: Option<ActivityId>,
}

impl Trail {
    /// A trail in this log, of what nobody asks for from anywhere.
    pub fn new(log: Arc<dyn ActivityLog>, clock: Arc<dyn Clock>, ids: Arc<dyn IdGenerator>) -> Self {
        Self {
            log,
            clock,
            ids,
            origin: Origin::default(),
        }
    }

    /// The same, of what is asked for from there.
    #[must_use]
    pub fn asked_from(&self, origin: Origin) -> Self {
        Self {
            origin,
            ..self.clone()
        }
    }

    /// Notes that something happened to an account. What happened is done already, so an event that can't be kept is told to
    /// the log, and fails nothing. It is kept also where whoever waits for that goes away.
    pub async fn note(&self, user: UserId, kind: ActivityKind, by: Doer, detail: Option<&str>) {
        let event = Activity {
            id: ActivityId::new(self.ids.next()),
            user,
            kind,
            at: self.clock.now(),
            by,
            origin: self.origin.clone(),
            detail: detail.and_then(Note::of),
        };
        let log = Arc::clone(&self.log);
        let keeping = tokio::spawn(async move {
            match timeout(PATIENCE, log.keep(event)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(%user, %kind, error, "what happened is not kept in the account's trail");
                }
                Err(_) => tracing::warn!(%user, %kind, "the store takes too long to keep what happened"),
            }
        });
        // One that panics has said so.
        let _ = keeping.await;
    }

    /// A page of an account's trail.
    ///
    /// # Errors
    /// A store's error.
    pub async fn page(&self, user: UserId, query: ActivityQuery) -> Result<ActivityPage, AppError> {
        let one_more = ActivityQuery {
            limit: query.limit.saturating_add(1),
            ..query
        };
        let mut items = self.log.trail(user, one_more).await?;
        let limit = usize::try_from(query.limit).unwrap_or(usize::MAX);
        let is_cut = items.len() > limit;
        items.truncate(limit);
        let last = items.last().map(|event| event.id);
        Ok(ActivityPage {
            next_before: last.filter(|_| is_cut),
            items,
        })
    }

    /// The newest events of several trails together. `tell` is told of each trail that was read.
    ///
    /// # Errors
    /// A store's error.
    pub async fn newest_of(
        &self,
        users: &[UserId],
        query: ActivityQuery,
        mut tell: impl FnMut() + Send,
    ) -> Result<Vec<Activity>, AppError> {
        let limit = usize::try_from(query.limit).unwrap_or(usize::MAX);
        let mut newest: Vec<Activity> = Vec::new();
        for user in users {
            newest.extend(self.log.trail(*user, query).await?);
            newest.sort_by_key(|event| Reverse(event.id));
            newest.truncate(limit);
            tell();
        }
        Ok(newest)
    }
}

impl std::fmt::Debug for Trail {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Trail")
    }
}
