//! One log line per request: who asked for what, from where, how it went, how long it took. Never a body, a query or a
//! secret.
//!
//! The level says how it went: `DEBUG` a health check that went well, `INFO` other successes, `WARN` what is refused (4xx, and
//! what was put off), `ERROR` what failed here. A login that is refused has a message of its own, and the account.

use std::time::{Duration, Instant};

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::StatusCode;
use actix_web::middleware::Next;
use actix_web::{HttpMessage, HttpRequest};
use mosaic_domain::account::Username;
use tracing::Level;

use crate::client_addr;
use crate::figures::HttpFigures;
use crate::request_id::RequestId;

/// The target of the lines, for filters.
pub const TARGET: &str = "mosaic::access";

/// What of a request is known only while it is handled.
#[derive(Debug, Clone, Default)]
struct Noted {
    user: Option<String>,
    client: Option<String>,
    /// Which account a login that was refused was for.
    refused: Option<String>,
    put_off: bool,
}

/// Notes the user for the log line of this request.
pub fn note_user(request: &HttpRequest, user: &impl ToString) {
    note(request, |noted| noted.user = Some(user.to_string()));
}

/// Notes the device for the log line of this request.
pub fn note_client(request: &HttpRequest, client: &impl ToString) {
    note(request, |noted| noted.client = Some(client.to_string()));
}

/// Notes that a login was refused, and the account that it was for, as somebody typed it.
pub(crate) fn note_refused_login(request: &HttpRequest, account: &str) {
    // What is no name is no account, and may be a password in the wrong field.
    let account = account.parse::<Username>().map(|name| name.to_string());
    note(request, |noted| {
        noted.refused = Some(account.unwrap_or_else(|_| "-".to_owned()));
    });
}

/// Notes that a request was put off: whoever asks too much brings that about, and nothing has failed.
pub(crate) fn note_put_off(request: &HttpRequest) {
    note(request, |noted| noted.put_off = true);
}

fn note(request: &HttpRequest, change: impl FnOnce(&mut Noted)) {
    let mut extensions = request.extensions_mut();
    let mut noted = extensions.remove::<Noted>().unwrap_or_default();
    change(&mut noted);
    extensions.insert(noted);
}

/// Middleware: writes the line when the answer is known, and counts it.
///
/// # Errors
/// Those of the inner service.
pub async fn write<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, actix_web::Error> {
    let started = Instant::now();
    let running = HttpFigures::begin(request.app_data());
    let result = next.call(request).await;
    let took = started.elapsed();
    let (request, status) = match &result {
        Ok(response) => (Some(response.request()), response.status()),
        Err(error) => (None, error.as_response_error().status_code()),
    };
    if let Some(running) = running {
        running.answered(request, status, took);
    }
    if let Some(request) = request {
        line(request, status, took);
    }
    result
}

fn level(request: &HttpRequest, status: StatusCode, noted: &Noted) -> Level {
    let path = request.path();
    let path = path.strip_prefix("/api").unwrap_or(path);
    if status.is_client_error() || status == StatusCode::HTTP_VERSION_NOT_SUPPORTED || noted.put_off {
        Level::WARN
    } else if status.is_server_error() {
        Level::ERROR
    } else if ["/health", "/health/ready"].contains(&path) {
        Level::DEBUG
    } else {
        Level::INFO
    }
}

fn line(request: &HttpRequest, status: StatusCode, took: Duration) {
    let noted = request.extensions().get::<Noted>().cloned().unwrap_or_default();
    let duration_ms = took.as_secs_f64() * 1000.0;
    // What the client has no say in comes first: filters can rely on it.
    macro_rules! event {
        ($level:expr, $message:literal $(, $name:ident = $value:expr)?) => {
            tracing::event!(
                target: TARGET,
                $level,
                client_addr = %client_addr::shown(request),
                $($name = $value,)?
                status = status.as_u16(),
                duration_ms,
                method = %request.method(),
                path = request.path(),
                route = request.match_pattern().as_deref().unwrap_or("-"),
                user_id = noted.user.as_deref().unwrap_or("-"),
                client_id = noted.client.as_deref().unwrap_or("-"),
                request_id = RequestId::of(request).as_deref().unwrap_or("-"),
                $message
            )
        };
    }
    match (&noted.refused, level(request, status, &noted)) {
        (Some(account), _) => event!(Level::WARN, "login refused", account = account.as_str()),
        (None, Level::ERROR) => event!(Level::ERROR, "request"),
        (None, Level::WARN) => event!(Level::WARN, "request"),
        (None, Level::INFO) => event!(Level::INFO, "request"),
        (None, _) => event!(Level::DEBUG, "request"),
    }
}
