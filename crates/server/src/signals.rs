//! SIGINT, SIGTERM and SIGHUP: please stop.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

/// Hears SIGINT, SIGTERM and SIGHUP, which from then on no longer end the process by themselves. A terminal that is closed
/// sends the last; whoever started the process so that it goes on then (`nohup`) has it ignored.
#[derive(Debug)]
pub(crate) struct StopSignals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Option<Signal>,
}

impl StopSignals {
    /// Begins to hear them. Needs a tokio runtime.
    ///
    /// # Errors
    /// The machine does not let this process hear signals.
    pub(crate) fn listen() -> io::Result<Self> {
        let hangup = (!is_hangup_ignored()).then(|| signal(SignalKind::hangup()));
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: hangup.transpose()?,
        })
    }

    /// Waits for one of them; says which it was.
    pub(crate) async fn received(&mut self) -> &'static str {
        let hangup = async {
            match &mut self.hangup {
                Some(signal) => signal.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
            _ = hangup => "SIGHUP",
        }
    }

    /// Hears them in the background: what is returned becomes true with the first one.
    pub(crate) fn watched(mut self) -> watch::Receiver<bool> {
        let (stopping, watched) = watch::channel(false);
        tokio::spawn(async move {
            self.received().await;
            stopping.send_replace(true);
        });
        watched
    }
}

/// Whether this process was started with SIGHUP ignored. Known on Linux alone; elsewhere it is heard.
fn is_hangup_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    // The first bit is the signal of number 1.
    mask.is_some_and(|mask| mask & 1 == 1)
}
