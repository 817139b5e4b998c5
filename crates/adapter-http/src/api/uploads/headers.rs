//! The headers of tus requests.

use std::future::{Ready, ready};
use std::time::{Duration, SystemTime};

use actix_web::dev::Payload;
use actix_web::http::header::{HeaderName, HttpDate, TRAILER};
use actix_web::{FromRequest, HttpMessage, HttpRequest};
use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use mosaic_application::uploads::Checksum;
use mosaic_domain::UnixMillis;

use crate::extractor::Extractor;
use crate::problem::{FieldError, Problem, ProblemCode};
use crate::schema;

/// What bytes of an upload are sent as.
pub(super) const BYTES: &str = "application/offset+octet-stream";
/// What is spoken beyond the core protocol.
pub(super) const EXTENSIONS: &str =
    "creation,creation-with-upload,creation-defer-length,termination,expiration,checksum";
/// The checksums that are understood.
pub(super) const CHECKSUMS: &str = "sha1,sha256";

pub(super) const TUS_RESUMABLE: HeaderName = HeaderName::from_static("tus-resumable");
pub(super) const TUS_VERSION: HeaderName = HeaderName::from_static("tus-version");
pub(super) const TUS_EXTENSION: HeaderName = HeaderName::from_static("tus-extension");
pub(super) const TUS_MAX_SIZE: HeaderName = HeaderName::from_static("tus-max-size");
pub(super) const TUS_CHECKSUM_ALGORITHM: HeaderName = HeaderName::from_static("tus-checksum-algorithm");
pub(super) const UPLOAD_LENGTH: HeaderName = HeaderName::from_static("upload-length");
pub(super) const UPLOAD_DEFER_LENGTH: HeaderName = HeaderName::from_static("upload-defer-length");
pub(super) const UPLOAD_OFFSET: HeaderName = HeaderName::from_static("upload-offset");
pub(super) const UPLOAD_METADATA: HeaderName = HeaderName::from_static("upload-metadata");
pub(super) const UPLOAD_EXPIRES: HeaderName = HeaderName::from_static("upload-expires");
/// The resource that an upload becomes.
pub(super) const RESOURCE_ID: HeaderName = HeaderName::from_static("x-mosaic-resource-id");

/// That the length is told later.
pub(super) const DEFERRED: &str = "Upload-Defer-Length";

/// The largest time that an HTTP date can tell: the end of the year 9999.
const LAST_DATE: u64 = 253_402_300_799;

/// Not every client pads its base64.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

impl Extractor for Tus {
    fn problems() -> Vec<ProblemCode> {
        vec![ProblemCode::UnsupportedTusVersion]
    }
}

/// A request that speaks this version of tus.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tus;

impl FromRequest for Tus {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let speaks = only(request, "Tus-Resumable").is_ok_and(|version| version == Some(schema::TUS_VERSION));
        ready(if speaks {
            Ok(Self)
        } else {
            Err(Problem::new(
                ProblemCode::UnsupportedTusVersion,
                format!("the header Tus-Resumable must be {}", schema::TUS_VERSION),
            )
            .with_header(TUS_VERSION, schema::TUS_VERSION))
        })
    }
}

/// How many bytes the upload has when it is complete; `None`: that is told later. What asks for an extension that is not spoken
/// here is refused: an upload that is begun would be something else than its client thinks.
pub(super) fn length(request: &HttpRequest) -> Result<Option<u64>, Problem> {
    const PARTS: &str = "Upload-Concat";
    if request.headers().contains_key(PARTS) {
        let message = "is not supported: send each file as one upload";
        return Err(invalid(PARTS, "unsupported", message));
    }
    match only(request, DEFERRED)? {
        None => count(request, "Upload-Length").map(Some),
        Some("1") if !request.headers().contains_key(UPLOAD_LENGTH) => Ok(None),
        Some(_) => Err(invalid(
            DEFERRED,
            "invalid_value",
            "must be 1, and stand there without Upload-Length",
        )),
    }
}

/// The length that is told with bytes.
pub(super) fn told_length(request: &HttpRequest) -> Result<Option<u64>, Problem> {
    let told = request.headers().contains_key(UPLOAD_LENGTH);
    told.then(|| count(request, "Upload-Length")).transpose()
}

/// From where the request goes on.
pub(super) fn offset(request: &HttpRequest) -> Result<u64, Problem> {
    count(request, "Upload-Offset")
}

/// What the bytes of the request must come to.
pub(super) fn checksum(request: &HttpRequest) -> Result<Option<Checksum>, Problem> {
    const NAME: &str = "Upload-Checksum";
    if let Some(announced) = request.headers().get(TRAILER)
        && announced
            .to_str()
            .is_ok_and(|names| names.to_ascii_lowercase().contains("upload-checksum"))
    {
        let message = "is not supported behind the bytes: send it before them";
        return Err(invalid(NAME, "unsupported", message));
    }
    let Some(value) = only(request, NAME)? else {
        return Ok(None);
    };
    let (algorithm, encoded) = value.split_once(' ').unwrap_or((value, ""));
    let sum = BASE64.decode(encoded.trim()).unwrap_or_default();
    let checksum = match algorithm {
        "sha1" => sum.try_into().map(Checksum::Sha1),
        "sha256" => sum.try_into().map(Checksum::Sha256),
        _ => {
            let detail = format!("the algorithms of {NAME} are {CHECKSUMS}");
            return Err(Problem::new(ProblemCode::UnsupportedChecksum, detail));
        }
    };
    let checksum =
        checksum.map_err(|_| invalid(NAME, "invalid_value", "must end in a checksum in base64"))?;
    Ok(Some(checksum))
}

/// Whether the body is announced as bytes of an upload.
pub(super) fn has_bytes(request: &HttpRequest) -> bool {
    request.content_type().eq_ignore_ascii_case(BYTES)
}

/// Refuses what is not announced as bytes of an upload.
pub(super) fn check_content_type(request: &HttpRequest) -> Result<(), Problem> {
    if has_bytes(request) {
        return Ok(());
    }
    Err(Problem::new(
        ProblemCode::UnsupportedMediaType,
        format!("the content type must be {BYTES}"),
    ))
}

/// Which method a `POST` stands for.
pub(super) fn method_override(request: &HttpRequest) -> Result<Option<&str>, Problem> {
    only(request, "X-HTTP-Method-Override")
}

/// `Upload-Metadata`, in as many headers as it came.
pub(super) fn metadata(request: &HttpRequest) -> Result<String, Problem> {
    let mut texts = Vec::new();
    for value in request.headers().get_all(UPLOAD_METADATA) {
        let text = value.to_str();
        texts.push(text.map_err(|_| invalid("Upload-Metadata", "invalid_value", "must be ASCII"))?);
    }
    Ok(texts.join(","))
}

/// The bytes behind some base64.
pub(super) fn decode(base64: &str) -> Option<Vec<u8>> {
    BASE64.decode(base64).ok()
}

/// A moment as HTTP tells it.
pub(super) fn date(moment: UnixMillis) -> HttpDate {
    let seconds = u64::try_from(moment.get() / 1000).unwrap_or(0).min(LAST_DATE);
    (SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)).into()
}

/// A header that is wrong: 400, with its name.
pub(super) fn invalid(name: &str, code: &'static str, message: &'static str) -> Problem {
    Problem::new(
        ProblemCode::InvalidUploadHeader,
        format!("the header {name} {message}"),
    )
    .at(FieldError::new(name, code, message))
}

fn count(request: &HttpRequest, name: &str) -> Result<u64, Problem> {
    let text = only(request, name)?.ok_or_else(|| invalid(name, "required", "is missing"))?;
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(invalid(name, "invalid_value", "must be a whole number of bytes"));
    }
    // More than 64 bits is more than anything may have.
    Ok(text.parse().unwrap_or(u64::MAX))
}

/// A header that is sent once, or not at all.
fn only<'a>(request: &'a HttpRequest, name: &str) -> Result<Option<&'a str>, Problem> {
    let mut values = request.headers().get_all(name);
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(invalid(name, "duplicate", "stands there twice"));
    }
    match value.to_str() {
        Ok(text) => Ok(Some(text.trim())),
        Err(_) => Err(invalid(name, "invalid_value", "must be ASCII")),
    }
}
