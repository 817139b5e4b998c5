//! Where users are too many for one machine, each machine has all rows of its users. What that asks of the statements is
//! shown on plain PostgreSQL: the users' tables are cut into four by `user_id`, the whole suite runs on them, behind a
//! pooler, and the plan of each statement is looked at.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::catch_unwind;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use async_trait::async_trait;
use mosaic_adapter_postgres::{OpenError, REFERENCE_TABLE, USERS_TABLES};
use mosaic_ports::Clock;
use mosaic_testkit::postgres::{Cluster, ClusterOptions, PgBouncer, Server, Template, TestDatabase};
use mosaic_testkit::{StoreFixture, Stores};
use serde_json::Value;
use tokio::sync::OnceCell;

use crate::fixture::Fixture;
use crate::support::{MIGRATIONS, open, settings};
use crate::wire;

/// So many cases at a time.
const AT_ONCE: usize = 8;

/// Statements about many users, by what they contain, and why there are any.
const OF_MANY_USERS: [(&str, &str); 0] = [];

/// Puts a table that is cut into four, `NAME_shard_0` and so on, in the place of one.
const CUT: &str = "
    DO $$
    DECLARE
        definitions text[];
        definition text;
    BEGIN
        SELECT array_agg(format('ALTER TABLE {TABLE} ADD CONSTRAINT %I %s', conname, pg_get_constraintdef(oid)))
            INTO definitions
            FROM pg_constraint WHERE conrelid = '{TABLE}'::regclass AND contype IN ('p', 'u');
        SELECT definitions || coalesce(array_agg(pg_get_indexdef(indexrelid)), '{}') INTO definitions
            FROM pg_index WHERE indrelid = '{TABLE}'::regclass
            AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = indexrelid);
        CREATE TABLE shard (LIKE {TABLE} INCLUDING ALL EXCLUDING INDEXES) PARTITION BY HASH (user_id);
        DROP TABLE {TABLE};
        ALTER TABLE shard RENAME TO {TABLE};
        FOR n IN 0..3 LOOP
            EXECUTE format('CREATE TABLE {TABLE}_shard_%s PARTITION OF {TABLE} FOR VALUES WITH (MODULUS 4, REMAINDER %s)',
                           n, n);
        END LOOP;
        FOREACH definition IN ARRAY definitions LOOP
            EXECUTE definition;
        END LOOP;
    END $$";

/// A server that tells each client how it goes about what it is asked.
async fn telling() -> &'static Server {
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

fn cut() -> Template {
    Template::new("store_cut", MIGRATIONS, |url| async move {
        open(settings(&url)).await?.close().await;
        let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap();
        let connection = tokio::spawn(connection);
        for table in USERS_TABLES {
            client
                .batch_execute(&CUT.replace("{TABLE}", table))
                .await
                .unwrap_or_else(|error| panic!("{table}: {}", crate::chain(&error)));
        }
        drop(client);
        connection.await.unwrap().unwrap();
        Ok::<_, OpenError>(())
    })
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
        let database = TestDatabase::create_on(telling().await, &cut()).await;
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

/// Each statement that was sent, and the tables that its plans touch.
static SEEN: Mutex<BTreeMap<String, Touched>> = Mutex::new(BTreeMap::new());

#[derive(Default)]
struct Touched {
    tables: BTreeSet<String>,
    /// The most shards that one plan of it touches.
    shards: usize,
}

/// Hears how the server goes about each statement.
struct Told;

impl wire::Listener for Told {
    fn answered(&self, kind: u8, body: &[u8]) {
        if kind != b'N' {
            return;
        }
        let fields = body.split(|byte| *byte == 0);
        let message = fields.filter_map(|field| str::from_utf8(field).ok()?.strip_prefix('M'));
        for told in message.filter_map(|message| message.split_once("plan:\n")) {
            let told: Value = serde_json::from_str(told.1).expect("a plan as JSON");
            let text = told["Query Text"].as_str().unwrap();
            let text: Vec<_> = text.split_whitespace().collect();
            let (mut tables, mut shards) = (BTreeSet::new(), BTreeSet::new());
            relations(&told["Plan"], &mut |relation| match relation.split_once("_shard_") {
                Some((table, shard)) => {
                    tables.insert(table.to_owned());
                    shards.insert(shard.to_owned());
                }
                None => drop(tables.insert(relation.to_owned())),
            });
            let mut seen = SEEN.lock().unwrap_or_else(PoisonError::into_inner);
            let touched = seen.entry(text.join(" ")).or_default();
            touched.tables.extend(tables);
            touched.shards = touched.shards.max(shards.len());
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
fn faults(text: &str, touched: &Touched) -> Vec<String> {
    let is_users = |table: &&String| USERS_TABLES.contains(&table.as_str());
    let (users, others): (Vec<_>, Vec<_>) = touched.tables.iter().partition(is_users);
    if users.is_empty() || OF_MANY_USERS.iter().any(|(part, _)| text.contains(part)) {
        return Vec::new();
    }
    let mut faults = Vec::new();
    if touched.shards > 1 {
        faults.push(format!("it touches {} shards", touched.shards));
    }
    if !text.contains("user_id = $") && !is_insert_of_values(text) {
        faults.push("it names no user".to_owned());
    }
    let others: Vec<_> = others.iter().filter(|table| **table != REFERENCE_TABLE).collect();
    if !others.is_empty() {
        faults.push(format!("it mixes {users:?} with {others:?}"));
    }
    if text.match_indices("(INSERT ").any(|(at, _)| text[..at].ends_with("AS ")) || text.contains("( INSERT ") {
        faults.push("it has an INSERT inside of a WITH".to_owned());
    }
    if inserted_user(text).is_some_and(|user| user.starts_with('$')) {
        faults.push("its INSERT ... SELECT takes the user from a value".to_owned());
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
                        eprintln!("{name} fails");
                        failed.lock().unwrap().push(name);
                    }
                }
            });
        }
    });
    failed.into_inner().unwrap()
}

#[test]
fn the_suite_holds_on_tables_that_are_cut_and_every_statement_about_a_user_touches_one_part() {
    let failed = run_all(mosaic_testkit::conformance!(list, Cut));
    assert!(failed.is_empty(), "cases that fail: {failed:?}");
    let seen = SEEN.lock().unwrap_or_else(PoisonError::into_inner);
    let mut faulty = Vec::new();
    for (text, touched) in &*seen {
        let faults = faults(text, touched);
        if !faults.is_empty() {
            faulty.push(format!("{}:\n    {text}", faults.join("; ")));
        }
    }
    println!("{} statements", seen.len());
    assert!(
        faulty.is_empty(),
        "{} of {} statements:\n{}",
        faulty.len(),
        seen.len(),
        faulty.join("\n")
    );
}
