//! Tickets (L5), of the binary that people run: with real signatures, and what it logs.

use reqwest::Method;
use serde_json::{Value, json};

use crate::files::{bytes_of, file};
use crate::harness::{Client, Server};

async fn ticket(client: &Client, body: &Value) -> (String, String) {
    let made = client.post("/auth/tickets", body).await.ok();
    let text = |name: &str| made[name].as_str().expect("a text").to_owned();
    (text("address"), text("ticket"))
}

#[tokio::test(flavor = "multi_thread")]
async fn l5_tickets_open_what_they_are_for_and_are_in_no_log() {
    let server = Server::start_with(&["--log-level", "debug"]);
    let phone = server.device("phone").await;
    let resource = phone
        .upload(file("a.txt", "text/plain", b"0123456789"))
        .await
        .ok();
    let id = &resource["id"];
    let anonymous = server.anonymous();

    let (download, first) = ticket(&phone, &json!({"purpose": "download", "resourceId": id})).await;
    for (range, bytes) in [("bytes=0-2", "012"), ("bytes=7-", "789")] {
        let part = anonymous.download_with(&download, "range", range).await;
        assert_eq!(part.bytes, bytes.as_bytes(), "{range}");
    }
    let (events, second) = ticket(&phone, &json!({"purpose": "events"})).await;
    let stream = anonymous
        .request(Method::GET, &events)
        .send()
        .await
        .expect("an answer");
    assert_eq!(stream.status(), 200);
    // Refused, in all ways that there are, which may be logged otherwise.
    let path = bytes_of(&resource);
    let filler = "x".repeat(10_000);
    for address in [
        events.clone(),
        format!("{path}?ticket={second}"),
        format!("/sync/events?ticket={first}&ticket={second}"),
        format!("/memos?ticket={first}"),
        format!("/nowhere?ticket={first}"),
        format!("/sync/events?ticket={first}&more={filler}"),
        format!("/sync/events?ticket={first}%ff"),
    ] {
        let refused = anonymous.get(&address).await;
        assert!(refused.status.is_client_error(), "{address}");
    }
    phone.delete("/devices/phone").await;
    anonymous.get(&download).await.problem(401, "login_ended");

    let log = server.log();
    assert!(log.contains(&format!("\"path\":\"{path}\"")), "{log}");
    for ticket in [first, second] {
        // The signature, without which a ticket is nothing.
        let signature = &ticket[ticket.len() - 80..];
        assert!(!log.contains(signature) && !log.contains("ticket="), "{log}");
    }
}
