//! What is said, as texts, of a file that is uploaded: the fields of a form, and the pairs of `Upload-Metadata`. They have the same
//! names and mean the same.

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
pub(super) const CREATED_AT: &str = "createdAt";
pub(super) const UPDATED_AT: &str = "updatedAt";

/// The file with that name, and its times, from what was said under each of the other names.
pub(super) fn described(
    check: &mut Check,
    filename: Option<Filename>,
    declared: Option<MimeType>,
    said: impl Fn(&'static str) -> Field<String>,
) -> Option<(NewFile, Times)> {
    let id = check.optional(ID, said(ID), from_text);
    let memo_id = check.optional(MEMO_ID, said(MEMO_ID), from_text);
    let metadata = check.optional(METADATA, said(METADATA), |text| object(&text));
    let times = Times {
        created_at: check.optional(CREATED_AT, said(CREATED_AT), |text| {
            UnixMillis::new(milliseconds(&text)?)
        }),
        updated_at: check.optional(UPDATED_AT, said(UPDATED_AT), |text| {
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
