//! Users on many machines: the database of one user is small, that of all may be too large for one machine. Citus, an
//! extension of PostgreSQL, spreads tables by a column; spread by `user_id`, all rows of a user are on one machine, and
//! every statement about one user is answered there (`docs/operations.md`).

mod examine;

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::{Instant, timeout};

use tokio_postgres::types::Type;
use tokio_postgres::{Client, Error, Row};

use crate::session::Database;

pub(crate) use examine::examine;
pub use examine::{ShardFinding, ShardReport};

/// The tables that hold rows of users. Every key of theirs has the column `user_id`, and no foreign key leaves them.
pub const USERS_TABLES: [&str; 12] = [
    FIRST,
    "records",
    "record_search",
    "revisions",
    "purged_revisions",
    "sync_cursors",
    "activity",
    "contents",
    "content_variants",
    "avatars",
    "uploads",
    "upload_parts",
];

/// The one that is spread first; all others lie beside it.
const FIRST: &str = "sync_clocks";

/// The table of which every machine has a copy.
pub const REFERENCE_TABLE: &str = "meta";

/// Has what is set for a transaction from now on hold for what other machines do in it, too.
pub(crate) const PASS_ON: &str = "SET LOCAL citus.propagate_set_commands = 'local'";

/// Has a transaction take as long as it takes, on every machine, whatever limit the role has. Waiting for locks keeps its
/// limit, if there is one.
pub(crate) const WITHOUT_LIMIT: &str =
    "SET LOCAL citus.propagate_set_commands = 'local'; SET LOCAL statement_timeout = 0";

/// The first version of the extension that has each statement about one user carried out where the user is.
const OLDEST: (u32, u32) = (12, 1);

/// Why tables can not be spread.
#[derive(Debug, thiserror::Error)]
pub enum ShardsError {
    /// The extension is not there.
    #[error(
        "the extension citus is missing in this database: put it into shared_preload_libraries, and run CREATE EXTENSION \
         citus, on the coordinator and on every worker"
    )]
    NoExtension,
    /// The extension is of a version before 12.1.
    #[error("the extension citus is of version {0}, and 12.1 or later is needed")]
    TooOld(String),
    /// An interruption left some tables where they were, and nothing was to be changed.
    #[error(
        "some of its tables are spread over machines, and others are not: `mosaic migrate --distribute citus` goes on"
    )]
    InPart,
    /// This is a worker.
    #[error("this is a worker: the coordinator knows where users are")]
    Worker,
    /// The coordinator is unknown to itself.
    #[error("the coordinator is not among its own machines: SELECT citus_set_coordinator_host('NAME', 5432)")]
    NoCoordinator,
    /// Nobody holds shards.
    #[error(
        "no machine holds shards: name the workers to the coordinator (SELECT citus_add_node('NAME', 5432)), and run this \
         there"
    )]
    NoMachine,
    /// A machine does not take part.
    #[error("the machine {0} is not active (SELECT citus_activate_node(...))")]
    Inactive(String),
    /// Somebody has spread a table in another way.
    #[error(
        "the table {table} is {found}, and should be {wanted}: undistribute_table('{table}') makes it one table again"
    )]
    OtherKind {
        /// Which one.
        table: &'static str,
        /// How it lies.
        found: String,
        /// How it should.
        wanted: String,
    },
    /// A statement failed.
    #[error(transparent)]
    Database(#[from] Error),
}

/// How a table lies.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    /// Spread by a column; tables of one number lie beside each other.
    Spread { by: String, beside: i32 },
    /// Copied to every machine.
    Reference,
    /// On the coordinator, and known to the extension.
    Local,
}

impl Kind {
    fn shown(&self) -> String {
        match self {
            Self::Spread { by, beside } => format!("spread by {by} (colocation {beside})"),
            Self::Reference => "copied to every machine".to_owned(),
            Self::Local => "on the coordinator".to_owned(),
        }
    }
}

/// How long the machines may take to answer, all together.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);

/// How long what they said is taken for true: whoever asks, and however often, asks them no more often than that.
const ASKED_EVERY: Duration = Duration::from_secs(5);

/// The machines of a distributed database, asked whether they are there.
#[derive(Debug, Default)]
pub(crate) struct Machines {
    /// When they were asked last, and whether some did not answer.
    asked: tokio::sync::Mutex<Option<(Instant, bool)>>,
}

impl Machines {
    /// Whether each of them answers, now or a moment ago. Which do not is logged when that begins.
    pub(crate) async fn all_answer(&self, database: &Database) -> bool {
        let mut asked = self.asked.lock().await;
        if let Some((_, are_missing)) = asked.filter(|(at, _)| at.elapsed() < ASKED_EVERY) {
            return !are_missing;
        }
        let were_missing = asked.is_some_and(|(_, are_missing)| are_missing);
        let are_missing = are_missing(database, were_missing).await;
        *asked = Some((Instant::now(), are_missing));
        !are_missing
    }
}

async fn are_missing(database: &Database, were_missing: bool) -> bool {
    let sql = "
        SELECT nodename || ':' || nodeport FROM run_command_on_workers('SELECT 1') WHERE NOT success
        UNION ALL
        SELECT nodename || ':' || nodeport FROM pg_dist_node
        WHERE noderole = 'primary' AND shouldhaveshards AND NOT isactive";
    let silent: Vec<String> = match timeout(ANSWER_TIMEOUT, database.read(sql, &[])).await {
        Ok(Ok(rows)) => rows.iter().map(|row| row.get(0)).collect(),
        Ok(Err(failure)) => vec![format!("it is not known which: {failure}")],
        Err(_) => vec!["it is not known which: the coordinator has no answer".to_owned()],
    };
    let are_missing = !silent.is_empty();
    if are_missing && !were_missing {
        let machines = silent.join(", ");
        tracing::error!(
            machines,
            "machines of the database do not answer: their users are not served"
        );
    } else if were_missing && !are_missing {
        tracing::info!("all machines of the database answer again");
    }
    are_missing
}

/// Whether the extension is there.
async fn has_citus(client: &Client) -> Result<bool, Error> {
    Ok(yes(&ask(
        client,
        "SELECT to_regprocedure('citus_version()') IS NOT NULL",
    )
    .await?))
}

/// What the extension knows of tables; whatever it does not know is on the coordinator.
async fn kinds(client: &Client) -> Result<BTreeMap<String, Kind>, Error> {
    let sql = "
        SELECT logicalrelid::regclass::text, partmethod::text, repmodel::text, colocationid,
               CASE WHEN partkey IS NOT NULL THEN column_to_column_name(logicalrelid, partkey) END
        FROM pg_dist_partition";
    let rows = ask(client, sql).await?;
    let kind = |row: &Row| match (row.get(1), row.get(2)) {
        ("n", "t") => Kind::Reference,
        ("n", _) => Kind::Local,
        _ => Kind::Spread {
            by: row.get::<_, Option<String>>(4).unwrap_or_default(),
            beside: row.get(3),
        },
    };
    Ok(rows.iter().map(|row| (row.get(0), kind(row))).collect())
}

/// Whether the users of this database are spread over machines.
pub(crate) async fn is_distributed(client: &Client) -> Result<bool, Error> {
    Ok(has_citus(client).await? && matches!(kinds(client).await?.get(FIRST), Some(Kind::Spread { .. })))
}

/// Whether some tables are spread, and others are not, which an interruption leaves.
pub(crate) async fn is_distributed_in_part(client: &Client) -> Result<bool, Error> {
    if !has_citus(client).await? {
        return Ok(false);
    }
    let kinds = kinds(client).await?;
    let is_spread = |table: &&str| matches!(kinds.get(*table), Some(Kind::Spread { .. } | Kind::Reference));
    let all = USERS_TABLES.into_iter().chain([REFERENCE_TABLE]);
    Ok((1..=USERS_TABLES.len()).contains(&all.filter(is_spread).count()))
}

/// Accounts are on the coordinator, and nowhere else.
///
/// # Errors
/// [`ShardsError::Worker`].
pub(crate) async fn refuse_worker(client: &Client) -> Result<(), ShardsError> {
    if has_citus(client).await? && yes(&ask(client, "SELECT groupid <> 0 FROM pg_dist_local_group").await?) {
        return Err(ShardsError::Worker);
    }
    Ok(())
}

/// Spreads what is not spread yet, one table at a time: after an interruption it goes on. Gives the names of those. Nobody
/// else may use the database meanwhile.
pub(crate) async fn distribute(client: &Client) -> Result<Vec<&'static str>, ShardsError> {
    if !has_citus(client).await? {
        return Err(ShardsError::NoExtension);
    }
    if let Some(version) = too_old(client).await? {
        return Err(ShardsError::TooOld(version));
    }
    let knows_itself = "SELECT EXISTS (SELECT FROM pg_dist_node WHERE groupid = 0)";
    if !yes(&ask(client, knows_itself).await?) {
        return Err(ShardsError::NoCoordinator);
    }
    let machines = machines(client).await?;
    if machines.is_empty() {
        return Err(ShardsError::NoMachine);
    }
    if let Some((machine, _)) = machines.into_iter().find(|(_, is_active)| !is_active) {
        return Err(ShardsError::Inactive(machine));
    }
    let mut changed = Vec::new();
    if kind_of(client, REFERENCE_TABLE, &Kind::Reference)
        .await?
        .is_none()
    {
        run(
            client,
            "SELECT create_reference_table($1::text::regclass)",
            &[REFERENCE_TABLE],
        )
        .await?;
        changed.push(REFERENCE_TABLE);
    }
    for table in USERS_TABLES {
        let beside = match kinds(client).await?.get(FIRST) {
            Some(Kind::Spread { beside, .. }) => *beside,
            _ => 0,
        };
        let by = "user_id".to_owned();
        let wanted = Kind::Spread { by, beside };
        if kind_of(client, table, &wanted).await?.is_none() {
            let neighbour = if table == FIRST { "none" } else { FIRST };
            let sql =
                "SELECT create_distributed_table($1::text::regclass, 'user_id', colocate_with => $2::text)";
            run(client, sql, &[table, neighbour]).await?;
            tracing::info!(table, "spread by user_id");
            changed.push(table);
        }
        // The rows stay where they were, hidden, until somebody says that they are needed no more; an interruption may have
        // kept that from being said.
        let sql = "SELECT truncate_local_data_after_distributing_table($1::text::regclass)";
        run(client, sql, &[table]).await?;
    }
    Ok(changed)
}

/// How a table lies, where that is as it should; `None` where nobody has said how it should lie.
async fn kind_of(client: &Client, table: &'static str, wanted: &Kind) -> Result<Option<()>, ShardsError> {
    match kinds(client).await?.get(table) {
        None | Some(Kind::Local) => Ok(None),
        Some(found) if found == wanted => Ok(Some(())),
        Some(found) => Err(ShardsError::OtherKind {
            table,
            found: found.shown(),
            wanted: wanted.shown(),
        }),
    }
}

/// Those that hold shards, and whether they take part.
async fn machines(client: &Client) -> Result<Vec<(String, bool)>, Error> {
    let sql = "
        SELECT nodename || ':' || nodeport, isactive FROM pg_dist_node
        WHERE noderole = 'primary' AND shouldhaveshards ORDER BY nodeid";
    let rows = ask(client, sql).await?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
}

async fn ask(client: &Client, sql: &str) -> Result<Vec<Row>, Error> {
    client.query_typed(sql, &[]).await
}

/// Runs a statement on all machines. A large table takes as long as it takes.
async fn run(client: &Client, sql: &str, values: &[&str]) -> Result<(), Error> {
    let values: Vec<_> = values
        .iter()
        .map(|value| (value as &(dyn tokio_postgres::types::ToSql + Sync), Type::TEXT))
        .collect();
    client.batch_execute("BEGIN").await?;
    client.batch_execute(WITHOUT_LIMIT).await?;
    client.query_typed(sql, &values).await?;
    client.batch_execute("COMMIT").await
}

/// The version of the extension, where that is one that collects on the coordinator what it should hand on.
async fn too_old(client: &Client) -> Result<Option<String>, Error> {
    let rows = ask(client, "SELECT citus_version()").await?;
    let Some(row) = rows.first() else { return Ok(None) };
    let said: &str = row.try_get(0)?;
    let version = said.split_whitespace().nth(1).unwrap_or(said);
    let mut numbers = version
        .split(|c: char| !c.is_ascii_digit())
        .map(str::parse::<u32>);
    let release = (numbers.next(), numbers.next());
    let is_old = matches!(release, (Some(Ok(major)), Some(Ok(minor))) if (major, minor) < OLDEST);
    Ok(is_old.then(|| version.to_owned()))
}

fn yes(rows: &[Row]) -> bool {
    rows.first().is_some_and(|row| row.get(0))
}
