//! What is to go wrong with the next requests.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hyper::Method;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::time::timeout;

/// The most rules at a time.
const MOST_RULES: usize = 100;
/// The longest that a request is delayed, or an answer held, in milliseconds.
const LONGEST_DELAY_MS: u64 = 600_000;
/// The longest `on`, in bytes.
const LONGEST_ON: usize = 512;
/// The longest `clientId` and `code`, in bytes.
const LONGEST_NAME: usize = 256;

/// Why there is no such rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RuleError {
    /// Something is wrong with it.
    #[error("{0}")]
    Invalid(&'static str),
    /// There are as many as there may be.
    #[error("there are {MOST_RULES} rules already: remove them with DELETE /dev/faults")]
    TooMany,
}

/// Which requests a fault is for.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Rule {
    /// Method and path, without `/api`: `POST /sync/push`. `*` stands for any method, and at the end of a path for any rest.
    pub(crate) on: String,
    /// Only requests of this device.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) client_id: Option<String>,
    /// How many of them pass first.
    #[serde(default)]
    pub(crate) skip: u32,
    /// For how many it is then.
    #[serde(default = "once")]
    pub(crate) times: u32,
    /// What goes wrong.
    pub(crate) fault: Fault,
}

fn once() -> u32 {
    1
}

/// What goes wrong. Several things may go together.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct Fault {
    /// The request waits so long before anything is done with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) delay_ms: Option<u64>,
    /// The server's clock moves so far before the request is carried out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) advance_ms: Option<i64>,
    /// It is answered with this status, and not carried out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) status: Option<u16>,
    /// With `status`: the code of the problem. Without one the answer is none of this server's, as a proxy between would give it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) code: Option<String>,
    /// With `status`: `Retry-After`, rounded up to seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) retry_after_ms: Option<u64>,
    /// It is carried out, and its answer kept back until the rules are removed.
    #[serde(skip_serializing_if = "is_false")]
    pub(crate) hold: bool,
    /// It is carried out, and the connection cut without an answer.
    #[serde(skip_serializing_if = "is_false")]
    pub(crate) drop_answer: bool,
    /// The connection is cut after so many bytes of the answer's body.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cut_at_byte: Option<u64>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for this form")]
fn is_false(value: &bool) -> bool {
    !value
}

impl Fault {
    /// Whether nothing goes wrong.
    pub(super) fn is_none(&self) -> bool {
        *self == Self::default()
    }

    /// How long the request waits first.
    pub(super) fn delay(&self) -> Duration {
        Duration::from_millis(self.delay_ms.unwrap_or(0))
    }
}

impl Rule {
    /// What is wrong with it.
    fn flaw(&self) -> Option<&'static str> {
        let fault = &self.fault;
        let is_on = self
            .on
            .split_once(' ')
            .is_some_and(|(_, path)| path == "*" || path.starts_with('/'));
        let is_status = fault.status.is_none_or(|status| (400..600).contains(&status));
        let is_long = |name: &Option<String>| name.as_ref().is_some_and(|name| name.len() > LONGEST_NAME);
        let flaws = [
            (self.on.len() > LONGEST_ON, "`on` must have at most 512 bytes"),
            (
                is_long(&self.client_id) || is_long(&fault.code),
                "`clientId` and `code` must have at most 256 bytes",
            ),
            (!is_on, "`on` must be a method and a path, like POST /sync/push"),
            (self.times == 0, "`times` must be at least 1"),
            (fault.is_none(), "`fault` says of nothing that it goes wrong"),
            (!is_status, "`status` must be between 400 and 599"),
            (
                fault.status.is_none() && (fault.code.is_some() || fault.retry_after_ms.is_some()),
                "`code` and `retryAfterMs` go with `status`",
            ),
            (
                fault.delay_ms.is_some_and(|ms| ms > LONGEST_DELAY_MS),
                "`delayMs` must be at most 600000",
            ),
        ];
        flaws.iter().find(|(is_so, _)| *is_so).map(|(_, flaw)| *flaw)
    }

    fn is_for(&self, method: &Method, path: &str, client: Option<&str>) -> bool {
        let (on_method, on_path) = self.on.split_once(' ').unwrap_or_default();
        let is_path = on_path
            .strip_suffix('*')
            .map_or(on_path == path, |start| path.starts_with(start));
        let is_method = on_method == "*" || on_method.eq_ignore_ascii_case(method.as_str());
        is_method && is_path && self.client_id.as_deref().is_none_or(|id| Some(id) == client)
    }
}

/// What becomes of one request.
#[derive(Debug)]
pub(super) struct Struck {
    /// What goes wrong; most often nothing does.
    pub(super) fault: Fault,
    released: watch::Receiver<()>,
}

impl Struck {
    /// Where the answer is held, waits until the rules are removed.
    pub(super) async fn released(&mut self) {
        if self.fault.hold {
            // That the sender is gone ends it as well.
            let _ = timeout(Duration::from_millis(LONGEST_DELAY_MS), self.released.changed()).await;
        }
    }
}

/// The rules, first come first served.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    rules: Mutex<Vec<Rule>>,
    release: watch::Sender<()>,
}

impl Faults {
    fn locked(&self) -> MutexGuard<'_, Vec<Rule>> {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One more rule.
    ///
    /// # Errors
    /// [`RuleError`].
    pub(crate) fn add(&self, rule: Rule) -> Result<(), RuleError> {
        if let Some(flaw) = rule.flaw() {
            return Err(RuleError::Invalid(flaw));
        }
        let mut rules = self.locked();
        if rules.len() >= MOST_RULES {
            return Err(RuleError::TooMany);
        }
        rules.push(rule);
        Ok(())
    }

    /// The rules that are left, with how often they are.
    pub(crate) fn all(&self) -> Vec<Rule> {
        self.locked().clone()
    }

    /// Removes all rules, and lets go the answers that are held.
    pub(crate) fn clear(&self) {
        self.locked().clear();
        self.release.send_replace(());
    }

    /// Nothing goes wrong, whatever the rules are.
    pub(super) fn spare(&self) -> Struck {
        let (fault, released) = (Fault::default(), self.release.subscribe());
        Struck { fault, released }
    }

    /// What goes wrong with this request.
    pub(super) fn strike(&self, method: &Method, path: &str, client: Option<&str>) -> Struck {
        let mut rules = self.locked();
        let mut fault = Fault::default();
        for (index, rule) in rules.iter_mut().enumerate() {
            if !rule.is_for(method, path, client) {
                continue;
            }
            if rule.skip > 0 {
                rule.skip -= 1;
                continue;
            }
            fault = rule.fault.clone();
            rule.times -= 1;
            if rule.times == 0 {
                rules.remove(index);
            }
            break;
        }
        // Under the lock: whoever removes the rules from now on releases this one.
        let released = self.release.subscribe();
        Struck { fault, released }
    }
}
