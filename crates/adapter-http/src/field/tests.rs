//! Values of fields as they are read.

use mosaic_domain::MemoId;

use super::*;

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Body {
    #[serde(default)]
    name: Field<String>,
    #[serde(default)]
    note: Field<String>,
    #[serde(default)]
    tags: Field<Vec<String>>,
    #[serde(default)]
    updated_at: Field<Int>,
}

fn found(json: &str) -> Vec<(String, &'static str)> {
    let body: Body = serde_json::from_str(json).unwrap();
    let mut check = Check::default();
    let name = check.required("name", body.name, Ok);
    check.nullable("note", body.note, Ok);
    check.optional("tags", body.tags, Ok);
    check.updated_at(body.updated_at);
    let Err(violations) = check.finish(name) else {
        return Vec::new();
    };
    violations
        .iter()
        .map(|violation| (violation.path.clone(), violation.code))
        .collect()
}

#[test]
fn everything_that_is_wrong_is_told_at_once() {
    assert_eq!(found(r#"{"name": "a", "note": null, "unknown": []}"#), []);
    assert_eq!(
        found(r#"{"note": 1, "tags": ["a", 2], "updatedAt": null}"#),
        [
            ("name".to_owned(), "required"),
            ("note".to_owned(), "invalid_type"),
            ("tags[1]".to_owned(), "invalid_type"),
            ("updatedAt".to_owned(), "null"),
        ]
    );
    assert_eq!(found(r#"{"name": null}"#), [("name".to_owned(), "null")]);
}

#[test]
fn s5_integers_are_whole_and_below_two_to_the_fifty_third() {
    for (number, code) in [
        ("1.5", "invalid_type"),
        ("15e-1", "invalid_type"),
        ("-1.0", "out_of_range"),
        ("9007199254740992.0", "out_of_range"),
        ("1e300", "out_of_range"),
        ("\"1\"", "invalid_type"),
        ("true", "invalid_type"),
        ("-1", "out_of_range"),
        ("9007199254740992", "out_of_range"),
        ("18446744073709551615", "out_of_range"),
        ("99999999999999999999999", "out_of_range"),
        ("-99999999999999999999999", "out_of_range"),
    ] {
        let json = format!(r#"{{"name": "a", "updatedAt": {number}}}"#);
        assert_eq!(found(&json), [("updatedAt".to_owned(), code)], "{number}");
    }
    for number in [
        "9007199254740991",
        "9007199254740991.0",
        "7585.0",
        "1e3",
        "0.7e1",
        "-0.0",
        "-0",
    ] {
        let json = format!(r#"{{"name": "a", "updatedAt": {number}}}"#);
        assert_eq!(found(&json), [], "{number}");
    }
}

#[test]
fn integers_in_text_are_digits_and_saturate() {
    for (text, number) in [
        ("17", 17),
        ("-17", -17),
        ("99999999999999999999", i64::MAX),
        ("-99999999999999999999", i64::MIN),
    ] {
        assert_eq!(text.parse(), Ok(Int(number)));
    }
    for text in ["", "-", "+1", "1.5", "1e3", " 1", "soon"] {
        assert_eq!(text.parse::<Int>().unwrap_err().code, "invalid_type", "{text}");
    }
}

#[test]
fn ids_are_bounded_and_not_repeated() {
    let id = "0198f3a2-7b1c-7def-8000-1234567890ab".to_owned();
    let code = |texts: Vec<String>| ids::<MemoId>(&texts).map_err(|v| (v.path, v.code));
    assert!(code(vec![id.clone()]).is_ok());
    assert_eq!(
        code(vec![id.clone(), id.to_uppercase()]),
        Err(("[1]".into(), "repeated"))
    );
    assert_eq!(code(vec!["x".into()]), Err(("[0]".into(), "invalid_uuid")));
    assert_eq!(code(vec![id; MOST_ITEMS + 1]), Err((String::new(), "too_many")));
}

#[test]
fn places_fit_thirty_two_bits() {
    assert_eq!(sort_order(Int(i64::from(i32::MAX))), Ok(i64::from(i32::MAX)));
    assert_eq!(
        sort_order(Int(i64::from(i32::MAX) + 1)).unwrap_err().code,
        "out_of_range"
    );
}
