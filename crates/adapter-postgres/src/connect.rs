//! Connections: how they are made, and the pool of them.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use deadpool_postgres::{Connect, Manager, ManagerConfig, Pool, RecyclingMethod, Runtime};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio_postgres::config::TargetSessionAttrs;
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::{CancelToken, Client, Config, Connection, Socket};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::error::OpenError;
use crate::settings::PostgresSettings;
use crate::{shards, tls};

/// Where and how to listen.
#[derive(Clone)]
pub(crate) struct ListenSettings {
    pub(crate) connector: Connector,
    pub(crate) config: Config,
    /// The database, without a password.
    pub(crate) shown: String,
    /// How long making a connection may take.
    pub(crate) connect_timeout: Duration,
    /// How often the connection is asked whether it hears.
    pub(crate) probe_every: Duration,
}

/// Makes connections. They belong to the runtime in which the store was opened, whoever asks for them: a web worker that
/// stops takes no connection with it.
#[derive(Clone)]
pub(crate) struct Connector {
    tls: MakeRustlsConnect,
    runtime: Handle,
}

type Connecting<'a> =
    Pin<Box<dyn Future<Output = Result<(Client, JoinHandle<()>), tokio_postgres::Error>> + Send + 'a>>;

impl Connect for Connector {
    fn connect(&self, config: &Config) -> Connecting<'_> {
        let config = config.clone();
        let tls = self.tls.clone();
        let connect = async move {
            let (client, connection) = config.connect(tls).await?;
            let driver = Handle::current().spawn(async move {
                if let Err(error) = connection.await {
                    // Whoever was waiting for an answer is told; a connection that was idle is replaced in silence.
                    tracing::debug!(
                        error = &error as &dyn std::error::Error,
                        "a connection to the database was lost"
                    );
                }
            });
            // The driver has asked whether the server takes writes, and read no further than what it wanted to know. A pooler
            // that answers the rest later takes that for the end of what is asked next.
            client.batch_execute("").await?;
            Ok((client, driver))
        };
        Box::pin(InRuntime {
            runtime: self.runtime.clone(),
            future: Box::pin(connect),
        })
    }
}

/// A connection whose messages somebody reads.
type Listening = Connection<Socket, <MakeRustlsConnect as MakeTlsConnect<Socket>>::Stream>;

impl Connector {
    /// Makes a connection that belongs to whoever asks for it, and works only while its messages are read.
    pub(crate) async fn listening(
        &self,
        config: &Config,
    ) -> Result<(Client, Listening), tokio_postgres::Error> {
        config.connect(self.tls.clone()).await
    }

    /// Asks the database to give up what it is doing for that connection.
    pub(crate) async fn cancel(&self, token: CancelToken) -> Result<(), tokio_postgres::Error> {
        token.cancel_query(self.tls.clone()).await
    }
}

/// Polls a future as if it were in another runtime: its sockets and tasks belong there.
struct InRuntime<F> {
    runtime: Handle,
    future: Pin<Box<F>>,
}

impl<F: Future> Future for InRuntime<F> {
    type Output = F::Output;
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let runtime = self.runtime.clone();
        let _entered = runtime.enter();
        self.future.as_mut().poll(cx)
    }
}

/// The connector and what every connection begins with.
pub(crate) fn prepare(settings: &PostgresSettings) -> Result<(Connector, Config), OpenError> {
    let (tls, ssl_mode) = tls::connector(settings)?;
    let mut config = settings.url.config.clone();
    config.ssl_mode(ssl_mode);
    if config.get_application_name().is_none() {
        config.application_name("mosaic");
    }
    if config.get_connect_timeout().is_none() {
        config.connect_timeout(settings.connect_timeout);
    }
    // A standby, which the address may lead to while a failover is under way, is of no use; of several hosts the one that
    // takes writes is.
    config.target_session_attrs(TargetSessionAttrs::ReadWrite);
    config.keepalives_idle(settings.keepalive);
    config.keepalives_interval(settings.keepalive / 3);
    config.keepalives_retries(3);
    // What was sent and is not acknowledged for that long is lost, keepalive or not.
    config.tcp_user_timeout(settings.keepalive);
    let connector = Connector {
        tls,
        runtime: Handle::current(),
    };
    Ok((connector, config))
}

/// The same for the connection that listens for commits.
pub(crate) fn prepare_listening(settings: &PostgresSettings) -> Result<ListenSettings, OpenError> {
    let url = settings.listen_url.as_ref().unwrap_or(&settings.url).clone();
    let shown = url.to_string();
    let (connector, config) = prepare(&PostgresSettings {
        url,
        ..settings.clone()
    })?;
    Ok(ListenSettings {
        connector,
        config,
        shown,
        connect_timeout: settings.connect_timeout,
        probe_every: settings.keepalive,
    })
}

/// The pool. A pooler takes no settings with the connection: there they come with each transaction.
pub(crate) fn pool(
    settings: &PostgresSettings,
    connector: Connector,
    mut config: Config,
) -> Result<Pool, deadpool_postgres::BuildError> {
    if settings.prepared_statements {
        let mut options = config.get_options().unwrap_or_default().to_owned();
        options.extend(limits(settings).map(|(name, ms)| format!(" -c {name}={ms}")));
        config.options(options);
    }
    let manager = Manager::from_connect(
        config,
        connector,
        ManagerConfig {
            recycling_method: if settings.verify_connections {
                RecyclingMethod::Verified
            } else {
                RecyclingMethod::Fast
            },
        },
    );
    Pool::builder(manager)
        .max_size(settings.pool_size.max(1))
        .wait_timeout(Some(settings.acquire_timeout))
        .create_timeout(Some(settings.connect_timeout))
        .recycle_timeout(Some(settings.connect_timeout))
        .runtime(Runtime::Tokio1)
        .build()
}

/// What a transaction begins with.
///
/// Reads after the lock must see what was committed before it was given: a snapshot per statement, whatever the database's
/// default is. That it may be read only by default is respected: its operator wants no writes then. The limits of a
/// connection do not hold on other machines; those of a transaction, and what is set after that is asked for, are passed on.
pub(crate) fn begin(settings: &PostgresSettings, is_distributed: bool) -> String {
    let mut begin = "BEGIN ISOLATION LEVEL READ COMMITTED".to_owned();
    if is_distributed {
        begin.extend(["; ", shards::PASS_ON]);
    }
    if is_distributed || !settings.prepared_statements {
        begin.extend(limits(settings).map(|(name, ms)| format!("; SET LOCAL {name} = {ms}")));
    }
    begin
}

/// The limits that the database holds to, in milliseconds.
pub(crate) fn limits(settings: &PostgresSettings) -> [(&'static str, u128); 3] {
    let ms = |limit: Duration| limit.as_millis().max(1);
    [
        ("statement_timeout", ms(settings.statement_timeout)),
        ("lock_timeout", ms(settings.lock_timeout)),
        (
            "idle_in_transaction_session_timeout",
            ms(settings.idle_in_transaction_timeout),
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Other machines are told what is set after it was said that they should be.
    #[test]
    fn a_transaction_begins_with_what_a_connection_does_not_hold() {
        let mut settings = PostgresSettings::new("postgres://localhost/mosaic".parse().unwrap());
        let limits = "SET LOCAL statement_timeout = 15000; SET LOCAL lock_timeout = 5000; \
                      SET LOCAL idle_in_transaction_session_timeout";
        let isolated = "BEGIN ISOLATION LEVEL READ COMMITTED";
        assert_eq!(begin(&settings, false), isolated);
        let passed_on = format!("{isolated}; SET LOCAL citus.propagate_set_commands = 'local'; {limits}");
        assert!(
            begin(&settings, true).starts_with(&passed_on),
            "{}",
            begin(&settings, true)
        );
        settings.prepared_statements = false;
        assert!(begin(&settings, false).starts_with(&format!("{isolated}; {limits}")));
    }
}
