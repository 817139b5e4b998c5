//! The attacks, one after the other and then all at once, and what the neighbour sees of them.

use std::sync::Arc;
use std::time::Duration;

use crate::files::{MIB, memory};
use crate::harness::{Data, Server};
use crate::hostile::{ATTACKS, Attack, Hostile};
use crate::neighbour::{Neighbour, Report};

/// How long each attack goes on.
const SPAN: Duration = Duration::from_secs(4);

/// What the neighbour's slowest request in a hundred may take (issue: 250 ms), in the build that people run.
const P99: Duration = Duration::from_millis(250);

/// An unoptimised server computes several times as long for the same answers, its attacker's too.
const P99_UNOPTIMISED: Duration = Duration::from_millis(1_000);

/// What the server may hold at most: a machine of 1 GiB survives any one user.
const MEMORY: u64 = 640 * MIB as u64;

#[tokio::test(flavor = "multi_thread")]
async fn a_hostile_user_at_full_speed_is_not_noticed_by_another() {
    let data = Data::new();
    let server = Arc::new(data.start(&[]));
    let hostile = Hostile::prepare(&server).await;
    let neighbour = Neighbour::prepare(Arc::clone(&server)).await;

    let alone = neighbour.works_beside(SPAN, std::future::ready(())).await;
    println!("{:<34} {alone}", "nobody else");
    let mut failures = Vec::new();
    for attack in ATTACKS.iter().chain([&Attack::EVERYTHING]) {
        let until = tokio::time::Instant::now() + SPAN;
        let report = neighbour.works_beside(SPAN, hostile.attacks(attack, until)).await;
        let peak = memory(server.pid(), "VmHWM");
        println!(
            "{:<34} {report}; the server's peak {} MiB",
            attack.name,
            peak / MIB as u64
        );
        failures.extend(complaints(attack.name, &report, peak));
    }
    assert!(
        failures.is_empty(),
        "{}\n{}",
        failures.join("\n"),
        errors_of(&server)
    );
}

fn complaints(attack: &str, report: &Report, peak: u64) -> Vec<String> {
    let allowed = if cfg!(debug_assertions) {
        P99_UNOPTIMISED
    } else {
        P99
    };
    let mut found = Vec::new();
    if let Some(refusal) = report.refusals.first() {
        let many = report.refusals.len();
        found.push(format!(
            "{attack}: {many} of the neighbour's requests failed, the first with {refusal}"
        ));
    }
    if report.p99() > allowed {
        found.push(format!("{attack}: the neighbour waited, {report}"));
    }
    if peak > MEMORY {
        found.push(format!("{attack}: the server held {} MiB", peak / MIB as u64));
    }
    found
}

/// What the server logged as its own failures: an attack is a stranger's fault.
fn errors_of(server: &Server) -> String {
    let log = server.log();
    let errors = log.lines().filter(|line| line.contains("\"level\":\"ERROR\""));
    errors.take(20).collect::<Vec<_>>().join("\n")
}
