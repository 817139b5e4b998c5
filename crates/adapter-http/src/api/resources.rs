//! Resources: the records of attachments, on the common road.

use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use mosaic_domain::entity::{Entity as _, Resource};
use mosaic_domain::query::{Order, RecordQuery};
use mosaic_domain::{EntityType, MemoId, ResourceId};

use super::listing::{self, ENDS_BY_BYTES};
use super::page::{self, UsualPage};
use super::{records, revisions};
use crate::admission::Load;
use crate::caller::SignedIn;
use crate::entities::ResourceDto;
use crate::problem::Problem;
use crate::query::{Query, query};
use crate::routes::Endpoint;
use crate::state::AppState;

records::responds_with_the_record!(Resource);

pub(super) fn endpoints() -> Vec<Endpoint> {
    let mut endpoints = vec![
        records::create_endpoint::<Resource>("Resource", ResourceId::new),
        records::get_endpoint::<Resource>("Resource"),
        Endpoint::get("/resources", "listResources", list)
            .takes(Load::Heavy)
            .about(Resource::TYPE.path(), "Lists resources, the newest first")
            .details(ENDS_BY_BYTES)
            .returns::<page::NamedPage<ResourceDto>>("One page"),
    ];
    endpoints.extend(records::endpoints::<Resource>("Resource"));
    endpoints.extend(revisions::endpoints::<Resource>("Resource"));
    endpoints
}

query! {
    /// Which resources are listed.
    struct ListQuery {
        /// Only those of this memo
        memo: Option<MemoId> = "memoId",
        ..page: UsualPage,
    }
}

async fn list(
    caller: SignedIn,
    query: Query<ListQuery>,
    request: HttpRequest,
    state: Data<AppState>,
) -> Result<HttpResponse, Problem> {
    let asked = query.0;
    let query = RecordQuery {
        parents: asked.memo.map(|memo| vec![memo]),
        ..RecordQuery::all(EntityType::Resource, Order::NewestFirst, asked.page.number())
    };
    let page = state.records.page(caller.user(), &query).await?;
    let read = records::views::<Resource>(&state, caller.user());
    listing::respond(&request, page::frame::<ResourceDto>(&page)?, page, read).await
}
