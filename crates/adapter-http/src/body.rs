//! JSON bodies: read with limits on time and on size (packed and unpacked), and parsed into errors that name the field.
//!
//! actix's own extractor unpacks each chunk into memory before anything can count it, so a bomb of a few megabytes
//! costs gigabytes. Here the packed body is read first (it is bounded), and unpacked through a reader that stops
//! at the limit. What is packed or large is unpacked and parsed off the async workers, as many at once as there are cores.

mod packed;

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::LazyLock;
use std::task::Poll;
use std::time::Duration;

use actix_web::dev::Payload;
use actix_web::error::PayloadError;
use actix_web::http::header;
use actix_web::web::{self, Bytes, BytesMut};
use actix_web::{FromRequest, HttpMessage, HttpRequest};
use futures_util::StreamExt;
use serde::de::DeserializeOwned;
use tokio::sync::Semaphore;

use self::packed::{Encoding, content_encoding, too_large, unpack};
use crate::admission::Admission;
use crate::budget::{Lease, MemoryBudget};
use crate::content_length::content_length;
use crate::extractor::Extractor;
use crate::json::parse_object;
use crate::problem::{Problem, ProblemCode};
use crate::{caller, connection};

pub(crate) use self::packed::check_unpacked;

/// What the body of one request may cost. Lives in the app's data; the defaults hold where it is missing.
#[derive(Debug, Clone, Copy)]
pub struct BodyLimits {
    /// The most bytes on the wire.
    pub packed_bytes: usize,
    /// The most bytes after unpacking.
    pub unpacked_bytes: usize,
    /// How long the whole body may take to arrive.
    pub timeout: Duration,
}

/// The most bytes, packed or unpacked, that the body of one route may have. Lives in the route's data, and lowers the
/// [`BodyLimits`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct BodyCap(pub(crate) usize);

impl BodyLimits {
    fn of(request: &HttpRequest) -> Self {
        let limits = request.app_data::<Self>().copied().unwrap_or_default();
        match request.app_data::<BodyCap>() {
            Some(BodyCap(most)) => Self {
                packed_bytes: limits.packed_bytes.min(*most),
                unpacked_bytes: limits.unpacked_bytes.min(*most),
                ..limits
            },
            None => limits,
        }
    }
}

impl Default for BodyLimits {
    fn default() -> Self {
        Self {
            packed_bytes: 16 * 1024 * 1024,
            unpacked_bytes: 16 * 1024 * 1024,
            timeout: Duration::from_mins(1),
        }
    }
}

/// Bodies with more bytes than this are parsed off the async workers.
const PARSED_AT_ONCE: usize = 64 * 1024;

/// The admission of the bodies that are parsed off the async workers.
static PARSERS: LazyLock<Semaphore> =
    LazyLock::new(|| Semaphore::new(std::thread::available_parallelism().map_or(1, usize::from)));

/// A type that can be read from the text of a body.
pub trait FromBody: Sized + Send + 'static {
    /// Reads the text, which may take long.
    ///
    /// # Errors
    /// 400 for what is no JSON, 422 for JSON of the wrong shape.
    fn from_body(text: &str) -> Result<Self, Problem>;
}

impl<T: DeserializeOwned + Send + 'static> FromBody for T {
    fn from_body(text: &str) -> Result<Self, Problem> {
        Ok(parse_object(text)?)
    }
}

/// The body of a request, parsed from JSON.
///
/// Refuses with 400 what is no JSON, 408 what is too slow, 413 what is too large, 415 what is announced as something
/// else, and 422 what is JSON of the wrong shape, with the path to the field.
#[derive(Debug, Clone, Copy)]
pub struct JsonBody<T>(pub T);

impl<T: FromBody> FromRequest for JsonBody<T> {
    type Error = Problem;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Problem>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let request = request.clone();
        let payload = payload.take();
        Box::pin(async move { read(&request, payload, parse).await.map(Self) })
    }
}

impl<T: FromBody> Extractor for JsonBody<T> {
    fn problems() -> Vec<ProblemCode> {
        use ProblemCode as Code;
        vec![
            Code::MalformedJson,
            Code::MalformedEncoding,
            Code::RequestTimeout,
            Code::BodyTooLarge,
            Code::UnsupportedMediaType,
            Code::UnsupportedEncoding,
            Code::ValidationFailed,
            Code::Busy,
        ]
    }
}

impl<T: FromBody> Extractor for OptionalJsonBody<T> {
    fn problems() -> Vec<ProblemCode> {
        JsonBody::<T>::problems()
    }
}

/// The body of a request that may also have none.
#[derive(Debug, Clone, Copy)]
pub struct OptionalJsonBody<T>(pub Option<T>);

impl<T: FromBody> FromRequest for OptionalJsonBody<T> {
    type Error = Problem;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Problem>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let request = request.clone();
        let payload = payload.take();
        let parse: fn(&[u8]) -> Result<Option<T>, Problem> = |bytes: &[u8]| match bytes {
            [] => Ok(None),
            bytes => parse(bytes).map(Some),
        };
        Box::pin(async move { read(&request, payload, parse).await.map(Self) })
    }
}

async fn read<R: Send + 'static>(
    request: &HttpRequest,
    payload: Payload,
    parse: fn(&[u8]) -> Result<R, Problem>,
) -> Result<R, Problem> {
    let limits = BodyLimits::of(request);
    check_content_type(request)?;
    let encoding = content_encoding(request)?;
    if content_length(request).is_some_and(|length| length > limits.packed_bytes as u64) {
        return Err(too_large(limits.packed_bytes));
    }
    let mut lease = Lease::of(request);
    let packed = receive(request, payload, limits, &mut lease).await?;
    let small = packed.len() <= PARSED_AT_ONCE;
    let work = move || {
        let bytes = unpack(packed, encoding, limits.unpacked_bytes, &mut lease)?;
        // What a body becomes is about as large as it is itself.
        lease.grow(bytes.len() * (MemoryBudget::BODY_FACTOR - 1))?;
        Ok::<_, Problem>((parse(&bytes)?, lease))
    };
    let done = if encoding == Encoding::Identity && small {
        work()
    } else {
        // Held until the work is done, also when nobody waits for it any more.
        let turn = PARSERS.acquire().await.map_err(Problem::internal)?;
        let done = web::block(move || {
            let _turn = turn;
            work()
        });
        done.await.map_err(Problem::internal)?
    };
    match done {
        Ok((value, lease)) => {
            lease.keep(request);
            Ok(value)
        }
        // What is wrong with a body is told to those alone whom the route lets in (L1, L3).
        Err(problem) => Err(caller::check_again(request).await.err().unwrap_or(problem)),
    }
}

/// The body as it comes. A login that is no more good then, or before where the client asks first, is refused.
async fn receive(
    request: &HttpRequest,
    payload: Payload,
    limits: BodyLimits,
    lease: &mut Lease,
) -> Result<Bytes, Problem> {
    if connection::is_body_awaited(request) {
        caller::check_again(request).await?;
    }
    let arrives = read_packed(payload, limits.packed_bytes, lease);
    let mut arrives = pin!(tokio::time::timeout(limits.timeout, arrives));
    let packed = match futures_util::poll!(&mut arrives) {
        Poll::Ready(packed) => packed,
        Poll::Pending => {
            let packed = arrives.await;
            caller::check_after_wait(request).await?;
            packed
        }
    };
    let packed = packed.map_err(|_| too_slow())??;
    Admission::after_body(request).await?;
    Ok(packed)
}

fn check_content_type(request: &HttpRequest) -> Result<(), Problem> {
    if !request.headers().contains_key(header::CONTENT_TYPE) {
        return Ok(());
    }
    let is_json =
        request.mime_type().ok().flatten().is_some_and(|mime| {
            mime.subtype() == "json" || mime.suffix().is_some_and(|suffix| suffix == "json")
        });
    if is_json {
        Ok(())
    } else {
        Err(Problem::new(
            ProblemCode::UnsupportedMediaType,
            "the content type must be application/json",
        ))
    }
}

async fn read_packed(mut payload: Payload, limit: usize, lease: &mut Lease) -> Result<Bytes, Problem> {
    let mut packed = BytesMut::new();
    while let Some(chunk) = payload.next().await {
        let chunk = chunk.map_err(|error| payload_problem(&error))?;
        if packed.len() + chunk.len() > limit {
            return Err(too_large(limit));
        }
        lease.grow(chunk.len())?;
        packed.extend_from_slice(&chunk);
    }
    Ok(packed.freeze())
}

/// The next bytes of a body, whose client may be silent for so long. `None`: it has ended.
///
/// # Errors
/// 408 `request_timeout`, or 400 `bad_request` where it broke off.
pub(crate) async fn next_bytes(payload: &mut Payload, idle: Duration) -> Result<Option<Bytes>, Problem> {
    let next = tokio::time::timeout(idle, payload.next()).await;
    let next = next.map_err(|_| too_slow())?;
    next.transpose().map_err(|error| payload_problem(&error))
}

/// The body stands still, or takes too long.
fn too_slow() -> Problem {
    Problem::new(ProblemCode::RequestTimeout, "the body took too long to arrive")
}

/// The body broke off.
fn payload_problem(error: &PayloadError) -> Problem {
    Problem::new(
        ProblemCode::BadRequest,
        format!("the body did not arrive whole: {error}"),
    )
}

fn parse<T: FromBody>(bytes: &[u8]) -> Result<T, Problem> {
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Err(Problem::new(
            ProblemCode::MalformedJson,
            "the body is empty: JSON is expected",
        ));
    }
    // serde would look at the bytes of those texts alone that it does not ignore.
    let text = std::str::from_utf8(bytes)
        .map_err(|_| Problem::new(ProblemCode::MalformedJson, "the body is not UTF-8"))?;
    T::from_body(text)
}

#[cfg(test)]
mod tests;
