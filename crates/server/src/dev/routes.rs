//! The routes of the front's own, below `/dev`.

use std::sync::Arc;
use std::time::Duration;

use hyper::body::Bytes;
use hyper::http::request::Parts;
use hyper::{Method, StatusCode};
use mosaic_domain::UnixMillis;
use mosaic_ports::Clock as _;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::DevError;
use super::answer::{self, Answer};
use super::body::Limits;
use super::faults::{Rule, RuleError};
use super::server::DevServer;

/// The page that shows what devices send and get.
const PAGE: &str = include_str!("page.html");
/// What the body of a request may cost.
pub(super) const BODY: Limits = Limits {
    bytes: 64 * 1024,
    within: Duration::from_secs(10),
};

/// How the clock is moved.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Move {
    /// So many milliseconds.
    AdvanceMs(i64),
    /// To this moment, in Unix milliseconds.
    Set(i64),
}

/// Why something was not done: the status, the code and what happened.
type Refused = (StatusCode, &'static str, String);

/// Answers one of these routes.
pub(super) async fn answer(dev: &Arc<DevServer>, head: &Parts, body: &Bytes) -> Answer {
    match route(dev, head, body).await {
        Ok(answer) => answer,
        Err((status, code, detail)) => answer::problem(status, code, &detail),
    }
}

async fn route(dev: &Arc<DevServer>, head: &Parts, body: &Bytes) -> Result<Answer, Refused> {
    match (&head.method, head.uri.path()) {
        (&Method::GET, "/dev") => return Ok(answer::of(StatusCode::OK, "text/html; charset=utf-8", PAGE)),
        (&Method::GET, "/dev/clock") => return Ok(clock(dev)),
        (&Method::POST, "/dev/clock") => {
            match read(body)? {
                Move::AdvanceMs(ms) => dev.clock.advance(ms),
                Move::Set(now) => dev
                    .clock
                    .set(UnixMillis::new(now).map_err(|flaw| invalid(&flaw.message))?),
            }
            return Ok(clock(dev));
        }
        (&Method::GET, "/dev/faults") => return Ok(answer::json(&json!({"faults": dev.faults.all()}))),
        (&Method::POST, "/dev/faults") => dev.faults.add(read::<Rule>(body)?).map_err(no_rule)?,
        (&Method::DELETE, "/dev/faults") => dev.faults.clear(),
        (&Method::GET, "/dev/requests") => {
            let requests = dev.requests.after(after(head)?);
            return Ok(answer::json(&json!({"run": dev.run, "requests": requests})));
        }
        (&Method::POST, "/dev/backup") => dev.backup().await.map_err(|error| failed(&error))?,
        (&Method::POST, "/dev/restore") => {
            if !dev.restore().await.map_err(|error| failed(&error))? {
                let detail = "there is no backup: POST /dev/backup takes one";
                return Err((StatusCode::CONFLICT, "no_backup", detail.to_owned()));
            }
        }
        (method, path) => {
            let detail = format!("there is no route {method} {path}");
            return Err((StatusCode::NOT_FOUND, "unknown_route", detail));
        }
    }
    Ok(answer::done())
}

fn clock(dev: &DevServer) -> Answer {
    answer::json(&json!({"now": dev.clock.now().get(), "aheadMs": dev.clock.ahead()}))
}

/// The parameter `after`: only requests with a greater id.
fn after(head: &Parts) -> Result<u64, Refused> {
    let query = head.uri.query().unwrap_or_default();
    let after = query.split('&').find_map(|pair| pair.strip_prefix("after="));
    let number = after.unwrap_or("0").parse();
    number.map_err(|_| invalid("`after` must be the id of a request"))
}

fn read<T: DeserializeOwned>(body: &Bytes) -> Result<T, Refused> {
    let value: Value = serde_json::from_slice(body)
        .map_err(|error| (StatusCode::BAD_REQUEST, "malformed_json", error.to_string()))?;
    T::deserialize(value).map_err(|error| invalid(&error.to_string()))
}

fn no_rule(error: RuleError) -> Refused {
    match error {
        RuleError::Invalid(flaw) => invalid(flaw),
        RuleError::TooMany => (StatusCode::CONFLICT, "too_many_rules", error.to_string()),
    }
}

fn invalid(detail: &str) -> Refused {
    (
        StatusCode::UNPROCESSABLE_ENTITY,
        "validation_failed",
        detail.to_owned(),
    )
}

fn failed(error: &DevError) -> Refused {
    (StatusCode::INTERNAL_SERVER_ERROR, "internal", error.to_string())
}
