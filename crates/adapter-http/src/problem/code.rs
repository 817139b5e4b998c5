//! The catalogue of everything that a client can be told, one line for each.

use std::borrow::Cow;

use actix_web::http::StatusCode;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

/// Defines [`ProblemCode`] and its catalogue from one table.
macro_rules! problem_codes {
    ($($(#[$doc:meta])* $name:ident = $status:literal $code:literal $title:literal;)*) => {
        /// Every kind of error that a client can be told about. `code` and status are part of the API: they never change.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
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
    /// The ticket is forged, for something else, expired or used: ask for another (L5).
    InvalidTicket = 401 "invalid_ticket" "The ticket is not, or no longer, valid here";
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
    /// The record was deleted: there is nothing to read, or to complete an edit from (W5). `updatedAt` tells when.
    Deleted = 404 "deleted" "The record was deleted";
    /// The resource is there, its bytes were not uploaded yet.
    NotUploaded = 404 "not_uploaded" "The bytes were not uploaded yet";
    /// The resource is there, its bytes should be and are not: whoever has them uploads them again.
    ContentMissing = 404 "content_missing" "The bytes are missing on the server";
    /// No invite has that secret: a link that is not whole, or of an invite that is over for long.
    UnknownInvite = 404 "unknown_invite" "There is no such invite";
    /// No route has that path.
    UnknownRoute = 404 "unknown_route" "No such route";
    /// The path exists, the method does not; `Allow` lists those that do.
    MethodNotAllowed = 405 "method_not_allowed" "The method is not allowed here";
    /// The body took too long to arrive.
    RequestTimeout = 408 "request_timeout" "The request took too long to arrive";
    /// The write lost against a newer version; `current` holds the winner (W4).
    Superseded = 409 "superseded" "A newer version won";
    /// The record was deleted, and a create without an edit time never undoes that (W3). `updatedAt` tells when.
    DeletedConflict = 409 "deleted" "The record was deleted";
    /// Somebody has that user name, letter case aside.
    UsernameTaken = 409 "username_taken" "The user name is taken";
    /// No administrator whose account is open would be left.
    LastAdmin = 409 "last_admin" "An administrator must remain";
    /// Whoever invites has as many open invites as they may have (I3).
    TooManyInvites = 409 "too_many_invites" "Too many open invites";
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
    /// An account was made by the invite: it makes one (I1).
    InviteUsed = 410 "invite_used" "The invite was used";
    /// The invite was taken back, or whoever made it is no administrator any more (I2).
    InviteRevoked = 410 "invite_revoked" "The invite was taken back";
    /// The invite was not used in time (I2).
    InviteExpired = 410 "invite_expired" "The invite has expired";
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

/// A stable name for the `type` member: the same as `code`, as a URN.
pub(super) fn urn(code: &str) -> String {
    format!("urn:mosaic:problem:{code}")
}

impl ProblemCode {
    pub(super) fn status_code(self) -> StatusCode {
        StatusCode::from_u16(self.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// Whether a token would have helped. A log-in that failed is not about tokens.
    pub(super) const fn asks_for_a_token(self) -> bool {
        self.status() == 401 && !matches!(self, Self::BadCredentials | Self::AccountDisabled)
    }

    /// The code that stands for a bare status which actix, or a middleware of somebody else, chose.
    pub(super) fn from_status(status: StatusCode) -> Self {
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

/// In the document every code has its status and meaning. It is no closed set there: later versions have more.
impl PartialSchema for ProblemCode {
    fn schema() -> RefOr<Schema> {
        let line = |code: &Self| format!("* `{}` ({}): {}", code.code(), code.status(), code.title());
        let lines: Vec<String> = Self::ALL.iter().map(line).collect();
        let says = format!(
            "The kind of problem, stable and snake_case, for programs:\n\n{}",
            lines.join("\n")
        );
        ObjectBuilder::new()
            .schema_type(Type::String)
            .description(Some(says))
            .into()
    }
}

impl ToSchema for ProblemCode {
    fn name() -> Cow<'static, str> {
        Cow::Borrowed("ProblemCode")
    }
}
