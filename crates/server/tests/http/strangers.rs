//! What strangers can send without a login: it is refused, and nothing of it is an error of the server's.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};

use crate::harness::Server;

#[tokio::test(flavor = "multi_thread")]
async fn what_strangers_send_is_refused_and_is_no_error_in_the_log() {
    let server = Server::start_with(&["--log-level", "debug", "--http-header-timeout-ms", "1000"]);
    let long = "a".repeat(70_000);
    let refused = [
        "\u{16}\u{3}\u{1}\u{2}\u{0}\u{1}\u{0}\u{1}".to_owned(),
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(),
        "nonsense\r\n\r\n".to_owned(),
        "GET / HTTP/9.9\r\nhost: x\r\n\r\n".to_owned(),
        "GET / HTTP/1.1\nhost: x\n\n".to_owned(),
        "GET /\u{1} HTTP/1.1\r\nhost: x\r\n\r\n".to_owned(),
        "GET / HTTP/1.1\r\nhost: x\r\nname with spaces: y\r\n\r\n".to_owned(),
        format!("GET /{long} HTTP/1.1\r\nhost: x\r\n\r\n"),
        format!("GET / HTTP/1.1\r\nhost: x\r\na: {long}\r\n\r\n"),
        "POST /auth/login HTTP/1.1\r\nhost: x\r\ncontent-length: x\r\n\r\n".to_owned(),
        "POST /auth/login HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\n\r\n".to_owned(),
        "GET /health HTTP/1.1\r\nhost:".to_owned(),
    ];
    for request in &refused {
        let answer = server.talk(request);
        assert!(
            answer.is_empty() || answer.starts_with("HTTP/1.1 4") || answer.starts_with("HTTP/1.1 505"),
            "{answer}"
        );
    }
    for cut in [
        "POST /auth/login HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{",
        "POST /auth/login HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n5\r\n{",
        "GET /health HTTP/1.1\r\nhost: x\r\n\r\nGET /hea",
    ] {
        let mut connection = TcpStream::connect(server.address()).unwrap();
        connection.write_all(cut.as_bytes()).unwrap();
        connection.shutdown(Shutdown::Write).unwrap();
        let _ = connection.read_to_end(&mut Vec::new());
    }
    server.anonymous().get("/health").await.ok();
    let logged = server.log();
    assert!(!logged.contains("\"level\":\"ERROR\""), "{logged}");
    assert!(
        logged.contains("\"status\":431") && logged.contains("\"status\":505"),
        "{logged}"
    );
}
