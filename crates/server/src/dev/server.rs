//! The ordinary server, in a temporary folder, and what can be done with it from outside.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;

use mosaic_adapter_http::AppState;
use mosaic_adapter_sqlite::Location;
use mosaic_adapter_system::UuidV7Ids;
use mosaic_application::AppError;
use mosaic_application::accounts::AccountRequest;
use mosaic_application::nudges::Subscriptions;
use mosaic_domain::account::{Password, Role, Username};
use mosaic_ports::Clock as _;
use tempfile::TempDir;
use tokio::sync::{Mutex, RwLock, RwLockReadGuard};
use tokio::task::JoinHandle;

use super::DevError;
use super::faults::Faults;
use super::machine::{MovedClock, machine};
use super::requests::Requests;
use crate::config::{Config, DatabaseUrl, StorageConfig};
use crate::wiring::{self, Machine, Migrations, Services};

/// A server for developers. Stop it when done.
pub(crate) struct DevServer {
    /// The clock that it goes by.
    pub(crate) clock: Arc<MovedClock>,
    /// What is to go wrong.
    pub(crate) faults: Faults,
    /// What devices sent and got.
    pub(crate) requests: Requests,
    memory: TempDir,
    /// Of the attachments, for which memory may be too small.
    _disk: TempDir,
    config: Config,
    machine: Machine,
    running: RwLock<Running>,
    backups: Mutex<Vec<PathBuf>>,
}

impl DevServer {
    /// Starts one, over an empty store.
    ///
    /// # Errors
    /// [`DevError`].
    pub(crate) async fn start(config: &Config) -> Result<Self, DevError> {
        // Nothing of the store has to outlive this process: where memory is a folder, it waits for no disk.
        let mut folder = tempfile::Builder::new();
        folder.prefix("mosaic-dev-");
        let memory = folder.tempdir_in("/dev/shm").or_else(|_| folder.tempdir());
        let memory = memory.map_err(DevError::Start)?;
        let disk = folder.tempdir().map_err(DevError::Start)?;
        let mut config = config.clone();
        config.server.data_dir = memory.path().join("data");
        config.database = DatabaseUrl::SqliteFile(config.server.data_dir.join("mosaic.db"));
        config.storage = StorageConfig::Folder(disk.path().join("attachments"));
        let clock = Arc::new(MovedClock::default());
        let machine = machine(&clock);
        let running = Running::start(&machine, &config).await?;
        let dev = Self {
            clock,
            faults: Faults::default(),
            requests: Requests::default(),
            memory,
            _disk: disk,
            config,
            machine,
            running: RwLock::new(running),
            backups: Mutex::default(),
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

    /// Saves the store as it is.
    ///
    /// # Errors
    /// [`DevError::Backup`].
    pub(crate) async fn backup(&self) -> Result<(), DevError> {
        let mut backups = self.backups.lock().await;
        let file = self.memory.path().join(format!("backup-{}.db", backups.len()));
        mosaic_adapter_sqlite::backup(self.location(), file.clone(), |_| ()).await?;
        backups.push(file);
        Ok(())
    }

    /// Puts the last backup in the place of the store, as an operator would; answers whether there is one. Requests wait
    /// meanwhile.
    ///
    /// # Errors
    /// [`DevError`].
    pub(crate) async fn restore(&self) -> Result<bool, DevError> {
        let Some(backup) = self.backups.lock().await.last().cloned() else {
            return Ok(false);
        };
        let mut running = self.running.write().await;
        running.stop().await;
        let now = self.clock.now();
        let location = self.location();
        let restored =
            mosaic_adapter_sqlite::restore(location, backup, Arc::new(UuidV7Ids), now, |_| ()).await;
        *running = Running::start(&self.machine, &self.config).await?;
        restored?;
        Ok(true)
    }

    fn location(&self) -> Location {
        Location::File(self.config.server.data_dir.join("mosaic.db"))
    }

    /// Ends it.
    pub(crate) async fn stop(&self) {
        self.running.write().await.stop().await;
    }
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
        let services = Services::open_on(machine, config, Migrations::Apply).await?;
        let subscriptions = services.hear_of_commits();
        let settings = wiring::http_settings(config);
        let server = match mosaic_adapter_http::start(&settings, listener, services.state.clone()) {
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
        self.handle.stop(true).await;
        if let Some(ended) = self.ended.take() {
            // How it ended is of no interest any more.
            let _ = ended.await;
        }
        self.services.close().await;
    }
}
