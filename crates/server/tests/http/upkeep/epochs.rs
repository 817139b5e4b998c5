//! `mosaic epoch show` and `mosaic epoch renew`.

use serde_json::json;

use crate::harness::{Client, Server};
use crate::upkeep::support::{Place, fill, on, on_both_stores, stop};

on_both_stores! {
    a_renewed_epoch_makes_devices_fetch_everything_again
    a_database_that_is_set_back_by_hand_is_noticed
    a_database_that_is_set_back_without_the_data_folder_is_noticed
    an_account_that_is_removed_sets_nothing_back
}

fn shown(place: &Place) -> String {
    place.mosaic(&["epoch", "show"]).done().trim().to_owned()
}

async fn a_renewed_epoch_makes_devices_fetch_everything_again(place: Place) {
    let server = place.start();
    let client = server.device("phone").await;
    fill(&client).await;
    let phone = client.everything().await;
    let pulled = client.pull(&phone.cursors()).await;
    let old = pulled["epoch"].as_str().unwrap().to_owned();
    assert_eq!(shown(&place), old);
    let said = place.mosaic(&["epoch", "renew"]).done();
    let new = shown(&place);
    assert_ne!(new, old);
    assert!(
        said.starts_with(&format!("Old epoch: {old}\nNew epoch: {new}\n")),
        "{said}"
    );
    assert!(said.contains("fetch everything again"), "{said}");
    let body = json!({"clientId": "phone", "cursors": phone.cursors(), "epoch": old});
    let answer = client.post("/sync/pull", &body).await.ok();
    assert_eq!(answer["epoch"], new);
    assert_eq!(answer["reset"].as_array().unwrap().len(), 4, "{answer}");
    assert_eq!(client.everything().await, phone);
    stop(server);
    place.remove().await;
}

/// Whoever puts a database back by hand need not know of epochs (R2). The data folder remembers what the killed server acknowledged.
async fn a_database_that_is_set_back_by_hand_is_noticed(place: Place) {
    is_noticed(&place, |server| drop(server.kill())).await;
    place.remove().await;
}

/// The same where the data folder is lost as well: the storage of attachments was told at the end.
async fn a_database_that_is_set_back_without_the_data_folder_is_noticed(place: Place) {
    let mark = place.data.path().join("mosaic-data/high-water.json");
    is_noticed(&place, |server| {
        stop(server);
        std::fs::remove_file(&mark).unwrap();
    })
    .await;
    place.remove().await;
}

async fn is_noticed(place: &Place, end: impl FnOnce(Server)) {
    let server = place.start();
    let [phone, tablet] = [server.device("phone").await, server.device("tablet").await];
    write(&phone, 1, "A").await;
    stop(server);
    let copy = place.copy().await;

    let server = place.start();
    let (phone, tablet) = (on(&server, &phone), on(&server, &tablet));
    write(&phone, 2, "B").await;
    let seen = tablet.everything().await;
    let epoch = tablet.pull(&seen.cursors()).await["epoch"].clone();
    end(server);

    // The other device writes before this one asks, so that its cursors are not ahead of anything.
    place.put_back(copy).await;
    let server = place.start();
    assert!(
        server.log().contains("was set back to an older state"),
        "{}",
        server.log()
    );
    let (phone, tablet) = (on(&server, &phone), on(&server, &tablet));
    write(&phone, 3, "C").await;
    let body = json!({"clientId": "tablet", "cursors": seen.cursors(), "epoch": epoch});
    let answer = tablet.post("/sync/pull", &body).await.ok();
    assert_ne!(answer["epoch"], epoch);
    assert_eq!(answer["reset"].as_array().unwrap().len(), 4, "{answer}");
    stop(server);
    // It is said once.
    let server = place.start();
    assert!(!server.log().contains("set back"), "{}", server.log());
    stop(server);
}

/// Whoever removes the account that wrote last has set nothing back, whatever comes after that.
async fn an_account_that_is_removed_sets_nothing_back(place: Place) {
    let server = place.start();
    write(&server.new_user("anna", "phone").await, 1, "A").await;
    write(&server.new_user("bert", "phone").await, 2, "B").await;
    let admin = server.device("admin").await;
    stop(server);
    let shown = shown(&place);

    let server = place.start();
    let admin = on(&server, &admin);
    let users = admin.get("/admin/users").await.ok();
    let bert = users["items"]
        .as_array()
        .unwrap()
        .iter()
        .find(|user| user["username"] == "bert");
    let bert = bert.unwrap()["id"].as_str().unwrap().to_owned();
    admin.delete(&format!("/admin/users/{bert}")).await.ok();
    server.kill();
    place.mosaic(&["user", "delete", "anna", "--yes"]).done();
    let server = place.start();
    assert!(!server.log().contains("set back"), "{}", server.log());
    stop(server);
    assert_eq!(self::shown(&place), shown);
    place.remove().await;
}

async fn write(client: &Client, n: usize, content: &str) {
    let body = json!({"id": format!("0198f3a2-7b1c-7def-8000-{n:012}"), "content": content});
    client.post("/memos", &body).await.ok();
}
