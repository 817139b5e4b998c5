//! How far a command has come that takes a while. On stderr: a bar where that is a terminal, elsewhere a line now and then.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// How often a line is written where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// Shows how far a command has come. What it shows is gone when it is dropped.
#[derive(Debug)]
pub(crate) struct Meter {
    bar: ProgressBar,
    doing: &'static str,
    /// When the last line was written, where there is no terminal.
    line_at: Option<Instant>,
}

impl Meter {
    /// A meter for work whose amount is known, in whatever unit; 0: not yet.
    pub(crate) fn of(doing: &'static str, total: u64) -> Self {
        let template = "{prefix:>9} [{bar:30}] {percent:>3}%, {msg} ({elapsed})";
        let meter = Self::new(doing, ProgressBar::no_length(), template);
        meter.total(total);
        meter
    }

    /// A meter for work whose amount nobody knows.
    pub(crate) fn open_ended(doing: &'static str) -> Self {
        Self::new(doing, ProgressBar::no_length(), "{prefix:>9} {msg} ({elapsed})")
    }

    fn new(doing: &'static str, bar: ProgressBar, template: &str) -> Self {
        let style = ProgressStyle::with_template(template);
        let bar = bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.set_prefix(doing);
        Self {
            bar,
            doing,
            line_at: (!io::stderr().is_terminal()).then(Instant::now),
        }
    }

    /// What is being done now, from its beginning.
    pub(crate) fn begin(&mut self, doing: &'static str) {
        if doing != self.doing {
            self.doing = doing;
            self.bar.set_prefix(doing);
            self.bar.set_position(0);
        }
    }

    /// So much of the total is done; `said` is how a person would put it.
    pub(crate) fn at(&mut self, position: u64, said: impl Into<String>) {
        let said = said.into();
        self.bar.set_position(position);
        self.line(&said);
        self.bar.set_message(said);
    }

    /// The total, where it became known or changed.
    pub(crate) fn total(&self, total: u64) {
        // All of nothing is 100 %, before anything was done.
        match total {
            0 => self.bar.unset_length(),
            total => self.bar.set_length(total),
        }
    }

    fn line(&mut self, said: &str) {
        if self.line_at.is_some_and(|at| at.elapsed() >= LINE_EVERY) {
            self.line_at = Some(Instant::now());
            // A closed stderr changes nothing.
            let _ = writeln!(io::stderr(), "{}", line(self.doing, self.share(), said));
        }
    }

    /// What is done, in percent of the total.
    fn share(&self) -> Option<u64> {
        let total = self.bar.length()?;
        Some((self.bar.position().min(total) * 100) / total)
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

fn line(doing: &str, percent: Option<u64>, said: &str) -> String {
    match percent {
        Some(percent) => format!("{doing}: {percent}%, {said}"),
        None => format!("{doing}: {said}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_what_the_bar_shows() {
        let mut meter = Meter::of("copying", 8);
        meter.at(2, "2 records");
        assert_eq!(
            line(meter.doing, meter.share(), "2 records"),
            "copying: 25%, 2 records"
        );
        meter.begin("comparing");
        assert_eq!(meter.share(), Some(0), "another phase begins anew");
        meter.at(9, "more than was expected");
        assert_eq!(meter.share(), Some(100));
    }

    #[test]
    fn without_a_total_there_is_no_share() {
        for meter in [Meter::open_ended("removing"), Meter::of("purging", 0)] {
            assert_eq!(meter.share(), None);
            assert_eq!(
                meter.bar.length(),
                None,
                "a bar of no length is empty, one of 0 is full"
            );
        }
        let meter = Meter::of("copying", 0);
        meter.total(8);
        assert_eq!(meter.share(), Some(0));
        assert_eq!(line("removing", None, "3 steps"), "removing: 3 steps");
    }
}
