//! The schema and its versions, embedded in the binary.
//!
//! Migrations are only ever appended. All that are missing run in one transaction together with the notes that they ran:
//! a crash half-way leaves the database as it was. Two processes never migrate at once, because a store migrates only
//! while it holds the file's lock.

use rusqlite::{Connection, OptionalExtension as _};

use crate::error::OpenError;
use crate::settings::Location;

mod embedded {
    refinery::embed_migrations!("../../migrations/sqlite");
}

/// A migration that a database has not seen yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingMigration {
    /// Its number.
    pub version: u32,
    /// Its name.
    pub name: String,
}

/// Brings the schema up to date. Says which migrations ran.
pub(crate) fn migrate(
    conn: &mut Connection,
    location: &Location,
) -> Result<Vec<PendingMigration>, OpenError> {
    let report = embedded::migrations::runner()
        .set_grouped(true)
        .run(conn)
        .map_err(|source| OpenError::Migration {
            location: location.to_string(),
            source: Box::new(source),
        })?;
    Ok(report.applied_migrations().iter().map(described).collect())
}

/// The migrations that this database has not seen yet. Changes nothing.
pub(crate) fn pending(conn: &Connection) -> rusqlite::Result<Vec<PendingMigration>> {
    let known = last_applied(conn)?;
    Ok(embedded::migrations::runner()
        .get_migrations()
        .iter()
        .map(described)
        .filter(|migration| known.is_none_or(|known| migration.version > known))
        .collect())
}

fn described(migration: &refinery::Migration) -> PendingMigration {
    PendingMigration {
        version: u32::try_from(migration.version()).unwrap_or_default(),
        name: migration.name().to_owned(),
    }
}

/// The greatest version that this binary knows.
pub(crate) fn latest() -> u32 {
    let known = embedded::migrations::runner();
    let versions = known
        .get_migrations()
        .iter()
        .map(|migration| described(migration).version);
    versions.max().unwrap_or_default()
}

/// The greatest version that the database has noted; `None` where it has never been migrated.
pub(crate) fn last_applied(conn: &Connection) -> rusqlite::Result<Option<u32>> {
    let noted = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'refinery_schema_history'";
    if conn.query_row(noted, [], |_| Ok(())).optional()?.is_none() {
        return Ok(None);
    }
    conn.query_row("SELECT max(version) FROM refinery_schema_history", [], |row| {
        row.get(0)
    })
}
