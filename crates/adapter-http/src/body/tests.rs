//! What is taken as a body, what it is refused for, and what it may cost.

use std::io::Write;

use actix_web::test::TestRequest;
use mosaic_domain::json::Skipped;
use serde::Deserialize;

use super::packed::GZIP_MEMBERS;
use super::*;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Note {
    content: String,
    #[serde(default)]
    tags: Vec<String>,
    #[serde(default)]
    updated_at: Option<i64>,
    #[serde(default, rename = "metadata")]
    _metadata: Option<Skipped>,
}

const LIMITS: BodyLimits = BodyLimits {
    packed_bytes: 2_000,
    unpacked_bytes: 10_000,
    timeout: Duration::from_secs(5),
};

async fn extract(request: TestRequest) -> Result<Note, Problem> {
    let (request, mut payload) = request.app_data(LIMITS).to_http_parts();
    JsonBody::<Note>::from_request(&request, &mut payload)
        .await
        .map(|body| body.0)
}

fn json(body: impl Into<Bytes>) -> TestRequest {
    TestRequest::post()
        .insert_header(("content-type", "application/json"))
        .set_payload(body)
}

async fn refusal(request: TestRequest) -> Problem {
    extract(request).await.expect_err("must be refused")
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[actix_web::test]
async fn json_is_taken_with_or_without_its_content_type() {
    let body = r#"{"content": "a", "unknown": 1}"#;
    assert_eq!(extract(json(body)).await.unwrap().content, "a");
    assert_eq!(
        extract(TestRequest::post().set_payload(body))
            .await
            .unwrap()
            .content,
        "a"
    );
    let suffixed =
        TestRequest::post().insert_header(("content-type", "application/vnd.x+json; charset=utf-8"));
    assert_eq!(extract(suffixed.set_payload(body)).await.unwrap().content, "a");
}

#[actix_web::test]
async fn other_content_types_are_refused() {
    let form = TestRequest::post()
        .insert_header(("content-type", "text/plain"))
        .set_payload("{}");
    assert_eq!(refusal(form).await.code(), ProblemCode::UnsupportedMediaType);
    let broken = TestRequest::post()
        .insert_header(("content-type", "json"))
        .set_payload("{}");
    assert_eq!(refusal(broken).await.code(), ProblemCode::UnsupportedMediaType);
}

#[actix_web::test]
async fn what_is_no_json_is_malformed() {
    let deep = format!(
        r#"{{"content": "a", "metadata": {}{}}}"#,
        "[".repeat(500),
        "]".repeat(500)
    );
    let bodies: Vec<Bytes> = vec![
        "".into(),
        " \n".into(),
        "{".into(),
        r#"{"content": "a"}x"#.into(),
        r#"{"content": "\ud800"}"#.into(),
        Bytes::from_static(b"{\"content\": \"\xff\"}"),
        deep.into(),
    ];
    for body in bodies {
        let problem = refusal(json(body.clone())).await;
        assert_eq!(problem.code(), ProblemCode::MalformedJson, "{body:?}");
    }
}

#[actix_web::test]
async fn wrong_shapes_name_the_field() {
    for (body, path, code) in [
        (r#"{"content": 1}"#, "content", "invalid_type"),
        (r#"{"content": "a", "tags": ["x", 2]}"#, "tags[1]", "invalid_type"),
        (
            r#"{"content": "a", "updatedAt": 1.5}"#,
            "updatedAt",
            "invalid_type",
        ),
        (
            r#"{"content": "a", "updatedAt": 99999999999999999999}"#,
            "updatedAt",
            "invalid_type",
        ),
        (r#"{"tags": []}"#, "content", "required"),
        (
            r#"{"content": "a", "content": "b"}"#,
            "content",
            "duplicate_field",
        ),
        ("[]", "", "invalid_type"),
        ("7", "", "invalid_type"),
    ] {
        let problem = refusal(json(body)).await;
        assert_eq!(problem.code(), ProblemCode::ValidationFailed, "{body}");
        let [error] = problem.errors() else {
            panic!("{body}: {problem:?}")
        };
        assert_eq!(
            (error.path.as_str(), &*error.code),
            (path, code),
            "{body}: {error:?}"
        );
        assert!(!error.message.contains("line"), "{error:?}");
    }
}

#[actix_web::test]
async fn packed_bodies_are_unpacked() {
    let body = br#"{"content": "packed", "tags": ["t"], "updatedAt": 5}"#;
    for (encoding, packed) in [("gzip", gzip(body)), ("identity", body.to_vec())] {
        let note = extract(json(packed).insert_header(("content-encoding", encoding)))
            .await
            .unwrap();
        assert_eq!(
            (note.content.as_str(), note.tags.len(), note.updated_at),
            ("packed", 1, Some(5)),
            "{encoding}"
        );
    }
}

#[actix_web::test]
async fn bombs_are_too_large_however_small_they_are_packed() {
    let bomb = vec![b' '; 5_000_000];
    let packed = &gzip(&bomb)[..1_900];
    let problem = refusal(json(packed.to_vec()).insert_header(("content-encoding", "gzip"))).await;
    assert_eq!(problem.code(), ProblemCode::BodyTooLarge);
}

#[actix_web::test]
async fn a_body_has_only_so_many_members() {
    let body = br#"{"content": "in two halves"}"#;
    let (one, other) = body.split_at(10);
    let packed = [gzip(one), gzip(other)].concat();
    let note = extract(json(packed).insert_header(("content-encoding", "gzip"))).await;
    assert_eq!(note.unwrap().content, "in two halves");

    let empty = gzip(b"").repeat(GZIP_MEMBERS);
    let problem =
        refusal(json([empty, gzip(body)].concat()).insert_header(("content-encoding", "gzip"))).await;
    assert_eq!(problem.code(), ProblemCode::MalformedEncoding);
}

#[actix_web::test]
async fn broken_and_unknown_encodings_are_refused() {
    let problem = refusal(json("{}not packed").insert_header(("content-encoding", "gzip"))).await;
    assert_eq!(problem.code(), ProblemCode::MalformedEncoding);
    let mut cut = gzip(br#"{"content": "packed"}"#);
    cut.truncate(cut.len() - 9);
    let problem = refusal(json(cut).insert_header(("content-encoding", "gzip"))).await;
    assert_eq!(problem.code(), ProblemCode::MalformedEncoding);
    for encoding in ["br", "deflate", "zstd", "gzip, gzip", "\u{fc}"] {
        let request = json("{}").insert_header(("content-encoding", encoding.as_bytes()));
        assert_eq!(
            refusal(request).await.code(),
            ProblemCode::UnsupportedEncoding,
            "{encoding}"
        );
    }
}

#[actix_web::test]
async fn a_body_over_the_limit_is_refused_announced_or_not() {
    let body = "x".repeat(2_001);
    assert_eq!(
        refusal(json(body.clone())).await.code(),
        ProblemCode::BodyTooLarge
    );
    let announced = json("{}").insert_header(("content-length", "2001"));
    assert_eq!(refusal(announced).await.code(), ProblemCode::BodyTooLarge);
}

#[actix_web::test]
async fn an_optional_body_may_be_missing() {
    let (request, mut payload) = TestRequest::put().to_http_parts();
    let body = OptionalJsonBody::<Note>::from_request(&request, &mut payload)
        .await
        .unwrap();
    assert!(body.0.is_none());
    let (request, mut payload) = json(r#"{"content": "a"}"#).to_http_parts();
    let body = OptionalJsonBody::<Note>::from_request(&request, &mut payload)
        .await
        .unwrap();
    assert_eq!(body.0.map(|note| note.content).as_deref(), Some("a"));
}
