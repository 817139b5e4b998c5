//! How commits are announced (N1): to the listeners of this store at once, to other instances by `NOTIFY`, soon after.
//!
//! A `NOTIFY` inside a writing transaction would make all commits of the database wait for each other, so it comes after:
//! the user and the clock go into a map that a task of the store's own empties, with one statement however many commits
//! there were, and not oftener than every few milliseconds. The latest clock of a user stands for those before it.
//!
//! Stores that nobody listens to tell the others all the same: an import runs beside servers.

use std::collections::hash_map::RandomState;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::BuildHasher as _;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mosaic_domain::{Stamp, UserId};
use mosaic_ports::CommitListener;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_postgres::types::Type;

use crate::error::Failure;
use crate::payload::{Token, of_commits, of_ended};
use crate::retry::{jittered, retrying};
use crate::rows::checked;
use crate::session::{Database, Step, Value};
use crate::standing;

/// The name under which instances talk.
pub(crate) const CHANNEL: &str = "mosaic_commits";
/// How long to gather commits after some were told of.
const GATHER: Duration = Duration::from_millis(25);
/// How long to wait after a failure before the next attempt.
const PAUSE: Duration = Duration::from_secs(1);
/// The most users whose commits are remembered while the database takes no notifications. Past it nothing is added: a
/// nudge that is lost harms nobody, and the memory stays bounded.
const USERS_MAX: usize = 100_000;

/// What the tasks of the store share.
pub(crate) struct CommitBroadcaster {
    pub(crate) database: Database,
    runtime: Handle,
    /// Who this store is to the others.
    pub(crate) sender: Token,
    listeners: Mutex<Vec<Arc<dyn CommitListener>>>,
    untold: Mutex<Untold>,
    wake: Notify,
    /// Whether commits of other instances are heard.
    pub(crate) hears: AtomicBool,
    /// Held from emptying the map until the others are told.
    telling: tokio::sync::Mutex<()>,
}

/// What other instances have not been told yet.
#[derive(Debug, Default)]
struct Untold {
    commits: BTreeMap<UserId, Stamp>,
    /// Whose logins ended.
    ended: BTreeSet<UserId>,
}

impl Untold {
    fn is_empty(&self) -> bool {
        self.commits.is_empty() && self.ended.is_empty()
    }

    fn add(&mut self, more: Self) {
        let has_room = self.commits.len() + self.ended.len() < USERS_MAX;
        for (user, clock) in more.commits {
            if has_room || self.commits.contains_key(&user) {
                let latest = self.commits.entry(user).or_insert(clock);
                *latest = clock.max(*latest);
            }
        }
        if has_room {
            self.ended.extend(more.ended);
        }
    }
}

/// A fresh RandomState is random: good enough to be apart from others.
pub(crate) fn random_token() -> Token {
    Token(RandomState::new().hash_one(()))
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn warn_untold(error: &Failure) {
    tracing::warn!(
        error = error as &dyn std::error::Error,
        "other instances were not told of commits"
    );
}

/// Several payloads in one statement, which is one commit.
const NOTIFY: &str = "SELECT pg_notify($1, n.payload) FROM unnest((SELECT $2::text[])) AS n (payload)";

impl CommitBroadcaster {
    pub(crate) fn new(database: Database) -> Self {
        Self {
            database,
            runtime: Handle::current(),
            sender: random_token(),
            listeners: Mutex::default(),
            untold: Mutex::default(),
            wake: Notify::new(),
            hears: AtomicBool::new(false),
            telling: tokio::sync::Mutex::default(),
        }
    }

    pub(crate) fn add_listener(&self, listener: Arc<dyn CommitListener>) {
        lock(&self.listeners).push(listener);
    }

    /// Runs a task beside those of the store.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
        self.runtime.spawn(task)
    }

    /// Tells the others, whenever there is something to tell.
    pub(crate) async fn keep_telling(self: Arc<Self>) {
        loop {
            self.wake.notified().await;
            let pause = match self.tell_others().await {
                Ok(()) => GATHER,
                Err(error) => {
                    warn_untold(&error);
                    jittered(PAUSE)
                }
            };
            tokio::time::sleep(pause).await;
        }
    }

    /// Tells what is not told yet, once.
    pub(crate) async fn tell_the_rest(&self) {
        if let Err(error) = self.tell_others().await {
            warn_untold(&error);
        }
    }

    /// Logins of a user have ended.
    pub(crate) fn logins_ended(&self, user: UserId) {
        self.tell_ended(user);
        self.add(Untold {
            ended: BTreeSet::from([user]),
            ..Untold::default()
        });
        self.wake.notify_one();
    }

    /// Tells the listeners of this store, and has the others told.
    pub(crate) fn committed(&self, user: UserId, clock: Stamp) {
        self.tell_listeners(user, clock);
        self.add(Untold {
            commits: BTreeMap::from([(user, clock)]),
            ..Untold::default()
        });
        self.wake.notify_one();
    }

    pub(crate) fn tell_listeners(&self, user: UserId, clock: Stamp) {
        for listener in self.listeners() {
            listener.committed(user, clock);
        }
    }

    pub(crate) fn tell_ended(&self, user: UserId) {
        for listener in self.listeners() {
            listener.logins_ended(user);
        }
    }

    /// Commits may have been missed.
    pub(crate) fn missed(&self) {
        for listener in self.listeners() {
            listener.missed();
        }
    }

    /// Not locked while they are called: a listener may ask for anything.
    fn listeners(&self) -> Vec<Arc<dyn CommitListener>> {
        lock(&self.listeners).clone()
    }

    fn add(&self, more: Untold) {
        lock(&self.untold).add(more);
    }

    async fn tell_others(&self) -> Result<(), Failure> {
        let _telling = self.telling.lock().await;
        let mut taken = Taken {
            broadcaster: self,
            untold: std::mem::take(&mut *lock(&self.untold)),
        };
        let Untold { commits, ended } = &taken.untold;
        let mut payloads = of_commits(self.sender, commits.iter().map(|(user, clock)| (*user, *clock)));
        payloads.extend(of_ended(self.sender, ended.iter().copied()));
        if payloads.is_empty() {
            return Ok(());
        }
        let told = self.notify(&payloads).await;
        // What the database refuses for good would be refused for ever.
        if !told.as_ref().is_err_and(Failure::may_pass) {
            taken.untold = Untold::default();
        }
        told
    }

    /// Sends payloads to whoever listens.
    pub(crate) async fn notify(&self, payloads: &[String]) -> Result<(), Failure> {
        let values: [Value<'_>; 2] = [(&CHANNEL, Type::TEXT), (&payloads, Type::TEXT_ARRAY)];
        let told = retrying(|| async { self.database.run(Step::Fixed(NOTIFY, values.to_vec())).await });
        told.await.map(drop)
    }

    /// Finds out what became of a commit that nobody waited for to the end, and tells of it if it succeeded.
    async fn look_after(&self, user: UserId, before: Stamp) -> Result<(), Failure> {
        let uuid = user.uuid();
        // The transaction holds this lock until it has ended, one way or the other.
        let look = || async {
            let values: Vec<Value<'_>> = vec![(&uuid, Type::UUID)];
            self.database.run(Step::Fixed(standing::LOCK, values)).await
        };
        let rows = retrying(look).await?;
        if let Some(row) = rows.first() {
            let clock = checked(row, 0, "sync_clocks.last_stamp", Stamp::new)?;
            if clock > before {
                self.committed(user, clock);
            }
        }
        Ok(())
    }
}

/// Commits that were taken to be told. What is left goes back, also when the task is ended.
struct Taken<'a> {
    broadcaster: &'a CommitBroadcaster,
    untold: Untold,
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        if !self.untold.is_empty() {
            self.broadcaster.add(std::mem::take(&mut self.untold));
            self.broadcaster.wake.notify_one();
        }
    }
}

/// A commit whose outcome is not known yet. One that is dropped without having been told what became of it finds out by
/// itself: whoever sent the write may have gone, and the write is committed all the same.
pub(crate) struct Underway {
    broadcaster: Arc<CommitBroadcaster>,
    user: UserId,
    before: Stamp,
    after: Stamp,
    is_open: bool,
}

impl Underway {
    /// A commit is about to be tried that moves the clock from `before` to `after`.
    pub(crate) fn new(
        broadcaster: Arc<CommitBroadcaster>,
        user: UserId,
        before: Stamp,
        after: Stamp,
    ) -> Self {
        Self {
            broadcaster,
            user,
            before,
            after,
            is_open: true,
        }
    }

    /// It succeeded.
    pub(crate) fn committed(mut self) {
        self.is_open = false;
        if self.after > self.before {
            self.broadcaster.committed(self.user, self.after);
        }
    }

    /// Nothing was written.
    pub(crate) fn failed(mut self) {
        self.is_open = false;
    }
}

impl Drop for Underway {
    fn drop(&mut self) {
        if !self.is_open || self.after <= self.before {
            return;
        }
        let (broadcaster, user, before) = (Arc::clone(&self.broadcaster), self.user, self.before);
        self.broadcaster.runtime.spawn(async move {
            if let Err(error) = broadcaster.look_after(user, before).await {
                tracing::debug!(
                    error = &error as &dyn std::error::Error,
                    "what became of a commit is not known, and nobody is told"
                );
            }
        });
    }
}
