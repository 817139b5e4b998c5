//! The routes that every entity type has, written once: create, read, edit, delete.

use actix_web::HttpResponse;
use actix_web::web::{Data, Json};
use futures_util::future::LocalBoxFuture;
use mosaic_application::AppError;
use mosaic_application::records::{EditBy, Upsert};
use mosaic_domain::header::{CLIENT_ID, CLIENT_TIME};
use mosaic_domain::{EditTime, RecordKey, RevisionId, UserId, Violations};
use serde::Serialize;
use utoipa::ToSchema;

use crate::body::JsonBody;
use crate::caller::{Editor, SignedIn};
use crate::entities::{ApiEntity, Edit, New, PatchRequest, RecordDto, Times};
use crate::field::Check;
use crate::problem::{Problem, ProblemCode};
use crate::query::{Key, Query, query};
use crate::routes::Endpoint;
use crate::schema::{self, UnixMs};
use crate::state::AppState;

/// Which use cases the routes of one entity type call.
pub(super) trait Routed: ApiEntity {
    /// A live record, as its own routes answer it.
    type Response: Serialize + ToSchema + 'static;

    /// Writes some fields of a record.
    ///
    /// # Errors
    /// As [`Records::write`](mosaic_application::records::Records::write).
    async fn write(
        state: &AppState,
        by: &EditBy,
        key: Self::Key,
        upsert: Upsert<Self>,
    ) -> Result<Self::Response, AppError>;

    /// Brings a version of a record back.
    ///
    /// # Errors
    /// As [`Records::restore`](mosaic_application::records::Records::restore).
    async fn restore(
        state: &AppState,
        by: &EditBy,
        key: Self::Key,
        revision: RevisionId,
    ) -> Result<Self::Response, AppError>;

    /// Reads a record.
    ///
    /// # Errors
    /// [`AppError::NotFound`], [`AppError::Gone`].
    async fn read(state: &AppState, user: UserId, key: Self::Key) -> Result<Self::Response, AppError>;
}

/// Implements [`Routed`] for a type whose answers are the record alone.
macro_rules! responds_with_the_record {
    ($entity:ty) => {
        impl $crate::api::records::Routed for $entity {
            type Response = $crate::entities::RecordDto<Self>;

            async fn write(
                state: &$crate::state::AppState,
                by: &mosaic_application::records::EditBy,
                key: Self::Key,
                upsert: mosaic_application::records::Upsert<Self>,
            ) -> Result<Self::Response, mosaic_application::AppError> {
                state.records.write(by, key, upsert).await.map(Into::into)
            }

            async fn restore(
                state: &$crate::state::AppState,
                by: &mosaic_application::records::EditBy,
                key: Self::Key,
                revision: mosaic_domain::RevisionId,
            ) -> Result<Self::Response, mosaic_application::AppError> {
                let restored = state.records.restore::<Self>(by, key, revision).await;
                restored.map(Into::into)
            }

            async fn read(
                state: &$crate::state::AppState,
                user: mosaic_domain::UserId,
                key: Self::Key,
            ) -> Result<Self::Response, mosaic_application::AppError> {
                state.records.get::<Self>(user, key).await.map(Into::into)
            }
        }
    };
}
pub(super) use responds_with_the_record;

/// Reads records as lists show them.
pub(super) fn views<E: ApiEntity>(
    state: &AppState,
    user: UserId,
) -> impl Fn(Vec<RecordKey>) -> LocalBoxFuture<'static, Result<Vec<RecordDto<E>>, AppError>> + use<E> {
    let records = state.records.clone();
    move |keys| {
        let records = records.clone();
        Box::pin(async move {
            let live = records.live::<E>(user, &keys).await?;
            Ok(live.into_iter().map(Into::into).collect())
        })
    }
}

pub(super) type JsonResult<T> = Result<Json<T>, Problem>;
/// What an edit can be answered with besides success.
const EDIT_PROBLEMS: [ProblemCode; 6] = [
    ProblemCode::CorruptRecord,
    ProblemCode::NotFound,
    ProblemCode::Deleted,
    ProblemCode::Superseded,
    ProblemCode::EditTimeAhead,
    ProblemCode::QuotaExceeded,
];

/// What an edit of this type can be answered with besides, for the records that it names.
pub(super) fn naming<E: ApiEntity>() -> Vec<ProblemCode> {
    let parent = E::TYPE
        .parent_type()
        .map(|_| [ProblemCode::UnknownMemo, ProblemCode::MemoFull]);
    let child = E::TYPE.child_types().next().map(|_| ProblemCode::UnknownResource);
    parent.into_iter().flatten().chain(child).collect()
}

/// Adds the headers with which a device says who it is and what time it has.
pub(super) fn by_device(endpoint: Endpoint) -> Endpoint {
    endpoint
        .header::<schema::ClientIdHeader>(CLIENT_ID, "The device that makes the edit")
        .header::<UnixMs>(
            CLIENT_TIME,
            "The device's own clock, in Unix milliseconds: edit times are shifted by the difference",
        )
        .problems(&EDIT_PROBLEMS)
}

/// The path of one record.
pub(super) fn path<E: ApiEntity>() -> String {
    format!("/{}/{{{}}}", E::TYPE.path(), E::TYPE.key_name())
}

/// The routes of one record: read (unless the type reads in a way of its own), edit, delete. `name` is what the
/// document calls one of them.
pub(super) fn endpoints<E: Routed>(name: &str) -> Vec<Endpoint> {
    let path = path::<E>();
    let edit = Endpoint::put(&path, &format!("edit{name}"), edit::<E>)
        .about(E::TYPE.path(), "Edits some fields of a record")
        .details("Absent fields stay, `null` clears a nullable field. Without `updatedAt` the edit is the latest there is; \
            with it, the newer version wins.")
        .body_limit(E::BODY_BYTES)
        .body::<Edit<E>>()
        .returns::<E::Response>("The record as it is now")
        .problems(&naming::<E>());
    let delete = Endpoint::delete(&path, &format!("delete{name}"), delete::<E>)
        .about(E::TYPE.path(), "Deletes a record")
        .returns_nothing("It is deleted, now or before");
    vec![by_device(edit), by_device(delete)]
}

/// `GET` of one record.
pub(super) fn get_endpoint<E: Routed>(name: &str) -> Endpoint {
    Endpoint::get(path::<E>(), &format!("get{name}"), get::<E>)
        .about(E::TYPE.path(), "Reads a record")
        .returns::<E::Response>("The record")
        .problems(&[
            ProblemCode::NotFound,
            ProblemCode::Deleted,
            ProblemCode::CorruptRecord,
        ])
}

/// `POST` with the key in the body, or a new one.
pub(super) fn create_endpoint<E: Routed>(name: &str, new_key: fn(uuid::Uuid) -> E::Key) -> Endpoint {
    let handler = move |editor: Editor, state: Data<AppState>, body: JsonBody<E::Body>| async move {
        let submitted = E::parse_new(body.0)?;
        let key = submitted.key.unwrap_or_else(|| new_key(state.records.new_id()));
        write::<E>(&editor, &state, key, submitted.fields, true).await
    };
    let endpoint = Endpoint::post(format!("/{}", E::TYPE.path()), &format!("create{name}"), handler);
    created::<E>(endpoint).body::<New<E>>()
}

/// `POST` with the key in the path.
pub(super) fn create_at_endpoint<E: Routed>(name: &str) -> Endpoint {
    let handler = |editor: Editor, key: Key<E::Key>, state: Data<AppState>, body: JsonBody<E::Body>| async move {
        // It names its record, so that may be stored already: what a new one needs is found out under the lock (W7).
        let fields = E::parse_edit(body.0, Check::default())?;
        write::<E>(&editor, &state, key.0, fields, true).await
    };
    let path = path::<E>();
    created::<E>(Endpoint::post(path, &format!("create{name}"), handler)).body::<Edit<E>>()
}

fn created<E: Routed>(endpoint: Endpoint) -> Endpoint {
    by_device(endpoint)
        .about(E::TYPE.path(), "Stores a record")
        .details("Sent again, it makes no twin and overwrites nothing: it answers what is stored. With `updatedAt` it is a write to \
            what is stored, by which absent fields stay; fields that are required are so only where nothing is stored.")
        .body_limit(E::BODY_BYTES)
        .returns::<E::Response>("The record as it is stored")
        .problems(&[ProblemCode::DeletedConflict])
        .problems(&naming::<E>())
}

async fn write<E: Routed>(
    editor: &Editor,
    state: &AppState,
    key: E::Key,
    fields: PatchRequest<E>,
    creates: bool,
) -> JsonResult<E::Response> {
    let (times, upsert) = fields.into_upsert(creates);
    Ok(Json(E::write(state, &editor.edit(times), key, upsert).await?))
}

async fn get<E: Routed>(
    caller: SignedIn,
    key: Key<E::Key>,
    state: Data<AppState>,
) -> JsonResult<E::Response> {
    Ok(Json(E::read(&state, caller.user(), key.0).await?))
}

async fn edit<E: Routed>(
    editor: Editor,
    key: Key<E::Key>,
    state: Data<AppState>,
    body: JsonBody<E::Body>,
) -> JsonResult<E::Response> {
    amend::<E>(&editor, key.0, &state, E::parse_edit(body.0, Check::default())).await
}

/// Carries out a partial edit, whatever route it came by.
pub(super) async fn amend<E: Routed>(
    editor: &Editor,
    key: E::Key,
    state: &AppState,
    amendment: Result<PatchRequest<E>, Violations>,
) -> JsonResult<E::Response> {
    write::<E>(editor, state, key, amendment?, false).await
}

async fn delete<E: ApiEntity>(
    editor: Editor,
    key: Key<E::Key>,
    query: Query<DeleteQuery>,
    state: Data<AppState>,
) -> Result<HttpResponse, Problem> {
    let times = Times {
        created_at: None,
        updated_at: query.0.updated_at,
    };
    state.records.delete::<E>(&editor.edit(times), key.0).await?;
    Ok(HttpResponse::NoContent().finish())
}

query! {
    /// When a record was deleted.
    struct DeleteQuery {
        /// When the record was deleted. Now, where it is not given
        updated_at: Option<EditTime> = "updatedAt",
    }
}
