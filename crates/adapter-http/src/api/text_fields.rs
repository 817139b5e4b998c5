//! What is sent as texts beside a file: the fields of a form, and the pairs of `Upload-Metadata`. They have the same names and
//! mean the same.

use std::collections::BTreeMap;

use mosaic_application::attachments::NewFile;
use mosaic_domain::entity::{Filename, KeptObject, MimeType};
use mosaic_domain::json::AnyObject;
use mosaic_domain::{EditTime, UnixMillis, Violation};

use crate::entities::Times;
use crate::field::{Check, Field, Int, from_text};
use crate::json::{Unreadable, parse_object};
use crate::schema::DECLARED_TYPE_CHARS;

pub(super) const ID: &str = "id";
pub(super) const MEMO_ID: &str = "memoId";
pub(super) const FILENAME: &str = "filename";
pub(super) const MIME_TYPE: &str = "mimeType";
pub(super) const METADATA: &str = "metadata";
const CREATED_AT: &str = "createdAt";
const UPDATED_AT: &str = "updatedAt";

/// Texts by their names, also those that nobody knows.
#[derive(Debug, Default)]
pub(super) struct TextFields(BTreeMap<String, Field<String>>);

impl TextFields {
    /// Puts a field in. `false`: in the place of another one of that name.
    pub(super) fn insert(&mut self, name: &str, field: Field<String>) -> bool {
        self.0.insert(name.to_owned(), field).is_none()
    }

    /// A field. One that is empty was not filled in.
    pub(super) fn get(&self, name: &str) -> Field<String> {
        match self.0.get(name) {
            Some(Field::Given(text)) if text.is_empty() => Field::Absent,
            Some(field) => field.clone(),
            None => Field::Absent,
        }
    }

    /// The file with that name, and its times, from the other fields.
    pub(super) fn file(
        &self,
        check: &mut Check,
        filename: Option<Filename>,
        declared: Option<MimeType>,
    ) -> Option<(NewFile, Times)> {
        let id = check.optional(ID, self.get(ID), from_text);
        let memo_id = check.optional(MEMO_ID, self.get(MEMO_ID), from_text);
        let metadata = check.optional(METADATA, self.get(METADATA), |text| object(&text));
        let times = Times {
            created_at: check.optional(CREATED_AT, self.get(CREATED_AT), |text| {
                UnixMillis::new(milliseconds(&text)?)
            }),
            updated_at: check.optional(UPDATED_AT, self.get(UPDATED_AT), |text| {
                EditTime::new(milliseconds(&text)?)
            }),
        };
        let file = NewFile {
            id,
            memo_id,
            filename: filename?,
            declared,
            metadata,
        };
        Some((file, times))
    }
}

/// The text that some bytes are.
pub(super) fn utf8(bytes: Vec<u8>) -> Field<String> {
    match String::from_utf8(bytes) {
        Ok(text) => Field::Given(text),
        Err(_) => Field::Wrong(Violation::new("invalid_utf8", "must be UTF-8")),
    }
}

/// A MIME type. Browsers add parameters: `text/plain;charset=utf-8`.
pub(super) fn mime_type(text: impl AsRef<str>) -> Result<MimeType, Violation> {
    let text = text.as_ref();
    if text.chars().nth(DECLARED_TYPE_CHARS).is_some() {
        let message = format!("must be at most {DECLARED_TYPE_CHARS} characters");
        return Err(Violation::new("too_long", message));
    }
    MimeType::new(text.split(';').next().unwrap_or(text).trim())
}

fn object(text: &str) -> Result<KeptObject, Violation> {
    match parse_object::<AnyObject<KeptObject>>(text) {
        Ok(AnyObject(object)) => object,
        Err(Unreadable::Malformed { .. }) => Err(Violation::new("malformed_json", "must be JSON")),
        Err(Unreadable::SchemaError(_)) => Err(Violation::new("invalid_type", "must be a JSON object")),
    }
}

fn milliseconds(text: &str) -> Result<i64, Violation> {
    text.parse().map(|Int(ms)| ms)
}
