//! Resources on the wire: the records of attachments. The bytes have routes of their own.

use mosaic_application::AppError;
use mosaic_application::records::{Draft, EditBy};
use mosaic_domain::entity::{FileSize, Filename, KeptObject, MimeType, Resource, ResourcePatch};
use mosaic_domain::{Live, RevisionId, UserId, Violation};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{PatchRequest, Times, Wire, answers_the_record, describes_new};
use crate::field::{Check, Field, Int, from_text, sort_order};
use crate::names::{KindName, StorageName};
use crate::schema::{self, UnixMs};
use crate::state::AppState;

/// The record of an attachment.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[schema(as = Resource)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ResourceDto {
    #[schema(value_type = schema::Id)]
    id: String,
    #[schema(value_type = Option<schema::Id>, required)]
    memo_id: Option<String>,
    #[schema(value_type = schema::Filename)]
    filename: String,
    /// Follows from the MIME type.
    #[schema(value_type = KindName)]
    resource_type: &'static str,
    #[schema(value_type = schema::MimeType)]
    mime_type: String,
    /// Bytes.
    #[schema(value_type = schema::Count)]
    file_size: i64,
    /// Of the content, in hex; null until it is uploaded.
    #[schema(value_type = Option<schema::Sha256>, required)]
    sha256: Option<String>,
    #[schema(value_type = StorageName)]
    storage_type: &'static str,
    /// Where the bytes are.
    #[schema(value_type = schema::PictureAddress)]
    url: String,
    /// Where a smaller picture is; null where none can be made.
    #[schema(value_type = Option<schema::PictureAddress>, required)]
    thumbnail_url: Option<String>,
    /// Its place among the memo's resources.
    #[schema(value_type = schema::SortOrder)]
    sort_order: i64,
    /// Kept as given.
    #[schema(value_type = schema::KeptObject)]
    metadata: KeptObject,
    #[schema(value_type = UnixMs)]
    created_at: i64,
    /// The edit time, in Unix milliseconds: the newest edit wins.
    #[schema(value_type = UnixMs)]
    updated_at: i64,
}

impl From<Live<Resource>> for ResourceDto {
    fn from(live: Live<Resource>) -> Self {
        let resource = live.content;
        let thumbnail_url = resource
            .has_thumbnail()
            .then(|| format!("/api/resources/{}/thumbnail", live.key));
        Self {
            id: live.key.to_string(),
            memo_id: resource.memo_id.map(|id| id.to_string()),
            filename: resource.filename.into(),
            resource_type: resource.mime_type.kind().name(),
            mime_type: resource.mime_type.into(),
            file_size: resource.file_size.get(),
            sha256: resource.sha256.map(String::from),
            storage_type: resource.storage_type.name(),
            url: format!("/api/resources/{}/download", live.key),
            thumbnail_url,
            sort_order: resource.sort_order,
            metadata: resource.metadata,
            created_at: live.created_at.get(),
            updated_at: live.version.time.get(),
        }
    }
}

/// Some fields of a resource, or all of them; never its bytes.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[schema(as = EditResource)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ResourceBody {
    #[schema(ignore)]
    #[serde(default)]
    id: Field<String>,
    /// A memo of the same user; `null` detaches.
    #[schema(value_type = Option<schema::Id>)]
    #[serde(default)]
    memo_id: Field<String>,
    /// A name, never a path.
    #[schema(value_type = schema::Filename, required = false)]
    #[serde(default)]
    filename: Field<String>,
    /// `application/octet-stream` for a new resource that does not say.
    #[schema(value_type = schema::MimeType, required = false)]
    #[serde(default)]
    mime_type: Field<String>,
    /// Bytes.
    #[schema(value_type = schema::Count, required = false)]
    #[serde(default)]
    file_size: Field<Int>,
    /// In hex.
    #[schema(value_type = Option<schema::Sha256>)]
    #[serde(default)]
    sha256: Field<String>,
    /// `local` for a new resource that does not say.
    #[schema(value_type = StorageName, required = false)]
    #[serde(default)]
    storage_type: Field<String>,
    /// Its place among the memo's resources. A new one that does not say comes last.
    #[schema(value_type = schema::SortOrder, required = false)]
    #[serde(default)]
    sort_order: Field<Int>,
    /// Up to 16 KiB of JSON, 16 levels deep.
    #[schema(value_type = schema::KeptObject, required = false)]
    #[serde(default)]
    metadata: Field<KeptObject>,
    #[schema(value_type = UnixMs, required = false)]
    #[serde(default)]
    created_at: Field<Int>,
    #[schema(value_type = UnixMs, required = false)]
    #[serde(default)]
    updated_at: Field<Int>,
}

describes_new!(NewResource: ResourceBody with "filename", "fileSize");

fn mime_type(text: impl AsRef<str>) -> Result<MimeType, Violation> {
    MimeType::new(text.as_ref())
}

fn file_size(Int(bytes): Int) -> Result<FileSize, Violation> {
    FileSize::new(bytes)
}

impl Wire for Resource {
    const PATH: &'static str = "resources";
    const KEY: &'static str = "id";
    const FOREIGN_KEY: &'static str = "resourceId";
    const BODY_BYTES: usize = 256 * 1024;
    type Shown = ResourceDto;
    type Body = ResourceBody;
    type New = NewResource;
    type Edit = ResourceBody;

    fn own_key(body: &ResourceBody) -> Field<String> {
        body.id.clone()
    }

    fn read_fields(body: ResourceBody, check: &mut Check) -> PatchRequest<Self> {
        let patch = ResourcePatch {
            memo_id: check.nullable("memoId", body.memo_id, from_text),
            filename: check.essential("filename", body.filename, Filename::new),
            mime_type: check.optional("mimeType", body.mime_type, mime_type),
            file_size: check.essential("fileSize", body.file_size, file_size),
            sha256: check.nullable("sha256", body.sha256, from_text),
            storage_type: check.optional("storageType", body.storage_type, from_text),
            sort_order: check.optional("sortOrder", body.sort_order, sort_order),
            metadata: check.optional("metadata", body.metadata, Ok),
        };
        PatchRequest {
            times: Times::read(body.created_at, body.updated_at, check),
            patch,
            attachments: None,
        }
    }

    answers_the_record!();
}
