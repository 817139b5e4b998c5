//! `GET /account/export`: everything of the caller, as lines of JSON.

use actix_web::http::{Method, header};
use actix_web::web::{Bytes, Data};
use actix_web::{HttpRequest, HttpResponse};
use futures_util::{StreamExt, TryStreamExt as _, stream};
use mosaic_domain::DiaryDate;
use mosaic_domain::activity::Doer;

use crate::admission::Load;
use crate::caller::SignedIn;
use crate::client_addr;
use crate::problem::{Problem, causes};
use crate::request_id::RequestId;
use crate::routes::Endpoint;
use crate::state::AppState;

const CONTENT_TYPE: &str = "application/x-ndjson";

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::get("/account/export", "export", export)
            .takes(Load::Export)
            .about("account", "Everything of the caller, as JSON Lines")
            .details(
                "A header, a line for each record (deleted ones, too), a line for each revision, and a last line with the \
                 counts and the SHA-256 of everything before it. A download without that line was cut short: do it again.",
            )
            .returns_stream::<String>(CONTENT_TYPE, "The lines, as a file to keep"),
    ]
}

async fn export(
    caller: SignedIn,
    request: HttpRequest,
    state: Data<AppState>,
) -> Result<HttpResponse, Problem> {
    let user = state.accounts.me(&caller.0).await?;
    let day = DiaryDate::utc_day_of(state.clock.now());
    let name = file_name(user.username.as_str(), day);
    let mut response = HttpResponse::Ok();
    response.content_type(CONTENT_TYPE).insert_header((
        header::CONTENT_DISPOSITION,
        format!("attachment; filename=\"{name}\""),
    ));
    if request.method() == Method::HEAD {
        // Of unknown length, as the answer to `GET` is.
        return Ok(response.streaming(stream::empty::<Result<Bytes, Problem>>()));
    }
    let request_id = RequestId::of(&request).unwrap_or_default();
    let (sessions, caller) = (state.sessions.clone(), caller.0);
    let origin = client_addr::origin(&request, caller.client.as_ref());
    let export = state.export.asked_from(origin);
    let lines = export
        .run(caller.user, Doer::User(caller.user))
        .and_then(move |lines| {
            // It may take long, and the login end meanwhile.
            let (sessions, caller) = (sessions.clone(), caller.clone());
            async move { sessions.check(&caller).await.map(|()| lines) }
        });
    let lines = lines.map(move |lines| {
        // An error closes the connection before the end of the body: the client sees that it was cut short.
        lines.map(Bytes::from).inspect_err(|error| {
            tracing::error!(request_id, cause = causes(error), "an export was cut short");
        })
    });
    Ok(response.streaming(lines))
}

/// A name for the file that every system can store and every header can carry.
fn file_name(username: &str, day: Option<DiaryDate>) -> String {
    let safe = |letter: char| match letter {
        letter if letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_') => letter,
        _ => '_',
    };
    let username: String = username.chars().map(safe).collect();
    let day = day.map(|day| format!("-{day}")).unwrap_or_default();
    format!("mosaic-{username}{day}.jsonl")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_named_after_the_user_and_the_day() {
        let day = "2026-05-16".parse().ok();
        for (username, name) in [
            ("anna", "mosaic-anna-2026-05-16.jsonl"),
            ("../\"a\\b\".é", "mosaic-____a_b___-2026-05-16.jsonl"),
        ] {
            assert_eq!(file_name(username, day), name);
        }
        assert_eq!(file_name("a", None), "mosaic-a.jsonl");
    }
}
