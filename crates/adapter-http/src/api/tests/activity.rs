//! What happened to an account, page by page.

use mosaic_domain::activity::{ActivityKind, Doer};

use super::site::{login, user};
use super::*;

#[actix_web::test]
async fn a_trail_is_shown_to_its_owner_page_by_page() {
    let site = Site::new().await;
    let trail = site.state().trail.clone();
    for (owner, kind, detail) in [
        (1, ActivityKind::LoginFailed, None),
        (1, ActivityKind::DeviceForgotten, Some("tablet")),
        (2, ActivityKind::LoginFailed, None),
        (1, ActivityKind::LoginFailed, None),
    ] {
        trail.note(user(owner), kind, Doer::Stranger, detail).await;
    }
    let first = site.get("/account/activity?limit=2").await.assert_ok();
    let items = first.body.as_array().unwrap();
    let kinds: Vec<_> = items
        .iter()
        .map(|event| event["kind"].as_str().unwrap())
        .collect();
    assert_eq!(kinds, ["login_failed", "device_forgotten"]);
    assert_eq!(items[1]["detail"], "tablet");
    assert_eq!(
        (&items[0]["by"], &items[0]["byUser"], &items[0]["address"]),
        (&json!("stranger"), &Value::Null, &Value::Null)
    );
    let next = first.header("link").unwrap();
    let next = next.strip_prefix('<').unwrap().split_once('>').unwrap().0;
    let last = site.get(next).await.assert_ok();
    assert_eq!(
        (last.body.as_array().unwrap().len(), last.header("link")),
        (1, None)
    );
    let failed = site
        .get("/account/activity?kind=login_failed&limit=1")
        .await
        .assert_ok();
    let next = failed.header("link").unwrap();
    assert!(next.contains("limit=1&kind=login_failed>"), "{next}");
    let later = format!("/account/activity?since={}", site.clock.ms() + 1);
    assert_eq!(site.get(&later).await.assert_ok().body, json!([]));
    for (query, path, code) in [
        ("kind=other", "kind", "unknown_value"),
        ("before=1", "before", "invalid_uuid"),
        ("limit=201", "limit", "out_of_range"),
    ] {
        let refused = site.get(&format!("/account/activity?{query}")).await;
        refused.assert_refuses(path, code);
    }
}

#[actix_web::test]
async fn a_device_that_is_forgotten_is_noted_with_where_that_was_asked() {
    let site = Site::new().await;
    site.log_in(login(1, Some("tablet"))).await;
    let request = ask("DELETE", "/devices/tablet")
        .insert_header(("user-agent", "Mosaic/1.0 (\u{e9})"))
        .peer_addr("198.51.100.7:1234".parse().unwrap());
    site.send(request).await.assert_is(204, "");
    let shown = site.get("/account/activity").await.assert_ok();
    let event = &shown.body[0];
    assert_eq!(event["kind"], "device_forgotten");
    assert_eq!(
        (&event["by"], &event["byUser"]),
        (&json!("user"), &json!(user(1).to_string()))
    );
    assert_eq!(event["address"], "198.51.100.7");
    assert_eq!(event["agent"], "Mosaic/1.0 (\u{e9})");
}
