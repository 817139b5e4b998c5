//! The history that a store holds (R2): renewing its name, and noticing that a database was set back behind the server's back.
//!
//! `mosaic restore` renews the epoch. A file that is copied into place, a snapshot of a machine, a dump that is loaded do not, and
//! devices would never hear that what they pulled is gone. So every commit is remembered outside of the database, too
//! ([`MarkStore`]), now and then also in the storage of attachments, and a database that lacks it gets a new epoch.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mosaic_domain::activity::{ActivityKind, Doer, SERVER};
use mosaic_domain::high_water::{FoundHistory, FoundUser, HighWaterMark, Verdict};
use mosaic_domain::{Epoch, Stamp, UserId};
use mosaic_ports::{
    ChangeFeed, Clock, CommitListener, IdGenerator, Jobs, MarkStore, OrphanIndex, StoreError, StoreIdentity,
    Stores, UserIds,
};
use tokio::sync::Notify;
use tokio::time::{interval, sleep, timeout};
use uuid::Uuid;

use crate::activity::Trail;
use crate::retention::Purge;
use crate::storage::VerifiedStorage;

/// How long servers purge nothing by themselves after a store was set back to an older state, in milliseconds (7 days). It does not
/// know what was added since, and to a purge that is all waste.
pub const HELD_BACK_MS: i64 = 7 * 24 * 3_600_000;

/// How long is waited before a store that failed is asked again.
const RETRY: Duration = Duration::from_secs(1);

/// How often the storage of attachments is told, and the store is compared whatever happened. Nothing says when a new store gets the
/// name by which it is known, nor when its epoch is renewed elsewhere.
const LOOK_AGAIN: Duration = Duration::from_mins(5);

/// For so long a start, and a stop, wait for the storage of attachments.
const PATIENCE: Duration = Duration::from_secs(2);

/// The name of a store's history.
#[derive(Clone)]
pub struct History {
    identity: Arc<dyn StoreIdentity>,
    feed: Arc<dyn ChangeFeed>,
    user_ids: Arc<dyn UserIds>,
    orphans: Arc<dyn OrphanIndex>,
    jobs: Arc<dyn Jobs>,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn IdGenerator>,
    trail: Trail,
}

/// An epoch that was renewed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Renewed {
    /// The one before.
    pub old: Epoch,
    /// The one that devices are told from now on.
    pub new: Epoch,
}

impl History {
    /// The history of this store.
    pub fn of(store: &Stores, clock: Arc<dyn Clock>, ids: Arc<dyn IdGenerator>) -> Self {
        Self {
            identity: Arc::clone(&store.identity),
            feed: Arc::clone(&store.feed),
            user_ids: Arc::clone(&store.user_ids),
            orphans: Arc::clone(&store.orphans),
            jobs: Arc::clone(&store.jobs),
            trail: Trail::new(Arc::clone(&store.activity), Arc::clone(&clock), Arc::clone(&ids)),
            clock,
            ids,
        }
    }

    /// Its name (R2).
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn epoch(&self) -> Result<Epoch, StoreError> {
        self.identity.epoch().await
    }

    /// Gives it a new name, for whoever may use the command line: devices pull everything again, and servers purge nothing by
    /// themselves for [`HELD_BACK_MS`].
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn renew(&self) -> Result<Renewed, StoreError> {
        loop {
            let old = self.identity.epoch().await?;
            if let Some(renewed) = self.renew_from(old).await? {
                let (kind, by) = (ActivityKind::EpochRenewed, Doer::CommandLine);
                self.trail.note(SERVER, kind, by, None).await;
                return Ok(renewed);
            }
        }
    }

    /// The same, unless it has another name by now: then somebody else did it.
    async fn renew_from(&self, old: Epoch) -> Result<Option<Renewed>, StoreError> {
        // First, so that a purge never finds a store with the new name that is not held back.
        self.hold_purges_back().await?;
        let new = Epoch::new(self.ids.next());
        let is_done = self.identity.replace_epoch(old, new).await?;
        Ok(is_done.then_some(Renewed { old, new }))
    }

    /// What follows once a backup has taken the place of the database, by the command line: it is noted, and servers purge
    /// nothing by themselves for [`HELD_BACK_MS`].
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn restored(&self) -> Result<(), StoreError> {
        let (kind, by) = (ActivityKind::Restored, Doer::CommandLine);
        self.trail.note(SERVER, kind, by, None).await;
        self.hold_purges_back().await
    }

    /// Sees to it that servers purge nothing by themselves for [`HELD_BACK_MS`].
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn hold_purges_back(&self) -> Result<(), StoreError> {
        Purge::hold_back(
            self.jobs.as_ref(),
            self.ids.next(),
            self.clock.now(),
            HELD_BACK_MS,
        )
        .await
    }

    /// What the store has of what a mark remembers; `None` where the store has no name yet.
    async fn find(&self, mark: Option<&HighWaterMark>) -> Result<Option<FoundHistory>, StoreError> {
        let Some(store) = self.identity.storage().await? else {
            return Ok(None);
        };
        let mut users = BTreeMap::new();
        for user in mark.iter().flat_map(|mark| mark.users()) {
            users.insert(user, self.find_user(user).await?);
        }
        let epoch = self.identity.epoch().await?;
        Ok(Some(FoundHistory { store, epoch, users }))
    }

    /// The clock of a user goes first when an account is removed, and its row when it is noted that it was: asked in this order, none
    /// is missed.
    async fn find_user(&self, user: UserId) -> Result<FoundUser, StoreError> {
        if let Ok(clock) = self.feed.clock(user, None).await? {
            return Ok(FoundUser::Clock(clock));
        }
        let before = Some(UserId::new(Uuid::from_u128(
            user.uuid().as_u128().saturating_sub(1),
        )));
        let is_going = self.user_ids.user_ids(before, 1).await? == [user];
        let is_known = is_going || self.orphans.removed_users(before, 1).await? == [user];
        Ok(if is_known {
            FoundUser::Removed
        } else {
            FoundUser::Nothing
        })
    }
}

/// Remembers how far the database has come, and renews the epoch of one that was set back. One for each serving process.
pub struct HighWater {
    history: History,
    place: Arc<dyn MarkStore>,
    storage: Arc<VerifiedStorage>,
    state: Mutex<State>,
    alarm: Notify,
}

#[derive(Default)]
struct State {
    /// What is remembered; nothing until the store was looked at.
    mark: Option<HighWaterMark>,
    /// The store is to be compared: commits may have been missed, and a lot may have happened to the database meanwhile.
    is_due: bool,
    storage: StorageState,
    /// The last mark could not be kept, which was said.
    is_failing: bool,
}

/// What the storage remembers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum StorageState {
    /// It was not compared yet: before that nothing takes its place.
    #[default]
    Unknown,
    /// Less than is remembered here.
    Behind,
    /// The same as here.
    Told,
}

impl HighWater {
    /// What keeps its marks in these places.
    pub fn new(history: History, place: Arc<dyn MarkStore>, storage: Arc<VerifiedStorage>) -> Self {
        Self {
            history,
            place,
            storage,
            state: Mutex::default(),
            alarm: Notify::new(),
        }
    }

    /// Compares the store with what is remembered of it, and remembers its commits from now on. Of a store that was set back the epoch
    /// is renewed, which the answer tells. A store without a name (a new one) is looked at again another time.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn check(&self) -> Result<Option<Renewed>, StoreError> {
        let kept = self.remembered();
        let Some(found) = self.history.find(kept.as_ref()).await? else {
            return Ok(None);
        };
        let verdict = kept
            .as_ref()
            .map_or(Verdict::Unrelated, |mark| mark.judge(&found));
        let is_set_back = verdict == Verdict::SetBack || self.storage_knows_more().await?;
        let renewed = if is_set_back {
            self.history.renew_from(found.epoch).await?
        } else {
            None
        };
        let epoch = match renewed {
            Some(Renewed { new, .. }) => new,
            // Perhaps another instance was first.
            None => self.history.epoch().await?,
        };
        if renewed.is_some() {
            let (kind, by) = (ActivityKind::Restored, Doer::Server);
            let detail = Some("not by `mosaic restore`");
            self.history.trail.note(SERVER, kind, by, detail).await;
        }
        let mut state = self.state();
        // What was committed meanwhile stays where the history is the same, and comes again with the next commit elsewhere.
        let same = state
            .mark
            .take()
            .or(kept)
            .filter(|_| verdict == Verdict::Same && epoch == found.epoch);
        let mut mark = same.unwrap_or_else(|| HighWaterMark::new(found.store, epoch));
        if verdict == Verdict::Same {
            mark.catch_up(&found);
        }
        state.mark = Some(mark);
        self.keep(&mut state);
        drop(state);
        if let Some(Renewed { old, new }) = renewed {
            tracing::error!(
                %old,
                %new,
                "the database was set back to an older state, and not by `mosaic restore`: its epoch is renewed, so that devices pull \
                 everything again, and nothing is purged for 7 days"
            );
        }
        Ok(renewed)
    }

    /// Whether the storage remembers what the store lacks. It is waited for, but not for long; then it is asked another time.
    async fn storage_knows_more(&self) -> Result<bool, StoreError> {
        if self.state().storage != StorageState::Unknown {
            return Ok(false);
        }
        let Ok(Ok(marks)) = timeout(PATIENCE, self.storage.marks()).await else {
            tracing::warn!("the storage of attachments does not say now how far the database had come");
            return Ok(false);
        };
        for mark in &marks {
            let found = self.history.find(Some(mark)).await?;
            if found.is_some_and(|found| mark.judge(&found) == Verdict::SetBack) {
                return Ok(true);
            }
        }
        self.state().storage = StorageState::Behind;
        Ok(false)
    }

    /// Has the storage remember what is remembered here, if that is news.
    pub async fn store(&self) {
        let mark = {
            let state = self.state();
            state
                .mark
                .clone()
                .filter(|_| state.storage == StorageState::Behind)
        };
        let Some(mark) = mark else { return };
        let is_stored = match timeout(PATIENCE, self.storage.keep_mark(&mark)).await {
            Ok(Ok(())) => true,
            failed => {
                tracing::warn!(
                    ?failed,
                    "the storage of attachments does not remember how far the database has come"
                );
                false
            }
        };
        let mut state = self.state();
        // Unless there was a commit meanwhile.
        if is_stored && state.mark.as_ref() == Some(&mark) {
            state.storage = StorageState::Told;
        }
    }

    /// Compares again now and then, and whenever the connection to the database was lost. Never ends.
    pub async fn watch(&self) {
        let mut again = interval(LOOK_AGAIN);
        loop {
            tokio::select! {
                _ = again.tick() => {
                    self.store().await;
                    self.state().is_due = true;
                }
                () = self.alarm.notified() => {}
            }
            while std::mem::take(&mut self.state().is_due) {
                if self.check().await.is_err() {
                    // Whoever needs the store says why it fails.
                    self.state().is_due = true;
                    sleep(RETRY).await;
                }
            }
        }
    }

    fn remembered(&self) -> Option<HighWaterMark> {
        if let Some(mark) = &self.state().mark {
            return Some(mark.clone());
        }
        self.place.load().unwrap_or_else(|error| {
            tracing::warn!(
                error = &*error,
                "the high-water mark can not be read: nothing is known of earlier commits"
            );
            None
        })
    }

    fn keep(&self, state: &mut State) {
        let Some(mark) = &state.mark else { return };
        if state.storage == StorageState::Told {
            state.storage = StorageState::Behind;
        }
        match self.place.save(mark) {
            Ok(()) => state.is_failing = false,
            // Said once: every commit comes here.
            Err(_) if state.is_failing => {}
            Err(error) => {
                state.is_failing = true;
                tracing::warn!(
                    error = &*error,
                    "the high-water mark can not be kept: a database that is set back may go unnoticed"
                );
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl CommitListener for HighWater {
    fn committed(&self, user: UserId, clock: Stamp) {
        let mut state = self.state();
        if let Some(mark) = &mut state.mark {
            mark.raise(user, clock);
            self.keep(&mut state);
        }
    }

    fn logins_ended(&self, _: UserId) {}

    fn missed(&self) {
        self.state().is_due = true;
        self.alarm.notify_one();
    }
}

impl std::fmt::Debug for History {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("History")
    }
}

impl std::fmt::Debug for HighWater {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("HighWater")
    }
}
