//! One log line per request: who asked for what, how it went, how long it took. Never a body, a query or a secret.

use std::time::Instant;

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::middleware::Next;
use actix_web::{HttpMessage, HttpRequest};

use crate::request_id::RequestId;

/// The target of the lines, for filters.
pub const TARGET: &str = "mosaic::access";

/// Who makes the request, as far as it has become known while it was handled.
#[derive(Debug, Clone, Default)]
struct Identity {
    user: Option<String>,
    client: Option<String>,
}

/// Notes the user for the log line of this request.
pub fn note_user(request: &HttpRequest, user: &impl ToString) {
    note(request, |identity| identity.user = Some(user.to_string()));
}

/// Notes the device for the log line of this request.
pub fn note_client(request: &HttpRequest, client: &impl ToString) {
    note(request, |identity| identity.client = Some(client.to_string()));
}

fn note(request: &HttpRequest, change: impl FnOnce(&mut Identity)) {
    let mut extensions = request.extensions_mut();
    let mut identity = extensions.remove::<Identity>().unwrap_or_default();
    change(&mut identity);
    extensions.insert(identity);
}

/// Middleware: writes the line when the answer is known.
///
/// # Errors
/// Those of the inner service.
pub async fn write<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, actix_web::Error> {
    let started = Instant::now();
    let result = next.call(request).await;
    if let Ok(response) = &result {
        line(response.request(), response.status().as_u16(), started);
    }
    result
}

fn line(request: &HttpRequest, status: u16, started: Instant) {
    let identity = request
        .extensions()
        .get::<Identity>()
        .cloned()
        .unwrap_or_default();
    let duration_ms = started.elapsed().as_secs_f64() * 1000.0;
    tracing::info!(
        target: TARGET,
        method = %request.method(),
        path = request.path(),
        route = request.match_pattern().as_deref().unwrap_or("-"),
        status,
        duration_ms,
        user_id = identity.user.as_deref().unwrap_or("-"),
        client_id = identity.client.as_deref().unwrap_or("-"),
        request_id = RequestId::of(request).as_deref().unwrap_or("-"),
        "request"
    );
}
