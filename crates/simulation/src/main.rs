//! `simulate`: runs seeds until one fails, and prints a small script of that one. `cargo xtask simulate` builds and calls it.

use std::collections::BTreeMap;
use std::io::{Write as _, stderr};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::pin::pin;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use futures_util::{StreamExt as _, stream};
use mosaic_simulation::{Failure, Figures, Outcome, RunFailed, STEPS, Script, Store, generate, run, shrink};

/// How long is tried to make a failing script smaller.
const SHRINKING: Duration = Duration::from_mins(3);
/// How often it is told how far the runs have come.
const TELL_EVERY: Duration = Duration::from_secs(10);

/// Seeded runs of many devices against real servers, judged by a model of the protocol.
#[derive(Debug, Parser)]
struct Arguments {
    /// The program `mosaic`
    #[arg(long)]
    server: PathBuf,
    /// How many seeds are run, each on both stores
    #[arg(long, default_value_t = 100)]
    seeds: u64,
    /// The first seed
    #[arg(long, default_value_t = 1)]
    first: u64,
    /// No seed is begun after so many minutes
    #[arg(long, default_value_t = 10)]
    minutes: u64,
    /// How many runs go on at the same time
    #[arg(long, default_value = "1")]
    jobs: NonZeroUsize,
    /// How many steps a script has
    #[arg(long, default_value_t = STEPS)]
    steps: usize,
    /// Runs this script, as a failing seed printed it, and nothing else
    #[arg(long, value_name = "FILE")]
    replay: Option<PathBuf>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = tokio::runtime::Runtime::new()
        .map_err(Failure::from)
        .and_then(|runtime| runtime.block_on(simulate(&arguments)));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("error: {error}"));
            ExitCode::FAILURE
        }
    }
}

async fn simulate(arguments: &Arguments) -> Outcome {
    if let Some(file) = &arguments.replay {
        let script = Script::parse(&std::fs::read_to_string(file)?)?;
        let figures = run(&script, &arguments.server).await?;
        say(&format!("it passes: {figures}"));
        return Ok(());
    }
    let started = Instant::now();
    let is_time = || started.elapsed() <= Duration::from_secs(60 * arguments.minutes);
    let seeds = arguments.first..arguments.first + arguments.seeds;
    let scripts = seeds.take_while(|_| is_time()).flat_map(|seed| {
        [Store::Sqlite, Store::Postgres].map(|store| generate(seed, store, arguments.steps))
    });
    let runs = scripts.map(|script| async {
        let done = run(&script, &arguments.server).await;
        (script, done)
    });
    let mut runs = pin!(stream::iter(runs).buffer_unordered(arguments.jobs.get()));
    let mut totals = BTreeMap::<Store, Total>::new();
    let mut told = Instant::now();
    while let Some((script, done)) = runs.next().await {
        let figures = match done {
            Ok(figures) => figures,
            // The other runs go on no more: they would slow down what follows.
            Err(failed) => return fail(script, &failed, arguments).await,
        };
        let total = totals.entry(script.store).or_default();
        total.runs += 1;
        total.figures.add(figures);
        if told.elapsed() >= TELL_EVERY {
            told = Instant::now();
            tell(&totals, started);
        }
    }
    tell(&totals, started);
    Ok(())
}

/// What the runs on a store came to.
#[derive(Debug, Default)]
struct Total {
    runs: usize,
    figures: Figures,
}

fn tell(totals: &BTreeMap<Store, Total>, started: Instant) {
    let seconds = started.elapsed().as_secs();
    for (store, Total { runs, figures }) in totals {
        say(&format!("{seconds} s, {store:?}: {runs} runs: {figures}"));
    }
}

async fn fail(mut script: Script, failed: &RunFailed, arguments: &Arguments) -> Outcome {
    say(&format!(
        "seed {} on {:?} failed: {failed}",
        script.seed, script.store
    ));
    say(&format!("leaving steps out, for up to {} s", SHRINKING.as_secs()));
    let tell = |smaller: &Script| say(&format!("{} steps still fail", smaller.length()));
    let fails = async |script: &Script| {
        let again = run(script, &arguments.server).await;
        again.is_err_and(|again| again.is_like(failed))
    };
    // What comes behind the step that failed can't be why.
    script.cut_behind(failed.step);
    let small = shrink(&script, fails, SHRINKING, tell).await;
    let again = run(&small, &arguments.server).await;
    let file = std::env::temp_dir().join(format!("simulation-{}.jsonl", script.seed));
    let text = small.text()?;
    std::fs::write(&file, &text)?;
    say(&text);
    let how = match again {
        Ok(_) => "it does not fail every time".to_owned(),
        Err(error) => error.to_string(),
    };
    Err(format!(
        "{} steps are left: {how}\nagain: cargo xtask simulate --replay {}",
        small.length(),
        file.display()
    )
    .into())
}

fn say(line: &str) {
    // A closed stderr is no reason to stop.
    drop(writeln!(stderr(), "{line}"));
}
