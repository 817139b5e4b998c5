//! What the storage says when it does not do something, and what the port says of it.
//!
//! What came back is taken apart rather than passed on: the answer to a wrong signature, say, has the whole request in it.

use std::error::Error;
use std::time::Duration;

use mosaic_ports::BlobError;
use object_store::client::HttpError;

/// The codes with which storage says that there is no room.
const FULL: &[&str] = &[
    "XMinioStorageFull",
    "XMinioAdminBucketQuotaExceeded",
    "QuotaExceeded",
    "StorageFull",
    "InsufficientStorage",
];

/// Something that the storage did not do.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// It gave no answer.
    #[error("can't {doing}: no answer within {} seconds", after.as_secs_f32())]
    Timeout { doing: &'static str, after: Duration },
    /// It can't be reached, or the connection was lost.
    #[error("can't {doing}: {cause}")]
    Connection { doing: &'static str, cause: String },
    /// It answered with an error.
    #[error("can't {doing}: {}", answer.explained())]
    Answer { doing: &'static str, answer: Answer },
    /// The blob ended before its end.
    #[error("can't {doing}: the blob was cut off")]
    CutOff { doing: &'static str },
    /// There is something under that name.
    #[error("can't store: the name is taken")]
    Taken,
    /// A part can't wait on the disk.
    #[error("can't keep a part on the disk until it is whole: {0}")]
    Spool(#[source] std::io::Error),
    /// A write failed before.
    #[error("writing failed before")]
    Broken,
    /// Anything else.
    #[error("can't {doing}: {cause}")]
    Other { doing: &'static str, cause: String },
}

/// An answer that is an error.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    status: u16,
    code: String,
    message: String,
}

impl Failure {
    /// What the library reports.
    pub(crate) fn of(doing: &'static str, error: &object_store::Error) -> Self {
        let text = error.to_string();
        if let Some(answer) = Answer::parse(&text) {
            return Self::Answer { doing, answer };
        }
        if let Some(error) = http_error(error) {
            return Self::connection(doing, error);
        }
        Self::Other { doing, cause: text }
    }

    /// No answer that could be read.
    pub(crate) fn connection(doing: &'static str, error: &HttpError) -> Self {
        let mut words: Vec<String> = chain(error).skip(1).map(ToString::to_string).collect();
        words.dedup();
        Self::Connection {
            doing,
            cause: words.join(": "),
        }
    }

    /// An answer with a status that is no success.
    pub(crate) fn answer(doing: &'static str, status: u16, body: &str) -> Self {
        Self::Answer {
            doing,
            answer: Answer::new(status, body),
        }
    }

    /// Something that makes no sense.
    pub(crate) fn other(doing: &'static str, cause: &impl ToString) -> Self {
        Self::Other {
            doing,
            cause: cause.to_string(),
        }
    }

    pub(crate) fn timeout(doing: &'static str, after: Duration) -> Self {
        Self::Timeout { doing, after }
    }

    pub(crate) fn cut_off(doing: &'static str) -> Self {
        Self::CutOff { doing }
    }

    /// There is none: of what, the answer may not say.
    pub(crate) fn is_not_found(&self) -> bool {
        matches!(self, Self::Answer { answer, .. } if answer.status == 404 && answer.code != "NoSuchBucket")
    }

    /// There is no such object, in a bucket that is there.
    pub(crate) fn is_missing_key(&self) -> bool {
        matches!(self, Self::Answer { answer, .. } if answer.status == 404 && answer.code == "NoSuchKey")
    }

    /// Nothing of the blob lies in the range.
    pub(crate) fn is_outside(&self) -> bool {
        match self {
            Self::Answer { answer, .. } => answer.status == 416,
            // The whole of an empty blob, where a part of it was asked for.
            Self::Other { cause, .. } => cause.contains("non-partial response"),
            _ => false,
        }
    }

    /// The storage does not know this kind of request.
    pub(crate) fn is_unsupported(&self) -> bool {
        matches!(self, Self::Answer { answer, .. } if matches!(answer.status, 405 | 501))
    }
}

impl From<Failure> for BlobError {
    fn from(failure: Failure) -> Self {
        match &failure {
            Failure::Timeout { .. } | Failure::Connection { .. } | Failure::CutOff { .. } => {
                Self::Unavailable(failure.into())
            }
            Failure::Answer { answer, .. } if answer.is_full() => Self::Full(failure.into()),
            Failure::Spool(error) if error.kind() == std::io::ErrorKind::StorageFull => {
                Self::Full(failure.into())
            }
            Failure::Answer { answer, .. } if answer.is_temporary() => Self::Unavailable(failure.into()),
            _ => Self::Failed(failure.into()),
        }
    }
}

impl Answer {
    fn new(status: u16, body: &str) -> Self {
        Self {
            status,
            code: element(body, "Code").to_owned(),
            message: element(body, "Message").to_owned(),
        }
    }

    /// Reads it out of an error of the library, whose type is not public.
    fn parse(text: &str) -> Option<Self> {
        if let Some((_, rest)) = text.split_once("non-2xx status code: ") {
            let status = rest.get(..3)?.parse().ok()?;
            return Some(Self::new(status, rest));
        }
        if let Some((_, body)) = text.split_once("Server returned error response: ") {
            return Some(Self::new(500, body));
        }
        text.contains("redirect without LOCATION").then(|| Self {
            status: 301,
            ..Self::default()
        })
    }

    fn is_full(&self) -> bool {
        self.status == 507 || FULL.contains(&self.code.as_str())
    }

    fn is_temporary(&self) -> bool {
        matches!(self.status, 408 | 429 | 500 | 502..) || self.code == "SlowDown"
    }

    fn explained(&self) -> String {
        let hint = match (self.status, self.code.as_str()) {
            (_, "RequestTimeTooSkewed") => "the clocks of the server and of the storage differ",
            (_, "SignatureDoesNotMatch") => "the secret key is wrong",
            (_, "InvalidAccessKeyId") => "there is no such access key",
            (_, "ExpiredToken" | "InvalidToken") => "the session token is not valid, or no longer",
            (_, "NoSuchBucket") => "there is no such bucket",
            (401 | 403, _) => "the credentials are wrong, or don't allow it",
            (301..=308, _) => "the bucket is in another region, or at another endpoint",
            _ => "the storage answered with an error",
        };
        let Self {
            status,
            code,
            message,
        } = self;
        let separator = if code.is_empty() { "" } else { " " };
        let details = if message.is_empty() {
            String::new()
        } else {
            format!(": {message}")
        };
        format!("{hint} ({status}{separator}{code}{details})")
    }
}

/// What stands in an element of a short XML text.
fn element<'a>(body: &'a str, name: &str) -> &'a str {
    let inner = body.split_once(&format!("<{name}>"));
    let inner = inner.and_then(|(_, rest)| rest.split_once("</"));
    inner.map_or("", |(inner, _)| inner)
}

fn http_error(error: &object_store::Error) -> Option<&HttpError> {
    chain(error).find_map(|cause| cause.downcast_ref())
}

/// An error and its causes.
fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |cause: &&'a (dyn Error + 'static)| (*cause).source())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, code: &str) -> Failure {
        let body = format!("<Error><Code>{code}</Code><Message>so it is</Message><X>secret</X></Error>");
        Failure::answer("read", status, &body)
    }

    #[test]
    fn answers_are_told_apart() {
        let is = |status, code| match BlobError::from(answer(status, code)) {
            BlobError::Unavailable(_) => "unavailable",
            BlobError::Full(_) => "full",
            BlobError::Failed(_) => "failed",
        };
        assert_eq!(is(503, "SlowDown"), "unavailable");
        assert_eq!(is(500, "InternalError"), "unavailable");
        assert_eq!(is(429, ""), "unavailable");
        assert_eq!(is(507, ""), "full");
        assert_eq!(is(500, "XMinioStorageFull"), "full");
        assert_eq!(is(403, "QuotaExceeded"), "full");
        assert_eq!(is(403, "AccessDenied"), "failed");
        assert_eq!(is(404, "NoSuchBucket"), "failed");
        assert_eq!(is(501, "NotImplemented"), "failed");
    }

    #[test]
    fn an_answer_is_said_without_what_else_is_in_it() {
        let text = answer(403, "SignatureDoesNotMatch").to_string();
        assert_eq!(
            text,
            "can't read: the secret key is wrong (403 SignatureDoesNotMatch: so it is)"
        );
        assert_eq!(
            Failure::answer("list", 403, "").to_string(),
            "can't list: the credentials are wrong, or don't allow it (403)"
        );
    }

    #[test]
    fn a_missing_bucket_is_no_missing_blob() {
        assert!(answer(404, "NoSuchKey").is_missing_key());
        assert!(!answer(404, "NoSuchBucket").is_missing_key());
        assert!(!answer(404, "NoSuchBucket").is_not_found());
        assert!(answer(404, "").is_not_found());
    }
}
