//! The devices of a user (D1, D2): what each was served, and forgetting one.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{ADMIN_PASSWORD, Client, ENTITIES, Server};
use crate::kinds::{KINDS, MEMO, RESOURCE, names};

/// What a login of `admin` answers on a device, which may not say its name.
async fn login(server: &Server, device: Value) -> Value {
    let mut body = json!({"username": "admin", "password": ADMIN_PASSWORD});
    body.as_object_mut()
        .unwrap()
        .extend(device.as_object().unwrap().clone());
    server.anonymous().post("/auth/login", &body).await.ok()
}

/// The device as the list shows it to this client, if it is there.
async fn listed(client: &Client, device: &str) -> Option<Value> {
    let devices = client.get("/devices").await.ok();
    let devices = devices.as_array().expect("a list");
    devices.iter().find(|one| one["clientId"] == device).cloned()
}

/// What pulls leave behind is written after their answers: asks until the list shows what is expected of the device.
async fn listed_once(client: &Client, device: &str, expected: impl Fn(&Value) -> bool) -> Value {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let found = listed(client, device).await;
        match found {
            Some(found) if expected(&found) => return found,
            other => assert!(Instant::now() < deadline, "{device} is {other:?}"),
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn d2_a_device_is_listed_from_its_login_on_and_the_one_that_asks_is_marked() {
    let server = Server::start();
    let before = server.device("phone").await.server_time().await;
    login(&server, json!({"clientId": "tablet", "deviceName": "My tablet"})).await;
    let phone = server.device("phone").await;
    let tablet = listed(&phone, "tablet").await.expect("the tablet");
    assert_eq!(
        names(&tablet),
        [
            "behindMs",
            "clientId",
            "current",
            "cursors",
            "lastPulledAt",
            "lastSeenAt",
            "name",
            "signedIn"
        ]
    );
    assert_eq!(
        [&tablet["name"], &tablet["signedIn"], &tablet["current"]],
        [&json!("My tablet"), &json!(true), &json!(false)]
    );
    assert_eq!(
        [&tablet["cursors"], &tablet["lastPulledAt"], &tablet["behindMs"]],
        [&json!({}), &Value::Null, &Value::Null],
        "it never pulled"
    );
    assert!(tablet["lastSeenAt"].as_i64() >= Some(before), "{tablet}");
    let all = phone.get("/devices").await.ok();
    let current: Vec<&Value> = all
        .as_array()
        .unwrap()
        .iter()
        .filter(|one| one["current"] == true)
        .map(|one| &one["clientId"])
        .collect();
    assert_eq!(current, ["phone"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn d1_d2_a_device_has_the_cursors_that_it_was_given() {
    let server = Server::start();
    let phone = server.device("phone").await;
    for kind in KINDS {
        kind.create(&phone, 1, "one", &json!({})).await.ok();
    }
    let before = phone.server_time().await;
    let given = phone.pull(&json!({})).await["cursors"].clone();
    let device = listed_once(&phone, "phone", |one| one["cursors"] == given).await;
    assert_eq!(device["behindMs"], 0, "at rest");
    for time in ["lastPulledAt", "lastSeenAt"] {
        assert!(device[time].as_i64() >= Some(before - 60_000), "{device}");
    }
    // A device that asks for one type only has the cursor of that one.
    let part = json!({"clientId": "watch", "cursors": {}, "entities": ["bot"]});
    let answer = phone.post("/sync/pull", &part).await.ok();
    let watch = listed_once(&phone, "watch", |_| true).await;
    assert_eq!(watch["cursors"], answer["cursors"]);
    assert_eq!(watch["behindMs"], Value::Null, "it never pulled every type");
    assert_eq!(watch["signedIn"], false, "the login is the phone's");
    // The latest cursor counts, not the greatest.
    let again = json!({"clientId": "phone", "cursors": {"memo": given["memo"]}, "entities": ["memo"]});
    phone.post("/sync/pull", &again).await.ok();
    listed_once(&phone, "phone", |one| one["cursors"] == given).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn d2_a_device_is_as_far_behind_as_its_oldest_cursor() {
    let server = Server::start();
    let (phone, tablet) = (server.device("phone").await, server.device("tablet").await);
    MEMO.create(&phone, 1, "one", &json!({})).await.ok();
    let pulled = tablet.pull(&json!({})).await["cursors"]["memo"].as_i64().unwrap();
    listed_once(&phone, "tablet", |one| one["behindMs"] == 0).await;
    MEMO.create(&phone, 2, "two", &json!({})).await.ok();
    let clock = phone.clock().await;
    let device = listed(&phone, "tablet").await.unwrap();
    assert_eq!(device["behindMs"], json!(clock - pulled));
    tablet.everything().await;
    let device = listed_once(&phone, "tablet", |one| one["behindMs"] == 0).await;
    for entity in ENTITIES {
        assert_eq!(device["cursors"][entity], json!(clock));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn d2_forgetting_a_device_ends_its_logins_at_once_and_no_others() {
    let server = Server::start();
    let phone = server.device("phone").await;
    MEMO.create(&phone, 1, "one", &json!({})).await.ok();
    let first = login(&server, json!({"clientId": "tablet"})).await;
    let second = login(&server, json!({"clientId": "tablet"})).await;
    let tablet = |login: &Value| phone.on("tablet").with_token(login["accessToken"].as_str());
    tablet(&first).everything().await;
    tablet(&second).everything().await;
    listed_once(&phone, "tablet", |one| one["behindMs"] == 0).await;
    let before = phone.everything().await;
    let answer = phone.delete("/devices/tablet").await;
    assert_eq!((answer.status.as_u16(), answer.body), (204, Value::Null));
    for login in [&first, &second] {
        let refresh = json!({"refreshToken": login["refreshToken"]});
        let refused = server.anonymous().post("/auth/refresh", &refresh).await;
        refused.problem(401, "invalid_refresh_token");
        let pull = json!({"clientId": "tablet", "cursors": {}});
        let refused = tablet(login).post("/sync/pull", &pull).await;
        refused.problem(401, "login_ended");
        let write = MEMO.create(&tablet(login), 2, "two", &json!({})).await;
        write.problem(401, "login_ended");
    }
    assert_eq!(listed(&phone, "tablet").await, None);
    phone.delete("/devices/tablet").await.problem(404, "not_found");
    phone.assert_untouched(&before, "forgetting a device").await;
    // It may come back.
    let back = server.device("tablet").await;
    assert_eq!(back.everything().await.records, before.records);
}

#[tokio::test(flavor = "multi_thread")]
async fn d2_a_device_can_forget_itself() {
    let server = Server::start();
    let phone = server.device("phone").await;
    assert_eq!(phone.delete("/devices/phone").await.status, 204);
    phone.get("/devices").await.problem(401, "login_ended");
}

#[tokio::test(flavor = "multi_thread")]
async fn d2_a_login_that_named_no_device_is_that_of_the_device_that_it_pulls_as() {
    let server = Server::start();
    let phone = server.device("phone").await;
    MEMO.create(&phone, 1, "one", &json!({})).await.ok();
    let unnamed = login(&server, json!({})).await;
    let tablet = phone.on("tablet").with_token(unnamed["accessToken"].as_str());
    assert_eq!(listed(&phone, "tablet").await, None);
    tablet.everything().await;
    listed_once(&phone, "tablet", |one| one["signedIn"] == true).await;
    assert_eq!(phone.delete("/devices/tablet").await.status, 204);
    let pull = json!({"clientId": "tablet", "cursors": {}});
    tablet.post("/sync/pull", &pull).await.problem(401, "login_ended");
    let refresh = json!({"refreshToken": unnamed["refreshToken"]});
    let refused = server.anonymous().post("/auth/refresh", &refresh).await;
    refused.problem(401, "invalid_refresh_token");
}

#[tokio::test(flavor = "multi_thread")]
async fn d2_a_login_stays_with_its_device_whatever_it_pulls_as() {
    let server = Server::start();
    let phone = server.device("phone").await;
    MEMO.create(&phone, 1, "one", &json!({})).await.ok();
    phone.on("borrowed").everything().await;
    listed_once(&phone, "borrowed", |one| one["behindMs"] == 0).await;
    assert_eq!(phone.delete("/devices/borrowed").await.status, 204);
    phone.everything().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn d2_devices_of_other_users_are_neither_seen_nor_forgotten() {
    let server = Server::start();
    let anna = server.new_user("anna", "phone").await;
    let bert = server.new_user("bert", "tablet").await;
    for client in [&anna, &bert] {
        RESOURCE.create(client, 1, "a.png", &json!({})).await.ok();
        client.everything().await;
    }
    listed_once(&anna, "phone", |one| one["behindMs"] == 0).await;
    let seen = listed_once(&bert, "tablet", |one| one["behindMs"] == 0).await;
    assert_eq!(bert.get("/devices").await.ok(), json!([seen]));
    bert.delete("/devices/phone").await.problem(404, "not_found");
    assert!(listed(&anna, "phone").await.is_some());
    // Nor are those with the same name.
    bert.on("phone").everything().await;
    listed_once(&bert, "phone", |one| one["behindMs"] == 0).await;
    assert_eq!(bert.delete("/devices/phone").await.status, 204);
    let of_anna = listed(&anna, "phone").await.expect("her phone");
    assert_eq!(
        (&of_anna["behindMs"], &of_anna["signedIn"]),
        (&json!(0), &json!(true))
    );
    anna.everything().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn d2_a_refresh_keeps_the_device_and_is_a_sign_of_life() {
    let server = Server::start();
    let phone = server.device("phone").await;
    let first = login(&server, json!({"clientId": "tablet", "deviceName": "Tablet"})).await;
    let before = listed(&phone, "tablet").await.unwrap();
    let refresh = json!({"refreshToken": first["refreshToken"]});
    let second = server.anonymous().post("/auth/refresh", &refresh).await.ok();
    let after = listed(&phone, "tablet").await.unwrap();
    assert_eq!(
        (&after["name"], &after["signedIn"]),
        (&json!("Tablet"), &json!(true))
    );
    assert!(after["lastSeenAt"].as_i64() >= before["lastSeenAt"].as_i64());
    let tablet = phone.with_token(second["accessToken"].as_str());
    let logout = json!({"refreshToken": second["refreshToken"]});
    assert_eq!(server.anonymous().post("/auth/logout", &logout).await.status, 204);
    tablet.get("/devices").await.problem(401, "login_ended");
    assert_eq!(
        listed(&phone, "tablet").await,
        None,
        "it has neither login nor cursor"
    );
    let anonymous = server.anonymous();
    for (method, path) in [(Method::GET, "/devices"), (Method::DELETE, "/devices/phone")] {
        let answer = anonymous.send(anonymous.request(method, path)).await;
        answer.problem(401, "unauthenticated");
    }
}
