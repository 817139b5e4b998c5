//! Pulls, pushes and digests.

use super::*;

#[actix_web::test]
async fn p2_a_device_at_rest_is_told_four_equal_cursors() {
    let site = Site::new().await;
    site.post("/memos", &json!({"content": ""})).await.assert_ok();
    let cursors = json!({"memo": NOW, "diary": NOW + 49, "resource": NOW, "bot": NOW});
    let body = json!({"clientId": "phone", "cursors": cursors});
    let none = json!({"updated": [], "deletedIds": []});
    let epoch = site.stores.identity.epoch().await.unwrap().to_string();
    assert_eq!(
        site.post("/sync/pull", &body).await.body,
        json!({
            "cursors": {"memo": NOW, "diary": NOW, "resource": NOW, "bot": NOW},
            "changes": {"memo": none, "diary": none, "resource": none, "bot": none},
            "hasMore": {"memo": false, "diary": false, "resource": false, "bot": false},
            "serverTime": NOW, "epoch": epoch, "reset": ["diary"],
        })
    );
}

/// What ids of these tests begin with.
const ZEROS: &str = "00000000-0000-0000-0000-00000000000";

#[actix_web::test]
async fn b1_b2_each_record_of_a_push_has_its_outcome_in_its_place() {
    let site = Site::new().await;
    let id = |number: u128| Uuid::from_u128(number).to_string();
    let body = json!({"clientId": "phone", "changes": {
        "resource": {"updated": [
            {"id": id(7), "filename": "a", "fileSize": 1, "memoId": id(1)},
            {"id": id(8), "filename": "b", "fileSize": 1, "memoId": id(99)},
        ]},
        "memo": {
            "updated": [
                {"id": id(1), "content": "one", "updatedAt": NOW},
                {"id": id(2), "content": 2},
                {"id": id(1), "content": "again"},
                {"id": id(3), "content": "early", "updatedAt": NOW + 600_000},
            ],
            "deleted": [{"id": id(4)}],
        },
        "diary": {"deleted": [{"date": "2026-05-16", "updatedAt": 5}]},
        "bot": {},
    }});
    let answer = site.post("/api/sync/push", &body).await.assert_ok();
    let results = &answer.body["results"];
    let outcomes = |entity: &str| -> Vec<String> {
        let text = |value: &Value| value.as_str().unwrap_or("-").trim_start_matches(ZEROS).to_owned();
        let told = |one: &Value| {
            let error = &one["error"];
            let told = [
                &one["id"],
                &one["outcome"],
                &error["code"],
                &error["errors"][0]["path"],
            ];
            told.map(text).join(" ")
        };
        results[entity].as_array().unwrap().iter().map(told).collect()
    };
    assert_eq!(
        outcomes("memo"),
        [
            "1 applied - -",
            "2 rejected validation_failed changes.memo.updated[1].content",
            "1 rejected duplicate -",
            "3 rejected edit_time_ahead changes.memo.updated[3].updatedAt",
            "4 applied - -",
        ]
    );
    let unknown = "8 rejected unknown_memo changes.resource.updated[1].memoId";
    assert_eq!(outcomes("resource"), ["7 applied - -", unknown]);
    assert_eq!(outcomes("diary"), ["2026-05-16 applied - -"]);
    assert_eq!(results["bot"], json!([]));
    assert_eq!(
        results["memo"][0],
        json!({"id": id(1), "outcome": "applied", "stamp": NOW, "stored": {
            "tags": [], "isArchived": false, "diaryDate": null, "aiSummary": null, "isDeleted": false, "revisionCount": 1,
            "createdAt": NOW,
        }})
    );
    assert_eq!(results["memo"][4]["stored"], json!({"updatedAt": NOW}));
    assert_eq!(results["memo"][1]["retryable"], false);
    assert_eq!(results["resource"][1]["retryable"], true);
    answer.assert_has(&json!({"clock": NOW + 3, "serverTime": NOW}));

    // A rejection says what a single write would have been answered, all of it.
    let create = json!({"id": id(4), "content": "x"});
    let body = json!({"clientId": "phone", "changes": {"memo": {"updated": [create]}}});
    let answer = site.post("/sync/push", &body).await.assert_ok();
    let single = site.post("/memos", &create).await.assert_is(409, "deleted");
    let error = &answer.body["results"]["memo"][0]["error"];
    assert_eq!(error["updatedAt"], NOW);
    for (name, as_single) in [
        ("code", "code"),
        ("message", "detail"),
        ("updatedAt", "updatedAt"),
    ] {
        assert_eq!(error[name], single.body[as_single], "{name}");
    }
}

#[actix_web::test]
async fn w4_the_winners_are_shown_until_they_are_too_large() {
    let site = Site::new().await;
    let push = async |content: &str, updated_at: i64| {
        let memo = |i| json!({"id": Uuid::from_u128(i), "content": content, "updatedAt": updated_at});
        let memos: Vec<Value> = (0..4).map(memo).collect();
        let body = json!({"clientId": "phone", "changes": {"memo": {"updated": memos}}});
        site.post("/sync/push", &body).await.assert_ok().body
    };
    // Six bytes each, as JSON.
    push(&"\u{1}".repeat(400_000), NOW - 5).await;
    let last = format!("/memos/{}?updatedAt={}", Uuid::from_u128(3), NOW - 4);
    assert_eq!(site.send(ask("DELETE", &last)).await.status, 204);
    let answer = push("old", 5).await;
    let results = answer["results"]["memo"].as_array().unwrap();
    assert!(results.iter().all(|one| one["outcome"] == "superseded"));
    assert_eq!(results[0]["current"]["updatedAt"], NOW - 5);
    let shown: Vec<bool> = results.iter().map(|one| one["current"].is_object()).collect();
    assert_eq!(shown, [true, true, false, true], "a tombstone takes no room");
    assert_eq!(results[3]["current"]["isDeleted"], true);
}

#[actix_web::test]
async fn b3_a_push_says_what_is_stored_where_it_is_not_as_sent() {
    let site = Site::new().await;
    let push = async |record: &Value, client_time: i64| {
        let changes = json!({"memo": {"updated": [record]}});
        let body = json!({"clientId": "phone", "clientTime": client_time, "changes": changes});
        site.post("/sync/push", &body).await.assert_ok().body
    };
    let whole = json!({
        "id": ID, "content": "Stra\u{df}e", "tags": ["a"], "isArchived": false, "isDeleted": false, "diaryDate": null,
        "aiSummary": null, "createdAt": NOW - 9, "updatedAt": NOW - 5, "revisionCount": 1, "mine": [1],
    });
    let first = push(&whole, NOW).await;
    let told = &first["results"]["memo"][0];
    assert_eq!((&told["outcome"], told.get("stored")), (&json!("applied"), None));
    // Sent again after a lost answer, it says the same: the rest of what is stored, shifted times.
    let part = json!({"id": ID, "tags": ["b"], "updatedAt": NOW + 60_000});
    for outcome in ["applied", "unchanged"] {
        let answer = push(&part, NOW + 60_000).await;
        let told = &answer["results"]["memo"][0];
        assert_eq!(told["outcome"], outcome);
        let stored = json!({
            "content": "Stra\u{df}e", "isArchived": false, "isDeleted": false, "diaryDate": null, "aiSummary": null,
            "createdAt": NOW - 9, "updatedAt": NOW, "revisionCount": 2,
        });
        assert_eq!(told["stored"], stored);
        let applied = i64::from(outcome == "applied");
        assert_eq!(answer["clockBefore"], answer["clock"].as_i64().unwrap() - applied);
    }
}

#[actix_web::test]
async fn b3_what_is_stored_is_shown_while_there_is_room_and_its_numbers_always() {
    let site = Site::new().await;
    let push = async |content: Option<&str>, updated_at: i64| {
        let memo = |i| {
            let memo = json!({"id": Uuid::from_u128(i), "updatedAt": updated_at});
            match content {
                Some(content) => {
                    json!({"id": memo["id"], "updatedAt": memo["updatedAt"], "content": content})
                }
                None => memo,
            }
        };
        let memos: Vec<Value> = (0..3).map(memo).collect();
        let body = json!({"clientId": "phone", "changes": {
            "memo": {"updated": memos}, "bot": {"deleted": [{"id": ID}]},
        }});
        site.post("/sync/push", &body).await.assert_ok().body
    };
    push(Some(&"\u{1}".repeat(400_000)), NOW - 5).await;
    let answer = push(None, NOW).await;
    let results = answer["results"]["memo"].as_array().unwrap();
    let shown: Vec<_> = results.iter().map(|one| one["stored"].is_object()).collect();
    assert_eq!(shown, [true, true, false]);
    assert_eq!(
        results[2].get("stored"),
        Some(&Value::Null),
        "not as sent, and long"
    );
    assert!(answer["results"]["bot"][0]["stored"]["updatedAt"].is_i64());
}

#[actix_web::test]
async fn w6_the_clock_of_a_push_is_in_its_body_or_in_the_header() {
    const AHEAD: i64 = NOW + 3_600_000;
    let site = Site::new().await;
    for (n, (in_body, in_header, outcome)) in [
        (Some(AHEAD), None, "applied"),
        (None, Some(AHEAD), "applied"),
        (Some(AHEAD), Some(NOW), "applied"),
        (Some(NOW), Some(AHEAD), "rejected"),
        (None, None, "rejected"),
    ]
    .into_iter()
    .enumerate()
    {
        let memo = json!({"id": Uuid::from_u128(n as u128), "content": "", "updatedAt": AHEAD});
        let mut body = json!({"clientId": "phone", "changes": {"memo": {"updated": [memo]}}});
        if let Some(time) = in_body {
            body["clientTime"] = time.into();
        }
        let mut request = ask("POST", "/sync/push").set_json(body);
        if let Some(time) = in_header {
            request = request.insert_header(("X-Client-Time", time.to_string()));
        }
        let answer = site.send(request).await.assert_ok();
        let found = &answer.body["results"]["memo"][0]["outcome"];
        assert_eq!(found, outcome, "{in_body:?} {in_header:?}");
    }
}

#[actix_web::test]
async fn a_digest_is_shown_for_each_type() {
    let site = Site::new().await;
    let memo = json!({"id": ID, "content": "", "updatedAt": NOW});
    site.post("/memos", &memo).await.assert_ok();
    let none = json!({"count": 0, "hash": "0000000000000000"});
    let epoch = site.stores.identity.epoch().await.unwrap().to_string();
    assert_eq!(
        site.get("/sync/digest").await.body,
        json!({
            "clock": NOW, "epoch": epoch,
            "entities": {
                "memo": {"count": 1, "hash": "6539ad11bf03a7f0"}, "diary": none, "resource": none, "bot": none,
            },
        })
    );
}
