//! The server of a run: its process, its store, and what an operator does to them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use mosaic_testkit::postgres::{Cluster, ClusterOptions, Template, TestDatabase};
use mosaic_testkit::program::Program;
use rusqlite::Connection;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::Outcome;
use crate::device::{PASSWORD, username};
use crate::model::{Fields, Server, Stored, Version};
use crate::script::Store;

/// How often the server is asked until its database is back, and how long is waited in between.
const PATIENCE: (usize, Duration) = (500, Duration::from_millis(20));

/// A server, and whose data it has.
#[derive(Debug)]
pub(crate) struct World {
    binary: PathBuf,
    folder: TempDir,
    postgres: Option<Postgres>,
    pub(crate) server: Arc<Program>,
    http: reqwest::Client,
    /// An access token of each user.
    tokens: Vec<String>,
    backup: Option<PathBuf>,
    backups: usize,
}

#[derive(Debug)]
struct Postgres {
    cluster: Cluster,
    live: TestDatabase,
    kept: TestDatabase,
}

impl World {
    /// A server on an empty store, and users.
    pub(crate) async fn new(binary: &Path, store: Store, users: usize) -> Outcome<Self> {
        let (binary, folder) = (std::path::absolute(binary)?, tempfile::tempdir()?);
        let postgres = match store {
            Store::Sqlite => None,
            Store::Postgres => {
                let cluster = Cluster::start(ClusterOptions::durable()).await;
                let [live, kept] = [
                    TestDatabase::create_on(cluster.server(), &Template::empty()).await,
                    TestDatabase::create_on(cluster.server(), &Template::empty()).await,
                ];
                Some(Postgres { cluster, live, kept })
            }
        };
        let start = &mut command(&binary, folder.path(), postgres.as_ref(), &SERVE);
        let mut world = Self {
            server: Arc::new(Program::start(start)),
            binary,
            folder,
            postgres,
            http: reqwest::Client::builder().no_proxy().build()?,
            tokens: Vec::new(),
            backup: None,
            backups: 0,
        };
        let admin = world.log_in("admin").await?;
        for user in 0..users {
            let body = json!({"username": username(user), "password": PASSWORD});
            let request = world.http.post(world.at("/admin/users")).bearer_auth(&admin);
            request.json(&body).send().await?.error_for_status()?;
            let token = world.log_in(&username(user)).await?;
            world.tokens.push(token);
        }
        Ok(world)
    }

    fn at(&self, path: &str) -> String {
        format!("{}{path}", self.server.url())
    }

    async fn log_in(&self, username: &str) -> Outcome<String> {
        let body = json!({"username": username, "password": PASSWORD, "clientId": "the simulation"});
        let answer = self.http.post(self.at("/auth/login")).json(&body).send().await?;
        let answer: Value = answer.error_for_status()?.json().await?;
        Ok(answer["accessToken"].as_str().unwrap_or_default().to_owned())
    }

    /// Starts the server again where it was killed.
    pub(crate) fn revive(&mut self) {
        if !self.server.is_running() {
            let start = &mut command(&self.binary, self.folder.path(), self.postgres.as_ref(), &SERVE);
            self.server = Arc::new(Program::start(start));
        }
    }

    /// A command of the operator's, which must succeed.
    fn mosaic(&self, args: &[&str]) -> Outcome {
        let done = command(&self.binary, self.folder.path(), self.postgres.as_ref(), args).output()?;
        if done.status.success() {
            return Ok(());
        }
        Err(format!("mosaic {args:?}: {}", String::from_utf8_lossy(&done.stderr)).into())
    }

    /// Saves the store: the embedded one beside the running server.
    pub(crate) async fn back_up(&mut self) -> Outcome {
        if let Some(postgres) = &self.postgres {
            self.server.kill();
            postgres.kept.become_copy_of(&postgres.live).await;
            self.backup = Some(PathBuf::new());
            self.revive();
            return Ok(());
        }
        self.backups += 1;
        let file = self.folder.path().join(format!("backup-{}.db", self.backups));
        self.mosaic(&["backup", &file.to_string_lossy()])?;
        self.backup = Some(file);
        Ok(())
    }

    /// Puts back what was saved; answers whether there was something. By hand: the server has to notice it by itself.
    pub(crate) async fn restore(&mut self, by_hand: bool) -> Outcome<bool> {
        let Some(file) = &self.backup else {
            return Ok(false);
        };
        self.server.kill();
        match &self.postgres {
            Some(postgres) => {
                postgres.live.become_copy_of(&postgres.kept).await;
                if !by_hand {
                    self.mosaic(&["epoch", "renew"])?;
                }
            }
            None if by_hand => {
                let database = self.folder.path().join("mosaic-data/mosaic.db");
                for log in ["db-wal", "db-shm"] {
                    // After a kill they are there, or not.
                    drop(std::fs::remove_file(database.with_extension(log)));
                }
                std::fs::copy(file, database)?;
            }
            None => self.mosaic(&["restore", &file.to_string_lossy(), "--yes"])?,
        }
        self.revive();
        Ok(true)
    }

    /// Makes the revisions old, and runs the daily upkeep, for which the embedded store has to be free.
    pub(crate) async fn purge(&mut self) -> Outcome {
        self.server.kill();
        match &self.postgres {
            Some(postgres) => postgres.live.connect().await.batch_execute(AGE).await?,
            None => Connection::open(self.folder.path().join("mosaic-data/mosaic.db"))?.execute_batch(AGE)?,
        }
        self.mosaic(&["purge"])?;
        self.revive();
        Ok(())
    }

    /// PostgreSQL crashes and recovers.
    pub(crate) async fn restart_database(&self) {
        if let Some(postgres) = &self.postgres {
            postgres.cluster.restart_immediate().await;
        }
    }

    /// Everything that the server has of a user.
    pub(crate) async fn export(&self, user: usize) -> Outcome<Server> {
        let (tries, pause) = PATIENCE;
        for _ in 0..tries {
            let request = self
                .http
                .get(self.at("/account/export"))
                .bearer_auth(&self.tokens[user]);
            let answer = request.send().await?;
            if answer.status().is_server_error() {
                tokio::time::sleep(pause).await;
                continue;
            }
            return read_export(&answer.error_for_status()?.text().await?);
        }
        Err(format!("the server does not recover:\n{}", self.server.log()).into())
    }
}

/// A hundred days, in milliseconds.
const AGE: &str = "UPDATE revisions SET recorded_at = recorded_at - 8640000000";

const SERVE: [&str; 7] = [
    "serve",
    "--http-workers",
    "2",
    "--auth-address-attempts-per-minute",
    "100000",
    "--auth-account-attempts-per-minute",
    "100000",
];

fn command(binary: &Path, folder: &Path, postgres: Option<&Postgres>, args: &[&str]) -> Command {
    let mut command = Command::new(binary);
    command
        .args(args)
        .current_dir(folder)
        .env_clear()
        .env("MOSAIC_ADMIN_PASSWORD", PASSWORD)
        .env("MOSAIC_LISTEN", "127.0.0.1:0");
    if let Some(postgres) = postgres {
        command
            .env("MOSAIC_DATABASE_URL", postgres.live.url())
            .env("MOSAIC_POSTGRES_POOL_SIZE", "6");
    }
    command
}

fn read_export(text: &str) -> Outcome<Server> {
    let mut server = BTreeMap::new();
    let mut is_whole = false;
    for line in text.lines() {
        let line: Value = serde_json::from_str(line)?;
        is_whole |= line.get("end").is_some_and(|end| end.get("skipped").is_none());
        for kind in ["record", "revision"] {
            let Some(entry) = line.get(kind) else { continue };
            let name = |name: &str| entry[name].as_str().unwrap_or_default().to_owned();
            let version = Version {
                time: entry["updatedAt"].as_i64().unwrap_or_default(),
                client: name("clientId"),
                is_deleted: entry["deleted"] == true,
                fields: entry["content"].as_object().cloned().unwrap_or_else(Fields::new),
            };
            let key = (name("entity"), name("key"));
            if kind == "record" {
                let revisions = Vec::new();
                server.insert(
                    key,
                    Stored {
                        current: version,
                        revisions,
                    },
                );
            } else if let Some(stored) = server.get_mut(&key) {
                stored.revisions.push(version);
            } else {
                return Err(format!("a revision of {key:?}, which is not there").into());
            }
        }
    }
    if is_whole {
        Ok(server)
    } else {
        Err("an export that is not whole".into())
    }
}
