//! `POST /sync/push`: many edits in one request (rules B1 to B3, W1 to W6).

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::iter::repeat;
use std::sync::Arc;

use mosaic_domain::entity::{Memo, Resource};
use mosaic_domain::query::{Order, PageNumber, RecordQuery};
use mosaic_domain::skew::Shift;
use mosaic_domain::write::{
    Action, CHILDREN_MAX, EditResult, Locked, Outcome, RecordEdit, WritePlan, WriteScope, decide_within,
};
use mosaic_domain::{
    ClientId, EditTime, Entity as _, FamilyId, Record, RecordKey, Stamp, UnixMillis, UserId,
};
use mosaic_ports::{ChangeFeed, Decide, RecordReader, WriteStore};

use crate::error::AppError;

/// A push that brings more bytes than this is written in several slices: while one is written, writes of others wait.
pub const SLICE_BYTES: usize = 512 * 1024;
/// What is stored of the records that a push names is read, and kept as a revision: so many bytes of it cost as much as one that
/// is brought.
const STORED_PER_BROUGHT: u64 = 2;
/// How much is stored of so few records is not asked.
const FEW_EDITS: usize = 4;

/// Who pushes, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PushBy {
    /// Whose records.
    pub user: UserId,
    /// The login that pushes; `None`: the server itself.
    pub login: Option<FamilyId>,
    /// The device.
    pub client: ClientId,
    /// The device's clock when it sent the request (W6).
    pub client_time: Option<UnixMillis>,
    /// The server's clock when the request arrived.
    pub arrived_at: UnixMillis,
}

/// One edit of a push.
#[derive(Debug, Clone, PartialEq)]
pub struct PushEdit {
    /// The record.
    pub key: RecordKey,
    /// `updatedAt`, by the device's clock; `None`: now (W1).
    pub edit_time: Option<EditTime>,
    /// What it does.
    pub action: Action,
}

/// How far the user's clock went with a push.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pushed {
    /// The user's clock afterwards.
    pub clock: Stamp,
    /// The user's clock before, where the outcomes tell of everything that the clock has gone past since: nobody else wrote in
    /// between, and nothing changed that the push did not name. A device that was served up to there was served up to `clock`.
    pub clock_before: Option<Stamp>,
}

/// What became of one edit of a push.
#[derive(Debug)]
pub enum PushOutcome {
    /// The record is now as the edit says.
    Applied {
        /// The record as it is stored.
        stored: Box<Record>,
    },
    /// The record was so already (W3).
    Unchanged {
        /// The record as it is stored.
        stored: Box<Record>,
    },
    /// A newer version is stored; the losing content is kept as a revision (W4).
    Superseded {
        /// The record that won.
        current: Box<Record>,
    },
    /// The edit can't be done, and nothing of it was (B2).
    Rejected {
        /// Why.
        error: AppError,
        /// Whether the same edit may succeed later.
        retryable: bool,
    },
}

/// Serves pushes.
#[derive(Clone)]
pub struct Push {
    store: Arc<dyn WriteStore>,
    feed: Arc<dyn ChangeFeed>,
    reader: Arc<dyn RecordReader>,
    quota: u64,
}

impl Push {
    /// A push over these ports.
    pub fn new(store: Arc<dyn WriteStore>, feed: Arc<dyn ChangeFeed>, reader: Arc<dyn RecordReader>) -> Self {
        Self {
            store,
            feed,
            reader,
            quota: u64::MAX,
        }
    }

    /// With a limit for what the records and revisions of one user may come to, in bytes (W10).
    #[must_use]
    pub fn with_quota(self, quota: u64) -> Self {
        Self { quota, ..self }
    }

    /// Applies what can be applied as one write, parents first; each edit is judged by W1 to W6 as one that came alone
    /// (B1). What comes to more than [`SLICE_BYTES`] is written in slices, each all or nothing. An edit that can't be done is
    /// rejected alone (B2), and so is every further edit of a record that the push names before: sent again, it is judged by
    /// itself.
    ///
    /// What became of the edits is `told` after each slice, each with its place among `edits`: what is told is not kept, so that
    /// the records of one slice are in memory.
    ///
    /// # Errors
    /// [`Unauthenticated::LoginEnded`](crate::error::Unauthenticated::LoginEnded) where the account is gone, a store's error, or
    /// that of `told`; nothing of the slice that failed was written then, nor of those after it.
    pub async fn run<E: From<AppError>>(
        &self,
        by: &PushBy,
        edits: Vec<PushEdit>,
        mut told: impl AsyncFnMut(Vec<(usize, PushOutcome)>) -> Result<(), E>,
    ) -> Result<Pushed, E> {
        let shift = Shift::between(by.client_time, by.arrived_at);
        let (mut places, mut outcomes, mut valid) = (HashMap::new(), Vec::new(), Vec::new());
        for (place, edit) in edits.into_iter().enumerate() {
            let judged = match places.entry(edit.key) {
                Entry::Occupied(_) => Err(AppError::NamedTwice),
                Entry::Vacant(free) => {
                    free.insert(place);
                    prepare(by, shift, edit)
                }
            };
            match judged {
                Ok(edit) => valid.push(edit),
                Err(error) => outcomes.push((place, rejected(error))),
            }
        }
        // A stable sort: parents first, and otherwise in the order in which they came.
        valid.sort_by_key(|edit: &RecordEdit| edit.key.entity_type());
        let mut pushed = None;
        for slice in self.slices(by.user, valid).await? {
            let plan = self.write(by, slice).await?;
            pushed = Some(Pushed::after(pushed, &plan));
            for result in plan.results {
                if let Some(place) = places.get(&result.key) {
                    outcomes.push((*place, outcome(result)?));
                }
            }
            told(std::mem::take(&mut outcomes)).await?;
        }
        if let Some(pushed) = pushed {
            return Ok(pushed);
        }
        told(outcomes).await?;
        let clock = self.feed.clock(by.user, by.login).await.map_err(AppError::from)?;
        let clock = clock.map_err(AppError::from)?;
        Ok(Pushed {
            clock,
            clock_before: Some(clock),
        })
    }

    async fn write(&self, by: &PushBy, slice: Vec<RecordEdit>) -> Result<WritePlan, AppError> {
        let quota = self.quota;
        let scope = WriteScope::of(by.user, &slice).by(by.login);
        let decide: Decide = Arc::new(move |locked: &Locked| decide_within(quota, locked, &slice));
        Ok(self.store.write(scope, decide).await?)
    }

    /// The edits in their order, cut before each one with which a slice would come to too many bytes: of those that it brings, and
    /// of those that are stored of its records, which are read, kept as revisions and answered. Deletes of memos are cut off alone
    /// where they take many resources with them, which is known of all of them together only.
    async fn slices(&self, user: UserId, edits: Vec<RecordEdit>) -> Result<Vec<Vec<RecordEdit>>, AppError> {
        let alone = self.deletes_many(user, &edits).await?;
        let stored = if edits.len() > FEW_EDITS {
            let keys: Vec<_> = edits.iter().map(|edit| edit.key).collect();
            self.reader.sizes(user, &keys).await?
        } else {
            Vec::new()
        };
        let mut slices: Vec<Vec<RecordEdit>> = Vec::new();
        let mut bytes = SLICE_BYTES;
        for (edit, stored) in edits.into_iter().zip(stored.into_iter().chain(repeat(0))) {
            let stored = usize::try_from(stored / STORED_PER_BROUGHT).unwrap_or(SLICE_BYTES);
            let more = if alone && edit.cascades() {
                SLICE_BYTES
            } else {
                edit.bytes() + stored
            };
            match slices.last_mut() {
                Some(slice) if bytes + more <= SLICE_BYTES => slice.push(edit),
                _ => {
                    slices.push(vec![edit]);
                    bytes = 0;
                }
            }
            bytes += more;
        }
        Ok(slices)
    }

    /// Whether the memos that the edits delete take more resources with them than one memo may have (W9).
    async fn deletes_many(&self, user: UserId, edits: &[RecordEdit]) -> Result<bool, AppError> {
        let deletes = edits.iter().filter(|edit| edit.cascades());
        let memos: Vec<_> = deletes.filter_map(|edit| Memo::key_of(edit.key)).collect();
        if memos.len() < 2 {
            return Ok(false);
        }
        let mut query = RecordQuery::all(Resource::TYPE, Order::Siblings, PageNumber::first(1));
        query.parents = Some(memos);
        let children = self.reader.list(user, &query).await?.total;
        Ok(children > u64::from(CHILDREN_MAX))
    }
}

impl Pushed {
    /// With the slice that was written after that. Where somebody else wrote in between, the clock has moved.
    fn after(before: Option<Self>, plan: &WritePlan) -> Self {
        let stood = match before {
            None => Some(plan.clock_before),
            Some(before) => before.clock_before.filter(|_| before.clock == plan.clock_before),
        };
        Self {
            clock: plan.clock,
            clock_before: stood.filter(|_| plan.tells_everything()),
        }
    }
}

fn prepare(by: &PushBy, shift: Shift, edit: PushEdit) -> Result<RecordEdit, AppError> {
    let time = edit.edit_time.map(|time| shift.apply(time, by.arrived_at));
    Ok(RecordEdit {
        key: edit.key,
        author: by.client.clone(),
        time: time.transpose()?,
        action: edit.action,
    })
}

fn outcome(result: EditResult) -> Result<PushOutcome, AppError> {
    let nothing = || AppError::Internal("an edit of a push left no record".into());
    let current = result.current.map(Box::new).ok_or_else(nothing);
    Ok(match result.outcome {
        Outcome::Applied => PushOutcome::Applied { stored: current? },
        Outcome::Unchanged => PushOutcome::Unchanged { stored: current? },
        Outcome::Superseded => PushOutcome::Superseded { current: current? },
        Outcome::Refused(refusal) => rejected(refusal.into()),
    })
}

/// A rejected edit, and whether time or another edit may heal it: a memo that is still to come, a clock that goes on, a
/// record that stands in the push before, room that a purge makes.
fn rejected(error: AppError) -> PushOutcome {
    let retryable = matches!(
        error,
        AppError::UnknownMemo(_)
            | AppError::MemoFull(_)
            | AppError::EditTimeAhead { .. }
            | AppError::NamedTwice
            | AppError::NoRoom { .. }
    );
    PushOutcome::Rejected { error, retryable }
}

impl std::fmt::Debug for Push {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Push")
    }
}
