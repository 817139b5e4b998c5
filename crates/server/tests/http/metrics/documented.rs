//! That what is written about metrics is so: the list in docs/operations.md, the dashboard, and the alerts.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{Scrape, TOLD, traffic};
use crate::harness::{Data, Server};

const OPERATIONS: &str = include_str!("../../../../../docs/operations.md");
const DASHBOARD: &str = include_str!("../../../../../docs/grafana/mosaic.json");
const ALERTS: &str = include_str!("../../../../../docs/grafana/alerts.yml");

/// The figures of the store that these servers do not have begin so.
fn is_elsewhere(name: &str) -> bool {
    let elsewhere = if Data::is_on_postgres() {
        "mosaic_sqlite_"
    } else {
        "mosaic_postgres_"
    };
    name.starts_with(elsewhere)
}

/// What Prometheus adds to whatever it reads.
const ADDED: [&str; 2] = ["instance", "job"];

async fn scrape() -> Scrape {
    let server = Server::start_with(&[&TOLD[..], &["--backup-folder", "backups"]].concat());
    traffic(&server).await;
    Scrape::of(&server).await
}

/// Each figure as the list has it: with its kind, its labels, and what it says.
fn written(scrape: &Scrape) -> BTreeMap<String, String> {
    let comments = |of: &str| {
        let lines = scrape.text.lines().filter_map(move |line| line.strip_prefix(of));
        let pairs = lines.filter_map(|line| line.split_once(' '));
        pairs
            .map(|(name, text)| (name.to_owned(), text.to_owned()))
            .collect::<BTreeMap<_, _>>()
    };
    let (kinds, helps) = (comments("# TYPE "), comments("# HELP "));
    let described = scrape.figures().into_iter().map(|(name, labels)| {
        let labels = labels.into_iter().filter(|label| label != "le");
        let labels = labels.map(|label| format!("`{label}`"));
        let kind_and_labels: Vec<_> = [kinds[&name].clone()].into_iter().chain(labels).collect();
        let text = format!("`{name}` ({}): {}", kind_and_labels.join(", "), helps[&name]);
        (name, text)
    });
    described.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_list_in_the_documentation_is_what_a_server_tells() {
    let list = OPERATIONS.split_once("<!-- metrics -->").expect("a list").1;
    let list = list.split_once("<!-- end -->").expect("its end").0;
    let items = list.split("\n* ").skip(1);
    let items = items.map(|item| item.split_whitespace().collect::<Vec<_>>().join(" "));
    let documented: BTreeSet<String> = items.filter(|item| !is_elsewhere(&item[1..])).collect();
    let told: BTreeSet<String> = written(&scrape().await).into_values().collect();
    let missing: Vec<_> = told.difference(&documented).collect();
    let wrong: Vec<_> = documented.difference(&told).collect();
    assert!(
        missing.is_empty() && wrong.is_empty(),
        "told, and not in docs/operations.md:\n{missing:#?}\nthere, and not told:\n{wrong:#?}"
    );
}

/// What a query asks for: names of figures with the labels of their selectors, and labels that it groups by.
#[derive(Debug, Default, PartialEq)]
struct Asked {
    figures: Vec<(String, BTreeSet<String>)>,
    groups: BTreeSet<String>,
}

impl Asked {
    /// Reads a query of Prometheus' language, as far as that is needed: `name{label="value"}[5m]`, `by (label)`, functions.
    fn read(query: &str) -> Self {
        const GROUPING: [&str; 6] = ["by", "without", "on", "ignoring", "group_left", "group_right"];
        const OPERATORS: [&str; 4] = ["and", "or", "unless", "bool"];
        let mut asked = Self::default();
        let mut rest = query;
        while let Some(at) = rest.find(|c: char| c.is_ascii_alphabetic() || c == '_' || c == '[') {
            // Of numbers such as 1e3, and of spans of time, nothing is a name.
            let is_in_number = rest[..at].ends_with(|c: char| c.is_ascii_digit());
            rest = &rest[at..];
            if let Some(span) = rest.strip_prefix('[') {
                rest = span.split_once(']').expect("the end of a span").1;
                continue;
            }
            let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
            let (name, after) = rest.split_at(end.unwrap_or(rest.len()));
            rest = after.trim_start();
            if is_in_number || OPERATORS.contains(&name) {
                continue;
            }
            let bracketed =
                |text: &'_ str, end| text[1..].split_once(end).map(|(a, b)| (a.to_owned(), b.len()));
            if GROUPING.contains(&name) {
                let (labels, left) = bracketed(rest, ')').expect("labels");
                asked
                    .groups
                    .extend(labels.split(',').map(|label| label.trim().to_owned()));
                rest = &rest[rest.len() - left..];
            } else if rest.starts_with('{') {
                let (labels, left) = bracketed(rest, '}').expect("the end of a selector");
                let labels = labels.split(',').filter_map(|label| label.split_once(['=', '!']));
                let labels = labels.map(|(label, _)| label.trim().to_owned()).collect();
                asked.figures.push((name.to_owned(), labels));
                rest = &rest[rest.len() - left..];
            } else if !["(", "by", "without"].iter().any(|next| rest.starts_with(next)) {
                asked.figures.push((name.to_owned(), BTreeSet::new()));
            }
        }
        asked
    }

    /// What of it no server tells.
    fn unknown(&self, told: &BTreeMap<String, BTreeSet<String>>) -> Vec<String> {
        let mut unknown = Vec::new();
        let mut known: BTreeSet<&str> = ADDED.into();
        for (name, labels) in &self.figures {
            if name == "up" || is_elsewhere(name) {
                // Prometheus' own, or that of another server: there it is looked at.
                known.extend(labels.iter().chain(&self.groups).map(String::as_str));
                continue;
            }
            let parts = ["", "_bucket", "_sum", "_count"];
            let of_figure = parts.iter().find_map(|part| told.get(name.strip_suffix(part)?));
            match of_figure {
                None => unknown.push(name.clone()),
                Some(those) => {
                    let is_known =
                        |label: &&String| !those.contains(*label) && !ADDED.contains(&label.as_str());
                    unknown.extend(
                        labels
                            .iter()
                            .filter(is_known)
                            .map(|label| format!("{name}{{{label}}}")),
                    );
                    known.extend(those.iter().map(String::as_str));
                }
            }
        }
        let groups = self.groups.iter().filter(|label| !known.contains(label.as_str()));
        unknown.extend(groups.map(|label| format!("by ({label})")));
        unknown
    }
}

#[test]
fn queries_are_read() {
    let labels = |labels: &[&str]| {
        labels
            .iter()
            .map(|label| (*label).to_owned())
            .collect::<BTreeSet<_>>()
    };
    let query = r#"histogram_quantile(0.99, sum by (le, route) (rate(a_bucket{status=~"5..",x!="y"}[5m]))) > 1e3 and b / 2"#;
    let read = Asked::read(query);
    assert_eq!(
        read,
        Asked {
            figures: vec![
                ("a_bucket".into(), labels(&["status", "x"])),
                ("b".into(), labels(&[]))
            ],
            groups: labels(&["le", "route"]),
        }
    );
    let told = BTreeMap::from([("a".to_owned(), labels(&["le", "status"]))]);
    assert_eq!(read.unknown(&told), ["a_bucket{x}", "b", "by (route)"]);
}

/// Every query of the dashboard.
fn of_dashboard() -> Vec<String> {
    let dashboard: Value = serde_json::from_str(DASHBOARD).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels");
    let targets = panels
        .iter()
        .flat_map(|panel| panel["targets"].as_array().into_iter().flatten());
    let queries = targets.map(|target| target["expr"].as_str().expect("a query").to_owned());
    let queries: Vec<_> = queries.collect();
    assert!(queries.len() >= panels.len(), "a panel without queries");
    queries
}

/// Every query of the alerts: each is a line of its own.
fn of_alerts() -> Vec<String> {
    let queries = ALERTS
        .lines()
        .filter_map(|line| line.trim().strip_prefix("expr: "));
    let queries: Vec<_> = queries.map(str::to_owned).collect();
    assert_eq!(queries.len(), ALERTS.matches("- alert: ").count());
    queries
}

#[tokio::test(flavor = "multi_thread")]
async fn the_dashboard_and_the_alerts_ask_for_what_a_server_tells() {
    let told = scrape().await.figures();
    let queries = of_dashboard().into_iter().chain(of_alerts());
    let unknown: Vec<_> = queries
        .map(|query| (Asked::read(&query).unknown(&told), query))
        .filter(|(unknown, _)| !unknown.is_empty())
        .collect();
    assert!(unknown.is_empty(), "{unknown:#?}");
}

/// Whoever looks at the dashboard sees every figure that there is, but for a few that say the same as others.
#[tokio::test(flavor = "multi_thread")]
async fn the_dashboard_leaves_little_out() {
    const LEFT_OUT: [&str; 4] = [
        "process_max_fds",
        "process_start_time_seconds",
        "process_threads",
        "process_virtual_memory_bytes",
    ];
    let queries = of_dashboard().join("\n");
    let told = scrape().await.figures().into_keys();
    let unseen: Vec<_> = told
        .filter(|name| !queries.contains(name.as_str()) && !LEFT_OUT.contains(&name.as_str()))
        .collect();
    assert_eq!(unseen, Vec::<String>::new());
}
