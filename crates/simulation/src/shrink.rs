//! Makes a failing script small.

use std::time::{Duration, Instant};

use crate::script::Script;

/// Leaves steps out as long as the script still fails, in halves, quarters, and so on down to single steps, for about so long.
/// `tell` hears of each smaller one.
pub async fn shrink(
    script: &Script,
    fails: impl AsyncFn(&Script) -> bool,
    time: Duration,
    tell: impl Fn(&Script),
) -> Script {
    let until = Instant::now() + time;
    let mut smallest = script.clone();
    let mut length = smallest.steps.len().div_ceil(2);
    while length > 0 {
        let (mut at, before) = (0, smallest.steps.len());
        while at < smallest.steps.len() {
            if Instant::now() > until {
                return smallest;
            }
            let mut fewer = smallest.clone();
            fewer.steps.drain(at..(at + length).min(smallest.steps.len()));
            if fails(&fewer).await {
                smallest = fewer;
                tell(&smallest);
            } else {
                at += length;
            }
        }
        // Single steps are tried again as long as that helps.
        if length > 1 || smallest.steps.len() == before {
            length /= 2;
        }
    }
    smallest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::script::{Step, Store, generate};

    #[tokio::test]
    async fn what_is_left_fails_and_nothing_of_it_can_go() {
        let script = generate(7, Store::Sqlite, 200);
        let is_purge = |step: &Step| matches!(step, Step::Purge);
        let is_kill = |step: &Step| matches!(step, Step::Kill);
        // A purge, and at some time after it the server is killed.
        let fails = async |script: &Script| {
            let purge = script.steps.iter().position(is_purge);
            purge.is_some_and(|purge| script.steps[purge..].iter().any(is_kill))
        };
        assert!(fails(&script).await);
        let small = shrink(&script, fails, Duration::from_hours(1), |_| {}).await;
        assert!(
            is_purge(&small.steps[0]) && is_kill(&small.steps[1]),
            "{:?}",
            small.steps
        );
        assert_eq!(small.length(), 2);
    }
}
