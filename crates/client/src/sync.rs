//! Sync: pull until nothing is left, push in batches, send files, and pull what became of it.
//!
//! The pull comes first because an edit names only the fields that it changes: before it is sent, it has to be known that the server
//! still has the others. It costs nothing: after it the cursors stand at the server's clock, so that what is pushed then needs no pull
//! (B3).

use std::collections::BTreeMap;

use mosaic_domain::{EntityType, RecordKey};
use serde_json::Value;

use crate::client::Client;
use crate::error::{Error, Problem, Result};
use crate::http::{Answer, Failures, Request};
use crate::store::{Edit, Settled, Store, Verdict};
use crate::wire::{Object, Outcome, Page, PullRequest, PushAnswer, PushRequest, PushResult, Pushed, read};

/// How far a sync has come, and at its end what it did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Progress {
    /// Records and tombstones that came.
    pub pulled: usize,
    /// Edits that the server has judged.
    pub pushed: usize,
    /// Those of them that lost against a newer one (W4): the winner is here, what was typed is a revision on the server.
    pub superseded: usize,
    /// Edits and files that the server does not take, those that it had not taken before left out.
    pub rejected: Vec<Rejection>,
    /// Files that the server has now.
    pub uploaded: usize,
    /// Of the file that is being sent: the bytes that the server has, and all of them.
    pub file: Option<(u64, u64)>,
}

/// An edit, or a file, that the server does not take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// The record.
    pub key: RecordKey,
    /// Why.
    pub problem: Problem,
    /// Whether it is sent again with every sync. Else it is left alone until a person edits the record again.
    pub retryable: bool,
}

impl Client {
    /// Syncs: afterwards this device and the server have the same, but for what is told in [`Progress::rejected`] and what was edited
    /// meanwhile. `progress` is called after each step. Calls wait for each other; one that ends early loses nothing, and the next
    /// goes on where it ended.
    ///
    /// # Errors
    /// [`Error::Later`]: no network, or a busy server, which may have said when to come again ([`Error::after`]): what it says beyond
    /// half a minute is not waited for here. [`Error::LoggedOut`]: ask for the password. [`Error::Refused`]: with
    /// `password_change_required`, let the person choose one. What was done before the error stays.
    pub async fn sync(&self, progress: impl FnMut(&Progress) + Send) -> Result<Progress> {
        let _one_at_a_time = self.syncing().lock().await;
        let mut run = Run {
            client: self,
            report: progress,
            done: Progress::default(),
            failures: Failures::default(),
        };
        run.pull().await?;
        let is_caught_up = run.push().await?;
        let has_uploaded = run.upload().await?;
        if has_uploaded || !is_caught_up {
            run.pull().await?;
        }
        Ok(run.done)
    }
}

struct Run<'a, P> {
    client: &'a Client,
    report: P,
    done: Progress,
    failures: Failures,
}

impl<P: FnMut(&Progress) + Send> Run<'_, P> {
    /// A step is done.
    fn tell(&mut self) {
        self.failures.end();
        (self.report)(&self.done);
    }

    async fn ask(&mut self, request: &Request) -> Result<Answer> {
        self.client.request(request, &mut self.failures).await
    }

    async fn pull(&mut self) -> Result<()> {
        loop {
            let place = self.client.blocking(Store::place).await?;
            let body = PullRequest {
                client_id: self.client.client_id().as_str(),
                cursors: &place.cursors,
                entities: EntityType::ALL.map(EntityType::name),
                epoch: place.epoch,
            };
            let answer = self.ask(&Request::post("/sync/pull", &body)?).await?;
            let page: Page = read(&answer.body)?;
            let has_more = page.has_more.values().any(|more| *more);
            if has_more && page.cursors == place.cursors {
                return Err(Error::NotTheServer("pages without an end".into()));
            }
            let now = self.client.now();
            let taken = self
                .client
                .blocking(move |store| store.take_page(&place, &page, now))
                .await?;
            self.done.pulled += taken.unwrap_or_default();
            self.tell();
            if taken.is_some() && !has_more {
                return Ok(());
            }
        }
    }

    /// Whether no pull is needed to see what became of it.
    async fn push(&mut self) -> Result<bool> {
        let mut is_caught_up = true;
        loop {
            let mut again = false;
            let mut batches = self.client.blocking(Store::batches).await?;
            loop {
                let next = move |store: &Store| Ok((batches.next(store)?, batches));
                let (batch, rest) = self.client.blocking(next).await?;
                batches = rest;
                if batch.is_empty() {
                    break;
                }
                let settled = self.push_batch(batch).await?;
                is_caught_up &= settled.caught_up;
                again |= settled.again;
                self.done.rejected.extend(settled.rejections);
                self.tell();
            }
            if !again {
                return Ok(is_caught_up);
            }
        }
    }

    async fn push_batch(&mut self, batch: Vec<Edit>) -> Result<Settled> {
        let request = Request::post(
            "/sync/push",
            &push_request(self.client.client_id().as_str(), &batch),
        )?;
        let answer = self.ask(&request).await?;
        let mut answer: PushAnswer = read(&answer.body)?;
        let mut judged = Vec::with_capacity(batch.len());
        for (edit, result) in with_results(batch, std::mem::take(&mut answer.results))? {
            let verdict = self.verdict(&edit, result).await?;
            judged.push((edit, verdict));
        }
        let now = self.client.now();
        self.client
            .blocking(move |store| store.settle(judged, &answer, now))
            .await
    }

    async fn verdict(&mut self, edit: &Edit, result: PushResult) -> Result<Verdict> {
        if result.outcome == Outcome::Rejected {
            let problem = result
                .error
                .ok_or_else(|| Error::NotTheServer("a rejection without a reason".into()))?
                .of_one_record();
            let retryable = result.retryable;
            return Ok(Verdict::Rejected { problem, retryable });
        }
        self.done.pushed += 1;
        let said = match result.stored {
            _ if result.outcome == Outcome::Superseded => {
                self.done.superseded += 1;
                result.current
            }
            _ if edit.deletes => return Ok(Verdict::Record(None)),
            // What was sent, with what is stored otherwise over it, is the record (B3).
            stored => stored.map(|stored| edit.body.clone().into_iter().chain(stored).collect()),
        };
        let record = match said {
            Some(said) => Some(said).filter(|said| said.get("isDeleted") != Some(&Value::Bool(true))),
            None => self.read(edit.key).await?,
        };
        Ok(Verdict::Record(record))
    }

    /// What the server has of a record that was too long for the answer.
    async fn read(&mut self, key: RecordKey) -> Result<Option<Object>> {
        let path = format!("/{}/{key}", key.entity_type().path());
        match self.ask(&Request::get(path)).await {
            Ok(answer) => {
                let record: Option<Object> = read(&answer.body)?;
                let own = |(name, _): &(String, Value)| !SHOWN_BESIDES.contains(&name.as_str());
                Ok(record.map(|record| record.into_iter().filter(own).collect()))
            }
            Err(error) if error.is_refused("deleted") || error.is_refused("not_found") => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn upload(&mut self) -> Result<bool> {
        let uploads = self.client.blocking(Store::uploads).await?;
        let before = self.done.uploaded;
        for upload in uploads {
            let known = upload.problem.clone();
            let resource = upload.resource;
            let sent = self.client.send_file(upload, &mut self.failures, |sent, total| {
                self.done.file = Some((sent, total));
                (self.report)(&self.done);
            });
            match sent.await? {
                None => self.done.uploaded += 1,
                Some(problem) if known.as_ref() == Some(&problem) => {}
                Some(problem) => self.done.rejected.push(Rejection {
                    key: resource.into(),
                    problem,
                    retryable: true,
                }),
            }
            self.done.file = None;
            self.tell();
        }
        Ok(self.done.uploaded > before)
    }
}

/// Other records, which are shown with the one that is read.
const SHOWN_BESIDES: [&str; 2] = ["memos", "resources"];

fn push_request<'a>(client_id: &'a str, batch: &'a [Edit]) -> PushRequest<'a> {
    let mut changes = BTreeMap::<_, Pushed<'_>>::new();
    for edit in batch {
        let of_type = changes.entry(edit.key.entity_type().name()).or_default();
        let list = if edit.deletes {
            &mut of_type.deleted
        } else {
            &mut of_type.updated
        };
        list.push(&edit.body);
    }
    PushRequest { client_id, changes }
}

/// Each edit with its result: of each type first those of `updated`, then those of `deleted`, in their order.
fn with_results(
    mut batch: Vec<Edit>,
    mut results: BTreeMap<String, Vec<PushResult>>,
) -> Result<Vec<(Edit, PushResult)>> {
    batch.sort_by_key(|edit| (edit.key.entity_type(), edit.deletes));
    let in_order: Vec<_> = EntityType::ALL
        .into_iter()
        .flat_map(|entity| results.remove(entity.name()).unwrap_or_default())
        .collect();
    let is_of = |(edit, result): (&Edit, &PushResult)| edit.key.to_string() == result.id;
    if in_order.len() != batch.len() || !batch.iter().zip(&in_order).all(is_of) {
        return Err(Error::NotTheServer("the results of other edits".into()));
    }
    Ok(batch.into_iter().zip(in_order).collect())
}
