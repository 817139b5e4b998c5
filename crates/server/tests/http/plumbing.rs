//! What every answer has in common: health, request ids, compression, CORS, headers, the document and its page.

use std::collections::BTreeSet;
use std::io::Read;

use reqwest::header::HeaderMap;
use reqwest::{Method, Response};
use serde_json::{Value, json};

use crate::harness::{Client, Server};
use crate::kinds::{DIARY, KINDS, MEMO, names};

#[tokio::test(flavor = "multi_thread")]
async fn health_needs_no_login() {
    let server = Server::start();
    let anonymous = server.anonymous();
    for root in ["", "/api"] {
        let health = anonymous.get(&format!("{root}/health")).await.ok();
        assert_eq!(
            health,
            json!({"status": "ok", "version": env!("CARGO_PKG_VERSION")})
        );
        let ready = anonymous.get(&format!("{root}/health/ready")).await.ok();
        assert_eq!(ready["status"], "ready");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_has_a_request_id_which_a_client_may_choose() {
    let server = Server::start();
    let anonymous = server.anonymous();
    let id_of = |path: &'static str, sent: Option<&'static str>| {
        let anonymous = anonymous.clone();
        async move {
            let request = anonymous.request(Method::GET, path);
            let request = match sent {
                Some(id) => request.header("x-request-id", id),
                None => request,
            };
            let answer = anonymous.send(request).await;
            answer.headers["x-request-id"].to_str().unwrap().to_owned()
        }
    };
    assert_eq!(id_of("/health", Some("trace-1.a_B")).await, "trace-1.a_B");
    assert_eq!(id_of("/nothing", Some("trace-2")).await, "trace-2");
    let mut made = BTreeSet::new();
    for unsafe_id in ["", "two words", "<script>", "a\"b", &*"x".repeat(65).leak()] {
        let id = id_of("/memos", Some(unsafe_id)).await;
        id.parse::<uuid::Uuid>().expect("a new one");
        assert!(made.insert(id));
    }
    id_of("/health", None)
        .await
        .parse::<uuid::Uuid>()
        .expect("a new one");
}

/// The answer to a `GET` with these headers, unread.
async fn get_with(client: &Client, path: &str, headers: &[(&str, &str)]) -> Response {
    let mut request = client.request(Method::GET, path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.send().await.expect("an answer")
}

async fn unpacked(
    response: Response,
    reader: impl FnOnce(std::io::Cursor<Vec<u8>>) -> Box<dyn Read>,
) -> Value {
    let packed = response.bytes().await.expect("a body").to_vec();
    serde_json::from_reader(reader(std::io::Cursor::new(packed))).expect("JSON inside")
}

#[tokio::test(flavor = "multi_thread")]
async fn json_is_packed_for_those_who_ask() {
    let server = Server::start();
    let phone = server.device("phone").await;
    MEMO.create(&phone, 1, &"again and ".repeat(1_000), &json!({}))
        .await
        .ok();
    let path = MEMO.path(1);
    let plain = get_with(&phone, &path, &[]).await;
    assert_eq!(plain.headers().get("content-encoding"), None);
    assert_eq!(plain.headers()["vary"], "accept-encoding");
    let plain: Value = plain.json().await.unwrap();
    let gzip = get_with(&phone, &path, &[("accept-encoding", "gzip")]).await;
    assert_eq!(gzip.headers()["content-encoding"], "gzip");
    assert_eq!(
        unpacked(gzip, |packed| Box::new(flate2::read::GzDecoder::new(packed))).await,
        plain
    );
    let browser = get_with(&phone, &path, &[("accept-encoding", "gzip, deflate, br, zstd")]).await;
    assert_eq!(browser.headers()["content-encoding"], "gzip");
    for (path, accepted) in [
        ("/health", "gzip"),
        (&*path, "zstd"),
        (&*path, "gzip;q=0"),
        (&*path, "identity"),
    ] {
        let response = get_with(&phone, path, &[("accept-encoding", accepted)]).await;
        assert_eq!(
            response.headers().get("content-encoding"),
            None,
            "{path} for {accepted}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_has_the_headers_that_browsers_heed() {
    let server = Server::start();
    let anonymous = server.anonymous();
    for path in ["/health", "/memos", "/nothing", "/openapi.json", "/docs/"] {
        let response = get_with(&anonymous, path, &[]).await;
        let headers = response.headers();
        assert_eq!(headers["x-content-type-options"], "nosniff", "{path}");
        assert_eq!(headers["x-frame-options"], "DENY", "{path}");
        assert_eq!(headers["referrer-policy"], "no-referrer", "{path}");
        assert_eq!(headers["cache-control"], "no-store", "{path}");
        let policy = headers["content-security-policy"].to_str().unwrap();
        assert!(policy.contains("frame-ancestors 'none'"), "{path}: {policy}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn head_answers_as_get_without_a_body() {
    let server = Server::start();
    let phone = server.device("phone").await;
    MEMO.create(&phone, 1, "one", &json!({})).await.ok();
    for path in [
        "/health",
        "/memos",
        &MEMO.path(1),
        "/memos/tags",
        "/auth/me",
        "/openapi.json",
    ] {
        let get = phone.get(path).await;
        let head = phone.send(phone.request(Method::HEAD, path)).await;
        assert_eq!((head.status, &head.body), (get.status, &Value::Null), "{path}");
        assert_eq!(
            head.headers["content-type"], get.headers["content-type"],
            "{path}"
        );
        assert_eq!(
            head.headers["content-length"], get.headers["content-length"],
            "{path}"
        );
    }
    let nobody = phone.send(phone.request(Method::HEAD, &MEMO.path(2))).await;
    assert_eq!(nobody.status, 404);
}

async fn preflight(client: &Client, origin: &str, method: &str) -> HeaderMap {
    let request = client
        .request(Method::OPTIONS, "/memos")
        .header("origin", origin)
        .header("access-control-request-method", method)
        .header(
            "access-control-request-headers",
            "authorization, content-type, x-client-id, x-client-time",
        );
    client.send(request).await.headers
}

#[tokio::test(flavor = "multi_thread")]
async fn web_pages_may_call_only_where_the_operator_says_so() {
    const APP: &str = "https://app.example.org";
    const ALLOWED: &str = "access-control-allow-origin";
    let closed = Server::start();
    assert_eq!(
        preflight(&closed.anonymous(), APP, "GET").await.get(ALLOWED),
        None
    );
    let answer = get_with(&closed.anonymous(), "/health", &[("origin", APP)]).await;
    assert_eq!(answer.headers().get(ALLOWED), None);

    let open = Server::start_with(&["--cors-allowed-origins", APP]);
    let anonymous = open.anonymous();
    for method in ["GET", "POST", "PUT", "PATCH", "DELETE"] {
        let headers = preflight(&anonymous, APP, method).await;
        assert_eq!(headers[ALLOWED], APP);
        assert!(
            headers["access-control-allow-methods"]
                .to_str()
                .unwrap()
                .contains(method)
        );
        let named = headers["access-control-allow-headers"]
            .to_str()
            .unwrap()
            .to_lowercase();
        assert!(
            named.contains("x-client-id") && named.contains("authorization"),
            "{named}"
        );
    }
    for path in ["/health", "/memos", "/nothing"] {
        let answer = get_with(&anonymous, path, &[("origin", APP)]).await;
        assert_eq!(
            answer.headers()[ALLOWED],
            APP,
            "{path}: problems have to be readable, too"
        );
    }
    for stranger in [
        "https://evil.example",
        "https://app.example.org.evil.example",
        "http://app.example.org",
        "null",
    ] {
        assert_eq!(
            preflight(&anonymous, stranger, "GET").await.get(ALLOWED),
            None,
            "{stranger}"
        );
        let answer = get_with(&anonymous, "/health", &[("origin", stranger)]).await;
        assert_eq!(answer.headers().get(ALLOWED), None, "{stranger}");
    }

    let any = Server::start_with(&["--cors-allowed-origins", "*"]);
    let answer = get_with(&any.anonymous(), "/health", &[("origin", APP)]).await;
    assert!(answer.headers().contains_key(ALLOWED));
    assert_eq!(answer.headers().get("access-control-allow-credentials"), None);
}

/// The routes that the protocol promises.
const ROUTES: [&str; 80] = [
    "DELETE /admin/invites/{id}",
    "DELETE /admin/users/{id}",
    "DELETE /bots/{id}",
    "DELETE /devices/{clientId}",
    "DELETE /diaries/{date}",
    "DELETE /memos/{id}",
    "DELETE /resources/{id}",
    "DELETE /uploads/{id}",
    "GET /account/activity",
    "GET /account/export",
    "GET /admin/invites",
    "GET /admin/users",
    "GET /auth/me",
    "GET /avatars/{id}/download",
    "GET /bots",
    "GET /bots/{id}",
    "GET /bots/{id}/revisions",
    "GET /bots/{id}/revisions/{revision}",
    "GET /devices",
    "GET /diaries",
    "GET /diaries/{date}",
    "GET /diaries/{date}/revisions",
    "GET /diaries/{date}/revisions/{revision}",
    "GET /health",
    "GET /health/ready",
    "GET /memos",
    "GET /memos/date/{date}",
    "GET /memos/search",
    "GET /memos/tags",
    "GET /memos/{id}",
    "GET /memos/{id}/revisions",
    "GET /memos/{id}/revisions/{revision}",
    "GET /resources",
    "GET /resources/{id}",
    "GET /resources/{id}/download",
    "GET /resources/{id}/revisions",
    "GET /resources/{id}/revisions/{revision}",
    "GET /resources/{id}/thumbnail",
    "GET /sync/digest",
    "GET /sync/events",
    "HEAD /uploads/{id}",
    "OPTIONS /uploads",
    "OPTIONS /uploads/{id}",
    "PATCH /admin/users/{id}",
    "PATCH /uploads/{id}",
    "POST /admin/invites",
    "POST /admin/users",
    "POST /auth/change-password",
    "POST /auth/invite",
    "POST /auth/login",
    "POST /auth/logout",
    "POST /auth/refresh",
    "POST /auth/register",
    "POST /auth/tickets",
    "POST /bots",
    "POST /bots/{id}/revisions/{revision}/restore",
    "POST /diaries/{date}",
    "POST /diaries/{date}/revisions/{revision}/restore",
    "POST /memos",
    "POST /memos/{id}/revisions/{revision}/restore",
    "POST /resources",
    "POST /resources/confirm-upload",
    "POST /resources/presigned-upload",
    "POST /resources/upload",
    "POST /resources/upload-avatar",
    "POST /resources/{id}/revisions/{revision}/restore",
    "POST /sync/pull",
    "POST /sync/push",
    "POST /uploads",
    "POST /uploads/{id}",
    "PUT /auth/update-user",
    "PUT /bots/reorder",
    "PUT /bots/{id}",
    "PUT /diaries/{date}",
    "PUT /diaries/{date}/mood",
    "PUT /diaries/{date}/summary",
    "PUT /memos/{id}",
    "PUT /memos/{id}/archive",
    "PUT /memos/{id}/unarchive",
    "PUT /resources/{id}",
];

/// The operations of the document, as `METHOD /path`.
fn operations(document: &Value) -> BTreeSet<String> {
    let paths = document["paths"].as_object().unwrap();
    let methods = |(path, item): (&String, &Value)| -> Vec<String> {
        names(item)
            .iter()
            .map(|method| format!("{} {path}", method.to_uppercase()))
            .collect()
    };
    paths.iter().flat_map(methods).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_document_is_openapi_3_1_and_has_exactly_the_promised_routes() {
    let server = Server::start();
    let document = server.anonymous().get("/openapi.json").await.ok();
    assert!(
        document["openapi"].as_str().unwrap().starts_with("3.1."),
        "{}",
        document["openapi"]
    );
    let promised: BTreeSet<String> = ROUTES.map(str::to_owned).into();
    assert_eq!(operations(&document), promised);
    let mut ids = BTreeSet::new();
    for item in document["paths"].as_object().unwrap().values() {
        for operation in item.as_object().unwrap().values() {
            let id = operation["operationId"].as_str().expect("an operationId");
            assert!(ids.insert(id), "{id} twice");
            assert!(operation["summary"].is_string(), "{id} has no summary");
        }
    }
    assert_references_resolve(&document, &document);
    assert_eq!(server.anonymous().get("/api/openapi.json").await.ok(), document);
}

/// Every `$ref` of the document leads somewhere.
fn assert_references_resolve(document: &Value, part: &Value) {
    if let Some(reference) = part["$ref"].as_str() {
        let pointer = reference
            .strip_prefix('#')
            .expect("a reference within the document");
        assert!(document.pointer(pointer).is_some(), "{reference} leads nowhere");
    }
    let members: Vec<&Value> = match part {
        Value::Array(items) => items.iter().collect(),
        Value::Object(members) => members.values().collect(),
        _ => Vec::new(),
    };
    for member in members {
        assert_references_resolve(document, member);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_documented_route_answers_below_both_roots() {
    let server = Server::start();
    let phone = server.device("phone").await;
    for kind in KINDS {
        kind.create(&phone, 1, "one", &json!({})).await.ok();
    }
    for root in ["", "/api"] {
        for route in ROUTES {
            let (method, path) = route.split_once(' ').unwrap();
            let path = path
                .replace("{id}", &MEMO.key(1))
                .replace("{date}", &DIARY.key(1))
                .replace("{revision}", &MEMO.key(9))
                .replace("{clientId}", "nobody");
            // A stream has no end: only its head is asked for.
            let method = if path == "/sync/events" { "HEAD" } else { method };
            let answer = phone
                .raw(&method.parse().unwrap(), &format!("{root}{path}"), "{}")
                .await;
            let code = answer.body["code"].as_str().unwrap_or_default().to_owned();
            assert!(
                !["unknown_route", "method_not_allowed", "internal"].contains(&&*code),
                "{route}: {code}"
            );
            let reads = method == "GET" && !answer.status.is_success();
            assert!(
                !reads || ["not_found", "deleted", "not_uploaded"].contains(&&*code),
                "{route}: {} {}",
                answer.status,
                answer.body
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn api_is_a_second_root_of_the_same_records() {
    let server = Server::start();
    let phone = server.device("phone").await;
    for kind in KINDS {
        let path = format!("/api{}", kind.create_path(1));
        let created = phone.post(&path, &kind.body(1, "one")).await.ok();
        assert_eq!(kind.create(&phone, 1, "one", &json!({})).await.ok(), created);
        let read = phone.get(&format!("/api{}", kind.path(1))).await.ok();
        assert_eq!(read, kind.get(&phone, 1).await);
    }
    let pull = json!({"clientId": "phone"});
    let below_api = phone.post("/api/sync/pull", &pull).await.ok();
    let below_root = phone.post("/sync/pull", &pull).await.ok();
    assert_eq!(
        [&below_api["changes"], &below_api["cursors"]],
        [&below_root["changes"], &below_root["cursors"]]
    );
}

/// The addresses that a page of HTML names in `src` and `href`.
fn addresses(html: &str) -> Vec<&str> {
    ["src=\"", "href=\""]
        .into_iter()
        .flat_map(|attribute| html.split(attribute).skip(1))
        .filter_map(|rest| rest.split('"').next())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_of_the_document_loads_nothing_from_elsewhere() {
    let server = Server::start();
    let anonymous = server.anonymous();
    for root in ["", "/api"] {
        // The client follows the redirect from `/docs` to `/docs/`.
        let response = get_with(&anonymous, &format!("{root}/docs"), &[]).await;
        assert_eq!(response.url().path(), format!("{root}/docs/"));
        let policy = response.headers()["content-security-policy"]
            .to_str()
            .unwrap()
            .to_owned();
        assert!(policy.starts_with("default-src 'self'"), "{policy}");
        let html = response.text().await.unwrap();
        let addresses = addresses(&html);
        assert!(addresses.len() >= 3, "{html}");
        for address in addresses {
            assert!(!address.contains("//"), "{address} is elsewhere");
            let response = get_with(
                &anonymous,
                &format!("{root}/docs/{}", address.trim_start_matches("./")),
                &[],
            )
            .await;
            assert_eq!(response.status(), 200, "{address}");
        }
        let start = get_with(&anonymous, &format!("{root}/docs/swagger-initializer.js"), &[]).await;
        let start = start.text().await.unwrap();
        assert!(start.contains("../openapi.json"), "{start}");
    }
    anonymous
        .get("/docs/nothing.js")
        .await
        .problem(404, "unknown_route");
    anonymous
        .get("/docs/..%2f..%2fetc/passwd")
        .await
        .problem(404, "unknown_route");
}
