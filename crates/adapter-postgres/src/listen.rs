//! Hearing of commits on other instances: a connection of its own that does nothing but `LISTEN`.
//!
//! It comes back when it is lost, and says then that commits may have been missed. That it hears anything is not taken for
//! granted: behind a pooler that gives every transaction another connection, `LISTEN` succeeds and nothing ever comes, and
//! a connection whose other end is gone is silent too. So it has questions sent to itself through the pool. While it hears
//! nothing, for whatever reason, the listeners are told every few seconds that they may have missed something, and look for
//! themselves.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::poll_fn;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_postgres::{AsyncMessage, Client};

use crate::commits::{CHANNEL, CommitBroadcaster, random_token};
use crate::connect::ListenSettings;
use crate::error::described;
use crate::payload::{Payload, Token, probe};
use crate::retry::jittered;

/// How long to wait, on average, before a lost connection is made again; twice as long after each failure.
const PAUSE_MIN: Duration = Duration::from_millis(100);
/// The longest of these.
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// How long a question may take to be heard.
const PATIENCE: Duration = Duration::from_secs(3);
/// How often the listeners look for themselves while nothing is heard.
const FALLBACK: Duration = Duration::from_secs(5);
/// How long nothing must be heard before they do.
const FALLBACK_MIN: Duration = Duration::from_secs(1);

/// The one that listens.
pub(crate) struct NotificationListener {
    broadcaster: Arc<CommitBroadcaster>,
    settings: ListenSettings,
    /// When the listeners were last told that they may have missed something.
    missed_at: Mutex<Instant>,
    /// Whether it is known already that nothing is heard.
    is_reported: bool,
}

/// Why a connection is not listened to any more.
enum End {
    /// There was none to be had.
    Refused(mosaic_ports::BoxError),
    /// It was lost.
    Lost,
    /// It is there, and nothing is heard.
    Deaf,
}

impl NotificationListener {
    pub(crate) fn new(broadcaster: Arc<CommitBroadcaster>, settings: ListenSettings) -> Self {
        Self {
            broadcaster,
            settings,
            missed_at: Mutex::new(Instant::now()),
            is_reported: false,
        }
    }

    /// Listens for as long as the store lives.
    pub(crate) async fn keep_listening(mut self) {
        let mut pause = PAUSE_MIN;
        loop {
            let heard = watch::Sender::new(None);
            let end = self.listen(&heard).await;
            self.broadcaster.hears.store(false, Ordering::Relaxed);
            let worked = heard.borrow().is_some();
            if worked {
                self.is_reported = false;
                pause = PAUSE_MIN;
            }
            self.report(&end, worked);
            if matches!(end, End::Deaf) && !worked {
                // Another attempt will hardly fare better.
                self.wait(self.settings.probe_every).await;
            } else {
                self.wait(pause).await;
                pause = (pause * 2).min(PAUSE_MAX);
            }
        }
    }

    /// Makes a connection and listens to it to its end. `heard` holds the latest question that came back.
    async fn listen(&self, heard: &watch::Sender<Option<Token>>) -> End {
        let connecting = self.settings.connector.listening(&self.settings.config);
        let (client, mut connection) = match timeout(self.settings.connect_timeout, connecting).await {
            Ok(Ok(connected)) => connected,
            Ok(Err(error)) => return End::Refused(described(error)),
            Err(late) => return End::Refused(late.into()),
        };
        let mut messages = poll_fn(move |cx| connection.poll_message(cx));
        let hear = async {
            while let Some(Ok(message)) = messages.next().await {
                if let AsyncMessage::Notification(notification) = message {
                    self.hear(notification.payload(), heard);
                }
            }
        };
        tokio::select! {
            () = hear => End::Lost,
            end = self.ask(&client, heard) => end,
        }
    }

    fn hear(&self, payload: &str, heard: &watch::Sender<Option<Token>>) {
        match Payload::read(payload) {
            Some(Payload::Commits(sender, commits)) if sender != self.broadcaster.sender => {
                for (user, clock) in commits {
                    self.broadcaster.tell_listeners(user, clock);
                }
            }
            Some(Payload::LoginsEnded(sender, users)) if sender != self.broadcaster.sender => {
                for user in users {
                    self.broadcaster.tell_ended(user);
                }
            }
            Some(Payload::Probe(token)) => {
                heard.send_replace(Some(token));
            }
            Some(Payload::Commits(..) | Payload::LoginsEnded(..)) | None => {}
        }
    }

    /// Begins to listen, and asks from time to time whether anything is heard.
    async fn ask(&self, client: &Client, heard: &watch::Sender<Option<Token>>) -> End {
        let listen = format!("LISTEN {CHANNEL}");
        let Ok(Ok(())) = timeout(self.settings.connect_timeout, client.batch_execute(&listen)).await else {
            return End::Lost;
        };
        // Whatever was committed while nobody listened.
        self.missed();
        loop {
            let token = random_token();
            // Where nothing can be sent, there is nothing to be heard either.
            let asked = self.broadcaster.notify(&[probe(token)]).await;
            if asked.is_err() {
                sleep(jittered(PAUSE_MAX)).await;
                continue;
            }
            let is_back = |latest: &Option<Token>| *latest == Some(token);
            if timeout(PATIENCE, heard.subscribe().wait_for(is_back))
                .await
                .is_err()
            {
                // A pooler keeps the connection to the server, which need not listen for us any more.
                drop(timeout(PATIENCE, client.batch_execute("UNLISTEN *")).await);
                return End::Deaf;
            }
            self.broadcaster.hears.store(true, Ordering::Relaxed);
            sleep(jittered(self.settings.probe_every)).await;
        }
    }

    /// Says what happened, once for each time that it begins.
    fn report(&mut self, end: &End, worked: bool) {
        if self.is_reported {
            return;
        }
        let database = &self.settings.shown;
        match end {
            End::Lost | End::Deaf if worked => {
                tracing::debug!(%database, "the connection that listens for commits was lost");
                return;
            }
            End::Lost => {
                tracing::warn!(%database, "the connection that listens for commits does not last");
            }
            End::Refused(error) => tracing::warn!(
                %database,
                error = &**error as &dyn std::error::Error,
                "can not listen for the commits of other instances"
            ),
            End::Deaf => tracing::warn!(
                %database,
                "the commits of other instances are not heard, and are looked for every few seconds; does the \
                 connection go through a pooler that gives every transaction another one? Then set a direct URL to \
                 listen at (listen_url)"
            ),
        }
        self.is_reported = true;
    }

    fn missed(&self) {
        *self.missed_at.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        self.broadcaster.missed();
    }

    /// Waits, on average, for so long; meanwhile the listeners look for themselves.
    async fn wait(&self, pause: Duration) {
        let begin = Instant::now();
        let until = begin + jittered(pause);
        loop {
            let missed_at = *self.missed_at.lock().unwrap_or_else(PoisonError::into_inner);
            let look = (missed_at + FALLBACK).max(begin + FALLBACK_MIN);
            sleep_until(until.min(look)).await;
            if until <= look {
                return;
            }
            self.missed();
        }
    }
}
