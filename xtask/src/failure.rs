//! The one error of xtask: a message for the person who ran it.

use std::fmt;

/// Why a step failed, and where possible what to do about it.
#[derive(Debug)]
pub(crate) struct Failure(pub(crate) String);

/// What a step returns.
pub(crate) type Result<T> = std::result::Result<T, Failure>;

impl Failure {
    /// A failure that lists every finding on a line of its own.
    pub(crate) fn list(what: &str, findings: &[String]) -> Self {
        let mut text = what.to_owned();
        for finding in findings {
            text.push_str("\n  - ");
            text.push_str(finding);
        }
        Self(text)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
