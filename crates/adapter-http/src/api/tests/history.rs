//! What was overwritten, and bringing it back.

use super::*;

/// A site whose memo was overwritten so many times; its text is the number of the version.
async fn edited(times: i64) -> Site {
    let site = Site::new().await;
    let first = json!({"id": ID, "content": "1", "createdAt": 1, "updatedAt": 1});
    let first = ask("POST", "/memos")
        .insert_header(("X-Client-Id", "phone"))
        .set_json(first);
    site.send(first).await.assert_ok();
    for version in 2..=times + 1 {
        let edit = json!({"content": version.to_string(), "updatedAt": version});
        let edit = ask("PUT", &format!("/memos/{ID}")).set_json(edit);
        site.send(edit).await.assert_ok();
    }
    site
}

#[actix_web::test]
async fn h1_pages_of_revisions_are_linked_below_the_root_that_was_asked() {
    let site = edited(4).await;
    for (root, query, numbers, next) in [
        ("", "", &[4, 3, 2, 1][..], None),
        ("", "?limit=2", &[4, 3], Some("before=3&limit=2")),
        ("/api", "?before=4&limit=2", &[3, 2], Some("before=2&limit=2")),
        ("/api", "?before=3", &[2, 1], None),
    ] {
        let path = format!("{root}/memos/{ID}/revisions");
        let answer = site.get(&format!("{path}{query}")).await.assert_ok();
        let shown = answer.body.as_array().unwrap().iter();
        let shown: Vec<_> = shown.map(|one| one["revisionNumber"].as_i64().unwrap()).collect();
        assert_eq!(shown, numbers, "{query}");
        let next = next.map(|next| format!("<{path}?{next}>; rel=\"next\""));
        assert_eq!(answer.header("link"), next.as_deref());
    }
    for query in [
        "before=-1",
        "before=4294967296",
        "limit=0",
        "limit=201",
        "limit=x",
    ] {
        let answer = site.get(&format!("/memos/{ID}/revisions?{query}")).await;
        answer.assert_is(422, "validation_failed");
    }
}

#[actix_web::test]
async fn h1_one_revision_is_read_and_restored() {
    for (body, edited_at) in [
        (None, NOW),
        (Some("{}"), NOW),
        (Some(r#"{"updatedAt": 1715000000003}"#), NOW + 3),
    ] {
        let site = edited(1).await;
        let list = site.get(&format!("/memos/{ID}/revisions")).await;
        let id = list.body[0]["id"].as_str().unwrap();
        let path = format!("/api/memos/{ID}/revisions/{id}");
        assert_eq!(
            site.get(&path).await.body,
            json!({
                "id": id, "memoId": ID, "revisionNumber": 1, "content": "1", "tags": [], "isArchived": false,
                "diaryDate": null, "aiSummary": null, "createdAt": 1, "editedAt": 1, "clientId": "phone",
                "reason": "overwritten", "recordedAt": NOW,
            })
        );
        let restore = ask("POST", &format!("{path}/restore"));
        let restore = body.into_iter().fold(restore, TestRequest::set_payload);
        let memo = site.send(restore).await.assert_ok().body;
        let shown = ["content", "resources", "updatedAt"].map(|name| &memo[name]);
        assert_eq!(shown, [&json!("1"), &json!([]), &json!(edited_at)]);
    }
}

#[actix_web::test]
async fn a_revision_that_is_not_there_is_404_and_a_bad_id_422() {
    let site = Site::new().await;
    for (method, suffix) in [("GET", ""), ("POST", "/restore")] {
        let path = |id| format!("/diaries/2026-05-16/revisions/{id}{suffix}");
        site.refuses(ask(method, &path(ID)), 404, "not_found").await;
        let answer = site.send(ask(method, &path("17"))).await;
        answer.assert_refuses("revision", "invalid_uuid");
    }
}
