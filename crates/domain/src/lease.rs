//! Leases: that one instance at a time does a job. A lease ends by itself, so a holder that died keeps nobody away
//! for long.

use uuid::Uuid;

use crate::plan::Plan;
use crate::time::UnixMillis;

/// What is stored of a job. The default: nothing is known of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Lease {
    /// Who holds it, and until when.
    pub held: Option<(Uuid, UnixMillis)>,
    /// When it was last finished.
    pub done_at: Option<UnixMillis>,
}

/// An instance wants to do a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobClaim {
    /// The job's name.
    pub job: &'static str,
    /// Who wants to do it: one id for each run.
    pub holder: Uuid,
    /// Now.
    pub now: UnixMillis,
    /// Until when nobody else may do it. Whoever claims it again before that goes on.
    pub until: UnixMillis,
    /// It is not to be done when somebody finished it after this moment.
    pub unless_done_since: Option<UnixMillis>,
}

/// What became of a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClaimOutcome {
    /// The job is the holder's, until the moment that was named.
    Claimed,
    /// Somebody else is doing it.
    Busy,
    /// It was done lately.
    Done,
}

impl Lease {
    /// What becomes of a claim, and the lease that is stored then. Who holds the job comes first: the holder goes on,
    /// whatever was done meanwhile, and others find it busy. Only a job that nobody holds is asked when it was done.
    pub fn claim(&self, claim: &JobClaim) -> Plan<Self, ClaimOutcome> {
        let holder = self.held.filter(|(_, until)| *until > claim.now);
        match holder {
            Some((holder, _)) if holder != claim.holder => Plan::nothing(ClaimOutcome::Busy),
            None if claim
                .unless_done_since
                .is_some_and(|since| self.done_at > Some(since)) =>
            {
                Plan::nothing(ClaimOutcome::Done)
            }
            _ => {
                let held = Some((claim.holder, claim.until));
                Plan::write(Self { held, ..*self }, ClaimOutcome::Claimed)
            }
        }
    }

    /// What is stored once `holder` has released the job; with `done`, it was finished at that moment. Who does not
    /// hold it changes nothing.
    pub fn release(&self, holder: Uuid, done: Option<UnixMillis>) -> Plan<Self, ()> {
        if self.held.is_none_or(|(by, _)| by != holder) {
            return Plan::nothing(());
        }
        let released = Self {
            held: None,
            done_at: done.or(self.done_at),
        };
        Plan::write(released, ())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: i64) -> UnixMillis {
        UnixMillis::clamped(ms)
    }

    fn lease(held: Option<(u128, i64)>, done_at: Option<i64>) -> Lease {
        Lease {
            held: held.map(|(by, until)| (Uuid::from_u128(by), at(until))),
            done_at: done_at.map(at),
        }
    }

    /// A claim of 1 at 100, until 200.
    fn claim(unless_done_since: Option<i64>) -> JobClaim {
        JobClaim {
            job: "sweep",
            holder: Uuid::from_u128(1),
            now: at(100),
            until: at(200),
            unless_done_since: unless_done_since.map(at),
        }
    }

    #[test]
    fn who_holds_a_job_comes_before_when_it_was_done() {
        use ClaimOutcome::{Busy, Claimed, Done};
        for (held, done_at, unless_done_since, outcome) in [
            (None, None, None, Claimed),
            (None, None, Some(50), Claimed),
            (None, Some(50), None, Claimed),
            (None, Some(50), Some(50), Claimed),
            (None, Some(51), Some(50), Done),
            (Some((1, 101)), None, None, Claimed),
            (Some((1, 101)), Some(51), Some(50), Claimed),
            (Some((1, 100)), Some(51), Some(50), Done),
            (Some((2, 101)), None, None, Busy),
            (Some((2, 101)), Some(51), Some(50), Busy),
            (Some((2, 100)), None, None, Claimed),
            (Some((2, 100)), Some(51), Some(50), Done),
        ] {
            let plan = lease(held, done_at).claim(&claim(unless_done_since));
            let taken = (outcome == Claimed).then(|| lease(Some((1, 200)), done_at));
            let case = format!("{held:?}, done at {done_at:?}, unless done since {unless_done_since:?}");
            assert_eq!((plan.write, plan.outcome), (taken, outcome), "{case}");
        }
    }

    #[test]
    fn only_the_holder_releases_a_job() {
        for (held, done_at, done, released) in [
            (Some((1, 200)), Some(50), Some(90), Some(lease(None, Some(90)))),
            (Some((1, 200)), Some(50), None, Some(lease(None, Some(50)))),
            // Late, but nobody has taken it.
            (Some((1, 10)), None, Some(90), Some(lease(None, Some(90)))),
            (Some((2, 200)), Some(50), Some(90), None),
            (None, Some(50), Some(90), None),
        ] {
            let plan = lease(held, done_at).release(Uuid::from_u128(1), done.map(at));
            assert_eq!(plan.write, released, "{held:?}, {done:?}");
        }
    }
}
