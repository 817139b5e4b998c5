//! The document of the routes, and the page that shows it.

use actix_web::http::Method;
use serde_json::json;

use super::*;

#[actix_web::test]
async fn the_document_and_the_router_agree() {
    let server = run(&settings());
    let document = server.get("/openapi.json").await.json();
    assert_eq!(document["openapi"], "3.1.0");
    let mut documented = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in item.as_object().unwrap().keys() {
            documented.push((method.to_uppercase(), path.clone()));
        }
    }
    let mut registered: Vec<_> = table()
        .iter()
        .map(|(method, path): (&Method, _)| (method.to_string(), path.to_owned()))
        .collect();
    documented.sort();
    registered.sort();
    assert_eq!(documented, registered);
    for (method, path) in documented.iter().filter(|(_, path)| path != "/held") {
        let answer = server
            .request(method, &path.replace("{id}", "word"), "", "")
            .await;
        assert!(
            ![404, 405].contains(&answer.status),
            "{method} {path}: {answer:?}"
        );
    }
    let security = |path: &str, method: &str| &document["paths"][path][method]["security"];
    assert_eq!(*security("/health", "get"), json!([]));
    assert_eq!(*security("/echo", "post"), json!([{"bearer": []}]));
    assert!(document["components"]["schemas"]["Problem"]["properties"]["errors"].is_object());
}

#[actix_web::test]
async fn the_page_is_served_by_us_alone() {
    let server = run(&settings());
    for (root, target) in [("/docs", "/docs/"), ("/api/docs", "/api/docs/")] {
        assert_eq!(server.get(root).await.header("location"), Some(target));
    }
    let page = server.get("/docs/").await;
    let html = String::from_utf8(page.body.clone()).unwrap();
    assert!(
        page.header("content-security-policy")
            .unwrap()
            .contains("default-src 'self'")
    );
    assert!(
        !html.contains("http://") && !html.contains("https://") && !html.contains("\"//"),
        "{html}"
    );
    let files: Vec<&str> = html
        .split(['"', '\''])
        .filter(|text| [".js", ".css", ".png"].iter().any(|kind| text.ends_with(kind)))
        .collect();
    assert!(
        files.iter().any(|file| file.ends_with("swagger-ui-bundle.js")),
        "{files:?}"
    );
    for file in files {
        let answer = server
            .get(&format!("/docs/{}", file.trim_start_matches("./")))
            .await;
        assert_eq!(answer.status, 200, "{file}");
    }
    let script = server.get("/docs/swagger-initializer.js").await;
    let script = String::from_utf8(script.body).unwrap();
    assert!(
        script.contains("../openapi.json") && !script.contains("http"),
        "{script}"
    );
}

#[actix_web::test]
async fn people_are_led_to_the_page_and_programs_are_told_that_there_is_no_route() {
    let server = run(&settings());
    let accepting = async |path, accept| server.request("GET", path, accept, "").await;
    let browser = "accept: text/html,application/xhtml+xml,*/*;q=0.8\r\n";
    for root in ["/", "/api/"] {
        let page = accepting(root, browser).await;
        assert_eq!(page.status, 200, "{root}");
        assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
        let html = String::from_utf8(page.body).unwrap();
        assert!(
            html.contains(r#"href="docs/""#) && !html.contains("://"),
            "{html}"
        );
        for accept in ["", "accept: */*\r\n", "accept: application/json\r\n"] {
            assert_problem(&accepting(root, accept).await, 404, "unknown_route");
        }
    }
}
