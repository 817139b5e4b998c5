//! What the server and systemd say to each other, and the units in packaging/.

use std::io::{Read as _, Write as _};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::harness::{Data, Signal, send_signal};

/// Reached only by a failing test.
const PATIENCE: Duration = Duration::from_mins(1);

fn packaged(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../packaging")
        .join(name)
}

#[test]
fn systemd_is_told_when_a_server_is_ready_and_when_it_stops() {
    let data = Data::new();
    let path = data.path().join("notify");
    let systemd = UnixDatagram::bind(&path).unwrap();
    systemd.set_read_timeout(Some(PATIENCE)).unwrap();
    let said = || {
        let mut said = [0; 256];
        let length = systemd.recv(&mut said).expect("something is said");
        String::from_utf8_lossy(&said[..length]).into_owned()
    };
    let notify = format!("NOTIFY_SOCKET={}", path.display());
    let mut server = data.start_by(&["env", &notify], &[]);
    assert_eq!(said(), "READY=1");
    server.signal(Signal::TERM);
    assert_eq!(said(), "STOPPING=1");
    assert!(server.wait().0.success());
}

/// systemd's own tool opens the socket, waits for the first client, and becomes the server.
#[test]
fn a_server_takes_the_socket_that_systemd_opened() {
    let data = Data::new();
    let path = data.path().join("a.sock");
    let binary = env!("CARGO_BIN_EXE_mosaic");
    let mut server = Command::new("systemd-socket-activate")
        .arg("-l")
        .arg(&path)
        .args([binary, "serve", "--listen", "systemd"])
        .current_dir(data.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("systemd-socket-activate (Debian's systemd) runs");
    let began = Instant::now();
    let mut client = loop {
        match UnixStream::connect(&path) {
            Ok(client) => break client,
            Err(error) => assert!(began.elapsed() < PATIENCE, "{error}"),
        }
        std::thread::yield_now();
    };
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client
        .write_all(b"GET /health HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        .unwrap();
    let mut answer = String::new();
    let read = client.read_to_string(&mut answer);
    send_signal(server.id(), Signal::TERM);
    let mut log = String::new();
    server.stderr.take().unwrap().read_to_string(&mut log).unwrap();
    assert!(server.wait().unwrap().success(), "{log}");
    assert!(
        read.is_ok() && answer.starts_with("HTTP/1.1 200"),
        "{answer}\n{log}"
    );
}

/// Runs `systemd-analyze`, which has to find nothing.
fn analyze(args: &[&str], units: &[&Path]) {
    let output = Command::new("systemd-analyze").args(args).args(units).output();
    let output = output.expect("systemd-analyze (Debian's systemd) runs");
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(output.status.success(), "{said}");
    assert!(!said.contains("Unknown"), "{said}");
}

#[test]
fn the_service_is_exposed_to_little() {
    let threshold = "--threshold=20";
    analyze(
        &["security", "--offline=true", "--no-pager", threshold],
        &[&packaged("mosaic.service")],
    );
}

#[test]
fn the_units_are_what_systemd_understands() {
    let folder = tempfile::tempdir().unwrap();
    let units = ["mosaic.service", "mosaic.socket"].map(|name| {
        let text = std::fs::read_to_string(packaged(name)).unwrap();
        // A program that is there.
        let text = text.replace("/usr/bin/mosaic", env!("CARGO_BIN_EXE_mosaic"));
        let unit = folder.path().join(name);
        std::fs::write(&unit, text).unwrap();
        unit
    });
    analyze(&["verify", "--man=no"], &[&units[0], &units[1]]);
}
