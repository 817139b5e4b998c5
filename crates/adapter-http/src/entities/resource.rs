//! Resources on the wire: the records of attachments. The bytes have routes of their own.

use mosaic_application::AppError;
use mosaic_application::records::{Draft, EditBy};
use mosaic_domain::entity::{FileSize, Filename, MimeType, Resource, ResourcePatch, StorageType};
use mosaic_domain::text::JsonObject;
use mosaic_domain::{Entity, Live, ResourceId, RevisionId, UserId, Violation, Violations};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::{Amendment, Submitted, Times, Wire, answers_the_record};
use crate::field::{Check, Field, Int, UnixMs, from_text, sort_order};
use crate::names::{KindName, StorageName};
use crate::state::AppState;

/// What an attachment is that does not say what it is.
const DEFAULT_MIME_TYPE: &str = "application/octet-stream";

/// The record of an attachment.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[schema(as = Resource)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ResourceDto {
    #[schema(format = Uuid)]
    id: String,
    #[schema(format = Uuid, required)]
    memo_id: Option<String>,
    /// A name, never a path.
    filename: String,
    /// Follows from the MIME type.
    #[schema(value_type = KindName)]
    resource_type: &'static str,
    mime_type: String,
    /// Bytes.
    file_size: i64,
    /// Of the content, in hex; null until it is uploaded.
    #[schema(required)]
    sha256: Option<String>,
    #[schema(value_type = StorageName)]
    storage_type: &'static str,
    /// Where the bytes are.
    url: String,
    #[schema(required)]
    thumbnail_url: Option<String>,
    /// Its place among the memo's resources.
    sort_order: i64,
    /// Kept as given.
    #[schema(value_type = Object)]
    metadata: Map<String, Value>,
    /// Unix milliseconds.
    created_at: i64,
    /// The edit time, in Unix milliseconds: the newest edit wins.
    updated_at: i64,
}

impl From<Live<Resource>> for ResourceDto {
    fn from(live: Live<Resource>) -> Self {
        let resource = live.content;
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
            thumbnail_url: None,
            sort_order: resource.sort_order,
            metadata: resource.metadata.into(),
            created_at: live.created_at.get(),
            updated_at: live.version.time.get(),
        }
    }
}

/// A resource to store, without its bytes.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct NewResource {
    /// A UUID that the client made, so that a retry makes no twin.
    #[schema(value_type = String, format = Uuid, required = false)]
    #[serde(default)]
    id: Field<String>,
    /// A memo of the same user.
    #[schema(value_type = Option<String>, format = Uuid)]
    #[serde(default)]
    memo_id: Field<String>,
    /// A name, never a path.
    #[schema(value_type = String, min_length = 1, max_length = 255, required)]
    #[serde(default)]
    filename: Field<String>,
    #[schema(value_type = String, max_length = 127, required = false, default = "application/octet-stream")]
    #[serde(default)]
    mime_type: Field<String>,
    /// Bytes.
    #[schema(value_type = i64, minimum = 0, required)]
    #[serde(default)]
    file_size: Field<Int>,
    /// In hex.
    #[schema(value_type = Option<String>, min_length = 64, max_length = 64)]
    #[serde(default)]
    sha256: Field<String>,
    #[schema(value_type = StorageName, required = false, default = "local")]
    #[serde(default)]
    storage_type: Field<String>,
    /// Its place among the memo's resources; after the last where it is not given.
    #[schema(value_type = i32, required = false)]
    #[serde(default)]
    sort_order: Field<Int>,
    /// Up to 16 KiB of JSON, 16 levels deep.
    #[schema(value_type = Object, required = false)]
    #[serde(default)]
    metadata: Field<Map<String, Value>>,
    #[schema(value_type = UnixMs, required = false)]
    #[serde(default)]
    created_at: Field<Int>,
    #[schema(value_type = UnixMs, required = false)]
    #[serde(default)]
    updated_at: Field<Int>,
}

/// Some fields of a resource.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EditResource {
    /// A memo of the same user; `null` detaches.
    #[schema(value_type = Option<String>, format = Uuid)]
    #[serde(default)]
    memo_id: Field<String>,
    /// A name, never a path.
    #[schema(value_type = String, min_length = 1, max_length = 255, required = false)]
    #[serde(default)]
    filename: Field<String>,
    #[schema(value_type = String, max_length = 127, required = false)]
    #[serde(default)]
    mime_type: Field<String>,
    /// Bytes.
    #[schema(value_type = i64, minimum = 0, required = false)]
    #[serde(default)]
    file_size: Field<Int>,
    /// In hex.
    #[schema(value_type = Option<String>, min_length = 64, max_length = 64)]
    #[serde(default)]
    sha256: Field<String>,
    #[schema(value_type = StorageName, required = false)]
    #[serde(default)]
    storage_type: Field<String>,
    #[schema(value_type = i32, required = false)]
    #[serde(default)]
    sort_order: Field<Int>,
    /// Up to 16 KiB of JSON, 16 levels deep.
    #[schema(value_type = Object, required = false)]
    #[serde(default)]
    metadata: Field<Map<String, Value>>,
    #[schema(value_type = UnixMs, required = false)]
    #[serde(default)]
    created_at: Field<Int>,
    #[schema(value_type = UnixMs, required = false)]
    #[serde(default)]
    updated_at: Field<Int>,
}

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
    type Shown = ResourceDto;
    type New = NewResource;
    type Edit = EditResource;

    fn parse_new(body: NewResource) -> Result<Submitted<Self>, Violations> {
        let mut check = Check::default();
        let key = check.optional("id", body.id, from_text);
        let memo_id = check.nullable("memoId", body.memo_id, from_text).flatten();
        let filename = check.required("filename", body.filename, Filename::new);
        let mime_given = match body.mime_type {
            Field::Absent => Field::Given(DEFAULT_MIME_TYPE.to_owned()),
            given => given,
        };
        let mime_type = check.optional("mimeType", mime_given, mime_type);
        let file_size = check.required("fileSize", body.file_size, file_size);
        let sha256 = check.nullable("sha256", body.sha256, from_text).flatten();
        let storage_type = check
            .optional("storageType", body.storage_type, from_text)
            .unwrap_or(StorageType::Local);
        let place = check.optional("sortOrder", body.sort_order, sort_order);
        let metadata = check
            .optional("metadata", body.metadata, JsonObject::new)
            .unwrap_or_default();
        let times = Times {
            created_at: check.created_at(body.created_at),
            updated_at: check.updated_at(body.updated_at),
        };
        let named = filename.zip(mime_type).zip(file_size);
        let content = named.map(|((filename, mime_type), file_size)| Self {
            memo_id,
            filename,
            mime_type,
            file_size,
            sha256,
            storage_type,
            sort_order: place.unwrap_or_default(),
            metadata,
        });
        let draft = content.map(|content| Draft {
            content,
            unplaced: place.is_none(),
            attachments: None,
        });
        check.finish(draft.map(|draft| Submitted { key, times, draft }))
    }

    fn parse_edit(body: EditResource) -> Result<Amendment<Self>, Violations> {
        let mut check = Check::default();
        let patch = ResourcePatch {
            memo_id: check.nullable("memoId", body.memo_id, from_text),
            filename: check.optional("filename", body.filename, Filename::new),
            mime_type: check.optional("mimeType", body.mime_type, mime_type),
            file_size: check.optional("fileSize", body.file_size, file_size),
            sha256: check.nullable("sha256", body.sha256, from_text),
            storage_type: check.optional("storageType", body.storage_type, from_text),
            sort_order: check.optional("sortOrder", body.sort_order, sort_order),
            metadata: check.optional("metadata", body.metadata, JsonObject::new),
        };
        let times = Times {
            created_at: check.created_at(body.created_at),
            updated_at: check.updated_at(body.updated_at),
        };
        check.finish(Some(Amendment {
            times,
            patch,
            attachments: None,
        }))
    }

    answers_the_record!();
}
