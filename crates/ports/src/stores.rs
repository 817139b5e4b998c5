//! All ports of one store together.

use std::fmt;
use std::sync::Arc;

use crate::accounts::AccountStore;
use crate::activity::ActivityLog;
use crate::attachments::{AttachmentAudit, AttachmentIndex, AvatarIndex, OrphanIndex, VariantIndex};
use crate::commits::CommitFeed;
use crate::invites::InviteStore;
use crate::logins::RefreshTokens;
use crate::store::{ChangeFeed, DeviceCursors, Health, RecordReader, WriteStore};
use crate::transfer::{DumpReader, DumpWriter, StoreIdentity, UserIds};
use crate::upkeep::{Jobs, Retention};
use crate::uploads::UploadStore;

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
    pub invites: Arc<dyn InviteStore>,
    pub health: Arc<dyn Health>,
    pub identity: Arc<dyn StoreIdentity>,
    pub user_ids: Arc<dyn UserIds>,
    pub dump_reader: Arc<dyn DumpReader>,
    pub dump_writer: Arc<dyn DumpWriter>,
    pub retention: Arc<dyn Retention>,
    pub jobs: Arc<dyn Jobs>,
    pub commits: Arc<dyn CommitFeed>,
    pub activity: Arc<dyn ActivityLog>,
    pub contents: Arc<dyn AttachmentIndex>,
    pub variants: Arc<dyn VariantIndex>,
    pub avatars: Arc<dyn AvatarIndex>,
    pub orphans: Arc<dyn OrphanIndex>,
    pub audit: Arc<dyn AttachmentAudit>,
    pub uploads: Arc<dyn UploadStore>,
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
            + InviteStore
            + Health
            + StoreIdentity
            + UserIds
            + DumpReader
            + DumpWriter
            + Retention
            + Jobs
            + CommitFeed
            + ActivityLog
            + AttachmentIndex
            + VariantIndex
            + AvatarIndex
            + OrphanIndex
            + AttachmentAudit
            + UploadStore
            + 'static,
    {
        Self {
            write: Arc::clone(store) as _,
            feed: Arc::clone(store) as _,
            reader: Arc::clone(store) as _,
            cursors: Arc::clone(store) as _,
            accounts: Arc::clone(store) as _,
            tokens: Arc::clone(store) as _,
            invites: Arc::clone(store) as _,
            health: Arc::clone(store) as _,
            identity: Arc::clone(store) as _,
            user_ids: Arc::clone(store) as _,
            dump_reader: Arc::clone(store) as _,
            dump_writer: Arc::clone(store) as _,
            retention: Arc::clone(store) as _,
            jobs: Arc::clone(store) as _,
            commits: Arc::clone(store) as _,
            activity: Arc::clone(store) as _,
            contents: Arc::clone(store) as _,
            variants: Arc::clone(store) as _,
            avatars: Arc::clone(store) as _,
            orphans: Arc::clone(store) as _,
            audit: Arc::clone(store) as _,
            uploads: Arc::clone(store) as _,
        }
    }
}

impl fmt::Debug for Stores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Stores")
    }
}
