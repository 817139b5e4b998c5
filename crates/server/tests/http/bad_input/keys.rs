//! Keys in paths, query parameters, edit times, and routes that are none.

use super::*;

/// Every route with a key in its path, which stands there as `{}`.
const KEYED_ROUTES: [(&str, &str); 35] = [
    ("GET", "/memos/{}"),
    ("PUT", "/memos/{}"),
    ("DELETE", "/memos/{}"),
    ("PUT", "/memos/{}/archive"),
    ("PUT", "/memos/{}/unarchive"),
    ("GET", "/memos/{}/revisions"),
    ("GET", "/memos/{}/revisions/00000000-0000-4000-8000-000000000001"),
    (
        "POST",
        "/memos/{}/revisions/00000000-0000-4000-8000-000000000001/restore",
    ),
    ("GET", "/memos/date/{}"),
    ("GET", "/resources/{}"),
    ("PUT", "/resources/{}"),
    ("DELETE", "/resources/{}"),
    ("GET", "/resources/{}/revisions"),
    (
        "GET",
        "/resources/{}/revisions/00000000-0000-4000-8000-000000000001",
    ),
    (
        "POST",
        "/resources/{}/revisions/00000000-0000-4000-8000-000000000001/restore",
    ),
    ("GET", "/bots/{}"),
    ("PUT", "/bots/{}"),
    ("DELETE", "/bots/{}"),
    ("GET", "/bots/{}/revisions"),
    ("GET", "/bots/{}/revisions/00000000-0000-4000-8000-000000000001"),
    (
        "POST",
        "/bots/{}/revisions/00000000-0000-4000-8000-000000000001/restore",
    ),
    ("PATCH", "/admin/users/{}"),
    ("DELETE", "/admin/users/{}"),
    ("GET", "/diaries/{}"),
    ("POST", "/diaries/{}"),
    ("PUT", "/diaries/{}"),
    ("DELETE", "/diaries/{}"),
    ("PUT", "/diaries/{}/summary"),
    ("PUT", "/diaries/{}/mood"),
    ("GET", "/diaries/{}/revisions"),
    (
        "GET",
        "/diaries/{}/revisions/00000000-0000-4000-8000-000000000001",
    ),
    (
        "POST",
        "/diaries/{}/revisions/00000000-0000-4000-8000-000000000001/restore",
    ),
    ("GET", "/api/memos/{}"),
    ("PUT", "/api/bots/{}"),
    ("DELETE", "/api/diaries/{}"),
];

#[tokio::test(flavor = "multi_thread")]
async fn keys_in_paths_are_uuids_or_calendar_days() {
    let scene = Scene::new(&[]).await;
    let ids = [
        "x",
        "000000000000400080000000000000ff",
        "00000000-0000-4000-8000-00000000000",
        "%00",
        "%ff",
        "..%2f1",
    ];
    let days = [
        "x",
        "2026-02-30",
        "2026-13-01",
        "2026-5-16",
        "20260516",
        "0000-01-01",
        "2026-05-16%00",
        "%ff",
        "today",
    ];
    for (method, route) in KEYED_ROUTES {
        let by_day = route.contains("diaries") || route.contains("date");
        let (name, bad, code): (_, &[&str], _) = if by_day {
            ("date", &days, "invalid_date")
        } else {
            ("id", &ids, "invalid_uuid")
        };
        for key in bad {
            let method = method.parse().unwrap();
            let answer = scene.phone.raw(&method, &route.replace("{}", key), "{}").await;
            answer.invalid(name, code);
        }
    }
    scene.assert_untouched("paths with keys that are none").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn query_parameters_are_checked() {
    let scene = Scene::new(&[]).await;
    let lists = [
        "/memos",
        "/memos/search",
        "/diaries",
        "/resources",
        "/admin/users",
    ];
    let pages = [
        ("page=0", "page", "out_of_range"),
        ("page=-1", "page", "out_of_range"),
        ("page=4294967296", "page", "out_of_range"),
        ("page=x", "page", "invalid_type"),
        ("page=1.5", "page", "invalid_type"),
        ("page=1&page=2", "page", "repeated"),
        ("pageSize=0", "pageSize", "out_of_range"),
        ("pageSize=201", "pageSize", "out_of_range"),
        ("pageSize=all", "pageSize", "invalid_type"),
    ];
    for list in lists {
        for (query, path, code) in pages {
            scene
                .phone
                .get(&format!("{list}?{query}"))
                .await
                .invalid(path, code);
        }
        let answer = scene.phone.get(&format!("{list}?page=%ff")).await;
        answer.problem(400, "malformed_query");
    }
    let long = "x".repeat(1_001);
    for (path, field, code) in [
        ("/memos?archived=maybe", "archived", "invalid_type"),
        ("/memos?diaryDate=2026-02-30", "diaryDate", "invalid_date"),
        ("/memos?search=a%00b", "search", "nul"),
        (&format!("/memos?search={long}"), "search", "too_long"),
        ("/memos/search?query=%00", "query", "nul"),
        ("/memos/search?query=a%07", "query", "control_character"),
        (
            &format!("/memos/search?query={}", "x+".repeat(33)),
            "query",
            "too_many",
        ),
        ("/memos/search?tags=a&tags=%00", "tags[1]", "nul"),
        ("/memos/search?tags[]=a%0Ab", "tags[0]", "control_character"),
        ("/memos/search?startDate=yesterday", "startDate", "invalid_date"),
        ("/memos/search?endDate=2026-00-01", "endDate", "invalid_date"),
        ("/memos/search?isArchived=2", "isArchived", "invalid_type"),
        ("/memos/date/2026-05-16?archived=x", "archived", "invalid_type"),
        ("/diaries?startDate=2026-02-30", "startDate", "invalid_date"),
        ("/diaries?endDate=x", "endDate", "invalid_date"),
        ("/resources?memoId=x", "memoId", "invalid_uuid"),
    ] {
        scene.phone.get(path).await.invalid(field, code);
    }
    scene.assert_untouched("bad queries").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_time_of_a_delete_is_checked() {
    let scene = Scene::new(&[]).await;
    for kind in KINDS {
        for (time, code) in [
            ("soon", "invalid_type"),
            ("1.5", "invalid_type"),
            ("-1", "out_of_range"),
            ("9007199254740992", "out_of_range"),
            ("99999999999999999999999", "out_of_range"),
        ] {
            let path = format!("{}?updatedAt={time}", kind.path(1));
            scene.phone.delete(&path).await.invalid("updatedAt", code);
        }
    }
    scene.assert_untouched("deletes with bad times").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn w6_an_edit_time_in_the_future_is_refused_everywhere() {
    let scene = Scene::new(&[]).await;
    for kind in KINDS {
        let ahead = scene.phone.server_time().await + 6 * 60_000;
        let time = json!({"updatedAt": ahead});
        for answer in [
            kind.create(&scene.phone, 2, "new", &time).await,
            kind.edit(&scene.phone, 1, "other", &time).await,
            kind.delete(&scene.phone, 1, Some(ahead)).await,
        ] {
            let problem = answer.problem(422, "edit_time_ahead");
            let server_time = problem["serverTime"].as_i64().expect("the server's time");
            assert!((ahead - 6 * 60_000..ahead).contains(&server_time), "{problem}");
            assert_eq!(problem["errors"][0]["path"], "updatedAt");
        }
    }
    let order = json!({"order": [BOT.key(1)], "updatedAt": scene.phone.server_time().await + 6 * 60_000});
    scene
        .phone
        .put("/bots/reorder", &order)
        .await
        .problem(422, "edit_time_ahead");
    scene.assert_untouched("edits of the future").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_routes_and_wrong_methods_are_problems_below_both_roots() {
    let scene = Scene::new(&[]).await;
    let memo = MEMO.path(1);
    let (bytes, upload) = (
        format!("{}/download", RESOURCE.path(1)),
        format!("/uploads/{}", RESOURCE.key(1)),
    );
    for root in ["", "/api"] {
        for path in [
            "/nothing",
            "/memos/",
            "/auth",
            "/sync",
            &format!("{memo}/nothing"),
            "/api/memos",
            "/MEMOS",
        ] {
            // Below `/api` the first segment may not come again.
            if root.is_empty() && path.starts_with("/api") {
                continue;
            }
            for method in [Method::GET, Method::POST, Method::DELETE] {
                let answer = scene.phone.raw(&method, &format!("{root}{path}"), "{}").await;
                answer.problem(404, "unknown_route");
            }
        }
        for (method, path, allow) in [
            (Method::DELETE, "/memos", "GET, HEAD, POST"),
            (Method::PATCH, &*memo, "DELETE, GET, HEAD, PUT"),
            (Method::GET, "/sync/pull", "POST"),
            (Method::PUT, "/sync/push", "POST"),
            (Method::POST, "/sync/digest", "GET, HEAD"),
            (Method::POST, "/devices", "GET, HEAD"),
            (Method::PUT, "/devices/phone", "DELETE"),
            (Method::POST, "/account/export", "GET, HEAD"),
            (Method::PUT, "/memos/tags", "GET, HEAD"),
            (Method::DELETE, "/health", "GET, HEAD"),
            (Method::POST, "/bots/reorder", "PUT"),
            (Method::GET, "/resources/upload", "POST"),
            (Method::DELETE, "/resources/confirm-upload", "POST"),
            (Method::POST, &*bytes, "GET, HEAD"),
            (Method::PUT, "/uploads", "OPTIONS, POST"),
            (Method::GET, &*upload, "DELETE, HEAD, OPTIONS, PATCH, POST"),
        ] {
            let answer = scene.phone.raw(&method, &format!("{root}{path}"), "{}").await;
            assert_eq!(answer.headers["allow"], allow, "{method} {root}{path}");
            answer.problem(405, "method_not_allowed");
        }
    }
    scene.phone.get("/").await.problem(404, "unknown_route");
    scene.phone.get("/api").await.problem(404, "unknown_route");
    scene.assert_untouched("unknown routes").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_memo_of_nobody_and_a_resource_of_nobody_are_422_and_leave_nothing() {
    let scene = Scene::new(&[]).await;
    let nobody = MEMO.key(99);
    let memo_id = json!({"memoId": nobody});
    let resource_ids = json!({"content": "other", "resourceIds": [RESOURCE.key(1), nobody]});
    let phone = &scene.phone;
    phone
        .put(&RESOURCE.path(1), &memo_id)
        .await
        .problem(422, "unknown_memo");
    let created = RESOURCE.create(phone, 2, "new.png", &memo_id).await;
    assert_eq!(
        created.problem(422, "unknown_memo")["errors"][0]["path"],
        "memoId"
    );
    let edited = phone.put(&MEMO.path(1), &resource_ids).await;
    assert_eq!(
        edited.problem(422, "unknown_resource")["errors"][0]["path"],
        "resourceIds[1]"
    );
    phone
        .post("/memos", &resource_ids)
        .await
        .problem(422, "unknown_resource");
    let timed = with(&resource_ids, &json!({"updatedAt": T + 1}));
    phone
        .put(&MEMO.path(1), &timed)
        .await
        .problem(422, "unknown_resource");
    let order = json!({"order": [BOT.key(1), nobody]});
    let reordered = phone.put("/bots/reorder", &order).await;
    assert_eq!(
        reordered.problem(422, "unknown_bot")["errors"][0]["path"],
        "order[1]"
    );
    scene.assert_untouched("ids of nobody").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_with_a_name_that_can_not_be_is_just_wrong() {
    let server = Server::start();
    for username in ["a\0", "", "two words", "nobody"] {
        let body = json!({"username": username, "password": "whatever it is"});
        let answer = server.anonymous().post("/auth/login", &body).await;
        answer.problem(401, "bad_credentials");
    }
}
