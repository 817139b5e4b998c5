//! Answers of the front's own.

use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Response, StatusCode};
use mosaic_ports::BoxError;
use serde::Serialize;
use serde_json::json;

/// An answer, whoever made it.
pub(super) type Answer = Response<BoxBody<Bytes, BoxError>>;

/// Bytes of a media type.
pub(super) fn of(status: StatusCode, media_type: &'static str, body: impl Into<Bytes>) -> Answer {
    let body = Full::new(body.into()).map_err(|never| match never {}).boxed();
    let mut answer = Response::new(body);
    *answer.status_mut() = status;
    let media_type = HeaderValue::from_static(media_type);
    answer.headers_mut().insert(CONTENT_TYPE, media_type);
    answer
}

/// JSON.
pub(super) fn json(value: &impl Serialize) -> Answer {
    // What is answered here has text alone for names.
    let body = serde_json::to_vec(value).unwrap_or_default();
    of(StatusCode::OK, "application/json", body)
}

/// Nothing but that it is done.
pub(super) fn done() -> Answer {
    let mut answer = of(StatusCode::NO_CONTENT, "application/json", Bytes::new());
    answer.headers_mut().remove(CONTENT_TYPE);
    answer
}

/// A problem, in the form that the server's own have.
pub(super) fn problem(status: StatusCode, code: &str, detail: &str) -> Answer {
    let body = json!({
        "type": format!("urn:mosaic:problem:{code}"),
        "title": status.canonical_reason().unwrap_or("Error"),
        "status": status.as_u16(),
        "detail": detail,
        "code": code,
        "error": detail,
    });
    of(status, "application/problem+json", body.to_string())
}
