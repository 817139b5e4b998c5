//! `mosaic check-client`: takes a client of somebody's through what goes wrong in the lives of apps, and says which rules it
//! keeps. The client is driven by lines of JSON ([`driver`]); docs/check-client.md has them.

mod bench;
mod driver;
mod peer;
mod scenarios;

use std::ffi::OsString;

use serde_json::json;

use self::bench::Bench;
pub(crate) use self::scenarios::names;
use self::scenarios::{SCENARIOS, Scenario};
use crate::config::Config;
use crate::dev::DevError;
use crate::signals::StopSignals;

/// Why a scenario did not pass.
#[derive(Debug)]
enum Failure {
    /// The client broke a rule of docs/protocol.md.
    Broken { rule: &'static str, detail: String },
    /// It could not be driven to the end.
    Stuck(String),
    /// It says that it can't do what this is about.
    Unsupported,
}

/// Which scenarios, of whom, and how they are reported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Choice {
    /// Only these; all where there are none.
    pub(crate) only: Vec<String>,
    /// One JSON object per line.
    pub(crate) json: bool,
    /// The driver of the client, and its arguments.
    pub(crate) command: Vec<OsString>,
}

/// The scenarios, each with its rules and what it is about.
pub(crate) fn list() -> String {
    let lines = SCENARIOS
        .iter()
        .map(|one| format!("{:<20} {:<10} {}\n", one.name, one.rules.join(" "), one.about));
    lines.collect()
}

/// What came of it all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Score {
    /// So many scenarios were passed.
    pub(crate) passed: usize,
    /// So many were not.
    pub(crate) failed: usize,
}

/// Takes a client through the scenarios. `tell` gets each report, a line or several.
///
/// # Errors
/// [`DevError`]: the server for it does not start, or somebody wanted to stop.
pub(crate) async fn run(config: &Config, choice: &Choice, tell: impl Fn(&str)) -> Result<Score, DevError> {
    let mut signals = StopSignals::listen().map_err(DevError::Signals)?;
    let mut score = Score { passed: 0, failed: 0 };
    for scenario in SCENARIOS {
        if !choice.only.is_empty() && choice.only.iter().all(|name| name != scenario.name) {
            continue;
        }
        let ended = tokio::select! {
            ended = through(scenario, config, &choice.command) => ended?,
            _ = signals.received() => return Err(DevError::Stopped),
        };
        match ended.outcome {
            Ok(()) => score.passed += 1,
            Err(Failure::Unsupported) => {}
            Err(Failure::Broken { .. } | Failure::Stuck(_)) => score.failed += 1,
        }
        let report = if choice.json { as_json } else { as_text };
        tell(&report(scenario, &ended));
    }
    Ok(score)
}

/// What came of one scenario.
struct Ended {
    outcome: Result<(), Failure>,
    /// So many checks held.
    held: usize,
    /// What the driver said on stderr.
    stderr: String,
}

/// One scenario, on a server of its own and with a driver of its own.
async fn through(scenario: &Scenario, config: &Config, command: &[OsString]) -> Result<Ended, DevError> {
    let mut bench = match Bench::new(config, command).await? {
        Ok(bench) => bench,
        Err(failure) => {
            return Ok(Ended {
                outcome: Err(failure),
                held: 0,
                stderr: String::new(),
            });
        }
    };
    Ok(Ended {
        outcome: (scenario.run)(&mut bench).await,
        held: bench.held,
        stderr: bench.end().await,
    })
}

fn as_text(scenario: &Scenario, ended: &Ended) -> String {
    let head = format!("{} ({})", scenario.name, scenario.rules.join(" "));
    let detail = match &ended.outcome {
        Ok(()) => return format!("pass {head}\n"),
        Err(Failure::Unsupported) => return format!("skip {head}\n  the client has no such thing\n"),
        Err(Failure::Broken { rule, detail }) => format!("{rule}: {detail}"),
        Err(Failure::Stuck(detail)) => detail.clone(),
    };
    let said: Vec<_> = ended.stderr.lines().collect();
    let said = if said.is_empty() {
        String::new()
    } else {
        format!("  | {}\n", said.join("\n  | "))
    };
    format!("FAIL {head}\n  {detail}\n{said}")
}

fn as_json(scenario: &Scenario, ended: &Ended) -> String {
    let (word, rule, detail) = match &ended.outcome {
        Ok(()) => ("pass", None, None),
        Err(Failure::Unsupported) => ("skip", None, None),
        Err(Failure::Broken { rule, detail }) => ("fail", Some(*rule), Some(detail)),
        Err(Failure::Stuck(detail)) => ("fail", None, Some(detail)),
    };
    let report = json!({
        "scenario": scenario.name,
        "rules": scenario.rules,
        "outcome": word,
        "rule": rule,
        "detail": detail,
        "checks": ended.held,
        "stderr": ended.stderr,
    });
    format!("{report}\n")
}
