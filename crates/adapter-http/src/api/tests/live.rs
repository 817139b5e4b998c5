//! What goes on over a connection for a while: nudges and exports, over real sockets.

use std::net::{SocketAddr, TcpListener};

use actix_web::dev::ServerHandle;
use actix_web::rt;
use mosaic_ports::CommitListener;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;

/// Long enough for any machine: reached only by a failing test.
const PATIENCE: Duration = Duration::from_secs(20);
/// What ends an answer that has no length.
const END: &str = "0\r\n\r\n";

struct Server {
    address: SocketAddr,
    handle: ServerHandle,
    hub: Arc<Hub>,
    standing: Standing,
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.handle.stop(false));
    }
}

/// Serves these ports.
fn serve(ports: Ports) -> Server {
    serve_with(&settings(), ports)
}

fn settings() -> HttpSettings {
    HttpSettings {
        workers: 1,
        keep_alive: PATIENCE,
        head_timeout: PATIENCE,
        ..HttpSettings::default()
    }
}

fn serve_with(settings: &HttpSettings, ports: Ports) -> Server {
    let hub = Arc::clone(&ports.hub);
    let standing = ports.standing.clone();
    let state = state(ports);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = crate::start(settings, listener, state).unwrap();
    let handle = server.handle();
    rt::spawn(server);
    Server {
        address,
        handle,
        hub,
        standing,
    }
}

fn listening() -> Server {
    serve(at_fifty())
}

fn at_fifty() -> Ports {
    let standing = Standing::default();
    let mut feed = MockChangeFeed::new();
    let of_login = standing.clone();
    feed.expect_clock()
        .returning(move |_, _| Ok(of_login.get().map(|()| Stamp::clamped(50))));
    Ports {
        feed,
        standing,
        ..Ports::default()
    }
}

impl Server {
    /// Sends a request of somebody who is signed in.
    async fn ask(&self, method: &str, path: &str, headers: &str) -> Connection {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer user\r\naccept-encoding: gzip, br\r\n{headers}\r\n"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        Connection {
            stream,
            text: String::new(),
        }
    }

    async fn listen(&self) -> Connection {
        let mut connection = self.ask("GET", "/sync/events", "").await;
        connection.until("data: {\"clock\": 50}\n\n").await;
        connection
    }

    /// Waits until so many listen.
    async fn listeners(&self, count: usize) {
        let change = async {
            while self.hub.listeners() != count {
                rt::time::sleep(Duration::from_millis(1)).await;
            }
        };
        let waited = tokio::time::timeout(PATIENCE, change).await;
        assert!(waited.is_ok(), "{} listen", self.hub.listeners());
    }

    fn commit(&self, clock: i64) {
        self.hub
            .committed(UserId::new(Uuid::from_u128(1)), Stamp::clamped(clock));
    }
}

struct Connection {
    stream: TcpStream,
    text: String,
}

impl Connection {
    /// Reads until this text has come, and gives what came up to its end.
    async fn until(&mut self, text: &str) -> String {
        let read = async {
            loop {
                if let Some(found) = self.text.find(text) {
                    let rest = self.text.split_off(found + text.len());
                    return std::mem::replace(&mut self.text, rest);
                }
                assert!(self.more().await, "the connection ended: {}", self.text);
            }
        };
        let read = tokio::time::timeout(PATIENCE, read).await;
        read.unwrap_or_else(|_| panic!("{text} never came"))
    }

    /// Reads until the connection ends.
    async fn rest(&mut self) -> String {
        let read = async { while self.more().await {} };
        let ended = tokio::time::timeout(PATIENCE, read).await;
        assert!(ended.is_ok(), "the connection did not end");
        std::mem::take(&mut self.text)
    }

    async fn more(&mut self) -> bool {
        let mut bytes = [0; 4096];
        let count = self.stream.read(&mut bytes).await.unwrap_or(0);
        self.text.push_str(&String::from_utf8_lossy(&bytes[..count]));
        count > 0
    }
}

#[actix_web::test]
async fn n1_the_clock_is_told_on_connect_and_whenever_it_moves() {
    let server = listening();
    let mut phone = server.ask("GET", "/api/sync/events", "").await;
    let head = phone.until("\r\n\r\n").await.to_lowercase();
    assert!(head.starts_with("http/1.1 200"), "{head}");
    for header in [
        "content-type: text/event-stream\r\n",
        "cache-control: no-store\r\n",
        "x-accel-buffering: no\r\n",
    ] {
        assert!(head.contains(header), "{head}");
    }
    assert!(!head.contains("content-encoding"), "{head}");
    let first = phone.until("data: {\"clock\": 50}\n\n").await;
    let retry = first.find("retry: 3000\n").unwrap();
    let event = first.find("event: changed\nid: 50\n").unwrap();
    assert!(retry < event, "{first}");
    for clock in [60, 70] {
        server.commit(clock);
        let text = phone.until(&format!("data: {{\"clock\": {clock}}}\n\n")).await;
        assert!(text.contains(&format!("event: changed\nid: {clock}\n")), "{text}");
    }
}

#[actix_web::test]
async fn n1_who_knows_the_clock_hears_that_it_is_unchanged() {
    for (id, name) in [
        ("50", "unchanged"),
        ("49", "changed"),
        ("51", "changed"),
        ("soon", "changed"),
        ("-1", "changed"),
        ("99999999999999999999", "changed"),
    ] {
        let server = listening();
        let mut phone = server
            .ask("GET", "/sync/events", &format!("last-event-id: {id}\r\n"))
            .await;
        let first = phone.until("data: {\"clock\": 50}\n\n").await;
        assert!(
            first.contains(&format!("event: {name}\nid: 50\n")),
            "{id}: {first}"
        );
        server.commit(60);
        let next = phone.until("data: {\"clock\": 60}\n\n").await;
        assert!(next.contains("event: changed\n"), "{next}");
    }
}

#[actix_web::test]
async fn n1_a_connection_that_lives_outlasts_the_limits_for_silent_ones() {
    let (keep_alive, head_timeout) = (Duration::from_millis(100), Duration::from_secs(1));
    let short = HttpSettings {
        keep_alive,
        head_timeout,
        ..settings()
    };
    let server = serve_with(&short, at_fifty());
    let mut phone = server.listen().await;
    // The limits and half as long again.
    let heartbeats = (keep_alive + head_timeout).as_millis() / HEARTBEAT.as_millis() * 3 / 2;
    for _ in 0..heartbeats {
        phone.until(": heartbeat\n\n").await;
    }
    server.commit(60);
    phone.until("data: {\"clock\": 60}\n\n").await;
}

#[actix_web::test]
async fn n1_who_hangs_up_listens_no_more_and_only_so_many_do() {
    let server = listening();
    let phone = server.listen().await;
    let tablet = server.listen().await;
    server.listeners(LISTENERS).await;
    let refusal = server
        .ask("GET", "/sync/events", "connection: close\r\n")
        .await
        .rest()
        .await;
    assert!(refusal.starts_with("HTTP/1.1 429"), "{refusal}");
    assert!(refusal.contains("\"too_many_listeners\""), "{refusal}");
    assert!(
        refusal.to_lowercase().contains("retry-after: 30\r\n"),
        "{refusal}"
    );
    drop(phone);
    server.listeners(1).await;
    let laptop = server.listen().await;
    drop((tablet, laptop));
    server.listeners(0).await;
}

#[actix_web::test]
async fn n1_the_stream_ends_with_its_login_and_with_the_server() {
    // Nobody tells of it, and a heartbeat finds out.
    for refusal in [LoginRefusal::Ended, LoginRefusal::PasswordChangeRequired] {
        let server = listening();
        let mut phone = server.listen().await;
        server.standing.set(refusal);
        assert!(phone.until(END).await.ends_with(END));
        server.listeners(0).await;
    }

    let server = listening();
    let mut phone = server.listen().await;
    server.hub.close();
    phone.until(END).await;
}

#[actix_web::test]
async fn n1_the_stream_ends_at_once_with_its_login() {
    let server = serve(Ports {
        heartbeat: Duration::from_hours(1),
        ..at_fifty()
    });
    let mut phone = server.listen().await;
    server.hub.logins_ended(UserId::new(Uuid::from_u128(1)));
    server.commit(60);
    phone.until("data: {\"clock\": 60}").await;
    server.standing.set(LoginRefusal::Ended);
    server.hub.logins_ended(UserId::new(Uuid::from_u128(1)));
    server.commit(70);
    let rest = phone.until(END).await;
    assert!(!rest.contains("70"), "{rest}");
}

#[actix_web::test]
async fn n1_a_store_that_fails_ends_the_stream() {
    let mut ports = Ports::default();
    ports
        .feed
        .expect_clock()
        .returning(|_, _| Err(StoreError::Failed("broken".into())));
    let server = serve(ports);
    let mut phone = server.ask("GET", "/sync/events", "").await;
    let text = phone.until(END).await;
    assert!(
        text.contains("retry: 3000\n") && !text.contains("event:"),
        "{text}"
    );
    server.listeners(0).await;
}

#[actix_web::test]
async fn n1_a_stream_waits_for_a_store_that_is_away() {
    let mut ports = Ports {
        heartbeat: Duration::from_millis(20),
        ..Ports::default()
    };
    let mut failures = 3;
    ports.feed.expect_clock().returning(move |_, _| {
        failures -= 1;
        if failures >= 0 {
            return Err(StoreError::Unavailable("gone".into()));
        }
        Ok(Ok(Stamp::clamped(50)))
    });
    let server = serve(ports);
    let mut phone = server.ask("GET", "/sync/events", "").await;
    let text = phone.until("data: {\"clock\": 50}").await;
    assert!(text.contains("event: changed"), "{text}");
}

#[actix_web::test]
async fn the_head_of_an_endless_answer_is_answered_alone() {
    let server = serve(exporting(Vec::new()));
    for path in ["/sync/events", "/account/export"] {
        let text = server
            .ask("HEAD", path, "connection: close\r\n")
            .await
            .rest()
            .await;
        assert!(
            text.starts_with("HTTP/1.1 200") && text.ends_with("\r\n\r\n"),
            "{text}"
        );
    }
    assert_eq!(server.hub.listeners(), 0);
}

#[actix_web::test]
async fn an_export_that_fails_half_way_is_cut_short() {
    let pages = vec![Ok(vec![large()]), Err(StoreError::Failed("secret".into()))];
    let text = serve(exporting(pages))
        .ask("GET", "/account/export", "")
        .await
        .rest()
        .await;
    let length = text.len();
    assert!(
        text.starts_with("HTTP/1.1 200") && text.contains("{\"header\""),
        "{length}"
    );
    assert!(!text.ends_with(END) && !text.contains("secret"), "{length}");
}
