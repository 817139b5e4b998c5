//! What is about one entity type has its own files. Whatever else names a type by its variant stands in a list of
//! docs/architecture.md: who adds a type looks there.

use std::collections::{BTreeMap, BTreeSet};

use syn::visit::{self, Visit};

use crate::files;
use crate::runner::Workspace;
use crate::stores::{ENTITIES, OF_ENTITIES, is_test};

/// The crates whose files are read. The stores name no type at all (`stores.rs`), `server` wires.
const CRATES: [&str; 4] = ["domain", "ports", "application", "adapter-http"];

/// The files that are about one type, or make the registry of all.
const OWN: [&str; 10] = [
    "domain/src/entity/",
    "adapter-http/src/entities/memo.rs",
    "adapter-http/src/entities/diary.rs",
    "adapter-http/src/entities/resource.rs",
    "adapter-http/src/entities/bot.rs",
    "adapter-http/src/api/memos.rs",
    "adapter-http/src/api/diaries.rs",
    "adapter-http/src/api/resources.rs",
    "adapter-http/src/api/bots.rs",
    "application/src/bots.rs",
];

/// In which functions of a source the variant of a type is named.
#[derive(Default)]
struct Reader {
    functions: Vec<String>,
    found: BTreeSet<String>,
}

impl Reader {
    fn note(&mut self) {
        let function = self
            .functions
            .last()
            .map_or("outside of functions", String::as_str);
        self.found.insert(function.to_owned());
    }

    fn within(&mut self, function: &syn::Ident, visit: impl FnOnce(&mut Self)) {
        self.functions.push(function.to_string());
        visit(self);
        self.functions.pop();
    }
}

impl<'ast> Visit<'ast> for Reader {
    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        if !is_test(&module.attrs) {
            visit::visit_item_mod(self, module);
        }
    }

    fn visit_item_fn(&mut self, function: &'ast syn::ItemFn) {
        self.within(&function.sig.ident, |inner| visit::visit_item_fn(inner, function));
    }

    fn visit_impl_item_fn(&mut self, function: &'ast syn::ImplItemFn) {
        self.within(&function.sig.ident, |inner| {
            visit::visit_impl_item_fn(inner, function);
        });
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let names: Vec<String> = path.segments.iter().map(|part| part.ident.to_string()).collect();
        let is_variant = |pair: &[String]| {
            OF_ENTITIES.contains(&pair[0].as_str()) && ENTITIES.iter().any(|(variant, _)| pair[1] == *variant)
        };
        if names.windows(2).any(is_variant) {
            self.note();
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, called: &'ast syn::Macro) {
        let text = called.tokens.to_string();
        let named = |(of, (variant, _)): (&&str, &(&str, &str))| text.contains(&format!("{of} :: {variant}"));
        if OF_ENTITIES
            .iter()
            .any(|of| ENTITIES.iter().any(|entity| named((of, entity))))
        {
            self.note();
        }
        visit::visit_macro(self, called);
    }
}

/// By file, below `crates`.
fn named() -> BTreeMap<String, BTreeSet<String>> {
    let root = Workspace::new(true).root().join("crates");
    let mut named = BTreeMap::new();
    for name in CRATES {
        for path in files::below(&root.join(name).join("src"), "rs").expect("a crate") {
            let file = path.strip_prefix(&root).expect("inside").display().to_string();
            let is_own = OWN.iter().any(|own| file.starts_with(own));
            if is_own || file.contains("/tests/") || file.ends_with("/tests.rs") {
                continue;
            }
            let mut reader = Reader::default();
            reader.visit_file(&syn::parse_file(&files::read(&path).expect("a source")).expect("Rust"));
            if !reader.found.is_empty() {
                named.insert(file, reader.found);
            }
        }
    }
    named
}

/// The list as the document has it: `* [file](…): function, function`.
fn listed() -> BTreeMap<String, BTreeSet<String>> {
    let document =
        files::read(&Workspace::new(true).root().join("docs/architecture.md")).expect("the document");
    let (_, list) = document
        .split_once("<!-- what names a type -->\n")
        .expect("the list");
    let list = list.split_once("<!-- end -->").expect("its end").0;
    let joined = list.replace("\n  ", " ");
    let lines = joined.lines().filter_map(|line| line.strip_prefix("* `"));
    lines
        .map(|line| {
            let (file, functions) = line.split_once("`:").expect("a file and its functions");
            let functions = functions.split('`').skip(1).step_by(2);
            (file.to_owned(), functions.map(str::to_owned).collect())
        })
        .collect()
}

#[test]
fn what_names_a_type_outside_of_its_files_is_on_the_list() {
    let named = named();
    let lines = named.iter().map(|(file, functions)| {
        let functions: Vec<String> = functions.iter().map(|name| format!("`{name}`")).collect();
        format!("* `{file}`: {}", functions.join(", "))
    });
    let as_list = lines.collect::<Vec<_>>().join("\n");
    assert!(
        named == listed(),
        "docs/architecture.md has another list than the sources:\n{as_list}"
    );
}

#[test]
fn a_variant_is_noticed_wherever_it_stands() {
    for code in [
        "let key = RecordKey::Memo(id);",
        "if self.entity == crate::EntityType::Diary { go() }",
        "assert!(matches!(key, RecordKey::Bot(_)));",
        "ids.map(RecordKey::Resource)",
    ] {
        let mut reader = Reader::default();
        reader.visit_file(&syn::parse_file(&format!("fn work() {{ {code} }}")).expect("Rust"));
        assert_eq!(reader.found, BTreeSet::from(["work".to_owned()]), "{code}");
    }
}
