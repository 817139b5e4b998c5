//! How long a request says that its body is.

use actix_web::HttpRequest;
use actix_web::http::header;

/// How many bytes the body has, where it is announced.
pub(crate) fn content_length(request: &HttpRequest) -> Option<u64> {
    request
        .headers()
        .get(header::CONTENT_LENGTH)?
        .to_str()
        .ok()?
        .parse()
        .ok()
}
