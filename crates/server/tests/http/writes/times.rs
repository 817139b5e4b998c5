//! Clocks that are wrong, what is left out, and whose edit it is: W6 and W7.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn w6_a_wrong_clock_shifts_edit_times_by_whole_seconds_and_never_createdat() {
    let (_server, phone) = phone().await;
    for (n, off) in [(1, -3_600_000), (2, 3_600_000), (3, -11_000)] {
        for kind in KINDS {
            let device_clock = phone.server_time().await + off;
            let edited = device_clock - 7_123;
            let times = json!({"updatedAt": edited, "createdAt": edited});
            let request = phone.request(reqwest::Method::POST, &kind.create_path(n));
            let request = request
                .header("x-client-time", device_clock)
                .json(&with(&kind.body(n, "skewed"), &times));
            let stored = phone.send(request.try_clone().unwrap()).await.ok();
            let shift = stored["updatedAt"].as_i64().unwrap() - edited;
            assert_eq!(shift, -off, "{} with a clock that is off by {off} ms", kind.name);
            assert_eq!(stored["createdAt"], json!(edited));
            let clock = phone.clock().await;
            assert_eq!(phone.send(request).await.ok(), stored);
            assert_eq!(phone.clock().await, clock, "a retry gets the same time");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn w6_a_clock_that_is_nearly_right_shifts_nothing() {
    let (_server, phone) = phone().await;
    for kind in KINDS {
        let device_clock = phone.server_time().await - 5_000;
        let body = with(&kind.body(1, "one"), &at(device_clock - 7_123));
        let request = phone.request(reqwest::Method::POST, &kind.create_path(1));
        let stored = phone
            .send(request.header("x-client-time", device_clock).json(&body))
            .await
            .ok();
        assert_eq!(stored["updatedAt"], json!(device_clock - 7_123));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn w6_a_clock_that_is_ahead_can_not_win_for_years_and_deletes_are_shifted_too() {
    let (_server, phone) = phone().await;
    let year = 365 * 86_400_000;
    for kind in KINDS {
        kind.create(&phone, 1, "one", &at(T)).await.ok();
        let device_clock = phone.server_time().await + year;
        let path = format!("{}?updatedAt={}", kind.path(1), device_clock - 1_000);
        let request = || phone.request(reqwest::Method::DELETE, &path);
        phone.send(request()).await.problem(422, "edit_time_ahead");
        phone
            .send(request().header("x-client-time", device_clock))
            .await
            .ok();
        let late = kind
            .edit(&phone, 1, "late", &at(T + 1))
            .await
            .problem(409, "superseded");
        assert_eq!(late["current"]["updatedAt"], json!(device_clock - 1_000 - year));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn w7_absent_fields_stay_and_a_put_creates_only_diaries() {
    let (_server, phone) = phone().await;
    for kind in KINDS {
        let before = kind.create(&phone, 1, "one", &at(T)).await.ok();
        assert_eq!(phone.put(&kind.path(1), &json!({})).await.ok(), before);
        let edited = kind.edit(&phone, 1, "two", &at(T + 1)).await.ok();
        let mut expected = with(&before, &json!({kind.text: "two", "updatedAt": T + 1}));
        if kind.name == MEMO.name {
            expected["revisionCount"] = json!(2);
        }
        assert_eq!(edited, expected);
    }
    for kind in KEYED_BY_ID {
        for time in [json!({}), at(T)] {
            kind.edit(&phone, 2, "new", &time).await.problem(404, "not_found");
        }
    }
    for (n, time) in [(2, json!({})), (3, at(T))] {
        let created = DIARY.edit(&phone, n, "new", &time).await.ok();
        assert_eq!(
            (&created["summary"], &created["moodScore"]),
            (&json!("new"), &json!(5))
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn createdat_belongs_to_the_record_and_stays_unless_it_is_named() {
    let (_server, phone) = phone().await;
    for kind in KINDS {
        let made = kind.create(&phone, 1, "one", &at(T)).await.ok();
        assert_eq!(made["createdAt"], json!(T), "made at its edit time");
        let edited = kind.edit(&phone, 1, "two", &at(T + 10)).await.ok();
        assert_eq!(edited["createdAt"], json!(T));
        let whole = kind.create(&phone, 1, "three", &at(T + 20)).await.ok();
        assert_eq!(whole["createdAt"], json!(T));
        let named = json!({"updatedAt": T + 30, "createdAt": T - 30});
        let moved = kind.edit(&phone, 1, "four", &named).await.ok();
        assert_eq!(moved["createdAt"], json!(T - 30));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_names_no_device_edits_as_the_device_of_its_login_or_as_the_server() {
    let server = Server::start();
    let phone = server.device("phone").await;
    let login = json!({"username": "admin", "password": crate::harness::ADMIN_PASSWORD});
    let login = server.anonymous().post("/auth/login", &login).await.ok();
    let unnamed = phone.with_token(login["accessToken"].as_str());
    for (n, client, author) in [(1, &phone, "phone"), (2, &unnamed, "server")] {
        let body = with(&MEMO.body(n, "one"), &at(T));
        client
            .send(client.nameless(reqwest::Method::POST, "/memos").json(&body))
            .await
            .ok();
        MEMO.edit(client, n, "two", &json!({})).await.ok();
        assert_eq!(MEMO.revisions(client, n).await[0]["clientId"], author);
    }
}
