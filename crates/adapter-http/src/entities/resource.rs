//! Resources on the wire: the records of attachments. The bytes have routes of their own.

use std::borrow::Cow;

use mosaic_domain::MemoId;
use mosaic_domain::entity::{
    FileSize, Filename, KeptObject, MimeType, Resource, ResourcePatch, Sha256, StorageType,
};
use serde::Serialize;
use utoipa::ToSchema;

use super::declare::fields;
use super::entity::ApiEntity;
use super::record::RecordDto;
use crate::names::KindName;
use crate::schema;

fields! {
    /// The record of an attachment.
    Resource, edited by ResourcePatch, sent as ResourceBody {
        /// A memo of the same user; `null` detaches.
        memo_id: Option<MemoId> = "memoId",
        /// A name, never a path.
        filename: Filename = "filename",
        /// `application/octet-stream` for a new resource that does not say.
        mime_type: MimeType = "mimeType",
        /// Bytes.
        file_size: FileSize = "fileSize",
        /// Of the content, in hex; null until it is uploaded.
        sha256: Option<Sha256> = "sha256",
        /// `local` for a new resource that does not say.
        storage_type: StorageType = "storageType",
        /// Its place among the memo's resources. A new one that does not say comes last.
        sort_order: i64 = "sortOrder",
        /// Kept as given: up to 16 KiB of JSON, 16 levels deep.
        metadata: KeptObject = "metadata",
    }
}

/// What the server says of a resource besides.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct OfResource {
    /// Follows from the MIME type.
    #[schema(value_type = KindName)]
    resource_type: &'static str,
    /// Where the bytes are.
    #[schema(value_type = schema::PictureAddress)]
    url: String,
    /// Where a smaller picture is; null where none can be made.
    #[schema(value_type = Option<schema::PictureAddress>, required)]
    thumbnail_url: Option<String>,
}

impl ApiEntity for Resource {
    const FOREIGN_KEY: &'static str = "resourceId";
    const BODY_BYTES: usize = 256 * 1024;
    type Derived = OfResource;

    fn derived<'a, X>(
        key: Self::Key,
        _: u32,
        fields: impl FnOnce() -> Result<Cow<'a, Self>, X>,
    ) -> Result<OfResource, X> {
        let resource = fields()?;
        let thumbnail = || format!("/api/resources/{key}/thumbnail");
        Ok(OfResource {
            resource_type: resource.mime_type.kind().name(),
            url: format!("/api/resources/{key}/download"),
            thumbnail_url: resource.has_thumbnail().then(thumbnail),
        })
    }
}

/// A [`Resource`] in a response.
pub(crate) type ResourceDto = RecordDto<Resource>;
