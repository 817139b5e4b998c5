//! Spreading users over machines (`mosaic migrate --distribute citus`), and what `mosaic doctor` finds afterwards. There is
//! no Citus in any package registry: what the store asks of it is done here by a stand-in, which cuts a table into two
//! partitions.

use mosaic_adapter_postgres::{
    OpenError, PostgresSettings, REFERENCE_TABLE, ShardFinding, ShardReport, USERS_TABLES, distribute,
    examine_shards,
};
use mosaic_ports::{Health as _, MissingPart, StoreError, WriteError};
use mosaic_testkit::postgres::{Template, TestDatabase};
use mosaic_testkit::{EditExt as _, StoreFixture as _, memo, memo_key, put};
use tokio_postgres::Client;

use crate::locality::telling;
use crate::support::{MIGRATIONS, open, settings};
use crate::{Test, write};

const STAND_IN: &str = include_str!("stand_in.sql");

/// The schema, with its tables spread.
pub(crate) fn distributed() -> Template {
    let made_of = (MIGRATIONS, STAND_IN, USERS_TABLES);
    Template::new("store_spread", made_of, |url| async move {
        open(settings(&url)).await?.close().await;
        install(&url).await;
        distribute(&settings(&url)).await?;
        Ok::<_, OpenError>(())
    })
}

async fn install(url: &str) {
    let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await.unwrap();
    let connection = tokio::spawn(connection);
    client.batch_execute(STAND_IN).await.unwrap();
    drop(client);
    connection.await.unwrap().unwrap();
}

async fn spread(test: &Test) -> Result<Vec<&'static str>, String> {
    distribute(&settings(&test.fixture.database.url()))
        .await
        .map_err(|error| crate::chain(&error))
}

async fn examined(test: &Test) -> Option<ShardReport> {
    examine_shards(&settings(&test.fixture.database.url()))
        .await
        .unwrap()
}

async fn run(sql: &Client, statement: &str) {
    sql.batch_execute(statement).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_not_be_distributed_is_refused_and_left_as_it_is() {
    let test = Test::on_one_machine().await;
    let sql = test.sql().await;
    assert!(examined(&test).await.is_none());
    let refused = spread(&test).await.unwrap_err();
    assert!(refused.contains("CREATE EXTENSION citus"), "{refused}");
    run(&sql, STAND_IN).await;
    run(
        &sql,
        "UPDATE pg_dist_node SET isactive = false WHERE nodename = 'two'",
    )
    .await;
    let refused = spread(&test).await.unwrap_err();
    assert!(
        refused.contains("the machine two:5432 is not active"),
        "{refused}"
    );
    let version = |version: &str| {
        format!(
            "CREATE OR REPLACE FUNCTION citus_version() RETURNS text LANGUAGE sql AS $$ SELECT '{version}' $$"
        )
    };
    run(&sql, &version("Citus 12.0.2 on x86_64")).await;
    let refused = spread(&test).await.unwrap_err();
    assert!(refused.contains("12.0.2, and 12.1 or later"), "{refused}");
    run(&sql, &version("Citus 13.2devel on x86_64")).await;
    run(&sql, "UPDATE pg_dist_local_group SET groupid = 1").await;
    let refused = spread(&test).await.unwrap_err();
    assert!(refused.contains("this is a worker"), "{refused}");
    run(&sql, "UPDATE pg_dist_local_group SET groupid = 0").await;
    run(&sql, "DELETE FROM pg_dist_node WHERE shouldhaveshards").await;
    let refused = spread(&test).await.unwrap_err();
    assert!(refused.contains("citus_add_node"), "{refused}");
    run(&sql, "DELETE FROM pg_dist_node").await;
    let refused = spread(&test).await.unwrap_err();
    assert!(refused.contains("citus_set_coordinator_host"), "{refused}");
    assert!(examined(&test).await.is_none());
    test.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_is_distributed_with_what_is_in_it_and_again_where_that_was_interrupted() {
    let test = Test::on_one_machine().await;
    let (h, sql) = (&test.h, test.sql().await);
    let users = [h.user().await, h.user().await];
    for user in users {
        let memos: Vec<_> = (1..=3).map(|n| put(memo_key(n), memo("x"))).collect();
        h.write(user, memos).await;
    }
    run(&sql, STAND_IN).await;
    let all: Vec<_> = [REFERENCE_TABLE].into_iter().chain(USERS_TABLES).collect();
    assert_eq!(spread(&test).await.unwrap(), all);
    assert_eq!(spread(&test).await.unwrap(), [""; 0]);
    for user in users {
        assert_eq!(h.live(user).await.len(), 3);
        h.write(user, vec![put(memo_key(4), memo("y"))]).await;
    }
    // As if it had ended before the last two.
    for table in ["uploads", "upload_parts"] {
        run(
            &sql,
            &format!(
                "CREATE TABLE before (LIKE {table} INCLUDING ALL); DROP TABLE {table};
                 ALTER TABLE before RENAME TO {table};
                 DELETE FROM pg_dist_partition WHERE NOT EXISTS (SELECT FROM pg_class WHERE oid = logicalrelid)"
            ),
        )
        .await;
    }
    let refused = open(PostgresSettings {
        migrate: false,
        ..settings(&test.fixture.database.url())
    });
    let refused = crate::chain(&refused.await.unwrap_err());
    assert!(
        refused.contains("`mosaic migrate --distribute citus` goes on"),
        "{refused}"
    );
    let found = examined(&test).await.unwrap().findings;
    let shown: Vec<_> = found.iter().map(ToString::to_string).collect();
    assert_eq!(shown.len(), 2, "{shown:?}");
    assert!(
        shown[0].starts_with("table: uploads is on the coordinator."),
        "{shown:?}"
    );
    assert_eq!(spread(&test).await.unwrap(), ["uploads", "upload_parts"]);
    let report = examined(&test).await.unwrap();
    assert_eq!(report.findings, []);
    assert!(report.statements > 50);
    assert_eq!(report.users.len(), 2);
    // What the database refuses is told, and everything else too.
    run(&sql, "ALTER TABLE avatars RENAME COLUMN mime_type TO kind").await;
    let found = examined(&test).await.unwrap().findings;
    assert!(
        found
            .iter()
            .any(|finding| finding.to_string().contains("mime_type")),
        "{found:?}"
    );
    run(&sql, "ALTER TABLE avatars RENAME COLUMN kind TO mime_type").await;
    // Somebody has spread a table in another way.
    run(
        &sql,
        "UPDATE pg_dist_partition SET partkey = 'record_key' WHERE logicalrelid = 'records'::regclass",
    )
    .await;
    let refused = spread(&test).await.unwrap_err();
    assert!(refused.contains("undistribute_table('records')"), "{refused}");
    run(
        &sql,
        "UPDATE pg_dist_node SET isactive = false WHERE nodename = 'two'",
    )
    .await;
    let found = examined(&test).await.unwrap().findings;
    assert!(
        found.contains(&ShardFinding::Inactive("two:5432".to_owned())),
        "{found:?}"
    );
    let unreached = ShardFinding::Unreachable {
        from: "one:5432".to_owned(),
        to: "two:5432".to_owned(),
    };
    assert!(found.contains(&unreached), "{found:?}");
    test.stop().await;
}

/// A migration may bring a table of users along.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_migration_adds_to_a_distributed_database_is_spread_with_the_rest() {
    let database = TestDatabase::create_on(telling().await, &distributed()).await;
    let sql = database.connect().await;
    run(
        &sql,
        "ALTER TABLE users DROP COLUMN quota_bytes; DROP TABLE activity; DROP TABLE invites;
         DELETE FROM refinery_schema_history WHERE version >= 12;
         DELETE FROM pg_dist_partition WHERE NOT EXISTS (SELECT FROM pg_class WHERE oid = logicalrelid)",
    )
    .await;
    // Where that can't be done it is not done, and the next start does it.
    run(
        &sql,
        "UPDATE pg_dist_node SET isactive = false WHERE nodename = 'two'",
    )
    .await;
    assert!(open(settings(&database.url())).await.is_err());
    run(&sql, "UPDATE pg_dist_node SET isactive = true").await;
    let store = open(settings(&database.url())).await.unwrap();
    let report = examine_shards(&settings(&database.url())).await.unwrap();
    assert_eq!(report.unwrap().findings, []);
    store.close().await;
    database.remove().await;
}

/// One that is away is no reason to send nobody's requests here.
#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_does_not_answer_is_a_part_that_is_missing() {
    let test = Test::over(
        TestDatabase::create_on(telling().await, &distributed()).await,
        |_| {},
    )
    .await;
    let sql = test.sql().await;
    // What they said is taken for true for a while, by each store.
    let missing = async || {
        let store = open(settings(&test.fixture.database.url())).await.unwrap();
        let missing = store.check().await.unwrap();
        store.close().await;
        missing
    };
    assert_eq!(missing().await, []);
    run(
        &sql,
        "UPDATE pg_dist_node SET isactive = false WHERE nodename = 'two'",
    )
    .await;
    assert_eq!(missing().await, [MissingPart::Machines]);
    run(&sql, "UPDATE pg_dist_node SET isactive = true").await;
    assert_eq!(missing().await, []);
    // Without an answer nobody knows.
    run(&sql, "DROP FUNCTION run_command_on_workers").await;
    assert_eq!(missing().await, [MissingPart::Machines]);
    test.stop().await;
}

/// Only what is set in a transaction reaches the machines, and only where that is asked for.
const HOLDS_LIMITS: &str = "
    CREATE FUNCTION holds_limits() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF current_setting('citus.propagate_set_commands', true) IS DISTINCT FROM 'local' THEN
            RAISE EXCEPTION 'nothing is passed on';
        END IF;
        RETURN new;
    END $$;
    CREATE TRIGGER holds_limits BEFORE UPDATE ON sync_clocks FOR EACH ROW EXECUTE FUNCTION holds_limits()";

#[tokio::test(flavor = "multi_thread")]
async fn the_limits_of_a_transaction_are_passed_on_to_the_machines() {
    let database = TestDatabase::create_on(telling().await, &distributed()).await;
    let test = Test::over(database, |_| {}).await;
    let user = test.h.user().await;
    run(&test.sql().await, HOLDS_LIMITS).await;
    test.h.write(user, [put(memo_key(1), memo("x"))]).await;
    test.stop().await;
}

/// As Citus says it where the machine of a user is away; whoever is on another one is none the wiser.
const AWAY: &str = "
    CREATE TABLE away (user_id uuid NOT NULL PRIMARY KEY);
    CREATE FUNCTION answers(of uuid) RETURNS boolean LANGUAGE plpgsql STABLE AS $$
    BEGIN
        IF EXISTS (SELECT FROM away WHERE user_id = of) THEN
            RAISE EXCEPTION 'connection to the remote node failed' USING ERRCODE = '08006';
        END IF;
        RETURN true;
    END $$;
    ALTER TABLE sync_clocks ENABLE ROW LEVEL SECURITY;
    ALTER TABLE sync_clocks FORCE ROW LEVEL SECURITY;
    CREATE POLICY answers ON sync_clocks USING (answers(user_id))";

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_is_away_is_away_for_its_users_alone_and_comes_back() {
    let test = Test::over(
        TestDatabase::create_on(telling().await, &distributed()).await,
        |_| {},
    )
    .await;
    let (h, ports, sql) = (&test.h, test.fixture.stores(), test.sql().await);
    let [gone, here] = [h.user().await, h.user().await];
    let login = h.log_in(gone, 1).await.family;
    run(&sql, AWAY).await;
    let edit = |time| vec![put(memo_key(1), memo("x")).at(time)];
    for user in [gone, here] {
        h.write(user, edit(1)).await;
    }
    sql.execute("INSERT INTO away VALUES ($1)", &[&gone.uuid()])
        .await
        .unwrap();
    let refused = write(&test.fixture.store, gone, edit(2)).await.unwrap_err();
    assert!(
        matches!(refused, WriteError::Store(StoreError::Unavailable(_))),
        "{refused:?}"
    );
    let refused = ports.feed.clock(gone, None).await.unwrap_err();
    assert!(matches!(refused, StoreError::Unavailable(_)), "{refused:?}");
    // Accounts and logins stand elsewhere.
    assert!(ports.accounts.by_id(gone).await.unwrap().is_some());
    assert_eq!(ports.tokens.standing(gone, login).await.unwrap(), Ok(()));
    h.write(here, edit(2)).await;
    assert_eq!(h.live(here).await.len(), 1);
    run(&sql, "DELETE FROM away").await;
    let plan = h.write(gone, edit(3)).await;
    assert_eq!(plan.records.len(), 1);
    test.stop().await;
}

/// Who can ask for a table by anything but its user, would ask all machines; and a foreign key that leaves them asks others.
#[tokio::test(flavor = "multi_thread")]
async fn every_key_of_a_users_table_has_the_user_and_no_foreign_key_leaves_one() {
    let test = Test::on_one_machine().await;
    let sql = test.sql().await;
    let tables = USERS_TABLES.map(str::to_owned).to_vec();
    let keys = sql
        .query(
            "SELECT i.indexrelid::regclass::text FROM pg_index AS i
             WHERE i.indrelid::regclass::text = ANY ($1) AND i.indisunique AND NOT EXISTS (
                 SELECT FROM pg_attribute AS a
                 WHERE a.attrelid = i.indrelid AND a.attname = 'user_id' AND a.attnum = ANY (i.indkey::smallint[]))",
            &[&tables],
        )
        .await
        .unwrap();
    let keys: Vec<String> = keys.iter().map(|row| row.get(0)).collect();
    assert!(keys.is_empty(), "keys without a user: {keys:?}");
    let leaving = sql
        .query(
            "SELECT conname::text FROM pg_constraint
             WHERE contype = 'f' AND (conrelid::regclass::text = ANY ($1) OR confrelid::regclass::text = ANY ($1))",
            &[&tables],
        )
        .await
        .unwrap();
    let leaving: Vec<String> = leaving.iter().map(|row| row.get(0)).collect();
    assert!(leaving.is_empty(), "foreign keys of users' tables: {leaving:?}");
    // Whoever adds a table says where it lies.
    let others = sql
        .query(
            "SELECT c.relname::text FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid
             WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND a.attname = 'user_id'
               AND NOT c.relname = ANY ($1) ORDER BY 1",
            &[&tables],
        )
        .await
        .unwrap();
    let others: Vec<String> = others.iter().map(|row| row.get(0)).collect();
    assert_eq!(others, ["earlier_tokens", "logins", "removed_users", "users"]);
    test.stop().await;
}
