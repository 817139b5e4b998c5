//! What the writer counts.

use mosaic_ports::{Reading, Spread};

use super::*;

/// A reading: of a histogram, how many measurements there are.
fn reading(writer: &Writer, name: &str) -> u64 {
    let figures = writer.figures();
    let figure = figures.iter().find(|figure| figure.name == name).unwrap();
    match &figure.series[0].reading {
        Reading::Counter(count) | Reading::Gauge(count) | Reading::Histogram(Spread { count, .. }) => *count,
        other => panic!("{other:?}"),
    }
}

/// How many jobs were committed, however many together.
fn committed_jobs(writer: &Writer) -> f64 {
    let figures = writer.figures();
    let groups = figures
        .iter()
        .find(|figure| figure.name == "mosaic_sqlite_writer_group_size");
    match &groups.unwrap().series[0].reading {
        Reading::Histogram(spread) => spread.sum,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_figures_say_who_waits_and_what_was_committed_together() {
    let writer = start(WriterSettings {
        queue_max: 50,
        ..SETTINGS
    });
    let (release, busy) = hold(&writer).await;
    let queued = join_all((0..50).map(|n| writer.run(insert(n))));
    let meanwhile = async {
        assert_eq!(reading(&writer, "mosaic_sqlite_writer_queue_length"), 50);
        assert_eq!(reading(&writer, "mosaic_store_commits_total"), 0);
        assert!(writer.run(insert(50)).await.is_err(), "there is no more room");
        release.send(()).unwrap();
    };
    let (answers, ()) = tokio::join!(queued, meanwhile);
    busy.await.unwrap();
    assert!(answers.iter().all(Result::is_ok));
    for (name, expected) in [
        ("mosaic_sqlite_writer_queue_length", 0),
        ("mosaic_sqlite_writer_refused_total", 1),
        ("mosaic_sqlite_writer_late_total", 0),
        ("mosaic_sqlite_writer_wait_seconds", HELD as u64 + 50),
        ("mosaic_store_commits_total", HELD as u64 + 1),
        ("mosaic_store_transaction_duration_seconds", HELD as u64 + 1),
        ("mosaic_store_failed_commits_total", 0),
    ] {
        assert_eq!(reading(&writer, name), expected, "{name}");
    }
    assert!((committed_jobs(&writer) - 51.0).abs() < 0.1);
}

#[tokio::test]
async fn a_commit_that_fails_is_counted_as_such() {
    let writer = start(SETTINGS);
    let refuse = |conn: &Connection| {
        conn.commit_hook(Some(|| true))?;
        insert(1)(conn)
    };
    // The hook is there for the commit that brings it, too.
    assert!(writer.run(refuse).await.is_err());
    assert_eq!(reading(&writer, "mosaic_store_failed_commits_total"), 1);
    assert_eq!(reading(&writer, "mosaic_store_commits_total"), 0);
}
