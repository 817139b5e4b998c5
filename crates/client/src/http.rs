//! One request at a time: HTTP/1.1 by hyper, TLS by rustls with ring, retries where they are safe.

use std::io::Read as _;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{
    ACCEPT_ENCODING, AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, RETRY_AFTER,
};
use hyper::{Method, Response, StatusCode};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use mosaic_domain::header::{CLIENT_ID, CLIENT_TIME};
use rustls::{ClientConfig, RootCertStore};
use serde::Serialize;

use crate::client::Settings;
use crate::error::{Error, Result};

/// The longest that a request waits for its next try by itself; where the server says longer, the app is told.
const LONGEST_WAIT: Duration = Duration::from_mins(1);
/// The wait after a first failure, before jitter; it doubles with each further one.
const FIRST_WAIT: Duration = Duration::from_millis(500);
/// The longest of these waits.
const MOST_BACKOFF: Duration = Duration::from_secs(30);

/// A request, which may be sent several times.
#[derive(Clone)]
pub(crate) struct Request {
    pub(crate) method: Method,
    /// Below the server's address, or an address of its own.
    pub(crate) path: String,
    pub(crate) headers: Vec<(HeaderName, String)>,
    pub(crate) body: Bytes,
    /// Whether it changes nothing more when it comes twice.
    pub(crate) is_repeatable: bool,
    /// Whether its answer is read as it comes.
    pub(crate) is_stream: bool,
}

impl Request {
    pub(crate) fn new(method: Method, path: impl Into<String>) -> Self {
        Self {
            method,
            path: path.into(),
            headers: Vec::new(),
            body: Bytes::new(),
            is_repeatable: true,
            is_stream: false,
        }
    }

    pub(crate) fn get(path: impl Into<String>) -> Self {
        Self::new(Method::GET, path)
    }

    /// A `POST` that changes nothing more when it comes twice (W3, L2).
    pub(crate) fn post(path: &str, body: &impl Serialize) -> Result<Self> {
        let body = serde_json::to_vec(body).map_err(Error::local)?;
        let request = Self::new(Method::POST, path).with(CONTENT_TYPE, "application/json");
        Ok(Self {
            body: body.into(),
            ..request
        })
    }

    pub(crate) fn with(mut self, name: HeaderName, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// One whose answer is read as it comes.
    pub(crate) fn streamed(self) -> Self {
        Self {
            is_stream: true,
            ..self
        }
    }
}

/// An answer that is a success, or points elsewhere.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    /// All of the body; nothing, where it is a stream.
    pub(crate) body: Bytes,
    /// The body, as it comes.
    pub(crate) stream: Option<Incoming>,
}

impl Answer {
    /// The text of a header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// Sends requests of one device.
#[derive(Debug)]
pub(crate) struct Http {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    client_id: String,
    settings: Settings,
}

impl Http {
    pub(crate) fn new(client_id: String, settings: Settings) -> Result<Self> {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(settings.timeout));
        let https = HttpsConnectorBuilder::new().with_tls_config(tls()?);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .build(https.https_or_http().enable_http1().wrap_connector(tcp));
        Ok(Self {
            client,
            client_id,
            settings,
        })
    }

    /// Sends a request until it is answered, where that is safe: with jitter, and as long as `Retry-After` says.
    pub(crate) async fn send(&self, server: &str, request: &Request, token: Option<&str>) -> Result<Answer> {
        let mut failures = 0;
        loop {
            let (reason, after) = match self.send_once(server, request, token).await {
                Err(Error::Later { reason, after }) => (reason, after),
                done => return done,
            };
            failures += 1;
            let wait = self.backoff(failures).max(after.unwrap_or_default());
            if !request.is_repeatable || failures >= self.settings.attempts || wait > LONGEST_WAIT {
                return Err(Error::Later { reason, after });
            }
            self.settings.platform.pause(wait).await;
        }
    }

    /// How long to wait after so many failures: longer each time, and never all devices at once.
    pub(crate) fn backoff(&self, failures: u32) -> Duration {
        let longest = FIRST_WAIT
            .saturating_mul(1 << failures.saturating_sub(1).min(10))
            .min(MOST_BACKOFF);
        let percent = u32::try_from(self.settings.platform.random() % 51).unwrap_or_default();
        longest * (50 + percent) / 100
    }

    async fn send_once(&self, server: &str, request: &Request, token: Option<&str>) -> Result<Answer> {
        let sent = self.prepare(server, request, token)?;
        let answered = async {
            let response = self
                .client
                .request(sent)
                .await
                .map_err(|error| Error::later(cause(&error)))?;
            read(response, request.is_stream).await
        };
        let answered = tokio::time::timeout(self.settings.timeout, answered).await;
        answered.unwrap_or_else(|_| Err(Error::later("it took too long")))
    }

    fn prepare(
        &self,
        server: &str,
        request: &Request,
        token: Option<&str>,
    ) -> Result<hyper::Request<Full<Bytes>>> {
        let is_elsewhere = request.path.contains("://");
        let server = if is_elsewhere { "" } else { server };
        let mut built = hyper::Request::builder()
            .method(&request.method)
            .uri(format!("{server}{}", request.path));
        if !request.is_stream {
            built = built.header(ACCEPT_ENCODING, "gzip");
        }
        if !is_elsewhere {
            // Anew with each try: an old time would shift the edits (W6).
            let now = self.settings.platform.now().to_string();
            built = built.header(CLIENT_ID, &self.client_id).header(CLIENT_TIME, now);
        }
        for (name, value) in &request.headers {
            built = built.header(name, value);
        }
        if let Some(token) = token {
            built = built.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        built.body(Full::new(request.body.clone())).map_err(Error::local)
    }
}

/// An answer that breaks off is none.
async fn read(response: Response<Incoming>, is_stream: bool) -> Result<Answer> {
    let (head, stream) = response.into_parts();
    // Bytes may be elsewhere, answers may not: a proxy that sends requests to another address is to be named itself.
    let is_wanted = head.status.is_success() || (is_stream && head.status.is_redirection());
    if is_wanted && is_stream {
        return Ok(Answer {
            status: head.status,
            headers: head.headers,
            body: Bytes::new(),
            stream: Some(stream),
        });
    }
    let body = stream
        .collect()
        .await
        .map_err(|error| Error::later(cause(&error)))?
        .to_bytes();
    let body = unpacked(&head.headers, body)?;
    if !is_wanted {
        return Err(Error::of_answer(
            head.status.as_u16(),
            retry_after(&head.headers),
            &body,
        ));
    }
    Ok(Answer {
        status: head.status,
        headers: head.headers,
        body,
        stream: None,
    })
}

fn unpacked(headers: &HeaderMap, body: Bytes) -> Result<Bytes> {
    if headers
        .get(CONTENT_ENCODING)
        .is_none_or(|encoding| encoding != "gzip")
    {
        return Ok(body);
    }
    let mut plain = Vec::new();
    let read = flate2::read::MultiGzDecoder::new(&*body).read_to_end(&mut plain);
    read.map_err(|error| Error::NotTheServer(error.to_string()))?;
    Ok(plain.into())
}

/// `Retry-After`, as this server says it: in seconds.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds))
}

fn tls() -> Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    // A machine that trusts nobody still reaches a server without TLS.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.map_err(Error::local)?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

/// The deepest cause of an error.
fn cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use futures_util::future::BoxFuture;
    use mosaic_domain::UnixMillis;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;
    use crate::platform::Platform;

    /// Remembers how long it was to wait.
    #[derive(Debug, Default)]
    struct Patience(Mutex<Vec<Duration>>);

    impl Platform for Patience {
        fn now(&self) -> UnixMillis {
            UnixMillis::clamped(1_715_000_000_000)
        }

        fn random(&self) -> u128 {
            25
        }

        fn pause(&self, how_long: Duration) -> BoxFuture<'static, ()> {
            self.0.lock().unwrap().push(how_long);
            Box::pin(std::future::ready(()))
        }
    }

    /// Sends a request to a server that answers so, one answer for each connection; and how long was waited, in milliseconds.
    async fn send(request: Request, answers: &'static [&'static str]) -> (Result<Answer>, Vec<u128>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = format!("http://{}", listener.local_addr().unwrap());
        let serving = tokio::spawn(async move {
            for answer in answers {
                let (mut client, _) = listener.accept().await.unwrap();
                let mut head = [0; 4096];
                assert!(client.read(&mut head).await.unwrap() > 0);
                let closed =
                    format!("HTTP/1.1 {answer}\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{{}}");
                client.write_all(closed.as_bytes()).await.unwrap();
            }
        });
        let patience = Arc::<Patience>::default();
        let settings = Settings {
            platform: Arc::clone(&patience) as _,
            attempts: 4,
            ..Settings::default()
        };
        let http = Http::new("phone".into(), settings).unwrap();
        let answer = http.send(&server, &request, None).await;
        serving.await.unwrap();
        let waits = patience
            .0
            .lock()
            .unwrap()
            .iter()
            .map(Duration::as_millis)
            .collect();
        (answer, waits)
    }

    #[tokio::test]
    async fn what_passes_is_tried_again_later_each_time_and_when_the_server_says() {
        let busy = &["503 Busy", "429 Slow\r\nretry-after: 7", "502 Bad", "200 OK"];
        let (answer, waits) = send(Request::get("/health"), busy).await;
        assert_eq!(answer.unwrap().status, StatusCode::OK);
        // Three quarters of 0.5, 1 and 2 seconds, with this jitter.
        assert_eq!(waits, [375, 7_000, 1_500]);
    }

    #[tokio::test]
    async fn what_does_not_pass_is_told_at_once() {
        let (answer, waits) = send(Request::get("/health"), &["404 None"]).await;
        assert!(matches!(answer, Err(Error::NotTheServer(_))));
        assert!(waits.is_empty());
        let once = Request {
            is_repeatable: false,
            ..Request::get("/health")
        };
        let (answer, waits) = send(once, &["503 Busy"]).await;
        assert!(matches!(answer, Err(Error::Later { .. })) && waits.is_empty());
        let long: &[&str] = &["503 Busy\r\nretry-after: 3600"];
        let (answer, waits) = send(Request::get("/health"), long).await;
        let Err(Error::Later { after, .. }) = answer else {
            panic!("{answer:?}")
        };
        assert_eq!(
            (after, waits),
            (Some(Duration::from_hours(1)), vec![]),
            "the app is told"
        );
    }

    #[tokio::test]
    async fn the_fourth_failure_is_the_last() {
        let (answer, waits) = send(Request::get("/health"), &["500 No", "500 No", "500 No", "500 No"]).await;
        assert!(matches!(answer, Err(Error::Later { after: None, .. })));
        assert_eq!(waits.len(), 3);
    }
}
