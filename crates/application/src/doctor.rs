//! `mosaic doctor`: whether records and bytes agree.
//!
//! Looks and changes nothing. What it finds while a server works may be on the way: an upload whose record is not written
//! yet, an attachment that is being removed.

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::sync::Arc;

use futures_util::TryStreamExt;
use mosaic_domain::attachment::ContentRef;
use mosaic_domain::entity::Sha256;
use mosaic_domain::pull::PageLimits;
use mosaic_domain::{RecordKey, Stamp, UserId};
use mosaic_ports::{
    AttachmentAudit, BlobError, BlobInfo, BlobName, BlobStore, Clock, DumpReader, OrphanIndex, RevisionPlace,
    UserIds,
};
use sha2::Digest;
use uuid::Uuid;

use crate::garbage::{GRACE_MS, GarbageError};
use crate::storage::MARKERS;

/// How many rows are asked for at once.
const ROWS_AT_ONCE: u32 = 500;
/// How many documents are read at once.
const DOCUMENTS_AT_ONCE: PageLimits = PageLimits {
    records: 1_000,
    bytes: 8 * 1024 * 1024,
};
/// How many blobs are asked for at once.
const BLOBS_AT_ONCE: u32 = 1_000;
/// Of how many removed accounts is known that they are.
const MOST_REMOVED: u32 = 100_000;

/// Something that does not agree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// A record or a revision can't be read.
    Unreadable {
        /// Whose.
        user: UserId,
        /// Which record.
        key: RecordKey,
        /// Which of its revisions; `None` for what is current.
        revision: Option<u32>,
    },
    /// A live record names a content that was not uploaded: the record was pushed or imported before its bytes.
    WithoutBytes {
        /// Whose record.
        user: UserId,
        /// Which.
        key: RecordKey,
        /// What it names.
        sha256: Sha256,
    },
    /// The blob of a content is gone.
    BlobMissing {
        /// Whose content.
        user: UserId,
        /// Which.
        content: ContentRef,
    },
    /// The blob of a content has other bytes.
    BlobDamaged {
        /// Whose content.
        user: UserId,
        /// Which.
        content: ContentRef,
    },
    /// No record and no avatar names a content.
    Unnamed {
        /// Whose content.
        user: UserId,
        /// Which.
        content: ContentRef,
        /// Whether it came just now, so that its record may be on the way.
        is_new: bool,
    },
    /// A blob holds nothing that is known.
    UnknownBlob {
        /// The blob.
        blob: BlobInfo,
        /// Whether it came just now.
        is_new: bool,
    },
    /// The blobs of an account that this store removed. They go with the next purge.
    RemovedUser {
        /// The account.
        user: UserId,
        /// How many blobs.
        blobs: u64,
    },
    /// The blobs of an account that this store does not know, and never removed: of another store, or of a time before or after
    /// its backup. They are never removed by themselves.
    UnknownUser {
        /// The account.
        user: UserId,
        /// How many blobs.
        blobs: u64,
    },
}

impl Finding {
    /// Whether somebody misses something. Everything else takes room at worst, and what is waste goes with a purge, as does a
    /// revision that can't be read.
    pub fn is_loss(&self) -> bool {
        matches!(
            self,
            Self::Unreadable { revision: None, .. } | Self::BlobMissing { .. } | Self::BlobDamaged { .. }
        )
    }
}

/// How far an examination has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    /// Users that are done.
    pub users: u64,
    /// Contents that are done.
    pub contents: u64,
    /// Bytes that were read to check them.
    pub bytes: u64,
}

/// Compares records and bytes.
pub struct Doctor {
    users: Arc<dyn UserIds>,
    dump: Arc<dyn DumpReader>,
    audit: Arc<dyn AttachmentAudit>,
    orphans: Arc<dyn OrphanIndex>,
    blobs: Arc<dyn BlobStore>,
    clock: Arc<dyn Clock>,
}

impl Doctor {
    /// Over these ports.
    pub fn new(
        users: Arc<dyn UserIds>,
        dump: Arc<dyn DumpReader>,
        audit: Arc<dyn AttachmentAudit>,
        orphans: Arc<dyn OrphanIndex>,
        blobs: Arc<dyn BlobStore>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            users,
            dump,
            audit,
            orphans,
            blobs,
            clock,
        }
    }

    /// Examines everything; with `read_all`, every byte is read and hashed, else only sizes are compared. `find` is told of what does not
    /// agree, `tell` how far it has come, and may stop it.
    ///
    /// # Errors
    /// [`GarbageError`].
    pub async fn run(
        &self,
        read_all: bool,
        mut find: impl FnMut(Finding) + Send,
        mut tell: impl FnMut(Progress) -> ControlFlow<()> + Send,
    ) -> Result<ControlFlow<(), Progress>, GarbageError> {
        let mut progress = Progress::default();
        let mut after = None;
        loop {
            let users = self.users.user_ids(after, ROWS_AT_ONCE).await?;
            let Some(last) = users.last() else { break };
            after = Some(*last);
            for user in users {
                self.documents(user, &mut find).await?;
                self.records(user, &mut find).await?;
                let step = self
                    .contents(user, read_all, &mut find, &mut progress, &mut tell)
                    .await?;
                if step.is_break() {
                    return Ok(ControlFlow::Break(()));
                }
                progress.users += 1;
                if tell(progress).is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
        }
        self.blobs(&mut find).await?;
        Ok(ControlFlow::Continue(progress))
    }

    /// Reads every document but those of tombstones, which nobody is shown.
    async fn documents(&self, user: UserId, find: &mut impl FnMut(Finding)) -> Result<(), GarbageError> {
        let mut after = Stamp::ZERO;
        loop {
            let dumped = self.dump.dump_records(user, after, DOCUMENTS_AT_ONCE).await?;
            let Some(last) = dumped.last() else { break };
            after = last.record.stamp;
            let records = dumped.iter().map(|dumped| &dumped.record);
            for record in records.filter(|record| record.is_unreadable()) {
                let (key, revision) = (record.key, None);
                find(Finding::Unreadable { user, key, revision });
            }
        }
        let mut after = None;
        loop {
            let kept = self.dump.dump_revisions(user, after, DOCUMENTS_AT_ONCE).await?;
            let Some(last) = kept.last() else { return Ok(()) };
            after = Some(RevisionPlace::of(last));
            for kept in kept.iter().filter(|kept| kept.revision.content.is_unreadable()) {
                let (key, revision) = (kept.revision.key, Some(kept.number));
                find(Finding::Unreadable { user, key, revision });
            }
        }
    }

    async fn records(&self, user: UserId, find: &mut impl FnMut(Finding)) -> Result<(), GarbageError> {
        let mut after = None;
        loop {
            let found = self.audit.without_content(user, after, ROWS_AT_ONCE).await?;
            let Some((last, _)) = found.last() else {
                return Ok(());
            };
            after = Some(*last);
            for (key, sha256) in found {
                find(Finding::WithoutBytes { user, key, sha256 });
            }
        }
    }

    async fn contents(
        &self,
        user: UserId,
        read_all: bool,
        find: &mut impl FnMut(Finding),
        progress: &mut Progress,
        tell: &mut impl FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, GarbageError> {
        let grace = self.clock.now().plus(-GRACE_MS);
        let mut after = None;
        loop {
            let contents = self.dump.dump_contents(user, after, ROWS_AT_ONCE).await?;
            let Some(last) = contents.last() else {
                return Ok(ControlFlow::Continue(()));
            };
            after = Some(last.sha256);
            let hashes = contents.iter().map(|content| content.sha256).collect();
            let unnamed: HashSet<Sha256> = self.audit.unreferenced(user, hashes).await?.into_iter().collect();
            for content in contents {
                if unnamed.contains(&content.sha256) {
                    let is_new = content.touched_at >= grace;
                    find(Finding::Unnamed {
                        user,
                        content,
                        is_new,
                    });
                }
                if let Some(finding) = self.examine(user, content, read_all).await? {
                    find(finding);
                }
                progress.contents += 1;
                progress.bytes += if read_all { content.size } else { 0 };
                if tell(*progress).is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
        }
    }

    async fn examine(
        &self,
        user: UserId,
        content: ContentRef,
        read_all: bool,
    ) -> Result<Option<Finding>, BlobError> {
        let name = BlobName {
            user,
            id: content.blob,
        };
        let damaged = Finding::BlobDamaged { user, content };
        let Some(info) = self.blobs.info(name).await? else {
            return Ok(Some(Finding::BlobMissing { user, content }));
        };
        if info.size != content.size {
            return Ok(Some(damaged));
        }
        if !read_all {
            return Ok(None);
        }
        let Some(mut reader) = self.blobs.read(name, None).await? else {
            return Ok(Some(Finding::BlobMissing { user, content }));
        };
        let mut hash = sha2::Sha256::new();
        while let Some(bytes) = reader.bytes.try_next().await? {
            hash.update(&bytes);
        }
        let is_same = Sha256::from_bytes(hash.finalize().into()) == content.sha256;
        Ok((!is_same).then_some(damaged))
    }

    /// Looks at everything that the storage has.
    async fn blobs(&self, find: &mut impl FnMut(Finding)) -> Result<(), GarbageError> {
        let grace = self.clock.now().plus(-GRACE_MS);
        let removed = self.orphans.removed_users(None, MOST_REMOVED).await?;
        let removed: HashSet<UserId> = removed.into_iter().collect();
        let mut after = None;
        let mut owner: Option<Owner> = None;
        loop {
            let page = self.blobs.list(after, BLOBS_AT_ONCE).await?;
            let Some(last) = page.last() else { break };
            after = Some(last.name);
            for blobs in page.chunk_by(|a, b| a.name.user == b.name.user) {
                let user = blobs[0].name.user;
                if user == MARKERS {
                    continue;
                }
                let mut is_of = match owner.take() {
                    Some(same) if same.user == user => same,
                    other => {
                        report(other.as_ref(), find);
                        let is_removed = removed.contains(&user);
                        Owner::of(user, self.is_known(user).await?, is_removed)
                    }
                };
                if is_of.is_known {
                    self.unknown(user, blobs, grace, find).await?;
                } else {
                    is_of.blobs += blobs.len() as u64;
                }
                owner = Some(is_of);
            }
        }
        report(owner.as_ref(), find);
        Ok(())
    }

    async fn unknown(
        &self,
        user: UserId,
        blobs: &[BlobInfo],
        grace: mosaic_domain::UnixMillis,
        find: &mut impl FnMut(Finding),
    ) -> Result<(), GarbageError> {
        let ids = blobs.iter().map(|blob| blob.name.id).collect();
        let known: HashSet<Uuid> = self.orphans.referenced(user, ids).await?.into_iter().collect();
        for blob in blobs.iter().filter(|blob| !known.contains(&blob.name.id)) {
            find(Finding::UnknownBlob {
                blob: *blob,
                is_new: blob.stored_at >= grace,
            });
        }
        Ok(())
    }

    /// Whether the store has that account, or one that is being removed.
    async fn is_known(&self, user: UserId) -> Result<bool, GarbageError> {
        // The users after the one just before it: it is the first of them, if it is there.
        let before = user
            .uuid()
            .as_u128()
            .checked_sub(1)
            .map(|id| UserId::new(Uuid::from_u128(id)));
        Ok(self.users.user_ids(before, 1).await?.first() == Some(&user))
    }
}

/// Whose blobs are being looked at.
struct Owner {
    user: UserId,
    is_known: bool,
    is_removed: bool,
    blobs: u64,
}

impl Owner {
    fn of(user: UserId, is_known: bool, is_removed: bool) -> Self {
        Self {
            user,
            is_known,
            is_removed,
            blobs: 0,
        }
    }
}

fn report(owner: Option<&Owner>, find: &mut impl FnMut(Finding)) {
    let Some(owner) = owner.filter(|owner| !owner.is_known) else {
        return;
    };
    let Owner { user, blobs, .. } = *owner;
    find(if owner.is_removed {
        Finding::RemovedUser { user, blobs }
    } else {
        Finding::UnknownUser { user, blobs }
    });
}

impl std::fmt::Debug for Doctor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Doctor")
    }
}
