//! Breakages that run: each file of `xtask/mutants` is a patch that breaks one rule, and says which tests have to notice.
//!
//! ```text
//! Rule: W2
//! Tests: -p mosaic-domain --lib -- w2_
//! Of two edits with the same time the lesser client id wins.
//!
//! --- a/crates/domain/src/version.rs
//! +++ b/crates/domain/src/version.rs
//! ...
//! ```
//!
//! Patches are tried on a copy of what is committed, below the target folder, so that the code under somebody's hands is
//! never broken. First the tests run without any patch: one that is red anyway proves nothing.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Instant;

use crate::failure::{Failure, Result};
use crate::runner::{Workspace, run, say};

/// Where the patches are, below the root.
const FOLDER: &str = "xtask/mutants";
/// How long the tests of one patch may take with their build, for `timeout`: some breakages never end.
const AT_MOST: &str = "15m";
/// What `timeout` exits with when the time is over.
const TIMED_OUT: i32 = 124;

/// A patch, and what is to be known of it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Mutant {
    /// The file's name without its ending.
    name: String,
    /// The rule that it breaks, as `docs/protocol.md` numbers them, or an area that has no numbers.
    rule: String,
    /// What is built and run of `cargo test`: a package and a target.
    target: String,
    /// Which of these tests have to notice: parts of their names.
    filters: Vec<String>,
    file: PathBuf,
}

/// What became of a mutant.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    /// These tests failed.
    Caught(Vec<String>),
    /// They did not come to an end.
    NeverEnds,
    /// All of them passed.
    Survived,
    /// It was not tried: it does not apply, or does not build.
    Broken(String),
}

impl Mutant {
    fn read(file: &Path) -> Result<Self> {
        let text = fs::read_to_string(file)
            .map_err(|error| Failure(format!("cannot read {}: {error}", file.display())))?;
        let name = file
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let field = |label: &str| {
            let line = text
                .lines()
                .take_while(|line| !line.starts_with("--- "))
                .find_map(|line| line.strip_prefix(label));
            line.map(|value| value.trim().to_owned())
                .ok_or_else(|| Failure(format!("{name} has no line `{label}`")))
        };
        let (rule, tests) = (field("Rule:")?, field("Tests:")?);
        let (target, filters) = tests.split_once(" -- ").unwrap_or((tests.as_str(), ""));
        Ok(Self {
            target: target.to_owned(),
            filters: filters.split_whitespace().map(str::to_owned).collect(),
            file: file.to_owned(),
            rule,
            name,
        })
    }
}

/// All of them, by name; those whose names contain one of `only`, if there are any such.
fn all(root: &Path, only: &[String]) -> Result<Vec<Mutant>> {
    let folder = root.join(FOLDER);
    let entries = fs::read_dir(&folder)
        .map_err(|error| Failure(format!("cannot list {}: {error}", folder.display())))?;
    let mut files: Vec<PathBuf> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "patch"))
        .collect();
    files.sort();
    let mutants = files
        .iter()
        .map(|file| Mutant::read(file))
        .collect::<Result<Vec<_>>>()?;
    Ok(mutants
        .into_iter()
        .filter(|mutant| only.is_empty() || only.iter().any(|part| mutant.name.contains(part)))
        .collect())
}

/// The rule that each of them breaks.
///
/// # Errors
/// When one can't be read.
pub(crate) fn rules(root: &Path) -> Result<Vec<String>> {
    Ok(all(root, &[])?.into_iter().map(|mutant| mutant.rule).collect())
}

/// `git apply`, in this folder.
fn apply(folder: &Path, patch: &Path, how: &[&str]) -> Result<()> {
    let mut command = Command::new("git");
    command
        .args(["apply", "--whitespace=nowarn"])
        .args(how)
        .arg(patch)
        .current_dir(folder);
    let done = command
        .output()
        .map_err(|error| Failure(format!("cannot start git: {error}")))?;
    if done.status.success() {
        Ok(())
    } else {
        let why = String::from_utf8_lossy(&done.stderr).trim().replace('\n', "; ");
        Err(Failure(format!("{} does not apply: {why}", patch.display())))
    }
}

/// Prints what there is.
pub(crate) fn list(workspace: &Workspace, only: &[String]) -> Result<()> {
    for Mutant {
        name,
        rule,
        target,
        filters,
        ..
    } in all(workspace.root(), only)?
    {
        say(&format!(
            "{name:<50} {rule:<12} {target} -- {}",
            filters.join(" ")
        ));
    }
    Ok(())
}

/// Tries them all.
pub(crate) fn try_all(workspace: &Workspace, only: &[String]) -> Result<()> {
    let mutants = all(workspace.root(), only)?;
    if mutants.is_empty() {
        return Err(Failure("there is no such mutant".to_owned()));
    }
    let copy = Copy::of(workspace)?;
    copy.is_green(&mutants)?;
    let (began, mut left) = (Instant::now(), Vec::new());
    for (place, mutant) in (1..).zip(&mutants) {
        let started = Instant::now();
        let verdict = copy.verdict(mutant)?;
        let (is_caught, line) = match verdict {
            Verdict::Caught(tests) => (true, format!("caught by {}", few(&tests))),
            Verdict::NeverEnds => (true, format!("caught: no end within {AT_MOST}")),
            Verdict::Survived => (false, "SURVIVED".to_owned()),
            Verdict::Broken(why) => (false, format!("BROKEN: {why}")),
        };
        let line = format!("{:<44} {:<10} {line}", mutant.name, mutant.rule);
        say(&format!(
            "[{place}/{}] {:>6.1} s  {line}",
            mutants.len(),
            started.elapsed().as_secs_f64()
        ));
        left.extend((!is_caught).then_some(line));
    }
    let took = began.elapsed().as_secs_f64() / 60.0;
    if left.is_empty() {
        say(&format!(
            "all {} were caught, in {took:.1} minutes",
            mutants.len()
        ));
        return Ok(());
    }
    Err(Failure::list(
        &format!("{} of {} were not caught:", left.len(), mutants.len()),
        &left,
    ))
}

fn few(tests: &[String]) -> String {
    let shown: Vec<&str> = tests.iter().take(3).map(String::as_str).collect();
    match tests.len() - shown.len() {
        0 => shown.join(", "),
        more => format!("{} + {more}", shown.join(", ")),
    }
}

/// A checkout of what is committed, and where it is built.
struct Copy {
    folder: PathBuf,
    build: PathBuf,
}

impl Copy {
    fn of(workspace: &Workspace) -> Result<Self> {
        let home = workspace.root().join("target/mutants");
        let copy = Self {
            folder: home.join("checkout"),
            build: home.join("build"),
        };
        // Files that have not changed keep their times, and what was built of them.
        if copy.folder.join(".git").exists() {
            let head = format!("+HEAD:refs/heads/{HEAD_BRANCH}");
            run(git(&copy.folder)
                .args(["fetch", "--quiet"])
                .arg(workspace.root())
                .arg(head))?;
            run(git(&copy.folder).args(["checkout", "--quiet", "--force", "--detach", HEAD_BRANCH]))?;
        } else {
            fs::create_dir_all(&home)
                .map_err(|error| Failure(format!("cannot make {}: {error}", home.display())))?;
            run(git(&home)
                .args(["clone", "--quiet", "--shared"])
                .arg(workspace.root())
                .arg(&copy.folder))?;
        }
        Ok(copy)
    }

    /// Fails unless the tests that have to notice something are there, and pass without it.
    fn is_green(&self, mutants: &[Mutant]) -> Result<()> {
        let mut targets: BTreeMap<&str, Vec<&Mutant>> = BTreeMap::new();
        for mutant in mutants {
            targets.entry(&mutant.target).or_default().push(mutant);
        }
        for (target, mutants) in targets {
            say(&format!("    without a mutant: {target}"));
            let listed = text(&self.test(target, &["--list"])?);
            let has = |filter: &String| {
                listed
                    .lines()
                    .any(|line| line.ends_with(": test") && line.contains(filter.as_str()))
            };
            if let Some(lost) = mutants.iter().find(|mutant| !mutant.filters.iter().all(has)) {
                return Err(Failure(format!(
                    "{}: not all of its tests are in {target}",
                    lost.name
                )));
            }
            let whole = mutants.iter().any(|mutant| mutant.filters.is_empty());
            let filters = mutants
                .iter()
                .flat_map(|mutant| &mutant.filters)
                .map(String::as_str);
            let filters: Vec<&str> = filters.filter(|_| !whole).collect();
            let output = self.test(target, &filters)?;
            if !output.status.success() {
                return Err(Failure(format!(
                    "{target} is red without a mutant:\n{}",
                    text(&output)
                )));
            }
        }
        Ok(())
    }

    fn verdict(&self, mutant: &Mutant) -> Result<Verdict> {
        if let Err(failure) = apply(&self.folder, &mutant.file, &[]) {
            return Ok(Verdict::Broken(failure.to_string()));
        }
        let filters: Vec<&str> = mutant.filters.iter().map(String::as_str).collect();
        let output = self.test(&mutant.target, &filters);
        apply(&self.folder, &mutant.file, &["--reverse"])?;
        let output = output?;
        Ok(judge(
            output.status.success(),
            output.status.code(),
            &text(&output),
        ))
    }

    fn test(&self, target: &str, filters: &[&str]) -> Result<Output> {
        let mut command = Command::new("timeout");
        command
            .args([
                "--kill-after=10",
                AT_MOST,
                "cargo",
                "test",
                "--locked",
                "--no-fail-fast",
            ])
            .args(target.split_whitespace())
            .arg("--")
            .args(filters)
            .env("CARGO_TARGET_DIR", &self.build)
            .env("RUST_BACKTRACE", "0")
            .current_dir(&self.folder);
        command
            .output()
            .map_err(|error| Failure(format!("cannot start timeout: {error}")))
    }
}

/// The branch of the copy that is what was committed.
const HEAD_BRANCH: &str = "head";

fn git(folder: &Path) -> Command {
    let mut command = Command::new("git");
    command.current_dir(folder);
    command
}

fn text(output: &Output) -> String {
    [&output.stdout, &output.stderr]
        .map(|bytes| String::from_utf8_lossy(bytes))
        .concat()
}

/// What the output of `cargo test` says.
fn judge(passed: bool, code: Option<i32>, output: &str) -> Verdict {
    let failed = |line: &str| {
        let name = line.strip_prefix("test ")?.strip_suffix(" ... FAILED")?;
        Some(name.trim_end_matches(" - should panic").to_owned())
    };
    let tests: Vec<String> = output.lines().filter_map(failed).collect();
    if passed {
        Verdict::Survived
    } else if !tests.is_empty() {
        Verdict::Caught(tests)
    } else if code == Some(TIMED_OUT) {
        Verdict::NeverEnds
    } else if output.contains("(signal: ") {
        Verdict::Caught(vec!["the end of the whole test program".to_owned()])
    } else {
        let error = output.lines().find(|line| line.starts_with("error"));
        Verdict::Broken(error.unwrap_or("no test failed, and none passed").to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Quick, so that a change that moves a mutant's ground is told in CI, where the mutants themselves are not tried.
    #[test]
    fn every_mutant_applies_and_names_a_rule() {
        let workspace = Workspace::new(true);
        let protocol = fs::read_to_string(workspace.root().join("docs/protocol.md")).expect("the protocol");
        let mutants = all(workspace.root(), &[]).expect("mutants");
        for mutant in &mutants {
            apply(workspace.root(), &mutant.file, &["--check"]).expect("it applies");
            let is_a_number = mutant.rule.ends_with(|last: char| last.is_ascii_digit());
            let is_known = !is_a_number || protocol.contains(&format!("**{}", mutant.rule));
            assert!(
                is_known,
                "{} breaks the unknown rule {}",
                mutant.name, mutant.rule
            );
        }
    }

    #[test]
    fn what_became_of_a_mutant_is_read_from_the_output() {
        let red = "test w2_the_order_is_total ... FAILED\ntest other ... ok\nerror: test failed";
        assert_eq!(
            judge(false, Some(101), red),
            Verdict::Caught(vec!["w2_the_order_is_total".to_owned()])
        );
        assert_eq!(judge(true, Some(0), "test other ... ok"), Verdict::Survived);
        assert_eq!(judge(false, Some(TIMED_OUT), ""), Verdict::NeverEnds);
        let unbuilt = "error[E0308]: mismatched types";
        assert_eq!(
            judge(false, Some(101), unbuilt),
            Verdict::Broken(unbuilt.to_owned())
        );
        let killed = judge(false, Some(101), "error: test failed\n (signal: 6, SIGABRT)");
        assert!(matches!(killed, Verdict::Caught(_)), "{killed:?}");
    }

    #[test]
    fn a_patch_says_what_it_breaks_and_what_notices() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("lesser-author.patch");
        fs::write(
            &file,
            "Rule: W2\nTests: -p mosaic-domain --lib -- w2_ s4_\nWhy.\n\n--- a/x\n",
        )
        .expect("a file");
        let mutant = Mutant::read(&file).expect("a mutant");
        assert_eq!(
            (mutant.name.as_str(), mutant.rule.as_str()),
            ("lesser-author", "W2")
        );
        assert_eq!(mutant.target, "-p mosaic-domain --lib");
        assert_eq!(mutant.filters, ["w2_", "s4_"]);
        fs::write(&file, "Rule: W2\n\n--- a/x\n+Tests: none\n").expect("a file");
        assert!(Mutant::read(&file).is_err());
    }
}
