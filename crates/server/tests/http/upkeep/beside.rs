//! Commands beside a running server that has the embedded store: they are carried out there, and do and say what they say
//! without it.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::harness::{ADMIN_PASSWORD, Signal};
use crate::upkeep::support::{Ended, Place, fill, memo_id, stop};

fn socket(place: &Place) -> PathBuf {
    place.data.path().join("mosaic-data/mosaic.sock")
}

/// What a command said, but for what is another thing with each run.
fn said(place: &Place, args: &[&str]) -> (Option<i32>, String, String) {
    let Ended { code, out, err } = place.mosaic(args);
    let lines = out.lines();
    let lines = lines.filter(|line| !line.contains("exportedAt") && !line.starts_with("{\"end\""));
    (code, lines.collect::<Vec<_>>().join("\n"), err)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_says_beside_a_server_what_it_says_without_one() {
    let place = Place::embedded();
    let server = place.start();
    fill(&server.device("phone").await).await;
    server.new_user("anna", "phone").await;
    let commands: &[&[&str]] = &[
        &["user", "list"],
        &["user", "disable", "anna"],
        &["user", "enable", "anna"],
        &["user", "enable", "nobody"],
        &["user", "add", "Anna"],
        &["user", "passwd", "nobody", "--password-stdin"],
        &["user", "invites"],
        &["user", "uninvite", "0198f3a2-7b1c-7def-8000-1234567890ab"],
        &["user", "delete", "nobody"],
        &["user", "delete", "admin"],
        &["user", "delete", "admin", "--yes"],
        &["epoch", "show"],
        &["doctor"],
        &["doctor", "--quick"],
        &["purge"],
        &["export", "--user", "admin"],
        &["export", "--user", "nobody"],
        &["export", "--user", "nobody", "--output", "there-is-none.jsonl"],
    ];
    let beside: Vec<_> = commands.iter().map(|args| said(&place, args)).collect();
    stop(server);
    for (args, beside) in commands.iter().zip(beside) {
        assert_eq!(beside, said(&place, args), "{args:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_command_does_beside_a_server_holds_for_the_server_at_once() {
    let place = Place::embedded();
    let server = place.start();
    let phone = server.new_user("anna", "phone").await;
    let generated = place.mosaic(&["user", "passwd", "anna"]).done();
    phone.get("/auth/me").await.problem(401, "login_ended");
    let generated = generated.lines().last().unwrap();
    server.login("anna", generated, "phone").await;

    place.mosaic(&["user", "disable", "anna"]).done();
    let login = json!({"username": "anna", "password": generated});
    let closed = server.anonymous().post("/auth/login", &login).await;
    closed.problem(401, "account_disabled");
    place.mosaic(&["user", "enable", "anna"]).done();
    server.login("anna", generated, "phone").await;

    let whole = place
        .mosaic(&["export", "--user", "anna", "--output", "anna.jsonl"])
        .done();
    assert!(whole.starts_with("Exported anna to anna.jsonl: "), "{whole}");
    stop(server);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_says_what_is_in_force_and_logs_as_it_is_told() {
    let place = Place::embedded();
    let mut server = place.start_with(&["--retention-days", "9"]);
    let shown = place.mosaic(&["config", "--running"]).done();
    assert!(shown.contains("days = 9  # --retention-days"), "{shown}");
    assert!(!shown.contains(ADMIN_PASSWORD), "{shown}");
    assert_eq!(place.mosaic(&["log-level", "warn"]).done(), "warn\n");
    assert_eq!(place.mosaic(&["log-level"]).done(), "warn\n");
    assert_eq!(place.mosaic(&["log-level", "info"]).done(), "info\n");
    let wrong = place.mosaic(&["log-level", "loud"]);
    assert_eq!(wrong.code, Some(2), "{wrong:?}");

    let refused = place.mosaic(&["purge", "--retention-days", "1"]);
    assert_eq!(refused.code, Some(2), "{refused:?}");
    assert!(
        refused
            .err
            .contains("retention.days is a setting of the running server"),
        "{refused:?}"
    );
    server.signal(Signal::TERM);
    let (_, log) = server.wait();
    // Commands are told of at info.
    assert!(log.contains("LogLevel { level: Some(LogFilter(warn)) }"), "{log}");
    assert!(!log.contains("LogLevel { level: None }"), "{log}");
    assert!(log.contains("the log has another level"), "{log}");
    for args in [&["log-level"][..], &["config", "--running"]] {
        let said = place.mosaic(args).failed();
        assert!(said.contains("no server answers in this data folder"), "{said}");
    }
}

#[test]
fn the_socket_is_for_the_user_of_the_server_and_lives_as_long_as_it() {
    let place = Place::embedded();
    let server = place.start();
    let found = fs::metadata(socket(&place)).unwrap();
    assert!(found.file_type().is_socket());
    assert_eq!(found.permissions().mode() & 0o777, 0o600);
    drop(server.kill());
    assert!(socket(&place).exists(), "what is killed removes nothing");
    place.mosaic(&["user", "list"]).done();
    let server = place.start();
    place.mosaic(&["log-level"]).done();
    stop(server);
    assert!(!socket(&place).exists());
}

/// What is said to a process of another user, whom the modes of folder and socket do not keep out. Only root can be somebody else:
/// where the tests run as anybody else, they are the server's own user, and are heard.
#[test]
fn nobody_else_is_heard_whatever_the_modes_say() {
    use std::os::unix::process::CommandExt as _;
    let place = Place::embedded();
    let server = place.start();
    for path in [place.data.path(), &place.data.path().join("mosaic-data")] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    fs::set_permissions(socket(&place), fs::Permissions::from_mode(0o777)).unwrap();
    let mut command = place.command(&["user", "list"]);
    let is_root = rustix::process::geteuid().is_root();
    if is_root {
        // Where it is built nobody else may be let in.
        let binary = place.data.path().join("mosaic");
        fs::copy(command.get_program(), &binary).unwrap();
        command = std::process::Command::new(binary);
        command.args(["user", "list"]).current_dir(place.data.path());
        command.uid(65_534).gid(65_534);
    }
    let ended = Ended::of(command.output().unwrap());
    if is_root {
        let said = ended.failed();
        assert!(
            said.contains("hears commands of the user that it runs as"),
            "{said}"
        );
    } else {
        ended.done();
    }
    stop(server);
}

#[test]
fn a_command_for_another_store_is_not_carried_out_by_the_server_of_the_data_folder() {
    let place = Place::embedded();
    let server = place.start();
    place.mosaic(&["user", "add", "anna"]).done();
    let other = ["--database-url", "sqlite://other.db"];
    place.mosaic(&[&["migrate"][..], &other].concat()).done();
    let listed = place.mosaic(&[&["user", "list"][..], &other].concat()).done();
    assert!(!listed.contains("anna"), "{listed}");
    // The store of the server, and a folder in which nobody answers.
    let lost = [
        "--data-dir",
        "elsewhere",
        "--database-url",
        "sqlite://mosaic-data/mosaic.db",
    ];
    let said = place.mosaic(&[&["user", "list"][..], &lost].concat()).failed();
    assert!(
        said.contains("another process") && said.contains("mosaic.sock"),
        "{said}"
    );
    stop(server);
}

/// What the server answers to a request, after nobody wants more.
fn answers(place: &Place, request: &Value) -> Vec<Value> {
    let mut stream = UnixStream::connect(socket(place)).unwrap();
    writeln!(stream, "{request}").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_nobody_wants_any_more_stops() {
    let place = Place::embedded();
    let server = place.start();
    let phone = server.device("phone").await;
    // More than waits anywhere on the way.
    for n in 0..16 {
        let memo = json!({"id": memo_id(n), "content": "long ".repeat(50_000)});
        phone.post("/memos", &memo).await.ok();
    }
    let request = |args: &[&str]| json!({"version": "0", "args": args, "step": "perform"});
    let export = answers(&place, &request(&["export", "--user", "admin"]));
    let (last, _) = export.split_last().unwrap();
    assert_eq!(
        last,
        &json!({"ended": {"Err": {"said": "stopped before the export was complete", "code": 1}}})
    );
    let unknown = answers(&place, &request(&["repaint", "blue"]));
    let said = unknown[0]["ended"]["Err"]["said"].as_str().unwrap();
    assert!(said.contains("the command of 0. Start the server anew"), "{said}");
    let alone = answers(&place, &request(&["import", "--user", "admin", "file"]));
    let said = alone[0]["ended"]["Err"]["said"].as_str().unwrap();
    assert!(said.contains("does not carry out this command"), "{said}");
    // Those who say nothing hold nobody up.
    let silent: Vec<_> = (0..20)
        .map(|_| UnixStream::connect(socket(&place)).unwrap())
        .collect();
    stop(server);
    drop(silent);
}

#[test]
fn a_server_that_goes_away_is_noticed() {
    let place = Place::embedded();
    place.mosaic(&["migrate"]).done();
    let listener = UnixListener::bind(socket(&place)).unwrap();
    let closing = std::thread::spawn(move || {
        let mut byte = [0];
        let (mut stream, _) = listener.accept().unwrap();
        stream.read_exact(&mut byte).unwrap();
    });
    let said = place.mosaic(&["user", "list"]).failed();
    closing.join().unwrap();
    assert!(
        said.contains("the server ended before the command did") || said.contains("does not answer"),
        "{said}"
    );
}

/// A signal is heard by whoever typed the command, and ends it there, where it runs.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stops_lets_its_commands_end() {
    let place = Place::embedded();
    let mut server = place.start();
    let phone = server.device("phone").await;
    for n in 0..16 {
        let memo = json!({"id": memo_id(n), "content": "long ".repeat(50_000)});
        phone.post("/memos", &memo).await.ok();
    }
    let mut stream = UnixStream::connect(socket(&place)).unwrap();
    let request = json!({"version": "0", "args": ["export", "--user", "admin"], "step": "perform"});
    writeln!(stream, "{request}").unwrap();
    let mut first = [0];
    stream.read_exact(&mut first).unwrap();
    server.signal(Signal::TERM);
    let mut rest = String::new();
    stream.read_to_string(&mut rest).unwrap();
    assert!(
        rest.ends_with("\"stopped before the export was complete\",\"code\":1}}}\n"),
        "{}",
        rest.len()
    );
    let (status, log) = server.wait();
    assert_eq!(status.code(), Some(0), "{log}");
}
