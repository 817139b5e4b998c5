//! Starting, stopping, and what the log says.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::harness::{Data, Server, Signal, send_signal};

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_signal_lets_a_request_in_flight_finish_and_exits_with_0() {
    for (signal, name) in [
        (Signal::TERM, "SIGTERM"),
        (Signal::INT, "SIGINT"),
        (Signal::HUP, "SIGHUP"),
    ] {
        // Whoever runs the tests by `nohup` has all that they start ignore it.
        let mut server = Data::new().start_by(&["env", "--default-signal=HUP"], &[]);
        let phone = server.device("phone").await;
        let body = r#"{"content": "in flight"}"#;
        let address = server.url.strip_prefix("http://").unwrap().to_owned();
        let mut connection = TcpStream::connect(&address).unwrap();
        let head = format!(
            "POST /memos HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\n\
             content-length: {}\r\nexpect: 100-continue\r\nconnection: close\r\n\r\n",
            phone.token.as_deref().unwrap(),
            body.len(),
        );
        connection.write_all(head.as_bytes()).unwrap();
        // The server asks for the body only once the request is being handled.
        let mut asked = [0; 25];
        connection.read_exact(&mut asked).unwrap();
        assert_eq!(&asked, b"HTTP/1.1 100 Continue\r\n\r\n");
        server.signal(signal);
        wait_until_refused(&address);
        connection.write_all(body.as_bytes()).unwrap();
        let mut answer = String::new();
        connection.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        let (status, log) = server.wait();
        assert_eq!(status.code(), Some(0), "{log}");
        assert!(
            log.contains(&format!("{name}: finishing what is in flight")),
            "{log}"
        );
    }
}

/// Whoever starts a server with `nohup` wants it to outlive the terminal.
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn a_hangup_that_was_to_be_ignored_is() {
    let mut server = Data::new().start_by(&["nohup"], &[]);
    server.signal(Signal::HUP);
    // Later signals are not heard before earlier ones.
    for _ in 0..3 {
        server.anonymous().get("/health").await.ok();
    }
    server.signal(Signal::TERM);
    let (status, log) = server.wait();
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(
        log.contains("SIGTERM: finishing") && !log.contains("SIGHUP"),
        "{log}"
    );
}

/// Returns once the server takes no new connections: it has heard the signal.
fn wait_until_refused(address: &str) {
    let began = Instant::now();
    while TcpStream::connect(address).is_ok() {
        assert!(
            began.elapsed() < Duration::from_mins(1),
            "it does not hear the signal"
        );
        std::thread::yield_now();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_has_a_line_per_request_with_user_and_device_and_never_a_body_or_a_secret() {
    // Everything that any part of the program has to say.
    let mut server = Server::start_with(&["--log-level", "trace"]);
    let phone = server.device("my-phone").await;
    phone
        .post(
            "/memos?token=hidden-in-the-query",
            &json!({"content": "dear diary"}),
        )
        .await
        .ok();
    phone.get("/memos/search?query=dear").await.ok();
    let me = phone.get("/auth/me").await.ok();
    server.signal(Signal::TERM);
    let (_, log) = server.wait();
    let line = log
        .lines()
        .find(|line| line.contains("/memos") && line.contains("my-phone"))
        .expect("a line");
    assert!(line.contains(me["id"].as_str().unwrap()), "{line}");
    assert!(
        line.contains("200") && line.contains("duration_ms") && line.contains("request_id"),
        "{line}"
    );
    assert!(line.contains(r#""client_addr":"127.0.0.1""#), "{line}");
    let names_device = |line: &str| line.contains("/auth/login") && line.contains("my-phone");
    assert!(log.lines().any(names_device), "a login is of a device, too");
    let secrets = [
        "dear",
        "correct horse",
        "hidden-in-the-query",
        phone.token.as_deref().unwrap(),
    ];
    for secret in secrets {
        assert!(!log.contains(secret), "{secret} in the log");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_login_has_a_line_with_the_account_and_where_it_came_from() {
    let mut server = Server::start_with(&["--http-trust-proxy", "--auth-account-attempts-per-minute=1"]);
    server.device("phone").await;
    for (username, status) in [
        ("nobody", 401),
        ("admin", 401),
        ("admin", 429),
        ("two words", 401),
    ] {
        let body = json!({"username": username, "password": "my-wrong-password"});
        let login = server
            .anonymous()
            .request(reqwest::Method::POST, "/auth/login")
            .json(&body);
        let answer = login
            .header("x-forwarded-for", "203.0.113.9")
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status().as_u16(), status, "{username}");
    }
    server.signal(Signal::TERM);
    let (_, log) = server.wait();
    let refused: Vec<serde_json::Value> = log
        .lines()
        .filter(|line| line.contains("login refused"))
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let told = refused.iter().map(|line| {
        assert_eq!(
            (&line["level"], &line["client_addr"]),
            (&json!("WARN"), &json!("203.0.113.9"))
        );
        line["account"].as_str().unwrap()
    });
    assert_eq!(told.collect::<Vec<_>>(), ["nobody", "admin", "admin", "-"]);
    assert!(
        !log.contains("my-wrong-password") && !log.contains("two words"),
        "{log}"
    );
}

#[test]
fn a_first_start_without_a_password_prints_a_random_one_once() {
    let data = Data::new();
    let start = || {
        let mut command = data.mosaic(&[]);
        command.env_remove("MOSAIC_ADMIN_PASSWORD");
        command.args(["--listen", "127.0.0.1:0", "--database-url", "sqlite://kept.db"]);
        let mut child = command
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        wait_for_line(&mut child);
        send_signal(child.id(), Signal::TERM);
        let mut printed = String::new();
        child.stdout.take().unwrap().read_to_string(&mut printed).unwrap();
        child.wait().unwrap();
        printed
    };
    let first = start();
    assert!(first.contains("admin") && first.contains("password"), "{first}");
    assert_eq!(start(), "");
}

/// Waits until the server says on stderr where it listens.
fn wait_for_line(child: &mut std::process::Child) {
    use std::io::BufRead;
    let mut lines = std::io::BufReader::new(child.stderr.take().unwrap())
        .lines()
        .map_while(Result::ok);
    assert!(
        lines.any(|line| line.contains("http://127.0.0.1:")),
        "the server ended before it listened"
    );
    // Keeps reading, so that the server never waits for somebody to take its log.
    std::thread::spawn(move || lines.for_each(drop));
}
