//! The devices of a user.

use mosaic_domain::text::Label;
use mosaic_ports::Clock as _;

use super::site::login;
use super::*;

#[actix_web::test]
async fn d2_devices_are_listed_and_the_one_that_asks_is_marked() {
    let site = Site::new().await;
    let memo = json!({"content": ""});
    site.post("/memos", &memo).await.assert_ok();
    site.post("/sync/pull", &json!({"clientId": "phone"}))
        .await
        .assert_ok();
    site.clock.advance(10);
    let mut laptop = login(1, Some("laptop"));
    laptop.device_name = Label::new("Mine".to_owned()).ok();
    laptop.token.issued_at = site.clock.now();
    site.log_in(laptop).await;
    // What was served is noted with the next write.
    site.post("/memos", &memo).await.assert_ok();
    let asked = ask("GET", "/devices").insert_header(("X-Client-Id", "phone"));
    assert_eq!(
        site.send(asked).await.body,
        json!([
            {"clientId": "laptop", "name": "Mine", "cursors": {}, "lastPulledAt": null, "lastSeenAt": NOW + 10,
             "signedIn": true, "behindMs": null, "current": false},
            {"clientId": "phone", "name": null, "cursors": {"memo": NOW, "diary": NOW, "resource": NOW, "bot": NOW},
             "lastPulledAt": NOW, "lastSeenAt": NOW, "signedIn": true, "behindMs": 10, "current": true},
        ])
    );
}

#[actix_web::test]
async fn d2_a_device_is_forgotten_by_its_name() {
    let site = Site::new().await;
    site.log_in(login(1, Some("Anna's tablet/ä%41"))).await;
    let forget = |name: &str| site.send(ask("DELETE", &format!("/api/devices/{name}")));
    let name = "Anna's%20tablet%2F%C3%A4%2541";
    forget(name).await.assert_is(204, "");
    forget(name).await.assert_is(404, "not_found");
    forget(&"x".repeat(65))
        .await
        .assert_refuses("clientId", "too_long");
    forget("a%00").await.assert_refuses("clientId", "nul");
}
