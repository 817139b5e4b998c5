//! A connection to `GET /sync/events`, as an app reads it (N1).

use std::time::Duration;

use reqwest::{Method, Response};
use serde_json::Value;

use crate::harness::Client;

/// How long an event may take that is on its way.
const SOON: Duration = Duration::from_mins(1);

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// `changed` or `unchanged`.
    pub name: String,
    /// The user's clock.
    pub clock: i64,
}

/// What is read of a stream.
#[derive(Debug)]
pub struct Events {
    response: Response,
    unread: Vec<u8>,
}

impl Events {
    /// Begins to listen; `last` is the id of the latest event that is known.
    pub async fn open(client: &Client, last: Option<i64>) -> Self {
        let mut request = client
            .request(Method::GET, "/sync/events")
            .header("accept", "text/event-stream");
        if let Some(last) = last {
            request = request.header("last-event-id", last.to_string());
        }
        let response = request.send().await.expect("an answer");
        let (status, headers) = (response.status(), response.headers().clone());
        assert!(status.is_success(), "{status} {:?}", response.text().await);
        let media_type = headers["content-type"].to_str().expect("a media type");
        assert!(media_type.starts_with("text/event-stream"), "{media_type}");
        Self {
            response,
            unread: Vec::new(),
        }
    }

    /// The next event; none when the server has ended the stream. Giving up waiting loses nothing.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            while let Some(end) = self.unread.windows(2).position(|two| two == b"\n\n") {
                let block: Vec<u8> = self.unread.drain(..end + 2).collect();
                if let Some(event) = Self::parse(&String::from_utf8(block).expect("UTF-8")) {
                    return Some(event);
                }
            }
            match self.response.chunk().await {
                Ok(Some(bytes)) => self.unread.extend_from_slice(&bytes),
                // A server that was killed ends it otherwise than one that stops.
                Ok(None) | Err(_) => return None,
            }
        }
    }

    /// The next event, which must come soon.
    pub async fn soon(&mut self) -> Event {
        let event = tokio::time::timeout(SOON, self.next())
            .await
            .expect("an event, soon");
        event.expect("a stream that goes on")
    }

    /// Reads until an event has this clock or a later one.
    pub async fn until(&mut self, clock: i64) -> Event {
        loop {
            let event = self.soon().await;
            if event.clock >= clock {
                return event;
            }
        }
    }

    /// Reads until the server ends the stream.
    pub async fn end(mut self) {
        let ended = async { while self.next().await.is_some() {} };
        tokio::time::timeout(SOON, ended).await.expect("an end, soon");
    }

    fn parse(block: &str) -> Option<Event> {
        let field = |name: &str| {
            let lines = block
                .lines()
                .filter_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            lines.map(str::trim).next().map(str::to_owned)
        };
        // Else a comment, or how long to wait before connecting again.
        let name = field("event")?;
        let data: Value = serde_json::from_str(&field("data").expect("data")).expect("JSON");
        let clock = data["clock"].as_i64().expect("a clock");
        assert_eq!(field("id"), Some(clock.to_string()), "{block}");
        assert!(name == "changed" || name == "unchanged", "{block}");
        Some(Event { name, clock })
    }
}
