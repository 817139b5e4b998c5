//! The routes of the front's own, below `/dev`.

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
use super::faults::Rule;
use super::server::DevServer;

/// The page that shows what devices send and get.
const PAGE: &str = include_str!("page.html");
/// The largest body, in bytes.
const LARGEST_BODY: usize = 64 * 1024;

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
pub(super) async fn answer(dev: &DevServer, head: &Parts, body: &Bytes) -> Answer {
    match route(dev, head, body).await {
        Ok(answer) => answer,
        Err((status, code, detail)) => answer::problem(status, code, &detail),
    }
}

async fn route(dev: &DevServer, head: &Parts, body: &Bytes) -> Result<Answer, Refused> {
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
        (&Method::POST, "/dev/faults") => dev.faults.add(read::<Rule>(body)?).map_err(invalid)?,
        (&Method::DELETE, "/dev/faults") => dev.faults.clear(),
        (&Method::GET, "/dev/requests") => {
            let requests = dev.requests.after(after(head)?);
            return Ok(answer::json(&json!({"requests": requests})));
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
    if body.len() > LARGEST_BODY {
        let detail = format!("the body is larger than {LARGEST_BODY} bytes");
        return Err((StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", detail));
    }
    let value: Value = serde_json::from_slice(body)
        .map_err(|error| (StatusCode::BAD_REQUEST, "malformed_json", error.to_string()))?;
    T::deserialize(value).map_err(|error| invalid(&error.to_string()))
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
