//! Files on their way out: whole, in part, not again, and never as a page of this server (A5).

use reqwest::Method;
use serde_json::json;

use crate::files::{Form, bytes_of, file, noise, sha256};
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
async fn what_is_no_range_counts_for_nothing() {
    let stored = Stored::new(100).await;
    for range in [
        "bytes=5-4",
        "bytes=a-b",
        "bytes=--1",
        "bytes=1",
        "lines=1-2",
        "bytes 1-2",
        "bytes=",
        "bytes=1-2;3-4",
    ] {
        let whole = stored.phone.download_with(&stored.path, "range", range).await;
        assert_eq!(whole.status, 200, "{range}");
        assert!(whole.bytes == stored.bytes, "{range}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn several_parts_come_in_one_answer() {
    let stored = Stored::new(300_000).await;
    let ranges = [(10, 20), (299_990, 300_000), (100_000, 200_000)];
    let asked = "bytes=10-19,-10,100000-199999";
    let parts = stored.phone.download_with(&stored.path, "range", asked).await;
    assert_eq!(parts.status, 206);
    let boundary = parts
        .header("content-type")
        .strip_prefix("multipart/byteranges; boundary=")
        .expect("a boundary");
    let mut wanted = Vec::new();
    for (from, to) in ranges {
        let kind = "application/octet-stream";
        let head = format!(
            "--{boundary}\r\nContent-Type: {kind}\r\nContent-Range: bytes {from}-{}/300000\r\n\r\n",
            to - 1
        );
        wanted.extend_from_slice(head.as_bytes());
        wanted.extend_from_slice(&stored.bytes[from..to]);
        wanted.extend_from_slice(b"\r\n");
    }
    wanted.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
    assert_eq!(parts.header("content-length"), wanted.len().to_string());
    assert!(
        parts.bytes == wanted,
        "{}",
        String::from_utf8_lossy(&parts.bytes[..300])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn ranges_beyond_the_end_and_a_thousand_of_them_are_416() {
    let stored = Stored::new(2_000).await;
    let apart = |count: usize| {
        let ranges: Vec<_> = (0..count).map(|n| format!("{0}-{0}", 2 * n)).collect();
        format!("bytes={}", ranges.join(","))
    };
    let same = format!("bytes={}", vec!["0-"; 1_000].join(","));
    for range in [
        "bytes=2000-",
        "bytes=2000-2001",
        "bytes=-0",
        "bytes=99999999999999999999-",
        &apart(1_000),
        &apart(33),
        &same,
    ] {
        let refused = stored
            .phone
            .request(Method::GET, &stored.path)
            .header("range", range);
        let refused = stored.phone.send(refused).await;
        assert_eq!(refused.headers["content-range"], "bytes */2000", "{range:.40}");
        refused.problem(416, "range_not_satisfiable");
    }
    // Thirty-two are answered; and of an empty file there is nothing to ask for but all of it.
    let many = stored
        .phone
        .download_with(&stored.path, "range", &apart(32))
        .await;
    assert_eq!(many.status, 206);
    let empty = stored.phone.upload(file("empty", "", b"")).await.ok();
    for (range, status) in [("bytes=0-", 416), ("bytes=-5", 200)] {
        let answer = stored
            .phone
            .download_with(&bytes_of(&empty), "range", range)
            .await;
        assert_eq!(answer.status, status, "{range} of nothing");
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
async fn a_file_that_the_client_has_is_not_sent_again() {
    let stored = Stored::new(50_000).await;
    let (phone, path) = (&stored.phone, &stored.path);
    let tag = format!("\"{}\"", sha256(&stored.bytes));
    let whole = phone.download(path).await;
    assert_eq!(whole.header("etag"), tag);
    assert_eq!(whole.header("accept-ranges"), "bytes");
    let caching = whole.header("cache-control");
    assert!(
        caching.contains("private") && caching.contains("immutable"),
        "{caching}"
    );
    let weak = format!("W/{tag}");
    let among = format!("\"other\", {tag}");
    for known in [&*tag, &weak, &among, "*"] {
        for method in [Method::GET, Method::HEAD] {
            let request = phone.request(method, path).header("if-none-match", known);
            let answer = phone.fetch(request).await;
            assert_eq!((answer.status, answer.bytes.len()), (304, 0), "{known}");
            assert_eq!(answer.header("etag"), tag);
        }
    }
    let other = phone.download_with(path, "if-none-match", "\"other\"").await;
    assert!(other.whole() == stored.bytes);

    // Of another file, a part would be of no use: all of it comes.
    for (named, status) in [
        (&*tag, 206),
        (&*weak, 200),
        ("\"other\"", 200),
        ("Wed, 21 Oct 2026 07:28:00 GMT", 200),
    ] {
        let request = phone.request(Method::GET, path).header("range", "bytes=10-19");
        let answer = phone.fetch(request.header("if-range", named)).await;
        assert_eq!(answer.status, status, "{named}");
    }
    for (named, status) in [(&*tag, 200), ("*", 200), ("\"other\"", 412), (&*weak, 412)] {
        let answer = phone.download_with(path, "if-match", named).await;
        assert_eq!(answer.status, status, "{named}");
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
async fn names_come_in_every_script_and_break_no_header() {
    let stored = Stored::new(10).await;
    for (n, (name, plain, encoded)) in [
        ("a b.bin", "a b.bin", "a%20b.bin"),
        (
            "Ferienfotos Österreich.bin",
            "Ferienfotos _sterreich.bin",
            "Ferienfotos%20%C3%96sterreich.bin",
        ),
        ("日記.bin", "__.bin", "%E6%97%A5%E8%A8%98.bin"),
        (
            "👩‍👩‍👧.bin",
            "_____.bin",
            "%F0%9F%91%A9%E2%80%8D%F0%9F%91%A9%E2%80%8D%F0%9F%91%A7.bin",
        ),
        ("a\"b;c.bin", "a_b;c.bin", "a%22b%3Bc.bin"),
        ("100%25.bin", "100_25.bin", "100%2525.bin"),
    ]
    .into_iter()
    .enumerate()
    {
        let form = Form::new()
            .field("id", &RESOURCE.key(n))
            .field("filename", name)
            .file("x", "", &stored.bytes);
        let resource = stored.phone.upload(form).await.ok();
        assert_eq!(resource["filename"], name);
        let answer = stored.phone.download(&bytes_of(&resource)).await;
        assert_eq!(
            answer.header("content-disposition"),
            format!("attachment; filename=\"{plain}\"; filename*=UTF-8''{encoded}")
        );
    }
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
