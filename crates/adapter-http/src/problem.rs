//! The one place where errors become HTTP: `application/problem+json` (RFC 9457), with a stable `code` for programs.
//!
//! Every answer with a status of 400 or above has this shape, whoever made it: our handlers and extractors, actix
//! itself, a wrong route, a panic. [`finish`] sees to the ones that we did not make. [`ProblemCode`] is the catalogue
//! of everything that can come out of here.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::{StatusCode, header};
use actix_web::middleware::Next;
use actix_web::{HttpResponse, ResponseError};
use futures_util::FutureExt;
use mosaic_application::AppError;
use mosaic_application::error::Unauthenticated;
use mosaic_domain::{Violation, Violations};
use mosaic_ports::{BlobError, StoreError};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::entities;
use crate::request_id::RequestId;

/// The media type of every error body.
pub const CONTENT_TYPE: &str = "application/problem+json";

/// How long a device waits before it tries to listen again where too many of its account do.
const LISTEN_AGAIN_AFTER: Duration = Duration::from_secs(30);
/// How long a device waits before it begins an upload again where too many of its account are not finished.
const UPLOAD_AGAIN_AFTER: Duration = Duration::from_mins(1);
/// How long a device waits for the storage of files.
const STORE_AGAIN_AFTER: Duration = Duration::from_secs(5);
/// When what took too long may be asked again: what was in its way may be over then.
const SLOW_AGAIN_AFTER: Duration = Duration::from_secs(5);

/// So much is told of the path to a field.
const PATH_BYTES: usize = 512;

/// How many bytes an upload has (tus).
const UPLOAD_OFFSET: header::HeaderName = header::HeaderName::from_static("upload-offset");

/// Defines [`ProblemCode`] and its catalogue from one table.
macro_rules! problem_codes {
    ($($(#[$doc:meta])* $name:ident = $status:literal $code:literal $title:literal;)*) => {
        /// Every kind of error that a client can be told about. `code` and status are part of the API: they never change.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum ProblemCode {
            $($(#[$doc])* $name,)*
        }

        impl ProblemCode {
            /// All of them, in the order of their statuses: what the documentation and its tests list.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The stable, snake_case name that programs read.
            pub const fn code(self) -> &'static str {
                match self { $(Self::$name => $code,)* }
            }

            /// The HTTP status that it is sent with.
            pub const fn status(self) -> u16 {
                match self { $(Self::$name => $status,)* }
            }

            /// What it means, in a few words: the same for every occurrence.
            pub const fn title(self) -> &'static str {
                match self { $(Self::$name => $title,)* }
            }
        }
    };
}

problem_codes! {
    /// The request is broken below the level of our routes (its head, for example).
    BadRequest = 400 "bad_request" "The request is not valid HTTP";
    /// The body is not JSON at all; lone surrogates and endless nesting belong here.
    MalformedJson = 400 "malformed_json" "The body is not valid JSON";
    /// The body was announced as compressed and can not be unpacked.
    MalformedEncoding = 400 "malformed_encoding" "The body can not be unpacked";
    /// The body is not `multipart/form-data` as it should be: a boundary is missing, or the end.
    InvalidMultipart = 400 "invalid_multipart" "The body is not valid multipart/form-data";
    /// A header of a resumable upload is missing or malformed; `errors` names it.
    InvalidUploadHeader = 400 "invalid_upload_header" "A header of the upload is not valid";
    /// `Upload-Checksum` names an algorithm that is not known here, or no checksum.
    UnsupportedChecksum = 400 "unsupported_checksum" "The checksum is not understood";
    /// The query string is not percent-encoded UTF-8.
    MalformedQuery = 400 "malformed_query" "The query string is malformed";
    /// The request needs a signed-in user, and names none.
    NotSignedIn = 401 "unauthenticated" "Not signed in";
    /// The access token is forged or mangled.
    InvalidToken = 401 "invalid_token" "The access token is not valid";
    /// The access token was good once: refresh it.
    TokenExpired = 401 "token_expired" "The access token has expired";
    /// The login has ended: log out, a new password, a closed account.
    LoginEnded = 401 "login_ended" "The login has ended";
    /// The refresh token is unknown, expired, or spent.
    InvalidRefreshToken = 401 "invalid_refresh_token" "The refresh token is not, or no longer, valid";
    /// The user name or the password is wrong; which of them is not told.
    BadCredentials = 401 "bad_credentials" "Wrong user name or password";
    /// The password is right, but the account is closed.
    AccountDisabled = 401 "account_disabled" "The account is closed";
    /// The user may not do this.
    Forbidden = 403 "forbidden" "Not allowed";
    /// Somebody else set the password: nothing goes before it is changed but `/auth/me`, `/auth/change-password`,
    /// `/auth/refresh` and `/auth/logout`.
    PasswordChangeRequired = 403 "password_change_required" "The password must be changed first";
    /// The server takes no registrations.
    RegistrationClosed = 403 "registration_closed" "Registration is closed";
    /// Nothing of this user has that key: other people's records answer the same.
    NotFound = 404 "not_found" "Not found";
    /// The record was deleted, and its content can not be completed from what is left (W5).
    Deleted = 404 "deleted" "The record was deleted";
    /// The resource is there, its bytes were not uploaded yet.
    NotUploaded = 404 "not_uploaded" "The bytes were not uploaded yet";
    /// The resource is there, its bytes should be and are not: whoever has them uploads them again.
    ContentMissing = 404 "content_missing" "The bytes are missing on the server";
    /// No route has that path.
    UnknownRoute = 404 "unknown_route" "No such route";
    /// The path exists, the method does not; `Allow` lists those that do.
    MethodNotAllowed = 405 "method_not_allowed" "The method is not allowed here";
    /// The body took too long to arrive.
    RequestTimeout = 408 "request_timeout" "The request took too long to arrive";
    /// The write lost against a newer version; `current` holds the winner (W4).
    Superseded = 409 "superseded" "A newer version won";
    /// The record was deleted, and a create without an edit time never undoes that (W3).
    DeletedConflict = 409 "deleted" "The record was deleted";
    /// Somebody has that user name, letter case aside.
    UsernameTaken = 409 "username_taken" "The user name is taken";
    /// No administrator whose account is open would be left.
    LastAdmin = 409 "last_admin" "An administrator must remain";
    /// The resource has other bytes already, and bytes are never replaced.
    ContentDiffers = 409 "content_differs" "The resource has other bytes";
    /// The upload has another number of bytes than the request goes on from; `received` tells how many.
    UploadOffsetConflict = 409 "upload_offset_conflict" "The upload has another offset";
    /// The upload came in more pieces than are put together.
    TooManyParts = 409 "too_many_parts" "The upload came in too many pieces";
    /// The account has too many avatars that nothing shows.
    TooManyAvatars = 409 "too_many_avatars" "Too many avatars";
    /// The bytes of a direct upload are not in the storage, or not all of them.
    UploadIncomplete = 409 "upload_incomplete" "The upload is not complete";
    /// The storage takes no bytes but through the server.
    NoDirectUploads = 409 "no_direct_uploads" "No direct uploads here";
    /// The upload has expired.
    UploadExpired = 410 "upload_expired" "The upload has expired";
    /// The file has changed: `If-Match` names other bytes.
    PreconditionFailed = 412 "precondition_failed" "A precondition does not hold";
    /// `Tus-Resumable` names another version than 1.0.0, or is missing.
    UnsupportedTusVersion = 412 "unsupported_tus_version" "The version of tus is not supported";
    /// The file is larger than a file may be; `limit` tells how large that is.
    FileTooLarge = 413 "file_too_large" "The file is too large";
    /// The files of the account, or its records with their history, would come to more than allowed: `used` of `quota` bytes
    /// are used.
    QuotaExceeded = 413 "quota_exceeded" "No room left";
    /// The bytes would go beyond the announced length of the upload.
    BeyondUploadLength = 413 "beyond_upload_length" "More bytes than were announced";
    /// The body is over the limit, packed or unpacked.
    BodyTooLarge = 413 "body_too_large" "The body is too large";
    /// The address is longer than addresses may be.
    UriTooLong = 414 "uri_too_long" "The address is too long";
    /// The body is not announced as what the route takes: JSON, mostly.
    UnsupportedMediaType = 415 "unsupported_media_type" "The body has the wrong media type";
    /// The body is compressed in a way that is not understood here.
    UnsupportedEncoding = 415 "unsupported_encoding" "The body's encoding is not supported";
    /// None of the bytes that were asked for are there, or they were asked for in too many pieces.
    RangeNotSatisfiable = 416 "range_not_satisfiable" "No such range";
    /// The request expects something other than `100-continue`.
    ExpectationFailed = 417 "expectation_failed" "The expectation can't be met";
    /// The request is understood, but some of its values are not acceptable; `errors` lists all of them.
    ValidationFailed = 422 "validation_failed" "Some values are not valid";
    /// An edit time lies more than five minutes ahead of the server's clock (W6); `serverTime` tells the latter.
    EditTimeAhead = 422 "edit_time_ahead" "The edit time is in the future";
    /// The bytes of an upload are all there, and can't become a resource: it was deleted, or has other bytes by now.
    UploadRefused = 422 "upload_refused" "The upload can not become a resource";
    /// The memo that a resource is to belong to is unknown, or somebody else's (W9).
    UnknownMemo = 422 "unknown_memo" "No such memo";
    /// The memo that a resource is to belong to has as many as it may have (W9).
    MemoFull = 422 "memo_full" "The memo has too many resources";
    /// A list names a resource that is unknown, deleted or somebody else's.
    UnknownResource = 422 "unknown_resource" "No such resource";
    /// A list names a bot that is unknown, deleted or somebody else's.
    UnknownBot = 422 "unknown_bot" "No such bot";
    /// A bulk push names the record twice; this is the later edit of the two (B2).
    Duplicate = 422 "duplicate" "The record stands in the push twice";
    /// The password that was to be replaced is another one.
    WrongPassword = 422 "wrong_password" "The old password is wrong";
    /// There are no smaller pictures of the file, or it can't be an avatar.
    NotAPicture = 422 "not_a_picture" "The file is no picture that can be read";
    /// The picture is too large to make smaller ones of it.
    PictureTooLarge = 422 "picture_too_large" "The picture is too large";
    /// Another request of the upload is not done yet; `Retry-After` tells when to try again.
    UploadBusy = 423 "upload_busy" "Another request of the upload is not done";
    /// Too many attempts; `Retry-After` tells when to try again.
    RateLimited = 429 "rate_limited" "Too many attempts";
    /// Too many requests of the account, or of somebody's network, run at the same time; `Retry-After` tells when to try again.
    TooManyRequests = 429 "too_many_requests" "Too many requests at the same time";
    /// Too many connections of the account listen for changes already; `Retry-After` tells when to try again (N1).
    TooManyListeners = 429 "too_many_listeners" "Too many connections listen";
    /// Too many uploads of the account are not finished; `Retry-After` tells when to try again.
    TooManyUploads = 429 "too_many_uploads" "Too many uploads are not finished";
    /// The head of the request is larger than heads may be, or has too many headers.
    HeadersTooLarge = 431 "headers_too_large" "The head of the request is too large";
    /// The bytes are not those that the checksum was made of; nothing of them was kept.
    ChecksumMismatch = 460 "checksum_mismatch" "The checksum does not match";
    /// Our fault. Nothing about the inside is told; `requestId` finds the cause in the log.
    Internal = 500 "internal" "Internal error";
    /// What is stored can't be read. A whole record takes its place, and it can be deleted.
    CorruptRecord = 500 "corrupt_record" "The stored record can not be read";
    /// The server is up, but its store can not work at the moment.
    NotReady = 503 "not_ready" "Not ready";
    /// Bodies and answers take as much memory as they may, or as many requests run as may; `Retry-After` tells when to try again.
    Busy = 503 "busy" "The server is busy";
    /// For the moment nothing can be done; `Retry-After` tells when to try again.
    Unavailable = 503 "unavailable" "Not available at the moment";
    /// The store was stopped, because looking that up took longer than it may; `Retry-After` tells when to try again.
    TooSlow = 503 "too_slow" "Takes too long";
    /// The storage of the files does not answer; `Retry-After` tells when to try again.
    StorageUnavailable = 503 "storage_unavailable" "The storage of files is not available";
    /// The version of HTTP is neither 1.1 nor 1.0.
    VersionNotSupported = 505 "version_not_supported" "The version of HTTP is not supported";
    /// There is no room left for what was sent: on the disk of the database, or in the storage of the files.
    StorageFull = 507 "storage_full" "The storage is full";
}

impl ProblemCode {
    /// A stable name for the `type` member: the same as `code`, as a URN.
    pub fn urn(self) -> String {
        format!("urn:mosaic:problem:{}", self.code())
    }

    fn status_code(self) -> StatusCode {
        StatusCode::from_u16(self.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// Whether a token would have helped. A log-in that failed is not about tokens.
    const fn asks_for_a_token(self) -> bool {
        self.status() == 401 && !matches!(self, Self::BadCredentials | Self::AccountDisabled)
    }

    /// The code that stands for a bare status which actix, or a middleware of somebody else, chose.
    fn from_status(status: StatusCode) -> Self {
        match status.as_u16() {
            401 => Self::NotSignedIn,
            403 => Self::Forbidden,
            404 => Self::UnknownRoute,
            405 => Self::MethodNotAllowed,
            408 => Self::RequestTimeout,
            412 => Self::PreconditionFailed,
            413 => Self::BodyTooLarge,
            414 => Self::UriTooLong,
            415 => Self::UnsupportedMediaType,
            416 => Self::RangeNotSatisfiable,
            417 => Self::ExpectationFailed,
            422 => Self::ValidationFailed,
            429 => Self::RateLimited,
            431 => Self::HeadersTooLarge,
            503 => Self::Unavailable,
            400..=499 => Self::BadRequest,
            _ => Self::Internal,
        }
    }
}

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

impl From<Violations> for Problem {
    fn from(violations: Violations) -> Self {
        Self::validation(violations.iter().map(FieldError::from).collect())
    }
}

impl From<AppError> for Problem {
    fn from(error: AppError) -> Self {
        use ProblemCode as Code;
        let detail = error.to_string();
        match error {
            AppError::Invalid(violations) => violations.into(),
            AppError::EditTimeAhead { server_time } => Self::new(Code::EditTimeAhead, detail)
                .with_server_time(server_time.get())
                .at(FieldError::new(
                    "updatedAt",
                    Code::EditTimeAhead.code(),
                    "lies too far in the future",
                )),
            AppError::NotFound => Self::new(Code::NotFound, detail),
            AppError::Deleted => Self::new(Code::DeletedConflict, detail),
            AppError::ContentGone => Self::new(Code::Deleted, detail),
            AppError::Unreadable => Self::new(Code::CorruptRecord, detail),
            AppError::UnknownMemo(_) => Self::new(Code::UnknownMemo, "there is no such memo").at(
                FieldError::new("memoId", Code::UnknownMemo.code(), "there is no such memo"),
            ),
            AppError::MemoFull(_) => Self::new(Code::MemoFull, detail.clone()).at(FieldError::new(
                "memoId",
                Code::MemoFull.code(),
                detail,
            )),
            AppError::UnknownReference(violation) => {
                Self::new(reference_code(violation.code), detail).at(violation.into())
            }
            AppError::NamedTwice => Self::new(Code::Duplicate, detail),
            AppError::TooManyListeners => {
                Self::new(Code::TooManyListeners, detail).retry_after(LISTEN_AGAIN_AFTER)
            }
            AppError::Superseded { current } => {
                Self::new(Code::Superseded, detail).with_current(entities::wire_form(*current))
            }
            AppError::Unauthenticated(why) => Self::new(unauthenticated_code(why), detail),
            AppError::Forbidden => Self::new(Code::Forbidden, detail),
            AppError::PasswordChangeRequired => Self::new(Code::PasswordChangeRequired, detail),
            AppError::RegistrationClosed => Self::new(Code::RegistrationClosed, detail),
            AppError::NameTaken => Self::new(Code::UsernameTaken, detail),
            AppError::LastAdmin => Self::new(Code::LastAdmin, detail),
            AppError::WrongPassword => Self::new(Code::WrongPassword, detail).at(FieldError::new(
                "oldPassword",
                Code::WrongPassword.code(),
                "is wrong",
            )),
            AppError::OtherContent => Self::new(Code::ContentDiffers, detail),
            AppError::NotUploaded => Self::new(Code::NotUploaded, detail),
            AppError::ContentMissing => Self::new(Code::ContentMissing, detail),
            AppError::NotAPicture => Self::new(Code::NotAPicture, detail),
            AppError::PictureTooLarge(_) => Self::new(Code::PictureTooLarge, detail),
            AppError::FileTooLarge { limit } => {
                Self::new(Code::FileTooLarge, detail).with_bytes(|bytes| bytes.limit = Some(limit))
            }
            AppError::QuotaExceeded { used, quota } | AppError::NoRoom { used, quota } => {
                Self::new(Code::QuotaExceeded, detail).with_bytes(|bytes| {
                    bytes.used = Some(used);
                    bytes.quota = Some(quota);
                })
            }
            AppError::TooManyUploads => {
                Self::new(Code::TooManyUploads, detail).retry_after(UPLOAD_AGAIN_AFTER)
            }
            AppError::OffsetConflict { received } => Self::new(Code::UploadOffsetConflict, detail)
                .with_bytes(|bytes| bytes.received = Some(received))
                .with_header(UPLOAD_OFFSET, received.to_string()),
            AppError::BeyondLength { .. } => Self::new(Code::BeyondUploadLength, detail),
            AppError::ChecksumMismatch => Self::new(Code::ChecksumMismatch, detail),
            AppError::UploadExpired => Self::new(Code::UploadExpired, detail),
            AppError::TooManyAvatars => Self::new(Code::TooManyAvatars, detail),
            AppError::UploadRefused(_) => Self::new(Code::UploadRefused, detail),
            AppError::UploadBusy => Self::new(Code::UploadBusy, detail).retry_after(Duration::from_secs(1)),
            AppError::TooManyParts => Self::new(Code::TooManyParts, detail),
            AppError::UploadIncomplete(_) => Self::new(Code::UploadIncomplete, detail),
            AppError::NoDirectUploads => Self::new(Code::NoDirectUploads, detail),
            AppError::Blobs(error) => Self::storage(error),
            AppError::Store(unavailable @ StoreError::Unavailable(_)) => {
                Self::unavailable(Duration::from_secs(1), unavailable)
            }
            AppError::Store(full @ StoreError::Full(_)) => {
                Self::new(Code::StorageFull, "the disk of the server is full").because(full)
            }
            AppError::Store(slow @ StoreError::TooSlow(_)) => Self::new(
                Code::TooSlow,
                "looking that up takes too long: ask for less, or try again in a moment",
            )
            .because(slow)
            .retry_after(SLOW_AGAIN_AFTER),
            AppError::Store(other) => Self::internal(other),
            AppError::Internal(cause) => Self::internal(cause),
        }
    }
}

fn unauthenticated_code(why: Unauthenticated) -> ProblemCode {
    match why {
        Unauthenticated::BadCredentials => ProblemCode::BadCredentials,
        Unauthenticated::AccountDisabled => ProblemCode::AccountDisabled,
        Unauthenticated::InvalidToken => ProblemCode::InvalidToken,
        Unauthenticated::ExpiredToken => ProblemCode::TokenExpired,
        Unauthenticated::LoginEnded => ProblemCode::LoginEnded,
        Unauthenticated::InvalidRefreshToken => ProblemCode::InvalidRefreshToken,
    }
}

/// The problem of a list that names something unknown has the code of what it names.
fn reference_code(code: &str) -> ProblemCode {
    [
        ProblemCode::UnknownMemo,
        ProblemCode::UnknownResource,
        ProblemCode::UnknownBot,
    ]
    .into_iter()
    .find(|known| known.code() == code)
    .unwrap_or(ProblemCode::ValidationFailed)
}

/// The body of every error (RFC 9457).
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
#[serde(rename_all = "camelCase")]
pub struct ProblemBody {
    /// A URN that names the kind of problem.
    #[schema(example = "urn:mosaic:problem:not_found")]
    r#type: String,
    /// What this kind of problem means, in a few words.
    title: &'static str,
    /// The HTTP status, once more.
    status: u16,
    /// What happened this time, for people.
    detail: String,
    /// The kind of problem, stable and snake_case, for programs.
    code: &'static str,
    /// The same text as `detail`, for apps that read a plain string.
    error: String,
    /// What is wrong with which field: with `validation_failed`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    errors: Vec<FieldError>,
    /// The record that won: with `superseded`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    current: Option<Value>,
    /// The server's clock in Unix milliseconds: with `edit_time_ahead`.
    #[serde(skip_serializing_if = "Option::is_none")]
    server_time: Option<i64>,
    /// How many bytes a file may have: with `file_too_large`.
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<u64>,
    /// How many bytes the files of the account come to: with `quota_exceeded`.
    #[serde(skip_serializing_if = "Option::is_none")]
    used: Option<u64>,
    /// How many bytes they may come to: with `quota_exceeded`.
    #[serde(skip_serializing_if = "Option::is_none")]
    quota: Option<u64>,
    /// How many bytes the upload has: with `upload_offset_conflict`.
    #[serde(skip_serializing_if = "Option::is_none")]
    received: Option<u64>,
    /// What to look for in the server's log: with `internal`.
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<String>,
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
            server_time,
            bytes,
            ..
        } = &*self.0;
        ProblemBody {
            r#type: code.urn(),
            title: code.title(),
            status: code.status(),
            detail: detail.to_string(),
            code: code.code(),
            error: detail.to_string(),
            errors: errors.clone(),
            current: current.clone(),
            server_time: *server_time,
            limit: bytes.limit,
            used: bytes.used,
            quota: bytes.quota,
            received: bytes.received,
            request_id,
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

/// Middleware: gives every error that is not ours yet the house's shape, and every 500 its request id; logs the cause
/// of the latter, once.
///
/// # Errors
/// Those of the inner service, as a [`Problem`].
pub async fn finish<B: MessageBody + 'static>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    match next.call(request).await {
        Ok(response) => Ok(finish_response(response.map_into_boxed_body())),
        Err(error) => Err(adopt_error(error)),
    }
}

fn finish_response(response: ServiceResponse) -> ServiceResponse {
    let status = response.status();
    if !status.is_client_error() && !status.is_server_error() {
        return response;
    }
    let ours = response
        .response()
        .error()
        .and_then(|error| error.as_error::<Problem>());
    match ours {
        Some(problem) if status.is_server_error() => {
            log_cause(problem, &response);
            let rendered = problem.response(RequestId::of(response.request()));
            response.into_response(rendered)
        }
        Some(_) => response,
        None if is_problem(&response) => response,
        None => {
            let problem = adopt_status(status, response.response().error().map(ToString::to_string));
            let id = status
                .is_server_error()
                .then(|| RequestId::of(response.request()))
                .flatten();
            let rendered = problem.response(id);
            response.into_response(rendered)
        }
    }
}

fn is_problem(response: &ServiceResponse) -> bool {
    response
        .headers()
        .get(header::CONTENT_TYPE)
        .is_some_and(|value| value.as_bytes() == CONTENT_TYPE.as_bytes())
}

/// The text of a foreign error is only passed on for a 4xx, where it speaks about the request.
fn adopt_status(status: StatusCode, detail: Option<String>) -> Problem {
    let code = ProblemCode::from_status(status);
    match detail {
        Some(detail) if status.is_client_error() => Problem::new(code, detail),
        Some(cause) => Problem::internal(cause),
        None => Problem::new(code, code.title()),
    }
}

fn adopt_error(error: actix_web::Error) -> actix_web::Error {
    if error.as_error::<Problem>().is_some() {
        return error;
    }
    adopt_status(error.as_response_error().status_code(), Some(error.to_string())).into()
}

fn log_cause(problem: &Problem, response: &ServiceResponse) {
    let request_id = RequestId::of(response.request()).unwrap_or_default();
    let code = problem.code().code();
    if matches!(problem.code(), ProblemCode::Busy | ProblemCode::TooSlow) {
        // Whoever asks too much of the server brings these about as often as they like: nothing has failed.
        tracing::info!(request_id, code, "a request was put off");
        return;
    }
    tracing::error!(
        request_id,
        code,
        cause = chain(problem),
        "a request failed on the server's side"
    );
}

/// What caused a problem; empty where nothing is known.
fn chain(problem: &Problem) -> String {
    problem.source().map(causes).unwrap_or_default()
}

/// An error and what caused it: database errors tell the interesting part only in their sources.
pub(crate) fn causes(error: &(dyn StdError + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}

/// Middleware, for a resource (where the route is already known): a panic in a handler answers 500 instead of cutting
/// the connection.
///
/// # Errors
/// Those of the inner service.
pub async fn catch_panics<B: MessageBody + 'static>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    let http_request = request.request().clone();
    match AssertUnwindSafe(next.call(request)).catch_unwind().await {
        Ok(result) => result.map(ServiceResponse::map_into_boxed_body),
        Err(panic) => {
            let text = panic
                .downcast_ref::<&str>()
                .map(|text| (*text).to_owned())
                .or_else(|| panic.downcast_ref::<String>().cloned())
                .unwrap_or_else(|| "panic".to_owned());
            let problem = Problem::internal(format!("a handler panicked: {text}"));
            Ok(ServiceResponse::new(
                http_request,
                HttpResponse::from_error(problem),
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use actix_web::body::to_bytes;
    use serde_json::json;

    use super::*;

    async fn rendered(problem: &Problem, id: Option<String>) -> (StatusCode, Value) {
        let response = problem.response(id);
        assert_eq!(
            response.headers().get(header::CONTENT_TYPE).unwrap(),
            CONTENT_TYPE
        );
        let status = response.status();
        let bytes = to_bytes(response.into_body()).await.unwrap_or_default();
        (status, serde_json::from_slice(&bytes).unwrap())
    }

    #[test]
    fn codes_are_snake_case_and_a_pair_of_code_and_status_names_one_problem() {
        let mut seen = HashSet::new();
        for code in ProblemCode::ALL {
            assert!(
                code.code().bytes().all(|b| b.is_ascii_lowercase() || b == b'_'),
                "{code:?}"
            );
            assert!((400..600).contains(&code.status()), "{code:?}");
            assert!(
                seen.insert((code.code(), code.status())),
                "{code:?} is there twice"
            );
        }
    }

    #[actix_web::test]
    async fn a_problem_has_every_member_that_clients_read() {
        let (status, body) = rendered(&Problem::new(ProblemCode::NotFound, "no such memo"), None).await;
        assert_eq!(status, 404);
        assert_eq!(
            body,
            json!({"type": "urn:mosaic:problem:not_found", "title": "Not found", "status": 404,
                   "detail": "no such memo", "code": "not_found", "error": "no such memo"})
        );
    }

    #[actix_web::test]
    async fn validation_lists_every_field() {
        let problem = Problem::validation(vec![
            FieldError::new("tags[3]", "too_long", "must have at most 100 characters"),
            FieldError::new("moodScore", "out_of_range", "must be 1 to 10"),
        ]);
        let (status, body) = rendered(&problem, None).await;
        assert_eq!(status, 422);
        assert_eq!(body["errors"][1]["path"], "moodScore");
        assert_eq!(
            body["error"],
            "tags[3]: must have at most 100 characters, and 1 more"
        );
    }

    #[actix_web::test]
    async fn extras_are_there_when_set() {
        let problem = Problem::new(ProblemCode::Superseded, "lost")
            .with_current(json!({"id": 1}))
            .with_server_time(7);
        let (_, body) = rendered(&problem, None).await;
        assert_eq!(body["current"]["id"], 1);
        assert_eq!(body["serverTime"], 7);
    }

    #[actix_web::test]
    async fn what_attachments_are_refused_with_has_a_code_and_its_numbers() {
        let cause = || mosaic_ports::BoxError::from("secret");
        for (error, status, code, members) in [
            (AppError::OtherContent, 409, "content_differs", json!({})),
            (
                AppError::MemoFull(mosaic_domain::MemoId::new(uuid::Uuid::nil())),
                422,
                "memo_full",
                json!({}),
            ),
            (AppError::NotUploaded, 404, "not_uploaded", json!({})),
            (AppError::ContentMissing, 404, "content_missing", json!({})),
            (AppError::NotAPicture, 422, "not_a_picture", json!({})),
            (
                AppError::PictureTooLarge(String::new()),
                422,
                "picture_too_large",
                json!({}),
            ),
            (
                AppError::FileTooLarge { limit: 7 },
                413,
                "file_too_large",
                json!({"limit": 7}),
            ),
            (
                AppError::QuotaExceeded { used: 8, quota: 9 },
                413,
                "quota_exceeded",
                json!({"used": 8, "quota": 9}),
            ),
            (
                AppError::NoRoom { used: 8, quota: 9 },
                413,
                "quota_exceeded",
                json!({"used": 8, "quota": 9}),
            ),
            (AppError::TooManyUploads, 429, "too_many_uploads", json!({})),
            (
                AppError::OffsetConflict { received: 5 },
                409,
                "upload_offset_conflict",
                json!({"received": 5}),
            ),
            (
                AppError::BeyondLength { length: 1 },
                413,
                "beyond_upload_length",
                json!({}),
            ),
            (AppError::ChecksumMismatch, 460, "checksum_mismatch", json!({})),
            (AppError::UploadExpired, 410, "upload_expired", json!({})),
            (AppError::TooManyAvatars, 409, "too_many_avatars", json!({})),
            (
                AppError::UploadRefused(AppError::OtherContent.into()),
                422,
                "upload_refused",
                json!({}),
            ),
            (AppError::UploadBusy, 423, "upload_busy", json!({})),
            (AppError::TooManyParts, 409, "too_many_parts", json!({})),
            (
                AppError::UploadIncomplete(String::new()),
                409,
                "upload_incomplete",
                json!({}),
            ),
            (AppError::NoDirectUploads, 409, "no_direct_uploads", json!({})),
            (
                BlobError::Unavailable(cause()).into(),
                503,
                "storage_unavailable",
                json!({}),
            ),
            (BlobError::Full(cause()).into(), 507, "storage_full", json!({})),
            (StoreError::Full(cause()).into(), 507, "storage_full", json!({})),
            (StoreError::TooSlow(cause()).into(), 503, "too_slow", json!({})),
            (BlobError::Failed(cause()).into(), 500, "internal", json!({})),
        ] {
            let problem = Problem::from(error);
            let response = problem.response(None);
            let waits = response.headers().contains_key(header::RETRY_AFTER);
            assert_eq!(waits, matches!(status, 423 | 429 | 503), "{code}");
            let (sent, body) = rendered(&problem, None).await;
            assert_eq!((sent.as_u16(), &body["code"]), (status, &json!(code)));
            assert!(!body.to_string().contains("secret"), "{body}");
            for name in ["limit", "used", "quota", "received"] {
                assert_eq!(body[name], members[name], "{code} {name}");
            }
        }
        let conflict = Problem::from(AppError::OffsetConflict { received: 5 }).response(None);
        assert_eq!(conflict.headers().get("upload-offset").unwrap(), "5");
    }

    #[actix_web::test]
    async fn a_500_tells_nothing_but_its_request_id() {
        let problem = Problem::internal("table memos has no column secret");
        let (status, body) = rendered(&problem, Some("abc".into())).await;
        assert_eq!(status, 500);
        assert_eq!(body["requestId"], "abc");
        assert!(!body.to_string().contains("secret"));
        assert!(chain(&problem).contains("secret"));
    }

    #[test]
    fn retry_after_is_rounded_up_to_whole_seconds() {
        let response = Problem::new(ProblemCode::RateLimited, "")
            .retry_after(Duration::from_millis(1200))
            .response(None);
        assert_eq!(response.headers().get(header::RETRY_AFTER).unwrap(), "2");
        let response = Problem::unavailable(Duration::ZERO, "busy").response(None);
        assert_eq!(response.headers().get(header::RETRY_AFTER).unwrap(), "1");
    }

    #[test]
    fn an_unauthenticated_request_is_told_how_to_sign_in() {
        let response = Problem::new(ProblemCode::NotSignedIn, "").response(None);
        assert_eq!(
            response.headers().get(header::WWW_AUTHENTICATE).unwrap(),
            "Bearer"
        );
    }
}
