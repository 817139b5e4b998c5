//! The line that each request has in the log.

use actix_web::HttpRequest;
use actix_web::test::{TestRequest, call_service, init_service};

use super::*;
use crate::problem::{Problem, ProblemCode};

#[derive(Clone, Default)]
struct Buffer(Arc<Mutex<Vec<u8>>>);

impl io::Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The whole log of these requests, and the lines of the access log in it. Lines are written on the worker's thread: the layers
/// are driven here, on the test's own.
async fn logged(routes: fn() -> RouteTable, requests: &[TestRequestOf]) -> (String, Vec<Value>) {
    let buffer = Buffer::default();
    let writer = buffer.clone();
    let subscriber = tracing_subscriber::fmt()
        .json()
        .with_max_level(tracing::Level::DEBUG)
        .with_writer(move || writer.clone())
        .finish();
    let site = Site {
        table: Arc::new(routes),
        data: Arc::new(|_| ()),
        request_ids: RequestIdSource::new(Uuid::nil),
        figures: HttpFigures::default(),
    };
    let document = Document::of(RouteTable::default);
    let settings = HttpSettings {
        trust_proxy: true,
        ..settings()
    };
    let service = init_service(app(&settings, &site, &document)).await;
    let _guard = tracing::subscriber::set_default(subscriber);
    // A test beside this one may be the first to log: until `tracing` knows of both it takes these lines for wanted by nobody.
    while buffer.0.lock().unwrap().is_empty() {
        tracing::callsite::rebuild_interest_cache();
        call_service(&service, TestRequest::get().uri("/warming-up").to_request()).await;
    }
    tracing::callsite::rebuild_interest_cache();
    buffer.0.lock().unwrap().clear();
    for request in requests {
        call_service(&service, request().to_request()).await;
    }
    let text = String::from_utf8(buffer.0.lock().unwrap().clone()).unwrap();
    let lines = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .filter(|line: &Value| line["target"] == access_log::TARGET)
        .collect();
    (text, lines)
}

type TestRequestOf = fn() -> TestRequest;

async fn item(request: HttpRequest) -> &'static str {
    access_log::note_user(&request, &"anna");
    access_log::note_client(&request, &"phone");
    "the answer"
}

#[actix_web::test]
async fn one_line_per_request_and_no_secrets_in_it() {
    let request = || {
        TestRequest::get()
            .uri("/api/items/5?token=query-secret")
            .peer_addr("192.0.2.1:1".parse().unwrap())
            .insert_header(("x-forwarded-for", "198.51.100.7, 203.0.113.9"))
            .insert_header(("authorization", "Bearer header-secret"))
    };
    let routes = || RouteTable::new([Endpoint::get("/items/{id}", "item", item)]);
    let (text, lines) = logged(routes, &[request]).await;
    let [line] = lines.as_slice() else {
        panic!("{text}")
    };
    let fields = &line["fields"];
    assert_eq!(fields["client_addr"], "203.0.113.9", "as the trusted proxy says");
    assert_eq!(fields["method"], "GET");
    assert_eq!(fields["path"], "/api/items/5");
    assert_eq!(fields["route"], "/api/items/{id}");
    assert_eq!(fields["status"], 200);
    assert_eq!(
        (&fields["user_id"], &fields["client_id"]),
        (&"anna".into(), &"phone".into())
    );
    assert_eq!(fields["request_id"], "00000000-0000-0000-0000-000000000000");
    assert!(fields["duration_ms"].is_number());
    assert!(!text.contains("secret") && !text.contains("the answer"), "{text}");
}

async fn fails(request: HttpRequest) -> Result<&'static str, Problem> {
    let code = match request.match_info().query("how") {
        "conflict" => ProblemCode::UsernameTaken,
        "busy" => ProblemCode::Busy,
        "full" => ProblemCode::StorageFull,
        _ => return Err(Problem::internal("a bug")),
    };
    Err(Problem::new(code, "no"))
}

async fn login(request: HttpRequest) -> Result<&'static str, Problem> {
    access_log::note_refused_login(&request, request.match_info().query("name"));
    Err(Problem::new(ProblemCode::BadCredentials, "no"))
}

#[actix_web::test]
async fn the_level_says_how_it_went_and_a_refused_login_for_whom_it_was() {
    let routes = || {
        RouteTable::new(health::endpoints().into_iter().take(1)).and([
            Endpoint::get("/items/{id}", "item", item),
            Endpoint::get("/fails/{how}", "fails", fails).problems(&[
                ProblemCode::UsernameTaken,
                ProblemCode::Busy,
                ProblemCode::StorageFull,
            ]),
            Endpoint::get("/login/{name}", "login", login).problems(&[ProblemCode::BadCredentials]),
        ])
    };
    let to: [(&str, TestRequestOf, u16, &str, Option<&str>); 10] = [
        (
            "DEBUG",
            || TestRequest::get().uri("/health"),
            200,
            "request",
            None,
        ),
        (
            "DEBUG",
            || TestRequest::get().uri("/api/health"),
            200,
            "request",
            None,
        ),
        (
            "INFO",
            || TestRequest::get().uri("/items/1"),
            200,
            "request",
            None,
        ),
        (
            "WARN",
            || TestRequest::get().uri("/nowhere"),
            404,
            "request",
            None,
        ),
        (
            "WARN",
            || TestRequest::get().uri("/fails/conflict"),
            409,
            "request",
            None,
        ),
        (
            "WARN",
            || TestRequest::get().uri("/fails/busy"),
            503,
            "request",
            None,
        ),
        (
            "ERROR",
            || TestRequest::get().uri("/fails/full"),
            507,
            "request",
            None,
        ),
        (
            "ERROR",
            || TestRequest::get().uri("/fails/else"),
            500,
            "request",
            None,
        ),
        (
            "WARN",
            || TestRequest::get().uri("/login/anna"),
            401,
            "login refused",
            Some("anna"),
        ),
        (
            "WARN",
            || TestRequest::get().uri("/login/two%20words"),
            401,
            "login refused",
            Some("-"),
        ),
    ];
    let requests = to.map(|(_, request, ..)| request);
    let (text, lines) = logged(routes, &requests).await;
    assert_eq!(lines.len(), to.len(), "{text}");
    for (line, (level, _, status, message, account)) in lines.iter().zip(to) {
        let fields = &line["fields"];
        let found = (
            line["level"].as_str(),
            fields["status"].as_u64(),
            fields["message"].as_str(),
        );
        assert_eq!(found, (Some(level), Some(status.into()), Some(message)), "{line}");
        assert_eq!(fields["account"].as_str(), account, "{line}");
    }
}
