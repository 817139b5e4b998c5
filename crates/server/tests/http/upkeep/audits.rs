//! `mosaic audit` and `GET /account/activity`: what happened to accounts.

use reqwest::Method;
use serde_json::json;

use crate::upkeep::support::{Place, on_both_stores, stop};

on_both_stores! {
    what_happens_is_told_to_whoever_it_concerns_and_at_the_command_line
}

/// Kind and who did it, of a table; of all lines, or of those that name an account.
fn events<'a>(table: &'a str, account: &str) -> Vec<(&'a str, &'a str)> {
    let lines = table
        .lines()
        .skip(1)
        .map(|line| line.split_whitespace().collect::<Vec<_>>());
    let of_account = lines.filter(|words| account.is_empty() || words[2] == account);
    of_account.map(|words| (words[1], words[3])).collect()
}

async fn what_happens_is_told_to_whoever_it_concerns_and_at_the_command_line(place: Place) {
    let server = place.start_with(&["--http-trust-proxy"]);
    let anna = server.new_user("anna", "phone").await;
    let guess = json!({"username": "anna", "password": "not the password", "clientId": "thief"});
    let anonymous = server.anonymous();
    let guessed = anonymous
        .request(Method::POST, "/auth/login")
        .header("x-forwarded-for", "10.0.0.1, 203.0.113.9")
        .header("user-agent", "guesser\u{e9}\t1")
        .json(&guess);
    anonymous.send(guessed).await.problem(401, "bad_credentials");
    anna.get("/account/export").await;

    let shown = anna.get("/account/activity").await.ok();
    let kinds: Vec<_> = shown
        .as_array()
        .unwrap()
        .iter()
        .map(|event| event["kind"].clone())
        .collect();
    assert_eq!(kinds, ["exported", "login_failed", "login", "account_created"]);
    let failed = &shown[1];
    assert_eq!(
        (&failed["by"], &failed["address"], &failed["clientId"]),
        (&json!("stranger"), &json!("203.0.113.9"), &json!("thief"))
    );
    assert_eq!(failed["agent"], "guesser\u{e9}1");
    let admin = server.device("laptop").await;
    let theirs = admin.get("/account/activity?kind=login_failed").await.ok();
    assert_eq!(theirs, json!([]), "each sees their own");

    for change in ["disable", "enable"] {
        place.mosaic(&["user", change, "anna"]).done();
    }
    let beside = place.mosaic(&["audit", "Anna"]).done();
    let all = place.mosaic(&["audit"]).done();
    stop(server);
    assert_eq!(place.mosaic(&["audit", "Anna"]).done(), beside);
    assert_eq!(place.mosaic(&["audit"]).done(), all);
    assert_eq!(
        events(&beside, ""),
        [
            ("account_created", "admin"),
            ("login", "itself"),
            ("login_failed", "stranger"),
            ("exported", "itself"),
            ("account_disabled", "command"),
            ("account_enabled", "command"),
        ]
    );
    assert!(beside.contains("203.0.113.9      thief "), "{beside}");
    assert_eq!(events(&all, "anna"), events(&beside, ""));
    assert_eq!(events(&all, "admin")[0], ("account_created", "server"));
    let one = place
        .mosaic(&["audit", "anna", "--kind", "login", "--limit", "1"])
        .done();
    assert_eq!(events(&one, ""), [("login", "itself")]);
    let tomorrow = place.mosaic(&["audit", "--since", "2999-01-01"]).done();
    assert_eq!(events(&tomorrow, ""), []);
    let wrong = place.mosaic(&["audit", "--kind", "other"]);
    assert!(
        wrong.code == Some(2) && wrong.err.contains("login_failed"),
        "{wrong:?}"
    );

    place.mosaic(&["user", "delete", "anna", "--yes"]).done();
    let gone = place.mosaic(&["audit", "anna"]).failed();
    assert!(gone.contains("there is no user anna"), "{gone}");
    let all = place.mosaic(&["audit"]).done();
    let last = all.lines().last().unwrap().split_whitespace().collect::<Vec<_>>();
    assert_eq!(
        last[1..],
        ["account_removed", "-", "command", "line", "-", "-", "anna", "-"]
    );
    assert_eq!(events(&all, "anna"), []);
    place.remove().await;
}

/// A trail is set back with everything else, and says that it was.
#[test]
fn a_backup_that_is_restored_is_noted_in_the_trail_of_the_server() {
    let place = Place::embedded();
    place.mosaic(&["migrate"]).done();
    place.mosaic(&["backup", "backup.db"]).done();
    place.mosaic(&["user", "disable", "admin"]).failed();
    place.mosaic(&["user", "add", "anna"]).done();
    let restored = place.mosaic(&["restore", "backup.db", "--yes"]).done();
    assert!(restored.contains("New epoch"), "{restored}");
    place.mosaic(&["epoch", "renew"]).done();
    let all = place.mosaic(&["audit"]).done();
    assert_eq!(
        events(&all, ""),
        [
            ("account_created", "server"),
            ("restored", "command"),
            ("epoch_renewed", "command")
        ]
    );
}
