//! What scenarios need besides phones: a store that is stopped, saved, put back and changed behind the server's back.

use std::path::PathBuf;

use mosaic_testkit::postgres::{Template, TestDatabase};

use crate::harness::{Data, Server, Signal};

/// Which store this test binary is about.
const ON_POSTGRES: bool = matches!(env!("CARGO_CRATE_NAME").as_bytes(), b"http_postgres");

/// A server's data, and the ways to get at it.
pub struct Stage {
    data: Data,
    databases: Option<Databases>,
}

/// The databases of a stage on PostgreSQL.
struct Databases {
    live: TestDatabase,
    /// A copy of it, once there is one.
    kept: TestDatabase,
}

impl Stage {
    /// An empty store.
    pub async fn new() -> Self {
        let databases = if ON_POSTGRES {
            let empty = Template::empty();
            Some(Databases {
                live: TestDatabase::create_to_copy(&empty).await,
                kept: TestDatabase::create_to_copy(&empty).await,
            })
        } else {
            None
        };
        let data = Data::new();
        Self { data, databases }
    }

    fn args(&self, args: &[&str]) -> Vec<String> {
        let url = self.databases.as_ref().map(|databases| databases.live.url());
        let url = url.map(|url| ["--database-url".to_owned(), url]);
        args.iter()
            .map(|arg| (*arg).to_owned())
            .chain(url.into_iter().flatten())
            .collect()
    }

    /// Starts a server, with these flags.
    pub fn start(&self, args: &[&str]) -> Server {
        let args = self.args(&[args, &["--auth-address-attempts-per-minute", "10000"]].concat());
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        self.data.start(&args)
    }

    /// Stops a server as an operator would.
    pub fn stop(mut server: Server) {
        server.signal(Signal::TERM);
        let (status, log) = server.wait();
        assert!(status.success(), "{log}");
    }

    /// Ends a server as a crash does. What it remembers of its commits outside of the database goes with it, so that the clocks there
    /// may be set back and it notices nothing.
    pub fn crash_and_forget(&self, server: Server) {
        drop(server.kill());
        let mark = self.data.path().join("mosaic-data/high-water.json");
        std::fs::remove_file(mark).expect("a mark");
    }

    /// A command that must succeed; what it prints.
    pub fn mosaic(&self, args: &[&str]) -> String {
        let args = self.args(args);
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let output = self.data.mosaic(&args).output().expect("the binary starts");
        let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert!(
            output.status.success(),
            "{args:?}: {}{}",
            said(&output.stdout),
            said(&output.stderr)
        );
        said(&output.stdout)
    }

    fn backup_file(&self) -> PathBuf {
        self.data.path().join("backup.db")
    }

    /// Saves the store as it is: the embedded one beside the running server, PostgreSQL's as a copy of the database, while
    /// the server is stopped. Returns the server that runs afterwards.
    pub async fn save(&self, server: Server) -> Server {
        let Some(databases) = &self.databases else {
            self.mosaic(&["backup", self.backup_file().to_str().expect("UTF-8")]);
            return server;
        };
        Self::stop(server);
        databases.kept.become_copy_of(&databases.live).await;
        self.start(&[])
    }

    /// Puts back what was saved, as an operator would; the server is stopped.
    pub async fn put_back(&self) {
        let Some(databases) = &self.databases else {
            self.mosaic(&["restore", self.backup_file().to_str().expect("UTF-8"), "--yes"]);
            return;
        };
        databases.live.become_copy_of(&databases.kept).await;
        self.mosaic(&["epoch", "renew"]);
    }

    /// Runs statements on the store, whose server is stopped.
    pub async fn execute(&self, statements: &str) {
        match &self.databases {
            Some(databases) => {
                let client = databases.live.connect().await;
                client.batch_execute(statements).await.expect("statements");
            }
            None => self.file().execute_batch(statements).expect("statements"),
        }
    }

    /// What the store counts; its server is stopped.
    pub async fn count(&self, of: &str) -> i64 {
        let question = format!("SELECT count(*) FROM {of}");
        match &self.databases {
            Some(databases) => {
                let client = databases.live.connect().await;
                client.query_one(&question, &[]).await.expect("a count").get(0)
            }
            None => self
                .file()
                .query_row(&question, [], |row| row.get(0))
                .expect("a count"),
        }
    }

    fn file(&self) -> rusqlite::Connection {
        rusqlite::Connection::open(self.data.path().join("mosaic-data/mosaic.db")).expect("the store's file")
    }

    /// Removes what it made.
    pub async fn remove(self) {
        if let Some(Databases { live, kept }) = self.databases {
            for database in [live, kept] {
                database.remove().await;
            }
        }
    }
}
