//! Resources: the records of attachments, on the common road.

use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use mosaic_domain::entity::Resource;
use mosaic_domain::query::{Order, PageNumber, RecordQuery};
use mosaic_domain::{EntityType, MemoId, ResourceId};

use super::listing::{self, ENDS_BY_BYTES};
use super::page::{self, PageOf, paged};
use super::records;
use crate::caller::SignedIn;
use crate::entities::{ResourceDto, Wire};
use crate::problem::{Problem, ProblemCode};
use crate::query::{FromQuery, Query, QueryReader};
use crate::routes::Endpoint;
use crate::schema::{self, OrEmpty};
use crate::state::AppState;

records::answers_the_record!(Resource);

pub(super) fn endpoints() -> Vec<Endpoint> {
    let mut endpoints = vec![
        records::create_endpoint::<Resource>("Resource", ResourceId::new)
            .problems(&[ProblemCode::UnknownMemo, ProblemCode::MemoFull]),
        records::get_endpoint::<Resource>("Resource"),
        paged(Endpoint::get("/resources", "listResources", list))
            .about(Resource::PATH, "Lists resources, the newest first")
            .details(ENDS_BY_BYTES)
            .query::<OrEmpty<schema::Id>>("memoId", "Only those of this memo")
            .returns::<PageOf<ResourceDto>>("One page"),
    ];
    endpoints.extend(records::endpoints::<Resource>("Resource"));
    endpoints
}

/// Which resources are listed.
#[derive(Debug)]
struct ListQuery(RecordQuery);

impl FromQuery for ListQuery {
    fn from_query(query: &mut QueryReader) -> Option<Self> {
        let parents = query.parse::<MemoId>("memoId").map(|memo| vec![memo]);
        let page = PageNumber::from_query(query)?;
        let all = RecordQuery::all(EntityType::Resource, Order::NewestFirst, page);
        Some(Self(RecordQuery { parents, ..all }))
    }
}

async fn list(
    caller: SignedIn,
    query: Query<ListQuery>,
    request: HttpRequest,
    state: Data<AppState>,
) -> Result<HttpResponse, Problem> {
    let page = state.records.page(caller.user(), &query.0.0).await?;
    let read = records::shown::<Resource>(&state, caller.user());
    listing::answer(&request, page::frame(&page)?, page, read).await
}
