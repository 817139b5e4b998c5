//! A backup is put back, and phones that know more than the server find their way (R1, R2, R3).

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::harness::ENTITIES;
use crate::kinds::{BOT, DIARY, KINDS, MEMO, RESOURCE};
use crate::phone::{App, Key, assert_alike, key, kind, now};
use crate::scenario_stage::Stage;

/// So many of each type before the backup: more than one page of memos.
const BEFORE: [(usize, usize); 4] = [(0, 260), (1, 40), (2, 30), (3, 10)];

/// What everybody has had since before the backup.
fn make_old_records(phone: &mut App, at: i64) {
    for (entity, count) in BEFORE {
        let kind = KINDS[entity];
        for n in 0..count {
            let mut fields = json!({kind.text: format!("{} {n}", kind.name)});
            if kind.name == RESOURCE.name {
                fields["memoId"] = json!(MEMO.key(n));
            }
            phone.write(&key(kind, n), &fields, at);
        }
    }
}

/// What is synced after the backup, and so forgotten with it: records of each type are made, edited and deleted.
async fn go_on(phone: &mut App, tablet: &mut App, at: i64) {
    for kind in KINDS {
        for n in 500..503 {
            phone.write(&key(kind, n), &json!({kind.text: "after the backup"}), at);
        }
        tablet.write(&key(kind, 5), &json!({kind.text: "edited after the backup"}), at);
        // The resource goes with its memo.
        if kind.name != RESOURCE.name {
            tablet.delete(&key(kind, 6), at);
        }
    }
    phone.sync().await;
    tablet.sync().await;
    phone.pull_all().await;
}

/// What both edit without syncing it: it must survive, whatever the server has forgotten.
fn edit_offline(phone: &mut App, tablet: &mut App, at: i64) {
    for kind in KINDS {
        phone.write(
            &key(kind, 1),
            &json!({kind.text: "of before, edited offline"}),
            at,
        );
        phone.write(
            &key(kind, 500),
            &json!({kind.text: "of after, edited offline"}),
            at,
        );
        phone.write(
            &key(kind, 600),
            &json!({kind.text: "made offline on the phone"}),
            at,
        );
        tablet.write(
            &key(kind, 1),
            &json!({kind.text: "the same, later, on the tablet"}),
            at + 1,
        );
        tablet.write(
            &key(kind, 601),
            &json!({kind.text: "made offline on the tablet"}),
            at,
        );
    }
    phone.delete(&key(DIARY, 2), at);
    // Its resource goes with it.
    phone.delete(&key(MEMO, 2), at);
    // The server is about to forget this memo.
    let on_forgotten = json!({"filename": "on a memo of after", "memoId": MEMO.key(501)});
    phone.write(&key(RESOURCE, 602), &on_forgotten, at);
    let on_known = json!({"filename": "on a memo that stays", "memoId": MEMO.key(500)});
    phone.write(&key(RESOURCE, 603), &on_known, at);
    tablet.delete(&key(BOT, 500), at);
}

/// What everybody must see in the end, as texts.
fn expected(at_backup: &BTreeMap<Key, Value>) -> BTreeMap<Key, String> {
    let mut expected: BTreeMap<Key, String> = at_backup
        .iter()
        .map(|(key, body)| (key.clone(), text(key, body)))
        .collect();
    for kind in KINDS {
        expected.insert(key(kind, 1), "the same, later, on the tablet".into());
        expected.insert(key(kind, 500), "of after, edited offline".into());
        expected.insert(key(kind, 600), "made offline on the phone".into());
        expected.insert(key(kind, 601), "made offline on the tablet".into());
    }
    for deleted in [key(DIARY, 2), key(MEMO, 2), key(RESOURCE, 2)] {
        expected.remove(&deleted);
    }
    expected.insert(key(RESOURCE, 602), "on a memo of after".into());
    expected.insert(key(RESOURCE, 603), "on a memo that stays".into());
    // Deleted offline by the tablet, edited offline by the phone at the same time: the greater device wins.
    expected.remove(&key(BOT, 500));
    expected
}

fn text(key: &Key, body: &Value) -> String {
    body[kind(key.0).text].as_str().expect("a text").to_owned()
}

fn texts(app: &App) -> BTreeMap<Key, String> {
    app.seen()
        .iter()
        .map(|(key, body)| (key.clone(), text(key, body)))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn r1_r2_r3_phones_that_know_more_than_a_restored_server_converge_and_keep_what_was_not_synced() {
    let stage = Stage::new().await;
    let mut server = stage.start(&[]);
    let mut phone = App::new(server.device("phone").await);
    let mut tablet = App::new(server.device("tablet").await);
    let mut old_app = App::new(server.device("old-app").await);
    old_app.sends_epoch = false;
    let start = now() - 3_600_000;
    make_old_records(&mut phone, start);
    for app in [&mut phone, &mut tablet, &mut old_app] {
        app.sync().await;
    }
    let at_backup = phone.seen();
    server = stage.save(server).await;
    for app in [&mut phone, &mut tablet, &mut old_app] {
        app.client.url.clone_from(&server.url);
    }
    go_on(&mut phone, &mut tablet, start + 1_000).await;
    old_app.pull_all().await;
    assert_alike(&[&phone, &tablet, &old_app]).await;
    edit_offline(&mut phone, &mut tablet, start + 2_000);
    let before: BTreeMap<&str, i64> = ENTITIES.map(|entity| (entity, phone.cursor(entity))).into();

    Stage::stop(server);
    stage.put_back().await;
    let server = stage.start(&[]);
    for app in [&mut phone, &mut tablet, &mut old_app] {
        app.client.url.clone_from(&server.url);
    }
    restored(&at_backup, &mut phone, &mut old_app).await;
    assert!(
        ENTITIES
            .iter()
            .all(|entity| phone.cursor(entity) < before[entity]),
        "cursors are taken as they come"
    );

    tablet.sync().await;
    phone.sync().await;
    for app in [&mut tablet, &mut old_app] {
        app.sync().await;
    }
    assert_eq!(tablet.resets, [ENTITIES]);
    assert_alike(&[&phone, &tablet, &old_app]).await;
    let (has, ought) = (texts(&phone), expected(&at_backup));
    for key in has.keys().chain(ought.keys()) {
        assert_eq!(has.get(key), ought.get(key), "{key:?}");
    }
    let memo_of = |n| phone.get(&key(RESOURCE, n)).expect("a resource")["memoId"].clone();
    assert_eq!(memo_of(602), Value::Null, "its memo is forgotten");
    assert_eq!(memo_of(603), json!(MEMO.key(500)));
    assert!(phone.refused.is_empty() && tablet.refused.is_empty());
    // That was all: no further reset.
    assert_eq!(
        (phone.resets.len(), tablet.resets.len(), old_app.resets.len()),
        (1, 1, 1)
    );
    drop(server);
    stage.remove().await;
}

/// The server has just forgotten what came after the backup, and nobody has written since.
async fn restored(at_backup: &BTreeMap<Key, Value>, phone: &mut App, old_app: &mut App) {
    // R1: an app that knows nothing of epochs holds cursors ahead of the clock.
    old_app.pull_all().await;
    assert_eq!(old_app.resets, [ENTITIES]);
    assert_eq!(&old_app.seen(), at_backup, "R3, with nothing of its own");
    old_app.assert_in_sync().await;

    // R2: another epoch.
    let unsynced = phone.unsynced();
    phone.pull_all().await;
    assert_eq!(phone.resets, [ENTITIES]);
    assert_eq!(phone.unsynced(), unsynced, "R3: unsynced edits stay");
    for kind in KINDS {
        assert_eq!(phone.get(&key(kind, 502)), None, "R3: what was not given goes");
        assert_eq!(
            phone.get(&key(kind, 6)),
            at_backup.get(&key(kind, 6)),
            "a delete is forgotten"
        );
        assert_eq!(
            phone.get(&key(kind, 5)),
            at_backup.get(&key(kind, 5)),
            "an edit is forgotten"
        );
        let edited = phone.get(&key(kind, 500)).expect("an edit that was not synced");
        assert_eq!(edited[kind.text], "of after, edited offline");
    }
}
