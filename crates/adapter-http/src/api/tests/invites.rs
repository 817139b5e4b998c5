//! Invites, from the link to the account (I1 to I3).

use mosaic_domain::account::{AccountChange, Role};
use mosaic_domain::activity::{ActivityQuery, SERVER};
use mosaic_domain::invite::{InviteLifetime, OPEN_MAX};

use super::site::{login, user};
use super::*;

/// A server whose user 1 is an administrator.
async fn site() -> Site {
    let site = Site::new().await;
    set_role(&site, Role::Admin).await;
    site
}

async fn set_role(site: &Site, role: Role) {
    let change = AccountChange {
        role: Some(role),
        ..AccountChange::default()
    };
    let now = site.state().clock.now();
    site.add_user(if role == Role::Admin { 7 } else { 8 }, Role::Admin)
        .await;
    site.stores
        .accounts
        .update(user(1), change, now, None)
        .await
        .unwrap();
    // Another role has ended it.
    site.log_in(login(1, None)).await;
}

fn to_make(body: &Value) -> TestRequest {
    by("admin", request("POST", "/admin/invites")).set_json(body)
}

async fn make(site: &Site, body: &Value) -> Value {
    site.send(to_make(body)).await.assert_ok().body
}

fn with(secret: &Value, name: &str) -> Value {
    json!({"secret": secret, "username": name, "password": "a password of theirs"})
}

fn accept(body: &Value) -> TestRequest {
    request("POST", "/auth/invite").set_json(body)
}

async fn listed(site: &Site) -> Vec<Value> {
    let all = site.send(by("admin", request("GET", "/admin/invites"))).await;
    all.assert_ok().body["items"].as_array().unwrap().clone()
}

#[actix_web::test]
async fn i1_who_has_the_link_makes_one_account() {
    let site = site().await;
    let body = json!({"role": "admin", "quota": "5GiB", "lifetimeMs": 60_000});
    let made = make(&site, &body).await;
    let secret = made["secret"].as_str().unwrap();
    assert!(secret.len() == 40 && made["address"] == format!("/invite#{secret}"));
    assert_eq!(made["link"], Value::Null);
    let invite = &made["invite"];
    assert_eq!(
        (&invite["state"], &invite["role"], &invite["quota"]),
        (&json!("open"), &json!("admin"), &json!("5GiB"))
    );
    assert_eq!(invite["expiresAt"], NOW + 60_000);
    assert_eq!(invite["madeBy"], user(1).to_string());
    // A name that is taken uses no invite.
    site.refuses(accept(&with(&made["secret"], "USER-2")), 409, "username_taken")
        .await;
    let login = site
        .send(accept(&with(&made["secret"], "Ben")))
        .await
        .assert_ok()
        .body;
    let ben = &login["user"];
    assert_eq!(
        (&ben["username"], &ben["role"], &ben["quota"]),
        (&json!("Ben"), &json!("admin"), &json!("5GiB"))
    );
    assert!(login["accessToken"].is_string() && login["refreshToken"].is_string());
    assert_eq!(login["mustChangePassword"], false);
    site.refuses(accept(&with(&made["secret"], "carl")), 410, "invite_used")
        .await;
    let listed = listed(&site).await;
    assert_eq!(
        (&listed[0]["state"], &listed[0]["usedBy"], &listed[0]["endedAt"]),
        (&json!("used"), &ben["id"], &json!(NOW))
    );
    let id = invite["id"].as_str().unwrap();
    let revoke = by("admin", request("DELETE", &format!("/admin/invites/{id}")));
    site.refuses(revoke, 410, "invite_used").await;
}

#[actix_web::test]
async fn i2_what_expired_was_taken_back_or_was_never_there_makes_no_account() {
    let site = site().await;
    let made = make(&site, &json!({})).await;
    assert_eq!(made["invite"]["expiresAt"], NOW + InviteLifetime::DEFAULT.ms());
    let id = made["invite"]["id"].as_str().unwrap();
    let path = format!("/admin/invites/{id}");
    site.refuses(by("user", request("DELETE", &path)), 403, "forbidden")
        .await;
    for _ in 0..2 {
        site.send(by("admin", request("DELETE", &path)))
            .await
            .assert_is(204, "");
    }
    let used = accept(&with(&made["secret"], "ben"));
    site.refuses(used, 410, "invite_revoked").await;
    let unknown = by("admin", request("DELETE", &format!("/admin/invites/{ID}")));
    site.refuses(unknown, 404, "not_found").await;

    let made = make(&site, &json!({"lifetimeMs": 60_000})).await;
    site.clock.advance(59_999);
    let states = |listed: Vec<Value>| listed.into_iter().map(|invite| invite["state"].clone());
    assert!(states(listed(&site).await).eq(["open", "revoked"]));
    site.clock.advance(1);
    let late = accept(&with(&made["secret"], "ben"));
    site.refuses(late, 410, "invite_expired").await;
    assert!(states(listed(&site).await).eq(["expired", "revoked"]));

    let wrong = accept(&with(&json!("0".repeat(40)), "ben"));
    site.refuses(wrong, 404, "unknown_invite").await;
    // Who has no invite is not told whose name is taken.
    let wrong = accept(&with(&json!("0".repeat(40)), "user-2"));
    site.refuses(wrong, 404, "unknown_invite").await;
}

#[actix_web::test]
async fn i2_an_invite_is_worth_as_much_as_who_made_it() {
    let site = site().await;
    let made = make(&site, &json!({"role": "admin"})).await;
    set_role(&site, Role::User).await;
    let used = accept(&with(&made["secret"], "ben"));
    site.refuses(used, 410, "invite_revoked").await;
    assert_eq!(listed(&site).await[0]["state"], "revoked");
}

#[actix_web::test]
async fn i3_too_many_open_invites_and_what_makes_no_sense_are_refused() {
    let site = site().await;
    for (body, path, code) in [
        (json!({"role": "root"}), "role", "unknown_value"),
        (json!({"quota": "much"}), "quota", "invalid_size"),
        (json!({"lifetimeMs": 59_999}), "lifetimeMs", "out_of_range"),
        (json!({"lifetimeMs": "7d"}), "lifetimeMs", "invalid_type"),
        (
            json!({"lifetimeMs": InviteLifetime::MAX_MS + 1}),
            "lifetimeMs",
            "out_of_range",
        ),
    ] {
        site.send(to_make(&body)).await.assert_refuses(path, code);
    }
    let denied = by("user", request("POST", "/admin/invites")).set_json(json!({}));
    site.refuses(denied, 403, "forbidden").await;
    let first = make(&site, &json!({})).await;
    for _ in 1..OPEN_MAX {
        make(&site, &json!({})).await;
    }
    site.refuses(to_make(&json!({})), 409, "too_many_invites").await;
    let id = first["invite"]["id"].as_str().unwrap();
    let revoke = by("admin", request("DELETE", &format!("/admin/invites/{id}")));
    site.send(revoke).await.assert_is(204, "");
    make(&site, &json!({})).await;
    let page = by("admin", request("GET", "/admin/invites?pageSize=60&page=2"));
    let page = site.send(page).await.assert_ok().body;
    assert_eq!(
        (&page["total"], page["items"].as_array().unwrap().len()),
        (&json!(OPEN_MAX + 1), 41)
    );
}

#[actix_web::test]
async fn names_and_passwords_keep_the_rules_of_all_accounts() {
    let site = site().await;
    let made = make(&site, &json!({})).await;
    let secret = &made["secret"];
    for (body, path, code) in [
        (
            json!({"secret": secret, "username": "b n", "password": "x".repeat(8)}),
            "username",
            "white_space",
        ),
        (
            json!({"secret": secret, "username": "ben", "password": "x".repeat(7)}),
            "password",
            "too_short",
        ),
        (
            json!({"secret": secret, "username": "ben"}),
            "password",
            "required",
        ),
        (
            json!({"username": "ben", "password": "x".repeat(8)}),
            "secret",
            "required",
        ),
        (with(&json!("x".repeat(1_025)), "ben"), "secret", "too_long"),
        (with(&json!(7), "ben"), "secret", "invalid_type"),
    ] {
        site.send(accept(&body)).await.assert_refuses(path, code);
    }
    site.send(accept(&with(secret, "ben"))).await.assert_ok();
}

#[actix_web::test]
async fn secrets_can_not_be_guessed_nor_names_be_asked_for_without_end() {
    for (secret, name, status, code) in [
        (None, "ben", 404, "unknown_invite"),
        (Some(()), "user-2", 409, "username_taken"),
    ] {
        let site = site().await;
        let made = make(&site, &json!({})).await;
        let secret = secret.map_or(json!("0".repeat(40)), |()| made["secret"].clone());
        for _ in 0..10 {
            site.refuses(accept(&with(&secret, name)), status, code).await;
        }
        let waits = site
            .refuses(accept(&with(&secret, name)), 429, "rate_limited")
            .await;
        assert!(waits.header("retry-after").is_some());
        let good = accept(&with(&made["secret"], "ben"));
        site.refuses(good, 429, "rate_limited").await;
    }
}

#[actix_web::test]
async fn invites_are_noted_in_the_trail_of_whoever_made_them() {
    let site = site().await;
    let (first, second) = (make(&site, &json!({})).await, make(&site, &json!({})).await);
    let id = second["invite"]["id"].as_str().unwrap();
    let revoke = by("admin", request("DELETE", &format!("/admin/invites/{id}")));
    site.send(revoke).await.assert_is(204, "");
    let login = site
        .send(accept(&with(&first["secret"], "ben")).peer_addr("198.51.100.7:1234".parse().unwrap()))
        .await
        .assert_ok()
        .body;
    let trail = site.state().trail.clone();
    let kinds = async |of| {
        let page = trail.page(of, ActivityQuery::newest(20)).await.unwrap();
        page.items
            .into_iter()
            .map(|event| (event.kind.name(), event.by.user(), event.detail))
            .collect::<Vec<_>>()
    };
    let ben = login["user"]["id"].as_str().unwrap().parse().unwrap();
    let noted = kinds(user(1)).await;
    let names: Vec<_> = noted.iter().map(|(kind, ..)| *kind).collect();
    assert_eq!(
        names,
        ["invite_used", "invite_revoked", "invite_made", "invite_made"]
    );
    assert_eq!(noted[0].1, Some(ben));
    let said = noted[0].2.as_ref().unwrap().as_str().to_owned();
    assert_eq!(said, format!("user {}", first["invite"]["id"].as_str().unwrap()));
    let of_ben: Vec<_> = kinds(ben).await.into_iter().map(|(kind, ..)| kind).collect();
    assert_eq!(of_ben, ["login", "account_created"]);
    assert_eq!(kinds(SERVER).await, []);
    // Not from where somebody else came.
    let shown = site.get("/account/activity?kind=invite_used").await.assert_ok();
    assert_eq!(shown.body[0]["address"], Value::Null);
}

#[actix_web::test]
async fn a_link_begins_with_the_address_of_the_configuration() {
    let mut site = site().await;
    site.state_mut().public_url = Some("https://sync.example.org/mosaic".into());
    let made = make(&site, &json!({})).await;
    let link = format!(
        "https://sync.example.org/mosaic{}",
        made["address"].as_str().unwrap()
    );
    assert_eq!(made["link"], link);
}
