//! Everything a use case can answer besides success. The HTTP adapter maps each to one problem.

use mosaic_domain::invite::{InviteRefusal, OPEN_MAX};
use mosaic_domain::login::LoginRefusal;
use mosaic_domain::skew::EditTimeAhead;
use mosaic_domain::stamp::ClockExhausted;
use mosaic_domain::write::CHILDREN_MAX;
use mosaic_domain::{EditTime, MemoId, Record, UnixMillis, Violation, Violations};
use mosaic_ports::{AccessTokenError, BlobError, BoxError, StoreError, WriteError};

/// Why a use case did not do what it was asked. Nothing was written, except the losing content of
/// [`AppError::Superseded`].
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// The input breaks the limits of the protocol.
    #[error("the request is not valid: {0}")]
    Invalid(Violations),
    /// The edit time is too far ahead (W6).
    #[error("the edit time is more than 5 minutes ahead of the server's clock")]
    EditTimeAhead {
        /// The server's clock when the request arrived.
        server_time: UnixMillis,
    },
    /// There is no such thing, or it is somebody else's.
    #[error("there is no such record")]
    NotFound,
    /// The record was deleted then: there is nothing to read or to edit (W5).
    #[error("the record is deleted")]
    Gone(EditTime),
    /// The record was deleted then, and this create does not bring it back (W3).
    #[error("the record is deleted")]
    Deleted(EditTime),
    /// The record was deleted then and its content gone; only a whole record brings it back (W5).
    #[error("the record is deleted and its content is gone: send the whole record")]
    ContentGone(EditTime),
    /// What is stored can't be read: the document was changed by hand, damaged, or written by another version.
    #[error("the stored record can not be read: a whole record takes its place, and it can be deleted")]
    Unreadable,
    /// A resource names a memo that does not exist (W9).
    #[error("there is no memo {0}")]
    UnknownMemo(MemoId),
    /// The memo that a resource names has as many as it may have (W9).
    #[error("the memo has {CHILDREN_MAX} resources already")]
    MemoFull(MemoId),
    /// A list names a record that does not exist; the path says which.
    #[error("{0}")]
    UnknownReference(Violation),
    /// The resource has other bytes already.
    #[error(
        "the resource has other bytes already, and bytes are never replaced: upload them as a new resource"
    )]
    OtherContent,
    /// The resource has no bytes yet.
    #[error("the bytes of this resource were not uploaded yet")]
    NotUploaded,
    /// The bytes of the resource should be there and are not.
    #[error("the bytes of this resource are missing on the server: upload them again")]
    ContentMissing,
    /// There are no smaller pictures of this file, or it can't be an avatar.
    #[error("the file is not a JPEG, PNG, WebP or GIF picture that can be read")]
    NotAPicture,
    /// The picture is too large to make smaller ones of it.
    #[error("{0}")]
    PictureTooLarge(String),
    /// The file is larger than files may be.
    #[error("a file may have {limit} bytes at most")]
    FileTooLarge {
        /// How many bytes a file may have.
        limit: u64,
    },
    /// The user's files would come to more than allowed.
    #[error("the attachments of this account would exceed {quota} bytes; {used} are used")]
    QuotaExceeded {
        /// How many bytes are used.
        used: u64,
        /// How many bytes may be used.
        quota: u64,
    },
    /// The user's records and revisions would come to more than allowed (W10).
    #[error("the records of this account and their history would exceed {quota} bytes; {used} are used")]
    NoRoom {
        /// How many bytes are used.
        used: u64,
        /// How many bytes may be used.
        quota: u64,
    },
    /// The user has too many uploads that are not finished.
    #[error("too many uploads of this account are not finished")]
    TooManyUploads,
    /// The account has too many avatars.
    #[error("the account has too many pictures that nothing shows: try again tomorrow")]
    TooManyAvatars,
    /// The bytes of an upload are all there, and can't become a resource.
    #[error("the upload can not become a resource: {0}")]
    UploadRefused(#[source] Box<AppError>),
    /// Another request of the same upload is not done yet.
    #[error("another request of this upload is not done yet: try again")]
    UploadBusy,
    /// The upload has another number of bytes than the request goes on from.
    #[error("the upload has {received} bytes: go on from there")]
    OffsetConflict {
        /// How many bytes the upload has.
        received: u64,
    },
    /// The upload has another length than was told, or more bytes than that already.
    #[error("the upload has another length, or more bytes than that already")]
    OtherLength,
    /// The bytes would go beyond the length that was announced.
    #[error("the upload was announced with {length} bytes, and these would go beyond")]
    BeyondLength {
        /// The length that was announced.
        length: u64,
    },
    /// The bytes are not those that the checksum was made of.
    #[error("the bytes do not have the checksum that was sent")]
    ChecksumMismatch,
    /// The upload has expired.
    #[error("the upload has expired: begin again")]
    UploadExpired,
    /// The upload came in more pieces than are put together.
    #[error("the upload came in too many pieces: send larger ones")]
    TooManyParts,
    /// The bytes of a direct upload are not there, or not all of them.
    #[error("{0}")]
    UploadIncomplete(String),
    /// The storage takes no bytes but through the server.
    #[error("this server has no storage that takes uploads directly: use POST /resources/upload or /uploads")]
    NoDirectUploads,
    /// The storage of attachments failed.
    #[error(transparent)]
    Blobs(#[from] BlobError),
    /// A push names the record twice; this is the later one.
    #[error("the push names this record twice: this edit was left out, send it again")]
    NamedTwice,
    /// Too many connections of this user listen for nudges already.
    #[error("too many connections of this account listen for changes")]
    TooManyListeners,
    /// A newer version is stored (W4).
    #[error("a newer version is stored")]
    Superseded {
        /// The record that won.
        current: Box<Record>,
    },
    /// The request proves nobody.
    #[error(transparent)]
    Unauthenticated(#[from] Unauthenticated),
    /// The account may not do this.
    #[error("only an administrator may do this")]
    Forbidden,
    /// The password was set by somebody else; nothing else goes before it is changed.
    #[error("the password must be changed first: POST /auth/change-password")]
    PasswordChangeRequired,
    /// The server takes no registrations.
    #[error("registration is closed: ask the administrator of this server for an account")]
    RegistrationClosed,
    /// The user name is taken.
    #[error("the user name is taken")]
    NameTaken,
    /// The invite makes no account (I2).
    #[error(transparent)]
    Invite(#[from] InviteRefusal),
    /// Whoever invites has too many open invites (I3).
    #[error("there are {OPEN_MAX} open invites already: take some back")]
    TooManyInvites,
    /// No administrator would be left.
    #[error("the last administrator can be neither closed nor demoted")]
    LastAdmin,
    /// The old password is wrong.
    #[error("the old password is wrong")]
    WrongPassword,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The machine failed, or a promise of a port was broken.
    #[error("internal error")]
    Internal(#[source] BoxError),
}

/// Why a request is not accepted as somebody's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unauthenticated {
    /// The user name or the password is wrong; which of the two is not said.
    #[error("the user name or the password is wrong")]
    BadCredentials,
    /// The password is right, but the account is closed.
    #[error("the account is closed")]
    AccountDisabled,
    /// The access token is not one of ours.
    #[error("the access token is not valid")]
    InvalidToken,
    /// The access token was good once.
    #[error("the access token has expired")]
    ExpiredToken,
    /// The ticket is none of ours, is for something else, has expired, or was used (L5).
    #[error("the ticket is not, or no longer, valid here: ask for another")]
    InvalidTicket,
    /// The login has ended: log out, a new password, a closed account.
    #[error("the login has ended")]
    LoginEnded,
    /// The refresh token is unknown, expired, or spent.
    #[error("the refresh token is not valid or no longer")]
    InvalidRefreshToken,
}

impl From<Violations> for AppError {
    fn from(violations: Violations) -> Self {
        Self::Invalid(violations)
    }
}

impl From<Violation> for AppError {
    fn from(violation: Violation) -> Self {
        Self::Invalid(violation.into())
    }
}

impl From<EditTimeAhead> for AppError {
    fn from(ahead: EditTimeAhead) -> Self {
        Self::EditTimeAhead {
            server_time: ahead.server_time,
        }
    }
}

impl From<WriteError> for AppError {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::UnknownUser => Unauthenticated::LoginEnded.into(),
            WriteError::Login(refusal) => refusal.into(),
            WriteError::Clock(exhausted) => exhausted.into(),
            WriteError::Store(error) => error.into(),
        }
    }
}

impl From<LoginRefusal> for AppError {
    fn from(refusal: LoginRefusal) -> Self {
        match refusal {
            LoginRefusal::Ended => Unauthenticated::LoginEnded.into(),
            LoginRefusal::PasswordChangeRequired => Self::PasswordChangeRequired,
        }
    }
}

impl From<ClockExhausted> for AppError {
    fn from(exhausted: ClockExhausted) -> Self {
        Self::Internal(exhausted.into())
    }
}

impl From<AccessTokenError> for AppError {
    fn from(error: AccessTokenError) -> Self {
        match error {
            AccessTokenError::Expired => Unauthenticated::ExpiredToken.into(),
            AccessTokenError::Invalid => Unauthenticated::InvalidToken.into(),
        }
    }
}
