//! The store: the promises of the ports (`conformance`), and what is its own: opening, locks between instances, and everything that can happen to a connection.
#![expect(clippy::unwrap_used, reason = "a test that can't go on has to say so at once")]

mod capacity;
mod conformance;
mod cost;
mod fixture;
mod locality;
mod locks;
mod nudges;
mod opening;
mod outages;
mod retention;
mod rows;
mod seals;
mod shards;
mod support;
mod tls;
mod upgrade;
mod wire;

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use mosaic_adapter_postgres::{PostgresSettings, PostgresStore};
use mosaic_domain::UserId;
use mosaic_domain::write::{RecordEdit, WritePlan, WriteScope, decide};
use mosaic_ports::{WriteError, WriteStore as _};
use mosaic_testkit::postgres::{TestDatabase, has_hook};
use mosaic_testkit::{Harness, ManualClock, StoreFixture as _};
use tokio_postgres::Client;

use crate::fixture::Fixture;

/// How long something may take that needs no waiting at all.
const SOON: Duration = Duration::from_secs(3);

/// A store over a database of its own, and short ways to use it.
struct Test {
    fixture: Fixture,
    h: Harness,
}

impl Test {
    async fn new() -> Self {
        Self::with(|_| {}).await
    }

    async fn with(change: impl FnOnce(&mut PostgresSettings)) -> Self {
        let clock = Arc::new(ManualClock::default());
        Self::around(Fixture::with(clock.clone(), change).await, clock)
    }

    /// Over tables that are never spread over machines, also where those of other tests are: these may have triggers.
    async fn on_one_machine() -> Self {
        let database = TestDatabase::create_on(locality::telling().await, &support::plain()).await;
        Self::over(database, |_| {}).await
    }

    async fn over(database: TestDatabase, change: impl FnOnce(&mut PostgresSettings)) -> Self {
        let clock = Arc::new(ManualClock::default());
        Self::around(Fixture::over(database, clock.clone(), change).await, clock)
    }

    fn around(fixture: Fixture, clock: Arc<ManualClock>) -> Self {
        let h = Harness::new::<Fixture>(&fixture, clock);
        Self { fixture, h }
    }

    /// A connection that the store knows nothing of.
    async fn sql(&self) -> Client {
        self.fixture.database.connect().await
    }

    async fn stop(self) {
        self.fixture.stop().await;
    }
}

/// Waits until a question that the database is asked again and again is answered with yes.
async fn until(client: &Client, question: &str) {
    let asked = async {
        while !yes(client, question).await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(
        tokio::time::timeout(SOON, asked).await.is_ok(),
        "it does not come true: {question}"
    );
}

async fn yes(client: &Client, question: &str) -> bool {
    let row = client
        .query_one(&format!("SELECT {question}"), &[])
        .await
        .unwrap();
    row.get(0)
}

/// Whether a connection of the store to this database waits for a lock.
const WAITS: &str = "EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() \
     AND wait_event_type = 'Lock' AND application_name = 'mosaic')";

/// The same where the tables of tests may be spread over machines: one of these waits then.
fn waits() -> &'static str {
    if has_hook() {
        "bool_or(result::boolean) FROM run_command_on_workers('SELECT EXISTS (
             SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = ''Lock'')')"
    } else {
        WAITS
    }
}

/// Whether all connections of the store to this database are at rest.
const AT_REST: &str = "NOT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() \
     AND state <> 'idle' AND application_name = 'mosaic')";

/// Writes through a store that has no harness.
async fn write(store: &PostgresStore, user: UserId, edits: Vec<RecordEdit>) -> Result<WritePlan, WriteError> {
    let scope = WriteScope::of(user, &edits);
    store
        .write(scope, Arc::new(move |locked| decide(locked, &edits)))
        .await
}

/// Takes the lock of a user from outside. Kept until the connection goes.
async fn lock_user(client: &Client, user: UserId) {
    client.batch_execute("BEGIN").await.unwrap();
    let sql = "SELECT 1 FROM sync_clocks WHERE user_id = $1 FOR UPDATE";
    client.query_one(sql, &[&user.uuid()]).await.unwrap();
}

/// An error with all its causes.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(source) = cause {
        text.push_str(": ");
        text.push_str(&source.to_string());
        cause = source.source();
    }
    text
}
