//! Bad input: refused with the right status, the right code and the path to the field, and nothing of it is stored.

mod keys;
mod routes;
mod tables;

pub use tables::bad_fields;
use tables::*;

use reqwest::Method;
use reqwest::header::{HeaderMap, HeaderValue};
use serde_json::{Value, json};

use crate::harness::Server;
use crate::kinds::{BOT, DIARY, KINDS, Kind, MEMO, RESOURCE, T, with};
use crate::scene::Scene;

#[tokio::test(flavor = "multi_thread")]
async fn every_field_of_every_record_is_checked_in_post_and_put() {
    let scene = Scene::new(&[]).await;
    for (kind, fields) in KINDS.into_iter().zip(TABLES) {
        let id = ("id", Shape::Id, false);
        for (name, shape, nullable) in fields.iter().chain(&TIMES).copied() {
            for (value, inner, code) in all_bad(shape, nullable) {
                let path = format!("{name}{inner}");
                let field = json!({name: value});
                let post = kind.create(&scene.phone, 2, "new", &field).await;
                post.invalid(&path, code);
                let put = scene.phone.put(&kind.path(1), &field).await;
                put.invalid(&path, code);
            }
        }
        if !kind.is_diary() {
            for (value, _, code) in all_bad(id.1, id.2) {
                let post = kind.create(&scene.phone, 2, "new", &json!({"id": value})).await;
                post.invalid("id", code);
            }
        }
        scene.assert_untouched(kind.name).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_create_needs_must_be_there() {
    let scene = Scene::new(&[]).await;
    for (path, body, needed) in [
        ("/memos", json!({}), "content"),
        ("/resources", json!({"fileSize": 1}), "filename"),
        ("/resources", json!({"filename": "a.png"}), "fileSize"),
        ("/bots", json!({}), "name"),
        ("/sync/pull", json!({}), "clientId"),
        ("/sync/push", json!({"changes": {}}), "clientId"),
        ("/auth/login", json!({"username": "admin"}), "password"),
        ("/auth/login", json!({"password": "x"}), "username"),
        ("/auth/refresh", json!({}), "refreshToken"),
        ("/auth/logout", json!({}), "refreshToken"),
        (
            "/auth/change-password",
            json!({"oldPassword": "x"}),
            "newPassword",
        ),
        ("/admin/users", json!({"username": "x"}), "password"),
    ] {
        scene.phone.post(path, &body).await.invalid(needed, "required");
    }
    for (path, needed) in [
        (format!("{}/summary", DIARY.path(1)), "summary"),
        (format!("{}/mood", DIARY.path(1)), "moodKey"),
        ("/bots/reorder".to_owned(), "order"),
    ] {
        scene
            .phone
            .put(&path, &json!({}))
            .await
            .invalid(needed, "required");
    }
    scene.assert_untouched("bodies with something missing").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_routes_that_set_one_thing_check_it_too() {
    let scene = Scene::new(&[]).await;
    let (memo, diary) = (MEMO.path(1), DIARY.path(1));
    let tables: [(String, &[Field], Value); 5] = [
        (
            format!("{diary}/summary"),
            &DIARY_FIELDS[..1],
            json!({"summary": ""}),
        ),
        (
            format!("{diary}/mood"),
            &DIARY_FIELDS[1..3],
            json!({"moodKey": "joy", "moodScore": 5}),
        ),
        (format!("{memo}/archive"), &MEMO_FIELDS[3..4], json!({})),
        (format!("{memo}/unarchive"), &MEMO_FIELDS[3..4], json!({})),
        (
            "/bots/reorder".to_owned(),
            &[(
                "order",
                Shape::Ids {
                    most: 1_000,
                    once: true,
                },
                false,
            )],
            json!({"order": []}),
        ),
    ];
    for (path, fields, base) in tables {
        for (name, shape, nullable) in fields.iter().chain(&TIMES[1..]).copied() {
            for (value, inner, code) in all_bad(shape, nullable) {
                let body = with(&base, &json!({name: value}));
                let answer = scene.phone.put(&path, &body).await;
                answer.invalid(&format!("{name}{inner}"), code);
            }
        }
        scene.assert_untouched(&path).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_that_is_wrong_is_told_at_once() {
    let scene = Scene::new(&[]).await;
    let body = json!({"tags": ["a", "a"], "isArchived": 1, "diaryDate": "2026-02-30", "updatedAt": -1});
    let problem = scene
        .phone
        .post("/memos", &body)
        .await
        .invalid("content", "required");
    let paths: Vec<&str> = crate::kinds::column(&problem["errors"], "path");
    assert_eq!(
        paths,
        ["content", "tags[1]", "isArchived", "diaryDate", "updatedAt"]
    );
    scene.assert_untouched("a body with five faults").await;
}

/// The largest values that each field accepts.
fn largest() -> [(Kind, Value); 4] {
    let safe = (1_i64 << 53) - 1;
    let tags: Vec<String> = (0..100).map(|n| format!("{n:ü>100}")).collect();
    let object = json!({"a": "x".repeat(16 * KIB - r#"{"a":""}"#.len())});
    let memo = json!({
        "content": "x".repeat(MIB), "tags": tags, "isArchived": true, "diaryDate": "9999-12-31",
        "aiSummary": "y".repeat(64 * KIB), "resourceIds": [], "createdAt": safe, "updatedAt": 0,
    });
    let sources: Vec<String> = (0..1_000).map(|n| MEMO.key(n)).collect();
    let diary = json!({
        "summary": "x".repeat(MIB), "moodKey": "tired", "moodScore": 10, "generatedFromMemoIds": sources,
        "lastAutoGeneratedAt": safe, "createdAt": 0,
    });
    let resource = json!({
        "filename": "ü".repeat(255), "mimeType": format!("image/{}", "x".repeat(121)), "fileSize": safe,
        "sha256": "0123456789abcdef".repeat(4), "storageType": "s3", "sortOrder": i32::MAX, "metadata": object,
    });
    let bot = json!({
        "name": "ü".repeat(100), "avatarUrl": "x".repeat(2_048), "description": "x".repeat(64 * KIB), "tags": tags,
        "sortOrder": i32::MIN, "model": "m".repeat(255), "aiConfig": {"a": nested(15)},
    });
    [(MEMO, memo), (DIARY, diary), (RESOURCE, resource), (BOT, bot)]
}

#[tokio::test(flavor = "multi_thread")]
async fn the_limits_themselves_are_accepted_and_kept_exactly() {
    let scene = Scene::new(&[]).await;
    for (kind, body) in largest() {
        let stored = kind.create(&scene.phone, 2, "x", &body).await.ok();
        let read = kind.get(&scene.phone, 2).await;
        for (name, value) in body
            .as_object()
            .unwrap()
            .iter()
            .filter(|(name, _)| *name != "resourceIds")
        {
            assert_eq!(
                (&stored[name], &read[name]),
                (value, value),
                "{} {name}",
                kind.name
            );
        }
    }
    let longest = scene.phone.on(&"ü".repeat(64));
    longest.pull(&json!({"memo": (1_i64 << 53) - 1})).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn content_is_measured_unpacked_and_without_its_escapes() {
    let scene = Scene::new(&[]).await;
    let escaped = |characters: usize| format!(r#"{{"content":"{}"}}"#, r"\u0001".repeat(characters));
    let stored = scene.phone.raw(&Method::POST, "/memos", escaped(MIB)).await.ok();
    assert_eq!(stored["content"].as_str().map(str::len), Some(MIB));
    let refused = scene.phone.raw(&Method::POST, "/memos", escaped(MIB + 1)).await;
    refused.invalid("content", "too_long");
}
