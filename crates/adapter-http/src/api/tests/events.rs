//! Nudges.

use mosaic_application::nudges::{Nudges, Subscriptions};
use mosaic_domain::Stamp;
use mosaic_ports::{CommitListener as _, MockChangeFeed};

use super::auth::owe_a_password;
use super::site::{HEARTBEAT, Incoming, LISTENERS, user};
use super::*;

impl Site {
    /// One whose user's clock stands at `NOW`.
    async fn with_a_memo() -> Self {
        let site = Self::new().await;
        site.commit().await;
        site
    }

    /// Moves the user's clock.
    async fn commit(&self) {
        self.post("/memos", &json!({"content": ""})).await.assert_ok();
    }

    async fn listen(&self) -> Incoming {
        let mut phone = self.hear(ask("GET", "/sync/events")).await;
        phone.until(&clock(NOW)).await;
        phone
    }

    async fn hear(&self, request: TestRequest) -> Incoming {
        Incoming::of(self.start(request.to_request()).await)
    }
}

/// How an event with that clock ends.
fn clock(clock: i64) -> String {
    format!("data: {{\"clock\": {clock}}}\n\n")
}

#[actix_web::test]
async fn n1_the_clock_is_told_on_connect_and_whenever_it_moves() {
    let site = Site::with_a_memo().await;
    let request = ask("GET", "/api/sync/events").insert_header(("accept-encoding", "gzip, br"));
    let response = site.start(request.to_request()).await;
    assert_eq!(response.status(), 200);
    for (name, value) in [
        ("content-type", Some("text/event-stream")),
        ("cache-control", Some("no-store")),
        ("x-accel-buffering", Some("no")),
        ("content-encoding", None),
    ] {
        let header = response.headers().get(name).map(|value| value.to_str().unwrap());
        assert_eq!(header, value, "{name}");
    }
    let mut phone = Incoming::of(response);
    let first = phone.until(&clock(NOW)).await;
    let retry = first.find("retry: 3000\n").unwrap();
    let event = first.find(&format!("event: changed\nid: {NOW}\n")).unwrap();
    assert!(retry < event, "{first}");
    for moved in [NOW + 1, NOW + 2] {
        site.commit().await;
        let text = phone.until(&clock(moved)).await;
        assert!(text.contains(&format!("event: changed\nid: {moved}\n")), "{text}");
    }
}

#[actix_web::test]
async fn n1_who_knows_the_clock_hears_that_it_is_unchanged() {
    let site = Site::with_a_memo().await;
    let hears = async |id: &str, name: &str| {
        let request = ask("GET", "/sync/events").insert_header(("last-event-id", id));
        let mut phone = site.hear(request).await;
        let first = phone.until(&clock(NOW)).await;
        assert!(
            first.contains(&format!("event: {name}\nid: {NOW}\n")),
            "{id}: {first}"
        );
        phone
    };
    for id in [
        &(NOW - 1).to_string(),
        &(NOW + 1).to_string(),
        "soon",
        "-1",
        "99999999999999999999",
    ] {
        hears(id, "changed").await;
    }
    let mut phone = hears(&NOW.to_string(), "unchanged").await;
    site.commit().await;
    let next = phone.until(&clock(NOW + 1)).await;
    assert!(next.contains("event: changed\n"), "{next}");
}

#[actix_web::test]
async fn n1_a_connection_that_lives_outlasts_the_limits_for_silent_ones() {
    let (keep_alive, head_timeout) = (Duration::from_millis(100), Duration::from_secs(1));
    let mut site = Site::with_a_memo().await;
    site.settings_mut().keep_alive = keep_alive;
    site.settings_mut().head_timeout = head_timeout;
    let mut phone = site.connect().await;
    phone.send("GET", "/sync/events", "", b"").await;
    // The limits and half as long again.
    let heartbeats = (keep_alive + head_timeout).as_millis() / HEARTBEAT.as_millis() * 3 / 2;
    for _ in 0..heartbeats {
        phone.incoming.until(": heartbeat\n\n").await;
    }
    site.commit().await;
    phone.incoming.until(&clock(NOW + 1)).await;
}

#[actix_web::test]
async fn n1_who_hangs_up_listens_no_more_and_only_so_many_do() {
    let site = Site::with_a_memo().await;
    let (phone, tablet) = (site.listen().await, site.listen().await);
    assert_eq!(site.subscriptions.listeners(), LISTENERS);
    let refusal = site
        .get("/sync/events")
        .await
        .assert_is(429, "too_many_listeners");
    assert_eq!(refusal.header("retry-after"), Some("30"));
    drop(phone);
    assert_eq!(site.subscriptions.listeners(), 1);
    let laptop = site.listen().await;
    drop((tablet, laptop));
    assert_eq!(site.subscriptions.listeners(), 0);
}

#[actix_web::test]
async fn n1_the_stream_ends_with_its_login_and_with_the_server() {
    // Nobody tells of it, and a heartbeat finds out.
    for is_over in [true, false] {
        let mut site = Site::with_a_memo().await;
        let deaf = Arc::new(Subscriptions::default());
        site.state_mut().nudges = Nudges::new(deaf, site.stores.feed.clone(), LISTENERS);
        let mut phone = site.listen().await;
        if is_over {
            site.log_out().await;
        } else {
            owe_a_password(&site).await;
        }
        phone.rest().await;
    }

    let site = Site::with_a_memo().await;
    let mut phone = site.listen().await;
    site.subscriptions.close();
    phone.rest().await;
}

#[actix_web::test]
async fn n1_the_stream_ends_at_once_with_its_login() {
    let mut site = Site::with_a_memo().await;
    site.state_mut().heartbeat = Duration::from_hours(1);
    let mut phone = site.listen().await;
    // Another login ends.
    site.subscriptions.logins_ended(user(1));
    site.commit().await;
    phone.until(&clock(NOW + 1)).await;
    site.log_out().await;
    site.subscriptions.committed(user(1), Stamp::clamped(NOW + 2));
    let rest = phone.rest().await;
    assert!(!rest.contains("data"), "{rest}");
}

#[actix_web::test]
async fn n1_a_store_that_fails_ends_the_stream_and_one_that_is_away_is_waited_for() {
    for (failures, failure, ends) in [
        (1, StoreError::Failed as fn(_) -> _, true),
        (3, StoreError::Unavailable, false),
    ] {
        let mut site = Site::new().await;
        let mut left = failures;
        let mut feed = MockChangeFeed::new();
        feed.expect_clock().returning(move |_, _| {
            left -= 1;
            if left >= 0 {
                return Err(failure("broken".into()));
            }
            Ok(Ok(Stamp::clamped(NOW)))
        });
        site.state_mut().nudges = Nudges::new(site.subscriptions.clone(), Arc::new(feed), LISTENERS);
        let mut phone = site.hear(ask("GET", "/sync/events")).await;
        if ends {
            assert_eq!(phone.rest().await, "retry: 3000\n\n");
            assert_eq!(site.subscriptions.listeners(), 0);
        } else {
            let text = phone.until(&clock(NOW)).await;
            assert!(text.contains("event: changed"), "{text}");
        }
    }
}

#[actix_web::test]
async fn the_head_of_an_endless_answer_is_answered_alone() {
    let site = Site::new().await;
    for path in ["/sync/events", "/account/export"] {
        let answer = site.send(ask("HEAD", path)).await.assert_ok();
        assert_eq!(answer.text, "");
    }
    assert_eq!(site.subscriptions.listeners(), 0);
}
