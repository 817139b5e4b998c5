//! `mosaic backup` and `mosaic restore`.

use serde_json::json;

use crate::upkeep::support::{Place, fill, on, prepared, stop};

fn names(place: &Place) -> Vec<String> {
    let folder = place.data.path().join("mosaic-data");
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_is_taken_while_the_server_runs_and_restored_while_it_is_stopped() {
    let place = Place::embedded();
    let server = place.start();
    let client = server.device("phone").await;
    fill(&client).await;
    let before = client.everything().await;
    let old = client.pull(&json!({})).await["epoch"].clone();
    let said = place.mosaic(&["backup", "saved.db"]).done();
    assert!(said.contains("1 user,") && said.contains("saved.db"), "{said}");
    let saved = std::fs::read(place.data.path().join("saved.db")).unwrap();
    let exists = place.mosaic(&["backup", "saved.db"]).failed();
    assert!(exists.contains("saved.db: exists already"), "{exists}");
    assert_eq!(std::fs::read(place.data.path().join("saved.db")).unwrap(), saved);

    client
        .post("/memos", &json!({"content": "after the backup"}))
        .await
        .ok();
    let after = client.everything().await;
    let busy = place.mosaic(&["restore", "saved.db", "--yes"]).failed();
    assert!(
        busy.contains("another process") && busy.contains("Stop the server first"),
        "{busy}"
    );
    assert_eq!(client.everything().await, after);
    stop(server);

    let said = place.mosaic(&["restore", "saved.db", "--yes"]).done();
    let new = said
        .lines()
        .find_map(|line| line.strip_prefix("New epoch: "))
        .unwrap();
    let previous = said
        .lines()
        .find_map(|line| line.strip_prefix("What was there before: "))
        .unwrap();
    assert!(std::path::Path::new(previous).exists(), "{said}");
    let server = place.start();
    let client = on(&server, &client);
    assert_eq!(client.everything().await, before);
    let body = json!({"clientId": "phone", "cursors": after.cursors(), "epoch": old});
    let answer = client.post("/sync/pull", &body).await.ok();
    assert_eq!(answer["epoch"], new);
    assert_eq!(answer["reset"].as_array().unwrap().len(), 4, "{answer}");
    stop(server);

    // What was there before is a database still, and comes back in the same way.
    let previous = previous.to_owned();
    place.mosaic(&["restore", &previous, "--yes"]).done();
    let server = place.start();
    assert_eq!(on(&server, &client).everything().await, after);
}

#[test]
fn a_backup_goes_into_a_store_that_is_not_there_yet() {
    let place = Place::embedded();
    prepared(&place);
    place.mosaic(&["backup", "saved.db"]).done();
    let elsewhere = ["--data-dir", "elsewhere"];
    let said = place
        .mosaic(&[&["restore", "saved.db", "--yes"][..], &elsewhere].concat())
        .done();
    assert!(!said.contains("What was there before"), "{said}");
    let listed = place.mosaic(&[&["user", "list"][..], &elsewhere].concat()).done();
    assert!(listed.contains("admin"), "{listed}");
}

#[test]
fn what_is_no_backup_is_not_restored_and_nothing_changes() {
    let place = Place::embedded();
    prepared(&place);
    let before = (names(&place), place.mosaic(&["epoch", "show"]).done());
    place.mosaic(&["backup", "saved.db"]).done();
    let path = place.data.path();
    let whole = std::fs::read(path.join("saved.db")).unwrap();
    std::fs::write(path.join("half.db"), &whole[..whole.len() / 2]).unwrap();
    std::fs::write(path.join("text.db"), "dear diary").unwrap();
    for (file, why) in [
        ("missing.db", "there is no such backup"),
        ("half.db", "half.db"),
        ("text.db", "text.db"),
        ("mosaic-data/mosaic.db", "is the database itself"),
    ] {
        let said = place.mosaic(&["restore", file, "--yes"]).failed();
        assert!(said.contains(why), "{file}: {said}");
    }
    // Nobody is there to be asked.
    let unasked = place.mosaic(&["restore", "saved.db"]).failed();
    assert!(unasked.contains("--yes"), "{unasked}");
    assert_eq!((names(&place), place.mosaic(&["epoch", "show"]).done()), before);
}

#[test]
fn other_stores_say_how_they_are_backed_up() {
    let place = Place::embedded();
    for args in [&["backup", "saved.db"][..], &["restore", "saved.db", "--yes"]] {
        let url = ["--database-url", "postgres://nobody@nowhere.invalid/mosaic"];
        let said = place.mosaic(&[args, &url].concat()).failed();
        assert!(
            said.contains("pg_dump") && said.contains("`mosaic epoch renew`"),
            "{said}"
        );
        let memory = ["--database-url", "sqlite::memory:"];
        let said = place.mosaic(&[args, &memory].concat()).failed();
        assert!(said.contains("in memory"), "{said}");
    }
    assert_eq!(std::fs::read_dir(place.data.path()).unwrap().count(), 0);
}
