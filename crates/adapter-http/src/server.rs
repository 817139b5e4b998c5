//! The server: built apart from being run, so that tests can start it on a port of their own.
//!
//! The order of the layers, from the outside: connection, request id, log line, compression, headers, problem+json, CORS,
//! refusals, routes. Signals are left to the binary, which stops the server through its handle.

use std::fmt;
use std::future::ready;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix_cors::Cors;
use actix_http::error::DispatchError;
use actix_http::{HttpServiceBuilder, Protocol};
use actix_server::GracefulShutdownSignal;
use actix_service::{IntoServiceFactory as _, ServiceFactoryExt as _, fn_service, map_config};
use actix_web::body::MessageBody;
use actix_web::dev::{AppConfig, Server, ServiceFactory, ServiceRequest, ServiceResponse};
use actix_web::http::header::{self, HeaderName, HeaderValue};
use actix_web::middleware::{Condition, Next, from_fn};
use actix_web::rt::net::{TcpStream, UnixStream};
use actix_web::{App, web};

use crate::admission::{Admission, RequestLimits};
use crate::body::BodyLimits;
use crate::budget::{Holder, MemoryBudget};
use crate::client_addr::TrustProxy;
use crate::docs::Document;
use crate::figures::HttpFigures;
use crate::limits::{LoginLimiter, network};
use crate::problem::{Problem, ProblemCode};
use crate::request_id::{self, RequestIdSource};
use crate::routes::{RouteTable, unknown_route};
use crate::socket::{self, Listener, Socket};
use crate::state::AppState;
use crate::tls::{Greeting, Tls};
use crate::wire::{LONGEST_HEAD, Wire};
use crate::{access_log, api, client_addr, compress, connection, invite_page, problem};

/// A client that is answered before it has sent its whole body may go on sending for so long, unread: were the connection closed
/// at once, it would lose the answer.
const LINGER: Duration = Duration::from_secs(5);

/// How the server behaves on the wire. Where it listens is the caller's business.
#[derive(Debug, Clone)]
pub struct HttpSettings {
    /// How many threads answer requests.
    pub workers: usize,
    /// How long a connection is kept open for its next request.
    pub keep_alive: Duration,
    /// How long the head of a request may take to arrive.
    pub head_timeout: Duration,
    /// What a request's body may cost.
    pub body: BodyLimits,
    /// How many bytes of memory bodies and answers may take together. Never less than the largest body needs.
    pub memory_budget: usize,
    /// How many requests run at the same time.
    pub requests: RequestLimits,
    /// Web pages from these origins may call the server (`https://notes.example`, or `*` for any). None by default.
    pub cors_origins: Vec<String>,
    /// Whether the proxy in front of the server is believed about where requests come from.
    pub trust_proxy: bool,
    /// How long requests that are being answered may take to finish when the server stops. Whole seconds.
    pub shutdown_timeout: Duration,
}

impl Default for HttpSettings {
    fn default() -> Self {
        Self {
            workers: std::thread::available_parallelism().map_or(2, usize::from),
            keep_alive: Duration::from_secs(75),
            head_timeout: Duration::from_secs(10),
            body: BodyLimits::default(),
            memory_budget: 128 * 1024 * 1024,
            requests: RequestLimits::default(),
            cors_origins: Vec::new(),
            trust_proxy: false,
            shutdown_timeout: Duration::from_secs(30),
        }
    }
}

/// What is served: the routes, and the data that their handlers ask for.
#[derive(Clone)]
pub(crate) struct Site {
    table: Arc<dyn Fn() -> RouteTable + Send + Sync>,
    data: Arc<dyn Fn(&mut web::ServiceConfig) + Send + Sync>,
    request_ids: RequestIdSource,
    figures: HttpFigures,
}

impl Site {
    /// The whole server over these use cases.
    pub(crate) fn of(settings: &HttpSettings, state: AppState) -> Self {
        let memory = MemoryBudget::new(settings.memory_budget, settings.body.unpacked_bytes);
        let admission = Admission::new(settings.requests);
        let ids = Arc::clone(&state.ids);
        let figures = state.figures.clone();
        let limiter = web::Data::new(LoginLimiter::new(state.login_budgets));
        let state = web::Data::new(state);
        Self {
            table: Arc::new(api::table),
            data: Arc::new(move |config| {
                config
                    .app_data(state.clone())
                    .app_data(limiter.clone())
                    .app_data(memory.clone())
                    .app_data(admission.clone());
            }),
            request_ids: RequestIdSource::new(move || ids.next()),
            figures,
        }
    }
}

impl fmt::Debug for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Site")
    }
}

/// Builds the server on sockets that are already bound, those of the network with TLS where it is given. It runs when the result is polled, and stops through its
/// [`handle`](Server::handle): `stop(true)` lets requests that are being answered finish.
///
/// # Errors
/// When a socket can not be used.
///
/// # Panics
/// Without a socket.
pub fn start(
    settings: &HttpSettings,
    listeners: Vec<Listener>,
    tls: Option<Tls>,
    state: AppState,
) -> io::Result<Server> {
    start_site(settings, listeners, tls, &Site::of(settings, state))
}

/// The OpenAPI document of the server, as JSON.
///
/// # Errors
/// When it can not be rendered, which the tests rule out.
pub fn openapi() -> io::Result<String> {
    let document = Document::of(api::table);
    let json = document.json().map_err(io::Error::other)?;
    String::from_utf8(json.into()).map_err(io::Error::other)
}

fn start_site(
    settings: &HttpSettings,
    listeners: Vec<Listener>,
    tls: Option<Tls>,
    site: &Site,
) -> io::Result<Server> {
    let table = Arc::clone(&site.table);
    let document = Document::of(move || table());
    let mut builder = Server::build()
        .workers(settings.workers.max(1))
        .shutdown_timeout(settings.shutdown_timeout.as_secs())
        .disable_signals();
    let served = Served {
        settings: settings.clone(),
        site: site.clone(),
        document,
        // Of its own: large heads keep nobody from sending a body.
        heads: MemoryBudget::new(settings.memory_budget / 4, LONGEST_HEAD),
        stopping: builder.graceful_shutdown_signal(),
        tls,
    };
    for listener in listeners {
        let served = served.clone();
        builder = match listener {
            Listener::Tcp(listener) => builder.listen("http", listener, move || {
                let here = Rc::new(served.clone());
                fn_service(move |io: TcpStream| {
                    let here = Rc::clone(&here);
                    async move { here.meet(io).await }
                })
                .and_then(served.http())
            })?,
            Listener::Unix(listener) => builder.listen_uds("http", listener, move || {
                let here = served.clone();
                fn_service(move |io: UnixStream| ready(Ok(here.accept(Socket::Unix(io)))))
                    .and_then(served.http())
            })?,
        };
    }
    Ok(builder.run())
}

/// What all connections have in common, whichever socket they come by.
#[derive(Clone)]
struct Served {
    settings: HttpSettings,
    site: Site,
    document: Document,
    heads: MemoryBudget,
    stopping: GracefulShutdownSignal,
    tls: Option<Tls>,
}

/// A connection, as actix wants it.
type Arrival = (Wire, Protocol, Option<SocketAddr>);

impl Served {
    /// A connection of the network. Shaking hands is part of it: it counts, has the deadline of a head, and holds up nobody else.
    async fn meet(&self, io: TcpStream) -> Result<Arrival, DispatchError> {
        socket::settle(&io);
        let Some(tls) = &self.tls else {
            return Ok(self.accept(Socket::Tcp(io)));
        };
        let peer = io.peer_addr().ok();
        let greeting = tokio::select! {
            greeting = tls.greet(io) => greeting,
            () = actix_web::rt::time::sleep(self.settings.head_timeout) => Err(io::ErrorKind::TimedOut.into()),
            // Who has not asked for anything holds up no stop.
            () = self.stopping.notified() => Err(io::ErrorKind::ConnectionAborted.into()),
        };
        match greeting {
            Ok(Greeting::Tls(socket)) => Ok(self.accept(socket)),
            Ok(Greeting::Plain(socket)) => {
                let mut arrival = self.accept(socket);
                let detail = "this port speaks HTTPS: the address has to begin with https://";
                arrival.0.refuse(Problem::new(ProblemCode::BadRequest, detail));
                Ok(arrival)
            }
            Err(error) => {
                let address = peer.map_or(client_addr::UNKNOWN, |peer| peer.ip().to_canonical());
                tracing::warn!(target: access_log::TARGET, client_addr = %address, %error, "no TLS handshake");
                Err(DispatchError::Io(error))
            }
        }
    }

    fn accept(&self, socket: Socket) -> Arrival {
        let peer = socket.peer();
        let sender = peer.map_or(client_addr::UNKNOWN, |peer| peer.ip());
        let held = self.heads.lease(Holder::Network(network(sender)));
        let wire = Wire::new(socket, held, self.settings.head_timeout, LINGER);
        (wire, Protocol::Http1, peer)
    }

    /// The connections of one worker that come by one socket: as `HttpServer` does it, which takes no stream of ours.
    fn http(
        &self,
    ) -> impl ServiceFactory<Arrival, Config = (), Response = (), Error = DispatchError, InitError = ()> + use<>
    {
        let stopping = self.stopping.clone();
        let application = app(&self.settings, &self.site, &self.document)
            .into_factory()
            .map_err(|error: actix_web::Error| error.error_response());
        HttpServiceBuilder::default()
            .graceful_shutdown_signal(move || {
                let stopping = stopping.clone();
                async move { stopping.notified().await }
            })
            .keep_alive(self.settings.keep_alive)
            // A head's own deadline comes first: this one ends connections on which nothing is said at all.
            .client_request_timeout(2 * self.settings.head_timeout)
            .client_disconnect_timeout(LINGER)
            // Whoever has hung up waits for nothing: its request gives back what it holds, a database connection perhaps.
            .h1_allow_half_closed(false)
            .on_connect_ext(|wire: &Wire, extensions| {
                extensions.insert(wire.connection());
            })
            .finish(map_config(application, |()| AppConfig::default()))
    }
}

/// The application of one worker.
pub(crate) fn app(
    settings: &HttpSettings,
    site: &Site,
    document: &Document,
) -> App<
    impl ServiceFactory<
        ServiceRequest,
        Config = (),
        Response = ServiceResponse<impl MessageBody + use<>>,
        Error = actix_web::Error,
        InitError = (),
    > + use<>,
> {
    let table = (site.table)();
    let routes = |config: &mut web::ServiceConfig| {
        table.configure(config, &site.figures);
        document.configure(config, &site.figures);
        invite_page::configure(config, &site.figures);
    };
    let ids = site.request_ids.clone();
    App::new()
        .app_data(settings.body)
        .app_data(site.figures.clone())
        .app_data(TrustProxy(settings.trust_proxy))
        .configure(|config| (site.data)(config))
        .service(
            web::scope("/api")
                .configure(routes)
                .default_service(web::to(unknown_route)),
        )
        .configure(routes)
        .default_service(web::to(unknown_route))
        .wrap(from_fn(connection::refuse))
        .wrap(Condition::new(
            !settings.cors_origins.is_empty(),
            cors(&settings.cors_origins),
        ))
        .wrap(from_fn(problem::finish))
        .wrap(from_fn(api::uploads::add_version))
        .wrap(from_fn(security_headers))
        .wrap(from_fn(compress::json))
        .wrap(from_fn(access_log::write))
        .wrap(from_fn(move |request, next| {
            request_id::assign(ids.clone(), request, next)
        }))
        .wrap(from_fn(connection::hold))
}

/// The headers that web pages send: what is read here, and what libraries add to every request, whether it is read or not.
const REQUEST_HEADERS: [&str; 17] = [
    "authorization",
    "baggage",
    "cache-control",
    "content-encoding",
    "content-type",
    "idempotency-key",
    "if-match",
    "if-none-match",
    "if-range",
    "last-event-id",
    "range",
    "sentry-trace",
    "traceparent",
    "x-client-id",
    "x-client-time",
    "x-request-id",
    "x-requested-with",
];
/// The headers that web pages read of answers. `Retry-After` is of any answer, those to uploads too.
const RESPONSE_HEADERS: [&str; 7] = [
    "x-request-id",
    "retry-after",
    "etag",
    "accept-ranges",
    "content-range",
    "link",
    "content-disposition",
];

/// The headers of answers that web pages may read, for what answers in the place of the server.
pub fn exposed_headers() -> impl Iterator<Item = &'static str> {
    RESPONSE_HEADERS.into_iter().chain(api::uploads::RESPONSE_HEADERS)
}

fn cors(origins: &[String]) -> Cors {
    let base = Cors::default()
        .allowed_methods(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"])
        .allowed_headers(REQUEST_HEADERS)
        .allowed_headers(api::uploads::REQUEST_HEADERS)
        .expose_headers(exposed_headers())
        .max_age(3600);
    origins.iter().fold(base, |cors, origin| match origin.as_str() {
        "*" => cors.allow_any_origin(),
        origin => cors.allowed_origin(origin),
    })
}

/// Middleware: what browsers must not do with our answers. A handler's own header stays.
async fn security_headers<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, actix_web::Error> {
    const HEADERS: [(HeaderName, &str); 5] = [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; frame-ancestors 'none'",
        ),
        (header::CACHE_CONTROL, "no-store"),
    ];
    let mut response = next.call(request).await?;
    for (name, value) in HEADERS {
        if !response.headers().contains_key(&name) {
            response
                .headers_mut()
                .insert(name, HeaderValue::from_static(value));
        }
    }
    Ok(response)
}

#[cfg(test)]
mod tests;
