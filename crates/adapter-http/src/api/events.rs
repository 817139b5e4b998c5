//! `GET /sync/events`: nudges as server-sent events (N1).

use std::convert::Infallible;
use std::future::ready;
use std::time::Duration;

use actix_web::http::{Method, header};
use actix_web::web::{Bytes, Data};
use actix_web::{HttpRequest, HttpResponse};
use futures_util::stream::{empty, once, select, unfold};
use futures_util::{Stream, StreamExt};
use mosaic_application::AppError;
use mosaic_application::nudges::Listener;
use mosaic_domain::Stamp;
use mosaic_ports::StoreError;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, sleep};
use utoipa::ToSchema;

use crate::admission::Load;
use crate::caller::StaysSignedIn;
use crate::names::NudgeName;
use crate::problem::{Problem, ProblemCode, causes};
use crate::routes::Endpoint;
use crate::schema;
use crate::state::AppState;
use crate::ticket;

const CONTENT_TYPE: &str = "text/event-stream";
const LAST_EVENT_ID: &str = "Last-Event-ID";
/// Asks proxies of the nginx kind to pass on every event at once.
const NO_BUFFERING: (&str, &str) = ("x-accel-buffering", "no");
/// How long a client waits before it connects again, in milliseconds.
const RETRY: Bytes = Bytes::from_static(b"retry: 3000\n\n");
/// The longest pause before a store that is away is asked again.
const PAUSE_MAX: Duration = Duration::from_secs(2);
const HEARTBEAT: Bytes = Bytes::from_static(b": heartbeat\n\n");

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::get("/sync/events", "events", events)
            .takes(Load::Free)
            .or_ticket(ticket::EVENTS)
            .about("sync", "Tells at once when there is something to pull")
            .details(
                "Server-sent events. Each is called `changed` and has the user's clock as its `id` and in its data: \
                 `{\"clock\": 1715080000000}`. It carries no records and moves no cursor: it says \"pull now\". Losing, \
                 repeating or reordering events is harmless. The first one comes on connect, and is called `unchanged` \
                 where `Last-Event-ID` is that very clock. Comment lines (`: heartbeat`) show that the connection lives. \
                 The stream ends when the access token expires, at once when the login ends, and when the server stops: connect \
                 again, with a new token. A ticket is used by one request, whatever its answer: where an `EventSource` stops, \
                 begin another one with a new ticket.",
            )
            .header::<schema::Unforced>(
                LAST_EVENT_ID,
                "The `id` of the last event that was received",
            )
            .returns_stream::<Nudge>(CONTENT_TYPE, "The events")
            .problems(&[ProblemCode::TooManyListeners]),
    ]
}

/// One event of the stream.
#[derive(ToSchema)]
struct Nudge {
    // `unchanged` where it is the first, and the client heard of that clock last. No description: beside one, an inline schema would
    // have to be an object as well.
    #[schema(value_type = NudgeName, inline)]
    event: &'static str,
    /// The user's clock.
    #[schema(pattern = "^[0-9]+$")]
    id: String,
    /// The same, as JSON.
    #[schema(pattern = r#"^\{"clock": [0-9]+\}$"#)]
    data: String,
}

impl Nudge {
    fn into_text(self) -> Bytes {
        let Self { event, id, data } = self;
        format!("event: {event}\nid: {id}\ndata: {data}\n\n").into()
    }
}

/// What goes on in the stream.
enum Signal {
    Clock(Stamp),
    Heartbeat,
    End,
}

async fn events(
    login: StaysSignedIn,
    request: HttpRequest,
    state: Data<AppState>,
) -> Result<HttpResponse, Problem> {
    let mut response = HttpResponse::Ok();
    response
        .content_type(CONTENT_TYPE)
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .insert_header(NO_BUFFERING);
    if request.method() == Method::HEAD {
        // Of unknown length, as the answer to `GET` is.
        return Ok(response.streaming(empty::<Result<Bytes, Problem>>()));
    }
    let listener = state.nudges.listen(login.actor())?;
    let seen = last_event_id(&request);
    Ok(response.streaming(stream(listener, login, seen, &state)))
}

/// The clock that the client was told of last. What makes no sense is ignored.
fn last_event_id(request: &HttpRequest) -> Option<Stamp> {
    let id = request.headers().get(LAST_EVENT_ID)?.to_str().ok()?;
    Stamp::new(id.parse().ok()?).ok()
}

/// The events of one connection; dropping it ends the listening. The two sources are polled side by side, and neither
/// drops what the other one waits for.
fn stream(
    listener: Listener,
    login: StaysSignedIn,
    seen: Option<Stamp>,
    state: &AppState,
) -> impl Stream<Item = Result<Bytes, Infallible>> + use<> {
    let (heartbeat, figures) = (state.heartbeat, state.figures.clone());
    let pause = heartbeat.min(PAUSE_MAX);
    let clocks =
        unfold(listener, move |listener| next_clock(listener, pause)).chain(once(ready(Signal::End)));
    let heartbeats = unfold(ticks(heartbeat), next_heartbeat);
    let mut seen = seen;
    let texts = select(clocks, heartbeats)
        .take_while(move |signal| {
            // Whoever listens is told when logins end. Should that get lost, a heartbeat finds out.
            let (ends, asks) = (matches!(signal, Signal::End), matches!(signal, Signal::Heartbeat));
            let login = login.clone();
            async move { !ends && login.is_fresh() && (!asks || login.goes_on().await) }
        })
        .map(move |signal| {
            if matches!(signal, Signal::Clock(_)) {
                figures.nudged();
            }
            text(&signal, &mut seen)
        });
    once(ready(RETRY)).chain(texts).map(Ok)
}

/// `None`: there is nothing more to hear. A store that is away for a while is waited for: if every stream ended then, all
/// devices would come back at once, again and again.
async fn next_clock(mut listener: Listener, pause: Duration) -> Option<(Signal, Listener)> {
    loop {
        match listener.next().await {
            Ok(clock) => return Some((Signal::Clock(clock?), listener)),
            Err(AppError::Store(StoreError::Unavailable(_))) => sleep(pause).await,
            Err(AppError::Unauthenticated(_) | AppError::PasswordChangeRequired) => return None,
            Err(error) => {
                // The client connects again, and hears the clock then.
                tracing::warn!(
                    cause = causes(&error),
                    "a stream of nudges ended: the clock could not be read"
                );
                return None;
            }
        }
    }
}

fn ticks(period: Duration) -> Interval {
    let period = period.max(Duration::from_millis(1));
    let mut ticks = interval_at(Instant::now() + period, period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

async fn next_heartbeat(mut ticks: Interval) -> Option<(Signal, Interval)> {
    ticks.tick().await;
    Some((Signal::Heartbeat, ticks))
}

/// `seen` is what the client heard last; it counts for the first event only.
fn text(signal: &Signal, seen: &mut Option<Stamp>) -> Bytes {
    let Signal::Clock(clock) = signal else {
        return HEARTBEAT;
    };
    let is_seen = seen.take() == Some(*clock);
    let nudge = Nudge {
        event: if is_seen { "unchanged" } else { "changed" },
        id: clock.to_string(),
        data: format!("{{\"clock\": {clock}}}"),
    };
    nudge.into_text()
}
