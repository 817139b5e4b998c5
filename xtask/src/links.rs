//! Relative links between the Markdown documents must lead to a file, and to a heading where they name one; and no line is
//! longer than people read.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::failure::{Failure, Result};
use crate::files::{self, read};

/// Documents that have to be there, besides everything under `docs/`.
const DOCUMENTS: &[&str] = &["README.md", "CHANGELOG.md", "clients/typescript/README.md"];

/// The longest line of a document, in characters.
pub(crate) const WIDTH: usize = 120;

/// Checks every document; returns how many relative links there are.
pub(crate) fn check(root: &Path) -> Result<usize> {
    let mut documents: Vec<PathBuf> = DOCUMENTS.iter().map(|name| root.join(name)).collect();
    documents.extend(files::below(&root.join("docs"), "md")?);
    let mut checked = 0;
    let (mut broken, mut long) = (Vec::new(), Vec::new());
    for document in &documents {
        let text = read(document)?;
        let name = document.strip_prefix(root).unwrap_or(document).display();
        let lines = text
            .lines()
            .zip(1..)
            .filter(|(line, _)| line.chars().count() > WIDTH);
        long.extend(lines.map(|(_, number)| format!("{name}:{number}")));
        for link in relative_links(&text) {
            checked += 1;
            if let Some(reason) = problem(document, &link)? {
                broken.push(format!("{name}: {link} {reason}"));
            }
        }
    }
    if !long.is_empty() {
        return Err(Failure::list(
            &format!("lines of more than {WIDTH} characters:"),
            &long,
        ));
    }
    if broken.is_empty() {
        Ok(checked)
    } else {
        Err(Failure::list("links that lead nowhere:", &broken))
    }
}

fn problem(document: &Path, link: &str) -> Result<Option<String>> {
    let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
    let folder = document.parent().unwrap_or(document);
    let target = if path.is_empty() {
        document.to_owned()
    } else {
        folder.join(path)
    };
    if !target.exists() {
        return Ok(Some("does not exist".to_owned()));
    }
    let is_markdown = target.extension().is_some_and(|extension| extension == "md");
    if !anchor.is_empty() && is_markdown && !headings(&read(&target)?).contains(anchor) {
        return Ok(Some("names no heading of that document".to_owned()));
    }
    Ok(None)
}

/// The lines of a document that are prose: no code blocks, and nothing between backticks.
fn prose(text: &str) -> Vec<String> {
    let mut in_code = false;
    let mut lines = Vec::new();
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        } else if !in_code {
            lines.push(line.split('`').step_by(2).collect::<Vec<_>>().join("`"));
        }
    }
    lines
}

/// Targets of `[text](target)` and `[label]: target` that are neither absolute URLs nor mail addresses.
fn relative_links(text: &str) -> Vec<String> {
    let mut links = Vec::new();
    for line in prose(text) {
        for (start, _) in line.match_indices("](") {
            if let Some((target, _)) = line[start + 2..].split_once(')') {
                links.push(target.to_owned());
            }
        }
        if line.starts_with('[')
            && let Some((_, target)) = line.split_once("]: ")
        {
            links.push(target.to_owned());
        }
    }
    links
        .iter()
        .filter_map(|target| target.split_whitespace().next())
        .map(|target| target.trim_start_matches('<').trim_end_matches('>'))
        .filter(|target| !target.contains("://") && !target.starts_with("mailto:"))
        .map(str::to_owned)
        .collect()
}

/// The anchors that GitHub and others give to the headings of a document.
fn headings(text: &str) -> BTreeSet<String> {
    let mut in_code = false;
    let mut anchors = BTreeSet::new();
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        } else if !in_code && line.starts_with('#') {
            anchors.insert(anchor(line.trim_start_matches('#').trim()));
        }
    }
    anchors
}

fn anchor(heading: &str) -> String {
    heading
        .to_lowercase()
        .chars()
        .filter(|letter| letter.is_alphanumeric() || matches!(letter, ' ' | '-' | '_'))
        .map(|letter| if letter == ' ' { '-' } else { letter })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(root: &Path, name: &str, text: &str) {
        let path = root.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    #[test]
    fn good_links_are_counted() {
        let folder = tempfile::tempdir().unwrap();
        write(
            folder.path(),
            "README.md",
            "See [a](docs/a.md#the-one-rule-w3), [web](https://example.org).\n",
        );
        write(
            folder.path(),
            "CHANGELOG.md",
            "[here](#up)\n\n# Up\n\n[label]: docs/a.md \"title\"\n",
        );
        write(folder.path(), "clients/typescript/README.md", "");
        write(
            folder.path(),
            "docs/a.md",
            "# The one rule: W3\n[up](../README.md)\n```\n[no](nowhere)\n```\n`[no](x)`\n",
        );
        assert_eq!(check(folder.path()).unwrap(), 4);
    }

    #[test]
    fn a_link_to_nowhere_is_named() {
        let folder = tempfile::tempdir().unwrap();
        write(
            folder.path(),
            "README.md",
            "[gone](docs/gone.md) ![gone](gone.png) [gone](docs/deep/a.md#gone)",
        );
        write(folder.path(), "CHANGELOG.md", "");
        write(folder.path(), "clients/typescript/README.md", "");
        write(folder.path(), "docs/deep/a.md", "# Here\n```\n# gone\n```\n");
        let failure = check(folder.path()).unwrap_err().to_string();
        assert!(
            failure.contains("README.md: docs/gone.md does not exist"),
            "{failure}"
        );
        assert!(
            failure.contains("README.md: gone.png does not exist"),
            "{failure}"
        );
        assert!(
            failure.contains("README.md: docs/deep/a.md#gone names no heading"),
            "{failure}"
        );
    }

    #[test]
    fn a_missing_document_fails() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), "docs/a.md", "");
        assert!(
            check(folder.path())
                .unwrap_err()
                .to_string()
                .contains("README.md")
        );
    }
}
