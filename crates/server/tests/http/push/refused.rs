//! What a push rejects alone, and what is refused whole (B2).

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn b2_a_resource_of_an_unknown_memo_is_rejected_alone_and_succeeds_once_the_memo_is_there() {
    let (_server, phone) = phone().await;
    let resource = RESOURCE.record(1, "a.png", &json!({"memoId": MEMO.key(1), "updatedAt": T}));
    let changes = RESOURCE.updates(&[RESOURCE.record(2, "b.png", &at(T)), resource.clone()]);
    let answer = phone.push(&changes).await.ok();
    assert_eq!(outcomes(&answer, RESOURCE), ["applied", "rejected"]);
    let rejected = &answer["results"]["resource"][1];
    assert_rejected(
        rejected,
        "unknown_memo",
        "changes.resource.updated[1].memoId",
        "unknown_memo",
    );
    assert_eq!(
        (&rejected["retryable"], &rejected["id"]),
        (&json!(true), &json!(RESOURCE.key(1)))
    );
    MEMO.create(&phone, 1, "late", &json!({})).await.ok();
    assert_eq!(push_one(&phone, RESOURCE, resource).await["outcome"], "applied");
}

#[tokio::test(flavor = "multi_thread")]
async fn b2_a_resource_whose_memo_is_rejected_is_rejected_with_it() {
    let (_server, phone) = phone().await;
    let memos = [MEMO.record(1, "nul\0", &at(T)), MEMO.record(2, "good", &at(T))];
    let of_memo = |n| RESOURCE.record(n, "a.png", &json!({"memoId": MEMO.key(n), "updatedAt": T}));
    let changes = all(&[MEMO.updates(&memos), RESOURCE.updates(&[1, 2].map(of_memo))]);
    let answer = phone.push(&changes).await.ok();
    assert_eq!(outcomes(&answer, MEMO), ["rejected", "applied"]);
    assert_eq!(outcomes(&answer, RESOURCE), ["rejected", "applied"]);
    assert_eq!(answer["results"]["resource"][0]["retryable"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn b2_of_a_record_that_stands_twice_the_later_edit_is_rejected_and_may_be_sent_again() {
    let (_server, phone) = phone().await;
    for kind in KINDS {
        let changes = json!({kind.name: {
            "updated": [kind.record(1, "first", &at(T)), kind.record(1, "second", &at(T + 1)), kind.record(2, "two", &at(T))],
            "deleted": [kind.deletion(1, Some(T + 2))],
        }});
        let answer = phone.push(&changes).await.ok();
        assert_eq!(
            outcomes(&answer, kind),
            ["applied", "rejected", "applied", "rejected"]
        );
        for index in [1, 3] {
            let result = &answer["results"][kind.name][index];
            assert_eq!(
                (&result["error"]["code"], &result["retryable"], &result["id"]),
                (&json!("duplicate"), &json!(true), &json!(kind.key(1)))
            );
        }
        assert_eq!(kind.pulled(&phone, 1).await[kind.text], "first");
        // Capitals name the same record.
        if !kind.is_diary() {
            let shouted = json!({"id": "ABCDEF00-0000-4000-8000-000000000000"});
            let whispered = json!({"id": "abcdef00-0000-4000-8000-000000000000"});
            let records = [shouted, whispered].map(|id| kind.record(3, "three", &with(&id, &at(T))));
            let answer = phone.push(&kind.updates(&records)).await.ok();
            assert_eq!(outcomes(&answer, kind), ["applied", "rejected"]);
        }
    }
}

/// A record that can't be accepted: what stands at its place, as JSON, the codes of its rejection and of the violation, and
/// where in the record that is.
type BadRecord = (String, &'static str, &'static str, &'static str);

/// What is wrong with records, one of each kind.
fn bad_records(kind: Kind, n: usize) -> Vec<BadRecord> {
    let text = |value: Value| {
        kind.record(n, "x", &json!({kind.text: value, "updatedAt": T}))
            .to_string()
    };
    let field = |more: Value| kind.record(n, "x", &with(&at(T), &more)).to_string();
    let invalid = |record: String, code, path| (record, "validation_failed", code, path);
    let mut nameless = kind.record(n, "x", &at(T));
    nameless.as_object_mut().unwrap().remove(kind.key);
    let surrogate = text(json!("SURROGATE")).replace("SURROGATE", r"\ud800");
    let name = format!("\"{}\":", kind.text);
    let twice = text(json!("a")).replacen(&name, &format!("{name} \"b\", {name}"), 1);
    let mut bad = vec![
        invalid("7".into(), "invalid_type", ""),
        invalid("[]".into(), "invalid_type", ""),
        invalid("null".into(), "invalid_type", ""),
        invalid(nameless.to_string(), "required", kind.key),
        invalid(field(json!({kind.key: 7})), "invalid_type", kind.key),
        invalid(field(json!({kind.key: null})), "null", kind.key),
        invalid(text(json!("a\0b")), "nul", kind.text),
        invalid(text(json!(7)), "invalid_type", kind.text),
        invalid(text(Value::Null), "null", kind.text),
        invalid(text(json!("x".repeat(1024 * 1024 + 1))), "too_long", kind.text),
        invalid(field(json!({"updatedAt": -1})), "out_of_range", "updatedAt"),
        invalid(field(json!({"updatedAt": "now"})), "invalid_type", "updatedAt"),
        invalid(field(json!({"createdAt": -1})), "out_of_range", "createdAt"),
        invalid(twice, "duplicate_field", kind.text),
        (surrogate, "malformed_json", "malformed_json", kind.text),
    ];
    let hundred_and_one: Vec<String> = (0..101).map(|n| n.to_string()).collect();
    let deep = (0..20).fold(json!(1), |inner, _| json!([inner]));
    bad.extend(match kind.name {
        "memo" => vec![
            invalid(field(json!({"id": "x"})), "invalid_uuid", "id"),
            invalid(field(json!({"tags": hundred_and_one})), "too_many", "tags"),
            invalid(field(json!({"tags": ["a", "a"]})), "repeated", "tags[1]"),
            invalid(
                field(json!({"diaryDate": "2026-02-30"})),
                "invalid_date",
                "diaryDate",
            ),
        ],
        "diary" => vec![
            invalid(field(json!({"date": "2026-02-30"})), "invalid_date", "date"),
            invalid(field(json!({"moodKey": "joyful"})), "unknown_value", "moodKey"),
            invalid(field(json!({"moodScore": 11})), "out_of_range", "moodScore"),
        ],
        "resource" => vec![
            invalid(field(json!({"id": "x"})), "invalid_uuid", "id"),
            invalid(field(json!({"filename": "../a"})), "not_a_name", "filename"),
            invalid(field(json!({"metadata": {"a": deep}})), "too_deep", "metadata"),
            invalid(field(json!({"memoId": "x"})), "invalid_uuid", "memoId"),
        ],
        _ => vec![
            invalid(field(json!({"id": "x"})), "invalid_uuid", "id"),
            invalid(field(json!({"tags": hundred_and_one})), "too_many", "tags"),
            invalid(field(json!({"aiConfig": {"a": deep}})), "too_deep", "aiConfig"),
        ],
    });
    bad
}

/// A push in whose records one stands as this text.
fn with_one_bad(kind: Kind, good: &[Value], place: usize, bad: &str) -> String {
    let mut records: Vec<String> = good.iter().map(Value::to_string).collect();
    records.insert(place, bad.to_owned());
    let records = records.join(",");
    format!(
        r#"{{"clientId": "phone", "changes": {{"{}": {{"updated": [{records}]}}}}}}"#,
        kind.name
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn b2_one_bad_record_among_199_good_ones_is_rejected_alone() {
    let (_server, phone) = phone().await;
    for kind in KINDS {
        for (nth, (bad, code, violation, inner)) in (0..).zip(bad_records(kind, 500)) {
            // Another version each time: the good ones have something to apply.
            let text = format!("version {nth}");
            let good: Vec<Value> = (0..199).map(|n| kind.record(n, &text, &at(T + nth))).collect();
            let place = usize::try_from(nth * 13 % 200).unwrap();
            let answer = phone
                .raw(
                    &Method::POST,
                    "/sync/push",
                    with_one_bad(kind, &good, place, &bad),
                )
                .await
                .ok();
            let mut expected = ["applied"; 200];
            expected[place] = "rejected";
            assert_eq!(outcomes(&answer, kind), expected);
            let dot = if inner.is_empty() { "" } else { "." };
            let path = format!("changes.{}.updated[{place}]{dot}{inner}", kind.name);
            let result = &answer["results"][kind.name][place];
            assert_rejected(result, code, &path, violation);
            assert_ne!(result["retryable"], true, "sent again it is as bad: {result}");
            let has_its_key = inner != kind.key && !inner.is_empty();
            if has_its_key {
                assert_eq!(result["id"], kind.key(500));
            }
        }
        let last = format!("version {}", bad_records(kind, 500).len() - 1);
        let everything = phone.everything().await;
        let of_kind = everything
            .records
            .iter()
            .filter(|((name, _), _)| name == kind.name);
        let texts: Vec<&Value> = of_kind.map(|(_, record)| &record[kind.text]).collect();
        assert_eq!(
            texts,
            vec![&json!(last); 199],
            "{}: nothing of the bad ones is stored",
            kind.name
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn b2_every_field_of_every_record_is_checked_as_in_a_post() {
    let (_server, phone) = phone().await;
    for (kind, bad) in bad_fields() {
        for (chunk, bad) in bad.chunks(10).enumerate() {
            let good = kind.record(chunk, "good", &at(T));
            let mut records = vec![good];
            for (n, (field, _, _)) in bad.iter().enumerate() {
                records.push(kind.record(1_000 + n, "bad", &with(&at(T), field)));
            }
            let answer = phone.push(&kind.updates(&records)).await.ok();
            assert_eq!(answer["results"][kind.name][0]["outcome"], "applied");
            for (n, (_, path, code)) in bad.iter().enumerate() {
                let path = format!("changes.{}.updated[{}].{path}", kind.name, n + 1);
                assert_rejected(
                    &answer["results"][kind.name][n + 1],
                    "validation_failed",
                    &path,
                    code,
                );
            }
        }
    }
    let everything = phone.everything().await;
    let good = |record: &Value| KINDS.iter().any(|kind| record[kind.text] == "good");
    assert!(everything.records.values().all(good));
    assert_eq!(everything.records.len(), everything.delivered.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn b2_bad_deletes_are_rejected_alone() {
    let (_server, phone) = phone().await;
    for kind in KINDS {
        kind.create(&phone, 1, "stays", &at(T)).await.ok();
        kind.create(&phone, 2, "goes", &at(T)).await.ok();
        let (bad_key, code) = if kind.is_diary() {
            ("2026-02-30", "invalid_date")
        } else {
            ("x", "invalid_uuid")
        };
        let bad = [
            (json!("x"), "", "invalid_type"),
            (json!({"updatedAt": T}), kind.key, "required"),
            (json!({"id": bad_key}), kind.key, code),
            (json!({"id": 7}), kind.key, "invalid_type"),
            (
                json!({"id": kind.key(1), "updatedAt": -1}),
                "updatedAt",
                "out_of_range",
            ),
            (
                json!({"id": kind.key(1), "updatedAt": "soon"}),
                "updatedAt",
                "invalid_type",
            ),
        ];
        let mut deleted: Vec<Value> = bad.iter().map(|(value, _, _)| value.clone()).collect();
        deleted.push(kind.deletion(2, Some(T + 1)));
        let answer = phone.push(&kind.deletions(&deleted)).await.ok();
        let results = answer["results"][kind.name].as_array().unwrap();
        for (index, (value, inner, code)) in bad.iter().enumerate() {
            assert_eq!(results[index]["outcome"], "rejected", "{value}");
            let inner = match *inner {
                "" => String::new(),
                // A diary's key may stand in either.
                key if key == kind.key && value.get("id").is_some() => ".id".to_owned(),
                inner => format!(".{inner}"),
            };
            let path = format!("changes.{}.deleted[{index}]{inner}", kind.name);
            let errors = &results[index]["error"]["errors"];
            assert_eq!(errors[0]["code"], *code, "{errors}");
            let by_day = path.replace(".id", ".date");
            assert!(
                errors[0]["path"] == path || kind.is_diary() && errors[0]["path"] == by_day,
                "{errors}"
            );
        }
        assert_eq!(results[bad.len()]["outcome"], "applied");
        assert_eq!(kind.pulled(&phone, 1).await[kind.text], "stays");
        assert_eq!(kind.pulled(&phone, 2).await, Value::Null);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn b2_more_than_two_hundred_records_of_a_type_are_refused_whole() {
    let (_server, phone) = phone().await;
    for kind in KINDS {
        kind.create(&phone, 1, "stored", &at(T)).await.ok();
    }
    let before = phone.everything().await;
    for kind in KINDS {
        let updated =
            |count: usize| -> Vec<Value> { (0..count).map(|n| kind.record(n, "new", &at(T + 1))).collect() };
        let other = if kind.name == BOT.name { MEMO } else { BOT };
        let others = other.updates(&[other.record(1, "new", &at(T + 1))]);
        for changes in [
            json!({"updated": updated(201)}),
            json!({"updated": updated(200), "deleted": [kind.deletion(900, Some(T))]}),
            json!({"deleted": (0..201).map(|n| kind.deletion(n, Some(T + 1))).collect::<Vec<_>>()}),
            json!({"updated": vec![json!(7); 201]}),
        ] {
            let changes = with(&others, &json!({kind.name: changes}));
            let path = format!("changes.{}", kind.name);
            phone.push(&changes).await.invalid(&path, "too_many");
        }
    }
    phone.assert_untouched(&before, "pushes of 201 records").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn b2_a_push_that_is_no_push_is_refused_whole() {
    let (_server, phone) = phone().await;
    MEMO.create(&phone, 1, "stored", &at(T)).await.ok();
    let before = phone.everything().await;
    let memo = MEMO.updates(&[MEMO.record(1, "new", &at(T + 1))]);
    let changes = |more: Value| json!({"changes": with(&memo, &more)});
    for (field, path, code) in [
        (json!({"clientId": ""}), "clientId", "empty"),
        (json!({"clientId": "ü".repeat(65)}), "clientId", "too_long"),
        (json!({"clientId": "a\0"}), "clientId", "nul"),
        (json!({"clientId": null}), "clientId", "null"),
        (json!({"clientId": 7}), "clientId", "invalid_type"),
        (json!({"clientTime": -1}), "clientTime", "out_of_range"),
        (json!({"clientTime": 1_i64 << 53}), "clientTime", "out_of_range"),
        (json!({"clientTime": "soon"}), "clientTime", "invalid_type"),
        (json!({"clientTime": 1.5}), "clientTime", "invalid_type"),
        (changes(json!({"foo": {}})), "changes.foo", "unknown_entity"),
        (
            changes(json!({"Memo": {"updated": []}})),
            "changes.Memo",
            "unknown_entity",
        ),
        (changes(json!({"bot": []})), "changes.bot", "invalid_type"),
        (changes(json!({"bot": 7})), "changes.bot", "invalid_type"),
        (
            changes(json!({"bot": {"updated": {}}})),
            "changes.bot.updated",
            "invalid_type",
        ),
        (
            changes(json!({"bot": {"deleted": "x"}})),
            "changes.bot.deleted",
            "invalid_type",
        ),
        (json!({"changes": []}), "changes", "invalid_type"),
        (json!({"changes": "memo"}), "changes", "invalid_type"),
    ] {
        let body = with(&json!({"clientId": "phone", "changes": memo}), &field);
        phone.post("/sync/push", &body).await.invalid(path, code);
    }
    phone.assert_untouched(&before, "bad pushes").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn b2_a_body_that_is_no_json_or_too_large_applies_nothing() {
    let server = Server::start_with(&["--http-max-body-bytes", "65536"]);
    let phone = server.device("phone").await;
    let good = MEMO.record(1, "good", &at(T)).to_string();
    for bad in ["{", "{]", r#"{"id": 01}"#, "nonsense", r#"{"content": "\x"}"#] {
        let body =
            format!(r#"{{"clientId": "phone", "changes": {{"memo": {{"updated": [{good}, {bad}]}}}}}}"#);
        phone
            .raw(&Method::POST, "/sync/push", body)
            .await
            .problem(400, "malformed_json");
    }
    let large = MEMO.record(2, &"x".repeat(65_536), &at(T));
    let records = [MEMO.record(1, "good", &at(T)), large];
    phone
        .push(&MEMO.updates(&records))
        .await
        .problem(413, "body_too_large");
    assert_eq!(phone.everything().await.delivered, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn b2_another_user_s_ids_in_a_push_never_touch_their_records() {
    let server = Server::start();
    let anna = server.new_user("anna", "phone").await;
    let bert = server.new_user("bert", "phone").await;
    for kind in KINDS {
        kind.create(&anna, 1, "hers", &at(T)).await.ok();
    }
    RESOURCE
        .create(
            &anna,
            2,
            "hers.png",
            &json!({"memoId": MEMO.key(1), "updatedAt": T}),
        )
        .await
        .ok();
    let of_anna = anna.everything().await;
    let memo = json!({"memoId": MEMO.key(1), "updatedAt": T + 1});
    let resources = [
        RESOURCE.record(3, "a.png", &memo),
        RESOURCE.record(4, "b.png", &at(T)),
    ];
    let attached = bert.push(&RESOURCE.updates(&resources)).await.ok();
    assert_eq!(outcomes(&attached, RESOURCE), ["rejected", "applied"]);
    let rejected = &attached["results"]["resource"][0];
    assert_rejected(
        rejected,
        "unknown_memo",
        "changes.resource.updated[0].memoId",
        "unknown_memo",
    );
    let writes = KINDS.map(|kind| kind.updates(&[kind.record(1, "his", &at(T + 1))]));
    let answer = bert.push(&all(&writes)).await.ok();
    for kind in KINDS {
        assert_eq!(
            outcomes(&answer, kind),
            ["applied"],
            "a record of his own with the same id"
        );
        assert_eq!(kind.pulled(&bert, 1).await[kind.text], "his");
    }
    let deletes = KINDS.map(|kind| kind.deletions(&[kind.deletion(1, Some(T + 2)), kind.deletion(2, None)]));
    bert.push(&all(&deletes)).await.ok();
    anna.assert_untouched(&of_anna, "his pushes").await;
    assert_eq!(MEMO.revisions(&anna, 1).await.len(), 0);
}
