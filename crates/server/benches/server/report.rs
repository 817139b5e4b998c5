//! What a run measured: a table for people, a file for the next run to compare with.

use std::collections::BTreeMap;
use std::fs;

use serde::{Deserialize, Serialize};

use crate::load::Load;

/// Something that is measured, and how much of the server's processor time it took.
pub(crate) struct Measured {
    what: String,
    rounds: Vec<(Load, Option<f64>)>,
}

impl Measured {
    pub(crate) fn new(what: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            rounds: Vec::new(),
        }
    }

    /// Adds a round: what it came to, and the server's processor time for each answer in microseconds.
    pub(crate) fn add(&mut self, load: Load, cpu: Option<f64>) {
        self.rounds.push((load, cpu));
    }

    /// The round in the middle.
    fn median(&self) -> (Load, Option<f64>) {
        let mut rounds = self.rounds.clone();
        rounds.sort_by(|a, b| a.0.per_second.total_cmp(&b.0.per_second));
        rounds.get(rounds.len() / 2).copied().unwrap_or_default()
    }
}

/// A line of the table.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    store: String,
    what: String,
    per_second: f64,
    /// Microseconds, as everything that follows but the ratio.
    p50: u32,
    p99: u32,
    cpu: Option<f64>,
    ratio: Option<f64>,
}

/// All of a run.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Report {
    lines: Vec<Line>,
    /// Mebibytes, by what they are of.
    memory: BTreeMap<String, u64>,
    #[serde(skip)]
    before: Option<Box<Report>>,
}

impl Report {
    /// One that says how it differs from an earlier one, where there is a file of that.
    pub(crate) fn compared_with(file: Option<&str>) -> Self {
        let read = |file: &str| {
            let text = fs::read_to_string(file).unwrap_or_else(|error| panic!("cannot read {file}: {error}"));
            serde_json::from_str(&text).unwrap_or_else(|error| panic!("{file} is no earlier run: {error}"))
        };
        Self {
            before: file.map(|file| Box::new(read(file))),
            ..Self::default()
        }
    }

    /// A line, with how it compares to another one.
    pub(crate) fn line(&mut self, store: &str, measured: &Measured, of: Option<(&Measured, &str)>) {
        let (load, cpu) = measured.median();
        let ratio = of.map(|(of, _)| load.per_second / of.median().0.per_second);
        let line = Line {
            store: store.to_owned(),
            what: measured.what.clone(),
            per_second: load.per_second,
            p50: load.p50,
            p99: load.p99,
            cpu,
            ratio,
        };
        let cpu = cpu.map_or(String::new(), |cpu| format!("{cpu:.0} µs"));
        let compared = ratio
            .zip(of)
            .map_or(String::new(), |(ratio, (_, name))| format!("{ratio:.2} {name}"));
        println!(
            "{:<52}{:>9.0}/s  p50 {:>6} µs  p99 {:>6} µs  CPU {cpu:>8}  {compared}{}",
            line.what,
            line.per_second,
            line.p50,
            line.p99,
            self.earlier(&line)
        );
        self.lines.push(line);
    }

    /// What the run before says of a line: ratios, where there are any, since machines differ.
    fn earlier(&self, line: &Line) -> String {
        let same = |before: &&Line| before.store == line.store && before.what == line.what;
        let Some(before) = self
            .before
            .as_ref()
            .and_then(|before| before.lines.iter().find(same))
        else {
            return String::new();
        };
        match (before.ratio, line.ratio) {
            (Some(before), Some(_)) => format!("  (was {before:.2})"),
            _ => format!("  (was {:.0}/s)", before.per_second),
        }
    }

    /// How much memory something takes.
    pub(crate) fn memory(&mut self, what: &str, mebibytes: u64) {
        let was = self.before.as_ref().and_then(|before| before.memory.get(what));
        let was = was.map_or(String::new(), |was| format!("  (was {was})"));
        println!("{what:<52}{mebibytes:>9} MiB{was}");
        self.memory.insert(what.to_owned(), mebibytes);
    }

    /// Writes the file that a later run may be compared with.
    pub(crate) fn write(&self, file: &str) {
        let text = serde_json::to_string_pretty(self).expect("JSON");
        fs::write(file, text).unwrap_or_else(|error| panic!("cannot write {file}: {error}"));
        println!("\n{file}");
    }
}
