//! `mosaic epoch show` and `mosaic epoch renew`.

use serde_json::json;

use crate::upkeep::support::{Place, fill, on, on_both_stores, stop};

on_both_stores! {
    a_renewed_epoch_makes_devices_fetch_everything_again
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
    if place.is_embedded() {
        for command in ["show", "renew"] {
            let said = place.mosaic(&["epoch", command]).failed();
            assert!(
                said.contains("another process") && said.contains("Stop the server first"),
                "{said}"
            );
        }
    }
    stop(server);

    assert_eq!(shown(&place), old);
    let said = place.mosaic(&["epoch", "renew"]).done();
    let new = shown(&place);
    assert_ne!(new, old);
    assert!(
        said.starts_with(&format!("Old epoch: {old}\nNew epoch: {new}\n")),
        "{said}"
    );
    assert!(said.contains("fetch everything again"), "{said}");

    let server = place.start();
    let client = on(&server, &client);
    let body = json!({"clientId": "phone", "cursors": phone.cursors(), "epoch": old});
    let answer = client.post("/sync/pull", &body).await.ok();
    assert_eq!(answer["epoch"], new);
    assert_eq!(answer["reset"].as_array().unwrap().len(), 4, "{answer}");
    assert_eq!(client.everything().await, phone);
    stop(server);
    place.remove().await;
}
