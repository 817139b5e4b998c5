//! One device: its files, its clock, the app, and what a look into its database shows.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use mosaic_client::domain::UnixMillis;
use mosaic_client::{Client, Login, Platform, Settings, System};
use mosaic_testkit::Random;
use mosaic_testkit::proxy::Proxy;
use rusqlite::Connection;
use tempfile::TempDir;

use crate::Outcome;
use crate::model::{EditNumber, Fields, Key};

/// A device tries a request so many times at most: so few that faults end syncs.
const MOST_ATTEMPTS: usize = 3;
/// So many bytes of a file are sent at a time.
const CHUNK: usize = 32 * 1024;
/// The password of every user.
pub(crate) const PASSWORD: &str = "correct horse battery";

/// A clock that may be wrong, random bits from the seed, and no waiting.
#[derive(Debug)]
pub(crate) struct Machine {
    ahead: AtomicI64,
    random: Mutex<Random>,
    attempts: u32,
}

impl Machine {
    /// By how much the clock is ahead, in milliseconds.
    pub(crate) fn ahead(&self) -> i64 {
        self.ahead.load(Ordering::SeqCst)
    }

    pub(crate) fn set_ahead(&self, ms: i64) {
        self.ahead.store(ms, Ordering::SeqCst);
    }
}

impl Platform for Machine {
    fn now(&self) -> UnixMillis {
        System.now().plus(self.ahead())
    }

    fn random(&self) -> u128 {
        let mut random = self.random.lock().unwrap_or_else(PoisonError::into_inner);
        (u128::from(random.next()) << 64) | u128::from(random.next())
    }

    fn pause(&self, _: Duration) -> BoxFuture<'static, ()> {
        Box::pin(tokio::task::yield_now())
    }
}

/// An edit that the device has not sent, or of which it does not know what became.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pending {
    /// The device's number for it.
    pub(crate) counter: i64,
    pub(crate) edit: EditNumber,
}

/// A file that is not on the server, as far as the device knows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Upload {
    pub(crate) edit: EditNumber,
    /// When it may have been uploaded at the earliest.
    pub(crate) since: Option<i64>,
}

/// What an installation has, in files and in the model.
#[derive(Debug)]
pub(crate) struct Data {
    folder: TempDir,
    pub(crate) pending: BTreeMap<Key, Pending>,
    pub(crate) uploads: BTreeMap<Key, Upload>,
}

impl Data {
    pub(crate) fn new() -> Outcome<Self> {
        Ok(Self {
            folder: tempfile::tempdir()?,
            pending: BTreeMap::new(),
            uploads: BTreeMap::new(),
        })
    }

    fn database(&self) -> PathBuf {
        self.folder.path().join("diary.db")
    }

    /// A copy, as a backup of a phone makes it.
    pub(crate) fn copy(&self) -> Outcome<Self> {
        let copy = Self::new()?;
        let target = copy.database();
        Connection::open(self.database())?.execute("VACUUM INTO ?1", [target.to_string_lossy()])?;
        let files = |database: &Path| {
            let mut files = database.as_os_str().to_owned();
            files.push(".files");
            PathBuf::from(files)
        };
        let (from, to) = (files(&self.database()), files(&target));
        if from.is_dir() {
            std::fs::create_dir(&to)?;
            for file in std::fs::read_dir(from)? {
                let file = file?;
                std::fs::copy(file.path(), to.join(file.file_name()))?;
            }
        }
        Ok(Self {
            pending: self.pending.clone(),
            uploads: self.uploads.clone(),
            ..copy
        })
    }
}

/// A row of the outbox.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) counter: i64,
    pub(crate) edited_at: i64,
    /// None: it deletes.
    pub(crate) changes: Option<Fields>,
    /// Why the server did not take it.
    pub(crate) problem: Option<String>,
}

/// One device.
#[derive(Debug)]
pub(crate) struct Device {
    pub(crate) user: usize,
    pub(crate) proxy: Proxy,
    pub(crate) machine: Arc<Machine>,
    pub(crate) app: Client,
    pub(crate) data: Data,
    pub(crate) saved: Option<Data>,
}

impl Device {
    /// A new installation, logged in.
    pub(crate) async fn new(user: usize, proxy: Proxy, mut random: Random) -> Outcome<Self> {
        let attempts = 1 + u32::try_from(random.below(MOST_ATTEMPTS))?;
        let machine = Arc::new(Machine {
            attempts,
            ahead: AtomicI64::new(0),
            random: Mutex::new(random),
        });
        let data = Data::new()?;
        let device = Self {
            user,
            proxy,
            app: open(&data, &machine)?,
            machine,
            data,
            saved: None,
        };
        device.log_in().await?;
        Ok(device)
    }

    pub(crate) async fn log_in(&self) -> Outcome {
        let login = Login {
            server: self.proxy.url(),
            username: &username(self.user),
            password: PASSWORD,
            device_name: None,
        };
        Ok(self.app.login(login).await.map(|_| ())?)
    }

    /// From now on it has other data.
    pub(crate) fn become_one_with(&mut self, data: Data) -> Outcome {
        self.app = open(&data, &self.machine)?;
        self.data = data;
        Ok(())
    }

    pub(crate) fn client_id(&self) -> &str {
        self.app.client_id().as_str()
    }

    pub(crate) fn folder(&self) -> &Path {
        self.data.folder.path()
    }

    /// The edits that wait.
    pub(crate) fn outbox(&self) -> Outcome<BTreeMap<Key, Row>> {
        self.waiting(None)
    }

    /// The edit of this record that waits, or all that do.
    pub(crate) fn waiting(&self, only: Option<&Key>) -> Outcome<BTreeMap<Key, Row>> {
        let database = Connection::open(self.data.database())?;
        let sql = "SELECT type, key, counter, edited_at, changes, problem ->> 'code' FROM outbox
             WHERE ?1 IS NULL OR (type = ?1 AND key = ?2)";
        let mut statement = database.prepare(sql)?;
        let mut rows = statement.query(
            only.map(|(kind, key)| (Some(kind), Some(key)))
                .unwrap_or_default(),
        )?;
        let mut found = BTreeMap::new();
        while let Some(row) = rows.next()? {
            let changes: Option<String> = row.get(4)?;
            let waiting = Row {
                counter: row.get(2)?,
                edited_at: row.get(3)?,
                changes: changes
                    .map(|changes| serde_json::from_str(&changes))
                    .transpose()?,
                problem: row.get(5)?,
            };
            found.insert((row.get(0)?, row.get(1)?), waiting);
        }
        Ok(found)
    }

    /// What the server last said of each record that it has, as far as this device knows.
    pub(crate) fn known(&self) -> Outcome<BTreeMap<Key, Fields>> {
        let database = Connection::open(self.data.database())?;
        let sql = "SELECT r.type, r.key, iif(o.counter IS NULL, r.record, r.base)
             FROM records r LEFT JOIN outbox o ON o.type = r.type AND o.key = r.key";
        let mut statement = database.prepare(sql)?;
        let mut rows = statement.query([])?;
        let mut found = BTreeMap::new();
        while let Some(row) = rows.next()? {
            if let Some(record) = row.get::<_, Option<String>>(2)? {
                found.insert((row.get(0)?, row.get(1)?), serde_json::from_str(&record)?);
            }
        }
        Ok(found)
    }
}

fn open(data: &Data, machine: &Arc<Machine>) -> Outcome<Client> {
    let settings = Settings {
        platform: Arc::clone(machine) as _,
        attempts: machine.attempts,
        chunk_bytes: CHUNK,
        ..Settings::default()
    };
    Ok(Client::open(&data.database(), settings)?)
}

/// The name of a user.
pub(crate) fn username(user: usize) -> String {
    format!("user-{user}")
}
