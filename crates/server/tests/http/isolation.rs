//! Nothing is ever visible across users: other people's ids answer as if there were nothing.

use reqwest::Method;
use serde_json::{Value, json};

use crate::files::{Folder, Form, file, noise};
use crate::harness::{Answer, Client, Phone, Server};
use crate::kinds::{BOT, DIARY, KEYED_BY_ID, KINDS, Kind, MEMO, RESOURCE, T, column};

/// Anna has one record of each type, a resource of a memo among them; Bert has nothing.
struct Two {
    server: Server,
    anna: Client,
    bert: Client,
    of_anna: Phone,
}

impl Two {
    async fn new() -> Self {
        let server = Server::start();
        let anna = server.new_user("anna", "phone").await;
        // The same device name: it tells users apart no more than anything else that clients choose.
        let bert = server.new_user("bert", "phone").await;
        let more = json!({"updatedAt": T, "diaryDate": DIARY.key(1), "tags": ["hers"]});
        MEMO.create(&anna, 1, "a secret", &more).await.ok();
        let more = json!({"memoId": MEMO.key(1), "updatedAt": T});
        RESOURCE.create(&anna, 1, "secret.png", &more).await.ok();
        DIARY
            .create(&anna, 1, "a secret", &json!({"updatedAt": T}))
            .await
            .ok();
        BOT.create(&anna, 1, "Secret", &json!({"updatedAt": T}))
            .await
            .ok();
        for kind in KINDS {
            kind.edit(&anna, 1, "a newer secret", &json!({"updatedAt": T + 1}))
                .await
                .ok();
        }
        let of_anna = anna.everything().await;
        Self {
            server,
            anna,
            bert,
            of_anna,
        }
    }

    /// A revision of the record of Anna's that this path names.
    async fn revision_of(&self, path: &str) -> String {
        let of_path = |kind: &Kind| path.starts_with(kind.collection);
        let kind = KINDS.into_iter().find(of_path).expect("a type's path");
        let kept = kind.revisions(&self.anna, 1).await;
        kept[0]["id"].as_str().expect("an id").to_owned()
    }

    async fn assert_untouched(&self, by: &str) {
        self.anna.assert_untouched(&self.of_anna, by).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_user_s_ids_are_404_in_every_route_and_nothing_changes() {
    let two = Two::new().await;
    let mut routes = vec![
        (Method::PUT, "/memos/{}/archive"),
        (Method::PUT, "/memos/{}/unarchive"),
    ];
    for collection in ["/memos/{}", "/resources/{}", "/bots/{}"] {
        routes.extend([Method::GET, Method::PUT, Method::DELETE].map(|method| (method, collection)));
    }
    for revisions in [
        "/memos/{}/revisions",
        "/resources/{}/revisions",
        "/bots/{}/revisions",
    ] {
        routes.push((Method::GET, revisions));
    }
    let revisions = [
        "/memos/{}/revisions/{revision}",
        "/resources/{}/revisions/{revision}",
        "/bots/{}/revisions/{revision}",
        "/diaries/{day}/revisions/{revision}",
    ];
    routes.extend(revisions.map(|revision| (Method::GET, revision)));
    let restores = [
        "/memos/{}/revisions/{revision}/restore",
        "/resources/{}/revisions/{revision}/restore",
        "/bots/{}/revisions/{revision}/restore",
        "/diaries/{day}/revisions/{revision}/restore",
    ];
    routes.extend(restores.map(|restore| (Method::POST, restore)));
    for (method, route) in routes {
        for updated_at in ["{}".to_owned(), format!(r#"{{"updatedAt": {}}}"#, T + 1)] {
            let path = route.replace("{}", &MEMO.key(1)).replace("{day}", &DIARY.key(1));
            let path = path.replace("{revision}", &two.revision_of(&path).await);
            let answer = two.bert.raw(&method, &path, updated_at).await;
            answer.problem(404, "not_found");
        }
    }
    two.assert_untouched("routes with ids").await;
    assert_eq!(two.bert.everything().await.delivered, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_user_s_days_are_as_if_nothing_was_there() {
    let two = Two::new().await;
    let day = DIARY.path(1);
    assert_eq!(two.bert.get(&day).await.ok(), Value::Null);
    two.bert.delete(&day).await.problem(404, "not_found");
    let revisions = two.bert.get(&format!("{day}/revisions")).await;
    revisions.problem(404, "not_found");
    for (path, body) in [
        (day.clone(), json!({"summary": "mine"})),
        (format!("{day}/summary"), json!({"summary": "mine, too"})),
        (format!("{day}/mood"), json!({"moodKey": "joy", "moodScore": 9})),
    ] {
        two.bert.put(&path, &body).await.ok();
    }
    two.bert.post(&day, &json!({"summary": "mine again"})).await.ok();
    let mine = two.bert.get(&day).await.ok();
    assert_eq!(
        (&mine["summary"], &mine["memos"]),
        (&json!("mine again"), &json!([]))
    );
    two.bert.delete(&day).await.ok();
    two.assert_untouched("the same day of somebody else").await;
}

/// A tus request about an upload, with these bytes where it brings some.
async fn about_upload(client: &Client, method: &Method, path: &str, override_by: Option<&str>) -> Answer {
    let request = client
        .request(method.clone(), path)
        .header("tus-resumable", "1.0.0")
        .header("upload-offset", "0")
        .header("content-type", "application/offset+octet-stream");
    let request = match override_by {
        Some(name) => request.header("x-http-method-override", name),
        None => request,
    };
    client.send(request.body("bytes of his")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a5_another_user_s_files_are_as_if_nothing_was_there() {
    let two = Two::new().await;
    let (anna, bert) = (&two.anna, &two.bert);
    let picture = crate::files_pictures::png(400, 400);
    let form = Form::new().field("id", &RESOURCE.key(2));
    let resource = anna.upload(form.file("secret.png", "", &picture)).await.ok();
    let avatar = anna
        .send_form("/resources/upload-avatar", file("me.png", "", &picture))
        .await
        .ok();
    let begun = anna
        .request(Method::POST, "/uploads")
        .header("tus-resumable", "1.0.0")
        .header("upload-length", "12")
        .header("upload-metadata", "filename YS5iaW4=");
    let begun = anna.send(begun).await;
    let upload = begun.headers["location"].to_str().unwrap().to_owned();
    let of_anna = anna.everything().await;

    let (url, thumbnail) = (&resource["url"], &resource["thumbnailUrl"]);
    let variant = format!("{}?variant=opt", url.as_str().unwrap());
    for path in [
        url.as_str().unwrap(),
        thumbnail.as_str().unwrap(),
        &variant,
        avatar["avatarUrl"].as_str().unwrap(),
    ] {
        anna.download(path).await.whole();
        bert.get(path).await.problem(404, "not_found");
        let head = bert.fetch(bert.request(Method::HEAD, path)).await;
        assert_eq!(head.status, 404, "{path}");
        // Whoever knows the hash of a file has not got the file.
        let known = format!("\"{}\"", resource["sha256"].as_str().unwrap());
        for name in ["if-none-match", "if-match", "if-range"] {
            assert_eq!(bert.download_with(path, name, &known).await.status, 404, "{name}");
        }
    }
    for (method, override_by) in [
        (Method::PATCH, None),
        (Method::POST, Some("PATCH")),
        (Method::POST, Some("DELETE")),
        (Method::DELETE, None),
    ] {
        let answer = about_upload(bert, &method, &upload, override_by).await;
        answer.problem(404, "not_found");
    }
    let head = about_upload(bert, &Method::HEAD, &upload, None).await;
    assert_eq!(head.status, 404);
    let id = upload.rsplit('/').next().unwrap();
    for client in [anna, bert] {
        // Hers is no direct upload: it can't be confirmed by anybody.
        let confirm = client
            .post("/resources/confirm-upload", &json!({"uploadId": id}))
            .await;
        confirm.problem(404, "not_found");
    }
    let offset = about_upload(anna, &Method::HEAD, &upload, None).await;
    assert_eq!(offset.headers["upload-offset"], "0", "hers is where it was");
    assert_eq!(anna.everything().await, of_anna);
}

#[tokio::test(flavor = "multi_thread")]
async fn a5_a_file_with_another_user_s_ids_is_one_of_one_s_own() {
    let two = Two::new().await;
    let (anna, bert) = (&two.anna, &two.bert);
    let folder = Folder::of(&two.server.data);
    let hers = noise(60, 5_000);
    let of = |n: usize| Form::new().field("id", &RESOURCE.key(n));
    anna.upload(of(2).file("hers.bin", "", &hers)).await.ok();
    let of_anna = anna.everything().await;
    let path = format!("{}/download", RESOURCE.path(2));
    // Her id, and even her bytes: he has to bring them himself, and they are kept for him.
    let pushed = RESOURCE.record(2, "his.bin", &json!({"sha256": crate::files::sha256(&hers)}));
    bert.push(&RESOURCE.updates(&[pushed])).await.ok();
    bert.get(&path).await.problem(404, "not_uploaded");
    bert.upload(of(2).file("his.bin", "", &hers)).await.ok();
    assert!(bert.download(&path).await.whole() == hers);
    folder.assert_holds(2, "the same bytes of two users").await;
    let memo = of(3).field("memoId", &MEMO.key(1));
    let refused = bert.upload(memo.file("his.bin", "", b"abc")).await;
    refused.problem(422, "unknown_memo");
    RESOURCE.delete(bert, 2, None).await.ok();
    assert_eq!(anna.everything().await, of_anna);
    assert!(anna.download(&path).await.whole() == hers);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_id_in_two_users_is_two_records() {
    let two = Two::new().await;
    for kind in KEYED_BY_ID {
        kind.create(&two.bert, 1, "mine", &json!({"updatedAt": T + 1}))
            .await
            .ok();
        assert_eq!(kind.get(&two.bert, 1).await[kind.text], "mine");
        kind.delete(&two.bert, 1, Some(T + 2)).await.ok();
        // Also one that Bert never had: his tombstone, not hers.
        kind.delete(&two.bert, 2, Some(T + 2)).await.ok();
    }
    two.assert_untouched("records with the same ids").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_user_s_ids_in_bodies_are_unknown_and_nothing_is_kept() {
    let two = Two::new().await;
    MEMO.create(&two.bert, 11, "mine", &json!({})).await.ok();
    RESOURCE.create(&two.bert, 11, "mine.png", &json!({})).await.ok();
    BOT.create(&two.bert, 11, "Mine", &json!({})).await.ok();
    let before = two.bert.everything().await;
    let resources = json!({"content": "other", "resourceIds": [RESOURCE.key(11), RESOURCE.key(1)]});
    let memo = json!({"memoId": MEMO.key(1)});
    for (answer, code, path) in [
        (
            two.bert.post("/memos", &resources).await,
            "unknown_resource",
            "resourceIds[1]",
        ),
        (
            two.bert.put(&MEMO.path(11), &resources).await,
            "unknown_resource",
            "resourceIds[1]",
        ),
        (
            RESOURCE.create(&two.bert, 12, "a.png", &memo).await,
            "unknown_memo",
            "memoId",
        ),
        (
            two.bert.put(&RESOURCE.path(11), &memo).await,
            "unknown_memo",
            "memoId",
        ),
        (
            two.bert
                .put("/bots/reorder", &json!({"order": [BOT.key(11), BOT.key(1)]}))
                .await,
            "unknown_bot",
            "order[1]",
        ),
    ] {
        assert_eq!(answer.problem(422, code)["errors"][0]["path"], path);
    }
    two.bert.assert_untouched(&before, "ids of somebody else").await;
    two.assert_untouched("bodies with her ids").await;
    // What a summary was made from is a note for the app, not a reference.
    let sources = json!({"generatedFromMemoIds": [MEMO.key(1)]});
    let diary = DIARY.create(&two.bert, 11, "mine", &sources).await.ok();
    assert_eq!(diary["generatedFromMemoIds"], json!([MEMO.key(1)]));
    two.assert_untouched("a summary with her ids").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_searches_tags_and_pulls_show_nothing_of_others() {
    let two = Two::new().await;
    let day = DIARY.key(1);
    for path in [
        "/memos",
        "/diaries",
        "/resources",
        "/memos/search?query=secret",
        "/memos/search?tags=hers",
    ] {
        assert_eq!(two.bert.get(path).await.ok()["total"], 0, "{path}");
        assert_eq!(two.anna.get(path).await.ok()["total"], 1, "{path}");
    }
    for path in ["/bots", "/memos/tags", &format!("/memos/date/{day}")] {
        assert_eq!(two.bert.get(path).await.ok(), json!([]), "{path}");
        assert_eq!(
            two.anna.get(path).await.ok().as_array().map(Vec::len),
            Some(1),
            "{path}"
        );
    }
    let of_memo = format!("/resources?memoId={}", MEMO.key(1));
    assert_eq!(two.bert.get(&of_memo).await.ok()["total"], 0);
    assert_eq!(two.bert.everything().await.delivered, []);
    // Her cursors and his are unrelated, though the devices have the same name.
    let pulled = two.bert.pull(&two.of_anna.cursors()).await;
    assert_eq!(
        pulled["changes"]["memo"],
        json!({"updated": [], "deletedIds": []})
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn administrators_read_nobody_s_records() {
    let server = Server::start();
    let anna = server.new_user("anna", "phone").await;
    for kind in KINDS {
        kind.create(&anna, 1, "a secret", &json!({})).await.ok();
    }
    let admin = server.device("admin").await;
    for kind in KINDS {
        assert_eq!(kind.get(&admin, 1).await, Value::Null);
    }
    assert_eq!(admin.everything().await.delivered, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_administrators_manage_accounts() {
    let server = Server::start();
    let anna = server.new_user("anna", "phone").await;
    let admin = server.device("admin").await;
    let users = admin.get("/admin/users").await.ok();
    let id = users["items"][0]["id"].as_str().unwrap();
    let make = json!({"username": "carl", "password": "a password of his"});
    anna.get("/admin/users").await.problem(403, "forbidden");
    anna.post("/admin/users", &make).await.problem(403, "forbidden");
    for change in [
        json!({"role": "user"}),
        json!({"disabled": true}),
        json!({"password": "a password of hers"}),
    ] {
        let answer = anna.patch(&format!("/admin/users/{id}"), &change).await;
        answer.problem(403, "forbidden");
    }
    let after = admin.get("/admin/users").await.ok();
    assert_eq!(after, users);
    assert_eq!(column(&after["items"], "username"), ["admin", "anna"]);
}
