//! `mosaic check-client`, and a client to check it with (`tests/clients/driver`): one that keeps the rules passes, and each flaw of
//! one fails the scenarios that are about it, and no others.

use std::collections::BTreeMap;
use std::process::Output;

use futures_util::{StreamExt as _, stream};
use serde_json::Value;
use tokio::process::Command;

const DRIVER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/driver/driver.mjs");
const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/check-client.md");
/// What is wrong with a client, and the scenarios that it fails then.
const FLAWS: [(&str, &[&str]); 15] = [
    ("none", &[]),
    ("blocked", &["rejected-record"]),
    ("child-first", &["parent-after-child"]),
    ("emptied", &["reset-keeps-edits"]),
    ("forgotten-edit", &["edit-during-push"]),
    ("gives-up", &["delete-against-edit"]),
    ("keeps-own", &["clock-hours-off", "conflict"]),
    ("new-id", &["lost-answer"]),
    ("no-epoch", &["epoch"]),
    ("no-refresh", &["expired-token", "two-tabs"]),
    ("one-page", &["page-edges"]),
    ("own-clock", &["clock-hours-off"]),
    ("own-tokens", &["two-tabs"]),
    ("skips-old", &["epoch", "late-push"]),
    ("undelete", &["delete-against-edit"]),
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

/// The outcome of each scenario, from `--json`.
pub fn outcomes(output: &Output) -> BTreeMap<String, String> {
    let reports = text(&output.stdout).lines();
    reports
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .map(|report| {
            let member = |name: &str| report[name].as_str().unwrap().to_owned();
            (member("scenario"), member("outcome"))
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_flaw_fails_what_is_about_it_and_nothing_else() {
    let runs = stream::iter(FLAWS).map(|(flaw, expected)| async move {
        let output = check_client(&["--json", "--", "node", DRIVER, flaw]).await;
        let outcomes = outcomes(&output);
        let others = outcomes.iter().filter(|(_, outcome)| *outcome != "pass");
        let failed: Vec<_> = others.map(|(name, _)| name.as_str()).collect();
        assert_eq!(failed, expected, "{flaw}: {output:?}");
        assert_eq!(output.status.success(), expected.is_empty(), "{flaw}");
        outcomes.len()
    });
    let counts: Vec<_> = runs.buffer_unordered(2).collect().await;
    let listed = check_client(&["--list"]).await;
    let scenarios: Vec<_> = text(&listed.stdout).lines().collect();
    assert!(counts.iter().all(|count| *count == scenarios.len()));
    for line in &scenarios {
        let name = line.split(' ').next().unwrap();
        let is_of_one = |(_, fails): &(&str, &[&str])| fails.contains(&name);
        assert!(FLAWS.iter().any(is_of_one), "no flaw fails {name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_documented_is_what_there_is() {
    let document = std::fs::read_to_string(DOCUMENT).unwrap();
    let driver = std::fs::read_to_string(DRIVER).unwrap();
    assert!(document.contains(&format!("```js\n{driver}```\n")));
    for line in text(&check_client(&["--list"]).await.stdout).lines() {
        let (name, rest) = line.split_once(' ').unwrap();
        let about = rest.rsplit_once("  ").unwrap().1;
        assert!(document.contains(&format!("| `{name}` | {about} |\n")), "{line}");
    }
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
            "`open` was answered, but nobody has logged in as `anna` at http://",
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
