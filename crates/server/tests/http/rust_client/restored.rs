//! A backup is put back on the server, and devices know more than it does (R1, R2, R3).

use mosaic_client::domain::entity::{Diary, Memo};
use mosaic_client::domain::text::Tags;
use mosaic_testkit::proxy::Proxy;

use super::{Device, assert_alike};
use crate::scenario_stage::Stage;

#[tokio::test(flavor = "multi_thread")]
async fn r3_a_restored_server_gets_what_was_not_synced_and_drops_what_it_forgot() {
    let stage = Stage::new().await;
    let server = stage.start(&[]);
    let proxy = Proxy::before(&server.program).await;
    let (phone, tablet) = (Device::at(proxy.url()).await, Device::at(proxy.url()).await);
    let before: Vec<_> = (0..250).map(|n| phone.write(&format!("before {n}"))).collect();
    phone.sync().await;
    tablet.sync().await;
    let server = stage.save(server).await;
    let [forgotten, tagged] = ["forgotten", "tagged"].map(|text| phone.write(text));
    let green = Tags::new(vec!["green".into()]).unwrap();
    phone
        .app
        .edit::<Memo>(tagged, |memo| memo.tags = green.clone())
        .unwrap();
    phone.app.delete::<Memo>(before[7]).unwrap();
    phone.sync().await;
    tablet.sync().await;

    // Not synced when the server loses its memory.
    phone.rewrite(tagged, "edited offline");
    phone.rewrite(before[1], "edited offline, too");
    let offline = phone.write("made offline");
    let day = "2026-05-16".parse().unwrap();
    phone.app.put(day, &Diary::default()).unwrap();
    tablet.app.delete::<Memo>(before[2]).unwrap();
    Stage::stop(server);
    stage.put_back().await;
    let server = stage.start(&[]);
    proxy.lead_to(&server.program);

    // A rebuilding that breaks off goes on later.
    proxy.lose("POST /sync/pull", 1);
    phone.another_process(1).sync(|_| {}).await.unwrap_err();
    assert_eq!(
        phone.text(forgotten).unwrap(),
        "forgotten",
        "nothing is dropped before the end"
    );
    for device in [&phone, &tablet, &phone] {
        assert_eq!(device.sync().await.rejected, []);
    }
    assert_alike(&[&phone, &tablet]).await;
    assert_eq!(tablet.text(forgotten), None);
    assert_eq!(
        tablet.text(before[7]).unwrap(),
        "before 7",
        "its delete is forgotten"
    );
    assert_eq!(tablet.text(before[1]).unwrap(), "edited offline, too");
    assert_eq!(tablet.text(before[2]), None);
    assert_eq!(tablet.text(offline).unwrap(), "made offline");
    assert!(tablet.app.get::<Diary>(day).unwrap().is_some());
    // The edit names the text alone, and the server knows nothing of the tags: the whole record is sent.
    let whole = tablet.memo(tagged).unwrap();
    assert_eq!((whole.content.as_str(), whole.tags), ("edited offline", green));
    drop(server);
    stage.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_differs_is_rebuilt() {
    let server = crate::harness::Server::start();
    let phone = Device::at(&server.url).await;
    let [changed, gone] = ["changed", "gone"].map(|text| phone.write(text));
    phone.sync().await;
    let database = rusqlite::Connection::open(phone.database()).unwrap();
    let damage = "UPDATE records SET record = json_set(record, '$.updatedAt', 1) WHERE key = ?1";
    database.execute(damage, [changed.to_string()]).unwrap();
    database
        .execute("DELETE FROM records WHERE key = ?1", [gone.to_string()])
        .unwrap();
    assert!(!phone.app.digest().await.unwrap().is_same());
    let unsynced = phone.write("not synced yet");
    phone.app.rebuild().unwrap();
    phone.sync().await;
    assert_eq!(phone.text(gone).unwrap(), "gone");
    assert_eq!(phone.text(unsynced).unwrap(), "not synced yet");
    assert_alike(&[&phone]).await;
}
