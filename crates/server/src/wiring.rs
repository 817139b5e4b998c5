//! Puts the parts together: the store that the configuration names, the machine's services, the use cases over both.

mod error;
mod store;

use std::sync::Arc;
use std::time::Duration;

use mosaic_adapter_http::{
    AppState, BodyLimits, Budget, DownloadSettings, HttpFigures, HttpSettings, LoginBudgets, RequestLimits,
};
use mosaic_adapter_media::{PictureScaler, PictureSettings, Signatures};
use mosaic_adapter_system::{Argon2Hasher, OsRandomness, PasetoTokens, SystemClock, UuidV7Ids};
use mosaic_application::accounts::{AccountPorts, Accounts, Registration};
use mosaic_application::activity::Trail;
use mosaic_application::attachments::{AttachmentLimits, AttachmentPorts, Attachments};
use mosaic_application::bots::Bots;
use mosaic_application::days::Days;
use mosaic_application::devices::Devices;
use mosaic_application::diaries::Diaries;
use mosaic_application::export::Export;
use mosaic_application::history::HighWater;
use mosaic_application::memos::Memos;
use mosaic_application::nudges::{Nudges, Subscriptions};
use mosaic_application::pull::Pull;
use mosaic_application::push::Push;
use mosaic_application::records::Records;
use mosaic_application::sessions::Sessions;
use mosaic_application::uploads::Uploads;
use mosaic_ports::{Clock, Figures, IdGenerator, PasswordHasher, Randomness, StoreError, Stores};

use crate::config::{self, AllowedOrigins, Config, DatabaseUrl, HttpConfig};
use crate::daily::DailyJob;
use crate::lost;
use crate::metrics::{BackupFigures, Metrics, ProcessFigures, PurgeFigures, ServerFigures};
use crate::secrets::{self, SecretError, SecretKey};
use crate::storage::Storage;
use crate::tasks::Workbench;

pub(crate) use self::error::WiringError;
pub(crate) use self::store::{OpenStore, Opening, pending_migrations, postgres};

/// The file in the data folder with the key that signs access tokens, where the configuration names none.
const TOKEN_KEY_FILE: &str = "token.key";

/// What a server takes of the machine that a server for app developers takes from elsewhere.
#[derive(Clone)]
pub(crate) struct Machine {
    /// Stamps, tokens and edits go by it.
    pub(crate) clock: Arc<dyn Clock>,
    /// Says whether somebody is who they say.
    pub(crate) passwords: Arc<dyn PasswordHasher>,
}

impl Machine {
    /// The machine's own.
    fn real() -> Result<Self, WiringError> {
        Ok(Self {
            clock: Arc::new(SystemClock),
            passwords: Arc::new(Argon2Hasher::new().map_err(WiringError::Passwords)?),
        })
    }
}

/// The server's parts, put together. Close them when done.
#[derive(Debug)]
pub(crate) struct Services {
    store: OpenStore,
    storage: Storage,
    /// The use cases.
    pub(crate) state: AppState,
    subscriptions: Arc<Subscriptions>,
    high_water: Arc<HighWater>,
    purges: Arc<PurgeFigures>,
}

impl Services {
    /// Opens the store and the storage of attachments, and builds the use cases over both.
    ///
    /// # Errors
    /// [`WiringError`].
    pub(crate) async fn open(config: &Config, opening: Opening) -> Result<Self, WiringError> {
        Self::open_on(&Machine::real()?, config, opening).await
    }

    /// As [`Services::open`], with what is taken of the machine.
    ///
    /// # Errors
    /// [`WiringError`].
    pub(crate) async fn open_on(
        machine: &Machine,
        config: &Config,
        opening: Opening,
    ) -> Result<Self, WiringError> {
        if opening == Opening::Create {
            secrets::create_private_dir(&config.server.data_dir)?;
        }
        let clock = Arc::clone(&machine.clock);
        let store = OpenStore::open_by(clock, config, &config.database, opening).await?;
        Self::over_on(machine, config, store).await
    }

    /// The same over a store that is open.
    ///
    /// # Errors
    /// [`WiringError`]; the store is closed then.
    pub(crate) async fn over(config: &Config, store: OpenStore) -> Result<Self, WiringError> {
        Self::over_on(&Machine::real()?, config, store).await
    }

    async fn over_on(machine: &Machine, config: &Config, store: OpenStore) -> Result<Self, WiringError> {
        let subscriptions = Arc::new(Subscriptions::default());
        match parts(machine, config, &store.ports, &subscriptions).await {
            Ok((storage, state)) => Ok(Self {
                high_water: Arc::new(store.high_water(config, &storage)),
                store,
                storage,
                state,
                subscriptions,
                purges: Arc::default(),
            }),
            Err(error) => {
                store.close().await;
                Err(error)
            }
        }
    }

    /// Refuses to begin with a new store what was one with attachments before.
    ///
    /// # Errors
    /// [`LostError`].
    pub(crate) async fn refuse_lost_store(&self) -> Result<(), WiringError> {
        Ok(lost::refuse_lost_store(self.store.ports.accounts.as_ref(), &self.storage).await?)
    }

    /// From now on those who listen are told of commits, on whatever instance. For servers: commands have no listeners.
    ///
    /// Closing the hub that is returned ends all listeners.
    pub(crate) fn hear_of_commits(&self) -> Arc<Subscriptions> {
        self.store
            .ports
            .commits
            .listen(Arc::clone(&self.subscriptions) as _);
        Arc::clone(&self.subscriptions)
    }

    /// Renews the epoch of a database that was set back, and remembers from now on how far it comes. For servers.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(crate) async fn notice_setting_back(&self) -> Result<(), StoreError> {
        self.high_water.check().await?;
        self.store.ports.commits.listen(Arc::clone(&self.high_water) as _);
        Ok(())
    }

    /// The same parts, for commands beside the server; `shown_config` is the configuration as it is shown.
    pub(crate) fn workbench(&self, config: &Config, shown_config: String) -> Workbench {
        let (store, storage) = (self.store.clone(), self.storage.clone());
        Workbench::of_server(config, store, storage, shown_config)
    }

    /// The job that forgets what is old, once a day.
    pub(crate) fn daily(&self, config: &Config) -> DailyJob {
        let retention_ms = config.retention.map(millis);
        DailyJob::new(
            self.store.purge(config, &self.storage),
            retention_ms,
            Arc::clone(&self.purges),
        )
    }

    /// What all parts count.
    pub(crate) fn metrics(&self, config: &Config) -> Metrics {
        let parts: [Arc<dyn Figures>; 6] = [
            Arc::new(ServerFigures(Arc::clone(&self.subscriptions))),
            Arc::new(self.state.figures.clone()),
            self.store.figures(),
            Arc::clone(&self.storage.figures) as _,
            Arc::clone(&self.purges) as _,
            Arc::new(ProcessFigures::new()),
        ];
        let backups = config.backup.folder.clone().map(BackupFigures);
        let backups = backups.map(|backups| Arc::new(backups) as Arc<dyn Figures>);
        Metrics::of(parts.into_iter().chain(backups))
    }

    /// Looks in the background whether attachments can be kept and found, and says in the log where they can't. Then a new store has
    /// the name by which it is known again, and whether it was set back is watched.
    pub(crate) fn watch(&self) {
        let (blobs, high_water) = (Arc::clone(&self.storage.blobs), Arc::clone(&self.high_water));
        tokio::spawn(async move {
            if let Err(error) = blobs.check().await {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "attachments can not be used now"
                );
            }
            high_water.watch().await;
        });
    }

    /// Finishes the writes that are queued and releases the store.
    pub(crate) async fn close(&self) {
        self.high_water.store().await;
        self.store.close().await;
    }
}

/// What a server has besides its store: the data folder, the storage of attachments, and the use cases over all of it.
async fn parts(
    machine: &Machine,
    config: &Config,
    store: &Stores,
    subscriptions: &Arc<Subscriptions>,
) -> Result<(Storage, AppState), WiringError> {
    secrets::create_private_dir(&config.server.data_dir)?;
    let storage = Storage::open(config, store, Opening::Create).await?;
    let state = state(machine, config, store, &storage, subscriptions)?;
    Ok((storage, state))
}

/// The accounts of a store, for commands: nobody logs in by them, so the tokens that they would sign need no key that lasts.
pub(crate) fn accounts(config: &Config, store: &Stores) -> Result<Accounts, WiringError> {
    let (accounts, _) = logins(&Machine::real()?, config, store, OsRandomness.secret())?;
    Ok(accounts)
}

/// Accounts, and the logins whose access tokens are signed with this key.
fn logins(
    machine: &Machine,
    config: &Config,
    store: &Stores,
    key: [u8; SecretKey::BYTES],
) -> Result<(Accounts, Sessions), WiringError> {
    let Machine { clock, passwords } = machine.clone();
    let tokens = PasetoTokens::from_seed(key).map_err(|error| WiringError::TokenKey(error.into()))?;
    let sessions = Sessions::new(
        Arc::new(tokens),
        Arc::clone(&store.tokens),
        Arc::clone(&clock),
        millis(config.auth.access_token_ttl),
    );
    let ports = AccountPorts {
        accounts: Arc::clone(&store.accounts),
        refresh_tokens: Arc::clone(&store.tokens),
        invites: Arc::clone(&store.invites),
        activity: Arc::clone(&store.activity),
        passwords,
        clock,
        ids: Arc::new(UuidV7Ids),
        randomness: Arc::new(OsRandomness),
    };
    let registration = match config.server.registration {
        config::Registration::Open => Registration::Open,
        config::Registration::Closed => Registration::Closed,
    };
    let refresh_ttl = millis(config.auth.refresh_token_ttl);
    let accounts = Accounts::new(ports, sessions.clone(), registration, refresh_ttl);
    Ok((accounts, sessions))
}

/// The use cases over the ports of a store and the storage of attachments.
fn state(
    machine: &Machine,
    config: &Config,
    store: &Stores,
    storage: &Storage,
    subscriptions: &Arc<Subscriptions>,
) -> Result<AppState, WiringError> {
    let clock = Arc::clone(&machine.clock);
    let ids: Arc<dyn IdGenerator> = Arc::new(UuidV7Ids);
    let (accounts, sessions) = logins(machine, config, store, *token_key(config)?.expose())?;
    let trail = Trail::new(Arc::clone(&store.activity), Arc::clone(&clock), Arc::clone(&ids));
    let records = Records::new(
        Arc::clone(&store.write),
        Arc::clone(&store.reader),
        Arc::clone(&ids),
    )
    .with_quota(config.limits.user_records_bytes);
    let days = Days::new(Arc::clone(&store.accounts), config.server.time_zone.clone());
    let memos = Memos::new(records.clone(), days);
    let attachments = attachments(Arc::clone(&clock), config, store, storage, &records);
    let upload_lifetime = millis(config.attachments.upload_lifetime);
    let uploads = Uploads::new(
        attachments.clone(),
        records.clone(),
        Arc::clone(&store.uploads),
        upload_lifetime,
    );
    Ok(AppState {
        pull: Pull::new(
            Arc::clone(&store.feed),
            Arc::clone(&store.cursors),
            Arc::clone(&clock),
        ),
        push: Push::new(
            Arc::clone(&store.write),
            Arc::clone(&store.feed),
            Arc::clone(&store.reader),
        )
        .with_quota(config.limits.user_records_bytes),
        devices: Devices::new(
            Arc::clone(&store.cursors),
            Arc::clone(&store.tokens),
            Arc::clone(&store.feed),
            Arc::clone(&store.reader),
            Arc::clone(&clock),
            trail.clone(),
        ),
        nudges: Nudges::new(
            Arc::clone(subscriptions),
            Arc::clone(&store.feed),
            config.events.max_per_user.get(),
        ),
        export: export(store),
        trail,
        diaries: Diaries::new(records.clone(), memos.clone()),
        bots: Bots::new(records.clone()),
        attachments,
        uploads,
        downloads: download_settings(config),
        memos,
        records,
        accounts,
        sessions,
        health: storage.health(store),
        clock,
        ids,
        figures: HttpFigures::default(),
        login_budgets: login_budgets(config),
        public_url: config.http.public_url.as_ref().map(|url| url.join("").into()),
        heartbeat: config.events.heartbeat,
    })
}

fn attachments(
    clock: Arc<dyn Clock>,
    config: &Config,
    store: &Stores,
    storage: &Storage,
    records: &Records,
) -> Attachments {
    let ports = AttachmentPorts {
        blobs: Arc::clone(&storage.blobs),
        contents: Arc::clone(&store.contents),
        variants: Arc::clone(&store.variants),
        avatars: Arc::clone(&store.avatars),
        orphans: Arc::clone(&store.orphans),
        types: Arc::new(Signatures),
        pictures: Arc::new(PictureScaler::new(PictureSettings::default())),
        clock,
        ids: Arc::new(UuidV7Ids),
    };
    let limits = AttachmentLimits {
        storage: storage.kind,
        file_bytes: config.attachments.max_file_bytes,
        avatar_bytes: config.attachments.max_avatar_bytes,
        user_bytes: config.attachments.user_quota_bytes,
    };
    Attachments::new(ports, records.clone(), limits)
}

fn download_settings(config: &Config) -> DownloadSettings {
    let attachments = &config.attachments;
    DownloadSettings {
        redirect_for: attachments
            .redirect_downloads
            .then_some(attachments.address_lifetime),
        upload_idle: attachments.idle_timeout,
        direct_for: attachments.address_lifetime,
    }
}

/// The use case that writes exports.
pub(crate) fn export(store: &Stores) -> Export {
    Export::new(
        Arc::clone(&store.accounts),
        Arc::clone(&store.dump_reader),
        Arc::clone(&store.identity),
        Arc::new(SystemClock),
        trail(store),
    )
}

/// What happened to the accounts of a store, for commands.
pub(crate) fn trail(store: &Stores) -> Trail {
    Trail::new(
        Arc::clone(&store.activity),
        Arc::new(SystemClock),
        Arc::new(UuidV7Ids),
    )
}

/// The key that signs access tokens: the configured one, or one that was generated at the first start.
fn token_key(config: &Config) -> Result<SecretKey, SecretError> {
    match &config.server.token_secret {
        Some(key) => Ok(key.clone()),
        None => secrets::load_or_create(&config.server.data_dir.join(TOKEN_KEY_FILE), || {
            Ok(OsRandomness.secret())
        }),
    }
}

fn login_budgets(config: &Config) -> LoginBudgets {
    let budget = |attempts| Budget {
        burst: attempts,
        per_minute: attempts,
    };
    LoginBudgets {
        account: budget(config.auth.account_attempts_per_minute),
        address: budget(config.auth.address_attempts_per_minute),
    }
}

/// How the HTTP server behaves on the wire.
pub(crate) fn http_settings(config: &Config) -> HttpSettings {
    let HttpConfig {
        workers,
        max_body_bytes,
        memory_budget_bytes,
        header_timeout,
        body_timeout,
        keep_alive,
        shutdown_timeout,
        trust_proxy,
        ..
    } = config.http;
    let defaults = HttpSettings::default();
    HttpSettings {
        workers: if workers == 0 { defaults.workers } else { workers },
        keep_alive,
        head_timeout: header_timeout,
        body: BodyLimits {
            packed_bytes: max_body_bytes,
            unpacked_bytes: max_body_bytes,
            timeout: body_timeout,
        },
        memory_budget: memory_budget_bytes,
        requests: request_limits(config),
        cors_origins: match &config.cors.allowed_origins {
            AllowedOrigins::Any => vec!["*".to_owned()],
            AllowedOrigins::Listed(origins) => origins.clone(),
        },
        trust_proxy,
        shutdown_timeout,
    }
}

/// How many requests run at the same time. No user takes more than half of what reads or writes the store, and neither do those
/// that look at much, all users' together.
fn request_limits(config: &Config) -> RequestLimits {
    let (all, heavy) = match &config.database {
        DatabaseUrl::Postgres(_) => {
            let half = (config.postgres.pool_size.get() / 2).max(1);
            (half, half)
        }
        // Short look-ups wait for a reader only as long as others take, and writes for none.
        DatabaseUrl::SqliteFile(_) | DatabaseUrl::SqliteMemory => {
            (usize::MAX, (config.sqlite.readers.get() / 2).max(1))
        }
    };
    RequestLimits {
        per_user: config.http.requests_per_user.get().min(all),
        heavy_per_user: config.http.heavy_requests_per_user.get(),
        heavy,
    }
}

/// A duration in milliseconds, as the use cases count.
pub(crate) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
