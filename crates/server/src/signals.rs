//! SIGINT and SIGTERM: please stop.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

/// Hears SIGINT and SIGTERM, which from then on no longer end the process by themselves.
#[derive(Debug)]
pub(crate) struct StopSignals {
    interrupt: Signal,
    terminate: Signal,
}

impl StopSignals {
    /// Begins to hear them. Needs a tokio runtime.
    ///
    /// # Errors
    /// The machine does not let this process hear signals.
    pub(crate) fn listen() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// Waits for one of them; says which it was.
    pub(crate) async fn received(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
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
