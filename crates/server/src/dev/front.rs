//! What devices talk to: passes each request on to the server, or has go wrong what was asked for, and writes it down.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::http::request::Parts;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use mosaic_adapter_http::Listener;
use mosaic_ports::Clock as _;
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, JoinSet};

use super::answer::{self, Answer, problem};
use super::body::{Limits, whole};
use super::door::{Door, Stream};
use super::faults::Fault;
use super::recorded::{Noted, Recorded};
use super::requests::Arrival;
use super::routes;
use super::server::DevServer;

/// The most connections of a socket at a time. Others wait.
const MOST_CONNECTIONS: usize = 1000;
/// How long the head of a request may take, and a connection say nothing between two.
const HEAD_TIMEOUT: Duration = Duration::from_secs(75);
/// What the body of a request may cost. They are taken into memory.
const BODY: Limits = Limits {
    bytes: 128 * 1024 * 1024,
    within: Duration::from_mins(10),
};
/// The longest name of a device, in characters.
const LONGEST_CLIENT: usize = 64;
/// The headers that are of one connection alone; and the packing of answers, which nobody could read in the record.
const KEPT_BACK: [HeaderName; 5] = [
    header::ACCEPT_ENCODING,
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::EXPECT,
    header::TRANSFER_ENCODING,
];

/// The connection is cut without an answer.
#[derive(Debug, thiserror::Error)]
#[error("the connection is cut")]
struct NoAnswer;

/// A front that runs.
#[derive(Debug)]
pub(crate) struct Front {
    stop: oneshot::Sender<()>,
    ended: JoinHandle<()>,
}

impl Front {
    /// Takes connections from now on.
    ///
    /// # Errors
    /// A socket can't be used.
    pub(crate) fn start(dev: Arc<DevServer>, listeners: Vec<Listener>) -> io::Result<Self> {
        let doors: io::Result<Vec<Door>> = listeners.into_iter().map(Door::new).collect();
        let doors = doors?;
        let (stop, stopping) = oneshot::channel();
        let front = Arc::new(Shared {
            dev,
            client: Client::builder(TokioExecutor::new()).build_http(),
        });
        let ended = tokio::spawn(async move {
            tokio::select! {
                _ = join_all(doors.iter().map(|door| accept(&front, door))) => {}
                _ = stopping => {}
            }
        });
        Ok(Self { stop, ended })
    }

    /// Cuts all connections.
    pub(crate) async fn stop(self) {
        let _ = self.stop.send(());
        let _ = self.ended.await;
    }
}

struct Shared {
    dev: Arc<DevServer>,
    client: Client<HttpConnector, Full<Bytes>>,
}

async fn accept(front: &Arc<Shared>, door: &Door) {
    // Dropped with this, it ends all of them.
    let mut connections = JoinSet::new();
    loop {
        while connections.len() >= MOST_CONNECTIONS {
            connections.join_next().await;
        }
        match door.accept().await {
            Ok(stream) => connections.spawn(serve(Arc::clone(front), stream)),
            Err(error) => {
                tracing::warn!(%error, "a connection can not be taken");
                // What the machine lacks it may have in a moment.
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        while connections.try_join_next().is_some() {}
    }
}

async fn serve(front: Arc<Shared>, stream: Box<dyn Stream>) {
    let service = service_fn(move |request| {
        let front = Arc::clone(&front);
        async move { front.answer(request).await }
    });
    if let Err(error) = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service)
        .await
    {
        tracing::debug!(%error, "a connection ended");
    }
}

impl Shared {
    async fn answer(&self, request: Request<Incoming>) -> Result<Answer, NoAnswer> {
        let (head, body) = request.into_parts();
        let is_to_dev = head.uri.path() == "/dev" || head.uri.path().starts_with("/dev/");
        let limits = if is_to_dev { routes::BODY } else { BODY };
        let body = match whole(body, limits).await {
            Ok(body) => body,
            Err(refused) => return Ok(*refused),
        };
        if !is_to_dev {
            return self.of_the_server(head, body).await;
        }
        if is_preflight(&head) {
            // Of any path the server's answer is the same.
            let answer = self.pass_on(head, body).await;
            return Ok(answer.map_or_else(
                |error| not_there(&error),
                |answer| answer.map(|body| body.map_err(Into::into).boxed()),
            ));
        }
        Ok(routes::answer(&self.dev, &head, &body).await)
    }

    async fn of_the_server(&self, head: Parts, body: Bytes) -> Result<Answer, NoAnswer> {
        let path = head.uri.path();
        let below = path.strip_prefix("/api").filter(|rest| rest.starts_with('/'));
        let path = below.unwrap_or(path).to_owned();
        let client = client_of(&head.headers, &body);
        let mut struck = if is_preflight(&head) {
            // No request of the app's: the browser would never send that one.
            self.dev.faults.spare()
        } else {
            self.dev.faults.strike(&head.method, &path, client.as_deref())
        };
        let id = self.dev.requests.begin(&Arrival {
            at: self.dev.clock.now().get(),
            client_id: client.as_deref(),
            method: head.method.as_str(),
            path: &path,
            body: &body,
            fault: &struck.fault,
        });
        let noted = Noted::of(Arc::clone(&self.dev), id);
        let fault = struck.fault.clone();
        tokio::time::sleep(fault.delay()).await;
        self.dev.clock.advance(fault.advance_ms.unwrap_or(0));
        if let Some(status) = fault.status {
            return Ok(noted.answered(refusal(status, &fault)));
        }
        if head.method == Method::POST && path == "/auth/login" {
            self.welcome(&body).await;
        }
        let passed_on = self.pass_on(head, body).await;
        struck.released().await;
        let response = match passed_on {
            Ok(response) => response,
            Err(error) => return Ok(noted.answered(not_there(&error))),
        };
        if fault.drop_answer {
            return Err(NoAnswer);
        }
        Ok(noted
            .answered(response)
            .map(|body| Recorded::of(body, noted, fault.cut_at_byte).boxed()))
    }

    async fn welcome(&self, body: &[u8]) {
        if let Some(name) = Named::by(body).username.as_str()
            && let Err(error) = self.dev.welcome(name).await
        {
            tracing::warn!(error = &error as &dyn std::error::Error, "no account was made");
        }
    }

    async fn pass_on(
        &self,
        head: Parts,
        body: Bytes,
    ) -> Result<Response<Incoming>, hyper_util::client::legacy::Error> {
        let running = self.dev.running().await;
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = head.method;
        let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
        *request.uri_mut() = Uri::builder()
            .scheme("http")
            .authority(running.address.to_string())
            .path_and_query(path)
            .build()
            .unwrap_or_default();
        *request.headers_mut() = head.headers;
        for name in KEPT_BACK {
            request.headers_mut().remove(name);
        }
        self.client.request(request).await
    }
}

/// Whether a browser asks if a page of another origin may send a request.
fn is_preflight(head: &Parts) -> bool {
    head.method == Method::OPTIONS && head.headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
}

/// The server behind gave no answer.
fn not_there(error: &hyper_util::client::legacy::Error) -> Answer {
    let detail = format!("the server for developers gave no answer: {error}");
    problem(StatusCode::SERVICE_UNAVAILABLE, "unavailable", &detail)
}

/// Who a body of JSON is of; the rest of it is passed over.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Named {
    client_id: Value,
    username: Value,
}

impl Named {
    fn by(body: &[u8]) -> Self {
        serde_json::from_slice(body).unwrap_or_default()
    }
}

/// The device that a request names: in its header, or in a body of JSON. What is longer than names are is none.
fn client_of(headers: &HeaderMap, body: &[u8]) -> Option<String> {
    let header = headers.get("x-client-id").and_then(|id| id.to_str().ok());
    let named = header
        .map(str::to_owned)
        .or_else(|| match Named::by(body).client_id {
            Value::String(id) => Some(id),
            _ => None,
        });
    named.filter(|id| id.chars().count() <= LONGEST_CLIENT)
}

/// The answer that was asked for in the place of the server's.
fn refusal(status: u16, fault: &Fault) -> Answer {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut refusal = match &fault.code {
        Some(code) => problem(status, code, "as it was asked for with POST /dev/faults"),
        None => answer::of(status, "text/html", "<html>no answer of the server's</html>\n"),
    };
    if let Some(ms) = fault.retry_after_ms {
        let seconds = HeaderValue::from(ms.div_ceil(1000));
        refusal.headers_mut().insert(header::RETRY_AFTER, seconds);
    }
    refusal
}
