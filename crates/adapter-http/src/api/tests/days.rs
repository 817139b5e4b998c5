//! Days are those of the user who asks.

use mosaic_application::days::Days;
use mosaic_application::diaries::Diaries;
use mosaic_application::memos::Memos;

use super::*;

/// 2026-05-16T07:00:00 in Shanghai, and still the day before in UTC.
const MORNING: i64 = 1_778_886_000_000;
const DAYS: [&str; 2] = ["2026-05-15", "2026-05-16"];

/// A site on which a memo was made in the morning, with diaries of both days.
async fn site() -> Site {
    let site = Site::new().await;
    let memo = json!({"id": ID, "content": "tea", "createdAt": MORNING});
    site.post("/memos", &memo).await.assert_ok();
    for day in DAYS {
        let diary = json!({"content": "a day"});
        site.post(&format!("/diaries/{day}"), &diary).await.assert_ok();
    }
    site
}

/// The memo is among those of this day alone, whatever shows them.
async fn assert_made_on(site: &Site, made_on: &str) {
    for day in DAYS {
        for path in [
            format!("/memos/date/{day}"),
            format!("/memos/search?startDate={day}&endDate={day}"),
            format!("/diaries/{day}"),
        ] {
            let body = site.get(&path).await.assert_ok().body;
            let memos = body.get("memos").unwrap_or(&body).as_array().unwrap();
            assert_eq!(memos.len(), usize::from(day == made_on), "{path}: {body}");
        }
    }
}

#[actix_web::test]
async fn a_memo_is_on_the_day_that_its_user_had() {
    let site = site().await;
    assert_made_on(&site, "2026-05-15").await;
    for (zone, day) in [
        (json!("Asia/Shanghai"), "2026-05-16"),
        (json!("America/New_York"), "2026-05-15"),
        (json!("Asia/Shanghai"), "2026-05-16"),
        (Value::Null, "2026-05-15"),
    ] {
        let change = ask("PUT", "/auth/update-user").set_json(json!({"timeZone": zone}));
        let changed = site.send(change).await.assert_ok();
        assert_eq!(changed.body["timeZone"], zone);
        assert_made_on(&site, day).await;
    }
}

#[actix_web::test]
async fn the_zone_of_the_server_is_that_of_whoever_has_none() {
    let mut site = site().await;
    let days = Days::new(site.stores.accounts.clone(), "Asia/Shanghai".parse().unwrap());
    let state = site.state_mut();
    state.memos = Memos::new(state.records.clone(), days);
    state.diaries = Diaries::new(state.records.clone(), state.memos.clone());
    assert_made_on(&site, "2026-05-16").await;
    let change = ask("PUT", "/auth/update-user").set_json(json!({"timeZone": "UTC"}));
    site.send(change).await.assert_ok();
    assert_made_on(&site, "2026-05-15").await;
}
