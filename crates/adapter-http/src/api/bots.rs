//! Bots: the common road, a list that is plain, and their order.

use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use mosaic_domain::BotId;
use mosaic_domain::entity::{Bot, Entity as _};
use serde::Deserialize;
use utoipa::ToSchema;

use super::listing::{self, ENDS_BY_BYTES, Frame};
use super::page::PageQuery;
use super::{records, revisions};
use crate::admission::Load;
use crate::body::JsonBody;
use crate::caller::{Editor, SignedIn};
use crate::entities::{ApiEntity, BotDto, Times};
use crate::field::{Check, Field, Int, ids};
use crate::problem::{Problem, ProblemCode};
use crate::query::Query;
use crate::routes::Endpoint;
use crate::schema::{self, UnixMs};
use crate::state::AppState;

/// How many bots a page has at most, and where the query does not say.
pub(super) const BOTS_PER_PAGE: u32 = 1_000;

records::responds_with_the_record!(Bot);

pub(super) fn endpoints() -> Vec<Endpoint> {
    let mut endpoints = vec![
        records::create_endpoint::<Bot>("Bot", BotId::new),
        records::get_endpoint::<Bot>("Bot"),
        Endpoint::get("/bots", "listBots", list)
            .takes(Load::Heavy)
            .about(Bot::TYPE.path(), "All bots, in their order")
            .details(ENDS_BY_BYTES)
            .returns_list::<BotDto>("The bots"),
        records::by_device(
            Endpoint::put("/bots/reorder", "reorderBots", reorder)
                .about(Bot::TYPE.path(), "Puts bots into an order")
                .details(
                    "Each bot that moves is an edit that syncs; those that are not named keep their places.",
                )
                .body_limit(Bot::BODY_BYTES)
                .body::<OrderBody>()
                .returns_nothing("They are in that order")
                .problems(&[ProblemCode::UnknownBot]),
        ),
    ];
    endpoints.extend(records::endpoints::<Bot>("Bot"));
    endpoints.extend(revisions::endpoints::<Bot>("Bot"));
    endpoints
}

async fn list(
    caller: SignedIn,
    query: Query<PageQuery<BOTS_PER_PAGE, BOTS_PER_PAGE>>,
    request: HttpRequest,
    state: Data<AppState>,
) -> Result<HttpResponse, Problem> {
    let page = state.bots.page(caller.user(), query.0.number()).await?;
    let read = records::views::<Bot>(&state, caller.user());
    listing::respond(&request, Frame::list(), page, read).await
}

/// An order of bots.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct OrderBody {
    /// Their ids, none twice.
    #[schema(value_type = schema::Ids, required)]
    #[serde(default)]
    order: Field<Vec<String>>,
    #[schema(value_type = UnixMs, required = false)]
    #[serde(default)]
    updated_at: Field<Int>,
}

async fn reorder(
    editor: Editor,
    state: Data<AppState>,
    body: JsonBody<OrderBody>,
) -> Result<HttpResponse, Problem> {
    let mut check = Check::default();
    let order = check.required("order", body.0.order, |texts| ids::<BotId>(&texts));
    let updated_at = check.updated_at(body.0.updated_at);
    let order = check.finish(order)?;
    let by = editor.edit(Times {
        created_at: None,
        updated_at,
    });
    state.bots.reorder(&by, &order).await?;
    Ok(HttpResponse::NoContent().finish())
}
