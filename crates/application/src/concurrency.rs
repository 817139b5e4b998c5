//! How much may go on at the same time for one key (a user, an address): the rest waits in line for a while, or is refused.
//!
//! Whoever came first goes first. A place that becomes free is handed to the next in line directly, so that nobody can slip in
//! between; one who has gone meanwhile is passed over.

use std::collections::HashMap;
use std::collections::VecDeque;
use std::collections::hash_map::Entry;
use std::fmt;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::timeout;

/// What each key may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConcurrencyLimits {
    /// So many at the same time.
    pub running: usize,
    /// So many more may wait.
    pub waiting: usize,
    /// For so long.
    pub patience: Duration,
}

/// There is no place, and none became free in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too much is going on at the same time")]
pub struct AtCapacity;

/// Counts what goes on, and keeps the lines. A clone counts with the original.
pub struct ConcurrencyLimiter<K: Eq + Hash + Clone>(Arc<Lanes<K>>);

impl<K: Eq + Hash + Clone> Clone for ConcurrencyLimiter<K> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

struct Lanes<K: Eq + Hash + Clone> {
    limits: ConcurrencyLimits,
    /// Only keys that have something going on.
    lanes: Mutex<HashMap<K, Lane<K>>>,
}

struct Lane<K: Eq + Hash + Clone> {
    running: usize,
    line: VecDeque<oneshot::Sender<Permit<K>>>,
}

/// A place. Dropped, it goes to the next in line.
pub struct Permit<K: Eq + Hash + Clone> {
    key: K,
    /// `None`: it was given back already.
    lanes: Option<Arc<Lanes<K>>>,
}

/// What becomes of somebody who arrives.
enum Arrival<K: Eq + Hash + Clone> {
    Enters(Permit<K>),
    Waits(oneshot::Receiver<Permit<K>>),
    Refused,
}

impl<K: Eq + Hash + Clone> ConcurrencyLimiter<K> {
    /// A limiter with nothing going on.
    pub fn new(limits: ConcurrencyLimits) -> Self {
        Self(Arc::new(Lanes {
            limits,
            lanes: Mutex::default(),
        }))
    }

    /// A place, at once or when it is this one's turn. Dropping the future leaves the line.
    ///
    /// # Errors
    /// [`AtCapacity`] where the line is full, or none became free in time.
    pub async fn enter(&self, key: K) -> Result<Permit<K>, AtCapacity> {
        match self.0.arrive(key, self.0.limits.waiting) {
            Arrival::Enters(permit) => Ok(permit),
            Arrival::Refused => Err(AtCapacity),
            Arrival::Waits(turn) => match timeout(self.0.limits.patience, turn).await {
                Ok(Ok(permit)) => Ok(permit),
                Ok(Err(_)) | Err(_) => Err(AtCapacity),
            },
        }
    }

    /// A place, if one is free at once.
    ///
    /// # Errors
    /// [`AtCapacity`].
    pub fn try_enter(&self, key: K) -> Result<Permit<K>, AtCapacity> {
        match self.0.arrive(key, 0) {
            Arrival::Enters(permit) => Ok(permit),
            Arrival::Waits(_) | Arrival::Refused => Err(AtCapacity),
        }
    }
}

impl<K: Eq + Hash + Clone> Lanes<K> {
    fn lock(&self) -> MutexGuard<'_, HashMap<K, Lane<K>>> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn arrive(self: &Arc<Self>, key: K, waiting: usize) -> Arrival<K> {
        let mut lanes = self.lock();
        let lane = lanes.entry(key.clone()).or_insert_with(|| Lane {
            running: 0,
            line: VecDeque::new(),
        });
        if lane.running < self.limits.running.max(1) {
            lane.running += 1;
            return Arrival::Enters(Permit {
                key,
                lanes: Some(Arc::clone(self)),
            });
        }
        if lane.line.len() >= waiting {
            lane.line.retain(|turn| !turn.is_closed());
        }
        if lane.line.len() >= waiting {
            return Arrival::Refused;
        }
        let (turn, waits) = oneshot::channel();
        lane.line.push_back(turn);
        Arrival::Waits(waits)
    }

    /// Hands a place on, or frees it.
    fn leave(self: &Arc<Self>, key: &K) {
        let mut lanes = self.lock();
        let Entry::Occupied(mut entry) = lanes.entry(key.clone()) else {
            return;
        };
        let lane = entry.get_mut();
        while let Some(turn) = lane.line.pop_front() {
            let permit = Permit {
                key: key.clone(),
                lanes: Some(Arc::clone(self)),
            };
            match turn.send(permit) {
                Ok(()) => return,
                // Whoever waited is gone. The place is not given back by this permit, but to the next.
                Err(mut unwanted) => unwanted.lanes = None,
            }
        }
        lane.running -= 1;
        if lane.running == 0 {
            entry.remove();
        }
    }
}

impl<K: Eq + Hash + Clone> Drop for Permit<K> {
    fn drop(&mut self) {
        if let Some(lanes) = self.lanes.take() {
            lanes.leave(&self.key);
        }
    }
}

impl<K: Eq + Hash + Clone> fmt::Debug for ConcurrencyLimiter<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ConcurrencyLimiter").field(&self.0.limits).finish()
    }
}

impl<K: Eq + Hash + Clone> fmt::Debug for Permit<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Permit")
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::Poll;

    use futures_util::poll;

    use super::*;

    fn limiter(running: usize, waiting: usize) -> ConcurrencyLimiter<char> {
        ConcurrencyLimiter::new(ConcurrencyLimits {
            running,
            waiting,
            patience: Duration::from_hours(1),
        })
    }

    #[tokio::test]
    async fn a_key_has_so_many_places_and_each_is_free_again() {
        let limiter = limiter(2, 0);
        let mut places = vec![limiter.try_enter('a').unwrap(), limiter.enter('a').await.unwrap()];
        assert_eq!(limiter.try_enter('a').unwrap_err(), AtCapacity);
        assert_eq!(limiter.enter('a').await.unwrap_err(), AtCapacity);
        assert!(
            limiter.try_enter('b').is_ok(),
            "another key has places of its own"
        );
        places.pop();
        assert!(limiter.try_enter('a').is_ok());
        drop(places);
        assert!(
            limiter.0.lock().is_empty(),
            "nothing is remembered of what has ended"
        );
    }

    #[tokio::test]
    async fn whoever_waits_longest_is_next_and_nobody_slips_in() {
        let limiter = limiter(1, 2);
        let running = limiter.enter('a').await.unwrap();
        let (mut first, mut second) = (pin!(limiter.enter('a')), pin!(limiter.enter('a')));
        assert!(poll!(first.as_mut()).is_pending() && poll!(second.as_mut()).is_pending());
        assert_eq!(
            limiter.enter('a').await.unwrap_err(),
            AtCapacity,
            "the line is full"
        );
        drop(running);
        assert!(limiter.try_enter('a').is_err(), "the place is the first one's");
        assert!(poll!(second.as_mut()).is_pending());
        let next = first.await.unwrap();
        drop(next);
        drop(second.await.unwrap());
        assert!(limiter.0.lock().is_empty());
    }

    #[tokio::test]
    async fn whoever_leaves_the_line_is_passed_over_and_takes_no_room_in_it() {
        let limiter = limiter(1, 1);
        let running = limiter.enter('a').await.unwrap();
        {
            let mut gone = pin!(limiter.enter('a'));
            assert!(poll!(gone.as_mut()).is_pending());
        }
        let mut waits = Box::pin(limiter.enter('a'));
        assert!(
            poll!(waits.as_mut()).is_pending(),
            "there is room in the line again"
        );
        drop(running);
        // It was given the place, and goes without having looked.
        drop(waits);
        assert!(limiter.try_enter('a').is_ok(), "the place is not lost");
        assert!(limiter.0.lock().is_empty());
    }

    #[tokio::test]
    async fn a_place_goes_past_whoever_left_to_the_next_in_line() {
        let limiter = limiter(1, 2);
        let running = limiter.enter('a').await.unwrap();
        let (mut gone, mut next) = (Box::pin(limiter.enter('a')), pin!(limiter.enter('a')));
        assert!(poll!(gone.as_mut()).is_pending() && poll!(next.as_mut()).is_pending());
        drop(gone);
        drop(running);
        let Poll::Ready(Ok(place)) = poll!(next.as_mut()) else {
            panic!("the place is lost");
        };
        drop(place);
        assert!(limiter.0.lock().is_empty());
    }

    #[tokio::test]
    async fn nobody_waits_for_ever() {
        let limiter = ConcurrencyLimiter::new(ConcurrencyLimits {
            running: 1,
            waiting: 1,
            patience: Duration::ZERO,
        });
        let running = limiter.enter('a').await.unwrap();
        assert_eq!(limiter.enter('a').await.unwrap_err(), AtCapacity);
        drop(running);
        assert!(limiter.enter('a').await.is_ok());
    }
}
