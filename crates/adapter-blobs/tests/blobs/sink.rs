//! An S3 server that keeps nothing, and counts everything.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::{AbortHandle, JoinSet};

/// The server.
pub(crate) struct Sink {
    pub(crate) endpoint: String,
    pub(crate) state: Arc<State>,
    server: AbortHandle,
}

/// What it has seen, and what it shall do.
pub(crate) struct State {
    /// Bytes of parts that were taken.
    pub(crate) taken: AtomicU64,
    /// Parts that are being sent now, and the most there were.
    pub(crate) in_flight: AtomicUsize,
    pub(crate) most_in_flight: AtomicUsize,
    /// One for each part that it takes.
    pub(crate) permits: Semaphore,
    /// How many requests to complete an upload it carries out without answering.
    pub(crate) lost_answers: AtomicUsize,
    /// How many objects there are.
    pub(crate) completed: AtomicUsize,
    pub(crate) aborted: AtomicUsize,
    pub(crate) deleted: AtomicUsize,
    /// What is answered instead of taking parts.
    pub(crate) refuses_parts: AtomicUsize,
}

impl Sink {
    pub(crate) async fn start(permits: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::new(State {
            taken: AtomicU64::new(0),
            in_flight: AtomicUsize::new(0),
            most_in_flight: AtomicUsize::new(0),
            permits: Semaphore::new(permits),
            lost_answers: AtomicUsize::new(0),
            completed: AtomicUsize::new(0),
            aborted: AtomicUsize::new(0),
            deleted: AtomicUsize::new(0),
            refuses_parts: AtomicUsize::new(0),
        });
        let shared = Arc::clone(&state);
        let server = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                let state = Arc::clone(&shared);
                let service = service_fn(move |request| answer(Arc::clone(&state), request));
                connections.spawn(async move {
                    let io = TokioIo::new(socket);
                    http1::Builder::new().serve_connection(io, service).await.ok();
                });
            }
        });
        Self {
            endpoint,
            state,
            server: server.abort_handle(),
        }
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.server.abort();
    }
}

fn respond(status: u16, body: &'static str) -> Response<Full<Bytes>> {
    let answer = Response::builder().status(status).header("etag", "\"x\"");
    answer.body(Full::from(body)).unwrap()
}

async fn answer(
    state: Arc<State>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, &'static str> {
    let (parts, mut body) = request.into_parts();
    let query = parts.uri.query().unwrap_or_default().to_owned();
    if parts.method == Method::PUT && query.contains("partNumber") {
        let now = state.in_flight.fetch_add(1, Ordering::SeqCst) + 1;
        state.most_in_flight.fetch_max(now, Ordering::SeqCst);
        if state.refuses_parts.load(Ordering::SeqCst) > 0 {
            body.collect().await.ok();
            state.in_flight.fetch_sub(1, Ordering::SeqCst);
            return Ok(respond(507, "<Error><Code>XMinioStorageFull</Code></Error>"));
        }
        state.permits.acquire().await.unwrap().forget();
        while let Some(frame) = body.frame().await {
            let size = frame.ok().and_then(|frame| Some(frame.data_ref()?.len()));
            state
                .taken
                .fetch_add(size.unwrap_or_default() as u64, Ordering::SeqCst);
        }
        state.in_flight.fetch_sub(1, Ordering::SeqCst);
        return Ok(respond(200, ""));
    }
    body.collect().await.ok();
    Ok(match parts.method {
        Method::POST if query.contains("uploads") => respond(
            200,
            "<InitiateMultipartUploadResult><UploadId>u1</UploadId></InitiateMultipartUploadResult>",
        ),
        Method::POST => {
            if state.completed.load(Ordering::SeqCst) > 0 {
                return Ok(respond(404, "<Error><Code>NoSuchUpload</Code></Error>"));
            }
            state.completed.fetch_add(1, Ordering::SeqCst);
            let lost = state
                .lost_answers
                .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
            if lost.is_ok() {
                return Err("the answer is lost");
            }
            respond(
                200,
                "<CompleteMultipartUploadResult><ETag>\"x\"</ETag></CompleteMultipartUploadResult>",
            )
        }
        Method::HEAD if state.completed.load(Ordering::SeqCst) > 0 => {
            let size = state.taken.load(Ordering::SeqCst);
            let answer = Response::builder()
                .header("content-length", size)
                .header("last-modified", "Wed, 21 Oct 2015 07:28:00 GMT");
            answer.body(Full::default()).unwrap()
        }
        Method::DELETE if query.contains("uploadId") => {
            state.aborted.fetch_add(1, Ordering::SeqCst);
            respond(204, "")
        }
        Method::DELETE => {
            state.deleted.fetch_add(1, Ordering::SeqCst);
            respond(204, "")
        }
        _ => respond(404, "<Error><Code>NoSuchKey</Code></Error>"),
    })
}
