//! What one user may take, and names that show what they are.

use serde_json::{Value, json};

use crate::harness::{ADMIN_PASSWORD, Server};
use crate::kinds::MEMO;

/// The memo fits, or it is refused by itself; what is there can be made smaller and deleted.
#[tokio::test(flavor = "multi_thread")]
async fn w10_a_user_who_has_come_to_the_end_can_still_make_room() {
    let server = Server::start_with(&["--limits-user-records-bytes", "20000"]);
    let phone = server.device("phone").await;
    let text = |bytes: usize| json!({"content": "x".repeat(bytes)});
    let memo = phone.post("/memos", &text(12_000)).await.ok();
    let path = format!("/memos/{}", memo["id"].as_str().unwrap());
    let refused = phone.post("/memos", &text(12_000)).await;
    let refused = refused.problem(413, "quota_exceeded");
    assert_eq!(refused["quota"], 20_000);
    assert!(refused["used"].as_u64().unwrap() > 12_000, "{refused}");
    phone
        .put(&path, &text(15_000))
        .await
        .problem(413, "quota_exceeded");

    let record = |n: usize, bytes: usize| json!({"id": MEMO.key(n), "content": "x".repeat(bytes), "updatedAt": 1_715_000_000_000_u64});
    let push = json!({"clientId": "phone", "changes": {"memo": {
        "updated": [record(1, 100), record(2, 12_000), record(3, 100)], "deleted": []}}});
    let pushed = phone.post("/sync/push", &push).await.ok();
    let results: Vec<&Value> = pushed["results"]["memo"].as_array().unwrap().iter().collect();
    let outcomes: Vec<&str> = results
        .iter()
        .map(|result| result["outcome"].as_str().unwrap())
        .collect();
    assert_eq!(outcomes, ["applied", "rejected", "applied"]);
    assert_eq!(results[1]["error"]["code"], "quota_exceeded");
    assert_eq!(results[1]["retryable"], true);

    phone.put(&path, &json!({"content": "short"})).await.ok();
    assert_eq!(phone.delete(&path).await.status, 204);
}

/// A name shows whom it belongs to: nothing invisible in it, and no second one that differs in letter case alone.
#[tokio::test(flavor = "multi_thread")]
async fn user_names_have_nothing_invisible_and_passwords_one_form() {
    let server = Server::start();
    let admin = server.device("phone").await;
    let make = async |name: &str, password: &str| {
        let body = json!({"username": name, "password": password, "mustChangePassword": false});
        admin.post("/admin/users", &body).await
    };
    for name in ["admin\u{200b}", "ad\u{ad}min", "\u{202e}nimda", "anna\u{2066}"] {
        make(name, "long enough")
            .await
            .invalid("username", "invalid_character");
    }
    make("σας", "P\u{e4}ssword\u{a0}1").await.ok();
    for name in ["ΣΑΣ", "σασ", "ｓ"] {
        let made = make(name, "long enough").await;
        if name == "ｓ" {
            assert_eq!(made.ok()["username"], "s");
        } else {
            made.problem(409, "username_taken");
        }
    }
    for (name, password) in [
        ("ΣΑΣ", "Pa\u{308}ssword 1"),
        ("σας", "P\u{e4}ssword 1"),
        ("admin", ADMIN_PASSWORD),
    ] {
        let login = json!({"username": name, "password": password});
        server.anonymous().post("/auth/login", &login).await.ok();
    }
    let other = json!({"username": "admin\u{200b}", "password": ADMIN_PASSWORD});
    let refused = server.anonymous().post("/auth/login", &other).await;
    refused.problem(401, "bad_credentials");
}
