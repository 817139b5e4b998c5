//! This test binary once more, in a process of its own, to be killed.

use std::io::{BufRead, BufReader, Write as _};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use mosaic_testkit::postgres::DATABASE_URL;

/// Set where this binary runs itself, to be killed.
const CHILD: &str = "MOSAIC_TESTKIT_CHILD";

/// Whether this is the process to be killed.
pub(crate) fn it_is() -> bool {
    std::env::var_os(CHILD).is_some()
}

/// Runs one test of this binary again, in a process of its own, and reads what it says.
pub(crate) fn again(test: &str, settings: &[(&str, &str)]) -> (Child, String) {
    let mut child = Command::new(std::env::current_exe().expect("a path"))
        .args(["--exact", test, "--nocapture"])
        .env_remove(DATABASE_URL)
        .env(CHILD, "1")
        .envs(settings.iter().copied())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("this binary starts");
    let said = BufReader::new(child.stdout.take().expect("a pipe"))
        .lines()
        .map_while(Result::ok)
        .find_map(|line| Some(line.split_once("child: ")?.1.to_owned()))
        .expect("the child says something");
    (child, said)
}

/// What the child tells its parent.
pub(crate) fn say(what: &str) {
    writeln!(std::io::stdout(), "\nchild: {what}").expect("somebody listens");
}

/// Says it, and waits to be killed.
pub(crate) async fn say_and_wait(what: &str) -> ! {
    say(what);
    loop {
        tokio::time::sleep(Duration::from_mins(1)).await;
    }
}
