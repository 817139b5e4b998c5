//! `mosaic copy`: an installation moves from the embedded store to PostgreSQL and back, and its devices just go on.

use std::process::Output;

use crate::files::{Folder, bytes_of, file, noise};
use crate::harness::{Client, Data, Phone, Server, Signal};
use mosaic_testkit::postgres::{Template, TestDatabase};
use serde_json::{Value, json};

/// More than one batch of a copy.
const MEMOS: usize = 1_100;

/// Stops a server as an operator does, and leaves its data.
fn stop(mut server: Server) -> Data {
    server.signal(Signal::TERM);
    let (status, log) = server.wait();
    assert_eq!(status.code(), Some(0), "{log}");
    server.data.clone()
}

fn copy(data: &Data, from: &str, to: &str) -> Output {
    data.mosaic(&["copy", "--from", from, "--to", to])
        .output()
        .unwrap()
}

/// The last line of a copy that went well.
fn copied(output: &Output) -> String {
    assert_eq!(
        output.status.code(),
        Some(0),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn memo_id(n: usize) -> String {
    format!("00000000-0000-4000-8000-{n:012x}")
}

/// Records of all types, tombstones, revisions, and a second user.
async fn fill(client: &Client) {
    for n in 0..MEMOS {
        let body =
            json!({"id": memo_id(n), "content": format!("memo {n}"), "updatedAt": 1_715_000_000_000_i64});
        client.post("/memos", &body).await.ok();
    }
    client
        .put(&format!("/memos/{}", memo_id(1)), &json!({"content": "changed"}))
        .await
        .ok();
    client.delete(&format!("/memos/{}", memo_id(2))).await.ok();
    client
        .put("/diaries/2026-05-16", &json!({"summary": "天気がいい"}))
        .await
        .ok();
    client
        .post(
            "/bots",
            &json!({"name": "Robot", "aiConfig": {"temperature": 0.1}}),
        )
        .await
        .ok();
    let resource = json!({"memoId": memo_id(0), "filename": "a.png", "mimeType": "image/png", "fileSize": 1});
    client.post("/resources", &resource).await.ok();
}

/// The same device on another server: its cursors and its login are still good, and it is told of nothing twice.
async fn goes_on(server: &Server, client: &Client, phone: &mut Phone) {
    let mut moved = client.clone();
    moved.url.clone_from(&server.url);
    let delivered = phone.delivered.len();
    phone.pull_all(&moved).await;
    assert_eq!(phone.delivered.len(), delivered, "nothing is delivered again");
    assert_eq!(phone.records, moved.everything().await.records);
    let revisions = moved.get(&format!("/memos/{}/revisions", memo_id(1))).await.ok();
    assert_eq!(revisions[0]["content"], "memo 1");
    moved
        .post(
            "/memos",
            &json!({"content": format!("written on {}", server.url)}),
        )
        .await
        .ok();
    phone.pull_all(&moved).await;
    assert_eq!(phone.delivered.len(), delivered + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_installation_moves_to_postgresql_and_back_and_its_devices_go_on() {
    let database = TestDatabase::create(&Template::empty()).await;
    let server = Server::start();
    let client = server.device("phone").await;
    fill(&client).await;
    server.new_user("ben", "his-phone").await;
    let mut phone = Phone::default();
    phone.pull_all(&client).await;
    let data = stop(server);

    let (sqlite, postgres) = ("sqlite://mosaic-data/mosaic.db", database.url());
    let there = copied(&copy(&data, sqlite, &postgres));
    assert!(there.contains("2 users"), "{there}");
    // Once more changes nothing: an interrupted copy would go on in this way.
    assert_eq!(copied(&copy(&data, sqlite, &postgres)), there);
    let server = data.start(&["--database-url", &postgres]);
    goes_on(&server, &client, &mut phone).await;
    stop(server);

    copied(&copy(&data, &postgres, "sqlite://back.db"));
    let server = data.start(&["--database-url", "sqlite://back.db"]);
    goes_on(&server, &client, &mut phone).await;
    stop(server);
    database.remove().await;
}

/// Uploads such bytes as a resource of its own.
async fn upload(client: &Client, seed: u64) -> Value {
    let form = file("a.bin", "application/octet-stream", &noise(seed, 50_000));
    client.upload(form).await.ok()
}

/// The files of attachments stay where they are, and belong to the new store from then on: it gives them out, knows the same
/// bytes again, keeps avatars, and purges nothing that is named.
#[tokio::test(flavor = "multi_thread")]
async fn attachments_stay_where_they_are_and_belong_to_the_new_store() {
    let database = TestDatabase::create(&Template::empty()).await;
    let server = Server::start();
    let folder = Folder::of(&server.data);
    let client = server.device("phone").await;
    let (first, second) = (upload(&client, 1).await, upload(&client, 2).await);
    let picture = file("me.gif", "image/gif", b"GIF89a\x01\0\x01\0\0\0\0;");
    let avatar = client.send_form("/resources/upload-avatar", picture).await.ok();
    let data = stop(server);
    folder.assert_holds(3, "two uploads and an avatar").await;

    let (sqlite, postgres) = ("sqlite://mosaic-data/mosaic.db", database.url());
    let there = copied(&copy(&data, sqlite, &postgres));
    assert_eq!(copied(&copy(&data, sqlite, &postgres)), there);
    let on_postgres = ["--database-url", postgres.as_str()];
    for command in ["doctor", "purge"] {
        let said = data.mosaic(&[&[command][..], &on_postgres].concat()).output();
        let said = copied(&said.unwrap());
        assert!(
            said.contains("3 attachments") && said.contains("as they should be")
                || said.contains("and 0 files"),
            "{said}"
        );
    }
    let server = data.start(&on_postgres);
    let mut moved = client.clone();
    moved.url.clone_from(&server.url);
    for (resource, seed) in [(&first, 1), (&second, 2)] {
        let bytes = moved.download(&bytes_of(resource)).await.whole();
        assert_eq!(bytes, noise(seed, 50_000));
    }
    let address = avatar["avatarUrl"].as_str().unwrap();
    assert_eq!(moved.download(address).await.status, 200, "{avatar}");
    upload(&moved, 1).await;
    folder.assert_holds(3, "the same bytes again").await;
    stop(server);

    copied(&copy(&data, &postgres, "sqlite://back.db"));
    let server = data.start(&["--database-url", "sqlite://back.db"]);
    moved.url.clone_from(&server.url);
    let bytes = moved.download(&bytes_of(&second)).await.whole();
    assert_eq!(bytes, noise(2, 50_000));
    stop(server);
    database.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_into_somebody_else_s_store_is_refused_and_changes_nothing() {
    let server = Server::start();
    server
        .device("phone")
        .await
        .post("/memos", &json!({"content": "mine"}))
        .await
        .ok();
    let data = stop(server);
    let other = data.start(&["--database-url", "sqlite://other.db"]);
    let client = other.device("phone").await;
    client.post("/memos", &json!({"content": "theirs"})).await.ok();
    let before = client.everything().await;
    stop(other);

    let refused = copy(&data, "sqlite://mosaic-data/mosaic.db", "sqlite://other.db");
    assert_eq!(refused.status.code(), Some(1));
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        said.contains("not empty") && said.contains("Copy into an empty store"),
        "{said}"
    );

    let other = data.start(&["--database-url", "sqlite://other.db"]);
    assert_eq!(other.device("phone").await.everything().await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_back_in_time_is_refused_and_changes_nothing() {
    let server = Server::start();
    server
        .device("phone")
        .await
        .post("/memos", &json!({"content": "before"}))
        .await
        .ok();
    let data = stop(server);
    copied(&copy(&data, "sqlite://mosaic-data/mosaic.db", "sqlite://new.db"));
    let moved = data.start(&["--database-url", "sqlite://new.db"]);
    let client = moved.device("phone").await;
    client.post("/memos", &json!({"content": "after"})).await.ok();
    let before = client.everything().await;
    stop(moved);

    let refused = copy(&data, "sqlite://mosaic-data/mosaic.db", "sqlite://new.db");
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(1), "{said}");
    assert!(
        said.contains("newer") && said.contains("the right way round"),
        "{said}"
    );
    let moved = data.start(&["--database-url", "sqlite://new.db"]);
    let mut same = client.clone();
    same.url.clone_from(&moved.url);
    assert_eq!(same.everything().await, before, "the login still counts, too");
}

#[test]
fn a_copy_of_a_store_onto_itself_or_from_nowhere_is_refused() {
    let data = Data::new();
    let same = copy(&data, "sqlite://a.db", "sqlite://a.db");
    assert!(String::from_utf8_lossy(&same.stderr).contains("the same store"));
    let unknown = copy(&data, "mysql://a", "sqlite://a.db");
    assert_eq!(unknown.status.code(), Some(2));
    let missing = copy(&data, "sqlite://typo.db", "sqlite://a.db");
    assert_eq!(missing.status.code(), Some(1), "{missing:?}");
    assert!(!data.path().join("a.db").exists() && !data.path().join("typo.db").exists());
}
