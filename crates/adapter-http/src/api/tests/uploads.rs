//! Resumable uploads (tus), over stores in memory.

use actix_web::rt;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use mosaic_domain::attachment::{BeginOutcome, Upload, UploadKind};
use mosaic_domain::entity::{Resource, Sha256};
use mosaic_domain::{Live, ResourceId, UploadId};
use mosaic_ports::{BlobName, Clock};
use mosaic_testkit::{BlobCall, BlobFailure};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use super::site::{self, FILE_BYTES, ID, LIFETIME_MS, PATIENCE, Site, USER_BYTES, service, user};
use super::*;
use crate::body::BodyLimits;

/// `ManualClock::START_MS` plus the lifetime of an upload, as HTTP tells it.
const EXPIRES: &str = "Mon, 06 May 2024 13:53:20 GMT";
const FILENAME: &str = "filename YS5iaW4=";

impl Site {
    /// Begins an upload of that many bytes; its address, and the resource that it becomes.
    async fn begin(&self, length: usize, metadata: &str) -> (String, ResourceId) {
        let answer = self.send(begin(length, metadata)).await;
        assert_eq!(answer.status, 201, "{}", answer.body);
        let id = answer.header("x-mosaic-resource-id").unwrap().parse().unwrap();
        (answer.header("location").unwrap().to_owned(), id)
    }

    /// How many bytes an upload has.
    async fn offset(&self, address: &str) -> u64 {
        let answer = self.send(tus("HEAD", address)).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.header("upload-offset").unwrap().parse().unwrap()
    }

    /// Waits until an upload has so many bytes.
    async fn reaches(&self, address: &str, bytes: u64) {
        let change = async {
            while self.offset(address).await != bytes {
                rt::time::sleep(Duration::from_millis(1)).await;
            }
        };
        let waited = tokio::time::timeout(PATIENCE, change).await;
        assert!(waited.is_ok(), "it has {} bytes", self.offset(address).await);
    }

    /// An upload that somebody began, perhaps in another way.
    async fn noted(&self, by: u128, kind: UploadKind) -> String {
        let now = self.clock.now();
        let upload = Upload {
            id: UploadId::new(Uuid::from_u128(by << 8)),
            resource: ResourceId::new(Uuid::from_u128(by << 8)),
            author: "phone".parse().unwrap(),
            length: 3,
            kind,
            fields: "{}".to_owned(),
            created_at: now,
            expires_at: now.plus(LIFETIME_MS),
        };
        let id = upload.id;
        let begun = self.stores.uploads.begin(user(by), upload, USER_BYTES, 10).await;
        assert_eq!(begun.unwrap(), BeginOutcome::Begun);
        format!("/uploads/{id}")
    }

    async fn resource(&self, id: ResourceId) -> Live<Resource> {
        self.state.records.get(user(1), id).await.unwrap()
    }

    async fn has_no(&self, id: ResourceId) -> bool {
        let found = self.state.records.find::<Resource>(user(1), id).await;
        found.unwrap().is_none()
    }
}

/// A request of the user, of this version of tus.
fn tus(method: &str, address: &str) -> TestRequest {
    let request = TestRequest::with_uri(address).method(method.parse().unwrap());
    by("user", request).insert_header(("tus-resumable", "1.0.0"))
}

fn begin(length: usize, metadata: &str) -> TestRequest {
    tus("POST", "/uploads")
        .insert_header(("upload-length", length.to_string()))
        .insert_header(("upload-metadata", metadata))
}

fn append(address: &str, offset: usize, bytes: &[u8]) -> TestRequest {
    tus("PATCH", address)
        .insert_header(("upload-offset", offset.to_string()))
        .insert_header(("content-type", "application/offset+octet-stream"))
        .insert_header(("content-length", bytes.len().to_string()))
        .set_payload(bytes.to_vec())
}

/// `Upload-Metadata` of these texts.
fn said(pairs: &[(&str, &str)]) -> String {
    let pairs = pairs
        .iter()
        .map(|(name, text)| format!("{name} {}", STANDARD.encode(text)));
    pairs.collect::<Vec<_>>().join(",")
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
    assert_eq!(answer.header("tus-resumable"), Some("1.0.0"));
}

#[actix_web::test]
async fn what_tus_can_do_here_is_told_to_everybody() {
    let site = Site::new().await;
    for path in ["/uploads", "/api/uploads", &format!("/uploads/{ID}")] {
        let request = TestRequest::with_uri(path).method("OPTIONS".parse().unwrap());
        let answer = site.send(request).await;
        assert_eq!((answer.status.as_u16(), answer.text.as_str()), (204, ""));
        for (name, value) in [
            ("tus-resumable", "1.0.0"),
            ("tus-version", "1.0.0"),
            ("tus-extension", "creation,termination,expiration,checksum"),
            ("tus-max-size", "1000000"),
            ("tus-checksum-algorithm", "sha1,sha256"),
        ] {
            assert_eq!(answer.header(name), Some(value), "{path} {name}");
        }
    }
}

#[actix_web::test]
async fn web_pages_of_other_origins_may_upload() {
    const ORIGIN: &str = "https://notes.example";
    let site = Site::new().await;
    let settings = HttpSettings {
        cors_origins: vec![ORIGIN.to_owned()],
        ..HttpSettings::default()
    };
    let open = service(&settings, &site.state).await;
    let preflight = |method: &str, headers: &str| {
        TestRequest::with_uri("/uploads")
            .method("OPTIONS".parse().unwrap())
            .insert_header(("origin", ORIGIN))
            .insert_header(("access-control-request-method", method))
            .insert_header(("access-control-request-headers", headers))
    };
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
        let answer = open(preflight(method, headers)).await;
        assert_eq!(answer.status, 200, "{method} {}", answer.text);
        let allowed = answer.header("access-control-allow-methods").unwrap();
        assert!(allowed.contains(method), "{allowed}");
        assert_eq!(answer.header("tus-version"), None);
    }
    let answer = begin(3, FILENAME).insert_header(("origin", ORIGIN));
    let answer = open(answer).await;
    assert_eq!(answer.status, 201);
    let exposed = answer
        .header("access-control-expose-headers")
        .unwrap()
        .to_lowercase();
    for name in [
        "location",
        "upload-offset",
        "upload-length",
        "upload-expires",
        "upload-metadata",
        "tus-resumable",
        "tus-version",
        "tus-extension",
        "tus-max-size",
        "tus-checksum-algorithm",
        "x-mosaic-resource-id",
    ] {
        assert!(
            exposed.split(", ").any(|known| known == name),
            "{name} in {exposed}"
        );
    }
    let told = TestRequest::with_uri("/uploads").method("OPTIONS".parse().unwrap());
    let told = open(told.insert_header(("origin", ORIGIN))).await;
    assert_eq!(
        (told.status.as_u16(), told.header("tus-version")),
        (204, Some("1.0.0"))
    );
}

#[actix_web::test]
async fn another_version_of_tus_is_refused() {
    let site = Site::new().await;
    let (address, _) = site.begin(3, FILENAME).await;
    for (method, path) in [
        ("POST", "/uploads"),
        ("HEAD", &*address),
        ("PATCH", &*address),
        ("DELETE", &*address),
        ("POST", &*address),
    ] {
        for version in ["", "0.2.2", "1.0.1", "1.0.0,1.0.1"] {
            let mut request = by(
                "user",
                TestRequest::with_uri(path).method(method.parse().unwrap()),
            );
            if !version.is_empty() {
                request = request.insert_header(("tus-resumable", version));
            }
            let answer = site.send(request).await;
            assert_is(&answer, 412, "unsupported_tus_version");
            assert_eq!(answer.header("tus-version"), Some("1.0.0"), "{method} {path}");
        }
    }
    assert_eq!(site.offset(&address).await, 0);
}

#[actix_web::test]
async fn every_answer_says_its_version() {
    let site = Site::new().await;
    let anonymous = TestRequest::with_uri("/api/uploads").method("POST".parse().unwrap());
    assert_is(&site.send(anonymous).await, 401, "unauthenticated");
    let get = tus("GET", "/uploads");
    let answer = site.send(get).await;
    assert_is(&answer, 405, "method_not_allowed");
    assert_eq!(answer.header("allow"), Some("OPTIONS, POST"));
    assert_is(
        &site.send(tus("HEAD", "/uploads/x")).await,
        422,
        "validation_failed",
    );
    site.blobs.fail(BlobCall::Create, BlobFailure::Failed);
    let (address, _) = site.begin(3, FILENAME).await;
    assert_is(&site.send(append(&address, 0, b"abc")).await, 500, "internal");
    let other = site.send(TestRequest::with_uri("/health")).await;
    assert_eq!(other.header("tus-resumable"), None);
    let other = site.send(TestRequest::with_uri("/uploadsx")).await;
    assert_eq!(other.header("tus-resumable"), None);
}

#[actix_web::test]
async fn an_upload_begins_where_the_request_was_sent() {
    let site = Site::new().await;
    for root in ["", "/api"] {
        let request = tus("POST", &format!("{root}/uploads"))
            .insert_header(("upload-length", "3"))
            .insert_header(("upload-metadata", said(&[("filename", "a.bin"), ("id", ID)])));
        let answer = site.send(request).await;
        assert_eq!((answer.status.as_u16(), &*answer.text), (201, ""));
        let address = answer.header("location").unwrap();
        let id = address.strip_prefix(&format!("{root}/uploads/")).unwrap();
        assert!(Uuid::try_parse(id).is_ok(), "{address}");
        assert_eq!(answer.header("x-mosaic-resource-id"), Some(ID));
        assert_eq!(answer.header("upload-expires"), Some(EXPIRES));
        let found = site.send(tus("HEAD", address)).await;
        assert_eq!((found.status.as_u16(), &*found.text), (200, ""));
        for (name, value) in [
            ("tus-resumable", "1.0.0"),
            ("upload-offset", "0"),
            ("upload-length", "3"),
            ("upload-expires", EXPIRES),
            ("upload-metadata", &said(&[("filename", "a.bin"), ("id", ID)])),
            ("x-mosaic-resource-id", ID),
            ("cache-control", "no-store"),
        ] {
            assert_eq!(found.header(name), Some(value), "{name}");
        }
    }
}

#[actix_web::test]
async fn the_length_is_needed_and_limited() {
    let site = Site::new().await;
    let post = || tus("POST", "/uploads").insert_header(("upload-metadata", FILENAME));
    for (request, name, code) in [
        (post(), "Upload-Length", "required"),
        (
            post().insert_header(("upload-length", "")),
            "Upload-Length",
            "invalid_value",
        ),
        (
            post().insert_header(("upload-length", "-1")),
            "Upload-Length",
            "invalid_value",
        ),
        (
            post().insert_header(("upload-length", "+1")),
            "Upload-Length",
            "invalid_value",
        ),
        (
            post().insert_header(("upload-length", "1.5")),
            "Upload-Length",
            "invalid_value",
        ),
        (
            post()
                .append_header(("upload-length", "1"))
                .append_header(("upload-length", "2")),
            "Upload-Length",
            "duplicate",
        ),
        (
            post().insert_header(("upload-defer-length", "1")),
            "Upload-Defer-Length",
            "unsupported",
        ),
        (
            post()
                .insert_header(("upload-length", "5"))
                .insert_header(("upload-concat", "partial")),
            "Upload-Concat",
            "unsupported",
        ),
        (
            post().insert_header(("upload-concat", "final;/uploads/a /uploads/b")),
            "Upload-Concat",
            "unsupported",
        ),
    ] {
        let answer = site.send(request).await;
        assert_is(&answer, 400, "invalid_upload_header");
        let error = &answer.body["errors"][0];
        assert_eq!((&error["path"], &error["code"]), (&json!(name), &json!(code)));
    }
    for length in ["1000001", "99999999999999999999999999"] {
        let answer = site.send(post().insert_header(("upload-length", length))).await;
        assert_is(&answer, 413, "file_too_large");
        assert_eq!(answer.body["limit"], FILE_BYTES);
    }
    for _ in 0..3 {
        site.begin(1_000_000, FILENAME).await;
    }
    let answer = site.send(begin(1, FILENAME)).await;
    assert_is(&answer, 413, "quota_exceeded");
    assert_eq!(
        (&answer.body["used"], &answer.body["quota"]),
        (&json!(USER_BYTES), &json!(USER_BYTES))
    );
}

#[actix_web::test]
async fn everything_that_is_wrong_with_the_metadata_is_said_at_once() {
    let site = Site::new().await;
    let missing = Uuid::from_u128(77).to_string();
    for (metadata, errors) in [
        (String::new(), vec![("filename", "required")]),
        ("filename".to_owned(), vec![("filename", "required")]),
        ("filename ".to_owned(), vec![("filename", "required")]),
        ("filename !!".to_owned(), vec![("filename", "invalid_base64")]),
        (
            "filename YS5iaW4 x".to_owned(),
            vec![("filename", "invalid_base64")],
        ),
        ("filename /w==".to_owned(), vec![("filename", "invalid_utf8")]),
        (format!("{FILENAME},{FILENAME}"), vec![("filename", "duplicate")]),
        (format!("{FILENAME},x,x"), vec![("x", "duplicate")]),
        (said(&[("filename", "a/b")]), vec![("filename", "not_a_name")]),
        (said(&[("name", &"x".repeat(256))]), vec![("name", "too_long")]),
        (
            said(&[
                ("filename", "a"),
                ("filetype", "picture"),
                ("id", "1"),
                ("memoId", "2"),
                ("metadata", "[]"),
                ("createdAt", "soon"),
                ("updatedAt", "-1"),
            ]),
            vec![
                ("filetype", "invalid_mime_type"),
                ("id", "invalid_uuid"),
                ("memoId", "invalid_uuid"),
                ("metadata", "invalid_type"),
                ("createdAt", "invalid_type"),
                ("updatedAt", "out_of_range"),
            ],
        ),
        (
            said(&[("filename", "a"), ("metadata", "{")]),
            vec![("metadata", "malformed_json")],
        ),
        (
            said(&[
                ("filename", "a"),
                ("metadata", &format!("{{\"a\": \"{}\"}}", "x".repeat(16_384))),
            ]),
            vec![("metadata", "too_long")],
        ),
    ] {
        let answer = site.send(begin(3, &metadata)).await;
        assert_is(&answer, 422, "validation_failed");
        let found = answer.body["errors"].as_array().unwrap().iter();
        let found: Vec<_> = found
            .map(|error| (error["path"].as_str().unwrap(), error["code"].as_str().unwrap()))
            .collect();
        assert_eq!(found, errors, "{metadata}");
    }
    let memo = said(&[("filename", "a"), ("memoId", &missing)]);
    assert_is(&site.send(begin(3, &memo)).await, 422, "unknown_memo");
    let ahead = said(&[("filename", "a"), ("updatedAt", "1815000000000")]);
    assert_is(&site.send(begin(3, &ahead)).await, 422, "edit_time_ahead");
    let raw = begin(3, "").insert_header(("upload-metadata", &b"filename \xff"[..]));
    assert_is(&site.send(raw).await, 400, "invalid_upload_header");
}

#[actix_web::test]
async fn what_was_said_of_the_file_becomes_its_record() {
    let site = Site::new().await;
    let metadata = said(&[
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
    let answer = site.send(append(&address, 0, b"abc")).await;
    assert_eq!(answer.status, 204, "{}", answer.text);
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

    let web = said(&[("name", "b.png"), ("type", "image/png")]);
    let (address, id) = site.begin(1, &web).await;
    site.send(append(&address, 0, b"x")).await;
    let content = site.resource(id).await.content;
    assert_eq!(
        (content.filename.as_str(), content.mime_type.as_str()),
        ("b.png", "image/png")
    );
}

#[actix_web::test]
async fn an_upload_comes_in_pieces() {
    let site = Site::new().await;
    let bytes = bytes(1000);
    let (address, id) = site.begin(1000, FILENAME).await;
    site.clock.advance(60_000);
    for (from, to) in [(0, 300), (300, 301), (301, 1000)] {
        assert!(site.has_no(id).await);
        let answer = site.send(append(&address, from, &bytes[from..to])).await;
        assert_eq!((answer.status.as_u16(), &*answer.text), (204, ""));
        assert_eq!(answer.header("upload-offset"), Some(&*to.to_string()));
        assert_eq!(answer.header("x-mosaic-resource-id"), Some(&*id.to_string()));
        let expires = EXPIRES.replace(":53:", ":54:");
        assert_eq!(answer.header("upload-expires"), Some(&*expires));
        assert_eq!(site.offset(&address).await, to as u64);
    }
    let resource = site.resource(id).await.content;
    let held = site
        .stores
        .contents
        .content(user(1), resource.sha256.unwrap())
        .await;
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
            let answer = site
                .send(append(&address, offset, &b"abc"[offset..offset + piece]))
                .await;
            assert_eq!(answer.status, 204, "{}", answer.text);
            offset += piece;
        }
        assert_eq!(site.offset(&address).await, 3);
        let again = site.send(append(&address, 3, b"")).await;
        assert_eq!(
            (again.status.as_u16(), again.header("upload-offset")),
            (204, Some("3")),
            "{}",
            again.text
        );
        assert_is(
            &site.send(append(&address, 3, b"d")).await,
            413,
            "beyond_upload_length",
        );
        assert_is(
            &site.send(append(&address, 0, b"abc")).await,
            409,
            "upload_offset_conflict",
        );
        assert_eq!(site.send(tus("DELETE", &address)).await.status, 204);
        assert_eq!(site.resource(id).await.content.file_size.get(), 3);
        assert_is(&site.send(append(&address, 3, b"")).await, 404, "not_found");
    }
}

#[actix_web::test]
async fn a_file_without_bytes_is_complete_at_once() {
    let site = Site::new().await;
    let (address, id) = site.begin(0, FILENAME).await;
    assert_eq!(site.resource(id).await.content.file_size.get(), 0);
    assert_eq!(site.offset(&address).await, 0);
    assert_eq!(site.send(append(&address, 0, b"")).await.status, 204);
}

#[actix_web::test]
async fn only_bytes_are_taken_and_as_they_are() {
    let site = Site::new().await;
    let (address, _) = site.begin(3, FILENAME).await;
    for content in ["", "application/octet-stream", "application/json"] {
        let request = append(&address, 0, b"abc").insert_header(("content-type", content));
        assert_is(&site.send(request).await, 415, "unsupported_media_type");
    }
    let packed = append(&address, 0, b"abc").insert_header(("content-encoding", "gzip"));
    assert_is(&site.send(packed).await, 415, "unsupported_encoding");
    assert_eq!(site.offset(&address).await, 0);
    let other_case = append(&address, 0, b"abc")
        .insert_header(("content-type", "Application/Offset+Octet-Stream"))
        .insert_header(("content-encoding", "identity"));
    assert_eq!(site.send(other_case).await.status, 204);
}

#[actix_web::test]
async fn the_offset_is_needed_and_must_be_right() {
    let site = Site::new().await;
    let (address, _) = site.begin(10, FILENAME).await;
    assert_eq!(site.send(append(&address, 0, b"abc")).await.status, 204);
    let without = tus("PATCH", &address)
        .insert_header(("content-type", "application/offset+octet-stream"))
        .set_payload("d");
    assert_is(&site.send(without).await, 400, "invalid_upload_header");
    let junk = append(&address, 0, b"d").insert_header(("upload-offset", "x"));
    assert_is(&site.send(junk).await, 400, "invalid_upload_header");
    for offset in [0, 2, 4, 10, 11] {
        let answer = site.send(append(&address, offset, b"d")).await;
        assert_is(&answer, 409, "upload_offset_conflict");
        assert_eq!(answer.body["received"], 3);
        assert_eq!(answer.header("upload-offset"), Some("3"));
    }
    assert_eq!(site.offset(&address).await, 3);
}

#[actix_web::test]
async fn more_than_was_announced_is_refused() {
    let site = Site::new().await;
    let (address, _) = site.begin(4, FILENAME).await;
    assert_eq!(site.send(append(&address, 0, b"ab")).await.status, 204);
    assert_is(
        &site.send(append(&address, 2, b"cde")).await,
        413,
        "beyond_upload_length",
    );
    let unannounced = append(&address, 2, b"cde").insert_header(("content-length", "0"));
    assert_is(&site.send(unannounced).await, 413, "beyond_upload_length");
    assert_eq!(site.offset(&address).await, 2);
    assert_eq!(site.send(append(&address, 2, b"cd")).await.status, 204);
}

#[actix_web::test]
async fn bytes_with_a_checksum_count_only_where_it_matches() {
    let site = Site::new().await;
    let (address, _) = site.begin(6, FILENAME).await;
    let with = |checksum: &str| append(&address, 0, b"abc").insert_header(("upload-checksum", checksum));
    assert_is(
        &site.send(with("md5 kAFQmDzST7DWlj99KOF/cg==")).await,
        400,
        "unsupported_checksum",
    );
    for broken in [
        "sha1",
        "sha1 !",
        "sha1 YWJj",
        "sha256 qZk+NkcGgWq6PiVxeFDCbJzQ2J0=",
    ] {
        assert_is(&site.send(with(broken)).await, 400, "invalid_upload_header");
    }
    for wrong in [
        "sha1 AAAAAAAAAAAAAAAAAAAAAAAAAAA=",
        "sha256 AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
    ] {
        assert_is(&site.send(with(wrong)).await, 460, "checksum_mismatch");
        assert_eq!(site.offset(&address).await, 0);
    }
    assert_eq!(site.blobs.count(), 0, "nothing of it is kept");
    assert_eq!(
        site.send(with("sha1 qZk+NkcGgWq6PiVxeFDCbJzQ2J0=")).await.status,
        204
    );
    let rest = append(&address, 3, b"abc").insert_header((
        "upload-checksum",
        "sha256 ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=",
    ));
    assert_eq!(site.send(rest).await.status, 204);
}

#[actix_web::test]
async fn an_upload_is_given_up() {
    let site = Site::new().await;
    let (address, id) = site.begin(4, FILENAME).await;
    site.send(append(&address, 0, b"ab")).await;
    assert_eq!(site.blobs.count(), 1);
    let answer = site.send(tus("DELETE", &address)).await;
    assert_eq!((answer.status.as_u16(), &*answer.text), (204, ""));
    assert_eq!(site.blobs.count(), 0);
    assert!(site.has_no(id).await);
    for method in ["HEAD", "DELETE"] {
        assert_is(&site.send(tus(method, &address)).await, 404, "not_found");
    }
    assert_is(&site.send(append(&address, 2, b"cd")).await, 404, "not_found");
}

#[actix_web::test]
async fn an_upload_expires_after_its_last_bytes() {
    let site = Site::new().await;
    let (address, _) = site.begin(4, FILENAME).await;
    site.clock.advance(LIFETIME_MS - 1);
    assert_eq!(site.send(append(&address, 0, b"ab")).await.status, 204);
    site.clock.advance(LIFETIME_MS - 1);
    assert_eq!(site.offset(&address).await, 2);
    site.clock.advance(1);
    assert_is(&site.send(tus("HEAD", &address)).await, 410, "upload_expired");
    assert_is(
        &site.send(append(&address, 2, b"cd")).await,
        410,
        "upload_expired",
    );
    assert_eq!(site.send(tus("DELETE", &address)).await.status, 204);
}

#[actix_web::test]
async fn other_people_s_uploads_and_direct_ones_are_not_found() {
    let site = Site::new().await;
    site.add_user(9).await;
    let theirs = site.noted(9, UploadKind::Parts).await;
    let direct = site.noted(1, UploadKind::Direct { blob: Uuid::nil() }).await;
    for address in [theirs, direct, format!("/uploads/{}", Uuid::from_u128(5))] {
        assert_is(&site.send(tus("HEAD", &address)).await, 404, "not_found");
        assert_is(&site.send(append(&address, 0, b"abc")).await, 404, "not_found");
        assert_is(&site.send(tus("DELETE", &address)).await, 404, "not_found");
    }
}

#[actix_web::test]
async fn a_post_stands_for_what_a_client_can_not_send() {
    let site = Site::new().await;
    let (address, id) = site.begin(3, FILENAME).await;
    let post = |method: &str| tus("POST", &address).insert_header(("x-http-method-override", method));
    for wrong in [tus("POST", &address), post("PUT"), post("patch")] {
        let answer = site.send(wrong).await;
        assert_is(&answer, 405, "method_not_allowed");
        assert_eq!(answer.header("allow"), Some("DELETE, HEAD, OPTIONS, PATCH, POST"));
    }
    let bytes = append(&address, 0, b"abc")
        .method("POST".parse().unwrap())
        .insert_header(("x-http-method-override", "PATCH"));
    assert_eq!(site.send(bytes).await.header("upload-offset"), Some("3"));
    assert_eq!(site.resource(id).await.content.file_size.get(), 3);
    let found = site.send(post("HEAD")).await;
    assert_eq!(
        (found.status.as_u16(), found.header("upload-offset")),
        (200, Some("3"))
    );
    assert_eq!(site.send(post("DELETE")).await.status, 204);
    assert_is(&site.send(tus("HEAD", &address)).await, 404, "not_found");
}

#[actix_web::test]
async fn storage_that_fails_takes_nothing_and_says_so() {
    let site = Site::new().await;
    let (address, _) = site.begin(3, FILENAME).await;
    for (failure, status, code) in [
        (BlobFailure::Unavailable, 503, "storage_unavailable"),
        (BlobFailure::Full, 507, "storage_full"),
        (BlobFailure::Failed, 500, "internal"),
    ] {
        for call in [BlobCall::Create, BlobCall::Write, BlobCall::Finish] {
            site.blobs.fail_next(call, failure);
            assert_is(&site.send(append(&address, 0, b"abc")).await, status, code);
            assert_eq!(site.offset(&address).await, 0);
        }
    }
    assert_eq!(site.send(append(&address, 0, b"abc")).await.status, 204);
}

/// The same, on a port.
struct Served {
    site: Site,
    served: site::Served,
}

impl Served {
    async fn new(idle: Duration) -> Self {
        let mut site = Site::new().await;
        site.set(|downloads| downloads.upload_idle = idle);
        let settings = HttpSettings {
            keep_alive: PATIENCE,
            head_timeout: PATIENCE,
            body: BodyLimits {
                packed_bytes: 10,
                unpacked_bytes: 10,
                timeout: Duration::from_millis(1),
            },
            ..HttpSettings::default()
        };
        let served = site.serve(settings);
        Self { site, served }
    }

    /// Sends the head of a `PATCH`, and these bytes.
    async fn append(&self, address: &str, headers: &str, bytes: &[u8]) -> TcpStream {
        let headers =
            format!("tus-resumable: 1.0.0\r\ncontent-type: application/offset+octet-stream\r\n{headers}");
        self.served.begin("PATCH", address, &headers, bytes).await
    }
}

/// Reads until the server closes the connection, or has said this.
async fn answer_of(stream: &mut TcpStream, end: &str) -> String {
    let mut text = Vec::new();
    let read = async {
        while stream.read_buf(&mut text).await.unwrap_or(0) > 0 {
            if !end.is_empty() && String::from_utf8_lossy(&text).contains(end) {
                break;
            }
        }
    };
    let ended = tokio::time::timeout(PATIENCE, read).await;
    assert!(ended.is_ok(), "no end: {}", String::from_utf8_lossy(&text));
    String::from_utf8_lossy(&text).into_owned()
}

#[actix_web::test]
async fn what_came_before_a_connection_broke_is_kept() {
    let server = Served::new(PATIENCE).await;
    let site = &server.site;
    let bytes = bytes(300_000);
    let (address, id) = site.begin(bytes.len(), FILENAME).await;
    let head = "upload-offset: 0\r\ncontent-length: 300000\r\n";
    drop(server.append(&address, head, &bytes[..100_000]).await);
    // Closed with everything acknowledged, all of it was read before the end.
    site.reaches(&address, 100_000).await;
    let head = "upload-offset: 100000\r\ntransfer-encoding: chunked\r\n";
    let mut chunk = format!("{:x}\r\n", 50_000).into_bytes();
    chunk.extend(&bytes[100_000..150_000]);
    drop(server.append(&address, head, &chunk).await);
    site.reaches(&address, 150_000).await;
    let head = "upload-offset: 150000\r\ncontent-length: 150000\r\nconnection: close\r\n";
    let mut last = server.append(&address, head, &bytes[150_000..]).await;
    let answer = answer_of(&mut last, "").await;
    assert!(answer.starts_with("HTTP/1.1 204"), "{answer}");
    let sha256 = site.resource(id).await.content.sha256.unwrap();
    let held = site
        .stores
        .contents
        .content(user(1), sha256)
        .await
        .unwrap()
        .unwrap();
    let name = BlobName {
        user: user(1),
        id: held.blob,
    };
    assert_eq!(site.blobs.bytes(name).unwrap(), bytes);
}

#[actix_web::test]
async fn bytes_with_a_checksum_that_break_off_are_not_kept() {
    let server = Served::new(PATIENCE).await;
    let site = &server.site;
    let (address, _) = site.begin(6, FILENAME).await;
    let head = "upload-offset: 0\r\ncontent-length: 6\r\n\
        upload-checksum: sha1 qZk+NkcGgWq6PiVxeFDCbJzQ2J0=\r\n";
    drop(server.append(&address, head, b"abc").await);
    // The checksum of what came matches, but it was made of more.
    let given_up = async {
        while site.blobs.calls(BlobCall::Write) == 0 || site.blobs.writers() > 0 {
            rt::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(PATIENCE, given_up).await.unwrap();
    assert_eq!((site.offset(&address).await, site.blobs.count()), (0, 0));
}

#[actix_web::test]
async fn bytes_that_stall_are_kept_and_the_request_given_up() {
    let server = Served::new(Duration::from_millis(100)).await;
    let site = &server.site;
    let (address, _) = site.begin(6, FILENAME).await;
    let head = "upload-offset: 0\r\ncontent-length: 6\r\n";
    let mut stream = server.append(&address, head, b"abc").await;
    let answer = answer_of(&mut stream, "").await;
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert!(answer.contains("\r\ntus-resumable: 1.0.0\r\n"), "{answer}");
    site.reaches(&address, 3).await;
}

#[actix_web::test]
async fn an_early_refusal_reaches_a_client_that_is_still_sending() {
    let server = Served::new(PATIENCE).await;
    let site = &server.site;
    let (address, _) = site.begin(1_000_000, FILENAME).await;
    let bytes = bytes(1_000_000);
    for (head, status) in [
        ("upload-offset: 7\r\ncontent-length: 1000000\r\n", 409),
        ("upload-offset: 0\r\ncontent-length: 1000001\r\n", 413),
        ("content-length: 1000000\r\n", 400),
    ] {
        let mut stream = server.append(&address, head, &bytes).await;
        let answer = answer_of(&mut stream, "\r\n\r\n{").await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{answer}");
    }
    assert_eq!(site.offset(&address).await, 0);
    // Nobody said how many they are.
    let head = "upload-offset: 0\r\ntransfer-encoding: chunked\r\n";
    let mut chunk = format!("{:x}\r\n", bytes.len()).into_bytes();
    chunk.extend(&bytes);
    chunk.extend(b"\r\n");
    let twice = [chunk.clone(), chunk].concat();
    let mut stream = server.append(&address, head, &twice).await;
    let answer = answer_of(&mut stream, "\r\n\r\n{").await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    assert_eq!((site.offset(&address).await, site.blobs.count()), (0, 0));
}

#[actix_web::test]
async fn a_request_gives_way_to_the_next_one_and_what_it_brought_counts() {
    let server = Served::new(PATIENCE).await;
    let site = &server.site;
    let (address, _) = site.begin(6, FILENAME).await;
    let head = |offset: u8| format!("upload-offset: {offset}\r\ncontent-length: 3\r\nconnection: close\r\n");
    let read = async |count: u64| {
        let change = async {
            while site.blobs.calls(BlobCall::Write) < count {
                rt::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(PATIENCE, change).await.unwrap();
    };
    let mut first = server.append(&address, &head(0), b"ab").await;
    read(1).await;
    let mut second = server.append(&address, &head(0), b"xyz").await;
    let answer = answer_of(&mut second, "").await;
    assert!(answer.starts_with("HTTP/1.1 409"), "{answer}");
    assert!(answer.contains("\r\nupload-offset: 2\r\n"), "{answer}");
    let answer = answer_of(&mut first, "").await;
    assert!(answer.starts_with("HTTP/1.1 204"), "{answer}");
    assert!(answer.contains("\r\nupload-offset: 2\r\n"), "{answer}");
    let mut third = server.append(&address, &head(2), b"c").await;
    read(2).await;
    assert_eq!(site.offset(&address).await, 3);
    let answer = answer_of(&mut third, "").await;
    assert!(answer.contains("\r\nupload-offset: 3\r\n"), "{answer}");
    assert_eq!(site.blobs.count(), 2);
}
