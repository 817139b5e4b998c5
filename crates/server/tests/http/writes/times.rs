//! Clocks that are wrong, what is left out, and whose edit it is: W6 and W7.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn w7_absent_fields_stay_and_a_put_creates_only_diaries() {
    let (_server, phone) = phone().await;
    for kind in KINDS {
        let before = kind.create(&phone, 1, "one", &at(T)).await.ok();
        assert_eq!(phone.put(&kind.path(1), &json!({})).await.ok(), before);
        let edited = kind.edit(&phone, 1, "two", &at(T + 1)).await.ok();
        let mut expected = with(&before, &json!({kind.text: "two", "updatedAt": T + 1}));
        if kind.name == MEMO.name {
            expected["revisionCount"] = json!(2);
        }
        assert_eq!(edited, expected);
    }
    for kind in KEYED_BY_ID {
        for time in [json!({}), at(T)] {
            kind.edit(&phone, 2, "new", &time).await.problem(404, "not_found");
        }
    }
    for (n, time) in [(2, json!({})), (3, at(T))] {
        let created = DIARY.edit(&phone, n, "new", &time).await.ok();
        assert_eq!(
            (&created["summary"], &created["moodScore"]),
            (&json!("new"), &json!(5))
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn createdat_belongs_to_the_record_and_stays_unless_it_is_named() {
    let (_server, phone) = phone().await;
    for kind in KINDS {
        let made = kind.create(&phone, 1, "one", &at(T)).await.ok();
        assert_eq!(made["createdAt"], json!(T), "made at its edit time");
        let edited = kind.edit(&phone, 1, "two", &at(T + 10)).await.ok();
        assert_eq!(edited["createdAt"], json!(T));
        let whole = kind.create(&phone, 1, "three", &at(T + 20)).await.ok();
        assert_eq!(whole["createdAt"], json!(T));
        let named = json!({"updatedAt": T + 30, "createdAt": T - 30});
        let moved = kind.edit(&phone, 1, "four", &named).await.ok();
        assert_eq!(moved["createdAt"], json!(T - 30));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_names_no_device_edits_as_the_device_of_its_login_or_as_the_server() {
    let server = Server::start();
    let phone = server.device("phone").await;
    let login = json!({"username": "admin", "password": crate::harness::ADMIN_PASSWORD});
    let login = server.anonymous().post("/auth/login", &login).await.ok();
    let unnamed = phone.with_token(login["accessToken"].as_str());
    for (n, client, author) in [(1, &phone, "phone"), (2, &unnamed, "server")] {
        let body = with(&MEMO.body(n, "one"), &at(T));
        client
            .send(client.nameless(reqwest::Method::POST, "/memos").json(&body))
            .await
            .ok();
        MEMO.edit(client, n, "two", &json!({})).await.ok();
        assert_eq!(MEMO.revisions(client, n).await[0]["clientId"], author);
    }
}
