//! Beginning an upload, and what is said of its file.

use mosaic_domain::entity::Sha256;

use super::*;

#[actix_web::test]
async fn what_tus_can_do_here_is_told_to_everybody() {
    let site = Site::new().await;
    for path in ["/uploads", "/api/uploads", &format!("/uploads/{ID}")] {
        let answer = site.takes(request("OPTIONS", path)).await;
        answer.assert_headers(&[
            ("tus-resumable", "1.0.0"),
            ("tus-version", "1.0.0"),
            (
                "tus-extension",
                "creation,creation-with-upload,creation-defer-length,termination,expiration,checksum",
            ),
            ("tus-max-size", "1000000"),
            ("tus-checksum-algorithm", "sha1,sha256"),
        ]);
    }
}

#[actix_web::test]
async fn web_pages_of_other_origins_may_upload() {
    const ORIGIN: (&str, &str) = ("origin", "https://notes.example");
    let mut site = Site::new().await;
    site.settings_mut().cors_origins = vec![ORIGIN.1.to_owned()];
    for (method, headers) in [
        (
            "POST",
            "authorization,tus-resumable,upload-length,upload-metadata,x-client-id",
        ),
        ("HEAD", "authorization,tus-resumable"),
        (
            "PATCH",
            "authorization,content-type,tus-resumable,upload-checksum,upload-offset",
        ),
        ("DELETE", "authorization,tus-resumable,x-http-method-override"),
    ] {
        let preflight = request("OPTIONS", "/uploads")
            .insert_header(ORIGIN)
            .insert_header(("access-control-request-method", method))
            .insert_header(("access-control-request-headers", headers));
        let answer = site.send(preflight).await.assert_ok();
        let allowed = answer.header("access-control-allow-methods").unwrap();
        assert!(allowed.contains(method), "{allowed}");
        assert_eq!(answer.header("tus-version"), None);
    }
    let answer = site.send(begin(3, FILENAME).insert_header(ORIGIN)).await;
    assert_eq!(answer.status, 201);
    let exposed = answer.header("access-control-expose-headers").unwrap();
    let exposed = exposed.to_lowercase();
    let needed = "location upload-offset upload-length upload-expires upload-metadata tus-resumable tus-version \
        tus-extension tus-max-size tus-checksum-algorithm x-mosaic-resource-id";
    for name in needed.split(' ') {
        assert!(
            exposed.split(", ").any(|known| known == name),
            "{name} in {exposed}"
        );
    }
    let told = site
        .takes(request("OPTIONS", "/uploads").insert_header(ORIGIN))
        .await;
    assert_eq!(told.header("tus-version"), Some("1.0.0"));
}

#[actix_web::test]
async fn another_version_of_tus_is_refused() {
    let site = Site::new().await;
    let (address, _) = site.begin(3, FILENAME).await;
    for (method, path) in [
        ("POST", "/uploads"),
        ("HEAD", &address),
        ("PATCH", &address),
        ("DELETE", &address),
        ("POST", &address),
    ] {
        for version in [None, Some("0.2.2"), Some("1.0.1"), Some("1.0.0,1.0.1")] {
            let version = version.map(|version| ("tus-resumable", version));
            let request = version
                .into_iter()
                .fold(ask(method, path), TestRequest::insert_header);
            let answer = site.refuses(request, 412, "unsupported_tus_version").await;
            assert_eq!(answer.header("tus-version"), Some("1.0.0"), "{method} {path}");
        }
    }
    assert_eq!(site.offset(&address).await, 0);
}

#[actix_web::test]
async fn every_answer_says_its_version() {
    let site = Site::new().await;
    site.refuses(request("POST", "/api/uploads"), 401, "unauthenticated")
        .await;
    let answer = site
        .refuses(tus("GET", "/uploads"), 405, "method_not_allowed")
        .await;
    assert_eq!(answer.header("allow"), Some("OPTIONS, POST"));
    let no_id = tus("HEAD", "/uploads/x");
    site.refuses(no_id, 422, "validation_failed").await;
    site.blobs.fail(BlobCall::Create, BlobFailure::Failed);
    let (address, _) = site.begin(3, FILENAME).await;
    site.refuses(append(&address, 0, b"abc"), 500, "internal").await;
    for other in ["/health", "/uploadsx"] {
        let other = site.send(request("GET", other)).await;
        assert_eq!(other.header("tus-resumable"), None);
    }
}

#[actix_web::test]
async fn an_upload_begins_where_the_request_was_sent() {
    let site = Site::new().await;
    let metadata = &upload_metadata(&[("filename", "a.bin"), ("id", ID)]);
    for root in ["", "/api"] {
        let request = tus("POST", &format!("{root}/uploads"))
            .insert_header(("upload-length", "3"))
            .insert_header(("upload-metadata", &**metadata));
        let answer = site.send(request).await;
        assert_eq!((answer.status, &*answer.text), (201, ""));
        let address = answer.header("location").unwrap();
        let id = address.strip_prefix(&format!("{root}/uploads/")).unwrap();
        assert!(Uuid::try_parse(id).is_ok(), "{address}");
        assert_eq!(answer.header("x-mosaic-resource-id"), Some(ID));
        assert_eq!(answer.header("upload-offset"), Some("0"));
        assert_eq!(answer.header("upload-expires"), Some(EXPIRES));
        let found = site.send(tus("HEAD", address)).await.assert_ok();
        assert_eq!(found.text, "");
        found.assert_headers(&[
            ("tus-resumable", "1.0.0"),
            ("upload-offset", "0"),
            ("upload-length", "3"),
            ("upload-expires", EXPIRES),
            ("upload-metadata", metadata),
            ("x-mosaic-resource-id", ID),
            ("cache-control", "no-store"),
        ]);
    }
}

/// Begins an upload with these first bytes.
fn begin_with(length: usize, bytes: &[u8]) -> TestRequest {
    begin(length, FILENAME)
        .insert_header(("content-type", "application/offset+octet-stream"))
        .insert_header(("content-length", bytes.len().to_string()))
        .set_payload(bytes.to_vec())
}

#[actix_web::test]
async fn a_file_comes_whole_or_in_part_with_the_request_that_begins_it() {
    let site = Site::new().await;
    for (first, rest) in [(&b"abc"[..], None), (b"a", Some(b"bc")), (b"", None)] {
        let answer = site.send(begin_with(3, first)).await.assert_is(201, "");
        let offset = first.len().to_string();
        assert_eq!(answer.header("upload-offset"), Some(&*offset));
        assert!(answer.header("upload-expires").is_some());
        let id = answer.header("x-mosaic-resource-id").unwrap().parse().unwrap();
        let address = answer.header("location").unwrap();
        assert_eq!(site.offset(address).await, first.len() as u64);
        if let Some(rest) = rest {
            site.takes(append(address, first.len(), rest)).await;
        }
        if first.len() + rest.map_or(0, |rest| rest.len()) == 3 {
            assert_eq!(site.resource(id).await.content.file_size.get(), 3);
        } else {
            assert!(site.has_no(id).await);
        }
    }
    // A body that is not announced as bytes is none.
    let other = begin_with(3, b"abc").insert_header(("content-type", "text/plain"));
    let answer = site.send(other).await.assert_is(201, "");
    assert_eq!(answer.header("upload-offset"), Some("0"));
}

#[actix_web::test]
async fn an_upload_whose_first_bytes_are_refused_has_not_begun() {
    let site = Site::new().await;
    let with = |name: &str, value: &str| begin_with(3, b"abc").insert_header((name, value));
    let wrong = "sha1 AAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    for (request, status, code) in [
        (begin_with(2, b"abc"), 413, "beyond_upload_length"),
        (begin_with(0, b"abc"), 413, "beyond_upload_length"),
        (with("upload-checksum", wrong), 460, "checksum_mismatch"),
        (
            with("upload-checksum", "md5 kAFQmDzST7DWlj99KOF/cg=="),
            400,
            "unsupported_checksum",
        ),
        (with("content-encoding", "gzip"), 415, "unsupported_encoding"),
        (with("upload-concat", "partial"), 400, "invalid_upload_header"),
    ] {
        site.refuses(request, status, code).await;
        // None of them takes up room.
        let usage = site.stores.contents.usage(user(1)).await.unwrap();
        assert_eq!(usage.total(), 0, "{code}");
    }
    assert_eq!(site.blobs.count(), 0);
}

#[actix_web::test]
async fn the_length_is_needed_and_limited() {
    let site = Site::new().await;
    let post = |headers: &[(&str, &str)]| {
        let post = tus("POST", "/uploads").insert_header(("upload-metadata", FILENAME));
        headers
            .iter()
            .fold(post, |post, header| post.append_header(*header))
    };
    for (headers, name, code) in [
        (&[][..], "Upload-Length", "required"),
        (&[("upload-length", "")], "Upload-Length", "invalid_value"),
        (&[("upload-length", "-1")], "Upload-Length", "invalid_value"),
        (&[("upload-length", "+1")], "Upload-Length", "invalid_value"),
        (&[("upload-length", "1.5")], "Upload-Length", "invalid_value"),
        (
            &[("upload-length", "1"), ("upload-length", "2")],
            "Upload-Length",
            "duplicate",
        ),
        (
            &[("upload-defer-length", "0")],
            "Upload-Defer-Length",
            "invalid_value",
        ),
        (
            &[("upload-defer-length", "1"), ("upload-length", "5")],
            "Upload-Defer-Length",
            "invalid_value",
        ),
        (
            &[("upload-length", "5"), ("upload-concat", "partial")],
            "Upload-Concat",
            "unsupported",
        ),
        (
            &[("upload-concat", "final;/uploads/a /uploads/b")],
            "Upload-Concat",
            "unsupported",
        ),
    ] {
        let answer = site.refuses(post(headers), 400, "invalid_upload_header").await;
        assert_eq!(answer.errors()[0], (name, code));
    }
    for length in ["1000001", "99999999999999999999999999"] {
        let large = post(&[("upload-length", length)]);
        let answer = site.refuses(large, 413, "file_too_large").await;
        assert_eq!(answer.body["limit"], FILE_BYTES);
    }
    for _ in 0..3 {
        site.begin(1_000_000, FILENAME).await;
    }
    let answer = site.refuses(begin(1, FILENAME), 413, "quota_exceeded").await;
    answer.assert_has(&json!({"used": USER_BYTES, "quota": USER_BYTES}));
}

#[actix_web::test]
async fn the_length_may_be_told_with_bytes() {
    let site = Site::new().await;
    let deferred = || {
        tus("POST", "/uploads")
            .insert_header(("upload-defer-length", "1"))
            .insert_header(("upload-metadata", FILENAME))
    };
    let told = |address: &str, offset, bytes: &[u8], length: &str| {
        append(address, offset, bytes).insert_header(("upload-length", length))
    };
    let answer = site.send(deferred()).await.assert_is(201, "");
    let address = answer.header("location").unwrap();
    let id = answer.header("x-mosaic-resource-id").unwrap().parse().unwrap();
    site.takes(append(address, 0, b"ab")).await;
    let found = site.send(tus("HEAD", address)).await.assert_ok();
    found.assert_headers(&[("upload-offset", "2"), ("upload-defer-length", "1")]);
    assert_eq!(found.header("upload-length"), None);
    for (length, status, code) in [
        ("1", 400, "invalid_upload_header"),
        ("x", 400, "invalid_upload_header"),
        ("1000001", 413, "file_too_large"),
    ] {
        site.refuses(told(address, 2, b"", length), status, code).await;
    }
    // Nor does a request that is refused for something else tell it.
    site.refuses(told(address, 1, b"", "3"), 409, "upload_offset_conflict")
        .await;
    site.refuses(told(address, 2, b"cd", "3"), 413, "beyond_upload_length")
        .await;
    let found = site.send(tus("HEAD", address)).await.assert_ok();
    found.assert_headers(&[("upload-offset", "2"), ("upload-defer-length", "1")]);
    // As many bytes count as a file may have: no more than the account has room for.
    let others = [site.send(deferred()).await, site.send(deferred()).await];
    site.refuses(deferred(), 413, "quota_exceeded").await;
    for other in others {
        site.takes(tus("DELETE", other.header("location").unwrap())).await;
    }
    site.takes(told(address, 2, b"", "3")).await;
    assert_eq!(
        site.send(tus("HEAD", address)).await.header("upload-length"),
        Some("3")
    );
    site.refuses(told(address, 2, b"c", "4"), 400, "invalid_upload_header")
        .await;
    assert!(site.has_no(id).await);
    site.takes(told(address, 2, b"c", "3")).await;
    assert_eq!(site.resource(id).await.content.file_size.get(), 3);

    // It is complete as soon as its length is told, where all of it is there.
    let with_all = deferred()
        .insert_header(("content-type", "application/offset+octet-stream"))
        .set_payload(&b"all"[..]);
    let answer = site.send(with_all).await.assert_is(201, "");
    assert_eq!(answer.header("upload-offset"), Some("3"));
    let id = answer.header("x-mosaic-resource-id").unwrap().parse().unwrap();
    assert!(site.has_no(id).await);
    site.takes(told(answer.header("location").unwrap(), 3, b"", "3"))
        .await;
    assert_eq!(site.resource(id).await.content.file_size.get(), 3);
}

#[actix_web::test]
async fn everything_that_is_wrong_with_the_metadata_is_said_at_once() {
    let site = Site::new().await;
    let named = |name: &str, value: &str| upload_metadata(&[("filename", "a"), (name, value)]);
    let large = format!("{{\"a\": \"{}\"}}", "x".repeat(16_384));
    let many = upload_metadata(&[
        ("filename", "a"),
        ("filetype", "picture"),
        ("id", "1"),
        ("memoId", "2"),
        ("metadata", "[]"),
        ("createdAt", "soon"),
        ("updatedAt", "-1"),
    ]);
    let all = [
        ("filetype", "invalid_mime_type"),
        ("id", "invalid_uuid"),
        ("memoId", "invalid_uuid"),
        ("metadata", "invalid_type"),
        ("createdAt", "invalid_type"),
        ("updatedAt", "out_of_range"),
    ];
    for (metadata, errors) in [
        ("", &[("filename", "required")][..]),
        ("filename", &[("filename", "required")]),
        ("filename ", &[("filename", "required")]),
        ("filename !!", &[("filename", "invalid_base64")]),
        ("filename YS5iaW4 x", &[("filename", "invalid_base64")]),
        ("filename /w==", &[("filename", "invalid_utf8")]),
        (&format!("{FILENAME},{FILENAME}"), &[("filename", "duplicate")]),
        (&format!("{FILENAME},x,x"), &[("x", "duplicate")]),
        (
            &upload_metadata(&[("filename", "a/b")]),
            &[("filename", "not_a_name")],
        ),
        (
            &upload_metadata(&[("name", &"x".repeat(256))]),
            &[("name", "too_long")],
        ),
        (&many, &all),
        (&named("metadata", "{"), &[("metadata", "malformed_json")]),
        (&named("metadata", &large), &[("metadata", "too_long")]),
    ] {
        let answer = site.refuses(begin(3, metadata), 422, "validation_failed").await;
        assert_eq!(answer.errors(), errors, "{metadata}");
    }
    let unknown = named("memoId", &Uuid::from_u128(77).to_string());
    site.refuses(begin(3, &unknown), 422, "unknown_memo").await;
    let ahead = named("updatedAt", "1815000000000");
    site.refuses(begin(3, &ahead), 422, "edit_time_ahead").await;
    let raw = begin(3, "").insert_header(("upload-metadata", &b"filename \xff"[..]));
    site.refuses(raw, 400, "invalid_upload_header").await;
}

#[actix_web::test]
async fn what_was_said_of_the_file_becomes_its_record() {
    let site = Site::new().await;
    let metadata = upload_metadata(&[
        ("relativePath", "null"),
        ("name", "ignored.txt"),
        ("filename", "Stra\u{df}e \u{1f600}.txt"),
        ("type", ""),
        ("filetype", "text/plain;charset=utf-8"),
        ("id", ID),
        ("memoId", ""),
        ("metadata", r#"{"width": 3}"#),
        ("createdAt", "1700000000000"),
        ("updatedAt", "1700000000001"),
    ]);
    let (address, id) = site.begin(3, &format!("is_private, {metadata},,")).await;
    assert!(site.has_no(id).await);
    site.takes(append(&address, 0, b"abc")).await;
    let resource = site.resource(id).await;
    assert_eq!(resource.created_at.get(), 1_700_000_000_000);
    assert_eq!(resource.version.time.get(), 1_700_000_000_001);
    let content = resource.content;
    assert_eq!(content.filename.as_str(), "Stra\u{df}e \u{1f600}.txt");
    assert_eq!(content.mime_type.as_str(), "text/plain");
    assert_eq!(content.file_size.get(), 3);
    assert_eq!(content.metadata.as_str(), r#"{"width":3}"#);
    let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    assert_eq!(content.sha256, Some(abc.parse::<Sha256>().unwrap()));

    let web = upload_metadata(&[("name", "b.png"), ("type", "image/png")]);
    let (address, id) = site.begin(1, &web).await;
    site.takes(append(&address, 0, b"x")).await;
    let content = site.resource(id).await.content;
    assert_eq!(content.filename.as_str(), "b.png");
    assert_eq!(content.mime_type.as_str(), "image/png");
}
