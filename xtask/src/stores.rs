//! Stores only store: what is decided about entity types, quotas and uploads is in the domain. This reads the sources of the
//! stores, without their tests, for what would say otherwise.

use std::fs;
use std::path::{Path, PathBuf};

/// Where stores are.
const STORES: [&str; 3] = [
    "crates/adapter-postgres/src",
    "crates/adapter-sqlite/src",
    "crates/testkit/src/memory",
];

/// Files that are tests as a whole.
const TESTS: [&str; 1] = ["plans.rs"];

/// The types, as the database and the code call them.
const TYPES: [(&str, &str); 4] = [
    ("memo", "Memo"),
    ("diary", "Diary"),
    ("resource", "Resource"),
    ("bot", "Bot"),
];

/// What is wrong with a line of a store.
fn fault(line: &str) -> Option<&'static str> {
    let code = line.split("//").next().unwrap_or_default();
    let names_type = TYPES.iter().any(|(name, variant)| {
        let as_text = [format!("'{name}'"), format!("\"{name}\"")];
        let as_code = ["EntityType", "RecordKey", "Content", "Patch"].map(|of| format!("{of}::{variant}"));
        let ends = |word: &str| {
            code.match_indices(word)
                .any(|(at, _)| !code[at + word.len()..].starts_with(|next: char| next.is_alphanumeric()))
        };
        as_text.iter().any(|text| code.contains(text)) || as_code.iter().any(|word| ends(word))
    });
    let compares = ["quota", "unfinished"].iter().any(|limit| {
        let sides = [" > ", " < ", " >= ", " <= "];
        sides
            .iter()
            .any(|sign| code.contains(&format!("{sign}{limit}")) || code.contains(&format!("{limit}{sign}")))
    });
    match (names_type, compares) {
        (true, _) => Some("names an entity type"),
        (_, true) => Some("decides about a quota or an upload"),
        _ => None,
    }
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder of sources").flatten() {
        let path = entry.path();
        if path.is_dir() && !path.ends_with("tests") {
            sources(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn no_store_names_an_entity_type_or_looks_at_a_quota() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the workspace");
    let mut faults = Vec::new();
    for store in STORES {
        let mut files = Vec::new();
        sources(&root.join(store), &mut files);
        assert!(files.len() > 5, "{store} is somewhere else by now");
        for file in files {
            let is_test = file
                .file_name()
                .is_some_and(|name| TESTS.iter().any(|test| name == *test));
            let text = fs::read_to_string(&file).expect("a source");
            let code = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
            let code = code
                .split("#[cfg(test)]\npub(super) mod tests")
                .next()
                .unwrap_or_default();
            for (n, line) in code.lines().enumerate().filter(|_| !is_test) {
                faults.extend(fault(line).map(|what| format!("{}:{}: {what}", file.display(), n + 1)));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn what_a_store_must_not_say_is_recognised() {
    for line in [
        "WHERE r.entity_type = 'bot'",
        "EntityType::Bot.name(),",
        "RecordKey::Memo(memo) => x,",
        "if bytes > quota {",
        "if unfinished >= most {",
    ] {
        assert!(fault(line).is_some(), "{line}");
    }
    for line in [
        "// as EntityType::Bot does",
        "let sql = \"SELECT memory\";",
        "EntityType::ALL",
        "begin(facts, length, quota, most)",
    ] {
        assert_eq!(fault(line), None, "{line}");
    }
}
