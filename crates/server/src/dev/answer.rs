//! Answers of the front's own.

use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::header::{
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, CONTENT_TYPE, HeaderName, HeaderValue,
};
use hyper::{Response, StatusCode};
use mosaic_adapter_http::problem::{self, ProblemBody, ProblemCode};
use mosaic_ports::BoxError;
use serde::Serialize;

/// An answer, whoever made it.
pub(super) type Answer = Response<BoxBody<Bytes, BoxError>>;

/// Bytes of a media type. Web pages of any origin may read them, as the answers of the server behind.
pub(super) fn of(status: StatusCode, media_type: &'static str, body: impl Into<Bytes>) -> Answer {
    let body = Full::new(body.into()).map_err(|never| match never {}).boxed();
    let mut answer = Response::new(body);
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    for name in mosaic_adapter_http::exposed_headers().map(HeaderName::from_static) {
        headers.append(ACCESS_CONTROL_EXPOSE_HEADERS, name.into());
    }
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
    let known = ProblemCode::ALL.iter().find(|known| known.code() == code);
    let title = known.map(|known| known.title()).or(status.canonical_reason());
    let body = ProblemBody::new(status.as_u16(), code.to_owned(), title.unwrap_or("Error"), detail);
    // Its names are text, as above.
    let body = serde_json::to_vec(&body).unwrap_or_default();
    of(status, problem::CONTENT_TYPE, body)
}
