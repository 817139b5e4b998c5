//! One request at a time: HTTP/1.1 by hyper, TLS by rustls with ring, retries where they are safe.

use std::io::Read as _;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body, Bytes, Incoming};
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

/// The wait after a first failure, before jitter; it doubles with each further one.
const FIRST_WAIT: Duration = Duration::from_millis(500);
/// The longest wait for a next try. Where the server says longer, the app is told.
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// `Retry-After` is taken for no more than this, so that nothing waits for ever.
const MOST_RETRY_AFTER: Duration = Duration::from_hours(24);
/// So many bytes of a request are given a second more, on the slowest network.
const BYTES_PER_SECOND: u64 = 8 * 1024;
/// An answer has at most so many bytes, packed or not: twice the most that a server puts into a list.
const MOST_ANSWER_BYTES: usize = 64 * 1024 * 1024;

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

/// The failures in a row of all that one call asks for. Tries within tries share it, so that they do not multiply.
#[derive(Debug, Default)]
pub(crate) struct Failures(u32);

impl Failures {
    /// Something has come of it: the next failure is a first one.
    pub(crate) fn end(&mut self) {
        self.0 = 0;
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

    /// Sends a request until it is answered, where that is safe.
    pub(crate) async fn send(
        &self,
        server: &str,
        request: &Request,
        token: Option<&str>,
        failures: &mut Failures,
    ) -> Result<Answer> {
        loop {
            match self.send_once(server, request, token).await {
                Err(error @ Error::Later { .. }) if request.is_repeatable => {
                    self.wait(error, failures).await?;
                }
                done => return done,
            }
        }
    }

    /// Waits before the next try: with jitter, and as long as `Retry-After` says.
    ///
    /// # Errors
    /// The failure itself, where there were enough of them, or where the server wants to be left alone for long.
    pub(crate) async fn wait(&self, error: Error, failures: &mut Failures) -> Result<()> {
        failures.0 += 1;
        let wait = self.backoff(failures.0).max(error.after().unwrap_or_default());
        if failures.0 >= self.settings.attempts || wait > LONGEST_WAIT {
            return Err(error);
        }
        self.settings.platform.pause(wait).await;
        Ok(())
    }

    /// How long to wait after so many failures in a row: longer each time, and never all devices at once.
    pub(crate) fn backoff(&self, failures: u32) -> Duration {
        let longest = FIRST_WAIT
            .saturating_mul(1 << failures.saturating_sub(1).min(10))
            .min(LONGEST_WAIT);
        let percent = u32::try_from(self.settings.platform.random() % 51).unwrap_or_default();
        longest * (50 + percent) / 100
    }

    async fn send_once(&self, server: &str, request: &Request, token: Option<&str>) -> Result<Answer> {
        let sent = self.prepare(server, request, token)?;
        let allowed =
            self.settings.timeout + Duration::from_secs(request.body.len() as u64 / BYTES_PER_SECOND);
        let response = tokio::time::timeout(allowed, self.client.request(sent)).await;
        let response = response
            .map_err(|_| Error::later("it took too long"))?
            .map_err(|error| Error::later(cause(&error)))?;
        read(response, request.is_stream, self.settings.timeout).await
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
async fn read(response: Response<Incoming>, is_stream: bool, idle: Duration) -> Result<Answer> {
    let (head, stream) = response.into_parts();
    // Bytes may be elsewhere, answers may not: a proxy that sends requests to another address is to be named itself.
    let is_wanted = head.status.is_success() || (is_stream && head.status.is_redirection());
    let mut answer = Answer {
        status: head.status,
        headers: head.headers,
        body: Bytes::new(),
        stream: None,
    };
    if is_wanted && is_stream {
        answer.stream = Some(stream);
        return Ok(answer);
    }
    let body = collect(stream, idle, MOST_ANSWER_BYTES).await?;
    answer.body = unpacked(&answer.headers, body, MOST_ANSWER_BYTES)?;
    if !is_wanted {
        let after = retry_after(&answer.headers);
        return Err(Error::of_answer(answer.status.as_u16(), after, &answer.body));
    }
    Ok(answer)
}

/// The next part of a body, which has to come within so long; none at the end.
pub(crate) async fn next_part<B>(body: &mut B, idle: Duration) -> Result<Option<Bytes>>
where
    B: Body<Data = Bytes, Error: std::error::Error> + Unpin,
{
    loop {
        let frame = tokio::time::timeout(idle, body.frame()).await;
        let frame = frame.map_err(|_| Error::later("it stopped in the middle"))?;
        let Some(frame) = frame.transpose().map_err(|error| Error::later(cause(&error)))? else {
            return Ok(None);
        };
        if let Ok(bytes) = frame.into_data() {
            return Ok(Some(bytes));
        }
    }
}

/// All of a body.
async fn collect<B>(mut body: B, idle: Duration, most: usize) -> Result<Bytes>
where
    B: Body<Data = Bytes, Error: std::error::Error> + Unpin,
{
    let mut all = Vec::new();
    while let Some(part) = next_part(&mut body, idle).await? {
        if all.len() + part.len() > most {
            return Err(too_long(most));
        }
        all.extend_from_slice(&part);
    }
    Ok(all.into())
}

fn unpacked(headers: &HeaderMap, body: Bytes, most: usize) -> Result<Bytes> {
    if headers
        .get(CONTENT_ENCODING)
        .is_none_or(|encoding| encoding != "gzip")
    {
        return Ok(body);
    }
    let mut plain = Vec::new();
    let read = flate2::read::MultiGzDecoder::new(&*body)
        .take(most as u64 + 1)
        .read_to_end(&mut plain);
    read.map_err(|error| Error::NotTheServer(error.to_string()))?;
    if plain.len() > most {
        return Err(too_long(most));
    }
    Ok(plain.into())
}

fn too_long(most: usize) -> Error {
    Error::NotTheServer(format!("more than {most} bytes"))
}

/// `Retry-After`, as this server says it: in seconds.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds).min(MOST_RETRY_AFTER))
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
    use std::convert::Infallible;
    use std::io::Write as _;

    use futures_util::{StreamExt as _, stream};
    use http_body_util::StreamBody;
    use hyper::body::Frame;

    use super::*;
    use crate::tests::{ATTEMPTS, Patience, serve};

    /// Sends a request to a server that answers so, one after the other; and how long was waited, in milliseconds.
    async fn send(request: Request, answers: &'static [&'static str]) -> (Result<Answer>, Vec<u128>) {
        let mut answers = answers.iter();
        let server = serve(move |_| (*answers.next().unwrap()).to_owned()).await;
        let patience = Arc::<Patience>::default();
        let settings = Settings {
            platform: Arc::clone(&patience) as _,
            attempts: ATTEMPTS,
            ..Settings::default()
        };
        let http = Http::new("phone".into(), settings).unwrap();
        let answer = http.send(&server, &request, None, &mut Failures::default()).await;
        (answer, patience.waits())
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

    /// A body whose parts come so far apart.
    fn slow(apart: Duration, parts: usize) -> impl Body<Data = Bytes, Error = Infallible> + Unpin {
        let parts = stream::iter(0..parts).then(move |_| async move {
            tokio::time::sleep(apart).await;
            Ok(Frame::data(Bytes::from_static(b"part")))
        });
        StreamBody::new(Box::pin(parts))
    }

    #[tokio::test(start_paused = true)]
    async fn each_part_of_an_answer_has_a_deadline_of_its_own() {
        let idle = Duration::from_secs(10);
        let whole = collect(slow(Duration::from_secs(9), 100), idle, 1_000).await;
        assert_eq!(whole.unwrap().len(), 400);
        let stuck = collect(slow(Duration::from_secs(11), 2), idle, 1_000).await;
        assert!(matches!(stuck, Err(Error::Later { .. })), "{stuck:?}");
    }

    #[tokio::test]
    async fn an_answer_has_a_bound_packed_or_not() {
        let of = |parts| collect(slow(Duration::ZERO, parts), Duration::from_secs(10), 400);
        assert_eq!(of(100).await.unwrap().len(), 400);
        assert!(matches!(of(101).await, Err(Error::NotTheServer(_))));

        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        gzip.write_all(&[0; 401]).unwrap();
        let packed = Bytes::from(gzip.finish().unwrap());
        let headers = HeaderMap::from_iter([(CONTENT_ENCODING, "gzip".parse().unwrap())]);
        assert_eq!(unpacked(&headers, packed.clone(), 401).unwrap().len(), 401);
        let bomb = unpacked(&headers, packed, 400);
        assert!(matches!(bomb, Err(Error::NotTheServer(_))));
    }
}
