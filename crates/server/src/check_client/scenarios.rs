//! What happens to apps.

use std::pin::Pin;

use serde_json::{Value, json};

use super::Failure;
use super::bench::{Bench, Done, key};
use crate::dev::Fault;

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// One thing that happens, and the rules that it is about.
pub(super) struct Scenario {
    /// How it is chosen.
    pub(super) name: &'static str,
    /// Of docs/protocol.md.
    pub(super) rules: &'static [&'static str],
    /// What happens, in a few words.
    pub(super) about: &'static str,
    /// Takes the client through it.
    pub(super) run: Run,
}

type Run = for<'a> fn(&'a mut Bench) -> Pin<Box<dyn Future<Output = Result<(), Failure>> + 'a>>;

/// Makes [`SCENARIOS`] of a line for each: what takes the client through it, its name, its rules, and what happens. From it come the
/// runner, `--list` and the names that `--only` takes; a test holds the tables of docs/check-client.md against it.
macro_rules! scenarios {
    ($($run:ident $name:literal [$($rule:literal)*] $about:literal;)*) => {
        /// All of them.
        pub(super) const SCENARIOS: &[Scenario] = &[$(Scenario {
            name: $name,
            rules: &[$($rule),*],
            about: $about,
            run: |bench| Box::pin($run(bench)),
        },)*];
    };
}

scenarios! {
    lost_answer "lost-answer" ["W3" "P6"] "the answer to a push is lost";
    edit_during_push "edit-during-push" ["W2" "W4"] "a memo is edited again while it is pushed";
    late_push "late-push" ["S1" "P3"] "an old edit is pushed after others have synced";
    clock_hours_off "clock-hours-off" ["W4" "W6"] "the clock of a device is three hours ahead, or slow";
    clock_put_right "clock-put-right" ["W2" "W6"] "memos are written by a clock a day ahead, which is right when they are pushed";
    page_edges "page-edges" ["B1" "P1" "P2"] "199, 200 and 201 memos come, and 201 go";
    parent_after_child "parent-after-child" ["B2" "P5" "W9"] "a resource is made before the memo that it belongs to";
    conflict "conflict" ["W2" "W4"] "two devices edit one memo";
    delete_against_edit "delete-against-edit" ["W5"] "one device deletes what another one edits";
    reset_keeps_edits "reset-keeps-edits" ["R3"] "the server is set back, and the device has edits that it has not pushed";
    epoch "epoch" ["R2" "R3"] "the server is set back, and no cursor shows it";
    expired_token "expired-token" ["L2"] "the access token expires in the middle of a sync";
    rejected_record "rejected-record" ["B2"] "one of the memos that are pushed is refused";
    two_tabs "two-tabs" ["L2"] "two tabs have one login, and its token expires";
}

/// The names of all scenarios.
pub(crate) fn names() -> Vec<&'static str> {
    SCENARIOS.iter().map(|scenario| scenario.name).collect()
}

/// A memo of the other device, edited at that moment.
fn memo(number: usize, content: &str, at: i64) -> Value {
    json!({"id": key(number), "content": content, "updatedAt": at})
}

async fn lost_answer(bench: &mut Bench) -> Done {
    bench.open("a").await?;
    bench.write_memo("a", &key(1), "once").await?;
    bench.fail_writes(&Fault {
        drop_answer: true,
        ..Fault::default()
    })?;
    // It may say that it failed.
    let _ = bench.sync("a").await?;
    bench.dev.faults.clear();
    bench.settle("a", "W3").await?;
    let why = "the answer to its push was lost";
    bench.memo_is(&key(1), "once", "W3", why).await?;
    let memos = bench.peer.records("memo").await?;
    let is_twin = memos.len() > 1;
    bench.check(
        "W3",
        is_twin.then(|| {
            format!(
                "{why}, and it was sent again as another memo: there are {} now",
                memos.len()
            )
        }),
    )?;
    let is_again = memos[&key(1)]["revisionCount"] != 1;
    bench.check(
        "W3",
        is_again.then(|| format!("{why}, and it was sent again as another edit, with another time")),
    )?;
    bench.agree("a", "P6").await
}

async fn edit_during_push(bench: &mut Bench) -> Done {
    bench.open("a").await?;
    bench.write_memo("a", &key(1), "before the push").await?;
    bench.fail_writes(&held())?;
    let mut sync = bench.begin_sync("a").await?;
    bench.until_held(&mut sync).await?;
    bench
        .write_memo("a", &key(1), "edited while the push ran")
        .await?;
    bench.dev.faults.clear();
    let _ = sync.done().await?;
    bench.settle("a", "W2").await?;
    let why = "a memo that was pushed was edited before the answer came";
    bench
        .memo_is(&key(1), "edited while the push ran", "W2", why)
        .await?;
    bench.agree("a", "W4").await
}

fn held() -> Fault {
    Fault {
        hold: true,
        ..Fault::default()
    }
}

async fn late_push(bench: &mut Bench) -> Done {
    bench.open("a").await?;
    bench.open("b").await?;
    bench.write_memo("a", &key(1), "written on the train").await?;
    let later = memo(2, "written later, and synced at once", bench.now() + MINUTE);
    bench.peer.write("memo", &[later]).await?;
    bench.settle("b", "P3").await?;
    bench.settle("a", "S1").await?;
    bench.settle("b", "P3").await?;
    bench
        .memo_is(&key(1), "written on the train", "S1", "an edit was pushed late")
        .await?;
    bench.agree("b", "S1").await?;
    bench.agree("a", "P3").await
}

async fn clock_hours_off(bench: &mut Bench) -> Done {
    bench.open("ahead").await?;
    bench.set_clock(3 * HOUR).await?;
    bench.write_memo("ahead", &key(1), "from the future").await?;
    bench.settle("ahead", "W6").await?;
    let why = "the clock of its device is three hours ahead";
    bench.memo_is(&key(1), "from the future", "W6", why).await?;
    let theirs = memo(1, "edited a minute later", bench.now() + MINUTE);
    bench.peer.write("memo", &[theirs]).await?;
    // Pulled before it is edited: no pull brings it again.
    bench.settle("ahead", "W6").await?;
    bench
        .write_memo("ahead", &key(1), "edited when it was there")
        .await?;
    bench.settle("ahead", "W6").await?;
    // Who wins is the client's to say: an edit may be later than what it edits, whatever the clock says (W2).
    bench.agree("ahead", "W4").await?;

    let why = "the clock of its device is three hours slow";
    bench.set_clock(-3 * HOUR).await?;
    bench.open("slow").await?;
    let theirs = memo(2, "edited a minute ago", bench.now() - MINUTE);
    bench.peer.write("memo", &[theirs]).await?;
    bench.settle("slow", "W6").await?;
    bench.write_memo("slow", &key(2), "edited just now").await?;
    bench.settle("slow", "W6").await?;
    bench.memo_is(&key(2), "edited just now", "W6", why).await?;
    bench.agree("slow", "W6").await
}

async fn clock_put_right(bench: &mut Bench) -> Done {
    bench.open("a").await?;
    bench.set_clock(DAY).await?;
    bench.write_memo("a", &key(1), "a day ahead").await?;
    bench.set_clock(0).await?;
    bench.settle("a", "W6").await?;
    let why = "it was written by a clock a day ahead, which is right now";
    bench.memo_is(&key(1), "a day ahead", "W6", why).await?;
    bench.agree("a", "W6").await?;
    bench
        .write_memo("a", &key(1), "edited once the clock was right")
        .await?;
    bench.settle("a", "W2").await?;
    bench
        .memo_is(&key(1), "edited once the clock was right", "W2", why)
        .await?;

    bench.set_clock(DAY).await?;
    bench.write_memo("a", &key(2), "a day ahead").await?;
    bench.set_clock(0).await?;
    bench.fail_writes(&held())?;
    let mut sync = bench.begin_sync("a").await?;
    bench.until_held(&mut sync).await?;
    bench
        .write_memo("a", &key(2), "edited while the push ran")
        .await?;
    bench.dev.faults.clear();
    let _ = sync.done().await?;
    bench.settle("a", "W2").await?;
    bench
        .memo_is(&key(2), "edited while the push ran", "W2", why)
        .await
}

async fn page_edges(bench: &mut Bench) -> Done {
    bench.open("a").await?;
    let mut number = 0;
    for many in [199, 200, 201] {
        let at = bench.now();
        let memos = (0..many).map(|one| memo(number + one, &format!("{one} of {many}"), at));
        bench.peer.write("memo", &memos.collect::<Vec<_>>()).await?;
        number += many;
        bench.settle("a", "P1").await?;
        let missing = number.saturating_sub(bench.records("a", "memo").await?.len());
        let say =
            || format!("{missing} of {many} new memos are not there after a sync: a page has at most 200");
        bench.check("P2", (missing > 0).then(say))?;
    }
    for one in 0..201 {
        bench
            .write_memo("a", &key(number + one), &format!("of the device, {one}"))
            .await?;
    }
    bench.settle("a", "B1").await?;
    bench.agree("a", "B1").await
}

async fn parent_after_child(bench: &mut Bench) -> Done {
    bench.open("a").await?;
    bench.open("b").await?;
    let (memo, resource) = (key(1), key(2));
    let fields = json!({"memoId": memo, "filename": "figs.txt", "mimeType": "text/plain", "fileSize": 4});
    bench.write("a", "resource", &resource, fields).await?;
    bench.write_memo("a", &memo, "the memo of the file").await?;
    bench.settle("a", "B2").await?;
    let why = "a resource was made before its memo";
    bench.memo_is(&memo, "the memo of the file", "W9", why).await?;
    // One that was pushed before its memo may go with the next sync.
    bench.settle("a", "B2").await?;
    let resources = bench.peer.records("resource").await?;
    let found = resources.get(&resource);
    bench.check(
        "B2",
        found.is_none().then(|| format!("{why}: it is not on the server")),
    )?;
    let is_detached = found.is_some_and(|found| found["memoId"] != memo);
    bench.check(
        "W9",
        is_detached.then(|| format!("{why}: it belongs to no memo on the server")),
    )?;
    bench.settle("b", "P5").await?;
    bench.agree("b", "P5").await?;
    bench.peer.delete("memo", &memo, bench.now() + MINUTE).await?;
    bench.settle("a", "P5").await?;
    bench.agree("a", "P5").await
}

async fn conflict(bench: &mut Bench) -> Done {
    bench.open("a").await?;
    let now = bench.now();
    let first = [1, 2].map(|number| memo(number, "first", now - 2 * MINUTE));
    bench.peer.write("memo", &first).await?;
    // Pulled before it is edited: no pull brings it again.
    bench
        .peer
        .write("memo", &[memo(3, "known, and later", now + MINUTE)])
        .await?;
    bench.settle("a", "P3").await?;
    for number in 1..=3 {
        bench.write_memo("a", &key(number), "of the device").await?;
    }
    let theirs = [memo(1, "later", now + MINUTE), memo(2, "earlier", now - MINUTE)];
    bench.peer.write("memo", &theirs).await?;
    bench.settle("a", "W4").await?;
    bench
        .memo_is(&key(1), "later", "W2", "the other device edited it later")
        .await?;
    bench
        .memo_is(
            &key(2),
            "of the device",
            "W2",
            "the other device edited it earlier",
        )
        .await?;
    bench.agree("a", "W4").await
}

async fn delete_against_edit(bench: &mut Bench) -> Done {
    bench.open("a").await?;
    let now = bench.now();
    let first = [1, 2, 3, 4].map(|number| memo(number, "first", now - 2 * MINUTE));
    bench.peer.write("memo", &first).await?;
    bench.settle("a", "P3").await?;
    bench.delete_memo("a", &key(1)).await?;
    bench
        .write_memo("a", &key(2), "edited before it was deleted")
        .await?;
    bench.delete_memo("a", &key(3)).await?;
    bench
        .write_memo("a", &key(4), "edited after it was deleted")
        .await?;
    let theirs = [
        memo(1, "edited after the delete", now + MINUTE),
        memo(3, "edited before it", now - MINUTE),
    ];
    bench.peer.write("memo", &theirs).await?;
    bench.peer.delete("memo", &key(2), now + MINUTE).await?;
    bench.peer.delete("memo", &key(4), now - MINUTE).await?;
    bench.settle("a", "W5").await?;
    let why = "it was deleted, and edited later elsewhere";
    bench
        .memo_is(&key(1), "edited after the delete", "W5", why)
        .await?;
    bench
        .memo_is_gone(&key(2), "W5", "it was deleted after it was edited here")
        .await?;
    bench
        .memo_is_gone(&key(3), "W5", "it was deleted here after it was edited elsewhere")
        .await?;
    let why = "it was edited here after it was deleted elsewhere";
    bench
        .memo_is(&key(4), "edited after it was deleted", "W5", why)
        .await?;
    bench.agree("a", "W5").await
}

async fn reset_keeps_edits(bench: &mut Bench) -> Done {
    bench.open("a").await?;
    let now = bench.now();
    bench
        .peer
        .write("memo", &[memo(1, "first", now - MINUTE)])
        .await?;
    bench.settle("a", "P3").await?;
    bench.back_up().await?;
    bench.set_back().await?;
    bench.fail("POST /sync/pull", held())?;
    let mut sync = bench.begin_sync("a").await?;
    bench.until_held(&mut sync).await?;
    // With a client that pushes first these meet the reset before they are pushed.
    bench.write_memo("a", &key(1), "edited meanwhile").await?;
    bench.write_memo("a", &key(2), "made meanwhile").await?;
    bench.dev.faults.clear();
    let _ = sync.done().await?;
    bench.settle("a", "R3").await?;
    let why = "the server was set back, and the device fetched everything again";
    bench.memo_is(&key(1), "edited meanwhile", "R3", why).await?;
    bench.memo_is(&key(2), "made meanwhile", "R3", why).await?;
    bench.agree("a", "R3").await
}

async fn epoch(bench: &mut Bench) -> Done {
    bench.open("a").await?;
    let now = bench.now();
    bench
        .peer
        .write("memo", &[memo(1, "as in the backup", now - 2 * MINUTE)])
        .await?;
    bench.settle("a", "P3").await?;
    bench.back_up().await?;
    bench
        .peer
        .write("memo", &[memo(1, "after the backup", now - MINUTE)])
        .await?;
    bench.write_memo("a", &key(2), "synced after the backup").await?;
    bench.settle("a", "P3").await?;
    bench.set_back().await?;
    // Its clock passes the device's cursors, which prove nothing then (R1).
    bench
        .peer
        .write("memo", &[memo(3, "after the restoration", bench.now())])
        .await?;
    bench.settle("a", "R2").await?;
    bench.agree("a", "R2").await
}

async fn expired_token(bench: &mut Bench) -> Done {
    bench.open("a").await?;
    bench.settle("a", "P3").await?;
    bench
        .peer
        .write("memo", &[memo(1, "to be pulled", bench.now())])
        .await?;
    bench.write_memo("a", &key(2), "to be pushed").await?;
    bench.fail(
        "POST /sync/pull",
        Fault {
            advance_ms: Some(2 * HOUR),
            ..Fault::default()
        },
    )?;
    // It may say that it failed, once.
    bench.settle("a", "L2").await?;
    let why = "the access token expired in the middle of a sync";
    bench.memo_is(&key(2), "to be pushed", "L2", why).await?;
    bench.agree("a", "L2").await
}

async fn rejected_record(bench: &mut Bench) -> Done {
    bench.open("a").await?;
    bench.settle("a", "P3").await?;
    bench
        .peer
        .write("memo", &[memo(1, "of the other device", bench.now())])
        .await?;
    let (bad, good) = (key(2), key(3));
    let fields = json!({"content": "with a tag that is too long", "tags": ["x".repeat(101)]});
    bench.write("a", "memo", &bad, fields.clone()).await?;
    bench.write_memo("a", &good, "beside it").await?;
    bench.settle("a", "B2").await?;
    let why = "a memo beside it was refused";
    bench.memo_is(&good, "beside it", "B2", why).await?;
    let here = bench.records("a", "memo").await?;
    let is_cut_off = !here.contains_key(&key(1));
    bench.check(
        "B2",
        is_cut_off.then(|| format!("{why}: what other devices wrote does not come any more")),
    )?;
    let is_kept = here
        .get(&bad)
        .is_some_and(|memo| memo["content"] == fields["content"]);
    let lost = "the memo that was refused is not as the person wrote it any more";
    bench.check("B2", (!is_kept).then(|| lost.to_owned()))?;
    let is_told = bench.rejected("a").await? == [bad.as_str()];
    let untold = "nobody is told of the memo that was refused, or of others";
    bench.check("B2", (!is_told).then(|| untold.to_owned()))?;
    let before = bench.dev.requests.last();
    bench.settle("a", "B2").await?;
    let is_sent = bench.sent(|one| one.id > before && one.method != "GET" && one.sent.shown().contains(&bad));
    let again = "the memo that was refused for good is sent again with every sync";
    bench.check("B2", is_sent.then(|| again.to_owned()))
}

async fn two_tabs(bench: &mut Bench) -> Done {
    bench.open("a").await?;
    bench.open_tab("a2", "a").await?;
    bench.write_memo("a", &key(1), "of a tab").await?;
    bench
        .peer
        .write("memo", &[memo(2, "of the other device", bench.now())])
        .await?;
    // One tab renews the login; what the other one had is spent two minutes later.
    bench.dev.clock.advance(2 * HOUR);
    bench.settle("a", "L2").await?;
    bench.dev.clock.advance(2 * MINUTE);
    bench.settle("a2", "L2").await?;
    // Both at once.
    bench.dev.clock.advance(2 * HOUR);
    let mut one = bench.begin_sync("a").await?;
    let mut other = bench.begin_sync("a2").await?;
    let _ = (one.done().await?, other.done().await?);
    bench.dev.clock.advance(2 * MINUTE);
    bench.settle("a", "L2").await?;
    bench.settle("a2", "L2").await?;
    bench.agree("a2", "L2").await
}
