//! `mosaic user delete`.

use serde_json::json;

use crate::upkeep::support::{Place, fill, on_both_stores, prepared, stop};

on_both_stores! {
    an_account_goes_with_everything_in_it_and_no_other
    what_can_not_be_removed_stays
    an_account_stores_what_its_quota_says
}

async fn an_account_goes_with_everything_in_it_and_no_other(place: Place) {
    let server = place.start();
    let anna = server.new_user("anna", "phone").await;
    fill(&anna).await;
    let admin = server.device("laptop").await;
    fill(&admin).await;
    let kept = admin.everything().await;
    let said = place.mosaic(&["user", "delete", "Anna", "--yes"]).done();
    assert_eq!(said, "anna is removed, with everything in it.\n");
    assert!(!place.mosaic(&["user", "list"]).done().contains("anna"));

    let login = json!({"username": "anna", "password": "a password of theirs"});
    let refused = server.anonymous().post("/auth/login", &login).await;
    refused.problem(401, "bad_credentials");
    assert_eq!(admin.everything().await, kept);
    // The name is free again, and nothing of the old account is in the new one.
    let anna = server.new_user("anna", "phone").await;
    assert!(anna.everything().await.delivered.is_empty());
    stop(server);
    place.remove().await;
}

async fn what_can_not_be_removed_stays(place: Place) {
    prepared(&place);
    let listed = place.mosaic(&["user", "list"]).done();
    let unknown = place.mosaic(&["user", "delete", "nobody", "--yes"]).failed();
    assert!(unknown.contains("there is no user nobody"), "{unknown}");
    let last = place.mosaic(&["user", "delete", "admin", "--yes"]).failed();
    assert!(last.contains("admin is the last administrator"), "{last}");
    // Nobody is there to be asked; and nobody is asked for what can't be done.
    for (name, said) in [("nobody", "no user nobody"), ("admin", "last administrator")] {
        let unasked = place.mosaic(&["user", "delete", name]).failed();
        assert!(unasked.contains(said), "{unasked}");
    }
    place.mosaic(&["user", "add", "--admin", "bert"]).done();
    let unasked = place.mosaic(&["user", "delete", "admin"]).failed();
    assert!(unasked.contains("--yes"), "{unasked}");
    place.mosaic(&["user", "delete", "bert", "--yes"]).done();
    assert_eq!(place.mosaic(&["user", "list"]).done(), listed);
    place.remove().await;
}

async fn an_account_stores_what_its_quota_says(place: Place) {
    let server = place.start();
    let anna = server.new_user("anna", "phone").await;
    let set = |quota| place.mosaic(&["user", "set", "anna", "--quota", quota]);
    assert_eq!(set("2KiB").done(), "anna has the quota 2KiB.\n");
    let listed = place.mosaic(&["user", "list"]).done();
    let of = |name: &str| {
        listed
            .lines()
            .find(|line| line.ends_with(name))
            .unwrap()
            .to_owned()
    };
    assert!(
        of("anna").contains("  2KiB  ") && of("admin").contains("  default  "),
        "{listed}"
    );
    assert_eq!(anna.get("/auth/me").await.ok()["quota"], "2KiB");
    let memo = json!({"content": "x".repeat(3_000)});
    let refused = anna.post("/memos", &memo).await.problem(413, "quota_exceeded");
    assert_eq!(refused["quota"], 2_048);
    let announced = json!({"filename": "a.png", "fileSize": 1});
    anna.post("/resources", &announced).await.ok();
    let wrong = set("2KB");
    assert!(wrong.code == Some(2) && wrong.err.contains("50GiB"), "{wrong:?}");
    let admin = server.device("laptop").await;
    let id = anna.get("/auth/me").await.ok()["id"].clone();
    let path = format!("/admin/users/{}", id.as_str().unwrap());
    let changed = admin.patch(&path, &json!({"quota": "1 MiB"})).await.ok();
    assert_eq!(changed["quota"], "1MiB");
    admin
        .patch(&path, &json!({"quota": "much"}))
        .await
        .invalid("quota", "invalid_size");
    anna.post("/memos", &memo).await.ok();
    let noted = anna.get("/account/activity?kind=quota_changed").await.ok();
    let details: Vec<_> = noted
        .as_array()
        .unwrap()
        .iter()
        .map(|event| &event["detail"])
        .collect();
    assert_eq!(details, ["1MiB", "2KiB"]);
    stop(server);
    place.remove().await;
}
