//! The ordinary server, in a temporary folder, and what can be done with it from outside.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use std::{env, fs, io};

use mosaic_adapter_http::{AppState, Listener};
use mosaic_adapter_sqlite::{Location, RestoreError, RestoreSummary};
use mosaic_adapter_system::UuidV7Ids;
use mosaic_application::AppError;
use mosaic_application::accounts::AccountRequest;
use mosaic_application::nudges::Subscriptions;
use mosaic_domain::account::{Password, Role, Username};
use mosaic_ports::{Clock as _, IdGenerator as _};
use tokio::sync::{Mutex, RwLock, RwLockReadGuard};
use tokio::task::JoinHandle;
use tokio::time::sleep;
use uuid::Uuid;

use super::DevError;
use super::faults::Faults;
use super::folder::Folder;
use super::machine::{MovedClock, machine};
use super::requests::Requests;
use crate::config::{Config, DatabaseUrl, StorageConfig};
use crate::wiring::{self, Machine, Opening, Services};

/// How long look-ups of a server that was stopped may go on.
const READERS_END_WITHIN: Duration = Duration::from_secs(10);

/// A server for developers. Stop it when done.
pub(crate) struct DevServer {
    /// Names this start: whatever counts up begins anew with the next.
    pub(super) run: Uuid,
    /// The clock that it goes by.
    pub(crate) clock: Arc<MovedClock>,
    /// What is to go wrong.
    pub(crate) faults: Faults,
    /// What devices sent and got.
    pub(crate) requests: Requests,
    memory: Folder,
    /// Of the attachments, for which memory may be too small.
    _disk: Folder,
    config: Config,
    machine: Machine,
    running: RwLock<Running>,
    /// Only one backup or restoration at a time.
    backup: Mutex<()>,
}

impl DevServer {
    /// Starts one, over an empty store.
    ///
    /// # Errors
    /// [`DevError`].
    pub(crate) async fn start(config: &Config) -> Result<Self, DevError> {
        // Nothing of the store has to outlive this process: where memory is a folder, it waits for no disk.
        let elsewhere = |_| Folder::new_in(&env::temp_dir());
        let memory = Folder::new_in(Path::new("/dev/shm")).or_else(elsewhere);
        let memory = memory.map_err(DevError::Start)?;
        let disk = Folder::new_in(&env::temp_dir()).map_err(DevError::Start)?;
        let mut config = config.clone();
        config.server.data_dir = memory.path().join("data");
        config.database = DatabaseUrl::SqliteFile(config.server.data_dir.join("mosaic.db"));
        config.storage = StorageConfig::Folder(disk.path().join("attachments"));
        let clock = Arc::new(MovedClock::default());
        let machine = machine(&clock);
        let running = Running::start(&machine, &config).await?;
        let dev = Self {
            run: UuidV7Ids.next(),
            clock,
            faults: Faults::default(),
            requests: Requests::default(),
            memory,
            _disk: disk,
            config,
            machine,
            running: RwLock::new(running),
            backup: Mutex::default(),
        };
        let accounts = dev.running().await.state().accounts.clone();
        let (any, _) = accounts.generate_password()?;
        accounts.ensure_admin(Some(any)).await?;
        Ok(dev)
    }

    /// The server as it runs: it isn't set back as long as this is held.
    pub(super) async fn running(&self) -> RwLockReadGuard<'_, Running> {
        self.running.read().await
    }

    /// Where the server itself listens, past the front.
    pub(crate) async fn address(&self) -> SocketAddr {
        self.running().await.address
    }

    /// Makes the account of somebody who logs in with an unknown name. What is no name the login refuses.
    ///
    /// # Errors
    /// A store's error.
    pub(super) async fn welcome(&self, name: &str) -> Result<(), AppError> {
        let Ok(username) = Username::chosen(name) else {
            return Ok(());
        };
        let accounts = self.running().await.state().accounts.clone();
        let (password, _): (Password, _) = accounts.generate_password()?;
        let request = AccountRequest {
            username,
            password,
            role: Role::User,
            must_change_password: false,
        };
        match accounts.create(request, None).await {
            Ok(_) | Err(AppError::NameTaken) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Saves the store as it is, in the place of the last backup. Goes on where nobody waits for it any more.
    ///
    /// # Errors
    /// [`DevError::Backup`].
    pub(crate) async fn backup(self: &Arc<Self>) -> Result<(), DevError> {
        let dev = Arc::clone(self);
        whatever_becomes_of_the_caller(async move { dev.take_backup().await }).await
    }

    async fn take_backup(&self) -> Result<(), DevError> {
        let _only = self.backup.lock().await;
        let partial = self.memory.path().join("backup.new");
        // Where one was broken off.
        let _ = fs::remove_file(&partial);
        mosaic_adapter_sqlite::backup(self.location(), partial.clone(), |_| ()).await?;
        fs::rename(partial, self.backup_file()).map_err(DevError::Folder)
    }

    fn backup_file(&self) -> PathBuf {
        self.memory.path().join("backup.db")
    }

    /// Puts the backup in the place of the store, as an operator would; answers whether there is one. Requests that are being
    /// answered are cut off, others wait meanwhile. Goes on where nobody waits for it any more.
    ///
    /// # Errors
    /// [`DevError`].
    pub(crate) async fn restore(self: &Arc<Self>) -> Result<bool, DevError> {
        let dev = Arc::clone(self);
        whatever_becomes_of_the_caller(async move { dev.put_back().await }).await
    }

    async fn put_back(&self) -> Result<bool, DevError> {
        let _only = self.backup.lock().await;
        let backup = self.backup_file();
        if !backup.exists() {
            return Ok(false);
        }
        let mut running = self.running.write().await;
        running.stop().await;
        let restored = self.put_in_place(&backup).await;
        *running = Running::start(&self.machine, &self.config).await?;
        // An operator may want the store back that was there before.
        restored?
            .previous
            .map_or(Ok(()), fs::remove_file)
            .map_err(DevError::Folder)?;
        Ok(true)
    }

    /// Does so once nothing of the stopped server reads any more: what it cut off may be looking something up, and ends soon.
    async fn put_in_place(&self, backup: &Path) -> Result<RestoreSummary, RestoreError> {
        let began = Instant::now();
        loop {
            let (location, backup, ids) = (self.location(), backup.to_owned(), Arc::new(UuidV7Ids));
            let now = self.clock.now();
            match mosaic_adapter_sqlite::restore(location, backup, ids, now, |_| ()).await {
                Err(RestoreError::InUse(_)) if began.elapsed() < READERS_END_WITHIN => {
                    sleep(Duration::from_millis(20)).await;
                }
                done => return done,
            }
        }
    }

    fn location(&self) -> Location {
        Location::File(self.config.server.data_dir.join("mosaic.db"))
    }

    /// Ends it.
    pub(crate) async fn stop(&self) {
        self.running.write().await.stop().await;
    }
}

/// Does this to its end: whoever asked for it may hang up, which drops what waits for it.
async fn whatever_becomes_of_the_caller<T: Send + 'static>(
    work: impl Future<Output = Result<T, DevError>> + Send + 'static,
) -> Result<T, DevError> {
    tokio::spawn(work).await.map_err(DevError::BrokenOff)?
}

/// The server between two starts.
pub(super) struct Running {
    services: Services,
    subscriptions: Arc<Subscriptions>,
    handle: actix_web::dev::ServerHandle,
    ended: Option<JoinHandle<io::Result<()>>>,
    /// Where it listens.
    pub(super) address: SocketAddr,
}

impl Running {
    async fn start(machine: &Machine, config: &Config) -> Result<Self, DevError> {
        let listener = TcpListener::bind("127.0.0.1:0").map_err(DevError::Start)?;
        let address = listener.local_addr().map_err(DevError::Start)?;
        let services = Services::open_on(machine, config, Opening::Create).await?;
        let subscriptions = services.hear_of_commits();
        let settings = wiring::http_settings(config);
        let server = match mosaic_adapter_http::start(
            &settings,
            vec![Listener::Tcp(listener)],
            None,
            services.state.clone(),
        ) {
            Ok(server) => server,
            Err(error) => {
                services.close().await;
                return Err(DevError::Start(error));
            }
        };
        Ok(Self {
            handle: server.handle(),
            ended: Some(tokio::spawn(server)),
            services,
            subscriptions,
            address,
        })
    }

    fn state(&self) -> &AppState {
        &self.services.state
    }

    async fn stop(&mut self) {
        self.subscriptions.close();
        // At once: an answer that is held, or that nobody takes, would keep it for as long as it may take to stop.
        self.handle.stop(false).await;
        if let Some(ended) = self.ended.take() {
            // How it ended is of no interest any more.
            let _ = ended.await;
        }
        self.services.close().await;
    }
}
