//! What the daily job did, on this instance.

use mosaic_application::retention::Progress;
use mosaic_ports::{Counter, Figure, Figures, Reading, Series};

/// Counts purges.
#[derive(Debug, Default)]
pub(crate) struct PurgeFigures {
    done: Counter,
    stopped: Counter,
    failed: Counter,
    revisions: Counter,
    contents: Counter,
    blobs: Counter,
}

impl PurgeFigures {
    /// One went through all of it.
    pub(crate) fn done(&self, progress: Progress) {
        self.done.add(1);
        self.add(progress);
    }

    /// One was interrupted.
    pub(crate) fn stopped(&self, progress: Progress) {
        self.stopped.add(1);
        self.add(progress);
    }

    /// One failed. What it did before is not known.
    pub(crate) fn failed(&self) {
        self.failed.add(1);
    }

    fn add(&self, progress: Progress) {
        self.revisions.add(progress.revisions);
        self.contents.add(progress.contents);
        self.blobs.add(progress.blobs);
    }
}

impl Figures for PurgeFigures {
    fn figures(&self) -> Vec<Figure> {
        let purges = [
            ("done", &self.done),
            ("stopped", &self.stopped),
            ("failed", &self.failed),
        ];
        let purges = purges.map(|(outcome, counter)| {
            Series::new([("outcome", outcome.into())], Reading::Counter(counter.get()))
        });
        vec![
            Figure::new(
                "mosaic_purges_total",
                "Daily purges of this instance, by how they ended",
                purges,
            ),
            Figure::counter(
                "mosaic_purged_revisions_total",
                "Revisions that daily purges of this instance have removed",
                &self.revisions,
            ),
            Figure::counter(
                "mosaic_purged_contents_total",
                "Deleted records whose content daily purges of this instance have erased",
                &self.contents,
            ),
            Figure::counter(
                "mosaic_purged_blobs_total",
                "Files of attachments that daily purges of this instance have removed",
                &self.blobs,
            ),
        ]
    }
}
