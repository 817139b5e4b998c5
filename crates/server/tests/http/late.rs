//! Bodies that take their time: what ends, or is certain, before they are there.

use serde_json::{Value, json};

use crate::files::Wire;
use crate::harness::{Client, Server};

const PASSWORD: &str = "a password of theirs";
const JSON: (&str, &str) = ("content-type", "application/json");

/// An account of that role, and a device of it.
async fn account(server: &Server, name: &str, more: Value) -> (String, Client) {
    let admin = server.device("admin").await;
    let mut account = json!({"username": name, "password": PASSWORD});
    account
        .as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    let made = admin.post("/admin/users", &account).await.ok();
    let path = format!("/admin/users/{}", made["id"].as_str().unwrap());
    (path, server.login(name, PASSWORD, "phone").await)
}

/// L1: at once, for every route. Of these the store looks at the login itself, but for a new password: the old one proves it.
#[tokio::test(flavor = "multi_thread")]
async fn l1_a_body_that_arrives_after_its_login_ended_does_nothing() {
    let server = Server::start();
    let admin = server.device("admin").await;
    for (n, (request, body)) in [
        (
            "POST /admin/users",
            json!({"username": "made-late", "password": PASSWORD, "role": "admin"}),
        ),
        ("POST /admin/invites", json!({"role": "admin"})),
        ("PUT /auth/update-user", json!({"username": "changed-late"})),
        ("POST /memos", json!({"content": "written late"})),
        (
            "POST /auth/change-password",
            json!({"oldPassword": PASSWORD, "newPassword": "a password that is late"}),
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let (path, anna) = account(&server, &format!("anna-{n}"), json!({"role": "admin"})).await;
        let body = body.to_string();
        let length = body.len().to_string();
        let mut wire = Wire::open(&anna, request, &[JSON, ("content-length", &length)]).await;
        wire.send(&body.as_bytes()[..5]).await.unwrap();
        // Another role ends the logins, and leaves the account open.
        admin.patch(&path, &json!({"role": "user"})).await.ok();
        wire.send(&body.as_bytes()[5..]).await.unwrap();
        let told = wire.answer().await;
        assert_eq!(
            (told.status, &told.body["code"]),
            (401, &json!("login_ended")),
            "{request}"
        );
        server.login(&format!("anna-{n}"), PASSWORD, "phone").await;
    }
    let users = admin.get("/admin/users").await.ok().to_string();
    assert!(users.contains("anna-1") && !users.contains("late"), "{users}");
    assert_eq!(admin.get("/admin/invites").await.ok()["total"], 0);
}

/// A client that asks before it sends is told no at once, whatever it would send.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_asks_first_is_not_told_to_send_what_is_refused_for_certain() {
    let server = Server::start();
    let admin = server.device("admin").await;
    let (path, closed) = account(&server, "closed", json!({})).await;
    admin.patch(&path, &json!({"disabled": true})).await.ok();
    let (_, owes) = account(&server, "owes", json!({"mustChangePassword": true})).await;
    for request in [
        "POST /memos",
        "PUT /diaries/2026-05-16",
        "PUT /bots/reorder",
        "POST /sync/push",
        "PUT /auth/update-user",
    ] {
        for (phone, status) in [(&closed, 401), (&owes, 403)] {
            // The login and the body are looked at beside each other: once proves nothing.
            for _ in 0..5 {
                let headers = [JSON, ("content-length", "1000"), ("expect", "100-continue")];
                let told = Wire::open(phone, request, &headers).await.answer().await;
                assert_eq!(told.status, status, "{request}");
            }
        }
    }
}

/// What is wrong with a body is nobody's business whom the route does not let in.
#[tokio::test(flavor = "multi_thread")]
async fn l3_a_bad_body_does_not_hide_that_the_password_must_be_changed() {
    let server = Server::start();
    let (_, owes) = account(&server, "owes", json!({"mustChangePassword": true})).await;
    for path in ["/sync/push", "/memos", "/sync/pull"] {
        for body in [json!({}), json!([]), json!({"clientId": 7})] {
            owes.post(path, &body)
                .await
                .problem(403, "password_change_required");
        }
    }
}

/// Half a log-in of somebody in the same network.
#[tokio::test(flavor = "multi_thread")]
async fn half_sent_log_ins_keep_nobody_from_logging_in() {
    let server = Server::start();
    let stranger = server.anonymous();
    let mut half_sent = Vec::new();
    for _ in 0..20 {
        let mut wire = Wire::open(&stranger, "POST /auth/login", &[JSON, ("content-length", "100")]).await;
        wire.send(b"{").await.unwrap();
        half_sent.push(wire);
    }
    server.device("admin").await.get("/memos").await.ok();
}
