//! What an adapter counts, for whoever watches a server: plain numbers, read when somebody asks for them.
//!
//! Counting is one relaxed addition. Names and units are those of Prometheus: base units, `_total` for what only grows.

use std::borrow::Cow;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Whoever keeps figures.
pub trait Figures: Send + Sync {
    /// The figures at this moment. Returns soon: waits for no work of others, and asks no database. It may look at files, so it is
    /// called where blocking is allowed.
    fn figures(&self) -> Vec<Figure>;
}

/// Something that is counted or measured, with a reading for each combination of its labels.
#[derive(Debug, Clone, PartialEq)]
pub struct Figure {
    /// Its name, whole: `mosaic_pushes_total`, `mosaic_sqlite_database_bytes`.
    pub name: &'static str,
    /// What it says, in one sentence without its full stop.
    pub help: &'static str,
    /// The readings, all of one kind. None: there is nothing to tell yet.
    pub series: Vec<Series>,
}

/// One reading of a figure.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// What it is about. Values come from the program, never from whoever sends requests: there are few of them.
    pub labels: Vec<Label>,
    /// How much it is.
    pub reading: Reading,
}

/// The name and the value of a label.
pub type Label = (&'static str, Cow<'static, str>);

/// How much something is.
#[derive(Debug, Clone, PartialEq)]
pub enum Reading {
    /// Only grows, until the process ends.
    Counter(u64),
    /// The same, in seconds.
    SecondsCounter(Duration),
    /// May grow and fall.
    Gauge(u64),
    /// The same, in seconds: a time span, or a moment since 1970.
    SecondsGauge(Duration),
    /// How what happened is spread.
    Histogram(Spread),
}

/// How many measurements were how great.
#[derive(Debug, Clone, PartialEq)]
pub struct Spread {
    /// The upper bounds of the buckets, and how many measurements are in each of them alone; the last one is infinite.
    pub buckets: Vec<(f64, u64)>,
    /// How many there are.
    pub count: u64,
    /// All together, in the unit of the bounds.
    pub sum: f64,
}

impl Figure {
    /// One with these readings.
    pub fn new(name: &'static str, help: &'static str, series: impl IntoIterator<Item = Series>) -> Self {
        Self {
            name,
            help,
            series: series.into_iter().collect(),
        }
    }

    /// One without labels.
    pub fn of(name: &'static str, help: &'static str, reading: Reading) -> Self {
        Self::new(name, help, [Series::new([], reading)])
    }

    /// A counter without labels.
    pub fn counter(name: &'static str, help: &'static str, counter: &Counter) -> Self {
        Self::of(name, help, Reading::Counter(counter.get()))
    }

    /// A gauge without labels.
    pub fn gauge(name: &'static str, help: &'static str, level: u64) -> Self {
        Self::of(name, help, Reading::Gauge(level))
    }

    /// A histogram without labels.
    pub fn histogram(name: &'static str, help: &'static str, histogram: &Histogram) -> Self {
        Self::of(name, help, histogram.reading())
    }
}

impl Series {
    /// A reading about that.
    pub fn new(labels: impl IntoIterator<Item = Label>, reading: Reading) -> Self {
        Self {
            labels: labels.into_iter().collect(),
            reading,
        }
    }
}

/// Counts what happens.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// So much more.
    pub fn add(&self, more: u64) {
        self.0.fetch_add(more, Relaxed);
    }

    /// How much it is by now.
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// The bounds of a histogram, as they are measured and as they are shown.
type Bounds = &'static [(u64, f64)];

/// From half a millisecond to half a minute, in nanoseconds and in seconds.
const TIMES: Bounds = &[
    (500_000, 0.0005),
    (1_000_000, 0.001),
    (2_500_000, 0.0025),
    (5_000_000, 0.005),
    (10_000_000, 0.01),
    (25_000_000, 0.025),
    (50_000_000, 0.05),
    (100_000_000, 0.1),
    (250_000_000, 0.25),
    (500_000_000, 0.5),
    (1_000_000_000, 1.0),
    (2_500_000_000, 2.5),
    (5_000_000_000, 5.0),
    (10_000_000_000, 10.0),
    (30_000_000_000, 30.0),
];

/// How many are together.
const SIZES: Bounds = &[
    (1, 1.0),
    (2, 2.0),
    (4, 4.0),
    (8, 8.0),
    (16, 16.0),
    (32, 32.0),
    (64, 64.0),
    (128, 128.0),
    (256, 256.0),
];

/// Counts measurements by how great they are. Read while others measure, its sum may be a measurement ahead of its count.
#[derive(Debug)]
pub struct Histogram {
    bounds: Bounds,
    counts: Box<[Counter]>,
    sum: Counter,
}

impl Histogram {
    /// Of times: they take from less than half a millisecond to more than half a minute.
    pub fn of_times() -> Self {
        Self::within(TIMES)
    }

    /// Of numbers, from 1 to more than 256.
    pub fn of_sizes() -> Self {
        Self::within(SIZES)
    }

    fn within(bounds: Bounds) -> Self {
        Self {
            bounds,
            counts: (0..=bounds.len()).map(|_| Counter::default()).collect(),
            sum: Counter::default(),
        }
    }

    /// Something took so long.
    pub fn took(&self, time: Duration) {
        self.measured(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
    }

    /// So many were together.
    pub fn measured(&self, measured: u64) {
        let bucket = self.bounds.partition_point(|(bound, _)| *bound < measured);
        self.counts[bucket].add(1);
        self.sum.add(measured);
    }

    /// How many measurements there are.
    pub fn count(&self) -> u64 {
        self.counts.iter().map(Counter::get).sum()
    }

    /// How they are spread.
    pub fn reading(&self) -> Reading {
        let bounds = self.bounds.iter().map(|(_, shown)| *shown);
        let counts = self.counts.iter().map(Counter::get);
        let buckets: Vec<_> = bounds.chain([f64::INFINITY]).zip(counts).collect();
        // Bounds are shown in the unit in which they are measured, or in a billion of it.
        let (measured, shown) = self.bounds[self.bounds.len() - 1];
        #[expect(clippy::cast_precision_loss, reason = "sums are shown, not counted on")]
        let sum = self.sum.get() as f64 / (measured as f64 / shown);
        Reading::Histogram(Spread {
            count: buckets.iter().map(|(_, count)| count).sum(),
            buckets,
            sum,
        })
    }
}

/// What every store counts of the transactions that write.
#[derive(Debug)]
pub struct CommitFigures {
    times: Histogram,
    failed: Counter,
}

impl Default for CommitFigures {
    fn default() -> Self {
        Self {
            times: Histogram::of_times(),
            failed: Counter::default(),
        }
    }
}

impl CommitFigures {
    /// One was committed, which took so long.
    pub fn committed(&self, time: Duration) {
        self.times.took(time);
    }

    /// One came to nothing.
    pub fn failed(&self) {
        self.failed.add(1);
    }

    /// All of it, by the same names whichever the store is.
    pub fn figures(&self) -> [Figure; 3] {
        [
            Figure::of(
                "mosaic_store_commits_total",
                "Transactions that the store has committed",
                Reading::Counter(self.times.count()),
            ),
            Figure::counter(
                "mosaic_store_failed_commits_total",
                "Transactions of the store that came to nothing",
                &self.failed,
            ),
            Figure::histogram(
                "mosaic_store_transaction_duration_seconds",
                "How long transactions that write took, from their beginning until they were committed",
                &self.times,
            ),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spread(histogram: &Histogram) -> (Vec<u64>, u64, f64) {
        let Reading::Histogram(Spread { buckets, count, sum }) = histogram.reading() else {
            panic!("a histogram");
        };
        let counts = buckets.iter().map(|(_, count)| *count).collect();
        (counts, count, sum)
    }

    #[test]
    fn a_measurement_is_in_the_first_bucket_whose_bound_it_does_not_pass() {
        let sizes = Histogram::of_sizes();
        for size in [1, 2, 3, 4, 256, 257, 1_000] {
            sizes.measured(size);
        }
        let counted = spread(&sizes);
        assert_eq!(counted, (vec![1, 1, 2, 0, 0, 0, 0, 0, 1, 2], 7, 1_523.0));
    }

    #[test]
    fn times_are_shown_in_seconds() {
        let times = Histogram::of_times();
        times.took(Duration::from_micros(500));
        times.took(Duration::from_millis(1_500));
        times.took(Duration::from_mins(1));
        let (counts, count, sum) = spread(&times);
        assert_eq!((counts[0], counts[11], counts[15], count), (1, 1, 1, 3));
        assert!((sum - 61.5005).abs() < 1e-6, "{sum}");
        for (nanos, shown) in TIMES {
            let seconds = Duration::from_nanos(*nanos).as_secs_f64();
            assert!((seconds - shown).abs() < 1e-9, "{nanos}");
        }
    }
}
