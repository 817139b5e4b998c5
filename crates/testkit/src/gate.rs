//! Interleavings that a test forces: a decision that waits, under the lock, until the test lets it go on.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

/// How long a store's thread waits at a closed gate before it gives the test up, so that a failing test ends.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long a decision that must not run is given to do so all the same.
const OPPORTUNITY: Duration = Duration::from_millis(100);

#[derive(Debug, Default)]
struct Shared {
    open: Mutex<bool>,
    opened: Condvar,
    arrived: Notify,
}

impl Shared {
    fn open(&self) -> MutexGuard<'_, bool> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The test's side. Opens when it is dropped, so that no store's thread waits for a test that has failed.
#[derive(Debug, Default)]
pub struct Gate(Arc<Shared>);

/// The decision's side.
#[derive(Debug, Clone)]
pub struct Door(Arc<Shared>);

impl Gate {
    /// The door that a decision passes.
    pub fn door(&self) -> Door {
        Door(self.0.clone())
    }

    /// Waits until a decision stands at the door: it holds the lock then.
    pub async fn reached(&self) {
        self.0.arrived.notified().await;
    }

    /// Asserts that no decision comes to the door while something else stands in its way. There is no event to wait for
    /// when nothing may happen, so this gives a wrong decision some time to show itself; a right one never fails it.
    pub async fn assert_not_reached(&self) {
        let reached = tokio::time::timeout(OPPORTUNITY, self.reached()).await;
        assert!(reached.is_err(), "a decision ran while another one held the lock");
    }

    /// Lets everybody through, now and later.
    pub fn open(&self) {
        *self.0.open() = true;
        self.0.opened.notify_all();
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.open();
    }
}

impl Door {
    /// Blocks this thread until the gate is open.
    pub fn pass(&self) {
        self.0.arrived.notify_one();
        let closed = |open: &mut bool| !*open;
        let (_open, waited) = self
            .0
            .opened
            .wait_timeout_while(self.0.open(), PATIENCE, closed)
            .unwrap_or_else(PoisonError::into_inner);
        assert!(!waited.timed_out(), "nobody opened the gate");
    }
}
