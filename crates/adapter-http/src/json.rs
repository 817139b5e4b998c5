//! JSON objects, from the text of a body or of a part of it.

use mosaic_domain::json::Skipped;
use serde::de::DeserializeOwned;

use crate::problem::{FieldError, Problem, ProblemCode};

/// Why a text is not the object that it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Unreadable {
    /// It is no JSON.
    Malformed {
        /// How far it could be read.
        path: String,
        /// What is wrong there.
        message: String,
    },
    /// It is JSON of another shape.
    SchemaError(FieldError),
}

impl From<Unreadable> for Problem {
    fn from(unreadable: Unreadable) -> Self {
        match unreadable {
            Unreadable::Malformed { message, .. } => Self::new(
                ProblemCode::MalformedJson,
                format!("the body is not valid JSON: {message}"),
            ),
            Unreadable::SchemaError(error) => Self::validation(vec![error]),
        }
    }
}

/// Reads a JSON object.
///
/// # Errors
/// [`Unreadable`], with the path to the first thing that is wrong.
pub(crate) fn parse_object<T: DeserializeOwned>(text: &str) -> Result<T, Unreadable> {
    if !text.trim_ascii_start().starts_with('{') {
        return Err(not_an_object(text));
    }
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let value = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let path = error.path().to_string();
        unreadable(&path, error.inner())
    })?;
    deserializer.end().map_err(|error| unreadable("", &error))?;
    Ok(value)
}

/// serde would also read a struct from a list, by position: bodies are objects.
fn not_an_object(text: &str) -> Unreadable {
    match serde_json::from_str::<Skipped>(text) {
        Ok(_) => Unreadable::SchemaError(FieldError::new("", "invalid_type", "must be a JSON object")),
        Err(error) => unreadable("", &error),
    }
}

/// How many characters of a path an error has at most.
const PATH_CHARS: usize = 200;

/// What serde says of a text, with the path to where it stands.
pub(crate) fn unreadable(path: &str, error: &serde_json::Error) -> Unreadable {
    // What a client wrote stands in it.
    let path: String = path.chars().take(PATH_CHARS).collect();
    let path = if path == "." { "" } else { path.as_str() };
    if error.is_data() {
        Unreadable::SchemaError(data_error(path, error))
    } else {
        Unreadable::Malformed {
            path: path.to_owned(),
            message: error.to_string(),
        }
    }
}

/// serde tells what is wrong in prose only; its beginnings are stable, and become codes.
fn data_error(path: &str, error: &serde_json::Error) -> FieldError {
    let text = error.to_string();
    let message = text.split(" at line ").next().unwrap_or(&text).to_owned();
    let named = |prefix: &str| {
        let field = message.strip_prefix(prefix)?.strip_suffix('`')?;
        Some(if path.is_empty() {
            field.to_owned()
        } else {
            format!("{path}.{field}")
        })
    };
    if let Some(path) = named("missing field `") {
        return FieldError::new(path, "required", "is required");
    }
    if let Some(path) = named("duplicate field `") {
        return FieldError::new(path, "duplicate_field", "stands there twice");
    }
    let code = if message.starts_with("invalid type") {
        "invalid_type"
    } else if message.starts_with("unknown variant") {
        "unknown_value"
    } else {
        "invalid_value"
    };
    FieldError::new(path, code, message)
}
