//! What the handlers work with: the use cases, built by the binary and shared by all workers.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use mosaic_application::accounts::Accounts;
use mosaic_application::activity::Trail;
use mosaic_application::attachments::Attachments;
use mosaic_application::bots::Bots;
use mosaic_application::devices::Devices;
use mosaic_application::diaries::Diaries;
use mosaic_application::export::Export;
use mosaic_application::memos::Memos;
use mosaic_application::nudges::Nudges;
use mosaic_application::pull::Pull;
use mosaic_application::push::Push;
use mosaic_application::records::Records;
use mosaic_application::sessions::Sessions;
use mosaic_application::uploads::Uploads;
use mosaic_ports::{Clock, Health, IdGenerator};

use crate::figures::HttpFigures;
use crate::limits::LoginBudgets;

/// The use cases and the few ports that the edge itself needs.
#[derive(Clone)]
pub struct AppState {
    /// What changed since a device's cursors.
    pub pull: Pull,
    /// Many edits in one request.
    pub push: Push,
    /// What the devices of a user hold, and forgetting one.
    pub devices: Devices,
    /// Who is told that there is something to pull.
    pub nudges: Nudges,
    /// Everything of one user, as lines of JSON.
    pub export: Export,
    /// The road that all entity types share.
    pub records: Records,
    /// What memos have besides.
    pub memos: Memos,
    /// What diaries have besides.
    pub diaries: Diaries,
    /// What bots have besides.
    pub bots: Bots,
    /// The bytes behind resources.
    pub attachments: Attachments,
    /// Uploads that take several requests.
    pub uploads: Uploads,
    /// How files come and go.
    pub downloads: DownloadSettings,
    /// Logins and accounts.
    pub accounts: Accounts,
    /// What happened to accounts.
    pub trail: Trail,
    /// Who a request comes from.
    pub sessions: Sessions,
    /// Whether the store can work.
    pub health: Arc<dyn Health>,
    /// When requests arrive (W6).
    pub clock: Arc<dyn Clock>,
    /// Request ids.
    pub ids: Arc<dyn IdGenerator>,
    /// What is counted of requests and their answers.
    pub figures: HttpFigures,
    /// How often somebody may try to log in.
    pub login_budgets: LoginBudgets,
    /// Where people reach the server, without a slash at the end, if its configuration says so.
    pub public_url: Option<Arc<str>>,
    /// How often a connection that listens for nudges hears that it still does.
    pub heartbeat: Duration,
}

/// How files come and go on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DownloadSettings {
    /// Downloads are sent to an address in the storage that works for so long, where the storage has such addresses. `None`:
    /// their bytes go through the server.
    pub redirect_for: Option<Duration>,
    /// A request that brings a file, and no more bytes of it for so long, is given up.
    pub upload_idle: Duration,
    /// How long the address of a direct upload works.
    pub direct_for: Duration,
}

impl Default for DownloadSettings {
    fn default() -> Self {
        Self {
            redirect_for: None,
            upload_idle: Duration::from_mins(1),
            direct_for: Duration::from_hours(1),
        }
    }
}

impl fmt::Debug for AppState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AppState")
    }
}
