//! Nudges: when there is something to pull (N1).

use std::time::Duration;

use futures_util::{Stream, stream};
use hyper::body::Incoming;
use hyper::header::{ACCEPT, HeaderName};

use crate::client::Client;
use crate::error::{Error, Result};
use crate::http::{Failures, Request, next_part};

/// The server says something every 25 s; after so long a silence the connection is taken to be dead.
const SILENCE: Duration = Duration::from_mins(1);
/// An event has at most so many bytes; a server's has about a hundred.
const MOST_EVENT_BYTES: usize = 64 * 1024;
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// Something may have changed: sync.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Nudge {
    /// The user's clock: the stamp of the last change.
    pub clock: i64,
    /// False where the stream was interrupted, and nothing happened meanwhile.
    pub has_changed: bool,
}

impl Client {
    /// Says when there is something to pull, first of all on connect. Connects again by itself; losing or repeating nudges is
    /// harmless, and nothing may rest on them: sync without one, too, when the app is opened and when the network is back.
    ///
    /// The stream ends after an error that does not pass, such as [`Error::LoggedOut`], or an event of more than 64 KiB.
    pub fn nudges(&self) -> impl Stream<Item = Result<Nudge>> + Send + use<> {
        let listening = Listening {
            client: self.clone(),
            stream: None,
            unread: Vec::new(),
            last: None,
        };
        stream::unfold(Some(listening), |listening| async move {
            let mut listening = listening?;
            let nudge = listening.next().await;
            let goes_on = nudge.is_ok();
            Some((nudge, goes_on.then_some(listening)))
        })
    }
}

struct Listening {
    client: Client,
    stream: Option<Incoming>,
    unread: Vec<u8>,
    last: Option<i64>,
}

impl Listening {
    async fn next(&mut self) -> Result<Nudge> {
        let mut failures = 0;
        loop {
            match self.event().await {
                Err(error @ Error::Later { .. }) => {
                    failures += 1;
                    self.stream = None;
                    let wait = self.client.http().backoff(failures);
                    let wait = wait.max(error.after().unwrap_or_default());
                    self.client.settings().platform.pause(wait).await;
                }
                done => return done,
            }
        }
    }

    async fn event(&mut self) -> Result<Nudge> {
        if self.stream.is_none() {
            let mut request = Request::get("/sync/events")
                .streamed()
                .with(ACCEPT, "text/event-stream");
            // Tried again here, for ever.
            request.is_repeatable = false;
            if let Some(last) = self.last {
                request = request.with(LAST_EVENT_ID, last.to_string());
            }
            self.unread.clear();
            let answer = self.client.request(&request, &mut Failures::default()).await?;
            self.stream = answer.stream;
        }
        loop {
            while let Some(end) = self.unread.windows(2).position(|two| two == b"\n\n") {
                let event: Vec<u8> = self.unread.drain(..end + 2).collect();
                if let Some(nudge) = read(&String::from_utf8_lossy(&event)) {
                    self.last = Some(nudge.clock);
                    return Ok(nudge);
                }
            }
            if self.unread.len() > MOST_EVENT_BYTES {
                return Err(Error::NotTheServer("a nudge without an end".into()));
            }
            let stream = self.stream.as_mut().ok_or_else(|| Error::later("no stream"))?;
            let part = next_part(stream, SILENCE).await?;
            self.unread
                .extend(part.ok_or_else(|| Error::later("the stream ended"))?);
        }
    }
}

/// What one event says; none: a comment.
fn read(event: &str) -> Option<Nudge> {
    let field = |name| {
        event
            .lines()
            .find_map(|line| line.strip_prefix(name))
            .map(str::trim)
    };
    Some(Nudge {
        clock: field("id:")?.parse().ok()?,
        has_changed: field("event:")? == "changed",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn n1_events_are_read_and_comments_are_none() {
        let clock = 1_715_000_000_000;
        let changed = format!("event: changed\nid: {clock}\ndata: {{\"clock\": {clock}}}\n\n");
        let nudge = |has_changed| Some(Nudge { clock, has_changed });
        assert_eq!(read(&changed), nudge(true));
        assert_eq!(read(&changed.replace("changed", "unchanged")), nudge(false));
        assert_eq!(read(": heartbeat\n\n"), None);
    }
}
