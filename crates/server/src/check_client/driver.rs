//! The program that drives the client under test: a line of JSON to it for each thing that its devices are to do, a line back when
//! that is done.

use std::collections::HashMap;
use std::ffi::OsString;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::Failure;

/// How long an answer may take.
const DEADLINE: Duration = Duration::from_mins(1);
/// How much is shown of what a driver says on stderr, in bytes: the end of it.
const SHOWN: usize = 8 * 1024;

/// A driver that runs. It is killed when this is dropped.
#[derive(Debug)]
pub(super) struct Driver {
    process: Child,
    stdin: ChildStdin,
    open: Arc<Mutex<Open>>,
    last: u64,
    stderr: JoinHandle<String>,
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
            .kill_on_drop(true)
            .spawn();
        let name = program.to_string_lossy();
        let mut process = started.map_err(|error| stuck(format!("{name} can not be started: {error}")))?;
        let pipes = (process.stdin.take(), process.stdout.take(), process.stderr.take());
        let (Some(stdin), Some(stdout), Some(stderr)) = pipes else {
            return Err(stuck("the driver has no pipes"));
        };
        let open = Arc::new(Mutex::new(Open::default()));
        tokio::spawn(hear(stdout, Arc::clone(&open)));
        let stderr = tokio::spawn(end_of(stderr));
        Ok(Self {
            process,
            stdin,
            open,
            last: 0,
            stderr,
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
        let _ = self.stdin.write_all(line.as_bytes()).await;
        if locked(&self.open).over.is_some() {
            locked(&self.open).asked.clear();
        }
        Ok(Doing {
            what,
            answer,
            open: Arc::clone(&self.open),
        })
    }

    /// Ends it; answers what it said on stderr.
    pub(super) async fn end(mut self) -> String {
        drop(self.stdin);
        // A driver ends with its input; one that does not is killed.
        if tokio::time::timeout(Duration::from_secs(2), self.process.wait())
            .await
            .is_err()
        {
            let _ = self.process.kill().await;
        }
        self.stderr.await.unwrap_or_default()
    }
}

impl Doing {
    /// Waits until it is done: what was answered, or how it failed, in the client's words.
    pub(super) async fn done(&mut self) -> Result<Result<Value, String>, Failure> {
        let what = &self.what;
        let Ok(answer) = tokio::time::timeout(DEADLINE, &mut self.answer).await else {
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

fn locked(open: &Mutex<Open>) -> std::sync::MutexGuard<'_, Open> {
    open.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Gives each answer to whoever waits for it.
async fn hear(stdout: impl AsyncRead + Unpin, open: Arc<Mutex<Open>>) {
    let mut lines = BufReader::new(stdout).lines();
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
            Ok(None) => break "it ended".to_owned(),
            Err(error) => break format!("its output can not be read: {error}"),
        }
    };
    let mut open = locked(&open);
    open.over = Some(over);
    open.asked.clear();
}

async fn end_of(mut stderr: impl AsyncRead + Unpin) -> String {
    let (mut said, mut piece) = (Vec::new(), [0; 4096]);
    while let Ok(read @ 1..) = stderr.read(&mut piece).await {
        said.extend_from_slice(&piece[..read]);
        said.drain(..said.len().saturating_sub(SHOWN));
    }
    String::from_utf8_lossy(&said).into_owned()
}
