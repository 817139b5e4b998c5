//! `mosaic check-client`, and a client to check it with (`tests/clients/driver`): one that keeps the rules passes, and each flaw of
//! one fails the scenarios that are about it, and no others.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Output;
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use serde_json::Value;
use tokio::process::Command;

use crate::harness::{Signal, send_signal};

const DRIVER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/driver/driver.mjs");
const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/check-client.md");
/// What is wrong with a client, and the scenarios that it fails then.
const FLAWS: &[(&str, &[&str])] = &[
    ("none", &[]),
    ("after-known", &["clock-hours-off", "clock-put-right"]),
    ("blocked", &["rejected-record"]),
    ("child-first", &["parent-after-child"]),
    ("dates-ahead", &["clock-put-right"]),
    ("dates-what-was-sent", &["clock-put-right"]),
    ("detached", &["parent-after-child"]),
    ("drops-new", &["reset-keeps-edits"]),
    ("drops-refused", &["rejected-record"]),
    ("emptied", &["reset-keeps-edits"]),
    ("forgotten-edit", &["edit-during-push"]),
    ("gives-up", &["delete-against-edit"]),
    ("insists", &["clock-hours-off", "conflict", "delete-against-edit"]),
    ("keeps-ahead", &["clock-put-right"]),
    ("keeps-own", &["clock-hours-off", "conflict"]),
    ("new-id", &["lost-answer"]),
    ("new-time", &["lost-answer"]),
    ("no-deletes", &["delete-against-edit", "parent-after-child"]),
    ("no-epoch", &["epoch"]),
    (
        "no-pull",
        &[
            "clock-hours-off",
            "epoch",
            "expired-token",
            "late-push",
            "page-edges",
            "parent-after-child",
            "rejected-record",
            "reset-keeps-edits",
            "two-tabs",
        ],
    ),
    (
        "no-push",
        &[
            "clock-hours-off",
            "clock-put-right",
            "conflict",
            "delete-against-edit",
            "edit-during-push",
            "epoch",
            "expired-token",
            "late-push",
            "lost-answer",
            "page-edges",
            "parent-after-child",
            "rejected-record",
            "reset-keeps-edits",
            "two-tabs",
        ],
    ),
    ("no-refresh", &["expired-token", "two-tabs"]),
    ("off-by-one", &["page-edges"]),
    (
        "one-login",
        &["clock-hours-off", "late-push", "parent-after-child"],
    ),
    ("one-page", &["page-edges"]),
    ("own-clock", &["clock-hours-off"]),
    (
        "own-copy",
        &[
            "clock-hours-off",
            "clock-put-right",
            "edit-during-push",
            "expired-token",
            "late-push",
            "lost-answer",
            "page-edges",
            "reset-keeps-edits",
        ],
    ),
    ("own-tokens", &["two-tabs"]),
    ("sends-again", &["rejected-record"]),
    ("silent", &["rejected-record"]),
    ("skips-old", &["epoch", "late-push"]),
    ("undelete", &["delete-against-edit"]),
    ("waits", &["clock-put-right"]),
];

/// `mosaic check-client ARGS`.
pub async fn check_client(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mosaic"));
    command.arg("check-client").args(args).kill_on_drop(true);
    command.output().await.unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

fn reports(output: &Output) -> Vec<Value> {
    let lines = text(&output.stdout).lines();
    lines.map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The outcome of each scenario, from `--json`.
pub fn outcomes(output: &Output) -> BTreeMap<String, String> {
    let member = |report: &Value, name: &str| report[name].as_str().unwrap().to_owned();
    let reports = reports(output);
    let outcomes = reports
        .iter()
        .map(|one| (member(one, "scenario"), member(one, "outcome")));
    outcomes.collect()
}

/// A check, by its scenario and its number in it.
type Check = (String, u64);

/// The checks that held, of a client that passes all; else those that did not. That a client can not sync is no check.
fn checks(output: &Output, passes: bool) -> Vec<Check> {
    let of_one = |report: Value| {
        let held = report["checks"].as_u64().unwrap();
        let detail = report["detail"].as_str().unwrap_or_default();
        let broke = report["rule"].is_string() && !detail.contains(" can not sync any more");
        let numbers = match (passes, broke) {
            (true, _) => 1..held + 1,
            (false, true) => held + 1..held + 2,
            (false, false) => 0..0,
        };
        let name = report["scenario"].as_str().unwrap().to_owned();
        numbers.map(move |number| (name.clone(), number))
    };
    reports(output).into_iter().flat_map(of_one).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_flaw_fails_what_is_about_it_and_nothing_else_and_each_check_fails_some() {
    let runs = stream::iter(FLAWS).map(|(flaw, expected)| async move {
        let output = check_client(&["--json", "--", "node", DRIVER, flaw]).await;
        let outcomes = outcomes(&output);
        let others = outcomes.iter().filter(|(_, outcome)| *outcome != "pass");
        let failed: Vec<_> = others.map(|(name, _)| name.as_str()).collect();
        assert_eq!(&failed, expected, "{flaw}: {output:?}");
        assert_eq!(output.status.success(), expected.is_empty(), "{flaw}");
        checks(&output, expected.is_empty())
    });
    let mut runs: Vec<_> = runs.buffered(2).collect().await;
    let made: BTreeSet<Check> = runs.remove(0).into_iter().collect();
    let failed = runs.into_iter().flatten().collect();
    let never: Vec<_> = made.difference(&failed).collect();
    assert!(never.is_empty(), "no flaw fails {never:?}");
    let scenarios: BTreeSet<_> = made.iter().map(|(scenario, _)| scenario).collect();
    let listed = check_client(&["--list"]).await;
    assert_eq!(scenarios.len(), text(&listed.stdout).lines().count());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_documented_is_what_there_is() {
    let document = std::fs::read_to_string(DOCUMENT).unwrap();
    let driver = std::fs::read_to_string(DRIVER).unwrap();
    assert!(document.contains(&format!("```js\n{driver}```\n")));
    let listed = check_client(&["--list"]).await;
    let rows = text(&listed.stdout).lines().map(|line| {
        let (name, rest) = line.split_once(' ').unwrap();
        format!("| `{name}` | {} |\n", rest.rsplit_once("  ").unwrap().1)
    });
    let table = format!(
        "\n| scenario | what happens |\n|---|---|\n{}\n",
        rows.collect::<String>()
    );
    assert!(document.contains(&table), "{table}");
    says_what_it_can_not_do(&[DRIVER]).await;
}

/// Whether a process runs. One that ended and that nobody asked about is still listed.
fn runs(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ")
        .is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

/// Has a driver do what none can, as docs/check-client.md says of that.
pub async fn says_what_it_can_not_do(driver: &[&str]) {
    let request = r#"echo '{"id":7,"do":"fly","device":"a"}' | node "$@""#;
    let mut command = Command::new("sh");
    command.args(["-c", request, "sh"]).args(driver);
    let output = command.output().await.unwrap();
    assert_eq!(
        text(&output.stdout),
        "{\"id\":7,\"unsupported\":true}\n",
        "{output:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_driver_started_ends_with_it_and_what_gets_away_is_not_waited_for() {
    // What gets away has a process group of its own, and both hold the driver's output.
    let driver = "sleep 1000 & echo $! >&2; setsid sleep 1000 & echo $! >&2; read -r line; \
                  echo '{\"id\":1,\"error\":\"no\"}'; wait";
    let command = ["--only", "conflict", "--json", "--", "sh", "-c", driver];
    let output = tokio::time::timeout(Duration::from_secs(30), check_client(&command)).await;
    let output = output.expect("it hangs");
    let report = reports(&output).remove(0);
    assert!(
        report["detail"].as_str().unwrap().ends_with("failed: no"),
        "{report}"
    );
    let [started, away] = report["stderr"].as_str().unwrap().lines().collect::<Vec<_>>()[..] else {
        panic!("{report}")
    };
    let left: Vec<_> = [started, away].into_iter().filter(|pid| runs(pid)).collect();
    for pid in &left {
        send_signal(pid.parse().unwrap(), Signal::KILL);
    }
    assert_eq!(left, [away], "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_says_what_went_wrong_and_what_the_driver_said() {
    let broken = check_client(&["--only", "lost-answer", "--", "node", DRIVER, "new-id"]).await;
    assert_eq!(broken.status.code(), Some(1));
    let said = text(&broken.stdout);
    assert!(
        said.starts_with("FAIL lost-answer (W3 P6)\n  W3: the answer to its push was lost, and"),
        "{said}"
    );
    let passed = check_client(&["--only", "epoch", "--only", "conflict", "--", "node", DRIVER]).await;
    assert_eq!(
        text(&passed.stdout),
        "pass conflict (W2 W4)\npass epoch (R2 R3)\n"
    );

    let drivers = [
        ("process.exit(3)", "the driver did not answer `open`: it ended"),
        (
            "process.stdin.on('data', () => console.log('{\"id\":1}'))",
            "`open` was answered, but `a` has not logged in as `anna` at http://",
        ),
        (
            "console.log('ready')",
            "it wrote a line that answers nothing: ready",
        ),
        (
            "process.stdin.on('data', () => console.log('{\"id\":1,\"error\":\"no\"}'))",
            "failed: no",
        ),
    ];
    for (program, expected) in drivers {
        let program = format!("console.error('of the driver'); {program}");
        let output = check_client(&["--only", "conflict", "--", "node", "-e", &program]).await;
        let said = text(&output.stdout);
        assert!(
            said.contains(expected) && said.ends_with("\n  | of the driver\n"),
            "{said}"
        );
    }
    let cannot = "process.stdin.on('data', () => console.log('{\"id\":1,\"unsupported\":true}'))";
    let skipped = check_client(&["--only", "conflict", "--", "node", "-e", cannot]).await;
    assert!(text(&skipped.stdout).starts_with("skip conflict"));
    assert_eq!(
        skipped.status.code(),
        Some(1),
        "one that passes nothing keeps no rule"
    );
    let missing = check_client(&["--only", "conflict", "--", "/no/such/program"]).await;
    assert!(
        text(&missing.stdout).contains("/no/such/program can not be started"),
        "{missing:?}"
    );
}
