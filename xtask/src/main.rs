//! The commands of this repository: `cargo xtask --help` lists them.
//!
//! One list for people and for CI: `justfile` and `.ci/run` only call what is here. Everything runs with plain `cargo`
//! on a machine that has Rust and a C compiler; what the tests run besides is installed with apt where that is possible
//! (`needs`), and with pip and npm (`installed`). A step fails when something that it needs is missing; none is skipped.

mod arrows;
mod deps;
mod failure;
mod files;
mod installed;
mod links;
mod metadata;
mod mutants;
mod needs;
mod profiles;
mod rules;
mod runner;
mod steps;
#[cfg(test)]
mod stores;
mod tally;
#[cfg(test)]
mod variants;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::runner::Workspace;

/// The commands of this repository.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// Each of these has a recipe of the same name in `justfile`.
#[derive(Debug, Subcommand)]
enum Command {
    /// Everything that has to pass before a change lands: format, dependencies, links, clippy, rustdoc, tests
    Ci,
    /// The complete test suite: unit, integration and documentation tests of every crate
    Test {
        /// Passed on to `cargo test`, for example `-p mosaic-domain`, or a name to filter by
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Format the code
    Fmt {
        /// Change nothing; fail if something is not formatted
        #[arg(long)]
        check: bool,
    },
    /// clippy over every crate and target, with warnings as errors
    Lint,
    /// API documentation with warnings as errors, and the links between the documents
    Docs,
    /// Licences, sources and bans of the dependencies, that each is pinned once, and the arrows between our crates
    Deps,
    /// Break the rules one by one, and see that the tests notice: long, see docs/testing.md
    Mutants {
        /// Only those whose names contain this; may be given several times
        #[arg(long, value_name = "PART")]
        only: Vec<String>,
        /// Only list them
        #[arg(long)]
        list: bool,
    },
    /// Write docs/rules.md: where each rule is kept, and what holds it
    Rules,
    /// Measure the server, optimised, as ratios within one run: about three minutes after building
    Bench {
        /// `--large` (a million memos), `--compare FILE` (how it differs from an earlier run's target/bench.json)
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Many devices against real servers, from seeds, while everything fails: see that nothing is lost
    Simulate {
        /// With the build that people run: several times as many runs in the same time, and no debug assertions
        #[arg(long)]
        release: bool,
        /// `--seeds N`, `--minutes M`, `--first SEED`, `--jobs N`, `--steps N`, `--replay FILE`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Build the Debian package, of the optimised server, into target/package
    Package,
    /// Run the server from the source tree
    Serve {
        /// Passed on to `mosaic serve`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
}

fn main() -> ExitCode {
    let command = Cli::parse().command;
    // What is tested in CI is what Cargo.lock says. By hand, an edited manifest may still update it.
    let in_ci = std::env::var_os("CI").is_some() || matches!(command, Command::Ci);
    let workspace = Workspace::new(in_ci);
    let done = match command {
        Command::Ci => steps::run(&workspace, &steps::ci()),
        Command::Test { args } => steps::run(&workspace, &[steps::test(args)]),
        Command::Fmt { check } => steps::run(&workspace, &[steps::fmt(check)]),
        Command::Lint => steps::run(&workspace, &[steps::lint()]),
        Command::Docs => steps::run(&workspace, &[steps::rustdoc(), steps::links()]),
        Command::Deps => steps::run(&workspace, &[steps::deps()]),
        Command::Mutants { only, list: true } => mutants::list(&workspace, &only),
        Command::Mutants { only, list: false } => mutants::try_all(&workspace, &only),
        Command::Rules => rules::write(&workspace),
        Command::Bench { args } => steps::run(&workspace, &[steps::bench(args)]),
        Command::Simulate { release, args } => steps::run(&workspace, &[steps::simulate(release, args)]),
        Command::Package => steps::run(&workspace, &[steps::package()]),
        Command::Serve { args } => steps::serve(&workspace, &args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            runner::say(&format!("error: {failure}"));
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use clap::CommandFactory;

    use super::*;

    /// The recipes of a justfile: name to body lines.
    fn recipes(justfile: &str) -> BTreeMap<String, Vec<String>> {
        let mut recipes: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let mut current = None;
        for line in justfile.lines() {
            if line.trim().is_empty() || line.starts_with('#') {
                continue;
            }
            if line.starts_with(' ') {
                let name: &String = current.as_ref().expect("a body line follows a recipe");
                recipes
                    .entry(name.clone())
                    .or_default()
                    .push(line.trim().to_owned());
            } else {
                let (head, _) = line.split_once(':').expect("a recipe has a colon");
                let name = head.split(' ').next().expect("a recipe has a name").to_owned();
                recipes.entry(name.clone()).or_default();
                current = Some(name);
            }
        }
        recipes
    }

    #[test]
    fn arguments_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn justfile_and_xtask_list_the_same_commands() {
        let path = Workspace::new(true).root().join("justfile");
        let mut recipes = recipes(&std::fs::read_to_string(path).expect("justfile"));
        assert_eq!(recipes.remove("default"), Some(vec!["@just --list".to_owned()]));
        for command in Cli::command().get_subcommands() {
            let name = command.get_name();
            let body = recipes
                .remove(name)
                .unwrap_or_else(|| panic!("justfile has no recipe for {name}"));
            assert_eq!(body.len(), 1, "recipe {name} is one call");
            let call = format!("cargo xtask {name}");
            assert!(
                body[0] == call || body[0] == format!("{call} {{{{ args }}}}"),
                "recipe {name} calls {call}, not {}",
                body[0]
            );
        }
        assert!(
            recipes.is_empty(),
            "recipes without a command in xtask: {recipes:?}"
        );
    }

    #[test]
    fn ci_calls_xtask() {
        let script = std::fs::read_to_string(Workspace::new(true).root().join(".ci/run")).expect(".ci/run");
        assert!(script.contains("set -euo pipefail"));
        assert!(
            script
                .trim_end()
                .ends_with("exec cargo --locked xtask ci </dev/null")
        );
    }
}
