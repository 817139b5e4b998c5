//! Whether a database was set back behind the server's back (R2): by a copy of a file, a snapshot, a dump.
//!
//! Something outside of the database remembers how far it had come. A database that knows less than that holds another history
//! from now on, and devices must be told: without a new epoch they would miss what is written in the place of what is gone.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::id::{Epoch, UserId};
use crate::stamp::Stamp;

/// How far a database had come, as something outside of it remembers: clocks that were committed.
///
/// ```
/// use mosaic_domain::high_water::{FoundHistory, FoundUser, HighWaterMark, Verdict};
/// use mosaic_domain::{Epoch, Stamp, UserId};
/// use uuid::Uuid;
/// let (anna, epoch) = (UserId::new(Uuid::from_u128(1)), Epoch::new(Uuid::from_u128(2)));
/// let mut mark = HighWaterMark::new(Uuid::from_u128(3), epoch);
/// mark.raise(anna, Stamp::clamped(20));
/// let users = |clock| [(anna, FoundUser::Clock(Stamp::clamped(clock)))].into();
/// let found = |clock| FoundHistory { store: Uuid::from_u128(3), epoch, users: users(clock) };
/// assert_eq!(mark.judge(&found(21)), Verdict::Same);
/// assert_eq!(mark.judge(&found(19)), Verdict::SetBack);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HighWaterMark {
    /// Which database: it keeps this name over restorations.
    store: Uuid,
    epoch: Epoch,
    /// Of users that wrote lately, the latest first.
    clocks: Vec<(UserId, Stamp)>,
}

/// What a database has of what a mark remembers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundHistory {
    /// Which database it is.
    pub store: Uuid,
    /// The name of the history that it holds.
    pub epoch: Epoch,
    /// What there is of [`HighWaterMark::users`].
    pub users: BTreeMap<UserId, FoundUser>,
}

/// What a database has of a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FoundUser {
    /// The user's clock.
    Clock(Stamp),
    /// That the user was removed, or is being removed.
    Removed,
    /// Nothing.
    Nothing,
}

/// What a database is, beside a mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It has everything that the mark remembers.
    Same,
    /// It is another database, or its epoch was renewed since: the mark says nothing of it.
    Unrelated,
    /// It was set back: something is gone that was committed.
    SetBack,
}

impl HighWaterMark {
    /// Of so many users it remembers clocks: a few, since one whose clock was far ahead, or who is gone, may show nothing.
    const MOST_USERS: usize = 4;

    /// A mark of a database of which nothing is remembered yet.
    pub fn new(store: Uuid, epoch: Epoch) -> Self {
        Self {
            store,
            epoch,
            clocks: Vec::new(),
        }
    }

    /// Which database it is of.
    pub fn store(&self) -> Uuid {
        self.store
    }

    /// Remembers a commit. One that is told late lowers nothing.
    pub fn raise(&mut self, user: UserId, clock: Stamp) {
        let known = self.clocks.iter().find(|(known, _)| *known == user);
        let clock = known.map_or(clock, |(_, known)| clock.max(*known));
        self.clocks.retain(|(known, _)| *known != user);
        self.clocks.insert(0, (user, clock));
        self.clocks.truncate(Self::MOST_USERS);
    }

    /// Remembers what was found of its users: commits that nobody told of, such as those of commands.
    pub fn catch_up(&mut self, found: &FoundHistory) {
        for (user, mark) in &mut self.clocks {
            if let Some(FoundUser::Clock(clock)) = found.users.get(user) {
                *mark = (*mark).max(*clock);
            }
        }
    }

    /// The users whose clocks it remembers.
    pub fn users(&self) -> impl Iterator<Item = UserId> {
        self.clocks.iter().map(|(user, _)| *user)
    }

    /// Whether the database was set back (R2).
    pub fn judge(&self, found: &FoundHistory) -> Verdict {
        if found.store != self.store {
            return Verdict::Unrelated;
        }
        if found.epoch != self.epoch {
            // Epochs are named by when they began (UUIDs of version 7). One that is older than the remembered one was put back.
            let are_ordered = [found.epoch, self.epoch].map(|epoch| epoch.uuid().get_version_num() == 7);
            return if are_ordered == [true, true] && found.epoch < self.epoch {
                Verdict::SetBack
            } else {
                Verdict::Unrelated
            };
        }
        let is_gone = |(user, mark): &(UserId, Stamp)| match found.users.get(user) {
            Some(FoundUser::Clock(clock)) => clock < mark,
            Some(FoundUser::Nothing) => true,
            // Of a user who was not looked for nothing is known.
            Some(FoundUser::Removed) | None => false,
        };
        if self.clocks.iter().any(is_gone) {
            Verdict::SetBack
        } else {
            Verdict::Same
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STORE: Uuid = Uuid::from_u128(9);

    fn user(n: u128) -> UserId {
        UserId::new(Uuid::from_u128(n))
    }

    fn stamp(n: i64) -> Stamp {
        Stamp::clamped(n)
    }

    /// An epoch that began then.
    fn epoch(n: u128) -> Epoch {
        Epoch::new(Uuid::from_u128((n << 80) | (7 << 76)))
    }

    fn mark(clocks: &[(u128, i64)]) -> HighWaterMark {
        let mut mark = HighWaterMark::new(STORE, epoch(5));
        for (n, clock) in clocks {
            mark.raise(user(*n), stamp(*clock));
        }
        mark
    }

    /// The clocks of users 1, 2 and so on.
    fn found(epoch: Epoch, clocks: &[Option<i64>]) -> FoundHistory {
        let found =
            |clock: &Option<i64>| clock.map_or(FoundUser::Nothing, |clock| FoundUser::Clock(stamp(clock)));
        FoundHistory {
            store: STORE,
            epoch,
            users: (1..).map(user).zip(clocks.iter().map(found)).collect(),
        }
    }

    #[test]
    fn r2_a_database_that_lacks_what_was_committed_was_set_back() {
        let mark = mark(&[(1, 10), (2, 20)]);
        let clocks = [
            ([Some(10), Some(20)], Verdict::Same),
            ([Some(30), Some(21)], Verdict::Same),
            ([Some(10), Some(19)], Verdict::SetBack),
            // One user wrote again, on what was put back.
            ([Some(9), Some(21)], Verdict::SetBack),
            ([Some(10), None], Verdict::SetBack),
        ];
        for (clocks, verdict) in clocks {
            assert_eq!(mark.judge(&found(epoch(5), &clocks)), verdict, "{clocks:?}");
        }
        let mut removed = found(epoch(5), &[Some(10), None]);
        removed.users.insert(user(2), FoundUser::Removed);
        assert_eq!(mark.judge(&removed), Verdict::Same);
    }

    #[test]
    fn r2_what_nobody_told_of_is_remembered_once_it_is_found() {
        let mut mark = mark(&[(1, 10), (2, 20)]);
        let looked = found(epoch(5), &[Some(10), Some(25)]);
        // Meanwhile others write.
        mark.raise(user(1), stamp(11));
        mark.raise(user(3), stamp(30));
        mark.catch_up(&looked);
        let now = |second| found(epoch(5), &[Some(11), Some(second), Some(30)]);
        assert_eq!(mark.judge(&now(25)), Verdict::Same);
        assert_eq!(mark.judge(&now(24)), Verdict::SetBack);
        mark.catch_up(&found(epoch(5), &[None, Some(9), None]));
        assert_eq!(mark.judge(&now(24)), Verdict::SetBack, "nothing is lowered");
    }

    #[test]
    fn r2_an_epoch_that_was_renewed_is_older_only_where_a_database_was_set_back() {
        let mark = mark(&[(1, 10)]);
        assert_eq!(mark.judge(&found(epoch(6), &[Some(3)])), Verdict::Unrelated);
        assert_eq!(mark.judge(&found(epoch(4), &[Some(30)])), Verdict::SetBack);
        let nameless = Epoch::new(Uuid::from_u128(1));
        assert_eq!(mark.judge(&found(nameless, &[Some(3)])), Verdict::Unrelated);
        let other = FoundHistory {
            store: Uuid::nil(),
            ..found(epoch(5), &[None])
        };
        assert_eq!(mark.judge(&other), Verdict::Unrelated);
        assert_eq!(mark.store(), STORE);
    }

    #[test]
    fn the_latest_commits_are_remembered_and_none_is_lowered() {
        let seen = mark(&[(1, 10), (2, 20), (3, 30), (4, 40), (5, 50), (2, 19)]);
        assert_eq!(seen.users().collect::<Vec<_>>(), [2, 5, 4, 3].map(user));
        let with = |second| found(epoch(5), &[None, Some(second), Some(30), Some(40), Some(50)]);
        assert_eq!(seen.judge(&with(20)), Verdict::Same);
        assert_eq!(seen.judge(&with(19)), Verdict::SetBack);
    }
}
