//! The bytes behind resources: uploads in one request, downloads, avatars, over stores in memory.

use actix_web::rt;
use actix_web::web::Bytes;
use mosaic_domain::ResourceId;
use mosaic_domain::entity::Resource;
use mosaic_testkit::{BlobCall, BlobFailure, ManualClock};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::site::{AVATAR_BYTES, FILE_BYTES, ID, PATIENCE, SMALLER, Served, Site, USER_BYTES, service, user};
use super::*;

const PNG: &[u8] = b"\x89PNG a picture";

impl Site {
    async fn get(&self, path: &str) -> Answer {
        self.get_with(path, &[]).await
    }

    async fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        let request = headers
            .iter()
            .fold(TestRequest::with_uri(path), |request, header| {
                request.insert_header(*header)
            });
        self.send(by("user", request)).await
    }

    /// Uploads a file; the address of its bytes.
    async fn store(&self, name: &str, mime_type: &str, bytes: &[u8]) -> String {
        let answer = self.send(upload(&[file(name, mime_type, bytes)])).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer.body["url"].as_str().unwrap().to_owned()
    }

    /// A resource that has no bytes.
    async fn declare(&self, id: &str) {
        let body = json!({"id": id, "filename": "a.bin", "fileSize": 3});
        let answer = self
            .send(by("user", TestRequest::post().uri("/resources").set_json(body)))
            .await;
        assert_eq!(answer.status, 200, "{}", answer.text);
    }

    /// Nothing was stored, and nothing is being stored.
    async fn assert_empty(&self, about: &str) {
        assert_eq!((self.blobs.count(), self.blobs.writers()), (0, 0), "{about}");
        let answer = self.get("/resources").await;
        assert_eq!(answer.body["total"], 0, "{about}");
    }

    /// Waits until nothing is being stored any more.
    async fn writes_nothing(&self) {
        let change = async {
            while self.blobs.writers() > 0 {
                rt::time::sleep(Duration::from_millis(1)).await;
            }
        };
        let waited = tokio::time::timeout(PATIENCE, change).await;
        assert!(waited.is_ok(), "something is being stored still");
    }
}

impl Served {
    /// Sends a request without a body, and splits what is answered.
    async fn ask(&self, method: &str, path: &str, headers: &str) -> (String, Vec<u8>) {
        split(&self.read(method, path, headers).await)
    }

    /// Sends a request without a body, and reads until the connection is closed.
    async fn read(&self, method: &str, path: &str, headers: &str) -> Vec<u8> {
        let headers = format!("connection: close\r\n{headers}");
        let mut stream = self.begin(method, path, &headers, b"").await;
        let mut bytes = Vec::new();
        // An answer that is cut short may end with a reset.
        let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut bytes)).await;
        assert!(read.is_ok(), "the connection stays open");
        bytes
    }
}

/// Head and body of an answer.
fn split(bytes: &[u8]) -> (String, Vec<u8>) {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n");
    let end = end.unwrap_or_else(|| panic!("no head: {}", String::from_utf8_lossy(bytes)));
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    (head, bytes[end + 4..].to_vec())
}

/// Reads an answer whose end its length tells.
async fn answer_of(stream: &mut TcpStream) -> (String, Value) {
    let mut read = Vec::new();
    loop {
        let mut piece = [0; 4096];
        let got = tokio::time::timeout(PATIENCE, stream.read(&mut piece)).await;
        let got = got.expect("no answer comes").unwrap();
        assert!(got > 0, "cut short: {}", String::from_utf8_lossy(&read));
        read.extend_from_slice(&piece[..got]);
        if read.windows(4).any(|window| window == b"\r\n\r\n") {
            let (head, body) = split(&read);
            let length: usize = header(&head, "content-length").unwrap().parse().unwrap();
            if body.len() >= length {
                return (head, serde_json::from_slice(&body[..length]).unwrap());
            }
        }
    }
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().find_map(|line| {
        let (key, value) = line.split_once(": ")?;
        key.eq_ignore_ascii_case(name).then_some(value)
    })
}

const BOUNDARY: &str = "the-boundary";
const FORM: (&str, &str) = ("content-type", "multipart/form-data; boundary=the-boundary");

fn part(head: &str, content: &[u8]) -> Vec<u8> {
    let head = format!("--{BOUNDARY}\r\nContent-Disposition: form-data; {head}\r\n\r\n");
    [head.as_bytes(), content, b"\r\n"].concat()
}

fn field(name: &str, value: &str) -> Vec<u8> {
    part(&format!("name=\"{name}\""), value.as_bytes())
}

fn file(name: &str, mime_type: &str, bytes: &[u8]) -> Vec<u8> {
    part(
        &format!("name=\"file\"; filename=\"{name}\"\r\nContent-Type: {mime_type}"),
        bytes,
    )
}

fn text() -> Vec<u8> {
    file("a.txt", "text/plain", b"abc")
}

fn form(parts: &[Vec<u8>]) -> Vec<u8> {
    [parts.concat(), format!("--{BOUNDARY}--\r\n").into_bytes()].concat()
}

fn post(path: &str, body: Vec<u8>) -> TestRequest {
    by("user", TestRequest::post().uri(path))
        .insert_header(FORM)
        .insert_header(("content-length", body.len().to_string()))
        .set_payload(body)
}

fn upload(parts: &[Vec<u8>]) -> TestRequest {
    post("/resources/upload", form(parts))
}

/// Bytes that are all different from their neighbours.
fn bytes(count: usize) -> Vec<u8> {
    (0..=250).cycle().take(count).collect()
}

#[track_caller]
fn assert_is(answer: &Answer, status: u16, code: &str) {
    assert_eq!(
        (answer.status.as_u16(), answer.code()),
        (status, code),
        "{}",
        answer.text
    );
}

/// A refusal of one field.
#[track_caller]
fn assert_refuses(answer: &Answer, path: &str, code: &str) {
    assert_is(answer, 422, "validation_failed");
    let errors = answer.body["errors"].as_array().unwrap();
    assert!(
        errors
            .iter()
            .any(|error| error["path"] == path && error["code"] == code),
        "{path} {code}: {}",
        answer.text
    );
}

#[actix_web::test]
async fn a_file_becomes_a_resource() {
    let site = Site::new().await;
    let answer = site
        .send(upload(&[
            field("id", ID),
            field("metadata", r#"{"width": 7}"#),
            file("日記.png", "text/plain; charset=utf-8", PNG),
            field("createdAt", "1000"),
            field("unknown", "anything"),
        ]))
        .await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let body = &answer.body;
    assert_eq!(body["id"], ID);
    assert_eq!(
        (&body["filename"], &body["mimeType"]),
        (&json!("日記.png"), &json!("image/png"))
    );
    assert_eq!(body["fileSize"], PNG.len());
    assert_eq!(
        body["metadata"],
        json!({"width": 7, "declaredMimeType": "text/plain"})
    );
    assert_eq!(body["createdAt"], 1000);
    assert_eq!(body["sha256"].as_str().unwrap().len(), 64);
    let stored = site.get(&format!("/resources/{ID}")).await;
    assert_eq!(stored.body, *body);
    assert_eq!((site.blobs.count(), site.blobs.writers()), (1, 0));
}

#[actix_web::test]
async fn fields_say_more_than_the_part_of_the_file() {
    let site = Site::new().await;
    let answer = site
        .send(upload(&[
            text(),
            field("filename", "b.md"),
            field("mimeType", "text/markdown"),
        ]))
        .await;
    let body = &answer.body;
    assert_eq!(
        (&body["filename"], &body["mimeType"]),
        (&json!("b.md"), &json!("text/markdown"))
    );
    let answer = site
        .send(upload(&[
            field("filename", "c.md"),
            part("name=\"file\"", b"without a name"),
            field("memoId", ""),
        ]))
        .await;
    assert_eq!(
        (&answer.body["filename"], answer.status.as_u16()),
        (&json!("c.md"), 200)
    );
}

#[actix_web::test]
async fn an_empty_file_is_a_file() {
    let site = Site::new().await;
    let url = site.store("empty.txt", "text/plain", b"").await;
    let answer = site.get(&url).await;
    assert_eq!((answer.status.as_u16(), answer.text.as_str()), (200, ""));
    for (range, status) in [("bytes=0-", 416), ("bytes=-5", 200), ("bytes=-0", 416)] {
        let answer = site.get_with(&url, &[("range", range)]).await;
        assert_eq!(answer.status, status, "{range}");
    }
}

#[actix_web::test]
async fn the_same_upload_again_changes_nothing_and_other_bytes_are_refused() {
    let site = Site::new().await;
    let first = site.send(upload(&[field("id", ID), text()])).await;
    let again = site.send(upload(&[field("id", ID), text()])).await;
    assert_eq!((again.status.as_u16(), &again.body), (200, &first.body));
    let other = upload(&[field("id", ID), file("a.txt", "text/plain", b"other")]);
    assert_is(&site.send(other).await, 409, "content_differs");
    assert_eq!((site.blobs.count(), site.blobs.writers()), (1, 0));
}

#[actix_web::test]
async fn a_resource_without_bytes_gets_them() {
    let site = Site::new().await;
    site.declare(ID).await;
    let download = format!("/resources/{ID}/download");
    assert_is(&site.get(&download).await, 404, "not_uploaded");
    let answer = site.send(upload(&[field("id", ID), text()])).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(answer.body["filename"], "a.bin");
    assert_eq!(site.get(&download).await.text, "abc");
}

#[actix_web::test]
async fn bad_fields_are_named_and_nothing_is_stored() {
    let site = Site::new().await;
    let name = |name: &str| file(name, "text/plain", b"abc");
    let deep = format!("{{\"a\":{}{}}}", "[".repeat(20), "]".repeat(20));
    let large = format!("{{\"a\":\"{}\"}}", "x".repeat(20_000));
    let long = "x".repeat(70_000);
    let cases = [
        (vec![], "file", "required"),
        (vec![field("id", ID)], "file", "required"),
        (vec![text(), text()], "file", "duplicate"),
        (vec![part("name=\"file\"", b"abc")], "file", "required"),
        (vec![name("")], "file", "empty"),
        (vec![name("../x")], "file", "not_a_name"),
        (vec![name("a/b.txt")], "file", "not_a_name"),
        (vec![name("..")], "file", "not_a_name"),
        (vec![name(&"n".repeat(300))], "file", "too_long"),
        (
            vec![part("name=\"file\"; filename*=UTF-8''a%00b", b"abc")],
            "file",
            "nul",
        ),
        (
            vec![field("filename", "a\nb"), text()],
            "filename",
            "control_character",
        ),
        (vec![text(), field("filename", "../b")], "filename", "not_a_name"),
        (vec![field("id", "7"), text()], "id", "invalid_uuid"),
        (vec![text(), field("id", "7")], "id", "invalid_uuid"),
        (vec![field("id", ID), field("id", ID), text()], "id", "duplicate"),
        (vec![field("memoId", "x"), text()], "memoId", "invalid_uuid"),
        (vec![field("metadata", "[]"), text()], "metadata", "invalid_type"),
        (vec![field("metadata", "7"), text()], "metadata", "invalid_type"),
        (vec![field("metadata", "{"), text()], "metadata", "malformed_json"),
        (vec![text(), field("metadata", &deep)], "metadata", "too_deep"),
        (vec![text(), field("metadata", &large)], "metadata", "too_long"),
        (vec![field("metadata", &long), text()], "metadata", "too_long"),
        (vec![field("unknown", &long), text()], "unknown", "too_long"),
        (
            vec![part("name=\"metadata\"", b"{\"a\":\"\xff\"}"), text()],
            "metadata",
            "invalid_utf8",
        ),
        (
            vec![field("createdAt", "soon"), text()],
            "createdAt",
            "invalid_type",
        ),
        (
            vec![field("updatedAt", "-1"), text()],
            "updatedAt",
            "out_of_range",
        ),
        (
            vec![field("mimeType", "text"), text()],
            "mimeType",
            "invalid_mime_type",
        ),
    ];
    for (parts, path, code) in cases {
        let answer = site.send(upload(&parts)).await;
        assert_refuses(&answer, path, code);
        site.assert_empty(&answer.text).await;
    }
}

#[actix_web::test]
async fn what_is_no_form_is_refused_and_nothing_is_stored() {
    let site = Site::new().await;
    let whole = form(&[text()]);
    let lie = |length: usize| {
        part(
            &format!("name=\"file\"; filename=\"a\"\r\nContent-Length: {length}"),
            b"abc",
        )
    };
    let cut = |bytes: usize| whole[..whole.len() - bytes].to_vec();
    for body in [
        b"no form".to_vec(),
        Vec::new(),
        cut(4),
        cut(10),
        cut(25),
        form(&[lie(2)]),
        form(&[lie(4)]),
        form(&[part("name=\"file\"; filename=\"a\0b\"", b"abc")]),
        form(&[part("nothing", b"abc")]),
        form(&vec![field("a", "b"); 33]),
    ] {
        let answer = site.send(post("/resources/upload", body.clone())).await;
        assert_is(&answer, 400, "invalid_multipart");
        site.assert_empty(&answer.text).await;
    }
    for (content_type, status, code) in [
        ("application/json", 415, "unsupported_media_type"),
        (
            "multipart/mixed; boundary=the-boundary",
            415,
            "unsupported_media_type",
        ),
        ("multipart/form-data", 400, "invalid_multipart"),
        ("multipart/form-data; boundary=another", 400, "invalid_multipart"),
    ] {
        let request = upload(&[text()]).insert_header(("content-type", content_type));
        assert_is(&site.send(request).await, status, code);
    }
    let packed = upload(&[text()]).insert_header(("content-encoding", "gzip"));
    assert_is(&site.send(packed).await, 415, "unsupported_encoding");
    site.assert_empty("").await;
}

#[actix_web::test]
async fn what_is_known_to_fail_fails_before_the_bytes() {
    let site = Site::new().await;
    let deleted = format!("/resources/{ID}");
    site.declare(ID).await;
    let delete = TestRequest::delete().uri(&deleted);
    assert_eq!(site.send(by("user", delete)).await.status, 204);
    let memo = "0198f3a2-7b1c-7def-8000-00000000aaaa";
    for (field, status, code) in [
        (field("memoId", memo), 422, "unknown_memo"),
        (field("id", ID), 409, "deleted"),
        (field("updatedAt", "9000000000000"), 422, "edit_time_ahead"),
    ] {
        let begun = site.blobs.calls(BlobCall::Create);
        let answer = site.send(upload(&[field.clone(), text()])).await;
        assert_is(&answer, status, code);
        assert_eq!(site.blobs.calls(BlobCall::Create), begun);
        let answer = site.send(upload(&[text(), field])).await;
        assert_is(&answer, status, code);
        assert_eq!((site.blobs.count(), site.blobs.writers()), (0, 0));
    }
}

#[actix_web::test]
async fn files_may_have_so_many_bytes_and_users_so_many_together() {
    let site = Site::new().await;
    let most = usize::try_from(FILE_BYTES).unwrap();
    let too_large = site.send(upload(&[file("a", "a/b", &bytes(most + 1))])).await;
    assert_is(&too_large, 413, "file_too_large");
    assert_eq!(too_large.body["limit"], FILE_BYTES);
    site.assert_empty("too large").await;
    for first in 0..3_u8 {
        let mut content = bytes(most);
        content[0] = 0xf0 + first;
        let id = ID.replace("ab", &format!("a{first}"));
        let answer = site
            .send(upload(&[field("id", &id), file("a", "a/b", &content)]))
            .await;
        assert_eq!(answer.status, 200, "{}", answer.text);
    }
    let refused = site.send(upload(&[text()])).await;
    assert_is(&refused, 413, "quota_exceeded");
    assert_eq!(
        (&refused.body["used"], &refused.body["quota"]),
        (&json!(USER_BYTES), &json!(USER_BYTES))
    );
    assert_eq!((site.blobs.count(), site.blobs.writers()), (3, 0));
    // The same bytes take no room.
    let mut content = bytes(most);
    content[0] = 0xf0;
    let id = ID.replace("ab", "a0");
    let again = site
        .send(upload(&[field("id", &id), file("a", "a/b", &content)]))
        .await;
    assert_eq!(again.status, 200, "{}", again.text);
    assert_eq!(site.blobs.count(), 3);
}

#[actix_web::test]
async fn the_limits_of_other_bodies_do_not_hold_for_files() {
    let site = Site::new().await;
    let settings = HttpSettings {
        body: crate::BodyLimits {
            packed_bytes: 100,
            unpacked_bytes: 100,
            timeout: Duration::ZERO,
        },
        ..HttpSettings::default()
    };
    let request = upload(&[file("a.bin", "a/b", &bytes(300_000))]);
    let answer = service(&settings, &site.state).await(request).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
}

#[actix_web::test]
async fn a_storage_that_fails_is_told_and_nothing_is_stored() {
    let site = Site::new().await;
    for call in [BlobCall::Create, BlobCall::Write, BlobCall::Finish] {
        for (failure, status, code) in [
            (BlobFailure::Unavailable, 503, "storage_unavailable"),
            (BlobFailure::Full, 507, "storage_full"),
            (BlobFailure::Failed, 500, "internal"),
        ] {
            site.blobs.fail_next(call, failure);
            let answer = site.send(upload(&[text()])).await;
            assert_is(&answer, status, code);
            assert_eq!(answer.header("retry-after").is_some(), status == 503);
            assert!(!answer.text.contains("the test wants it so"), "{}", answer.text);
            site.assert_empty(code).await;
        }
    }
}

/// A head that announces a body of so many bytes.
fn announces(length: u64) -> String {
    format!("content-type: {}\r\ncontent-length: {length}\r\n", FORM.1)
}

/// The beginning of a form, with the head of its file.
fn begun(fields: &[Vec<u8>]) -> Vec<u8> {
    let mut begun = [fields.concat(), text()].concat();
    begun.truncate(begun.len() - 2);
    begun
}

#[actix_web::test]
async fn an_early_refusal_is_read_by_a_client_that_goes_on_sending() {
    let site = Site::new().await;
    let served = site.serve(HttpSettings::default());
    let large = 10 * FILE_BYTES;
    for (fields, length, status, code) in [
        (vec![], large, 413, "file_too_large"),
        (vec![field("id", "7")], FILE_BYTES, 422, "validation_failed"),
    ] {
        let mut stream = served
            .begin("POST", "/resources/upload", &announces(length), &begun(&fields))
            .await;
        for _ in 0..20 {
            stream.write_all(&bytes(50_000)).await.unwrap();
        }
        let (head, body) = answer_of(&mut stream).await;
        assert!(head.starts_with(&format!("HTTP/1.1 {status}")), "{head}");
        assert_eq!(body["code"], code);
        assert_eq!(header(&head, "connection"), Some("close"));
        // Nobody is cut off while the rest is on its way.
        stream.write_all(&bytes(50_000)).await.unwrap();
    }
    assert_eq!(site.blobs.calls(BlobCall::Create), 0);
}

#[actix_web::test]
async fn an_upload_that_stands_still_is_given_up_however_it_began() {
    let mut site = Site::new().await;
    site.set(|downloads| downloads.upload_idle = Duration::from_millis(50));
    let served = site.serve(HttpSettings::default());
    for path in ["/resources/upload", "/resources/upload-avatar"] {
        for body in [&begun(&[])[..], &field("id", ID), b"--the-b", b""] {
            let mut stream = served.begin("POST", path, &announces(900), body).await;
            let (head, body) = answer_of(&mut stream).await;
            assert!(head.starts_with("HTTP/1.1 408"), "{head}");
            assert_eq!(body["code"], "request_timeout");
        }
    }
    site.writes_nothing().await;
    site.assert_empty("").await;
}

#[actix_web::test]
async fn an_upload_whose_client_goes_away_leaves_nothing() {
    let site = Site::new().await;
    let served = site.serve(HttpSettings::default());
    let stream = served
        .begin("POST", "/resources/upload", &announces(900_000), &begun(&[]))
        .await;
    let begins = async {
        while site.blobs.writers() == 0 {
            rt::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(PATIENCE, begins).await.unwrap();
    drop(stream);
    site.writes_nothing().await;
    site.assert_empty("").await;
}

#[actix_web::test]
async fn a_connection_goes_on_after_an_upload() {
    let site = Site::new().await;
    let served = site.serve(HttpSettings::default());
    let body = form(&[text()]);
    let length = body.len() as u64;
    let mut stream = served
        .begin("POST", "/resources/upload", &announces(length), &body)
        .await;
    for _ in 0..2 {
        let (head, answer) = answer_of(&mut stream).await;
        assert!(head.starts_with("HTTP/1.1 200"), "{head} {answer}");
        let head = format!(
            "POST /resources/upload HTTP/1.1\r\nhost: x\r\nauthorization: Bearer user\r\n{}\r\n",
            announces(length)
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(&body).await.unwrap();
    }
}

#[actix_web::test]
async fn a_download_says_what_it_is_and_runs_nothing() {
    let site = Site::new().await;
    let url = site.store("a \\\"b\\\".html", "text/html", b"<script>").await;
    let answer = site.get(&url).await;
    assert_eq!((answer.status.as_u16(), answer.text.as_str()), (200, "<script>"));
    for (name, value) in [
        ("content-type", "text/html"),
        (
            "content-disposition",
            "attachment; filename=\"a _b_.html\"; filename*=UTF-8''a%20%22b%22.html",
        ),
        ("accept-ranges", "bytes"),
        ("cache-control", "private, max-age=31536000, immutable"),
        ("x-content-type-options", "nosniff"),
        ("content-security-policy", "default-src 'none'; sandbox"),
        ("cross-origin-resource-policy", "same-origin"),
    ] {
        assert_eq!(answer.header(name), Some(value), "{name}");
    }
    let listed = site.get("/resources").await;
    let sha256 = listed.body["items"][0]["sha256"].as_str().unwrap();
    assert_eq!(answer.header("etag"), Some(format!("\"{sha256}\"").as_str()));
    let text = site.store("a.txt", "text/plain", b"abc").await;
    let answer = site.get(&text).await;
    assert_eq!(answer.header("content-type"), Some("text/plain; charset=utf-8"));
    assert!(
        answer
            .header("content-disposition")
            .unwrap()
            .starts_with("inline;")
    );
}

#[actix_web::test]
async fn files_are_never_packed() {
    let site = Site::new().await;
    let content = format!("[{}1]", "1,".repeat(5_000));
    let url = site.store("a.json", "application/json", content.as_bytes()).await;
    for range in ["pages=1", "bytes=0-9000"] {
        let answer = site
            .get_with(&url, &[("accept-encoding", "gzip, br"), ("range", range)])
            .await;
        assert!(content.starts_with(&answer.text), "{range}");
        assert_eq!(answer.header("content-encoding"), None);
    }
}

#[actix_web::test]
async fn ranges_are_sent() {
    let site = Site::new().await;
    let url = site.store("a.bin", "a/b", b"0123456789").await;
    let tag = site.get(&url).await.header("etag").unwrap().to_owned();
    for (range, content, which) in [
        ("bytes=0-0", "0", "bytes 0-0/10"),
        ("bytes=2-4", "234", "bytes 2-4/10"),
        ("bytes=8-", "89", "bytes 8-9/10"),
        ("bytes=-3", "789", "bytes 7-9/10"),
        ("bytes=0-99", "0123456789", "bytes 0-9/10"),
        ("bytes=1-2,3-4,20-", "1234", "bytes 1-4/10"),
    ] {
        let answer = site.get_with(&url, &[("range", range)]).await;
        assert_eq!(
            (answer.status.as_u16(), answer.text.as_str()),
            (206, content),
            "{range}"
        );
        assert_eq!(answer.header("content-range"), Some(which));
        assert_eq!(answer.header("etag"), Some(tag.as_str()));
        assert_eq!(answer.header("content-type"), Some("a/b"));
    }
    for range in ["bytes=4-2", "bytes=x", "lines=1-2", "bytes"] {
        let answer = site.get_with(&url, &[("range", range)]).await;
        assert_eq!(
            (answer.status.as_u16(), answer.text.as_str()),
            (200, "0123456789"),
            "{range}"
        );
        assert_eq!(answer.header("content-range"), None);
    }
    for range in ["bytes=10-", "bytes=-0", "bytes=10-12,99-"] {
        let answer = site.get_with(&url, &[("range", range)]).await;
        assert_is(&answer, 416, "range_not_satisfiable");
        assert_eq!(answer.header("content-range"), Some("bytes */10"));
    }
    let weak = format!("W/{tag}");
    for (condition, status) in [
        (tag.as_str(), 206),
        (&weak, 200),
        ("\"other\"", 200),
        ("Mon, 06 May 2024 13:53:20 GMT", 200),
    ] {
        let answer = site
            .get_with(&url, &[("range", "bytes=0-1"), ("if-range", condition)])
            .await;
        assert_eq!(answer.status, status, "{condition}");
    }
}

#[actix_web::test]
async fn several_ranges_are_sent_in_one_answer() {
    let site = Site::new().await;
    let url = site.store("a.bin", "a/b", b"0123456789").await;
    let served = site.serve(HttpSettings::default());
    let (head, body) = served
        .ask("GET", &url, "range: bytes=7-8, 0-1,1-2, -1,50-\r\n")
        .await;
    assert!(head.starts_with("HTTP/1.1 206"), "{head}");
    let kind = header(&head, "content-type").unwrap();
    let boundary = kind.strip_prefix("multipart/byteranges; boundary=").unwrap();
    let part = |range: &str, content: &str| {
        format!("--{boundary}\r\nContent-Type: a/b\r\nContent-Range: bytes {range}/10\r\n\r\n{content}\r\n")
    };
    let expected = [
        part("7-9", "789"),
        part("0-2", "012"),
        format!("--{boundary}--\r\n"),
    ]
    .concat();
    assert_eq!(String::from_utf8(body).unwrap(), expected);
    assert_eq!(
        header(&head, "content-length"),
        Some(expected.len().to_string().as_str())
    );
    assert_eq!(header(&head, "content-range"), None);
}

#[actix_web::test]
async fn a_thousand_ranges_cost_nothing() {
    let site = Site::new().await;
    let url = site.store("a.bin", "a/b", &bytes(5_000)).await;
    let ranges: Vec<String> = (0..1_000).map(|i| format!("{0}-{0}", i * 3)).collect();
    let range = format!("bytes={}", ranges.join(","));
    let answer = site.get_with(&url, &[("range", &range)]).await;
    assert_is(&answer, 416, "range_not_satisfiable");
    assert_eq!(answer.header("content-range"), Some("bytes */5000"));
    assert_eq!(site.blobs.calls(BlobCall::Read), 0);
}

#[actix_web::test]
async fn a_client_that_has_the_file_is_told_so() {
    let site = Site::new().await;
    let url = site.store("a.bin", "a/b", b"0123456789").await;
    let tag = site.get(&url).await.header("etag").unwrap().to_owned();
    let reads = site.blobs.calls(BlobCall::Read);
    let (weak, list) = (format!("W/{tag}"), format!("\"x\", {tag}"));
    for condition in [&tag, &weak, &list, "*"] {
        let answer = site
            .get_with(&url, &[("if-none-match", condition), ("range", "bytes=0-1")])
            .await;
        assert_eq!(
            (answer.status.as_u16(), answer.text.as_str()),
            (304, ""),
            "{condition}"
        );
        assert_eq!(answer.header("etag"), Some(tag.as_str()));
        assert_eq!(
            answer.header("cache-control"),
            Some("private, max-age=31536000, immutable")
        );
    }
    for condition in ["\"x\"", &weak] {
        let answer = site.get_with(&url, &[("if-match", condition)]).await;
        assert_is(&answer, 412, "precondition_failed");
    }
    assert_eq!(site.blobs.calls(BlobCall::Read), reads);
    for headers in [
        [("if-none-match", "\"x\"")],
        [("if-match", &tag)],
        [("if-match", &list)],
        [("if-match", "*")],
    ] {
        assert_eq!(site.get_with(&url, &headers).await.status, 200, "{headers:?}");
    }
}

#[actix_web::test]
async fn a_head_tells_the_length_and_reads_nothing() {
    let site = Site::new().await;
    let url = site.store("a.bin", "a/b", &bytes(5_000)).await;
    let served = site.serve(HttpSettings::default());
    for headers in ["", "range: bytes=0-1\r\n"] {
        let (head, body) = served.ask("HEAD", &url, headers).await;
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        assert_eq!(header(&head, "content-length"), Some("5000"), "{head}");
        assert_eq!(header(&head, "content-type"), Some("a/b"));
        assert!(body.is_empty());
    }
    assert_eq!(site.blobs.calls(BlobCall::Read), 0);
    let (head, _) = served.ask("GET", &url, "").await;
    assert_eq!(header(&head, "content-length"), Some("5000"), "{head}");
}

#[actix_web::test]
async fn a_download_that_fails_in_the_middle_never_looks_whole() {
    let site = Site::new().await;
    let url = site.store("a.bin", "a/b", &bytes(400_000)).await;
    let served = site.serve(HttpSettings::default());
    for (headers, pieces) in [
        ("", 2),
        ("range: bytes=1-399999\r\n", 2),
        ("range: bytes=0-9,200000-399999\r\n", 2),
    ] {
        site.blobs
            .fail_after(BlobCall::Piece, pieces, BlobFailure::Unavailable);
        let (head, body) = served.ask("GET", &url, headers).await;
        assert!(head.starts_with("HTTP/1.1 20"), "{head}");
        let length: usize = header(&head, "content-length").unwrap().parse().unwrap();
        assert!(body.len() < length, "{headers}");
    }
    // The second part can't be opened.
    site.blobs.fail_after(BlobCall::Read, 1, BlobFailure::Failed);
    let cut = served.read("GET", &url, "range: bytes=0-9,20-29\r\n").await;
    assert!(!String::from_utf8_lossy(&cut).contains("20-29"));
    // What fails before the first byte is told.
    for range in ["", "range: bytes=0-9\r\n", "range: bytes=0-9,20-29\r\n"] {
        site.blobs.fail_next(BlobCall::Read, BlobFailure::Unavailable);
        let (head, _) = served.ask("GET", &url, range).await;
        assert!(head.starts_with("HTTP/1.1 503"), "{head}");
    }
}

#[actix_web::test]
async fn bytes_that_are_gone_are_missing() {
    let site = Site::new().await;
    let url = site.store("a.bin", "a/b", b"abc").await;
    for name in site.blobs.names() {
        site.blobs.lose(name);
    }
    assert_is(&site.get(&url).await, 404, "content_missing");
}

#[actix_web::test]
async fn files_are_for_their_user() {
    let site = Site::new().await;
    let url = site.store("a.bin", "a/b", b"abc").await;
    let unknown = format!("/resources/{ID}/download");
    assert_is(&site.get(&unknown).await, 404, "not_found");
    assert_is(&site.get("/resources/7/download").await, 422, "validation_failed");
    let nobody = site.send(TestRequest::with_uri(&url)).await;
    assert_is(&nobody, 401, "unauthenticated");
    let theirs = "0198f3a2-7b1c-7def-8000-00000000bbbb"
        .parse::<ResourceId>()
        .unwrap();
    site.add_user(2).await;
    let of_theirs = site.state.attachments.receive(user(2)).await.unwrap();
    let received = of_theirs.finish().await.unwrap();
    let by_them = mosaic_application::records::EditBy {
        user: user(2),
        login: None,
        client: mosaic_domain::ClientId::unnamed(),
        edit_time: None,
        created_at: None,
        client_time: None,
        arrived_at: site.state.clock.now(),
    };
    let new = mosaic_application::attachments::NewFile {
        id: Some(theirs),
        memo_id: None,
        filename: "a".to_owned().try_into().unwrap(),
        declared: None,
        metadata: None,
    };
    site.state.attachments.add(&by_them, new, received).await.unwrap();
    assert!(
        site.state
            .records
            .find::<Resource>(user(2), theirs)
            .await
            .unwrap()
            .is_some()
    );
    let answer = site.get(&format!("/resources/{theirs}/download")).await;
    assert_is(&answer, 404, "not_found");
}

#[actix_web::test]
async fn smaller_pictures_are_files_of_their_own() {
    let site = Site::new().await;
    let url = site.store("a.png", "image/png", PNG).await;
    let whole = site.get(&url).await.header("etag").unwrap().to_owned();
    for (address, variant) in [
        (url.replace("download", "thumbnail"), "thumb"),
        (format!("{url}?variant=thumb"), "thumb"),
        (format!("{url}?variant=opt"), "opt"),
    ] {
        let answer = site.get(&address).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        assert_eq!(answer.text, String::from_utf8_lossy(SMALLER));
        assert_eq!(answer.header("content-type"), Some("image/jpeg"));
        assert_eq!(
            answer.header("content-disposition"),
            Some("inline; filename=\"a.jpg\"; filename*=UTF-8''a.jpg")
        );
        let tag = format!("{}-{variant}\"", whole.trim_end_matches('"'));
        assert_eq!(answer.header("etag"), Some(tag.as_str()));
        let again = site.get_with(&address, &[("if-none-match", &tag)]).await;
        assert_eq!(again.status, 304);
    }
    let answer = site.get(&format!("{url}?variant=huge")).await;
    assert_refuses(&answer, "variant", "unknown_value");
    let text = site.store("a.txt", "text/plain", b"abc").await;
    let answer = site.get(&format!("{text}?variant=thumb")).await;
    assert_is(&answer, 422, "not_a_picture");
}

#[actix_web::test]
async fn downloads_go_to_the_storage_where_they_shall() {
    let mut site = Site::signing().await;
    let url = site.store("a.png", "image/png", PNG).await;
    // Once stored, a picture is read to see whether there can be a smaller one.
    let before = site.blobs.calls(BlobCall::Read);
    site.set(|downloads| downloads.redirect_for = Some(Duration::from_mins(5)));
    let answer = site.get(&url).await;
    assert_eq!((answer.status.as_u16(), answer.text.as_str()), (307, ""));
    assert_eq!(answer.header("cache-control"), Some("private, no-store"));
    let address = answer.header("location").unwrap();
    assert_eq!(site.blobs.fetch(address).as_deref(), Some(PNG));
    // The address is signed for a `GET`, and the storage knows no tags of ours.
    let head = TestRequest::with_uri(&url).method("HEAD".parse().unwrap());
    let answer = site.send(by("user", head)).await;
    assert_eq!(answer.status, 200);
    let tag = answer.header("etag").unwrap().to_owned();
    let again = TestRequest::get().uri(&url).insert_header(("if-none-match", tag));
    assert_eq!(site.send(by("user", again)).await.status, 304);
    assert_eq!(site.blobs.calls(BlobCall::Read), before);
    let mut local = Site::new().await;
    local.set(|downloads| downloads.redirect_for = Some(Duration::from_mins(5)));
    let url = local.store("a.txt", "text/plain", b"abc").await;
    assert_eq!(local.get(&url).await.text, "abc");
}

fn avatar(parts: &[Vec<u8>]) -> TestRequest {
    post("/resources/upload-avatar", form(parts))
}

fn picture() -> Vec<u8> {
    file("me.png", "image/png", PNG)
}

#[actix_web::test]
async fn an_avatar_becomes_that_of_the_account_or_gets_an_address() {
    let site = Site::new().await;
    for (parts, is_of_user) in [
        (vec![picture()], true),
        (vec![field("purpose", "user"), picture()], true),
        (vec![picture(), field("purpose", "bot")], false),
    ] {
        let answer = site.send(avatar(&parts)).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        let (id, url) = (&answer.body["id"], answer.body["avatarUrl"].as_str().unwrap());
        assert_eq!(url, format!("/api/avatars/{}/download", id.as_str().unwrap()));
        assert_eq!(answer.body["user"]["username"], "user-1");
        assert_eq!(answer.body["user"]["avatarUrl"] == *url, is_of_user);
        let shown = site.get(url).await;
        assert_eq!(shown.text, String::from_utf8_lossy(PNG));
        assert_eq!(shown.header("content-type"), Some("image/png"));
        assert_eq!(
            shown.header("content-disposition"),
            Some("inline; filename=\"avatar.png\"; filename*=UTF-8''avatar.png")
        );
    }
    assert_eq!((site.blobs.count(), site.blobs.writers()), (1, 0));
    let unknown = site.get(&format!("/avatars/{ID}/download")).await;
    assert_is(&unknown, 404, "not_found");
}

#[actix_web::test]
async fn only_small_pictures_become_avatars() {
    let site = Site::new().await;
    let most = usize::try_from(AVATAR_BYTES).unwrap();
    let large = [PNG, &bytes(most)].concat();
    let larger = [PNG, &bytes(most + 200_000)].concat();
    for content in [large, larger] {
        let answer = site.send(avatar(&[file("a.png", "image/png", &content)])).await;
        assert_is(&answer, 413, "file_too_large");
        assert_eq!(answer.body["limit"], AVATAR_BYTES);
    }
    let answer = site.send(avatar(&[text()])).await;
    assert_is(&answer, 422, "not_a_picture");
    let cases = [
        (
            vec![picture(), field("purpose", "cat")],
            "purpose",
            "unknown_value",
        ),
        (vec![field("purpose", "bot")], "file", "required"),
        (vec![picture(), picture()], "file", "duplicate"),
    ];
    for (parts, path, code) in cases {
        assert_refuses(&site.send(avatar(&parts)).await, path, code);
    }
    site.assert_empty("").await;
    assert_eq!(
        site.send(by("user", TestRequest::with_uri("/auth/me")))
            .await
            .body["avatarUrl"],
        Value::Null
    );
}

fn as_json(path: &str, body: &Value) -> TestRequest {
    by("user", TestRequest::post().uri(path).set_json(body))
}

#[actix_web::test]
async fn a_direct_upload_becomes_a_resource_when_it_is_confirmed() {
    let site = Site::signing().await;
    let body =
        json!({"id": ID, "filename": "a.txt", "mimeType": "text/plain", "fileSize": 3, "metadata": {"a": 1}});
    let begun = site.send(as_json("/resources/presigned-upload", &body)).await;
    assert_eq!(begun.status, 200, "{}", begun.text);
    assert_eq!(
        (
            &begun.body["method"],
            &begun.body["headers"],
            &begun.body["resourceId"]
        ),
        (&json!("PUT"), &json!({}), &json!(ID))
    );
    let lifetime = i64::try_from(site.state.downloads.direct_for.as_millis()).unwrap();
    assert_eq!(begun.body["expiresAt"], ManualClock::START_MS + lifetime);
    let confirm = || {
        as_json(
            "/resources/confirm-upload",
            &json!({"uploadId": begun.body["uploadId"]}),
        )
    };
    assert_is(&site.send(confirm()).await, 409, "upload_incomplete");
    let address = begun.body["uploadUrl"].as_str().unwrap();
    assert!(site.blobs.send(address, Bytes::from_static(b"abc")));
    for _ in 0..2 {
        let answer = site.send(confirm()).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        assert_eq!(
            (&answer.body["id"], &answer.body["fileSize"]),
            (&json!(ID), &json!(3))
        );
        assert_eq!(answer.body["metadata"], json!({"a": 1}));
    }
    assert_eq!(site.get(&format!("/resources/{ID}/download")).await.text, "abc");
}

#[actix_web::test]
async fn a_direct_upload_that_can_not_be_is_refused() {
    let site = Site::signing().await;
    let begin = |body: Value| site.send(as_json("/resources/presigned-upload", &body));
    for (body, path, code) in [
        (json!({"fileSize": 3}), "filename", "required"),
        (json!({"filename": "a"}), "fileSize", "required"),
        (
            json!({"filename": "a", "fileSize": -1}),
            "fileSize",
            "out_of_range",
        ),
        (
            json!({"filename": "../a", "fileSize": 1}),
            "filename",
            "not_a_name",
        ),
        (
            json!({"filename": "a", "fileSize": 1, "id": "7"}),
            "id",
            "invalid_uuid",
        ),
    ] {
        assert_refuses(&begin(body).await, path, code);
    }
    let large = begin(json!({"filename": "a", "fileSize": FILE_BYTES + 1})).await;
    assert_is(&large, 413, "file_too_large");
    let confirm = |body: Value| site.send(as_json("/resources/confirm-upload", &body));
    assert_refuses(&confirm(json!({})).await, "uploadId", "required");
    assert_refuses(
        &confirm(json!({"uploadId": "7"})).await,
        "uploadId",
        "invalid_uuid",
    );
    assert_is(&confirm(json!({"uploadId": ID})).await, 404, "not_found");
    let local = Site::new().await;
    let body = json!({"filename": "a", "fileSize": 3});
    let refused = local.send(as_json("/resources/presigned-upload", &body)).await;
    assert_is(&refused, 409, "no_direct_uploads");
}
