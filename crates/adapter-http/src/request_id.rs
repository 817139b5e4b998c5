//! Request ids: every answer carries one in `X-Request-Id`, and so does every line about it in the log.

use std::fmt;
use std::sync::Arc;

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{HeaderName, HeaderValue};
use actix_web::middleware::Next;
use actix_web::{HttpMessage, HttpRequest};
use uuid::Uuid;

/// The header that carries the id, in both directions.
pub const HEADER: HeaderName = HeaderName::from_static("x-request-id");

/// The longest id that is taken from a client or a proxy.
const MAX_CHARS: usize = 64;

/// Where new ids come from (rule 2 of the house: randomness enters as a value).
#[derive(Clone)]
pub struct RequestIdSource(Arc<dyn Fn() -> Uuid + Send + Sync>);

impl RequestIdSource {
    /// Ids from this function.
    pub fn new(source: impl Fn() -> Uuid + Send + Sync + 'static) -> Self {
        Self(Arc::new(source))
    }
}

impl fmt::Debug for RequestIdSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RequestIdSource")
    }
}

/// The id of the request at hand, kept in its extensions.
#[derive(Debug, Clone)]
pub struct RequestId(String);

impl RequestId {
    /// The id of a request, where the middleware has seen it.
    pub fn of(request: &HttpRequest) -> Option<String> {
        request.extensions().get::<Self>().map(|id| id.0.clone())
    }
}

/// Middleware: takes the id that came along, if it is harmless, or makes one, and sends it back.
///
/// # Errors
/// Those of the inner service.
pub async fn assign<B: MessageBody>(
    source: RequestIdSource,
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, actix_web::Error> {
    let id = incoming(&request).unwrap_or_else(|| source.0().to_string());
    request.extensions_mut().insert(RequestId(id.clone()));
    let mut response = next.call(request).await?;
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(HEADER, value);
    }
    Ok(response)
}

/// An id goes into logs and headers: only a narrow set of characters is taken.
fn incoming(request: &ServiceRequest) -> Option<String> {
    let value = request.headers().get(HEADER)?.to_str().ok()?;
    let harmless = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    ((1..=MAX_CHARS).contains(&value.len()) && value.bytes().all(harmless)).then(|| value.to_owned())
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn only_harmless_ids_are_taken_over() {
        let taken =
            |value: &str| incoming(&TestRequest::get().insert_header((HEADER, value)).to_srv_request());
        assert_eq!(taken("abc-1_2.3").as_deref(), Some("abc-1_2.3"));
        assert_eq!(taken(""), None);
        assert_eq!(taken("a b"), None);
        assert_eq!(taken("a\"b"), None);
        assert_eq!(taken(&"x".repeat(64)), Some("x".repeat(64)));
        assert_eq!(taken(&"x".repeat(65)), None);
        assert_eq!(incoming(&TestRequest::get().to_srv_request()), None);
    }
}
