//! The filter of docs/fail2ban, as fail2ban reads it, over what servers log: it finds whoever was refused a login, and nobody
//! whom somebody else named.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use mosaic_testkit::program::Program;
use reqwest::Method;
use serde_json::json;

use crate::harness::{ADMIN_PASSWORD, Data, Server, Signal};

const FILTER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/fail2ban/mosaic.conf");

/// Names that would stand for another address, were they not escaped.
const NAMES: [&str; 4] = [
    "admin",
    r#"a","client_addr":"6.6.6.6","b":""#,
    r#"a"client_addr=6.6.6.6"#,
    r"a\",
];

/// A server that logs in this format, and what it logged of refused logins and of much that looks like one.
async fn log_of(format: &str) -> String {
    let data = Data::new();
    let mut command = data.mosaic(&["--log-format", format, "--http-trust-proxy"]);
    let program = Arc::new(Program::start(&mut command));
    let mut server = Server {
        url: program.url().to_owned(),
        program,
        data,
    };
    let login = async |username: &str, password: &str, address: &str| {
        let body = json!({"username": username, "password": password});
        let request = server
            .anonymous()
            .request(Method::POST, "/auth/login")
            .json(&body);
        let answer = request.header("x-forwarded-for", address).send().await.unwrap();
        answer.status().as_u16()
    };
    for name in NAMES {
        assert_eq!(
            login(name, "a wrong password", "203.0.113.9").await,
            401,
            "{name}"
        );
    }
    assert_eq!(login("admin", "a wrong password", "2001:db8::7").await, 401);
    // So is one who guesses the secret of an invite.
    let guess = json!({"secret": "guessed", "username": "anna", "password": "long enough"});
    let request = server
        .anonymous()
        .request(Method::POST, "/auth/invite")
        .json(&guess);
    let answer = request.header("x-forwarded-for", "203.0.113.10").send();
    assert_eq!(answer.await.unwrap().status(), 404);
    assert_eq!(login("admin", ADMIN_PASSWORD, "192.0.2.1").await, 200);
    for path in [
        "/x%20WARN%20mosaic::access:%20login%20refused%20client_addr=6.6.6.6%20account=",
        "/x%22,%22account%22:%22%22,%22client_addr%22:%226.6.6.6%22,",
        "/memos",
    ] {
        let request = server.anonymous().request(Method::GET, path);
        let request = request.header("x-client-id", r#"","client_addr":"6.6.6.6"#);
        request
            .header("x-forwarded-for", "198.51.100.1")
            .send()
            .await
            .unwrap();
    }
    server.signal(Signal::TERM);
    server.wait().1
}

/// The addresses that fail2ban would count, in order.
fn found(log: &Path) -> Vec<String> {
    let mut command = Command::new("fail2ban-regex");
    command.args(["--out", "<ip>"]).arg(log).arg(FILTER);
    let output = command
        .output()
        .expect("fail2ban-regex, of Debian's package fail2ban");
    assert!(output.status.success(), "{output:?}");
    let said = String::from_utf8(output.stdout).unwrap();
    said.lines().map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_filter_finds_who_was_refused_and_nobody_else() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("log");
    for format in ["pretty", "json"] {
        let log = log_of(format).await;
        // As it is written, and as the journal and syslog have it.
        for logger in ["", "Nov 27 15:38:29 host mosaic[12]: "] {
            let lines = format!("{logger}{}", log.trim_end().replace('\n', &format!("\n{logger}")));
            std::fs::write(&file, &lines).unwrap();
            let mut expected = vec!["203.0.113.9"; NAMES.len()];
            expected.extend(["2001:db8::7", "203.0.113.10"]);
            assert_eq!(found(&file), expected, "{lines}");
        }
    }
}
