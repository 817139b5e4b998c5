//! Every list has an end: what the document says of the routes that answer with one.

use super::*;

/// Lists that are not paged, each with what bounds it.
const BOUNDED: [(&str, &str); 3] = [
    ("/devices", "an account has so many devices at most"),
    ("/diaries/{date}", "shows the first page of its memos"),
    ("/memos/tags", "the store counts so many at most"),
];

/// What a schema says, wherever it stands.
fn resolved<'a>(document: &'a Value, schema: &'a Value) -> &'a Value {
    match schema["$ref"].as_str() {
        Some(name) => &document["components"]["schemas"][name.rsplit('/').next().unwrap()],
        None => schema,
    }
}

/// Whether it is a list of objects, or an object that has one.
fn lists(document: &Value, schema: &Value, depth: u8) -> bool {
    let schema = resolved(document, schema);
    let parts = ["oneOf", "allOf", "anyOf"]
        .iter()
        .filter_map(|name| schema[name].as_array());
    let item = resolved(document, &schema["items"]);
    let is_object = !item["properties"].is_null() || !item["allOf"].is_null();
    let is_list = schema["type"] == "array" && is_object;
    let has_list = depth == 0
        && schema["properties"].as_object().is_some_and(|properties| {
            let named = ["items", "memos"];
            named
                .iter()
                .any(|name| properties.get(*name).is_some_and(|list| lists(document, list, 1)))
        });
    is_list || has_list || parts.flatten().any(|part| lists(document, part, depth))
}

/// The greatest number that a schema takes, or one of those that it takes any of.
fn greatest(document: &Value, schema: &Value) -> Option<i64> {
    let schema = resolved(document, schema);
    let any = schema["anyOf"].as_array().into_iter().flatten();
    let of_parts = any.filter_map(|part| greatest(document, part)).max();
    schema["maximum"].as_i64().max(of_parts)
}

#[test]
fn every_route_that_lists_is_bounded() {
    let document = document();
    let mut found = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        let get = &item["get"];
        let schema = &get["responses"]["200"]["content"]["application/json"]["schema"];
        if !lists(&document, schema, 0) {
            continue;
        }
        found.push(path.as_str());
        let parameters = get["parameters"].as_array().into_iter().flatten();
        let mut limits =
            parameters.filter(|parameter| parameter["name"] == "pageSize" || parameter["name"] == "limit");
        let limited = limits
            .any(|parameter| greatest(&document, &parameter["schema"]).is_some_and(|most| most <= 1_000));
        let bounded = BOUNDED.iter().any(|(known, _)| known == path);
        assert!(limited || bounded, "{path} lists without an end");
    }
    let lists = "/admin/users /bots /devices /diaries /diaries/{date} /memos /memos/date/{date} /memos/search /memos/tags \
        /memos/{id}/revisions /resources";
    for path in lists.split(' ') {
        assert!(found.contains(&path), "{path} is not seen to list: {found:?}");
    }
}
