//! `mosaic dev`: a server for those who write apps. It takes any password, its clock can be moved, its answers can be made to
//! fail, it can be set back to an older state, and it shows what each device sent and got.
//!
//! It is the ordinary server over a store in a temporary folder, on a port of its own, and a front that passes every request on
//! to it: what is particular to development is in the front, and `mosaic serve` has nothing of it.

mod answer;
mod body;
mod door;
mod faults;
mod folder;
mod front;
mod machine;
mod recorded;
mod requests;
mod routes;
mod server;

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use mosaic_adapter_sqlite::{BackupError, RestoreError};
use mosaic_application::AppError;

use crate::config::{Config, Sources};
use crate::listen::ListenError;
use crate::signals::StopSignals;
use crate::wiring::WiringError;

pub(crate) use self::faults::{Fault, Rule};
pub(crate) use self::front::Front;
pub(crate) use self::requests::Exchange;
pub(crate) use self::server::DevServer;

/// Why the server for developers did not start, or did not do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DevError {
    /// The address can't be listened on.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// There is no place for a temporary folder, or the server in it can't listen.
    #[error("can not start: {0}")]
    Start(io::Error),
    /// The parts could not be put together.
    #[error(transparent)]
    Wiring(#[from] WiringError),
    /// The first account could not be made.
    #[error("the account admin can not be created: {0}")]
    Admin(#[from] AppError),
    /// Signals can't be heard, so nobody could stop the server in an orderly way.
    #[error("signals can not be heard: {0}")]
    Signals(io::Error),
    /// Somebody wanted it to end.
    #[error("stopped before everything was done")]
    Stopped,
    /// No backup was taken.
    #[error(transparent)]
    Backup(#[from] BackupError),
    /// No backup was restored.
    #[error(transparent)]
    Restore(#[from] RestoreError),
    /// A file in the temporary folder can't be renamed or removed.
    #[error("the temporary folder can not be used: {0}")]
    Folder(io::Error),
    /// A backup or a restoration ended in the middle.
    #[error("it was broken off")]
    BrokenOff(#[source] tokio::task::JoinError),
}

/// What its configuration is made of: flags alone. What the machine's own server is set to plays no part, its store least of all.
pub(crate) fn sources(given: BTreeMap<&'static str, String>) -> Sources {
    let mut flags: BTreeMap<_, _> = [
        ("auth.account_attempts_per_minute", "1000000"),
        ("auth.address_attempts_per_minute", "1000000"),
        ("cors.allowed_origins", "*"),
        ("registration", "open"),
    ]
    .map(|(key, value)| (key, value.to_owned()))
    .into();
    flags.extend(given);
    Sources {
        flags,
        ..Sources::default()
    }
}

/// Serves until SIGINT, SIGTERM or SIGHUP, and forgets everything.
pub(crate) async fn serve(config: &Config, tell: impl Fn(&str)) -> Result<(), DevError> {
    let mut sockets = config.server.listen.bind("http").await?;
    let address = sockets.addresses.join(", ");
    let pages = sockets
        .addresses
        .iter()
        .map(|address| match address.strip_prefix("unix:") {
            None => format!("{address}/dev"),
            Some(_) => format!("/dev at {address}"),
        });
    let pages = pages.collect::<Vec<_>>().join(", ");
    let mut signals = StopSignals::listen().map_err(DevError::Signals)?;
    let dev = Arc::new(DevServer::start(config).await?);
    let front =
        Front::start(Arc::clone(&dev), std::mem::take(&mut sockets.listeners)).map_err(DevError::Start)?;
    tell(&format!(
        "\n  *** NOT FOR PRODUCTION: any password is right, and everything is forgotten at the end. ***\n\n  \
         What devices send and get: {pages}\n\n"
    ));
    tracing::warn!("a server for developers of apps is listening on {address}");
    let name = signals.received().await;
    tracing::info!("{name}: stopping");
    front.stop().await;
    dev.stop().await;
    Ok(())
}
