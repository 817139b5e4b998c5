//! Attachments and the commands: `mosaic doctor`, what a purge removes, what goes with an account, and what a restored
//! store does not know.

mod away;
mod bundles;

use std::fs::{self, File};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use mosaic_domain::lease::{ClaimOutcome, JobClaim};
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::files::{Folder, Form, bytes_of, file, noise};
use crate::harness::{ADMIN_PASSWORD, Client, Server};
use crate::upkeep::support::{Place, fill, now, on, on_both_stores, prepared, stop};

on_both_stores! {
    where_everything_is_as_it_should_be_the_doctor_says_so
    what_is_lost_or_damaged_is_found_and_healed_by_another_upload
    what_nobody_needs_is_found_and_goes_with_a_purge
    files_go_with_the_last_record_that_names_them
    an_upload_that_nobody_finishes_is_given_up
    the_files_of_an_account_go_with_it
    after_a_new_epoch_nothing_is_purged_for_a_week
}

/// More than a block of any file system.
const SIZE: usize = 100_000;
const DAY_MS: i64 = 24 * 3_600_000;
/// Longer ago than anything is kept.
const LONG_MS: i64 = 100 * DAY_MS;

/// Uploads such bytes as a resource of its own.
async fn upload(client: &Client, seed: u64) -> Value {
    let form = file("a.bin", "application/octet-stream", &noise(seed, SIZE));
    client.upload(form).await.ok()
}

fn id_of(resource: &Value) -> &str {
    resource["id"].as_str().unwrap()
}

/// How many bytes the blobs of a folder have together.
fn total(folder: &Folder) -> u64 {
    let sizes = folder
        .blobs()
        .into_iter()
        .map(|path| fs::metadata(path).unwrap().len());
    sizes.sum()
}

/// The file that has these bytes.
fn holding(folder: &Folder, bytes: &[u8]) -> PathBuf {
    let mut found = folder.blobs();
    found.retain(|path| fs::read(path).unwrap() == bytes);
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0)
}

/// Makes a file as old as if it had been written long ago.
fn age_file(path: &PathBuf) {
    let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(1_600_000_000);
    let file = File::options().write(true).open(path).unwrap();
    file.set_modified(long_ago).unwrap();
}

/// Moves everything that the store has into the past: what was written, deleted, overwritten, brought and begun.
async fn age(place: &Place) {
    let sql = format!(
        "UPDATE records SET stamp = stamp - {LONG_MS};
         UPDATE revisions SET recorded_at = recorded_at - {LONG_MS};
         UPDATE contents SET touched_at = touched_at - {LONG_MS};
         UPDATE avatars SET created_at = created_at - {LONG_MS};
         UPDATE uploads SET expires_at = expires_at - {LONG_MS};"
    );
    place.execute(&sql).await;
    for path in Folder::of(&place.data).blobs() {
        age_file(&path);
    }
}

/// Runs the doctor, which changes nothing.
fn doctor(place: &Place, args: &[&str]) -> (Option<i32>, String, String) {
    let folder = Folder::of(&place.data);
    let before = folder.blobs();
    let ended = place.mosaic(&[&["doctor"][..], args].concat());
    assert_eq!(folder.blobs(), before);
    (ended.code, ended.out, ended.err)
}

/// The lines of what a doctor that found no loss printed.
#[track_caller]
fn healthy(place: &Place, args: &[&str]) -> Vec<String> {
    let (code, out, err) = doctor(place, args);
    assert_eq!(code, Some(0), "{out}{err}");
    out.lines().map(str::to_owned).collect()
}

/// The lines of what a doctor that found a loss printed.
#[track_caller]
fn ill(place: &Place, args: &[&str], losses: usize) -> Vec<String> {
    let (code, out, err) = doctor(place, args);
    assert_eq!(code, Some(1), "{out}{err}");
    assert!(
        err.contains(&format!("lost, damaged or unreadable: {losses}")),
        "{err}"
    );
    out.lines().map(str::to_owned).collect()
}

async fn where_everything_is_as_it_should_be_the_doctor_says_so(place: Place) {
    let server = place.start();
    let client = server.device("phone").await;
    fill(&client).await;
    upload(&client, 1).await;
    upload(&client, 1).await;
    upload(&client, 2).await;
    assert_eq!(
        healthy(&place, &[]),
        ["2 attachments of 1 account, 195.3 KiB read: all as they should be."]
    );
    assert_eq!(
        healthy(&place, &["--quick"]),
        ["2 attachments of 1 account, not read: all as they should be."]
    );
    stop(server);
    place.remove().await;
}

async fn what_is_lost_or_damaged_is_found_and_healed_by_another_upload(place: Place) {
    let folder = Folder::of(&place.data);
    let server = place.start();
    let client = server.device("phone").await;
    let (lost, damaged) = (upload(&client, 1).await, upload(&client, 2).await);
    upload(&client, 3).await;
    stop(server);
    let (lost_file, damaged_file) = (
        holding(&folder, &noise(1, SIZE)),
        holding(&folder, &noise(2, SIZE)),
    );
    fs::remove_file(&lost_file).unwrap();
    let mut bytes = fs::read(&damaged_file).unwrap();
    bytes[SIZE / 2] ^= 1;
    fs::remove_file(&damaged_file).unwrap();
    fs::write(&damaged_file, bytes).unwrap();

    let found = ill(&place, &[], 2);
    let about = |what: &str, resource: &Value, path: &PathBuf| {
        let (hash, name) = (resource["sha256"].as_str().unwrap(), path.file_name().unwrap());
        let is_it = |line: &String| {
            line.starts_with(what) && line.contains(hash) && line.contains(name.to_str().unwrap())
        };
        let line = found.iter().find(|line| is_it(line));
        assert!(
            line.is_some_and(|line| line.contains("of admin (")),
            "{what} in {found:?}"
        );
    };
    about("lost: ", &lost, &lost_file);
    about("damaged: ", &damaged, &damaged_file);
    assert_eq!(found.len(), 3, "{found:?}");
    // Who looks at sizes alone does not see it.
    let quick = ill(&place, &["--quick"], 1);
    assert!(quick.len() == 2 && quick[0].starts_with("lost: "), "{quick:?}");

    fs::remove_file(&damaged_file).unwrap();
    let server = place.start();
    let client = on(&server, &client);
    let gone = client.download(&bytes_of(&lost)).await;
    assert_eq!(gone.status, 404, "{}", String::from_utf8_lossy(&gone.bytes));
    for (resource, seed) in [(&lost, 1), (&damaged, 2)] {
        let form = Form::new().field("id", id_of(resource));
        let form = form.file("a.bin", "application/octet-stream", &noise(seed, SIZE));
        client.upload(form).await.ok();
        let again = client.download(&bytes_of(resource)).await.whole();
        assert_eq!(again, noise(seed, SIZE));
    }
    stop(server);
    assert_eq!(healthy(&place, &[]).len(), 1);
    place.remove().await;
}

async fn what_nobody_needs_is_found_and_goes_with_a_purge(place: Place) {
    let folder = Folder::of(&place.data);
    let server = place.start();
    upload(&server.device("phone").await, 1).await;
    stop(server);
    let needed = folder.blobs();
    let of_admin = needed[0].parent().unwrap().parent().unwrap();
    let stray = |folder: PathBuf, n: u128| {
        let id = Uuid::from_u128(n).to_string();
        let path = folder.join(&id[..4]).join(id);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, "left behind").unwrap();
        path
    };
    let killed = stray(of_admin.to_owned(), 7);
    let nobody = of_admin.parent().unwrap().join(Uuid::max().to_string());
    let foreign = stray(nobody, 8);
    age_file(&foreign);
    // Is nobody's business.
    fs::write(of_admin.join("notes.txt"), "from the operator").unwrap();

    let found = healthy(&place, &[]);
    assert!(
        found[0].contains(&Uuid::from_u128(7).to_string()) && found[0].contains("may be on the way"),
        "{found:?}"
    );
    assert!(
        found[1].starts_with("unknown: 1 file of the account ffffffff-ffff"),
        "{found:?}"
    );
    assert!(
        found[2].ends_with("none is lost or damaged, and 2 findings besides."),
        "{found:?}"
    );
    let purged = place.mosaic(&["purge"]).done();
    assert!(purged.contains("and 0 files"), "{purged}");

    age_file(&killed);
    let found = healthy(&place, &["--quick"]);
    assert!(found[0].contains("The next purge removes it"), "{found:?}");
    let purged = place.mosaic(&["purge"]).done();
    assert!(purged.contains("and 1 file of"), "{purged}");
    assert!(!killed.exists() && foreign.exists() && needed[0].exists());
    assert_eq!(healthy(&place, &[]).len(), 2);
    place.remove().await;
}

async fn files_go_with_the_last_record_that_names_them(place: Place) {
    let folder = Folder::of(&place.data);
    let server = place.start();
    let client = server.device("phone").await;
    let (first, second) = (upload(&client, 1).await, upload(&client, 1).await);
    let alone = upload(&client, 2).await;
    for resource in [&first, &alone] {
        client
            .delete(&format!("/resources/{}", id_of(resource)))
            .await
            .ok();
    }
    stop(server);
    folder
        .assert_holds(2, "two uploads of the same bytes and one of others")
        .await;
    let before = total(&folder);
    age(&place).await;
    // What is kept for ever is kept whole: the deleted records can still be brought back.
    let never = place.mosaic(&["purge", "--retention-days", "0"]).done();
    assert!(
        never.contains("the content of 0 deleted records and 0 files"),
        "{never}"
    );
    let young = place.mosaic(&["purge", "--retention-days", "365"]).done();
    assert!(young.contains("and 0 files"), "{young}");
    assert_eq!(total(&folder), before);

    let done = place.mosaic(&["purge"]).done();
    assert!(
        done.contains("the content of 2 deleted records and 1 file of"),
        "{done}"
    );
    assert_eq!(total(&folder), before - SIZE as u64);
    assert_eq!(healthy(&place, &[]).len(), 1);
    let server = place.start();
    let client = on(&server, &client);
    let kept = client.download(&bytes_of(&second)).await.whole();
    assert_eq!(kept, noise(1, SIZE));

    client
        .delete(&format!("/resources/{}", id_of(&second)))
        .await
        .ok();
    stop(server);
    age(&place).await;
    place.mosaic(&["purge"]).done();
    assert_eq!(folder.blobs(), Vec::<PathBuf>::new());
    place.remove().await;
}

async fn an_upload_that_nobody_finishes_is_given_up(place: Place) {
    let folder = Folder::of(&place.data);
    let server = place.start();
    let client = server.device("phone").await;
    let tus = |method: &str, path: &str| {
        let method = method.parse::<Method>().unwrap();
        client.request(method, path).header("tus-resumable", "1.0.0")
    };
    let request = tus("POST", "/uploads")
        .header("upload-length", SIZE)
        .header("upload-metadata", "filename YS5iaW4=");
    let begun = client.send(request).await;
    let address = begun.headers["location"].to_str().unwrap().to_owned();
    let path = address.strip_prefix(&client.url).unwrap_or(&address);
    begun.ok();
    let part = tus("PATCH", path)
        .header("upload-offset", 0)
        .header("content-type", "application/offset+octet-stream")
        .body(noise(1, SIZE / 2));
    client.send(part).await.ok();
    stop(server);
    folder.assert_holds(1, "half an upload").await;
    let purged = place.mosaic(&["purge"]).done();
    assert!(purged.contains("and 0 files"), "{purged}");
    assert_eq!(healthy(&place, &[]).len(), 1, "it may go on");

    age(&place).await;
    // Whatever is kept for ever, this is not.
    let purged = place.mosaic(&["purge", "--retention-days", "0"]).done();
    assert!(purged.contains("and 1 file of"), "{purged}");
    assert_eq!(folder.blobs(), Vec::<PathBuf>::new());
    place.remove().await;
}

async fn the_files_of_an_account_go_with_it(place: Place) {
    let folder = Folder::of(&place.data);
    let server = place.start();
    let admin = server.device("laptop").await;
    let kept = upload(&admin, 1).await;
    let mut ids = Vec::new();
    for name in ["anna", "ben"] {
        let client = server.new_user(name, "phone").await;
        upload(&client, 1).await;
        upload(&client, 2).await;
        let me = client.get("/auth/me").await.ok();
        ids.push(me["id"].as_str().unwrap().to_owned());
    }
    folder.assert_holds(5, "the uploads of three").await;
    // Where the server removes an account, its files go with the next purge.
    admin.delete(&format!("/admin/users/{}", ids[1])).await.ok();
    stop(server);
    let found = healthy(&place, &[]);
    assert!(
        found[0].starts_with("not needed: 2 files") && found[0].contains(&ids[1]),
        "{found:?}"
    );
    let purged = place.mosaic(&["purge"]).done();
    assert!(purged.contains("and 2 files"), "{purged}");
    folder.assert_holds(3, "a purge").await;

    let said = place.mosaic(&["user", "delete", "anna", "--yes"]).done();
    assert_eq!(said, "anna is removed, with everything in it.\n");
    folder.assert_holds(1, "a removal by the command").await;
    assert_eq!(healthy(&place, &[]).len(), 1);
    let server = place.start();
    let admin = server.login("admin", ADMIN_PASSWORD, "laptop").await;
    assert_eq!(admin.download(&bytes_of(&kept)).await.whole(), noise(1, SIZE));
    stop(server);
    place.remove().await;
}

/// What a server would be told that looks whether a purge is due, so many days from now.
async fn purge_in(place: &Place, days: i64) -> ClaimOutcome {
    let open = place.open().await;
    let (jobs, holder) = (open.ports().jobs, Uuid::from_u128(7));
    let then = now().plus(days * DAY_MS);
    let claim = JobClaim {
        job: "purge",
        holder,
        now: then,
        until: then.plus(1),
        unless_done_since: Some(then.plus(-23 * 3_600_000)),
    };
    let outcome = jobs.claim(claim).await.unwrap();
    jobs.release("purge", holder, None).await.unwrap();
    open.close().await;
    outcome
}

async fn after_a_new_epoch_nothing_is_purged_for_a_week(place: Place) {
    prepared(&place);
    assert_eq!(purge_in(&place, 0).await, ClaimOutcome::Claimed);
    let said = place.mosaic(&["epoch", "renew"]).done();
    assert!(said.contains("For 7 days"), "{said}");
    for (days, outcome) in [
        (0, ClaimOutcome::Done),
        (7, ClaimOutcome::Done),
        (8, ClaimOutcome::Claimed),
    ] {
        assert_eq!(purge_in(&place, days).await, outcome, "{days}");
    }
    // Whoever asks for one gets it.
    assert!(place.mosaic(&["purge"]).done().starts_with("Purged: "));
    assert_eq!(purge_in(&place, 1).await, ClaimOutcome::Claimed);
    place.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_restored_store_does_not_know_is_kept_for_a_week() {
    let place = Place::embedded();
    let folder = Folder::of(&place.data);
    let server = place.start();
    let client = server.device("phone").await;
    let before = upload(&client, 1).await;
    place.mosaic(&["backup", "saved.db"]).done();
    upload(&client, 2).await;
    stop(server);
    age(&place).await;
    let said = place.mosaic(&["restore", "saved.db", "--yes"]).done();
    assert!(
        said.contains("For 7 days") && said.contains("`mosaic doctor`"),
        "{said}"
    );
    let found = healthy(&place, &[]);
    assert!(found[0].starts_with("not needed: the file "), "{found:?}");
    assert_eq!(purge_in(&place, 7).await, ClaimOutcome::Done);
    assert_eq!(purge_in(&place, 8).await, ClaimOutcome::Claimed);
    folder.assert_holds(2, "a restore").await;

    place.mosaic(&["purge"]).done();
    folder.assert_holds(1, "a purge that somebody wanted").await;
    let server = place.start();
    let client = on(&server, &client);
    let kept = client.download(&bytes_of(&before)).await.whole();
    assert_eq!(kept, noise(1, SIZE));
    stop(server);
}
