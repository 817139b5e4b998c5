//! Everything of a user, as a file.

use mosaic_application::export::Export;
use mosaic_domain::Stamp;
use mosaic_domain::pull::PageLimits;
use mosaic_ports::MockDumpReader;

use super::site::user;
use super::*;

#[actix_web::test]
async fn an_export_is_a_file_of_lines() {
    let site = Site::new().await;
    let memo = json!({"id": ID, "content": "x".repeat(1024 * 1024)});
    site.post("/memos", &memo).await.assert_ok();
    let request = ask("GET", "/account/export").insert_header(("accept-encoding", "gzip"));
    let answer = site.send(request).await.assert_ok();
    for (name, value) in [
        ("content-type", Some("application/x-ndjson")),
        (
            "content-disposition",
            Some("attachment; filename=\"mosaic-user-1-2024-05-06.jsonl\""),
        ),
        ("content-encoding", None),
    ] {
        assert_eq!(answer.header(name), value);
    }
    let lines: Vec<Value> = answer
        .text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 3);
    assert_eq!(lines[1]["record"]["key"], ID);
    assert_eq!(lines[2]["end"]["records"], 1);
}

#[actix_web::test]
async fn an_export_that_fails_half_way_is_cut_short() {
    let mut site = Site::new().await;
    site.post("/memos", &json!({"content": "x".repeat(1024 * 1024)}))
        .await
        .assert_ok();
    let reader = &site.stores.dump_reader;
    let records = reader
        .dump_records(user(1), Stamp::ZERO, PageLimits::PROTOCOL)
        .await;
    let mut pages = vec![Err(StoreError::Failed("secret".into())), records];
    let mut dump = MockDumpReader::new();
    dump.expect_dump_records()
        .returning(move |_, _, _| pages.pop().unwrap());
    site.state_mut().export = Export::new(
        site.stores.accounts.clone(),
        Arc::new(dump),
        site.stores.identity.clone(),
        site.clock.clone(),
        site.state_mut().trail.clone(),
    );
    let mut connection = site.connect().await;
    connection.send("GET", "/account/export", "", b"").await;
    let text = connection.incoming.rest().await;
    let length = text.len();
    assert!(text.starts_with("HTTP/1.1 200"), "{length}");
    assert!(
        text.contains("{\"header\"") && !text.contains("secret"),
        "{length}"
    );
    // What ends an answer that has no length.
    assert!(!text.ends_with("0\r\n\r\n"), "{length}");
}
