//! Logins and accounts: tokens that rotate, passwords, administrators, registration, limits on guessing.

mod attempts;

use serde_json::{Value, json};

use crate::harness::{ADMIN_PASSWORD, Answer, Client, Data, Server};
use crate::kinds::{column, names};

const PASSWORD: &str = "a password of theirs";

/// A login as an app sees it.
struct Login {
    client: Client,
    body: Value,
}

impl Login {
    async fn new(server: &Server, username: &str, password: &str) -> Self {
        let body = try_login(&server.anonymous(), username, password).await.ok();
        Self::of(&server.anonymous(), body)
    }

    fn of(client: &Client, body: Value) -> Self {
        let client = client.with_token(body["accessToken"].as_str());
        Self { client, body }
    }

    fn refresh_token(&self) -> Value {
        json!({"refreshToken": self.body["refreshToken"]})
    }

    /// Spends the refresh token.
    async fn refresh(&self) -> Answer {
        self.client.post("/auth/refresh", &self.refresh_token()).await
    }

    async fn me(&self) -> Answer {
        self.client.get("/auth/me").await
    }

    /// Neither token works any more.
    async fn assert_ended(&self) {
        self.me().await.problem(401, "login_ended");
        self.refresh().await.problem(401, "invalid_refresh_token");
    }
}

async fn try_login(client: &Client, username: &str, password: &str) -> Answer {
    let body =
        json!({"username": username, "password": password, "clientId": "phone", "deviceName": "My phone"});
    client.post("/auth/login", &body).await
}

/// Makes an account whose password need not be changed; returns its id.
async fn make(admin: &Client, username: &str) -> String {
    let body = json!({"username": username, "password": PASSWORD, "mustChangePassword": false});
    let user = admin.post("/admin/users", &body).await.ok();
    user["id"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_answers_tokens_and_the_account() {
    let server = Server::start();
    let login = Login::new(&server, "ADMIN", ADMIN_PASSWORD).await;
    assert_eq!(
        names(&login.body),
        ["accessToken", "mustChangePassword", "refreshToken", "user"]
    );
    let me = login.me().await.ok();
    assert_eq!(me, login.body["user"]);
    assert_eq!(
        names(&me),
        [
            "avatarUrl",
            "createdAt",
            "id",
            "mustChangePassword",
            "quota",
            "role",
            "timeZone",
            "updatedAt",
            "username"
        ]
    );
    assert_eq!(
        [&me["username"], &me["role"], &me["avatarUrl"]],
        [&json!("admin"), &json!("admin"), &Value::Null]
    );
    assert_eq!(
        [&me["mustChangePassword"], &login.body["mustChangePassword"]],
        [false, false]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_login_does_not_say_what_was_wrong() {
    let server = Server::start();
    let wrong = try_login(&server.anonymous(), "admin", "not the password").await;
    assert_eq!(
        wrong.headers.get("www-authenticate"),
        None,
        "no token would have helped"
    );
    let wrong = wrong.problem(401, "bad_credentials");
    let unknown = try_login(&server.anonymous(), "nobody", "not the password").await;
    assert_eq!(unknown.problem(401, "bad_credentials"), wrong);
}

#[tokio::test(flavor = "multi_thread")]
async fn refresh_tokens_rotate_and_one_that_is_used_after_its_successor_ends_its_login_alone() {
    let server = Server::start();
    let first = Login::new(&server, "admin", ADMIN_PASSWORD).await;
    let other = Login::new(&server, "admin", ADMIN_PASSWORD).await;
    let body = first.refresh().await.ok();
    assert_eq!(names(&body), ["accessToken", "refreshToken"]);
    let second = Login::of(&first.client, body);
    let third = Login::of(&first.client, second.refresh().await.ok());
    for login in [&first, &second, &third] {
        login.me().await.ok();
    }
    // Somebody has a copy of the first one, and uses it.
    first.refresh().await.problem(401, "invalid_refresh_token");
    for login in [&first, &second, &third] {
        login.assert_ended().await;
    }
    other.me().await.ok();
    other.refresh().await.ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_that_is_sent_again_answers_the_same_refresh_token() {
    let server = Server::start();
    let login = Login::new(&server, "admin", ADMIN_PASSWORD).await;
    // An app and its background worker at once, and once more because an answer was lost.
    let (one, two) = tokio::join!(login.refresh(), login.refresh());
    let (one, two) = (one.ok(), two.ok());
    let again = login.refresh().await.ok();
    assert_eq!(one["refreshToken"], two["refreshToken"]);
    assert_eq!(one["refreshToken"], again["refreshToken"]);
    for body in [one, two, again] {
        Login::of(&login.client, body).me().await.ok();
    }
    login.me().await.ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_is_renewed_only_so_often() {
    let server = Server::start();
    let login = Login::new(&server, "admin", ADMIN_PASSWORD).await;
    let mut latest = Login::of(&login.client, login.refresh().await.ok());
    for _ in 0..200 {
        let answer = latest.refresh().await;
        if answer.status == 429 {
            assert!(answer.headers.contains_key("retry-after"));
            answer.problem(429, "rate_limited");
            latest.me().await.ok();
            let other = Login::new(&server, "admin", ADMIN_PASSWORD).await;
            other.refresh().await.ok();
            return;
        }
        latest = Login::of(&login.client, answer.ok());
    }
    panic!("200 refreshes in a row");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_ended_stays_ended_after_a_restart() {
    let data = Data::new();
    let server = data.start(&[]);
    let admin = server.device("admin").await;
    let made = json!({"username": "anna", "password": PASSWORD});
    let made = admin.post("/admin/users", &made).await.ok();
    let anna = Login::new(&server, "anna", PASSWORD).await;
    let left = Login::new(&server, "admin", ADMIN_PASSWORD).await;
    let stays = Login::new(&server, "admin", ADMIN_PASSWORD).await;
    anna.client.get("/memos").await.ok();
    let path = format!("/admin/users/{}", made["id"].as_str().unwrap());
    admin.patch(&path, &json!({"disabled": true})).await.ok();
    server
        .anonymous()
        .post("/auth/logout", &left.refresh_token())
        .await;
    drop(server);
    let server = data.start(&[]);
    let again = |login: &Login| Login::of(&server.anonymous(), login.body.clone()).client;
    for client in [again(&anna), again(&left)] {
        client.get("/memos").await.problem(401, "login_ended");
        client
            .post("/memos", &json!({"content": "after the end"}))
            .await
            .problem(401, "login_ended");
        client
            .post("/sync/pull", &json!({"clientId": "phone"}))
            .await
            .problem(401, "login_ended");
    }
    again(&stays).get("/memos").await.ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_logout_ends_one_login_at_once() {
    let server = Server::start();
    let leaving = Login::new(&server, "admin", ADMIN_PASSWORD).await;
    let staying = Login::new(&server, "admin", ADMIN_PASSWORD).await;
    for token in [
        leaving.refresh_token(),
        leaving.refresh_token(),
        json!({"refreshToken": "unknown"}),
    ] {
        let answer = server.anonymous().post("/auth/logout", &token).await;
        assert_eq!((answer.status.as_u16(), answer.body), (204, Value::Null));
    }
    leaving.assert_ended().await;
    staying.me().await.ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_password_ends_every_other_login() {
    let server = Server::start();
    let here = Login::new(&server, "admin", ADMIN_PASSWORD).await;
    let elsewhere = Login::new(&server, "admin", ADMIN_PASSWORD).await;
    let change = |old: &str| json!({"oldPassword": old, "newPassword": "another good password"});
    let wrong = here.client.post("/auth/change-password", &change("not it")).await;
    assert_eq!(
        wrong.problem(422, "wrong_password")["errors"][0]["path"],
        "oldPassword"
    );
    elsewhere.me().await.ok();
    let body = here
        .client
        .post("/auth/change-password", &change(ADMIN_PASSWORD))
        .await
        .ok();
    let renewed = Login::of(&here.client, body);
    here.assert_ended().await;
    elsewhere.assert_ended().await;
    renewed.me().await.ok();
    renewed.refresh().await.ok();
    try_login(&here.client, "admin", ADMIN_PASSWORD)
        .await
        .problem(401, "bad_credentials");
    Login::new(&server, "admin", "another good password")
        .await
        .me()
        .await
        .ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_that_somebody_else_set_has_to_be_changed() {
    let server = Server::start();
    let admin = server.device("admin").await;
    let made = json!({"username": "anna", "password": PASSWORD, "mustChangePassword": true});
    let made = admin.post("/admin/users", &made).await.ok();
    let anna = Login::new(&server, "anna", PASSWORD).await;
    assert_eq!(
        [&made["mustChangePassword"], &anna.body["mustChangePassword"]],
        [true, true]
    );
    for refused in [
        anna.client.get("/memos").await,
        anna.client.post("/memos", &json!({"content": "x"})).await,
        anna.client
            .post("/sync/pull", &json!({"clientId": "phone"}))
            .await,
        anna.client.post("/sync/pull", &json!({})).await,
        anna.client.get("/sync/events").await,
    ] {
        refused.problem(403, "password_change_required");
    }
    anna.me().await.ok();
    anna.refresh().await.ok();
    let same = json!({"oldPassword": PASSWORD, "newPassword": PASSWORD});
    let same = anna.client.post("/auth/change-password", &same).await;
    let same = same.problem(422, "validation_failed");
    assert_eq!(
        [&same["errors"][0]["path"], &same["errors"][0]["code"]],
        ["newPassword", "unchanged"]
    );
    let change = json!({"oldPassword": PASSWORD, "newPassword": "one of her own"});
    let changed = anna.client.post("/auth/change-password", &change).await.ok();
    Login::of(&anna.client, changed.clone())
        .client
        .get("/memos")
        .await
        .ok();
    assert_eq!(changed["mustChangePassword"], false);
    let path = format!("/admin/users/{}", made["id"].as_str().unwrap());
    let reset = admin
        .patch(&path, &json!({"password": "given out again"}))
        .await
        .ok();
    assert_eq!(reset["mustChangePassword"], true);
    Login::of(&anna.client, changed).assert_ended().await;
    Login::new(&server, "anna", "given out again")
        .await
        .me()
        .await
        .ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn people_change_their_own_name_picture_and_time_zone() {
    let server = Server::start();
    let admin = server.device("admin").await;
    make(&admin, "anna").await;
    let anna = Login::new(&server, "anna", PASSWORD).await;
    let update = |body: Value| {
        let client = anna.client.clone();
        async move { client.put("/auth/update-user", &body).await }
    };
    update(json!({"username": "ADMIN"}))
        .await
        .problem(409, "username_taken");
    let picture = json!({"avatarUrl": "https://example.org/anna.png"});
    assert_eq!(
        update(picture.clone()).await.ok()["avatarUrl"],
        picture["avatarUrl"]
    );
    let renamed = update(json!({"username": "Änne"})).await.ok();
    assert_eq!(
        [&renamed["username"], &renamed["avatarUrl"]],
        [&json!("Änne"), &picture["avatarUrl"]]
    );
    assert_eq!(
        update(json!({"avatarUrl": null})).await.ok()["avatarUrl"],
        Value::Null
    );
    let shanghai = update(json!({"timeZone": "asia/shanghai"})).await.ok();
    assert_eq!(shanghai["timeZone"], "Asia/Shanghai");
    assert_eq!(
        update(json!({"timeZone": null})).await.ok()["timeZone"],
        Value::Null
    );
    assert_eq!(
        update(json!({"username": "änne"})).await.ok()["username"],
        "änne",
        "one's own name is free"
    );
    assert_eq!(update(json!({})).await.ok(), anna.me().await.ok());
    try_login(&anna.client, "anna", PASSWORD)
        .await
        .problem(401, "bad_credentials");
    Login::new(&server, "ÄNNE", PASSWORD).await.me().await.ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn administrators_make_list_and_change_accounts() {
    let server = Server::start();
    let admin = server.device("admin").await;
    for name in ["carl", "Bert", "anna"] {
        make(&admin, name).await;
    }
    let taken = json!({"username": "ANNA", "password": PASSWORD});
    admin
        .post("/admin/users", &taken)
        .await
        .problem(409, "username_taken");
    let page = admin.get("/admin/users?pageSize=3").await.ok();
    assert_eq!(column(&page["items"], "username"), ["admin", "anna", "Bert"]);
    assert_eq!(
        [&page["total"], &page["totalPages"], &page["pageSize"]],
        [4, 2, 3]
    );
    let anna = &page["items"][1];
    assert_eq!(
        names(anna),
        [
            "avatarUrl",
            "createdAt",
            "disabled",
            "id",
            "mustChangePassword",
            "quota",
            "role",
            "timeZone",
            "updatedAt",
            "username"
        ]
    );
    assert_eq!(
        [&anna["role"], &anna["disabled"]],
        [&json!("user"), &json!(false)]
    );
    let path = format!("/admin/users/{}", anna["id"].as_str().unwrap());
    admin
        .patch(&path, &json!({"username": "bert"}))
        .await
        .problem(409, "username_taken");
    let change = json!({"username": "Dora", "mustChangePassword": true});
    let changed = admin.patch(&path, &change).await.ok();
    assert_eq!(
        [&changed["username"], &changed["mustChangePassword"]],
        [&json!("Dora"), &json!(true)]
    );
    let nobody = "/admin/users/00000000-0000-4000-8000-000000000001";
    admin.patch(nobody, &json!({})).await.problem(404, "not_found");
}

#[tokio::test(flavor = "multi_thread")]
async fn closing_an_account_ends_its_logins_at_once() {
    let server = Server::start();
    let admin = server.device("admin").await;
    let path = format!("/admin/users/{}", make(&admin, "anna").await);
    let anna = Login::new(&server, "anna", PASSWORD).await;
    anna.client.post("/memos", &json!({"content": "hers"})).await.ok();
    let closed = admin.patch(&path, &json!({"disabled": true})).await.ok();
    assert_eq!(closed["disabled"], true);
    anna.assert_ended().await;
    anna.client
        .post("/memos", &json!({"content": "late"}))
        .await
        .problem(401, "login_ended");
    try_login(&anna.client, "anna", PASSWORD)
        .await
        .problem(401, "account_disabled");
    try_login(&anna.client, "anna", "not the password")
        .await
        .problem(401, "bad_credentials");
    admin.patch(&path, &json!({"disabled": false})).await.ok();
    let back = Login::new(&server, "anna", PASSWORD).await;
    assert_eq!(
        back.client.get("/memos").await.ok()["total"],
        1,
        "her records stayed, and no more came"
    );
    anna.assert_ended().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_role_needs_another_login() {
    let server = Server::start();
    let admin = server.device("admin").await;
    let path = format!("/admin/users/{}", make(&admin, "anna").await);
    let before = Login::new(&server, "anna", PASSWORD).await;
    before.client.get("/admin/users").await.problem(403, "forbidden");
    admin.patch(&path, &json!({"role": "admin"})).await.ok();
    before.assert_ended().await;
    let promoted = Login::new(&server, "anna", PASSWORD).await;
    promoted.client.get("/admin/users").await.ok();
    admin.patch(&path, &json!({"role": "user"})).await.ok();
    promoted.assert_ended().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_administrator_must_remain() {
    let server = Server::start();
    let admin = server.device("admin").await;
    let id = admin.get("/auth/me").await.ok()["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let path = format!("/admin/users/{id}");
    for change in [json!({"disabled": true}), json!({"role": "user"})] {
        admin.patch(&path, &change).await.problem(409, "last_admin");
    }
    let users = admin.get("/admin/users").await.ok();
    assert_eq!(
        [&users["items"][0]["disabled"], &users["items"][0]["role"]],
        [&json!(false), &json!("admin")]
    );
    let second = format!("/admin/users/{}", make(&admin, "anna").await);
    admin.patch(&second, &json!({"role": "admin"})).await.ok();
    let anna = Login::new(&server, "anna", PASSWORD).await;
    anna.client.patch(&path, &json!({"disabled": true})).await.ok();
    anna.client
        .patch(&second, &json!({"role": "user"}))
        .await
        .problem(409, "last_admin");
}

#[tokio::test(flavor = "multi_thread")]
async fn registration_is_closed_unless_the_operator_opens_it() {
    let body = json!({"username": "anna", "password": PASSWORD, "clientId": "phone"});
    let closed = Server::start();
    closed
        .anonymous()
        .post("/auth/register", &body)
        .await
        .problem(403, "registration_closed");
    let open = Server::start_with(&["--registration", "open"]);
    let anonymous = open.anonymous();
    let anna = Login::of(&anonymous, anonymous.post("/auth/register", &body).await.ok());
    let me = anna.me().await.ok();
    assert_eq!(
        [&me["username"], &me["role"], &me["mustChangePassword"]],
        [&json!("anna"), &json!("user"), &json!(false)]
    );
    anonymous
        .post("/auth/register", &body)
        .await
        .problem(409, "username_taken");
    let weak = json!({"username": "bert", "password": "short"});
    anonymous
        .post("/auth/register", &weak)
        .await
        .invalid("password", "too_short");
    Login::new(&open, "anna", PASSWORD).await.refresh().await.ok();
}
