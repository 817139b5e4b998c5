//! Forms that bring one file and say some things of it, in any order: what an upload and an avatar have in common.

use actix_web::HttpRequest;
use mosaic_application::AppError;
use mosaic_application::attachments::BlobIngest;
use mosaic_domain::entity::{Filename, MimeType};
use mosaic_domain::{Violation, Violations};

use super::described::mime_type;
use crate::content_length::content_length;
use crate::field::{Check, Field};
use crate::multipart::{AROUND_BYTES, Multipart, Part};
use crate::problem::{FieldError, Problem};

/// The part with the file.
pub(super) const FILE: &str = "file";
/// The fields of a form may have so many bytes together, those that nobody knows included.
const FIELD_BYTES: usize = 64 * 1024;

/// What was said of a file.
#[derive(Debug, Default)]
pub(super) struct Form {
    file: Option<Part>,
    fields: Vec<(&'static str, String)>,
}

impl Form {
    /// A field. One that is empty was not filled in.
    pub(super) fn field(&self, name: &str) -> Field<String> {
        let mut given = self.fields.iter().filter(|(known, _)| *known == name);
        match given.next() {
            Some((_, text)) if !text.is_empty() => Field::Given(text.clone()),
            _ => Field::Absent,
        }
    }

    /// What the file is called.
    pub(super) fn filename(&self, check: &mut Check) -> Option<Filename> {
        let named = self.file.as_ref().and_then(|file| file.filename.clone());
        let named = named.map_or(Field::Absent, Field::Given);
        check.required(FILE, named, Filename::new)
    }

    /// What kind of file it is said to be, where that can be read.
    pub(super) fn declared(&self) -> Option<MimeType> {
        mime_type(self.file.as_ref()?.content_type.as_ref()?).ok()
    }
}

/// At least so many bytes has the file of a body that is announced to have this many.
pub(super) fn least_bytes(body: u64) -> u64 {
    body.saturating_sub((FIELD_BYTES + AROUND_BYTES) as u64)
}

/// Refuses a form whose file is too large for certain, before any of it is read.
///
/// # Errors
/// 413 `file_too_large`.
pub(super) fn check_announced(request: &HttpRequest, limit: u64) -> Result<(), Problem> {
    match content_length(request) {
        Some(length) if least_bytes(length) > limit => Err(AppError::FileTooLarge { limit }.into()),
        _ => Ok(()),
    }
}

/// Reads a form to its end. Where its file begins, `begin` looks at what was said before it, and says where its bytes go; they are
/// not a file yet when this returns.
///
/// # Errors
/// Those of [`Multipart`] and of `begin`, 422 `validation_failed` for a file or field that is missing, stands there twice or is too
/// long, or the storage's error.
pub(super) async fn read(
    mut multipart: Multipart,
    known: &[&'static str],
    begin: impl AsyncFnOnce(&Form) -> Result<BlobIngest, Problem>,
) -> Result<(Form, BlobIngest), Problem> {
    let mut form = Form::default();
    let mut begin = Some(begin);
    let mut ingest = None;
    let mut room = FIELD_BYTES;
    while let Some(part) = multipart.next_part().await? {
        if part.name == FILE {
            let begin = begin.take().ok_or_else(|| twice(FILE))?;
            form.file = Some(part);
            let ingest = ingest.insert(begin(&form).await?);
            while let Some(bytes) = multipart.chunk().await? {
                ingest.write(bytes).await?;
            }
            continue;
        }
        let content = content(&mut multipart, &part.name, &mut room).await?;
        let Some(name) = known.iter().find(|name| **name == part.name) else {
            continue;
        };
        if form.fields.iter().any(|(there, _)| there == name) {
            return Err(twice(name));
        }
        let text = String::from_utf8(content).map_err(|_| wrong(name, "invalid_utf8", "must be UTF-8"))?;
        form.fields.push((name, text));
    }
    match ingest {
        Some(ingest) => Ok((form, ingest)),
        None => Err(wrong(FILE, "required", "must be given")),
    }
}

async fn content(multipart: &mut Multipart, name: &str, room: &mut usize) -> Result<Vec<u8>, Problem> {
    let mut content = Vec::new();
    while let Some(bytes) = multipart.chunk().await? {
        *room = room.checked_sub(bytes.len()).ok_or_else(|| {
            let message = format!("all fields together have at most {FIELD_BYTES} bytes");
            Problem::validation(vec![FieldError::new(name, "too_long", message)])
        })?;
        content.extend_from_slice(&bytes);
    }
    Ok(content)
}

fn twice(name: &str) -> Problem {
    wrong(name, "duplicate", "must be given once")
}

fn wrong(path: &str, code: &'static str, message: &'static str) -> Problem {
    Violations::from(Violation::new(code, message).at(path)).into()
}
