//! Storage that does not work, or not well.

use std::error::Error;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use mosaic_adapter_blobs::{S3Blobs, S3Settings, Secret};
use mosaic_domain::UnixMillis;
use mosaic_ports::{BlobError, BlobStore, PresignedRead};
use mosaic_testkit::blobs::{blob, bytes, collect, put};

use crate::conformance::until;
use crate::sink::Sink;
use crate::storage::{SECRET_KEY, Storage, settings};
use crate::unruly::{Manner, Unruly};

const MIB: usize = 1024 * 1024;

/// A store that does not wait long.
fn impatient(endpoint: &str) -> S3Blobs {
    let settings = S3Settings {
        attempt_timeout: Duration::from_millis(300),
        timeout: Duration::from_millis(1_200),
        retries: 2,
        ..settings(endpoint)
    };
    S3Blobs::new(&settings).unwrap()
}

/// Everything that a store does, by name.
async fn everything(store: &dyn BlobStore) -> Vec<(&'static str, Result<(), BlobError>)> {
    let name = blob(1, 1);
    let read = async {
        match store.read(name, None).await? {
            Some(reader) => collect(reader).await.map(drop),
            None => Ok(()),
        }
    };
    vec![
        ("read", read.await),
        ("info", store.info(name).await.map(drop)),
        ("list", store.list(None, 10).await.map(drop)),
        ("remove", store.remove(name).await),
        ("put", put(store, name, &bytes(1, 10), 10).await.map(drop)),
        (
            "put parts",
            put(store, name, &bytes(1, 6 * MIB), MIB).await.map(drop),
        ),
        ("sweep", store.sweep(UnixMillis::clamped(1)).await.map(drop)),
        ("check", store.check().await),
    ]
}

/// An error with its causes.
fn said(error: &BlobError) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        words = format!("{words}: {next}");
        cause = next.source();
    }
    words
}

async fn all_are_unavailable(store: &S3Blobs) {
    for (what, outcome) in everything(store).await {
        assert!(
            matches!(outcome, Err(BlobError::Unavailable(_))),
            "{what}: {outcome:?}"
        );
    }
}

#[tokio::test]
async fn storage_that_fails_is_unavailable_after_a_few_tries() {
    let storage = Unruly::answering(500, "InternalError").await;
    let store = impatient(&storage.endpoint);
    let read = store.read(blob(1, 1), None).await;
    assert!(matches!(read, Err(BlobError::Unavailable(_))), "{read:?}");
    assert_eq!(storage.requests(), 3, "one, and two more");
    all_are_unavailable(&store).await;
}

#[tokio::test]
async fn storage_that_hangs_is_unavailable_in_time() {
    let storage = Unruly::start(Manner::Hangs).await;
    let store = impatient(&storage.endpoint);
    let start = Instant::now();
    all_are_unavailable(&store).await;
    let each = start.elapsed() / 8;
    assert!(each < Duration::from_secs(3), "{each:?}");
    assert!(storage.requests() > 8, "it is asked again");
}

#[tokio::test]
async fn storage_that_cuts_connections_is_unavailable() {
    let storage = Unruly::start(Manner::Resets).await;
    all_are_unavailable(&impatient(&storage.endpoint)).await;
}

#[tokio::test]
async fn storage_that_is_not_there_is_unavailable() {
    let storage = Unruly::start(Manner::Hangs).await;
    let endpoint = storage.endpoint.clone();
    drop(storage);
    let store = impatient(&endpoint);
    let wait = async {
        // Until the listener is closed.
        while tokio::net::TcpStream::connect(endpoint.trim_start_matches("http://"))
            .await
            .is_ok()
        {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), wait).await.unwrap();
    all_are_unavailable(&store).await;
    let error = store.check().await.unwrap_err();
    assert!(said(&error).contains("refused"), "{}", said(&error));
}

#[tokio::test]
async fn storage_that_is_full_says_so() {
    let storage = Unruly::answering(507, "XMinioStorageFull").await;
    let put = put(&impatient(&storage.endpoint), blob(1, 1), &bytes(1, 6 * MIB), MIB).await;
    assert!(matches!(put, Err(BlobError::Full(_))), "{put:?}");
}

#[tokio::test]
async fn a_part_that_finds_no_room_breaks_the_writer() {
    let sink = Sink::start(100).await;
    sink.state.refuses_parts.store(1, Ordering::SeqCst);
    let store = impatient(&sink.endpoint);
    let put = put(&store, blob(1, 1), &bytes(1, 30 * MIB), MIB).await;
    assert!(matches!(put, Err(BlobError::Full(_))), "{put:?}");
    until(|| sink.state.aborted.load(Ordering::SeqCst) == 1).await;
    assert_eq!(sink.state.completed.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_body_that_is_cut_off_does_not_end_early() {
    let head = "HTTP/1.1 200 OK\r\ncontent-length: 1000\r\netag: \"x\"\r\n\
                last-modified: Wed, 21 Oct 2015 07:28:00 GMT\r\n\r\n";
    let answer = format!("{head}only some of it");
    for manner in [Manner::Answers(answer.clone()), Manner::Stalls(answer)] {
        let storage = Unruly::start(manner).await;
        let reader = impatient(&storage.endpoint)
            .read(blob(1, 1), None)
            .await
            .unwrap()
            .unwrap();
        assert_eq!(reader.size, 1_000);
        let start = Instant::now();
        let read = collect(reader).await;
        assert!(
            matches!(read, Err(BlobError::Unavailable(_) | BlobError::Failed(_))),
            "{read:?}"
        );
        assert!(start.elapsed() < Duration::from_secs(10));
    }
}

#[tokio::test]
async fn wrong_credentials_are_told_without_showing_the_secret() {
    const WRONG: &str = "another-secret-that-must-not-be-shown";
    let storage = Storage::start().await;
    let wrong_secret = S3Settings {
        secret_key: Secret::new(WRONG),
        ..storage.settings()
    };
    let wrong_key = S3Settings {
        access_key: "AKIANOBODY".into(),
        ..storage.settings()
    };
    for (settings, words) in [(wrong_secret, "the secret key is wrong"), (wrong_key, "403")] {
        let store = S3Blobs::new(&settings).unwrap();
        for (what, outcome) in everything(&store).await {
            let error = outcome.unwrap_err();
            assert!(matches!(error, BlobError::Failed(_)), "{what}: {error:?}");
            let said = format!("{} {error:?}", said(&error));
            // An answer to HEAD has no body that could say more.
            assert!(
                said.contains(words) || said.contains("the credentials are wrong"),
                "{what}: {said}"
            );
            assert!(!said.contains(WRONG) && !said.contains(SECRET_KEY), "{said}");
        }
        let error = store.check().await.unwrap_err();
        assert!(said(&error).contains(words), "{}", said(&error));
        assert!(!format!("{store:?}").contains(WRONG));
    }
}

#[tokio::test]
async fn a_missing_bucket_is_no_missing_blob() {
    let storage = Storage::start().await;
    let settings = S3Settings {
        bucket: "elsewhere".into(),
        ..storage.settings()
    };
    let store = S3Blobs::new(&settings).unwrap();
    for (what, outcome) in everything(&store).await {
        let Err(error) = outcome else { panic!("{what}") };
        assert!(matches!(error, BlobError::Failed(_)), "{what}: {error:?}");
        assert!(
            said(&error).contains("there is no such bucket"),
            "{what}: {}",
            said(&error)
        );
    }
}

#[tokio::test]
async fn storage_that_can_not_list_uploads_is_not_swept() {
    let storage = Unruly::answering(501, "NotImplemented").await;
    let swept = impatient(&storage.endpoint)
        .sweep(UnixMillis::clamped(i64::MAX))
        .await;
    assert_eq!(swept.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_mebibytes_are_never_in_memory() {
    const PART: u64 = 8 * MIB as u64;
    let sink = Sink::start(0).await;
    let settings = S3Settings {
        part_size: 8 * MIB,
        parts_in_flight: 2,
        ..settings(&sink.endpoint)
    };
    let store = S3Blobs::new(&settings).unwrap();
    let mut writer = store.create(blob(1, 1)).await.unwrap();
    let piece = bytes(1, MIB);
    for _ in 0..24 {
        writer.write(piece.clone()).await.unwrap();
    }

    // While the storage takes nothing, the writer takes no more than two parts in flight and one that waits.
    until(|| sink.state.in_flight.load(Ordering::SeqCst) == 2).await;
    let mut next = writer.write(piece.clone());
    for _ in 0..10 {
        assert!(futures_util::poll!(&mut next).is_pending());
        tokio::task::yield_now().await;
    }
    drop(next);
    drop(writer);
    until(|| sink.state.aborted.load(Ordering::SeqCst) == 1).await;
    drop(sink);

    let sink = Sink::start(1_000).await;
    let settings = S3Settings {
        part_size: 8 * MIB,
        parts_in_flight: 2,
        ..crate::storage::settings(&sink.endpoint)
    };
    let store = S3Blobs::new(&settings).unwrap();
    let mut writer = store.create(blob(1, 1)).await.unwrap();
    let (mut given, mut most) = (0, 0);
    for _ in 0..200 {
        writer.write(piece.clone()).await.unwrap();
        given += MIB as u64;
        most = most.max(given - sink.state.taken.load(Ordering::SeqCst));
    }
    assert_eq!(writer.finish().await.unwrap(), 200 * MIB as u64);
    assert_eq!(sink.state.taken.load(Ordering::SeqCst), 200 * MIB as u64);
    assert!(most <= 4 * PART, "{most} bytes are given and not taken");
    assert_eq!(sink.state.most_in_flight.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_blob_whose_last_answer_was_lost_is_there() {
    let sink = Sink::start(100).await;
    sink.state.lost_answers.store(1, Ordering::SeqCst);
    let store = S3Blobs::new(&settings(&sink.endpoint)).unwrap();
    let written = put(&store, blob(1, 1), &bytes(1, 6 * MIB), MIB).await;
    assert_eq!(written.unwrap(), 6 * MIB as u64);
    assert_eq!(sink.state.deleted.load(Ordering::SeqCst), 0);
    assert_eq!(sink.state.aborted.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn addresses_are_signed_for_where_clients_find_the_storage() {
    let settings = S3Settings {
        public_endpoint: Some("https://files.example.org".into()),
        session_token: Some(Secret::new("a token")),
        ..settings("http://minio:9000")
    };
    let store = S3Blobs::new(&settings).unwrap();
    let read = PresignedRead {
        expires_in: Duration::from_hours(365 * 24),
        content_type: "text/plain".into(),
        content_disposition: "inline".into(),
    };
    let url = store.presign_read(blob(1, 2), read).await.unwrap().unwrap();
    let key = format!("{}/{}", blob(1, 2).user, blob(1, 2).id);
    assert!(
        url.starts_with(&format!("https://files.example.org/notes/mosaic/{key}?")),
        "{url}"
    );
    assert!(url.contains("X-Amz-Expires=604800"), "a week at most: {url}");
    assert!(url.contains("X-Amz-Security-Token=a"), "{url}");
}
