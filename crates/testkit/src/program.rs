//! A server as a process of its own: started, killed, and its log.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

/// A running `mosaic serve`. It is killed when it goes out of scope.
#[derive(Debug)]
pub struct Program {
    process: Mutex<Child>,
    url: String,
    log: Arc<Mutex<String>>,
    log_reader: Mutex<Option<JoinHandle<()>>>,
}

impl Program {
    /// Starts it and waits until it listens, which it says on its standard error.
    ///
    /// # Panics
    /// If it does not start, or ends before it listens.
    pub fn start(command: &mut Command) -> Self {
        let mut process = command
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let stderr = BufReader::new(process.stderr.take().expect("its stderr"));
        let log = Arc::new(Mutex::new(String::new()));
        let (url, log_reader) = wait_for_address(stderr, &log);
        Self {
            process: Mutex::new(process),
            url,
            log,
            log_reader: Mutex::new(Some(log_reader)),
        }
    }

    /// Where it listens: `http://127.0.0.1:PORT`, or what else it says, of several the first.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        lock(&self.process).id()
    }

    /// What it logged so far.
    pub fn log(&self) -> String {
        lock(&self.log).clone()
    }

    /// Whether it still runs.
    ///
    /// # Panics
    /// If the system does not say.
    pub fn is_running(&self) -> bool {
        let ended = lock(&self.process).try_wait();
        ended.expect("the state of a child").is_none()
    }

    /// Kills it as a crash would (SIGKILL) and waits until it is gone.
    ///
    /// # Panics
    /// If there is none to kill.
    pub fn kill(&self) {
        let mut process = lock(&self.process);
        process.kill().expect("a process to kill");
        process.wait().expect("its end");
    }

    /// Waits for it to end by itself; returns how it ended and everything it logged.
    ///
    /// # Panics
    /// If the system does not say.
    pub fn wait(&self) -> (ExitStatus, String) {
        let status = lock(&self.process).wait().expect("its end");
        if let Some(reader) = lock(&self.log_reader).take() {
            reader.join().expect("the log's reader");
        }
        (status, self.log())
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Already ended where a test waited for it.
        let mut process = lock(&self.process);
        let _ = process.kill();
        let _ = process.wait();
    }
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Reads the log until the line that says where the server listens, then goes on reading on a thread of its own.
fn wait_for_address(
    mut stderr: BufReader<ChildStderr>,
    log: &Arc<Mutex<String>>,
) -> (String, JoinHandle<()>) {
    let url = loop {
        let mut line = String::new();
        let read = stderr.read_line(&mut line).expect("readable stderr");
        assert!(read > 0, "the server ended before it listened:\n{}", lock(log));
        lock(log).push_str(&line);
        if let Some((_, place)) = line.split_once("listening on ") {
            let url: String = place.chars().take_while(|c| !"\" ,}".contains(*c)).collect();
            break url.trim().to_owned();
        }
    };
    let log = Arc::clone(log);
    let reader = std::thread::spawn(move || {
        for line in stderr.lines().map_while(Result::ok) {
            let mut log = lock(&log);
            log.push_str(&line);
            log.push('\n');
        }
    });
    (url, reader)
}
