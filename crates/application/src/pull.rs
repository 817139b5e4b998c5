//! `POST /sync/pull`: what changed since a device's cursors (rules P1 to P7, D1, R1, R2).

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use mosaic_domain::pull::{PageLimits, PullPage, PullRequest, PulledRecord, PulledState, cut};
use mosaic_domain::{FamilyId, Stamp, UnixMillis, UserId};
use mosaic_ports::{ChangeFeed, Clock, DeviceCursors, ServedCursors};

use crate::error::AppError;

/// Serves pulls.
#[derive(Clone)]
pub struct Pull {
    feed: Arc<dyn ChangeFeed>,
    cursors: Arc<dyn DeviceCursors>,
    clock: Arc<dyn Clock>,
    told: Arc<Mutex<BTreeSet<(UserId, Stamp)>>>,
}

/// How many records that can't be read are remembered, so that each is told once.
const TOLD_AT_MOST: usize = 10_000;

/// One answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Pulled {
    /// The pages.
    pub page: PullPage,
    /// The server's clock, for people and logs; it plays no part in sync.
    pub server_time: UnixMillis,
}

impl Pull {
    /// A pull over these ports.
    pub fn new(feed: Arc<dyn ChangeFeed>, cursors: Arc<dyn DeviceCursors>, clock: Arc<dyn Clock>) -> Self {
        Self {
            feed,
            cursors,
            clock,
            told: Arc::default(),
        }
    }

    /// Serves one pull. What the device holds now is remembered only when it moved (D1); a device at rest costs one
    /// look-up and no write (P2).
    ///
    /// # Errors
    /// [`Unauthenticated::LoginEnded`](crate::error::Unauthenticated::LoginEnded), [`AppError::PasswordChangeRequired`], or a
    /// store's error.
    pub async fn run(&self, user: UserId, login: FamilyId, request: PullRequest) -> Result<Pulled, AppError> {
        let request = &PullRequest {
            login: Some(login),
            ..request
        };
        let snapshot = self.feed.snapshot(user, request, PageLimits::PROTOCOL).await?;
        let page = cut(request, snapshot?);
        let server_time = self.clock.now();
        if page.moves(request) {
            self.cursors.remember(ServedCursors {
                user,
                client: request.client.clone(),
                login,
                cursors: page
                    .types
                    .iter()
                    .filter_map(|(e, page)| Some((e, page.as_ref()?.cursor)))
                    .collect(),
                served_at: server_time,
            });
        }
        let unreadable = |record: &&PulledRecord| record.state == PulledState::Unreadable;
        for record in page.records().filter(unreadable) {
            self.tell(user, record);
        }
        Ok(Pulled { page, server_time })
    }

    /// Logs that a record can't be read, once.
    fn tell(&self, user: UserId, record: &PulledRecord) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.len() < TOLD_AT_MOST && told.insert((user, record.stamp)) {
            let entity = record.key.entity_type();
            tracing::warn!(%user, %entity, key = %record.key, "a stored record can not be read: pulls leave it out");
        }
    }
}

impl std::fmt::Debug for Pull {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Pull")
    }
}
