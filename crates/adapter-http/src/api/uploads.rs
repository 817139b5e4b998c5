//! Resumable uploads by the protocol tus 1.0.0, with creation (also with the first bytes, or without a length), termination,
//! expiration and checksums.
//!
//! A request whose bytes break off or stall leaves what came; one that begins an upload with them leaves nothing. No limit for
//! bodies holds here but the announced length.

mod headers;
mod metadata;

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{ALLOW, HeaderValue, LOCATION};
use actix_web::http::{Method, StatusCode};
use actix_web::middleware::Next;
use actix_web::web::{Bytes, Data, Payload};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder, rt};
use futures_util::{Stream, stream};
use mosaic_application::AppError;
use mosaic_application::sessions::Actor;
use mosaic_application::uploads::{AppendRequest, UploadProgress, Uploads};
use mosaic_domain::attachment::{Upload, UploadKind};
use mosaic_domain::header::{CLIENT_ID, CLIENT_TIME};
use mosaic_domain::{UploadId, UserId};

use self::headers::Tus;
use crate::admission::Load;
use crate::body::{check_unpacked, next_bytes};
use crate::caller::{Editor, SignedIn};
use crate::content_length::content_length;
use crate::figures::Road;
use crate::problem::{Problem, ProblemCode};
use crate::query::Key;
use crate::routes::Endpoint;
use crate::schema::{self, UnixMs};
use crate::state::AppState;

/// The headers that web pages send for uploads.
pub(crate) const REQUEST_HEADERS: [&str; 8] = [
    "tus-resumable",
    "upload-length",
    "upload-offset",
    "upload-metadata",
    "upload-checksum",
    "upload-concat",
    "upload-defer-length",
    "x-http-method-override",
];
/// The headers that web pages read of what is answered to uploads.
pub(crate) const RESPONSE_HEADERS: [&str; 12] = [
    "location",
    "tus-resumable",
    "tus-version",
    "tus-extension",
    "tus-max-size",
    "tus-checksum-algorithm",
    "upload-offset",
    "upload-length",
    "upload-defer-length",
    "upload-metadata",
    "upload-expires",
    "x-mosaic-resource-id",
];

const PATH: &str = "/uploads";
const TAG: &str = "uploads";

pub(super) fn endpoints() -> Vec<Endpoint> {
    let one = format!("{PATH}/{{id}}");
    let begin = versioned(Endpoint::post(PATH, "beginUpload", begin))
        .takes(Load::Transfer)
        .about(TAG, "Begins a resumable upload")
        .details(
            "`Upload-Metadata` has pairs of a name and a text in base64, separated by commas: `filename`, and optionally \
             `filetype` (a MIME type), `id` (of the resource), `memoId`, `metadata` (a JSON object), `createdAt` and \
             `updatedAt` (Unix milliseconds, in digits). Others are ignored. The resource is written with the last byte; an \
             upload of no bytes is complete at once. With the content type `application/offset+octet-stream` the body has the first \
             bytes, or all of them: where they break off or are refused, nothing has begun. `Upload-Concat` is refused: that extension is \
             not spoken here.",
        )
        .header::<schema::Count>("Upload-Length", "The bytes of the file")
        .header::<schema::Deferred>(
            headers::DEFERRED,
            "`1`, in the place of `Upload-Length`, which comes with bytes later: until then as many count as a file may have",
        )
        .required_header::<schema::UploadMetadata>("Upload-Metadata", "What is said of the file")
        .header::<schema::ClientIdHeader>(CLIENT_ID, "The device that uploads")
        .header::<UnixMs>(CLIENT_TIME, "The device's own clock, in Unix milliseconds")
        .header::<schema::UploadChecksum>("Upload-Checksum", CHECKSUM)
        .may_take_bytes(headers::BYTES)
        .returns_headers(
            201,
            "It has begun",
            &[("Location", "Where the bytes go"), OFFSET, EXPIRES, RESOURCE],
        )
        .problems(&BYTES_PROBLEMS)
        .problems(&[
            ProblemCode::InvalidUploadHeader,
            ProblemCode::DeletedConflict,
            ProblemCode::FileTooLarge,
            ProblemCode::QuotaExceeded,
            ProblemCode::EditTimeAhead,
            ProblemCode::UnknownMemo,
            ProblemCode::MemoFull,
            ProblemCode::TooManyUploads,
        ]);
    let show = versioned(Endpoint::new(Method::HEAD, &one, "showUpload", show))
        .about(TAG, "How far a resumable upload has come")
        .returns_headers(200, "The upload", &STATE)
        .problems(&GONE)
        .problems(&[ProblemCode::UploadBusy, ProblemCode::UploadRefused]);
    let append = append_endpoint(Endpoint::patch(&one, "continueUpload", append))
        .takes(Load::Transfer)
        .about(TAG, "Goes on with a resumable upload");
    let end = versioned(Endpoint::delete(&one, "endUpload", end))
        .about(TAG, "Gives a resumable upload up")
        .details("What it has become, where it was complete, stays.")
        .returns_nothing("It is forgotten, with its bytes")
        .problems(&GONE);
    let tunnelled = append_endpoint(Endpoint::post(&one, "continueUploadByPost", tunnelled))
        .takes(Load::Transfer)
        .about(
            TAG,
            "Goes on with a resumable upload, for clients that can't send `PATCH`",
        )
        .required_header::<schema::MethodOverride>(
            "X-HTTP-Method-Override",
            "`PATCH`; `HEAD` and `DELETE` do the same as those methods",
        )
        .returns_headers(200, "The upload, where it stands for `HEAD`", &STATE);
    vec![
        capabilities(Endpoint::new(
            Method::OPTIONS,
            PATH,
            "uploadCapabilities",
            options,
        )),
        begin,
        capabilities(Endpoint::new(
            Method::OPTIONS,
            &one,
            "oneUploadCapabilities",
            |_: Key<UploadId>, state| options(state),
        )),
        show,
        append,
        end,
        tunnelled,
    ]
}

const EXPIRES: (&str, &str) = ("Upload-Expires", "When the upload is given up");
const RESOURCE: (&str, &str) = ("X-Mosaic-Resource-Id", "The resource that it becomes");
const OFFSET: (&str, &str) = ("Upload-Offset", "How many bytes the upload has");
/// What tells how far an upload has come.
const STATE: [(&str, &str); 6] = [
    OFFSET,
    ("Upload-Length", "The bytes of the file, where they were told"),
    ("Upload-Defer-Length", "`1` where they were not"),
    ("Upload-Metadata", "What was said of the file"),
    EXPIRES,
    RESOURCE,
];

const CHECKSUM: &str = "`sha1` or `sha256`, and the checksum in base64";
/// What may be wrong with the bytes of a request.
const BYTES_PROBLEMS: [ProblemCode; 7] = [
    ProblemCode::UnsupportedChecksum,
    ProblemCode::BeyondUploadLength,
    ProblemCode::UnsupportedEncoding,
    ProblemCode::UploadRefused,
    ProblemCode::ChecksumMismatch,
    ProblemCode::StorageUnavailable,
    ProblemCode::StorageFull,
];

const GONE: [ProblemCode; 2] = [ProblemCode::NotFound, ProblemCode::UploadExpired];

fn versioned(endpoint: Endpoint) -> Endpoint {
    endpoint.required_header::<schema::TusVersion>("Tus-Resumable", "The version of the protocol: `1.0.0`")
}

fn capabilities(endpoint: Endpoint) -> Endpoint {
    endpoint
        .public()
        .takes(Load::Free)
        .about(TAG, "What tus can do here")
        .returns_headers(
            204,
            "Versions, extensions and limits",
            &[
                ("Tus-Version", "The versions that are spoken"),
                ("Tus-Extension", "What is spoken beyond the core protocol"),
                ("Tus-Max-Size", "How many bytes a file may have"),
                ("Tus-Checksum-Algorithm", "How checksums are made"),
            ],
        )
}

fn append_endpoint(endpoint: Endpoint) -> Endpoint {
    versioned(endpoint)
        .details(
            "What came before a connection broke is kept: ask with `HEAD` how much that is, and go on from there. A request \
             with a checksum counts whole or not at all.",
        )
        .required_header::<schema::Count>("Upload-Offset", "How many bytes the upload has")
        .header::<schema::Count>("Upload-Length", "The bytes of the file, where they were not told before")
        .header::<schema::UploadChecksum>("Upload-Checksum", CHECKSUM)
        .takes_bytes(headers::BYTES)
        .returns_headers(204, "The bytes are stored", &[OFFSET, EXPIRES, RESOURCE])
        .problems(&BYTES_PROBLEMS)
        .problems(&[
            ProblemCode::InvalidUploadHeader,
            ProblemCode::NotFound,
            ProblemCode::UploadOffsetConflict,
            ProblemCode::TooManyParts,
            ProblemCode::UploadExpired,
            ProblemCode::FileTooLarge,
            ProblemCode::QuotaExceeded,
            ProblemCode::UnsupportedMediaType,
            ProblemCode::UploadBusy,
        ])
}

async fn options(state: Data<AppState>) -> HttpResponse {
    HttpResponse::NoContent()
        .insert_header((headers::TUS_VERSION, schema::TUS_VERSION))
        .insert_header((headers::TUS_EXTENSION, headers::EXTENSIONS))
        .insert_header((headers::TUS_MAX_SIZE, state.attachments.limits().file_bytes))
        .insert_header((headers::TUS_CHECKSUM_ALGORITHM, headers::CHECKSUMS))
        .finish()
}

async fn begin(
    editor: Editor,
    _: Tus,
    request: HttpRequest,
    state: Data<AppState>,
    payload: Payload,
) -> Result<HttpResponse, Problem> {
    let length = headers::length(&request)?;
    let first = headers::has_bytes(&request).then(|| said(&request));
    let first = first.transpose()?;
    let metadata = headers::metadata(&request)?;
    let (file, times) = metadata::read(&metadata)?;
    let metadata = Some(metadata).filter(|metadata| !metadata.is_empty());
    let by = editor.edit(times);
    let (upload, received) = match first {
        None => {
            let upload = state.uploads.begin(&by, length, file, metadata).await?;
            if upload.is_whole_with(0) {
                state.figures.upload_stored(Road::Tus);
            }
            (upload, 0)
        }
        Some(first) => {
            let (uploads, bytes) = (state.uploads.clone(), bytes_of(payload, &state));
            let begun = outliving(async move {
                uploads
                    .begin_with(&by, length, file, metadata, first, bytes)
                    .await
            });
            let begun = begun.await?;
            count_whole(&begun, &state);
            (begun.upload, begun.received)
        }
    };
    state.figures.upload_begun(Road::Tus);
    // Below `/api` where the request was.
    let location = format!("{}/{}", request.path(), upload.id);
    Ok(answer(StatusCode::CREATED, &upload)
        .insert_header((LOCATION, location))
        .insert_header((headers::UPLOAD_OFFSET, received))
        .finish())
}

async fn show(
    caller: SignedIn,
    id: Key<UploadId>,
    _: Tus,
    state: Data<AppState>,
) -> Result<HttpResponse, Problem> {
    status(caller.actor(), id.0, &state).await
}

async fn append(
    caller: SignedIn,
    id: Key<UploadId>,
    _: Tus,
    request: HttpRequest,
    state: Data<AppState>,
    payload: Payload,
) -> Result<HttpResponse, Problem> {
    receive(caller.actor(), id.0, &request, &state, payload).await
}

async fn end(
    caller: SignedIn,
    id: Key<UploadId>,
    _: Tus,
    state: Data<AppState>,
) -> Result<HttpResponse, Problem> {
    abort(caller.user(), id.0, &state).await
}

/// `POST` that stands for another method.
async fn tunnelled(
    caller: SignedIn,
    id: Key<UploadId>,
    _: Tus,
    request: HttpRequest,
    state: Data<AppState>,
    payload: Payload,
) -> Result<HttpResponse, Problem> {
    let actor = caller.actor();
    match headers::method_override(&request)? {
        Some("PATCH") => receive(actor, id.0, &request, &state, payload).await,
        Some("HEAD") => status(actor, id.0, &state).await,
        Some("DELETE") => abort(actor.user, id.0, &state).await,
        _ => Err(Problem::new(
            ProblemCode::MethodNotAllowed,
            "POST stands for PATCH, HEAD or DELETE here: X-HTTP-Method-Override says for which",
        )
        .with_header(ALLOW, "DELETE, HEAD, OPTIONS, PATCH, POST")),
    }
}

async fn status(actor: Actor, id: UploadId, state: &AppState) -> Result<HttpResponse, Problem> {
    let found = state.uploads.state(actor, id).await?;
    if found.upload.kind != UploadKind::Parts {
        return Err(AppError::NotFound.into());
    }
    let mut response = answer(StatusCode::OK, &found.upload);
    response
        .insert_header((headers::UPLOAD_OFFSET, found.received))
        .insert_header(if found.upload.is_deferred {
            (headers::UPLOAD_DEFER_LENGTH, 1)
        } else {
            (headers::UPLOAD_LENGTH, found.upload.length)
        });
    if let Some(metadata) = Uploads::client_metadata(&found.upload) {
        response.insert_header((headers::UPLOAD_METADATA, metadata));
    }
    Ok(response.finish())
}

async fn receive(
    actor: Actor,
    id: UploadId,
    request: &HttpRequest,
    state: &AppState,
    payload: Payload,
) -> Result<HttpResponse, Problem> {
    headers::check_content_type(request)?;
    let said = AppendRequest {
        offset: headers::offset(request)?,
        length: headers::told_length(request)?,
        ..said(request)?
    };
    let (uploads, bytes) = (state.uploads.clone(), bytes_of(payload, state));
    let appended = outliving(async move { uploads.append(actor, id, said, bytes).await });
    let appended = appended.await?;
    count_whole(&appended, state);
    Ok(answer(StatusCode::NO_CONTENT, &appended.upload)
        .insert_header((headers::UPLOAD_OFFSET, appended.received))
        .finish())
}

/// Counts an upload whose last bytes have come.
fn count_whole(progress: &UploadProgress, state: &AppState) {
    if progress.resource.is_some() {
        state.figures.upload_stored(Road::Tus);
    }
}

/// What the head of a request says of the bytes that come.
fn said(request: &HttpRequest) -> Result<AppendRequest, Problem> {
    check_unpacked(request)?;
    Ok(AppendRequest {
        checksum: headers::checksum(request)?,
        announced: content_length(request),
        ..AppendRequest::default()
    })
}

/// The bytes of a request, as they come.
fn bytes_of(payload: Payload, state: &AppState) -> impl Stream<Item = Result<Bytes, Problem>> + use<> {
    let idle = state.downloads.upload_idle;
    stream::try_unfold(payload.into_inner(), move |mut payload| async move {
        let bytes = next_bytes(&mut payload, idle).await?;
        Ok(bytes.map(|bytes| (bytes, payload)))
    })
}

/// Where the connection breaks the handler is gone at once: what arrived before that is still to be stored, or given up.
async fn outliving<T: 'static>(
    work: impl Future<Output = Result<T, Problem>> + 'static,
) -> Result<T, Problem> {
    rt::spawn(work).await.map_err(Problem::internal)?
}

async fn abort(user: UserId, id: UploadId, state: &AppState) -> Result<HttpResponse, Problem> {
    state.uploads.end(user, id).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// An answer with what all of them say of an upload.
fn answer(status: StatusCode, upload: &Upload) -> HttpResponseBuilder {
    let mut response = HttpResponse::build(status);
    response
        .insert_header((headers::UPLOAD_EXPIRES, headers::date(upload.expires_at)))
        .insert_header((headers::RESOURCE_ID, upload.resource.to_string()));
    response
}

/// Middleware, outside of the one that gives problems their shape: everything that is answered here says which version of tus
/// it speaks.
///
/// # Errors
/// Those of the inner service.
pub(crate) async fn add_version<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, actix_web::Error> {
    let path = request.path();
    let path = path.strip_prefix("/api").unwrap_or(path);
    let is_ours = path
        .strip_prefix(PATH)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    let mut response = next.call(request).await?;
    if is_ours {
        let version = HeaderValue::from_static(schema::TUS_VERSION);
        response.headers_mut().insert(headers::TUS_RESUMABLE, version);
    }
    Ok(response)
}
