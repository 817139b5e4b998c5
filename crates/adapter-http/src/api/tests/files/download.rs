//! Downloads: whole, in part, smaller, or not again.

use mosaic_testkit::{BlobCall, BlobFailure};

use super::super::site::SMALLER;
use super::*;

const CACHED: &str = "private, max-age=31536000, immutable";
const DIGITS: &[u8] = b"0123456789";

#[actix_web::test]
async fn a_download_says_what_it_is_and_runs_nothing() {
    let site = Site::new().await;
    let url = site.store("a \\\"b\\\".html", "text/html", b"<script>").await;
    let answer = site.get(&url).await.assert_ok();
    assert_eq!(answer.text, "<script>");
    let listed = site.get("/resources").await;
    let sha256 = listed.body["items"][0]["sha256"].as_str().unwrap();
    answer.assert_headers(&[
        ("content-type", "text/html"),
        (
            "content-disposition",
            "attachment; filename=\"a _b_.html\"; filename*=UTF-8''a%20%22b%22.html",
        ),
        ("etag", &format!("\"{sha256}\"")),
        ("accept-ranges", "bytes"),
        ("cache-control", CACHED),
        ("x-content-type-options", "nosniff"),
        ("content-security-policy", "default-src 'none'; sandbox"),
        ("cross-origin-resource-policy", "same-origin"),
    ]);
    let text = site.store("a.txt", "text/plain", b"abc").await;
    let answer = site.get(&text).await;
    assert_eq!(answer.header("content-type"), Some("text/plain; charset=utf-8"));
    let disposition = answer.header("content-disposition").unwrap();
    assert!(disposition.starts_with("inline;"), "{disposition}");
}

#[actix_web::test]
async fn files_are_never_packed() {
    let site = Site::new().await;
    let content = format!("[{}1]", "1,".repeat(5_000));
    let url = site.store("a.json", "application/json", content.as_bytes()).await;
    for range in ["pages=1", "bytes=0-9000"] {
        let headers = [("accept-encoding", "gzip, br"), ("range", range)];
        let answer = site.get_with(&url, &headers).await;
        assert!(content.starts_with(&answer.text), "{range}");
        assert_eq!(answer.header("content-encoding"), None);
    }
}

#[actix_web::test]
async fn ranges_are_sent() {
    let site = Site::new().await;
    let url = site.store("a.bin", "a/b", DIGITS).await;
    let tag = site.get(&url).await.header("etag").unwrap().to_owned();
    for (range, content, which) in [
        ("bytes=2-4", "234", "bytes 2-4/10"),
        ("bytes=-3", "789", "bytes 7-9/10"),
        ("bytes=1-2,3-4,20-", "1234", "bytes 1-4/10"),
    ] {
        let answer = site.get_with(&url, &[("range", range)]).await;
        assert_eq!((answer.status, &*answer.text), (206, content), "{range}");
        answer.assert_headers(&[("content-range", which), ("etag", &tag), ("content-type", "a/b")]);
    }
    let whole = site.get_with(&url, &[("range", "bytes=4-2")]).await.assert_ok();
    assert_eq!(
        (whole.text.as_bytes(), whole.header("content-range")),
        (DIGITS, None)
    );
    let thousand: Vec<String> = (0..1_000).map(|i| format!("{0}-{0}", i * 3)).collect();
    let thousand = format!("bytes={}", thousand.join(","));
    let reads = site.blobs.calls(BlobCall::Read);
    for range in ["bytes=10-", &thousand] {
        let answer = site.get_with(&url, &[("range", range)]).await;
        let answer = answer.assert_is(416, "range_not_satisfiable");
        assert_eq!(answer.header("content-range"), Some("bytes */10"));
    }
    assert_eq!(site.blobs.calls(BlobCall::Read), reads);
    let weak = format!("W/{tag}");
    for (condition, status) in [
        (&*tag, 206),
        (&weak, 200),
        ("\"other\"", 200),
        ("Mon, 06 May 2024 13:53:20 GMT", 200),
    ] {
        let headers = [("range", "bytes=0-1"), ("if-range", condition)];
        let answer = site.get_with(&url, &headers).await;
        assert_eq!(answer.status, status, "{condition}");
    }
}

#[actix_web::test]
async fn several_ranges_are_sent_in_one_answer() {
    let site = Site::new().await;
    let url = site.store("a.bin", "a/b", DIGITS).await;
    let ranges = ("range", "bytes=7-8, 0-1,1-2, -1,50-");
    let answer = site.get_with(&url, &[ranges]).await;
    let kind = answer.header("content-type").unwrap();
    let boundary = kind.strip_prefix("multipart/byteranges; boundary=").unwrap();
    let part = |range: &str, content: &str| {
        format!("--{boundary}\r\nContent-Type: a/b\r\nContent-Range: bytes {range}/10\r\n\r\n{content}\r\n")
    };
    let expected = format!("{}{}--{boundary}--\r\n", part("7-9", "789"), part("0-2", "012"));
    assert_eq!((answer.status, &answer.text), (206, &expected));
    assert_eq!(answer.length, Some(expected.len() as u64));
    assert_eq!(answer.header("content-range"), None);
}

#[actix_web::test]
async fn a_client_that_has_the_file_is_told_so() {
    let site = Site::new().await;
    let url = site.store("a.bin", "a/b", DIGITS).await;
    let tag = site.get(&url).await.header("etag").unwrap().to_owned();
    let reads = site.blobs.calls(BlobCall::Read);
    let (weak, list) = (format!("W/{tag}"), format!("\"x\", {tag}"));
    for condition in [&tag, &weak, &list, "*"] {
        let headers = [("if-none-match", condition), ("range", "bytes=0-1")];
        let answer = site.get_with(&url, &headers).await;
        assert_eq!((answer.status, &*answer.text), (304, ""), "{condition}");
        assert_eq!(answer.header("etag"), Some(&*tag));
        assert_eq!(answer.header("cache-control"), Some(CACHED));
    }
    for condition in ["\"x\"", &weak] {
        let answer = site.get_with(&url, &[("if-match", condition)]).await;
        answer.assert_is(412, "precondition_failed");
    }
    assert_eq!(site.blobs.calls(BlobCall::Read), reads);
    for header in [
        ("if-none-match", "\"x\""),
        ("if-match", &tag),
        ("if-match", &list),
        ("if-match", "*"),
    ] {
        site.get_with(&url, &[header]).await.assert_ok();
    }
}

#[actix_web::test]
async fn a_head_tells_the_length_and_reads_nothing() {
    let site = Site::new().await;
    let url = site.store("a.bin", "a/b", &bytes(5_000)).await;
    for range in ["", "bytes=0-1"] {
        let head = ask("HEAD", &url).insert_header(("range", range));
        let answer = site.send(head).await.assert_ok();
        assert_eq!((answer.length, &*answer.text), (Some(5_000), ""), "{range}");
        assert_eq!(answer.header("content-type"), Some("a/b"));
    }
    assert_eq!(site.blobs.calls(BlobCall::Read), 0);
    assert_eq!(site.get(&url).await.length, Some(5_000));
}

#[actix_web::test]
async fn a_download_that_fails_in_the_middle_never_looks_whole() {
    let site = Site::new().await;
    let url = site.store("a.bin", "a/b", &bytes(400_000)).await;
    let get = async |range| {
        let request = ask("GET", &url).insert_header(("range", range));
        let response = site.start(request.to_request()).await;
        (response.status().as_u16(), Answer::try_of(response).await)
    };
    let parts = "bytes=0-9,200000-399999";
    for (range, call, before, status) in [
        ("", BlobCall::Piece, 2, 200),
        ("bytes=1-399999", BlobCall::Piece, 2, 206),
        (parts, BlobCall::Piece, 2, 206),
        // The second part can't be opened.
        (parts, BlobCall::Read, 1, 206),
    ] {
        site.blobs.fail_after(call, before, BlobFailure::Unavailable);
        let (told, whole) = get(range).await;
        assert_eq!((told, whole.is_some()), (status, false), "{range}");
    }
    // What fails before the first byte is told.
    for range in ["", "bytes=0-9", parts] {
        site.blobs.fail_next(BlobCall::Read, BlobFailure::Unavailable);
        assert_eq!(get(range).await.0, 503, "{range}");
    }
}

#[actix_web::test]
async fn bytes_that_are_gone_are_missing() {
    let site = Site::new().await;
    let url = site.store("a.bin", "a/b", b"abc").await;
    for name in site.blobs.names() {
        site.blobs.lose(name);
    }
    site.get(&url).await.assert_is(404, "content_missing");
}

#[actix_web::test]
async fn files_are_for_their_user() {
    let site = Site::new().await;
    let url = site.store("a.bin", "a/b", b"abc").await;
    site.refuses(by("other", request("GET", &url)), 404, "not_found")
        .await;
    site.refuses(request("GET", &url), 401, "unauthenticated").await;
    site.get(&format!("/resources/{ID}/download"))
        .await
        .assert_is(404, "not_found");
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
        let answer = site.get(&address).await.assert_ok();
        assert_eq!(answer.text, String::from_utf8_lossy(SMALLER));
        let tag = format!("{}-{variant}\"", whole.trim_end_matches('"'));
        answer.assert_headers(&[
            ("content-type", "image/jpeg"),
            (
                "content-disposition",
                "inline; filename=\"a.jpg\"; filename*=UTF-8''a.jpg",
            ),
            ("etag", &tag),
        ]);
        let again = site.get_with(&address, &[("if-none-match", &tag)]).await;
        assert_eq!(again.status, 304);
    }
    let answer = site.get(&format!("{url}?variant=huge")).await;
    answer.assert_refuses("variant", "unknown_value");
    let text = site.store("a.txt", "text/plain", b"abc").await;
    let answer = site.get(&format!("{text}?variant=thumb")).await;
    answer.assert_is(422, "not_a_picture");
}

#[actix_web::test]
async fn downloads_go_to_the_storage_where_they_shall() {
    let mut site = Site::new().await;
    site.state_mut().downloads.redirect_for = Some(Duration::from_mins(5));
    let url = site.store("a.png", "image/png", PNG).await;
    // Once stored, a picture is read to see whether there can be a smaller one.
    let before = site.blobs.calls(BlobCall::Read);
    site.blobs.sign(true);
    let answer = site.get(&url).await;
    assert_eq!((answer.status, &*answer.text), (307, ""));
    assert_eq!(answer.header("cache-control"), Some("private, no-store"));
    let address = answer.header("location").unwrap();
    assert_eq!(site.blobs.fetch(address).as_deref(), Some(PNG));
    // The address is signed for a `GET`, and the storage knows no tags of ours.
    let answer = site.send(ask("HEAD", &url)).await.assert_ok();
    let tag = answer.header("etag").unwrap();
    let again = site.get_with(&url, &[("if-none-match", tag)]).await;
    assert_eq!(again.status, 304);
    assert_eq!(site.blobs.calls(BlobCall::Read), before);
    site.blobs.sign(false);
    assert_eq!(site.get(&url).await.text, String::from_utf8_lossy(PNG));
}
