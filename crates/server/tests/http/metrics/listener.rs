//! The address where metrics are: who may ask for what, and for how long.

use std::collections::BTreeSet;
use std::fs;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use reqwest::Method;

use super::{Scrape, TOLD, address};
use crate::harness::{Data, Server, Signal};

/// Longer than anything takes that goes right.
const PATIENCE: Duration = Duration::from_secs(30);
/// Shorter than a connection may take.
const SOON: Duration = Duration::from_secs(5);

/// How many TCP sockets of a process listen.
pub(super) fn listening_sockets(pid: u32) -> usize {
    let folder = fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
    let open = folder.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
    let open: BTreeSet<String> = open.map(|link| link.to_string_lossy().into_owned()).collect();
    let tables = ["tcp", "tcp6"].map(|table| fs::read_to_string(format!("/proc/{pid}/net/{table}")).unwrap());
    let sockets = tables.iter().flat_map(|table| table.lines().skip(1));
    let listening = sockets.filter(|line| {
        let fields: Vec<_> = line.split_ascii_whitespace().collect();
        // The state of those that listen.
        fields[3] == "0A" && open.contains(&format!("socket:[{}]", fields[9]))
    });
    listening.count()
}

fn connect(address: SocketAddr) -> TcpStream {
    let connection = TcpStream::connect(address).unwrap();
    connection.set_read_timeout(Some(PATIENCE)).unwrap();
    connection
}

#[tokio::test(flavor = "multi_thread")]
async fn there_is_one_page_and_it_can_only_be_read() {
    let server = Server::start_with(&TOLD);
    let url = format!("http://{}", address(&server).unwrap());
    let client = reqwest::Client::new();
    let ask = async |method: Method, path: &str| {
        let answer = client
            .request(method, format!("{url}{path}"))
            .send()
            .await
            .unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    assert_eq!(ask(Method::HEAD, "/metrics").await, (200, String::new()));
    assert_eq!(ask(Method::GET, "/metrics?name[]=x").await.0, 200);
    assert_eq!(ask(Method::POST, "/metrics").await.0, 405);
    for path in ["/", "/health", "/metrics/", "/memos"] {
        assert_eq!(ask(Method::GET, path).await.0, 404, "{path}");
    }
    // And not where devices are.
    server
        .anonymous()
        .get("/metrics")
        .await
        .problem(404, "unknown_route");
}

/// However many connect and say nothing, or little, whoever asks is answered.
#[tokio::test(flavor = "multi_thread")]
async fn who_says_nothing_holds_nobody_up() {
    let mut server = Server::start_with(&TOLD);
    let address = address(&server).unwrap();
    let mut half_open: Vec<_> = (0..100).map(|_| connect(address)).collect();
    for connection in half_open.iter_mut().step_by(2) {
        // The server may have made room by ending it already.
        let _ = connection.write_all(b"GET /metrics HTTP/1.1\r\nhost: x\r\n");
    }
    let told = tokio::time::timeout(PATIENCE, Scrape::of(&server))
        .await
        .expect("in time");
    assert_eq!(told.get("mosaic_http_requests_in_flight"), 0);
    // The first ones had to go, long before their time was over.
    half_open[0].set_read_timeout(Some(SOON)).unwrap();
    let read = half_open[0].read(&mut [0; 64]);
    let is_closed = match &read {
        Ok(bytes) => *bytes == 0,
        Err(error) => error.kind() == ErrorKind::ConnectionReset,
    };
    assert!(is_closed, "{read:?}");
    // And none of them keeps the server from stopping.
    server.signal(Signal::TERM);
    let (status, log) = server.wait();
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(TcpStream::connect(address).is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_has_one_answer() {
    let server = Server::start_with(&TOLD);
    let mut connection = connect(address(&server).unwrap());
    connection
        .write_all(b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n")
        .unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    let mut connection = connect(address(&server).unwrap());
    let long = format!("GET /metrics HTTP/1.1\r\nx: {}\r\n\r\n", "y".repeat(64 * 1024));
    let _ = connection.write_all(long.as_bytes());
    let mut answer = String::new();
    let _ = connection.read_to_string(&mut answer);
    assert!(!answer.contains("200 OK"), "{answer}");
}

#[test]
fn an_address_that_is_in_use_is_named_with_its_key() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let data = Data::new();
    let done = data.mosaic(&["--metrics-listen", &address]).output().unwrap();
    let said = String::from_utf8_lossy(&done.stderr);
    assert_eq!(done.status.code(), Some(1), "{said}");
    for part in [&*address, "metrics.listen", "--metrics-listen"] {
        assert!(said.contains(part), "{part} in {said}");
    }
    // Nothing was made before that was known.
    assert!(!data.path().join("mosaic-data").exists());
}
