//! Where a server listens: each form of `listen`, with the real program.

use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Data, Server, Signal};

const ASKS: &[u8] = b"GET /health HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";

/// Reads the answer to what was asked.
fn answer(mut connection: impl std::io::Read) -> String {
    let mut answer = String::new();
    connection.read_to_string(&mut answer).unwrap();
    answer
}

fn is_healthy(mut connection: impl std::io::Read + Write) -> bool {
    connection.write_all(ASKS).unwrap();
    answer(connection).starts_with("HTTP/1.1 200")
}

/// Where the server says that it listens.
fn places(server: &Server) -> Vec<String> {
    let log = server.log();
    let line = log.lines().find(|line| line.contains("listening on ")).unwrap();
    let line: Value = serde_json::from_str(line).unwrap();
    let said = line["message"]
        .as_str()
        .unwrap()
        .strip_prefix("listening on ")
        .unwrap();
    said.split(", ").map(str::to_owned).collect()
}

/// What a server says that can't listen there.
fn refused(data: &Data, listen: &str) -> String {
    let said = data.fails(1, &["--listen", listen]);
    assert!(
        said.contains(&format!("can not listen on {listen} (listen, ")),
        "{said}"
    );
    said
}

#[test]
fn every_interface_is_reached_by_both_kinds_of_addresses() {
    let server = Server::start_with(&["--listen", ":0"]);
    let port = server.url.rsplit_once(':').unwrap().1.parse::<u16>().unwrap();
    for address in ["127.0.0.1", "::1"] {
        let address = SocketAddr::new(address.parse().unwrap(), port);
        assert!(is_healthy(TcpStream::connect(address).unwrap()), "{address}");
    }
}

#[test]
fn a_host_is_reached_at_all_of_its_addresses_and_others_beside_it() {
    let data = Data::new();
    let server = data.start(&["--listen", "localhost:0,[::1]:0, unix:a.sock"]);
    let mut places = places(&server);
    assert_eq!(places.pop().unwrap(), "unix:a.sock");
    assert!(is_healthy(
        UnixStream::connect(data.path().join("a.sock")).unwrap()
    ));
    let expected = std::net::ToSocketAddrs::to_socket_addrs("localhost:0").unwrap();
    let expected: std::collections::HashSet<_> = expected.map(|address| address.ip()).collect();
    assert_eq!(places.len(), expected.len() + 1, "{places:?}");
    for place in places {
        let address: SocketAddr = place.strip_prefix("http://").unwrap().parse().unwrap();
        assert!(is_healthy(TcpStream::connect(address).unwrap()), "{place}");
    }
}

#[test]
fn what_is_taken_is_said_and_nothing_is_made() {
    let data = Data::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let said = refused(&data, &taken.local_addr().unwrap().to_string());
    assert!(said.contains("Address already in use"), "{said}");
    let said = refused(&data, "nobody.invalid:80");
    assert!(!said.contains("too long"), "{said}");
    assert!(refused(&data, "systemd").contains("no socket was handed over"));
    assert_eq!(std::fs::read_dir(data.path()).unwrap().count(), 0);
}

fn is_socket(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_file_comes_and_goes_with_its_server() {
    let data = Data::new();
    let path = data.path().join("a.sock");
    let listen = format!("unix:{}", path.display());
    let mut first = data.start(&["--listen", &listen]);
    assert_eq!(first.url, listen);
    assert_eq!(
        std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o660
    );
    first.device("phone").await.get("/auth/me").await.ok();
    // Another server leaves it alone.
    assert!(refused(&Data::new(), &listen).contains("somebody listens there"));
    first.signal(Signal::TERM);
    assert!(first.wait().0.success());
    assert!(!path.exists());
    // A server that is killed leaves it, and the next one takes its place.
    let data = data.start(&["--listen", &listen]).kill();
    assert!(is_socket(&path));
    let second = data.start(&["--listen", &listen]);
    second.anonymous().get("/health").await.ok();
    // What is no socket is not touched, and a socket does not stay of a server that does not start.
    std::fs::write(data.path().join("notes"), "mine").unwrap();
    assert!(refused(&data, "unix:notes").contains("no socket"));
    assert_eq!(std::fs::read(data.path().join("notes")).unwrap(), b"mine");
    data.fails(1, &["--listen", "unix:b.sock", "--data-dir", "notes"]);
    assert!(!data.path().join("b.sock").exists());
}

/// A refused login that a proxy passes on for this address.
async fn guess(server: &Server, name: &str, from: &str) -> u16 {
    let body = json!({"username": name, "password": "a wrong password"});
    let login = server
        .anonymous()
        .request(Method::POST, "/auth/login")
        .json(&body);
    login
        .header("x-forwarded-for", from)
        .send()
        .await
        .unwrap()
        .status()
        .as_u16()
}

/// The addresses in the log lines of refused logins.
fn guessers(server: &mut Server) -> Vec<String> {
    server.signal(Signal::TERM);
    let (_, log) = server.wait();
    let lines = log.lines().filter(|line| line.contains("login refused"));
    let lines = lines.map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines
        .map(|line| line["client_addr"].as_str().unwrap().to_owned())
        .collect()
}

const WARNING: &str = "clients that come by a unix socket have no address";

#[tokio::test(flavor = "multi_thread")]
async fn behind_a_trusted_proxy_on_a_unix_socket_clients_have_their_addresses() {
    let args = [
        "--listen",
        "unix:a.sock",
        "--auth-address-attempts-per-minute=1",
        "--http-trust-proxy",
    ];
    let mut server = at_a_socket(&args);
    for (from, status) in [("203.0.113.1", 401), ("203.0.113.1", 429), ("203.0.113.2", 401)] {
        assert_eq!(guess(&server, "anna", from).await, status, "{from}");
    }
    assert!(!server.log().contains(WARNING));
    assert_eq!(
        guessers(&mut server),
        ["203.0.113.1", "203.0.113.1", "203.0.113.2"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn without_one_they_have_none_and_share_what_one_may() {
    let mut server = at_a_socket(&["--listen", "unix:a.sock", "--auth-address-attempts-per-minute=1"]);
    for (from, status) in [("203.0.113.1", 401), ("203.0.113.2", 429)] {
        assert_eq!(guess(&server, "anna", from).await, status, "{from}");
    }
    assert!(server.log().contains(WARNING));
    assert_eq!(guessers(&mut server), ["-", "-"]);
}

/// A server whose socket is found from here.
fn at_a_socket(args: &[&str]) -> Server {
    let mut server = Server::start_with(args);
    let path = server.data.path().join(server.url.strip_prefix("unix:").unwrap());
    server.url = format!("unix:{}", path.display());
    server
}

/// Clients connect all the time, while one server ends and the next one takes the socket over: each is answered.
#[test]
fn a_restart_on_a_socket_that_is_handed_over_refuses_nobody() {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let data = Data::new();
    let start = || data.start_on(socket.try_clone().unwrap(), &["--listen", "systemd"]);
    let mut server = start();
    assert_eq!(places(&server), [format!("http://{address}")]);
    let is_over = AtomicBool::new(false);
    let ask = || {
        let mut answered = 0;
        while !is_over.load(Ordering::Relaxed) {
            assert!(is_healthy(TcpStream::connect(address).unwrap()));
            answered += 1;
        }
        answered
    };
    let answered: usize = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..4).map(|_| scope.spawn(ask)).collect();
        for _ in 0..2 {
            server.signal(Signal::TERM);
            let (status, log) = server.wait();
            assert!(status.success(), "{log}");
            // There is no server now.
            let mut waiting = TcpStream::connect(address).unwrap();
            waiting.write_all(ASKS).unwrap();
            server = start();
            assert!(answer(waiting).starts_with("HTTP/1.1 200"));
        }
        is_over.store(true, Ordering::Relaxed);
        clients.into_iter().map(|client| client.join().unwrap()).sum()
    });
    assert!(answered > 4, "{answered}");
}

#[test]
fn a_unix_socket_that_is_handed_over_stays() {
    let data = Data::new();
    let path = data.path().join("a.sock");
    let socket = UnixListener::bind(&path).unwrap();
    for _ in 0..2 {
        let mut server = data.start_on(socket.try_clone().unwrap(), &["--listen", "systemd"]);
        assert_eq!(server.url, format!("unix:{}", path.display()));
        assert!(is_healthy(UnixStream::connect(&path).unwrap()));
        server.signal(Signal::TERM);
        assert!(server.wait().0.success());
        assert!(is_socket(&path));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_for_developers_takes_the_same_places() {
    let data = Data::new();
    let path = data.path().join("a.sock");
    let mut dev = data.start(&["dev", "--listen", &format!("unix:{},127.0.0.1:0", path.display())]);
    assert_eq!(
        dev.login("anna", "x", "phone")
            .await
            .get("/dev/requests")
            .await
            .status,
        200
    );
    dev.signal(Signal::TERM);
    assert!(dev.wait().0.success());
    assert!(!path.exists());
}
