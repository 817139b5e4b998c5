//! What all tests of this crate share: the schema, and how a store is opened.

use std::sync::Arc;

use mosaic_adapter_postgres::{OpenError, PostgresSettings, PostgresStore};
use mosaic_ports::Clock;
use mosaic_testkit::postgres::Template;
use mosaic_testkit::{ManualClock, SequentialIds};

/// The text of all migrations: a template that was made from others is not used.
pub(crate) const MIGRATIONS: [&str; 14] = [
    include_str!("../../../../migrations/postgres/V1__initial.sql"),
    include_str!("../../../../migrations/postgres/V2__retention_devices_jobs.sql"),
    include_str!("../../../../migrations/postgres/V3__attachments.sql"),
    include_str!("../../../../migrations/postgres/V4__logins.sql"),
    include_str!("../../../../migrations/postgres/V5__shares_and_letter_case.sql"),
    include_str!("../../../../migrations/postgres/V6__search_texts.sql"),
    include_str!("../../../../migrations/postgres/V7__seals.sql"),
    include_str!("../../../../migrations/postgres/V8__deferred_lengths.sql"),
    include_str!("../../../../migrations/postgres/V9__clocks_that_never_moved.sql"),
    include_str!("../../../../migrations/postgres/V10__time_zones.sql"),
    include_str!("../../../../migrations/postgres/V11__tables_by_user.sql"),
    include_str!("../../../../migrations/postgres/V12__activity.sql"),
    include_str!("../../../../migrations/postgres/V13__account_quotas.sql"),
    include_str!("../../../../migrations/postgres/V14__invites.sql"),
];

/// The schema on one machine, for a server of a test's own, which never has Citus.
pub(crate) fn plain() -> Template {
    Template::new("store_plain", MIGRATIONS, |url| async move {
        open(settings(&url)).await?.close().await;
        Ok::<_, OpenError>(())
    })
}

/// Settings with a pool that is small, because many tests share a server.
pub(crate) fn settings(url: &str) -> PostgresSettings {
    PostgresSettings {
        pool_size: 8,
        ..PostgresSettings::new(url.parse().unwrap())
    }
}

/// Opens a store whose clock stands still.
pub(crate) async fn open(settings: PostgresSettings) -> Result<PostgresStore, OpenError> {
    open_at(settings, Arc::new(ManualClock::default())).await
}

/// Opens a store that reads the time from this clock.
pub(crate) async fn open_at(
    settings: PostgresSettings,
    clock: Arc<dyn Clock>,
) -> Result<PostgresStore, OpenError> {
    PostgresStore::open(settings, clock, Arc::new(SequentialIds::default())).await
}
