//! What is written can be read: objects that the server keeps without understanding them, whatever stands in them.

use mosaic_domain::entity::{Bot, KeptObject};
use mosaic_domain::json::AnyObject;
use mosaic_domain::text::{Label, Tags, Text};
use mosaic_domain::{Content, EntityType};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::Value;

use crate::support::config;

/// Texts as they stand in JSON: names that mean something to parsers, escapes, and anything at all.
fn texts() -> impl Strategy<Value = String> {
    let odd = select(vec![
        r#""$serde_json::private::RawValue""#,
        r#""$serde_json::private::Number""#,
        r#""$__toml_private_datetime""#,
        r#""__proto__""#,
        r#""""#,
        r#""\ud83d\ude00""#,
        r#""\u0061""#,
        r#""\u001f\n\/""#,
        r#""{}""#,
        r#""[[[[[[[[""#,
        r#""{\"a\": 1}""#,
        r#""NaN""#,
    ]);
    let any = any::<String>().prop_map(|text| serde_json::to_string(&text.replace('\0', "")).unwrap());
    prop_oneof![odd.prop_map(str::to_owned), any]
}

fn scalars() -> impl Strategy<Value = String> {
    let odd = select(vec![
        "null",
        "true",
        "-0",
        "-0.0",
        "0.1",
        "1e400",
        "-1e400",
        "1e-400",
        "5e-324",
        "1.7976931348623157e308",
        "123456789012345678901234567890",
        "18446744073709551615",
        "18446744073709551616",
        "-9223372036854775808",
        "-9223372036854775809",
        "0.30000000000000004",
        "1E+2",
    ]);
    let floats = any::<f64>().prop_map(|number| serde_json::to_string(&number).unwrap());
    prop_oneof![odd.prop_map(str::to_owned), floats, texts()]
}

/// The text of any JSON object, names that are there twice and too much of everything included.
fn objects() -> impl Strategy<Value = String> {
    let value = scalars().prop_recursive(20, 64, 6, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(|items| format!("[{}]", items.join(" ,"))),
            vec((texts(), inner), 0..4).prop_map(|members| object(&members)),
        ]
    });
    vec((texts(), value), 0..6).prop_map(|members| object(&members))
}

fn object(members: &[(String, String)]) -> String {
    let members: Vec<_> = members
        .iter()
        .map(|(name, value)| format!("{name}: {value}"))
        .collect();
    format!("{{ {} }}", members.join(", "))
}

/// What every reader of JSON says of a text.
fn meaning(json: &str) -> Value {
    serde_json::from_str(json).unwrap()
}

proptest! {
    #![proptest_config(config(512))]

    #[test]
    fn what_is_kept_is_read_again_as_the_same_and_means_the_same(json in objects()) {
        let Ok(AnyObject(read)) = serde_json::from_str::<AnyObject<KeptObject>>(&json) else {
            // Numbers that no reader has room for.
            prop_assert!(serde_json::from_str::<Value>(&json).is_err(), "{}", json);
            return Ok(());
        };
        let Ok(kept) = read else { return Ok(()) };
        prop_assert_eq!(meaning(&json), meaning(kept.as_str()));
        prop_assert_eq!(&serde_json::to_value(&kept).unwrap(), &meaning(kept.as_str()));
        let again: KeptObject = serde_json::from_str(kept.as_str()).unwrap();
        prop_assert_eq!(&again, &kept);
        let bot = Content::Bot(Bot {
            name: Label::new("b".to_owned()).unwrap(),
            avatar_url: None,
            description: Text::default(),
            tags: Tags::default(),
            auto_reply: true,
            sort_order: 0,
            model: None,
            ai_config: Some(kept),
        });
        let document = bot.to_document();
        let stored = EntityType::Bot.parse_document(&document).unwrap();
        prop_assert_eq!(&stored, &bot);
        prop_assert_eq!(stored.to_document(), document);
    }
}

#[test]
fn names_that_mean_something_to_a_parser_mean_nothing() {
    for json in [
        r#"{"$serde_json::private::RawValue":"{}"}"#,
        r#"{"x":{"$serde_json::private::RawValue":"[[[","a":1}}"#,
        r#"{"x":[{"$serde_json::private::Number":"1"}]}"#,
    ] {
        let kept: KeptObject = serde_json::from_str(json).unwrap();
        assert_eq!(kept.as_str(), json);
    }
}
