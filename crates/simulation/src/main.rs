//! `simulate`: runs seeds until one fails, and prints a small script of that one. `cargo xtask simulate` builds and calls it.

use std::io::{Write as _, stderr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use mosaic_simulation::{Failure, Figures, Outcome, STEPS, Script, Store, generate, run, shrink};

/// How long is tried to make a failing script smaller.
const SHRINKING: Duration = Duration::from_mins(3);

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
        let figures = run(
            &Script::parse(&std::fs::read_to_string(file)?)?,
            &arguments.server,
        )
        .await?;
        say(&format!("it passes: {figures}"));
        return Ok(());
    }
    let (started, mut total) = (Instant::now(), Figures::default());
    let mut runs = 0;
    for seed in arguments.first..arguments.first + arguments.seeds {
        if started.elapsed() > Duration::from_secs(60 * arguments.minutes) {
            break;
        }
        for store in [Store::Sqlite, Store::Postgres] {
            let script = generate(seed, store, arguments.steps);
            match run(&script, &arguments.server).await {
                Ok(figures) => total.add(figures),
                Err(error) => return fail(&script, &error, arguments).await,
            }
            runs += 1;
        }
        let seconds = started.elapsed().as_secs();
        say(&format!("seed {seed}: {runs} runs in {seconds} s: {total}"));
    }
    Ok(())
}

async fn fail(script: &Script, error: &Failure, arguments: &Arguments) -> Outcome {
    say(&format!(
        "seed {} on {:?} failed: {error}",
        script.seed, script.store
    ));
    say(&format!("leaving steps out, for up to {} s", SHRINKING.as_secs()));
    let tell = |smaller: &Script| say(&format!("{} steps still fail", smaller.length()));
    let fails = async |script: &Script| run(script, &arguments.server).await.is_err();
    let small = shrink(script, fails, SHRINKING, tell).await;
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
