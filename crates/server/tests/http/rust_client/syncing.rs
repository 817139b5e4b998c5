//! Devices that meet: conflicts, deletes, pages, a week offline.

use mosaic_client::SyncState;
use mosaic_client::domain::entity::{Bot, Diary, Memo, MoodKey, Resource};
use mosaic_client::domain::{BotId, DiaryDate, ResourceId};
use mosaic_testkit::proxy::Proxy;

use super::{Device, assert_alike, long, memo, two_devices};
use crate::harness::Server;

#[tokio::test(flavor = "multi_thread")]
async fn three_devices_with_edits_conflicts_and_deletes_end_alike() {
    let server = Server::start();
    let (phone, tablet, desk) = (
        Device::at(&server.url).await,
        Device::at(&server.url).await,
        Device::at(&server.url).await,
    );
    let [kept, contested, deleted] = ["kept", "contested", "deleted"].map(|text| phone.write(text));
    let day: DiaryDate = "2026-05-16".parse().unwrap();
    phone
        .app
        .put(
            day,
            &Diary {
                mood_key: MoodKey::Joy,
                ..Diary::default()
            },
        )
        .unwrap();
    let bot = BotId::new(phone.app.new_id());
    phone.app.put(bot, &a_bot("Ada")).unwrap();
    assert_eq!(
        phone.app.get::<Memo>(kept).unwrap().unwrap().sync,
        SyncState::Pending
    );
    let first = phone.sync().await;
    assert_eq!(
        (first.pushed, first.pulled),
        (5, 0),
        "what was pushed is not pulled (B3)"
    );
    assert_eq!(
        phone.app.get::<Memo>(kept).unwrap().unwrap().sync,
        SyncState::Settled
    );
    for device in [&tablet, &desk] {
        assert_eq!(device.sync().await.pulled, 5);
    }

    phone.rewrite(contested, "by the phone, and earlier");
    tablet.rewrite(contested, "by the tablet, and later");
    tablet.rewrite(deleted, "edited before it is deleted");
    desk.app.delete::<Memo>(deleted).unwrap();
    assert_eq!(desk.memo(deleted), None);
    desk.app
        .edit::<Diary>(day, |diary| diary.summary = long("a day"))
        .unwrap();
    for device in [&tablet, &phone, &desk, &tablet, &phone] {
        device.sync().await;
    }
    assert_alike(&[&phone, &tablet, &desk]).await;
    assert_eq!(phone.text(contested).unwrap(), "by the tablet, and later");
    assert_eq!(phone.memo(deleted), None);
    let diary = tablet.app.get::<Diary>(day).unwrap().unwrap().content;
    assert_eq!((diary.mood_key, diary.summary.as_str()), (MoodKey::Joy, "a day"));

    // W5: an edit that is newer than a delete brings the record back, whole.
    phone.app.edit::<Bot>(bot, |bot| bot.auto_reply = false).unwrap();
    phone.sync().await;
    desk.app.delete::<Bot>(bot).unwrap();
    tablet.sync().await;
    desk.sync().await;
    tablet
        .app
        .edit::<Bot>(bot, |bot| bot.name = long("Grace"))
        .unwrap();
    tablet.sync().await;
    phone.sync().await;
    desk.sync().await;
    assert_alike(&[&phone, &tablet, &desk]).await;
    let bot = desk.app.get::<Bot>(bot).unwrap().unwrap().content;
    assert_eq!((bot.name.as_str(), bot.auto_reply), ("Grace", false));
}

fn a_bot(name: &str) -> Bot {
    Bot {
        name: long(name),
        avatar_url: None,
        description: long(""),
        tags: mosaic_client::domain::text::Tags::default(),
        auto_reply: true,
        sort_order: 0,
        model: None,
        ai_config: None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn w4_the_winner_takes_the_place_of_an_edit_that_lost() {
    let (_server, phone, tablet) = two_devices().await;
    let id = phone.write("first");
    phone.sync().await;
    tablet.sync().await;
    phone.rewrite(id, "earlier");
    tablet.rewrite(id, "later");
    tablet.sync().await;
    // The phone has the winner before it pushes what loses.
    let lost = phone.sync().await;
    assert_eq!((lost.pulled, lost.pushed, lost.superseded), (1, 1, 1));
    assert_eq!(phone.text(id).unwrap(), "later");
    assert_alike(&[&phone, &tablet]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn w7_edits_of_different_fields_both_stay() {
    let (_server, phone, tablet) = two_devices().await;
    let id = phone.write("first");
    phone.sync().await;
    tablet.sync().await;
    phone
        .app
        .edit::<Memo>(id, |memo| memo.tags = tags(&["green"]))
        .unwrap();
    tablet.rewrite(id, "second");
    phone.sync().await;
    tablet.sync().await;
    phone.sync().await;
    assert_alike(&[&phone, &tablet]).await;
    let memo = tablet.memo(id).unwrap();
    assert_eq!((memo.content.as_str(), memo.tags), ("second", tags(&["green"])));
}

fn tags(tags: &[&str]) -> mosaic_client::domain::text::Tags {
    mosaic_client::domain::text::Tags::new(tags.iter().map(|tag| (*tag).to_owned()).collect()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn b3_w4_records_that_are_too_long_for_the_answer_of_a_push_are_read() {
    let server = Server::start();
    let proxy = Proxy::before(&server.program).await;
    let (phone, tablet) = (Device::at(proxy.url()).await, Device::at(&server.url).await);
    let text = "x".repeat(1_000_000);
    let ids: Vec<_> = (0..6).map(|n| phone.write(&format!("{n} {text}"))).collect();
    phone.sync().await;
    tablet.sync().await;
    let tag = |device: &Device, tag: &str| {
        for id in &ids {
            device
                .app
                .edit::<Memo>(*id, |memo| memo.tags = tags(&[tag]))
                .unwrap();
        }
    };
    // The phone has all of it, but for what it knows the server can't tell in one answer.
    tag(&phone, "green");
    assert_eq!(phone.sync().await.pushed, 6);
    let read = proxy.count("GET /memos/");
    assert!(read > 0, "the texts are longer than an answer");
    tag(&phone, "earlier");
    tag(&tablet, "later");
    tablet.sync().await;
    assert_eq!(phone.sync().await.superseded, 6);
    assert!(proxy.count("GET /memos/") > read);
    assert_eq!(phone.memo(ids[5]).unwrap().tags, tags(&["later"]));
    assert_alike(&[&phone, &tablet]).await;
    let database = rusqlite::Connection::open(phone.database()).unwrap();
    let sql = "SELECT count(*) FROM records WHERE record ->> 'resources' IS NOT NULL";
    let more: i64 = database.query_row(sql, [], |row| row.get(0)).unwrap();
    assert_eq!(more, 0, "what is shown besides is not kept");
}

#[tokio::test(flavor = "multi_thread")]
async fn p1_first_syncs_of_199_200_and_201_records_bring_each_once() {
    for count in [199, 200, 201] {
        let server = Server::start();
        let (phone, tablet) = (Device::at(&server.url).await, Device::at(&server.url).await);
        for n in 0..count {
            phone.write(&n.to_string());
        }
        let proxy = Proxy::before(&server.program).await;
        phone.log_in(proxy.url()).await;
        assert_eq!(phone.sync().await.pushed, count);
        assert_eq!(proxy.count("POST /sync/push"), count.div_ceil(200));
        assert_eq!(proxy.count("POST /sync/pull"), 1, "B3: nothing of it is pulled");
        tablet.log_in(proxy.url()).await;
        let mut steps = Vec::new();
        let first = tablet
            .app
            .sync(|progress| steps.push(progress.pulled))
            .await
            .unwrap();
        assert_eq!(first.pulled, count);
        assert_eq!(steps.len(), count.div_ceil(200), "{steps:?}");
        assert_alike(&[&phone, &tablet]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_week_offline_on_three_devices_ends_alike() {
    let server = Server::start();
    let devices = [
        Device::at(&server.url).await,
        Device::at(&server.url).await,
        Device::at(&server.url).await,
    ];
    let ids: Vec<_> = (0..60).map(|n| devices[0].write(&n.to_string())).collect();
    for device in &devices {
        device.sync().await;
    }
    let mut dice = 7_u64;
    for step in 0..600 {
        dice = dice
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let device = &devices[usize::try_from(dice >> 33).unwrap() % 3];
        let id = ids[usize::try_from(dice >> 40).unwrap() % ids.len()];
        match (dice >> 60, device.memo(id)) {
            (0..=2, Some(_)) => device.app.delete::<Memo>(id).unwrap(),
            (3..=5, Some(_)) => device
                .app
                .edit::<Memo>(id, |memo| memo.is_archived ^= true)
                .unwrap(),
            (_, Some(_)) => device.rewrite(id, &format!("step {step}")),
            (_, None) => device
                .app
                .put(id, &memo(&format!("back in step {step}")))
                .unwrap(),
        }
    }
    let typed: Vec<_> = devices
        .iter()
        .map(|device| device.app.status().unwrap().waiting)
        .collect();
    assert!(typed.iter().all(|waiting| *waiting > 30), "{typed:?}");
    for device in devices.iter().chain(&devices) {
        let done = device.sync().await;
        assert_eq!(done.rejected, []);
    }
    assert_alike(&[&devices[0], &devices[1], &devices[2]]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn w9_a_deleted_memo_hides_its_resources_which_go_when_the_server_knows() {
    let (_server, phone, tablet) = two_devices().await;
    let memo = phone.write("with a picture");
    let resource = phone.attach("picture.txt", "a picture", Some(memo));
    phone.sync().await;
    tablet.sync().await;
    let has = |device: &Device, id: ResourceId| device.app.get::<Resource>(id).unwrap().is_some();
    assert!(has(&phone, resource) && has(&tablet, resource));
    tablet.app.delete::<Memo>(memo).unwrap();
    assert!(!has(&tablet, resource), "hidden");
    phone.rewrite(memo, "edited later than it was deleted");
    phone.sync().await;
    tablet.sync().await;
    assert!(has(&tablet, resource), "the delete lost");
    tablet.app.delete::<Memo>(memo).unwrap();
    tablet.sync().await;
    phone.sync().await;
    assert!(!has(&tablet, resource) && !has(&phone, resource));
    assert_alike(&[&phone, &tablet]).await;
}
