//! HTTPS without a proxy: with the real program, by certificates that the tests make.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion};

use crate::harness::{Data, Server, Signal};

/// Reached only by a failing test.
const PATIENCE: Duration = Duration::from_secs(30);

/// A server's data folder with the files of its certificate in it.
pub struct Site {
    pub data: Data,
    certificate: CertificateDer<'static>,
}

fn made(change: impl FnOnce(&mut CertificateParams)) -> (rcgen::Certificate, KeyPair) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec!["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
    change(&mut params);
    (params.self_signed(&key).unwrap(), key)
}

impl Site {
    pub fn new() -> Self {
        let data = Data::new();
        let certificate = put(&data, |_| ());
        Self { data, certificate }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.data.path().join(name)
    }

    pub fn start(&self, args: &[&str]) -> Server {
        self.data.start(&[&TLS, args].concat())
    }

    /// A device that trusts these certificates.
    fn device(&self, others: &[&CertificateDer<'static>]) -> Device {
        Device::of([&[&self.certificate], others].concat(), rustls::DEFAULT_VERSIONS)
    }
}

pub const TLS: [&str; 4] = ["--tls-certificate", "chain.pem", "--tls-key", "key.pem"];

/// Puts a certificate where servers find it, and its key.
fn put(data: &Data, change: impl FnOnce(&mut CertificateParams)) -> CertificateDer<'static> {
    let (certificate, key) = made(change);
    for (name, text) in [("chain.pem", certificate.pem()), ("key.pem", key.serialize_pem())] {
        let new = data.path().join("new");
        std::fs::write(&new, text).unwrap();
        std::fs::rename(new, data.path().join(name)).unwrap();
    }
    certificate.der().clone()
}

type Stream = StreamOwned<ClientConnection, TcpStream>;

#[derive(Clone)]
struct Device(Arc<ClientConfig>);

impl Device {
    fn of(trusted: Vec<&CertificateDer<'static>>, versions: &[&'static SupportedProtocolVersion]) -> Self {
        let mut roots = RootCertStore::empty();
        for certificate in trusted {
            roots.add(certificate.clone()).unwrap();
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider);
        let config = config.with_protocol_versions(versions).unwrap();
        let mut config = config.with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        // Each connection shakes hands anew.
        config.resumption = rustls::client::Resumption::disabled();
        Self(Arc::new(config))
    }

    fn connect(&self, server: &Server) -> Stream {
        let name = ServerName::try_from("localhost").unwrap();
        let connection = ClientConnection::new(Arc::clone(&self.0), name).unwrap();
        StreamOwned::new(connection, TcpStream::connect(address(server)).unwrap())
    }

    /// Sends this as it stands, and reads until the server closes.
    fn say(&self, server: &Server, said: &str) -> io::Result<(String, Stream)> {
        let mut stream = self.connect(server);
        stream.write_all(said.as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok((answer, stream))
    }

    /// Asks whether the server is healthy; the certificate that it shows.
    fn ask(&self, server: &Server) -> CertificateDer<'static> {
        let (answer, stream) = self.say(server, ASKS).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        stream.conn.peer_certificates().unwrap()[0].clone().into_owned()
    }
}

const ASKS: &str = "GET /health HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";

fn address(server: &Server) -> SocketAddr {
    server.url.strip_prefix("https://").unwrap().parse().unwrap()
}

fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < PATIENCE, "{what}");
        std::thread::yield_now();
    }
}

#[test]
fn a_server_speaks_https_by_itself_and_plain_http_at_a_unix_socket() {
    let site = Site::new();
    let mut server = site.start(&["--listen", "127.0.0.1:0, unix:a.sock"]);
    for version in rustls::ALL_VERSIONS {
        let device = Device::of(vec![&site.certificate], &[version]);
        let (answer, stream) = device.say(&server, ASKS).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert_eq!(stream.conn.protocol_version(), Some(version.version));
        assert_eq!(stream.conn.alpn_protocol(), Some(&b"http/1.1"[..]));
    }
    let url = format!("https://localhost:{}/health", address(&server).port());
    let curl = Command::new("curl")
        .args(["-sS", "--noproxy", "*", "--cacert"])
        .arg(site.file("chain.pem"))
        .arg(&url)
        .output();
    let curl = curl.expect("curl runs");
    assert!(curl.status.success() && curl.stdout.starts_with(b"{"), "{curl:?}");
    let mut plain = UnixStream::connect(site.file("a.sock")).unwrap();
    plain.write_all(ASKS.as_bytes()).unwrap();
    let mut answer = String::new();
    plain.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let (missing, _) = site
        .device(&[])
        .say(&server, &ASKS.replace("health", "nowhere"))
        .unwrap();
    assert!(missing.starts_with("HTTP/1.1 404"), "{missing}");
    server.signal(Signal::TERM);
    let (status, log) = server.wait();
    assert!(status.success(), "{log}");
    let line = log.lines().find(|line| line.contains("/nowhere")).unwrap();
    assert!(line.contains(r#""client_addr":"127.0.0.1""#), "{line}");
}

/// Clients connect all the time: each is answered, by the old certificate or by the new one.
#[test]
fn a_certificate_that_changes_is_read_again_and_a_wrong_one_is_not_taken() {
    let site = Site::new();
    let server = site.start(&[]);
    let (newer, newer_key) = made(|_| ());
    let device = site.device(&[newer.der()]);
    assert_eq!(device.ask(&server), site.certificate);
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    device.ask(&server);
                }
            });
        }
        // Halfway: the key is still that of the one before.
        std::fs::write(site.file("chain.pem"), newer.pem()).unwrap();
        let refused = "HTTPS goes on with the certificate from before: tls.key (--tls-key, MOSAIC_TLS_KEY) can not be used";
        wait_until("a wrong pair is told of", || server.log().contains(refused));
        assert_eq!(device.ask(&server), site.certificate);
        std::fs::write(site.file("key.pem"), newer_key.serialize_pem()).unwrap();
        wait_until("the new one is taken", || device.ask(&server) == *newer.der());
        is_over.store(true, Ordering::Relaxed);
    });
    assert!(server.log().contains("the certificate was read again"));
}

#[test]
fn a_certificate_that_can_not_be_used_is_told_of_at_the_start() {
    let site = Site::new();
    let refused = |code, args: &[&str], why: &str| {
        let said = site.data.fails(code, args);
        assert!(said.contains(why), "{said}");
    };
    refused(2, &TLS[..2], "tls.key is missing, but tls.certificate is set");
    refused(2, &TLS[2..], "tls.certificate is missing, but tls.key is set");
    refused(
        1,
        &["--tls-certificate", "none.pem", "--tls-key", "key.pem"],
        "none.pem: No such file",
    );
    refused(
        1,
        &["--tls-certificate", "key.pem", "--tls-key", "key.pem"],
        "has no certificate in PEM",
    );
    refused(
        1,
        &["--tls-certificate", "chain.pem", "--tls-key", "chain.pem"],
        "has no private key in PEM",
    );
    let (_, other) = made(|_| ());
    std::fs::write(site.file("key.pem"), other.serialize_pem()).unwrap();
    refused(1, &TLS, "it belongs to another certificate");
    put(&site.data, |params| params.not_after = date_time_ymd(2020, 1, 1));
    refused(1, &TLS, "the first certificate in it certificate expired");
    put(&site.data, |params| params.not_before = date_time_ymd(2100, 1, 1));
    refused(1, &TLS, "not valid yet");
    assert!(!site.file("mosaic-data").exists(), "nothing is made");
}

#[test]
fn slow_handshakes_hold_up_nobody_and_end() {
    let site = Site::new();
    let server = site.start(&["--http-header-timeout-ms", "2000"]);
    // The first bytes of a handshake, or nothing.
    let slow: Vec<_> = (0..600)
        .map(|number| {
            let mut connection = TcpStream::connect(address(&server)).unwrap();
            if number % 2 == 0 {
                connection.write_all(&[0x16, 3, 1]).unwrap();
            }
            connection
        })
        .collect();
    let device = site.device(&[]);
    for _ in 0..10 {
        device.ask(&server);
    }
    for mut connection in slow {
        connection.set_read_timeout(Some(PATIENCE)).unwrap();
        // A reset is an end, too.
        let ended = connection.read(&mut [0]).or_else(|error| match error.kind() {
            io::ErrorKind::ConnectionReset => Ok(0),
            _ => Err(error),
        });
        assert_eq!(ended.expect("it is closed"), 0);
    }
}

#[test]
fn slow_handshakes_hold_up_no_stop() {
    let site = Site::new();
    let mut server = site.start(&[
        "--http-header-timeout-ms",
        "600000",
        "--http-shutdown-timeout-ms",
        "600000",
    ]);
    let mut slow = TcpStream::connect(address(&server)).unwrap();
    slow.write_all(&[0x16, 3, 1]).unwrap();
    // Connections are taken one after the other.
    site.device(&[]).ask(&server);
    server.signal(Signal::TERM);
    let began = Instant::now();
    assert!(server.wait().0.success());
    assert!(began.elapsed() < PATIENCE, "{:?}", began.elapsed());
}

#[test]
fn slow_requests_have_the_same_limits_as_without() {
    let site = Site::new();
    let server = site.start(&[
        "--http-header-timeout-ms",
        "1000",
        "--http-body-timeout-ms",
        "500",
    ]);
    let device = site.device(&[]);
    for slow in [
        "GET /health HTTP/1.1\r\nhost: x\r\n",
        "POST /auth/login HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 99\r\n\r\n{",
    ] {
        let (answer, _) = device.say(&server, slow).unwrap();
        assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    }
}

#[test]
fn who_speaks_no_tls_is_told_so_and_garbage_is_no_error() {
    let site = Site::new();
    let server = site.start(&["--log-level", "debug"]);
    let say = |said: &[u8]| {
        let mut connection = TcpStream::connect(address(&server)).unwrap();
        connection.write_all(said).unwrap();
        connection.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answer = Vec::new();
        let _ = connection.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    };
    let answer = say(ASKS.as_bytes());
    assert!(
        answer.starts_with("HTTP/1.1 400") && answer.contains("this port speaks HTTPS"),
        "{answer}"
    );
    assert!(say(b"nonsense").starts_with("HTTP/1.1 400"));
    say(b"");
    say(b"\x16\x03\x01\x00\x05nonsense");
    // A device that does not know the certificate.
    let (stranger, _) = made(|_| ());
    let refused = Device::of(vec![stranger.der()], rustls::DEFAULT_VERSIONS).say(&server, ASKS);
    assert!(refused.is_err());
    // One that hangs up without the farewell of TLS.
    let mut stream = site.device(&[]).connect(&server);
    stream.write_all(b"GET /health HTTP/1.1\r\nhost:").unwrap();
    drop(stream);
    site.device(&[]).ask(&server);
    let log = server.log();
    assert!(!log.contains("\"level\":\"ERROR\""), "{log}");
    assert!(log.contains("no TLS handshake"), "{log}");
}
