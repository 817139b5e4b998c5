//! Ends a look-up that takes too long, or whose caller has gone: SQLite asks every few thousand steps of a statement
//! whether it is to go on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode};

use crate::error::Failure;

/// After how many steps of its virtual machine SQLite asks: well below a millisecond.
const STEPS: i32 = 2_000;

/// Watches over one look-up.
#[derive(Debug, Clone)]
pub(crate) struct Watch {
    is_abandoned: Arc<AtomicBool>,
    at_most: Duration,
}

/// Whoever waits for the answer. Once it is dropped, nobody does.
#[derive(Debug)]
pub(crate) struct Caller(Arc<AtomicBool>);

impl Drop for Caller {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Watch {
    /// A watch over a look-up that may take so long, and its caller.
    pub(crate) fn new(at_most: Duration) -> (Self, Caller) {
        let is_abandoned = Arc::<AtomicBool>::default();
        let caller = Caller(Arc::clone(&is_abandoned));
        let watch = Self {
            is_abandoned,
            at_most,
        };
        (watch, caller)
    }

    /// Looks something up under watch; its time begins now.
    pub(crate) fn over<T>(
        &self,
        conn: &Connection,
        look_up: impl FnOnce(&Connection) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        if self.is_abandoned.load(Ordering::Relaxed) {
            return Err(Failure::TooSlow);
        }
        let (is_abandoned, until) = (Arc::clone(&self.is_abandoned), Instant::now() + self.at_most);
        let is_over = move || is_abandoned.load(Ordering::Relaxed) || Instant::now() >= until;
        conn.progress_handler(STEPS, Some(is_over))?;
        let found = look_up(conn);
        conn.progress_handler(STEPS, None::<fn() -> bool>)?;
        found.map_err(|failure| match failure {
            Failure::Sqlite(error) if error.sqlite_error_code() == Some(ErrorCode::OperationInterrupted) => {
                Failure::TooSlow
            }
            other => other,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// Never ends by itself.
    const ENDLESS: &str =
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n";

    fn count(conn: &Connection) -> Result<i64, Failure> {
        Ok(conn.query_row(ENDLESS, [], |row| row.get(0))?)
    }

    #[test]
    fn what_takes_too_long_is_stopped_and_the_connection_goes_on() {
        let conn = Connection::open_in_memory().unwrap();
        let (watch, _caller) = Watch::new(Duration::from_millis(1));
        let stopped = watch.over(&conn, count);
        assert!(matches!(stopped, Err(Failure::TooSlow)), "{stopped:?}");
        let one: i64 = conn.query_row("SELECT 1", [], |row| row.get(0)).unwrap();
        assert_eq!(one, 1);
    }

    #[test]
    fn what_nobody_waits_for_any_more_is_stopped() {
        let (watch, caller) = Watch::new(Duration::from_hours(1));
        let (started, has_started) = mpsc::channel();
        let working = std::thread::spawn(move || {
            let conn = Connection::open_in_memory().unwrap();
            watch.over(&conn, |conn| {
                started.send(()).unwrap();
                count(conn)
            })
        });
        has_started.recv().unwrap();
        drop(caller);
        let stopped = working.join().unwrap();
        assert!(matches!(stopped, Err(Failure::TooSlow)), "{stopped:?}");
    }

    #[test]
    fn what_nobody_waits_for_before_it_begins_is_not_begun() {
        let (watch, caller) = Watch::new(Duration::from_hours(1));
        drop(caller);
        let conn = Connection::open_in_memory().unwrap();
        let stopped = watch.over(&conn, |_| -> Result<(), Failure> { panic!("it was begun") });
        assert!(matches!(stopped, Err(Failure::TooSlow)), "{stopped:?}");
    }
}
