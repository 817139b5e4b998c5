//! How many files of one user are coming in at the same time, on this instance: each takes a place on the disk that no quota
//! counts yet.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mosaic_domain::UserId;

use crate::error::AppError;

/// So many files of one user may come in at the same time.
const MOST: usize = 100;

/// The files that are coming in.
#[derive(Debug, Default)]
pub(super) struct Arrivals(Mutex<HashMap<UserId, usize>>);

impl Arrivals {
    fn counts(&self) -> MutexGuard<'_, HashMap<UserId, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One of the places of a user. Dropped, it is free again.
#[derive(Debug)]
pub(super) struct Place {
    arrivals: Arc<Arrivals>,
    user: UserId,
}

impl Place {
    pub(super) fn take(arrivals: &Arc<Arrivals>, user: UserId) -> Result<Self, AppError> {
        let mut counts = arrivals.counts();
        let count = counts.entry(user).or_default();
        if *count >= MOST {
            return Err(AppError::TooManyUploads);
        }
        *count += 1;
        Ok(Self {
            arrivals: Arc::clone(arrivals),
            user,
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.arrivals.counts();
        if let Some(count) = counts.get_mut(&self.user) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.user);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_user_has_so_many_places_and_each_is_free_again() {
        let arrivals = Arc::new(Arrivals::default());
        let [one, other] = [1, 2].map(|n| UserId::new(Uuid::from_u128(n)));
        let take = |user| Place::take(&arrivals, user);
        let mut places: Vec<Place> = (0..MOST).map(|_| take(one).ok().unwrap()).collect();
        assert!(matches!(take(one), Err(AppError::TooManyUploads)));
        assert!(take(other).is_ok());
        places.pop();
        assert!(take(one).is_ok());
        drop(places);
        assert!(arrivals.counts().is_empty());
    }
}
