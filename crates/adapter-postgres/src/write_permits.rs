//! Writes of one user wait for each other anyway, for the lock of their clock. They wait here, without a connection of the
//! pool: who sends a hundred writes at once keeps nobody else from the database.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use uuid::Uuid;

use crate::error::Failure;

/// One that writes, and one that is on its way, so that the database is never waited for in between.
const AT_ONCE: usize = 2;

/// Permits to write, of each user.
#[derive(Debug)]
pub(crate) struct WritePermits {
    users: Mutex<HashMap<Uuid, Weak<Semaphore>>>,
    wait: Duration,
}

impl WritePermits {
    /// Nobody waits for one longer than that.
    pub(crate) fn new(wait: Duration) -> Self {
        Self {
            users: Mutex::default(),
            wait,
        }
    }

    /// Waits for a permit of a user, which lasts until it is dropped.
    pub(crate) async fn take(&self, user: Uuid) -> Result<OwnedSemaphorePermit, Failure> {
        let permit = tokio::time::timeout(self.wait, self.of(user).acquire_owned());
        // A semaphore that nobody closes has a permit for everybody, sooner or later.
        permit.await.ok().and_then(Result::ok).ok_or(Failure::Crowded)
    }

    fn of(&self, user: Uuid) -> Arc<Semaphore> {
        let mut users = self.users.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(permits) = users.get(&user).and_then(Weak::upgrade) {
            return permits;
        }
        users.retain(|_, permits| permits.strong_count() > 0);
        let permits = Arc::new(Semaphore::new(AT_ONCE));
        users.insert(user, Arc::downgrade(&permits));
        permits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_user_has_so_many_turns_and_others_have_theirs() {
        let permits = WritePermits::new(Duration::from_millis(1));
        let (one, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let first = permits.take(one).await.unwrap();
        let second = permits.take(one).await.unwrap();
        assert!(matches!(permits.take(one).await, Err(Failure::Crowded)));
        assert!(permits.take(other).await.is_ok());
        drop(first);
        assert!(permits.take(one).await.is_ok());
        drop(second);
        assert_eq!(permits.users.lock().unwrap().len(), 2);
        assert!(permits.take(Uuid::from_u128(3)).await.is_ok());
        assert_eq!(
            permits.users.lock().unwrap().len(),
            1,
            "nobody is remembered for good"
        );
    }
}
