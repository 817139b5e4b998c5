//! `mosaic healthcheck` asks the server that runs with the same configuration.

use std::net::TcpListener;

use crate::harness::{Data, Server};
use crate::tls::{Site, TLS};

/// What it prints, where the server is ready.
fn healthy(data: &Data, args: &[&str]) -> String {
    let output = data.mosaic(&[&["healthcheck"], args].concat()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn unhealthy(data: &Data, args: &[&str]) -> String {
    data.fails(1, &[&["healthcheck"], args].concat())
}

fn port(server: &Server) -> &str {
    server.url.rsplit_once(':').unwrap().1
}

#[test]
fn a_server_is_asked_wherever_it_listens() {
    let server = Server::start_with(&["--listen", ":0,unix:a.sock"]);
    let port = port(&server);
    let places =
        [":", "0.0.0.0:", "[::]:", "[::1]:", "127.0.0.1:", "localhost:"].map(|host| format!("{host}{port}"));
    for place in places.iter().map(String::as_str).chain(["unix:a.sock"]) {
        let said = healthy(&server.data, &["--listen", place]);
        assert!(said.starts_with("{\"status\":"), "{said}");
    }
    let first = format!("systemd,127.0.0.1:{port}");
    healthy(&server.data, &["--listen", &first]);
}

#[test]
fn https_is_asked_whatever_name_its_certificate_has() {
    let site = Site::new();
    let server = site.start(&[]);
    let place = format!("127.0.0.1:{}", port(&server));
    let args = [&TLS[..], &["--listen", &place]].concat();
    healthy(&site.data, &args);
    assert!(unhealthy(&site.data, &["--listen", &place]).contains("this port speaks HTTPS"));
}

#[test]
fn what_is_not_there_not_ready_or_silent_is_not_healthy() {
    let data = Data::new();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let place = silent.local_addr().unwrap().to_string();
    assert!(unhealthy(&data, &["--listen", &place]).contains("within 5 s"));
    drop(silent);
    assert!(unhealthy(&data, &["--listen", &place]).contains("does not answer"));
    assert!(unhealthy(&data, &["--listen", "systemd"]).contains("--listen"));
    // A store that is gone under its server.
    let server = data.start(&[]);
    let place = format!("127.0.0.1:{}", port(&server));
    std::fs::rename(data.path().join("mosaic-data"), data.path().join("away")).unwrap();
    let said = unhealthy(&data, &["--listen", &place]);
    assert!(said.contains("is not ready: HTTP/1.1 503"), "{said}");
}
