//! What is remembered of users whose devices have nothing to fetch: their clocks, and their logins that go on. One process
//! owns the file, and every change goes through its writer, so memory can know what the file says.
//!
//! * The writer says what a group of jobs may have changed, after its commit and before anybody is answered or told: who pulls
//!   after an acknowledged write sees it.
//! * What a reader found is remembered only if nothing was committed since before it began to read: it may have read the
//!   state before that commit.
//! * A refusal is never remembered, and what is ahead of what is remembered is looked up: a reader may have seen a commit a
//!   moment before it is said here.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use mosaic_domain::{Epoch, FamilyId, Stamp, UserId};

use crate::commits::CommitEvent;

/// So many users are remembered: some 130 bytes each, and 16 more for each login after the fourth.
const REMEMBERED_USERS_MAX: usize = 100_000;
/// So many logins of each.
const REMEMBERED_LOGINS_MAX: usize = 32;

/// Whose clock or logins a job may have changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Touches {
    /// Nobody's, but for what it tells.
    Nobody,
    /// One user's.
    User(UserId),
    /// Anybody's, or the epoch.
    Everybody,
}

/// The state of the file, as far as it is remembered.
#[derive(Debug, Default)]
pub(crate) struct AtRest(Mutex<Remembered>);

#[derive(Debug, Default)]
struct Remembered {
    /// How many jobs were committed that may have changed any of it.
    commits: u64,
    /// Names the history of the file. Empty like `users` when it may have changed.
    epoch: Option<Epoch>,
    users: HashMap<UserId, Rest>,
}

#[derive(Debug)]
struct Rest {
    clock: Stamp,
    logins: Vec<FamilyId>,
}

/// When a look-up began, in commits.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Since(u64);

impl AtRest {
    /// The user's clock and the epoch, where it is remembered that the login goes on.
    pub(crate) fn look(&self, user: UserId, login: FamilyId) -> Option<(Stamp, Epoch)> {
        let all = self.lock();
        let rest = all.users.get(&user)?;
        let goes_on = rest.logins.contains(&login);
        goes_on.then_some((rest.clock, all.epoch?))
    }

    /// To be called before the file is read, for [`Self::learn`].
    pub(crate) fn since(&self) -> Since {
        Since(self.lock().commits)
    }

    /// Remembers what was found in the file: a login that goes on, the clock of its user, and the epoch.
    pub(crate) fn learn(&self, since: Since, user: UserId, login: FamilyId, clock: Stamp, epoch: Epoch) {
        let mut all = self.lock();
        if all.commits != since.0 {
            return;
        }
        if all.users.len() >= REMEMBERED_USERS_MAX && !all.users.contains_key(&user) {
            all.users.clear();
        }
        all.epoch = Some(epoch);
        let rest = all.users.entry(user).or_insert(Rest {
            clock,
            logins: Vec::new(),
        });
        if rest.logins.len() >= REMEMBERED_LOGINS_MAX {
            rest.logins.clear();
        }
        if !rest.logins.contains(&login) {
            rest.logins.push(login);
        }
    }

    /// A group of jobs was committed. Each says what it may have changed, and its event, in the order in which they ran.
    pub(crate) fn committed(&self, jobs: impl Iterator<Item = (Touches, Option<CommitEvent>)>) {
        let mut all = self.lock();
        for (touches, event) in jobs {
            match (touches, event) {
                (Touches::Everybody, _) => all.forget(),
                (_, Some(CommitEvent::Moved(user, clock))) => {
                    if let Some(rest) = all.users.get_mut(&user) {
                        rest.clock = clock;
                    }
                }
                (_, Some(CommitEvent::Account { user, .. })) | (Touches::User(user), None) => {
                    all.users.remove(&user);
                }
                (Touches::Nobody, None) => continue,
            }
            all.commits += 1;
        }
    }

    /// Nobody knows what became of a commit, or the file is let go.
    pub(crate) fn forget(&self) {
        let mut all = self.lock();
        all.commits += 1;
        all.forget();
    }

    fn lock(&self) -> MutexGuard<'_, Remembered> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Remembered {
    fn forget(&mut self) {
        self.epoch = None;
        self.users.clear();
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    const ANNA: UserId = UserId::new(Uuid::from_u128(1));
    const BEN: UserId = UserId::new(Uuid::from_u128(2));
    const PHONE: FamilyId = FamilyId::new(Uuid::from_u128(3));
    const TABLET: FamilyId = FamilyId::new(Uuid::from_u128(4));
    const EPOCH: Epoch = Epoch::new(Uuid::from_u128(5));

    fn stamp(n: i64) -> Stamp {
        Stamp::clamped(n)
    }

    /// Both users at rest, at 10.
    fn known() -> AtRest {
        let rest = AtRest::default();
        for user in [ANNA, BEN] {
            rest.learn(rest.since(), user, PHONE, stamp(10), EPOCH);
        }
        rest
    }

    fn clocks(rest: &AtRest) -> [Option<i64>; 2] {
        [ANNA, BEN].map(|user| rest.look(user, PHONE).map(|(clock, _)| clock.get()))
    }

    #[test]
    fn what_a_job_touches_is_looked_up_again_and_nothing_else() {
        let moved = Some(CommitEvent::Moved(ANNA, stamp(11)));
        let changed = |ended| Some(CommitEvent::Account { user: ANNA, ended });
        for (touches, event, expected) in [
            (Touches::Nobody, None, [Some(10), Some(10)]),
            (Touches::User(ANNA), moved, [Some(11), Some(10)]),
            (Touches::Nobody, changed(true), [None, Some(10)]),
            (Touches::Nobody, changed(false), [None, Some(10)]),
            (Touches::User(ANNA), None, [None, Some(10)]),
            (Touches::Everybody, None, [None, None]),
        ] {
            let rest = known();
            rest.committed([(touches, event)].into_iter());
            assert_eq!(clocks(&rest), expected, "{touches:?} {event:?}");
        }
        let rest = known();
        rest.forget();
        assert_eq!(clocks(&rest), [None, None]);
    }

    #[test]
    fn only_a_login_that_was_found_to_go_on_is_answered_from_memory() {
        let rest = known();
        assert_eq!(rest.look(ANNA, PHONE), Some((stamp(10), EPOCH)));
        assert_eq!(rest.look(ANNA, TABLET), None);
        rest.learn(rest.since(), ANNA, TABLET, stamp(10), EPOCH);
        assert!(rest.look(ANNA, PHONE).is_some() && rest.look(ANNA, TABLET).is_some());
    }

    /// A reader saw the file as it was before a commit, and says so after it.
    #[test]
    fn what_was_read_before_a_commit_is_not_remembered_after_it() {
        let rest = AtRest::default();
        let since = rest.since();
        rest.committed([(Touches::User(ANNA), Some(CommitEvent::Moved(ANNA, stamp(11))))].into_iter());
        rest.learn(since, ANNA, PHONE, stamp(10), EPOCH);
        assert_eq!(clocks(&rest), [None, None]);
        let since = rest.since();
        rest.forget();
        rest.learn(since, ANNA, PHONE, stamp(10), EPOCH);
        assert_eq!(clocks(&rest), [None, None]);
    }

    /// In a database in memory every look-up is a job.
    #[test]
    fn what_only_reads_keeps_nobody_from_being_remembered() {
        let rest = AtRest::default();
        let since = rest.since();
        rest.committed([(Touches::Nobody, None)].into_iter());
        rest.learn(since, ANNA, PHONE, stamp(10), EPOCH);
        assert_eq!(clocks(&rest), [Some(10), None]);
    }

    #[test]
    fn so_many_are_remembered_and_no_more() {
        let rest = known();
        for n in 0..REMEMBERED_USERS_MAX as u128 {
            let user = UserId::new(Uuid::from_u128(100 + n));
            rest.learn(rest.since(), user, PHONE, stamp(1), EPOCH);
        }
        assert!(rest.lock().users.len() <= REMEMBERED_USERS_MAX);
        for n in 0..1000 {
            let login = FamilyId::new(Uuid::from_u128(100 + n));
            rest.learn(rest.since(), BEN, login, stamp(1), EPOCH);
        }
        assert!(rest.lock().users[&BEN].logins.len() <= REMEMBERED_LOGINS_MAX);
    }
}
