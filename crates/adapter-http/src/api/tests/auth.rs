//! Who may ask for what, and accounts.

use mosaic_domain::account::{AccountChange, Role};

use super::site::user;
use super::*;
use crate::limits::LoginBudgets;

#[actix_web::test]
async fn every_documented_route_is_answered_and_asks_for_a_token_unless_it_is_public() {
    const PUBLIC: [&str; 7] = [
        "/health",
        "/health/ready",
        "/auth/login",
        "/auth/register",
        "/auth/invite",
        "/auth/refresh",
        "/auth/logout",
    ];
    let site = Site::new().await;
    for (method, path, operation) in documented() {
        let answer = site.send(request(&method, &path)).await;
        let public = operation["security"] == json!([]);
        let may_be = PUBLIC.contains(&path.as_str()) || method == "OPTIONS";
        assert_eq!(public, may_be, "{method} {path}");
        if public {
            assert!(
                ![401, 404, 405].contains(&answer.status),
                "{path}: {}",
                answer.text
            );
        } else {
            let answer = answer.assert_is(401, "unauthenticated");
            assert!(answer.header("www-authenticate").is_some(), "{method} {path}");
        }
    }
}

#[actix_web::test]
async fn a_login_that_may_not_go_on_gets_nothing_on_any_route() {
    const LEFT_OPEN: [&str; 2] = ["/auth/me", "/auth/change-password"];
    let (ended, owing) = (Site::new().await, Site::new().await);
    ended.log_out().await;
    owe_a_password(&owing).await;
    for (method, path, operation) in documented() {
        if operation["security"] == json!([]) {
            continue;
        }
        let asked = || by("admin", request(&method, &path)).insert_header(("tus-resumable", "1.0.0"));
        let (ended, owing) = (ended.send(asked()).await, owing.send(asked()).await);
        assert_eq!((ended.status, ended.code()), (401, "login_ended"), "{path}");
        let waits = (owing.status, owing.code()) == (403, "password_change_required");
        assert_eq!(waits, !LEFT_OPEN.contains(&&*path), "{path}: {}", owing.text);
    }
}

/// Everybody here comes from one network, as behind a proxy that is not trusted.
#[actix_web::test]
async fn memory_is_shared_by_users_and_strangers_have_that_of_their_network() {
    let mut site = Site::new().await;
    site.settings_mut().body.unpacked_bytes = 80_000;
    site.settings_mut().memory_budget = 640_000;
    for token in ["user", "other"] {
        let memo = json!({"content": "x".repeat(60_000), "diaryDate": "2026-05-16"});
        let post = by(token, request("POST", "/memos")).set_json(memo);
        site.send(post).await.assert_ok();
    }
    for path in ["/memos", "/memos/date/2026-05-16", "/memos/search?query=x"] {
        let mut unread = Vec::new();
        let full = loop {
            let answer = site.start(ask("GET", path).to_request()).await;
            if answer.status() != 200 {
                break Answer::try_of(answer).await.unwrap();
            }
            unread.push(answer);
            assert!(
                unread.len() < 9,
                "{path}: answers that nobody takes are not counted"
            );
        };
        full.assert_is(503, "busy");
        site.send(by("other", request("GET", path))).await.assert_ok();
        drop(unread);
        site.get(path).await.assert_ok();
    }
}

pub(super) async fn owe_a_password(site: &Site) {
    let change = AccountChange {
        must_change_password: Some(true),
        ..AccountChange::default()
    };
    let now = site.state().clock.now();
    site.stores
        .accounts
        .update(user(1), change, now, None)
        .await
        .unwrap();
}

#[actix_web::test]
async fn tokens_that_do_not_count_are_told_apart() {
    let site = Site::new().await;
    for (header, code) in [
        ("Bearer old", "token_expired"),
        ("Bearer forged", "invalid_token"),
        ("user", "unauthenticated"),
        ("Basic user", "unauthenticated"),
        ("Bearer", "unauthenticated"),
        ("Bearer ", "unauthenticated"),
    ] {
        let request = request("GET", "/auth/me").insert_header(("authorization", header));
        let answer = site.refuses(request, 401, code).await;
        assert!(answer.header("www-authenticate").is_some(), "{header}");
    }
}

#[actix_web::test]
async fn only_administrators_manage_accounts() {
    let site = Site::new().await;
    for (method, path, _) in documented() {
        if path.starts_with("/admin") {
            site.refuses(ask(&method, &path), 403, "forbidden").await;
        }
    }
    let bad = json!({"username": "a b", "password": "short"});
    let answer = site
        .send(by("admin", request("POST", "/admin/users").set_json(bad)))
        .await;
    let paths: Vec<_> = answer.errors().into_iter().map(|(path, _)| path).collect();
    assert_eq!(paths, ["username", "password"]);
}

#[actix_web::test]
async fn an_account_is_removed_once_and_the_last_administrator_never() {
    let site = Site::new().await;
    site.add_user(3, Role::Admin).await;
    for (number, status, code) in [(2, 204, ""), (2, 404, "not_found"), (3, 409, "last_admin")] {
        let path = format!("/admin/users/{}", user(number));
        site.refuses(by("admin", request("DELETE", &path)), status, code)
            .await;
    }
}

#[actix_web::test]
async fn a_log_in_that_fails_says_no_more_than_that() {
    let site = Site::new().await;
    for username in ["nobody", "user-1"] {
        let body = json!({"username": username, "password": "wrong"});
        let answer = site.send(request("POST", "/auth/login").set_json(body)).await;
        let answer = answer.assert_is(401, "bad_credentials");
        assert_eq!(answer.header("www-authenticate"), None);
    }
    let body = json!({"username": "anna", "password": "long enough"});
    site.refuses(
        request("POST", "/auth/register").set_json(body),
        403,
        "registration_closed",
    )
    .await;
}

#[actix_web::test]
async fn log_ins_are_limited() {
    let site = Site::new().await;
    let body = json!({"username": "anna", "password": "guess"});
    let guess = || site.send(request("POST", "/auth/login").set_json(&body));
    for _ in 0..LoginBudgets::default().account.burst.get() {
        guess().await.assert_is(401, "bad_credentials");
    }
    guess().await.assert_is(429, "rate_limited");
}

/// A guess that nobody waits for is one.
#[actix_web::test]
async fn who_hangs_up_is_counted() {
    // The body is read by then, and the password, or the secret, on its way.
    for (path, polls, body) in [
        ("/auth/login", 2, json!({"username": "anna", "password": "guess"})),
        (
            "/auth/invite",
            1,
            json!({"secret": "guess", "username": "anna", "password": "long enough"}),
        ),
    ] {
        counts_who_hangs_up(path, polls, &body).await;
    }
}

async fn counts_who_hangs_up(path: &str, polls: u32, body: &Value) {
    let site = Site::new().await;
    let guess = || site.send(request("POST", path).set_json(body));
    let budget = LoginBudgets::default().account.burst.get();
    for _ in 0..budget {
        let mut hung_up = Box::pin(guess());
        for _ in 0..polls {
            assert!(futures_util::poll!(&mut hung_up).is_pending());
            tokio::task::yield_now().await;
        }
        drop(hung_up);
    }
    // Some of them may still be under way. Were none counted, so many more would be let in.
    let mut more = 0;
    while guess().await.status != 429 {
        more += 1;
        assert!(more < budget, "{path}: nobody who hung up was counted");
    }
}

#[actix_web::test]
async fn those_who_are_not_signed_in_send_small_bodies() {
    let site = Site::new().await;
    for path in [
        "/auth/login",
        "/auth/register",
        "/auth/invite",
        "/auth/refresh",
        "/auth/logout",
    ] {
        for (length, status, code) in [
            (64 * 1024, 422, "validation_failed"),
            (64 * 1024 + 1, 413, "body_too_large"),
        ] {
            let body = format!("{{{}}}", " ".repeat(length - 2));
            site.refuses(request("POST", path).set_payload(body), status, code)
                .await;
        }
    }
}
