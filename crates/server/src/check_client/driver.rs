//! The program that drives the client under test: a line of JSON to it for each thing that its devices are to do, a line back when
//! that is done.

use std::collections::HashMap;
use std::ffi::OsString;
use std::process::Stdio;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::Failure;

/// How long an answer may take.
const DEADLINE: Duration = Duration::from_mins(1);
/// How long a driver may take to end when its input has ended, and its output when it was killed.
const PATIENCE: Duration = Duration::from_secs(2);
/// How much a driver may write on stdout, in bytes.
const MOST_WRITTEN: u64 = 256 * 1024 * 1024;
/// How much is shown of what a driver says on stderr, in bytes: the end of it.
const SHOWN: usize = 8 * 1024;

/// A driver that runs. It is killed when this is dropped, with all that it started.
#[derive(Debug)]
pub(super) struct Driver {
    process: Child,
    stdin: ChildStdin,
    open: Arc<Mutex<Open>>,
    last: u64,
    said: Arc<Mutex<Vec<u8>>>,
    outputs: JoinSet<()>,
    group: Group,
}

/// The processes of a driver: the one that was started may be a shell, or a launcher, with the driver below it.
#[derive(Debug)]
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(leader) = self.0 {
            // Where none of them is left, there is nothing to do. Ids are given in turn: nobody else has this one so soon.
            let _ = kill_process_group(leader, Signal::KILL);
        }
    }
}

/// What was asked and is not answered.
#[derive(Debug, Default)]
struct Open {
    asked: HashMap<u64, oneshot::Sender<Value>>,
    /// Why nothing will be answered any more.
    over: Option<String>,
}

/// Something that the driver is doing.
#[derive(Debug)]
pub(super) struct Doing {
    what: String,
    answer: oneshot::Receiver<Value>,
    open: Arc<Mutex<Open>>,
}

fn stuck(what: impl Into<String>) -> Failure {
    Failure::Stuck(what.into())
}

impl Driver {
    /// Starts it.
    pub(super) fn start(command: &[OsString]) -> Result<Self, Failure> {
        let (program, args) = command
            .split_first()
            .ok_or_else(|| stuck("there is no command"))?;
        let started = Command::new(program)
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn();
        let name = program.to_string_lossy();
        let mut process = started.map_err(|error| stuck(format!("{name} can not be started: {error}")))?;
        let leader = process.id().and_then(|id| Pid::from_raw(id.try_into().ok()?));
        let group = Group(leader);
        let pipes = (process.stdin.take(), process.stdout.take(), process.stderr.take());
        let (Some(stdin), Some(stdout), Some(stderr)) = pipes else {
            return Err(stuck("the driver has no pipes"));
        };
        let open = Arc::<Mutex<Open>>::default();
        let said = Arc::<Mutex<Vec<u8>>>::default();
        let mut outputs = JoinSet::new();
        outputs.spawn(hear(stdout, Arc::clone(&open)));
        outputs.spawn(keep_end(stderr, Arc::clone(&said)));
        Ok(Self {
            process,
            stdin,
            open,
            last: 0,
            said,
            outputs,
            group,
        })
    }

    /// Has it begin with something; it may do several things at a time.
    pub(super) async fn begin(&mut self, mut request: Value) -> Result<Doing, Failure> {
        self.last += 1;
        request["id"] = self.last.into();
        let what = request["do"].as_str().unwrap_or_default().to_owned();
        let (sender, answer) = oneshot::channel();
        locked(&self.open).asked.insert(self.last, sender);
        let line = format!("{request}\n");
        // Where it has ended, there is no answer, and that says more.
        let _ = timeout(DEADLINE, self.stdin.write_all(line.as_bytes())).await;
        if locked(&self.open).over.is_some() {
            locked(&self.open).asked.clear();
        }
        Ok(Doing {
            what,
            answer,
            open: Arc::clone(&self.open),
        })
    }

    /// Ends it, and all that it started; answers what it said on stderr.
    pub(super) async fn end(self) -> String {
        let Self {
            mut process,
            stdin,
            said,
            outputs,
            group,
            ..
        } = self;
        drop(stdin);
        // A driver ends with its input; one that does not is killed.
        let _ = timeout(PATIENCE, process.wait()).await;
        drop(group);
        let _ = timeout(PATIENCE, process.wait()).await;
        // What has left the group may hold the pipes for as long as it likes.
        let _ = timeout(PATIENCE, outputs.join_all()).await;
        String::from_utf8_lossy(&locked(&said)).into_owned()
    }
}

impl Doing {
    /// Waits until it is done: what was answered, or how it failed, in the client's words.
    pub(super) async fn done(&mut self) -> Result<Result<Value, String>, Failure> {
        let what = &self.what;
        let Ok(answer) = timeout(DEADLINE, &mut self.answer).await else {
            let seconds = DEADLINE.as_secs();
            return Err(stuck(format!(
                "the driver did not answer `{what}` within {seconds} seconds"
            )));
        };
        let Ok(answer) = answer else {
            let why = locked(&self.open).over.clone().unwrap_or_default();
            return Err(stuck(format!("the driver did not answer `{what}`: {why}")));
        };
        if answer["unsupported"] == true {
            return Err(Failure::Unsupported);
        }
        Ok(match &answer["error"] {
            Value::Null => Ok(answer),
            Value::String(error) => Err(error.clone()),
            other => Err(other.to_string()),
        })
    }
}

fn locked<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Gives each answer to whoever waits for it.
async fn hear(stdout: impl AsyncRead + Unpin, open: Arc<Mutex<Open>>) {
    let mut lines = BufReader::new(stdout.take(MOST_WRITTEN)).lines();
    let over = loop {
        match lines.next_line().await {
            Ok(Some(line)) => {
                let answer: Value = serde_json::from_str(&line).unwrap_or_default();
                let asked = answer["id"]
                    .as_u64()
                    .and_then(|id| locked(&open).asked.remove(&id));
                match asked {
                    // Whoever asked may have given up.
                    Some(asked) => drop(asked.send(answer)),
                    None => break format!("it wrote a line that answers nothing: {line}"),
                }
            }
            Ok(None) if lines.get_ref().get_ref().limit() == 0 => {
                break format!("it wrote {MOST_WRITTEN} bytes, which is more than it may");
            }
            Ok(None) => break "it ended".to_owned(),
            Err(error) => break format!("its output can not be read: {error}"),
        }
    };
    let mut open = locked(&open);
    open.over = Some(over);
    open.asked.clear();
}

async fn keep_end(mut stderr: impl AsyncRead + Unpin, said: Arc<Mutex<Vec<u8>>>) {
    let mut piece = [0; 4096];
    while let Ok(read @ 1..) = stderr.read(&mut piece).await {
        let mut said = locked(&said);
        said.extend_from_slice(&piece[..read]);
        let before = said.len().saturating_sub(SHOWN);
        said.drain(..before);
    }
}
