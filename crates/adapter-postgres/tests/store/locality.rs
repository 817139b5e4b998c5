//! Where users are too many for one machine, each machine has all rows of its users. What that asks of the statements is
//! shown on plain PostgreSQL: the users' tables are cut in two by `user_id`, the whole suite runs on them, behind a
//! pooler, and the plan of each statement is looked at. The list of statements, `docs/statements.sql`, is what was seen:
//! `UPDATE_DOCS=1` writes it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::panic::catch_unwind;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use async_trait::async_trait;
use mosaic_adapter_postgres::{OF_ONE_USER, REFERENCE_TABLE, USERS_TABLES};
use mosaic_ports::Clock;
use mosaic_testkit::postgres::{Cluster, ClusterOptions, PgBouncer, Server, TestDatabase};
use mosaic_testkit::{StoreFixture, Stores};
use serde_json::Value;
use tokio::sync::OnceCell;
use tokio_postgres::types::Type;

use crate::fixture::Fixture;
use crate::{shards, wire};

/// So many cases at a time.
const AT_ONCE: usize = 8;

/// Statements about many users, the type of their value, and why there are any. Whether the suite sends them is up to
/// chance.
const OF_MANY_USERS: [(&str, &str, &str); 1] = [(
    "SELECT user_id, last_stamp, (SELECT epoch FROM meta WHERE only_row = 1) FROM sync_clocks WHERE user_id = ANY ($1)",
    "_uuid",
    "devices at rest ask together; where a machine is away, each asks alone",
)];

/// A server that tells each client how it goes about what it is asked.
pub(crate) async fn telling() -> &'static Server {
    static TELLING: OnceCell<Server> = OnceCell::const_new();
    TELLING
        .get_or_init(|| async {
            let options = [
                ("session_preload_libraries", "auto_explain"),
                ("auto_explain.log_min_duration", "0"),
                ("auto_explain.log_level", "notice"),
                ("auto_explain.log_format", "json"),
                ("plan_cache_mode", "force_custom_plan"),
            ];
            let with = |all: ClusterOptions, (name, value)| all.with(name, value);
            let options = options.into_iter().fold(ClusterOptions::default(), with);
            Cluster::start(options).await.server().clone()
        })
        .await
}

/// PgBouncer in transaction mode, with what it asks for (no prepared statements, and connections that are asked whether
/// they still work), over tables that are cut.
struct Cut {
    fixture: Fixture,
    bouncer: PgBouncer,
}

#[async_trait]
impl StoreFixture for Cut {
    const PARALLEL_WRITERS: bool = true;

    async fn start(clock: Arc<dyn Clock>) -> Self {
        let database = TestDatabase::create_on(telling().await, &shards::distributed()).await;
        let bouncer = PgBouncer::start(&database.url()).await;
        let url = wire::tapped(&bouncer.url(), Arc::new(Told)).await;
        let fixture = Fixture::over(database, clock, |settings| {
            settings.url = url.parse().expect("it is a URL");
            settings.prepared_statements = false;
            settings.verify_connections = true;
        });
        Self {
            fixture: fixture.await,
            bouncer,
        }
    }

    fn stores(&self) -> Stores {
        self.fixture.stores()
    }

    async fn stop(self) {
        self.fixture.store.close().await;
        drop(self.bouncer);
        self.fixture.database.remove().await;
    }
}

/// Each statement that was sent.
static SEEN: Mutex<BTreeMap<String, Seen>> = Mutex::new(BTreeMap::new());

/// What was sent outside of a transaction before what came before it was answered. `PgBouncer` may have given the connection
/// to somebody else in the middle of it, and finish it on another one: with the statement that somebody else sent there.
static PILED_UP: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

#[derive(Default)]
struct Seen {
    /// The types of its values.
    types: Vec<String>,
    /// The tables that its plans touch; none, where it has no plan.
    tables: BTreeSet<String>,
    /// The most shards that one plan of it touches.
    shards: usize,
}

fn with_seen(text: &str, look: impl FnOnce(&mut Seen)) {
    let text: Vec<_> = text.split_whitespace().collect();
    let mut seen = SEEN.lock().unwrap_or_else(PoisonError::into_inner);
    look(seen.entry(text.join(" ")).or_default());
}

/// Hears what the server is asked, and how it goes about it.
struct Told;

impl wire::Listener for Told {
    /// A statement comes as a name, its text, and how many values it has of what types.
    fn asked(&self, kind: u8, body: &[u8]) {
        if kind != b'P' {
            return;
        }
        let mut parts = body.splitn(3, |byte| *byte == 0).skip(1);
        let (text, types) = (parts.next().unwrap(), parts.next().unwrap());
        let types = types[2..].chunks(4).map(|oid| {
            let oid = u32::from_be_bytes(oid.try_into().unwrap());
            Type::from_oid(oid).unwrap().name().to_owned()
        });
        let types = types.collect();
        with_seen(str::from_utf8(text).unwrap(), |seen| seen.types = types);
    }

    fn piled_up(&self, body: &[u8]) {
        let text = String::from_utf8_lossy(body).into_owned();
        PILED_UP
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(text);
    }

    fn answered(&self, kind: u8, body: &[u8]) {
        if kind != b'N' {
            return;
        }
        let fields = body.split(|byte| *byte == 0);
        let message = fields.filter_map(|field| str::from_utf8(field).ok()?.strip_prefix('M'));
        for told in message.filter_map(|message| message.split_once("plan:\n")) {
            let told: Value = serde_json::from_str(told.1).expect("a plan as JSON");
            let (mut tables, mut shards) = (BTreeSet::new(), BTreeSet::new());
            relations(
                &told["Plan"],
                &mut |relation| match relation.split_once("_shard_") {
                    Some((table, shard)) => {
                        tables.insert(table.to_owned());
                        shards.insert(shard.to_owned());
                    }
                    None => drop(tables.insert(relation.to_owned())),
                },
            );
            with_seen(told["Query Text"].as_str().unwrap(), |seen| {
                seen.tables.extend(tables);
                seen.shards = seen.shards.max(shards.len());
            });
        }
    }
}

fn relations(plan: &Value, told: &mut impl FnMut(&str)) {
    match plan {
        Value::Object(fields) => {
            if let Some(relation) = fields.get("Relation Name").and_then(Value::as_str) {
                told(relation);
            }
            fields.values().for_each(|value| relations(value, told));
        }
        Value::Array(all) => all.iter().for_each(|value| relations(value, told)),
        _ => {}
    }
}

/// What of a statement would have it asked of more than one machine, or refused there.
fn faults(text: &str, seen: &Seen) -> Vec<String> {
    let is_users = |table: &&String| USERS_TABLES.contains(&table.as_str());
    let (users, others): (Vec<_>, Vec<_>) = seen.tables.iter().partition(is_users);
    let mut faults = Vec::new();
    if seen.shards > 1 {
        faults.push(format!("it touches {} shards", seen.shards));
    }
    if !text.contains("user_id = $") && !is_insert_of_values(text) {
        faults.push("it names no user".to_owned());
    }
    let others: Vec<_> = others.iter().filter(|table| **table != REFERENCE_TABLE).collect();
    if !others.is_empty() {
        faults.push(format!("it mixes {users:?} with {others:?}"));
    }
    if text
        .match_indices("(INSERT ")
        .any(|(at, _)| text[..at].ends_with("AS "))
        || text.contains("( INSERT ")
    {
        faults.push("it has an INSERT inside of a WITH".to_owned());
    }
    if inserted_user(text).is_some_and(|user| user.starts_with('$')) {
        faults.push("its INSERT ... SELECT takes the user from a value".to_owned());
    }
    // A user that moves to another machine waits for what writes, and for nothing else.
    let locks = ["FOR UPDATE", "FOR NO KEY UPDATE", "FOR SHARE", "FOR KEY SHARE"];
    let writes = ["INSERT INTO ", "DELETE FROM ", " SET "];
    let has = |any: &[&str]| any.iter().any(|part| text.contains(part));
    if has(&locks) && !has(&writes) {
        faults.push("it locks, and would write nothing".to_owned());
    }
    faults
}

fn is_insert_of_values(text: &str) -> bool {
    text.starts_with("INSERT ") && text.contains(") VALUES (")
}

/// What an `INSERT ... SELECT` puts into `user_id`.
fn inserted_user(text: &str) -> Option<&str> {
    let insert = &text[text.find("INSERT INTO ")?..];
    let (columns, rest) = insert[insert.find('(')? + 1..].split_once(')')?;
    let place = columns.split(',').position(|column| column.trim() == "user_id")?;
    let values = rest.trim_start().strip_prefix("SELECT ")?;
    let mut depth = 0;
    values
        .split(|c: char| {
            depth += i32::from(c == '(') - i32::from(c == ')');
            c == ',' && depth == 0
        })
        .nth(place)
        .map(str::trim)
}

/// All cases of the suite; those that fail are told at the end.
fn run_all(cases: Vec<(&'static str, mosaic_testkit::Case)>) -> Vec<&'static str> {
    let (left, failed) = (Mutex::new(cases), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let next = left.lock().unwrap().pop();
                    let Some((name, case)) = next else { return };
                    if catch_unwind(case).is_err() {
                        failed.lock().unwrap().push(name);
                    }
                }
            });
        }
    });
    failed.into_inner().unwrap()
}

/// Whose rows a statement is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum About {
    OneUser,
    ManyUsers,
    Coordinator,
}

impl About {
    fn of(text: &str, seen: &Seen) -> Self {
        if !seen
            .tables
            .iter()
            .any(|table| USERS_TABLES.contains(&table.as_str()))
        {
            return Self::Coordinator;
        }
        if OF_MANY_USERS.iter().any(|(of_many, ..)| *of_many == text) {
            return Self::ManyUsers;
        }
        Self::OneUser
    }

    fn heading(self) -> &'static str {
        match self {
            Self::OneUser => OF_ONE_USER,
            Self::ManyUsers => "-- Of many users",
            Self::Coordinator => "-- Of the coordinator's tables",
        }
    }
}

/// The list of statements, in lines that can be read.
fn list(seen: &BTreeMap<String, Seen>) -> String {
    let mut groups: BTreeMap<About, BTreeMap<&str, String>> = BTreeMap::new();
    // What is asked of the catalogue is about nobody's rows.
    let is_ours = |table: &String| !table.starts_with("pg_");
    for (text, seen) in seen.iter().filter(|(_, seen)| seen.tables.iter().any(is_ours)) {
        let of_group = groups.entry(About::of(text, seen)).or_default();
        of_group.insert(text, seen.types.join(", "));
    }
    for (text, of, _) in OF_MANY_USERS {
        groups
            .entry(About::ManyUsers)
            .or_default()
            .insert(text, of.to_owned());
    }
    let mut list = "-- The statements of the PostgreSQL store on its tables, as the conformance suite sends them, by whose rows they\n\
                    -- are about. Written by the test in crates/adapter-postgres/tests/store/locality.rs (UPDATE_DOCS=1).\n"
        .to_owned();
    let mut number = 0;
    for (about, statements) in groups {
        let _ = writeln!(list, "\n{}", about.heading());
        for (text, types) in statements {
            number += 1;
            if let Some((.., reason)) = OF_MANY_USERS.iter().find(|(of_many, ..)| *of_many == text) {
                list.push_str(&wrapped(&format!("-- {reason}"), "-- "));
            }
            let types = if types.is_empty() {
                types
            } else {
                format!(" ({types})")
            };
            list.push_str(&wrapped(
                &format!("PREPARE statement_{number}{types} AS {text};"),
                "    ",
            ));
        }
    }
    list
}

/// The statements of a list, in any order, without their numbers.
fn statements(list: &str) -> BTreeSet<String> {
    let words: Vec<_> = list.split_whitespace().collect();
    let words = words.join(" ");
    let statements = words.split("PREPARE ").skip(1);
    statements
        .filter_map(|statement| Some(statement.split_once(';')?.0.split_once(' ')?.1.to_owned()))
        .collect()
}

/// In lines of at most 120 characters.
fn wrapped(text: &str, indent: &str) -> String {
    let (mut lines, mut line) = (String::new(), String::new());
    for word in text.split(' ') {
        if !line.is_empty() && line.len() + 1 + word.len() > 120 {
            lines.push_str(&line);
            lines.push('\n');
            line = format!("{indent}{word}");
        } else {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    format!("{lines}{line}\n")
}

#[test]
fn the_suite_holds_on_tables_that_are_cut_and_every_statement_about_a_user_touches_one_part() {
    let failed = run_all(mosaic_testkit::conformance!(list, Cut));
    assert!(failed.is_empty(), "cases that fail: {failed:?}");
    let piled_up = PILED_UP.lock().unwrap_or_else(PoisonError::into_inner);
    assert!(piled_up.is_empty(), "sent before its turn: {piled_up:#?}");
    let seen = SEEN.lock().unwrap_or_else(PoisonError::into_inner);
    let mut faulty = Vec::new();
    for (text, seen) in &*seen {
        if About::of(text, seen) == About::OneUser {
            let found = faults(text, seen);
            faulty.extend((!found.is_empty()).then(|| format!("{}:\n    {text}", found.join("; "))));
        }
    }
    println!("{} statements", seen.len());
    assert!(
        faulty.is_empty(),
        "{} statements:\n{}",
        faulty.len(),
        faulty.join("\n")
    );
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/statements.sql");
    let list = list(&seen);
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(path, list).unwrap();
        return;
    }
    let (sent, listed) = (
        statements(&list),
        statements(&std::fs::read_to_string(path).unwrap()),
    );
    assert!(
        sent == listed,
        "docs/statements.sql is not what the suite sends (UPDATE_DOCS=1 writes it): not listed {:#?}, not sent {:#?}",
        sent.difference(&listed).collect::<Vec<_>>(),
        listed.difference(&sent).collect::<Vec<_>>()
    );
}

/// Each clause finds what it is about.
#[test]
fn a_statement_that_more_than_one_machine_would_be_asked_for_is_found() {
    let on = |tables: &[&str], shards| Seen {
        tables: tables.iter().map(|table| (*table).to_owned()).collect(),
        shards,
        types: Vec::new(),
    };
    let (records, one) = (["records"], "SELECT 1 FROM records WHERE user_id = $1");
    let found = |text: &str, seen: &Seen| faults(text, seen).join("; ");
    assert_eq!(found(one, &on(&records, 1)), "");
    assert_eq!(found(one, &on(&["meta", "records"], 1)), "");
    assert_eq!(found(one, &on(&records, 2)), "it touches 2 shards");
    assert!(found(one, &on(&["records", "users"], 1)).starts_with("it mixes"));
    assert_eq!(
        found("SELECT 1 FROM records WHERE record_key = $1", &on(&records, 1)),
        "it names no user"
    );
    let lock = "SELECT 1 FROM records WHERE user_id = $1 FOR KEY SHARE";
    assert_eq!(found(lock, &on(&records, 1)), "it locks, and would write nothing");
    let values = "INSERT INTO records (record_key, user_id) VALUES ($1, $2)";
    assert_eq!(found(values, &on(&records, 0)), "");
    let with =
        "WITH a AS (INSERT INTO records (user_id) SELECT c.user_id FROM c WHERE user_id = $1) SELECT 1";
    assert_eq!(found(with, &on(&records, 1)), "it has an INSERT inside of a WITH");
    for (user, fault) in [
        ("c.user_id", ""),
        ("$1", "its INSERT ... SELECT takes the user from a value"),
    ] {
        let select = format!(
            "INSERT INTO records (record_key, user_id) SELECT coalesce(n.a, n.b), {user} FROM c WHERE c.user_id = $1"
        );
        assert_eq!(found(&select, &on(&records, 1)), fault);
    }
}
