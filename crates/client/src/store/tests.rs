use mosaic_domain::entity::{Diary, Memo, Resource};
use mosaic_domain::text::{Tags, Text};
use mosaic_domain::{EntityType, MemoId, RecordKey, ResourceId, UnixMillis};
use serde_json::{Value, json};
use uuid::Uuid;

use super::pages::Place;
use super::{Edit, Store, Verdict};
use crate::record::SyncState;
use crate::wire::{Object, Page, PushAnswer};

const NOW: i64 = 1_715_000_000_000;

fn store() -> Store {
    Store::over(rusqlite::Connection::open_in_memory().unwrap()).unwrap()
}

fn at(ms: i64) -> UnixMillis {
    UnixMillis::clamped(NOW + ms)
}

fn id(n: u128) -> MemoId {
    MemoId::new(Uuid::from_u128(n))
}

fn memo(text: &str) -> Memo {
    Memo {
        content: Text::new(text.into()).unwrap(),
        ..Memo::default()
    }
}

impl Store {
    fn write_memo(&self, n: u128, text: &str, ms: i64) {
        self.put(id(n), &memo(text), at(ms)).unwrap();
    }

    fn retype(&self, n: u128, text: &str, ms: i64) {
        let text = Text::new(text.into()).unwrap();
        self.edit::<Memo>(id(n), |memo| memo.content = text, at(ms))
            .unwrap();
    }

    fn text(&self, n: u128) -> Option<String> {
        let found = self.visible::<Memo>(Some(id(n))).unwrap().pop();
        found.map(|memo| memo.content.content.as_str().to_owned())
    }

    /// All that would be sent now, in one piece.
    fn unsent(&self) -> Vec<Edit> {
        self.batches().unwrap().next(self).unwrap()
    }

    /// Takes a page with these changes, where nothing else is said of it.
    fn take_changes(&self, changes: &Value, more: &Value) -> Option<usize> {
        self.try_to_take(changes, more).unwrap()
    }

    fn try_to_take(&self, changes: &Value, more: &Value) -> crate::Result<Option<usize>> {
        let cursors = |value: Value| EntityType::ALL.map(|entity| (entity.name(), value.clone()));
        let mut page = json!({
            "cursors": Object::from_iter(cursors(json!(NOW + 500)).map(|(name, cursor)| (name.to_owned(), cursor))),
            "changes": changes,
            "hasMore": Object::from_iter(cursors(json!(false)).map(|(name, more)| (name.to_owned(), more))),
            "serverTime": NOW,
            "epoch": Uuid::from_u128(1),
        });
        page.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        let page: Page = serde_json::from_value(page).unwrap();
        self.take_page(&self.place()?, &page, at(0))
    }

    fn settle_as(&self, edit: Edit, verdict: Verdict, clock: i64) -> super::Settled {
        let answer =
            json!({"results": {}, "clock": NOW + clock, "clockBefore": NOW + 500, "serverTime": NOW});
        let answer: PushAnswer = serde_json::from_value(answer).unwrap();
        self.settle(vec![(edit, verdict)], &answer, at(0)).unwrap()
    }
}

fn on_server(n: u128, text: &str, ms: i64) -> Value {
    json!({"id": id(n), "content": text, "tags": ["green"], "isArchived": false, "isDeleted": false, "diaryDate": null,
           "aiSummary": null, "createdAt": NOW, "updatedAt": NOW + ms, "revisionCount": 1, "unheardOf": [1]})
}

fn updated(records: &[Value]) -> Value {
    json!({"memo": {"updated": records, "deletedIds": []}})
}

fn deleted(n: u128) -> Value {
    json!({"memo": {"updated": [], "deletedIds": [id(n)]}})
}

fn said(record: &Value) -> Verdict {
    Verdict::Record(record.as_object().cloned())
}

#[test]
fn w1_w2_an_edit_is_later_than_what_it_edits() {
    let store = store();
    store.take_changes(&updated(&[on_server(1, "from a clock ahead", 9_000)]), &json!({}));
    store.write_memo(1, "edited", 10);
    assert_eq!(store.unsent()[0].body["updatedAt"], NOW + 9_001);
    store.write_memo(1, "edited again", 20);
    assert_eq!(store.unsent()[0].body["updatedAt"], NOW + 9_002);
    // What came below the edit is seen, and edited, too.
    store.take_changes(&updated(&[on_server(1, "from elsewhere", 9_500)]), &json!({}));
    store.write_memo(1, "edited once more", 30);
    assert_eq!(store.unsent()[0].body["updatedAt"], NOW + 9_501);
    store.delete(id(1).into(), at(40)).unwrap();
    assert_eq!(store.unsent()[0].body["updatedAt"], NOW + 9_502);
}

#[test]
fn w6_an_edit_is_later_than_what_it_edits_once_the_server_has_shifted_it() {
    let store = store();
    // The server's clock is an hour ahead of this one.
    let hour = 3_600_000;
    store.take_changes(
        &updated(&[on_server(1, "there", hour)]),
        &json!({"serverTime": NOW + hour}),
    );
    store.write_memo(1, "here", 5_000);
    assert_eq!(store.unsent()[0].body["updatedAt"], NOW + 5_000);
}

#[test]
fn w2_w6_an_edit_by_a_clock_a_day_ahead_gets_the_time_of_now_or_later_than_what_it_edits_and_once() {
    let store = store();
    store.take_changes(&updated(&[on_server(1, "from a clock ahead", 9_000)]), &json!({}));
    store.write_memo(1, "in a day", 86_400_000);
    for sent_again in [true, false] {
        let problem = serde_json::from_value(json!({"code": "edit_time_ahead", "message": ""})).unwrap();
        let (edit, retryable) = (store.unsent().remove(0), true);
        let settled = store.settle_as(edit, Verdict::Rejected { problem, retryable }, 500);
        assert_eq!(settled.again, sent_again);
        assert_eq!(store.unsent()[0].body["updatedAt"], NOW + 9_001);
    }
}

#[test]
fn w7_an_edit_names_what_it_changes_and_all_where_the_server_has_nothing() {
    let store = store();
    store.write_memo(1, "new", 0);
    assert_eq!(
        store.unsent()[0].body["tags"],
        json!([]),
        "a new record is sent whole"
    );
    store.take_changes(&updated(&[on_server(2, "there", 0)]), &json!({}));
    store
        .edit::<Memo>(id(2), |memo| memo.is_archived = true, at(1))
        .unwrap();
    let edit = store.unsent().pop().unwrap();
    let named = json!({"id": id(2), "updatedAt": NOW + 1, "isArchived": true});
    assert_eq!(Value::Object(edit.body), named);
    store.retype(2, "typed", 2);
    let edit = store.unsent().pop().unwrap();
    let named = json!({"id": id(2), "updatedAt": NOW + 2, "isArchived": true, "content": "typed"});
    assert_eq!(Value::Object(edit.body), named, "both are one edit");
    // It is deleted there: what the edit leaves out can't be completed any more.
    store.take_changes(&deleted(2), &json!({}));
    let whole = store.unsent().pop().unwrap().body;
    assert_eq!(
        (&whole["tags"], &whole["content"]),
        (&json!(["green"]), &json!("typed"))
    );
    assert_eq!(
        whole["unheardOf"],
        json!([1]),
        "what this version does not know is kept"
    );
}

#[test]
fn what_is_so_already_is_no_edit() {
    let store = store();
    store.take_changes(&updated(&[on_server(1, "there", 0)]), &json!({}));
    store.retype(1, "there", 1);
    assert_eq!(store.waiting().unwrap(), 0);
}

#[test]
fn w5_a_pulled_delete_or_update_removes_no_edit_that_is_not_settled() {
    let store = store();
    store.take_changes(
        &updated(&[on_server(1, "first", 0), on_server(2, "first", 0)]),
        &json!({}),
    );
    store.write_memo(1, "typed on the train", 1);
    store.take_changes(&updated(&[on_server(1, "from elsewhere", 2)]), &json!({}));
    assert_eq!(store.text(1).unwrap(), "typed on the train");
    store.take_changes(&deleted(1), &json!({}));
    assert_eq!(store.text(1).unwrap(), "typed on the train");
    store.delete(id(2).into(), at(1)).unwrap();
    store.take_changes(&updated(&[on_server(2, "from elsewhere", 2)]), &json!({}));
    assert_eq!(store.text(2), None);
    assert_eq!(store.waiting().unwrap(), 2);
}

#[test]
fn an_edit_that_is_made_while_its_record_is_pushed_stays() {
    let store = store();
    store.write_memo(1, "sent", 0);
    let sent = store.unsent().pop().unwrap();
    store.write_memo(1, "typed meanwhile", 1);
    store.settle_as(sent, said(&on_server(1, "sent", 0)), 600);
    assert_eq!(store.text(1).unwrap(), "typed meanwhile");
    let next = store.unsent().pop().unwrap();
    assert_eq!(next.body["updatedAt"], NOW + 1);
    // Another process has settled it: its word stands.
    store.settle_as(next.clone(), said(&on_server(1, "typed meanwhile", 1)), 700);
    store.settle_as(next, said(&on_server(1, "an older word", 0)), 600);
    assert_eq!(store.text(1).unwrap(), "typed meanwhile");
    assert_eq!(store.waiting().unwrap(), 0);
}

#[test]
fn w4_what_was_sent_and_lost_does_not_travel_again_with_an_edit_that_was_made_meanwhile() {
    let store = store();
    let retag = |ms| {
        let tags = Tags::new(vec!["red".into()]).unwrap();
        store
            .edit::<Memo>(id(1), |memo| memo.tags = tags, at(ms))
            .unwrap();
    };
    store.take_changes(&updated(&[on_server(1, "first", 0)]), &json!({}));
    store.retype(1, "earlier", 1);
    let sent = store.unsent().pop().unwrap();
    retag(3);
    store.settle_as(sent, said(&on_server(1, "later", 2)), 600);
    assert_eq!(store.text(1).unwrap(), "later");
    let edit = store.unsent().pop().unwrap();
    let named = json!({"id": id(1), "updatedAt": NOW + 3, "tags": ["red"]});
    assert_eq!(Value::Object(edit.body.clone()), named);
    // Back to what was sent: there is nothing that the server has not judged.
    store.write_memo(1, "there and", 4);
    let sent = store.unsent().pop().unwrap();
    store.write_memo(1, "back", 5);
    store.write_memo(1, "there and", 6);
    store.settle_as(sent, said(&on_server(1, "there and", 4)), 700);
    assert_eq!(store.waiting().unwrap(), 0);
    // What was sent loses against a delete, and what was typed meanwhile brings the record back, whole.
    retag(7);
    let sent = store.unsent().pop().unwrap();
    store.retype(1, "brought back", 9);
    store.settle_as(sent, Verdict::Record(None), 800);
    let whole = store.unsent().pop().unwrap().body;
    assert_eq!(
        (&whole["content"], &whole["tags"]),
        (&json!("brought back"), &json!(["red"]))
    );
}

#[test]
fn an_answer_that_is_older_than_what_was_pulled_meanwhile_takes_nothing_back() {
    let store = store();
    store.write_memo(1, "sent", 0);
    let sent = store.unsent().pop().unwrap();
    store.take_changes(&updated(&[on_server(1, "newer, from elsewhere", 3)]), &json!({}));
    store.settle_as(sent, said(&on_server(1, "sent", 0)), 400);
    assert_eq!(store.text(1).unwrap(), "newer, from elsewhere");
}

#[test]
fn b3_cursors_that_all_stand_before_the_push_take_its_clock() {
    let store = store();
    store.write_memo(1, "sent", 0);
    let settled = store.settle_as(store.unsent().pop().unwrap(), said(&on_server(1, "sent", 0)), 600);
    assert!(!settled.caught_up, "a device that was never served takes nothing");
    store.take_changes(&json!({}), &json!({}));
    store.write_memo(2, "sent", 0);
    let settled = store.settle_as(store.unsent().pop().unwrap(), said(&on_server(2, "sent", 0)), 600);
    assert!(settled.caught_up);
    assert!(
        store
            .place()
            .unwrap()
            .cursors
            .values()
            .all(|cursor| *cursor == NOW + 600)
    );
    store.write_memo(3, "sent", 0);
    let settled = store.settle_as(store.unsent().pop().unwrap(), said(&on_server(3, "sent", 0)), 700);
    assert!(!settled.caught_up, "somebody else wrote");
}

#[test]
fn b2_what_is_rejected_for_good_is_left_alone_until_it_is_edited_again() {
    let store = store();
    store.write_memo(1, "refused", 0);
    let edit = store.unsent().pop().unwrap();
    let problem: crate::error::Problem =
        serde_json::from_value(json!({"code": "no", "message": "no"})).unwrap();
    let rejected = |retryable| Verdict::Rejected {
        problem: problem.clone(),
        retryable,
    };
    assert_eq!(
        store
            .settle_as(edit.clone(), rejected(true), 600)
            .rejections
            .len(),
        1
    );
    assert_eq!(store.unsent().len(), 1, "it may succeed later");
    assert_eq!(
        store.settle_as(edit, rejected(true), 600).rejections,
        [],
        "it is told once"
    );
    let edit = store.unsent().pop().unwrap();
    let other = crate::error::Problem {
        code: "never".into(),
        ..problem.clone()
    };
    let for_good = Verdict::Rejected {
        problem: other.clone(),
        retryable: false,
    };
    store.settle_as(edit, for_good, 600);
    assert!(store.unsent().is_empty());
    let shown = store.visible::<Memo>(Some(id(1))).unwrap().pop().unwrap();
    assert_eq!(shown.sync, SyncState::Rejected(other));
    store.write_memo(1, "better", 1);
    assert_eq!(store.unsent().len(), 1);
    assert!(store.rejections().unwrap().is_empty());
}

#[test]
fn b1_batches_have_200_records_of_a_type_and_half_a_megabyte_parents_first() {
    let store = store();
    for n in 0..401 {
        store.write_memo(n, "small", 0);
    }
    let day = "2026-05-16".parse().unwrap();
    store.put::<Diary>(day, &Diary::default(), at(0)).unwrap();
    let mut batches = store.batches().unwrap();
    let sizes: Vec<_> =
        std::iter::from_fn(|| Some(batches.next(&store).unwrap().len()).filter(|len| *len > 0)).collect();
    assert_eq!(sizes, [201, 200, 1]);

    let store = self::store();
    for n in 0..6 {
        store.write_memo(n, &"x".repeat(200_000), 0);
    }
    store.write_memo(6, &"x".repeat(1_000_000), 0);
    let resource: Resource = serde_json::from_value(json!({
        "memoId": id(1), "filename": "a", "mimeType": "a/b", "fileSize": 1, "sha256": null, "storageType": "local",
        "sortOrder": 0, "metadata": {},
    }))
    .unwrap();
    store
        .put(ResourceId::new(Uuid::from_u128(1)), &resource, at(0))
        .unwrap();
    let mut batches = store.batches().unwrap();
    let mut kinds = Vec::new();
    loop {
        let batch = batches.next(&store).unwrap();
        if batch.is_empty() {
            break;
        }
        kinds.push(
            batch
                .iter()
                .map(|edit| edit.key.entity_type().name())
                .collect::<Vec<_>>(),
        );
        store.write_memo(7, "edited meanwhile: for the next run", 0);
    }
    assert_eq!(
        kinds,
        [
            vec!["memo"; 2],
            vec!["memo"; 2],
            vec!["memo"; 2],
            vec!["memo"],
            vec!["resource"]
        ]
    );
}

#[test]
fn r3_what_a_rebuilding_does_not_give_is_dropped_at_its_end_and_edits_stay() {
    let store = store();
    let records: Vec<_> = (1..=5).map(|n| on_server(n, "before", 0)).collect();
    store.take_changes(&updated(&records), &json!({}));
    store.retype(3, "edited", 1);
    store.delete(id(5).into(), at(1)).unwrap();
    let more = json!({"memo": true, "diary": false, "resource": false, "bot": false});
    let begins = json!({"reset": ["memo", "diary", "resource", "bot"], "hasMore": more});
    store.take_changes(&updated(&[on_server(1, "given", 0)]), &begins);
    assert_eq!(store.text(2).unwrap(), "before", "nothing goes before the end");
    store.take_changes(&updated(&[]), &json!({"skipped": {"memo": [id(4)]}}));
    assert_eq!(store.text(1).unwrap(), "given");
    assert_eq!(store.text(2), None);
    assert_eq!(store.text(3).unwrap(), "edited");
    assert_eq!(
        store.text(4).unwrap(),
        "before",
        "P8: what can't be read there stays here"
    );
    assert_eq!(store.text(5), None);
    let waiting: Vec<_> = store
        .unsent()
        .iter()
        .map(|edit| (edit.key, edit.deletes))
        .collect();
    assert_eq!(waiting, [(RecordKey::from(id(3)), false), (id(5).into(), true)]);
    assert_eq!(
        store.unsent()[0].body["tags"],
        json!(["green"]),
        "sent whole: the server has nothing of it"
    );
}

#[test]
fn p6_a_page_that_was_asked_for_before_the_cursors_moved_is_not_taken() {
    let store = store();
    let asked_at = Place::default();
    store.take_changes(&updated(&[on_server(1, "newer", 1)]), &json!({}));
    let page = json!({"cursors": {}, "changes": updated(&[on_server(1, "older", 0)]), "hasMore": {},
                      "serverTime": NOW, "epoch": Uuid::from_u128(1)});
    let page: Page = serde_json::from_value(page).unwrap();
    assert_eq!(store.take_page(&asked_at, &page, at(0)).unwrap(), None);
    assert_eq!(store.text(1).unwrap(), "newer");
}

#[test]
fn what_can_not_be_read_here_is_no_empty_record() {
    let store = store();
    store.write_memo(1, "typed", 0);
    let damage = "UPDATE records SET record = 'x'";
    store.write(|tx| Ok(tx.execute(damage, [])?)).unwrap();
    assert!(store.try_to_take(&deleted(1), &json!({})).is_err());
}

#[test]
fn an_upload_that_has_ended_is_not_noted_again() {
    let store = store();
    let mut upload = super::Upload {
        resource: ResourceId::new(Uuid::from_u128(1)),
        filename: "figs.jpg".into(),
        memo: None,
        bytes: 4,
        attached_at: NOW,
        address: None,
        problem: None,
    };
    store.add_upload(&upload).unwrap();
    upload.address = Some("there".into());
    store.note_upload(&upload).unwrap();
    assert_eq!(store.uploads().unwrap(), [upload.clone()]);
    assert!(store.end_upload(upload.resource).unwrap());
    store.note_upload(&upload).unwrap();
    assert_eq!(store.uploads().unwrap(), []);
}

#[test]
fn a_file_of_another_form_is_not_touched() {
    let connection = rusqlite::Connection::open_in_memory().unwrap();
    connection.pragma_update(None, "user_version", 7).unwrap();
    assert!(Store::over(connection).is_err());
}

#[test]
fn the_client_id_is_made_once() {
    let store = store();
    let made = store.client_id(Uuid::from_u128(1)).unwrap();
    assert_eq!(store.client_id(Uuid::from_u128(2)).unwrap(), made);
}

#[test]
fn l2_of_two_processes_that_renew_tokens_the_first_one_s_stay() {
    let store = store();
    let tokens = |name: &str| crate::wire::Tokens {
        access_token: format!("{name} access"),
        refresh_token: format!("{name} refresh"),
    };
    let account = super::Account {
        server: "https://mosaic.example.org".into(),
        user: mosaic_domain::UserId::new(Uuid::from_u128(1)),
        username: "anna".into(),
    };
    store.begin_login(&account, &tokens("first")).unwrap();
    let renew = |renewed| store.renew(&tokens("first"), renewed).unwrap();
    assert_eq!(renew(Some(tokens("second"))), Some(tokens("second")));
    assert_eq!(renew(Some(tokens("third"))), Some(tokens("second")));
    assert_eq!(
        renew(None),
        Some(tokens("second")),
        "a refusal of spent tokens ends nothing"
    );
    assert_eq!(store.tokens().unwrap(), Some(tokens("second")));
    assert_eq!(store.renew(&tokens("second"), None).unwrap(), None);
    assert_eq!(store.tokens().unwrap(), None);
}
