//! The schema and its versions, embedded in the binary.
//!
//! Migrations are only ever appended. All that are missing run in one transaction together with the notes that they ran:
//! a crash half-way leaves the database as it was. Two processes never migrate at once, because a store migrates only
//! while it holds the file's lock.

use mosaic_ports::{
    AppliedMigration, BoxError, CREATE_HISTORY, Migration, SELECT_HISTORY, migrations, pending_migrations,
};
use rusqlite::{Connection, OptionalExtension as _};

use crate::error::OpenError;
use crate::settings::Location;

static STEPS: &[Migration] = migrations!(
    "../../../migrations/sqlite",
    (1, "initial"),
    (2, "retention_devices_jobs"),
    (3, "attachments"),
    (4, "logins"),
    (5, "shares_and_letter_case"),
    (6, "search_texts"),
    (7, "seals"),
    (8, "deferred_lengths"),
    (9, "clocks_that_never_moved"),
    (10, "time_zones"),
    (11, "tables_by_user"),
    (12, "activity"),
    (13, "account_quotas"),
    (14, "invites"),
);

/// Brings the schema up to date. Says which migrations ran.
pub(crate) fn migrate(conn: &mut Connection, location: &Location) -> Result<&'static [Migration], OpenError> {
    run(conn).map_err(OpenError::migration(location))
}

fn run(conn: &mut Connection) -> Result<&'static [Migration], BoxError> {
    let transaction = conn.transaction()?;
    transaction.execute_batch(CREATE_HISTORY)?;
    let missing = pending(&transaction)?;
    for step in missing {
        transaction.execute_batch(step.sql)?;
        transaction.execute(
            "INSERT INTO refinery_schema_history VALUES (?1, ?2, strftime('%Y-%m-%dT%H:%M:%SZ'), ?3)",
            (step.version, step.name, step.checksum()),
        )?;
    }
    transaction.commit()?;
    Ok(missing)
}

/// What the database has noted: nothing where it has never been migrated.
fn applied(conn: &Connection) -> rusqlite::Result<Vec<AppliedMigration>> {
    let noted = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'refinery_schema_history'";
    if conn.query_row(noted, [], |_| Ok(())).optional()?.is_none() {
        return Ok(Vec::new());
    }
    let mut select = conn.prepare(SELECT_HISTORY)?;
    let rows = select.query_map([], |row| {
        Ok(AppliedMigration {
            version: row.get(0)?,
            name: row.get(1)?,
            checksum: row.get(2)?,
        })
    })?;
    rows.collect()
}

/// The migrations that this database has not seen yet. Changes nothing.
fn pending(conn: &Connection) -> Result<&'static [Migration], BoxError> {
    Ok(pending_migrations(STEPS, &applied(conn)?)?)
}

/// The same for a database that must be there: one that has seen none is [`OpenError::Absent`].
pub(crate) fn pending_of_existing(
    conn: &Connection,
    location: &Location,
) -> Result<&'static [Migration], OpenError> {
    let missing = pending(conn).map_err(OpenError::migration(location))?;
    if missing.len() == STEPS.len() {
        return Err(OpenError::Absent(location.to_string()));
    }
    Ok(missing)
}

/// The greatest version that this binary knows.
pub(crate) fn latest() -> i32 {
    STEPS.last().map_or(0, |step| step.version)
}

/// The greatest version that the database has noted; `None` where it has never been migrated.
pub(crate) fn last_applied(conn: &Connection) -> rusqlite::Result<Option<i32>> {
    Ok(applied(conn)?.last().map(|applied| applied.version))
}

#[cfg(test)]
mod tests {
    use super::*;

    mod before {
        refinery::embed_migrations!("../../migrations/sqlite");
    }

    /// Earlier versions ran the same files with `refinery`: it has nothing to add and nothing to complain of.
    #[test]
    fn every_file_is_a_step_and_is_noted_as_before() {
        let mut conn = Connection::open_in_memory().unwrap();
        let ran = run(&mut conn).unwrap();
        let mut files = before::migrations::runner().get_migrations().clone();
        files.sort();
        let files = files.iter().map(|file| (file.version(), file.name(), file.sql()));
        let steps = ran.iter().map(|step| (step.version, step.name, Some(step.sql)));
        assert!(files.eq(steps));
        let report = before::migrations::runner().run(&mut conn).unwrap();
        assert!(report.applied_migrations().is_empty());
        assert!(run(&mut conn).unwrap().is_empty());
    }
}
