//! Jobs that one instance at a time does.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use mosaic_domain::lease::{ClaimOutcome, JobClaim};
use uuid::Uuid;

use crate::{Harness, at};

fn holder(n: u128) -> Uuid {
    Uuid::from_u128(n)
}

fn claim_of(job: &'static str, n: u128, now: i64, until: i64) -> JobClaim {
    JobClaim {
        job,
        holder: holder(n),
        now: at(now),
        until: at(until),
        unless_done_since: None,
    }
}

async fn claim(h: &Harness, n: u128, now: i64, until: i64) -> ClaimOutcome {
    let claim = claim_of("sweep", n, now, until);
    h.stores.jobs.claim(claim).await.unwrap()
}

async fn claim_unless_done_since(h: &Harness, n: u128, now: i64, since: i64) -> ClaimOutcome {
    let claim = JobClaim {
        unless_done_since: Some(at(since)),
        ..claim_of("sweep", n, now, now + 100)
    };
    h.stores.jobs.claim(claim).await.unwrap()
}

async fn release(h: &Harness, n: u128, done: Option<i64>) {
    h.stores
        .jobs
        .release("sweep", holder(n), done.map(at))
        .await
        .unwrap();
}

/// Who claims a job has it: others find it busy, until that moment; another job is free.
pub async fn a_job_that_is_claimed_is_busy_for_others(h: &Harness) {
    assert_eq!(claim(h, 1, 1_000, 1_100).await, ClaimOutcome::Claimed);
    assert_eq!(claim(h, 2, 1_001, 9_000).await, ClaimOutcome::Busy);
    assert_eq!(claim(h, 2, 1_099, 9_000).await, ClaimOutcome::Busy);
    let other = claim_of("another", 2, 1_001, 9_000);
    assert_eq!(h.stores.jobs.claim(other).await.unwrap(), ClaimOutcome::Claimed);
    assert_eq!(claim(h, 2, 1_100, 9_000).await, ClaimOutcome::Claimed);
    assert_eq!(claim(h, 1, 1_101, 9_000).await, ClaimOutcome::Busy);
}

/// The holder may claim it again, and holds on to it for longer.
pub async fn a_job_is_held_on_to(h: &Harness) {
    claim(h, 1, 1_000, 1_100).await;
    assert_eq!(claim(h, 1, 1_050, 1_500).await, ClaimOutcome::Claimed);
    assert_eq!(claim(h, 2, 1_400, 9_000).await, ClaimOutcome::Busy);
    // Late, but nobody has taken it.
    assert_eq!(claim(h, 1, 1_600, 1_700).await, ClaimOutcome::Claimed);
    assert_eq!(claim(h, 2, 1_650, 9_000).await, ClaimOutcome::Busy);
}

/// A job that was done after the moment that the claim names is not done again; before it or at it, it is.
pub async fn a_job_that_was_done_lately_is_not_done_again(h: &Harness) {
    assert_eq!(
        claim_unless_done_since(h, 1, 1_000, 0).await,
        ClaimOutcome::Claimed
    );
    release(h, 1, Some(1_050)).await;
    assert_eq!(
        claim_unless_done_since(h, 2, 1_060, 1_049).await,
        ClaimOutcome::Done
    );
    assert_eq!(
        claim_unless_done_since(h, 1, 1_060, 1_049).await,
        ClaimOutcome::Done
    );
    assert_eq!(
        claim_unless_done_since(h, 2, 2_060, 1_050).await,
        ClaimOutcome::Claimed
    );
    release(h, 2, None).await;
    // Let go of without having done it: the last time counts still.
    assert_eq!(
        claim_unless_done_since(h, 3, 2_070, 1_049).await,
        ClaimOutcome::Done
    );
    assert_eq!(claim(h, 3, 2_070, 2_080).await, ClaimOutcome::Claimed);
}

/// That somebody holds a job comes before when it was done: whoever holds it goes on, whatever was done meanwhile,
/// and for everybody else it is busy. Once the time is over, it was done.
pub async fn a_job_that_is_held_is_busy_though_it_was_done_lately(h: &Harness) {
    claim(h, 1, 1_000, 1_100).await;
    release(h, 1, Some(1_050)).await;
    assert_eq!(claim(h, 2, 1_060, 1_160).await, ClaimOutcome::Claimed);
    assert_eq!(
        claim_unless_done_since(h, 3, 1_070, 1_000).await,
        ClaimOutcome::Busy
    );
    assert_eq!(
        claim_unless_done_since(h, 2, 1_080, 1_000).await,
        ClaimOutcome::Claimed
    );
    assert_eq!(claim(h, 3, 1_179, 9_000).await, ClaimOutcome::Busy);
    for n in [2, 3] {
        assert_eq!(
            claim_unless_done_since(h, n, 1_180, 1_000).await,
            ClaimOutcome::Done
        );
    }
}

/// A job that is released is free at once.
pub async fn a_job_that_is_let_go_of_is_free(h: &Harness) {
    claim(h, 1, 1_000, 9_000).await;
    release(h, 1, None).await;
    assert_eq!(
        claim_unless_done_since(h, 2, 1_001, 0).await,
        ClaimOutcome::Claimed
    );
    release(h, 2, Some(1_002)).await;
    assert_eq!(claim(h, 1, 1_003, 9_000).await, ClaimOutcome::Claimed);
}

/// Who does not hold a job can't release it, nor say that it is done: also not who held it once.
pub async fn a_job_is_not_released_by_a_stranger(h: &Harness) {
    release(h, 9, Some(1)).await;
    claim(h, 1, 1_000, 1_100).await;
    release(h, 2, Some(1_050)).await;
    assert_eq!(claim(h, 3, 1_060, 9_000).await, ClaimOutcome::Busy);
    assert_eq!(claim(h, 2, 1_200, 1_300).await, ClaimOutcome::Claimed);
    release(h, 1, Some(1_250)).await;
    assert_eq!(claim(h, 1, 1_260, 9_000).await, ClaimOutcome::Busy);
    release(h, 2, None).await;
    assert_eq!(
        claim_unless_done_since(h, 3, 1_270, 0).await,
        ClaimOutcome::Claimed
    );
}

/// Of ten that claim a job at once exactly one gets it, whether it is new, was released or has expired.
pub async fn of_ten_that_claim_a_job_at_once_one_gets_it(h: &Harness) {
    let mut winners = BTreeSet::new();
    for round in 0..10_i64 {
        let now = 1_000 + round * 100;
        let claims = (0..10_u128).map(|n| {
            let (h, n) = (h.clone(), n + 1);
            tokio::spawn(async move { (n, claim(&h, n, now, now + 100).await) })
        });
        let outcomes: Vec<_> = join_all(claims.collect::<Vec<_>>())
            .await
            .into_iter()
            .map(Result::unwrap)
            .collect();
        let claimed: Vec<_> = outcomes
            .iter()
            .filter(|(_, outcome)| *outcome == ClaimOutcome::Claimed)
            .collect();
        assert_eq!(claimed.len(), 1, "{outcomes:?}");
        winners.insert(claimed[0].0);
        if round % 2 == 0 {
            release(h, claimed[0].0, None).await;
        }
    }
    assert!(!winners.is_empty());
}
