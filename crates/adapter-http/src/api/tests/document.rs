//! The document has every route, and is as narrow as the server: whatever a client may send has its limits there.

use std::collections::{BTreeSet, HashSet};

use super::*;
use crate::problem::ProblemCode;

/// What may be sent without a limit of its own, and why.
const UNLIMITED: [(&str, &str); 7] = [
    ("Range", "a header that makes no sense is ignored"),
    ("If-Range", "a header that makes no sense is ignored"),
    ("If-None-Match", "a header that makes no sense is ignored"),
    ("Last-Event-ID", "a header that makes no sense is ignored"),
    ("ticket", "beside an access token it is ignored"),
    ("KeptValue", "all of a kept object together is bounded"),
    ("KeptObject", "all of a kept object together is bounded"),
];

/// Walks a schema and everything that it refers to.
struct Walk<'a> {
    document: &'a Value,
    seen: BTreeSet<String>,
    loose: Vec<String>,
}

impl Walk<'_> {
    fn visit(&mut self, schema: &Value, place: &str) {
        if let Some(reference) = schema["$ref"].as_str() {
            let name = reference.rsplit('/').next().unwrap();
            if self.seen.insert(name.to_owned()) {
                let document = self.document;
                self.visit(&document["components"]["schemas"][name], name);
            }
            return;
        }
        let has = |keywords: &[&str]| keywords.iter().all(|keyword| !schema[keyword].is_null());
        let either = |keywords: &[&str]| keywords.iter().any(|keyword| !schema[keyword].is_null());
        let limited = match schema["type"].as_str() {
            Some("string") => either(&["enum", "format", "pattern", "maxLength"]),
            Some("integer") => has(&["minimum", "maximum"]),
            Some("array") => has(&["maxItems"]),
            _ => true,
        };
        let listed = UNLIMITED
            .iter()
            .any(|(name, _)| place.split('.').any(|part| part == *name));
        if !limited && !listed {
            self.loose.push(place.to_owned());
        }
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            self.visit(property, &format!("{place}.{name}"));
        }
        for keyword in ["items", "additionalProperties", "propertyNames"] {
            if schema[keyword].is_object() {
                self.visit(&schema[keyword], place);
            }
        }
        for keyword in ["anyOf", "oneOf", "allOf"] {
            for part in schema[keyword].as_array().into_iter().flatten() {
                self.visit(part, place);
            }
        }
    }
}

#[test]
fn whatever_may_be_sent_has_its_limits_in_the_document() {
    let document = document();
    let mut walk = Walk {
        document: &document,
        seen: BTreeSet::new(),
        loose: Vec::new(),
    };
    for (method, path, operation) in documented() {
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            let name = parameter["name"].as_str().unwrap();
            walk.visit(&parameter["schema"], &format!("{method} {path}.{name}"));
        }
        let bodies = operation["requestBody"]["content"].as_object();
        for (media_type, content) in bodies.into_iter().flatten() {
            walk.visit(&content["schema"], &format!("{method} {path}.{media_type}"));
        }
    }
    assert_eq!(walk.loose, Vec::<String>::new());
    assert!(walk.seen.contains("NewMemo") && walk.seen.contains("UnixMs"));
}

fn names(object: &Value) -> impl Iterator<Item = &str> {
    object.as_object().unwrap().keys().map(String::as_str)
}

/// What generators take for an object that has no members, which nothing can be sent as: one that does not say what its members
/// are, also where it is only there for its description.
fn empty_objects(value: &Value, place: &str, found: &mut Vec<String>) {
    let says = |keyword: &str| !value[keyword].is_null();
    let is_object = match &value["type"] {
        Value::Array(types) => types.contains(&json!("object")),
        one => one == "object",
    };
    if is_object && !says("properties") && !says("additionalProperties") {
        found.push(place.to_owned());
    }
    for (name, member) in value.as_object().into_iter().flatten() {
        empty_objects(member, &format!("{place}/{name}"), found);
    }
    for item in value.as_array().into_iter().flatten() {
        empty_objects(item, place, found);
    }
}

#[test]
fn every_object_says_what_its_members_are() {
    let mut found = Vec::new();
    empty_objects(&document(), "", &mut found);
    assert_eq!(found, Vec::<String>::new());
}

/// Where a record of one type is meant, an app has to get one of this type.
#[test]
fn records_are_referred_to_by_their_names() {
    let schemas = &document()["components"]["schemas"];
    for (entity, name) in [
        ("memo", "Memo"),
        ("diary", "Diary"),
        ("resource", "Resource"),
        ("bot", "Bot"),
    ] {
        let reference = |name: String| json!({"$ref": format!("#/components/schemas/{name}")});
        let changes = &schemas["PullChanges"]["properties"][entity];
        assert_eq!(*changes, reference(format!("{name}Changes")));
        let updated = &schemas[format!("{name}Changes")]["properties"]["updated"];
        assert_eq!(updated["items"], reference(name.to_owned()));
        let results = &schemas["PushResults"]["properties"][entity]["items"];
        assert_eq!(*results, reference(format!("{name}PushResult")));
        let current = &schemas[format!("{name}PushResult")]["properties"]["current"];
        assert_eq!(current["$ref"], reference(format!("Stored{name}"))["$ref"]);
        let either = &schemas[format!("Stored{name}")]["oneOf"];
        assert_eq!(
            *either,
            json!([reference(name.to_owned()), reference(format!("{name}Tombstone"))])
        );
    }
    let any = &schemas["Problem"]["properties"]["current"]["$ref"];
    assert_eq!(any, "#/components/schemas/StoredRecord");
}

/// Where a schema wants both a text and an object, which nothing is.
fn contradictions(value: &Value, place: &str, found: &mut Vec<String>) {
    let parts = value["allOf"].as_array().into_iter().flatten();
    let types: BTreeSet<_> = parts.filter_map(|part| part["type"].as_str()).collect();
    if types.len() > 1 {
        found.push(place.to_owned());
    }
    for (name, member) in value.as_object().into_iter().flatten() {
        contradictions(member, &format!("{place}/{name}"), found);
    }
    for item in value.as_array().into_iter().flatten() {
        contradictions(item, place, found);
    }
}

#[test]
fn no_schema_contradicts_itself() {
    let mut found = Vec::new();
    contradictions(&document(), "", &mut found);
    assert_eq!(found, Vec::<String>::new());
}

#[test]
fn a_post_that_stands_for_head_is_answered_as_the_document_says() {
    let document = document();
    let responses = |method| &document["paths"]["/uploads/{id}"][method]["responses"];
    assert_eq!(
        responses("post")["200"]["headers"],
        responses("head")["200"]["headers"]
    );
    assert_eq!(responses("post")["204"], responses("patch")["204"]);
}

#[test]
fn a_deleted_record_is_named_by_its_key() {
    let schemas = &document()["components"]["schemas"];
    for name in ["DeletedMemo", "DeletedResource", "DeletedBot"] {
        assert_eq!(schemas[name]["required"], json!(["id"]), "{name}");
    }
    // A diary by its date, in `date` or in `id`.
    let names = schemas["DeletedDiary"]["anyOf"].as_array().unwrap().iter();
    let names: Vec<_> = names.map(|named| &named["required"][0]).collect();
    assert_eq!(names, ["date", "id"]);
}

/// The page of the document shows groups in this order, and opens the first.
#[test]
fn groups_have_a_sentence_each_and_begin_with_sync() {
    let document = document();
    let groups = document["tags"].as_array().unwrap();
    assert!(groups.iter().all(|group| group["description"].is_string()));
    let names: Vec<_> = groups.iter().map(|group| &group["name"]).collect();
    assert_eq!(*names[0], "sync");
    let used: Vec<Value> = documented()
        .iter()
        .map(|(_, _, operation)| operation["tags"][0].clone())
        .collect();
    assert!(used.iter().all(|name| names.contains(&name)), "{used:?}");
    assert!(names.iter().all(|name| used.contains(name)), "{names:?}");
}

/// With an epoch or cursors that are made up it would begin anew (R1, R2).
#[test]
fn the_example_of_a_pull_names_a_device_and_nothing_else() {
    let example = &document()["components"]["schemas"]["PullRequest"]["example"];
    assert_eq!(*example, json!({"clientId": "docs"}));
}

#[test]
fn the_document_has_every_route_of_the_table_once() {
    let registered = table();
    let registered = registered
        .iter()
        .map(|(method, path)| (method.to_string(), path.to_owned()));
    let documented = documented().into_iter().map(|(method, path, _)| (method, path));
    let (mut registered, mut documented): (Vec<_>, Vec<_>) = (registered.collect(), documented.collect());
    registered.sort();
    documented.sort();
    assert_eq!(registered, documented);
}

#[test]
fn every_parameter_of_a_path_is_described() {
    for (method, path, operation) in documented() {
        let named = path
            .split('/')
            .filter_map(|word| word.strip_prefix('{')?.strip_suffix('}'));
        let parameters = operation["parameters"].as_array().into_iter().flatten();
        let described = parameters
            .filter(|parameter| parameter["in"] == "path")
            .map(|parameter| parameter["name"].as_str().unwrap());
        assert!(named.eq(described), "{method} {path}");
    }
}

#[test]
fn the_document_is_complete() {
    let document = document();
    let mut ids = HashSet::new();
    for (method, path, operation) in documented() {
        let id = operation["operationId"].as_str().unwrap().to_owned();
        assert!(ids.insert(id), "{method} {path}: the id is taken");
        assert!(operation["summary"].is_string(), "{method} {path}");
        let responses = &operation["responses"];
        assert!(
            names(responses).any(|status| status.starts_with('2')),
            "{method} {path}"
        );
        assert!(responses["default"].is_object(), "{method} {path}");
    }
    let schemas = &document["components"]["schemas"];
    for name in "Memo Diary Resource Bot MemoRevision DiaryWithMemos TagCount".split(' ') {
        assert!(schemas[name].is_object(), "{name}");
    }
    let text = document.to_string();
    for reference in text.split("\"#/components/schemas/").skip(1) {
        let name = reference.split('"').next().unwrap();
        assert!(schemas[name].is_object(), "{name} is not in the document");
    }
}

#[test]
fn the_document_tells_the_limits_and_what_is_required() {
    let schemas = &document()["components"]["schemas"];
    let memo = &schemas["NewMemo"];
    assert_eq!(memo["required"], json!(["content"]));
    assert_eq!(schemas["LongText"]["maxLength"], 1_048_576);
    assert_eq!(schemas["Tags"]["maxItems"], 100);
    let day = &memo["properties"]["diaryDate"]["oneOf"];
    assert_eq!(day[0]["$ref"], "#/components/schemas/Day");
    assert_eq!(day[1]["type"], "null");
    assert_eq!(
        schemas["NewResource"]["required"],
        json!(["filename", "fileSize"])
    );
    assert_eq!(schemas["PullRequest"]["required"], json!(["clientId"]));
    assert_eq!(schemas["LoginBody"]["required"], json!(["username", "password"]));
    for name in ["EditMemo", "EditDiary", "EditResource", "EditBot"] {
        assert_eq!(schemas[name]["required"], Value::Null, "{name}");
    }
    let all: BTreeSet<_> = names(&schemas["Memo"]["properties"]).collect();
    let required = schemas["Memo"]["required"].as_array().unwrap().iter();
    let required: BTreeSet<_> = required.map(|name| name.as_str().unwrap()).collect();
    assert_eq!(all, required, "what is sent is never left out");
}

#[test]
fn every_code_is_in_the_document_with_its_status_and_meaning() {
    let document = document();
    let says = document["components"]["schemas"]["ProblemCode"]["description"]
        .as_str()
        .unwrap();
    for code in ProblemCode::ALL {
        let line = format!("* `{}` ({}): {}", code.code(), code.status(), code.title());
        assert!(says.contains(&line), "{line}");
    }
    let of_bodies = &document["components"]["schemas"]["Problem"]["properties"]["code"];
    assert!(
        of_bodies.to_string().contains("#/components/schemas/ProblemCode"),
        "{of_bodies}"
    );
}

/// What a problem does not tell is left out: a client need not look for null.
#[test]
fn no_member_of_a_problem_is_null() {
    let document = document();
    for name in ["Problem", "PushError"] {
        let members = document["components"]["schemas"][name]["properties"].as_object();
        for (member, schema) in members.unwrap() {
            assert!(
                !schema.to_string().contains("\"null\""),
                "{name}.{member}: {schema}"
            );
        }
    }
}

/// The codes that no answer has as its own, and why.
const IN_NO_ANSWER: [(ProblemCode, &str); 1] = [(
    ProblemCode::Duplicate,
    "stands in an answer to a push, as why one of its records is rejected",
)];

#[test]
fn every_code_is_in_an_answer() {
    let document = document();
    let any = &document["components"]["responses"]["AnyProblem"]["description"];
    let any = any.as_str().unwrap();
    let answers = documented();
    let listed = |code: &ProblemCode| {
        let named = format!("`{}`: ", code.code());
        let status = code.status().to_string();
        any.contains(&named)
            || answers.iter().any(|(_, _, operation)| {
                let says = operation["responses"][&status]["description"].as_str();
                says.is_some_and(|says| says.contains(&named))
            })
    };
    let missing: Vec<_> = ProblemCode::ALL.iter().filter(|code| !listed(code)).collect();
    let expected: Vec<_> = IN_NO_ANSWER.iter().map(|(code, _)| code).collect();
    assert_eq!(missing, expected);
}

/// An app has to tell "refresh" from "log in again" on whatever route it is told so.
#[test]
fn whatever_needs_a_login_says_how_it_refuses_a_token() {
    use ProblemCode as Code;
    for (method, path, operation) in documented() {
        let says = operation["responses"]["401"]["description"]
            .as_str()
            .unwrap_or_default();
        let needs_login = operation["security"] != json!([]);
        for code in [
            Code::NotSignedIn,
            Code::InvalidToken,
            Code::TokenExpired,
            Code::LoginEnded,
        ] {
            let named = says.contains(&format!("`{}`", code.code()));
            assert_eq!(named, needs_login, "{method} {path}: {code:?}");
        }
    }
}

#[test]
fn every_problem_that_a_route_names_is_in_the_catalogue() {
    let known: Vec<_> = ProblemCode::ALL
        .iter()
        .map(|code| code.status().to_string())
        .collect();
    for (method, path, operation) in documented() {
        for status in names(&operation["responses"]).filter(|key| key.starts_with(['4', '5'])) {
            assert!(
                known.iter().any(|known| known == status),
                "{method} {path}: {status}"
            );
        }
    }
}
