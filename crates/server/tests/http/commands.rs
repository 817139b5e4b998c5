//! The commands of the binary that work on a store, with the server stopped and with it running.

use std::io::Write;
use std::process::{Output, Stdio};

use serde_json::{Value, json};

use crate::harness::{ADMIN_PASSWORD, Data, Server, Signal};

/// How a command ended: its exit code, and what it said on standard output and on standard error.
type Ended = (Option<i32>, String, String);

fn ended(output: Output) -> Ended {
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    (output.status.code(), text(output.stdout), text(output.stderr))
}

fn mosaic(data: &Data, args: &[&str]) -> Ended {
    ended(data.mosaic(args).output().expect("the binary starts"))
}

/// A command with a line on its standard input.
fn mosaic_given(data: &Data, args: &[&str], line: &str) -> Ended {
    let mut command = data.mosaic(args);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().expect("the binary starts");
    writeln!(child.stdin.take().expect("its stdin"), "{line}").expect("it reads");
    ended(child.wait_with_output().expect("its end"))
}

/// What a command that must succeed printed.
#[track_caller]
fn done((code, out, err): Ended) -> String {
    assert_eq!(code, Some(0), "{out}{err}");
    out
}

/// What a command that must fail said.
#[track_caller]
fn failed((code, out, err): Ended) -> String {
    assert_eq!((code, &*out), (Some(1), ""), "{err}");
    err
}

/// Stops a server as an operator would; its data stays.
fn stop(mut server: Server) -> Data {
    server.signal(Signal::TERM);
    server.wait();
    server.data.clone()
}

async fn login(server: &Server, username: &str, password: &str) -> (u16, Value) {
    let body = json!({"username": username, "password": password});
    let answer = server.anonymous().post("/auth/login", &body).await;
    (answer.status.as_u16(), answer.body)
}

#[tokio::test(flavor = "multi_thread")]
async fn openapi_prints_the_document_that_the_server_serves_and_needs_no_store() {
    let empty = Data::new();
    let printed: Value = serde_json::from_str(&done(mosaic(&empty, &["openapi"]))).unwrap();
    assert_eq!(
        std::fs::read_dir(empty.path()).unwrap().count(),
        0,
        "no data folder is made"
    );
    let server = Server::start();
    assert_eq!(server.anonymous().get("/openapi.json").await.ok(), printed);
}

#[tokio::test(flavor = "multi_thread")]
async fn accounts_are_added_with_a_random_password_or_a_given_one() {
    let data = stop(Server::start());
    let said = done(mosaic(&data, &["user", "add", "anna"]));
    let generated = said.lines().last().unwrap().to_owned();
    assert!(generated.len() >= 16, "{said}");
    done(mosaic_given(
        &data,
        &["user", "add", "--admin", "bert", "--password-stdin"],
        "a password of his",
    ));
    let server = data.start(&[]);
    let (status, anna) = login(&server, "anna", &generated).await;
    assert_eq!(
        (status, &anna["mustChangePassword"], &anna["user"]["role"]),
        (200, &json!(true), &json!("user"))
    );
    let (status, bert) = login(&server, "bert", "a password of his").await;
    assert_eq!(
        (status, &bert["mustChangePassword"], &bert["user"]["role"]),
        (200, &json!(false), &json!("admin"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn accounts_are_listed_changed_and_closed() {
    let server = Server::start();
    server.new_user("anna", "phone").await;
    let admin = login(&server, "admin", ADMIN_PASSWORD).await;
    let anna = login(&server, "anna", "a password of theirs").await;
    let data = stop(server);
    let listed = done(mosaic(&data, &["user", "list"]));
    let rows: Vec<Vec<&str>> = listed
        .lines()
        .skip(1)
        .map(|row| row.split_whitespace().skip(1).collect())
        .collect();
    assert_eq!(
        rows,
        [
            ["admin", "open", "default", "admin"],
            ["user", "open", "default", "anna"]
        ]
    );
    done(mosaic_given(
        &data,
        &["user", "passwd", "ADMIN", "--password-stdin"],
        "quite another password",
    ));
    let said = done(mosaic(&data, &["user", "disable", "anna"]));
    assert!(said.contains("anna") && said.contains("closed"), "{said}");
    assert!(done(mosaic(&data, &["user", "list"])).contains("disabled"));
    let server = data.start(&[]);
    assert_eq!(
        login(&server, "anna", "a password of theirs").await.1["code"],
        "account_disabled"
    );
    assert_eq!(
        login(&server, "admin", ADMIN_PASSWORD).await.1["code"],
        "bad_credentials"
    );
    assert_eq!(login(&server, "admin", "quite another password").await.0, 200);
    for (_, login) in [admin, anna] {
        let token = json!({"refreshToken": login["refreshToken"]});
        let answer = server.anonymous().post("/auth/refresh", &token).await;
        answer.problem(401, "invalid_refresh_token");
    }
}

#[test]
fn what_can_not_be_done_is_said_and_nothing_changes() {
    let data = stop(Server::start());
    let listed = done(mosaic(&data, &["user", "list"]));
    let taken = failed(mosaic(&data, &["user", "add", "Admin"]));
    assert!(taken.contains("taken"), "{taken}");
    for command in ["passwd", "disable", "enable"] {
        let unknown = failed(mosaic(&data, &["user", command, "nobody"]));
        assert!(unknown.contains("nobody"), "{unknown}");
    }
    let short = failed(mosaic_given(
        &data,
        &["user", "add", "anna", "--password-stdin"],
        "short",
    ));
    assert!(short.contains("8 characters"), "{short}");
    let last = failed(mosaic(&data, &["user", "disable", "admin"]));
    assert!(last.contains("last administrator"), "{last}");
    assert_eq!(done(mosaic(&data, &["user", "list"])), listed);
}

#[test]
fn migrate_makes_a_store_and_check_only_looks() {
    let data = Data::new();
    let absent = failed(mosaic(&data, &["migrate", "--check"]));
    assert!(absent.contains("there is no store"), "{absent}");
    assert!(
        !data.path().join("mosaic-data/mosaic.db").exists(),
        "looking makes no store"
    );
    done(mosaic(&data, &["migrate"]));
    for args in [&["migrate", "--check"][..], &["migrate"]] {
        assert!(done(mosaic(&data, args)).contains("up to date"));
    }
    let server = data.start(&[]);
    assert!(server.data.path().join("mosaic-data/mosaic.db").exists());
}

#[test]
fn a_second_server_on_the_same_file_says_so_and_exits() {
    let data = Data::new();
    let _first = data.start(&[]);
    let second = data
        .mosaic(&["serve", "--listen", "127.0.0.1:0"])
        .output()
        .unwrap();
    assert_eq!(second.status.code(), Some(1), "{second:?}");
    let said = String::from_utf8(second.stderr).unwrap();
    assert!(
        said.contains("mosaic.db") && said.contains("another process"),
        "{said}"
    );
}
