//! Runs a script, and judges what comes of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;
use std::time::Duration;

use futures_util::future::join_all;
use mosaic_client::domain::ResourceId;
use mosaic_client::domain::entity::{Memo, Resource};
use mosaic_client::{Error, Platform as _, Progress, SyncState, System};
use mosaic_testkit::Random;
use mosaic_testkit::proxy::{Fault, Proxy};
use serde_json::Value;
use tokio::time::timeout;

use crate::device::{Device, Row};
use crate::model::{Key, Model, Server};
use crate::script::{Script, Step, Syncing, Trouble};
use crate::world::World;
use crate::{Failure, Outcome};

/// W6: a clock that is off by no more than this shifts nothing, in milliseconds.
const TOLERATED_SKEW: i64 = 10_000;
/// W6: an edit time may be ahead of the server by this, in milliseconds.
const TOLERATED_AHEAD: i64 = 300_000;
/// A shift is rounded to whole seconds, and a request is some time on its way.
const ROUNDING: i64 = 1_000;

/// Everything is sent after so many quiet syncs of each device: its edits and files, what waited for a memo that another one sent (B2),
/// and what waited for that.
const MOST_ROUNDS: usize = 3;

/// So long a sync may take, faults and all; most take milliseconds.
const LONGEST_SYNC: Duration = Duration::from_mins(2);

/// What a run came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Figures {
    /// Edits that people made.
    pub edits: usize,
    /// Syncs that came to their end.
    pub syncs: usize,
    /// Syncs that did not.
    pub broken_syncs: usize,
    /// Requests with which something went wrong: a cut after more bytes than there were is none.
    pub faults: usize,
    /// Servers that were killed, databases that crashed, stores that were set back.
    pub crashes: usize,
    /// Comparisons of the server with the model.
    pub checks: usize,
}

impl Figures {
    /// Adds those of another run.
    pub fn add(&mut self, other: Self) {
        self.edits += other.edits;
        self.syncs += other.syncs;
        self.broken_syncs += other.broken_syncs;
        self.faults += other.faults;
        self.crashes += other.crashes;
        self.checks += other.checks;
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} edits, {} syncs and {} broken ones, {} faults, {} crashes, {} checks",
            self.edits, self.syncs, self.broken_syncs, self.faults, self.crashes, self.checks
        )
    }
}

/// Runs a script on a server of its own, which is the program `binary`.
///
/// # Errors
/// What is not as the protocol says, with the step after which it was seen.
pub async fn run(script: &Script, binary: &Path) -> Result<Figures, RunFailed> {
    let at_end = |error| RunFailed { step: None, error };
    let mut run = Run::new(script, binary).await.map_err(at_end)?;
    for (number, step) in script.steps.iter().enumerate() {
        run.step(step).await.map_err(|error| RunFailed {
            step: Some(number),
            error: format!("{error}\nin {step:?}").into(),
        })?;
    }
    run.end().await.map_err(at_end)?;
    Ok(run.figures)
}

/// What is not as the protocol says.
#[derive(Debug)]
pub struct RunFailed {
    /// The step after which it was seen; `None`: at the end, or before the first one.
    pub step: Option<usize>,
    error: Failure,
}

impl RunFailed {
    /// Whether another failure says the same, whatever it is of.
    pub fn is_like(&self, other: &Self) -> bool {
        self.kind() == other.kind()
    }

    /// Its first line without names, numbers, ids and what is quoted.
    fn kind(&self) -> String {
        let text = self.error.to_string();
        let first = text.lines().next().unwrap_or_default();
        let unquoted: String = first.split('"').step_by(2).collect();
        let words = unquoted.split(|c: char| !c.is_alphanumeric());
        let words = words.filter(|word| !word.is_empty() && word.chars().all(char::is_lowercase));
        words.collect::<Vec<_>>().join(" ")
    }
}

impl std::error::Error for RunFailed {}

impl fmt::Display for RunFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.step {
            Some(step) => write!(f, "step {step}: {}", self.error),
            None => write!(f, "at the end: {}", self.error),
        }
    }
}

pub(crate) struct Run {
    pub(crate) world: World,
    pub(crate) devices: Vec<Device>,
    pub(crate) models: Vec<Model>,
    /// The files that were attached, by user and number.
    pub(crate) files: BTreeMap<(usize, u32), ResourceId>,
    pub(crate) random: Random,
    pub(crate) figures: Figures,
    /// Edits and files that the server has judged.
    sent: usize,
    /// Why the last sync broke off that did.
    broken_by: String,
}

/// What waits on a device when it begins to sync.
struct Before {
    outbox: BTreeMap<Key, Row>,
    at: i64,
}

impl Run {
    async fn new(script: &Script, binary: &Path) -> Outcome<Self> {
        let users = script.devices.iter().max().map_or(0, |last| last + 1);
        let world = World::new(binary, script.store, users).await?;
        let mut run = Self {
            world,
            devices: Vec::new(),
            models: std::iter::repeat_with(Model::default).take(users).collect(),
            files: BTreeMap::new(),
            random: Random(!script.seed),
            figures: Figures::default(),
            sent: 0,
            broken_by: String::new(),
        };
        for user in &script.devices {
            let proxy = Proxy::before(&run.world.server).await;
            let random = Random(run.random.next());
            run.devices.push(Device::new(*user, proxy, random).await?);
        }
        Ok(run)
    }

    /// The server may be another process now.
    pub(crate) fn revive(&mut self) {
        if !self.world.server.is_running() {
            self.figures.crashes += 1;
            self.world.revive();
        }
        for device in &self.devices {
            device.proxy.lead_to(&self.world.server);
        }
    }

    async fn step(&mut self, step: &Step) -> Outcome {
        match step {
            Step::Sync(syncing) => return self.sync(syncing, false).await,
            Step::RestartDatabase(syncing) => return self.sync(syncing, true).await,
            Step::Kill => self.world.server.kill(),
            Step::Backup => {
                self.world.back_up().await?;
                self.models.iter_mut().for_each(Model::save);
            }
            Step::Restore { by_hand } => {
                if self.world.restore(*by_hand).await? {
                    self.figures.crashes += 1;
                    self.models.iter_mut().for_each(Model::put_back);
                }
            }
            Step::Purge => {
                self.world.purge().await?;
                self.models.iter_mut().for_each(Model::purge);
            }
            Step::Reinstall { device } => self.reinstall(*device).await?,
            Step::Copy { device, of } => self.copy(*device, *of).await?,
            other => self.offline(other)?,
        }
        self.revive();
        Ok(())
    }

    /// Syncs devices at the same time, while the database restarts, if it does.
    async fn sync(&mut self, syncing: &[Syncing], database_restarts: bool) -> Outcome {
        let before = self.begin(syncing)?;
        let syncs = syncing
            .iter()
            .map(|one| self.devices[one.device].app.sync(|_| {}));
        let restart = async {
            if database_restarts {
                self.world.restart_database().await;
            }
        };
        let done = async { tokio::join!(join_all(syncs), restart).0 };
        let done = timeout(LONGEST_SYNC, done).await;
        self.figures.crashes += usize::from(database_restarts);
        self.figures.faults += self
            .devices
            .iter()
            .map(|device| device.proxy.take_struck())
            .sum::<usize>();
        let done = done.map_err(|_| format!("a sync does not end:\n{}", self.world.server.log()))?;
        self.judge(syncing, before, done).await
    }

    fn begin(&mut self, syncing: &[Syncing]) -> Outcome<Vec<Before>> {
        let mut before = Vec::new();
        for Syncing { device, faults } in syncing {
            let device = &self.devices[*device];
            device.proxy.fail(one_by_one(faults));
            before.push(Before {
                outbox: device.outbox()?,
                at: System.now().get(),
            });
        }
        Ok(before)
    }

    /// What became of syncs: tells the model, and compares.
    async fn judge(
        &mut self,
        syncing: &[Syncing],
        before: Vec<Before>,
        done: Vec<mosaic_client::Result<Progress>>,
    ) -> Outcome {
        self.revive();
        // What did not go wrong, since so many requests were not made, goes wrong no more.
        self.devices.iter().for_each(|device| device.proxy.fail(|_| None));
        let mut users = BTreeSet::new();
        for ((one, before), done) in syncing.iter().zip(before).zip(done) {
            users.insert(self.devices[one.device].user);
            self.note(one.device, &before)?;
            match done {
                Ok(done) => {
                    self.figures.syncs += 1;
                    self.sent += done.pushed + done.uploaded;
                    self.check_device(one.device)?;
                }
                Err(Error::Later { reason, .. }) => {
                    self.figures.broken_syncs += 1;
                    self.broken_by = reason;
                }
                // The login was made after the backup that the server was set back to.
                Err(Error::LoggedOut) => {
                    self.figures.broken_syncs += 1;
                    self.devices[one.device].log_in().await?;
                }
                Err(error) => return Err(format!("device {}: {error}", one.device).into()),
            }
        }
        for user in users {
            let server = self.world.export(user).await?;
            self.figures.checks += 1;
            self.models[user].check(&server)?;
        }
        Ok(())
    }

    /// Tells the model which edits have arrived, for certain or perhaps.
    fn note(&mut self, device: usize, before: &Before) -> Outcome {
        let device = &mut self.devices[device];
        let model = &mut self.models[device.user];
        let (outbox, now) = (device.outbox()?, System.now().get());
        let during = before.at..=now;
        for (key, row) in &before.outbox {
            let pending = device
                .data
                .pending
                .get(key)
                .filter(|pending| pending.counter == row.counter);
            let pending = *pending.ok_or_else(|| format!("{key:?}: an edit that nobody made"))?;
            let is_certain = outbox.get(key).is_none_or(|after| after.counter != row.counter);
            if is_certain {
                device.data.pending.remove(key);
            }
            model.arrive(
                key,
                pending.edit,
                times(row.edited_at, device.machine.ahead(), during.clone()),
                is_certain,
            );
        }
        let waiting = device.app.status()?.uploads;
        let uploads = std::mem::take(&mut device.data.uploads);
        for (key, mut upload) in uploads {
            let since = *upload.since.get_or_insert(before.at);
            let is_certain = waiting
                .iter()
                .all(|waiting| waiting.resource.to_string() != key.1);
            model.arrive_file(&key, upload.edit, since - 1..=now + 1, is_certain);
            if !is_certain {
                device.data.uploads.insert(key, upload);
            }
        }
        Ok(())
    }

    /// After a sync: what waits was refused for a reason, and no resource is there without its memo.
    fn check_device(&self, number: usize) -> Outcome {
        let device = &self.devices[number];
        for (key, row) in device.outbox()? {
            match row.problem.as_deref() {
                Some("unknown_memo") if key.0 == "resource" => {}
                problem => return Err(format!("device {number}: {key:?} is not sent: {problem:?}").into()),
            }
        }
        let memos: BTreeSet<_> = device
            .app
            .list::<Memo>()?
            .into_iter()
            .map(|memo| memo.key)
            .collect();
        for resource in device.app.list::<Resource>()? {
            let memo = resource.content.memo_id;
            if resource.sync == SyncState::Settled && memo.is_some_and(|memo| !memos.contains(&memo)) {
                return Err(format!("device {number}: {resource:?} is there without its memo").into());
            }
        }
        Ok(())
    }

    /// Quiet syncs bring everything to the server. After one more of each device, which sends nothing, all have the same.
    async fn end(&mut self) -> Outcome {
        for round in 0.. {
            let before = self.sent;
            for device in 0..self.devices.len() {
                self.quiet_sync(device).await?;
            }
            if self.sent == before {
                break;
            }
            if round == MOST_ROUNDS {
                return Err("there is always something left to send".into());
            }
        }
        for user in 0..self.models.len() {
            let server = self.world.export(user).await?;
            self.models[user].check(&server)?;
            for number in 0..self.devices.len() {
                if self.devices[number].user == user {
                    self.compare(number, &server)
                        .await
                        .map_err(|error| format!("device {number}: {error}"))?;
                }
            }
        }
        Ok(())
    }

    async fn quiet_sync(&mut self, device: usize) -> Outcome {
        let quiet = [Syncing {
            device,
            faults: Vec::new(),
        }];
        // Once more where it had to log in.
        for _ in 0..2 {
            let before = self.figures.syncs;
            self.sync(&quiet, false).await?;
            if self.figures.syncs > before {
                return Ok(());
            }
        }
        let reason = &self.broken_by;
        Err(format!(
            "device {device} can't sync, and nothing is wrong: {reason}\n{}",
            self.world.server.log()
        )
        .into())
    }

    /// A device has what the server has.
    async fn compare(&self, number: usize, server: &Server) -> Outcome {
        let device = &self.devices[number];
        let known = device.known()?;
        let live = server.iter().filter(|(_, stored)| !stored.current.is_deleted);
        for (key, stored) in live.clone() {
            let Some(record) = known.get(key) else {
                return Err(format!("{key:?} is not there").into());
            };
            let is_alike = |(name, value): (&String, &Value)| record.get(name) == Some(value);
            if record["updatedAt"] != stored.current.time || !stored.current.fields.iter().all(is_alike) {
                return Err(format!("{key:?} is {record:?}, and on the server {stored:?}").into());
            }
        }
        if let Some(key) = known
            .keys()
            .find(|key| server.get(*key).is_none_or(|stored| stored.current.is_deleted))
        {
            return Err(format!("{key:?} is there, and not on the server").into());
        }
        let digest = device.app.digest().await?;
        if device.outbox()?.is_empty() && !digest.is_same() {
            return Err(format!("{digest:?}").into());
        }
        for ((_, n), file) in self.files.iter().filter(|((user, _), _)| *user == device.user) {
            self.compare_bytes(device, *file, *n).await?;
        }
        Ok(())
    }

    /// What a device downloads is what was attached, unless a backup was restored that does not have it.
    async fn compare_bytes(&self, device: &Device, file: ResourceId, n: u32) -> Outcome {
        let resource = device.app.get::<Resource>(file)?;
        if resource.is_none_or(|resource| resource.sync != SyncState::Settled) {
            return Ok(());
        }
        let to = device.folder().join("downloaded");
        match device.app.download(file, &to, |_, _| {}).await {
            Ok(()) if std::fs::read(to)?.starts_with(&n.to_be_bytes()) => Ok(()),
            Ok(()) => Err(format!("the file {n} has other bytes").into()),
            Err(_) if !self.models[device.user].has_file(&("resource".to_owned(), file.to_string())) => {
                Ok(())
            }
            Err(error) => Err(format!("the file {n}: {error}").into()),
        }
    }
}

/// W6: when the edit was made, by the server's clock. `during`: when it was sent, by that clock.
fn times(edited_at: i64, ahead: i64, during: std::ops::RangeInclusive<i64>) -> std::ops::RangeInclusive<i64> {
    if ahead.abs() <= TOLERATED_SKEW {
        let latest = *during.end();
        // One that is ahead all the same was made by a clock that has been put right since: it is of now.
        return if edited_at > latest + TOLERATED_AHEAD {
            during
        } else {
            edited_at..=edited_at
        };
    }
    let shifted = edited_at - ahead;
    if shifted > during.end() + TOLERATED_AHEAD {
        *during.start()..=during.end() + ROUNDING
    } else {
        shifted..=shifted + ROUNDING
    }
}

/// The faults of a sync, by the number of the request.
fn one_by_one(faults: &[(usize, Trouble)]) -> impl FnMut(&str) -> Option<Fault> + Send + 'static {
    let faults: BTreeMap<_, _> = faults.iter().copied().collect();
    let mut request = 0;
    move |_| {
        let trouble = faults.get(&request).copied();
        request += 1;
        Some(match trouble? {
            Trouble::CutRequest(bytes) => Fault::CutRequest(bytes),
            Trouble::CutAnswer(bytes) => Fault::CutAnswer(bytes),
            Trouble::Twice => Fault::Twice,
            Trouble::Delay(ms) => Fault::Delay(Duration::from_millis(ms)),
            Trouble::KillAfter(bytes) => Fault::KillAfter(bytes),
            Trouble::KillBeforeAnswer => Fault::KillBeforeAnswer,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_like_another_that_says_the_same_of_something_else() {
        let failed = |error: &str| RunFailed {
            step: Some(7),
            error: error.into(),
        };
        let lost = failed("(\"memo\", \"0198-ab\") is not there\nin Sync([1])");
        assert!(lost.is_like(&failed("(\"diary\", \"2026-05-16\") is not there\nin Kill")));
        assert!(!lost.is_like(&failed("(\"memo\", \"0198-ab\") is there, and not on the server")));
        assert!(!lost.is_like(&failed("a sync does not end:\nlog")));
    }
}
