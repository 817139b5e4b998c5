//! The rules of writes, W1 to W6, as a table: what becomes of each edit, of every type, by whichever road it comes.

use reqwest::Method;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::harness::{Client, Server};
use crate::kinds::{DIARY, KEYED_BY_ID, KINDS, Kind, T, with};

/// How edits come.
#[derive(Debug, Clone, Copy)]
enum Road {
    /// `POST` of a whole record, and `DELETE`.
    Post,
    /// `PUT` of a live record, `POST` where there is none, and `DELETE`.
    Put,
    /// A bulk push of one edit.
    Push,
}

/// Those by which whole records come.
const WHOLE: [Road; 2] = [Road::Post, Road::Push];
const ALL: [Road; 3] = [Road::Post, Road::Put, Road::Push];

/// When the records were made, where their edits have a time.
const MADE: i64 = T - 7;

/// An edit from this device, at this time; no text: a delete.
#[derive(Debug, Clone, Copy)]
struct Edit(&'static str, Option<i64>, Option<&'static str>);

/// What becomes of an edit: a push says it; of a request, the status, the code and the user's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Applied,
    Unchanged,
    Superseded,
    Rejected(&'static str),
}
use Outcome::{Applied, Rejected, Superseded, Unchanged};

const fn put(time: i64, text: &'static str) -> Edit {
    Edit("phone", Some(time), Some(text))
}

const fn delete(time: i64) -> Edit {
    Edit("phone", Some(time), None)
}

/// Without a time.
const fn put_now(text: &'static str) -> Edit {
    Edit("phone", None, Some(text))
}

const DELETE_NOW: Edit = Edit("phone", None, None);

impl Edit {
    const fn from(self, device: &'static str) -> Self {
        Self(device, self.1, self.2)
    }

    fn times(self) -> Value {
        let Self(_, time, _) = self;
        time.map_or(json!({}), |time| json!({"updatedAt": time, "createdAt": MADE}))
    }
}

/// Brings an edit of the nth record, by a device whose clock shows this. Answers the outcome (where it is told), the code and
/// the record that won.
async fn bring(road: Road, client: &Client, kind: Kind, n: usize, edit: Edit, clock: Option<i64>) -> Value {
    let Edit(device, time, text) = edit;
    let client = client.on(device);
    let request = match (road, text) {
        (Road::Push, _) => {
            let changes = match text {
                Some(text) => kind.updates(&[kind.record(n, text, &edit.times())]),
                None => kind.deletions(&[kind.deletion(n, time)]),
            };
            let body = json!({"clientId": device, "clientTime": clock, "changes": changes});
            let answer = client.post("/sync/push", &body).await.ok();
            let result = &answer["results"][kind.name][0];
            return json!({"outcome": result["outcome"], "code": result["error"]["code"], "current": result["current"]});
        }
        (_, None) => {
            let query = time.map_or(String::new(), |time| format!("?updatedAt={time}"));
            client.request(Method::DELETE, &format!("{}{query}", kind.path(n)))
        }
        (Road::Put, Some(text)) if !kind.get(&client, n).await.is_null() => client
            .request(Method::PUT, &kind.path(n))
            .json(&with(&json!({kind.text: text}), &edit.times())),
        (_, Some(text)) => client
            .request(Method::POST, &kind.create_path(n))
            .json(&with(&kind.body(n, text), &edit.times())),
    };
    let answer = client
        .send(match clock {
            Some(clock) => request.header("x-client-time", clock),
            None => request,
        })
        .await;
    if answer.status.is_success() {
        assert!(
            text.is_some() || answer.status == 204,
            "a delete is answered with nothing"
        );
        return Value::Null;
    }
    let code = answer.body["code"].clone();
    let outcome = if code == "superseded" {
        "superseded"
    } else {
        "rejected"
    };
    let current = answer.body["current"].clone();
    let code = if code == "superseded" { Value::Null } else { code };
    json!({"outcome": outcome, "code": code, "current": current})
}

/// Brings an edit that must have this outcome. What loses is told what stands (W4).
async fn judge(road: Road, client: &Client, kind: Kind, n: usize, edit: Edit, outcome: Outcome) {
    let before = client.clock().await;
    let result = bring(road, client, kind, n, edit, None).await;
    let moved = client.clock().await > before;
    let about = format!("{edit:?} of a {} by {road:?}: {result}", kind.name);
    assert_eq!(
        moved,
        outcome == Applied,
        "the clock moves for what is applied alone: {about}"
    );
    let (name, code) = match outcome {
        Applied => ("applied", None),
        Unchanged => ("unchanged", None),
        Superseded => ("superseded", None),
        Rejected(code) => ("rejected", Some(code)),
    };
    let told = result["outcome"]
        .as_str()
        .unwrap_or(if moved { "applied" } else { "unchanged" });
    assert_eq!((told, result["code"].as_str()), (name, code), "{about}");
    if outcome == Superseded {
        match kind.pulled(client, n).await {
            Value::Null => assert_eq!(
                (&result["current"][kind.key], &result["current"]["isDeleted"]),
                (&json!(kind.key(n)), &json!(true)),
                "{about}"
            ),
            stands => assert_eq!(result["current"], stands, "{about}"),
        }
    } else {
        assert_eq!(result["current"], Value::Null, "{about}");
    }
}

/// The text of a record and its edit time, where it is said; no text: deleted.
type End<'a> = (Option<&'a str>, Option<i64>);

/// A row of the table: the edits with what becomes of them, the end, and what is kept besides (the text, why, and whose), the
/// latest first.
struct Row<'a> {
    edits: &'a [(Edit, Outcome)],
    end: End<'a>,
    kept: &'a [(&'a str, &'a str, &'a str)],
}

/// The text of an edit that comes late to see the tombstone.
const LATE: &str = "older than the tombstone";

/// The row holds by these roads, for these types, for a record of its own each.
async fn holds(roads: &[Road], kinds: &[Kind], row: Row<'_>) {
    let server = Server::start();
    let phone = server.device("phone").await;
    for (n, &road) in roads.iter().enumerate() {
        for &kind in kinds {
            for &(edit, outcome) in row.edits {
                judge(road, &phone, kind, n, edit, outcome).await;
            }
            let about = format!("a {} by {road:?}", kind.name);
            assert_end(road, &phone, kind, n, row.end, &about).await;
            let kept = kind.revisions(&phone, n).await;
            let told: Vec<[&Value; 3]> = kept
                .iter()
                .filter(|kept| kept[kind.text] != LATE)
                .map(|kept| [&kept[kind.text], &kept["reason"], &kept["clientId"]])
                .collect();
            assert_eq!(json!(told), json!(row.kept), "{about}");
        }
    }
}

async fn assert_end(road: Road, client: &Client, kind: Kind, n: usize, end: End<'_>, about: &str) {
    let record = kind.pulled(client, n).await;
    assert_eq!(record[kind.text].as_str(), end.0, "{about}");
    match end {
        (_, None) => {}
        (Some(_), Some(time)) => {
            let times = (&record["updatedAt"], &record["createdAt"]);
            assert_eq!(times, (&json!(time), &json!(MADE)), "{about}");
        }
        (None, Some(time)) => {
            let lost = bring(road, client, kind, n, put(time - 1, LATE), None).await;
            let tombstone =
                json!({kind.key: kind.key(n), "isDeleted": true, "createdAt": MADE, "updatedAt": time});
            assert_eq!(lost["current"], tombstone, "{about}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn w3_what_is_sent_again_changes_nothing() {
    let row = Row {
        edits: &[
            (put(T, "one"), Applied),
            (put(T, "one"), Unchanged),
            (put_now("one"), Unchanged),
            (delete(T + 2), Applied),
            (delete(T + 2), Unchanged),
            (DELETE_NOW, Unchanged),
        ],
        end: (None, Some(T + 2)),
        kept: &[("one", "deleted", "phone")],
    };
    holds(&ALL, &KINDS, row).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn w3_without_a_time_a_whole_record_neither_overwrites_nor_undoes_a_delete() {
    let row = Row {
        edits: &[
            (put_now("one"), Applied),
            (put_now("another"), Unchanged),
            (DELETE_NOW, Applied),
            (put_now("one"), Rejected("deleted")),
            (put_now("another"), Rejected("deleted")),
        ],
        end: (None, None),
        kept: &[("one", "deleted", "phone")],
    };
    holds(&WHOLE, &KEYED_BY_ID, row).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn w3_w5_without_a_time_a_diary_is_overwritten_and_begins_anew_on_a_deleted_one_s_day() {
    let row = Row {
        edits: &[
            (put_now("one"), Applied),
            (put_now("another"), Applied),
            (DELETE_NOW, Applied),
            (put_now("a new one"), Applied),
        ],
        end: (Some("a new one"), None),
        kept: &[("another", "deleted", "phone"), ("one", "overwritten", "phone")],
    };
    holds(&ALL, &[DIARY], row).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn w3_a_late_replay_is_told_the_winner_and_kept_once() {
    let row = Row {
        edits: &[
            (put(T, "one"), Applied),
            (put(T + 1, "two"), Applied),
            (put(T, "one"), Superseded),
            (put(T, "one"), Superseded),
        ],
        end: (Some("two"), Some(T + 1)),
        kept: &[("one", "overwritten", "phone")],
    };
    holds(&WHOLE, &KINDS, row).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn w4_what_loses_is_told_the_winner_and_kept() {
    let row = Row {
        edits: &[
            (put(T + 10, "winner"), Applied),
            (put(T + 9, "lost 1").from("old"), Superseded),
            (put(T + 8, "lost 2").from("old"), Superseded),
            (put(T + 8, "lost 2").from("old"), Superseded),
            (delete(T + 7).from("old"), Superseded),
            // At the same time, the greater device name wins.
            (put(T + 10, "lost tie").from("a-phone"), Superseded),
        ],
        end: (Some("winner"), Some(T + 10)),
        kept: &[
            ("lost tie", "superseded", "a-phone"),
            ("lost 2", "superseded", "old"),
            ("lost 1", "superseded", "old"),
        ],
    };
    holds(&ALL, &KINDS, row).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn w4_a_tombstone_wins_over_what_is_older() {
    let row = Row {
        edits: &[
            (put(T, "one"), Applied),
            (delete(T + 5), Applied),
            (put(T + 4, "late"), Superseded),
            (put(T + 3, "later"), Superseded),
        ],
        end: (None, Some(T + 5)),
        kept: &[
            ("later", "superseded", "phone"),
            ("late", "superseded", "phone"),
            ("one", "deleted", "phone"),
        ],
    };
    holds(&WHOLE, &KINDS, row).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn w5_a_newer_delete_is_the_version_and_a_newer_edit_brings_the_record_back() {
    let row = Row {
        edits: &[
            (put(T, "one"), Applied),
            (delete(T + 1), Applied),
            (DELETE_NOW, Unchanged),
            (delete(T + 9), Applied),
            (delete(T + 5), Unchanged),
            (put(T + 8, "late"), Superseded),
            (put(T + 10, "back"), Applied),
        ],
        end: (Some("back"), Some(T + 10)),
        kept: &[("late", "superseded", "phone"), ("one", "deleted", "phone")],
    };
    holds(&WHOLE, &KINDS, row).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn w5_a_delete_that_comes_first_keeps_the_record_deleted() {
    let row = Row {
        edits: &[(delete(T + 5), Applied), (put(T, "late"), Superseded)],
        end: (None, None),
        kept: &[("late", "superseded", "phone")],
    };
    holds(&WHOLE, &KINDS, row).await;
}

/// All orders of four things.
fn orders() -> Vec<[usize; 4]> {
    let all = (0..256).map(|n| [n & 3, n >> 2 & 3, n >> 4 & 3, n >> 6 & 3]);
    all.filter(|order| (0..4).all(|i| order.contains(&i))).collect()
}

/// Brings four edits in all 24 orders by each road, to a record each, and answers what a fresh device gets of them.
async fn in_all_orders(edits: [Edit; 4]) -> crate::harness::Phone {
    let server = Server::start();
    let phone = server.device("phone").await;
    let mut running = JoinSet::new();
    for (n, order) in orders().into_iter().enumerate() {
        for (offset, road) in [(0, Road::Post), (24, Road::Push)] {
            let phone = phone.clone();
            running.spawn(async move {
                for edit in order.map(|i| edits[i]) {
                    for kind in KINDS {
                        let result = bring(road, &phone, kind, offset + n, edit, None).await;
                        assert_ne!(result["outcome"], "rejected", "{result}");
                    }
                }
            });
        }
    }
    assert_eq!(running.join_all().await.len(), 48);
    phone.everything().await
}

#[tokio::test(flavor = "multi_thread")]
async fn w2_whatever_the_order_of_arrival_the_same_edit_wins() {
    // By its time, then by its device, then by its content.
    let edits = [
        put(T, "zero").from("b"),
        put(T + 1, "two").from("a"),
        put(T + 1, "one").from("b"),
        put(T + 1, "three").from("b"),
    ];
    let everything = in_all_orders(edits).await;
    assert_eq!(everything.records.len(), 4 * 48);
    for ((name, key), record) in &everything.records {
        let kind = KINDS.into_iter().find(|kind| kind.name == name).unwrap();
        let won = (&record[kind.text], &record["updatedAt"], &record["createdAt"]);
        assert_eq!(
            won,
            (&json!("three"), &json!(T + 1), &json!(MADE)),
            "{name} {key}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn w2_of_equal_versions_a_delete_wins_whatever_the_order() {
    let edits = [
        delete(T).from("b"),
        put(T + 1, "zzz").from("a"),
        put(T + 1, "zzz").from("b"),
        delete(T + 1).from("b"),
    ];
    let everything = in_all_orders(edits).await;
    let found = (everything.records.len(), everything.delivered.len());
    assert_eq!(found, (0, 4 * 48));
}

#[tokio::test(flavor = "multi_thread")]
async fn w1_a_new_record_without_times_is_of_now() {
    let server = Server::start();
    let phone = server.device("phone").await;
    for (n, road) in WHOLE.into_iter().enumerate() {
        for kind in KINDS {
            let before = phone.server_time().await;
            judge(road, &phone, kind, n, put_now("new"), Applied).await;
            let created = kind.pulled(&phone, n).await;
            let now = before..=phone.server_time().await;
            assert!(now.contains(&created["updatedAt"].as_i64().unwrap()), "{created}");
            assert_eq!(created["createdAt"], created["updatedAt"]);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn w6_a_wrong_clock_shifts_edit_times_by_whole_seconds_and_never_createdat() {
    let server = Server::start();
    let phone = server.device("phone").await;
    let offs = [-3_600_000, 3_600_000, -11_000, 5_000, -5_000];
    let cases = WHOLE.into_iter().flat_map(|road| offs.map(|off| (road, off)));
    for (n, (road, off)) in cases.enumerate() {
        // As late within its second as it may be: a request that takes its time arrives in the same one.
        let clock_of_device = async || phone.server_time().await + off + 400;
        // What is nearly right is right.
        let shift = if off.abs() > 10_000 { -off } else { 0 };
        for kind in KINDS {
            let device_clock = clock_of_device().await;
            let edited = device_clock - 7_123;
            let edit = put(edited, "skewed");
            bring(road, &phone, kind, n, edit, Some(device_clock)).await;
            let stored = kind.pulled(&phone, n).await;
            assert_eq!(
                (&stored["updatedAt"], &stored["createdAt"]),
                (&json!(edited + shift), &json!(MADE)),
                "a {} by {road:?} with a clock that is off by {off} ms",
                kind.name
            );
            let clock = phone.clock().await;
            bring(road, &phone, kind, n, edit, Some(clock_of_device().await)).await;
            assert_eq!(phone.clock().await, clock, "a retry gets the same time");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn w6_a_clock_that_is_ahead_can_not_win_for_years_and_deletes_are_shifted_too() {
    let server = Server::start();
    let phone = server.device("phone").await;
    let year = 365 * 86_400_000;
    for (n, road) in WHOLE.into_iter().enumerate() {
        for kind in KINDS {
            judge(road, &phone, kind, n, put(T, "one"), Applied).await;
            let device_clock = phone.server_time().await + year;
            let ahead = delete(device_clock - 1_000);
            judge(road, &phone, kind, n, ahead, Rejected("edit_time_ahead")).await;
            let applied = bring(road, &phone, kind, n, ahead, Some(device_clock)).await;
            assert_eq!(applied["code"], Value::Null, "{applied}");
            let late = bring(road, &phone, kind, n, put(T + 1, "late"), None).await;
            assert_eq!(late["current"]["updatedAt"], json!(device_clock - 1_000 - year));
        }
    }
}
