//! Users on many machines: `mosaic migrate --distribute citus`, and what `mosaic doctor` says of them afterwards.

use std::fmt::Write;

use mosaic_adapter_postgres::{REFERENCE_TABLE, ShardReport};

use crate::config::Config;
use crate::wiring::{self, WiringError};
use crate::words::counted;

/// Spreads the users of a store that is up to date. Says what was done.
///
/// # Errors
/// [`WiringError`]; [`WiringError::NotDistributable`] for the embedded store.
pub(crate) async fn distribute(config: &Config) -> Result<String, WiringError> {
    let settings = wiring::postgres(config)?.ok_or(WiringError::NotDistributable)?;
    Ok(
        match mosaic_adapter_postgres::distribute(&settings).await?.as_slice() {
            [] => "All users are spread over the machines already.\n".to_owned(),
            changed => {
                let (copied, spread): (Vec<&str>, Vec<&str>) =
                    changed.iter().partition(|table| **table == REFERENCE_TABLE);
                let mut said = format!("Spread by user_id: {}\n", spread.join(", "));
                if !copied.is_empty() {
                    // Writing to a string can't fail.
                    let _ = writeln!(said, "Copied to every machine: {}", copied.join(", "));
                }
                said
            }
        },
    )
}

/// What there is to say of a distributed database, and how many things are not as they should be; `None` where all users
/// are on one machine.
///
/// # Errors
/// [`WiringError`].
pub(crate) async fn examine(config: &Config) -> Result<Option<(String, u64)>, WiringError> {
    let Some(settings) = wiring::postgres(config)? else {
        return Ok(None);
    };
    let report = mosaic_adapter_postgres::examine_shards(&settings).await?;
    Ok(report.map(|report| (said(&report), report.findings.len() as u64)))
}

fn said(report: &ShardReport) -> String {
    let mut said = String::new();
    for finding in &report.findings {
        // Writing to a string can't fail.
        let _ = writeln!(said, "{finding}");
    }
    let users = report.users.iter();
    let users: Vec<_> = users
        .map(|(machine, users)| format!("{} on {machine}", counted(*users, "account")))
        .collect();
    let _ = writeln!(
        said,
        "Distributed: {}; {} ask one machine.",
        users.join(", "),
        counted(report.statements as u64, "statement")
    );
    said
}

#[cfg(test)]
mod tests {
    use mosaic_adapter_postgres::ShardFinding;

    use super::*;

    #[test]
    fn a_report_says_where_users_are_and_what_is_wrong() {
        let report = ShardReport {
            users: [("one:5432".to_owned(), 1_200), ("two:5432".to_owned(), 1)].into(),
            statements: 80,
            findings: vec![ShardFinding::Inactive("two:5432".to_owned())],
        };
        assert_eq!(
            said(&report),
            "machine: two:5432 is not active. Its users are answered with 503 until it is\n\
             Distributed: 1,200 accounts on one:5432, 1 account on two:5432; 80 statements ask one machine.\n"
        );
    }
}
