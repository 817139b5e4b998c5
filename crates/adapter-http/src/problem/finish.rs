//! Every error that leaves the server has the house's shape, whoever made it.

use std::error::Error as StdError;
use std::panic::AssertUnwindSafe;

use actix_web::HttpResponse;
use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::{StatusCode, header};
use actix_web::middleware::Next;
use futures_util::FutureExt;

use super::{CONTENT_TYPE, Problem, ProblemCode};
use crate::access_log;
use crate::figures::HttpFigures;
use crate::request_id::RequestId;

/// Middleware: gives every error that is not ours yet the house's shape, and every 500 its request id; logs the cause
/// of the latter, once.
///
/// # Errors
/// Those of the inner service, as a [`Problem`].
pub async fn finish<B: MessageBody + 'static>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    match next.call(request).await {
        Ok(response) => Ok(finish_response(response.map_into_boxed_body())),
        Err(error) => Err(adopt_error(error)),
    }
}

fn finish_response(response: ServiceResponse) -> ServiceResponse {
    let status = response.status();
    if !status.is_client_error() && !status.is_server_error() {
        return response;
    }
    let ours = response
        .response()
        .error()
        .and_then(|error| error.as_error::<Problem>());
    if let Some(problem) = ours {
        HttpFigures::note_problem(response.request(), problem.code());
    }
    match ours {
        Some(problem) if status.is_server_error() => {
            log_cause(problem, &response);
            let rendered = problem.response(RequestId::of(response.request()));
            response.into_response(rendered)
        }
        Some(_) => response,
        None if is_problem(&response) => response,
        None => {
            let problem = adopt_status(status, response.response().error().map(ToString::to_string));
            HttpFigures::note_problem(response.request(), problem.code());
            let id = status
                .is_server_error()
                .then(|| RequestId::of(response.request()))
                .flatten();
            let rendered = problem.response(id);
            response.into_response(rendered)
        }
    }
}

fn is_problem(response: &ServiceResponse) -> bool {
    response
        .headers()
        .get(header::CONTENT_TYPE)
        .is_some_and(|value| value.as_bytes() == CONTENT_TYPE.as_bytes())
}

/// The text of a foreign error is only passed on for a 4xx, where it speaks about the request.
fn adopt_status(status: StatusCode, detail: Option<String>) -> Problem {
    let code = ProblemCode::from_status(status);
    match detail {
        Some(detail) if status.is_client_error() => Problem::new(code, detail),
        Some(cause) => Problem::internal(cause),
        None => Problem::new(code, code.title()),
    }
}

fn adopt_error(error: actix_web::Error) -> actix_web::Error {
    if error.as_error::<Problem>().is_some() {
        return error;
    }
    adopt_status(error.as_response_error().status_code(), Some(error.to_string())).into()
}

fn log_cause(problem: &Problem, response: &ServiceResponse) {
    let request_id = RequestId::of(response.request()).unwrap_or_default();
    let code = problem.code().code();
    if matches!(problem.code(), ProblemCode::Busy | ProblemCode::TooSlow) {
        // Whoever asks too much of the server brings these about as often as they like: nothing has failed.
        access_log::note_put_off(response.request());
        tracing::info!(request_id, code, "a request was put off");
        return;
    }
    tracing::error!(
        request_id,
        code,
        cause = chain(problem),
        "a request failed on the server's side"
    );
}

/// What caused a problem; empty where nothing is known.
pub(super) fn chain(problem: &Problem) -> String {
    problem.source().map(causes).unwrap_or_default()
}

/// An error and what caused it: database errors tell the interesting part only in their sources.
pub(crate) fn causes(error: &(dyn StdError + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}

/// Middleware, for a resource (where the route is already known): a panic in a handler answers 500 instead of cutting
/// the connection.
///
/// # Errors
/// Those of the inner service.
pub async fn catch_panics<B: MessageBody + 'static>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    let http_request = request.request().clone();
    match AssertUnwindSafe(next.call(request)).catch_unwind().await {
        Ok(result) => result.map(ServiceResponse::map_into_boxed_body),
        Err(panic) => {
            let text = panic
                .downcast_ref::<&str>()
                .map(|text| (*text).to_owned())
                .or_else(|| panic.downcast_ref::<String>().cloned())
                .unwrap_or_else(|| "panic".to_owned());
            let problem = Problem::internal(format!("a handler panicked: {text}"));
            Ok(ServiceResponse::new(
                http_request,
                HttpResponse::from_error(problem),
            ))
        }
    }
}
