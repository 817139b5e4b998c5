//! Rows about attachments: contents, their smaller pictures, avatars, uploads.

use mosaic_domain::attachment::{
    Avatar, ContentRef, Upload, UploadKind, UploadPart, UploadState, VariantRef,
};
use mosaic_domain::entity::MimeType;
use mosaic_domain::{AvatarId, ResourceId, UploadId};

use super::{Columns, count, flag, id, parsed, sha256, size, some, time, valid};

/// The columns of `contents` that [`content`] reads.
pub const CONTENT_COLUMNS: &str = "sha256, blob_id, size, touched_at";
/// The columns of `content_variants` that [`variant`] reads.
pub const VARIANT_COLUMNS: &str = "variant, blob_id, size, mime_type";
/// The columns of `avatars` that [`avatar`] reads.
pub const AVATAR_COLUMNS: &str = "avatar_id, sha256, mime_type, created_at";
/// The columns of `uploads`, called `u`, that [`upload`] reads first.
pub const UPLOAD_COLUMNS: &str = "u.upload_id, u.resource_id, u.client_id, u.length, u.direct_blob_id, u.fields, \
    u.created_at, u.expires_at, u.is_finished, u.is_deferred";
/// The columns of `upload_parts` that [`part`] reads.
pub const PART_COLUMNS: &str = "part_offset, size, blob_id";

/// Reads which blob holds a content.
///
/// # Errors
/// A column that can't be read. So for all that follow.
pub fn content<C: Columns>(row: &C) -> Result<ContentRef, C::Error> {
    Ok(ContentRef {
        sha256: sha256(row, 0, "contents.sha256")?,
        blob: id(row, 1, "contents.blob_id")?,
        size: size(row, 2, "contents.size")?,
        touched_at: time(row, 3, "contents.touched_at")?,
    })
}

/// Reads a smaller picture.
///
/// # Errors
/// As [`content`].
pub fn variant<C: Columns>(row: &C) -> Result<VariantRef, C::Error> {
    Ok(VariantRef {
        variant: parsed(row, 0, "content_variants.variant")?,
        blob: id(row, 1, "content_variants.blob_id")?,
        size: size(row, 2, "content_variants.size")?,
        mime_type: mime_type(row, 3, "content_variants.mime_type")?,
    })
}

/// Reads an avatar.
///
/// # Errors
/// As [`content`].
pub fn avatar<C: Columns>(row: &C) -> Result<Avatar, C::Error> {
    Ok(Avatar {
        id: AvatarId::new(id(row, 0, "avatars.avatar_id")?),
        sha256: sha256(row, 1, "avatars.sha256")?,
        mime_type: mime_type(row, 2, "avatars.mime_type")?,
        created_at: time(row, 3, "avatars.created_at")?,
    })
}

/// Reads an upload: [`UPLOAD_COLUMNS`], then how many bytes came of it, and in how many parts.
///
/// # Errors
/// As [`content`].
pub fn upload<C: Columns>(row: &C) -> Result<UploadState, C::Error> {
    let upload = Upload {
        id: UploadId::new(id(row, 0, "uploads.upload_id")?),
        resource: ResourceId::new(id(row, 1, "uploads.resource_id")?),
        author: parsed(row, 2, "uploads.client_id")?,
        length: size(row, 3, "uploads.length")?,
        is_deferred: flag(row, 9, "uploads.is_deferred")?,
        kind: UploadKind::of(row.uuid(4, "uploads.direct_blob_id")?),
        fields: some(row.text(5, "uploads.fields")?, "uploads.fields")?.to_owned(),
        created_at: time(row, 6, "uploads.created_at")?,
        expires_at: time(row, 7, "uploads.expires_at")?,
    };
    let finished = flag(row, 8, "uploads.is_finished")?;
    let (received, parts) = (size(row, 10, "upload_parts.size")?, count(row, 11, "count")?);
    Ok(UploadState::new(upload, received, parts, finished))
}

/// Reads a part of an upload.
///
/// # Errors
/// As [`content`].
pub fn part<C: Columns>(row: &C) -> Result<UploadPart, C::Error> {
    Ok(UploadPart {
        offset: size(row, 0, "upload_parts.part_offset")?,
        size: size(row, 1, "upload_parts.size")?,
        blob: id(row, 2, "upload_parts.blob_id")?,
    })
}

fn mime_type<C: Columns>(row: &C, at: usize, what: &'static str) -> Result<MimeType, C::Error> {
    valid(MimeType::new(some(row.text(at, what)?, what)?), what)
}
