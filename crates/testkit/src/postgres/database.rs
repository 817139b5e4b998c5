//! A schema, built once, and the copies of it that tests get.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::pin::Pin;
use std::time::Duration;

use tokio::sync::OnceCell;
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use super::cluster::{Cluster, ClusterOptions};
use super::hook::has_hook;
use super::server::{Server, chain, drop_database};

/// The first half of an advisory lock's key: held while a template is built.
const BUILDERS: i32 = 0x6d6f_7362;

type Failure = Box<dyn Error + Send + Sync>;
type Build = dyn Fn(String) -> Pin<Box<dyn Future<Output = Result<(), Failure>> + Send>> + Send + Sync;

/// A schema that tests get copies of. It is built once on each server, whichever process needs it first.
pub struct Template {
    /// The database that holds it; none: an empty one.
    schema: Option<(String, Box<Build>)>,
}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.schema.as_ref().map(|(name, _)| name);
        f.debug_tuple("Template").field(&name).finish()
    }
}

impl Template {
    /// The schema that `build` makes in the empty database whose URL it is given (by unix socket if the server wants TLS). It must have closed its connections
    /// when it is done.
    ///
    /// `fingerprint` is everything that the schema is made of, such as the text of all migrations: a server that already
    /// has the schema `name` with the same fingerprint builds nothing.
    ///
    /// ```no_run
    /// # async fn migrate(_url: String) -> Result<(), std::io::Error> { Ok(()) }
    /// # const MIGRATIONS: &str = "";
    /// use mosaic_testkit::postgres::{Template, TestDatabase};
    ///
    /// # async fn example() {
    /// let template = Template::new("store", MIGRATIONS, migrate);
    /// let database = TestDatabase::create(&template).await;
    /// // … open a store at database.url() …
    /// database.remove().await;
    /// # }
    /// ```
    ///
    /// # Panics
    /// If the name is not made of at most 20 letters a to z, digits and `_`.
    pub fn new<F, E>(
        name: &str,
        fingerprint: impl Hash,
        build: impl Fn(String) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<Failure>,
    {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        assert!(name.len() <= 20 && name.chars().all(plain), "not a name: {name}");
        let database = format!("mosaic_template_{name}_{:016x}", hash(&fingerprint));
        let boxed = move |url| {
            let schema = build(url);
            Box::pin(async { schema.await.map_err(Into::into) }) as Pin<Box<_>>
        };
        Self {
            schema: Some((database, Box::new(boxed))),
        }
    }

    /// A database with nothing in it.
    pub fn empty() -> Self {
        Self { schema: None }
    }

    /// Builds the schema in a database that is there.
    async fn build_in(&self, server: &Server, database: &str) {
        let Some((name, build)) = &self.schema else { return };
        if let Err(error) = build(server.build_url(database)).await {
            panic!("the schema of {name} can't be built: {}", chain(&*error));
        }
    }

    /// The name of the database to copy, which is there when this returns.
    async fn ready_on(&self, server: &Server, client: &Client) -> &str {
        let Some((name, _)) = &self.schema else {
            return "template1";
        };
        let cell = server.template(name);
        cell.get_or_init(|| build_once(server, client, name, self)).await;
        name
    }
}

/// Builds a template unless it is there. Others, in any process, that want the same one wait.
async fn build_once(server: &Server, client: &Client, name: &str, template: &Template) {
    let lock = i32::from_ne_bytes(hash(name).to_ne_bytes()[..4].try_into().unwrap());
    // Asked again and again, not waited for: a session that waits holds a snapshot, for which a build that makes an
    // index concurrently would wait in turn.
    while !ask(client, "SELECT pg_try_advisory_lock($1, $2)", &[&BUILDERS, &lock]).await {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    if !ask(
        client,
        "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)",
        &[&name],
    )
    .await
    {
        // Under another name until it is complete: whoever is stopped half way leaves no template.
        let unfinished = format!("{name}_building");
        must(drop_database(client, &unfinished).await);
        run(
            client,
            &format!("CREATE DATABASE {unfinished} TEMPLATE template1"),
        )
        .await;
        template.build_in(server, &unfinished).await;
        // Nobody connects to it any more, so it can be copied at any time.
        run(
            client,
            &format!("ALTER DATABASE {unfinished} WITH ALLOW_CONNECTIONS false"),
        )
        .await;
        when_unused(client, &format!("ALTER DATABASE {unfinished} RENAME TO {name}")).await;
    }
    ask(client, "SELECT pg_advisory_unlock($1, $2)", &[&BUILDERS, &lock]).await;
}

/// A database of one test's own. Dropped with this handle, or with [`remove`](Self::remove).
#[derive(Debug)]
pub struct TestDatabase {
    server: Server,
    /// None when it is dropped already.
    name: Option<String>,
}

impl TestDatabase {
    /// A new copy of the template on the server that all tests share.
    ///
    /// # Panics
    /// If the server or the template can not be had.
    pub async fn create(template: &Template) -> Self {
        Self::create_on(Server::shared().await, template).await
    }

    /// The same on a server on which databases can be copied: where a program makes those of tests, since their tables are
    /// spread over machines, that is another one, which ends with this process.
    ///
    /// # Panics
    /// As [`create`](Self::create).
    pub async fn create_to_copy(template: &Template) -> Self {
        static OWN: OnceCell<Server> = OnceCell::const_new();
        if !has_hook() {
            return Self::create(template).await;
        }
        let own =
            OWN.get_or_init(|| async { Cluster::start(ClusterOptions::default()).await.server().clone() });
        Self::create_on(own.await, template).await
    }

    /// A new copy of the template on one server.
    ///
    /// # Panics
    /// As [`create`](Self::create).
    pub async fn create_on(server: &Server, template: &Template) -> Self {
        let name = server.new_name();
        // Made before it is there, so that it is dropped if we are on the way.
        let database = Self {
            server: server.clone(),
            name: Some(name.clone()),
        };
        if server.call_hook("create", &name).await {
            template.build_in(server, &name).await;
            return database;
        }
        let client = server.connect().await;
        let template = template.ready_on(server, &client).await;
        let turn = server.copying().acquire().await;
        let options = server.copy_options();
        when_unused(
            &client,
            &format!("CREATE DATABASE {name} TEMPLATE {template} {options}"),
        )
        .await;
        drop(turn);
        database
    }

    /// Its URL, with the role of the tests, which owns it.
    pub fn url(&self) -> String {
        self.server.url(self.name())
    }

    /// Its name.
    pub fn name(&self) -> &str {
        self.name.as_deref().unwrap_or_default()
    }

    /// The server that it is on.
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// A connection to it, driven by a task of the current runtime.
    pub async fn connect(&self) -> Client {
        self.server.connect_to(self.name()).await
    }

    /// Puts a copy of another database of the same server in the place of this one, both made to be copied
    /// ([`create_to_copy`](Self::create_to_copy)). Whoever is connected to this one is cut off; of the
    /// other one sessions may still be ending.
    ///
    /// # Panics
    /// If the other one stays in use.
    pub async fn become_copy_of(&self, other: &Self) {
        let client = self.server.connect().await;
        must(drop_database(&client, self.name()).await);
        let copy = format!("CREATE DATABASE {} TEMPLATE {}", self.name(), other.name());
        when_unused(&client, &copy).await;
    }

    /// Drops the database, whoever is still connected to it, and returns when it is gone.
    pub async fn remove(mut self) {
        let Some(name) = self.name.take() else { return };
        if self.server.call_hook("drop", &name).await {
            return;
        }
        let client = self.server.connect().await;
        must(drop_database(&client, &name).await);
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        if let Some(name) = self.name.take() {
            self.server.drop_later(name);
        }
    }
}

fn hash(value: &(impl Hash + ?Sized)) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

fn must<T>(result: Result<T, tokio_postgres::Error>) -> T {
    result.unwrap_or_else(|error| panic!("{}", chain(&error)))
}

async fn ask(
    client: &Client,
    question: &str,
    arguments: &[&(dyn tokio_postgres::types::ToSql + Sync)],
) -> bool {
    must(client.query_one(question, arguments).await).get(0)
}

async fn run(client: &Client, statement: &str) {
    must(client.batch_execute(statement).await);
}

/// Runs a statement that needs a database to be unused. A session that was closed a moment ago may still be ending.
async fn when_unused(client: &Client, statement: &str) {
    for _ in 0..200 {
        match client.batch_execute(statement).await {
            Err(error) if error.code() == Some(&SqlState::OBJECT_IN_USE) => {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            other => return must(other),
        }
    }
    panic!("{statement}: the database stays in use");
}
