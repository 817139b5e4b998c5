//! `mosaic serve`: runs until it is told to stop, then finishes what is in flight.

use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::ServerHandle;
use mosaic_adapter_http::Tls;
use mosaic_adapter_system::OsRandomness;
use mosaic_application::nudges::Subscriptions;
use mosaic_ports::StoreError;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::bundle::schedule::ScheduledBackup;
use crate::certificate::{self, CertificateError};
use crate::config::{Config, Loaded};
use crate::control::ControlSocket;
use crate::first::{self, FirstError};
use crate::listen::{ListenError, Sockets};
use crate::metrics::MetricsServer;
use crate::notify::{self, notify};
use crate::signals::StopSignals;
use crate::wiring::{self, Opening, Services, WiringError};

/// A client that was taken just before a stop sends its request within so long.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// Why the server did not start, or ended by itself.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServeError {
    /// The address can't be listened on.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// There is no HTTPS by the files that are named.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// There is no HTTPS at all.
    #[error("HTTPS can not be set up: {0}")]
    Tls(rustls::Error),
    /// The address for metrics can't be listened on.
    #[error(
        "can not listen on {address} for metrics (metrics.listen, --metrics-listen, MOSAIC_METRICS_LISTEN): {source}"
    )]
    MetricsListen {
        address: std::net::SocketAddr,
        source: io::Error,
    },
    /// What listens for whoever wants metrics can't be used.
    #[error("metrics can not be served: {0}")]
    Metrics(io::Error),
    /// The parts could not be put together.
    #[error(transparent)]
    Wiring(#[from] WiringError),
    /// The store has no administrator, and gets none.
    #[error(transparent)]
    First(#[from] FirstError),
    /// Whether the database was set back can't be told.
    #[error("the database can not be compared with what is remembered of it: {0}")]
    History(StoreError),
    /// Signals can't be heard, so nobody could stop the server in an orderly way.
    #[error("signals can not be heard: {0}")]
    Signals(io::Error),
    /// The HTTP server failed.
    #[error("the HTTP server failed: {0}")]
    Http(io::Error),
}

/// Serves until SIGINT, SIGTERM or SIGHUP. `tell` shows a person, and nobody else, what is said only once.
pub(crate) async fn serve(loaded: &Loaded, opening: Opening, tell: impl Fn(&str)) -> Result<(), ServeError> {
    let config = &loaded.config;
    let tls = config.tls.as_ref().map(certificate::read).transpose()?;
    let tls = tls.map(Tls::new).transpose().map_err(ServeError::Tls)?;
    let scheme = if tls.is_some() { "https" } else { "http" };
    let sockets = config.server.listen.bind(scheme).await?;
    let metrics = metrics_listener(config)?;
    let services = Services::open(config, opening).await?;
    let served = serve_on(loaded, sockets, tls, metrics, &services, &tell).await;
    services.close().await;
    served?;
    tracing::info!("stopped");
    Ok(())
}

/// What listens for whoever wants metrics, where that is configured.
fn metrics_listener(config: &Config) -> Result<Option<TcpListener>, ServeError> {
    let bind =
        |address| TcpListener::bind(address).map_err(|source| ServeError::MetricsListen { address, source });
    config.metrics.listen.map(bind).transpose()
}

/// Answers whoever wants metrics from now on.
fn serve_metrics(
    listener: Option<TcpListener>,
    config: &Config,
    services: &Services,
) -> Result<Option<MetricsServer>, ServeError> {
    let Some(listener) = listener else {
        return Ok(None);
    };
    let address = listener.local_addr().map_err(ServeError::Metrics)?;
    let server = MetricsServer::start(listener, services.metrics(config)).map_err(ServeError::Metrics)?;
    tracing::info!(%address, "metrics are served");
    Ok(Some(server))
}

async fn serve_on(
    loaded: &Loaded,
    mut sockets: Sockets,
    tls: Option<Tls>,
    metrics: Option<TcpListener>,
    services: &Services,
    tell: &impl Fn(&str),
) -> Result<(), ServeError> {
    let config = &loaded.config;
    first::administrator(config, services, tell).await?;
    services
        .notice_setting_back()
        .await
        .map_err(ServeError::History)?;
    // Before anybody can know that the server runs, and stop it.
    let signals = StopSignals::listen().map_err(ServeError::Signals)?;
    let subscriptions = services.hear_of_commits();
    let metrics = serve_metrics(metrics, config, services)?;
    let (stop, stopping) = watch::channel(false);
    let settings = wiring::http_settings(config);
    warn_of_hidden_addresses(config, &sockets);
    let listeners = std::mem::take(&mut sockets.listeners);
    let server = mosaic_adapter_http::start(&settings, listeners, tls.clone(), services.state.clone())
        .map_err(ServeError::Http)?;
    let stopper = tokio::spawn(stop_on_signal(
        signals,
        server.handle(),
        stop.clone(),
        subscriptions,
        sockets.are_kept_open,
    ));
    let background = Background::start(loaded, services, tls, metrics, stopping);
    tracing::info!(
        database = %config.database,
        attachments = %config.storage,
        "listening on {}",
        sockets.addresses.join(", ")
    );
    notify(notify::READY);
    services.watch();
    let ended = server.await.map_err(ServeError::Http);
    drop(sockets);
    stopper.abort();
    stop.send_replace(true);
    background.end(config.http.shutdown_timeout).await;
    ended
}

/// What a server does beside answering devices.
struct Background {
    /// Each ends by itself when the server stops.
    jobs: Vec<JoinHandle<()>>,
    follower: Option<JoinHandle<()>>,
    control: Option<ControlSocket>,
    metrics: Option<MetricsServer>,
}

impl Background {
    fn start(
        loaded: &Loaded,
        services: &Services,
        tls: Option<Tls>,
        metrics: Option<MetricsServer>,
        stopping: watch::Receiver<bool>,
    ) -> Self {
        let config = &loaded.config;
        let certificate = config.tls.clone().zip(tls);
        let backups = ScheduledBackup::of(config).map(|backups| backups.start(stopping.clone()));
        Self {
            jobs: [services.daily(config).start(stopping, &OsRandomness)]
                .into_iter()
                .chain(backups)
                .collect(),
            follower: certificate.map(|(files, tls)| tokio::spawn(certificate::follow(files, tls))),
            control: ControlSocket::open(services.workbench(config, loaded.values.to_string())),
            metrics,
        }
    }

    /// Ends all of it, the commands beside the server within `limit`.
    async fn end(self, limit: Duration) {
        if let Some(follower) = self.follower {
            follower.abort();
        }
        for job in self.jobs {
            // It catches its own panics; there is nothing else to say.
            let _ = job.await;
        }
        if let Some(control) = self.control {
            control.close(limit).await;
        }
        if let Some(metrics) = self.metrics {
            metrics.stop().await;
        }
    }
}

/// Waits for a signal, then has everything end: what listens for changes, what is done in the background, the server.
async fn stop_on_signal(
    mut signals: StopSignals,
    server: ServerHandle,
    stop: watch::Sender<bool>,
    subscriptions: Arc<Subscriptions>,
    are_kept_open: bool,
) {
    let name = signals.received().await;
    tracing::info!("{name}: finishing what is in flight");
    notify(notify::STOPPING);
    // Those who listen for changes would listen for ever.
    subscriptions.close();
    stop.send_replace(true);
    if are_kept_open {
        // Who comes from now on waits for the next server. Who was taken already says what they want, and is answered.
        server.pause().await;
        tokio::time::sleep(LAST_WORDS).await;
    }
    server.stop(true).await;
}

/// Behind a proxy that is not trusted nobody has an address, and one who guesses passwords locks out all strangers.
fn warn_of_hidden_addresses(config: &Config, sockets: &Sockets) {
    if sockets.hide_addresses() && !config.http.trust_proxy {
        tracing::warn!(
            "clients that come by a unix socket have no address, and share the limits of one: set http.trust_proxy \
             where the proxy sends X-Forwarded-For"
        );
    }
}
