//! All ports of one store together.

use std::fmt;
use std::sync::Arc;

use crate::accounts::AccountStore;
use crate::attachments::{ContentIndex, Uploads};
use crate::commits::CommitFeed;
use crate::logins::RefreshTokens;
use crate::store::{ChangeFeed, DeviceCursors, Health, RecordReader, WriteStore};
use crate::transfer::Transfer;
use crate::upkeep::{Jobs, Retention};

/// The ports of one store, all over the same database.
#[derive(Clone)]
#[expect(missing_docs, reason = "each is the port that it is named after")]
pub struct Stores {
    pub write: Arc<dyn WriteStore>,
    pub feed: Arc<dyn ChangeFeed>,
    pub reader: Arc<dyn RecordReader>,
    pub cursors: Arc<dyn DeviceCursors>,
    pub accounts: Arc<dyn AccountStore>,
    pub tokens: Arc<dyn RefreshTokens>,
    pub health: Arc<dyn Health>,
    pub transfer: Arc<dyn Transfer>,
    pub retention: Arc<dyn Retention>,
    pub jobs: Arc<dyn Jobs>,
    pub commits: Arc<dyn CommitFeed>,
    pub contents: Arc<dyn ContentIndex>,
    pub uploads: Arc<dyn Uploads>,
}

impl Stores {
    /// The ports of a store that implements all of them.
    pub fn of<S>(store: &Arc<S>) -> Self
    where
        S: WriteStore
            + ChangeFeed
            + RecordReader
            + DeviceCursors
            + AccountStore
            + RefreshTokens
            + Health
            + Transfer
            + Retention
            + Jobs
            + CommitFeed
            + ContentIndex
            + Uploads
            + 'static,
    {
        Self {
            write: Arc::clone(store) as _,
            feed: Arc::clone(store) as _,
            reader: Arc::clone(store) as _,
            cursors: Arc::clone(store) as _,
            accounts: Arc::clone(store) as _,
            tokens: Arc::clone(store) as _,
            health: Arc::clone(store) as _,
            transfer: Arc::clone(store) as _,
            retention: Arc::clone(store) as _,
            jobs: Arc::clone(store) as _,
            commits: Arc::clone(store) as _,
            contents: Arc::clone(store) as _,
            uploads: Arc::clone(store) as _,
        }
    }
}

impl fmt::Debug for Stores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Stores")
    }
}
