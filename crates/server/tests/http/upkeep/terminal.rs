//! Commands at a terminal: what they ask, what they do not ask, and what nobody sees.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::process::{Child, Stdio};

use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, tcgetattr};

use crate::upkeep::support::Place;

/// A terminal, and the command that runs at it.
struct Terminal {
    screen: File,
    shown: String,
    command: Child,
}

impl Terminal {
    fn run(place: &Place, args: &[&str]) -> Self {
        let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&ours).unwrap();
        unlockpt(&ours).unwrap();
        let name = ptsname(&ours, Vec::new()).unwrap();
        let theirs: OwnedFd = rustix::fs::open(name, OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).unwrap();
        let mut command = place.command(args);
        command
            .stdin(Stdio::from(theirs.try_clone().unwrap()))
            .stdout(Stdio::from(theirs.try_clone().unwrap()))
            .stderr(Stdio::from(theirs));
        let started = command.spawn().expect("the binary starts");
        Self {
            screen: File::from(ours),
            shown: String::new(),
            command: started,
        }
    }

    /// Reads what is shown until this is; false where the command ends before.
    fn shows(&mut self, text: &str) -> bool {
        let mut piece = [0; 1024];
        while !self.shown.contains(text) {
            // A terminal at which nobody is any more is an error.
            match self.screen.read(&mut piece) {
                Ok(0) | Err(_) => return false,
                Ok(read) => self.shown += std::str::from_utf8(&piece[..read]).unwrap(),
            }
        }
        true
    }

    fn types(&mut self, line: &str) {
        writeln!(self.screen, "{line}").unwrap();
    }

    /// The exit code, and all that was shown.
    fn ends(mut self) -> (Option<i32>, String) {
        assert!(!self.shows("\0"));
        (self.command.wait().unwrap().code(), self.shown)
    }
}

fn made() -> Place {
    let place = Place::embedded();
    place.mosaic(&["migrate"]).done();
    place
}

#[test]
fn a_password_is_typed_unseen() {
    let place = made();
    for args in [
        &["user", "add", "anna", "--password-stdin"][..],
        &["user", "passwd", "anna", "--password-stdin"],
    ] {
        let mut terminal = Terminal::run(&place, args);
        assert!(terminal.shows("Password: "), "{}", terminal.shown);
        // Whoever types before would be seen.
        while tcgetattr(&terminal.screen)
            .unwrap()
            .local_modes
            .contains(LocalModes::ECHO)
        {
            std::thread::yield_now();
        }
        terminal.types("quite a secret");
        let (code, shown) = terminal.ends();
        assert_eq!(code, Some(0), "{shown}");
        assert!(shown.contains("anna") && !shown.contains("secret"), "{shown}");
    }
}

#[test]
fn nobody_is_asked_for_what_can_not_be_done() {
    let place = made();
    for (args, why) in [
        (&["user", "delete", "admin"][..], "the last administrator"),
        (&["user", "delete", "nobody"], "there is no user nobody"),
        (
            &["user", "passwd", "nobody", "--password-stdin"],
            "there is no user nobody",
        ),
        (&["user", "add", "admin", "--password-stdin"], "taken"),
        (&["restore", "nothing.db"], "there is no such backup"),
        (&["restore", "mosaic-data/token.key"], "no SQLite database"),
    ] {
        let (code, shown) = Terminal::run(&place, args).ends();
        assert_eq!(code, Some(1), "{args:?}: {shown}");
        assert!(shown.contains(why), "{args:?}: {shown}");
        assert!(
            !shown.contains("Type `") && !shown.contains("Password"),
            "{args:?}: {shown}"
        );
    }
}

#[test]
fn who_types_the_answer_is_heard() {
    let place = made();
    place.mosaic(&["user", "add", "anna"]).done();
    for (answer, code, said) in [("no", 1, "nothing was done"), ("anna", 0, "anna is removed")] {
        let mut terminal = Terminal::run(&place, &["user", "delete", "anna"]);
        assert!(terminal.shows("Type `anna` to go on: "), "{}", terminal.shown);
        terminal.types(answer);
        let (ended, shown) = terminal.ends();
        assert_eq!(ended, Some(code), "{shown}");
        assert!(shown.contains(said), "{shown}");
    }
}
