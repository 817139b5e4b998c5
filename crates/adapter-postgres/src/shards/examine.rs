//! Whether users lie as they should on the machines of a distributed database, for `mosaic doctor`.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value;
use tokio_postgres::{Client, Error};

use super::{FIRST, Kind, REFERENCE_TABLE, USERS_TABLES, ask, has_citus, is_distributed, kinds, machines};
use crate::statements::{self, Statement};

/// How a distributed database lies.
#[derive(Debug, Clone, Default)]
pub struct ShardReport {
    /// How many users there are on each machine that holds any.
    pub users: BTreeMap<String, u64>,
    /// So many statements about one user are answered by one machine.
    pub statements: usize,
    /// What is not as it should be.
    pub findings: Vec<ShardFinding>,
}

/// Something that is not as it should be. Shown, it says what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ShardFinding {
    /// A table lies elsewhere than it should.
    Table {
        /// Which one.
        table: &'static str,
        /// How it lies.
        found: String,
    },
    /// A machine takes no part.
    Inactive(String),
    /// Machines do not reach each other.
    Unreachable {
        /// The one that asks.
        from: String,
        /// The one that is asked.
        to: String,
    },
    /// A statement about one user asks more than one machine.
    Statement {
        /// Its text.
        text: String,
        /// How it is answered.
        how: String,
    },
}

impl fmt::Display for ShardFinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Table { table, found } => write!(
                f,
                "table: {table} is {found}. Stop the servers, and run `mosaic migrate --distribute citus`"
            ),
            Self::Inactive(machine) => write!(
                f,
                "machine: {machine} is not active. Its users are answered with 503 until it is"
            ),
            Self::Unreachable { from, to } => write!(f, "machine: {to} is not reached from {from}"),
            Self::Statement { text, how } => {
                write!(f, "statement: asks more than one machine ({how}): {text}")
            }
        }
    }
}

/// How this database lies; `None` where all users are on one machine. In a transaction that is not ended: a pooler gives
/// each its own connection, and what is prepared belongs to one.
pub(crate) async fn examine(client: &Client) -> Result<Option<ShardReport>, Error> {
    if !has_citus(client).await? || !is_distributed(client).await? {
        return Ok(None);
    }
    client.batch_execute("BEGIN").await?;
    let mut report = ShardReport {
        findings: tables(&kinds(client).await?),
        ..ShardReport::default()
    };
    for (machine, is_active) in machines(client).await? {
        if !is_active {
            report.findings.push(ShardFinding::Inactive(machine));
        }
    }
    report.findings.extend(unreachable(client).await?);
    report.users = users(client).await?;
    for statement in statements::of_one_user() {
        match plan(client, statement).await? {
            Answered::ByOne => report.statements += 1,
            Answered::Otherwise(how) => report.findings.push(ShardFinding::Statement {
                text: statement.text.clone(),
                how,
            }),
        }
    }
    Ok(Some(report))
}

/// Tables that lie elsewhere than they should.
fn tables(kinds: &BTreeMap<String, Kind>) -> Vec<ShardFinding> {
    let mut findings = Vec::new();
    let first = kinds.get(FIRST);
    let wanted = |table: &str, kind: Option<&Kind>| match kind {
        Some(Kind::Reference) => table == REFERENCE_TABLE,
        Some(Kind::Spread { by, .. }) => table != REFERENCE_TABLE && by == "user_id" && kind == first,
        Some(Kind::Local) | None => false,
    };
    for table in USERS_TABLES.into_iter().chain([REFERENCE_TABLE]) {
        let kind = kinds.get(table);
        if !wanted(table, kind) {
            let found = kind.unwrap_or(&Kind::Local).shown();
            findings.push(ShardFinding::Table { table, found });
        }
    }
    findings
}

async fn unreachable(client: &Client) -> Result<Vec<ShardFinding>, Error> {
    let sql = "
        SELECT from_nodename || ':' || from_nodeport, to_nodename || ':' || to_nodeport
        FROM citus_check_cluster_node_health() WHERE result IS NOT TRUE";
    let rows = ask(client, sql).await?;
    let finding = |row: &tokio_postgres::Row| ShardFinding::Unreachable {
        from: row.get(0),
        to: row.get(1),
    };
    Ok(rows.iter().map(finding).collect())
}

/// How many users each machine has.
async fn users(client: &Client) -> Result<BTreeMap<String, u64>, Error> {
    let sql = "
        SELECT placed.nodename || ':' || placed.nodeport, sum(CASE WHEN counted.success THEN counted.result::bigint END)::bigint
        FROM run_command_on_shards('sync_clocks', 'SELECT count(*) FROM %s') AS counted
        JOIN pg_dist_shard_placement AS placed USING (shardid)
        GROUP BY 1";
    let rows = ask(client, sql).await?;
    let users = |row: &tokio_postgres::Row| {
        let count: Option<i64> = row.get(1);
        (row.get(0), count.unwrap_or(0).unsigned_abs())
    };
    Ok(rows.iter().map(users).collect())
}

/// How a statement is answered.
#[derive(Debug, PartialEq, Eq)]
enum Answered {
    /// By one machine.
    ByOne,
    Otherwise(String),
}

/// Has the database say how it would answer a statement, or why it would not. Nothing is executed.
async fn plan(client: &Client, statement: &Statement) -> Result<Answered, Error> {
    client.batch_execute("SAVEPOINT statement").await?;
    let planned = explain(client, statement).await;
    client.batch_execute("ROLLBACK TO SAVEPOINT statement").await?;
    client.batch_execute("DEALLOCATE ALL").await?;
    Ok(planned.unwrap_or_else(|error| {
        let refused = error.as_db_error().map(ToString::to_string);
        Answered::Otherwise(refused.unwrap_or_else(|| error.to_string()))
    }))
}

async fn explain(client: &Client, statement: &Statement) -> Result<Answered, Error> {
    let name = "mosaic_doctor";
    let prepare = format!(
        "PREPARE {name} ({}) AS {}",
        statement.types.join(", "),
        statement.text
    );
    client.batch_execute(&prepare).await?;
    let samples: Vec<_> = statement.types.iter().map(|of| sample(of)).collect();
    let explain = format!("EXPLAIN (FORMAT JSON) EXECUTE {name} ({})", samples.join(", "));
    let rows = client.simple_query(&explain).await?;
    let rows = rows.into_iter().filter_map(|message| match message {
        tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
        _ => None,
    });
    let text: Vec<_> = rows.collect();
    Ok(serde_json::from_str(&text.join("\n")).map_or_else(
        |error| Answered::Otherwise(format!("its plan can not be read: {error}")),
        |plan| answered(&plan),
    ))
}

/// A value of a type: for a user, one that there may be; one is as good as another for where its rows are.
fn sample(of: &str) -> &'static str {
    match of {
        "uuid" => "'00000000-0000-0000-0000-000000000007'",
        "int2" | "int4" | "int8" | "float8" => "1",
        "bool" => "true",
        of if of.starts_with('_') => "'{}'",
        _ => "''",
    }
}

/// What a plan says: one that the extension splits has a number of tasks, and one that it collects on the coordinator says
/// so.
fn answered(plan: &Value) -> Answered {
    let mut tasks = Vec::new();
    let mut collected = None;
    visit(plan, &mut |name, value| match (name, value) {
        ("Task Count", Value::Number(count)) => tasks.push(count.as_u64().unwrap_or(u64::MAX)),
        ("INSERT/SELECT method", Value::String(how)) => collected = Some(how.clone()),
        ("Distributed Subplan" | "Subplans" | "Distributed Subplans", _) => {
            collected = Some("parts of it are collected first".to_owned());
        }
        _ => {}
    });
    match (collected, tasks.iter().find(|count| **count > 1)) {
        (Some(how), _) => Answered::Otherwise(how),
        (None, Some(count)) => Answered::Otherwise(format!("{count} tasks")),
        (None, None) => Answered::ByOne,
    }
}

fn visit<'a>(value: &'a Value, told: &mut impl FnMut(&'a str, &'a Value)) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                told(name, value);
                visit(value, told);
            }
        }
        Value::Array(all) => all.iter().for_each(|value| visit(value, told)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(plan: &str) -> Answered {
        answered(&serde_json::from_str(plan).unwrap())
    }

    #[test]
    fn a_plan_says_how_many_machines_are_asked() {
        let job = |tasks: u32| {
            format!(
                r#"[{{"Plan": {{"Node Type": "Custom Scan", "Custom Plan Provider": "Citus Adaptive",
                    "Distributed Query": {{"Job": {{"Task Count": {tasks}, "Tasks": []}}}}}}}}]"#
            )
        };
        assert_eq!(of(&job(1)), Answered::ByOne);
        assert_eq!(of(&job(32)), Answered::Otherwise("32 tasks".to_owned()));
        let pulled = r#"[{"Plan": {"INSERT/SELECT method": "pull to coordinator"}}]"#;
        assert_eq!(of(pulled), Answered::Otherwise("pull to coordinator".to_owned()));
        // Of the coordinator's own tables.
        assert_eq!(of(r#"[{"Plan": {"Node Type": "Index Scan"}}]"#), Answered::ByOne);
    }

    #[test]
    fn tables_lie_beside_each_other() {
        let spread = |beside| Kind::Spread {
            by: "user_id".to_owned(),
            beside,
        };
        let mut all: BTreeMap<_, _> = USERS_TABLES.map(|table| (table.to_owned(), spread(3))).into();
        all.insert(REFERENCE_TABLE.to_owned(), Kind::Reference);
        assert_eq!(tables(&all), []);
        all.insert("uploads".to_owned(), spread(4));
        all.remove("avatars");
        let found: Vec<_> = tables(&all).iter().map(ToString::to_string).collect();
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].starts_with("table: avatars is on the coordinator."));
        assert!(found[1].starts_with("table: uploads is spread by user_id (colocation 4)."));
    }
}
