//! The history of every entity type (H1): the versions that are not current, and bringing one back.

use actix_web::http::header;
use actix_web::web::{Data, Json};
use actix_web::{HttpRequest, HttpResponse};
use mosaic_application::records::{REVISIONS_PER_PAGE, TypedRevision, TypedRevisions};
use mosaic_domain::RevisionId;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::records::{self, JsonResult, Routed, by_device};
use crate::body::OptionalJsonBody;
use crate::caller::{Editor, SignedIn};
use crate::entities::{ApiEntity, Times, described, register, with_content};
use crate::field::{Check, Field, Int};
use crate::names::ReasonName;
use crate::problem::{Problem, ProblemCode};
use crate::query::{Key, Keys, Query, Within, query};
use crate::response;
use crate::routes::Endpoint;
use crate::schema::{self, Named, UnixMs};
use crate::state::AppState;

/// How many revisions a page has at most, and where the query does not say.
#[expect(clippy::cast_possible_truncation, reason = "they are few")]
const MOST: u32 = REVISIONS_PER_PAGE as u32;

/// The routes of a record's history. `name` is what the document calls one record.
pub(super) fn endpoints<E: Routed>(name: &str) -> Vec<Endpoint> {
    let path = records::path::<E>();
    let list = Endpoint::get(
        format!("{path}/revisions"),
        &format!("list{name}Revisions"),
        list::<E>,
    )
    .about(
        E::TYPE.path(),
        "The versions of a record that are not current, the latest kept first",
    )
    .details(
        "One page, which also ends after the version with which it reaches 4 MiB. Where there are older ones, the header \
         `Link` names the next page: `<...>; rel=\"next\"`.",
    )
    .returns_list::<RevisionOf<E>>("The revisions")
    .problems(&[ProblemCode::NotFound, ProblemCode::Busy]);
    let one = format!("{path}/revisions/{{revision}}");
    let get = Endpoint::get(&one, &format!("get{name}Revision"), get::<E>)
        .about(E::TYPE.path(), "Reads one version of a record")
        .returns::<RevisionOf<E>>("The revision")
        .problems(&[ProblemCode::NotFound, ProblemCode::CorruptRecord]);
    let restore = Endpoint::post(
        format!("{one}/restore"),
        &format!("restore{name}Revision"),
        restore::<E>,
    )
    .about(E::TYPE.path(), "Brings a version of a record back")
    .details(
        "An ordinary new edit with the content of the revision: what it takes the place of is kept, a deleted record comes \
         back, other devices get it. Where the record is so already, nothing changes.",
    )
    .optional_body::<RestoreBody>()
    .returns::<E::Response>("The record as it is now");
    vec![list, get, by_device(restore).problems(&records::naming::<E>())]
}

/// A version of a record that is not current (H1): with all fields of the record, and the record's key.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct RevisionDto {
    #[schema(value_type = schema::Id)]
    id: String,
    /// Counts the revisions of the record, from 1.
    #[schema(value_type = schema::RevisionNumber)]
    revision_number: u32,
    /// When the record was made, as this version had it.
    #[schema(value_type = UnixMs)]
    created_at: i64,
    /// When a person made this version, in Unix milliseconds.
    #[schema(value_type = UnixMs)]
    edited_at: i64,
    /// The device that made it.
    #[schema(value_type = schema::ClientId)]
    client_id: String,
    /// Why it is not current.
    #[schema(value_type = ReasonName)]
    reason: &'static str,
    /// When the server kept it, in Unix milliseconds.
    #[schema(value_type = UnixMs)]
    recorded_at: i64,
    #[serde(flatten)]
    #[schema(ignore)]
    fields: Map<String, Value>,
}

described! {
    /// A version of a record of one type.
    RevisionOf ("{}Revision", register_revision::<E>) = with_content::<E>(RevisionDto::schema());
}

fn register_revision<E: ApiEntity>(schemas: &mut Named) {
    RevisionDto::schemas(schemas);
    register::<E>(schemas);
}

impl RevisionDto {
    fn of<E: ApiEntity>(typed: TypedRevision<E>) -> Result<Self, Problem> {
        let TypedRevision {
            number,
            revision,
            content,
        } = typed;
        let Value::Object(mut fields) = serde_json::to_value(content).map_err(Problem::internal)? else {
            return Err(Problem::internal("a record's content is no object"));
        };
        fields.insert(E::FOREIGN_KEY.to_owned(), revision.key.to_string().into());
        Ok(Self {
            id: revision.id.to_string(),
            revision_number: number,
            created_at: revision.created_at.get(),
            edited_at: revision.version.time.get(),
            client_id: revision.version.author.into(),
            reason: revision.reason.name(),
            recorded_at: revision.recorded_at.get(),
            fields,
        })
    }
}

query! {
    /// Which revisions.
    struct PageOfRevisions {
        /// Those with a lesser `revisionNumber`
        before: Option<u32> = "before",
        /// How many at most
        limit: Within<1, MOST, MOST> = "limit",
    }
}

async fn list<E: ApiEntity>(
    caller: SignedIn,
    key: Key<E::Key>,
    query: Query<PageOfRevisions>,
    request: HttpRequest,
    state: Data<AppState>,
) -> Result<HttpResponse, Problem> {
    let (before, Within(limit)) = (query.0.before, query.0.limit);
    let page = state
        .records
        .revisions::<E>(caller.user(), key.0, before, limit as usize);
    let TypedRevisions { items, next_before } = page.await?;
    let shown = || {
        items
            .into_iter()
            .map(RevisionDto::of)
            .collect::<Result<Vec<_>, _>>()
    };
    let mut response = HttpResponse::Ok();
    if let Some(before) = next_before {
        // The path as it was asked for: below `/` or below `/api`.
        let next = format!("<{}?before={before}&limit={limit}>; rel=\"next\"", request.path());
        response.insert_header((header::LINK, next));
    }
    response::large(&request, response, shown).await
}

async fn get<E: ApiEntity>(
    caller: SignedIn,
    keys: Keys<E::Key, RevisionId>,
    state: Data<AppState>,
) -> JsonResult<RevisionDto> {
    let Keys(key, id) = keys;
    let revision = state.records.revision::<E>(caller.user(), key, id).await?;
    RevisionDto::of(revision).map(Json)
}

/// When a version was brought back.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct RestoreBody {
    /// When the edit was made, by the device's clock. Now, where it is not given.
    #[schema(value_type = UnixMs, required = false)]
    #[serde(default)]
    updated_at: Field<Int>,
}

async fn restore<E: Routed>(
    editor: Editor,
    keys: Keys<E::Key, RevisionId>,
    state: Data<AppState>,
    body: OptionalJsonBody<RestoreBody>,
) -> JsonResult<E::Response> {
    let Keys(key, id) = keys;
    let mut check = Check::default();
    let times = Times {
        created_at: None,
        updated_at: check.updated_at(body.0.unwrap_or_default().updated_at),
    };
    check.finish(Some(()))?;
    Ok(Json(E::restore(&state, &editor.edit(times), key, id).await?))
}
