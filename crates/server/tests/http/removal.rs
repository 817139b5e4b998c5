//! `DELETE /admin/users/{id}`: an account goes, and everything of it, and nothing else.

use serde_json::{Value, json};

use crate::harness::{ADMIN_PASSWORD, Client, Server};
use crate::kinds::{KINDS, MEMO, T, column};

const PASSWORD: &str = "a password of theirs";

/// What a login answers.
async fn login(server: &Server, username: &str, device: &str) -> Value {
    let body = json!({"username": username, "password": PASSWORD, "clientId": device});
    server.anonymous().post("/auth/login", &body).await.ok()
}

async fn id_of(client: &Client) -> String {
    let me = client.get("/auth/me").await.ok();
    me["id"].as_str().expect("an id").to_owned()
}

/// The path of the account of this client.
async fn account_of(client: &Client) -> String {
    format!("/admin/users/{}", id_of(client).await)
}

/// Records of each type, one of them edited and one deleted.
async fn fill(client: &Client) {
    for kind in KINDS {
        let records: Vec<Value> = (0..100)
            .map(|n| kind.record(n, "one", &json!({"updatedAt": T})))
            .collect();
        client.push(&kind.updates(&records)).await.ok();
        kind.edit(client, 1, "two", &json!({})).await.ok();
        kind.delete(client, 2, None).await.ok();
    }
    client.everything().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_user_is_gone_with_everything_and_nobody_else_is_touched() {
    let server = Server::start();
    let admin = server.device("admin").await;
    let anna = server.new_user("anna", "phone").await;
    let bert = server.new_user("bert", "phone").await;
    fill(&anna).await;
    fill(&bert).await;
    let tokens = login(&server, "anna", "tablet").await;
    let of_bert = bert.everything().await;
    let kept = MEMO.revisions(&bert, 1).await;

    let answer = admin.delete(&account_of(&anna).await).await;
    assert_eq!((answer.status.as_u16(), answer.body), (204, Value::Null));

    let tablet = anna.on("tablet").with_token(tokens["accessToken"].as_str());
    for client in [&anna, &tablet] {
        let pull = json!({"clientId": "phone", "cursors": {}});
        client.post("/sync/pull", &pull).await.problem(401, "login_ended");
        let late = MEMO.updates(&[MEMO.record(1, "late", &json!({}))]);
        client.push(&late).await.problem(401, "login_ended");
        for path in [
            "/auth/me",
            "/memos",
            "/devices",
            "/sync/digest",
            "/account/export",
            "/sync/events",
        ] {
            client.get(path).await.problem(401, "login_ended");
        }
    }
    let refresh = json!({"refreshToken": tokens["refreshToken"]});
    let refused = server.anonymous().post("/auth/refresh", &refresh).await;
    refused.problem(401, "invalid_refresh_token");
    let body = json!({"username": "anna", "password": PASSWORD});
    let refused = server.anonymous().post("/auth/login", &body).await;
    refused.problem(401, "bad_credentials");
    let users = admin.get("/admin/users").await.ok();
    assert_eq!(column(&users["items"], "username"), ["admin", "bert"]);

    bert.assert_untouched(&of_bert, "the removal of another user")
        .await;
    assert_eq!(MEMO.revisions(&bert, 1).await, kept);
    MEMO.edit(&bert, 3, "goes on", &json!({})).await.ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_name_of_a_removed_user_is_free_and_who_takes_it_has_nothing_of_theirs() {
    let server = Server::start();
    let admin = server.device("admin").await;
    let anna = server.new_user("anna", "phone").await;
    fill(&anna).await;
    let old = id_of(&anna).await;
    assert_eq!(admin.delete(&format!("/admin/users/{old}")).await.status, 204);
    let namesake = server.new_user("Anna", "phone").await;
    assert_ne!(id_of(&namesake).await, old);
    let everything = namesake.everything().await;
    assert_eq!(everything.delivered, []);
    let made = &namesake.get("/auth/me").await.ok()["createdAt"];
    assert_eq!(&everything.cursors()["memo"], made, "a history of its own");
    for kind in KINDS {
        assert_eq!(kind.get(&namesake, 1).await, Value::Null);
        let revisions = namesake.get(&format!("{}/revisions", kind.path(1))).await;
        revisions.problem(404, "not_found");
    }
    assert_eq!(namesake.get("/memos/tags").await.ok(), json!([]));
    let devices = namesake.get("/devices").await.ok();
    assert_eq!(column(&devices, "clientId"), ["phone"]);
    // The old tokens are not the new user's.
    anna.get("/auth/me").await.problem(401, "login_ended");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_is_not_there_is_404() {
    let server = Server::start();
    let admin = server.device("admin").await;
    let anna = server.new_user("anna", "phone").await;
    let account = account_of(&anna).await;
    let unknown = format!("/admin/users/{}", MEMO.key(1));
    admin.delete(&unknown).await.problem(404, "not_found");
    assert_eq!(admin.delete(&account).await.status, 204);
    admin.delete(&account).await.problem(404, "not_found");
    admin.delete("/admin/users/x").await.invalid("id", "invalid_uuid");
    let users = admin.get("/admin/users").await.ok();
    assert_eq!(column(&users["items"], "username"), ["admin"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_administrator_can_not_be_removed() {
    let server = Server::start();
    let admin = server.device("admin").await;
    fill(&admin).await;
    let before = admin.everything().await;
    let account = account_of(&admin).await;
    admin.delete(&account).await.problem(409, "last_admin");
    let second = server.new_user("second", "phone").await;
    admin.delete(&account).await.problem(409, "last_admin");
    admin.assert_untouched(&before, "refused removals").await;
    // With another administrator, one may go; even oneself.
    let role = json!({"role": "admin"});
    admin.patch(&account_of(&second).await, &role).await.ok();
    assert_eq!(admin.delete(&account).await.status, 204);
    admin.get("/auth/me").await.problem(401, "login_ended");
    let body = json!({"username": "admin", "password": ADMIN_PASSWORD});
    let refused = server.anonymous().post("/auth/login", &body).await;
    refused.problem(401, "bad_credentials");
    let second = server.login("second", PASSWORD, "phone").await;
    let own = account_of(&second).await;
    second.delete(&own).await.problem(409, "last_admin");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_administrators_remove_accounts() {
    let server = Server::start();
    let admin = server.device("admin").await;
    let anna = server.new_user("anna", "phone").await;
    let bert = server.new_user("bert", "phone").await;
    fill(&bert).await;
    let of_bert = bert.everything().await;
    let unknown = format!("/admin/users/{}", MEMO.key(1));
    for account in [
        account_of(&bert).await,
        account_of(&anna).await,
        account_of(&admin).await,
        unknown,
    ] {
        anna.delete(&account).await.problem(403, "forbidden");
        let anonymous = server.anonymous().delete(&account).await;
        anonymous.problem(401, "unauthenticated");
    }
    bert.assert_untouched(&of_bert, "refused removals").await;
    anna.get("/auth/me").await.ok();
    admin.get("/auth/me").await.ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_account_can_be_removed_too() {
    let server = Server::start();
    let admin = server.device("admin").await;
    let anna = server.new_user("anna", "phone").await;
    fill(&anna).await;
    let account = account_of(&anna).await;
    admin.patch(&account, &json!({"disabled": true})).await.ok();
    assert_eq!(admin.delete(&account).await.status, 204);
    assert_eq!(admin.get("/admin/users").await.ok()["total"], 1);
}
