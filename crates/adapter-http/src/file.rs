//! Answers with a file: whole, in part, not at all where the client has it already, or with the address at which the storage
//! gives it out itself.
//!
//! A file's bytes never change under its tag, so the tag is a strong `ETag`, and there is no date to compare with.

use std::ops::Range;

use actix_web::body::{BoxBody, SizedStream};
use actix_web::http::header::{self, HeaderMap, HeaderName};
use actix_web::http::{Method, StatusCode};
use actix_web::web::Bytes;
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};
use futures_util::{Stream, StreamExt, TryStreamExt, stream};
use mosaic_application::AppError;
use mosaic_application::attachments::{Attachments, StoredFile};
use uuid::Uuid;

use crate::caller::is_by_ticket;
use crate::disposition::{content_disposition, content_type};
use crate::problem::{Problem, ProblemCode, causes};
use crate::ranges::{Selection, select};
use crate::request_id::RequestId;
use crate::state::AppState;

const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

/// Answers a request for a file that is called so.
///
/// # Errors
/// 412 `precondition_failed`, 416 `range_not_satisfiable`, or what the storage fails with before the first byte. Where it fails
/// later the connection is cut: a client never takes a part for the whole.
pub(crate) async fn send(
    request: &HttpRequest,
    state: &AppState,
    file: StoredFile,
    name: &str,
) -> Result<HttpResponse, Problem> {
    let disposition = content_disposition(&file.mime_type, name);
    let tag = format!("\"{}\"", file.tag);
    match precondition(request.headers(), &tag) {
        Precondition::Holds => {}
        Precondition::Fails => {
            return Err(Problem::new(
                ProblemCode::PreconditionFailed,
                "the file has another ETag than `If-Match` names",
            ));
        }
        Precondition::IsThere => return Ok(described(request, StatusCode::NOT_MODIFIED, &tag).finish()),
    }
    // The address is signed for a `GET`: what a `HEAD` asks for is known here.
    if let Some(expires_in) = state.downloads.redirect_for
        && request.method() != Method::HEAD
    {
        let address = state
            .attachments
            .address(&file, disposition.clone(), expires_in)
            .await?;
        if let Some(address) = address {
            return Ok(redirect(&address));
        }
    }
    let mut response = described(request, StatusCode::OK, &tag);
    response.insert_header((header::CONTENT_DISPOSITION, disposition));
    if request.method() == Method::HEAD {
        // Nothing is sent of it, but its length.
        response.content_type(content_type(&file.mime_type));
        return Ok(response.body(SizedStream::new(file.size, stream::empty::<Result<_, Cut>>())));
    }
    let selection = match range(request.headers(), &tag) {
        Some(range) => select(range, file.size),
        None => Selection::Whole,
    };
    let sending = Sending {
        attachments: state.attachments.clone(),
        request_id: RequestId::of(request).unwrap_or_default(),
        file,
    };
    match selection {
        Selection::Whole => sending.whole(response).await,
        Selection::Refused(why) => Err(Problem::new(ProblemCode::RangeNotSatisfiable, why)
            .with_header(header::CONTENT_RANGE, format!("bytes */{}", sending.file.size))),
        Selection::Parts(parts) => match <[Range<u64>; 1]>::try_from(parts) {
            Ok([part]) => sending.part(response, part).await,
            Err(parts) => sending.parts(response, parts, state.ids.next()).await,
        },
    }
}

fn redirect(address: &str) -> HttpResponse {
    HttpResponse::TemporaryRedirect()
        .insert_header((header::LOCATION, address))
        .insert_header((header::CACHE_CONTROL, "private, no-store"))
        .finish()
}

/// What every answer about a file says: bytes that somebody uploaded run nothing, are nobody else's business, and never change.
/// With a ticket, a page of another origin may show them, as an app's own page is: whoever has the address was given it. It is a
/// new one each time, so what is kept of it is soon of no use (L5).
fn described(request: &HttpRequest, status: StatusCode, tag: &str) -> HttpResponseBuilder {
    let (caching, sharing) = if is_by_ticket(request) {
        ("private, max-age=60", "cross-origin")
    } else {
        ("private, max-age=31536000, immutable", "same-origin")
    };
    let mut response = HttpResponse::build(status);
    response
        .insert_header((header::ETAG, tag))
        .insert_header((header::ACCEPT_RANGES, "bytes"))
        .insert_header((header::CACHE_CONTROL, caching))
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .insert_header((header::CONTENT_SECURITY_POLICY, "default-src 'none'; sandbox"))
        .insert_header((RESOURCE_POLICY, sharing));
    response
}

/// What `If-Match` and `If-None-Match` come to (RFC 9110, section 13.2.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Precondition {
    Holds,
    Fails,
    /// The client has the file already.
    IsThere,
}

fn precondition(headers: &HeaderMap, tag: &str) -> Precondition {
    if headers.contains_key(header::IF_MATCH) && !names(headers, &header::IF_MATCH, |named| named == tag) {
        return Precondition::Fails;
    }
    let is_there = names(headers, &header::IF_NONE_MATCH, |named| {
        named.strip_prefix("W/").unwrap_or(named) == tag
    });
    if is_there {
        Precondition::IsThere
    } else {
        Precondition::Holds
    }
}

/// Whether a list of tags has one that fits, or is `*`. No tag of ours has a comma.
fn names(headers: &HeaderMap, list: &HeaderName, fits: impl Fn(&str) -> bool) -> bool {
    headers
        .get_all(list)
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .any(|named| named == "*" || fits(named))
}

/// The range that is asked for, unless it is of another file. A date is never that of this one: it has none.
fn range<'a>(headers: &'a HeaderMap, tag: &str) -> Option<&'a str> {
    if headers
        .get(header::IF_RANGE)
        .is_some_and(|value| value.as_bytes() != tag.as_bytes())
    {
        return None;
    }
    let mut values = headers.get_all(header::RANGE);
    let value = values.next()?;
    if values.next().is_some() {
        return None;
    }
    value.to_str().ok()
}

/// The rest of a file did not come. Why was logged.
#[derive(Debug)]
struct Cut;

impl std::fmt::Display for Cut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a download was cut short")
    }
}

impl std::error::Error for Cut {}

/// A file on its way to a client.
#[derive(Clone)]
struct Sending {
    attachments: Attachments,
    request_id: String,
    file: StoredFile,
}

impl Sending {
    async fn whole(self, mut response: HttpResponseBuilder) -> Result<HttpResponse, Problem> {
        response.content_type(content_type(&self.file.mime_type));
        let bytes = self.read(None).await?;
        Ok(response.body(SizedStream::new(self.file.size, bytes)))
    }

    async fn part(
        self,
        mut response: HttpResponseBuilder,
        part: Range<u64>,
    ) -> Result<HttpResponse, Problem> {
        response
            .status(StatusCode::PARTIAL_CONTENT)
            .content_type(content_type(&self.file.mime_type))
            .insert_header((header::CONTENT_RANGE, self.content_range(&part)));
        let length = part.end - part.start;
        let bytes = self.read(Some(part)).await?;
        Ok(response.body(SizedStream::new(length, bytes)))
    }

    /// Several parts, with a head for each (`multipart/byteranges`). A part is read when the one before it was sent.
    async fn parts(
        self,
        mut response: HttpResponseBuilder,
        parts: Vec<Range<u64>>,
        boundary: Uuid,
    ) -> Result<HttpResponse, Problem> {
        let boundary = boundary.simple();
        let heads: Vec<Bytes> = parts
            .iter()
            .enumerate()
            .map(|(place, part)| {
                let before = if place == 0 { "" } else { "\r\n" };
                let (kind, range) = (content_type(&self.file.mime_type), self.content_range(part));
                format!("{before}--{boundary}\r\nContent-Type: {kind}\r\nContent-Range: {range}\r\n\r\n")
                    .into()
            })
            .collect();
        let end = Bytes::from(format!("\r\n--{boundary}--\r\n"));
        let framing: usize = heads.iter().map(Bytes::len).sum();
        let content: u64 = parts.iter().map(|part| part.end - part.start).sum();
        let length = (framing + end.len()) as u64 + content;

        // The first is opened now: a file that can not be read is told in the answer.
        let mut first = Some(self.read(parts.first().cloned()).await?);
        response
            .status(StatusCode::PARTIAL_CONTENT)
            .content_type(format!("multipart/byteranges; boundary={boundary}"));
        let sections: Vec<_> = heads
            .into_iter()
            .zip(parts)
            .map(|(head, part)| (head, part, first.take()))
            .collect();
        let body = stream::iter(sections)
            .then(move |(head, part, opened)| {
                let reading = self.clone();
                async move {
                    let bytes = match opened {
                        Some(bytes) => bytes,
                        None => reading
                            .read(Some(part))
                            .await
                            .map_err(|error| reading.cut(&error))?,
                    };
                    Ok::<_, Cut>(stream::once(async { Ok(head) }).chain(bytes))
                }
            })
            .try_flatten()
            .chain(stream::once(async { Ok(end) }));
        Ok(response.body(BoxBody::new(SizedStream::new(length, Box::pin(body)))))
    }

    fn content_range(&self, part: &Range<u64>) -> String {
        format!("bytes {}-{}/{}", part.start, part.end - 1, self.file.size)
    }

    /// An error in the middle closes the connection before the end of the body: the client sees that it was cut short.
    async fn read(
        &self,
        range: Option<Range<u64>>,
    ) -> Result<impl Stream<Item = Result<Bytes, Cut>> + use<>, AppError> {
        let bytes = self.attachments.read(&self.file, range).await?;
        let request_id = self.request_id.clone();
        Ok(bytes.map_err(move |error| log(&request_id, &error)))
    }

    fn cut(&self, error: &AppError) -> Cut {
        log(&self.request_id, error)
    }
}

fn log(request_id: &str, error: &(dyn std::error::Error + 'static)) -> Cut {
    tracing::error!(request_id, cause = causes(error), "a download was cut short");
    Cut
}
