//! Nothing is lost: a few seeds of the simulation (docs/testing.md). More of them: `cargo xtask simulate`.

use std::path::Path;

use mosaic_simulation::{STEPS, Store, generate, run};

/// Runs seeds one after the other.
async fn simulate(store: Store, seeds: std::ops::RangeInclusive<u64>) {
    for seed in seeds {
        let script = generate(seed, store, STEPS);
        if let Err(error) = run(&script, Path::new(env!("CARGO_BIN_EXE_mosaic"))).await {
            panic!("{error}\nmade smaller by: cargo xtask simulate --first {seed} --seeds 1");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn w2_h1_nothing_is_lost_on_sqlite_whatever_fails() {
    simulate(Store::Sqlite, 1..=3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn w2_h1_nothing_is_lost_on_postgres_whatever_fails() {
    simulate(Store::Postgres, 4..=5).await;
}
