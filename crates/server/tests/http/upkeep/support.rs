//! A store of either kind, the commands on it, and the store itself from within.

use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::Arc;

use mosaic_adapter_postgres::{PostgresSettings, PostgresStore};
use mosaic_adapter_sqlite::{Location, SqliteSettings, SqliteStore};
use mosaic_adapter_system::UuidV7Ids;
use mosaic_domain::UserId;
use mosaic_domain::write::{Locked, RecordEdit, WriteScope, decide};
use mosaic_ports::{Clock, Decide, Loaded, Stores};
use mosaic_testkit::ManualClock;
use mosaic_testkit::postgres::{Template, TestDatabase};
use serde_json::json;

use crate::harness::{Client, Data, Server, Signal};

/// Makes two tests of an `async fn(Place)`: one on the embedded store, one on PostgreSQL.
macro_rules! on_both_stores {
    ($($case:ident)*) => {
        mod on_the_embedded_store {
            $(
                #[tokio::test(flavor = "multi_thread")]
                async fn $case() {
                    super::$case(crate::upkeep::support::Place::embedded()).await;
                }
            )*
        }
        mod on_postgresql {
            $(
                #[tokio::test(flavor = "multi_thread")]
                async fn $case() {
                    super::$case(crate::upkeep::support::Place::postgres().await).await;
                }
            )*
        }
    };
}
pub(crate) use on_both_stores;

/// A data folder, and a database where the store is not in the folder.
pub struct Place {
    pub data: Data,
    pub database: Option<TestDatabase>,
}

/// How a command ended.
#[derive(Debug)]
pub struct Ended {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Ended {
    pub fn of(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
        Self {
            code: output.status.code(),
            out: text(output.stdout),
            err: text(output.stderr),
        }
    }

    /// What a command that must succeed printed.
    #[track_caller]
    pub fn done(self) -> String {
        assert_eq!(self.code, Some(0), "{self:?}");
        self.out
    }

    /// What a command that must fail said; it printed nothing.
    #[track_caller]
    pub fn failed(self) -> String {
        assert_eq!((self.code, self.out.as_str()), (Some(1), ""), "{self:?}");
        self.err
    }
}

impl Place {
    /// The embedded store in a folder of its own.
    pub fn embedded() -> Self {
        Self {
            data: Data::new(),
            database: None,
        }
    }

    /// A database of its own.
    pub async fn postgres() -> Self {
        Self {
            data: Data::new(),
            database: Some(TestDatabase::create_to_copy(&Template::empty()).await),
        }
    }

    pub fn is_embedded(&self) -> bool {
        self.database.is_none()
    }

    /// A command on this store.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = self.data.mosaic(args);
        if let Some(database) = &self.database {
            command.env("MOSAIC_DATABASE_URL", database.url());
        }
        command
    }

    /// Runs a command to its end.
    pub fn mosaic(&self, args: &[&str]) -> Ended {
        Ended::of(self.command(args).output().expect("the binary starts"))
    }

    /// A server on this store.
    pub fn start(&self) -> Server {
        self.start_with(&[])
    }

    /// A server on this store, with these flags.
    pub fn start_with(&self, args: &[&str]) -> Server {
        match &self.database {
            Some(database) => self
                .data
                .start(&[args, &["--database-url", &database.url()]].concat()),
            None => self.data.start(args),
        }
    }

    /// The ports of the store, which nobody else may have open now, with a clock that stands in May 2024.
    pub async fn open(&self) -> Open {
        let (clock, ids) = (Arc::new(ManualClock::default()), Arc::new(UuidV7Ids));
        match &self.database {
            None => {
                let settings = SqliteSettings::new(Location::File(self.database_file()));
                let store = SqliteStore::open(settings, clock, ids).await.unwrap();
                Open::Sqlite(Arc::new(store))
            }
            Some(database) => {
                let settings = PostgresSettings::new(database.url().parse().unwrap());
                let store = PostgresStore::open(settings, clock, ids).await.unwrap();
                Open::Postgres(Arc::new(store))
            }
        }
    }

    /// How much the store holds of a user.
    pub async fn loaded(&self, username: &str) -> Loaded {
        let open = self.open().await;
        let ports = open.ports();
        let user = user_of(&ports, username).await.expect("the user");
        let loaded = ports.dump_reader.loaded(user).await.unwrap();
        open.close().await;
        loaded
    }

    /// Changes what is stored, past the store.
    pub async fn execute(&self, sql: &str) {
        match &self.database {
            None => {
                let file = rusqlite::Connection::open(self.database_file()).unwrap();
                file.execute_batch(sql).unwrap();
            }
            Some(database) => database.connect().await.batch_execute(sql).await.unwrap(),
        }
    }

    /// A copy of the database, as whoever knows nothing of the server makes one while that is stopped.
    pub async fn copy(&self) -> Copy {
        match &self.database {
            None => Copy::File(std::fs::read(self.database_file()).unwrap()),
            Some(database) => {
                let copy = TestDatabase::create_to_copy(&Template::empty()).await;
                copy.become_copy_of(database).await;
                Copy::Database(copy)
            }
        }
    }

    /// Puts a copy in the place of the database.
    pub async fn put_back(&self, copy: Copy) {
        match (&self.database, copy) {
            (Some(database), Copy::Database(copy)) => {
                database.become_copy_of(&copy).await;
                copy.remove().await;
            }
            (None, Copy::File(bytes)) => {
                for log in ["db-wal", "db-shm"] {
                    // A killed server leaves them, and one that stopped does not.
                    drop(std::fs::remove_file(self.database_file().with_extension(log)));
                }
                std::fs::write(self.database_file(), bytes).unwrap();
            }
            _ => panic!("a copy of another kind of store"),
        }
    }

    fn database_file(&self) -> PathBuf {
        self.data.path().join("mosaic-data/mosaic.db")
    }

    /// Drops the database.
    pub async fn remove(self) {
        if let Some(database) = self.database {
            database.remove().await;
        }
    }
}

/// A copy of a database.
pub enum Copy {
    File(Vec<u8>),
    Database(TestDatabase),
}

/// A store that a test has open itself.
pub enum Open {
    Sqlite(Arc<SqliteStore>),
    Postgres(Arc<PostgresStore>),
}

impl Open {
    pub fn ports(&self) -> Stores {
        match self {
            Self::Sqlite(store) => Stores::of(store),
            Self::Postgres(store) => Stores::of(store),
        }
    }

    pub async fn close(self) {
        match self {
            Self::Sqlite(store) => store.close().await,
            Self::Postgres(store) => store.close().await,
        }
    }
}

pub async fn user_of(ports: &Stores, username: &str) -> Option<UserId> {
    let account = ports.accounts.by_name(&username.parse().unwrap()).await.unwrap();
    account.map(|account| account.user.id)
}

/// Carries out edits as one write.
pub async fn write(ports: &Stores, user: UserId, edits: Vec<RecordEdit>) {
    let scope = WriteScope::of(user, &edits);
    let decide: Decide = Arc::new(move |locked: &Locked| decide(locked, &edits));
    ports.write.write(scope, decide).await.unwrap();
}

/// The real time: the clock of the commands.
pub fn now() -> mosaic_domain::UnixMillis {
    mosaic_adapter_system::SystemClock.now()
}

/// Stops a server as an operator does.
pub fn stop(mut server: Server) {
    server.signal(Signal::TERM);
    let (status, log) = server.wait();
    assert_eq!(status.code(), Some(0), "{log}");
}

/// A server that has run once: the store is there, and the user `admin` in it.
pub fn prepared(place: &Place) {
    stop(place.start());
}

/// The same login on another server.
pub fn on(server: &Server, client: &Client) -> Client {
    let mut client = client.clone();
    client.url.clone_from(&server.url);
    client
}

pub fn memo_id(n: usize) -> String {
    format!("00000000-0000-4000-8000-{n:012x}")
}

/// Records of all types, tombstones, an attachment, and revisions of both kinds.
pub async fn fill(client: &Client) {
    for n in 0..4 {
        let body =
            json!({"id": memo_id(n), "content": format!("memo {n}"), "updatedAt": 1_715_000_000_000_i64});
        client.post("/memos", &body).await.ok();
    }
    let changed = json!({"content": "changed", "updatedAt": 1_715_000_000_500_i64});
    client.put(&format!("/memos/{}", memo_id(1)), &changed).await.ok();
    let late = json!({"content": "too late", "updatedAt": 1_715_000_000_400_i64});
    client
        .put(&format!("/memos/{}", memo_id(1)), &late)
        .await
        .problem(409, "superseded");
    client.delete(&format!("/memos/{}", memo_id(2))).await.ok();
    client
        .put("/diaries/2026-05-16", &json!({"summary": "天気がいい"}))
        .await
        .ok();
    let bot = json!({"name": "Robot", "aiConfig": {"temperature": 0.1}});
    client.post("/bots", &bot).await.ok();
    let resource = json!({"memoId": memo_id(0), "filename": "a.png", "mimeType": "image/png", "fileSize": 1});
    client.post("/resources", &resource).await.ok();
}
