//! `mosaic copy`: moves a whole installation from one store to another.
//!
//! User by user, in batches, each a transaction of its own, so that a copy that was interrupted goes on where it stopped.
//! Stamps, edit times, cursors, revisions and logins stay as they are: devices just go on pulling from the new server. At
//! the end both stores are read again and compared, record by record.

mod invites;

use std::collections::BTreeMap;

use mosaic_domain::activity::{ActivityQuery, SERVER};
use mosaic_domain::pull::PageLimits;
use mosaic_domain::{Record, Stamp, UserId};
use mosaic_ports::{KeptRevision, Loaded, RevisionPlace, StoreError, Stores, UserDump, UserIds};
use sha2::{Digest, Sha256};

/// How many users are asked for at once.
const USERS_AT_ONCE: u32 = 500;
/// How many contents are read at once.
const CONTENTS_AT_ONCE: u32 = 1_000;
/// How many events are read at once.
const EVENTS_AT_ONCE: u32 = 1_000;
/// How much one batch holds.
const BATCH: PageLimits = PageLimits {
    records: 1_000,
    bytes: 8 * 1024 * 1024,
};

/// Why an installation was not copied.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// The target holds somebody else's data.
    #[error("the target is not empty, and what it holds does not come from this source")]
    ForeignTarget,
    /// The target has users that the source does not have.
    #[error("the target has the user {0}, who is not in the source")]
    ForeignUser(UserId),
    /// The target has gone on since it was copied: copying again would take that back.
    #[error("the target is newer than the source: user {0} has written to it since")]
    NewerTarget(UserId),
    /// After copying, the two differ: somebody wrote meanwhile.
    #[error("after copying, {what} of user {user} differ: is a server running on one of the two?")]
    Differs {
        /// The user.
        user: UserId,
        /// What differs.
        what: &'static str,
    },
    /// A store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// How far a copy has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    /// What is being done.
    pub phase: Phase,
    /// Users that are done.
    pub users: u64,
    /// Users that there are.
    pub users_total: u64,
    /// Records that are done, of all users.
    pub records: u64,
    /// Revisions that are done, of all users.
    pub revisions: u64,
    /// Records and revisions among them that can't be read, as far as they were compared.
    pub unreadable: u64,
}

/// What a copy is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Phase {
    /// Writing into the target.
    #[default]
    Copying,
    /// Comparing the two.
    Comparing,
}

/// What was copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copied {
    /// How many users.
    pub users: u64,
    /// How many records, tombstones included.
    pub records: u64,
    /// How many revisions.
    pub revisions: u64,
    /// How many records and revisions can't be read. They were copied as they are.
    pub unreadable: u64,
    /// A SHA-256, in hexadecimal, over users, clocks, records and revisions; the same for both stores.
    pub content_hash: String,
}

/// Copies one store into another.
pub struct Copy {
    from: Stores,
    to: Stores,
}

impl Copy {
    /// A copy from one store to another.
    pub fn new(from: Stores, to: Stores) -> Self {
        Self { from, to }
    }

    /// Copies everything and compares both. `tell` hears after each batch how far it has come.
    ///
    /// # Errors
    /// [`CopyError`]. What was copied until then stays; the same call goes on from there.
    pub async fn run(&self, mut tell: impl FnMut(Progress)) -> Result<Copied, CopyError> {
        let users = all_users(self.from.user_ids.as_ref()).await?;
        self.claim_target(&users).await?;
        let mut progress = Progress {
            users_total: users.len() as u64,
            ..Progress::default()
        };
        for user in &users {
            self.copy_user(*user, &mut progress, &mut tell).await?;
        }
        self.copy_activity(SERVER).await?;
        self.copy_invites().await?;
        self.to.dump_writer.refresh_statistics().await?;
        progress = Progress {
            phase: Phase::Comparing,
            users_total: progress.users_total,
            ..Progress::default()
        };
        let mut hash = Sha256::new();
        for user in &users {
            self.compare_user(*user, &mut hash, &mut progress, &mut tell)
                .await?;
        }
        self.compare_activity(SERVER).await?;
        if !self.other_invites().await?.is_empty() {
            let (user, what) = (SERVER, "the invites");
            return Err(CopyError::Differs { user, what });
        }
        let content_hash = hash
            .finalize()
            .iter()
            .fold(String::new(), |text, byte| text + &format!("{byte:02x}"));
        let Progress {
            users,
            records,
            revisions,
            unreadable,
            ..
        } = progress;
        Ok(Copied {
            users,
            records,
            revisions,
            unreadable,
            content_hash,
        })
    }

    /// Takes an empty target, or one that an earlier copy from the same source has begun.
    async fn claim_target(&self, users: &[UserId]) -> Result<(), CopyError> {
        let (ours, theirs) = (self.from.identity.epoch().await?, self.to.identity.epoch().await?);
        let present = all_users(self.to.user_ids.as_ref()).await?;
        if ours != theirs {
            if !present.is_empty() {
                return Err(CopyError::ForeignTarget);
            }
            // Nobody else has a target that is empty.
            self.to.identity.replace_epoch(theirs, ours).await?;
        }
        // The blobs stay where they are.
        if let Some(storage) = self.from.identity.storage().await?
            && self.to.identity.name_storage(storage).await? != storage
        {
            return Err(CopyError::ForeignTarget);
        }
        for user in present {
            if users.binary_search(&user).is_err() {
                return Err(CopyError::ForeignUser(user));
            }
            if self.is_newer(user).await? {
                return Err(CopyError::NewerTarget(user));
            }
        }
        Ok(())
    }

    /// Whether the target knows more of a user than the source does. Asked of all users before anything is written.
    async fn is_newer(&self, user: UserId) -> Result<bool, StoreError> {
        let (ours, theirs) = (
            self.from.dump_reader.dump_user(user).await?,
            self.to.dump_reader.dump_user(user).await?,
        );
        let clock = |dump: Option<UserDump>| dump.map_or(Stamp::ZERO, |dump| dump.clock);
        Ok(clock(theirs) > clock(ours))
    }

    async fn copy_user(
        &self,
        user: UserId,
        progress: &mut Progress,
        tell: &mut impl FnMut(Progress),
    ) -> Result<(), CopyError> {
        // Deleted since the users were listed: the comparison would say so.
        let Some(dump) = self.from.dump_reader.dump_user(user).await? else {
            return Ok(());
        };
        let (ours, loaded) = (
            self.from.dump_reader.loaded(user).await?,
            self.to.dump_reader.loaded(user).await?,
        );
        let there = self.to.dump_reader.dump_user(user).await?;
        if ours != loaded || there.is_none_or(|theirs| theirs.clock != dump.clock) {
            // Where an earlier copy was complete, the logins that were made on the target since then stay.
            self.to.dump_writer.load_user(dump).await?;
        }
        progress.records += loaded.records;
        self.copy_records(user, loaded, progress, tell).await?;
        self.copy_revisions(user, loaded, progress, tell).await?;
        self.copy_contents(user).await?;
        self.copy_activity(user).await?;
        progress.users += 1;
        tell(*progress);
        Ok(())
    }

    /// Records are loaded in stamp order, so the greatest stamp says where an interrupted copy stopped.
    async fn copy_records(
        &self,
        user: UserId,
        loaded: Loaded,
        progress: &mut Progress,
        tell: &mut impl FnMut(Progress),
    ) -> Result<(), CopyError> {
        let mut after = loaded.last_stamp;
        loop {
            let records = self.from.dump_reader.dump_records(user, after, BATCH).await?;
            let Some(last) = records.last() else { return Ok(()) };
            after = last.record.stamp;
            progress.records += records.len() as u64;
            self.to.dump_writer.load_records(user, records).await?;
            tell(*progress);
        }
    }

    /// Revisions have no stamps: unless all of them are there, they are loaded from the beginning, which changes nothing
    /// about those that are.
    async fn copy_revisions(
        &self,
        user: UserId,
        loaded: Loaded,
        progress: &mut Progress,
        tell: &mut impl FnMut(Progress),
    ) -> Result<(), CopyError> {
        if loaded.revisions == self.from.dump_reader.loaded(user).await?.revisions {
            progress.revisions += loaded.revisions;
            return Ok(());
        }
        let mut after = None;
        loop {
            let revisions = self.from.dump_reader.dump_revisions(user, after, BATCH).await?;
            let Some(last) = revisions.last() else {
                return Ok(());
            };
            after = Some(RevisionPlace::of(last));
            progress.revisions += revisions.len() as u64;
            self.to.dump_writer.load_revisions(user, revisions).await?;
            tell(*progress);
        }
    }

    /// Which blob holds which content; the blobs stay where they are.
    async fn copy_contents(&self, user: UserId) -> Result<(), CopyError> {
        let mut after = None;
        loop {
            let contents = self
                .from
                .dump_reader
                .dump_contents(user, after, CONTENTS_AT_ONCE)
                .await?;
            let Some(last) = contents.last() else {
                return Ok(());
            };
            after = Some(last.sha256);
            self.to.dump_writer.load_contents(user, contents).await?;
        }
    }

    /// What happened to the account. What is there already stays.
    async fn copy_activity(&self, user: UserId) -> Result<(), CopyError> {
        let mut query = ActivityQuery::newest(EVENTS_AT_ONCE);
        loop {
            let events = self.from.activity.trail(user, query).await?;
            let Some(last) = events.last() else {
                return Ok(());
            };
            query.before = Some(last.id);
            self.to.dump_writer.load_activity(user, events).await?;
        }
    }

    /// Whether all that happened to an account is known in the target, which may have seen more since.
    async fn compare_activity(&self, user: UserId) -> Result<(), CopyError> {
        let everything = ActivityQuery::newest(u32::MAX);
        let theirs = self.to.activity.trail(user, everything).await?;
        let theirs: BTreeMap<_, _> = theirs.into_iter().map(|event| (event.id, event)).collect();
        let ours = self.from.activity.trail(user, everything).await?;
        if ours.iter().all(|event| theirs.get(&event.id) == Some(event)) {
            return Ok(());
        }
        let what = "the trails";
        Err(CopyError::Differs { user, what })
    }

    async fn compare_contents(&self, user: UserId, hash: &mut Sha256) -> Result<(), CopyError> {
        let mut after = None;
        loop {
            let ours = self
                .from
                .dump_reader
                .dump_contents(user, after, CONTENTS_AT_ONCE)
                .await?;
            if ours
                != self
                    .to
                    .dump_reader
                    .dump_contents(user, after, CONTENTS_AT_ONCE)
                    .await?
            {
                return Err(CopyError::Differs {
                    user,
                    what: "attachments",
                });
            }
            let Some(last) = ours.last() else { return Ok(()) };
            after = Some(last.sha256);
            for content in &ours {
                add(hash, &content.sha256.to_string());
                add(hash, &content.blob.to_string());
            }
        }
    }

    async fn compare_user(
        &self,
        user: UserId,
        hash: &mut Sha256,
        progress: &mut Progress,
        tell: &mut impl FnMut(Progress),
    ) -> Result<(), CopyError> {
        let differs = |what| CopyError::Differs { user, what };
        let (ours, theirs) = (
            self.from.dump_reader.dump_user(user).await?,
            self.to.dump_reader.dump_user(user).await?,
        );
        match ours.filter(|ours| theirs.as_ref() == Some(ours)) {
            Some(dump) => add_user(hash, &dump),
            None => {
                return Err(differs(
                    "the account, the clock, the cursors, the logins or the avatars",
                ));
            }
        }
        let mut after = Stamp::ZERO;
        loop {
            let ours = self.from.dump_reader.dump_records(user, after, BATCH).await?;
            if ours != self.to.dump_reader.dump_records(user, after, BATCH).await? {
                return Err(differs("records"));
            }
            let Some(last) = ours.last() else { break };
            after = last.record.stamp;
            progress.records += ours.len() as u64;
            for dumped in &ours {
                progress.unreadable += u64::from(dumped.record.is_unreadable());
                add_record(hash, &dumped.record);
            }
            tell(*progress);
        }
        self.compare_revisions(user, hash, progress, tell).await?;
        self.compare_contents(user, hash).await?;
        self.compare_activity(user).await?;
        progress.users += 1;
        tell(*progress);
        Ok(())
    }

    async fn compare_revisions(
        &self,
        user: UserId,
        hash: &mut Sha256,
        progress: &mut Progress,
        tell: &mut impl FnMut(Progress),
    ) -> Result<(), CopyError> {
        let mut after = None;
        loop {
            let ours = self
                .from
                .dump_reader
                .dump_revisions(user, after.clone(), BATCH)
                .await?;
            if ours != self.to.dump_reader.dump_revisions(user, after, BATCH).await? {
                return Err(CopyError::Differs {
                    user,
                    what: "revisions",
                });
            }
            let Some(last) = ours.last() else { return Ok(()) };
            after = Some(RevisionPlace::of(last));
            progress.revisions += ours.len() as u64;
            for kept in &ours {
                progress.unreadable += u64::from(kept.revision.content.is_unreadable());
                add_revision(hash, kept);
            }
            tell(*progress);
        }
    }
}

impl std::fmt::Debug for Copy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Copy")
    }
}

async fn all_users(store: &dyn UserIds) -> Result<Vec<UserId>, StoreError> {
    let mut users: Vec<UserId> = Vec::new();
    loop {
        let more = store.user_ids(users.last().copied(), USERS_AT_ONCE).await?;
        if more.is_empty() {
            return Ok(users);
        }
        users.extend(more);
    }
}

/// Adds a part to the hash, its length first, so that no two sequences of parts look alike.
fn add(hash: &mut Sha256, part: &str) {
    hash.update((part.len() as u64).to_be_bytes());
    hash.update(part.as_bytes());
}

fn add_user(hash: &mut Sha256, dump: &UserDump) {
    add(hash, &dump.account.user.id.to_string());
    add(hash, dump.account.user.username.as_str());
    add(hash, &dump.clock.to_string());
}

fn add_record(hash: &mut Sha256, record: &Record) {
    add(hash, record.key.entity_type().name());
    add(hash, &record.key.to_string());
    add(hash, &record.stamp.to_string());
    add(hash, &record.version.time.to_string());
    add(hash, record.version.author.as_str());
    add(hash, if record.is_deleted() { "deleted" } else { "live" });
    add(
        hash,
        &record
            .state
            .content()
            .map(mosaic_domain::Content::to_document)
            .unwrap_or_default(),
    );
}

fn add_revision(hash: &mut Sha256, kept: &KeptRevision) {
    add(hash, &kept.revision.id.to_string());
    add(hash, &kept.number.to_string());
}
