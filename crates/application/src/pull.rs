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

#[cfg(test)]
mod tests {
    use mosaic_domain::pull::{Change, Snapshot, TypeChanges};
    use mosaic_domain::{
        Cursor, EditTime, EntitySet, EntityType, Epoch, MemoId, PerEntity, RecordKey, UnixMillis,
    };
    use mosaic_ports::{MockChangeFeed, MockClock, MockDeviceCursors};
    use uuid::Uuid;

    use super::*;

    fn change(stamp: i64, state: PulledState) -> Change {
        let record = PulledRecord {
            key: RecordKey::Memo(MemoId::new(Uuid::nil())),
            stamp: Stamp::clamped(stamp),
            edit_time: EditTime::clamped(1),
            created_at: UnixMillis::clamped(1),
            revision_count: 1,
            state,
        };
        Change {
            record,
            parent_stamp: None,
        }
    }

    /// Devices pull again and again.
    #[tokio::test]
    async fn p8_of_what_can_not_be_read_so_much_is_remembered_as_told() {
        let most = i64::try_from(TOLD_AT_MOST).unwrap();
        let unreadable = (0..=most).map(|stamp| change(stamp, PulledState::Unreadable));
        let mut changes = PerEntity::from_fn(|_| TypeChanges::default());
        changes[EntityType::Memo].changes = unreadable
            .chain([change(most + 1, PulledState::Deleted)])
            .collect();
        let snapshot = Snapshot {
            clock: Stamp::clamped(most + 1),
            epoch: Epoch::new(Uuid::nil()),
            changes,
        };
        let (mut feed, mut cursors, mut clock) =
            (MockChangeFeed::new(), MockDeviceCursors::new(), MockClock::new());
        feed.expect_snapshot()
            .returning(move |_, _, _| Ok(Ok(snapshot.clone())));
        cursors.expect_remember().returning(|_| ());
        clock.expect_now().returning(|| UnixMillis::clamped(1));
        let pull = Pull::new(Arc::new(feed), Arc::new(cursors), Arc::new(clock));
        let request = PullRequest {
            client: "phone".parse().unwrap(),
            login: None,
            cursors: PerEntity::from_fn(|_| Cursor::clamped(0)),
            entities: EntitySet::all(),
            epoch: None,
        };
        let (user, login) = (UserId::new(Uuid::nil()), FamilyId::new(Uuid::nil()));
        for _ in 0..2 {
            pull.run(user, login, request.clone()).await.unwrap();
            let told = pull.told.lock().unwrap().clone();
            assert!(
                told.into_iter()
                    .eq((0..most).map(|stamp| (user, Stamp::clamped(stamp))))
            );
        }
    }
}
