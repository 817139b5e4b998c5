//! What can be wrong with a configuration, said to the person who wrote it.

use std::fmt::{self, Write as _};
use std::path::PathBuf;

use super::origin::Origin;
use super::spec::KeySpec;

/// Why the server does not start with this configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The configuration file was named, or is there, and can't be read.
    #[error("{}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The configuration file is no TOML. The message does not quote the file: the line might hold a secret.
    #[error("{}, line {line}: {message}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// What the parser says.
        message: String,
    },
    /// An environment variable of ours holds bytes that are no UTF-8.
    #[error("the environment variable {0} is not valid UTF-8")]
    NotUnicode(String),
    /// Values or keys that are wrong, all of them.
    #[error("{}", lines(.0))]
    Problems(Vec<Problem>),
}

/// One wrong value or key.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// A value that its key does not accept.
    #[error("{key} is {value} ({origin}), but must be {expected}. {how_to_set}")]
    Wrong {
        /// The key, as in `mosaic.toml`.
        key: &'static str,
        /// The value as it was written, texts in quotes, or "a hidden value".
        value: String,
        /// Where it comes from.
        origin: Origin,
        /// What would be accepted.
        expected: String,
        /// The flag, the variable and the line of the file that set it.
        how_to_set: String,
    },
    /// A key that has no value, and needs one because of another.
    #[error("{key} is missing, but {because} is set. {how_to_set}")]
    Missing {
        /// The key, as in `mosaic.toml`.
        key: &'static str,
        /// The other one.
        because: &'static str,
        /// The flag, the variable and the line of the file that set it.
        how_to_set: String,
    },
    /// A key in the configuration file that does not exist.
    #[error("{key} ({origin}) is not a known key{}", suggestion.as_ref().map_or_else(String::new, |near| format!(". Did you mean {near}?")))]
    Unknown {
        /// What stands there.
        key: String,
        /// Where.
        origin: Origin,
        /// The known name that is nearest to it.
        suggestion: Option<String>,
    },
}

impl Problem {
    /// `value` is not accepted by `spec`. `expected` replaces the table's description where that says too little.
    pub(super) fn wrong(
        spec: &KeySpec,
        value: impl fmt::Display,
        origin: Origin,
        expected: Option<String>,
    ) -> Self {
        let value = if spec.secret {
            "a hidden value".to_owned()
        } else {
            value.to_string()
        };
        let expected = expected.unwrap_or_else(|| spec.kind.to_string());
        Self::Wrong {
            key: spec.key,
            value,
            origin,
            expected,
            how_to_set: how_to_set(spec),
        }
    }

    /// `spec` has no value, but needs one because of another key.
    pub(super) fn missing(spec: &KeySpec, because: &KeySpec) -> Self {
        Self::Missing {
            key: spec.key,
            because: because.key,
            how_to_set: how_to_set(spec),
        }
    }
}

fn how_to_set(spec: &KeySpec) -> String {
    let flag = spec.flag().map_or_else(String::new, |flag| format!("--{flag}, "));
    let line = match spec.key.split_once('.') {
        Some((section, name)) => format!("{name} under [{section}] in mosaic.toml"),
        None => format!("{} in mosaic.toml", spec.key),
    };
    format!("Set it with {flag}{} or {line}", spec.env())
}

fn lines(problems: &[Problem]) -> String {
    let mut text = String::from("the configuration can not be used");
    for problem in problems {
        // Writing to a String does not fail.
        let _ = write!(text, "\n  - {problem}");
    }
    text
}
