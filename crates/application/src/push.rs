//! `POST /sync/push`: many edits in one request (rules B1, B2, W1 to W6).

use std::collections::{HashMap, HashSet};
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

/// The most edits of one type in one push.
pub const EDITS_PER_TYPE: usize = 200;
/// A push that brings more bytes than this is written in several slices: while one is written, writes of others wait.
pub const SLICE_BYTES: usize = 512 * 1024;

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

/// What became of a push.
#[derive(Debug)]
pub struct Pushed {
    /// The user's clock afterwards.
    pub clock: Stamp,
    /// The user's clock before, where the results tell of everything that the clock has gone past since: nobody else wrote in
    /// between, and nothing changed that the push did not name. A device that was served up to there was served up to `clock`.
    pub clock_before: Option<Stamp>,
    /// What became of each edit, in the order of the edits.
    pub results: Vec<PushOutcome>,
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
    /// (B1). What comes to more than [`SLICE_BYTES`] is written in slices, each all or nothing. An edit that can't be done is rejected alone (B2), and so is every further edit of a record that the push names
    /// before: sent again, it is judged by itself.
    ///
    /// # Errors
    /// [`Unauthenticated::LoginEnded`](crate::error::Unauthenticated::LoginEnded) where the account is gone, or a store's error; nothing of the slice that
    /// failed was written then, nor of those after it.
    pub async fn run(&self, by: &PushBy, edits: Vec<PushEdit>) -> Result<Pushed, AppError> {
        let shift = Shift::between(by.client_time, by.arrived_at);
        let mut results: Vec<Option<PushOutcome>> = Vec::with_capacity(edits.len());
        let (mut named, mut places, mut valid) = (HashSet::new(), HashMap::new(), Vec::new());
        for edit in edits {
            let key = edit.key;
            let judged = if named.insert(key) {
                prepare(by, shift, edit)
            } else {
                Err(AppError::NamedTwice)
            };
            results.push(match judged {
                Ok(edit) => {
                    places.insert(key, results.len());
                    valid.push(edit);
                    None
                }
                Err(error) => Some(rejected(error)),
            });
        }
        // A stable sort: parents first, and otherwise in the order in which they came.
        valid.sort_by_key(|edit: &RecordEdit| edit.key.entity_type());
        let written = if valid.is_empty() {
            let clock = self.feed.clock(by.user, by.login).await??;
            Written {
                clock,
                clock_before: Some(clock),
                results: Vec::new(),
            }
        } else {
            self.write(by, valid).await?
        };
        for result in written.results {
            if let Some(place) = places.get(&result.key) {
                results[*place] = Some(outcome(result)?);
            }
        }
        let all = results.into_iter().collect::<Option<Vec<_>>>();
        let results = all.ok_or_else(|| AppError::Internal("an edit of a push has no result".into()))?;
        Ok(Pushed {
            clock: written.clock,
            clock_before: written.clock_before,
            results,
        })
    }

    async fn write(&self, by: &PushBy, edits: Vec<RecordEdit>) -> Result<Written, AppError> {
        let quota = self.quota;
        let mut written: Option<Written> = None;
        let alone = self.deletes_many(by.user, &edits).await?;
        for slice in slices(edits, alone) {
            let scope = WriteScope::of(by.user, &slice).by(by.login);
            let decide: Decide = Arc::new(move |locked: &Locked| decide_within(quota, locked, &slice));
            let plan = self.store.write(scope, decide).await?;
            written = Some(Written::after(written, plan));
        }
        written.ok_or_else(|| AppError::Internal("a push of some edits has no slice".into()))
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

/// What became of the slices so far.
struct Written {
    clock: Stamp,
    clock_before: Option<Stamp>,
    results: Vec<EditResult>,
}

impl Written {
    /// With the slice that was written after them. Where somebody else wrote in between, the clock has moved.
    fn after(before: Option<Self>, plan: WritePlan) -> Self {
        let (stood, mut results) = match before {
            None => (Some(plan.clock_before), Vec::new()),
            Some(before) => {
                let alone = before.clock == plan.clock_before;
                (before.clock_before.filter(|_| alone), before.results)
            }
        };
        let clock_before = stood.filter(|_| plan.tells_everything());
        results.extend(plan.results);
        Self {
            clock: plan.clock,
            clock_before,
            results,
        }
    }
}

/// The edits in their order, cut after each one with which a slice reaches its bytes. Deletes of memos are cut off `alone` where
/// they take many resources with them, which is known of all of them together only.
fn slices(edits: Vec<RecordEdit>, alone: bool) -> Vec<Vec<RecordEdit>> {
    let mut slices: Vec<Vec<RecordEdit>> = Vec::new();
    let mut bytes = SLICE_BYTES;
    for edit in edits {
        let more = if alone && edit.cascades() {
            SLICE_BYTES
        } else {
            edit.bytes()
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
    slices
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
