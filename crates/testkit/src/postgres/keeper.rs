//! A shell beside the tests that owns a temporary folder and the service in it, and outlives us by a moment.
//!
//! The service and its folder have to go when the tests end, however they end: a test process that is killed runs
//! neither `Drop` nor an exit handler. So a shell does everything to the folder, from its making on, told line by line
//! through a pipe. When the pipe closes, because we dropped it or because we are gone, it stops the service and removes
//! the folder. It takes one line after the other, so it never cleans up half way through a start.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// `$1`: where the folder is made, `$2`: the beginning of its name, `$3`: what stops the service.
///
/// It ignores the signals that a terminal or a closed pipe sends: only the end of its input ends it.
const SCRIPT: &str = r#"
trap '' HUP INT TERM PIPE
umask 077
folder=$(mktemp -d "$1/$2-XXXXXX") || exit 1
cd "$folder" || exit 1
printf '%s\n' "$folder"
while IFS= read -r line; do
    eval "$line" </dev/null >keeper.log 2>&1
    printf '%s\n' "$?"
done
eval "$3" </dev/null >keeper.log 2>&1
cd /
rm -rf "$folder" || { sleep 1; rm -rf "$folder"; }
"#;

/// Whom a service runs as, where we are root: PostgreSQL and PgBouncer refuse to be root's.
#[derive(Debug, Clone, Copy)]
struct Account {
    user: u32,
    group: u32,
}

impl Account {
    /// The unprivileged account to use; none: our own will do.
    fn unprivileged() -> Option<Self> {
        if id("-u", None)? != 0 {
            return None;
        }
        let found = ["postgres", "nobody"].iter().find_map(|name| {
            Some(Self {
                user: id("-u", Some(name))?,
                group: id("-g", Some(name))?,
            })
        });
        Some(found.expect("root needs an account `postgres` or `nobody` to run the database as"))
    }
}

/// What `id` prints.
fn id(what: &str, name: Option<&str>) -> Option<u32> {
    let output = Command::new("id").arg(what).args(name).output().ok()?;
    String::from_utf8(output.stdout).ok()?.trim().parse().ok()
}

/// The shell, seen from here. Dropping it waits until the service is stopped and the folder is gone.
#[derive(Debug)]
pub(crate) struct ServiceGuard {
    folder: PathBuf,
    account: Option<Account>,
    shell: Child,
    lines: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl ServiceGuard {
    /// Makes a folder `mosaic-KIND-…` in `place`. Its commands find the programs of `programs`; `stop` is the command that stops the
    /// service, run in the folder whether or not the service was started.
    pub(crate) fn start(kind: &str, place: &Path, programs: &Path, stop: &str) -> Self {
        let account = Account::unprivileged();
        let mut path = programs.as_os_str().to_owned();
        path.push(":/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin");
        let mut command = Command::new("/bin/sh");
        command
            .args(["-c", SCRIPT, "mosaic-keeper"])
            .arg(place)
            .args([&format!("mosaic-{kind}"), stop])
            // Nothing of our environment (PGDATA, PGOPTIONS, a language) changes what the service does.
            .env_clear()
            .env("PATH", path)
            .env("LC_ALL", "C")
            .current_dir("/")
            // A group of its own: Ctrl-C, or a runner that kills the group of a test, must not reach it.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // Whoever reads our output must not wait for the keeper to end.
            .stderr(Stdio::null());
        if let Some(account) = account {
            command.uid(account.user).gid(account.group);
        }
        let mut shell = command.spawn().expect("/bin/sh starts");
        let lines = shell.stdin.take();
        let answers = BufReader::new(shell.stdout.take().unwrap());
        let mut keeper = Self {
            folder: PathBuf::new(),
            account,
            shell,
            lines,
            answers,
        };
        let folder = keeper.answer().unwrap_or_else(|| {
            panic!("no folder can be made in {}", place.display());
        });
        keeper.folder = PathBuf::from(folder);
        keeper
    }

    /// The temporary folder, in which commands run.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Runs one line of shell to its end. The error holds what it printed.
    pub(crate) fn run(&mut self, line: &str) -> Result<(), String> {
        assert!(!line.contains('\n'), "one line at a time");
        let lines = self.lines.as_mut().unwrap();
        let told = writeln!(lines, "{line}").and_then(|()| lines.flush());
        let answer = told.ok().and_then(|()| self.answer());
        match answer.as_deref() {
            Some("0") => Ok(()),
            Some(status) => {
                let printed = fs::read_to_string(self.folder.join("keeper.log")).unwrap_or_default();
                Err(format!("{line}: status {status}\n{printed}"))
            }
            None => Err(format!("{line}: the keeper is gone")),
        }
    }

    /// Writes a file into the folder that only the service can read.
    pub(crate) fn write(&self, name: &str, content: &str) {
        let path = self.folder.join(name);
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        if let Some(account) = self.account {
            chown(&path, Some(account.user), Some(account.group)).unwrap();
        }
    }

    fn answer(&mut self) -> Option<String> {
        let mut line = String::new();
        let read = self.answers.read_line(&mut line).ok()?;
        (read > 0).then(|| line.trim_end().to_owned())
    }
}

impl Drop for ServiceGuard {
    fn drop(&mut self) {
        drop(self.lines.take());
        // Nobody is left to be told; the keeper does what it can.
        drop(self.shell.wait());
    }
}

/// Where files are kept in memory only, if the machine has such a place with room for many databases: making one there
/// takes a fifth of the time.
pub(crate) fn memory() -> Option<PathBuf> {
    const ENOUGH_KIB: u64 = 4 << 20;
    let output = Command::new("df").args(["-Pk", "/dev/shm"]).output().ok()?;
    let table = String::from_utf8(output.stdout).ok()?;
    let available: u64 = table.lines().nth(1)?.split_whitespace().nth(3)?.parse().ok()?;
    (output.status.success() && available >= ENOUGH_KIB).then(|| PathBuf::from("/dev/shm"))
}

/// Random letters and digits, for passwords of services that others on the machine can reach.
pub(crate) fn secret() -> String {
    use std::fmt::Write as _;
    use std::io::Read;
    let mut bytes = [0; 16];
    fs::File::open("/dev/urandom")
        .unwrap()
        .read_exact(&mut bytes)
        .unwrap();
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

/// A port of 127.0.0.1 that is free now, below those that the system gives to outgoing connections: a service that is
/// stopped for a while finds it free again.
pub(crate) fn free_port() -> u16 {
    use std::hash::{BuildHasher, RandomState};
    let random = RandomState::new();
    (0..1000_u32)
        .map(|attempt| 12_000 + u16::try_from(random.hash_one(attempt) % 20_000).unwrap())
        .find(|port| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .expect("a port is free")
}
