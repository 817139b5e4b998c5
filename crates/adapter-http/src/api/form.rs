//! Forms with one file and some fields, in any order: what an upload and an avatar have in common.

use std::time::Duration;

use actix_web::HttpRequest;
use actix_web::web::Payload;
use mosaic_application::AppError;
use mosaic_application::attachments::BlobIngest;
use mosaic_domain::entity::{Filename, MimeType};
use mosaic_domain::{Violation, Violations};

use super::text_fields::{TextFields, mime_type, utf8};
use crate::content_length::content_length;
use crate::field::{Check, Field};
use crate::multipart::{AROUND_BYTES, Multipart, Part};
use crate::problem::{FieldError, Problem};

/// The part with the file.
pub(super) const FILE: &str = "file";
/// The fields of a form may have so many bytes together, those that nobody knows included.
const FIELD_BYTES: usize = 64 * 1024;

/// A form that is being read.
#[derive(Debug)]
pub(super) struct Form {
    multipart: Multipart,
    /// Those that came so far.
    pub(super) fields: TextFields,
    file: Option<Part>,
    /// How many more bytes the fields may have.
    room: usize,
}

impl Form {
    /// Reads a form up to the bytes of its file, which may have so many. A client that sends nothing for as long as `idle` is given
    /// up, also later.
    ///
    /// # Errors
    /// 413 `file_too_large` where that is certain before any of it is read, those of [`Multipart`], 422 `validation_failed` for a
    /// file that is missing or fields that are too long.
    pub(super) async fn open(
        request: &HttpRequest,
        payload: Payload,
        idle: Duration,
        limit: u64,
    ) -> Result<Self, Problem> {
        if least_bytes(request).is_some_and(|bytes| bytes > limit) {
            return Err(AppError::FileTooLarge { limit }.into());
        }
        let mut form = Self {
            multipart: Multipart::open(request, payload.into_inner(), idle)?,
            fields: TextFields::default(),
            file: None,
            room: FIELD_BYTES,
        };
        let file = form.next_file().await?;
        form.file = Some(file.ok_or_else(|| wrong("required", "must be given"))?);
        Ok(form)
    }

    /// Reads the rest of the form: the bytes of its file, and the fields behind them. They are not a file yet when this returns.
    ///
    /// # Errors
    /// As [`Form::open`], 422 `validation_failed` for a second file, or the storage's error.
    pub(super) async fn receive(&mut self, ingest: &mut BlobIngest) -> Result<(), Problem> {
        while let Some(bytes) = self.multipart.chunk().await? {
            ingest.write(bytes).await?;
        }
        match self.next_file().await? {
            None => Ok(()),
            Some(_) => Err(wrong("duplicate", "must be given once")),
        }
    }

    /// What the file is called.
    pub(super) fn filename(&self, check: &mut Check) -> Option<Filename> {
        let named = self.file.as_ref().and_then(|file| file.filename.clone());
        let named = named.map_or(Field::Absent, Field::Given);
        check.required(FILE, named, Filename::new)
    }

    /// What kind of file the client says that it is, where that can be read.
    pub(super) fn declared(&self) -> Option<MimeType> {
        mime_type(self.file.as_ref()?.content_type.as_ref()?).ok()
    }

    /// Reads fields until a file begins. `None`: the form has ended.
    async fn next_file(&mut self) -> Result<Option<Part>, Problem> {
        while let Some(part) = self.multipart.next_part().await? {
            if part.name == FILE {
                return Ok(Some(part));
            }
            let content = self.content(&part.name).await?;
            if !self.fields.insert(&part.name, utf8(content)) {
                let twice = Violation::new("duplicate", "must be given once");
                self.fields.insert(&part.name, Field::Wrong(twice));
            }
        }
        Ok(None)
    }

    async fn content(&mut self, name: &str) -> Result<Vec<u8>, Problem> {
        let mut content = Vec::new();
        while let Some(bytes) = self.multipart.chunk().await? {
            self.room = self.room.checked_sub(bytes.len()).ok_or_else(|| {
                let message = format!("all fields together have at most {FIELD_BYTES} bytes");
                Problem::validation(vec![FieldError::new(name, "too_long", message)])
            })?;
            content.extend_from_slice(&bytes);
        }
        Ok(content)
    }
}

/// At least so many bytes has the file of a form whose length is announced.
pub(super) fn least_bytes(request: &HttpRequest) -> Option<u64> {
    let around = (FIELD_BYTES + AROUND_BYTES) as u64;
    content_length(request).map(|length| length.saturating_sub(around))
}

fn wrong(code: &'static str, message: &'static str) -> Problem {
    Violations::from(Violation::new(code, message).at(FILE)).into()
}
