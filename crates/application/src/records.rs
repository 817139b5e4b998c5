//! The road that all entity types share: create, edit, delete, read, list, revisions (rules W1 to W9, H1).

use std::sync::Arc;

use mosaic_domain::entity::{Missing, Resource, ResourcePatch};
use mosaic_domain::pull::PageLimits;
use mosaic_domain::query::{CHILDREN_SHOWN, RecordQuery, TagCount};
use mosaic_domain::skew::Shift;
use mosaic_domain::write::{
    Action, EditResult, Locked, Outcome, RecordEdit, Refusal, WritePlan, WriteScope, decide_within,
};
use mosaic_domain::{
    ClientId, EditTime, Entity, EntityType, FamilyId, Live, MemoId, Record, RecordKey, ResourceId, Revision,
    RevisionId, UnixMillis, UserId, Violation, Violations,
};
use mosaic_ports::{Decide, IdGenerator, KeptRevision, RecordReader, WriteStore};
use uuid::Uuid;

use crate::error::AppError;
use crate::page::Page;

/// Who makes an edit, and when they say they made it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EditBy {
    /// Whose records.
    pub user: UserId,
    /// The login that edits; `None`: the server itself.
    pub login: Option<FamilyId>,
    /// The device.
    pub client: ClientId,
    /// `updatedAt`, by the device's clock; `None`: now (W1).
    pub edit_time: Option<EditTime>,
    /// `createdAt`. Kept as it is: it orders lists, and decides only between edits that are alike otherwise.
    pub created_at: Option<UnixMillis>,
    /// The device's clock when it sent the request (W6).
    pub client_time: Option<UnixMillis>,
    /// The server's clock when the request arrived: its head, not the last byte of a body that took its time.
    pub arrived_at: UnixMillis,
}

impl EditBy {
    /// The edit time by the server's clock (W6).
    pub(crate) fn adjusted_time(&self) -> Result<Option<EditTime>, AppError> {
        let shift = Shift::between(self.client_time, self.arrived_at);
        let adjusted = self.edit_time.map(|time| shift.apply(time, self.arrived_at));
        Ok(adjusted.transpose()?)
    }
}

/// What a client wants a record to be, as far as it says so: what it leaves out stays as it is stored (W7).
#[derive(Debug, Clone)]
pub struct Upsert<E: Entity> {
    /// The fields that it names.
    pub patch: E::Changes,
    /// The resources that the memo has from now on, in order.
    pub attachments: Option<Vec<ResourceId>>,
    /// Whether a record that is not there is made, with defaults for what the upsert leaves out. Without an edit time such an
    /// upsert overwrites nothing (W3), unless it is of a diary, whose key is its day (W7).
    pub creates: bool,
}

impl<E: Entity> Upsert<E> {
    /// The edit that writes this, whatever route it came by.
    pub fn into_action(self, created_at: Option<UnixMillis>) -> Action {
        Action::Patch {
            patch: E::patch(self.patch),
            created_at,
            attachments: self.attachments,
            creates: self.creates,
        }
    }
}

/// A kept version of a record of a known type.
#[derive(Debug, Clone, PartialEq)]
pub struct TypedRevision<E> {
    /// Counts the revisions of the record, from 1.
    pub number: u32,
    /// Everything but the content's type.
    pub revision: Revision,
    /// The whole content.
    pub content: E,
}

/// One page of the revisions of a record.
#[derive(Debug, Clone, PartialEq)]
pub struct TypedRevisions<E> {
    /// The revisions, the latest kept first.
    pub items: Vec<TypedRevision<E>>,
    /// The number below which the next page goes on; `None` where there are no older ones.
    pub next_before: Option<u32>,
}

/// How much one page of revisions may hold at most; it ends at 4 MiB as pages of a pull do.
pub const REVISIONS_PER_PAGE: usize = 200;

/// The resources that are shown with a memo. Whoever has more of them, or longer ones, lists those of the memo.
const SHOWN_WITH_A_MEMO: PageLimits = PageLimits {
    records: CHILDREN_SHOWN,
    ..PageLimits::PROTOCOL
};

/// Reads and writes records of any type.
#[derive(Clone)]
pub struct Records {
    store: Arc<dyn WriteStore>,
    reader: Arc<dyn RecordReader>,
    ids: Arc<dyn IdGenerator>,
    quota: u64,
}

impl Records {
    /// Records over these ports.
    pub fn new(store: Arc<dyn WriteStore>, reader: Arc<dyn RecordReader>, ids: Arc<dyn IdGenerator>) -> Self {
        Self {
            store,
            reader,
            ids,
            quota: u64::MAX,
        }
    }

    /// With a limit for what the records and revisions of one user may come to, in bytes (W10).
    #[must_use]
    pub fn with_quota(self, quota: u64) -> Self {
        Self { quota, ..self }
    }

    /// An id for a record whose client made none.
    pub fn new_id(&self) -> Uuid {
        self.ids.next()
    }

    /// `POST` and `PUT`: writes the fields that the upsert names, and answers what is stored then. A create that is sent again
    /// answers what is there and overwrites nothing (W3).
    ///
    /// # Errors
    /// [`AppError`]: not found, superseded, deleted, an edit time ahead, a memo or resource that does not exist, fields that a new
    /// record lacks.
    pub async fn write<E: Entity>(
        &self,
        by: &EditBy,
        key: E::Key,
        upsert: Upsert<E>,
    ) -> Result<Live<E>, AppError> {
        let action = upsert.into_action(by.created_at);
        live(self.edit(by, E::record_key(key), action).await?)
    }

    /// `DELETE`: leaves a tombstone (W5).
    ///
    /// # Errors
    /// [`AppError`]: not found, superseded, an edit time ahead.
    pub async fn delete<E: Entity>(&self, by: &EditBy, key: E::Key) -> Result<(), AppError> {
        let action = Action::Delete {
            tombstone_if_missing: false,
        };
        self.edit(by, E::record_key(key), action).await.map(drop)
    }

    /// A live record.
    ///
    /// # Errors
    /// As [`Records::find`], and [`AppError::NotFound`] where there never was one.
    pub async fn get<E: Entity>(&self, user: UserId, key: E::Key) -> Result<Live<E>, AppError> {
        self.find(user, key).await?.ok_or(AppError::NotFound)
    }

    /// A live record, if there ever was one.
    ///
    /// # Errors
    /// [`AppError::Gone`] where it is deleted, [`AppError::Unreadable`], or a store's error.
    pub async fn find<E: Entity>(&self, user: UserId, key: E::Key) -> Result<Option<Live<E>>, AppError> {
        let record = self.reader.record(user, E::record_key(key)).await?;
        record.map(readable).transpose()
    }

    /// A record as it is stored, tombstones included.
    ///
    /// # Errors
    /// A store's error.
    pub(crate) async fn record(&self, user: UserId, key: RecordKey) -> Result<Option<Record>, AppError> {
        Ok(self.reader.record(user, key).await?)
    }

    /// Writes the resource of bytes that are stored: a new one, or one that is there and has no bytes yet.
    ///
    /// # Errors
    /// [`AppError`]: deleted, other content, superseded, an edit time ahead, a memo that does not exist.
    pub(crate) async fn fill(
        &self,
        by: &EditBy,
        id: ResourceId,
        patch: ResourcePatch,
    ) -> Result<Live<Resource>, AppError> {
        let action = Action::AttachContent {
            patch,
            created_at: by.created_at,
        };
        live(self.edit(by, RecordKey::Resource(id), action).await?)
    }

    /// Which live records are on a page, so far as they fit into one answer.
    ///
    /// # Errors
    /// A store's error.
    pub async fn page(&self, user: UserId, query: &RecordQuery) -> Result<Page, AppError> {
        Ok(Page::of(self.reader.list(user, query).await?, query.page))
    }

    /// These records as they are now, in this order. Those that were deleted meanwhile, and those that can't be read, are left out.
    ///
    /// # Errors
    /// A store's error.
    pub async fn live<E: Entity>(&self, user: UserId, keys: &[RecordKey]) -> Result<Vec<Live<E>>, AppError> {
        let records = self.reader.records(user, keys).await?;
        Ok(records.into_iter().filter_map(Record::into_live).collect())
    }

    /// The live resources of some memos, each memo's in their order, as many as are shown with a memo.
    ///
    /// # Errors
    /// A store's error.
    pub(crate) async fn shown_with(
        &self,
        user: UserId,
        memos: &[MemoId],
    ) -> Result<Vec<Live<Resource>>, AppError> {
        let records = self.reader.children(user, memos, SHOWN_WITH_A_MEMO).await?;
        Ok(records.into_iter().filter_map(Record::into_live).collect())
    }

    /// The tags of the live records of a type, the most frequent first.
    ///
    /// # Errors
    /// A store's error.
    pub async fn tags<E: Entity>(&self, user: UserId) -> Result<Vec<TagCount>, AppError> {
        Ok(self.reader.tags(user, E::TYPE).await?)
    }

    /// The revisions of a record, also of a deleted one, the latest kept first (H1): those numbered below `before`, at most
    /// `limit` ([`REVISIONS_PER_PAGE`] at most).
    ///
    /// # Errors
    /// [`AppError::NotFound`] where there never was such a record.
    pub async fn revisions<E: Entity>(
        &self,
        user: UserId,
        key: E::Key,
        before: Option<u32>,
        limit: usize,
    ) -> Result<TypedRevisions<E>, AppError> {
        let key = E::record_key(key);
        if self.reader.record(user, key).await?.is_none() {
            return Err(AppError::NotFound);
        }
        let limits = PageLimits {
            records: limit.clamp(1, REVISIONS_PER_PAGE),
            ..PageLimits::PROTOCOL
        };
        let page = self.reader.revisions(user, key, before, limits).await?;
        let next_before = page.items.last().map(|kept| kept.number).filter(|_| page.more);
        let items = page.items.into_iter().filter_map(typed).collect();
        Ok(TypedRevisions { items, next_before })
    }

    /// One revision of a record.
    ///
    /// # Errors
    /// [`AppError::NotFound`] where this record has no such revision, or no longer (H2); [`AppError::Unreadable`].
    pub async fn revision<E: Entity>(
        &self,
        user: UserId,
        key: E::Key,
        id: RevisionId,
    ) -> Result<TypedRevision<E>, AppError> {
        let kept = self.reader.revision(user, E::record_key(key), id).await?;
        let kept = kept.ok_or(AppError::NotFound)?;
        typed(kept).ok_or(AppError::Unreadable)
    }

    /// Restores a revision: an ordinary new edit with the content that the revision has. It keeps what it takes the place
    /// of, brings a deleted record back, and syncs. Where the record is so already, nothing changes.
    ///
    /// # Errors
    /// [`AppError::NotFound`] where this record has no such revision; those of any edit besides.
    pub async fn restore<E: Entity>(
        &self,
        by: &EditBy,
        key: E::Key,
        id: RevisionId,
    ) -> Result<Live<E>, AppError> {
        let TypedRevision { revision, .. } = self.revision::<E>(by.user, key, id).await?;
        let action = Action::Put {
            content: revision.content,
            created_at: revision.created_at,
        };
        live(self.edit(by, E::record_key(key), action).await?)
    }

    /// Edits several records as one write: all of it, or where one is refused nothing.
    ///
    /// # Errors
    /// [`AppError::UnknownReference`] with the place of the first record that does not exist, below `path`.
    pub async fn patch_all<E: Entity>(
        &self,
        by: &EditBy,
        patches: Vec<(E::Key, E::Changes)>,
        path: &str,
    ) -> Result<(), AppError> {
        let time = by.adjusted_time()?;
        let edit = |(key, patch): (E::Key, E::Changes)| RecordEdit {
            key: E::record_key(key),
            author: by.client.clone(),
            time,
            action: Action::Patch {
                patch: E::patch(patch),
                created_at: None,
                attachments: None,
                creates: false,
            },
        };
        let results = self
            .carry_out(by, patches.into_iter().map(edit).collect())
            .await?;
        let refused = results
            .iter()
            .position(|result| matches!(result.outcome, Outcome::Refused(_)));
        refused.map_or(Ok(()), |index| {
            Err(AppError::UnknownReference(unknown(E::TYPE, path, index)))
        })
    }

    async fn edit(&self, by: &EditBy, key: RecordKey, action: Action) -> Result<EditResult, AppError> {
        let time = by.adjusted_time()?;
        let edit = RecordEdit {
            key,
            author: by.client.clone(),
            time,
            action,
        };
        let result = self.carry_out(by, vec![edit]).await?.pop();
        let result = result.ok_or_else(|| AppError::Internal("a write answered no result".into()))?;
        match result.outcome {
            Outcome::Applied | Outcome::Unchanged => Ok(result),
            Outcome::Refused(refusal) => Err(refusal.into()),
            Outcome::Superseded => match result.current {
                Some(current) => Err(AppError::Superseded {
                    current: Box::new(current),
                }),
                None => Err(AppError::Internal("an edit was superseded by nothing".into())),
            },
        }
    }

    async fn carry_out(&self, by: &EditBy, edits: Vec<RecordEdit>) -> Result<Vec<EditResult>, AppError> {
        let scope = WriteScope::of(by.user, &edits).by(by.login);
        let quota = self.quota;
        let decide: Decide = Arc::new(move |locked: &Locked| {
            let plan = decide_within(quota, locked, &edits)?;
            Ok(if plan.results.iter().any(is_refused) {
                nothing(locked, plan)
            } else {
                plan
            })
        });
        Ok(self.store.write(scope, decide).await?.results)
    }
}

impl std::fmt::Debug for Records {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Records")
    }
}

impl From<Refusal> for AppError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::NotFound => Self::NotFound,
            Refusal::Gone(deleted_at) => Self::Gone(deleted_at),
            Refusal::Deleted(deleted_at) => Self::Deleted(deleted_at),
            Refusal::ContentGone(deleted_at) => Self::ContentGone(deleted_at),
            Refusal::Unreadable => Self::Unreadable,
            Refusal::Incomplete(Missing(fields)) => {
                let mut violations = Violations::default();
                for field in fields {
                    violations.push(Violation::new("required", "must be given").at(field));
                }
                Self::Invalid(violations)
            }
            Refusal::UnknownMemo(id) => Self::UnknownMemo(id),
            Refusal::MemoFull(id) => Self::MemoFull(id),
            Refusal::OtherContent => Self::OtherContent,
            Refusal::NoRoom { used, quota } => Self::NoRoom { used, quota },
            Refusal::UnknownResource { index, .. } => {
                Self::UnknownReference(unknown(EntityType::Resource, "resourceIds", index))
            }
        }
    }
}

/// A live record with its type known.
fn readable<E: Entity>(record: Record) -> Result<Live<E>, AppError> {
    if record.is_deleted() {
        return Err(AppError::Gone(record.version.time));
    }
    record.into_live().ok_or(AppError::Unreadable)
}

fn typed<E: Entity>(kept: KeptRevision) -> Option<TypedRevision<E>> {
    let content = E::from_content(kept.revision.content.clone())?;
    Some(TypedRevision {
        number: kept.number,
        revision: kept.revision,
        content,
    })
}

fn is_refused(result: &EditResult) -> bool {
    matches!(result.outcome, Outcome::Refused(_))
}

/// The plan that leaves everything as it is.
fn nothing(locked: &Locked, plan: WritePlan) -> WritePlan {
    WritePlan {
        clock_before: locked.clock.last(),
        clock: locked.clock.last(),
        records: Vec::new(),
        revisions: Vec::new(),
        record_bytes: 0,
        results: plan.results,
    }
}

fn unknown(entity_type: EntityType, path: &str, index: usize) -> Violation {
    let code = match entity_type {
        EntityType::Memo => "unknown_memo",
        EntityType::Diary => "unknown_diary",
        EntityType::Resource => "unknown_resource",
        EntityType::Bot => "unknown_bot",
    };
    Violation::new(code, format!("there is no such {entity_type}"))
        .at(&format!("[{index}]"))
        .at(path)
}

fn live<E: Entity>(result: EditResult) -> Result<Live<E>, AppError> {
    let record = result.current.and_then(Record::into_live);
    record.ok_or_else(|| AppError::Internal("a write answered no live record".into()))
}
