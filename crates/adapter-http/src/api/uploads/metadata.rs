//! `Upload-Metadata`: what the beginner of an upload says of the file, as pairs of a name and a text in base64.

use std::collections::BTreeMap;

use mosaic_application::attachments::NewFile;
use mosaic_domain::Violation;
use mosaic_domain::entity::Filename;

use super::super::described::{FILENAME, MIME_TYPE, described, mime_type};
use super::headers::decode;
use crate::entities::Times;
use crate::field::{Check, Field};
use crate::problem::Problem;

/// The file that an upload becomes, and its times.
pub(super) fn read(header: &str) -> Result<(NewFile, Times), Problem> {
    let mut check = Check::default();
    let said = Said::read(header, &mut check);
    // What web pages know of a file is called `name` and `type` by some clients, `filename` and `filetype` by most.
    let filename = said.take([FILENAME, "name"]);
    let filename = check.required(filename.0, filename.1, Filename::new);
    let declared = said.take(["filetype", MIME_TYPE, "type"]);
    let declared = check.optional(declared.0, declared.1, mime_type);
    let file = described(&mut check, filename, declared, |name| said.take([name]).1);
    Ok(check.finish(file)?)
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
