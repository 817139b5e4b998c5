//! The history that a store holds (R2): renewing its name, and noticing that a database was set back behind the server's back.
//!
//! `mosaic restore` renews the epoch. A file that is copied into place, a snapshot of a machine, a dump that is loaded do not, and
//! devices would never hear that what they pulled is gone. So every commit is remembered outside of the database, too
//! ([`MarkStore`]), now and then also in the storage of attachments, and a database that lacks it gets a new epoch.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mosaic_domain::high_water::{FoundHistory, HighWaterMark, Verdict};
use mosaic_domain::{Epoch, Stamp, UserId};
use mosaic_ports::{
    ChangeFeed, Clock, CommitListener, IdGenerator, Jobs, MarkStore, StoreError, StoreIdentity, Stores,
};
use tokio::sync::Notify;
use tokio::time::timeout;

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

/// For so long a start waits for the storage of attachments.
const PATIENCE: Duration = Duration::from_secs(5);

/// The name of a store's history.
#[derive(Clone)]
pub struct History {
    identity: Arc<dyn StoreIdentity>,
    feed: Arc<dyn ChangeFeed>,
    jobs: Arc<dyn Jobs>,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn IdGenerator>,
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
            jobs: Arc::clone(&store.jobs),
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

    /// Gives it a new name: devices pull everything again, and servers purge nothing by themselves for [`HELD_BACK_MS`].
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn renew(&self) -> Result<Renewed, StoreError> {
        // First, so that a purge never finds a store with the new name that is not held back.
        self.hold_purges_back().await?;
        let old = self.identity.epoch().await?;
        let new = Epoch::new(self.ids.next());
        self.identity.set_epoch(new).await?;
        Ok(Renewed { old, new })
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
        let mut clocks = Vec::new();
        for user in mark.iter().flat_map(|mark| mark.users()) {
            clocks.push(self.feed.clock(user, None).await?.ok());
        }
        let epoch = self.identity.epoch().await?;
        Ok(Some(FoundHistory { store, epoch, clocks }))
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
    /// Whether the storage was told of it.
    is_stored: bool,
    /// Commits may have been missed: the connection to the database was lost, and a lot may have happened to it.
    missed: bool,
    /// Whose logins ended: perhaps since they were removed.
    ended: BTreeSet<UserId>,
    /// The last mark could not be kept, which was said.
    is_failing: bool,
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
        let is_first = self.state().mark.is_none();
        let kept = self.remembered();
        let Some(found) = self.history.find(kept.as_ref()).await? else {
            return Ok(None);
        };
        let mut verdict = kept
            .as_ref()
            .map_or(Verdict::Unrelated, |mark| mark.judge(&found));
        if is_first && verdict != Verdict::SetBack && self.storage_knows_more().await? {
            verdict = Verdict::SetBack;
        }
        let renewed = match verdict {
            Verdict::SetBack => Some(self.history.renew().await?),
            Verdict::Same | Verdict::Unrelated => None,
        };
        let epoch = renewed.map_or(found.epoch, |renewed| renewed.new);
        let mut state = self.state();
        if verdict != Verdict::Same || state.mark.is_none() {
            // What was committed meanwhile comes again with the next commit of that user.
            let fresh = || HighWaterMark::new(found.store, epoch);
            state.mark = kept
                .filter(|_| verdict == Verdict::Same)
                .or_else(|| Some(fresh()));
            self.keep(&mut state);
        }
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

    /// Whether the storage remembers what the store lacks. One that can't say does not hold up a start.
    async fn storage_knows_more(&self) -> Result<bool, StoreError> {
        let Ok(Ok(marks)) = timeout(PATIENCE, self.storage.marks()).await else {
            tracing::warn!("the storage of attachments does not say how far the database had come");
            return Ok(false);
        };
        for mark in marks {
            let found = self.history.find(Some(&mark)).await?;
            if found.is_some_and(|found| mark.judge(&found) == Verdict::SetBack) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Has the storage remember what is remembered here, if that is news.
    pub async fn store(&self) {
        let mark = {
            let state = self.state();
            state.mark.clone().filter(|_| !state.is_stored)
        };
        let Some(mark) = mark else { return };
        let stored = timeout(PATIENCE, self.storage.keep_mark(&mark)).await;
        let mut state = self.state();
        // Unless there was a commit meanwhile.
        state.is_stored = matches!(stored, Ok(Ok(()))) && state.mark.as_ref() == Some(&mark);
    }

    /// Looks again now and then, and whenever the connection to the database was lost or a user may have been removed. Never ends.
    pub async fn watch(&self) {
        loop {
            if self.is_due() && self.look().await.is_err() {
                // Whoever needs the store says why it fails.
                tokio::time::sleep(RETRY).await;
                continue;
            }
            if timeout(LOOK_AGAIN, self.alarm.notified()).await.is_err() {
                self.store().await;
                self.state().missed = true;
            }
        }
    }

    fn is_due(&self) -> bool {
        let state = self.state();
        state.mark.is_none() || state.missed || !state.ended.is_empty()
    }

    async fn look(&self) -> Result<(), StoreError> {
        let (missed, ended) = {
            let mut state = self.state();
            let missed = state.missed || state.mark.is_none();
            (missed, std::mem::take(&mut state.ended))
        };
        if missed {
            self.check().await?;
            self.state().missed = false;
        }
        for user in ended {
            if self.history.feed.clock(user, None).await?.is_err() {
                self.forget(user);
            }
        }
        Ok(())
    }

    /// A user was removed: that there is no such user says nothing any more.
    pub fn forget(&self, user: UserId) {
        let kept = self.remembered();
        let mut state = self.state();
        if let Some(mark) = state.mark.take().or(kept) {
            state.mark.insert(mark).forget(user);
            self.keep(&mut state);
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
        state.is_stored = false;
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

    fn logins_ended(&self, user: UserId) {
        let mut state = self.state();
        let is_marked = state
            .mark
            .as_ref()
            .is_some_and(|mark| mark.users().any(|known| known == user));
        if is_marked && state.ended.insert(user) {
            self.alarm.notify_one();
        }
    }

    fn missed(&self) {
        self.state().missed = true;
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
