//! The binary, with no server anywhere.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

fn start(home: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mosaic-cli"));
    command
        .env_clear()
        .env("MOSAIC_HOME", home)
        .env("TZ", "UTC")
        .args(arguments)
        .stdin(Stdio::null());
    command
}

/// What becomes of a note that is typed into a pipe, and whether all of it was read.
fn note(home: &Path, text: &[u8]) -> (Output, bool) {
    let mut child = start(home, &["note"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    let pipe = child.stdin.take();
    let is_read = pipe.is_some_and(|mut pipe| pipe.write_all(text).is_ok());
    (child.wait_with_output().expect("the binary ends"), is_read)
}

fn said(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

/// What a command says that must succeed.
fn run(home: &Path, arguments: &[&str]) -> String {
    let output = start(home, arguments).output().expect("the binary starts");
    let (out, err) = said(&output);
    assert!(output.status.success(), "{arguments:?}: {out}{err}");
    out
}

/// What is wrong with a command that must fail.
fn refused(home: &Path, arguments: &[&str]) -> String {
    let output = start(home, arguments).output().expect("the binary starts");
    assert_eq!(output.status.code(), Some(1), "{arguments:?}");
    said(&output).1
}

#[test]
fn a_diary_is_kept_without_a_server() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().join("made when it is needed");
    let id = run(&home, &["note", "Buy", "figs", "--tag", "food"]);
    let id = id.trim();
    assert!(run(&home, &["ls"]).contains("Buy figs #food  (not synced)"));
    run(&home, &["edit", id, "Buy figs\nand bread"]);
    assert_eq!(run(&home, &["show", id]), "Buy figs\nand bread\n");
    assert!(run(&home, &["search", "BREAD", "figs"]).contains(id));
    assert_eq!(run(&home, &["search", "dates"]), "");

    let (done, is_read) = note(&home, b"typed into a pipe\n");
    assert!(done.status.success() && is_read);
    assert_eq!(run(&home, &["ls"]).lines().count(), 2);

    run(
        &home,
        &["diary", "--day", "2026-05-16", "--mood", "joy", "A good day"],
    );
    run(&home, &["diary", "--day", "2026-05-16", "--score", "8"]);
    assert_eq!(
        run(&home, &["diary", "--day", "2026-05-16"]),
        "2026-05-16  joy 8\nA good day\n"
    );
    assert_eq!(
        run(&home, &["ls", "days"]),
        "2026-05-16  joy 8: A good day  (not synced)\n"
    );
    let today = run(&home, &["diary", "A", "day"]);
    let today = today.trim();
    assert_eq!(
        run(&home, &["diary", "--day", today]),
        format!("{today}  neutral 5\nA day\n")
    );

    run(&home, &["rm", id]);
    assert_eq!(
        refused(&home, &["show", id]),
        format!("mosaic-cli: 0 of what is here has an id that ends in {id}\n")
    );
    assert_eq!(
        run(&home, &["status"]),
        "never logged in\n4 edits and 0 files to send\n"
    );
    assert_eq!(refused(&home, &["sync"]), "mosaic-cli: nobody is logged in\n");
}

#[test]
fn what_is_typed_or_came_from_elsewhere_does_no_harm() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path();
    let id = run(home, &["note", "red \u{1b}[31m\rand\tback \u{9b}0m"]);
    let shown = "red \u{fffd}[31m\u{fffd}and\tback \u{fffd}0m";
    assert!(run(home, &["ls"]).contains(shown));
    assert_eq!(run(home, &["show", id.trim()]), format!("{shown}\n"));
    assert!(refused(home, &["show", "\u{1b}[31m"]).contains("ends in \u{fffd}[31m"));

    refused(home, &["rm", ""]);
    assert_eq!(run(home, &["ls"]).lines().count(), 1);

    let (long, is_read) = note(home, &vec![b'x'; 4 * 1024 * 1024]);
    assert!(!is_read);
    assert_eq!(
        said(&long).1,
        "mosaic-cli: standard input has more than 2097152 bytes\n"
    );
    assert_eq!(run(home, &["ls"]).lines().count(), 1);
}
