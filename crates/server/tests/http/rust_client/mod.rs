//! The client in Rust, `crates/client`, against real servers: what two devices and a bad network do to it.

mod cli;
mod driver;
mod faults;
mod files;
mod logins;
mod restored;
mod syncing;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::time::Duration;

use mosaic_client::domain::entity::{Bot, Diary, Entity, Memo, Resource};
use mosaic_client::domain::{MemoId, ResourceId, UnixMillis};
use mosaic_client::{Client, Login, Platform, Progress, Record, Settings, System};
use tempfile::TempDir;

use crate::harness::{ADMIN_PASSWORD, Server};

/// When any of these machines was last asked for the time: no two edits of a test are made in the same millisecond.
static LAST: AtomicI64 = AtomicI64::new(0);

/// The machine of a test: a clock that may be wrong, and no waiting.
#[derive(Debug, Default)]
struct Machine {
    /// By how much the clock is ahead, in milliseconds.
    ahead: AtomicI64,
    pauses: AtomicUsize,
}

impl Machine {
    fn set_ahead(&self, ms: i64) {
        self.ahead.store(ms, Ordering::SeqCst);
    }
}

impl Platform for Machine {
    fn now(&self) -> UnixMillis {
        let now = System.now().get();
        let tick = |last: i64| Some(now.max(last + 1));
        let last = LAST
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, tick)
            .unwrap();
        UnixMillis::clamped(now.max(last + 1) + self.ahead.load(Ordering::SeqCst))
    }

    fn random(&self) -> u128 {
        System.random()
    }

    fn pause(&self, _: Duration) -> futures_util::future::BoxFuture<'static, ()> {
        self.pauses.fetch_add(1, Ordering::SeqCst);
        Box::pin(tokio::task::yield_now())
    }
}

/// A device: its folder, and the app that runs on it.
struct Device {
    folder: TempDir,
    machine: Arc<Machine>,
    app: Client,
}

impl Device {
    fn new() -> Self {
        let (folder, machine) = (tempfile::tempdir().unwrap(), Arc::<Machine>::default());
        let app = open(&folder, &machine, 6);
        Self { folder, machine, app }
    }

    /// One that is logged in.
    async fn at(server: &str) -> Self {
        let device = Self::new();
        device.log_in(server).await;
        device
    }

    async fn log_in(&self, server: &str) {
        let login = Login {
            server,
            username: "admin",
            password: ADMIN_PASSWORD,
            device_name: None,
        };
        self.app.login(login).await.unwrap();
    }

    /// Another process on the same file. It tries each request so many times.
    fn another_process(&self, attempts: u32) -> Client {
        open(&self.folder, &self.machine, attempts)
    }

    fn database(&self) -> PathBuf {
        self.folder.path().join("diary.db")
    }

    /// Attaches a file of these bytes. The app has its own copy.
    fn attach(&self, name: &str, bytes: impl AsRef<[u8]>, memo: Option<MemoId>) -> ResourceId {
        let file = self.folder.path().join(name);
        std::fs::write(&file, bytes).unwrap();
        let id = self.app.attach(&file, memo).unwrap();
        std::fs::remove_file(file).unwrap();
        id
    }

    async fn sync(&self) -> Progress {
        self.app.sync(|_| {}).await.unwrap()
    }

    fn write(&self, text: &str) -> MemoId {
        let id = MemoId::new(self.app.new_id());
        self.app.put(id, &memo(text)).unwrap();
        id
    }

    fn rewrite(&self, id: MemoId, text: &str) {
        self.app
            .edit::<Memo>(id, |memo| memo.content = long(text))
            .unwrap();
    }

    fn memo(&self, id: MemoId) -> Option<Memo> {
        self.app.get::<Memo>(id).unwrap().map(|memo| memo.content)
    }

    fn text(&self, id: MemoId) -> Option<String> {
        self.memo(id).map(|memo| memo.content.as_str().to_owned())
    }

    fn all<E: Entity>(&self) -> Vec<Record<E>> {
        self.app.list().unwrap()
    }
}

/// A server, and two devices that are logged in there.
async fn two_devices() -> (Server, Device, Device) {
    let server = Server::start();
    let (one, other) = (Device::at(&server.url).await, Device::at(&server.url).await);
    (server, one, other)
}

fn open(folder: &TempDir, machine: &Arc<Machine>, attempts: u32) -> Client {
    let settings = Settings {
        platform: Arc::clone(machine) as _,
        attempts,
        chunk_bytes: 64 * 1024,
        ..Settings::default()
    };
    Client::open(&folder.path().join("diary.db"), settings).unwrap()
}

fn long<T: TryFrom<String, Error: std::fmt::Debug>>(text: &str) -> T {
    text.to_owned().try_into().unwrap()
}

fn memo(text: &str) -> Memo {
    Memo {
        content: long(text),
        ..Memo::default()
    }
}

/// All of them have the same, and the server has it, too.
async fn assert_alike(devices: &[&Device]) {
    let everything = |device: &Device| {
        (
            device.all::<Memo>(),
            device.all::<Diary>(),
            device.all::<Resource>(),
            device.all::<Bot>(),
        )
    };
    for device in devices {
        assert_eq!(everything(device), everything(devices[0]));
        let digest = device.app.digest().await.unwrap();
        assert!(digest.is_same(), "{digest:?}");
    }
}
