//! Files, up and down.

use std::time::Duration;

use mosaic_domain::ResourceId;
use serde_json::json;
use uuid::Uuid;

use super::{ATTEMPTS, Device, a_page, serve};
use crate::Error;

#[tokio::test]
async fn an_upload_that_does_not_move_on_ends_the_sync() {
    let phone = Device::at(|_, request| {
        let is_begun = request.contains(" /uploads/1 ");
        is_begun.then(|| "204 OK\r\nupload-offset: 0\r\n\r\n".to_owned())
    })
    .await;
    phone.attach("a");
    let error = phone.app.sync(|_| {}).await.unwrap_err();
    assert!(matches!(error, Error::Later { .. }), "{error}");
    assert_eq!(phone.asked("PATCH ").len(), ATTEMPTS as usize);
}

#[tokio::test]
async fn a_file_whose_copy_is_not_there_or_not_whole_holds_up_no_other() {
    let phone = Device::at(|_, request| {
        let begins = request.starts_with("POST /uploads ");
        begins.then(|| "201 Created\r\nlocation: /uploads/1\r\nupload-offset: 10".to_owned())
    })
    .await;
    let [(gone, gone_at), (_, cut_at), _] = ["a", "b", "c"].map(|name| phone.attach(name));
    std::fs::remove_file(gone_at).unwrap();
    std::fs::write(cut_at, "some").unwrap();
    let done = phone.app.sync(|_| {}).await.unwrap();
    assert_eq!(done.uploaded, 1);
    let told: Vec<_> = done
        .rejected
        .iter()
        .map(|rejection| &*rejection.problem.code)
        .collect();
    assert_eq!(told, ["file_unreadable"; 2]);
    assert_eq!(
        phone.app.sync(|_| {}).await.unwrap().rejected,
        [],
        "it is told once"
    );
    assert!(phone.app.discard(gone).unwrap());
    assert_eq!(phone.app.status().unwrap().uploads.len(), 1);
}

#[tokio::test]
async fn a_file_that_is_not_attached_leaves_no_copy() {
    let phone = Device::at(|_, _| None).await;
    phone.attach("a");
    let no_table = |tx: &rusqlite::Transaction<'_>| Ok(tx.execute_batch("DROP TABLE uploads")?);
    phone.app.store().write(no_table).unwrap();
    phone.app.attach(&phone.file("a"), None).unwrap_err();
    assert_eq!(
        std::fs::read_dir(phone.file("diary.db.files")).unwrap().count(),
        1
    );
}

#[tokio::test]
async fn tries_within_tries_are_counted_together_and_what_moves_on_begins_anew() {
    let mut parts = 0;
    let phone = Device::at(move |_, request| {
        // Two parts of four bytes, each at its third try, and not the last one.
        if request.starts_with("PATCH ") {
            parts += 1;
            return Some(match parts {
                3 => "204 OK\r\nupload-offset: 4\r\n\r\n".to_owned(),
                6 => "204 OK\r\nupload-offset: 8\r\n\r\n".to_owned(),
                _ => "503 Busy".to_owned(),
            });
        }
        let has = format!("200 OK\r\nupload-offset: {}", parts / 3 * 4);
        let asks = request.contains(" /uploads/1 ");
        asks.then(|| if parts < 6 { has } else { "503 Busy".to_owned() })
    })
    .await;
    phone.attach("a");
    phone.app.sync(|_| {}).await.unwrap_err();
    assert_eq!(phone.asked("PATCH ").len(), 7);
    assert_eq!(phone.machine.waits().len(), 2 + 2 + ATTEMPTS as usize - 1);
}

#[tokio::test]
async fn a_sync_ends_where_the_server_wants_to_be_left_alone_for_long_and_says_for_how_long() {
    let phone = Device::at(|_, request| {
        let is_part = request.starts_with("PATCH ");
        is_part.then(|| "429 Slow\r\nretry-after: 99999999999".to_owned())
    })
    .await;
    phone.attach("a");
    let error = phone.app.sync(|_| {}).await.unwrap_err();
    let day = Duration::from_hours(24);
    assert_eq!(error.after(), Some(day), "no longer than this is taken for meant");
    assert!(error.to_string().ends_with("; try again in 86400 s"), "{error}");
    assert_eq!(phone.machine.waits(), [0; 0]);
}

/// A device that knows of a file of ten bytes, and a server that gives them so.
async fn with_a_file(mut download: impl FnMut(&str) -> String + Send + 'static) -> (Device, ResourceId) {
    let id = ResourceId::new(Uuid::from_u128(1));
    let sha256 = "0d22cdcc10e6d049dbe1af5123d50873fdfc1a4f58306e58cb6241be9472014d";
    let resource = json!({
        "id": id, "memoId": null, "filename": "a", "mimeType": "a/b", "fileSize": 10, "sha256": sha256, "storageType": "local",
        "sortOrder": 0, "metadata": {}, "createdAt": 1, "updatedAt": 1,
    });
    let changes = json!({"changes": {"resource": {"updated": [resource], "deletedIds": []}}});
    let phone = Device::at(move |_, request| {
        Some(if request.starts_with("POST /sync/pull") {
            a_page(&changes)
        } else {
            download(request)
        })
    })
    .await;
    phone.app.sync(|_| {}).await.unwrap();
    (phone, id)
}

const HALF: &str = "200 OK\r\ncontent-length: 10\r\n\r\nsome";

#[tokio::test]
async fn a_download_goes_on_where_it_broke_off_or_begins_anew_where_the_server_does() {
    for rest in ["206 Partial\r\n\r\n bytes", "200 OK\r\n\r\nsome bytes"] {
        let (phone, id) = with_a_file(move |request| {
            let goes_on = request.contains("range: bytes=4-\r\n");
            if goes_on { rest } else { HALF }.to_owned()
        })
        .await;
        let to = phone.file("down");
        phone.app.download(id, &to, |_, _| {}).await.unwrap();
        assert_eq!(std::fs::read(&to).unwrap(), b"some bytes");
        assert_eq!(phone.asked("GET /resources/").len(), 2);
    }
}

#[tokio::test]
async fn the_storage_of_a_download_is_told_nothing_of_the_login() {
    let storage = serve(|request| {
        let tells = request.contains("authorization") || request.contains("x-client-id");
        if tells {
            "400 No"
        } else {
            "200 OK\r\n\r\nsome bytes"
        }
        .to_owned()
    })
    .await;
    let (phone, id) = with_a_file(move |_| format!("307 There\r\nlocation: {storage}/bytes")).await;
    phone
        .app
        .download(id, &phone.file("down"), |_, _| {})
        .await
        .unwrap();
}

#[tokio::test]
async fn a_download_is_there_whole_or_not_at_all() {
    let (phone, id) = with_a_file(|_| "200 OK\r\n\r\nother bytes".to_owned()).await;
    let to = phone.file("down");
    std::fs::write(&to, "there before").unwrap();
    let error = phone.app.download(id, &to, |_, _| {}).await.unwrap_err();
    assert!(matches!(error, Error::NotTheServer(_)), "{error}");
    assert_eq!(std::fs::read(&to).unwrap(), b"there before");
    assert!(!phone.file("down.partial").exists());
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_download_to_a_full_disk_is_told() {
    let (phone, id) = with_a_file(|_| "200 OK\r\n\r\nsome bytes".to_owned()).await;
    std::os::unix::fs::symlink("/dev/full", phone.file("down.partial")).unwrap();
    let error = phone
        .app
        .download(id, &phone.file("down"), |_, _| {})
        .await
        .unwrap_err();
    assert!(error.to_string().contains("No space left"), "{error}");
    assert!(std::fs::symlink_metadata(phone.file("down.partial")).is_err());
}
