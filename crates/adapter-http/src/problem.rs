//! The one place where errors become HTTP: `application/problem+json` (RFC 9457), with a stable `code` for programs.
//!
//! Every answer with a status of 400 or above has this shape, whoever made it: our handlers and extractors, actix
//! itself, a wrong route, a panic. [`finish`] sees to the ones that we did not make. [`ProblemCode`] is the catalogue
//! of everything that can come out of here.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use actix_web::body::BoxBody;
use actix_web::http::{StatusCode, header};
use actix_web::{HttpResponse, ResponseError};
use mosaic_domain::{Violation, Violations};
use mosaic_ports::BlobError;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

mod code;
mod finish;

use crate::entities::StoredRecord;

pub use code::ProblemCode;
pub(crate) use finish::causes;
pub use finish::{catch_panics, finish};

/// The media type of every error body.
pub const CONTENT_TYPE: &str = "application/problem+json";

/// One thing that is wrong with one field of the request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct FieldError {
    /// The field, as the client wrote it: `content`, `changes.memo[3].tags`. Empty for the body itself.
    pub path: String,
    /// Stable and snake_case, for programs.
    #[schema(value_type = String, example = "too_long")]
    pub code: Cow<'static, str>,
    /// For people, in English.
    #[schema(value_type = String)]
    pub message: Cow<'static, str>,
}

impl FieldError {
    /// Describes what is wrong with one field.
    pub fn new(
        path: impl Into<String>,
        code: impl Into<Cow<'static, str>>,
        message: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self {
            path: path.into(),
            code: code.into(),
            message: message.into(),
        }
    }

    /// The same error, seen from further out.
    #[must_use]
    pub fn below(mut self, outer: &str) -> Self {
        self.path = match self.path.as_str() {
            "" => outer.to_owned(),
            inner if inner.starts_with('[') => format!("{outer}{inner}"),
            inner => format!("{outer}.{inner}"),
        };
        self
    }
}

/// How many bytes of the path to a field are shown.
const PATH_BYTES: usize = 512;

impl From<&Violation> for FieldError {
    fn from(violation: &Violation) -> Self {
        violation.clone().into()
    }
}

impl From<Violation> for FieldError {
    fn from(violation: Violation) -> Self {
        let mut path = violation.path;
        // It may hold a name that the client made up.
        path.truncate(path.floor_char_boundary(PATH_BYTES));
        Self::new(path, violation.code, violation.message)
    }
}

/// How long a device waits for the storage of files.
const STORE_AGAIN_AFTER: Duration = Duration::from_secs(5);

/// The body of every error (RFC 9457).
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
#[serde(rename_all = "camelCase")]
pub struct ProblemBody {
    /// A URN that names the kind of problem.
    #[schema(example = "urn:mosaic:problem:not_found")]
    r#type: String,
    /// What this kind of problem means, in a few words.
    #[schema(value_type = String)]
    title: Cow<'static, str>,
    /// The HTTP status, once more.
    status: u16,
    /// What happened this time, for people.
    detail: String,
    #[schema(value_type = ProblemCode)]
    code: Cow<'static, str>,
    /// The same text as `detail`, for apps that read a plain string.
    error: String,
    /// What is wrong with which field: with `validation_failed`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    errors: Vec<FieldError>,
    /// The record that won: with `superseded`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<StoredRecord>, nullable = false)]
    current: Option<Value>,
    /// When the record was deleted, in Unix milliseconds: with `deleted`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    updated_at: Option<i64>,
    /// The server's clock in Unix milliseconds: with `edit_time_ahead`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    server_time: Option<i64>,
    /// How many bytes a file may have: with `file_too_large`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    limit: Option<u64>,
    /// How many bytes the files of the account come to: with `quota_exceeded`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    used: Option<u64>,
    /// How many bytes they may come to: with `quota_exceeded`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    quota: Option<u64>,
    /// How many bytes the upload has: with `upload_offset_conflict`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    received: Option<u64>,
    /// What to look for in the server's log: with `internal`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    request_id: Option<String>,
}

impl ProblemBody {
    /// One that says no more than this: of a code that need not be in the catalogue, for what answers in the place of the server.
    pub fn new(
        status: u16,
        code: impl Into<Cow<'static, str>>,
        title: impl Into<Cow<'static, str>>,
        detail: impl Into<String>,
    ) -> Self {
        let (code, detail) = (code.into(), detail.into());
        Self {
            r#type: code::urn(&code),
            title: title.into(),
            status,
            detail: detail.clone(),
            code,
            error: detail,
            errors: Vec::new(),
            current: None,
            updated_at: None,
            server_time: None,
            limit: None,
            used: None,
            quota: None,
            received: None,
            request_id: None,
        }
    }
}

/// What a problem says of bytes: members of the [`ProblemBody`].
#[derive(Debug, Clone, Copy, Default)]
#[expect(missing_docs, reason = "the members of the body say what they are")]
pub struct ByteCounts {
    pub limit: Option<u64>,
    pub used: Option<u64>,
    pub quota: Option<u64>,
    pub received: Option<u64>,
}

/// An error on its way to a client.
///
/// ```
/// use mosaic_adapter_http::problem::{Problem, ProblemCode};
/// let problem = Problem::new(ProblemCode::NotFound, "there is no such memo");
/// assert_eq!(problem.code().status(), 404);
/// ```
#[derive(Debug)]
pub struct Problem(Box<Inner>);

#[derive(Debug)]
struct Inner {
    code: ProblemCode,
    detail: Cow<'static, str>,
    errors: Vec<FieldError>,
    current: Option<Value>,
    updated_at: Option<i64>,
    server_time: Option<i64>,
    bytes: ByteCounts,
    retry_after: Option<Duration>,
    headers: Vec<(header::HeaderName, String)>,
    cause: Option<Box<dyn StdError + Send + Sync>>,
}

impl Problem {
    /// A problem of this kind, with what happened this time in a sentence for people.
    pub fn new(code: ProblemCode, detail: impl Into<Cow<'static, str>>) -> Self {
        Self(Box::new(Inner {
            code,
            detail: detail.into(),
            errors: Vec::new(),
            current: None,
            updated_at: None,
            server_time: None,
            bytes: ByteCounts::default(),
            retry_after: None,
            headers: Vec::new(),
            cause: None,
        }))
    }

    /// What is wrong with which fields: 422 `validation_failed`.
    pub fn validation(errors: Vec<FieldError>) -> Self {
        let detail = match errors.as_slice() {
            [] => Cow::Borrowed("the request is not valid"),
            [one] => Cow::Owned(describe(one)),
            [first, rest @ ..] => Cow::Owned(format!("{}, and {} more", describe(first), rest.len())),
        };
        let mut problem = Self::new(ProblemCode::ValidationFailed, detail);
        problem.0.errors = errors;
        problem
    }

    /// A problem of this kind with one field.
    #[must_use]
    pub fn at(mut self, error: FieldError) -> Self {
        self.0.errors.push(error);
        self
    }

    /// The same problem, its fields seen from further out.
    #[must_use]
    pub fn below(mut self, outer: &str) -> Self {
        let errors = std::mem::take(&mut self.0.errors);
        self.0.errors = errors.into_iter().map(|error| error.below(outer)).collect();
        self
    }

    /// Something on our side went wrong: the cause is logged, once, and never told to the client.
    pub fn internal(cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::new(ProblemCode::Internal, "something went wrong on the server").because(cause)
    }

    /// For the moment nothing can be done: 503 with `Retry-After`. The cause is logged and not told.
    pub fn unavailable(retry_after: Duration, cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::new(
            ProblemCode::Unavailable,
            "the server is busy, try again in a moment",
        )
        .because(cause)
        .retry_after(retry_after)
    }

    /// The storage of files failed. The cause is logged and not told.
    pub fn storage(error: BlobError) -> Self {
        let detail = error.to_string();
        match error {
            BlobError::Unavailable(cause) => Self::new(ProblemCode::StorageUnavailable, detail)
                .because(cause)
                .retry_after(STORE_AGAIN_AFTER),
            BlobError::Full(cause) => Self::new(ProblemCode::StorageFull, detail).because(cause),
            BlobError::Failed(_) => Self::internal(error),
        }
    }

    /// Adds what caused it: logged, once, and never told to the client.
    #[must_use]
    pub fn because(mut self, cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.0.cause = Some(cause.into());
        self
    }

    /// Adds the record that won (W4).
    #[must_use]
    pub fn with_current(mut self, current: Value) -> Self {
        self.0.current = Some(current);
        self
    }

    /// Adds when the record was deleted, in Unix milliseconds (W5).
    #[must_use]
    pub fn with_updated_at(mut self, updated_at: i64) -> Self {
        self.0.updated_at = Some(updated_at);
        self
    }

    /// When the record was deleted, in Unix milliseconds.
    pub(crate) fn updated_at(&self) -> Option<i64> {
        self.0.updated_at
    }

    /// Adds the server's clock, in Unix milliseconds (W6).
    #[must_use]
    pub fn with_server_time(mut self, server_time: i64) -> Self {
        self.0.server_time = Some(server_time);
        self
    }

    /// Adds numbers of bytes.
    #[must_use]
    pub fn with_bytes(mut self, set: impl FnOnce(&mut ByteCounts)) -> Self {
        set(&mut self.0.bytes);
        self
    }

    /// Adds `Retry-After`, in whole seconds, rounded up.
    #[must_use]
    pub fn retry_after(mut self, wait: Duration) -> Self {
        self.0.retry_after = Some(wait);
        self
    }

    /// Adds a header to the answer. A value that HTTP can not carry is left out.
    #[must_use]
    pub fn with_header(mut self, name: header::HeaderName, value: impl Into<String>) -> Self {
        self.0.headers.push((name, value.into()));
        self
    }

    /// What kind of problem it is.
    pub fn code(&self) -> ProblemCode {
        self.0.code
    }

    /// What happened this time, for people.
    pub fn detail(&self) -> &str {
        &self.0.detail
    }

    /// What is wrong with which fields.
    pub fn errors(&self) -> &[FieldError] {
        &self.0.errors
    }

    /// The wire form.
    pub fn body(&self, request_id: Option<String>) -> ProblemBody {
        let Inner {
            code,
            detail,
            errors,
            current,
            updated_at,
            server_time,
            bytes,
            ..
        } = &*self.0;
        ProblemBody {
            errors: errors.clone(),
            current: current.clone(),
            updated_at: *updated_at,
            server_time: *server_time,
            limit: bytes.limit,
            used: bytes.used,
            quota: bytes.quota,
            received: bytes.received,
            request_id,
            ..ProblemBody::new(code.status(), code.code(), code.title(), detail.to_string())
        }
    }

    fn response(&self, request_id: Option<String>) -> HttpResponse {
        let mut response = HttpResponse::build(self.0.code.status_code());
        response.insert_header((header::CONTENT_TYPE, CONTENT_TYPE));
        if let Some(wait) = self.0.retry_after {
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            response.insert_header((header::RETRY_AFTER, seconds.max(1).to_string()));
        }
        if self.0.code.asks_for_a_token() {
            response.insert_header((header::WWW_AUTHENTICATE, "Bearer"));
        }
        if self.0.code == ProblemCode::RequestTimeout {
            response.force_close();
        }
        for (name, value) in &self.0.headers {
            response.insert_header((name.clone(), value.as_str()));
        }
        // `json` keeps a content type that is already there.
        response.json(self.body(request_id))
    }
}

fn describe(error: &FieldError) -> String {
    if error.path.is_empty() {
        error.message.to_string()
    } else {
        format!("{}: {}", error.path, error.message)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0.code.code(), self.0.detail)
    }
}

impl StdError for Problem {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.cause.as_deref().map(|cause| cause as _)
    }
}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        self.0.code.status_code()
    }

    fn error_response(&self) -> HttpResponse<BoxBody> {
        self.response(None)
    }
}

impl From<Violations> for Problem {
    fn from(violations: Violations) -> Self {
        Self::validation(violations.iter().map(FieldError::from).collect())
    }
}

#[cfg(test)]
mod tests;
