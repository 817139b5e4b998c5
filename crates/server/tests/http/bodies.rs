//! Bodies on the wire: their size, how they are packed, what they are said to be, how fast they come.

use std::io::{Read, Write};
use std::net::TcpStream;

use reqwest::Method;
use serde_json::json;

use crate::files::Form;
use crate::harness::{Answer, Client, Server};
use crate::scene::Scene;

/// The largest body of the servers here, in bytes.
const LIMIT: usize = 64 * 1024;
const LIMIT_FLAGS: [&str; 2] = ["--http-max-body-bytes", "65536"];

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A memo's body of so many bytes.
fn memo_of(bytes: usize) -> Vec<u8> {
    let frame = r#"{"content":""}"#.len();
    format!(r#"{{"content":"{}"}}"#, "x".repeat(bytes - frame)).into_bytes()
}

async fn post_packed(client: &Client, encoding: &str, body: Vec<u8>) -> Answer {
    let request = client
        .request(Method::POST, "/memos")
        .header("content-type", "application/json")
        .header("content-encoding", encoding);
    client.send(request.body(body)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_may_be_as_large_as_the_limit_and_no_larger() {
    let scene = Scene::new(&LIMIT_FLAGS).await;
    let post = |body| scene.phone.raw(&Method::POST, "/memos", body);
    post(memo_of(LIMIT + 1)).await.problem(413, "body_too_large");
    post(memo_of(3 * LIMIT)).await.problem(413, "body_too_large");
    scene.assert_untouched("bodies over the limit").await;
    post(memo_of(LIMIT)).await.ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_without_a_length_is_held_to_the_limit_too() {
    let scene = Scene::new(&LIMIT_FLAGS).await;
    let accepted = post_in_chunks(&scene, &memo_of(LIMIT));
    assert!(accepted.starts_with("HTTP/1.1 200"), "{accepted}");
    let before = scene.phone.everything().await;
    let refused = post_in_chunks(&scene, &memo_of(LIMIT + 1));
    assert!(refused.starts_with("HTTP/1.1 413"), "{refused}");
    assert!(refused.contains(r#""code":"body_too_large""#), "{refused}");
    scene
        .phone
        .assert_untouched(&before, "a chunked body over the limit")
        .await;
}

/// Posts a memo without saying how long it is; returns the answer as it came.
fn post_in_chunks(scene: &Scene, body: &[u8]) -> String {
    let address = scene.server.address();
    let head = format!(
        "POST /memos HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\n\
         transfer-encoding: chunked\r\nconnection: close\r\n\r\n",
        scene.phone.token.as_deref().unwrap(),
    );
    let mut connection = TcpStream::connect(address).unwrap();
    connection.write_all(head.as_bytes()).unwrap();
    for chunk in body.chunks(LIMIT / 2) {
        let size = format!("{:x}\r\n", chunk.len());
        connection
            .write_all(&[size.as_bytes(), chunk, b"\r\n"].concat())
            .unwrap();
    }
    connection.write_all(b"0\r\n\r\n").unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).unwrap();
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn packed_bodies_are_unpacked() {
    let server = Server::start();
    let phone = server.device("phone").await;
    let body = memo_of(LIMIT);
    for (encoding, packed) in [
        ("gzip", gzip(&body)),
        ("x-gzip", gzip(&body)),
        ("GZip", gzip(&body)),
        ("identity", body.clone()),
        ("gzip", [gzip(&body[..10]), gzip(&body[10..])].concat()),
    ] {
        let stored = post_packed(&phone, encoding, packed).await.ok();
        let length = stored["content"].as_str().map(str::len);
        assert_eq!(length, Some(LIMIT - r#"{"content":""}"#.len()), "{encoding}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bombs_are_not_unpacked_beyond_the_limit() {
    let scene = Scene::new(&LIMIT_FLAGS).await;
    let mebibyte = vec![b' '; 1024 * 1024];
    // 40 MiB in about as many KiB: gzip allows to put members one after the other.
    let gzip_bomb = gzip(&mebibyte).repeat(40);
    assert!(gzip_bomb.len() < LIMIT);
    for bomb in [gzip_bomb, gzip(&memo_of(LIMIT + 1))] {
        let answer = post_packed(&scene.phone, "gzip", bomb).await;
        answer.problem(413, "body_too_large");
    }
    scene.assert_untouched("bombs").await;
    post_packed(&scene.phone, "gzip", gzip(&memo_of(LIMIT)))
        .await
        .ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_not_be_unpacked_or_is_no_json_by_name_is_refused() {
    let scene = Scene::new(&[]).await;
    let body = br#"{"content": "x"}"#;
    let whole = gzip(body);
    for packed in [
        body.to_vec(),
        whole[..whole.len() - 6].to_vec(),
        [&whole[..12], b"broken", &whole[18..]].concat(),
        [&whole[..], b"more"].concat(),
    ] {
        let answer = post_packed(&scene.phone, "gzip", packed).await;
        answer.problem(400, "malformed_encoding");
    }
    for encoding in ["zstd", "deflate", "br", "gzip, gzip", "compress"] {
        let answer = post_packed(&scene.phone, encoding, body.to_vec()).await;
        assert_eq!(answer.headers["accept-encoding"], "gzip");
        answer.problem(415, "unsupported_encoding");
    }
    for content_type in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/xml",
        "json",
        "",
    ] {
        let request = scene
            .phone
            .request(Method::POST, "/memos")
            .header("content-type", content_type);
        let answer = scene.phone.send(request.body(&body[..])).await;
        answer.problem(415, "unsupported_media_type");
    }
    scene.assert_untouched("bodies that can not be read").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn json_may_have_several_names_or_none() {
    let server = Server::start();
    let phone = server.device("phone").await;
    for content_type in [
        "application/json; charset=utf-8",
        "application/merge-patch+json",
        "Application/JSON",
    ] {
        let request = phone
            .request(Method::POST, "/memos")
            .header("content-type", content_type);
        phone.send(request.body(r#"{"content": "x"}"#)).await.ok();
    }
    let unnamed = phone.request(Method::POST, "/memos").body(r#"{"content": "x"}"#);
    phone.send(unnamed).await.ok();
    assert_eq!(phone.get("/memos").await.ok()["total"], json!(4));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_does_not_come_is_408_and_ends_the_connection() {
    let scene = Scene::new(&["--http-body-timeout-ms", "200"]).await;
    let head = "content-type: application/json\r\ncontent-length: 100\r\n\r\n{\"content\":";
    let answer = scene.server.talk(&format!(
        "POST /memos HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\n{head}",
        scene.phone.token.as_deref().unwrap(),
    ));
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert!(answer.contains(r#""code":"request_timeout""#), "{answer}");
    scene.assert_untouched("a body that never came").await;
}

#[test]
fn silent_and_slow_clients_are_not_waited_for() {
    let flags = ["--http-header-timeout-ms", "1000", "--http-keep-alive-ms", "1000"];
    let server = Server::start_with(&flags);
    // Each of these ends because the server closes the connection: nothing else would end it.
    std::thread::scope(|scope| {
        for said in ["", "GET /health HT", "GET /health HTTP/1.1\r\nhost: x\r\nx-half"] {
            let server = &server;
            scope.spawn(move || {
                let answer = server.talk(said);
                let refused = answer.is_empty() || answer.starts_with("HTTP/1.1 408");
                assert!(refused, "{said:?}: {answer}");
            });
        }
        let whole = "GET /health HTTP/1.1\r\nhost: x\r\n\r\n";
        for said in [whole.to_owned(), format!("{whole}GET /health HTTP/1.1\r\nhos")] {
            let server = &server;
            scope.spawn(move || {
                let answer = server.talk(&said);
                assert!(answer.starts_with("HTTP/1.1 200"), "{said:?}: {answer}");
            });
        }
    });
}

#[test]
fn what_is_no_http_is_400() {
    let server = Server::start();
    for said in [
        "nonsense\r\n\r\n",
        "GET /health HTTP/1.1\r\nhost: x\r\nbad header\r\n\r\n",
    ] {
        let answer = server.talk(said);
        assert!(answer.starts_with("HTTP/1.1 400"), "{said:?}: {answer}");
    }
}

/// A name that serde_json keeps for itself: with some of its features, what stands below it is parsed anew.
const PRIVATE: &str = "$serde_json::private::RawValue";

/// Texts of lists within texts of lists, each below that name.
fn nested_texts(times: usize) -> String {
    let (open, close) = ("[".repeat(12), "]".repeat(12));
    (0..times).fold(format!("{open}{close}"), |text, _| {
        format!(
            r#"{open}{{"{PRIVATE}":{}}}{close}"#,
            serde_json::to_string(&text).unwrap()
        )
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn names_of_a_parser_mean_nothing_whatever_road_they_come_by() {
    let server = Server::start();
    let phone = server.device("phone").await;
    let metadata =
        json!({"x": {"a": 1, PRIVATE: "{}"}, "y": [{PRIVATE: "[[[["}], "$serde_json::private::Number": "1"});
    let id = |n: u32| format!("0198f3a2-7b1c-7def-8000-00000000000{n}");
    let whole =
        |n: u32| json!({"id": id(n), "filename": "f", "fileSize": 1, "metadata": metadata, "updatedAt": 1});
    phone.post("/resources", &whole(1)).await.ok();
    let push = json!({"clientId": "phone", "changes": {"resource": {"updated": [whole(2)]}}});
    let pushed = phone.post("/sync/push", &push).await.ok();
    assert_eq!(pushed["results"]["resource"][0]["outcome"], "applied", "{pushed}");
    let form = Form::new()
        .field("id", &id(3))
        .field("metadata", &metadata.to_string());
    let form = form.file("a.txt", "text/plain", b"hello");
    phone.upload(form).await.ok();
    let texts = json!({"content": {PRIVATE: "\"a text\""}});
    phone
        .post("/memos", &texts)
        .await
        .invalid("content", "invalid_type");
    let pulled = phone.post("/sync/pull", &json!({"clientId": "phone"})).await.ok();
    let resources = pulled["changes"]["resource"]["updated"].as_array().unwrap();
    assert_eq!(resources.len(), 3, "{pulled}");
    assert!(
        resources.iter().all(|resource| resource["metadata"] == metadata),
        "{pulled}"
    );
    let body = format!(
        r#"{{"filename":"f","fileSize":1,"metadata":{{"a":{}}}}}"#,
        nested_texts(4)
    );
    phone.raw(&Method::POST, "/resources", body).await.ok();
    phone.post("/sync/pull", &json!({"clientId": "phone"})).await.ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_takes_no_more_than_its_largest_body_however_it_is_packed() {
    let scene = Scene::new(&[]).await;
    let zeros = |n: usize| format!("[{}0]", "0,".repeat(n));
    let bot = format!(r#"{{"name":"x","aiConfig":{{"a":{}}}}}"#, zeros(8_000_000));
    let request = |path: &str, body: &str| {
        let request = scene.phone.request(Method::POST, path);
        let request = request
            .header("content-type", "application/json")
            .header("content-encoding", "gzip");
        scene.phone.send(request.body(gzip(body.as_bytes())))
    };
    request("/bots", &bot).await.problem(413, "body_too_large");
    request("/sync/pull", &bot).await.problem(413, "body_too_large");
    let one = |list: &str| format!(r#"{{"clientId":"a","changes":{{"bot":{{"updated":[{list}]}}}}}}"#);
    let large = format!(
        r#"{{"id":"x","name":"x","aiConfig":{{"a":{}}},"unknown":{}}}"#,
        zeros(50_000),
        zeros(50_000)
    );
    let pushed = request("/sync/push", &one(&large)).await.ok();
    let error = &pushed["results"]["bot"][0]["error"];
    let told: Vec<_> = error["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|error| &error["code"])
        .collect();
    assert_eq!(told, ["invalid_uuid", "too_long"], "{pushed}");
    let many = "0,".repeat(50_000) + "0";
    request("/sync/push", &one(&many))
        .await
        .invalid("changes.bot", "too_many");
    let names: Vec<_> = (0..20_000).map(|n| format!(r#""{n}":{{}}"#)).collect();
    let names = format!(r#"{{"clientId":"a","changes":{{{}}}}}"#, names.join(","));
    let unknown = request("/sync/push", &names).await;
    assert!(unknown.body.to_string().len() < 10_000, "{}", unknown.body);
    scene.assert_untouched("bodies that are too large").await;
}
