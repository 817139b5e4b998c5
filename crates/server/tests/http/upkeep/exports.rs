//! `mosaic export` and `mosaic import`.

use std::path::PathBuf;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::harness::Client;
use crate::upkeep::support::{Place, fill, memo_id, on, on_both_stores, prepared, stop};

on_both_stores! {
    an_export_goes_into_another_account_and_back_and_again_without_a_change
    an_import_that_is_refused_in_part_says_so
}

impl Place {
    fn file(&self, name: &str) -> PathBuf {
        self.data.path().join(name)
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.file(name)).unwrap()
    }

    /// What an account holds, without whose it is and when it was asked.
    fn exported(&self, user: &str) -> Vec<String> {
        let export = self.mosaic(&["export", "--user", user]).done();
        let lines: Vec<String> = export.lines().map(str::to_owned).collect();
        lines[1..lines.len() - 1].to_vec()
    }

    fn import(&self, user: &str, file: &str) -> crate::upkeep::support::Ended {
        self.mosaic(&["import", "--user", user, file])
    }
}

/// The four counts that an import prints.
fn counts(said: &str) -> [u64; 4] {
    let line = said.lines().last().unwrap();
    ["applied", "unchanged", "superseded", "refused"].map(|what| {
        let before = &line[..line.find(&format!(" {what}")).expect(what)];
        before.rsplit(' ').next().unwrap().parse().unwrap()
    })
}

/// Everything of an export but what differs from account to account: stamps, places in history, revision ids.
fn contents(export: &[String]) -> Vec<Value> {
    let mut lines: Vec<Value> = export
        .iter()
        .map(|line| {
            let mut line: Value = serde_json::from_str(line).unwrap();
            let fields = line.as_object_mut().unwrap().values_mut().next().unwrap();
            for of_the_account in ["stamp", "recordedAt", "id", "number"] {
                fields.as_object_mut().unwrap().remove(of_the_account);
            }
            line
        })
        .collect();
    lines.sort_by_key(ToString::to_string);
    lines
}

async fn records(client: &Client) -> Vec<Value> {
    client.everything().await.records.into_values().collect()
}

async fn an_export_goes_into_another_account_and_back_and_again_without_a_change(place: Place) {
    let server = place.start();
    let admin = server.device("phone").await;
    fill(&admin).await;
    let anna = server.new_user("anna", "phone").await;
    let before = records(&admin).await;
    stop(server);

    let said = place
        .mosaic(&["export", "--user", "admin", "--output", "admin.jsonl"])
        .done();
    let file = place.read("admin.jsonl");
    assert!(
        said.contains(&format!("admin.jsonl: {} lines", file.lines().count())),
        "{said}"
    );
    assert_private(&place.file("admin.jsonl"));
    let original = place.exported("admin");
    let said = place.import("anna", "admin.jsonl").done();
    let [applied, unchanged, _, refused] = counts(&said);
    assert!(applied > 0 && unchanged == 0 && refused == 0, "{said}");
    let copied = place.exported("anna");
    assert_eq!(contents(&copied), contents(&original));

    // Again, and back into where it came from: nothing is applied, and not a stamp moves.
    assert_eq!(counts(&place.import("anna", "admin.jsonl").done())[0], 0);
    assert_eq!(place.exported("anna"), copied);
    place
        .mosaic(&["export", "--user", "anna", "--output", "anna.jsonl"])
        .done();
    assert_eq!(counts(&place.import("admin", "anna.jsonl").done())[0], 0);
    assert_eq!(place.exported("admin"), original);

    let server = place.start();
    assert_eq!(records(&on(&server, &admin)).await, before);
    assert_eq!(records(&on(&server, &anna)).await, before);
    stop(server);
    place.remove().await;
}

fn assert_private(path: &std::path::Path) {
    use std::os::unix::fs::PermissionsExt;
    assert_eq!(
        std::fs::metadata(path).unwrap().permissions().mode() & 0o777,
        0o600
    );
}

/// A resource whose memo is not in the file, nor in the account.
async fn an_import_that_is_refused_in_part_says_so(place: Place) {
    let server = place.start();
    let admin = server.device("phone").await;
    admin
        .post("/memos", &json!({"id": memo_id(0), "content": "memo"}))
        .await
        .ok();
    admin.post("/memos", &json!({"content": "another"})).await.ok();
    let resource = json!({"memoId": memo_id(0), "filename": "a.png", "mimeType": "image/png", "fileSize": 1});
    admin.post("/resources", &resource).await.ok();
    server.new_user("anna", "phone").await;
    stop(server);
    let export = place.mosaic(&["export", "--user", "admin"]).done();
    let key = format!("\"key\":\"{}\"", memo_id(0));
    let kept: Vec<&str> = export.lines().filter(|line| !line.contains(&key)).collect();
    std::fs::write(place.file("part.jsonl"), sealed(&kept[..kept.len() - 1])).unwrap();
    let ended = place.import("anna", "part.jsonl");
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert_eq!(counts(&ended.out), [1, 0, 0, 1], "{ended:?}");
    assert!(ended.err.contains("refused: 1 edit;"), "{ended:?}");
    place.remove().await;
}

/// These lines, with the last line that belongs to them.
fn sealed(lines: &[&str]) -> String {
    let text = lines.join("\n") + "\n";
    let hash = Sha256::digest(&text)
        .iter()
        .fold(String::new(), |hash, byte| hash + &format!("{byte:02x}"));
    let end = json!({"end": {"records": lines.len() - 1, "revisions": 0, "sha256": hash}});
    format!("{text}{end}\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_whole_export_is_refused_and_nothing_of_it_is_imported() {
    let place = Place::embedded();
    let server = place.start();
    fill(&server.device("phone").await).await;
    server.new_user("anna", "phone").await;
    stop(server);
    place
        .mosaic(&["export", "--user", "admin", "--output", "admin.jsonl"])
        .done();
    let whole = std::fs::read(place.file("admin.jsonl")).unwrap();
    let text = place.read("admin.jsonl");
    let with = |from: &str, to: &str| {
        assert!(text.contains(from), "{from}");
        text.replacen(from, to, 1).into_bytes()
    };
    let without = |number: usize| {
        let lines = text.split_inclusive('\n').enumerate();
        let kept: String = lines
            .filter(|(n, _)| *n != number)
            .map(|(_, line)| line)
            .collect();
        kept.into_bytes()
    };
    let mut no_text = whole.clone();
    no_text[whole.len() / 2] = 0xff;
    let cases = [
        ("half", whole[..whole.len() / 2].to_vec(), "cut short"),
        (
            "all but the last byte but one",
            whole[..whole.len() - 2].to_vec(),
            "cut short",
        ),
        ("without its end", without(text.lines().count() - 1), "cut short"),
        (
            "a letter",
            with("\"changed\"", "\"chanced\""),
            "changed or damaged",
        ),
        ("without a line", without(2), "changed or damaged"),
        (
            "twice",
            [whole.clone(), whole.clone()].concat(),
            "changed or damaged",
        ),
        (
            "carriage returns",
            text.replace('\n', "\r\n").into_bytes(),
            "changed or damaged",
        ),
        (
            "a line that is none",
            with("{\"record\":", "{\"recrod\":"),
            "line 2",
        ),
        ("no text", no_text, "not UTF-8"),
        (
            "foreign",
            b"dear diary\n".to_vec(),
            "no export of a Mosaic server",
        ),
        (
            "other JSON",
            b"{\"notes\": []}\n".to_vec(),
            "no export of a Mosaic server",
        ),
        (
            "binary",
            vec![0x1f, 0x8b, 0x08, 0x00],
            "no export of a Mosaic server",
        ),
        ("empty", Vec::new(), "no export of a Mosaic server"),
        ("newer", with("\"version\":1", "\"version\":2"), "version 2"),
    ];
    for (what, bytes, why) in cases {
        std::fs::write(place.file("wrong.jsonl"), bytes).unwrap();
        let said = place.import("anna", "wrong.jsonl").failed();
        assert!(
            said.contains("wrong.jsonl") && said.contains(why) && said.contains("Nothing was imported"),
            "{what}: {said}"
        );
    }
    assert!(place.exported("anna").is_empty());
    for (file, why) in [("missing.jsonl", "missing.jsonl"), (".", "is no file")] {
        let said = place.import("anna", file).failed();
        assert!(said.contains(why), "{said}");
    }
    let nobody = place.import("nobody", "admin.jsonl").failed();
    assert!(nobody.contains("`mosaic user add nobody`"), "{nobody}");
}

#[test]
fn an_export_overwrites_nothing_and_leaves_nothing_half_done() {
    let place = Place::embedded();
    prepared(&place);
    std::fs::write(place.file("there.jsonl"), "something").unwrap();
    let exists = place
        .mosaic(&["export", "--user", "admin", "--output", "there.jsonl"])
        .failed();
    assert!(exists.contains("there.jsonl: exists already"), "{exists}");
    assert_eq!(place.read("there.jsonl"), "something");
    let unknown = place
        .mosaic(&["export", "--user", "nobody", "--output", "new.jsonl"])
        .failed();
    assert!(unknown.contains("there is no user nobody"), "{unknown}");
    let folder = place
        .mosaic(&["export", "--user", "admin", "--output", "missing/new.jsonl"])
        .failed();
    assert!(
        folder.contains("missing/new.jsonl: can not be written"),
        "{folder}"
    );
    let mut names: Vec<_> = std::fs::read_dir(place.data.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    names.sort();
    assert_eq!(names, ["mosaic-data", "there.jsonl"]);
}
