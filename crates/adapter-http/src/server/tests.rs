//! The infrastructure over real sockets: what a client sees of it, good and bad.

use std::net::{SocketAddr, TcpListener};
use std::sync::Mutex;

use actix_web::dev::ServerHandle;
use actix_web::{HttpResponse, rt};
use mosaic_domain::Violation;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use utoipa::ToSchema;
use uuid::Uuid;

use super::*;

mod docs;
mod figures;
mod invite;
mod log;
mod slow;
mod wire;

use crate::body::JsonBody;
use crate::health;
use crate::query::Key;
use crate::routes::Endpoint;

/// Long enough for any machine: reached only by a failing test.
const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Debug, Serialize, Deserialize, ToSchema)]
struct Echo {
    text: String,
}

/// Lets a test hold a request inside its handler.
#[derive(Default)]
struct Gate {
    entered: Notify,
    open: Notify,
}

#[derive(Debug)]
struct Word;

impl crate::value::Value for Word {
    type Sent = String;
    type Schema = String;

    fn read(text: String) -> Result<Self, Violation> {
        if text == "word" {
            Ok(Self)
        } else {
            Err(Violation::new("invalid_value", "must be a word"))
        }
    }
}

fn table() -> RouteTable {
    RouteTable::new(health::endpoints().into_iter().take(1)).and([
        Endpoint::post("/echo", "echo", |body: JsonBody<Echo>| async {
            web::Json(body.0)
        })
        .body::<Echo>()
        .returns::<Echo>("the same"),
        Endpoint::get("/items/special", "special", || async { "special" }),
        Endpoint::get("/items/{id}", "item", |_: Key<Word>| async { "item" }),
        Endpoint::put("/items/{id}", "putItem", || async { "put" }),
        Endpoint::get("/panic", "panic", || async {
            panic!("secret of the inside") as &str
        }),
        Endpoint::get("/broken", "broken", || async {
            HttpResponse::InternalServerError().body("secret")
        }),
        Endpoint::get("/large", "large", || async { web::Json("long ".repeat(2000)) }),
        Endpoint::get("/bytes", "bytes", || async {
            HttpResponse::Ok()
                .content_type("application/octet-stream")
                .body("long ".repeat(2000))
        }),
        Endpoint::get("/held", "held", |gate: web::Data<Gate>| async move {
            gate.entered.notify_one();
            gate.open.notified().await;
            "finished"
        }),
    ])
}

struct Running {
    address: SocketAddr,
    handle: ServerHandle,
    gate: web::Data<Gate>,
    figures: HttpFigures,
    ended: rt::task::JoinHandle<io::Result<()>>,
}

fn settings() -> HttpSettings {
    HttpSettings {
        workers: 1,
        keep_alive: PATIENCE,
        head_timeout: PATIENCE,
        ..HttpSettings::default()
    }
}

fn run(settings: &HttpSettings) -> Running {
    let gate = web::Data::new(Gate::default());
    let shared = gate.clone();
    let figures = HttpFigures::default();
    let site = Site {
        table: Arc::new(table),
        data: Arc::new(move |config| {
            config.app_data(shared.clone());
        }),
        request_ids: RequestIdSource::new(|| Uuid::from_u128(7)),
        figures: figures.clone(),
    };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = start_site(settings, vec![Listener::Tcp(listener)], None, &site).unwrap();
    Running {
        address,
        handle: server.handle(),
        gate,
        figures,
        ended: rt::spawn(server),
    }
}

#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(": ")?;
            key.eq_ignore_ascii_case(name).then_some(value)
        })
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

impl Running {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Sends a request as it stands, and reads until the server closes.
    async fn raw(&self, request: &str) -> Answer {
        let mut stream = self.connect().await;
        stream.write_all(request.as_bytes()).await.unwrap();
        read_answer(&mut stream).await
    }

    async fn request(&self, method: &str, path: &str, headers: &str, body: &str) -> Answer {
        let length = if body.is_empty() {
            String::new()
        } else {
            format!("content-length: {}\r\n", body.len())
        };
        self.raw(&format!(
            "{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{length}{headers}\r\n{body}"
        ))
        .await
    }

    async fn get(&self, path: &str) -> Answer {
        self.request("GET", path, "", "").await
    }
}

async fn read_to_end(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    // A reset after the answer is also an end.
    let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut bytes)).await;
    assert!(read.is_ok(), "the server did not close the connection");
    bytes
}

async fn read_answer(stream: &mut TcpStream) -> Answer {
    let bytes = read_to_end(stream).await;
    let split = bytes
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .unwrap_or_else(|| {
            panic!("no head in {:?}", String::from_utf8_lossy(&bytes));
        });
    let head = String::from_utf8(bytes[..split].to_vec()).unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let body = bytes[split + 4..].to_vec();
    Answer { status, head, body }
}

fn assert_problem(answer: &Answer, status: u16, code: &str) {
    assert_eq!(answer.status, status, "{answer:?}");
    assert_eq!(
        answer.header("content-type"),
        Some(problem::CONTENT_TYPE),
        "{answer:?}"
    );
    let body = answer.json();
    assert_eq!(body["code"], code);
    assert_eq!(body["status"], status);
    assert!(body["title"].is_string() && body["detail"] == body["error"]);
}

#[actix_web::test]
async fn health_answers_below_both_roots() {
    let server = run(&settings());
    for path in ["/health", "/api/health"] {
        let answer = server.get(path).await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.json()["status"], "ok");
        assert_eq!(answer.json()["version"], env!("CARGO_PKG_VERSION"));
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
    }
    let head = server.request("HEAD", "/health", "", "").await;
    assert_eq!((head.status, head.body.len()), (200, 0));
}

#[actix_web::test]
async fn every_error_is_problem_json() {
    let server = run(&settings());
    assert_problem(&server.get("/nowhere").await, 404, "unknown_route");
    assert_problem(&server.get("/api/nowhere").await, 404, "unknown_route");
    assert_problem(&server.get("/docs/nowhere").await, 404, "unknown_route");
    assert_problem(&server.get("/items/%00").await, 422, "validation_failed");
    assert_problem(
        &server.request("POST", "/echo", "", "{").await,
        400,
        "malformed_json",
    );
    assert_problem(
        &server.request("POST", "/echo", "", "{\"text\": 1}").await,
        422,
        "validation_failed",
    );
    let plain = server
        .request("POST", "/echo", "content-type: text/plain\r\n", "{}")
        .await;
    assert_problem(&plain, 415, "unsupported_media_type");
    let wrong = server.request("DELETE", "/items/1", "", "").await;
    assert_problem(&wrong, 405, "method_not_allowed");
    assert_eq!(wrong.header("allow"), Some("GET, HEAD, PUT"));
    let path = server.get("/items/sword").await.json();
    assert_eq!(path["errors"][0]["path"], "id");
}

#[actix_web::test]
async fn plain_words_win_over_parameters() {
    let server = run(&settings());
    assert_eq!(server.get("/items/special").await.body, b"special");
    assert_eq!(server.get("/items/word").await.body, b"item");
}

#[actix_web::test]
async fn a_panic_and_a_foreign_500_tell_nothing_but_their_request_id() {
    let server = run(&settings());
    for path in ["/panic", "/broken", "/api/panic"] {
        let answer = server.get(path).await;
        assert_problem(&answer, 500, "internal");
        assert_eq!(answer.json()["requestId"].as_str(), answer.header("x-request-id"));
        assert!(!String::from_utf8_lossy(&answer.body).contains("secret"));
    }
    assert_eq!(server.get("/health").await.status, 200);
}

#[actix_web::test]
async fn request_ids_are_made_or_taken_over() {
    let server = run(&settings());
    let made = server.get("/nowhere").await;
    assert_eq!(
        made.header("x-request-id"),
        Some("00000000-0000-0000-0000-000000000007")
    );
    let taken = server
        .request("GET", "/health", "x-request-id: mine-1\r\n", "")
        .await;
    assert_eq!(taken.header("x-request-id"), Some("mine-1"));
}

#[actix_web::test]
async fn large_json_is_packed_and_nothing_else() {
    let server = run(&settings());
    let accept = "accept-encoding: gzip\r\n";
    let packed = server.request("GET", "/large", accept, "").await;
    assert_eq!(packed.header("content-encoding"), Some("gzip"));
    assert_eq!(packed.header("vary"), Some("accept-encoding"));
    assert!(packed.body.len() < 2000);
    assert_eq!(
        server
            .request("GET", "/health", accept, "")
            .await
            .header("content-encoding"),
        None
    );
    let bytes = server.request("GET", "/bytes", accept, "").await;
    assert_eq!(
        (bytes.header("content-encoding"), bytes.header("content-length")),
        (None, Some("10000"))
    );
    let plain = server.get("/large").await;
    assert_eq!(
        (plain.header("content-encoding"), plain.body.len()),
        (None, 10_002)
    );
}

#[actix_web::test]
async fn cors_is_closed_until_origins_are_named() {
    let preflight = "origin: https://notes.example\r\naccess-control-request-method: POST\r\n";
    let closed = run(&settings());
    let answer = closed.request("OPTIONS", "/echo", preflight, "").await;
    assert_problem(&answer, 405, "method_not_allowed");
    assert_eq!(answer.header("access-control-allow-origin"), None);

    let open = run(&HttpSettings {
        cors_origins: vec!["https://notes.example".into()],
        ..settings()
    });
    let answer = open.request("OPTIONS", "/echo", preflight, "").await;
    assert_eq!(answer.status, 200);
    assert_eq!(
        answer.header("access-control-allow-origin"),
        Some("https://notes.example")
    );
    let other = open
        .request("GET", "/health", "origin: https://elsewhere.example\r\n", "")
        .await;
    assert_eq!(other.header("access-control-allow-origin"), None);
    let foreign = preflight.replace("notes", "elsewhere");
    assert_problem(
        &open.request("OPTIONS", "/echo", &foreign, "").await,
        400,
        "bad_request",
    );
}

#[actix_web::test]
async fn web_pages_send_what_their_libraries_add() {
    let server = run(&HttpSettings {
        cors_origins: vec!["https://notes.example".into()],
        ..settings()
    });
    let preflight = async |name: &str| {
        let asks = format!(
            "origin: https://notes.example\r\naccess-control-request-method: POST\r\n\
             access-control-request-headers: {name}\r\n"
        );
        server.request("OPTIONS", "/echo", &asks, "").await.status
    };
    for name in [
        "x-requested-with",
        "cache-control",
        "traceparent",
        "baggage",
        "sentry-trace",
        "idempotency-key",
        "content-encoding",
    ] {
        assert_eq!(preflight(name).await, 200, "{name}");
    }
    assert_eq!(preflight("x-forwarded-for").await, 400);
    let answer = server
        .request("GET", "/health", "origin: https://notes.example\r\n", "")
        .await;
    let exposed = answer.header("access-control-expose-headers").unwrap_or_default();
    for name in [
        "etag",
        "retry-after",
        "x-request-id",
        "link",
        "upload-offset",
        "location",
    ] {
        assert!(exposed.to_lowercase().contains(name), "{name} in {exposed}");
    }
}

#[actix_web::test]
async fn a_path_that_is_longer_than_any_is_not_looked_up() {
    let server = run(&settings());
    let fits = format!("/nowhere/{}", "a".repeat(1_015));
    assert_problem(&server.get(&fits).await, 404, "unknown_route");
    assert_problem(&server.get(&format!("{fits}a")).await, 414, "uri_too_long");
    let query = format!("/health?{}", "a".repeat(2_000));
    assert_eq!(server.get(&query).await.status, 200);
}
