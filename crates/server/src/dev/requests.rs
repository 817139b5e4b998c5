//! What each device sent and got: the last requests, in memory.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use serde::{Serialize, Serializer};
use tokio::sync::watch;

use super::faults::Fault;

/// How many requests are kept.
const KEPT: usize = 200;
/// How many bytes of a body are kept.
const KEPT_BYTES: usize = 16 * 1024;
/// How many bytes of a path are kept.
const KEPT_PATH: usize = 2 * 1024;

/// One request and its answer.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Exchange {
    /// Counts up.
    pub(crate) id: u64,
    /// When it came, by the server's clock, in Unix milliseconds.
    pub(crate) at: i64,
    /// The device, where it named itself.
    pub(crate) client_id: Option<String>,
    /// The method.
    pub(crate) method: String,
    /// The path, without `/api`, or its beginning.
    pub(crate) path: String,
    /// The status of the answer; none before there is one, or where the connection was cut instead.
    pub(crate) status: Option<u16>,
    /// What went wrong, as it was asked for.
    pub(crate) fault: Option<Fault>,
    /// How many bytes the request's body has.
    pub(crate) bytes_in: u64,
    /// How many bytes of the answer's body went out.
    pub(crate) bytes_out: u64,
    /// How long it took, in milliseconds; none while it goes on.
    pub(crate) ms: Option<u64>,
    /// The request's body, or its beginning.
    pub(crate) sent: Text,
    /// The answer's body, or its beginning.
    pub(crate) got: Text,
    #[serde(skip)]
    began: Instant,
}

/// The beginning of a body.
#[derive(Debug, Clone, Default)]
pub(crate) struct Text(Vec<u8>);

impl Text {
    fn add(&mut self, bytes: &[u8]) {
        let room = KEPT_BYTES - self.0.len();
        self.0.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    /// As text; what is none is shown as `\u{fffd}`.
    pub(crate) fn shown(&self) -> String {
        String::from_utf8_lossy(&self.0).into_owned()
    }
}

impl Serialize for Text {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.shown())
    }
}

/// What came, as far as it is known before anything is done about it.
#[derive(Debug)]
pub(super) struct Arrival<'a> {
    pub(super) at: i64,
    pub(super) client_id: Option<&'a str>,
    pub(super) method: &'a str,
    pub(super) path: &'a str,
    pub(super) body: &'a [u8],
    pub(super) fault: &'a Fault,
}

/// The last requests, in the order in which they came.
#[derive(Debug, Default)]
pub(crate) struct Requests {
    kept: Mutex<VecDeque<Exchange>>,
    changed: watch::Sender<u64>,
}

impl Requests {
    fn locked(&self) -> MutexGuard<'_, VecDeque<Exchange>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Those that came after the one with this id.
    pub(crate) fn after(&self, id: u64) -> Vec<Exchange> {
        self.locked().iter().filter(|one| one.id > id).cloned().collect()
    }

    /// Whether there is one like this.
    pub(crate) fn any(&self, is_it: impl Fn(&Exchange) -> bool) -> bool {
        self.locked().iter().any(is_it)
    }

    /// What the last of them comes to that comes to anything.
    pub(crate) fn last_of<T>(&self, found: impl Fn(&Exchange) -> Option<T>) -> Option<T> {
        self.locked().iter().rev().find_map(found)
    }

    /// The id of the last one.
    pub(crate) fn last(&self) -> u64 {
        self.locked().back().map_or(0, |last| last.id)
    }

    /// Becomes another number whenever something about them changes.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// A request came; answers its id.
    pub(super) fn begin(&self, arrival: &Arrival<'_>) -> u64 {
        let mut kept = self.locked();
        let id = kept.back().map_or(0, |last| last.id) + 1;
        if kept.len() == KEPT {
            kept.pop_front();
        }
        let mut sent = Text::default();
        sent.add(arrival.body);
        kept.push_back(Exchange {
            id,
            at: arrival.at,
            client_id: arrival.client_id.map(str::to_owned),
            method: arrival.method.to_owned(),
            path: arrival.path[..arrival.path.floor_char_boundary(KEPT_PATH)].to_owned(),
            status: None,
            fault: (!arrival.fault.is_none()).then(|| arrival.fault.clone()),
            bytes_in: arrival.body.len() as u64,
            bytes_out: 0,
            ms: None,
            sent,
            got: Text::default(),
            began: Instant::now(),
        });
        drop(kept);
        self.changed.send_modify(|count| *count += 1);
        id
    }

    fn change(&self, id: u64, change: impl FnOnce(&mut Exchange)) {
        // The latest are at the back. One that is no longer kept is of no interest.
        if let Some(exchange) = self.locked().iter_mut().rev().find(|one| one.id == id) {
            change(exchange);
        }
        self.changed.send_modify(|count| *count += 1);
    }

    /// It is answered with this status.
    pub(super) fn answered(&self, id: u64, status: u16) {
        self.change(id, |exchange| exchange.status = Some(status));
    }

    /// So much of the answer's body went out.
    pub(super) fn sent(&self, id: u64, bytes: &[u8]) {
        self.change(id, |exchange| {
            exchange.bytes_out += bytes.len() as u64;
            exchange.got.add(bytes);
        });
    }

    /// It is over.
    pub(super) fn end(&self, id: u64) {
        self.change(id, |exchange| {
            let ms = u64::try_from(exchange.began.elapsed().as_millis());
            exchange.ms.get_or_insert(ms.unwrap_or(u64::MAX));
        });
    }
}
