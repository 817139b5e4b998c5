//! Who is told of commits (N1). The writer tells: it knows what became of a transaction, and which clocks it moved.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mosaic_domain::{Stamp, UserId};
use mosaic_ports::{CommitFeed, CommitListener};

use crate::SqliteStore;

/// What a job has done that others are told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CommitEvent {
    /// It moved this user's clock, which stands here now.
    Moved(UserId, Stamp),
    /// It changed the account or the logins of this user.
    Account {
        /// The user.
        user: UserId,
        /// Whether a login ended, which is what others are told of.
        ended: bool,
    },
}

/// Whoever listens.
#[derive(Default)]
pub(crate) struct Listeners(Mutex<Vec<Arc<dyn CommitListener>>>);

impl Listeners {
    /// Adds one.
    pub(crate) fn add(&self, listener: Arc<dyn CommitListener>) {
        self.all().push(listener);
    }

    /// Tells everybody of a commit. The jobs' clocks come in the order in which the jobs ran, so the last one of a user
    /// stands for those before it.
    pub(crate) fn tell(&self, event: impl Iterator<Item = CommitEvent>) {
        let mut latest = BTreeMap::<UserId, Stamp>::new();
        let mut ended = BTreeSet::<UserId>::new();
        for event in event {
            match event {
                CommitEvent::Moved(user, clock) => drop(latest.insert(user, clock)),
                CommitEvent::Account { user, ended: true } => drop(ended.insert(user)),
                CommitEvent::Account { .. } => {}
            }
        }
        if latest.is_empty() && ended.is_empty() {
            return;
        }
        // Told without the lock, so that a listener may add another one.
        let listeners = self.all().clone();
        for listener in listeners {
            // The panic hook reports it; the writer, and whoever else listens, goes on.
            for (user, clock) in &latest {
                let _ = catch_unwind(AssertUnwindSafe(|| listener.committed(*user, *clock)));
            }
            for user in &ended {
                let _ = catch_unwind(AssertUnwindSafe(|| listener.logins_ended(*user)));
            }
        }
    }

    fn all(&self) -> MutexGuard<'_, Vec<Arc<dyn CommitListener>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Listeners {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Listeners({})", self.all().len())
    }
}

/// There is one instance, and it knows of every commit: nothing is ever missed.
impl CommitFeed for SqliteStore {
    fn listen(&self, listener: Arc<dyn CommitListener>) {
        self.writer.listen(listener);
    }
}
