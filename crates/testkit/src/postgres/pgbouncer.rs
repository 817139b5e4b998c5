//! The real PgBouncer in front of a server, thrown away at the end.

use std::fmt::Write as _;
use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

use tokio_postgres::{Config, NoTls};

use super::address::{Address, at_port, parse};
use super::binaries::folder_of;
use super::cluster::blocking;
use super::keeper::{ServiceGuard, free_port};
use super::server::chain;

/// A running PgBouncer in transaction mode: each transaction of a client may run on another connection to the server, so
/// nothing that belongs to a session survives it. It refuses start-up parameters that it does not know, as it does by
/// default.
///
/// It stops, and its folder goes, when this handle is dropped, and in any case when this process ends.
///
/// ```no_run
/// # async fn example() {
/// use mosaic_testkit::postgres::{PgBouncer, Template, TestDatabase};
///
/// let database = TestDatabase::create(&Template::empty()).await;
/// let bouncer = PgBouncer::start(&database.url()).await;
/// // … open a store at bouncer.url() …
/// # }
/// ```
#[derive(Debug)]
pub struct PgBouncer {
    database: Config,
    port: u16,
    _keeper: ServiceGuard,
}

impl PgBouncer {
    /// Starts a PgBouncer in front of the server of `url`, with four connections to each of its databases, so that many
    /// clients share them.
    ///
    /// # Panics
    /// If PgBouncer is not installed, or does not start.
    pub async fn start(url: &str) -> Self {
        Self::start_with(url, &[("default_pool_size", "4")]).await
    }

    /// The same with settings of `pgbouncer.ini`, as (name, value).
    ///
    /// # Panics
    /// As [`start`](Self::start).
    pub async fn start_with(url: &str, settings: &[(&str, &str)]) -> Self {
        let database = parse(url);
        let programs = folder_of("pgbouncer")
            .expect("PgBouncer is missing: install it (on Debian: apt-get install pgbouncer)");
        let mut error = String::new();
        // Another process may take the port before it does: then on another one.
        for _ in 0..5 {
            let port = free_port();
            let mark = format!("of_{:x}", RandomState::new().hash_one(port));
            let ini = ini(&database, port, &mark, settings);
            let (programs, users) = (programs.clone(), users(&database));
            let started = blocking(move || {
                let stop = "test ! -f pgbouncer.pid || kill -TERM \"$(cat pgbouncer.pid)\"";
                let mut keeper = ServiceGuard::start("pgbouncer", &std::env::temp_dir(), &programs, stop);
                keeper.write("pgbouncer.ini", &ini);
                keeper.write("users.txt", &users);
                keeper.run("pgbouncer -d -q pgbouncer.ini").map(|()| keeper)
            });
            match started.await {
                Ok(keeper) => match answers(&at_port(database.clone().dbname(&mark), port)).await {
                    Ok(()) => {
                        return Self {
                            database,
                            port,
                            _keeper: keeper,
                        };
                    }
                    Err(silent) => error = silent,
                },
                Err(refused) => error = refused,
            }
        }
        panic!("{error}");
    }

    /// The URL of the database that it was started for, through PgBouncer.
    pub fn url(&self) -> String {
        at_port(&self.database, self.port)
    }

    /// The URL of another database on the same server, through PgBouncer.
    pub fn url_of(&self, database: &str) -> String {
        at_port(self.database.clone().dbname(database), self.port)
    }
}

/// `mark`: a name of the database that no other PgBouncer knows.
fn ini(database: &Config, port: u16, mark: &str, settings: &[(&str, &str)]) -> String {
    let (host, server_port) = match Address::of(database) {
        Address::Tcp(host, port) => (host, port),
        Address::Unix(socket) => {
            let folder = socket.parent().unwrap().display().to_string();
            (folder, database.get_ports().first().copied().unwrap_or(5432))
        }
    };
    let name = database.get_dbname().unwrap_or("postgres");
    let auth = if database.get_password().is_some() {
        "plain"
    } else {
        "trust"
    };
    let ini = format!(
        "[databases]\n{mark} = host={host} port={server_port} dbname={name}\n* = host={host} port={server_port}\n\
         [pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n\
         auth_type = {auth}\nauth_file = users.txt\n\
         logfile = pgbouncer.log\npidfile = pgbouncer.pid\n\
         pool_mode = transaction\nmax_client_conn = 500\n"
    );
    settings.iter().fold(ini, |mut text, (name, value)| {
        writeln!(text, "{name} = {value}").unwrap();
        text
    })
}

fn users(database: &Config) -> String {
    let quoted = |bytes: &[u8]| String::from_utf8_lossy(bytes).replace('"', "\"\"");
    format!(
        "\"{}\" \"{}\"\n",
        quoted(database.get_user().unwrap_or("postgres").as_bytes()),
        quoted(database.get_password().unwrap_or_default())
    )
}

/// Waits until a client is served. One who took the same port a moment earlier may answer in its place: it does not know the
/// database by that name.
async fn answers(url: &str) -> Result<(), String> {
    let mut failure = String::new();
    for _ in 0..100 {
        match tokio_postgres::connect(url, NoTls).await {
            Ok((client, connection)) => {
                tokio::spawn(connection);
                return client.batch_execute("").await.map_err(|error| chain(&error));
            }
            Err(error) => failure = chain(&error),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Err(failure)
}
