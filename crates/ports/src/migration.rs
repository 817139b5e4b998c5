//! The schema of a store, in steps that are numbered and only ever appended, and what a database has noted of them. The
//! table of the notes is that of the crate `refinery`, which ran the steps of earlier versions.

use std::hash::{Hash as _, Hasher as _};

use siphasher::sip::SipHasher13;

/// Makes the table of the notes, where it is missing.
pub const CREATE_HISTORY: &str = "
    CREATE TABLE IF NOT EXISTS refinery_schema_history (
        version INT4 PRIMARY KEY, name VARCHAR(255), applied_on VARCHAR(255), checksum VARCHAR(255))";

/// Reads the notes: version, name and checksum.
pub const SELECT_HISTORY: &str =
    "SELECT version, name, checksum FROM refinery_schema_history ORDER BY version";

/// One step: a file of the folder `migrations`, embedded in the binary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Migration {
    /// Its number.
    pub version: i32,
    /// Its name.
    pub name: &'static str,
    /// What it does.
    pub sql: &'static str,
}

/// A step that a database has run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppliedMigration {
    /// Its number.
    pub version: i32,
    /// Its name.
    pub name: String,
    /// Its [checksum](Migration::checksum).
    pub checksum: String,
}

/// Steps as a person is told of them: `V1 initial, V2 attachments`.
pub fn in_words(steps: &[Migration]) -> String {
    let named = |step: &Migration| format!("V{} {}", step.version, step.name);
    steps.iter().map(named).collect::<Vec<_>>().join(", ")
}

/// Why a database is not brought up to date.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SchemaMismatch {
    /// It has run a step that this version of the server does not have.
    #[error("it was made by a newer version of the server: step {0} of its schema is not known")]
    Newer(i32),
    /// A step that it has run was another one than that of this number, or was left out.
    #[error("step {0} of its schema is not the one of this server")]
    Diverged(i32),
}

impl Migration {
    /// Tells this step from any other of its number. As `refinery` computes it.
    pub fn checksum(&self) -> String {
        let mut hasher = SipHasher13::new();
        self.name.hash(&mut hasher);
        self.version.hash(&mut hasher);
        self.sql.hash(&mut hasher);
        hasher.finish().to_string()
    }
}

/// Those of `steps` that a database has not run: the last ones.
///
/// # Errors
/// [`SchemaMismatch`] where what it has run are not the first ones.
pub fn pending_migrations<'a>(
    steps: &'a [Migration],
    applied: &[AppliedMigration],
) -> Result<&'a [Migration], SchemaMismatch> {
    for (i, applied) in applied.iter().enumerate() {
        let step = steps.get(i).ok_or(SchemaMismatch::Newer(applied.version))?;
        let noted = (applied.version, applied.name.as_str(), &applied.checksum);
        if noted != (step.version, step.name, &step.checksum()) {
            return Err(SchemaMismatch::Diverged(step.version));
        }
    }
    Ok(&steps[applied.len()..])
}

/// Embeds steps: `migrations!("../../../migrations/sqlite", (1, "initial"), ...)`, with the path from the file that
/// says so.
#[macro_export]
macro_rules! migrations {
    ($folder:literal, $(($version:literal, $name:literal)),+ $(,)?) => {
        &[$($crate::Migration {
            version: $version,
            name: $name,
            sql: include_str!(concat!($folder, "/V", $version, "__", $name, ".sql")),
        }),+]
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEPS: [Migration; 3] = [step(1, "a"), step(2, "b"), step(3, "c")];

    const fn step(version: i32, name: &'static str) -> Migration {
        Migration {
            version,
            name,
            sql: "SELECT 1",
        }
    }

    fn noted(step: Migration) -> AppliedMigration {
        AppliedMigration {
            version: step.version,
            name: step.name.to_owned(),
            checksum: step.checksum(),
        }
    }

    #[test]
    fn what_is_missing_comes_after_what_was_run() {
        for known in 0..=3 {
            let applied: Vec<_> = STEPS[..known].iter().copied().map(noted).collect();
            assert_eq!(pending_migrations(&STEPS, &applied), Ok(&STEPS[known..]));
        }
    }

    #[test]
    fn a_database_of_another_history_is_left_alone() {
        let refused = |applied: &[Migration]| {
            let applied: Vec<_> = applied.iter().copied().map(noted).collect();
            pending_migrations(&STEPS, &applied).unwrap_err()
        };
        let [a, b, c] = STEPS;
        assert_eq!(refused(&[a, b, c, step(4, "d")]), SchemaMismatch::Newer(4));
        assert_eq!(refused(&[a, step(2, "other")]), SchemaMismatch::Diverged(2));
        assert_eq!(
            refused(&[a, Migration { sql: "SELECT 2", ..b }]),
            SchemaMismatch::Diverged(2)
        );
        assert_eq!(refused(&[a, c]), SchemaMismatch::Diverged(2));
    }
}
