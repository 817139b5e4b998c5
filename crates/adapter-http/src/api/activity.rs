//! `GET /account/activity`: what happened to the caller's account.

use std::fmt::Write as _;

use actix_web::http::header;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use mosaic_domain::activity::{Activity, ActivityKind, ActivityQuery, Note, Origin};
use mosaic_domain::{ActivityId, UnixMillis, UserId};
use serde::Serialize;
use utoipa::ToSchema;

use crate::admission::Load;
use crate::caller::SignedIn;
use crate::names::{ActivityName, DoerName};
use crate::problem::Problem;
use crate::query::{Query, Within, query};
use crate::routes::Endpoint;
use crate::schema::{self, UnixMs};
use crate::state::AppState;

/// How many events a page has at most, and where the query does not say.
const MOST: u32 = 200;
const USUAL: u32 = 50;

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::get("/account/activity", "listActivity", list)
            .takes(Load::Heavy)
            .about(
                "account",
                "What happened to the caller's account, the newest first",
            )
            .details(
                "Logins, those that failed, changes of the account, devices that were forgotten, exports: who did it, from \
                 where. Of each kind the newest 1,000 are kept, for as long as the server's configuration says. Where there \
                 are older ones, the header `Link` names the next page: `<...>; rel=\"next\"`.",
            )
            .returns_list::<ActivityDto>("The events"),
    ]
}

/// Something that happened to an account.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Activity)]
#[serde(rename_all = "camelCase")]
struct ActivityDto {
    #[schema(value_type = schema::Id)]
    id: String,
    /// What happened. A later version may know more kinds.
    #[schema(value_type = ActivityName)]
    kind: &'static str,
    /// When.
    #[schema(value_type = UnixMs)]
    at: i64,
    /// Who did it: `user` is whoever has the account that `byUser` names, the caller's own or an administrator's;
    /// `stranger` somebody who proved nothing.
    #[schema(value_type = DoerName)]
    by: &'static str,
    #[schema(value_type = Option<schema::Id>, required)]
    by_user: Option<String>,
    /// The address that it was asked from, as far as the server knows. This, `clientId` and `agent` are `null` where somebody
    /// else did it.
    #[schema(required)]
    address: Option<String>,
    /// The device that asked.
    #[schema(value_type = Option<schema::ClientId>, required)]
    client_id: Option<String>,
    /// What the program that asked calls itself, up to 200 bytes.
    #[schema(required)]
    agent: Option<String>,
    /// What else there is to say, up to 200 bytes: the new role, the device that was forgotten.
    #[schema(required)]
    detail: Option<String>,
}

impl ActivityDto {
    /// What the owner of the account may know of an event. Where somebody else did it, such as an administrator, that is not
    /// from where: who knows the device of another account may try passwords beside it.
    fn shown_to(owner: UserId, mut event: Activity) -> Self {
        if event.by.user().is_some_and(|by| by != owner) {
            event.origin = Origin::default();
        }
        let text = |note: Option<Note>| note.map(|note| note.as_str().to_owned());
        Self {
            id: event.id.to_string(),
            kind: event.kind.name(),
            at: event.at.get(),
            by: event.by.name(),
            by_user: event.by.user().as_ref().map(UserId::to_string),
            address: event.origin.address.map(|address| address.to_string()),
            client_id: event.origin.client.map(String::from),
            agent: text(event.origin.agent),
            detail: text(event.detail),
        }
    }
}

query! {
    /// Which events.
    struct WhichEvents {
        /// Of this kind alone
        kind: Option<ActivityKind> = "kind",
        /// Not from before this moment
        since: Option<UnixMillis> = "since",
        /// Those before the event with this `id`
        before: Option<ActivityId> = "before",
        /// How many at most
        limit: Within<1, MOST, USUAL> = "limit",
    }
}

async fn list(
    caller: SignedIn,
    query: Query<WhichEvents>,
    request: HttpRequest,
    state: Data<AppState>,
) -> Result<HttpResponse, Problem> {
    let WhichEvents {
        kind,
        since,
        before,
        limit: Within(limit),
    } = query.0;
    let wanted = ActivityQuery {
        kind,
        since: since.unwrap_or(UnixMillis::ZERO),
        before,
        limit,
    };
    let page = state.trail.page(caller.user(), wanted).await?;
    let mut response = HttpResponse::Ok();
    if let Some(before) = page.next_before {
        // The path as it was asked for: below `/` or below `/api`.
        let mut next = format!("{}?before={before}&limit={limit}", request.path());
        // Writing to a string can't fail.
        if let Some(kind) = kind {
            let _ = write!(next, "&kind={kind}");
        }
        if let Some(since) = since {
            let _ = write!(next, "&since={since}");
        }
        response.insert_header((header::LINK, format!("<{next}>; rel=\"next\"")));
    }
    let events = page.items.into_iter();
    let shown: Vec<_> = events
        .map(|event| ActivityDto::shown_to(caller.user(), event))
        .collect();
    Ok(response.json(shown))
}
