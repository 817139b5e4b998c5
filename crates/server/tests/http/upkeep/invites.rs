//! `mosaic user invite`, and what becomes of its link.

use serde_json::{Value, json};
use tokio::process::Command;

use crate::generated_clients::succeed;
use crate::upkeep::support::{Ended, Place, on_both_stores, prepared, stop};

on_both_stores! {
    a_person_is_invited_from_the_command_line
    an_invite_is_taken_back_by_any_administrator
    what_makes_no_sense_invites_nobody
}

/// The link, or the end of one, that a command printed.
fn link(said: &str) -> &str {
    let is_link = |line: &&str| line.contains("/invite#");
    said.lines().find(is_link).expect("a link")
}

fn secret(said: &str) -> &str {
    link(said).split_once('#').unwrap().1
}

/// The lines of the list, without its head.
fn listed(place: &Place) -> Vec<Vec<String>> {
    let table = place.mosaic(&["user", "invites"]).done();
    let words = |line: &str| {
        line.split("  ")
            .map(str::trim)
            .filter(|word| !word.is_empty())
            .map(str::to_owned)
            .collect()
    };
    table.lines().skip(1).map(words).collect()
}

fn newcomer(said: &str, name: &str) -> Value {
    json!({"secret": secret(said), "username": name, "password": "a password of theirs", "clientId": "phone"})
}

async fn a_person_is_invited_from_the_command_line(place: Place) {
    prepared(&place);
    // Without a server, and beside one.
    let first = place.mosaic(&["user", "invite"]).done();
    assert!(
        link(&first).starts_with("/invite#") && first.contains("http.public_url"),
        "{first}"
    );
    let server = place.start();
    let url = [
        "user",
        "invite",
        "--role",
        "admin",
        "--quota",
        "2KiB",
        "--expires",
        "30m",
        "--url",
        "https://sync.example.org/",
    ];
    let second = place.mosaic(&url).done();
    assert!(
        link(&second).starts_with("https://sync.example.org/invite#"),
        "{second}"
    );
    assert!(!second.contains("http.public_url") && secret(&first) != secret(&second));

    let login = server
        .anonymous()
        .post("/auth/invite", &newcomer(&second, "Änna"))
        .await
        .ok();
    assert_eq!(
        (
            &login["user"]["role"],
            &login["user"]["quota"],
            &login["user"]["mustChangePassword"]
        ),
        (&json!("admin"), &json!("2KiB"), &json!(false))
    );
    server.login("änna", "a password of theirs", "phone").await;
    let said = listed(&place);
    let shown: Vec<Vec<&str>> = said
        .iter()
        .map(|line| [1, 2, 3, 5, 6].map(|at| line[at].as_str()).to_vec())
        .collect();
    assert_eq!(
        shown,
        [
            ["used", "admin", "2KiB", "command line", "Änna"],
            ["open", "user", "default", "command line", "-"],
        ]
    );
    let used = place.mosaic(&["user", "uninvite", &said[0][0]]).failed();
    assert!(used.contains("the invite was used"), "{used}");
    stop(server);
    assert_eq!(listed(&place), said, "beside a server and without one");
    let audited = place.mosaic(&["audit", "--kind", "invite_used"]).done();
    assert!(audited.contains(&format!("admin {}", said[0][0])), "{audited}");
    // Nothing of the store has the secret.
    if place.is_embedded() {
        let stored = std::fs::read(place.data.path().join("mosaic-data/mosaic.db")).unwrap();
        let text = String::from_utf8_lossy(&stored);
        assert!(text.contains("command_line") && !text.contains(secret(&first)));
    }
    place.remove().await;
}

/// Whoever administers takes back what others made, and who made it sees who did.
async fn an_invite_is_taken_back_by_any_administrator(place: Place) {
    let server = place.start();
    let admin = server.device("laptop").await;
    let account = json!({"username": "anna", "password": "a password of theirs", "role": "admin"});
    admin.post("/admin/users", &account).await.ok();
    let anna = server.login("anna", "a password of theirs", "phone").await;
    let mut ids = Vec::new();
    for by_command in [false, true] {
        let made = anna.post("/admin/invites", &json!({})).await.ok();
        let id = made["invite"]["id"].as_str().unwrap().to_owned();
        if by_command {
            let said = place.mosaic(&["user", "uninvite", &id]).done();
            assert_eq!(said, format!("The invite {id} is taken back.\n"));
        } else {
            let answer = admin.delete(&format!("/admin/invites/{id}")).await;
            assert_eq!(answer.status, 204);
        }
        let refused = json!({"secret": made["secret"], "username": "ben", "password": "long enough"});
        let anybody = server.anonymous();
        anybody
            .post("/auth/invite", &refused)
            .await
            .problem(410, "invite_revoked");
        ids.insert(0, id);
    }
    let shown: Vec<_> = listed(&place)
        .into_iter()
        .map(|line| [0, 1, 5].map(|at| line[at].clone()))
        .collect();
    let expected: Vec<_> = ids
        .into_iter()
        .map(|id| [id, "revoked".into(), "anna".into()])
        .collect();
    assert_eq!(shown, expected);
    let noted = anna.get("/account/activity?kind=invite_revoked").await.ok();
    let root = admin.get("/auth/me").await.ok()["id"].clone();
    assert_eq!(
        (&noted[0]["by"], &noted[0]["byUser"]),
        (&json!("command_line"), &Value::Null)
    );
    assert_eq!((&noted[1]["by"], &noted[1]["byUser"]), (&json!("user"), &root));
    stop(server);
    place.remove().await;
}

async fn what_makes_no_sense_invites_nobody(place: Place) {
    prepared(&place);
    for (args, said) in [
        (["--role", "root"], "must be admin or user"),
        (["--quota", "2KB"], "50GiB"),
        (["--expires", "91d"], "at most 90 days"),
        (["--expires", "7"], "like 7d"),
        (["--url", "sync.example.org"], "https://sync.example.org"),
    ] {
        let Ended { code, err, .. } = place.mosaic(&[&["user", "invite"], &args[..]].concat());
        assert!(code == Some(2) && err.contains(said), "{args:?}: {err}");
    }
    let nobody = "0198f3a2-7b1c-7def-8000-1234567890ab";
    let unknown = place.mosaic(&["user", "uninvite", nobody]).failed();
    assert!(
        unknown.contains(&format!("there is no invite {nobody}")),
        "{unknown}"
    );
    assert!(listed(&place).is_empty());
    place.remove().await;
}

/// The page does what it says, by way of its own script.
#[tokio::test(flavor = "multi_thread")]
async fn the_page_behind_the_link_makes_the_account() {
    const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/invite_page.mjs");
    let place = Place::embedded();
    let server = place.start();
    for (root, name) in [("", "ben"), ("/api", "carla")] {
        let url = format!("{}{root}", server.url);
        let invite = || place.mosaic(&["user", "invite", "--url", &url]).done();
        let (said, other) = (invite(), invite());
        succeed(Command::new("node").args([PAGE, link(&said), "Admin", name, link(&other)])).await;
        let login = server.login(name, "long enough", "phone").await;
        // That of the page has ended.
        let noted = login.get("/account/activity").await.ok();
        let kinds: Vec<_> = noted
            .as_array()
            .unwrap()
            .iter()
            .map(|event| &event["kind"])
            .collect();
        assert_eq!(kinds, ["login", "logout", "login", "account_created"]);
    }
    stop(server);
    place.remove().await;
}
