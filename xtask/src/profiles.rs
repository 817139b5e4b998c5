//! What people run is optimised whole. A release build that leaves some crates unoptimised builds sooner, passes every test,
//! and serves several times slower.

use toml::{Table, Value};

use crate::failure::{Failure, Result};

/// Checks the profiles of the workspace's manifest.
pub(crate) fn check(manifest: &str) -> Result<()> {
    let findings = findings(manifest)?;
    if findings.is_empty() {
        Ok(())
    } else {
        Err(Failure::list("the profiles are not as agreed:", &findings))
    }
}

fn findings(manifest: &str) -> Result<Vec<String>> {
    let manifest: Table = manifest
        .parse()
        .map_err(|error| Failure(format!("Cargo.toml can not be read: {error}")))?;
    let profiles = manifest.get("profile").and_then(Value::as_table);
    let release = profiles.and_then(|profiles| profiles.get("release")?.as_table());
    let mut findings = Vec::new();
    if release.and_then(|release| release.get("opt-level")?.as_integer()) != Some(3) {
        findings.push("release: opt-level has to be 3".to_owned());
    }
    if release.is_some_and(|release| release.contains_key("package")) {
        findings.push("release: every package is built alike".to_owned());
    }
    let others = profiles.into_iter().flat_map(Table::keys);
    findings.extend(
        others
            .filter(|name| !["dev", "release"].contains(&name.as_str()))
            .map(|name| format!("{name}: what is measured and what ships is `release`")),
    );
    Ok(findings)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_profile_optimised_whole_passes() {
        let manifest = "[profile.dev]\ndebug = false\n[profile.release]\nopt-level = 3\nlto = \"thin\"";
        assert_eq!(findings(manifest).unwrap(), Vec::<String>::new());
    }

    #[test]
    fn less_optimisation_is_refused() {
        for manifest in [
            "",
            "[profile.release]\nlto = true",
            "[profile.release]\nopt-level = 1",
            "[profile.release]\nopt-level = \"s\"",
            "[profile.release]\nopt-level = 3\n[profile.release.package]\ntime = { opt-level = 0 }",
            "[profile.release]\nopt-level = 3\n[profile.dist]\ninherits = \"release\"",
        ] {
            assert_eq!(findings(manifest).unwrap().len(), 1, "{manifest}");
        }
        assert!(check("[profile").is_err());
    }
}
