//! Stores only store: a test reads the sources of both, and fails where one of them decides anything about an
//! account, a login, a lease, a quota or an upload, or knows an entity type by its name (docs/architecture.md).
//!
//! What counts as deciding is told by the syntax alone, in everything but tests:
//!
//! * **An outcome is named.** The variants in [`OUTCOMES`] are made by the domain's decisions; a store passes them
//!   on. One that makes an outcome, or branches on one, has decided.
//! * **A fact is judged.** The names in [`FACTS`] are those of what decisions are made from. A store reads them from
//!   rows and hands them on; it has none of them in the condition of an `if`, `while` or `match`, in the guard of an
//!   arm, in a `matches!`, or beside `==`, `<`, `&&`, `!` and the like.
//! * **An entity type is named**: by a variant of the registry, or in a text of its own or in quotes inside SQL.
//!
//! What SQL asks for in a `WHERE` is not looked at: it finds facts, and differs honestly. Branching on the *plan*
//! that came back (what to write, if anything) is how it is carried out.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use syn::visit::{self, Visit};

use crate::runner::Workspace;

/// Enums whose variants only the domain names, and what is decided with them.
const OUTCOMES: [(&str, &str); 16] = [
    ("CreateOutcome", "making an account"),
    ("UpdateOutcome", "changing an account"),
    ("RemoveOutcome", "removing an account"),
    ("Role", "who administers the server"),
    ("IssueOutcome", "a new login"),
    ("Rotation", "a refresh token"),
    ("LoginRefusal", "a login that goes on or has ended"),
    ("InviteOutcome", "making an invite"),
    ("RevokeOutcome", "taking an invite back"),
    ("AcceptOutcome", "using an invite"),
    ("InviteRefusal", "whether an invite is good"),
    ("ClaimOutcome", "the lease of a job"),
    ("ReferenceOutcome", "a content and the quota"),
    ("BeginOutcome", "a new upload and the quota"),
    ("AppendOutcome", "the next bytes of an upload"),
    ("Outcome", "an edit of a record"),
];

/// What decisions are made from, by the names that the code has for it, and what is decided from it.
const FACTS: [(&str, &str); 28] = [
    ("disabled", "whether an account is open"),
    ("is_disabled", "whether an account is open"),
    ("must_change_password", "whether a login may go on"),
    ("password", "whether a login or a change was proved"),
    ("expected_password_hash", "whether a change was proved"),
    ("role", "who administers the server"),
    ("has_clock", "whether an account is being removed"),
    ("only_first", "whether an account is the first"),
    ("name_taken", "whether a name is free"),
    ("other_admin", "whether an administrator is left"),
    ("issued_at", "how old a token is"),
    ("expires_at", "whether a login, a token or an upload is over"),
    ("spent", "whether a token was used before"),
    ("grace_ms", "how long a spent token is good again"),
    ("LOGINS_MAX", "how many logins a user has"),
    ("maker_administers", "whether an invite is good"),
    ("made_by", "whether an invite is good"),
    ("held", "who holds a lease"),
    ("held_until", "who holds a lease"),
    ("holder", "who holds a lease"),
    ("done_at", "when a job was done"),
    ("unless_done_since", "when a job was done"),
    ("quota", "what a user may store"),
    ("received", "how much of an upload has come"),
    ("is_referenced", "whether a content is named by a record"),
    ("touched_at", "whether a content is left alone"),
    ("unfinished", "how many uploads a user has"),
    ("standing", "whether a login goes on"),
];

/// Enums with a variant for each entity type, whose variants no store names.
pub(crate) const OF_ENTITIES: [&str; 4] = ["EntityType", "RecordKey", "Content", "Patch"];

/// The entity types, by variant and by the name in the database.
pub(crate) const ENTITIES: [(&str, &str); 4] = [
    ("Memo", "memo"),
    ("Diary", "diary"),
    ("Resource", "resource"),
    ("Bot", "bot"),
];

const STORES: [&str; 2] = ["crates/adapter-postgres/src", "crates/adapter-sqlite/src"];

/// Everything that a source decides, as sentences.
fn decisions(source: &str) -> syn::Result<Vec<String>> {
    let mut reader = Reader::default();
    reader.visit_file(&syn::parse_file(source)?);
    Ok(reader.found.into_iter().collect())
}

#[derive(Default)]
struct Reader {
    /// The functions around, the innermost last.
    functions: Vec<String>,
    found: BTreeSet<String>,
}

impl Reader {
    fn tell(&mut self, what: &str) {
        let function = self
            .functions
            .last()
            .map_or("outside of functions", String::as_str);
        self.found.insert(format!("{function}: {what}"));
    }

    /// Tells which facts are in a piece of code that judges.
    fn judge(&mut self, visit: impl FnOnce(&mut Names)) {
        let mut names = Names::default();
        visit(&mut names);
        for (fact, about) in FACTS.iter().filter(|(fact, _)| names.0.contains(*fact)) {
            self.tell(&format!("judges `{fact}` ({about})"));
        }
    }

    fn tell_text(&mut self, text: &str) {
        for (_, name) in ENTITIES {
            if text == name || text.contains(&format!("'{name}'")) {
                self.tell(&format!("names the entity type `{name}`"));
            }
        }
    }
}

/// The names in a piece of code; those inside macros too.
#[derive(Default)]
struct Names(BTreeSet<String>);

impl<'ast> Visit<'ast> for Names {
    fn visit_ident(&mut self, ident: &'ast syn::Ident) {
        self.0.insert(ident.to_string());
    }

    fn visit_macro(&mut self, called: &'ast syn::Macro) {
        self.0.extend(words(&called.tokens.to_string()));
    }

    /// What a function is given does not belong to the condition around the call; what `Some` is given does.
    fn visit_expr_call(&mut self, call: &'ast syn::ExprCall) {
        let syn::Expr::Path(called) = &*call.func else {
            return visit::visit_expr_call(self, call);
        };
        let name = called
            .path
            .segments
            .last()
            .map(|segment| segment.ident.to_string());
        if name.is_some_and(|name| name.starts_with(char::is_uppercase)) {
            visit::visit_expr_call(self, call);
        }
    }
}

fn words(tokens: &str) -> impl Iterator<Item = String> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    tokens.split(move |c| !is_word(c)).map(str::to_owned)
}

pub(crate) fn is_test(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let syn::Meta::List(list) = &attribute.meta else {
            return attribute.path().is_ident("test");
        };
        list.path.is_ident("cfg") && list.tokens.to_string() == "test"
    })
}

impl<'ast> Visit<'ast> for Reader {
    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        if !is_test(&module.attrs) {
            visit::visit_item_mod(self, module);
        }
    }

    fn visit_item_fn(&mut self, function: &'ast syn::ItemFn) {
        if !is_test(&function.attrs) {
            self.functions.push(function.sig.ident.to_string());
            visit::visit_item_fn(self, function);
            self.functions.pop();
        }
    }

    fn visit_impl_item_fn(&mut self, function: &'ast syn::ImplItemFn) {
        self.functions.push(function.sig.ident.to_string());
        visit::visit_impl_item_fn(self, function);
        self.functions.pop();
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let mut names: Vec<String> = path.segments.iter().map(|s| s.ident.to_string()).collect();
        let last = names.pop().unwrap_or_default();
        let before = names.pop().unwrap_or_default();
        let is_variant = last.starts_with(char::is_uppercase) && last.contains(char::is_lowercase);
        if let Some((outcome, about)) = OUTCOMES.iter().find(|(name, _)| is_variant && before == *name) {
            self.tell(&format!("names the outcome `{outcome}::{last}` ({about})"));
        }
        let is_entity = ENTITIES.iter().any(|(variant, _)| *variant == last);
        if OF_ENTITIES.contains(&before.as_str()) && is_entity {
            self.tell(&format!("names the entity type `{last}`"));
        }
        visit::visit_path(self, path);
    }

    fn visit_expr_if(&mut self, branch: &'ast syn::ExprIf) {
        self.judge(|names| names.visit_expr(condition(&branch.cond)));
        visit::visit_expr_if(self, branch);
    }

    fn visit_expr_while(&mut self, branch: &'ast syn::ExprWhile) {
        self.judge(|names| names.visit_expr(condition(&branch.cond)));
        visit::visit_expr_while(self, branch);
    }

    fn visit_expr_match(&mut self, branch: &'ast syn::ExprMatch) {
        self.judge(|names| names.visit_expr(&branch.expr));
        visit::visit_expr_match(self, branch);
    }

    fn visit_arm(&mut self, arm: &'ast syn::Arm) {
        if let Some((_, guard)) = &arm.guard {
            self.judge(|names| names.visit_expr(guard));
        }
        visit::visit_arm(self, arm);
    }

    fn visit_expr_binary(&mut self, both: &'ast syn::ExprBinary) {
        use syn::BinOp::{And, Eq, Ge, Gt, Le, Lt, Ne, Or};
        if matches!(
            both.op,
            And(_) | Or(_) | Eq(_) | Ne(_) | Lt(_) | Le(_) | Gt(_) | Ge(_)
        ) {
            self.judge(|names| names.visit_expr_binary(both));
        }
        visit::visit_expr_binary(self, both);
    }

    fn visit_expr_unary(&mut self, unary: &'ast syn::ExprUnary) {
        if matches!(unary.op, syn::UnOp::Not(_)) {
            self.judge(|names| names.visit_expr(&unary.expr));
        }
        visit::visit_expr_unary(self, unary);
    }

    /// A pattern with a value in it judges what it is compared with.
    fn visit_field_pat(&mut self, field: &'ast syn::FieldPat) {
        if let (syn::Member::Named(name), syn::Pat::Lit(_)) = (&field.member, &*field.pat) {
            self.judge(|names| names.visit_ident(name));
        }
        visit::visit_field_pat(self, field);
    }

    fn visit_macro(&mut self, called: &'ast syn::Macro) {
        let text = called.tokens.to_string();
        if called.path.is_ident("matches") {
            self.judge(|names| names.visit_macro(called));
        }
        self.tell_text(&text);
        visit::visit_macro(self, called);
    }

    fn visit_lit_str(&mut self, text: &'ast syn::LitStr) {
        self.tell_text(&text.value());
    }
}

/// What is judged in the condition of a branch: of an `if let` what is taken apart.
fn condition(condition: &syn::Expr) -> &syn::Expr {
    match condition {
        syn::Expr::Let(taken_apart) => &taken_apart.expr,
        other => other,
    }
}

/// The sources of the stores, without the modules that are tests as a whole, by their path from the root.
fn sources(root: &Path) -> Vec<(String, String)> {
    let mut sources = Vec::new();
    for store in STORES {
        let text = fs::read_to_string(root.join(store).join("lib.rs")).expect("a store");
        let tests: Vec<PathBuf> = text
            .split("#[cfg(test)]\nmod ")
            .skip(1)
            .filter_map(|rest| Some(format!("{}.rs", rest.split_once(';')?.0).into()))
            .collect();
        let mut folders = vec![root.join(store)];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).expect("a folder") {
                let path = entry.expect("an entry").path();
                let name = path.strip_prefix(root.join(store)).expect("inside").to_owned();
                if path.is_dir() {
                    folders.push(path);
                } else if !tests.contains(&name) && !name.ends_with("tests.rs") {
                    let text = fs::read_to_string(&path).expect("a source");
                    sources.push((format!("{store}/{}", name.display()), text));
                }
            }
        }
    }
    sources.sort();
    sources
}

/// What is not on the list is not looked for.
#[test]
fn the_entity_types_are_those_of_the_registry() {
    let path = Workspace::new(true)
        .root()
        .join("crates/domain/src/entity/mod.rs");
    let text = fs::read_to_string(path).expect("the registry");
    let (_, lines) = text.split_once("\nregistry! {\n").expect("the registry");
    let lines = lines.lines().take_while(|line| *line != "}");
    let types = lines.map(|line| line.split('"').map(str::trim).take(2).collect::<Vec<_>>());
    let known = ENTITIES.iter().map(|(variant, name)| vec![*variant, *name]);
    assert!(types.eq(known), "ENTITIES is not the registry");
}

#[test]
fn the_stores_decide_nothing() {
    let sources = sources(Workspace::new(true).root());
    assert!(sources.len() > 40, "both stores were read");
    let found = sources.iter().flat_map(|(file, source)| {
        let found = decisions(source).expect("Rust");
        found.into_iter().map(move |found| format!("{file}: {found}"))
    });
    assert_eq!(found.collect::<Vec<_>>(), Vec::<String>::new());
}

#[test]
fn a_store_that_decides_is_noticed() {
    for code in [
        "if account.user.disabled { end() }",
        "if only_first && others { end() }",
        "let open = logins.filter(|login| login.expires_at > now);",
        "let another = Some(claim.holder) != row;",
        "let open = !user.disabled;",
        "while login.issued_at < now { end() }",
        "match user.role { _ => end() }",
        "match row { Some(lease) if lease.done_at > since => end(), _ => {} }",
        "if matches!(lease, Some(lease) if lease.held) { end() }",
        "if let Some(until) = lease.held_until { end() }",
        "let Some(Found { kept, disabled: false }) = found else { return };",
        "return Ok(CreateOutcome::NameTaken);",
        "let ended = outcome == Rotation::Refused;",
        "if size + used > quota { end() }",
        "let child = EntityType::Resource.name();",
        "let key = ids.map(RecordKey::Memo);",
        "let sql = \"SELECT 1 FROM records WHERE entity_type = 'bot'\";",
        "let sql = format!(\"SELECT 1 FROM records WHERE entity_type = 'bot' LIMIT {n}\");",
        "run(sql, \"memo\");",
    ] {
        let found = decisions(&format!("fn work() {{ {code} }}")).expect("Rust");
        assert!(!found.is_empty(), "{code}");
        assert!(found.iter().all(|found| found.starts_with("work: ")), "{found:?}");
    }
}

#[test]
fn a_store_that_reads_asks_and_carries_out_is_fine() {
    for code in [
        "let plan = account.create(&facts, only_first);",
        "if let Some(Account { user, password }) = plan.write { put(&user, &password) }",
        "if write.end_logins { end_all() }",
        "let lease = Lease { held: holder.zip(until), done_at: column(row, 2)? };",
        "let row = LoginAccount { disabled: column(row, 0)?, must_change_password: column(row, 1)? };",
        "match facts.remove().write { Some(RemovalStep::Close) => close(), _ => {} }",
        "if rows.len() < limit { end() }",
        "let plan = RemoveOutcome::of_rows(rows, limit);",
        "if let Err(refusal) = standing(login, disabled) { return refused(refusal) }",
        "let sql = \"SELECT 1 FROM users WHERE NOT is_disabled AND role = $1\";",
        "fn read(what: &LoginRefusal) -> Result<(), LoginRefusal> { Ok(()) }",
    ] {
        let found = decisions(&format!("fn work() {{ {code} }}")).expect("Rust");
        assert_eq!(found, Vec::<String>::new(), "{code}");
    }
    let in_tests = "#[cfg(test)] mod tests { fn it() { if user.disabled { CreateOutcome::Created; } } }";
    assert_eq!(decisions(in_tests).expect("Rust"), Vec::<String>::new());
}
