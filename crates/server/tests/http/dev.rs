//! `mosaic dev`: what a developer can have go wrong, and what the ordinary server has of it, which is nothing.

use std::ops::Deref;

use reqwest::Method;
use serde_json::{Value, json};
use tokio::process::Command;

use crate::generated_clients::succeed;
use crate::harness::{Client, Data, Server, Signal};

const HOUR_MS: i64 = 3_600_000;

/// A server for developers. It is told to stop, not killed: so it removes what it has.
pub struct Dev(Server);

impl Deref for Dev {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.0
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        self.0.signal(Signal::TERM);
        let (status, log) = self.0.wait();
        assert!(status.success() || std::thread::panicking(), "{log}");
    }
}

pub fn dev() -> Dev {
    Dev(Data::new().start(&["dev", "--listen", "127.0.0.1:0"]))
}

/// A server, and a device of somebody who has no account yet.
pub async fn phone() -> (Dev, Client) {
    let server = dev();
    let phone = server.login("anna", "x", "phone").await;
    (server, phone)
}

pub async fn fault(client: &Client, rule: Value) {
    client.post("/dev/faults", &rule).await.ok();
}

async fn requests(client: &Client) -> Vec<Value> {
    let body = client.get("/dev/requests").await.ok();
    body["requests"].as_array().unwrap().clone()
}

pub async fn contents(client: &Client) -> Vec<String> {
    let memos = client.get("/memos").await.ok();
    let items = memos["items"].as_array().unwrap().iter();
    let mut contents: Vec<_> = items
        .map(|memo| memo["content"].as_str().unwrap().to_owned())
        .collect();
    contents.sort();
    contents
}

#[tokio::test(flavor = "multi_thread")]
async fn any_password_is_right_and_nothing_is_kept() {
    let (server, phone) = phone().await;
    phone.post("/memos", &json!({"content": "figs"})).await.ok();
    let tablet = server.login("anna", "another one", "tablet").await;
    assert_eq!(contents(&tablet).await, ["figs"]);
    assert_eq!(
        server.login("admin", "y", "a").await.get("/auth/me").await.ok()["role"],
        "admin"
    );
    let nobody = json!({"username": "two words", "password": "x"});
    tablet
        .post("/auth/login", &nobody)
        .await
        .problem(401, "bad_credentials");

    let data = server.data.clone();
    drop(server);
    assert_eq!(std::fs::read_dir(data.path()).unwrap().count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_clock_moves_stamps_edits_and_logins() {
    let (_server, phone) = phone().await;
    let before = phone.get("/dev/clock").await.ok();
    assert_eq!(before["aheadMs"], 0);
    let now = before["now"].as_i64().unwrap();
    let moved = phone
        .post("/dev/clock", &json!({"advanceMs": -HOUR_MS}))
        .await
        .ok();
    assert_eq!(moved["aheadMs"], -HOUR_MS);
    phone
        .post("/dev/clock", &json!({"advanceMs": HOUR_MS}))
        .await
        .ok();
    let set = phone
        .post("/dev/clock", &json!({"set": now + HOUR_MS / 2}))
        .await
        .ok();
    assert!(set["now"].as_i64().unwrap() >= now + HOUR_MS / 2);
    let memo = phone.post("/memos", &json!({"content": "later"})).await.ok();
    assert!(memo["updatedAt"].as_i64().unwrap() >= now + HOUR_MS / 2);
    let pulled = phone.pull(&json!({})).await;
    assert!(pulled["cursors"]["memo"].as_i64().unwrap() >= now + HOUR_MS / 2);
    phone
        .post("/dev/clock", &json!({"advanceMs": HOUR_MS}))
        .await
        .ok();
    phone.get("/memos").await.problem(401, "token_expired");
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_fail_as_they_are_told_to() {
    let (_server, phone) = phone().await;
    let busy = json!({"status": 503, "code": "busy", "retryAfterMs": 1500});
    fault(
        &phone,
        json!({"on": "POST /memos", "skip": 1, "times": 2, "fault": busy}),
    )
    .await;
    let make = |content: &'static str| {
        let phone = phone.clone();
        async move { phone.post("/api/memos", &json!({"content": content})).await }
    };
    make("passes").await.ok();
    let refused = make("is refused").await;
    assert_eq!(refused.headers["retry-after"], "2");
    refused.problem(503, "busy");
    assert_eq!(phone.get("/dev/faults").await.ok()["faults"][0]["times"], 1);
    make("is refused").await.problem(503, "busy");
    make("passes, too").await.ok();

    // Of somebody between, and of another device.
    fault(
        &phone,
        json!({"on": "* /mem*", "clientId": "tablet", "fault": {"status": 502}}),
    )
    .await;
    assert_eq!(contents(&phone).await, ["passes", "passes, too"]);
    let mut tablet = phone.clone();
    tablet.id = "tablet".into();
    assert_eq!(
        tablet.get("/memos").await.body,
        "<html>no answer of the server's</html>\n"
    );

    fault(
        &phone,
        json!({"on": "POST /memos", "fault": {"dropAnswer": true}}),
    )
    .await;
    let lost = phone
        .request(Method::POST, "/memos")
        .json(&json!({"content": "lost"}));
    lost.send().await.unwrap_err();
    assert_eq!(contents(&phone).await, ["lost", "passes", "passes, too"]);

    fault(&phone, json!({"on": "GET /memos", "fault": {"cutAtByte": 20}})).await;
    let mut cut = phone.request(Method::GET, "/memos").send().await.unwrap();
    assert_eq!(cut.status(), 200);
    let mut got = Vec::new();
    while let Ok(piece) = cut.chunk().await {
        got.extend_from_slice(&piece.expect("more was announced"));
    }
    assert_eq!(got.len(), 20);

    fault(
        &phone,
        json!({"on": "GET /memos", "fault": {"delayMs": 50, "advanceMs": HOUR_MS}}),
    )
    .await;
    phone.get("/memos").await.problem(401, "token_expired");
    let slow = requests(&phone).await.pop().unwrap();
    assert!(slow["ms"].as_u64().unwrap() >= 50, "{slow}");
    assert_eq!(slow["fault"], json!({"delayMs": 50, "advanceMs": HOUR_MS}));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_is_held_until_the_rules_are_removed() {
    let (_server, phone) = phone().await;
    fault(
        &phone,
        json!({"on": "POST /memos", "times": 9, "fault": {"hold": true}}),
    )
    .await;
    let held = tokio::spawn({
        let phone = phone.clone();
        async move { phone.post("/memos", &json!({"content": "held"})).await.ok() }
    });
    while contents(&phone).await.is_empty() {}
    let all = requests(&phone).await;
    let post = all
        .iter()
        .find(|one| one["path"] == "/memos" && one["method"] == "POST")
        .unwrap();
    assert_eq!((&post["status"], &post["ms"]), (&json!(null), &json!(null)));
    phone.delete("/dev/faults").await.ok();
    assert_eq!(held.await.unwrap()["content"], "held");
    assert_eq!(phone.get("/dev/faults").await.ok(), json!({"faults": []}));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_web_page_reads_the_kit_s_own_answers_and_its_browser_s_questions_never_fail() {
    let (_server, phone) = phone().await;
    let of_a_page = |method: Method, path: &str| {
        let request = phone
            .request(method, path)
            .header("origin", "https://notes.example");
        phone.send(request.header("access-control-request-method", "DELETE"))
    };
    fault(
        &phone,
        json!({"on": "* *", "times": 2, "fault": {"status": 503, "code": "busy"}}),
    )
    .await;
    for path in ["/memos", "/dev/faults"] {
        let preflight = of_a_page(Method::OPTIONS, path).await;
        assert_eq!(preflight.status, 200, "{path}");
        let allowed = preflight.headers["access-control-allow-methods"]
            .to_str()
            .unwrap();
        assert!(allowed.contains("DELETE"), "{path}: {allowed}");
    }
    for path in ["/memos", "/dev/clock", "/dev/nothing"] {
        let headers = of_a_page(Method::GET, path).await.headers;
        assert_eq!(headers["access-control-allow-origin"], "*", "{path}");
        let exposed: Vec<_> = headers.get_all("access-control-expose-headers").iter().collect();
        assert!(
            exposed.iter().any(|name| *name == "retry-after"),
            "{path}: {exposed:?}"
        );
    }
    assert_eq!(phone.get("/dev/faults").await.ok()["faults"][0]["times"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_devices_sent_and_got_is_written_down_as_far_as_there_is_room() {
    let (_server, phone) = phone().await;
    let content = "x".repeat(20_000);
    phone.post("/api/memos", &json!({"content": content})).await.ok();
    let all = requests(&phone).await;
    let ids: Vec<_> = all.iter().map(|one| one["id"].as_u64().unwrap()).collect();
    assert_eq!(ids, [1, 2], "those below /dev are no device's");
    let memo = &all[1];
    assert_eq!(memo["clientId"], "phone");
    assert_eq!(
        (&memo["method"], &memo["path"], &memo["status"]),
        (&json!("POST"), &json!("/memos"), &json!(200))
    );
    assert!(memo["bytesIn"].as_u64().unwrap() > 20_000 && memo["bytesOut"].as_u64().unwrap() > 20_000);
    for text in [&memo["sent"], &memo["got"]] {
        assert_eq!(text.as_str().unwrap().len(), 16 * 1024);
    }
    for _ in 0..199 {
        phone.get("/health").await.ok();
    }
    let mut nobody = phone.clone();
    nobody.id = "x".repeat(65);
    nobody.get(&format!("/{}", "x".repeat(5000))).await;
    let kept = requests(&phone).await;
    let last = kept.last().unwrap();
    assert_eq!(
        (&last["clientId"], last["path"].as_str().unwrap().len()),
        (&json!(null), 2048)
    );
    assert_eq!((kept.len(), &kept[0]["id"]), (200, &json!(3)));
    let rest = phone.get("/dev/requests?after=201").await.ok();
    assert_eq!(rest["requests"].as_array().unwrap().len(), 1);
    let page = phone.get("/dev").await;
    assert_eq!(page.headers["content-type"], "text/html; charset=utf-8");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_shows_the_server_that_runs() {
    const FOLDER: &str = env!("CARGO_MANIFEST_DIR");
    let files = ["tests/clients/dev_page.mjs", "src/dev/page.html"].map(|file| format!("{FOLDER}/{file}"));
    succeed(Command::new("node").args(files)).await;
    let run = async |server: &Dev| server.anonymous().get("/dev/requests").await.ok()["run"].clone();
    let servers = [dev(), dev()];
    assert_ne!(run(&servers[0]).await, run(&servers[1]).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_asked_for_in_another_way_is_refused() {
    let server = dev();
    let anybody = server.anonymous();
    let rule = |change: fn(&mut Value)| {
        let mut rule = json!({"on": "POST /memos", "fault": {"status": 503}});
        change(&mut rule);
        rule
    };
    let invalid = [
        ("/dev/clock", json!({})),
        ("/dev/clock", json!({"set": -1})),
        ("/dev/clock", json!({"advanceMs": "1"})),
        ("/dev/faults", rule(|rule| rule["on"] = json!("/memos"))),
        ("/dev/faults", rule(|rule| rule["on"] = json!("POST memos"))),
        ("/dev/faults", rule(|rule| rule["times"] = json!(0))),
        ("/dev/faults", rule(|rule| rule["often"] = json!(1))),
        ("/dev/faults", rule(|rule| rule["fault"] = json!({}))),
        ("/dev/faults", rule(|rule| rule["fault"]["status"] = json!(200))),
        (
            "/dev/faults",
            rule(|rule| rule["fault"] = json!({"code": "busy"})),
        ),
        (
            "/dev/faults",
            rule(|rule| rule["fault"] = json!({"delayMs": 600_001})),
        ),
        (
            "/dev/faults",
            rule(|rule| rule["clientId"] = json!("x".repeat(257))),
        ),
        (
            "/dev/faults",
            rule(|rule| rule["fault"]["code"] = json!("x".repeat(257))),
        ),
        (
            "/dev/faults",
            rule(|rule| rule["on"] = json!(format!("* /{}", "x".repeat(512)))),
        ),
    ];
    for (path, body) in invalid {
        anybody.post(path, &body).await.problem(422, "validation_failed");
    }
    let garbage = anybody.request(Method::POST, "/dev/clock").body("{");
    anybody.send(garbage).await.problem(400, "malformed_json");
    let large = anybody
        .request(Method::POST, "/dev/clock")
        .body(" ".repeat(65 * 1024));
    anybody.send(large).await.problem(413, "body_too_large");
    anybody
        .get("/dev/requests?after=x")
        .await
        .problem(422, "validation_failed");
    anybody.get("/dev/nothing").await.problem(404, "unknown_route");
    for _ in 0..100 {
        fault(&anybody, rule(|_| ())).await;
    }
    anybody
        .post("/dev/faults", &rule(|_| ()))
        .await
        .problem(409, "too_many_rules");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_ordinary_server_has_nothing_of_it() {
    let server = Server::start();
    let admin = server.device("phone").await;
    for path in [
        "/dev",
        "/dev/clock",
        "/dev/faults",
        "/dev/requests",
        "/dev/backup",
        "/dev/restore",
    ] {
        for method in [Method::GET, Method::POST, Method::DELETE] {
            for path in [path.to_owned(), format!("/api{path}")] {
                let answer = admin
                    .send(admin.request(method.clone(), &path).json(&json!({})))
                    .await;
                answer.problem(404, "unknown_route");
            }
        }
    }
    let document = admin.get("/openapi.json").await.ok();
    let paths = document["paths"].as_object().unwrap();
    assert!(
        !paths
            .keys()
            .any(|path| path.starts_with("/dev/") || path == "/dev")
    );
    let wrong = json!({"username": "admin", "password": "any password"});
    admin
        .post("/auth/login", &wrong)
        .await
        .problem(401, "bad_credentials");
    let unknown = json!({"username": "anna", "password": "any password"});
    admin
        .post("/auth/login", &unknown)
        .await
        .problem(401, "bad_credentials");
}
