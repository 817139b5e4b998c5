//! Access tokens: without a good one nobody gets anything.

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{ADMIN_PASSWORD, Answer, Client, Server};
use crate::kinds::{KINDS, MEMO};
use crate::scene::Scene;

/// `{"alg":"none","typ":"JWT"}`, `{"sub":"admin","role":"admin","exp":9999999999}`, and no signature.
const ALG_NONE: &str =
    "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.eyJzdWIiOiJhZG1pbiIsInJvbGUiOiJhZG1pbiIsImV4cCI6OTk5OTk5OTk5OX0.";

/// The answer is this problem, and says how to sign in.
#[track_caller]
fn refused(answer: Answer, code: &str) {
    assert_eq!(answer.headers["www-authenticate"], "Bearer", "{}", answer.body);
    answer.problem(401, code);
}

/// Every route that needs a login, as the document says, with keys in its path.
async fn guarded_routes(client: &Client) -> Vec<(Method, String)> {
    let document = client.get("/openapi.json").await.ok();
    let paths = document["paths"].as_object().unwrap();
    let mut routes = Vec::new();
    for (path, item) in paths {
        for (method, operation) in item.as_object().unwrap() {
            if operation["security"] != json!([]) {
                let path = path.replace("{id}", &MEMO.key(1)).replace("{date}", "2000-01-02");
                routes.push((method.to_uppercase().parse().unwrap(), path));
            }
        }
    }
    routes
}

#[tokio::test(flavor = "multi_thread")]
async fn no_route_but_the_public_ones_answers_without_a_token() {
    let scene = Scene::new(&[]).await;
    let routes = guarded_routes(&scene.phone).await;
    assert!(routes.len() >= 35, "{routes:?}");
    let anonymous = scene.server.anonymous();
    let forger = anonymous.with_token(Some(ALG_NONE));
    for (method, path) in routes {
        for (who, code) in [(&anonymous, "unauthenticated"), (&forger, "invalid_token")] {
            let answer = who.raw(&method, &path, "{}").await;
            // The answer to a `HEAD` has no body that could say why.
            if method == Method::HEAD {
                assert_eq!(answer.status, 401, "{path}");
            } else {
                refused(answer, code);
            }
        }
    }
    scene.assert_untouched("requests without a token").await;
}

/// The same token with one character of its end, its middle or its beginning changed.
fn tampered(token: &str) -> Vec<String> {
    let swap = |at: usize| {
        let other = if &token[at..=at] == "A" { "B" } else { "A" };
        format!("{}{other}{}", &token[..at], &token[at + 1..])
    };
    let length = token.len();
    vec![
        swap(length - 10),
        swap(length / 2),
        swap(20),
        token[..length - 4].to_owned(),
        format!("{token}AAAA"),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn forged_tokens_are_refused() {
    let scene = Scene::new(&[]).await;
    let login = json!({"username": "admin", "password": ADMIN_PASSWORD});
    let login = scene.phone.post("/auth/login", &login).await.ok();
    let other = Server::start();
    let foreign = other.device("phone").await.token.unwrap();
    let refresh = login["refreshToken"].as_str().unwrap();
    let mut bad = tampered(scene.phone.token.as_deref().unwrap());
    bad.extend(["x", "v4.public.", "v4.local.AAAA", ALG_NONE, refresh, &foreign].map(str::to_owned));
    for token in bad {
        let forger = scene.phone.with_token(Some(&token));
        refused(forger.get("/auth/me").await, "invalid_token");
        for kind in KINDS {
            refused(kind.edit(&forger, 1, "other", &json!({})).await, "invalid_token");
            refused(kind.delete(&forger, 1, None).await, "invalid_token");
        }
    }
    scene.assert_untouched("forged tokens").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn other_ways_to_sign_in_are_none() {
    let scene = Scene::new(&[]).await;
    let anonymous = scene.server.anonymous();
    let token = scene.phone.token.as_deref().unwrap();
    for value in ["", "Bearer", "Bearer ", "Basic YWRtaW46YWRtaW4=", token] {
        let request = anonymous
            .request(Method::GET, "/auth/me")
            .header("authorization", value);
        refused(anonymous.send(request).await, "unauthenticated");
    }
    for request in [
        anonymous.request(Method::GET, &format!("/auth/me?access_token={token}")),
        anonymous
            .request(Method::GET, "/auth/me")
            .header("cookie", format!("accessToken={token}")),
    ] {
        refused(anonymous.send(request).await, "unauthenticated");
    }
    let lower_case = anonymous
        .request(Method::GET, "/auth/me")
        .header("authorization", format!("bearer {token}"));
    anonymous.send(lower_case).await.ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_token_is_told_so_and_a_refresh_helps() {
    let server = Server::start_with(&["--auth-access-token-ttl-ms", "1000"]);
    let login = json!({"username": "admin", "password": ADMIN_PASSWORD});
    let login: Value = server.anonymous().post("/auth/login", &login).await.ok();
    let phone = server.anonymous().with_token(login["accessToken"].as_str());
    phone.get("/auth/me").await.ok();
    let expired = loop {
        let answer = phone.get("/auth/me").await;
        if answer.status != 200 {
            break answer;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    };
    refused(expired, "token_expired");
    refused(
        phone.post("/memos", &json!({"content": "late"})).await,
        "token_expired",
    );
    let refresh = json!({"refreshToken": login["refreshToken"]});
    let tokens = phone.post("/auth/refresh", &refresh).await.ok();
    let phone = phone.with_token(tokens["accessToken"].as_str());
    assert_eq!(phone.get("/memos").await.ok()["total"], json!(0));
}
