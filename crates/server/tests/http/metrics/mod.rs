//! `GET /metrics`: what it says after what happened, who may ask, and that what is written about it is so.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use mosaic_testkit::Random;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::files::{file, noise};
use crate::harness::{ADMIN_PASSWORD, Client, Data, Server};

mod documented;
mod listener;

/// The flags with which a server tells its metrics, at any free port.
const TOLD: [&str; 2] = ["--metrics-listen", "127.0.0.1:0"];

/// Where a server tells its metrics; `None`: nowhere. It says so before it says that it listens.
fn address(server: &Server) -> Option<SocketAddr> {
    let log = server.log();
    let lines = log
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut told = lines.filter(|line| line["message"] == "metrics are served");
    let address = told.next()?["address"].as_str().map(str::to_owned);
    Some(address.expect("an address").parse().expect("an address"))
}

/// One reading: a name and its labels.
type Series = (String, BTreeMap<String, String>);

/// A value, without its fraction: what is counted has none.
fn rounded(value: &str) -> i64 {
    let value: f64 = value.parse().expect("a number");
    format!("{value:.0}").parse().expect("a whole number")
}

/// What a server told.
#[derive(Debug, Clone)]
struct Scrape {
    text: String,
    /// Rounded.
    series: BTreeMap<Series, i64>,
}

impl Scrape {
    /// What that server tells now.
    async fn of(server: &Server) -> Self {
        let address = address(server).expect("metrics");
        let answer = reqwest::get(format!("http://{address}/metrics")).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        assert_eq!(
            answer.headers()["content-type"],
            "text/plain; version=0.0.4; charset=utf-8"
        );
        Self::read(answer.text().await.unwrap())
    }

    fn read(text: String) -> Self {
        let mut series = BTreeMap::new();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let (named, value) = line.rsplit_once(' ').expect("a value");
            let (name, labels) = named.split_once('{').unwrap_or((named, "}"));
            // No value of ours has a comma or a quote in it.
            let labels = labels.strip_suffix('}').expect("an end").split(',');
            let labels = labels.filter_map(|label| label.split_once('='));
            let labels = labels.map(|(name, value)| (name.to_owned(), value.trim_matches('"').to_owned()));
            let before = series.insert((name.to_owned(), labels.collect()), rounded(value));
            assert_eq!(before, None, "twice: {line}");
        }
        Self { text, series }
    }

    /// A reading, by its name and labels as they are written; 0 where there is none.
    fn get(&self, wanted: &str) -> i64 {
        let wanted = Self::read(format!("{wanted} 0")).series;
        let (wanted, _) = wanted.first_key_value().expect("a series");
        self.series.get(wanted).copied().unwrap_or(0)
    }

    /// The figures, each with the names of its labels. A histogram is one figure.
    fn figures(&self) -> BTreeMap<String, BTreeSet<String>> {
        let kinds = self.text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
        let mut figures: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (name, kind) in kinds.filter_map(|line| line.split_once(' ')) {
            assert!(
                figures.insert(name.to_owned(), BTreeSet::new()).is_none(),
                "{name} twice"
            );
            let parts = |series: &str| match kind {
                "histogram" => ["_bucket", "_sum", "_count"]
                    .iter()
                    .any(|part| series.strip_suffix(part) == Some(name)),
                _ => series == name,
            };
            let labels = self.series.keys().filter(|(series, _)| parts(series));
            let labels = labels.flat_map(|(_, labels)| labels.keys().cloned());
            figures.get_mut(name).expect("it").extend(labels);
        }
        figures
    }
}

/// An id of the tests'.
fn id(number: usize) -> String {
    format!("0198f3a2-7b1c-7def-8000-{number:012}")
}

/// What devices do in an ordinary minute, and what goes wrong in it.
async fn traffic(server: &Server) -> Client {
    let phone = server.device("phone").await;
    // Nothing is there yet.
    phone.pull(&json!({})).await;
    let memo = |number, time: i64| json!({"id": id(number), "content": "Hello", "updatedAt": time});
    let changes = json!({"memo": {"updated": [memo(1, 2_000), memo(2, 2_000)]}});
    phone.push(&changes).await.ok();
    // One that is so already, one that loses, and two that can't be: of what is no memo, and of a memo that there is not.
    let mut lost = memo(2, 1_000);
    lost["content"] = "Hi".into();
    let changes = json!({
        "memo": {"updated": [memo(1, 2_000), lost, {"id": id(3), "content": 7}]},
        "resource": {"updated": [{"id": id(4), "memoId": id(5), "filename": "a.txt"}]},
    });
    phone.push(&changes).await.ok();
    let page = phone.pull(&json!({})).await;
    phone.pull(&page["cursors"]).await;
    // Alone, too.
    let late = json!({"content": "Hi", "updatedAt": 1_000});
    phone
        .put(&format!("/memos/{}", id(1)), &late)
        .await
        .problem(409, "superseded");
    let login = json!({"username": "admin", "password": "a wrong password"});
    server
        .anonymous()
        .post("/auth/login", &login)
        .await
        .problem(401, "bad_credentials");
    phone
        .upload(file("a.bin", "application/octet-stream", &noise(1, 5_000)))
        .await
        .ok();
    phone
}

/// What became of the difference between two scrapes, by name and labels: only what there is.
fn difference(before: &Scrape, after: &Scrape, of: &str) -> Vec<(String, i64)> {
    let counted = after.series.iter().filter(|((name, _), _)| name == of);
    let more = counted.map(|(series, value)| (series, value - before.series.get(series).unwrap_or(&0)));
    more.filter(|(_, more)| *more != 0)
        .map(|((_, labels), more)| {
            let values: Vec<_> = labels.values().map(String::as_str).collect();
            (values.join(" "), more)
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_figures_say_what_happened() {
    let server = Server::start_with(&TOLD);
    let before = Scrape::of(&server).await;
    traffic(&server).await;
    let after = Scrape::of(&server).await;
    for (figure, expected) in [
        ("mosaic_pulls_total", vec![("page", 1), ("rest", 2)]),
        ("mosaic_pulled_records_total", vec![("memo", 2)]),
        ("mosaic_pushes_total", vec![("", 2)]),
        (
            "mosaic_pushed_records_total",
            vec![
                ("memo applied", 2),
                ("memo rejected", 1),
                ("memo superseded", 1),
                ("memo unchanged", 1),
                ("resource rejected", 1),
            ],
        ),
        ("mosaic_conflicts_total", vec![("", 2)]),
        ("mosaic_login_failures_total", vec![("bad_credentials", 1)]),
        (
            "mosaic_http_problems_total",
            vec![("bad_credentials", 1), ("superseded", 1)],
        ),
        ("mosaic_uploads_stored_total", vec![("form", 1)]),
        ("mosaic_uploads_begun_total", vec![]),
        (
            "mosaic_http_requests_total",
            vec![
                ("POST /auth/login 200", 1),
                ("POST /auth/login 401", 1),
                ("POST /resources/upload 200", 1),
                ("POST /sync/pull 200", 3),
                ("POST /sync/push 200", 2),
                ("PUT /memos/{id} 409", 1),
            ],
        ),
        ("mosaic_http_requests_abandoned_total", vec![]),
    ] {
        let expected: Vec<_> = expected
            .into_iter()
            .map(|(labels, more)| (labels.to_owned(), more))
            .collect();
        assert_eq!(difference(&before, &after, figure), expected, "{figure}");
    }
    let timed = r#"mosaic_http_request_duration_seconds_count{method="POST",route="/sync/pull"}"#;
    assert_eq!(after.get(timed), 3);
    assert_eq!(after.get("mosaic_http_requests_in_flight"), 0);
    // The file itself, and what proves the storage.
    let written = difference(&before, &after, "mosaic_blob_bytes_total");
    let written = written.iter().find(|(direction, _)| direction == "written");
    assert!(written.is_some_and(|(_, bytes)| *bytes >= 5_000), "{written:?}");
    let committed = |scrape: &Scrape| scrape.get("mosaic_store_commits_total");
    assert!(committed(&after) >= committed(&before) + 4, "{}", after.text);
    assert_eq!(after.get("mosaic_store_failed_commits_total"), 0);
}

/// A file that comes in two parts has begun once, and is stored once.
#[tokio::test(flavor = "multi_thread")]
async fn uploads_in_parts_are_counted_when_they_begin_and_when_they_are_whole() {
    let server = Server::start_with(&TOLD);
    let phone = server.device("phone").await;
    let tus = |method: Method, path: &str| {
        let request = phone.request(method, path).header("tus-resumable", "1.0.0");
        request.header("content-type", "application/offset+octet-stream")
    };
    let creation = tus(Method::POST, "/uploads").header("upload-length", 6);
    let begun = phone
        .send(creation.header("upload-metadata", "filename YS5iaW4="))
        .await;
    assert_eq!(begun.status, StatusCode::CREATED, "{}", begun.body);
    let path = begun.headers["location"].to_str().unwrap();
    for (offset, stored) in [(0, 0), (3, 1)] {
        let part = tus(Method::PATCH, path)
            .header("upload-offset", offset)
            .body("abc");
        let answer = phone.send(part).await;
        assert_eq!(answer.status, StatusCode::NO_CONTENT, "{}", answer.body);
        let told = Scrape::of(&server).await;
        assert_eq!(told.get(r#"mosaic_uploads_begun_total{road="tus"}"#), 1);
        assert_eq!(told.get(r#"mosaic_uploads_stored_total{road="tus"}"#), stored);
        assert_eq!(told.get(r#"mosaic_uploads_stored_total{road="form"}"#), 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn listeners_and_what_they_are_told_are_counted() {
    let server = Server::start_with(&TOLD);
    let phone = server.device("phone").await;
    let mut stream = phone.request(Method::GET, "/sync/events").send().await.unwrap();
    let mut heard = String::new();
    while !heard.contains("event: changed") {
        heard += &String::from_utf8_lossy(&stream.chunk().await.unwrap().unwrap());
    }
    let listening = Scrape::of(&server).await;
    assert_eq!(listening.get("mosaic_listeners"), 1);
    assert_eq!(listening.get("mosaic_nudges_total"), 1);
    phone.post("/memos", &json!({"content": "Hello"})).await.ok();
    while heard.matches("event: changed").count() < 2 {
        heard += &String::from_utf8_lossy(&stream.chunk().await.unwrap().unwrap());
    }
    assert_eq!(Scrape::of(&server).await.get("mosaic_nudges_total"), 2);
}

/// Whatever a stranger asks for, no figure has a word of theirs, and there are no more of them.
#[tokio::test(flavor = "multi_thread")]
async fn strangers_add_no_figures() {
    let server = Server::start_with(&TOLD);
    let mut random = Random(7);
    let mut ask = async |many: usize| {
        for n in 0..many {
            let word = format!("x{:x}", random.next());
            let path = match n % 4 {
                0 => format!("/{word}"),
                1 => format!("/memos/{word}"),
                2 => format!("/api/{word}/{word}"),
                _ => format!("/sync/events?{word}={word}"),
            };
            let method = if n % 3 == 0 {
                "GET".to_owned()
            } else {
                word.to_uppercase()
            };
            let request = server.anonymous().request(method.parse().unwrap(), &path);
            let status = request.send().await.unwrap().status();
            assert!(status.is_client_error(), "{method} {path}: {status}");
        }
    };
    ask(12).await;
    let few = Scrape::of(&server).await;
    ask(1_000).await;
    let many = Scrape::of(&server).await;
    let names = |scrape: &Scrape| scrape.series.keys().cloned().collect::<BTreeSet<_>>();
    assert_eq!(names(&many), names(&few));
    let of_unknown = |scrape: &Scrape| {
        let all = scrape.series.iter().filter(|((name, labels), _)| {
            name == "mosaic_http_requests_total"
                && labels["method"] == "other"
                && labels["route"] == "unknown"
        });
        all.map(|(_, count)| count).sum::<i64>()
    };
    assert!(of_unknown(&many) - of_unknown(&few) > 600, "{}", many.text);
}

/// What devices send is nobody's business who reads figures.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_told_of_who_uses_the_server() {
    let server = Server::start_with(&TOLD);
    traffic(&server).await;
    let told = Scrape::of(&server).await.text;
    for word in [ADMIN_PASSWORD, "phone", "a.bin", "7b1c", "admin\""] {
        assert!(!told.contains(word), "{word} in {told}");
    }
}

/// Nothing listens for metrics unless it is asked for.
#[cfg(target_os = "linux")]
#[test]
fn metrics_are_off_by_default() {
    for (flags, sockets) in [(&[] as &[&str], 1), (&TOLD, 2)] {
        let server = Data::new().start(flags);
        assert_eq!(listener::listening_sockets(server.pid()), sockets, "{flags:?}");
        assert_eq!(address(&server).is_some(), sockets == 2);
    }
}
