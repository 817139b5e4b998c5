//! A push as it is read, and what is answered.

use super::*;

fn refused(json: &str) -> Vec<(String, String)> {
    let Err(problem) = Push::from_body(json) else {
        panic!("{json} must be refused");
    };
    let told = problem.errors().iter();
    told.map(|error| (error.path.clone(), error.code.to_string()))
        .collect()
}

fn many(count: usize) -> String {
    vec!["17"; count].join(",")
}

#[test]
fn what_is_wrong_with_the_whole_push_is_named_with_its_path() {
    let (most, too_many) = (many(200), many(201));
    for (json, expected) in [
        ("{}", &[("clientId", "required"), ("changes", "required")][..]),
        (
            r#"{"clientId": "a", "changes": []}"#,
            &[("changes", "invalid_type")],
        ),
        (
            r#"{"clientId": "a", "changes": {"memo": []}}"#,
            &[("changes.memo", "invalid_type")],
        ),
        (
            r#"{"clientId": "a", "changes": {"memo": {"updated": {}}}}"#,
            &[("changes.memo.updated", "invalid_type")],
        ),
        (
            r#"{"clientId": "", "clientTime": -1, "changes": {"foo": 1, "bar": {}}}"#,
            &[
                ("clientId", "empty"),
                ("clientTime", "out_of_range"),
                ("changes.foo", "unknown_entity"),
                ("changes.bar", "unknown_entity"),
            ],
        ),
        (
            r#"{"clientId": 1, "clientTime": 1.5, "changes": {}}"#,
            &[("clientId", "invalid_type"), ("clientTime", "invalid_type")],
        ),
        (
            r#"{"clientId": "a", "changes": {"memo": {"updated": [], "deletedIds": ["x"]}, "bot": {"deletedIds": []}}}"#,
            &[("changes.memo.deletedIds", "unknown_field")],
        ),
        (
            r#"{"clientId": "a", "changes": {"memo": {}, "memo": {}}}"#,
            &[("changes.memo", "duplicate_field")],
        ),
        (
            r#"{"clientId": "a", "changes": {"memo": {"deleted": [], "deleted": []}}}"#,
            &[("changes.memo.deleted", "duplicate_field")],
        ),
        (
            &format!(r#"{{"clientId": "a", "changes": {{"memo": {{"updated": [{too_many}]}}}}}}"#),
            &[("changes.memo", "too_many")],
        ),
        (
            &format!(r#"{{"clientId": "a", "changes": {{"bot": {{"updated": [{most}], "deleted": [1]}}}}}}"#),
            &[("changes.bot", "too_many")],
        ),
    ] {
        let expected: Vec<_> = expected
            .iter()
            .map(|(path, code)| ((*path).to_owned(), (*code).to_owned()))
            .collect();
        assert_eq!(refused(json), expected, "{json}");
    }
}

/// Whether a record is fine, or its id, code, and what is wrong where.
fn entry(entity: &str, list: &str, record: &str) -> Result<String, (Option<String>, String, Vec<String>)> {
    let json = format!(r#"{{"clientId": "a", "changes": {{"{entity}": {{"{list}": [0, {record}]}}}}}}"#);
    let Push {
        mut results,
        mut edits,
        ..
    } = Push::from_body(&json).unwrap();
    let Tried { id, result, .. } = results.records.pop().unwrap();
    let Some(PushResult {
        error: Some(error), ..
    }) = result
    else {
        return Ok(edits.pop().unwrap().key.to_string());
    };
    let told = error.errors.iter();
    let told = told.map(|error| format!("{} {}", error.path, error.code));
    Err((id, error.code.to_owned(), told.collect()))
}

const ID: &str = "0198f3a2-7b1c-7def-8000-1234567890ab";

#[test]
fn b2_a_record_that_can_not_be_read_is_rejected_alone() {
    let id = || Some(ID.to_owned());
    let long = "x".repeat(1024 * 1024 + 1);
    for (entity, record, shown, code, told) in [
        (
            "memo",
            "17".to_owned(),
            None,
            "validation_failed",
            vec![" invalid_type"],
        ),
        (
            "memo",
            "[]".to_owned(),
            None,
            "validation_failed",
            vec![" invalid_type"],
        ),
        (
            "memo",
            r#"{"content": 1, "tags": ["a", 2]}"#.to_owned(),
            None,
            "validation_failed",
            vec![".id required", ".content invalid_type", ".tags[1] invalid_type"],
        ),
        (
            "memo",
            r#"{"id": "mine", "content": "a\u0000"}"#.to_owned(),
            Some("mine".to_owned()),
            "validation_failed",
            vec![".id invalid_uuid", ".content nul"],
        ),
        (
            "memo",
            format!(r#"{{"id": "{ID}", "content": "{long}"}}"#),
            id(),
            "validation_failed",
            vec![".content too_long"],
        ),
        (
            "memo",
            format!(r#"{{"id": "{}", "content": "\ud800"}}"#, ID.to_uppercase()),
            id(),
            "malformed_json",
            vec![".content malformed_json"],
        ),
        (
            "memo",
            format!(r#"{{"id": "{ID}", "content": "", "content": ""}}"#),
            id(),
            "validation_failed",
            vec![".content duplicate_field"],
        ),
        (
            "diary",
            r#"{"id": "2026-05-16", "moodKey": "happy"}"#.to_owned(),
            None,
            "validation_failed",
            vec![".date required", ".moodKey unknown_value"],
        ),
    ] {
        let told = told
            .iter()
            .map(|told| format!("changes.{entity}.updated[1]{told}"));
        let expected = Err((shown, code.to_owned(), told.collect()));
        let shown = record.get(..60).unwrap_or(&record).to_owned();
        assert_eq!(entry(entity, "updated", &record), expected, "{entity} {shown}");
    }
}

#[test]
fn b2_endless_nesting_spoils_one_record_alone() {
    let deep = "[".repeat(50_000) + &"]".repeat(50_000);
    let record = format!(r#"{{"id": "{ID}", "name": "a", "aiConfig": {{"a": {deep}}}}}"#);
    let (shown, code, told) = entry("bot", "updated", &record).unwrap_err();
    assert_eq!((shown.as_deref(), code.as_str()), (Some(ID), "malformed_json"));
    assert!(
        told[0].starts_with("changes.bot.updated[1].aiConfig.a[0]"),
        "{told:?}"
    );
}

#[test]
fn a_delete_has_a_key_and_a_time() {
    let deleted = |entity, record: &str| entry(entity, "deleted", record);
    assert_eq!(
        deleted("memo", &format!(r#"{{"id": "{ID}"}}"#)),
        Ok(ID.to_owned())
    );
    for name in ["id", "date"] {
        let record = format!(r#"{{"{name}": "2026-05-16", "updatedAt": 17}}"#);
        assert_eq!(deleted("diary", &record), Ok("2026-05-16".to_owned()));
    }
    assert_eq!(
        deleted("resource", r#"{"date": "2026-05-16", "updatedAt": "soon"}"#),
        Err((
            None,
            "validation_failed".to_owned(),
            vec![
                "changes.resource.deleted[1].id required".to_owned(),
                "changes.resource.deleted[1].updatedAt invalid_type".to_owned(),
            ]
        ))
    );
}

#[test]
fn records_are_taken_as_a_pull_sends_them() {
    let memo = format!(
        r#"{{"id": "{ID}", "content": "", "tags": [], "isArchived": false, "isDeleted": false, "diaryDate": null,
            "aiSummary": null, "createdAt": 1, "updatedAt": 2, "revisionCount": 3, "resources": [],
            "resourceIds": "ignored"}}"#
    );
    assert_eq!(entry("memo", "updated", &memo), Ok(ID.to_owned()));
    let resource = format!(
        r#"{{"id": "{ID}", "memoId": null, "filename": "a", "resourceType": "file", "mimeType": "text/plain",
            "fileSize": 1, "sha256": null, "storageType": "local", "url": "/x", "thumbnailUrl": null,
            "sortOrder": 0, "metadata": {{}}, "createdAt": 1, "updatedAt": 2}}"#
    );
    assert_eq!(entry("resource", "updated", &resource), Ok(ID.to_owned()));
    let diary = r#"{"date": "2026-05-16", "summary": "", "moodKey": "joy", "moodScore": 5, "updatedAt": 2}"#;
    assert_eq!(entry("diary", "updated", diary), Ok("2026-05-16".to_owned()));
}
