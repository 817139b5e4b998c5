//! What becomes of the errors of the application.

use std::time::Duration;

use actix_web::http::header;
use mosaic_application::AppError;
use mosaic_application::error::Unauthenticated;
use mosaic_domain::invite::InviteRefusal;
use mosaic_ports::StoreError;

use crate::entities;
use crate::problem::{FieldError, Problem, ProblemCode};

/// How long a device waits before it tries to listen again where too many of its account do.
const LISTEN_AGAIN_AFTER: Duration = Duration::from_secs(30);
/// How long a device waits before it begins an upload again where too many of its account are not finished.
const UPLOAD_AGAIN_AFTER: Duration = Duration::from_mins(1);
/// When what took too long may be asked again: what was in its way may be over then.
const SLOW_AGAIN_AFTER: Duration = Duration::from_secs(5);

/// How many bytes an upload has (tus).
const UPLOAD_OFFSET: header::HeaderName = header::HeaderName::from_static("upload-offset");

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
            AppError::Deleted(deleted_at) => {
                Self::new(Code::DeletedConflict, detail).with_updated_at(deleted_at.get())
            }
            AppError::Gone(deleted_at) | AppError::ContentGone(deleted_at) => {
                Self::new(Code::Deleted, detail).with_updated_at(deleted_at.get())
            }
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
                Self::new(Code::Superseded, detail).with_current(entities::record_json(*current))
            }
            AppError::Unauthenticated(why) => Self::new(unauthenticated_code(why), detail),
            AppError::Forbidden => Self::new(Code::Forbidden, detail),
            AppError::PasswordChangeRequired => Self::new(Code::PasswordChangeRequired, detail),
            AppError::RegistrationClosed => Self::new(Code::RegistrationClosed, detail),
            AppError::NameTaken => Self::new(Code::UsernameTaken, detail),
            AppError::Invite(refusal) => Self::new(invite_code(refusal), detail),
            AppError::TooManyInvites => Self::new(Code::TooManyInvites, detail),
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
            AppError::OtherLength => Self::new(Code::InvalidUploadHeader, detail.clone())
                .at(FieldError::new("Upload-Length", "invalid_value", detail)),
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
        Unauthenticated::InvalidTicket => ProblemCode::InvalidTicket,
        Unauthenticated::LoginEnded => ProblemCode::LoginEnded,
        Unauthenticated::InvalidRefreshToken => ProblemCode::InvalidRefreshToken,
    }
}

fn invite_code(refusal: InviteRefusal) -> ProblemCode {
    match refusal {
        InviteRefusal::Unknown => ProblemCode::UnknownInvite,
        InviteRefusal::Used => ProblemCode::InviteUsed,
        InviteRefusal::Revoked => ProblemCode::InviteRevoked,
        InviteRefusal::Expired => ProblemCode::InviteExpired,
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
