//! `docs/rules.md`: where each rule of `docs/protocol.md` is kept, which tests hold it, and how often it is broken on purpose. Made
//! from the sources, so that it can't be wrong: code names a rule in its comments, a test begins with the rule's number.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

use crate::failure::{Failure, Result};
use crate::files::{self, read};
use crate::links::WIDTH;
use crate::mutants;
use crate::runner::Workspace;

/// Where the table is, below the root.
const TABLE: &str = "docs/rules.md";
const HEAD: &str = "\
# Rule by rule

Made by `cargo xtask rules`, and checked by a test: where each rule of [protocol.md](protocol.md) is kept (functions and
types whose comments name it), how many tests begin with its number in which file, and how many of the
[breakages that run](testing.md#breakages-that-run) break it. `cargo xtask test w5_` runs the tests of W5.
";

/// What is known of a rule, by file.
#[derive(Debug, Default)]
struct Rule {
    says: String,
    kept_in: BTreeMap<String, BTreeSet<String>>,
    tests: BTreeMap<String, usize>,
    breakages: usize,
}

/// All rules in the order in which the protocol has them.
struct Rules(Vec<(String, Rule)>);

/// Writes the table.
///
/// # Errors
/// When something can't be read or written.
pub(crate) fn write(workspace: &Workspace) -> Result<()> {
    let path = workspace.root().join(TABLE);
    std::fs::write(&path, table(workspace.root())?)
        .map_err(|error| Failure(format!("{}: {error}", path.display())))
}

fn table(root: &Path) -> Result<String> {
    let mut rules = Rules::of(&read(&root.join("docs/protocol.md"))?);
    for file in files::below(&root.join("crates"), "rs")? {
        let name = file.strip_prefix(root).unwrap_or(&file).display().to_string();
        rules.see(&name, &read(&file)?);
    }
    for named in mutants::rules(root)? {
        for number in named.split(|c: char| !c.is_ascii_alphanumeric()) {
            if let Some(rule) = rules.find(number) {
                rule.breakages += 1;
            }
        }
    }
    Ok(rules.table())
}

impl Rules {
    /// Those of the protocol: list items that begin with their number in bold.
    fn of(protocol: &str) -> Self {
        let items = protocol.split("\n* **").skip(1);
        let rule = |item: &str| {
            let (number, text) = item.split_once("** ")?;
            let says = Rule {
                says: first_sentence(text),
                ..Rule::default()
            };
            is_number(number).then(|| (number.to_owned(), says))
        };
        Self(items.filter_map(rule).collect())
    }

    fn find(&mut self, number: &str) -> Option<&mut Rule> {
        let found = self.0.iter_mut().find(|(known, _)| known == number);
        found.map(|(_, rule)| rule)
    }

    /// Notes what a file says of rules.
    fn see(&mut self, file: &str, text: &str) {
        let is_test = file.contains("/tests")
            || file.starts_with("crates/testkit/")
            || file.starts_with("crates/simulation/");
        let (mut named, mut last) = (BTreeSet::new(), String::new());
        for line in text.lines().map(str::trim) {
            if let Some(comment) = line.strip_prefix("//") {
                let is_doc = comment.starts_with('/');
                let numbers = comment
                    .split(|c: char| !c.is_ascii_alphanumeric())
                    .filter(|word| is_number(word));
                for number in numbers {
                    if is_test {
                        continue;
                    }
                    if is_doc {
                        named.insert(number.to_owned());
                    } else {
                        self.kept(number, file, if comment.starts_with('!') { "" } else { &last });
                    }
                }
            } else if let Some(item) = item(line) {
                item.clone_into(&mut last);
                for number in std::mem::take(&mut named) {
                    self.kept(&number, file, item);
                }
                let numbers = item.split('_').map(str::to_ascii_uppercase);
                for number in numbers.take_while(|word| is_number(word)) {
                    if let Some(rule) = self.find(&number) {
                        *rule.tests.entry(file.to_owned()).or_default() += 1;
                    }
                }
            } else if !line.is_empty() && !line.starts_with('#') {
                // A field, or a variant.
                for number in std::mem::take(&mut named) {
                    self.kept(&number, file, &last);
                }
            }
        }
    }

    fn kept(&mut self, number: &str, file: &str, item: &str) {
        if let Some(rule) = self.find(number) {
            let items = rule.kept_in.entry(file.to_owned()).or_default();
            items.extend((!item.is_empty()).then(|| item.to_owned()));
        }
    }

    fn table(&self) -> String {
        let mut table = HEAD.to_owned();
        for (number, rule) in &self.0 {
            let _ = write!(table, "\n## {number}\n\n{}\n", wrapped(&rule.says, ""));
            let kept = rule.kept_in.iter().map(|(file, items)| {
                let items: Vec<String> = items.iter().map(|item| format!("`{item}`")).collect();
                let separator = if items.is_empty() { "" } else { ": " };
                format!("* `{file}`{separator}{}", items.join(", "))
            });
            section(&mut table, "Kept in:", kept);
            let tests = rule
                .tests
                .iter()
                .map(|(file, count)| format!("* `{file}`: {count}"));
            let count: usize = rule.tests.values().sum();
            section(&mut table, &format!("Tests, {count}:"), tests);
            let _ = write!(table, "\nBreakages: {}.\n", rule.breakages);
        }
        table
    }
}

fn section(table: &mut String, title: &str, lines: impl Iterator<Item = String>) {
    let lines: Vec<String> = lines.map(|line| wrapped(&line, "  ")).collect();
    if !lines.is_empty() {
        let _ = write!(table, "\n{title}\n\n{}\n", lines.join("\n"));
    }
}

/// A capital letter and a number.
fn is_number(word: &str) -> bool {
    let digits = word.strip_prefix(|first: char| first.is_ascii_uppercase());
    digits.is_some_and(|digits| !digits.is_empty() && digits.chars().all(|c| c.is_ascii_digit()))
}

/// Up to the first full stop that ends a sentence.
fn first_sentence(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    let end = words
        .iter()
        .position(|word| word.ends_with('.') && !word.ends_with(".."));
    words[..end.map_or(words.len(), |end| end + 1)].join(" ")
}

/// What a line of code defines, by its name.
fn item(line: &str) -> Option<&str> {
    const KINDS: &[&str] = &["fn", "struct", "enum", "trait", "const", "type", "static", "mod"];
    let mut words = line.split_whitespace();
    let before = ["pub", "async", "unsafe", "pub(crate)", "pub(super)"];
    let mut kind = words.find(|word| !before.contains(word))?;
    let mut name = words.next()?;
    if (kind, name) == ("const", "fn") || (kind, name) == ("const", "async") {
        (kind, name) = ("fn", words.next()?);
    }
    let end = name
        .find(|c: char| !c.is_alphanumeric() && c != '_')
        .unwrap_or(name.len());
    (KINDS.contains(&kind) && end > 0).then_some(&name[..end])
}

/// A text in lines that are not too long; all but the first begin with `indent`.
fn wrapped(text: &str, indent: &str) -> String {
    let mut lines = String::new();
    let mut length = 0;
    for word in text.split(' ') {
        let width = word.chars().count();
        if length > 0 && length + 1 + width > WIDTH {
            let _ = write!(lines, "\n{indent}{word}");
            length = indent.len() + width;
        } else {
            let space = if length > 0 { " " } else { "" };
            let _ = write!(lines, "{space}{word}");
            length += space.len() + width;
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_rules_says_what_the_sources_say() {
        let root = Workspace::new(true).root().to_owned();
        let kept = read(&root.join(TABLE)).expect(TABLE);
        assert!(
            kept == table(&root).expect("it can be made"),
            "{TABLE} is not what `cargo xtask rules` writes: run it"
        );
    }

    #[test]
    fn every_rule_has_a_test_and_a_breakage() {
        let root = Workspace::new(true).root().to_owned();
        let made = table(&root).expect("it can be made");
        let without: Vec<&str> = made
            .split("\n## ")
            .skip(1)
            .filter(|rule| !rule.contains("\nTests, ") || rule.contains("\nBreakages: 0."))
            .filter_map(|rule| rule.split('\n').next())
            .collect();
        assert!(without.is_empty(), "rules that nothing holds: {without:?}");
    }

    #[test]
    fn code_names_a_rule_in_a_comment_and_a_test_in_its_name() {
        let mut rules =
            Rules::of("\n* **W1** One thing. More.\n* **W2** Another\n  thing: this.\n* **No** rule.");
        rules.see(
            "crates/domain/src/a.rs",
            "//! About W1.\n/// Keeps W1 and W2.\n#[must_use]\npub(crate) const fn keeps() {\n    // W2, too.\n}\n",
        );
        rules.see(
            "crates/domain/tests/b.rs",
            "/// W9 and W1.\nfn w1_w2_what_is_kept() {}\nfn other_w1_() {}",
        );
        let [(first, one), (second, two)] = &rules.0[..] else {
            panic!("two rules");
        };
        assert_eq!((first.as_str(), second.as_str()), ("W1", "W2"));
        assert_eq!(
            (one.says.as_str(), two.says.as_str()),
            ("One thing.", "Another thing: this.")
        );
        let keeps = BTreeMap::from([(
            "crates/domain/src/a.rs".to_owned(),
            BTreeSet::from(["keeps".to_owned()]),
        )]);
        assert_eq!((&one.kept_in, &two.kept_in), (&keeps, &keeps));
        let tests = BTreeMap::from([("crates/domain/tests/b.rs".to_owned(), 1)]);
        assert_eq!((&one.tests, &two.tests), (&tests, &tests));
    }
}
