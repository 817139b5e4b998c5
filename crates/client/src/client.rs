//! The client: what an app holds.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use mosaic_domain::entity::{Entity, Fields as _, Memo};
use mosaic_domain::search::{SearchTerms, normalise};
use mosaic_domain::{ClientId, EntityType, PerEntity, UnixMillis};
use tokio::sync::Mutex;
use uuid::Uuid;

use crate::error::{Error, Result};
use crate::files::create_private_file;
use crate::http::{Failures, Http, Request};
use crate::platform::{Platform, System};
use crate::record::Record;
use crate::store::{Store, Upload};
use crate::sync::Rejection;
use crate::wire::{DigestAnswer, TypeDigest, read};

/// How a client behaves.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The clock, randomness and waiting.
    pub platform: Arc<dyn Platform>,
    /// So many failures in a row end a call: of all the requests that it makes, where these may be sent again. They count anew after
    /// each page, batch or part of a file.
    pub attempts: u32,
    /// How long to wait for the head of an answer, and then for each further part of it. A second more for each 8 KiB that are sent.
    /// An answer that is no file has at most 64 MiB, packed or not.
    pub timeout: Duration,
    /// How many bytes of a file are sent at a time. A connection that breaks loses as many at most.
    pub chunk_bytes: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            platform: Arc::new(System),
            attempts: 6,
            timeout: Duration::from_mins(2),
            chunk_bytes: 1024 * 1024,
        }
    }
}

/// One installation of an app: its database, its login, its connection. Clones are the same one.
#[derive(Debug, Clone)]
pub struct Client(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    store: Arc<Store>,
    http: Http,
    client_id: ClientId,
    files: PathBuf,
    settings: Settings,
    syncing: Mutex<()>,
    renewing: Mutex<()>,
}

/// Where a device stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// The server of the last login.
    pub server: Option<String>,
    /// The account of the last login.
    pub username: Option<String>,
    /// Whether that login goes on, as far as is known here.
    pub is_logged_in: bool,
    /// Whether the server has ever served this device.
    pub has_synced: bool,
    /// How many edits the next sync sends.
    pub waiting: u64,
    /// The edits that the server did not take.
    pub rejected: Vec<Rejection>,
    /// The files that are not on the server yet.
    pub uploads: Vec<Upload>,
}

/// What the live records come to, here and on the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DigestReport {
    /// In this database.
    pub here: PerEntity<TypeDigest>,
    /// On the server.
    pub server: PerEntity<TypeDigest>,
}

impl DigestReport {
    /// Whether both hold the same versions.
    pub fn is_same(&self) -> bool {
        self.here == self.server
    }
}

/// What needs no network. These functions wait for the disk: an interface calls them off its main thread.
impl Client {
    /// Opens the database, and makes it where it is not there, for nobody else to read: the tokens of the login are in it. Attached
    /// files wait in a folder beside it.
    ///
    /// # Errors
    /// [`Error::Local`].
    pub fn open(path: &Path, settings: Settings) -> Result<Self> {
        create_private_file(path)?;
        let store = Store::open(path)?;
        let client_id = store.client_id(settings.platform.new_id())?;
        let mut files = path.as_os_str().to_owned();
        files.push(".files");
        Ok(Self(Arc::new(Inner {
            store: Arc::new(store),
            http: Http::new(client_id.to_string(), settings.clone())?,
            client_id,
            files: files.into(),
            settings,
            syncing: Mutex::default(),
            renewing: Mutex::default(),
        })))
    }

    /// The name of this installation, made with the database and kept with it (D1). A copy of the file has the same one: it converges
    /// all the same (P6).
    pub fn client_id(&self) -> &ClientId {
        &self.0.client_id
    }

    /// An id for a new memo, resource or bot: `MemoId::new(client.new_id())`. A diary's key is its day.
    pub fn new_id(&self) -> Uuid {
        self.0.settings.platform.new_id()
    }

    /// Writes a record: a new one, or in the place of what is there. Only fields that change are part of the edit, so that another
    /// device's edit of others stays (W7); where none does, there is no edit.
    ///
    /// # Errors
    /// [`Error::Local`].
    pub fn put<E: Entity>(&self, key: E::Key, content: &E) -> Result<()> {
        self.0.store.put(key, content, self.now())
    }

    /// Changes some fields of a record, as [`put`](Self::put) does, and as it is at this moment.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Local`].
    pub fn edit<E: Entity>(&self, key: E::Key, change: impl FnOnce(&mut E)) -> Result<()> {
        self.0.store.edit(key, change, self.now())
    }

    /// Deletes a record. The resources of a memo are hidden with it: they go when the server knows (W9).
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Local`].
    pub fn delete<E: Entity>(&self, key: E::Key) -> Result<()> {
        self.0.store.delete(E::record_key(key), self.now())
    }

    /// One record, as it was edited here; `None` where it is not there, or deleted.
    ///
    /// # Errors
    /// [`Error::Local`].
    pub fn get<E: Entity>(&self, key: E::Key) -> Result<Option<Record<E>>> {
        Ok(self.0.store.visible(Some(key))?.pop())
    }

    /// All records of a type, the newest first.
    ///
    /// # Errors
    /// [`Error::Local`].
    pub fn list<E: Entity>(&self) -> Result<Vec<Record<E>>> {
        self.0.store.visible(None)
    }

    /// The memos whose text, tags or summary contain every term, as the server searches: letter case aside, no word boundaries.
    ///
    /// # Errors
    /// [`Error::Invalid`] where there are too many terms; [`Error::Local`].
    pub fn search(&self, query: &str) -> Result<Vec<Record<Memo>>> {
        let terms = SearchTerms::parse(query)?;
        let mut found = self.list::<Memo>()?;
        found.retain(|memo| {
            let text = normalise(&memo.content.facets().search_text.unwrap_or_default());
            terms.iter().all(|term| text.contains(term))
        });
        Ok(found)
    }

    /// Where this device stands.
    ///
    /// # Errors
    /// [`Error::Local`].
    pub fn status(&self) -> Result<Status> {
        let store = &self.0.store;
        let (server, username) = store
            .account()?
            .map(|account| (account.server, account.username))
            .unzip();
        Ok(Status {
            server,
            username,
            is_logged_in: store.tokens()?.is_some(),
            has_synced: store.place()?.epoch.is_some(),
            waiting: store.waiting()?,
            rejected: store.rejections()?,
            uploads: store.uploads()?,
        })
    }

    /// Makes the next sync pull everything again, and drop what the server does not have, as after a restored backup (R3). Edits that
    /// are not settled stay. For when [`digest`](Self::digest) differs after a sync.
    ///
    /// # Errors
    /// [`Error::Local`].
    pub fn rebuild(&self) -> Result<()> {
        self.0.store.rebuild()
    }
}

impl Client {
    /// Compares this database with the server, without a transfer of records. It means something after a sync, with nothing edited
    /// since, here or elsewhere.
    ///
    /// # Errors
    /// As [`sync`](Self::sync).
    pub async fn digest(&self) -> Result<DigestReport> {
        let request = Request::get("/sync/digest");
        let answer = self.request(&request, &mut Failures::default()).await?;
        let mut answer: DigestAnswer = read(&answer.body)?;
        let here = self.blocking(Store::digest).await?;
        Ok(DigestReport {
            here: here.map(|_, digest| TypeDigest {
                count: digest.count(),
                hash: digest.hash(),
            }),
            server: PerEntity::from_fn(|entity: EntityType| {
                answer.entities.remove(entity.name()).unwrap_or_default()
            }),
        })
    }

    pub(crate) fn now(&self) -> UnixMillis {
        self.0.settings.platform.now()
    }

    pub(crate) fn http(&self) -> &Http {
        &self.0.http
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.0.settings
    }

    pub(crate) fn store(&self) -> &Store {
        &self.0.store
    }

    pub(crate) fn syncing(&self) -> &Mutex<()> {
        &self.0.syncing
    }

    pub(crate) fn renewing(&self) -> &Mutex<()> {
        &self.0.renewing
    }

    /// Where attached files wait.
    pub(crate) fn files(&self) -> &Path {
        &self.0.files
    }

    /// Does work on the database, off the threads that must not wait.
    pub(crate) async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Store) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let store = Arc::clone(&self.0.store);
        let done = tokio::task::spawn_blocking(move || work(&store)).await;
        done.map_err(Error::local)?
    }
}
