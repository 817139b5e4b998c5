//! How many log-ins may run at once: a password costs memory and a core for tens of milliseconds, so whoever floods the
//! server with passwords, right ones too, waits behind his own share.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// What runs, by key.
#[derive(Debug, Default)]
pub(super) struct Shares(Mutex<HashMap<u64, usize>>);

/// What runs now. Given back when it is dropped.
#[derive(Debug)]
pub(super) struct Share<'a> {
    shares: &'a Shares,
    keys: Vec<u64>,
}

impl Shares {
    /// Takes one of each key's share; `Err` with the place of the first key of which nothing is left.
    pub(super) fn take(&self, wanted: &[(u64, usize)]) -> Result<Share<'_>, usize> {
        let mut running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_full = |(key, most): &(u64, usize)| running.get(key).is_some_and(|now| now >= most);
        if let Some(place) = wanted.iter().position(is_full) {
            return Err(place);
        }
        for (key, _) in wanted {
            *running.entry(*key).or_default() += 1;
        }
        Ok(Share {
            shares: self,
            keys: wanted.iter().map(|(key, _)| *key).collect(),
        })
    }
}

impl Drop for Share<'_> {
    fn drop(&mut self) {
        let mut running = self.shares.0.lock().unwrap_or_else(PoisonError::into_inner);
        for key in &self.keys {
            if let Some(now) = running.get_mut(key) {
                *now -= 1;
                if *now == 0 {
                    running.remove(key);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_taken_whole_and_given_back() {
        let shares = Shares::default();
        let first = shares.take(&[(1, 2), (2, 1)]).unwrap();
        assert_eq!(shares.take(&[(1, 2), (2, 1)]).unwrap_err(), 1);
        let second = shares.take(&[(1, 2)]).unwrap();
        assert_eq!(shares.take(&[(1, 2)]).unwrap_err(), 0);
        drop(first);
        drop(shares.take(&[(1, 2), (2, 1)]).unwrap());
        drop(second);
        assert!(
            shares.0.lock().unwrap().is_empty(),
            "nothing is kept of what ended"
        );
    }
}
