//! Nudges (N1): telling the devices that listen that there is something to pull.
//!
//! A nudge carries no data and moves no cursor. The store tells the [`Subscriptions`] of every commit ([`CommitListener`]); the hub
//! keeps, for each user that anybody listens to, the latest clock. A listener that is slow finds the latest one and has
//! missed nothing that matters.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mosaic_domain::{Stamp, UserId};
use mosaic_ports::{ChangeFeed, CommitListener};
use tokio::sync::watch;

use crate::error::AppError;
use crate::sessions::Actor;

/// What is known of one user's commits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Signals {
    clock: Stamp,
    /// How often commits may have been missed.
    gaps: u64,
    /// How often logins ended.
    ends: u64,
}

/// Passes commits on to whoever listens. One for each process.
#[derive(Debug, Default)]
pub struct Subscriptions {
    users: Mutex<Users>,
}

#[derive(Debug, Default)]
struct Users {
    listened: HashMap<UserId, watch::Sender<Signals>>,
    closed: bool,
}

impl Subscriptions {
    /// Ends every listener, now and from now on: the server stops.
    pub fn close(&self) {
        let mut users = self.users();
        users.closed = true;
        users.listened.clear();
    }

    /// How many listen.
    pub fn listeners(&self) -> usize {
        self.users()
            .listened
            .values()
            .map(watch::Sender::receiver_count)
            .sum()
    }

    fn users(&self) -> MutexGuard<'_, Users> {
        self.users.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn join(&self, user: UserId, limit: usize) -> Result<watch::Receiver<Signals>, AppError> {
        let mut users = self.users();
        if users.closed {
            // A receiver whose sender is gone: the listener ends at once.
            return Ok(watch::channel(Signals::default()).1);
        }
        let news = users.listened.entry(user).or_default();
        if news.receiver_count() >= limit {
            return Err(AppError::TooManyListeners);
        }
        Ok(news.subscribe())
    }

    /// Forgets a user whom nobody listens to any more.
    fn leave(&self, user: UserId) {
        let mut users = self.users();
        if users
            .listened
            .get(&user)
            .is_some_and(|news| news.receiver_count() == 0)
        {
            users.listened.remove(&user);
        }
    }
}

impl CommitListener for Subscriptions {
    fn committed(&self, user: UserId, clock: Stamp) {
        if let Some(news) = self.users().listened.get(&user) {
            // What comes twice or late is no news.
            news.send_if_modified(|news| {
                let newer = clock > news.clock;
                news.clock = news.clock.max(clock);
                newer
            });
        }
    }

    fn logins_ended(&self, user: UserId) {
        if let Some(news) = self.users().listened.get(&user) {
            news.send_modify(|news| news.ends += 1);
        }
    }

    fn missed(&self) {
        for news in self.users().listened.values() {
            // The clock may even have gone back, if the database was restored: it is read anew.
            news.send_modify(|news| {
                news.clock = Stamp::ZERO;
                news.gaps += 1;
            });
        }
    }
}

/// Lets devices listen.
#[derive(Clone)]
pub struct Nudges {
    subscriptions: Arc<Subscriptions>,
    feed: Arc<dyn ChangeFeed>,
    limit: usize,
}

impl Nudges {
    /// Nudges of a hub; of each user at most `limit` connections listen at once.
    pub fn new(subscriptions: Arc<Subscriptions>, feed: Arc<dyn ChangeFeed>, limit: usize) -> Self {
        Self {
            subscriptions,
            feed,
            limit,
        }
    }

    /// Listens to the commits of a user, for as long as the login goes on.
    ///
    /// # Errors
    /// [`AppError::TooManyListeners`].
    pub fn listen(&self, actor: Actor) -> Result<Listener, AppError> {
        Ok(Listener {
            news: Some(self.subscriptions.join(actor.user, self.limit)?),
            told: None,
            seen: None,
            actor,
            nudges: self.clone(),
        })
    }
}

/// One connection that listens. Dropping it ends that.
pub struct Listener {
    /// `None` only while it is dropped.
    news: Option<watch::Receiver<Signals>>,
    told: Option<Stamp>,
    /// How many gaps and ends of logins there had been at the last look at the clock; `None` before the first.
    seen: Option<(u64, u64)>,
    actor: Actor,
    nudges: Nudges,
}

impl Listener {
    /// The next clock to tell: first the user's clock as it is, then each newer one, and after a gap the clock as it is
    /// again. `None`: the server stops. Dropping the future loses nothing.
    ///
    /// # Errors
    /// A store's error; the login has ended, or the password must be changed: that is found out as soon as the store tells
    /// that logins of the user ended.
    pub async fn next(&mut self) -> Result<Option<Stamp>, AppError> {
        loop {
            let Some(news) = &mut self.news else {
                return Ok(None);
            };
            let Signals { clock, gaps, ends } = *news.borrow_and_update();
            if self.seen != Some((gaps, ends)) {
                let Actor { user, login } = self.actor;
                let clock = self.nudges.feed.clock(user, login).await??;
                let had_gap = self.seen.is_none_or(|(seen, _)| seen != gaps);
                self.seen = Some((gaps, ends));
                if had_gap || self.told.is_none_or(|told| clock > told) {
                    self.told = Some(clock);
                    return Ok(Some(clock));
                }
                continue;
            }
            if self.told.is_none_or(|told| clock > told) {
                self.told = Some(clock);
                return Ok(Some(clock));
            }
            if news.changed().await.is_err() {
                return Ok(None);
            }
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.news = None;
        self.nudges.subscriptions.leave(self.actor.user);
    }
}

impl std::fmt::Debug for Nudges {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Nudges")
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Listener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Listener")
            .field("user", &self.actor.user)
            .finish_non_exhaustive()
    }
}
