//! Files on their way out: whole, in part, not again, and never as a page of this server (A5).

use reqwest::Method;
use serde_json::json;

use crate::files::{bytes_of, file, noise, sha256};
use crate::harness::{Client, Server};
use crate::kinds::RESOURCE;

/// A server, a phone, a file that is stored there, and the path of its bytes.
struct Stored {
    _server: Server,
    phone: Client,
    bytes: Vec<u8>,
    path: String,
}

impl Stored {
    async fn new(length: usize) -> Self {
        let server = Server::start();
        let phone = server.device("phone").await;
        let bytes = noise(11, length);
        let resource = phone.upload(file("a.bin", "", &bytes)).await.ok();
        Self {
            _server: server,
            phone,
            bytes,
            path: bytes_of(&resource),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_of_a_file_is_sent_and_says_which_it_is() {
    let stored = Stored::new(1_000_000).await;
    for (range, from, to) in [
        ("bytes=0-0", 0, 1),
        ("bytes=0-499", 0, 500),
        ("bytes=999999-", 999_999, 1_000_000),
        ("bytes=500000-", 500_000, 1_000_000),
        ("bytes=-1", 999_999, 1_000_000),
        ("bytes=-300000", 700_000, 1_000_000),
        ("bytes=-2000000", 0, 1_000_000),
        ("bytes=262143-262145", 262_143, 262_146),
        ("bytes=999000-2000000", 999_000, 1_000_000),
        ("bytes=100-199,200-299", 100, 300),
        ("bytes=300-399,100-350", 100, 400),
        ("bytes=5-9,2000000-", 5, 10),
    ] {
        let part = stored.phone.download_with(&stored.path, "range", range).await;
        assert_eq!(part.status, 206, "{range}");
        assert_eq!(
            part.header("content-range"),
            format!("bytes {from}-{}/1000000", to - 1),
            "{range}"
        );
        assert_eq!(part.header("content-length"), (to - from).to_string(), "{range}");
        assert!(part.bytes == stored.bytes[from..to], "{range}: other bytes");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn head_says_what_get_would_without_the_bytes() {
    let stored = Stored::new(70_000).await;
    for range in [None, Some("bytes=5-9")] {
        let request = |method| {
            let request = stored.phone.request(method, &stored.path);
            match range {
                Some(range) => request.header("range", range),
                None => request,
            }
        };
        let head = stored.phone.fetch(request(Method::HEAD)).await;
        // A range is for `GET` alone.
        assert_eq!((head.status, head.header("content-length")), (200, "70000"));
        assert!(head.bytes.is_empty());
        let get = stored.phone.download(&stored.path).await;
        for name in [
            "content-type",
            "content-length",
            "content-disposition",
            "etag",
            "accept-ranges",
            "cache-control",
            "content-security-policy",
            "x-content-type-options",
        ] {
            assert_eq!(head.header(name), get.header(name), "{name}");
            assert!(!head.header(name).is_empty(), "{name}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_download_is_continued_where_it_broke_off() {
    let stored = Stored::new(400_000).await;
    let tag = format!("\"{}\"", sha256(&stored.bytes));
    let mut got = Vec::new();
    while got.len() < stored.bytes.len() {
        let range = format!("bytes={}-{}", got.len(), got.len() + 149_999);
        let request = stored.phone.request(Method::GET, &stored.path);
        let request = request.header("range", range).header("if-range", &tag);
        let part = stored.phone.fetch(request).await;
        assert_eq!(part.status, 206);
        got.extend_from_slice(&part.bytes);
    }
    assert!(got == stored.bytes);
}

#[tokio::test(flavor = "multi_thread")]
async fn a5_nothing_that_was_uploaded_can_run_here() {
    let stored = Stored::new(10).await;
    let png = crate::files_pictures::png(3, 3);
    let pages: [(&str, &str, &[u8], &str); 9] = [
        (
            "a.html",
            "text/html",
            b"<html><script>alert(1)</script>",
            "attachment",
        ),
        // A page that is said to be harmless, and one that begins late.
        (
            "a.png",
            "image/png",
            b"<!DOCTYPE html><script>alert(1)</script>",
            "attachment",
        ),
        (
            "a.txt",
            "text/plain",
            b"\n\n  <html><script>alert(1)</script>",
            "attachment",
        ),
        (
            "a.svg",
            "image/svg+xml",
            b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>",
            "attachment",
        ),
        (
            "a.png",
            "image/png",
            b"<?xml version='1.0'?><svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>",
            "attachment",
        ),
        ("a.js", "text/javascript", b"alert(1)", "attachment"),
        ("a.pdf", "application/pdf", b"%PDF-1.7 (javascript)", "attachment"),
        ("a.png", "image/png", &png, "inline"),
        ("a.txt", "text/plain", b"words", "inline"),
    ];
    for (name, said, bytes, wanted) in pages {
        let resource = stored.phone.upload(file(name, said, bytes)).await.ok();
        let answer = stored.phone.download(&bytes_of(&resource)).await;
        let disposition = answer.header("content-disposition").to_owned();
        assert!(disposition.starts_with(wanted), "{name} as {said}: {disposition}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        let policy = answer.header("content-security-policy");
        assert!(
            policy.contains("default-src 'none'") && policy.contains("sandbox"),
            "{policy}"
        );
        let kind = answer.header("content-type");
        let is_page = ["html", "svg", "xml", "javascript"]
            .iter()
            .any(|page| kind.contains(page));
        assert!(!is_page || wanted == "attachment", "{name}: {kind}");
        assert_eq!(answer.whole(), bytes);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_not_packed_on_their_way_and_keep_their_length() {
    let stored = Stored::new(10).await;
    let text = "again and ".repeat(10_000);
    let data = json!([text]).to_string();
    for (name, kind, bytes) in [
        ("a.txt", "text/plain", text.as_bytes()),
        ("a.json", "application/json", data.as_bytes()),
    ] {
        let resource = stored.phone.upload(file(name, kind, bytes)).await.ok();
        let path = bytes_of(&resource);
        let answer = stored
            .phone
            .download_with(&path, "accept-encoding", "gzip, br")
            .await;
        assert_eq!(answer.header("content-encoding"), "");
        assert_eq!(answer.header("content-length"), bytes.len().to_string());
        assert_eq!(answer.whole(), bytes);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_without_a_login_and_those_of_nobody_are_not_given_out() {
    let stored = Stored::new(10).await;
    let anonymous = stored.phone.with_token(None);
    anonymous.get(&stored.path).await.problem(401, "unauthenticated");
    for what in ["download", "thumbnail"] {
        let path = format!("{}/{what}", RESOURCE.path(99));
        stored.phone.get(&path).await.problem(404, "not_found");
    }
    stored
        .phone
        .get(&format!("{}?variant=huge", stored.path))
        .await
        .invalid("variant", "unknown_value");
    stored
        .phone
        .get(&format!("{}?variant=thumb", stored.path))
        .await
        .problem(422, "not_a_picture");
    let nobody = format!("/avatars/{}/download", RESOURCE.key(1));
    stored.phone.get(&nobody).await.problem(404, "not_found");
}
