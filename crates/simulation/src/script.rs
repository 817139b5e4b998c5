//! What happens in a run, as data: made from a seed, printed as lines of JSON, and run again from them.

use mosaic_testkit::Random;
use serde::{Deserialize, Serialize};

use crate::Outcome;

/// Which store the server has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Store {
    /// The embedded one.
    Sqlite,
    /// PostgreSQL.
    Postgres,
}

/// One run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Script {
    /// What devices draw their ids from.
    pub seed: u64,
    /// The server's store.
    pub store: Store,
    /// The user of each device.
    pub(crate) devices: Vec<usize>,
    /// What happens, one after the other.
    #[serde(skip)]
    pub(crate) steps: Vec<Step>,
}

impl Script {
    /// As lines of JSON: first what devices there are, then what happens.
    ///
    /// # Errors
    /// None that can be foreseen.
    pub fn text(&self) -> Outcome<String> {
        let mut lines = vec![serde_json::to_string(self)?];
        for step in &self.steps {
            lines.push(serde_json::to_string(step)?);
        }
        Ok(lines.join("\n"))
    }

    /// Reads what [`text`](Self::text) wrote.
    ///
    /// # Errors
    /// Where it is something else.
    pub fn parse(text: &str) -> Outcome<Self> {
        let mut lines = text.lines();
        let mut script: Self = serde_json::from_str(lines.next().unwrap_or_default())?;
        for line in lines {
            script.steps.push(serde_json::from_str(line)?);
        }
        Ok(script)
    }

    /// Leaves out what comes behind this step.
    pub fn cut_behind(&mut self, step: Option<usize>) {
        let length = step.map_or(self.steps.len(), |step| step + 1);
        self.steps.truncate(length);
    }

    /// How many steps it has.
    pub fn length(&self) -> usize {
        self.steps.len()
    }
}

/// A type of records that people write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    /// A memo.
    Memo,
    /// A diary.
    Diary,
    /// A bot.
    Bot,
    /// The record of an attached file: the one that [`Step::Attach`] gave this number.
    Resource,
}

/// A record, by its number among those of its user's type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct Slot {
    /// Its type.
    pub(crate) kind: Kind,
    /// Its number.
    pub(crate) n: u32,
}

/// What happens. A step that finds nothing to act on does nothing, so that a script still runs where others are left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Step {
    /// A person writes one field of a record, with a text that nobody else writes. One that is not there is made, and one that was
    /// deleted is brought back.
    Write {
        device: usize,
        slot: Slot,
        /// The main text, or something smaller.
        is_main: bool,
        text: u32,
        /// How much longer the text is, in characters.
        length: usize,
    },
    /// A person deletes a record.
    Delete { device: usize, slot: Slot },
    /// A person attaches a file to a memo.
    Attach {
        device: usize,
        n: u32,
        memo: Option<u32>,
        bytes: usize,
    },
    /// So many memos are written at once, numbered from here.
    Import { device: usize, from: u32, count: u32 },
    /// The device's clock is ahead by so many seconds from now on; edits that wait keep their times, as after days offline.
    Clock { device: usize, ahead: i64 },
    /// These devices sync at the same time.
    Sync(Vec<Syncing>),
    /// The app is installed anew, and logged in.
    Reinstall { device: usize },
    /// The device's data is saved.
    SaveDevice { device: usize },
    /// The device is set back to what was saved.
    RestoreDevice { device: usize },
    /// The device becomes a copy of another one of its user, with the same client id.
    Copy { device: usize, of: usize },
    /// The server is killed and started again.
    Kill,
    /// PostgreSQL crashes and recovers; syncs go on meanwhile.
    RestartDatabase(Vec<Syncing>),
    /// The operator saves the server's store.
    Backup,
    /// The operator puts back what was saved: as the documentation says, or by hand, so that no command hears of it.
    Restore { by_hand: bool },
    /// A hundred days go by in which nobody writes, as far as revisions know, and the daily upkeep purges them (H2).
    Purge,
}

/// A device that syncs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Syncing {
    /// Which one.
    pub(crate) device: usize,
    /// What goes wrong, by the number of the request.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) faults: Vec<(usize, Trouble)>,
}

/// What goes wrong with a request; see [`mosaic_testkit::proxy::Fault`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Trouble {
    /// After so many bytes of the request.
    CutRequest(usize),
    /// After so many bytes of the answer.
    CutAnswer(usize),
    /// The request comes twice.
    Twice,
    /// In milliseconds.
    Delay(u64),
    /// After so many bytes of the request.
    KillAfter(usize),
    /// When the server has answered.
    KillBeforeAnswer,
}

const HOUR: i64 = 3_600;

/// How many steps a script has, where nothing else is said.
pub const STEPS: usize = 150;

/// Makes the script of a seed.
pub fn generate(seed: u64, store: Store, steps: usize) -> Script {
    let mut random = Random(seed);
    let users = 1 + random.below(2);
    let devices = (0..users * 3).map(|device| device % users).collect::<Vec<_>>();
    let mut made = Making {
        random,
        devices: devices.len(),
        texts: 0,
        files: 0,
        imported: 1_000,
        store,
    };
    let steps = (0..steps).map(|_| made.step()).collect();
    Script {
        seed,
        store,
        devices,
        steps,
    }
}

struct Making {
    random: Random,
    devices: usize,
    texts: u32,
    files: u32,
    imported: u32,
    store: Store,
}

impl Making {
    fn step(&mut self) -> Step {
        let device = self.random.below(self.devices);
        match self.random.below(1_000) {
            0..420 => self.write(device),
            420..490 => {
                let slot = self.slot();
                Step::Delete { device, slot }
            }
            490..540 => self.attach(device),
            540..550 => {
                let count = *self.random.of(&[20, 250, 1_000]);
                let from = self.imported;
                self.imported += count;
                Step::Import { device, from, count }
            }
            550..590 => {
                let ahead = *self
                    .random
                    .of(&[0, 0, 0, -HOUR, HOUR, -5 * HOUR, 26 * HOUR, -72 * HOUR]);
                Step::Clock { device, ahead }
            }
            590..880 => Step::Sync(self.syncing(device)),
            880..890 => Step::Reinstall { device },
            890..908 => Step::SaveDevice { device },
            908..920 => Step::RestoreDevice { device },
            920..928 => Step::Copy {
                device,
                of: self.random.below(self.devices),
            },
            928..940 => Step::Kill,
            940..946 if self.store == Store::Postgres => Step::RestartDatabase(self.syncing(device)),
            940..970 => Step::Backup,
            970..990 => Step::Restore {
                by_hand: self.random.percent(50),
            },
            _ => Step::Purge,
        }
    }

    fn number(&mut self, below: usize) -> u32 {
        u32::try_from(self.random.below(below)).unwrap_or_default()
    }

    fn slot(&mut self) -> Slot {
        let kind = *self.random.of(&[
            Kind::Memo,
            Kind::Memo,
            Kind::Memo,
            Kind::Diary,
            Kind::Bot,
            Kind::Resource,
        ]);
        let n = match kind {
            Kind::Resource => self.number(self.files.max(1) as usize),
            // New ones, and few others, so that edits meet.
            _ if self.random.percent(10) => 100 + self.texts,
            _ => self.number(5),
        };
        Slot { kind, n }
    }

    fn write(&mut self, device: usize) -> Step {
        self.texts += 1;
        Step::Write {
            device,
            slot: self.slot(),
            is_main: self.random.percent(65),
            text: self.texts,
            length: if self.random.percent(2) {
                200_000
            } else {
                self.random.below(40)
            },
        }
    }

    fn attach(&mut self, device: usize) -> Step {
        self.files += 1;
        Step::Attach {
            device,
            n: self.files - 1,
            memo: self.random.percent(80).then(|| self.number(5)),
            bytes: self.random.below(150_000),
        }
    }

    fn syncing(&mut self, first: usize) -> Vec<Syncing> {
        let mut devices = vec![first];
        while self.random.percent(40) && devices.len() < self.devices {
            let another = self.random.below(self.devices);
            if !devices.contains(&another) {
                devices.push(another);
            }
        }
        let with_faults = |device| Syncing {
            device,
            faults: self.faults(),
        };
        devices.into_iter().map(with_faults).collect()
    }

    fn faults(&mut self) -> Vec<(usize, Trouble)> {
        let mut faults = Vec::new();
        let mut request = 0;
        while self.random.percent(45) {
            request += self.random.below(3);
            faults.push((request, self.trouble()));
            request += 1;
        }
        faults
    }

    fn trouble(&mut self) -> Trouble {
        // At any byte, and as often among the first as among the last ones.
        let most = *self.random.of(&[1, 60, 500, 2_000, 20_000, 150_000]);
        let bytes = self.random.below(most);
        match self.random.below(20) {
            0..5 => Trouble::CutRequest(bytes),
            5..12 => Trouble::CutAnswer(bytes),
            12..16 => Trouble::Twice,
            16..18 => Trouble::Delay(self.random.below(8) as u64),
            18 => Trouble::KillAfter(bytes),
            _ => Trouble::KillBeforeAnswer,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::mem::discriminant;

    use super::*;

    #[test]
    fn a_script_is_read_as_it_was_written() {
        for (seed, store) in [(1, Store::Sqlite), (2, Store::Postgres)] {
            let script = generate(seed, store, 500);
            assert_eq!(Script::parse(&script.text().unwrap()).unwrap(), script);
        }
        Script::parse("").unwrap_err();
        Script::parse("{\"seed\": 1}").unwrap_err();
    }

    #[test]
    fn a_seed_makes_one_script_and_scripts_have_everything() {
        let script = generate(3, Store::Postgres, 3_000);
        assert_eq!(generate(3, Store::Postgres, 3_000), script);
        assert_ne!(generate(4, Store::Postgres, 3_000), script);
        let steps: std::collections::HashSet<_> = script.steps.iter().map(discriminant).collect();
        assert_eq!(steps.len(), 15, "kinds of steps");
        let syncs = script.steps.iter().filter_map(|step| match step {
            Step::Sync(syncing) => Some(syncing),
            _ => None,
        });
        let faults: Vec<_> = syncs
            .flatten()
            .flat_map(|one| &one.faults)
            .map(|(_, trouble)| *trouble)
            .collect();
        let kinds: std::collections::HashSet<_> = faults.iter().map(discriminant).collect();
        assert_eq!(kinds.len(), 6, "kinds of faults");
        let cuts: BTreeSet<_> = faults
            .iter()
            .filter_map(|trouble| match trouble {
                Trouble::CutAnswer(bytes) => Some(*bytes),
                _ => None,
            })
            .collect();
        // Every tenth of a typical answer is cut somewhere.
        for tenth in 0..10 {
            assert!(
                cuts.range(tenth * 50..(tenth + 1) * 50).next().is_some(),
                "{cuts:?}"
            );
        }
    }
}
