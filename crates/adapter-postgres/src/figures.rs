//! What the store counts: connections, turns, commits, and whether other instances are heard.

use std::time::Duration;

use deadpool_postgres::Status;
use mosaic_ports::{CommitFigures, Counter, Figure, Figures, Histogram, Reading, Series};

use crate::PostgresStore;

/// What the database's sessions count.
#[derive(Debug)]
pub(crate) struct SessionFigures {
    connection_waits: Histogram,
    connection_failures: Counter,
    turn_waits: Histogram,
    commits: CommitFigures,
}

impl SessionFigures {
    pub(crate) fn new() -> Self {
        Self {
            connection_waits: Histogram::of_times(),
            connection_failures: Counter::default(),
            turn_waits: Histogram::of_times(),
            commits: CommitFigures::default(),
        }
    }

    /// A connection of the pool was waited for.
    pub(crate) fn connected(&self, time: Duration, got_one: bool) {
        self.connection_waits.took(time);
        self.connection_failures.add(u64::from(!got_one));
    }

    /// A write waited for others of its user.
    pub(crate) fn had_turn(&self, time: Duration) {
        self.turn_waits.took(time);
    }

    /// A transaction of several steps was to be committed, and began so long ago.
    pub(crate) fn ended(&self, time: Duration, is_committed: bool) {
        if is_committed {
            self.commits.committed(time);
        } else {
            self.commits.failed();
        }
    }

    /// All of it, with what the pool has now.
    pub(crate) fn figures(&self, pool: Status) -> Vec<Figure> {
        let used = pool.size.saturating_sub(pool.available);
        let connections = [("used", used), ("idle", pool.available)]
            .map(|(state, number)| Series::new([("state", state.into())], Reading::Gauge(number as u64)));
        let mut figures = Vec::from(self.commits.figures());
        figures.extend([
            Figure::new(
                "mosaic_postgres_connections",
                "Connections of the pool, by whether somebody uses them",
                connections,
            ),
            Figure::gauge(
                "mosaic_postgres_connections_max",
                "Connections that the pool may have",
                pool.max_size as u64,
            ),
            Figure::histogram(
                "mosaic_postgres_connection_wait_seconds",
                "How long was waited for a connection of the pool",
                &self.connection_waits,
            ),
            Figure::counter(
                "mosaic_postgres_connection_failures_total",
                "How often no connection was to be had",
                &self.connection_failures,
            ),
            Figure::histogram(
                "mosaic_postgres_turn_wait_seconds",
                "How long writes waited for others of the same user on this instance",
                &self.turn_waits,
            ),
        ]);
        figures
    }
}

impl Figures for PostgresStore {
    fn figures(&self) -> Vec<Figure> {
        let mut figures = self.database.figures();
        figures.push(Figure::gauge(
            "mosaic_postgres_listening",
            "Whether commits of other instances are heard: 1, or 0",
            u64::from(self.commits.hears()),
        ));
        figures
    }
}
