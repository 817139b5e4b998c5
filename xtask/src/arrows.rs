//! The arrow test: which crate may depend on which (docs/architecture.md).
//!
//! `adapter-http → application → ports → domain`; the other adapters know `ports` and `domain`; no adapter knows another;
//! `server` may know all; `testkit` is for tests only; the client knows `domain` alone,
//! and the server's tests know the client and the simulation, which is for tests only, too. Tests of the inner crates may use
//! the embedded store, as the world that they run in. A crate without a rule here fails, so that the next one is placed on
//! purpose.

use crate::metadata::{Dependency, Package};

/// What a member crate may depend on.
struct Rule {
    /// Members that it may use in its code.
    members: &'static [&'static str],
    /// Members that its tests may use besides.
    tests: &'static [&'static str],
    /// The only foreign crates that its code may use; none: any.
    foreign: Option<&'static [&'static str]>,
}

const TESTKIT: &str = "mosaic-testkit";
const DOMAIN: &str = "mosaic-domain";
const PORTS: &str = "mosaic-ports";
const APPLICATION: &str = "mosaic-application";
const SQLITE: &str = "mosaic-adapter-sqlite";
const CLIENT: &str = "mosaic-client";
const CLI: &str = "mosaic-cli";
const SIMULATION: &str = "mosaic-simulation";

/// What a pure crate may use: data, text, numbers. No async, no I/O, no database, no HTTP.
const PURE: &[&str] = &[
    "jiff",
    "precis-profiles",
    "serde",
    "serde_json",
    "sha2",
    "siphasher",
    "thiserror",
    "time",
    "unicode-normalization",
    "uuid",
];

/// Foreign crates that belong in one place: a technology that leaks out of its adapter is seen here.
const HOMES: &[(&str, &[&str])] = &[
    ("actix-cors", &["mosaic-adapter-http"]),
    ("actix-web", &["mosaic-adapter-http", "mosaic-server"]),
    ("deadpool-postgres", &["mosaic-adapter-postgres"]),
    ("deadpool", &["mosaic-adapter-sqlite"]),
    ("image", &["mosaic-adapter-media"]),
    ("infer", &["mosaic-adapter-media"]),
    ("jiff", &["mosaic-domain"]),
    ("object_store", &["mosaic-adapter-blobs"]),
    ("prometheus-client", &["mosaic-server"]),
    ("refinery", &["mosaic-adapter-postgres", "mosaic-adapter-sqlite"]),
    ("rusqlite", &["mosaic-adapter-sqlite", CLIENT, SIMULATION]),
    ("tokio-postgres", &["mosaic-adapter-postgres", TESTKIT]),
    ("tokio-postgres-rustls", &["mosaic-adapter-postgres"]),
    ("utoipa", &["mosaic-adapter-http"]),
];

fn rule(name: &str) -> Option<Rule> {
    let rule = |members, tests, foreign| {
        Some(Rule {
            members,
            tests,
            foreign,
        })
    };
    match name {
        DOMAIN => rule(&[], &[TESTKIT], Some(PURE)),
        PORTS => rule(&[DOMAIN], &[], None),
        "mosaic-adapter-http" => rule(&[APPLICATION, DOMAIN, PORTS], &[SQLITE, TESTKIT], None),
        APPLICATION => rule(&[DOMAIN, PORTS], &[SQLITE, TESTKIT], None),
        SQLITE
        | "mosaic-adapter-postgres"
        | "mosaic-adapter-blobs"
        | "mosaic-adapter-media"
        | "mosaic-adapter-system"
        // Its own tests need all its features.
        | TESTKIT => rule(&[DOMAIN, PORTS], &[TESTKIT], None),
        "mosaic-server" => rule(
            &[
                APPLICATION,
                DOMAIN,
                PORTS,
                "mosaic-adapter-http",
                SQLITE,
                "mosaic-adapter-postgres",
                "mosaic-adapter-blobs",
                "mosaic-adapter-media",
                "mosaic-adapter-system",
            ],
            &[CLI, CLIENT, SIMULATION, TESTKIT],
            None,
        ),
        CLIENT => rule(&[DOMAIN], &[], None),
        CLI => rule(&[CLIENT], &[], None),
        // A test itself.
        SIMULATION => rule(&[CLIENT, TESTKIT], &[], None),
        "xtask" => rule(&[], &[], None),
        _ => None,
    }
}

/// Every wrong arrow among `members`, as a sentence.
pub(crate) fn wrong_arrows(members: &[&Package]) -> Vec<String> {
    let mut wrong = Vec::new();
    for from in members {
        let Some(rule) = rule(&from.name) else {
            wrong.push(format!(
                "{} has no rule: say in xtask/src/arrows.rs where it stands",
                from.name
            ));
            continue;
        };
        for dependency in &from.dependencies {
            let is_member = members.iter().any(|member| member.name == dependency.name);
            if let Some(reason) = refusal(&rule, &from.name, dependency, is_member) {
                wrong.push(format!("{} → {}: {reason}", from.name, dependency.name));
            }
        }
    }
    wrong
}

fn refusal(rule: &Rule, from: &str, to: &Dependency, is_member: bool) -> Option<String> {
    let dev = to.kind.as_deref() == Some("dev");
    let name = to.name.as_str();
    if dev && rule.tests.contains(&name) {
        return None;
    }
    if is_member {
        return (!rule.members.contains(&name)).then(|| format!("may only know {:?}", rule.members));
    }
    if dev {
        return None;
    }
    if let Some(foreign) = rule.foreign
        && !foreign.contains(&name)
    {
        return Some(format!("is pure, and uses nothing but {foreign:?}"));
    }
    let (_, homes) = HOMES.iter().find(|(technology, _)| *technology == name)?;
    (!homes.contains(&from)).then(|| format!("{name} belongs in {homes:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::Metadata;
    use crate::runner::{Workspace, output};

    /// A graph in the shape of `cargo metadata`: member, dependency, kind.
    fn graph(edges: &[(&str, &str, Option<&str>)]) -> Vec<Package> {
        let mut names: Vec<&str> = edges.iter().map(|(from, _, _)| *from).collect();
        names.extend(
            edges
                .iter()
                .map(|(_, to, _)| *to)
                .filter(|to| to.starts_with("mosaic-")),
        );
        names.sort_unstable();
        names.dedup();
        names
            .iter()
            .map(|name| {
                let dependencies: Vec<_> = edges
                    .iter()
                    .filter(|(from, _, _)| from == name)
                    .map(|(_, to, kind)| serde_json::json!({"name": to, "kind": kind}))
                    .collect();
                serde_json::from_value(serde_json::json!({
                    "id": name, "name": name, "version": "0.1.0", "license": null, "source": null,
                    "manifest_path": "Cargo.toml", "dependencies": dependencies,
                }))
                .unwrap()
            })
            .collect()
    }

    fn wrong(edges: &[(&str, &str, Option<&str>)]) -> Vec<String> {
        wrong_arrows(&graph(edges).iter().collect::<Vec<_>>())
    }

    #[test]
    fn the_crates_of_this_repository_keep_to_the_arrows() {
        let json = output(Workspace::new(true).bare_cargo("metadata").args([
            "--locked",
            "--no-deps",
            "--format-version",
            "1",
        ]))
        .unwrap();
        let metadata = Metadata::parse(&json).unwrap();
        let members: Vec<_> = metadata.members().collect();
        assert!(members.len() >= 9, "the workspace was read");
        assert_eq!(wrong_arrows(&members), Vec::<String>::new());
    }

    #[test]
    fn the_intended_graph_passes() {
        let edges = [
            ("mosaic-adapter-http", "mosaic-application", None),
            ("mosaic-adapter-http", "actix-web", None),
            ("mosaic-application", "mosaic-ports", None),
            ("mosaic-ports", "mosaic-domain", None),
            ("mosaic-domain", "uuid", None),
            ("mosaic-domain", "proptest", Some("dev")),
            ("mosaic-adapter-sqlite", "mosaic-ports", None),
            ("mosaic-adapter-sqlite", "rusqlite", None),
            ("mosaic-adapter-sqlite", "mosaic-testkit", Some("dev")),
            ("mosaic-application", "mosaic-adapter-sqlite", Some("dev")),
            ("mosaic-server", "mosaic-adapter-sqlite", None),
            ("mosaic-server", "mosaic-client", Some("dev")),
            ("mosaic-client", "mosaic-domain", None),
        ];
        assert_eq!(wrong(&edges), Vec::<String>::new());
    }

    #[test]
    fn an_inner_crate_that_knows_an_outer_one_is_noticed() {
        for (from, to) in [
            ("mosaic-domain", "mosaic-ports"),
            ("mosaic-ports", "mosaic-application"),
            ("mosaic-application", "mosaic-adapter-postgres"),
            ("mosaic-application", "mosaic-adapter-http"),
            ("mosaic-adapter-sqlite", "mosaic-application"),
            ("mosaic-testkit", "mosaic-adapter-sqlite"),
            ("mosaic-client", "mosaic-ports"),
        ] {
            assert_eq!(wrong(&[(from, to, None)]).len(), 1, "{from} → {to}");
            assert_eq!(
                wrong(&[(from, to, Some("dev"))]).len(),
                1,
                "{from} → {to} in tests"
            );
            assert_eq!(
                wrong(&[(from, to, Some("build"))]).len(),
                1,
                "{from} → {to} in build.rs"
            );
        }
    }

    #[test]
    fn an_adapter_that_knows_another_is_noticed() {
        for from in ["mosaic-adapter-http", "mosaic-application"] {
            assert_eq!(wrong(&[(from, "mosaic-adapter-sqlite", None)]).len(), 1, "{from}");
        }
        assert_eq!(
            wrong(&[("mosaic-adapter-sqlite", "mosaic-adapter-system", None)]).len(),
            1
        );
    }

    #[test]
    fn testkit_outside_of_tests_is_noticed() {
        assert_eq!(wrong(&[("mosaic-server", "mosaic-testkit", None)]).len(), 1);
    }

    #[test]
    fn a_domain_that_is_not_pure_is_noticed() {
        for foreign in ["tokio", "actix-web", "async-trait", "rusqlite", "getrandom"] {
            assert_eq!(wrong(&[("mosaic-domain", foreign, None)]).len(), 1, "{foreign}");
        }
    }

    #[test]
    fn a_technology_outside_of_its_adapter_is_noticed() {
        assert_eq!(wrong(&[("mosaic-application", "actix-web", None)]).len(), 1);
        assert_eq!(wrong(&[("mosaic-server", "rusqlite", None)]).len(), 1);
        assert_eq!(wrong(&[("mosaic-server", "mosaic-client", None)]).len(), 1);
    }

    #[test]
    fn a_crate_without_a_rule_is_noticed() {
        assert_eq!(wrong(&[("mosaic-surprise", "serde", None)]).len(), 1);
    }
}
