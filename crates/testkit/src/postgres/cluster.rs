//! A PostgreSQL of our own, thrown away at the end.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use tokio_postgres::Config;

use super::address::{at_port, at_socket};
use super::binaries::server_programs;
use super::keeper::{ServiceGuard, free_port, memory, secret};
use super::server::{Server, connect};

/// The superuser of a cluster; tests work as [`ROLE`], which may do no more than a production account.
const SUPERUSER: &str = "postgres";

/// The role that owns every test database: it may create databases and nothing else.
const ROLE: &str = "mosaic";

/// What a cluster is like. The default is quick and forgets what it was told if the machine stops.
#[derive(Debug, Clone, Default)]
pub struct ClusterOptions {
    /// It is in the folder for temporary files (else: in memory, where there is room), writes reach the disk before they
    /// are acknowledged, and autovacuum runs, as in production. For tests that stop the server hard, or store a lot.
    pub durable: bool,
    /// The server speaks TLS, and refuses TCP connections without it. (Its unix socket stays plain.)
    pub tls: Option<Tls>,
    /// `max_connections`; none: 200.
    pub max_connections: Option<u32>,
    /// More settings of `postgresql.conf`, as (name, value): they win over those above.
    pub settings: Vec<(String, String)>,
    /// More arguments of `initdb`, such as `--locale-provider=icu`: they win over the default, UTF-8 with the collation
    /// of C.UTF-8.
    pub initdb: Vec<String>,
}

/// What a server shows to clients that come by TLS, in PEM.
#[derive(Clone)]
pub struct Tls {
    /// The certificate, followed by those between it and the root.
    pub certificate: String,
    /// Its private key, without a passphrase.
    pub key: String,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tls { .. }")
    }
}

impl ClusterOptions {
    /// A cluster for tests that stop the server hard: see [`durable`](Self::durable).
    pub fn durable() -> Self {
        Self {
            durable: true,
            ..Self::default()
        }
    }

    /// The same with one more setting of `postgresql.conf`.
    pub fn with(mut self, setting: &str, value: &str) -> Self {
        self.settings.push((setting.to_owned(), value.to_owned()));
        self
    }

    /// `postgresql.conf`, as far as it differs from what `initdb` writes. Of two lines for one setting, the last wins.
    fn settings(&self) -> String {
        let mut settings = vec![
            ("listen_addresses", "127.0.0.1"),
            ("unix_socket_directories", "."),
            ("unix_socket_permissions", "0700"),
            ("logging_collector", "off"),
            ("log_line_prefix", "%m [%p] %u@%d "),
            ("max_connections", "200"),
        ];
        if !self.durable {
            settings.extend([
                ("fsync", "off"),
                ("synchronous_commit", "off"),
                ("full_page_writes", "off"),
                ("autovacuum", "off"),
                ("wal_level", "minimal"),
                ("max_wal_senders", "0"),
                ("max_wal_size", "4GB"),
                ("checkpoint_timeout", "1h"),
            ]);
        }
        if self.tls.is_some() {
            settings.extend([
                ("ssl", "on"),
                ("ssl_cert_file", "../server.crt"),
                ("ssl_key_file", "../server.key"),
            ]);
        }
        let max_connections = self.max_connections.map(|most| most.to_string());
        settings.extend(max_connections.as_deref().map(|most| ("max_connections", most)));
        settings.extend(
            self.settings
                .iter()
                .map(|(name, value)| (name.as_str(), value.as_str())),
        );
        settings.iter().fold(String::new(), |mut text, (name, value)| {
            writeln!(text, "{name} = '{}'", value.replace('\'', "''")).unwrap();
            text
        })
    }

    /// `pg_hba.conf`. A password in clear is safe where nothing leaves the machine, and costs a test less time than
    /// SCRAM in an unoptimised client.
    fn access(&self) -> String {
        let tcp = if self.tls.is_some() { "hostssl" } else { "host" };
        format!("local all all password\n{tcp} all all 127.0.0.1/32 password\n")
    }
}

/// A running PostgreSQL in a temporary folder.
///
/// It stops, and its folder goes, when the last handle and the last database made in it are dropped, and in any case when
/// this process ends, even if it is killed. Clones are handles of the same cluster.
///
/// ```no_run
/// # async fn example() {
/// use mosaic_testkit::postgres::{Cluster, ClusterOptions, Template, TestDatabase};
///
/// # let template = Template::empty();
/// let cluster = Cluster::start(ClusterOptions::durable()).await;
/// let database = TestDatabase::create_on(cluster.server(), &template).await;
/// // … writes …
/// cluster.restart_immediate().await;
/// // … what was acknowledged is still there …
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Cluster {
    service: Arc<Service>,
    server: Server,
}

/// What keeps a cluster alive.
#[derive(Debug)]
pub(crate) struct Service {
    keeper: Mutex<ServiceGuard>,
    folder: PathBuf,
    port: u16,
    superuser_password: String,
}

/// How a server is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// Transactions are rolled back and connections closed, and what is in memory is written out.
    Fast,
    /// At once, as in a crash: the next start recovers from the log.
    Immediate,
}

impl Cluster {
    /// Makes a cluster and waits until it answers: a second or two.
    ///
    /// # Panics
    /// If PostgreSQL is not installed, or does not start.
    pub async fn start(options: ClusterOptions) -> Self {
        let role_password = secret();
        let plain = options.tls.is_none();
        let service = Arc::new(blocking(move || Service::start(&options)).await);
        let superuser = connect(&service.local(SUPERUSER, &service.superuser_password)).await;
        let make_role = format!("CREATE ROLE {ROLE} LOGIN NOSUPERUSER CREATEDB PASSWORD '{role_password}'");
        superuser
            .batch_execute(&make_role)
            .await
            .expect("the role is made");
        let local = service.local(ROLE, &role_password);
        let url = at_port(&local, service.port);
        // A template is built by way of the socket where TCP needs TLS.
        let build_url = if plain { url.clone() } else { at_socket(&local) };
        let server = Server::of_cluster(url, build_url, local, Arc::clone(&service)).await;
        Self { service, server }
    }

    /// Where databases are made in this cluster.
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// The TCP port on 127.0.0.1; it stays the same over restarts.
    pub fn port(&self) -> u16 {
        self.service.port
    }

    /// The folder of the unix socket.
    pub fn socket_folder(&self) -> PathBuf {
        self.service.folder.join("data")
    }

    /// A URL for a superuser of `database`, for what the role of the tests may not do.
    pub fn superuser_url(&self, database: &str) -> String {
        let mut config = self.service.local(SUPERUSER, &self.service.superuser_password);
        at_port(config.dbname(database), self.service.port)
    }

    /// Stops the server and returns when it is gone. Connections are refused until [`start_again`](Self::start_again).
    pub async fn stop(&self, how: Stop) {
        let mode = match how {
            Stop::Fast => "fast",
            Stop::Immediate => "immediate",
        };
        self.run(format!("pg_ctl -D data -m {mode} -w stop")).await;
    }

    /// Starts a stopped server and returns when it takes connections: after a crash, when it has recovered.
    pub async fn start_again(&self) {
        self.run(start_line(self.service.port)).await;
    }

    /// Stops the server as in a crash and starts it again.
    pub async fn restart_immediate(&self) {
        self.stop(Stop::Immediate).await;
        self.start_again().await;
    }

    /// What the server has logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.service.folder.join("server.log")).unwrap_or_default()
    }

    async fn run(&self, line: String) {
        let service = Arc::clone(&self.service);
        blocking(move || service.run(&line)).await;
    }
}

impl Service {
    fn start(options: &ClusterOptions) -> Self {
        let stop = "test ! -f data/postmaster.pid || pg_ctl -D data -m immediate -w stop";
        let quick = if options.durable { None } else { memory() };
        let place = quick.unwrap_or_else(std::env::temp_dir);
        let mut keeper = ServiceGuard::start("postgres", &place, &server_programs(), stop);
        let superuser_password = secret();
        keeper.write("password", &superuser_password);
        keeper.write("more.conf", &options.settings());
        keeper.write("access.conf", &options.access());
        if let Some(Tls { certificate, key }) = &options.tls {
            keeper.write("server.crt", certificate);
            keeper.write("server.key", key);
        }
        let initdb = format!(
            "initdb -D data -U {SUPERUSER} --pwfile=password --no-sync --no-instructions -E UTF8 --locale=C.UTF-8"
        );
        let initdb = options.initdb.iter().fold(initdb, |mut line, argument| {
            line.push_str(" '");
            line.push_str(argument);
            line.push('\'');
            line
        });
        for line in [
            &initdb,
            "cat more.conf >>data/postgresql.conf",
            "mv access.conf data/pg_hba.conf",
        ] {
            keeper.run(line).unwrap_or_else(|error| panic!("{error}"));
        }
        let port = first_start(&mut keeper);
        Self {
            folder: keeper.folder().to_owned(),
            keeper: Mutex::new(keeper),
            port,
            superuser_password,
        }
    }

    fn run(&self, line: &str) {
        let done = self
            .keeper
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .run(line);
        done.unwrap_or_else(|error| {
            panic!("{error}\n{}", log_of(&self.folder));
        });
    }

    /// The way in that needs neither TCP nor TLS.
    fn local(&self, user: &str, password: &str) -> Config {
        let mut config = Config::new();
        config
            .host_path(self.folder.join("data"))
            .port(self.port)
            .user(user)
            .password(password)
            .dbname("postgres");
        config
    }
}

/// Starts the server on a free port. Another process may take the port before the server does: then on another one.
fn first_start(keeper: &mut ServiceGuard) -> u16 {
    let mut error = String::new();
    for _ in 0..5 {
        let port = free_port();
        match keeper.run(&start_line(port)) {
            Ok(()) => return port,
            Err(refused) => error = refused,
        }
    }
    panic!("{error}\n{}", log_of(keeper.folder()));
}

fn start_line(port: u16) -> String {
    format!("pg_ctl -D data -l server.log -o '-p {port}' -w -t 120 start")
}

fn log_of(folder: &std::path::Path) -> String {
    std::fs::read_to_string(folder.join("server.log")).unwrap_or_default()
}

/// Runs what blocks on a thread of its own; a panic there is one here.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(value) => value,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}
