//! Nudges (N1): the stream says that there is something to pull, to whom it concerns, and nothing else.

use std::time::{Duration, Instant};

use reqwest::{Method, RequestBuilder, Response};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::harness::{ADMIN_PASSWORD, Client, Server, Signal};
use crate::kinds::{KINDS, MEMO, T};

/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(30);

/// A connection that listens.
struct Stream {
    response: Response,
    unread: String,
    /// Everything that came, as it came.
    heard: String,
}

/// One event, or a comment.
#[derive(Debug, Default, PartialEq)]
struct Event {
    name: String,
    id: String,
    data: Value,
    retry: Option<u64>,
    comment: Option<String>,
}

impl Event {
    fn parse(block: &str) -> Self {
        let mut event = Self::default();
        for line in block.lines() {
            let (field, value) = line.split_once(':').unwrap_or((line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match field {
                "event" => value.clone_into(&mut event.name),
                "id" => value.clone_into(&mut event.id),
                "data" => event.data = serde_json::from_str(value).expect("JSON"),
                "retry" => event.retry = Some(value.parse().expect("milliseconds")),
                "" => event.comment = Some(value.to_owned()),
                _ => panic!("no such field: {line}"),
            }
        }
        event
    }
}

impl Stream {
    async fn of(request: RequestBuilder) -> Self {
        let response = timeout(PATIENCE, request.send()).await.expect("in time");
        let response = response.expect("an answer");
        assert_eq!(response.status(), 200);
        Self {
            response,
            unread: String::new(),
            heard: String::new(),
        }
    }

    async fn open(client: &Client) -> Self {
        Self::of(client.request(Method::GET, "/sync/events")).await
    }

    /// The next block of lines, or `None` at the end of the stream.
    async fn block(&mut self) -> Option<Event> {
        loop {
            if let Some((block, rest)) = self.unread.split_once("\n\n") {
                let event = Event::parse(block);
                self.unread = rest.into();
                return Some(event);
            }
            let chunk = timeout(PATIENCE, self.response.chunk()).await.expect("in time");
            // A connection that breaks is an end, too.
            let chunk = chunk.unwrap_or_default()?;
            let text = std::str::from_utf8(&chunk).expect("UTF-8");
            self.unread.push_str(text);
            self.heard.push_str(text);
        }
    }

    /// The next event, past comments and what else is no event.
    async fn event(&mut self) -> Event {
        loop {
            let event = self.block().await.expect("an event before the end");
            if !event.name.is_empty() {
                return event;
            }
        }
    }

    /// The clock of the next event, which must say that something changed.
    async fn changed(&mut self) -> i64 {
        let event = self.event().await;
        assert_eq!(event.name, "changed", "{event:?}");
        let clock = event.data["clock"].as_i64().expect("a clock");
        assert_eq!(event.data, json!({"clock": clock}), "nothing but the clock");
        assert_eq!(event.id, clock.to_string());
        clock
    }

    /// Reads to the end of the stream; returns the names of the events that came before.
    async fn end(&mut self) -> Vec<String> {
        let mut names = Vec::new();
        while let Some(event) = self.block().await {
            if !event.name.is_empty() {
                names.push(event.name);
            }
        }
        names
    }
}

/// What a login of `admin` answers.
async fn login(server: &Server, device: &str) -> Value {
    let body = json!({"username": "admin", "password": ADMIN_PASSWORD, "clientId": device});
    server.anonymous().post("/auth/login", &body).await.ok()
}

/// Asks until a stream is let in: that another one was left is found out in time.
async fn open_once_there_is_room(client: &Client) -> Stream {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let answer = client
            .request(Method::GET, "/sync/events")
            .send()
            .await
            .expect("an answer");
        if answer.status() == 200 {
            return Stream {
                response: answer,
                unread: String::new(),
                heard: String::new(),
            };
        }
        assert_eq!(answer.status(), 429);
        assert!(Instant::now() < deadline, "there is no room");
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn n1_the_clock_is_told_at_once_and_after_every_commit() {
    let server = Server::start();
    let phone = server.device("phone").await;
    MEMO.create(&phone, 999, "before", &json!({})).await.ok();
    let mut tablet = Stream::open(&server.device("tablet").await).await;
    let first = tablet.block().await.expect("the beginning");
    let retry = match first.retry {
        Some(retry) => {
            // The interval may come with the first event or before it.
            if first.name.is_empty() {
                assert_eq!(tablet.changed().await, phone.clock().await);
            } else {
                assert_eq!(first.data["clock"], json!(phone.clock().await));
            }
            retry
        }
        None => panic!("no retry in {first:?}"),
    };
    assert!((100..=600_000).contains(&retry), "{retry}");
    for kind in KINDS {
        kind.create(&phone, 1, "one", &json!({})).await.ok();
        assert_eq!(tablet.changed().await, phone.clock().await, "a create");
        kind.edit(&phone, 1, "two", &json!({})).await.ok();
        assert_eq!(tablet.changed().await, phone.clock().await, "an edit");
        kind.delete(&phone, 1, None).await.ok();
        assert_eq!(tablet.changed().await, phone.clock().await, "a delete");
        let records: Vec<Value> = (2..100).map(|n| kind.record(n, "one", &json!({}))).collect();
        let pushed = phone.push(&kind.updates(&records)).await.ok();
        assert_eq!(
            json!(tablet.changed().await),
            pushed["clock"],
            "a push is one commit"
        );
        let one = kind.revisions(&phone, 1).await[0].clone();
        let path = format!(
            "{}/revisions/{}/restore",
            kind.path(1),
            one["id"].as_str().unwrap()
        );
        phone.post(&path, &json!({})).await.ok();
        assert_eq!(tablet.changed().await, phone.clock().await, "a restore");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn n1_every_device_that_listens_hears_it_also_the_one_that_wrote() {
    let server = Server::start();
    let phone = server.device("phone").await;
    let mut streams = Vec::new();
    for device in ["phone", "tablet", "laptop"] {
        let mut stream = Stream::open(&phone.on(device)).await;
        stream.event().await;
        streams.push(stream);
    }
    MEMO.create(&phone, 1, "one", &json!({})).await.ok();
    let clock = phone.clock().await;
    for stream in &mut streams {
        assert_eq!(stream.changed().await, clock);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn n1_what_changes_nothing_is_not_heard() {
    let server = Server::start();
    let phone = server.device("phone").await;
    let mut stream = Stream::open(&phone).await;
    stream.event().await;
    for kind in KINDS {
        let time = json!({"updatedAt": T + 10});
        kind.create(&phone, 1, "one", &time).await.ok();
        stream.changed().await;
        // A replay, an edit that loses, a refused one, a rejected one, a pull.
        kind.create(&phone, 1, "one", &time).await.ok();
        let lost = kind.edit(&phone, 1, "lost", &json!({"updatedAt": T})).await;
        lost.problem(409, "superseded");
        let null = kind.create(&phone, 2, "a\0", &json!({})).await;
        null.invalid(kind.text, "nul");
        let rejected = kind.record(3, "a\0", &json!({}));
        let again = kind.record(1, "one", &time);
        phone.push(&kind.updates(&[rejected, again])).await.ok();
        phone.everything().await;
        kind.edit(&phone, 1, "two", &json!({})).await.ok();
        assert_eq!(stream.changed().await, phone.clock().await, "{}", kind.name);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn n1_commits_of_other_users_are_not_heard() {
    let server = Server::start();
    let anna = server.new_user("anna", "phone").await;
    let bert = server.new_user("bert", "phone").await;
    let mut hers = Stream::open(&anna).await;
    let mut his = Stream::open(&bert).await;
    let began = (anna.clock().await, bert.clock().await);
    assert_eq!((hers.changed().await, his.changed().await), began);
    for kind in KINDS {
        for n in 1..4 {
            kind.create(&bert, n, "his", &json!({})).await.ok();
            assert_eq!(his.changed().await, bert.clock().await);
        }
        kind.create(&anna, 1, "hers", &json!({})).await.ok();
        assert_eq!(
            hers.changed().await,
            anna.clock().await,
            "the next thing that she hears"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn n1_heartbeats_come_while_nothing_happens() {
    let server = Server::start_with(&["--events-heartbeat-ms", "1000"]);
    let phone = server.device("phone").await;
    let mut stream = Stream::open(&phone).await;
    stream.event().await;
    for _ in 0..2 {
        let heartbeat = stream.block().await.expect("a heartbeat");
        assert!(heartbeat.comment.is_some(), "{heartbeat:?}");
        assert_eq!(heartbeat.name, "");
    }
    MEMO.create(&phone, 1, "one", &json!({})).await.ok();
    assert_eq!(stream.changed().await, phone.clock().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn n1_so_many_of_one_user_listen_and_no_more() {
    let server = Server::start_with(&["--events-max-per-user", "2", "--events-heartbeat-ms", "1000"]);
    let anna = server.new_user("anna", "phone").await;
    let bert = server.new_user("bert", "phone").await;
    let mut first = Stream::open(&anna).await;
    let second = Stream::open(&anna.on("tablet")).await;
    for client in [&anna, &anna.on("third")] {
        let refused = client.get("/sync/events").await;
        let wait = refused.headers["retry-after"].to_str().unwrap().to_owned();
        assert!(wait.parse::<u32>().unwrap() >= 1, "{wait}");
        refused.problem(429, "too_many_listeners");
    }
    Stream::open(&bert).await.event().await;
    first.event().await;
    drop(second);
    let mut third = open_once_there_is_room(&anna).await;
    third.event().await;
    MEMO.create(&anna, 1, "one", &json!({})).await.ok();
    let clock = anna.clock().await;
    assert_eq!((first.changed().await, third.changed().await), (clock, clock));
}

#[tokio::test(flavor = "multi_thread")]
async fn n1_a_stream_ends_at_once_when_its_login_ends_and_others_go_on() {
    let server = Server::start_with(&["--events-heartbeat-ms", "3600000"]);
    let phone = server.device("phone").await;
    let tablet = login(&server, "tablet").await;
    let mut leaving = Stream::open(&phone.with_token(tablet["accessToken"].as_str())).await;
    let laptop = server.device("laptop").await;
    let mut forgotten = Stream::open(&laptop).await;
    let mut staying = Stream::open(&phone).await;
    for stream in [&mut leaving, &mut forgotten, &mut staying] {
        stream.event().await;
    }
    let logout = json!({"refreshToken": tablet["refreshToken"]});
    assert_eq!(phone.post("/auth/logout", &logout).await.status, 204);
    assert_eq!(phone.delete("/devices/laptop").await.status, 204);
    assert_eq!(leaving.end().await, <[&str; 0]>::default());
    assert_eq!(forgotten.end().await, <[&str; 0]>::default());
    MEMO.create(&phone, 1, "one", &json!({})).await.ok();
    assert_eq!(staying.changed().await, phone.clock().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn n1_an_event_is_not_told_to_a_login_that_has_ended() {
    let server = Server::start();
    let phone = server.device("phone").await;
    let tablet = login(&server, "tablet").await;
    let mut leaving = Stream::open(&phone.with_token(tablet["accessToken"].as_str())).await;
    leaving.event().await;
    let logout = json!({"refreshToken": tablet["refreshToken"]});
    assert_eq!(phone.post("/auth/logout", &logout).await.status, 204);
    // Long before the next heartbeat.
    MEMO.create(&phone, 1, "one", &json!({})).await.ok();
    assert_eq!(leaving.end().await, <[&str; 0]>::default());
}

#[tokio::test(flavor = "multi_thread")]
async fn n1_a_stream_ends_at_once_when_its_account_is_closed_or_removed() {
    let server = Server::start_with(&["--events-heartbeat-ms", "3600000"]);
    let admin = server.device("admin").await;
    let (anna, bert) = (
        server.new_user("anna", "phone").await,
        server.new_user("bert", "phone").await,
    );
    let mut of_admin = Stream::open(&admin).await;
    of_admin.event().await;
    for (client, removed) in [(anna, false), (bert, true)] {
        let mut stream = Stream::open(&client).await;
        stream.event().await;
        let me = client.get("/auth/me").await.ok();
        let account = format!("/admin/users/{}", me["id"].as_str().unwrap());
        if removed {
            assert_eq!(admin.delete(&account).await.status, 204);
        } else {
            admin.patch(&account, &json!({"disabled": true})).await.ok();
        }
        assert_eq!(stream.end().await, <[&str; 0]>::default());
    }
    MEMO.create(&admin, 1, "one", &json!({})).await.ok();
    assert_eq!(of_admin.changed().await, admin.clock().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn n1_a_stream_ends_when_its_token_expires() {
    let flags = [
        "--events-heartbeat-ms",
        "1000",
        "--auth-access-token-ttl-ms",
        "2000",
    ];
    let server = Server::start_with(&flags);
    let phone = server.device("phone").await;
    let mut stream = Stream::open(&phone).await;
    stream.event().await;
    assert_eq!(stream.end().await, <[&str; 0]>::default());
    phone.get("/sync/events").await.problem(401, "token_expired");
}

#[tokio::test(flavor = "multi_thread")]
async fn n1_nobody_listens_without_a_login() {
    let server = Server::start();
    let anonymous = server.anonymous();
    anonymous
        .get("/sync/events")
        .await
        .problem(401, "unauthenticated");
    let forger = anonymous.with_token(Some("v4.local.AAAA"));
    forger.get("/sync/events").await.problem(401, "invalid_token");
}

#[tokio::test(flavor = "multi_thread")]
async fn n1_a_server_that_is_stopped_ends_its_streams_and_exits_with_0_at_once() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut server = Server::start();
        let phone = server.device("phone").await;
        let mut streams = Vec::new();
        for _ in 0..5 {
            let mut stream = Stream::open(&phone).await;
            stream.event().await;
            streams.push(stream);
        }
        // One that nobody reads from.
        let unread = Stream::open(&phone).await;
        let told = Instant::now();
        server.signal(signal);
        for stream in &mut streams {
            assert_eq!(stream.end().await, <[&str; 0]>::default());
        }
        let (status, log) = tokio::task::spawn_blocking(move || server.wait())
            .await
            .expect("its end");
        assert_eq!(status.code(), Some(0), "{log}");
        // Requests in flight would be given 30 seconds.
        assert!(told.elapsed() < Duration::from_secs(10), "{:?}", told.elapsed());
        drop(unread);
    }
}
