//! Bodies, headers, keys and query parameters, on every route that has such.

use super::*;

/// Every route that takes a body.
fn routes_with_body() -> Vec<(Method, String)> {
    let (memo, diary) = (MEMO.path(1), DIARY.path(1));
    let posts = [
        "/memos",
        "/resources",
        "/bots",
        &diary,
        "/sync/pull",
        "/sync/push",
        "/auth/login",
        "/auth/register",
        "/auth/refresh",
        "/auth/logout",
        "/auth/change-password",
        "/admin/users",
    ];
    let puts = [
        &memo,
        &format!("{memo}/archive"),
        &format!("{memo}/unarchive"),
        &diary,
        &format!("{diary}/summary"),
        &format!("{diary}/mood"),
        &RESOURCE.path(1),
        &BOT.path(1),
        "/bots/reorder",
        "/auth/update-user",
    ];
    let user = format!("/admin/users/{}", MEMO.key(1));
    let posts = posts.map(|path| (Method::POST, path.to_owned()));
    let puts = puts.map(|path| (Method::PUT, path.to_owned()));
    posts
        .into_iter()
        .chain(puts)
        .chain([(Method::PATCH, user)])
        .collect()
}

/// What is no JSON at all.
const MALFORMED: [&[u8]; 14] = [
    b"{",
    b"nonsense",
    br#"{"content": }"#,
    br#"{"content": "x""#,
    br#"{"content": "x"} more"#,
    br#"{"content": "x",}"#,
    b"{'content': 'x'}",
    br#"{"content": 01}"#,
    br#"{"content": NaN}"#,
    br#"{"content": "\x"}"#,
    b"{\"content\": \"a raw\nline break\"}",
    b"{\"content\": \"no \xff UTF-8\"}",
    b"{\"ignored\": \"no \xc3\x28 UTF-8\"}",
    b"\xef\xbb\xbf{}",
];

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_json_is_400_on_every_route() {
    let scene = Scene::new(&[]).await;
    for (method, path) in routes_with_body() {
        for body in MALFORMED {
            let answer = scene.phone.raw(&method, &path, body).await;
            answer.problem(400, "malformed_json");
        }
        if !path.ends_with("archive") {
            let answer = scene.phone.raw(&method, &path, " \n").await;
            answer.problem(400, "malformed_json");
        }
    }
    scene.assert_untouched("malformed JSON").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lone_surrogates_and_endless_nesting_are_no_json_either() {
    let scene = Scene::new(&[]).await;
    let deep = format!("{}1{}", "[".repeat(10_000), "]".repeat(10_000));
    let texts = [
        r#""\ud800""#,
        r#""\udc00""#,
        r#""\ud83d\ud83d""#,
        r#""\ud83dx""#,
        r#"["\udfff"]"#,
        &deep,
    ];
    let objects = [r#"{"\ud800": 1}"#, r#"{"a": ["\udc00"]}"#, &deep];
    for (kind, object) in [
        (MEMO, "tags"),
        (DIARY, "moodKey"),
        (RESOURCE, "metadata"),
        (BOT, "aiConfig"),
    ] {
        for (name, value) in texts
            .map(|text| (kind.text, text))
            .into_iter()
            .chain(objects.map(|value| (object, value)))
        {
            let body = format!(r#"{{"{name}": {value}}}"#);
            for (method, path) in [(Method::POST, kind.create_path(2)), (Method::PUT, kind.path(1))] {
                let answer = scene.phone.raw(&method, &path, body.clone()).await;
                answer.problem(400, "malformed_json");
            }
        }
    }
    scene.assert_untouched("what is not text").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_no_object_is_422_on_every_route() {
    let scene = Scene::new(&[]).await;
    for (method, path) in routes_with_body() {
        for body in ["[]", r#"["a", []]"#, "1", "\"content\"", "true", "null"] {
            let answer = scene.phone.raw(&method, &path, body).await;
            answer.invalid("", "invalid_type");
        }
    }
    scene.assert_untouched("bodies that are no objects").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_stands_twice_is_refused_and_an_unknown_one_ignored() {
    let scene = Scene::new(&[]).await;
    let twice = r#"{"content": "a", "tags": [], "content": "b"}"#;
    let answer = scene.phone.raw(&Method::POST, "/memos", twice).await;
    answer.invalid("content", "duplicate_field");
    scene.assert_untouched("a field that stands twice").await;
    // Within an object that is kept as given the last one counts, as everywhere with JSON.
    let within = r#"{"filename": "a", "fileSize": 1, "metadata": {"a": 1, "a": 2}, "unknown": {"x": null}}"#;
    let stored = scene.phone.raw(&Method::POST, "/resources", within).await.ok();
    assert_eq!(stored["metadata"], json!({"a": 2}));
    assert_eq!(stored.get("unknown"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn pulls_check_device_cursors_types_and_epoch() {
    let scene = Scene::new(&[]).await;
    let long = "ü".repeat(65);
    for (field, path, code) in [
        (json!({"clientId": ""}), "clientId", "empty"),
        (json!({"clientId": long}), "clientId", "too_long"),
        (json!({"clientId": "a\0"}), "clientId", "nul"),
        (json!({"clientId": "a\n"}), "clientId", "control_character"),
        (json!({"clientId": null}), "clientId", "null"),
        (json!({"clientId": 7}), "clientId", "invalid_type"),
        (json!({"cursors": {"memo": -1}}), "cursors.memo", "out_of_range"),
        (json!({"cursors": {"memo": 1.5}}), "cursors.memo", "invalid_type"),
        (
            json!({"cursors": {"bot": 1_i64 << 53}}),
            "cursors.bot",
            "out_of_range",
        ),
        (
            json!({"cursors": {"bot": u64::MAX}}),
            "cursors.bot",
            "out_of_range",
        ),
        (
            json!({"cursors": {"diary": 1e300}}),
            "cursors.diary",
            "out_of_range",
        ),
        (
            json!({"cursors": {"diary": "1"}}),
            "cursors.diary",
            "invalid_type",
        ),
        (
            json!({"cursors": {"diary": null}}),
            "cursors.diary",
            "invalid_type",
        ),
        (
            json!({"cursors": {"memos": 1}}),
            "cursors.memos",
            "unknown_entity",
        ),
        (
            json!({"cursors": {"memo\0": 1}}),
            "cursors.memo\0",
            "unknown_entity",
        ),
        (json!({"cursors": []}), "cursors", "invalid_type"),
        (
            json!({"entities": ["memo", "Memo"]}),
            "entities[1]",
            "unknown_entity",
        ),
        (json!({"entities": "memo"}), "entities", "invalid_type"),
        (json!({"entities": [1]}), "entities[0]", "invalid_type"),
        (json!({"epoch": "x"}), "epoch", "invalid_uuid"),
        (json!({"epoch": 1}), "epoch", "invalid_type"),
    ] {
        let body = with(&json!({"clientId": "phone"}), &field);
        scene.phone.post("/sync/pull", &body).await.invalid(path, code);
    }
    scene.assert_untouched("bad pulls").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_headers_of_a_device_are_checked_on_every_write() {
    let scene = Scene::new(&[]).await;
    let too_long = "x".repeat(65);
    let cases: [(&str, &[u8], &str); 9] = [
        ("X-Client-Id", b"", "empty"),
        ("X-Client-Id", too_long.as_bytes(), "too_long"),
        ("X-Client-Id", b"\xff\xfe", "invalid_value"),
        ("X-Client-Time", b"soon", "invalid_type"),
        ("X-Client-Time", b"1.5", "invalid_type"),
        ("X-Client-Time", b"", "invalid_type"),
        ("X-Client-Time", b"-1", "out_of_range"),
        ("X-Client-Time", b"9007199254740992", "out_of_range"),
        ("X-Client-Time", b"99999999999999999999999", "out_of_range"),
    ];
    for kind in KINDS {
        for (header, value, code) in cases {
            let value = HeaderValue::from_bytes(value).unwrap();
            let headers = [(header.parse().unwrap(), value)].into_iter().collect();
            let requests = [
                (Method::POST, kind.create_path(2), Some(kind.body(2, "new"))),
                (Method::PUT, kind.path(1), Some(json!({kind.text: "other"}))),
                (Method::DELETE, kind.path(1), None),
            ];
            for (method, path, body) in requests {
                let request = scene
                    .phone
                    .request(method, &path)
                    .headers(HeaderMap::clone(&headers));
                let request = match body {
                    Some(body) => request.json(&body),
                    None => request,
                };
                scene.phone.send(request).await.invalid(header, code);
            }
        }
    }
    scene.assert_untouched("bad headers").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn accounts_check_names_passwords_and_devices() {
    let scene = Scene::new(&[]).await;
    let anonymous = scene.server.anonymous();
    let login = json!({"username": "admin", "password": crate::harness::ADMIN_PASSWORD});
    for (field, path, code) in [
        (json!({"clientId": ""}), "clientId", "empty"),
        (json!({"clientId": "x".repeat(65)}), "clientId", "too_long"),
        (json!({"clientId": "a\0"}), "clientId", "nul"),
        (json!({"deviceName": ""}), "deviceName", "empty"),
        (json!({"deviceName": "a\nb"}), "deviceName", "control_character"),
        (json!({"username": 7}), "username", "invalid_type"),
        (json!({"password": null}), "password", "null"),
        (json!({"password": "x".repeat(1_025)}), "password", "too_long"),
    ] {
        let answer = anonymous.post("/auth/login", &with(&login, &field)).await;
        answer.invalid(path, code);
    }
    let account = json!({"username": "anna", "password": "a password of hers"});
    for (field, path, code) in bad_accounts() {
        let answer = scene.phone.post("/admin/users", &with(&account, &field)).await;
        answer.invalid(path, code);
    }
    for (field, path, code) in bad_names() {
        let answer = scene.phone.put("/auth/update-user", &field).await;
        answer.invalid(path, code);
    }
    let users = scene.phone.get("/admin/users").await.ok();
    assert_eq!(users["total"], 1, "{users}");
    scene.assert_untouched("bad accounts").await;
}

fn bad_names() -> Vec<(Value, &'static str, &'static str)> {
    vec![
        (json!({"username": ""}), "username", "empty"),
        (json!({"username": "x".repeat(65)}), "username", "too_long"),
        (json!({"username": "a\0"}), "username", "nul"),
        (json!({"username": "a b"}), "username", "white_space"),
        (json!({"username": "a\u{3000}b"}), "username", "white_space"),
        (json!({"username": "a\u{7f}"}), "username", "control_character"),
        (json!({"username": null}), "username", "null"),
        (json!({"avatarUrl": ""}), "avatarUrl", "empty"),
        (json!({"avatarUrl": "x".repeat(2_049)}), "avatarUrl", "too_long"),
        (json!({"timeZone": "Mars/Olympus"}), "timeZone", "unknown_value"),
    ]
}

fn bad_accounts() -> Vec<(Value, &'static str, &'static str)> {
    let mut bad = bad_names();
    bad.retain(|(_, path, _)| *path == "username");
    bad.extend([
        (json!({"password": "1234567"}), "password", "too_short"),
        (json!({"password": "12345678\0"}), "password", "nul"),
        (json!({"password": "x".repeat(1_025)}), "password", "too_long"),
        (json!({"role": "root"}), "role", "unknown_value"),
        (json!({"role": 1}), "role", "invalid_type"),
        (
            json!({"mustChangePassword": "no"}),
            "mustChangePassword",
            "invalid_type",
        ),
    ]);
    bad
}
