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
    doing: String,
    /// When the last line was written, where there is no terminal.
    line_at: Option<Instant>,
}

impl Meter {
    /// A meter for work whose amount is known, in whatever unit; 0: not yet.
    pub(crate) fn of(doing: &str, total: u64) -> Self {
        let bar = ProgressBar::no_length();
        bar.set_prefix(doing.to_owned());
        let meter = Self {
            bar,
            doing: doing.to_owned(),
            line_at: (!io::stderr().is_terminal()).then(Instant::now),
        };
        meter.total(total);
        meter
    }

    /// What is being done now, from its beginning.
    pub(crate) fn begin(&mut self, doing: &str) {
        if doing != self.doing {
            doing.clone_into(&mut self.doing);
            self.bar.set_prefix(doing.to_owned());
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
        // All of nothing is 100 %, before anything was done: without a total there is no bar.
        let template = match total {
            0 => {
                self.bar.unset_length();
                "{prefix:>9} {msg} ({elapsed})"
            }
            total => {
                self.bar.set_length(total);
                "{prefix:>9} [{bar:30}] {percent:>3}%, {msg} ({elapsed})"
            }
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            self.bar.set_style(style);
        }
    }

    fn line(&mut self, said: &str) {
        if self.line_at.is_some_and(|at| at.elapsed() >= LINE_EVERY) {
            self.line_at = Some(Instant::now());
            // A closed stderr changes nothing.
            let _ = writeln!(io::stderr(), "{}", line(&self.doing, self.share(), said));
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
            line(&meter.doing, meter.share(), "2 records"),
            "copying: 25%, 2 records"
        );
        meter.begin("comparing");
        assert_eq!(meter.share(), Some(0), "another phase begins anew");
        meter.at(9, "more than was expected");
        assert_eq!(meter.share(), Some(100));
    }

    #[test]
    fn without_a_total_there_is_no_share() {
        let meter = Meter::of("copying", 0);
        assert_eq!(meter.share(), None);
        assert_eq!(
            meter.bar.length(),
            None,
            "a bar of no length is empty, one of 0 is full"
        );
        meter.total(8);
        assert_eq!(meter.share(), Some(0));
        assert_eq!(line("removing", None, "3 steps"), "removing: 3 steps");
    }
}
