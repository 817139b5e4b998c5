//! Many blobs, of many users, at once; and addresses that are signed.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use mosaic_ports::{BlobError, BlobName, PresignedRead};
use tokio::task::JoinSet;

use super::{
    BlobFixture, PATIENCE, assert_same, blob, bytes, collect, get, is_there, names, nothing_is_left_behind,
    put, store_some,
};

/// Names in no particular order, of several users, in several folders.
fn scattered() -> Vec<BlobName> {
    let mut names = Vec::new();
    for user in [u128::MAX, 3, 0x0A00, 1] {
        for id in [
            0,
            1,
            7,
            0xFF << 120,
            0x0A << 120,
            (0x0A << 120) + 1,
            0xA0 << 120,
            u128::MAX,
        ] {
            names.push(blob(user, id));
        }
    }
    names
}

/// By user, then by id.
pub async fn blobs_are_listed_in_order<F: BlobFixture>(fixture: &F) {
    let store = fixture.store();
    let mut expected = scattered();
    for name in &expected {
        store_some(&*store, *name, 3).await;
    }
    expected.sort_unstable();
    assert_eq!(names(&store.list(None, 1_000).await.unwrap()), expected);
    assert_eq!(store.list(None, 0).await.unwrap(), []);
}

/// Of any size, from any name, whether it is there or not.
pub async fn blobs_are_listed_in_pages<F: BlobFixture>(fixture: &F) {
    let store = fixture.store();
    let mut expected = scattered();
    for name in &expected {
        store_some(&*store, *name, 3).await;
    }
    expected.sort_unstable();
    for limit in [1, 3, 8, 31, 32, 33] {
        let mut listed = Vec::new();
        loop {
            let page = names(&store.list(listed.last().copied(), limit).await.unwrap());
            assert!(page.len() <= limit as usize);
            if page.is_empty() {
                break;
            }
            listed.extend(page);
        }
        assert_eq!(listed, expected, "in pages of {limit}");
    }
    for after in [
        blob(0, 0),
        blob(1, 2),
        blob(2, 0),
        blob(3, u128::MAX - 1),
        blob(0x0A00, 5),
    ] {
        let rest: Vec<_> = expected.iter().copied().filter(|name| *name > after).collect();
        assert_eq!(names(&store.list(Some(after), 100).await.unwrap()), rest);
    }
}

/// The same id of two users is two blobs.
pub async fn users_are_apart<F: BlobFixture>(fixture: &F) {
    let store = fixture.store();
    put(&*store, blob(1, 5), &bytes(1, 50), 50).await.unwrap();
    put(&*store, blob(2, 5), &bytes(2, 60), 60).await.unwrap();
    assert_same(&get(&*store, blob(1, 5), None).await.unwrap().1, &bytes(1, 50));
    assert_same(&get(&*store, blob(2, 5), None).await.unwrap().1, &bytes(2, 60));
    store.remove(blob(1, 5)).await.unwrap();
    assert!(!is_there(&*store, blob(1, 5)).await);
    assert!(is_there(&*store, blob(2, 5)).await);
}

/// To the end, or it fails: never as if less were all.
pub async fn reading_goes_on_while_a_blob_is_removed<F: BlobFixture>(fixture: &F) {
    let store = fixture.store();
    let content = store_some(&*store, blob(1, 1), 2 * F::PART).await;
    let mut reader = store.read(blob(1, 1), None).await.unwrap().unwrap();
    let first = reader.bytes.next().await.unwrap().unwrap();
    store.remove(blob(1, 1)).await.unwrap();
    assert!(!is_there(&*store, blob(1, 1)).await);
    let rest = collect(reader).await;
    if let Ok(rest) = rest {
        assert_same(&[first, rest].concat().into(), &content);
    }
}

/// For one user and for several, without getting in each other's way.
pub async fn twenty_write_at_once<F: BlobFixture>(fixture: &F) {
    let store = fixture.store();
    let mut writers = JoinSet::new();
    for number in 0..20_u64 {
        let store = Arc::clone(&store);
        writers.spawn(async move {
            let name = blob(u128::from(number % 3), u128::from(number));
            let size = if number % 10 == 0 { F::PART + 1 } else { 30_000 };
            put(&*store, name, &bytes(number, size), 10_000).await.unwrap();
            (name, bytes(number, size))
        });
    }
    let written = writers.join_all().await;
    assert_eq!(store.list(None, 100).await.unwrap().len(), 20);
    for (name, content) in written {
        assert_same(&get(&*store, name, None).await.unwrap().1, &content);
    }
}

/// Whoever sends them goes away: what was written is gone, and the name may be used still.
pub async fn bytes_that_fail_half_way_leave_nothing<F: BlobFixture>(fixture: &F) {
    let store = fixture.store();
    let upload = async |fails: bool| {
        let mut writer = store.create(blob(1, 1)).await?;
        for number in 0..6 {
            writer.write(bytes(number, F::PART / 2)).await?;
            if fails && number == 4 {
                return Err(BlobError::Failed("the sender went away".into()));
            }
        }
        writer.finish().await
    };
    assert!(upload(true).await.is_err());
    assert!(!is_there(&*store, blob(1, 1)).await);
    nothing_is_left_behind(fixture).await;
    assert_eq!(upload(false).await.unwrap(), 6 * (F::PART as u64 / 2));
}

/// As health checks see it.
pub async fn the_store_is_healthy<F: BlobFixture>(fixture: &F) {
    fixture.store().check().await.unwrap();
    assert_eq!(fixture.store().list(None, 10).await.unwrap(), []);
}

fn reading(expires_in: Duration) -> PresignedRead {
    PresignedRead {
        expires_in,
        content_type: "image/png; x=\"y z\"".into(),
        content_disposition: "attachment; filename=\"a&b=c +%20.png\"; filename*=UTF-8''%E2%82%AC.png".into(),
    }
}

/// With the type and the name that were asked for; or there is no address.
pub async fn a_signed_address_is_read_by_anybody<F: BlobFixture>(fixture: &F) {
    let store = fixture.store();
    let content = store_some(&*store, blob(1, 1), 5_000).await;
    let read = reading(Duration::from_mins(1));
    let url = store.presign_read(blob(1, 1), read.clone()).await.unwrap();
    assert_eq!(url.is_some(), F::PRESIGNS);
    let Some(url) = url else { return };
    let answer = reqwest::get(&url).await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["content-type"], read.content_type);
    assert_eq!(answer.headers()["content-disposition"], read.content_disposition);
    assert_same(&answer.bytes().await.unwrap(), &content);
    let part = reqwest::Client::new().get(&url).header("range", "bytes=10-19");
    let answer = part.send().await.unwrap();
    assert_eq!(answer.status(), 206);
    assert_same(&answer.bytes().await.unwrap(), &content.slice(10..20));
}

/// With one request; or there is no address.
pub async fn a_signed_address_is_written_by_anybody<F: BlobFixture>(fixture: &F) {
    let store = fixture.store();
    let url = store
        .presign_write(blob(1, 1), Duration::from_mins(1))
        .await
        .unwrap();
    assert_eq!(url.is_some(), F::PRESIGNS);
    let Some(url) = url else { return };
    let content = bytes(1, 5_000);
    let put = reqwest::Client::new().put(&url).body(content.clone());
    assert_eq!(put.send().await.unwrap().status(), 200);
    assert_same(&get(&*store, blob(1, 1), None).await.unwrap().1, &content);
    assert_ne!(
        reqwest::get(&url).await.unwrap().status(),
        200,
        "it is for writing only"
    );
}

/// Not for another blob, another method, another type, or longer.
pub async fn a_signed_address_can_not_be_changed<F: BlobFixture>(fixture: &F) {
    let store = fixture.store();
    store_some(&*store, blob(1, 1), 10).await;
    store_some(&*store, blob(1, 2), 10).await;
    let url = store
        .presign_read(blob(1, 1), reading(Duration::from_mins(1)))
        .await
        .unwrap();
    let Some(url) = url else { return };
    let other = url.replace(&blob(1, 1).id.to_string(), &blob(1, 2).id.to_string());
    let longer = url.replace("X-Amz-Expires=60", "X-Amz-Expires=6000");
    let html = url.replace("image%2Fpng", "text%2Fhtml");
    let bare = url.split_once('?').unwrap().0.to_owned();
    for changed in [other, longer, html, bare] {
        assert_ne!(changed, url);
        assert_eq!(reqwest::get(&changed).await.unwrap().status(), 403, "{changed}");
    }
    let client = reqwest::Client::new();
    assert_eq!(client.put(&url).body("x").send().await.unwrap().status(), 403);
    assert_eq!(client.delete(&url).send().await.unwrap().status(), 403);
    assert!(is_there(&*store, blob(1, 1)).await);
}

/// When its time is over.
pub async fn a_signed_address_expires<F: BlobFixture>(fixture: &F) {
    let store = fixture.store();
    store_some(&*store, blob(1, 1), 10).await;
    let soon = Duration::from_secs(1);
    let Some(url) = store.presign_read(blob(1, 1), reading(soon)).await.unwrap() else {
        return;
    };
    let wait = async {
        while reqwest::get(&url).await.unwrap().status() == 200 {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.unwrap();
    assert_eq!(reqwest::get(&url).await.unwrap().status(), 403);
}
