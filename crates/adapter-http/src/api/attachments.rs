//! The bytes behind resources: uploads in one request, uploads past the server, downloads.

use std::collections::BTreeMap;

use actix_web::web::{Data, Json, Payload};
use actix_web::{HttpRequest, HttpResponse};
use mosaic_application::attachments::NewFile;
use mosaic_application::uploads::DirectUpload;
use mosaic_domain::entity::{Entity as _, FileSize, Filename, KeptObject, Resource, Variant};
use mosaic_domain::{ResourceId, UploadId, UserId, Violations};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::form::{Form, least_bytes};
use super::records::{JsonResult, by_device};
use super::text_fields::{FILENAME, ID, MEMO_ID, METADATA, MIME_TYPE, mime_type};
use crate::admission::Load;
use crate::body::JsonBody;
use crate::caller::{Editor, SignedIn};
use crate::disposition::renamed;
use crate::entities::{ApiEntity, ResourceDto, Times};
use crate::field::{Check, Field, Int, from_text};
use crate::figures::Road;
use crate::file;
use crate::problem::{Problem, ProblemCode};
use crate::query::{Key, Query, query};
use crate::routes::Endpoint;
use crate::schema::{self, UnixMs};
use crate::state::AppState;
use crate::ticket;

/// What an upload can be refused with, in whatever way its bytes come.
const UPLOAD_PROBLEMS: [ProblemCode; 8] = [
    ProblemCode::DeletedConflict,
    ProblemCode::ContentDiffers,
    ProblemCode::FileTooLarge,
    ProblemCode::QuotaExceeded,
    ProblemCode::UnknownMemo,
    ProblemCode::MemoFull,
    ProblemCode::StorageUnavailable,
    ProblemCode::StorageFull,
];

/// What a download can be refused with.
pub(super) const DOWNLOAD_PROBLEMS: [ProblemCode; 5] = [
    ProblemCode::NotFound,
    ProblemCode::ContentMissing,
    ProblemCode::PreconditionFailed,
    ProblemCode::RangeNotSatisfiable,
    ProblemCode::StorageUnavailable,
];

const PICTURE_PROBLEMS: [ProblemCode; 5] = [
    ProblemCode::Deleted,
    ProblemCode::NotUploaded,
    ProblemCode::NotAPicture,
    ProblemCode::PictureTooLarge,
    // A smaller picture is kept.
    ProblemCode::StorageFull,
];

pub(super) fn endpoints() -> Vec<Endpoint> {
    const TAG: &str = Resource::TYPE.path();
    vec![
        Endpoint::get("/resources/{id}/download", "downloadResource", download)
            .takes(Load::Transfer)
            .or_ticket(ticket::RESOURCE)
            .about(TAG, "The bytes of a resource, or a smaller picture of it")
            .returns_file("The bytes")
            .problems(&PICTURE_PROBLEMS)
            .problems(&DOWNLOAD_PROBLEMS),
        Endpoint::get("/resources/{id}/thumbnail", "resourceThumbnail", thumbnail)
            .takes(Load::Transfer)
            .or_ticket(ticket::RESOURCE)
            .about(TAG, "A picture of 320 pixels on the longer side at most")
            .returns_file("The picture")
            .problems(&PICTURE_PROBLEMS)
            .problems(&DOWNLOAD_PROBLEMS),
        by_device(Endpoint::post("/resources/upload", "uploadResource", upload))
            .takes(Load::Transfer)
            .about(TAG, "Stores a file and its record")
            .details(
                "Sent again with the same `id` and the same bytes, it changes nothing. With the `id` of a resource that has \
                 no bytes yet, it brings them. Fields that come before the file are looked at before its bytes are read.",
            )
            .form::<UploadForm>()
            .returns::<ResourceDto>("The record as it is stored")
            .problems(&UPLOAD_PROBLEMS),
        by_device(Endpoint::post(
            "/resources/presigned-upload",
            "beginDirectUpload",
            begin_direct,
        ))
        .about(TAG, "Begins an upload into the storage, past this server")
        .details("Send the bytes to `uploadUrl` with `method` and `headers`, then confirm.")
        .body_limit(Resource::BODY_BYTES)
        .body::<DirectBody>()
        .returns::<DirectDto>("Where the bytes go")
        .problems(&[ProblemCode::NoDirectUploads, ProblemCode::TooManyUploads])
        .problems(&UPLOAD_PROBLEMS),
        Endpoint::post("/resources/confirm-upload", "confirmDirectUpload", confirm_direct)
            .about(TAG, "Makes a record of a file that was sent into the storage")
            .details("Sent again, it answers the same.")
            .body::<ConfirmBody>()
            .returns::<ResourceDto>("The record as it is stored")
            .problems(&[
                ProblemCode::NotFound,
                ProblemCode::Deleted,
                ProblemCode::UploadIncomplete,
                ProblemCode::UploadExpired,
            ])
            .problems(&UPLOAD_PROBLEMS),
    ]
}

query! {
    /// What is downloaded.
    struct DownloadQuery {
        /// A smaller picture: `thumb` has 320 pixels on the longer side at most, `opt` 1,600
        variant: Option<Variant> = "variant",
    }
}

async fn download(
    caller: SignedIn,
    id: Key<ResourceId>,
    query: Query<DownloadQuery>,
    request: HttpRequest,
    state: Data<AppState>,
) -> Result<HttpResponse, Problem> {
    give(&request, &state, caller.user(), id.0, query.0.variant).await
}

async fn thumbnail(
    caller: SignedIn,
    id: Key<ResourceId>,
    request: HttpRequest,
    state: Data<AppState>,
) -> Result<HttpResponse, Problem> {
    give(&request, &state, caller.user(), id.0, Some(Variant::Thumb)).await
}

async fn give(
    request: &HttpRequest,
    state: &AppState,
    user: UserId,
    id: ResourceId,
    variant: Option<Variant>,
) -> Result<HttpResponse, Problem> {
    let found = state.attachments.file(user, id, variant).await?;
    let name = found.filename.as_ref().map_or("", Filename::as_str);
    let name = match variant {
        Some(_) => renamed(name, &found.mime_type),
        None => name.to_owned(),
    };
    file::send(request, state, found, &name).await
}

/// A file, and what is said of it.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
#[expect(
    dead_code,
    reason = "describes the form for the OpenAPI document; its parts are read as they come"
)]
struct UploadForm {
    /// The bytes, with the name of the file.
    #[schema(value_type = String, format = Binary)]
    file: String,
    /// Of the resource: a UUID that the client made, so that a retry makes no twin.
    #[schema(value_type = schema::FilledId, required = false)]
    id: Option<String>,
    /// A memo of the same user.
    #[schema(value_type = schema::FilledId, required = false)]
    memo_id: Option<String>,
    /// Instead of the file's own.
    #[schema(value_type = schema::FilledFilename, required = false)]
    filename: Option<String>,
    /// Instead of the file's own.
    #[schema(value_type = schema::FilledType, required = false)]
    mime_type: Option<String>,
    /// A JSON object, as text.
    #[schema(value_type = schema::KeptObject, required = false)]
    metadata: Option<String>,
    #[schema(value_type = schema::FilledTime, required = false)]
    created_at: Option<i64>,
    #[schema(value_type = schema::FilledTime, required = false)]
    updated_at: Option<i64>,
}

/// What a form says so far of its file.
fn read(form: &Form) -> Result<(NewFile, Times), Violations> {
    let mut check = Check::default();
    let filename = match form.fields.get(FILENAME) {
        Field::Absent => form.filename(&mut check),
        named => check.required(FILENAME, named, Filename::new),
    };
    let declared = check.optional(MIME_TYPE, form.fields.get(MIME_TYPE), mime_type);
    let declared = declared.or_else(|| form.declared());
    let file = form.fields.file(&mut check, filename, declared);
    check.finish(file)
}

async fn upload(
    editor: Editor,
    request: HttpRequest,
    payload: Payload,
    state: Data<AppState>,
) -> JsonResult<ResourceDto> {
    let attachments = &state.attachments;
    let (idle, limit) = (state.downloads.upload_idle, attachments.limits().file_bytes);
    let mut form = Form::open(&request, payload, idle, limit).await?;
    let (file, times) = read(&form)?;
    let by = editor.edit(times);
    attachments.check(&by, &file, least_bytes(&request)).await?;
    let mut ingest = attachments.receive(by.user).await?;
    form.receive(&mut ingest).await?;
    // Fields may stand behind the file.
    let (file, times) = read(&form)?;
    let resource = attachments.complete(editor.edit(times), file, ingest).await?;
    state.figures.upload_stored(Road::Form);
    Ok(Json(resource.into()))
}

/// What is said of a file that is sent past the server.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[schema(as = DirectUpload)]
#[serde(rename_all = "camelCase")]
struct DirectBody {
    /// Of the resource: a UUID that the client made, so that a retry makes no twin.
    #[schema(value_type = Option<schema::Id>)]
    #[serde(default)]
    id: Field<String>,
    /// A memo of the same user.
    #[schema(value_type = Option<schema::Id>)]
    #[serde(default)]
    memo_id: Field<String>,
    /// A name, never a path.
    #[schema(value_type = schema::Filename, required)]
    #[serde(default)]
    filename: Field<String>,
    #[schema(value_type = schema::DeclaredType, required = false)]
    #[serde(default)]
    mime_type: Field<String>,
    /// Bytes: exactly as many as will be sent.
    #[schema(value_type = schema::Count, required)]
    #[serde(default)]
    file_size: Field<Int>,
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

impl DirectBody {
    fn parse(self) -> Result<(FileSize, NewFile, Times), Violations> {
        let mut check = Check::default();
        let id = check.nullable(ID, self.id, from_text).flatten();
        let memo_id = check.nullable(MEMO_ID, self.memo_id, from_text).flatten();
        let filename = check.required(FILENAME, self.filename, Filename::new);
        let declared = check.optional(MIME_TYPE, self.mime_type, mime_type);
        let size = check.required("fileSize", self.file_size, |Int(bytes)| FileSize::new(bytes));
        let metadata = check.optional(METADATA, self.metadata, Ok);
        let times = Times {
            created_at: check.created_at(self.created_at),
            updated_at: check.updated_at(self.updated_at),
        };
        let named = size.zip(filename);
        check.finish(named.map(|(size, filename)| {
            let file = NewFile {
                id,
                memo_id,
                filename,
                declared,
                metadata,
            };
            (size, file, times)
        }))
    }
}

/// Where the bytes of a file go.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DirectUploadBegun)]
#[serde(rename_all = "camelCase")]
struct DirectDto {
    /// For the confirmation.
    #[schema(value_type = schema::Id)]
    upload_id: String,
    /// The resource that it becomes.
    #[schema(value_type = schema::Id)]
    resource_id: String,
    /// Where all bytes go, in one request.
    upload_url: String,
    method: &'static str,
    /// What has to be sent with them.
    headers: BTreeMap<&'static str, String>,
    /// When the address stops working, in Unix milliseconds.
    #[schema(value_type = UnixMs)]
    expires_at: i64,
}

impl From<DirectUpload> for DirectDto {
    fn from(begun: DirectUpload) -> Self {
        Self {
            upload_id: begun.upload.id.to_string(),
            resource_id: begun.upload.resource.to_string(),
            upload_url: begun.address,
            method: "PUT",
            headers: BTreeMap::new(),
            expires_at: begun.expires_at.get(),
        }
    }
}

async fn begin_direct(
    editor: Editor,
    state: Data<AppState>,
    body: JsonBody<DirectBody>,
) -> JsonResult<DirectDto> {
    let (size, file, times) = body.0.parse()?;
    let bytes = u64::try_from(size.get()).map_err(Problem::internal)?;
    let begun = state
        .uploads
        .begin_direct(&editor.edit(times), bytes, file, state.downloads.direct_for)
        .await?;
    state.figures.upload_begun(Road::Direct);
    Ok(Json(begun.into()))
}

/// A direct upload whose bytes were sent.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[schema(as = ConfirmDirectUpload)]
#[serde(rename_all = "camelCase")]
struct ConfirmBody {
    #[schema(value_type = schema::Id, required)]
    #[serde(default)]
    upload_id: Field<String>,
}

async fn confirm_direct(
    caller: SignedIn,
    state: Data<AppState>,
    body: JsonBody<ConfirmBody>,
) -> JsonResult<ResourceDto> {
    let mut check = Check::default();
    let id = check.required("uploadId", body.0.upload_id, from_text::<UploadId>);
    let id = check.finish(id)?;
    let resource = state.uploads.confirm(&caller.0, id).await?;
    state.figures.upload_stored(Road::Direct);
    Ok(Json(resource.into()))
}
