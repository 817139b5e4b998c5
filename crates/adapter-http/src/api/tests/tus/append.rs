//! The bytes of an upload, piece by piece, and its end.

use mosaic_ports::BlobName;

use super::*;

#[actix_web::test]
async fn an_upload_comes_in_pieces() {
    let site = Site::new().await;
    let bytes = bytes(1000);
    let (address, id) = site.begin(1000, FILENAME).await;
    site.clock.advance(60_000);
    for (from, to) in [(0, 300), (300, 301), (301, 1000)] {
        assert!(site.has_no(id).await);
        let answer = site.takes(append(&address, from, &bytes[from..to])).await;
        answer.assert_headers(&[
            ("upload-offset", &to.to_string()),
            ("x-mosaic-resource-id", &id.to_string()),
            ("upload-expires", &EXPIRES.replace(":53:", ":54:")),
        ]);
        assert_eq!(site.offset(&address).await, to as u64);
    }
    let sha256 = site.resource(id).await.content.sha256.unwrap();
    let held = site.stores.contents.content(user(1), sha256).await;
    let name = BlobName {
        user: user(1),
        id: held.unwrap().unwrap().blob,
    };
    assert_eq!(site.blobs.bytes(name).unwrap(), bytes);
    assert_eq!(site.blobs.count(), 1, "the parts are gone");
}

#[actix_web::test]
async fn what_is_finished_stays_so() {
    let site = Site::new().await;
    for pieces in [&[3][..], &[1, 2]] {
        let (address, id) = site.begin(3, FILENAME).await;
        let mut offset = 0;
        for piece in pieces {
            let bytes = &b"abc"[offset..offset + piece];
            site.takes(append(&address, offset, bytes)).await;
            offset += piece;
        }
        assert_eq!(site.offset(&address).await, 3);
        let again = site.takes(append(&address, 3, b"")).await;
        assert_eq!(again.header("upload-offset"), Some("3"));
        site.refuses(append(&address, 3, b"d"), 413, "beyond_upload_length")
            .await;
        site.refuses(append(&address, 0, b"abc"), 409, "upload_offset_conflict")
            .await;
        site.takes(tus("DELETE", &address)).await;
        assert_eq!(site.resource(id).await.content.file_size.get(), 3);
        site.refuses(append(&address, 3, b""), 404, "not_found").await;
    }
}

#[actix_web::test]
async fn a_file_without_bytes_is_complete_at_once() {
    let site = Site::new().await;
    let (address, id) = site.begin(0, FILENAME).await;
    assert_eq!(site.resource(id).await.content.file_size.get(), 0);
    assert_eq!(site.offset(&address).await, 0);
    site.takes(append(&address, 0, b"")).await;
}

#[actix_web::test]
async fn only_bytes_are_taken_and_as_they_are() {
    let site = Site::new().await;
    let (address, _) = site.begin(3, FILENAME).await;
    let with = |name: &str, value: &str| append(&address, 0, b"abc").insert_header((name, value));
    for content in ["", "application/octet-stream", "application/json"] {
        let request = with("content-type", content);
        site.refuses(request, 415, "unsupported_media_type").await;
    }
    let packed = with("content-encoding", "gzip");
    site.refuses(packed, 415, "unsupported_encoding").await;
    assert_eq!(site.offset(&address).await, 0);
    let other_case = with("content-type", "Application/Offset+Octet-Stream");
    site.takes(other_case.insert_header(("content-encoding", "identity")))
        .await;
}

#[actix_web::test]
async fn the_offset_is_needed_and_must_be_right() {
    let site = Site::new().await;
    let (address, _) = site.begin(10, FILENAME).await;
    site.takes(append(&address, 0, b"abc")).await;
    let without = tus("PATCH", &address)
        .insert_header(("content-type", "application/offset+octet-stream"))
        .set_payload("d");
    let junk = append(&address, 0, b"d").insert_header(("upload-offset", "x"));
    for request in [without, junk] {
        site.refuses(request, 400, "invalid_upload_header").await;
    }
    for offset in [0, 2, 4, 10, 11] {
        let request = append(&address, offset, b"d");
        let answer = site.refuses(request, 409, "upload_offset_conflict").await;
        assert_eq!(answer.body["received"], 3);
        assert_eq!(answer.header("upload-offset"), Some("3"));
    }
    assert_eq!(site.offset(&address).await, 3);
}

#[actix_web::test]
async fn more_than_was_announced_is_refused() {
    let site = Site::new().await;
    let (address, _) = site.begin(4, FILENAME).await;
    site.takes(append(&address, 0, b"ab")).await;
    let unannounced = append(&address, 2, b"cde").insert_header(("content-length", "0"));
    for request in [append(&address, 2, b"cde"), unannounced] {
        site.refuses(request, 413, "beyond_upload_length").await;
    }
    assert_eq!(site.offset(&address).await, 2);
    site.takes(append(&address, 2, b"cd")).await;
}

#[actix_web::test]
async fn bytes_with_a_checksum_count_only_where_it_matches() {
    let site = Site::new().await;
    let (address, _) = site.begin(6, FILENAME).await;
    let with = |offset, sum: &str| append(&address, offset, b"abc").insert_header(("upload-checksum", sum));
    for (checksum, status, code) in [
        ("md5 kAFQmDzST7DWlj99KOF/cg==", 400, "unsupported_checksum"),
        ("sha1", 400, "invalid_upload_header"),
        ("sha1 !", 400, "invalid_upload_header"),
        ("sha1 YWJj", 400, "invalid_upload_header"),
        (
            "sha256 qZk+NkcGgWq6PiVxeFDCbJzQ2J0=",
            400,
            "invalid_upload_header",
        ),
        ("sha1 AAAAAAAAAAAAAAAAAAAAAAAAAAA=", 460, "checksum_mismatch"),
        (
            "sha256 AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
            460,
            "checksum_mismatch",
        ),
    ] {
        site.refuses(with(0, checksum), status, code).await;
        assert_eq!(site.offset(&address).await, 0);
    }
    assert_eq!(site.blobs.count(), 0, "nothing of it is kept");
    site.takes(with(0, "sha1 qZk+NkcGgWq6PiVxeFDCbJzQ2J0=")).await;
    site.takes(with(3, "sha256 ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0="))
        .await;
}

#[actix_web::test]
async fn an_upload_is_given_up() {
    let site = Site::new().await;
    let (address, id) = site.begin(4, FILENAME).await;
    site.takes(append(&address, 0, b"ab")).await;
    assert_eq!(site.blobs.count(), 1);
    site.takes(tus("DELETE", &address)).await;
    assert_eq!(site.blobs.count(), 0);
    assert!(site.has_no(id).await);
    for gone in [
        tus("HEAD", &address),
        tus("DELETE", &address),
        append(&address, 2, b"cd"),
    ] {
        site.refuses(gone, 404, "not_found").await;
    }
}

#[actix_web::test]
async fn an_upload_expires_after_its_last_bytes() {
    let site = Site::new().await;
    let (address, _) = site.begin(4, FILENAME).await;
    site.clock.advance(LIFETIME_MS - 1);
    site.takes(append(&address, 0, b"ab")).await;
    site.clock.advance(LIFETIME_MS - 1);
    assert_eq!(site.offset(&address).await, 2);
    site.clock.advance(1);
    for late in [tus("HEAD", &address), append(&address, 2, b"cd")] {
        site.refuses(late, 410, "upload_expired").await;
    }
    site.takes(tus("DELETE", &address)).await;
}

#[actix_web::test]
async fn other_people_s_uploads_and_direct_ones_are_not_found() {
    let site = Site::new().await;
    let theirs = site.send(by("other", begin(3, FILENAME))).await;
    site.blobs.sign(true);
    let direct = json!({"filename": "a", "fileSize": 3});
    let direct = site
        .post("/resources/presigned-upload", &direct)
        .await
        .assert_ok();
    for address in [
        theirs.header("location").unwrap().to_owned(),
        format!("/uploads/{}", direct.body["uploadId"].as_str().unwrap()),
        format!("/uploads/{}", Uuid::from_u128(5)),
    ] {
        for request in [
            tus("HEAD", &address),
            append(&address, 0, b"abc"),
            tus("DELETE", &address),
        ] {
            site.refuses(request, 404, "not_found").await;
        }
    }
}

#[actix_web::test]
async fn a_post_stands_for_what_a_client_can_not_send() {
    let site = Site::new().await;
    let (address, id) = site.begin(3, FILENAME).await;
    let post = |method: &str| tus("POST", &address).insert_header(("x-http-method-override", method));
    for wrong in [tus("POST", &address), post("PUT"), post("patch")] {
        let answer = site.refuses(wrong, 405, "method_not_allowed").await;
        assert_eq!(answer.header("allow"), Some("DELETE, HEAD, OPTIONS, PATCH, POST"));
    }
    let bytes = append(&address, 0, b"abc")
        .method("POST".parse().unwrap())
        .insert_header(("x-http-method-override", "PATCH"));
    assert_eq!(site.takes(bytes).await.header("upload-offset"), Some("3"));
    assert_eq!(site.resource(id).await.content.file_size.get(), 3);
    let found = site.send(post("HEAD")).await.assert_ok();
    assert_eq!(found.header("upload-offset"), Some("3"));
    site.takes(post("DELETE")).await;
    site.refuses(tus("HEAD", &address), 404, "not_found").await;
}
