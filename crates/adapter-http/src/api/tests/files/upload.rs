//! Uploads in one request.

use mosaic_testkit::{BlobCall, BlobFailure};

use super::super::site::{FILE_BYTES, USER_BYTES};
use super::*;
use crate::BodyLimits;

#[actix_web::test]
async fn a_file_becomes_a_resource() {
    let site = Site::new().await;
    let answer = site.send(upload(&[
        field("id", ID),
        field("metadata", r#"{"width": 7}"#),
        file("日記.png", "text/plain; charset=utf-8", PNG),
        field("createdAt", "1000"),
        field("unknown", "anything"),
        part("name=\"unknown\"", b"\xff"),
    ]));
    let answer = answer.await.assert_ok();
    answer.assert_has(&json!({
        "id": ID, "filename": "日記.png", "mimeType": "image/png", "fileSize": PNG.len(), "createdAt": 1000,
        "metadata": {"width": 7, "declaredMimeType": "text/plain"},
    }));
    let body = answer.body;
    assert_eq!(body["sha256"].as_str().unwrap().len(), 64);
    assert_eq!(site.get(&format!("/resources/{ID}")).await.body, body);
    site.assert_holds(1);
}

#[actix_web::test]
async fn fields_say_more_than_the_part_of_the_file() {
    let site = Site::new().await;
    let named = [
        text(),
        field("filename", "b.md"),
        field("mimeType", "text/markdown"),
    ];
    let answer = site.send(upload(&named)).await.assert_ok();
    answer.assert_has(&json!({"filename": "b.md", "mimeType": "text/markdown"}));
    let nameless = part("name=\"file\"", b"");
    let named = [field("filename", "c.md"), nameless, field("memoId", "")];
    let answer = site.send(upload(&named)).await.assert_ok();
    answer.assert_has(&json!({"filename": "c.md", "fileSize": 0}));
    let url = answer.body["url"].as_str().unwrap();
    assert_eq!(site.get(url).await.assert_ok().text, "");
}

#[actix_web::test]
async fn the_same_upload_again_changes_nothing_and_other_bytes_are_refused() {
    let site = Site::new().await;
    let first = site.send(upload(&[field("id", ID), text()])).await;
    let again = site.send(upload(&[field("id", ID), text()])).await.assert_ok();
    assert_eq!(again.body, first.body);
    let other = upload(&[field("id", ID), file("a.txt", "text/plain", b"other")]);
    site.refuses(other, 409, "content_differs").await;
    site.assert_holds(1);
}

#[actix_web::test]
async fn a_resource_without_bytes_gets_them() {
    let site = Site::new().await;
    site.declare(ID).await;
    let download = format!("/resources/{ID}/download");
    site.get(&download).await.assert_is(404, "not_uploaded");
    let answer = site.send(upload(&[field("id", ID), text()])).await.assert_ok();
    assert_eq!(answer.body["filename"], "a.bin");
    assert_eq!(site.get(&download).await.text, "abc");
}

#[actix_web::test]
async fn bad_fields_are_named_and_nothing_is_stored() {
    let site = Site::new().await;
    let long = "x".repeat(70_000);
    let deep = format!("{{\"a\":{}{}}}", "[".repeat(20), "]".repeat(20));
    let large = format!("{{\"a\":\"{}\"}}", "x".repeat(20_000));
    let mut cases = vec![
        ("file", "required", vec![]),
        ("file", "required", vec![field("id", ID)]),
        ("file", "not_a_name", vec![file("../x", "text/plain", b"abc")]),
        ("file", "duplicate", vec![text(), text()]),
        ("file", "required", vec![part("name=\"file\"", b"abc")]),
        (
            "file",
            "nul",
            vec![part("name=\"file\"; filename*=UTF-8''a%00b", b"abc")],
        ),
        ("id", "duplicate", vec![field("id", ID), field("id", ID), text()]),
        (
            "metadata",
            "invalid_utf8",
            vec![part("name=\"metadata\"", b"{\"a\":\"\xff\"}"), text()],
        ),
    ];
    for (name, code, value) in [
        ("filename", "control_character", "a\nb"),
        ("filename", "not_a_name", "../b"),
        ("id", "invalid_uuid", "7"),
        ("memoId", "invalid_uuid", "x"),
        ("metadata", "invalid_type", "[]"),
        ("metadata", "invalid_type", "7"),
        ("metadata", "malformed_json", "{"),
        ("metadata", "too_deep", &deep),
        ("metadata", "too_long", &large),
        ("metadata", "too_long", &long),
        ("unknown", "too_long", &long),
        ("createdAt", "invalid_type", "soon"),
        ("updatedAt", "out_of_range", "-1"),
        ("mimeType", "invalid_mime_type", "text"),
    ] {
        cases.push((name, code, vec![field(name, value), text()]));
        cases.push((name, code, vec![text(), field(name, value)]));
    }
    for (path, code, parts) in cases {
        site.send(upload(&parts)).await.assert_refuses(path, code);
        site.assert_empty(code).await;
    }
}

#[actix_web::test]
async fn what_is_no_form_is_refused_and_nothing_is_stored() {
    let site = Site::new().await;
    let whole = form(&[text()]);
    let cut = |bytes: usize| whole[..whole.len() - bytes].to_vec();
    let lie = part("name=\"file\"; filename=\"a\"\r\nContent-Length: 4", b"abc");
    for body in [cut(4), cut(25), form(&[lie]), form(&vec![field("a", "b"); 33])] {
        site.refuses(post("/resources/upload", body), 400, "invalid_multipart")
            .await;
        site.assert_empty("no form").await;
    }
    for (name, value, code) in [
        ("content-type", "application/json", "unsupported_media_type"),
        ("content-encoding", "gzip", "unsupported_encoding"),
    ] {
        let request = upload(&[text()]).insert_header((name, value));
        site.refuses(request, 415, code).await;
    }
    site.assert_empty("no form").await;
}

#[actix_web::test]
async fn what_is_known_to_fail_fails_before_the_bytes() {
    let site = Site::new().await;
    site.declare(ID).await;
    let deleted = ask("DELETE", &format!("/resources/{ID}"));
    site.send(deleted).await.assert_is(204, "");
    let memo = "0198f3a2-7b1c-7def-8000-00000000aaaa";
    for (field, status, code) in [
        (field("memoId", memo), 422, "unknown_memo"),
        (field("id", ID), 409, "deleted"),
        (field("updatedAt", "9000000000000"), 422, "edit_time_ahead"),
    ] {
        let begun = site.blobs.calls(BlobCall::Create);
        site.refuses(upload(&[field.clone(), text()]), status, code).await;
        assert_eq!(site.blobs.calls(BlobCall::Create), begun);
        site.refuses(upload(&[text(), field]), status, code).await;
        site.assert_holds(0);
    }
}

/// The beginning of a form, with the head of its file.
fn begun(fields: &[Vec<u8>]) -> Vec<u8> {
    let mut begun = [fields.concat(), text()].concat();
    begun.truncate(begun.len() - 2);
    begun
}

#[actix_web::test]
async fn what_is_refused_early_is_not_awaited() {
    let site = Site::new().await;
    for (fields, length, status, code) in [
        (vec![], 10 * FILE_BYTES, 413, "file_too_large"),
        (vec![field("id", "7")], FILE_BYTES, 422, "validation_failed"),
    ] {
        let request = announcing("/resources/upload", length);
        let answer = site.send_raw(unfinished(request, &begun(&fields))).await;
        answer.assert_is(status, code);
    }
    assert_eq!(site.blobs.calls(BlobCall::Create), 0);
}

#[actix_web::test]
async fn files_may_have_so_many_bytes_and_users_so_many_together() {
    let site = Site::new().await;
    let mut content = bytes(usize::try_from(FILE_BYTES).unwrap());
    let larger = [&content[..], b"x"].concat();
    let refused = site.send(upload(&[file("a", "a/b", &larger)])).await;
    assert_eq!(refused.assert_is(413, "file_too_large").body["limit"], FILE_BYTES);
    site.assert_empty("too large").await;
    let mut store = async |first: u8| {
        content[0] = 0xf0 + first;
        let id = field("id", &ID.replace("ab", &format!("a{first}")));
        site.send(upload(&[id, file("a", "a/b", &content)]))
            .await
            .assert_ok();
    };
    for first in 0..3 {
        store(first).await;
    }
    let refused = site.refuses(upload(&[text()]), 413, "quota_exceeded").await;
    refused.assert_has(&json!({"used": USER_BYTES, "quota": USER_BYTES}));
    site.assert_holds(3);
    // The same bytes take no room.
    store(0).await;
    site.assert_holds(3);
}

#[actix_web::test]
async fn the_limits_of_other_bodies_do_not_hold_for_files() {
    let mut site = Site::new().await;
    site.settings_mut().body = BodyLimits {
        packed_bytes: 100,
        unpacked_bytes: 100,
        timeout: Duration::ZERO,
    };
    site.store("a.bin", "a/b", &bytes(300_000)).await;
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
            let answer = site.refuses(upload(&[text()]), status, code).await;
            assert_eq!(answer.header("retry-after").is_some(), status == 503);
            assert!(!answer.text.contains("the test wants it so"), "{}", answer.text);
            site.assert_empty(code).await;
        }
    }
}

#[actix_web::test]
async fn an_upload_that_stands_still_is_given_up_however_it_began() {
    let mut site = Site::new().await;
    site.state_mut().downloads.upload_idle = Duration::from_millis(50);
    for path in ["/resources/upload", "/resources/upload-avatar"] {
        for body in [&begun(&[])[..], &field("id", ID), b"--the-b", b""] {
            let answer = site.send_raw(unfinished(announcing(path, 900), body)).await;
            answer.assert_is(408, "request_timeout");
        }
    }
    site.assert_empty("").await;
}

#[actix_web::test]
async fn an_upload_whose_client_goes_away_leaves_nothing() {
    let site = Site::new().await;
    let request = announcing("/resources/upload", 900_000);
    let mut request = Box::pin(site.start(unfinished(request, &begun(&[]))));
    tokio::select! {
        _ = &mut request => panic!("its bytes do not come"),
        () = eventually(async || site.blobs.writers() > 0) => {}
    }
    drop(request);
    eventually(async || site.blobs.writers() == 0).await;
    site.assert_empty("").await;
}

#[actix_web::test]
async fn a_connection_goes_on_after_an_upload() {
    let mut connection = Site::new().await.connect().await;
    let body = form(&[text()]);
    let headers = format!("content-type: {}\r\ncontent-length: {}\r\n", FORM.1, body.len());
    for close in ["", "connection: close\r\n"] {
        let headers = format!("{close}{headers}");
        connection
            .send("POST", "/resources/upload", &headers, &body)
            .await;
        connection.incoming.until("HTTP/1.1 200").await;
    }
    connection.incoming.rest().await;
}
