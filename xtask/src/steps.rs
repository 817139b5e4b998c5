//! The steps behind the commands, and the loop that runs them: announced, timed, stopping at the first failure.

use std::ffi::OsString;
use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use crate::failure::{Failure, Result};
use crate::metadata::Metadata;
use crate::runner::{Workspace, output, run as run_program, run_tests, say};
use crate::{deps, installed, links, needs, profiles};

/// How many tests of a program run at the same time. Where nobody says, two for each core: they wait for databases and for
/// other processes as long as they compute.
const TEST_THREADS: &str = "RUST_TEST_THREADS";

type Work = Box<dyn Fn(&Workspace) -> Result<Option<String>>>;

/// One thing to do. Its work may return a note for the summary.
pub(crate) struct Step {
    name: &'static str,
    /// The rustup component that the step needs: (cargo subcommand, component).
    component: Option<(&'static str, &'static str)>,
    work: Work,
}

impl Step {
    fn new(name: &'static str, work: impl Fn(&Workspace) -> Result<Option<String>> + 'static) -> Self {
        Self {
            name,
            component: None,
            work: Box::new(work),
        }
    }
}

/// Runs the steps in order. What they need is looked for before the first one starts, so that nobody waits ten minutes
/// to be told that clippy is missing.
pub(crate) fn run(workspace: &Workspace, steps: &[Step]) -> Result<()> {
    for (subcommand, component) in steps.iter().filter_map(|step| step.component) {
        workspace.need_component(subcommand, component)?;
    }
    let mut summary = Vec::new();
    for (index, step) in steps.iter().enumerate() {
        say(&format!("==> [{}/{}] {}", index + 1, steps.len(), step.name));
        let started = Instant::now();
        let result = (step.work)(workspace);
        let took = seconds(started.elapsed());
        match result {
            Ok(note) => summary.push((step.name, took, note)),
            Err(failure) => {
                tell(&summary);
                return Err(Failure(format!("{} failed after {took}\n{failure}", step.name)));
            }
        }
    }
    tell(&summary);
    Ok(())
}

fn tell(summary: &[(&str, String, Option<String>)]) {
    for (name, took, note) in summary {
        let note = note.as_deref().unwrap_or_default();
        say(format!("    ok  {took:>9}  {name}  {note}").trim_end());
    }
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

/// Everything that has to pass before a change lands, what is quick first.
pub(crate) fn ci() -> Vec<Step> {
    vec![fmt(true), deps(), links(), lint(), rustdoc(), test(Vec::new())]
}

/// rustfmt.
pub(crate) fn fmt(check: bool) -> Step {
    let mut step = Step::new("format", move |workspace| {
        let mut command = workspace.bare_cargo("fmt");
        command.arg("--all");
        if check {
            command.arg("--check");
        }
        run_program(&mut command)?;
        Ok(None)
    });
    step.component = Some(("fmt", "rustfmt"));
    step
}

/// clippy over everything, warnings are errors.
pub(crate) fn lint() -> Step {
    let mut step = Step::new("clippy", |workspace| {
        run_program(workspace.cargo("clippy").args([
            "--workspace",
            "--all-targets",
            "--",
            "--deny",
            "warnings",
        ]))?;
        Ok(None)
    });
    step.component = Some(("clippy", "clippy"));
    step
}

/// The API documentation builds without warnings.
pub(crate) fn rustdoc() -> Step {
    Step::new("rustdoc", |workspace| {
        run_program(
            workspace
                .cargo("doc")
                .args(["--workspace", "--no-deps"])
                .env("RUSTDOCFLAGS", "--deny warnings"),
        )?;
        Ok(None)
    })
}

/// Links between the Markdown documents lead somewhere.
pub(crate) fn links() -> Step {
    Step::new("links", |workspace| {
        let checked = links::check(workspace.root())?;
        Ok(Some(format!("{checked} links")))
    })
}

/// Licences, sources, bans, versions, how many there are, and how they are built.
pub(crate) fn deps() -> Step {
    Step::new("dependencies", |workspace| {
        let path = workspace.root().join("Cargo.toml");
        let manifest = std::fs::read_to_string(&path)
            .map_err(|error| Failure(format!("{}: {error}", path.display())))?;
        profiles::check(&manifest)?;
        let json = output(
            workspace
                .bare_cargo("metadata")
                .args(["--locked", "--format-version", "1"]),
        )?;
        let metadata = Metadata::parse(&json)?;
        deps::check(&metadata)?;
        let tree = output(workspace.bare_cargo("tree").args([
            "--locked",
            "--package=mosaic-server",
            "--edges=normal",
            "--target=x86_64-unknown-linux-gnu",
            "--prefix=none",
        ]))?;
        let in_binary = deps::count(&tree)?;
        let crates = metadata.packages.len();
        Ok(Some(format!(
            "{crates} crates, {in_binary} of them in the binary"
        )))
    })
}

/// The test suite. One invocation with one set of features for all crates, so that nothing is built twice.
pub(crate) fn test(args: Vec<String>) -> Step {
    Step::new("tests", move |workspace| {
        needs::programs()?;
        installed::tools(workspace)?;
        let mut command = workspace.cargo("test");
        if !names_a_package(&args) {
            command.arg("--workspace");
        }
        if std::env::var_os(TEST_THREADS).is_none() {
            let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
            command.env(TEST_THREADS, (2 * cores).to_string());
        }
        let tally = run_tests(command.arg("--no-fail-fast").args(&args))?;
        if tally.ignored > 0 {
            return Err(Failure(format!(
                "{tally}. A test that does not run proves nothing: no #[ignore] here"
            )));
        }
        if tally.passed == 0 {
            return Err(Failure("no test ran".to_owned()));
        }
        // On stdout, as the last line after those of the test binaries.
        print_total(&tally.to_string())?;
        Ok(Some(tally.to_string()))
    })
}

fn names_a_package(args: &[String]) -> bool {
    args.iter()
        .take_while(|arg| *arg != "--")
        .any(|arg| arg.starts_with("-p") || arg == "--package" || arg.starts_with("--package="))
}

fn print_total(line: &str) -> Result<()> {
    use std::io::Write;
    writeln!(std::io::stdout(), "{line}").map_err(|error| Failure(format!("cannot write to stdout: {error}")))
}

/// The benchmarks. They say how fast something is and never fail for it. What the server came to is written into the target
/// folder, for a later run to be compared with.
pub(crate) fn bench(args: Vec<String>) -> Step {
    Step::new("benchmarks", move |workspace| {
        let results = workspace.target().join("bench.json");
        let benches = ["server", "listeners", "uploads"];
        run_program(
            workspace
                .cargo("bench")
                .args(["--package", "mosaic-server"])
                .args(benches.iter().flat_map(|bench| ["--bench", bench]))
                .args(["--", "--json"])
                .arg(results)
                .args(args.iter().map(as_from_here)),
        )?;
        Ok(None)
    })
}

/// The simulation, with the server of the source tree.
pub(crate) fn simulate(release: bool, args: Vec<String>) -> Step {
    Step::new("simulation", move |workspace| {
        let (profile, folder) = if release {
            ("release", "release")
        } else {
            ("dev", "debug")
        };
        run_program(workspace.cargo("build").args([
            "--package",
            "mosaic-server",
            "--package",
            "mosaic-simulation",
            "--bins",
            "--profile",
            profile,
        ]))?;
        let built = workspace.target().join(folder);
        let mut simulation = std::process::Command::new(built.join("simulate"));
        simulation.arg("--server").arg(built.join("mosaic")).args(&args);
        run_program(&mut simulation)?;
        Ok(None)
    })
}

/// The Debian package of the server, with its manual.
pub(crate) fn package() -> Step {
    const VERSION: &str = env!("CARGO_PKG_VERSION");
    Step::new("package", |workspace| {
        let server = ["--package", "mosaic-server"];
        run_program(
            workspace
                .cargo("build")
                .args(server)
                .args(["--release", "--bin", "mosaic"]),
        )?;
        let folder = workspace.target().join("package");
        // Pages of commands that are gone would be packaged, too.
        if folder.exists() {
            std::fs::remove_dir_all(&folder)
                .map_err(|error| Failure(format!("cannot remove {}: {error}", folder.display())))?;
        }
        let manual = folder.join("manual");
        run_program(
            workspace
                .cargo("run")
                .args(server)
                .args(["--example", "manual", "--"])
                .arg(&manual),
        )?;
        let package = folder.join(format!("mosaic_{VERSION}.deb"));
        run_program(
            std::process::Command::new(workspace.root().join("packaging/debian/build"))
                .args([&workspace.target().join("release/mosaic"), &manual])
                .arg(VERSION)
                .arg(&package),
        )?;
        Ok(Some(package.display().to_string()))
    })
}

/// The benchmarks run elsewhere: what names a file names it from here.
fn as_from_here(arg: &String) -> OsString {
    match std::path::absolute(arg) {
        Ok(path) if path.is_file() => path.into(),
        _ => arg.into(),
    }
}

/// Runs the server in the foreground until it is stopped.
pub(crate) fn serve(workspace: &Workspace, args: &[String]) -> Result<()> {
    run_program(
        workspace
            .cargo("run")
            .args(["--package", "mosaic-server", "--bin", "mosaic", "--", "serve"])
            .args(args),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failing_step_stops_the_run_and_is_named() {
        let workspace = Workspace::new(true);
        let steps = [
            Step::new("first", |_| Ok(None)),
            Step::new("second", |_| Err(Failure("broken".to_owned()))),
            Step::new("third", |_| panic!("must not run")),
        ];
        let failure = run(&workspace, &steps).unwrap_err().to_string();
        assert!(failure.starts_with("second failed after"), "{failure}");
        assert!(failure.ends_with("broken"), "{failure}");
    }

    #[test]
    fn what_is_missing_is_said_before_anything_runs() {
        let workspace = Workspace::new(true);
        let mut step = Step::new("needy", |_| Ok(None));
        step.component = Some(("no-such-subcommand", "no-such-component"));
        let failure = run(
            &workspace,
            &[Step::new("first", |_| panic!("must not run")), step],
        )
        .unwrap_err();
        assert_eq!(
            failure.to_string(),
            "no-such-component is missing. Install it with: rustup component add no-such-component"
        );
    }

    #[test]
    fn a_package_replaces_the_whole_workspace() {
        let args = |args: &[&str]| args.iter().map(|arg| (*arg).to_owned()).collect::<Vec<_>>();
        assert!(names_a_package(&args(&["-p", "mosaic-domain"])));
        assert!(names_a_package(&args(&["--package=mosaic-domain"])));
        assert!(!names_a_package(&args(&["stamps", "--", "-p"])));
    }
}
