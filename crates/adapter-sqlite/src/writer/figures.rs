//! What the writer counts.

use std::time::Duration;

use mosaic_ports::{CommitFigures, Counter, Figure, Histogram};

/// Shared by the thread and by whoever asks it for something.
#[derive(Debug)]
pub(super) struct WriterFigures {
    waits: Histogram,
    groups: Histogram,
    commits: CommitFigures,
    refused: Counter,
    late: Counter,
}

impl WriterFigures {
    pub(super) fn new() -> Self {
        Self {
            waits: Histogram::of_times(),
            groups: Histogram::of_sizes(),
            commits: CommitFigures::default(),
            refused: Counter::default(),
            late: Counter::default(),
        }
    }

    /// A job has its turn, after that time.
    pub(super) fn waited(&self, time: Duration) {
        self.waits.took(time);
    }

    /// So many jobs were committed together, which took so long.
    pub(super) fn committed(&self, jobs: usize, time: Duration) {
        self.groups.measured(jobs as u64);
        self.commits.committed(time);
    }

    /// A transaction with jobs came to nothing.
    pub(super) fn failed(&self) {
        self.commits.failed();
    }

    /// A job found no room to wait in.
    pub(super) fn refused(&self) {
        self.refused.add(1);
    }

    /// A job waited for too long.
    pub(super) fn late(&self) {
        self.late.add(1);
    }

    /// All of it, with how many wait now.
    pub(super) fn figures(&self, waiting: usize) -> Vec<Figure> {
        let mut figures = Vec::from(self.commits.figures());
        figures.extend([
            Figure::gauge(
                "mosaic_sqlite_writer_queue_length",
                "Writes that wait for the writer",
                waiting as u64,
            ),
            Figure::histogram(
                "mosaic_sqlite_writer_wait_seconds",
                "How long writes waited for the writer",
                &self.waits,
            ),
            Figure::histogram(
                "mosaic_sqlite_writer_group_size",
                "How many writes shared one commit",
                &self.groups,
            ),
            Figure::counter(
                "mosaic_sqlite_writer_refused_total",
                "Writes that found too many others waiting",
                &self.refused,
            ),
            Figure::counter(
                "mosaic_sqlite_writer_late_total",
                "Writes that were given up after they had waited for too long",
                &self.late,
            ),
        ]);
        figures
    }
}
