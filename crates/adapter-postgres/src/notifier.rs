//! Who is told of commits (N1): the listeners of this store at once, and of other instances.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use mosaic_domain::{Stamp, UserId};
use mosaic_ports::{CommitFeed, CommitListener};
use tokio::task::JoinHandle;

use crate::PostgresStore;
use crate::commits::{CommitBroadcaster, Underway, lock};
use crate::connect::ListenSettings;
use crate::listen::NotificationListener;
use crate::session::Database;

/// Tells of commits.
pub(crate) struct CommitNotifier {
    broadcaster: Arc<CommitBroadcaster>,
    announcer: JoinHandle<()>,
    listen: ListenSettings,
    listening: Mutex<Option<JoinHandle<()>>>,
}

impl CommitNotifier {
    pub(crate) fn start(database: Database, listen: ListenSettings) -> Self {
        let broadcaster = Arc::new(CommitBroadcaster::new(database));
        Self {
            announcer: tokio::spawn(Arc::clone(&broadcaster).keep_telling()),
            broadcaster,
            listen,
            listening: Mutex::default(),
        }
    }

    /// Whether commits of other instances are heard.
    pub(crate) fn hears(&self) -> bool {
        self.broadcaster.hears.load(Ordering::Relaxed)
    }

    /// A commit has succeeded.
    pub(crate) fn committed(&self, user: UserId, clock: Stamp) {
        self.broadcaster.committed(user, clock);
    }

    /// Logins of a user have ended; `None`: of nobody.
    pub(crate) fn logins_ended(&self, user: Option<UserId>) {
        if let Some(user) = user {
            self.broadcaster.logins_ended(user);
        }
    }

    /// A commit is about to be tried that moves the clock from `before` to `after`.
    pub(crate) fn underway(&self, user: UserId, before: Stamp, after: Stamp) -> Underway {
        Underway::new(Arc::clone(&self.broadcaster), user, before, after)
    }

    /// Tells what is not told yet, and ends the tasks.
    pub(crate) async fn close(&self) {
        if let Some(listening) = lock(&self.listening).take() {
            listening.abort();
        }
        self.announcer.abort();
        self.broadcaster.tell_the_rest().await;
    }
}

impl Drop for CommitNotifier {
    fn drop(&mut self) {
        self.announcer.abort();
        if let Some(listening) = lock(&self.listening).take() {
            listening.abort();
        }
    }
}

impl CommitFeed for PostgresStore {
    fn listen(&self, listener: Arc<dyn CommitListener>) {
        let CommitNotifier {
            broadcaster,
            listen,
            listening,
            ..
        } = &self.commits;
        broadcaster.add_listener(listener);
        lock(listening).get_or_insert_with(|| {
            let listening = NotificationListener::new(Arc::clone(broadcaster), listen.clone());
            broadcaster.spawn(listening.keep_listening())
        });
    }
}
