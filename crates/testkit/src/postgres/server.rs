//! A server on which test databases are made: a cluster of our own, or one that is already there.

use std::collections::HashMap;
use std::ffi::OsString;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc as blocking};
use std::time::Duration;

use tokio::sync::{OnceCell, Semaphore, mpsc, oneshot};
use tokio_postgres::{Client, Config, NoTls};

use super::cluster::{Cluster, ClusterOptions, Service};
use super::hook;

/// Names a server that is already there, as a URL of a database and a role that may create databases.
pub const DATABASE_URL: &str = "MOSAIC_TEST_DATABASE_URL";

/// The first half of an advisory lock's key: every process holds one for as long as its databases are in use.
const OWNERS: i32 = 0x6d6f_7361;

/// How test databases are called: this, the number of their process in hexadecimal, `_`, and a number.
const PREFIX: &str = "mosaic_test_";

/// A server on which test databases are made. Clones are handles of the same one.
#[derive(Debug, Clone)]
pub struct Server(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// For a database that is there from the beginning; tests put the names of theirs in its place.
    url: String,
    /// The same for those who build a template.
    build_url: String,
    /// The same database by the way that needs no TLS.
    admin: Config,
    /// This process, among all that use the server.
    owner: i32,
    made: AtomicU64,
    janitor: mpsc::UnboundedSender<Chore>,
    /// Whether the server and what we leave on it outlive us.
    outlives_us: bool,
    templates: Mutex<HashMap<String, Arc<OnceCell<()>>>>,
    copying: Semaphore,
    /// What makes copies quick.
    copy_options: &'static str,
    /// The program that makes databases.
    hook: Option<OsString>,
    /// Keeps a cluster of our own running.
    _service: Option<Arc<Service>>,
}

/// A database to drop, and whom to tell.
#[derive(Debug)]
struct Chore {
    database: String,
    done: blocking::Sender<()>,
}

impl Server {
    /// The server that all tests of this process share, started or connected to by whoever asks first: the one that
    /// `MOSAIC_TEST_DATABASE_URL` names, or a throwaway cluster.
    pub async fn shared() -> &'static Self {
        static SHARED: OnceCell<Server> = OnceCell::const_new();
        SHARED
            .get_or_init(async || match std::env::var(DATABASE_URL) {
                Ok(url) if !url.is_empty() => Self::at_with(&url, hook::of_environment()).await,
                _ => Cluster::start(ClusterOptions::default()).await.server().clone(),
            })
            .await
    }

    /// The server that is already there at `url`. What processes that were killed have left on it is dropped.
    ///
    /// # Panics
    /// If it can not be reached, without TLS.
    pub async fn at(url: &str) -> Self {
        Self::at_with(url, None).await
    }

    /// The same, where a program makes the databases: see [`DATABASE_HOOK`](super::DATABASE_HOOK).
    ///
    /// # Panics
    /// As [`at`](Self::at).
    pub async fn at_with(url: &str, hook: Option<OsString>) -> Self {
        let admin = url
            .parse()
            .unwrap_or_else(|error| panic!("{DATABASE_URL}: {}", chain(&error)));
        Self::new(url.to_owned(), url.to_owned(), admin, None, hook).await
    }

    pub(crate) async fn of_cluster(
        url: String,
        build_url: String,
        admin: Config,
        service: Arc<Service>,
    ) -> Self {
        Self::new(url, build_url, admin, Some(service), None).await
    }

    async fn new(
        url: String,
        build_url: String,
        admin: Config,
        service: Option<Arc<Service>>,
        hook: Option<OsString>,
    ) -> Self {
        // 31 bits, so that it is printed without a sign.
        let owner = i32::try_from(RandomState::new().hash_one(0) >> 33).unwrap();
        let outlives_us = service.is_none();
        let (janitor, chores) = mpsc::unbounded_channel();
        let (ready, is_ready) = oneshot::channel();
        let left = outlives_us.then(|| Left(hook.clone().map(|program| (program, url.clone()))));
        let work = janitor_work(admin.clone(), owner, left, ready, chores);
        std::thread::Builder::new()
            .name("testkit-janitor".to_owned())
            .spawn(|| {
                tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .unwrap()
                    .block_on(work);
            })
            .unwrap();
        let version = is_ready.await.expect("the server answers");
        // Copying files needs checkpoints, which cost a cluster of ours nothing. Before version 15 there was no choice.
        let copy_options = if !outlives_us && version >= 150_000 {
            "STRATEGY file_copy"
        } else {
            ""
        };
        Self(Arc::new(Inner {
            url,
            build_url,
            admin,
            owner,
            made: AtomicU64::new(0),
            janitor,
            outlives_us,
            templates: Mutex::default(),
            copying: Semaphore::new(1),
            copy_options,
            hook,
            _service: service,
        }))
    }

    /// The URL of one of its databases.
    pub fn url(&self, database: &str) -> String {
        with_database(&self.0.url, database)
    }

    /// The URL for building a template in one of its databases: never by TLS.
    pub(crate) fn build_url(&self, database: &str) -> String {
        with_database(&self.0.build_url, database)
    }

    /// Has the program that makes databases, if there is one, do something with a database. Says whether there is one.
    pub(crate) async fn call_hook(&self, what: &'static str, database: &str) -> bool {
        let Some(program) = &self.0.hook else { return false };
        hook::call(program, what, database, &self.0.url).await;
        true
    }

    /// The end of the statement that copies a database.
    pub(crate) fn copy_options(&self) -> &'static str {
        self.0.copy_options
    }

    /// A connection as the role of the tests, to the database that is there from the beginning.
    pub async fn connect(&self) -> Client {
        connect(&self.0.admin).await
    }

    /// The same to another of its databases.
    pub(crate) async fn connect_to(&self, database: &str) -> Client {
        connect(self.0.admin.clone().dbname(database)).await
    }

    /// A name that no database has had before.
    pub(crate) fn new_name(&self) -> String {
        let number = self.0.made.fetch_add(1, Ordering::Relaxed);
        format!("{PREFIX}{:08x}_{number}", self.0.owner)
    }

    /// The cell that is filled when `template` is ready for this process.
    pub(crate) fn template(&self, template: &str) -> Arc<OnceCell<()>> {
        let mut templates = self.0.templates.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(templates.entry(template.to_owned()).or_default())
    }

    /// Held while a template is copied.
    pub(crate) fn copying(&self) -> &Semaphore {
        &self.0.copying
    }

    /// Has a database dropped in the background. Waits for it only where it would outlive us otherwise.
    pub(crate) fn drop_later(&self, database: String) {
        if let Some(program) = &self.0.hook {
            // What it says is nobody's to hear: the test has failed.
            drop(hook::command(program, "drop", &database, &self.0.url).output());
            return;
        }
        let (done, is_done) = blocking::channel();
        let told = self.0.janitor.send(Chore { database, done });
        if told.is_ok() && self.0.outlives_us {
            let _ = is_done.recv_timeout(Duration::from_secs(10));
        }
    }
}

/// A program that makes and drops databases, and the URL that it is given.
type Hook = (OsString, String);

/// That others may have left databases, and what dropped them otherwise, if not this process itself.
struct Left(Option<Hook>);

/// Drops databases for those that can not wait, until nobody is left to ask for it. `left`: what others have left is dropped
/// first, by the program that made it, if there is one.
async fn janitor_work(
    admin: Config,
    owner: i32,
    left: Option<Left>,
    ready: oneshot::Sender<i32>,
    mut chores: mpsc::UnboundedReceiver<Chore>,
) {
    let mut client = connect(&admin).await;
    own(&client, owner).await.expect("an advisory lock");
    if let Some(Left(hook)) = left {
        sweep(&client, hook.as_ref())
            .await
            .expect("what others have left can be listed");
    }
    let version = client
        .query_one("SELECT current_setting('server_version_num')::int", &[])
        .await;
    let _ = ready.send(version.expect("a version").get(0));
    while let Some(chore) = chores.recv().await {
        if client.is_closed() {
            match try_connect(&admin).await {
                Ok(again) => client = again,
                // A cluster that a test has stopped: its folder goes as a whole.
                Err(_) => continue,
            }
            drop(own(&client, owner).await);
        }
        // What can't be dropped now, the sweep of a later run drops.
        drop(drop_database(&client, &chore.database).await);
        let _ = chore.done.send(());
    }
}

/// Says that the databases of `owner` are in use for as long as this connection lives.
async fn own(client: &Client, owner: i32) -> Result<(), tokio_postgres::Error> {
    client
        .query("SELECT pg_advisory_lock($1, $2)", &[&OWNERS, &owner])
        .await
        .map(drop)
}

/// Drops the databases of processes that are gone.
async fn sweep(client: &Client, hook: Option<&Hook>) -> Result<(), tokio_postgres::Error> {
    let pattern = format!("{PREFIX}%");
    let rows = client
        .query(
            "SELECT datname::text FROM pg_database WHERE datname LIKE $1",
            &[&pattern],
        )
        .await?;
    for row in rows {
        let database: String = row.get(0);
        let Some(owner) = owner_of(&database) else {
            continue;
        };
        let gone = client
            .query_one("SELECT pg_try_advisory_lock($1, $2)", &[&OWNERS, &owner])
            .await?;
        if gone.get(0) {
            // Another process may be sweeping too.
            match hook {
                Some((program, url)) => hook::call(program, "drop", &database, url).await,
                None => drop(drop_database(client, &database).await),
            }
            client
                .query("SELECT pg_advisory_unlock($1, $2)", &[&OWNERS, &owner])
                .await?;
        }
    }
    Ok(())
}

/// The number of the process that made a test database.
fn owner_of(database: &str) -> Option<i32> {
    let (owner, _) = database.strip_prefix(PREFIX)?.split_once('_')?;
    i32::from_str_radix(owner, 16).ok()
}

/// Drops a database that is there or not, whoever is connected to it.
pub(crate) async fn drop_database(client: &Client, database: &str) -> Result<(), tokio_postgres::Error> {
    client
        .batch_execute(&format!("DROP DATABASE IF EXISTS {database} WITH (FORCE)"))
        .await
}

/// A connection, driven by a task of the current runtime.
///
/// # Panics
/// If there is none to be had.
pub(crate) async fn connect(config: &Config) -> Client {
    try_connect(config)
        .await
        .unwrap_or_else(|error| panic!("no connection to PostgreSQL: {}", chain(&error)))
}

async fn try_connect(config: &Config) -> Result<Client, tokio_postgres::Error> {
    let (client, connection) = config.connect(NoTls).await?;
    // How it ends is told to whoever uses the client.
    tokio::spawn(async { drop(connection.await) });
    Ok(client)
}

/// An error with what caused it: tokio-postgres itself says no more than "db error".
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

/// `url` with another database in it.
fn with_database(url: &str, database: &str) -> String {
    let (head, parameters) = url.split_at(url.find('?').unwrap_or(url.len()));
    let host = head.find("://").map_or(0, |scheme| scheme + 3);
    let end = head[host..].find('/').map_or(head.len(), |slash| host + slash);
    format!("{}/{database}{parameters}", &head[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_takes_the_place_of_another() {
        for (url, expected) in [
            ("postgres://h", "postgres://h/new"),
            ("postgres://h/", "postgres://h/new"),
            ("postgres://u:p@h:1/old", "postgres://u:p@h:1/new"),
            (
                "postgresql://u@%2Ftmp%2Fx/old?connect_timeout=3",
                "postgresql://u@%2Ftmp%2Fx/new?connect_timeout=3",
            ),
            ("postgres:///old?host=/tmp/x", "postgres:///new?host=/tmp/x"),
            (
                "postgres://h?application_name=a/b",
                "postgres://h/new?application_name=a/b",
            ),
        ] {
            assert_eq!(with_database(url, "new"), expected);
        }
    }

    #[test]
    fn a_test_database_says_whose_it_is() {
        assert_eq!(owner_of("mosaic_test_0000001f_7"), Some(31));
        assert_eq!(owner_of("mosaic_test_memos"), None);
        assert_eq!(owner_of("mosaic_test_memos_7"), None);
        assert_eq!(owner_of("mosaic_template_core_0000001f"), None);
    }
}
