//! What can go wrong, by what an app does about it.

use std::fmt;
use std::time::Duration;

use mosaic_domain::Violation;
use serde::{Deserialize, Serialize};

/// What this crate answers.
pub type Result<T> = std::result::Result<T, Error>;

/// Why something was not done. Nothing that a person typed is ever lost by it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The server can't be reached, is busy or fails: the same call may succeed later, as it stands. Where the server said how long
    /// to wait, `after` says so.
    #[error("the server does not answer: {reason}{}", again(*after))]
    Later {
        /// For people, in English.
        reason: String,
        /// How long the server wants to be left alone.
        after: Option<Duration>,
    },
    /// Nobody is logged in, or the login has ended (L1): ask for the password. Edits are kept.
    #[error("nobody is logged in")]
    LoggedOut,
    /// The server refuses it, and would again.
    #[error("{0}")]
    Refused(Problem),
    /// What answers is no Mosaic server, or one that is not understood.
    #[error("not the answer of a Mosaic server: {0}")]
    NotTheServer(String),
    /// The local database is another user's. Open another one.
    #[error("this database is another user's")]
    OtherUser,
    /// There is no such record here.
    #[error("there is no such record")]
    NotFound,
    /// What was given can't be.
    #[error("{0}")]
    Invalid(#[from] Violation),
    /// The local database or a local file can't be read or written.
    #[error("{0}")]
    Local(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// What the server says of what it does not take (RFC 9457).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// What to act on, in snake_case: `edit_time_ahead`, `quota_exceeded`.
    pub code: String,
    /// For people, in English.
    #[serde(alias = "message")]
    pub detail: String,
    /// What is wrong with which field.
    #[serde(default)]
    pub errors: Vec<FieldProblem>,
}

/// What is wrong with one field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldProblem {
    /// Where the field stands in the record.
    pub path: String,
    /// What to act on, in snake_case: `too_long`.
    pub code: String,
    /// For people, in English.
    pub message: String,
}

impl Problem {
    /// With paths that begin in the record, not in the push that it was part of.
    pub(crate) fn of_one_record(mut self) -> Self {
        for error in &mut self.errors {
            if let Some((_, within)) = error.path.split_once("].") {
                error.path = within.to_owned();
            }
        }
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.detail, self.code)
    }
}

/// When to come again, for people.
fn again(after: Option<Duration>) -> String {
    after.map_or_else(String::new, |after| {
        format!("; try again in {} s", after.as_secs())
    })
}

impl Error {
    /// How long the server wants to be left alone, where it said so.
    pub fn after(&self) -> Option<Duration> {
        match self {
            Self::Later { after, .. } => *after,
            _ => None,
        }
    }

    pub(crate) fn later(reason: impl fmt::Display) -> Self {
        Self::Later {
            reason: reason.to_string(),
            after: None,
        }
    }

    /// Of an answer that is no success.
    pub(crate) fn of_answer(status: u16, after: Option<Duration>, body: &[u8]) -> Self {
        let problem: Option<Problem> = serde_json::from_slice(body).ok();
        let passes = status == 408 || status == 423 || status == 429 || status >= 500;
        match problem {
            _ if passes => Self::Later {
                reason: problem.map_or_else(|| format!("status {status}"), |problem| problem.to_string()),
                after,
            },
            Some(problem) if status == 401 && problem.code == "login_ended" => Self::LoggedOut,
            Some(problem) => Self::Refused(problem),
            None => Self::NotTheServer(format!("status {status}")),
        }
    }

    /// Whether the server refuses it with this code.
    pub fn is_refused(&self, code: &str) -> bool {
        matches!(self, Self::Refused(problem) if problem.code == code)
    }

    pub(crate) fn local(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Local(error.into())
    }
}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        Self::local(error)
    }
}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        Self::local(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn b2_what_is_wrong_with_a_record_is_told_from_its_beginning() {
        let error =
            serde_json::json!({"path": "changes.memo.updated[3].tags[0]", "code": "empty", "message": ""});
        let problem = serde_json::json!({"code": "validation_failed", "message": "", "errors": [error]});
        let problem: Problem = serde_json::from_value(problem).unwrap();
        assert_eq!(problem.of_one_record().errors[0].path, "tags[0]");
    }

    #[test]
    fn what_passes_is_tried_later_and_what_does_not_is_refused() {
        let problem = br#"{"code": "busy", "detail": "busy", "status": 503}"#;
        let after = Some(Duration::from_secs(3));
        for status in [408, 423, 429, 500, 503, 507] {
            let error = Error::of_answer(status, after, problem);
            assert!(
                matches!(error, Error::Later { after: waits, .. } if waits == after),
                "{error}"
            );
        }
        assert!(Error::of_answer(422, None, problem).is_refused("busy"));
        let ended = br#"{"code": "login_ended", "detail": "ended"}"#;
        assert!(matches!(Error::of_answer(401, None, ended), Error::LoggedOut));
        let page = Error::of_answer(404, None, b"<html>");
        assert!(matches!(page, Error::NotTheServer(_)));
    }
}
