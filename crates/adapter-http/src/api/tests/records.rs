//! Records, one at a time: keys, headers, what is answered, and what fails.

use std::task::Poll;

use futures_util::stream;
use mosaic_application::records::Records;
use mosaic_ports::{MissingPart, MockHealth, MockRecordReader};
use tokio::sync::Notify;

use super::site::goes_on;
use super::*;
use crate::admission::RequestLimits;

#[actix_web::test]
async fn keys_in_paths_are_checked() {
    let site = Site::new().await;
    for (method, path, _) in documented() {
        let (path, name) = match path {
            path if path.contains("{id}") => (path.replace("{id}", "17"), "id"),
            path if path.contains("{date}") => (path.replace("{date}", "2026-02-30"), "date"),
            _ => continue,
        };
        if method == "OPTIONS" {
            continue;
        }
        let asked = by("admin", request(&method, &path)).set_json(json!({}));
        let answer = site.refuses(asked, 422, "validation_failed").await;
        assert_eq!(answer.errors()[0].0, name, "{method} {path}");
    }
}

#[actix_web::test]
async fn the_device_s_headers_are_checked() {
    let site = Site::new().await;
    let long = "x".repeat(65);
    for (name, value, code) in [
        ("X-Client-Id", "", "empty"),
        ("X-Client-Id", long.as_str(), "too_long"),
        ("X-Client-Time", "soon", "invalid_type"),
        ("X-Client-Time", "1.5", "invalid_type"),
        ("X-Client-Time", "-1", "out_of_range"),
    ] {
        let request = ask("POST", "/memos").insert_header((name, value));
        let answer = site.send(request.set_json(json!({"content": ""}))).await;
        assert_eq!(answer.assert_refuses(name, code).errors().len(), 1);
    }
}

#[actix_web::test]
async fn a_create_answers_the_record() {
    let site = Site::new().await;
    let bot = json!({"name": "Mo", "updatedAt": NOW - 5});
    let answer = site.post("/api/bots", &bot).await.assert_ok();
    assert!(Uuid::try_parse(answer.body["id"].as_str().unwrap()).is_ok());
    answer.assert_has(&bot);
}

#[actix_web::test]
async fn errors_of_use_cases_become_problems() {
    let site = Site::new().await;
    let bot = ask("PUT", "/bots/{id}").set_json(json!({"name": "Mo"}));
    site.refuses(bot, 404, "not_found").await;

    let ahead = json!({"name": "Mo", "updatedAt": NOW + 600_000});
    let answer = site.post("/bots", &ahead).await.assert_is(422, "edit_time_ahead");
    answer.assert_has(&json!({"serverTime": NOW}));
    assert_eq!(answer.errors()[0].0, "updatedAt");

    let orphan = json!({"filename": "a", "fileSize": 1, "memoId": Uuid::nil()});
    site.post("/resources", &orphan)
        .await
        .assert_is(422, "unknown_memo");

    let order = ask("PUT", "/bots/reorder").set_json(json!({"order": [Uuid::nil()]}));
    let answer = site.refuses(order, 422, "unknown_bot").await;
    assert_eq!(answer.errors()[0].0, "order[0]");
}

#[actix_web::test]
async fn a_store_that_fails_is_told_and_not_why() {
    for (error, status, code) in [
        (StoreError::Unavailable("secret".into()), 503, "unavailable"),
        (StoreError::Failed("secret".into()), 500, "internal"),
    ] {
        let mut site = Site::new().await;
        let (mut reader, mut errors) = (MockRecordReader::new(), vec![error]);
        reader
            .expect_record()
            .returning(move |_, _| Err(errors.pop().unwrap()));
        let (write, ids) = (site.stores.write.clone(), site.state().ids.clone());
        site.state_mut().records = Records::new(write, Arc::new(reader), ids);
        let answer = site.get(&format!("/bots/{ID}")).await.assert_is(status, code);
        assert!(answer.body["requestId"].is_string());
        assert!(!answer.text.contains("secret"), "{}", answer.text);
    }
}

#[actix_web::test]
async fn readiness_is_that_of_the_store() {
    let mut site = Site::new().await;
    let ready = site.send(request("GET", "/health/ready")).await.assert_ok();
    assert_eq!(ready.body["status"], "ready");

    let mut site_with = async |found: fn() -> Result<Vec<MissingPart>, StoreError>| {
        let mut health = MockHealth::new();
        health.expect_check().returning(found);
        site = Site::new().await;
        site.state_mut().health = Arc::new(health);
        site.send(request("GET", "/health/ready")).await
    };
    let gone = site_with(|| Err(StoreError::Unavailable("gone".into()))).await;
    gone.assert_is(503, "not_ready");
    // Without a part everything else works.
    let answer = site_with(|| Ok(vec![MissingPart::Attachments])).await.assert_ok();
    assert_eq!(answer.body["attachments"], "unavailable");
    assert!(answer.body.get("database").is_none());
    let answer = site_with(|| Ok(vec![MissingPart::Machines])).await.assert_ok();
    assert_eq!(answer.body["database"], "partly_unavailable");
}

/// A request takes its place before its body is read.
#[actix_web::test]
async fn a_user_has_so_many_places_and_the_next_request_waits_for_one() {
    let mut site = Site::new().await;
    site.settings_mut().requests = RequestLimits {
        per_user: 1,
        ..RequestLimits::default()
    };
    let reads = Arc::new(Notify::new());
    let told = reads.clone();
    let never = stream::poll_fn(move |_| {
        told.notify_one();
        Poll::Pending
    });
    let mut slow = Box::pin(site.start(goes_on(ask("POST", "/memos"), b"", never)));
    tokio::select! {
        _ = &mut slow => panic!("its body does not come"),
        () = reads.notified() => {}
    }
    let mut next = Box::pin(site.get("/memos?page=none"));
    let a_moment = tokio::time::timeout(Duration::from_millis(50), &mut next).await;
    assert!(a_moment.is_err(), "there is one place");
    drop(slow);
    next.await.assert_is(422, "validation_failed");
}

/// What they are refused with stands in the document: the routes themselves assert that.
#[actix_web::test]
async fn every_route_of_a_record_that_was_deleted_answers_what_is_listed() {
    let site = Site::new().await;
    for (kind, body) in [
        ("memos", json!({"content": "x", "diaryDate": "2026-05-16"})),
        (
            "resources",
            json!({"filename": "a.png", "mimeType": "image/png", "fileSize": 3}),
        ),
        ("bots", json!({"name": "b"})),
        ("diaries", json!({"summary": "s"})),
    ] {
        let routes = documented().into_iter().enumerate();
        for (number, (method, template, _)) in routes.filter(|(_, (_, template, _))| {
            template.starts_with(&format!("/{kind}/{{id}}"))
                || template.starts_with(&format!("/{kind}/{{date}}"))
        }) {
            let key = match kind {
                "diaries" => format!("2026-{:02}-{:02}", 1 + number / 28 % 12, 1 + number % 28),
                _ => Uuid::from_u128(number as u128 + 1).to_string(),
            };
            let path = format!("/{kind}/{key}");
            let mut new = body.clone();
            let made = if kind == "diaries" {
                site.send(ask("PUT", &path).set_json(&new)).await
            } else {
                new["id"] = (*key).into();
                site.post(&format!("/{kind}"), &new).await
            };
            made.assert_ok();
            assert_eq!(site.send(ask("DELETE", &path)).await.status, 204);
            let at = template
                .replace("{id}", &key)
                .replace("{date}", &key)
                .replace("{revision}", "1");
            let asked = ask(&method, &at);
            let asked = if method == "GET" {
                asked
            } else {
                asked.set_json(json!({}))
            };
            let answer = site.send(asked).await;
            assert!(answer.status < 500, "{method} {at}: {}", answer.text);
            if answer.status == 404 {
                answer.assert_is(404, "deleted");
            }
        }
    }
}
