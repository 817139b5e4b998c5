//! JSON bodies: read with limits on time and on size (packed and unpacked), and parsed into errors that name the field.
//!
//! actix's own extractor unpacks each chunk into memory before anything can count it, so a bomb of a few megabytes
//! costs gigabytes. Here the packed body is read first (it is bounded), and unpacked through a reader that stops
//! at the limit. What is packed or large is unpacked and parsed off the async workers, as many at once as there are cores.

use std::future::Future;
use std::io::Read;
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
use mosaic_domain::json::Skipped;
use serde::de::DeserializeOwned;
use tokio::sync::Semaphore;

use crate::budget::{Lease, MemoryBudget};
use crate::problem::{FieldError, Problem, ProblemCode};
use crate::turns::Turns;
use crate::{caller, connection};

/// The most members that a body packed with gzip may have. What programs send has one.
const GZIP_MEMBERS: usize = 64;
/// So many bytes are unpacked before they are counted.
const UNPACKED_AT_ONCE: usize = 16 * 1024;

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

/// The turns of the bodies that are parsed off the async workers.
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

/// How a body may be packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Encoding {
    Identity,
    Gzip,
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
    Turns::after_body(request).await?;
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

fn content_encoding(request: &HttpRequest) -> Result<Encoding, Problem> {
    let Some(value) = request.headers().get(header::CONTENT_ENCODING) else {
        return Ok(Encoding::Identity);
    };
    match value
        .to_str()
        .unwrap_or("unreadable")
        .trim()
        .to_ascii_lowercase()
        .as_str()
    {
        "" | "identity" => Ok(Encoding::Identity),
        "gzip" | "x-gzip" => Ok(Encoding::Gzip),
        _ => Err(
            Problem::new(ProblemCode::UnsupportedEncoding, "a body may be packed with gzip")
                .with_header(header::ACCEPT_ENCODING, "gzip"),
        ),
    }
}

/// Refuses a body that is packed: bytes of files are stored as they come.
///
/// # Errors
/// 415 `unsupported_encoding`.
pub(crate) fn check_unpacked(request: &HttpRequest) -> Result<(), Problem> {
    match content_encoding(request)? {
        Encoding::Identity => Ok(()),
        Encoding::Gzip => Err(Problem::new(
            ProblemCode::UnsupportedEncoding,
            "a file must not be packed on its way",
        )),
    }
}

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

fn too_large(limit: usize) -> Problem {
    Problem::new(
        ProblemCode::BodyTooLarge,
        format!("the body is larger than {limit} bytes"),
    )
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

/// The body stands still, or takes too long.
pub(crate) fn too_slow() -> Problem {
    Problem::new(ProblemCode::RequestTimeout, "the body took too long to arrive")
}

/// The body broke off.
pub(crate) fn payload_problem(error: &PayloadError) -> Problem {
    Problem::new(
        ProblemCode::BadRequest,
        format!("the body did not arrive whole: {error}"),
    )
}

fn unpack(packed: Bytes, encoding: Encoding, limit: usize, lease: &mut Lease) -> Result<Bytes, Problem> {
    let unpacked = match encoding {
        Encoding::Identity if packed.len() > limit => return Err(too_large(limit)),
        Encoding::Identity => return Ok(packed),
        Encoding::Gzip => gunzip(&packed, limit, lease)?,
    };
    lease.shrink(packed.len());
    Ok(unpacked)
}

/// The members of a gzip file one after the other. An empty one has twenty bytes, unpacks to nothing, and takes as long as one of
/// some kilobytes: so they are counted.
fn gunzip(packed: &[u8], limit: usize, lease: &mut Lease) -> Result<Bytes, Problem> {
    let (mut unpacked, mut rest) = (Vec::new(), packed);
    for _ in 0..GZIP_MEMBERS {
        let mut member = flate2::bufread::GzDecoder::new(rest);
        read_up_to(&mut member, &mut unpacked, limit, lease)?;
        rest = member.into_inner();
        if rest.is_empty() {
            return Ok(unpacked.into());
        }
    }
    Err(Problem::new(
        ProblemCode::MalformedEncoding,
        "the body is packed in too many pieces",
    ))
}

/// Everything that the reader gives.
fn read_up_to(
    mut reader: impl Read,
    unpacked: &mut Vec<u8>,
    limit: usize,
    lease: &mut Lease,
) -> Result<(), Problem> {
    let mut chunk = vec![0; UNPACKED_AT_ONCE];
    loop {
        let read = reader
            .read(&mut chunk)
            .map_err(|_| Problem::new(ProblemCode::MalformedEncoding, "the body can not be unpacked"))?;
        if read == 0 {
            return Ok(());
        }
        if unpacked.len() + read > limit {
            return Err(too_large(limit));
        }
        lease.grow(read)?;
        unpacked.extend_from_slice(&chunk[..read]);
    }
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

/// Why a text is not the object that it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Unreadable {
    /// It is no JSON.
    Malformed {
        /// How far it could be read.
        path: String,
        /// What is wrong there.
        message: String,
    },
    /// It is JSON of another shape.
    Misshapen(FieldError),
}

impl From<Unreadable> for Problem {
    fn from(unreadable: Unreadable) -> Self {
        match unreadable {
            Unreadable::Malformed { message, .. } => Self::new(
                ProblemCode::MalformedJson,
                format!("the body is not valid JSON: {message}"),
            ),
            Unreadable::Misshapen(error) => Self::validation(vec![error]),
        }
    }
}

/// Reads a JSON object.
///
/// # Errors
/// [`Unreadable`], with the path to the first thing that is wrong.
pub(crate) fn parse_object<T: DeserializeOwned>(text: &str) -> Result<T, Unreadable> {
    if !text.trim_ascii_start().starts_with('{') {
        return Err(not_an_object(text));
    }
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let value = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let path = error.path().to_string();
        unreadable(&path, error.inner())
    })?;
    deserializer.end().map_err(|error| unreadable("", &error))?;
    Ok(value)
}

/// serde would also read a struct from a list, by position: bodies are objects.
fn not_an_object(text: &str) -> Unreadable {
    match serde_json::from_str::<Skipped>(text) {
        Ok(_) => Unreadable::Misshapen(FieldError::new("", "invalid_type", "must be a JSON object")),
        Err(error) => unreadable("", &error),
    }
}

/// How much of a path is told.
const PATH_CHARS: usize = 200;

/// What serde says of a text, with the path to where it stands.
pub(crate) fn unreadable(path: &str, error: &serde_json::Error) -> Unreadable {
    // What a client wrote stands in it.
    let path: String = path.chars().take(PATH_CHARS).collect();
    let path = if path == "." { "" } else { path.as_str() };
    if error.is_data() {
        Unreadable::Misshapen(data_error(path, error))
    } else {
        Unreadable::Malformed {
            path: path.to_owned(),
            message: error.to_string(),
        }
    }
}

/// serde tells what is wrong in prose only; its beginnings are stable, and become codes.
fn data_error(path: &str, error: &serde_json::Error) -> FieldError {
    let text = error.to_string();
    let message = text.split(" at line ").next().unwrap_or(&text).to_owned();
    let named = |prefix: &str| {
        let field = message.strip_prefix(prefix)?.strip_suffix('`')?;
        Some(if path.is_empty() {
            field.to_owned()
        } else {
            format!("{path}.{field}")
        })
    };
    if let Some(path) = named("missing field `") {
        return FieldError::new(path, "required", "is required");
    }
    if let Some(path) = named("duplicate field `") {
        return FieldError::new(path, "duplicate_field", "stands there twice");
    }
    let code = if message.starts_with("invalid type") {
        "invalid_type"
    } else if message.starts_with("unknown variant") {
        "unknown_value"
    } else {
        "invalid_value"
    };
    FieldError::new(path, code, message)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use actix_web::test::TestRequest;
    use serde::Deserialize;

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
}
