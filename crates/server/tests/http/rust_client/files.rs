//! Attachments: up in two halves, and down.

use mosaic_client::Error;
use mosaic_client::domain::entity::Resource;
use mosaic_testkit::proxy::Proxy;

use super::{Device, assert_alike};
use crate::files_s3::{endpoint, on_s3};
use crate::harness::{Data, Server};
use crate::storage::Storage;

/// Enough for five parts.
fn some_bytes() -> Vec<u8> {
    (0..300 * 1024_u32)
        .map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()[0])
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a1_a_file_goes_up_in_two_halves_and_comes_down_whole() {
    let server = Server::start();
    let proxy = Proxy::before(&server.program).await;
    let (phone, tablet) = (Device::at(proxy.url()).await, Device::at(proxy.url()).await);
    let memo = phone.write("with a file");
    let id = phone.attach("voice.bin", some_bytes(), Some(memo));
    proxy.lose("PATCH /uploads/", 2);
    let error = phone.another_process(1).sync(|_| {}).await.unwrap_err();
    assert!(matches!(error, Error::Later { .. }), "{error}");
    assert_eq!(phone.app.status().unwrap().uploads.len(), 1);

    let mut begun_at = None;
    let done = phone.app.sync(|progress| {
        begun_at = begun_at.or(progress.file);
    });
    assert_eq!(done.await.unwrap().uploaded, 1);
    let (had, total) = begun_at.unwrap();
    assert_eq!(
        (had, total),
        (3 * 64 * 1024, 300 * 1024),
        "the part whose answer was lost is there"
    );
    assert_eq!(phone.app.status().unwrap().uploads, []);
    assert_eq!(
        std::fs::read_dir(phone.folder.path().join("diary.db.files"))
            .unwrap()
            .count(),
        0
    );

    tablet.sync().await;
    assert_alike(&[&phone, &tablet]).await;
    let resource = tablet.app.get::<Resource>(id).unwrap().unwrap().content;
    assert_eq!(
        (resource.filename.as_str(), resource.memo_id),
        ("voice.bin", Some(memo))
    );
    let to = tablet.folder.path().join("down.bin");
    let mut received = Vec::new();
    proxy.lose("GET /resources/", 0);
    tablet
        .app
        .download(id, &to, |count, of| received.push((count, of)))
        .await
        .unwrap();
    assert_eq!(std::fs::read(&to).unwrap(), some_bytes());
    assert_eq!(received.last(), Some(&(300 * 1024, 300 * 1024)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a2_a_small_file_is_one_request_and_there_once_where_its_answer_is_lost() {
    let server = Server::start();
    let proxy = Proxy::before(&server.program).await;
    let (phone, tablet) = (Device::at(proxy.url()).await, Device::at(proxy.url()).await);
    for (content, requests) in [("a photo", 1), ("another photo", 2), ("", 1)] {
        let id = phone.attach("photo.txt", content, None);
        if requests == 2 {
            proxy.lose("POST /uploads", 0);
        }
        let before = proxy.count("POST /uploads");
        assert_eq!(phone.sync().await.uploaded, 1);
        assert_eq!(proxy.count("POST /uploads") - before, requests);
        assert_eq!(phone.app.status().unwrap().uploads, []);
        tablet.sync().await;
        let to = tablet.folder.path().join("down.txt");
        tablet.app.download(id, &to, |_, _| {}).await.unwrap();
        assert_eq!(std::fs::read_to_string(&to).unwrap(), content);
    }
    assert_eq!(tablet.app.list::<Resource>().unwrap().len(), 3);
    assert_eq!(proxy.count("PATCH /uploads"), 0);
    assert_alike(&[&phone, &tablet]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_download_follows_the_server_to_its_storage() {
    let storage = Storage::start().await;
    let server = on_s3(
        &Data::new(),
        &endpoint(&storage),
        &["--attachments-redirect-downloads"],
    );
    let phone = Device::at(&server.url).await;
    let id = phone.attach("voice.bin", some_bytes(), None);
    phone.sync().await;
    let to = phone.folder.path().join("down.bin");
    phone.app.download(id, &to, |_, _| {}).await.unwrap();
    assert_eq!(std::fs::read(&to).unwrap(), some_bytes());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_refused_is_told_and_can_be_given_up() {
    let server = Server::start_with(&["--attachments-max-file-bytes", "1024"]);
    let phone = Device::at(&server.url).await;
    let id = phone.attach("large.bin", some_bytes(), None);
    let done = phone.sync().await;
    assert_eq!(done.rejected[0].problem.code, "file_too_large");
    assert_eq!(phone.sync().await.rejected, [], "it is told once");
    assert_eq!(
        phone.app.status().unwrap().uploads[0].problem,
        Some(done.rejected[0].problem.clone())
    );
    assert!(phone.app.discard(id).unwrap());
    assert_eq!(phone.app.status().unwrap().uploads, []);
    assert!(!phone.app.discard(id).unwrap());
    assert!(matches!(
        phone
            .app
            .download(id, &phone.folder.path().join("down.bin"), |_, _| {})
            .await,
        Err(Error::NotFound)
    ));
}
