//! Pulls, pushes and nudges.

use std::path::Path;
use std::time::Duration;

use futures_util::StreamExt as _;
use mosaic_domain::MemoId;
use mosaic_domain::entity::Memo;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Device, EPOCH, a_page, each};
use crate::{Error, Nudge};

#[tokio::test]
async fn w6_d1_each_request_says_who_it_is_from_and_what_time_it_is_there() {
    let phone = Device::at(|_, _| None).await;
    phone.attach("a");
    phone.app.sync(|_| {}).await.unwrap_err();
    for request in phone.asked("") {
        let who = format!("x-client-id: {}\r\n", phone.app.client_id());
        assert!(request.contains(&who), "{request}");
        assert!(request.contains("x-client-time: 1715000000000\r\n"), "{request}");
        assert!(
            request.contains("authorization: Bearer first-access\r\n"),
            "{request}"
        );
    }
}

#[tokio::test]
async fn p6_r2_a_pull_says_where_the_last_one_ended_be_it_earlier_than_before() {
    let mut cursors = [9, 7].into_iter();
    let phone = Device::at(move |_, request| {
        let is_pull = request.starts_with("POST /sync/pull");
        is_pull.then(|| a_page(&json!({"cursors": each(&json!(cursors.next().unwrap_or(7)))})))
    })
    .await;
    for _ in 0..3 {
        phone.app.sync(|_| {}).await.unwrap();
    }
    let said = |pull: &String| -> (Value, Value) {
        let body: Value = serde_json::from_str(pull.split_once("\r\n\r\n").unwrap().1).unwrap();
        (body["cursors"].clone(), body["epoch"].clone())
    };
    let said: Vec<_> = phone.asked("POST /sync/pull").iter().map(said).collect();
    let at = |cursor: i64| (each(&json!(cursor)), json!(EPOCH));
    assert_eq!(said, [(json!({}), Value::Null), at(9), at(7)]);
}

/// A device with an edit, and a server that answers it so.
async fn with_an_edit(result: Value) -> Device {
    let answer = json!({"results": {"memo": [result]}, "clock": 6, "serverTime": 5});
    let phone = Device::at(move |_, request| {
        let is_push = request.starts_with("POST /sync/push");
        is_push.then(|| format!("200 OK\r\n\r\n{answer}"))
    })
    .await;
    phone
        .app
        .put(MemoId::new(Uuid::from_u128(1)), &Memo::default())
        .unwrap();
    phone
}

#[tokio::test]
async fn syncs_wait_for_each_other_and_pull_what_a_push_may_have_changed_besides() {
    let phone = with_an_edit(json!({"id": Uuid::from_u128(1), "outcome": "applied", "stamp": 6})).await;
    let (first, second) = tokio::join!(phone.app.sync(|_| {}), phone.app.sync(|_| {}));
    assert_eq!((first.unwrap().pushed, second.unwrap().pushed), (1, 0));
    assert_eq!(phone.asked("POST /sync/push").len(), 1);
    // B3: the answer has no `clockBefore`.
    assert_eq!(phone.asked("POST /sync/pull").len(), 2 + 1);
}

#[tokio::test]
async fn b2_results_of_other_edits_settle_nothing() {
    let phone = with_an_edit(json!({"id": Uuid::from_u128(9), "outcome": "applied", "stamp": 6})).await;
    let error = phone.app.sync(|_| {}).await.unwrap_err();
    assert!(matches!(error, Error::NotTheServer(_)), "{error}");
    assert_eq!(phone.app.status().unwrap().waiting, 1);
}

#[tokio::test]
async fn pages_without_an_end_are_no_pull() {
    let phone = Device::at(|_, _| Some(a_page(&json!({"hasMore": each(&json!(true))})))).await;
    let error = phone.app.sync(|_| {}).await.unwrap_err();
    assert!(matches!(error, Error::NotTheServer(_)), "{error}");
    assert_eq!(phone.asked("POST /sync/pull").len(), 2);
}

#[tokio::test]
async fn failures_are_counted_anew_after_each_page() {
    let mut pulls = 0;
    let phone = Device::at(move |_, _| {
        pulls += 1;
        let page = json!({"cursors": each(&json!(pulls)), "hasMore": each(&json!(pulls < 9))});
        Some(if pulls % 3 == 0 {
            a_page(&page)
        } else {
            "503 Busy".to_owned()
        })
    })
    .await;
    phone.app.sync(|_| {}).await.unwrap();
    assert_eq!(phone.asked("POST /sync/pull").len(), 9);
}

#[tokio::test]
async fn n1_nudges_go_on_where_the_stream_broke_off_and_end_with_one_that_has_no_end() {
    let event = "200 OK\r\n\r\nevent: changed\nid: 7\ndata: {}\n\n";
    let endless = format!("200 OK\r\n\r\n: {}", "x".repeat(100_000));
    let phone = Device::at(move |_, request| {
        let goes_on = request.contains("last-event-id: 7\r\n");
        Some(if goes_on {
            endless.clone()
        } else {
            event.to_owned()
        })
    })
    .await;
    let told = phone.app.nudges().collect::<Vec<_>>();
    let told = tokio::time::timeout(Duration::from_mins(1), told).await.unwrap();
    let [
        Ok(Nudge {
            clock: 7,
            has_changed: true,
        }),
        Err(Error::NotTheServer(_)),
    ] = &told[..]
    else {
        panic!("{told:?}")
    };
}

#[cfg(unix)]
#[tokio::test]
async fn what_is_kept_is_for_nobody_else_to_read() {
    use std::os::unix::fs::PermissionsExt as _;
    let phone = Device::at(|_, _| None).await;
    phone.attach("a");
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    for (name, wanted) in [
        ("diary.db", 0o600),
        ("diary.db-wal", 0o600),
        ("diary.db.files", 0o700),
    ] {
        assert_eq!(mode(&phone.file(name)), wanted, "{name}");
    }
}
