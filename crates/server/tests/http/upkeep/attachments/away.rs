//! Storage that is away, or another.

use super::*;

on_both_stores! {
    storage_that_is_away_holds_up_nothing_but_attachments
}

/// S3 where nobody answers.
const AWAY: [&str; 10] = [
    "--attachments-s3-bucket",
    "notes",
    "--attachments-s3-endpoint",
    "http://127.0.0.1:1",
    "--attachments-s3-allow-http",
    "--attachments-s3-access-key-id",
    "AKIA",
    "--attachments-s3-prefix",
    "mosaic/",
    "--attachments-s3-path-style",
];

async fn storage_that_is_away_holds_up_nothing_but_attachments(place: Place) {
    fs::write(
        place.data.path().join("mosaic.toml"),
        "[attachments]\ns3_secret_access_key = 'hunter2'\n",
    )
    .unwrap();
    let server = place.start_with(&AWAY);
    let client = server.device("phone").await;
    fill(&client).await;
    server.new_user("anna", "phone").await;
    let kept = client.everything().await;
    let ready = client.get("/health/ready").await.ok();
    assert_eq!(ready["attachments"], "unavailable");
    client.get("/health").await.ok();
    let form = file("a.bin", "application/octet-stream", &noise(1, SIZE));
    client.upload(form).await.problem(503, "storage_unavailable");
    assert_eq!(client.everything().await, kept, "no record without bytes");
    assert!(!server.log().contains("hunter2"), "{}", server.log());
    stop(server);
    age(&place).await;

    let before = place.loaded("admin").await;
    let failed = place.mosaic(&[&["purge"][..], &AWAY].concat()).failed();
    assert!(failed.contains("the storage of attachments"), "{failed}");
    let after = place.loaded("admin").await;
    assert!(
        before.revisions > 0 && after.revisions == 0,
        "{before:?} {after:?}"
    );
    let delete = ["user", "delete", "anna", "--yes"];
    let said = place.mosaic(&[&delete[..], &AWAY].concat()).done();
    assert_eq!(
        said,
        "anna is removed. The next purge removes the files of its attachments.\n"
    );
    let listed = place.mosaic(&[&["user", "list"][..], &AWAY].concat()).done();
    assert!(!listed.contains("anna"), "{listed}");
    place.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_whose_drive_is_gone_is_no_empty_folder() {
    let place = Place::embedded();
    let server = place.start();
    let client = server.device("phone").await;
    client.get("/health/ready").await.ok();
    let path = place.data.path().join("mosaic-data/attachments");
    fs::rename(&path, path.with_extension("away")).unwrap();
    fs::create_dir(&path).unwrap();
    let ready = client.get("/health/ready").await.ok();
    assert_eq!(ready["attachments"], "unavailable");
    fs::remove_dir(&path).unwrap();
    fs::rename(path.with_extension("away"), &path).unwrap();
    client.get("/health/ready").await.ok();
}

/// An empty folder, as where a drive is not mounted, is not taken for one in which everything is lost.
#[tokio::test(flavor = "multi_thread")]
async fn another_folder_than_the_store_s_is_not_used_until_somebody_says_so() {
    let place = Place::embedded();
    let server = place.start();
    let client = server.device("phone").await;
    let resource = upload(&client, 1).await;
    stop(server);
    let elsewhere = ["--attachments-folder", "elsewhere"];
    let server = place.start_with(&elsewhere);
    let client = on(&server, &client);
    let ready = client.get("/health/ready").await.ok();
    assert_eq!(ready["attachments"], "unavailable");
    assert_eq!(client.download(&bytes_of(&resource)).await.status, 503);
    let form = file("a.bin", "application/octet-stream", &noise(2, SIZE));
    client.upload(form).await.problem(503, "storage_unavailable");
    client
        .post("/memos", &json!({"content": "all the same"}))
        .await
        .ok();
    stop(server);
    for command in [&["purge"][..], &["doctor"]] {
        let said = place.mosaic(&[command, &elsewhere].concat()).failed();
        assert!(
            said.contains("is a drive not mounted") && said.contains("--accept-storage"),
            "{said}"
        );
    }
    // And one that is not there is not made.
    let missing = ["--attachments-folder", "missing"];
    for command in [&["purge"][..], &["doctor"], &["user", "delete", "admin", "--yes"]] {
        place.mosaic(&["user", "add", "--admin", "bert"]);
        let said = place.mosaic(&[command, &missing].concat()).failed();
        assert!(said.contains("missing: there is no such folder"), "{said}");
        assert!(!place.data.path().join("missing").exists(), "{command:?}");
    }
    place.mosaic(&["user", "delete", "bert", "--yes"]).done();
    assert_eq!(healthy(&place, &[]).len(), 1);

    let accepted = [&["doctor", "--accept-storage"][..], &elsewhere].concat();
    let ended = place.mosaic(&accepted);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.out.starts_with("lost: the file "), "{ended:?}");
    let server = place.start_with(&elsewhere);
    let client = on(&server, &client);
    let ready = client.get("/health/ready").await.ok();
    assert_eq!(ready["attachments"], Value::Null);
    upload(&client, 1).await;
    let again = client.download(&bytes_of(&resource)).await.whole();
    assert_eq!(again, noise(1, SIZE));
    stop(server);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_in_memory_leaves_no_files_either() {
    let place = Place::embedded();
    let server: Server = place.start_with(&["--database-url", "sqlite::memory:"]);
    let client = server.device("phone").await;
    let resource = upload(&client, 1).await;
    assert_eq!(
        client.download(&bytes_of(&resource)).await.whole(),
        noise(1, SIZE)
    );
    assert!(!place.data.path().join("mosaic-data/attachments").exists());
    stop(server);
}

#[test]
fn a_folder_that_can_not_be_used_stops_the_start_and_is_named() {
    let place = Place::embedded();
    fs::write(place.data.path().join("a-file"), "").unwrap();
    let said = place
        .mosaic(&["serve", "--attachments-folder", "a-file/attachments"])
        .failed();
    assert!(
        said.contains("attachments.folder") && said.contains("a-file/attachments"),
        "{said}"
    );
}
