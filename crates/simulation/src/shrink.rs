//! Makes a failing script small.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::run::run;
use crate::script::Script;

/// Leaves steps out as long as the script still fails, in halves, quarters, and so on down to single steps, for about so long.
/// `tell` hears of each smaller one.
pub async fn shrink(script: &Script, binary: &Path, time: Duration, tell: impl Fn(&Script)) -> Script {
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
            if run(&fewer, binary).await.is_err() {
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
