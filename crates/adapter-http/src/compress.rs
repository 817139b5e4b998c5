//! Compression of JSON answers (gzip). Of JSON only, and never of files, even if they are JSON: they keep their length,
//! their ranges and their ETag.
//!
//! Small answers are left alone: packing them costs more than it saves.

use actix_http::encoding::Encoder;
use actix_web::body::{BodySize, BoxBody, EitherBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{
    self, AcceptEncoding, ContentEncoding, Encoding, Header, HeaderMap, HeaderValue,
};
use actix_web::middleware::Next;

/// Below this many bytes nothing is packed.
const MIN_BYTES: u64 = 1024;

/// Middleware: packs JSON of some size, when the client says that it can unpack it.
///
/// # Errors
/// Those of the inner service.
pub(crate) async fn json<B: MessageBody + 'static>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<Encoder<BoxBody>, BoxBody>>, actix_web::Error> {
    let encoding = negotiate(&request);
    let mut response = next.call(request).await?.map_into_boxed_body();
    let sized_enough =
        !matches!(response.response().body().size(), BodySize::Sized(size) if size < MIN_BYTES);
    if !is_json(response.headers()) || response.headers().contains_key(header::ACCEPT_RANGES) {
        return Ok(response.map_body(|_, body| EitherBody::right(body)));
    }
    // What comes back depends on what was asked for, packed or not: caches must know.
    response
        .headers_mut()
        .append(header::VARY, HeaderValue::from_static("accept-encoding"));
    Ok(match encoding {
        Some(encoding) if sized_enough => {
            response.map_body(|head, body| EitherBody::left(Encoder::response(encoding, head, body)))
        }
        _ => response.map_body(|_, body| EitherBody::right(body)),
    })
}

fn is_json(headers: &HeaderMap) -> bool {
    headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .is_some_and(|mime| mime == "application/json" || mime.ends_with("+json"))
}

/// What the client prefers of what is offered here; a header that makes no sense means: as it is.
fn negotiate(request: &ServiceRequest) -> Option<ContentEncoding> {
    let offered = [Encoding::identity(), Encoding::gzip()];
    match AcceptEncoding::parse(request).ok()?.negotiate(offered.iter())? {
        Encoding::Known(encoding) if encoding != ContentEncoding::Identity => Some(encoding),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    fn chosen(accept: &str) -> Option<ContentEncoding> {
        negotiate(
            &TestRequest::get()
                .insert_header(("accept-encoding", accept))
                .to_srv_request(),
        )
    }

    #[test]
    fn the_client_chooses_gzip_or_nothing() {
        for gzip in ["gzip", "gzip, deflate, br, zstd", "br, gzip;q=0.5", "gzip;q=0.1"] {
            assert_eq!(chosen(gzip), Some(ContentEncoding::Gzip), "{gzip}");
        }
        for none in ["", "identity", "br", "zstd", "gzip;q=0", ";;"] {
            assert_eq!(chosen(none), None, "{none}");
        }
        assert_eq!(negotiate(&TestRequest::get().to_srv_request()), None);
    }
}
