//! The address where the metrics are: nothing of the server that devices talk to, so neither can keep the other from anything.
//!
//! Few ask, and one request each: a connection has a deadline for all of it, and ends after its answer. Where there are many,
//! the oldest makes room, so that who connects and says nothing holds nobody up.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, oneshot};
use tokio::task::{AbortHandle, JoinHandle, JoinSet};

use super::{MEDIA_TYPE, Metrics};

/// Where they are.
const PATH: &str = "/metrics";
/// The most connections at a time.
const MOST_CONNECTIONS: usize = 16;
/// How long one may take, from its beginning to the end of its answer.
const DEADLINE: Duration = Duration::from_secs(10);
/// The most bytes of the head of a request.
const LONGEST_HEAD: usize = 16 * 1024;
/// How long is waited where the machine has no connection to give.
const PAUSE: Duration = Duration::from_millis(100);

/// What answers there. Dropped, it ends soon; [stopped](MetricsServer::stop), it has ended.
#[derive(Debug)]
pub(crate) struct MetricsServer {
    stop: oneshot::Sender<()>,
    ended: JoinHandle<()>,
}

/// What its connections share.
#[derive(Clone)]
struct Shared {
    metrics: Metrics,
    /// One answer at a time is gathered: where a disk says nothing, that keeps one thread.
    turn: Arc<Mutex<()>>,
}

impl MetricsServer {
    /// Answers on a listener from now on. Needs a tokio runtime.
    ///
    /// # Errors
    /// The listener can't be used.
    pub(crate) fn start(listener: std::net::TcpListener, metrics: Metrics) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        let listener = TcpListener::from_std(listener)?;
        let shared = Shared {
            metrics,
            turn: Arc::default(),
        };
        let (stop, stopping) = oneshot::channel();
        let ended = tokio::spawn(async move {
            tokio::select! {
                () = accept(&listener, &shared) => {}
                _ = stopping => {}
            }
        });
        Ok(Self { stop, ended })
    }

    /// Ends all connections and lets go of the address.
    pub(crate) async fn stop(self) {
        let _ = self.stop.send(());
        let _ = self.ended.await;
    }
}

async fn accept(listener: &TcpListener, shared: &Shared) {
    // Dropped with this, it ends all of them.
    let mut connections = JoinSet::new();
    let mut oldest_first: VecDeque<AbortHandle> = VecDeque::new();
    loop {
        let accepted = listener.accept().await;
        while connections.try_join_next().is_some() {}
        oldest_first.retain(|connection| !connection.is_finished());
        if oldest_first.len() >= MOST_CONNECTIONS
            && let Some(oldest) = oldest_first.pop_front()
        {
            oldest.abort();
        }
        match accepted {
            Ok((stream, _)) => oldest_first.push_back(connections.spawn(serve(stream, shared.clone()))),
            Err(error) => {
                tracing::warn!(%error, "a connection for metrics can not be taken");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

async fn serve(stream: TcpStream, shared: Shared) {
    let service = service_fn(move |request| {
        let shared = shared.clone();
        async move { Ok::<_, Infallible>(shared.answer(&request).await) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(DEADLINE)
        .keep_alive(false)
        .max_buf_size(LONGEST_HEAD)
        .serve_connection(TokioIo::new(stream), service);
    match tokio::time::timeout(DEADLINE, served).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "a connection for metrics ended"),
        Err(_) => tracing::debug!("a connection for metrics took too long"),
    }
}

impl Shared {
    async fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        if request.uri().path() != PATH {
            return text(StatusCode::NOT_FOUND, "the metrics are at /metrics\n");
        }
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let mut answer = text(StatusCode::METHOD_NOT_ALLOWED, "GET or HEAD\n");
            answer
                .headers_mut()
                .insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return answer;
        }
        let turn = Arc::clone(&self.turn).lock_owned().await;
        let metrics = self.metrics.clone();
        let gathered = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            metrics.text()
        });
        match gathered.await {
            Ok(metrics) => text(StatusCode::OK, metrics),
            Err(error) => {
                tracing::error!(%error, "metrics can not be gathered");
                text(StatusCode::INTERNAL_SERVER_ERROR, "see the log of the server\n")
            }
        }
    }
}

fn text(status: StatusCode, text: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::new(text.into()));
    *answer.status_mut() = status;
    answer
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
    answer
}
