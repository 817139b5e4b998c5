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

/// The turns of all users.
#[derive(Debug)]
pub(crate) struct Turns {
    users: Mutex<HashMap<Uuid, Weak<Semaphore>>>,
    patience: Duration,
}

impl Turns {
    /// Turns that nobody waits for longer than that.
    pub(crate) fn new(patience: Duration) -> Self {
        Self {
            users: Mutex::default(),
            patience,
        }
    }

    /// Waits for a turn of a user, which lasts until it is dropped.
    pub(crate) async fn take(&self, user: Uuid) -> Result<OwnedSemaphorePermit, Failure> {
        let turn = tokio::time::timeout(self.patience, self.of(user).acquire_owned());
        // A semaphore that nobody closes has a permit for everybody, sooner or later.
        turn.await.ok().and_then(Result::ok).ok_or(Failure::Crowded)
    }

    fn of(&self, user: Uuid) -> Arc<Semaphore> {
        let mut users = self.users.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(turns) = users.get(&user).and_then(Weak::upgrade) {
            return turns;
        }
        users.retain(|_, turns| turns.strong_count() > 0);
        let turns = Arc::new(Semaphore::new(AT_ONCE));
        users.insert(user, Arc::downgrade(&turns));
        turns
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_user_has_so_many_turns_and_others_have_theirs() {
        let turns = Turns::new(Duration::from_millis(1));
        let (one, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let first = turns.take(one).await.unwrap();
        let second = turns.take(one).await.unwrap();
        assert!(matches!(turns.take(one).await, Err(Failure::Crowded)));
        assert!(turns.take(other).await.is_ok());
        drop(first);
        assert!(turns.take(one).await.is_ok());
        drop(second);
        assert_eq!(turns.users.lock().unwrap().len(), 2);
        assert!(turns.take(Uuid::from_u128(3)).await.is_ok());
        assert_eq!(
            turns.users.lock().unwrap().len(),
            1,
            "nobody is remembered for good"
        );
    }
}
