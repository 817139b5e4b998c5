//! `POST /auth/tickets`: for what can send no headers (L5).

use actix_web::web::{Data, Json};
use mosaic_domain::{Violation, Violations};
use mosaic_ports::Opens;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::records::JsonResult;
use crate::body::JsonBody;
use crate::caller::StaysSignedIn;
use crate::field::{Check, Field, from_text};
use crate::names::TicketName;
use crate::routes::Endpoint;
use crate::schema::{self, UnixMs};
use crate::state::AppState;
use crate::ticket::TICKET;

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::post("/auth/tickets", "makeTicket", make)
            .about(
                "auth",
                "Makes a ticket for what can send no headers, such as `EventSource`, `<img>` and `<video>`",
            )
            .details(
                "It opens one thing, for a minute, and ends before that with the login, or with the access token that it was \
                 asked for with. One for `events` is taken once. One for a `download` is taken for the bytes, in any ranges, and \
                 for the smaller pictures: add `&variant=thumb` to the address.",
            )
            .body::<TicketBody>()
            .returns::<TicketDto>("The ticket, and the address that it opens"),
    ]
}

/// What a ticket is for.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[schema(as = NewTicket)]
#[serde(rename_all = "camelCase")]
struct TicketBody {
    #[schema(value_type = TicketName, required)]
    #[serde(default)]
    purpose: Field<String>,
    /// What is downloaded: with `download`.
    #[schema(value_type = schema::Id, required = false)]
    #[serde(default)]
    resource_id: Field<String>,
    /// The picture: with `avatar`.
    #[schema(value_type = schema::Id, required = false)]
    #[serde(default)]
    avatar_id: Field<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    Events,
    Download,
    Avatar,
}

impl TicketBody {
    fn parse(self) -> Result<Opens, Violations> {
        let mut check = Check::default();
        let purpose = check.required("purpose", self.purpose, |text| match text.as_str() {
            "events" => Ok(Purpose::Events),
            "download" => Ok(Purpose::Download),
            "avatar" => Ok(Purpose::Avatar),
            _ => Err(Violation::new(
                "unknown_value",
                "must be events, download or avatar",
            )),
        });
        let mut check = match purpose {
            Some(Purpose::Download) => check.also_needing("resourceId"),
            Some(Purpose::Avatar) => check.also_needing("avatarId"),
            Some(Purpose::Events) | None => check,
        };
        let resource = check.optional("resourceId", self.resource_id, from_text);
        let avatar = check.optional("avatarId", self.avatar_id, from_text);
        check.finish(purpose.and_then(|purpose| match purpose {
            Purpose::Events => Some(Opens::Events),
            Purpose::Download => resource.map(Opens::Resource),
            Purpose::Avatar => avatar.map(Opens::Avatar),
        }))
    }
}

/// A ticket.
#[derive(Serialize, ToSchema)]
#[schema(as = Ticket)]
#[serde(rename_all = "camelCase")]
struct TicketDto {
    ticket: String,
    /// What it opens, with the ticket in it: relative to the server.
    address: String,
    /// When it stops working, in Unix milliseconds.
    #[schema(value_type = UnixMs)]
    expires_at: i64,
}

async fn make(
    login: StaysSignedIn,
    state: Data<AppState>,
    body: JsonBody<TicketBody>,
) -> JsonResult<TicketDto> {
    let opens = body.0.parse()?;
    let ticket = login.ticket(state.ids.next(), opens)?;
    let path = match opens {
        Opens::Events => "/api/sync/events".to_owned(),
        Opens::Resource(id) => format!("/api/resources/{id}/download"),
        Opens::Avatar(id) => format!("/api/avatars/{id}/download"),
    };
    Ok(Json(TicketDto {
        address: format!("{path}?{TICKET}={}", ticket.text),
        ticket: ticket.text,
        expires_at: ticket.expires_at.get(),
    }))
}
