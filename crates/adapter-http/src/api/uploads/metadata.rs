//! `Upload-Metadata`: what the client sends of the file when an upload begins, as pairs of a name and a text in base64.

use mosaic_application::attachments::NewFile;
use mosaic_domain::Violation;
use mosaic_domain::entity::Filename;

use super::super::text_fields::{FILENAME, MIME_TYPE, TextFields, mime_type, utf8};
use super::headers::decode;
use crate::entities::Times;
use crate::field::{Check, Field};
use crate::problem::Problem;

/// The file that an upload becomes, and its times.
pub(super) fn read(header: &str) -> Result<(NewFile, Times), Problem> {
    let mut check = Check::default();
    let mut fields = TextFields::default();
    for pair in header.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
        let (name, base64) = pair.split_once(' ').unwrap_or((pair, ""));
        if !fields.insert(name, text(base64.trim())) {
            check.push(Violation::new("duplicate", "stands there twice").at(name));
        }
    }
    // What web pages know of a file is called `name` and `type` by some clients, `filename` and `filetype` by most.
    let (name, field) = first(&fields, [FILENAME, "name"]);
    let filename = check.required(name, field, Filename::new);
    let (name, field) = first(&fields, ["filetype", MIME_TYPE, "type"]);
    let declared = check.optional(name, field, mime_type);
    let file = fields.file(&mut check, filename, declared);
    Ok(check.finish(file)?)
}

fn text(base64: &str) -> Field<String> {
    let wrong = || Field::Wrong(Violation::new("invalid_base64", "must be base64"));
    decode(base64).map_or_else(wrong, utf8)
}

/// The first of these fields that is filled in, with its name.
fn first<const N: usize>(fields: &TextFields, names: [&'static str; N]) -> (&'static str, Field<String>) {
    let mut all = names.into_iter().map(|name| (name, fields.get(name)));
    let filled = all.find(|(_, field)| *field != Field::Absent);
    filled.unwrap_or((names[0], Field::Absent))
}
