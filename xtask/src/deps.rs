//! What may be depended upon: licences, sources, bans, one place for versions, and the arrows between our own crates
//! (docs/adr/0007).

use std::collections::BTreeSet;

use spdx::{Expression, ParseMode};
use toml::{Table, Value};

use crate::arrows::wrong_arrows;
use crate::failure::{Failure, Result};
use crate::metadata::{Metadata, Package};

/// Licences under which a dependency can be part of a binary that is itself MIT OR Apache-2.0, without further duties than
/// keeping notices.
const LICENCES: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "ISC",
    "MIT",
    "MIT-0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// Crates that must not come back, not even through a dependency, and why.
const BANNED: &[(&str, &str)] = &[
    (
        "actix-governor",
        "is GPL-3.0; the rate limits are a counter of ours",
    ),
    (
        "aws-lc-rs",
        "takes over two minutes of C to build; ring is the TLS provider",
    ),
    (
        "aws-lc-sys",
        "takes over two minutes of C to build; ring is the TLS provider",
    ),
    (
        "brotli",
        "takes a window of megabytes for each answer that it packs, for little; gzip stays (docs/adr/0027)",
    ),
    (
        "icu_provider",
        "is 20 crates for the names of hosts: cargo update -p idna_adapter --precise 1.1.0 (docs/adr/0027)",
    ),
    ("native-tls", "needs a system library; rustls is what we use"),
    ("openssl", "needs a system library; rustls is what we use"),
    ("openssl-sys", "needs a system library; rustls is what we use"),
    (
        "sqlx",
        "links a SQLite of its own; rusqlite and tokio-postgres are the drivers",
    ),
    (
        "zstd-sys",
        "takes over a minute of C to build; responses are compressed with gzip",
    ),
];

/// The most crates that the binary may be made of, ours and those that run while it is built as macros included
/// (docs/adr/0027).
const MOST_CRATES: usize = 260;

/// Features that must not come back, not even through a dependency, and why.
const BANNED_FEATURES: &[(&str, &str, &str)] = &[
    (
        "serde_json",
        "raw_value",
        "makes `Value` parse what stands below a name that anybody can write (docs/adr/0019)",
    ),
    (
        "serde_json",
        "arbitrary_precision",
        "makes numbers of objects with a name that anybody can write (docs/adr/0019)",
    ),
];

/// Checks the whole graph; the failure lists everything that is wrong with it.
pub(crate) fn check(metadata: &Metadata) -> Result<()> {
    let mut findings = Vec::new();
    for package in &metadata.packages {
        findings.extend(licence(package));
        findings.extend(source(package));
        findings.extend(ban(package));
        findings.extend(features(package, metadata.features(package)));
    }
    let members: Vec<_> = metadata.members().collect();
    findings.extend(wrong_arrows(&members));
    for member in members {
        let path = &member.manifest_path;
        let text =
            std::fs::read_to_string(path).map_err(|error| Failure(format!("{}: {error}", path.display())))?;
        findings.extend(own_versions(&member.name, &text)?);
    }
    if findings.is_empty() {
        Ok(())
    } else {
        Err(Failure::list("the dependencies are not as agreed:", &findings))
    }
}

/// Counts the crates of the binary in what `cargo tree --prefix none` prints of it; fails where there are too many.
pub(crate) fn count(tree: &[u8]) -> Result<usize> {
    let text = String::from_utf8_lossy(tree);
    let lines = text.lines().map(|line| line.trim_end_matches(" (*)"));
    let found = lines
        .filter(|line| !line.is_empty())
        .collect::<BTreeSet<_>>()
        .len();
    if found > MOST_CRATES {
        return Err(Failure(format!(
            "the binary is made of {found} crates, and was to have {MOST_CRATES} at most: docs/adr/0027"
        )));
    }
    Ok(found)
}

fn licence(package: &Package) -> Option<String> {
    let name = format!("{} {}", package.name, package.version);
    let Some(text) = &package.license else {
        return Some(format!("{name} declares no licence"));
    };
    match Expression::parse_mode(text, ParseMode::LAX) {
        Ok(expression) => {
            let allowed = expression.evaluate(|requirement| {
                requirement.addition.is_none()
                    && requirement
                        .license
                        .id()
                        .is_some_and(|id| LICENCES.contains(&id.name))
            });
            (!allowed).then(|| format!("{name} is licensed {text}, which is not on the list"))
        }
        Err(error) => Some(format!(
            "{name} has the licence {text:?}, which is no SPDX expression: {}",
            error.reason
        )),
    }
}

fn source(package: &Package) -> Option<String> {
    let source = package.source.as_deref()?;
    (source != CRATES_IO).then(|| {
        format!(
            "{} {} comes from {source}, not from crates.io",
            package.name, package.version
        )
    })
}

fn ban(package: &Package) -> Option<String> {
    let (name, reason) = BANNED.iter().find(|(name, _)| *name == package.name)?;
    Some(format!("{name} {reason}"))
}

fn features<'a>(package: &Package, features: impl Iterator<Item = &'a str>) -> Vec<String> {
    let of_package = |feature| {
        BANNED_FEATURES
            .iter()
            .find(move |(name, banned, _)| *name == package.name && *banned == feature)
    };
    let found = features.filter_map(of_package);
    found
        .map(|(name, feature, reason)| format!("the feature {feature} of {name} {reason}"))
        .collect()
}

/// Dependencies of a member manifest that do not come from `[workspace.dependencies]`.
fn own_versions(member: &str, manifest: &str) -> Result<Vec<String>> {
    let manifest: Table = manifest
        .parse()
        .map_err(|error| Failure(format!("Cargo.toml of {member} can not be read: {error}")))?;
    let per_target = manifest
        .get("target")
        .and_then(Value::as_table)
        .into_iter()
        .flat_map(Table::values);
    let scopes = per_target
        .filter_map(Value::as_table)
        .chain(std::iter::once(&manifest));
    let mut findings = Vec::new();
    for scope in scopes {
        for kind in ["dependencies", "dev-dependencies", "build-dependencies"] {
            let Some(dependencies) = scope.get(kind).and_then(Value::as_table) else {
                continue;
            };
            for (name, dependency) in dependencies {
                if dependency.get("workspace").and_then(Value::as_bool) != Some(true) {
                    findings.push(format!(
                        "{member} pins {name} itself: pin it in the workspace, and write {name}.workspace = true"
                    ));
                }
            }
        }
    }
    Ok(findings)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn package(name: &str, license: Option<&str>, source: Option<&str>) -> Package {
        serde_json::from_value(json!({
            "id": name, "name": name, "version": "1.0.0", "license": license, "source": source,
            "manifest_path": "Cargo.toml", "dependencies": [],
        }))
        .unwrap()
    }

    #[test]
    fn crates_are_counted_once_and_have_a_limit() {
        assert_eq!(
            count(b"a v1.0.0\nb v1.0.0\n\nb v1.0.0 (*)\nb v2.0.0\n").unwrap(),
            3
        );
        let line = |n: usize| format!("a v{n}.0.0");
        let tree = |crates: usize| (0..crates).map(line).collect::<Vec<_>>().join("\n");
        assert!(count(tree(MOST_CRATES).as_bytes()).is_ok());
        assert!(count(tree(MOST_CRATES + 1).as_bytes()).is_err());
    }

    #[test]
    fn permissive_licences_pass() {
        for text in [
            "MIT",
            "MIT/Apache-2.0",
            "(MIT OR Apache-2.0) AND Unicode-3.0",
            "MIT OR Apache-2.0 OR LGPL-2.1-or-later",
            "Apache-2.0 WITH LLVM-exception OR Apache-2.0 OR MIT",
        ] {
            assert_eq!(licence(&package("fine", Some(text), None)), None, "{text}");
        }
    }

    #[test]
    fn other_licences_are_refused() {
        for text in [
            "GPL-3.0-only",
            "MIT AND LGPL-2.1-or-later",
            "MPL-2.0",
            "LicenseRef-Own",
            "free for all",
            "",
        ] {
            assert!(licence(&package("odd", Some(text), None)).is_some(), "{text}");
        }
        assert_eq!(
            licence(&package("odd", None, None)).unwrap(),
            "odd 1.0.0 declares no licence"
        );
    }

    #[test]
    fn only_crates_io_and_paths_are_sources() {
        assert_eq!(source(&package("ours", None, None)), None);
        assert_eq!(source(&package("theirs", None, Some(CRATES_IO))), None);
        for other in [
            "git+https://example.org/x#1",
            "registry+https://example.org/index",
        ] {
            assert!(source(&package("odd", None, Some(other))).is_some(), "{other}");
        }
    }

    #[test]
    fn banned_crates_are_refused_with_a_reason() {
        assert!(
            ban(&package("openssl-sys", Some("MIT"), None))
                .unwrap()
                .contains("rustls")
        );
        assert_eq!(ban(&package("ring", Some("ISC"), None)), None);
    }

    #[test]
    fn banned_features_are_refused_with_a_reason() {
        let serde_json = package("serde_json", Some("MIT"), Some(CRATES_IO));
        let found = features(&serde_json, ["std", "raw_value"].into_iter());
        assert!(
            matches!(found.as_slice(), [one] if one.contains("raw_value")),
            "{found:?}"
        );
        let other = package("other", Some("MIT"), None);
        assert!(features(&other, ["raw_value"].into_iter()).is_empty());
    }

    #[test]
    fn versions_outside_of_the_workspace_are_refused() {
        let manifest = r#"
            [dependencies]
            serde.workspace = true
            uuid = { workspace = true, features = ["v4"] }
            own = "1"
            [dev-dependencies]
            local = { path = "../local" }
            [target.'cfg(unix)'.build-dependencies]
            cc = { version = "1", workspace = false }
        "#;
        let findings = own_versions("crate", manifest).unwrap();
        assert_eq!(findings.len(), 3, "{findings:?}");
        for name in ["own", "local", "cc"] {
            assert!(
                findings
                    .iter()
                    .any(|finding| finding.contains(&format!("pins {name} itself"))),
                "{name}"
            );
        }
        assert!(own_versions("crate", "[dependencies").is_err());
    }

    #[test]
    fn a_wrong_graph_fails_as_a_whole() {
        let metadata = Metadata::parse(
            json!({
                "workspace_members": [],
                "packages": [{
                    "id": "x", "name": "native-tls", "version": "0.2.0", "license": "GPL-2.0-only",
                    "source": "git+https://example.org/x", "manifest_path": "Cargo.toml", "dependencies": [],
                }],
            })
            .to_string()
            .as_bytes(),
        )
        .unwrap();
        let failure = check(&metadata).unwrap_err().to_string();
        assert_eq!(failure.lines().count(), 4, "{failure}");
    }
}
