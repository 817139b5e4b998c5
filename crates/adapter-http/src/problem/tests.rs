//! What a problem says, and how every error becomes one.

use std::collections::HashSet;

use actix_web::body::to_bytes;
use mosaic_application::AppError;
use mosaic_ports::StoreError;
use serde_json::json;

use super::finish::chain;
use super::*;

async fn rendered(problem: &Problem, id: Option<String>) -> (StatusCode, Value) {
    let response = problem.response(id);
    assert_eq!(
        response.headers().get(header::CONTENT_TYPE).unwrap(),
        CONTENT_TYPE
    );
    let status = response.status();
    let bytes = to_bytes(response.into_body()).await.unwrap_or_default();
    (status, serde_json::from_slice(&bytes).unwrap())
}

#[test]
fn codes_are_snake_case_and_a_pair_of_code_and_status_names_one_problem() {
    let mut seen = HashSet::new();
    for code in ProblemCode::ALL {
        assert!(
            code.code().bytes().all(|b| b.is_ascii_lowercase() || b == b'_'),
            "{code:?}"
        );
        assert!((400..600).contains(&code.status()), "{code:?}");
        assert!(
            seen.insert((code.code(), code.status())),
            "{code:?} is there twice"
        );
    }
}

#[actix_web::test]
async fn a_problem_has_every_member_that_clients_read() {
    let (status, body) = rendered(&Problem::new(ProblemCode::NotFound, "no such memo"), None).await;
    assert_eq!(status, 404);
    assert_eq!(
        body,
        json!({"type": "urn:mosaic:problem:not_found", "title": "Not found", "status": 404,
               "detail": "no such memo", "code": "not_found", "error": "no such memo"})
    );
}

#[actix_web::test]
async fn validation_lists_every_field() {
    let problem = Problem::validation(vec![
        FieldError::new("tags[3]", "too_long", "must have at most 100 characters"),
        FieldError::new("moodScore", "out_of_range", "must be 1 to 10"),
    ]);
    let (status, body) = rendered(&problem, None).await;
    assert_eq!(status, 422);
    assert_eq!(body["errors"][1]["path"], "moodScore");
    assert_eq!(
        body["error"],
        "tags[3]: must have at most 100 characters, and 1 more"
    );
}

#[actix_web::test]
async fn extras_are_there_when_set() {
    let problem = Problem::new(ProblemCode::Superseded, "lost")
        .with_current(json!({"id": 1}))
        .with_server_time(7);
    let (_, body) = rendered(&problem, None).await;
    assert_eq!(body["current"]["id"], 1);
    assert_eq!(body["serverTime"], 7);
}

#[actix_web::test]
async fn what_attachments_are_refused_with_has_a_code_and_its_numbers() {
    let cause = || mosaic_ports::BoxError::from("secret");
    for (error, status, code, members) in [
        (AppError::OtherContent, 409, "content_differs", json!({})),
        (
            AppError::MemoFull(mosaic_domain::MemoId::new(uuid::Uuid::nil())),
            422,
            "memo_full",
            json!({}),
        ),
        (AppError::NotUploaded, 404, "not_uploaded", json!({})),
        (AppError::ContentMissing, 404, "content_missing", json!({})),
        (AppError::NotAPicture, 422, "not_a_picture", json!({})),
        (
            AppError::PictureTooLarge(String::new()),
            422,
            "picture_too_large",
            json!({}),
        ),
        (
            AppError::FileTooLarge { limit: 7 },
            413,
            "file_too_large",
            json!({"limit": 7}),
        ),
        (
            AppError::QuotaExceeded { used: 8, quota: 9 },
            413,
            "quota_exceeded",
            json!({"used": 8, "quota": 9}),
        ),
        (
            AppError::NoRoom { used: 8, quota: 9 },
            413,
            "quota_exceeded",
            json!({"used": 8, "quota": 9}),
        ),
        (AppError::TooManyUploads, 429, "too_many_uploads", json!({})),
        (
            AppError::OffsetConflict { received: 5 },
            409,
            "upload_offset_conflict",
            json!({"received": 5}),
        ),
        (
            AppError::BeyondLength { length: 1 },
            413,
            "beyond_upload_length",
            json!({}),
        ),
        (AppError::ChecksumMismatch, 460, "checksum_mismatch", json!({})),
        (AppError::UploadExpired, 410, "upload_expired", json!({})),
        (AppError::TooManyAvatars, 409, "too_many_avatars", json!({})),
        (
            AppError::UploadRefused(AppError::OtherContent.into()),
            422,
            "upload_refused",
            json!({}),
        ),
        (AppError::UploadBusy, 423, "upload_busy", json!({})),
        (AppError::TooManyParts, 409, "too_many_parts", json!({})),
        (
            AppError::UploadIncomplete(String::new()),
            409,
            "upload_incomplete",
            json!({}),
        ),
        (AppError::NoDirectUploads, 409, "no_direct_uploads", json!({})),
        (
            BlobError::Unavailable(cause()).into(),
            503,
            "storage_unavailable",
            json!({}),
        ),
        (BlobError::Full(cause()).into(), 507, "storage_full", json!({})),
        (StoreError::Full(cause()).into(), 507, "storage_full", json!({})),
        (StoreError::TooSlow(cause()).into(), 503, "too_slow", json!({})),
        (BlobError::Failed(cause()).into(), 500, "internal", json!({})),
    ] {
        let problem = Problem::from(error);
        let response = problem.response(None);
        let waits = response.headers().contains_key(header::RETRY_AFTER);
        assert_eq!(waits, matches!(status, 423 | 429 | 503), "{code}");
        let (sent, body) = rendered(&problem, None).await;
        assert_eq!((sent.as_u16(), &body["code"]), (status, &json!(code)));
        assert!(!body.to_string().contains("secret"), "{body}");
        for name in ["limit", "used", "quota", "received"] {
            assert_eq!(body[name], members[name], "{code} {name}");
        }
    }
    let conflict = Problem::from(AppError::OffsetConflict { received: 5 }).response(None);
    assert_eq!(conflict.headers().get("upload-offset").unwrap(), "5");
}

#[actix_web::test]
async fn a_500_tells_nothing_but_its_request_id() {
    let problem = Problem::internal("table memos has no column secret");
    let (status, body) = rendered(&problem, Some("abc".into())).await;
    assert_eq!(status, 500);
    assert_eq!(body["requestId"], "abc");
    assert!(!body.to_string().contains("secret"));
    assert!(chain(&problem).contains("secret"));
}

#[test]
fn retry_after_is_rounded_up_to_whole_seconds() {
    let response = Problem::new(ProblemCode::RateLimited, "")
        .retry_after(Duration::from_millis(1200))
        .response(None);
    assert_eq!(response.headers().get(header::RETRY_AFTER).unwrap(), "2");
    let response = Problem::unavailable(Duration::ZERO, "busy").response(None);
    assert_eq!(response.headers().get(header::RETRY_AFTER).unwrap(), "1");
}

#[test]
fn an_unauthenticated_request_is_told_how_to_sign_in() {
    let response = Problem::new(ProblemCode::NotSignedIn, "").response(None);
    assert_eq!(
        response.headers().get(header::WWW_AUTHENTICATE).unwrap(),
        "Bearer"
    );
}
