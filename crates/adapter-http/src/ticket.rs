//! Tickets (L5): which routes take one, and where it stands in a request.

use actix_web::http::header::AUTHORIZATION;
use actix_web::{HttpMessage as _, HttpRequest};
use mosaic_ports::Opens;
use utoipa::PartialSchema as _;
use utoipa::openapi::path::Parameter;

use crate::extractor::in_query;
use crate::problem::{Problem, ProblemCode};
use crate::query::{parameter, path_parameter};
use crate::schema;

/// The parameter of the query that has it.
pub(crate) const TICKET: &str = "ticket";

/// What a request with a ticket can be refused with.
pub(crate) const PROBLEMS: [ProblemCode; 3] = [
    ProblemCode::InvalidTicket,
    ProblemCode::MalformedQuery,
    ProblemCode::ValidationFailed,
];

/// What a ticket must open for a request of this route: its route is marked with it, and no other takes a ticket. `None` where
/// the path names nothing.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TakesTicket(pub(crate) fn(&HttpRequest) -> Option<Opens>);

/// The stream of nudges.
pub(crate) const EVENTS: TakesTicket = TakesTicket(|_| Some(Opens::Events));
/// The bytes of the resource that the path names.
pub(crate) const RESOURCE: TakesTicket =
    TakesTicket(|request| path_parameter(request, 0).ok().map(Opens::Resource));
/// The picture that the path names.
pub(crate) const AVATAR: TakesTicket =
    TakesTicket(|request| path_parameter(request, 0).ok().map(Opens::Avatar));

/// The parameter, as the document describes it.
pub(crate) fn described() -> Parameter {
    let about = "Instead of the header `Authorization`: of `POST /auth/tickets`";
    in_query(TICKET, about, schema::Unforced::schema())
}

/// The ticket of a request, and what it must open. None where the route takes none, and beside a header: that counts.
///
/// # Errors
/// What is wrong with the query.
pub(crate) fn of(request: &HttpRequest) -> Result<Option<(String, Opens)>, Problem> {
    let takes = request.extensions().get::<TakesTicket>().copied();
    let Some(TakesTicket(opens)) = takes else {
        return Ok(None);
    };
    if request.headers().contains_key(AUTHORIZATION) {
        return Ok(None);
    }
    let ticket = parameter(request, TICKET)?;
    Ok(ticket.zip(opens(request)))
}
