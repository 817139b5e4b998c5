//! The schema and its versions, embedded in the binary.
//!
//! Migrations are only ever appended. All that are missing run in one transaction together with the notes that they ran:
//! a crash half-way leaves the database as it was. Each statement is sent by itself ([`script`](crate::script)), since
//! a coordinator of several nodes takes no others. Instances that start at once take turns by an advisory lock. They ask
//! for it again and again instead of waiting for it: a session that waits holds a snapshot, for which a migration that
//! builds an index concurrently would wait in turn. The lock belongs to a transaction on a connection of its own, so that
//! it holds behind a pooler too, and goes when the instance does.

use std::time::Duration;

use deadpool_postgres::Connect as _;
use mosaic_ports::{
    AppliedMigration, BoxError, CREATE_HISTORY, Migration, SELECT_HISTORY, migrations, pending_migrations,
};
use tokio::time::Instant;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Config, GenericClient};

use crate::connect::Connector;
use crate::error::OpenError;
use crate::refold;
use crate::retry::jittered;
use crate::script::statements;
use crate::settings::{PostgresSettings, PostgresUrl};
use crate::shards::{self, ShardsError};

static STEPS: &[Migration] = migrations!(
    "../../../migrations/postgres",
    (1, "initial"),
    (2, "retention_devices_jobs"),
    (3, "attachments"),
    (4, "logins"),
    (5, "shares_and_letter_case"),
    (6, "search_texts"),
    (7, "seals"),
    (8, "deferred_lengths"),
    (9, "clocks_that_never_moved"),
    (10, "time_zones"),
    (11, "tables_by_user"),
    (12, "activity"),
    (13, "account_quotas"),
    (14, "invites"),
);

/// The key of the advisory lock: "mosaic" in ASCII. Such locks are apart for each database.
const LOCK: i64 = 0x6d6f_7361_6963;
/// How long to wait, on average, before the lock is asked for again.
const PAUSE: Duration = Duration::from_millis(100);
/// The oldest server that has all that is used here.
const OLDEST_SERVER: i32 = 13_00_00;

/// A connection for migrations, without limits of time.
struct Migrator<'a> {
    url: &'a PostgresUrl,
    connector: &'a Connector,
    config: &'a Config,
}

/// Brings the schema up to date, or says that it is not. Says whether users are spread over machines.
pub(crate) async fn ensure_schema(
    settings: &PostgresSettings,
    connector: &Connector,
    config: &Config,
) -> Result<bool, OpenError> {
    let migrator = Migrator {
        url: &settings.url,
        connector,
        config,
    };
    let mut client = migrator.connect().await?;
    migrator.check_server(&client).await?;
    migrator.refuse_worker(&client).await?;
    if settings.migrate {
        if !migrator.is_done(&client).await? {
            migrator.migrate(&mut client, settings.migration_timeout).await?;
        }
    } else {
        migrator.refuse_unready(&client).await?;
        if !migrator.is_done(&client).await? {
            return Err(migrator.not_distributable(ShardsError::InPart));
        }
    }
    let start = OpenError::start(&settings.url);
    refold::all(&client).await.map_err(&start)?;
    shards::is_distributed(&client).await.map_err(&start)
}

/// The migrations that a database that must be there has not seen yet. Changes nothing.
pub(crate) async fn pending(
    settings: &PostgresSettings,
    connector: &Connector,
    config: &Config,
) -> Result<&'static [Migration], OpenError> {
    let migrator = Migrator {
        url: &settings.url,
        connector,
        config,
    };
    migrator.pending_of_existing(&migrator.connect().await?).await
}

/// Spreads the users of a database that is up to date over machines; see [`shards::distribute`].
pub(crate) async fn distribute(
    settings: &PostgresSettings,
    connector: &Connector,
    config: &Config,
) -> Result<Vec<&'static str>, OpenError> {
    let migrator = Migrator {
        url: &settings.url,
        connector,
        config,
    };
    let client = migrator.connect().await?;
    migrator.refuse_unready(&client).await?;
    let locker = migrator.connect().await?;
    if !try_lock(&locker).await.map_err(OpenError::start(&settings.url))? {
        return Err(OpenError::Migrating {
            database: settings.url.to_string(),
        });
    }
    migrator.distribute(&client).await
}

impl Migrator<'_> {
    async fn connect(&self) -> Result<Client, OpenError> {
        let connected = self.connector.connect(self.config).await;
        Ok(connected.map_err(OpenError::connect(self.url))?.0)
    }

    async fn check_server(&self, client: &Client) -> Result<(), OpenError> {
        let sql = "SELECT current_setting('server_encoding'), current_setting('server_version_num')::int";
        let rows = client.query_typed(sql, &[]).await;
        let rows = rows.map_err(OpenError::start(self.url))?;
        let Some(row) = rows.first() else { return Ok(()) };
        let (encoding, version): (&str, i32) = (row.get(0), row.get(1));
        let unsupported = |what, found, wanted| OpenError::Unsupported {
            database: self.url.to_string(),
            what,
            found,
            wanted,
        };
        if encoding != "UTF8" {
            return Err(unsupported("its encoding", encoding.to_owned(), "UTF8"));
        }
        if version < OLDEST_SERVER {
            let found = (version / 10_000).to_string();
            return Err(unsupported("its version of PostgreSQL", found, "13 or later"));
        }
        Ok(())
    }

    async fn pending(&self, client: &Client) -> Result<&'static [Migration], OpenError> {
        let applied = applied(client).await.map_err(OpenError::start(self.url))?;
        pending_migrations(STEPS, &applied).map_err(|mismatch| self.failed(mismatch))
    }

    /// The same for a database that must be there: one that has seen none is [`OpenError::Absent`].
    async fn pending_of_existing(&self, client: &Client) -> Result<&'static [Migration], OpenError> {
        let missing = self.pending(client).await?;
        if missing.len() == STEPS.len() {
            return Err(OpenError::Absent(self.url.to_string()));
        }
        Ok(missing)
    }

    async fn refuse_unready(&self, client: &Client) -> Result<(), OpenError> {
        let missing = self.pending_of_existing(client).await?;
        if missing.is_empty() {
            return Ok(());
        }
        Err(OpenError::Pending {
            database: self.url.to_string(),
            missing,
        })
    }

    /// Takes the lock, and runs what is missing then.
    async fn migrate(&self, client: &mut Client, budget: Duration) -> Result<(), OpenError> {
        let locker = self.connect().await?;
        let give_up = Instant::now() + budget;
        while !try_lock(&locker).await.map_err(OpenError::start(self.url))? {
            if Instant::now() >= give_up {
                return Err(OpenError::Migrating {
                    database: self.url.to_string(),
                });
            }
            tokio::time::sleep(jittered(PAUSE)).await;
            if self.is_done(client).await? {
                return Ok(());
            }
        }
        if !self.pending(client).await?.is_empty() {
            self.run(client).await?;
        }
        // What a migration adds to a distributed database is spread like the rest, also where that was interrupted.
        if !self.is_done(client).await? {
            self.distribute(client).await?;
        }
        // The lock ends with its connection, and with it the transaction.
        drop(locker);
        Ok(())
    }

    /// Whether no migration is missing, and no table of a distributed database lies where it was.
    async fn is_done(&self, client: &Client) -> Result<bool, OpenError> {
        let in_part = shards::is_distributed_in_part(client).await;
        Ok(self.pending(client).await?.is_empty() && !in_part.map_err(OpenError::start(self.url))?)
    }

    async fn refuse_worker(&self, client: &Client) -> Result<(), OpenError> {
        let refused = shards::refuse_worker(client).await;
        refused.map_err(|source| self.not_distributable(source))
    }

    async fn distribute(&self, client: &Client) -> Result<Vec<&'static str>, OpenError> {
        self.refuse_worker(client).await?;
        let spread = shards::distribute(client).await;
        spread.map_err(|source| self.not_distributable(source))
    }

    fn not_distributable(&self, source: ShardsError) -> OpenError {
        OpenError::Shards {
            database: self.url.to_string(),
            source,
        }
    }

    async fn run(&self, client: &mut Client) -> Result<(), OpenError> {
        let ran = run_missing(client).await.map_err(|source| self.failed(source))?;
        for Migration { version, name, .. } in ran {
            tracing::info!(version, name, "schema migrated");
        }
        Ok(())
    }

    fn failed(&self, source: impl Into<BoxError>) -> OpenError {
        OpenError::Migration {
            database: self.url.to_string(),
            source: source.into(),
        }
    }
}

/// Takes the lock, if nobody has it, in a transaction that stays open.
async fn try_lock(client: &Client) -> Result<bool, tokio_postgres::Error> {
    client
        .batch_execute("BEGIN; SET LOCAL idle_in_transaction_session_timeout = 0")
        .await?;
    let sql = "SELECT pg_try_advisory_xact_lock($1)";
    let rows = client.query_typed(sql, &[(&LOCK, Type::INT8)]).await?;
    let locked = rows.first().is_some_and(|row| row.get(0));
    if !locked {
        client.batch_execute("ROLLBACK").await?;
    }
    Ok(locked)
}

async fn run_missing(client: &mut Client) -> Result<&'static [Migration], BoxError> {
    let transaction = client.transaction().await?;
    transaction.batch_execute(shards::WITHOUT_LIMIT).await?;
    transaction.batch_execute(CREATE_HISTORY).await?;
    let missing = pending_migrations(STEPS, &applied(&transaction).await?)?;
    for step in missing {
        for statement in statements(step.sql) {
            // In this form the database takes one statement and no more.
            transaction.query_typed(statement, &[]).await?;
        }
        let note = "INSERT INTO refinery_schema_history
                    VALUES ($1, $2, to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'), $3)";
        let noted = [
            (&step.version as &(dyn ToSql + Sync), Type::INT4),
            (&step.name, Type::TEXT),
            (&step.checksum(), Type::TEXT),
        ];
        transaction.query_typed(note, &noted).await?;
    }
    transaction.commit().await?;
    Ok(missing)
}

/// What the database has noted; nothing where it has never been migrated.
async fn applied(client: &impl GenericClient) -> Result<Vec<AppliedMigration>, tokio_postgres::Error> {
    let noted = "SELECT to_regclass('refinery_schema_history') IS NOT NULL";
    let rows = client.query_typed(noted, &[]).await?;
    if !rows.first().is_some_and(|row| row.get(0)) {
        return Ok(Vec::new());
    }
    let rows = client.query_typed(SELECT_HISTORY, &[]).await?;
    let described = |row: &tokio_postgres::Row| AppliedMigration {
        version: row.get(0),
        name: row.get(1),
        checksum: row.get(2),
    };
    Ok(rows.iter().map(described).collect())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use mosaic_domain::attachment::{ContentRef, ReferenceOutcome};
    use mosaic_domain::entity::{Resource, Sha256};
    use mosaic_domain::{Content, UserId};
    use mosaic_ports::{AttachmentAudit as _, AttachmentIndex as _};
    use mosaic_testkit::postgres::{Template, TestDatabase};
    use mosaic_testkit::{ManualClock, SequentialIds, at, resource};
    use refinery::Target;
    use uuid::Uuid;

    use super::*;
    use crate::PostgresStore;

    mod before {
        refinery::embed_migrations!("../../migrations/postgres");
    }

    /// Earlier versions ran the same files with `refinery`: it has nothing to add and nothing to complain of.
    #[tokio::test]
    async fn every_file_is_a_step_and_is_noted_as_before() {
        let database = TestDatabase::create(&Template::empty()).await;
        let mut sql = database.connect().await;
        let ran = run_missing(&mut sql).await.unwrap();
        let mut files = before::migrations::runner().get_migrations().clone();
        files.sort();
        let files = files.iter().map(|file| (file.version(), file.name(), file.sql()));
        let steps = ran.iter().map(|step| (step.version, step.name, Some(step.sql)));
        assert!(files.eq(steps));
        let report = before::migrations::runner().run_async(&mut sql).await.unwrap();
        assert!(report.applied_migrations().is_empty());
        assert!(run_missing(&mut sql).await.unwrap().is_empty());
        database.remove().await;
    }

    const USER: UserId = UserId::new(Uuid::from_u128(7));

    const INSERT_RECORD: &str = "
        INSERT INTO records (user_id, entity_type, record_key, stamp, edit_time, author, created_at, revision_count,
                             is_deleted, is_archived, tags, document)
        VALUES ($1, $2, gen_random_uuid()::text, $3, 1, 'phone', 1, 1, $5, false, '{}', $4)";

    const INSERT_REVISION: &str = "
        INSERT INTO revisions (user_id, revision_id, entity_type, record_key, revision_number, edit_time, author,
                               created_at, reason, recorded_at, document)
        VALUES ($1, gen_random_uuid(), $2, 'x', $3, 1, 'phone', 1, 'deleted', 1, $4)";

    fn hash(n: u8) -> Sha256 {
        Sha256::from_bytes([n; 32])
    }

    /// The document of a resource with that content.
    fn document(sha256: Option<Sha256>) -> String {
        let metadata = format!(r#"{{"sha256":"{}","big":1e300,"quote":"\"sha256\":"}}"#, hash(99));
        let metadata = serde_json::from_str(&metadata).unwrap();
        Content::Resource(Resource {
            sha256,
            metadata,
            ..resource("日記 \"sha256\":\"")
        })
        .to_document()
    }

    /// What a database of the version before says of attachments, it goes on saying.
    #[tokio::test]
    async fn contents_that_records_and_revisions_name_are_found_in_their_documents() {
        let database = TestDatabase::create(&Template::empty()).await;
        let mut sql = database.connect().await;
        let before = before::migrations::runner().set_target(Target::Version(2));
        before.run_async(&mut sql).await.unwrap();
        let user = USER.uuid();
        let account = "INSERT INTO users VALUES ($1, 'anna', 'anna', '', NULL, 'user', false, false, 0, 0)";
        sql.execute(account, &[&user]).await.unwrap();
        sql.execute("INSERT INTO sync_clocks VALUES ($1, 9)", &[&user])
            .await
            .unwrap();
        let memo = format!(r#"{{"sha256":"{}"}}"#, hash(5));
        let records = [
            ("resource", Some(document(Some(hash(1)))), false),
            ("resource", Some(document(None)), false),
            // A tombstone names what its content names; of one that is erased nothing is known.
            ("resource", Some(document(Some(hash(2)))), true),
            ("resource", None, true),
            ("memo", Some(memo.clone()), false),
        ];
        for (stamp, (entity_type, document, is_deleted)) in (1_i64..).zip(&records) {
            let values: [&(dyn ToSql + Sync); 5] = [&user, entity_type, &stamp, document, is_deleted];
            sql.execute(INSERT_RECORD, &values).await.unwrap();
        }
        let revisions = [
            ("resource", document(Some(hash(3)))),
            ("resource", document(None)),
            ("memo", memo),
        ];
        for (number, (entity_type, document)) in (1_i64..).zip(&revisions) {
            sql.execute(INSERT_REVISION, &[&user, entity_type, &number, document])
                .await
                .unwrap();
        }

        let settings = PostgresSettings::new(database.url().parse().unwrap());
        let (clock, ids) = (
            Arc::new(ManualClock::default()),
            Arc::new(SequentialIds::default()),
        );
        let store = PostgresStore::open(settings, clock, ids).await.unwrap();
        let attachments = async |from: &str| {
            let select = format!("SELECT attachment FROM {from}");
            let rows = sql.query(&select, &[]).await.unwrap();
            let column = rows.iter().map(|row| row.get::<_, Option<Vec<u8>>>(0));
            column.collect::<Vec<_>>()
        };
        let named = |n: u8| Some(vec![n; 32]);
        assert_eq!(
            attachments("records ORDER BY stamp").await,
            [named(1), None, named(2), None, None]
        );
        assert_eq!(
            attachments("revisions ORDER BY revision_number").await,
            [named(3), None, None]
        );
        let hashes = [1, 2, 3, 5, 99].map(hash);
        for (n, sha256) in (1..).zip(hashes) {
            let content = ContentRef {
                sha256,
                blob: Uuid::from_u128(n),
                size: 1,
                touched_at: at(1),
            };
            let held = store.reference(USER, content, 100).await.unwrap();
            assert_eq!(held, ReferenceOutcome::Added);
        }
        let unreferenced = store.unreferenced(USER, hashes.to_vec()).await.unwrap();
        assert_eq!(unreferenced, [hash(5), hash(99)]);
        store.close().await;
        database.remove().await;
    }
}
