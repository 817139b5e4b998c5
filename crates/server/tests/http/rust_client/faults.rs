//! What goes wrong on the way: lost answers, rejected records, wrong clocks, two processes on one file.

use mosaic_client::domain::entity::{Memo, Resource};
use mosaic_client::domain::{MemoId, ResourceId};
use mosaic_client::{Error, SyncState};
use mosaic_testkit::proxy::Proxy;

use super::{Device, assert_alike, long, memo, two_devices};
use crate::harness::Server;

const HOUR: i64 = 3_600_000;

#[tokio::test(flavor = "multi_thread")]
async fn w3_a_lost_answer_is_sent_again_and_makes_no_twin() {
    let server = Server::start();
    let proxy = Proxy::before(&server.program).await;
    let (phone, tablet) = (Device::at(proxy.url()).await, Device::at(&server.url).await);
    let id = phone.write("once");
    proxy.lose("POST /sync/push", 0);
    // One process sends it, and ends; the next one finds it unsettled, and the server's record in its pull.
    let error = phone.another_process(1).sync(|_| {}).await.unwrap_err();
    assert!(matches!(error, Error::Later { .. }), "{error}");
    assert_eq!(phone.app.status().unwrap().waiting, 1);
    let again = phone.sync().await;
    assert_eq!((again.pulled, again.pushed, again.superseded), (1, 1, 0));
    // Within one sync it is sent again at once.
    phone.rewrite(id, "twice");
    proxy.lose("POST /sync/push", 0);
    assert_eq!(phone.sync().await.pushed, 1);
    assert_eq!(proxy.count("POST /sync/push"), 4);
    tablet.sync().await;
    assert_eq!(tablet.text(id).unwrap(), "twice");
    assert_alike(&[&phone, &tablet]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_sync_that_breaks_off_goes_on_where_it_was() {
    let server = Server::start();
    let proxy = Proxy::before(&server.program).await;
    let (phone, tablet) = (Device::at(&server.url).await, Device::at(proxy.url()).await);
    for n in 0..450 {
        phone.write(&n.to_string());
    }
    phone.sync().await;
    proxy.lose("POST /sync/pull", 2);
    tablet.another_process(1).sync(|_| {}).await.unwrap_err();
    assert_eq!(tablet.all::<Memo>().len(), 400);
    assert_eq!(tablet.sync().await.pulled, 50);
    assert_alike(&[&phone, &tablet]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn w4_an_edit_that_is_made_while_a_push_runs_stays_and_brings_nothing_back_that_lost() {
    let server = Server::start();
    let proxy = Proxy::before(&server.program).await;
    let (phone, tablet) = (Device::at(proxy.url()).await, Device::at(&server.url).await);
    let [lost, won] = ["first", "first"].map(|text| phone.write(text));
    phone.sync().await;
    tablet.sync().await;
    phone.rewrite(lost, "earlier");
    phone.rewrite(won, "sent");
    tablet.rewrite(lost, "later");
    tablet.sync().await;
    // The push has left the phone, and the server has not got it.
    let other = phone.another_process(6);
    proxy.fail(move |line| {
        if line.starts_with("POST /sync/push") {
            other.edit::<Memo>(lost, |memo| memo.is_archived = true).unwrap();
            other
                .edit::<Memo>(won, |memo| memo.content = long("typed meanwhile"))
                .unwrap();
        }
        None
    });
    let done = phone.sync().await;
    assert_eq!((done.pushed, done.superseded), (2, 1));
    assert_eq!(phone.text(lost).unwrap(), "later");
    assert_eq!(phone.text(won).unwrap(), "typed meanwhile");
    assert_eq!(phone.app.status().unwrap().waiting, 2);
    proxy.fail(|_| None);
    assert_eq!(phone.sync().await.superseded, 0);
    tablet.sync().await;
    assert!(tablet.memo(lost).unwrap().is_archived);
    assert_eq!(tablet.text(lost).unwrap(), "later");
    assert_eq!(tablet.text(won).unwrap(), "typed meanwhile");
    assert_alike(&[&phone, &tablet]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn b2_a_rejected_record_stays_and_holds_up_no_other() {
    let (_server, phone, tablet) = two_devices().await;
    let nowhere = MemoId::new(phone.app.new_id());
    let orphan = ResourceId::new(phone.app.new_id());
    phone.app.put(orphan, &a_resource(Some(nowhere))).unwrap();
    let fine = phone.write("fine");
    let done = phone.sync().await;
    assert_eq!((done.pushed, done.rejected.len()), (1, 1));
    let rejected = &done.rejected[0];
    assert_eq!(
        (rejected.problem.code.as_str(), rejected.retryable),
        ("unknown_memo", true)
    );
    assert_eq!(rejected.key, orphan.into());
    assert_eq!(phone.app.status().unwrap().rejected, done.rejected);
    let shown = phone.app.get::<Resource>(orphan).unwrap().unwrap();
    assert_eq!(shown.sync, SyncState::Rejected(rejected.problem.clone()));
    assert_eq!(phone.sync().await.rejected, [], "it is told once");
    tablet.sync().await;
    assert_eq!(tablet.text(fine).unwrap(), "fine");

    phone.app.put(nowhere, &memo("made later")).unwrap();
    assert_eq!(phone.sync().await.pushed, 2);
    assert_eq!(phone.app.status().unwrap().rejected, []);
    tablet.sync().await;
    assert_alike(&[&phone, &tablet]).await;
}

fn a_resource(memo_id: Option<MemoId>) -> Resource {
    let about = serde_json::json!({
        "memoId": memo_id, "filename": "voice.ogg", "mimeType": "audio/ogg", "fileSize": 5, "sha256": null,
        "storageType": "local", "sortOrder": 0, "metadata": {},
    });
    serde_json::from_value(about).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn w6_a_clock_that_is_put_right_does_not_keep_edits_from_the_server() {
    let (_server, phone, tablet) = two_devices().await;
    phone.machine.set_ahead(24 * 365 * HOUR);
    let id = phone.write("in a year");
    phone.machine.set_ahead(0);
    let done = phone.sync().await;
    assert_eq!((done.pushed, done.rejected), (1, vec![]));
    tablet.sync().await;
    tablet.rewrite(id, "an edit that is later");
    tablet.sync().await;
    phone.sync().await;
    assert_eq!(phone.text(id).unwrap(), "an edit that is later");
    assert_alike(&[&phone, &tablet]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn w6_devices_whose_clocks_are_wrong_edit_what_others_wrote() {
    let (_server, slow, fast) = two_devices().await;
    slow.machine.set_ahead(-HOUR);
    fast.machine.set_ahead(HOUR);
    let id = fast.write("by the fast one");
    fast.sync().await;
    for (device, text) in [(&slow, "by the slow one"), (&fast, "by the fast one again")] {
        device.sync().await;
        device.rewrite(id, text);
        let done = device.sync().await;
        assert_eq!(
            (done.pushed, done.superseded, done.rejected),
            (1, 0, vec![]),
            "{text}"
        );
    }
    slow.sync().await;
    assert_eq!(slow.text(id).unwrap(), "by the fast one again");
    assert_alike(&[&slow, &fast]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_on_one_file_lose_nothing() {
    let (_server, phone, tablet) = two_devices().await;
    let other = phone.another_process(6);
    for round in 0..5 {
        phone.attach("some.bin", vec![round; 300 * 1024], None);
        for n in 0..30 {
            phone.write(&format!("{round} {n}"));
            let id = MemoId::new(other.new_id());
            other
                .put(id, &memo(&format!("{round} {n} of the other")))
                .unwrap();
        }
        let (here, there) = tokio::join!(phone.app.sync(|_| {}), other.sync(|_| {}));
        assert_eq!(
            (here.unwrap().rejected, there.unwrap().rejected),
            (vec![], vec![])
        );
        tablet.sync().await;
        for memo in tablet.all::<Memo>().iter().take(20) {
            tablet.rewrite(memo.key, &format!("edited in round {round}"));
        }
        tablet.sync().await;
    }
    phone.sync().await;
    tablet.sync().await;
    assert_eq!(
        (phone.all::<Memo>().len(), phone.all::<Resource>().len()),
        (300, 5)
    );
    assert_eq!(phone.app.status().unwrap().uploads, []);
    assert_alike(&[&phone, &tablet]).await;
}
