//! `Upload-Metadata`: what the beginner of an upload says of the file, as pairs of a name and a text in base64.

use std::collections::BTreeMap;

use mosaic_application::attachments::NewFile;
use mosaic_domain::entity::{Filename, KeptObject, MimeType};
use mosaic_domain::{EditTime, MemoId, ResourceId, UnixMillis, Violation};
use serde_json::Value;

use super::headers::decode;
use crate::entities::Times;
use crate::field::{Check, Field, Int, from_text};
use crate::problem::Problem;

/// The file that an upload becomes, and its times.
pub(super) fn read(header: &str) -> Result<(NewFile, Times), Problem> {
    let mut check = Check::of_whole();
    let said = Said::read(header, &mut check);
    // What web pages know of a file is called `name` and `type` by some clients, `filename` and `filetype` by most.
    let filename = said.take(["filename", "name"]);
    let filename = check.required(filename.0, filename.1, Filename::new);
    let declared = said.take(["filetype", "mimeType", "type"]);
    let declared = check.optional(declared.0, declared.1, |text| mime_type(&text));
    let (name, id) = said.take(["id"]);
    let id = check.optional(name, id, from_text::<ResourceId>);
    let (name, memo_id) = said.take(["memoId"]);
    let memo_id = check.optional(name, memo_id, from_text::<MemoId>);
    let (name, metadata) = said.take(["metadata"]);
    let metadata = check.optional(name, metadata, |text| object(&text));
    let (name, created_at) = said.take(["createdAt"]);
    let created_at = check.optional(name, created_at, |text| UnixMillis::new(whole(&text)?));
    let (name, updated_at) = said.take(["updatedAt"]);
    let updated_at = check.optional(name, updated_at, |text| EditTime::new(whole(&text)?));
    let file = filename.map(|filename| NewFile {
        id,
        memo_id,
        filename,
        declared,
        metadata,
    });
    let times = Times {
        created_at,
        updated_at,
    };
    Ok((check.finish(file)?, times))
}

/// The base64 that was sent under each name.
struct Said<'a>(BTreeMap<&'a str, &'a str>);

impl<'a> Said<'a> {
    fn read(header: &'a str, check: &mut Check) -> Self {
        let mut pairs = BTreeMap::new();
        for pair in header.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once(' ').unwrap_or((pair, ""));
            if pairs.insert(name, value.trim()).is_some() {
                check.push(Violation::new("duplicate", "stands there twice").at(name));
            }
        }
        Self(pairs)
    }

    /// What was said under the first of these names that says something.
    fn take<const N: usize>(&self, names: [&'static str; N]) -> (&'static str, Field<String>) {
        for name in names {
            match self.0.get(name).copied().map(text) {
                None => {}
                Some(Ok(text)) if text.is_empty() => {}
                Some(Ok(text)) => return (name, Field::Given(text)),
                Some(Err(violation)) => return (name, Field::Wrong(violation)),
            }
        }
        (names[0], Field::Absent)
    }
}

fn text(base64: &str) -> Result<String, Violation> {
    let bytes = decode(base64).ok_or_else(|| Violation::new("invalid_base64", "must be base64"))?;
    String::from_utf8(bytes).map_err(|_| Violation::new("invalid_utf8", "must be UTF-8"))
}

/// Browsers add parameters: `text/plain;charset=utf-8`.
fn mime_type(text: &str) -> Result<MimeType, Violation> {
    MimeType::new(text.split(';').next().unwrap_or(text).trim())
}

fn object(text: &str) -> Result<KeptObject, Violation> {
    match serde_json::from_str(text) {
        Ok(Value::Object(object)) => KeptObject::new(object),
        Ok(_) => Err(Violation::new("invalid_type", "must be a JSON object")),
        Err(_) => Err(Violation::new("malformed_json", "must be JSON")),
    }
}

fn whole(text: &str) -> Result<i64, Violation> {
    text.parse().map(|Int(ms)| ms)
}
